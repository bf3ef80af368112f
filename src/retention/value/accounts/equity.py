"""From what the base was worth to what it is worth, by cause, to the cent."""

import datetime as dt
import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn, IntColumn, Provenance
from retention.histories import Histories
from retention.records.money import Amounts
from retention.value.accounts.equity_result import LINES, MOVED, TIME, EquityCustomers, EquityStatement
from retention.value.purchases.fitted import FittedPurchases
from retention.value.valuation import FittedValueModel, Valuation

__all__ = ["equity_statement"]

_CENTS = 2


def equity_statement(
    opening: Valuation,
    closing: Valuation,
    *,
    opening_base: Histories,
    closing_base: Histories,
    opening_model: FittedValueModel,
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

    The bounds of opening and closing are the valuations' ``total_bounds``, of the margin that will be realised (None
    where a model offers none, or where a valuation is a part of one). Those of the change take the two as independent
    (Zou & Donner 2008, Statistics in Medicine 27, 1693-1702); they share customers, parameters and days, so the
    interval is too wide rather than too narrow.

    Args:
        opening: valuation of ``opening_base`` by ``opening_model``.
        closing: valuation of ``closing_base``, with the same horizon, discount rate, interval and currency.
        opening_base: the base on the opening day.
        closing_base: the base on the closing day.
        opening_model: the fitted model behind ``opening``.
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
    due = _expected(opening_model, opening_base, days, opening.discount_rate)
    through = _expected(opening_model, opening_base, days + opening.horizon_days, opening.discount_rate)
    again = _expected(opening_model, closing_base, opening.horizon_days, opening.discount_rate)
    still = opening_model.p_alive(closing_base)
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
            (then, nearer * (opening.value - due)),
            (then, nearer * (through - due)),
            (now, again),
            (now, closing.value),
        )
    ]
    moved = stages[4] - stages[3]
    was = known & (spread(then, opening.p_alive) >= gone_below)
    is_now = here & (spread(now, still) >= gone_below)
    cause = np.select(
        [~known, was & ~is_now | ~here, ~was & is_now, moved > 0, moved < 0],
        ["acquired", "lost", "won back", "grown", "shrunk"],
        "unchanged",
    )
    changes = (after - before for before, after in pairwise(stages))
    steps = dict(zip((*TIME, "moved", "repriced"), changes, strict=True))
    minor = {"opening": stages[0], **{line: steps[line] for line in TIME}}
    minor |= {line: np.where(cause == line, moved, 0) for line in MOVED}
    minor |= {"repriced": steps["repriced"], "closing": stages[5]}
    behind = dict.fromkeys(("opening", *TIME), known) | {line: cause == line for line in MOVED}
    behind |= {"repriced": here, "closing": here}
    exact = {line: Amounts(minor[line], _CENTS).total() for line in LINES}

    received = expected = None
    if np.any(opening_base.margin) or np.any(closing_base.margin):
        came = spread(now, closing_base.margin) - spread(then, opening_base.margin)
        received = np.zeros(len(who), dtype=np.int64)
        for part in (known, ~known):  # each has a total of its own
            received[part] = _cents(came[part])
        expected = float(_expected(opening_model, opening_base, days, 0.0).sum())
    notes = list(_notes(opening_base, closing_base, known & ~here, received is not None, gone_below))
    bounds = {"opening": opening.total_bounds, "closing": closing.total_bounds}
    if None in bounds.values():
        notes.append("no interval: the total of a valuation has no bounds")
    return EquityStatement(
        line=np.asarray(LINES),
        count=np.asarray([int(behind[line].sum()) for line in LINES]),
        amount=np.asarray([float(exact[line]) for line in LINES]),
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
        expected=expected,
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


def _expected(model: FittedValueModel, base: Histories, days: float, rate: float) -> FloatColumn:
    """Discounted margin expected of each customer; without bounds, where the model can do without."""
    if isinstance(model, FittedPurchases):
        return model.expected_value(base, horizon_days=days, discount_rate=rate)
    return model.value(base, horizon_days=days, discount_rate=rate).value


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
    told = _expected(model, opening_base[some], opening.horizon_days, opening.discount_rate)
    if not np.allclose(told, opening.value[some], rtol=1e-6, atol=1e-9):
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
