"""The journal: what was decided on which night, whom it reached, what came of it."""

import contextlib
import datetime as dt
import html
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from retention.domain import Outcome
from retention.errors import JournalError
from retention.journal import schema
from retention.journal.tables import (
    Adherence,
    Decisions,
    Nights,
    Outcomes,
    Recorded,
    Vetoes,
    rows_of,
    table_of,
)
from retention.records.touches import Touches

if TYPE_CHECKING:
    from retention.plan.plan import Plan

__all__ = ["Journal"]

_PATIENCE_SECONDS = 60.0
# Whether the planned contact in event e has been carried out by a touch before :day.
_DONE = (
    "EXISTS (SELECT 1 FROM events AS t WHERE t.person = e.person AND t.kind = 'touch' AND t.channel = e.channel"
    " AND t.at >= e.at AND t.at <= date(e.at, '+28 days') AND t.at < :day"
    " AND json_extract(t.detail, '$.direction') = 'out')"
)


class Journal:
    """An append-only record in one SQLite file: nights, decisions with arm and probability, vetoes, touches, outcomes.

    ``path`` is a file (made if missing) or ``":memory:"``. A night is one transaction: it is on file whole or not at
    all, and what :meth:`record` returned for is on the disk. Several processes may use one file. Use it in a ``with``
    statement, or call :meth:`close`.

    Nothing is ever changed or deleted, with one exception: :meth:`forget` erases who a person was.

    Raises:
        JournalError: the path is a folder, another kind of file, or a journal of a newer version.

    Example:
        >>> import datetime as dt
        >>> from retention.domain import Touch
        >>> with Journal(":memory:") as journal:
        ...     call = Touch(customer_id="7", at=dt.date(2011, 3, 1), channel="phone")
        ...     journal.record_touches(Touches.of([call])).events
        ...     journal.record_touches(Touches.of([call])).already
        ...     len(journal.touches_before(dt.date(2011, 3, 2)))
        1
        True
        1
    """

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        if self._path != ":memory:":
            _check_place(Path(path))
        self._db = _open(self._path)

    def close(self) -> None:
        """Close the file; everything recorded is on it."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # Writing

    def record(self, plan: "Plan") -> Recorded:
        """Write a night: its plan's decisions, vetoes and contacts, in one transaction.

        Each customer in the plan's ``contact`` or ``hold-out`` arm gets a row; those left alone are counted. A planned
        contact counts as a touch on the plan's day until the real one is recorded. The same plan again changes
        nothing and says so.

        Raises:
            JournalError: that day was decided otherwise, or a later one is on file. Nothing is written then.
        """
        day, fingerprint = plan.as_of.isoformat(), plan.fingerprint()
        with self._writing() as db:
            on_file = db.execute("SELECT detail FROM events WHERE key = ?", (_key("night", day),)).fetchone()
            if on_file is not None:
                if json.loads(on_file[0])["fingerprint"] == fingerprint:
                    return Recorded(events=0, already=True, message=f"the night of {day} is on file already")
                raise JournalError(
                    f"another plan for {day}",
                    rule="a night is decided once; the one on file may have gone out",
                    remedy="plan a later day, or keep rehearsals in a journal of their own",
                )
            last = db.execute("SELECT max(at) FROM events WHERE kind = 'night'").fetchone()[0]
            if last is not None and last > day:
                raise JournalError(
                    f"a plan for {day}, and the last night on file is {last}",
                    rule="nights are recorded in their order",
                    remedy="plan a day after the last night, or replay from the start in a new journal",
                )
            before = _count(db)
            _write_night(db, plan, day, fingerprint)
            new = _count(db) - before
        return Recorded(events=new, already=False, message=f"the night of {day} is recorded: {new:,} events")

    def record_touches(self, touches: Touches) -> Recorded:
        """Write contacts that happened, in or out, whether they carry out the plan or not.

        Two touches with the same customer, day, channel, kind and direction are one, so a list may be recorded twice.
        A contact by the planned channel on the plan's day or within 28 days of it is the planned one, done.
        """
        if np.isnat(touches.at).any():
            raise JournalError(
                "a touch without a day", rule="every touch has its day", remedy="leave such rows out, and count them"
            )
        columns = [touches[name].tolist() for name in ("customer_id", "at", "channel", "kind", "direction")]
        with self._writing() as db:
            people = _people(db, columns[0])
            new = sum(
                _write_touch(db, people[who], at.isoformat(), channel, kind, direction)
                for who, at, channel, kind, direction in zip(*columns, strict=True)
            )
        return _recorded(new, len(touches), "touches")

    def record_outcomes(self, outcomes: Iterable[Outcome]) -> Recorded:
        """Write what came back. Outcomes that are equal in every field are one, within a call and over calls."""
        listed = list(outcomes)
        with self._writing() as db:
            people = _people(db, [outcome.customer_id for outcome in listed])
            new = 0
            for one in listed:
                person, at, action, amount = people[one.customer_id], _day(one.at), one.action or "", float(one.amount)
                new += _append(
                    db,
                    key=_key("outcome", person, at, one.kind, amount, action),
                    kind="outcome",
                    at=at,
                    person=person,
                    action=action,
                    amount=amount,
                    detail={"kind": one.kind},
                )
        return _recorded(new, len(listed), "outcomes")

    def forget(self, customer_id: object) -> int:
        """Erase who a person was: her id and all free text about her leave the file, byte for byte.

        Her events stay as those of nobody, so counts and sums stay. Returns how many events there are of that kind for
        her (0 if she was not known). What is recorded later under the same id is of a new person. Copies and backups
        are the caller's; so are the blocks that the file system has let go.

        Raises:
            JournalError: another process is reading, so that old pages could not be overwritten; call it again.
        """
        with self._writing() as db:
            row = db.execute("SELECT person FROM people WHERE customer_id = ?", (str(customer_id),)).fetchone()
            person = None if row is None else row[0]
            events = db.execute("SELECT count(*) FROM events WHERE person = ?", (person,)).fetchone()[0]
            db.execute("DELETE FROM words WHERE seq IN (SELECT seq FROM events WHERE person = ?)", (person,))
            db.execute("DELETE FROM people WHERE person = ?", (person,))
        with _told(self._path):
            # The write-ahead log holds pages from before: rewrite the file, then cut the log to nothing.
            self._db.execute("VACUUM")
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise JournalError(
                "the person is erased, but a reader of the journal holds on to old pages",
                rule="what is forgotten must leave the file",
                remedy="close the other users of the journal and call forget again",
            )
        return int(events)

    # Reading

    def touches_before(self, day: dt.date) -> Touches:
        """The contacts strictly before a day, oldest first; those of forgotten people are left out.

        A planned contact counts on its plan's day as long as it is not known to be done; then the day it was done
        counts instead.
        """
        rows = self._rows(
            "SELECT customer_id, at, channel, json_extract(detail, '$.kind'),"
            " ifnull(json_extract(detail, '$.direction'), 'out')"
            " FROM events AS e JOIN people USING (person)"
            f" WHERE at < :day AND (kind = 'touch' OR kind = 'decision' AND arm = 'contact' AND NOT {_DONE})"
            " ORDER BY at, customer_id, seq",
            {"day": _day(day)},
        )
        who, at, channel, kind, direction = zip(*rows, strict=True) if rows else ((),) * 5
        return Touches.from_arrays(customer_id=who, at=at, channel=channel, kind=kind, direction=direction)

    def holdout(self) -> tuple[float, str] | None:
        """Share and salt of the last night's hold-out, for the next plan to keep the same people; None before any."""
        rows = self._rows("SELECT detail FROM events WHERE kind = 'night' ORDER BY at DESC LIMIT 1")
        if not rows:
            return None
        detail = json.loads(rows[0][0])
        return float(detail["holdout_share"]), str(detail["salt"])

    def nights(self) -> Nights:
        """The recorded nights, oldest first."""
        rows = self._rows("SELECT at, money, hours, detail FROM events WHERE kind = 'night' ORDER BY at")
        return table_of(Nights, [{"as_of": at, "money": m, "hours": h} | json.loads(d) for at, m, h, d in rows])

    def adherence(self) -> Adherence:
        """Planned and done, one row a night, oldest first: of the contacts decided, how many are on file as touches."""
        rows = self._rows(
            f"SELECT at, count(*), sum({_DONE}) FROM events AS e WHERE kind = 'decision' AND arm = 'contact'"
            " GROUP BY at ORDER BY at",
            {"day": "9999-12-31"},
        )
        return table_of(Adherence, [{"as_of": at, "planned": planned, "done": done} for at, planned, done in rows])

    def decisions(self, as_of: dt.date | None = None) -> Decisions:
        """Who was chosen and in which arm, by night and then by customer; of one night if ``as_of`` is given."""
        return table_of(Decisions, self._of_nights("decision", as_of))

    def vetoes(self, as_of: dt.date | None = None) -> Vetoes:
        """What policies refused, by night and then by customer; of one night if ``as_of`` is given."""
        return table_of(Vetoes, self._of_nights("veto", as_of))

    def outcomes(self) -> Outcomes:
        """What came back, in the order of recording."""
        rows = self._rows(
            "SELECT ifnull(customer_id, ''), at, action, amount, json_extract(detail, '$.kind')"
            " FROM events LEFT JOIN people USING (person) WHERE kind = 'outcome' ORDER BY seq"
        )
        return table_of(
            Outcomes,
            [{"customer_id": w, "at": at, "action": a, "amount": m, "kind": k} for w, at, a, m, k in rows],
        )

    @property
    def events(self) -> int:
        """How many events are on file."""
        return int(self._rows("SELECT count(*) FROM events")[0][0])

    def export_csv(self, path: str | Path) -> None:
        """Write the decisions for a spreadsheet; cells that look like formulas are made harmless."""
        from retention.frames.export import write_csv

        write_csv(self.decisions(), path)

    def __repr__(self) -> str:
        try:
            nights, last = self._rows("SELECT count(*), max(at) FROM events WHERE kind = 'night'")[0]
            return f"<Journal: nights {nights}{f', the last {last}' if last else ''}, events {self.events:,}>"
        except JournalError:
            return "<Journal: closed>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self)[1:-1])}</p>"

    # Inside

    def _rows(self, sql: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        with _told(self._path):
            return self._db.execute(sql, values).fetchall()

    def _of_nights(self, kind: str, as_of: dt.date | None) -> list[dict[str, Any]]:
        rows = self._rows(
            "SELECT at, ifnull(customer_id, ''), action, channel, arm, probability, money, hours, detail,"
            " ifnull(reason, '') FROM events LEFT JOIN people USING (person) LEFT JOIN words USING (seq)"
            " WHERE kind = ? AND at = ifnull(?, at) ORDER BY at, customer_id, seq",
            (kind, None if as_of is None else _day(as_of)),
        )
        names = ("as_of", "customer_id", "action", "channel", "arm", "probability", "money", "hours")
        return [dict(zip(names, row, strict=False)) | json.loads(row[8]) | {"reason": row[9]} for row in rows]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or none."""
        with _told(self._path), _transaction(self._db) as db:
            yield db


def _check_place(path: Path) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise JournalError(
            f"{path}: {'a folder' if path.is_dir() else 'its folder does not exist'}",
            rule="a journal is one file in a folder that exists",
            remedy="give the path of a file, such as shop.db, or make the folder first",
        )
    # SQLite takes a file of a few bytes for an empty database, and would overwrite it.
    with contextlib.suppress(OSError), path.open("rb") as file:
        if file.read(16) not in (b"", b"SQLite format 3\0"):
            raise _not_a_journal(str(path))


def _open(path: str) -> sqlite3.Connection:
    with _told(path):
        db = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)
    try:
        with _told(path):
            if _version(db, path) < len(schema.MIGRATIONS):
                with _transaction(db):
                    version = _version(db, path)  # another process may have been first
                    if version < len(schema.MIGRATIONS):
                        schema.migrate(db, version)
            _use_wal(db)
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection, path: str) -> int:
    """The file's version, 0 for an empty one; an error if it is no journal of ours."""
    found = db.execute(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),"
        " (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    application, version, tables = (int(value) for value in found)
    if application != schema.APPLICATION_ID and (application, version, tables) != (0, 0, 0):
        raise _not_a_journal(path)
    if version > len(schema.MIGRATIONS):
        raise JournalError(
            f"{path}: a journal of version {version}",
            rule=f"this package reads journals up to version {len(schema.MIGRATIONS)}",
            remedy="install the newer package that wrote it",
        )
    return version


def _use_wal(db: sqlite3.Connection) -> None:
    """Readers then never wait for the writer. The switch itself does not wait its turn, so it is tried again."""
    for attempt in range(100):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if attempt == 99:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """SQLite's errors as one kind of ours; their text names tables and files, never values."""
    try:
        yield
    except (sqlite3.Error, UnicodeEncodeError) as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise _not_a_journal(path) from error
        fault = "text that is not Unicode" if isinstance(error, UnicodeEncodeError) else str(error)
        raise JournalError(
            f"{path}: {fault}",
            rule="a journal is an open, readable, writable SQLite file, and holds text",
            remedy="check the path, its permissions and the free space, and that the journal is not closed",
        ) from None


def _not_a_journal(path: str) -> JournalError:
    return JournalError(
        f"{path}: not a journal",
        rule="a journal is a file that this package made",
        remedy="give the path of a journal, or of a file that does not exist yet",
    )


def _write_night(db: sqlite3.Connection, plan: "Plan", day: str, fingerprint: str) -> None:
    contact, held = plan.decision == "contact", plan.decision == "hold-out"
    chosen, vetoes = plan.take(contact | held), plan.vetoes
    people = _people(db, [*chosen.customer_id.tolist(), *vetoes.customer_id.tolist()])
    _append(
        db,
        key=_key("night", day),
        kind="night",
        at=day,
        money=float(plan.spent_money),
        hours=float(plan.spent_hours),
        detail={
            "fingerprint": fingerprint,
            "version": plan.provenance.version or "",
            "seed": int(plan.seed),
            "holdout_share": float(plan.holdout_share),
            "salt": plan.salt,
            "customers": len(plan),
            "contacts": int(contact.sum()),
            "held_out": int(held.sum()),
            "vetoes": len(vetoes),
        },
    )
    # By number, not in the plan's order: a row's neighbours must not give away one who is forgotten.
    for row in sorted(rows_of(chosen), key=lambda row: people[row["customer_id"]]):
        person = people[row["customer_id"]]
        _append(
            db,
            key=_key("decision", day, person),
            kind="decision",
            at=day,
            person=person,
            action=row["action"],
            channel=row["channel"],
            arm=row["decision"],
            probability=row["probability"],
            money=row["money"],
            hours=row["hours"],
            detail={"kind": row["kind"], "strategy": row["strategy"], "gain": row["gain"]},
            reason=row["reason"],
        )
    for number, row in enumerate(sorted(rows_of(vetoes), key=lambda row: people[row["customer_id"]])):
        _append(
            db,
            key=_key("veto", day, number),
            kind="veto",
            at=day,
            person=people[row["customer_id"]],
            action=row["action"],
            channel=row["channel"],
            detail={"policy": row["policy"]},
            reason=row["reason"],
        )


def _write_touch(db: sqlite3.Connection, person: int, at: str, channel: str, kind: str, direction: str) -> bool:
    return _append(
        db,
        key=_key("touch", person, at, channel, kind, direction),
        kind="touch",
        at=at,
        person=person,
        channel=channel,
        detail={"kind": kind, "direction": direction},
    )


def _append(db: sqlite3.Connection, *, detail: dict[str, Any], reason: str = "", **values: Any) -> bool:
    """Append one event and what was said about it, unless its key is on file; whether it was new."""
    if db.execute("SELECT 1 FROM events WHERE key = ?", (values["key"],)).fetchone() is not None:
        return False
    values["detail"] = json.dumps(detail, sort_keys=True, ensure_ascii=False)
    names = ", ".join(values)  # our own keyword names, never data
    marks = ", ".join("?" * len(values))
    seq = db.execute(f"INSERT INTO events ({names}) VALUES ({marks})", tuple(values.values())).lastrowid
    if reason:
        db.execute("INSERT INTO words (seq, reason) VALUES (?, ?)", (seq, reason))
    return True


def _people(db: sqlite3.Connection, customer_ids: Iterable[str]) -> dict[str, int]:
    """The number of each customer; new ones get theirs in the order of a hash, which tells nothing of the id."""
    ids = sorted(set(customer_ids), key=lambda one: (blake2b(one.encode("utf-8", "surrogatepass")).digest(), one))
    for one in ids:
        db.execute("INSERT INTO people (customer_id) VALUES (?) ON CONFLICT DO NOTHING", (one,))
    return {one: db.execute("SELECT person FROM people WHERE customer_id = ?", (one,)).fetchone()[0] for one in ids}


def _key(*parts: str | int | float) -> str:
    """What makes an event the same event; JSON, so that no text can pretend to be two parts."""
    return json.dumps(parts, ensure_ascii=False)


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM events").fetchone()[0])


def _day(day: dt.date) -> str:
    return (day.date() if isinstance(day, dt.datetime) else day).isoformat()


def _recorded(new: int, given: int, what: str) -> Recorded:
    old = given - new
    said = f"{what} recorded: {new:,}" + (f", on file already: {old:,}" if old else "")
    return Recorded(events=new, already=given > 0 and new == 0, message=said)
