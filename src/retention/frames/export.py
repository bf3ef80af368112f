"""Columns to files: stable bytes, whole files or none, and no cell that a spreadsheet would run as a formula."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError, RetentionError
from retention.frames.table import Table
from retention.frames.texts import Labels, Texts

__all__ = ["replace_file", "replace_folder", "write_csv", "write_parquet", "write_parts", "escaped"]

DECIMALS = 6
_CHUNK = 50_000
"""Rows that are written at a time."""
# Spreadsheets start a formula at these signs, some at their full-width forms, and some skip what is not seen before.
_FORMULA = re.compile("[\\s\\x00-\\x1f\\u200b-\\u200f\\u2060\\ufeff]*[=+\\-@＝＋－＠]|[ \u00a0]*[\t\r\n]")
_SPECIAL = re.compile('[",\r\n]')


def escaped(text: str) -> str:
    """The text with an apostrophe before it if a spreadsheet would take it for a formula.

    Example:
        >>> escaped("=HYPERLINK(...)"), escaped("Ann")
        ("'=HYPERLINK(...)", 'Ann')
    """
    return "'" + text if _FORMULA.match(text) else text


def write_csv(table: Table | Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write columns as CSV: UTF-8, comma, one header line, ``\\n`` line ends; the same columns give the same bytes.

    Numbers are written with at most six decimals and never escaped; text (headers too) is, see :func:`escaped`.
    Missing values are empty cells. The file appears whole or not at all.

    Example:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = write_csv({"name": ["=1+1"], "gain": [-2.5]}, pathlib.Path(folder.name, "plan.csv"))
        >>> path.read_text()
        "name,gain\\n'=1+1,-2.5\\n"
        >>> folder.cleanup()
    """
    columns = _columns(table)
    rows = len(next(iter(columns.values()), ()))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(_line([escaped(name) for name in columns]).encode("utf-8", "replace"))
            for start in range(0, rows, _CHUNK):
                fields = [_fields(values[start : start + _CHUNK]) for values in columns.values()]
                if len(fields) == 1:
                    fields = [[field or '""' for field in fields[0]]]  # a line without a sign is no row
                file.write(("\n".join(map(",".join, zip(*fields, strict=True))) + "\n").encode("utf-8", "replace"))

    return replace_file(path, write)


def write_parquet(
    table: Table | Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    rows_per_file: int | None = None,
    spreadsheet: bool = True,
) -> Path:
    """Write columns as Parquet; with ``spreadsheet`` text is escaped as in CSV, for that is where it may end.

    With ``rows_per_file`` ``path`` is a folder of parts (see :func:`replace_folder`), else it is the file.

    Raises:
        MissingExtraError: none of pyarrow, polars and DuckDB is installed.
    """
    columns = _columns(table)
    if rows_per_file is None:
        return replace_file(path, lambda temporary: put_parquet(columns, temporary, spreadsheet=spreadsheet))
    if rows_per_file < 1:
        raise ConfigError(f"rows_per_file={rows_per_file!r}", rule="a file has rows", remedy="rows_per_file=1_000_000")
    rows = len(next(iter(columns.values()), ()))
    starts = range(0, max(rows, 1), rows_per_file)
    parts = ({name: values[i : i + rows_per_file] for name, values in columns.items()} for i in starts)
    return write_parts(parts, path, spreadsheet=spreadsheet)


def write_parts(
    parts: Iterable[Mapping[str, NDArray[Any]]], path: str | os.PathLike[str], *, spreadsheet: bool = False
) -> Path:
    """Write columns as they come into the parts of a folder, one part in memory at a time."""

    def write(temporary: Path) -> None:
        for number, columns in enumerate(parts):
            put_parquet(columns, temporary / f"part-{number:05d}.parquet", spreadsheet=spreadsheet)

    return replace_folder(path, write)


def put_parquet(columns: Mapping[str, NDArray[Any]], path: Path, *, spreadsheet: bool = False) -> None:
    """Write one Parquet file where nobody reads yet."""
    from retention.frames.native import installed, to_native

    if spreadsheet:
        columns = {escaped(name): _harmless(values) for name, values in columns.items()}
    library = installed("writing Parquet", "pyarrow", "polars", "duckdb")
    frame = to_native(columns, like=library)
    if library == "pyarrow":
        import pyarrow.parquet

        repeating: Any = [name for name, values in columns.items() if values.dtype.kind != "f"]
        pyarrow.parquet.write_table(frame, path, use_dictionary=repeating)
    else:
        frame.write_parquet(str(path))


