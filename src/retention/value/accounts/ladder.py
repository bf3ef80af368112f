"""The profit ladder: profit per customer by year of tenure, from its sources, and what of it is growth."""

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ConfigError, RetentionError
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.lenses._showing import grouped, html_table
from retention.lenses.levers import largest_remainder
from retention.records.money import Amounts
from retention.records.transactions import NO_MARGIN, TransactionLog
from retention.value.accounts.postings import Postings
from retention.value.accounts.tenure import Cells, cells_of

__all__ = ["profit_ladder", "ProfitLadder", "LadderSteps", "Change", "Postings"]

_DAYS = {"year": 365, "quarter": 91}
_FEWEST = 20  # customers below which no interval is claimed: in skewed samples of 10 a "90 %" interval held 74 %

# What adds up to the profit of a rung, from the ground up, with the colour of its bar.
_PARTS = {
    "acquisition_cost": "#8c8c8c",
    "first_purchase": "#b7c4d6",
    "base_profit": "#4c6a92",
    "purchase_growth": "#2a8c6a",
    "margin_rate": "#8fbf6a",
    "price_premium": "#d9a441",
    "cost_of_goods": "#8fbf6a",
    "cost_savings": "#7b5ea7",
    "referrals": "#c4512d",
}
_GROWTH = ("purchase_growth", "margin_rate", "price_premium", "cost_of_goods", "cost_savings", "referrals")


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
        for name, colour in _PARTS.items():
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
        names = [name for name in (*_PARTS, "profit", "same_customer") if name in self.columns()]
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


def profit_ladder(
    log: TransactionLog,
    *,
    as_of: dt.date | str,
    acquisition_cost: Any = None,
    serving_costs: Any = None,
    referrals: Postings | None = None,
    list_revenue: Any = None,
    by: Literal["year", "quarter"] = "year",
    acquired_from: dt.date | str | None = None,
    interval: float = 0.90,
) -> ProfitLadder:
    """What a customer brings in each year of tenure, from which source, and whether the same customers grow.

    The ladder of Reichheld & Sasser (1990, Harvard Business Review 68(5), 105-111) says that profit per customer
    climbs with tenure through purchase growth, cost savings, referrals and a price premium. Its mean is over whoever
    is still there, so it also climbs when nobody grows and weak customers leave; Reinartz & Kumar (2002, Harvard
    Business Review 80(7), 86-94) found long-life customers neither cheaper to serve, nor paying more, nor reliably
    more profitable. This shows both sides: the cohort ladder, the same customers' ladder, and the mix between.

    *Tenure* starts with the first purchase day. That day stands alone (*acquisition*): it is a purchase by
    definition, and would make the first year look good. Year 1 is the 365 days after it, and so on (quarters: 91).
    *There* in a year is who bought in it, and whose whole year lies before the end of ``as_of``: a year that is not
    over is left out and counted. *Stayers* of a step bought in both years and again after the second: else those
    who left within the second year would pass for customers who shrank.

    The sources in a year, against the first one (v volume: revenue, or list value; u profit per volume):
    *purchase growth* is Δv times the mean of both u; *price premium*, *cost of goods* and *cost savings* are the mean
    of both v times the change of revenue, cost of goods and cost to serve per volume. Without list prices the first
    two are one, *margin rate*. In the cohort ladder these compare different people; in ``steps`` the same ones.

    Bounds hold with probability ``interval``, customers taken as independent: the wider, on each side, of Student's
    t and its correction for skewness (Hall 1992, J. R. Stat. Soc. B 54, 221-228). In simulated heavy-tailed changes
    90 % intervals held 86 to 91 % with 20 customers, 89 to 91 % with 50 and more; below 20 no bounds are given.

    Args:
        log: the transaction log; margins before cost to serve.
        as_of: the last day that is known; never read from the clock.
        acquisition_cost: one amount for every customer, or a mapping from each customer's id to hers.
        serving_costs: what serving cost, as positive amounts: one a line of the log, or :class:`Postings`.
        referrals: what is credited to customers for those they brought, on its day. Do not credit margin that is
            in the log as the brought customer's own: it would count twice.
        list_revenue: what each line of the log would have brought at list price, signed as its revenue.
        by: ``"year"`` or ``"quarter"`` (quarters carry the season with them).
        acquired_from: only customers whose first purchase was on this day or later. Give it if the log begins in
            the middle of the business, for a log's first customers are old customers in truth.
        interval: probability that bounds hold.

    Raises ConfigError for arguments out of range or of the wrong length.

    Example:
        >>> log = TransactionLog.from_arrays(
        ...     customer_id=["a", "a", "a", "b", "b"], revenue=[10, 20, 25, 10, 6], margin=0.5,
        ...     at=["2010-01-01", "2010-06-01", "2011-06-01", "2010-02-01", "2010-09-01"])
        >>> ladder = profit_ladder(log, as_of="2012-12-31", acquisition_cost=3)
        >>> ladder.profit.tolist(), ladder.customers.tolist()
        ([2.0, 6.5, 12.5], [2, 2, 1])
        >>> ladder.verdict()
        'Cannot tell: no customer is known to have stayed throughout two years.'
    """
    closing = as_day(as_of)
    if by not in _DAYS:
        raise ConfigError(f"by={by!r}", rule="tenure is counted in years or quarters", remedy="pass by='year'")
    if not 0 < interval < 1:
        raise ConfigError(
            f"interval={interval!r}", rule="an interval holds a share between 0 and 1", remedy="0.90 means 90 %"
        )
    cells = cells_of(
        log,
        closing,
        days=_DAYS[by],
        since=None if acquired_from is None else as_day(acquired_from, name="acquired_from"),
        acquisition_cost=acquisition_cost,
        serving_costs=serving_costs,
        referrals=referrals,
        list_revenue=list_revenue,
    )
    return _ladder(cells, log, closing, by, interval)


