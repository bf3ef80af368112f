"""Tables that stay where they are: a lazy frame of the caller's engine, or files opened by the embedded one."""

import contextlib
import functools
import glob
import importlib.util
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from retention.errors import ConfigError, MissingExtraError, ReadError, RetentionError
from retention.frames.reading import Source
from retention.frames.table import TextColumn

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

__all__ = [
    "as_text",
    "beside",
    "engine_errors",
    "engine_of",
    "files_of",
    "lazily",
    "local_time",
    "open_lazy",
    "rest",
    "spill",
]

Engine = Literal["duckdb", "polars", "pyspark", "ibis", "dask"]

_ENGINES: dict[str, Engine] = {
    "duckdb": "duckdb",
    "polars": "polars",
    "pyspark": "pyspark",
    "pyspark[connect]": "pyspark",
    "sqlframe": "pyspark",
    "ibis": "ibis",
    "dask": "dask",
}


def open_lazy(
    source: Any, *, threads: int | None = None, memory: str | None = None, text: Sequence[str] = ()
) -> "nw.LazyFrame[Any]":
    """The source as a lazy frame; nothing is read yet but the names of the columns.

    Args:
        source: a path to Parquet or CSV (a file, a folder of files, a pattern such as ``"sales/*.parquet"``), a tuple
            of paths, or a frame: lazy ones of polars, DuckDB, PySpark, Ibis and Dask stay in their engine, eager ones
            of pandas, polars and pyarrow are handed to the embedded engine without being copied.
        threads: how many the embedded engine may use for files; None lets it use all cores.
        memory: how much it may use for files, such as ``"3GB"``; what does not fit goes to a temporary folder. None
            leaves it four fifths of the machine's.
        text: columns of CSV files that are text, whatever they look like.

    Raises:
        ReadError: no such file, or no table at all.
        MissingExtraError: a path or an eager frame, and neither DuckDB nor polars is installed.
    """
    import narwhals.stable.v2 as nw

    if isinstance(source, str | Path):
        return _open_files(files_of(str(source)), threads, memory, text)
    if isinstance(source, tuple) and source and all(isinstance(one, str | Path) for one in source):
        return _open_files([file for one in source for file in files_of(str(one))], threads, memory, text)
    if isinstance(source, Source):
        raise ReadError(
            "a source that was read into memory already",
            rule="a scan is of what has not been read",
            remedy="pass the path or the frame itself",
        )
    try:
        frame: Any = lazily(source)
    except TypeError:
        raise ReadError(
            f"a source of type {type(source).__name__}",
            rule="a source is a path, or a frame of polars, DuckDB, PySpark, Ibis, Dask, pandas or pyarrow",
            remedy="pass the path as text, or put the data into a frame",
        ) from None
    if isinstance(frame, nw.LazyFrame):
        engine_of(frame)
        return frame
    if not isinstance(frame, nw.DataFrame):
        raise ReadError(
            f"a {type(source).__name__}",
            rule="a source has columns",
            remedy="pass a frame",
        )
    return frame.lazy(backend=_embedded("an eager frame"))


def lazily(native: Any) -> "nw.LazyFrame[Any]":
    """A lazy frame of any library as narwhals has it."""
    import narwhals.stable.v2 as nw

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Dask support is moving", FutureWarning)
        frame: nw.LazyFrame[Any] = nw.from_native(native)
    return frame


def engine_of(frame: "nw.LazyFrame[Any]") -> Engine:
    """The engine that holds a lazy frame."""
    name = str(frame.implementation).removeprefix("Implementation.").lower()
    name = {"pyspark_connect": "pyspark"}.get(name, name)
    if name not in _ENGINES:
        raise ReadError(
            f"a lazy frame of {name}",
            rule=f"engines are {', '.join(dict.fromkeys(_ENGINES.values()))}",
            remedy="write the table to Parquet and pass the path",
        )
    return _ENGINES[name]


