"""One call from a base to what each customer is worth."""

import datetime as dt

import numpy as np
import pytest

from retention.errors import ConfigError
from retention.histories import Histories
from retention.testing import sample_histories
from retention.value import BGNBD, FittedValueModel, ValueModel, appraise


def test_a_recipe_is_fitted_and_a_fitted_model_is_used_as_it_is():
    base = sample_histories()
    recipe = BGNBD()
    by_recipe, by_model = appraise(base, recipe), appraise(base, recipe.fit(base))
    assert by_recipe.equals(by_model)
    assert recipe == BGNBD()
    assert isinstance(recipe, ValueModel)
    assert isinstance(recipe.fit(base), FittedValueModel)


def test_the_valuation_says_where_it_comes_from():
    base = Histories.from_arrays(
        frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272], margin_mean=[22.35, 0], as_of=dt.date(1997, 9, 30)
    )
    worth = appraise(base, BGNBD())
    source = worth.provenance
    assert (source.as_of, source.model) == ("1997-09-30", "bg-nbd")
    assert source.version
    assert {"r", "alpha", "a", "b", "p", "q", "v", "standard_errors"} <= source.parameters.keys()
    assert source.notes


@pytest.mark.parametrize(
    "wrong",
    [{"horizon_days": 0}, {"horizon_days": -1}, {"horizon_days": float("inf")}, {"discount_rate": -0.1},
     {"discount_rate": float("nan")}, {"interval": 0}, {"interval": 1}, {"interval": 90}],
)  # fmt: skip
def test_arguments_out_of_range_are_one_clear_error(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        appraise(sample_histories(), BGNBD(), **wrong)


def test_something_that_is_no_model_is_refused():
    with pytest.raises(ConfigError, match="model of type str"):
        appraise(sample_histories(), "bg-nbd")


def test_the_picture_shows_how_value_is_spread():
    pytest.importorskip("matplotlib").use("Agg")
    worth = appraise(sample_histories(), BGNBD())
    axes = worth.plot()
    drawn = axes.lines[0].get_ydata()
    assert drawn[0] == 0
    assert drawn[-1] == pytest.approx(100)
    assert np.all(np.diff(drawn) >= 0)
    assert worth.total() == pytest.approx(worth.value.sum())
