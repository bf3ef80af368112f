"""Transactions that stay where they are: named columns of a lazy table, and the account of the rows set aside."""

import datetime as dt
import functools
import hashlib
import json
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs
import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ColumnError, ConfigError, ReadError, nearest
from retention.frames.coded import Coded
from retention.frames.lazy import Engine, as_text, beside, engine_errors, engine_of, local_time, open_lazy, rest
from retention.frames.table import IntColumn, Provenance
from retention.records._names import EDGES, NOTHING, trimmed
from retention.records._numbers import BIGGEST
from retention.records._pairs import undone_at
from retention.records.money import Amounts
from retention.records.quality import Quality, SetAside
from retention.records.transactions import TransactionLog

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

    from retention.records.apart import Few

__all__ = ["TransactionScan", "arrays", "log_of", "refuse_too_much", "scan_transactions"]

MICRO = 1_000_000
"""Money is summed as whole millionths: exact, and the same in every engine whatever the order of the rows."""

MOST = 9e12
"""Money that is safe to sum as whole millionths in 64 bits."""

_REASONS = ("", "missing customer", "missing date", "unreadable amount", "absurd amount")


@frozen(eq=False, repr=False, kw_only=True)
class TransactionScan:
    """Transactions in the engine that holds them; nothing is read until a result is asked for.

    ``lines`` is a lazy frame of the kept rows: ``customer`` (text or whole number, as the source has it), ``at``,
    ``date``, ``order`` and ``line_id`` where they were named, ``revenue``, ``margin`` and ``pieces`` in whole
    millionths, ``bought`` (1 for a purchase, 0 for a row that takes goods or money back). ``judged`` has the ``reason``
    of every row, as a number, and the money of it in whole millionths; or it is the account of the rows itself.
    ``last`` is the last day that is known, where rows after it were left out. ``opened_here`` is whether the engine is
    this library's own, and ``memory`` the limit that it was given.
    """

    lines: "nw.LazyFrame[Any]"
    judged: "nw.LazyFrame[Any] | Quality"
    engine: Engine
    has_orders: bool
    has_times: bool
    has_margin: bool = True
    has_line_ids: bool = False
    currency: str | None = None
    last: dt.date | None = None
    opened_here: bool = False
    memory: str | None = None
    provenance: Provenance = attrs.field(factory=Provenance)

    @functools.cached_property
    def few(self) -> "Few | None":
        """Customers whose rows must be looked at one by one; the engine looks for them once."""
        from retention.records.apart import set_apart

        return set_apart(self)

    @functools.cached_property
    def quality(self) -> Quality:
        """The account of all rows, kept and set aside, by reason: the engine counts them in one pass, once.

        Amounts that are absurd are in no sum, and are counted as unreadable. Rows set aside are not listed.
        """
        if isinstance(self.judged, Quality):
            return self.judged
        counted = arrays(_account(self.judged))
        parts: dict[str, SetAside] = {}
        for number, rows, readable, units, millionths in zip(
            *(counted[name].tolist() for name in ("reason", "rows", "readable", "units", "millionths")), strict=True
        ):
            money = Decimal(int(units)) + Decimal(int(millionths)).scaleb(-6)
            parts[_REASONS[int(number)]] = SetAside(int(rows), money, int(rows) - int(readable))
        kept = parts.pop("", SetAside(0, Decimal(0)))
        order = [reason for reason in _REASONS if reason in parts]
        return Quality(
            rows_in=kept.rows + sum(part.rows for part in parts.values()),
            rows_kept=kept.rows,
            money_in=sum((part.money for part in parts.values()), kept.money),
            money_kept=kept.money,
            set_aside={reason: parts[reason] for reason in order},
        )

    def in_memory(self) -> TransactionLog:
        """All kept rows as a log in memory."""
        log = log_of(arrays(self.lines), self.has_orders, self.currency)
        return attrs.evolve(log, provenance=self.provenance)

    def of(self, customers: Iterable[Any]) -> Self:
        """The rows of these customers alone; their ids are given as text, as every result has them."""
        import narwhals.stable.v2 as nw

        whole = self.lines.collect_schema()["customer"].is_integer()
        names = [
            one for one in map(str, customers) if not whole or re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", one, re.ASCII)
        ]
        told = beside(self.lines, "customer", [int(one) for one in names] if whole else names) if names else None
        if told is not None:
            return attrs.evolve(self, lines=self.lines.join(told, on="customer", how="semi"))
        wanted = [int(one) for one in names] if whole else names
        return attrs.evolve(self, lines=self.lines.filter(nw.col("customer").is_in(wanted)))

    def occasions(self) -> tuple["nw.LazyFrame[Any]", list[str]]:
        """The rows of purchases, and the columns that tell a customer's orders apart.

        Rows without an order number are in the order of their time stamp. That is told to the second, by its parts: cut
        off by the engine it may turn into an instant of another zone.
        """
        import narwhals.stable.v2 as nw

        bought = self.lines.filter(nw.col("bought") == 1)
        stamp = {"on": nw.col("date")}
        if self.has_times:
            hour, minute, second = (
                getattr(nw.col("at").dt, part)().cast(nw.Int64) for part in ("hour", "minute", "second")
            )
            stamp["second"] = (hour * 60 + minute) * 60 + second
        if not self.has_orders:
            return bought.with_columns(**stamp), ["customer", *stamp]
        unnumbered = {name: nw.when(nw.col("order").is_null()).then(part) for name, part in stamp.items()}
        return bought.with_columns(**unnumbered), ["customer", "order", *unnumbered]

    def days(self) -> tuple[dt.date, dt.date] | None:
        """The days of the first and the last kept row; None if there is none."""
        import narwhals.stable.v2 as nw

        ends = self.lines.select(first=nw.col("date").min(), last=nw.col("date").max()).collect()
        first, last = ends["first"].to_list()[0], ends["last"].to_list()[0]
        return None if first is None or last is None else (as_day(first), as_day(last))

    def rest(self) -> None:
        """Give back what memory the engine keeps in reserve, if it was opened here; all else goes on as before."""
        if self.opened_here:
            rest(self.lines, self.memory)

    def fingerprint(self) -> str:
        """A short hash of the account of all rows and of their days, the same in every engine and for every order.

        It tells that rows came or went, or that money changed; it does not read every row as that of a log does.
        """
        quality = self.quality
        aside = {reason: [part.rows, str(part.money)] for reason, part in quality.set_aside.items()}
        told = [quality.rows_in, quality.rows_kept, str(quality.money_kept), aside, [*map(str, self.days() or ())]]
        return hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()

    def until(self, as_of: dt.date) -> Self:
        """The rows up to and including a day."""
        if as_of == self.last:
            return self
        import narwhals.stable.v2 as nw

        last = dt.datetime.combine(as_of, dt.time()) if self.engine == "dask" and self.has_times else as_of
        return attrs.evolve(self, lines=self.lines.filter(nw.col("date") <= last), last=as_of)

    def __repr__(self) -> str:
        return f"<TransactionScan: rows in {self.engine}, not read>"


