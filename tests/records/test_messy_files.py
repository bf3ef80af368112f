"""Golden messy files: each is made here, with totals worked out from the planted rows alone."""

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas
import polars
import pytest
from attrs import frozen

from retention.errors import ReadError
from retention.records import TransactionLog, read_transactions


@frozen
class Row:
    """A line as written, and what it means: its day and money (None where no reader could tell), its fate."""

    who: str
    written_at: str
    written_money: str
    day: dt.date | None = None
    money: str | None = None
    aside: str | None = None


def reconcile(log: TransactionLog, rows: list[Row], first_line: int = 2) -> None:
    """Compare the account with sums of the planted rows, made with nothing but Decimal."""
    quality = log.quality
    kept = [r for r in rows if r.aside is None]
    assert quality.reconciles
    assert quality.rows_in == len(rows)
    assert quality.rows_kept == len(log) == len(kept)
    assert quality.money_in == sum(Decimal(r.money) for r in rows if r.money is not None)
    assert quality.money_kept == log.revenue.total() == sum(Decimal(r.money) for r in kept)
    for reason in {r.aside for r in rows} - {None}:
        those = [r for r in rows if r.aside == reason]
        part = quality.set_aside[reason]
        assert part.rows == len(those)
        assert part.money == sum(Decimal(r.money) for r in those if r.money is not None)
        assert part.unreadable == sum(r.money is None for r in those)
        lines = [first_line + i for i, r in enumerate(rows) if r.aside == reason]
        assert quality.rows_set_aside(reason).line.tolist() == lines
    assert quality.set_aside.keys() == {r.aside for r in rows} - {None}
    assert [log.revenue.exact(i) for i in range(len(log))] == [Decimal(r.money) for r in kept]
    assert log.day.tolist() == [r.day for r in kept]
    assert log.customers.text().tolist() == [r.who.strip() for r in kept]


def write(path: Path, rows: list[Row], *, delimiter: str = ",", end: str = "\n", encoding: str = "utf-8") -> Path:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if delimiter in cell or '"' in cell or "\n" in cell else cell

    lines = [["Customer", "Date", "Amount"]] + [[r.who, r.written_at, r.written_money] for r in rows]
    text = end.join(delimiter.join(map(quoted, cells)) for cells in lines) + end
    path.write_bytes(text.encode(encoding))
    return path


def read(path: Path, **others: object) -> TransactionLog:
    return read_transactions(path, customer="Customer", at="Date", revenue="Amount", **others)


D = dt.date


def test_a_german_export_with_decimal_commas_dots_and_umlauts_in_the_old_encoding(tmp_path):
    rows = [
        Row("Müller", "31.12.2011", "1.234,50", D(2011, 12, 31), "1234.50"),
        Row("Groß", "01.02.2011", "19,99", D(2011, 2, 1), "19.99"),
        Row("Groß", "02.02.11 14:30", "1.500", D(2011, 2, 2), "1500"),
        Row("Jäger", "03.02.2011", "-7,00 €", D(2011, 2, 3), "-7.00"),
    ]
    log = read(write(tmp_path / "umsatz.csv", rows, delimiter=";", encoding="cp1252"))
    reconcile(log, rows)
    assert log.quality.notes["bytes that are not UTF-8, read as cp1252"] == 5  # ü, ß, ß, ä and the sign €
    assert log.quality.notes["years of two digits"] == 1


def test_single_stray_bytes_in_a_utf8_file_do_not_spoil_the_rest(tmp_path):
    rows = [
        Row("Zoë", "2011-01-01", "1.10", D(2011, 1, 1), "1.10"),
        Row("René", "2011-01-02", "2.20", D(2011, 1, 2), "2.20"),
    ]
    path = write(tmp_path / "a.csv", rows)
    path.write_bytes(path.read_bytes().replace("René".encode(), "René".encode("cp1252")))
    log = read(path)
    reconcile(log, rows)
    assert log.quality.notes["bytes that are not UTF-8, read as cp1252"] == 1
    assert any("cp1252" in note for note in log.provenance.notes)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_byte_order_marks_line_ends_and_delimiters(tmp_path, encoding, end, delimiter):
    rows = [
        Row("7", "2011-01-01", "1,234.50", D(2011, 1, 1), "1234.50"),
        Row(" 8 ", "2011-01-02 10:00", "2", D(2011, 1, 2), "2"),
        Row("", "2011-01-02", "3.25", D(2011, 1, 2), "3.25", "missing customer"),
    ]
    reconcile(read(write(tmp_path / "a.txt", rows, delimiter=delimiter, end=end, encoding=encoding)), rows)


