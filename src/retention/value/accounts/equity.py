"""The customer equity statement: from what the base was worth to what it is worth, by cause, to the cent."""

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.errors import ConfigError, ModelError, RetentionError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.histories import Histories
from retention.lenses._showing import CAME, LEFT, THERE, grouped, html_table, money
from retention.records.money import Amounts
from retention.value.valuation import FittedValueModel, Valuation

__all__ = ["equity_statement", "EquityStatement", "EquityCustomers"]

_TIME = ("discount unwound", "fell due", "horizon moved")
_MOVED = ("acquired", "won back", "grown", "shrunk", "lost")
_LINES = ("opening", *_TIME, *_MOVED, "repriced", "closing")
_CENTS = 2


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
        if sum((self.exact[line] for line in _LINES[:-1]), Decimal(0)) != self.exact["closing"]:
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
        return sum((self.exact[line] for line in _TIME), Decimal(0))

    @property
    def surprise(self) -> Decimal:
        """Won back, grown, shrunk and lost together: zero on average, if the opening model is right."""
        return sum((self.exact[line] for line in _MOVED[1:]), Decimal(0))

    def verdict(self) -> str:
        """One sentence: how much it changed, how sure that is, and what weighs most."""
        way = "rose" if self.change > 0 else "fell" if self.change < 0 else "stayed"
        size = f"by {money(abs(self.change), self.currency)} to" if self.change else "at"
        sure = self.bounds["change"]
        between = "" if sure is None else f" (change {sure[0]:+,.0f} to {sure[1]:+,.0f}, {self.interval:.0%} interval)"
        causes = {"time": self.time} | {line: self.exact[line] for line in (*_MOVED, "repriced")}
        largest = sorted(causes, key=lambda cause: -abs(causes[cause]))[:3]
        why = ", ".join(f"{cause} {causes[cause]:+,.2f}" for cause in largest if causes[cause])
        said = f"Customer equity {way} {size} {money(self.exact['closing'], self.currency)}{between}"
        return f"{said}; most of it: {why}." if why else f"{said}."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; amounts as text, so that no digit is lost."""
        return {
            "lines": {line: str(self.exact[line]) for line in _LINES},
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
        bars |= {line: self.exact[line] for line in (*_MOVED, "repriced", "closing")}
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


def equity_statement(
    opening: Valuation,
    closing: Valuation,
    *,
    opening_base: Histories,
    closing_base: Histories,
    opening_model: FittedValueModel,
    closing_model: FittedValueModel | None = None,
    gone_below: float = 0.5,
) -> EquityStatement:
    """How customer equity went from one day to the other, by cause, so that the causes sum to the change.

    Customer equity is the sum of the values of all customers within the valuations' horizon (365 days, say), which
    moves along with the day. The change of each customer's value is told in this order:

    1. *Time*, the part that was to be expected, told by the opening model on the opening day. ``discount unwound``:
       what lay ahead is nearer. ``fell due``: the margin expected within the period, which is no longer to come.
       ``horizon moved``: the days that the horizon gained at its far end. After these three lines stands what the
       opening model expected, on the opening day, of her value on the closing day.
    2. *What she did*: her history of the closing day valued by the opening model, less that expectation. If the model
       is right this is zero on average, for good news and bad. It is posted by customer, whole and whatever its sign:

       - ``acquired``: not in the opening base. All of her value counts here;
       - ``won back``: P(alive) below ``gone_below`` on the opening day, at or above it on the closing day;
       - ``lost``: the other way round, or no longer in the base (her purchases were undone);
       - ``grown`` or ``shrunk``: all others, by the sign of their change.

       P(alive) is the opening model's on both days, so nobody is lost or won back by a new fit.
    3. ``repriced``: the closing valuation less the closing base at the opening model: other parameters, same histories.

    Losing and winning go by P(alive) and not by purchases in the period, since a customer who buys twice a year is
    not lost for a silent quarter. Where a model lets nobody leave before a repeat purchase (BG/NBD), customers with one
    purchase are never lost: their fading is in ``shrunk``.

    Values are rounded to the cent by largest remainder over the customers at each stage: each customer is within a
    cent, and customers, lines and the totals of both valuations agree exactly.

    The bounds of opening and closing are the models' ``total_interval``, for the margin that will be realised. Those of
    the change take the two as independent (Zou & Donner 2008, Statistics in Medicine 27, 1693-1702); they
    share customers, parameters and days, so the interval is too wide rather than too narrow.

    Args:
        opening: valuation of ``opening_base`` by ``opening_model``.
        closing: valuation of ``closing_base``, with the same horizon, discount rate, interval and currency.
        opening_base: the base on the opening day.
        closing_base: the base on the closing day.
        opening_model: the fitted model behind ``opening``.
        closing_model: the fitted model behind ``closing``, for the bounds; without it they are None.
        gone_below: the P(alive) below which a customer counts as gone.

    Raises ConfigError if the four do not belong together, ModelError if a value is not finite.

    Example:
        >>> from retention.value import BGNBD, appraise
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
        >>> before = Histories.from_arrays(customer_id=["a", "b"], frequency=[9, 2], recency_days=[180, 100],
        ...                                age_days=[190, 110], margin_mean=[20, 30], as_of=dt.date(2011, 6, 1))
        >>> after = Histories.from_arrays(customer_id=["a", "b", "c"], frequency=[9, 6, 0], recency_days=[180, 280, 0],
        ...                               age_days=[373, 293, 30], margin_mean=[20, 30, 0], as_of=dt.date(2011, 12, 1))
        >>> statement = equity_statement(appraise(before, model), appraise(after, model), opening_base=before,
        ...                              closing_base=after, opening_model=model)
        >>> statement.customers.cause.tolist(), statement.exact["repriced"]
        (['lost', 'grown', 'acquired'], Decimal('0.00'))
        >>> statement.exact["opening"] + statement.change == statement.exact["closing"]
        True
    """
    days = _checked(opening, closing, opening_base, closing_base, opening_model, gone_below)
    question = {"discount_rate": opening.discount_rate, "interval": opening.interval}
    due = opening_model.value(opening_base, horizon_days=days, **question)
    through = opening_model.value(opening_base, horizon_days=days + opening.horizon_days, **question)
    again = opening_model.value(closing_base, horizon_days=opening.horizon_days, **question)
    nearer = (1 + opening.discount_rate) ** (days / 365.0)

    who = np.union1d(opening.customer_id, closing.customer_id)
    then, now = (np.searchsorted(who, ids) for ids in (opening.customer_id, closing.customer_id))
    known, here = np.isin(who, opening.customer_id), np.isin(who, closing.customer_id)

    def spread(at: NDArray[np.int64], values: FloatColumn) -> FloatColumn:
        filled = np.zeros(len(who))
        filled[at] = values
        return filled

    stages = [
        _cents(spread(at, values))
        for at, values in (
            (then, opening.value),
            (then, nearer * opening.value),
            (then, nearer * (opening.value - due.value)),
            (then, nearer * (through.value - due.value)),
            (now, again.value),
            (now, closing.value),
        )
    ]
    moved = stages[4] - stages[3]
    was = known & (spread(then, opening.p_alive) >= gone_below)
    is_now = here & (spread(now, again.p_alive) >= gone_below)
    cause = np.select(
        [~known, was & ~is_now | ~here, ~was & is_now, moved > 0, moved < 0],
        ["acquired", "lost", "won back", "grown", "shrunk"],
        "unchanged",
    )
    changes = (after - before for before, after in pairwise(stages))
    steps = dict(zip((*_TIME, "moved", "repriced"), changes, strict=True))
    minor = {"opening": stages[0], **{line: steps[line] for line in _TIME}}
    minor |= {line: np.where(cause == line, moved, 0) for line in _MOVED}
    minor |= {"repriced": steps["repriced"], "closing": stages[5]}
    behind = dict.fromkeys(("opening", *_TIME), known) | {line: cause == line for line in _MOVED}
    behind |= {"repriced": here, "closing": here}
    exact = {line: Amounts(minor[line], _CENTS).total() for line in _LINES}

    received = None
    if np.any(opening_base.margin) or np.any(closing_base.margin):
        came = spread(now, closing_base.margin) - spread(then, opening_base.margin)
        received = np.zeros(len(who), dtype=np.int64)
        for part in (known, ~known):  # each has a total of its own
            received[part] = _cents(came[part])
    notes = list(_notes(opening_base, closing_base, known & ~here, received is not None, gone_below))
    bounds: dict[str, tuple[float, float] | None] = {
        "opening": _total_interval(opening_model, opening_base, opening),
        "closing": None if closing_model is None else _total_interval(closing_model, closing_base, closing),
    }
    if None in bounds.values():
        notes.append("no interval: a model without total_interval, or no closing_model given")
    return EquityStatement(
        line=np.asarray(_LINES),
        count=np.asarray([int(behind[line].sum()) for line in _LINES]),
        amount=np.asarray([float(exact[line]) for line in _LINES]),
        customers=EquityCustomers(
            customer_id=who,
            cause=cause,
            opening=_money(stages[0]),
            time=_money(stages[3] - stages[0]),
            moved=_money(moved),
            repriced=_money(steps["repriced"]),
            closing=_money(stages[5]),
            received=None if received is None else _money(received),
            provenance=closing.provenance,
        ),
        exact=exact,
        bounds=bounds | {"change": _difference(bounds["opening"], bounds["closing"], opening.total(), closing.total())},
        received=None if received is None else Amounts(received, _CENTS).total(known),
        received_from_new=None if received is None else Amounts(received, _CENTS).total(~known),
        expected=None if received is None else float(due.expected_margin.sum()),
        opened=_day(opening_base),
        closed=_day(closing_base),
        horizon_days=opening.horizon_days,
        interval=opening.interval,
        gone_below=float(gone_below),
        currency=opening.currency,
        provenance=Provenance(
            as_of=closing.provenance.as_of,
            data=closing.provenance.data,
            model=closing.model,
            parameters={"opening": opening.provenance.to_dict(), "closing": closing.provenance.to_dict()},
            version=closing.provenance.version,
            notes=tuple(dict.fromkeys([*notes, *opening.provenance.notes, *closing.provenance.notes])),
        ),
    )


def _cents(values: FloatColumn) -> IntColumn:
    """Whole cents within one of the values, whose sum is the sum of the values to the nearest cent; the cents that are
    left after rounding down go to the largest remainders, the first of equals first."""
    if not np.all(np.isfinite(values)) or (len(values) and float(np.max(np.abs(values))) > 2.0**53 / 100):
        raise ModelError(
            "a value that is not finite, or beyond what cents can hold",
            rule="customer equity is a sum of finite values",
            remedy="look at the fit: its diagnosis says what the data do not tell",
        )
    scaled = values * 10.0**_CENTS
    whole = np.floor(scaled)
    cents = whole.astype(np.int64)
    missing = round(math.fsum(scaled)) - int(cents.sum())
    cents[np.argsort(whole - scaled, kind="stable")[:missing]] += 1
    return cents


def _money(cents: IntColumn) -> FloatColumn:
    return Amounts(cents, _CENTS).to_float()


def _total_interval(model: FittedValueModel, base: Histories, valuation: Valuation) -> tuple[float, float] | None:
    """The bounds of the total, if the model offers them."""
    rule = getattr(model, "total_interval", None)
    if rule is None:
        return None
    low, high = rule(
        base,
        horizon_days=valuation.horizon_days,
        discount_rate=valuation.discount_rate,
        interval=valuation.interval,
    )
    return float(low), float(high)


def _difference(
    old: tuple[float, float] | None, new: tuple[float, float] | None, before: float, after: float
) -> tuple[float, float] | None:
    """Bounds of a difference from the bounds of both, each side in its own length."""
    if old is None or new is None:
        return None
    change = after - before
    return change - math.hypot(after - new[0], old[1] - before), change + math.hypot(new[1] - after, before - old[0])


def _day(base: Histories) -> dt.date:
    assert base.as_of is not None  # checked with all the rest
    return base.as_of


def _checked(
    opening: Valuation,
    closing: Valuation,
    opening_base: Histories,
    closing_base: Histories,
    model: FittedValueModel,
    gone_below: float,
) -> float:
    """The days between, or one clear error."""
    for name, valuation, base in (("opening", opening, opening_base), ("closing", closing, closing_base)):
        if not np.array_equal(valuation.customer_id, base.customer_id):
            raise ConfigError(
                f"an {name} valuation of {len(valuation):,} customers for a base of {len(base):,}",
                rule=f"the {name} valuation is that of the {name} base, row by row",
                remedy=f"pass what appraise made of {name}_base",
            )
    if opening_base.as_of is None or closing_base.as_of is None or opening_base.as_of >= closing_base.as_of:
        raise ConfigError(
            f"bases of {opening_base.as_of} and {closing_base.as_of}",
            rule="the closing day lies after the opening day, and both are known",
            remedy="summarize the log with two as_of days",
        )
    for what in ("horizon_days", "discount_rate", "interval", "currency"):
        mine, theirs = getattr(opening, what), getattr(closing, what)
        if mine != theirs:
            raise ConfigError(
                f"opening {what}={mine!r}, closing {what}={theirs!r}",
                rule="both valuations ask the same question in the same currency",
                remedy=f"appraise both with one {what}",
            )
    if not 0 < gone_below < 1:
        raise ConfigError(
            f"gone_below={gone_below!r}", rule="a probability between 0 and 1", remedy="0.5: more likely gone than not"
        )
    if not isinstance(model, FittedValueModel):
        raise ConfigError(
            f"opening_model of type {type(model).__name__}",
            rule="the opening model values the closing base, so it has its parameters already",
            remedy="pass the fitted model that opening was appraised with",
        )
    some = slice(0, 64)
    told = model.value(
        opening_base[some],
        horizon_days=opening.horizon_days,
        discount_rate=opening.discount_rate,
        interval=opening.interval,
    )
    if not np.allclose(told.value, opening.value[some], rtol=1e-6, atol=1e-9):
        raise ConfigError(
            "an opening_model that does not give the opening valuation",
            rule="the opening model is the one that made the opening valuation",
            remedy="keep the fitted model: model = BGNBD().fit(base); appraise(base, model)",
        )
    return float((closing_base.as_of - opening_base.as_of).days)


def _notes(
    opening_base: Histories, closing_base: Histories, struck: NDArray[np.bool_], margins: bool, gone_below: float
) -> list[str]:
    notes = [f"gone means P(alive) below {gone_below:g} by the opening model; she may yet come back"]
    if struck.any():
        notes.append(f"{int(struck.sum()):,} customers of the opening base have no purchase left: they are in lost")
    fresh = ~np.isin(closing_base.customer_id, opening_base.customer_id)
    late = int(np.sum(closing_base.first_at[fresh] <= np.datetime64(_day(opening_base), "D")))
    if late:
        notes.append(f"{late:,} of the acquired first bought by the opening day: records that came late")
    if not margins:
        notes.append("the bases carry no margins: what was received in between is not known")
    return notes
