"""What each customer bought and brought in two periods, added up by the engine that holds the transactions."""

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retention.frames.lazy import as_text, lazily
from retention.lenses._figures import SPANS, Cut, Lines
from retention.records.money import Amounts
from retention.records.scan import MICRO, MOST, TransactionScan, arrays, log_of, refuse_too_much
from retention.records.transactions import TransactionLog

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

DECIMALS = 6
"""A scan counts money in whole millionths."""

_MONEY = tuple(name + span for name in ("revenue", "margin") for span in SPANS)
_ORDERS = tuple(f"orders{span}" for span in SPANS)
_DAYS = ("first_line", "last_line", "first")


def figures_of(known: TransactionScan, cut: Cut) -> dict[str, NDArray[Any]]:
    """The figures of :meth:`Lines.figures`, money in whole millionths: sums that the engine makes, by customer.

    Of the few customers whose rows may have undone each other the rows are read, and counted as those of a log.
    Raises ReadError if what one customer paid and gave back is too much to be summed exactly.
    """
    import narwhals.stable.v2 as nw

    if known.engine == "dask":
        return _in_order(arrays(_by_partition(known, cut)))
    few, found = known.few, _by_sums(known, cut)
    found = found if few is None else few.without(found)
    columns = arrays(found.with_columns(text=nw.col("customer").cast(nw.String)).sort("text").drop("text"))
    columns["customer_id"] = columns.pop("customer")
    refuse_too_much(columns.pop("size") > MOST)
    if not known.has_margin:
        columns |= {f"margin{span}": columns[f"revenue{span}"] for span in SPANS}
    columns = _in_order(columns | {"undone": np.zeros(len(columns["customer_id"]), dtype=np.int64)})
    if few is None:
        return columns
    theirs = _in_millionths(few.log, cut)
    ids, others = columns["customer_id"], theirs["customer_id"]
    columns["customer_id"] = ids.astype(np.promote_types(ids.dtype, others.dtype), copy=False)
    places = np.searchsorted(ids, others)
    return {name: np.insert(columns.pop(name), places, values) for name, values in theirs.items()}


def _by_sums(known: TransactionScan, cut: Cut) -> "nw.LazyFrame[Any]":
    """One row a customer; margin is left out where it is revenue.

    ``size`` is money without its signs: it tells where sums may not fit into 64 bits, or have wrapped around in them.
    DuckDB sums in 128 bits, so there it is that of the sums.
    """
    import narwhals.stable.v2 as nw

    def size(names: Iterable[str]) -> Any:
        return sum((nw.col(name).abs().cast(nw.Float64) for name in names), start=nw.lit(0.0)) / MICRO

    previous, current = _periods(cut)
    spans = {"_previous": previous, "_current": current}
    kinds = ("revenue", "margin") if known.has_margin else ("revenue",)
    money = [name for name in _MONEY if name.startswith(kinds)]
    wide = known.engine == "duckdb"
    lines = known.lines.with_columns(
        **{name + span: _only(lies, name) for name in kinds for span, lies in spans.items()},
        **({} if wide else {"size": size(("revenue", "margin"))}),
    )
    sums = lines.group_by("customer").agg(
        nw.col("date").min().alias("first_line"),
        nw.col("date").max().alias("last_line"),
        *(nw.col(name).sum() for name in money),
        *([] if wide else [nw.col("size").sum()]),
    )
    sums = sums.with_columns(size=size(money)) if wide else sums
    each = sums.join(_orders(known, previous, current), on="customer", how="left")
    fits = nw.col("size") <= MOST
    return each.select(
        "customer",
        *_DAYS,
        "size",
        **{name: nw.col(name).fill_null(0).cast(nw.Int64) for name in _ORDERS},
        **{name: nw.when(fits).then(nw.col(name)).otherwise(nw.lit(0)).cast(nw.Int64) for name in money},
    )


def _orders(known: TransactionScan, previous: Any, current: Any) -> "nw.LazyFrame[Any]":
    """One row a customer who bought: her distinct orders, ever and in each period, and the day of the first."""
    import narwhals.stable.v2 as nw

    bought, keys = known.occasions()
    bought = bought.with_columns(
        first=nw.col("date"), orders_previous=_only(previous, 1), orders_current=_only(current, 1)
    )
    orders = bought.group_by(keys).agg(
        nw.col("first").min(), nw.col("orders_previous").max(), nw.col("orders_current").max()
    )
    return orders.group_by("customer").agg(
        nw.col("first").min(),
        nw.len().alias("orders"),
        nw.col("orders_previous").sum(),
        nw.col("orders_current").sum(),
    )


def _periods(cut: Cut) -> tuple[Any, Any]:
    """Whether a row's date lies in the previous period, and whether in the current one."""
    import narwhals.stable.v2 as nw

    # numpy's days reach further back than those of an engine.
    first = np.datetime64(dt.date.min, "D")
    start, turn = (max(day, first).item() for day in (cut.start, cut.turn))
    date = nw.col("date")
    return (date > start) & (date <= turn), date > turn


def _only(lies: Any, what: str | int) -> Any:
    """A column, or a number, where a condition holds; 0 elsewhere."""
    import narwhals.stable.v2 as nw

    return nw.when(lies).then(nw.col(what) if isinstance(what, str) else nw.lit(what)).otherwise(nw.lit(0))


def _in_order(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Ids as text, days as days, all else as whole numbers, whatever an engine hands out; in the order of the ids."""
    kinds: dict[str, Any] = dict.fromkeys(columns, np.int64) | dict.fromkeys(_DAYS, "datetime64[D]")
    ids = as_text(columns.pop("customer_id"))
    plain = {name: values.astype(kinds[name], copy=False) for name, values in columns.items()}
    plain["customer_id"] = ids
    if np.any(ids[1:] < ids[:-1]):  # an engine may sort text as a dictionary does
        order = np.argsort(ids)
        plain = {name: values[order] for name, values in plain.items()}
    return plain


def _in_millionths(log: TransactionLog, cut: Cut) -> dict[str, NDArray[Any]]:
    """The figures of a log's customers as a scan counts them."""
    figures = Lines.of(log, cut).figures()
    for name in (*_MONEY, "undone"):
        decimals = (log.margin if name.startswith("margin") else log.revenue).decimals
        figures[name] = Amounts(figures[name], decimals).at_scale(DECIMALS)
    return figures


def _by_partition(known: TransactionScan, cut: Cut) -> "nw.LazyFrame[Any]":
    """Dask cannot look for pairs of rows: its workers are given all rows of some customers each, and count them."""
    native: Any = known.lines.to_native()
    told: dict[str, Any] = {"has_orders": known.has_orders, "currency": known.currency, "cut": cut}
    empty = _partition(native._meta, **told)
    return lazily(native.shuffle("customer").map_partitions(_partition, meta=empty, **told))


def _partition(rows: Any, *, has_orders: bool, currency: str | None, cut: Cut) -> Any:
    """The figures of one partition, in a frame of the same library."""
    log = log_of({name: rows[name].to_numpy() for name in rows.columns}, has_orders, currency)
    figures = _in_millionths(log, cut)
    return type(rows)({**figures, "customer_id": figures["customer_id"].astype(object)})
