"""Horizons, rates and intervals that make sense, or one clear error."""

import math

from retention.errors import ConfigError

__all__ = ["checked_days", "checked_interval", "checked_rate"]


def checked_days(days: float, name: str = "days", rate: float = 0.0) -> float:
    """A horizon: not below zero, and finite unless a discount ``rate`` makes sums over it finite."""
    if not (days >= 0 and (math.isfinite(days) or rate > 0)):
        raise ConfigError(
            f"{name}={days!r}",
            rule="a horizon is zero days or more, and finite unless a discount rate makes the sum finite",
            remedy="give days, or a discount_rate above 0",
        )
    return float(days)


def checked_rate(rate: float) -> float:
    """A discount rate per year."""
    if not 0 <= rate < math.inf:
        raise ConfigError(
            f"discount_rate={rate!r}", rule="a yearly rate is 0 or more and finite", remedy="0.10 means 10 % a year"
        )
    return float(rate)


def checked_interval(interval: float) -> float:
    """The share that an interval holds."""
    if not 0 < interval < 1:
        raise ConfigError(
            f"interval={interval!r}", rule="an interval holds a share between 0 and 1", remedy="0.90 means 90 %"
        )
    return float(interval)
