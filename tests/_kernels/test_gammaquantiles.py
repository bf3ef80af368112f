"""A gamma's quantiles by table and one step are those of the inverse, and of fifty digits."""

import mpmath as mp
import numpy as np
import pytest
from scipy.special import gammaincinv

from retention._kernels.gammaquantiles import gamma_quantiles


def test_everywhere_it_is_the_inverse():
    """Inside of the table and outside of it, close to ranks of 0 and of 1."""
    rng = np.random.default_rng(0)
    shape = np.exp(rng.uniform(-3.0, 6.0, 30_000))
    rank = np.concatenate([rng.random(10_000), np.exp(-25 * rng.random(10_000)), -np.expm1(-9 * rng.random(10_000))])
    np.testing.assert_allclose(gamma_quantiles(shape, rank), gammaincinv(shape, rank), rtol=1e-13)


def test_it_is_right_by_fifty_digits():
    """What lies below is the rank, as exactly as a float can say the quantile."""
    shape, rank = (g.ravel() for g in np.meshgrid([0.25, 0.3, 1.0, 2.7, 54.0], [2e-9, 1e-3, 0.5, 0.95, 0.997]))
    with mp.workdps(50):
        for k, p, q in zip(shape.tolist(), rank.tolist(), gamma_quantiles(shape, rank).tolist(), strict=True):
            below = mp.gammainc(k, 0, q, regularized=True)
            slope = mp.exp(k * mp.log(q) - q) / mp.gamma(k)  # by the log of the quantile
            assert abs(below - p) < 5e-15 * slope + 4e-16 * p, (k, p)


def test_a_customer_alone_has_the_quantile_that_she_has_among_others():
    rng = np.random.default_rng(1)
    shape, rank = np.exp(rng.uniform(-2.0, 5.0, 1003)), rng.random(1003)
    together = gamma_quantiles(shape, rank)
    alone = [gamma_quantiles(shape[i : i + 1], rank[i : i + 1])[0] for i in range(0, 1003, 17)]
    np.testing.assert_array_equal(together[::17], alone)


@pytest.mark.parametrize(("rank", "quantile"), [(0.0, 0.0), (1.0, np.inf)])
def test_nothing_and_everything_are_ranks_too(rank, quantile):
    assert gamma_quantiles(np.array([0.5, 3.0]), np.full(2, rank)).tolist() == [quantile, quantile]
    assert gamma_quantiles(np.zeros(0), np.zeros(0)).shape == (0,)
