"""From a messy invoice file to a transaction log and the account of what was wrong with it."""

import importlib.metadata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import attrs
import numpy as np
from numpy.typing import NDArray

from retention.errors import ColumnError, ConfigError, ReadError, nearest
from retention.frames.coded import Coded
from retention.frames.reading import RawColumn, Source, open_source
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Provenance
from retention.records._pairs import undone_at
from retention.records._parsing import (
    AMBIGUOUS,
    BIGGEST,
    FINE,
    IMPOSSIBLE,
    MISSING,
    Dates,
    Numbers,
    local,
    names,
    parse_dates,
    parse_numbers,
    product,
    shape,
    trimmed,
)
from retention.records.money import Amounts
from retention.records.quality import Quality, RowsSetAside, SetAside
from retention.records.transactions import NO_MARGIN, TransactionLog

__all__ = ["read_transactions"]

LONGEST_ID = 200
DAY_FIRST_GUESSED = "nothing in the file proves whether day or month comes first: dates like 03/04 are read day first"
_DATE_REASONS = {MISSING: "missing date", IMPOSSIBLE: "impossible date", AMBIGUOUS: "ambiguous date"}


def read_transactions(
    source: Any,
    *,
    customer: str,
    at: str,
    revenue: str | None = None,
    quantity: str | None = None,
    unit_price: str | None = None,
    order: str | None = None,
    category: str | None = None,
    channel: str | None = None,
    margin: str | float | None = None,
    cost: str | None = None,
    currency: str | None = None,
    line_id: str | None = None,
    item: str | None = None,
    day_first: bool | None = None,
    duplicates: Literal["keep", "drop"] = "keep",
    time_zone: str | None = None,
    max_amount: float = 1e9,
) -> TransactionLog:
    """Read invoice lines from a file or a frame; nothing is dropped silently.

    Args:
        source: path to CSV, TSV or semicolon-separated text (also .gz) or Parquet, or an eager frame of pandas,
            polars, pyarrow or another library that narwhals knows.
        customer: column with the customer's id. Ids are text in the log: 17850 and 17850.0 become "17850".
        at: column with date or date and time. Texts may be ISO, d/m/Y, m/d/Y, d.m.Y, d-m-Y, Y/m/d, d Mon Y or
            YYYYMMDD, each with a time of day; offsets are dropped unless ``time_zone`` is given.
        revenue: column with the money of the line; or give ``quantity`` and ``unit_price``, whose exact product
            it then is. (``quantity`` may accompany ``revenue``.)
        order: column with the order's number. Lines without one are grouped by time stamp.
        category: column with the category of goods.
        channel: column with the sales channel.
        margin: column with the margin of the line, or a rate of revenue such as 0.35.
        cost: column with the cost of goods of the line; margin is revenue less cost. A positive cost on a line
            that takes goods back is taken to come back too. Without margin and cost, margin is revenue, with a note.
        currency: column with currency codes (all the same), or the code itself.
        line_id: column that numbers the lines: a repeated row with a repeated number is set aside as a duplicate.
        item: column with the article, to recognise which line a credit note undoes.
        day_first: whether 03/04 is the third of April. None lets the column prove it.
        duplicates: "keep" counts rows that repeat an earlier one in every cell; "drop" sets them aside.
        time_zone: the shop's zone (such as "Europe/Berlin"), into whose wall clock zoned times are turned.
        max_amount: lines of more money than this, either way, are set aside as absurd.

    Returns:
        The log, in the order of the source: returns and credit notes are negative lines; both halves of an order
        and the credit note that took exactly it back within two days are marked with ``undone_at``. ``log.quality``
        accounts for every row and every cent; ``log.provenance.notes`` names the assumptions made.

    Raises:
        ReadError: the source cannot be read at all, or no row of it can be kept.
        ColumnError: a column is missing (the nearest name is suggested), holds no dates or numbers, or mixes
            currencies.
        ConfigError: the arguments contradict each other.

    Example:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name, "shop.csv")
        >>> _ = path.write_text("who;day;sum\\n7;31.12.2011;1.250,00\\n7;30.12.2011;19,99\\n;1.1.2012;5,00\\n")
        >>> log = read_transactions(path, customer="who", at="day", revenue="sum")
        >>> log.revenue.total(), log.quality.reconciles, log.quality.rows_set_aside().line.tolist()
        (Decimal('1269.99'), True, [4])
        >>> folder.cleanup()
    """
    zone = _checked(revenue, quantity, unit_price, margin, cost, day_first, duplicates, time_zone, max_amount)
    raw = open_source(source)
    margin_column = margin if isinstance(margin, str) else None
    currency_column = currency if currency is not None and currency in raw.columns else None
    columns = {
        role: raw.column(str(name), role=role)
        for role, name in (
            ("customer", customer),
            ("at", at),
            ("revenue", revenue),
            ("quantity", quantity),
            ("unit_price", unit_price),
            ("order", order),
            ("category", category),
            ("channel", channel),
            ("margin", margin_column),
            ("cost", cost),
            ("currency", currency_column),
            ("line_id", line_id),
            ("item", item),
        )
        if name is not None or role in ("customer", "at")
    }
    sieve = _Sieve(raw)
    if not len(raw):
        raise _nothing_left(sieve, raw)
    ids = {role: _labels(columns[role], sieve, role) for role in _ID_ROLES if role in columns}
    dates = _dates(columns["at"], day_first, zone, time_zone, raw)
    numbers = _numbers(columns, raw)
    code = _currency(currency, currency_column, ids, numbers, raw)

    cells = _Cells(columns, ids, dates, numbers, *_money(numbers, sieve))
    _judge(cells, max_amount, sieve)
    _duplicates(raw, ids.get("line_id"), duplicates, sieve)
    kept = sieve.kept
    if not kept.any():
        raise _nothing_left(sieve, raw)

    when, revenue_kept = dates.at[kept], cells.money.take(kept)
    quantity_kept, is_return = _quantities(numbers, revenue_kept, kept)
    same = [ids[role].codes[kept] for role in ("category", "item") if role in ids]
    if "quantity" in numbers:
        same.append(np.abs(numbers["quantity"].amounts.minor[kept]))
    undone = undone_at(ids["customer"].codes[kept], when, revenue_kept.minor, same)
    margin_kept = _margins(margin, numbers, revenue_kept, is_return, kept, sieve)
    orders = _orders(ids["order"], kept, when, sieve) if "order" in ids else None
    sieve.note("returns and credit notes, kept as negative lines", int(is_return.sum()))
    sieve.note("pairs of an order and the credit note that undid it", int((~np.isnat(undone)).sum()) // 2)
    sieve.note("lines of no money (price or quantity zero)", int((revenue_kept.minor == 0).sum()))
    log = TransactionLog(
        customers=ids["customer"].coded(kept),
        at=when,
        revenue=revenue_kept,
        margin=margin_kept,
        is_return=is_return,
        undone_at=undone,
        line=raw.line[kept],
        orders=orders,
        categories=ids["category"].coded(kept) if "category" in ids else None,
        channels=ids["channel"].coded(kept) if "channel" in ids else None,
        quantity=quantity_kept,
        currency=code,
        quality=sieve.account(cells.money, cells.readable),
    )
    notes = [NO_MARGIN] if margin is None and cost is None else []
    notes += [DAY_FIRST_GUESSED] if dates.guessed else []
    notes += [f"{name}: {sieve.notes[name]:,}" for name in sieve.assumed]
    provenance = Provenance(data=log.fingerprint(), version=_version(), notes=tuple(notes))
    return attrs.evolve(log, provenance=provenance)


# ------------------------------------------------------------------------------------------------- the arguments

_ID_ROLES = ("customer", "order", "category", "channel", "item", "line_id", "currency")


def _checked(
    revenue: str | None,
    quantity: str | None,
    unit_price: str | None,
    margin: object,
    cost: str | None,
    day_first: object,
    duplicates: str,
    time_zone: str | None,
    max_amount: object,
) -> ZoneInfo | None:
    if (revenue is None) == (unit_price is None) or (unit_price is not None and quantity is None):
        given = {"revenue": revenue, "quantity": quantity, "unit_price": unit_price}
        raise ConfigError(
            f"read_transactions got {', '.join(f'{k}={v!r}' for k, v in given.items())}",
            rule="the money of a line is one column (revenue), or the product of two (quantity and unit_price)",
            remedy="name revenue, or name both quantity and unit_price",
        )
    if margin is not None and cost is not None:
        raise ConfigError(
            "both margin and cost are given", rule="margin is given, or follows from cost", remedy="leave one out"
        )
    if margin is not None and not isinstance(margin, str):
        is_rate = isinstance(margin, int | float) and not isinstance(margin, bool) and 0 < margin <= 1
        if not is_rate:
            raise ConfigError(
                f"margin={margin!r}",
                rule="margin is a column's name or a rate of revenue above 0 and at most 1",
                remedy="write 0.35 for 35 percent",
            )
    if duplicates not in ("keep", "drop"):
        raise ConfigError(
            f"duplicates={duplicates!r}", rule="duplicates are 'keep' or 'drop'", remedy="choose one of the two"
        )
    if day_first not in (None, True, False):
        raise ConfigError(
            f"day_first={day_first!r}", rule="day_first is true, false or left out", remedy="write true or false"
        )
    if isinstance(max_amount, bool) or not isinstance(max_amount, int | float) or not 0 < max_amount <= BIGGEST:
        raise ConfigError(
            f"max_amount={max_amount!r}", rule=f"above 0 and at most {BIGGEST:,}", remedy="leave it at 1e9"
        )
    if time_zone is None:
        return None
    try:
        return ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError, TypeError) as problem:
        raise ConfigError(
            f"time_zone={time_zone!r}",
            rule="a zone of the IANA list",
            remedy="write it like 'Europe/Berlin' (on Windows install tzdata)",
        ) from problem


