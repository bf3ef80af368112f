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
    """Where the climb ended; ``decrement`` is the squared distance to the top in standard errors."""

    point: Vector
    value: float
    gradient: Vector
    hessian: Matrix
    decrement: float
    converged: bool


def maximise(
    objective: Objective, start: Vector, *, bound: float = 14.0, steps: int = 200, open_below: float = 0.0
) -> Optimum:
    """Climb from ``start`` inside the box ``[-bound, bound]``; ``objective`` gives value, gradient and Hessian.

    Newton's method with the signs of the curvature turned so that every step goes uphill, no step longer than 2,
    halved while it does not gain. Meant for log-parameters: the box then spans twelve orders of magnitude. It has
    converged when the Newton decrement is below 1e-12, with negative curvature in every direction and no
    coordinate at the edge of the box: a ridge that rises for ever ends as not converged.

    With ``open_below`` it does not walk such a ridge to its end: it stops, not converged, where less than a thousandth
    is left to gain and some direction is curved less than that, or after some steps along a wall of the box.
    """
    point = np.clip(np.asarray(start, dtype=np.float64), -bound, bound)
    value, gradient, hessian = objective(point)
    idle, walled, on_ridge, best = 0, 0, False, value
    for _ in range(steps):
        free = ~((np.abs(point) >= bound) & (gradient * point > 0))  # the others press against the wall
        step, decrement, flattest = _step(gradient, hessian, free)
        walled = 0 if np.all(free) else walled + 1
        leads_out = walled > (0 if decrement < _LITTLE else _WALLED)
        on_ridge = open_below > 0 and (leads_out or (decrement < _LITTLE and 0 <= flattest < open_below))
        if on_ridge:
            break
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
        else:  # rounding is all that is left to climb
            break
        if not np.any(candidate != point):
            break
        idle = idle + 1 if fresh[0] - best < 1e-10 + 1e-13 * abs(best) else 0
        best = max(best, fresh[0])
        point, (value, gradient, hessian) = candidate, fresh
        if idle == 4:  # walking without climbing: a ridge, or rounding, which more steps would not end
            break
    curvature, axes = np.linalg.eigh(hessian)
    uphill = axes.T @ gradient
    decrement = float(np.sum(uphill**2 / np.maximum(np.abs(curvature), 1e-300)))
    inside = not on_ridge and bool(np.all(np.abs(point) < bound - 1e-9))
    return Optimum(point, value, gradient, hessian, decrement, inside and decrement < 1e-9 and bool(curvature[-1] < 0))


def _step(gradient: Vector, hessian: Matrix, free: NDArray[np.bool_]) -> tuple[Vector, float, float]:
    """The uphill Newton step of the free coordinates, its decrement, and how far the flattest direction curves down
    (negative: it curves up, beyond what rounding could make of a flat one)."""
    step = np.zeros(len(gradient))
    if not np.any(free):
        return step, 0.0, 0.0
    curvature, axes = np.linalg.eigh(hessian[np.ix_(free, free)])
    uphill = axes.T @ gradient[free]
    size = np.maximum(np.abs(curvature), 1e-8 * max(1.0, float(np.abs(curvature).max())))
    step[free] = axes @ (uphill / size)
    down = -float(curvature[-1])
    flattest = max(down, 0.0) if down > -1e-9 * float(np.abs(curvature).max()) else down
    return step, float(uphill @ (uphill / size)), flattest
