"""A function of numpy columns, run batch by batch over a table that stays in its engine."""

import glob
import importlib.util
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import MissingExtraError
from retention.frames.export import write_parts
from retention.frames.lazy import engine_of, lazily
from retention.frames.native import to_native

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

__all__ = ["Columns", "mapped", "mapped_batches"]

Columns = Mapping[str, NDArray[Any]]
Rule = Callable[[Columns], Columns]
"""From the columns of some rows to columns of as many rows; it looks at no other rows, and may be called anywhere."""


def mapped_batches(frame: "nw.LazyFrame[Any]", rule: Rule, rows: int) -> Iterator[Columns]:
    """What the rule makes of the rows of a lazy frame, about ``rows`` at a time; never all rows in this process.

    Spark and Dask call the rule on the workers; Dask does all partitions at once, for what lies before them (a shuffle)
    would else be done once for each. While a DuckDB relation is read so, its connection is busy.

    Raises MissingExtraError if pyarrow, by which DuckDB, Ibis and Spark hand rows over, is not installed.
    """
    native: Any = frame.to_native()
    engine = engine_of(frame)
    if engine == "polars":
        yield from (rule(_of_polars(some)) for some in _polars_batches(native, rows) if len(some))
    elif engine == "dask":
        import dask  # type: ignore[import-not-found, unused-ignore]

        made = native.map_partitions(partial(_on_pandas, rule=rule, rows=rows), enforce_metadata=False)
        yield from (_of_pandas(part) for part in dask.compute(*made.to_delayed()) if len(part))
    elif importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError(f"rows of {engine} in batches", library="pyarrow", extra="parquet")
    elif engine == "pyspark":
        yield from _unpacked(native.mapInArrow(partial(_packed, rule=rule, rows=rows), "batch binary"))
    else:
        yield from map(rule, _gathered(_arrow_batches(native, engine, rows), rows))


def mapped(
    frame: "nw.LazyFrame[Any]", rule: Rule, *, empty: Columns, others: Columns, rows: int, spool: str
) -> "nw.LazyFrame[Any]":
    """What the rule makes of a lazy frame as a lazy frame of the same engine, with ``others`` below it.

    polars, Spark and Dask call the rule when the frame is asked for. DuckDB and Ibis have no step in Python that
    leaves the connection to the query: for them the rows are worked out at once, a batch at a time, into Parquet files
    in the folder ``spool``, and the frame reads those.

    Args:
        frame: the table.
        rule: what is made of some rows.
        empty: no rows of what it makes, which tells the types.
        others: further rows of what it makes; maybe none.
        rows: how many rows a batch has.
        spool: a folder that does not exist yet and stays as long as the frame is used.
    """
    native: Any = frame.to_native()
    engine = engine_of(frame)
    if engine == "polars":
        import polars as pl

        table = pl.DataFrame(to_native(empty, like="polars"))
        made = native.map_batches(partial(_on_polars, rule=rule, rows=rows), schema=table.schema)
        return lazily(pl.concat([made, to_native(others, like="polars").lazy()]) if _some(others) else made)
    if engine == "pyspark":
        schema = to_native(empty, like=native).schema
        made = native.mapInArrow(partial(_on_arrow, rule=rule, rows=rows), schema)
        return lazily(made.unionByName(to_native(others, like=native)) if _some(others) else made)
    if engine == "dask":
        import dask.dataframe  # type: ignore[import-not-found, unused-ignore]

        made = native.map_partitions(partial(_on_pandas, rule=rule, rows=rows), meta=to_native(empty, like="pandas"))
        if _some(others):
            made = dask.dataframe.concat([made, to_native(others, like="dask")])
        return lazily(made)
    write_parts(itertools.chain(mapped_batches(frame, rule, rows), [others] if _some(others) else []), spool)
    return lazily(_parquet(native, engine, spool, empty))


def _parquet(native: Any, engine: str, spool: str, empty: Columns) -> Any:
    """The parts in a folder as a table of the engine, and of the connection, that holds another table."""
    files = sorted(glob.glob(glob.escape(spool) + "/part-*.parquet"))
    if not files:
        return to_native(empty, like=native)
    if engine == "ibis":
        with warnings.catch_warnings():  # of what is below Ibis
            warnings.simplefilter("ignore", DeprecationWarning)
            return native.get_backend().read_parquet(files)
    names = "', '".join(file.replace("'", "''") for file in files)
    return native.query("retention_like", f"SELECT * FROM read_parquet(['{names}'])")


