"""What is usual for each customer: gap, basket, category, channel, weekday."""

from typing import Any, Self

import attrs
import numpy as np
from attrs import frozen

from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column

__all__ = ["Habits"]


@frozen(eq=False, repr=False, kw_only=True)
class Habits(Table):
    """Each customer's habits, from her own purchases alone; NaN, -1 or an empty text where she has none yet."""

    customer_id: TextColumn = column("who")
    usual_gap_days: FloatColumn = column("median gap between purchase days", unit="days")
    gap_spread_days: FloatColumn = column("interquartile range of her gaps", unit="days")
    basket: FloatColumn = column("median revenue of a purchase day", unit="money")
    weekday: IntColumn = column("most frequent purchase weekday, Monday = 0")
    weekday_share: FloatColumn = column("share of purchase days on it")
    category: TextColumn = column("category she buys on most purchase lines", optional=True)
    category_share: FloatColumn = column("share of purchase lines in it", optional=True)
    channel: TextColumn = column("channel she buys through most", optional=True)
    channel_share: FloatColumn = column("share of purchase lines through it", optional=True)

    def joined(self, other: "Habits") -> Self:
        """These rows, then the other's; a column that only one side has is left out."""
        theirs = other.columns()
        both: dict[str, Any] = {
            name: np.concatenate([mine, theirs[name]]) for name, mine in self.columns().items() if name in theirs
        }
        absent: dict[str, Any] = {name: None for name in self.columns() if name not in theirs}
        return attrs.evolve(self, **both, **absent)
