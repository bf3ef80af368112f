r"""The shifted-beta-geometric model of contracts (Fader and Hardie 2007, Journal of Interactive Marketing 21(1)).

At every renewal decision she ends with her own constant probability, beta(alpha, beta) over customers:

    S(k) = B(alpha, beta + k) / B(alpha, beta),    fade(k, j) = log_decline(beta + k, alpha, j).

Retention rates S(k + 1) / S(k) = (beta + k) / (alpha + beta + k) rise with k although nobody becomes more loyal: those
who are likely to end are gone. All digits, at any parameters: the fade is a sum of terms of one sign.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention._kernels.contracts import Contractual, Params
from retention._kernels.periods import declines, log_decline, psi_bend, psi_gap, trigamma_bend, trigamma_gap

__all__ = ["KERNEL"]

Floats = NDArray[np.float64]


def fade(params: Params, k: Any, j: Any) -> Floats:
    """``log S(k) - log S(k + j)``."""
    alpha, beta = params
    return log_decline(beta + k, alpha, j)


def slopes(params: Params, k: Floats, j: Any) -> tuple[Floats, Floats]:
    """Gradient and Hessian of the fade by (log alpha, log beta)."""
    alpha, beta = params
    z = beta + k
    first, second = psi_gap(z + alpha, j), -trigamma_gap(z + alpha, j)
    gradient = np.stack([alpha * first, -beta * psi_bend(z, alpha, j)])
    hessian = np.empty((2, 2, len(k)))
    hessian[0, 0] = alpha**2 * second + gradient[0]
    hessian[0, 1] = hessian[1, 0] = alpha * beta * second
    hessian[1, 1] = beta**2 * trigamma_bend(z, alpha, j) + gradient[1]
    return gradient, hessian


def fades(params: Params, k: Any, i: Floats) -> Floats:
    """``fade(k, i + 1)`` along many i."""
    alpha, beta = params
    z = beta + k
    return np.asarray(np.log1p(alpha / z) + declines(z + 1, alpha, i))


KERNEL = Contractual(
    names=("alpha", "beta"), scaled=(0, 1), fade=fade, slopes=slopes, fades=fades, smooth=lambda params: (64, 1.0)
)