def _some(columns: Columns) -> bool:
    return any(len(values) for values in columns.values())


def _cut(columns: Columns, rows: int) -> Iterator[Columns]:
    count = len(next(iter(columns.values()), ()))
    for start in range(0, count, rows):
        yield columns if count <= rows else {name: values[start : start + rows] for name, values in columns.items()}


def _arrow_batches(table: Any, engine: str, rows: int) -> Iterable[Any]:
    if engine == "ibis":
        return _ibis_batches(table, rows)
    if hasattr(table, "to_arrow_reader"):
        return table.to_arrow_reader(rows)  # type: ignore[no-any-return]
    return table.fetch_record_batch(rows)  # type: ignore[no-any-return]  # DuckDB 1


def _ibis_batches(table: Any, rows: int) -> Iterable[Any]:
    connection = getattr(table.get_backend(), "con", None)
    if hasattr(connection, "to_arrow_reader") and not hasattr(connection, "fetch_record_batch"):
        # DuckDB 2 has another name for what Ibis 12 asks of it, so that only the whole can be had of Ibis.
        return table.to_pyarrow().to_batches(rows)  # type: ignore[no-any-return]
    return table.to_pyarrow_batches(chunk_size=rows)  # type: ignore[no-any-return]


def _polars_batches(frame: Any, rows: int) -> Iterable[Any]:
    if hasattr(frame, "collect_batches"):
        return frame.collect_batches(chunk_size=rows, maintain_order=False)  # type: ignore[no-any-return]
    return frame.collect().iter_slices(rows)  # type: ignore[no-any-return]


def _of_polars(frame: Any) -> Columns:
    return {name: frame[name].to_numpy() for name in frame.columns}


def _of_pandas(frame: Any) -> Columns:
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def _of_arrow(table: Any) -> Columns:
    return {
        name: values.to_numpy(zero_copy_only=False)
        for name, values in zip(table.schema.names, table.columns, strict=True)
    }


def _together(parts: list[Columns]) -> Columns:
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _on_polars(frame: Any, *, rule: Rule, rows: int) -> Any:
    import polars as pl

    made = [to_native(rule(_of_polars(some)), like="polars") for some in frame.iter_slices(rows) if len(some)]
    return pl.concat(made) if made else to_native(rule(_of_polars(frame)), like="polars")


def _on_pandas(frame: Any, *, rule: Rule, rows: int) -> Any:
    made = [rule(some) for some in _cut(_of_pandas(frame), rows)] or [rule(_of_pandas(frame))]
    return to_native(_together(made), like="pandas")


def _on_arrow(record_batches: Iterable[Any], *, rule: Rule, rows: int) -> Iterator[Any]:
    """On a worker: small batches are put together, for a call of the rule costs something of its own."""
    for some in _gathered(record_batches, rows):
        yield from to_native(rule(some), like="pyarrow").to_batches()


def _gathered(record_batches: Iterable[Any], rows: int) -> Iterator[Columns]:
    """Batches of at most so many rows, each of as many of those that come as fit into it."""
    kept: list[Columns] = []
    count = 0
    for batch in record_batches:
        if kept and count + batch.num_rows > rows:
            yield from _cut(_together(kept), rows)
            kept, count = [], 0
        if batch.num_rows:
            kept.append(_of_arrow(batch))
            count += batch.num_rows
    if kept:
        yield from _cut(_together(kept), rows)


def _packed(record_batches: Iterable[Any], *, rule: Rule, rows: int) -> Iterator[Any]:
    """On a worker: each batch as one cell that holds an Arrow file, so that it comes to the driver as a whole."""
    import pyarrow as pa

    for some in _gathered(record_batches, rows):
        table = to_native(rule(some), like="pyarrow")
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as file:
            file.write_table(table)
        yield pa.RecordBatch.from_pydict({"batch": pa.array([sink.getvalue().to_pybytes()], pa.binary())})


def _unpacked(frame: Any) -> Iterator[Columns]:
    import pyarrow as pa

    for row in frame.toLocalIterator(prefetchPartitions=True):
        table = pa.ipc.open_stream(row[0]).read_all().combine_chunks()
        yield {name: table[name].to_numpy() for name in table.column_names}
