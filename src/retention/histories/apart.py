"""Customers whose history is a matter of sums, and the few whose rows must be looked at one by one."""

from typing import TYPE_CHECKING, Any

import numpy as np

from retention.frames.coded import Coded
from retention.frames.table import IntColumn
from retention.records._names import trimmed
from retention.records._pairs import undone_at
from retention.records.money import Amounts
from retention.records.quality import Quality
from retention.records.scan import TransactionScan
from retention.records.transactions import TransactionLog

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

__all__ = ["apart", "arrays", "day_number", "log_of"]


_NAMED = 2_000
"""Up to so many customers are told by name in a query; more are told by a join."""


def apart(scan: TransactionScan) -> tuple["nw.LazyFrame[Any]", TransactionLog | None]:
    """The rows without those of customers whose history needs more than sums; and the histories of these.

    Found in the engine are those with a row that gives money back and one of the same amount and pieces up to two days
    older, and those who gave something back before their first purchase. All rows of these customers, and of nobody
    else, are read.
    """
    import narwhals.stable.v2 as nw

    keys = ["customer", "size", "pieces"]
    sized = scan.lines.with_columns(size=nw.col("revenue").abs())
    given_back = sized.filter(nw.col("revenue") < 0).select(*keys, back="date")
    sold = sized.filter(nw.col("revenue") > 0).select(*keys, "date")
    pairs = given_back.join(sold, on=keys, how="inner").filter(nw.col("back") >= nw.col("date"))
    pairs = day_number(pairs.rename({"date": "sold"}), "sold").rename({"day": "sold_day"})
    pairs = day_number(pairs, "back").filter(nw.col("day") - nw.col("sold_day") <= 2)
    backs = scan.lines.filter(nw.col("bought") == 0).group_by("customer").agg(nw.col("date").min().alias("back"))
    buys = scan.lines.filter(nw.col("bought") == 1).select("customer", "date")
    firsts = backs.join(buys, on="customer", how="inner").group_by("customer", "back").agg(nw.col("date").min())
    early = firsts.filter(nw.col("back") < nw.col("date"))
    found = nw.concat([pairs.select("customer"), early.select("customer")]).unique()
    who = found.collect()["customer"].to_list()
    if not who:
        return scan.lines, None
    if len(who) <= _NAMED:
        theirs = nw.col("customer").is_in(who)
        mine, others = scan.lines.filter(theirs), scan.lines.filter(~theirs)
    else:
        mine = scan.lines.join(found, on="customer", how="semi")
        others = scan.lines.join(found, on="customer", how="anti")
    return others, log_of(arrays(mine), scan.has_orders, scan.currency)


def day_number(frame: "nw.LazyFrame[Any]", date: str) -> "nw.LazyFrame[Any]":
    """Days since 1970 of a date column, by civil arithmetic: whole numbers that every engine computes alike."""
    import narwhals.stable.v2 as nw

    year, month, day = (getattr(nw.col(date).dt, part)().cast(nw.Int64) for part in ("year", "month", "day"))
    frame = frame.with_columns(_y=year - nw.when(month <= 2).then(nw.lit(1)).otherwise(nw.lit(0)), _m=(month + 9) % 12)
    frame = frame.with_columns(_era=nw.col("_y") // 400, _doy=(nw.col("_m") * 153 + 2) // 5 + day - 1)
    of_era = nw.col("_y") - nw.col("_era") * 400
    return frame.with_columns(
        day=nw.col("_era") * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + nw.col("_doy") - 719468
    ).drop("_y", "_m", "_era", "_doy")


def arrays(frame: "nw.LazyFrame[Any]") -> dict[str, Any]:
    """The rows of a small enough table, as numpy arrays."""
    collected = frame.collect()
    return {name: collected[name].to_numpy() for name in collected.columns}


def log_of(rows: dict[str, Any], has_orders: bool, currency: str | None) -> TransactionLog:
    """A log in memory of the rows of a scan."""
    n = len(rows["revenue"])
    revenue, margin = (_amounts(rows[name].astype(np.int64)) for name in ("revenue", "margin"))
    at = rows["at"].astype("datetime64[s]")
    customers = Coded.of(rows["customer"])
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
        undone_at=undone_at(customers.codes, at, revenue.minor, [rows["pieces"].astype(np.int64)]),
        line=np.arange(1, n + 1, dtype=np.int64),
        orders=orders,
        currency=currency,
        quality=Quality.clean(rows=n, money=revenue.total()),
    )


def _amounts(micro: IntColumn) -> Amounts:
    """Money in cents where it is: of these a log can sum more."""
    return Amounts(micro, 6) if np.any(micro % 10_000) else Amounts(micro // 10_000, 2)
