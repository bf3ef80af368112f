"""The report card: what a contact policy would do, what it would have earned, and whether it may go live."""

import html
import math
import textwrap
from collections.abc import Mapping
from typing import Any, Literal, get_args

import attrs
from attrs import frozen

from retention.errors import ConfigError, RetentionError
from retention.frames.drawing import axes
from retention.journal import Journal
from retention.plan import ContactPolicy
from retention.plugins import KINDS
from retention.proof._trial import LEAST_BUYERS
from retention.proof.estimate import Estimate, Estimator
from retention.proof.logged import evaluate_contact_policy, logged_decisions
from retention.records import TransactionLog
from retention.testing.laws import Report, is_factory, kind_of, kit, report, run
from retention.testing.past_nights import Known, actions_of, ask_about
from retention.testing.simulated_nights import SimulatedNights, simulate_nights

__all__ = ["Earnings", "ReportCard", "Section", "judge", "report_card"]

Verdict = Literal["reject", "trial only", "ready", "laws hold"]

HARM = 0.01
"""The share of what was earned that a policy may cost and still be called harmless."""

LEAST_TOLD = 0.5
"""Of the customers whom a policy refuses, the share of whom the log must be able to tell something."""

NO_JOURNAL = "without a journal and receipts nobody knows what it would have earned"


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
            f"it would have earned less than was earned: {_span(-high, -low)} a decision ({level:.0%} confidence)",
        )
    if low >= -harm:
        if low > 0:
            return "ready", f"it would have earned more: {_span(low, high)} a decision ({level:.0%} confidence)"
        if low == high == 0:
            return "ready", "it refuses nothing of what chance decided, so nothing changes"
        return (
            "ready",
            f"it costs at most {_money(-low)} a decision ({level:.0%} confidence), and {_money(harm)} may be",
        )
    return (
        "trial only",
        f"it may cost {_money(-low)} a decision or bring {_money(high)} ({level:.0%} confidence): nobody knows",
    )


@frozen(eq=False, kw_only=True)
class Earnings:
    """What the policy would have earned on the nights of a journal, by estimator; ``estimates["dr"]`` is judged.

    ``decisions`` are those that chance made, ``refused`` those of them that it would not have let through. Of all that
    was decided it refuses some for ``refused_people``, and for ``told_people`` of them the log can tell something.
    ``harm`` is the money a decision that it may cost. ``refusal`` says why no number is told, and what would be needed.
    """

    estimates: Mapping[str, Estimate]
    nights: int
    decisions: int
    refused: int
    refused_people: int
    told_people: int
    window_days: int
    harm: float
    refusal: str = ""
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@frozen(kw_only=True)
class Section:
    """One part of a report card: a title, how it came out, and rows of what was seen; ``remarks`` are sentences."""

    title: str
    grade: str
    rows: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


