"""A month of nights in a small simulated shop with a policy on duty, judged by whoever has not made the plan.

Every night the built-in strategies propose what they like, with no limit of money or hours: only the policies hold
contacts back. The policy is on duty twice: beside the built-in ones in the hands of a journal, and alone, where what it
promises by itself shows.
"""

import datetime as dt
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import evolve, frozen

from retention.domain import Action
from retention.frames.table import BoolColumn
from retention.histories import summarize
from retention.journal import Journal
from retention.plan import Budget, ContactPolicy, OutreachStrategy, Plan, Proposals, Situation, make_plan, situate
from retention.plan.check_policies import check_policies
from retention.plan.holdout import holdout_draws
from retention.plan.policies import built_in_policies
from retention.plan.strategies import built_in_strategies
from retention.plan.vetoes import gate
from retention.records import Touches
from retention.tiers import MarginBands
from retention.timing import LogT, anticipate
from retention.value import BGNBD, appraise
from retention.worlds import Shop

__all__ = ["SimulatedNights", "simulate_nights"]

CUSTOMERS = 200
HOLDOUT, EXPLORE, SALT = 0.1, 0.05, "report-card"
FREE = Budget(money=None, hours=None)
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "unknown", "Pacific/Chatham")
MANY, ENOUGH_SECONDS = 100_000, 0.5
UNKNOWN_PACE = "unknown"
# Parameters without doubt: averaging over it would take thirty times as long and change no policy's answer.
_MODEL = BGNBD().at(r=0.6, alpha=6.0, a=0.8, b=2.5, p=6.0, q=4.0, v=15.0)


