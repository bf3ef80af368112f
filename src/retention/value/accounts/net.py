"""From gross to net: what is left of a customer's revenue, so far to the cent, and of her expected margin ahead."""

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Self

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain.days import as_day
from retention.errors import ConfigError, ModelError, nearest
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.records.money import MAX_DECIMALS, Amounts
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog
from retention.value.accounts.postings import Postings
from retention.value.referrals.credit import positions
from retention.value.valuation import Valuation

__all__ = ["ServingCosts", "NetStatement", "NetValue", "net_statement", "net_value"]

_LIMIT = 2**62
_LINES = (
    "gross",
    "discounts",
    "returns",
    "revenue",
    "cost_of_goods",
    "margin",
    "rewards",
    "points",
    "contacts",
    "cost_to_serve",
    "net",
)


def _exact(value: Any) -> Decimal:
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
        return {str(channel).lower(): _exact(cost) for channel, cost in value.items()}
    return _exact(value)


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

    per_order: Decimal = field(default=Decimal(0), converter=_exact)
    per_day: Decimal = field(default=Decimal(0), converter=_exact)
    contact: Mapping[str, Decimal] | Decimal = field(default=Decimal(0), converter=_by_channel, hash=False)
    reward_rate: Decimal = field(default=Decimal(0), converter=_exact)
    point_value: Decimal = field(default=Decimal(0), converter=_exact)
    breakage: Decimal = field(default=Decimal(0), converter=_exact)

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


@frozen(eq=False, repr=False, kw_only=True)
class NetStatement(Table):
    """From gross sales to net value, one row a customer, exact.

    ``revenue = gross - discounts - returns``; ``margin = revenue - cost_of_goods``;
    ``net = margin - rewards - points - contacts - cost_to_serve``. The columns are floats; ``exact`` holds the same
    amounts as whole numbers of 10**-decimals, in which all this holds for each customer and for every sum of them.
    """

    customer_id: TextColumn = column("who")
    gross: FloatColumn = column("sales at the prices before discounts", unit="money")
    discounts: FloatColumn = column("taken off at the till", unit="money")
    returns: FloatColumn = column("money given back, as a positive amount", unit="money")
    revenue: FloatColumn = column("gross less discounts and returns", unit="money")
    cost_of_goods: FloatColumn = column("revenue less margin", unit="money")
    margin: FloatColumn = column("as the log has it", unit="money")
    rewards: FloatColumn = column("thanks and incentives given", unit="money")
    points: FloatColumn = column("points outstanding, less those never redeemed", unit="money")
    contacts: FloatColumn = column("cost of the contacts with her", unit="money")
    cost_to_serve: FloatColumn = column("cost of her orders, her account and her service", unit="money")
    net: FloatColumn = column("net customer value so far", unit="money")

    exact: Mapping[str, Amounts]
    currency: str | None = None

    def __attrs_post_init__(self) -> None:
        Table.__attrs_post_init__(self)
        e = {name: amounts.minor for name, amounts in self.exact.items()}
        if not (
            np.array_equal(e["revenue"], e["gross"] - e["discounts"] - e["returns"])
            and np.array_equal(e["margin"], e["revenue"] - e["cost_of_goods"])
            and np.array_equal(e["net"], e["margin"] - e["rewards"] - e["points"] - e["contacts"] - e["cost_to_serve"])
        ):
            raise ModelError(
                "a net statement that does not add up",
                rule="gross less every deduction is net, for every customer, exactly",
                remedy="make it with net_statement",
            )

    @classmethod
    def of(cls, customer_id: TextColumn, minor: Mapping[str, IntColumn], decimals: int, **others: Any) -> Self:
        """The statement of exact amounts."""
        exact = {name: Amounts(minor[name], decimals) for name in _LINES}
        floats: dict[str, Any] = {name: amounts.to_float() for name, amounts in exact.items()}
        return cls(customer_id=customer_id, **floats, exact=exact, **others)

    def take(self, rows: Any) -> Self:
        """Only these customers."""
        exact = {name: amounts.take(rows) for name, amounts in self.exact.items()}
        floats: dict[str, Any] = {name: amounts.to_float() for name, amounts in exact.items()}
        return attrs.evolve(self, customer_id=self.customer_id[rows], **floats, exact=exact)

    def totals(self) -> dict[str, Decimal]:
        """Every line of the statement for these customers together, exact."""
        return {name: amounts.total() for name, amounts in self.exact.items()}

    @property
    def revenue_per_margin(self) -> float:
        """Revenue for each unit of margin, which turns an expected margin into an expected revenue; NaN without any."""
        totals = self.totals()
        return float(totals["revenue"] / totals["margin"]) if totals["margin"] > 0 else math.nan

    def told(self) -> str:
        """The statement of all of them as text, gross to net."""
        signs = {"gross": " ", "revenue": "=", "margin": "=", "net": "="}
        totals = self.totals()
        width = max(len(f"{amount:,}") for amount in totals.values())
        lines = (f"{signs.get(name, '-')} {name.replace('_', ' '):<14} {totals[name]:>{width},}" for name in _LINES)
        return "\n".join(lines)


