"""Beta-discrete-Weibull and discrete Weibull: published fits, 60-digit truth, identities, derivatives."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention._kernels import sbg
from retention._kernels.bdw import DISCRETE_WEIBULL, KERNEL
from retention._kernels.contracts import log_likelihoods, residual, rowwise
from retention._kernels.newton import maximise

REGULAR = (1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173)
HIGH_END = (1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394)

parameter = st.floats(-4, 4).map(lambda e: 10.0**e)
mild = st.floats(-1.5, 2).map(lambda e: 10.0**e)
power = st.floats(0.2, 3)


def fitted(model, survivors, used):
    left = np.array(survivors[: used + 1], dtype=np.float64)
    renewals = np.arange(used + 1.0)
    weight = np.append(-np.diff(left), left[-1])

    def objective(theta):
        values, gradient, hessian = rowwise(model, np.exp(theta), renewals, renewals < used)
        return float(values @ weight), gradient @ weight, hessian @ weight

    top = maximise(objective, np.zeros(len(model.names)))
    assert top.converged
    return np.exp(top.point), top.value


@pytest.mark.parametrize(
    ("survivors", "used", "params", "value"),
    [
        (REGULAR, 7, (0.4556, 0.7793, 1.2835), -1679.6028),
        (HIGH_END, 7, (0.2143, 1.4266, 1.7236), -1605.3142),
        (REGULAR, 4, (0.523, 0.894, 1.196), -1401.3831),
        (HIGH_END, 4, (0.259, 1.723, 1.584), -1222.7493),
        (REGULAR, 12, None, -1930.9297),
        (HIGH_END, 12, None, -2004.8169),
    ],
)
def test_known_fits_of_both_segments_come_back(survivors, used, params, value):
    found, top = fitted(KERNEL, survivors, used)
    assert round(top, 4) == value
    if params is not None:
        assert found.round(3 if used == 4 else 4).tolist() == list(params)


@pytest.mark.parametrize(
    ("survivors", "theta", "c", "value"),
    [(REGULAR, 0.3739, 0.6359, -1404.0082), (HIGH_END, 0.1384, 0.9101, -1226.5489)],
)
def test_known_fits_without_differences_between_customers_come_back(survivors, theta, c, value):
    (hazard, found), top = fitted(DISCRETE_WEIBULL, survivors, 4)
    assert (round(1 - math.exp(-hazard), 4), round(found, 4), round(top, 4)) == (theta, c, value)


def test_four_renewals_project_the_high_end_s_year_twelve():
    """.389 of a real .394, where the sBG says .307 (Fader et al. 2018)."""
    params, _ = fitted(KERNEL, HIGH_END, 4)
    assert round(float(np.exp(-KERNEL.fade(params, 0.0, 12.0))), 3) == 0.389


@settings(max_examples=50)
@given(parameter, parameter, st.integers(0, 300), st.booleans())
def test_at_power_one_it_is_the_shifted_beta_geometric(alpha, beta, k, over):
    row = (np.array([float(k)]), np.array([over]))
    mine, theirs = rowwise(KERNEL, (alpha, beta, 1.0), *row), rowwise(sbg.KERNEL, (alpha, beta), *row)
    assert mine[0][0] == pytest.approx(theirs[0][0], rel=1e-10)
    np.testing.assert_allclose(mine[1][:2], theirs[1], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(mine[2][:2, :2], theirs[2], rtol=1e-7, atol=1e-8)


def test_without_differences_between_customers_it_is_the_discrete_weibull():
    """alpha and beta growing together: theta settles at alpha / (alpha + beta)."""
    k = np.arange(8.0)
    ended = np.array([True, False] * 4)
    spread = 1e7
    both = log_likelihoods(KERNEL, (0.2 * spread, 0.8 * spread, 1.4), k, ended)
    alone = log_likelihoods(DISCRETE_WEIBULL, (-math.log(0.8), 1.4), k, ended)
    np.testing.assert_allclose(both, alone, rtol=1e-5)


@settings(max_examples=50)
@given(parameter, parameter, parameter, st.integers(1, 200))
def test_ends_and_the_survivors_share_all_chance(alpha, beta, c, last):
    renewals = np.append(np.arange(float(last)), last)
    chances = np.exp(log_likelihoods(KERNEL, (alpha, beta, c), renewals, np.arange(last + 1) < last))
    assert chances.sum() == pytest.approx(1, rel=1e-11)


@pytest.mark.parametrize("c", [0.3, 1.0, 2.5, 12.0, 300.0])
@pytest.mark.parametrize("alpha_beta", [(0.5, 20.0), (50.0, 5e4)])
def test_long_sums_and_short_ones_agree(c, alpha_beta):
    """Two thousand periods one by one, however suddenly everybody is gone."""
    k, delta = 3.0, 0.002
    j = np.arange(1.0, 2001)
    there = np.exp(-KERNEL.fade((*alpha_beta, c), k, j) - delta * (j - 1))
    found = residual(KERNEL, (*alpha_beta, c), np.array([k]), 2000, delta).mean[0]
    assert found == pytest.approx(there.sum(), rel=1e-10)


@settings(max_examples=15)
@given(mild, mild, power, st.integers(0, 40), st.booleans(), st.sampled_from([KERNEL, DISCRETE_WEIBULL]))
def test_gradient_and_hessian_are_the_likelihood_s(alpha, beta, c, k, over, model):
    """Against 60-digit differences of the definition."""
    import mpmath as mp

    params = (alpha, beta, c) if model is KERNEL else (min(alpha, 2.0), c)

    def log_s(p, t):
        if not t:
            return mp.mpf(0)
        u = mp.mpf(t) ** p[-1]
        if model is DISCRETE_WEIBULL:
            return -p[0] * u
        a, b = p[:2]
        return mp.loggamma(b + u) + mp.loggamma(a + b) - mp.loggamma(a + b + u) - mp.loggamma(b)

    def definition(theta):
        p = [mp.e**v for v in theta]
        now = log_s(p, k)
        return now + (mp.log(-mp.expm1(log_s(p, k + 1) - now)) if over else 0)

    d = len(params)
    value, gradient, hessian = rowwise(model, params, np.array([float(k)]), np.array([over]))
    with mp.workdps(60):
        theta, h = [mp.log(mp.mpf(p)) for p in params], mp.mpf(10) ** -12
        step = [[h if i == j else 0 for j in range(d)] for i in range(d)]
        middle = definition(theta)
        assert value[0] == pytest.approx(float(middle), rel=1e-11, abs=1e-250)
        size = max(1.0, *(abs(float(g)) for g in gradient[:, 0]))
        for i in range(d):
            for j in range(i + 1):
                at = {
                    (s, t): definition([v + s * e + t * f for v, e, f in zip(theta, step[i], step[j], strict=True)])
                    for s in (-1, 1)
                    for t in (-1, 1)
                }
                mixed = float((at[1, 1] - at[1, -1] - at[-1, 1] + at[-1, -1]) / (4 * h**2))
                assert hessian[i, j, 0] == pytest.approx(mixed, rel=1e-8, abs=1e-9 * size)
                assert hessian[j, i, 0] == pytest.approx(mixed, rel=1e-8, abs=1e-9 * size)
            slope = [definition([v + s * e for v, e in zip(theta, step[i], strict=True)]) for s in (-1, 1)]
            assert gradient[i, 0] == pytest.approx(float((slope[1] - slope[0]) / (2 * h)), rel=1e-8, abs=1e-11)


def test_powers_beyond_any_float_have_finite_derivatives():
    """c of 9,000 after 50 renewals: k^c has 15,000 digits, and the fade is a plain power law."""
    value, gradient, hessian = rowwise(KERNEL, (0.01, 2.0, 9000.0), np.array([50.0, 1.0, 0.0]), np.array([True] * 3))
    for part in (value, gradient, hessian):
        assert np.all(np.isfinite(part))
    law = 0.01 * 9000 * math.log1p(1 / 50)
    assert KERNEL.fade((0.01, 2.0, 9000.0), 50.0, 1.0) == pytest.approx(law, rel=1e-12)
