"""The mean of skewed values: its interval, against the cubic that it inverts, and by simulation."""

import math

import mpmath
import numpy as np
import pytest
import scipy.stats

from retention._kernels import means


def test_the_skew_quantile_undoes_halls_cubic():
    for skewness in (-9.0, -0.3, 1e-12, 1e-5, 0.4, 3.0, 30.0):
        for z in (-2.6, -1.0, 0.0, 1.645, 3.0):
            n = 500
            with mpmath.workdps(50):
                a = mpmath.mpf(skewness) / mpmath.sqrt(n)
                root = 1 + a * z - a**2 / 6
                third = mpmath.sign(root) * abs(root) ** (mpmath.mpf(1) / 3)
                true = 3 / a * (third - 1)
                back = true + a * true**2 / 3 + a**2 * true**3 / 27 + a / 6
            assert float(back) == pytest.approx(z, abs=1e-12)
            assert means.skew_quantile(z, skewness, n) == pytest.approx(float(true), rel=1e-9, abs=1e-12)
    assert means.skew_quantile(1.3, 0.0, 10) == 1.3


def test_intervals_of_skewed_money_hold_what_they_promise_where_the_plain_one_does_not():
    """Log-normal spend of sigma 1.5, 100 values: the plain 95 % interval covers 0.85. With 1,500 runs a share has an
    error of 0.006 to 0.009, so that either bound is missed by chance in fewer than 1 of 1,000 seeds."""
    rng = np.random.default_rng(1)
    true, covered, plain = math.exp(1.5**2 / 2), 0, 0
    for _ in range(1500):
        got = means.mean_interval(rng.lognormal(0.0, 1.5, 100), 0.95)
        covered += got.low <= true <= got.high
        plain += abs(got.value - true) <= 1.96 * got.error
    assert covered / 1500 > 0.90
    assert plain / 1500 < 0.88


def test_where_few_values_carry_the_variance_students_quantile_covers_and_the_normal_one_does_not():
    """Spend of five buyers in a thousand: 1,500 logs, so a share has an error of 0.006 and either bound is missed by
    chance in fewer than 1 of 1,000 seeds. Normal values have as many degrees of freedom as there are values."""
    rng = np.random.default_rng(5)
    true, held = 0.005 * math.exp(4.3 + 0.8**2 / 2), np.zeros(2)
    for _ in range(1500):
        spend = np.where(rng.random(1000) < 0.005, rng.lognormal(4.3, 0.8, 1000), 0.0)
        value = float(spend.mean())
        for k, student in enumerate((False, True)):
            got = means.interval_about(value, spend - value, 0.95, student=student)
            held[k] += got.low <= true <= got.high
    assert held[1] / 1500 > 0.93
    assert held[0] / 1500 < held[1] / 1500 - 0.01
    values = rng.normal(size=30)
    plain, few = (means.interval_about(0.0, values - values.mean(), 0.95, student=s) for s in (False, True))
    rest = values - values.mean()
    freedom = 2 * 30 / (30 * np.sum(rest**4) / np.sum(rest**2) ** 2 - 1)
    wider = scipy.stats.t.ppf(0.975, freedom) / scipy.stats.norm.ppf(0.975)
    assert (few.high - few.low) / (plain.high - plain.low) == pytest.approx(wider, rel=0.02)


def test_a_weighted_mean_has_the_error_that_redrawing_gives():
    """400 bootstrap draws tell a standard error to 4 %; the bound is three times that."""
    rng = np.random.default_rng(2)
    w = rng.exponential(size=800)
    v = 3 + w + rng.normal(size=800)
    got = means.mean_interval(v, 0.9, w)
    assert got.value == pytest.approx(np.average(v, weights=w), rel=1e-12)
    rows = rng.integers(0, 800, (400, 800))
    assert got.error == pytest.approx(np.std((w * v)[rows].sum(1) / w[rows].sum(1)), rel=0.12)


def test_values_without_spread_have_no_interval():
    got = means.mean_interval(np.full(9, 1e6 + 0.1), 0.9)
    assert got == (got.value, 0.0, got.value, got.value)
    assert got.value == pytest.approx(1e6 + 0.1, rel=1e-15)
    assert means.mean_interval(np.zeros(9), 0.9) == (0.0, 0.0, 0.0, 0.0)
