"""How margins go with the rate at which a customer comes."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from attrs import frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn

__all__ = ["RateSlope", "rates_seen", "split_slope"]


@frozen(kw_only=True)
class RateSlope:
    """How margin goes with frequency: ``slope`` per unit of log-rate away from ``center``, the mean one fitted on.

    A log-rate outside of ``low`` to ``high``, those that it was learned on, counts as that bound: who never came back
    has an expected log-rate far below everyone seen, where a line drawn through the others says nothing.
    """

    slope: float
    center: float = 0.0
    low: float | None = None
    high: float | None = None

    def away(self, log_rate: FloatColumn | None, customers: int) -> FloatColumn:
        """How far each customer's log-rate lies above the mean one; 0 where it is not told."""
        if log_rate is None:
            return np.zeros(customers)
        return np.clip(checked_rates(log_rate, customers), self.low, self.high) - self.center


class ByRate(Protocol):
    """What ``rates_seen`` asks of a recipe."""

    @property
    def name(self) -> str: ...

    @property
    def by_rate(self) -> bool: ...


def rates_seen(
    model: ByRate, log_rate: FloatColumn | None, seen: Any, weight: FloatColumn
) -> tuple[tuple[RateSlope, float] | None, tuple[str, ...]]:
    """A slope of 0 around the mean log-rate of the customers ``seen`` with their standard deviation, and notes.

    None if the recipe does not go by rates, or if they are not told or all alike, which the notes say.
    """
    if not model.by_rate:
        return None, ()
    if log_rate is None:
        return None, (f"{model.name}: no log-rates were given, so margins do not go with them",)
    rates, w = checked_rates(log_rate, len(seen))[seen], weight[seen]
    if len(rates):
        low, high, center = float(rates.min()), float(rates.max()), float(np.average(rates, weights=w))
        spread = float(np.sqrt(np.average((rates - center) ** 2, weights=w)))
        if spread > 1e-9 * max(1.0, abs(center)):
            return (RateSlope(slope=0.0, center=center, low=low, high=high), spread), ()
    return None, (f"{model.name}: all log-rates are alike, so margins cannot go with them",)


def checked_rates(log_rate: Any, customers: int) -> FloatColumn:
    """Log-rates as floats, one a customer and finite, or one clear error."""
    rates = np.asarray(log_rate, dtype=np.float64)
    if rates.shape != (customers,) or not np.all(np.isfinite(rates)):
        raise ModelError(
            f"log_rate of shape {rates.shape} for {customers:,} customers",
            rule="there is one finite log-rate a customer",
            remedy="pass the purchase model's log_rate(histories)",
        )
    return rates


def split_slope(model: str, params: Mapping[str, float]) -> tuple[dict[str, float], RateSlope | None]:
    """The parameters without slope and log_rate_mean, and those two if a slope was given."""
    given = dict(params)
    slope, center = given.pop("slope", None), given.pop("log_rate_mean", 0.0)
    if slope is None:
        return given, None
    if not (math.isfinite(slope) and math.isfinite(center)):
        raise ModelError(
            f"{model} at slope={slope!r}, log_rate_mean={center!r}",
            rule="slope and log_rate_mean are finite",
            remedy="leave slope out for margins that do not go with frequency",
        )
    return given, RateSlope(slope=float(slope), center=float(center))