@frozen(eq=False, repr=False, kw_only=True)
class NetValue(Table):
    """Expected value after the costs of serving her, one row a customer.

    ``value = gross - order_cost - rewards - day_cost - contacts - points``. It has the columns of a valuation that
    ``credit_referrals`` and ``total_value`` need, so net value can be credited and ranked.
    """

    customer_id: TextColumn = column("who")
    expected_purchases: FloatColumn = column("expected purchase days within the horizon", unit="count")
    gross: FloatColumn = column("expected discounted margin within the horizon", unit="money")
    order_cost: FloatColumn = column("handling of her expected orders", unit="money")
    rewards: FloatColumn = column("rewards on her expected revenue", unit="money")
    day_cost: FloatColumn = column("her account, on the days she is a customer", unit="money")
    contacts: FloatColumn = column("contacts meant for her", unit="money")
    points: FloatColumn = column("points she has today, less those never redeemed", unit="money")
    value: FloatColumn = column("expected net value within the horizon", unit="money")
    value_low: FloatColumn = column("lower bound of the realised net value", unit="money")
    value_high: FloatColumn = column("upper bound of the realised net value", unit="money")

    model: str
    horizon_days: float
    discount_rate: float
    interval: float
    currency: str | None = None

    def total(self) -> float:
        """Expected net value of these customers together."""
        return float(self.value.sum())


def net_statement(
    log: TransactionLog,
    costs: ServingCosts,
    *,
    as_of: str | dt.date,
    touches: Touches | None = None,
    discounts: Any = None,
    rewards: Postings | None = None,
    service: Postings | None = None,
    points: Mapping[str, Any] | None = None,
) -> NetStatement:
    """What each customer has brought up to and including ``as_of``, from gross to net, exact.

    Money is in the log's one currency. Amounts that come from a rate are rounded (half even) per customer to the finest
    unit in which any money was given, at least cents, before they are added, so that every sum reconciles.

    Args:
        log: the lines; ``returns`` are its return lines (an order and the credit note that undid it are neither).
        costs: what serving costs; each order is charged ``per_order``, each day from the first purchase to the as-of
            date ``per_day``, each contact that went out its channel's ``contact``.
        as_of: the last day that counts.
        touches: the contacts so far.
        discounts: what was taken off each line of the log before ``revenue``, one positive amount a line.
        rewards: those given, by day; without them rewards are ``reward_rate`` of her revenue, if that is positive.
        service: further costs of serving her, such as calls and complaints, by day.
        points: points outstanding on the as-of date by customer id; each is owed at ``point_value`` less ``breakage``.

    Returns:
        One row for everyone who has a line, a contact, a posting or points, in order of her id.

    Raises ConfigError for a channel without a cost, or discounts that do not fit the log.

    Example:
        >>> log = TransactionLog.from_arrays(
        ...     customer_id=["ann"] * 3, at=["2011-01-03", "2011-02-01", "2011-02-20"],
        ...     revenue=["9.99", "20.00", "-5.00"], margin=["4.00", "8.00", "-2.00"])
        >>> costs = ServingCosts(per_order="0.35", reward_rate="0.01")
        >>> print(net_statement(log, costs, as_of="2011-02-28", discounts=["1.00", 0, 0]).told())
          gross          30.99
        - discounts       1.00
        - returns         5.00
        = revenue        24.99
        - cost of goods  14.99
        = margin         10.00
        - rewards         0.25
        - points          0.00
        - contacts        0.00
        - cost to serve   0.70
        = net             9.05
    """
    day = as_day(as_of)
    off = Amounts.of([0] * len(log) if discounts is None else discounts)
    if len(off) != len(log) or np.any(off.minor < 0):
        raise ConfigError(
            f"{len(off):,} discounts for {len(log):,} lines" if len(off) != len(log) else "a discount below zero",
            rule="discounts are amounts >= 0, one for each line of the log",
            remedy="pass what was taken off each line, 0 where nothing was",
        )
    known = log.day <= np.datetime64(day, "D")
    log, off = log.until(day), off.take(known)
    now = {name: _until(posted, day) for name, posted in (("rewards", rewards), ("service", service))}
    sent = Touches.none() if touches is None else touches.before(day + dt.timedelta(days=1))
    sent = sent.take(sent.direction == "out")
    owed = {str(who): number for who, number in (points or {}).items()}

    sources = [log.customers.labels, sent.customer_id, np.asarray(list(owed), dtype=np.str_)]
    ids = np.unique(np.concatenate([*sources, *(posted.customers.labels for posted in now.values() if posted)]))
    n = len(ids)
    money = [log.revenue, log.margin, off, *(posted.amounts for posted in now.values() if posted)]
    decimals = max(2, *(amounts.decimals for amounts in money))
    who = positions(log.customers.labels, ids)[log.customers.codes]

    def summed(amounts: Amounts, where: Any, owners: IntColumn) -> IntColumn:
        picked = Amounts(amounts.at_scale(decimals)[where], decimals)
        picked.refuse_overflow()
        return picked.by_group(owners[where], n)

    everywhere = np.ones(len(log), dtype=bool)
    minor = {"revenue": summed(log.revenue, everywhere, who), "margin": summed(log.margin, everywhere, who)}
    minor["discounts"] = summed(off, everywhere, who)
    minor["returns"] = -summed(log.revenue, log.is_return & ~log.is_cancelled, who)
    minor["gross"] = minor["revenue"] + minor["discounts"] + minor["returns"]
    minor["cost_of_goods"] = minor["revenue"] - minor["margin"]

    def posted(name: str) -> IntColumn:
        given = now[name]
        if given is None:
            return np.zeros(n, dtype=np.int64)
        owners = positions(given.customers.labels, ids)[given.customers.codes]
        return summed(given.amounts, np.ones(len(owners), dtype=bool), owners)

    if rewards is None:
        minor["rewards"] = _times(np.maximum(minor["revenue"], 0), decimals, costs.reward_rate, decimals)
    else:
        minor["rewards"] = posted("rewards")
    held = Amounts.of(list(owed.values()) or np.zeros(0, dtype=np.int64))
    number = np.zeros(n, dtype=np.int64)
    number[positions(np.asarray(list(owed), dtype=np.str_), ids)] = held.minor
    minor["points"] = _times(number, held.decimals, costs.point_owed, decimals)
    contacted = positions(sent.customer_id, ids)
    minor["contacts"] = np.zeros(n, dtype=np.int64)
    for channel in np.unique(sent.channel).tolist():
        times = np.bincount(contacted[sent.channel == channel], minlength=n).astype(np.int64)
        minor["contacts"] += _times(times, 0, costs.of_contact(channel), decimals)
    orders, days = _activity(log, who, n, day)
    by_rate = _times(orders, 0, costs.per_order, decimals) + _times(days, 0, costs.per_day, decimals)
    minor["cost_to_serve"] = by_rate + posted("service")
    minor["net"] = minor["margin"] - sum(minor[name] for name in ("rewards", "points", "contacts", "cost_to_serve"))
    notes = () if discounts is not None else ("no discounts were given: gross is what was paid",)
    return NetStatement.of(
        ids,
        minor,
        decimals,
        currency=log.currency,
        provenance=attrs.evolve(log.provenance, as_of=day.isoformat(), data=log.fingerprint()).with_notes(*notes),
    )


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
    costs are. Returns and discounts are in the margins that the model was fitted on.

    Raises ConfigError for rewards without ``revenue_per_margin``, a channel without a cost, points of customers who are
    not valued, or costs without end (an infinite horizon, undiscounted).

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
    owed = {str(who): float(_exact(number)) for who, number in (points or {}).items()}
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
    return NetValue(
        customer_id=valuation.customer_id,
        expected_purchases=valuation.expected_purchases,
        gross=gross,
        order_cost=order_cost,
        rewards=rewards,
        day_cost=day_cost,
        contacts=contacts,
        points=liability,
        value=gross - with_purchases - fixed,
        value_low=ends.min(axis=0),
        value_high=ends.max(axis=0),
        model=valuation.model,
        horizon_days=valuation.horizon_days,
        discount_rate=valuation.discount_rate,
        interval=valuation.interval,
        currency=valuation.currency,
        provenance=valuation.provenance.with_notes("values are net of the costs of serving"),
    )


