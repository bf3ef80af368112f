"""Any file or frame in, raw columns out: where each cell stood, nothing interpreted yet.

A file that is no table at all ends here, in one error that says what was found. A single odd row never does.
"""

import codecs
import csv
import gzip
import importlib.util
import io
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from retention.errors import ColumnError, MissingExtraError, ReadError, nearest
from retention.frames.table import BoolColumn, IntColumn

__all__ = ["RawColumn", "Source", "open_source"]

DELIMITERS = (",", ";", "\t", "|")
MAX_CELL = 131_072
_BINARY = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"SQLite format 3": "an SQLite database",
}


@frozen(eq=False, kw_only=True)
class RawColumn:
    """One column as it came: text as codes into ``labels`` (-1 where there is none), the rest as numbers.

    ``kind`` is text, int (int64), float (float64) or time (datetime64[us]). ``time_zone`` is set for instants,
    whose ``values`` then are UTC.
    """

    name: str
    kind: Literal["text", "int", "float", "time"]
    values: NDArray[Any]
    missing: BoolColumn
    labels: list[str] = field(factory=list)
    time_zone: str | None = None

    def identity(self) -> IntColumn:
        """A whole number per row: equal numbers, equal cells."""
        if self.kind == "text":
            return self.values.astype(np.int64)
        _, codes = np.unique(self.values, return_inverse=True)
        return np.where(self.missing, -1, codes.reshape(-1))


@frozen(eq=False, kw_only=True)
class Source:
    """A table as it came: columns, the line on which each row stood, and the rows that had no shape.

    ``line`` counts from 1: lines of the file, header included, for delimited text (``unit`` "line"), rows
    otherwise ("row"). ``misshapen`` lists lines with too few or too many cells.
    """

    name: str
    unit: Literal["line", "row"]
    columns: Mapping[str, RawColumn]
    line: IntColumn
    misshapen: IntColumn = field(factory=lambda: np.zeros(0, dtype=np.int64))
    notes: Mapping[str, int] = field(factory=dict)

    def __len__(self) -> int:
        return len(self.line)

    def column(self, name: str, *, role: str) -> RawColumn:
        """The column of that name, or one error with the nearest name."""
        found = self.columns.get(name) or self.columns.get(name.strip())
        if found is None:
            raise ColumnError(
                f"{role}={name!r}: {self.name} has no such column",
                rule=f"{role} names a column of the source",
                remedy=nearest(name, self.columns),
            )
        return found

    def repeats(self) -> BoolColumn:
        """True for each row that repeats an earlier one in every cell."""
        key = np.zeros(len(self), dtype=np.int64)
        for column in self.columns.values():
            cells = column.identity() + 1
            _, key = np.unique(key * (int(cells.max(initial=0)) + 1) + cells, return_inverse=True)
            key = key.reshape(-1)
        _, first = np.unique(key, return_index=True)
        again = np.ones(len(self), dtype=bool)
        again[first] = False
        return again


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
    return _from_frame(source)


def _open_path(path: Path) -> Source:
    name = path.name or str(path)
    try:
        if path.is_dir():
            raise ReadError(f"{name} is a directory", rule="a source is one file", remedy="name a file in it")
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
        return _from_parquet(data, name)
    return _from_text(_decoded(data, name), name)


def _near_files(path: Path) -> str:
    try:
        there = [p.name for p in path.parent.iterdir()][:200] if path.parent.is_dir() else []
    except OSError:
        there = []
    close = nearest(path.name, there)
    return close.split("?")[0] + "?" if close.startswith("did you mean") else "check the path"


# ---------------------------------------------------------------------------------------------- delimited text


