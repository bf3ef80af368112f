r"""How likely it is, under a Pareto/GGG and given k, that nothing was seen since t_x: her survival until then times

    W = P(gap > H) + \int_0^H p(h) (1 - R(h)) dh = \int_0^\infty p (1 - R) dh + \int_H^\infty p R dh

with H = T - t_x, p the density of her next gap (``gammagaps``) and R(h) = S(t_x + h) / S(t_x): no purchase was due
yet, or she left before it was. Where most of p lies above H, W = 1 - \int_0^H p R dh is used instead, which loses
nothing there. In v = ln(k h / A) all integrands are smooth and log-concave: trapezoidal rules, with long strides into
the tails. Derivatives are exact, under the integral, from fifteen moments of four quantities.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, polygamma, psi

from retention._kernels.gammagaps import softplus
from retention._kernels.paretoggg_grid import Pairs
from retention._kernels.quadrature import legendre

__all__ = ["lines", "sigmoid", "silence"]

Floats = NDArray[np.float64]
Where = NDArray[np.intp]
Nodes = Iterator[tuple[Where, Floats, Floats]]

_FADED = 34.0  # e^-34 of the peak is left out
_STEP = 0.36  # of the trapezoidal rule in v, for singularities at least pi / 2 away
_NARROW = 1.7  # steps of 0.77 standard deviations where the integrand is a narrow bell
_BLOCK = 16_384  # nodes at a time


def sigmoid(v: Floats) -> Floats:
    """1 / (1 + e^-v)."""
    small = np.exp(-np.abs(v))
    return np.asarray(np.where(v >= 0, 1.0, small) / (1.0 + small))


def _both(v: Floats) -> tuple[Floats, Floats]:
    """(ln(1 + e^v), 1 / (1 + e^-v))."""
    small = np.exp(-np.abs(v))
    return np.maximum(v, 0.0) + np.log1p(small), np.where(v >= 0, 1.0, small) / (1.0 + small)


def _gone_window(p: Pairs, v_B: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """(mode, low, high, curvature) of the log-concave density(v) (1 - R)."""
    k, a, s = p.k, p.a, p.s

    def both(v: Floats) -> tuple[Floats, Floats]:
        sp, sigma = _both(v)
        ell, sigma_B = _both(v - v_B)
        gone = np.maximum(-np.expm1(-s * ell), 1e-300)
        return k * v - (k + a) * sp + np.log(gone), k - (k + a) * sigma + s * sigma_B * (1 - gone) / gone

    # ln(1 - R) rises at a slope between 0 and 1, so the mode lies between those of these two.
    low = np.log(k / a)
    high = np.maximum(np.maximum(low, v_B), 0.0) + 2 + 2.4 / a
    high = np.where(a > 1.01, np.minimum(high, np.log((k + 1) / np.maximum(a - 1, 1e-3))), high)
    for _ in range(8):
        middle = (low + high) / 2
        up = both(middle)[1] > 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    mode = (low + high) / 2
    peak = both(mode)[0]
    bend = np.maximum((both(mode - 1e-3)[1] - both(mode + 1e-3)[1]) / 2e-3, 0.0)
    # Newton from outside: monotone, for the height is concave.
    low = np.minimum((peak - _FADED + v_B - np.log(s)) / (k + 1), mode - 1)
    high = np.maximum((_FADED - peak) / a, mode + 1)
    for _ in range(4):
        (lower, rise), (upper, fall) = both(low), both(high)
        low = np.minimum(low - (lower - peak + _FADED) / np.maximum(rise, 1e-12), mode - 1e-3)
        high = np.maximum(high - (upper - peak + _FADED) / np.minimum(fall, -1e-12), mode + 1e-3)
    return mode, low, high, bend


def lines(
    left: Floats, right: Floats, low: Floats, high: Floats, bend: Floats, step: float = _STEP, block: int = _BLOCK
) -> Nodes:
    """(positions, nodes, weights) over the whole line: equal steps from ``left`` to ``right``, then longer and longer.

    ``low`` and ``high`` are where the integrand has faded, ``bend`` the curvature of its logarithm at the peak.
    """
    first = np.where(low > left, low, left - np.log1p(np.maximum(left - low, 0.0)))
    last = np.where(high < right, high, right + np.log1p(np.maximum(high - right, 0.0)))
    sizes = 4 * np.ceil((last - first) * np.sqrt(step**-2 + _NARROW * bend) / 4 + 0.25).astype(np.intp)
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        many = max(1, block // int(size))
        for start in range(0, len(of_size), many):
            some = of_size[start : start + many]
            h = (last - first)[some] / (size - 1)
            z = first[some][:, None] + h[:, None] * np.arange(size)
            up, down = np.exp(z - right[some][:, None]), np.exp(left[some][:, None] - z)
            yield some, z + up - down, h[:, None] * (1 + up + down)


def _whole(p: Pairs, v_H: Floats, v_B: Floats) -> Nodes:
    """Nodes for the integral of density (1 - R) over all v."""
    mode, low, high, bend = _gone_window(p, v_B)
    left = np.minimum(np.minimum(v_B, 0.0), mode) - 4
    right = np.maximum(np.maximum(v_B, 0.0), mode) + 4
    return lines(left, right, low, high, bend)


def _beside(reach: Floats, knee: Floats) -> Nodes:
    """(positions, d, weights) for integrals over d from 0 to ``reach`` of what has a knee but no sharper feature.

    Gauss-Legendre, in equal steps to beyond the knee and in longer and longer ones from there.
    """
    right = knee + 4.0
    last = np.where(reach < right, reach, right + np.log1p(np.maximum(reach - right, 0.0)))
    sizes = 4 * np.ceil((20 + 2.6 * np.minimum(last, 300.0)) / 4).astype(np.intp)
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        x, weight = legendre(int(size))
        many = max(1, _BLOCK // int(size))
        for start in range(0, len(of_size), many):
            some = of_size[start : start + many]
            half = last[some][:, None] / 2
            up = np.exp(half * (x + 1) - right[some][:, None])
            yield some, half * (x + 1) + up - np.exp(-right[some])[:, None], half * weight * (1 + up)


def _after(p: Pairs, v_H: Floats, v_B: Floats) -> Nodes:
    """Nodes for the integral of density R over v > v_H, which is to the right of the bulk."""
    k, a, s = p.k, p.a, p.s
    here, here_B = softplus(v_H), softplus(v_H - v_B)
    end = (_FADED + (k + a) * (here - v_H)) / a
    for _ in range(5):
        (sp, sigma), (ell, sigma_B) = _both(v_H + end), _both(v_H + end - v_B)
        E = -k * end + (k + a) * (sp - here) + s * (ell - here_B)
        steep = -k + (k + a) * sigma + s * sigma_B
        end = np.maximum(end - (E - _FADED) / np.maximum(steep, 1e-12), 1e-12)
    for some, d, w in _beside(end, np.maximum(np.maximum(v_B, 0.0) - v_H, 0.0)):
        yield some, v_H[some][:, None] + d, w


def _before(p: Pairs, v_H: Floats, v_B: Floats) -> Nodes:
    """Nodes for the integral of density R over v < v_H, which is to the left of the bulk."""
    k, a = p.k, p.a
    here = softplus(v_H)
    end = (_FADED + (k + a) * here) / k
    for _ in range(5):
        sp, sigma = _both(v_H - end)
        E = k * end - (k + a) * (here - sp)
        end = np.maximum(end - (E - _FADED) / np.maximum(k - (k + a) * sigma, 1e-12), 1e-12)
    for some, d, w in _beside(end, np.maximum(v_H - np.minimum(v_B - np.log1p(p.s / k), 0.0), 0.0)):
        yield some, v_H[some][:, None] - d, w


class _Moments(NamedTuple):
    """Integrals over her next gap: with density (1 - R) or density R (``plain``), and with density R (``kept``).

    The variables are c = E ln(1 + e^v) - ln(1 + e^v), e = sigma(v) - k / (k + a), q = -ln R and z = sigma(v - v_B).
    """

    plain: Floats  # of 1, c, e, cc, ce, ee
    kept: Floats  # of q, z, qc, qe, zc, ze, qq, qz, zz


def _moments(p: Pairs, v_B: Floats, nodes: Nodes, gone: bool, order: int) -> _Moments:
    n = len(p.k)
    out = _Moments(np.zeros((6 if order > 1 else 3 if order else 1, n)), np.zeros((9 if order > 1 else 2, n)))
    front = betaln(p.k, p.a)
    known, share = psi(p.a + p.k) - psi(p.a), p.k / (p.k + p.a)

    def dot(a: Floats, b: Floats) -> Floats:
        return np.asarray(np.einsum("nj,nj->n", a, b))

    for some, v, w in nodes:
        k, a, s = p.k[some][:, None], p.a[some][:, None], p.s[some][:, None]
        sp, e = _both(v)
        ell, z = _both(v - v_B[some][:, None])
        q = s * ell
        density = w * np.exp(k * v - (k + a) * sp - front[some][:, None])
        kept = density * np.exp(-q)
        plain = density * -np.expm1(-q) if gone else kept
        out.plain[0, some] = plain.sum(axis=1)
        if not order:
            continue
        c = known[some][:, None] - sp
        e = e - share[some][:, None]
        plain_c, plain_e, kept_q, kept_z = plain * c, plain * e, kept * q, kept * z
        out.plain[1:3, some] = plain_c.sum(axis=1), plain_e.sum(axis=1)
        out.kept[:2, some] = kept_q.sum(axis=1), kept_z.sum(axis=1)
        if order > 1:
            out.plain[3:, some] = dot(plain_c, c), dot(plain_c, e), dot(plain_e, e)
            out.kept[2:6, some] = dot(kept_q, c), dot(kept_q, e), dot(kept_z, c), dot(kept_z, e)
            out.kept[6:, some] = dot(kept_q, q), dot(kept_q, z), dot(kept_z, z)
    return out


def _part(p: Pairs, v_B: Floats, nodes: Nodes, gone: bool, order: int) -> tuple[Floats, Floats, Floats]:
    """The integral of density (1 - R), or of density R, and its derivatives by ln (r, alpha, s, beta)."""
    plain, kept = _moments(p, v_B, nodes, gone, order)
    n = len(p.k)
    first, second = np.zeros((4, n if order else 0)), np.zeros((4, 4, n if order > 1 else 0))
    if not order:
        return plain[0], first, second
    r, k, a, s = p.r, p.k, p.a, p.s
    theta, tau = p.alpha / p.A, p.beta / (p.beta + p.t_x)
    # ln of the integrand has the slopes r c, theta (k + a) e, e' q and -e' s tau z; e' = R / (1 - R), or -1.
    sign = 1.0 if gone else -1.0
    up, out = theta * (k + a), -s * tau
    first[0], first[1] = r * plain[1], up * plain[2]
    first[2], first[3] = sign * kept[0], sign * out * kept[1]
    if order == 1:
        return plain[0], first, second
    H, share = second, k / (k + a)
    H[0, 0] = r**2 * (plain[3] + (polygamma(1, a + k) - polygamma(1, a)) * plain[0]) + r * plain[1]
    # eta = theta (1 - sigma(v)) = theta (a / (k + a) - e)
    H[0, 1] = r * up * plain[4] + r * theta * (share * plain[0] + plain[2])
    eta, eta_eta = (
        (1 - share) * plain[0] - plain[2],
        (1 - share) ** 2 * plain[0] - 2 * (1 - share) * plain[2] + plain[5],
    )
    H[1, 1] = up**2 * plain[5] + a * theta * (1 - theta) * plain[0] - up * (eta - theta * eta_eta)
    H[0, 2], H[0, 3] = sign * r * kept[2], sign * out * r * kept[4]
    H[1, 2], H[1, 3] = sign * up * kept[3], sign * out * up * kept[5]
    H[2, 2], H[2, 3] = sign * (kept[0] - kept[6]), sign * out * (kept[1] - kept[7])
    H[3, 3] = sign * (out * ((1 - 2 * tau) * kept[1] + tau * kept[8]) - out**2 * kept[8])
    for i in range(4):
        for j in range(i):
            H[i, j] = H[j, i]
    return plain[0], first, second


def silence(p: Pairs, order: int = 0) -> tuple[Floats, Floats, Floats]:
    """ln(S(t_x) W) of each pair, with derivatives by ln (r, alpha, s, beta)."""
    n = len(p.k)
    B = p.beta + p.t_x
    v_H, v_B = p.v(p.H), p.v(B)
    W, first, second = np.zeros(n), np.zeros((4, n if order else 0)), np.zeros((4, 4, n if order > 1 else 0))
    # Bursts (k near 0) hardly ever let a long gap come about: W is of order k there, and 1 - .. would lose it.
    bulk = np.log(p.k / p.a) - np.minimum(1.0, 0.5 * np.sqrt(1 / p.k + 1 / p.a))
    early = ((v_H < bulk) & (p.k > 1e-3)) | (p.H == 0)
    W[early] = 1.0

    def part(some: Where, rule: Callable[[Pairs, Floats, Floats], Nodes], gone: bool, sign: float) -> None:
        if not len(some):
            return
        of, at_H, at_B = p.take(some), v_H[some], v_B[some]
        value, slopes, bends = _part(of, at_B, rule(of, at_H, at_B), gone, order)
        W[some] += sign * value
        if order:
            first[:, some] += sign * slopes
        if order > 1:
            second[:, :, some] += sign * bends

    part(np.flatnonzero(early & (p.H > 0)), _before, False, -1.0)
    late = np.flatnonzero(~early)
    part(late, _whole, True, 1.0)
    part(late, _after, False, 1.0)
    W = np.maximum(W, 1e-300)
    value = np.log(W) - p.s * np.log1p(p.t_x / p.beta)
    if order:
        first /= W
        if order > 1:
            second = second / W - np.einsum("in,jn->ijn", first, first)
            away = p.t_x / B
            second[2, 2] -= p.s * np.log1p(p.t_x / p.beta)
            second[2, 3] += p.s * away
            second[3, 2] += p.s * away
            second[3, 3] -= p.s * away * (1 - away)
        first[2] -= p.s * np.log1p(p.t_x / p.beta)
        first[3] += p.s * p.t_x / B
    return value, first, second
