"""The promises of a plan, over situations made by chance."""

import datetime as dt
from collections import Counter, defaultdict
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.domain import Touch
from retention.plan import Budget, check, make_plan, plan_for
from retention.records import Touches

budgets = st.builds(
    Budget,
    money=st.sampled_from([0.0, 1.5, 3.3, 10.0, 1e6, None]),
    hours=st.sampled_from([0.0, 0.05, 0.1, 0.7, 40.0, None]),
)


@given(data=st.data(), budget=budgets, holdout=st.sampled_from([0.0, 0.3, 0.9]), seed=st.integers(0, 5))
@settings(max_examples=150)
def test_a_plan_keeps_every_rule_whatever_the_situation(data, shop, budget, holdout, seed):
    situation = data.draw(shop.situations())
    plan = plan_for(situation, budget=budget, holdout=holdout, seed=seed)
    assert check(plan, situation) == []


@given(data=st.data(), budget=budgets)
@settings(max_examples=150)
def test_nobody_is_contacted_against_her_will_or_while_she_waits_for_an_answer(data, shop, budget):
    situation = data.draw(shop.situations())
    plan = plan_for(situation, budget=budget, holdout=0.0)
    needs = {a.name: a.needs_consent for a in plan.actions}
    for who, action, channel in zip(
        plan.contacts.customer_id, plan.contacts.action, plan.contacts.channel, strict=True
    ):
        assert who not in situation.do_not_contact
        assert who not in situation.open_complaints
        if needs[action]:
            c = situation.consents
            assert c is not None
            mine = (c.customer_id == who) & (c.channel == channel) & (c.purpose == "marketing")
            days = np.where(np.isnat(c.at), np.datetime64("0001-01-01"), c.at)
            mine &= days <= np.datetime64(situation.as_of)
            latest = days[mine] == days[mine].max()
            assert c.granted[mine][latest].all()


@given(data=st.data(), budget=budgets, holdout=st.sampled_from([0.0, 0.5]))
def test_neither_budget_is_exceeded_not_even_by_a_rounding(data, shop, budget, holdout):
    plan = plan_for(data.draw(shop.situations()), budget=budget, holdout=holdout)
    for limit, costs, said in (
        (budget.money, plan.contacts.money, plan.spent_money),
        (budget.hours, plan.contacts.hours, plan.spent_hours),
    ):
        exact = sum((Fraction(str(c)) for c in costs.tolist()), Fraction(0))
        assert limit is None or exact <= Fraction(str(limit))
        assert said == pytest.approx(float(exact), abs=1e-9)


@given(data=st.data(), budget=budgets)
def test_every_customer_gets_a_reason_and_at_most_one_action(data, shop, budget):
    situation = data.draw(shop.situations())
    plan = plan_for(situation, budget=budget, holdout=0.2)
    assert plan.customer_id.tolist() == situation.customer_id.tolist()
    assert all(reason.strip() and "nan" not in reason.split() for reason in plan.reason.tolist())
    for who in plan.customer_id.tolist():
        assert str(plan.why(who)).strip()


@given(data=st.data(), seed=st.integers(0, 2**31))
@settings(max_examples=8)
def test_no_cap_or_gap_is_exceeded_over_thirty_nights(data, shop, seed):
    """Judged from the contacts themselves, by counting them day by day."""
    ids = data.draw(shop.ids(most=8).filter(bool))
    consents = shop.everyone_consents(ids)
    rng, touches = np.random.default_rng(seed), Touches.none()
    contacted: dict[str, list[dt.date]] = defaultdict(list)
    for night in range(30):
        day = shop.day + dt.timedelta(days=night)
        tables = shop.tables_by_chance(ids, int(rng.integers(2**31)), day)
        plan = make_plan(
            *tables, budget=Budget(money=None, hours=None), touches=touches, consents=consents, holdout=0.1
        )
        sent = plan.contacts
        for who in sent.customer_id.tolist():
            contacted[who].append(day)
        touches = touches.joined(
            Touches.of(
                Touch(customer_id=w, at=day, channel=c, kind=k)
                for w, c, k in zip(*(sent[name].tolist() for name in ("customer_id", "channel", "kind")), strict=True)
            )
        )
    for days in contacted.values():
        assert all((later - earlier).days >= 7 for earlier, later in pairwise(days))
        for start in range(30):
            window = [d for d in days if start <= (d - shop.day).days < start + 28]
            assert len(window) <= 2
    assert Counter(touches.customer_id.tolist()) == Counter({who: len(days) for who, days in contacted.items()})


