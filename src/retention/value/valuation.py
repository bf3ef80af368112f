"""What each customer is worth, with how sure the model is; and what a value model must offer."""

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from attrs import evolve, frozen

from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, Table, TextColumn, column
from retention.histories import Histories

__all__ = ["Valuation", "ValueModel", "FittedValueModel", "FittedLikelihood"]


@frozen(eq=False, repr=False, kw_only=True)
class Valuation(Table):
    """One row a customer, in the order of the histories it was made from.

    ``value_low`` and ``value_high`` bound the *realised* discounted margin of the horizon with probability
    ``interval``, as far as the model is right: they carry what chance does to one customer, what is not known about
    her own rate and lifetime, and what is not known about the parameters. With ``chance`` false the first is left
    out: they bound what can be *expected* of her. The expectation of a sum over customers is the sum of ``value``; its
    interval is not the sum of the bounds. ``total_bounds`` has it, where the model offers it, for all rows together;
    some of the rows have none.
    """

    customer_id: TextColumn = column("who")
    p_alive: FloatColumn = column("probability of still being a customer on the as-of date")
    expected_purchases: FloatColumn = column("expected purchase days within the horizon", unit="count")
    margin_mean: FloatColumn = column("expected margin of one of her purchase days", unit="money")
    expected_margin: FloatColumn = column("expected margin within the horizon, undiscounted", unit="money")
    value: FloatColumn = column("expected discounted margin within the horizon", unit="money")
    value_low: FloatColumn = column("lower bound of the realised value", unit="money")
    value_high: FloatColumn = column("upper bound of the realised value", unit="money")
    value_sd: FloatColumn | None = column("standard deviation of the realised value", unit="money", optional=True)
    p_purchase: FloatColumn | None = column("probability of a purchase day within the horizon", optional=True)

    model: str
    horizon_days: float
    discount_rate: float
    interval: float
    currency: str | None = None
    chance: bool = True
    total_bounds: tuple[float, float] | None = None

    def total(self) -> float:
        """Expected discounted margin of these customers together (customer equity within the horizon), in money.

        ``total_bounds`` are its bounds; those of the rows do not add up.
        """
        return float(self.value.sum())

    def take(self, rows: Any) -> Self:
        """Only these customers; the bounds of the total go, as they were of all (``model.total_interval`` has some)."""
        return evolve(super().take(rows), total_bounds=None)

    def plot(self, ax: Any = None) -> Any:
        """Draw how the value is spread: the share of the total that the best customers hold, against their share
        of the base; the diagonal is a base in which all are worth the same."""
        ax = axes(ax)
        best_first = np.sort(np.maximum(self.value, 0.0))[::-1]
        held = np.concatenate([[0.0], np.cumsum(best_first)])
        shares = np.linspace(0, 100, len(held)) if len(self) else np.array([0.0, 100.0])
        curve = 100 * held / held[-1] if held[-1] > 0 else shares
        ax.plot(shares, curve, color="#1f5f8b", linewidth=2)
        ax.fill_between(shares, curve, shares, color="#1f5f8b", alpha=0.15, linewidth=0)
        ax.plot([0, 100], [0, 100], color="0.6", linewidth=1, linestyle="--")
        ax.set(xlim=(0, 100), ylim=(0, 101), xlabel="best customers, % of the base", ylabel="% of all value they hold")
        money = f"{self.total():,.0f}" + (f" {self.currency}" if self.currency else "")
        when = f"in {self.horizon_days:,.0f} days" if np.isfinite(self.horizon_days) else "from today on"
        ax.set_title(f"{money} expected {when} from {len(self):,} customers", fontsize=10)
        return ax


@runtime_checkable
class FittedValueModel(Protocol):
    """A value model that has learned from a base, or was given its parameters."""

    @property
    def name(self) -> str:
        """The registry name of the model."""

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
class FittedLikelihood(FittedValueModel, Protocol):
    """A fitted value model with a likelihood, as all purchase models of this library are."""

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


@runtime_checkable
class ValueModel(Protocol):
    """A recipe: fitting returns a fitted thing and leaves the recipe as it was."""

    @property
    def name(self) -> str:
        """The registry name of the model."""

    def fit(self, histories: Histories) -> FittedValueModel:
        """Learn from a base."""
