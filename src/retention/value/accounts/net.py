"""From gross to net, ahead: what is left of each customer's expected margin after the costs of serving her."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import evolve, fields, frozen

from retention.errors import ConfigError
from retention.frames.table import FloatColumn, column
from retention.histories import Histories
from retention.value.accounts.costs import ServingCosts, exact_cost
from retention.value.bounds import bounds_after_orders
from retention.value.margins.protocol import FittedMargin, Moments
from retention.value.positions import positions
from retention.value.valuation import Valuation

__all__ = ["NetValue", "net_of_orders", "net_value"]


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
    after_orders: Valuation | None = None,
) -> NetValue:
    """What each customer is expected to be worth after rewards, points, contacts and the cost to serve her.

    Orders: ``per_order`` for each expected purchase day, discounted as her margin is. Rewards: ``reward_rate`` of the
    revenue behind her margin, for which ``revenue_per_margin`` is needed (a ``NetStatement`` knows it). Account:
    ``per_day`` on ``alive_days``, the expected *discounted* days as a customer; without them, ``p_alive`` times the
    whole horizon, which is too much for those who will leave within it. Contacts: ``contacts_a_year`` by channel, for
    everyone through the whole horizon: who has left silently is written to all the same. Points: those outstanding
    today, at their value less breakage, undiscounted; points yet to be earned are rewards.

    Bounds: rewards take the same share of each bound as of the expectation; day cost, contacts and points are taken off
    whatever happens. Orders leave less of each purchase, and that may be a loss: what is left varies nearly as much as
    the margin does, however little it is. ``after_orders`` is the valuation of the same customers by a model of that
    rest (``net_of_orders``). Without it they are too wide, since the spread of the margin stands for that of the rest.
    Returns and discounts are in the margins that the model was fitted on.

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

    fixed = day_cost + contacts + liability
    value = gross - order_cost - rewards
    share = np.where(gross > 0, 1 - float(costs.reward_rate) * (revenue_per_margin or 0.0), 1.0)
    rest = valuation if after_orders is None or not costs.per_order else after_orders
    if rest is valuation and costs.per_order:
        low, high, sd, total_bounds = _kept_spread(valuation, value, order_cost, share)
    else:
        ends = np.stack([rest.value_low, rest.value_high]) * share
        if rest is not valuation:
            ends += value - share * rest.value  # nought, but for those without rewards
        low, high = ends.min(axis=0), ends.max(axis=0)
        sd = None if rest.value_sd is None else rest.value_sd * np.abs(share)
        total_bounds = None
        if rest.total_bounds is not None:
            whole_share = 1 - float(np.sum(rewards)) / max(float(np.sum(gross)), 1e-300)
            if rest is not valuation or float(np.sum(gross)) <= 0:  # it is of orders: one share for all
                whole_share = float(share[np.argmax(gross)]) if n else 1.0
            middle = float(np.sum(value)) - whole_share * float(np.sum(rest.value))
            one, other = (whole_share * bound + middle for bound in rest.total_bounds)
            total_bounds = (min(one, other), max(one, other))
    if total_bounds is not None:
        off = float(np.sum(fixed))
        total_bounds = (total_bounds[0] - off, total_bounds[1] - off)
    own = {f.name: getattr(valuation, f.name) for f in fields(Valuation)}
    net = {
        "value": value - fixed,
        "value_low": low - fixed,
        "value_high": high - fixed,
        "value_sd": sd,
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
        value_idle=-fixed,
    )


def net_of_orders(model: Any, costs: ServingCosts, revenue_per_margin: float | None = None) -> Any:
    """The fitted model or posterior whose margins are less by what an order costs, for the bounds of ``net_value``;
    None if orders cost nothing, or the model is not known to have margins.

    Where rewards take a share of the margin, the cost is told in what is left of it.
    """
    share = 1 - float(costs.reward_rate) * (revenue_per_margin or 0.0)
    cost = float(costs.per_order) / (share if abs(share) > 1e-9 else 1e-9)
    fitted = getattr(model, "fitted", model)
    if not cost or getattr(fitted, "margin", None) is None:
        return None
    rest: Any = _AfterOrders(fitted.margin, cost)
    less = evolve(fitted, margin=rest)
    return less if fitted is model else evolve(model, fitted=less)


class _AfterOrders:
    """A margin model less what each purchase day costs; all else is the model's own (``lossless`` too: of the margins
    before that cost)."""

    def __init__(self, margin: FittedMargin, cost: float) -> None:
        self._margin, self.order_cost = margin, cost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._margin, name)

    def margin_mean(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        return self._margin.margin_mean(histories, log_rate) - self.order_cost

    def moments(self, histories: Histories, points: int, log_rate: FloatColumn | None = None) -> Moments:
        mean, square, product = self._margin.moments(histories, points, log_rate)
        less = self.order_cost**2 - 2 * self.order_cost * mean
        return Moments(mean - self.order_cost, square + less, product + less)

    def draw_means(
        self, histories: Histories, size: int, rng: np.random.Generator, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        return self._margin.draw_means(histories, size, rng, log_rate) - self.order_cost

    def draw_sums(self, own_means: FloatColumn, counts: FloatColumn, rng: np.random.Generator) -> FloatColumn:
        return self._margin.draw_sums(own_means + self.order_cost, counts, rng) - self.order_cost * counts

    def totals(
        self, histories: Histories, weights: FloatColumn, points: int, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        return self._margin.totals(histories, weights, points, log_rate) - self.order_cost * float(np.sum(weights))


def _kept_spread(
    valuation: Valuation, value: FloatColumn, order_cost: FloatColumn, share: FloatColumn
) -> tuple[FloatColumn, FloatColumn, FloatColumn | None, tuple[float, float] | None]:
    """Bounds, standard deviations and bounds of the total after orders, where the spread of the margin is all that is
    known: that of the rest is at most as much, or, where orders cost more than twice the margin, their ratio times."""
    gross = np.asarray(valuation.value)
    left = np.divide(value, gross, out=np.ones(len(gross)), where=gross != 0)
    wide = np.maximum(np.abs(share), np.abs(left))
    sd = None if valuation.value_sd is None else valuation.value_sd * wide
    if sd is None or valuation.p_purchase is None:
        ends = np.stack([valuation.value_low, valuation.value_high]) * share
        low, high = ends.min(axis=0) - order_cost, ends.max(axis=0)
    else:
        safe = (gross > 0) & (valuation.value_low >= 0) & (share > 0)
        low, high = bounds_after_orders(value, sd, 1 - valuation.p_purchase, safe, valuation.interval, order_cost)
    if valuation.total_bounds is None:
        return low, high, sd, None
    middle, total = float(np.sum(value)), float(np.sum(gross))
    most = float(np.max(wide, initial=0.0))
    below, above = ((bound - total) * most for bound in valuation.total_bounds)
    return low, high, sd, (middle + below, middle + above)
