"""The customer-base audit: what the base looks like and how it moves, before any model."""

import datetime as dt
from typing import Any

import numpy as np
from attrs import frozen

from retention.frames.table import Provenance
from retention.lenses._periods import Periods
from retention.lenses._showing import html_table
from retention.lenses.concentration import Concentration
from retention.lenses.coverage import Contacts, Coverage
from retention.lenses.ledger import Ledger
from retention.lenses.levers import Levers
from retention.lenses.ranking import Ranking
from retention.records.scan import TransactionScan
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog

__all__ = ["Audit", "audit"]


@frozen(eq=False, repr=False, kw_only=True)
class Audit:
    """Five lenses on one customer base; what :func:`audit` returns."""

    as_of: dt.date
    period_days: int
    ledger: Ledger
    levers: Levers
    coverage: Coverage
    ranking: Ranking
    concentration: Concentration
    currency: str | None
    provenance: Provenance

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before believing a number."""
        return self.provenance.notes

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; exact amounts as text."""
        lenses = ("ledger", "levers", "coverage", "ranking", "concentration")
        return {
            "as_of": self.as_of.isoformat(),
            "period_days": self.period_days,
            "currency": self.currency,
            **{name: getattr(self, name).to_dict() for name in lenses},
            "provenance": self.provenance.to_dict(),
        }

    def _title(self) -> str:
        turn = self.as_of - dt.timedelta(days=self.period_days)
        return (
            f"Audit as of {self.as_of}: the {self.period_days} days from {turn + dt.timedelta(days=1)} and those before"
        )

    def __repr__(self) -> str:
        lenses = (self.ledger, self.levers, self.coverage, self.ranking, self.concentration)
        notes = [f"  note: {note}" for note in self.notes]
        return "\n".join([self._title(), *map(repr, lenses), *notes])

    def _repr_html_(self) -> str:
        lenses = (self.ledger, self.levers, self.coverage, self.ranking, self.concentration)
        return html_table(self._title(), (), ()) + "".join(lens._repr_html_() for lens in lenses)


def audit(
    log: TransactionLog | TransactionScan,
    *,
    as_of: dt.date | str,
    period_days: int = 365,
    touches: Touches | None = None,
    quiet_orders_per_year: float = 2,
    valuable_share: float = 0.2,
    stable_within: float = 0.10,
) -> Audit:
    """Look at a customer base through five lenses, before any model.

    Two periods of ``period_days`` calendar days are compared: the previous one ``(as_of - 2P, as_of - P]`` and the
    current one ``(as_of - P, as_of]``. Lines after the as-of date are not known and not used. All money is summed in
    whole minor units and handed out as exact decimals; a customer counts as active in a period if she bought
    something in it that was neither a return nor undone.

    A scan (:func:`retention.scan_transactions`) gives the same audit: the engine that holds the transactions adds up
    what each customer paid and ordered, and no transactions are read but those of the few customers with an order that
    a credit note may have undone. A scan has no categories, and its audit no fingerprint of the data.

    ``touches`` are the contacts that happened; without them coverage is unknown, and says so. See :class:`Ledger`
    (``stable_within``), :class:`Levers`, :class:`Coverage` (``valuable_share``), :class:`Ranking`
    (``quiet_orders_per_year``) and :class:`Concentration` for what each lens counts.

    Edge cases: an empty log gives an audit of zeros; a log that does not reach back two periods gives one with a
    note. Raises ``ConfigError`` for an as-of date, period or share outside its rule.

    The lenses follow Fader, Hardie & Ross, *The Customer-Base Audit* (2022).

    Example:
        >>> log = TransactionLog.from_arrays(customer_id=["a", "b", "b"], revenue=[10, 20, 15],
        ...                                  at=["2020-03-01", "2020-06-01", "2021-06-01"])
        >>> verdict = audit(log, as_of="2021-12-31").ledger.verdict()
        >>> verdict.split(", ")[0]
        '33.3 points of opening margin left by defection (1 of 2 customers)'
        >>> verdict.split(", ")[1]
        '16.7 points by migration down: defection dominates here.'
    """
    periods = Periods.of(log, as_of=as_of, period_days=period_days)
    ledger = Ledger.of(periods, stable_within=stable_within)
    levers = Levers.of(periods)
    contacts = None if touches is None else Contacts.of(periods, touches)
    coverage = Coverage.of(periods, contacts, valuable_share=valuable_share)
    ranking = Ranking.of(periods, contacts, quiet_orders_per_year=quiet_orders_per_year)
    concentration = Concentration.of(periods)
    parameters = {
        "period_days": int(period_days),
        "quiet_orders_per_year": quiet_orders_per_year,
        "valuable_share": valuable_share,
        "stable_within": stable_within,
    }
    provenance = Provenance(as_of=periods.as_of.isoformat(), data=periods.provenance.data, parameters=parameters)
    for lens in (ledger, levers, coverage, ranking, concentration):
        provenance = provenance.with_notes(*lens.provenance.notes)
    return Audit(
        as_of=periods.as_of,
        period_days=int(np.int64(period_days)),
        ledger=ledger,
        levers=levers,
        coverage=coverage,
        ranking=ranking,
        concentration=concentration,
        currency=periods.currency,
        provenance=provenance,
    )
