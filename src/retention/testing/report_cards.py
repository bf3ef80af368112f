"""The report card of a contact policy: its laws, simulated nights, what it would have earned, and the verdict."""

import math
from collections.abc import Mapping
from typing import Any, get_args

from retention.errors import ConfigError
from retention.journal import Journal
from retention.plan import ContactPolicy
from retention.plugins import KINDS
from retention.proof._trial import LEAST_BUYERS
from retention.proof.estimate import Estimator
from retention.proof.logged import evaluate_contact_policy, logged_decisions
from retention.records import TransactionLog
from retention.testing.card import NO_JOURNAL, Earnings, ReportCard, Verdict, faults_of, money, span
from retention.testing.laws import Report, is_factory, kind_of, kit, report, run
from retention.testing.past_nights import Known, actions_of, ask_about
from retention.testing.simulated_nights import simulate_nights

__all__ = ["judge", "report_card"]

HARM = 0.01
"""The share of what was earned that a policy may cost and still be called harmless."""

LEAST_TOLD = 0.5
"""Of the customers whom a policy refuses, the share of whom the log must be able to tell something."""


def judge(
    *,
    faults: int,
    refusal: str = "",
    difference: tuple[float, float] | None = None,
    harm: float = 0.0,
    level: float = 0.95,
) -> tuple[Verdict, str]:
    """The verdict on a contact policy and its reason, from all that was found.

    In this order:

    1. *reject* if it has a fault: a law is broken, or something went wrong in the simulated nights or on one of the
       journal.
    2. *trial only* if nobody knows what it would have earned: ``refusal`` says why (no journal, too thin an overlap; a
       policy that refuses none of the decisions needs enough of them, too).
    3. *reject* if the interval of ``difference`` (what it would have earned less what was earned) lies below zero.
    4. *ready* if that interval begins at ``-harm`` or above: it may cost that much and, as far as is known, no more.
    5. *trial only* otherwise: it may be good or bad, and the log does not tell.

    Example:
        >>> judge(faults=0, difference=(-0.02, 0.3), harm=0.05)
        ('ready', 'it costs at most 0.020 a decision (95% confidence), and 0.050 may be')
        >>> judge(faults=2)[0], judge(faults=0, refusal="no journal")[0], judge(faults=0, difference=(-3, 1))[0]
        ('reject', 'trial only', 'trial only')
    """
    if faults:
        return "reject", f"it has {faults:,} fault{'s' * (faults != 1)}, and a policy with one does not go live"
    if refusal or difference is None:
        return "trial only", refusal or NO_JOURNAL
    low, high = difference
    if high < 0:
        return (
            "reject",
            f"it would have earned less than was earned: {span(-high, -low)} a decision ({level:.0%} confidence)",
        )
    if low >= -harm:
        if low > 0:
            return "ready", f"it would have earned more: {span(low, high)} a decision ({level:.0%} confidence)"
        if low == high == 0:
            return "ready", "it refuses nothing of what chance decided, so nothing changes"
        return (
            "ready",
            f"it costs at most {money(-low)} a decision ({level:.0%} confidence), and {money(harm)} may be",
        )
    return (
        "trial only",
        f"it may cost {money(-low)} a decision or bring {money(high)} ({level:.0%} confidence): nobody knows",
    )


def report_card(
    policy: Any,
    *,
    journal: Journal | None = None,
    log: TransactionLog | None = None,
    kind: str | None = None,
    nights: int = 30,
    seed: int = 0,
    interval: float = 0.95,
    window_days: int = 28,
    harm: float = HARM,
    known: Known | None = None,
    options: Mapping[str, Any] | None = None,
) -> ReportCard:
    """Grade a contact policy before it may go live; of any other contribution tell whether its laws hold.

    Args:
        policy: the policy; or a model, rule, strategy, ... of a kind that plugins give; or, with ``kind="plugin"``, a
            plugin as a whole.
        journal: nights with the chances that were drawn; with ``log``: grade it on what it would have earned, too.
        log: the receipts of that shop.
        kind: what it is; None finds out by its methods.
        nights: how many nights it is on duty in a simulated shop.
        seed: of that shop.
        interval: probability of the interval.
        window_days: how long margin counts after a decision.
        harm: the share of what was earned that the policy may cost and still be ready.
        known: what else is known of its customers and actions, for policies that go by it.
        options: what all contributions of a plugin are made with.

    What it would have earned is judged decision by decision: money that a veto frees is not spent on others, and what
    was never proposed is not in it. :func:`judge` has the logic of the verdict.

    Raises:
        ConfigError: a journal without receipts or the other way round, an argument out of range, an object that is of
            no kind.

    Example:
        >>> from retention.plan.policies import MinimumGap
        >>> report_card(MinimumGap(days=14), nights=2)
        <ReportCard of minimum-gap: trial only>
    """
    found = kind_of(policy) if kind is None else kind
    _check(journal, log, nights=nights, harm=harm, interval=interval)
    if found == "plugin":
        return _about_laws_alone(policy, "plugin", _plugin_laws(policy, options))
    laws = report(policy, found)
    policy = policy() if is_factory(policy) else policy
    what, name = KINDS[found].what, _name(policy)
    if found != "contact_policy":
        return _about_laws_alone(policy, what, laws)
    seen = earned = None
    if "has_a_name" not in laws.broken:  # nobody can be on duty without one
        told = Known() if known is None else known
        done = () if journal is None else actions_of(journal, told.actions)
        seen = simulate_nights(policy, nights=nights, seed=seed, attributes=told.attributes, actions=done)
        if journal is not None and log is not None:
            earned = _earnings(policy, journal, log, told, interval=interval, window_days=window_days, harm=harm)
    difference = None
    if earned is not None and not earned.refusal:
        gain = earned.estimates["dr"].over_logged
        difference = (gain.low, gain.high) if earned.refused else (0.0, 0.0)
    verdict, reason = judge(
        faults=len(faults_of(laws, seen, earned)),
        refusal=NO_JOURNAL if earned is None else earned.refusal,
        difference=difference,
        harm=0.0 if earned is None else earned.harm,
        level=interval,
    )
    return ReportCard(name=name, kind=what, verdict=verdict, reason=reason, laws=laws, nights=seen, earnings=earned)


