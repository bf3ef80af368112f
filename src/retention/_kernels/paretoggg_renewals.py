r"""Expected purchases to come under a Pareto/GGG, without a sum over customers' purchases. Given k,

    \int_0^h p(H + g) / P(gap > H) K(g) dg,   K(g) = c(g) + \int_0^{h - g} c(g + v) dC(k v / (A + k (H + g)))

over the moment g of her next purchase, with c(u) the chance that she is still there at T + u times the discount. Once
she has bought, nothing but the time since then matters, so what follows is a plain renewal process with one purchase
more in its history: C(y) is the sum over n of the incomplete beta functions I_{y / (1 + y)}(n k, a + k), a function of
one variable. It is tabulated for each pair of k and a, which customers with as many purchases share. By parts

    K(g) = c(g) + c(h) C(..h - g..) - \int_0^{h - g} c'(g + v) C(..v..) dv

so that what is integrated over v is smooth and rises; Gauss-Legendre does it.

Of pairs of purchases, the n-th later one at v is the second. The i-th before it is at v B with B ~ beta(i k, (n - i) k)
whatever her rate, and e^(-delta v B) a Poisson mixture: e^(-delta v) times the sum of (delta v)^m (1 - B)^m / m!. So

    \int_0^{h - g} c(g + v) e^{-delta (g + v)} \sum_m (delta v)^m / m! dC_m(..v..)

where C_m weighs the n-th purchase by the sum over i of E[(1 - B)^m]. All terms are positive, and no table hangs on the
discount or the horizon.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammainc

from retention._kernels.gammagaps import softplus
from retention._kernels.paretoggg_ahead import Outlook, Precision, among, counted, quintic, windows
from retention._kernels.paretoggg_grid import Pairs
from retention._kernels.paretoggg_silence import lines, sigmoid
from retention._kernels.quadrature import legendre

__all__ = ["means"]

Floats = NDArray[np.float64]
Where = NDArray[np.intp]

_WIDE = 1.5  # the grid is even in ln y within about this distance of its middle
_BLOCK = 16_384  # nodes at a time
_SHARP = 5.0  # log2 of how narrow, against n, the terms of a sum may be for the panels over n
_STRIDE, _BELL = 1.3, 26  # strides in a bell's width, and in all of it
_TERMS = 20
_GONE = 40.0  # e^-40 are still customers
_FADED = 26.0  # e^-26 of the peak is left out
_NARROWEST = 2500.0  # curvature that the nodes over the next purchase are laid out for


class _Renewals(NamedTuple):
    """ln C by ln y, as quintic pieces in arsinh((ln y - middle) / wide), one table a row."""

    middle: Floats
    low: Floats
    cell: Floats
    last: NDArray[np.intp]
    offset: NDArray[np.intp]
    k: Floats
    a: Floats
    pieces: Floats

    def __call__(self, which: Where, log_y: Floats) -> Floats:
        """(.., sums): each sum's C."""
        col = which.reshape(-1, *[1] * (log_y.ndim - 1))
        where = (np.arcsinh((log_y - self.middle[col]) / _WIDE) - self.low[col]) / self.cell[col]
        at = np.clip(where, 0.0, self.last[col])
        i = np.minimum(at.astype(np.intp), self.last[col] - 1)
        at = (at - i)[..., None]
        c = self.pieces[self.offset[col] + i]
        out = c[..., 5, :]
        for j in (4, 3, 2, 1, 0):
            out = out * at + c[..., j, :]
        if np.any(where < 0):
            edge = (self.middle + _WIDE * np.sinh(self.low))[col]
            k, a = self.k[col], self.a[col]
            left = np.minimum(log_y, edge)
            fall = k * (left - edge) - (a + k) * (softplus(left) - softplus(edge))
            fall += np.log(_bulge(k, a, left) / _bulge(k, a, edge))
            out += np.where(where < 0, fall, 0.0)[..., None]
        return np.asarray(np.exp(out))


def _bulge(k: Floats, a: Floats, log_y: Floats) -> Floats:
    """I_w(k, a) k B(k, a) / (w^k (1 - w)^a), w = y / (1 + y): left of the tables, where only the first purchase is."""
    w = sigmoid(log_y)
    out = np.ones_like(w)
    for j in range(14, -1, -1):
        out = 1 + out * w * (a + k + j) / (k + 1 + j)
    return out


