"""The tables of a journal, and how an older journal becomes a newer one.

- ``people`` maps a number to a customer id. It is the only place where an id is written.
- ``events`` holds numbers, names of actions and amounts; triggers refuse every change and every deletion.
- ``words`` holds what was said about one person in free text (reasons), by event.

So a person can be forgotten (her row of ``people`` and her rows of ``words`` go) while the account of what was
decided, spent and earned stays as it was written. Columns of ``events`` that need a word:

- ``key`` makes an event the same event; ``refers`` is the key of the event that this one corrects, cancels or answers;
- ``until`` is the last day on which a touch carries out a planned contact.
"""

__all__ = ["VERSION", "SQLITE", "POSTGRES"]

# A new kind of event needs no new table: what a kind means is the code's, so no constraint lists them.
_EVENTS = """CREATE TABLE {name} (
        seq {number},
        key {text} NOT NULL UNIQUE,
        kind {text} NOT NULL,
        at {text} NOT NULL,
        person BIGINT,
        action {text} NOT NULL DEFAULT '',
        channel {text} NOT NULL DEFAULT '',
        arm {text} NOT NULL DEFAULT '' CHECK (arm IN ('', 'contact', 'hold-out')),
        direction {text} NOT NULL DEFAULT '',
        until {text} NOT NULL DEFAULT '',
        refers {text},
        probability {real} CHECK (probability BETWEEN 0 AND 1),
        amount {real},
        money {real},
        hours {real},
        detail {text} NOT NULL DEFAULT '{{}}'
    )"""
_INDEXES = (
    "CREATE INDEX events_by_day ON events (kind, at)",
    # Three equal columns: with fewer, SQLite would look for a planned contact's touches among all of those days.
    "CREATE INDEX events_by_person ON events (person, channel, kind, at)",
    "CREATE INDEX events_by_reference ON events (refers) WHERE refers IS NOT NULL",
)

# SQLite

# AUTOINCREMENT never gives a number twice: nobody inherits the events of a person who was forgotten.
_LITE = {"number": "INTEGER PRIMARY KEY AUTOINCREMENT", "text": "TEXT", "real": "REAL"}
_LITE_TRIGGERS = (
    """CREATE TRIGGER events_keep_their_values BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER events_stay BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    # INSERT OR REPLACE deletes without asking the trigger above.
    """CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
        WHEN EXISTS (SELECT 1 FROM events WHERE key = NEW.key OR seq = NEW.seq)
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
)
_LITE_FIRST = (
    "CREATE TABLE people (person INTEGER PRIMARY KEY AUTOINCREMENT, customer_id TEXT NOT NULL UNIQUE)",
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
    *_LITE_TRIGGERS,
)
# SQLite cannot drop a constraint, so the table is made anew; its triggers and indexes go with the old one.
_LITE_SECOND = (
    _EVENTS.format(name="events_2", **_LITE),
    """INSERT INTO events_2 (seq, key, kind, at, person, action, channel, arm, direction, until,
            probability, amount, money, hours, detail)
        SELECT seq, key, kind, at, person, action, channel, arm,
            CASE kind WHEN 'touch' THEN json_extract(detail, '$.direction') WHEN 'decision' THEN 'out' ELSE '' END,
            CASE kind WHEN 'decision' THEN date(at, '+28 days') ELSE '' END,
            probability, amount, money, hours, detail
        FROM events ORDER BY seq""",
    "DROP TABLE events",
    "ALTER TABLE events_2 RENAME TO events",
    *_INDEXES,
    *_LITE_TRIGGERS,
)

SQLITE: tuple[tuple[str, ...], ...] = (_LITE_FIRST, _LITE_SECOND)
"""Step i takes a file from version i to i + 1; a new file has version 0. Steps are added, never changed."""

# PostgreSQL

# Text compares by code point, as in SQLite, whatever the language of the database.
_SERVER = {
    "number": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "text": 'TEXT COLLATE "C"',
    "real": "DOUBLE PRECISION",
}
_SERVER_SECOND = (
    "CREATE TABLE people (person {number}, customer_id {text} NOT NULL UNIQUE)".format(**_SERVER),
    _EVENTS.format(name="events", **_SERVER),
    "CREATE TABLE words (seq BIGINT PRIMARY KEY REFERENCES events (seq), reason TEXT NOT NULL)",
    *_INDEXES,
    """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$""",
    """CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse()""",
)

POSTGRES: tuple[tuple[str, ...], ...] = ((), _SERVER_SECOND)
"""The same for PostgreSQL, where no journal of version 1 was ever written."""

VERSION = len(SQLITE)
"""The version that this package writes."""
