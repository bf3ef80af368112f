"""The lists that decide whom we may contact are read exactly, or not at all."""

import datetime as dt

import numpy as np
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError, ReadError
from retention.records.lists import read_consents, read_customer_list, read_touches
from retention.worlds import Shop


def test_a_worlds_lists_come_back_from_their_files(tmp_path):
    world = Shop.corner_shop(customers=60).simulate()
    world.write_consents(tmp_path / "c.csv")
    world.write_touches(tmp_path / "t.csv")
    consents, touches = read_consents(tmp_path / "c.csv"), read_touches(tmp_path / "t.csv")
    assert consents.equals(world.consents)
    assert touches.equals(world.touches)


def test_headers_are_found_whatever_their_case_and_what_is_left_out_has_its_meaning(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("CHANNEL,Customer\nemail,7\nphone,8\n")
    consents = read_consents(path)
    assert consents.granted_to("email", on=dt.date(2011, 1, 1)) == {"7"}
    assert consents["purpose"].tolist() == ["marketing", "marketing"]


def test_the_latest_answer_counts_and_a_withdrawal_wins_a_tie(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(
        "customer,channel,granted,date\n"
        "a,email,yes,2011-01-01\na,email,no,2011-02-01\n"
        "b,email,no,2011-01-01\nb,email,yes,2011-02-01\n"
        "c,email,yes,2011-02-01\nc,email,no,2011-02-01\n"
        "d,email,yes,\nd,email,no,2010-01-01\n"
    )
    assert read_consents(path).granted_to("email", on=dt.date(2011, 3, 1)) == {"b"}
    assert read_consents(path).granted_to("email", on=dt.date(2011, 1, 15)) == {"a"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("customer,channel,granted\na,email,perhaps\n", "line 2, column 'granted': 'perhaps'"),
        ("customer,channel,date\na,email,2011-02-30\n", "line 2, column 'date': '2011-02-30'"),
        ("customer,channel\n,email\n", "line 2: no customer"),
        ("customer,channel\na\n", "line 2: too few or too many cells"),
        ("customer,way\na,email\n", "no column for the channel"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_never_guessed(tmp_path, text, told):
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(ReadError, match=told):
        read_consents(path)


def test_a_touch_without_a_day_or_a_direction_that_is_none_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("customer,date,channel\na,,email\n")
    with pytest.raises(ReadError, match="line 2"):
        read_touches(path)
    path.write_text("customer,date,channel,direction\na,2011-01-01,email,sideways\n")
    with pytest.raises(ReadError, match="'sideways'"):
        read_touches(path)


def test_customers_named_in_a_file_are_each_named_once_and_numbers_stay_ids(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("Customer ID\n17850\n12347\n17850\n")
    assert read_customer_list(path) == ("17850", "12347")


def test_a_withdrawal_counts_whatever_its_capitals(tmp_path):
    path = tmp_path / "consents.csv"
    path.write_text(
        "customer,channel,purpose,granted,at\n7,email,marketing,yes,2011-01-01\n7,Email,Marketing,no,2011-05-01\n"
    )
    consents = read_consents(path)
    assert consents.granted_to("email", on=dt.date(2011, 4, 30)) == {"7"}
    assert consents.granted_to("email", on=dt.date(2011, 5, 1)) == frozenset()
    assert consents.granted_to("Email", on=dt.date(2011, 4, 30)) == {"7"}


def test_a_list_calls_a_customer_what_the_invoices_call_her(tmp_path):
    """A list that went through a spreadsheet or a frame names 7 as 7.0: she still must not be contacted."""
    path = tmp_path / "list.csv"
    path.write_text("customer\n7.0\n8.0\n")
    assert read_customer_list(path) == ("7", "8")
    path.write_text("customer\n007\n8.0\n")
    assert read_customer_list(path) == ("007", "8.0")
    path.write_text("customer\n7\nNULL\n")
    with pytest.raises(ReadError, match="line 3: no customer"):
        read_customer_list(path)


@pytest.mark.parametrize(
    ("header", "yes", "no", "pattern"),
    [
        ("Customer Id;Channel;Purpose;Granted;Date", "Yes", "no", "%Y-%m-%d"),
        ("Kundennummer;Kanal;Zweck;Einwilligung;Datum", "Ja", "nein", "%d.%m.%Y"),
        ("N° client;Canal;Finalité;Accordé;Date", "Oui", "NON", "%d/%m/%Y %H:%M"),
        ("Código cliente;Canal;Finalidad;Concedido;Fecha", "Sí", "no", "%d-%m-%Y"),
    ],
)
def test_consents_are_read_in_english_german_french_and_spanish(tmp_path, header, yes, no, pattern):
    given, withdrawn = dt.date(2011, 3, 4), dt.date(2011, 12, 31)
    path = tmp_path / "c.csv"
    path.write_text(
        f"{header}\n7;email;news;{yes};{given.strftime(pattern)}\n7;email;news;{no};{withdrawn.strftime(pattern)}\n",
        encoding="utf-8",
    )
    consents = read_consents(path)
    assert consents["customer_id"].tolist() == ["7", "7"]
    assert consents["purpose"].tolist() == ["news", "news"]
    assert consents["granted"].tolist() == [True, False]
    assert consents["at"].tolist() == [given, withdrawn]


@pytest.mark.parametrize(
    ("header", "out", "back"),
    [
        ("Customer;Date;Channel;Kind;Direction", "out", "in"),
        ("Kunde;Datum;Kanal;Art;Richtung", "ausgehend", "Eingehend"),
        ("Client;Date;Canal;Type;Sens", "sortant", "entrant"),
        ("Cliente;Fecha;Canal;Tipo;Dirección", "saliente", "entrante"),
    ],
)
def test_touches_are_read_in_english_german_french_and_spanish(tmp_path, header, out, back):
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\n7;31.12.2011;email;ask;{out}\n8;1.2.2012;phone;thank;{back}\n", encoding="utf-8")
    touches = read_touches(path)
    assert touches["at"].tolist() == [dt.date(2011, 12, 31), dt.date(2012, 2, 1)]
    assert touches["kind"].tolist() == ["ask", "thank"]
    assert touches["direction"].tolist() == ["out", "in"]


@given(
    days=st.lists(st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31)), min_size=1, max_size=8),
    pattern=st.sampled_from(["%d/%m/%Y", "%m/%d/%Y"]),
)
def test_a_day_of_a_list_is_right_or_its_line_is_named_and_never_guessed(days, pattern):
    frame = pandas.DataFrame({"customer": "7", "channel": "email", "date": [day.strftime(pattern) for day in days]})
    proved = any(day.day > 12 for day in days)
    open_rows = [i for i, day in enumerate(days) if day.day != day.month]
    if proved or not open_rows:
        assert read_consents(frame)["at"].tolist() == days
    else:
        with pytest.raises(ReadError, match=f"row {open_rows[0] + 1}, column 'date'"):
            read_touches(frame)
    assert read_touches(frame, day_first=pattern == "%d/%m/%Y")["at"].tolist() == days


def test_a_column_that_proves_both_orders_names_the_line_that_is_open(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("customer,channel,date\n7,email,13/01/2011\n7,email,01/13/2011\n7,email,03/04/2011\n")
    with pytest.raises(ReadError, match="line 4, column 'date': '03/04/2011'"):
        read_consents(path)


def test_days_of_a_frame_may_be_dates_times_or_whole_numbers_and_other_numbers_are_refused():
    day = dt.date(2011, 12, 31)
    for cells in ([day, None], [dt.datetime(2011, 12, 31, 23, 59), None], [20111231, None], ["2011-12-31", ""]):
        frame = polars.DataFrame({"customer": ["7", "8"], "channel": ["email", "email"], "at": cells})
        at = read_consents(frame)["at"]
        assert at[0] == np.datetime64(day)
        assert np.isnat(at[1])
        with pytest.raises(ReadError, match="row 2, column 'at'"):
            read_touches(frame)
    with pytest.raises(ReadError, match="row 1, column 'at': '40905'"):
        read_consents(frame.with_columns(at=polars.lit(40905)))


def test_a_mark_is_no_answer_and_an_order_of_days_is_yes_or_no(tmp_path):
    """Blank means no permission; a question mark or a dash means that somebody has to ask."""
    path = tmp_path / "c.csv"
    for cell in ("?", "-", "-1", "1?", "yes/no"):
        path.write_text(f"customer,channel,granted\n7,email,yes\n7,email,{cell}\n")
        with pytest.raises(ReadError, match="line 3, column 'granted'"):
            read_consents(path)
    with pytest.raises(ConfigError, match="day_first"):
        read_consents(path, day_first="no")


def test_a_number_of_hers_comes_before_a_mere_id_and_that_before_her_address(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("E-Mail;ID;Kundennummer\na@b.example;1;17850\n")
    assert read_customer_list(path) == ("17850",)
    path.write_text("E-Mail;ID\na@b.example;1\n")
    assert read_customer_list(path) == ("1",)


def test_a_list_without_a_header_is_told_so_and_nobody_in_it_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("ann.lee@example.com,email,yes\nbob@example.com,email,no\n")
    for read in (read_consents, read_touches, read_customer_list):
        with pytest.raises(ReadError, match="first line looks like data") as caught:
            read(path)
        assert "ann.lee" not in str(caught.value)


def test_withdrawals_are_seen_under_a_header_that_looks_like_data(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("customer,channel,granted,2011\n7,email,no,x\n")
    assert read_consents(path, customer="customer", channel="channel")["granted"].tolist() == [False]
    with pytest.raises(ReadError, match="pass customer="):
        read_consents(path)