def _embedded(what: str) -> Any:
    for name in ("duckdb", "polars"):
        if importlib.util.find_spec(name) is not None:
            return name
    raise MissingExtraError(f"scanning {what}", library="duckdb", extra="duckdb")


@functools.cache
def _spill() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="retention-")


def spill() -> str:
    """Where an embedded engine puts what does not fit into memory; gone when the process ends."""
    return _spill().name


def _open_files(found: list[str], threads: int | None, memory: str | None, text: Sequence[str]) -> "nw.LazyFrame[Any]":
    """Files as one table: columns go together by name, and are of a type that holds all of them.

    The columns ``text`` are read as text from CSV, which has no types: 007 is not 7, whatever else is in the file.
    """
    kinds = {Path(file).suffix.lower() for file in found}
    if len(kinds) > 1 or not kinds <= set(_SUFFIXES):
        raise ReadError(
            f"{Path(found[0]).name} and others: files of kind {', '.join(sorted(kinds))}",
            rule="the files of one scan are all Parquet or all CSV",
            remedy="name those that you mean, like 'folder/*.parquet'; rt.read_transactions reads other text files",
        )
    parquet = kinds == {".parquet"}
    with engine_errors(Path(found[0]).name + (f" and {len(found) - 1:,} other files" if found[1:] else "")):
        if _embedded("files") == "duckdb":
            return lazily(_in_duckdb(found, parquet, threads, memory, text))
        import polars

        if parquet:
            return lazily(polars.scan_parquet(found, glob=False))
        frame = polars.scan_csv(found, try_parse_dates=True, glob=False)
        there = frame.collect_schema().names()
        return lazily(frame.with_columns(polars.col(name).cast(polars.String) for name in text if name in there))


def _in_duckdb(found: list[str], parquet: bool, threads: int | None, memory: str | None, text: Sequence[str]) -> Any:
    import duckdb

    limits = {"threads": threads, "memory_limit": memory}
    config: dict[str, Any] = {"temp_directory": spill(), "preserve_insertion_order": False}
    connection = duckdb.connect(config=config | {name: most for name, most in limits.items() if most is not None})
    with contextlib.suppress(duckdb.Error):  # in a notebook it is off, and may be of no use
        connection.execute("SET enable_progress_bar = false")
    # The files are known by now: a bracket in a name is a bracket.
    files: Any = [re.sub(r"[*?\[]", r"[\g<0>]", file) for file in found]
    if parquet:
        return connection.read_parquet(files, union_by_name=True)
    guessed = connection.read_csv(files, union_by_name=True)
    types: Any = {name: "VARCHAR" for name in text if name in guessed.columns}
    return connection.read_csv(files, union_by_name=True, dtype=types) if types else guessed


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """What an embedded engine raises as one clear error; its own words may hold what stands in the rows."""
    try:
        yield
    except Exception as problem:
        if isinstance(problem, RetentionError | Warning) or type(problem).__module__.split(".")[0] not in (
            "duckdb",
            "_duckdb",
            "polars",
        ):
            raise
        raise ReadError(
            f"{what}: {type(problem).__name__} of the engine",
            rule="every file of a table is whole, and a column is of one kind in all of them: numbers, dates or text",
            remedy="write the files again with the types that you mean; asked directly, the engine says more",
        ) from None


_SUFFIXES = (".parquet", ".csv")


def files_of(path: str) -> list[str]:
    """The files that a path means: itself, those in a folder, those that match a pattern; in order of their names."""
    where = Path(path)
    if where.is_dir():
        found = sorted(str(file) for suffix in _SUFFIXES for file in where.rglob(f"*{suffix}"))
    elif where.is_file():
        found = [path]
    else:
        found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise ReadError(
            f"{path}: "
            + ("a folder without such files" if where.is_dir() else "no such file, and no file that matches"),
            rule="a path is a file, a folder with .parquet or .csv files in it, or a pattern that some match",
            remedy=f"check the path, from {Path.cwd().name} on" if not where.is_absolute() else "check the path",
        )
    return found