def test_a_gzipped_file_whatever_its_name(tmp_path):
    rows = [Row("7", "2011-01-01", "1.50", D(2011, 1, 1), "1.50")]
    path = write(tmp_path / "plain.csv", rows)
    path.write_bytes(gzip.compress(path.read_bytes()))
    reconcile(read(path), rows)


def test_an_american_export_with_dollars_parentheses_and_half_days(tmp_path):
    rows = [
        Row("7", "12/31/2011 11:59 PM", "$1,234.50", D(2011, 12, 31), "1234.50"),
        Row("7", "1/2/2011 12:00 AM", "($20.00)", D(2011, 1, 2), "-20.00"),
        Row("8", "3/4/2011", "$5", D(2011, 3, 4), "5"),
    ]
    log = read(write(tmp_path / "a.csv", rows))
    reconcile(log, rows)
    assert log.at[0] == np.datetime64("2011-12-31T23:59")
    assert log.at[1] == np.datetime64("2011-01-02T00:00")
    assert not any("day first" in note for note in log.provenance.notes)


def test_a_column_that_proves_day_first_is_read_day_first(tmp_path):
    rows = [
        Row("7", "31/12/2011", "1", D(2011, 12, 31), "1"),
        Row("7", "03/04/2011", "2", D(2011, 4, 3), "2"),
        Row("7", "5-6-2011", "4", D(2011, 6, 5), "4"),
    ]
    reconcile(read(write(tmp_path / "a.csv", rows)), rows)


def test_a_column_that_proves_both_orders_sets_the_doubtful_dates_aside(tmp_path):
    rows = [
        Row("7", "31/12/2011", "1.10", D(2011, 12, 31), "1.10"),
        Row("7", "12/31/2011", "2.20", D(2011, 12, 31), "2.20"),
        Row("7", "03/04/2011", "4.40", None, "4.40", "ambiguous date"),
        Row("7", "05/05/2011", "8.80", D(2011, 5, 5), "8.80"),
        Row("7", "2011-03-04", "16.60", D(2011, 3, 4), "16.60"),
    ]
    path = write(tmp_path / "a.csv", rows)
    reconcile(read(path), rows)
    for day_first, day in ((True, D(2011, 4, 3)), (False, D(2011, 3, 4))):
        told = [*rows[:2], Row("7", "03/04/2011", "4.40", day, "4.40"), *rows[3:]]
        log = read(path, day_first=day_first)
        reconcile(log, told)
        assert log.quality.notes["dates in the other order than most, read by their own proof"] == 1


def test_dates_that_prove_nothing_are_read_day_first_and_that_is_said_loudly(tmp_path):
    rows = [
        Row("7", "03/04/2011", "1", D(2011, 4, 3), "1"),
        Row("7", "05/04/2011", "1", D(2011, 4, 5), "1"),
    ]
    log = read(write(tmp_path / "a.csv", rows))
    reconcile(log, rows)
    assert log.quality.notes["dates whose order nothing proves, read day first"] == 2
    assert any("read day first" in note for note in log.provenance.notes)


def test_many_ways_to_write_one_day(tmp_path):
    ways = [
        "2011-12-05", "2011/12/05", "2011.12.05", "20111205", "5.12.2011", "05.12.11", "5 Dec 2011", "05-Dec-11",
        "5. Dezember 2011", "5 déc 2011", "5 dic 2011", "December 5, 2011", "2011-12-05T10:20", "2011-12-05 10:20:30",
        "2011-12-05T10:20:30.123456", "2011-12-05T10:20:30Z", "2011-12-05 10:20:30+02:00", "5.12.2011, 10:20",
        "2011-12-05 10:20 am",
    ]  # fmt: skip
    rows = [Row("7", way, "1.01", D(2011, 12, 5), "1.01") for way in ways]
    log = read(write(tmp_path / "a.csv", rows))
    reconcile(log, rows)
    assert log.quality.notes["dates with a time offset, kept as the wall clock written"] == 2


