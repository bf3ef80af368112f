"""Scores worked out in batches, where the histories are, are those of the whole base in memory."""

import datetime as dt
import json
import os
import pickle
import sys
import tempfile
from pathlib import Path

import attrs
import numpy as np
import polars as pl
import pytest

from retention.errors import ColumnError, ConfigError, MissingExtraError, ModelError, ReadError, RetentionError
from retention.histories import Histories, summarize
from retention.histories.pushdown import summarize_scan
from retention.records import read_transactions
from retention.records.scan import scan_transactions
from retention.scoring import score
from retention.timing import LogT, anticipate
from retention.value import BGBB, BGNBD, MBGCNBD, FittedPurchases, GGompertzNBD, ParetoNBD

AS_OF = dt.date(2011, 2, 20)
NAMED = {"customer": "who", "at": "at", "revenue": "sum", "margin": 0.25}
ASKED = {"horizon_days": 200.0, "discount_rate": 0.08, "interval": 0.8}
PARETO = ParetoNBD().at(r=0.55, alpha=10.6, s=0.6, beta=11.7, p=6.25, q=3.74, v=15.44)


def receipts(seed=1, n=2_000, customers=150):
    """A third are returns, of the same few amounts, so that many customers are decided here and not in the engine."""
    rng = np.random.default_rng(seed)
    at = np.datetime64("2010-03-01") + rng.integers(0, 356, n).astype("timedelta64[D]")
    who = rng.integers(1, customers, n)
    back = (rng.random(n) < 0.3) & (who % 3 == 0)
    return pl.DataFrame({"who": who, "at": at, "sum": rng.integers(1, 7, n) * np.where(back, -1.25, 1.25)})


def in_duckdb(table):
    return pytest.importorskip("duckdb").connect().from_arrow(table)


def in_ibis(table):
    return pytest.importorskip("ibis").memtable(table)


def in_dask(table):
    dask = pytest.importorskip("dask.dataframe")
    return dask.from_pandas(table.to_pandas(date_as_object=False), npartitions=3)


def in_spark(table):
    sql = pytest.importorskip("pyspark.sql")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "4").config("spark.log.level", "ERROR")
    path = Path(tempfile.mkdtemp(), "table.parquet")
    pl.from_arrow(table).write_parquet(path)
    return builder.getOrCreate().read.parquet(str(path))


ENGINES = {
    "polars": lambda table: pl.from_arrow(table).lazy(),
    "duckdb": in_duckdb,
    "ibis": in_ibis,
    "dask": in_dask,
    "pyspark": in_spark,
}
engines = pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("pyspark", "dask"))) for name in ENGINES]
)


