"""The summary where the transactions are: the same definition as :func:`summarize`, run by the engine."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.lazy import Engine, as_text, lazily
from retention.frames.table import IntColumn
from retention.histories.history import Histories
from retention.records.apart import day_number
from retention.records.scan import MICRO, MOST, TransactionScan, arrays, log_of, refuse_too_much

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw


__all__ = ["HistoryScan", "summarize_scan"]


def _not_here(what: str) -> ConfigError:
    return ConfigError(
        f"histories of a scan, asked for their {what}",
        rule="they stay in the engine until they are collected",
        remedy="pass histories.collect(); or fit purchases to cells: model.fit_purchases(*histories.cells())",
    )


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

    def __getattr__(self, name: str) -> Any:
        if name in attrs.fields_dict(Histories):
            raise _not_here(name)
        raise AttributeError(f"histories of a scan have no {name!r}")

    def __len__(self) -> int:
        raise _not_here("length")

    def __bool__(self) -> bool:
        return True

    def collect(self) -> Histories:
        """The base in memory, one row a customer in order of her id.

        Raises ReadError if what one customer paid and gave back is too much to be summed exactly.
        """
        # Days follow from ages: dates need not be worked out by the engine, nor handed over.
        columns = arrays(self.frame.drop("first_at", "last_at"))
        first = np.datetime64(self.as_of, "D") - columns["age_days"].astype("timedelta64[D]")
        columns |= {"first_at": first, "last_at": first + columns["recency_days"].astype("timedelta64[D]")}
        refuse_too_much(np.isnan(columns["revenue"].astype(np.float64)))
        columns["customer_id"] = as_text(columns["customer_id"])
        few = {} if self.local is None else self.local.columns()
        ids = np.concatenate([columns["customer_id"], *([few["customer_id"]] if few else [])])
        order = np.argsort(ids, kind="stable")
        ordered: dict[str, Any] = {}
        for name in list(columns):
            values = columns.pop(name)
            ordered[name] = (np.concatenate([values, few[name]]) if few else values)[order]
            ordered[name].flags.writeable = False
        return Histories(
            **ordered,
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
        # Whole days, so that three numbers are one: a customer has as many repeat purchase days as days at most.
        frequency, recency, age = (found[name].astype(np.int64) for name in alike)
        most = int(age.max(initial=0)) + 1
        distinct, which = np.unique((frequency * most + recency) * most + age, return_inverse=True)
        count = np.bincount(which.reshape(-1), found["customers"], minlength=len(distinct)).astype(np.int64)
        base = Histories.from_arrays(
            frequency=distinct // most // most, recency_days=distinct // most % most, age_days=distinct % most
        )
        return attrs.evolve(base, as_of=self.as_of), count

    def __repr__(self) -> str:
        return f"<HistoryScan on {self.as_of}: in {self.scan.engine}, not read>"


def summarize_scan(scan: TransactionScan, *, as_of: str | dt.date) -> HistoryScan:
    """Every customer's history on the evening of ``as_of``, worked out by the engine that holds the transactions.

    Args:
        scan: what :func:`retention.records.scan_transactions` named.
        as_of: the last day that is known.
    """
    import narwhals.stable.v2 as nw

    from retention.histories.summarize import summarize

    day = as_day(as_of)
    known = scan.until(day)
    if scan.engine == "dask":
        frame = _by_partition(known, day)
        return HistoryScan(frame=frame, counted=frame, local=None, as_of=day, scan=scan)
    few = known.few
    local = None if few is None else summarize(few.log, as_of=day, habits=False)
    today = int(np.datetime64(day, "D").astype(np.int64))
    each = _each(_turns(_in_order(_days(known), scan.engine)))
    orders = nw.col("purchase_days")
    if scan.has_orders or scan.has_times:
        bought, keys = known.occasions()
        occasions = bought.group_by(keys).agg(nw.len().alias("rows"))
        counted_orders = occasions.group_by("customer").agg(nw.len().alias("orders"))
        each, orders = each.join(counted_orders, on="customer", how="left"), nw.col("orders")
    if few is not None:
        each = few.without(each)
    frequency = nw.col("purchase_days") - 1

    def money(micro: Any) -> Any:
        # Null where whole numbers of 64 bits may have wrapped around.
        return nw.when(nw.col("size") <= MOST * MICRO).then(micro.cast(nw.Float64) / MICRO)

    again = frequency > 0
    frame = each.select(
        customer_id=nw.col("customer"),
        first_at=nw.col("first_at"),
        last_at=nw.col("last_at"),
        frequency=frequency.cast(nw.Int64),
        recency_days=(nw.col("last_day") - nw.col("first_day")).cast(nw.Float64),
        age_days=(today - nw.col("first_day")).cast(nw.Float64),
        orders=orders.cast(nw.Int64),
        **{name: money(nw.col(name)) for name in ("revenue", "margin", "returns")},
        margin_mean=nw.when(again).then(money(nw.col("later")) / frequency.cast(nw.Float64)).otherwise(nw.lit(0.0)),
        margin_squares=nw.when(again).then(nw.col("squares")).otherwise(nw.lit(0.0)),
        gap_log_sum=nw.col("gap").fill_null(0.0),
        gap_log_squares=nw.col("gap_squared").fill_null(0.0),
    )
    counted = _counted(known.lines if few is None else few.without(known.lines), today, scan.engine)
    return HistoryScan(frame=frame, counted=counted, local=local, as_of=day, scan=scan)


def _days(known: TransactionScan) -> "nw.LazyFrame[Any]":
    """One row for each customer and day: its money, and whether something was bought.

    ``size`` is that money without signs: it tells where whole numbers of 64 bits may have wrapped around. DuckDB sums
    in 128 bits.
    """
    import narwhals.stable.v2 as nw

    size = nw.col("revenue").abs().cast(nw.Float64) + nw.col("margin").abs().cast(nw.Float64)
    lines = known.lines.with_columns(
        returns=nw.when(nw.col("revenue") < 0).then(-nw.col("revenue")).otherwise(nw.lit(0))
    )
    wide = known.engine == "duckdb"
    sums = ["revenue", "returns", *(["margin"] if known.has_margin else []), *([] if wide else ["size"])]
    lines = lines if wide else lines.with_columns(size=size)
    days = lines.group_by("customer", "date").agg(*(nw.col(name).sum() for name in sums), nw.col("bought").max())
    days = day_number(days, "date", known.engine)
    days = days if known.has_margin else days.with_columns(margin=nw.col("revenue"))
    return days.with_columns(size=size) if wide else days


def _in_order(days: "nw.LazyFrame[Any]", engine: Engine) -> "nw.LazyFrame[Any]":
    """Days of each customer with what came before and comes after; ``before`` is the last purchase day before.

    ``turn`` counts purchase days up to this day, ``last`` and ``next`` are whether something was bought on the day
    that is on file before and after this one.
    """
    import narwhals.stable.v2 as nw

    if engine == "duckdb":  # which sorts once for all windows of one shape
        window = "(PARTITION BY customer ORDER BY day)"
        earlier = "(PARTITION BY customer ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        return lazily(
            days.to_native().project(
                f"*, max(CASE WHEN bought = 1 THEN day END) OVER {earlier} AS before, "
                f"sum(bought) OVER {window} AS turn, "
                f"lag(bought) OVER {window} AS last, lead(bought) OVER {window} AS next"
            )
        )
    never = -(10**9)
    before = nw.when(nw.col("bought") == 1).then(nw.col("day"))
    days = days.with_columns(
        before=before.shift(1).over("customer", order_by="day"),
        turn=nw.col("bought").cum_sum().over("customer", order_by="day"),
        last=nw.col("bought").shift(1).over("customer", order_by="day"),
        next=nw.col("bought").shift(-1).over("customer", order_by="day"),
    )
    days = days.with_columns(before=nw.col("before").fill_null(never))
    days = days.with_columns(before=nw.col("before").cum_max().over("customer", order_by="day"))
    return days.with_columns(before=nw.when(nw.col("before") > never).then(nw.col("before")))


def _turns(days: "nw.LazyFrame[Any]") -> "nw.LazyFrame[Any]":
    """The same days with what each adds to the sums of its customer, and the ``turn`` to whose money it belongs.

    What a day of returns gives back counts against the purchase day before, of which the first repeat one is the
    earliest. Where no return is concerned ``turn`` is 0: the money of such a day stands alone.
    """
    import narwhals.stable.v2 as nw

    turn, later = nw.col("turn"), ~nw.col("before").is_null()
    bought, gave = nw.col("bought") == 1, nw.col("bought") == 0
    repeat = nw.when(turn < 2).then(nw.lit(2)).otherwise(turn)
    concerned = gave | ((nw.col("next") == 0).fill_null(False)) | ((turn == 2) & (nw.col("last") == 0).fill_null(False))
    gap = nw.when(bought).then((nw.col("day") - nw.col("before")).cast(nw.Float64)).log()
    money = nw.col("margin").cast(nw.Float64) / MICRO
    days = days.with_columns(
        turn=nw.when(later & concerned).then(repeat).otherwise(nw.lit(0)),
        gap=gap,
        on=nw.when(bought).then(nw.col("day")),
        purchase=nw.when(bought).then(nw.col("date")),
        later=nw.when(later).then(nw.col("margin")).otherwise(nw.lit(0)),
    )
    alone = nw.when(later & (nw.col("turn") == 0)).then(money * money).otherwise(nw.lit(0.0))
    return days.with_columns(gap_squared=nw.col("gap") * nw.col("gap"), squares=alone)


def _each(days: "nw.LazyFrame[Any]") -> "nw.LazyFrame[Any]":
    """One row a customer: first the days of one turn are added up, then what its money is squared."""
    import narwhals.stable.v2 as nw

    added = ("revenue", "margin", "returns", "later", "size", "gap", "gap_squared")
    extremes = ("first_day", "last_day", "first_at", "last_at")
    turns = days.group_by("customer", "turn").agg(
        nw.col("on").min().alias("first_day"),
        nw.col("on").max().alias("last_day"),
        nw.col("purchase").min().alias("first_at"),
        nw.col("purchase").max().alias("last_at"),
        nw.col("on").count().alias("purchase_days"),
        *(nw.col(name).sum() for name in (*added, "squares")),
    )
    money = nw.col("margin").cast(nw.Float64) / MICRO
    turns = turns.with_columns(squares=nw.when(nw.col("turn") > 0).then(money * money).otherwise(nw.col("squares")))
    each = turns.group_by("customer").agg(
        *(nw.col(name).min() if name.startswith("first") else nw.col(name).max() for name in extremes),
        *(nw.col(name).sum() for name in ("purchase_days", *added, "squares")),
    )
    return each.filter(nw.col("purchase_days") > 0)


def _counted(lines: "nw.LazyFrame[Any]", today: int, engine: Engine) -> "nw.LazyFrame[Any]":
    """Frequency, recency and age alone: what a purchase model asks."""
    import narwhals.stable.v2 as nw

    distinct = lines.filter(nw.col("bought") == 1).group_by("customer", "date").agg(nw.len().alias("rows"))
    each = distinct.group_by("customer").agg(
        nw.col("date").min().alias("first_at"), nw.col("date").max().alias("last_at"), nw.len().alias("purchase_days")
    )
    each = day_number(each, "first_at", engine).rename({"day": "first_day"})
    return day_number(each, "last_at", engine).select(
        frequency=(nw.col("purchase_days") - 1).cast(nw.Int64),
        recency_days=(nw.col("day") - nw.col("first_day")).cast(nw.Float64),
        age_days=(today - nw.col("first_day")).cast(nw.Float64),
    )


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
