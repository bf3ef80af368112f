"""Who is best by profit, not by volume; and who of them is quiet."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.lenses._figures import Sums, sealed
from retention.lenses._periods import Periods, check_share, share_of
from retention.lenses._showing import html_table, money, percent
from retention.lenses.coverage import Contacts

__all__ = ["Ranking"]

_YEAR = 365


@frozen(eq=False, repr=False, kw_only=True)
class Ranking(Table):
    """Every customer who ever bought, the most profitable first.

    Amounts and orders are of the whole log up to the as-of date, a year, over ``max(365 days, age)``: so one big
    order last week does not become fifty a year. Contacts are those of the last 365 days. Equal values share a rank
    (1, 2, 2, 4). Rank 1 of orders and of contacts is the most.

    *Top* is the best ``top_share`` by margin a year (ties: by revenue, then by id), as far as it is positive.
    *Quiet best* are those of the top with at most ``quiet_orders_per_year`` orders a year who, where a contact log
    was given, got in touch at most as often. Only contacts *from* her make a customer loud: our newsletters do not.

    ``overlap[name]`` is the share of the top by margin that is also in an equally large top by ``name``; customers
    tied at that top's edge share its last places evenly.

    Example:
        >>> from retention.lenses import audit
        >>> from retention.records.transactions import TransactionLog
        >>> days = [f"2021-0{month}-05" for month in range(1, 10)]
        >>> log = TransactionLog.from_arrays(customer_id=["often"] * 9 + ["seldom"], at=[*days, "2021-05-01"],
        ...                                  revenue=[20] * 9 + [150], margin=[1] * 9 + [80])
        >>> ranking = audit(log, as_of="2021-12-31").ranking
        >>> ranking["customer_id"].tolist(), ranking["revenue_rank"].tolist(), ranking["is_quiet_best"].tolist()
        (['seldom', 'often'], [2, 1], [True, False])
    """

    customer_id: TextColumn = column("who")
    margin_per_year: FloatColumn = column("margin a year", unit="money")
    revenue_per_year: FloatColumn = column("revenue a year", unit="money")
    orders_per_year: FloatColumn = column("orders a year", unit="count")
    contacts_last_year: IntColumn | None = column("contacts in the last 365 days", unit="count", optional=True)
    heard_last_year: IntColumn | None = column("of these, contacts from her", unit="count", optional=True)
    margin_rank: IntColumn = column("1 is the most margin a year")
    revenue_rank: IntColumn = column("1 is the most revenue a year")
    orders_rank: IntColumn = column("1 is the most orders a year")
    contacts_rank: IntColumn | None = column("1 is the most contacts", optional=True)
    is_top: BoolColumn = column("among the top by margin a year")
    is_quiet_best: BoolColumn = column("among the top, and quiet")

    overlap: Mapping[str, float]
    top_share: float
    quiet_orders_per_year: float
    currency: str | None = None

    @classmethod
    def of(
        cls,
        periods: Periods,
        contacts: Contacts | None,
        *,
        quiet_orders_per_year: float = 2,
        top_share: float = 0.1,
    ) -> Self:
        """Rank the base."""
        check_share("top_share", top_share)
        if not quiet_orders_per_year >= 0:
            raise ConfigError(
                f"quiet_orders_per_year={quiet_orders_per_year!r}",
                rule="a number of orders a year is zero or more",
                remedy="pass 2 to call customers with up to two orders a year quiet",
            )
        base = np.flatnonzero(periods.orders.ever > 0)
        age = (np.datetime64(periods.as_of, "D") - periods.first[base]).astype(np.int64)
        span = np.maximum(age, _YEAR)

        def a_year(sums: Sums) -> FloatColumn:
            return sums.amounts(sums.ever[base]).to_float() * (_YEAR / span)

        margin, revenue, counted = a_year(periods.margin), a_year(periods.revenue), periods.orders.ever[base]
        orders = counted / (span / _YEAR)
        quiet = counted * _YEAR <= quiet_orders_per_year * span
        touched = heard = None
        if contacts is not None:
            recent = contacts.at > np.datetime64(periods.as_of, "D") - np.timedelta64(_YEAR, "D")
            touched, heard = (
                np.bincount(contacts.who[which], minlength=periods.customers)[base]
                for which in (recent, recent & contacts.from_her)
            )
            quiet &= heard <= quiet_orders_per_year

        n = len(base)
        order = np.lexsort((-revenue, -margin))  # stable, and the base is in the order of its ids
        size = share_of(top_share, n)
        top = np.zeros(n, dtype=bool)
        top[order[:size]] = True
        top &= margin > 0

        def in_order(values: NDArray[Any]) -> NDArray[Any]:
            return sealed(values[order])

        rivals = {"revenue": revenue, "orders": orders} | ({} if touched is None else {"contacts": touched})
        notes = ["ranked over the whole known log, a year, over at least one year"]
        if heard is None:
            notes.append("no contact log was given: quiet is judged by orders alone")
        if n < periods.customers:
            notes.append(f"{periods.customers - n:,} customers who only returned goods are not ranked")
        return cls(
            customer_id=periods.names(base[order]),
            margin_per_year=in_order(margin),
            revenue_per_year=in_order(revenue),
            orders_per_year=in_order(orders),
            contacts_last_year=None if touched is None else in_order(touched),
            heard_last_year=None if heard is None else in_order(heard),
            margin_rank=sealed(_ranks(margin[order])),
            revenue_rank=in_order(_rank(revenue)),
            orders_rank=in_order(_rank(orders)),
            contacts_rank=None if touched is None else in_order(_rank(touched)),
            is_top=in_order(top),
            is_quiet_best=in_order(top & quiet),
            overlap={name: _overlap(top, values, size) for name, values in rivals.items()} if top.any() else {},
            top_share=top_share,
            quiet_orders_per_year=quiet_orders_per_year,
            currency=periods.currency,
            provenance=periods.provenance.with_notes(*notes),
        )

    @property
    def quiet_best(self) -> "Ranking":
        """The quiet best: customers to thank, easily overlooked by those who look at volume."""
        return self.take(self.is_quiet_best)

    def verdict(self) -> str:
        """One sentence."""
        shared = ", ".join(f"{percent(share)} are in the top by {name}" for name, share in self.overlap.items())
        return (
            f"of the {int(self.is_top.sum()):,} best by margin a year (top {self.top_share:.0%}), "
            + (f"{shared}, " if shared else "")
            + f"{int(self.is_quiet_best.sum()):,} are quiet (at most {self.quiet_orders_per_year:g} orders a year)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "customers": len(self),
            "top": self.customer_id[self.is_top].tolist(),
            "quiet_best": self.customer_id[self.is_quiet_best].tolist(),
            "overlap": dict(self.overlap),
        }

    def __repr__(self) -> str:
        return f"<Ranking on {self.provenance.as_of}: {len(self):,} customers; {self.verdict()}>"

    def _repr_html_(self) -> str:
        shown = self[:10]
        head = ["customer", "margin a year", "rank by revenue", "rank by orders", "orders a year", "quiet best"]
        rows = [
            (
                shown.customer_id[i],
                money(shown.margin_per_year[i], self.currency),
                shown.revenue_rank[i],
                shown.orders_rank[i],
                f"{shown.orders_per_year[i]:.1f}",
                "yes" if shown.is_quiet_best[i] else "",
            )
            for i in range(len(shown))
        ]
        verdict = self.verdict()
        return html_table(verdict[0].upper() + verdict[1:], head, rows, notes=self.provenance.notes)


def _rank(values: FloatColumn | IntColumn) -> IntColumn:
    """1 for the largest; equal values share the best of their ranks."""
    order = np.argsort(values)[::-1]
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = _ranks(values[order])
    return ranks


def _ranks(ordered: FloatColumn | IntColumn) -> IntColumn:
    """The same for values that stand in their order, the largest first."""
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]
    return np.maximum.accumulate(np.where(first, np.arange(1, len(ordered) + 1), 0))


def _overlap(top: BoolColumn, values: FloatColumn | IntColumn, size: int) -> float:
    """The share of the top that is among the ``size`` largest values, ties at the edge sharing the last places."""
    edge = np.partition(values, -size)[-size]
    above, tied = values > edge, values == edge
    places = (size - int(above.sum())) / int(tied.sum())
    return float(((top & above).sum() + places * (top & tied).sum()) / top.sum())
