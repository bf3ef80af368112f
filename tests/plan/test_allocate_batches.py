"""However customers are cut into batches, each gets what she gets when all are in memory, to the last bit."""

import itertools
import math
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from retention._kernels import prices, rounding
from retention.errors import ColumnError, ConfigError
from retention.plan import PricedBatch, allocate, allocate_batches, priced_batches

LAW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BY_ROW = ("gains", "costs", "segment", "allowed", "gains_sd", "hours_each")


@pytest.fixture
def small(monkeypatch):
    """As if a thousandth of the usual were many: samples, boxes and pieces at sizes that a test can have."""
    for module, name, size in (
        (rounding, "SMALL", 60),
        (rounding, "FIRST", 25),
        (rounding, "SAMPLE", 80),
        (rounding, "AT_ONCE", 100),
        (rounding, "NEAR", 30),
        (prices, "BLOCK", 32),
    ):
        monkeypatch.setattr(module, name, size)


def problem(seed: int) -> dict[str, Any]:
    """Some hundred customers under some of the limits there are: whole figures (ties), tenths (roundings) or any."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 500)), int(rng.integers(1, 5))
    kind = rng.choice(["whole", "tenths", "few", "any"])
    if kind in ("whole", "tenths"):
        unit = 1.0 if kind == "whole" else 0.1
        gains, costs = rng.integers(-3, 12, (n, k)) * unit, rng.integers(0, 6, (n, k)) * unit
    else:
        m = 7 if kind == "few" else n
        gains, costs = rng.lognormal(1, 1, (m, k)) - 1, rng.lognormal(0, 0.7, (m, k))
        if kind == "few":
            who = rng.integers(0, m, n)
            gains, costs = gains[who], costs[who]
        elif rng.random() < 0.5:
            gains, costs = gains.astype(np.float32), costs.astype(np.float32)
    given: dict[str, Any] = {"gains": gains, "costs": costs}
    if rng.random() < 0.8:
        some = round(float(rng.random() * costs.max(axis=1).sum() * 0.5), 1)
        given["money"] = [some, some, some, 0.0, math.inf][rng.integers(0, 5)]
    if rng.random() < 0.4:
        given["hours"] = float(rng.choice([0.0, rng.integers(0, n + 1)], p=[0.2, 0.8]))
        given["hours_each"] = rng.integers(0, 3, k if rng.random() < 0.5 else (n, k)).astype(float)
    if rng.random() < 0.6:
        given["channel"], given["capacity"] = rng.integers(0, 2, k), rng.integers(0, n + 1, 2).tolist()
    if rng.random() < 0.4:
        given["allowed"] = rng.random((n, k)) < 0.7
    if rng.random() < 0.4:
        least = rng.integers(0, max(n // 12, 1), 3)
        given |= {"segment": rng.integers(0, 3, n), "at_least": least, "at_most": least + rng.integers(0, n + 1, 3)}
    if rng.random() < 0.2:
        given |= {"gains_sd": rng.random((n, k)), "risk": 1.0}
    return given


def apart(asked: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What has a row for each customer, and all else."""
    n = len(asked["gains"])
    rows = {name: asked[name] for name in BY_ROW if name in asked and np.ndim(asked[name]) + (name == "segment") == 2}
    assert all(len(values) == n for values in rows.values())
    return rows, {name: value for name, value in asked.items() if name not in rows}


def cut(rows: dict[str, Any], places: list[int]) -> list[PricedBatch]:
    n = len(rows["gains"])
    edges = [0, *sorted(min(place, n) for place in places), n]
    return [PricedBatch(**{name: values[a:b] for name, values in rows.items()}) for a, b in itertools.pairwise(edges)]


def outcome(task: Any) -> dict[str, Any]:
    """Everything that an allocation tells, or its error."""
    try:
        got = task()
    except ConfigError as error:
        return {"error": str(error)}
    told = {name: getattr(got, name) for name in ("objective", "bound", "method", "contacts")}
    return told | {name: dict(getattr(got, name)) for name in ("prices", "used", "limits")} | {"choice": got.choice}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in one if name not in other or not np.array_equal(one[name], other[name])]


