r"""Stretches in which more happens than elsewhere: a scan statistic with an exact Monte-Carlo null.

With :math:`d_j` events in bin j and :math:`e_j` expected (:math:`\sum e = \sum d = D`), a window W of adjacent bins
with d events where e are expected scores

.. math:: \Lambda(W) = d \ln\frac{d}{e} + (D - d) \ln\frac{D - d}{D - e} \quad (d > e), \qquad 0 \text{ otherwise},

and the scan is its maximum over all windows of one to several bins (Kulldorff 1997). If no bin is special the counts,
given D, are multinomial with probabilities e / D, so the rank of the observed maximum among those of drawn counts is an
exact p-value, for all windows together (Dwass 1957).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Window", "scan", "smooth_rates"]

Array = NDArray[np.float64]


class Window(NamedTuple):
    """Bins ``first`` to ``last`` (both included), the score, and the chance of one as high anywhere by accident."""

    first: int
    last: int
    score: float
    p_value: float


def scan(
    counts: Array,
    exposure: Array,
    *,
    widest: int,
    draws: int,
    rng: np.random.Generator,
    elsewhere: tuple[float, float] = (0.0, 0.0),
    trend: "Callable[[Array, Array], Array] | None" = None,
) -> "Window | None":
    """The window that stands out most, or None without events.

    ``elsewhere`` are events and exposure outside the bins, which take part in what is expected but not in windows.
    ``trend(counts, exposure)`` gives the rates of a null that is not flat, with what is elsewhere as the last bin; it
    is fitted again to every draw.
    """
    D = float(counts.sum() + elsewhere[0])
    if D == 0 or counts.sum() == 0:
        return None
    E = np.append(exposure, elsewhere[1])

    def expected(seen: Array) -> Array:
        weight = E if trend is None else trend(seen, E) * E
        return np.asarray(D * weight / weight.sum())

    observed = np.append(counts, elsewhere[0])
    e = expected(observed)
    scores, starts, widths = _scores(observed[None, :-1], e[None, :-1], D, widest)
    best = int(np.argmax(scores[0]))
    drawn = rng.multinomial(round(D), e / e.sum(), size=draws).astype(np.float64)
    nulls = np.broadcast_to(e, drawn.shape) if trend is None else np.array([expected(one) for one in drawn])
    tops = np.concatenate(
        [
            _scores(drawn[k : k + 256, :-1], nulls[k : k + 256, :-1], D, widest)[0].max(axis=1)
            for k in range(0, draws, 256)
        ]
    )
    top = float(scores[0, best])
    p_value = (1.0 + float(np.sum(tops >= top * (1 - 1e-12)))) / (draws + 1.0)
    first = int(starts[best])
    return Window(first, first + int(widths[best]) - 1, top, p_value)


def _scores(
    counts: Array, expected: Array, D: float, widest: int
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    bins = counts.shape[1]
    zero = np.zeros((len(counts), 1))
    seen, due = (np.concatenate([zero, np.cumsum(v, axis=1)], axis=1) for v in (counts, expected))
    parts, starts, widths = [], [], []
    for width in range(1, min(widest, bins) + 1):
        d, e = seen[:, width:] - seen[:, :-width], due[:, width:] - due[:, :-width]
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.where(d > 0, d * np.log(d / e), 0.0)
            outside = np.where(D - d > 0.5, (D - d) * np.log((D - d) / np.maximum(D - e, 1e-300)), 0.0)
        parts.append(np.where((d > e) & (e > 0), inside + outside, 0.0))
        starts.append(np.arange(bins - width + 1))
        widths.append(np.full(bins - width + 1, width))
    return np.concatenate(parts, axis=1), np.concatenate(starts), np.concatenate(widths)


def smooth_rates(
    counts: Array, exposure: Array, *, bandwidth: float, interval: float, draws: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Rates smoothed by a Gaussian kernel over bins, and bounds that hold for all bins together.

    The bounds are for the smoothed rate, on the log scale: the largest standardised error over bins is drawn from the
    Gaussian process that Poisson counts under this kernel tend to. NaN where nobody was at risk.
    """
    from scipy.ndimage import convolve1d

    reach = np.arange(-math.ceil(5 * bandwidth), math.ceil(5 * bandwidth) + 1)
    kernel = np.exp(-0.5 * (reach / max(bandwidth, 1e-9)) ** 2)

    def spread(values: Array, weights: Array) -> Array:
        return np.asarray(convolve1d(values, weights, axis=-1, mode="constant")) if len(counts) else values

    n, d = spread(exposure, kernel), spread(counts, kernel)
    held = exposure > 0
    rate = np.divide(d, n, out=np.full(len(counts), np.nan), where=held)
    # Errors are those of smoothed counts, a little more than none: where nothing ended something might have.
    level = spread(counts, kernel) / kernel.sum() + 1e-12
    scale = np.sqrt(spread(level, kernel**2))
    z = spread(rng.standard_normal((draws, len(counts))) * np.sqrt(level), kernel) / np.maximum(scale, 1e-300)
    worst = float(np.quantile(np.abs(z[:, held]).max(axis=1), interval)) if held.any() else 0.0
    factor = np.exp(worst * scale / np.maximum(d, 0.5))
    top = np.where(held, np.maximum(d, 0.5) / np.maximum(n, 1e-300), np.nan)
    return rate, rate / factor, top * factor
