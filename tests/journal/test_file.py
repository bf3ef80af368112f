"""The file: only ours, only growing, never too old, and empty of those who were forgotten."""

import datetime as dt
import itertools
import sqlite3

import pytest

from retention.domain import Outcome, Touch
from retention.errors import JournalError
from retention.journal import Journal, schema
from retention.journal import sqlite as code
from retention.records.touches import Touches

DAY = dt.date(2011, 12, 1)


def bytes_on_disk(path):
    """The journal and its side files."""
    return b"".join(one.read_bytes() for one in sorted(path.parent.glob(path.name + "*")))


# Only ours


def test_a_folder_is_not_a_journal(tmp_path):
    with pytest.raises(JournalError, match="a folder"):
        Journal(tmp_path)


def test_a_file_in_no_folder_is_one_clear_error(tmp_path):
    with pytest.raises(JournalError, match="does not exist"):
        Journal(tmp_path / "nowhere" / "shop.db")


@pytest.mark.parametrize("content", [b"customer,amount\n7,9.99\n" * 200, bytes(range(256)) * 40, b"x"])
def test_a_file_of_another_kind_is_refused_and_left_as_it_was(tmp_path, content):
    path = tmp_path / "invoices.csv"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="not a journal"):
        Journal(path)
    assert bytes_on_disk(path) == content


def test_somebody_elses_database_is_refused_and_left_as_it_was(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE events (id INTEGER)")
    other.close()
    before = bytes_on_disk(path)
    with pytest.raises(JournalError, match="not a journal"):
        Journal(path)
    assert bytes_on_disk(path) == before


def test_a_journal_of_a_newer_package_is_refused(tmp_path):
    path = tmp_path / "shop.db"
    Journal(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    newer.close()
    with pytest.raises(JournalError, match="newer"):
        Journal(path)


def test_a_journal_of_the_first_version_opens_with_all_it_holds(first_version):
    everything = "SELECT seq, key, kind, at, person, action, channel, arm, probability, amount, money, hours, detail"
    with sqlite3.connect(first_version) as old:
        before = [old.execute(f"{everything} FROM events").fetchall(), old.execute("SELECT * FROM words").fetchall()]
    old.close()
    for _ in range(2):
        with Journal(first_version) as journal:
            assert [journal._rows(f"{everything} FROM events"), journal._rows("SELECT * FROM words")] == before
            assert journal._rows("PRAGMA user_version") == [(schema.VERSION,)]
            assert journal._rows("PRAGMA integrity_check") == [("ok",)]
            assert journal._rows("PRAGMA foreign_key_check") == []
            assert journal.holdout() == (0.25, "shop")
            assert journal.nights().contacts.tolist() == [2]
            assert journal.decisions().customer_id.tolist() == ["", "a", "b"]
            assert journal.decisions().gain.tolist() == [7.0, 8.0, 9.0]
            assert journal.vetoes().reason.tolist() == ["no consent on file"]
            assert journal.outcomes().amount.tolist() == [12.5]
            assert journal.adherence().done.tolist() == [1]
            known = journal.touches_before(dt.date(2012, 1, 1))
            assert known.customer_id.tolist() == ["a", "a", "b"]
            assert known.direction.tolist() == ["out", "in", "out"]


def test_a_journal_of_the_first_version_goes_on_as_if_it_were_new(first_version, plan_of):
    with Journal(first_version) as journal:
        sent = [Touch(customer_id="b", at=dt.date(2011, 12, 5), channel="phone")]
        assert journal.record_touches(Touches.of(sent)).already
        assert journal.record_outcomes([Outcome(customer_id="b", at=dt.date(2011, 12, 6), kind="reply", amount=12.5)])
        assert journal.events == 8
        assert journal.cancel(DAY, ["a"], "moved").events == 1
        assert journal.correct(sent[0]).events == 1
        assert journal.record_touches(Touches.of([Touch(customer_id="new", at=DAY, channel="phone")])).events == 1
        assert journal._rows("SELECT (SELECT max(person) FROM people), (SELECT max(seq) FROM events)") == [(5, 11)]
        with pytest.raises(JournalError, match="append-only"):
            journal._rows("DELETE FROM events")
        journal.record(plan_of(dt.date(2011, 12, 9), contact=["b"]))


def test_every_step_of_the_versions_can_follow_the_last(tmp_path, plan_of, monkeypatch):
    path = tmp_path / "shop.db"
    with Journal(path) as journal:
        journal.record(plan_of(DAY, contact=["a"]))
        before = journal.decisions()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "SQLITE", (*schema.SQLITE, ("CREATE TABLE more (x TEXT)",)))
        patch.setattr(schema, "VERSION", len(schema.SQLITE))
        for _ in range(2):
            with Journal(path) as journal:
                assert journal.decisions().equals(before)
                assert journal._rows("SELECT x FROM more") == []
    with pytest.raises(JournalError, match="version 3"):
        Journal(path)


def test_both_stores_have_one_version():
    assert len(schema.SQLITE) == len(schema.POSTGRES) == schema.VERSION


def test_a_migration_that_fails_changes_nothing(first_version, monkeypatch):
    before = bytes_on_disk(first_version)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "SQLITE", (schema.SQLITE[0], (*schema.SQLITE[1], "NO SQL")))
        with pytest.raises(JournalError):
            Journal(first_version)
    assert bytes_on_disk(first_version) == before
    with Journal(first_version) as journal:
        assert journal.events == 8