def _decoded(data: bytes, name: str) -> tuple[str, int]:
    """The text, and how many bytes of it were not UTF-8."""
    if not data.strip():
        raise ReadError(f"{name} is empty", rule="a source has a header and rows", remedy="export the file again")
    for magic, what in _BINARY.items():
        if data.startswith(magic):
            raise _not_text(name, f"is {what}")
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        text = data.decode("utf-16", errors="replace")
        if "\0" in text:
            raise _not_text(name, "holds NUL characters")
        return text, 0
    if b"\0" in data:
        raise _not_text(name, "holds NUL bytes")
    try:
        return data.decode("utf-8-sig"), 0
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", errors="surrogateescape")
        odd = sum(1 for character in text if "\udc80" <= character <= "\udcff")
        return text.translate(_CP1252), odd


def _not_text(name: str, finding: str) -> ReadError:
    return ReadError(
        f"{name} {finding}, not a table of text",
        rule="a source is delimited text (CSV, TSV, also .gz), Parquet or a data frame",
        remedy="export the data as CSV (in a spreadsheet: Save as, CSV UTF-8)",
    )


def _cp1252() -> dict[int, str]:
    """What each escaped byte is in cp1252; the five bytes that it leaves open, in latin-1."""
    table = {}
    for byte in range(0x80, 0x100):
        try:
            table[0xDC00 + byte] = bytes([byte]).decode("cp1252")
        except UnicodeDecodeError:
            table[0xDC00 + byte] = chr(byte)
    return table


_CP1252 = _cp1252()


def _from_text(decoded: tuple[str, int], name: str) -> Source:
    text, odd_bytes = decoded
    skipped = 0
    first_line = text[: text.find("\n") + 1 or len(text)].strip()
    if first_line.lower().startswith("sep=") and len(first_line) == 5:
        delimiter, skipped = first_line[4], 1
        text = text[text.find("\n") + 1 :]
    else:
        delimiter = _delimiter(text)
    rows, starts, spanning = _parsed(text, delimiter, name, skipped)
    if not rows:
        raise ReadError(f"{name} is empty", rule="a source has a header and rows", remedy="export the file again")
    titles = _without_blank_end(rows)
    header = [title or f"column {i}" for i, title in enumerate(titles, start=1)]
    _distinct(header, name)
    width = len(header)
    fits = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows)) == width
    if not fits.all():
        for i in np.flatnonzero(~fits):
            # A delimiter too many at the end of a row holds no cell.
            if len(rows[i]) > width and not any(cell.strip() for cell in rows[i][width:]):
                rows[i], fits[i] = rows[i][:width], True
    fits[0] = False
    misshapen = ~fits
    misshapen[0] = False
    good = [row for row, fit in zip(rows, fits.tolist(), strict=True) if fit]
    if len(rows) == 1:
        raise _no_rows(name)
    columns = zip(*good, strict=True) if good else ([] for _ in header)
    notes = {
        "bytes that are not UTF-8, read as cp1252": odd_bytes,
        "rows read as spanning several lines, because of a quote": spanning,
    }
    return Source(
        name=name,
        unit="line",
        columns={title: _text_column(title, cells) for title, cells in zip(header, columns, strict=True)},
        line=starts[fits],
        misshapen=starts[misshapen],
        notes={note: count for note, count in notes.items() if count},
    )


def _without_blank_end(rows: list[list[str]]) -> list[str]:
    """The header's titles, less those blank ones at its end under which no row has anything."""
    titles = [cell.strip() for cell in rows[0]]
    named = max((i for i, title in enumerate(titles, start=1) if title), default=0)
    if not named or any(cell.strip() for row in rows[1:] for cell in row[named:]):
        return titles
    return titles[:named]


def _parsed(text: str, delimiter: str, name: str, skipped: int) -> tuple[list[list[str]], IntColumn, int]:
    """The rows that are not blank, the line on which each starts, and how many go on over further lines."""
    rows: list[list[str]] = []
    starts = []
    spanning = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    previous = 0
    try:
        for row in reader:
            if row:
                rows.append(row)
                starts.append(previous + 1 + skipped)
                spanning += reader.line_num > previous + 1
            previous = reader.line_num
    except csv.Error as problem:
        raise ReadError(
            f"{name}, line {previous + 1 + skipped}: a cell of more than {MAX_CELL:,} characters starts here",
            rule="a cell is no longer than that; a quoted cell ends with a quote",
            remedy="look at that line for a quote that is never closed, or for a file pasted into a cell",
        ) from problem
    if rows and _never_closed(text, starts[-1] - skipped, delimiter):
        raise ReadError(
            f"{name}, line {starts[-1]}: a quote is opened and never closed",
            rule="a quoted cell ends with a quote",
            remedy="close or remove the quote on that line",
        )
    return rows, np.asarray(starts, dtype=np.int64), spanning


