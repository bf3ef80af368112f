"""Data frames and Parquet in, as the libraries hold them."""

import importlib.util
import io
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from retention.errors import MissingExtraError, ReadError
from retention.frames.source import RawColumn, Source, no_rows, refuse_repeated, text_column
from retention.frames.table import BoolColumn


def from_parquet(data: bytes, name: str) -> Source:
    """The content of a Parquet file."""
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
    return from_frame(frame, name=name)


def _parquet_reader() -> Callable[[io.BytesIO], Any]:
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow.parquet

        return pyarrow.parquet.read_table  # type: ignore[no-any-return]
    if importlib.util.find_spec("polars") is not None:
        import polars

        return polars.read_parquet
    raise MissingExtraError("reading Parquet", library="pyarrow", extra="parquet")


def from_frame(native: Any, name: str | None = None) -> Source:
    """A frame of any library that narwhals knows."""
    import narwhals as nw

    try:
        frame: Any = nw.from_native(native)
    except TypeError:
        _no_table(native)
    except nw.exceptions.DuplicateError:
        titles = getattr(native, "column_names", None) or native.columns
        refuse_repeated(map(str, titles), f"the {type(native).__module__.split('.')[0]} frame")
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
    refuse_repeated(titles, name)
    if not titles or not len(frame):
        raise no_rows(name)
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
        return text_column(name, _as_texts(series.to_list()))
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
    return text_column(name, _as_texts(series.to_list()))


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
