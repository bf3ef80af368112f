"""Merging identical customers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retention._kernels.purchases import Rows, merge

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
