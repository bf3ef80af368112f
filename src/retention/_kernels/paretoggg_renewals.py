r"""Expected purchases to come under a Pareto/GGG, without a sum over customers' purchases. Given k,

    \int_0^h p(H + g) / P(gap > H) K(g) dg,   K(g) = c(g) + \int_0^{h - g} c(g + v) dC(k v / (A + k (H + g)))

over the moment g of her next purchase, with c(u) the chance that she is still there at T + u times the discount. Once
she has bought, nothing but the time since then matters, so what follows is a plain renewal process with one purchase
more in its history: C(y) is the sum over n of the incomplete beta functions I_{y / (1 + y)}(n k, a + k), a function of
one variable. It is tabulated for each pair of k and a, which customers with as many purchases share. By parts

    K(g) = c(g) + c(h) C(..h - g..) - \int_0^{h - g} c'(g + v) C(..v..) dv

so that what is integrated over v is smooth and rises; Gauss-Legendre does it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from retention._kernels.gammagaps import softplus
from retention._kernels.paretoggg_ahead import Outlook, Precision, counted, quintic, windows
from retention._kernels.paretoggg_silence import lines, sigmoid
from retention._kernels.quadrature import legendre

__all__ = ["means"]

Floats = NDArray[np.float64]
Where = NDArray[np.intp]

_WIDE = 1.5  # the grid is even in ln y within about this distance of its middle
_BLOCK = 16_384  # nodes at a time
_SLIGHT = 1e-5  # a pair's share from which it is worth the finer rules


class _Renewals(NamedTuple):
    """ln C by ln y, as quintic pieces in arsinh((ln y - middle) / wide), one table a row."""

    middle: Floats
    low: Floats
    cell: Floats
    last: NDArray[np.intp]
    offset: NDArray[np.intp]
    slope: Floats  # left of the table
    pieces: Floats

    def __call__(self, which: Where, log_y: Floats) -> Floats:
        col = which.reshape(-1, *[1] * (log_y.ndim - 1))
        where = (np.arcsinh((log_y - self.middle[col]) / _WIDE) - self.low[col]) / self.cell[col]
        at = np.clip(where, 0.0, self.last[col])
        i = np.minimum(at.astype(np.intp), self.last[col] - 1)
        at -= i
        c = self.pieces[self.offset[col] + i]
        out = c[..., 5]
        for j in (4, 3, 2, 1, 0):
            out = out * at + c[..., j]
        short = np.minimum(where, 0.0)
        if np.any(short < 0):
            edge = self.middle + _WIDE * np.sinh(self.low)
            out += np.where(short < 0, self.slope[col] * (log_y - edge[col]), 0.0)
        return np.asarray(np.exp(out))


def _bumps(k: Floats, a: Floats) -> Floats:
    """How many purchases ahead can be told apart by their moment."""
    return np.asarray(2 / (1 / k + np.sqrt(1 / k**2 + 4 / a)))


def _renewals(k: Floats, a: Floats, most: Floats, share: Floats, precision: Precision) -> _Renewals:
    """The tables of the pairs (k, a), up to y = ``most``; coarser where no customer's ``share`` is worth the work."""
    middle = np.log(k / a)
    begin = middle - 3 - np.minimum(34 / k, 9 / np.sqrt(k) + 34 / k)
    low = np.arcsinh((begin - middle) / _WIDE)
    high = np.maximum(np.arcsinh((np.log(most) - middle) / _WIDE), low + 0.5)
    cell = precision.cell * np.where(share < _SLIGHT, 2.0, 1.2) / np.maximum(1.0, 0.9 * _bumps(k, a))
    last = np.ceil((high - low) / cell).astype(np.intp) + 1
    offset = np.concatenate([[0], np.cumsum(last)])[:-1]
    pieces = np.zeros((int(last.sum()), 6))
    # Far out the moments of the n-th purchase differ by her rate alone: panels over n are at most that wide.
    kind = np.minimum(np.ceil(np.log2(np.maximum(0.5 * np.sqrt(a), 1.0))), 12)
    order = np.lexsort((k, share < _SLIGHT, kind))
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
            k[some][:, None], a[some][:, None], middle[some][:, None], edge, cell[some][:, None], float(kind[some[0]])
        )
        for i, one in enumerate(some):
            pieces[offset[one] : offset[one] + last[one]] = made[i, : last[one]]
    return _Renewals(middle, low, cell, last, offset, k, pieces)


