"""What keeping a customer costs beyond her goods."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from attrs import field, frozen

from retention.errors import ConfigError, nearest
from retention.records.money import MAX_DECIMALS

__all__ = ["ServingCosts", "exact_cost"]


def exact_cost(value: Any) -> Decimal:
    """A cost, rate or number as an exact decimal, or one clear error."""
    try:
        exact = Decimal(str(value))
    except InvalidOperation:
        exact = Decimal("NaN")
    if not exact.is_finite() or exact < 0 or -int(exact.as_tuple().exponent) > MAX_DECIMALS:
        raise ConfigError(
            f"a cost or rate of {value!r}",
            rule=f"costs and rates are finite, zero or more, with at most {MAX_DECIMALS} decimals",
            remedy='write 0.35 or "0.35"',
        )
    return exact


def _by_channel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(channel).lower(): exact_cost(cost) for channel, cost in value.items()}
    return exact_cost(value)


@frozen(kw_only=True)
class ServingCosts:
    """What keeping a customer costs beyond her goods; exact decimals (a float is read as it prints).

    ``per_order`` is the handling of one order, ``per_day`` what her account costs on each day as a customer,
    ``contact`` one contact that goes out (one amount, or one by channel), ``reward_rate`` the share of revenue given
    back, ``point_value`` what a redeemed point costs, ``breakage`` the share of points that nobody redeems.

    Example:
        >>> ServingCosts(per_order=0.35, contact={"phone": "4.50", "email": 0}).contact["phone"]
        Decimal('4.50')
    """

    per_order: Decimal = field(default=Decimal(0), converter=exact_cost)
    per_day: Decimal = field(default=Decimal(0), converter=exact_cost)
    contact: Mapping[str, Decimal] | Decimal = field(default=Decimal(0), converter=_by_channel, hash=False)
    reward_rate: Decimal = field(default=Decimal(0), converter=exact_cost)
    point_value: Decimal = field(default=Decimal(0), converter=exact_cost)
    breakage: Decimal = field(default=Decimal(0), converter=exact_cost)

    @breakage.validator
    @reward_rate.validator
    def _check_share(self, attribute: Any, value: Decimal) -> None:
        if value > 1:
            raise ConfigError(
                f"{attribute.name}={value}", rule="a share lies in [0, 1]", remedy="0.02 means two percent"
            )

    @property
    def point_owed(self) -> Decimal:
        """What one point outstanding is expected to cost: its value, if it is redeemed."""
        return self.point_value * (1 - self.breakage)

    def of_contact(self, channel: str) -> Decimal:
        """What one contact through a channel costs."""
        if isinstance(self.contact, Decimal):
            return self.contact
        if channel.lower() not in self.contact:
            raise ConfigError(
                f"contacts by {channel!r}, and no cost of them",
                rule="every channel that is used has its cost",
                remedy=f"add it to contact, 0 if it is free; {nearest(channel, self.contact)}",
            )
        return self.contact[channel.lower()]
