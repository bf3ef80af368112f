"""What a maximum-likelihood fit learned, how sure it is, and what it did when the data could not tell."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from attrs import asdict, evolve, field, frozen
from numpy.typing import NDArray

__all__ = ["Estimate", "estimate", "positive_parameters", "tuples"]

Array = NDArray[np.float64]
Objective = Callable[[Array], tuple[float, Array, Array]]

IDENTIFIED = 3.0
"""A direction of log-parameters with a standard error above this (a factor of 20) counts as not identified."""


def tuples(rows: Any) -> tuple[tuple[float, ...], ...]:
    """A matrix as nested tuples of floats: frozen, and plain JSON."""
    return tuple(tuple(float(value) for value in row) for row in rows)


@frozen(kw_only=True)
class Estimate:
    """The evidence behind fitted parameters.

    ``standard_errors`` come from the curvature of the log-likelihood at its maximum, NaN where the data do not
    identify a parameter. ``spread`` is the covariance of the *log*-parameters that intervals use; it contains the
    weak prior's precision, so that no parameter is ever taken to vary without limit. ``diagnosis`` is empty when
    there is nothing to report.
    """

    customers: int
    log_likelihood: float
    standard_errors: Mapping[str, float]
    spread: tuple[tuple[float, ...], ...] = field(converter=tuples)
    gradient_norm: float
    converged: bool
    diagnosis: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values (a standard error that is not known is null)."""
        plain = asdict(self)
        plain["standard_errors"] = {k: None if math.isnan(v) else v for k, v in self.standard_errors.items()}
        return {**plain, "spread": [list(row) for row in self.spread], "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The estimate that ``to_dict`` wrote down."""
        errors = {k: math.nan if v is None else float(v) for k, v in data["standard_errors"].items()}
        return cls(**{**data, "standard_errors": errors, "notes": tuple(data["notes"])})

    def with_notes(self, *notes: str) -> Self:
        """The same estimate with further notes."""
        return evolve(self, notes=self.notes + notes)


def estimate(
    objective: Objective,
    *,
    model: str,
    names: tuple[str, ...],
    prior_mean: Array,
    prior_sd: Array,
    customers: int,
) -> tuple[Array, Estimate]:
    """Maximum likelihood in log-parameters, or a maximum a posteriori where the likelihood has no clear maximum.

    The plain maximum is kept whenever the climb arrives inside the box and no direction has a standard error
    above ``IDENTIFIED``. Otherwise a normal prior on the log-parameters is added, and the estimate says so.
    ``log_likelihood`` is of the objective, without the prior.
    """
    from retention._kernels.newton import maximise

    precision = np.diag(1 / prior_sd**2)
    top = maximise(objective, prior_mean) if customers else None
    diagnosis = ""
    if top is not None and top.converged and float(np.linalg.eigvalsh(top.hessian)[-1]) < -(IDENTIFIED**-2):
        point, climbed = top.point, top
        value, _, hessian = objective(point)
        errors = np.exp(point) * np.sqrt(np.diag(np.linalg.inv(-hessian)))
    else:

        def leaning(theta: Array) -> tuple[float, Array, Array]:
            value, gradient, hessian = objective(theta)
            away = theta - prior_mean
            return value - float(away @ precision @ away) / 2, gradient - precision @ away, hessian - precision

        climbed = maximise(leaning, prior_mean)
        point = climbed.point
        value, _, hessian = objective(point)
        curvature, axes = np.linalg.eigh(-hessian)
        flat = curvature < IDENTIFIED**-2
        variance = (axes[:, ~flat] ** 2) @ (1 / curvature[~flat])
        unknown = (axes[:, flat] ** 2).sum(axis=1) > 0.05
        if top is not None and not top.converged:
            unknown |= np.abs(top.point) > 10.0  # on its way to the edge of the box: a ridge that rises for ever
        errors = np.where(unknown, np.nan, np.exp(point) * np.sqrt(variance))
        blurred = [name for name, hidden in zip(names, unknown, strict=True) if hidden]
        which = f"{', '.join(blurred) or 'some combination of ' + ', '.join(names)} not identified"
        diagnosis = f"{model}: the likelihood has no clear maximum ({which} by {customers:,} customers)"
    found = Estimate(
        customers=customers,
        log_likelihood=float(value),
        standard_errors={name: float(error) for name, error in zip(names, errors, strict=True)},
        spread=np.linalg.inv(_positive(-hessian) + precision),
        gradient_norm=float(np.sqrt(climbed.decrement)),
        converged=climbed.converged,
        diagnosis=diagnosis,
        notes=(f"{diagnosis}; a weak prior chose among values that fit about equally well",) if diagnosis else (),
    )
    return point, found


def _positive(matrix: Array) -> Array:
    """The nearest matrix without negative curvature."""
    curvature, axes = np.linalg.eigh(matrix)
    return np.asarray((axes * np.maximum(curvature, 0.0)) @ axes.T)


def positive_parameters(model: str, given: Mapping[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """The named parameters as floats, each positive and finite, or one clear error."""
    from retention.errors import ModelError, nearest

    unknown = [name for name in given if name not in names]
    missing = [name for name in names if name not in given]
    if unknown or missing:
        hint = nearest(unknown[0], names) if unknown else f"missing: {', '.join(missing)}"
        raise ModelError(
            f"{model} at {', '.join(given) or 'no parameters'}",
            rule=f"the parameters are {', '.join(names)}",
            remedy=hint,
        )
    values = {name: float(given[name]) for name in names}
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ModelError(
                f"{model} at {name}={value!r}", rule="parameters are positive and finite", remedy="mend it"
            )
    return values
