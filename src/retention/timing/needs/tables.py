"""What the needs of a base look like: categories and their clocks, needs, next categories, reminders."""

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

import attrs
import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import (
    BoolColumn,
    DayColumn,
    FloatColumn,
    IntColumn,
    Table,
    TextColumn,
    column,
)
from retention.value.asked import holds

__all__ = ["MOST_RANKED", "CategoryClocks", "Needs", "NextCategories", "Reminders"]

MOST_RANKED = 10
"""How many next categories a customer are kept."""


def _frozen(weights: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType(dict(weights))


@frozen(eq=False, repr=False, kw_only=True)
class CategoryClocks(Table):
    """One row a category: how long it usually lasts, how evenly, and whether it is bought again at all.

    ``has_cycle``: it is bought again by most, and by most of those who often bought it at gaps more even than chance
    would make them. A category without a cycle is a durable, or something picked up at random; single customers may
    have a cycle in it all the same, if their own gaps say so, and in a category with one some will have none.
    """

    key = "category"

    category: TextColumn = column("which")
    buyers: IntColumn = column("customers who have bought it", unit="count")
    purchases: IntColumn = column("purchase days with it, over all customers", unit="count")
    visit_share: FloatColumn = column("share of all purchase days that held it: its popularity")
    usual_gap_days: FloatColumn = column("how long it lasts a usual customer", unit="days")
    log_variance: FloatColumn = column("variance of the log gaps of one customer")
    again: FloatColumn = column("chance that who buys it for the first time buys it again")
    cycle_share: FloatColumn = column("of those with three gaps or more, who have a cycle in it; NaN without any")
    has_cycle: BoolColumn = column("whether it has a replenishment cycle")

    kappa0: float
    """What a category's mean log gap weighs against a customer's own, in gaps; ``nu0`` the same for the variance."""
    nu0: float
    size: float
    """What the category's chance of never again weighs, in purchases."""
    elasticity: float
    """By how many per cent a gap is longer after one per cent more was bought; 0 where that does not show."""
    elasticity_error: float
    """Standard error of what was found; infinite where the log has no amounts."""

    def __repr__(self) -> str:
        return f"<CategoryClocks: {len(self):,} categories, {int(self.has_cycle.sum()):,} with a replenishment cycle>"


@frozen(eq=False, repr=False, kw_only=True)
class NextCategories(Table):
    """One row a customer and rank: the categories her next purchase most likely holds, bought before or not."""

    customer_id: TextColumn = column("who")
    rank: IntColumn = column("1 is the likeliest")
    category: TextColumn = column("what")
    p_next: FloatColumn = column("probability that her next purchase holds it, if she comes")
    is_new: BoolColumn = column("whether it would be her first of it")

    def customer(self, customer_id: object) -> Self:
        """Her rows."""
        return self.take(_rows_of(self, customer_id))


@frozen(eq=False, repr=False, kw_only=True)
class Reminders(Table):
    """One row a reminder that is due: whom, of what, until when, and why in words.

    ``margin`` is what a purchase day of hers with that category has brought in it on average. A reminder is of use to
    her because it names what she is about to run out of; one without a need is noise.
    """

    customer_id: TextColumn = column("who")
    category: TextColumn = column("what she is about to need")
    opens_at: DayColumn = column("first day for it: the as-of day, since the window is open")
    closes_at: DayColumn = column("last day of the window")
    p_due: FloatColumn = column("probability that she buys it within the horizon, reminded or not")
    margin: FloatColumn = column("margin of a purchase day in that category, hers so far", unit="money")
    reason: TextColumn = column("why, in words")

    days: float


@frozen(eq=False, repr=False, kw_only=True)
class Needs(Table):
    """One row a customer and category that she has bought: how long it lasts her, and when she needs it again.

    Her usual gap in the category is pooled: her own gaps, the category's, the base's. Where she bought more than usual
    last time, ``usual_gap_days`` and the window are those of that larger amount, if amounts matter in this base at all.
    The window opens when a share ``window[0]`` of such gaps would have ended and closes when ``window[1]`` would; it is
    NaT where there is no cycle: waiting tells nothing there, and no day is better than another. ``p_due`` and ``again``
    are given either way. Rows stand in order of customer and category.
    """

    customer_id: TextColumn = column("who")
    category: TextColumn = column("what")
    purchases: IntColumn = column("purchase days with it", unit="count")
    last_at: DayColumn = column("last purchase day with it")
    idle_days: FloatColumn = column("since then", unit="days")
    usual_gap_days: FloatColumn = column("how long what she bought last usually lasts her", unit="days")
    usual_low_days: FloatColumn = column("lower bound of it", unit="days")
    usual_high_days: FloatColumn = column("upper bound of it", unit="days")
    has_cycle: BoolColumn = column("whether a need for it comes due at all")
    again: FloatColumn = column("probability that she ever buys it again")
    p_due: FloatColumn = column("probability that she buys it within the horizon")
    opens_at: DayColumn = column("first day of the window; NaT without a cycle")
    closes_at: DayColumn = column("last day of the window; NaT without a cycle")
    p_next: FloatColumn = column("probability that her next purchase holds it, if she comes")
    rank: IntColumn = column("1 is the likeliest of all categories, bought before or not")
    margin: FloatColumn = column("margin of a purchase day in it, hers so far", unit="money")

    as_of: dt.date
    days: float
    interval: float
    clocks: CategoryClocks
    weights: Mapping[str, float] = attrs.field(converter=_frozen)
    _ranked: NextCategories

    def customer(self, customer_id: object) -> Self:
        """Her needs."""
        hers = self.take(_rows_of(self, customer_id))
        return attrs.evolve(hers, ranked=self._ranked.customer(customer_id))

    @property
    def is_open(self) -> BoolColumn:
        """Whether the window of the need is open on the as-of day; never without a cycle."""
        today = np.datetime64(self.as_of, "D")
        return np.asarray((self.opens_at <= today) & (today <= self.closes_at))

    def take(self, rows: Any) -> Self:
        """Some rows, and the next categories of those who are in them."""
        some = Table.take(self, rows)
        return attrs.evolve(some, ranked=self._ranked.take(np.isin(self._ranked.customer_id, some.customer_id)))

    def top(self, n: int = 3) -> NextCategories:
        """Each customer's ``n`` likeliest next categories, ten at most, new ones to her among them."""
        if not holds(lambda: n == int(n) and 1 <= n <= MOST_RANKED):
            raise ConfigError(
                f"n={n!r}", rule=f"from one to {MOST_RANKED} categories a customer are kept", remedy="top(3)"
            )
        return self._ranked.take(self._ranked.rank <= n)

    def reminders(self, *, per_customer: int = 1, min_again: float = 0.5) -> Reminders:
        """A reminder for each need whose window is open, the likeliest to be due first.

        At most ``per_customer`` each, and none for what she may well not want again (``again`` below ``min_again``).
        """
        if not holds(lambda: per_customer == int(per_customer) >= 1 and 0 <= min_again <= 1):
            raise ConfigError(
                f"per_customer={per_customer!r}, min_again={min_again!r}",
                rule="reminders are counted from one, and a probability lies in [0, 1]",
                remedy="per_customer=1, min_again=0.5",
            )
        rows = np.flatnonzero(self.is_open & (self.again >= min_again))
        _, who = np.unique(self.customer_id[rows], return_inverse=True)
        rows = rows[np.lexsort((rows, -self.p_due[rows], who))]
        who = np.sort(who)
        place = np.arange(len(rows)) - np.searchsorted(who, who)
        rows = rows[place < per_customer]
        told = zip(
            self.category[rows].tolist(), self.usual_gap_days[rows].tolist(), self.idle_days[rows].tolist(), strict=True
        )
        return Reminders(
            customer_id=self.customer_id[rows],
            category=self.category[rows],
            opens_at=np.full(len(rows), np.datetime64(self.as_of, "D")),
            closes_at=self.closes_at[rows],
            p_due=self.p_due[rows],
            margin=self.margin[rows],
            reason=np.asarray(
                [
                    f"{what}: what she bought usually lasts her {usual:.0f} days; that was {idle:.0f} days ago"
                    for what, usual, idle in told
                ],
                dtype=np.str_,
            ),
            days=self.days,
            provenance=self.provenance,
        )

    def plot(self, ax: Any = None, *, customer_id: object = None) -> Any:
        """One customer's needs on the calendar: last purchase, window, today. Without an id, of who has most cycles.

        What she bought last longer ago than fits stands at the edge, as a triangle.
        """
        if customer_id is None:
            who, counts = np.unique(self.customer_id[self.has_cycle], return_counts=True)
            customer_id = who[np.argmax(counts)] if len(who) else self.customer_id[0]
        hers = self.customer(customer_id)
        ax = axes(ax, size=(7.5, 0.9 + 0.38 * len(hers)))
        today = np.datetime64(self.as_of, "D")
        order = np.lexsort((hers.last_at, np.isnat(hers.opens_at), hers.opens_at))[::-1]
        ago = (hers.last_at - today).astype(np.float64)
        edge = 1.1 * min(float(np.min(ago[hers.has_cycle] if hers.has_cycle.any() else ago)), -14.0)
        for y, i in enumerate(order.tolist()):
            last = max(float(ago[i]), edge)
            ax.plot([last], [y], "o" if ago[i] >= edge else "<", color="0.3", markersize=5)
            if hers.has_cycle[i]:
                opens, closes = ((day - today).astype(float) for day in (hers.opens_at[i], hers.closes_at[i]))
                ax.plot([last, opens], [y, y], color="0.75", linewidth=1)
                ax.barh(y, max(closes - opens, 0.6), left=opens, height=0.5, color="C1" if hers.is_open[i] else "C0")
        ax.axvline(0.0, color="black", linewidth=0.9)
        ax.text(0.0, len(order) - 0.4, " today", fontsize=8, va="bottom")
        ax.set_yticks(range(len(order)), [
            hers.category[i] + ("" if hers.has_cycle[i] else " (no cycle)") for i in order.tolist()
        ])  # fmt: skip
        ax.set(xlabel="days from today: last purchase (dot), window of the need (bar, orange: open)")
        ax.set_ylim(-0.6, len(order) - 0.1)
        ax.spines[["right", "top"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        return (
            f"<Needs on {self.as_of}: {len(self):,} of {len(np.unique(self.customer_id)):,} customers, "
            f"{int(self.has_cycle.sum()):,} with a cycle, {int(self.is_open.sum()):,} windows open>"
        )


def _rows_of(table: Needs | NextCategories, customer_id: object) -> BoolColumn:
    return np.asarray(table.customer_id == table.customer_id[table.position(customer_id)])
