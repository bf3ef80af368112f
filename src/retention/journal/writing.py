"""What each kind of event says; all inside the caller's transaction."""

import datetime as dt
import json
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from retention.domain import Outcome, Touch
from retention.errors import JournalError
from retention.frames.table import Table
from retention.journal.complaints import Complaints
from retention.journal.events import Event, append, day_of, event_of, key_of, known_people, on_file, people_of
from retention.journal.store import Store
from retention.journal.tables import rows_of
from retention.records.permissions import Consents
from retention.records.touches import Touches

if TYPE_CHECKING:
    from retention.plan.plan import Plan

__all__ = [
    "night_on_file",
    "write_night",
    "write_touches",
    "write_outcomes",
    "write_consents",
    "write_complaints",
    "write_correction",
    "write_cancellations",
    "write_announced",
]

_T = TypeVar("_T", bound=Table)
_DAYS_TO_CARRY_OUT = 28


def night_on_file(store: Store, plan: "Plan") -> bool:
    """Whether this very plan is on file; an error if its day was decided otherwise, or a later one is on file."""
    day = plan.as_of.isoformat()
    known = store.rows("SELECT detail FROM events WHERE key = :key", {"key": key_of("night", day)})
    if known:
        if json.loads(known[0][0])["fingerprint"] == plan.fingerprint():
            return True
        raise JournalError(
            f"another plan for {day}",
            rule="a night is decided once; the one on file may have gone out",
            remedy="plan a later day, or keep rehearsals in a journal of their own",
        )
    last = store.rows("SELECT max(at) FROM events WHERE kind = 'night'")[0][0]
    if plan.follows and plan.follows != (last or "none"):
        raise JournalError(
            f"a plan for {day} made after the night of {plan.follows}, and the last night on file is {last}",
            rule="a plan knows all contacts before it, or caps and gaps are not kept",
            remedy="run the night again: it plans anew with what is on file now",
        )
    if last is not None and last > day:
        raise JournalError(
            f"a plan for {day}, and the last night on file is {last}",
            rule="nights are recorded in their order",
            remedy="plan a day after the last night, or replay from the start in a new journal",
        )
    return False


def write_night(store: Store, plan: "Plan") -> int:
    """A plan's night, decisions and vetoes; how many events are new."""
    day = plan.as_of.isoformat()
    contact, held = plan.decision == "contact", plan.decision == "hold-out"
    chosen, vetoes = plan.take(contact | held | plan.explored), plan.vetoes
    people = people_of(store, [*chosen.customer_id.tolist(), *vetoes.customer_id.tolist()])
    night = event_of(
        ("night", day),
        at=day,
        money=float(plan.spent_money),
        hours=float(plan.spent_hours),
        detail={
            "fingerprint": plan.fingerprint(),
            "version": plan.provenance.version or "",
            "seed": int(plan.seed),
            "holdout_share": float(plan.holdout_share),
            "explore": float(plan.explore),
            "salt": plan.salt,
            "customers": len(plan),
            "contacts": int(contact.sum()),
            "held_out": int(held.sum()),
            "vetoes": len(vetoes),
        },
    )
    purposes = {action.name: action.purpose for action in plan.actions}
    # By number, not in the plan's order: a row's neighbours must not give away one who is forgotten.
    decisions = (
        event_of(
            ("decision", day, people[row["customer_id"]]),
            at=day,
            person=people[row["customer_id"]],
            action=row["action"],
            channel=_folded(row["channel"]),
            arm="" if row["decision"] == "none" else row["decision"],
            direction="out",
            until=(max(plan.as_of, row["opens"] or plan.as_of) + dt.timedelta(days=_DAYS_TO_CARRY_OUT)).isoformat(),
            probability=row["probability"],
            money=row["money"],
            hours=row["hours"],
            detail={
                name: row[name] for name in ("kind", "strategy", "gain", "assumed", "segment", "evidence", "explored")
            }
            | {name: _instant(row[name]) for name in ("not_before", "not_after")}
            | {"due": _due(row), "consent": row.get("consent") or "", "purpose": purposes.get(row["action"], "")},
            reason=row["reason"],
        )
        for row in rows_of(_by_number(chosen, people))
    )
    refused = (
        event_of(
            ("veto", day, number),
            at=day,
            person=people[row["customer_id"]],
            action=row["action"],
            channel=row["channel"],
            detail={"policy": row["policy"]},
            reason=row["reason"],
        )
        for number, row in enumerate(rows_of(_by_number(vetoes, people)))
    )
    return append(store, chain([night], decisions, refused))