@LAW
@given(
    seed=st.integers(0, 10_000), places=st.lists(st.integers(0, 500), max_size=12), exact=st.sampled_from([False, None])
)
@example(seed=1, places=[0, 0, 1, 2, 500, 500], exact=False)
def test_any_cut_gives_the_allocation_of_all_in_memory(small, seed, places, exact):
    asked = problem(seed)
    rows, others = apart(asked)
    in_memory = outcome(lambda: allocate(**asked, exact=exact))
    in_batches = outcome(lambda: allocate_batches(cut(rows, places), **others, exact=exact))
    assert differences(in_memory, in_batches) == []


@settings(LAW, max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_prices_of_every_batch_for_itself_are_caught(small, seed):
    """Wrong on purpose: every batch has its share of the money and prices of its own. The law above sees it."""
    rng = np.random.default_rng(seed)
    gains, costs = rng.lognormal(1, 1, (200, 2)), rng.lognormal(0, 0.5, (200, 2))
    gains[:100] *= 3
    batches = cut({"gains": gains, "costs": costs}, [100])
    each = [allocate(batch.gains, batch.costs, money=20, exact=False) for batch in batches]
    wrong = {"choice": np.concatenate([one.choice for one in each]), "objective": sum(one.objective for one in each)}
    right = outcome(lambda: allocate_batches(batches, money=40, exact=False))
    assert differences(wrong, right) == ["choice", "objective"]
    assert wrong["objective"] < right["objective"]


def test_at_full_size_from_a_reader_that_starts_anew():
    rng = np.random.default_rng(5)
    gains = (rng.lognormal(1.0, 0.8, (100_000, 1)) * rng.gamma(1.5, 0.7, (100_000, 3))).astype(np.float32)
    costs = rng.lognormal(0.0, 0.4, (100_000, 3)).astype(np.float32)
    limits: dict[str, Any] = {"money": 20_000.0, "capacity": [10_000, None, 9_000]}

    def read() -> Any:
        for k in range(0, 100_000, 7_001):
            yield gains[k : k + 7_001], costs[k : k + 7_001]

    got = allocate_batches(read, **limits)
    assert differences(outcome(lambda: allocate(gains, costs, **limits)), outcome(lambda: got)) == []
    assert [len(at) for at in got.choices()] == [len(batch[0]) for batch in read()]
    assert got.passes <= 6
    assert got.gap < 1e-5
    assert "of 100,000 customers get an action" in repr(got)


def test_equal_customers_and_nearly_equal_ones():
    """All of them tie at the prices, and the turn goes by the golden ratio, whatever batch one is in."""
    rng = np.random.default_rng(6)
    gains, costs = np.full((90_000, 1), 2.0), np.ones((90_000, 1))
    near = gains + 1e-9 * rng.random((90_000, 1))
    for figures in (gains, near):
        batches = cut({"gains": figures, "costs": costs}, [10, 11, 50_000])
        in_memory = outcome(lambda figures=figures: allocate(figures, costs, money=1_234))
        assert differences(in_memory, outcome(lambda batches=batches: allocate_batches(batches, money=1_234))) == []
        assert in_memory["contacts"] == 1_234


@pytest.mark.parametrize("seed", range(12))
def test_what_is_over_a_limit_goes_in_the_same_turn(small, monkeypatch, seed):
    """The last guard alone: a search that ignores all limits ends within them, by the same contacts dropped."""
    asked = problem(seed)
    rows, others = apart(asked)

    def everybody(market: Any, **_: Any) -> Any:
        zero = np.zeros(len(market.limits))
        if isinstance(market, prices.Parts):
            nobody = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int16)
            choice: Any = rounding.Decided(zero, None, *nobody)
        else:
            choice = np.empty(len(market), dtype=np.int16)
        seen = market.see(zero, choice if isinstance(choice, np.ndarray) else None)
        return rounding.Assigned(choice, zero, market.bound(zero, seen), False)

    monkeypatch.setattr(rounding, "assign", everybody)
    in_memory = outcome(lambda: allocate(**asked))
    in_batches = outcome(lambda: allocate_batches(cut(rows, [3, 50, 51]), **others))
    assert differences(in_memory, in_batches) == []
    if "money" in asked and "error" not in in_memory:
        contacts = [(i, a) for i, a in enumerate(in_memory["choice"]) if a >= 0]
        assert math.fsum(float(asked["costs"][i, a]) for i, a in contacts) <= asked["money"]


