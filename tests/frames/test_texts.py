"""Text that is not written out yet answers like an array of text."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.frames.export import write_csv
from retention.frames.table import read_only
from retention.frames.texts import Labels, Told, blank, joined

TEXTS = st.lists(st.sampled_from(["", "a", "b", "Zoë", "田中", "a longer one"]), max_size=8)


def _told(texts):
    return Told(lambda rows: [texts[i] for i in rows.tolist()], np.arange(len(texts)))


def _labelled(texts):
    """With labels that are repeated, not sorted and not used."""
    labels = ["nobody says this", *texts, *texts]
    return Labels(np.arange(1, len(texts) + 1), np.asarray(labels, dtype=np.str_))


KINDS = (_told, _labelled, Labels.of)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(texts=TEXTS, data=st.data())
def test_a_column_answers_like_the_array_of_its_texts(kind, texts, data):
    mine, array = kind(texts), np.asarray(texts, dtype=np.str_)
    n = len(texts)
    mask = np.asarray(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    places = np.asarray(data.draw(st.lists(st.integers(-n, n - 1), max_size=5)) if n else [], dtype=np.int64)
    assert (len(mine), mine.shape, mine.dtype.kind) == (n, array.shape, "U")
    assert mine.tolist() == list(mine) == array.tolist()
    assert np.array_equal(np.asarray(mine), array)
    for rows in (mask, places, slice(None, None, -2), slice(1, 3)):
        assert mine[rows].tolist() == array[rows].tolist()
        assert mine[rows][::-1].tolist() == array[rows][::-1].tolist()
    for i in range(-n, n):
        assert mine[i] == mine[np.int64(i)] == array[i]
        assert type(mine[i]) is str
    for other in ("a", "not there", array[::-1], _told(texts[::-1]), texts):
        assert np.array_equal(mine == other, array == np.asarray(other))
        assert np.array_equal(mine != other, array != np.asarray(other))
    assert np.array_equal(array == mine, np.ones(n, dtype=bool))
    assert np.array_equal(np.isin(mine, ["a", "b"]), np.isin(array, ["a", "b"]))
    assert np.array_equal(np.where(mask, mine, "-"), np.where(mask, array, "-"))
    assert np.array_equal(np.unique(mine), np.unique(array))
    assert ("a" in mine) == ("a" in texts)
    assert sorted(set(mine)) == sorted(set(texts))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_else_an_array_is_asked_for_it_does(kind):
    mine = kind(["b", "a", "b"])
    assert mine.astype(object).tolist() == ["b", "a", "b"]
    assert (mine.size, mine.ndim, mine.argsort(kind="stable").tolist()) == (3, 1, [1, 0, 2])
    assert mine.count("b") == 2
    with pytest.raises(AttributeError, match="no 'summary'"):
        _ = mine.summary
    with pytest.raises(TypeError, match="unhashable"):
        hash(mine)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_can_write_to_it(kind):
    mine = kind(["b", "a", "b"])
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(mine)[0] = "c"
    with pytest.raises(TypeError, match="does not support item assignment"):
        mine[0] = "c"
    np.array(mine)[0] = "c"  # a copy is the caller's
    assert mine.tolist() == ["b", "a", "b"]
    assert copy.deepcopy(mine) is mine


@pytest.mark.parametrize("kind", KINDS)
def test_what_leaves_the_process_is_written_out(kind):
    stored = pickle.loads(pickle.dumps(kind(["b", "a", "b"])))
    assert type(stored) is np.ndarray
    assert stored.tolist() == ["b", "a", "b"]


@settings(max_examples=60)
@given(parts=st.lists(st.tuples(st.sampled_from([*KINDS, np.asarray]), TEXTS.filter(len)), min_size=1, max_size=4))
def test_columns_are_joined_in_order_whatever_they_are(parts):
    together = joined([kind(texts) for kind, texts in parts])
    assert together.tolist() == [text for _, texts in parts for text in texts]
    assert together[::-1].tolist() == [text for _, texts in reversed(parts) for text in texts[::-1]]


@settings(max_examples=60)
@given(texts=TEXTS, mask=st.data())
def test_labels_sort_group_and_blank_as_their_texts_do(texts, mask):
    for mine in (_labelled(texts), Labels.of(texts)):
        assert [text for _, text in sorted(zip(mine.ranks().tolist(), texts, strict=True))] == sorted(texts)
        assert len(set(mine.ranks().tolist())) == len(set(texts))
        assert blank(mine).tolist() == [not text.strip() for text in texts]
        kept = mask.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
        wanted = [text if keep else "" for text, keep in zip(texts, kept, strict=True)]
        assert mine.kept(np.asarray(kept, dtype=bool)).tolist() == wanted


def test_text_is_said_only_for_the_rows_that_are_read():
    asked = []

    def tell(rows):
        asked.extend(rows.tolist())
        return [f"number {i}" for i in rows.tolist()]

    column = Told(tell, np.arange(1_000_000))
    few = column[500_000:][::100_000]
    assert (len(column), len(few), asked) == (1_000_000, 5, [])
    assert (few[1], few[2:].tolist()) == ("number 600000", ["number 700000", "number 800000", "number 900000"])
    assert asked == [600_000, 700_000, 800_000, 900_000]


def test_a_table_keeps_such_a_column_as_it_is_and_writes_the_same_files(tmp_path):
    texts = [f"=1+{i}" if i % 3 else "" for i in range(100)]
    plain = np.asarray(texts)
    column = _told(texts)
    assert read_only(column) is column
    written = [write_csv({"why": one}, tmp_path / f"{i}.csv").read_bytes() for i, one in enumerate((plain, column))]
    assert written[0] == written[1]
