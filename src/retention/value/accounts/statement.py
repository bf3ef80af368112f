"""From gross to net, so far: what is left of each customer's revenue, to the cent."""

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self

import attrs
import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.records.money import Amounts
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog
from retention.value.accounts.costs import ServingCosts
from retention.value.accounts.postings import Postings
from retention.value.positions import positions

__all__ = ["NetStatement", "net_statement"]

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
