"""What each customer is worth, with how sure the model is; and what a value model must offer."""

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from attrs import frozen

from retention.frames.table import FloatColumn, Table, TextColumn, column
from retention.histories import Histories

__all__ = ["Valuation", "ValueModel", "FittedValueModel"]


@frozen(eq=False, repr=False, kw_only=True)
class Valuation(Table):
    """One row a customer, in the order of the histories it was made from.

    ``value_low`` and ``value_high`` bound the *realised* discounted margin of the horizon with probability
    ``interval``, as far as the model is right: they carry both what chance does to one customer and what is not
    known about the parameters. The expectation of a sum over customers is the sum of ``value``; its interval is
    not the sum of the bounds.
    """

    customer_id: TextColumn = column("who")
    p_alive: FloatColumn = column("probability of still being a customer on the as-of date")
    expected_purchases: FloatColumn = column("expected purchase days within the horizon", unit="count")
    margin_mean: FloatColumn = column("expected margin of one of her purchase days", unit="money")
    expected_margin: FloatColumn = column("expected margin within the horizon, undiscounted", unit="money")
    value: FloatColumn = column("expected discounted margin within the horizon", unit="money")
    value_low: FloatColumn = column("lower bound of the realised value", unit="money")
    value_high: FloatColumn = column("upper bound of the realised value", unit="money")

    model: str
    horizon_days: float
    discount_rate: float
    interval: float
    currency: str | None = None


@runtime_checkable
class FittedValueModel(Protocol):
    """A value model with parameters, fitted or given."""

    @property
    def name(self) -> str:
        """The registry name of the model."""

    @property
    def params(self) -> Mapping[str, float]:
        """Parameters by name, in the model's own time unit."""

    @property
    def log_likelihood(self) -> float | None:
        """At the fitted data; None when the parameters were given."""

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given; NaN where the data do not identify one."""

    def log_likelihoods(self, histories: Histories) -> FloatColumn:
        """Each customer's log-likelihood."""

    def p_alive(self, histories: Histories) -> FloatColumn:
        """Probability of still being a customer on the as-of date."""

    def expected_purchases(self, histories: Histories, days: float) -> FloatColumn:
        """Expected purchase days in the next ``days``."""

    def value(
        self, histories: Histories, *, horizon_days: float, discount_rate: float, interval: float = 0.90
    ) -> Valuation:
        """Value within a horizon; ``discount_rate`` is per year, compounded continuously as log1p(rate)."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; the class's ``from_dict`` gives the same numbers back."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down."""


@runtime_checkable
class ValueModel(Protocol):
    """A recipe: fitting returns a fitted thing and leaves the recipe as it was."""

    @property
    def name(self) -> str:
        """The registry name of the model."""

    def fit(self, histories: Histories) -> FittedValueModel:
        """Learn from a base."""

    def at(self, **params: float) -> FittedValueModel:
        """The model at given parameters, unfitted."""
