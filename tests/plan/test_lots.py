"""Hold-out, controls and exploration: what is drawn, with which chance, and that both arms hold the same people."""

import datetime as dt

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.domain import Action
from retention.errors import ConfigError, PlanError
from retention.plan import Budget, check, choose, make_plan, plan_for
from retention.plan.holdout import draw_lots

DAY = dt.date(2011, 12, 1)


def _action(name, **given):
    return Action(
        **({"name": name, "kind": "give", "channel": "post", "needs_consent": False, "customer_benefit": "x"} | given)
    )


class Offering:
    """A strategy that offers these actions to everyone, for gains drawn by a seed."""

    name = "offering"

    def __init__(self, shop, actions, seed=0, spread=1.0, level=3.0):
        self.shop, self.actions, self.seed, self.spread, self.level = shop, actions, seed, spread, level

    def propose(self, situation):
        rng = np.random.default_rng(self.seed)
        gains = rng.lognormal(self.level, self.spread, (len(situation), len(self.actions)))
        offers = [(i, a, float(gains[i, k])) for i in range(len(situation)) for k, a in enumerate(self.actions)]
        return self.shop.proposals(situation, offers)


def _plan(shop, n, actions, *, budget, seed=0, spread=1.0, **given):
    situation = shop.situation(shop.tables([f"c{i}" for i in range(n)]))
    strategy = Offering(shop, actions, seed, spread)
    return plan_for(situation, budget=budget, strategies=[strategy], policies=(), **given), situation


CARD, CALL = _action("card", hours=0.1), _action("call", channel="phone", hours=0.5)


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("hours", [3.0, 40.0, None])
def test_both_arms_hold_the_customers_whom_one_rule_selects(shop, hours, spread):
    """Of all who could be contacted the same share is selected in and out of the hold-out, and they are worth the same.

    Over 40 nights of 300 customers: a difference of 4 standard errors would be found, which chance shows once in
    16,000. With equal gains (spread 0) the ties are dealt out in the same share.
    """
    shares, worth = [], []
    for night in range(40):
        plan, _ = _plan(
            shop, 300, [CARD, CALL], budget=Budget(0, hours), seed=night, spread=spread, holdout=0.3, salt=f"s{night}"
        )
        held = plan.decision == "hold-out"
        got = plan.decision == "contact"
        in_arm = np.asarray([draw < 0.3 for draw in _draws(plan)])
        assert not (held & ~in_arm).any()
        assert not (got & in_arm).any()
        shares.append(held.sum() / max(in_arm.sum(), 1) - got.sum() / max((~in_arm).sum(), 1))
        if held.any() and got.any():
            worth.append(plan.net[held].mean() - plan.net[got].mean())
    for differences in (shares, worth):
        error = np.std(differences) / np.sqrt(len(differences))
        assert abs(np.mean(differences)) <= 4 * error + 1e-9


def _draws(plan):
    from retention.plan import holdout_draws

    return holdout_draws(plan.customer_id.tolist(), plan.salt)


def test_a_hold_out_that_took_the_best_without_limits_would_be_found_out(shop):
    """Wrong on purpose: everyone in the hold-out whose best proposal pays counts as selected, whatever the budget."""
    differences = []
    for night in range(40):
        plan, situation = _plan(
            shop, 300, [CARD, CALL], budget=Budget(0, 3.0), seed=night, holdout=0.3, salt=f"s{night}"
        )
        gains = Offering(shop, [CARD, CALL], night).propose(situation).gain.reshape(300, 2).max(axis=1)
        wrongly_held = _draws(plan) < 0.3
        differences.append(gains[wrongly_held].mean() - plan.net[plan.decision == "contact"].mean())
    assert abs(np.mean(differences)) > 4 * np.std(differences) / np.sqrt(40)


