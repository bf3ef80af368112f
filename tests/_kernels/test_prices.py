"""Prices bound what can be earned, whoever is fixed in a box of prices stays so in it, and equals are counted once."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention._kernels import prices
from retention._kernels.prices import Cuts, Market, Parts, sample_rows, search
from retention._kernels.programme import value_of
from retention._kernels.rounding import assign, linear, merged, nearness, settle, within

FEW = settings(max_examples=40, deadline=None)


def market(seed: int, n: int = 30, *, ties: bool = False, floors: bool = False, hours: bool = False) -> Market:
    rng = np.random.default_rng(seed)
    gain, cost = rng.lognormal(1, 1, (n, 3)), rng.lognormal(0, 1, (n, 3))
    if ties:
        gain, cost = np.round(gain), np.ceil(cost)
    table = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    limits = [0.2 * cost.sum() / 3, 0.3 * n, 0.1 * n]
    extra: dict[str, Any] = {}
    if hours:
        limits.insert(1, 0.1 * n)
        extra["hours"] = rng.random((n, 3))
    if floors:
        limits += [math.ceil(0.3 * n), -math.ceil(0.05 * n)]
        extra |= {"segment": rng.integers(0, 3, n), "segments": 3, "ceilings": np.array([0]), "floors": np.array([2])}
    return Market(
        gain.astype(np.float32),
        cost,
        np.array(limits),
        money=True,
        allowed=rng.random((n, 3)) < 0.8,
        table=table,
        **extra,
    )


def by_hand(m: Market, price: Any) -> Fraction:
    """``D`` in exact fractions, customer by customer, from the definition."""
    p = [Fraction(float(x)) for x in price]
    total = sum((x * Fraction(float(b)) for x, b in zip(p, m.limits, strict=True)), Fraction(0))
    for i in range(len(m)):
        best = Fraction(0)
        for a in range(m.actions):
            if not m.allowed[i, a]:
                continue
            cost = Fraction(float(m.cost[i, a]))
            uses = [cost] + ([Fraction(float(m.hours[i, a]))] if m.hours is not None else [])
            uses += [Fraction(float(row[a])) for row in m.table]
            uses += [Fraction(int(m.segment[i] == s)) for s in m.ceilings]
            uses += [-Fraction(int(m.segment[i] == s)) for s in m.floors]
            net = Fraction(float(m.gain[i, a])) - cost - sum(x * u for x, u in zip(p, uses, strict=True))
            best = max(best, net)
        total += best
    return total


@FEW
@given(seed=st.integers(0, 10_000), floors=st.booleans(), hours=st.booleans())
def test_the_bound_at_any_price_is_the_definition_within_its_slack(seed, floors, hours):
    m = market(seed, floors=floors, hours=hours)
    price = np.random.default_rng(seed + 1).lognormal(-1, 1, len(m.limits))
    got = m.bound(price, m.see(price))
    slack = m.slack(price, float(m.gain.max()))
    truth = by_hand(m, price)
    assert abs(Fraction(got) - truth) <= Fraction(slack)
    assert slack <= 1e-10 * got


@FEW
@given(seed=st.integers(0, 10_000), floors=st.booleans())
def test_no_choice_within_the_limits_brings_more_than_the_bound_at_any_price(seed, floors):
    m = market(seed, n=4, floors=floors)
    price = np.random.default_rng(seed + 1).lognormal(-1, 1, len(m.limits))
    bound = m.bound(price, m.see(price))
    for choice in itertools.product(range(-1, 3), repeat=4):
        counts = np.zeros((4, 3))
        for i, a in enumerate(choice):
            counts[i, a] += a >= 0
        value, used = value_of(m, counts)
        if (used <= m.limits).all() and value > -1e200:
            assert value <= bound + 1e-9


@FEW
@given(seed=st.integers(0, 10_000), floors=st.booleans())
def test_what_is_left_of_the_limits_is_the_slope_of_the_bound(seed, floors):
    m = market(seed, floors=floors)
    rng = np.random.default_rng(seed + 1)
    here, there = rng.lognormal(-1, 1, (2, len(m.limits)))
    seen = m.see(here)
    line = m.bound(here, seen) + (m.limits - seen.used.sum(axis=0)) @ (there - here)
    assert m.bound(there, m.see(there)) >= line - 1e-9 * abs(line)
    assert seen.net.sum() == pytest.approx((seen.profit - seen.used @ here).sum(), rel=1e-9)


@FEW
@given(seed=st.integers(0, 10_000), ties=st.booleans(), floors=st.booleans(), hours=st.booleans())
def test_who_is_fixed_in_a_box_of_prices_does_the_same_all_over_it(seed, ties, floors, hours):
    m = market(seed, n=200, ties=ties, floors=floors, hours=hours)
    rng = np.random.default_rng(seed + 1)
    price = rng.lognormal(-1, 1, len(m.limits))
    radius = 0.1 * price
    fixed = np.empty(200, dtype=np.int16)
    screened = m.screen(price, radius, fixed)
    closed = np.setdiff1d(np.arange(200), screened.rows)
    for _ in range(8):
        corner = price + radius * rng.choice([-1.0, 1.0, rng.uniform(-1, 1)], len(price))
        at = np.empty(200, dtype=np.int16)
        m.see(corner, at)
        assert np.array_equal(at[closed], fixed[closed])
    counts = np.zeros((200, 3))
    some = closed[fixed[closed] >= 0]
    counts[some, fixed[some]] = 1.0
    value, used = value_of(m, counts)
    assert value == pytest.approx(screened.profit, rel=1e-9)
    assert used == pytest.approx(screened.used, rel=1e-9, abs=1e-12)


def test_a_box_that_is_screened_as_if_it_were_smaller_is_caught():
    """Wrong on purpose: screened at a tenth of the box, some customer does something else at its corners."""
    m = market(1, n=2_000)
    price = np.full(3, 0.5)
    radius = 0.2 * price
    fixed = np.empty(2_000, dtype=np.int16)
    open_rows = m.screen(price, 0.1 * radius, fixed).rows
    closed = np.setdiff1d(np.arange(2_000), open_rows)
    at = np.empty(2_000, dtype=np.int16)
    m.see(price + radius, at)
    assert not np.array_equal(at[closed], fixed[closed])


@FEW
@given(seed=st.integers(0, 10_000), hours=st.booleans())
def test_the_search_ends_at_the_value_of_the_linear_programme(seed, hours):
    m = market(seed, n=300, hours=hours)
    zero = np.zeros(len(m.limits))
    top = m.bound(zero, m.see(zero))
    found = search(m, zero, 4 * top / m.limits, zero, close=1e-9 * top, cuts=Cuts())
    exact = linear(m, None)
    assert exact is not None
    assert found.bound == pytest.approx(exact.value, rel=1e-7)
    assert found.lowest <= exact.value * (1 + 1e-7)
    assert m.bound(exact.price, m.see(exact.price)) == pytest.approx(exact.value, rel=1e-7)


@FEW
@given(seed=st.integers(0, 10_000))
def test_a_row_changes_her_mind_no_earlier_than_told(seed):
    m = market(seed, n=100)
    price = np.full(3, 0.4)
    unit = np.array([0.1, 0.05, 0.2])
    step = nearness(m, price, unit)
    before, after = np.empty((2, 100), dtype=np.int16)
    m.see(price, before)
    rng = np.random.default_rng(seed)
    for size in (0.1, 0.5, 1.0):
        m.see(price + size * unit * rng.uniform(-1, 1, 3), after)
        assert not (before != after)[step > size].any()


def test_equal_rows_are_one_class_with_their_number():
    m = market(3, n=50)
    rows = np.repeat(np.arange(50), np.arange(1, 51))
    many = m.take(np.random.default_rng(0).permutation(rows), m.limits * 25)
    classes, which = merged(many)
    assert len(classes) == 50
    assert sorted(classes.weight.tolist()) == list(range(1, 51))
    assert np.array_equal(classes.gain[which], many.gain)
    price = np.array([0.3, 0.2, 0.1])
    assert many.bound(price, many.see(price)) == pytest.approx(classes.bound(price, classes.see(price)), rel=1e-12)


@FEW
@given(seed=st.integers(0, 10_000), ties=st.booleans(), hours=st.booleans())
def test_what_is_settled_is_whole_and_within_the_limits(seed, ties, hours):
    m = market(seed, n=120, ties=ties, hours=hours)
    zero = np.zeros(len(m.limits))
    top = m.bound(zero, m.see(zero))
    counts, price = settle(m, zero, 4 * top / m.limits, top)
    value, used = value_of(m, counts)
    assert np.array_equal(counts, np.rint(counts))
    assert (counts.sum(axis=1) <= 1).all()
    assert (used <= m.limits + 1e-12).all()
    assert value <= m.bound(price, m.see(price)) * (1 + 1e-12)


def test_proof_and_prices_agree_on_the_bound():
    m = market(11, n=200)
    quick, sure = assign(m), assign(m, prove=True)
    assert sure.proved
    assert sure.bound <= quick.bound * (1 + 1e-12)


@pytest.mark.parametrize(("n", "m"), [(10, 10), (100, 7), (1_000_003, 8_192), (5, 5)])
def test_a_sample_has_one_row_of_every_stretch(n, m):
    rows = sample_rows(n, m)
    assert len(np.unique(rows)) == m
    assert 0 <= rows.min() <= rows.max() < n
    assert np.array_equal((rows * m) // n, np.arange(m)) or np.abs((rows * m) / n - np.arange(m)).max() < 1.0


def test_sums_are_compared_exactly():
    assert within(np.full(10, 0.5), 5.0)
    assert not within(np.full(10, 0.5), np.nextafter(5.0, 0.0))
    assert not within(np.full(3, 0.1), 0.3)
    tiny = np.array([1e16, 1.0, -1e16])
    assert not within(tiny, 0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.booleans(), st.integers(1, 40))
def test_customers_in_parts_are_the_same_market(seed, floors, hours, size):
    """All that is asked of a market in parts is what the whole one tells, to the last bit."""
    whole = market(seed, n=100, floors=floors, hours=hours)
    rng = np.random.default_rng(seed)
    price, radius = rng.random(len(whole.limits)), 0.2 * rng.random(len(whole.limits))

    def same(one: Any, other: Any) -> None:
        assert len(one) == len(other)
        assert np.array_equal(one.limits, other.limits)
        if len(one):
            for here, there in zip(
                one.block(slice(0, len(one)))[1:3], other.block(slice(0, len(other)))[1:3], strict=True
            ):
                assert np.array_equal(here, there)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prices, "BLOCK", size)
        whole._kept = None

        def pieces() -> Any:
            for k in range(0, 100, size):
                yield whole.take(np.arange(k, min(k + size, 100)), whole.limits)

        parts = Parts(whole.take(np.zeros(0, dtype=int), whole.limits), 100, pieces)
        into = np.empty((2, 100), dtype=np.int16)
        for one, other in zip(whole.see(price, into[0]), parts.see(price, into[1]), strict=True):
            assert np.array_equal(one, other)
        assert np.array_equal(*into)
        screened, also = whole.screen(price, radius, into[0]), parts.screen(price, radius, into[1])
        assert np.array_equal(*into)
        for one, other in zip(screened[:3], also[:3], strict=True):
            assert np.array_equal(one, other)
        same(whole.opened(screened), parts.opened(also))
        for one, other in zip(whole.samples(7, 30), parts.samples(7, 30), strict=True):
            same(one, other)
