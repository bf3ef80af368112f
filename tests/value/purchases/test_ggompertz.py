"""The gamma-Gompertz / NBD on bases: a hazard that grows is found, one that does not is said not to be."""

import math

import numpy as np
import pytest

from retention._kernels.ggompertz import KERNEL
from retention.histories import Histories
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.ggompertz import GGompertzNBD

TRUTH = {"r": 1.5, "alpha": 4.0, "b": 0.06, "s": 1.0, "beta": 60.0}


@pytest.fixture(scope="module")
def base():
    """1,200 customers whose hazard grows, watched for 40 to 150 weeks."""
    rng = np.random.default_rng(12)
    weeks = np.round(rng.uniform(40, 150, 1_200))
    made = KERNEL.simulate(tuple(TRUTH.values()), weeks, rng)
    return Histories.from_arrays(
        frequency=made.x.astype(int), recency_days=7 * made.t_x, age_days=7 * weeks, margin_mean=20.0 * (made.x > 0)
    )


@pytest.mark.slow
def test_planted_parameters_are_found(base):
    """Each within 4.5 standard errors; fails by chance for one seed in 30,000."""
    fitted = GGompertzNBD().fit(base)
    assert fitted.estimate.diagnosis == ""
    for name, truth in TRUTH.items():
        assert abs(fitted.params[name] - truth) < 4.5 * fitted.standard_errors[name], name


@pytest.mark.parametrize("planted", [0.0, 0.9])
def test_an_attribute_that_moves_the_hazard_of_leaving_is_found(planted):
    """2,000 customers, half of whom leave e^0.9 times as fast, or no faster: within 4 standard errors, fails for one
    seed in 16,000; the sign is that of the hazard, as for the other models."""
    rng = np.random.default_rng(5)
    weeks, flag = rng.integers(40, 150, 2_000).astype(float), np.arange(2_000) % 2
    params = [np.full(2_000, value) for value in TRUTH.values()]
    params[4] *= np.exp(-planted * flag)  # eta is gamma(s, beta): a hazard that is c times as high has beta / c
    made = KERNEL.simulate(params, weeks, rng)
    base = Histories.from_arrays(frequency=made.x.astype(int), recency_days=7 * made.t_x, age_days=7 * weeks)
    fitted = GGompertzNBD(dropout="flag").fit_purchases(base.with_attributes({"flag": flag}))
    told, error = fitted.params["dropout:flag"], fitted.standard_errors["dropout:flag"]
    assert abs(told - planted) < 4 * error
    assert planted == 0 or told > 4 * error


@pytest.mark.slow
def test_a_pareto_lifetime_leaves_the_growth_unidentified_and_the_fit_says_so(shared_data):
    """CDNOW: the published maximum is the Pareto/NBD's, and b means nothing there."""
    d = np.genfromtxt(shared_data("cdnow/cdnow_sample_summary.csv.gz"), delimiter=",", skip_header=1)
    cdnow = Histories.from_arrays(
        frequency=d[:, 1].astype(int), recency_days=np.round(7 * d[:, 2]), age_days=np.round(7 * d[:, 3])
    )
    fitted = GGompertzNBD().fit(cdnow)
    assert "not identified" in fitted.estimate.diagnosis
    assert math.isnan(fitted.standard_errors["b"])
    assert -9594.976 - 0.1 < fitted.log_likelihood < -9594.976
    assert fitted.expected_purchases(cdnow, 273).sum() == pytest.approx(1665.5, rel=0.02)


def test_days_or_weeks_make_no_difference(base):
    some = base.take(slice(0, 200))
    weeks = GGompertzNBD().at(**TRUTH)
    in_days = {"r": 1.5, "alpha": 28.0, "b": 0.06 / 7, "s": 1.0, "beta": 60.0}
    days = GGompertzNBD(time_unit_days=1.0).at(**in_days)
    assert days.p_alive(some) == pytest.approx(weeks.p_alive(some), rel=1e-10)
    assert days.expected_purchases(some, 90) == pytest.approx(weeks.expected_purchases(some, 90), rel=1e-10)


def test_it_is_written_down_and_read_back(base):
    fitted = GGompertzNBD().at(**TRUTH)
    again = FittedPurchases.from_dict(fitted.to_dict())
    some = base.take(slice(0, 20))
    assert again.p_alive(some).tolist() == fitted.p_alive(some).tolist()