def test_the_control_of_an_action_is_its_own_and_stays(shop):
    card = _action("card", hours=0.1, control=0.3)
    first, situation = _plan(shop, 400, [card, CALL], budget=Budget(0, 60.0), holdout=0.1)
    second, _ = _plan(shop, 400, [card, CALL], budget=Budget(0, 90.0), holdout=0.1, seed=5)
    assert check(first, situation) == []
    held = (first.decision == "hold-out") & (first.action == "card")
    globally = _draws(first) < 0.1
    assert (held & ~globally).sum() > 20
    # Who is in the control never gets the card, on any night; she may get a call where that is her best.
    mine = {who for who, h, g in zip(first.customer_id, held, globally, strict=True) if h and not g}
    later = [second.row(i) for i in range(len(second)) if second.customer_id[i] in mine]
    assert not any(row["decision"] == "contact" and row["action"] == "card" for row in later)
    assert any(row["decision"] == "contact" and row["action"] == "call" for row in later)
    cards = (first.action == "card") & np.isin(first.decision, ("contact", "hold-out"))
    np.testing.assert_allclose(first.probability[cards], 0.9 * 0.7)
    assert "held out with 37% of all who would get a card" in first.reason[held][0]


def test_contacted_and_controlled_are_whom_one_rule_selects_though_a_second_action_uses_the_same_limit(shop):
    """Whom the control leaves alone frees hours, so prices fall; her arm must follow the prices that hold in the end.

    25 salts: a difference of 4 standard errors would be found, which chance shows once in 16,000. Controls chosen at
    the prices before they were taken out fail it (12 standard errors, and gains 13 % higher).
    """
    call, note = _action("call", channel="phone", hours=0.2, control=0.5), _action("note", hours=0.2)
    situation = shop.situation(shop.tables([f"c{i}" for i in range(300)]))
    gains = np.random.default_rng(1).gamma(2.0, 3.0, 300)
    proposals = shop.proposals(
        situation, [(i, a, float(gains[i] * f)) for i in range(300) for a, f in ((call, 1.0), (note, 0.95))]
    )
    everything = np.ones(len(proposals), dtype=bool)
    shares, worth = [], []
    for salt in range(25):
        lots = draw_lots(proposals, holdout=0.1, salt=f"q{salt}", day=DAY)
        choice = choose(proposals, everything, budget=Budget(0, 5.0), lots=lots)
        calls = np.asarray([proposals.actions[a].name == "call" for a in proposals.action]) & ~lots.held
        alone = choice.held_out[calls[choice.held_out]]
        called = choice.chosen[calls[choice.chosen]]
        shares.append(len(alone) / (calls & lots.controlled).sum() - len(called) / (calls & ~lots.controlled).sum())
        worth.append(proposals.gain[alone].mean() / proposals.gain[called].mean() - 1.0)
    for differences in (shares, worth):
        assert abs(np.mean(differences)) <= 4 * np.std(differences) / np.sqrt(len(differences))


def test_who_explores_beside_controls_has_the_chance_that_all_her_possible_controls_give(shop):
    """Of two options with controls 0.5 and 0.2: the sum over the four ways in which their lots can fall, by hand."""
    card, call = _action("card", hours=0.1, control=0.5), _action("call", channel="phone", hours=0.5, control=0.2)
    situation = shop.situation(shop.tables([f"c{i}" for i in range(400)]))
    offers = [(i, a, 5.0) for i in range(400) for a in (card, call)]
    proposals = shop.proposals(situation, offers)
    lots = draw_lots(proposals, holdout=0.25, salt="s", explore=0.4, day=DAY)
    choice = choose(proposals, np.ones(len(proposals), dtype=bool), budget=Budget(None, None), lots=lots)
    both, one = 0.5 * 0.8, 0.5 * 0.8  # neither controlled; only the card controlled
    by_rule = choice.probability[choice.chosen[~choice.explored[choice.chosen]]]
    drawn = choice.chosen[choice.explored[choice.chosen]]
    calls = drawn[np.asarray([proposals.actions[a].name == "call" for a in proposals.action[drawn]])]
    assert len(calls) > 10
    assert len(by_rule) > 10
    np.testing.assert_allclose(choice.probability[calls], 0.75 * 0.4 * (both / 3 + one / 2), rtol=1e-12)
    nothing = 0.75 * 0.4 * (both / 3 + (0.5 * 0.8 + 0.5 * 0.2) / 2)
    np.testing.assert_allclose(choice.probability[choice.left_alone], nothing, rtol=1e-12)


