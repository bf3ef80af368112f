"""Columns out, in the caller's own data-frame library or as an Arrow stream."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError, MissingExtraError

__all__ = ["arrow_stream", "installed", "to_native"]

_EAGER = ("pandas", "polars", "pyarrow")
_LAZY = ("duckdb", "ibis", "dask", "pyspark")
_ROWS = 250_000
"""Rows of a partition, where a library has partitions."""


def to_native(columns: Mapping[str, NDArray[Any]], *, like: Any = None) -> Any:
    """A frame of these columns, in the library named by ``like`` or in that of the frame ``like``.

    A lazy frame (a polars ``LazyFrame``, a DuckDB relation, a table of Ibis, a frame of Dask or PySpark) gets a lazy
    frame, which joins with its own kind: a relation of the same connection, a frame of the same Spark session. Days
    are dates where the library has dates (not in pandas), instants are microseconds, text is text.
    """
    backend = _backend(like)
    if importlib.util.find_spec(backend) is None:
        raise MissingExtraError(f"to_frame(like={backend!r})", library=backend, extra=_extra(backend))
    frame = None if isinstance(like, str) else like
    if backend == "polars":
        return _polars(columns).lazy() if type(frame).__name__ == "LazyFrame" else _polars(columns)
    if backend == "pyarrow":
        return _pyarrow(columns)
    if backend == "duckdb":
        return _duckdb(columns, frame)
    if backend == "ibis":
        import ibis

        return ibis.memtable(_pyarrow(columns))
    if backend == "pyspark":
        return _session(frame).createDataFrame(_pyarrow(columns))
    if backend == "dask":
        import dask.dataframe  # type: ignore[import-not-found, unused-ignore]

        pandas = to_native(columns, like="pandas")
        return dask.dataframe.from_pandas(pandas, npartitions=1 + len(pandas) // _ROWS, sort=False)
    import narwhals as nw

    data = {name: _portable(_stamped(values)) for name, values in columns.items()}
    eager: Any = backend
    return nw.from_dict(data, backend=eager).to_native()


def arrow_stream(columns: Mapping[str, NDArray[Any]], requested_schema: object = None) -> object:
    """The columns as a capsule of the Arrow PyCapsule interface, made by whichever library is installed."""
    library = installed("reading a result as Arrow", "pyarrow", "polars", "duckdb")
    return to_native(columns, like=library).__arrow_c_stream__(requested_schema)


def installed(task: str, *libraries: str) -> str:
    """The first of these libraries that is installed; MissingExtraError naming the extra of the first if none is."""
    for name in libraries:
        if importlib.util.find_spec(name) is not None:
            return name
    raise MissingExtraError(task, library=libraries[0], extra=_extra(libraries[0]))


def _pyarrow(columns: Mapping[str, NDArray[Any]]) -> Any:
    import pyarrow as pa

    text = pa.string()
    return pa.table(
        {
            name: pa.array(values.tolist(), text) if values.dtype.kind == "U" else pa.array(_arrow(values))
            for name, values in columns.items()
        }
    )


def _polars(columns: Mapping[str, NDArray[Any]]) -> Any:
    import polars as pl

    return pl.DataFrame(
        [
            pl.Series(name, values.tolist(), dtype=pl.String)
            if values.dtype.kind == "U"
            else pl.Series(name, _arrow(values))
            for name, values in columns.items()
        ]
    )


def _duckdb(columns: Mapping[str, NDArray[Any]], like: Any) -> Any:
    import duckdb

    if any(importlib.util.find_spec(name) is not None for name in ("pyarrow", "polars")):
        result = to_native(columns, like=installed("", "pyarrow", "polars"))
    else:  # it reads arrays too, but no text of fixed width
        result = {name: v.astype(object) if v.dtype.kind == "U" else _stamped(v) for name, v in columns.items()}  # noqa: F841
    query = "SELECT * FROM result"  # the variable, found by its name
    relation: Any = duckdb.sql(query) if like is None else like.query("retention_like", query)
    return relation.set_alias("result")


def _session(like: Any) -> Any:
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession() if like is None else like.sparkSession
    if session is None:
        raise ConfigError(
            "to_frame(like='pyspark') without a session",
            rule="a frame of Spark is made in a session",
            remedy="pass a frame of your session: to_frame(like=frame)",
        )
    return session


def _portable(values: NDArray[Any]) -> Any:
    return values.tolist() if values.dtype.kind in "UO" else np.ascontiguousarray(values)


def _stamped(values: NDArray[Any]) -> NDArray[Any]:
    """Instants and days in microseconds, which all libraries read the same way."""
    return values.astype("datetime64[us]") if values.dtype.kind == "M" else values


def _arrow(values: NDArray[Any]) -> Any:
    """What becomes an Arrow column of the same type: days stay days."""
    days = values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] == "D"
    return np.ascontiguousarray(values) if days else _portable(_stamped(values))


def _backend(like: Any) -> str:
    if like is None:
        return installed("to_frame()", *_EAGER)
    if isinstance(like, str):
        if like not in (*_EAGER, *_LAZY):
            raise ConfigError(
                f"like={like!r}",
                rule=f"a frame library is one of {', '.join((*_EAGER, *_LAZY))}",
                remedy="pass one of those names, or a frame of that library",
            )
        return like
    from retention.frames.lazy import lazily

    try:
        name = str(lazily(like).implementation)
    except TypeError:
        raise ConfigError(
            f"like of type {type(like).__name__}",
            rule="like is the name of a frame library, or any frame of it",
            remedy=f"pass one of {', '.join((*_EAGER, *_LAZY))}",
        ) from None
    library = name.removeprefix("Implementation.").lower().removesuffix("_connect")
    if library not in (*_EAGER, *_LAZY, "modin", "cudf"):
        raise ConfigError(
            f"like is a frame of {library}",
            rule=f"a result goes to {', '.join((*_EAGER, *_LAZY))}",
            remedy="pass one of those names, or write it with to_parquet",
        )
    return library


def _extra(library: str) -> str:
    return {"pyarrow": "parquet", "pyspark": "spark"}.get(library, library)
