"""Files of receipts, each taken into a history store once."""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from retention.errors import ReadError
from retention.frames.lazy import files_of
from retention.histories.nights import TakenIn
from retention.histories.store import HistoryStore
from retention.records.quality import Quality
from retention.records.scan import TransactionScan, scan_transactions

__all__ = ["take_in_files"]


def take_in_files(store: HistoryStore, path: str, *, as_of: str | dt.date = "last", **named: Any) -> TakenIn:
    """Take in those files of a folder or a pattern that the store has not had yet, and bring it to an evening.

    Files are known by their names and sizes. One that has grown or shrunk since is taken in again if its rows have line
    ids, by which they replace those of before; otherwise it is an error.

    Args:
        store: where to.
        path: a file, a folder, or a pattern such as ``"sales/*.parquet"``.
        as_of: the last day that is known; ``"last"`` is the last day of all rows, and not before the last evening.
        named: the columns, as :func:`retention.scan_transactions` has them.

    Raises:
        ReadError: no file at all, or one that is another than before and has no line ids.
    """
    had = _had(store)
    files = {str(Path(file).resolve()): Path(file).stat().st_size for file in files_of(path)}
    names = {file: Path(file).name for file in files}
    if len(set(names.values())) < len(names):  # of equal names in several folders the whole path is needed
        names = {file: file for file in files}
    new = [file for file, size in files.items() if had.get(names[file]) != size]
    changed = [file for file in new if names[file] in had]
    if changed and named.get("line_id") is None:
        raise ReadError(
            f"{Path(changed[0]).name}: another size than when it was taken in",
            rule="without line ids the rows of a file are taken in once, and nobody can tell which of them are new",
            remedy="put new rows into a file of their own, or name line_id and start a new store",
        )
    scan = scan_transactions(tuple(new) or (next(iter(files)),), **named)
    if not new:  # the store grows older, and no row comes
        scan = attrs.evolve(scan.until(dt.date.min), judged=Quality())
    day = _evening(store, scan) if as_of == "last" else as_of
    return store.take_in(
        scan, as_of=day, delivery=json.dumps({names[file]: files[file] for file in new}) if new else None
    )


def _had(store: HistoryStore) -> Mapping[str, int]:
    """The files that were delivered, with the size that each had last."""
    had: dict[str, int] = {}
    for told in store.nights().delivery.tolist():
        if told.startswith("{"):
            had |= json.loads(told)
    return had


def _evening(store: HistoryStore, scan: TransactionScan) -> dt.date:
    days = scan.days()
    found = [day for day in (None if days is None else days[1], store.as_of) if day is not None]
    if not found:
        raise ReadError(
            "files without a row that counts",
            rule="the last day of no rows does not exist",
            remedy="look at scan_transactions(...).quality, or give a day",
        )
    return max(found)
