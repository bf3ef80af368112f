"""Columns to files: stable bytes, whole files or none, and no cell that a spreadsheet would run as a formula."""

import importlib.util
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import MissingExtraError, RetentionError
from retention.frames.table import Table

__all__ = ["replace_file", "write_csv", "write_parquet", "escaped"]

DECIMALS = 6
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
    lines = [_line([escaped(name) for name in columns])]
    lines += [_line(cells) for cells in zip(*map(_cells, columns.values()), strict=True)]
    content = "".join(lines).encode("utf-8", "replace")
    return replace_file(path, lambda temporary: temporary.write_bytes(content))


def write_parquet(table: Table | Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write columns as Parquet with pyarrow or polars; text is escaped as in CSV, for it may end in a spreadsheet.

    Raises:
        MissingExtraError: neither library is installed.
    """
    from retention.frames.native import to_native

    columns = {
        escaped(name): np.asarray([None if v is None else escaped(str(v)) for v in values.tolist()], dtype=object)
        if values.dtype.kind in "UO"
        else values
        for name, values in _columns(table).items()
    }
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow.parquet

        frame = to_native(columns, like="pyarrow")
        return replace_file(path, lambda temporary: pyarrow.parquet.write_table(frame, temporary))
    if importlib.util.find_spec("polars") is not None:
        frame = to_native(columns, like="polars")
        return replace_file(path, lambda temporary: frame.write_parquet(temporary))
    raise MissingExtraError("writing Parquet", library="pyarrow", extra="parquet")


def _columns(table: Table | Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    given = table.columns() if isinstance(table, Table) else table
    columns = {str(name): _array(values) for name, values in given.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise RetentionError(
            f"columns of lengths {lengths}", rule="all columns have one length", remedy="pass one value per row"
        )
    return columns


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    array = np.asarray(values)
    # numpy would turn [1, "a"] into text and lose which of them was a number.
    return np.asarray(values, dtype=object) if array.dtype.kind in "USO" else array


def _line(cells: Sequence[str]) -> str:
    """One line of CSV. (The csv module leaves a lone carriage return unquoted, which starts a row of its own.)"""
    quoted = ['"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell for cell in cells]
    return (",".join(quoted) or '""') + "\n"


def _cells(values: NDArray[Any]) -> list[str]:
    kind = values.dtype.kind
    if kind == "f":
        return [_number(v) for v in values.tolist()]
    if kind in "iu":
        return [str(v) for v in values.tolist()]
    if kind == "b":
        return ["true" if v else "false" for v in values.tolist()]
    if kind == "M":
        return ["" if text == "NaT" else text for text in np.datetime_as_string(values).tolist()]
    return [_cell(v) for v in values.tolist()]


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
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as problem:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        why = problem.strerror or type(problem).__name__
        raise RetentionError(
            f"{target.name} cannot be written: {why}",
            rule="an export goes into a folder that exists and may be written to",
            remedy="make the folder, or choose another",
        ) from problem
    return target
