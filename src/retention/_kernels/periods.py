"""Counting in periods: ratios of beta functions to all digits, and long sums of smooth terms.

Discrete-time models are made of ``B(s, z + x) / B(s, z)``: the chance of surviving x periods when the chance of
leaving in one is beta(s, z). Taken from log-gamma functions it loses what the large arguments have in common, and is
worthless where the answer is near 1. Here it comes from ``log1p`` of small positive numbers and Stirling's series.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "declines",
    "log_decline",
    "log_decline_far",
    "psi_bend",
    "psi_gap",
    "psi_gaps",
    "run_sum",
    "tail_sum",
    "trigamma_bend",
    "trigamma_gap",
    "trigamma_gaps",
]

Floats = NDArray[np.float64]

_FAR = 16.0  # from here Stirling's series holds to the last digit
_HUGE = 1e150  # beyond, only the logarithm of a count matters


def _climb(z: Floats) -> int:
    """How many unit steps bring every z to where the series hold."""
    least = float(z.min(initial=_FAR))
    return int(np.ceil(_FAR - least)) if least < _FAR else 0


def log_decline(z: Any, s: Any, x: Any) -> Floats:
    r"""``-log(B(s, z + x) / B(s, z))``, that is ``log G(z) + log G(z+s+x) - log G(z+s) - log G(z+x)``; 0 at x = 0.

    For whole x it is the sum of ``log1p(s / (z + i))`` over i < x. Arguments broadcast and need not be whole; all of
    z, z + s, z + x and z + s + x must be positive. Steps of ``log1p(s x / (z (z+s+x)))`` lead to z >= 16, then

        (z - 1/2) log(z (z+s+x) / ((z+s) (z+x))) + s log(1 + x/(z+s)) + x log(1 + s/(z+x)) + series,

    where at most a third of the first digit cancels: the relative error stays at some 1e-15 down to tiny s x.
    """
    z, s, x = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (z, s, x)))
    out = np.zeros(z.shape)
    for _ in range(_climb(z)):
        low = z < _FAR
        out[low] += np.log1p(s[low] / z[low] * (x[low] / (z[low] + s[low] + x[low])))
        z = np.where(low, z + 1.0, z)
    zs, zx = z + s, z + x
    all_ = zs + x
    q = (s / zs) * (x / zx)
    near = np.abs(q) < 0.5
    level = np.where(near, np.log1p(-np.where(near, q, 0.0)), np.log(z / zs) + np.log(all_ / zx))
    out += (z - 0.5) * level + s * np.log1p(x / zs) + x * np.log1p(s / zx)
    # Second differences of 1/(12 z) - 1/(360 z^3) + ...: the first, which matters for digits, in factored form.
    out += q / z * ((z + all_) / all_) / 12
    for power, size in ((3, -1 / 360), (5, 1 / 1260), (7, -1 / 1680), (9, 1 / 1188)):
        out += size * ((z**-power - zs**-power) - (zx**-power - all_**-power))
    return out


def log_decline_far(z: Any, s: Any, log_x: Any) -> Floats:
    """``log_decline`` for x given by its logarithm, however large: beyond 1e150 it grows like ``s log x``."""
    log_x = np.asarray(log_x, dtype=np.float64)
    edge = np.log(_HUGE)
    near = log_decline(z, s, np.exp(np.minimum(log_x, edge)))
    return np.asarray(near + s * np.maximum(log_x - edge, 0.0))


def psi_gap(z: Any, s: Any) -> Floats:
    """``psi(z + s) - psi(z)``: for whole s the sum of 1 / (z + i) over i < s. All digits unless s is below 1e-8."""
    z, s = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (z, s)))
    out = np.zeros(z.shape)
    for _ in range(_climb(z)):
        low = z < _FAR
        out[low] += s[low] / (z[low] + s[low]) / z[low]
        z = np.where(low, z + 1.0, z)
    e = z + s
    out += np.log1p(s / z) + 0.5 * (s / e) / z
    for power, size in ((2, 1 / 12), (4, -1 / 120), (6, 1 / 252), (8, -1 / 240), (10, 1 / 132)):
        out += size * (z**-power - e**-power)
    return out


class _Bends(NamedTuple):
    """Second differences f(z) - f(z + x) - f(z + s) + f(z + s + x) of 1/z, 1/z^2 and 1/z^3, from terms of one sign."""

    once: Floats
    twice: Floats
    thrice: Floats


def _bends(z: Floats, s: Floats, x: Floats) -> _Bends:
    zs, zx, all_ = z + s, z + x, z + s + x
    once = (s / zs) * (x / zx) / z * (1 + z / all_)
    later = x / zs / all_  # 1/(z+s) - 1/(z+s+x)
    fall = s / z / zs  # 1/z - 1/(z+s)
    twice = once * (1 / z + 1 / zx) + later * (fall + s / zx / all_)
    steep = fall * (1 / z + 1 / zs)
    thrice = once / z**2 + later * steep + twice / zx + (s / zx / all_) * later * (1 / zs + 1 / all_)
    return _Bends(once, twice, thrice)


def psi_bend(z: Any, s: Any, x: Any) -> Floats:
    """``psi_gap(z, x) - psi_gap(z + s, x)``: for whole x the sum of s / ((z + i) (z + s + i)) over i < x.

    It is minus the slope of ``log_decline(z, s, x)`` by z, and keeps its digits where s is next to nothing beside z.
    """
    z, s, x = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (z, s, x)))
    out = np.zeros(z.shape)
    for _ in range(_climb(z)):
        low = z < _FAR
        out[low] += _bends(z[low], s[low], x[low]).once
        z = np.where(low, z + 1.0, z)
    zs, zx, all_, bends = z + s, z + x, z + s + x, _bends(z, s, x)
    out += np.log1p((s / z) * (x / all_)) + 0.5 * bends.once + bends.twice / 12
    for power, size in ((4, -1 / 120), (6, 1 / 252), (8, -1 / 240), (10, 1 / 132)):
        out += size * ((z**-power - zx**-power) - (zs**-power - all_**-power))
    return out


def trigamma_bend(z: Any, s: Any, x: Any) -> Floats:
    """``trigamma_gap(z, x) - trigamma_gap(z + s, x)``: minus the slope of ``psi_bend`` by z, as sure of its digits."""
    z, s, x = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (z, s, x)))
    out = np.zeros(z.shape)
    for _ in range(_climb(z)):
        low = z < _FAR
        out[low] += _bends(z[low], s[low], x[low]).twice
        z = np.where(low, z + 1.0, z)
    zs, zx, all_, bends = z + s, z + x, z + s + x, _bends(z, s, x)
    out += bends.once + 0.5 * bends.twice + bends.thrice / 6
    for power, size in ((5, -1 / 30), (7, 1 / 42), (9, -1 / 30), (11, 5 / 66)):
        out += size * ((z**-power - zx**-power) - (zs**-power - all_**-power))
    return out


def trigamma_gap(z: Any, s: Any) -> Floats:
    """``psi'(z) - psi'(z + s)``: for whole s the sum of 1 / (z + i)^2 over i < s."""
    z, s = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (z, s)))
    out = np.zeros(z.shape)

    def squares(z: Floats, s: Floats) -> Floats:
        e = z + s
        return np.asarray((s / e) * (1 + z / e) / z / z)

    for _ in range(_climb(z)):
        low = z < _FAR
        out[low] += squares(z[low], s[low])
        z = np.where(low, z + 1.0, z)
    e = z + s
    out += (s / e) / z + 0.5 * squares(z, s)
    for power, size in ((3, 1 / 6), (5, -1 / 30), (7, 1 / 42), (9, -1 / 30), (11, 5 / 66)):
        out += size * (z**-power - e**-power)
    return out


_EXACT = 64.0


def _along(rule: Callable[..., Floats], step: Callable[..., Floats], z: Any, i: Floats, *s: Any) -> Floats:
    """A rule at many i: running sums of its steps where i is one row 0, 1, 2, ...; else from i = 64 onwards."""
    if len(i) == 1 and i[0, 0] == 0:
        sums = np.cumsum(step(z, i[:, :-1], *s), axis=-1)
        return np.concatenate([np.zeros((len(sums), 1)), sums], axis=-1)
    return rule(z, *s, _EXACT) + rule(z + _EXACT, *s, i - _EXACT)


def declines(z: Any, s: Any, i: Floats) -> Floats:
    """``log_decline(z, s, i)`` for z, s as (rows, 1) and many i: the row 0, 1, 2, ..., or any i of some 60 and more."""
    return _along(log_decline, lambda z, i, s: np.log1p(s / (z + i)), z, i, s)


def psi_gaps(z: Any, i: Floats) -> Floats:
    """``psi_gap(z, i)``, with z and i as in ``declines``."""
    return _along(psi_gap, lambda z, i: 1 / (z + i), z, i)


def trigamma_gaps(z: Any, i: Floats) -> Floats:
    """``trigamma_gap(z, i)``, with z and i as in ``declines``."""
    return _along(trigamma_gap, lambda z, i: (z + i) ** -2.0, z, i)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_STEPS = np.arange(-3.0, 3.0)
# Central differences of order 1, 3 and 5 over six neighbours, with the factors of (sum - integral) for each.
_CORRECTION = (
    -1 / 24 * np.array([0, 0, -1, 1, 0, 0])
    + 17 / 5760 * np.array([0, -1, 3, -3, 1, 0])
    - 367 / 967680 * np.array([-1, 5, -10, 10, -5, 1])
)


def tail_sum(term: Callable[[Floats], Floats], first: float, count: Floats, width: float = 1.0) -> Floats:
    r"""``sum of term(i) for i = first .. count - 1``, row by row, at a cost that grows with log(count / first) only.

    ``term`` takes (rows, nodes) of real i and gives (..., rows, nodes); ``count`` (rows,) is at least ``first``, which
    is some 60 or more, so that terms hardly change from one i to the next. The sum is then the integral from
    first - 1/2 to count - 1/2, by Gauss's rule on panels of ``width`` in log i, and differences at both ends:
    ``-1/24 d + 17/5760 d^3 - 367/967680 d^5`` (Euler and Maclaurin, in central differences).
    """
    low, high = np.log(first - 0.5), np.log(count - 0.5)
    panels = max(1, int(np.ceil(float((high - low).max(initial=0.0)) / width)))
    places = ((np.arange(panels)[:, None] + (_NODES + 1) / 2) / panels).ravel()
    weights = np.tile(_WEIGHTS / 2, panels) / panels
    span = (high - low)[:, None]
    i = np.exp(low + span * places)
    total = np.einsum("...rn,rn->...r", term(i), i * span * weights)
    ends = np.einsum("...rn,n->...r", term(count[:, None] + _STEPS), _CORRECTION)
    begins = np.einsum("...rn,n->...r", term(np.full((len(count), 1), first) + _STEPS), _CORRECTION)
    return np.asarray(total + ends - begins)


def run_sum(
    term: Callable[[Any, Floats], Floats],
    count: Floats,
    *,
    exact: int = int(_EXACT),
    width: float = 1.0,
    parts: int = 1,
    block: int = 4096,
) -> Floats:
    """``sum of term(rows, i) for i = 0 .. count - 1`` as (parts, rows): the first ``exact`` singly, the rest as smooth.

    ``term(rows, i)`` gets a slice or positions of rows and i as (1 or rows, nodes), and gives (parts, rows, nodes).
    """
    out = np.zeros((parts, len(count)))
    i = np.arange(min(float(exact), float(count.max(initial=0.0))))[None, :]
    if not i.size:
        return out
    size = max(1, block * 64 // i.size)
    for start in range(0, len(count), size):
        rows = slice(start, start + size)
        out[:, rows] = np.sum(term(rows, i) * (i < count[rows, None]), axis=-1)
    (longer,) = np.nonzero(count > exact)
    for start in range(0, len(longer), size):
        these = longer[start : start + size]
        out[:, these] += tail_sum(partial(term, these), float(exact), count[these], width)
    return out
