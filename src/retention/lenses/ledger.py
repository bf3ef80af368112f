"""The defection ledger: who left, who came, who moved, in customers, revenue and margin, to the cent."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Self, cast

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.errors import ConfigError, RetentionError
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.frames.texts import Labels
from retention.lenses._figures import Sums, sealed
from retention.lenses._periods import Periods
from retention.lenses._showing import CAME, LEFT, THERE, grouped, html_table, money
from retention.records.money import Amounts

__all__ = ["Ledger", "LedgerCustomers", "Flow", "MOVEMENTS"]

MOVEMENTS = ("lost", "down", "stable", "up", "new", "reactivated", "returns only")
_LOST, _DOWN, _STABLE, _UP, _NEW, _REACTIVATED, _RETURNS = range(7)


@frozen(kw_only=True)
class Flow:
    """One line of books: what was there, what came, what left, what is there now. It cannot exist unbalanced.

    Example:
        >>> Flow(opening=Decimal(10), new=Decimal(3), reactivated=Decimal(0), up=Decimal(0), down=Decimal(1),
        ...      lost=Decimal(4), closing=Decimal(8)).closing
        Decimal('8')
    """

    opening: Decimal
    new: Decimal
    reactivated: Decimal
    up: Decimal
    down: Decimal
    lost: Decimal
    closing: Decimal

    def __attrs_post_init__(self) -> None:
        if self.opening + self.new + self.reactivated + self.up - self.down - self.lost != self.closing:
            raise RetentionError(
                "a ledger that does not balance",
                rule="opening + new + reactivated + up - down - lost = closing, exactly",
                remedy="sum whole minor units, never floats, and post each change once",
            )

    def to_dict(self) -> dict[str, str]:
        """Plain JSON values; amounts as text, so that no digit is lost."""
        return {name: str(getattr(self, name)) for name in _TERMS}


_TERMS = ("opening", "new", "reactivated", "up", "down", "lost", "closing")


@frozen(eq=False, repr=False, kw_only=True)
class LedgerCustomers(Table):
    """One row for each customer who bought, or had money posted, in either period."""

    customer_id: TextColumn = column("who")
    movement: TextColumn = column("lost, down, stable, up, new, reactivated or returns only")
    opening: FloatColumn = column("margin of the previous period", unit="money")
    closing: FloatColumn = column("margin of the current period", unit="money")
    opening_revenue: FloatColumn = column("revenue of the previous period", unit="money")
    closing_revenue: FloatColumn = column("revenue of the current period", unit="money")


@frozen(eq=False, repr=False, kw_only=True)
class Ledger(Table):
    """Two periods side by side: one row a movement; ``.customers`` has one row a customer.

    A customer is active in a period if she bought something in it that was not undone. She is

    - *lost*: active in the previous period, not in the current one;
    - *new* or *reactivated*: the other way round; reactivated if she had bought before both periods;
    - *stable*: active in both, margin changed by at most ``stable_within`` of the opening one; else *up* or *down*;
    - *returns only*: money was posted, but she bought nothing in either period. She is in no head count.

    ``flow("customers" | "revenue" | "margin")`` is the line of books, in exact decimals::

        opening + new + reactivated + up - down - lost = closing

    The whole change of a lost, new or reactivated customer is posted there, whatever its sign: losing a customer
    who cost money makes *lost* smaller. The change of all others (up, down, stable, returns only) is posted to up
    or down by its own sign, for revenue and margin each.

    Example:
        >>> from retention.lenses import audit
        >>> from retention.records.transactions import TransactionLog
        >>> log = TransactionLog.from_arrays(customer_id=["a", "b", "b", "c"], revenue=[10, 20, 15, 9],
        ...                                  at=["2020-03-01", "2020-06-01", "2021-06-01", "2021-07-01"])
        >>> ledger = audit(log, as_of="2021-12-31").ledger
        >>> flow = ledger.flow("margin")
        >>> [int(x) for x in (flow.opening, flow.new, flow.down, flow.lost, flow.closing)]
        [30, 9, 5, 10, 24]
    """

    key: ClassVar[str] = "movement"

    movement: TextColumn = column("how the customers moved")
    count: IntColumn = column("customers", unit="count")
    opening_revenue: FloatColumn = column("their revenue of the previous period", unit="money")
    closing_revenue: FloatColumn = column("their revenue of the current period", unit="money")
    opening_margin: FloatColumn = column("their margin of the previous period", unit="money")
    closing_margin: FloatColumn = column("their margin of the current period", unit="money")

    customers: LedgerCustomers
    flows: Mapping[str, Flow]
    stable_within: float
    currency: str | None = None

    @classmethod
    def of(cls, periods: Periods, *, stable_within: float = 0.10) -> Self:
        """Keep the books of two periods."""
        if not 0 <= stable_within < float("inf"):
            raise ConfigError(
                f"stable_within={stable_within!r}",
                rule="the band of the stable is a share of the opening margin, zero or more",
                remedy="pass 0.10 to call changes of up to ten percent stable",
            )
        revenue, margin, was, is_now = periods.revenue, periods.margin, periods.was, periods.is_now
        code = np.full(periods.customers, _RETURNS, dtype=np.int8)
        stays = was & is_now
        code[stays] = _moved(margin.previous[stays], margin.current[stays], stable_within)
        code[was & ~is_now] = _LOST
        code[~was & is_now] = np.where(periods.earlier, _REACTIVATED, _NEW)[~was & is_now]

        sums = (revenue.previous, revenue.current, margin.previous, margin.current)
        posted = np.any([each != 0 for each in sums], axis=0)
        kept = np.flatnonzero(was | is_now | posted)
        code = code[kept]
        names = np.asarray(MOVEMENTS)
        r0, r1, m0, m1 = (sealed(each[kept]) for each in sums)
        books = {"revenue": (r0, r1, revenue.decimals), "margin": (m0, m1, margin.decimals)}
        heads = (was[kept].astype(np.int64), is_now[kept].astype(np.int64), 0)

        moved = [np.flatnonzero(code == which) for which in range(len(MOVEMENTS))]

        def per_movement(each: IntColumn, unit: Sums) -> FloatColumn:
            return unit.amounts(np.asarray([each[rows].sum() for rows in moved], dtype=np.int64)).to_float()

        lost_at_a_loss = int(np.sum((code == _LOST) & (m0 < 0)))
        notes = [f"lost means: bought nothing in the {periods.days} days up to {periods.as_of}; she may yet come back"]
        if lost_at_a_loss:
            notes.append(f"{lost_at_a_loss:,} of the lost had a negative opening margin: their leaving raises margin")
        return cls(
            movement=names,
            count=np.asarray([len(rows) for rows in moved], dtype=np.int64),
            opening_revenue=per_movement(r0, revenue),
            closing_revenue=per_movement(r1, revenue),
            opening_margin=per_movement(m0, margin),
            closing_margin=per_movement(m1, margin),
            customers=LedgerCustomers(
                customer_id=periods.names(kept),
                movement=cast("TextColumn", Labels(code, names)),
                opening=margin.amounts(m0).to_float(),
                closing=margin.amounts(m1).to_float(),
                opening_revenue=revenue.amounts(r0).to_float(),
                closing_revenue=revenue.amounts(r1).to_float(),
                provenance=periods.provenance,
            ),
            flows={name: _flow(code, *book) for name, book in ({"customers": heads} | books).items()},
            stable_within=stable_within,
            currency=periods.currency,
            provenance=periods.provenance.with_notes(*notes),
        )

    def flow(self, of: str = "margin") -> Flow:
        """The line of books in ``"customers"``, ``"revenue"`` or ``"margin"``."""
        if of not in self.flows:
            raise ConfigError(
                f"flow({of!r})", rule=f"a ledger is kept in {', '.join(self.flows)}", remedy="name one of these"
            )
        return self.flows[of]

    @property
    def points(self) -> dict[str, float] | None:
        """Each term in points (percent) of the opening margin; None when that is not positive."""
        flow = self.flows["margin"]
        if flow.opening <= 0:
            return None
        return {term: float(100 * getattr(flow, term) / flow.opening) for term in _TERMS}

    def verdict(self) -> str:
        """One sentence: what defection cost, what migration down cost, and which of them dominates."""
        heads, flow, points = self.flows["customers"], self.flows["margin"], self.points
        if heads.opening == 0:
            return "Nobody bought in the previous period, so nobody could leave."
        left = "no margin left either way"
        if flow.lost > flow.down:
            left = "defection dominates here"
        elif flow.down > flow.lost:
            left = "migration dominates here"
        elif flow.lost > 0:
            left = "both weigh the same here"
        if points is None:
            lost, down = money(flow.lost, self.currency), money(flow.down, self.currency)
            unit = "of margin (the opening margin is not positive, so it has no points)"
        else:
            lost, down, unit = f"{points['lost']:.1f} points", f"{points['down']:.1f} points", "of opening margin"
        return (
            f"{lost} {unit} left by defection ({heads.lost:,} of {heads.opening:,} customers), "
            f"{down} by migration down: {left}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "flows": {name: flow.to_dict() for name, flow in self.flows.items()},
            "count": dict(zip(self.movement.tolist(), self.count.tolist(), strict=True)),
            "points": self.points,
            "verdict": self.verdict(),
            "stable_within": self.stable_within,
        }

    def plot(self, ax: Any = None, *, of: str = "margin") -> Any:
        """Draw the flow as a waterfall from opening to closing."""
        flow = self.flow(of)
        ax = axes(ax)
        # Nobody comes or leaves by migration: a count of customers has no up and down.
        terms = [term for term in _TERMS if of != "customers" or term not in ("up", "down")]
        level, levels = 0.0, [0.0]
        for place, term in enumerate(terms):
            end = term in ("opening", "closing")
            size = float(getattr(flow, term)) * (-1 if term in ("down", "lost") else 1)
            base = 0.0 if end else level
            level = base + size
            levels.append(level)
            ax.bar(place, size, bottom=base, color=THERE if end else CAME if size >= 0 else LEFT, width=0.7)
            if place < len(terms) - 1:
                ax.plot([place + 0.35, place + 0.65], [level, level], color="0.5", linewidth=0.8)
            ax.annotate(
                f"{size:,.0f}" if end or not size else f"{size:+,.0f}",
                (place, max(base, level)),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
        room = 0.12 * (max(levels) - min(levels)) or 1.0
        ax.set_ylim(min(levels) - (room if min(levels) < 0 else 0), max(levels) + room)
        ax.axhline(0, color="0.2", linewidth=0.8)
        ax.set_xticks(range(len(terms)), terms)
        ax.yaxis.set_major_formatter(grouped)
        ax.set_ylabel(of if of == "customers" else f"{of} {self.currency or ''}".strip())
        ax.set_title(f"Where the {of} went: previous to current period")
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def _counts(self) -> list[str]:
        """How many customers stand behind each term; those who moved up or down in brackets, for they stayed."""
        moved = {term: f"({self.customer(term)['count']:,} stayed)" for term in ("up", "down")}
        return [moved.get(term, f"{getattr(self.flows['customers'], term):,}") for term in _TERMS]

    def __repr__(self) -> str:
        lines = [f"<Ledger to {self.provenance.as_of}: {self.verdict()}"]
        lines.append(f"    {'':<12}{'customers':>16} {'margin':>22}")
        for term, count in zip(_TERMS, self._counts(), strict=True):
            sign = {"opening": " ", "closing": "=", "down": "-", "lost": "-"}.get(term, "+")
            lines.append(
                f"  {sign} {term:<12}{count:>16} {money(getattr(self.flows['margin'], term), self.currency):>22}"
            )
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        revenue, margin = self.flows["revenue"], self.flows["margin"]
        rows = [
            (term, count, money(getattr(revenue, term)), money(getattr(margin, term)))
            for term, count in zip(_TERMS, self._counts(), strict=True)
        ]
        unit = f" {self.currency}" if self.currency else ""
        head = ("", "customers", f"revenue{unit}", f"margin{unit}")
        return html_table(self.verdict(), head, rows, notes=self.provenance.notes)


def _moved(opening: IntColumn, closing: IntColumn, stable_within: float) -> NDArray[np.int8]:
    """Down, stable or up, in whole numbers: a float would move the customer who sits on the band's edge."""
    change = closing - opening
    band = Fraction(str(stable_within))
    size, base = np.abs(change), np.abs(opening)
    most = int(max(size.max(initial=0), base.max(initial=0))) * max(band.numerator, band.denominator)
    if most >= 2**63:  # Python's integers hold what 64 bits do not
        size, base = size.astype(object), base.astype(object)
    stable: BoolColumn = np.asarray(size * band.denominator <= base * band.numerator, dtype=bool)
    return np.where(stable, _STABLE, np.where(change > 0, _UP, _DOWN)).astype(np.int8)


def _flow(code: NDArray[np.int8], opening: IntColumn, closing: IntColumn, decimals: int) -> Flow:
    change = closing - opening

    def exact(minor: IntColumn) -> Decimal:
        return Amounts(minor, decimals).total()

    own = {_LOST: "lost", _NEW: "new", _REACTIVATED: "reactivated"}
    posted = {name: exact(change[code == which]) for which, name in own.items()}
    staying = ~np.isin(code, list(own))
    return Flow(
        opening=exact(opening),
        new=posted["new"],
        reactivated=posted["reactivated"],
        up=exact(change[staying & (change > 0)]),
        down=-exact(change[staying & (change < 0)]),
        lost=-posted["lost"],
        closing=exact(closing),
    )
