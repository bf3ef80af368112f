"""Every cent that is posted, by customer and year of her tenure."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from retention.errors import ConfigError, RetentionError
from retention.frames.coded import Coded
from retention.frames.table import BoolColumn, IntColumn, TextColumn
from retention.lenses._showing import money
from retention.records.money import Amounts
from retention.records.transactions import TransactionLog
from retention.value.accounts.postings import Postings, exact_amounts


class Cells(NamedTuple):
    """One row a customer and year of tenure in which anything was posted, by customer and year; money in minor units.

    ``there`` marks who bought in a year that is over. Per customer: ``whole``, the last year that was over when the
    as-of day closed (-1: not counted), and ``last``, the year of her last purchase.
    """

    customer: IntColumn
    year: IntColumn
    there: BoolColumn
    measures: dict[str, IntColumn]
    profit: IntColumn
    whole: IntColumn
    last: IntColumn
    decimals: int
    account: dict[str, Decimal]
    notes: tuple[str, ...]


def cells_of(
    log: TransactionLog,
    closing: dt.date,
    *,
    days: int,
    since: dt.date | None,
    acquisition_cost: Any,
    serving_costs: Any,
    referrals: Postings | None,
    list_revenue: Any,
) -> Cells:
    """Add up all postings that are known on the closing day, and account for every cent of them."""
    today = np.datetime64(closing, "D")
    known = log.until(closing)
    labels, n = known.customers.labels, len(known.customers.labels)
    day, who = known.day.astype(np.int64), known.customers.codes.astype(np.int64)
    live = ~(known.is_return | known.is_cancelled)
    first, last = np.full(n, np.iinfo(np.int64).max), np.full(n, np.iinfo(np.int64).min)
    np.minimum.at(first, who[live], day[live])
    np.maximum.at(last, who[live], day[live])
    bought = first <= last
    first, last = np.where(bought, first, 0), np.where(bought, last, 0)
    counted = bought if since is None else bought & (first >= int(np.datetime64(since, "D").astype(np.int64)))

    # Every posting: its measure, whose (n: a stranger), on which day, how much. The log's lines come first.
    stack: list[tuple[str, IntColumn, IntColumn, Amounts]] = [
        ("revenue", who, day, known.revenue),
        ("margin", who, day, known.margin),
    ]
    kept = log.day <= today
    for name, given in (("listed", list_revenue), ("serving", serving_costs), ("referrals", referrals)):
        if isinstance(given, Postings) and name != "listed":
            seen = given.day <= today
            stack.append((name, _places(given.customers, labels)[seen], given.day.astype(np.int64)[seen],
                          given.amounts.take(seen)))  # fmt: skip
        elif given is not None:
            stack.append((name, who, day, _per_line(given, log, name).take(kept)))
    if acquisition_cost is not None:
        won = np.flatnonzero(counted)
        stack.append(("winning", won, first[won], _winning(acquisition_cost, labels[won])))

    decimals = max(2, *(amounts.decimals for *_, amounts in stack))
    exact = [Amounts(amounts.at_scale(decimals), decimals) for *_, amounts in stack]
    for amounts in exact:
        amounts.refuse_overflow()
    sign = {"margin": 1, "serving": -1, "referrals": 1, "winning": -1}
    posted = sum((sign.get(name, 0) * a.total() for (name, *_), a in zip(stack, exact, strict=True)), Decimal(0))

    # Days up to the first purchase day are year 0, and so is all that came from those who never bought.
    owner, when = (np.concatenate([part[i] for part in stack]) for i in (1, 2))
    since_first = np.where(np.append(bought, False)[owner], when - np.append(first, 0)[owner], 0)
    year = np.maximum(0, (since_first - 1) // days + 1)
    width = int(year.max(initial=0)) + 2
    keys, cell = np.unique(owner * width + year, return_inverse=True)
    customer, year = keys // width, keys % width
    measures: dict[str, IntColumn] = {}
    at = 0
    for (name, whose, *_), amounts in zip(stack, exact, strict=True):
        measures[name] = amounts_by_cell = np.zeros(len(keys), dtype=np.int64)
        np.add.at(amounts_by_cell, cell[at : at + len(whose)], amounts.minor)
        at += len(whose)
    profit = sum((sign[name] * sums for name, sums in measures.items() if name in sign), np.zeros_like(keys))
    active = np.zeros(len(keys), dtype=bool)
    active[cell[: len(who)][live]] = True

    whole = np.where(counted, (int(today.astype(np.int64)) - first) // days, -1)
    stranger, never, earlier = customer == n, ~np.append(bought, True)[customer], np.append(bought & ~counted, False)
    over = year <= np.append(whole, -1)[customer]
    ours = np.append(counted, False)[customer]
    places = {
        "in the ladder": ours & over & active,
        "in years without a purchase": ours & over & ~active,
        "in years that are not over": ours & ~over,
        "of customers acquired earlier": earlier[customer],
        "of customers who never bought": never,
        "posted to customers whom the log does not know": stranger,
    }
    account = {name: Amounts(profit, decimals).total(where) for name, where in places.items()}
    if sum(account.values(), Decimal(0)) != posted:
        raise RetentionError(
            "a ladder that does not reconcile with its log",
            rule="every cent is in one place of the account",
            remedy="report this: it is a mistake of this library",
        )
    return Cells(
        customer=customer,
        year=year,
        there=places["in the ladder"],
        measures=measures,
        profit=profit,
        whole=whole,
        last=np.where(last > first, (last - first - 1) // days + 1, 0),
        decimals=decimals,
        account={**account, "posted in all": posted},
        notes=_notes(account, known, since, days),
    )


def _places(customers: Coded, labels: TextColumn) -> IntColumn:
    """Where each posting's customer stands among the labels; one past the end if she does not."""
    at = np.searchsorted(labels, customers.labels)
    found = np.append(labels, "")[at] == customers.labels
    return np.where(found & (at < len(labels)), at, len(labels))[customers.codes].astype(np.int64)