def test_impossible_and_missing_dates(tmp_path):
    bad = [
        "31/02/2011",
        "2011-13-01",
        "1899-12-31",
        "2101-01-01",
        "yesterday",
        "2011-01-01 25:00",
        "00/00/0000",
        "40905",
    ]
    rows = [Row("7", "2011-01-01", "0.10", D(2011, 1, 1), "0.10")]
    rows += [Row("7", text, "1.01", None, "1.01", "impossible date") for text in bad]
    rows += [Row("7", text, "2.02", None, "2.02", "missing date") for text in ("", "  ", "NaN", "null", "N/A")]
    reconcile(read(write(tmp_path / "a.csv", rows)), rows)


def test_the_many_words_for_no_customer(tmp_path):
    rows = [Row("7", "2011-01-01", "0.10", D(2011, 1, 1), "0.10")]
    rows += [
        Row(text, "2011-01-01", f"{i}.33", None, f"{i}.33", "missing customer")
        for i, text in enumerate(["", " ", "nan", "NaN", "None", "NULL", "n/a", "\u00a0"])
    ]
    reconcile(read(write(tmp_path / "a.csv", rows)), rows)


def test_numbers_as_people_write_them(tmp_path):
    ways = {
        "1,234.50": "1234.50", "1,234,567": "1234567", "1 234.50": "1234.50", "1\u00a0234.5": "1234.5",
        "1'234.50": "1234.50", "1’234": "1234", "12.50-": "-12.50", "(12.50)": "-12.50", "-12.50": "-12.50",
        "\u221212.5": "-12.5", "+3": "3", "€ 5.00": "5.00", "5.00 €": "5.00", "1.5e3": "1500", "2E-2": "0.02",
        ".5": "0.5", "7.": "7", "0": "0", "-0.00": "0", "1,234": "1234", "0.0000015": "0.000002",
    }  # fmt: skip
    rows = [Row("7", "2011-01-01", way, D(2011, 1, 1), money) for way, money in ways.items()]
    log = read(write(tmp_path / "a.csv", rows, delimiter=";"))
    reconcile(log, rows)
    assert log.quality.notes["amounts with more than six decimals, rounded to six (Amount)"] == 1


def test_unreadable_and_absurd_amounts(tmp_path):
    rows = [Row("7", "2011-01-01", "0.10", D(2011, 1, 1), "0.10")]
    no_number = ["", "free", "12%", "1.2.3", "1,23,4.5", "nan", "--5", "1e", "12 34", "0x1F", "5 apples"]
    rows += [Row("7", "2011-01-01", text, None, None, "unreadable amount") for text in no_number]
    rows += [Row("7", "2011-01-01", text, None, text, "absurd amount") for text in ("1000000000.01", "-2000000000")]
    rows += [Row("7", "2011-01-01", text, None, None, "absurd amount") for text in ("1e300", "-9e9999", "1" + "0" * 30)]
    rows += [Row("7", "2011-01-01", "1000000000", D(2011, 1, 1), "1000000000")]
    reconcile(read(write(tmp_path / "a.csv", rows)), rows)


def test_a_column_that_proves_decimal_dot_and_decimal_comma_sets_the_doubtful_aside(tmp_path):
    rows = [
        Row("7", "2011-01-01", "1,5", D(2011, 1, 1), "1.5"),
        Row("7", "2011-01-01", "2.5", D(2011, 1, 1), "2.5"),
        Row("7", "2011-01-01", "1.234", None, None, "unreadable amount"),
        Row("7", "2011-01-01", "1.234,5", D(2011, 1, 1), "1234.5"),
    ]
    reconcile(read(write(tmp_path / "a.csv", rows, delimiter=";")), rows)


