"""The lists that decide whom we may contact are read exactly, or not at all."""

import datetime as dt

import pytest

from retention.errors import ReadError
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
