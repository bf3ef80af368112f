"""What is read back: events as tables, without what was corrected and without the names of forgotten people."""

import datetime as dt
import json
from typing import Any

import numpy as np

from retention.journal.complaints import Complaints
from retention.journal.events import day_of
from retention.journal.store import Store
from retention.journal.tables import (
    Adherence,
    Contacts,
    Corrections,
    Decisions,
    Due,
    Nights,
    Outcomes,
    Results,
    Vetoes,
    table_of,
)
from retention.records.permissions import Consents
from retention.records.touches import Touches

__all__ = [
    "touches_before",
    "due",
    "consents_before",
    "complaints",
    "holdout",
    "last_night",
    "nights",
    "adherence",
    "decisions",
    "contacts",
    "vetoes",
    "outcomes",
    "results",
    "corrections",
]

# Of an event e: whether it was taken back; of a planned contact: whether it was called off, or a touch carries it out.
_STANDS = "NOT EXISTS (SELECT 1 FROM events AS c WHERE c.kind = 'correction' AND c.refers = {0}.key)"
# What was called off on or after the day that is asked about was not known then.
_OFF = "EXISTS (SELECT 1 FROM events AS o WHERE o.kind = 'cancellation' AND o.refers = e.key AND o.at < :day)"
_DOING = (
    "FROM events AS t WHERE t.person = e.person AND t.kind = 'touch' AND t.channel = e.channel"
    " AND t.direction = 'out' AND t.at >= e.at AND t.at <= e.until AND t.at < :day"
    f" AND {_STANDS.format('t')}"
)
_DONE = f"EXISTS (SELECT 1 {_DOING})"
_NOBODY = "coalesce(p.customer_id, '') AS who"
_EVENTS = "FROM events AS e LEFT JOIN people AS p ON p.person = e.person"
_ALWAYS = "9999-12-31"
# What decisions written by an older version of the package do not say.
_UNSAID = {"segment": "", "evidence": "assumption", "explored": False, "not_before": "", "not_after": ""}


def touches_before(store: Store, day: dt.date) -> Touches:
    """The contacts strictly before a day, planned ones included, oldest first; one that is still to come is undated."""
    rows = store.rows(
        "SELECT p.customer_id, e.at, e.channel, e.detail, e.direction"
        " FROM events AS e JOIN people AS p ON p.person = e.person"
        f" WHERE e.at < :day AND (e.kind = 'touch' AND {_STANDS.format('e')}"
        f" OR e.kind = 'decision' AND e.arm = 'contact' AND NOT {_DONE} AND NOT {_OFF})"
        " ORDER BY e.at, p.customer_id, e.seq",
        {"day": day_of(day)},
    )
    who, at, channel, detail, direction = zip(*rows, strict=True) if rows else ((),) * 5
    said = [json.loads(text) for text in detail]
    due = [one.get("due") or known for one, known in zip(said, at, strict=True)]
    return Touches.from_arrays(
        customer_id=who,
        at=[known if known < day_of(day) else "NaT" for known in due],
        channel=channel,
        kind=[one["kind"] for one in said],
        direction=direction,
    )


def due(store: Store, day: dt.date) -> Due:
    """The planned contacts that may be made on a day and were neither made nor called off, and what stands against."""
    rows = store.rows(
        f"SELECT {_NOBODY}, e.at, e.action, e.channel, e.detail {_EVENTS}"
        " WHERE e.kind = 'decision' AND e.arm = 'contact' AND e.at <= :day AND e.until >= :day"
        f" AND NOT {_DONE.replace(':day', ':after')} AND NOT {_OFF.replace(':day', ':after')}"
        " ORDER BY e.at, who, e.seq",
        {"day": day_of(day), "after": _ALWAYS},
    )
    listed = [
        {"customer_id": who, "as_of": at, "action": action, "channel": channel} | json.loads(detail)
        for who, at, action, channel, detail in rows
        if who
    ]
    listed = [one for one in listed if (one.get("due") or one["as_of"]) <= day_of(day)]
    consents, complaining = consents_before(store, day), complaints(store).open_on(day)
    said = set(zip(*(c.tolist() for c in (consents.customer_id, consents.channel, consents.purpose)), strict=True))
    may = {
        (channel, purpose): consents.granted_to(channel, on=day, purpose=purpose)
        for channel, purpose in {(one["channel"], _purpose(one)) for one in listed}
    }
    for one in listed:
        who, channel, purpose = one["customer_id"], one["channel"], _purpose(one)
        # Permissions may be kept elsewhere: what counts against the contact is a withdrawal that is on file here.
        on_file = one.get("consent") == "granted" and (who, channel, purpose) in said
        if on_file and who not in may[channel, purpose]:
            one["stop"] = f"her permission for {channel} was taken back"
        elif who in complaining and one["kind"] != "connect":
            one["stop"] = "a complaint of hers is open and comes first"
        else:
            one["stop"] = ""
    return table_of(Due, [_UNSAID | one for one in listed])


