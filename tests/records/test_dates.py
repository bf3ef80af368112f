"""Dates, written out in many ways and read back."""

import datetime as dt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from retention.frames.source import text_column
from retention.records._dates import AMBIGUOUS, FINE, IMPOSSIBLE, parse_dates

DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31))


@pytest.mark.parametrize("pattern", ["%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y %H:%M", "%m-%d-%Y %I:%M:%S %p"])
@given(days=st.lists(DAYS, min_size=1, max_size=20))
def test_a_column_with_one_proof_is_read_as_it_was_written(pattern, days):
    assume(any(day.day > 12 for day in days))
    read = parse_dates(text_column("x", [day.strftime(pattern) for day in days]), day_first=None, zone=None)
    assert (read.state == FINE).all()
    assert read.at.astype("datetime64[D]").tolist() == days
    assert not read.guessed


@pytest.mark.parametrize(
    "pattern", ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d %b %Y", "%b %d, %Y", "%Y-%m-%dT%H:%M:%SZ"]
)
@given(days=st.lists(DAYS, min_size=1, max_size=20), day_first=st.sampled_from([None, True, False]))
def test_dates_that_can_only_be_read_one_way_are(pattern, days, day_first):
    read = parse_dates(text_column("x", [day.strftime(pattern) for day in days]), day_first=day_first, zone=None)
    assert (read.state == FINE).all()
    assert read.at.astype("datetime64[D]").tolist() == days


@given(days=st.lists(DAYS, min_size=1), patterns=st.data())
def test_a_mixed_column_is_never_read_wrongly_only_set_aside(days, patterns):
    """Whatever the mix of orders, once both are proved, each date is right or ambiguous."""
    styles = st.sampled_from(["%d/%m/%Y", "%m/%d/%Y"])
    cells = [day.strftime(patterns.draw(styles)) for day in days]
    cells += ["13/01/2000", "01/13/2000"]
    read = parse_dates(text_column("x", cells), day_first=None, zone=None)
    for i, day in enumerate(days):
        assert read.state[i] in (FINE, AMBIGUOUS)
        if read.state[i] == FINE:
            assert read.at[i].astype("datetime64[D]").item() == day


@given(st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)))
def test_years_beyond_1900_and_2100_are_impossible(day):
    read = parse_dates(text_column("x", [day.isoformat()]), day_first=None, zone=None)
    assert (read.state[0] == FINE) == (1900 <= day.year <= 2100)
    assert (read.state[0] == IMPOSSIBLE) == (not 1900 <= day.year <= 2100)
