r"""The log-t renewal's likelihood of a base with its derivatives, for Newton's method.

The likelihood is that of ``logt``; its parts are in the notation of that page. With A = nu_n s_n^2, the spread of a
customer's log gaps about her own mean and the base's,

    gaps = ln G(nu_n/2) - ln G(nu0/2) + ln(kappa0/kappa_n)/2 + nu0/2 ln(nu0 s0^2) - nu_n/2 ln A - x/2 ln pi,

and what follows the last of them is ln((b + x) S* + a) - ln(a + b + x) + ln B(a, b + x)/B(a, b). Everything is
differentiated by hand but S by its degrees of freedom, for which there is no closed form: differences of S at
nu (1 +- 3e-4), which are wrong by about 1e-8 of it. That turns a step of the climb, not the place where it ends.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, polygamma, psi, stdtr

from retention._kernels.logt import Prior, log_likelihood

__all__ = ["NAMES", "prepared"]

Floats = NDArray[np.float64]
Total = tuple[float, Floats, Floats]

NAMES = ("m0", "kappa0", "nu0", "s0_squared", "a", "b")
"""In the order of the derivatives."""

_STEP = 3e-4  # of the degrees of freedom
_M, _K, _N, _S, _A, _B = range(6)
_PAIRS = [(i, j) for i in range(6) for j in range(i + 1)]


def prepared(x: Floats, log_sum: Floats, log_squares: Floats, idle: Floats) -> Callable[[Prior], Total]:
    """A base's log-likelihood at one prior after another: value, gradient (6,) and Hessian (6, 6) by ``NAMES``."""
    xs, at = np.unique(x, return_inverse=True)
    many = np.bincount(at, minlength=len(xs)).astype(np.float64)
    mean = np.divide(log_sum, x, out=np.zeros_like(x), where=x > 0)
    spread = np.where(x > 0, np.maximum(log_squares - mean * log_sum, 0.0), 0.0)
    silent = np.flatnonzero(idle > 0)  # a silence of no days says nothing
    log_idle = np.log(idle[silent])

    def total(prior: Prior) -> Total:
        m0, k0, n0, s2, a, b, pause, stretch = prior
        value = float(log_likelihood(prior, x, log_sum, log_squares, idle).sum())
        w = k0 + x
        share, off = x / w, mean - m0
        location = m0 + share * off
        squares = n0 * s2 + spread + k0 * share * off**2
        first, second = _of_squares(k0, n0, s2, x, share, off, squares)
        halves = _of_gaps(prior, xs, many, first, second, np.log(squares), at)

        # The scale of the next log gap: its log, whose derivatives ``t`` are those of ln A and of what goes with it.
        t, tt = [each / 2 for each in first], {pair: each / 2 for pair, each in second.items()}
        t[_K] = t[_K] + (1 / (w + 1) - 1 / w) / 2
        tt[_K, _K] = tt[_K, _K] + (1 / w**2 - 1 / (w + 1) ** 2) / 2
        nu = n0 + x
        t[_N] = t[_N] - 0.5 / nu
        tt[_N, _N] = tt[_N, _N] + 0.5 / nu**2
        scale = np.sqrt(squares / nu * (1 + 1 / w))
        moved = _Moved(
            m=k0 / w / scale, k=share * -off / w / scale, mk=x / w**2 / scale, kk=2 * share * off / w**2 / scale
        )
        t = [np.broadcast_to(each, x.shape)[silent] for each in t]
        tt = {pair: np.broadcast_to(each, x.shape)[silent] for pair, each in tt.items()}
        moved = _Moved(*(each[silent] for each in moved))

        S, slopes, bends = np.ones_like(x), np.zeros((4, len(x))), np.zeros((4, 4, len(x)))
        z, degrees = (log_idle - location[silent]) / scale[silent], nu[silent]
        there, by, twice = _of_survival(z, degrees, t, tt, moved)
        if pause:
            some = _of_survival(z - np.log(stretch) / scale[silent], degrees, t, tt, moved)
            there, by, twice = (
                (1 - pause) * one + pause * other for one, other in zip((there, by, twice), some, strict=True)
            )
        S[silent], slopes[:, silent], bends[:, :, silent] = there, by, twice

        # After the last gap: ln M - ln(a + b + x) with M = (b + x) S + a.
        M = (b + x) * S + a
        u = (b + x) / M
        gradient, hessian = np.zeros(6), np.zeros((6, 6))
        gradient[:4] = np.einsum("n,in->i", u, slopes)
        hessian[:4, :4] = np.einsum("n,ijn->ij", u, bends) - np.einsum("in,jn->ij", u * slopes, u * slopes)
        gradient[_A:] = np.sum(1 / M), np.sum(S / M)
        hessian[_A, :4] = hessian[:4, _A] = -np.einsum("n,in->i", u / M, slopes)
        hessian[_B, :4] = hessian[:4, _B] = np.einsum("n,in->i", a / M**2, slopes)
        hessian[_A, _A], hessian[_B, _B] = -np.sum(1 / M**2), -np.sum((S / M) ** 2)
        hessian[_A, _B] = hessian[_B, _A] = -np.sum(S / M**2)

        ends = a + b + xs  # of who stays x times: ln G(b + x) - ln G(a + b + x), and -ln(a + b + x)
        both, bend = many @ (psi(a + b) - psi(ends) - 1 / ends), many @ (_tri(a + b) - _tri(ends) + 1 / ends**2)
        gradient[_A] += both
        gradient[_B] += both + many @ (psi(b + xs) - psi(b))
        hessian[_A:, _A:] += bend
        hessian[_B, _B] += many @ (_tri(b + xs) - _tri(b))
        return value, gradient + halves[0], hessian + halves[1]

    return total


