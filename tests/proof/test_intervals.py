"""An interval that holds what it says: for skewed spend, for unequal shares, with and without the past."""

import math

import numpy as np
import pytest

from retention.proof.intervals import compare

ONE = np.zeros(2000, dtype=np.int64)


def draw_arms(rng, group, shares):
    return rng.random(len(group)) >= np.asarray(shares)[group]


def spend(rng, n, share=0.4, sigma=1.0):
    return (rng.random(n) < share) * rng.lognormal(3.0, sigma, n)


def test_the_estimate_and_its_error_are_those_of_the_formula():
    """By hand: means and variances with ddof=1, groups weighted by their contacted."""
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [60, 100, 40])
    contacted = draw_arms(rng, group, [0.5, 0.2, 0.4])
    y = rng.gamma(2.0, 5.0, 200) + 3 * group
    value = variance = 0.0
    for g in range(3):
        x, z = y[(group == g) & contacted], y[(group == g) & ~contacted]
        weight = len(x) / contacted.sum()
        value += weight * (x.mean() - z.mean())
        variance += weight**2 * (x.var(ddof=1) / len(x) + z.var(ddof=1) / len(z))
    told = compare(y, contacted, group, cost=0.5)
    assert told.value == pytest.approx(value - 0.5)
    assert told.error == pytest.approx(math.sqrt(variance))
    assert told.low < told.value < told.high
    renamed = compare(y, contacted, 7 - 3 * group, cost=0.5)
    assert (renamed.value, renamed.error) == pytest.approx((told.value, told.error))


def test_a_share_that_changed_biases_nothing_unless_its_times_are_thrown_together():
    """Early customers spend four times as much, and 10 % of them were held out; of the late ones half. Contact changes
    nothing. 100 worlds: within the times at most 11 'works' (5 % nominal; more than 11 has a chance of 0.4 %). Thrown
    together, the contacted look better, for more of them are early ones."""
    rng = np.random.default_rng(1)
    group = np.repeat([0, 1], 500)
    works = {"within": 0, "together": 0}
    values = {"within": [], "together": []}
    for _ in range(100):
        contacted = draw_arms(rng, group, [0.1, 0.5])
        y = spend(rng, 1000) * np.where(group == 0, 4.0, 1.0)
        for name, groups in (("within", group), ("together", ONE[:1000])):
            told = compare(y, contacted, groups)
            works[name] += told.low > 0
            values[name].append(told.value)
    assert works["within"] <= 11
    assert works["together"] >= 70
    assert abs(np.mean(values["within"])) < 3 * np.std(values["within"]) / 10


@pytest.mark.parametrize("persistence", [0.0, 0.9])
def test_the_past_costs_no_guarantee_where_contact_changes_nothing(persistence):
    """100 worlds, 30 held out of 200, log-normal margins: at most 11 'works' and 11 'harms' (5 % nominal; more than 11
    has a chance of 0.4 %)."""
    rng = np.random.default_rng(2)
    works = harms = 0
    for _ in range(100):
        before = rng.lognormal(3.0, 1.2, 200)
        y = persistence * before + rng.lognormal(2.0, 1.2, 200)
        contacted = np.ones(200, dtype=bool)
        contacted[rng.choice(200, 30, replace=False)] = False
        told = compare(y, contacted, ONE[:200], before=before)
        works, harms = works + (told.low > 0), harms + (told.high < 0)
    assert max(works, harms) <= 11


