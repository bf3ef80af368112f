"""The audit of transactions that stay in their engine is that of the same receipts in memory, to the last digit."""

import contextlib
import datetime as dt
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError, ReadError
from retention.lenses import audit
from retention.records import read_transactions
from retention.records.scan import scan_transactions
from retention.records.touches import Touches

AS_OF = dt.date(2011, 2, 20)
COLUMNS = {"customer": "who", "at": "at", "revenue": "sum"}
LENSES = ("ledger", "levers", "coverage", "ranking", "concentration")


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
    pyspark = pytest.importorskip("pyspark.sql")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = pyspark.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "4").config("spark.log.level", "ERROR")
    builder = builder.config("spark.sql.session.timeZone", "America/New_York")
    session = builder.config("spark.sql.execution.arrow.pyspark.enabled", "true").getOrCreate()
    path = Path(tempfile.mkdtemp(), "receipts.parquet")
    pl.from_arrow(table).write_parquet(path)
    return session.read.parquet(str(path))


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
engines = pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("pyspark", "dask"))) for name in ENGINES]
)


def same(ours, truth):
    """Equal in everything but the fingerprint of the data, which a scan has not."""
    told, expected = ours.to_dict(), truth.to_dict()
    del told["provenance"]["data"], expected["provenance"]["data"]
    assert told == expected
    assert repr(ours) == repr(truth)
    assert ours._repr_html_() == truth._repr_html_()
    for name in LENSES:
        one, other = getattr(ours, name), getattr(truth, name)
        assert one.equals(other), name
        assert one.provenance.notes == other.provenance.notes
    assert ours.ledger.customers.equals(truth.ledger.customers)
    assert ours.ledger.flows == truth.ledger.flows
    assert np.array_equal(ours.concentration.curve, truth.concentration.curve)
    assert ours.ranking.overlap == truth.ranking.overlap


def awkward(seed, n=2_000, customers=80):
    """A third are returns, of the same few amounts, so that many orders are undone, some across a border; some
    customers leave, come, come back or only return; ids are in another order as numbers than as text; orders span
    days and borders."""
    rng = np.random.default_rng(seed)
    who = rng.integers(1, customers, n)
    windows = np.array([(0, 210), (0, 140), (145, 210), (150, 210), (0, 210), (90, 210)])[who % 6].T
    day = windows[0] + rng.random(n) * (windows[1] - windows[0])
    day = np.where((who % 6 == 3) & (rng.random(n) < 0.5), day / 3, day)  # who was away for a period
    back = (rng.random(n) < 0.3) | (who % 17 == 0)
    who[:2], day[:2], back[:2] = 1, (143.5, 144.5), (False, True)  # undone on the other side of a border of 60 days
    return pl.DataFrame(
        {
            "who": who,
            "at": (np.datetime64("2010-08-01T00:00") + (day * 1440).astype("timedelta64[m]")).astype("datetime64[us]"),
            "sum": np.r_[7, 7, rng.integers(1, 7, n - 2)] * np.where(back, -1.25, 1.25),
            "order": np.where(rng.random(n) < 0.1, None, rng.integers(0, 500, n).astype(object)).tolist(),
        },
        schema_overrides={"order": pl.Int64},
    )


def contacts():
    days = [AS_OF - dt.timedelta(days=back) for back in range(0, 400, 7)]
    return Touches.from_arrays(
        customer_id=[str(1 + 3 * k % 125) for k in range(len(days))],
        at=np.asarray(days, dtype="datetime64[D]"),
        channel=["phone"] * len(days),
        kind=["ask"] * len(days),
        direction=["in" if k % 3 else "out" for k in range(len(days))],
    )


@engines
@pytest.mark.parametrize("named", [{}, {"order": "order"}], ids=["by time stamp", "by order"])
def test_every_engine_audits_as_the_log_does(engine, named):
    frame = awkward(1)
    log = read_transactions(frame, **COLUMNS, **named, margin=0.25)
    told = {"as_of": AS_OF, "period_days": 60, "touches": contacts()}
    truth = audit(log, **told)
    assert log.is_cancelled.sum() > 20
    assert any("undone on the other side" in note for note in truth.notes)
    assert any("only returned goods" in note for note in truth.notes)
    moved = dict(zip(truth.ledger["movement"].tolist(), truth.ledger["count"].tolist(), strict=True))
    assert all(moved[name] for name in moved if name != "stable"), moved
    scan = scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS, **named, margin=0.25)
    ours = audit(scan, **told)
    same(ours, truth)
    assert (ours.provenance.data, truth.provenance.data) == (None, log.fingerprint())


