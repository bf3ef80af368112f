"""Growth levers: how much of the change in margin is length, how much depth, how much breadth."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np
from attrs import frozen

from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.lenses._figures import State
from retention.lenses._periods import Periods
from retention.lenses._showing import CAME, LEFT, grouped, html_table, money

__all__ = ["Levers"]

_CENTS = 2


@frozen(eq=False, repr=False, kw_only=True)
class Levers(Table):
    """The change in margin between two periods, in parts that sum to it exactly.

    - *length*: customers who are active in only one of the periods: came (new, reactivated), left (lost), and those
      who only returned goods;
    - *depth*: customers active in both, in the categories that they bought in both: orders × revenue an order ×
      margin rate. The three parts are the Shapley values of the product's change (Shapley 1953): the mean over all
      orders in which the factors can change one after another. They are taken over all these customers together, so
      a shift of mix between customers shows in order value and margin rate;
    - *breadth*: the same customers, in categories that they entered or left. Without a category column breadth is
      not measured: ``breadth`` is None and its money is in depth.

    Where revenue is zero or negative in a period there is no margin rate; then order value means margin an order,
    and the rate's part is zero. Where nobody ordered in shared categories, what was posted there is order value.
    A note says so each time. Exact parts are rounded by largest remainder: to cents, or finer where a customer's sums
    are.

    Example:
        >>> from retention.lenses import audit
        >>> from retention.records.transactions import TransactionLog
        >>> log = TransactionLog.from_arrays(customer_id=["a", "a", "a"], revenue=[10, 15, 15], margin=0.5,
        ...                                  at=["2020-03-01", "2021-06-01", "2021-07-01"])
        >>> levers = audit(log, as_of="2021-12-31").levers
        >>> {name: float(amount) for name, amount in levers.parts.items() if amount}
        {'frequency': 6.25, 'order value': 3.75}
    """

    key: ClassVar[str] = "part"

    lever: TextColumn = column("length, depth or breadth")
    part: TextColumn = column("what moved")
    amount: FloatColumn = column("change in margin that it brought", unit="money")

    opening: Decimal
    closing: Decimal
    parts: Mapping[str, Decimal]
    currency: str | None = None

    @classmethod
    def of(cls, periods: Periods) -> Self:
        """Split the change between two periods."""
        was, is_now, margin, breadth = periods.was, periods.is_now, periods.margin, periods.breadth
        before, after = _states(periods, was & is_now) if breadth is None else (breadth.before, breadth.after)

        def total(minor: IntColumn, who: BoolColumn) -> Fraction:
            return Fraction(margin.amounts(minor).total(who))

        def change(who: BoolColumn) -> Fraction:
            return total(margin.current, who) - total(margin.previous, who)

        depth, notes = _shapley(before, after)
        exact: dict[tuple[str, str], Fraction] = {
            ("length", "came"): change(~was & is_now),
            ("length", "left"): change(was & ~is_now),
            ("length", "returns only"): change(~was & ~is_now),
            ("depth", "frequency"): depth[0],
            ("depth", "order value"): depth[1],
            ("depth", "margin rate"): depth[2],
        }
        if breadth is None:
            notes += ("breadth is not measured: the log has no categories; its money is in depth",)
        else:
            exact["breadth", "categories entered"] = breadth.entered
            exact["breadth", "categories left"] = breadth.left
        scale = max(margin.decimals, _CENTS)
        whole = largest_remainder([part * 10**scale for part in exact.values()])
        parts = {name: Decimal(n).scaleb(-scale) for (_, name), n in zip(exact, whole, strict=True)}
        return cls(
            lever=np.asarray([lever for lever, _ in exact]),
            part=np.asarray([part for _, part in exact]),
            amount=np.asarray([float(amount) for amount in parts.values()]),
            opening=margin.amounts(margin.previous).total(),
            closing=margin.amounts(margin.current).total(),
            parts=parts,
            currency=periods.currency,
            provenance=periods.provenance.with_notes(*notes),
        )

    def _sum(self, *names: str) -> Decimal:
        return sum((self.parts[name] for name in names), Decimal(0))

    @property
    def change(self) -> Decimal:
        """Closing less opening margin: what the parts sum to."""
        return self.closing - self.opening

    @property
    def length(self) -> Decimal:
        """What customers who came and left brought."""
        return self._sum("came", "left", "returns only")

    @property
    def depth(self) -> Decimal:
        """What customers who stayed brought in the categories they already bought."""
        return self._sum("frequency", "order value", "margin rate")

    @property
    def breadth(self) -> Decimal | None:
        """What categories entered and left brought; None when it is not measured."""
        return self._sum("categories entered", "categories left") if "categories left" in self.parts else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; amounts as text, so that no digit is lost."""
        return {
            "opening": str(self.opening),
            "closing": str(self.closing),
            "change": str(self.change),
            "parts": {name: str(amount) for name, amount in self.parts.items()},
            "length": str(self.length),
            "depth": str(self.depth),
            "breadth": None if self.breadth is None else str(self.breadth),
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the parts as bars, gains to the right and losses to the left."""
        ax = axes(ax)
        places = np.arange(len(self))[::-1]
        ax.barh(places, self.amount, color=[CAME if amount >= 0 else LEFT for amount in self.amount])
        for place, amount in zip(places, self.amount, strict=True):
            ax.annotate(
                f"{amount:+,.0f}",
                (amount, place),
                xytext=(4 if amount >= 0 else -4, 0),
                textcoords="offset points",
                ha="left" if amount >= 0 else "right",
                va="center",
                fontsize=9,
            )
        ax.set_yticks(places, [f"{lever}: {part}" for lever, part in zip(self.lever, self.part, strict=True)])
        ax.axvline(0, color="0.2", linewidth=0.8)
        ax.margins(x=0.18)
        ax.xaxis.set_major_formatter(grouped)
        ax.set_xlabel(f"change in margin {self.currency or ''}".strip())
        ax.set_title("What moved the margin")
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        def shown(amount: Decimal | None) -> str:
            return "not measured" if amount is None else f"{amount:+,.2f}"

        return (
            f"<Levers to {self.provenance.as_of}: margin changed by {money(self.change, self.currency)} = "
            f"length {shown(self.length)}, depth {shown(self.depth)}, breadth {shown(self.breadth)}>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (lever, part, money(self.parts[part])) for lever, part in zip(self.lever.tolist(), self.part, strict=True)
        ]
        rows.append(("total", "", money(self.change)))
        caption = f"What moved the margin {f'({self.currency})' if self.currency else ''}".strip()
        return html_table(caption, ("lever", "part", "change in margin"), rows, notes=self.provenance.notes)


def _states(periods: Periods, who: BoolColumn) -> tuple[State, State]:
    """What made the margin of these customers, in each period."""

    def state(orders: IntColumn, revenue: IntColumn, margin: IntColumn) -> State:
        money = (periods.revenue.amounts(revenue).total(who), periods.margin.amounts(margin).total(who))
        return State(int(orders[who].sum()), *map(Fraction, money))

    spans = (periods.orders, periods.revenue, periods.margin)
    return state(*(each.previous for each in spans)), state(*(each.current for each in spans))


def _shapley(old: State, new: State) -> tuple[list[Fraction], tuple[str, ...]]:
    """The change of orders × revenue an order × margin rate, by factor, in exact fractions.

    For a product f·v·q the part of f is Δf · (2·v0·q0 + v0·q1 + v1·q0 + 2·v1·q1) / 6, and so on round.
    """
    (f0, r0, m0), (f1, r1, m1) = old, new
    if min(f0, f1) > 0 and min(r0, r1) > 0:
        first = [Fraction(f0), Fraction(r0, f0), Fraction(m0, r0)]
        second = [Fraction(f1), Fraction(r1, f1), Fraction(m1, r1)]
        parts = []
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            mean = 2 * first[j] * first[k] + first[j] * second[k] + second[j] * first[k] + 2 * second[j] * second[k]
            parts.append((second[i] - first[i]) * mean / 6)
        return parts, ()
    if min(f0, f1) > 0:
        old_each, new_each = Fraction(m0, f0), Fraction(m1, f1)
        note = "revenue of retained customers is not positive in a period: order value stands for margin an order"
        return [(f1 - f0) * (old_each + new_each) / 2, (new_each - old_each) * Fraction(f0 + f1, 2), Fraction(0)], (
            note,
        )
    note = "retained customers ordered nothing in shared categories: money posted there is under order value"
    return [Fraction(0), Fraction(m1 - m0), Fraction(0)], (note,) if m0 or m1 else ()


def largest_remainder(parts: Sequence[Fraction]) -> list[int]:
    """Whole numbers near the parts, with the same (whole) sum; the units left go where most was cut off.

    Example:
        >>> largest_remainder([Fraction(1, 3), Fraction(1, 3), Fraction(1, 3)])
        [1, 0, 0]
    """
    whole = [part.numerator // part.denominator for part in parts]
    missing = int(sum(parts, Fraction(0))) - sum(whole)
    by_remainder = sorted(range(len(parts)), key=lambda i: whole[i] - parts[i])
    for i in by_remainder[:missing]:
        whole[i] += 1
    return whole
