"""The customer equity statement as a table, a sentence and a waterfall."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from attrs import frozen

from retention.errors import RetentionError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.lenses._showing import CAME, LEFT, THERE, grouped, html_table, money

__all__ = ["EquityCustomers", "EquityStatement", "LINES", "MOVED", "TIME"]

TIME = ("discount unwound", "fell due", "horizon moved")
MOVED = ("acquired", "won back", "grown", "shrunk", "lost")
LINES = ("opening", *TIME, *MOVED, "repriced", "closing")


@frozen(eq=False, repr=False, kw_only=True)
class EquityCustomers(Table):
    """One row for each customer of either base; ``opening + time + moved + repriced = closing``, to the cent."""

    customer_id: TextColumn = column("who")
    cause: TextColumn = column("acquired, won back, grown, shrunk, lost or unchanged")
    opening: FloatColumn = column("value on the opening day", unit="money")
    time: FloatColumn = column("what was to be expected to happen to it by the closing day", unit="money")
    moved: FloatColumn = column("what her purchases and her silence changed beyond that", unit="money")
    repriced: FloatColumn = column("what other parameters changed at the same history", unit="money")
    closing: FloatColumn = column("value on the closing day", unit="money")
    received: FloatColumn | None = column("margin that came in between", unit="money", optional=True)


@frozen(eq=False, repr=False, kw_only=True)
class EquityStatement(Table):
    """One row a line of the statement, from ``opening`` to ``closing``; made by :func:`equity_statement`.

    ``exact[line]`` holds the amounts as decimals: the lines between opening and closing sum to the change, to the
    cent. ``customers`` has the same for each customer. ``bounds`` are those of ``"opening"``, ``"closing"`` and
    ``"change"``, None where the model offers none. ``received`` and ``expected`` are the margin that the customers of
    the opening base brought between the days, and what the opening model had expected of them (neither is discounted;
    None if the bases carry no margins); ``received_from_new`` is that of the acquired.
    """

    key: ClassVar[str] = "line"

    line: TextColumn = column("opening, a cause of change, or closing")
    count: IntColumn = column("customers behind it", unit="count")
    amount: FloatColumn = column("value, or change of value", unit="money")

    customers: EquityCustomers
    exact: Mapping[str, Decimal]
    bounds: Mapping[str, tuple[float, float] | None]
    received: Decimal | None
    received_from_new: Decimal | None
    expected: float | None
    opened: dt.date
    closed: dt.date
    horizon_days: float
    interval: float
    gone_below: float
    currency: str | None = None

    def __attrs_post_init__(self) -> None:
        Table.__attrs_post_init__(self)
        if sum((self.exact[line] for line in LINES[:-1]), Decimal(0)) != self.exact["closing"]:
            raise RetentionError(
                "an equity statement that does not balance",
                rule="opening and all changes sum to closing, exactly",
                remedy="report this: it is a mistake of this library",
            )

    @property
    def change(self) -> Decimal:
        """Closing less opening."""
        return self.exact["closing"] - self.exact["opening"]

    @property
    def time(self) -> Decimal:
        """What was to be expected to happen to the opening base: its three lines together."""
        return sum((self.exact[line] for line in TIME), Decimal(0))

    @property
    def surprise(self) -> Decimal:
        """Won back, grown, shrunk and lost together: zero on average, if the opening model is right."""
        return sum((self.exact[line] for line in MOVED[1:]), Decimal(0))

    def verdict(self) -> str:
        """One sentence: how much it changed, how sure that is, and what weighs most."""
        way = "rose" if self.change > 0 else "fell" if self.change < 0 else "stayed"
        size = f"by {money(abs(self.change), self.currency)} to" if self.change else "at"
        sure = self.bounds["change"]
        between = "" if sure is None else f" (change {sure[0]:+,.0f} to {sure[1]:+,.0f}, {self.interval:.0%} interval)"
        causes = {"time": self.time} | {line: self.exact[line] for line in (*MOVED, "repriced")}
        largest = sorted(causes, key=lambda cause: -abs(causes[cause]))[:3]
        why = ", ".join(f"{cause} {causes[cause]:+,.2f}" for cause in largest if causes[cause])
        said = f"Customer equity {way} {size} {money(self.exact['closing'], self.currency)}{between}"
        return f"{said}; most of it: {why}." if why else f"{said}."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; amounts as text, so that no digit is lost."""
        return {
            "lines": {line: str(self.exact[line]) for line in LINES},
            "count": dict(zip(self.line.tolist(), self.count.tolist(), strict=True)),
            "bounds": {name: None if bounds is None else list(bounds) for name, bounds in self.bounds.items()},
            "received": None if self.received is None else str(self.received),
            "received_from_new": None if self.received_from_new is None else str(self.received_from_new),
            "expected": self.expected,
            "verdict": self.verdict(),
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the statement as a waterfall from opening to closing, with the bounds of both."""
        ax = axes(ax, size=(8.0, 4.4))
        bars = {"opening": self.exact["opening"], "time": self.time}
        bars |= {line: self.exact[line] for line in (*MOVED, "repriced", "closing")}
        level, levels = 0.0, [0.0]
        for place, (name, exact) in enumerate(bars.items()):
            end, size = name in ("opening", "closing"), float(exact)
            base = 0.0 if end else level
            level = base + size
            levels += [base, level]
            colour = THERE if end else CAME if size >= 0 else LEFT
            ax.bar(place, size, bottom=base, color=colour, width=0.7)
            sure = self.bounds.get(name)
            top = max(base, level)
            if sure is not None:
                reach = [[max(size - sure[0], 0.0)], [max(sure[1] - size, 0.0)]]
                ax.errorbar(place, size, yerr=reach, color="0.15", capsize=4, linewidth=1.2)
                top = max(top, sure[1])
                levels.append(top)
            if name != "closing":
                ax.plot([place + 0.35, place + 0.65], [level, level], color="0.5", linewidth=0.8)
            text = f"{size:,.0f}" if end or not size else f"{size:+,.0f}"
            ax.annotate(text, (place, top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8)
        room = 0.1 * (max(levels) - min(levels)) or 1.0
        ax.set_ylim(min(levels) - (room if min(levels) < 0 else 0), max(levels) + room)
        ax.axhline(0, color="0.2", linewidth=0.8)
        ax.set_xticks(range(len(bars)), [name.replace(" ", "\n") for name in bars])
        ax.yaxis.set_major_formatter(grouped)
        ax.set_ylabel(f"customer equity {self.currency or ''}".strip())
        ax.set_title(f"Customer equity from {self.opened} to {self.closed}")
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def _memo(self) -> list[str]:
        """What stands below the line: cash is no part of the value of what is still to come."""
        lines = []
        for name, bounds in self.bounds.items():
            if bounds is not None:
                lines.append(f"{name}: {bounds[0]:,.0f} to {bounds[1]:,.0f} ({self.interval:.0%} interval)")
        if self.received is not None and self.received_from_new is not None:
            lines.append(
                f"received in between: {money(self.received, self.currency)} from the opening base, of which "
                f"{self.expected:,.2f} was expected; {money(self.received_from_new, self.currency)} from the acquired"
            )
        return lines

    def __repr__(self) -> str:
        lines = [f"<EquityStatement {self.opened} to {self.closed}: {self.verdict()}"]
        lines.append(f"    {'':<18}{'customers':>12} {'value':>20}")
        for line, count in zip(self.line.tolist(), self.count.tolist(), strict=True):
            sign = {"opening": " ", "closing": "="}.get(line, "+")
            lines.append(f"  {sign} {line:<18}{count:>12,} {money(self.exact[line], self.currency):>20}")
        return "\n".join([*lines, *(f"  {text}" for text in self._memo())]) + ">"

    def _repr_html_(self) -> str:
        rows = [
            (line, f"{count:,}", money(self.exact[line]))
            for line, count in zip(self.line.tolist(), self.count.tolist(), strict=True)
        ]
        head = ("", "customers", f"value {self.currency or ''}".strip())
        return html_table(self.verdict(), head, rows, notes=[*self._memo(), *self.provenance.notes])
