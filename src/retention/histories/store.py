"""Histories from night to night: a folder that takes in what is new, and computes anew only those whom it concerns."""

import contextlib
import datetime as dt
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import attrs
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ConfigError, ReadError
from retention.frames.embedded import connect
from retention.frames.lazy import lazily, spill
from retention.histories._manifest import HISTORY, MANIFEST, Manifest, histories_of, lines_of, scan_of, settle
from retention.histories._night import OneNight, Work, forgotten
from retention.histories.nights import Nights, TakenIn
from retention.histories.pushdown import HistoryScan
from retention.records.scan import TransactionScan

__all__ = ["HistoryStore"]

_LOCK, _TONIGHT = "store.lock", "tonight"
_WAIT = 60.0
"""Seconds to wait for another process that is taking in a night."""


@frozen(kw_only=True, repr=False)
class HistoryStore:
    """A folder with all transactions so far and everybody's history on the last evening.

    Each night gives it the rows that are new; it works out anew, from all their rows, the histories of the customers
    whom these concern, however late the rows come, and all others grow older by the days that have passed. What it
    then holds is what :func:`summarize` says of all rows together.

    The folder is the store's own. A night is taken in whole or not at all, also when the process is killed in it;
    a second process waits. It needs the extra ``duckdb``.

    ``threads`` and ``memory`` (such as ``"3GB"``) are the most that the engine may use; None leaves it to the engine.

    Example:
        >>> import polars, tempfile
        >>> from retention.records import scan_transactions
        >>> def rows(who, day):
        ...     table = polars.DataFrame({"who": who, "day": day, "sum": [5.0] * len(who)})
        ...     table = table.with_columns(polars.col("day").str.to_date())
        ...     return scan_transactions(table, customer="who", at="day", revenue="sum")
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = HistoryStore.create(folder.name)
        >>> store.take_in(rows(["a", "b"], ["2011-01-03", "2011-01-04"]), as_of="2011-01-04").new
        2
        >>> night = store.take_in(rows(["a", "a"], ["2011-01-05", "2011-01-01"]), as_of="2011-01-06")
        >>> night.new, night.late, night.computed, night.customers
        (1, 1, 1, 2)
        >>> store.histories().collect()["age_days"].tolist()
        [5.0, 2.0]
        >>> folder.cleanup()
    """

    folder: Path
    threads: int | None = None
    memory: str | None = None

    @classmethod
    def create(
        cls,
        folder: "str | os.PathLike[str]",
        *,
        exist_ok: bool = False,
        threads: int | None = None,
        memory: str | None = None,
    ) -> Self:
        """A new store in a new or empty folder; with ``exist_ok`` the one that is there already, if there is one.

        Raises ConfigError if the folder holds something else.
        """
        where = Path(folder)
        if exist_ok and (where / MANIFEST).is_file():
            return cls.open(where, threads=threads, memory=memory)
        try:
            where.mkdir(parents=True, exist_ok=True)
            taken = any(not path.name.startswith((_LOCK, f".{MANIFEST}.")) for path in where.iterdir())
        except OSError:
            taken = True
        if taken:
            raise ConfigError(
                f"a history store in {where.name}",
                rule="a store is made in a folder that can be written to and is empty",
                remedy="choose another folder, or HistoryStore.open if the store is there already",
            )
        store = cls(folder=where, threads=threads, memory=memory)
        with store._alone():
            if not (where / MANIFEST).is_file():  # another process may have been quicker
                Manifest().write(where / MANIFEST)
                return store
        return cls.create(where, exist_ok=exist_ok, threads=threads, memory=memory)

    @classmethod
    def open(cls, folder: "str | os.PathLike[str]", *, threads: int | None = None, memory: str | None = None) -> Self:
        """The store in a folder. Raises ReadError if there is none, or if it is damaged or of a newer version."""
        store = cls(folder=Path(folder), threads=threads, memory=memory)
        if not (store.folder / MANIFEST).is_file():
            raise ReadError(
                f"{store.folder.name}: no history store",
                rule=f"a store is a folder with a {MANIFEST}",
                remedy="check the path, or make one with HistoryStore.create(folder)",
            )
        store._known()
        return store

    @property
    def as_of(self) -> dt.date | None:
        """The last evening; None before the first night."""
        return self._known().as_of

    def take_in(
        self,
        scan: TransactionScan,
        *,
        as_of: str | dt.date,
        delivery: str | None = None,
        withdrawn: Iterable[object] = (),
    ) -> TakenIn:
        """Take in the rows of a night, and bring all histories to the evening of ``as_of``.

        Rows may be of any day. With line ids (``scan_transactions(..., line_id=...)``) a row takes the place of the
        earlier one of its id, whoever's that was; the same row again changes nothing. Without them every row is a
        further one.

        A delivery whose kept rows are, all together, those of an earlier one of the same name is known: it is counted
        and not taken in again. So a night that was interrupted, or one of which nobody knows, is simply repeated. Give
        deliveries names of their own where equal ones may be meant.

        Args:
            scan: the rows, wherever they are.
            as_of: the last day that is known; not before the last evening.
            delivery: a name for these rows, such as that of their file.
            withdrawn: line ids of earlier rows that shall not have been.

        Raises:
            ConfigError: a day before the last evening, or line ids to be withdrawn from rows without any.
            ReadError: rows of another kind than those before, or two that contradict each other under one line id.
        """
        return self._take_in(scan, as_of=as_of, delivery=delivery, withdrawn=withdrawn, files={})

    def _take_in(
        self,
        scan: TransactionScan,
        *,
        as_of: str | dt.date,
        delivery: str | None,
        withdrawn: Iterable[object],
        files: Mapping[str, Any],
    ) -> TakenIn:
        day = as_day(as_of)
        if isinstance(withdrawn, str | bytes):
            raise ConfigError(
                "withdrawn given as one text",
                rule="rows to withdraw are a list of line ids",
                remedy="withdrawn=['17']",
            )
        names = [str(one) for one in withdrawn]
        with self._working() as work:
            if work.known.as_of is not None and day < work.known.as_of:
                raise ConfigError(
                    f"as_of={day}, after the night of {work.known.as_of}",
                    rule="evenings go forward; rows of earlier days may come on any of them",
                    remedy="take the rows in with the last evening or a later one",
                )
            then = OneNight(work, day, delivery).take(scan, names)
            then = attrs.evolve(then, had={**then.had, **files})
            self._commit(work.known, then)
        return then.nights[-1]

    def forget(self, customer_id: object) -> int:
        """Delete all rows and the history of one customer, from the disk too; the number of rows that counted.

        Rows of hers that come later are taken in as anybody's. Whoever reads an earlier night then cannot finish.
        """
        with self._working() as work:
            then, rows = forgotten(work, str(customer_id))
            self._commit(work.known, then)
            self._sweep(then, patient=False)
        return rows

    def histories(self) -> HistoryScan:
        """Everybody's history on the last evening, as :func:`summarize` gives it of a scan; nothing is read yet.

        Raises ReadError before the first night.
        """
        known = self._known()
        if known.as_of is None:
            raise ReadError(
                f"{self.folder.name}: histories of no evening",
                rule="a store has histories from its first night on",
                remedy="take in a night first",
            )
        age = f"CAST(DATE '{known.as_of}' - first_at AS DOUBLE) AS age_days"
        columns = ", ".join([*HISTORY[:5], age, *HISTORY[5:]])
        engine = self._engine()
        frame = lazily(engine.sql(f"SELECT {columns} FROM ({histories_of(self.folder, known)})"))
        counted = frame.select("frequency", "recency_days", "age_days")
        return HistoryScan(frame=frame, counted=counted, local=None, as_of=known.as_of, scan=self._scan(engine, known))

    def lines(self) -> TransactionScan:
        """All rows that count, as they are now; those of days to come too. Nothing is read yet."""
        known = self._known()
        return self._scan(self._engine(), known)

    def nights(self) -> Nights:
        """The account of all nights so far."""
        return Nights.of(self._known().nights)

    def _scan(self, engine: Any, known: Manifest) -> TransactionScan:
        return attrs.evolve(scan_of(engine, lines_of(self.folder, known), known), memory=self.memory)

    def __repr__(self) -> str:
        known = self._known()
        if not known.nights:
            return "<HistoryStore: no night yet>"
        return f"<HistoryStore: {known.customers:,} customers on {known.as_of}, {len(known.nights):,} night(s)>"

    def _known(self) -> Manifest:
        known = Manifest.read(self.folder / MANIFEST)
        for file in known.files:
            path = self.folder / file.name
            if not path.is_file() or path.stat().st_size != file.bytes:
                raise ReadError(
                    f"{self.folder.name}: {file.name} is not as it was written",
                    rule="nobody else changes the files of a store",
                    remedy="bring the folder back from a copy, or begin anew from all transactions",
                )
        return known

    def _engine(self, spills: Path | None = None) -> Any:
        where = Path(spill()) if spills is None else spills
        return connect("a history store", where, threads=self.threads, memory=self.memory)

    @contextlib.contextmanager
    def _working(self) -> Iterator[Work]:
        """A place to prepare the next generation of files, for one process at a time."""
        with self._alone():
            known = self._known()
            self._sweep(known)
            workshop = self.folder / _TONIGHT
            workshop.mkdir()
            try:
                with contextlib.closing(self._engine(workshop / "spill")) as engine:
                    yield Work(folder=self.folder, known=known, workshop=workshop, engine=engine)
            finally:
                shutil.rmtree(workshop, ignore_errors=True)

    def _commit(self, known: Manifest, then: Manifest) -> None:
        """Until the manifest is in its place the store is as it was."""
        for file in {*then.files} - {*known.files}:
            settle(self.folder / file.name)
        settle(self.folder)
        then.write(self.folder / MANIFEST)
        self._sweep(then)

    def _sweep(self, known: Manifest, *, patient: bool = True) -> None:
        """Away with what the manifest does not name: older nights, and what an interrupted one has left.

        Where a file that somebody reads cannot be deleted, it goes with a later night.
        """
        shutil.rmtree(self.folder / _TONIGHT, ignore_errors=True)
        named = {*known.before, *(file.name for file in known.files)}
        for path in [*self.folder.glob("part-*.parquet"), *self.folder.glob(f".{MANIFEST}.*")]:
            if path.name not in named:
                with contextlib.suppress(*[PermissionError] * patient):
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time. The lock is SQLite's, for that is let go when a process dies, on every system."""
        import sqlite3

        lock = sqlite3.connect(self.folder / _LOCK, timeout=_WAIT, isolation_level=None)
        try:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as problem:
                raise ReadError(
                    f"{self.folder.name}: the store cannot be locked ({problem})",
                    rule="one process at a time takes in a night, in a folder that can be written to",
                    remedy="wait for the other one, and try again",
                ) from problem
            yield
        finally:
            lock.close()
