"""The profit ladder as a table, a sentence and a picture."""

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Literal

import numpy as np
from attrs import frozen

from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.lenses._showing import grouped, html_table
from retention.records.money import Amounts
from retention.value.accounts.ladder_sources import PARTS

__all__ = ["Change", "LadderSteps", "ProfitLadder"]

_COLOURS = dict(
    zip(
        PARTS,
        ("#8c8c8c", "#b7c4d6", "#4c6a92", "#2a8c6a", "#8fbf6a", "#d9a441", "#8fbf6a", "#7b5ea7", "#c4512d"),
        strict=True,
    )
)


@frozen(kw_only=True)
class Change:
    """A mean change from one year of tenure to the next, in money per customer, with bounds (NaN: too few to say).

    Example:
        >>> print(Change(amount=1.5, low=-0.25, high=3.25, interval=0.9))
        +1.50 (-0.25 to +3.25, 90% interval)
    """

    amount: float
    low: float
    high: float
    interval: float

    def __str__(self) -> str:
        sure = f"{self.low:+,.2f} to {self.high:+,.2f}, {self.interval:.0%} interval"
        return f"{self.amount:+,.2f} ({'too few to say how sure' if math.isnan(self.low) else sure})"


@frozen(eq=False, repr=False, kw_only=True)
class LadderSteps(Table):
    """One row a step between adjacent years of tenure, in money per customer.

    ``cohort = not_yet_observed + left + same_customer + others``, which is exact before rounding to floats. The
    parts of the same customers' change add up to ``same_customer``; their exact sums over all stayers, with
    ``opening`` and ``closing`` profit, are in ``exact``.
    """

    key: ClassVar[str] = "step"

    step: TextColumn = column("from which year of tenure to which")
    stayers: IntColumn = column("customers who were there throughout both years", unit="count")
    cohort: FloatColumn = column("change of the mean over whoever is there", unit="money")
    same_customer: FloatColumn = column("mean change of the stayers", unit="money")
    low: FloatColumn = column("lower bound of the stayers' change; NaN with too few", unit="money")
    high: FloatColumn = column("upper bound of the stayers' change; NaN with too few", unit="money")
    not_yet_observed: FloatColumn = column("mix: dropping those whose next year is not over", unit="money")
    left: FloatColumn = column("mix: dropping those who were not there throughout the next year", unit="money")
    others: FloatColumn = column("mix: adding those who left within the next year or came back in it", unit="money")
    purchase_growth: FloatColumn = column("of the stayers' change: buying more", unit="money")
    margin_rate: FloatColumn | None = column("of the stayers' change: margin rate", unit="money", optional=True)
    price_premium: FloatColumn | None = column("of it: paying nearer the list price", unit="money", optional=True)
    cost_of_goods: FloatColumn | None = column("of it: cost of goods per list value", unit="money", optional=True)
    cost_savings: FloatColumn | None = column("of it: cost to serve per volume", unit="money", optional=True)
    referrals: FloatColumn | None = column("of it: credited referrals", unit="money", optional=True)

    exact: Mapping[str, Amounts]

    @property
    def mix(self) -> FloatColumn:
        """What of each step is who was counted, and no change in anyone."""
        return np.asarray(self.cohort - self.same_customer)