@frozen(kw_only=True)
class SimulatedNights:
    """What was seen of one policy.

    ``reviewed`` proposals were put before it and ``refused`` by it, ``refused_beyond`` by it and by no built-in one;
    ``contacts`` were planned. ``broken`` has a line for each rule that plans did not keep, ``failures`` what the policy
    did instead of answering. ``restless`` counts nights on which it answered otherwise when asked again, ``gave_way``
    refusals that were gone after one more contact with everyone, which counts against it where it says that it is
    ``monotone``. ``promise`` is the cap that it states, in words. ``pace`` is what it takes for 100,000 proposals
    beside all built-in policies together, by the clock on the wall and in words: clocks differ, and tenfolds do not.
    """

    nights: int
    customers: int
    reviewed: int
    refused: int
    refused_beyond: int
    contacts: int
    broken: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    restless: int = 0
    gave_way: int = 0
    monotone: bool = False
    promise: str = ""
    pace: str = UNKNOWN_PACE

    @property
    def let_through(self) -> int:
        """Proposals that it did not refuse."""
        return self.reviewed - self.refused

    @property
    def faults(self) -> tuple[str, ...]:
        """What speaks against letting the policy go live, a line each."""
        said = [*self.failures, *self.broken]
        if self.restless:
            said.append(f"asked the same again, it answered otherwise on {self.restless:,} of {self.nights:,} nights")
        if self.monotone and self.gave_way:
            said.append(
                f"it says that it is monotone, and {self.gave_way:,} of its refusals were gone after one more contact"
            )
        return tuple(said)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What its author should know, a line each."""
        if not self.reviewed:
            return ("nothing was proposed, so nothing was seen of it",)
        if self.refused == self.reviewed:
            return ("it refuses everything: nobody is ever contacted",)
        if not self.refused:
            return ("it refuses nothing in the simulated shop",)
        if not self.refused_beyond:
            return ("all that it refuses in the simulated shop the built-in policies refuse too",)
        return ()


def simulate_nights(
    policy: ContactPolicy,
    *,
    nights: int = 30,
    seed: int = 0,
    attributes: Mapping[str, Any] | None = None,
    actions: Iterable[Action] = (),
) -> SimulatedNights:
    """Put a policy on duty in the simulated shop for so many nights in a row.

    A built-in policy of the same name steps down for it, and the rules of both are looked at. ``attributes`` are what a
    real shop knows of its customers (by name, then by id or in a column): their values are dealt to the simulated ones,
    so that a policy which goes by them has something to go by. ``time_zone`` and ``contact_limit`` are there anyway.
    ``actions`` are proposed beside those of the built-in strategies, each to a third of the customers, others each
    night.

    Example:
        >>> from retention.plan.policies import FrequencyCap
        >>> seen = simulate_nights(FrequencyCap(max_contacts=1, days=60), nights=3)
        >>> seen.faults, seen.promise, seen.refused > 0
        ((), 'at most 1 contact in any 60 days', True)
    """
    more = _More(tuple(actions))
    town = tuple(evening.told(attributes or {}, more) for evening in _town(nights, seed))
    name = str(policy.name)
    beside = tuple(p for p in built_in_policies() if p.name != name)
    ours = type(policy).__module__.startswith("retention.plan.policies")
    judged = (*beside, policy) if ours else built_in_policies()
    seen: dict[str, Any] = dict.fromkeys(
        ("reviewed", "refused", "refused_beyond", "contacts", "restless", "gave_way"), 0
    )
    broken: dict[str, int] = {}
    failures: dict[str, None] = {}

    def count(rule: str, times: int) -> None:
        if times:
            broken[rule] = broken.get(rule, 0) + times

    with Journal(":memory:") as journal:
        for evening in town:
            plan, situation = evening.plan((*beside, policy), journal, holdout=HOLDOUT)
            journal.record(plan)
            for rule, times in _broken(plan, situation, judged).items():
                count(f"the rule of {rule}", times)
            reached = plan.customer_id[plan.decision == "contact"].tolist()
            seen["contacts"] += len(reached)
            count("the hold-out", int((holdout_draws(reached, SALT) < HOLDOUT).sum()))
            proposals = evening.proposals(situation)
            refused, faults = _refused([policy], proposals, situation)
            failures |= dict.fromkeys(faults)
            others, _ = _refused(beside, proposals, situation)
            count("its own refusals", _contacted_anyway(plan, proposals, refused))
            seen["reviewed"] += len(proposals)
            seen["refused"] += int(refused.sum())
            seen["refused_beyond"] += int((refused & ~others).sum())
            seen["restless"] += _answer(policy, proposals, situation) != _answer(policy, proposals, situation)
            seen["gave_way"] += _gave_way(policy, proposals, situation, refused)
    promise, over, wrong = _alone(policy, town, [policy] if ours else [])
    count(f"its promise of {promise}", over)
    count("on duty alone, its rule", wrong)
    return SimulatedNights(
        nights=nights,
        customers=CUSTOMERS,
        broken=tuple(f"{rule}: broken {times:,} times" for rule, times in sorted(broken.items())),
        failures=tuple(failures),
        monotone=bool(getattr(policy, "monotone", False)),
        promise=promise,
        pace=UNKNOWN_PACE if failures else _pace(policy, town[-1]),
        **seen,
    )


# The shop


@frozen(eq=False, kw_only=True)
class _Evening:
    """All that a plan goes by on one night, but for what was done before."""

    stages: tuple[Any, ...]
    known: Mapping[str, Any]
    touches: Touches
    strategies: tuple[OutreachStrategy, ...]

    def told(self, attributes: Mapping[str, Any], more: OutreachStrategy) -> "_Evening":
        """The same evening with these attributes, their values dealt out in order, and one more strategy."""
        ids = self.stages[0].customer_id.tolist()
        dealt = dict(self.known["attributes"])
        for name, given in attributes.items():
            values = [given[who] for who in sorted(given)] if isinstance(given, Mapping) else list(given)
            if values:
                dealt[name] = MappingProxyType({who: values[i % len(values)] for i, who in enumerate(sorted(ids))})
        known = MappingProxyType(dict(self.known) | {"attributes": MappingProxyType(dealt)})
        return evolve(self, known=known, strategies=(*self.strategies, more))

    def plan(
        self,
        policies: Sequence[ContactPolicy],
        journal: Journal | None,
        *,
        holdout: float,
        touches: Touches | None = None,
    ) -> tuple[Plan, Situation]:
        told = dict(self.known) | {"touches": self.touches if touches is None else self.touches.joined(touches)}
        plan = make_plan(
            *self.stages,
            budget=FREE,
            strategies=self.strategies,
            policies=policies,
            journal=journal,
            holdout=holdout,
            explore=EXPLORE if holdout else 0.0,
            salt=SALT,
            **told,
        )
        return plan, situate(*self.stages, journal=journal, **told)

    def proposals(self, situation: Situation) -> Proposals:
        return Proposals.joined(strategy.propose(situation) for strategy in self.strategies)


@frozen
class _More:
    """Further actions, so that a policy which is about them is asked about them."""

    actions: tuple[Action, ...]
    name: str = "more"

    def propose(self, situation: Situation) -> Proposals:
        seat = np.arange(len(situation)) + situation.as_of.toordinal()
        return Proposals.joined(
            Proposals.of(
                situation,
                (seat + number) % 3 == 0,
                action,
                strategy=self.name,
                gain=action.expected_cost + 1.0,
                reason="so that the policy is asked about it",
            )
            for number, action in enumerate(self.actions)
        )


@cache
def _town(nights: int, seed: int) -> tuple[_Evening, ...]:
    """The shop, evening by evening: contacts move nobody in it, so every policy meets the same one."""
    world = Shop.null(customers=CUSTOMERS, years=2.0, seed=seed, founders=0.6).simulate()
    first = world.as_of - dt.timedelta(days=nights - 1)
    ids = world.truth.customer_id.tolist()
    zone = {who: ZONES[i % len(ZONES)] for i, who in enumerate(ids) if i % 7}
    limit = {who: i % 4 for i, who in enumerate(ids) if i % 5}
    rng = np.random.default_rng(seed)
    told: list[_Evening] = []
    clock: Any = LogT()
    for day in (first + dt.timedelta(days=n) for n in range(nights)):
        base = summarize(world.log, as_of=day)
        worth = appraise(base, _MODEL)
        clock = clock if told else clock.fit(base)
        stages = (base, worth, anticipate(base, clock=clock), MarginBands().assign(base, worth))
        then = world.until(day)
        known = {
            "consents": then.consents,
            "complaints": tuple(rng.choice(ids, size=max(len(ids) // 40, 1), replace=False).tolist()),
            "do_not_contact": tuple(ids[::23]),
            "causes": MappingProxyType({ids[5]: "deceased", ids[31]: "moved away"}),
            "attributes": MappingProxyType(
                {"time_zone": MappingProxyType(zone), "contact_limit": MappingProxyType(limit)}
            ),
        }
        told.append(
            _Evening(
                stages=stages,
                known=MappingProxyType(known),
                touches=then.touches.before(day),
                strategies=built_in_strategies(),
            )
        )
    return tuple(told)


# What is looked at


def _refused(
    policies: Sequence[ContactPolicy], proposals: Proposals, situation: Situation
) -> tuple[BoolColumn, tuple[str, ...]]:
    """Which proposals these policies refuse, and what they did instead of answering."""
    passed, _, notes = gate(policies, proposals, situation)
    return ~passed.allowed, notes


def _answer(policy: ContactPolicy, proposals: Proposals, situation: Situation) -> tuple[bytes, ...]:
    """All of a policy's answer, to the byte."""
    passed, vetoes, _ = gate([policy], proposals, situation)
    times = (passed.not_before.astype("int64"), passed.not_after.astype("int64"))
    return (
        passed.allowed.tobytes(),
        *(t.tobytes() for t in times),
        "\0".join(vetoes.reason.tolist()).encode("utf-8", "replace"),
    )


