"""Coverage: whom nobody has been in touch with."""

from typing import Any, Self

import numpy as np
from attrs import frozen

from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.lenses._periods import Periods, check_share, share_of
from retention.lenses._showing import html_table, money, percent
from retention.records.touches import Touches

__all__ = ["Contacts", "Coverage", "UNKNOWN"]

UNKNOWN = "unknown: no contact log was given"


@frozen(eq=False, kw_only=True)
class Contacts:
    """Contacts up to the as-of date with customers of a base: with whom (her place in it), when, and whether from her;
    and how many were with others."""

    who: IntColumn
    at: DayColumn
    from_her: BoolColumn
    strangers: int

    @classmethod
    def of(cls, periods: Periods, touches: Touches) -> Self:
        """Find the customers of contacts."""
        known = touches.at <= np.datetime64(periods.as_of, "D")
        ids, name = periods.customer_id, touches.customer_id[known]
        place = np.searchsorted(ids, name)
        ours = np.zeros(len(name), dtype=bool)
        if len(ids):
            place = np.minimum(place, len(ids) - 1)
            ours = np.asarray(ids[place] == name, dtype=bool)
        return cls(
            who=place[ours].astype(np.int64),
            at=touches.at[known][ours],
            from_her=(touches.direction == "in")[known][ours],
            strangers=int((~ours).sum()),
        )


@frozen(eq=False, repr=False, kw_only=True)
class Coverage(Table):
    """Who heard nothing in the last ``window_days``; the rows are the valuable among them, the best first.

    Counted are the customers who bought in either of the two periods, and their margin of both periods together. A
    touch is a contact in either direction on a day in ``(as_of - window_days, as_of]``. *Valuable* is the top
    ``valuable_share`` by that margin, as far as it is positive. Without a contact log everything is None: not
    knowing is neither 0 % nor 100 %. With customers of negative margin, ``margin_share`` may leave [0, 1].

    Example:
        >>> import datetime as dt
        >>> from retention.domain import Touch
        >>> from retention.lenses import audit
        >>> from retention.records.transactions import TransactionLog
        >>> log = TransactionLog.from_arrays(customer_id=["a", "b"], revenue=[30, 10], at=["2021-03-01", "2021-06-01"])
        >>> audit(log, as_of="2021-12-31").coverage.customers_share is None
        True
        >>> called = Touches.of([Touch(customer_id="b", at=dt.date(2021, 12, 1), channel="phone")])
        >>> coverage = audit(log, as_of="2021-12-31", touches=called).coverage
        >>> coverage.customers_share, coverage.margin_share, coverage["customer_id"].tolist()
        (0.5, 0.75, ['a'])
    """

    customer_id: TextColumn = column("a valuable customer whom nobody touched")
    margin: FloatColumn = column("her margin of both periods", unit="money")
    last_touch: DayColumn = column("day of the last contact before, if any")

    customers: int
    untouched: int | None
    customers_share: float | None
    margin_share: float | None
    window_days: int
    valuable_share: float
    currency: str | None = None

    @classmethod
    def of(
        cls, periods: Periods, contacts: Contacts | None, *, valuable_share: float = 0.2, window_days: int = 90
    ) -> Self:
        """Set contacts against customers."""
        check_share("valuable_share", valuable_share)
        base = periods.was | periods.is_now
        margin = np.where(base, periods.margin.previous + periods.margin.current, 0)
        count = int(base.sum())
        notes: list[str] = []
        listed = np.zeros(0, dtype=np.int64)
        last = np.full(periods.customers, np.datetime64("NaT", "D"), dtype="datetime64[D]")
        untouched: int | None = None
        customers_share = margin_share = None
        if contacts is None:
            notes.append(f"contact coverage is {UNKNOWN}")
        else:
            if contacts.strangers:
                notes.append(f"{contacts.strangers:,} contacts are with people who have no line in the log: left out")
            # NaT is absorbed by maximum but ignored by fmax: the last day that is known.
            np.fmax.at(last, contacts.who, contacts.at)
            silent = base & ~(last > np.datetime64(periods.as_of, "D") - np.timedelta64(int(window_days), "D"))
            untouched = int(silent.sum())
            customers_share = untouched / count if count else None
            total, unheard = int(margin.sum()), int(margin[silent].sum())
            if total > 0:
                margin_share = unheard / total
            elif count:
                notes.append("margin of both periods is not positive: no share of it can be given")
            best = np.argsort(-margin, kind="stable")[: share_of(valuable_share, count)]
            listed = best[(margin[best] > 0) & silent[best]]
        return cls(
            customer_id=periods.customer_id[listed],
            margin=periods.margin.amounts(margin[listed]).to_float(),
            last_touch=last[listed],
            customers=count,
            untouched=untouched,
            customers_share=customers_share,
            margin_share=margin_share,
            window_days=window_days,
            valuable_share=valuable_share,
            currency=periods.currency,
            provenance=periods.provenance.with_notes(*notes),
        )

    def verdict(self) -> str:
        """One sentence."""
        if self.untouched is None:
            return f"Who was kept in touch with is {UNKNOWN}."
        if not self.customers:
            return "Nobody bought in the two periods, so there is nobody to keep in touch with."
        return (
            f"{self.untouched:,} of {self.customers:,} customers ({percent(self.customers_share)}), with "
            f"{percent(self.margin_share)} of margin, heard nothing in the last {self.window_days} days; "
            f"{len(self):,} of them are among the top {self.valuable_share:.0%}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "known": self.untouched is not None,
            "customers": self.customers,
            "untouched": self.untouched,
            "customers_share": self.customers_share,
            "margin_share": self.margin_share,
            "window_days": self.window_days,
            "valuable_untouched": self.customer_id.tolist(),
        }

    def __repr__(self) -> str:
        return f"<Coverage on {self.provenance.as_of}: {self.verdict()}>"

    def _repr_html_(self) -> str:
        shown = self[:10]
        rows = [
            (who, money(amount, self.currency), "never" if np.isnat(day) else str(day))
            for who, amount, day in zip(shown.customer_id.tolist(), shown.margin, shown.last_touch, strict=True)
        ]
        head = ("valuable, not touched", "margin", "last contact")
        return html_table(self.verdict(), head, rows, notes=self.provenance.notes)