@frozen(eq=False, repr=False, kw_only=True)
class ReportCard:
    """What was found of one contribution, and the verdict; ``str()`` gives it for the terminal.

    ``nights`` and ``earnings`` are of contact policies alone, ``earnings`` None without a journal.

    Example:
        >>> from retention.plan.policies import DoNotContact
        >>> card = report_card(DoNotContact(), nights=2)
        >>> [part.title for part in card.sections]
        ['Laws', 'Simulated nights', 'What it would have earned']
    """

    name: str
    kind: str
    verdict: Verdict
    reason: str
    laws: Report
    nights: SimulatedNights | None = None
    earnings: Earnings | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that speaks against it, a line each."""
        return _faults(self.laws, self.nights, self.earnings)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is what it is: the reason, then each fault."""
        return (self.reason, *self.faults)

    @property
    def sections(self) -> tuple[Section, ...]:
        """The parts of the card."""
        parts = [_about_laws(self.laws)]
        if self.nights is not None:
            parts += [_about_nights(self.nights), _about_earnings(self.earnings)]
        return tuple(parts)

    def plot(self, ax: Any = None) -> Any:
        """The difference to what was earned by each estimator, with its interval, beside what it may cost.

        Raises RetentionError for a card without such numbers.
        """
        earned = self.earnings
        told = {} if earned is None else {name: one.over_logged for name, one in earned.estimates.items()}
        if earned is None or not all(math.isfinite(gain.value) for gain in told.values()) or not told:
            raise RetentionError(
                "a report card that does not tell what would have been earned has no picture",
                rule="differences with their intervals are drawn",
                remedy="pass a journal and the receipts of enough decisions; print(card) says what is lacking",
            )
        ax = axes(ax, size=(7.0, 2.0))
        ax.axvspan(-earned.harm, 0.0, color="0.85", label="may cost")
        ax.axvline(0.0, color="0.5", lw=1)
        for place, gain in enumerate(told.values()):
            ax.hlines([-place], gain.low, gain.high, color="#1f5a7a", lw=2 if place == 0 else 1)
            ax.plot([gain.value], [-place], "o", color="#1f5a7a")
        ax.set_yticks([-place for place in range(len(told))], [_NAMES[name] for name in told])
        ax.set_ylim(-len(told) + 0.5, 0.5)
        ax.set_xlabel(f"earned per decision with {self.name}, less what was earned")
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
        ax.spines[["top", "right", "left"]].set_visible(False)
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        earned = self.earnings
        return {
            "name": self.name,
            "kind": self.kind,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "laws": self.laws.to_dict()["findings"],
            "nights": None
            if self.nights is None
            else _lists(attrs.asdict(self.nights)) | {"remarks": [*self.nights.remarks]},
            "earnings": None
            if earned is None
            else _lists({a.name: getattr(earned, a.name) for a in attrs.fields(Earnings)})
            | {"estimates": {name: one.to_dict() for name, one in earned.estimates.items()}},
        }

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.kind}): {self.verdict.upper()}", *_wrapped(self.reason, 2)]
        for part in self.sections:
            lines += ["", f"{part.title}: {part.grade}"]
            wide = max((len(label) for label, _ in part.rows), default=0)
            lines += [f"  {label:<{wide}}  {text}" for label, text in part.rows]
            for remark in part.remarks:
                lines += _wrapped(remark, 4, "  - ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<ReportCard of {self.name}: {self.verdict}>"

    def _repr_html_(self) -> str:
        colour = _COLOURS[self.verdict]
        head = (
            f'<p style="margin:0 0 .3em"><b>{html.escape(self.name)}</b> ({html.escape(self.kind)}) '
            f'<span style="background:{colour};color:#fff;border-radius:.3em;padding:.1em .5em;white-space:nowrap">'
            f"{html.escape(self.verdict)}</span><br>{html.escape(self.reason)}</p>"
        )
        return f'<div style="max-width:46em">{head}{"".join(_part_html(part) for part in self.sections)}</div>'


_COLOURS = {"reject": "#a3262a", "trial only": "#8a5a00", "ready": "#2b6a3d", "laws hold": "#2b6a3d"}


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
        faults=len(_faults(laws, seen, earned)),
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


def _faults(laws: Report, nights: SimulatedNights | None, earned: Earnings | None) -> tuple[str, ...]:
    said = [f"{law}: {seen}" for law, seen in laws.broken.items()]
    said += nights.faults if nights is not None else ()
    said += [f"on a night of the journal: {fault}" for fault in earned.failures] if earned is not None else []
    return tuple(said)


# How it reads


def _about_laws(laws: Report) -> Section:
    broken, asked = laws.broken, sum(finding.status != "not asked" for finding in laws.findings)
    grade = f"{len(broken):,} of {asked:,} broken" if broken else f"all of {asked:,} kept"
    return Section(title="Laws", grade=grade, rows=tuple((law, _short(seen)) for law, seen in broken.items()))


def _about_nights(seen: SimulatedNights) -> Section:
    faults, share = seen.faults, seen.refused / seen.reviewed if seen.reviewed else 0.0
    rows = [
        ("shop", f"{seen.customers:,} customers, {seen.nights:,} nights, no limit of money or hours"),
        ("put before it", f"{seen.reviewed:,} proposals"),
        ("let through", f"{seen.let_through:,}"),
        ("refused", f"{seen.refused:,} ({share:.0%}), of them {seen.refused_beyond:,} that no built-in policy refuses"),
        ("contacts planned", f"{seen.contacts:,}"),
        ("asked again", "the same answer" if not seen.restless else f"another answer on {seen.restless:,} nights"),
        (
            "one more contact",
            f"{seen.gave_way:,} refusals were gone"
            + ("" if seen.monotone else " (it does not say that it is monotone)")
            if seen.gave_way
            else "no refusal was gone",
        ),
        *([("its promise", f"{seen.promise}, also on duty alone")] if seen.promise else []),
        ("time it takes", seen.pace),
    ]
    grade = f"{len(faults):,} fault{'s' * (len(faults) != 1)}" if faults else "clean"
    return Section(title="Simulated nights", grade=grade, rows=tuple(rows), remarks=(*faults, *seen.remarks))


def _about_earnings(earned: Earnings | None) -> Section:
    title = "What it would have earned"
    if earned is None:
        return Section(title=title, grade="not asked", remarks=(NO_JOURNAL,))
    share = earned.refused / earned.decisions if earned.decisions else 0.0
    rows = [
        ("journal", f"{_several(earned.nights, 'night')}, margin of {earned.window_days:,} days after each"),
        ("made by chance", f"{_several(earned.decisions, 'decision')}; it refuses {earned.refused:,} ({share:.0%})"),
        ("of all decisions", f"it refuses some for {_several(earned.refused_people, 'customer')}; "
         f"chance tells of {earned.told_people:,} of them"),
    ]  # fmt: skip
    best = earned.estimates.get("dr")
    if best is not None:
        rows += [
            ("overlap", f"{best.overlap.matched:,} decisions match, {best.overlap.buyers:,} of them with a purchase"),
            ("where it refuses", f"buyers worth {best.over_logged.buyers:,.0f}; {LEAST_BUYERS:,} are needed"),
            ("earned", f"{_money(best.earned)} a decision"),
        ]
        for name, one in earned.estimates.items():
            if math.isfinite(one.value):
                rows.append((f"with it, {_NAMES[name]}", _told(one.value, one.low, one.high)))
        gain = best.over_logged
        if math.isfinite(gain.value) and not earned.refusal:
            rows += [
                ("difference", _told(gain.value, gain.low, gain.high, sign=True)),
                ("may cost", f"{_money(earned.harm)} a decision and still be ready"),
            ]
    said = [earned.refusal] if earned.refusal else []
    said += ["it refuses every one of these decisions"] if earned.decisions and share == 1 else []
    return Section(
        title=title,
        grade="not told" if earned.refusal else f"{best.level:.0%} intervals" if best is not None else "",
        rows=tuple(rows),
        remarks=tuple(dict.fromkeys((*said, *earned.failures, *earned.notes))),
    )


_NAMES = {"dr": "doubly robust", "snips": "self-normalised", "ips": "plainly weighted"}


def _told(value: float, low: float, high: float, *, sign: bool = False) -> str:
    return f"{_money(value, sign=sign)} ({_money(low, sign=sign)} to {_money(high, sign=sign)})"


def _span(low: float, high: float) -> str:
    return f"{_money(low)} to {_money(high)}"


def _several(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _money(amount: float, *, sign: bool = False) -> str:
    size = abs(amount)
    digits = 2 if size >= 1 or not size else min(1 - math.floor(math.log10(size)), 6)
    return f"{amount:{'+' if sign else ''},.{digits}f}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"


def _wrapped(text: str, indent: int, first: str | None = None) -> list[str]:
    lead = " " * indent
    return textwrap.wrap(text, 100, initial_indent=lead if first is None else first, subsequent_indent=lead)


def _part_html(part: Section) -> str:
    rows = "".join(
        f'<tr><td style="text-align:left;vertical-align:top;color:#555;min-width:11em">{html.escape(label)}</td>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for label, text in part.rows
    )
    remarks = "".join(f"<li>{html.escape(remark)}</li>" for remark in part.remarks)
    return (
        f'<p style="margin:.8em 0 .2em"><b>{html.escape(part.title)}</b>: {html.escape(part.grade)}</p>'
        + (f"<table>{rows}</table>" if rows else "")
        + (f"<ul>{remarks}</ul>" if remarks else "")
    )


def _lists(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
