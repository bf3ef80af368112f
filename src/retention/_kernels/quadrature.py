"""Fixed rules for the integrals of the purchase models: averages over a beta, decaying integrals over time."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BetaGrid", "beta_grid", "beta_rule", "decaying_rule", "legendre"]

Floats = NDArray[np.float64]


@cache
def legendre(nodes: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights on [-1, 1]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return x, w


class BetaGrid(NamedTuple):
    """Points for averages over beta(a, b) .. beta(a, b + more): see ``beta_grid``."""

    p: Floats
    log_q: Floats
    log_density: Floats  # of the logit, at beta(a, b), its largest value 0
    a: float
    b: float
    step: float

    def tails(self, n: Any) -> Floats:
        """Weights of the points at beta(a, b + n), a row for each n: 1, and at the ends the sum of the geometric
        series beyond."""
        weight = np.ones((*np.shape(n), len(self.p)))
        weight[..., 0] = 1 / -np.expm1(-self.a * self.step)
        weight[..., -1] = 1 / -np.expm1(-(self.b + n) * self.step)
        return weight


def beta_grid(a: float, b: float, more: float, tilt: float, step: float = 0.25) -> BetaGrid:
    """Points p for E f(p) over beta(a, b + n) with any n from 0 to ``more``: the trapezoidal rule on the whole line of
    w = logit(p). The density at b + n is that at b times q^n.

    For functions like (1 + p c)^-k with k max(c, 1) <= ``tilt``, smooth on the scale of one in w, however large: they
    are analytic in a strip around the line, so the error falls like e^(-pi^2 / step), 1e-17 at the default. They
    stand still where p or 1 - p is below e^-41 / tilt; beyond, the density is a plain exponential, and the rest of the
    sum is a geometric series, so that a or b of 1e-4 need no long tails. ``tilt`` also draws the mass of the product
    to smaller p than the density's own, and the rule begins below that.
    """
    last = b + more
    width = float(np.sqrt(1 / a + 1 / b))
    step = min(step, 2.4 * step / float(np.sqrt(a)))  # what a strong tilt leaves of the density is 1 / sqrt(a) wide
    still = 41.0 + np.log(max(tilt, a + last, 1.0))
    low = max(np.log(a / (last + tilt)) - 50 / a - 10 * width, -still)
    high = min(np.log(a / b) + 50 / b + 10 * width, still)
    low, high = min(low, np.log(a / last) - step), max(high, low + 2 * step)
    w = np.linspace(low, high, int((high - low) / step) + 2)
    log_p, log_q = -np.logaddexp(0.0, -w), -np.logaddexp(0.0, w)
    log_density = a * log_p + b * log_q
    return BetaGrid(np.exp(log_p), log_q, log_density - log_density.max(), a, b, float(w[1] - w[0]))


def beta_rule(a: float, b: float, tilt: float, step: float = 0.25) -> tuple[Floats, Floats, Floats]:
    """(p, 1 - p, weights) for E f(p) over beta(a, b), on the points of ``beta_grid``."""
    grid = beta_grid(a, b, 0.0, tilt, step)
    weight = np.exp(grid.log_density) * grid.tails(0.0)
    return grid.p, np.exp(grid.log_q), weight / weight.sum()


def decaying_rule(k: float, q: Floats, z: float, nodes: int = 48) -> tuple[Floats, Floats, Floats]:
    r"""(w, weights, s) for \int_0^{ln(1+q)} e^{-k w - z s} f dw with s = (e^w - 1) / q in [0, 1], one row per ``q``.

    The integral is cut where the exponent has passed 45. Two panels, because e^{-z s} is a step of width one in w near
    its end however long the flat stretch before it.
    """
    end = np.minimum(np.log1p(q), 45.0 / k)
    if z > 0:
        end = np.minimum(end, np.log1p(45.0 * q / z))
    x, weight = legendre(nodes)
    knee = np.where(end > 10.0, end - 8.0, 0.5 * end)[:, None]
    first, second = knee * (x + 1) / 2, knee + (end[:, None] - knee) * (x + 1) / 2
    w = np.concatenate([first, second], axis=1)
    weights = np.concatenate([knee * weight / 2, (end[:, None] - knee) * weight / 2], axis=1)
    return w, weights, np.expm1(w) / q[:, None]
