"""The rows of a lazy frame, a batch at a time and in the order that the table has."""

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from retention.errors import MissingExtraError
from retention.frames.batches import Columns, mapped_batches
from retention.frames.lazy import engine_of

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

__all__ = ["ordered_batches"]


def ordered_batches(frame: "nw.LazyFrame[Any]", rows: int) -> Iterator[Columns]:
    """Numpy columns of about ``rows`` rows at a time, or of a partition, each time in one order if they are from files.

    Ibis and Spark read files in order by themselves; DuckDB does if it is told to, which is done here while it reads.
    Of a query that joins or groups no engine promises it.
    """
    native: Any = frame.to_native()
    engine = engine_of(frame)
    if engine == "polars":
        some = (
            native.collect_batches(chunk_size=rows, maintain_order=True)
            if hasattr(native, "collect_batches")
            else native.collect().iter_slices(rows)
        )
        yield from ({name: part[name].to_numpy() for name in part.columns} for part in some if len(part))
    elif engine == "dask":
        parts = (part.compute() for part in native.partitions)
        yield from ({str(name): part[name].to_numpy() for name in part.columns} for part in parts if len(part))
    elif engine == "duckdb":
        yield from _of_duckdb(native, rows)
    else:
        yield from mapped_batches(frame, _as_they_are, rows)


def _of_duckdb(relation: Any, rows: int) -> Iterator[Columns]:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("rows of duckdb in batches", library="pyarrow", extra="parquet")
    setting = "preserve_insertion_order"
    ordered = bool(relation.query("told", f"SELECT current_setting('{setting}')").fetchall()[0][0])
    if not ordered:
        relation.query("told", f"SET {setting} = true")
    read = getattr(relation, "to_arrow_reader", None) or relation.fetch_record_batch
    try:
        with read(rows) as reader:
            for part in reader:
                if part.num_rows:
                    names = part.schema.names
                    yield {name: part.column(name).to_numpy(zero_copy_only=False) for name in names}
    finally:
        if not ordered:
            relation.query("told", f"SET {setting} = false")


def _as_they_are(columns: Columns) -> Columns:
    return columns
