"""The embedded engine with files of its own: a connection, and the rows of any engine as one Parquet file."""

import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retention.errors import ConfigError, MissingExtraError
from retention.frames.lazy import engine_errors, engine_of

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

__all__ = ["connect", "parquet", "write_rows"]


def connect(feature: str, spill: Path, *, threads: int | None, memory: str | None) -> Any:
    """A connection to DuckDB in this process; what does not fit into memory goes to the folder ``spill``."""
    if importlib.util.find_spec("duckdb") is None:
        raise MissingExtraError(feature, library="duckdb", extra="duckdb")
    import duckdb

    limits: dict[str, Any] = {"temp_directory": str(spill), "threads": threads, "memory_limit": memory}
    try:
        return duckdb.connect(config={name: limit for name, limit in limits.items() if limit is not None})
    except (duckdb.Error, TypeError) as problem:
        raise ConfigError(
            f"threads={threads!r}, memory={memory!r}",
            rule="threads are a whole number from 1, memory a size such as '3GB'",
            remedy="leave them out, and the engine decides",
        ) from problem


def parquet(files: Iterable[Path]) -> str:
    """These Parquet files as a table of a query: no sign in a name is a pattern or ends the text."""
    names = [re.sub(r"[*?\[]", r"[\g<0>]", str(file)).replace("'", "''") for file in files]
    return "read_parquet(['" + "', '".join(names) + "'])"


def write_rows(rows: "nw.LazyFrame[Any]", path: Path) -> None:
    """The rows of a lazy frame of any engine as one Parquet file on this machine.

    Whole numbers are of 64 bits in it; those that may be longer are text.
    """
    import narwhals.stable.v2 as nw

    whole = {name: dtype for name, dtype in rows.collect_schema().items() if dtype.is_integer()}
    long = (nw.UInt64, nw.Int128, nw.UInt128)
    rows = rows.with_columns(
        **{name: nw.col(name).cast(nw.String if kind in long else nw.Int64) for name, kind in whole.items()}
    )
    native: Any = rows.to_native()
    engine = engine_of(rows)
    with engine_errors("the rows"):
        if engine == "duckdb":
            native.write_parquet(str(path))
        elif engine == "polars":
            native.sink_parquet(path)
        else:
            _write_batches(native.compute() if engine == "dask" else native, path)


def _write_batches(table: Any, path: Path) -> None:
    """What Spark, Ibis or a frame in memory has, as Arrow batches one after the other."""
    import pyarrow
    import pyarrow.parquet

    if hasattr(table, "__arrow_c_stream__"):
        batches = pyarrow.RecordBatchReader.from_stream(table)
    else:
        batches = table.toArrow().to_reader()
    with batches, pyarrow.parquet.ParquetWriter(path, batches.schema) as file:
        for batch in batches:
            file.write_batch(batch)
