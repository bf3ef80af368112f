"""How regular customers come."""

import csv
import datetime as dt
import gzip
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.value.purchases.regularity import regularity, shape_of_gaps


def test_the_published_figures_of_the_grocery_log(shared_data):
    """1.8251 puts the two gaps of each pair in a random order; around the known mean of 1/2 no order is needed."""
    days = defaultdict(set)
    with gzip.open(shared_data("grocery_elog/grocery.csv.gz"), "rt", newline="") as handle:
        for row in csv.DictReader(handle):
            days[row["customer_id"]].add(dt.date.fromisoformat(row["date"]).toordinal())
    gaps = [np.diff(sorted(each)) for each in days.values()]
    assert regularity(gaps) == pytest.approx(1.8251, abs=3e-3)
    assert round(regularity(gaps, by="likelihood"), 4) == 3.2629


@pytest.mark.parametrize("k", [0.5, 1.0, 4.0])
def test_planted_regularity_is_found_whatever_the_rates(k):
    """20,000 customers; the standard error is below 2 %, the bound 5 of them."""
    rng = np.random.default_rng(3)
    gaps = rng.gamma(k, 1.0, (20_000, 2)) * rng.lognormal(0, 2, (20_000, 1))
    assert regularity(gaps) == pytest.approx(k, rel=0.1)
    long = rng.gamma(k, 1.0, (200, 400)) * rng.lognormal(0, 2, (200, 1))
    assert regularity(long, by="likelihood") == pytest.approx(k, rel=0.1)


def test_a_single_shape_maximises_its_likelihood():
    """Against a search over a grid of shapes."""
    from scipy.special import gammaln

    gaps = np.array([3.0, 8.0, 5.0, 13.0, 4.0])
    k = np.linspace(0.5, 20, 200_001)
    height = 5 * (k * np.log(k / gaps.mean()) - gammaln(k)) + (k - 1) * np.log(gaps).sum() - k * 5
    assert shape_of_gaps([gaps])[0] == pytest.approx(k[np.argmax(height)], abs=2e-4)


@given(st.lists(st.floats(0.5, 500.0), min_size=2, max_size=30), st.floats(0.01, 100.0))
def test_the_time_unit_changes_nothing(gaps, unit):
    one, other = shape_of_gaps([gaps, [gap * unit for gap in gaps]])
    assert one > 0
    if one < 1e6:
        assert other == pytest.approx(one, rel=1e-4)


def test_without_gaps_there_is_no_answer_and_equal_gaps_are_as_regular_as_can_be():
    assert np.isnan(regularity([[3.0], []]))
    assert np.isnan(regularity([[3.0, 4.0]], by="likelihood"))
    assert np.isnan(shape_of_gaps([[]])[0])
    assert shape_of_gaps([[7.0, 7.0]])[0] == np.inf
    assert regularity([[7.0, 7.0]]) == np.inf


def test_another_way_to_read_it_is_refused():
    with pytest.raises(ConfigError, match="by="):
        regularity([[1.0, 2.0]], by="guess")
