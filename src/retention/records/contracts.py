"""Relationships whose end is seen, as columns: from when, until when, and why they ended, as far as known."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Self

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.domain import Contract
from retention.errors import ConfigError, ReadError
from retention.frames.table import BoolColumn, DayColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.records.referrals import numbered

__all__ = ["Contracts"]


@frozen(eq=False, repr=False, kw_only=True)
class Contracts(Table):
    """One row a contract: who, the day it began, the day it ended (NaT while it runs) and the stated cause.

    What happened after ``as_of`` is not known here: a contract whose end lies later still runs. ``cause`` is "" where
    none was stated. Contracts of one customer may follow each other but not overlap; ``relationships()`` joins those
    that follow each other at once, so that a renewal is not taken for an end.

    ``observed_from`` is the first day whose ends are on file. Contracts that began before it are known only because
    they lasted until then (left truncation): they count as at risk from the age they had on that day, not from birth.
    Those that ended before it stay in the table, so that ``relationships()`` knows when a customer came, but are no
    part of what was ``watched()``.

    Example:
        >>> c = Contracts.from_arrays(customer_id=["a", "b"], start=["2020-01-01", "2020-03-01"],
        ...                           end=["2020-07-01", None], cause=["moved", None], as_of="2021-01-01")
        >>> c.days.tolist(), c.ended.tolist()
        ([182, 306], [True, False])
    """

    customer_id: TextColumn = column("who")
    start: DayColumn = column("first day of the contract")
    end: DayColumn = column("day it ended; NaT while it runs")
    cause: TextColumn = column("why it ended, as stated; empty if it runs or if nobody said")
    line: IntColumn = column("where the row stood in its source")

    as_of: dt.date
    observed_from: dt.date | None = None

    @classmethod
    def of(cls, contracts: Iterable[Contract], *, as_of: dt.date | str, observed_from: Any = None) -> Self:
        """Lift single contracts into columns."""
        listed = list(contracts)
        return cls.from_arrays(
            customer_id=[c.customer_id for c in listed],
            start=[c.started for c in listed],
            end=[c.ended for c in listed],
            cause=[c.reason for c in listed],
            as_of=as_of,
            observed_from=observed_from,
        )

    @classmethod
    def from_arrays(
        cls,
        *,
        customer_id: Any,
        start: Any,
        end: Any,
        cause: Any = None,
        as_of: dt.date | str,
        observed_from: dt.date | str | None = None,
        line: Any = None,
        source: str = "contracts",
        unit: str = "row",
    ) -> Self:
        """Contracts from equal-length arrays; rows are counted from 1 where ``line`` does not say.

        Contracts that begin after ``as_of`` are left out, and a note of ``provenance`` counts them.

        Raises:
            ReadError: columns of other lengths, a day that is none, a contract without customer or first day, one that
                ends before it begins, a cause without an end, or overlapping contracts of one customer. The message
                names the rows, never a customer.
            ConfigError: ``observed_from`` after ``as_of``.
        """
        who = [("" if name is None else str(name).strip()) for name in customer_id]
        n = len(who)
        today = _day(as_of)
        known_from = None if observed_from is None else _day(observed_from)
        if known_from is not None and known_from > today:
            raise ConfigError(
                f"observed_from={known_from} with as_of={today}",
                rule="what is on file begins before the day it is looked at",
                remedy="swap the two, or leave observed_from out",
            )
        begins, ends = _days(start, source, "start"), _days(end, source, "end")
        said = np.asarray(
            ["" if c is None or c != c else str(c).strip() for c in ([None] * n if cause is None else cause)]
        )
        if {len(begins), len(ends), len(said)} != {n}:
            raise ReadError(
                f"{source} with {n:,} customers, {len(begins):,} starts, {len(ends):,} ends and {len(said):,} causes",
                rule="every column has one value a contract",
                remedy="pass lists of one length, None where there is no end or cause",
            )
        lines = np.arange(1, n + 1, dtype=np.int64) if line is None else np.asarray(line, dtype=np.int64)

        def refuse(rows: NDArray[np.bool_], fault: str, rule: str, remedy: str) -> None:
            if rows.any():
                raise ReadError(f"{source}, {numbered(unit, lines[rows])}: {fault}", rule=rule, remedy=remedy)

        names = np.asarray(who, dtype=np.str_)
        refuse(names == "", "no customer", "a contract is somebody's", "fill in the id, or take the rows out")
        refuse(np.isnat(begins), "no first day", "a contract begins on a day", "fill in the day, or take the rows out")
        refuse(
            ends < begins,
            "ends before it begins",
            "a contract ends on the day it begins or later",
            "mend the day that is wrong; the two columns may be swapped",
        )
        refuse(
            (said != "") & np.isnat(ends),
            "a cause without an end",
            "only what has ended has a cause of its end",
            "fill in the day it ended, or clear the cause",
        )
        table = cls(
            customer_id=names, start=begins, end=ends, cause=said.astype(np.str_), line=lines,
            as_of=today.item(), observed_from=None if known_from is None else known_from.item(),
            provenance=Provenance(as_of=str(today)),
        )  # fmt: skip
        table._refuse_overlaps(source, unit)
        return table._as_known(today)

    @classmethod
    def from_tenures(
        cls, *, days: Any, ended: Any, cause: Any = None, customer_id: Any = None, as_of: dt.date | str
    ) -> Self:
        """Contracts of which only the length in whole days is known: each began so many days before ``as_of``.

        Every end is then on the day of ``as_of``, which says nothing about calendars: use it for what depends on tenure
        alone.

        Example:
            >>> Contracts.from_tenures(days=[30, 90], ended=[True, False], cause=["moved", ""], as_of="2020-01-01").days
            array([30, 90])
        """
        length = np.asarray(days)
        numbers = length.ndim == 1 and (length.dtype.kind in "iuf" or not length.size)
        if not numbers or not np.all((length == np.rint(length)) & (length >= 0) & (length < 1e6)):
            raise ReadError(
                "tenures with fractions or below zero",
                rule="a tenure is a number of whole days, 0 or more",
                remedy="round them to days; a month has 30.4375 on average",
            )
        over = np.asarray(ended, dtype=np.bool_)
        today = _day(as_of)
        width = len(str(max(len(length) - 1, 0)))
        return cls.from_arrays(
            customer_id=[f"c{i:0{width}d}" for i in range(len(length))] if customer_id is None else customer_id,
            start=today - length.astype(np.int64).astype("timedelta64[D]"),
            end=np.where(over, today, np.datetime64("NaT", "D")),
            cause=cause,
            as_of=as_of,
        )

    @property
    def ended(self) -> BoolColumn:
        """Whether each contract has ended."""
        return ~np.isnat(self.end)

    @property
    def days(self) -> IntColumn:
        """How long each has lasted, in days: to its end, or to ``as_of`` while it runs."""
        last = np.where(self.ended, self.end, np.datetime64(self.as_of, "D"))
        return np.asarray((last - self.start).astype(np.int64))

    @property
    def entry_days(self) -> IntColumn:
        """The age in days from which each was watched: 0, or what it had reached on ``observed_from``."""
        if self.observed_from is None:
            return np.zeros(len(self), dtype=np.int64)
        late = (np.datetime64(self.observed_from, "D") - self.start).astype(np.int64)
        return np.asarray(np.maximum(late, 0))

    def relationships(self, *, gap_days: int = 1) -> Self:
        """Contracts of one customer that follow each other within ``gap_days`` as one; ends and causes are the last's.

        Example:
            >>> c = Contracts.from_arrays(customer_id=["a", "a"], start=["2020-01-01", "2021-01-01"],
            ...                           end=["2020-12-31", None], as_of="2021-06-01")
            >>> len(c.relationships()), c.relationships().days.tolist()
            (1, [517])
        """
        if not gap_days >= 0:
            raise ConfigError(
                f"gap_days={gap_days!r}", rule="contracts follow each other within 0 days or more", remedy="1 is a day"
            )
        if not len(self):
            return self
        order = np.lexsort([self.start, self.customer_id])
        who, starts, ends = self.customer_id[order], self.start[order], self.end[order]
        near = starts[1:] - ends[:-1] <= np.timedelta64(int(gap_days), "D")  # NaT: an end unknown is no end
        follows = np.concatenate([[False], (who[1:] == who[:-1]) & near])
        first = np.flatnonzero(~follows)
        last = np.append(first[1:], len(order)) - 1
        rows = np.sort(order[first])
        back = np.argsort(order[first], kind="stable")
        final = order[last][back]
        return attrs.evolve(self.take(rows), end=self.end[final], cause=self.cause[final])

    def watched(self) -> Self:
        """Those whose end would be on file: all but the ones that ended before ``observed_from``."""
        if self.observed_from is None:
            return self
        early = self.end < np.datetime64(self.observed_from, "D")
        return self.take(~early) if early.any() else self

    def until(self, day: dt.date) -> Self:
        """What was known on an earlier day: later starts are gone, later ends and their causes not yet known."""
        if day > self.as_of:
            raise ConfigError(
                f"contracts as of {self.as_of}, asked about {day}",
                rule="what was known on a day is asked of a table of that day or later",
                remedy="read them again with a later as_of",
            )
        known = attrs.evolve(self, as_of=day)
        return known._as_known(np.datetime64(day, "D"))

    def causes(self) -> dict[str, str]:
        """Why each customer left whose last contract has ended and whose cause was stated."""
        order = np.lexsort([self.start, self.customer_id])
        who = self.customer_id[order]
        rows = order[np.append(who[1:] != who[:-1], np.ones(min(len(who), 1), dtype=bool))]
        rows = rows[self.ended[rows] & (self.cause[rows] != "")]
        return dict(zip(self.customer_id[rows].tolist(), self.cause[rows].tolist(), strict=True))

    def row(self, position: int) -> Contract:
        """One contract as a domain object."""
        return Contract(
            customer_id=str(self.customer_id[position]),
            started=self.start[position].item(),
            ended=self.end[position].item(),
            reason=str(self.cause[position]) or None,
        )

    def __repr__(self) -> str:
        ended = self.ended
        unsaid = int((ended & (self.cause == "")).sum())
        return (
            f"<Contracts: {len(self):,} as of {self.as_of}, {int(ended.sum()):,} ended, "
            f"{unsaid:,} of them without a stated cause>"
        )

    def _as_known(self, today: "np.datetime64") -> Self:
        later, over = self.start > today, self.end > today
        kept = ~later
        early = np.zeros(len(self), dtype=bool)
        if self.observed_from is not None:
            early = self.end < np.datetime64(self.observed_from, "D")
        notes = [
            f"{int(rows.sum()):,} contracts {why}"
            for rows, why in (
                (later, "begin after the as-of date and are left out"),
                (early & ~later, "ended before ends were recorded: they are no part of what was watched"),
                (over & ~later, "end after the as-of date: they count as running, their causes as unknown"),
            )
            if rows.any()
        ]
        table = attrs.evolve(
            self,
            end=np.where(over, np.datetime64("NaT", "D"), self.end),
            cause=np.where(over, "", self.cause),
            provenance=attrs.evolve(self.provenance.with_notes(*notes), as_of=str(today)),
        )
        return table.take(kept) if not kept.all() else table

    def _refuse_overlaps(self, source: str, unit: str) -> None:
        order = np.lexsort([self.start, self.customer_id])
        who, starts, ends = self.customer_id[order], self.start[order], self.end[order]
        same = who[1:] == who[:-1]
        open_or_late = np.isnat(ends[:-1]) | (starts[1:] < ends[:-1])
        again = same & ((starts[1:] == starts[:-1]) | open_or_late)
        if again.any():
            first = np.flatnonzero(again)
            rows = np.unique(np.concatenate([order[first], order[first + 1]]))
            raise ReadError(
                f"{source}, {numbered(unit, self.line[rows])}: contracts of one customer that overlap",
                rule="a customer has one contract at a time: the next begins when the one before has ended, or later",
                remedy="close the earlier one on the day the next begins, or give each account its own id",
            )


def _day(day: Any) -> Any:
    try:
        return np.datetime64(day, "D")
    except ValueError as error:
        raise ConfigError(
            f"the day {day!r}", rule="a day is a date, or written like 2011-12-31", remedy="pass datetime.date(...)"
        ) from error


def _days(values: Any, source: str, role: str) -> DayColumn:
    array = np.asarray(values)
    if array.dtype.kind == "M":
        return array.astype("datetime64[D]")
    found = []
    for row, value in enumerate(array.tolist(), 1):
        if value is None or value == "" or value != value:
            found.append(np.datetime64("NaT", "D"))
            continue
        try:
            found.append(np.datetime64(value, "D"))
        except (TypeError, ValueError) as error:
            raise ReadError(
                f"{source}, row {row}: a {role} that is no day",
                rule="a day is a date, or written like 2011-12-31",
                remedy="mend the cell, or leave it empty for an end that has not come",
            ) from error
    return np.asarray(found, dtype="datetime64[D]")
