"""Bounds of the money that customers will bring, from the first two moments of it and the chance of nothing at all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from retention.frames.table import BoolColumn, FloatColumn
from retention.histories import Histories
from retention.value.margins.fitted import FittedOnDays
from retention.value.margins.protocol import FittedMargin, Moments

__all__ = [
    "Realised",
    "bounds_after_orders",
    "bounds_of_base",
    "bounds_of_each",
    "bounds_of_few",
    "bounds_of_sum",
    "points_of_each",
]

_BLOCK = 65_536  # customers at a time: temporaries stay in cache and memory stays flat
_TINY = 1e-140  # of money: less is nothing
_HEAVY = 0.03  # gamma shape below which its upper quantiles fall to 0 however large the mean is

# Quantiles at ranks of what is never below zero, from its mean and squared coefficient of variation.
_Shape = Callable[[FloatColumn, FloatColumn, FloatColumn], FloatColumn]


class Realised(NamedTuple):
    """What may come of each customer: two bounds, the standard deviation, and the probability of any purchase."""

    low: FloatColumn
    high: FloatColumn
    sd: FloatColumn
    any: FloatColumn


def bounds_of_base(
    ahead: Any,
    which: Any,
    histories: Histories,
    margin: FittedMargin,
    log_rate: FloatColumn | None,
    totals: FloatColumn,
    value: FloatColumn,
    interval: float,
) -> tuple[Realised, tuple[float, float]]:
    """What may come of each customer of a base; and the bounds of what they bring together.

    ``ahead`` is a Forecast by cell, averaged over points that stand for the doubt about purchases, ``which`` each
    customer's cell; ``totals`` what the base is expected to bring at each of these points, ``value`` what each customer
    is at the estimate. A margin model of what is left after an ``order_cost`` says so. Chance is independent between
    customers, so variances add up; doubt about the parameters is common to all, so its effect on the total adds up
    first and is squared then.
    """
    rows, copies, home = _apart(histories, which, margin)
    each, by_margins = Realised(*np.empty((4, len(rows)))), np.zeros(1)
    cost, orders = float(getattr(margin, "order_cost", 0.0)), 0.0
    for start in range(0, max(len(rows), 1), _BLOCK):
        block = slice(start, start + _BLOCK)
        some = rows[block]
        mine, theirs = type(ahead)(*(values[which[some]] for values in ahead)), histories.take(some)
        rates = None if log_rate is None else log_rate[some]
        money = margin.moments(theirs, len(totals), rates)
        found = bounds_of_each(mine, money, margin.lossless(theirs), interval, cost)
        for column, values in zip(each, found, strict=True):
            column[block] = values
        expected = copies[block] * mine.mean
        orders += cost * float(np.sum(expected))
        by_margins = by_margins + margin.totals(theirs, expected, len(totals), rates)
    variance = float(np.einsum("n,n,n->", copies, each.sd, each.sd) + np.var(totals) + np.var(by_margins))
    lossless = bool(np.all(value + cost * ahead.mean[which] >= 0)) if cost else bool(np.all(value >= 0))
    together = bounds_of_sum(float(np.sum(value)), variance, lossless, interval, orders)
    return (each if home is None else Realised(*(column[home] for column in each))), together


def _apart(histories: Histories, which: Any, margin: FittedMargin) -> tuple[Any, FloatColumn, Any]:
    """Customers who may differ, how many are like each, and where each customer's like stands among them (None: where
    she does herself): who has shown no margin is like all others of her cell, to a margin model of this library."""
    fresh = histories.frequency == 0
    if not isinstance(margin, FittedOnDays) or margin.first or not fresh.any():
        return np.arange(len(histories)), np.ones(len(histories)), None
    # Who is asked for a cell of fresh customers does not matter: the last of them to be written down.
    asked = np.full(int(which.max()) + 1, -1, dtype=np.intp)
    mine = np.flatnonzero(fresh)
    asked[which[mine]] = mine
    alone = ~fresh
    alone[asked[asked >= 0]] = True
    rows = np.flatnonzero(alone)
    home = np.cumsum(alone) - 1
    home[mine] = home[asked[which[mine]]]
    return rows, np.bincount(home, minlength=len(rows)).astype(np.float64), home


def bounds_of_each(
    ahead: Any, money: Moments, lossless: BoolColumn, interval: float, order_cost: float = 0.0
) -> Realised:
    """Of each customer's money: a mixture of 0 if she buys nothing and a gamma or normal of her moments.

    ``ahead`` is a Forecast of the purchases, ``money`` the moments of what one of them brings, ``lossless`` a mask of
    those whose margins cannot be below zero (gamma; the others get a normal). Where ``order_cost`` has been taken off
    each purchase, such margins before it are what cannot: the gamma begins below zero, by what her orders cost.
    """
    buys = np.maximum(ahead.any, 1e-100)
    mean = ahead.mean * money.mean
    second = ahead.squares * money.square + ahead.pairs * money.product
    m = mean / buys
    off = ahead.mean * order_cost / buys
    variance = np.maximum(second / buys - m**2, 1e-12 * (m + off) ** 2)
    low, high = _mixed(m, variance, buys, lossless, interval, _gamma, off)
    return Realised(low, high, np.sqrt(np.maximum(second - mean**2, 0.0)), ahead.any)


def bounds_of_sum(
    total: float, variance: float, lossless: bool, interval: float, order_cost: float = 0.0
) -> tuple[float, float]:
    """Of a sum over many customers: gamma with that mean and variance, normal where losses are among it; the gamma
    begins below zero by the cost of orders that has been taken off."""
    spread, off = np.array([max(variance, 0.0)]), np.array([order_cost])
    low, high = _mixed(np.array([total]), spread, np.ones(1), np.array([lossless]), interval, _gamma, off)
    return float(low[0]), float(high[0])


def bounds_of_few(
    mean: FloatColumn, sd: FloatColumn, silent: FloatColumn, lossless: BoolColumn, interval: float
) -> tuple[FloatColumn, FloatColumn]:
    """Of sums over one to a few customers each: 0 with the probability ``silent`` that none of them buys; for the rest,
    with what mean and standard deviation leave for it, half-way between a gamma and a log-normal (a normal where losses
    are among it).

    What newcomers bring if they buy is log-normal rather, with a longer tail and less of it close to 0: some buy on
    and on, and every purchase brings something. Regular customers are nearer to a gamma. In sums of 1 to 20 newcomers
    each 90 % bound failed 3 to 5 times in a hundred, in sums of 2 to 10 regulars 3 to 10 below and 3 to 5 above; with
    many customers the two are one.
    """
    buys, m, variance = _given(mean, sd, silent)
    return _mixed(m, variance, buys, lossless, interval, _half_way)


def bounds_after_orders(
    mean: FloatColumn,
    sd: FloatColumn,
    silent: FloatColumn,
    lossless: BoolColumn,
    interval: float,
    order_cost: FloatColumn,
) -> tuple[FloatColumn, FloatColumn]:
    """As ``bounds_of_each``, of moments: of what is left of each customer's money after what her orders are expected to
    cost; ``lossless`` says whose money could not be below zero before that."""
    buys, m, variance = _given(mean, sd, silent)
    return _mixed(m, variance, buys, lossless, interval, _gamma, order_cost / buys)


def points_of_each(
    mean: FloatColumn, sd: FloatColumn, silent: FloatColumn, lossless: BoolColumn
) -> tuple[FloatColumn, FloatColumn]:
    """Amounts (one row a point) and their weights that stand for what a customer brings if she buys, so that functions
    of it can be averaged; the weights sum to the probability that she does.

    Gauss-Legendre ranks, close to each other where amounts are large, moved a little so that their mean and variance
    are right.
    """
    buys, m, variance = _given(mean, sd, silent)
    at, weight = np.polynomial.legendre.leggauss(16)
    left = ((1 - at) / 2)[:, None]
    weight = 1.5 * weight[:, None] * left**2
    away = _quantiles(1 - left**3, m, variance, lossless, _gamma) - m
    away -= np.sum(weight * away, axis=0)
    spread = np.sum(weight * away**2, axis=0)
    return m + away * np.sqrt(np.divide(variance, spread, out=np.zeros_like(m), where=spread > 0)), weight * buys


def _given(mean: FloatColumn, sd: FloatColumn, silent: FloatColumn) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
    """The probability of anything at all, and mean and variance of the amount given that."""
    buys = np.maximum(1 - silent, 1e-100)
    m = mean / buys
    return buys, m, np.maximum(sd**2 / buys - m**2 * (1 - buys), 0.0)


def _mixed(
    m: FloatColumn,
    variance: FloatColumn,
    buys: FloatColumn,
    lossless: BoolColumn,
    interval: float,
    shape: _Shape,
    off: FloatColumn | float = 0.0,
) -> tuple[FloatColumn, FloatColumn]:
    """Two quantiles of 0 with probability 1 - ``buys``, else of an amount with mean ``m`` and ``variance``, which
    ``lossless`` is above -``off``."""
    from scipy.special import gammainc, ndtr

    none, s, off = 1 - buys, np.sqrt(variance), np.broadcast_to(np.asarray(off, dtype=np.float64), m.shape)
    never = lossless & (m + off > 0)
    below = np.where(m < 0, 1.0, 0.0)  # of the money, given that she buys: the share below zero
    below[~never & (s > 0)] = ndtr(-m[~never & (s > 0)] / s[~never & (s > 0)])
    some = never & (s > 0) & (off > 0)
    top = (m + off)[some]
    below[some] = gammainc(top**2 / variance[some], off[some] * top / variance[some])
    loss = buys * below
    bounds = []
    for level in ((1 - interval) / 2, (1 + interval) / 2):
        rank = np.where(level < loss, level / buys, (level - none) / buys)
        found = (level < loss) | (level > loss + none)
        bound, rank = np.zeros(len(m)), np.clip(rank[found], 1e-300, 1 - 1e-16)
        bound[found] = _quantiles(rank, (m + off)[found], variance[found], lossless[found], shape) - off[found]
        bounds.append(bound)
    return bounds[0], bounds[1]


def _quantiles(
    rank: FloatColumn, mean: FloatColumn, variance: FloatColumn, lossless: BoolColumn, shape: _Shape
) -> FloatColumn:
    """At these ranks: of the shape where nothing is lost, of a normal elsewhere; the mean where nothing varies."""
    from scipy.special import ndtri

    rank, mean, variance, lossless = np.broadcast_arrays(rank, mean, variance, lossless)
    out = mean + np.sqrt(variance) * ndtri(rank)
    never = lossless & (mean > _TINY) & (variance > 0)
    m = mean[never]
    out[never] = shape(rank[never], m, variance[never] / m**2)
    none = lossless & (mean <= _TINY)  # she has surely left: its square would be no number any more
    out[none] = mean[none]
    return np.asarray(out)


def _gamma(rank: FloatColumn, mean: FloatColumn, cv2: FloatColumn) -> FloatColumn:
    """A gamma's; but what money without a horizon brings may vary a thousand times its mean, where a gamma has nearly
    all its mass at 0: its upper quantiles are then not to be less than a log-normal's."""
    from retention._kernels.gammaquantiles import gamma_quantiles

    out = gamma_quantiles(1 / cv2, rank)
    out *= mean
    out *= cv2
    heavy = (cv2 > 1 / _HEAVY) & (rank > 0.5)
    out[heavy] = np.maximum(out[heavy], _log_normal(rank[heavy], mean[heavy], cv2[heavy]))
    return out


def _half_way(rank: FloatColumn, mean: FloatColumn, cv2: FloatColumn) -> FloatColumn:
    return np.asarray(np.sqrt(_gamma(rank, mean, cv2) * _log_normal(rank, mean, cv2)))


def _log_normal(rank: FloatColumn, mean: FloatColumn, cv2: FloatColumn) -> FloatColumn:
    from scipy.special import ndtri

    width = np.log1p(cv2)
    return np.asarray(mean * np.exp(np.sqrt(width) * ndtri(rank) - width / 2))
