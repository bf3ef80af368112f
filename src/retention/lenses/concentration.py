"""Concentration: what share of margin the best customers bring."""

from decimal import Decimal
from typing import Any, ClassVar, Self

import numpy as np
from attrs import frozen

from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Table, column, read_only
from retention.lenses._periods import Periods
from retention.lenses._showing import LEFT, THERE, grouped, html_table, money, percent

__all__ = ["Concentration"]

_PERCENTS = (1, 5, 10, 20, 50)


@frozen(eq=False, repr=False, kw_only=True)
class Concentration(Table):
    """The margin of the current period that the top 1, 5, 10, 20 and 50 % of its customers bring; one row each.

    Its customers are all who have a line in the current period, those with returns only included, so that the
    margins add up to the period's. The top x % are rounded up to whole customers. Shares are of the *net* total:
    where some customers cost money the rest bring more than 100 % of it, and a note says so. With a total that is
    not positive there are no shares (NaN) and no Gini coefficient (None).

    Example:
        >>> from retention.lenses import audit
        >>> from retention.records.transactions import TransactionLog
        >>> log = TransactionLog.from_arrays(customer_id=["a", "b", "c", "d"], at=["2021-06-01"] * 4,
        ...                                  revenue=[70, 20, 20, 10], margin=[70, 20, 20, -10])
        >>> audit(log, as_of="2021-12-31").concentration["share"].tolist()
        [0.7, 0.7, 0.7, 0.7, 0.9]
    """

    key: ClassVar[str] = "top_percent"

    top_percent: IntColumn = column("the best so many percent of the customers", unit="percent")
    customers: IntColumn = column("how many they are", unit="count")
    margin: FloatColumn = column("the margin they bring", unit="money")
    share: FloatColumn = column("as a share of the net total")

    total: Decimal
    total_customers: int
    losing_customers: int
    losses: Decimal
    curve: FloatColumn
    gini: float | None
    currency: str | None = None

    @classmethod
    def of(cls, periods: Periods) -> Self:
        """Line the period's customers up, the best first."""
        amounts = periods.margin.amounts
        best_first = np.sort(periods.margin.current[periods.present])[::-1]
        running = np.concatenate([[0], np.cumsum(best_first)]).astype(np.int64)
        n, total = len(best_first), int(running[-1])
        sizes = np.asarray([-(-n * percents // 100) for percents in _PERCENTS], dtype=np.int64)
        losing = best_first < 0
        exact = amounts(best_first)
        notes = ["concentration is of the current period"]
        if losing.any() and total > 0:
            notes.append(
                f"{int(losing.sum()):,} customers cost {money(-exact.total(losing), periods.currency)} more than they "
                "brought: shares are of the net total, so the others bring more than all of it"
            )
        if n and total <= 0:
            notes.append("the period's margin is not positive: no share of it can be given")
        shares = running[sizes] / total if total > 0 else np.full(len(sizes), np.nan)
        gini = None
        if total > 0:
            # Mean difference over twice the mean, with the best first: sum of (n + 1 - 2 i) x_i over n times the total.
            weights = (n + 1 - 2 * np.arange(1, n + 1)).astype(np.float64)
            gini = float(np.einsum("i,i", weights, best_first.astype(np.float64))) / (n * total)
        return cls(
            top_percent=np.asarray(_PERCENTS, dtype=np.int64),
            customers=sizes,
            margin=amounts(running[sizes]).to_float(),
            share=shares,
            total=exact.total(),
            total_customers=n,
            losing_customers=int(losing.sum()),
            losses=-exact.total(losing),
            curve=read_only(amounts(running).to_float()),
            gini=gini,
            currency=periods.currency,
            provenance=periods.provenance.with_notes(*notes),
        )

    def verdict(self) -> str:
        """One sentence."""
        if not self.total_customers:
            return "Nobody has a line in the current period."
        if self.total <= 0:
            return f"The period's margin is {money(self.total, self.currency)}: no share of it can be given."
        tenth, fifth = self.share[2], self.share[3]
        return (
            f"The top 10% of {self.total_customers:,} customers bring {percent(tenth)} of margin, "
            f"the top 20% {percent(fifth)}; {self.losing_customers:,} cost money."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; shares that cannot be given are None."""
        shares = [None if np.isnan(share) else share for share in self.share.tolist()]
        return {
            "total": str(self.total),
            "customers": self.total_customers,
            "losing_customers": self.losing_customers,
            "losses": str(self.losses),
            "share_of_top_percent": dict(zip(map(str, self.top_percent.tolist()), shares, strict=True)),
            "gini": self.gini,
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the whale curve: cumulated margin over customers, the best first."""
        ax = axes(ax)
        n = max(self.total_customers, 1)
        total = float(self.total)
        scale, unit = (100 / total, "% of net margin") if total > 0 else (1.0, f"margin {self.currency or ''}".strip())
        heights = self.curve * scale
        ax.plot(np.arange(len(heights)) * 100 / n, heights, color=THERE, linewidth=2)
        ax.axhline(0, color="0.2", linewidth=0.8)
        if total > 0:
            ax.plot([0, 100], [0, 100], color="0.6", linewidth=0.8, linestyle="--")
            ax.annotate("all alike", (60, 60), xytext=(4, -12), textcoords="offset points", color="0.4", fontsize=9)
            peak = int(np.argmax(heights))
            if self.losing_customers:
                ax.plot([peak * 100 / n, 100], [heights[peak]] * 2, color=LEFT, linewidth=0.8, linestyle=":")
                ax.annotate(
                    f"{heights[peak]:,.1f}% before {self.losing_customers:,} who cost money",
                    (100, heights[peak]),
                    xytext=(0, 4),
                    textcoords="offset points",
                    ha="right",
                    fontsize=9,
                )
        ax.margins(y=0.1)
        ax.yaxis.set_major_formatter(grouped)
        ax.set_xlabel("% of the period's customers, the best first")
        ax.set_ylabel(f"cumulated {unit}")
        ax.set_title("How few customers bring how much")
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        return f"<Concentration to {self.provenance.as_of}: {self.verdict()}>"

    def _repr_html_(self) -> str:
        rows = [
            (f"top {p}%", f"{k:,}", money(m, self.currency), percent(s))
            for p, k, m, s in zip(self.top_percent, self.customers, self.margin, self.share, strict=True)
        ]
        return html_table(self.verdict(), ("", "customers", "margin", "share"), rows, notes=self.provenance.notes)
