"""What contacting so often is worth, and draws of what is not known about it."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention._kernels import cadence as kernel

RATES = st.floats(1e-9, 5.0)


@given(
    f=st.integers(0, 30),
    a=st.floats(-50, 50),
    b=RATES,
    h0=st.floats(1e-4, 1.0),
    h1=RATES,
    cost=st.floats(0, 5),
    keep=st.floats(0, 0.99),
)
def test_worth_is_the_sum_over_all_periods_until_she_opts_out(f, a, b, h0, h1, cost, keep):
    """The definition: each period she is still there with a probability, earns, and may leave."""
    earned, taken = kernel.worth(f, a, b, h0, h1, cost=cost, keep=keep)
    there = (keep * np.exp(-(h0 + h1 * f))) ** np.arange(4000)
    margin = a * (1 - np.exp(-b * f)) - cost * f
    assert float(earned) == pytest.approx(margin * there.sum(), rel=1e-9, abs=1e-7)
    assert float(taken) == pytest.approx((1 - np.exp(-(h0 + h1 * f))) * there.sum(), rel=1e-9)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999999, 1 - 1e-15])
@pytest.mark.parametrize("h0", [1e-12, 1e-5, 0.3])
@pytest.mark.parametrize("b", [1e-12, 0.5, 700.0])
def test_digits_hold_where_the_hazard_is_tiny_and_the_future_long(keep, h0, b):
    with mpmath.workdps(50):
        k, h, f = mpmath.mpf(keep), mpmath.mpf(h0) + mpmath.mpf(2e-9) * 3, 3
        ends = 1 - k * mpmath.exp(-h)
        brought = 7 * (1 - mpmath.exp(-mpmath.mpf(b) * f))
        earned, taken = brought / ends, (1 - mpmath.exp(-h)) / ends
    got = kernel.worth(3.0, 7.0, b, h0, 2e-9, cost=0.0, keep=keep)
    # log(keep) itself is known to one part in 1e16 of keep, which is all that 1 - keep has.
    slack = 1e-9 if keep < 0.9999999 else 0.3
    assert float(got[0]) == pytest.approx(float(earned), rel=slack)
    assert float(got[1]) == pytest.approx(float(taken), rel=slack)


def test_intervals_of_the_draws_cover_what_was_planted():
    """100 groups from one population: 90 % intervals cover in 82 to 97 % (p < 0.01 of failing at exactly 90 %).

    Each group is simulated and estimated with 99 others that it borrows from.
    """
    rng = np.random.default_rng(11)
    groups, arms = 100, np.asarray([0.0, 1.0, 2.0, 4.0, 8.0])
    a, b = rng.normal(6, 2, groups), np.exp(rng.normal(-0.7, 0.3, groups))
    h0, h1 = np.exp(rng.normal(-5.5, 0.4, groups)), np.exp(rng.normal(-5.5, 0.5, groups))
    frequency = np.tile(arms, (groups, 1))
    n, sd = np.full(frequency.shape, 1500.0), 25.0
    mean = 30 + kernel.brought(frequency, a[:, None], b[:, None]) + rng.normal(0, sd, n.shape) / np.sqrt(n)
    left = rng.binomial(n.astype(int), kernel.opted_out(frequency, h0[:, None], h1[:, None])).astype(float)
    drawn = kernel.response_draws(frequency, n, mean, np.full(n.shape, sd**2), draws=500, warm=150, rng=rng)
    drawn += kernel.optout_draws(frequency, n, left, draws=500, warm=150, rng=rng)
    for draws, truth in zip(drawn, (a, b, h0, h1), strict=True):
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        assert 0.82 <= np.mean((low <= truth) & (truth <= high)) <= 0.97


def test_one_group_is_estimated_as_by_brute_force():
    """h0 and h1 of one large trial: the draws' means agree with the likelihood's, summed over a fine grid."""
    rng = np.random.default_rng(3)
    arms, n = np.asarray([[0.0, 2.0, 6.0]]), np.full((1, 3), 20000.0)
    left = np.asarray([[90.0, 310.0, 800.0]])
    got = kernel.optout_draws(arms, n, left, draws=3000, warm=200, rng=rng)
    h0, h1 = np.meshgrid(np.linspace(0.002, 0.008, 301), np.linspace(0.003, 0.009, 301), indexing="ij")
    log = sum(
        left[0, k] * np.log(1 - np.exp(-(h0 + h1 * arms[0, k]))) - (n[0, k] - left[0, k]) * (h0 + h1 * arms[0, k])
        for k in range(3)
    )
    chance = np.exp(log - log.max())
    # The sampler's prior is flat on the log scale; the likelihood is sharp enough for it to weigh as 1/h does.
    chance /= (h0 * h1) / (h0 * h1).mean()
    chance /= chance.sum()
    assert got[0].mean() == pytest.approx((chance * h0).sum(), rel=0.02)
    assert got[1].mean() == pytest.approx((chance * h1).sum(), rel=0.02)


def test_an_absent_arm_and_a_harmful_contact_are_no_trouble():
    rng = np.random.default_rng(5)
    frequency = np.tile([0.0, 2.0, 5.0], (2, 1))
    n = np.asarray([[900.0, 900.0, 0.0], [900.0, 0.0, 900.0]])
    mean = np.asarray([[10.0, 7.0, 0.0], [10.0, 0.0, 7.0]])
    a, b = kernel.response_draws(frequency, n, mean, np.full((2, 3), 25.0), draws=300, warm=100, rng=rng)
    assert (np.quantile(a, 0.95, axis=0) < -1).all()
    assert (b > 0).all()
    h0, h1 = kernel.optout_draws(frequency, n, np.zeros((2, 3)), draws=300, warm=100, rng=rng)
    assert (kernel.opted_out(5, h0, h1).mean(axis=0) < 0.01).all()
