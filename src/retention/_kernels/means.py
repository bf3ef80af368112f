r"""The mean of skewed values with an interval that skewness does not fool.

Hall's cubic transformation of the studentised mean (Hall 1992, J. R. Statist. Soc. B 54, 221-228), monotone and so with
an inverse in closed form.

Digits: no step loses more than the rounding of ``values - mean``.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

__all__ = ["Estimate", "interval_about", "mean_interval", "skew_quantile"]

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean, its standard error, and the ends of its interval."""

    value: float
    error: float
    low: float
    high: float


def skew_quantile(z: float, skewness: float, n: int) -> float:
    r"""The ``t`` at which Hall's transformation of a studentised mean of ``n`` values is ``z``.

    .. math:: g(t) = t + \tfrac13 a t^2 + \tfrac1{27} a^2 t^3 + \tfrac16 a, \qquad a = \gamma / \sqrt n,
        \qquad g^{-1}(z) = \frac3a \Bigl[\bigl(1 + a z - a^2 / 6\bigr)^{1/3} - 1\Bigr]

    For ``a`` near 0 the root is expanded to keep its digits: ``expm1(log1p(u) / 3)`` does.
    """
    a = skewness / math.sqrt(n)
    if a == 0.0:
        return z
    u = a * z - a * a / 6
    if u > -0.5:
        return 3 / a * math.expm1(math.log1p(u) / 3)
    return 3 / a * (math.copysign(abs(1 + u) ** (1 / 3), 1 + u) - 1)


def interval_about(value: float, rest: Floats, level: float, *, student: bool = False) -> Estimate:
    r"""A value whose error is the mean of independent ``rest`` (which sum to 0), with Hall's interval at ``level``.

    With ``student`` the normal quantile gives way to Student's, with the degrees of freedom that the variance has:
    :math:`\nu = 2 n / (\kappa - 1)` for values of kurtosis :math:`\kappa`, which matches the variance of
    :math:`s^2` (Satterthwaite 1946). Where few values carry all of it, its own doubt is the larger part of the matter.
    Without spread all ends are the value.
    """
    n = len(rest)
    variance = float(np.einsum("n,n->", rest, rest)) / max(n, 1)
    scale = float(np.max(np.abs(rest), initial=0.0))
    if n < 2 or variance <= (1e-14 * max(scale, abs(value))) ** 2:
        return Estimate(value, 0.0, value, value)
    skewness = float(np.einsum("n,n,n->", rest, rest, rest)) / n / variance**1.5
    error = math.sqrt(variance / (n - 1))
    z = float(ndtri((1 + level) / 2))
    if student:
        squares = rest * rest
        kurtosis = float(np.einsum("n,n->", squares, squares)) / n / variance**2
        # Values of one size either way know their variance exactly.
        z = float(stdtrit(max(2 * n / (kurtosis - 1), 1.0), (1 + level) / 2)) if kurtosis > 1 + 1e-9 else z
    return Estimate(
        value,
        error,
        value - error * skew_quantile(z, skewness, n),
        value - error * skew_quantile(-z, skewness, n),
    )


def mean_interval(values: Floats, level: float, weight: Floats | None = None) -> Estimate:
    """The mean of independent values with its standard error and Hall's skew-corrected interval, level in (0, 1).

    With ``weight`` the ratio of means ``sum(w v) / sum(w)`` (Hájek), by its linearisation ``w (v - ratio) / mean(w)``.
    """
    if weight is None:
        value = float(values.mean())
        return interval_about(value, values - value, level)
    size = float(weight.mean())
    value = float(np.einsum("n,n->", weight, values)) / len(values) / size
    return interval_about(value, weight * (values - value) / size, level)
