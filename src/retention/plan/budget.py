"""What a plan may spend: money and hours of attention."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import attrs
from attrs import field, frozen

from retention.errors import ConfigError

__all__ = ["Budget", "micro_cost", "micro_limit"]


def _amount(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    good = value is None or (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    )
    if not good:
        raise ConfigError(
            f"Budget({attribute.name}={value!r})",
            rule="a budget is a number of zero or more, or None for no limit",
            remedy=f"give {attribute.name} a number >= 0",
        )


@frozen
class Budget:
    """Limits of one plan; neither is ever exceeded.

    ``money`` is in the log's currency, ``hours`` in working hours of attention. Zero means that only contacts that
    cost nothing of it are possible: with ``money=0`` a plan still spends hours. None means no limit.

    Example:
        >>> Budget(money=500, hours=8)
        Budget(money=500, hours=8)
        >>> Budget(hours=-1)
        Traceback (most recent call last):
        ...
        retention.errors.ConfigError: Budget(hours=-1)
          rule: a budget is a number of zero or more, or None for no limit
          remedy: give hours a number >= 0
    """

    money: float | None = field(default=0.0, validator=_amount)
    hours: float | None = field(default=0.0, validator=_amount)


def micro_limit(limit: float | None) -> int | None:
    """A limit in whole millionths, rounded down; None stays None."""
    return None if limit is None else int((Decimal(str(float(limit))) * 1_000_000).to_integral_value(ROUND_FLOOR))


def micro_cost(cost: float) -> int:
    """A cost in whole millionths, rounded up, so that sums are exact and never too small.

    Example:
        >>> 3 * micro_cost(1.1) == micro_limit(3.3)      # which floats would get wrong
        True
    """
    return int((Decimal(str(float(cost))) * 1_000_000).to_integral_value(ROUND_CEILING))
