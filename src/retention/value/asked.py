"""Horizons, rates, intervals and counts that make sense, or one clear error."""

import math
from collections.abc import Callable

from retention.errors import ConfigError

__all__ = ["checked_count", "checked_days", "checked_interval", "checked_rate", "holds"]


def checked_days(days: float, name: str = "days", rate: float = 0.0) -> float:
    """A horizon: not below zero, and finite unless a discount ``rate`` makes sums over it finite."""
    if not holds(lambda: days >= 0 and (math.isfinite(days) or rate > 0)):
        raise ConfigError(
            f"{name}={days!r}",
            rule="a horizon is zero days or more, and finite unless a discount rate makes the sum finite",
            remedy="give days, or a discount_rate above 0",
        )
    return float(days)


def checked_rate(rate: float) -> float:
    """A discount rate per year."""
    if not holds(lambda: 0 <= rate < math.inf):
        raise ConfigError(
            f"discount_rate={rate!r}", rule="a yearly rate is 0 or more and finite", remedy="0.10 means 10 % a year"
        )
    return float(rate)


def checked_interval(interval: float) -> float:
    """The share that an interval holds."""
    if not holds(lambda: 0 < interval < 1):
        raise ConfigError(
            f"interval={interval!r}", rule="an interval holds a share between 0 and 1", remedy="0.90 means 90 %"
        )
    return float(interval)


def checked_count(count: float, name: str, least: int = 0) -> int:
    """A whole number of ``least`` or more."""
    if not holds(lambda: least <= count < math.inf and count == int(count)):
        raise ConfigError(
            f"{name}={count!r}",
            rule=f"a whole number of {least} or more",
            remedy=f"pass {least}, {least + 1}, {least + 2}, ...",
        )
    return int(count)


def holds(rule: Callable[[], bool]) -> bool:
    """Whether a rule holds; text or nothing in place of a number breaks it."""
    try:
        return bool(rule())
    except (TypeError, ValueError, OverflowError, IndexError):
        return False
