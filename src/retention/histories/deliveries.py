"""Files of receipts, each taken into a history store once."""

import datetime as dt
import hashlib
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

    A file is known by its content, wherever it lies and whatever it is called. One whose content has changed since it
    was taken in is taken in again if its rows have line ids, by which they replace those of before (rows that are in it
    no more still count, until they are withdrawn); without line ids that is an error.

    Args:
        store: where to.
        path: a file, a folder, or a pattern such as ``"sales/*.parquet"``; files of the store itself are left out.
        as_of: the last day that is known; ``"last"`` is the last day of all rows, and not before the last evening.
        named: the columns, as :func:`retention.scan_transactions` has them.

    Raises:
        ReadError: no file at all, or one that is another than before and has no line ids.
    """
    had = store._known().had
    inside = store.folder.resolve()
    files = [file for one in files_of(path) if not (file := Path(one).resolve()).is_relative_to(inside)]
    if not files:
        raise ReadError(
            f"{Path(path).name}: no file but those of the store",
            rule="receipts lie outside the folder that the store keeps",
            remedy="put one of the two into a folder of its own",
        )
    found = {str(file): _mark(file, had.get(str(file))) for file in files}
    contents = {digest for _, _, digest in had.values()}
    new = [file for file, (_, _, digest) in found.items() if digest not in contents]
    changed = [file for file in new if file in had]
    if changed and named.get("line_id") is None:
        raise ReadError(
            f"{Path(changed[0]).name}: not as it was when it was taken in",
            rule="without line ids the rows of a file are taken in once, and nobody can tell which of them are new",
            remedy="put new rows into a file of their own, or name line_id and start a new store",
        )
    scan = scan_transactions(tuple(new) or (str(files[0]),), **named)
    if not new:  # the store grows older, and no row comes
        scan = attrs.evolve(scan.until(dt.date.min), judged=Quality())
    day = _evening(store, scan) if as_of == "last" else as_of
    delivery = ", ".join(Path(file).name for file in new[:3]) + (f" and {len(new) - 3:,} more" if new[3:] else "")
    # Content tells deliveries apart, so that equal names of other days are other deliveries.
    marks = "".join(found[file][2] for file in new)
    name = f"{delivery} ({hashlib.blake2b(marks.encode(), digest_size=4).hexdigest()})" if new else None
    return store._take_in(scan, as_of=day, delivery=name, withdrawn=(), files=found)


def _mark(file: Path, known: tuple[int, int, str] | None) -> tuple[int, int, str]:
    """Size, time of change and digest of a file, which is not read again if neither of the others has changed."""
    told = file.stat()
    if known is not None and known[:2] == (told.st_size, told.st_mtime_ns):
        return known
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return told.st_size, told.st_mtime_ns, digest


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
