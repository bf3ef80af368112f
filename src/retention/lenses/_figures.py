"""What each customer bought and brought in two periods, counted from the lines of a log in exact whole numbers."""

import datetime as dt
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.frames.table import BoolColumn, IntColumn
from retention.records.money import Amounts
from retention.records.transactions import TransactionLog

SPANS = ("", "_previous", "_current")
"""Endings of a figure's name: over all known lines, and of the two periods."""


def sealed(values: NDArray[Any]) -> NDArray[Any]:
    """An array that was made here and that nobody else has, closed for writing: so that no table copies it."""
    values.flags.writeable = False
    return values


@frozen(kw_only=True)
class Cut:
    """Where two periods lie: the previous one is ``(start, turn]``, the current one ``(turn, last]``."""

    start: np.datetime64
    turn: np.datetime64
    last: np.datetime64

    @classmethod
    def at(cls, closing: dt.date, days: int) -> Self:
        """Two periods of so many days, the second of which ends with a day."""
        last, period = np.datetime64(closing, "D"), np.timedelta64(days, "D")
        return cls(start=last - 2 * period, turn=last - period, last=last)


@frozen(eq=False, kw_only=True)
class Lines:
    """The known lines of a log, each in its period: 0 before both, 1 previous, 2 current.

    ``live`` marks purchase lines: neither a return nor half of a pair that undid itself. Only they make a customer
    active. Money is another matter: every line's money counts in the period in which it was posted, so that both
    periods agree with the books. ``order`` numbers the orders of the lines, ``her`` says whose each order is.
    """

    log: TransactionLog
    period: NDArray[np.int8]
    live: BoolColumn
    order: IntColumn
    her: IntColumn

    @classmethod
    def of(cls, known: TransactionLog, cut: Cut) -> Self:
        """Put lines into their periods."""
        day, order = known.day, known.occasions()
        period = (day > cut.start).astype(np.int8) + (day > cut.turn)
        her = np.zeros(int(order.max(initial=-1)) + 1, dtype=np.int64)
        her[order] = known.customers.codes
        return cls(log=known, period=period, live=~known.is_return & ~known.is_cancelled, order=order, her=her)

    def orders(self, lines: BoolColumn) -> IntColumn:
        """Per customer: distinct orders with a purchase among these lines."""
        held = np.zeros(len(self.her), dtype=bool)
        held[self.order[lines & self.live]] = True
        return np.bincount(self.her[held], minlength=len(self.log.customers.labels))

    def figures(self) -> dict[str, NDArray[Any]]:
        """One row a customer, in the order of her id; money in the log's minor units.

        ``first_line`` and ``last_line`` are the days of her first and last line, ``first`` is that of her first
        purchase (NaT without any), ``undone`` what orders undone on the other side of a border leave in the current
        period.
        """
        log, codes, many = self.log, self.log.customers.codes, len(self.log.customers.labels)
        day = log.day.astype(np.int64)
        nat = np.iinfo(np.int64).min
        last_line, first_line, first = np.full(many, nat), np.full(many, -nat - 1), np.full(many, -nat - 1)
        np.minimum.at(first_line, codes, day)
        np.maximum.at(last_line, codes, day)
        np.minimum.at(first, codes[self.live], day[self.live])
        first[first == -nat - 1] = nat
        days = {"first_line": first_line, "last_line": last_line, "first": first}
        parts = [np.ones(len(log), dtype=bool), self.period == 1, self.period == 2]
        money = {
            name + span: amounts.take(lines).by_group(codes[lines], many)
            for name, amounts in (("revenue", log.revenue), ("margin", log.margin))
            for span, lines in zip(SPANS, parts, strict=True)
        }
        undone = log.is_cancelled & parts[2]
        return {
            "customer_id": log.customers.labels,
            **{name: values.view("datetime64[D]") for name, values in days.items()},
            **{f"orders{span}": self.orders(lines) for span, lines in zip(SPANS, parts, strict=True)},
            **money,
            "undone": log.revenue.take(undone).by_group(codes[undone], many),
        }


class State(NamedTuple):
    """What made the margin of a period: how many orders, of how much revenue and margin."""

    orders: int
    revenue: Fraction
    margin: Fraction


@frozen(kw_only=True)
class Breadth:
    """Of customers who bought in both periods: the change in margin in categories that they entered and that they
    left, and the state of their other categories in each period."""

    entered: Fraction
    left: Fraction
    before: State
    after: State

    @classmethod
    def of(cls, lines: Lines) -> Self | None:
        """None for a log without categories."""
        log = lines.log
        if log.categories is None:
            return None
        codes, many = log.customers.codes.astype(np.int64), len(log.customers.labels)
        width = max(len(log.categories.labels), 1)
        _, cell = np.unique(codes * width + log.categories.codes, return_inverse=True)

        def bought(group: IntColumn, groups: int, period: int) -> BoolColumn:
            held = np.zeros(groups, dtype=bool)
            held[group[(lines.period == period) & lines.live]] = True
            return held

        stayed = (bought(codes, many, 1) & bought(codes, many, 2))[codes]
        cells = int(cell.max(initial=-1)) + 1
        before, after = (bought(cell, cells, period)[cell] for period in (1, 2))

        def state(where: BoolColumn, period: int) -> State:
            posted = where & (lines.period == period)
            money = (Fraction(amounts.total(posted)) for amounts in (log.revenue, log.margin))
            return State(int(lines.orders(posted).sum()), *money)

        def change(where: BoolColumn) -> Fraction:
            before, after = (log.margin.total(where & (lines.period == period)) for period in (1, 2))
            return Fraction(after - before)

        shared = stayed & (before == after)
        return cls(
            entered=change(stayed & after & ~before),
            left=change(stayed & before & ~after),
            before=state(shared, 1),
            after=state(shared, 2),
        )


@frozen(eq=False, kw_only=True)
class Spans:
    """Whole numbers of each customer: over all her known lines, and of the two periods."""

    ever: IntColumn
    previous: IntColumn
    current: IntColumn

    @classmethod
    def named(cls, name: str, figures: Mapping[str, IntColumn]) -> "Spans":
        """The three columns of one figure."""
        ever, previous, current = (figures[name + span] for span in SPANS)
        return Spans(ever=ever, previous=previous, current=current)


@frozen(eq=False, kw_only=True)
class Sums(Spans):
    """Exact money of each customer, in whole units of 10**-decimals."""

    decimals: int

    @classmethod
    def of(cls, minor: Spans, decimals: int, others: Sequence[Fraction] = ()) -> Self:
        """The sums in the largest unit in which all of them are whole, and the others too.

        So nothing depends on the unit in which the lines were written down: a log counts in cents where an engine
        counts in millionths. Raises ReadError if their total is too much to be exact.
        """
        ever, previous, current = minor.ever, minor.previous, minor.current
        common = int(np.gcd.reduce([np.gcd.reduce(values, initial=0) for values in (ever, previous, current)]))
        spare = 0
        while spare < decimals and not common % 10 ** (spare + 1):
            if any((other * 10 ** (decimals - spare - 1)).denominator > 1 for other in others):
                break
            spare += 1
        if spare:
            ever, previous, current = (sealed(values // 10**spare) for values in (ever, previous, current))
        sums = cls(ever=ever, previous=previous, current=current, decimals=decimals - spare)
        for values in (ever, previous, current):
            sums.amounts(values).refuse_overflow()
        return sums

    def amounts(self, minor: IntColumn) -> Amounts:
        """Some of these numbers as amounts."""
        return Amounts(minor, self.decimals)
