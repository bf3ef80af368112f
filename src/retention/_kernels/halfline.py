r"""Integrals over a waiting time, from now to ever or to a horizon, whose integrands live on several scales at once.

The trapezoidal rule in z with the waiting time d = scale exp(z - e^{-z}) (double-exponential formulas: Takahasi and
Mori 1974). Every decade of d gets the same number of nodes, the start is reached in a few steps, and for an integrand
that is analytic in the sector |arg d| < angle the error falls like exp(-2 pi angle / step). Up to a finite end,
d / (end - d) = exp(z - e^{-(z - l)} + e^z) with l = ln(scale / end) does the same at both sides.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["waits"]

Floats = NDArray[np.float64]

_SIZES = np.array([24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096])
_BLOCK = 32_768  # nodes at a time: a dozen such arrays stay in cache


def waits(
    scale: Floats, end: Floats, *, step: Floats, closed: bool, power: Floats | float = 1.0
) -> Iterator[tuple[NDArray[np.intp], Floats, Floats]]:
    """(positions, nodes, weights), a few customers at a time; nodes and weights are (customers, nodes).

    ``scale`` is the shortest time over which a customer's integrand changes, ``end`` where it stops (``closed``) or
    where it has faded below the last digit; ``step`` the spacing in z. Near 0 the integrand behaves like
    d^(power - 1). Customers who need more than 4,096 nodes get 4,096.
    """
    scale = np.minimum(scale, 0.25 * end)
    span = np.log(end / scale)
    left = np.log(38.0 / np.minimum(power, 1.0))
    width = left + span + (3.7 if closed else 0.3)
    sizes = _SIZES[np.minimum(np.searchsorted(_SIZES, width / step + 1), len(_SIZES) - 1)]
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        many = max(1, _BLOCK // int(size))
        for start in range(0, len(of_size), many):
            rows = of_size[start : start + many]
            s = width[rows] / (size - 1)
            z = -np.broadcast_to(left, width.shape)[rows][:, None] + s[:, None] * np.arange(size)
            fall = np.exp(-z)
            if closed:
                rise = np.exp(z - span[rows][:, None])
                odds = np.exp(np.minimum(z - span[rows][:, None] - fall + rise, 700.0))
                share = odds / (1.0 + odds)
                nodes = end[rows][:, None] * share
                weights = nodes * (1.0 + fall + rise) * (s[:, None] / (1.0 + odds))
            else:
                nodes = scale[rows][:, None] * np.exp(z - fall)
                weights = nodes * (1.0 + fall) * s[:, None]
            yield rows, nodes, weights
