"""Where events are kept: one small interface, a SQLite file by default, a PostgreSQL server for many writers.

Both take the same SQL with named parameters (``:day``), so reading and writing know neither. SQLite goes through the
standard library and PostgreSQL through SQLAlchemy Core: whoever keeps a file installs nothing.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from retention.errors import JournalError
from retention.journal import schema

__all__ = ["Store", "open_store", "check_version", "not_a_journal"]


class Store(Protocol):
    """A database of the journal's tables. Its errors are JournalErrors, and hold no value of any row."""

    def rows(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """What a statement gives."""

    def run(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        """One statement for each of the rows."""

    def writing(self) -> AbstractContextManager[None]:
        """A transaction: all of it is on the disk at the end, or none of it. One writer at a time; others wait."""

    def scrub(self) -> None:
        """Overwrite or give back what deleted rows leave behind."""

    def close(self) -> None:
        """Let go of the database."""


def open_store(place: str | Path) -> Store:
    """The store at a path or URL, made if missing, brought up to this package's version if older."""
    if isinstance(place, str) and "://" in place:
        from retention.journal.postgres import Postgres

        return Postgres(place)
    from retention.journal.sqlite import SQLite

    return SQLite(str(place))


def check_version(version: int, place: str) -> None:
    """Refuse a journal that a newer package wrote."""
    if version > schema.VERSION:
        raise JournalError(
            f"{place}: a journal of version {version}",
            rule=f"this package reads journals up to version {schema.VERSION}",
            remedy="install the newer package that wrote it",
        )


def not_a_journal(place: str) -> JournalError:
    """The error for what somebody else made."""
    return JournalError(
        f"{place}: not a journal",
        rule="a journal is a file, or a schema of a database, that this package made",
        remedy="give the path of a journal, or of a file that does not exist yet",
    )
