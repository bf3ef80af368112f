"""Contacts that happened, as columns."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from attrs import frozen

from retention.domain import Touch
from retention.frames.table import DayColumn, Table, TextColumn, column

__all__ = ["Touches"]


@frozen(eq=False, repr=False, kw_only=True)
class Touches(Table):
    """One row a contact, in or out.

    Example:
        >>> t = Touches.of([Touch(customer_id="7", at=dt.date(2011, 3, 1), channel="phone")])
        >>> len(t.before(dt.date(2011, 3, 1))), len(t.before(dt.date(2011, 3, 2)))
        (0, 1)
    """

    customer_id: TextColumn = column("who")
    at: DayColumn = column("day of the contact")
    channel: TextColumn = column("phone, email, post, ...")
    kind: TextColumn = column("give, ask, thank, ...")
    direction: TextColumn = column("'out' from the firm, 'in' from the customer")

    @classmethod
    def none(cls) -> Self:
        """No contacts."""
        return cls.from_arrays(customer_id=[], at=[], channel=[], kind=[], direction=[])

    @classmethod
    def of(cls, touches: Iterable[Touch]) -> Self:
        """Lift single touches into columns."""
        listed = list(touches)
        return cls.from_arrays(
            **{
                name: [getattr(t, name) for t in listed]
                for name in ("customer_id", "at", "channel", "kind", "direction")
            }
        )

    @classmethod
    def from_arrays(cls, *, customer_id: Any, at: Any, channel: Any, kind: Any, direction: Any = None) -> Self:
        """Touches from equal-length arrays; contacts go out unless said otherwise."""
        who = np.asarray(customer_id, dtype=np.str_)
        return cls(
            customer_id=who,
            at=np.asarray(at, dtype="datetime64[D]"),
            channel=np.asarray(channel, dtype=np.str_),
            kind=np.asarray(kind, dtype=np.str_),
            direction=np.full(len(who), "out") if direction is None else np.asarray(direction, dtype=np.str_),
        )

    def before(self, day: dt.date) -> Self:
        """The contacts strictly before a day."""
        return self.take(self.at < np.datetime64(day, "D"))

    def merged(self, other: "Touches") -> "Touches":
        """All contacts of both, those that are equal in every column once."""
        both = self.joined(other)
        rows = zip(*(values.tolist() for values in both.columns().values()), strict=True)
        first: dict[tuple[Any, ...], int] = {}
        for position, row in enumerate(rows):
            first.setdefault(row, position)
        return both.take(np.fromiter(first.values(), dtype=np.int64, count=len(first)))

    def joined(self, other: "Touches") -> "Touches":
        """These rows, then the other's."""
        theirs = other.columns()
        both: dict[str, Any] = {name: np.concatenate([mine, theirs[name]]) for name, mine in self.columns().items()}
        return Touches(**both)
