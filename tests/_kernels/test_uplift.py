"""The bricks of choosing by customer: each against an equation, a simulation or a slower way."""

import math

import numpy as np
import pytest

from retention._kernels import uplift


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
