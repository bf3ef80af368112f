"""Where a climb to the maximum begins: many points looked at together, few of them climbed from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retention.frames.table import FloatColumn

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Kernel

__all__ = ["Hill", "hills", "sketch"]

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


def hills(kernel: "Kernel", cells: "Cells", center: FloatColumn, sd: FloatColumn, precision: FloatColumn) -> list[Hill]:
    """The hills of the likelihood of a sketch of ``cells``, by log-parameters, on which seven starts lie.

    The starts are around ``center``; ``precision`` is that of a normal prior there. The climb begins at the highest.
    Another start from which the straight way to the summit only rises lies on the same hill; from the others a climb
    is made too. Empty if the first climb finds no summit.
    """
    from retention._kernels.newton import maximise

    few = sketch(cells)
    if not len(few.weight):
        return []
    values, objective = _heights(kernel, few, center, precision)
    axis = np.arange(len(center))
    signs = np.where(np.array([axis % 2, axis // 2 % 2, (axis + axis // 2) % 2]) == 0, 0.5, -0.5)
    starts = center + sd * np.concatenate([np.zeros((1, len(center))), signs, -signs])
    heights = values(starts)
    first = int(np.argmax(np.where(np.isfinite(heights), heights, -np.inf)))
    climb = maximise(objective, starts[first], steps=30)
    if not climb.converged:
        return []
    others = np.flatnonzero(np.arange(len(starts)) != first)
    ways = starts[others, None] + _STOPS[:, None] * (climb.point - starts[others, None])
    stops = values(ways.reshape(-1, len(center))).reshape(len(others), -1)
    profile = np.column_stack([heights[others], stops, np.full(len(others), climb.value)])
    rises = np.all(np.diff(profile, axis=1) > 0, axis=1)  # a height that is not a number does not rise
    found = [Hill(climb.point, 1 + int(rises.sum()))]
    for start in starts[others[~rises]]:
        end = maximise(objective, start, steps=30).point
        near = [k for k, hill in enumerate(found) if float(np.abs(end - hill.summit).max()) <= 0.1]
        if near:
            found[near[0]] = found[near[0]]._replace(starts=found[near[0]].starts + 1)
        else:
            found.append(Hill(end, 1))
    if len(cells.weight) > 4 * _SOME * _FEW:
        _, objective = _heights(kernel, sketch(cells, _SOME * _FEW), center, precision)
        found = [hill._replace(summit=maximise(objective, hill.summit, steps=5).point) for hill in found]
    return found


def _heights(
    kernel: "Kernel", cells: "Cells", center: FloatColumn, precision: FloatColumn
) -> tuple[Callable[[FloatColumn], FloatColumn], Callable[[FloatColumn], tuple[float, FloatColumn, FloatColumn]]]:
    """The log-likelihood and the prior at many points, and at one with gradient and Hessian."""
    if not np.any(precision):
        return lambda points: kernel.values(np.exp(points), cells), lambda point: kernel.total(np.exp(point), cells)

    def values(points: FloatColumn) -> FloatColumn:
        return np.asarray(kernel.values(np.exp(points), cells) - 0.5 * np.square(points - center) @ precision)

    def objective(point: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
        value, gradient, hessian = kernel.total(np.exp(point), cells)
        pull = precision * (point - center)
        return value - 0.5 * float(pull @ (point - center)), gradient - pull, hessian - np.diag(precision)

    return values, objective
