"""Whom the effort missed: how much of the base nobody touched, and which valuable customers, with their reasons."""

import datetime as dt
from typing import Any, ClassVar

import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import DayColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.histories import Histories
from retention.journal import Journal
from retention.plan.plan import Plan
from retention.proof._shared import UNKNOWN, finished, rows_of, shares
from retention.tiers.tiering import Tiering
from retention.value.valuation import Valuation

__all__ = ["Coverage", "Untouched", "coverage", "untouched"]


@frozen(eq=False, repr=False, kw_only=True)
class Coverage(Table):
    """One row the whole base and one a tier: how much of it had no touch within ``days``. Counts are exact."""

    key: ClassVar[str] = "group"

    group: TextColumn = column("'all', or the tier")
    customers: IntColumn = column("in the base", unit="count")
    untouched: IntColumn = column("of them, without a touch", unit="count")
    untouched_share: FloatColumn = column("of the customers")
    margin: FloatColumn = column("that they have brought so far", unit="money")
    untouched_margin: FloatColumn = column("of it, by those without a touch", unit="money")
    untouched_margin_share: FloatColumn = column("of the margin")

    as_of: dt.date | None = None
    days: int = 90
    currency: str | None = None

    def plot(self, ax: Any = None) -> Any:
        """Draw the shares without a touch, and return the axes."""
        ax = axes(ax)
        y = np.arange(len(self))[::-1]
        ax.barh(y + 0.2, self.untouched_share, 0.38, color="#1f5a7a", label="of customers")
        ax.barh(y - 0.2, self.untouched_margin_share, 0.38, color="#b08a3c", label="of margin")
        ax.set_yticks(y, self.group)
        ax.set_xlim(0, 1)
        return finished(ax, f"share without a touch in {self.days} days")

    def __repr__(self) -> str:
        if not len(self):
            return "<Coverage: nobody>"
        return (
            f"<Coverage: {self.untouched[0]:,} of {self.customers[0]:,} customers without a touch in {self.days} days, "
            f"with {self.untouched_margin_share[0]:.0%} of the margin>"
        )


@frozen(eq=False, repr=False, kw_only=True)
class Untouched(Table):
    """One row a valuable customer whom nobody has touched, the most valuable first; her reason if a plan has one."""

    customer_id: TextColumn = column("who")
    tier: TextColumn = column("her tier")
    value: FloatColumn = column("expected discounted margin within the horizon", unit="money")
    last_touch: DayColumn = column("her last touch; NaT if there was none")
    days: FloatColumn = column("since then; NaN if there was none", unit="days")
    next: TextColumn = column("what tonight's plan does; empty if nothing, or without a plan")
    reason: TextColumn = column("why, as the plan says; empty without a plan")

    above: float = 0.0
    within: int = 90
    currency: str | None = None

    def __repr__(self) -> str:
        worth = f"customers worth more than {self.above:,.2f}"
        return f"<Untouched: {len(self):,} {worth}, {self.within} days without a touch>"


def coverage(
    journal: Journal, histories: Histories, tiering: Tiering, *, as_of: str | dt.date | None = None, days: int = 90
) -> Coverage:
    """How many customers, with how much of the margin so far, had no touch in the ``days`` up to and including a day.

    Raises ConfigError without a day: ``as_of``, or that of the histories.
    """
    day = _day(as_of, histories)
    last = _last_touches(journal, day, histories.customer_id)
    alone = ~(last > np.datetime64(day, "D") - np.timedelta64(days, "D"))
    place = rows_of(histories.customer_id, tiering.customer_id)
    tier = np.where(place >= 0, tiering.tier[place] if len(tiering) else UNKNOWN, UNKNOWN)
    names = [t.name for t in sorted(tiering.tiers, key=lambda t: -t.rank)]
    names += sorted(set(tier.tolist()) - set(names))
    masks = [np.ones(len(histories), dtype=bool), *(tier == name for name in names)]
    count, margin = np.asarray([mask.sum() for mask in masks]), np.asarray([histories.margin[m].sum() for m in masks])
    missed = np.asarray([(mask & alone).sum() for mask in masks])
    missing = np.asarray([histories.margin[mask & alone].sum() for mask in masks])
    return Coverage(
        group=np.asarray(["all", *names]),
        customers=count.astype(np.int64),
        untouched=missed.astype(np.int64),
        untouched_share=shares(missed, count),
        margin=margin,
        untouched_margin=missing,
        untouched_margin_share=shares(missing, margin),
        as_of=day,
        days=days,
        currency=histories.currency,
        provenance=Provenance(as_of=day.isoformat(), data=histories.provenance.data),
    )


def untouched(
    journal: Journal,
    valuation: Valuation,
    tiering: Tiering,
    *,
    as_of: str | dt.date,
    days: int = 90,
    above: float | None = None,
    plan: Plan | None = None,
) -> Untouched:
    """The valuable customers whom nobody has touched in the ``days`` up to and including a day.

    Valuable is who is worth more than ``above``; by default, more than four in five customers are. With tonight's
    ``plan`` each has its reason: what is done with her now, or why nothing is. So every customer above that value has a
    touch within the time, or a reason.
    """
    day = as_day(as_of)
    if above is None:
        finite = valuation.value[np.isfinite(valuation.value)]
        above = float(np.quantile(finite, 0.8)) if len(finite) else 0.0
    last = _last_touches(journal, day, valuation.customer_id)
    alone = ~(last > np.datetime64(day, "D") - np.timedelta64(days, "D"))
    rows = np.flatnonzero(alone & (valuation.value > above))
    rows = rows[np.lexsort((valuation.customer_id[rows], -valuation.value[rows]))]
    who = valuation.customer_id[rows]
    place = rows_of(who, tiering.customer_id)
    next_, reason = np.full(len(rows), "", dtype=object), np.full(len(rows), "", dtype=object)
    if plan is not None:
        at = rows_of(who, plan.customer_id)
        known = at >= 0
        next_[known] = np.where(plan.decision == "contact", plan.action, "")[at[known]]
        reason[known] = plan.reason[at[known]]
        reason[~known] = "she is not in the plan's base"
    ago = (np.datetime64(day, "D") - last[rows]).astype(np.float64)
    return Untouched(
        customer_id=who,
        tier=np.where(place >= 0, tiering.tier[place] if len(tiering) else UNKNOWN, UNKNOWN),
        value=valuation.value[rows],
        last_touch=last[rows],
        days=np.where(np.isnat(last[rows]), np.nan, ago),
        next=next_.astype(np.str_),
        reason=reason.astype(np.str_),
        above=float(above),
        within=days,
        currency=valuation.currency,
        provenance=Provenance(as_of=day.isoformat()),
    )


def _day(as_of: str | dt.date | None, histories: Histories) -> dt.date:
    day = histories.as_of if as_of is None else as_day(as_of)
    if day is None:
        raise ConfigError(
            "histories without an as-of date, and no as_of",
            rule="days are counted back from a day, which is given and never read from the clock",
            remedy="pass as_of=datetime.date(...)",
        )
    return day


def _last_touches(journal: Journal, day: dt.date, ids: TextColumn) -> DayColumn:
    """The day of each customer's last outbound touch up to and including a day; NaT if there was none."""
    touches = journal.touches_before(day + dt.timedelta(days=1))
    touches = touches.take(touches.direction != "in")
    rows = rows_of(touches.customer_id, ids)
    never = np.iinfo(np.int64).min  # which is NaT
    last = np.full(len(ids), never)
    np.maximum.at(last, rows[rows >= 0], touches.at[rows >= 0].astype(np.int64))
    return last.astype("datetime64[D]")