def test_rows_with_too_few_or_too_many_cells_and_cells_of_many_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "Customer,Date,Amount,Note\n"
        '7,2011-01-01,1.10,"two\nlines"\n'  # lines 2 and 3
        "7,2011-01-02,2.20\n"  # 4: short
        "\n"  # 5: blank, no row
        "7,2011-01-03,4.40,x,y\n"  # 6: long
        "7,2011-01-04,8.80,x,,\n"  # 7: delimiters too many, no cell
        ",2011-01-05,16.16,x\n"  # 8
    )
    log = read(path)
    quality = log.quality
    assert quality.reconciles
    assert (quality.rows_in, quality.rows_kept) == (5, 2)
    assert quality.money_in == Decimal("1.10") + Decimal("8.80") + Decimal("16.16")
    assert quality.set_aside["wrong number of cells"] == (2, 0, 2)
    assert quality.rows_set_aside().line.tolist() == [4, 6, 8]
    assert quality.rows_set_aside("missing customer")["column"].tolist() == ["Customer"]
    assert log.line.tolist() == [2, 7]
    assert quality.notes["rows read as spanning several lines, because of a quote"] == 1


def test_exact_duplicates_are_counted_and_dropped_only_when_told_or_proved(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "Line,Customer,Date,Amount\n1,7,2011-01-01,1.10\n1,7,2011-01-01,1.10\n2,7,2011-01-01,2.20\n"
        ",8,2011-01-01,4.40\n,8,2011-01-01,4.40\n2,9,2011-01-01,8.80\n"
    )
    kept = read(path)
    assert kept.quality.notes["rows that repeat an earlier one in every cell, kept"] == 2
    assert kept.revenue.total() == Decimal("22.00")
    dropped = read(path, duplicates="drop")
    assert dropped.quality.set_aside["exact duplicate"] == (2, Decimal("5.50"), 0)
    assert dropped.quality.rows_set_aside().line.tolist() == [3, 6]
    proved = read(path, line_id="Line")
    assert proved.quality.set_aside["exact duplicate"] == (1, Decimal("1.10"), 0)
    assert proved.quality.notes["rows that repeat an earlier one in every cell, kept"] == 1
    assert proved.quality.notes["line ids that stand on different rows"] == 1
    assert all(log.quality.reconciles for log in (kept, dropped, proved))


def test_quantity_times_price_is_exact_and_zero_prices_and_returns_are_kept(tmp_path):
    lines = [("3", "0.001"), ("74215", "1.04"), ("-74215", "1.04"), ("1", "0"), ("2", "-11062.06"), ("0.333", "1.2345")]
    path = tmp_path / "a.csv"
    path.write_text("c,d,q,p\n" + "".join(f"7,2011-01-01,{q},{p}\n" for q, p in lines))
    log = read_transactions(path, customer="c", at="d", quantity="q", unit_price="p")
    # 0.333 * 1.2345 = 0.4110885 is the only product with more than six decimals: half even gives 0.411088
    exact = [Decimal(q) * Decimal(p) for q, p in lines[:-1]] + [Decimal("0.411088")]
    assert [log.revenue.exact(i) for i in range(len(log))] == exact
    assert log.quality.money_in == sum(exact)
    assert log.quality.notes["amounts with more than six decimals, rounded to six"] == 1
    assert log.quality.notes["lines of no money (price or quantity zero)"] == 1
    assert log.is_return.tolist() == [False, False, True, False, True, False]
    assert log.is_cancelled.tolist() == [False, True, True, False, False, False]


def test_one_column_tells_how_the_other_writes_its_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("c;d;q;p\n7;2011-01-01;1.000;2,50\n")
    log = read_transactions(path, customer="c", at="d", quantity="q", unit_price="p")
    assert log.revenue.total() == Decimal("2500")


@pytest.mark.parametrize("number", [1.234, Decimal("1.234"), Decimal("1.2340")])
def test_a_number_among_texts_is_the_number_that_it_is(number):
    """A spreadsheet's column may hold numbers and texts; a text with a decimal comma says nothing about a number."""
    frame = pandas.DataFrame({"Customer": ["7", "8"], "Date": ["2011-01-01", "2011-01-02"], "Amount": ["1,50", number]})
    log = read(frame)
    assert log.revenue.total() == Decimal("2.734")


