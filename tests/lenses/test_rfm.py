"""Recency, frequency and monetary thirds: what they promise, on any base."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.histories import Histories
from retention.lenses import rfm_terciles

MARKS = ("recency", "frequency", "monetary")


def base_of(rows):
    """(frequency, days since the last purchase, mean margin) of customers who first bought 100 days ago."""
    x, idle, paid = (np.array(column, dtype=float) for column in zip(*rows, strict=True)) if rows else ([],) * 3
    x = np.asarray(x)
    return Histories.from_arrays(
        frequency=x.astype(int),
        recency_days=np.where(x > 0, 100 - np.asarray(idle), 0),
        age_days=np.full(len(x), 100),
        margin_mean=np.where(x > 0, paid, 0),
    )


some_rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.sampled_from([-3.0, 1.0, 2.5, 20.0])), max_size=40
)


@given(some_rows)
def test_thirds_are_equally_large_and_no_lower_one_is_better(rows):
    base = base_of(rows)
    marks, repeats = rfm_terciles(base), base.frequency > 0
    for name, measure in zip(MARKS, (-base.idle_days, base.frequency, base.margin_mean), strict=True):
        sizes = [int((marks[name] == mark).sum()) for mark in (1, 2, 3)]
        assert sum(sizes) == repeats.sum()
        assert sizes == sorted(sizes, reverse=True)
        assert max(sizes) - min(sizes) <= 1
        assert np.all(marks[name][~repeats] == 0)
        for low, high in ((1, 2), (2, 3), (1, 3)):
            below, above = measure[marks[name] == low], measure[marks[name] == high]
            assert not len(below) or not len(above) or below.max() <= above.min()


@given(some_rows, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_plays_no_part(rows, random):
    base = base_of(rows)
    order = list(range(len(base)))
    random.shuffle(order)
    order = np.array(order, dtype=int)
    shuffled, marks = rfm_terciles(base[order]), rfm_terciles(base)
    for name in MARKS:
        assert shuffled[name].tolist() == marks[name][order].tolist()


def test_ties_go_by_the_other_marks():
    """Six who bought once more: the two latest are the upper third of frequency, whatever their ids and rows."""
    marks = rfm_terciles(base_of([(1, idle, 9.0) for idle in (0, 50, 10, 40, 20, 30)]))
    assert marks["frequency"].tolist() == [3, 1, 3, 1, 2, 2]
    assert marks["monetary"].tolist() == [3, 1, 3, 1, 2, 2]
    together = rfm_terciles(base_of([(x, 10, 9.0) for x in (5, 1, 4, 2, 6, 3)]))
    assert together["recency"].tolist() == [3, 1, 2, 1, 3, 2]


@given(some_rows.filter(len), st.lists(st.sampled_from(MARKS), min_size=1, unique=True))
def test_cells_hold_everyone_once(rows, by):
    base = base_of(rows)
    marks = rfm_terciles(base)
    worth = np.arange(len(base), dtype=float)
    cells = marks.cells(worth, by=by)
    assert cells.customers.sum() == len(base)
    assert cells.total.sum() == worth.sum()
    for row in range(len(cells)):
        hers = np.all([marks[name] == int(mark) for name, mark in zip(by, cells.cell[row], strict=True)], axis=0)
        assert cells.customers[row] == hers.sum() > 0
        assert cells.mean[row] == pytest.approx(worth[hers].mean())


def test_the_picture_shows_each_cell_once_and_no_one_time_buyers():
    rng = np.random.default_rng(1)
    rows = [(int(x), int(idle), float(paid)) for x, idle, paid in rng.integers(0, 20, (400, 3))]
    cells = rfm_terciles(base_of(rows)).cells(np.arange(400.0))
    ax = cells.plot()
    shown = [text.get_text() for text in ax.texts]
    assert len(cells) == 28
    assert shown[1::2] == [f"{many:,}" for many in cells.customers[1:]]
    assert cells.plot(ax=ax) is ax


def test_a_base_in_which_nobody_came_back_has_no_thirds():
    marks = rfm_terciles(base_of([(0, 100, 0.0)] * 3))
    assert marks.cells([1.0, 2.0, 3.0]).to_frame("pandas").to_dict("list") == {
        "cell": ["000"],
        "customers": [3],
        "mean": [2.0],
        "total": [6.0],
    }
    marks.cells([1.0, 2.0, 3.0]).plot()
    assert len(rfm_terciles(base_of([])).cells([])) == 0


@pytest.mark.parametrize(
    ("values", "by", "says"),
    [
        ([1.0], MARKS, "shape"),
        ([1.0, np.nan], MARKS, "not finite"),
        ([1.0, 2.0], ["recent"], "recency"),
        ([1.0, 2.0], "recency", "in a list"),
        ([1.0, 2.0], [], "some of"),
        ([1.0, 2.0], ["recency", "recency"], "each once"),
    ],
)
def test_what_cannot_be_put_in_cells_is_one_clear_error(values, by, says):
    with pytest.raises(ConfigError, match=says):
        rfm_terciles(base_of([(1, 3, 5.0), (0, 100, 0.0)])).cells(values, by=by)


def test_a_picture_of_some_marks_only_is_refused():
    with pytest.raises(ConfigError, match="picture"):
        rfm_terciles(base_of([(1, 3, 5.0)])).cells([1.0], by=["recency"]).plot()