def test_thirty_nights_do_reach_the_cap(shop):
    """The test above would prove nothing if nobody were ever contacted twice."""
    ids = [f"c{i}" for i in range(40)]
    tables, touches = shop.tables, Touches.none()
    counts: Counter[str] = Counter()
    for night in range(30):
        day = shop.day + dt.timedelta(days=night)
        base = tables(ids, day, overdue=True, at_risk_per_day=1.0, idle_days=30.0)
        sent = make_plan(*base, budget=Budget(money=None, hours=None), touches=touches, holdout=0.0).contacts
        counts.update(sent.customer_id.tolist())
        touches = touches.joined(
            Touches.of(Touch(customer_id=w, at=day, channel="post") for w in sent.customer_id.tolist())
        )
    # Day 0, day 7, and again once day 0 has left the 28 days: on day 28.
    assert set(counts.values()) == {3}


@given(data=st.data(), budget=budgets, seed=st.integers(0, 3))
def test_the_same_input_gives_the_same_bytes(data, shop, budget, seed, tmp_path_factory):
    situation = data.draw(shop.situations())
    one, two = (plan_for(situation, budget=budget, seed=seed) for _ in range(2))
    assert one.fingerprint() == two.fingerprint()
    assert one.equals(two)
    assert one.vetoes.equals(two.vetoes)
    assert (one.notes, one.summary, one.assumptions) == (two.notes, two.summary, two.assumptions)


@given(data=st.data(), budget=budgets, seed=st.integers(0, 3), shuffle=st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_the_order_of_the_customers_changes_no_decision(data, shop, budget, seed, shuffle):
    ids = data.draw(shop.ids())
    draw = data.draw(st.integers(0, 2**31))
    order = list(range(len(ids)))
    shuffle.shuffle(order)
    tables = shop.tables_by_chance(ids, draw)
    known = {"consents": shop.everyone_consents(ids), "complaints": ids[:1]}
    one = make_plan(*tables, budget=budget, seed=seed, **known)
    two = make_plan(*(t.take(np.asarray(order, dtype=int)) for t in tables), budget=budget, seed=seed, **known)
    assert one.take(np.asarray(order, dtype=int)).equals(two)
    assert (one.spent_money, one.spent_hours) == (two.spent_money, two.spent_hours)


def test_without_money_a_plan_still_spends_hours(shop):
    ids = [f"c{i}" for i in range(30)]
    plan = make_plan(*shop.tables_by_chance(ids, 3), budget=Budget(money=0, hours=0.5))
    assert len(plan.contacts) > 0
    assert plan.spent_money == 0.0
    assert set(plan.contacts.money.tolist()) == {0.0}
    assert 0 < plan.spent_hours <= 0.5


@given(data=st.data(), budget=budgets)
def test_until_something_is_measured_every_gain_is_called_an_assumption(data, shop, budget):
    plan = plan_for(data.draw(shop.situations()), budget=budget)
    assert not plan.measured
    assert set(plan.evidence[plan.decision != "none"].tolist()) <= {"assumption"}
    said = "no effect has been measured yet; gains are assumptions"
    assert said in repr(plan)
    assert said in plan.summary
    assert said in plan._repr_html_()
    assert said in plan.notes
    if (plan.decision != "none").any():
        assert plan.assumptions
    for reason in plan.reason[plan.decision != "none"].tolist():
        assert "assumption" in reason
