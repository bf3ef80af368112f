"""Credit notes that undo an order, against an independent matching."""

import datetime as dt

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from retention.records import read_transactions
from retention.records._pairs import undone_at

LINES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 90), st.sampled_from([-20, -10, 0, 10, 10, 20]), st.integers(0, 1)),
    max_size=30,
)


def columns(lines):
    who, hours, money, kind = np.asarray(lines, dtype=np.int64).reshape(-1, 4).T
    return who, np.datetime64("2011-01-01T00:00:00") + hours * np.timedelta64(1, "h"), money, kind


def can_undo(sale, credit):
    """Whether a credit note may undo a sale: the rule in words, pair by pair."""
    (who, hours, money, kind), (her, later, back, of) = sale, credit
    return who == her and kind == of and money > 0 and back == -money and 0 <= later - hours <= 48


@given(LINES)
def test_as_many_pairs_are_found_as_can_be_and_each_line_is_in_one(lines):
    who, at, money, kind = columns(lines)
    undone = ~np.isnat(undone_at(who, at, money, [kind]))
    n = len(lines)
    edges = np.array([[can_undo(a, b) for b in lines] for a in lines], dtype=np.int8).reshape(n, n)
    best = int((maximum_bipartite_matching(csr_array(edges), perm_type="column") >= 0).sum()) if n else 0
    assert undone.sum() == 2 * best
    # Those marked can all be paired among themselves, so none is marked without its other half.
    kept = edges[np.ix_(undone, undone)]
    inside = int((maximum_bipartite_matching(csr_array(kept), perm_type="column") >= 0).sum()) if undone.any() else 0
    assert inside == best


@given(LINES, st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_matter(lines, random):
    shuffled = lines.copy()
    random.shuffle(shuffled)
    who, at, money, kind = columns(lines)
    mixed = columns(shuffled)
    count = (~np.isnat(undone_at(who, at, money, [kind]))).sum()
    assert (~np.isnat(undone_at(mixed[0], mixed[1], mixed[2], [mixed[3]]))).sum() == count


def log_of(lines, tmp_path, **roles):
    path = tmp_path / "a.csv"
    path.write_text("who,day,money,n,item\n" + "".join(f"{line}\n" for line in lines))
    return read_transactions(path, customer="who", at="day", revenue="money", **roles)


def test_a_credit_note_after_more_than_two_days_stays_a_return(tmp_path):
    lines = [
        "7,2011-01-01 10:00,5,1,a",
        "7,2011-01-03 10:00,-5,-1,a",
        "7,2011-02-01 10:00,5,1,a",
        "7,2011-02-03 10:01,-5,-1,a",
    ]
    assert log_of(lines, tmp_path).is_cancelled.tolist() == [True, True, False, False]


def test_one_sale_is_undone_once(tmp_path):
    lines = ["7,2011-01-01,5,1,a", "7,2011-01-01,-5,-1,a", "7,2011-01-01,-5,-1,a"]
    assert log_of(lines, tmp_path).is_cancelled.sum() == 2


def test_another_customer_article_or_quantity_does_not_undo(tmp_path):
    lines = ["7,2011-01-01,5,1,a", "8,2011-01-01,-5,-1,a"]
    assert not log_of(lines, tmp_path).is_cancelled.any()
    lines = ["7,2011-01-01,5,1,a", "7,2011-01-01,-5,-1,b"]
    assert log_of(lines, tmp_path).is_cancelled.all()
    assert not log_of(lines, tmp_path, item="item").is_cancelled.any()
    lines = ["7,2011-01-01,5,1,a", "7,2011-01-01,-5,-2,a"]
    assert not log_of(lines, tmp_path, quantity="n").is_cancelled.any()


def test_a_credit_note_before_the_sale_undoes_nothing(tmp_path):
    lines = ["7,2011-01-01 09:00,-5,-1,a", "7,2011-01-01 10:00,5,1,a"]
    assert not log_of(lines, tmp_path).is_cancelled.any()


def test_an_order_is_undone_only_once_its_credit_note_is_known(tmp_path):
    """On the evening of the order it is a purchase; on the evening of the credit note it has never been one."""
    log = log_of(["7,2011-01-03,50,1,a", "7,2011-01-04,-50,-1,a"], tmp_path)
    assert log.is_cancelled.tolist() == [True, True]
    assert log.until(dt.date(2011, 1, 3)).is_cancelled.tolist() == [False]
    assert log.until(dt.date(2011, 1, 4)).is_cancelled.tolist() == [True, True]
