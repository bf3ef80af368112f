"""The checker catches plans that are wrong on purpose, and our own chooser and policies when they are made wrong."""

import datetime as dt

import attrs
import numpy as np
import pytest

from retention.domain import Touch
from retention.plan import Budget, check, holdout, holdout_draws, make, plan_for
from retention.plan.choose import Choice
from retention.records import Touches

POOR = Budget(money=6.0, hours=1.0)


@pytest.fixture
def situation(shop):
    ids = [f"c{i}" for i in range(20)]
    base = shop.tables(ids, overdue=True, at_risk_per_day=1.0)
    touches = Touches.of(
        [
            *(Touch(customer_id="c3", at=shop.day - dt.timedelta(days=d), channel="post") for d in (10, 20)),
            Touch(customer_id="c4", at=shop.day - dt.timedelta(days=2), channel="post"),
        ]
    )
    return shop.situation(base, touches=touches, do_not_contact=frozenset({"c1"}), open_complaints=frozenset({"c2"}))


def _rules(found):
    return {line.split(":")[0] for line in found}


def test_a_plan_without_policies_breaks_what_the_policies_guard(situation):
    plan = plan_for(situation, budget=Budget(None, None), policies=(), holdout=0.0)
    assert _rules(check(plan, situation)) == {
        "consent",
        "do-not-contact",
        "open-complaint",
        "frequency-cap",
        "minimum-gap",
    }


def test_a_good_plan_has_nothing_wrong_and_neither_has_an_empty_one(situation, shop):
    assert check(plan_for(situation, budget=POOR), situation) == []
    nobody = shop.situation(shop.tables([]))
    assert check(plan_for(nobody, budget=POOR), nobody) == []


def _everyone(proposals, allowed, *, budget, lots, segment, risk):
    """Wrong: one proposal for each customer, whatever the budgets."""
    cards = np.flatnonzero(allowed)
    fate = np.where(allowed, "chosen", "vetoed")
    money = float(proposals.of_actions("money")[cards].sum())
    hours = float(proposals.of_actions("hours")[cards].sum())
    none = np.zeros(0, dtype=np.int64)
    return Choice(
        chosen=cards,
        held_out=none,
        left_alone=none,
        explored=np.zeros(len(proposals), dtype=bool),
        fate=fate,
        probability=np.full(len(proposals), 1.0 - lots.holdout),
        priced=np.zeros(len(proposals)),
        spent_money=money,
        spent_hours=hours,
        bound=0.0,
    )


def test_a_chooser_that_ignores_budgets_and_the_hold_out_is_caught(situation, monkeypatch):
    monkeypatch.setattr(make, "choose", _everyone)
    found = check(plan_for(situation, budget=POOR, holdout=0.5), situation)
    assert {"budget", "hold-out"} <= _rules(found)


def test_a_chooser_that_lies_about_spending_is_caught(situation, monkeypatch):
    honest = make.choose
    monkeypatch.setattr(make, "choose", lambda *a, **k: attrs.evolve(honest(*a, **k), spent_money=0.0))
    assert _rules(check(plan_for(situation, budget=POOR, holdout=0.0), situation)) == {"budget"}


def test_a_hold_out_drawn_anew_every_night_is_caught(situation, monkeypatch):
    monkeypatch.setattr(holdout, "holdout_draws", lambda ids, salt: holdout_draws(ids, salt + "night 2"))
    assert "hold-out" in _rules(check(plan_for(situation, budget=Budget(None, None), holdout=0.5), situation))


def _with(plan, row, **values):
    changed = {}
    for name, value in values.items():
        wide = (
            plan[name].astype(f"<U{max(60, plan[name].dtype.itemsize // 4)}")
            if plan[name].dtype.kind == "U"
            else plan[name]
        )
        changed[name] = wide.copy()
        changed[name][row] = value
    return attrs.evolve(plan, **changed)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"action": "send a pigeon"}, "unknown action"),
        ({"channel": "pigeon"}, "unknown action"),
        ({"money": 0.0}, "costs"),
        ({"probability": 1.0}, "hold-out"),
        ({"reason": " "}, "reason"),
        ({"decision": "maybe"}, "decision"),
        ({"net": 0.0}, "gain"),
        ({"opens": np.datetime64("2011-11-30")}, "window"),
        ({"opens": np.datetime64("NaT", "D")}, "window"),
        ({"customer_id": "c1"}, "one per customer"),
    ],
)
def test_a_plan_that_was_tampered_with_is_caught(situation, values, rule):
    plan = plan_for(situation, budget=POOR, holdout=0.2)
    row = int(np.flatnonzero(plan.decision == "contact")[0])
    assert check(plan, situation) == []
    assert rule in _rules(check(_with(plan, row, **values), situation))


def test_a_plan_of_another_day_is_caught(situation):
    plan = plan_for(situation, budget=POOR)
    assert _rules(check(attrs.evolve(plan, as_of=plan.as_of + dt.timedelta(days=1)), situation)) == {"day"}


def test_the_checker_names_no_customer(situation):
    plan = plan_for(situation, budget=Budget(None, None), policies=(), holdout=0.0)
    text = "\n".join(check(plan, situation))
    assert not any(who in text for who in plan.customer_id.tolist())