def _bumps(k: Floats, a: Floats) -> Floats:
    """How many purchases ahead can be told apart by their moment."""
    return np.asarray(2 / (1 / k + np.sqrt(1 / k**2 + 4 / a)))


def _renewals(k: Floats, a: Floats, most: Floats, share: Floats, orders: int, precision: Precision) -> _Renewals:
    """The tables of the pairs (k, a), up to y = ``most``; coarser where no customer's ``share`` is worth the work."""
    middle = np.log(k / a)
    begin = middle - 3 - np.minimum(34 / k, 9 / np.sqrt(k) + 34 / k)
    low = np.arcsinh((begin - middle) / _WIDE)
    high = np.maximum(np.arcsinh((np.log(most) - middle) / _WIDE), low + 0.5)
    cell = precision.cell * np.where(share < precision.slight, 2.0, 1.2) / np.maximum(1.0, 0.9 * _bumps(k, a))
    cell /= np.maximum((np.log(most) - middle) / 6, 1.0)  # they are longer and longer to the right
    last = np.ceil((high - low) / cell).astype(np.intp) + 1
    offset = np.concatenate([[0], np.cumsum(last)])[:-1]
    pieces = np.zeros((int(last.sum()), 6, 1 + orders))
    # Far out the moments of the n-th purchase differ by her rate alone: panels over n are at most that wide.
    kind = np.minimum(np.ceil(np.log2(np.maximum(0.5 * np.sqrt(a), 1.0))), _SHARP)
    order = np.lexsort((k, share < precision.slight, kind))
    start = 0
    while start < len(order):
        many = max(1, _BLOCK // int(last[order[start]]))
        some = order[start : start + many]
        like = (kind[some] == kind[some[0]]) & (np.abs(last[some] / last[some[0]] - 1) < 0.3)
        some = some[np.logical_and.accumulate(like)]
        start += len(some)
        step = np.minimum(np.arange(int(last[some].max()) + 1), last[some][:, None])
        edge = low[some][:, None] + cell[some][:, None] * step
        made = _table(
            k[some][:, None], a[some][:, None], middle[some][:, None], edge, cell[some][:, None], float(kind[some[0]]),
            orders,
        )  # fmt: skip
        for i, one in enumerate(some):
            pieces[offset[one] : offset[one] + last[one]] = made[i, : last[one]]
    return _Renewals(middle, low, cell, last, offset, k, a, pieces)


def _table(k: Floats, a: Floats, middle: Floats, edge: Floats, cell: Floats, kind: float, orders: int) -> Floats:
    """Quintic pieces of ln C: sums over n of its density by ln y, integrated by their values and three slopes."""
    ell = middle + _WIDE * np.sinh(edge)
    w, u = sigmoid(ell), sigmoid(-ell)
    F, F1, X2, X3 = _powers(k, a, ell, kind, orders)
    # d/d(ln y) of a term's logarithm is X = nk u - a w; its own slope is -w (X + a), and that one's (u - w) times it.
    F2 = X2 - w * (F1 + a * F)
    F3 = X3 - 3 * w * (X2 + a * F1) - (u - w) * w * (F1 + a * F)
    one, two, cell2 = _WIDE * np.cosh(edge) * cell, _WIDE * np.sinh(edge) * cell**2, cell**2
    f = F * one
    f1 = F1 * one**2 + F * two
    f2 = F2 * one**3 + 3 * F1 * one * two + F * one * cell2
    f3 = F3 * one**4 + 6 * F2 * one**2 * two + F1 * (3 * two**2 + 4 * one**2 * cell2) + F * two * cell2
    mass = (f[..., :-1] + f[..., 1:]) / 2 - np.diff(f1) * (3 / 28) + (f2[..., :-1] + f2[..., 1:]) / 84
    mass -= np.diff(f3) / 1680
    left = F[..., :1] / k * _bulge(k, a, ell[:, :1])
    C = np.cumsum(np.concatenate([left, mass], axis=-1), axis=-1)
    C = np.maximum(C, 1e-140)
    slope = f / C
    made = quintic(np.log(C), slope, f1 / C - slope**2)
    return np.asarray(np.moveaxis(made, 0, -1))


def _powers(k: Floats, a: Floats, ell: Floats, kind: float, orders: int) -> Floats:
    """(4, sums, .., ..): sums over n of T = w^(nk) (1 - w)^a / B(nk, a), w = y / (1 + y), times 1, X, X^2 and X^3 with
    X = nk (1 - w) - a w; plain, and weighed by each of the ``_weights`` of n."""
    due = a * np.exp(ell)  # the nk that matters most
    if kind < _SHARP:
        return _one_by_one(k, a, ell, 0.5**kind, orders)
    many = 8.0**2 + 4 * orders
    near = int(np.sum(due <= many, axis=1).max())
    out = np.zeros((4, 1 + orders, *ell.shape))
    if near:
        out[..., :near] = _one_by_one(k, a, ell[:, :near], 0.25 * 8 / np.sqrt(many), orders)
    row, column = np.nonzero(due > many)
    heavier = [_heavier(each, many, orders) for each in k[:, 0]] if orders else []
    due = due[row, column]
    sd = np.sqrt(due + due**2 / a[row, 0])
    # Between whole n the weights hold from there on where Gauss's rule has all its points. At nk = 1 nothing is left.
    wide = (sd > _STRIDE * k[row, 0]) & (np.maximum(due - 8.5 * sd, 1.0) > k[row, 0] * (0.5 * orders + 2))
    terms = np.where(wide, _BELL, np.ceil(19 * sd / k[row, 0] + 2))
    least = 0
    for most in (3, 8, _BELL, 64, int(terms.max(initial=1))):
        same = np.flatnonzero((terms > least) & (terms <= most))
        least = max(least, most)
        for start in range(0, len(same), max(_BLOCK // most, 1)):
            some = same[start : start + max(_BLOCK // most, 1)]
            i = row[some]
            out[:, :, i, column[some]] = _around(k[i, 0], a[i, 0], due[some], wide[some], most, i, heavier)
    return out


def _one_by_one(k: Floats, a: Floats, ell: Floats, sharp: float, orders: int) -> Floats:
    """``_powers`` from all n, in panels where the terms change little from one to the next."""
    log_w, fall = -softplus(-ell), a * softplus(ell)
    S = np.zeros((len(k), 4 * (1 + orders), ell.shape[1]))
    # From one n to the next the terms grow by w^k and a number: a product, begun afresh before any of it is lost.
    by = betaln(k, a) - betaln(2 * k, a)
    growth = float(np.max(np.where(by < 600, by + k * log_w[:, -1:], by)))
    again, q, before, front = int(np.clip(300 / max(growth, 1.0), 1, 24)), np.exp(k * log_w), 0.0, np.zeros_like(k)
    reach = a * np.exp(ell[:, -1:])
    terms, weights, held = np.zeros((len(k), 4, ell.shape[1])), np.zeros((len(k), S.shape[1], 4)), 0
    for i, (n, weight) in enumerate(counted(sharp, float(k.max()))):
        nk = n * k
        front, last = betaln(nk, a), front
        term = terms[:, held]
        if n == before + 1 and i % again:
            np.multiply(terms[:, held - 1], q, out=term)
            term *= np.exp(last - front)
        else:
            np.multiply(nk, log_w, out=term)
            term -= fall
            term -= front
            np.exp(term, out=term)
        before = n
        each = weight * _weights(n, k, orders)
        weights[:, :, held] = (each[:, None, :] * nk[:, :, None] ** np.arange(4)[:, None]).reshape(len(k), -1)
        held += 1
        if n < 4 or held == 4:
            S += np.matmul(weights[:, :, :held], terms[:, :held])
            if np.all(nk > reach) and np.all(term * max(n, 4.0) < 1e-13 * S[:, 0]):
                break
            terms[:, 3], held = term, 0
    S0, S1, S2, S3 = np.moveaxis(S.reshape(len(k), 4, 1 + orders, -1), 0, 2)
    u, out = sigmoid(-ell), a * sigmoid(ell)
    X2 = u * (u * S2 - 2 * out * S1) + out**2 * S0
    return np.stack([S0, u * S1 - out * S0, X2, u**2 * (u * S3 - 3 * out * S2) + out**2 * (3 * u * S1 - out * S0)])


def _around(
    k: Floats, a: Floats, due: Floats, wide: NDArray[np.bool_], terms: int, row: Where, heavier: list["_Heavier"]
) -> Floats:
    """``_powers`` at flat nodes from the nk around the one that is ``due``, where they are many and so is a: a bell of
    known width, summed over whole n where that is narrow and in strides of it where it is ``wide``.

    The gamma functions by Stirling: their logarithms alone would lose the digits of a sum of millions.
    """
    sd = np.sqrt(due + due**2 / a)
    first = np.maximum(np.ceil((due - 8.5 * sd) / k), 1.0)
    n = first[:, None] + np.arange(terms)
    strides = (np.arange(terms) - 11.0) * (sd / _STRIDE)[:, None]
    shift = np.where(wide[:, None], strides, n * k[:, None] - due[:, None])
    weight = np.where(wide, sd / (_STRIDE * k), 1.0)
    k, a, due = k[:, None], a[:, None], due[:, None]
    nk = np.maximum(due + shift, 1.0)
    shift = nk - due
    away = nk * np.log1p(shift / due) - (nk + a) * np.log1p(shift / (due + a))
    log_T = 0.5 * np.log(nk * a / (2 * np.pi * (nk + a))) - away + _stirling(nk + a) - _stirling(nk) - _stirling(a)
    T = np.exp(log_T) * weight[:, None]
    X = shift * a / (due + a)
    powers = T * X ** np.arange(4)[:, None, None]
    plain = powers.sum(axis=-1)
    if not heavier:
        return np.asarray(plain[:, None])
    out = np.zeros((4, 1 + heavier[0].coefficients.shape[1], len(row)))
    out[:, 0] = plain
    for one in np.unique(row):
        same = row == one
        out[:, 1:, same] = np.einsum("pnj,njm->pmn", powers[:, same], heavier[one](nk[same] / k[same]))
    return out


def _stirling(z: Floats) -> Floats:
    """What Stirling's formula leaves of ln gamma(z)."""
    y = 1 / (z * z)
    return np.asarray((1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / z)


class _Heavier(NamedTuple):
    """The ``_weights`` of one k by n: as they are for the first few, later by Chebyshev's polynomials in 1 / n."""

    few: Floats
    least: float
    coefficients: Floats

    def __call__(self, n: Floats) -> Floats:
        x = 2 * self.least / np.maximum(n, self.least) - 1
        out = np.moveaxis(np.polynomial.chebyshev.chebval(x, self.coefficients), 0, -1) * n[..., None]
        early = n < self.least
        if len(self.few) and np.any(early):
            out[early] = self.few[np.rint(n[early]).astype(np.intp)]
        return np.asarray(out)


def _heavier(k: float, many: float, orders: int) -> _Heavier:
    """For nk around ``many`` or above: where n is not whole, k is small, and n before ``least`` of no weight."""

    def at(n: float) -> Floats:
        return _weights(n, np.full((1, 1), k), orders)[0, 1:]

    least = max(0.5 * orders + 2.0, 0.2 * many / k)
    few = [at(max(n, 1.0)) for n in np.arange(np.ceil(least) + 1)] if k > 0.3 else []
    x = np.cos(np.pi * (np.arange(_TERMS) + 0.5) / _TERMS)
    values = [at(n) / n for n in 2 * least / (x + 1)]
    return _Heavier(np.array(few), least, np.polynomial.chebyshev.chebfit(x, np.array(values), _TERMS - 1))


def _weights(n: float, k: Floats, orders: int) -> Floats:
    """1, and the sums over j = 1 .. n of E[B^m] for m = 0, 1, .. with B ~ beta(j k, (n - j) k): one row a k.

    They are polynomials in n, summed by Gauss's rule for sums, and so defined for any n.
    """
    out = np.ones((len(k), 1 + orders))
    if orders:
        share, weight = among(n, orders // 2 + 1)
        j = share * n + 1
        m = np.arange(orders - 1)[:, None]
        power = np.cumprod((j * k[..., None] + m) / (n * k[..., None] + m), axis=1)
        out[:, 1], out[:, 2:] = n, np.einsum("imj,j->im", power, weight)
    return out


def _orders(folds: float, rest: float) -> int:
    """How many terms of a Poisson distribution of that mean leave no more than ``rest``."""
    n = 1
    while gammainc(n, folds) > rest:
        n += 1
    return n


def _two(
    p: Pairs, later: Floats, table: _Renewals, which: Where, horizon: float, delta: float, low: Floats, high: Floats
) -> tuple[Floats, ...]:
    """(left, low, high, curvature) by zeta, as ``windows`` tell them, of where her next purchase falls if another one
    follows within the horizon. Two that have hardly room for both fall where one alone would not be."""
    log_rate, end = np.log(p.k) - np.log(p.A), np.log(horizon)
    # Where she is likely to leave before, or discounts are steep, the second one does not wait for the horizon.
    soon = 1 / (np.maximum(p.s - p.k, 1e-290) / later + delta) * p.k
    with np.errstate(divide="ignore"):
        log_H = np.log(p.H)

    def height(zeta: Floats) -> Floats:
        u = end - softplus(-zeta)
        log_S = np.logaddexp(log_H, u)
        log_y = log_rate + log_S
        g, v = np.exp(u), np.minimum(np.exp(end - softplus(zeta)), soon)
        with np.errstate(divide="ignore"):
            more = np.log(table(which, log_rate + np.log(v) - softplus(log_y))[:, 0])
        more -= p.s * np.log1p((g + v) / later) + delta * (2 * g + v)
        return np.asarray(p.k * log_y - (p.k + p.a) * softplus(log_y) + (u - log_S) - softplus(zeta) + more)

    bottom = np.minimum(low, -np.log1p(p.k)) - 6.0
    left, right = bottom, high
    for _ in range(30):
        third = (right - left) / 3
        up = height(left + third) < height(right - third)
        left, right = np.where(up, left + third, left), np.where(up, right, right - third)
    mode = (left + right) / 2
    peak = height(mode)
    ends = []
    for side in (bottom - _FADED, high):
        outer, inner = side, mode
        for _ in range(16):
            middle = (outer + inner) / 2
            faded = ~(height(middle) > peak - _FADED)
            outer, inner = np.where(faded, middle, outer), np.where(faded, inner, middle)
        ends.append(outer)
    never = ~np.isfinite(peak)  # as far as floats go
    wide = np.minimum(mode - ends[0], ends[1] - mode) / np.sqrt(2 * _FADED)
    return (
        np.where(never, low, mode - 3 * wide - 2),
        np.where(never, low, ends[0]),
        np.where(never, high, ends[1]),
        np.where(never, 0.0, wide**-2),
    )


def means(
    o: Outlook, horizon: float, delta: float, precision: Precision, second: bool
) -> tuple[Floats, Floats, Floats, Floats]:
    """(E[sum of d_i], E[sum of d_i^2], E[sum over i != j of d_i d_j], P(any)) in the horizon for each pair of customer
    and k, given that she is there."""
    p, later = o.p, o.p.beta + o.T
    n = len(later)
    mean, squares, both, some_time = (np.zeros(n) for _ in range(4))
    orders = _orders(min(delta * horizon, -np.log(precision.rest)), precision.rest) if second else 0
    (k, a), which = np.unique(np.stack([p.k, p.a]), axis=1, return_inverse=True)
    which = which.ravel()
    most = np.zeros(len(k))
    np.maximum.at(most, which, p.k * horizon / (p.A + p.k * p.H))
    share = np.zeros(len(k))
    np.maximum.at(share, which, o.matters)
    table = _renewals(k, a + k, most, share, orders, precision)
    left, right, low, high, bend = windows(o, 1.0, horizon)
    if second and np.any(p.k > 1):  # bursts have room
        some = np.flatnonzero(p.k > 1)
        two = _two(p.take(some), later[some], table, which[some], horizon, delta, low[some], high[some])
        left[some], low[some] = np.minimum(left[some], two[0]), np.minimum(low[some], two[1])
        high[some], bend[some] = np.maximum(high[some], two[2]), np.maximum(bend[some], np.minimum(two[3], _NARROWEST))
    front = betaln(p.k, p.a) + o.silent
    log_rate = np.log(p.k) - np.log(p.A)
    with np.errstate(divide="ignore"):
        log_H = np.log(p.H)
    end = np.log(horizon)
    # Beyond this she has left, however long the horizon.
    reach = np.minimum(horizon, later * np.expm1(np.minimum((_GONE + 4 * p.k) / p.s, 600.0)))
    folds = p.s * np.log1p(reach / later) + 2 * delta * reach
    slight = o.matters < precision.slight
    size = np.where(slight, 0.6, 1.0) * precision.nodes + 1.2 * np.minimum(folds, 60) + 2 * np.log1p(reach / later)
    # The steps of C, one at each purchase due, can be told apart while there are few; the first is the steepest.
    known = p.a + p.k  # of her rate, after the next purchase
    periods, bumps = known * horizon / (p.A + p.k * p.H), _bumps(p.k, known)
    steep = np.sqrt(p.k * known / (p.k + known))
    power = np.maximum(5.0 / (1 + p.k), 1.25 + 0.6 * np.log(np.clip(periods / np.maximum(bumps, 1.0), 1.0, 1e3)))
    visible = np.maximum(np.minimum(bumps, periods), 0.6 * steep * np.minimum(1.0, periods))
    size += 3.6 * visible * (np.clip(1 + 0.1 * np.log(folds), 0.0, 1.0) + 0.15 * np.log(np.maximum(folds, 1.0)))
    size = 8 * np.ceil(np.minimum(size, 400.0) / 8).astype(np.intp)
    for each in np.unique(2 * size + slight):
        x, weight = legendre(int(each) // 2)
        x, weight = (x + 1) / 2, weight / 2
        same = np.flatnonzero(2 * size + slight == each)
        of = (left[same], right[same], low[same], high[same], bend[same])
        step = max(precision.step, 0.55) if each % 2 else precision.step
        for sub, zeta, w in lines(*of, step, _BLOCK // len(x) // (1 + orders) + 1):
            some = same[sub]
            kk, s, at = p.k[some][:, None], p.s[some][:, None], later[some][:, None]
            short = softplus(-zeta)
            u = end - short
            g = np.exp(u)
            log_S = np.logaddexp(log_H[some][:, None], u)
            log_y = log_rate[some][:, None] + log_S
            log_f = kk * log_y - (kk + p.a[some][:, None]) * softplus(log_y) - front[some][:, None] + (u - log_S)
            f = w * np.exp(log_f - softplus(zeta))
            room = np.minimum(np.exp(end - softplus(zeta)), reach[some][:, None])  # horizon - g
            until = np.minimum(g + room, horizon)
            scale = np.log(kk) - np.log(p.A[some][:, None] + kk * (p.H[some][:, None] + g))
            stay = np.exp(-s * np.log1p(g / at))
            some_time[some] = np.einsum("nj,nj->n", f, stay)
            with np.errstate(divide="ignore"):
                last = table(which[some], scale + np.log(room))
            bent = power[some][:, None, None]
            v = room[:, :, None] * x**bent
            C = table(which[some], scale[:, :, None] + np.log(np.maximum(v, 1e-300)))
            C *= (weight * bent * x ** (bent - 1) * room[:, :, None])[..., None]
            beyond = g[:, :, None] + v
            there = at[:, :, None]
            gone = np.exp(-s[:, :, None] * np.log1p(beyond / there))
            hazard = s[:, :, None] / (there + beyond)
            leave = np.exp(-s * np.log1p(until / at))
            for rate, out in ((delta, mean), (2 * delta, squares))[: 2 if second and delta > 0 else 1]:
                falls = gone * (hazard + rate) * np.exp(-rate * beyond) if rate > 0 else gone * hazard
                K = stay * np.exp(-rate * g) + leave * np.exp(-rate * until) * last[..., 0]
                K += np.einsum("njm,njm->nj", falls, C[..., 0])
                out[some] = np.einsum("nj,nj->n", f, K)
            if second:
                # Given the last of N later purchases at v, the discounts of all before it are e^(-delta v B): a Poisson
                # mixture of the powers of 1 - B.
                twice = np.exp(-2 * delta * beyond) * gone
                lasts, kept = leave * np.exp(-2 * delta * until), (hazard + 2 * delta) * twice
                K = np.zeros_like(g)
                for m in range(orders):
                    K += lasts * last[..., 1 + m] + np.einsum("njm,njm->nj", kept, C[..., 1 + m])
                    if m:
                        K -= delta * np.einsum("njm,njm->nj", twice, C[..., 1 + m])
                        twice = twice * (delta * v) / m
                    lasts, kept = lasts * (delta * room) / (m + 1), kept * (delta * v) / (m + 1)
                both[some] = 2 * np.einsum("nj,nj->n", f, K)
    return mean, mean if delta == 0 else squares, both, some_time
