"""Pictures of a purchase model: histories that differ and are worth the same."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.purchases.fitted import FittedPurchases

__all__ = ["iso_value"]

_DAYS = 160  # of recency on the grid; finer than the lines are thick


def iso_value(
    model: FittedPurchases,
    *,
    age_days: float,
    discount_rate: float,
    horizon_days: float = math.inf,
    margin_mean: float | None = None,
    most: int = 15,
    levels: Sequence[float] | None = None,
    ax: Any = None,
) -> Any:
    """Draw lines of equal residual value over recency and frequency; customers on a line are worth the same.

    Everyone in the picture made her first purchase ``age_days`` ago. To the right is the day of her last purchase,
    counted from her first; upwards are her repeat purchase days, 1 to ``most``. With ``margin_mean``, the mean
    margin of her repeat purchase days so far, the lines are of the discounted margin within ``horizon_days``, and take
    in how far that mean is believed, which grows with frequency; without it, of discounted purchases. ``discount_rate``
    is per year and must be above 0 for an endless horizon. ``levels`` are the values to draw: by default 1, 2 and 5
    times powers of ten, the highest eight that occur.

    Returns the axes. Raises ConfigError for arguments out of range, and ModelError where the model has no margins or
    needs more of a history than this (set occasions, regularity of gaps). Source: Fader, Hardie and Lee 2005, Journal
    of Marketing Research 42(4), 415-430.

    Example:
        >>> from retention.value import ParetoNBD
        >>> model = ParetoNBD().at(r=0.563, alpha=12.56, s=0.408, beta=10.51)
        >>> ax = iso_value(model, age_days=545, discount_rate=0.15)
        >>> ax.get_ylabel()
        'repeat purchases'
    """
    if not (math.isfinite(age_days) and age_days > 0 and most >= 2):
        raise ConfigError(
            f"age_days={age_days!r}, most={most!r}",
            rule="the picture spans some days and at least two frequencies",
            remedy="age_days=365, most=15",
        )
    if margin_mean is not None and not math.isfinite(margin_mean):
        raise ConfigError(f"margin_mean={margin_mean!r}", rule="money is finite", remedy="leave it out for purchases")
    recency, frequency = np.linspace(age_days / _DAYS, age_days, _DAYS), np.arange(1, most + 1)
    x, last = (values.ravel() for values in np.meshgrid(frequency, recency, indexing="ij"))
    base = Histories.from_arrays(
        frequency=x,
        recency_days=last,
        age_days=np.full(len(x), age_days),
        margin_mean=np.full(len(x), 0.0 if margin_mean is None else margin_mean),
    )
    if margin_mean is None:
        worth, what = model.expected_purchases(base, horizon_days, discount_rate=discount_rate), "purchases to come"
    else:
        worth = model.value(base, horizon_days=horizon_days, discount_rate=discount_rate).value
        what = f"margin to come, {margin_mean:g} a time so far"
    ax = axes(ax, size=(6.5, 4.2))
    z = worth.reshape(most, _DAYS)
    lines = ax.contour(recency, frequency, z, levels=_round_levels(z) if levels is None else levels, cmap="viridis")
    ax.clabel(lines, fmt=lambda level: f"{level:,g}", fontsize=8)
    ax.set(xlabel=f"day of the last purchase, of {age_days:g}", ylabel="repeat purchases", xlim=(0, age_days))
    ax.set_title(f"Discounted {what}", fontsize=10)
    return ax


def _round_levels(worth: FloatColumn) -> list[float]:
    """1, 2 and 5 times powers of ten between the extremes, the highest eight."""
    low, high = float(worth.min()), float(worth.max())
    if not high > 0:
        return sorted({low, high})
    exponent = math.floor(math.log10(high))
    rounds = [k * 10.0**e for e in range(exponent - 3, exponent + 1) for k in (1, 2, 5)]
    return [level for level in rounds if low < level < high][-8:] or [(low + high) / 2]
