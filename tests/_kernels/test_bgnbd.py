"""The BG/NBD and MBG/NBD kernels against published worksheets and by two roads; the digits are in test_truth.py."""

import math

import numpy as np
import pytest

from retention._kernels import bgnbd_ahead
from retention._kernels.bgnbd import BG, MBG
from retention._kernels.purchases import Rows, merge

CDNOW = (0.243, 4.414, 0.793, 2.426)


def rows(*customers):
    x, t_x, T = (np.array(column, dtype=float) for column in zip(*customers, strict=True))
    return Rows(x, t_x, T, np.zeros(len(x)))


# The paper's optimum with the digits of the authors' spreadsheet; times are whole days, the paper prints weeks.
SHEET = (0.24259395, 4.41353198, 0.79291997, 2.42588132)


def test_the_published_worksheet_of_log_likelihoods():
    """Figure 1 of Fader, Hardie and Lee 2005, customers 1, 2 and 6, and one without a repeat."""
    ours = BG.log_likelihoods(SHEET, rows((2, 213, 272), (1, 12, 272), (7, 206, 272), (0, 0, 272)).scaled(7.0))
    assert ours == pytest.approx([-9.4596, -4.4711, -21.8644, -0.5538], abs=6e-5)


def test_the_published_expectations_of_a_new_customer():
    """The authors' spreadsheet; its last figure, at 78 weeks, is read to three decimals."""
    nobody = rows((0, 0, 0))
    for t, printed in [(0.1429, 0.0078), (1, 0.0532), (3, 0.1506), (31.8571, 1.0405), (32, 1.0437), (52, 1.444004)]:
        assert BG.forecast(SHEET, nobody, t).mean[0] == pytest.approx(printed, abs=6e-5)
    assert BG.forecast(SHEET, nobody, 78.0).mean[0] == pytest.approx(1.8576, abs=5e-4)


def test_customer_1516_of_the_published_walkthrough():
    she = rows((26, 30.857142857, 31.0))
    assert BG.p_alive(SHEET, she)[0] == pytest.approx(0.9688523, abs=1e-5)
    assert BG.forecast(SHEET, she, 52.0).mean[0] == pytest.approx(25.75659, abs=2e-3)


def test_customer_1_is_expected_to_buy_1_226_times_in_39_weeks():
    assert BG.forecast(CDNOW, rows((2, 30.43, 38.86)), 39.0).mean[0] == pytest.approx(1.226, abs=6e-4)


def test_a_newcomer_whose_silence_says_nothing_has_a_tiny_log_likelihood_with_all_its_digits():
    """MBG, x = 0, T far below alpha: to first order -r b / (a + b) T / alpha; the next term is 1e-7 of it."""
    params, T = (0.5, 1e4, 0.8, 2.4), 1e-3
    ours = MBG.log_likelihoods(params, rows((0, 0.0, T)))[0]
    assert ours == pytest.approx(-0.5 * 2.4 / 3.2 * T / 1e4, rel=1e-6)


@pytest.mark.parametrize("m", [0, 1])
def test_both_roads_of_a_forecast_lead_to_the_same_place(m):
    """The series over a base and the integral customer by customer share no quadrature."""
    kernel = (BG, MBG)[m]
    base = rows((0, 0, 39), (2, 30.4, 38.9), (2, 38.9, 38.9), (60, 50, 78), (200, 77, 78))
    quick = kernel.forecast(CDNOW, base, 52.0, 0.002, second=True)
    alive = kernel.p_alive(CDNOW, base)
    slow = bgnbd_ahead._direct(CDNOW, base, 52.0, 0.002, True, False, m)
    for one, other in zip(quick[:3], slow, strict=True):
        assert one == pytest.approx(alive * other, rel=1e-12)


def test_rough_forecasts_are_good_to_a_thousandth():
    """Averages over parameter points use fewer nodes; they must not bend the interval."""
    base = rows((0, 0, 0), (0, 0, 39), (2, 30.4, 38.9), (2, 38.9, 38.9), (60, 50, 78), (200, 77, 78))
    for params in (CDNOW, (0.05, 0.5, 0.1, 0.5), (3.0, 100.0, 5.0, 2.0)):
        fine = BG.forecast(params, base, 52.0, 0.002, second=True)
        coarse = BG.forecast(params, base, 52.0, 0.002, second=True, rough=True)
        for a, b in zip(fine, coarse, strict=True):
            assert b == pytest.approx(a, rel=1e-3)


def test_discounting_only_takes_away():
    base = rows((0, 0, 39), (2, 30.4, 38.9), (60, 50, 78))
    plain = BG.forecast(CDNOW, base, 52.0).mean
    little = BG.forecast(CDNOW, base, 52.0, 1e-13).mean
    much = BG.forecast(CDNOW, base, 52.0, 0.05).mean
    assert little == pytest.approx(plain, rel=1e-10)
    assert np.all(much < plain)
    assert np.all(much > plain * math.exp(-0.05 * 52))