def _currency(
    given: str | None,
    column_name: str | None,
    ids: Mapping[str, "_Ids"],
    numbers: Mapping[str, Numbers],
    raw: Source,
) -> str | None:
    """The one currency of the source; several, in a column or as signs in the amounts, are an error."""
    found: dict[str, int] = {}
    where = ""
    if column_name is not None:
        coded = ids["currency"]
        rows = np.bincount(coded.codes[coded.codes >= 0], minlength=len(coded.labels))
        for label, count in zip(coded.labels.tolist(), rows.tolist(), strict=True):
            found[label.upper()] = found.get(label.upper(), 0) + count
        where = column_name
    elif given is not None and not (isinstance(given, str) and len(given) == 3 and given.isalpha()):
        raise ColumnError(
            f"currency={given!r}: {raw.name} has no such column",
            rule="currency names a column of the source, or is a code of three letters",
            remedy=nearest(str(given), raw.columns),
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
    if column_name is not None:
        return next(iter(found), None)
    return given.upper() if given is not None else None


# ------------------------------------------------------------------------------------------------------- columns


@attrs.frozen(eq=False)
class _Ids:
    """A column of names: codes into distinct, trimmed, sorted labels; -1 where there is none."""

    codes: IntColumn
    labels: NDArray[np.str_]
    too_long: BoolColumn

    def coded(self, kept: BoolColumn) -> Coded:
        """The kept rows; no name is the empty text."""
        labels = np.concatenate([np.asarray([""], dtype=np.str_), self.labels])
        return Coded((self.codes + 1).astype(np.int32), labels).take(kept)


@attrs.frozen(eq=False)
class _Cells:
    """What the columns in their roles hold, row by row."""

    columns: Mapping[str, RawColumn]
    ids: Mapping[str, _Ids]
    dates: Dates
    numbers: Mapping[str, Numbers]
    money: Amounts
    readable: BoolColumn
    absurd: BoolColumn


def _labels(column: RawColumn, sieve: "_Sieve", role: str) -> _Ids:
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
    return _Ids(to_label[codes].astype(np.int64), labels[shift:], long[codes])


def _dates(
    column: RawColumn, day_first: bool | None, zone: ZoneInfo | None, time_zone: str | None, raw: Source
) -> Dates:
    if column.kind == "time":
        if column.time_zone is not None and zone is None:
            raise ColumnError(
                f"at={column.name!r} holds times of the zone {column.time_zone}",
                rule="a log keeps the shop's wall clock, on which her days begin and end",
                remedy=f"pass time_zone={column.time_zone!r}, or the zone of the shop",
            )
        return _native_dates(column, zone)
    if column.kind != "text":
        as_text = [str(v) for v in column.values[~column.missing][:1].tolist()]
        column = _compact(column) or _refuse_numbers(column.name, as_text[0] if as_text else "nothing")
    dates = parse_dates(column, day_first=day_first, zone=zone)
    if not np.any(dates.state == FINE) and np.any(dates.state == IMPOSSIBLE):
        example = next(text for label in column.labels if (text := trimmed(label)))
        if example.replace(".", "", 1).isdigit():
            _refuse_numbers(column.name, example)
        raise ColumnError(
            f"at={column.name!r} holds no date: its first value looks like {shape(example)!r}",
            rule="dates are written like 2011-12-31, 31/12/2011, 12/31/2011, 31.12.2011, 31 Dec 2011 or 20111231, "
            "in the years 1900 to 2100",
            remedy="name the column that holds the dates. "
            + nearest("date", (name for name in raw.columns if name != column.name)),
        )
    return dates


def _native_dates(column: RawColumn, zone: ZoneInfo | None) -> Dates:
    at = column.values.astype("datetime64[s]")
    if column.time_zone is not None and zone is not None:
        distinct, codes = np.unique(np.where(column.missing, np.datetime64(0, "s"), at), return_inverse=True)
        shifted = [local(second, zone) for second in distinct.astype(np.int64).tolist()]
        at = np.asarray(shifted, dtype=np.int64).astype("datetime64[s]")[codes.reshape(-1)]
    state = np.full(len(at), FINE, dtype=np.int8)
    year = at.astype("datetime64[Y]").astype(np.int64) + 1970
    state[(year < 1900) | (year > 2100)] = IMPOSSIBLE
    state[column.missing] = MISSING
    return Dates(at=at, state=state)


def _compact(column: RawColumn) -> RawColumn | None:
    """A column of whole numbers like 20111231 as text; None when it holds anything else."""
    values = column.values[~column.missing]
    if not len(values) or not np.all((values >= 19000101) & (values <= 21001231) & (values == np.rint(values))):
        return None
    distinct, codes = np.unique(np.where(column.missing, values[0], column.values), return_inverse=True)
    return RawColumn(
        name=column.name,
        kind="text",
        values=np.where(column.missing, -1, codes.reshape(-1)),
        missing=column.missing,
        labels=[str(int(v)) for v in distinct.tolist()],
    )


def _refuse_numbers(name: str, example: str) -> Any:
    raise ColumnError(
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
            example = next((text for label in column.labels if (text := trimmed(label))), "")
            raise ColumnError(
                f"{role}={column.name!r} holds no number"
                + (f": its first value looks like {shape(example)!r}" if example else ": it is blank in every row"),
                rule="amounts are written like 1234.5, 1,234.50, 1.234,50, (12.00), 12- or € 12",
                remedy=f"name the column that holds them. {nearest(role, raw.columns)}",
            )
    return read


def _money(numbers: Mapping[str, Numbers], sieve: "_Sieve") -> tuple[Amounts, BoolColumn, BoolColumn]:
    """The money of each row, where it could be read, and where it is beyond all sense."""
    if "revenue" in numbers:
        revenue = numbers["revenue"]
        return revenue.amounts, revenue.fine, revenue.absurd
    price, count = numbers["unit_price"], numbers["quantity"]
    money, too_big, rounded = product(price.amounts, count.amounts)
    sieve.note("amounts with more than six decimals, rounded to six", rounded)
    return money, price.fine & count.fine & ~too_big, price.absurd | count.absurd | too_big


def _judge(cells: _Cells, max_amount: float, sieve: "_Sieve") -> None:
    """Set aside each row that cannot be kept, for the first of its reasons, and note what was assumed of the rest."""
    titles = {role: column.name for role, column in cells.columns.items()}
    sieve.set_aside(cells.ids["customer"].codes < 0, "missing customer", titles["customer"])
    for role in ("customer", "order", "category", "channel"):
        if role in cells.ids:
            sieve.set_aside(cells.ids[role].too_long, "id too long", titles[role])
    for state, reason in _DATE_REASONS.items():
        sieve.set_aside(cells.dates.state == state, reason, titles["at"])
    needed = ("revenue",) if "revenue" in titles else ("quantity", "unit_price")
    amounts = [role for role in (*needed, "margin", "cost") if role in titles]
    for role in amounts:
        sieve.set_aside(cells.numbers[role].unreadable, "unreadable amount", titles[role])
    limit = int(Decimal(str(max_amount)).scaleb(cells.money.decimals))
    sieve.set_aside(cells.absurd | (np.abs(cells.money.minor) > limit), "absurd amount", titles[needed[-1]])
    for role in amounts:
        sieve.set_aside(cells.numbers[role].absurd, "absurd amount", titles[role])

    for role, read in cells.numbers.items():
        for name, rows in read.notes.items():
            sieve.note(f"{name} ({titles[role]})", rows, assumed=True)
        sieve.note(f"amounts with more than six decimals, rounded to six ({titles[role]})", read.rounded)
    for name, rows in cells.dates.notes.items():
        sieve.note(name, rows, assumed=True)


def _quantities(
    numbers: Mapping[str, Numbers], money: Amounts, kept: BoolColumn
) -> tuple[FloatColumn | None, BoolColumn]:
    """How many (NaN where it cannot be read), and which lines take goods or money back."""
    is_return = money.minor < 0
    if "quantity" not in numbers:
        return None, is_return
    count = numbers["quantity"].amounts.take(kept)
    return np.where(numbers["quantity"].fine[kept], count.to_float(), np.nan), is_return | (count.minor < 0)


def _margins(
    margin: str | float | None,
    numbers: Mapping[str, Numbers],
    money: Amounts,
    is_return: BoolColumn,
    kept: BoolColumn,
    sieve: "_Sieve",
) -> Amounts:
    if "margin" in numbers:
        return numbers["margin"].amounts.take(kept)
    if "cost" in numbers:
        cost = numbers["cost"].amounts.take(kept)
        flip = is_return & (cost.minor > 0)
        sieve.note("returns whose cost of goods is taken to come back", int(flip.sum()), assumed=True)
        return money.minus(Amounts(np.where(flip, -cost.minor, cost.minor), cost.decimals))
    if margin is None:
        return money
    return money.times(float(margin))


def _orders(ids: _Ids, kept: BoolColumn, when: NDArray[np.datetime64], sieve: "_Sieve") -> Coded:
    """Order numbers; a line without one is in the order of its time stamp."""
    coded = ids.coded(kept)
    missing = ids.codes[kept] < 0
    if not missing.any():
        return coded
    sieve.note("lines without an order number, grouped by customer and time stamp", int(missing.sum()))
    stamps = Coded.of([f"no number, {stamp}" for stamp in when[missing].tolist()])
    rows = np.empty(len(missing), dtype=np.int64)
    rows[~missing] = np.arange(int((~missing).sum()))
    rows[missing] = int((~missing).sum()) + np.arange(int(missing.sum()))
    return coded.take(~missing).joined(stamps).take(rows)


def _duplicates(raw: Source, line_ids: _Ids | None, duplicates: str, sieve: "_Sieve") -> None:
    again = raw.repeats()
    proved = again & (line_ids.codes >= 0) if line_ids is not None else np.zeros(len(again), dtype=bool)
    if line_ids is not None:
        named = line_ids.codes[(line_ids.codes >= 0) & ~again]
        sieve.note("line ids that stand on different rows", len(named) - len(np.unique(named)))
    sieve.set_aside(again if duplicates == "drop" else proved, "exact duplicate", "")
    sieve.note("rows that repeat an earlier one in every cell, kept", int((again & sieve.kept).sum()))


# ------------------------------------------------------------------------------------------------- the account


class _Sieve:
    """Remembers for each row the first reason to set it aside, and counts what is worth a note."""

    def __init__(self, raw: Source) -> None:
        self._raw = raw
        self._why = np.zeros(len(raw), dtype=np.int16)
        self._reasons: list[tuple[str, str]] = [("", "")]
        self.notes: dict[str, int] = dict(raw.notes)
        self.assumed: list[str] = list(raw.notes)

    @property
    def kept(self) -> BoolColumn:
        """The rows with no reason against them."""
        return np.equal(self._why, 0)

    def set_aside(self, rows: BoolColumn, reason: str, column: str) -> None:
        """Set these rows aside, those that are not yet."""
        fresh = rows & (self._why == 0)
        if fresh.any():
            self._why[fresh] = len(self._reasons)
            self._reasons.append((reason, column))

    def note(self, name: str, rows: int, *, assumed: bool = False) -> None:
        """Count something worth knowing, and whether it is an assumption; nothing is not."""
        if rows:
            if assumed and name not in self.assumed:
                self.assumed.append(name)
            self.notes[name] = self.notes.get(name, 0) + rows

    def account(self, money: Amounts, readable: BoolColumn) -> Quality:
        """Rows and money, by reason."""
        parts: dict[str, SetAside] = {}
        shapeless = len(self._raw.misshapen)
        if shapeless:
            parts["wrong number of cells"] = SetAside(shapeless, Decimal(0), shapeless)
        for number, (reason, _) in enumerate(self._reasons[1:], start=1):
            here = self._why == number
            before = parts.get(reason, SetAside(0, Decimal(0)))
            parts[reason] = SetAside(
                before.rows + int(here.sum()),
                before.money + money.total(here & readable),
                before.unreadable + int((here & ~readable).sum()),
            )
        return Quality(
            rows_in=len(self._raw) + shapeless,
            rows_kept=int(self.kept.sum()),
            money_in=money.total(readable),
            money_kept=money.total(self.kept),
            set_aside=parts,
            notes=self.notes,
            listing=self._listing(),
        )

    def _listing(self) -> RowsSetAside:
        aside = np.flatnonzero(self._why)
        shapeless = self._raw.misshapen
        reasons, columns = (np.asarray(part, dtype=np.str_) for part in zip(*self._reasons, strict=True))
        line = np.concatenate([self._raw.line[aside], shapeless])
        order = np.argsort(line, kind="stable")
        why = self._why[aside]
        return RowsSetAside(
            line=line[order],
            reason=np.concatenate([reasons[why], np.full(len(shapeless), "wrong number of cells")])[order],
            column=np.concatenate([columns[why], np.full(len(shapeless), "")])[order],
            source=np.full(len(line), self._raw.name),
        )


def _nothing_left(sieve: _Sieve, raw: Source) -> ReadError:
    account = sieve.account(Amounts(np.zeros(len(raw), dtype=np.int64), 0), np.zeros(len(raw), dtype=bool))
    counts = ", ".join(f"{reason} ({part.rows:,})" for reason, part in account.set_aside.items())
    return ReadError(
        f"{raw.name}: none of its {account.rows_in:,} rows can be kept: {counts}",
        rule="a row is kept when it has a customer, a date and an amount",
        remedy="check that the right columns were named for customer, date and money",
    )


def _version() -> str | None:
    try:
        return importlib.metadata.version("retention")
    except importlib.metadata.PackageNotFoundError:
        return None
