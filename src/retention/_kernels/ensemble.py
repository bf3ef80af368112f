"""A sampler for a handful of parameters that needs only values of the log density, many points at a time.

Walkers learn from each other where to go, so that the shape of the density, however stretched, does not matter. Most
steps are along the difference of two others (ter Braak 2006, Statistics and Computing 16(3)): in four dimensions three
times as many effective draws as from steps along the line through one other (Goodman and Weare 2010, Communications in
Applied Mathematics and Computational Science 5(1)), of which one in ten is left, for densities that are bent.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Walked", "effective_size", "judged", "split_r_hat", "walk"]

Floats = NDArray[np.float64]


class Walked(NamedTuple):
    """Draws (steps, walkers, d) after the warm-up, the largest split R-hat and the smallest effective sample size."""

    draws: Floats
    r_hat: float
    ess: float


def walk(
    log_density: Callable[[Floats], Floats], start: Floats, rng: np.random.Generator, *, warm_up: int, steps: int
) -> Walked:
    """Let the walkers of ``start`` (4 rows or more, an even number) go; ``log_density`` takes a matrix of points."""
    walkers, d = start.shape
    half = walkers // 2
    points, heights = start.copy(), log_density(start)
    kept = np.empty((steps, walkers, d))
    for step in range(warm_up + steps):
        for own, other in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
            first = rng.integers(0, half, half)
            partners = points[other][first]
            if rng.random() < 0.1:
                stretch = (1 + rng.random(half)) ** 2 / 2  # density 1 / sqrt(z) on [1/2, 2]
                proposal, volume = partners + stretch[:, None] * (points[own] - partners), (d - 1) * np.log(stretch)
            else:
                second = (first + rng.integers(1, half, half)) % half
                reach = 2.38 / np.sqrt(2 * d) * rng.uniform(0.75, 1.25, (half, 1))
                proposal, volume = points[own] + reach * (partners - points[other][second]), np.zeros(half)
            fresh = log_density(proposal)
            gain = volume + fresh - heights[own]
            moved = np.log(rng.random(half)) < gain
            points[own] = np.where(moved[:, None], proposal, points[own])
            heights[own] = np.where(moved, fresh, heights[own])
        if step >= warm_up:
            kept[step - warm_up] = points
    return judged(kept)


def judged(draws: Floats) -> Walked:
    """Draws (steps, walkers, d), maybe of several walks that go on where the last one ended, with what they are worth.

    Each number is the worst of the coordinates.
    """
    columns = [draws[:, :, j] for j in range(draws.shape[2])]
    return Walked(draws, max(map(split_r_hat, columns)), min(map(effective_size, columns)))


def split_r_hat(chains: Floats) -> float:
    """How far halves of chains (steps, chains) differ from one another: 1 when they agree (Gelman et al. 2013)."""
    half = len(chains) // 2
    parts = np.concatenate([chains[:half], chains[half : 2 * half]], axis=1)
    within = float(np.mean(np.var(parts, axis=0, ddof=1)))
    between = half * float(np.var(np.mean(parts, axis=0), ddof=1))
    return float(np.sqrt((within * (half - 1) / half + between / half) / within)) if within > 0 else 1.0


def effective_size(chains: Floats) -> float:
    """Independent draws that would know the mean as well: from the autocorrelation of the walkers' mean.

    Walkers of an ensemble are not independent, so the mean over walkers is the one series that counts; its
    integrated autocorrelation time is summed until the window is five times as long (Sokal 1997).
    """
    steps, walkers = chains.shape
    series = chains - chains.mean()
    n = 1 << (2 * steps - 1).bit_length()
    spectrum = np.fft.rfft(series, n, axis=0)
    rho = np.fft.irfft(np.mean(np.abs(spectrum) ** 2, axis=1))[:steps]
    if rho[0] <= 0:
        return float(steps * walkers)
    time = 2 * np.cumsum(rho / rho[0]) - 1
    beyond = np.flatnonzero(np.arange(steps) >= 5 * time)
    tau = time[beyond[0]] if len(beyond) else time[-1]
    return float(steps * walkers / max(tau, 1.0))
