"""What the folder of a history store holds: the file that names its files, and the queries for what is in them."""

import datetime as dt
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

import attrs
from attrs import frozen

from retention.errors import ReadError
from retention.frames.embedded import parquet
from retention.frames.export import replace_file
from retention.frames.lazy import lazily
from retention.frames.table import Provenance
from retention.histories.nights import TakenIn
from retention.records.quality import Quality, SetAside
from retention.records.scan import TransactionScan

_FORMAT, _VERSION, _MONEY = "retention history store", 1, "millionths"
MANIFEST = "manifest.json"

LINE = ("customer", '"at"', "date", '"order"', "revenue", "margin", "pieces", "bought", "line_id")
HISTORY = (
    *("customer_id", "first_at", "last_at", "frequency", "recency_days", "orders", "revenue", "margin", "returns"),
    *("margin_mean", "margin_squares", "gap_log_sum", "gap_log_squares"),
)
"""What is kept of a history: all that does not change while nothing happens. The age follows from the evening."""


@frozen(kw_only=True)
class File:
    name: str
    bytes: int


@frozen(kw_only=True)
class Shape:
    """What all deliveries have in common: the kind of the customers' ids, and which columns were named."""

    ids: Literal["whole numbers", "text"]
    orders: bool
    line_ids: bool
    times: bool
    margins: bool
    currency: str | None


@frozen(kw_only=True)
class Manifest:
    """What the folder holds; whatever file it does not name is not there."""

    generation: int = 0
    customers: int = 0
    as_of: dt.date | None = None
    last_day: dt.date | None = None
    shape: Shape | None = None
    notes: tuple[str, ...] = ()
    lines: tuple[File, ...] = ()
    gone: tuple[File, ...] = ()
    histories: tuple[File, ...] = ()
    before: tuple[str, ...] = ()
    """Files of the night before: whoever reads them still may finish."""
    account: Quality = attrs.field(factory=Quality)
    nights: tuple[TakenIn, ...] = ()
    fingerprints: tuple[str, ...] = ()
    had: Mapping[str, Any] = attrs.field(factory=dict)
    """Files that were taken in: path to size, time of change and digest of the content."""

    @property
    def files(self) -> tuple[File, ...]:
        return (*self.lines, *self.gone, *self.histories)

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if (told.pop("format"), told.pop("version"), told.pop("money")) != (_FORMAT, _VERSION, _MONEY):
                raise ValueError("another format or version")
            if odd := set(told) ^ set(attrs.fields_dict(cls)):
                raise ValueError(f"unknown or missing: {', '.join(sorted(odd))}")
            told["as_of"], told["last_day"] = _day(told["as_of"]), _day(told["last_day"])
            told["shape"] = None if told["shape"] is None else Shape(**told["shape"])
            for name in ("lines", "gone", "histories"):
                told[name] = tuple(File(**one) for one in told[name])
            aside = {why: SetAside(rows, Decimal(money), no) for why, (rows, money, no) in told["account"][4].items()}
            rows_in, rows_kept, *sums = told["account"][:4]
            told["account"] = Quality(
                rows_in=rows_in,
                rows_kept=rows_kept,
                money_in=Decimal(sums[0]),
                money_kept=Decimal(sums[1]),
                set_aside=aside,
            )
            told["nights"] = tuple(TakenIn(**{**one, "as_of": _day(one["as_of"])}) for one in told["nights"])
            for name in ("notes", "before", "fingerprints"):
                told[name] = tuple(told[name])
            told["had"] = {
                path: (int(size), int(changed), str(digest)) for path, (size, changed, digest) in told["had"].items()
            }
            return cls(**told)
        except (OSError, ValueError, ArithmeticError, TypeError, LookupError, AttributeError) as problem:
            why = str(problem) if type(problem) is ValueError else type(problem).__name__
            raise ReadError(
                f"{path.parent.name}: its {MANIFEST} cannot be read ({why})",
                rule=f"a history store of version {_VERSION} has one, and knows every word in it",
                remedy="open it with the version of this package that wrote it, or begin anew from all transactions",
            ) from problem

    def write(self, path: Path) -> None:
        told = {field.name: getattr(self, field.name) for field in attrs.fields(Manifest)}
        told |= {"as_of": _iso(self.as_of), "last_day": _iso(self.last_day)}
        told["shape"] = None if self.shape is None else attrs.asdict(self.shape)
        for name in ("lines", "gone", "histories"):
            told[name] = [attrs.asdict(file) for file in told[name]]
        told["had"] = dict(self.had)
        told["nights"] = [night.to_dict() for night in self.nights]
        sums, parts = self.account, self.account.set_aside.items()
        aside = {reason: [part.rows, str(part.money), part.unreadable] for reason, part in parts}
        told["account"] = [sums.rows_in, sums.rows_kept, str(sums.money_in), str(sums.money_kept), aside]
        text = json.dumps({"format": _FORMAT, "version": _VERSION, "money": _MONEY, **told}, indent=1)

        def settled(temporary: Path) -> None:
            temporary.write_text(text, encoding="utf-8", newline="\n")
            settle(temporary)

        replace_file(path, settled)
        settle(path.parent)