def same(scores, truth, *, rtol=0.0):
    """Equal columns, customers matched by id; with ``rtol`` numbers are that close."""
    truth = truth[np.argsort(truth.customer_id)]
    columns = scores.columns()
    assert list(columns) == list(truth.columns())
    for name, expected in truth.columns().items():
        if rtol and expected.dtype.kind == "f":
            np.testing.assert_allclose(columns[name], expected, rtol=rtol, atol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(columns[name], expected, err_msg=name)


def by_id(frame):
    """A collected frame as columns in order of the ids."""
    columns = {name: frame[name].to_numpy() for name in frame.columns}
    order = np.argsort(columns["customer_id"].astype(np.str_))
    return {name: values[order] for name, values in columns.items()}


@engines
def test_every_engine_gives_the_scores_of_the_base_in_memory(engine, tmp_path):
    """To the last bit: this model looks at one customer at a time. Some of the customers are held here."""
    frame = receipts()
    base = summarize(read_transactions(frame, **NAMED), as_of=AS_OF)
    truth = PARETO.value(base, **ASKED)
    if engine == "pyspark":  # half a minute for the summary: that it is equal is tested elsewhere
        histories = in_spark(pl.DataFrame(base).with_columns(pl.col("customer_id").cast(pl.Int64)).to_arrow())
    else:
        histories = summarize_scan(scan_transactions(ENGINES[engine](frame.to_arrow()), **NAMED), as_of=AS_OF)
        assert histories.local is None or len(histories.local) > 5
    scored = score(histories, PARETO, **ASKED, rows=40)
    whole = scored.collect()
    same(whole, truth)
    assert (whole.model, whole.horizon_days, whole.interval) == (truth.model, truth.horizon_days, truth.interval)
    assert whole.total_bounds is None  # of whom would it be
    lazy = scored.frame
    assert str(lazy.implementation).removeprefix("Implementation.").lower() == engine
    found = by_id(lazy.collect())
    for name, expected in whole.columns().items():
        np.testing.assert_array_equal(found[name].astype(expected.dtype), expected, err_msg=name)
    back = by_id(pl.read_parquet(scored.to_parquet(tmp_path / "scores")))
    np.testing.assert_array_equal(back["value"], whole.value)
    assert len(list((tmp_path / "scores").iterdir())) > 1


@engines
def test_an_outlook_is_scored_as_well_with_its_dates_and_words(engine):
    base = summarize(read_transactions(receipts(2), **NAMED), as_of=AS_OF)
    clock = LogT().fit(base)
    truth = anticipate(base, clock=clock)
    scored = score(ENGINES[engine](pl.DataFrame(base).to_arrow()), clock, rows=40)
    same(scored.collect(), truth, rtol=1e-9)
    lazy = scored.frame
    assert str(lazy.implementation).removeprefix("Implementation.").lower() == engine
    found = by_id(lazy.collect())
    assert found["stage"].tolist() == truth.stage.tolist()
    assert np.array_equal(found["next_due_at"].astype("datetime64[D]"), truth.next_due_at)
    assert found["overdue"].astype(bool).tolist() == truth.overdue.tolist()


def base_of(n=300, seed=4):
    rng = np.random.default_rng(seed)
    x, age = rng.poisson(2.0, n), rng.integers(30, 700, n).astype(float)
    return Histories.from_arrays(
        frequency=x, recency_days=np.where(x > 0, np.rint(age * rng.random(n)) + x, 0), age_days=age + x + 1,
        margin_mean=np.where(x > 0, rng.gamma(3, 5, n), 0), customer_id=[f"{i:04d}" for i in range(n)],
    )  # fmt: skip


MODELS = {
    "pareto-nbd": (PARETO, 0.0),
    "ggompertz-nbd": (GGompertzNBD().at(r=0.55, alpha=10.6, b=0.05, s=0.6, beta=11.7, p=6.25, q=3.74, v=15.44), 0.0),
    # Series and quadratures go on until the slowest of a batch has converged: that moves last digits of the others.
    "bg-nbd": (BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44), 1e-11),
    "mbg-cnbd-k": (MBGCNBD(k=2).at(r=0.4, alpha=4.4, a=0.8, b=2.4, p=6.25, q=3.74, v=15.44), 1e-6),
}


@pytest.mark.parametrize("name", MODELS)
def test_who_else_is_in_a_batch_does_not_matter(name):
    model, rtol = MODELS[name]
    base = base_of()
    whole = model.value(base, horizon_days=365, discount_rate=0.1)
    for rows in (1, 7, 1_000):
        some = base if rows > 1 else base[:40]
        truth = whole if rows > 1 else whole[:40]
        scored = score(pl.DataFrame(some).lazy(), model, rows=rows)
        same(scored.collect(), truth, rtol=rtol)


def test_models_of_whole_periods_are_scored_too():
    model = BGBB(period_days=30).at(alpha=1.2, beta=0.75, gamma=0.66, delta=2.78, p=6.25, q=3.74, v=15.44)
    base = Histories.from_arrays(
        frequency=[0, 2, 3], recency_days=[0.0, 60.0, 90.0], age_days=[180.0] * 3, margin_mean=[0.0, 9.0, 12.0]
    )
    truth = model.value(base, horizon_days=360, discount_rate=0.1)
    same(score(pl.DataFrame(base).lazy(), model, horizon_days=360, rows=2).collect(), truth, rtol=1e-12)


def test_a_model_that_looks_at_the_whole_base_is_found_out():
    """Wrong on purpose: values relative to the mean of whoever is in the batch."""

    def against_the_mean(base):
        worth = PARETO.value(base, **ASKED)
        return attrs.evolve(worth, value=worth.value / worth.value.mean())

    base = base_of()
    scores = score(pl.DataFrame(base).lazy(), against_the_mean, rows=50).collect()
    with pytest.raises(AssertionError):
        same(scores, against_the_mean(base), rtol=1e-3)


def test_a_fitted_model_travels_as_json():
    """What a worker gets has no object of ours in it but text and numbers; the numbers that come back are equal."""
    base = base_of()
    model = BGNBD().fit(base)
    scored = score(pl.DataFrame(base).lazy(), model, **ASKED)
    sent = pickle.loads(pickle.dumps(scored.rule))
    assert json.loads(sent.scorer.text) == json.loads(json.dumps(model.to_dict()))
    assert not any(isinstance(value, FittedPurchases) for value in attrs.asdict(sent.scorer, recurse=False).values())
    assert sent.scorer(base).equals(model.value(base, **ASKED))