def _absent(log: TransactionLog, measures: Mapping[str, IntColumn]) -> dict[str, str]:
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


def _tellable(absent: Mapping[str, str]) -> list[str]:
    """The parts that these data have; the margin rate stands for price and goods where no list prices part them."""
    instead = "cost_of_goods" if "price_premium" in absent else "margin_rate"
    return [name for name in _PARTS if name not in absent and name != instead]


class _Sums(NamedTuple):
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


def _sources(old: _Sums, new: _Sums) -> tuple[dict[str, Fraction], bool]:
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


def _named(parts: Mapping[str, Fraction], names: list[str]) -> dict[str, Fraction]:
    """The sources under the names of the parts that these data can tell; the rest is in purchase growth."""
    goods = "cost_of_goods" in names
    sources = {
        "price_premium": parts["price"] + (0 if goods else parts["goods"]),
        "cost_of_goods": parts["goods"],
        "margin_rate": parts["price"] + parts["goods"],
        "cost_savings": parts["savings"],
    }
    named = {name: sources[name] for name in names if name in sources}
    return {"purchase_growth": sum(parts.values(), Fraction(0)) - sum(named.values(), Fraction(0)), **named}


def _ladder(cells: Cells, log: TransactionLog, closing: dt.date, by: str, interval: float) -> ProfitLadder:
    absent = _absent(log, cells.measures)
    years = int(cells.year[cells.there].max(initial=0)) + 1
    of_year = [np.flatnonzero(cells.there & (cells.year == k)) for k in range(years)]
    sums = [_Sums.of(cells, rows) for rows in of_year]
    profits = [int(cells.profit[rows].sum()) for rows in of_year]
    totals, odd = _rungs(sums, profits, _tellable(absent))
    steps, changes, chain = _steps(cells, of_year, _tellable(absent), interval)
    customers = np.asarray([group.n for group in sums])

    def each(minor: list[int]) -> FloatColumn:
        whole = np.where(customers > 0, np.asarray(minor, dtype=np.float64), np.nan)
        return np.asarray(whole / 10.0**cells.decimals / np.maximum(customers, 1))

    exact = {name: Amounts(np.asarray(minor, np.int64), cells.decimals) for name, minor in totals.items()}
    columns: dict[str, Any] = {name: each(minor) for name, minor in totals.items()}
    columns |= dict(zip(("same_customer", "same_low", "same_high"), chain, strict=True))
    notes = ["a year's volume was not positive: its whole change is under purchase growth"] if odd else []
    return ProfitLadder(
        tenure=np.asarray(["acquisition", *(f"{by} {k}" for k in range(1, years))]),
        customers=customers,
        observed=np.asarray([int(np.sum(cells.whole >= k)) for k in range(years)]),
        not_over=np.asarray([0, *(int(np.sum(cells.whole == k - 1)) for k in range(1, years))]),
        profit=each(profits),
        **columns,
        **changes,
        steps=steps,
        exact=exact | {"profit": Amounts(np.asarray(profits, np.int64), cells.decimals)},
        account=cells.account,
        absent=absent,
        interval=float(interval),
        by=by,
        currency=log.currency,
        provenance=Provenance(
            as_of=closing.isoformat(),
            data=log.fingerprint(),
            version=log.provenance.version,
            parameters={"by": by, "interval": float(interval)},
            notes=log.provenance.notes,
        ).with_notes(*cells.notes, *notes),
    )


