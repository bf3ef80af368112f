"""How a report card reads: the verdict, what was found, part by part, for a terminal, a notebook and a machine."""

import html
import math
import textwrap
from collections.abc import Mapping
from typing import Any, Literal

import attrs
from attrs import frozen

from retention.errors import RetentionError
from retention.frames.drawing import axes
from retention.proof._trial import LEAST_BUYERS
from retention.proof.estimate import Estimate
from retention.testing.laws import Report
from retention.testing.simulated_nights import SimulatedNights

__all__ = ["NO_JOURNAL", "Earnings", "ReportCard", "Section", "Verdict", "faults_of", "money", "several", "span"]

Verdict = Literal["reject", "trial only", "ready", "laws hold"]

NO_JOURNAL = "without a journal and receipts nobody knows what it would have earned"

_COLOURS = {"reject": "#a3262a", "trial only": "#8a5a00", "ready": "#2b6a3d", "laws hold": "#2b6a3d"}


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
        >>> from retention.testing import report_card
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
        return faults_of(self.laws, self.nights, self.earnings)

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


def faults_of(laws: Report, nights: SimulatedNights | None, earned: Earnings | None) -> tuple[str, ...]:
    """Everything that speaks against a thing, a line each."""
    said = [f"{law}: {seen}" for law, seen in laws.broken.items()]
    said += nights.faults if nights is not None else ()
    said += [f"on a night of the journal: {fault}" for fault in earned.failures] if earned is not None else []
    return tuple(said)


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
        ("journal", f"{several(earned.nights, 'night')}, margin of {earned.window_days:,} days after each"),
        ("made by chance", f"{several(earned.decisions, 'decision')}; it refuses {earned.refused:,} ({share:.0%})"),
        ("of all decisions", f"it refuses some for {several(earned.refused_people, 'customer')}; "
         f"chance tells of {earned.told_people:,} of them"),
    ]  # fmt: skip
    best = earned.estimates.get("dr")
    if best is not None:
        rows += [
            ("overlap", f"{best.overlap.matched:,} decisions match, {best.overlap.buyers:,} of them with a purchase"),
            ("where it refuses", f"buyers worth {best.over_logged.buyers:,.0f}; {LEAST_BUYERS:,} are needed"),
            ("earned", f"{money(best.earned)} a decision"),
        ]
        for name, one in earned.estimates.items():
            if math.isfinite(one.value):
                rows.append((f"with it, {_NAMES[name]}", _told(one.value, one.low, one.high)))
        gain = best.over_logged
        if math.isfinite(gain.value) and not earned.refusal:
            rows += [
                ("difference", _told(gain.value, gain.low, gain.high, sign=True)),
                ("may cost", f"{money(earned.harm)} a decision and still be ready"),
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
    return f"{money(value, sign=sign)} ({money(low, sign=sign)} to {money(high, sign=sign)})"


def span(low: float, high: float) -> str:
    """From one amount to another."""
    return f"{money(low)} to {money(high)}"


def several(number: int, what: str) -> str:
    """A number of things."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def money(amount: float, *, sign: bool = False) -> str:
    """An amount with as many digits as it takes to see it."""
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
