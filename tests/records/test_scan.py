"""What a scan keeps of a row is what a log in memory keeps of it: ids, orders, amounts, returns."""

import contextlib
import datetime as dt
import os
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest

from retention.errors import ConfigError
from retention.histories import summarize
from retention.histories.pushdown import summarize_scan
from retention.records import read_transactions
from retention.records.scan import scan_transactions

NAMED = {"customer": "who", "at": "at", "revenue": "sum"}
AS_OF = dt.date(2011, 6, 30)


def in_duckdb(frame):
    return pytest.importorskip("duckdb").connect().from_arrow(frame.to_arrow())


def in_ibis(frame):
    return pytest.importorskip("ibis").memtable(frame.to_arrow())


def in_dask(frame):
    return pytest.importorskip("dask.dataframe").from_pandas(frame.to_pandas(), npartitions=2)


def in_spark(frame):
    pyspark = pytest.importorskip("pyspark.sql")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = pyspark.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "4").config("spark.log.level", "ERROR")
    session = builder.config("spark.sql.session.timeZone", "America/New_York").getOrCreate()
    path = Path(tempfile.mkdtemp(), "receipts.parquet")
    frame.write_parquet(path)
    return session.read.parquet(str(path))


ENGINES = {
    "polars": lambda frame: frame.lazy(),
    "pandas": lambda frame: frame.to_pandas(),
    "duckdb": in_duckdb,
    "ibis": in_ibis,
    "dask": in_dask,
    "pyspark": in_spark,
}
engines = pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("pyspark", "dask"))) for name in ENGINES]
)


def moment(day, hour=9, second=0, micro=0):
    return dt.datetime(2011, 1, day, hour, 0, second, micro)


def table(who, at, money=None, **others):
    money = [5.0 + k for k in range(len(at))] if money is None else money
    frame = pl.DataFrame({"who": who, "at": at, "sum": money, **others}, strict=False)
    return frame.with_columns(pl.col("at").cast(pl.Datetime("us")))


def both(engine, frame, **options):
    """The base by way of a log, and by way of a scan."""
    log = summarize(read_transactions(frame, **NAMED, **options), as_of=AS_OF)
    scan = scan_transactions(ENGINES[engine](frame), **NAMED, **options)
    return log, summarize_scan(scan, as_of=AS_OF).collect()


def same(ours, truth):
    assert ours.customer_id.tolist() == truth.customer_id.tolist()
    for name in ("frequency", "recency_days", "orders", "revenue", "margin", "returns", "margin_mean"):
        assert ours[name] == pytest.approx(truth[name], rel=1e-12, abs=1e-12), name


@engines
def test_words_for_nothing_are_nobody_whatever_the_engine(engine):
    words = [
        "NULL",
        "null",
        "nan",
        "NaN",
        "None",
        "N/A",
        "#n/a",
        "NaT",
        "<NA>",
        " null ",
        "",
        "\u00a0",
        None,
        "-",
        "nano",
    ]
    frame = table(words, [moment(1 + k) for k in range(len(words))])
    truth, ours = both(engine, frame)
    same(ours, truth)
    assert ours.customer_id.tolist() == ["-", "nano"]


@engines
def test_an_id_loses_the_same_blanks_in_every_engine(engine):
    """Blanks without a break and marks of byte order are blanks; the wide one of Japanese is a letter like others."""
    ids = ["a", "a\u00a0", " a\t", "\ufeffa", "\u202fa\u2007\u2009", "a\r\n", "\u3000", "a b", "a\u00a0b"]
    truth, ours = both(engine, table(ids, [moment(1 + k) for k in range(len(ids))]))
    same(ours, truth)
    assert len(ours) == 4


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["", " b", "a", "null"])], ids=["categorical", "enum"])
@pytest.mark.parametrize("engine", ["polars", "pandas", "duckdb"])
def test_categories_are_ids_like_any_other_text(engine, dtype):
    frame = table(["a", "", " b", "null", "a"], [moment(1 + k) for k in range(5)])
    ours = both(engine, frame.with_columns(pl.col("who").cast(dtype)))[1]
    assert ours.customer_id.tolist() == ["a", "b"]


