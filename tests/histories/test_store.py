"""Nights that read only what is new say what all rows together say, however late and however often rows come."""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import threading
from decimal import Decimal

import attrs
import narwhals.stable.v2 as nw
import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError, ReadError, RetentionError
from retention.histories import Histories, HistoryStore, _manifest, _night, summarize
from retention.histories import store as module
from retention.records import read_transactions, scan_transactions

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

START = dt.date(2011, 1, 1)
SCHEMA = {"line": pl.Int64, "who": pl.String, "at": pl.Date, "sum": pl.Float64}
NAMED = {"customer": "who", "at": "at", "revenue": "sum", "margin": 0.25}


def day(number):
    return START + dt.timedelta(days=int(number))


def table(rows, **types):
    return pl.DataFrame(rows, schema=SCHEMA | types, orient="row")


def scan(frame, **named):
    return scan_transactions(frame, **NAMED, **named)


def full(frame, as_of, **named):
    """All rows at once, through the log in memory: another implementation of the same definition."""
    if not len(frame):
        return Histories.from_arrays(frequency=[], recency_days=[], age_days=[], as_of=as_of)
    return summarize(read_transactions(frame, **NAMED, **named), as_of=as_of, habits=False)


def same(ours, truth):
    assert ours.as_of == truth.as_of
    for name, expected in truth.columns().items():
        values = ours.columns()[name]
        assert values.shape == expected.shape, name
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12, err_msg=name)
        else:
            assert np.array_equal(values, expected), name


@pytest.fixture
def store(tmp_path):
    return HistoryStore.create(tmp_path / "store", threads=1)


row = (
    st.sampled_from("abcd"),
    st.integers(0, 24),
    st.sampled_from([5.0, 5.0, -5.0, 2.5, -2.5, 0.0]),
    st.integers(0, 4),
)


# A failure is not made smaller: each try takes a second, and the rows are few as they are.
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    lines=st.lists(st.tuples(*row), min_size=1, max_size=16),
    changes=st.lists(st.tuples(st.integers(0, 15), *row), max_size=5),
    steps=st.lists(st.integers(0, 9), min_size=5, max_size=5),
    whole_numbers=st.booleans(),
)
def test_any_nights_come_to_what_one_run_says(tmp_path_factory, lines, changes, steps, whole_numbers):
    """Rows of any day come on any night, are corrected and repeated; evenings are skipped, or come twice."""
    ids = {"who": pl.Int64} if whole_numbers else {}
    nights = [{} for _ in steps]
    for number, (who, on, money, night) in enumerate(lines):
        nights[night][number] = (who, on, money)
    for number, who, on, money, night in changes:
        nights[night][number % len(lines)] = (who, on, money)
    store = HistoryStore.create(tmp_path_factory.mktemp("any") / "store", threads=1)
    known = {}
    for count, (night, evening) in enumerate(zip(nights, np.cumsum(steps), strict=True)):
        rows = [
            (number, ord(who) if whole_numbers else who, day(on), money) for number, (who, on, money) in night.items()
        ]
        known |= {row[0]: row for row in rows}
        frame = table(rows, **ids)
        taken = store.take_in(scan(frame, line_id="line"), as_of=day(evening), delivery=str(count))
        assert taken.reconciles
        ours = store.histories().collect()
        same(ours, full(table(list(known.values()), **ids), day(evening)))
        assert taken.customers == len(ours)
    account = store.lines().quality
    assert account.reconciles
    assert account.rows_in == store.nights()["rows_read"].sum()
    assert account.rows_kept == len(known)
    assert account.money_kept == sum(Decimal(row[3]) for row in known.values())