# Only growing


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET amount = 1",
        "UPDATE OR REPLACE events SET key = 'x' WHERE seq = 1",
        "DELETE FROM events",
        "DELETE FROM events WHERE seq = 2",
        "INSERT OR REPLACE INTO events (key, kind, at) SELECT key, kind, '1999-01-01' FROM events",
        "REPLACE INTO events (seq, key, kind, at) VALUES (1, 'fresh', 'night', '1999-01-01')",
        "INSERT INTO events (key, kind, at) SELECT key, kind, at FROM events WHERE true"
        " ON CONFLICT (key) DO UPDATE SET at = '1999-01-01'",
    ],
)
def test_the_database_itself_refuses_to_change_an_event(tmp_path, plan_of, change):
    """Whoever opens the file with any tool meets the triggers."""
    path = tmp_path / "shop.db"
    with Journal(path) as journal:
        journal.record(plan_of(DAY, contact=["a"], holdout=["b"]))
        before = journal._rows("SELECT * FROM events ORDER BY seq")
        stranger = sqlite3.connect(path)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            stranger.execute(change)
        stranger.close()
        assert journal._rows("SELECT * FROM events ORDER BY seq") == before


def test_a_night_is_on_the_disk_before_it_is_acknowledged(tmp_path):
    with Journal(tmp_path / "shop.db") as journal:
        assert journal._rows("PRAGMA journal_mode") == [("wal",)]
        assert journal._rows("PRAGMA synchronous") == [(2,)]  # FULL


# Forgetting

HER = "Zoë-Quartz-77"


def record_her(journal, plan_of):
    journal.record(
        plan_of(
            DAY,
            contact=[HER, "b"],
            holdout=["c"],
            reason=f"call {HER} back",
            vetoes=[(HER, "mail", "email", "complaint", f"{HER} complained")],
        )
    )
    journal.record_touches(Touches.of([Touch(customer_id=HER, at=DAY, channel="email", direction="in")]))
    journal.record_outcomes([Outcome(customer_id=HER, at=DAY, kind="reply", amount=12.5)])


