r"""What a policy would have earned, from a log of another's choices whose chances are known.

A row has features ``x``, the action ``A`` that was drawn with the known chance ``b(A | x)``, and its reward ``R``. With
the target's probabilities ``pi(a | x)``, the weight of a row is ``w = pi(A | x) / b(A | x)``, and

.. math::
    V_{\text{ips}} = \frac1n \sum w_i R_i, \qquad V_{\text{snips}} = \frac{\sum w_i R_i}{\sum w_i}, \qquad
    V_{\text{dr}} = \frac1n \sum \Bigl[\sum_a \pi(a | x_i) q(x_i, a) + w_i (R_i - q(x_i, A_i))\Bigr]

(Horvitz and Thompson 1952; Hájek 1971, Swaminathan and Joachims 2015; Robins, Rotnitzky and Zhao 1994, Dudík, Langford
and Li 2011). ``q`` is any guess of the reward; where the chances are right V_dr has no bias whatever ``q``, provided
that the guess for a row does not use that row's reward.

**Errors.** Each estimator is a mean of influence values: of ``w R``; of ``w (R - V) / mean(w)``; of the bracket. What
the log itself earned is the mean of ``R``, so the difference of both has the difference of the influence values, row by
row: where the target does what the log does, they cancel. Rows of one customer (``person``) are summed before anything
is squared (the linearisation of a ratio of means over customers). Intervals are
:func:`retention._kernels.means.interval_about`.

Digits: only sums of the values given; a weight of 1 / b keeps the digits of b.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retention._kernels import ridges
from retention._kernels.means import Estimate, interval_about

__all__ = ["Support", "Valued", "cross_fitted", "difference", "dr", "estimate", "ips", "snips", "support"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


class Valued(NamedTuple):
    """A value and its influence values, one a row, which sum to 0."""

    value: float
    rest: Floats


def ips(weight: Floats, reward: Floats) -> Valued:
    """Inverse propensity: the mean of weighted rewards."""
    return _mean(weight * reward)


def snips(weight: Floats, reward: Floats) -> Valued:
    """The same divided by the mean weight; its influence values know of the denominator."""
    size = float(weight.mean())
    value = float(np.einsum("n,n->", weight, reward)) / len(weight) / size
    return Valued(value, weight * (reward - value) / size)


def dr(weight: Floats, reward: Floats, guess_logged: Floats, guess_target: Floats) -> Valued:
    """Doubly robust: guesses for what the target does, put right by the weighted rest of what was done."""
    return _mean(guess_target + weight * (reward - guess_logged))


def _mean(values: Floats) -> Valued:
    value = float(values.mean())
    return Valued(value, values - value)


def difference(one: Valued, other: Valued) -> Valued:
    """One value less another of the same rows."""
    return Valued(one.value - other.value, one.rest - other.rest)


def estimate(valued: Valued, level: float, person: Ints | None = None) -> Estimate:
    """The value with error and interval; rows with one number in ``person`` (0, 1, ... without gaps) are one draw.

    One draw has no spread to see: its error is not 0 but NaN, and so are the ends.
    """
    if person is None:
        return interval_about(valued.value, valued.rest, level, student=True)
    whole = np.bincount(person, valued.rest)
    if len(whole) < 2:
        return Estimate(valued.value, math.nan, math.nan, math.nan)
    each = np.asarray(whole * (len(whole) / len(valued.rest)))
    return interval_about(valued.value, each, level, student=True)


class Support(NamedTuple):
    """How much of the log speaks of the target.

    ``matched`` rows have a weight, ``buyers`` are those of them that bought; ``effective`` is Kish's (1965) effective
    number, ``(sum w)^2 / sum w^2``, of all rows, ``effective_buyers`` the same of the buyers alone; ``largest_weight``
    is the largest weight of a row, ``largest_share`` the largest share in their sum.

    Where persons are known, all but ``matched`` and ``largest_weight`` count them and not their rows: ``w`` is then the
    sum of a person's weights, since her rows are one draw.
    """

    matched: int
    buyers: int
    effective: float
    effective_buyers: float
    largest_weight: float
    largest_share: float


def support(weight: Floats, bought: Bools, person: Ints | None = None) -> Support:
    """Of the size of weights, whatever their sign; ``person`` as for :func:`estimate`."""
    size = np.abs(weight)
    matched, top = int(np.count_nonzero(size)), float(size.max(initial=0.0))
    if person is None:
        theirs = size[bought]
    else:
        size, theirs = np.bincount(person, size), np.bincount(person[bought], size[bought])
    most, whole = float(size.max(initial=0.0)), float(size.sum())
    return Support(
        matched,
        int(np.count_nonzero(theirs)),
        _kish(size),
        _kish(theirs),
        top,
        most / whole if whole > 0 else 0.0,
    )


def _kish(weight: Floats) -> float:
    top = float(weight.max(initial=0.0))
    if top == 0.0:
        return 0.0
    # In units of the largest, so that no square leaves the range of a float.
    scaled = weight / top
    return float(scaled.sum()) ** 2 / float(np.einsum("n,n->", scaled, scaled))


def cross_fitted(
    features: Floats, reward: Floats, codes: Ints, target: Ints | Floats, actions: int, fold: Ints
) -> tuple[Floats, Floats]:
    """What ridges by action that did not see a row's fold foretell for it: of what was done, and of the target.

    ``features`` are (p, n), p = 0 for means alone; ``target`` is an action a row, or probabilities (n, actions). An
    action with fewer than two rows in the other folds is foretold by the mean of all their rows: with so few, a fit of
    its own would tell nothing.
    """
    folds = int(fold.max(initial=0)) + 1
    logged, wanted = np.zeros(len(codes)), np.zeros(len(codes))
    cells = [[np.flatnonzero((fold == f) & (codes == a)) for a in range(actions)] for f in range(folds)]
    sums = [[ridges.moments(features[:, at], reward[None, at]) for at in row] for row in cells]
    nothing = ridges.moments(features[:, :0], reward[None, :0])
    for f in range(folds):
        # The others are added up: of a difference of sums the last digits would know the fold.
        left = [ridges.added([nothing, *(sums[g][a] for g in range(folds) if g != f)]) for a in range(actions)]
        total = sum(float(each.y[0]) for each in left) / max(sum(each.n for each in left), 1.0)
        mine = np.flatnonzero(fold == f)
        for a in range(actions):
            rule = _rule(left[a], total)
            logged[cells[f][a]] = _foretold(rule, features, cells[f][a])
            if target.ndim == 2:
                wanted[mine] += target[mine, a] * _foretold(rule, features, mine)
            else:
                at = mine[target[mine] == a]
                wanted[at] = _foretold(rule, features, at)
    return logged, wanted


def _rule(left: ridges.Moments, total: float) -> Floats:
    """Mean and coefficients, (1 + p, 1)."""
    if left.n < 1.5 or not len(left.x):
        mean = total if left.n < 1.5 else float(left.y[0]) / left.n
        return np.concatenate([[[mean]], np.zeros((len(left.x), 1))])
    return ridges.ridge(left)


def _foretold(rule: Floats, features: Floats, rows: Ints) -> Floats:
    return np.asarray(ridges.guesses(rule, features[:, rows])[0])
