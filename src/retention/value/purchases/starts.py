"""Where a climb to the maximum begins: many points looked at together, few of them climbed from."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retention.frames.table import FloatColumn, read_only

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Ready

__all__ = ["Hill", "finer", "hills", "sketch"]

_FEW = 1024  # customers who stand for a base while a start is looked for
_SOME = 16  # times as many, who bring it nearer where the base is larger still
_STOPS = np.array([0.25, 0.5, 0.75])  # on the way from a start to a summit


class Hill(NamedTuple):
    """Where a climb ended, and how many of the starts belong to it."""

    summit: FloatColumn
    starts: int


def sketch(cells: "Cells", customers: int = _FEW) -> "Cells":
    """That many of the customers, evenly through the cells; the cells themselves if they are hardly more."""
    if len(cells.weight) <= 2 * customers:
        return cells
    held = np.cumsum(cells.weight)
    each = held[-1] / customers
    some, count = np.unique(np.searchsorted(held, (np.arange(customers) + 0.5) * each), return_counts=True)
    return cells.take(some)._replace(weight=count * each)


def finer(cells: "Cells") -> "Cells | None":
    """A larger sketch, where the base is larger still."""
    return sketch(cells, _SOME * _FEW) if len(cells.weight) > 4 * _SOME * _FEW else None


def hills(
    few: "Ready", center: FloatColumn, sd: FloatColumn, precision: FloatColumn, some: "Ready | None" = None
) -> list[Hill]:
    """The hills of a likelihood, by log-parameters, on which seven starts lie; ``few`` is the likelihood of a sketch.

    The starts are around ``center``; ``precision`` is that of a normal prior there. The climb begins at the highest.
    Another start from which the straight way to the summit only rises lies on the same hill; from the others a climb
    is made too. Empty if the first climb finds no summit. The climbs end on the finer sketch ``some`` if there is one.
    """
    from retention._kernels.newton import maximise

    values, objective = _heights(few, center, precision)
    starts = center + sd * _around(len(center))
    heights = values(starts)
    first = int(np.where(np.isfinite(heights), heights, -np.inf).argmax())
    climb = maximise(objective, starts[first], steps=30)
    if not climb.converged:
        return []
    others = [k for k in range(len(starts)) if k != first]
    ways = starts[others, None] + _STOPS[:, None] * (climb.point - starts[others, None])
    profile = np.full((len(others), 2 + len(_STOPS)), climb.value)
    profile[:, 0] = heights[others]
    profile[:, 1:-1] = values(ways.reshape(-1, len(center))).reshape(len(others), -1)
    rises = (profile[:, 1:] > profile[:, :-1]).all(axis=1)  # a height that is not a number does not rise
    found = [Hill(climb.point, 1 + int(rises.sum()))]
    for start in starts[others][~rises]:
        end = maximise(objective, start, steps=30).point
        near = [k for k, hill in enumerate(found) if float(np.abs(end - hill.summit).max()) <= 0.1]
        if near:
            found[near[0]] = found[near[0]]._replace(starts=found[near[0]].starts + 1)
        else:
            found.append(Hill(end, 1))
    if some is not None:
        _, objective = _heights(some, center, precision)
        found = [hill._replace(summit=maximise(objective, hill.summit, steps=5).point) for hill in found]
    return found


@cache
def _around(dimensions: int) -> FloatColumn:
    """The middle and six corners about it, in standard deviations."""
    axis = np.arange(dimensions)
    signs = np.where(np.array([axis % 2, axis // 2 % 2, (axis + axis // 2) % 2]) == 0, 0.5, -0.5)
    return read_only(np.concatenate([np.zeros((1, dimensions)), signs, -signs]))


def _heights(
    ready: "Ready", center: FloatColumn, precision: FloatColumn
) -> tuple[Callable[[FloatColumn], FloatColumn], Callable[[FloatColumn], tuple[float, FloatColumn, FloatColumn]]]:
    """The log-likelihood and the prior at many points, and at one with gradient and Hessian."""
    if not np.any(precision):
        return lambda points: ready.values(np.exp(points)), lambda point: ready.total(np.exp(point))

    def values(points: FloatColumn) -> FloatColumn:
        return np.asarray(ready.values(np.exp(points)) - 0.5 * np.square(points - center) @ precision)

    def objective(point: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
        value, gradient, hessian = ready.total(np.exp(point))
        pull = precision * (point - center)
        return value - 0.5 * float(pull @ (point - center)), gradient - pull, hessian - np.diag(precision)

    return values, objective
