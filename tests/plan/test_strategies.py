"""Strategies: whom they propose, with what expected gain, in which window, in which words."""

import datetime as dt

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.domain import Touch
from retention.errors import ConfigError
from retention.plan import (
    ACTIONS,
    Budget,
    CheckIn,
    NextTier,
    ThankQuietBest,
    WinBack,
    built_in_strategies,
    margin_if_she_returns,
    plan_for,
)
from retention.plan.actions import CHECK_IN_CARD
from retention.records import Touches


def _proposed(strategy, situation):
    return sorted(set(strategy.propose(situation).customer_id.tolist()))


def test_the_overdue_valuable_and_alive_are_checked_in_on(shop):
    base = shop.tables(
        ["best", "idle", "poor", "gone", "safe"],
        overdue=[True, False, True, True, True],
        value=[100, 100, 1, 100, 100],
        p_alive=[0.8, 0.8, 0.8, 0.01, 0.8],
        at_risk_per_day=[1.0, 0.0, 1.0, 1.0, 0.0],
    )
    assert _proposed(CheckIn(), shop.situation(base)) == ["best"]
    assert _proposed(CheckIn(value_share=1.0), shop.situation(base)) == ["best", "poor"]
    assert _proposed(CheckIn(min_p_alive=0.0), shop.situation(base)) == ["best", "gone"]


def test_a_check_in_gains_lift_times_margin_at_risk_times_horizon(shop):
    base = shop.tables(["a"], overdue=True, at_risk_per_day=0.5, horizon_days=100.0)
    strategy = CheckIn(call_lift=0.2, email_lift=0.1, card_lift=0.04, spread=0.25)
    proposals = strategy.propose(shop.situation(base))
    names = [proposals.actions[a].name for a in proposals.action]
    assert dict(zip(names, proposals.gain, strict=True)) == pytest.approx(
        {"check-in call": 10.0, "check-in e-mail": 5.0, "check-in card": 2.0}
    )
    assert proposals.gain_sd == pytest.approx(proposals.gain / 4)
    assert {a.name: (a.value, a.spread) for a in proposals.assumptions} == {
        "check-in call": (0.2, 0.05),
        "check-in e-mail": (0.1, 0.025),
        "check-in card": (0.04, 0.01),
    }


def test_the_reason_speaks_her_own_numbers(shop):
    base = shop.tables(
        ["a", "b"],
        overdue=True,
        frequency=[20, 0],
        idle_days=[26.0, 400.0],
        at_risk_per_day=0.5,
        margin_per_day=412 / 365,
        currency="EUR",
    )
    first, second = CheckIn().propose(shop.situation(base)).reason[[0, 3]].tolist()
    assert first == (
        "usually comes every 9 to 12 days, silent for 26; "
        "412 EUR a year at her usual pace, 182 EUR at risk; expected as things stand: 100 EUR in 365 days"
    )
    assert second.startswith("came once, 400 days ago")


def test_the_next_tier_is_shown_to_those_within_reach_of_it(shop):
    base = shop.tables(
        ["near", "far", "top", "late", "gone", "later"],
        score=[450, 300, 900, 450, 450, 450],
        to_next=[50, 200, 0, 50, 50, 50],
        overdue=[False, False, False, True, False, False],
        p_alive=[0.9, 0.9, 0.9, 0.9, 0.1, 0.9],
        opens_in=[0, 0, 0, 0, 0, 60],
        closes_in=70,
    )
    situation = shop.situation(base)
    assert _proposed(NextTier(), situation) == ["near"]
    assert _proposed(NextTier(ahead_days=60), situation) == ["later", "near"]
    assert _proposed(NextTier(reach=0.4), situation) == ["far", "near"]
    assert _proposed(NextTier(reach=0.09), situation) == []
    proposals = NextTier(email_lift=0.1, note_lift=0.2).propose(situation)
    assert proposals.gain.tolist() == pytest.approx([5.0, 10.0])
    assert "50 of expected margin short of the tier gold (500)" in proposals.reason[0]


def test_the_quiet_best_are_thanked(shop):
    n = 20
    ids = [f"c{i:02d}" for i in range(n)]
    margin = np.arange(n, dtype=float)
    orders = np.where(np.arange(n) == 19, 30, 2)
    touches = Touches.of(
        [Touch(customer_id="c17", at=shop.day - dt.timedelta(days=d), channel="post") for d in (40, 300)]
    )
    situation = shop.situation(shop.tables(ids, expected_margin=margin, orders=orders), touches=touches)
    # The best tenth is c18 and c19; c19 comes thirty times a year.
    assert _proposed(ThankQuietBest(), situation) == ["c18"]
    assert _proposed(ThankQuietBest(value_share=0.15), situation) == ["c18"]
    assert _proposed(ThankQuietBest(value_share=0.15, max_touches=2), situation) == ["c17", "c18"]
    proposals = ThankQuietBest(card_lift=0.5).propose(situation)
    assert proposals.gain[0] == pytest.approx(9.0)
    assert proposals.opens[0] == np.datetime64(shop.day)


@given(data=st.data())
def test_no_strategy_opens_a_window_before_the_plans_day_or_claims_a_measurement(data, shop):
    situation = data.draw(shop.situations())
    for strategy in (*built_in_strategies(), WinBack()):
        proposals = strategy.propose(situation)
        assert (proposals.opens >= np.datetime64(situation.as_of)).all()
        assert (proposals.closes >= proposals.opens).all()
        assert set(proposals.evidence.tolist()) <= {"assumption"}
        assert (proposals.gain > 0).all()
        assert np.array_equal(situation.customer_id[proposals.base_row], proposals.customer_id)