def as_text(values: Any) -> TextColumn:
    """Ids that an engine handed out, text or whole numbers, as text that is no wider than it must be."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or not len(array) or array.min() < 0 or array.max() >= 10**18:
        text = array.astype(np.str_)
        return (
            text.astype(f"<U{max(1, int(np.char.str_len(text).max(initial=1)))}") if array.dtype.kind in "iu" else text
        )
    width = len(str(int(array.max())))
    powers = 10 ** np.arange(1, width, dtype=np.int64)
    length = 1 + np.searchsorted(powers, array, side="right")
    rest = array.astype(np.int64) * 10 ** (width - length)
    signs = np.zeros((len(array), width), dtype=np.uint32)
    for place in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        signs[:, place] = np.where(place < length, digit + ord("0"), 0)
    return signs.view(f"<U{width}").reshape(-1)


def beside(frame: "nw.LazyFrame[Any]", column: str, values: Sequence[Any]) -> "nw.LazyFrame[Any] | None":
    """A table of one column in the engine that holds ``frame``, to be joined with it; None where that is not cheap.

    The values are texts or whole numbers. A join with such a table is much quicker than a long list in a query.
    """
    engine = engine_of(frame)
    if engine == "polars":
        import polars

        return lazily(polars.LazyFrame({column: values}))
    if engine == "duckdb":
        told = ", ".join(
            "('" + one.replace("'", "''") + "')" if isinstance(one, str) else f"({int(one)})" for one in values
        )
        return lazily(frame.to_native().query("beside", f'SELECT * FROM (VALUES {told}) AS told("{column}")'))
    return None


def rest(frame: "nw.LazyFrame[Any]", memory: str | None) -> None:
    """Have an embedded engine of our own, with this limit, give back the memory that it keeps for the next query."""
    if engine_of(frame) != "duckdb":
        return
    import duckdb

    native: Any = frame.to_native()
    with contextlib.suppress(duckdb.Error):  # what it cannot give back it keeps
        native.query("rests", "SET memory_limit = '100MB'")
    native.query("rests", "RESET memory_limit" if memory is None else f"SET memory_limit = '{memory}'")


def local_time(frame: "nw.LazyFrame[Any]", column: str, zone: str) -> "nw.LazyFrame[Any]":
    """The same frame with the instants of a column as wall-clock time of a zone, whatever the session's zone is."""
    import narwhals.stable.v2 as nw

    native, engine = frame.to_native(), engine_of(frame)
    if engine in ("polars", "dask"):
        local = nw.col(column).dt.convert_time_zone(zone).dt.replace_time_zone(None)
        return frame.with_columns(local.alias(column))
    quoted = '"' + column.replace('"', '""') + '"'
    if engine == "duckdb":
        others = ", ".join('"' + name.replace('"', '""') + '"' for name in frame.columns if name != column)
        text = "'" + zone.replace("'", "''") + "'"
        return lazily(native.project(f"{others}, timezone({text}, {quoted}) AS {quoted}"))
    if engine == "pyspark":
        from pyspark.sql import functions as spark

        ticks = "`" + column.replace("`", "``") + "`"
        text = zone.replace("'", "")
        wall = spark.expr(
            f"convert_timezone('UTC', '{text}', "
            f"timestampadd(MICROSECOND, unix_micros({ticks}), TIMESTAMP_NTZ'1970-01-01 00:00:00'))"
        )
        return lazily(native.withColumn(column, wall))
    if engine == "ibis":
        return lazily(native.mutate(**{column: _ibis_local(native[column], zone)}))
    raise ConfigError(f"time_zone={zone!r} with {engine}", rule="zones are turned in the engine", remedy="see the docs")


def _ibis_local(column: Any, zone: str) -> Any:
    import ibis

    def timezone(zone: str, at: Any) -> Any:
        """The engine's own function."""

    takes = (("string", ibis.dtype("timestamp('UTC')")), "timestamp")
    return ibis.udf.scalar.builtin(timezone, name="timezone", signature=takes)(zone, column)
