"""Receipts become one row a customer, and the row is right."""

import csv
import datetime as dt
import gzip
import statistics
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import RetentionError
from retention.histories import Histories, History, summarize
from retention.records import TransactionLog

START = dt.date(2011, 1, 1)

lines = st.lists(
    st.fixed_dictionaries(
        {
            "customer_id": st.sampled_from(["a", "b", "c", "dée", "=1+1"]),
            "day": st.integers(0, 90),
            "cents": st.integers(-5_000, 20_000),
            "order": st.integers(0, 20),
            "category": st.sampled_from(["tea", "mugs", "cards"]),
            "cancelled": st.sampled_from([False, False, False, True]),
        }
    ),
    max_size=60,
)


def log_of(rows) -> TransactionLog:
    log = TransactionLog.from_arrays(
        customer_id=[r["customer_id"] for r in rows],
        at=[START + dt.timedelta(days=r["day"]) for r in rows],
        revenue=[Decimal(r["cents"]).scaleb(-2) for r in rows],
        margin=[Decimal(r["cents"]).scaleb(-2) / 2 for r in rows],
        order=[f"{r['customer_id']}-{r['order']}" for r in rows],
        category=[r["category"] for r in rows],
    )
    cancelled = np.array([r["cancelled"] for r in rows], dtype=bool)
    return attrs.evolve(log, undone_at=np.where(cancelled, log.at, np.datetime64("NaT", "s")))


def by_hand(rows, as_of_day: int) -> dict[str, dict]:
    """The same summary, one customer at a time, in plain Python."""
    known = defaultdict(list)
    for row in rows:
        if row["day"] <= as_of_day:
            known[row["customer_id"]].append(row)
    result = {}
    for who, hers in known.items():
        purchases = [r for r in hers if r["cents"] >= 0 and not r["cancelled"]]
        days = sorted({r["day"] for r in purchases})
        if not days:
            continue
        gaps = [b - a for a, b in pairwise(days)]
        later = sum(r["cents"] for r in hers if r["day"] > days[0])
        of_day = defaultdict(int)  # a return counts against the last purchase day before it, a repeat one
        for r in hers:
            if r["day"] > days[0] and gaps:
                of_day[max(d for d in days if d <= max(r["day"], days[1]))] += r["cents"]
        baskets = [sum(r["cents"] for r in hers if r["day"] == d) / 100 for d in days]
        weekdays = Counter((START + dt.timedelta(days=d)).weekday() for d in days)
        categories = Counter(r["category"] for r in purchases)
        result[who] = {
            "frequency": len(days) - 1,
            "recency_days": float(days[-1] - days[0]),
            "age_days": float(as_of_day - days[0]),
            "orders": len({r["order"] for r in purchases}),
            "revenue": sum(r["cents"] for r in hers) / 100,
            "margin": sum(r["cents"] for r in hers) / 200,
            "margin_mean": later / 200 / len(gaps) if gaps else 0.0,
            "margin_squares": sum((cents / 200) ** 2 for cents in of_day.values()),
            "returns": -sum(r["cents"] for r in hers if r["cents"] < 0 and not r["cancelled"]) / 100,
            "gap_log_sum": float(np.sum(np.log(gaps))) if gaps else 0.0,
            "usual_gap_days": statistics.median(gaps) if gaps else None,
            "basket": statistics.median(baskets),
            "weekday": min(weekdays, key=lambda d: (-weekdays[d], d)),
            "category": min(categories, key=lambda c: (-categories[c], c)),
            "category_share": max(categories.values()) / len(purchases),
        }
    return result


@given(lines, st.integers(0, 95))
def test_a_summary_is_what_one_would_work_out_by_hand(rows, as_of_day):
    base = summarize(log_of(rows), as_of=START + dt.timedelta(days=as_of_day))
    expected = by_hand(rows, as_of_day)
    assert base["customer_id"].tolist() == sorted(expected)
    for i, who in enumerate(base["customer_id"].tolist()):
        for name, value in expected[who].items():
            column = base.habits[name] if name not in base.columns() else base[name]
            if value is None:
                assert np.isnan(column[i])
            elif isinstance(value, str):
                assert column[i] == value
            else:
                assert column[i] == pytest.approx(value, rel=1e-12, abs=1e-9), name
    everyone = len({r["customer_id"] for r in rows})
    assert len(base) + sum(base.left_out.values()) == everyone


@given(lines, st.sets(st.sampled_from(["a", "b", "c", "dée", "=1+1"])))
def test_summaries_merge_when_the_log_is_cut_between_customers(rows, some):
    day = START + dt.timedelta(days=60)
    here = [r for r in rows if r["customer_id"] in some]
    there = [r for r in rows if r["customer_id"] not in some]
    a, b = log_of(here), log_of(there)
    whole, merged = summarize(a + b, as_of=day), summarize(a, as_of=day) | summarize(b, as_of=day)
    assert whole.equals(merged)
    assert whole.habits.equals(merged.habits)
    assert whole.left_out == {k: v for k, v in merged.left_out.items() if v}