@frozen(eq=False, repr=False, kw_only=True)
class ProfitLadder(Table):
    """One row a year of tenure, in money per customer; made by :func:`profit_ladder`.

    The parts of a row add up to ``profit``. Sums over the customers are exact: ``exact[part]`` holds them per row and
    ``exact["profit"]`` what was observed. ``steps`` has the way from each year to the next, ``account`` where every
    cent of the log went, ``absent`` the parts that could not be told and why.

    ``growth`` is the mean yearly change within customers who stayed, ``climb`` that of the mean over whoever is
    there, ``mix`` their difference, each the mean over the steps weighted by stayers.
    """

    key: ClassVar[str] = "tenure"

    tenure: TextColumn = column("acquisition, then the year after it")
    customers: IntColumn = column("bought in this year, and the whole year is observed", unit="count")
    observed: IntColumn = column("whose whole year is observed, there or not", unit="count")
    not_over: IntColumn = column("whose year had begun but was not over: left out here", unit="count")
    profit: FloatColumn = column("profit per customer who bought in this year", unit="money")
    acquisition_cost: FloatColumn | None = column("what winning her cost, negative", unit="money", optional=True)
    first_purchase: FloatColumn = column("what the first purchase day brought", unit="money")
    base_profit: FloatColumn = column("profit of the first year", unit="money")
    purchase_growth: FloatColumn = column("buying more than in the first year", unit="money")
    margin_rate: FloatColumn | None = column("another margin rate than then", unit="money", optional=True)
    price_premium: FloatColumn | None = column("paying nearer the list price than then", unit="money", optional=True)
    cost_of_goods: FloatColumn | None = column("cheaper goods per list value than then", unit="money", optional=True)
    cost_savings: FloatColumn | None = column("cheaper to serve per volume than then", unit="money", optional=True)
    referrals: FloatColumn | None = column("credited for those she brought", unit="money", optional=True)
    same_customer: FloatColumn = column("year 1, and from there on the steps of those who stay", unit="money")
    same_low: FloatColumn = column("lower bound of these steps added up", unit="money")
    same_high: FloatColumn = column("upper bound of these steps added up", unit="money")

    steps: LadderSteps
    exact: Mapping[str, Amounts]
    account: Mapping[str, Decimal]
    absent: Mapping[str, str]
    growth: Change
    climb: Change
    mix: Change
    stayers: int
    interval: float
    by: str = "year"
    currency: str | None = None

    @property
    def finding(self) -> Literal["grows", "shrinks", "mix", "cannot tell"]:
        """What can be said: *grows* or *shrinks* if the interval of the same customers' growth excludes zero; *mix* if
        it does not, that of the mix does, and the mix is more than growth or shrinking may be at their bounds."""
        if self.growth.low > 0:
            return "grows"
        if self.growth.high < 0:
            return "shrinks"
        reach = max(-self.growth.low, self.growth.high)
        clear = (self.mix.low > 0 or self.mix.high < 0) and reach < abs(self.mix.amount)
        return "mix" if clear else "cannot tell"

    def verdict(self) -> str:
        """One sentence: whether anyone grows, or the ladder only shows who stayed."""
        if self.stayers == 0:
            return f"Cannot tell: no customer is known to have stayed throughout two {self.by}s."
        way = "climbs" if self.climb.amount > 0 else "falls"
        about = f"profit per customer {way} by {abs(self.climb.amount):,.2f} a {self.by}"
        same = f"the same customers change by {self.growth}"
        if math.isnan(self.growth.low):
            return f"Cannot tell: {about}, and {self.stayers} customers who stayed are too few to say why."
        if self.finding == "cannot tell":
            return f"Cannot tell: {about}; {same}, so neither growth nor who is counted is shown to move it."
        if self.finding == "mix":
            return f"{about[0].upper()}{about[1:]} because {self._who()}, not because anyone {self._moves()}: {same}."
        told = {"grows": "Those who stay grow", "shrinks": "Those who stay shrink"}[self.finding]
        return f"{told} by {self.growth} a {self.by}; {about}, of which {self.mix} is who is counted."

    def _moves(self) -> str:
        return "grows" if self.mix.amount > 0 else "shrinks"

    def _who(self) -> str:
        """Which part of the mix weighs most in its direction."""
        weight = self.steps.stayers / max(int(self.steps.stayers.sum()), 1)
        up = self.mix.amount > 0
        told = {
            "left": "weak customers leave" if up else "strong customers leave",
            "not_yet_observed": "earlier customers were better" if up else "earlier customers were weaker",
            "others": "those who came back are strong" if up else "some leave within the year",
        }
        sizes = {name: float(np.nansum(getattr(self.steps, name) * weight)) for name in told}
        return told[max(sizes, key=lambda name: sizes[name] if up else -sizes[name])]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; amounts as text, so that no digit is lost."""

        def texts(exact: Mapping[str, Amounts]) -> dict[str, list[str]]:
            return {name: [str(a.exact(i)) for i in range(len(a))] for name, a in exact.items()}

        def bounds(change: Change) -> dict[str, float | None]:
            pairs = (("amount", change.amount), ("low", change.low), ("high", change.high))
            return {name: None if math.isnan(value) else value for name, value in pairs}

        return {
            "tenure": self.tenure.tolist(),
            "customers": self.customers.tolist(),
            "totals": texts(self.exact),
            "steps": {"step": self.steps.step.tolist(), "stayers": self.steps.stayers.tolist()}
            | texts(self.steps.exact),
            "growth": bounds(self.growth),
            "climb": bounds(self.climb),
            "mix": bounds(self.mix),
            "finding": self.finding,
            "verdict": self.verdict(),
            "account": {name: str(amount) for name, amount in self.account.items()},
            "absent": dict(self.absent),
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the cohort ladder as stacked bars, and over it the same customers' ladder with its bounds.

        The gap between a bar's top mark and the line is the mix effect.
        """
        ax = axes(ax, size=(8.0, 4.8))
        places = np.arange(len(self))
        above, below = np.zeros(len(self)), np.zeros(len(self))
        for name, colour in _COLOURS.items():
            part = self.columns().get(name)
            if part is None or not np.any(np.nan_to_num(part)):
                continue
            size = np.nan_to_num(part)
            ax.bar(places, size, bottom=np.where(size >= 0, above, below), color=colour, width=0.62, label=_said(name))
            above, below = above + np.maximum(size, 0), below + np.minimum(size, 0)
        ax.hlines(self.profit, places - 0.36, places + 0.36, color="0.1", linewidth=1.6, label="profit, cohort")
        known = ~np.isnan(self.same_customer)
        level = self.same_customer[known]
        sure = np.abs(np.stack([self.same_low[known], self.same_high[known]]) - level)
        ax.errorbar(
            places[known], level, yerr=np.nan_to_num(sure), color="#b0215f", marker="o", markersize=4, linewidth=1.4,
            capsize=3, label=f"same customers, {self.interval:.0%} interval",
        )  # fmt: skip
        counts = [f"{name}\n{n:,}" for name, n in zip(self.tenure, self.customers.tolist(), strict=True)]
        ax.set_xticks(places, counts)
        ax.axhline(0, color="0.2", linewidth=0.8)
        ax.margins(y=0.12)
        ax.yaxis.set_major_formatter(grouped)
        ax.set_ylabel(f"profit per customer {self.currency or ''}".strip())
        titles = {
            "grows": "Those who stay grow",
            "shrinks": "Those who stay shrink",
            "mix": f"Not growth: {self._who()}" if len(self.steps) else "",
            "cannot tell": "Growth or mix: cannot tell",
        }
        ax.set_title(titles[self.finding])
        ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def _shown(self) -> Iterator[tuple[str, ...]]:
        names = [name for name in (*PARTS, "profit", "same_customer") if name in self.columns()]
        yield ("", "customers", *(_said(name) for name in names))
        for i in range(len(self)):
            cells = (self.columns()[name][i] for name in names)
            yield (
                str(self.tenure[i]),
                f"{self.customers[i]:,}",
                *("" if x != x else f"{round(x, 2) + 0.0:,.2f}" for x in cells),
            )

    def __repr__(self) -> str:
        rows = list(self._shown())
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        without = [f"  without {_said(name)}: {why}" for name, why in self.absent.items()]
        return "\n".join([f"<ProfitLadder to {self.provenance.as_of}: {self.verdict()}", *lines, *without]) + ">"

    def _repr_html_(self) -> str:
        head, *rows = self._shown()
        without = [f"without {_said(name)}: {why}" for name, why in self.absent.items()]
        return html_table(self.verdict(), head, rows, notes=[*without, *self.provenance.notes])


def _said(name: str) -> str:
    return name.replace("_", " ")
