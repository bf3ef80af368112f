"""Customers whose history is a matter of sums, and the few whose rows must be looked at one by one."""

from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from retention.frames.lazy import Engine, beside, lazily
from retention.records.scan import TransactionScan, arrays, log_of
from retention.records.transactions import TransactionLog

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

__all__ = ["Few", "apart", "arrays", "day_number", "log_of", "set_apart"]


_NAMED = 2_000
"""Up to so many customers are told by name in a query; more are told by a join."""


@frozen(eq=False, kw_only=True)
class Few:
    """Customers whose rows must be looked at one by one, with all their rows in memory."""

    log: TransactionLog
    names: tuple[Any, ...] = attrs.field(repr=False)
    found: "nw.LazyFrame[Any]" = attrs.field(repr=False)

    def without(self, frame: "nw.LazyFrame[Any]") -> "nw.LazyFrame[Any]":
        """The rows of a frame that are of other customers."""
        import narwhals.stable.v2 as nw

        told = beside(frame, "customer", self.names)
        if told is None and len(self.names) <= _NAMED:
            return frame.filter(~nw.col("customer").is_in(self.names))
        return frame.join(self.found if told is None else told, on="customer", how="anti")


def apart(known: TransactionScan) -> tuple["nw.LazyFrame[Any]", TransactionLog | None]:
    """The rows of all customers but a few, and a log of these: those with an order that a credit note may have undone.

    Which row undid which is decided one by one, as for a log in memory; all else about customers is a matter of sums.
    """
    few = set_apart(known)
    return (known.lines, None) if few is None else (few.without(known.lines), few.log)


def set_apart(known: TransactionScan) -> Few | None:
    """The customers with a row that gives money back, and one of the same amount and pieces up to two days older.

    The engine finds them. All rows of these customers, and of nobody else, are read.
    """
    import narwhals.stable.v2 as nw

    keys = ["customer", "size", "pieces"]
    days = day_number(known.lines.select("customer", "date", "revenue", "pieces"), "date", known.engine)
    sized = days.with_columns(size=nw.col("revenue").abs())
    given_back = sized.filter(nw.col("revenue") < 0).select(*keys, back="day")
    sold = sized.filter(nw.col("revenue") > 0).select(*keys, "day")
    days_between = nw.col("back") - nw.col("day")
    pairs = sold.join(given_back, on=keys, how="inner").filter(days_between >= 0, days_between <= 2)
    found = pairs.select("customer").unique()
    names = tuple(found.collect()["customer"].to_list())
    if not names:
        return None
    told = beside(known.lines, "customer", names)
    if told is None and len(names) <= _NAMED:
        mine = known.lines.filter(nw.col("customer").is_in(names))
    else:
        mine = known.lines.join(found if told is None else told, on="customer", how="semi")
    return Few(log=log_of(arrays(mine), known.has_orders, known.currency), names=names, found=found)


def day_number(frame: "nw.LazyFrame[Any]", date: str, engine: Engine) -> "nw.LazyFrame[Any]":
    """Days since 1970 of a date column as ``day``, a whole number that every engine computes alike."""
    import narwhals.stable.v2 as nw

    if engine == "duckdb":
        return lazily(frame.to_native().project(f"*, {date} - DATE '1970-01-01' AS day"))
    if engine == "polars":
        return frame.with_columns(day=nw.col(date).cast(nw.Int32).cast(nw.Int64))
    # Civil arithmetic, for engines that have no whole number of days between dates.
    year, month, day = (getattr(nw.col(date).dt, part)().cast(nw.Int64) for part in ("year", "month", "day"))
    frame = frame.with_columns(_y=year - nw.when(month <= 2).then(nw.lit(1)).otherwise(nw.lit(0)), _m=(month + 9) % 12)
    frame = frame.with_columns(_era=nw.col("_y") // 400, _doy=(nw.col("_m") * 153 + 2) // 5 + day - 1)
    of_era = nw.col("_y") - nw.col("_era") * 400
    return frame.with_columns(
        day=nw.col("_era") * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + nw.col("_doy") - 719468
    ).drop("_y", "_m", "_era", "_doy")