def _contacted_anyway(plan: Plan, proposals: Proposals, refused: BoolColumn) -> int:
    """Contacts of the plan that the policy had refused."""
    names = proposals.of_actions("name")
    no = set(zip(proposals.customer_id[refused].tolist(), names[refused].tolist(), strict=True))
    yes = set(zip(proposals.customer_id[~refused].tolist(), names[~refused].tolist(), strict=True))
    made = plan.decision == "contact"
    done = set(zip(plan.customer_id[made].tolist(), plan.action[made].tolist(), strict=True))
    return len(done & (no - yes))


def _gave_way(policy: ContactPolicy, proposals: Proposals, situation: Situation, refused: BoolColumn) -> int:
    """Refusals that are gone when everyone has been contacted once more, yesterday."""
    n, yesterday = len(situation), situation.as_of - dt.timedelta(days=1)
    gone = 0
    for channel, kind in (("phone", "give"), ("email", "ask")):
        more = Touches.from_arrays(
            customer_id=situation.customer_id, at=[yesterday] * n, channel=[channel] * n, kind=[kind] * n
        )
        later, _ = _refused([policy], proposals, evolve(situation, touches=situation.touches.joined(more)))
        gone += int((refused & ~later).sum())
    return gone


def _alone(policy: ContactPolicy, town: Sequence[_Evening], judged: Sequence[ContactPolicy]) -> tuple[str, int, int]:
    """The cap that a policy states, how often it is broken with nobody else on duty, and how often ``judged`` are."""
    most, days = getattr(policy, "max_contacts", None), getattr(policy, "days", None)
    stated = isinstance(most, int) and isinstance(days, int) and most >= 0 and days > 0
    if not (judged or stated):
        return "", 0, 0
    wrong, sent = 0, Touches.none()
    for evening in town:
        plan, situation = evening.plan([policy], None, holdout=0.0, touches=sent)
        best = plan.contacts
        wrong += sum(_broken(plan, situation, judged).values())
        fresh = Touches.from_arrays(
            customer_id=best.customer_id, at=[situation.as_of] * len(best), channel=best.channel, kind=best.kind
        )
        sent = sent.joined(fresh)
    if not stated or most is None or days is None:
        return "", 0, wrong
    about = "".join(
        f" ({' or '.join(words)})" for words in (_words(policy, "channel"), _words(policy, "action_kind")) if words
    )
    return (
        f"at most {most:,} contact{'s' * (most != 1)}{about} in any {days:,} days",
        _over(policy, sent, most, days),
        wrong,
    )


