-- What version 1 wrote: two contacts, one held out who was forgotten since, a veto, touches, an outcome.
CREATE TABLE people (person INTEGER PRIMARY KEY AUTOINCREMENT, customer_id TEXT NOT NULL UNIQUE);
CREATE TABLE events (
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
);
CREATE TABLE words (seq INTEGER PRIMARY KEY REFERENCES events (seq), reason TEXT NOT NULL);
CREATE INDEX events_by_day ON events (kind, at);
CREATE INDEX events_by_person ON events (person);
CREATE TRIGGER events_keep_their_values BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM events WHERE key = NEW.key OR seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
INSERT INTO people VALUES (1, 'b'), (2, 'a'), (4, 'Zoë');
INSERT INTO events (key, kind, at, money, hours, detail) VALUES ('["night", "2011-12-01"]', 'night', '2011-12-01',
    3.0, 0.5, '{"contacts": 2, "customers": 4, "fingerprint": "f", "held_out": 1, "holdout_share": 0.25,
    "salt": "shop", "seed": 7, "vetoes": 1, "version": "0.0"}');
INSERT INTO events (key, kind, at, person, action, channel, arm, probability, money, hours, detail) VALUES
    ('["decision", "2011-12-01", 1]', 'decision', '2011-12-01', 1, 'check-in call', 'phone', 'contact',
        0.75, 1.5, 0.25, '{"gain": 9.0, "kind": "give", "strategy": "overdue"}'),
    ('["decision", "2011-12-01", 2]', 'decision', '2011-12-01', 2, 'check-in call', 'phone', 'contact',
        0.75, 1.5, 0.25, '{"gain": 8.0, "kind": "give", "strategy": "overdue"}'),
    ('["decision", "2011-12-01", 3]', 'decision', '2011-12-01', 3, 'check-in call', 'phone', 'hold-out',
        0.75, 1.5, 0.25, '{"gain": 7.0, "kind": "give", "strategy": "overdue"}');
INSERT INTO events (key, kind, at, person, action, channel, detail) VALUES
    ('["veto", "2011-12-01", 0]', 'veto', '2011-12-01', 4, 'mail', 'email', '{"policy": "consent"}');
INSERT INTO words VALUES (2, 'long overdue'), (5, 'no consent on file');
INSERT INTO events (key, kind, at, person, channel, detail) VALUES
    ('["touch", 1, "2011-12-05", "phone", "give", "out"]', 'touch', '2011-12-05', 1, 'phone',
        '{"direction": "out", "kind": "give"}'),
    ('["touch", 2, "2011-12-02", "phone", "ask", "in"]', 'touch', '2011-12-02', 2, 'phone',
        '{"direction": "in", "kind": "ask"}');
INSERT INTO events (key, kind, at, person, action, amount, detail) VALUES
    ('["outcome", 1, "2011-12-06", "reply", 12.5, ""]', 'outcome', '2011-12-06', 1, '', 12.5, '{"kind": "reply"}');
PRAGMA application_id = 1383361132;
PRAGMA user_version = 1;