def test_exact_decimals_are_not_read_by_how_other_columns_write_theirs():
    prices = polars.Series([Decimal("1.234"), Decimal("2.500")], dtype=polars.Decimal(12, 3))
    frame = polars.DataFrame({"c": ["7", "8"], "d": ["2011-01-01", "2011-01-02"], "n": ["1,5", "2,0"], "p": prices})
    log = read_transactions(frame, customer="c", at="d", quantity="n", unit_price="p")
    assert log.revenue.total() == Decimal("1.5") * Decimal("1.234") + 2 * Decimal("2.5")


def test_ids_that_are_too_long_are_set_aside(tmp_path):
    rows = [
        Row("x" * 200, "2011-01-01", "1.10", D(2011, 1, 1), "1.10"),
        Row("x" * 201, "2011-01-01", "2.20", None, "2.20", "id too long"),
    ]
    reconcile(read(write(tmp_path / "a.csv", rows)), rows)


def test_ids_written_as_floats_are_the_ids_that_they_were(tmp_path):
    rows = [
        Row("17850.0", "2011-01-01", "1", D(2011, 1, 1), "1"),
        Row("", "2011-01-01", "1", None, "1", "missing customer"),
    ]
    path = write(tmp_path / "a.csv", rows)
    assert read(path).customers.labels.tolist() == ["17850"]
    path = write(tmp_path / "b.csv", [*rows, Row("007", "2011-01-01", "1", D(2011, 1, 1), "1")])
    assert read(path).customers.labels.tolist() == ["007", "17850.0"]


def test_lines_without_an_order_number_are_grouped_by_their_time_stamp(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "c,d,r,o\n7,2011-01-01 10:00,1,A\n7,2011-01-01 11:00,1,\n7,2011-01-01 11:00,1,\n"
        "7,2011-01-01 12:00,1,A\n7,2011-01-02,1,\n"
    )
    log = read_transactions(path, customer="c", at="d", revenue="r", order="o")
    (
        first,
        *_,
    ) = log.occasions().tolist()
    assert len(set(log.occasions().tolist())) == 3
    assert log.occasions()[3] == first
    assert log.quality.notes["lines without an order number, grouped by customer and time stamp"] == 3


