"""What each customer's purchase days showed, and what a likelihood needs of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories

__all__ = ["OwnDays", "own_days", "sketch"]

_FEW, _THIN = 500, 20


class OwnDays(NamedTuple):
    """What each customer's purchase days showed: how many, their mean margin, and how they differ among themselves.

    ``squares`` is the sum of squares of ``free`` independent contrasts between her days, as far as they are known.
    """

    number: FloatColumn
    mean: FloatColumn
    squares: FloatColumn
    free: FloatColumn


def own_days(histories: Histories, *, first: bool) -> OwnDays:
    """The repeat purchase days of each customer; with ``first`` the day of her first purchase as well.

    Raises ModelError for ``first`` on a base that holds mean margins but no total ones, and for squares that do not go
    with the means.
    """
    x, mean = histories.frequency.astype(np.float64), histories.margin_mean
    least = x * mean**2
    known = (histories.margin_squares > 0) | (mean == 0)
    if np.any(known & (histories.margin_squares < least * (1 - 1e-9))):
        raise ModelError(
            "histories whose margin_squares are less than their mean margins allow",
            rule="margin_squares is at least frequency * margin_mean ** 2, or 0 if not known",
            remedy="change both columns when you change one, or set margin_squares to 0",
        )
    about = np.maximum(histories.margin_squares - least, 0.0)
    free = np.where(known, np.maximum(x - 1, 0.0), 0.0)
    squares = np.where(free > 0, about, 0.0)
    if not first:
        return OwnDays(x, np.where(x > 0, mean, 0.0), squares, free)
    if len(x) and not np.any(histories.margin) and np.any(mean):
        raise ModelError(
            "first=True with histories whose margin is 0 everywhere",
            rule="the first purchase's margin is margin - frequency * margin_mean",
            remedy="fill the column margin, or leave first=False",
        )
    opening = histories.margin - x * mean
    return OwnDays(
        x + 1,
        histories.margin / (x + 1),
        squares + np.where(x > 0, (opening - mean) ** 2 * x / (x + 1), 0.0),
        free + (x > 0),
    )


def sketch(
    objective: Callable[[Any, FloatColumn], Any], number: FloatColumn, mean: FloatColumn, weight: FloatColumn
) -> Any:
    """The likelihood of a few customers, enough to find a start from; None if there are no more.

    They are spread evenly over those who show much and little; of a large base only every so manieth row is looked at.
    ``objective`` makes the function of the parameters from where customers stand and their weights.
    """
    if len(number) <= 2 * _FEW:
        return None
    thin = np.arange(0, len(number), max(1, len(number) // (_THIN * _FEW)))
    order = thin[np.lexsort([mean[thin], number[thin]])]
    some = order[np.linspace(0, len(order) - 1, _FEW).astype(np.intp)]
    return objective(some, weight[some] * (weight.sum() / weight[some].sum()))