class _Moved(NamedTuple):
    """Derivatives of the next log gap's location by m0, kappa0, both, and kappa0 twice, in units of its scale."""

    m: Floats
    k: Floats
    mk: Floats
    kk: Floats


def _tri(y: Floats | float) -> Floats:
    return np.asarray(polygamma(1, y))


def _of_squares(
    k0: float, n0: float, s2: float, x: Floats, share: Floats, off: Floats, squares: Floats
) -> tuple[list[Floats], dict[tuple[int, int], Floats]]:
    """First and second derivatives of ln A by m0, kappa0, nu0, s0^2."""
    by = [-2 * k0 * share * off / squares, (share * off) ** 2 / squares, s2 / squares, n0 / squares]
    w = k0 + x
    own = {
        (_M, _M): 2 * k0 * share / squares,
        (_K, _M): -2 * share**2 * off / squares,
        (_K, _K): -2 * share**2 * off**2 / w / squares,
        (_S, _N): 1 / squares,
    }
    second = {(i, j): own.get((i, j), 0.0) - by[i] * by[j] for i in range(4) for j in range(i + 1)}
    return by, second


def _of_gaps(
    prior: Prior,
    xs: Floats,
    many: Floats,
    first: list[Floats],
    second: dict[tuple[int, int], Floats],
    log_squares: Floats,
    at: NDArray[np.intp],
) -> tuple[Floats, Floats]:
    """Gradient and Hessian of what completed gaps say."""
    _, k0, n0, s2 = prior[:4]
    nu, w, n = n0 + xs, k0 + xs, float(many.sum())
    each = nu[at]
    g, H = np.zeros(6), np.zeros((6, 6))
    for i in range(4):
        g[i] = -np.einsum("n,n->", each, first[i]) / 2
        for j in range(i + 1):
            H[i, j] = -np.einsum("n,n->", each, second[i, j]) / 2
            if _N in (i, j):  # the degrees themselves grow with nu0
                H[i, j] -= np.sum(first[j if i == _N else i]) / 2 * (2 if i == j else 1)
            H[j, i] = H[i, j]
    g[_K] += many @ (1 / k0 - 1 / w) / 2
    H[_K, _K] += many @ (1 / w**2 - 1 / k0**2) / 2
    g[_N] += many @ (psi(nu / 2) - psi(n0 / 2)) / 2 + n * (np.log(n0 * s2) + 1) / 2 - np.sum(log_squares) / 2
    H[_N, _N] += many @ (_tri(nu / 2) - _tri(n0 / 2)) / 4 + n / n0 / 2
    g[_S] += n * n0 / s2 / 2
    H[_S, _S] -= n * n0 / s2**2 / 2
    H[_N, _S] += n / s2 / 2
    H[_S, _N] += n / s2 / 2
    return g, H


def _of_survival(
    z: Floats, nu: Floats, t: list[Floats], tt: dict[tuple[int, int], Floats], moved: _Moved
) -> tuple[Floats, Floats, Floats]:
    """S = P(t_nu > z) and its first and second derivatives by m0, kappa0, nu0, s0^2."""
    h = _STEP * nu
    S, above, below = stdtr(nu, -z), stdtr(nu + h, -z), stdtr(nu - h, -z)
    by_nu, by_nu2 = (above - below) / (2 * h), (above - 2 * S + below) / h**2
    part = z**2 / nu
    logs = np.log1p(part)
    # The constant of the density depends on nu alone, which few customers have of their own.
    few, at = np.unique(nu, return_inverse=True)
    size = _log_beta(few)[at]
    f = np.exp(size - (nu + 1) / 2 * logs)
    by_z, by_z2 = -f, f * (nu + 1) * z / (nu + z**2)
    mixed = (psi((few + 1) / 2) - psi(few / 2) - 1 / few)[at]
    by_z_nu = -f * (mixed - logs + (nu + 1) / nu * part / (1 + part)) / 2

    lead: list[Any] = [moved.m, moved.k, 0.0, 0.0]  # of the location, in scales
    two = {(_K, _M): moved.mk, (_K, _K): moved.kk}
    dz = [-lead[i] - z * t[i] for i in range(4)]
    slopes, bends = np.empty((4, len(z))), np.empty((4, 4, len(z)))
    for i in range(4):
        slopes[i] = by_z * dz[i] + (by_nu if i == _N else 0.0)
        for j in range(i + 1):
            bent = -two.get((i, j), 0.0) + lead[i] * t[j] + lead[j] * t[i] + z * (t[i] * t[j] - tt[i, j])
            out = by_z2 * dz[i] * dz[j] + by_z * bent
            if _N in (i, j):
                out = out + by_z_nu * (dz[j if i == _N else i] * (2 if i == j else 1))
            if i == j == _N:
                out = out + by_nu2
            bends[i, j] = bends[j, i] = out
    return S, slopes, bends


def _log_beta(nu: Floats) -> Floats:
    """The log of the constant of Student's density."""
    return np.asarray(gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * nu))
