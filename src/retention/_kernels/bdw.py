r"""The beta-discrete-Weibull model of contracts, and the discrete Weibull without differences between customers.

Each customer's own chance of coming through k decisions is ``(1 - theta)^(k^c)``, theta beta(alpha, beta) over
customers: with c > 1 she herself becomes more likely to end, with c < 1 less, with c = 1 it is the sBG. Hence

    S(k) = B(alpha, beta + k^c) / B(alpha, beta),
    fade(k, j) = log_decline(beta + k^c, alpha, (k + j)^c - k^c)

(Fader, Hardie, Liu, Davin and Steenburgh 2018, Journal of Interactive Marketing 43, equation 5). The difference of
powers comes from ``expm1``; powers beyond any float are carried as logarithms, where the fade is alpha c log(1 + j/k).

The discrete Weibull (Nakagawa and Osaki 1975) has one ``theta = 1 - exp(-hazard)`` for all: S(k) = exp(-hazard k^c).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma

from retention._kernels.contracts import Contractual, Params
from retention._kernels.periods import log_decline_far, psi_bend, psi_gap, trigamma_bend, trigamma_gap

__all__ = ["DISCRETE_WEIBULL", "KERNEL"]

Floats = NDArray[np.float64]

_FAR = np.log(1e100)  # of k^c; beyond, alpha and beta are nothing beside it


class _Powers(NamedTuple):
    """u = k^c (capped) and w = (k + j)^c - k^c by its logarithm; logs of both counts times c; their difference."""

    u: Floats
    log_w: Floats
    low: Floats
    high: Floats
    step: Floats


def _powers(c: Any, k: Any, j: Any) -> _Powers:
    c, k, j = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (c, k, j)))
    begun = k > 0
    at = np.where(begun, k, 1.0)
    low = c * np.log(at)
    with np.errstate(divide="ignore"):
        high = c * np.log(k + j)  # -inf at k = j = 0
        step = np.where(begun, c * np.log1p(j / at), np.inf)
        log_w = high + np.log(-np.expm1(-step))
    return _Powers(np.where(begun, np.exp(np.minimum(low, _FAR)), 0.0), log_w, low, high, step)


def fade(params: Params, k: Any, j: Any) -> Floats:
    """``log S(k) - log S(k + j)``."""
    alpha, beta, c = params
    powers = _powers(c, k, j)
    near = log_decline_far(beta + powers.u, alpha, powers.log_w)
    return np.asarray(np.where(powers.low > _FAR, alpha * np.minimum(powers.step, 1e300), near))


def slopes(params: Params, k: Floats, j: Any) -> tuple[Floats, Floats]:
    """Gradient and Hessian of the fade by (log alpha, log beta, log c)."""
    alpha, beta, c = (np.broadcast_to(np.asarray(p, dtype=np.float64), k.shape) for p in params)
    powers = _powers(c, k, j)
    moved = np.isfinite(powers.log_w)  # at k = j = 0 nothing has happened, and nothing depends on anything
    high = np.where(moved, powers.high, 0.0)
    w = np.where(moved, np.exp(np.minimum(powers.log_w, 120 * np.log(10))), 0.0)
    # Derivatives of u and w by log c; w's relative to w, where u / w is 1 / expm1(step).
    step = np.minimum(powers.step, 700.0)
    share = np.where(moved & (k > 0), 1 / np.expm1(np.where(moved, step, 1.0)), 0.0)
    u1, u2 = powers.u * powers.low, powers.u * powers.low * (1 + powers.low)
    w1 = high + share * (high - powers.low)
    w2 = high * (1 + high) + share * (high * (1 + high) - powers.low * (1 + powers.low))
    z = beta + powers.u
    ds = psi_gap(z + alpha, w)
    dz = -psi_bend(z, alpha, w)
    dw = psi_gap(z + w, alpha) * w
    ss = -trigamma_gap(z + alpha, w)
    zz = trigamma_bend(z, alpha, w)
    zw = -trigamma_gap(z + w, alpha) * w
    ww = zw * w
    sw = polygamma(1, z + alpha + w) * w
    gradient = np.stack([alpha * ds, beta * dz, dz * u1 + dw * w1])
    hessian = np.empty((3, 3, len(k)))
    hessian[0, 0] = alpha**2 * ss + gradient[0]
    hessian[0, 1] = hessian[1, 0] = alpha * beta * ss
    hessian[0, 2] = hessian[2, 0] = alpha * (ss * u1 + sw * w1)
    hessian[1, 1] = beta**2 * zz + gradient[1]
    hessian[1, 2] = hessian[2, 1] = beta * (zz * u1 + zw * w1)
    hessian[2, 2] = zz * u1**2 + 2 * zw * u1 * w1 + ww * w1**2 + dz * u2 + dw * w2
    # Powers beyond 1e100: fade = alpha c log(1 + j / k), so that every derivative by log alpha and log c is itself;
    # and beyond 1e120 for w alone what is missing is alpha times the rest of its logarithm.
    far = powers.low > _FAR
    rest = np.where(moved & ~far, alpha * np.maximum(powers.log_w - 120 * np.log(10), 0.0), 0.0)
    both = np.array([True, False, True])
    gradient[0] += rest
    hessian[0, 0] += rest
    alone = np.where(far, alpha * np.where(far, powers.step, 0.0), 0.0)
    gradient = np.where(far, np.where(both[:, None], alone, 0.0), gradient)
    hessian = np.where(far, np.where((both[:, None] & both[None])[..., None], alone, 0.0), hessian)
    return gradient, hessian


def _smooth(params: Params) -> tuple[int, float]:
    """The higher the power, the more suddenly everybody is gone, and the longer the sum must go one by one."""
    c = float(np.max(params[-1], initial=0.0))
    return max(64, int(32 * c)), min(1.0, 1.0 / max(c, 1e-300))


KERNEL = Contractual(
    names=("alpha", "beta", "c"),
    scaled=(0, 1),
    fade=fade,
    slopes=slopes,
    fades=lambda params, k, i: fade(params, k, i + 1),
    smooth=_smooth,
)


def _weibull_fade(params: Params, k: Any, j: Any) -> Floats:
    hazard, c = params
    return np.asarray(np.exp(np.minimum(np.log(hazard) + _powers(c, k, j).log_w, 600.0)))


def _weibull_slopes(params: Params, k: Floats, j: Any) -> tuple[Floats, Floats]:
    hazard, c = (np.broadcast_to(np.asarray(p, dtype=np.float64), k.shape) for p in params)
    powers = _powers(c, k, j)
    moved = np.isfinite(powers.log_w)
    fades = _weibull_fade((hazard, c), k, j)
    high = np.where(moved, powers.high, 0.0)
    step = np.minimum(powers.step, 700.0)
    share = np.where(moved & (k > 0), 1 / np.expm1(np.where(moved, step, 1.0)), 0.0)
    w1 = high + share * (high - powers.low)
    w2 = high * (1 + high) + share * (high * (1 + high) - powers.low * (1 + powers.low))
    gradient = np.stack([fades, fades * w1])
    return gradient, np.stack([np.stack([fades, fades * w1]), np.stack([fades * w1, fades * w2])])


DISCRETE_WEIBULL = Contractual(
    names=("hazard", "c"),
    scaled=(0,),
    fade=_weibull_fade,
    slopes=_weibull_slopes,
    fades=lambda params, k, i: _weibull_fade(params, k, i + 1),
    smooth=_smooth,
)