def scan_transactions(
    source: Any,
    *,
    customer: str,
    at: str,
    revenue: str | None = None,
    quantity: str | None = None,
    unit_price: str | None = None,
    order: str | None = None,
    margin: str | float | None = None,
    cost: str | None = None,
    currency: str | None = None,
    time_zone: str | None = None,
    max_amount: float = 1e9,
    threads: int | None = None,
    memory: str | None = None,
    line_id: str | None = None,
) -> TransactionScan:
    """Name the columns of a table of transactions that is not to be read into memory.

    The table must be clean in its types: dates are dates or time stamps, amounts are numbers, ids are text or whole
    numbers. Ids are stripped of blanks, and words for nothing such as NULL or n/a are none. For files as people keep
    them, with dates in words and amounts in local notation, use ``rt.read_transactions``.

    Args:
        source: a path to Parquet or CSV (file, folder or pattern), or a frame of polars, DuckDB, PySpark, Ibis, Dask,
            pandas or pyarrow. Lazy frames stay in their engine.
        customer: column with the customer's id.
        at: column with the date or time stamp.
        revenue: column with the money of the row; or give ``quantity`` and ``unit_price``.
        quantity: column with the number of pieces; a negative one marks a return.
        unit_price: column with the price of one piece.
        order: column with the order's number; rows of a customer without one are one order if they agree in their time
            stamp, to the second.
        margin: column with the margin of the row, or a rate of revenue such as 0.35.
        cost: column with the cost of goods of the row; margin is revenue less cost.
        currency: the currency's code.
        time_zone: the shop's zone, into whose wall clock time stamps with a zone are turned. They need one.
        max_amount: rows of more money than this, either way, are set aside; at most 10**12.
        threads: how many the embedded engine may use, for paths; None lets it use all cores.
        memory: how much memory it may use, for paths, such as ``"3GB"``; what does not fit goes to a temporary folder.
        line_id: column with the row's own number or name, by which a later row can correct it in a
            :class:`~retention.histories.HistoryStore`.

    Raises:
        ColumnError: a column is missing, or is not of a type that can be summed or compared as it is.
        ConfigError: the arguments contradict each other.

    Example:
        >>> import polars
        >>> table = polars.LazyFrame({"who": [7, 7, None], "day": ["2011-01-03", "2011-02-01", "2011-02-02"],
        ...                           "sum": [9.99, 5.0, 1.0]}).with_columns(polars.col("day").str.to_date())
        >>> scan = scan_transactions(table, customer="who", at="day", revenue="sum")
        >>> scan
        <TransactionScan: rows in polars, not read>
        >>> scan.quality.rows_kept
        2
    """
    _check(revenue, quantity, unit_price, margin, cost, time_zone, max_amount, threads, memory)
    import narwhals.stable.v2 as nw

    ids = [name for name in (customer, order, line_id) if isinstance(name, str)]
    frame = open_lazy(source, threads=threads, memory=memory, text=ids)
    roles = {
        "customer": customer,
        "at": at,
        "revenue": revenue,
        "quantity": quantity,
        "unit_price": unit_price,
        "order": order,
        "margin": margin if isinstance(margin, str) else None,
        "cost": cost,
        "line_id": line_id,
    }
    named = {role: name for role, name in roles.items() if name is not None}
    types = _types(frame, named)
    _refuse_types(named, types, time_zone)
    engine, has_times = engine_of(frame), types["at"] == nw.Datetime
    frame = frame.select(**{f"_{role}": nw.col(name) for role, name in named.items()})
    if getattr(types["at"], "time_zone", None) is not None and time_zone is not None:
        frame = local_time(frame, "_at", time_zone)
    frame = frame.with_columns(**{f"_{role}": _name(role, types[role], engine) for role in types if role in _IDS})
    frame = _with_money(frame, types, 1.0 if margin is None or isinstance(margin, str) else float(margin))
    amounts = nw.col("_earned"), nw.col("_kept")
    # Whatever is null or no number is not within the limit either.
    kept = frame.filter(
        ~nw.col("_customer").is_null(), ~nw.col("_at").is_null(), *(amount.abs() <= max_amount for amount in amounts)
    )
    within = max_amount * MICRO < _EXACT
    # Engines may work out a row before they leave it out: what is cut off here is left out above.
    cut = [amount.clip(-max_amount, max_amount) for amount in amounts]
    micro = [(_nearest(amount * float(MICRO)) if within else _rounded(amount)).cast(nw.Int64) for amount in cut]
    pieces = nw.col("_quantity").abs().fill_null(0.0)
    lines = kept.select(
        customer=nw.col("_customer"),
        at=nw.col("_at"),
        date=_date(nw.col("_at"), engine) if has_times else nw.col("_at"),
        **({} if order is None else {"order": nw.col("_order")}),
        revenue=micro[0],
        margin=micro[1],
        pieces=nw.lit(0) if quantity is None else _rounded(pieces).cast(nw.Int64),
        bought=nw.when(nw.col("_back")).then(nw.lit(0)).otherwise(nw.lit(1)),
        **({} if line_id is None else {"line_id": nw.col("_line_id")}),
    )
    notes = ("no margin was given: margin is taken to be revenue, so every margin below is revenue",)
    return TransactionScan(
        lines=lines,
        judged=frame.select(reason=_reason(max_amount), micro=nw.when(amounts[0].abs() <= max_amount).then(micro[0])),
        engine=engine,
        has_orders=order is not None,
        has_times=has_times,
        has_margin=margin not in (None, 1, 1.0) or cost is not None,
        has_line_ids=line_id is not None,
        opened_here=isinstance(source, str | Path | tuple),
        memory=memory,
        currency=currency,
        provenance=Provenance(notes=notes if margin is None and cost is None else ()),
    )