def _purpose(decision: dict[str, Any]) -> str:
    return str(decision.get("purpose") or "marketing").strip().lower()


def consents_before(store: Store, day: dt.date) -> Consents:
    """Permissions given before a day, withdrawals up to and on it, in the order of recording."""
    rows = store.rows(
        "SELECT p.customer_id, e.channel, e.at, e.detail FROM events AS e JOIN people AS p ON p.person = e.person"
        " WHERE e.kind = 'consent' AND e.at <= :day ORDER BY e.seq",
        {"day": day_of(day)},
    )
    records = [(who, channel, at, json.loads(detail)) for who, channel, at, detail in rows]
    known = [one for one in records if one[2] < day_of(day) or not one[3]["granted"]]
    return Consents.from_arrays(
        customer_id=[who for who, _, _, _ in known],
        channel=[channel for _, channel, _, _ in known],
        purpose=[said["purpose"] for _, _, _, said in known],
        granted=[said["granted"] for _, _, _, said in known],
        at=[np.datetime64(at or "NaT", "D") for _, _, at, _ in known],
    )


def complaints(store: Store) -> Complaints:
    """Every complaint opened or closed, in the order of recording; an outcome of kind complaint opens one."""
    rows = store.rows(
        "SELECT p.customer_id, e.at, e.detail FROM events AS e JOIN people AS p ON p.person = e.person"
        f" WHERE e.kind IN ('complaint', 'outcome') AND {_STANDS.format('e')} ORDER BY e.seq"
    )
    records = [(who, at, json.loads(detail)) for who, at, detail in rows]
    known = [
        (who, at, said.get("opened", True)) for who, at, said in records if said.get("kind", "complaint") == "complaint"
    ]
    who, at, opened = zip(*known, strict=True) if known else ((),) * 3
    return Complaints.from_arrays(customer_id=who, at=at, opened=opened)


def holdout(store: Store) -> tuple[float, str] | None:
    """Share and salt of the last night's hold-out."""
    rows = store.rows("SELECT detail FROM events WHERE kind = 'night' ORDER BY at DESC LIMIT 1")
    if not rows:
        return None
    detail = json.loads(rows[0][0])
    return float(detail["holdout_share"]), str(detail["salt"])


def last_night(store: Store) -> dt.date | None:
    """The last night on file."""
    last = store.rows("SELECT max(at) FROM events WHERE kind = 'night'")[0][0]
    return None if last is None else dt.date.fromisoformat(last)


def nights(store: Store) -> Nights:
    """The recorded nights, oldest first."""
    rows = store.rows("SELECT at, money, hours, detail FROM events WHERE kind = 'night' ORDER BY at")
    return table_of(Nights, [{"as_of": at, "money": m, "hours": h} | json.loads(d) for at, m, h, d in rows])


def adherence(store: Store) -> Adherence:
    """Planned, done and called off, one row a night."""
    rows = store.rows(
        f"SELECT e.at, count(*), sum(CASE WHEN {_DONE} THEN 1 ELSE 0 END),"
        f" sum(CASE WHEN {_OFF} AND NOT {_DONE} THEN 1 ELSE 0 END)"
        " FROM events AS e WHERE e.kind = 'decision' AND e.arm = 'contact' GROUP BY e.at ORDER BY e.at",
        {"day": _ALWAYS},
    )
    return table_of(
        Adherence,
        [{"as_of": at, "planned": planned, "done": int(d), "cancelled": int(off)} for at, planned, d, off in rows],
    )


def decisions(store: Store, as_of: dt.date | None) -> Decisions:
    """Who was chosen and in which arm."""
    rows = _of_nights(store, "decision", as_of)
    return table_of(Decisions, [_UNSAID | {"assumed": row["gain"]} | row for row in rows])


