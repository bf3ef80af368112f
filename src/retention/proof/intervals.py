"""The difference of two arms within groups of equal chances, and an interval for it that skewed spend does not fool."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.frames.table import BoolColumn, FloatColumn, IntColumn

__all__ = ["Difference", "Permutation", "compare", "LEAST_EXPLAINED"]

LEAST_EXPLAINED = 0.02
"""What the past must explain of the margins (a share of their variance) to be used at all."""

_SHUFFLES, _SHUFFLES_OF_MANY, _MANY = 1999, 399, 100_000
_PARTS = 10
_FEW = 500
_CELLS = 2_000_000
_SEED = 20111209


@frozen(kw_only=True)
class Difference:
    """A difference per contacted customer with its interval, its standard error and what stands behind them.

    ``tail_above`` is the share of shuffles whose studentised difference is at least the one seen less ``cost``, and
    ``tail_below`` the share at most that: one-sided p-values of "no better" and "no worse". ``plain_error`` is the
    standard error without the past, ``explained`` the share of the variance that the past explains (0 if not used).
    """

    value: float
    low: float
    high: float
    error: float
    plain_error: float
    explained: float
    tail_above: float
    tail_below: float


def compare(
    values: FloatColumn,
    contacted: BoolColumn,
    group: IntColumn,
    *,
    before: FloatColumn | None = None,
    level: float = 0.90,
    cost: float = 0.0,
) -> Difference:
    r"""Contacted less held-out, less a known ``cost``, with a studentised permutation interval.

    Every group must hold both arms. The estimate weights groups as the contacted fill them,

    .. math:: D = \sum_g \frac{n_{1g}}{n_1} (\bar y_{1g} - \bar y_{0g}), \qquad
       \widehat{se}^2 = \sum_g \left(\frac{n_{1g}}{n_1}\right)^2 \left(\frac{s_{1g}^2}{n_{1g}} +
       \frac{s_{0g}^2}{n_{0g}}\right),

    so it is what the contacts earned for those who got them, whatever shares were held out in which group. An arm of a
    group that shows no spread, or has one customer, borrows the variance of both arms together: two arms in which all
    customers are alike do not prove a difference to the last cent.

    The interval takes the quantiles of :math:`D / \widehat{se}` from 1,999 reshuffles of customers over the arms within
    their groups (399 of more than 100,000 customers; fixed seed), the seen arrangement counted. Where contact changes
    nothing each arrangement was equally likely, so each end is wrong with probability ``(1 - level) / 2`` at most, at
    any size and skewness. Where it changes something the statistic is asymptotically pivotal, so coverage is right for
    large arms.

    ``before`` is a number x known before the decision (CUPED: Deng, Xu, Kohavi and Walker, WSDM 2013). In place of y
    stands :math:`r_i = y_i - \theta_{-k(i)} (x_i - \bar x_g)`. Customers are dealt into ten parts; the slope for those
    of part k is the one that makes the standard error of *all others'* difference least,

    .. math:: \theta = \frac{\sum_g w_g^2 \sum_a \mathrm{cov}_{ag}(x, y) / n_{ag}}
       {\sum_g w_g^2 \sum_a \mathrm{var}_{ag}(x) / n_{ag}}.

    One slope over both arms together would follow the larger arm, and where the effect grows with x it would lengthen
    the interval. Nobody has a part in her own slope, so her arm is drawn independently of it and the mean of D does not
    move, even where a few customers are most of the money and of the effect. The slopes are computed anew in every
    shuffle, by the arms of that shuffle; x was there before them, so the test stays exact. Whether the past is used at
    all does not know the arms: it is left out unless it explains 2 % of the variance, each part foretold from the
    others. (Taking the smaller of both errors once the arms are seen would move the mean, by a tenth of it and more.)

    Source: Janssen, Statistics & Probability Letters 36 (1997) 9-21; Chung and Romano, Annals of Statistics 41 (2013)
    484-507.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> past, contacted = rng.gamma(2.0, 10.0, 400), np.arange(400) % 4 > 0
        >>> now = past + rng.normal(0, 5, 400) + 3.0 * contacted
        >>> all_one = np.zeros(400, dtype=np.int64)
        >>> plain, shorter = (compare(now, contacted, all_one, before=b) for b in (None, past))
        >>> plain.low < 3.0 < plain.high, shorter.low < 3.0 < shorter.high, shorter.error < plain.error / 2
        (True, True, True)
    """
    _, group = np.unique(group, return_inverse=True)
    group = group.reshape(len(values))
    y = np.asarray(values, dtype=np.float64)
    x, explained = None, 0.0
    if before is not None:
        x = np.asarray(before, dtype=np.float64)
        explained = _explained(y, x, group)
        x, explained = (x, explained) if explained >= LEAST_EXPLAINED else (None, 0.0)
    told = _plainly(y, contacted, group) if x is None else _with_the_past(y, x, contacted, group)
    value, error, plain_error, differences, errors = told
    times = len(errors)
    if not error > 0:
        return Difference(
            value=value - cost,
            low=-math.inf,
            high=math.inf,
            error=math.nan,
            plain_error=math.nan,
            explained=0.0,
            tail_above=1.0,
            tail_below=1.0,
        )
    t = np.sort(np.divide(differences, errors, out=np.zeros(times), where=errors > 0))
    # The k-th of B values leaves (B + 1 - k) / (B + 1) above it, the seen arrangement counted: an exact test.
    k = math.ceil(round((1 + level) / 2 * (times + 1), 6))
    # Where few customers spend, many arrangements tie with the seen one: rounding must not decide a verdict.
    slack = 1e-9 * (abs(value) + error)
    above = int(np.count_nonzero(t * error >= value - cost - slack))
    below = int(np.count_nonzero(t * error <= value - cost + slack))
    return Difference(
        value=value - cost,
        low=float(value - t[k - 1] * error - slack) - cost,
        high=float(value - t[times - k] * error + slack) - cost,
        error=error,
        plain_error=plain_error,
        explained=explained,
        tail_above=(above + 1) / (times + 1),
        tail_below=(below + 1) / (times + 1),
    )


@frozen
class Permutation:
    """The estimator behind every proof: :func:`compare`.

    Example:
        >>> Permutation().name
        'permutation'
    """

    name: str = field(default="permutation", init=False)

    def estimate(
        self,
        values: FloatColumn,
        contacted: BoolColumn,
        group: IntColumn,
        *,
        before: FloatColumn | None = None,
        level: float = 0.95,
        cost: float = 0.0,
    ) -> Difference:
        """Contacted less held-out, less a known cost, with a studentised permutation interval."""
        return compare(values, contacted, group, before=before, level=level, cost=cost)


def _plainly(
    y: FloatColumn, contacted: BoolColumn, group: IntColumn
) -> tuple[float, float, float, FloatColumn, FloatColumn]:
    """Difference and error (twice) as seen, then in the shuffles."""
    rng = np.random.default_rng(_SEED)
    value, variance = 0.0, 0.0
    times = _times(len(y))
    differences, variances = np.zeros(times), np.zeros(times)
    for rows, weight in _strata(contacted, group):
        # The difference and its error do not feel a shift; most customers then hold 0 and need no shuffling.
        mine, held = y[rows] - np.median(y[rows]), ~contacted[rows]
        n, n_held, whole, squares = len(mine), int(held.sum()), mine.sum(), np.einsum("i,i", mine, mine)
        other = mine[held]
        difference, squared = _welch(whole, squares, n, other.sum(), np.einsum("i,i", other, other), n_held)
        value, variance = value + weight * float(difference), variance + weight**2 * float(squared)
        difference, squared = _welch(whole, squares, n, *_shuffled(mine[mine != 0], n, n_held, times, rng), n_held)
        differences, variances = differences + weight * difference, variances + weight**2 * squared
    return value, math.sqrt(variance), math.sqrt(variance), differences, np.sqrt(variances)


def _with_the_past(
    y: FloatColumn, x: FloatColumn, contacted: BoolColumn, group: IntColumn
) -> tuple[float, float, float, FloatColumn, FloatColumn]:
    """The same, less what the past foretells by the slopes that the arms of each arrangement give."""
    rng, part = np.random.default_rng(_SEED), _parts(len(y))
    strata = list(_strata(contacted, group))
    weights = np.asarray([weight for _, weight in strata])
    seen, shuffled = [], []
    for rows, _ in strata:
        order = rows[np.argsort(part[rows], kind="stable")]
        mine_x, mine_y = x[order] - x[order].mean(), y[order] - y[order].mean()
        moments = np.stack([np.ones(len(order)), mine_x, mine_y, mine_x * mine_y, mine_x**2, mine_y**2])
        starts = np.searchsorted(part[order], np.arange(_PARTS))
        held = ~contacted[order]
        seen.append(_by_part(moments, starts, held[None, :]))
        if len(order) <= _CELLS // _SHUFFLES:
            dealt = rng.permuted(np.broadcast_to(held, (_times(len(y)), len(order))), axis=1)
            shuffled.append(_by_part(moments, starts, dealt))
        else:
            shuffled.append(_dealt_by_part(moments, part[order], int(held.sum()), _times(len(y)), rng))
    plain, past = (_adjusted(np.stack(sums), weights) for sums in (seen, shuffled))
    (value, error, plain_error), (differences, errors, _) = plain, past
    return float(value[0]), float(error[0]), float(plain_error[0]), differences, errors


def _by_part(moments: NDArray[np.float64], starts: IntColumn, held: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sums of the moments by arm (contacted, held out), moment, arrangement and part."""
    padded = np.pad(moments, ((0, 0), (0, 1)))  # a part that begins at the end is empty
    empty = np.diff(np.append(starts, moments.shape[1])) == 0
    total = np.where(empty, 0.0, np.add.reduceat(padded, starts, axis=1))
    some = np.stack([np.add.reduceat(np.pad(held * m, ((0, 0), (0, 1))), starts, axis=1) for m in moments])
    some[..., empty] = 0.0
    return np.stack([total[:, None, :] - some, some])


