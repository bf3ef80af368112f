"""From gross to net, ahead: what is left of each customer's expected margin after the costs of serving her."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import fields, frozen

from retention.errors import ConfigError
from retention.frames.table import FloatColumn, column
from retention.value.accounts.costs import ServingCosts, exact_cost
from retention.value.positions import positions
from retention.value.valuation import Valuation

__all__ = ["NetValue", "net_value"]


@frozen(eq=False, repr=False, kw_only=True)
class NetValue(Valuation):
    """A valuation after the costs of serving, one row a customer; it goes wherever a valuation goes.

    ``value = gross - order_cost - rewards - day_cost - contacts - points``, and value, bounds and spread are net;
    ``margin_mean`` and ``expected_margin`` are before costs, as they were.
    """

    gross: FloatColumn = column("expected discounted margin within the horizon", unit="money")
    order_cost: FloatColumn = column("handling of her expected orders", unit="money")
    rewards: FloatColumn = column("rewards on her expected revenue", unit="money")
    day_cost: FloatColumn = column("her account, on the days she is a customer", unit="money")
    contacts: FloatColumn = column("contacts meant for her", unit="money")
    points: FloatColumn = column("points she has today, less those never redeemed", unit="money")
    value_idle: FloatColumn = column("value if she buys nothing: what her upkeep costs, below zero", unit="money")


def net_value(
    valuation: Valuation,
    costs: ServingCosts,
    *,
    contacts_a_year: Mapping[str, float] | None = None,
    revenue_per_margin: float | None = None,
    points: Mapping[str, Any] | None = None,
    alive_days: FloatColumn | None = None,
) -> NetValue:
    """What each customer is expected to be worth after rewards, points, contacts and the cost to serve her.

    Orders: ``per_order`` for each expected purchase day, discounted as her margin is. Rewards: ``reward_rate`` of the
    revenue behind her margin, for which ``revenue_per_margin`` is needed (a ``NetStatement`` knows it). Account:
    ``per_day`` on ``alive_days``, the expected *discounted* days as a customer; without them, ``p_alive`` times the
    whole horizon, which is too much for those who will leave within it. Contacts: ``contacts_a_year`` by channel, for
    everyone through the whole horizon: who has left silently is written to all the same. Points: those outstanding
    today, at their value less breakage, undiscounted; points yet to be earned are rewards.

    Bounds: orders and rewards come with purchases, so they take the same share of each bound as of the expectation;
    day cost, contacts and points are taken off whatever happens. Where the expected margin is not positive, all
    costs are. Those of the total go the same way. Returns and discounts are in the margins that the model was fitted
    on.

    ``appraise(..., costs=...)`` does all of this in one call, with the alive days of its model.

    Raises ConfigError for a valuation that is net already, rewards without ``revenue_per_margin``, a channel without a
    cost, points of customers who are not valued, or costs without end (an infinite horizon, undiscounted).

    Example:
        >>> from retention.histories import Histories
        >>> from retention.value import BGNBD, appraise
        >>> base = Histories.from_arrays(frequency=[4], recency_days=[200], age_days=[270], margin_mean=[5.0])
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
        >>> net = net_value(appraise(base, model), ServingCosts(per_order="0.50", contact={"email": "0.01"}),
        ...                 contacts_a_year={"email": 12})
        >>> bool(abs(net.gross - net.order_cost - net.contacts - net.value)[0] < 1e-12 < net.order_cost[0])
        True
    """
    if isinstance(valuation, NetValue):
        raise ConfigError(
            "a valuation that is net already", rule="costs come off once", remedy="pass the valuation before costs"
        )
    n = len(valuation)
    delta = math.log1p(valuation.discount_rate) / 365.0
    horizon = valuation.horizon_days
    whole = -math.expm1(-delta * horizon) / delta if delta > 0 else horizon  # discounted days
    planned = {} if contacts_a_year is None else dict(contacts_a_year)
    endless = math.isinf(whole) and (planned or (costs.per_day and alive_days is None))
    if endless or (math.isinf(horizon) and not np.all(valuation.margin_mean)):
        raise ConfigError(
            f"horizon_days={horizon} and discount_rate={valuation.discount_rate}",
            rule="costs by the day, and those of purchases without margin, have an end",
            remedy="appraise within a horizon",
        )
    if costs.reward_rate and (revenue_per_margin is None or not 0 < revenue_per_margin < math.inf):
        raise ConfigError(
            f"reward_rate={costs.reward_rate} and revenue_per_margin={revenue_per_margin!r}",
            rule="rewards are a share of revenue, a valuation is of margins",
            remedy="pass revenue_per_margin, such as that of net_statement(...)",
        )
    if any(not 0 <= number < math.inf for number in planned.values()):
        raise ConfigError(
            "contacts_a_year with a number below zero", rule="contacts are counted", remedy="pass numbers >= 0"
        )
    days = valuation.p_alive * (whole if costs.per_day else 0.0) if alive_days is None else np.asarray(alive_days)
    if days.shape != (n,) or not np.all(np.isfinite(days) & (days >= 0)):
        raise ConfigError(
            f"alive_days of shape {days.shape} for {n:,} customers",
            rule="days are finite, zero or more, one number a customer",
            remedy="leave them out for p_alive times the horizon",
        )
    owed = {str(who): float(exact_cost(number)) for who, number in (points or {}).items()}
    at = positions(np.asarray(list(owed), dtype=np.str_), valuation.customer_id)
    if np.any(at < 0):
        raise ConfigError(
            f"points of {int(np.count_nonzero(at < 0)):,} customers without a valuation",
            rule="points are taken off the value of those who hold them",
            remedy="leave those out, and count their points in net_statement",
        )
    held = np.zeros(n)
    held[at] = list(owed.values())

    gross, money = np.asarray(valuation.value), valuation.margin_mean
    paid = money != 0
    buys = np.divide(gross, money, out=np.zeros(n), where=paid)
    if not paid.all():  # as if her purchases were spread evenly
        buys = np.where(paid, buys, valuation.expected_purchases * (whole / horizon))
    order_cost = float(costs.per_order) * buys
    rewards = float(costs.reward_rate) * (revenue_per_margin or 0.0) * np.maximum(gross, 0.0)
    day_cost = float(costs.per_day) * days
    each = sum(float(costs.of_contact(channel)) * number for channel, number in planned.items())
    contacts = np.full(n, each * whole / 365.0 if each else 0.0)
    liability = float(costs.point_owed) * held

    with_purchases, fixed = order_cost + rewards, day_cost + contacts + liability
    left = np.where(gross > 0, 1 - np.divide(with_purchases, gross, out=np.zeros(n), where=gross > 0), 1.0)
    shift = np.where(gross > 0, fixed, fixed + with_purchases)
    ends = np.stack([valuation.value_low * left, valuation.value_high * left]) - shift
    total_bounds, expected = None, float(np.sum(gross))
    if valuation.total_bounds is not None and expected > 0:
        share = 1 - float(np.sum(with_purchases)) / expected
        one, other = (share * bound - float(np.sum(fixed)) for bound in valuation.total_bounds)
        total_bounds = (min(one, other), max(one, other))
    own = {f.name: getattr(valuation, f.name) for f in fields(Valuation)}
    net = {
        "value": gross - with_purchases - fixed,
        "value_low": ends.min(axis=0),
        "value_high": ends.max(axis=0),
        "value_sd": None if valuation.value_sd is None else valuation.value_sd * np.abs(left),
        "total_bounds": total_bounds,
        "provenance": valuation.provenance.with_notes("values are net of the costs of serving"),
    }
    return NetValue(
        **own | net,
        gross=gross,
        order_cost=order_cost,
        rewards=rewards,
        day_cost=day_cost,
        contacts=contacts,
        points=liability,
        value_idle=-shift,
    )
