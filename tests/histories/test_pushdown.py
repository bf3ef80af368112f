"""One definition of the summary, run by whatever engine holds the transactions: the same numbers everywhere."""

import contextlib
import datetime as dt
import decimal
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retention.errors import ColumnError, ConfigError, ModelError, ReadError, RetentionError
from retention.frames.lazy import open_lazy
from retention.histories import Histories, summarize
from retention.histories.pushdown import summarize_scan
from retention.records import read_transactions
from retention.records.scan import scan_transactions
from retention.timing import LogT, anticipate
from retention.value import BGCNBD, BGNBD, MBGCNBD, ParetoGGG, appraise

AS_OF = dt.date(2011, 2, 20)
COLUMNS = {"customer": "who", "at": "at", "revenue": "sum"}


def in_duckdb(table):
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    with contextlib.suppress(duckdb.Error):  # the zone of another continent must not move a day
        connection.execute("SET TimeZone = 'America/New_York'")
    return connection.from_arrow(table)


def in_ibis(table):
    return pytest.importorskip("ibis").memtable(table)


def in_dask(table):
    dask = pytest.importorskip("dask.dataframe")
    return dask.from_pandas(table.to_pandas(date_as_object=False), npartitions=3)


def in_spark(table):
    session = spark()
    path = Path(tempfile.mkdtemp(), "receipts.parquet")
    pl.from_arrow(table).write_parquet(path)
    return session.read.parquet(str(path))


def spark():
    pyspark = pytest.importorskip("pyspark.sql")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = pyspark.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "4").config("spark.log.level", "ERROR")
    builder = builder.config("spark.sql.session.timeZone", "America/New_York")
    return builder.config("spark.sql.execution.arrow.pyspark.enabled", "true").getOrCreate()


ENGINES = {
    "pandas": lambda table: table.to_pandas(),
    "polars": pl.from_arrow,
    "polars lazy": lambda table: pl.from_arrow(table).lazy(),
    "pyarrow": lambda table: table,
    "duckdb": in_duckdb,
    "ibis": in_ibis,
    "dask": in_dask,
    "pyspark": in_spark,
}
QUICK = ["pandas", "polars lazy", "pyarrow", "duckdb"]
engines = pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("pyspark", "dask"))) for name in ENGINES]
)


def same(ours, truth):
    for name, expected in truth.columns().items():
        values = ours.columns()[name]
        assert values.shape == expected.shape, name
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-9, err_msg=name)
        else:
            assert np.array_equal(values, expected), name


def rows_of(seed, n=3_000, customers=150):
    """Typed but awkward: a third are returns, of the same few amounts, so that many orders are undone."""
    rng = np.random.default_rng(seed)
    at = np.datetime64("2010-03-01T00:00") + rng.integers(0, 400 * 1440, n).astype("timedelta64[m]")
    return pl.DataFrame(
        {
            "who": rng.integers(1, customers, n),
            "at": at.astype("datetime64[us]"),
            "sum": rng.integers(1, 7, n) * np.where(rng.random(n) < 0.3, -1.25, 1.25),
            "order": np.where(rng.random(n) < 0.1, None, rng.integers(0, 2_000, n).astype(object)).tolist(),
        },
        schema_overrides={"order": pl.Int64},
    )


@engines
@pytest.mark.parametrize("named", [{}, {"order": "order"}], ids=["by time stamp", "by order"])
def test_every_engine_says_what_the_log_says(engine, named):
    frame = rows_of(1)
    log = read_transactions(frame, **COLUMNS, **named, margin=0.25)
    assert log.is_cancelled.sum() > 20
    truth = summarize(log, as_of=AS_OF)
    scan = scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS, **named, margin=0.25)
    ours = summarize_scan(scan, as_of=AS_OF)
    same(ours.collect(), truth)
    _, weight = ours.cells()
    assert weight.sum() == len(truth)


@engines
def test_the_day_is_that_of_the_shop_wherever_the_engine_thinks_it_is(engine):
    """Instants around the nights when London's clocks change, and around each midnight."""
    hours = pl.datetime_range(dt.datetime(2010, 3, 26), dt.datetime(2010, 4, 2), "37m", eager=True, time_zone="UTC")
    frame = pl.DataFrame({"who": [str(k % 7) for k in range(len(hours))], "at": hours, "sum": [1.0] * len(hours)})
    zone = {"time_zone": "Europe/London"}
    truth = summarize(read_transactions(frame, **COLUMNS, **zone), as_of="2010-04-01")
    scan = scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS, **zone)
    same(summarize_scan(scan, as_of=dt.date(2010, 4, 1)).collect(), truth)


rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", " b ", "", None]),
        st.none() | st.integers(0, 20 * 24),
        st.none() | st.sampled_from([5.0, -5.0, 2.5, -2.5, 0.0, 0.1, float("nan"), float("inf"), 2e9]),
    ),
    max_size=40,
)


@pytest.mark.parametrize("engine", QUICK)
@settings(max_examples=25)
@given(rows=rows)
def test_whatever_is_missing_or_absurd_is_set_aside_by_reason_in_every_engine(engine, rows):
    for values in zip(*rows, strict=True) if rows else [[None]]:
        assume(any(value is not None for value in values))  # a frame of pandas would not say of what type they are
    start = dt.datetime(2011, 1, 1)
    frame = pl.DataFrame(
        {
            "who": [who for who, _, _ in rows],
            "at": [None if hour is None else start + dt.timedelta(hours=hour) for _, hour, _ in rows],
            "sum": [money for _, _, money in rows],
        },
        schema={"who": pl.String, "at": pl.Datetime("us"), "sum": pl.Float64},
    )
    scan = scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS)
    quality = scan.quality
    assert quality.rows_in == len(rows)
    base = summarize_scan(scan, as_of=AS_OF).collect()
    if not quality.rows_kept:
        assert len(base) == 0
        return
    log = read_transactions(frame, **COLUMNS)
    assert quality.rows_kept == log.quality.rows_kept
    same(base, summarize(log, as_of=AS_OF))


@engines
def test_decimals_and_whole_numbers_are_money_too(engine):
    frame = pl.DataFrame(
        {
            "who": [1, 1, 2, 2],
            "at": [dt.date(2011, 1, d) for d in (3, 9, 4, 5)],
            "sum": [
                decimal.Decimal("0.10"),
                decimal.Decimal("0.20"),
                decimal.Decimal("7.77"),
                decimal.Decimal("-7.07"),
            ],
            "pieces": [1, 2, 3, -1],
            "each": [5, 4, 3, 2],
        }
    )
    if engine == "dask":  # of pandas' types it knows those of numpy
        frame = frame.with_columns(pl.col("sum").cast(pl.Float64))
    table = frame.to_arrow()
    for money in ({"revenue": "sum"}, {"quantity": "pieces", "unit_price": "each"}):
        named = {"customer": "who", "at": "at", **money}
        truth = summarize(read_transactions(frame, **named), as_of=AS_OF)
        scan = scan_transactions(ENGINES[engine](table), **named)
        same(summarize_scan(scan, as_of=AS_OF).collect(), truth)


@pytest.mark.parametrize("engine", ["duckdb", "polars lazy"])
def test_a_fit_to_cells_is_the_fit_to_the_rows(engine):
    frame = rows_of(5, n=6_000, customers=900).with_columns(sum=pl.col("sum").abs())
    scan = summarize_scan(scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS), as_of=AS_OF)
    cells, weight = scan.cells()
    whole = BGNBD().fit_purchases(scan.collect())
    few = BGNBD().fit_purchases(cells, weight.astype(np.float64))
    assert len(cells) < len(scan.collect())
    for name, value in whole.params.items():
        assert few.params[name] == pytest.approx(value, rel=1e-6)
    assert few.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-9 * len(scan.collect()))


def test_cells_are_refused_by_whatever_reads_gaps():
    frame = rows_of(5, n=600, customers=100).with_columns(sum=pl.col("sum").abs())
    scan = summarize_scan(scan_transactions(frame.lazy(), **COLUMNS), as_of=AS_OF)
    cells, weight = scan.cells()
    for asks in (ParetoGGG().fit_purchases, ParetoGGG().fit, BGCNBD().fit, MBGCNBD().fit):
        with pytest.raises(ModelError, match="the logs of their gaps"):
            asks(cells, weight)
    with pytest.raises(RetentionError, match="no log gaps"):
        LogT().fit(cells)
    assert BGCNBD(k=2).fit_purchases(cells, weight).params  # a k that is given needs no gaps
    few = scan.collect().take(slice(0, 20))
    assert ParetoGGG().fit_purchases(few).params
    daily = Histories.from_arrays(frequency=[3, 2, 0], recency_days=[3, 2, 0], age_days=[9, 40, 40])
    assert ParetoGGG().fit_purchases(daily).params  # gaps of one day each, whose logs are known to be 0


