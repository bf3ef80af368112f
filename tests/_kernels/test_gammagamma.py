"""The gamma-gamma kernel against sixty-digit truth, direct integration and its own derivatives."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from retention._kernels import gammagamma
from retention._kernels.gammagamma import Params

TRUTH = json.loads((Path(__file__).parent / "truth" / "gammagamma.json").read_text())

X = np.array([1.0, 2.0, 7.0])
Z = np.array([22.35, 0.01, 35.2])
D = np.array([-0.5, 0.0, 1.25])


NAMES = TRUTH["names"]


def answers(point):
    """Value, gradient and upper half of the Hessian of one customer, in the order of the file of truths."""
    value, gradient, hessian = gammagamma.total(Params(*point[:3]), *np.array(point[3:], dtype=float)[:, None])
    return np.concatenate([[value], gradient, hessian[np.triu_indices(3)]])


@pytest.mark.parametrize("case", TRUTH["hard"], ids=lambda c: "-".join(f"{value:g}" for value in c["point"]))
def test_density_and_derivatives_are_those_of_the_integral_over_nu(case):
    """Truth: the definition integrated over nu with fifty digits (truth/gammagamma.py)."""
    ours, truth = answers(case["point"]), np.array(case["truth"])
    assert ours[0] == pytest.approx(truth[0], rel=1e-11)
    assert ours[1:4] == pytest.approx(truth[1:4], rel=1e-10)
    assert ours[4:] == pytest.approx(truth[4:], rel=1e-8)


def textbook(p, q, v, x, z):
    """Equation 1a as it is printed."""
    a = p * x
    return (
        gammaln(a + q) - gammaln(a) - gammaln(q) + q * np.log(v) + (a - 1) * np.log(z) + a * np.log(x)
        - (a + q) * np.log(v + x * z)
    )  # fmt: skip


def test_the_extreme_grid_is_exact_where_the_textbook_form_is_not():
    """825 points with every parameter from 1e-4 to 1e4, up to 10,000 purchases and margins from 1e-4 to 1e6."""
    points = [case["point"] for case in TRUTH["extreme"]]
    truth = np.array([case["truth"][NAMES.index("log_likelihood")] for case in TRUTH["extreme"]])
    p, q, v, x, z = np.array(points).T
    ours = np.array([answers(point)[0] for point in points])
    assert np.all(np.abs(ours - truth) <= 1e-12 * np.abs(truth) + 1e-14)
    printed = textbook(p, q, v, x, z)
    assert np.sum(np.abs(printed - truth) > 1e-8 * np.abs(truth)) > 5, "the grid no longer bites"


def test_on_the_extreme_grid_slopes_are_as_exact_as_their_terms():
    """Nine digits, or what rounding of the terms leaves: those are no larger than p x + q."""
    for case in TRUTH["extreme"]:
        p, q, _, x, _ = case["point"]
        ours, truth = answers(case["point"])[1:], np.array(case["truth"])[1:]
        assert np.all(np.abs(ours - truth) <= 1e-9 * np.abs(truth) + 1e-15 * (1 + p * x + q)), case["point"]


logs = st.floats(-2.0, 3.0)


@given(theta=st.tuples(logs, logs, logs, st.floats(-1.0, 1.0)))
def test_gradient_and_hessian_are_those_of_the_value_with_a_slope_too(theta):
    theta, weight = np.array(theta), np.array([1.0, 0.5, 3.0])

    def at(point):
        return gammagamma.total(Params(*np.exp(point[:3]), point[3]), X, Z, D, weight)

    value, gradient, hessian = at(theta)
    each = gammagamma.log_likelihoods(Params(*np.exp(theta[:3]), theta[3]), X, Z, D)
    assert value == pytest.approx(weight @ each, rel=1e-12)
    step = 1e-5
    for i, e in enumerate(np.eye(4) * step):
        up, down = at(theta + e), at(theta - e)
        scale = 1 + abs(value)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-7 * scale, rel=1e-6)
        assert hessian[i] == pytest.approx((up[1] - down[1]) / (2 * step), abs=1e-6 * scale, rel=1e-5)


def same(params, x, z, d, weight):
    """What a climb is told, and what is told once: as many digits as the size of their terms leaves."""
    told = gammagamma.prepared(x, z, d, weight)(params)
    once = gammagamma.total(params, x, z, d, weight)
    limit = 1e-13 * weight.sum() * (1 + float(np.max(params.p * x)) + params.q)
    for ours, truth in zip(told, once, strict=True):
        assert np.all(np.abs(ours - truth) <= limit + 1e-11 * np.abs(truth)), params


@given(theta=st.tuples(logs, logs, logs, st.floats(-1.0, 1.0)))
def test_a_climb_is_told_the_same_at_every_point(theta):
    params, weight = Params(*np.exp(theta[:3]), theta[3]), np.array([1.0, 0.5, 3.0])
    same(params, X, Z, D, weight)
    same(params._replace(slope=0.0), X, Z, None, weight)


def test_a_climb_is_told_the_same_on_the_extreme_grid():
    for case in TRUTH["extreme"]:
        p, q, v, x, z = case["point"]
        same(Params(p, q, v), np.array([float(x)]), np.array([z]), None, np.ones(1))


def test_a_slope_is_a_scale_of_money():
    """Who lies d above is like one without a slope whose margins are smaller by exp(slope d)."""
    sloped = gammagamma.log_likelihoods(Params(6.25, 3.74, 15.44, 0.3), X, Z, D)
    plain = gammagamma.log_likelihoods(Params(6.25, 3.74, 15.44), X, Z * np.exp(-0.3 * D))
    assert sloped == pytest.approx(plain - 0.3 * D, rel=1e-12)


def test_the_density_is_one_in_total():
    grid = np.exp(np.linspace(-25, 25, 40_001))
    density = np.exp(gammagamma.log_likelihoods(Params(6.25, 3.74, 15.44), np.full(len(grid), 3.0), grid))
    assert np.trapezoid(density * grid, np.log(grid)) == pytest.approx(1.0, abs=1e-9)
