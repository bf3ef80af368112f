"""A plain function of one customer, or of the columns, is a stage: both forms say the same, and faults are named."""

import datetime as dt
import json
import sys
import threading
import types

import attrs
import numpy as np
import pytest

import retention as rt
from retention.domain import Action, Customer
from retention.errors import ModelError, PlanError, PluginError
from retention.plan import Budget, ContactPolicy, OutreachStrategy, Proposals, Review
from retention.plan.vetoes import gate
from retention.plugins import Contribution, open_registry, using
from retention.plugins.functions import (
    KnownCustomer,
    Proposal,
    contact_policy,
    gives,
    outreach_strategy,
    tiering_rule,
    value_model,
)
from retention.plugins.lifted_values import FittedFunctionModel
from retention.program import Program
from retention.testing import conformance, sample_histories, sample_shop
from retention.testing.laws import report
from retention.tiers import TieringRule
from retention.value import BGNBD, NBD, ValueModel

CARD = Action(
    name="card", kind="give", channel="post", money=1.5, needs_consent=False, customer_benefit="somebody thinks of her"
)


@contact_policy
def no_calls_to_the_new(customer, action):
    """New customers are not called."""
    return "came once, and is not called" if action.channel == "phone" and customer.history.frequency == 0 else None


@contact_policy
def no_calls_to_the_new_columns(proposals, situation):
    """New customers are not called."""
    new = situation.histories.frequency[proposals.base_row] == 0
    return Review.veto(new & (proposals.of_actions("channel") == "phone"), "came once, and is not called")


@tiering_rule(tiers=("standard", "gold"))
def regulars(customer, floor=4):
    """Gold from the fifth purchase on."""
    return "gold" if customer.history.frequency >= floor else "standard"


@tiering_rule(tiers=("standard", "gold"), name="regulars-columns")
def regulars_columns(histories, valuation, floor=4):
    """Gold from the fifth purchase on."""
    return np.where(histories.frequency >= floor, "gold", "standard")


@outreach_strategy(action=CARD)
def late(customer):
    """She is late on her own clock."""
    return 0.1 * customer.worth["expected_margin"] if customer.when["overdue"] else None


@outreach_strategy(action=CARD, name="late")
def late_columns(situation):
    """She is late on her own clock."""
    return np.where(situation.outlook.overdue, 0.1 * situation.valuation.expected_margin, np.nan)


@value_model
def thrice(customer):
    """Three of her purchase days a year."""
    return 3 * customer.history.margin_mean


@value_model(name="thrice", base=BGNBD())
def thrice_columns(histories):
    """Three of her purchase days a year."""
    return 3 * histories.margin_mean


STAGES = [no_calls_to_the_new, no_calls_to_the_new_columns, regulars, regulars_columns, late, late_columns, thrice]


@pytest.fixture(scope="module")
def shop():
    return sample_shop()


# Every stage made of a function keeps the laws of its kind


@pytest.mark.parametrize("law", [law for stage in STAGES for law in conformance(stage)])
def test_law(law):
    law()


def test_a_function_that_breaks_a_law_is_found_out():
    """Wrong on purpose: a policy with a memory, and a value of one customer that depends on the others."""
    seen = []

    @contact_policy
    def every_other(customer, action):
        seen.append(action)
        return len(seen) % 7 == 0

    @value_model
    def above_average(histories):
        return histories.margin_mean - histories.margin_mean.mean()

    assert "same_question_same_answer" in report(every_other).broken
    assert "one_is_many" in report(above_average).broken


# Both forms give the same answers


def test_a_policy_of_one_customer_and_of_the_columns_say_the_same(shop):
    one, many = (p.review(shop.proposals, shop.situation) for p in (no_calls_to_the_new, no_calls_to_the_new_columns))
    assert 0 < (~one.allowed).sum() < len(one.allowed)
    assert np.array_equal(one.allowed, many.allowed)
    assert np.array_equal(one.reason, many.reason)


def test_a_rule_of_one_customer_and_of_the_columns_say_the_same(shop):
    one, many = (rule.assign(shop.histories, shop.valuation) for rule in (regulars, regulars_columns))
    assert set(one.tier.tolist()) == {"standard", "gold"}
    assert one.equals(many)