def test_floors_that_do_not_fit_are_met_as_far_as_they_do(shop):
    """Four visits to the silver tier are asked for and hours are there for three: three, and not none."""
    visit = _action("visit", hours=1.0)
    histories, valuation, outlook, tiering = shop.tables([f"c{i}" for i in range(12)])
    tier = np.asarray(["silver", "gold"] * 6)
    situation = shop.situation((histories, valuation, outlook, attrs.evolve(tiering, tier=tier)))

    class Visits:
        name = "visits"

        def propose(self, given):
            return shop.proposals(given, [(i, visit, 1.0 if tier[i] == "silver" else 9.0) for i in range(12)])

    def contacts(**given):
        plan = plan_for(situation, budget=Budget(0, 3.0, **given), strategies=[Visits()], policies=(), holdout=0)
        assert check(plan, situation, ()) == []
        made = plan.segment[plan.decision == "contact"]
        return (made == "silver").sum(), (made == "gold").sum(), " ".join(plan.notes)

    assert contacts()[:2] == (0, 3)
    assert contacts(at_least={"silver": 2})[:2] == (2, 1)
    silver, gold, notes = contacts(at_least={"silver": 4})
    assert (silver, gold) == (3, 0)
    assert "3 of 4 in 'silver'" in notes
    silver, gold, notes = contacts(at_least={"silver": 4, "gold": 2})
    assert (silver, gold) == (2, 1)


def test_exploration_draws_its_share_anew_every_night_within_its_share_of_the_limits(shop):
    situation = shop.situation(shop.tables([f"c{i}" for i in range(2000)]))
    nights = []
    for day in (DAY, DAY + dt.timedelta(days=1)):
        proposals = Offering(shop, [CARD, CALL]).propose(situation)
        lots = draw_lots(proposals, holdout=0.1, salt="s", explore=0.2, day=day)
        choice = choose(proposals, np.ones(len(proposals), dtype=bool), budget=Budget(0, 2000.0), lots=lots)
        explorers = np.unique(proposals.base_row[choice.explored])
        # 0.2 of those who are not held out: 360 on average, with a standard deviation of 17.
        assert 360 - 68 < len(explorers) < 360 + 68
        mine = choice.chosen[choice.explored[choice.chosen]]
        drawn = np.bincount(proposals.action[mine], minlength=2)
        assert (
            abs(np.r_[drawn, len(choice.left_alone)] - len(explorers) / 3) < 4 * np.sqrt(len(explorers) * 2 / 9)
        ).all()
        assert choice.spent_hours <= 2000.0
        nights.append(set(explorers.tolist()))
    assert nights[0] != nights[1]
    tight = choose(proposals, np.ones(len(proposals), dtype=bool), budget=Budget(0, 10.0), lots=lots)
    hours = proposals.of_actions("hours")
    explored = tight.chosen[tight.explored[tight.chosen]]
    assert hours[explored].sum() <= 0.2 * 10.0
    assert tight.spent_hours <= 10.0
    assert any("exploration was cut" in note for note in tight.notes)


