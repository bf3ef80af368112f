"""From a messy invoice file to a transaction log and the account of what was wrong with it."""

import importlib.metadata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, Protocol, runtime_checkable

import attrs
import numpy as np
from numpy.typing import NDArray

from retention.frames.coded import Coded
from retention.frames.reading import Source, open_source
from retention.frames.table import BoolColumn, FloatColumn, Provenance
from retention.records._arguments import checked
from retention.records._cells import Cells, Ids, one_currency, read_cells
from retention.records._dates import AMBIGUOUS, IMPOSSIBLE, MISSING
from retention.records._numbers import Numbers
from retention.records._pairs import undone_at
from retention.records._sieve import Sieve, nothing_left
from retention.records.money import Amounts
from retention.records.transactions import NO_MARGIN, TransactionLog

__all__ = ["Reader", "read_transactions"]

DAY_FIRST_GUESSED = "nothing in the file proves whether day or month comes first: dates like 03/04 are read day first"
_ENOUGH_LINES, _OUTSIZE = 20, 0.2
_DATE_REASONS = {MISSING: "missing date", IMPOSSIBLE: "impossible date", AMBIGUOUS: "ambiguous date"}


@runtime_checkable
class Reader(Protocol):
    """Reads receipts in a form of their own: the export of a till, a ledger, a web shop.

    Nothing is dropped silently: what is not in the log is in its quality account, with a reason.
    """

    @property
    def name(self) -> str:
        """The registry name of the reader."""

    def read(self, source: Any, **options: Any) -> TransactionLog:
        """The log of a source; options are the other keys of ``[read]``."""


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
    zone = checked(revenue, quantity, unit_price, margin, cost, day_first, duplicates, time_zone, max_amount)
    raw = open_source(source)
    named = {
        "customer": customer,
        "at": at,
        "revenue": revenue,
        "quantity": quantity,
        "unit_price": unit_price,
        "order": order,
        "category": category,
        "channel": channel,
        "margin": margin if isinstance(margin, str) else None,
        "cost": cost,
        "currency": currency if currency is not None and currency in raw.columns else None,
        "line_id": line_id,
        "item": item,
    }
    columns = {
        role: raw.column(str(name), role=role)
        for role, name in named.items()
        if name is not None or role in ("customer", "at")
    }
    sieve = Sieve(raw)
    if not len(raw):
        raise nothing_left(sieve, raw)
    cells = read_cells(raw, columns, sieve, day_first=day_first, zone=zone)
    code = one_currency(currency, cells, raw)
    _judge(cells, max_amount, sieve)
    _duplicates(raw, cells.ids.get("line_id"), duplicates, sieve)
    kept = sieve.kept
    if not kept.any():
        raise nothing_left(sieve, raw)

    ids, numbers = cells.ids, cells.numbers
    when, revenue_kept = cells.dates.at[kept], cells.money.take(kept)
    quantity_kept, is_return = _quantities(numbers, revenue_kept, kept)
    same = [ids[role].codes[kept] for role in ("category", "item") if role in ids]
    if "quantity" in numbers:
        same.append(np.abs(numbers["quantity"].amounts.minor[kept]))
    orders = _orders(ids["order"], kept, when, sieve) if "order" in ids else None
    number = None if orders is None else orders.codes
    undone = undone_at(ids["customer"].codes[kept], when, revenue_kept.minor, same, number)
    margin_kept = _margins(margin, numbers, revenue_kept, is_return, kept, sieve)
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
    notes += [DAY_FIRST_GUESSED] if cells.dates.guessed else []
    notes += [f"{name}: {sieve.notes[name]:,}" for name in sieve.assumed]
    notes += _outsize(log)
    provenance = Provenance(data=log.fingerprint(), version=_version(), notes=tuple(notes))
    return attrs.evolve(log, provenance=provenance)


def _outsize(log: TransactionLog) -> list[str]:
    """A note on a line that outweighs the file: a slip of the finger below ``max_amount`` would rule every sum."""
    size = np.where(log.is_cancelled, 0, np.abs(log.revenue.minor)).astype(np.float64)
    total = float(size.sum())
    if len(size) < _ENOUGH_LINES or size.max() <= _OUTSIZE * total:
        return []
    at = int(np.argmax(size))
    return [
        f"line {int(log.line[at])} alone holds {size[at] / total:.0%} of all money read: "
        "if it is a slip of the finger, set max_amount below it"
    ]


def _judge(cells: Cells, max_amount: float, sieve: Sieve) -> None:
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
    sieve: Sieve,
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


def _orders(ids: Ids, kept: BoolColumn, when: NDArray[np.datetime64], sieve: Sieve) -> Coded:
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


def _duplicates(raw: Source, line_ids: Ids | None, duplicates: str, sieve: Sieve) -> None:
    again = raw.repeats()
    proved = again & (line_ids.codes >= 0) if line_ids is not None else np.zeros(len(again), dtype=bool)
    if line_ids is not None:
        named = line_ids.codes[(line_ids.codes >= 0) & ~again]
        sieve.note("line ids that stand on different rows", len(named) - len(np.unique(named)))
    sieve.set_aside(again if duplicates == "drop" else proved, "exact duplicate", "")
    sieve.note("rows that repeat an earlier one in every cell, kept", int((again & sieve.kept).sum()))


def _version() -> str | None:
    try:
        return importlib.metadata.version("retention")
    except importlib.metadata.PackageNotFoundError:
        return None
