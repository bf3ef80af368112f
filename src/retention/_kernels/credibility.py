"""Credibility: margins of either sign, normal around each customer's mean, and those means normal around the base's
(Bühlmann and Straub 1970, "Glaubwürdigkeit für Schadensätze").

``y_ij ~ N(m_i, within^2)`` and ``m_i ~ N(mean + slope d_i, between^2)``, where ``d_i`` is how far the customer's
log-rate of purchases lies above the usual one. She is known by the number ``n`` of her days, their mean ``y``, and
``squares``, the sum of squares of ``free`` independent contrasts between her days, each N(0, within^2): the sum of
squares about her mean with ``n - 1`` if every day is known, 0 with 0 if only the mean is.

Nothing here loses digits beyond the rounding of ``y - mean``; no step overflows for deviations up to 1e4 and margins
up to 1e8.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Days", "Params", "log_densities", "posterior", "total"]

Floats = NDArray[np.float64]


class Params(NamedTuple):
    """The parameters, each in the unit of the money; ``between`` and ``within`` are standard deviations."""

    mean: float
    between: float
    within: float
    slope: float = 0.0


class Days(NamedTuple):
    """What is known of each customer's purchase days: their number, their mean, and contrasts between them."""

    n: Floats
    mean: Floats
    squares: Floats
    free: Floats


def log_densities(params: Params, n: Floats, y: Floats, d: Floats | None = None) -> Floats:
    """Log density of each customer's mean ``y`` of ``n`` > 0 days: normal, variance between^2 + within^2 / n."""
    variance = params.between**2 + params.within**2 / n
    return np.asarray(-(np.log(2 * np.pi * variance) + (y - _centre(params, d)) ** 2 / variance) / 2)


def posterior(params: Params, n: Floats, y: Floats, d: Floats | None = None) -> tuple[Floats, Floats]:
    """Mean and variance of each customer's own ``m``, given ``n`` >= 0 days; for none, those of the base."""
    _, between, within, _ = params
    bottom = n * between**2 + within**2
    centre = _centre(params, d)
    return np.asarray((within**2 * centre + n * between**2 * y) / bottom), np.asarray(between**2 * (within**2 / bottom))


def total(
    params: Params, days: Days, d: Floats | None = None, weight: Floats | None = None
) -> tuple[float, Floats, Floats]:
    """Weighted log-likelihood of means and contrasts, with gradient and Hessian by ``(mean, log between, log within)``.

    With ``d`` there is a fourth variable, the slope.
    """
    n, y, squares, free = days
    w = np.ones(len(n)) if weight is None else weight
    within = params.within
    variance = params.between**2 + within**2 / n
    alpha, beta = params.between**2 / variance, within**2 / (n * variance)
    e = (y - _centre(params, d)) / variance
    u = e**2 * variance
    count, inner = float(np.einsum("n,n->", w, free)), float(np.einsum("n,n->", w, squares)) / within**2

    value = -float(np.einsum("n,n->", w, np.log(2 * np.pi * variance) + u)) / 2
    value -= (count * float(np.log(2 * np.pi * within**2)) + inner) / 2
    by = np.stack([e, alpha * (u - 1), beta * (u - 1)])
    mixed = 2 * alpha * beta
    apart = (params.within**2 / n - params.between**2) / variance  # beta - alpha, which u multiplies
    bend = np.empty((3, 3, len(n)))
    bend[0] = -1 / variance, -2 * alpha * e, -2 * beta * e
    bend[1:, 0] = bend[0, 1:]
    bend[1, 1] = 2 * alpha * (apart * u - beta)
    bend[1, 2] = bend[2, 1] = mixed * (1 - 2 * u)
    bend[2, 2] = -2 * beta * (apart * u + alpha)
    g, H = np.einsum("n,in->i", w, by), np.einsum("n,ijn->ij", w, bend)
    g[2] += inner - count
    H[2, 2] -= 2 * inner
    if d is None:
        return value, g, H
    full = np.empty((4, 4))
    full[:3, :3] = H
    full[3, :3] = full[:3, 3] = np.einsum("n,n,in->i", w, d, bend[0])
    full[3, 3] = np.einsum("n,n,n->", w, d**2, bend[0, 0])
    return value, np.append(g, np.einsum("n,n,n->", w, d, e)), full


def _centre(params: Params, d: Floats | None) -> Floats | float:
    return params.mean if d is None else params.mean + params.slope * d
