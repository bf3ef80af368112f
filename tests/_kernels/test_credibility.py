"""The credibility kernel against fifty-digit truth, and against the joint normal density of all days."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention._kernels import credibility
from retention._kernels.credibility import Days, Params

TRUTH = json.loads((Path(__file__).parent / "truth" / "credibility.json").read_text())


def days_of(customers) -> Days:
    n = np.array([len(days) for days in customers], dtype=float)
    mean = np.array([np.mean(days) for days in customers])
    squares = np.array([np.sum((np.array(days) - np.mean(days)) ** 2) for days in customers])
    return Days(n, mean, squares, n - 1)


def test_everything_is_what_the_integral_over_her_own_mean_says():
    """Truth: the definition integrated over m with fifty digits (truth/credibility.py), 75 cases."""
    for case in TRUTH["hard"]:
        *params, d, her_days = case["point"]
        params, days, d = Params(*params), days_of([her_days]), np.array([d])
        truth = dict(zip(TRUTH["names"], case["truth"], strict=True))
        value, gradient, hessian = credibility.total(params, days, d)
        assert value == pytest.approx(truth["log_likelihood"], rel=1e-12)
        assert gradient == pytest.approx([truth[f"gradient_{i}"] for i in range(4)], rel=1e-9, abs=1e-11)
        half = [truth[f"hessian_{i}{j}"] for i in range(4) for j in range(i, 4)]
        assert hessian[np.triu_indices(4)] == pytest.approx(half, rel=1e-9, abs=1e-11)
        mean, variance = credibility.posterior(params, days.n, days.mean, d)
        assert mean[0] == pytest.approx(truth["mean"], rel=1e-12, abs=1e-14)
        assert variance[0] == pytest.approx(truth["variance"], rel=1e-12)


def test_the_extreme_grid_is_exact():
    """475 points, deviations from 1e-4 to 1e4, up to 10,000 days, means and margins of 1e4 either way."""
    for case in TRUTH["extreme"]:
        mean, between, within, slope, d, n, y, _, _ = case["point"]
        truth = dict(zip(TRUTH["names"], case["truth"], strict=True))
        params, hers = Params(mean, between, within, slope), [np.array([value], dtype=float) for value in (n, y, d)]
        ours, largest = credibility.log_densities(params, *hers)[0], max(abs(y), abs(mean), abs(slope * d))
        # What rounding of y less her centre costs: an error of it moves the square by twice as much.
        rounding = 4e-16 * largest * abs(y - mean - slope * d) / (between**2 + within**2 / n)
        assert abs(ours - truth["log_density"]) <= 1e-12 * abs(truth["log_density"]) + rounding
        first, variance = credibility.posterior(params, *hers)
        # A mean between values of unlike sign is as exact as the larger of them.
        assert abs(first[0] - truth["mean"]) <= 1e-12 * max(abs(truth["mean"]), largest)
        assert abs(variance[0] - truth["variance"]) <= 1e-12 * truth["variance"]


def test_the_likelihood_is_the_joint_normal_density_of_all_days():
    """An independent route: each customer's days are one multivariate normal vector."""
    rng = np.random.default_rng(5)
    customers = [rng.normal(5, 30, size) for size in (1, 2, 3, 8, 20)]
    d = np.array([-1.0, 0.5, 0.0, 2.0, -0.25])
    truth = 0.0
    for days, away in zip(customers, d, strict=True):
        n = len(days)
        covariance = np.full((n, n), 20.0**2) + np.eye(n) * 30.0**2
        e = days - 7.0 - 1.5 * away
        truth -= (n * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + e @ np.linalg.solve(covariance, e)) / 2
        truth += np.log(n) / 2  # the density of sqrt(n) mean against that of the mean
    assert credibility.total(Params(7.0, 20.0, 30.0, 1.5), days_of(customers), d)[0] == pytest.approx(truth, rel=1e-12)


unit = st.floats(-2.0, 2.0)


@given(theta=st.tuples(unit, unit, unit, unit))
def test_gradient_and_hessian_are_those_of_the_value(theta):
    """By central differences of the value, with weights and a slope."""
    theta, d, weight = np.array(theta), np.array([-0.5, 0.0, 1.25]), np.array([1.0, 0.5, 3.0])
    days = days_of([[1.0], [2.0, -1.0], [0.5, 0.75, 3.0, 1.0]])

    def at(t):
        return credibility.total(Params(t[0], np.exp(t[1]), np.exp(t[2]), t[3]), days, d, weight)

    value, gradient, hessian = at(theta)
    step = 1e-5
    scale = 1 + abs(value) + np.abs(hessian).max()
    for i, e in enumerate(np.eye(4) * step):
        up, down = at(theta + e), at(theta - e)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-7 * scale)
        assert hessian[i] == pytest.approx((up[1] - down[1]) / (2 * step), abs=1e-6 * scale)


def test_a_weight_is_so_many_customers():
    days = days_of([[1.0], [2.0, -1.0]])
    twice = days_of([[1.0], [2.0, -1.0], [2.0, -1.0]])
    params = Params(0.5, 2.0, 1.0)
    for one, other in zip(
        credibility.total(params, days, None, np.array([1.0, 2.0])), credibility.total(params, twice), strict=True
    ):
        assert one == pytest.approx(other, rel=1e-13)


def test_nobody_seen_is_worth_the_base():
    mean, variance = credibility.posterior(Params(34.0, 20.0, 30.0), np.zeros(1), np.zeros(1))
    assert (mean[0], variance[0]) == (34.0, pytest.approx(400.0))
