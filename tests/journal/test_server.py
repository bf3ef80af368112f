"""A journal on a PostgreSQL server: only ours, only growing, for many writers."""

import datetime as dt
import sys

import pytest

from retention.domain import Outcome, Touch
from retention.errors import JournalError, MissingExtraError
from retention.journal import Journal, schema
from retention.journal import postgres as code
from retention.records.touches import Touches

DAY = dt.date(2011, 12, 1)


@pytest.fixture
def url(new_database):
    return new_database()


@pytest.fixture
def stranger(cluster):
    """Another program's connection to the same database."""
    psycopg = pytest.importorskip("psycopg")
    host = cluster[0].partition("host=")[2]
    with psycopg.connect(host=host, user="shop", dbname="postgres", autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("url", ["mysql://root@localhost/shop", "sqlite:///shop.db", "https://shop.example/journal"])
def test_another_kind_of_address_is_refused(url):
    pytest.importorskip("sqlalchemy")
    with pytest.raises(JournalError, match="not PostgreSQL"):
        Journal(url)


def test_an_address_without_the_extra_says_what_to_install(monkeypatch):
    for name in ("sqlalchemy", "psycopg"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(MissingExtraError, match="extra 'sql'"):
                Journal("postgresql://shop@localhost/shop")


def test_a_server_that_does_not_answer_is_one_clear_error_without_the_password(tmp_path):
    pytest.importorskip("psycopg")
    with pytest.raises(JournalError) as error:
        Journal(f"postgresql://shop:open-sesame@/shop?host={tmp_path}")
    assert "sesame" not in str(error.value)
    assert "connection" in str(error.value)


def test_a_driver_need_not_be_named(url):
    Journal(url.replace("+psycopg", "")).close()
    with Journal(url) as journal:
        assert journal.events == 0


def test_somebody_elses_schema_of_that_name_is_refused_and_left_as_it_was(url, stranger):
    stranger.execute("CREATE SCHEMA retention_journal")
    stranger.execute("CREATE TABLE retention_journal.events (x INTEGER)")
    with pytest.raises(JournalError, match="not a journal"):
        Journal(url)
    tables = stranger.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'retention_journal'").fetchall()
    assert tables == [("events",)]


def test_tables_of_the_shop_with_our_names_are_left_alone(url, stranger):
    stranger.execute("CREATE TABLE IF NOT EXISTS public.events (x INTEGER)")
    try:
        with Journal(url) as journal:
            journal.record_outcomes([Outcome(customer_id="a", at=DAY, kind="reply")])
            assert journal.events == 1
        assert stranger.execute("SELECT count(*) FROM public.events").fetchone() == (0,)
    finally:
        stranger.execute("DROP TABLE public.events")


def test_a_journal_of_a_newer_package_is_refused(url, stranger):
    Journal(url).close()
    stranger.execute("UPDATE retention_journal.journal SET version = version + 1")
    with pytest.raises(JournalError, match="newer"):
        Journal(url)


def test_a_migration_that_fails_changes_nothing(url, stranger, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(schema, "POSTGRES", (*schema.POSTGRES, ("NO SQL",)))
        with pytest.raises(JournalError):
            Journal(url)
    assert stranger.execute("SELECT to_regnamespace('retention_journal')").fetchone() == (None,)
    Journal(url).close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE retention_journal.events SET amount = 1",
        "DELETE FROM retention_journal.events",
        "TRUNCATE retention_journal.events CASCADE",
        "INSERT INTO retention_journal.events (key, kind, at) SELECT key, kind, at FROM retention_journal.events"
        " ON CONFLICT (key) DO UPDATE SET at = '1999-01-01'",
    ],
)
def test_the_database_itself_refuses_to_change_an_event(url, stranger, plan_of, change):
    import psycopg

    with Journal(url) as journal:
        journal.record(plan_of(DAY, contact=["a"], holdout=["b"]))
        before = journal._rows("SELECT * FROM events ORDER BY seq")
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            stranger.execute(change)
        assert journal._rows("SELECT * FROM events ORDER BY seq") == before


def test_the_order_of_rows_is_not_the_languages_of_the_database(url, plan_of):
    """As in a file: by code point, capitals first."""
    with Journal(url) as journal:
        journal.record(plan_of(DAY, contact=["b", "a", "B", "é", "Z", "_"]))
        assert journal.decisions().customer_id.tolist() == ["B", "Z", "_", "a", "b", "é"]


def test_a_reader_sees_the_last_state_while_another_writes(url, plan_of):
    with Journal(url) as one, Journal(url) as other:
        one.record(plan_of(DAY, contact=["a"]))
        with one._store.writing():
            one._store.run("INSERT INTO people (customer_id) VALUES (:who)", [{"who": "z"}])
            assert other.events == 2
        assert other.record(plan_of(DAY, contact=["a"])).already


def test_a_writer_who_waits_too_long_is_told(url, plan_of, monkeypatch):
    with Journal(url) as one, Journal(url) as other:
        monkeypatch.setattr(code, "_PATIENCE_SECONDS", 0.05)
        with one._store.writing(), pytest.raises(JournalError, match="lock"):
            other.record(plan_of(DAY, contact=["a"]))
        assert not other.record(plan_of(DAY, contact=["a"])).already


def test_errors_do_not_quote_what_was_to_be_written(url):
    with Journal(url) as journal:
        with pytest.raises(JournalError) as error:
            journal.record_touches(Touches.of([Touch(customer_id="secret\0-7", at=DAY, channel="phone")]))
        assert "secret" not in str(error.value)
        journal.record_outcomes([Outcome(customer_id="secret-8", at=DAY, kind="reply")])
        with pytest.raises(JournalError) as error:
            journal._store.run("INSERT INTO people (customer_id) VALUES (:who)", [{"who": "secret-8"}])
        assert "secret" not in str(error.value)


def test_forgetting_says_so_when_a_reader_keeps_old_rows_and_can_be_repeated(url, stranger, cluster):
    her = "Zoë-Quartz-78"
    with Journal(url) as journal:
        journal.record_outcomes([Outcome(customer_id=her, at=DAY, kind="reply")])
        stranger.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        stranger.execute("SELECT 1")
        with pytest.raises(JournalError, match="call forget again"):
            journal.forget(her)
        stranger.execute("COMMIT")
        journal.forget(her)
        assert journal.outcomes().customer_id.tolist() == [""]
        stranger.execute("CHECKPOINT")
    tables = b"".join(one.read_bytes() for one in (cluster[1] / "base").rglob("*") if one.is_file())
    assert b"Quartz-78" not in tables


@pytest.fixture
def clerk(url, stranger):
    """The address for a role that may read and insert, and nothing else."""
    Journal(url).close()
    stranger.execute("CREATE ROLE clerk LOGIN")
    stranger.execute("GRANT USAGE ON SCHEMA retention_journal TO clerk")
    stranger.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA retention_journal TO clerk")
    yield url.replace("shop@", "clerk@")
    stranger.execute("DROP OWNED BY clerk")
    stranger.execute("DROP ROLE clerk")


def test_a_role_that_may_only_read_and_insert_can_keep_the_journal(clerk, plan_of):
    with Journal(clerk) as journal:
        assert not journal.record(plan_of(DAY, contact=["a"], holdout=["b"])).already
        assert journal.cancel(DAY, ["a"]).events == 1
        with pytest.raises(JournalError, match="permission denied"):
            journal.forget("a")
        assert journal.decisions().customer_id.tolist() == ["a", "b"]


def test_forgetting_says_so_when_the_role_cannot_overwrite_what_it_deleted(clerk, url, stranger, plan_of):
    stranger.execute("GRANT DELETE ON retention_journal.people, retention_journal.words TO clerk")
    with Journal(clerk) as journal:
        journal.record(plan_of(DAY, contact=["a"]))
        with pytest.raises(JournalError, match="tables' owner"):
            journal.forget("a")
    with Journal(url) as journal:
        journal.forget("a")
        assert journal.decisions().customer_id.tolist() == [""]