def _harmless(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "UO":
        return values
    safe = [None if v is None else escaped(str(v)) for v in values.tolist()]
    return np.asarray(safe, dtype=np.str_ if values.dtype.kind == "U" else object)


def _columns(table: Table | Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    given = table.columns() if isinstance(table, Table) else table
    columns = {str(name): _array(values) for name, values in given.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise RetentionError(
            f"columns of lengths {lengths}", rule="all columns have one length", remedy="pass one value per row"
        )
    return columns


def _array(values: Any) -> Any:
    if isinstance(values, np.ndarray | Texts):
        return values
    array = np.asarray(values)
    # numpy would turn [1, "a"] into text and lose which of them was a number.
    return np.asarray(values, dtype=object) if array.dtype.kind in "USO" else array


def _line(cells: Sequence[str]) -> str:
    """One line of CSV."""
    return (",".join(map(_quoted, cells)) or '""') + "\n"


def _quoted(cell: str) -> str:
    """A field of CSV. (The csv module leaves a lone carriage return unquoted, which starts a row of its own.)"""
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell


def _fields(values: Any) -> list[str]:
    """The cells of one column as they stand in the file: what repeats is worked out once."""
    kind = values.dtype.kind
    if kind == "f":
        return _floats(values)
    if kind in "iu":
        return list(map(str, values.tolist()))
    if kind == "b":
        return [("false", "true")[v] for v in values.tolist()]
    if kind == "M":
        return _times(values)
    if isinstance(values, Labels) and len(values.labels) <= len(values):
        return list(
            np.asarray([_quoted(escaped(label)) for label in values.labels.tolist()], dtype=object)[values.codes]
        )
    if kind == "U":
        return _texts(values.tolist())
    return [_quoted(_cell(v)) for v in values.tolist()]


def _floats(values: NDArray[Any]) -> list[str]:
    """As :func:`_number` writes each: in bulk those whose sixth decimal is beyond doubt, one by one the others."""
    values = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        micro = values * 10.0**DECIMALS
        near = np.rint(micro)
        # The product is off by less than 2e-16 of itself: what is not that close to a half is rounded as it should be.
        sure = (np.abs(micro) < 2.0**52) & (np.abs(np.abs(micro - near) - 0.5) > 1e-15 * np.abs(micro) + 1e-300)
    if not sure.all():
        cells = np.empty(len(values), dtype=object)
        cells[~sure] = [_number(v) for v in values[~sure].tolist()]
        cells[sure] = _floats(values[sure])
        return list(cells)
    distinct, which = _distinct(near.astype(np.int64))
    whole = distinct % 10**DECIMALS == 0
    written = np.empty(len(distinct), dtype=object)
    written[whole] = list(map(str, (distinct[whole] // 10**DECIMALS).tolist()))
    written[~whole] = list(map(repr, (distinct[~whole] / 10.0**DECIMALS).tolist()))
    return list(written if which is None else written[which])


def _distinct(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp] | None]:
    """The distinct numbers and which of them each one is; the numbers as they are, and None, where few repeat."""
    some, counts = np.unique(numbers[:: max(len(numbers) // 500, 1)], return_counts=True)
    if 2 * len(some) >= counts.sum():
        return numbers, None
    usual = some[np.argmax(counts)]  # often nothing: sorting the others is less work
    others = np.flatnonzero(numbers != usual)
    distinct, which = np.unique(numbers[others], return_inverse=True)
    codes = np.zeros(len(numbers), dtype=np.intp)
    codes[others] = which.reshape(-1) + 1
    return np.concatenate([[usual], distinct]), codes


def _times(values: NDArray[Any]) -> list[str]:
    distinct, which = _distinct(values.view(np.int64))
    written = np.datetime_as_string(distinct.view(values.dtype)).astype(object)
    written[written == "NaT"] = ""
    return list(written if which is None else written[which])


def _texts(cells: list[str]) -> list[str]:
    distinct = set(cells)
    if 4 * len(distinct) < len(cells):
        written = {cell: _quoted(escaped(cell)) for cell in distinct}
        return [written[cell] for cell in cells]
    together = "".join(cells)
    begin = "".join({cell[:1] for cell in cells})
    if (begin and not (begin.isascii() and begin.isalnum())) or any(sign in together for sign in '"\r\n'):
        return [_quoted(escaped(cell)) for cell in cells]
    return ['"' + cell + '"' if "," in cell else cell for cell in cells] if "," in together else cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return escaped(value)
    text = str(value)
    return text if _is_number(text) else escaped(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(value: float) -> str:
    if value != value:
        return ""
    rounded = round(value, DECIMALS) + 0.0  # minus nothing is nothing
    return repr(int(rounded)) if abs(rounded) < 1e15 and rounded == int(rounded) else repr(rounded)


def replace_file(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Write beside the target, then put it in its place: a reader never sees half a file."""
    target = Path(path)
    temporary = None
    with _told(target):
        try:
            handle, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
            os.close(handle)
            temporary = Path(name)
            write(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        except BaseException:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise
    return target


def replace_folder(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Write the parts of a folder beside the target, then put them in its place all together.

    A folder that is there already is replaced if it holds parts (``part-*``) and nothing else; what else it held
    would be lost, so that is an error. Whatever stops the writing leaves the old folder as it was.
    """
    target = Path(path)
    with _told(target):
        if target.exists() and not target.is_dir():
            raise FileExistsError(errno.EEXIST, "a file of that name is there")
        others = sum(not one.name.startswith("part-") for one in target.iterdir()) if target.exists() else 0
        if others:
            raise FileExistsError(errno.EEXIST, f"there are {others} other files in that folder")
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", dir=target.parent))
        old = temporary.with_name(temporary.name + ".old")
        try:
            write(temporary)
            temporary.chmod(0o777 & ~_umask())
            if target.exists():
                target.replace(old)
            try:
                temporary.replace(target)
            except OSError:
                if old.exists():
                    old.replace(target)
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    return target


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """An operating system's refusal as one error that says which name it is about, and why."""
    try:
        yield
    except OSError as problem:
        why = problem.strerror or type(problem).__name__
        raise RetentionError(
            f"{target.name} cannot be written: {why}",
            rule="an export goes into a folder that exists and may be written to",
            remedy="make the folder, or choose another",
        ) from problem


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