def _words(policy: ContactPolicy, filter_: str) -> tuple[str, ...]:
    """What a cap is about: one text, several, or all."""
    given = getattr(policy, filter_, None)
    listed = (given,) if isinstance(given, str) else tuple(given or ())
    return tuple(sorted(str(one).strip().casefold() for one in listed))


def _over(policy: ContactPolicy, sent: Touches, most: int, days: int) -> int:
    """Contacts of these nights that were one too many in the ``days`` days that ended with them."""
    counts = np.ones(len(sent), dtype=bool)
    for filter_, column in (("channel", sent.channel), ("action_kind", sent.kind)):
        if words := _words(policy, filter_):
            counts &= np.isin(np.strings.lower(column), words)
    by_customer: dict[str, list[dt.date]] = {}
    for who, at in zip(sent.customer_id[counts].tolist(), sent.at[counts].tolist(), strict=True):
        by_customer.setdefault(who, []).append(at)
    return sum(
        sum(day - dt.timedelta(days=days) < other <= day for other in hers) > most
        for hers in by_customer.values()
        for day in hers
    )


def _broken(plan: Plan, situation: Situation, judged: Sequence[ContactPolicy]) -> dict[str, int]:
    """How many contacts of a plan break the rule of each policy."""
    found = (re.fullmatch(r"(.*): (\d+) contacts break it", line) for line in check_policies(plan, situation, judged))
    return {one[1]: int(one[2]) for one in found if one is not None}


def _pace(policy: ContactPolicy, evening: _Evening) -> str:
    """How long the policy takes for 100,000 proposals, beside all built-in ones: in tenfolds, for clocks differ.

    It is the time that passes, as a night has it: what waits for a disk or a lock, or works in other processes, takes
    time too.
    """
    _, situation = evening.plan([], None, holdout=0.0)
    some = evening.proposals(situation)
    if not len(some):
        return UNKNOWN_PACE
    for size in (1_000, 10_000, MANY):
        crowd = some.take(np.resize(np.arange(len(some)), size))
        took = _seconds([policy], crowd, situation)
        if took > ENOUGH_SECONDS:
            break
    ratio = took / max(_seconds(built_in_policies(), crowd, situation), 1e-6)
    if ratio < 3:
        return (
            "no longer than the built-in policies together"
            if ratio < 0.7
            else "as long as the built-in policies together"
        )
    return f"some {10 ** max(round(np.log10(ratio)), 1):,} times as long as the built-in policies together"


def _seconds(policies: Sequence[ContactPolicy], proposals: Proposals, situation: Situation) -> float:
    took: list[float] = []
    while len(took) < 2 and sum(took) < ENOUGH_SECONDS:
        begin = time.perf_counter()
        gate(policies, proposals, situation)
        took.append(time.perf_counter() - begin)
    return min(took)
