"""What cannot be read at all ends in one error that names the place, the finding, the rule and the remedy."""

import datetime as dt
import gzip
import os

import pandas
import polars
import pyarrow
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retention.errors import ColumnError, ConfigError, MissingExtraError, ReadError, RetentionError
from retention.records import doctor, read_transactions

ROLES = {"customer": "who", "at": "day", "revenue": "money"}
GOOD = "who,day,money\n7,2011-01-01,1.5\n8,2011-01-02,2.5\n"


def refused(source, words, kind=ReadError, **others):
    """The source is refused with one error of that kind that holds all these words, and with a rule and a remedy."""
    with pytest.raises(kind) as caught:
        read_transactions(source, **(ROLES | others))
    error = caught.value
    for word in words:
        assert word in str(error), f"{word!r} is not in {error}"
    assert error.rule
    assert error.remedy
    return error


BAD_FILES = {
    "empty": (b"", ["empty"]),
    "blank": (b" \n\r\n ", ["empty"]),
    "only a byte-order mark": (b"\xef\xbb\xbf", ["empty"]),
    "header only": (b"who,day,money\n", ["no rows"]),
    "header only, no line end": (b"who,day,money", ["no rows"]),
    "all rows misshapen": (b"who,day,money\n1\n1,2\n", ["none of its 2 rows", "wrong number of cells (2)"]),
    "NUL bytes": (GOOD.encode() + b"\0", ["NUL"]),
    "PNG": (b"\x89PNG\r\n\x1a\n" + b"x" * 99, ["PNG", "CSV"]),
    "Excel workbook": (b"PK\x03\x04" + b"x" * 99, ["Excel", "CSV UTF-8"]),
    "old Excel workbook": (b"\xd0\xcf\x11\xe0" + b"x" * 99, ["Excel"]),
    "PDF": (b"%PDF-1.4 x", ["PDF"]),
    "cut-off gzip": (gzip.compress(GOOD.encode() * 9)[:-9], ["gzip", "damaged"]),
    "garbage after the gzip magic": (b"\x1f\x8b" + b"x" * 50, ["gzip", "damaged"]),
    "cut-off Parquet": (b"PAR1" + b"x" * 99, ["Parquet", "damaged"]),
    "a cell of ten million characters": (GOOD.encode() + b"9,2011-01-03," + b"x" * 10_000_000, ["line 4", "131,072"]),
    "a quote never closed": (GOOD.encode() + b'9,"2011-01-03,5\n10,2011-01-04,6\n', ["line 4", "never closed"]),
    "duplicate header": (b"who,day,money,day\n7,2011-01-01,1,x\n", ["'day'", "more than one"]),
    "wrong column": (GOOD.replace("money", "monies").encode(), ["revenue='money'", "did you mean 'monies'"]),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_table_is_one_clear_error(tmp_path, kind):
    content, words = BAD_FILES[kind]
    path = tmp_path / "shop.csv"
    path.write_bytes(content)
    error = refused(path, words)
    assert "shop.csv" in str(error)
    assert str(tmp_path) not in str(error)


def test_a_directory_and_a_missing_file(tmp_path):
    refused(tmp_path, ["directory"])
    (tmp_path / "invoices.csv").write_text(GOOD)
    refused(tmp_path / "invoice.csv", ["no file", "did you mean 'invoices.csv'"])
    refused(str(tmp_path / "nowhere" / "invoice.csv"), ["no file"])
    refused("a\0b", ["cannot be opened"])
    refused(tmp_path / "*.csv", ["no file", "scan_transactions reads patterns"])


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="the superuser may read every file")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(GOOD)
    path.chmod(0)
    refused(path, ["cannot be opened", "ermission"])