def test_a_strategy_of_one_customer_and_of_the_columns_propose_the_same(shop):
    one, many = late.propose(shop.situation), late_columns.propose(shop.situation)
    assert 0 < len(one) < len(shop.situation)
    assert one.equals(many)
    assert one.assumptions == many.assumptions


def test_a_value_of_one_customer_and_of_the_columns_is_the_same():
    base = sample_histories()
    one, many = (model.fit(base).value(base, horizon_days=180, discount_rate=0.1) for model in (thrice, thrice_columns))
    assert one.equals(many)


# What the function is told


def test_the_customer_is_all_that_the_stages_know_of_her(shop):
    told: dict[str, KnownCustomer] = {}

    @outreach_strategy(action=CARD)
    def look(customer):
        told[customer.id] = customer

    situation = attrs.evolve(
        shop.situation,
        histories=shop.histories.with_attributes({"town": ["Bath"] * len(shop.histories)}),
        attributes={"birth_month": {str(shop.histories.customer_id[3]): 5}},
    )
    assert len(look.propose(situation)) == 0
    assert list(told) == shop.histories.customer_id.tolist()
    third = told[str(shop.histories.customer_id[3])]
    assert isinstance(third, Customer)
    assert third.history == shop.histories.row(3)
    assert dict(third.worth) == shop.valuation.row(3)
    assert third.tier == shop.tiering.tier[3]
    assert third.as_of == situation.as_of
    assert {name: third.attributes[name] for name in ("town", "birth_month")} == {"town": "Bath", "birth_month": 5}
    assert third.when["next_due_at"] == shop.outlook.next_due_at[3].item()
    for change in (lambda: third.worth.update(value=0), lambda: setattr(third, "tier", "gold")):
        with pytest.raises((AttributeError, attrs.exceptions.FrozenInstanceError)):
            change()


def test_a_rule_is_told_the_tier_before(shop):
    @tiering_rule(tiers=("new", "old"))
    def kept(customer, previous):
        assert previous in (None, customer.tier)
        return "new" if previous is None else "old"

    first = kept.assign(shop.histories, shop.valuation)
    assert set(first.tier.tolist()) == {"new"}
    assert set(kept.assign(shop.histories, shop.valuation, first).tier.tolist()) == {"old"}


def test_a_policy_is_told_the_window(shop):
    @contact_policy
    def not_yet(customer, opens, closes):
        return "not yet" if opens > customer.as_of else closes >= opens

    got = not_yet.review(shop.proposals, shop.situation)
    assert np.array_equal(got.allowed, shop.proposals.opens <= np.datetime64(shop.situation.as_of))


def test_a_policy_may_state_how_long_it_takes_at_most(shop):
    done = threading.Event()

    @contact_policy(limit_seconds=0.1)
    def asks_a_server(proposals, situation):
        done.wait()
        return np.ones(len(proposals), dtype=bool)

    passed, vetoes, _ = gate([asks_a_server], shop.proposals, shop.situation)
    done.set()
    assert not passed.allowed.any()
    assert "took longer" in vetoes.reason[0]


def test_a_decorated_function_is_still_the_function():
    assert regulars(types.SimpleNamespace(history=types.SimpleNamespace(frequency=4))) == "gold"
    assert (regulars.name, regulars.summary) == ("regulars", "Gold from the fifth purchase on.")
    assert no_calls_to_the_new.name == "no-calls-to-the-new"
    assert "'regulars'" in repr(regulars)


def test_stages_of_functions_satisfy_the_protocols():
    assert isinstance(regulars, TieringRule)
    assert isinstance(thrice, ValueModel)
    assert isinstance(no_calls_to_the_new, ContactPolicy) if hasattr(ContactPolicy, "_is_runtime_protocol") else True
    assert isinstance(late, OutreachStrategy) if hasattr(OutreachStrategy, "_is_runtime_protocol") else True


# How it is chosen


def test_a_notebook_uses_it_at_once(shop):
    with using(regulars, thrice, late, no_calls_to_the_new, installed=False):
        worth = rt.appraise(shop.histories, model="thrice")
        tiers = rt.assign_tiers(shop.histories, worth, rule="regulars")
        plan = rt.make_plan(
            shop.histories, worth, shop.outlook, tiers, budget=Budget(money=50),
            strategies=["late"], policies=["no-calls-to-the-new", "do-not-contact"], holdout=0,
        )  # fmt: skip
    assert (worth.model, tiers.rule) == ("thrice", "regulars")
    assert set(plan.contacts["strategy"].tolist()) == {"late"}
    assert plan.considered.strategy.tolist() == ["late"] * len(plan.considered)


