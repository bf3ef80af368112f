"""What may come of sums of customers' values: of a few who most likely buy nothing, and of many."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from retention.frames.table import BoolColumn, FloatColumn, Provenance, TextColumn
from retention.value.bounds import bounds_of_few, points_of_each

__all__ = ["Chances", "Valued"]


class Valued(Protocol):
    """What can be credited or added up: a table with each customer's value and its bounds.

    Sums of few customers are bounded better if it knows more: ``value_sd`` and ``p_purchase``, as a ``Valuation`` does,
    and ``value_idle``, what she is worth if she buys nothing, as a ``NetValue`` does.
    """

    @property
    def customer_id(self) -> TextColumn:
        """Who, each once."""

    @property
    def value(self) -> FloatColumn:
        """Expected discounted value in today's money."""

    @property
    def expected_purchases(self) -> FloatColumn:
        """Expected purchase days within the horizon."""

    @property
    def value_low(self) -> FloatColumn:
        """Lower bound of the realised value."""

    @property
    def value_high(self) -> FloatColumn:
        """Upper bound of the realised value."""

    @property
    def interval(self) -> float:
        """The probability that the bounds hold."""

    @property
    def discount_rate(self) -> float:
        """Per year."""

    @property
    def currency(self) -> str | None:
        """Its code, if known."""

    @property
    def provenance(self) -> Provenance:
        """With the as-of date, if known."""


class Chances(NamedTuple):
    """What may come of amounts, independent of each other, one a row.

    With the probability ``silent`` an amount is ``idle``, what it is if nobody buys anything; else it is spread around
    that, so that its ``mean`` and ``sd`` are those of both together. ``low`` and ``high`` bound it; of a sum they are
    the sums of the bounds.
    """

    mean: FloatColumn
    sd: FloatColumn
    low: FloatColumn
    high: FloatColumn
    idle: FloatColumn
    silent: FloatColumn

    @classmethod
    def of(cls, valuation: Valued) -> Self:
        """Those of each customer's value: as the valuation has them, or as its bounds and purchases suggest."""
        value, n = np.asarray(valuation.value), len(valuation.value)
        sd, buys, idle = (getattr(valuation, name, None) for name in ("value_sd", "p_purchase", "value_idle"))
        idle = np.zeros(n) if idle is None else idle
        chance = getattr(valuation, "chance", True)
        purchases = np.minimum(valuation.expected_purchases, 1e12)  # without a horizon they have no end
        if not chance:  # what is expected of her is nothing only if she is gone
            silent, purchases = 1 - getattr(valuation, "p_alive", np.ones(n)), np.full(n, 1e12)
        else:
            silent = np.exp(-purchases) if buys is None else 1 - buys
        low, high = np.asarray(valuation.value_low), np.asarray(valuation.value_high)
        if sd is None:
            sd = _spread(value - idle, low - idle, high - idle, purchases, valuation.interval)
        return cls(value, sd, low, high, idle, silent)

    def take(self, rows: Any, missing: Any) -> Self:
        """Those of some rows, the last axis of which is that of ``rows``; nothing at all where ``missing``."""
        if not len(self.mean):
            nothing = np.zeros(len(rows))
            return type(self)(nothing, nothing, nothing, nothing, nothing, nothing + 1)
        found = [np.where(missing, 0.0, values[rows]) for values in self]
        found[-1] = np.where(missing, 1.0, self.silent[rows])
        return type(self)(*found)

    def through(self, rule: Callable[[FloatColumn, Any], FloatColumn], linear: BoolColumn) -> Self:
        """Those of ``rule(amounts, rows)``, which never falls and is elementwise; ``linear`` says where it is a factor
        times the amount."""
        every = slice(None)
        low, high, idle = (rule(values, every) for values in (self.low, self.high, self.idle))
        mean, sd = rule(self.mean, every), rule(self.sd, every)
        bent = np.flatnonzero(~linear & (self.sd > 0))
        if len(bent):
            mine = type(self)(*(values[bent] for values in self))
            points, weight = points_of_each(mine.mean - mine.idle, mine.sd, mine.silent, mine.lossless)
            moved = rule(points + mine.idle, bent)
            mean[bent] = mine.silent * idle[bent] + np.sum(weight * moved, axis=0)
            away = mine.silent * (idle[bent] - mean[bent]) ** 2 + np.sum(weight * (moved - mean[bent]) ** 2, axis=0)
            sd[bent] = np.sqrt(away)
        return type(self)(mean, sd, low, high, idle, self.silent)

    @property
    def lossless(self) -> BoolColumn:
        """Where buying something is never worse than buying nothing."""
        return np.asarray(self.low >= self.idle - 1e-9 * np.abs(self.idle))

    def bounds(self, exact: BoolColumn, interval: float) -> tuple[FloatColumn, FloatColumn]:
        """``low`` and ``high`` where they are ``exact``; else those of a mass at ``idle`` with a skewed distribution
        beside it (normal where somebody may cost more than she brings)."""
        low, high = bounds_of_few(self.mean - self.idle, self.sd, self.silent, self.lossless, interval)
        return np.where(exact, self.low, low + self.idle), np.where(exact, self.high, high + self.idle)


def _spread(
    center: FloatColumn, low: FloatColumn, high: FloatColumn, purchases: FloatColumn, interval: float
) -> FloatColumn:
    """A standard deviation from an expectation and bounds: the mean square of the half-widths in normal quantiles.

    Bounds say little of rare large values, so it is at least that of a Poisson number of exponential amounts with that
    expectation, ``center sqrt(2 / purchases)``; and where the upper bound lies below the expectation, at least
    ``(center - high) sqrt((1 - a) / a)``, a = (1 - interval) / 2, the least that such a distribution can have.
    """
    from scipy.special import ndtri

    tail = (1 - interval) / 2
    up, down = high - center, center - low
    even = np.sqrt((np.maximum(up, 0) ** 2 + np.maximum(down, 0) ** 2) / 2) / float(ndtri(1 - tail))
    rare = np.abs(center) * np.sqrt(np.divide(2.0, purchases, out=np.zeros(len(center)), where=purchases > 0))
    least = np.maximum(-up, 0) * np.sqrt((1 - tail) / tail)
    sure = (low == center) & (high == center)
    return np.asarray(np.where(sure, 0.0, np.maximum(np.maximum(even, rare), least)))
