"""A night on transactions that stay where they are is the night of the same receipts read into memory."""

import datetime as dt

import attrs
import numpy as np
import polars
import pytest

import retention as rt
from retention.errors import ConfigError, ReadError
from retention.histories import HistoryStore
from retention.journal import Journal
from retention.program import Program
from retention.records import read_transactions
from retention.worlds.demo import make_demo

pytest.importorskip("duckdb")
NAMES = {"customer": "customer", "at": "at", "revenue": "revenue", "margin": "margin", "order": "order"}


class ReadsReceipts:
    name = "reads-receipts"
    needs_log = True

    def fit(self, histories):
        raise AssertionError("asked without its receipts")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The demo's files, and its receipts once more as a clean Parquet folder."""
    folder = tmp_path_factory.mktemp("shop")
    config = make_demo(folder)
    program = Program.load(config)
    log = program.read_log()
    lines = polars.DataFrame(
        {
            "customer": log.customers.text(),
            "at": log.at.astype("datetime64[us]"),
            "order": log.orders.text(),
            "revenue": log.revenue.to_float(),
            "margin": log.margin.to_float(),
        }
    )
    (folder / "lines").mkdir()
    half = len(lines) // 2
    lines[:half].write_parquet(folder / "lines" / "a.parquet")
    lines[half:].write_parquet(folder / "lines" / "b.parquet")
    in_memory = attrs.evolve(program, source=str(folder / "lines" / "all.csv"), reader="receipts", read=NAMES)
    scanned = attrs.evolve(program, source=str(folder / "lines"), reader="scan", read={**NAMES, "currency": "EUR"})
    return in_memory, scanned, read_transactions(lines, **NAMES, currency="EUR")


@pytest.fixture(scope="module")
def nights(shop):
    in_memory, scanned, log = shop
    return in_memory.run(log), scanned.run()


def same(ours, truth):
    """Decisions, texts and days to the letter; money but for the order in which logarithms were added up."""
    for name, expected in truth.columns().items():
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(ours[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            assert np.asarray(ours[name]).astype(str).tolist() == np.asarray(expected).astype(str).tolist(), name


def test_both_plans_are_the_same(nights):
    read, scanned = nights
    same(scanned.plan, read.plan)


def test_both_audits_are_the_same(nights):
    read, scanned = (night.audit.to_dict() for night in nights)
    for lens in ("ledger", "levers", "coverage", "ranking", "concentration"):
        read[lens].pop("provenance", None), scanned[lens].pop("provenance", None)
        assert read[lens] == scanned[lens], lens


def test_its_account_of_the_rows_is_that_of_the_log(nights):
    read, scanned = (night.log.quality for night in nights)
    assert scanned.reconciles
    assert (scanned.rows_in, scanned.rows_kept, scanned.money_kept) == (read.rows_in, read.rows_kept, read.money_kept)


def test_it_is_told_reported_and_saved(nights, tmp_path):
    read, scanned = nights
    paths = scanned.save(tmp_path / "scan")
    assert paths["plan"].read_bytes() == read.save(tmp_path / "read")["plan"].read_bytes()
    assert "came in" in paths["report"].read_text("utf-8")
    assert scanned.summary()["contacts"] == read.summary()["contacts"]
    from retention.report import tell

    assert tell(scanned) == tell(read)


def test_proof_and_learning_read_the_receipts_of_the_decided_alone(shop):
    _, program, log = shop
    scan = program.read_log()
    first, later = log.day.max() - np.timedelta64(120, "D"), log.day.max() - np.timedelta64(60, "D")
    with Journal(":memory:") as journal:
        for day in (first, later):
            attrs.evolve(program, hours=20.0, money=500.0).run(log, as_of=day.item(), journal=journal)
        read, scanned = rt.prove(journal, log), rt.prove(journal, scan)
        assert read.to_dict() | {"provenance": 0} == scanned.to_dict() | {"provenance": 0}
        learning = attrs.evolve(program, learn_days=30)
        plans = [learning.run(one, journal=journal, record=False).plan for one in (log, scan)]
        same(plans[1], plans[0])


def test_what_learns_from_single_receipts_is_refused_on_a_scan(shop):
    with pytest.raises(ConfigError, match="clock = 'reads-receipts' on a scan"):
        attrs.evolve(shop[1], clock="reads-receipts", plugins=(ReadsReceipts(),)).run()


def test_columns_of_a_scan_are_named_too(shop):
    with pytest.raises(ConfigError, match="customer and at"):
        attrs.evolve(shop[1], read={}).run()
    for more in ({}, {"store": "history"}):
        with pytest.raises(ConfigError, match=r"rt\.scan_transactions[\s\S]*did you mean 'threads'"):
            attrs.evolve(shop[1], read={**NAMES, "thread": 1}, **more).run()


def test_nights_that_read_only_what_is_new_make_the_plans_of_all_receipts(shop, tmp_path):
    """Three nights; of each some rows come a night late, and the second is run twice."""
    _, scanned, _ = shop
    lines = polars.read_parquet(f"{scanned.source}/*.parquet")
    ends = [lines["at"].max() - dt.timedelta(days=days) for days in (90, 45, 0)]
    late = a_night_late(len(lines))
    came = np.searchsorted(np.array(ends, dtype="datetime64[us]"), lines["at"].to_numpy()) + late
    for folder in ("inbox", "all"):
        (tmp_path / folder).mkdir()
    nightly = attrs.evolve(scanned, source=str(tmp_path / "inbox"), store=str(tmp_path / "history"))
    whole = attrs.evolve(scanned, source=str(tmp_path / "all"))
    for night, end in enumerate(ends):
        lines.filter(came == night).write_parquet(tmp_path / "inbox" / f"night-{night}.parquet")
        lines.filter(came <= night).write_parquet(tmp_path / "all" / "all.parquet")
        for _ in range(1 + (night == 1)):
            ours = nightly.run(as_of=end.date())
        truth = whole.run(as_of=end.date())
        same(ours.base, truth.base)
        same(ours.plan, truth.plan)
        assert ours.log.quality.rows_kept == truth.log.quality.rows_kept
    assert (HistoryStore.open(tmp_path / "history").nights().late > 0).sum() == 2
    # A file that has changed since cannot be told apart from new rows.
    lines.filter(came == 0)[:100].write_parquet(tmp_path / "inbox" / "night-0.parquet")
    with pytest.raises(ReadError, match="not as it was"):
        nightly.run()


def a_night_late(rows):
    """A twentieth of the rows come a night late."""
    return (np.arange(rows) % 20 == 7).astype(int)


def test_a_store_takes_what_a_scan_takes(shop):
    with pytest.raises(ConfigError, match="store with the reader 'receipts'"):
        attrs.evolve(shop[0], store="history").run()
