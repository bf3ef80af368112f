"""BG/BB on bases: donors of the paper, whole periods or one clear error, value, storage."""

import datetime as dt
import json
import math

import numpy as np
import pytest

from retention.errors import ConfigError, ModelError
from retention.histories import Histories
from retention.testing import check_value_model
from retention.value.purchases.bgbb import BGBB
from retention.value.purchases.fitted import FittedPurchases

YEAR = 365.25


@pytest.fixture
def donors(shared_data):
    table = np.genfromtxt(shared_data("donations_bgbb/rf_1996_2001.csv"), delimiter=",", names=True)
    base = Histories.from_arrays(
        frequency=table["x"],
        recency_days=YEAR * table["t_x"],
        age_days=YEAR * table["n"],
        margin_mean=50 * (table["x"] > 0),
    )
    return base, table["donors"], table["holdout_gifts"]


def test_the_paper_s_donors_come_back_from_a_base_in_days(donors):
    """Fader, Hardie and Shang 2010: estimates, likelihood, forecast of the five years after, P(alive in 2002)."""
    base, weight, _ = donors
    fitted = BGBB(period_days=YEAR).fit(base, weight)
    params = [round(fitted.params[name], 3) for name in ("alpha", "beta", "gamma", "delta")]
    assert params == [1.204, 0.750, 0.657, 2.783]
    assert round(fitted.log_likelihood, 2) == -33225.58
    assert fitted.estimate.diagnosis == ""
    ahead = fitted.expected_purchases(base, 5 * YEAR)
    assert float(ahead @ weight) == pytest.approx(12_884.2, abs=0.06)
    rows = {(int(x), int(t)): i for i, (x, t) in enumerate(zip(base.frequency, base.recency_days / YEAR, strict=True))}
    alive = fitted.survival(base, YEAR)[[rows[0, 0], rows[2, 4], rows[6, 6]]]
    assert alive.round(2).tolist() == [0.11, 0.59, 0.93]
    dert = fitted.expected_purchases(base, math.inf, discount_rate=0.10)[[rows[6, 6], rows[0, 0]]]
    # A yearly rate is spread over 365 days and the period has 365.25.
    assert dert == pytest.approx([5.9098, 0.1148], rel=1e-3)


def test_the_five_held_back_years_are_forecast(donors):
    """12,884 gifts expected, 13,260 came; of those who gave in the last year, cell by cell, within an eighth."""
    base, weight, came = donors
    ahead = BGBB(period_days=YEAR).fit(base, weight).expected_purchases(base, 5 * YEAR) * weight
    assert came.sum() == 13_260
    assert abs(ahead.sum() / came.sum() - 1) < 0.03
    recent = (base.recency_days == 6 * YEAR) & (weight >= 200)
    assert recent.sum() == 5
    assert np.all(np.abs(ahead / came - 1)[recent] < 1 / 8)


def test_calendar_years_are_whole_periods_although_unequal():
    """First gift on 1 January 1996, last on 1 January 2001, as of 1 January 2002: five and six years."""
    days = [(dt.date(year, 1, 1) - dt.date(1996, 1, 1)).days for year in (2001, 2002)]
    base = Histories.from_arrays(frequency=[4], recency_days=[days[0]], age_days=[days[1]])
    exact = Histories.from_arrays(frequency=[4], recency_days=[5.0], age_days=[6.0])
    at = {"alpha": 1.204, "beta": 0.750, "gamma": 0.657, "delta": 2.783}
    yearly, counted = BGBB(period_days=YEAR).at(**at), BGBB(period_days=1).at(**at)
    assert yearly.log_likelihoods(base) == counted.log_likelihoods(exact)
    five = (dt.date(2007, 1, 1) - dt.date(2002, 1, 1)).days  # 1,826 days, a little less than five times 365.25
    assert yearly.expected_purchases(base, five) == counted.expected_purchases(exact, 5)


@pytest.mark.parametrize(
    ("frequency", "recency", "age"), [([2], [730.0], [1000.0]), ([1], [200.0], [730.5]), ([3], [730.5], [1826.25])]
)
def test_days_between_periods_and_two_purchases_in_one_are_refused_with_the_remedy(frequency, recency, age):
    base = Histories.from_arrays(frequency=frequency, recency_days=recency, age_days=age)
    model = BGBB(period_days=YEAR)
    at = model.at(alpha=1.0, beta=1.0, gamma=1.0, delta=3.0)
    for ask in (model.fit, at.p_alive, at.log_likelihoods, lambda b: at.expected_purchases(b, 365.0)):
        with pytest.raises(ModelError, match="1 of 1 customers") as caught:
            ask(base)
        assert "first day of its period" in caught.value.remedy


def test_value_interval_and_storage():
    rng = np.random.default_rng(2)
    n = 400
    p, theta = rng.beta(2.0, 3.0, n), rng.beta(1.0, 8.0, n)
    stays = rng.geometric(theta) - 1
    buys = (rng.random((n, 24)) < p[:, None]) & (np.arange(24) < stays[:, None])
    past, future = buys[:, :12], buys[:, 12:]
    x = past.sum(1)
    base = Histories.from_arrays(
        frequency=x,
        recency_days=30.0 * np.where(x > 0, 12 - past[:, ::-1].argmax(1), 0),
        age_days=np.full(n, 360.0),
        margin_mean=np.where(x > 0, rng.gamma(6.0, 4.0, n), 0.0),
    )
    fitted = BGBB(period_days=30).fit(base)
    # Mean of 400 sums, one seed, four standard errors (1 seed in 15,000 fails).
    ahead = fitted.expected_purchases(base, 360)
    assert abs(future.sum() - ahead.sum()) < 4 * math.sqrt(n) * future.sum(1).std()
    worth = fitted.value(base, horizon_days=360, discount_rate=0.10)
    assert np.all((worth.value_low <= worth.value_high) & (worth.value >= 0))
    again = FittedPurchases.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    assert isinstance(again.recipe, BGBB)
    assert again.recipe.period_days == again.time_unit_days == 30
    assert again.value(base, horizon_days=360, discount_rate=0.10).equals(worth)


def test_the_laws_of_value_models_hold():
    """What every value model promises, on a base of whole periods."""
    rng = np.random.default_rng(4)
    T = rng.integers(1, 13, 60)
    t_x = np.where(rng.random(60) < 0.3, 0, rng.integers(1, T + 1))
    x = np.where(t_x > 0, rng.integers(1, np.maximum(t_x, 1) + 1), 0)
    base = Histories.from_arrays(
        frequency=x,
        recency_days=30.0 * t_x,
        age_days=30.0 * T,
        margin_mean=np.where(x > 0, rng.gamma(6.0, 4.0, 60), 0.0),
    )
    check_value_model(BGBB(period_days=30), base)


def test_one_time_buyers_only_and_a_period_of_nothing_say_so():
    base = Histories.from_arrays(frequency=[0] * 50, recency_days=[0] * 50, age_days=[300] * 50)
    assert "no clear maximum" in BGBB(period_days=30).fit(base).diagnosis
    with pytest.raises(ConfigError):
        BGBB(period_days=0)
