"""Delimited text in: its encoding, its delimiter, and the line on which each row stands.

A file that is no table at all ends here, in one error that says what was found. A single odd row never does.
"""

import codecs
import csv
import io

import numpy as np

from retention.errors import ReadError
from retention.frames.source import Source, no_rows, refuse_repeated, text_column
from retention.frames.table import IntColumn

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


def from_text(data: bytes, name: str) -> Source:
    """The content of a file of delimited text."""
    text, odd_bytes = _decoded(data, name)
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
    refuse_repeated(header, name)
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
        raise no_rows(name)
    columns = zip(*good, strict=True) if good else ([] for _ in header)
    notes = {
        "bytes that are not UTF-8, read as cp1252": odd_bytes,
        "rows read as spanning several lines, because of a quote": spanning,
    }
    return Source(
        name=name,
        unit="line",
        columns={title: text_column(title, cells) for title, cells in zip(header, columns, strict=True)},
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
