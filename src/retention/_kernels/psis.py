"""Pareto-smoothed importance sampling (Vehtari, Simpson, Gelman, Yao and Gabry 2024, JMLR 25(72))."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Smoothed", "generalised_pareto", "smooth"]

Floats = NDArray[np.float64]


class Smoothed(NamedTuple):
    """Normalised weights; ``k_hat``, the tail's shape (above 0.7 the weights are not to be trusted); the effective
    sample size 1 / sum w^2."""

    weights: Floats
    k_hat: float
    ess: float


def smooth(log_ratios: Floats) -> Smoothed:
    """Weights from log importance ratios, the largest replaced by quantiles of a fitted generalised Pareto tail.

    The tail holds min(S / 5, 3 sqrt(S)) of S ratios. With fewer than five ratios in it nothing can be said of the tail
    and ``k_hat`` is infinite.
    """
    n = len(log_ratios)
    log_w = log_ratios - log_ratios.max()
    tail = int(min(n / 5, 3 * np.sqrt(n)))
    k_hat = np.inf
    if tail >= 5:
        order = np.argsort(log_w, kind="stable")
        top = order[-tail:]
        cut = np.exp(log_w[order[-tail - 1]])
        excess = np.exp(log_w[top]) - cut
        if excess[0] < excess[-1]:
            k_hat, sigma = generalised_pareto(excess)
            ranks = (np.arange(tail) + 0.5) / tail
            fitted = (
                -sigma * np.log1p(-ranks) if abs(k_hat) < 1e-12 else sigma * np.expm1(-k_hat * np.log1p(-ranks)) / k_hat
            )
            log_w[top] = np.log(np.minimum(fitted + cut, 1.0))
        else:
            k_hat = -np.inf  # all alike: no tail at all
    weights = np.exp(log_w - log_w.max())
    weights /= weights.sum()
    return Smoothed(weights, float(k_hat), float(1 / np.sum(weights**2)))


def generalised_pareto(excess: Floats) -> tuple[float, float]:
    """(k, sigma) of a generalised Pareto law, from sorted excesses above a threshold.

    Zhang and Stephens 2009, Technometrics 51(3), with the weak prior of Vehtari et al. that draws k towards 1/2 by ten
    observations' worth.
    """
    n = len(excess)
    grid = 30 + int(np.sqrt(n))
    quartile = max(excess[max(int(n / 4 + 0.5) - 1, 0)], np.finfo(float).tiny)
    b = 1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    b = b / (3 * quartile) + 1 / excess[-1]
    ks = np.mean(np.log1p(-b[:, None] * excess), axis=1)
    fit = n * (np.log(-b / ks) - ks - 1)
    weight = 1 / np.sum(np.exp(np.clip(fit - fit[:, None], -700, 700)), axis=1)
    slope = float(np.sum(b * weight) / np.sum(weight))
    k = float(np.mean(np.log1p(-slope * excess)))
    sigma = -k / slope
    return k * n / (n + 10) + 0.5 * 10 / (n + 10), sigma
