"""Strategies for the words of the shop: single frozen values, as people and plugins write them."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, get_args

from attrs import evolve
from hypothesis import strategies as st

from retention.domain import (
    Action,
    Consent,
    Contact,
    Contract,
    Customer,
    Kind,
    Outcome,
    Referral,
    Reward,
    Segment,
    Tier,
    Touch,
    Transaction,
    Veto,
)

__all__ = [
    "CHANNELS",
    "names",
    "days",
    "money",
    "customers",
    "transactions",
    "segments",
    "tiers",
    "actions",
    "consents",
    "touches",
    "contacts",
    "vetoes",
    "outcomes",
    "referrals",
    "contracts",
]

CHANNELS = ("email", "phone", "post", "sms")

TIES = ("friend", "family", "co-worker", "other")

_FIRST, _LAST = dt.date(2009, 1, 1), dt.date(2030, 12, 31)
_NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
_HUNDREDTHS = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
_TIMES = st.sampled_from([dt.time(), dt.time(12, 30), dt.time(23, 59, 59)])


def names() -> st.SearchStrategy[str]:
    """A name or an id: text of any script, never blank, without control characters and blanks at its ends."""
    return _NAMES


def days(first: dt.date = _FIRST, last: dt.date = _LAST) -> st.SearchStrategy[dt.date]:
    """A calendar day; it shrinks towards the first."""
    return st.dates(first, last)


def money(least: str | int = -1000, most: str | int = 10_000) -> st.SearchStrategy[Decimal]:
    """An exact amount in cents."""
    low, high = (int(Decimal(bound) * 100) for bound in (least, most))
    return st.integers(low, high).map(lambda cents: Decimal(cents).scaleb(-2))


def amounts(most: float = 500.0) -> st.SearchStrategy[float]:
    """An amount or duration of zero or more, in hundredths, as a float."""
    return st.integers(0, int(most * 100)).map(lambda hundredths: hundredths / 100)


def shares() -> st.SearchStrategy[float]:
    """A probability in hundredths; both ends are among them."""
    return _HUNDREDTHS


def transactions() -> st.SearchStrategy[Transaction]:
    """One line of a receipt; one in some takes money or goods back."""
    return st.builds(
        Transaction,
        customer_id=names(),
        at=st.builds(dt.datetime.combine, days(), _TIMES),
        revenue=money(),
        margin=st.none() | money(),
        order=st.none() | names(),
        category=st.none() | names(),
        quantity=st.none() | st.integers(-5, 50).map(Decimal),
    )


def customers(*, max_lines: int = 5) -> st.SearchStrategy[Customer]:
    """A customer with her own lines, and what else is known of her: numbers, flags and text by name."""

    def whole(who: str, lines: list[Transaction], known: dict[str, Any]) -> Customer:
        return Customer(id=who, transactions=tuple(evolve(line, customer_id=who) for line in lines), attributes=known)

    known = st.booleans() | st.integers(-1000, 1000) | names()
    lines = st.lists(transactions(), max_size=max_lines)
    return st.builds(whole, names(), lines, st.dictionaries(names(), known, max_size=3))


def segments(*, max_size: int = 5) -> st.SearchStrategy[Segment]:
    """A named group of customers; it may be empty."""
    return st.builds(Segment, name=names(), customer_ids=st.frozensets(names(), max_size=max_size))


def tiers() -> st.SearchStrategy[Tier]:
    """A named rank; the lowest may have no floor, which is written as minus infinity."""
    lowest = st.builds(Tier, name=names(), rank=st.just(0), floor=st.just(float("-inf")) | amounts(10_000))
    return lowest | st.builds(Tier, name=names(), rank=st.integers(1, 5), floor=amounts(10_000))


def actions(*, channels: Sequence[str] = CHANNELS) -> st.SearchStrategy[Action]:
    """Something that may be done: with or without a reward, a condition, a control."""

    def whole(kind: Kind, reward: Reward | None, reward_cost: float, if_: bool, take_up: float, **told: Any) -> Action:
        conditional = if_ and reward is not None and kind != "thank"
        return Action(
            kind=kind,
            reward=reward,
            reward_cost=0.0 if reward is None else reward_cost,
            conditional=conditional,
            take_up=take_up if conditional else 1.0,
            **told,
        )

    return st.builds(
        whole,
        kind=st.sampled_from(get_args(Kind)),
        reward=st.none() | st.sampled_from(get_args(Reward)),
        reward_cost=amounts(50),
        if_=st.booleans(),
        take_up=shares(),
        name=names(),
        channel=st.sampled_from(channels),
        money=amounts(50),
        hours=amounts(2),
        customer_benefit=names(),
        needs_consent=st.booleans(),
        purpose=st.sampled_from(["marketing", "service"]),
        perceived_value=amounts(50),
        touchpoint=st.booleans(),
        control=st.sampled_from([0.0, 0.1, 0.5]),
    )


def consents() -> st.SearchStrategy[Consent]:
    """A permission or its withdrawal, of a known day or not."""
    return st.builds(
        Consent,
        customer_id=names(),
        channel=st.sampled_from(CHANNELS),
        purpose=st.sampled_from(["marketing", "service"]),
        granted=st.booleans(),
        at=st.none() | days(),
    )


def touches(*, first: dt.date = _FIRST, last: dt.date = _LAST) -> st.SearchStrategy[Touch]:
    """A contact that happened, in or out."""
    return st.builds(
        Touch,
        customer_id=names(),
        at=days(first, last),
        channel=st.sampled_from(CHANNELS),
        kind=st.sampled_from(get_args(Kind)),
        direction=st.sampled_from(["out", "in"]),
    )


def contacts() -> st.SearchStrategy[Contact]:
    """A planned contact whose window has a first day and a last."""
    made = st.builds(
        Contact,
        customer_id=names(),
        action=actions(),
        opens=days(),
        closes=st.just(_LAST),
        reason=names(),
        expected_incremental_margin=st.integers(-10_000, 100_000).map(lambda cents: cents / 100),
        probability=shares(),
    )
    return st.builds(lambda one, lasts: evolve(one, closes=_after(one.opens, lasts)), made, st.integers(0, 60))


def vetoes() -> st.SearchStrategy[Veto]:
    """A refusal and its reason."""
    return st.builds(Veto, customer_id=names(), action=names(), policy=names(), reason=names())


def outcomes() -> st.SearchStrategy[Outcome]:
    """What came back: a reply, a purchase, a complaint, a withdrawal."""
    return st.builds(
        Outcome,
        customer_id=names(),
        at=days(),
        kind=st.sampled_from(["reply", "purchase", "complaint", "withdrawal"]),
        amount=amounts(),
        action=st.none() | names(),
    )


def referrals() -> st.SearchStrategy[Referral]:
    """Who brought whom: two people, never one."""
    pairs = st.lists(names(), min_size=2, max_size=2, unique=True)
    ties = st.none() | st.sampled_from(TIES)
    return st.builds(
        lambda pair, at, tie: Referral(referrer_id=pair[0], referred_id=pair[1], at=at, tie=tie),
        pairs,
        st.none() | days(),
        ties,
    )


def contracts() -> st.SearchStrategy[Contract]:
    """A relationship with a start; only one that has ended has a reason."""
    running = st.builds(Contract, customer_id=names(), started=days(), margin_per_period=st.none() | money())
    ended = st.builds(
        lambda one, lasts, reason: evolve(one, ended=_after(one.started, lasts), reason=reason),
        running,
        st.integers(0, 2000),
        st.none() | names(),
    )
    return running | ended


def _after(day: dt.date, lasts: int) -> dt.date:
    return day + dt.timedelta(days=lasts)