def test_a_posterior_scores_with_its_draws():
    base = base_of(120)
    posterior = BGNBD().posterior(base, draws=200, seed=1)
    scores = score(pl.DataFrame(base).lazy(), posterior, **ASKED, rows=50).collect()
    same(scores, posterior.value(base, **ASKED), rtol=1e-9)


def test_parquet_files_of_histories_are_scored_by_their_path(tmp_path):
    base = base_of()
    base.to_parquet(tmp_path / "base", rows_per_file=100)
    scored = score(tmp_path / "base", PARETO, **ASKED, rows=90, currency="EUR", as_of="2012-01-01")
    scores = scored.collect()
    same(scores, PARETO.value(base, **ASKED))
    assert (scores.currency, scores.provenance.as_of) == ("EUR", "2012-01-01")
    batches = list(scored.batches())
    assert sum(map(len, batches)) == len(base)
    assert max(map(len, batches)) <= 90


def test_columns_that_are_named_are_attributes_of_the_customers():
    base = base_of(30).with_attributes({"channel": ["web", "shop"] * 15})
    frame = pl.DataFrame(base).with_columns(channel=pl.Series(base.attributes["channel"].tolist())).lazy()

    def by_channel(some):
        worth = PARETO.value(some, **ASKED)
        return attrs.evolve(worth, value=worth.value * np.where(some.attributes["channel"] == "web", 2.0, 1.0))

    same(score(frame, by_channel, attributes=["channel"], rows=7).collect(), by_channel(base))


def test_nobody_is_scored_as_nobody(tmp_path):
    scored = score(pl.DataFrame(base_of(3)[:0]).lazy(), PARETO, **ASKED)
    assert len(scored.collect()) == 0
    assert scored.frame.collect().shape[0] == 0
    parts = pl.read_parquet(scored.to_parquet(tmp_path / "none"))
    assert parts.schema["value"] == pl.Float64
    duckdb = pytest.importorskip("duckdb")
    empty = duckdb.connect().from_arrow(pl.DataFrame(base_of(3)[:0]))
    assert score(empty, PARETO, **ASKED).frame.collect().shape[0] == 0


def test_scores_of_a_connection_join_with_its_tables():
    duckdb = pytest.importorskip("duckdb")
    base = base_of(50)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE names AS SELECT '0007' AS customer_id, 'Ann' AS name")
    scored = score(connection.from_arrow(base), PARETO, **ASKED)
    assert scored.frame is scored.frame  # worked out once
    mine = scored.frame.to_native().join(connection.table("names").set_alias("names"), "customer_id")
    found = mine.select("name, value").fetchall()
    assert found == [("Ann", pytest.approx(PARETO.value(base, **ASKED).customer("0007")["value"], rel=1e-15))]


def test_what_cannot_score_is_one_clear_error(monkeypatch):
    lazy = pl.DataFrame(base_of(9)).lazy()
    for model in (BGNBD(), "bg-nbd", BGNBD, None):
        with pytest.raises(ConfigError, match="fit it first"):
            score(lazy, model)
    with pytest.raises(ConfigError, match="a batch has customers"):
        score(lazy, PARETO, rows=0)
    with pytest.raises(ColumnError, match="without age_days"):
        score(lazy.drop("age_days"), PARETO)
    with pytest.raises(ConfigError, match="horizon_days with a model of type function"):
        score(lazy, lambda base: PARETO.value(base, **ASKED), horizon_days=30.0)
    with pytest.raises(ConfigError, match="it is a number"):
        score(lazy, PARETO, horizon_days="a year")
    with pytest.raises(RetentionError, match="horizon"):
        score(lazy, PARETO, horizon_days=-1.0).collect()
    with pytest.raises(ModelError, match="one row a customer"):
        score(lazy, lambda base: PARETO.value(base, **ASKED).take(slice(0, 0))).collect()
    with pytest.raises(ReadError, match="9 holes in margin_mean"):
        score(lazy.with_columns(margin_mean=pl.lit(None, pl.Float64)), PARETO).collect()
    scan = summarize_scan(scan_transactions(receipts(n=50).lazy(), **NAMED), as_of=AS_OF)
    with pytest.raises(ConfigError, match="currency with histories of a scan"):
        score(scan, PARETO, currency="EUR")

    def moody(base):
        worth = PARETO.value(base, **ASKED)
        return attrs.evolve(worth, value_sd=None) if base.customer_id[0] == "0006" else worth

    with pytest.raises(ModelError, match="different columns"):
        score(lazy, moody, rows=3).collect()
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.connect().from_arrow(pl.DataFrame(base_of(9)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="parquet"):
        score(relation, PARETO).collect()
