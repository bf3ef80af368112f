"""An independent look at a finished plan: does it keep the rules, judged from the raw data alone?

Written apart from the policies and the chooser and by other means (one row at a time, exact decimals), so that one
mistake does not hide the other. It is slow and plain on purpose.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from retention.domain import Action
from retention.plan.check_policies import check_policies
from retention.plan.plan import Plan
from retention.plan.proposals import ContactPolicy
from retention.plan.situation import Situation

__all__ = ["check"]

_NONE = Action(name="none", kind="wait", channel="none", customer_benefit="none")


def check(plan: Plan, situation: Situation, policies: Iterable[ContactPolicy] | None = None) -> list[str]:
    """What is wrong with a plan, a line a rule; an empty list if nothing is.

    It checks the contact policies that the plan was made with (None: the built-in ones; see
    :func:`~retention.plan.check_policies`), both budgets, capacities of channels, ceilings of tiers, one row a customer
    in the base's order, that no row is without a reason, and that hold-out, controls and exploration are those that
    salt and shares say. Lines give counts, never ids.
    """
    wrong = check_policies(plan, situation, policies)
    ids = [str(who) for who in plan.customer_id]
    if ids != [str(who) for who in situation.customer_id]:
        wrong.append("rows: the plan does not have one row for each customer of the base, in its order")
    if len(set(ids)) != len(ids):
        wrong.append("one per customer: a customer has more than one row")
    if plan.as_of != situation.as_of:
        wrong.append("day: the plan is of another day than the situation")
    contacts = [row for row in (plan.row(i) for i in range(len(plan))) if row["decision"] == "contact"]

    faults: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        "unknown action": lambda r: not _actions(r, plan),
        "window": lambda r: r["opens"] is None or r["opens"] < situation.as_of or r["closes"] < r["opens"],
        "gain": lambda r: not r["net"] > 0 and r["segment"] not in plan.budget.at_least,
        "hold-out": lambda r: _held(r["customer_id"], plan),
        "control": lambda r: _controlled(r, plan),
        "exploration": lambda r: (
            r["explored"] and not _draw(r["customer_id"], f"{_night(plan)}|explore") < plan.explore
        ),
        "time of day": lambda r: None not in (r["not_before"], r["not_after"]) and r["not_before"] > r["not_after"],
        "costs": lambda r: (r["money"], r["hours"]) not in [(a.outlay, a.hours) for a in _actions(r, plan)],
    }
    for rule, broken in faults.items():
        count = sum(1 for row in contacts if broken(row))
        if count:
            wrong.append(f"{rule}: {count} contacts break it")

    for name, limit, spent in (
        ("money", plan.budget.money, plan.spent_money),
        ("hours", plan.budget.hours, plan.spent_hours),
    ):
        exact = sum((Decimal(str(row[name])) for row in contacts), Decimal(0))
        if limit is not None and exact > Decimal(str(float(limit))):
            wrong.append(f"budget: the contacts cost more {name} than there is")
        # Spending is counted in millionths, each contact rounded up.
        if not 0 <= Decimal(str(spent)) - exact + Decimal("1e-6") <= Decimal("1e-6") * (len(contacts) + 2):
            wrong.append(f"budget: the {name} that the plan says it spends is not the sum over its contacts")

    for what, column, limits in (
        ("capacity", "channel", plan.budget.capacity),
        ("ceiling", "segment", plan.budget.at_most),
    ):
        for name, limit in limits.items():
            if sum(1 for row in contacts if row[column].casefold() == name.casefold()) > limit:
                wrong.append(f"{what}: more contacts by {column} than there may be")

    held = [row for row in (plan.row(i) for i in range(len(plan))) if row["decision"] == "hold-out"]
    if not all(_held(row["customer_id"], plan) or _controlled(row, plan) for row in held):
        wrong.append("hold-out: a customer is held out whom salt and share do not hold out")
    for row in contacts + held:
        due = max((1.0 - plan.holdout_share) * (1.0 - action.control) for action in _actions(row, plan) or [_NONE])
        if not (0 < row["probability"] <= due + 1e-12 and (plan.explore or row["probability"] >= due - 1e-12)):
            wrong.append("hold-out: a probability is not what the shares of the lots leave")
            break
    if any(not str(reason).strip() for reason in plan.reason):
        wrong.append("reason: a row says neither why nor why not")
    if not set(plan.decision.tolist()) <= {"contact", "hold-out", "none"}:
        wrong.append("decision: a row has one that does not exist")
    return wrong


def _actions(row: Mapping[str, Any], plan: Plan) -> list[Action]:
    return [a for a in plan.actions if (a.name, a.channel, a.kind) == (row["action"], row["channel"], row["kind"])]


def _held(who: str, plan: Plan) -> bool:
    return _draw(who, plan.salt) < Fraction(plan.holdout_share)


def _controlled(row: Mapping[str, Any], plan: Plan) -> bool:
    """Whether she is in the control of the action."""
    return any(
        _draw(row["customer_id"], f"{plan.salt}|control|{action.name}") < Fraction(action.control)
        for action in _actions(row, plan)
    )


def _night(plan: Plan) -> str:
    return f"{plan.salt}|{plan.as_of.isoformat()}"


def _draw(who: str, salt: str) -> Fraction:
    """The first 53 bits of a hash, as an exact fraction."""
    digest = hashlib.blake2b(f"{salt}|{who}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return Fraction(int.from_bytes(digest, "big") >> 11, 2**53)
