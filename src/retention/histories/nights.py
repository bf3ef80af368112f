"""The account of the nights of a store: what came, and what became of it."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs
import numpy as np
from attrs import frozen

from retention.frames.table import DayColumn, IntColumn, Table, TextColumn, column

__all__ = ["Nights", "TakenIn"]


@frozen(kw_only=True)
class TakenIn:
    """What a night brought: every row that was read is in exactly one of the counts of rows.

    ``rows_read`` is ``rows_kept`` plus those ``set_aside`` by reason. Of the rows kept, ``new`` are of days since the
    evening before, ``late`` of that evening or earlier, ``ahead`` of days after ``as_of`` (they count when their
    evening comes); ``corrected`` took the place of an earlier row of the same line id, and ``repeated`` said what was
    known. ``withdrawn`` counts earlier rows taken out by name. ``known_delivery`` is whether all of it had been taken
    in before.

    ``computed`` is the number of customers whose history was worked out anew; all others grew older. Of the
    ``customers`` that the store has then, ``joined`` were not there before, and ``left`` are there no more.
    """

    night: int
    as_of: dt.date
    delivery: str | None = None
    known_delivery: bool = False
    rows_read: int = 0
    rows_kept: int = 0
    set_aside: Mapping[str, int] = attrs.field(factory=dict)
    new: int = 0
    late: int = 0
    ahead: int = 0
    corrected: int = 0
    repeated: int = 0
    withdrawn: int = 0
    computed: int = 0
    customers: int = 0
    joined: int = 0
    left: int = 0

    @property
    def reconciles(self) -> bool:
        """Whether the rows kept and those set aside, each by what became of it, are all that were read."""
        kept = self.new + self.late + self.ahead + self.corrected + self.repeated
        return kept == self.rows_kept and kept + sum(self.set_aside.values()) == self.rows_read

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return attrs.asdict(self) | {"as_of": self.as_of.isoformat(), "set_aside": dict(self.set_aside)}


@frozen(eq=False, repr=False, kw_only=True)
class Nights(Table):
    """One row a night that a store took in; :class:`TakenIn` says what the counts mean."""

    key = "night"

    night: IntColumn = column("number of the night, from 1")
    as_of: DayColumn = column("evening of the night")
    delivery: TextColumn = column("name of the rows, empty if they had none")
    rows_read: IntColumn = column("rows of the source", unit="count")
    rows_kept: IntColumn = column("rows that count", unit="count")
    new: IntColumn = column("rows since the evening before", unit="count")
    late: IntColumn = column("rows of that evening or earlier", unit="count")
    ahead: IntColumn = column("rows of days to come", unit="count")
    corrected: IntColumn = column("rows that replaced earlier ones", unit="count")
    repeated: IntColumn = column("rows that were known", unit="count")
    withdrawn: IntColumn = column("earlier rows taken out by name", unit="count")
    computed: IntColumn = column("customers worked out anew", unit="count")
    customers: IntColumn = column("customers with a history that evening", unit="count")

    @classmethod
    def of(cls, nights: Sequence[TakenIn]) -> Self:
        """The accounts of single nights as columns."""
        counts = {field.name for field in attrs.fields(cls)} - {"provenance", "as_of", "delivery"}
        columns: dict[str, Any] = {
            name: np.asarray([getattr(night, name) for night in nights], dtype=np.int64) for name in counts
        }
        return cls(
            **columns,
            as_of=np.asarray([night.as_of for night in nights], dtype="datetime64[D]"),
            delivery=np.asarray([night.delivery or "" for night in nights], dtype=np.str_),
        )
