"""Maximise a smooth function of a few variables by Newton steps, and say honestly whether it worked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Optimum", "maximise"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Objective = Callable[[Vector], tuple[float, Vector, Matrix]]

_WALLED = 8  # steps along a wall, after which the way is out and not along
_LITTLE = 1e-3  # of a squared standard error, or twice the nats that are left to gain


class Optimum(NamedTuple):
    """Where the climb ended; ``decrement`` is the squared distance to the top in standard errors, ``curvature`` are
    the eigenvalues of the hessian, ascending."""

    point: Vector
    value: float
    gradient: Vector
    hessian: Matrix
    decrement: float
    converged: bool
    curvature: Vector


def maximise(
    objective: Objective, start: Vector, *, bound: float = 14.0, steps: int = 200, open_below: float = 0.0
) -> Optimum:
    """Climb from ``start`` inside the box ``[-bound, bound]``; ``objective`` gives value, gradient and Hessian.

    Newton's method with the signs of the curvature turned so that every step goes uphill, no step longer than 2 and
    the first, when least is known of the land, no longer than 1, halved while it does not gain. Meant for
    log-parameters: the box then spans twelve orders of magnitude. It has converged when the Newton decrement is below
    1e-12, with negative curvature in every direction and no coordinate at the edge of the box: a ridge that rises for
    ever ends as not converged.

    With ``open_below`` it does not walk such a ridge to its end: it stops, not converged, where less than a thousandth
    is left to gain and some direction is curved less than that, or after some steps along a wall of the box.
    """
    point = np.asarray(start, dtype=np.float64).clip(-bound, bound)
    value, gradient, hessian = objective(point)
    idle, walled, on_ridge, best = 0, 0, False, value
    axes: _Axes | None = None  # of the hessian at hand
    for taken in range(steps):
        free = None if _largest(point) < bound else ~((np.abs(point) >= bound) & (gradient * point > 0))
        if free is None or free.all():
            axes, walled = _axes(gradient, hessian), 0
            step, decrement, flattest = _uphill(axes)
        else:  # the others press against the wall
            axes, walled = None, walled + 1
            step, decrement, flattest = _held_back(gradient, hessian, free)
        leads_out = walled > (0 if decrement < _LITTLE else _WALLED)
        on_ridge = open_below > 0 and (leads_out or (decrement < _LITTLE and 0 <= flattest < open_below))
        if on_ridge:
            break
        if decrement < 1e-12:
            # One step more squares what is left of the distance, so that every start ends at the same digits; what
            # value and derivatives would change by is below their rounding, so they are not worked out again.
            point = (point + step).clip(-bound, bound)
            break
        step *= min(1.0, (2.0 if taken else 1.0) / _largest(step))
        for _ in range(30):
            candidate = (point + step).clip(-bound, bound)
            moved = candidate.tolist() != point.tolist()
            fresh = objective(candidate)
            if fresh[0] > value - 1e-13 * abs(value) or not moved:
                break
            step = step / 2
        else:  # rounding is all that is left to climb
            break
        if not moved:
            break
        idle = idle + 1 if fresh[0] - best < 1e-10 + 1e-13 * abs(best) else 0
        best = max(best, fresh[0])
        point, (value, gradient, hessian), axes = candidate, fresh, None
        if idle == 4:  # walking without climbing: a ridge, or rounding, which more steps would not end
            break
    axes = axes or _axes(gradient, hessian)
    decrement = float(np.sum(axes.uphill**2 / np.maximum(np.abs(axes.curvature), 1e-300)))
    inside = not on_ridge and _largest(point) < bound - 1e-9
    converged = inside and decrement < 1e-9 and bool(axes.curvature[-1] < 0)
    return Optimum(point, value, gradient, hessian, decrement, converged, axes.curvature)


def _largest(vector: Vector) -> float:
    """The largest size of a handful of numbers."""
    return max(map(abs, vector.tolist()), default=0.0)


class _Axes(NamedTuple):
    """The directions of a hessian, as columns, in the order of their curvature; and the gradient along them."""

    curvature: Vector
    ways: Matrix
    uphill: Vector


def _axes(gradient: Vector, hessian: Matrix) -> _Axes:
    curvature, ways = np.linalg.eigh(hessian)
    return _Axes(curvature, ways, ways.T @ gradient)


def _uphill(axes: _Axes) -> tuple[Vector, float, float]:
    """The uphill Newton step, its decrement, and how far the flattest direction curves down (negative: it curves up,
    beyond what rounding could make of a flat one)."""
    most, down = _largest(axes.curvature), -float(axes.curvature[-1])
    along = axes.uphill / np.maximum(np.abs(axes.curvature), 1e-8 * max(1.0, most))
    return axes.ways @ along, float(axes.uphill @ along), max(down, 0.0) if down > -1e-9 * most else down


def _held_back(gradient: Vector, hessian: Matrix, free: NDArray[np.bool_]) -> tuple[Vector, float, float]:
    """``_uphill`` of the free coordinates alone."""
    step = np.zeros(len(gradient))
    if not free.any():
        return step, 0.0, 0.0
    step[free], decrement, flattest = _uphill(_axes(gradient[free], hessian[np.ix_(free, free)]))
    return step, decrement, flattest