def test_a_module_gives_it_by_one_line_for_each_hook():
    module = types.ModuleType("shop_plugins")
    module.retention_contact_policies = gives(no_calls_to_the_new)
    module.retention_tiering_rules = gives(regulars, regulars_columns)
    module.retention_value_models = gives(thrice)
    registry = open_registry([module], installed=False)
    assert registry.make("tiering_rule", "regulars") is regulars
    assert registry.make("contact_policy", "no-calls-to-the-new") is no_calls_to_the_new
    found = registry.find("value_model", "thrice")
    assert (found.summary, found.make()) == ("Three of her purchase days a year.", thrice)


def test_arguments_with_a_default_are_options(shop):
    module = types.ModuleType("shop_plugins")
    module.retention_tiering_rules = gives(regulars)
    rule = open_registry([module], installed=False).make("tiering_rule", "regulars", floor=1)
    tiers = rule.assign(shop.histories, shop.valuation)
    assert np.array_equal(tiers.tier == "gold", shop.histories.frequency >= 1)
    assert tiers.provenance.parameters == {"floor": 1}
    assert regulars.options == {}
    for wrong in ("flor", "customer"):
        with pytest.raises(PluginError, match=f"option '{wrong}'"):
            regulars.with_options(**{wrong: 1})


def test_gives_refuses_what_one_hook_cannot_give():
    for wrong in ([object()], [regulars, late], [int], [NBD()]):
        with pytest.raises(PluginError, match=r"gives\(\) of"):
            gives(*wrong)

    class Plain:
        """Everyone may be contacted."""

        name = "plain"

        def review(self, proposals, situation):
            raise NotImplementedError

    (given,) = gives(Plain())()
    assert isinstance(given, Contribution)
    assert (given.name, given.summary) == ("plain", "Everyone may be contacted.")


def test_a_program_takes_it_in_code(tmp_path):
    from retention.worlds.demo import make_demo

    @contact_policy
    def nobody(customer, action):
        """Nobody is contacted."""
        return False

    plan = Program.load(make_demo(tmp_path), plugins=[nobody]).run().plan
    assert len(plan.contacts) == 0
    assert set(plan.vetoes.reason[plan.vetoes.policy == "nobody"].tolist()) == {"Nobody is contacted."}


# What is wrong is told


def _generator(customer, action):
    yield None


async def _coroutine(customer, action):
    return None


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        (lambda customer, action: None, "without a name"),
        (_generator, "generator or a coroutine"),
        (_coroutine, "generator or a coroutine"),
        (dict, "a type"),
    ],
)
def test_what_cannot_be_lifted_is_told_at_once(function, seen):
    with pytest.raises(PluginError, match=seen):
        contact_policy(function)


def test_arguments_that_nobody_gives_are_told_at_once():
    def proposal(proposal, situation): ...
    def strange(customer, happening): ...
    def none(): ...
    def any_(customer, *rest): ...
    def mixed(customer, situation): ...

    for function in (proposal, strange, none, any_, mixed):
        with pytest.raises(PluginError, match="arguments of a contact policy are"):
            contact_policy(function)
    with pytest.raises(PluginError, match="did you mean 'customer'"):
        contact_policy(name="x")(lambda custommer, action: None)


def test_names_and_tiers_and_actions_are_checked():
    with pytest.raises(PluginError, match="named"):
        contact_policy(name="No Calls ")(lambda customer, action: None)
    for tiers in ("gold", ("gold", "gold"), (), ("gold", 3), None):
        with pytest.raises(PluginError, match="tiers"):
            tiering_rule(tiers=tiers)(lambda customer: "gold") if tiers in ("gold", None) else tiering_rule(
                tiers=tiers, name="x"
            )(lambda customer: "gold")
    with pytest.raises(PluginError, match="action of type str"):
        outreach_strategy(action="card")


