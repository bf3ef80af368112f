r"""Gaps between purchases that are gamma distributed, so that some customers buy by the clock and others by whim.

Given a customer's regularity k and rate lambda a gap has mean 1/lambda and density gamma(k, k lambda): k = 1 is pure
chance, k large is clockwork, k < 1 is bursts. With lambda gamma(r, alpha) over customers, x gaps that add up to t_x
leave lambda ~ gamma(a, A) with a = r + k x and A = alpha + k t_x, and k g / A for her next gap g is beta-prime(k, a)
(Platzer and Reutterer 2016, Marketing Science 35(5), 779-799): with v = ln(k g / A)

    density of v: e^{k v} (1 + e^v)^{-(k+a)} / B(k, a)      (log-concave, its nearest singularities at +-i pi)
    P(gap > g) = I_{A / (A + k g)}(a, k)

All functions are of arrays that broadcast, and hold for real k > 0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaincinv, betaln, gammaln

__all__ = ["density", "draw", "due", "likelihood", "log_survival", "softplus", "survival"]

Floats = NDArray[np.float64]


def softplus(v: Any) -> Floats:
    """ln(1 + e^v)."""
    return np.asarray(np.maximum(v, 0.0) + np.log1p(np.exp(-np.abs(v))))


def likelihood(k: Any, x: Any, t_x: Any, log_gaps: Any, r: Any, alpha: Any) -> Floats:
    """Log density of x gaps that add up to ``t_x`` and whose logs add up to ``log_gaps``, the rate integrated out."""
    a = r + k * x
    front = k * x * np.log(k) + (k - 1) * log_gaps - x * gammaln(k) + gammaln(a) - gammaln(r)
    return np.asarray(front - r * np.log1p(k * t_x / alpha) - k * x * np.log(alpha + k * t_x))


def density(v: Any, k: Any, a: Any) -> Floats:
    """Log density of v = ln(k g / A), g her next gap."""
    return np.asarray(k * v - (k + a) * softplus(v) - betaln(k, a))


def survival(h: Any, k: Any, a: Any, A: Any) -> Floats:
    """P(her next gap is longer than ``h``), from whichever share of A + k h is small: the other has lost it."""
    total = A + k * h
    return np.asarray(np.where(k * h < A, betaincc(k, a, k * h / total), betainc(a, k, A / total)))


def log_survival(h: Any, k: Any, a: Any, A: Any) -> Floats:
    """ln P(her next gap is longer than ``h``), also where the probability itself is below the smallest float.

    Far in the tail: the power series of the incomplete beta function, whose terms are then positive and fall.
    """
    h, k, a, A = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (h, k, a, A)))
    plain = survival(h, k, a, A)
    far = plain < 1e-280
    with np.errstate(divide="ignore"):
        out = np.asarray(np.log(plain))
    if np.any(far):
        h, k, a, A = h[far], k[far], a[far], A[far]
        z = A / (A + k * h)
        term, series = np.ones_like(z), np.ones_like(z)
        for n in range(2000):
            term = term * z * (a + k + n) / (a + 1 + n)
            series += term
            if not np.any(term > 1e-17 * series):
                break
        share = -np.log1p(A / (k * h))
        out[far] = a * -np.log1p(k * h / A) + k * share - np.log(a) - betaln(a, k) + np.log(series)
    return out


def due(level: Any, k: Any, a: Any, A: Any) -> Floats:
    """The gap that she exceeds with probability ``level``."""
    z = betaincinv(a, k, level)
    return np.asarray(A / k * (1 - z) / np.maximum(z, 1e-300))


def draw(rng: np.random.Generator, beyond: Floats, k: Floats, a: Floats, A: Floats) -> tuple[Floats, Floats]:
    """(gap, rate): her current gap, already ``beyond`` long, and the rate that goes with it, drawn together."""
    gap = np.maximum(due(rng.random(len(beyond)) * survival(beyond, k, a, A), k, a, A), beyond)
    return gap, rng.gamma(a + k) / (A + k * gap)
