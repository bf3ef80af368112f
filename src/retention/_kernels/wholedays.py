"""Regularity seen in whole days: gaps are rounded up, and who comes every few days looks more even than she is.

The regularity of gamma gaps is their shape k: the log of such a gap has variance trigamma(k), whatever its mean. Days
are whole, so a gap seen is the gap rounded up, and the variance of its log depends on the mean as well: for a mean of a
day or two it is small however irregular she is. Both ways are tabulated here: by shape and mean, and back.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gdtrc, polygamma

__all__ = ["continuous_shape", "log_variance", "shape_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LONGEST = 10_000.0


def log_variance(shape: float, mean_gap: Floats) -> Floats:
    """The variance of log gaps of that gamma shape when they are rounded up to whole days, by their mean in days."""
    means, variances = _rounded_up(shape)
    return np.where(np.isinf(mean_gap), float(polygamma(1, shape)), np.interp(mean_gap, means, variances))


@cache
def _rounded_up(shape: float) -> tuple[Floats, Floats]:
    """Means of whole-day gaps, and the variances of their logs: single days up to 300, then stretches of 3 %."""
    edges = np.unique(np.rint(np.concatenate([np.arange(301.0), np.geomspace(300.0, 1e8, 430)])))
    size = np.diff(edges)
    middle = edges[:-1] + (size + 1) / 2
    logs = np.log(middle)
    means, variances = [1.0], [0.0]
    for mean in np.geomspace(0.2, _LONGEST, 60):
        later = gdtrc(shape / mean, shape, edges)  # P(gap > 0), P(gap > 1), ...
        share = later[:-1] - later[1:]
        means.append(float(share @ middle))
        variances.append(float(share @ logs**2 - (share @ logs) ** 2))
    return np.array(means), np.array(variances)


@cache
def _variances() -> tuple[Floats, Floats, Ints]:
    """Shapes, mean gaps in days, and the variance of the logs of whole-day gaps: shapes by means."""
    shapes, means = np.geomspace(0.05, 400.0, 72), np.geomspace(1.0, _LONGEST, 700)
    table = np.array([log_variance(float(k), means) for k in shapes])
    # Bursts of many gaps below a day vary less again; of two shapes that vary alike, the more even one is meant.
    return shapes, means, np.maximum.accumulate(table[::-1])[::-1]


def shape_of(variance: Floats, mean_gap: Floats) -> Floats:
    """The gamma shape whose gaps, rounded up to whole days, have logs that vary so: by interpolation between shapes.

    Where even gaps vary less than rounding alone makes them, the most even shape of the table.
    """
    shapes, means, table = _variances()
    # Between two means of the table, what it says for every shape is a mixture of two columns.
    place = np.interp(np.log(np.clip(mean_gap, means[0], means[-1])), np.log(means), np.arange(len(means)))
    left = np.minimum(place.astype(np.int64), len(means) - 2)
    right = place - left

    def at(k: Ints) -> Floats:
        return np.asarray((1.0 - right) * table[k, left] + right * table[k, left + 1])

    low, high = np.zeros(len(variance), np.int64), np.full(len(variance), len(shapes) - 1)
    while (high - low > 1).any():
        middle = (low + high) // 2
        above = variance >= at(middle)  # variances fall with the shape
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    before, after = at(low), at(high)
    share = np.divide(before - variance, before - after, out=np.ones(len(variance)), where=before > after)
    share = np.clip(share, 0.0, 1.0)
    out = np.asarray(shapes[low] * (shapes[high] / shapes[low]) ** share)
    wide = np.isinf(mean_gap)  # not a gap is known, nor how much rounding would matter
    out[wide] = continuous_shape(variance[wide])
    return out


def continuous_shape(variance: Floats) -> Floats:
    """The gamma shape whose logs have that variance: the inverse of the trigamma function, by Newton's method."""
    v = np.clip(variance, 1e-6, 1e4)
    k = np.where(v > 1.0, 1.0 / np.sqrt(v), 0.5 + 1.0 / v)
    for _ in range(4):  # on 1 / trigamma, which is nearly a straight line
        f, slope = polygamma(1, k), polygamma(2, k)
        k = k + (f - f**2 / v) / slope
    return np.asarray(k)
