"""The BG/NBD kernel against sixty-digit arithmetic, published worksheets and its own derivatives."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention._kernels import bgnbd
from retention._kernels.bgnbd import Params

CDNOW = Params(0.243, 4.414, 0.793, 2.426)
GRID = [
    CDNOW,
    Params(0.243, 4.414, 1.0, 2.426),  # the textbook formula divides by a - 1
    Params(0.243, 4.414, 1.0 + 1e-7, 2.426),
    Params(0.05, 0.5, 0.1, 0.5),
    Params(3.0, 100.0, 5.0, 2.0),
    Params(0.5, 0.01, 0.8, 0.3),
    Params(10.0, 1.0, 20.0, 1.0),
    Params(2.0, 10.0, 150.0, 400.0),
]
HISTORIES = [(0, 0.0, 0.0), (0, 0.0, 39.0), (2, 30.4, 38.9), (2, 38.9, 38.9), (60, 50.0, 78.0), (200, 77.0, 78.0)]


def arrays(*rows):
    return tuple(np.array(column, dtype=float) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("params", GRID, ids=str)
def test_log_likelihood_matches_sixty_digits(params):
    mp = pytest.importorskip("mpmath")
    rows = [*HISTORIES, (10_000, 2_900.0, 3_000.0), (3_000, 10.0, 3_000.0)]
    ours = bgnbd.log_likelihoods(params, *arrays(*rows))
    with mp.workdps(60):
        r, alpha, a, b = map(mp.mpf, params)
        for got, (x, t_x, T) in zip(ours, rows, strict=True):
            alive = mp.beta(a, b + x) / mp.beta(a, b) * (alpha + mp.mpf(T)) ** -(r + x)
            gone = mp.mpf(0)
            if x > 0:
                gone = mp.beta(a + 1, b + x - 1) / mp.beta(a, b) * (alpha + mp.mpf(t_x)) ** -(r + x)
            truth = mp.log(mp.gamma(r + x) / mp.gamma(r) * alpha**r * (alive + gone))
            assert got == pytest.approx(float(truth), rel=1e-12, abs=1e-10)


@pytest.mark.parametrize("params", GRID, ids=str)
@pytest.mark.parametrize("t", [0.1, 39.0, 520.0])
def test_expected_purchases_match_sixty_digits(params, t):
    """Equation 10 of Fader, Hardie and Lee 2005, with a moved by 1e-30 where it is 1."""
    mp = pytest.importorskip("mpmath")
    x, t_x, T = arrays(*HISTORIES)
    ours = bgnbd.forecast(params, x, t_x, T, t).mean
    alive = bgnbd.p_alive(params, x, t_x, T)
    with mp.workdps(60):
        r, alpha, a, b = map(mp.mpf, params)
        a = a + mp.mpf(10) ** -30 if a == 1 else a
        for got, there, (n, _, age) in zip(ours, alive, HISTORIES, strict=True):
            s = alpha + mp.mpf(age)
            hyper = mp.hyp2f1(r + n, b + n, a + b + n - 1, t / (s + t))
            truth = (a + b + n - 1) / (a - 1) * (1 - (s / (s + t)) ** (r + n) * hyper)
            assert got == pytest.approx(float(truth) * there, rel=1e-9)


# The paper's optimum with the digits of the authors' spreadsheet; times are whole days, the paper prints weeks.
SHEET = Params(0.24259395, 4.41353198, 0.79291997, 2.42588132)


def test_the_published_worksheet_of_log_likelihoods():
    """Figure 1 of Fader, Hardie and Lee 2005, customers 1, 2 and 6, and one without a repeat."""
    x, t_x, T = arrays((2, 213, 272), (1, 12, 272), (7, 206, 272), (0, 0, 272))
    ours = bgnbd.log_likelihoods(SHEET, x, t_x / 7, T / 7)
    assert ours == pytest.approx([-9.4596, -4.4711, -21.8644, -0.5538], abs=6e-5)


def test_the_published_expectations_of_a_new_customer():
    """The authors' spreadsheet; its last figure, at 78 weeks, is read to three decimals."""
    nobody = np.zeros(1)
    for t, printed in [(0.1429, 0.0078), (1, 0.0532), (3, 0.1506), (31.8571, 1.0405), (32, 1.0437), (52, 1.444004)]:
        assert bgnbd.forecast(SHEET, nobody, nobody, nobody, t).mean[0] == pytest.approx(printed, abs=6e-5)
    assert bgnbd.forecast(SHEET, nobody, nobody, nobody, 78.0).mean[0] == pytest.approx(1.8576, abs=5e-4)


def test_customer_1516_of_the_published_walkthrough():
    x, t_x, T = arrays((26, 30.857142857, 31.0))
    assert bgnbd.p_alive(SHEET, x, t_x, T)[0] == pytest.approx(0.9688523, abs=1e-5)
    assert bgnbd.forecast(SHEET, x, t_x, T, 52.0).mean[0] == pytest.approx(25.75659, abs=2e-3)


