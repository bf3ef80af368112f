"""The laws hold for our models, and each law catches a model made to break it."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings

from retention.histories import Histories
from retention.plugins import open_registry
from retention.testing import BrokenLaws, check_value_model, report, run, sample_histories
from retention.testing.strategies import histories
from retention.testing.value_models import KIT, LAWS
from retention.value import BGBB, BGCNBD, BGNBD, MBGCNBD, AutoModel, FittedPurchases, GGompertzNBD, ParetoGGG, ParetoNBD

GOOD = {"r": 0.5, "alpha": 5.0, "a": 0.8, "b": 2.5, "p": 6.0, "q": 4.0, "v": 15.0}


FEW = sample_histories()[[0, 1, 2, 3, 4, 5, 6, 7, 40, 41, 42, 45]]
SMALL = FEW[[2, 3, 8, 9, 10]]
WHOLE_PERIODS = Histories.from_arrays(
    frequency=[0, 1, 3, 5, 0, 2, 7, 1] * 2,
    recency_days=[0, 30, 120, 180, 0, 300, 240, 270] * 2,
    age_days=[0, 30, 150, 360, 360, 330, 270, 300] * 2,
    margin_mean=[0, 10, 12, 9, 0, -3, 20, 15] * 2,
)
MONEY = {"p": 6.0, "q": 4.0, "v": 15.0}
# By name: what is asked in place of the recipe as the registry makes it, and on which base; so that no one takes long.
INSTEAD = {
    "auto": (AutoModel(), FEW),
    "bg-bb": (BGBB(period_days=30).at(alpha=1.2, beta=0.75, gamma=0.66, delta=2.78, **MONEY), WHOLE_PERIODS),
    "ggompertz-nbd": (GGompertzNBD().at(r=0.6, alpha=6.0, b=0.05, s=0.6, beta=1.0, **MONEY), FEW),
    "bg-cnbd-k": (BGCNBD(k=2).at(r=0.6, alpha=3.0, a=0.8, b=2.5, **MONEY), SMALL),
    "mbg-cnbd-k": (MBGCNBD(k=2).at(r=0.6, alpha=3.0, a=0.8, b=2.5, **MONEY), SMALL),
    "pareto-nbd": (ParetoNBD(), SMALL),
    "pareto-ggg": (
        ParetoGGG().at(r=0.6, alpha=6.0, s=0.6, beta=10.0, t=2.0, gamma=1.5, **MONEY),
        FEW[[2, 3]],
    ),
}
REGISTRY = open_registry(installed=False)


BORROWED = {"sklearn", "pymc-marketing"}  # other libraries' models, held to the laws where those are installed


@pytest.mark.parametrize("name", sorted({*REGISTRY.names("value_model")} - BORROWED))
def test_our_models_keep_all_laws(name):
    model, base = INSTEAD.get(name, (REGISTRY.make("value_model", name), FEW))
    run(LAWS, KIT.subject(model, histories=base), who=name).raise_if_broken()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [BGCNBD(), MBGCNBD(), GGompertzNBD()], ids=lambda recipe: recipe.name)
def test_our_slower_models_keep_all_laws_fitted(recipe):
    """BG/BB and auto are held to the laws, fitted, beside their own tests; Pareto/GGG takes minutes."""
    run(LAWS, KIT.subject(recipe, histories=FEW[2:6]), who=recipe.name).raise_if_broken()


def test_our_model_keeps_all_laws_fitted_and_given():
    check_value_model(BGNBD().at(**GOOD))
    check_value_model(BGNBD(time_unit_days=1.0), SMALL)


@settings(max_examples=5)
@given(base=histories(max_size=8))
def test_our_model_keeps_all_laws_on_any_base(base):
    check_value_model(BGNBD().at(**GOOD), base)


class LooksAtTheMean(FittedPurchases):
    """Answers relative to the company."""

    def p_alive(self, histories):
        alive = super().p_alive(histories)
        return alive * 0.5 + alive.mean() * 0.5 if len(alive) else alive


class CountsFromTheTop(FittedPurchases):
    """Answers depend on the row."""

    def expected_purchases(self, histories, days):
        return super().expected_purchases(histories, days) * (1 + 0.01 * np.arange(len(histories)))


class TreatsFirstRowApart(FittedPurchases):
    """Parts do not make the whole."""

    def log_likelihoods(self, histories):
        values = super().log_likelihoods(histories).copy()
        values[:1] -= len(values)
        return values


class ForgetsDigits(FittedPurchases):
    """Stores rounded parameters."""

    def to_dict(self):
        return {**super().to_dict(), "purchase_params": [round(value, 2) for value in self.purchase_params]}


class HalfPrecision(FittedPurchases):
    """Answers in float32."""

    def p_alive(self, histories):
        return super().p_alive(histories).astype(np.float32)


class Scribbles(FittedPurchases):
    """Writes into its input."""

    def p_alive(self, histories):
        histories.age_days.flags.writeable = True
        histories.age_days[:1] += 1
        return super().p_alive(histories)


class FillsTheVoid(FittedPurchases):
    """Has an answer for nobody."""

    def log_likelihoods(self, histories):
        return super().log_likelihoods(histories) if len(histories) else np.ones(1)


class Overflows(FittedPurchases):
    """Gives up on frequent buyers."""

    def log_likelihoods(self, histories):
        return np.where(histories.frequency > 80, np.nan, super().log_likelihoods(histories))


class MoreThanAlive(FittedPurchases):
    """A probability above 1."""

    def p_alive(self, histories):
        return super().p_alive(histories) * 1.01


class BuysAtOnce(FittedPurchases):
    """Purchases in no time."""

    def expected_purchases(self, histories, days):
        return super().expected_purchases(histories, days) + 0.1


class Shrinks(FittedPurchases):
    """Fewer purchases in more time."""

    def expected_purchases(self, histories, days):
        return super().expected_purchases(histories, days) / (1 + days / 50)


class UpsideDown(FittedPurchases):
    """Bounds the wrong way round."""

    def value(self, histories, **asked):
        worth = super().value(histories, **asked)
        return evolve(worth, value_low=worth.value_high, value_high=worth.value_low)


class IgnoresTheInterval(FittedPurchases):
    """Narrower when asked for wider."""

    def value(self, histories, **asked):
        return super().value(histories, **{**asked, "interval": 1 - asked["interval"] * 0.9})


class Inflates(FittedPurchases):
    """Discounting that adds."""

    def value(self, histories, **asked):
        worth = super().value(histories, **asked)
        return evolve(worth, value=worth.expected_margin * 1.1)


class Gives0Over0(FittedPurchases):
    """Nobody is alive or dead after ten years."""

    def p_alive(self, histories):
        return np.where(histories.age_days > 3650, np.nan, super().p_alive(histories))


class Nameless(FittedPurchases):
    """Without a name."""

    name = ""


class Recipe:
    """A sound recipe of its own; the wrong ones change one thing."""

    name = "own"
    scale_free = True

    def fit(self, histories):
        return BGNBD(time_unit_days=7.0).fit(histories)


class ThrowsDice(Recipe):
    """Learns otherwise each time."""

    def fit(self, histories):
        return BGNBD().at(**{**GOOD, "r": 0.5 + random.random()})


class KeepsOneModel(Recipe):
    """Its fitted models are one object, which learns anew: what wrapping an estimator without a clone does."""

    def __init__(self):
        self.model = SimpleNamespace(p_alive=0.0)

    def fit(self, histories):
        model, kept = wrong(FittedPurchases), self.model
        kept.p_alive = histories.frequency.mean() / 100.0
        answers = {name: getattr(model, name) for name in ("name", "expected_purchases", "value", "to_dict")}
        return SimpleNamespace(p_alive=lambda h: np.full(len(h), kept.p_alive), **answers)


class CountsItsFits(Recipe):
    """A setting changes with each fit."""

    def __init__(self):
        self.fits = 0

    def fit(self, histories):
        self.fits += 1
        return super().fit(histories)


class KnowsTheCurrency(Recipe):
    """Nobody brings less than a unit of money."""

    def fit(self, histories):
        return BGNBD().fit(evolve(histories, margin_mean=np.maximum(histories.margin_mean, 20.0)))


class Chatters(Recipe):
    """Says what it does."""

    def fit(self, histories):
        print("fitting")
        return super().fit(histories)


WRONG = [
    (Nameless, "has_a_name"),
    (LooksAtTheMean, "one_is_many"),
    (TreatsFirstRowApart, "parts_make_the_whole"),
    (CountsFromTheTop, "order_does_not_matter"),
    (ForgetsDigits, "round_trip"),
    (HalfPrecision, "shape_and_dtype"),
    (Scribbles, "input_untouched"),
    (FillsTheVoid, "empty_in_empty_out"),
    (Overflows, "numbers_are_finite"),
    (Gives0Over0, "finite_for_everyone_who_can_exist"),
    (MoreThanAlive, "p_alive_is_a_probability"),
    (BuysAtOnce, "purchases_grow_with_the_horizon"),
    (Shrinks, "purchases_grow_with_the_horizon"),
    (UpsideDown, "bounds_are_in_order"),
    (IgnoresTheInterval, "bounds_are_in_order"),
    (Inflates, "money_adds_up"),
]
WRONG_RECIPES = [
    (KnowsTheCurrency, "money_in_cents_is_money"),
    (ThrowsDice, "fitting_twice_gives_the_same"),
    (KeepsOneModel, "a_recipe_stays_a_recipe"),
    (CountsItsFits, "a_recipe_stays_a_recipe"),
    (Chatters, "the_world_stays_as_it_was"),
]


def wrong(kind):
    good = BGNBD().at(**{**GOOD, "alpha": 5.123456})
    return kind(recipe=good.recipe, purchase_params=good.purchase_params, margin=good.margin)


def only(law):
    return [one for one in LAWS if one.name == law]


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_model_breaks_the_law_it_was_made_to_break(kind, law):
    assert law in run(only(law), KIT.subject(wrong(kind))).broken


@pytest.mark.parametrize(("kind", "law"), WRONG_RECIPES, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_recipe_breaks_the_law_it_was_made_to_break(kind, law):
    assert law in run(only(law), KIT.subject(kind)).broken
    assert not run(only(law), KIT.subject(Recipe)).broken


def test_all_that_is_broken_is_told_at_once():
    with pytest.raises(BrokenLaws) as caught:
        check_value_model(wrong(Scribbles))
    assert "input_untouched" in caught.value.broken


def test_every_law_has_a_model_that_breaks_it():
    assert {law.name for law in LAWS} == {law for _, law in WRONG + WRONG_RECIPES}
    assert all(law.ask for law in LAWS)


def test_of_a_fitted_model_nothing_is_asked_about_fitting():
    told = report(BGNBD().at(**GOOD))
    asked_nothing = {finding.law for finding in told.findings if finding.status == "not asked"}
    assert asked_nothing == {"money_in_cents_is_money", "fitting_twice_gives_the_same", "a_recipe_stays_a_recipe"}
    assert told.passed


def test_a_model_that_raises_is_a_finding_and_not_a_crash():
    class Raises(FittedPurchases):
        def p_alive(self, histories):
            raise ZeroDivisionError("not today")

    with pytest.raises(BrokenLaws, match="not today"):
        check_value_model(wrong(Raises))


@given(base=histories())
def test_the_strategy_makes_bases_that_can_exist(base):
    assert isinstance(base, Histories)
    assert np.all(base.frequency <= base.recency_days)
    assert np.all(base.recency_days <= base.age_days)
