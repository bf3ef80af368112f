"""The figures that an allocation is made of, checked: amounts, limits, indices."""

import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError

__all__ = [
    "checked_by_segment",
    "checked_indices",
    "checked_limit",
    "checked_matrix",
    "checked_number",
    "checked_places",
]


def checked_matrix(
    name: str, given: Any, shape: tuple[int, int] | None = None, least: float = -math.inf, *, look: bool = True
) -> tuple[Any, float, float]:
    """Figures by customer and action as floats, their least and their largest (both 0 if there are none).

    ``look=False`` leaves out whatever needs to look at every figure; least and largest are 0 then.
    """
    array = np.asarray(given)
    if array.dtype.kind not in "iuf":
        raise ConfigError(
            f"{name} of type {array.dtype}",
            rule=f"{name} are numbers",
            remedy="pass an array of floats",
        )
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if shape is None:
        if array.ndim != 2 or array.shape[1] == 0 or array.shape[1] > 32_000:
            raise ConfigError(
                f"{name} of shape {array.shape}",
                rule=f"{name} has a row for each customer and a column for each action, at least one",
                remedy="pass a two-dimensional array, also for one action",
            )
    elif array.shape == shape[1:]:
        array = np.broadcast_to(array, shape)
    elif array.shape != shape:
        raise ConfigError(
            f"{name} of shape {array.shape} beside gains of shape {shape}",
            rule=f"{name} has the shape of gains",
            remedy="line the arrays up, customer by customer and action by action",
        )
    if not array.size or not look:
        return array, 0.0, 0.0
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = np.argwhere(~np.isfinite(array))
        raise ConfigError(
            f"{name} that are not finite ({len(bad):,} of them, the first in row {bad[0, 0]}, column {bad[0, 1]})",
            rule=f"{name} are finite numbers",
            remedy="forbid pairs by allowed=False, and mend what is missing",
        )
    if low < least:
        row, column = np.unravel_index(int(np.argmin(array)), array.shape)
        raise ConfigError(
            f"{name} below {least:g} (as in row {row}, column {column})",
            rule=f"{name} are {least:g} or more",
            remedy="what an action brings belongs into gains",
        )
    if max(abs(low), abs(high)) > 1e100:
        raise ConfigError(
            f"{name} as large as {max(abs(low), abs(high)):.0e}",
            rule="figures are amounts of money or hours, below 1e100",
            remedy="forbid pairs by allowed=False, not by figures",
        )
    return array, low, high


def checked_number(name: str, given: Any) -> float:
    """A number of 0 or more."""
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(given, bool) or not (value >= 0):
        raise ConfigError(
            f"{name}={given!r}",
            rule=f"{name} is a number of 0 or more",
            remedy=f"give {name} a number >= 0",
        )
    return value


def checked_limit(name: str, given: Any) -> float:
    """A limit of 0 or more; None is none."""
    return math.inf if given is None else checked_number(name, given)


def checked_places(name: str, given: Any) -> float:
    """A limit in whole contacts."""
    value = checked_limit(name, given)
    if value < math.inf and value != math.floor(value):
        raise ConfigError(
            f"{name}={given!r}",
            rule="contacts are counted in whole numbers",
            remedy="pass a whole number, or None for no limit",
        )
    return value


def checked_indices(name: str, given: Any, n: int) -> NDArray[np.intp]:
    """One index from 0 for each of n."""
    array = np.asarray(given)
    if array.dtype.kind not in "iu" and array.size:
        raise ConfigError(f"{name} of type {array.dtype}", rule=f"{name} holds indices", remedy="pass whole numbers")
    if array.shape != (n,):
        raise ConfigError(
            f"{name} of shape {array.shape}",
            rule=f"{name} has one index for each of {n:,} {'actions' if name == 'channel' else 'customers'}",
            remedy="line it up with gains",
        )
    if array.size and int(array.min()) < 0:
        raise ConfigError(f"{name} with a negative index", rule="indices count from 0", remedy="use 0, 1, ...")
    return array.astype(np.intp, copy=False)


def checked_by_segment(name: str, given: Any) -> dict[int, float]:
    """Whole contacts by segment; a floor of None is 0, a ceiling of None is none."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif np.ndim(given) == 1:
        pairs = list(enumerate(given))
    else:
        raise ConfigError(
            f"{name}={given!r}",
            rule=f"{name} is one figure a segment",
            remedy=f"pass {name}=[...] or a mapping of segments to numbers",
        )
    out: dict[int, float] = {}
    for s, number in pairs:
        try:
            index = operator.index(s)
        except TypeError:
            index = -1
        if index < 0:
            raise ConfigError(
                f"{name} of a segment that is no index", rule="segments are 0, 1, ...", remedy="use the index"
            )
        value = checked_places(f"{name} of segment {index}", number)
        out[index] = 0.0 if number is None and name == "at_least" else value
    return out