def _table(k: Floats, a: Floats, middle: Floats, edge: Floats, cell: Floats, kind: float) -> Floats:
    """Quintic pieces of ln C: sums over n of its density by ln y, integrated by their values and three slopes."""
    ell = middle + _WIDE * np.sinh(edge)
    w, u = sigmoid(ell), sigmoid(-ell)
    S, S1, S2, S3 = _powers(k, a, ell, kind)
    # d/d(ln y) of a term's logarithm is nk u - a w; its own slope is -(nk + a) w u.
    p, out = w * u, a * w
    F, F1 = S, u * S1 - out * S
    F2 = u**2 * S2 - (2 * a + 1) * p * S1 + (out**2 - a * p) * S
    F3 = u**3 * S3 - 3 * u**2 * (out + w) * S2
    F3 += p * (3 * a * out - 3 * a * (u - w) - (u - w)) * S1 + (a * p * (3 * out - (u - w)) - out**3) * S
    one, two, cell2 = _WIDE * np.cosh(edge) * cell, _WIDE * np.sinh(edge) * cell**2, cell**2
    f = F * one
    f1 = F1 * one**2 + F * two
    f2 = F2 * one**3 + 3 * F1 * one * two + F * one * cell2
    f3 = F3 * one**4 + 6 * F2 * one**2 * two + F1 * (3 * two**2 + 4 * one**2 * cell2) + F * two * cell2
    mass = (f[:, :-1] + f[:, 1:]) / 2 - np.diff(f1) * (3 / 28) + (f2[:, :-1] + f2[:, 1:]) / 84 - np.diff(f3) / 1680
    # Left of the table only the first purchase is there, and its density falls like y^k.
    C = F[:, :1] / k + np.concatenate([np.zeros_like(F[:, :1]), np.cumsum(mass, axis=1)], axis=1)
    C = np.maximum(C, 1e-140)
    slope = f / C
    return quintic(np.log(C), slope, f1 / C - slope**2)