def lines_of(folder: Path, known: Manifest) -> str:
    """The query for all lines that count."""
    if not known.lines:
        empty = {"customer": id_type(known), '"at"': "DATE", "date": "DATE", "bought": "INTEGER", "night": "INTEGER",
                 '"order"': "VARCHAR", "line_id": "VARCHAR"}  # fmt: skip
        cells = (f"CAST(NULL AS {empty.get(name, 'BIGINT')}) AS {name}" for name in (*LINE, "night"))
        return f"SELECT {', '.join(cells)} WHERE false"
    every = f"SELECT * FROM {parquet(folder / file.name for file in known.lines)}"
    if not known.gone:
        return every
    gone = f"SELECT * FROM {parquet(folder / file.name for file in known.gone)}"
    return f"SELECT l.* FROM ({every}) l ANTI JOIN ({gone}) g ON l.line_id = g.line_id AND l.night < g.night"


def histories_of(folder: Path, known: Manifest) -> str:
    """The query for the histories, but for the age: of each customer the row of the last night that concerned her."""
    files = [folder / file.name for file in known.histories]
    if files:
        first, later = f"FROM {parquet(files[:1])}", f"FROM {parquet(files[1:])}"
        if len(files) > 1:
            last = f"SELECT customer_id, max(night) AS night {later} GROUP BY customer_id"
            first = f"""FROM (SELECT * {first} ANTI JOIN (SELECT customer_id {later}) USING (customer_id)
                UNION ALL SELECT * {later} SEMI JOIN ({last}) USING (customer_id, night))"""
        return f"SELECT {', '.join(HISTORY)} {first} WHERE first_at IS NOT NULL"
    kinds = {"customer_id": id_type(known), "first_at": "DATE", "last_at": "DATE", "frequency": "BIGINT",
             "orders": "BIGINT"}  # fmt: skip
    cells = (f"CAST(NULL AS {kinds.get(name, 'DOUBLE')}) AS {name}" for name in HISTORY)
    return f"SELECT {', '.join(cells)} WHERE false"


def scan_of(engine: Any, query: str, known: Manifest) -> TransactionScan:
    shape = known.shape
    orders, line_ids = shape is not None and shape.orders, shape is not None and shape.line_ids
    hidden = {'"order"': not orders, "line_id": not line_ids}
    cells = ", ".join(name for name in LINE if not hidden.get(name))
    lines = lazily(engine.sql(f"SELECT {cells} FROM ({query})"))
    return TransactionScan(
        lines=lines,
        judged=known.account,
        engine="duckdb",
        has_orders=orders,
        has_times=shape is not None and shape.times,
        has_margin=shape is not None and shape.margins,
        has_line_ids=line_ids,
        opened_here=True,
        currency=None if shape is None else shape.currency,
        provenance=Provenance(notes=known.notes),
    )


def id_type(known: Manifest) -> str:
    return "BIGINT" if known.shape is not None and known.shape.ids == "whole numbers" else "VARCHAR"


def settle(path: Path) -> None:
    """See to it that a file, or the names in a folder, outlast a power cut."""
    if path.is_dir():
        if os.name != "posix":
            return
        handle = os.open(path, os.O_RDONLY)
    else:
        handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _day(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


def _iso(day: dt.date | None) -> str | None:
    return None if day is None else day.isoformat()