def _rungs(sums: list[_Sums], profits: list[int], names: list[str]) -> tuple[dict[str, list[int]], bool]:
    """The parts of each year's profit in whole minor units, against the first year that anyone bought in."""
    base = next((group for group in sums[1:] if group.n), None)
    totals = {name: [0] * len(sums) for name in names}
    odd = False
    for k, group in enumerate(sums):
        parts = {"referrals": Fraction(group.referrals)} if "referrals" in names else {}
        if k == 0:
            won = {"acquisition_cost": Fraction(-group.winning)} if "acquisition_cost" in names else {}
            parts |= won | {"first_purchase": Fraction(group.margin - group.serving)}
        elif group.n and base is not None:
            parts["base_profit"] = Fraction(group.n * (base.margin - base.serving), base.n)
            sources, flat = _sources(base, group)
            parts |= _named(sources, names)
            odd |= flat
        for name, minor in zip(parts, largest_remainder(list(parts.values())), strict=True):
            totals[name][k] = minor
        if sum(totals[name][k] for name in names) != profits[k]:
            raise _unbalanced()
    return totals, odd


class _Step(NamedTuple):
    """From one year to the next: who stays (their rows in both years), and the five means on the way, in money.

    The means are over: all of this year; those whose next year is over; the stayers this year; the stayers next year;
    all of next year.
    """

    now: IntColumn
    then: IntColumn
    before: IntColumn
    after: IntColumn
    means: tuple[Fraction | None, ...]

    @classmethod
    def of(cls, cells: Cells, now: IntColumn, then: IntColumn, k: int) -> Self:
        who = cells.customer[now]
        # Rows are sorted by customer and year: her next year, if she has one, is the row below.
        below = np.minimum(now + 1, len(cells.year) - 1)
        stays = (cells.customer[below] == who) & (cells.year[below] == k + 1) & cells.there[below]
        stays &= cells.last[who] > k + 1
        before, after = now[stays], below[stays]
        groups = (now, now[cells.whole[who] > k], before, after, then)
        return cls(now, then, before, after, tuple(_mean(cells, rows) for rows in groups))

    @property
    def moves(self) -> list[float]:
        """Not yet observed, left, same customer, others: the differences of the means; NaN where nobody is."""
        return [math.nan if x is None or y is None else float(y - x) for x, y in pairwise(self.means)]

    def influences(self, cells: Cells) -> tuple[FloatColumn, FloatColumn]:
        """What each customer adds to the error of the stayers' mean change, and of the cohort's."""
        profit = cells.profit / 10.0**cells.decimals
        same, cohort = np.zeros(len(cells.whole)), np.zeros(len(cells.whole))
        who = cells.customer
        same[who[self.before]] = (profit[self.after] - profit[self.before] - self.moves[2]) / len(self.before)
        for sign, rows in ((-1, self.now), (1, self.then)):  # a customer has one row in a year
            cohort[who[rows]] += sign * (profit[rows] - profit[rows].mean()) / len(rows)
        return same, cohort


