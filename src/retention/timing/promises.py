"""What was promised to customers, and when it was delivered."""

import datetime as dt
from typing import Any, Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.table import DayColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column

__all__ = ["Expectations", "KeptPromises", "expectation_ledger"]


@frozen(eq=False, repr=False, kw_only=True)
class KeptPromises(Table):
    """One row a customer to whom something was promised; the four counts add up to ``promises``.

    Shares are of the promises that are decided; NaN for who has only open ones.
    """

    customer_id: TextColumn = column("who")
    promises: IntColumn = column("how many", unit="count")
    early: IntColumn = column("delivered before the promised time: better than expected", unit="count")
    met: IntColumn = column("delivered when promised", unit="count")
    late: IntColumn = column("delivered after it, or still not", unit="count")
    open: IntColumn = column("not delivered, and not due yet", unit="count")
    kept_share: FloatColumn = column("early or met, of those decided")
    exceeded_share: FloatColumn = column("early, of those decided")


@frozen(eq=False, repr=False, kw_only=True)
class Expectations(Table):
    """One row a promise, in the order given: what became of it by ``as_of``.

    ``days_late`` counts from the promised time to the delivery, or to the end of ``as_of`` while nothing is delivered;
    it is negative for what came early and NaN for what is open.
    """

    customer_id: TextColumn = column("to whom")
    promised_at: DayColumn = column("when it was promised for")
    delivered_at: DayColumn = column("when it came; NaT if not by the as-of day")
    answer: TextColumn = column("early, met, late or open")
    days_late: FloatColumn = column("after the promised time", unit="days")

    def by_customer(self) -> KeptPromises:
        """Each customer's account, in order of her id: exact counts."""
        ids, owner = np.unique(self.customer_id, return_inverse=True)

        def count(answer: str) -> NDArray[np.int64]:
            return np.bincount(owner[self.answer == answer], minlength=len(ids)).astype(np.int64)

        early, met, late, waiting = (count(answer) for answer in ("early", "met", "late", "open"))
        decided = early + met + late
        kept, exceeded = (
            np.divide(part, decided, out=np.full(len(ids), np.nan), where=decided > 0) for part in (early + met, early)
        )
        return KeptPromises(
            customer_id=ids, promises=decided + waiting, early=early, met=met, late=late, open=waiting,
            kept_share=kept, exceeded_share=exceeded, provenance=self.provenance,
        )  # fmt: skip

    def __repr__(self) -> str:
        parts = ", ".join(f"{int((self.answer == a).sum()):,} {a}" for a in ("early", "met", "late", "open"))
        return f"<Expectations: {len(self):,} promises: {parts}>"


def expectation_ledger(
    customer: Any, promised_at: Any, delivered_at: Any, *, as_of: str | dt.date, by: Literal["day", "second"] = "day"
) -> Expectations:
    """Promised against delivered: which promises were exceeded, met, broken, and which are still open.

    A promise is met ``by`` the day on which, or the second at which, it fell due; before is early, after is late. What
    has not come when its time has passed is late already; deliveries after ``as_of`` are not known yet.

    Raises:
        ConfigError: columns of different lengths, dates that are none, a promise without a customer or a date.

    Example:
        >>> ledger = expectation_ledger(["a", "a", "b", "b"], ["2024-05-03", "2024-05-10", "2024-05-08", "2024-06-30"],
        ...                             ["2024-05-02", "2024-05-14", None, None], as_of="2024-05-31")
        >>> ledger.answer.tolist(), ledger.by_customer().kept_share.tolist()
        (['early', 'late', 'late', 'open'], [0.5, 0.0])
    """
    unit: Any = {"day": "D", "second": "s"}.get(by) if isinstance(by, str) else None
    listed = [
        None if value is None or str(value) in _MISSING else str(value)
        for value in np.asarray(customer, dtype=object).ravel().tolist()
    ]
    who = np.asarray([value or "" for value in listed], dtype=np.str_)
    try:
        # By way of seconds: a time of day is part of the day it falls on.
        promised, delivered = (_seconds(v) for v in (promised_at, delivered_at))
    except (ValueError, TypeError, UserWarning):
        promised = delivered = np.zeros(0, dtype="datetime64[s]")
    if unit is None or not len(who) == len(promised) == len(delivered) or (who == "").any() or np.isnat(promised).any():
        raise ConfigError(
            f"promises: {len(who):,} customers, {len(promised):,} and {len(delivered):,} dates, by={by!r}",
            rule="a promise has a customer and an ISO date; None or NaT is what was not delivered; by day or second",
            remedy="line the columns up, and leave out what was promised for no date",
        )
    promised, delivered = promised.astype(f"datetime64[{unit}]"), delivered.astype(f"datetime64[{unit}]")
    day = np.datetime64(as_day(as_of), "D")
    delivered = np.where(delivered.astype("datetime64[D]") <= day, delivered, np.datetime64("NaT", unit))
    now = day.astype(promised.dtype) if by == "day" else (day + np.timedelta64(1, "D")).astype(promised.dtype)
    came = ~np.isnat(delivered)
    late = np.where(came, delivered, now) - promised
    waiting = ~came & (late <= np.timedelta64(0, unit))
    days = late.astype("timedelta64[s]").astype(np.float64) / 86_400.0
    answer = np.select([waiting, days < 0, days == 0], ["open", "early", "met"], "late")
    return Expectations(
        customer_id=who, promised_at=promised, delivered_at=delivered, answer=answer,
        days_late=np.where(waiting, np.nan, days), provenance=Provenance(as_of=str(day)),
    )  # fmt: skip


_MISSING = ("", "nan", "NaN", "NaT", "<NA>", "None")


def _seconds(values: Any) -> np.ndarray:
    """Dates as numpy knows them; numbers are none, and times with a zone are of no day until it is left out."""
    given = np.asarray(values)
    if given.dtype.kind in "iufb" or any("+" in str(v) or str(v).endswith("Z") for v in given.ravel()[:1000]):
        raise ValueError
    return given.astype("datetime64[s]").ravel()
