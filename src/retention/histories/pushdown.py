"""The summary where the transactions are: the same definition as :func:`summarize`, run by the engine."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ReadError
from retention.frames.lazy import lazily
from retention.frames.table import IntColumn
from retention.histories.apart import apart, arrays, day_number, log_of
from retention.histories.history import Histories
from retention.records.scan import MICRO, TransactionScan

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw


__all__ = ["HistoryScan", "summarize_scan"]


_MOST = 9e12
"""Money that is safe to sum as whole millionths in 64 bits."""


@frozen(eq=False, repr=False, kw_only=True)
class HistoryScan:
    """Histories in the engine that holds the transactions; ``frame`` is lazy, one row a customer.

    Its columns have the names of :class:`Histories`; ``counted`` has but frequency, recency and age, which cost less
    than the rest. ``local`` holds the few customers whose rows include an order and
    the credit note that took it back: which of them undid which is decided row by row, as for a log that is in memory.
    """

    frame: "nw.LazyFrame[Any]"
    counted: "nw.LazyFrame[Any]"
    local: Histories | None
    as_of: dt.date
    scan: TransactionScan

    def collect(self) -> Histories:
        """The base in memory, one row a customer in order of her id.

        Raises ReadError if what one customer paid and gave back is too much to be summed exactly.
        """
        columns = arrays(self.frame)
        if np.isnan(columns["revenue"].astype(np.float64)).any():
            raise ReadError(
                "more money of one customer than can be summed exactly",
                rule=f"the amounts and margins of a customer, added up without their signs, are at most {_MOST:,.0f}",
                remedy="set a max_amount that leaves slips of the finger aside, or count in thousands",
            )
        columns["customer_id"] = columns["customer_id"].astype(np.str_)
        for day in ("first_at", "last_at"):
            columns[day] = columns[day].astype("datetime64[D]")
        if self.local is not None:
            mine = self.local.columns()
            columns = {name: np.concatenate([values, mine[name]]) for name, values in columns.items()}
        order = np.argsort(columns["customer_id"], kind="stable")
        return Histories(
            **{name: values[order] for name, values in columns.items()},
            as_of=self.as_of,
            currency=self.scan.currency,
            provenance=attrs.evolve(self.scan.provenance, as_of=self.as_of.isoformat()),
        )

    def cells(self) -> tuple[Histories, IntColumn]:
        """Customers alike taken together: one row for each (frequency, recency, age), and how many customers it is.

        Most purchase models need no more, so ``model.fit_purchases(cells, weight)`` is the fit to the whole base,
        exactly. Cells hold neither money nor the gaps between purchases: ``fit`` needs money, and what reads gaps
        (Pareto/GGG, the choice of k of BG/CNBD-k, the log-t clock) refuses cells; ``collect()`` has both.
        """
        import narwhals.stable.v2 as nw

        alike = ["frequency", "recency_days", "age_days"]
        found = arrays(self.counted.group_by(alike).agg(nw.len().alias("customers")))
        if self.local is not None:
            mine = {name: getattr(self.local, name) for name in alike}
            found = {name: np.concatenate([found[name], mine.get(name, np.ones(len(self.local)))]) for name in found}
        rows = np.stack([found[name].astype(np.float64) for name in alike], axis=1)
        distinct, which = np.unique(rows, axis=0, return_inverse=True)
        count = np.bincount(which.reshape(-1), found["customers"], minlength=len(distinct)).astype(np.int64)
        base = Histories.from_arrays(
            frequency=distinct[:, 0].astype(np.int64), recency_days=distinct[:, 1], age_days=distinct[:, 2]
        )
        return attrs.evolve(base, as_of=self.as_of), count

    def __repr__(self) -> str:
        return f"<HistoryScan on {self.as_of}: in {self.scan.engine}, not read>"


def summarize_scan(
    scan: TransactionScan, *, as_of: str | dt.date, gaps: bool = True, squares: bool = False
) -> HistoryScan:
    """Every customer's history on the evening of ``as_of``, worked out by the engine that holds the transactions.

    Args:
        scan: what :func:`retention.records.scan_transactions` named.
        as_of: the last day that is known.
        gaps: whether to sum the logarithms of the gaps between purchase days (the clocks need them; they cost a sort).
        squares: whether to sum the squares of what repeat purchase days brought (some margin models need them).
    """
    import narwhals.stable.v2 as nw

    from retention.histories.summarize import summarize

    day = as_day(as_of)
    known = scan.until(day)
    if scan.engine == "dask":
        frame = _by_partition(known, day)
        return HistoryScan(frame=frame, counted=frame, local=None, as_of=day, scan=scan)
    lines, few = apart(known)
    local = None if few is None else summarize(few, as_of=day, habits=False)
    today = int(np.datetime64(day, "D").astype(np.int64))
    lines = lines.with_columns(
        returns=nw.when(nw.col("revenue") < 0).then(-nw.col("revenue")).otherwise(nw.lit(0)),
        size=(nw.col("revenue").abs().cast(nw.Float64) + nw.col("margin").abs().cast(nw.Float64)) / MICRO,
    )
    sums = [nw.col(name).sum() for name in ("revenue", "margin", "returns", "size")]
    days = day_number(lines.group_by("customer", "date").agg(*sums, nw.col("bought").max()), "date")
    bought = nw.col("bought") == 1
    # One window, so that the engine sorts once: purchase days by customer. Who gave something back before her first
    # purchase is apart, so whatever is not of that day came later.
    if gaps:
        days = days.with_columns(before=nw.col("day").shift(1).over("customer", "bought", order_by="day"))
        gap = nw.when(bought).then((nw.col("day") - nw.col("before")).cast(nw.Float64)).log()
        days = days.with_columns(gap=gap, is_first=nw.col("before").is_null())
        days = days.with_columns(gap_squared=nw.col("gap") * nw.col("gap"))
    else:
        days = days.with_columns(before=nw.col("day").min().over("customer", "bought"))
        days = days.with_columns(gap=nw.lit(0.0), gap_squared=nw.lit(0.0), is_first=nw.col("before") == nw.col("day"))
    days = days.with_columns(
        on=nw.when(bought).then(nw.col("day")),
        purchase=nw.when(bought).then(nw.col("date")),
        at_first=nw.when(bought & nw.col("is_first")).then(nw.col("margin")).otherwise(nw.lit(0)),
    )
    each = (
        days.group_by("customer")
        .agg(
            nw.col("on").min().alias("first_day"),
            nw.col("on").max().alias("last_day"),
            nw.col("on").count().alias("purchase_days"),
            nw.col("purchase").min().alias("first_at"),
            nw.col("purchase").max().alias("last_at"),
            *(
                nw.col(name).sum()
                for name in ("revenue", "margin", "returns", "at_first", "size", "gap", "gap_squared")
            ),
        )
        .filter(nw.col("purchase_days") > 0)
    )
    orders = nw.col("purchase_days")
    if scan.has_orders or scan.has_times:
        each, orders = each.join(_orders(lines, scan), on="customer", how="left"), nw.col("orders")
    if squares:
        each = each.join(_squares(days), on="customer", how="left")
    frequency = nw.col("purchase_days") - 1

    def money(micro: Any) -> Any:
        # Null where whole numbers of 64 bits may have wrapped around.
        return nw.when(nw.col("size") <= _MOST).then(micro.cast(nw.Float64) / MICRO)

    later = money(nw.col("margin") - nw.col("at_first"))
    frame = each.select(
        customer_id=nw.col("customer"),
        first_at=nw.col("first_at"),
        last_at=nw.col("last_at"),
        frequency=frequency.cast(nw.Int64),
        recency_days=(nw.col("last_day") - nw.col("first_day")).cast(nw.Float64),
        age_days=(today - nw.col("first_day")).cast(nw.Float64),
        orders=orders.cast(nw.Int64),
        **{name: money(nw.col(name)) for name in ("revenue", "margin", "returns")},
        margin_mean=nw.when(frequency > 0).then(later / frequency.cast(nw.Float64)).otherwise(nw.lit(0.0)),
        margin_squares=nw.col("squares").fill_null(0.0) if squares else nw.lit(0.0),
        gap_log_sum=nw.col("gap").fill_null(0.0),
        gap_log_squares=nw.col("gap_squared").fill_null(0.0),
    )
    return HistoryScan(frame=frame, counted=_counted(lines, today), local=local, as_of=day, scan=scan)


def _counted(lines: "nw.LazyFrame[Any]", today: int) -> "nw.LazyFrame[Any]":
    """Frequency, recency and age alone: what a purchase model asks."""
    import narwhals.stable.v2 as nw

    distinct = lines.filter(nw.col("bought") == 1).group_by("customer", "date").agg(nw.len().alias("rows"))
    each = distinct.group_by("customer").agg(
        nw.col("date").min().alias("first_at"), nw.col("date").max().alias("last_at"), nw.len().alias("purchase_days")
    )
    each = day_number(each, "first_at").rename({"day": "first_day"})
    return day_number(each, "last_at").select(
        frequency=(nw.col("purchase_days") - 1).cast(nw.Int64),
        recency_days=(nw.col("day") - nw.col("first_day")).cast(nw.Float64),
        age_days=(today - nw.col("first_day")).cast(nw.Float64),
    )


def _orders(lines: "nw.LazyFrame[Any]", scan: TransactionScan) -> "nw.LazyFrame[Any]":
    """Distinct orders of each customer; rows without an order number are in the order of their time stamp.

    That is told to the second, by its parts: cut off by the engine it may turn into an instant of another zone.
    """
    import narwhals.stable.v2 as nw

    kept = lines.filter(nw.col("bought") == 1)
    second: Any = nw.lit(0)
    if scan.has_times:
        hour, minute, second = (
            getattr(nw.col("at").dt, part)().cast(nw.Int64) for part in ("hour", "minute", "second")
        )
        second = (hour * 60 + minute) * 60 + second
    kept = kept.with_columns(second=second)
    keys = ["customer", "date", "second"]
    if scan.has_orders:
        stamps = {name: nw.when(nw.col("order").is_null()).then(nw.col(name)) for name in ("date", "second")}
        kept = kept.with_columns(**stamps)
        keys = ["customer", "order", "date", "second"]
    distinct = kept.group_by(keys).agg(nw.len().alias("rows"))
    return distinct.group_by("customer").agg(nw.len().alias("orders"))


def _squares(days: "nw.LazyFrame[Any]") -> "nw.LazyFrame[Any]":
    """Sums of squared margins of repeat purchase days; a day of returns counts against the last purchase day before.

    The first repeat purchase day takes those that came between it and the first purchase.
    """
    import narwhals.stable.v2 as nw

    turn = nw.col("bought").cum_sum().over("customer", order_by="day")
    most = nw.col("bought").sum().over("customer")
    first = (nw.col("turn") == 1) & (nw.col("bought") == 1)
    turned = days.with_columns(turn=turn, most=most).filter(nw.col("most") > 1, ~first)
    turned = turned.with_columns(turn=nw.when(nw.col("turn") < 2).then(nw.lit(2)).otherwise(nw.col("turn")))
    each = turned.group_by("customer", "turn").agg(nw.col("margin").sum())
    each = each.with_columns(money=nw.col("margin").cast(nw.Float64) / MICRO)
    each = each.with_columns(squares=nw.col("money") * nw.col("money"))
    return each.group_by("customer").agg(nw.col("squares").sum())


def _by_partition(scan: TransactionScan, day: dt.date) -> "nw.LazyFrame[Any]":
    """Dask knows no ordered windows: its workers are given all rows of some customers each, and summarise them."""
    native: Any = scan.lines.to_native()
    told: dict[str, Any] = {"has_orders": scan.has_orders, "currency": scan.currency, "day": day}
    empty = _partition(native._meta, **told)
    summed: nw.LazyFrame[Any] = lazily(native.shuffle("customer").map_partitions(_partition, meta=empty, **told))
    return summed


def _partition(rows: Any, *, has_orders: bool, currency: str | None, day: dt.date) -> Any:
    """The histories of one partition, in a frame of the same library."""
    from retention.histories.summarize import summarize

    columns = {name: rows[name].to_numpy() for name in rows.columns}
    who = columns["customer"]
    base = summarize(log_of(columns, has_orders, currency), as_of=day, habits=False)
    if who.dtype.kind in "iu":
        ids: Any = base.customer_id.astype(np.int64)
    else:
        ids = base.customer_id.astype(object)
    return type(rows)({**base.columns(), "customer_id": ids})
