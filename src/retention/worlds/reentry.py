"""Simulated customers who look around each time their need comes back: what a contact keeps depends on its day."""

import datetime as dt
from typing import Any

import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, Table, TextColumn, column
from retention.records import TransactionLog

__all__ = ["Reentry", "ReentryTruth", "ReentryWorld"]

_DAY = np.timedelta64(1, "D")


@frozen(eq=False, repr=False, kw_only=True)
class ReentryTruth(Table):
    """One row a customer: the turn that is open on the as-of day, and what was planted for it."""

    customer_id: TextColumn = column("who")
    last_at: DayColumn = column("her last purchase")
    needs_at: DayColumn = column("day on which her need comes back and she looks around")
    leaves: BoolColumn = column("goes elsewhere at this turn unless a contact keeps her")
    gap_days: FloatColumn = column("mean gap between her needs", unit="days")
    margin_a_year: FloatColumn = column("what she brings a year while she comes", unit="money/year")


@frozen(kw_only=True)
class ReentryWorld:
    """The receipts, and the truth behind the turn that is open."""

    log: TransactionLog
    truth: ReentryTruth
    recipe: "Reentry"

    def margin_kept(self, contact_at: Any) -> FloatColumn:
        """The expected margin of the next year that a contact on that day keeps, a customer; NaT is no contact.

        Zero for who comes back anyway. In time is a contact on the day of her need or, as long as she remembers it,
        before; after that day it is late, and for as long as the recipe says so harder.

        Raises:
            ConfigError: not one day a customer.
        """
        at, truth, recipe = np.asarray(contact_at, dtype="datetime64[D]"), self.truth, self.recipe
        if at.shape != (len(truth),):
            raise ConfigError(
                f"contact days of shape {at.shape} for {len(truth):,} customers",
                rule="one day a customer, in the order of the truth; NaT for no contact",
                remedy="np.full(len(world.truth), 'NaT', 'datetime64[D]') is no contact at all",
            )
        early = (truth.needs_at - at) / _DAY
        share = np.where(
            early < 0, recipe.late, np.where(early <= recipe.remembers * truth.gap_days, recipe.in_time, 0.0)
        )
        kept: FloatColumn = np.where(truth.leaves & ~np.isnat(at), share * truth.margin_a_year, 0.0)
        return kept


@frozen(kw_only=True)
class Reentry:
    """A recipe for customers with a recurring need; :meth:`simulate` cooks it, the same one for the same seed.

    Needs come back after gamma gaps of shape ``regularity`` around a mean of her own (``gap_days``, spread by a log
    standard deviation of 0.4). Each time she looks around, and with probability ``leaves`` she goes elsewhere for good.
    Of these a contact keeps the share ``in_time`` if it comes before the need and within ``remembers`` of her gaps,
    ``late`` if it comes after, and none if she has forgotten it.

    Example:
        >>> world = Reentry(customers=50, seed=1).simulate()
        >>> nobody = np.full(50, "NaT", "datetime64[D]")
        >>> float(world.margin_kept(nobody).sum())
        0.0
        >>> bool(world.margin_kept(world.truth.needs_at).sum() > world.margin_kept(world.truth.needs_at + 9).sum())
        True
    """

    customers: int = 400
    years: float = 1.5
    gap_days: float = 40.0
    regularity: float = 8.0
    leaves: float = 0.08
    in_time: float = 0.5
    late: float = 0.05
    remembers: float = 0.5
    as_of: dt.date = dt.date(2020, 12, 31)
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        shares = (self.leaves, self.in_time, self.late)
        sizes = (self.years, self.gap_days, self.regularity)
        fine = all(0 < s < 1e4 for s in sizes) and all(0 <= s <= 1 for s in shares)
        if not (self.customers >= 1 and fine and self.years * 365 >= 1 and 0 <= self.remembers < 1e4):
            raise ConfigError(
                "a Reentry with a number out of range",
                rule="customers, years, gap_days and regularity are positive, remembers is 0 or more, "
                "leaves, in_time and late are shares",
                remedy="mend the recipe; Reentry() is one that works",
            )

    def simulate(self) -> ReentryWorld:
        """The receipts up to the as-of day, and each customer's open turn."""
        rng = np.random.default_rng(self.seed)
        n, today = self.customers, np.datetime64(self.as_of, "D")
        width = len(str(n - 1))
        who = np.asarray([f"r{i:0{width}d}" for i in range(n)])
        mean = self.gap_days * np.exp(rng.normal(0.0, 0.4, n))
        basket = np.exp(rng.normal(3.0, 0.5, n))
        last = today - (1 + rng.integers(0, int(self.years * 365.25), n)) * _DAY
        leaves, needs, open_turn = np.zeros(n, dtype=bool), np.full(n, today), np.ones(n, dtype=bool)
        buyers, days = [np.arange(n)], [last.copy()]
        while open_turn.any():
            here = np.flatnonzero(open_turn)
            gap = np.maximum(np.rint(rng.gamma(self.regularity, mean[here] / self.regularity)), 1.0)
            needs[here] = last[here] + gap.astype(np.int64) * _DAY
            leaves[here] = rng.random(len(here)) < self.leaves
            open_turn[here] = ~leaves[here] & (needs[here] <= today)
            back = np.flatnonzero(open_turn)
            last[back] = needs[back]
            buyers.append(back)
            days.append(needs[back])
        rows = np.concatenate(buyers)
        spent = np.round(basket[rows] * np.exp(rng.normal(0.0, 0.3, len(rows))), 2)
        log = TransactionLog.from_arrays(customer_id=who[rows], at=np.concatenate(days), revenue=spent, margin=spent)
        truth = ReentryTruth(
            customer_id=who, last_at=last, needs_at=needs, leaves=leaves, gap_days=mean,
            margin_a_year=basket * np.exp(0.045) * 365.25 / mean,
        )  # fmt: skip
        return ReentryWorld(log=log, truth=truth, recipe=self)
