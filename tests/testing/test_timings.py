"""Each law of timings catches a clock made to break it, and the library's own keep them all."""

import os

import numpy as np
import pytest

from retention.histories import Histories
from retention.plugins import open_registry
from retention.testing import check_timing, report, run, sample_histories
from retention.testing.timings import KIT, LAWS
from retention.value import BGBB, BGCNBD, MBGCNBD, ParetoGGG


class Clock:
    """Who came lately comes again."""

    def __init__(self, pace=60.0):
        self.pace = pace

    def p_alive(self, histories):
        return np.exp(-histories.idle_days / (10.0 * self.pace))

    def p_purchase(self, histories, days):
        return self.p_alive(histories) * -np.expm1(-days / self.pace)


class Good:
    name = "good"
    clock = Clock

    def fit(self, histories):
        return self.clock(1.0 + float(histories.age_days.mean()))


class Nameless(Good):
    name = ""


class HalfPrecision(Good):
    class clock(Clock):
        def p_alive(self, histories):
            return super().p_alive(histories).astype(np.float32)


class Certain(Good):
    class clock(Clock):
        def p_purchase(self, histories, days):
            return 1.1 * super().p_purchase(histories, days)

        def p_alive(self, histories):
            return 1.1 * super().p_alive(histories)


class ComesAtOnce(Good):
    class clock(Clock):
        def p_purchase(self, histories, days):
            return super().p_purchase(histories, days + 1.0)


class Tires(Good):
    class clock(Clock):
        def p_purchase(self, histories, days):
            return super().p_purchase(histories, days) * np.exp(-days / 400.0)


class ComesFromTheDead(Good):
    class clock(Clock):
        def p_purchase(self, histories, days):
            return -np.expm1(np.full(len(histories), -days / self.pace))


class LooksAtTheMean(Good):
    class clock(Clock):
        def p_alive(self, histories):
            alive = super().p_alive(histories)
            return 0.5 * (alive + alive.mean()) if len(alive) else alive


class CountsFromTheTop(Good):
    class clock(Clock):
        def p_alive(self, histories):
            return super().p_alive(histories) / (1.0 + np.arange(len(histories)))


class NeedsSomebody(Good):
    class clock(Clock):
        def p_alive(self, histories):
            histories.idle_days.max()
            return super().p_alive(histories)


class ThrowsDice(Good):
    def fit(self, histories):
        return Clock(60.0 + np.random.default_rng().random())


class KeepsOneClock(Good):
    def __init__(self):
        self.kept = Clock()

    def fit(self, histories):
        self.kept.pace = 1.0 + float(histories.age_days.mean())
        return self.kept


class Scribbles(Good):
    def fit(self, histories):
        histories.age_days.flags.writeable = True
        histories.age_days[:] = np.maximum(histories.age_days, 100.0)
        return super().fit(histories)


class GoesElsewhere(Good):
    def fit(self, histories):
        os.chdir("/")
        return super().fit(histories)


WRONG = [
    (Nameless, "has_a_name"),
    (HalfPrecision, "shape_and_dtype"),
    (Certain, "answers_are_probabilities"),
    (ComesAtOnce, "nobody_comes_in_no_time"),
    (Tires, "more_days_more_purchases"),
    (ComesFromTheDead, "who_comes_is_alive"),
    (LooksAtTheMean, "one_is_many"),
    (CountsFromTheTop, "order_does_not_matter"),
    (NeedsSomebody, "empty_in_empty_out"),
    (ThrowsDice, "fitting_twice_gives_the_same"),
    (KeepsOneClock, "a_recipe_stays_a_recipe"),
    (Scribbles, "input_untouched"),
    (GoesElsewhere, "the_world_stays_as_it_was"),
]


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_clock_breaks_the_law_it_was_made_to_break(kind, law):
    here = os.getcwd()
    assert law in run([one for one in LAWS if one.name == law], KIT.subject(kind)).broken
    assert os.getcwd() == here


def test_every_law_has_a_clock_that_breaks_it():
    assert {law.name for law in LAWS} == {law for _, law in WRONG}
    assert all(law.ask for law in LAWS)


def test_a_plain_clock_keeps_all_laws_as_a_recipe_and_fitted():
    check_timing(Good)
    check_timing(Clock())
    assert report(Good).who == "Good"  # that it is no value model is seen by what its clock can do


FEW = sample_histories()[[2, 3, 5, 40, 41, 42, 45]]
WHOLE_PERIODS = Histories.from_arrays(
    frequency=[0, 1, 3, 5, 0, 2, 7, 1],
    recency_days=[0, 30, 120, 180, 0, 300, 240, 270],
    age_days=[0, 30, 150, 360, 360, 330, 270, 300],
)
# By name: what is asked in place of the recipe as the registry makes it, and on which base; so that no one takes long.
INSTEAD = {
    "bg-bb": (BGBB(period_days=30).at(alpha=1.2, beta=0.75, gamma=0.66, delta=2.78), WHOLE_PERIODS),
    "bg-cnbd-k": (BGCNBD(k=2).at(r=0.6, alpha=3.0, a=0.8, b=2.5, p=6.0, q=4.0, v=15.0), FEW),
    "mbg-cnbd-k": (MBGCNBD(k=2).at(r=0.6, alpha=3.0, a=0.8, b=2.5, p=6.0, q=4.0, v=15.0), FEW),
    "pareto-ggg": (ParetoGGG().at(r=0.6, alpha=6.0, s=0.6, beta=10.0, t=2.0, gamma=1.5, p=6.0, q=4.0, v=15.0), FEW[:2]),
}
REGISTRY = open_registry(installed=False)


BORROWED = {"lifelines"}  # another library's models, held to the laws where that is installed


@pytest.mark.parametrize("name", sorted({*REGISTRY.names("timing")} - BORROWED))
def test_our_clocks_keep_all_laws(name):
    timing, base = INSTEAD.get(name, (REGISTRY.make("timing", name), FEW))
    check_timing(timing, base)