@pytest.mark.parametrize(
    "answer",
    [0, 1.5, "", "  ", [], np.nan, np.array([True])],
    ids=["0", "1.5", "blank", "blanks", "[]", "nan", "array"],
)
def test_a_policy_that_answers_with_anything_else_lets_nothing_through(shop, answer):
    policy = contact_policy(name="odd")(lambda customer, action: answer)
    with pytest.raises(PluginError, match="'odd' answered with"):
        policy.review(shop.proposals, shop.situation)
    passed, vetoes, _ = gate([policy], shop.proposals, shop.situation)
    assert not passed.allowed.any()
    assert set(vetoes.policy.tolist()) == {"odd"}


@pytest.mark.parametrize("answer", [True, np.ones(3, dtype=bool), None, "no"])
def test_a_policy_of_columns_that_answers_with_anything_else_lets_nothing_through(shop, answer):
    policy = contact_policy(name="odd")(lambda proposals, situation: answer)
    assert not gate([policy], shop.proposals, shop.situation)[0].allowed.any()


@pytest.mark.parametrize("answer", [None, "platinum", 1, ("gold",)])
def test_a_rule_that_names_no_tier_of_its_own_is_an_error(shop, answer):
    rule = tiering_rule(tiers=("standard", "gold"), name="odd")(lambda customer: answer)
    with pytest.raises(PluginError, match="'odd' answered with"):
        rule.assign(shop.histories, shop.valuation)


@pytest.mark.parametrize("answer", [True, "much", np.nan, np.inf, [1.0]])
def test_a_strategy_that_tells_no_gain_is_an_error_with_its_name(shop, answer):
    strategy = outreach_strategy(action=CARD, name="odd")(lambda customer: answer)
    with pytest.raises(PluginError, match="'odd' answered with"):
        strategy.propose(shop.situation)
    with pytest.raises(PlanError, match="the strategy 'odd'"):
        rt.make_plan(shop.histories, shop.valuation, shop.outlook, shop.tiering, budget=Budget(), strategies=[strategy])


def test_a_proposal_says_more(shop):
    day = shop.situation.as_of

    @outreach_strategy(action=CARD)
    def birthday(customer):
        """A card on her day."""
        if customer.id == shop.histories.customer_id[1]:
            return Proposal(gain=4.0, reason="on Friday", gain_sd=1.0, opens=day + dt.timedelta(days=3))
        if customer.id == shop.histories.customer_id[2]:
            return Proposal(gain=2.0, closes=day + dt.timedelta(days=1))
        return None

    found = birthday.propose(shop.situation)
    assert isinstance(found, Proposals)
    assert found.base_row.tolist() == [1, 2]
    assert (found.reason.tolist(), found.gain_sd.tolist()) == (["on Friday", "A card on her day."], [1.0, 1.0])
    assert found.opens.tolist() == [day + dt.timedelta(days=3), day]
    assert found.closes.tolist() == [day + dt.timedelta(days=16), day + dt.timedelta(days=1)]


@pytest.mark.parametrize("answer", [True, None, "12", np.nan, np.inf, [1.0]])
def test_a_value_that_is_no_number_is_an_error(answer):
    model = value_model(name="odd")(lambda customer: answer)
    base = sample_histories(5)
    with pytest.raises(PluginError, match="'odd' answered with"):
        model.fit(base).value(base, horizon_days=90, discount_rate=0.0)


def test_what_a_function_raises_is_told_with_where_it_is(shop):
    @value_model
    def ratio(customer):
        return 1 / customer.history.frequency

    @tiering_rule(tiers=("a",))
    def broken(histories, valuation):
        raise KeyError("town")

    for error, call in (
        (ZeroDivisionError, lambda: rt.appraise(shop.histories, model=ratio)),
        (KeyError, lambda: broken.assign(shop.histories, shop.valuation)),
    ):
        with pytest.raises(error) as caught:
            call()
        (note,) = caught.value.__notes__
        assert "test_functions" in note
        assert "'ratio'" in note or "'broken'" in note
        assert not any(who in note for who in shop.histories.customer_id.tolist() if len(who) > 3)


# A value of a function


def test_a_years_margin_is_what_the_function_says_times_the_chance_that_she_is_a_customer():
    base = sample_histories()
    fitted = thrice.fit(base)
    worth = fitted.value(base, horizon_days=365, discount_rate=0.0)
    assert np.allclose(worth.expected_margin, 3 * base.margin_mean * worth.p_alive, rtol=1e-12)
    purchases = BGNBD().fit_purchases(base)
    assert np.array_equal(worth.p_alive, purchases.p_alive(base))
    assert np.array_equal(worth.expected_purchases, purchases.expected_purchases(base, 365))
    half = fitted.value(base, horizon_days=180, discount_rate=0.0)
    share = purchases.expected_purchases(base, 180) / purchases.expected_purchases(base, 365)
    assert np.allclose(half.expected_margin, worth.expected_margin * share, rtol=1e-12)
    assert any("function" in note for note in worth.provenance.notes)


