"""A simulated business with contracts: planted causes of leaving, planted leaving points, planted price rises."""

import datetime as dt
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Self

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError
from retention.frames.table import DayColumn, FloatColumn, Table, TextColumn, column
from retention.records.contracts import Contracts
from retention.records.touches import Touches

__all__ = ["Subscription", "SubscriptionTruth", "SubscriptionWorld"]

_DEFAULT = {"deceased": 0.01, "moved": 0.05, "job transfer": 0.04, "price": 0.05, "service": 0.03}


def _pairs(value: Any) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(a), float(b), float(c)) for a, b, c in value)


@frozen(eq=False, repr=False, kw_only=True)
class SubscriptionTruth(Table):
    """One row a customer, in the order of her contract: what was planted and what the business cannot see."""

    customer_id: TextColumn = column("who")
    leaves_at: DayColumn = column("day on which she leaves, known or not; NaT if beyond fifty years")
    cause: TextColumn = column("why she leaves")
    price_rise_at: DayColumn = column("day of her price rise; NaT without one")


@frozen(kw_only=True)
class SubscriptionWorld:
    """What the business has on file, and the truth."""

    contracts: Contracts
    price_rises: Touches
    truth: SubscriptionTruth
    recipe: "Subscription"


@frozen(kw_only=True)
class Subscription:
    """A recipe for customers under contract; :meth:`simulate` cooks it, the same one for the same seed.

    ``hazards`` are ends a year by cause, constant but for what follows. ``peaks`` are leaving points ``(from_days,
    to_days, times)``: between these days of tenure every *controllable* hazard (causes not in ``uncontrollable``) is so
    many times higher. ``price_rise`` is the factor on the hazard of "price" for ``price_days`` after a customer's price
    rise, which comes once, on a day of her first three years (1.0: it drives nobody away). ``unstated`` is the share of
    ends without a stated cause, ``observed_years`` how long ends have been recorded (None: always).

    Example:
        >>> world = Subscription(customers=200, seed=1).simulate()
        >>> len(world.contracts), set(world.contracts.cause.tolist()) <= {"", *Subscription().hazards}
        (200, True)
    """

    customers: int = 2000
    years: float = 6.0
    hazards: Mapping[str, float] = field(factory=lambda: dict(_DEFAULT), hash=False)
    uncontrollable: tuple[str, ...] = ("deceased", "moved", "job transfer")
    peaks: tuple[tuple[float, float, float], ...] = field(default=(), converter=_pairs)
    price_rise: float = 1.0
    price_days: int = 60
    unstated: float = 0.0
    observed_years: float | None = None
    as_of: dt.date = dt.date(2020, 12, 31)
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        rates = list(self.hazards.values())
        fine = (
            self.customers >= 1
            and 0 < self.years <= 100
            and rates
            and all(0 <= rate < 50 for rate in rates)
            and sum(rates) > 0
            and all(0 <= begin < end and 0 <= times < 1000 for begin, end, times in self.peaks)
            and 0 <= self.price_rise < 1000
            and self.price_days >= 1
            and 0 <= self.unstated <= 1
            and (self.observed_years is None or 0 < self.observed_years <= self.years)
        )
        if not fine:
            raise ConfigError(
                "a Subscription with a number out of range",
                rule="customers and years are positive, hazards are ends a year, peaks are (from, to, times), "
                "shares lie in [0, 1]",
                remedy="mend the recipe; Subscription() is one that works",
            )

    @classmethod
    def bank(cls, **changes: Any) -> Self:
        """55 % of leavers die, move or are transferred: nothing the bank could change."""
        hazards = {"deceased": 0.02, "moved": 0.055, "job transfer": 0.035, "price": 0.05, "service": 0.04}
        return cls(**({"hazards": hazards} | changes))

    def simulate(self) -> SubscriptionWorld:
        """Contracts as they are on file on the as-of day, and what is not on file."""
        rng = np.random.default_rng(self.seed)
        n, day = self.customers, np.timedelta64(1, "D")
        today = np.datetime64(self.as_of, "D")
        begun = rng.integers(1, int(self.years * 365.25) + 1, n)
        start = today - begun * day
        rise: Any = rng.integers(30, 3 * 365, n)
        causes = list(self.hazards)
        lives = np.empty((len(causes), n))
        for k, cause in enumerate(causes):
            lives[k] = self._lives(cause, rise, rng.exponential(1.0, n))
        first = np.argmin(lives, axis=0)
        life = np.minimum(np.ceil(lives.min(axis=0)), 50 * 366.0).astype(np.int64)
        said = np.asarray(causes, dtype=np.str_)[first]
        quiet = rng.random(n) < self.unstated
        leaves = start + life * day
        width = len(str(n - 1))
        who = np.asarray([f"s{i:0{width}d}" for i in range(n)])
        seen_from = None if self.observed_years is None else today - int(self.observed_years * 365.25) * day
        contracts = Contracts.from_arrays(
            customer_id=who,
            start=start,
            end=leaves,
            cause=np.where(quiet, "", said),
            as_of=self.as_of,
            observed_from=None if seen_from is None else seen_from.item(),
        )
        risen = start + rise * day
        told = (risen <= today) & (risen <= leaves)
        truth = SubscriptionTruth(
            customer_id=who,
            leaves_at=np.where(life < 50 * 366, leaves, np.datetime64("NaT", "D")),
            cause=said,
            price_rise_at=np.where(told, risen, np.datetime64("NaT", "D")),
        )
        rises = Touches.from_arrays(
            customer_id=who[told],
            at=risen[told],
            channel=["letter"] * int(told.sum()),
            kind=["price rise"] * int(told.sum()),
        )
        return SubscriptionWorld(contracts=contracts, price_rises=rises, truth=truth, recipe=self)

    def _lives(self, cause: str, rise: FloatColumn, reach: FloatColumn) -> FloatColumn:
        """The day on which the cumulative hazard of a cause reaches each customer's threshold."""
        rate = self.hazards[cause] / 365.25
        if rate == 0:
            return np.full(len(reach), math.inf)
        left = reach / rate
        stretches = [] if cause in self.uncontrollable else [(a, b, times) for a, b, times in self.peaks]
        # Time is stretched: a day inside a peak counts for `times` days. Peaks first, in order, then her price rise.
        borders: list[tuple[Any, Any, float]] = [
            (np.full(len(reach), a), np.full(len(reach), b), t) for a, b, t in stretches
        ]
        if cause == "price" and self.price_rise != 1.0:
            borders.append((rise, rise + float(self.price_days), self.price_rise))
        if not borders:
            return left
        edges = np.sort(np.stack([edge for a, b, _ in borders for edge in (a, b)]), axis=0)
        edges = np.concatenate([np.zeros((1, len(reach))), edges, np.full((1, len(reach)), math.inf)])
        day = np.full(len(reach), math.nan)
        for begin, end in pairwise(edges):
            middle = np.where(np.isfinite(end), (begin + np.where(np.isfinite(end), end, 0.0)) / 2, begin + 1.0)
            speed = np.ones(len(reach))
            for a, b, times in borders:
                speed = np.where((middle > a) & (middle < b), speed * times, speed)
            spent = np.where(np.isfinite(end), (end - begin) * speed, math.inf)
            ends_here = np.isnan(day) & (left <= spent) & (speed > 0)
            day = np.where(ends_here, begin + left / np.maximum(speed, 1e-300), day)
            left = np.where(np.isnan(day), left - np.where(np.isfinite(spent), spent, 0.0), left)
        return day
