"""The two periods that the lenses compare, and what each customer did in them."""

import datetime as dt
from fractions import Fraction
from typing import Self, cast

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.table import BoolColumn, DayColumn, Provenance, TextColumn
from retention.frames.texts import Labels
from retention.lenses._figures import Breadth, Cut, Lines, Spans, Sums
from retention.lenses._scanned import DECIMALS, figures_of
from retention.records.money import Amounts
from retention.records.scan import TransactionScan
from retention.records.transactions import TransactionLog


@frozen(eq=False, kw_only=True)
class Periods:
    """A base over two periods: previous ``(as_of - 2P, as_of - P]``, current ``(as_of - P, as_of]``.

    One row for each customer with a known line, in the order of her id. ``first`` is the day of her first purchase
    (NaT without any), ``was`` and ``is_now`` tell whether she bought in the previous and in the current period, and
    ``earlier`` whether before both; ``present`` are those with any line in the current period. All else are exact
    sums. ``breadth`` is None where there are no categories.
    """

    as_of: dt.date
    days: int
    customer_id: TextColumn
    first: DayColumn
    was: BoolColumn
    is_now: BoolColumn
    earlier: BoolColumn
    present: BoolColumn
    orders: Spans
    revenue: Sums
    margin: Sums
    breadth: Breadth | None
    currency: str | None
    provenance: Provenance

    @classmethod
    def of(cls, log: TransactionLog | TransactionScan, *, as_of: dt.date | str, period_days: int) -> Self:
        """Cut a log, or a scan; the as-of date's own day belongs to the current period."""
        closing = as_day(as_of)
        if isinstance(period_days, bool) or not isinstance(period_days, int | np.integer) or period_days < 1:
            raise ConfigError(
                f"period_days={period_days!r}",
                rule="a period is a whole number of days, at least one",
                remedy="pass 365 to compare two years",
            )
        cut = Cut.at(closing, int(period_days))
        breadth = data = None
        if isinstance(log, TransactionScan):
            figures, decimals = figures_of(log.until(closing), cut), (DECIMALS, DECIMALS)
        else:
            lines = Lines.of(log.until(closing), cut)
            figures, decimals = lines.figures(), (log.revenue.decimals, log.margin.decimals)
            breadth, data = Breadth.of(lines), log.fingerprint()
        orders, revenue, margin = (Spans.named(name, figures) for name in ("orders", "revenue", "margin"))
        provenance = Provenance(
            as_of=closing.isoformat(),
            data=data,
            parameters={"period_days": int(period_days)},
            notes=log.provenance.notes,
        )
        notes = _reach(figures["first_line"], figures["last_line"], cut)
        undone = Amounts(figures["undone"], decimals[0]).total()
        if undone:
            left = f"{undone:,.2f}".removesuffix(".00")
            notes += (
                f"orders undone on the other side of a period's border leave {left} of revenue in the current period "
                "and are no purchases in either; money counts on the day it was posted",
            )
        return cls(
            as_of=closing,
            days=int(period_days),
            customer_id=figures["customer_id"],
            first=figures["first"],
            was=orders.previous > 0,
            is_now=orders.current > 0,
            earlier=figures["first"] <= cut.start,
            present=figures["last_line"] > cut.turn,
            orders=orders,
            revenue=Sums.of(revenue, decimals[0]),
            margin=Sums.of(margin, decimals[1], () if breadth is None else (breadth.entered, breadth.left)),
            breadth=breadth,
            currency=log.currency,
            provenance=provenance.with_notes(*notes),
        )

    @property
    def customers(self) -> int:
        """How many there are."""
        return len(self.customer_id)

    def names(self, rows: NDArray[np.int64]) -> TextColumn:
        """The ids of some customers, which are not written out once more."""
        return cast("TextColumn", Labels(rows.astype(np.int32) if self.customers < 2**31 else rows, self.customer_id))


def _reach(first_line: DayColumn, last_line: DayColumn, cut: Cut) -> tuple[str, ...]:
    """How far the log reaches, and which figures must be read with that in mind."""
    if not len(first_line):
        return ("the log has no lines up to the as-of date",)
    first, latest = first_line.min(), last_line.max()
    notes = []
    begins = cut.start + np.timedelta64(1, "D")
    if first > begins:
        covered = "only partly covered" if first <= cut.turn else "not covered at all"
        notes.append(
            f"the previous period is {covered}: it begins on {begins}, the log's first line is of "
            f"{first}; the opening is understated, 'new' and 'up' are overstated"
        )
    if first > cut.start:
        notes.append(
            "the log does not reach back beyond the two periods: a customer who came back after a longer "
            "absence is counted as new, none as reactivated"
        )
    silent, days = ((cut.last - day).astype(np.int64) for day in (latest, cut.turn))
    if silent * 12 > days:
        notes.append(
            f"the log's last line is of {latest}, {silent} days before the as-of date: if the records stop there "
            "and not the customers, 'lost' and 'down' are overstated"
        )
    return tuple(notes)


def share_of(share: float, count: int) -> int:
    """How many of ``count`` make a share of them: rounded up, in exact arithmetic (1 % of 700 is 7, never 8)."""
    exact = Fraction(str(share)) * count
    return -(-exact.numerator // exact.denominator)


def check_share(name: str, value: float) -> None:
    """A share lies between 0 and 1."""
    if not 0 <= value <= 1:
        raise ConfigError(
            f"{name}={value!r}", rule="a share lies between 0 and 1", remedy="pass 0.2 for twenty percent"
        )
