"""Concentration: what share of margin the best customers bring."""

import datetime as dt
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.lenses import audit
from retention.records.transactions import TransactionLog

AS_OF = dt.date(2021, 12, 31)


def base(margins):
    """One customer a margin."""
    n = len(margins)
    return TransactionLog.from_arrays(
        customer_id=[f"{i:04d}" for i in range(n)], at=["2021-05-01"] * n, revenue=[1] * n, margin=margins
    )


@given(data=st.data())
def test_shares_are_what_i_get_by_hand(any_rows, log_of, data):
    rows = data.draw(any_rows)
    found = audit(log_of(rows), as_of=AS_OF, period_days=30).concentration
    margin = Counter()
    for row in rows:
        if 0 <= (AS_OF - row.day).days < 30:
            margin[row.who] += row.margin
    best = sorted(margin.values(), reverse=True)
    assert found.total == sum(best)
    assert found.total_customers == len(best)
    assert found.losses == -sum(m for m in best if m < 0)
    for percent, count, amount, share in zip(
        found["top_percent"], found["customers"], found["margin"], found["share"], strict=True
    ):
        assert count == -(-len(best) * int(percent) // 100)
        brought = sum(best[:count], Decimal(0))
        assert amount == pytest.approx(float(brought), abs=1e-9)
        if found.total > 0:
            assert share == pytest.approx(float(brought / found.total), rel=1e-12, abs=1e-12)
        else:
            assert np.isnan(share)
    if found.total > 0:
        gaps = sum(abs(a - b) for a in best for b in best)
        assert found.gini == pytest.approx(float(gaps / (2 * len(best) * found.total)), rel=1e-9, abs=1e-12)
    else:
        assert found.gini is None


def test_equal_customers_bring_equal_shares():
    found = audit(base([5] * 100), as_of=AS_OF).concentration
    assert found["share"].tolist() == [0.01, 0.05, 0.1, 0.2, 0.5]
    assert found.gini == 0


def test_one_percent_of_seven_hundred_is_seven():
    """In floats 0.01 * 700 is 7.000000000000001, and rounding that up would make it eight."""
    assert audit(base([5] * 700), as_of=AS_OF).concentration["customers"].tolist() == [7, 35, 70, 140, 350]


def test_when_some_cost_money_the_others_bring_more_than_all_of_it_and_a_note_says_so():
    found = audit(base([60, 60, -10, -10]), as_of=AS_OF).concentration
    assert found["share"][-1] == 1.2
    assert (found.losing_customers, found.losses) == (2, 20)
    assert any("more than all of it" in note for note in found.provenance.notes)


@pytest.mark.parametrize("margins", [[], [-5], [5, -5]])
def test_a_total_that_is_not_positive_has_no_shares(margins):
    found = audit(base(margins), as_of=AS_OF).concentration
    assert np.isnan(found["share"]).all()
    assert found.to_dict()["share_of_top_percent"]["10"] is None
    assert found.gini is None


@pytest.mark.parametrize("margins", [[], [-5], [7], [60, 60, -10, -10]])
def test_the_whale_curve_ends_at_the_total(margins):
    pytest.importorskip("matplotlib")
    found = audit(base(margins), as_of=AS_OF).concentration
    curve = found.plot().lines[0].get_ydata()
    total = sum(margins)
    assert curve[-1] == pytest.approx(100 if total > 0 else total)