def month(seed, nights=30, rows=1_500, customers=60):
    """A month of a shop, with the night on which each row comes and the number of its version, and the evenings.

    A third are returns of the same few amounts, so that many orders are undone, also across nights. One row in seven
    is up to three weeks late, one in twenty comes days before its own; one in fifteen is corrected later, in money, day
    or customer; some are delivered twice. Two evenings are skipped, and one has two deliveries.
    """
    rng = np.random.default_rng(seed)
    minutes = rng.choice(nights * 1440, rows, replace=False)
    frame = pl.DataFrame(
        {
            "line": np.arange(rows),
            "who": rng.integers(1, customers, rows),
            "at": np.datetime64(START, "us") + minutes.astype("timedelta64[m]"),
            "sum": rng.integers(1, 5, rows) * np.where(rng.random(rows) < 0.3, -1.25, 1.25),
            "order": rng.integers(0, rows // 2, rows).astype(str),
        },
        schema_overrides={"at": pl.Datetime("us")},
    )
    on = minutes // 1440
    late = np.where(rng.random(rows) < 1 / 7, rng.integers(1, 22, rows), 0)
    arrives = np.clip(on + late - np.where(rng.random(rows) < 0.05, 3, 0), 0, nights - 1)
    frame = frame.with_columns(night=arrives, version=np.zeros(rows, dtype=np.int64))
    wrong = frame.filter(rng.random(rows) < 1 / 15)
    n = len(wrong)
    right = wrong.with_columns(
        who=rng.integers(1, customers, n),
        sum=wrong["sum"].to_numpy() * rng.choice([1.0, 2.0, -1.0], n),
        at=wrong["at"] + pl.Series(rng.choice([0, 1, 9], n) * 86_400_000_000).cast(pl.Duration("us")),
        night=np.minimum(wrong["night"].to_numpy() + rng.integers(1, 9, n), nights - 1),
        version=np.ones(n, dtype=np.int64),
    )
    again = frame.filter(rng.random(rows) < 0.03).with_columns(night=pl.col("night") + 1).filter(pl.col("night") < 30)
    again = again.join(right, on="line", how="anti")
    evenings = np.arange(nights)
    evenings[[7, 8, 20]] = 9, 9, 19
    return pl.concat([frame, right, again]).sort("line", "version"), [day(one) for one in evenings]


ORDERED = {"order": "order"}


def take_in(store, rows, evenings, **named):
    taken = []
    for number, evening in enumerate(evenings):
        tonight = rows.filter(pl.col("night") == number).unique(["line"], keep="last", maintain_order=True)
        told = scan(tonight, line_id="line", **named)
        taken.append(store.take_in(told, as_of=evening, delivery=f"night {number}"))
    return taken


def test_thirty_nights_are_one_run(store, monkeypatch):
    """With orders, times, late and corrected rows; on the way files are put together twice."""
    monkeypatch.setattr(_night, "_MANY", 12)
    rows, evenings = month(3)
    taken = take_in(store, rows, evenings, **ORDERED)
    last = rows.unique(["line"], keep="last", maintain_order=True).drop("night", "version")
    log = read_transactions(last, **NAMED, **ORDERED)
    assert log.is_cancelled.sum() > 20
    same(store.histories().collect(), summarize(log, as_of=evenings[-1], habits=False))
    for reason in ("late", "ahead", "corrected", "repeated"):
        assert sum(getattr(night, reason) for night in taken) > 20, reason
    assert all(night.reconciles for night in taken)
    assert len(list(store.folder.glob("*-lines.parquet"))) < 15
    assert [night.to_dict() for night in taken] == [night.to_dict() for night in store._known().nights]
    # What the store has is a scan like any other.
    lines = store.lines()
    assert lines.quality.rows_kept == len(last)
    same(summarize(lines, as_of=evenings[-1]).collect(), store.histories().collect())
    cells, weight = store.histories().cells()
    assert weight.sum() == len(store.histories().collect())
    assert cells.as_of == evenings[-1]


def test_a_night_is_the_evening_before_older_with_those_whom_it_concerns_anew(store):
    rows, evenings = month(6, rows=400, customers=200)
    rows = rows.unique(["line"], keep="last", maintain_order=True)
    before, after = rows.filter(pl.col("night") < 20), rows.filter(pl.col("night") >= 20)
    store.take_in(scan(before), as_of=evenings[19])
    base = store.histories().collect()
    assert store.take_in(scan(after), as_of=evenings[-1]).left == 0
    concerned = after["who"].to_list() + before.filter(pl.col("at").dt.date() > evenings[19])["who"].to_list()
    anew = full(rows.filter(pl.col("who").is_in(concerned)), evenings[-1])
    same(store.histories().collect(), base.advanced(to=evenings[-1]).updated(anew))
    with pytest.raises(RetentionError, match="grow older"):
        base.advanced(to=START)


def ignores_late_rows(patch):
    right = _night.OneNight._concerned

    def wrong(night):
        if night.known.as_of is None:
            return right(night)
        return f"SELECT customer FROM accepted WHERE date > DATE '{night.known.as_of}' AND date <= DATE '{night.day}'"

    patch(_night.OneNight, "_concerned", wrong)


def forgets_rows_that_lay_ahead(patch):
    right = _night.OneNight._concerned
    patch(_night.OneNight, "_concerned", lambda night: " UNION ALL ".join(right(night).split(" UNION ALL ")[:2]))


def forgets_whose_the_corrected_row_was(patch):
    right = _night.OneNight._concerned
    patch(_night.OneNight, "_concerned", lambda night: " UNION ALL ".join(right(night).split(" UNION ALL ")[::2]))


def keeps_corrected_rows(patch):
    right = _night.lines_of
    patch(_night, "lines_of", lambda folder, known: right(folder, attrs.evolve(known, gone=())))


def looks_at_tonights_rows_only(patch):
    right = _night.lines_of
    patch(_night, "lines_of", lambda folder, known: right(folder, attrs.evolve(known, lines=known.lines[-1:])))


def forgets_that_people_grow_older(patch):
    right = HistoryStore.histories

    def wrong(store):
        told = right(store)
        return attrs.evolve(told, frame=told.frame.with_columns(age_days=nw.col("recency_days")))

    patch(HistoryStore, "histories", wrong)


def is_right(patch):
    """Nothing is changed: what finds the others out does not find this one."""


@pytest.mark.parametrize(
    "wrong",
    [
        is_right,
        ignores_late_rows,
        forgets_rows_that_lay_ahead,
        forgets_whose_the_corrected_row_was,
        keeps_corrected_rows,
        looks_at_tonights_rows_only,
        forgets_that_people_grow_older,
    ],
)
def test_a_store_that_is_wrong_on_purpose_is_found_out(store, monkeypatch, wrong):
    rows, evenings = month(5, rows=800, customers=300)
    rows, evenings = rows.with_columns(night=pl.col("night") // 6), evenings[5::6]
    rows = rows.unique(["line", "night"], keep="last", maintain_order=True)
    truth = full(rows.unique(["line"], keep="last", maintain_order=True), evenings[-1])
    wrong(monkeypatch.setattr)
    take_in(store, rows, evenings)
    ours = store.histories().collect()
    if wrong is is_right:
        same(ours, truth)
        return
    with pytest.raises(AssertionError):
        same(ours, truth)


def a_night(*lines, **named):
    """Rows as (line, who, day, money)."""
    return scan(table([(number, who, day(on), money) for number, who, on, money in lines]), **named)


FIRST = ((1, "a", 0, 5.0), (2, "b", 1, 7.0), (3, "a", 2, 5.0))


def test_the_same_delivery_again_is_counted_and_changes_nothing(store):
    store.take_in(a_night(*FIRST), as_of=day(2))
    again = store.take_in(a_night(*FIRST[::-1]), as_of=day(3))
    assert (again.known_delivery, again.repeated, again.new, again.computed) == (True, 3, 0, 0)
    assert again.reconciles
    assert store.histories().collect()["orders"].tolist() == [2, 1]
    assert store.histories().collect()["age_days"].tolist() == [3.0, 2.0]
    assert store.lines().quality.set_aside["repeated"].money == 17


def test_equal_rows_under_another_name_are_further_rows(store):
    for name in ("monday.csv", "tuesday.csv"):
        taken = store.take_in(a_night((1, "a", 0, 5.0)), as_of=day(0), delivery=name)
        assert (taken.known_delivery, taken.repeated) == (False, 0)
    assert store.histories().collect()["revenue"].tolist() == [10.0]


def test_rows_of_days_to_come_count_when_their_evening_comes(store):
    taken = store.take_in(a_night((1, "a", 0, 5.0), (2, "a", 5, 6.0)), as_of=day(2))
    assert (taken.new, taken.ahead) == (1, 1)
    assert store.histories().collect()["revenue"].tolist() == [5.0]
    assert store.take_in(a_night(), as_of=day(4)).computed == 0
    assert store.take_in(a_night(), as_of=day(6)).computed == 1
    assert store.histories().collect()["frequency"].tolist() == [1]


def test_a_line_is_withdrawn_by_its_name(store):
    store.take_in(a_night(*FIRST, line_id="line"), as_of=day(2))
    taken = store.take_in(a_night((4, "c", 3, 1.0), line_id="line"), as_of=day(3), withdrawn=[2, "77"])
    assert (taken.withdrawn, taken.new, taken.left, taken.joined) == (1, 1, 1, 1)
    assert store.histories().collect()["customer_id"].tolist() == ["a", "c"]
    back = store.take_in(a_night((2, "b", 1, 7.0), line_id="line"), as_of=day(3))
    assert (back.late, back.corrected) == (1, 0)
    assert store.lines().quality.reconciles


def test_line_ids_with_holes_in_them_are_the_same_ids(store):
    """A library that knows no missing whole numbers hands them over as floats."""
    store.take_in(a_night(*FIRST, line_id="line"), as_of=day(2))
    rows = table([(1, "a", day(0), 9.0), (None, "a", day(0), 1.0), (None, "a", day(0), 1.0)], line=pl.Float64)
    taken = store.take_in(scan(rows, line_id="line"), as_of=day(2))
    assert (taken.corrected, taken.late) == (1, 2)
    assert store.histories().collect()["revenue"].tolist() == [16.0, 7.0]


def test_where_ids_are_text_a_night_of_numbers_is_text_too_and_not_the_other_way_round(store, tmp_path):
    store.take_in(a_night(*FIRST, line_id="line"), as_of=day(2))
    store.take_in(scan(table([(4, 7, day(1), 1.0)], who=pl.Int64), line_id="line"), as_of=day(2))
    assert "7" in store.histories().collect().customer_id.tolist()
    other = HistoryStore.create(tmp_path / "numbers")
    other.take_in(scan(table([(1, 7, day(1), 1.0)], who=pl.Int64), line_id="line"), as_of=day(2))
    with pytest.raises(ReadError, match="ids: text tonight"):
        other.take_in(a_night(*FIRST, line_id="line"), as_of=day(2))


def test_rows_set_aside_are_in_the_account(store):
    rows = table([(1, "a", day(0), 5.0), (2, None, day(0), 5.0), (3, "a", None, 5.0), (4, "a", day(0), 2e9)])
    taken = store.take_in(scan(rows), as_of=day(0))
    assert (taken.rows_read, taken.rows_kept) == (4, 1)
    assert taken.set_aside == {"missing customer": 1, "missing date": 1, "absurd amount": 1}
    assert taken.reconciles
    assert store.lines().quality == scan(rows).quality


@pytest.mark.parametrize(
    ("rows", "told", "message"),
    [
        (a_night((4, "c", 1, 1.0), line_id="line"), {"as_of": day(1)}, "evenings go forward"),
        (a_night((4, "c", 1, 1.0)), {"as_of": day(2)}, "line ids: False tonight, True"),
        (a_night((4, "c", 1, 1.0), line_id="line", currency="EUR"), {"as_of": day(2)}, "currency: EUR"),
        (a_night((4, "c", 1, 1.0), (4, "d", 1, 1.0), line_id="line"), {"as_of": day(2)}, "has one row"),
        (a_night((4, "c", 1, 1.0), line_id="line"), {"as_of": day(2), "withdrawn": [4]}, "or is withdrawn"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(store, rows, told, message):
    store.take_in(a_night(*FIRST, line_id="line"), as_of=day(2))
    before = store.histories().collect()
    with pytest.raises((ConfigError, ReadError), match=message):
        store.take_in(rows, **told)
    same(store.histories().collect(), before)
    assert len(store.nights()) == 1


def test_nothing_can_be_withdrawn_where_lines_have_no_names(store):
    store.take_in(a_night(*FIRST), as_of=day(2))
    with pytest.raises(ConfigError, match="line ids that they came with"):
        store.take_in(a_night(), as_of=day(3), withdrawn=[1])


def test_a_folder_that_is_no_store_is_refused(tmp_path, store):
    with pytest.raises(ReadError, match="no history store"):
        HistoryStore.open(tmp_path)
    with pytest.raises(ConfigError, match="is empty"):
        HistoryStore.create(tmp_path)
    with pytest.raises(ConfigError, match="is empty"):
        HistoryStore.create(store.folder)
    assert HistoryStore.create(store.folder, exist_ok=True).as_of is None
    with pytest.raises(ReadError, match="histories of no evening"):
        store.histories()


@pytest.mark.parametrize("what", ["version", "format", "money", "word", "cut", "file"])
def test_what_it_does_not_know_is_not_opened(store, what):
    store.take_in(a_night(*FIRST), as_of=day(2))
    path = store.folder / "manifest.json"
    told = json.loads(path.read_text())
    assert not {"a", "b"} & set(json.dumps(told).split('"'))  # nobody's name is in it
    if what == "cut":
        path.write_text(path.read_text()[:-20])
    elif what == "file":
        next(store.folder.glob("*-histories.parquet")).write_bytes(b"PAR1")
    else:
        path.write_text(json.dumps(told | {what: 99}))
    said = "unknown or missing: word" if what == "word" else r"cannot be read|not as it was written"
    with pytest.raises(ReadError, match=said):
        HistoryStore.open(store.folder)


def test_whoever_is_forgotten_is_in_no_file(store):
    rows = table([(1, "nobody else's name", day(0), 5.0), (2, "b", day(1), 7.0)])
    store.take_in(scan(rows), as_of=day(1))
    store.take_in(a_night((3, "b", 2, 1.0)), as_of=day(2))
    assert store.forget("nobody else's name") == 1
    assert store.forget("x' OR 1=1 --") == 0
    assert store.histories().collect()["customer_id"].tolist() == ["b"]
    assert all(b"nobody else" not in path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    account = store.lines().quality
    assert account.reconciles
    assert account.set_aside["forgotten"].money == 5
    taken = store.take_in(a_night((4, "b", 3, 1.0)), as_of=day(3))
    assert (taken.customers, taken.computed) == (1, 1)
    assert store.histories().collect()["orders"].tolist() == [3]


def in_ibis(frame):
    return pytest.importorskip("ibis").memtable(frame.to_arrow())


def in_dask(frame):
    return pytest.importorskip("dask.dataframe").from_pandas(frame.to_pandas(), npartitions=2)


def in_spark(frame):
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = pytest.importorskip("pyspark.sql").SparkSession.builder.master("local[2]")
    session = session.config("spark.ui.enabled", "false").config("spark.log.level", "ERROR").getOrCreate()
    return session.createDataFrame(frame.to_pandas())


ENGINES = {
    "pandas": lambda frame: frame.to_pandas(),
    "polars": lambda frame: frame,
    "polars lazy": lambda frame: frame.lazy(),
    "pyarrow": lambda frame: frame.to_arrow(),
    "ibis": in_ibis,
    "dask": in_dask,
    "pyspark": in_spark,
}


@pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("pyspark", "dask"))) for name in ENGINES]
)
def test_new_rows_may_be_in_any_engine(store, engine):
    rows = table([(number, who, day(on), money) for number, who, on, money in FIRST])
    rows = rows.with_columns(pl.col("at").cast(pl.Datetime("us")))
    zone = {"time_zone": "Europe/London"} if engine == "pyspark" else {}
    taken = store.take_in(scan(ENGINES[engine](rows), line_id="line", **zone), as_of=day(2))
    assert (taken.new, taken.customers) == (3, 2)
    same(store.histories().collect(), full(rows, day(2)))
    assert sorted(store.lines().lines.collect()["line_id"].to_list()) == ["1", "2", "3"]


def test_whoever_reads_the_night_before_may_finish(store):
    store.take_in(a_night(*FIRST), as_of=day(2))
    reading, lines = store.histories(), store.lines()
    store.take_in(a_night((4, "a", 3, 1.0)), as_of=day(3))
    assert reading.collect()["orders"].tolist() == [2, 1]
    assert len(lines.in_memory()) == 3


class Killed(BaseException):
    """What no code catches."""


CALLS = ((os, "fsync"), (module.shutil, "rmtree"), (_night, "write_rows"), (_manifest, "replace_file"))


def killed_at(call, patch):
    """The process dies before the so-many-th step that touches the disk, or just after a file took its place."""
    left = [call]

    def dying(right):
        def wrapped(*args, **named):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            done = right(*args, **named)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return done

        return wrapped

    for where, name in CALLS:
        patch(where, name, dying(getattr(where, name)))
    patch(_night.Work, "written", dying(_night.Work.written))
    return left


def test_a_night_is_taken_in_whole_or_not_at_all(tmp_path, monkeypatch):
    """Killed at every step, the store holds the old night or the new one; and the night can be repeated."""
    monkeypatch.setattr(_night, "_MANY", 1)  # so that files are put together as well
    origin = HistoryStore.create(tmp_path / "origin", threads=1)
    origin.take_in(a_night(*FIRST, line_id="line"), as_of=day(2))
    tonight = a_night((4, "c", 3, 1.0), (1, "a", 0, 6.0), line_id="line")
    old = origin.histories().collect()
    new = full(
        table([(4, "c", day(3), 1.0), (1, "a", day(0), 6.0), (2, "b", day(1), 7.0), (3, "a", day(2), 5.0)]), day(3)
    )
    outcomes = []
    for call in range(1, 100):
        store = attrs.evolve(origin, folder=tmp_path / f"killed at {call}")
        shutil.copytree(origin.folder, store.folder)
        with monkeypatch.context() as patch:
            left = killed_at(call, patch.setattr)
            try:
                store.take_in(tonight, as_of=day(3))
            except Killed:
                pass
            else:
                break
        assert left[0] <= 0
        there = store.histories().collect()
        outcomes.append(there.as_of)
        same(there, old if there.as_of == day(2) else new)
        if call % 3 and there.as_of == day(2):
            continue  # to repeat the night now and then is enough
        taken = store.take_in(tonight, as_of=day(3))
        assert taken.known_delivery == (there.as_of == day(3))
        same(store.histories().collect(), new)
        assert store.lines().quality.reconciles
        assert not list(store.folder.glob("tonight*")) + list(store.folder.glob(".manifest*"))
    assert outcomes == sorted(outcomes)
    assert {day(2), day(3)} == set(outcomes)
    assert len(outcomes) > 15


DIES = """
import os, sys
from pathlib import Path
import polars as pl
from retention.histories import HistoryStore
from retention.records import scan_transactions
left, fsync = int(sys.argv[2]), os.fsync
def dying(handle):
    global left
    left -= 1
    fsync(handle)
    if left == 0:
        os.kill(os.getpid(), 9)
os.fsync = dying
frame = pl.DataFrame({"who": ["c"], "at": ["2011-01-04"], "sum": [1.0]}).with_columns(pl.col("at").str.to_date())
scan = scan_transactions(frame, customer="who", at="at", revenue="sum", margin=0.25)
HistoryStore.open(sys.argv[1]).take_in(scan, as_of="2011-01-04")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
@pytest.mark.parametrize(("call", "there"), [(1, 2), (5, 3)])
def test_a_process_that_is_killed_leaves_no_lock_and_no_half_night(store, call, there):
    store.take_in(a_night(*FIRST), as_of=day(2))
    done = subprocess.run([sys.executable, "-c", DIES, store.folder, str(call)], check=False)
    assert done.returncode == -9
    assert store.as_of == day(there)
    assert store.take_in(a_night((4, "c", 3, 1.0)), as_of=day(3)).known_delivery == (there == 3)
    assert store.histories().collect()["customer_id"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("told", [{"threads": 0}, {"threads": "many"}, {"memory": "much"}])
def test_limits_of_the_engine_are_numbers_and_sizes(store, told):
    with pytest.raises(ConfigError, match="a size such as"):
        HistoryStore.open(store.folder, **told).take_in(a_night(*FIRST), as_of=day(2))


def test_two_at_once_take_turns(store, monkeypatch):
    scans = [a_night((number, who, 0, 5.0)) for number, who in enumerate("abc")]
    threads = [
        threading.Thread(target=store.take_in, args=(one,), kwargs={"as_of": day(0), "delivery": str(number)})
        for number, one in enumerate(scans)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.histories().collect()) == 3
    assert sorted(store.nights()["night"].tolist()) == [1, 2, 3]
    monkeypatch.setattr(module, "_WAIT", 0.01)
    with store._alone(), pytest.raises(ReadError, match="one process at a time"):
        store.take_in(scans[0], as_of=day(1))