def test_histories_in_an_engine_say_how_they_come_into_memory():
    base = summarize_scan(scan_transactions(rows_of(1).lazy(), **COLUMNS), as_of=AS_OF)
    worth = partial(appraise, model="bg-nbd")
    for ask in (worth, anticipate, BGNBD().fit, BGNBD().fit_purchases, lambda base: base.frequency, len):
        with pytest.raises(ConfigError, match=r"histories\.collect\(\)"):
            ask(base)
    with pytest.raises(AttributeError, match="no 'spelling'"):
        _ = base.spelling
    assert base


@engines
def test_more_money_than_can_be_summed_is_an_error_and_never_another_sum(engine):
    start = dt.datetime(2010, 3, 1)
    frame = pl.DataFrame(
        {
            "who": ["rich"] * 12_000 + ["poor"] * 2,
            "at": [start + dt.timedelta(hours=k // 50) for k in range(12_002)],
            "sum": [9e8] * 12_000 + [1.000001] * 2,
        }
    )
    error: type[Exception] = ReadError
    if engine == "pyspark":  # whose own sums refuse, unless it is told to let them wrap around
        error = pytest.importorskip("pyspark.errors").ArithmeticException
    with pytest.raises(error, match=r"beyond what exact money can hold|can be summed exactly|OVERFLOW"):
        summarize_scan(scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS), as_of=AS_OF).collect()
    fewer = frame[10_000:]
    ours = summarize_scan(scan_transactions(ENGINES[engine](fewer.to_arrow()), **COLUMNS), as_of=AS_OF).collect()
    assert ours.revenue.tolist() == [2.000002, 1.8e12]


@pytest.mark.parametrize("engine", QUICK)
def test_a_moment_of_the_last_day_is_the_whole_day(engine):
    frame = pl.DataFrame(
        {"who": ["a"] * 3, "at": [dt.datetime(2011, 2, d, 12, 30) for d in (1, 9, 10)], "sum": [1.0] * 3}
    )
    scan = scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS)
    for as_of in (dt.datetime(2011, 2, 9, 6), "2011-02-09", np.datetime64("2011-02-09T06")):
        found = summarize_scan(scan, as_of=as_of)
        assert found.as_of == dt.date(2011, 2, 9)
        assert type(found.as_of) is dt.date
        same(found.collect(), summarize(read_transactions(frame, **COLUMNS), as_of="2011-02-09"))


def test_files_folders_and_patterns_are_opened_by_the_embedded_engine(tmp_path):
    pytest.importorskip("duckdb")
    frame = rows_of(2)
    truth = summarize(read_transactions(frame, **COLUMNS), as_of=AS_OF)
    half = len(frame) // 2
    folder = tmp_path / "sales"
    (folder / "2010").mkdir(parents=True)
    frame[:half].write_parquet(folder / "a.parquet")
    frame[half:].write_parquet(folder / "2010" / "b.parquet")
    frame.write_csv(tmp_path / "all.csv")
    for path in (folder, f"{folder}/**/*.parquet", tmp_path / "all.csv"):
        same(summarize_scan(scan_transactions(path, **COLUMNS), as_of=AS_OF).collect(), truth)


def test_what_cannot_be_scanned_is_said_in_one_clear_error(tmp_path):
    good = pl.DataFrame({"who": ["a"], "at": [dt.date(2011, 1, 1)], "sum": [1.0]})
    for frame, rule in (
        (good.with_columns(who=pl.lit(1.5)), "text or whole numbers"),
        (good.with_columns(at=pl.lit("2011-01-01")), "dates or time stamps by type"),
        (good.with_columns(sum=pl.lit("1,00")), "numbers by type"),
        (good.with_columns(at=pl.lit(dt.datetime(2011, 1, 1)).dt.replace_time_zone("UTC")), "where the shop is"),
        (good.drop("sum"), "columns"),
    ):
        with pytest.raises(ColumnError, match=rule):
            scan_transactions(frame.lazy(), **COLUMNS)
    for wrong in ({"margin": 2.0}, {"time_zone": "Europe/Londn"}, {"quantity": "q", "unit_price": "p"}):
        with pytest.raises(ConfigError):
            scan_transactions(good.lazy(), **COLUMNS, **wrong)
    for nothing in (tmp_path / "absent", tmp_path, str(tmp_path / "*.parquet"), 7):
        with pytest.raises(ReadError):
            open_lazy(nothing)
    (tmp_path / "a.parquet").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(ReadError, match="all Parquet or all CSV"):
        open_lazy(tmp_path)
