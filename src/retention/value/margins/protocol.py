"""What one purchase day brings: what every margin model offers, whatever it supposes."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np

from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.estimate import Estimate

__all__ = ["FittedMargin", "MarginModel", "Moments"]


class Moments(NamedTuple):
    """Of a customer's margin per purchase day: mean, mean square, mean product of two different days."""

    mean: FloatColumn
    square: FloatColumn
    product: FloatColumn


@runtime_checkable
class MarginModel(Protocol):
    """A recipe for what a purchase day brings.

    ``log_rate`` is, for each customer, what a purchase model expects of the log of her purchase rate (any time unit,
    always the same one): with it a recipe that goes by rates lets those who come often bring more, or less, on each
    visit; the others do not look at it. ``weight`` says how many customers a row stands for.
    """

    @property
    def name(self) -> str:
        """The registry name of the model."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that ``at`` takes; none of them is a name that a purchase model uses."""
        ...

    def at(self, **params: float) -> "FittedMargin":
        """The model at given parameters."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``margin_model(**data)`` is the same recipe."""
        ...

    def fit(
        self, histories: Histories, log_rate: FloatColumn | None = None, weight: FloatColumn | None = None
    ) -> "FittedMargin":
        """Learn the parameters from a base; never fails for want of data, but says so in the notes."""
        ...


@runtime_checkable
class FittedMargin(Protocol):
    """A margin model with parameters; money in and out is in the currency of the histories.

    One that goes by rates wants a ``log_rate`` to answer as well; without it every customer is taken to have the mean
    log-rate of those it was fitted on. The others do not look at it, and may say so with a ``rates`` of None. What a
    *purchase* ahead brings is asked at the log-rate behind it (a purchase model's ``margin_log_rate``), which is more
    than the customer's.
    """

    @property
    def name(self) -> str:
        """The registry name of the model."""
        ...

    @property
    def params(self) -> Mapping[str, float]:
        """By name; ``at(**params)`` gives the same model without its evidence."""
        ...

    @property
    def estimate(self) -> Estimate | None:
        """What the fit learned; None when the parameters were given."""
        ...

    @property
    def log_likelihood(self) -> float | None:
        """Of what the model was fitted to; None when the parameters were given."""
        ...

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given, NaN where not identified."""
        ...

    @property
    def diagnosis(self) -> str:
        """What was wrong with the fit; empty if nothing."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything that a reader of the values should know."""
        ...

    def log_likelihoods(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Log density of each customer's own mean margin; 0 where she says nothing."""
        ...

    def margin_mean(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Expected margin of one of each customer's future purchase days, at the fitted parameters."""
        ...

    def moments(self, histories: Histories, points: int, log_rate: FloatColumn | None = None) -> Moments:
        """First and second moments of future margins, averaged over ``points`` for the doubt about the parameters."""
        ...

    def draw_means(
        self, histories: Histories, size: int, rng: np.random.Generator, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        """``size`` draws of each customer's own mean margin given what she showed, (size, customers).

        Each row is one point of the doubt about the parameters, common to all of its customers.
        """
        ...

    def draw_sums(self, own_means: FloatColumn, counts: FloatColumn, rng: np.random.Generator) -> FloatColumn:
        """A draw of the margin of ``counts`` purchase days together, of customers with these own means.

        Like ``counts``, with customers last: (customers,) or (draws, customers); 0 for no days.
        """
        ...

    def lossless(self, histories: Histories) -> Any:
        """For each customer, whether none of her purchase days can bring less than nothing, if the model is right."""
        ...

    def totals(
        self, histories: Histories, weights: FloatColumn, points: int, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        """The sum of ``weights * margin_mean`` at each of ``points`` that stand for doubt about the parameters.

        One number if the parameters were given.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the model's name under ``"margin"``."""
        ...

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down, with exactly the same numbers."""
        ...
