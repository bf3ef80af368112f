"""Events as rows: what makes two the same, and how those that are new are appended."""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any

from retention.journal.store import Store

__all__ = ["Event", "event_of", "key_of", "day_of", "append", "on_file", "people_of", "known_people"]

Event = dict[str, Any]

_ROWS = 20_000  # events appended at a time
_BATCH = 500  # values in one statement; old SQLite takes 999
_BLANK: dict[str, Any] = {
    "person": None,
    "action": "",
    "channel": "",
    "arm": "",
    "direction": "",
    "until": "",
    "refers": None,
    "probability": None,
    "amount": None,
    "money": None,
    "hours": None,
}
_COLUMNS = ("key", "kind", "at", "detail", *_BLANK)
_DETAIL = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
_KEY = json.JSONEncoder(ensure_ascii=False).encode
_INSERT = f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES (:{', :'.join(_COLUMNS)})"


def event_of(parts: Sequence[str | int | float], *, at: str, detail: dict[str, Any], **values: Any) -> Event:
    """An event of the kind that its key's first part names; ``reason`` is free text and kept apart."""
    return {
        **_BLANK,
        "reason": "",
        **values,
        "key": _KEY(parts),
        "kind": parts[0],
        "at": at,
        "detail": _DETAIL(detail),
    }


def key_of(*parts: str | int | float) -> str:
    """What makes an event the same event; JSON, so that no text can pretend to be two parts."""
    return _KEY(parts)


def day_of(day: dt.date) -> str:
    """A day as it is written; a time of day is left out."""
    return (day.date() if isinstance(day, dt.datetime) else day).isoformat()


def append(store: Store, events: Iterable[Event]) -> int:
    """Append the events whose keys are not on file, and what was said about them; how many they are.

    They are taken as they come, some at a time: what an iterator makes need not be in memory all at once.
    """
    left, count = iter(events), 0
    while some := list(islice(left, _ROWS)):
        count += _append(store, some)
    return count


def _append(store: Store, events: list[Event]) -> int:
    first: dict[str, Event] = {}
    for event in events:
        first.setdefault(event["key"], event)
    for key in on_file(store, list(first)):
        del first[key]
    if first:
        store.run(_INSERT, [{name: event[name] for name in _COLUMNS} for event in first.values()])
    said = [{"key": event["key"], "reason": event["reason"]} for event in first.values() if event["reason"]]
    if said:
        store.run("INSERT INTO words (seq, reason) SELECT seq, :reason FROM events WHERE key = :key", said)
    return len(first)


def on_file(store: Store, keys: list[str], also: str = "1 = 1") -> set[str]:
    """Those of the keys that are on file."""
    return {key for (key,) in _among(store, f"SELECT key FROM events WHERE {also} AND key IN", keys)}


def people_of(store: Store, customer_ids: Iterable[str]) -> dict[str, int]:
    """The number of each customer; new ones get theirs in the order of a hash, which tells nothing of the id."""
    ids = sorted(set(customer_ids), key=lambda one: (blake2b(one.encode("utf-8", "surrogatepass")).digest(), one))
    found = known_people(store, ids)
    new = [one for one in ids if one not in found]
    if new:
        store.run("INSERT INTO people (customer_id) VALUES (:who)", [{"who": one} for one in new])
    return found | known_people(store, new)


def known_people(store: Store, customer_ids: Sequence[str]) -> dict[str, int]:
    """The number of each customer that has one."""
    return dict(_among(store, "SELECT customer_id, person FROM people WHERE customer_id IN", customer_ids))


def _among(store: Store, sql: str, values: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    """The rows of a statement that ends in IN, for any number of values."""
    for start in range(0, len(values), _BATCH):
        marks = {f"v{number}": value for number, value in enumerate(values[start : start + _BATCH])}
        yield from store.rows(f"{sql} (:{', :'.join(marks)})", marks)
