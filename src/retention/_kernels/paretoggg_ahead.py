r"""Purchases to come under a Pareto/GGG. Given k, the n-th from now falls at T + v with density

    BP_{nk, a}(H + v) P(Beta(k, (n-1) k) > H / (H + v)) / P(gap > H)

(n gaps that add up to H + v, the first of them longer than H), BP_{m, a} the density of A/k times a beta-prime(m, a).
Each is integrated against survival and discount over zeta = logit(v / horizon), in which it has one peak: equal steps
around it, longer and longer ones into the tails. The sum over n is taken one by one where its terms change from one to
the next, and by Gauss-Legendre panels over n, with Euler and Maclaurin's corrections, from where they no longer do.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, polygamma, psi

from retention._kernels.gammagaps import softplus
from retention._kernels.paretoggg_grid import Pairs
from retention._kernels.paretoggg_silence import lines, sigmoid
from retention._kernels.purchases import Rows
from retention._kernels.quadrature import legendre

__all__ = ["Outlook", "Precision", "among", "arrival", "arrivals", "bursts", "counted", "outlook", "quintic", "windows"]

Floats = NDArray[np.float64]
Where = NDArray[np.intp]

_FADED = 29.0
_MANY = 24  # purchases ahead that are always summed one by one
_MOST = 1e30
_BURSTS = 1e-6  # the share of k, from the least on, that no expectation is told of where there is none


class Precision(NamedTuple):
    """How fine the rules are: step in zeta, what may be left of a sum, step of the tables, nodes over v, and a pair's
    share from which it is worth all that; and what the steps of near clocks may leave."""

    step: float = 0.4
    rest: float = 1e-12
    cell: float = 0.055
    nodes: int = 16
    slight: float = 1e-5
    steps: float = 1e-8


class Outlook(NamedTuple):
    """What one arrival rule needs: the pairs, each one's share, her T, and ln P(gap > H). Numbers of purchases are
    averaged with the shares ``once``, numbers of pairs of purchases with ``twice``; ``matters`` is the largest share of
    each pair in anything that is told."""

    p: Pairs
    share: Floats
    T: Floats
    silent: Floats
    once: Floats
    twice: Floats
    matters: Floats

    def take(self, some: Any) -> "Outlook":
        """Some of the pairs."""
        return Outlook(self.p.take(some), *(each[some] for each in self[1:]))


def bursts(t: Floats, rows: Rows) -> Floats:
    """The power of k by which her share falls as k falls to 0."""
    return np.asarray(t + rows.x + (rows.t_x < rows.T))


def outlook(
    p: Pairs, share: Floats, silent: Floats, T: Floats, falls: Floats, worth: float, most: float, soon: list[Floats]
) -> Outlook:
    """The pairs whose share among the ways of being alive is above ``worth``, or among numbers of purchases to the
    power ``most``, or among the ways of buying ``soon``, whose logarithms are given.

    Bursts: as k falls to 0 shares fall like k^c, c the power ``falls``, while numbers of purchases grow like 1 / k and
    those of pairs like 1 / k^2. Her least k stands for all below, the sum of a geometric series; where that has no end
    (c <= 1, or 2) the model's own expectation is infinite, and what is told leaves out the least regular millionth.
    """
    power = np.where(falls > most, most, np.minimum(most, falls > 1))
    number = share * np.exp(-power[p.row] * np.log(p.k))
    number /= np.bincount(p.row, number, len(T))[p.row]
    shares = [share, number]
    with np.errstate(divide="ignore"):  # a share of 0 is none
        log_share = np.log(share)
    for chance in soon:
        logs = log_share + chance
        top = np.maximum.reduceat(logs, p.begins)
        each = np.exp(logs - np.maximum(top, -1e290)[p.row])
        shares.append(each / np.maximum(np.bincount(p.row, each, len(T)), 1e-290)[p.row])
    matters = np.maximum.reduce(shares)
    keep = np.flatnonzero(matters > worth)
    of, share = p.take(keep), share[keep]
    row, first = np.unique(of.row, return_index=True)
    step = np.log(p.k[np.minimum(keep[first] + 1, len(p.k) - 1)] / of.k[first])
    tails = [share, share.copy(), share.copy()]
    for n in (1, 2):
        ends = (falls[row] > n) & (step > 0)
        tails[n][first[ends]] /= -np.expm1((n - falls[row]) * step)[ends]
        below = np.cumsum(share) - np.repeat((np.cumsum(share) - share)[first], np.diff(np.append(first, len(share))))
        tails[n][(falls[of.row] <= n) & (below < _BURSTS)] = 0.0
    return Outlook(of, share, T[of.row], silent[keep], tails[1], tails[2], matters[keep])


class _Longer(NamedTuple):
    """ln P(Beta(k, (n-1) k) > H / (H + v)) by z = ln(v / H), as quintic pieces in arsinh((z - middle) / wide)."""

    m: Floats
    k: Floats
    middle: Floats
    wide: Floats
    low: Floats
    last: NDArray[np.intp]
    offset: NDArray[np.intp]
    pieces: Floats
    cell: float

    def __call__(self, which: Where, z: Floats) -> Floats:
        col = which[:, None]
        xi = np.arcsinh((z - self.middle[col]) / self.wide[col])
        where = (xi - self.low[col]) / self.cell
        at = np.clip(where, 0.0, self.last[col])
        i = np.minimum(at.astype(np.intp), self.last[col] - 1)
        f = at - i
        c = self.pieces[self.offset[col] + i]
        out = c[..., 5]
        for j in (4, 3, 2, 1, 0):
            out = out * f + c[..., j]
        left = where < 0
        if np.any(left):
            pair = np.broadcast_to(col, z.shape)[left]
            out[left] = _far_left(self.m[pair], self.k[pair], z[left])
        return np.asarray(np.minimum(out, 0.0))


def _far_left(m: Floats, k: Floats, z: Floats) -> Floats:
    """ln I_{sigma(z)}(m, k) where sigma(z) is small: three terms of its series."""
    x = sigmoid(z)
    series = 1 + (m + k) / (m + 1) * x * (1 + (m + k + 1) / (m + 2) * x)
    return np.asarray(m * -softplus(-z) + k * -softplus(z) - np.log(m) - betaln(m, k) + np.log(series))


def quintic(value: Floats, slope: Floats, bend: Floats) -> Floats:
    """Coefficients (.., pieces, 6) of what runs through values, slopes and second derivatives at 0, 1, 2, .."""
    f0, a0, a1, b0, b1 = value[..., :-1], slope[..., :-1], slope[..., 1:], bend[..., :-1], bend[..., 1:]
    rise = value[..., 1:] - f0
    return np.stack(
        [
            f0,
            a0,
            b0 / 2,
            10 * rise - 6 * a0 - 4 * a1 - 1.5 * b0 + 0.5 * b1,
            -15 * rise + 8 * a0 + 7 * a1 + 1.5 * b0 - b1,
            6 * rise - 3 * (a0 + a1) + (b1 - b0) / 2,
        ],
        axis=-1,
    )


def _longer(n: float, k: Floats, cell: float) -> _Longer:
    """The tables of the distinct ``k``, from integrals of the density over each piece."""
    m = (n - 1) * k
    width = np.sqrt(polygamma(1, k) + polygamma(1, m))
    wide = 1.5 * np.minimum(width, 1.0)
    middle = np.log((m + 1) / (k + 1))
    begin = np.minimum(middle - 5 * wide, -np.log(3000 * (m + k + 1) / (m + 1)))
    front = betaln(m, k)
    lower, upper = np.minimum(begin, middle - 1.0), middle
    for _ in range(16):  # where the density is e^-640: a table in floats cannot begin before
        half = (lower + upper) / 2
        deep = m * -softplus(-half) + k * -softplus(half) - front < -640.0
        lower, upper = np.where(deep, half, lower), np.where(deep, upper, half)
    begin = np.maximum(begin, lower)
    top = np.maximum(psi(m) - psi(k) + 7 * width, middle) + 32 / k
    low, high = np.arcsinh((begin - middle) / wide), np.arcsinh((top - middle) / wide)
    last = np.ceil((high - low) / cell).astype(np.intp)
    size = int(last.max()) + 1

    def density(xi: Floats, some: Any) -> tuple[Floats, Floats, Floats]:
        z = middle[some] + wide[some] * np.sinh(xi)
        log_p = m[some] * -softplus(-z) + k[some] * -softplus(z) - front[some]
        return z, np.exp(np.maximum(log_p, -700.0)), wide[some] * np.cosh(xi)

    col = (slice(None), None)
    edge = low[:, None] + cell * np.arange(size)
    x, weight = legendre(6)
    mass = np.zeros((len(k), size - 1))
    for node, w in zip(x, weight, strict=True):
        _, p, jacobian = density(edge[:, :-1] + cell / 2 * (node + 1), col)
        mass += cell / 2 * w * p * jacobian
    z, p, jacobian = density(edge, col)
    start = np.exp(np.maximum(_far_left(m, k, z[:, 0]), -700.0))
    I = start[:, None] + np.concatenate([np.zeros((len(k), 1)), np.cumsum(mass, axis=1)], axis=1)
    log_I = np.log(np.maximum(I, 1e-304))
    slope = p / np.maximum(I, 1e-304)
    x = sigmoid(z)
    bend = slope * (m[:, None] * (1 - x) - k[:, None] * x - slope)
    d1 = slope * jacobian * cell
    d2 = (bend * jacobian**2 + slope * wide[:, None] * np.sinh(edge)) * cell**2
    pieces = quintic(log_I, d1, d2)
    offset = (size - 1) * np.arange(len(k))
    return _Longer(m, k, middle, wide, low, last, offset, pieces.reshape(-1, 6), cell)


def windows(o: Outlook, n: float, horizon: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """(left, right, low, high, curvature) of the n-th arrival that she is there for, by zeta."""
    p, later = o.p, o.p.beta + o.T
    k, a, s, H = p.k, p.a, p.s, p.H
    m = (n - 1) * k
    end, some = np.log(horizon), H > 0
    with np.errstate(divide="ignore"):
        log_H = np.log(H)
    log_rate = np.log(k) - np.log(p.A)
    ramp = np.ones_like(k)
    knee = np.full_like(k, -np.inf)
    if n > 1:
        ramp = np.sqrt(polygamma(1, k) + polygamma(1, m))
        knee = log_H + psi(m) - psi(k)

    def slope(zeta: Floats) -> Floats:
        u = end - softplus(-zeta)
        v = np.exp(u)
        fresh, waited = sigmoid(np.minimum(u - log_H, 700.0)), sigmoid(log_H - u)
        w = sigmoid(log_rate + np.logaddexp(log_H, u))
        rise = fresh * (n * k * (1 - w) - a * w) + waited - s * v / (later + v)
        if n > 1:
            mills = softplus(-1.6 * np.clip((u - knee) / ramp, -1e6, 1e6)) / ramp
            rise = rise + m * mills / (m + mills)
        near = sigmoid(zeta)
        return np.asarray(rise * (1 - near) - near)

    def height(zeta: Floats) -> Floats:
        """Of the first arrival."""
        u = end - softplus(-zeta)
        log_S = np.logaddexp(log_H, u)
        log_y, v = log_rate + log_S, np.exp(u)
        ways = k * log_y - (k + a) * softplus(log_y) + (u - log_S)
        return np.asarray(ways - s * np.log1p(v / later) - softplus(zeta))

    marks = [log_H, -log_rate, np.log(n * p.A) - np.log(a), np.log(later), np.full_like(k, end)]
    marks.append(np.where(s > 1, np.log(4 * later / np.maximum(s, 1.0)), end))
    known = [np.where(np.isfinite(mark), mark, end) - end for mark in marks]
    low = np.minimum.reduce(known) - 5.0 - np.log1p(1 / k)
    high = np.maximum(np.maximum.reduce(known), np.log(n * p.A + H * k) - np.log(a) - end) + 5.0
    high = np.minimum(high, 5.0 + np.log1p(n * k))
    narrow = np.sqrt(1.0 + n * k * a / (n * k + a) + (n > 1) / ramp**2)  # no feature is sharper than 1 / narrow
    for _ in range(max(12, int(np.log2(np.max((high - low) * narrow))) + 5)):
        middle = (low + high) / 2
        up = slope(middle) > 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    mode = (low + high) / 2
    bend = np.maximum((slope(mode - 0.02) - slope(mode + 0.02)) / 0.04, 0.0)
    if n > 1:
        bend = np.where(some, np.maximum(bend, 0.4 / ramp**2), bend)
    wide = 1 / np.sqrt(bend + 0.2)

    def faded(side: float) -> Floats:
        """Where the integrand is e^-29 of its peak at most, if it is log-concave."""
        one, two = np.abs(slope(mode + side * 3 * wide)), np.abs(slope(mode + side * 6 * wide))
        rest = np.maximum(_FADED - 3 * wide * one, 0.0)
        return np.asarray(mode + side * (6 * wide + rest / np.maximum(np.maximum(two, one), 1e-40)))

    low, high = faded(-1.0), faded(1.0)
    if n == 1:
        # After a wait the density of her next purchase levels off towards v = 0, where v d(ln v) falls by itself.
        low = np.where(some, low - np.maximum(_FADED - height(mode) + height(low), 0.0), low)
    left, right = mode - 3 * wide, mode + 3 * wide
    for mark in known:
        left, right = np.minimum(left, np.maximum(mark, low)), np.maximum(right, np.minimum(mark, high))
    return left - 2.0, right + 2.0, low, high, bend


def arrivals(
    o: Outlook, n: float, horizon: float, precision: Precision
) -> Iterator[tuple[Where, Floats, Floats, Floats]]:
    """(positions, v, mass, ln P(first gap > H | v)): the n-th purchase ahead by its moment, if she is there for it."""
    if n > 1:
        distinct, which = np.unique(o.p.k, return_inverse=True)
        table = _longer(n, distinct, precision.cell)
    left, right, low, high, bend = windows(o, n, horizon)
    front = betaln(n * o.p.k, o.p.a) + o.silent
    log_rate = np.log(o.p.k) - np.log(o.p.A)
    with np.errstate(divide="ignore"):
        log_H = np.log(o.p.H)
    end, later = np.log(horizon), o.p.beta + o.T
    for some, zeta, w in lines(left, right, low, high, bend, precision.step):
        k, a, H = (each[some][:, None] for each in (o.p.k, o.p.a, o.p.H))
        short = softplus(-zeta)
        u = end - short
        v = np.exp(u)
        log_S = np.logaddexp(log_H[some][:, None], u)
        log_y = log_rate[some][:, None] + log_S
        log_f = n * k * log_y - (n * k + a) * softplus(log_y) - front[some][:, None] + (u - log_S)
        log_f = log_f - o.p.s[some][:, None] * np.log1p(v / later[some][:, None])
        longer = np.zeros_like(v)
        if n > 1:
            waited = H[:, 0] > 0
            longer[waited] = table(which[some][waited], (u - log_H[some][:, None])[waited])
        # dv / v = (1 - v / horizon) d zeta
        yield some, v, w * np.exp(np.minimum(log_f + longer, 300.0) - softplus(zeta)), longer


def arrival(o: Outlook, n: float, horizon: float, precision: Precision) -> Floats:
    """P(at least n purchases in the horizon) of each pair, given that she is there."""
    found = np.zeros(len(o.T))
    for some, _, mass, _ in arrivals(o, n, horizon, precision):
        found[some] = mass.sum(axis=1)
    return found


@cache
def among(m: float, most: int) -> tuple[Floats, Floats]:
    """Gauss's rule for the sum over 0, 1, .. m - 1, in shares of m: exact for polynomials of degree 2 ``most`` - 1, and
    what those sums are, polynomials of m, where m is no whole number."""
    points = min(most, int(m))
    j = np.arange(1, points)
    off = np.sqrt(j**2 * (1 - (j / m) ** 2) / (4 * (4 * j**2 - 1.0)))
    nodes, vectors = np.linalg.eigh(np.diag(off, 1) + np.diag(off, -1))
    return nodes + (1 - 1 / m) / 2, m * vectors[0] ** 2


def counted(sharp: float, k: float = np.inf) -> Iterator[tuple[float, float]]:
    """(n, weight) for sums over n: one by one, later panels of eight Gauss-Legendre points.

    ``sharp`` is the relative width, in n, of what the terms do, or 1 / sqrt(n ``k``) if that is more; panels begin
    where they gain. Midpoint Euler-Maclaurin: a sum from N on is the integral from N - 1/2 plus f'/24 - 7 f'''/5760 +
    31 f'''''/967680 there.
    """
    share = min(0.125, 0.5 * sharp)  # of n: half a panel
    many = max(_MANY, int(np.ceil(4.0 / share)))
    for n in range(1, many + 1):
        yield float(n), 1.0
    x, weight = legendre(8)
    basis = np.linalg.inv(np.polynomial.legendre.legvander(x, 7))
    slopes = [np.polynomial.legendre.legval(-1.0, np.polynomial.legendre.legder(basis, m)) for m in (1, 3, 5)]
    low = many + 0.5
    while low < _MOST:
        half = low * max(share, min(0.5, share * low / many, 0.5 / float(np.sqrt(low * k))))
        weights = weight * half
        if low == many + 0.5:
            corrections = (slopes[0] / 24 / half, -slopes[1] * 7 / 5760 / half**3, slopes[2] * 31 / 967680 / half**5)
            weights = weights + sum(corrections)
        for z, w in zip(x, weights, strict=True):
            yield low + half * (z + 1), float(w)
        low += 2 * half
