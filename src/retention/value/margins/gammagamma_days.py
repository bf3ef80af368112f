"""What a customer's own days tell of gamma-gamma's shape p."""

import math
from typing import Any, NamedTuple

import numpy as np

from retention.frames.table import BoolColumn, FloatColumn
from retention.value.margins.days import OwnDays

__all__ = ["Apart", "apart_of", "shape_of_days", "with_days"]

_SAME = 1e-4  # of a margin: days that differ by less are the same, and a likelihood must not rise for ever on them


class Apart(NamedTuple):
    """How the days of customers differ: who is known to have several that can be gamma, and the kernel's u."""

    known: BoolColumn
    u: FloatColumn
    notes: tuple[str, ...]


def apart_of(days: OwnDays, good: BoolColumn, w: FloatColumn) -> Apart:
    """How they differ, of the customers with a positive mean."""
    n, mean, squares, free = (values[good] for values in days)
    known = (n > 1) & (free == n - 1)
    u = np.where(known, squares / (n * mean) ** 2 * n / np.maximum(n - 1, 1), 0.5)
    lossy = u >= 1  # no days of one sign can differ by so much
    count = float(w[good][lossy].sum())
    note = f"gamma-gamma: {count:,.0f} customers show a loss among their days; they are read by their means alone"
    notes = (note,) if count else ()
    return Apart(known & ~lossy, np.clip(u, _SAME**2, None), notes)


def with_days(means: Any, known: BoolColumn, n: FloatColumn, u: FloatColumn, w: FloatColumn) -> Any:
    """The likelihood of means, and of how the days of those who are known differ."""
    from retention._kernels import gammagamma as kernel

    own = (n[known], u[known], w[known])

    def both(theta: FloatColumn) -> tuple[float, FloatColumn, Any]:
        value, gradient, hessian = means(theta)
        more, slope, bend = kernel.shares(math.exp(theta[0]), *own)
        gradient[0] += slope
        hessian[0, 0] += bend
        return value + more, gradient, hessian

    return both


def shape_of_days(n: FloatColumn, apart: Apart, w: FloatColumn) -> float | None:
    """p by how a customer's own days differ, by the mean of u; None for fewer than 30 customers of whom it is known."""
    from retention._kernels.purchases import levels

    n, u, many = n[apart.known], apart.u[apart.known], w[apart.known]
    if float(many.sum()) < 30:
        return None
    part = many * (n - 1) / n  # of her share of the sum of squares
    seen = float(np.einsum("n,n->", part, u))
    numbers, at = levels(n)
    held = np.bincount(at, part)
    low, high = -10.0, 14.0
    for _ in range(60):
        middle = (low + high) / 2
        expected = float(held @ (1 / (1 + math.exp(middle) * numbers)))
        low, high = (middle, high) if expected > seen else (low, middle)
    return math.exp(low)
