"""Bets on ranks are fair whatever the distribution, ties and bounded memory included."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention._kernels import changes, logt

CLOCK = logt.Prior(3.0, 1.5, 5.0, 0.6, 0.5, 4.0, 0.1, 3.0)


def newcomers(values):
    """Every way in which one of the values is the newcomer and the others are in the bag."""
    many = len(values)
    bag = np.array([np.delete(values, i) for i in range(many)], dtype=np.float32).reshape(many, many - 1)
    return bag, np.full(many, many - 1), np.asarray(values, dtype=np.float32)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20))
def test_a_bet_is_fair_for_any_values_with_any_ties(values):
    bag, n, value = newcomers(values)
    above, ties = changes.ranks(bag, n, value)
    for bets in (changes.HALF, np.array([0.1, 0.9])):
        for more in (above, n - above - ties):
            assert changes.pay(more, ties, n, bets).mean(axis=0) == pytest.approx(np.ones(len(bets)), rel=1e-12)


@pytest.mark.parametrize("mix", [[0.5, 0.5], [0.9, 0.1], [0.98, 0.02], [0.6, 0.3, 0.1], [0.34, 0.33, 0.33]])
def test_bets_on_kinds_are_fair_or_worse_for_who_keeps_her_mix(mix):
    """Every sequence of seven values, weighted by its chance: no beginning's bet is worth more than its stake."""
    sequences = np.array(list(itertools.product(range(len(mix)), repeat=7)), dtype=np.float32)
    chance = np.prod(np.asarray(mix)[sequences.astype(int)], axis=1)
    evidence = np.zeros((len(sequences), changes.STARTS))
    for t in range(7):
        pays = changes.kinds(np.ascontiguousarray(sequences[:, :7]), np.full(len(sequences), t), sequences[:, t])
        evidence = np.concatenate([np.ones((len(sequences), 1)), evidence[:, :-1]], axis=1) * pays
    worth = (evidence * chance[:, None]).sum(axis=0)
    assert np.all(worth[:7] <= 1.0 + 1e-12)


def test_a_bet_that_forgot_the_newcomer_in_the_bag_would_not_be_fair():
    bag, n, value = newcomers(np.arange(12))
    above, _ties = changes.ranks(bag, n, value)
    low, high = above / n, np.minimum((above + 1) / n, 1.0)
    unfair = (np.sqrt(high) - np.sqrt(low)) * n
    assert unfair.mean() != pytest.approx(1.0, rel=1e-3)


def test_bets_on_kinds_pay_for_what_was_rare_and_comes_again():
    bag = np.array([[1, 1, 1, 1, 1, 2, 2, 9]], dtype=np.float32)  # the last place is not filled
    n = np.array([7])
    again = changes.kinds(bag, n, np.array([2], dtype=np.float32))[0]
    assert again[:4] == pytest.approx([1.0, (1 * 8 / 3 + 1) / 2, (2 * 8 / 3 + 1) / 3, (2 * 8 / 3 + 1) / 4])
    never = changes.kinds(bag, n, np.array([9], dtype=np.float32))[0]
    assert never == pytest.approx(1 / (np.arange(changes.STARTS) + 1.0))


def drawn_ranks(drop_oldest, size=4, rows=20_000, steps=40):
    """Successive ranks in a bag that is full, of values without an order in time."""
    rng = np.random.default_rng(3)
    bag = rng.normal(size=(rows, size)).astype(np.float32)
    n = np.full(rows, size)
    found = []
    for step in range(steps):
        value = rng.normal(size=rows).astype(np.float32)
        found.append(changes.ranks(bag, n, value)[0])
        if drop_oldest:
            bag = np.concatenate([bag[:, 1:], value[:, None]], axis=1)
        else:
            bag, _ = changes.insert(bag, n, value, np.full(rows, step))
    return np.array(found)


