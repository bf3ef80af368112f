"""Merging identical customers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retention._kernels.purchases import Rows, levels, merge

customers = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.7])), max_size=40
)


@given(customers, st.sampled_from([1.0, 7.0, 0.1]), st.booleans())
def test_merging_loses_nobody_and_keeps_everybody_findable(listed, unit, gaps):
    columns = np.array(listed, dtype=float).reshape(-1, 4).T
    rows = Rows(columns[0], columns[1] / unit, columns[2] / unit, columns[3])
    cells = merge(rows, gaps=gaps)
    assert cells.weight.sum() == len(rows.x)
    for merged, raw in zip(cells.rows[: 4 if gaps else 3], rows, strict=False):
        assert np.array_equal(merged[cells.which], raw)
    distinct = set(zip(*(column.tolist() for column in rows[: 4 if gaps else 3]), strict=True))
    assert len(cells.weight) == len(distinct)
    order = np.lexsort(cells.rows[: 4 if gaps else 3][::-1])
    assert np.array_equal(order, np.arange(len(order)))


@given(customers, st.sampled_from([1.0, 7.0]), st.booleans())
def test_not_asking_which_changes_nothing_else(listed, unit, gaps):
    columns = np.array(listed, dtype=float).reshape(-1, 4).T
    rows = Rows(columns[0], columns[1] / unit, columns[2] / unit, columns[3])
    one, other = merge(rows, gaps=gaps), merge(rows, gaps=gaps, which=False)
    assert np.array_equal(one.weight, other.weight)
    assert all(np.array_equal(a, b) for a, b in zip(one.rows, other.rows, strict=True))


@given(customers, st.integers(1, 5))
def test_a_row_may_stand_for_several_customers(listed, times):
    columns = np.array(listed, dtype=float).reshape(-1, 4).T
    rows = Rows(*columns)
    heavy = merge(rows, np.full(len(rows.x), float(times)))
    repeated = merge(rows.take(np.repeat(np.arange(len(rows.x)), times)))
    assert np.array_equal(heavy.weight, repeated.weight)
    assert all(np.array_equal(a, b) for a, b in zip(heavy.rows, repeated.rows, strict=True))


def test_many_customers_are_counted_and_sorted_alike_and_know_their_days():
    """Rows with few purchases are counted, the others sorted; numpy's ``unique`` over the rows knows neither trick."""
    rng = np.random.default_rng(5)
    n = 20_000
    x = rng.geometric(0.4, n) - 1.0
    T = rng.integers(30, 60, n).astype(float)
    t_x = np.where(x > 0, np.floor(T * rng.random(n)), 0.0)
    weight = rng.integers(1, 4, n).astype(float)
    rows = Rows(x, t_x, T, np.zeros(n))
    expected, which, counts = np.unique(np.array([x, t_x, T]).T, axis=0, return_inverse=True, return_counts=True)
    for which_asked in (True, False):
        cells = merge(rows, which=which_asked)
        assert np.array_equal(np.array(cells.rows[:3]).T, expected)
        assert np.array_equal(cells.weight, counts)
        days = cells.grid.times
        assert np.array_equal(days[cells.grid.at_t_x], cells.rows.t_x)
        assert np.array_equal(days[cells.grid.at_T], cells.rows.T)
    assert np.array_equal(merge(rows).which, which.ravel())
    assert np.array_equal(merge(rows, weight).weight, np.bincount(which.ravel(), weight))
    weeks = merge(rows).scaled(7.0).take(slice(3, 500, 7))
    assert np.array_equal(weeks.grid.times[weeks.grid.at_T], weeks.rows.T)


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 0.1, 7.3, 1e6, -1.5]), min_size=1, max_size=30), st.sampled_from([1, 7])
)
def test_levels_are_the_distinct_values_and_everyones_place_among_them(listed, unit):
    values = np.array(listed) / unit
    distinct, place = levels(values)
    assert np.array_equal(distinct, np.unique(values))
    assert np.array_equal(distinct[place], values)
