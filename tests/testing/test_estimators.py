"""Each law of estimators catches one made to break it, and the library's own keep them all."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from retention.plugins import open_registry
from retention.testing import check_estimator, run
from retention.testing.estimators import KIT, LAWS


class Good:
    """Welch's difference within groups, with a normal interval."""

    name = "good"

    def weights(self, contacted, group):
        return {g: np.mean(group[contacted] == g) for g in np.unique(group)}

    def parts(self, values, contacted, group):
        value = variance = 0.0
        for g, weight in self.weights(contacted, group).items():
            arms = [values[(group == g) & (contacted == arm)] for arm in (True, False)]
            value += weight * (arms[0].mean() - arms[1].mean())
            variance += weight**2 * sum(arm.var(ddof=1) / len(arm) for arm in arms)
        return float(value), float(np.sqrt(variance))

    def estimate(self, values, contacted, group, *, before=None, level=0.95, cost=0.0):
        value, error = self.parts(values, contacted, group)
        wide = {0.90: 1.645, 0.99: 2.576}.get(level, 1.96) * error
        value -= cost
        above = 0.5 * (1.0 + np.tanh(-0.8 * value / error))
        return SimpleNamespace(
            value=value, low=value - wide, high=value + wide, error=error, tail_above=above, tail_below=1.0 - above
        )


class Changed(Good):
    def estimate(self, values, contacted, group, **asked):
        told = super().estimate(values, contacted, group, **asked)
        return SimpleNamespace(**{**vars(told), **self.change(told, values, asked)})


class Nameless(Good):
    name = ""


class DoesNotKnow(Changed):
    def change(self, told, values, asked):
        return {"error": float("nan")}


class UpsideDown(Changed):
    def change(self, told, values, asked):
        return {"low": told.high, "high": told.low}


class IgnoresTheLevel(Changed):
    def change(self, told, values, asked):
        level = asked.get("level", 0.95)
        return {"low": told.value - (1 - level), "high": told.value + (1 - level)}


class SureOfBoth(Changed):
    def change(self, told, values, asked):
        return {"tail_above": 0.01, "tail_below": 0.01}


class FirstHalf(Good):
    def parts(self, values, contacted, group):
        return super().parts(values[:200], contacted[:200], group[:200])


class NumbersOfGroups(Good):
    def weights(self, contacted, group):
        each = super().weights(contacted, group)
        return {g: weight if g < 100 else 0.9 * weight for g, weight in each.items()}


class Shrinks(Changed):
    def change(self, told, values, asked):
        return {"value": 0.9 * told.value}


class Ratio(Good):
    """How many times as much, which is no difference."""

    def parts(self, values, contacted, group):
        value, error = super().parts(values, contacted, group)
        rest = values[~contacted].mean()
        return value / rest, error / rest


class KnowsTheCurrency(Good):
    def parts(self, values, contacted, group):
        return super().parts(np.minimum(values, 50.0), contacted, group)


class ForgetsTheCost(Good):
    def estimate(self, values, contacted, group, *, before=None, level=0.95, cost=0.0):
        return super().estimate(values, contacted, group, level=level)


class Overconfident(Changed):
    def change(self, told, values, asked):
        half = (told.high - told.low) / 6
        return {"low": told.value - half, "high": told.value + half}


class ThrowsDice(Good):
    def parts(self, values, contacted, group):
        value, error = super().parts(values, contacted, group)
        return value + 1e-3 * np.random.default_rng().random(), error


class Scribbles(Good):
    def parts(self, values, contacted, group):
        values -= values.mean()
        return super().parts(values, contacted, group)


class Hushes(Good):
    def parts(self, values, contacted, group):
        warnings.simplefilter("ignore")
        return super().parts(values, contacted, group)


WRONG = [
    (Nameless, "has_a_name"),
    (DoesNotKnow, "answers_with_numbers"),
    (UpsideDown, "bounds_are_in_order"),
    (IgnoresTheLevel, "bounds_are_in_order"),
    (SureOfBoth, "tails_are_probabilities"),
    (FirstHalf, "order_does_not_matter"),
    (NumbersOfGroups, "names_of_groups_do_not_matter"),
    (Shrinks, "a_gift_to_the_contacted_is_seen"),
    (Ratio, "a_gift_to_the_contacted_is_seen"),
    (Ratio, "a_gift_to_all_is_none"),
    (KnowsTheCurrency, "money_in_cents_is_money"),
    (ForgetsTheCost, "a_cost_comes_off"),
    (Overconfident, "seldom_wrong_by_chance"),
    (ThrowsDice, "same_question_same_answer"),
    (Scribbles, "input_untouched"),
    (Hushes, "the_world_stays_as_it_was"),
]


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_estimator_breaks_the_law_it_was_made_to_break(kind, law):
    assert law in run([one for one in LAWS if one.name == law], KIT.subject(kind)).broken


def test_every_law_has_an_estimator_that_breaks_it():
    assert {law.name for law in LAWS} == {law for _, law in WRONG}
    assert all(law.ask for law in LAWS)


def test_a_plain_estimator_keeps_all_laws():
    check_estimator(Good)


REGISTRY = open_registry(installed=False)


@pytest.mark.parametrize("name", REGISTRY.names("estimator"))
def test_our_estimators_keep_all_laws(name):
    check_estimator(REGISTRY.make("estimator", name))