def _account(judged: "nw.LazyFrame[Any]") -> "nw.LazyFrame[Any]":
    """Rows and money by reason; whole units and millionths are summed apart, so that no sum wraps around."""
    import narwhals.stable.v2 as nw

    there = ~nw.col("micro").is_null()
    money = nw.col("micro").fill_null(0)
    counted = judged.with_columns(
        readable=nw.when(there).then(nw.lit(1)).otherwise(nw.lit(0)), units=money // MICRO, millionths=money % MICRO
    )
    sums = [nw.col(name).sum() for name in ("readable", "units", "millionths")]
    each = counted.group_by("reason").agg(nw.len().alias("rows"), *sums)
    return each.select("reason", *(nw.col(name).cast(nw.Int64) for name in ("rows", "readable", "units", "millionths")))


def arrays(frame: "nw.LazyFrame[Any]") -> dict[str, Any]:
    """The rows of a small enough table, as numpy arrays."""
    with engine_errors("the rows"):
        collected = frame.collect()
    return {name: collected[name].to_numpy() for name in collected.columns}


def refuse_too_much(beyond: Any) -> None:
    """A ReadError if the money of any customer is beyond what is summed exactly."""
    if np.any(beyond):
        raise ReadError(
            "more money of one customer than can be summed exactly",
            rule=f"the amounts and margins of a customer, added up without their signs, are at most {MOST:,.0f}",
            remedy="set a max_amount that leaves slips of the finger aside, or count in thousands",
        )


