"""Ranks: which tier each customer is in, and how far the next one is."""

from typing import Protocol, runtime_checkable

from attrs import frozen

from retention.domain import Tier
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.histories import Histories
from retention.value.valuation import Valuation

__all__ = ["Tiering", "TieringRule"]


@frozen(eq=False, repr=False, kw_only=True)
class Tiering(Table):
    """One row a customer, in the order of the histories it was made from; ``tiers`` from lowest to highest."""

    customer_id: TextColumn = column("who")
    tier: TextColumn = column("name of her tier")
    rank: IntColumn = column("0 is the lowest tier")
    score: FloatColumn = column("expected margin that she was ranked on", unit="money")
    next_tier: TextColumn = column("name of the next tier, empty at the top")
    to_next: FloatColumn = column("expected margin missing to the next tier, 0 at the top", unit="money")

    tiers: tuple[Tier, ...]
    rule: str


@runtime_checkable
class TieringRule(Protocol):
    """Assigns ordered tiers."""

    @property
    def name(self) -> str:
        """The registry name of the rule."""

    def assign(self, histories: Histories, valuation: Valuation, previous: Tiering | None = None) -> Tiering:
        """A tier for every customer of the base."""
