"""The chooser against every possible choice."""

import datetime as dt
import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.domain import Action
from retention.errors import ConfigError
from retention.plan import Budget, choose
from retention.plan.holdout import Lots, draw_lots

costs = st.sampled_from([0.0, 0.1, 0.7, 1.1, 1.5, 5.0])


@st.composite
def offers(draw):
    actions = [
        Action(name=f"a{k}", kind="give", channel="post", money=draw(costs), hours=draw(costs), customer_benefit="x")
        for k in range(draw(st.integers(1, 3)))
    ]
    gain = st.integers(-2, 30).map(float)
    return [(row, action, draw(gain)) for row in range(draw(st.integers(1, 4))) for action in actions]


limits = st.sampled_from([0.0, 0.1, 1.1, 3.3, 7.0, None])


def _best_of_all(offers, budget):
    """The most net gain of any choice, by trying every one in exact fractions."""
    by_row = {}
    for row, action, gain in offers:
        by_row.setdefault(row, [None]).append((action, gain))
    best = Fraction(0)
    for choice in itertools.product(*by_row.values()):
        taken = [c for c in choice if c is not None]
        money = sum((Fraction(str(a.money)) for a, _ in taken), Fraction(0))
        hours = sum((Fraction(str(a.hours)) for a, _ in taken), Fraction(0))
        if (budget.money is None or money <= Fraction(str(budget.money))) and (
            budget.hours is None or hours <= Fraction(str(budget.hours))
        ):
            best = max(best, sum((Fraction(str(g)) for _, g in taken), Fraction(0)) - money)
    return float(best)


DAY = dt.date(2011, 12, 1)


def _lots(proposals, seed=0, **shares) -> Lots:
    return draw_lots(proposals, **({"holdout": 0.0, "salt": "s", "day": DAY, "seed": seed} | shares))


def _all(proposals):
    return np.ones(len(proposals), dtype=bool)


def _action(name, **costs):
    return Action(name=name, kind="give", channel="post", customer_benefit="x", **costs)


def _chosen(shop, offers, budget):
    """The net gain of each chosen (customer, action)."""
    proposals = shop.proposals(shop.situation(shop.tables(["a", "b", "c", "d"])), offers)
    chosen = choose(proposals, _all(proposals), budget=budget, lots=_lots(proposals, 0)).chosen
    names = [proposals.actions[a].name for a in proposals.action[chosen]]
    return dict(
        zip(zip(proposals.base_row[chosen].tolist(), names, strict=True), proposals.net[chosen].tolist(), strict=True)
    )


@given(offers=offers(), money=limits, hours=limits, seed=st.integers(0, 3))
@settings(max_examples=300)
def test_the_choice_is_feasible_and_its_bound_is_one(shop, offers, money, hours, seed):
    situation = shop.situation(shop.tables(["a", "b", "c", "d"]))
    proposals, budget = shop.proposals(situation, offers), Budget(money, hours)
    choice = choose(proposals, _all(proposals), budget=budget, lots=_lots(proposals, seed))
    reached, best = float(proposals.net[choice.chosen].sum()), _best_of_all(offers, budget)
    assert len(set(proposals.base_row[choice.chosen].tolist())) == len(choice.chosen)
    assert (proposals.net[choice.chosen] > 0).all()
    assert money is None or sum(Fraction(str(m)) for m in proposals.of_actions("money")[choice.chosen]) <= Fraction(
        str(money)
    )
    assert hours is None or sum(Fraction(str(h)) for h in proposals.of_actions("hours")[choice.chosen]) <= Fraction(
        str(hours)
    )
    assert reached <= best + 1e-9
    assert best <= choice.bound + 1e-9


@given(offers=offers())
def test_without_limits_everyone_gets_her_best_action(shop, offers):
    situation = shop.situation(shop.tables(["a", "b", "c", "d"]))
    proposals, budget = shop.proposals(situation, offers), Budget(None, None)
    choice = choose(proposals, _all(proposals), budget=budget, lots=_lots(proposals, 0))
    assert proposals.net[choice.chosen].sum() == pytest.approx(_best_of_all(offers, budget))
    assert choice.bound == pytest.approx(_best_of_all(offers, budget))


def test_a_rich_budget_buys_calls_and_a_poor_one_cards(shop):
    """Trading up: the cheap contact comes first, the dear one in its place while the budget lasts."""
    card = Action(name="card", kind="give", channel="post", hours=0.1, customer_benefit="x")
    call = Action(name="call", kind="give", channel="phone", hours=1.0, customer_benefit="x")
    situation = shop.situation(shop.tables(["a", "b"]))
    proposals = shop.proposals(situation, [(0, card, 5.0), (0, call, 20.0), (1, card, 4.0), (1, call, 12.0)])

    def actions(hours):
        choice = choose(proposals, _all(proposals), budget=Budget(0, hours), lots=_lots(proposals, 0))
        return [proposals.actions[proposals.action[p]].name for p in choice.chosen]

    assert actions(0.2) == ["card", "card"]
    assert actions(1.1) == ["call", "card"]
    assert actions(2.0) == ["call", "call"]


@given(offers=offers())
def test_with_more_than_enough_of_both_everyone_gets_her_best_action(shop, offers):
    assert sum(_chosen(shop, offers, Budget(1e6, 1e6)).values()) == pytest.approx(
        _best_of_all(offers, Budget(1e6, 1e6))
    )


def test_who_finds_no_room_on_her_best_contact_may_find_it_on_a_plainer_one(shop):
    card, note = _action("card", money=1.0), _action("note", hours=1.0)
    offers = [(0, card, 101.0), (1, card, 11.0), (1, note, 9.0)]
    assert _chosen(shop, offers, Budget(1, 1)) == {(0, "card"): 100.0, (1, "note"): 9.0}


def test_trading_up_gives_back_what_the_first_contact_would_have_cost(shop):
    card, call, gift = _action("card", money=0.4), _action("call", hours=0.9), _action("gift", money=1.0)
    offers = [(0, card, 20.4), (0, call, 40.0), (1, gift, 11.0)]
    assert _chosen(shop, offers, Budget(1, 1)) == {(0, "call"): 40.0, (1, "gift"): 10.0}


def test_costs_below_a_millionth_add_up_all_the_same(shop):
    tiny = _action("tiny", hours=4e-7)
    assert len(_chosen(shop, [(row, tiny, 1.0) for row in range(4)], Budget(0, 1e-6))) <= 2


@given(seed=st.integers(0, 50))
def test_ties_are_broken_by_the_seed_and_not_by_the_alphabet(shop, seed):
    ids = [f"c{i}" for i in range(20)]
    card = Action(name="card", kind="give", channel="post", hours=1.0, customer_benefit="x")
    situation = shop.situation(shop.tables(ids))
    proposals = shop.proposals(situation, [(i, card, 5.0) for i in range(20)])
    picks = {
        s: tuple(choose(proposals, _all(proposals), budget=Budget(0, 5), lots=_lots(proposals, s)).chosen.tolist())
        for s in (seed, seed + 1)
    }
    assert all(len(pick) == 5 for pick in picks.values())
    assert picks[seed] != picks[seed + 1]


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "much", True])
def test_a_budget_is_a_number_of_zero_or_more(bad):
    with pytest.raises(ConfigError, match="a budget is a number"):
        Budget(money=bad)
    with pytest.raises(ConfigError, match="a budget is a number"):
        Budget(hours=bad)