def _never_closed(text: str, last_start: int, delimiter: str) -> bool:
    """Whether the last row ends inside a quoted cell, which the csv module lets pass unless it is strict."""
    stream = io.StringIO(text, newline="")
    for _ in range(last_start - 1):
        stream.readline()
    try:
        for _ in csv.reader(stream, delimiter=delimiter, strict=True):
            pass
    except csv.Error as problem:
        return "unexpected end of data" in str(problem)
    return False


def _delimiter(text: str) -> str:
    """The delimiter under which most of the first rows have the header's number of cells, two at least."""

    def fitness(delimiter: str) -> tuple[int, int]:
        widths = []
        try:
            for row in csv.reader(io.StringIO(text[:MAX_CELL], newline=""), delimiter=delimiter):
                if row:
                    widths.append(len(row))
                if len(widths) == 50:
                    break
        except csv.Error:
            return (0, 0)
        if not widths or widths[0] < 2:
            return (0, 0)
        return (sum(width == widths[0] for width in widths), widths[0])

    return max(DELIMITERS, key=fitness)


def _distinct(names: Iterable[str], source: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ColumnError(
            f"{source} has more than one column called {', '.join(map(repr, twice))}",
            rule="each column has a name of its own",
            remedy="rename one of them in the header",
        )


def _no_rows(name: str) -> ReadError:
    return ReadError(
        f"{name} has a header and no rows", rule="a source has at least one row", remedy="check the export's filter"
    )


def _text_column(name: str, cells: Iterable[str | None]) -> RawColumn:
    listed = cells if isinstance(cells, list | tuple) else list(cells)
    index: dict[str | None, int] = {
        label: i for i, label in enumerate(dict.fromkeys(c for c in listed if c is not None))
    }
    labels = [label for label in index if label is not None]
    index[None] = -1
    codes = np.fromiter(map(index.__getitem__, listed), dtype=np.int32, count=len(listed))
    return RawColumn(name=name, kind="text", values=codes, missing=codes < 0, labels=labels)


# -------------------------------------------------------------------------------------------- Parquet and frames


def _from_parquet(data: bytes, name: str) -> Source:
    try:
        frame = _parquet_reader()(io.BytesIO(data))
    except MissingExtraError:
        raise
    except Exception as problem:  # the libraries raise many kinds for a damaged file
        raise ReadError(
            f"{name} starts as Parquet, but its content is damaged",
            rule="a Parquet file opens without error",
            remedy="copy or export the file again",
        ) from problem
    return _from_frame(frame, name=name)


def _parquet_reader() -> Callable[[io.BytesIO], Any]:
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow.parquet

        return pyarrow.parquet.read_table  # type: ignore[no-any-return]
    if importlib.util.find_spec("polars") is not None:
        import polars

        return polars.read_parquet
    raise MissingExtraError("reading Parquet", library="pyarrow", extra="parquet")


def _from_frame(native: Any, name: str | None = None) -> Source:
    import narwhals as nw

    try:
        frame: Any = nw.from_native(native)
    except TypeError:
        _no_table(native)
    except nw.exceptions.DuplicateError:
        titles = getattr(native, "column_names", None) or native.columns
        _distinct(map(str, titles), f"the {type(native).__module__.split('.')[0]} frame")
        raise
    if isinstance(frame, nw.LazyFrame):
        raise ReadError(
            f"a lazy frame ({type(native).__name__})",
            rule="a source is a file or a frame that is in memory",
            remedy="call .collect() (or .execute(), .compute()) on it first",
        )
    if not isinstance(frame, nw.DataFrame):
        _no_table(native)
    name = name or f"the {nw.get_native_namespace(frame).__name__} frame"
    titles = [str(title) for title in frame.columns]
    _distinct(titles, name)
    if not titles or not len(frame):
        raise _no_rows(name)
    return Source(
        name=name,
        unit="row",
        columns={
            title: _frame_column(title, series, nw) for title, series in zip(titles, frame.iter_columns(), strict=True)
        },
        line=np.arange(1, len(frame) + 1, dtype=np.int64),
    )


def _no_table(native: Any) -> NoReturn:
    raise ReadError(
        f"a source of type {type(native).__name__}",
        rule="a source is a path, or a data frame of pandas, polars, pyarrow or another library that narwhals knows",
        remedy="pass the path as text, or put the data into a frame",
    )


def _frame_column(name: str, series: Any, nw: Any) -> RawColumn:
    dtype = series.dtype
    zone = getattr(getattr(series.to_native(), "dtype", None), "tz", None) if dtype == nw.Unknown else None
    if zone is not None:  # pandas; narwhals does not know zones whose name has an underscore
        utc = nw.from_native(series.to_native().dt.tz_convert("UTC").dt.tz_localize(None), series_only=True)
        return evolve(_frame_column(name, utc, nw), time_zone=str(zone))
    if not dtype.is_numeric() and not dtype.is_temporal():
        return _text_column(name, _as_texts(series.to_list()))
    missing = series.is_null().to_numpy().astype(bool)
    if dtype.is_integer() and dtype not in (nw.UInt64, nw.Int128, nw.UInt128):
        values = series.fill_null(0).to_numpy() if missing.any() else series.to_numpy()
        return RawColumn(name=name, kind="int", values=values.astype(np.int64), missing=missing)
    if dtype.is_float():
        return _float_column(name, series.to_numpy(), missing)
    if dtype == nw.Date:
        values = series.cast(nw.Datetime("us")).to_numpy()
        return RawColumn(name=name, kind="time", values=values.astype("datetime64[us]"), missing=missing)
    if dtype == nw.Datetime:
        zone = dtype.time_zone
        if zone is not None:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        values = series.to_numpy().astype("datetime64[us]")
        return RawColumn(name=name, kind="time", values=values, missing=missing | np.isnat(values), time_zone=zone)
    return _text_column(name, _as_texts(series.to_list()))


def _float_column(name: str, values: NDArray[Any], missing: BoolColumn) -> RawColumn:
    if values.dtype.itemsize < 8:
        # A narrow float means the shortest decimal that prints it, not its long tail in double precision.
        distinct, codes = np.unique(values, return_inverse=True)
        values = np.asarray([float(str(v)) for v in distinct], dtype=np.float64)[codes.reshape(-1)]
    values = values.astype(np.float64)
    return RawColumn(name=name, kind="float", values=values, missing=missing | np.isnan(values))


def _as_texts(cells: list[Any]) -> list[str | None]:
    if set(map(type, cells)) <= {str, type(None)}:
        return cells
    return [cell if type(cell) is str else _as_text(cell) for cell in cells]


def _as_text(cell: Any) -> str | None:
    """A cell of a mixed column as text; None for the many ways to say that there is nothing."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(cell, float | np.floating):
        number = float(cell)
        if number != number:
            return None
        return str(int(number)) if abs(number) < 1e15 and number.is_integer() else _beyond_doubt(repr(number))
    if isinstance(cell, Decimal):
        if cell.is_nan():
            return None
        plain = f"{cell:f}" if cell.is_finite() and abs(cell.adjusted()) < 20 else str(cell)
        return _beyond_doubt(plain.rstrip("0").rstrip(".") if "." in plain else plain)
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, bytes):
        return cell.decode("utf-8", errors="replace")
    return str(cell)


def _beyond_doubt(number: str) -> str:
    """A number as text whose dot cannot be taken for a mark of thousands, as it can in 1.234."""
    return number + "0" if len(number.partition(".")[2]) == 3 else number
