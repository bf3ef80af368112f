"""Strategies for a night: a situation, what is proposed for it, what a policy answers, and the plan."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import evolve, frozen
from hypothesis import strategies as st

from retention.domain import Action
from retention.plan.budget import Budget
from retention.plan.make import plan_for
from retention.plan.plan import Plan
from retention.plan.proposals import Assumption, Proposals, Review
from retention.plan.situation import Situation
from retention.records.permissions import Consents
from retention.records.touches import Touches
from retention.testing.strategies import bases, logs, words

__all__ = [
    "situations",
    "assumptions",
    "proposals",
    "situations_with_proposals",
    "reviews",
    "budgets",
    "plans",
]

Row = tuple[Any, ...]

_DAY = dt.date(2011, 12, 1)
_CAUSES = ("price", "moved", "deceased", "service")


def situations(
    *, min_size: int = 0, max_size: int = 6, as_of: dt.date = _DAY, max_days: int = 1500
) -> st.SearchStrategy[Situation]:
    """A base on the plan's day, with all its tables of the same customers, contacts, permissions, complaints, causes.

    Some of what is on file is of customers who are not in the base, and ``consents`` may be None, as in a real shop.
    """
    customer = st.tuples(
        words.names(), bases.history_rows(40, max_days), bases.WORTH, bases.WHEN, bases.SCORE,
        st.booleans(), st.booleans(), st.none() | st.sampled_from(_CAUSES),
    )  # fmt: skip
    place = st.integers(0, max_size)
    touches = st.lists(st.tuples(logs.touch_before(as_of), place), max_size=8)
    consents = st.none() | st.lists(st.tuples(words.consents(), place), max_size=12)

    def whole(
        customers: list[Row], steps: list[Row], contacts: list[Row], allowed: list[Row] | None, known: list[Row]
    ) -> Situation:
        customers = sorted(customers, key=lambda one: one[0])
        ids, histories, worth, when, scores, complain, peace, causes = bases.columns(customers, 8)
        columns = bases.columns_of(known, len(ids))
        base = bases.base_of(ids, histories, as_of, None)
        return Situation(
            as_of=as_of,
            histories=base.with_attributes(columns),
            valuation=bases.worth_of(base, worth),
            outlook=bases.outlook_of(base, when),
            tiering=bases.tiering_of(base, scores, steps),
            touches=Touches.of(logs.settled(contacts, ids)),
            consents=None if allowed is None else Consents.of(logs.settled(allowed, ids)),
            open_complaints=frozenset(who for who, yes in zip(ids, complain, strict=True) if yes),
            do_not_contact=frozenset(who for who, yes in zip(ids, peace, strict=True) if yes),
            causes={who: cause for who, cause in zip(ids, causes, strict=True) if cause is not None},
            attributes=columns,
        )

    return st.builds(
        whole,
        st.lists(customer, min_size=min_size, max_size=max_size, unique_by=lambda one: one[0]),
        bases.tier_steps(4),
        touches,
        consents,
        bases.COLUMNS,
    )


def assumptions() -> st.SearchStrategy[Assumption]:
    """A number that nobody has measured yet."""
    return st.builds(
        Assumption,
        strategy=words.names(),
        name=words.names(),
        value=words.shares(),
        spread=words.shares(),
        meaning=words.names(),
    )


def proposals(
    situation: Situation | None = None, *, max_size: int = 10, actions: Sequence[Action] | None = None
) -> st.SearchStrategy[Proposals]:
    """Contacts proposed for a situation (None: some): customers of its base, each action once for each of them.

    Gains may be losses; a window opens on the plan's day or later. ``actions`` are those to propose; None draws some.
    """
    some = situations() if situation is None else st.just(situation)
    return st.builds(_proposed, some, _offers(actions), _rows(max_size), st.lists(assumptions(), max_size=1))


def situations_with_proposals(
    *, min_size: int = 1, max_size: int = 6, max_proposals: int = 10, actions: Sequence[Action] | None = None
) -> st.SearchStrategy[tuple[Situation, Proposals]]:
    """A situation and proposals for it: what a policy is given as ``review(proposals, situation)``."""

    def both(situation: Situation, *drawn: Any) -> tuple[Situation, Proposals]:
        return situation, _proposed(situation, *drawn)

    some = situations(min_size=min_size, max_size=max_size)
    return st.builds(both, some, _offers(actions), _rows(max_proposals), st.lists(assumptions(), max_size=1))


def _offers(actions: Sequence[Action] | None) -> st.SearchStrategy[list[Action]]:
    if actions is not None:
        return st.just(list(actions))
    return st.lists(words.actions(), min_size=1, max_size=3, unique_by=lambda one: one.name)


def _rows(max_size: int) -> st.SearchStrategy[list[Row]]:
    row = st.tuples(
        st.integers(0, 11), st.integers(0, 2), st.integers(-2_000, 20_000), words.shares(),
        st.integers(0, 60), st.integers(0, 30), st.sampled_from(["assumption", "measured"]), words.names(),
    )  # fmt: skip
    return st.lists(row, max_size=max_size)


def _proposed(situation: Situation, offered: list[Action], rows: list[Row], assumed: list[Assumption]) -> Proposals:
    """Drawn rows as proposals: the first of each customer and action."""
    if not len(situation) or not offered:
        return Proposals.none()
    first: dict[tuple[int, int], Row] = {}
    for who, action, *rest in rows:
        first.setdefault((who % len(situation), action % len(offered)), tuple(rest))
    columns = bases.columns([(*key, *rest) for key, rest in first.items()], 8)
    who, action, cents, spread, wait, lasts, evidence, reason = columns
    at, gain = np.asarray(who, dtype=np.int64), np.asarray(cents, dtype=np.float64) / 100
    opens = np.datetime64(situation.as_of, "D") + bases.as_days(wait)
    return Proposals(
        customer_id=situation.customer_id[at],
        base_row=at,
        action=np.asarray(action, dtype=np.int64),
        gain=gain,
        gain_sd=np.abs(gain) * np.asarray(spread, dtype=np.float64),
        opens=opens,
        closes=opens + bases.as_days(lasts),
        strategy=np.full(len(at), "drawn"),
        reason=np.asarray(reason, dtype=np.str_),
        evidence=np.asarray(evidence, dtype=np.str_),
        actions=tuple(offered),
        assumptions=tuple(assumed),
    )


def reviews(proposed: Proposals | None = None) -> st.SearchStrategy[Review]:
    """A policy's answer to some proposals: refused with a reason, or allowed, maybe between two instants only."""

    def answer(to: Proposals, refusals: list[bool], reason: str, minutes: list[int]) -> Review:
        refused = np.resize(np.asarray(refusals, dtype=bool), len(to))
        review = Review.veto(refused, reason)
        if not minutes:
            return review
        opens = to.opens.astype("datetime64[m]") + np.resize(np.asarray(minutes, dtype="timedelta64[m]"), len(to))
        return evolve(review, not_before=opens, not_after=opens + np.timedelta64(480, "m"))

    return st.builds(
        answer,
        proposals() if proposed is None else st.just(proposed),
        st.lists(st.booleans(), min_size=1, max_size=10),
        words.names(),
        st.lists(st.integers(0, 600), max_size=3),
    )


def budgets() -> st.SearchStrategy[Budget]:
    """Limits of one night; None is no limit."""
    amount = st.none() | words.amounts(200)
    capacity = st.dictionaries(st.sampled_from(words.CHANNELS), st.integers(0, 5), max_size=2)
    return st.builds(Budget, money=amount, hours=amount, capacity=capacity)


@frozen
class Drawn:
    """A strategy that proposes what was drawn."""

    proposed: Proposals
    name: str = "drawn"

    def propose(self, situation: Situation) -> Proposals:
        """What was drawn."""
        return self.proposed


def plans(*, max_size: int = 6) -> st.SearchStrategy[Plan]:
    """A plan that was really made: of drawn proposals, by the built-in policies, within a drawn budget."""

    def made(drawn: tuple[Situation, Proposals], budget: Budget, holdout: float, salt: str) -> Plan:
        return plan_for(drawn[0], budget=budget, strategies=[Drawn(drawn[1])], holdout=holdout, salt=salt)

    return st.builds(
        made,
        situations_with_proposals(min_size=0, max_size=max_size),
        budgets(),
        st.sampled_from([0.0, 0.1, 0.5]),
        words.names(),
    )