def log_of(rows: dict[str, Any], has_orders: bool, currency: str | None) -> TransactionLog:
    """A log in memory of rows of a scan."""
    n = len(rows["revenue"])
    revenue, margin = (_amounts(rows[name].astype(np.int64)) for name in ("revenue", "margin"))
    at = rows["at"].astype("datetime64[s]")
    customers = Coded.of(as_text(rows["customer"]))
    orders = None
    if has_orders:
        orders = Coded.of(
            [trimmed(str(one)) or f"no number, {stamp}" for one, stamp in zip(rows["order"].tolist(), at, strict=True)]
        )
    return TransactionLog(
        customers=customers,
        at=at,
        revenue=revenue,
        margin=margin,
        is_return=rows["bought"] == 0,
        undone_at=undone_at(
            customers.codes,
            at,
            revenue.minor,
            [rows["pieces"].astype(np.int64)],
            None if orders is None else orders.codes,
        ),
        line=np.arange(1, n + 1, dtype=np.int64),
        orders=orders,
        currency=currency,
        quality=Quality.clean(rows=n, money=revenue.total()),
    )


def _amounts(micro: IntColumn) -> Amounts:
    """Money in cents where it is: of these a log can sum more."""
    return Amounts(micro, 6) if np.any(micro % 10_000) else Amounts(micro // 10_000, 2)


_IDS = ("customer", "order", "line_id")
_AMOUNTS = ("revenue", "unit_price", "quantity", "cost", "margin")


def _types(frame: "nw.LazyFrame[Any]", named: Mapping[str, str]) -> dict[str, Any]:
    """What the engine says that the columns in their roles are; one that is not there is an error."""
    schema = frame.collect_schema()
    for role, name in named.items():
        if name not in schema:
            raise ColumnError(
                f"no column {name!r} for {role}",
                rule=f"the source has {len(schema)} columns",
                remedy=nearest(name, list(schema)),
            )
    return {role: schema[name] for role, name in named.items()}


def _name(role: str, dtype: Any, engine: Engine) -> Any:
    """An id without blank edges, null if it is none: as for tables that are read into memory."""
    import narwhals.stable.v2 as nw

    name = nw.col(f"_{role}")
    if dtype.is_float():
        return name.fill_nan(None)
    if dtype not in (nw.String, nw.Categorical, nw.Enum):
        return name
    text = name if dtype == nw.String else name.cast(nw.String)
    # Ibis strips nothing but what it takes for blank itself.
    edges = f"^[{EDGES}]+|[{EDGES}]+$"
    text = text.str.replace_all(edges, "") if engine == "ibis" else text.str.strip_chars(EDGES)
    return nw.when(~text.str.to_lowercase().is_in(sorted(NOTHING))).then(text)


def _with_money(frame: "nw.LazyFrame[Any]", types: Mapping[str, Any], rate: float) -> "nw.LazyFrame[Any]":
    """The same rows with what they earned, what of it was kept, and whether they take goods or money back."""
    import narwhals.stable.v2 as nw

    frame = frame.with_columns(**{f"_{role}": _number(f"_{role}", types[role]) for role in _AMOUNTS if role in types})
    frame = frame.with_columns(
        _earned=nw.col("_revenue") if "revenue" in types else nw.col("_quantity") * nw.col("_unit_price")
    )
    back = _nearest(nw.col("_earned") * float(MICRO)) < 0
    if "quantity" in types:
        back = back | (_rounded(nw.col("_quantity").fill_null(0.0)) < 0)
    frame = frame.with_columns(_back=back)
    if "margin" in types:
        return frame.with_columns(_kept=nw.col("_margin"))
    if "cost" in types:
        # Goods that come back bring their cost back, whichever sign it is written with.
        cost = nw.col("_cost")
        returned = nw.when(nw.col("_back") & (cost > 0)).then(-cost).otherwise(cost)
        return frame.with_columns(_kept=nw.col("_earned") - returned)
    return frame.with_columns(_kept=nw.col("_earned") if rate == 1.0 else nw.col("_earned") * rate)


def _reason(max_amount: float) -> Any:
    """Why a row is set aside, as its place in _REASONS; 0 for one that is kept."""
    import narwhals.stable.v2 as nw

    amounts = nw.col("_earned"), nw.col("_kept")
    return (
        nw.when(nw.col("_customer").is_null())
        .then(nw.lit(1))
        .when(nw.col("_at").is_null())
        .then(nw.lit(2))
        .when(amounts[0].is_null() | amounts[1].is_null())
        .then(nw.lit(3))
        .when((amounts[0].abs() > max_amount) | (amounts[1].abs() > max_amount))
        .then(nw.lit(4))
        .otherwise(nw.lit(0))
    )


def _number(name: str, dtype: Any) -> Any:
    """An amount as float64, with NaN and infinity as what they are: nothing."""
    import narwhals.stable.v2 as nw

    value = nw.col(name).cast(nw.Float64)
    return value.fill_nan(None) if dtype.is_float() else value


def _date(at: Any, engine: Engine) -> Any:
    """The day of a time stamp; Dask's frames know no dates, there it is the first moment of the day."""
    return at.dt.truncate("1d") if engine == "dask" else at.dt.date()


_EXACT = 2.0**51
_HALVES = 1.5 * 2.0**52
"""Added to a float below 2**51 and taken away again it leaves the nearest whole number, of two the even one."""


def _nearest(amount: Any) -> Any:
    """The nearest whole number, half to even, in every engine; their own ``round`` differ at halves."""
    return (amount + _HALVES) - _HALVES


def _rounded(amount: Any) -> Any:
    """Whole millionths of amounts of any size."""
    import narwhals.stable.v2 as nw

    micro = amount * float(MICRO)
    return nw.when(micro.abs() < _EXACT).then(_nearest(micro)).otherwise(micro.round(0))


def _check(
    revenue: Any,
    quantity: Any,
    unit_price: Any,
    margin: Any,
    cost: Any,
    time_zone: Any,
    max_amount: Any,
    threads: Any,
    memory: Any,
) -> None:
    if (revenue is None) == (unit_price is None):
        raise ConfigError(
            "revenue and unit_price" if revenue is not None else "neither revenue nor unit_price",
            rule="the money of a row is one column, or quantity times unit_price",
            remedy="name one of the two",
        )
    if unit_price is not None and quantity is None:
        raise ConfigError("unit_price without quantity", rule="their product is the money", remedy="name quantity too")
    if margin is not None and cost is not None:
        raise ConfigError("margin and cost", rule="margin is given or follows from cost", remedy="leave one out")
    if not isinstance(margin, str | None) and not 0.0 < float(margin) <= 1.0:
        raise ConfigError(
            f"margin={margin!r}",
            rule="a margin rate is a share of revenue above 0 and at most 1",
            remedy="write 0.35 for 35 percent, or name a column",
        )
    if isinstance(max_amount, bool) or not isinstance(max_amount, int | float) or not 0 < max_amount <= BIGGEST:
        raise ConfigError(
            f"max_amount={max_amount!r}", rule=f"above 0 and at most {BIGGEST:,}", remedy="leave it at 1e9"
        )
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads={threads!r}", rule="a whole number of at least 1", remedy="leave it out for all")
    if memory is not None and not (isinstance(memory, str) and re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", memory)):
        raise ConfigError(f"memory={memory!r}", rule="a size such as '3GB' or '500MB'", remedy="memory='3GB'")
    if time_zone is not None and time_zone not in zoneinfo.available_timezones():
        raise ConfigError(
            f"time_zone={time_zone!r}",
            rule="a time zone is one of the IANA database, such as Europe/Berlin",
            remedy=nearest(str(time_zone), sorted(zoneinfo.available_timezones())),
        )


def _refuse_types(named: Mapping[str, str], types: Mapping[str, Any], time_zone: str | None) -> None:
    import narwhals.stable.v2 as nw

    def refuse(role: str, rule: str, remedy: str) -> None:
        raise ColumnError(f"column {named[role]!r} ({role}) of type {types[role]}", rule=rule, remedy=remedy)

    who, at = types["customer"], types["at"]
    if not (who == nw.String or who.is_integer() or who == nw.Categorical or who == nw.Enum):
        refuse(
            "customer", "ids are text or whole numbers", "cast the column: as floats ids read 17850.0 here, 17850 there"
        )
    if at not in (nw.Date, nw.Datetime):
        refuse("at", "dates are dates or time stamps by type", "cast the column, or use rt.read_transactions")
    if getattr(at, "time_zone", None) is not None and time_zone is None:
        refuse("at", "instants with a zone have a day only where the shop is", "pass time_zone='Europe/Berlin'")
    for role in ("revenue", "quantity", "unit_price", "margin", "cost"):
        if role in types and not types[role].is_numeric():
            refuse(role, "amounts are numbers by type", "cast the column, or use rt.read_transactions")