@given(lines, st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = (summarize(log_of(r), as_of="2011-03-01") for r in (rows, shuffled))
    assert one.equals(other)
    assert one.habits.equals(other.habits)


@given(lines)
def test_what_comes_after_the_as_of_date_is_not_known(rows):
    past = [r for r in rows if r["day"] <= 40]
    day = START + dt.timedelta(days=40)
    assert summarize(log_of(rows), as_of=day).equals(summarize(log_of(past), as_of=day))


def test_merging_through_a_customer_is_refused():
    log = TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-01"], revenue=[1])
    base = summarize(log, as_of="2011-02-01")
    with pytest.raises(RetentionError, match="share customers"):
        base | base


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 700), st.integers(0, 700), st.floats(-1e6, 1e6)),
        max_size=20,
    )
)
def test_rows_and_columns_hold_the_same_history(rows):
    """Lift rows to columns and take them out again: the same rows."""
    built = [
        History(
            customer_id=f"k{i}",
            frequency=x,
            recency_days=float(recency if x else 0),
            age_days=float((recency if x else 0) + idle),
            margin_mean=money,
        )
        for i, (x, recency, idle, money) in enumerate(rows)
    ]
    base = Histories.of(built)
    again = [attrs.evolve(base[i], first_at=None, last_at=None) for i in range(len(base))]
    assert again == built


def test_history_and_histories_have_the_same_field_names():
    columns = [f.name for f in attrs.fields(Histories) if f.metadata.get("column")]
    assert columns == [f.name for f in attrs.fields(History)]


def test_nobody_can_write_to_a_result():
    base = Histories.from_arrays(frequency=[1], recency_days=[3], age_days=[5])
    with pytest.raises(ValueError, match="read-only"):
        base["frequency"][0] = 7
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        base.frequency = np.zeros(1)


@pytest.mark.parametrize(
    ("broken", "names"),
    [
        ({"frequency": [-1], "recency_days": [0], "age_days": [3]}, "frequency"),
        ({"frequency": [1], "recency_days": [9], "age_days": [3]}, "age_days"),
        ({"frequency": [2], "recency_days": [0], "age_days": [3]}, "recency_days"),
        ({"frequency": [0.5], "recency_days": [0], "age_days": [3]}, "whole numbers"),
        ({"frequency": [0], "recency_days": [0], "age_days": [np.nan]}, "age_days"),
        ({"frequency": [0], "recency_days": [0], "age_days": [3], "margin_squares": [-2]}, "margin_squares"),
        ({"frequency": [0], "recency_days": [0], "age_days": [3], "margins": [2]}, "margins"),
    ],
)
def test_impossible_histories_are_refused_with_their_column(broken, names):
    with pytest.raises(RetentionError, match=names):
        Histories.from_arrays(**broken)


def test_the_music_shop_has_its_published_totals(shared_data):
    """CDNOW, calibration to 30 September 1997: the sums that every paper on it starts from."""
    with gzip.open(shared_data("cdnow/cdnow_sample.csv.gz"), "rt") as file:
        rows = list(csv.DictReader(file))
    log = TransactionLog.from_arrays(
        customer_id=[r["sample_id"] for r in rows], at=[r["date"] for r in rows], revenue=[r["sales"] for r in rows]
    )
    base = summarize(log, as_of="1997-09-30")
    assert len(base) == 2357
    assert base["frequency"].sum() == 2457
    assert (base["frequency"] > 0).sum() == 946
    assert base["recency_days"].sum() / 7 == pytest.approx(16135.571, abs=5e-4)
    assert base["age_days"].sum() / 7 == pytest.approx(77111.286, abs=5e-4)
    assert log.revenue.total() == Decimal("244091.94")
    # Squares are those of days about their mean and of that mean (Cauchy and Schwarz).
    within = base["margin_squares"] - base["frequency"] * base["margin_mean"] ** 2
    assert np.all(within >= -1e-9 * base["margin_squares"])
    assert within[base["frequency"] < 2] == pytest.approx(0, abs=1e-8)


@given(lines)
def test_a_base_goes_through_every_frame_library_unchanged(rows):
    base = summarize(log_of(rows), as_of="2011-03-15")
    for library in ("pandas", "polars", "pyarrow"):
        frame = base.to_frame(like=library)
        columns = {name: np.asarray(frame[name]) for name in base.columns()}
        again = Histories.from_arrays(**columns, as_of=base.as_of)
        assert again.equals(base), library
