"""The gamma-gamma kernel against sixty-digit arithmetic and its own derivatives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention._kernels import gammagamma
from retention._kernels.gammagamma import Params

X = np.array([1.0, 2.0, 7.0, 10_000.0, 1.0])
Z = np.array([22.35, 0.01, 35.2, 18.0, 1e6])


@pytest.mark.parametrize("params", [Params(6.25, 3.74, 15.44), Params(0.1, 0.2, 1e-3), Params(500.0, 900.0, 30.0)])
def test_log_likelihood_matches_sixty_digits(params):
    mp = pytest.importorskip("mpmath")
    ours = gammagamma.log_likelihoods(params, X, Z)
    with mp.workdps(60):
        p, q, v = map(mp.mpf, params)
        for got, x, z in zip(ours, map(mp.mpf, X), map(mp.mpf, Z), strict=True):
            truth = (
                mp.loggamma(p * x + q) - mp.loggamma(p * x) - mp.loggamma(q) + q * mp.log(v) + (p * x - 1) * mp.log(z)
                + p * x * mp.log(x) - (p * x + q) * mp.log(v + x * z)
            )  # fmt: skip
            assert got == pytest.approx(float(truth), rel=1e-10, abs=1e-8)


logs = st.floats(-2.0, 3.0)


@given(theta=st.tuples(logs, logs, logs))
def test_gradient_and_hessian_are_those_of_the_value(theta):
    theta, x, z = np.array(theta), X[:3], Z[:3]

    def at(point):
        return gammagamma.total(Params(*np.exp(point)), x, z)

    value, gradient, hessian = at(theta)
    assert value == pytest.approx(gammagamma.log_likelihoods(Params(*np.exp(theta)), x, z).sum(), rel=1e-9)
    step = 1e-5
    for i, e in enumerate(np.eye(3) * step):
        up, down = at(theta + e), at(theta - e)
        scale = 1 + abs(value)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-7 * scale, rel=1e-6)
        assert hessian[i] == pytest.approx((up[1] - down[1]) / (2 * step), abs=1e-6 * scale, rel=1e-5)


def test_the_density_is_one_in_total():
    grid = np.exp(np.linspace(-25, 25, 40_001))
    density = np.exp(gammagamma.log_likelihoods(Params(6.25, 3.74, 15.44), np.full(len(grid), 3.0), grid))
    assert np.trapezoid(density * grid, np.log(grid)) == pytest.approx(1.0, abs=1e-9)
