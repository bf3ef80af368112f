"""Profile-likelihood intervals."""

import numpy as np
import pytest

from retention._kernels.bgnbd import BG
from retention.errors import ConfigError, ModelError
from retention.histories import Histories
from retention.value import BGNBD, NBD
from retention.value.purchases.profile import profile_interval

TRUTH = {"r": 0.5, "alpha": 6.0, "a": 0.8, "b": 2.5}


def simulated(n, seed):
    rng = np.random.default_rng(seed)
    rows = BG.simulate(list(TRUTH.values()), rng.integers(20, 70, n).astype(float), rng)
    return Histories.from_arrays(frequency=rows.x.astype(int), recency_days=rows.t_x * 7, age_days=rows.T * 7)


def test_the_bounds_are_where_the_likelihood_ratio_says():
    """At each bound the best likelihood with that value held is 1.353 nats (half of chi-square's 90 %) lower: found
    here by a grid over the one free parameter of NBD."""
    base = simulated(400, 1)
    found = profile_interval(NBD(), base, "r")
    fitted = NBD().fit(base)
    assert found.value == pytest.approx(fitted.params["r"], rel=1e-6)
    for bound in (found.low, found.high):
        alphas = fitted.params["alpha"] * np.exp(np.linspace(-1.5, 1.5, 3001))
        best = max(NBD().at(r=bound, alpha=float(a)).log_likelihoods(base).sum() for a in alphas[::20])
        assert fitted.log_likelihood - best == pytest.approx(1.3528, abs=0.02)


@pytest.mark.slow
def test_nine_in_ten_profiles_hold_the_truth():
    """200 bases of 300 customers; binomial standard error 2 %, and three of them are allowed."""
    held = []
    for seed in range(200):
        found = profile_interval(BGNBD(), simulated(300, 1_000 + seed), "r")
        held.append(found.low <= TRUTH["r"] <= found.high)
    assert 0.84 <= np.mean(held) <= 0.96


def test_a_side_on_which_the_likelihood_never_falls_is_open():
    """Everybody buys all the time: whoever never leaves sets no upper bound on b."""
    base = Histories.from_arrays(frequency=[20, 30, 26, 24] * 10, recency_days=[200.0] * 40, age_days=[200.0] * 40)
    assert profile_interval(BGNBD(), base, "b").high == np.inf


def test_a_maximum_at_the_edge_has_a_bound_on_its_other_side():
    """Everybody buys four or five times a year: rates are all alike, r rises for ever, and r = 1 is refuted by far."""
    base = Histories.from_arrays(frequency=[4, 5] * 150, recency_days=[300.0, 330.0] * 150, age_days=[364.0] * 300)
    found = profile_interval(NBD(), base, "r")
    assert found.high == np.inf
    assert 1.0 < found.low < 1e5


def test_a_prior_that_was_asked_for_counts_and_covariates_are_refused():
    base = simulated(300, 6)
    tight = profile_interval(BGNBD(prior={"a": (5.0, 1.05)}), base, "a")
    assert tight.value == pytest.approx(BGNBD(prior={"a": (5.0, 1.05)}).fit(base).params["a"], rel=1e-4)
    assert tight.high / tight.low < 1.3
    with pytest.raises(ModelError, match="covariates"):
        profile_interval(BGNBD(rate=["g"]), base, "a")


def test_the_time_unit_only_changes_the_digits_of_times():
    base = simulated(300, 5)
    weeks, days = (profile_interval(BGNBD(time_unit_days=u), base, "alpha") for u in (7.0, 1.0))
    assert (days.low / 7, days.high / 7) == pytest.approx((weeks.low, weeks.high), rel=1e-6)


@pytest.mark.parametrize("wrong", [{"parameter": "q"}, {"parameter": "r", "level": 1.0}])
def test_wrong_questions_are_one_clear_error(wrong):
    with pytest.raises(ConfigError):
        profile_interval(BGNBD(), simulated(20, 1), **wrong)
