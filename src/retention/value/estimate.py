"""What a maximum-likelihood fit learned, how sure it is, and what it did when the data could not tell."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from attrs import asdict, evolve, field, frozen
from numpy.typing import NDArray

__all__ = ["Estimate", "Fitted", "carried_over", "estimate", "positive_parameters", "ridge", "tuples"]

Array = NDArray[np.float64]
Objective = Callable[[Array], tuple[float, Array, Array]]

IDENTIFIED = 3.0
"""A direction of log-parameters with a standard error above this (a factor of 20) counts as not identified."""

_OPEN = 0.1 * IDENTIFIED**-2  # curvature of a ridge that no further climbing would make a summit


_STEPPED = 1e-18  # of a squared standard error: a last step from further away changes digits of the curvature

_ALIKE = 3.0  # nats: what fits worse than that does not fit about equally well


def tuples(rows: Any) -> tuple[tuple[float, ...], ...]:
    """A matrix as nested tuples of floats: frozen, and plain JSON."""
    return tuple(tuple(float(value) for value in row) for row in (rows.tolist() if hasattr(rows, "tolist") else rows))


@frozen(kw_only=True)
class Estimate:
    """The evidence behind fitted parameters.

    ``standard_errors`` come from the curvature of the log-likelihood at its maximum, NaN where the data do not
    identify a parameter. ``spread`` is the covariance of the *log*-parameters that intervals use; it contains the
    weak prior's precision, so that no parameter is ever taken to vary without limit. ``gradient_norm`` is the distance
    to the maximum in standard errors (the Newton decrement). ``starts`` says how many starting points belong to it: a
    climb from each led there, or, where many are looked at together, the straight way there rises at every stop.
    ``diagnosis`` is empty when there is nothing to report.
    """

    customers: float
    log_likelihood: float
    standard_errors: Mapping[str, float]
    spread: tuple[tuple[float, ...], ...] = field(converter=tuples)
    gradient_norm: float
    converged: bool
    starts: int = 1
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


@frozen(kw_only=True)
class Fitted:
    """A model with parameters, and the evidence behind them if they were fitted: None if they were given."""

    estimate: Estimate | None = None

    @property
    def log_likelihood(self) -> float | None:
        """Of what the model was fitted to, at the fitted parameters; None when they were given."""
        return None if self.estimate is None else self.estimate.log_likelihood

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given, NaN where the data do not identify one."""
        return None if self.estimate is None else self.estimate.standard_errors

    @property
    def diagnosis(self) -> str:
        """What was wrong with the fit; empty if nothing."""
        return "" if self.estimate is None else self.estimate.diagnosis

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results should know: what was not identified, and what stands in for what."""
        return () if self.estimate is None else self.estimate.notes


def estimate(
    objective: Objective,
    *,
    model: str,
    names: tuple[str, ...],
    prior_mean: Array,
    prior_sd: Array,
    customers: float,
    always: Array | None = None,
    sketch: Objective | None = None,
    start: Array | None = None,
    begins: Sequence[Array] = (),
) -> tuple[Array, Estimate]:
    """Maximum likelihood in log-parameters, or a maximum a posteriori where the likelihood has no clear maximum.

    The climb starts from three points, on ``sketch`` (a cheap stand-in for the objective: fewer rows) if there is one,
    and then goes on from wherever they ended, so that a second maximum is not overlooked. The plain maximum is kept
    whenever the climb arrives inside the box and no direction has a standard error above ``IDENTIFIED``. Otherwise a
    normal prior on the log-parameters is added, the climb is made again from the three points, and the estimate says
    so, and along which ridge they could wander. The first of the three is ``start`` (default: the prior's middle);
    ``begins``, the ends of climbs made elsewhere, replace all three in the climb without that prior. ``always`` is the
    precision of a prior that was asked for, on each log-parameter, around ``prior_mean``. ``log_likelihood`` is of the
    objective, without any prior.
    """
    asked = np.zeros(len(names)) if always is None else np.asarray(always, dtype=np.float64)
    weak = 1 / np.asarray(prior_sd, dtype=np.float64) ** 2
    top, starts = None, 0
    if customers:
        begin = prior_mean if start is None else start
        drawn = None if sketch is None or len(begins) else _leaning(sketch, prior_mean, asked)
        top, starts = _highest(_leaning(objective, prior_mean, asked), begin, prior_sd, drawn, begins)
    diagnosis, chose = "", ""
    if top is not None and top.converged and float(top.curvature[-1]) < -(IDENTIFIED**-2):
        point, climbed = top.point, top
        value, hessian, bent = top.value, top.hessian, top.hessian
        if np.any(asked) or top.decrement > _STEPPED:
            value, _, hessian = objective(point)
            bent = hessian - np.diag(asked)
        errors = np.exp(point) * np.sqrt(np.diag(np.linalg.inv(-bent)))
    else:
        begin, firm = prior_mean if start is None else start, np.maximum(asked, weak)
        drawn = None if sketch is None else _leaning(sketch, prior_mean, firm)
        climbed, starts = _highest(_leaning(objective, prior_mean, firm), begin, prior_sd, drawn)
        point = climbed.point
        value, _, hessian = objective(point)
        curvature, axes = np.linalg.eigh(-hessian)
        flat = curvature < IDENTIFIED**-2
        variance = (axes[:, ~flat] ** 2) @ (1 / curvature[~flat])
        unknown = (axes[:, flat] ** 2).sum(axis=1) > 0.05
        if top is not None:  # where it left the climb: along a ridge, or on its way to the edge of the box
            bend, ways = np.linalg.eigh(-top.hessian)
            unknown |= (ways[:, bend < IDENTIFIED**-2] ** 2).sum(axis=1) > 0.05
            unknown |= np.abs(top.point) > 10.0
        errors = np.where(unknown, np.nan, np.exp(point) * np.sqrt(variance))
        blurred = [name for name, hidden in zip(names, unknown, strict=True) if hidden]
        which = f"{', '.join(blurred) or 'some combination of ' + ', '.join(names)} not identified"
        directions = "; ".join(ridge(names, axis) for axis in axes[:, flat].T)
        along = f"; the ridge: {directions}" if directions else ""
        diagnosis = f"{model}: the likelihood has no clear maximum ({which} by {customers:,.0f} customers{along})"
        given_up = 0.0 if top is None else top.value - _leaning(objective, prior_mean, asked)(point)[0]
        chose = (
            "chose among values that fit about equally well"
            if given_up < _ALIKE
            else f"held the parameters back from the edge, which gave up {given_up:,.0f} nats of likelihood"
        )
    found = Estimate(
        customers=customers,
        log_likelihood=float(value),
        standard_errors={name: float(error) for name, error in zip(names, errors, strict=True)},
        spread=_inverse(_positive(-hessian) + np.diag(np.maximum(asked, weak))),
        gradient_norm=float(np.sqrt(climbed.decrement)),
        converged=climbed.converged,
        starts=starts,
        diagnosis=diagnosis,
        notes=(f"{diagnosis}; a weak prior {chose}",) if diagnosis else (),
    )
    return point, found


def carried_over(found: Estimate, back: Array, *, curvature: Array, slope: Array) -> Estimate:
    """The same evidence for ``back @ theta``: errors and spread through a linear map of the log-parameters.

    ``curvature`` is minus the Hessian at the maximum, with the precision of a prior that was asked for; ``slope`` what
    each told parameter moves per unit of its own theta: the parameter itself where theta is its logarithm, else 1. A
    told parameter into which one goes that is not identified has no standard error.
    """
    known = np.isfinite(list(found.standard_errors.values()))
    spread = np.asarray(found.spread)
    covariance = np.linalg.inv(curvature) if known.all() else spread
    errors = np.sqrt(np.diag(back @ covariance @ back.T)) * slope
    errors[(np.abs(back) @ ~known) > 0] = math.nan
    return evolve(
        found,
        standard_errors={name: float(e) for name, e in zip(found.standard_errors, errors, strict=True)},
        spread=back @ spread @ back.T,
    )


def _leaning(objective: Objective, center: Array, precision: Array) -> Objective:
    """The objective with a normal prior on the log-parameters; itself if no parameter has one."""
    if not np.any(precision):
        return objective

    def leaning(theta: Array) -> tuple[float, Array, Array]:
        value, gradient, hessian = objective(theta)
        pull = precision * (theta - center)
        return value - float(pull @ (theta - center)) / 2, gradient - pull, hessian - np.diag(precision)

    return leaning


def _highest(
    objective: Objective, center: Array, sd: Array, sketch: Objective | None, begins: Sequence[Array] = ()
) -> tuple[Any, int]:
    """The highest place that climbs from several starts reach, and how many of them led there."""
    from retention._kernels.newton import maximise

    half = sd / 2 * (-1.0) ** np.arange(len(center))
    starts = list(begins) or [center, center + half, center - half]
    if sketch is not None:
        ends: list[Array] = [climb.point for climb in (maximise(sketch, s, steps=30, open_below=_OPEN) for s in starts)]
        apart = [ends[0]]
        for end in ends[1:]:
            if all(float(np.abs(end - other).max()) > 0.1 for other in apart):
                apart.append(end)
        climbs = [maximise(objective, end, open_below=_OPEN) for end in apart]
    else:
        climbs = [maximise(objective, start, open_below=_OPEN) for start in starts]
    best = max(climbs, key=lambda climb: (climb.converged, climb.value))
    agreeing = sum(abs(climb.value - best.value) < 1e-6 * max(1.0, abs(best.value)) for climb in climbs)
    return best, len(starts) - len(climbs) + agreeing


def ridge(names: Sequence[str], direction: Array) -> str:
    """In words, along which combination of parameters a likelihood is flat.

    Example:
        >>> ridge(("r", "alpha", "a", "b"), np.array([0.0, 0.05, 0.7, 0.7]))
        'a and b may rise or fall together'
        >>> ridge(("s", "beta"), np.array([0.8, -0.6]))
        's may rise while beta falls, or the reverse'
    """
    big = np.abs(direction) > 0.3 * np.abs(direction).max()
    up = [name for name, moves, way in zip(names, big, direction, strict=True) if moves and way > 0]
    down = [name for name, moves, way in zip(names, big, direction, strict=True) if moves and way <= 0]
    first, second = (up, down) if up else (down, [])
    if not second:
        return f"{' and '.join(first)} may rise or fall" + (" together" if len(first) > 1 else "")
    falls = "falls" if len(second) == 1 else "fall"
    return f"{' and '.join(first)} may rise while {' and '.join(second)} {falls}, or the reverse"


def _positive(matrix: Array) -> Array:
    """The nearest matrix without negative curvature."""
    curvature, axes = np.linalg.eigh(matrix)
    return np.asarray((axes * np.maximum(curvature, 0.0)) @ axes.T)


def _inverse(matrix: Array) -> Array:
    """The inverse of a positive matrix, positive itself however unlike its directions are."""
    curvature, axes = np.linalg.eigh(matrix)
    variance = 1 / np.maximum(curvature, 1e-300)
    return np.asarray((axes * np.maximum(variance, 1e-12 * variance.max())) @ axes.T)


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
