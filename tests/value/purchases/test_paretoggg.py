"""The Pareto/GGG on bases: planted regularity is found, and being late means more to those who come by the clock."""

import numpy as np
import pytest

from retention._kernels.paretoggg import KERNEL
from retention.histories import Histories
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.paretoggg import ParetoGGG

TRUTH = {"t": 4.0, "gamma": 1.0, "r": 1.5, "alpha": 8.0, "s": 0.6, "beta": 12.0}


def made(n, seed):
    rng = np.random.default_rng(seed)
    weeks = np.round(rng.uniform(40, 80, n))
    rows = KERNEL.simulate(tuple(TRUTH.values()), weeks, rng)
    return Histories.from_arrays(
        frequency=rows.x.astype(int),
        recency_days=7 * rows.t_x,
        age_days=7 * weeks,
        gap_log_sum=rows.log_gaps + rows.x * np.log(7),
    )


@pytest.mark.slow
def test_planted_parameters_are_found():
    """Each within 4.5 standard errors; fails by chance for one seed in 30,000."""
    fitted = ParetoGGG().fit(made(500, 5))
    assert fitted.estimate.diagnosis == ""
    for name, truth in TRUTH.items():
        assert abs(fitted.params[name] - truth) < 4.5 * fitted.standard_errors[name], name


def test_the_unit_of_time_makes_no_difference():
    base = made(25, 6)
    weeks = ParetoGGG().at(**TRUTH)
    days = ParetoGGG(time_unit_days=1.0).at(**{**TRUTH, "alpha": 56.0, "beta": 84.0})
    assert days.p_alive(base) == pytest.approx(weeks.p_alive(base), rel=1e-9)
    change = days.log_likelihoods(base) - weeks.log_likelihoods(base)
    assert change == pytest.approx(-base.frequency * np.log(7), abs=1e-8)


def test_who_comes_by_the_clock_is_missed_sooner():
    pair = {"frequency": [4, 4], "recency_days": [112, 112], "age_days": [196, 196]}
    base = Histories.from_arrays(gap_log_sum=[13.3, 10.0], **pair)
    clock, bursts = ParetoGGG().at(**TRUTH).p_alive(base)
    assert clock < 0.5 * bursts


def test_it_is_written_down_and_read_back():
    fitted = ParetoGGG().at(**TRUTH)
    again = FittedPurchases.from_dict(fitted.to_dict())
    base = made(10, 7)
    assert again.p_alive(base).tolist() == fitted.p_alive(base).tolist()
