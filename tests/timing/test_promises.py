"""Promised against delivered, from the time stamps alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.timing import expectation_ledger

rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 60))), max_size=30
)


def _day(number):
    return None if number is None else str(np.datetime64("2024-01-01") + number)


@given(rows, st.integers(0, 60))
def test_each_promise_is_judged_by_its_two_dates_and_the_day_it_is_looked_at(promises, today):
    ledger = expectation_ledger(
        [who for who, _, _ in promises], [_day(p) for _, p, _ in promises], [_day(d) for _, _, d in promises],
        as_of=_day(today),
    )  # fmt: skip

    def judged(promised, delivered):
        if delivered is None or delivered > today:
            return "late" if today > promised else "open"
        return "early" if delivered < promised else "met" if delivered == promised else "late"

    want = [judged(p, d) for _, p, d in promises]
    assert ledger.answer.tolist() == want
    account = ledger.by_customer()
    assert account.customer_id.tolist() == sorted({who for who, _, _ in promises})
    for i, who in enumerate(account.customer_id):
        hers = [answer for answer, (one, _, _) in zip(want, promises, strict=True) if one == who]
        counts = {a: int(account[a][i]) for a in ("early", "met", "late", "open")}
        assert counts == {a: hers.count(a) for a in counts}
        assert account.promises[i] == len(hers) == sum(counts.values())
        decided = len(hers) - counts["open"]
        if decided:
            assert account.kept_share[i] == (counts["early"] + counts["met"]) / decided
            assert account.exceeded_share[i] == counts["early"] / decided
        else:
            assert np.isnan(account.kept_share[i])


def test_days_late_count_to_the_delivery_or_to_today_and_are_negative_for_what_came_early():
    ledger = expectation_ledger(
        list("aaaa"), ["2024-03-10"] * 4, ["2024-03-08", "2024-03-10", None, "2024-04-01"], as_of="2024-03-15"
    )
    assert ledger.days_late.tolist() == [-2.0, 0.0, 5.0, 5.0]
    assert ledger.answer.tolist() == ["early", "met", "late", "late"]
    assert "1 early, 1 met, 2 late, 0 open" in repr(ledger)


def test_a_promise_for_an_hour_is_judged_by_the_second_if_asked():
    asked = (["a", "a"], ["2024-03-10T14:00", "2024-03-10T14:00"], ["2024-03-10T14:30", "2024-03-10T13:59"])
    assert expectation_ledger(*asked, as_of="2024-03-15").answer.tolist() == ["met", "met"]
    exact = expectation_ledger(*asked, as_of="2024-03-15", by="second")
    assert exact.answer.tolist() == ["late", "early"]
    assert exact.days_late[0] == pytest.approx(0.5 / 24)
    # What was due this afternoon and has not come by the end of the day is late.
    assert expectation_ledger(["a"], ["2024-03-15T14:00"], [None], as_of="2024-03-15", by="second").answer[0] == "late"
    assert expectation_ledger(["a"], ["2024-03-15T14:00"], [None], as_of="2024-03-15").answer[0] == "open"


@pytest.mark.parametrize(
    "given_",
    [
        {"customer": ["a", "b"]},
        {"promised_at": [None]},
        {"promised_at": ["soon"]},
        {"customer": [None]},
        {"customer": [""]},
        {"by": "week"},
    ],
)
def test_what_cannot_be_judged_is_one_clear_error(given_):
    asked = {"customer": ["a"], "promised_at": ["2024-03-10"], "delivered_at": [None], "as_of": "2024-03-15"} | given_
    with pytest.raises(ConfigError, match="promises"):
        expectation_ledger(**asked)


@pytest.mark.parametrize(
    "odd",
    [
        {"customer": [float("nan")]},
        {"promised_at": [20240101]},
        {"promised_at": ["2024-01-01T10:00+02:00"]},
        {"by": ["day"]},
    ],
)
def test_missing_names_numbers_for_dates_and_zones_are_refused(odd):
    given_ = {"customer": ["a"], "promised_at": ["2024-01-01"], "delivered_at": [None], "as_of": "2024-02-01"} | odd
    with pytest.raises(ConfigError):
        expectation_ledger(**given_)
