"""Bounds of the money one customer will bring, from the first two moments of it."""

from typing import Any

import numpy as np

from retention.frames.table import FloatColumn
from retention.value.margins.protocol import Moments

__all__ = ["bounds_of_each", "bounds_of_sum"]


def bounds_of_each(ahead: Any, money: Moments, lossless: Any, interval: float) -> tuple[FloatColumn, FloatColumn]:
    """The two bounds of each customer: of a mixture of 0 if she buys nothing and a gamma or normal of her moments.

    ``ahead`` is a Forecast of the purchases, ``money`` the moments of what one of them brings, ``lossless`` a mask of
    those whose margins cannot be below zero (gamma; the others get a normal).
    """
    from scipy.special import gammaincinv, ndtr, ndtri

    buys = np.maximum(ahead.any, 1e-100)
    none = 1 - buys
    mean = ahead.mean * money.mean
    second = ahead.squares * money.square + ahead.pairs * money.product
    m = mean / buys
    variance = np.maximum(second / buys - m**2, 1e-12 * m**2)
    s = np.sqrt(variance)
    gamma = lossless & (m > 0) & (variance > 0)
    shape = np.divide(m**2, variance, out=np.ones_like(m), where=gamma)
    below = np.where(m < 0, 1.0, 0.0)  # of the money, given that she buys: the share below zero
    below[gamma] = 0.0
    spread = ~gamma & (s > 0)
    below[spread] = ndtr(-m[spread] / s[spread])
    bounds = []
    for level in ((1 - interval) / 2, (1 + interval) / 2):
        loss = buys * below
        rank = np.where(level < loss, level / buys, (level - none) / buys)
        silent = (level >= loss) & (level <= loss + none)
        rank = np.clip(rank, 1e-300, 1 - 1e-16)
        bound = m.copy()
        draw = gamma & ~silent
        bound[draw] = gammaincinv(shape[draw], rank[draw]) * m[draw] / shape[draw]
        draw = spread & ~silent
        bound[draw] = m[draw] + s[draw] * ndtri(rank[draw])
        bounds.append(np.where(silent, 0.0, bound))
    return bounds[0], bounds[1]


def bounds_of_sum(total: float, variance: float, lossless: bool, interval: float) -> tuple[float, float]:
    """Of a sum over many customers: gamma with that mean and variance, normal where losses are among it."""
    from scipy.special import gammaincinv, ndtri

    levels = np.array([1 - interval, 1 + interval]) / 2
    if variance <= 0:
        bounds = np.full(2, total)
    elif total > 0 and lossless:
        bounds = gammaincinv(total**2 / variance, levels) * variance / total
    else:
        bounds = total + np.sqrt(variance) * ndtri(levels)
    return float(bounds[0]), float(bounds[1])