def _about_laws_alone(thing: Any, what: str, laws: Report) -> ReportCard:
    broken = len(laws.broken)
    verdict: Verdict = "reject" if broken else "laws hold"
    reason = f"it breaks {broken:,} of {len(laws):,} laws" if broken else "its laws are all that it is asked for"
    return ReportCard(name=_name(thing), kind=what, verdict=verdict, reason=reason, laws=laws)


def _name(thing: Any) -> str:
    """What a thing is called."""
    return str(getattr(thing, "name", None) or getattr(thing, "__name__", None) or type(thing).__name__)


def _plugin_laws(plugin: Any, options: Mapping[str, Any] | None) -> Report:
    """The laws of the plugin as a whole; those of what it contributes have cards of their own."""
    laws = kit("plugin")
    subject = laws.subject(plugin)
    told = {one.name: dict(options or {}) for _, one in subject.contributions()} if options else {}
    return run(laws.laws, laws.subject(plugin, options=told), who=_name(plugin))


def _check(journal: Journal | None, log: TransactionLog | None, *, nights: int, harm: float, interval: float) -> None:
    if (journal is None) != (log is None):
        given, lacks = ("receipts", "journal") if journal is None else ("a journal", "log")
        raise ConfigError(
            f"a report card with {given} and no {lacks}",
            rule="what a policy would have earned is told by both: who was contacted by chance, and what she bought",
            remedy=f"pass {lacks}= too, or neither",
        )
    for name, value, good, rule in (
        ("nights", nights, isinstance(nights, int) and 1 <= nights <= 365, "a whole number from 1 to 365"),
        ("interval", interval, isinstance(interval, int | float) and 0.5 <= interval < 1, "from 0.5 to below 1"),
        ("harm", harm, isinstance(harm, int | float) and 0 <= harm <= 1, "a share from 0 to 1"),
    ):
        if not good:
            raise ConfigError(f"{name}={value!r}", rule=f"{name} is {rule}", remedy=f"leave {name} out, or mend it")


def _earnings(
    policy: ContactPolicy,
    journal: Journal,
    log: TransactionLog,
    known: Known,
    *,
    interval: float,
    window_days: int,
    harm: float,
) -> Earnings:
    logged = logged_decisions(journal, log, window_days=window_days, actions=known.actions)
    answers = ask_about(policy, logged, journal, log, known=known)
    rows, allowed = logged.take(answers.asked), answers.allowed[answers.asked]
    told: dict[str, Any] = {
        "nights": answers.nights,
        "decisions": len(rows),
        "refused": int((~allowed).sum()),
        "refused_people": answers.refused_people,
        "told_people": answers.told_people,
        "window_days": window_days,
        "failures": answers.failures,
    }
    if len(rows) < 2:
        nothing = (
            f"the journal has no decisions yet that chance made and whose {window_days:,} days are over: "
            "plan with a hold-out, and wait"
        )
        return Earnings(estimates={}, harm=0.0, refusal=nothing, notes=(*logged.left_out, *answers.notes), **told)
    estimates = {
        name: evaluate_contact_policy(allowed, rows, estimator=name, interval=interval) for name in get_args(Estimator)
    }
    found = estimates["dr"]
    if answers.told_people < LEAST_TOLD * answers.refused_people:
        refusal = (
            f"it refuses contacts with {answers.refused_people:,} customers, of whom {answers.told_people:,} had one "
            "that chance decided: of the others nobody knows what the contact added"
        )
    elif found.over_logged.verdict != "estimated":
        refusal = _needed("where it refuses", found.over_logged.buyers, found.n)
    else:
        # What refuses nothing of these changes nothing of these; of too few that tells nothing of those to come.
        refusal = "" if found.verdict == "estimated" else _needed("all in all", found.overlap.effective_buyers, found.n)
    return Earnings(
        estimates=estimates,
        harm=harm * abs(found.earned),
        refusal=refusal,
        notes=(*answers.notes, *found.notes),
        **told,
    )


def _needed(where: str, buyers: float, decisions: int) -> str:
    """Why the difference is not told, and what would tell it."""
    told = f"overlap is thin: {where} there are buyers worth {buyers:,.0f}, and {LEAST_BUYERS:,} are needed"
    if buyers < 1 or buyers >= LEAST_BUYERS:
        return f"{told}; plan with a hold-out for some more nights"
    more = math.ceil(decisions * (LEAST_BUYERS / buyers - 1))
    return f"{told}: that takes some {more:,} more decisions like these, or a larger hold-out"
