"""Results: frozen, equal-length, read-only columns that show themselves.

Every stage hands on a :class:`Table`. A concrete table declares its columns as typed attrs fields::

    @frozen(eq=False, repr=False, kw_only=True)
    class Valuation(Table):
        customer_id: TextColumn = column("who")
        p_alive: FloatColumn = column("probability of still being a customer")

and gets ``len``, ``table["p_alive"]``, ``table[mask]``, ``.customer(id)``, ``.to_frame(like=...)``, a short
``repr`` and an escaped ``_repr_html_`` from here.
"""

import html
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from retention.errors import ColumnError, RetentionError, nearest
from retention.frames.texts import Texts

__all__ = [
    "Table",
    "Provenance",
    "column",
    "read_only",
    "read_only_columns",
    "TextColumn",
    "FloatColumn",
    "IntColumn",
    "BoolColumn",
    "DayColumn",
    "MinuteColumn",
]

TextColumn = NDArray[np.str_]
FloatColumn = NDArray[np.float64]
IntColumn = NDArray[np.int64]
BoolColumn = NDArray[np.bool_]
DayColumn = NDArray[np.datetime64]
MinuteColumn = NDArray[np.datetime64]


def read_only(values: Any) -> NDArray[Any]:
    """The values as an array that nobody can write to (copied only when they could be written elsewhere).

    A view that cannot be written does not help if what it looks at can: a data-frame library hands out such views of
    its own memory. Slices of columns that are read-only themselves stay views, and text that is not written out yet
    (:mod:`retention.frames.texts`) stays as it is.
    """
    if isinstance(values, Texts):
        return cast("NDArray[Any]", values)
    array = np.asarray(values)
    if not _settled(array):
        made_here = isinstance(values, list | tuple) and array.base is None
        array = array if made_here else array.copy()
        array.flags.writeable = False
    return array


def _settled(array: NDArray[Any]) -> bool:
    """Whether neither the array nor the memory that it looks at can be written through an array."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        if owner.base is None:
            return bool(owner.flags.owndata)
        owner = owner.base
    return False


def read_only_columns(columns: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Columns by name, of which neither the values nor the selection can be changed."""
    return MappingProxyType({str(name): read_only(values) for name, values in columns.items()})


def column(doc: str, *, unit: str | None = None, optional: bool = False) -> Any:
    """Declare one column of a table: what it says and in which unit."""
    metadata = {"column": True, "doc": doc, "unit": unit}
    if optional:
        return attrs.field(
            default=None,
            converter=attrs.converters.optional(read_only),
            metadata=metadata,
        )
    return attrs.field(converter=read_only, metadata=metadata)


@attrs.frozen(kw_only=True)
class Provenance:
    """Which data, code, model and seed made a result: enough to make it again.

    ``as_of`` is an ISO date; ``data`` a fingerprint of the log; ``notes`` the assumptions and fallbacks that a
    reader must know before believing a number.
    """

    as_of: str | None = None
    data: str | None = None
    model: str | None = None
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    seed: int | None = None
    version: str | None = None
    notes: tuple[str, ...] = ()

    def with_notes(self, *notes: str) -> "Provenance":
        """The same provenance with further notes, each once."""
        fresh = tuple(note for note in dict.fromkeys(notes) if note not in self.notes)
        return attrs.evolve(self, notes=self.notes + fresh)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = attrs.asdict(self)
        plain["notes"] = list(self.notes)
        return plain


