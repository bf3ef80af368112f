"""One row a customer: what her receipts say, as sufficient statistics."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Self

import attrs
import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import RetentionError
from retention.frames.table import (
    DayColumn,
    FloatColumn,
    IntColumn,
    Provenance,
    Table,
    TextColumn,
    column,
    read_only,
    read_only_columns,
)
from retention.histories.habits import Habits

__all__ = ["History", "Histories"]


@frozen(kw_only=True)
class History:
    """One customer's sufficient statistics; :class:`Histories` has the same field names as arrays.

    Example:
        >>> h = History(customer_id="7", frequency=2, recency_days=213.0, age_days=272.0, margin_mean=30.0)
        >>> h.idle_days
        59.0
    """

    customer_id: str
    first_at: dt.date | None = None
    last_at: dt.date | None = None
    frequency: int
    recency_days: float
    age_days: float
    orders: int = 0
    revenue: float = 0.0
    margin: float = 0.0
    margin_mean: float = 0.0
    margin_squares: float = 0.0
    returns: float = 0.0
    gap_log_sum: float = 0.0
    gap_log_squares: float = 0.0

    @property
    def idle_days(self) -> float:
        """Days from the last purchase to the as-of date."""
        return self.age_days - self.recency_days


@frozen(eq=False, repr=False, kw_only=True)
class Histories(Table):
    """The customer base on one day: one row a customer, in order of ``customer_id``.

    Days are floats, money is float64 in the log's one currency. ``currency`` is its code if known.
    ``left_out`` counts the customers of the log that have no history, by reason (only returns, first purchase
    after the as-of date): they are named, not lost. ``attributes`` is what else is known of each customer.

    Example:
        >>> base = Histories.from_arrays(frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272])
        >>> len(base), base[0].frequency
        (2, 2)
    """

    customer_id: TextColumn = column("who")
    first_at: DayColumn = column("first purchase day")
    last_at: DayColumn = column("last purchase day")
    frequency: IntColumn = column("repeat purchase days", unit="count")
    recency_days: FloatColumn = column("from first to last purchase day", unit="days")
    age_days: FloatColumn = column("from first purchase day to the as-of date", unit="days")
    orders: IntColumn = column("distinct orders", unit="count")
    revenue: FloatColumn = column("revenue net of returns", unit="money")
    margin: FloatColumn = column("margin net of returns", unit="money")
    margin_mean: FloatColumn = column("mean margin of a repeat purchase day", unit="money")
    margin_squares: FloatColumn = column(
        "sum of squared margins of the repeat purchase days; 0 if not known", unit="money squared"
    )
    returns: FloatColumn = column("money taken back, as a positive amount", unit="money")
    gap_log_sum: FloatColumn = column("sum of log gaps between purchase days", unit="log days")
    gap_log_squares: FloatColumn = column("sum of squared log gaps", unit="log days squared")

    as_of: dt.date | None = None
    currency: str | None = None
    left_out: Mapping[str, int] = attrs.field(factory=dict)
    habits: Habits | None = None
    attributes: Mapping[str, Any] = attrs.field(factory=dict, converter=read_only_columns)

    def __attrs_post_init__(self) -> None:
        Table.__attrs_post_init__(self)
        _check(self)

    @property
    def idle_days(self) -> FloatColumn:
        """Days from each customer's last purchase to the as-of date."""
        return read_only(self.age_days - self.recency_days)

    def row(self, position: int) -> History:
        """One customer's history."""
        return History(**Table.row(self, position))

    def take(self, rows: Any) -> Self:
        """The same base with only these rows, habits included."""
        picked = {name: values[rows] for name, values in self.columns().items()}
        habits = None if self.habits is None else self.habits.take(rows)
        attributes = {name: values[rows] for name, values in self.attributes.items()}
        return attrs.evolve(self, **picked, habits=habits, attributes=attributes)

    def with_attributes(self, attributes: Mapping[str, Any]) -> Self:
        """The same base, with what else is known of each customer: an array a name, in the order of the customers.

        Numbers, flags or text; models take them as covariates by name. They travel with the customers when rows are
        taken. Raises RetentionError for an array of another length or with holes in it.

        Example:
            >>> base = Histories.from_arrays(frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272])
            >>> base.with_attributes({"channel": ["web", "shop"]})[[1]].attributes["channel"].tolist()
            ['shop']
        """
        checked: dict[str, Any] = dict(self.attributes)
        for name, values in attributes.items():
            array = np.asarray(values)
            if array.dtype.kind == "O":
                array = np.asarray([None if value is None else str(value) for value in array.tolist()])
            holes = array.dtype.kind in "Of" and bool(np.any([v is None or v != v for v in array.tolist()]))
            if array.shape != (len(self),) or holes:
                raise RetentionError(
                    f"attribute {name!r} of shape {array.shape}" + (" with holes" if holes else ""),
                    rule=f"an attribute is one known value for each of the {len(self):,} customers, in their order",
                    remedy="line it up with customer_id first, and say 'unknown' where it is not known",
                )
            checked[name] = array
        return attrs.evolve(self, attributes=checked)

    def advanced(self, *, to: str | dt.date) -> Self:
        """The same base on a later evening, if nobody has bought or brought anything back: all are older.

        Example:
            >>> new_year = dt.date(2011, 1, 1)
            >>> base = Histories.from_arrays(frequency=[2], recency_days=[213], age_days=[272], as_of=new_year)
            >>> base.advanced(to="2011-01-04").age_days.tolist()
            [275.0]
        """
        day = as_day(to, name="to")
        if self.as_of is None or day < self.as_of:
            raise RetentionError(
                f"histories of {self.as_of} on {day}",
                rule="histories grow older, from an as-of date that is known",
                remedy="summarize the transactions up to the earlier day",
            )
        provenance = attrs.evolve(self.provenance, as_of=day.isoformat())
        older = self.age_days + float((day - self.as_of).days)
        return attrs.evolve(self, age_days=older, as_of=day, provenance=provenance)

    def updated(self, newer: "Histories") -> "Histories":
        """The same base with the rows of ``newer`` in place of those of the same customers, on the same evening.

        How many customers of the log have no history (``left_out``) is not known of the result.
        """
        others = self.take(~np.isin(self.customer_id, newer.customer_id))
        return attrs.evolve(others | newer, left_out={})

    @classmethod
    def of(cls, rows: Iterable[History], *, as_of: dt.date | None = None) -> Self:
        """Lift single histories into columns."""
        listed = list(rows)
        data: dict[str, Any] = {f.name: [getattr(row, f.name) for row in listed] for f in attrs.fields(History)}
        return cls.from_arrays(as_of=as_of, **data)

    @classmethod
    def from_arrays(
        cls,
        *,
        frequency: Any,
        recency_days: Any,
        age_days: Any,
        customer_id: Any = None,
        as_of: dt.date | None = None,
        currency: str | None = None,
        **others: Any,
    ) -> Self:
        """Build a base from arrays; what is not given is zero, and ids are ``c0, c1, ...``."""
        frequency = _integers(frequency)
        n = len(frequency)
        if customer_id is None:
            width = len(str(max(n - 1, 0)))
            customer_id = [f"c{i:0{width}d}" for i in range(n)]
        days: dict[str, Any] = {name: _days(others.pop(name, None), n) for name in ("first_at", "last_at")}
        money = ("revenue", "margin", "margin_mean", "margin_squares", "returns", "gap_log_sum", "gap_log_squares")
        floats: dict[str, Any] = {name: np.asarray(others.pop(name, np.zeros(n)), dtype=np.float64) for name in money}
        orders = _integers(others.pop("orders", frequency + 1))
        if others:
            raise RetentionError(
                f"Histories.from_arrays got {sorted(others)}",
                rule="columns are named as in History",
                remedy=f"use: {', '.join(f.name for f in attrs.fields(History))}",
            )
        return cls(
            customer_id=np.asarray(customer_id, dtype=np.str_).reshape(n),
            frequency=frequency,
            recency_days=np.asarray(recency_days, dtype=np.float64),
            age_days=np.asarray(age_days, dtype=np.float64),
            orders=orders,
            **days,
            **floats,
            as_of=as_of,
            currency=currency,
            provenance=Provenance(as_of=None if as_of is None else as_of.isoformat()),
        )

    def __or__(self, other: "Histories") -> "Histories":
        """Two bases of different customers on one day, as one."""
        if self.as_of != other.as_of or self.currency != other.currency:
            raise RetentionError(
                f"merging histories of {self.as_of} in {self.currency} and {other.as_of} in {other.currency}",
                rule="histories merge on one as-of date and in one currency",
                remedy="summarize both logs with the same as_of",
            )
        ids = np.concatenate([self.customer_id, other.customer_id])
        order = np.argsort(ids, kind="stable")
        if np.any(ids[order][1:] == ids[order][:-1]):
            raise RetentionError(
                "merging histories that share customers",
                rule="histories merge when the logs were cut between customers, not through one",
                remedy="add the logs (a + b) and summarize the sum",
            )
        theirs = other.columns()
        merged: dict[str, Any] = {
            name: np.concatenate([mine, theirs[name]])[order] for name, mine in self.columns().items()
        }
        habits = None
        if self.habits is not None and other.habits is not None:
            habits = self.habits.joined(other.habits).take(order)
        attributes = {
            name: np.concatenate([mine, other.attributes[name]])[order]
            for name, mine in self.attributes.items()
            if name in other.attributes
        }
        left_out = {
            reason: self.left_out.get(reason, 0) + other.left_out.get(reason, 0)
            for reason in dict.fromkeys([*self.left_out, *other.left_out])
        }
        return attrs.evolve(
            self,
            **merged,
            left_out=left_out,
            habits=habits,
            attributes=attributes,
            provenance=attrs.evolve(self.provenance, data=None).with_notes(*other.provenance.notes),
        )