def test_the_probability_on_file_is_the_frequency_over_many_draws(shop):
    """For one customer in the same situation: the chance that the journal gets is how often it happens.

    The others' lots are drawn anew too, which moves the prices, so her gains are far from the margin. 1,500 salts: four
    standard errors are 0.05.
    """
    card, call = _action("card", hours=0.1, control=0.2), _action("call", channel="phone", hours=0.5)
    situation = shop.situation(shop.tables([f"c{i}" for i in range(4)]))
    offers = [(0, card, 100.0), (0, call, 60.0)] + [(i, call, 5.0 + i) for i in range(1, 4)]
    proposals = shop.proposals(situation, offers)
    everything = np.ones(len(proposals), dtype=bool)
    seen, said = {"card": 0, "call": 0, "alone": 0}, {"card": set(), "call": set(), "alone": set()}
    n = 1500
    for salt in range(n):
        lots = draw_lots(proposals, holdout=0.25, salt=str(salt), explore=0.3, day=DAY)
        choice = choose(proposals, everything, budget=Budget(0, None), lots=lots)
        for p in (0, 1):
            if p in choice.chosen:
                name = proposals.actions[proposals.action[p]].name
                seen[name] += 1
                said[name].add(round(float(choice.probability[p]), 6))
        if 0 in choice.left_alone or 1 in choice.left_alone:
            seen["alone"] += 1
            said["alone"].add(round(float(choice.probability[choice.left_alone[choice.left_alone < 2][0]]), 6))
    for name, times in seen.items():
        assert abs(times / n - np.mean(sorted(said[name]))) < 0.05, (name, times / n, said[name])


@given(
    seed=st.integers(0, 10_000), hours=st.sampled_from([0.0, 1.0, 5.0, None]), money=st.sampled_from([0.0, 4.0, None])
)
@settings(max_examples=40)
def test_all_limits_are_kept_whatever_is_drawn(shop, seed, hours, money):
    rng = np.random.default_rng(seed)
    gift = _action("gift", money=1.5, hours=0.1, control=float(rng.choice([0.0, 0.5])))
    actions = [gift, CARD, CALL]
    budget = Budget(
        money,
        hours,
        capacity={"phone": int(rng.integers(0, 4)), "POST": int(rng.integers(0, 9))},
        at_most={"silver": int(rng.integers(5, 15))},
        at_least={"silver": int(rng.integers(0, 5))},
    )
    plan, situation = _plan(
        shop,
        30,
        actions,
        budget=budget,
        seed=seed,
        holdout=float(rng.choice([0.0, 0.3])),
        explore=float(rng.choice([0.0, 0.2])),
    )
    assert check(plan, situation) == []
    net = float(plan.net[plan.decision == "contact"].sum())
    assert net <= plan.bound + 1e-6 * (1 + abs(plan.bound))
    assert all(
        plan.used[name] <= limit + 1e-9 for name, limit in plan.limits.items() if not name.startswith("at least")
    )


def test_prices_tell_what_one_more_would_earn(shop):
    """With hours for three of five calls the fourth best is what one more hour's worth of calls would bring."""
    call = _action("call", channel="phone", hours=1.0)
    situation = shop.situation(shop.tables([f"c{i}" for i in range(5)]))

    class Calls:
        name = "calls"

        def propose(self, given):
            return shop.proposals(given, [(i, call, 10.0 * (i + 1)) for i in range(5)])

    plan = plan_for(situation, budget=Budget(0, 3.0), strategies=[Calls()], policies=(), holdout=0)
    assert plan.used["hours"] == 3.0
    assert 20.0 <= plan.prices["hours"] <= 30.0
    by_channel = plan_for(
        situation, budget=Budget(0, None, capacity={"Phone": 3}), strategies=[Calls()], policies=(), holdout=0
    )
    assert 20.0 <= by_channel.prices["phone contacts"] <= 30.0
    assert by_channel.decision.tolist() == plan.decision.tolist() == ["none"] * 2 + ["contact"] * 3
    told = str(plan.why("c1"))
    assert "at the prices of the limits: budget" in told
    assert "-0.00" not in told.replace("-0.00 at", "")


