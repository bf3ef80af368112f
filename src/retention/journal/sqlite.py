"""A journal in one SQLite file, through the standard library."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retention.errors import JournalError
from retention.journal import schema
from retention.journal.store import check_version, not_a_journal

__all__ = ["SQLite"]

_APPLICATION_ID = 0x52746A6C
_PATIENCE_SECONDS = 60.0


class SQLite:
    """One file with its write-ahead log; what a transaction wrote is on the disk when it ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        if path != ":memory:":
            _check_place(Path(path))
        with self._told():
            self._db = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)
        try:
            with self._told():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def rows(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """What a statement gives."""
        with self._told():
            return self._db.execute(sql, values or {}).fetchall()

    def run(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        """One statement for each of the rows."""
        with self._told():
            self._db.executemany(sql, rows)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that no other writer shares."""
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def scrub(self) -> None:
        """Rewrite the file, then cut the write-ahead log, which holds pages from before, to nothing."""
        with self._told():
            self._db.execute("PRAGMA temp_store = FILE")  # for the copy of the whole file
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA temp_store = MEMORY")
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise JournalError(
                "the person is erased, but a reader of the journal holds on to old pages",
                rule="what is forgotten must leave the file",
                remedy="close the other users of the journal and call forget again",
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _prepare(self) -> None:
        if self._version() < schema.VERSION:
            with self.writing():
                version = self._version()  # another process may have been first
                for step in schema.SQLITE[version:]:
                    for statement in step:
                        self._db.execute(statement)
                # PRAGMAs take no parameters; both values are our own integers.
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID:d}")
                self._db.execute(f"PRAGMA user_version = {schema.VERSION:d}")
        self._use_wal()
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute("PRAGMA foreign_keys = ON")
        # What a statement would need to be taken back on its own, which a file would be written for at each row.
        self._db.execute("PRAGMA temp_store = MEMORY")

    def _version(self) -> int:
        """The file's version, 0 for an empty one; an error if it is no journal of ours."""
        found = self._db.execute(
            "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),"
            " (SELECT count(*) FROM sqlite_master)"
        ).fetchone()
        application, version, tables = (int(value) for value in found)
        if application != _APPLICATION_ID and (application, version, tables) != (0, 0, 0):
            raise not_a_journal(self._path)
        check_version(version, self._path)
        return version

    def _use_wal(self) -> None:
        """Readers then never wait for the writer. The switch itself does not wait its turn, so it is tried again."""
        for attempt in range(100):
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if attempt == 99:
                    raise
                time.sleep(0.05)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors as one kind of ours; their text names tables and files, never values."""
        try:
            yield
        except (sqlite3.Error, UnicodeEncodeError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                raise not_a_journal(self._path) from error
            fault = "text that is not Unicode" if isinstance(error, UnicodeEncodeError) else str(error)
            raise JournalError(
                f"{self._path}: {fault}",
                rule="a journal is an open, readable, writable SQLite file, and holds text",
                remedy="check the path, its permissions and the free space, and that the journal is not closed",
            ) from None


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
            raise not_a_journal(str(path))