def _powers(k: Floats, a: Floats, ell: Floats, kind: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Sums over n of w^(nk) (1 - w)^a / B(nk, a) times 1, nk, (nk)^2 and (nk)^3, w = y / (1 + y)."""
    log_w, fall = -softplus(-ell), a * softplus(ell)
    S, S1, S2, S3, term, more = (np.zeros_like(ell) for _ in range(6))
    # From one n to the next the terms grow by w^k and a number: a product, begun afresh before any of it is lost.
    by = betaln(k, a) - betaln(2 * k, a)
    growth = float(np.max(np.where(by < 600, by + k * log_w[:, -1:], by)))
    again, q, before, front = int(np.clip(300 / max(growth, 1.0), 1, 24)), np.exp(k * log_w), 0.0, np.zeros_like(k)
    reach = a * np.exp(ell[:, -1:])
    for i, (n, weight) in enumerate(counted(0.5**kind)):
        nk = n * k
        front, last = betaln(nk, a), front
        if n == before + 1 and i % again:
            term *= q
            term *= np.exp(last - front)
        else:
            np.multiply(nk, log_w, out=term)
            term -= fall
            term -= front
            np.exp(term, out=term)
        before = n
        part = term if weight == 1 else np.multiply(term, weight, out=more)
        S += part
        np.multiply(part, nk, out=more)
        S1 += more
        more *= nk
        S2 += more
        more *= nk
        S3 += more
        if (n < 4 or i % 4 == 0) and np.all(nk > reach) and np.all(term * max(n, 4.0) < 1e-13 * S):
            break
    return S, S1, S2, S3


def means(
    o: Outlook, horizon: float, delta: float, precision: Precision, second: bool
) -> tuple[Floats, Floats, Floats]:
    """(E[sum of d_i], E[sum of d_i^2], P(any)) in the horizon for each pair, given that she is there."""
    p, later = o.p, o.p.beta + o.T
    n = len(later)
    mean, squares, some_time = np.zeros(n), np.zeros(n), np.zeros(n)
    (k, a), which = np.unique(np.stack([p.k, p.a]), axis=1, return_inverse=True)
    which = which.ravel()
    most = np.zeros(len(k))
    np.maximum.at(most, which, p.k * horizon / (p.A + p.k * p.H))
    share = np.zeros(len(k))
    np.maximum.at(share, which, o.share)
    table = _renewals(k, a + k, most, share, precision)
    left, right, low, high, bend = windows(o, 1.0, horizon, 0.0)
    front = betaln(p.k, p.a) + o.silent
    log_rate = np.log(p.k) - np.log(p.A)
    with np.errstate(divide="ignore"):
        log_H = np.log(p.H)
    end = np.log(horizon)
    folds = p.s * np.log1p(horizon / later) + 2 * delta * horizon
    slight = o.share < _SLIGHT
    size = np.where(slight, 0.6, 1.0) * precision.nodes + 1.2 * np.minimum(folds, 60) + 2 * np.log1p(horizon / later)
    # The steps of C, one at each purchase due, can be told apart while there are few; the first is the steepest.
    periods, bumps, steep = p.a * horizon / (p.A + p.k * p.H), _bumps(p.k, p.a), np.sqrt(p.k * p.a / (p.k + p.a))
    power = np.maximum(5.0 / (1 + p.k), 1.25 + 0.6 * np.log(np.clip(periods / np.maximum(bumps, 1.0), 1.0, 1e3)))
    visible = np.maximum(np.minimum(bumps, periods), 0.6 * steep * np.minimum(1.0, periods))
    size += 3.6 * visible * np.clip(1 + 0.1 * np.log(folds), 0.0, 1.0)
    size = 8 * np.ceil(np.minimum(size, 400.0) / 8).astype(np.intp)
    for each in np.unique(2 * size + slight):
        x, weight = legendre(int(each) // 2)
        x, weight = (x + 1) / 2, weight / 2
        same = np.flatnonzero(2 * size + slight == each)
        of = (left[same], right[same], low[same], high[same], bend[same])
        step = max(precision.step, 0.55) if each % 2 else precision.step
        for sub, zeta, w in lines(*of, step, _BLOCK // len(x)):
            some = same[sub]
            kk, s, at = p.k[some][:, None], p.s[some][:, None], later[some][:, None]
            short = softplus(-zeta)
            u = end - short
            g = np.exp(u)
            log_S = np.logaddexp(log_H[some][:, None], u)
            log_y = log_rate[some][:, None] + log_S
            log_f = kk * log_y - (kk + p.a[some][:, None]) * softplus(log_y) - front[some][:, None] + u - log_S
            f = w * np.exp(log_f - short - zeta)
            room = np.exp(end - softplus(zeta))  # horizon - g
            scale = np.log(kk) - np.log(p.A[some][:, None] + kk * (p.H[some][:, None] + g))
            stay = np.exp(-s * np.log1p(g / at))
            some_time[some] = np.einsum("nj,nj->n", f, stay)
            with np.errstate(divide="ignore"):
                last = table(which[some], scale + np.log(room))
            bent = power[some][:, None, None]
            v = room[:, :, None] * x**bent
            C = table(which[some], scale[:, :, None] + np.log(np.maximum(v, 1e-300)))
            C *= weight * bent * x ** (bent - 1) * room[:, :, None]
            v += g[:, :, None]
            there = at[:, :, None]
            gone = np.exp(-s[:, :, None] * np.log1p(v / there))
            hazard = s[:, :, None] / (there + v)
            leave = np.exp(-p.s[some] * np.log1p(horizon / later[some]))[:, None]
            for rate, out in ((delta, mean), (2 * delta, squares))[: 2 if second and delta > 0 else 1]:
                falls = gone * (hazard + rate) * np.exp(-rate * v) if rate > 0 else gone * hazard
                K = stay * np.exp(-rate * g) + leave * np.exp(-rate * horizon) * last
                K += np.einsum("njm,njm->nj", falls, C)
                out[some] = np.einsum("nj,nj->n", f, K)
    return mean, mean if delta == 0 else squares, some_time
