"""A journal in a PostgreSQL database, through SQLAlchemy Core: for many writers."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retention.errors import JournalError, MissingExtraError
from retention.journal import schema
from retention.journal.store import check_version, not_a_journal

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Postgres"]

_SCHEMA = "retention_journal"
_LOCK = 0x52746A6C
_PATIENCE_SECONDS = 60
_MANY = 1_000


class Postgres:
    """One schema of a database, one connection. What a transaction wrote is as safe as the server makes a commit.

    Writers take turns, as with a file: one lock is all there is to know of concurrency, and a night or a day's touches
    is one short transaction. Readers never wait. A role that may only read and insert can do all but ``forget``.
    """

    def __init__(self, url: str) -> None:
        try:
            import sqlalchemy as sa
        except ModuleNotFoundError as missing:
            raise MissingExtraError("a journal in PostgreSQL", library="sqlalchemy", extra="sql") from missing
        self._sa = sa
        self._place = "the journal's database"
        try:
            address = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise _not_an_address() from None
        if address.get_backend_name() != "postgresql":
            raise _not_an_address()
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        self._place = address.render_as_string(hide_password=True)
        try:
            with self._told():
                engine = sa.create_engine(
                    address, poolclass=sa.NullPool, hide_parameters=True, isolation_level="READ COMMITTED"
                )
                self._db: Connection = engine.connect()
        except ModuleNotFoundError as missing:
            raise MissingExtraError("a journal in PostgreSQL", library=missing.name or "psycopg", extra="sql") from None
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def rows(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """What a statement gives."""
        with self._told(), self._within():
            found = self._db.execute(self._sa.text(sql), dict(values or {}))
            return [tuple(row) for row in found] if found.returns_rows else []

    def run(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        """One statement for each of the rows."""
        with self._told(), self._within():
            self._db.execute(self._sa.text(sql), [dict(row) for row in rows])
            if len(rows) >= _MANY:
                # The server counts its tables only now and then; until it has, it would read a full one as if empty.
                self._db.exec_driver_sql("ANALYZE people, events")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that no other writer shares."""
        with self._told(), self._within():
            self._take_turns()
            yield

    def scrub(self) -> None:
        """Write the tables that held ids and words anew."""
        outside, skipped = self._db.execution_options(isolation_level="AUTOCOMMIT"), False
        try:
            with self._told():
                outside.exec_driver_sql(f"SET lock_timeout = '{_PATIENCE_SECONDS}s'")
                # A reader's old transaction would keep the deleted rows through a rewrite.
                readers = outside.exec_driver_sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL"
                    " AND backend_type = 'client backend'"
                ).scalar_one()
                for table in (f"{_SCHEMA}.people", f"{_SCHEMA}.words"):
                    before = outside.exec_driver_sql(f"SELECT pg_relation_filenode('{table}')").scalar_one()
                    outside.exec_driver_sql(f"VACUUM (FULL) {table}")
                    after = outside.exec_driver_sql(f"SELECT pg_relation_filenode('{table}')").scalar_one()
                    skipped |= before == after  # for all but the owner the server only warns
        finally:
            with self._told():
                self._db.rollback()
                self._db.execution_options(isolation_level="READ COMMITTED")
        if skipped or readers:
            why = (
                "this role may not write the tables anew"
                if skipped
                else "a reader of the database holds on to old rows"
            )
            raise JournalError(
                f"the person is erased, but {why}",
                rule="what is forgotten must leave the tables",
                remedy="call forget again as the tables' owner" if skipped else "end it and call forget again",
            )

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(self._sa.exc.SQLAlchemyError):
            self._db.close()

    def _prepare(self) -> None:
        if self._version() == schema.VERSION:
            return
        with self._told(), self._within():
            self._take_turns()
            version = self._version()  # another process may have been first
            if version == 0:
                self._db.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
                self._db.exec_driver_sql("CREATE TABLE journal (version INTEGER NOT NULL)")
                self._db.exec_driver_sql("INSERT INTO journal VALUES (0)")
            for step in schema.POSTGRES[version:]:
                for statement in step:
                    self._db.exec_driver_sql(statement)
            self.run("UPDATE journal SET version = :version", [{"version": schema.VERSION}])

    def _take_turns(self) -> None:
        """Until the end of the transaction. A lock on a table would need the right to change it."""
        self._db.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK:d})")

    def _version(self) -> int:
        """The schema's version, 0 for none; an error if it is no journal of ours."""
        ours, tables = self.rows(
            "SELECT to_regclass(:ours) IS NOT NULL, (SELECT count(*) FROM pg_tables WHERE schemaname = :schema)",
            {"ours": f"{_SCHEMA}.journal", "schema": _SCHEMA},
        )[0]
        if not ours:
            if tables:
                raise not_a_journal(self._place)
            return 0
        version = int(self.rows("SELECT version FROM journal")[0][0])
        check_version(version, self._place)
        return version

    @contextlib.contextmanager
    def _within(self) -> Iterator[None]:
        """The running transaction, or one of its own."""
        if self._db.in_transaction():
            yield
            return
        with self._db.begin():
            # For each transaction: a pooling proxy may give the next one another session.
            self._db.exec_driver_sql(f"SET LOCAL search_path = {_SCHEMA}")
            self._db.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE_SECONDS}s'")
            yield

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The server's errors as one kind of ours, without their details, which quote values."""
        try:
            yield
        except (self._sa.exc.SQLAlchemyError, UnicodeEncodeError) as error:
            cause = getattr(error, "orig", None)
            said = getattr(getattr(cause, "diag", None), "message_primary", None)
            if isinstance(error, UnicodeEncodeError) or isinstance(cause, UnicodeEncodeError):
                said = "text that is not Unicode"
            elif said is None:  # no answer from a server, so nothing of a row is in it
                said = str(cause or error).partition("\n")[0]
            raise JournalError(
                f"{self._place}: {said}",
                rule="a journal is a schema of a PostgreSQL database that may be read and written, and holds text",
                remedy="check the address, the role's rights and the server, and that the journal is not closed",
            ) from None


def _not_an_address() -> JournalError:
    return JournalError(
        "an address that is not PostgreSQL's",
        rule="a journal is a SQLite file, or a database at postgresql+psycopg://user@host/name",
        remedy="give the path of a file, or such an address",
    )
