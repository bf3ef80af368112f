"""Any file or frame in, raw columns out: the content decides which of the ways it is read."""

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

from retention.errors import ReadError, nearest
from retention.frames._frames import from_frame, from_parquet
from retention.frames._text import from_text
from retention.frames.source import RawColumn, Source

__all__ = ["RawColumn", "Source", "open_source"]


def open_source(source: Any) -> Source:
    """Read a path (CSV, TSV, also gzipped, or Parquet) or an eager frame into raw columns; what is open stays.

    The content decides, not the name: gzip and Parquet are known by their first bytes, the delimiter (comma,
    semicolon, tab, bar) by which one gives rows of equal length. Text is UTF-8 (UTF-16 with a byte-order mark);
    single bytes that are not are read as cp1252 and counted.

    Raises:
        ReadError: a directory, an empty or binary file, a broken archive, an unclosed quote, a cell beyond
            131,072 characters, no rows, a lazy frame, something that is no table.
        MissingExtraError: Parquet without pyarrow or polars.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source))
    return from_frame(source)


def _open_path(path: Path) -> Source:
    name = path.name or str(path)
    try:
        if path.is_dir():
            raise ReadError(
                f"{name} is a directory", rule="a source is one file", remedy="name a file in it, or scan it"
            )
        data = path.read_bytes()
    except FileNotFoundError as problem:
        raise ReadError(
            f"there is no file {name!r}", rule="a source is a file that exists", remedy=_near_files(path)
        ) from problem
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or type(problem).__name__
        raise ReadError(
            f"{name} cannot be opened: {why}",
            rule="a source is a file that this user may read",
            remedy="check the path and its permissions",
        ) from problem
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as problem:
            raise ReadError(
                f"{name} starts as gzip, but its content is damaged",
                rule="a .gz file unpacks without error",
                remedy="copy or export the file again",
            ) from problem
    if data[:4] == b"PAR1":
        return from_parquet(data, name)
    return from_text(data, name)


def _near_files(path: Path) -> str:
    try:
        there = [p.name for p in path.parent.iterdir()][:200] if path.parent.is_dir() else []
    except OSError:
        there = []
    if "*" in path.name:
        return "name one file; rt.scan_transactions reads patterns of receipts (in a program: reader = 'scan')"
    close = nearest(path.name, there)
    return close.split("?")[0] + "?" if close.startswith("did you mean") else "check the path"