def _by_number(table: _T, people: dict[str, int]) -> _T:
    numbers = np.asarray([people[who] for who in table["customer_id"].tolist()], dtype=np.int64)
    return table.take(np.argsort(numbers, kind="stable"))


def _due(row: dict[str, Any]) -> str:
    """The first day on which the contact may be made."""
    opens = row["opens"]
    if row["not_before"] is not None and opens is not None:
        opens = max(opens, row["not_before"].date())
    return "" if opens is None else str(opens.isoformat())


def _instant(at: dt.datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="minutes")


def write_touches(
    store: Store, touches: Touches, results: Sequence[str | None] | None, result_at: Sequence[Any] | None
) -> int:
    """Contacts, and what came of them where that is known; how many events are new."""
    _every_day_known("a touch", touches.at)
    count = len(touches)
    came = [""] * count if results is None else [word or "" for word in results]
    when = [None] * count if result_at is None else np.asarray(result_at, dtype="datetime64[D]").tolist()
    if not count == len(came) == len(when):
        raise JournalError(
            f"{count} touches, {len(came)} results on {len(when)} days",
            rule="a touch has one result and one day of it, or none",
            remedy="pass equal lengths, with None where nothing came",
        )
    people = people_of(store, touches.customer_id.tolist())
    events = []
    for row, result, day in zip(rows_of(touches), came, when, strict=True):
        person = people[row["customer_id"]]
        touch = _touch(person, row["at"], row["channel"], row["kind"], row["direction"])
        events.append(touch)
        if result:
            events.append(
                event_of(
                    ("result", touch["key"], result),
                    at=day_of(day or row["at"]),
                    person=person,
                    refers=touch["key"],
                    detail={"result": result},
                )
            )
    return append(store, events)


def write_outcomes(store: Store, outcomes: Sequence[Outcome]) -> int:
    """What came back; how many events are new."""
    people = people_of(store, [one.customer_id for one in outcomes])
    return append(store, [_outcome(one, people[one.customer_id]) for one in outcomes])


def write_consents(store: Store, consents: Consents) -> int:
    """Permissions and withdrawals; how many events are new."""
    people = people_of(store, consents.customer_id.tolist())
    events = []
    for row in rows_of(consents):
        person, at = people[row["customer_id"]], row["at"].isoformat() if row["at"] else ""
        events.append(
            event_of(
                ("consent", person, row["channel"], row["purpose"], row["granted"], at),
                at=at,
                person=person,
                channel=row["channel"],
                detail={"purpose": row["purpose"], "granted": row["granted"]},
            )
        )
    return append(store, events)


def write_complaints(store: Store, complaints: Complaints) -> int:
    """Complaints opened and closed; how many events are new."""
    _every_day_known("a complaint", complaints.at)
    people = people_of(store, complaints.customer_id.tolist())
    events = []
    for row in rows_of(complaints):
        person, at = people[row["customer_id"]], row["at"].isoformat()
        events.append(
            event_of(("complaint", person, at, row["opened"]), at=at, person=person, detail={"opened": row["opened"]})
        )
    return append(store, events)