def _integers(values: Any) -> IntColumn:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        as_float = np.asarray(values, dtype=np.float64)
        if not np.array_equal(as_float, np.rint(as_float)):
            raise RetentionError(
                "frequency or orders with fractions",
                rule="counts are whole numbers",
                remedy="pass repeat purchase days, not averages",
            )
        array = as_float
    return array.astype(np.int64)


def _days(values: Any, n: int) -> DayColumn:
    if values is None or (isinstance(values, list) and all(v is None for v in values)):
        return np.full(n, np.datetime64("NaT", "D"), dtype="datetime64[D]")
    return np.asarray(values, dtype="datetime64[D]")


def _check(h: Histories) -> None:
    rules = (
        ("frequency", h.frequency >= 0, "a count is zero or more"),
        ("recency_days", (h.recency_days >= 0) & np.isfinite(h.recency_days), "days are zero or more"),
        (
            "age_days",
            (h.age_days >= h.recency_days) & np.isfinite(h.age_days),
            "the last purchase is not after the as-of date",
        ),
        (
            "recency_days",
            (h.frequency > 0) == (h.recency_days > 0),
            "recency is positive exactly when there is a repeat purchase",
        ),
        ("margin_mean", np.isfinite(h.margin_mean), "money is finite"),
        ("margin_squares", (h.margin_squares >= 0) & np.isfinite(h.margin_squares), "squares are zero or more"),
    )
    for name, good, rule in rules:
        if not np.all(good):
            row = int(np.flatnonzero(~good)[0])
            raise RetentionError(
                f"Histories.{name}: row {row} holds {h.columns()[name][row]!r}",
                rule=rule,
                remedy="mend that row, or let rt.summarize make the histories from the log",
            )
