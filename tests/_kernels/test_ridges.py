"""Ridges from sums, against the marginal likelihood that they are said to maximise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from retention._kernels import ridges


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(2, 5))
def test_folds_are_as_equal_as_can_be_in_every_arm_and_together(codes, folds):
    codes = np.array(codes)
    fold = ridges.fold_of(codes, folds, np.random.default_rng(0))
    for rows in [np.ones(len(codes), dtype=bool), *(codes == a for a in range(4))]:
        size = np.bincount(fold[rows], minlength=folds)
        assert size.max() - size.min() <= 1


def test_the_ridge_maximises_the_marginal_likelihood_of_normal_coefficients():
    """The same by brute force: y ~ N(0, sigma^2 (I + X X' / alpha)) about the mean, sigma^2 profiled."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 60))
    x[3] = x[2] + 0.1 * rng.normal(size=60)
    y = np.stack([1.0 + 0.5 * x[0] + rng.normal(size=60), rng.normal(size=60)])
    got = ridges.ridge(ridges.moments(x, y))
    centred = x - x.mean(axis=1, keepdims=True)
    for t in range(2):
        best = -math.inf
        for alpha in 60 * np.logspace(-5, 1, 31):
            spread = np.eye(60) + (centred.T @ centred) / alpha
            rest = y[t] - y[t].mean()
            likelihood = -(59 * math.log(rest @ np.linalg.solve(spread, rest)) + np.linalg.slogdet(spread)[1]) / 2
            if likelihood > best:
                best, penalty = likelihood, alpha
        slopes = np.linalg.solve(centred @ centred.T + penalty * np.eye(4), centred @ (y[t] - y[t].mean()))
        assert got[1:, t] == pytest.approx(slopes, rel=1e-9, abs=1e-12)
        assert ridges.guesses(got, x)[t].mean() == pytest.approx(y[t].mean(), rel=1e-12)


def test_noise_is_shrunk_and_a_constant_target_is_its_mean():
    x = np.random.default_rng(4).normal(size=(10, 500))
    y = np.append(np.random.default_rng(5).normal(size=(100, 500)), np.full((1, 500), 7.0), axis=0)
    plain = np.linalg.lstsq((x - x.mean(axis=1, keepdims=True)).T, (y - y.mean(axis=1, keepdims=True)).T)[0]
    sums = ridges.moments(x, y)
    for got in (ridges.ridge(sums), ridges.grouped_ridge(sums, np.arange(10) // 2)):
        assert np.all(got[1:, -1] == 0.0)
        assert np.sum(got[1:] ** 2) < 0.35 * np.sum(plain**2)
        assert got[0] == pytest.approx(y.mean(axis=1), abs=0.02)


def test_the_grouped_ridge_stands_where_the_marginal_likelihood_is_flat():
    """y ~ N(0, sigma^2 (I + sum X_g X_g' / alpha_g)): numerically no direction leads up, but against the bounds."""
    rng = np.random.default_rng(20)
    x, groups = rng.normal(size=(5, 120)), np.array([0, 0, 1, 2, 2])
    y = 1 + x[0] - 0.8 * x[1] + 0.5 * x[2] + rng.normal(size=120)
    got = ridges.grouped_ridge(ridges.moments(x, y[None]), groups)
    c = x - x.mean(axis=1, keepdims=True)
    rest = y - y.mean()

    def likelihood(log_alpha):
        spread = np.eye(120) + (c.T / np.exp(log_alpha)[groups]) @ c
        return -(119 * math.log(rest @ np.linalg.solve(spread, rest)) + np.linalg.slogdet(spread)[1]) / 2

    def slopes(log_alpha):
        return np.linalg.solve(c @ c.T + np.diag(np.exp(log_alpha)[groups]), c @ rest)

    bounds = [(math.log(120e-5), math.log(1200))] * 3
    best = minimize(lambda a: -likelihood(a), np.full(3, math.log(120.0)), bounds=bounds)
    assert got[1:, 0] == pytest.approx(slopes(best.x), abs=2e-3)
    assert got[0, 0] == pytest.approx(y.mean() - x.mean(axis=1) @ got[1:, 0])


def test_what_the_target_does_not_depend_on_is_all_but_left_out():
    rng = np.random.default_rng(21)
    x = rng.normal(size=(20, 2000))
    y = (0.3 * x[0] + rng.normal(size=2000))[None]
    sums = ridges.moments(x, y)
    one, many = ridges.ridge(sums)[1:, 0], ridges.grouped_ridge(sums, np.arange(20))[1:, 0]
    assert many[0] == pytest.approx(0.3, abs=0.1)
    assert np.sum(many[1:] ** 2) < 0.4 * np.sum(one[1:] ** 2)


def test_moments_of_parts_add_up_and_come_apart():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(3, 50)), rng.normal(size=(2, 50))
    whole, part = ridges.moments(x, y), ridges.moments(x[:, :20], y[:, :20])
    other = ridges.moments(x[:, 20:], y[:, 20:])
    for back in (part.plus(other), whole):
        for mine, theirs in zip(back.minus(part), other, strict=True):
            assert np.asarray(mine) == pytest.approx(np.asarray(theirs), rel=1e-12, abs=1e-12)