@given(data=st.data())
def test_missing_numbers_propose_nothing(data, shop):
    """NaN is no reason to contact anybody."""
    situation = data.draw(shop.situations())
    n = len(situation)
    unknown, never = np.full(n, np.nan), np.full(n, np.datetime64("NaT", "D"))
    blind = attrs.evolve(
        situation,
        outlook=attrs.evolve(
            situation.outlook, p_alive=unknown, at_risk_per_day=unknown, window_opens_at=never, window_closes_at=never
        ),
        valuation=attrs.evolve(situation.valuation, value=unknown, expected_margin=unknown),
    )
    for strategy in (*built_in_strategies(), WinBack()):
        assert len(strategy.propose(blind)) == 0


def test_an_unknown_window_opens_today(shop):
    base = shop.tables(["a"], overdue=True, at_risk_per_day=1.0)
    never = np.full(1, np.datetime64("NaT", "D"))
    outlook = attrs.evolve(base[2], window_opens_at=never, window_closes_at=never)
    proposals = CheckIn().propose(shop.situation((base[0], base[1], outlook, base[3])))
    assert (proposals.opens == np.datetime64(shop.day)).all()
    assert (proposals.closes > proposals.opens).all()


def test_each_built_in_action_says_what_is_in_it_for_her_and_only_open_channels_need_no_consent():
    assert len({a.name for a in ACTIONS}) == len(ACTIONS)
    assert all(a.needs_consent == (a.channel in ("phone", "email")) for a in ACTIONS)
    assert all(a.hours > 0 for a in ACTIONS)


def test_costs_are_the_callers_to_set(shop):
    dear = CheckIn(card=attrs.evolve(CHECK_IN_CARD, money=4.0))
    proposals = dear.propose(shop.situation(shop.tables(["a"], overdue=True, at_risk_per_day=1.0)))
    assert proposals.of_actions("money").tolist() == [0.0, 0.0, 4.0]


@pytest.mark.parametrize(
    "bad", [{"call_lift": 1.1}, {"card_lift": -0.1}, {"spread": float("nan")}, {"value_share": "x"}]
)
def test_an_absurd_assumption_is_refused(bad):
    with pytest.raises(ConfigError):
        CheckIn(**bad)


def test_the_lapsed_who_were_worth_the_most_are_won_back(shop):
    base = shop.tables(
        ["best", "poor", "late", "here", "long ago"],
        p_alive=[0.01, 0.01, 0.3, 0.9, 0.001],
        idle_days=[300, 300, 60, 5, 2000],
        expected_margin=[2.0, 0.02, 30.0, 90.0, 0.1],
        margin_per_day=[1.0, 0.01, 1.0, 1.0, 1.0],
        overdue=[True, True, True, False, True],
        at_risk_per_day=[0.01, 0.01, 0.3, 0.0, 0.01],
        currency="EUR",
    )
    situation = shop.situation(base)
    assert _proposed(WinBack(), situation) == ["best"]
    assert _proposed(WinBack(value_share=1.0), situation) == ["best", "poor"]
    assert _proposed(WinBack(max_idle_days=3000), situation) == ["best", "long ago"]
    # Nobody is both checked in on and won back.
    everyone = {"value_share": 1.0}
    assert not set(_proposed(CheckIn(**everyone), situation)) & set(_proposed(WinBack(**everyone), situation))
    proposals = WinBack(card_lift=0.1).propose(situation)
    assert "most probably gone; 200 EUR of margin in 365 days if she returned" in proposals.reason[0]


def test_a_win_back_gains_its_rate_times_the_margin_if_she_returns(shop):
    """The smaller of what the model expects of her alive and what her rhythm brought; never zero by assumption."""
    base = shop.tables(
        ["model", "rhythm", "dead for certain", "nothing known"],
        p_alive=[0.02, 0.02, 0.0, 0.0],
        expected_margin=[2.0, 20.0, 0.0, 0.0],
        margin_per_day=[1.0, 1.0, 1.0, np.nan],
        horizon_days=200.0,
    )
    situation = shop.situation(base)
    assert margin_if_she_returns(situation)[:3].tolist() == pytest.approx([2.0 / 0.02, 200.0, 200.0])
    assert np.isnan(margin_if_she_returns(situation)[3])
    proposals = WinBack(call_lift=0.05, email_lift=0.01, card_lift=0.02, spread=1.0, value_share=1.0).propose(situation)
    assert proposals.gain.reshape(3, 3) == pytest.approx(np.outer([100.0, 200.0, 200.0], [0.05, 0.01, 0.02]))
    assert proposals.gain_sd == pytest.approx(proposals.gain)
    assert all(a.value > 0 and "win-back rate" in a.meaning for a in WinBack().propose(situation).assumptions)


def test_win_backs_compete_with_check_ins_on_one_scale(shop):
    """One card is affordable: whoever brings more by it gets it, gone or merely late."""
    for gone, expected in ((3.0, "late"), (50.0, "gone")):
        base = shop.tables(
            ["gone", "late"],
            p_alive=[0.01, 0.6],
            idle_days=[300, 40],
            expected_margin=[gone, 300.0],
            margin_per_day=[gone, 1.0],
            overdue=True,
            at_risk_per_day=[0.0, 0.5],
            value=[1.0, 300.0],
        )
        plan = plan_for(
            shop.situation(base),
            budget=Budget(money=1.5, hours=1.0),
            strategies=[CheckIn(), WinBack(value_share=1.0)],
            holdout=0.0,
        )
        assert plan.customer_id[plan.decision == "contact"].tolist() == [expected]