def test_who_is_forgotten_leaves_the_file_byte_for_byte_and_the_totals_stay(tmp_path, plan_of):
    path = tmp_path / "shop.db"
    with Journal(path) as journal:
        journal.record(plan_of(dt.date(2011, 11, 30), contact=[f"filler {i}" for i in range(500)]))
        # Her own reasons name her; another's would be that other's text.
        record_her(journal, lambda day, **kw: plan_of(day, **(kw | {"contact": [HER], "holdout": []})))
        assert HER.encode() in bytes_on_disk(path)
        before = journal.nights(), journal.events, journal.decisions().money.sum(), journal.outcomes().amount.sum()

        assert journal.forget(HER) == 4  # decision, veto, touch in, outcome
        assert HER.encode() not in bytes_on_disk(path)
        assert b"complained" not in bytes_on_disk(path)
        assert b"filler 7" in bytes_on_disk(path)

        assert journal.nights().equals(before[0])
        assert journal.events == before[1]
        assert journal.decisions().money.sum() == before[2]
        assert journal.outcomes().amount.sum() == before[3]
        assert journal.decisions(DAY).row(0)["customer_id"] == journal.decisions(DAY).row(0)["reason"] == ""
        assert HER not in journal.touches_before(dt.date(2012, 1, 1)).customer_id
        assert journal.forget(HER) == 0
    assert HER.encode() not in bytes_on_disk(path)


def test_who_comes_back_after_being_forgotten_is_a_new_person(journal):
    def reply(who):
        return journal.record_outcomes([Outcome(customer_id=who, at=DAY, kind="reply")]).events

    assert reply("somebody") == reply(HER) == 1  # she is the last who came, so her number is the first to be free
    journal.forget(HER)
    assert reply("somebody new") == reply(HER) == 1
    assert journal.outcomes().customer_id.tolist() == ["somebody", "", "somebody new", HER]
    assert journal.forget(HER) == 1


def test_forgetting_says_so_when_a_reader_keeps_old_pages_and_can_be_repeated(tmp_path, plan_of, monkeypatch):
    path = tmp_path / "shop.db"
    monkeypatch.setattr(code, "_PATIENCE_SECONDS", 0.05)
    with Journal(path) as journal:
        record_her(journal, lambda day, **kw: plan_of(day, **(kw | {"contact": [HER], "holdout": []})))
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        with pytest.raises(JournalError, match="call forget again"):
            journal.forget(HER)
        reader.execute("COMMIT")
        reader.close()
        journal.forget(HER)
        assert HER.encode() not in bytes_on_disk(path)


def test_the_order_of_the_file_does_not_give_away_a_neighbour(journal, plan_of):
    """Ids in a row get numbers in no such row."""
    journal.record(plan_of(DAY, contact=[f"{i:03}" for i in range(100)]))
    by_number = [who for (who,) in journal._rows("SELECT customer_id FROM people ORDER BY person")]
    by_event = [
        who
        for (who,) in journal._rows(
            "SELECT customer_id FROM events JOIN people USING (person) WHERE kind = 'decision' ORDER BY seq"
        )
    ]
    neighbours = sum(abs(int(a) - int(b)) == 1 for a, b in itertools.pairwise(by_number))
    assert neighbours < 10  # two expected by chance
    assert by_event == by_number


def test_twice_the_customers_are_twice_the_work(plan_of):
    """Counted in instructions of SQLite's machine, planned contacts against the touches that carry them out."""

    def instructions(customers):
        with Journal(":memory:") as journal:
            who = [f"c{i}" for i in range(customers)]
            journal.record(plan_of(DAY, contact=who))
            journal.record_touches(Touches.of([Touch(customer_id=one, at=DAY, channel="phone") for one in who]))
            count = itertools.count()
            journal._store._db.set_progress_handler(lambda: next(count) < 0, 100)
            assert len(journal.touches_before(dt.date(2012, 1, 1))) == customers
            assert journal.adherence().done.tolist() == [customers]
            return next(count)

    assert instructions(800) < 2.5 * instructions(400)


def test_a_full_disk_leaves_nothing_of_a_night_and_the_journal_goes_on(tmp_path, plan_of):
    with Journal(tmp_path / "shop.db") as journal:
        journal.record(plan_of(DAY, contact=["a"]))
        ((pages,),) = journal._rows("PRAGMA page_count")
        journal._rows(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(JournalError, match="full"):
            journal.record(plan_of(dt.date(2011, 12, 2), contact=[f"c{i}" for i in range(500)]))
        assert journal.events == 2
        assert journal.record(plan_of(dt.date(2011, 12, 3), contact=["b"])).events == 2
