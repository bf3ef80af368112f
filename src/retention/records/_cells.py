"""What the columns hold in their roles: names, dates, numbers and money, row by row."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from retention.errors import ColumnError
from retention.frames.coded import Coded
from retention.frames.source import RawColumn, Source
from retention.frames.table import BoolColumn, IntColumn
from retention.records._dates import FINE, IMPOSSIBLE, Dates, parse_dates
from retention.records._names import names, shape, trimmed
from retention.records._numbers import Numbers, parse_numbers, product
from retention.records._sieve import Sieve
from retention.records.money import Amounts

LONGEST_ID = 200
_ID_ROLES = ("customer", "order", "category", "channel", "item", "line_id", "currency")


@frozen(eq=False)
class Ids:
    """A column of names: codes into distinct, trimmed, sorted labels; -1 where there is none."""

    codes: IntColumn
    labels: NDArray[np.str_]
    too_long: BoolColumn

    def coded(self, kept: BoolColumn) -> Coded:
        """The kept rows; no name is the empty text."""
        labels = np.concatenate([np.asarray([""], dtype=np.str_), self.labels])
        return Coded((self.codes + 1).astype(np.int32), labels).take(kept)


@frozen(eq=False)
class Cells:
    """What the columns in their roles hold, row by row."""

    columns: Mapping[str, RawColumn]
    ids: Mapping[str, Ids]
    dates: Dates
    numbers: Mapping[str, Numbers]
    money: Amounts
    readable: BoolColumn
    absurd: BoolColumn


def read_cells(
    raw: Source, columns: Mapping[str, RawColumn], sieve: Sieve, *, day_first: bool | None, zone: ZoneInfo | None
) -> Cells:
    """Read each column as its role asks; one that holds nothing of the kind is an error."""
    ids = {role: _labels(columns[role], sieve) for role in _ID_ROLES if role in columns}
    dates = _dates(columns["at"], day_first, zone, raw)
    numbers = _numbers(columns, raw)
    return Cells(columns, ids, dates, numbers, *_money(numbers, sieve))


def _labels(column: RawColumn, sieve: Sieve) -> Ids:
    """Names as codes into labels; a note where numbers lost a trailing .0."""
    texts, codes, cut = names(column)
    if cut:
        sieve.note(f"ids like 17850.0 read as 17850 ({column.name})", int((codes >= 0).sum()), assumed=True)
    # Names are cut for a moment: the row of a name that is too long will not be kept.
    clipped = np.asarray([text[:LONGEST_ID] for text in texts] or [""], dtype=np.str_)
    labels, where = np.unique(clipped, return_inverse=True)
    shift = 1 if labels[0] == "" else 0
    to_label = np.append(where.reshape(-1) - shift, -1)
    long = np.append(np.asarray([len(text) > LONGEST_ID for text in texts] or [False]), False)
    return Ids(to_label[codes].astype(np.int64), labels[shift:], long[codes])


def _dates(column: RawColumn, day_first: bool | None, zone: ZoneInfo | None, raw: Source) -> Dates:
    if column.time_zone is not None and zone is None:
        raise ColumnError(
            f"at={column.name!r} holds times of the zone {column.time_zone}",
            rule="a log keeps the shop's wall clock, on which her days begin and end",
            remedy=f"pass time_zone={column.time_zone!r}, or the zone of the shop",
        )
    dates = parse_dates(column, day_first=day_first, zone=zone)
    if column.kind == "time" or np.any(dates.state == FINE):
        return dates
    if column.kind != "text":
        raise _bare_numbers(column.name, next(iter(map(str, column.values[~column.missing].tolist())), "nothing"))
    if np.any(dates.state == IMPOSSIBLE):
        example = _example(column)
        if example.replace(".", "", 1).isdigit():
            raise _bare_numbers(column.name, example)
        others = evolve(raw, columns={name: other for name, other in raw.columns.items() if name != column.name})
        raise ColumnError(
            f"at={column.name!r} holds no date: its first value looks like {shape(example)!r}",
            rule="dates are written like 2011-12-31, 31/12/2011, 12/31/2011, 31.12.2011, 31 Dec 2011 or 20111231, "
            "in the years 1900 to 2100",
            remedy=f"name the column that holds the dates. {others.nearest('date')}",
        )
    return dates


def _example(column: RawColumn) -> str:
    """The first text of a column that says anything."""
    return next((text for label in column.labels if (text := trimmed(label))), "")


def _bare_numbers(name: str, example: str) -> ColumnError:
    return ColumnError(
        f"at={name!r} holds numbers, such as {example}",
        rule="dates are dates or text; a bare number may count days or seconds from any start",
        remedy="turn the column into dates where it comes from (in a spreadsheet: format the cells as date)",
    )


def _numbers(columns: Mapping[str, RawColumn], raw: Source) -> dict[str, Numbers]:
    roles = [role for role in ("revenue", "quantity", "unit_price", "margin", "cost") if role in columns]
    read = dict(zip(roles, parse_numbers([columns[role] for role in roles]), strict=True))
    for role, numbers in read.items():
        if not numbers.fine.any() and not numbers.absurd.any():
            column = columns[role]
            example = _example(column)
            raise ColumnError(
                f"{role}={column.name!r} holds no number"
                + (f": its first value looks like {shape(example)!r}" if example else ": it is blank in every row"),
                rule="amounts are written like 1234.5, 1,234.50, 1.234,50, (12.00), 12- or € 12",
                remedy=f"name the column that holds them. {raw.nearest(role)}",
            )
    return read


def _money(numbers: Mapping[str, Numbers], sieve: Sieve) -> tuple[Amounts, BoolColumn, BoolColumn]:
    """The money of each row, where it could be read, and where it is beyond all sense."""
    if "revenue" in numbers:
        revenue = numbers["revenue"]
        return revenue.amounts, revenue.fine, revenue.absurd
    price, count = numbers["unit_price"], numbers["quantity"]
    money, too_big, rounded = product(price.amounts, count.amounts)
    sieve.note("amounts with more than six decimals, rounded to six", rounded)
    return money, price.fine & count.fine & ~too_big, price.absurd | count.absurd | too_big


def one_currency(given: str | None, cells: Cells, raw: Source) -> str | None:
    """The one currency of the source; several, in a column or as signs in the amounts, are an error."""
    ids, numbers = cells.ids, cells.numbers
    found: dict[str, int] = {}
    where = ""
    if "currency" in ids:
        coded = ids["currency"]
        rows = np.bincount(coded.codes[coded.codes >= 0], minlength=len(coded.labels))
        for label, count in zip(coded.labels.tolist(), rows.tolist(), strict=True):
            found[label.upper()] = found.get(label.upper(), 0) + count
        where = cells.columns["currency"].name
    elif given is not None and not (isinstance(given, str) and len(given) == 3 and given.isalpha()):
        raise ColumnError(
            f"currency={given!r}: {raw.name} has no such column",
            rule="currency names a column of the source, or is a code of three letters",
            remedy=raw.nearest(str(given)),
        )
    for role in ("revenue", "unit_price", "margin", "cost"):
        if role in numbers and len(found) < 2 and len(numbers[role].currencies) > 1:
            found, where = dict(numbers[role].currencies), numbers[role].name
    if len(found) > 1:
        listing = ", ".join(f"{code} ({count:,} rows)" for code, count in sorted(found.items(), key=lambda f: -f[1]))
        raise ColumnError(
            f"column {where!r} holds several currencies: {listing}",
            rule="a log has one currency",
            remedy="convert the amounts, or read one file per currency",
        )
    if "currency" in ids:
        return next(iter(found), None)
    return given.upper() if given is not None else None