def test_margin_from_a_column_a_rate_or_the_cost_of_goods(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("c,d,r,m,k\n7,2011-01-01,10.00,4.00,6.00\n7,2011-02-01,-10.00,-4.00,6.00\n7,2011-03-01,0,-1,1\n")
    named = {"customer": "c", "at": "d", "revenue": "r"}
    exact = [Decimal("4"), Decimal("-4"), Decimal("-1")]
    by_column = read_transactions(path, margin="m", **named)
    by_cost = read_transactions(path, cost="k", **named)
    by_rate = read_transactions(path, margin=0.4, **named)
    none = read_transactions(path, **named)
    assert [by_column.margin.exact(i) for i in range(3)] == exact
    assert [by_cost.margin.exact(i) for i in range(3)] == exact
    assert by_cost.quality.notes["returns whose cost of goods is taken to come back"] == 1
    assert by_rate.margin.total() == 0
    assert by_rate.margin.exact(0) == Decimal("4")
    assert none.margin.total() == none.revenue.total()
    assert any("margin is taken to be revenue" in note for note in none.provenance.notes)
    assert not any("margin is taken" in note for note in by_cost.provenance.notes)


def test_all_kinds_of_mess_at_once_reconcile_to_the_cent(tmp_path):
    rng = np.random.default_rng(11)
    rows = []
    for i in range(2000):
        cents = int(rng.integers(-5000, 500_000))
        money = str(Decimal(cents).scaleb(-2))
        day = D(2011, 1, 1) + dt.timedelta(days=int(rng.integers(0, 365)))
        ways = [day.isoformat(), day.strftime("%d.%m.%Y"), day.strftime("%Y%m%d"), day.strftime("%d %b %Y")]
        plain, whole = Row(f"c{i % 90}", ways[i % 4], money, day, money), f"{abs(cents) / 100:,.2f}"
        written = [money, whole + ("-" if cents < 0 else ""), f"({whole})" if cents < 0 else f"{whole} €"][i % 3]
        fate = rng.random()
        row = Row(plain.who, plain.written_at, written, day, money)
        if fate < 0.05:
            row = Row("n/a", plain.written_at, written, None, money, "missing customer")
        elif fate < 0.10:
            row = Row(plain.who, "30.02.2011", written, None, money, "impossible date")
        elif fate < 0.15:
            row = Row(plain.who, plain.written_at, "gratis", None, None, "unreadable amount")
        rows.append(row)
    log = read(write(tmp_path / "all.csv", rows, delimiter="|", end="\r\n", encoding="utf-8-sig"))
    reconcile(log, rows)


def test_a_file_of_which_nothing_can_be_kept_is_one_error_that_counts_why(tmp_path):
    rows = [Row("", "2011-01-01", "1", None, "1"), Row("7", "2011-02-31", "1", None, "1"), Row("", "2011-01-01", "1")]
    with pytest.raises(
        ReadError, match=r"none of its 3 rows can be kept: missing customer \(2\), impossible date \(1\)"
    ):
        read(write(tmp_path / "a.csv", rows))


def test_an_excel_hint_line_names_the_delimiter(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("sep=;\nCustomer;Date;Amount\n7;2011-01-01;1,5\n;2011-01-01;1,5\n")
    log = read(path)
    assert log.revenue.total() == Decimal("1.5")
    assert log.line.tolist() == [3]
    assert log.quality.rows_set_aside().line.tolist() == [4]


def test_the_same_file_gives_the_same_account_and_fingerprint(tmp_path):
    rows = [Row("7", "2011-01-01", "1.10", D(2011, 1, 1), "1.10"), Row("", "", "2", None, "2")]
    path = write(tmp_path / "a.csv", rows)
    one, two = read(path), read(path)
    assert one.quality == two.quality
    assert one.provenance == two.provenance
    assert one.provenance.data == one.fingerprint()


def test_times_with_an_offset_become_the_shops_wall_clock_when_it_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("c,d,r\n7,2011-06-01T23:30:00Z,1\n7,2011-12-01 23:30:00-05:00,1\n7,2011-06-01 08:00,1\n")
    log = read_transactions(path, customer="c", at="d", revenue="r", time_zone="Europe/Berlin")
    assert log.at.astype(str).tolist() == ["2011-06-02T01:30:00", "2011-12-02T05:30:00", "2011-06-01T08:00:00"]


def test_a_row_with_several_faults_is_set_aside_once_for_the_first_of_them(tmp_path):
    rows = [
        Row("7", "2011-01-01", "1.10", D(2011, 1, 1), "1.10"),
        Row("", "31.02.2011", "2.20", None, "2.20", "missing customer"),
        Row("null", "", "free", None, None, "missing customer"),
        Row("x" * 201, "31.02.2011", "5000000000", None, "5000000000", "id too long"),
        Row("7", "31.02.2011", "gratis", None, None, "impossible date"),
    ]
    reconcile(read(write(tmp_path / "a.csv", rows)), rows)


def test_one_line_that_outweighs_the_file_is_pointed_at(tmp_path):
    """A slip of the finger below max_amount is kept, for it may be true, but nobody can miss it."""
    path = tmp_path / "a.csv"
    rows = [f"{who},2011-01-{day:02},12.50\n" for who in "abc" for day in range(1, 11)]
    path.write_text("customer,date,amount\n" + "".join(rows))
    roles = {"customer": "customer", "at": "date", "revenue": "amount", "margin": 0.5}
    assert not any("alone holds" in note for note in read_transactions(path, **roles).provenance.notes)
    path.write_text("customer,date,amount\n" + "".join(rows) + "a,2011-02-01,9999999.99\n")
    log = read_transactions(path, **roles)
    assert [note for note in log.provenance.notes if note.startswith("line 32 alone holds 100%")]
    assert log.quality.rows_kept == 31