def _until(posted: Postings | None, day: dt.date) -> Postings | None:
    if posted is None:
        return None
    known = posted.day <= np.datetime64(day, "D")
    return Postings(posted.customers.take(known), posted.day[known], posted.amounts.take(known))


def _times(values: IntColumn, decimals: int, rate: Decimal, into: int) -> IntColumn:
    """Whole numbers of 10**-decimals, none below zero, times a rate, in units of 10**-into, rounded half even."""
    finer = max(0, -int(rate.as_tuple().exponent))
    factor, surplus = int(rate.scaleb(finer)), decimals + finer - into
    if surplus < 0:
        factor, surplus = factor * 10**-surplus, 0
    if values.size and int(values.max()) * factor > _LIMIT:
        raise ConfigError(
            "costs beyond what exact money can hold",
            rule="each amount is below 4e18 of the smallest unit that is needed",
            remedy="give costs fewer decimals",
        )
    whole, rest = np.divmod(values * factor, 10**surplus)
    half = 10**surplus - rest
    return np.asarray(whole + ((rest > half) | ((rest == half) & (whole % 2 == 1))), dtype=np.int64)


def _activity(log: TransactionLog, who: IntColumn, n: int, day: dt.date) -> tuple[IntColumn, IntColumn]:
    """Each customer's orders, and the days from her first purchase to the as-of date."""
    bought = ~(log.is_return | log.is_cancelled)
    _, first_lines = np.unique(log.occasions()[bought], return_index=True)
    orders = np.bincount(who[bought][first_lines], minlength=n).astype(np.int64)
    today = int(np.datetime64(day, "D").astype(np.int64))
    first = np.full(n, today, dtype=np.int64)
    np.minimum.at(first, who[bought], log.day.astype(np.int64)[bought])
    return orders, today - first
