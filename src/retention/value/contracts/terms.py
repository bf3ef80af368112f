"""The question that a value answers: how many renewals count, when they are paid, and what waiting costs."""

import math
from typing import Any, NamedTuple, Self

import numpy as np

from retention.errors import ConfigError
from retention.frames.table import FloatColumn

__all__ = ["Terms", "checked_margin", "whole_periods"]


class Terms(NamedTuple):
    """Decisions counted, discount rate a period (continuous) and the wait for the first of them, in periods."""

    periods: float
    delta: float
    wait: float

    @classmethod
    def of(cls, periods: float, rate: float, per_year: float, wait: float = 0.0) -> Self:
        """From a horizon, a yearly rate, how often a contract renews and ``until_renewal``; or one clear error."""
        if not (math.isfinite(rate) and rate > -1):
            raise ConfigError(
                f"discount_rate={rate!r}", rule="a yearly rate is above -1 and finite", remedy="0.10 means 10 % a year"
            )
        if not (math.isfinite(per_year) and per_year > 0):
            raise ConfigError(
                f"periods_per_year={per_year!r}",
                rule="a contract renews a positive number of times a year",
                remedy="12 for monthly contracts, 1 for yearly ones",
            )
        if not (periods >= 0 and (math.isfinite(periods) or rate > 0)):
            raise ConfigError(
                f"horizon_periods={periods!r}",
                rule="a horizon is zero periods or more, and finite unless a discount rate makes the sum finite",
                remedy="give a number of renewals, or a discount_rate above 0",
            )
        if not 0 <= wait <= 1:
            raise ConfigError(
                f"until_renewal={wait!r}",
                rule="the next renewal lies between 0 periods (now) and 1 (the last was just made) ahead",
                remedy="0 just before the decision, 1 just after the last one, 0.5 in the middle of a period",
            )
        return cls(float(np.floor(periods)), math.log1p(rate) / per_year, float(wait))

    @property
    def front(self) -> float:
        """What the first renewal weighs."""
        return math.exp(-self.delta * self.wait)

    @property
    def plain(self) -> float:
        """Decisions counted where nothing is discounted: an endless horizon ends where discounting would leave no
        digit of it."""
        return min(self.periods, 45.0 / self.delta) if self.delta > 0 else self.periods

    def annuity(self, renewals: FloatColumn) -> FloatColumn:
        """What so many renewals weigh together."""
        d = self.delta
        return self.front * np.asarray(renewals if d == 0 else np.expm1(-d * renewals) / math.expm1(-d))


def whole_periods(periods: Any) -> FloatColumn:
    """Counts of renewals as floats, whole and not negative, or one clear error."""
    values = np.asarray(periods, dtype=np.float64)
    if not np.all(np.isfinite(values) & (values >= 0) & (values == np.rint(values))):
        raise ConfigError(
            "periods that are not whole numbers of zero or more",
            rule="renewals are counted in whole periods",
            remedy="pass 0, 1, 2, ...",
        )
    return values


def checked_margin(margin: Any, rows: int) -> FloatColumn:
    """What a renewal of each row brings, or one clear error."""
    values = np.asarray(margin, dtype=np.float64)
    if values.shape not in ((), (rows,)) or not np.all(np.isfinite(values)):
        raise ConfigError(
            f"margin_per_period of shape {values.shape}, or not finite",
            rule="a renewal brings one finite amount, or one for each row",
            remedy=f"pass a number, or {rows:,} numbers",
        )
    return np.broadcast_to(values, (rows,)).copy()
