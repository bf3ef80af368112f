"""The gamma-gamma model of spend (Fader and Hardie 2013, "The Gamma-Gamma Model of Monetary Value").

Each of a customer's purchases is worth gamma(p, nu), and nu is gamma(q, v) over customers. She is known by the
number ``x`` of her purchases and their mean ``z`` > 0. Money may be in any unit: ``v`` is in it, p and q are free of
it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, polygamma, psi

__all__ = ["Params", "log_likelihoods", "total"]

Floats = NDArray[np.float64]


class Params(NamedTuple):
    """The three parameters; ``v`` in the unit of the money."""

    p: float
    q: float
    v: float


def log_likelihoods(params: Params, x: Floats, z: Floats) -> Floats:
    """Log density of each customer's mean ``z`` of ``x`` purchases (equation 1a of the note), in logs throughout."""
    p, q, v = params
    odds = np.log(x) + np.log(z) - np.log(v)
    share = np.logaddexp(0.0, odds)
    out = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + p * x * (odds - share) - q * share - np.log(z)
    return np.asarray(out)


def total(params: Params, x: Floats, z: Floats) -> tuple[float, Floats, Floats]:
    """Log-likelihood of a base, with its gradient and Hessian by ``(log p, log q, log v)``."""
    p, q, v = params
    xs, group = np.unique(x, return_inverse=True)
    n = np.bincount(group, minlength=len(xs)).astype(np.float64)
    count = float(n.sum())
    log_v = np.log(v)
    log_x, log_z = np.log(x), np.log(z)
    bottom = v + x * z
    log_bottom = np.log(bottom)
    px = p * xs
    both, own = psi(px + q), psi(px)

    value = float(n @ (gammaln(px + q) - gammaln(px) - gammaln(q)))
    value += float(np.sum(q * log_v - log_z + p * x * (log_z + log_x) - (p * x + q) * log_bottom))
    g = np.array(
        [
            n @ (xs * (both - own)) + np.sum(x * (log_z + log_x - log_bottom)),
            n @ (both - psi(q)) + np.sum(log_v - log_bottom),
            np.sum(q / v - (p * x + q) / bottom),
        ]
    )
    bend = polygamma(1, px + q)
    H = np.empty((3, 3))
    H[0, 0] = n @ (xs**2 * (bend - polygamma(1, px)))
    H[0, 1] = H[1, 0] = n @ (xs * bend)
    H[1, 1] = n @ bend - count * polygamma(1, q)
    H[0, 2] = H[2, 0] = -np.sum(x / bottom)
    H[1, 2] = H[2, 1] = np.sum(1 / v - 1 / bottom)
    H[2, 2] = np.sum((p * x + q) / bottom**2 - q / v**2)
    theta = np.array(params)
    return value, g * theta, H * np.outer(theta, theta) + np.diag(g * theta)