def contacts(store: Store) -> Contacts:
    """Planned contacts with what became of them, and touches that went out without a plan."""
    made = f"(SELECT t.at {_DOING} ORDER BY t.at LIMIT 1)"
    planned = store.rows(
        f"SELECT e.at, {_NOBODY}, e.action, e.channel, e.detail, e.money, e.hours, {made},"
        f" CASE WHEN {_OFF} THEN 1 ELSE 0 END {_EVENTS} WHERE e.kind = 'decision' AND e.arm = 'contact'",
        {"day": _ALWAYS},
    )
    others = store.rows(
        f"SELECT e.at, {_NOBODY}, e.channel, e.detail {_EVENTS}"
        f" WHERE e.kind = 'touch' AND e.direction = 'out' AND {_STANDS.format('e')} AND NOT EXISTS"
        " (SELECT 1 FROM events AS d WHERE d.person = e.person AND d.kind = 'decision' AND d.arm = 'contact'"
        " AND d.channel = e.channel AND d.at <= e.at AND d.until >= e.at)"
    )
    names = ("at", "planned_at", "customer_id", "action", "channel", "detail", "money", "hours", "status")
    listed = [
        (done or at, at, who, action, channel, detail, m, h, "done" if done else "called off" if off else "open")
        for at, who, action, channel, detail, m, h, done, off in planned
    ]
    listed += [(at, "NaT", who, "", channel, detail, 0.0, 0.0, "not planned") for at, who, channel, detail in others]
    rows = [dict(zip(names, one, strict=True)) for one in sorted(listed)]
    return table_of(Contacts, [row | {"kind": json.loads(row["detail"])["kind"]} for row in rows])


def vetoes(store: Store, as_of: dt.date | None) -> Vetoes:
    """What policies refused."""
    return table_of(Vetoes, _of_nights(store, "veto", as_of))


def outcomes(store: Store) -> Outcomes:
    """What came back, in the order of recording."""
    rows = store.rows(
        f"SELECT {_NOBODY}, e.at, e.action, e.amount, e.detail {_EVENTS}"
        f" WHERE e.kind = 'outcome' AND {_STANDS.format('e')} ORDER BY e.seq"
    )
    return table_of(
        Outcomes,
        [{"customer_id": w, "at": at, "action": a, "amount": m} | json.loads(d) for w, at, a, m, d in rows],
    )


def results(store: Store) -> Results:
    """What touches brought, in the order of recording."""
    rows = store.rows(
        f"SELECT {_NOBODY}, t.at, t.channel, t.detail, e.at, e.detail {_EVENTS}"
        f" JOIN events AS t ON t.key = e.refers WHERE e.kind = 'result' AND {_STANDS.format('t')} ORDER BY e.seq"
    )
    names = ("customer_id", "touched", "channel")
    return table_of(
        Results,
        [
            dict(zip(names, row, strict=False)) | json.loads(row[3]) | {"at": row[4]} | json.loads(row[5])
            for row in rows
        ],
    )


def corrections(store: Store) -> Corrections:
    """What was taken back or called off, in the order of recording."""
    rows = store.rows(
        f"SELECT {_NOBODY}, e.at, e.detail, coalesce(w.reason, '') {_EVENTS} LEFT JOIN words AS w ON w.seq = e.seq"
        " WHERE e.kind IN ('correction', 'cancellation') ORDER BY e.seq"
    )
    called_off = {"of": "contact", "replaced": False}
    return table_of(
        Corrections,
        [{"customer_id": w, "at": at, "reason": why} | called_off | json.loads(d) for w, at, d, why in rows],
    )


def _of_nights(store: Store, kind: str, as_of: dt.date | None) -> list[dict[str, Any]]:
    rows = store.rows(
        f"SELECT e.at, {_NOBODY}, e.action, e.channel, e.arm, e.probability, e.money, e.hours, e.detail,"
        f" coalesce(w.reason, '') {_EVENTS} LEFT JOIN words AS w ON w.seq = e.seq"
        f" WHERE e.kind = :kind{'' if as_of is None else ' AND e.at = :day'} ORDER BY e.at, who, e.seq",
        {"kind": kind} | ({} if as_of is None else {"day": day_of(as_of)}),
    )
    names = ("as_of", "customer_id", "action", "channel", "arm", "probability", "money", "hours")
    return [dict(zip(names, row, strict=False)) | json.loads(row[8]) | {"reason": row[9]} for row in rows]
