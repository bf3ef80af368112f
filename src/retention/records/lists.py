"""The small lists beside the receipts: consents, contacts so far, customers named in a file.

These decide whom we may contact. A line that cannot be read is an error that names it, never a guess.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from retention.domain.days import as_day
from retention.errors import ConfigError, ReadError
from retention.frames.reading import RawColumn, Source, open_source
from retention.records._parsing import names
from retention.records.permissions import Consents
from retention.records.touches import Touches

__all__ = ["read_consents", "read_touches", "read_customer_list"]

_YES = {"yes", "y", "true", "1", "granted", "opted in", "opt-in"}
_NO = {"no", "n", "false", "0", "withdrawn", "denied", "opted out", "opt-out", ""}


_HEADERS = {
    "customer": ("customer_id", "customer", "customer id", "id"),
    "at": ("at", "date", "day"),
}


def read_consents(
    source: Any,
    *,
    customer: str | None = None,
    channel: str | None = None,
    granted: str | None = None,
    purpose: str | None = None,
    at: str | None = None,
) -> Consents:
    """Permissions on file, from a CSV or Parquet file or a frame.

    Columns that are not named are found by their usual headers (Customer, Channel, Purpose, Granted, Date, in any
    case). Customer and channel must be there. Without a column of answers every row is a permission, without
    purposes it is for marketing, without dates its date is unknown (older than any dated row).

    Raises:
        ReadError: a row without customer, channel or a readable date or answer; it names the line.
    """
    table = open_source(source)
    answers, purposes, days = (
        _header(table, role, name, needed=False)
        for role, name in (("granted", granted), ("purpose", purpose), ("at", at))
    )
    return Consents.from_arrays(
        customer_id=_cells(table, "customer", customer),
        channel=_cells(table, "channel", channel),
        purpose=None if purposes is None else _cells(table, "purpose", purposes),
        granted=None if answers is None else _each(table, "granted", answers, _answer),
        at=None if days is None else _each(table, "at", days, _day_or_none),
    )


def read_touches(
    source: Any,
    *,
    customer: str | None = None,
    at: str | None = None,
    channel: str | None = None,
    kind: str | None = None,
    direction: str | None = None,
) -> Touches:
    """Contacts that happened, from a CSV or Parquet file or a frame.

    Columns that are not named are found by their usual headers (Customer, Date, Channel, Kind, Direction, in any
    case). Customer, day and channel must be there; a contact is a "give" and goes "out" where the file does not say.

    Raises:
        ReadError: a row without customer, channel or a readable date; it names the line.
    """
    table = open_source(source)
    kinds, directions = (
        _header(table, role, name, needed=False) for role, name in (("kind", kind), ("direction", direction))
    )
    return Touches.from_arrays(
        customer_id=_cells(table, "customer", customer),
        at=_each(table, "at", at, lambda cell: as_day(cell, name="at")),
        channel=_cells(table, "channel", channel),
        kind=["give"] * len(table) if kinds is None else _cells(table, "kind", kinds),
        direction=None if directions is None else _each(table, "direction", directions, _direction),
    )


def read_customer_list(source: Any, *, customer: str | None = None) -> tuple[str, ...]:
    """The customers that a file names (open complaints, do-not-contact), each once, in order."""
    return tuple(dict.fromkeys(_cells(open_source(source), "customer", customer)))


def _header(table: Source, role: str, name: str | None, *, needed: bool = True) -> str | None:
    """The column that plays a role: the one named, else the first with a usual header."""
    if name is not None:
        return name
    folded = {column.strip().casefold(): column for column in table.columns}
    usual = _HEADERS.get(role, (role,))
    found = next((folded[header] for header in usual if header in folded), None)
    if found is None and needed:
        raise ReadError(
            f"{table.name} has no column for the {role}",
            rule=f"the {role} stands in a column headed {' or '.join(usual)}, or in one that is named",
            remedy=f"rename a column, or pass {role}=...; there are: {', '.join(table.columns)}",
        )
    return found


def _text(column: RawColumn) -> list[str]:
    """The cells as text, empty where there is none."""
    if column.kind == "text":
        cells = [column.labels[code].strip() if code >= 0 else "" for code in column.values.tolist()]
    elif column.kind == "float":
        cells = [str(int(v)) if float(v).is_integer() else str(v) for v in column.values.tolist()]
    else:
        cells = [str(v) for v in column.values.tolist()]
    return ["" if gone else cell for cell, gone in zip(cells, column.missing.tolist(), strict=True)]


def _names(column: RawColumn) -> list[str]:
    """Customers as the transaction log calls them."""
    texts, codes, _ = names(column)
    return [texts[code] if code >= 0 else "" for code in codes.tolist()]


def _cells(table: Source, role: str, name: str | None) -> list[str]:
    header = _header(table, role, name) or role
    column = table.column(header, role=role)
    cells = _names(column) if role == "customer" else _text(column)
    _refuse_shapeless(table)
    for line, cell in zip(table.line.tolist(), cells, strict=True):
        if not cell:
            raise ReadError(
                f"{table.name}, {table.unit} {line}: no {role}",
                rule=f"every row of this list names its {role}",
                remedy=f"fill the cell in column {header!r} or take the row out",
            )
    return cells


def _each(table: Source, role: str, name: str | None, read: Callable[[str], Any]) -> list[Any]:
    header = _header(table, role, name) or role
    values = []
    for line, cell in zip(table.line.tolist(), _text(table.column(header, role=role)), strict=True):
        try:
            values.append(read(cell))
        except ConfigError as error:
            raise ReadError(
                f"{table.name}, {table.unit} {line}, column {header!r}: {cell[:40]!r}",
                rule=error.rule,
                remedy="mend the cell or take the row out: who may be contacted is never guessed",
            ) from None
    return values


def _refuse_shapeless(table: Source) -> None:
    if len(table.misshapen):
        raise ReadError(
            f"{table.name}, line {int(table.misshapen[0])}: too few or too many cells",
            rule="every row of this list has as many cells as the header",
            remedy="mend the line: who may be contacted is never guessed",
        )


def _answer(cell: str) -> bool:
    word = cell.casefold()
    if word in _YES or word in _NO:
        return word in _YES
    raise ConfigError(cell, rule=f"an answer is one of {', '.join(sorted(_YES | _NO - {''}))}", remedy="")


def _direction(cell: str) -> str:
    word = cell.casefold() or "out"
    if word not in ("in", "out"):
        raise ConfigError(cell, rule="a direction is 'out' (from the firm) or 'in' (from the customer)", remedy="")
    return word


def _day_or_none(cell: str) -> dt.date | None:
    return as_day(cell, name="at") if cell else None