def write_correction(store: Store, wrong: Touch | Outcome, right: Touch | Outcome | None, reason: str) -> int:
    """Take an event back, and put another in its place if there is one; 0 events if that was done already."""
    what = "outcome" if isinstance(wrong, Outcome) else "touch"
    person = known_people(store, [wrong.customer_id]).get(wrong.customer_id)
    known = [] if person is None else _written(store, wrong, person)
    if person is None or not known:
        raise JournalError(
            f"no such {what} is on file",
            rule="a correction names what was recorded, field by field",
            remedy="look at touches_before(...) or outcomes() for how it was written",
        )
    key, stands = known[-1]
    number = None if right is None else people_of(store, [right.customer_id])[right.customer_id]
    correction = event_of(
        ("correction", key, "" if right is None or number is None else _either(right, number)["key"]),
        at=day_of(wrong.at),
        person=person,
        refers=key,
        detail={"of": what, "replaced": right is not None},
        reason=reason,
    )
    if not stands:
        if on_file(store, [correction["key"]]):
            return 0
        raise JournalError(
            f"that {what} was corrected otherwise already",
            rule="an event is corrected once",
            remedy="correct what replaced it",
        )
    events = [correction]
    if right is not None and number is not None:
        before = _written(store, right, number)
        if not (before and before[-1][1]):
            events.append(_either(right, number, len(before)))
    return append(store, events)


def write_cancellations(store: Store, day: str, customer_ids: Sequence[str], reason: str, on: str) -> int:
    """Planned contacts that will not be carried out; how many are newly cancelled."""
    people = known_people(store, customer_ids)
    decisions = {person: key_of("decision", day, person) for person in people.values()}
    planned = on_file(store, list(decisions.values()), also="arm = 'contact'")
    if len(planned) < len(set(customer_ids)):
        raise JournalError(
            f"{len(set(customer_ids)) - len(planned)} of {len(set(customer_ids))} customers have no contact planned"
            f" on {day}",
            rule="what is cancelled was decided on that day",
            remedy="pass the day of the plan, and customers of its contact arm; nothing was cancelled",
        )
    return append(
        store,
        [
            event_of(("cancellation", day, person), at=on, person=person, refers=decision, detail={}, reason=reason)
            for person, decision in sorted(decisions.items())
        ],
    )


def write_announced(store: Store, day: str) -> int:
    """That whoever waits for a night's plan was told of it."""
    return append(store, [event_of(("announced", day), at=day, detail={})])


# Events


def _folded(channel: str) -> str:
    """A channel is the same in capitals, as in permissions: a touch by "Phone" carries out a planned "phone"."""
    return channel.strip().lower()


def _touch(person: int, at: dt.date, channel: str, kind: str, direction: str, generation: int = 0) -> Event:
    return event_of(
        _generation(("touch", person, day_of(at), _folded(channel), kind, direction), generation),
        at=day_of(at),
        person=person,
        channel=_folded(channel),
        direction=direction,
        detail={"kind": kind},
    )


def _outcome(one: Outcome, person: int, generation: int = 0) -> Event:
    at, action, amount = day_of(one.at), one.action or "", float(one.amount)
    return event_of(
        _generation(("outcome", person, at, one.kind, amount, action), generation),
        at=at,
        person=person,
        action=action,
        amount=amount,
        detail={"kind": one.kind},
    )


def _either(one: Touch | Outcome, person: int, generation: int = 0) -> Event:
    if isinstance(one, Outcome):
        return _outcome(one, person, generation)
    return _touch(person, one.at, one.channel, one.kind, one.direction, generation)


def _generation(parts: tuple[str | int | float, ...], generation: int) -> tuple[str | int | float, ...]:
    """What was taken back may be put back: then it is written again, under a key of its own."""
    return parts if generation == 0 else (*parts, generation)


def _written(store: Store, one: Touch | Outcome, person: int) -> list[tuple[str, bool]]:
    """The keys under which a touch or outcome is on file, and whether each stands; only the last can."""
    found: list[tuple[str, bool]] = []
    while on_file(store, [key := _either(one, person, len(found))["key"]]):
        void = store.rows("SELECT 1 FROM events WHERE kind = 'correction' AND refers = :key", {"key": key})
        found.append((key, not void))
    return found


def _every_day_known(what: str, days: Any) -> None:
    if np.isnat(days).any():
        raise JournalError(
            f"{what} without a day", rule=f"{what} has its day", remedy="leave such rows out, and count them"
        )
