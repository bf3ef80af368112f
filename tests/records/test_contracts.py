"""Contracts are read with their ends and causes, or refused with the rows named."""

import datetime as dt

import numpy as np
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

import retention as rt
from retention.errors import ConfigError, ReadError
from retention.records import Contracts


def test_a_list_says_who_from_when_until_when_and_why(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("customer,start,end,reason\nann,2020-01-01,2020-07-01,moved\nbea,2020-03-01,,\n")
    contracts = rt.read_contracts(
        path, customer="customer", start="start", end="end", cause="reason", as_of="2021-01-01"
    )
    assert contracts["cause"].tolist() == ["moved", ""]
    assert contracts.days.tolist() == [182, 306]
    assert contracts.customer("ann") == rt.Contract(
        customer_id="ann", started=dt.date(2020, 1, 1), ended=dt.date(2020, 7, 1), reason="moved"
    )
    assert contracts.customer("bea").ended is None


@pytest.mark.parametrize(
    "header",
    ["Customer;Start date;End date;Churn reason", "Kundennummer;Vertragsbeginn;Vertragsende;Kündigungsgrund",
     "Client;Date de début;Date de fin;Motif", "Cliente;Fecha inicio;Fecha fin;Motivo"],
)  # fmt: skip
def test_headers_are_known_in_english_german_french_and_spanish(tmp_path, header):
    path = tmp_path / "c.csv"
    path.write_text(f"{header}\n7;31.12.2019;15.02.2020;x\n", "utf-8")
    assert rt.read_contracts(path, as_of="2021-01-01").days.tolist() == [46]


def test_a_frame_will_do_and_days_after_the_as_of_date_are_not_yet_known():
    frame = polars.DataFrame(
        {
            "customer": ["a", "b", "c"],
            "start": [dt.date(2020, 1, 1), dt.date(2020, 1, 1), dt.date(2021, 5, 1)],
            "end": [dt.date(2020, 6, 1), dt.date(2021, 6, 1), None],
            "cause": ["moved", "price", None],
        }
    )
    known = rt.read_contracts(frame, as_of=dt.date(2021, 1, 1))
    assert known["customer_id"].tolist() == ["a", "b"]
    assert known["cause"].tolist() == ["moved", ""], "the cause of an end to come gives nothing away"
    assert known.ended.tolist() == [True, False]
    assert any("begin after the as-of date" in note for note in known.provenance.notes)
    assert any("end after the as-of date" in note for note in known.provenance.notes)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("a,2020-05-01,2020-04-01,", "line 2: ends before it begins"),
        ("a,,2020-04-01,", "line 2"),
        (",2020-01-01,2020-04-01,", "line 2: no customer"),
        ("a,2020-01-01,,moved", "line 2: a cause without an end"),
        ("a,2020-01-01,2020-06-01,\na,2020-05-01,,", "lines 2 and 3: contracts of one customer that overlap"),
        ("a,2020-01-01,,\nb,2020-01-01,,\na,2020-05-01,,", "lines 2 and 4: contracts of one customer that overlap"),
        ("a,2020-01-01,2020-06-01,\na,2020-01-01,2020-01-01,", "overlap"),
        ("a,2020-01-01,soon,", "line 2, column 'end': 'soon'"),
    ],
)
def test_what_cannot_be_is_one_error_that_names_the_lines(tmp_path, rows, fault):
    path = tmp_path / "c.csv"
    path.write_text(f"customer,start,end,cause\n{rows}\n")
    with pytest.raises(ReadError) as told:
        rt.read_contracts(path, as_of="2021-01-01")
    assert fault in str(told.value)


def test_watching_cannot_begin_after_it_ended():
    with pytest.raises(ConfigError, match="observed_from"):
        Contracts.from_arrays(
            customer_id=["a"], start=["2020-01-01"], end=[None], as_of="2020-02-01", observed_from="2020-03-01"
        )


def test_older_contracts_are_at_risk_from_the_age_at_which_they_came_into_view():
    c = Contracts.from_arrays(
        customer_id=["old", "gone", "new"], start=["2015-01-01", "2015-01-01", "2020-06-01"],
        end=[None, "2016-01-01", None], as_of="2021-01-01", observed_from="2020-01-01",
    )  # fmt: skip
    seen = c.watched()
    assert seen["customer_id"].tolist() == ["old", "new"], "an end before ends were recorded is not part of the sample"
    assert seen.entry_days.tolist() == [1826, 0]
    assert any("no part of what was watched" in note for note in c.provenance.notes)


