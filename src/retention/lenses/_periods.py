"""The two periods that the lenses compare, and exact sums per customer within them."""

import datetime as dt
from fractions import Fraction
from typing import Self

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.table import BoolColumn, IntColumn, Provenance
from retention.records.money import Amounts
from retention.records.transactions import TransactionLog


@frozen(eq=False, kw_only=True)
class Periods:
    """A log cut in two: previous ``(as_of - 2P, as_of - P]``, current ``(as_of - P, as_of]``.

    ``live`` marks purchase lines: neither a return nor half of a pair that undid itself. Only they make a customer
    active. Money is another matter: every line's money counts in the period in which it was posted, so that both
    periods agree with the books.
    """

    log: TransactionLog
    as_of: dt.date
    days: int
    previous: BoolColumn
    current: BoolColumn
    live: BoolColumn
    provenance: Provenance

    @classmethod
    def of(cls, log: TransactionLog, *, as_of: dt.date | str, period_days: int) -> Self:
        """Cut a log; the as-of date's own day belongs to the current period."""
        closing = as_day(as_of)
        if isinstance(period_days, bool) or not isinstance(period_days, int | np.integer) or period_days < 1:
            raise ConfigError(
                f"period_days={period_days!r}",
                rule="a period is a whole number of days, at least one",
                remedy="pass 365 to compare two years",
            )
        known = log.until(closing)
        last = np.datetime64(closing, "D")
        period = np.timedelta64(int(period_days), "D")
        turn, start = last - period, last - 2 * period
        day = known.day
        parameters = {"period_days": int(period_days)}
        cut = cls(
            log=known,
            as_of=closing,
            days=int(period_days),
            previous=(day > start) & (day <= turn),
            current=day > turn,
            live=~known.is_return & ~known.is_cancelled,
            provenance=Provenance(
                as_of=closing.isoformat(), data=log.fingerprint(), parameters=parameters, notes=log.provenance.notes
            ),
        )
        notes = cut._coverage_notes(start, last) + cut._undone_notes()
        return attrs.evolve(cut, provenance=cut.provenance.with_notes(*notes))

    @property
    def customer_id(self) -> NDArray[np.str_]:
        """Every customer of the known log, sorted."""
        return self.log.customers.labels

    @property
    def customers(self) -> int:
        """How many there are."""
        return len(self.log.customers.labels)

    @property
    def before(self) -> BoolColumn:
        """Lines older than both periods."""
        return ~self.previous & ~self.current

    def active(self, lines: BoolColumn) -> BoolColumn:
        """Per customer: did she buy on any of these lines?"""
        active = np.zeros(self.customers, dtype=bool)
        active[self.log.customers.codes[lines & self.live]] = True
        return active

    def sums(self, amounts: Amounts, lines: BoolColumn) -> IntColumn:
        """Per customer: the exact sum over these lines, in the amounts' minor units."""
        return amounts.take(lines).by_group(self.log.customers.codes[lines], self.customers)

    def orders(self, lines: BoolColumn) -> IntColumn:
        """Per customer: distinct orders with a purchase among these lines."""
        bought = lines & self.live
        counts = np.zeros(self.customers, dtype=np.int64)
        _, first = np.unique(self.log.occasions()[bought], return_index=True)
        np.add.at(counts, self.log.customers.codes[bought][first], 1)
        return counts

    def _coverage_notes(self, start: np.datetime64, last: np.datetime64) -> tuple[str, ...]:
        """How far the log reaches, and which figures must be read with that in mind."""
        if not len(self.log):
            return ("the log has no lines up to the as-of date",)
        day = self.log.day
        first, latest = day.min(), day.max()
        notes = []
        begins = start + np.timedelta64(1, "D")
        if first > begins:
            covered = "only partly covered" if self.previous.any() else "not covered at all"
            notes.append(
                f"the previous period is {covered}: it begins on {begins}, the log's first line is of "
                f"{first}; the opening is understated, 'new' and 'up' are overstated"
            )
        if first > start:
            notes.append(
                "the log does not reach back beyond the two periods: a customer who came back after a longer "
                "absence is counted as new, none as reactivated"
            )
        silent = int((last - latest).astype(np.int64))
        if silent * 12 > self.days:
            notes.append(
                f"the log's last line is of {latest}, {silent} days before the as-of date: if the records stop there "
                "and not the customers, 'lost' and 'down' are overstated"
            )
        return tuple(notes)

    def _undone_notes(self) -> tuple[str, ...]:
        undone = self.log.revenue.total(self.log.is_cancelled & self.current)
        if not undone:
            return ()
        return (
            f"orders undone on the other side of a period's border leave {undone:,} of revenue in the current period "
            "and are no purchases in either; money counts on the day it was posted",
        )


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