def test_no_batch_is_kept(small):
    """Batches are let go of: hardly more than one is alive at any time, whatever there are."""
    alive: list[Any] = []
    most = [0]

    def read() -> Any:
        rng = np.random.default_rng(7)
        for _ in range(40):
            gains = rng.lognormal(1, 1, (200, 2))
            most[0] = max(most[0], sum(one() is not None for one in alive))
            alive.append(weakref.ref(gains))
            yield gains, np.ones(2)

    got = allocate_batches(read, money=1_000)
    assert 900 < got.contacts <= 1_000
    assert most[0] <= 2


def test_no_customers_and_hardly_any():
    empty = np.zeros((0, 2)), np.zeros((0, 2))
    got = allocate_batches([empty, empty], money=3)
    assert (got.objective, got.contacts, got.customers, got.choice.tolist()) == (0.0, 0, 0, [])
    assert [len(at) for at in got.choices()] == [0, 0]
    one = np.array([[3.0, 4.0]]), np.array([1.0, 1.0])
    assert allocate_batches([empty, one, empty, one], money=1).choice.tolist() == [-1, 1]


def test_batches_that_cannot_be_read_twice_are_refused():
    batch = np.ones((1, 1)), np.ones((1, 1))
    with pytest.raises(ConfigError, match="gone through only once"):
        allocate_batches(iter([batch]))
    with pytest.raises(ConfigError, match="batches of type int"):
        allocate_batches(3)


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (lambda gains: gains[::-1], "other figures, or in another order"),
        (lambda gains: gains[[1, 0, *range(2, len(gains))]], "other figures, or in another order"),
        (lambda gains: gains[:-1], "batches of 199 customers after 200"),
        (lambda gains: gains[:0], "batches of 0 customers after 200"),
    ],
)
def test_customers_who_come_in_another_order_the_second_time_are_noticed(small, again, message):
    gains = np.random.default_rng(8).lognormal(1, 1, (200, 1))
    reads = iter(range(100))

    def read() -> Any:
        figures = gains if next(reads) == 0 else again(gains)
        yield figures, np.ones(1)

    with pytest.raises(ConfigError, match=message):
        allocate_batches(read, money=20)


FINE = np.ones((2, 2))


@pytest.mark.parametrize(
    ("batches", "others", "message"),
    [
        ([], {}, "no batch at all"),
        ([(FINE, FINE), (FINE, FINE * np.nan)], {}, "batch 1: costs that are not finite"),
        ([(FINE, FINE), (np.ones((2, 3)), np.ones(3))], {}, "batch 1: 3 actions and gains, costs, after 2"),
        ([(FINE, FINE, [0, 0]), (FINE, FINE)], {}, "after 2 and gains, costs, segment"),
        ([FINE], {}, "a batch of type ndarray"),
        ([(FINE,)], {}, "a batch of type tuple and length 1"),
        ([(FINE, FINE)], {"hours": 3, "hours_each": FINE}, "hours_each of shape"),
        ([PricedBatch(FINE, FINE, hours_each=FINE)], {"hours_each": [1, 1]}, "in the batches and beside them"),
        ([(FINE, FINE)], {"hours": 3}, "hours=3 without hours_each"),
        ([(FINE, FINE)], {"at_least": [1]}, "without segment"),
        ([(FINE, FINE)], {"risk": 1.0}, "risk=1 without gains_sd"),
        ([(np.ones((50_000, 1)), FINE[0, :1])], {"exact": True}, "exact=True with 50,000 customers"),
    ],
)
def test_bad_input_makes_one_clear_error(batches, others, message):
    with pytest.raises(ConfigError, match=message) as told:
        allocate_batches(batches, **others)
    assert "rule:" in str(told.value)


