"""Situations made by hand and by chance, with ids that try to break things."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from retention.domain import Action, Consent, Tier, Touch
from retention.histories import Histories
from retention.plan import Proposals, Situation
from retention.records import Consents, Touches
from retention.tiers.tiering import Tiering
from retention.timing.outlook import Outlook
from retention.value.valuation import Valuation

DAY = dt.date(2011, 12, 1)
NASTY = ("=cmd|' /c calc'!A0", "<script>alert(1)</script>", "@SUM(1)", "-7", "+7", "Zoë", "田中", 'a,b\n"c"', "'", "🛒")
CHANNELS = ("phone", "email", "post", "in person")


def _tables(
    ids: list[str], as_of: dt.date = DAY, *, age_days: Any = 400.0, currency: str | None = None, **given: Any
) -> tuple[Histories, Valuation, Outlook, Tiering]:
    """The four tables of a base; what is not given is a regular customer of no special interest."""
    n, today = len(ids), np.datetime64(as_of, "D")

    def column(name: str, default: Any, dtype: Any = np.float64) -> np.ndarray:
        return np.broadcast_to(np.asarray(given.pop(name, default), dtype=dtype), (n,)).copy()

    frequency = column("frequency", 10, np.int64)
    idle = column("idle_days", 10.0)
    age = np.broadcast_to(np.asarray(age_days, dtype=np.float64), (n,))
    histories = Histories.from_arrays(
        customer_id=ids,
        frequency=frequency,
        recency_days=np.where(frequency > 0, np.maximum(age - idle, 1.0), 0.0),
        age_days=age,
        orders=column("orders", 11, np.int64),
        as_of=as_of,
        currency=currency,
    )
    margin, p_alive = column("expected_margin", 100.0), column("p_alive", 0.9)
    value, zero = column("value", margin), np.zeros(n)
    valuation = Valuation(
        customer_id=histories.customer_id,
        p_alive=p_alive,
        expected_purchases=np.ones(n),
        margin_mean=np.ones(n),
        expected_margin=margin,
        value=value,
        value_low=zero,
        value_high=2 * value,
        model="by hand",
        horizon_days=given.pop("horizon_days", 365.0),
        discount_rate=0.0,
        interval=0.9,
        currency=currency,
    )
    outlook = Outlook(
        customer_id=histories.customer_id,
        usual_gap_days=column("usual_gap_days", 10.0),
        gap_low_days=column("gap_low_days", 9.0),
        gap_high_days=column("gap_high_days", 12.0),
        idle_days=idle,
        silence_probability=column("silence_probability", 0.5),
        overdue=column("overdue", False, np.bool_),
        stage=column("stage", "no cycle", np.str_),
        p_leaves=column("p_leaves", 0.1),
        p_alive=p_alive,
        next_due_at=np.full(n, today),
        window_opens_at=today + column("opens_in", 0, "timedelta64[D]"),
        window_closes_at=today + column("closes_in", 7, "timedelta64[D]"),
        margin_per_day=column("margin_per_day", 0.3),
        at_risk_per_day=column("at_risk_per_day", 0.0),
        tail=0.05,
    )
    tiering = Tiering(
        customer_id=histories.customer_id,
        tier=np.full(n, "silver"),
        rank=np.zeros(n, dtype=np.int64),
        score=column("score", margin),
        next_tier=np.full(n, "gold"),
        to_next=column("to_next", 0.0),
        tiers=(Tier(name="silver", rank=0, floor=0.0), Tier(name="gold", rank=1, floor=500.0)),
        rule="by hand",
    )
    assert not given, f"no such columns: {sorted(given)}"
    return histories, valuation, outlook, tiering


def _tables_by_chance(ids: list[str], seed: int, as_of: dt.date = DAY) -> tuple[Histories, Valuation, Outlook, Tiering]:
    """A base in which every strategy finds somebody, often several for one customer."""
    rng, n = np.random.default_rng(seed), len(ids)
    overdue = rng.random(n) < 0.5
    margin = np.round(rng.lognormal(4.0, 1.5, n), 2)
    return _tables(
        ids,
        as_of,
        frequency=rng.integers(0, 5, n),
        idle_days=rng.integers(1, 300, n).astype(float),
        orders=rng.integers(1, 4, n),
        expected_margin=margin,
        p_alive=rng.choice([0.0, 0.04, 0.3, 0.6, 0.99], n),
        overdue=overdue,
        at_risk_per_day=np.where(overdue, margin / 365 * rng.random(n), 0.0),
        to_next=np.where(rng.random(n) < 0.7, margin * 0.2 * rng.random(n), 0.0),
        opens_in=rng.integers(-40, 40, n),
        closes_in=rng.integers(-30, 60, n),
    )


@st.composite
def _ids(draw: st.DrawFn, most: int = 12) -> list[str]:
    plain = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
        str.strip
    )
    return draw(st.lists(st.sampled_from(NASTY) | plain, unique=True, max_size=most))


@st.composite
def _situations(draw: st.DrawFn) -> Situation:
    ids = draw(_ids())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    who = [*ids, "a stranger"]
    touches = [
        Touch(
            customer_id=str(rng.choice(who)),
            at=DAY - dt.timedelta(days=int(rng.integers(1, 60))),
            channel=str(rng.choice(CHANNELS)),
            direction=str(rng.choice(["out", "in"])),  # type: ignore[arg-type]
        )
        for _ in range(draw(st.integers(0, 15)))
    ]
    consents = [
        Consent(
            customer_id=str(rng.choice(who)),
            channel=str(rng.choice(CHANNELS)),
            purpose=str(rng.choice(["marketing", "marketing", "survey"])),
            granted=bool(rng.random() < 0.7),
            at=None if rng.random() < 0.2 else DAY - dt.timedelta(days=int(rng.integers(-3, 10))),
        )
        for _ in range(draw(st.integers(0, 40)))
    ]
    some = st.sets(st.sampled_from(who), max_size=3).map(frozenset)
    histories, valuation, outlook, tiering = _tables_by_chance(ids, draw(st.integers(0, 2**32 - 1)))
    return Situation(
        as_of=DAY,
        histories=histories,
        valuation=valuation,
        outlook=outlook,
        tiering=tiering,
        touches=Touches.of(touches),
        consents=draw(st.sampled_from([None, Consents.of(consents), Consents.of(consents)])),
        open_complaints=draw(some),
        do_not_contact=draw(some),
    )


def _situation(tables: tuple[Histories, Valuation, Outlook, Tiering], **known: Any) -> Situation:
    histories, valuation, outlook, tiering = tables
    assert histories.as_of is not None
    return Situation(
        as_of=histories.as_of, histories=histories, valuation=valuation, outlook=outlook, tiering=tiering, **known
    )


def _proposals(situation: Situation, offers: list[tuple[int, Action, float]]) -> Proposals:
    """Proposals of (position in the base, action, gain)."""
    actions = tuple(dict.fromkeys(action for _, action, _ in offers))
    rows = np.asarray([row for row, _, _ in offers], dtype=np.int64)
    gain = np.asarray([gain for _, _, gain in offers], dtype=np.float64)
    today = np.full(len(rows), np.datetime64(situation.as_of, "D"))
    return Proposals(
        customer_id=situation.customer_id[rows],
        base_row=rows,
        action=np.asarray([actions.index(action) for _, action, _ in offers], dtype=np.int64),
        gain=gain,
        gain_sd=gain / 2,
        opens=today,
        closes=today,
        strategy=np.full(len(rows), "by hand"),
        reason=np.full(len(rows), "because"),
        evidence=np.full(len(rows), "assumption"),
        actions=actions,
    )


@pytest.fixture(scope="session")
def shop() -> SimpleNamespace:
    """All of the above by name."""
    return SimpleNamespace(
        day=DAY,
        nasty=NASTY,
        tables=_tables,
        tables_by_chance=_tables_by_chance,
        ids=_ids,
        situation=_situation,
        situations=_situations,
        proposals=_proposals,
        everyone_consents=_everyone_consents,
    )


def _everyone_consents(ids: list[str]) -> Consents:
    return Consents.of([Consent(customer_id=i, channel=c) for i in ids for c in CHANNELS])
