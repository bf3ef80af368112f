"""Coverage: whom nobody has been in touch with."""

from typing import Any, Self

import numpy as np
from attrs import frozen

from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.lenses._periods import Periods, check_share, share_of
from retention.lenses._showing import html_table, money, percent
from retention.records.money import Amounts
from retention.records.touches import Touches

__all__ = ["Coverage", "UNKNOWN"]

UNKNOWN = "unknown: no contact log was given"


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
        cls, periods: Periods, touches: Touches | None, *, valuable_share: float = 0.2, window_days: int = 90
    ) -> Self:
        """Set contacts against customers."""
        check_share("valuable_share", valuable_share)
        log, both = periods.log, periods.previous | periods.current
        base = periods.active(both)
        margin = np.where(base, periods.sums(log.margin, both), 0)
        count = int(base.sum())
        notes: list[str] = []
        listed = np.zeros(0, dtype=np.int64)
        last = np.full(periods.customers, np.datetime64("NaT", "D"), dtype="datetime64[D]")
        untouched: int | None = None
        customers_share = margin_share = None
        if touches is None:
            notes.append(f"contact coverage is {UNKNOWN}")
        else:
            who, at, strangers = contacts(periods, touches)
            if strangers:
                notes.append(f"{strangers:,} contacts are with people who have no line in the log: left out")
            # NaT is absorbed by maximum but ignored by fmax: the last day that is known.
            np.fmax.at(last, who, at)
            silent = base & ~(last > np.datetime64(periods.as_of, "D") - np.timedelta64(int(window_days), "D"))
            untouched = int(silent.sum())
            customers_share = untouched / count if count else None
            total, unheard = int(margin.sum()), int(margin[silent].sum())
            if total > 0:
                margin_share = unheard / total
            elif count:
                notes.append("margin of both periods is not positive: no share of it can be given")
            best = np.lexsort((np.arange(periods.customers), -margin))[: share_of(valuable_share, count)]
            listed = best[(margin[best] > 0) & silent[best]]
        return cls(
            customer_id=periods.customer_id[listed],
            margin=Amounts(margin[listed], log.margin.decimals).to_float(),
            last_touch=last[listed],
            customers=count,
            untouched=untouched,
            customers_share=customers_share,
            margin_share=margin_share,
            window_days=window_days,
            valuable_share=valuable_share,
            currency=log.currency,
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


def contacts(periods: Periods, touches: Touches) -> tuple[IntColumn, DayColumn, int]:
    """Contacts up to the as-of date with customers of the log (position and day), and the number with others."""
    known = touches.at <= np.datetime64(periods.as_of, "D")
    who, at = touches.customer_id[known], touches.at[known]
    ids = periods.customer_id
    if not len(ids):
        return np.zeros(0, dtype=np.int64), at[:0], len(who)
    place = np.minimum(np.searchsorted(ids, who), len(ids) - 1)
    ours: BoolColumn = np.asarray(ids[place] == who)
    return place[ours].astype(np.int64), at[ours], int((~ours).sum())