@pytest.fixture
def table():
    polars = pytest.importorskip("polars")
    rng = np.random.default_rng(9)
    columns = {f"gain{a}": rng.lognormal(1, 1, 900) for a in range(3)} | {f"cost{a}": rng.random(900) for a in range(3)}
    columns["tier"] = rng.integers(0, 2, 900)
    columns["may"] = rng.random(900) < 0.8
    return polars.DataFrame({"who": [f"c{i:03}" for i in range(900)]} | columns)


FIELDS: dict[str, Any] = {
    "gains": ["gain0", "gain1", "gain2"],
    "costs": ["cost0", "cost1", "cost2"],
    "segment": "tier",
    "allowed": ["may"] * 3,
    "customer": "who",
}


@pytest.mark.parametrize("engine", ["polars", "duckdb", "parquet"])
def test_a_table_is_read_in_batches_and_the_plan_written_beside_it(small, table, engine, tmp_path):
    polars = pytest.importorskip("polars")
    if engine == "duckdb":
        duckdb = pytest.importorskip("duckdb")
        pytest.importorskip("pyarrow")
        source = duckdb.connect().from_arrow(table.to_arrow())
    elif engine == "parquet":
        (tmp_path / "in").mkdir()
        for k in range(3):
            table[300 * k : 300 * k + 300].write_parquet(tmp_path / "in" / f"{k}.parquet")
        source = tmp_path / "in"
    else:
        source = table.lazy()
    limits: dict[str, Any] = {"money": 60.0, "at_least": [40, 0]}
    got = allocate_batches(priced_batches(source, **FIELDS, rows=128), **limits)
    expected = allocate(
        table.select("gain0", "gain1", "gain2").to_numpy(),
        table.select("cost0", "cost1", "cost2").to_numpy(),
        segment=table["tier"].to_numpy(),
        allowed=table.select(polars.col("may").alias(str(a)) for a in range(3)).to_numpy(),
        **limits,
    )
    assert differences(outcome(lambda: expected), outcome(lambda: got)) == []
    got.write(tmp_path / "out")
    written = polars.read_parquet(tmp_path / "out" / "*.parquet")
    some = expected.choice >= 0
    assert written["who"].to_list() == table["who"].filter(polars.Series(some)).to_list()
    assert written["action"].to_list() == expected.choice[some].tolist()


def test_a_table_must_have_the_columns_that_are_named(table):
    fields = FIELDS | {"costs": [1.0, 2.0, 3.0]}
    assert allocate_batches(priced_batches(table.lazy(), **fields), money=10).used["money"] <= 10
    with pytest.raises(ColumnError, match="no column 'gian0'"):
        allocate_batches(priced_batches(table.lazy(), **FIELDS | {"gains": ["gian0", "gain1", "gain2"]}))
    with pytest.raises(ConfigError, match="a column for each action"):
        priced_batches(table.lazy(), **FIELDS | {"gains": ["gain0"]})
    with pytest.raises(ConfigError, match="all columns or all figures"):
        priced_batches(table.lazy(), **FIELDS | {"costs": ["cost0", 1.0, 2.0]})
    with pytest.raises(ConfigError, match="batches without ids"):
        allocate_batches([(FINE, FINE)]).write("nowhere")
    none = allocate_batches(priced_batches(table[:0].lazy(), **FIELDS), money=10)
    assert (none.customers, none.contacts) == (0, 0)
