"""Quantiles from a table are those of the inverse, each customer's her own."""

import mpmath as mp
import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from retention._kernels.student import Quantiles, alike


@pytest.mark.parametrize("least", [2.0, 2.7, 5.3, 84.6, 1e4])
def test_a_table_says_what_the_inverse_says(least):
    rng = np.random.default_rng(0)
    degrees = least + rng.integers(0, 12, 20_000)
    logs = np.where(rng.random(20_000) < 0.5, np.log(rng.uniform(0.0, 0.75, 20_000)), -34.0 * rng.random(20_000))
    found = Quantiles(degrees).at(logs)
    np.testing.assert_allclose(found, stdtrit(degrees, np.exp(logs)), rtol=3e-12, atol=3e-12)
    np.testing.assert_allclose(stdtr(degrees, found), np.exp(logs), rtol=1e-9)


def test_a_table_is_right_by_fifty_digits():
    """At one point in each of some pieces, rare and likely ones."""
    nu, logs = 7.3, np.linspace(-30.0, -0.3, 1500)
    found = Quantiles(np.full(1500, nu)).at(logs)
    with mp.workdps(50):
        for i in range(0, 1500, 97):
            t = mp.mpf(float(found[i]))
            tail = mp.betainc(mp.mpf(nu) / 2, mp.mpf(1) / 2, 0, nu / (nu + t**2), regularized=True) / 2
            p = tail if t < 0 else 1 - tail
            assert float(mp.log(p)) == pytest.approx(logs[i], abs=1e-10)


def test_what_a_table_does_not_hold_is_asked_outright():
    """Few customers of a kind, fewer than two degrees, what is all but sure, and what is all but impossible."""
    few, many = np.array([4.5, 9.5, 9.5]), 0.7 + np.zeros(3000)
    logs = np.log(np.array([0.1, 0.5, 0.7]))
    np.testing.assert_array_equal(Quantiles(few).at(logs), stdtrit(few, np.exp(logs)))
    one = np.full(3000, np.log(0.3))
    np.testing.assert_array_equal(Quantiles(many).at(one), stdtrit(many, 0.3))
    edges = np.full(3000, 5.5)
    logs = np.resize(np.log([0.9, 1.0 - 1e-12, 1e-40, 1e-300]), 3000)
    np.testing.assert_array_equal(Quantiles(edges).at(logs), stdtrit(edges, np.exp(logs)))
    nobody = Quantiles(np.zeros(0)).at(np.zeros(0))
    assert nobody.shape == (0,)


def test_degrees_that_are_no_prior_and_a_count_are_not_alike():
    rng = np.random.default_rng(1)
    assert alike(5.3 + rng.integers(0, 9, 3000)) is not None
    assert alike(rng.uniform(2, 40, 3000)) is None
    assert alike(np.array([2.5, 3.5])) is None, "for two it is not worth looking"