def _column_names(table: type["Table"]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(table) if field.metadata.get("column"))


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Table:
    """Frozen columns of equal length, one row a customer unless the subclass says otherwise."""

    key: ClassVar[str] = "customer_id"

    provenance: Provenance = attrs.field(factory=Provenance)

    def __attrs_post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns().items()}
        if len(set(lengths.values())) > 1:
            raise RetentionError(
                f"{type(self).__name__} got columns of lengths {lengths}",
                rule="all columns of a table have one length",
                remedy="pass one value per row in every column",
            )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: nothing in it changes, and a copied array could be written to."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Stored by its fields and made again from them, so that its columns are read-only then as well."""
        told = {f.alias: getattr(self, f.name) for f in attrs.fields(type(self)) if f.init}
        plain = {name: dict(value) if isinstance(value, MappingProxyType) else value for name, value in told.items()}
        return _made_again, (type(self), plain)

    def columns(self) -> dict[str, Any]:
        """The columns by name, in their declared order; absent optional ones are left out."""
        pairs = ((name, getattr(self, name)) for name in _column_names(type(self)))
        return {name: values for name, values in pairs if values is not None}

    def __len__(self) -> int:
        return len(next(iter(self.columns().values())))

    def __getitem__(self, what: Any) -> Any:
        """A column by name, or the rows that a mask, slice or array of positions picks."""
        if isinstance(what, str):
            columns = self.columns()
            if what not in columns:
                raise ColumnError(
                    f"{type(self).__name__} has no column {what!r}",
                    rule="a table is asked for one of its columns",
                    remedy=nearest(what, columns),
                )
            return columns[what]
        if isinstance(what, int | np.integer):
            return self.row(int(what))
        return self.take(what)

    def take(self, rows: Any) -> Self:
        """The same table with only these rows (a mask, a slice or positions)."""
        picked = {name: values[rows] for name, values in self.columns().items()}
        return attrs.evolve(self, **picked)

    def row(self, position: int) -> Any:
        """One row as an object; subclasses with a row class return that."""
        return {name: _plain(values[position]) for name, values in self.columns().items()}

    def position(self, customer_id: object) -> int:
        """Where a key stands; an error that does not repeat the key if it is not there."""
        found = np.flatnonzero(self.columns()[self.key] == str(customer_id))
        if not len(found):
            raise RetentionError(
                f"{type(self).__name__} has no row for the {self.key} asked for",
                rule="ask for a customer that has a history on the as-of date",
                remedy="ids are text, as written in the data; result['customer_id'] lists them",
            )
        return int(found[0])

    def customer(self, customer_id: object) -> Any:
        """One customer's row as an object."""
        return self.row(self.position(customer_id))

    def to_frame(self, like: Any = None) -> Any:
        """The table in a data-frame library: ``like`` is its name or any frame of it, lazy ones included.

        Without ``like``: pandas if it is installed, else polars, else pyarrow.
        """
        from retention.frames.native import to_native

        return to_native(self.columns(), like=like)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """What lets ``polars.DataFrame(table)``, ``pyarrow.table(table)`` or a query of DuckDB read it as it is.

        Raises MissingExtraError if none of pyarrow, polars and DuckDB is installed.
        """
        from retention.frames.native import arrow_stream

        return arrow_stream(self.columns(), requested_schema)

    def to_parquet(self, path: str | os.PathLike[str], *, rows_per_file: int | None = None) -> Path:
        """Write the table as one Parquet file, or as ``part-00000.parquet`` and so on into a folder of its own.

        With ``rows_per_file`` ``path`` is that folder; parts that stood in it are replaced. Either way a reader sees
        all of it or what was there before. Days are dates, money is float64, and text is as it is in the table: ids
        can be joined with.

        Raises RetentionError where it cannot be written, and MissingExtraError if none of pyarrow, polars and DuckDB
        is installed.
        """
        from retention.frames.export import write_parquet

        return write_parquet(self, path, rows_per_file=rows_per_file, spreadsheet=False)

    def equals(self, other: object) -> bool:
        """Whether the other is the same kind of table with the same columns and values (NaN equals NaN)."""
        if type(other) is not type(self):
            return False
        mine, theirs = self.columns(), other.columns()
        return mine.keys() == theirs.keys() and all(
            mine[name].shape == theirs[name].shape
            and bool(np.array_equal(mine[name], theirs[name], equal_nan=mine[name].dtype.kind in "fcmM"))
            for name in mine
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the table into a matplotlib axes and return the axes."""
        raise RetentionError(
            f"{type(self).__name__} has no picture",
            rule="only some tables draw themselves",
            remedy="use .to_frame() and plot a column of your choice",
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self):,} rows, {', '.join(self.columns())}>"

    def _repr_html_(self) -> str:
        shown = min(len(self), 10)
        columns = self.columns()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_show(v[i]))}</td>" for v in columns.values()) + "</tr>"
            for i in range(shown)
        )
        rest = f"<caption>{shown} of {len(self):,} rows</caption>"
        return f"<table>{rest}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _made_again(table: type[Table], fields: Mapping[str, Any]) -> Table:
    return table(**fields)


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python value a person would write."""
    return value.item() if isinstance(value, np.generic) else value


def _show(value: Any) -> str:
    plain = _plain(value)
    return f"{plain:,.4g}" if isinstance(plain, float) else str(plain)