def test_customer_1_is_expected_to_buy_1_226_times_in_39_weeks():
    assert bgnbd.forecast(CDNOW, *arrays((2, 30.43, 38.86)), 39.0).mean[0] == pytest.approx(1.226, abs=6e-4)


logs = st.floats(-3.0, 3.0)


@given(theta=st.tuples(logs, logs, logs, logs))
def test_gradient_and_hessian_are_those_of_the_value(theta):
    x, t_x, T = arrays(*HISTORIES, (1, 3.0, 40.0), (5, 20.0, 60.0))
    cells = bgnbd.merge(x, t_x, T)
    theta = np.array(theta)

    def at(point):
        return bgnbd.total(Params(*np.exp(point)), cells)

    value, gradient, hessian = at(theta)
    assert value == pytest.approx(bgnbd.log_likelihoods(Params(*np.exp(theta)), x, t_x, T).sum(), rel=1e-11)
    step = 1e-5
    for i, e in enumerate(np.eye(4) * step):
        up, down = at(theta + e), at(theta - e)
        scale = 1 + abs(value)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-7 * scale, rel=1e-6)
        assert hessian[i] == pytest.approx((up[1] - down[1]) / (2 * step), abs=1e-6 * scale, rel=1e-5)


def test_merging_identical_customers_changes_nothing_but_the_work():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 3, 500) * 1.0
    T = rng.integers(20, 24, 500) * 1.0
    t_x = np.where(x > 0, rng.integers(1, 5, 500), 0.0)
    cells = bgnbd.merge(x, t_x, T)
    assert len(cells.x) < 60
    assert cells.weight.sum() == 500
    for merged, raw in zip(cells[:3], (x, t_x, T), strict=True):
        assert np.array_equal(merged[cells.which], raw)
    fractions = bgnbd.merge(x, t_x / 7, T / 7)
    assert np.array_equal(fractions.weight, cells.weight)
    assert np.array_equal(fractions.which, cells.which)


def simulate(params, rng, n, T, horizon, delta):
    """Purchases after T of customers drawn from the posterior of nobody in particular: x = 0, always alive at 0."""
    lam = rng.gamma(params.r, 1 / params.alpha, n)
    p = rng.beta(params.a, params.b, n)
    clock, total, going = np.zeros(n), np.zeros(n), np.arange(n)
    squares, counts = np.zeros(n), np.zeros(n)
    while len(going):
        clock[going] += rng.exponential(1 / lam[going])
        going = going[clock[going] <= horizon]
        factor = np.exp(-delta * clock[going])
        total[going] += factor
        squares[going] += factor**2
        counts[going] += 1
        going = going[rng.random(len(going)) > p[going]]
    return total, squares, counts


def test_moments_of_discounted_purchases_agree_with_simulation():
    """400,000 simulated newcomers; each comparison fails by chance with probability below 1e-5 (4.5 sd)."""
    params, horizon, delta = Params(0.8, 6.0, 0.7, 2.0), 40.0, 0.02
    nobody = np.zeros(1)
    ours = bgnbd.forecast(params, nobody, nobody, nobody, horizon, delta, second=True)
    total, squares, counts = simulate(params, np.random.default_rng(5), 400_000, 0.0, horizon, delta)
    for got, seen in (
        (ours.mean, total), (ours.squares, squares), (ours.pairs, total**2 - squares), (ours.any, counts > 0),
    ):  # fmt: skip
        assert abs(got[0] - seen.mean()) < 4.5 * seen.std() / math.sqrt(len(seen))


def test_coarse_nodes_are_good_to_a_thousandth():
    """Averages over parameter points use fewer nodes; they must not bend the interval."""
    x, t_x, T = arrays(*HISTORIES)
    for params in GRID[:3]:
        fine = bgnbd.forecast(params, x, t_x, T, 52.0, 0.002, second=True)
        coarse = bgnbd.forecast(params, x, t_x, T, 52.0, 0.002, second=True, nodes=24, beta_nodes=96)
        for a, b in zip(fine, coarse, strict=True):
            assert b == pytest.approx(a, rel=1e-3)


def test_no_discount_is_the_plain_expectation_and_discounting_only_takes_away():
    x, t_x, T = arrays(*HISTORIES)
    plain = bgnbd.forecast(CDNOW, x, t_x, T, 52.0).mean
    little = bgnbd.forecast(CDNOW, x, t_x, T, 52.0, 1e-13).mean
    much = bgnbd.forecast(CDNOW, x, t_x, T, 52.0, 0.05).mean
    assert little == pytest.approx(plain, rel=1e-10)
    assert np.all(much < plain)
    assert np.all(much > plain * math.exp(-0.05 * 52))