@pytest.mark.parametrize("m", [0, 1])
@pytest.mark.parametrize("params", [CDNOW, (0.05, 0.5, 1.0, 0.5), (3.0, 100.0, 5.0, 2.0)], ids=str)
def test_derivatives_have_eight_digits(params, m):
    """Against forty-digit differences of the textbook likelihood, by log-parameters."""
    mp = pytest.importorskip("mpmath")
    customers = [(0, 0.0, 39.0), (2, 30.4, 38.9), (2, 38.9, 38.9), (60, 50.0, 78.0)]
    _, gradient, hessian = (BG, MBG)[m].rowwise(params, rows(*customers))
    with mp.workdps(40):
        theta = [mp.log(mp.mpf(value)) for value in params]
        for i, (x, t_x, T) in enumerate(customers):

            def textbook(*logs, x=x, t_x=t_x, T=T):
                r, alpha, a, b = (mp.exp(value) for value in logs)
                total = mp.beta(a, b + x + m) / mp.beta(a, b) * (alpha + T) ** -(r + x)
                if x > 0 or m:
                    total += mp.beta(a + 1, b + x + m - 1) / mp.beta(a, b) * (alpha + t_x) ** -(r + x)
                return mp.log(mp.gamma(r + x) / mp.gamma(r) * alpha**r * total)

            for j in range(4):
                once = tuple(int(k == j) for k in range(4))
                assert gradient[j, i] == pytest.approx(float(mp.diff(textbook, theta, once)), rel=1e-8, abs=1e-11)
                for k in range(j, 4):
                    twice = tuple(int(n == j) + int(n == k) for n in range(4))
                    true = float(mp.diff(textbook, theta, twice))
                    assert hessian[j, k, i] == pytest.approx(true, rel=1e-8, abs=1e-10)


BASES = {
    "whole days": rows(
        (0, 0, 10), (0, 0, 39), (0, 0, 300), (1, 9, 10), (2, 38, 39), (2, 30, 39), (7, 39, 39), (3, 1, 9)
    ),
    "any time": rows((0, 0.0, 10.5), (0, 0.0, 1e-3), (1, 9.25, 10.5), (2, 38.125, 39.0), (60, 50.0, 78.0625)),
    "long silence": rows((0, 0, 9000), (4000, 20, 9000), (4000, 8000, 9000), (5, 1, 9000)),
    "repeaters alone": rows((2, 38, 39), (2, 30, 39), (9, 39, 39)),
    "one-time buyers alone": rows((0, 0, 10), (0, 0, 39)),
}


@pytest.mark.parametrize("m", [0, 1])
@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
@pytest.mark.parametrize(
    "params", [CDNOW, (0.05, 0.5, 1.0, 0.5), (3.0, 100.0, 5.0, 2.0), (30.0, 0.1, 0.02, 9.0)], ids=str
)
def test_a_base_is_worth_the_sum_of_its_customers(base, params, m):
    """Sums over purchases, over ages and over cells against a row at a time, which uses gamma functions; each row
    stands for so many customers, or for none."""
    kernel = (BG, MBG)[m]
    weight = np.arange(len(base.x)) % 4 * 1.5
    cells = merge(base, weight)
    each, slopes, bends = kernel.rowwise(params, base)
    for ready in (kernel.on(cells), kernel.on(cells._replace(grid=None))):
        value, gradient, hessian = ready.total(params)
        assert value == pytest.approx(weight @ each, rel=1e-11)
        assert gradient == pytest.approx(slopes @ weight, rel=1e-9, abs=1e-9)
        assert hessian == pytest.approx(bends @ weight, rel=1e-9, abs=1e-9)
        points = np.array([params, CDNOW, np.multiply(params, 1.3)])
        sums = [weight @ kernel.log_likelihoods(point, base) for point in points]
        assert ready.values(points) == pytest.approx(sums, rel=1e-11)


def test_nobody_is_worth_nothing():
    nobody = merge(Rows(*np.zeros((4, 0))))
    assert BG.total(CDNOW, nobody)[0] == 0
    assert BG.values(np.array([CDNOW]), nobody).tolist() == [0]


@pytest.mark.parametrize("kernel", [BG, MBG])
def test_an_average_over_points_is_that_of_their_forecasts(kernel):
    """For a base with a table of pairs and for a handful without one; what is told at once is told one by one."""
    rng = np.random.default_rng(2)
    points = np.array(CDNOW) * np.exp(0.1 * rng.standard_normal((5, 4)))
    for many in (5, 4000):
        x, T = rng.integers(0, 5, many), rng.integers(40, 60, many)
        last = np.where(x > 0, rng.integers(1, 40, many), 0)
        cells = merge(rows(*zip(x, last, T, strict=True)))
        weight = rng.random(len(cells.weight))
        average, totals = kernel.averaged(points, cells, 52.0, 0.002, weight)
        each = [kernel.forecast(p, cells.rows, 52.0, 0.002, second=True, rough=True) for p in points]
        for told, parts in zip(average, zip(*each, strict=True), strict=True):
            np.testing.assert_allclose(told, np.mean(parts, axis=0), rtol=1e-12)
        assert totals == pytest.approx([weight @ ahead.mean for ahead in each], rel=1e-12)
