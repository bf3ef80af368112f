"""Strategies for the tables with one row a customer: histories, valuation, outlook, tiering.

Each customer is drawn whole, as one row with all that any table says of her: so that what is drawn shrinks by leaving
customers out.
"""

import datetime as dt
import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from retention.domain import Tier
from retention.histories import Habits, Histories, summarize
from retention.records import TransactionLog
from retention.testing.samples import even_gaps
from retention.testing.strategies.logs import transaction_logs
from retention.testing.strategies.words import names, shares
from retention.tiers.tiering import Tiering
from retention.timing.cycle import NO_CYCLE, STAGES
from retention.timing.outlook import Outlook
from retention.value.valuation import Valuation

__all__ = ["histories", "habits", "valuations", "outlooks", "tierings", "attribute_columns"]

Row = tuple[Any, ...]


def columns(rows: list[Row], width: int) -> list[list[Any]]:
    """Rows as columns, also when there are none."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def as_days(values: Any) -> "NDArray[np.timedelta64]":
    """Whole days as spans of time."""
    return np.asarray(values, dtype=np.int64).astype("timedelta64[D]")


def histories(
    *,
    min_size: int = 0,
    max_size: int = 30,
    max_frequency: int = 400,
    max_days: int = 4_000,
    as_of: dt.date | None = None,
    currency: str | None = None,
) -> st.SearchStrategy[Histories]:
    """Bases that can exist: whole days, at most one purchase day a day, returns that outweigh sales now and then.

    With ``as_of`` the customers have ids of any script and days of their first and last purchase; without they are
    ``c0, c1, ...`` on no particular day. Use it with ``@given(base=histories())``.
    """
    row = history_rows(max_frequency, max_days)
    if as_of is None:
        rows = st.lists(row, min_size=min_size, max_size=max_size)
        return rows.map(lambda drawn: base_of(None, drawn, None, currency))
    named = st.lists(st.tuples(names(), row), min_size=min_size, max_size=max_size, unique_by=lambda one: one[0])
    return named.map(lambda drawn: base_of([who for who, _ in drawn], [told for _, told in drawn], as_of, currency))


def history_rows(max_frequency: int, max_days: int) -> st.SearchStrategy[Row]:
    """Repeat purchase days, days from the first to the last, days from the first to today, mean margin."""

    def possible(age: int, often: int, later: int, cents: int) -> Row:
        frequency = min(often, age)
        recency = frequency + later % (age - frequency + 1) if frequency else 0
        return frequency, float(recency), float(age), cents / 100 if frequency else 0.0

    return st.builds(
        possible,
        st.integers(0, max_days),
        st.integers(0, max_frequency),
        st.integers(0, max_days),
        st.integers(-20_000, 500_000),
    )


def base_of(ids: list[str] | None, rows: list[Row], as_of: dt.date | None, currency: str | None) -> Histories:
    """Drawn rows as a base; they stand in the order of the ids."""
    known: dict[str, Any] = {}
    if ids is not None:
        order = np.argsort(np.asarray(ids, dtype=np.str_), kind="stable")
        ids, rows = [ids[i] for i in order], [rows[i] for i in order]
        known["customer_id"] = ids
    frequency, recency, age, margin_mean = columns(rows, 4)
    if as_of is not None:
        known["first_at"] = np.datetime64(as_of, "D") - as_days(age)
        known["last_at"] = known["first_at"] + as_days(recency)
    return Histories.from_arrays(
        frequency=frequency,
        recency_days=recency,
        age_days=age,
        margin_mean=margin_mean,
        margin=[(count + 1) * mean for count, mean in zip(frequency, margin_mean, strict=True)],
        as_of=as_of,
        currency=currency,
        **known,
        **even_gaps(frequency, recency),
    )


def habits(*, max_size: int = 30) -> st.SearchStrategy[Habits]:
    """Habits of customers, as a log of at most ``max_size`` lines shows them."""

    def of(log: TransactionLog) -> Habits:
        found: Habits | None = summarize(log, as_of=dt.date(2013, 1, 1)).habits
        assert found is not None
        return found

    return transaction_logs(max_size=max_size).map(of)


def _for(base: Histories | None, row: st.SearchStrategy[Row], made: Any) -> Any:
    """A table for a base: rows of its length; for no base, a base and its rows drawn together."""
    if base is not None:
        return st.lists(row, min_size=len(base), max_size=len(base)).map(lambda rows: made(base, rows))
    both = st.lists(st.tuples(history_rows(40, 1500), row), max_size=8)
    return both.map(lambda drawn: made(base_of(None, [h for h, _ in drawn], None, None), [r for _, r in drawn]))


def valuations(base: Histories | None = None) -> st.SearchStrategy[Valuation]:
    """What these customers (None: some) are worth by no model at all: any numbers that keep the table's promises.

    Purchases are zero or more, margins may be losses, discounting never adds, and the lower bound is not the higher.
    """
    made: st.SearchStrategy[Valuation] = _for(base, WORTH, worth_of)
    return made


WORTH = st.tuples(shares(), st.integers(0, 5_000), st.integers(-5_000, 50_000), shares(), shares(), shares())


def worth_of(base: Histories, rows: list[Row]) -> Valuation:
    """Drawn rows as a valuation."""
    alive, buys, cents, discount, below, above = (np.asarray(c, dtype=np.float64) for c in columns(rows, 6))
    purchases, margin = buys / 100, cents / 100
    expected = purchases * margin
    value = expected * (1 - discount / 2)
    return Valuation(
        customer_id=base.customer_id,
        p_alive=alive,
        expected_purchases=purchases,
        margin_mean=margin,
        expected_margin=expected,
        value=value,
        value_low=value - np.abs(value) * below,
        value_high=value + np.abs(value) * above * 2,
        model="drawn",
        horizon_days=365.0,
        discount_rate=0.10,
        interval=0.90,
        currency=base.currency,
    )


def outlooks(base: Histories | None = None) -> st.SearchStrategy[Outlook]:
    """When these customers (None: some) are due: any numbers and days that agree with each other.

    Days are NaT where the base has no day of a last purchase; a window opens before it closes and may lie in the past.
    """
    made: st.SearchStrategy[Outlook] = _for(base, WHEN, outlook_of)
    return made


_GAP = st.integers(1, 2_000)
WHEN = st.tuples(
    _GAP, _GAP, _GAP, shares(), st.sampled_from((NO_CYCLE, *STAGES)), shares(), shares(),
    st.integers(-60, 400), st.integers(0, 60), st.integers(0, 5_000),
)  # fmt: skip


def outlook_of(base: Histories, rows: list[Row]) -> Outlook:
    """Drawn rows as an outlook."""
    low, more, most, silence, stage, alive, leaves, opens, lasts, cents = (
        np.asarray(c) if c else np.zeros(0) for c in columns(rows, 10)
    )
    opens_at = base.last_at + as_days(base.idle_days) + as_days(opens)
    overdue = (silence <= 0.05) & (base.frequency >= 2)
    per_day = cents / 100
    return Outlook(
        customer_id=base.customer_id,
        usual_gap_days=(low + more).astype(np.float64),
        gap_low_days=low.astype(np.float64),
        gap_high_days=(low + more + most).astype(np.float64),
        idle_days=base.idle_days,
        silence_probability=silence,
        overdue=overdue,
        stage=stage.astype(np.str_),
        p_alive=alive,
        p_leaves=leaves,
        next_due_at=opens_at + as_days(lasts // 2),
        window_opens_at=opens_at,
        window_closes_at=opens_at + as_days(lasts),
        margin_per_day=per_day,
        at_risk_per_day=np.where(overdue, per_day * alive, 0.0),
        tail=0.05,
        currency=base.currency,
    )


def tierings(base: Histories | None = None, *, max_tiers: int = 4) -> st.SearchStrategy[Tiering]:
    """One to ``max_tiers`` tiers with rising floors, and for each customer a score, and the tier it earns."""
    steps = tier_steps(max_tiers)
    table = _for(base, SCORE, lambda of, rows: (of, rows))
    return st.builds(lambda drawn, ladder: tiering_of(drawn[0], drawn[1], ladder), table, steps)


SCORE = st.tuples(st.integers(-10_000, 100_000))


def tier_steps(max_tiers: int) -> st.SearchStrategy[list[Row]]:
    """Names of tiers from the lowest up, and how much higher in cents each lies than the one before."""
    step = st.tuples(names(), st.integers(1, 20_000))
    return st.lists(step, min_size=1, max_size=max_tiers, unique_by=lambda one: one[0])


def tiering_of(base: Histories, rows: list[Row], steps: list[Row]) -> Tiering:
    """Drawn scores in drawn tiers."""
    called, rises = columns(steps, 2)
    floors = np.asarray([-math.inf, *(np.cumsum(rises[1:]) / 100)])
    score = np.asarray(columns(rows, 1)[0], dtype=np.float64) / 100
    rank = np.searchsorted(floors, score, side="right") - 1
    labels = np.asarray([*called, ""], dtype=np.str_)
    above = np.append(floors[1:], math.inf)[rank]
    return Tiering(
        customer_id=base.customer_id,
        tier=labels[rank],
        rank=rank.astype(np.int64),
        score=score,
        next_tier=labels[rank + 1],
        to_next=np.where(rank == len(called) - 1, 0.0, above - score),
        tiers=tuple(Tier(name=name, rank=i, floor=float(floors[i])) for i, name in enumerate(called)),
        rule="drawn",
    )


def attribute_columns(size: int, *, max_columns: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """What else is known of ``size`` customers: columns of numbers, flags or text by name, without holes."""
    return COLUMNS.map(lambda drawn: columns_of(drawn[:max_columns], size))


_VALUES = (st.integers(-1000, 1000), st.booleans(), names(), st.floats(-1e6, 1e6))
COLUMNS = st.lists(
    st.tuples(names(), st.one_of(*(st.lists(one, min_size=1, max_size=4) for one in _VALUES))),
    max_size=3,
    unique_by=lambda one: one[0],
)


def columns_of(drawn: list[Row], size: int) -> dict[str, Any]:
    """Drawn values, in turn, for every customer."""
    return {name: np.asarray([values[i % len(values)] for i in range(size)]) for name, values in drawn}