def test_the_interval_holds_what_a_shop_like_the_model_brings():
    """5,000 customers of a planted BG/NBD, each of whose purchase days brings 10 with a spread of 60 %; the function
    knows her year. 80 % intervals hold for 90 days ahead: 4.5 standard errors of a share (0.57 %) are 2.5 %; a base
    that shows no spread at all has intervals that hold too often, never too seldom."""
    truth = BGNBD().at(r=0.8, alpha=6.0, a=0.5, b=4.0)
    rng, n, shape = np.random.default_rng(3), 5000, 1 / 0.6**2
    kernel = truth.recipe.kernel()
    past = kernel.simulate(np.array(truth.purchase_params), np.full(n, 52.0), rng)
    x = past.x.astype(np.int64)
    parts = [rng.gamma(shape, 10 / shape, k) for k in x]
    base = rt.Histories.from_arrays(
        frequency=x,
        recency_days=past.t_x * 7.0,
        age_days=past.T * 7.0,
        margin_mean=[p.mean() if len(p) else 0.0 for p in parts],
        margin_squares=[float((p**2).sum()) for p in parts],
    )
    fitted = FittedFunctionModel(
        model=value_model(name="ten-each")(
            lambda histories: 10 * truth.expected_purchases(histories, 365) / truth.p_alive(histories)
        ),
        purchases=truth,
        spread=thrice.fit(base).spread,
    )
    assert fitted.spread == pytest.approx(0.6, abs=0.03)
    ahead = kernel.ahead(np.array(truth.purchase_params), past, 90 / 7.0, 0.0, rng)
    came = ahead.counts.astype(np.int64)
    brought = np.array([rng.gamma(shape * k, 10 / shape) if k else 0.0 for k in came])
    worth = fitted.value(base, horizon_days=90, discount_rate=0.0, interval=0.8)
    inside = (brought >= worth.value_low - 1e-9) & (brought <= worth.value_high + 1e-9)
    assert inside.mean() > 0.8 - 0.025
    above = (brought > worth.value_high).mean()
    assert above < 0.1 + 0.02
    low, high = worth.total_bounds
    assert low < brought.sum() < high


def test_it_is_stored_by_the_name_of_its_function_and_comes_back_where_that_is_defined():
    base = sample_histories(10)
    fitted = thrice.fit(base)
    stored = json.loads(json.dumps(fitted.to_dict(), allow_nan=False))
    assert stored["function"].endswith("test_functions:thrice")
    again = FittedFunctionModel.from_dict(stored)
    assert again.model is thrice
    one, two = (m.value(base, horizon_days=90, discount_rate=0.1) for m in (fitted, again))
    assert one.equals(two)


def test_a_function_that_is_not_here_or_has_changed_is_refused_and_nothing_is_imported():
    fitted = thrice.fit(sample_histories(10)).to_dict()
    with pytest.raises(ModelError, match="not here"):
        FittedFunctionModel.from_dict({**fitted, "function": "antigravity:worth"})
    assert "antigravity" not in sys.modules

    def make(times):
        @value_model
        def worth(customer):
            return times * customer.history.margin_mean

        return worth

    two = make(2)
    stored = two.fit(sample_histories(10)).to_dict()
    assert FittedFunctionModel.from_dict(stored).model is two
    three = make(3)
    with pytest.raises(ModelError, match="has changed"):
        FittedFunctionModel.from_dict(stored)
    assert three.name == two.name
    for wrong in ({}, {**fitted, "format": 9}, {**fitted, "options": None}):
        with pytest.raises(ModelError, match="what to_dict wrote"):
            FittedFunctionModel.from_dict(wrong)


def test_only_a_purchase_model_can_be_the_base():
    for base in ("auto", object()):
        with pytest.raises(PluginError, match="with the base"):
            value_model(name="x", base=base)(lambda customer: 1.0).fit(sample_histories(5))
