"""Maximise a smooth function of a few variables by Newton steps, and say honestly whether it worked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Optimum", "maximise"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Objective = Callable[[Vector], tuple[float, Vector, Matrix]]


class Optimum(NamedTuple):
    """Where the climb ended; ``decrement`` is the squared distance to the top in standard errors."""

    point: Vector
    value: float
    gradient: Vector
    hessian: Matrix
    decrement: float
    converged: bool


def maximise(objective: Objective, start: Vector, *, bound: float = 14.0, steps: int = 200) -> Optimum:
    """Climb from ``start`` inside the box ``[-bound, bound]``; ``objective`` gives value, gradient and Hessian.

    Newton's method with the signs of the curvature turned so that every step goes uphill, no step longer than 2,
    halved while it does not gain. Meant for log-parameters: the box then spans twelve orders of magnitude. It has
    converged when the Newton decrement is below 1e-12, with negative curvature in every direction and no
    coordinate at the edge of the box: a ridge that rises for ever ends as not converged.
    """
    point = np.clip(np.asarray(start, dtype=np.float64), -bound, bound)
    value, gradient, hessian = objective(point)
    idle = 0
    for _ in range(steps):
        free = ~((np.abs(point) >= bound) & (gradient * point > 0))  # the others press against the wall
        step, decrement = _step(gradient, hessian, free)
        if decrement < 1e-12:
            # One step more squares what is left of the distance, so that every start ends at the same digits; what
            # value and derivatives would change by is below their rounding, so they are not worked out again.
            point = np.clip(point + step, -bound, bound)
            break
        step *= min(1.0, 2.0 / float(np.abs(step).max()))
        for _ in range(30):
            candidate = np.clip(point + step, -bound, bound)
            fresh = objective(candidate)
            if fresh[0] > value - 1e-13 * abs(value) or not np.any(candidate != point):
                break
            step = step / 2
        if not np.any(candidate != point):
            break
        idle = idle + 1 if fresh[0] - value < 1e-10 else 0
        point, (value, gradient, hessian) = candidate, fresh
        if idle == 4:  # walking without climbing: a ridge, which more steps would not end
            break
    curvature, axes = np.linalg.eigh(hessian)
    uphill = axes.T @ gradient
    decrement = float(np.sum(uphill**2 / np.maximum(np.abs(curvature), 1e-300)))
    inside = bool(np.all(np.abs(point) < bound - 1e-9))
    return Optimum(point, value, gradient, hessian, decrement, inside and decrement < 1e-9 and bool(curvature[-1] < 0))


def _step(gradient: Vector, hessian: Matrix, free: NDArray[np.bool_]) -> tuple[Vector, float]:
    """The uphill Newton step of the free coordinates, and its decrement."""
    step = np.zeros(len(gradient))
    if not np.any(free):
        return step, 0.0
    curvature, axes = np.linalg.eigh(hessian[np.ix_(free, free)])
    uphill = axes.T @ gradient[free]
    size = np.maximum(np.abs(curvature), 1e-8 * max(1.0, float(np.abs(curvature).max())))
    step[free] = axes @ (uphill / size)
    return step, float(uphill @ (uphill / size))