def test_the_past_shortens_the_interval_and_moves_no_mean_even_where_few_customers_are_most_of_the_money():
    """One customer in twenty spends fifty times as much, and contact wins a fifth of what she spends. The mean over 250
    drawings of the arms is the truth within 3.3 standard errors, with the past as without; one slope for all, fitted on
    the customers that it is used on, is caught by the same test."""
    rng = np.random.default_rng(3)
    n, group = 160, ONE[:160]
    large = np.arange(n) % 20 == 0
    before = rng.gamma(4.0, 5.0, n) * np.where(large, 50.0, 1.0)
    own = before * rng.gamma(50.0, 0.02, n)
    effect = 0.2 * before * np.where(large, 3.0, 1.0)
    errors = {"past": [], "plain": [], "one slope": []}
    lengths = []
    for _ in range(250):
        contacted = np.ones(n, dtype=bool)
        contacted[rng.choice(n, 50, replace=False)] = False
        y = own + effect * contacted
        truth = effect[contacted].mean()
        past, plain = compare(y, contacted, group, before=before), compare(y, contacted, group)
        x = before - before.mean()
        r = y - (x @ (y - y.mean())) / (x @ x) * x
        errors["past"].append(past.value - truth)
        errors["plain"].append(plain.value - truth)
        errors["one slope"].append(r[contacted].mean() - r[~contacted].mean() - truth)
        lengths.append((past.high - past.low) / (plain.high - plain.low))

    def far(name):
        return abs(np.mean(errors[name])) / (np.std(errors[name]) / math.sqrt(250))

    assert far("past") < 3.3
    assert far("plain") < 3.3
    assert far("one slope") > 3.3
    assert np.median(lengths) < 0.8


def test_a_past_that_foretells_nothing_is_not_used():
    rng = np.random.default_rng(4)
    used = 0
    for _ in range(20):
        y, before = spend(rng, 400), spend(rng, 400)
        contacted = draw_arms(rng, ONE[:400], [0.2])
        told, plain = compare(y, contacted, ONE[:400], before=before), compare(y, contacted, ONE[:400])
        used += told.explained > 0
        if told.explained == 0:
            assert told == plain
    assert used <= 2  # 2 % of the variance, foretold for others, is more than two standard errors of nothing
    assert compare(y, contacted, ONE[:400], before=np.zeros(400)) == plain


@pytest.mark.parametrize("past", [False, True])
def test_the_interval_covers_a_planted_effect_about_as_often_as_it_says(past):
    """100 worlds, two groups, skewed spend: 81 to 98 inside (90 % nominal; the chance of others is 0.5 %)."""
    rng = np.random.default_rng(5)
    group = np.repeat([0, 1], 300)
    inside = 0
    for _ in range(100):
        contacted = draw_arms(rng, group, [0.2, 0.4])
        before = spend(rng, 600)
        y = 0.7 * before + spend(rng, 600) + contacted * (5.0 + spend(rng, 600, share=0.1, sigma=0.5))
        truth = 5.0 + 0.1 * math.exp(3.0 + 0.125)
        told = compare(y, contacted, group, before=before if past else None)
        inside += told.low <= truth <= told.high
    assert 81 <= inside <= 98


@pytest.mark.parametrize("n", [20, 200])
def test_two_arms_of_equal_customers_do_not_prove_a_difference_to_the_last_cent(n):
    contacted = np.arange(2 * n) < n
    told = compare(np.where(contacted, 50.0, 1.0), contacted, ONE[: 2 * n])
    assert told.value == 49.0
    assert 0 < told.low < 49 < told.high
    assert told.high - told.low > 49 / math.sqrt(n)


def test_where_nothing_differs_nothing_is_bounded():
    told = compare(np.full(50, 3.3), np.arange(50) < 25, ONE[:50], before=np.arange(50.0))
    assert (told.low, told.high) == (-math.inf, math.inf)
    assert (told.tail_above, told.tail_below) == (1.0, 1.0)


def test_the_tails_say_the_same_as_the_interval():
    rng = np.random.default_rng(6)
    for _ in range(30):
        contacted = draw_arms(rng, ONE[:120], [0.3])
        told = compare(spend(rng, 120) + 6 * contacted, contacted, ONE[:120], cost=1.0)
        assert (told.low > 0) == (told.tail_above <= 0.05)
        assert (told.high < 0) == (told.tail_below <= 0.05)


def test_a_group_with_one_customer_in_an_arm_counts():
    contacted = np.asarray([True] * 30 + [False] * 30 + [True, False])
    y = np.concatenate([np.arange(60.0), [1000.0, 0.0]])
    told = compare(y, contacted, np.repeat([0, 1], [60, 2]))
    assert told.value == pytest.approx(30 / 31 * -30.0 + 1 / 31 * 1000.0)
    assert told.error > 1000 / 31
