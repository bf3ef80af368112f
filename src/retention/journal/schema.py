"""The tables of a journal file, and how an older file becomes a newer one.

- ``people`` maps a number to a customer id. It is the only place where an id is written.
- ``events`` holds numbers, names of actions and amounts; triggers refuse every change and every deletion.
- ``words`` holds what was said about one person in free text (reasons), by event.

So a person can be forgotten (her row of ``people`` and her rows of ``words`` go) while the account of what was
decided, spent and earned stays as it was written.
"""

import sqlite3

__all__ = ["APPLICATION_ID", "MIGRATIONS", "migrate"]

APPLICATION_ID = 0x52746A6C

_FIRST = (
    # AUTOINCREMENT never gives a number twice: nobody inherits the events of a person who was forgotten.
    """CREATE TABLE people (
        person INTEGER PRIMARY KEY AUTOINCREMENT,
        customer_id TEXT NOT NULL UNIQUE
    )""",
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('night', 'decision', 'veto', 'touch', 'outcome')),
        at TEXT NOT NULL,
        person INTEGER,
        action TEXT NOT NULL DEFAULT '',
        channel TEXT NOT NULL DEFAULT '',
        arm TEXT NOT NULL DEFAULT '' CHECK (arm IN ('', 'contact', 'hold-out')),
        probability REAL CHECK (probability BETWEEN 0 AND 1),
        amount REAL,
        money REAL,
        hours REAL,
        detail TEXT NOT NULL DEFAULT '{}'
    )""",
    "CREATE TABLE words (seq INTEGER PRIMARY KEY REFERENCES events (seq), reason TEXT NOT NULL)",
    "CREATE INDEX events_by_day ON events (kind, at)",
    "CREATE INDEX events_by_person ON events (person)",
    """CREATE TRIGGER events_keep_their_values BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER events_stay BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    # INSERT OR REPLACE deletes without asking the trigger above.
    """CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
        WHEN EXISTS (SELECT 1 FROM events WHERE key = NEW.key OR seq = NEW.seq)
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""Step i takes a file from version i to i + 1; a new file has version 0. Steps are added, never changed."""


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Take the file from its version to the newest; the caller holds the transaction."""
    for step in MIGRATIONS[version:]:
        for statement in step:
            db.execute(statement)
    # PRAGMAs take no parameters; both values are our own integers.
    db.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS):d}")