def test_a_file_that_the_system_refuses(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text(GOOD)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    refused(path, ["cannot be opened: Permission denied"])


@pytest.mark.parametrize("source", [None, 7, [1, 2], {"who": [1]}, object(), b"who,day"])
def test_a_source_that_is_neither_path_nor_frame(source):
    refused(source, ["a source of type"])


def test_lazy_frames_are_asked_to_be_collected():
    refused(polars.LazyFrame({"who": ["7"], "day": ["2011-01-01"], "money": [1]}), ["lazy", "collect"])


def test_a_series_is_no_frame():
    refused(pandas.Series([1, 2]), ["a source of type Series"])


def test_a_frame_without_rows_or_with_two_columns_of_one_name():
    refused(polars.DataFrame({"who": [], "day": [], "money": []}), ["no rows"])
    refused(pandas.DataFrame(), ["no rows"])
    refused(pandas.DataFrame([["7", "2011-01-01", 1, 2]], columns=["who", "day", "money", "money"]), ["more than one"])
    refused(pyarrow.table([[1], [2]], names=["who", "who"]), ["more than one"])


def test_zoned_times_are_refused_until_the_zone_of_the_shop_is_named():
    frame = pandas.DataFrame({"who": ["7"], "day": pandas.to_datetime(["2011-06-01T23:30Z"]), "money": [1]})
    refused(frame, ["at='day'", "UTC", "time_zone="], ColumnError)
    log = read_transactions(frame, time_zone="Europe/Berlin", **ROLES)
    assert str(log.at[0]) == "2011-06-02T01:30:00"
    refused(frame, ["Mars/Phobos"], ConfigError, time_zone="Mars/Phobos")


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin"])
def test_a_zone_is_a_zone_whatever_its_name(zone):
    """Frames of pandas: some zones' names have an underscore."""
    hours = pandas.DatetimeIndex(["2011-01-01 04:30", "2011-07-01 23:30", None], tz="UTC").tz_convert(zone)
    frame = pandas.DataFrame({"who": ["7", "8", "9"], "day": hours, "money": [1, 2, 3]})
    refused(frame, [repr(zone)], ColumnError)
    log = read_transactions(frame, **ROLES, time_zone=zone)
    assert log["at"].tolist() == hours[:2].tz_localize(None).to_pydatetime().tolist()
    assert list(log.quality.set_aside) == ["missing date"]


@pytest.mark.parametrize("days", [[40905, 40906], [1.3e9, 1.4e9], [20111301, 7]])
def test_a_column_of_numbers_is_no_column_of_dates(days, tmp_path):
    frame = pandas.DataFrame({"who": ["7", "8"], "day": days, "money": [1, 2]})
    error = refused(frame, ["at='day'", "holds numbers"], ColumnError)
    assert str(int(days[0])) in str(error)


def test_a_file_of_day_numbers_is_refused_as_well(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("who,day,money\n7,40905,1\n8,40906.5,2\n")
    refused(path, ["at='day'", "holds numbers, such as 40905"], ColumnError)


def test_dates_before_1900_are_told_so_and_their_own_column_is_no_remedy(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("who,day,money\n7,1800-01-01,1\n8,1801-01-01,2\n")
    error = refused(path, ["at='day'", "1900"], ColumnError)
    assert "day" not in error.remedy.removeprefix("name the column that holds the dates.")


def test_a_customer_or_a_date_column_that_is_not_named_is_one_clear_error(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(GOOD)
    refused(path, ["customer='None'"], ColumnError, customer=None)
    refused(path, ["at='None'"], ColumnError, at=None)


def test_whole_numbers_that_are_all_compact_dates_are_dates():
    frame = pandas.DataFrame({"who": ["7", "8"], "day": [20111231, 20110101], "money": [1, 2]})
    assert read_transactions(frame, **ROLES).day.astype(str).tolist() == ["2011-12-31", "2011-01-01"]


def test_a_column_that_is_no_date_or_no_number_at_all_does_not_repeat_what_it_holds():
    frame = polars.DataFrame({"who": ["7"], "day": ["Ann Lee"], "money": ["Bob 7"], "blank": [""]})
    error = refused(frame, ["at='day'", "'aaa aaa'"], ColumnError)
    assert "Ann" not in str(error)
    frame = frame.with_columns(day=polars.lit("2011-01-01"))
    error = refused(frame, ["revenue='money'", "'aaa 9'"], ColumnError)
    assert "Bob" not in str(error)
    refused(frame, ["revenue='blank'", "blank in every row"], ColumnError, revenue="blank")


def test_several_currencies_are_one_error_that_counts_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("who,day,money,cur\n" + "7,2011-01-01,1,EUR\n" * 3 + "7,2011-01-01,1, usd\n7,2011-01-01,1,\n")
    refused(path, ["'cur'", "EUR (3 rows)", "USD (1 rows)"], ColumnError, currency="cur")
    path.write_text("who,day,money\n" + "7,2011-01-01,€ 1\n" * 2 + "7,2011-01-01,$1\n")
    refused(path, ["'money'", "EUR (2 rows)", "$ (1 rows)"], ColumnError)
    path.write_text("who,day,money\n7,2011-01-01,€ 1\n7,2011-01-01,2 EUR\n7,2011-01-01,3\n")
    assert read_transactions(path, **ROLES).revenue.total() == 6
    path.write_text("who,day,money,cur\n7,2011-01-01,1,EUR\n7,2011-01-01,1,\n")
    assert read_transactions(path, currency="cur", **ROLES).currency == "EUR"
    assert read_transactions(path, currency="gbp", **ROLES).currency == "GBP"
    refused(path, ["currency='curr'", "did you mean 'cur'"], ColumnError, currency="curr")
    refused(path, ["currency=5"], ColumnError, currency=5)


@pytest.mark.parametrize(
    "others",
    [
        {"unit_price": "money"},
        {"revenue": None},
        {"revenue": None, "quantity": "money"},
        {"revenue": None, "unit_price": "money"},
        {"margin": 35},
        {"margin": 0},
        {"margin": float("nan")},
        {"margin": True},
        {"margin": "money", "cost": "money"},
        {"duplicates": "maybe"},
        {"max_amount": 0},
        {"max_amount": float("inf")},
        {"max_amount": "1000"},
        {"day_first": "no"},
    ],
)
def test_arguments_that_contradict_each_other(tmp_path, others):
    path = tmp_path / "a.csv"
    path.write_text(GOOD)
    refused(path, [], ConfigError, **others)


def test_parquet_without_its_library_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    polars.DataFrame({"who": ["7"], "day": ["2011-01-01"], "money": [1]}).write_parquet(path)
    assert len(read_transactions(path, **ROLES)) == 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(path, ["pyarrow", "extra 'parquet'"], MissingExtraError)


FULL = {
    "customer": "who", "at": "day", "quantity": "n", "unit_price": "price", "order": "bill", "category": "kind",
    "channel": "way", "cost": "goods", "currency": "money unit", "line_id": "line", "item": "article",
}  # fmt: skip
CELLS = {
    "who": ["7", "8"], "day": ["2011-01-01", "2011-01-02"], "n": ["1", "2"], "price": ["1.5", "2"], "bill": ["a", "b"],
    "kind": ["x", "y"], "way": ["web", "shop"], "goods": ["1", "1"], "money unit": ["EUR", "EUR"], "line": ["1", "2"],
    "article": ["p", "q"],
}  # fmt: skip


@pytest.mark.parametrize("role", FULL)
def test_each_column_removed_in_turn_is_one_error_that_names_it(role):
    frame = polars.DataFrame({name: cells for name, cells in CELLS.items() if name != FULL[role]})
    with pytest.raises(ColumnError, match=f"{role}='{FULL[role]}'"):
        read_transactions(frame, **FULL)


AMOUNTS = [
    "1250",
    "-3",
    "1.250,00",
    "1,250.00",
    "(12.00)",
    "12-",
    "€ 12",
    "$1.50",
    "12 EUR",
    "EUR 12.50",
    "1e5",
    "99 kr",
]


@given(
    cell=st.one_of(
        st.sampled_from(AMOUNTS),
        st.emails(),
        st.builds(
            dt.datetime.strftime,
            st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 12, 31)),
            st.sampled_from(
                ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y%m%d", "%Y%m%d %H:%M", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y %H:%M",
                 "%m-%d-%Y %I:%M %p", "%Y/%m/%d", "%d %b %Y", "%d-%b-%y", "%b %d, %Y", "%d. %B %Y, %H:%M"]
            ),
        ),
    ),
    place=st.integers(0, 2),
)  # fmt: skip
def test_a_first_line_that_looks_like_data_is_never_repeated(cell, place):
    """Without a header her name would be taken for one: the message says that a header is needed, and no more."""
    titles = ["Ann Lee", "Hill Road"]
    titles.insert(place, cell)
    frame = pandas.DataFrame([["Bob Ray", "Main Street", "x"]], columns=titles)
    error = refused(frame, ["first line looks like data", "header line is needed"], ColumnError, customer="Anne Lee")
    assert "Ann Lee" not in str(error)
    assert "Hill" not in str(error)
    assert "Ann Lee" not in (doctor(frame).problem or "")


@pytest.mark.parametrize(
    "title", ["Invoice No.", "Amount (EUR)", "Q1", "Umsatz 2011", "N° client", "column 4", "1st order", "Größe", "0_id"]
)
def test_headers_with_figures_in_them_are_headers(title):
    refused(pandas.DataFrame({title: ["x"], "day": ["y"]}), [f"{title}"], ColumnError, customer="whom")


def test_a_first_line_with_her_name_twice_is_not_repeated_either(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Ann Lee,Ann Lee,2011-01-01,5\nBob Ray,Bob,2011-01-02,6\n")
    error = refused(path, ["more than one column", "header line is needed"], ColumnError)
    assert "Ann" not in str(error)


def csv_like():
    """Bytes that look like a table from afar, with anything in the cells."""
    cell = st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"7", b"2011-01-01", b"1.5", b'"', b"\x80", b"1,5", b"31/12/2011", b"1e9999", b"(", b"\xa0"]),
    )
    row = st.lists(cell, min_size=1, max_size=5).map(b",".join)
    return st.lists(row, max_size=12).map(lambda rows: b"who,day,money\n" + b"\n".join(rows))