def test_a_floor_by_tier_is_met_or_told(shop):
    loss = _action("visit", hours=1.0, money=1.0)
    situation = shop.situation(shop.tables(["a", "b"]))

    class Visits:
        name = "visits"

        def propose(self, given):
            return shop.proposals(given, [(0, loss, 0.5), (1, loss, 9.0)])

    met = plan_for(
        situation, budget=Budget(9, 9, at_least={"silver": 2}), strategies=[Visits()], policies=(), holdout=0
    )
    assert met.decision.tolist() == ["contact", "contact"]
    assert check(met, situation) == []
    short = plan_for(
        situation, budget=Budget(1, 9, at_least={"silver": 2}), strategies=[Visits()], policies=(), holdout=0
    )
    assert short.decision.tolist() == ["none", "contact"]
    assert any("floors by tier do not fit" in note for note in short.notes)
    with pytest.raises(PlanError, match="silver"):
        plan_for(situation, budget=Budget(1, 9, at_least={"sliver": 2}), strategies=[Visits()])
    with pytest.raises(ConfigError, match="at least 3 and at most 2"):
        Budget(at_least={"silver": 3}, at_most={"silver": 2})
    with pytest.raises(ConfigError, match="whole numbers"):
        Budget(capacity={"phone": 1.5})


def test_risk_counts_uncertain_gains_short(shop):
    sure, bold = _action("sure", hours=0.1), _action("bold", channel="phone", hours=0.1)
    situation = shop.situation(shop.tables(["a"]))

    class Both:
        name = "both"

        def propose(self, given):
            import attrs

            made = shop.proposals(given, [(0, sure, 8.0), (0, bold, 10.0)])
            return attrs.evolve(made, gain_sd=np.asarray([1.0, 9.0]))

    chosen = [
        plan_for(situation, budget=Budget(0, 9), strategies=[Both()], policies=(), holdout=0, risk=risk).action[0]
        for risk in (0.0, 1.0, 9.0)
    ]
    assert chosen == ["bold", "sure", ""]


def test_a_reward_counts_whole_against_the_budget_and_as_expected_in_the_gain(shop):
    voucher = _action("voucher", channel="email", reward="discount", reward_cost=5.0, take_up=0.2, conditional=True)
    situation = shop.situation(shop.tables(["a", "b", "c"]))

    class Vouchers:
        name = "vouchers"

        def propose(self, given):
            return shop.proposals(given, [(i, voucher, 3.0) for i in range(3)])

    plan = plan_for(situation, budget=Budget(10.0, 1.0), strategies=[Vouchers()], policies=(), holdout=0)
    assert (plan.decision == "contact").sum() == 2
    assert plan.spent_money == 10.0
    np.testing.assert_allclose(plan.net[plan.decision == "contact"], 2.0)


def test_of_equal_actions_the_one_at_a_touchpoint_that_exists_comes_first(shop):
    letter, word = _action("a letter"), _action("word", channel="in person", touchpoint=True)
    situation = shop.situation(shop.tables(["a"]))

    class Both:
        name = "both"

        def propose(self, given):
            return shop.proposals(given, [(0, letter, 5.0), (0, word, 5.0)])

    plan = plan_for(situation, budget=Budget(0, 1), strategies=[Both()], policies=(), holdout=0)
    assert plan.action.tolist() == ["word"]


def test_the_next_contact_is_to_connect_to_ask_or_to_wait_and_a_connection_can_win(shop):
    ask, give = _action("ask", kind="ask"), _action("give")
    ids = ["a", "b", "c"]
    situation = shop.situation(shop.tables(ids, opens_in=[0, 0, 9]))

    class Both:
        name = "both"

        def propose(self, given):
            return shop.proposals(given, [(0, ask, 5.0), (0, give, 7.0), (1, ask, 5.0), (1, give, 4.0)])

    plan = plan_for(situation, budget=Budget(0, 1), strategies=[Both()], policies=(), holdout=0)
    following = plan.next_contacts()
    assert following.what.tolist() == ["connect", "ask", "wait"]
    assert following.on[2] == np.datetime64(DAY) + 9
    assert all(following.reason.tolist())
    assert repr(following) == "<NextContacts: connect 1, ask 1, wait 1>"


@pytest.mark.parametrize("bad", [{"explore": 1.0}, {"explore": -0.1}, {"risk": -1}, {"risk": float("nan")}])
def test_shares_and_risks_that_make_no_sense_are_one_clear_error(shop, bad):
    with pytest.raises(PlanError):
        make_plan(*shop.tables(["a"]), budget=Budget(0, 1), **bad)
