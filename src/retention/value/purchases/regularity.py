"""How regular customers come: 1 is at random, 2 and more by habit, below 1 in bursts."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from retention.frames.table import FloatColumn

__all__ = ["regularity", "shape_of_gaps"]


def regularity(gaps: Iterable[ArrayLike], *, by: str = "pairs", least: int = 10) -> float:
    """One figure for a base: the shape k of gamma distributed gaps, before any model is fitted.

    ``gaps`` holds each customer's gaps between purchase days in their order, in any time unit. ``by="pairs"`` needs two
    gaps a customer and no common rate: the share of the last gap in the last two is beta(k, k) whatever her rate, with
    variance 1 / (4 (2k + 1)) around 1/2 (Wheat and Morrison 1990, Journal of Marketing Research 27(1), 87-93).
    ``by="likelihood"`` is the median of ``shape_of_gaps`` over the customers with at least ``least`` gaps: it looks at
    the busiest only, and is a little high. NaN if nobody has enough gaps. Raises ConfigError for another ``by``.

    Example:
        >>> regularity([[7, 7, 6], [30, 29], [14, 15, 14], [5]]) > 100
        True
    """
    from retention.errors import ConfigError

    listed = [np.asarray(each, dtype=np.float64) for each in gaps]
    if by == "pairs":
        shares = np.array([each[-1] / (each[-1] + each[-2]) for each in listed if len(each) >= 2])
        if not len(shares):
            return float("nan")
        variance = float(np.mean((shares - 0.5) ** 2))
        return (1 - 4 * variance) / (8 * variance) if variance > 0 else float("inf")
    if by == "likelihood":
        shapes = shape_of_gaps([each for each in listed if len(each) >= least])
        return float(np.median(shapes)) if len(shapes) else float("nan")
    raise ConfigError(f"by={by!r}", rule="regularity is read by pairs or by likelihood", remedy="by='pairs'")


def shape_of_gaps(gaps: Iterable[ArrayLike]) -> FloatColumn:
    """Each customer's own gamma shape by maximum likelihood: ln k - psi(k) = ln(mean gap) - mean(ln gap).

    Infinite for equal gaps, NaN without any. With few gaps it is too high (typically twice as high for three, half as
    much again for five), which is why a model borrows from the base instead.

    Example:
        >>> shape_of_gaps([[7, 9, 6, 8, 7], [1, 20, 3, 2, 9]]).round(1).tolist()
        [53.2, 1.0]
    """
    from scipy.special import polygamma, psi

    listed = [np.asarray(each, dtype=np.float64) for each in gaps]
    out = np.full(len(listed), np.nan)
    for i, each in enumerate(listed):
        if not len(each):
            continue
        spread = float(np.log(each.mean()) - np.log(each).mean())
        if spread < 1e-12:
            out[i] = np.inf
            continue
        k = (3 - spread + np.sqrt((spread - 3) ** 2 + 24 * spread)) / (12 * spread)  # within 1.5 %
        for _ in range(6):
            k = 1 / (1 / k + (np.log(k) - psi(k) - spread) / (k - k * k * polygamma(1, k)))
        out[i] = k
    return out
