"""Complaints as columns: when one was opened, and when it was settled."""

import datetime as dt
from typing import Any, Self

import numpy as np
from attrs import frozen

from retention.frames.table import BoolColumn, DayColumn, Table, TextColumn, column

__all__ = ["Complaints"]


@frozen(eq=False, repr=False, kw_only=True)
class Complaints(Table):
    """One row a complaint opened or closed; a customer has one open, or none.

    An opening counts on its day, a closing from the next day on, and the later of two counts; of two on one day the
    closing does. Whoever has two matters open records the closing when the last is settled.

    Example:
        >>> c = Complaints.from_arrays(customer_id=["7", "7"], at=["2011-05-01", "2011-05-09"], opened=[True, False])
        >>> c.open_on(dt.date(2011, 5, 9)), c.open_on(dt.date(2011, 5, 10))
        (frozenset({'7'}), frozenset())
    """

    customer_id: TextColumn = column("who")
    at: DayColumn = column("the day")
    opened: BoolColumn = column("opened (True) or closed (False)")

    @classmethod
    def from_arrays(cls, *, customer_id: Any, at: Any, opened: Any = None) -> Self:
        """Complaints from equal-length arrays; opened unless said otherwise."""
        who = np.asarray(customer_id, dtype=np.str_)
        return cls(
            customer_id=who,
            at=np.asarray(at, dtype="datetime64[D]"),
            opened=np.ones(len(who), dtype=bool) if opened is None else np.asarray(opened, dtype=bool),
        )

    def open_on(self, day: dt.date) -> frozenset[str]:
        """The customers with an open complaint on a day; a complaint without a date is as old as can be."""
        on = np.datetime64(day, "D")
        counts = np.flatnonzero(np.isnat(self.at) | (self.at < on) | self.opened & (self.at == on))
        when = self.at[counts].astype(np.int64)  # an unknown day becomes the least of all numbers
        order = counts[np.lexsort((~self.opened[counts], when))]
        latest = {str(self.customer_id[row]): bool(self.opened[row]) for row in order}
        return frozenset(who for who, opened in latest.items() if opened)
