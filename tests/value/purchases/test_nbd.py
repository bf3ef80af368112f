"""NBD on real bases, against the published tables."""

import csv
import datetime as dt
import gzip
from collections import defaultdict

import numpy as np
import pytest
from scipy.special import gammaln

from retention import appraise
from retention.histories import Histories
from retention.value.purchases.nbd import NBD


def read(path, who, until):
    """Histories at ``until`` from a log with one row a purchase, and purchase days after it."""
    days = defaultdict(set)
    with gzip.open(path, "rt", newline="") as handle:
        for row in csv.DictReader(handle):
            days[row[who]].add(dt.date.fromisoformat(row["date"]))
    seen = [sorted(day for day in each if day <= until) for each in days.values()]
    base = Histories.from_arrays(
        frequency=[len(each) - 1 for each in seen],
        recency_days=[(each[-1] - each[0]).days for each in seen],
        age_days=[(until - each[0]).days for each in seen],
    )
    return base, sum(day > until for each in days.values() for day in each)


def test_the_cdnow_parameters_are_the_published_ones(shared_data):
    base, _ = read(shared_data("cdnow/cdnow_sample.csv.gz"), "sample_id", dt.date(1997, 9, 30))
    fitted = NBD().fit(base)
    assert len(base) == 2357
    assert round(fitted.params["r"], 5) == pytest.approx(0.38477, abs=1.01e-5)
    assert round(fitted.params["alpha"], 4) == pytest.approx(12.0720, abs=1.01e-4)
    assert fitted.log_likelihood == pytest.approx(-9763.6576, abs=1e-4)
    assert fitted.estimate.converged
    assert fitted.estimate.diagnosis == ""


def test_the_grocery_parameters_and_their_wild_forecast_are_the_published_ones(shared_data):
    """Nobody leaves: it expects 6,355 purchases where 3,389 came."""
    base, came = read(shared_data("grocery_elog/grocery.csv.gz"), "customer_id", dt.date(2006, 12, 31))
    fitted = NBD().fit(base)
    assert (len(base), int(base.frequency.sum()), came) == (1525, 5569, 3389)
    assert fitted.params["r"] == pytest.approx(0.42032, abs=1.01e-5)
    assert fitted.params["alpha"] == pytest.approx(5.24511, abs=2e-5)
    assert fitted.log_likelihood == pytest.approx(-16376.8639, abs=1e-4)
    assert round(fitted.expected_purchases(base, 52 * 7).sum(), 1) == 6354.7


def test_counts_follow_a_negative_binomial():
    """A newcomer's count in T days, against the textbook formula."""
    fitted = NBD().at(r=0.4, alpha=5.0)
    new = Histories.from_arrays(frequency=[0], recency_days=[0], age_days=[0])
    n, p = np.arange(9), 5.0 / (5.0 + 30.0)
    expected = np.exp(gammaln(0.4 + n) - gammaln(0.4) - gammaln(n + 1)) * p**0.4 * (1 - p) ** n
    assert fitted.purchase_probabilities(new, 210, 8)[0] == pytest.approx(expected, rel=1e-12)


def test_silence_means_nothing_and_the_time_unit_changes_nothing():
    base = Histories.from_arrays(frequency=[3, 3], recency_days=[20, 190], age_days=[200, 200])
    weeks = NBD().at(r=0.4, alpha=5.0)
    days = NBD(time_unit_days=1).at(r=0.4, alpha=35.0)
    assert weeks.p_alive(base).tolist() == [1.0, 1.0]
    ahead = weeks.expected_purchases(base, 100, discount_rate=0.1)
    assert ahead[0] == ahead[1]
    assert days.expected_purchases(base, 100, discount_rate=0.1) == pytest.approx(ahead, rel=1e-13)
    assert (
        type(weeks).from_dict(weeks.to_dict()).expected_purchases(base, 100, discount_rate=0.1).tolist()
        == ahead.tolist()
    )


def test_buyers_once_only_do_not_give_a_fit_in_disguise():
    """Nobody with a repeat purchase: the likelihood rises for ever, and the fit says so."""
    base = Histories.from_arrays(frequency=[0] * 50, recency_days=[0] * 50, age_days=[200] * 50)
    assert NBD().fit(base).diagnosis != ""


def test_two_parameters_that_are_known_well_still_leave_room_for_the_doubt_about_margins():
    """A base large enough that a handful of points stands for the doubt; margins have more dimensions than the NBD."""
    rng = np.random.default_rng(5)
    x = rng.negative_binomial(0.8, 0.2, 3000)
    base = Histories.from_arrays(
        frequency=x, recency_days=np.where(x > 0, 300.0, 0.0), age_days=np.full(3000, 364.0),
        margin_mean=np.where(x > 0, rng.gamma(3.0, 10.0, 3000), 0.0),
    )  # fmt: skip
    worth = appraise(base, model="nbd")
    assert (worth.value_low <= worth.value).all()
