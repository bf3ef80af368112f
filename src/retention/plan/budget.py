"""What a plan may spend: money, hours of attention, contacts through a channel, contacts by tier."""

import math
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import MappingProxyType
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


def _counts(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"Budget({attribute.name}={value!r})",
            rule="contacts are counted by name of channel or tier",
            remedy=f"pass {attribute.name}={{'phone': 30}}, say",
        )
    for name, number in value.items():
        whole = isinstance(number, int) and not isinstance(number, bool) and number >= 0
        if not (isinstance(name, str) and whole):
            raise ConfigError(
                f"Budget({attribute.name}={{{name!r}: {number!r}}})",
                rule="contacts are counted in whole numbers of zero or more, by name",
                remedy=f"give {attribute.name} a whole number for each name, or leave the name out for no limit",
            )


def _fixed(given: Any) -> Any:
    return MappingProxyType(dict(given)) if isinstance(given, Mapping) else given


def _by_name() -> Any:
    return field(factory=dict, converter=_fixed, validator=_counts, eq=dict)


@frozen(repr=False)
class Budget:
    """Limits of one plan; none is ever exceeded.

    ``money`` is in the log's currency, ``hours`` in working hours of attention. Zero means that only contacts that
    cost nothing of it are possible: with ``money=0`` a plan still spends hours. None means no limit. ``capacity`` says
    how many contacts a channel can take, ``at_most`` how many a tier may get, ``at_least`` how many it should get: a
    floor that other limits make impossible is told and met as far as possible.

    Example:
        >>> Budget(money=500, hours=8)
        Budget(money=500, hours=8)
        >>> Budget(hours=8, capacity={"phone": 30}, at_least={"gold": 5})
        Budget(money=0.0, hours=8, capacity={'phone': 30}, at_least={'gold': 5})
        >>> Budget(hours=-1)
        Traceback (most recent call last):
        ...
        retention.errors.ConfigError: Budget(hours=-1)
          rule: a budget is a number of zero or more, or None for no limit
          remedy: give hours a number >= 0
    """

    money: float | None = field(default=0.0, validator=_amount)
    hours: float | None = field(default=0.0, validator=_amount)
    capacity: Mapping[str, int] = _by_name()
    at_least: Mapping[str, int] = _by_name()
    at_most: Mapping[str, int] = _by_name()

    def __attrs_post_init__(self) -> None:
        for tier, floor in self.at_least.items():
            if floor > self.at_most.get(tier, floor):
                raise ConfigError(
                    f"Budget: at least {floor} and at most {self.at_most[tier]} contacts for the tier {tier!r}",
                    rule="a floor is not above its ceiling",
                    remedy="raise at_most or lower at_least of this tier",
                )

    def __repr__(self) -> str:
        named = {name: dict(getattr(self, name)) for name in ("capacity", "at_least", "at_most")}
        shown = {"money": self.money, "hours": self.hours} | {name: given for name, given in named.items() if given}
        return f"Budget({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


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
