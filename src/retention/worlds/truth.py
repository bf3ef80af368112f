"""What a world knows and a shop never sees."""

from typing import ClassVar

import numpy as np
from attrs import frozen

from retention.errors import ConfigError, nearest
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, Table, TextColumn, column, read_only

__all__ = ["Truth", "Future", "Responses", "KINDS", "QUIET"]

KINDS = ("give", "ask", "thank")
"""The kinds of contact that can have an effect in a shop."""

QUIET = ("remind", "connect", "wait")
"""The kinds that have none there: what a reminder keeps depends on its day, which :class:`Reentry` plants."""


@frozen(eq=False, repr=False, kw_only=True)
class Truth(Table):
    """One row a customer, in order of ``customer_id``: what was planted.

    ``regularity`` is the gamma shape of her gaps before a weekday habit moves a visit by up to three days (1 is a
    Poisson buyer, 12 a clock). ``margin_mean`` is the mean margin of one purchase before returns. She buys on
    ``died_at`` at the latest; NaT means that she outlives the simulation. ``alive`` is told of the world's as-of
    day.

    Example:
        >>> from retention.worlds import Shop
        >>> truth = Shop.null(customers=50, years=1).simulate().truth
        >>> bool((truth.lift("give") == 0).all()), int((truth.segment == "quiet_best").sum())
        (True, 3)
    """

    customer_id: TextColumn = column("who")
    segment: TextColumn = column("name of the persona she was drawn from")
    acquired_at: DayColumn = column("day of her first purchase")
    died_at: DayColumn = column("last day on which she was a customer; NaT if beyond the simulation")
    alive: BoolColumn = column("still a customer when the as-of day closed")
    gap_days: FloatColumn = column("mean gap between purchases", unit="days")
    regularity: FloatColumn = column("gamma shape of the gaps")
    margin_mean: FloatColumn = column("mean margin of a purchase", unit="money")
    margin_log_sd: FloatColumn = column("standard deviation of the log margin of a purchase")
    weekday: IntColumn = column("favourite weekday, Monday = 0")
    weekday_habit: FloatColumn = column("probability that a visit moves to that weekday")
    category: TextColumn = column("favourite category")
    breadth: IntColumn = column("number of categories she buys", unit="count")
    channel: TextColumn = column("favourite channel")
    lift_give: FloatColumn = column("expected extra purchases of one give", unit="count")
    lift_ask: FloatColumn = column("expected extra purchases of one ask", unit="count")
    lift_thank: FloatColumn = column("expected extra purchases of one thank", unit="count")

    def alive_on(self, day: object) -> BoolColumn:
        """Whether each was still a customer when that day closed (also True before she became one)."""
        mask: BoolColumn = read_only(np.isnat(self.died_at) | (self.died_at > np.datetime64(day, "D")))  # type: ignore[call-overload]
        return mask

    def lift(self, kind: str) -> FloatColumn:
        """Each customer's planted lift of one kind of contact: expected extra purchases of a living customer."""
        if kind in QUIET:
            return read_only(np.zeros(len(self)))
        if kind not in KINDS:
            raise ConfigError(
                f"kind={kind!r}",
                rule="a contact gives, asks, thanks, reminds, connects or waits",
                remedy=nearest(kind, (*KINDS, *QUIET)),
            )
        lift: FloatColumn = getattr(self, f"lift_{kind}")
        return lift


@frozen(eq=False, repr=False, kw_only=True)
class Future(Table):
    """One row a customer, in order of ``customer_id``: what she really did in a window after a day."""

    customer_id: TextColumn = column("who")
    purchases: IntColumn = column("orders that stood", unit="count")
    revenue: FloatColumn = column("revenue net of returns", unit="money")
    margin: FloatColumn = column("margin net of returns", unit="money")


@frozen(eq=False, repr=False, kw_only=True)
class Responses(Table):
    """One row a contact, in the order they were given: what it caused.

    ``purchases`` is 1 for an extra purchase, -1 for one that will not happen, 0 for no effect.
    """

    key: ClassVar[str] = "customer_id"

    customer_id: TextColumn = column("who")
    at: DayColumn = column("day of the contact")
    kind: TextColumn = column("give, ask, thank; remind, connect and wait cause nothing")
    purchases: IntColumn = column("purchases won or lost", unit="count")
    purchase_at: DayColumn = column("day of the purchase won or lost; NaT if none")
    revenue: FloatColumn = column("revenue won or lost", unit="money")
    margin: FloatColumn = column("margin won or lost, before the cost of the contact", unit="money")