@given(st.one_of(st.binary(max_size=400), csv_like(), csv_like().map(gzip.compress)))
@example(b"who,day,money\n7,2011-01-01,1\n" + b"8,2011-01-01,\xff\xfe\n")
@example(b"\xff\xfew\x00")
@example(b"who;day;money\n7;2011-01-01 25:61;1\n")
@example("who,day,money\n٣,٢٠١١-٠١-٠١,٣\n7,2011-01-01,1\n".encode())
def test_arbitrary_bytes_never_raise_anything_but_our_own_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(content)
    try:
        log = read_transactions(path, **ROLES)
        assert log.quality.reconciles
        assert len(log) == log.quality.rows_kept > 0
    except RetentionError as error:
        assert error.rule  # noqa: PT017
    try:
        doctor(path)
    except RetentionError as error:
        assert error.remedy  # noqa: PT017


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.text(max_size=8), st.integers(), st.floats(), st.booleans()),
            st.one_of(st.none(), st.text(max_size=12), st.integers(), st.dates(), st.datetimes(), st.floats()),
            st.one_of(st.none(), st.text(max_size=12), st.integers(), st.floats(), st.decimals()),
        ),
        max_size=8,
    )
)
def test_frames_of_anything_never_raise_anything_but_our_own_error(rows):
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    frame = pandas.DataFrame(
        {n: pandas.Series(list(c), dtype=object) for n, c in zip(ROLES.values(), columns, strict=True)}
    )
    try:
        log = read_transactions(frame, **ROLES)
        assert log.quality.reconciles
        assert log.quality.rows_in == len(rows)
    except RetentionError as error:
        assert error.rule  # noqa: PT017
