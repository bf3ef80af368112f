"""The bricks of choosing by customer: each against an equation, a simulation or a slower way."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from retention._kernels import uplift


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
            assert uplift.skew_quantile(z, skewness, n) == pytest.approx(float(true), rel=1e-9, abs=1e-12)
    assert uplift.skew_quantile(1.3, 0.0, 10) == 1.3


def test_intervals_of_skewed_money_hold_what_they_promise_where_the_plain_one_does_not():
    """Log-normal spend of sigma 1.5, 100 values: the plain 95 % interval covers 0.85. With 1,500 runs a share has an
    error of 0.006 to 0.009, so that either bound is missed by chance in fewer than 1 of 1,000 seeds."""
    rng = np.random.default_rng(1)
    true, covered, plain = math.exp(1.5**2 / 2), 0, 0
    for _ in range(1500):
        got = uplift.mean_interval(rng.lognormal(0.0, 1.5, 100), 0.95)
        covered += got.low <= true <= got.high
        plain += abs(got.value - true) <= 1.96 * got.error
    assert covered / 1500 > 0.90
    assert plain / 1500 < 0.88


def test_a_weighted_mean_has_the_error_that_redrawing_gives():
    """400 bootstrap draws tell a standard error to 4 %; the bound is three times that."""
    rng = np.random.default_rng(2)
    w = rng.exponential(size=800)
    v = 3 + w + rng.normal(size=800)
    got = uplift.mean_interval(v, 0.9, w)
    assert got.value == pytest.approx(np.average(v, weights=w), rel=1e-12)
    rows = rng.integers(0, 800, (400, 800))
    assert got.error == pytest.approx(np.std((w * v)[rows].sum(1) / w[rows].sum(1)), rel=0.12)


def test_values_without_spread_have_no_interval():
    got = uplift.mean_interval(np.full(9, 1e6 + 0.1), 0.9)
    assert got == (got.value, 0.0, got.value, got.value)
    assert got.value == pytest.approx(1e6 + 0.1, rel=1e-15)
    assert uplift.mean_interval(np.zeros(9), 0.9) == (0.0, 0.0, 0.0, 0.0)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(2, 5))
def test_folds_are_as_equal_as_can_be_in_every_arm_and_together(codes, folds):
    codes = np.array(codes)
    fold = uplift.fold_of(codes, folds, np.random.default_rng(0))
    for rows in [np.ones(len(codes), dtype=bool), *(codes == a for a in range(4))]:
        size = np.bincount(fold[rows], minlength=folds)
        assert size.max() - size.min() <= 1


def test_the_ridge_maximises_the_marginal_likelihood_of_normal_coefficients():
    """The same by brute force: y ~ N(0, sigma^2 (I + X X' / alpha)) about the mean, sigma^2 profiled."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 60))
    x[3] = x[2] + 0.1 * rng.normal(size=60)
    y = np.stack([1.0 + 0.5 * x[0] + rng.normal(size=60), rng.normal(size=60)])
    got = uplift.ridge(uplift.moments(x, y))
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
        assert uplift.guesses(got, x)[t].mean() == pytest.approx(y[t].mean(), rel=1e-12)


def test_noise_is_shrunk_and_a_constant_target_is_its_mean():
    x = np.random.default_rng(4).normal(size=(10, 500))
    y = np.append(np.random.default_rng(5).normal(size=(100, 500)), np.full((1, 500), 7.0), axis=0)
    plain = np.linalg.lstsq((x - x.mean(axis=1, keepdims=True)).T, (y - y.mean(axis=1, keepdims=True)).T)[0]
    sums = uplift.moments(x, y)
    for got in (uplift.ridge(sums), uplift.grouped_ridge(sums, np.arange(10) // 2)):
        assert np.all(got[1:, -1] == 0.0)
        assert np.sum(got[1:] ** 2) < 0.35 * np.sum(plain**2)
        assert got[0] == pytest.approx(y.mean(axis=1), abs=0.02)


def test_the_grouped_ridge_stands_where_the_marginal_likelihood_is_flat():
    """y ~ N(0, sigma^2 (I + sum X_g X_g' / alpha_g)): numerically no direction leads up, but against the bounds."""
    rng = np.random.default_rng(20)
    x, groups = rng.normal(size=(5, 120)), np.array([0, 0, 1, 2, 2])
    y = 1 + x[0] - 0.8 * x[1] + 0.5 * x[2] + rng.normal(size=120)
    got = uplift.grouped_ridge(uplift.moments(x, y[None]), groups)
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
    sums = uplift.moments(x, y)
    one, many = uplift.ridge(sums)[1:, 0], uplift.grouped_ridge(sums, np.arange(20))[1:, 0]
    assert many[0] == pytest.approx(0.3, abs=0.1)
    assert np.sum(many[1:] ** 2) < 0.4 * np.sum(one[1:] ** 2)


def test_moments_of_parts_add_up_and_come_apart():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(3, 50)), rng.normal(size=(2, 50))
    whole, part = uplift.moments(x, y), uplift.moments(x[:, :20], y[:, :20])
    other = uplift.moments(x[:, 20:], y[:, 20:])
    for back in (part.plus(other), whole):
        for mine, theirs in zip(back.minus(part), other, strict=True):
            assert np.asarray(mine) == pytest.approx(np.asarray(theirs), rel=1e-12, abs=1e-12)


def test_scores_have_the_right_mean_whatever_the_guess_and_uneven_the_chances():
    """200,000 rows: five errors wide. Without the chances the same mean is wrong by far more."""
    rng = np.random.default_rng(7)
    n = 200_000
    x = rng.random(n)
    chance = np.stack([0.2 + 0.6 * x, 0.8 - 0.6 * x])
    codes = (rng.random(n) > chance[0]).astype(np.intp)
    y = np.where(codes == 0, x, 2 * x) + rng.normal(size=n)
    for guess in (np.zeros((2, n)), np.stack([-3 * x, 5 + x])):
        score = uplift.scores(y, codes, chance, guess)
        for a, true in enumerate((0.5, 1.0)):
            assert abs(score[a].mean() - true) < 5 * score[a].std() / math.sqrt(n)
    assert abs(y[codes == 0].mean() - 0.5) > 0.05


def test_calibration_keeps_what_comes_true_and_nothing_of_noise():
    rng = np.random.default_rng(8)
    effect = rng.normal(size=20_000)
    score = effect + 3 * rng.normal(size=20_000)
    assert uplift.calibration(score, effect).slope == pytest.approx(1.0, abs=0.1)
    assert uplift.calibration(score, 2 * effect + 5).share == pytest.approx(0.5, abs=0.05)
    assert uplift.calibration(score, -effect).share == 0.0
    assert uplift.calibration(score, np.full(20_000, 0.3)) == (0.0, math.inf, 0.0)


def test_the_price_of_a_proxy_is_the_ratio_of_effects_where_those_are_sharp():
    q, tiny = np.array([0.10, 0.15, 0.18]), np.full(3, 1e-14)
    scale, mean = uplift.on_money(2 + 10 * q, q, tiny, tiny, 7.0)
    assert scale == pytest.approx(10.0, rel=1e-6)
    assert mean == pytest.approx(2 + 10 * q, rel=1e-6)


def test_the_price_of_a_proxy_is_what_it_goes_with_where_nothing_else_is_known():
    q, wide = np.array([0.10, 0.15, 0.18]), np.full(3, 1e6)
    scale, mean = uplift.on_money(np.array([1.0, 90.0, -40.0]), q, wide, wide, 7.0)
    assert scale == pytest.approx(7.0, rel=1e-3)
    assert mean - mean.mean() == pytest.approx(7 * (q - q.mean()), rel=1e-3)


def test_money_that_contradicts_its_proxy_is_believed():
    """The second mail brings more visits and less money, beyond chance."""
    q, m = np.array([0.0, 0.1, 0.2]), np.array([0.0, 1.0, 0.3])
    for error, best in ((0.02, 1), (5.0, 2)):
        _, mean = uplift.on_money(m, q, np.full(3, error**2), np.full(3, 1e-8), 5.0)
        assert np.argmax(mean) == best
    assert uplift.on_money(m[:2], q[:2], np.ones(2), np.ones(2), 5.0)[1] == pytest.approx(m[:2])


def slow_qini(score, treated, outcome):
    """Straight from the definition, one threshold after the other."""
    share, gain = [0.0], [0.0]
    for threshold in sorted(set(score), reverse=True):
        top = score >= threshold
        y1, y0 = outcome[top & treated].sum(), outcome[top & ~treated].sum()
        n1, n0 = (top & treated).sum(), (top & ~treated).sum()
        share.append(top.mean())
        gain.append((y1 - (y0 * n1 / n0 if n0 else 0.0)) / treated.sum())
    return np.trapezoid(gain, share) - gain[-1] / 2


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_the_qini_area_is_that_of_its_definition_ties_included(seed, levels):
    rng = np.random.default_rng(seed)
    score, treated = rng.integers(0, levels, 60) / 7, np.arange(60) % 2 == 0
    outcome = rng.integers(0, 3, 60).astype(float)
    got = uplift.qini(score, treated, outcome)
    assert got.area == pytest.approx(slow_qini(score, treated, outcome), abs=1e-12)
    assert got.gain[-1] == pytest.approx(outcome[treated].mean() - outcome[~treated].mean())
    again = uplift.qini(np.exp(3 * score), treated, outcome)
    assert again.area == pytest.approx(got.area, abs=1e-12)


def test_the_error_of_the_qini_area_is_that_of_repeated_experiments():
    """300 experiments tell a standard deviation to 4 %; the bound is three times that. The area itself: the effect is
    0.3 s with s uniform, so Q(u) = 0.3 (u - u^2 / 2) and the area 0.3 (1/3 - 1/4) = 0.025."""
    rng = np.random.default_rng(9)
    for levels in (0, 4):  # without ties, and with four distinct scores
        found = []
        for _ in range(300):
            s, treated = rng.random(3000), rng.random(3000) < 0.3
            outcome = (rng.random(3000) < 0.2 + 0.3 * s * treated).astype(float)
            found.append(uplift.qini(np.floor(levels * s) if levels else s, treated, outcome)[2:])
        area, error = np.array(found).T
        assert error.mean() == pytest.approx(area.std(ddof=1), rel=0.12)
        if not levels:
            assert abs(area.mean() - 0.025) < 4 * area.std() / math.sqrt(300)


def trial(rng, n, effect, *, cost=0.0, worth=None, noise=1.0):
    x = rng.normal(size=(3, n))
    codes = rng.integers(0, 2, n)
    y = x[1] + codes * effect(x) + noise * rng.normal(size=n)
    return uplift.Trial(x, np.arange(3), x.T.copy(), codes, np.full((2, n), 0.5), y, np.array([[0.0], [cost]]), worth)


def test_a_rule_finds_whom_an_arm_suits():
    made = trial(np.random.default_rng(10), 5000, lambda x: x[0])
    rule = uplift.learn(made, None, np.random.default_rng(0))
    x = np.random.default_rng(11).normal(size=(3, 1000))
    gain = rule.gain(x, x.T, made.cost, None)
    assert np.all(gain[rule.base] == 0)
    assert np.mean(rule.choose(gain) == (x[0] > 0)) > 0.95


def test_worth_and_cost_decide_where_the_effect_is_the_same():
    """A piece is worth 1 to 5, a contact costs 1.5 and adds half a piece with everyone: contact from 3 up."""
    rng = np.random.default_rng(12)
    worth = rng.uniform(1, 5, 20_000)
    made = trial(rng, 20_000, lambda x: 0.5, cost=1.5, worth=worth)
    rule = uplift.learn(made, None, np.random.default_rng(0))
    chosen = rule.choose(rule.gain(made.features, made.plain, made.cost, worth))
    assert np.mean(chosen == (worth > 3)) > 0.9


def test_nobody_is_scored_by_a_rule_that_saw_her():
    """A learner that knows its rows by heart gains nothing by it: noise stays worth nothing. On the rows that it
    learned from, it would promise more than half a standard deviation."""
    rng = np.random.default_rng(13)
    made = trial(rng, 4000, lambda x: 0.0)

    def by_heart(x, z):
        known = dict(zip(map(tuple, x), z, strict=True))
        return lambda rows: np.array([known.get(tuple(row), 0.0) for row in rows])

    got = uplift.cross_fit(made, by_heart, repeats=2, folds=2, seed=0)
    assert abs(got.policy.mean() - got.constants.mean(axis=1).max()) < 0.1
    effects = uplift.cross_fit_effects(made, 1, 0, by_heart, repeats=1, folds=2, seed=0)
    assert np.ptp(effects) < 1e-12


def test_cross_fitted_values_average_over_repeats_row_by_row():
    made = trial(np.random.default_rng(14), 600, lambda x: x[0])
    got = uplift.cross_fit(made, None, repeats=3, folds=2, seed=5)
    assert got.chosen.sum(axis=0) == pytest.approx(np.ones(600))
    assert np.append(got.constants.mean(axis=1), got.policy.mean()) == pytest.approx(got.by_repeat.mean(axis=0))
    again = uplift.cross_fit(made, None, repeats=3, folds=2, seed=5)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(got, again, strict=True))