def _steps(
    cells: Cells, of_year: list[IntColumn], names: list[str], interval: float
) -> tuple[LadderSteps, dict[str, Any], FloatColumn]:
    """The steps; the mean growth, climb and mix over them; and the same customers' ladder with its bounds.

    One customer stands in many steps: what she adds to the error is summed over them before it is squared.
    """
    people, unit = len(cells.whole), 10.0**cells.decimals
    names = [name for name in names if name in _GROWTH]
    rows: list[dict[str, Any]] = []
    exact: dict[str, list[int]] = {name: [] for name in ("opening", *names, "closing")}
    base = _mean(cells, of_year[1]) if len(of_year) > 1 else None
    level, enough = math.nan if base is None else float(base), True
    chain = [(math.nan, math.nan, math.nan), (level, math.nan, math.nan)][: len(of_year)]
    chained, weight = np.zeros(people), 0
    growth, climb, grown, climbed = 0.0, 0.0, np.zeros(people), np.zeros(people)
    stayed, met = np.zeros(people, dtype=bool), np.zeros(people, dtype=bool)
    for k in range(1, len(of_year) - 1):
        step = _Step.of(cells, of_year[k], of_year[k + 1], k)
        moves, n = step.moves, len(step.before)
        first, last = step.means[0], step.means[-1]
        cohort = math.nan if first is None or last is None else float(last - first)
        low = high = math.nan
        if n:
            same, all_ = step.influences(cells)
            hers = _marked(cells.customer[step.before], people)
            if n >= _FEWEST:
                low, high = _bounds(moves[2], same, hers, interval)
            growth, climb, weight = growth + n * moves[2], climb + n * cohort, weight + n
            grown, climbed, chained = grown + n * same, climbed + n * all_, chained + same
            stayed |= hers
            met |= _marked(cells.customer[np.concatenate([step.now, step.then])], people)
        level, enough = level + moves[2], enough and n >= _FEWEST
        chain.append((level, *(_bounds(level, chained, stayed, interval) if enough else (math.nan, math.nan))))
        money = _same(cells, step, names)
        for name, minor in money.items():
            exact[name].append(minor)
        rows.append(
            {"step": f"{k} to {k + 1}", "stayers": n, "cohort": cohort, "low": low, "high": high}
            | dict(zip(("not_yet_observed", "left", "same_customer", "others"), moves, strict=True))
            | {name: money[name] / unit / n if n else math.nan for name in names}
        )

    def pooled(total: float, influence: FloatColumn, of: BoolColumn) -> Change:
        mean = total / weight if weight else math.nan
        sure = int(stayed.sum()) >= _FEWEST
        low, high = _bounds(mean, influence / weight, of, interval) if sure else (math.nan, math.nan)
        return Change(amount=mean, low=low, high=high, interval=interval)

    kinds: dict[str, Any] = {"step": np.str_, "stayers": np.int64}
    kinds |= dict.fromkeys(("cohort", "same_customer", "low", "high", "not_yet_observed", "left", "others"), np.float64)
    kinds |= dict.fromkeys(names, np.float64)
    columns: dict[str, Any] = {name: np.asarray([row[name] for row in rows], kind) for name, kind in kinds.items()}
    steps = LadderSteps(
        **columns,
        exact={name: Amounts(np.asarray(minor, np.int64), cells.decimals) for name, minor in exact.items()},
    )
    changes = {
        "growth": pooled(growth, grown, stayed),
        "climb": pooled(climb, climbed, met),
        "mix": pooled(climb - growth, climbed - grown, met),
        "stayers": int(stayed.sum()),
    }
    return steps, changes, np.asarray(chain).T


def _same(cells: Cells, step: _Step, names: list[str]) -> dict[str, int]:
    """The stayers' profit in both years and the sources of its change, in whole minor units that add up."""
    opening, closing = (int(cells.profit[rows].sum()) for rows in (step.before, step.after))
    parts = dict.fromkeys(names, Fraction(0))
    if len(step.before):
        old, new = _Sums.of(cells, step.before), _Sums.of(cells, step.after)
        parts |= _named(_sources(old, new)[0], names)
        if "referrals" in names:
            parts["referrals"] = Fraction(new.referrals - old.referrals)
    whole = dict(zip(parts, largest_remainder(list(parts.values())), strict=True))
    if opening + sum(whole.values()) != closing:
        raise _unbalanced()
    return {"opening": opening, **whole, "closing": closing}


def _mean(cells: Cells, rows: IntColumn) -> Fraction | None:
    """The mean profit of these rows, exact, in money."""
    return Fraction(int(cells.profit[rows].sum()), len(rows) * 10**cells.decimals) if len(rows) else None


def _marked(who: IntColumn, people: int) -> BoolColumn:
    marked = np.zeros(people, dtype=bool)
    marked[who] = True
    return marked


def _bounds(mean: float, influence: FloatColumn, of: BoolColumn, interval: float) -> tuple[float, float]:
    """Bounds of a mean from what each of these independent customers adds to its error (the influences sum to zero).

    Student's t is right for symmetric changes, however heavy their tails, and too short on the long side of skewed
    ones; Hall's (1992) cubic transformation is the other way round. Each bound is the wider of the two.
    """
    from scipy.special import stdtrit

    m = int(of.sum())
    u = m * influence[of]
    spread = math.sqrt(float(np.sum(u**2)) / (m - 1))
    if spread == 0:
        return mean, mean
    skew = float(np.mean((u / spread) ** 3)) / math.sqrt(m)
    bounds = []
    for level in ((1 + interval) / 2, (1 - interval) / 2):
        t = float(stdtrit(m - 1, level))
        by_hall = t if abs(skew) < 1e-8 else 3 / skew * (math.cbrt(1 + skew * (t - skew / 6)) - 1)
        reach = max(t, by_hall) if level > 0.5 else min(t, by_hall)
        bounds.append(mean - spread / math.sqrt(m) * reach)
    return bounds[0], bounds[1]


def _unbalanced() -> RetentionError:
    return RetentionError(
        "a ladder whose parts do not add up",
        rule="the parts of a year sum to its profit, exactly",
        remedy="report this: it is a mistake of this library",
    )


def _said(name: str) -> str:
    return name.replace("_", " ")
