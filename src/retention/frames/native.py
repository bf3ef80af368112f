"""Columns out, in the caller's own data-frame library."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError, MissingExtraError

__all__ = ["to_native"]

_LIBRARIES = ("pandas", "polars", "pyarrow")


def to_native(columns: Mapping[str, NDArray[Any]], *, like: Any = None) -> Any:
    """A frame of these columns, in the library named by ``like`` or in that of the frame ``like``."""
    import narwhals as nw

    backend = _backend(like)
    if importlib.util.find_spec(backend) is None:
        raise MissingExtraError(f"to_frame(like={backend!r})", library=backend, extra=_extra(backend))
    data = {name: _portable(values) for name, values in columns.items()}
    return nw.from_dict(data, backend=backend).to_native()


def _portable(values: NDArray[Any]) -> Any:
    """Text as Python strings, days as microseconds: what all three libraries read the same way."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    if values.dtype.kind in "UO":
        return values.tolist()
    return np.ascontiguousarray(values)


def _backend(like: Any) -> Any:
    import narwhals as nw

    if like is None:
        for name in _LIBRARIES:
            if importlib.util.find_spec(name) is not None:
                return name
        raise MissingExtraError("to_frame()", library="pandas", extra="pandas")
    if isinstance(like, str):
        if like not in _LIBRARIES:
            raise ConfigError(
                f"like={like!r}",
                rule=f"a frame library is one of {', '.join(_LIBRARIES)}",
                remedy="pass one of those names, or a frame of that library",
            )
        return like
    return str(nw.get_native_namespace(nw.from_native(like)).__name__)


def _extra(backend: str) -> str:
    return "parquet" if backend == "pyarrow" else backend