def test_joining_knows_of_contracts_that_ended_before_one_watched():
    years = range(2010, 2021)
    c = Contracts.from_arrays(
        customer_id=["a"] * 11, start=[f"{y}-01-01" for y in years],
        end=[*(f"{y}-12-31" for y in years[:-1]), None], as_of="2020-06-01", observed_from="2018-01-01",
    )  # fmt: skip
    joined = c.relationships().watched()
    assert joined.days.tolist() == [3804]
    assert joined.entry_days.tolist() == [2922]
    assert len(c[:0].relationships()) == 0
    with pytest.raises(ConfigError, match="gap_days"):
        c.relationships(gap_days=-5)


@pytest.mark.parametrize(
    "wrong",
    [{"start": ["hello"]}, {"start": ["2020-02-30"]}, {"end": ["2020-02-01", None]}, {"cause": ["x", "y"]},
     {"as_of": "nope"}],
)  # fmt: skip
def test_arrays_that_are_no_contracts_are_one_clear_error(wrong):
    with pytest.raises(rt.RetentionError):
        Contracts.from_arrays(
            **({"customer_id": ["a"], "start": ["2020-01-01"], "end": [None], "as_of": "2021-01-01"} | wrong)
        )


@pytest.mark.parametrize("days", [["a"], [1.5], [float("inf")], [-1]])
def test_tenures_that_are_no_days_are_one_clear_error(days):
    with pytest.raises(ReadError, match="whole days"):
        Contracts.from_tenures(days=days, ended=[False], as_of="2020-01-01")


def test_contracts_that_follow_each_other_at_once_are_one_relationship():
    c = Contracts.from_arrays(
        customer_id=["b", "a", "a", "a"],
        start=["2020-01-01", "2021-01-01", "2020-01-01", "2021-09-01"],
        end=["2020-05-01", "2021-06-30", "2020-12-31", None],
        cause=["price", "moved", "renewed", ""],
        as_of="2022-01-01",
    )
    joined = c.relationships()
    assert joined["customer_id"].tolist() == ["b", "a", "a"]
    assert joined["start"].astype(str).tolist() == ["2020-01-01", "2020-01-01", "2021-09-01"]
    assert joined["cause"].tolist() == ["price", "moved", ""]
    assert len(c.relationships(gap_days=90)) == 2


@st.composite
def spells(draw):
    """Per customer, contracts one after the other, in any order of rows."""
    rows = []
    for who in range(draw(st.integers(1, 5))):
        day = draw(st.integers(0, 50))
        for _ in range(draw(st.integers(1, 3))):
            length = draw(st.integers(1, 60))
            rows.append((str(who), day, day + length))
            day += length + draw(st.integers(0, 30))
    return draw(st.permutations(rows))


@given(rows=spells(), cut=st.integers(0, 400))
def test_what_was_known_on_an_earlier_day_is_what_would_have_been_read_then(rows, cut):
    origin = np.datetime64("2020-01-01")
    who, start, end = ([row[i] for row in rows] for i in range(3))
    days = [origin + np.timedelta64(d, "D") for d in start], [origin + np.timedelta64(d, "D") for d in end]
    columns = {"customer_id": who, "start": days[0], "end": days[1], "cause": ["x"] * len(rows)}
    day = (origin + np.timedelta64(cut, "D")).item()
    whole = Contracts.from_arrays(**columns, as_of="2030-01-01")
    assert whole.until(day).equals(Contracts.from_arrays(**columns, as_of=day))


@given(rows=spells())
def test_joining_keeps_every_day_under_contract(rows):
    origin = np.datetime64("2020-01-01")
    c = Contracts.from_arrays(
        customer_id=[row[0] for row in rows],
        start=[origin + np.timedelta64(row[1], "D") for row in rows],
        end=[origin + np.timedelta64(row[2], "D") for row in rows],
        as_of="2030-01-01",
    )
    once = c.relationships(gap_days=0)
    assert once.days.sum() == c.days.sum()
    assert once.relationships(gap_days=0).equals(once)
    assert len(c.relationships(gap_days=10_000)) == len(set(c["customer_id"].tolist()))
