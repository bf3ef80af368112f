"""Where a change of profit comes from: the parts of the profit ladder, in exact fractions."""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple, Self

import numpy as np

from retention.errors import RetentionError
from retention.frames.table import IntColumn
from retention.records.transactions import NO_MARGIN, TransactionLog
from retention.value.accounts.tenure import Cells

__all__ = ["GROWTH", "PARTS", "Sums", "absent_parts", "named", "sources", "tellable", "unbalanced"]

PARTS = (
    "acquisition_cost",
    "first_purchase",
    "base_profit",
    "purchase_growth",
    "margin_rate",
    "price_premium",
    "cost_of_goods",
    "cost_savings",
    "referrals",
)
"""What adds up to the profit of a rung, from the ground up."""

GROWTH = ("purchase_growth", "margin_rate", "price_premium", "cost_of_goods", "cost_savings", "referrals")
"""Those that make it change from year to year."""


def absent_parts(log: TransactionLog, measures: Mapping[str, IntColumn]) -> dict[str, str]:
    """The parts that cannot be told, with the reason; the others have a bar, be it of zero."""
    absent = {}
    listed = "listed" in measures
    if "winning" not in measures:
        absent["acquisition_cost"] = "no acquisition_cost was given"
    if (rate := _one_rate(log)) is not None:
        name = "cost_of_goods" if listed else "margin_rate"
        absent[name] = f"every line has the margin {rate:.4g} of its revenue, so what goods cost is not known"
    if NO_MARGIN in log.provenance.notes:
        name = "cost_of_goods" if listed else "margin_rate"
        absent[name] = "no margin was given: profit here is revenue, whatever the goods cost"
    if not listed:
        place = "purchase growth" if "margin_rate" in absent else "the margin rate"
        absent["price_premium"] = f"no list_revenue was given: a premium is within {place}"
    if "serving" not in measures:
        absent["cost_savings"] = "no serving_costs were given: profit is before cost to serve"
    if "referrals" not in measures:
        absent["referrals"] = "no referrals were given"
    return absent


def _one_rate(log: TransactionLog) -> float | None:
    """The one rate of revenue that every line's margin is, up to rounding: an assumption about cost, no record."""
    revenue, margin = log.revenue.to_float(), log.margin.to_float()
    top = int(np.argmax(np.abs(revenue))) if len(revenue) else 0
    if not len(revenue) or revenue[top] == 0:
        return None
    rate = float(margin[top] / revenue[top])
    same = np.abs(margin - rate * revenue) <= 10.0**-log.margin.decimals + 1e-9 * np.abs(revenue)
    return rate if len(revenue) > 1 and bool(np.all(same)) else None


def tellable(absent: Mapping[str, str]) -> list[str]:
    """The parts that these data have; the margin rate stands for price and goods where no list prices part them."""
    instead = "cost_of_goods" if "price_premium" in absent else "margin_rate"
    return [name for name in PARTS if name not in absent and name != instead]


class Sums(NamedTuple):
    """A group of customers in one year: how many, and their exact sums."""

    n: int
    volume: int
    revenue: int
    margin: int
    serving: int
    referrals: int
    winning: int

    @classmethod
    def of(cls, cells: Cells, rows: IntColumn) -> Self:
        """The sums over these rows; what is not measured is zero."""
        sums = dict.fromkeys(("serving", "referrals", "winning"), 0)
        sums |= {name: int(values[rows].sum()) for name, values in cells.measures.items()}
        return cls(n=len(rows), volume=sums.pop("listed", sums["revenue"]), **sums)


def sources(old: Sums, new: Sums) -> tuple[dict[str, Fraction], bool]:
    """The change from the old group's margin net of serving, scaled to the new group's size, by source, in exact
    fractions; and whether a volume was not positive, so that all of it had to go to purchase growth."""
    size = Fraction(new.n, old.n)
    change = new.margin - new.serving - size * (old.margin - old.serving)
    nothing = Fraction(0)
    if old.volume <= 0 or new.volume <= 0:
        return dict.fromkeys(("price", "goods", "savings"), nothing) | {"purchase_growth": change}, True
    mean = (size * old.volume + new.volume) / 2

    def per_volume(amount: str) -> Fraction:
        return Fraction(getattr(new, amount), new.volume) - Fraction(getattr(old, amount), old.volume)

    price, serving = per_volume("revenue"), per_volume("serving")
    goods = price - per_volume("margin")
    parts = {"price": mean * price, "goods": -mean * goods, "savings": -mean * serving}
    return {"purchase_growth": change - sum(parts.values(), nothing), **parts}, False


def named(parts: Mapping[str, Fraction], names: list[str]) -> dict[str, Fraction]:
    """The sources under the names of the parts that these data can tell; the rest is in purchase growth."""
    goods = "cost_of_goods" in names
    known = {
        "price_premium": parts["price"] + (0 if goods else parts["goods"]),
        "cost_of_goods": parts["goods"],
        "margin_rate": parts["price"] + parts["goods"],
        "cost_savings": parts["savings"],
    }
    told = {name: known[name] for name in names if name in known}
    return {"purchase_growth": sum(parts.values(), Fraction(0)) - sum(told.values(), Fraction(0)), **told}


def unbalanced() -> RetentionError:
    """The error of parts that do not sum to their whole: a mistake of ours."""
    return RetentionError(
        "a ladder whose parts do not add up",
        rule="the parts of a year sum to its profit, exactly",
        remedy="report this: it is a mistake of this library",
    )