@engines
def test_days_alone_and_names_with_blanks_will_do(engine):
    frame = awkward(2, n=400, customers=40).select(
        who=pl.format(" Ü{} ", pl.col("who")), at=pl.col("at").dt.date(), sum=pl.col("sum") / 1000
    )
    truth = audit(read_transactions(frame, **COLUMNS), as_of=AS_OF, period_days=60)
    assert truth.levers.to_dict()["opening"] not in (None, "0")
    scan = scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS)
    same(audit(scan, as_of=AS_OF, period_days=60), truth)


@st.composite
def receipts(draw):
    """Days crowd around the borders of two periods of 30 days; amounts are few, and some finer than cents."""
    rows = st.tuples(
        st.sampled_from([2, 10, 9, 100]),
        st.sampled_from([-2, 0, 1, 28, 29, 30, 31, 32, 59, 60, 61, 90]),
        st.sampled_from([0, 0, 6, 23]),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([5.0, -5.0, 5.0, -5.0, 2.5, 0.0, 0.125, 0.375, 1e-6]),
    )
    return draw(st.lists(rows, min_size=1, max_size=30))


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
@settings(max_examples=25)
@given(rows=receipts(), numbered=st.booleans(), margin=st.sampled_from([None, 0.1]))
def test_any_receipts_around_the_borders_are_counted_alike(engine, rows, numbered, margin):
    frame = pl.DataFrame(
        {
            "who": [row[0] for row in rows],
            "at": [dt.datetime(2011, 2, 20, row[2]) - dt.timedelta(days=row[1]) for row in rows],
            "sum": [row[4] for row in rows],
            "order": [row[3] for row in rows],
        },
        schema={"who": pl.Int64, "at": pl.Datetime("us"), "sum": pl.Float64, "order": pl.Int64},
    )
    told = COLUMNS | ({"order": "order"} if numbered else {}) | ({} if margin is None else {"margin": margin})
    truth = audit(read_transactions(frame, **told), as_of=AS_OF, period_days=30)
    same(audit(scan_transactions(ENGINES[engine](frame.to_arrow()), **told), as_of=AS_OF, period_days=30), truth)


@pytest.mark.parametrize("engine", ["pandas", "polars lazy", "pyarrow", "duckdb", "ibis"])
def test_nothing_known_is_an_audit_of_zeros(engine):
    frame = awkward(3, n=50)
    told = {"as_of": dt.date(2001, 1, 1), "touches": contacts()}
    truth = audit(read_transactions(frame, **COLUMNS), **told)
    same(audit(scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS), **told), truth)
    assert truth.ranking.customer_id.dtype.kind == "U"


def test_an_engine_that_sorts_as_a_dictionary_does_changes_nothing():
    duckdb = pytest.importorskip("duckdb")
    frame = awkward(7, n=300, customers=20).with_columns(
        who=pl.format("{}{}", pl.lit("aBcDeFgH").str.slice(pl.col("who") % 8, 1), pl.col("who"))
    )
    connection = duckdb.connect()
    connection.execute("SET default_collation = 'NOCASE'")
    scan = scan_transactions(connection.from_arrow(frame.to_arrow()), **COLUMNS)
    same(audit(scan, as_of=AS_OF), audit(read_transactions(frame, **COLUMNS), as_of=AS_OF))


def test_periods_may_reach_back_beyond_the_first_day_of_the_calendar():
    frame = awkward(4, n=200)
    told = {"as_of": AS_OF, "period_days": 500_000}
    truth = audit(read_transactions(frame, **COLUMNS), **told)
    ours = audit(scan_transactions(frame.lazy(), **COLUMNS), **told)
    assert ours.ledger.flows == truth.ledger.flows
    assert ours.notes == truth.notes


def test_a_million_small_sums_are_read_by_nobody(monkeypatch):
    """Of customers without an order that may be undone no row leaves the engine."""
    frame = awkward(5).with_columns(sum=pl.col("sum").abs())
    scan = scan_transactions(ENGINES["duckdb"](frame.to_arrow()), **COLUMNS)

    def read(*_):
        raise AssertionError("rows were read")

    for where in ("records.apart", "lenses._scanned", "records.scan"):
        monkeypatch.setattr(f"retention.{where}.log_of", read)
    assert len(audit(scan, as_of=AS_OF).ranking) == frame["who"].n_unique()


@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
def test_more_money_of_one_customer_than_is_exact_is_an_error(engine):
    start = dt.datetime(2010, 3, 1)
    at = [start + dt.timedelta(hours=k // 50) for k in range(12_000)]
    frame = pl.DataFrame({"who": ["rich"] * 12_000, "at": at, "sum": [9e8] * 12_000})
    with pytest.raises(ReadError, match="can be summed exactly"):
        audit(scan_transactions(ENGINES[engine](frame.to_arrow()), **COLUMNS), as_of=AS_OF)


def test_what_is_no_period_is_refused_before_anything_is_read():
    scan = scan_transactions(awkward(6).lazy(), **COLUMNS)
    with pytest.raises(ConfigError, match="whole number of days"):
        audit(scan, as_of=AS_OF, period_days=0)