@engines
def test_order_numbers_are_cleaned_as_ids_are(engine):
    orders = ["2", "2 ", "\u00a02", "", " ", None, "null", "3"]
    stamps = [moment(3), moment(3), moment(3), moment(5), moment(7), moment(7), moment(7, 10), moment(8)]
    truth, ours = both(engine, table(["a"] * 8, stamps, order=orders), order="order")
    same(ours, truth)
    assert ours.orders.tolist() == [5]  # number 2, three moments without a number, number 3


@engines
def test_an_order_that_is_not_a_number_is_of_its_time_stamp(engine):
    """Whole numbers with holes are floats in some libraries, and NaN is not the number of an order."""
    frame = table(["a"] * 4, [moment(3), moment(3, 10), moment(4), moment(5)], order=[float("nan")] * 2 + [2.0, 2.0])
    truth, ours = both(engine, frame, order="order")
    same(ours, truth)
    assert ours.orders.tolist() == [3]


@engines
def test_rows_of_one_second_are_one_order(engine):
    at = [moment(3, micro=100_000), moment(3, micro=900_000), moment(3, second=1), moment(9)]
    before = [dt.datetime(1969, 12, 31, 23, 59, 59, 500_000), dt.datetime(1969, 12, 31, 23, 59, 59)]
    truth, ours = both(engine, table(["a"] * 4 + ["b"] * 2, at + before))
    same(ours, truth)
    assert ours.orders.tolist() == [3, 1]


@engines
def test_the_time_stamps_of_orders_are_the_shops(engine):
    """In New York, where the session of one engine is, the clock went from 2 to 3 in that night of March."""
    night = [dt.datetime(2011, 3, 13, hour, 30) for hour in (1, 2, 3, 4)]
    orders = [None, None, None, "7"]
    for options in ({}, {"order": "order"}):
        truth, ours = both(engine, table(["a"] * 4, night, order=orders), **options)
        same(ours, truth)
        assert ours.orders.tolist() == [4]


@engines
def test_a_row_is_a_return_if_what_it_takes_back_is_more_than_nothing(engine):
    """Less than half a millionth is nothing."""
    at = [moment(1), moment(5), moment(9), moment(12)]
    truth, ours = both(engine, table(["a"] * 4, at, [-1e-7, 0.5, 2.675, -1e-5]))
    same(ours, truth)
    assert ours.frequency.tolist() == [2]


@engines
def test_half_a_millionth_goes_to_the_even_one(engine):
    money = [0.1234565, 0.1234575, 0.5 / 2**20, 1e8 + 0.25, 2_000_000_000.5]
    frame = table(["a"] * 5, [moment(1 + k) for k in range(5)], money)
    truth, ours = both(engine, frame, max_amount=1e12)
    assert ours.revenue.tolist() == truth.revenue.tolist()


@engines
def test_cost_comes_back_with_goods_that_are_given_back_for_nothing(engine):
    frame = table(["a"] * 3, [moment(1), moment(5), moment(9)], [9.0, 8.0, 0.0], n=[1, 1, -1], cost=[4.0, 3.0, 3.0])
    same(*reversed(both(engine, frame, quantity="n", cost="cost")))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 0, -1, 1e14, "1e9", True, None])
def test_an_amount_that_is_absurd_is_a_number_up_to_a_million_million(wrong):
    frame = table(["a"], [moment(1)])
    for read in (read_transactions, scan_transactions):
        with pytest.raises(ConfigError, match="max_amount"):
            read(frame, **NAMED, max_amount=wrong)


@pytest.mark.parametrize("embedded", ["duckdb", "polars"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_bracket_in_the_name_of_a_file_is_a_bracket(tmp_path, monkeypatch, embedded, suffix):
    pytest.importorskip(embedded)
    monkeypatch.setattr("retention.frames.lazy._embedded", lambda what: embedded)
    named = ["sales[1]", "sales1", "sales*"]
    for name in named:
        frame = table([name], [moment(1)])
        path = tmp_path / f"{name}{suffix}"
        with contextlib.suppress(OSError):  # some systems have no such names
            frame.write_parquet(path) if suffix == ".parquet" else frame.write_csv(path)
    for name in named:
        path = tmp_path / f"{name}{suffix}"
        if path.exists():
            base = summarize_scan(scan_transactions(path, **NAMED), as_of=AS_OF).collect()
            assert base.customer_id.tolist() == [name]
