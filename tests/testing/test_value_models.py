"""The laws hold for our models, and each law catches a model made to break it."""

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings

from retention.histories import Histories
from retention.testing import BrokenLaws, check_value_model, sample_histories, value_models
from retention.testing.strategies import histories
from retention.value import BGNBD, FittedPurchases

GOOD = {"r": 0.5, "alpha": 5.0, "a": 0.8, "b": 2.5, "p": 6.0, "q": 4.0, "v": 15.0}


def test_our_model_keeps_all_laws_fitted_and_given():
    check_value_model(BGNBD())
    check_value_model(BGNBD().at(**GOOD))
    check_value_model(BGNBD(time_unit_days=1.0))


@settings(max_examples=10)
@given(base=histories(max_size=8))
def test_our_model_keeps_all_laws_on_any_base(base):
    check_value_model(BGNBD(), base)


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


WRONG = [
    (LooksAtTheMean, "one_is_many"),
    (TreatsFirstRowApart, "parts_make_the_whole"),
    (CountsFromTheTop, "order_does_not_matter"),
    (ForgetsDigits, "round_trip"),
    (HalfPrecision, "shape_and_dtype"),
    (Scribbles, "input_untouched"),
    (FillsTheVoid, "empty_in_empty_out"),
    (Overflows, "numbers_are_finite"),
    (MoreThanAlive, "p_alive_is_a_probability"),
    (BuysAtOnce, "purchases_grow_with_the_horizon"),
    (Shrinks, "purchases_grow_with_the_horizon"),
    (UpsideDown, "bounds_are_in_order"),
    (IgnoresTheInterval, "bounds_are_in_order"),
    (Inflates, "money_adds_up"),
]


def wrong(kind):
    good = BGNBD().at(**{**GOOD, "alpha": 5.123456})
    return kind(recipe=good.recipe, purchase_params=good.purchase_params, margin=good.margin)


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_model_breaks_the_law_it_was_made_to_break(kind, law):
    base = sample_histories()
    with pytest.raises(AssertionError):
        getattr(value_models, law)(wrong(kind), base)
    with pytest.raises(BrokenLaws) as caught:
        check_value_model(wrong(kind), sample_histories())
    assert law in caught.value.broken


def test_every_law_has_a_model_that_breaks_it():
    assert {law.__name__ for law in value_models.LAWS} == {law for _, law in WRONG}
    assert all(law.__doc__ for law in value_models.LAWS)


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
