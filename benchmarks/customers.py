"""Made-up customers for the benchmarks: the same on every machine and in every run."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["donors", "shoppers", "subscribers", "write"]

Floats = NDArray[np.float64]


def shoppers(n: int, weeks: tuple[int, int] = (26, 78), seed: int = 1) -> Floats:
    """Four rows (x, t_x, T in whole days, mean spend of a repeat purchase) of ``n`` BG/NBD customers.

    They first bought between ``weeks`` ago, uniformly; rates are gamma(0.25, 4.4 weeks), the chance to leave after
    each repeat purchase beta(0.8, 2.4); two purchases are never on one day. Spend is gamma-gamma (6.25, 3.74, 15.44).
    """
    rng = np.random.default_rng(seed)
    age = rng.integers(7 * weeks[0], 7 * weeks[1] + 1, n).astype(float)
    rate, leaves = rng.gamma(0.25, 1 / 4.4, n) / 7, rng.beta(0.8, 2.4, n)
    x, last, clock, going = np.zeros(n), np.zeros(n), np.zeros(n), np.arange(n)
    while len(going):
        clock[going] = np.ceil(clock[going] + rng.exponential(1 / np.maximum(rate[going], 1e-300)))
        going = going[clock[going] <= age[going]]
        x[going] += 1
        last[going] = clock[going]
        going = going[rng.random(len(going)) > leaves[going]]
    each = np.maximum(x, 1)
    spend = rng.gamma(6.25 * each, 1 / rng.gamma(3.74, 1 / 15.44, n)) / each
    return np.array([x, last, age, np.where(x > 0, spend, 0.0)])


def donors(n: int, seed: int = 1) -> Floats:
    """Four rows (x, t_x, number of occasions, 0) of ``n`` BG/BB donors over six occasions."""
    rng = np.random.default_rng(seed)
    gives, leaves = rng.beta(1.2, 0.75, n), rng.beta(0.66, 2.78, n)
    x, last, there = np.zeros(n), np.zeros(n), np.ones(n, dtype=bool)
    for occasion in range(1, 7):
        there &= rng.random(n) > leaves
        gave = there & (rng.random(n) < gives)
        x += gave
        last[gave] = occasion
    return np.array([x, last, np.full(n, 6.0), np.zeros(n)])


def subscribers() -> Floats:
    """Four rows (period, 1 if she left in it and 0 if she was still there after it, 0, 0) of 1,000 subscribers.

    The "Regular" segment of Fader and Hardie (2007), How to project customer retention, Table 1: seven renewals.
    """
    still = np.array([1000, 631, 468, 382, 326, 289, 262, 241])
    left = -np.diff(still)
    periods = np.concatenate([np.repeat(np.arange(1, 8), left), np.full(still[-1], 7)]).astype(float)
    return np.array([periods, np.repeat([1.0, 0.0], [left.sum(), still[-1]]), 0 * periods, 0 * periods])


def write(path: Path, columns: Floats) -> Path:
    """The rows as raw little-endian float64, which every worker can read."""
    np.ascontiguousarray(columns, dtype="<f8").tofile(path)
    return path