def _per_line(values: Any, log: TransactionLog, name: str) -> Amounts:
    name = {"listed": "list_revenue", "serving": "serving_costs"}.get(name, name)
    if name == "referrals":
        raise ConfigError(
            f"referrals of type {type(values).__name__}",
            rule="referrals are dated amounts credited to customers",
            remedy="pass Postings.of(customer_id=..., at=..., amount=...)",
        )
    amounts = exact_amounts(values, name)
    if len(amounts) != len(log):
        raise ConfigError(
            f"{name} of length {len(amounts)} for a log of {len(log)} lines",
            rule=f"{name} has one amount a line of the log",
            remedy="pass the column that stands beside the log's own; costs with days of their own are Postings",
        )
    return amounts


def _winning(cost: Any, labels: TextColumn) -> Amounts:
    """What winning each of these customers cost."""
    if isinstance(cost, Mapping):
        by_id = {str(name): amount for name, amount in cost.items()}
        without = sum(name not in by_id for name in labels.tolist())
        if without:
            raise ConfigError(
                f"acquisition_cost for {len(labels) - without:,} of {len(labels):,} customers",
                rule="each customer's acquisition cost is given, 0 for one who came by herself",
                remedy="complete the mapping, or pass one amount for all",
            )
        amounts = exact_amounts([by_id[name] for name in labels.tolist()], "acquisition_cost")
    else:
        one = exact_amounts([cost], "acquisition_cost")
        amounts = Amounts(np.repeat(one.minor, len(labels)), one.decimals)
    if np.any(amounts.minor < 0):
        raise ConfigError(
            "a negative acquisition_cost", rule="a cost is zero or more", remedy="pass costs as positive amounts"
        )
    return amounts


def _notes(account: Mapping[str, Decimal], log: TransactionLog, since: dt.date | None, days: int) -> tuple[str, ...]:
    notes = []
    if since is None and len(log):
        notes.append(
            f"tenure is counted from the first purchase in the log, which begins on {log.day.min()}: who bought before "
            "is taken for new; pass acquired_from if the business is older than its log"
        )
    for place, said in (
        ("in years without a purchase", "posted to customers in years in which they bought nothing (returns, service)"),
        ("in years that are not over", f"posted in years of tenure that are not over: a year is {days} days here"),
        ("of customers acquired earlier", "of customers acquired before acquired_from"),
        ("of customers who never bought", "of customers who only returned or cancelled"),
        ("posted to customers whom the log does not know", "posted to customers whom the log does not know"),
    ):
        if account[place]:
            notes.append(f"not in the ladder: {money(account[place], log.currency)} {said}")
    return tuple(notes)