def test_ranks_stay_uniform_and_independent_when_the_bag_forgets():
    """Dropping the oldest, wrong on purpose, makes a high rank remember the one before.

    Correlations over 20,000 rows have a standard error of 0.007; the mean of 20 of them 0.0016.
    """

    def memory(ranks):
        return np.mean([np.corrcoef(ranks[t], ranks[t - 3])[0, 1] for t in range(20, 40)])

    good = drawn_ranks(False)
    assert np.bincount(good[-1], minlength=5) / 20_000 == pytest.approx(np.full(5, 0.2), abs=0.015)
    assert abs(memory(good)) < 0.01
    assert abs(memory(drawn_ranks(True))) > 0.02


def test_every_value_has_the_same_chance_to_be_dropped():
    places = np.bincount(changes.dropped(np.arange(65_000), 64), minlength=65)
    assert places.min() > 850
    assert places.max() < 1150


def test_a_bag_keeps_the_order_of_time():
    bag, n = np.zeros((1, 3), dtype=np.float32), np.array([0])
    for k in range(8):
        bag, n = changes.insert(bag, n, np.array([k + 1], dtype=np.float32), np.array([k]))
        assert np.all(np.diff(bag[0, : n[0]]) > 0)
    assert n[0] == 3


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=10),
    st.floats(1e-4, 0.9),
    st.floats(1e-5, 0.05),
)
def test_the_gap_limit_is_the_first_day_after_which_every_end_of_the_gap_raises_the_alarm(gaps, evidence, weight):
    bag = np.zeros((1, 12), dtype=np.float32)
    bag[0, : len(gaps)] = gaps
    n = np.array([len(gaps)])
    limit = changes.gap_limit(bag, n, np.array([[evidence]]), np.array([weight]))[0]

    def raises(gap):
        above, ties = changes.ranks(bag, n, np.array([gap], dtype=np.float32))
        return ((evidence + weight) * changes.pay(above, ties, n)).mean() >= 1.0

    for gap in range(1, 40):
        if gap > limit:
            assert raises(gap)
    if np.isfinite(limit):
        # It is the least of the bag for which that holds.
        lower = [g for g in gaps if g < limit]
        between = (max(lower) + limit) / 2 if lower else limit / 2
        assert not raises(np.float32(between))
    else:
        assert not raises(40)


def test_the_silence_limit_is_the_first_day_that_is_rare_enough():
    post = logt.posterior(CLOCK, np.array([5.0, 20.0]), np.array([15.0, 60.0]), np.array([45.4, 180.9]))
    limit = changes.silence_limit(CLOCK, post, np.array([1e-3, 1e-4]), 36_500)
    at = logt.open_survival(CLOCK, post, limit.astype(float))
    before = logt.open_survival(CLOCK, post, limit - 1.0)
    assert np.all(at <= [1e-3, 1e-4])
    assert np.all(before > [1e-3, 1e-4])
    assert changes.silence_limit(CLOCK, post, np.zeros(2), 100).tolist() == [100, 100]


def test_a_split_finds_where_a_series_changed():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 1, 30), rng.normal(6, 1, 7)])
    many, z = changes.split(values)
    assert many == 7
    assert z > 3
    assert changes.split(-values) == (7, pytest.approx(-z))
    assert changes.split(np.ones(5))[1] == pytest.approx(0.0)
    assert changes.split(np.ones(1)) == (1, 0.0)


def test_alarms_come_no_more_often_than_their_weights_allow():
    """40,000 streams of 300 values at a weight of 0.002: at most 24,000 alarms; a threshold of 0.4 breaks it."""

    def alarms(threshold):
        rng = np.random.default_rng(5)
        n, evidence, many = np.zeros(40_000, np.int64), np.zeros(40_000), 0
        none = np.zeros(40_000, np.int64)
        for _ in range(300):
            above = (rng.random(40_000) * (n + 1)).astype(np.int64)
            evidence = (evidence + 0.002) * changes.pay(above, none, n)[:, 0]
            over = evidence >= threshold
            many += int(over.sum())
            n = np.where(over, 0, np.minimum(n + 1, 64))
            evidence = np.where(over, 0.0, evidence)
        return many

    assert 0.3 * 24_000 < alarms(1.0) <= 24_000
    assert alarms(0.4) > 24_000