def _dealt_by_part(
    moments: NDArray[np.float64], part: IntColumn, n_held: int, times: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The same for so many shuffles, dealt one after the other: for groups of many customers."""
    many, n = moments.shape
    place = part + _PARTS * np.arange(many)[:, None]
    total = np.bincount(place.ravel(), weights=moments.ravel(), minlength=many * _PARTS)
    some = np.empty((times, many * _PARTS))
    for i in range(times):
        rows = rng.choice(n, n_held, replace=False, shuffle=False)
        some[i] = np.bincount(place[:, rows].ravel(), weights=moments[:, rows].ravel(), minlength=many * _PARTS)
    return np.moveaxis(np.stack([total - some, some]).reshape(2, times, many, _PARTS), 2, 1)


def _adjusted(sums: NDArray[np.float64], weights: FloatColumn) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
    """Difference and error of each arrangement, and the error without the past.

    ``sums`` are by stratum, arm, moment (1, x, y, xy, xx, yy), arrangement and part.
    """
    n, sx, sy, sxy, sxx, syy = np.moveaxis(sums, 2, 0)
    whole = n.sum(axis=-1, keepdims=True)
    square = (weights**2)[:, None, None, None] / np.maximum(whole, 1)

    def of_others(product: Any, one: Any, other: Any) -> Any:
        """The sum over strata and arms of weighted covariances, each part left out in its turn."""
        left = [total.sum(axis=-1, keepdims=True) - total for total in (product, one, other, n)]
        count = np.maximum(left[3], 1)
        return (square * (left[0] - left[1] * left[2] / count) / count).sum(axis=(0, 1))

    xy, xx = of_others(sxy, sx, sy), of_others(sxx, sx, sx)
    slope = np.divide(xy, xx, out=np.zeros_like(xy), where=xx > 1e-9 * xx.max(axis=-1, keepdims=True))
    told = []
    for theta in (np.zeros_like(slope), slope):
        first = (sy - theta * sx).sum(axis=-1)
        second = (syy - 2 * theta * sxy + theta**2 * sxx).sum(axis=-1)
        both, squares, count = first.sum(axis=1), second.sum(axis=1), whole[..., 0].sum(axis=1)
        pieces = [
            _welch(both[g], squares[g], count[g], first[g, 1], second[g, 1], whole[g, 1, :, 0])
            for g in range(len(weights))
        ]
        difference = sum(w * d for w, (d, _) in zip(weights, pieces, strict=True))
        variance = sum(w**2 * v for w, (_, v) in zip(weights, pieces, strict=True))
        told.append((difference, np.sqrt(variance)))
    (_, plain_error), (difference, error) = told
    return difference, error, plain_error


def _strata(contacted: BoolColumn, group: IntColumn) -> Iterator[tuple[IntColumn, float]]:
    """The rows of each group, and its share of the contacted."""
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        yield rows, float(contacted[rows].sum() / contacted.sum())


def _times(n: int) -> int:
    """How many shuffles: many customers need fewer, for their quantiles are near the normal ones."""
    return _SHUFFLES if n <= _MANY else _SHUFFLES_OF_MANY


def _parts(n: int) -> IntColumn:
    part = np.empty(n, dtype=np.int64)
    part[np.random.default_rng(_SEED).permutation(n)] = np.arange(n) % _PARTS
    return part


def _explained(y: FloatColumn, x: FloatColumn, group: IntColumn) -> float:
    """The share of the variance of y within groups that x takes away, each part foretold from the others."""
    dy, dx, part = _centred(y, group), _centred(x, group), _parts(len(y))
    xy, xx = (np.bincount(part, weights=product, minlength=_PARTS) for product in (dx * dy, dx * dx))
    others_xy, others_xx = xy.sum() - xy, xx.sum() - xx
    slope = np.divide(others_xy, others_xx, out=np.zeros(_PARTS), where=others_xx > 1e-9 * xx.sum())
    r, whole = _centred(dy - slope[part] * dx, group), np.einsum("i,i", dy, dy)
    return float(1.0 - np.einsum("i,i", r, r) / whole) if whole > 0 else 0.0


def _centred(values: FloatColumn, group: IntColumn) -> FloatColumn:
    means = np.bincount(group, weights=values) / np.bincount(group)
    return np.asarray(values - means[group])


def _shuffled(
    values: FloatColumn, n: int, n_held: int, times: int, rng: np.random.Generator
) -> tuple[FloatColumn, FloatColumn]:
    """Sums and sums of squares of the held-out in each shuffle; all of the n but the ``values`` given are 0."""
    sums, squares = np.zeros(times), np.zeros(times)
    many = len(values)
    if not many:
        return sums, squares
    drawn = rng.hypergeometric(many, n - many, n_held, size=times)
    if many <= _FEW:  # all at once
        dealt = rng.permuted(np.broadcast_to(values, (times, many)), axis=1)
        dealt *= np.arange(many) < drawn[:, None]
        return dealt.sum(axis=1), np.einsum("ij,ij->i", dealt, dealt)
    for i, k in enumerate(drawn.tolist()):
        some = values[rng.choice(many, k, replace=False, shuffle=False)]
        sums[i], squares[i] = some.sum(), np.einsum("i,i", some, some)
    return sums, squares


def _welch(whole: Any, squares: Any, n: Any, held: Any, held_squares: Any, n_held: Any) -> tuple[Any, Any]:
    """Difference of the two means of a group and its squared standard error, from sums and sums of squares."""
    n_treated = n - n_held
    mean_held, mean_treated = held / n_held, (whole - held) / n_treated
    pooled = np.maximum(squares - whole**2 / n, 0.0) / (n - 1)
    of_treated, of_held = (
        np.maximum(q - m * mean**2, 0.0) / np.maximum(m - 1, 1)
        for q, mean, m in ((squares - held_squares, mean_treated, n_treated), (held_squares, mean_held, n_held))
    )
    # What is left of a subtraction is no spread.
    of_treated, of_held = (np.where(v > 1e-12 * squares / n, v, pooled) for v in (of_treated, of_held))
    return mean_treated - mean_held, of_treated / n_treated + of_held / n_held
