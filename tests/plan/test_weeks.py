"""Plans over several weeks keep to caps, gaps and limits, remember the weeks before, and the bound is true."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.plan import allocate_weeks

FEW = settings(max_examples=60, deadline=None)


def broken(choice: Any, costs: Any, **given: Any) -> list[str]:
    """The independent checker: counts every window of every customer one by one."""
    window, most, apart = given.get("window", 4), given.get("most", 1), given.get("apart", 1)
    found = []
    for i, line in enumerate(np.asarray(choice).tolist()):
        before = given["past"][i].tolist() if "past" in given else []
        weeks = [j - len(before) for j, had in enumerate(before) if had] + [w for w, a in enumerate(line) if a >= 0]
        new = [w for w in weeks if w >= 0]
        for w in new:
            for first in range(w - window + 1, w + 1):
                if sum(first <= v < first + window for v in weeks) > most:
                    found.append("cap")
            if any(0 < abs(w - v) < apart for v in weeks):
                found.append("gap")
    contacts = [(i, w, a) for i, line in enumerate(np.asarray(choice).tolist()) for w, a in enumerate(line) if a >= 0]
    if math.fsum(costs[i, w, a] for i, w, a in contacts) > given.get("money", math.inf):
        found.append("money")
    if "capacity" in given:
        places = np.broadcast_to(given["capacity"], (np.shape(choice)[1], np.shape(given["capacity"])[-1]))
        for w, c in np.ndindex(*places.shape):
            if sum(week == w and given["channel"][a] == c for _, week, a in contacts) > places[w, c]:
                found.append("capacity")
    if "allowed" in given and not all(given["allowed"][i, w, a] for i, w, a in contacts):
        found.append("allowed")
    return found


def problem(seed: int, n: int, w: int, k: int) -> tuple[Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    gains, costs = rng.lognormal(0.5, 1, (n, w, k)) - 0.5, rng.lognormal(-0.5, 0.7, (n, w, k))
    given: dict[str, Any] = {
        "window": int(rng.integers(1, 5)),
        "most": int(rng.integers(1, 3)),
        "apart": int(rng.integers(1, 4)),
    }
    if rng.random() < 0.6:
        given["past"] = rng.random((n, int(rng.integers(1, 5)))) < 0.3
    if rng.random() < 0.6:
        given["money"] = float(rng.random() * n * 2)
    if rng.random() < 0.7:
        given["channel"] = rng.integers(0, 2, k)
        given["capacity"] = rng.integers(0, n + 1, (w, 2) if rng.random() < 0.5 else 2).tolist()
    if rng.random() < 0.5:
        given["allowed"] = rng.random((n, w, k)) < 0.7
    return gains, costs, given


@pytest.mark.parametrize("seed", range(60))
def test_the_bound_of_a_small_plan_is_true_and_no_rule_is_broken(seed):
    gains, costs, given = problem(seed, 2, 3, 2)
    best = -math.inf
    for flat in itertools.product(range(-1, 2), repeat=6):
        choice = np.array(flat).reshape(2, 3)
        if not broken(choice, costs, **given):
            i, w = np.nonzero(choice >= 0)
            best = max(best, math.fsum((gains - costs)[i, w, choice[i, w]]))
    got = allocate_weeks(gains, costs, **given)
    assert broken(got.choice, costs, **given) == []
    assert got.objective <= best + 1e-9
    assert best <= got.bound + 1e-9


@FEW
@given(seed=st.integers(0, 10_000))
def test_one_customer_without_limits_gets_her_best_calendar(seed):
    gains, costs, given = problem(seed, 1, 6, 1)
    given = {name: given[name] for name in ("window", "most", "apart", "past") if name in given}
    best = max(
        math.fsum((gains - costs)[0, w, 0] for w, a in enumerate(flat) if a >= 0)
        for flat in itertools.product((-1, 0), repeat=6)
        if not broken([flat], costs, **given)
    )
    got = allocate_weeks(gains, costs, **given)
    assert got.objective == pytest.approx(best, abs=1e-12)
    assert got.gap < 1e-9


def many(n: int, seed: int = 0) -> tuple[Any, Any, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    gains = (rng.lognormal(0, 0.8, (n, 1, 1)) * rng.gamma(2, 0.5, (n, 8, 4))).astype(np.float32)
    costs = np.broadcast_to(np.array([0.1, 0.3, 0.6, 1.0]), gains.shape)
    given = {
        "window": 4,
        "most": 2,
        "apart": 2,
        "channel": np.array([0, 0, 1, 1]),
        "capacity": [int(0.07 * n), int(0.1 * n)],
        "allowed": np.broadcast_to((rng.random((n, 4)) < 0.7)[:, None], gains.shape),
        "past": rng.random((n, 3)) < 0.15,
    }
    return gains, costs, given


@pytest.mark.parametrize("money", [math.inf, 900.0])
def test_a_plan_of_eight_weeks_is_next_to_its_bound(money):
    gains, costs, given = many(8_000)
    given["money"] = money
    got = allocate_weeks(gains, costs, **given)
    assert broken(got.choice, costs, **given) == []
    assert got.gap <= 1e-3
    again = allocate_weeks(gains, costs, **given)
    assert np.array_equal(got.choice, again.choice)


def test_what_is_dropped_and_filled_by_hand_stays_within_the_rules(monkeypatch):
    """Prices of nothing, so that everybody wants the same weeks: dropping and filling alone keep every limit."""
    from retention._kernels import weeks
    from retention._kernels.prices import Found

    monkeypatch.setattr(weeks, "search", lambda calendar, *_, **__: Found(np.zeros(len(calendar.limits)), 0.0, 0.0))
    gains, costs, given = many(1_000)
    given["money"] = 100.0
    got = allocate_weeks(gains, costs, **given)
    assert broken(got.choice, costs, **given) == []
    assert 0 < got.objective < got.bound


def test_the_checker_sees_a_plan_that_forgets_the_weeks_before():
    gains, costs, given = many(400)
    forgetful = allocate_weeks(gains, costs, **{name: x for name, x in given.items() if name != "past"})
    assert broken(forgetful.choice, costs, **given) != []


def test_waiting_for_a_better_week_pays():
    got = allocate_weeks([[[5.0], [12.0], [6.0]]], [1.0], window=2)
    assert got.choice.tolist() == [[-1, 0, -1]]
    assert "1 contacts of 1 of 1 customers in 3 weeks" in repr(got)
    assert got.used["money"] == 1.0


def test_the_edges():
    ones = np.ones((3, 2, 1)) * 2
    assert allocate_weeks(ones, [1.0], most=0).contacts == 0
    assert allocate_weeks(ones, [1.0], money=0).contacts == 0
    assert allocate_weeks(ones, [0.0], money=0, window=1).contacts == 6
    assert allocate_weeks(ones, [1.0], capacity=[0]).contacts == 0
    assert allocate_weeks(ones, [1.0], capacity=[[1], [None]], window=2).contacts == 3
    assert allocate_weeks(-ones, [1.0]).contacts == 0
    assert allocate_weeks(np.ones((0, 2, 1)), [1.0], money=5, capacity=[2]).contacts == 0
    assert allocate_weeks(ones, [1.0], past=np.ones((3, 9), dtype=bool), window=9).contacts == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gains": np.ones((2, 2))}, "gains of shape"),
        ({"gains": np.full((2, 2, 2), np.nan)}, "gains that are not finite"),
        ({"costs": np.ones(3)}, "costs of shape"),
        ({"costs": -np.ones(2)}, "costs below 0"),
        ({"window": 0}, "window=0"),
        ({"window": 99}, "window=99"),
        ({"most": -1}, "most=-1"),
        ({"apart": 1.5}, "apart=1.5"),
        ({"money": -1}, "money=-1"),
        ({"past": np.zeros((3, 1), dtype=bool)}, "past of type bool"),
        ({"past": np.zeros((2, 1))}, "past of type float64"),
        ({"capacity": [1]}, "1 capacities"),
        ({"capacity": 1}, "a capacity of the wrong shape"),
        ({"capacity": [[1, 1]]}, "a capacity of the wrong shape"),
        ({"capacity": [1, 1], "channel": [0, 2]}, "2 capacities for channels up to 2"),
        ({"allowed": np.ones((2, 2))}, "allowed of type float64"),
    ],
)
def test_bad_input_makes_one_clear_error(change, message):
    with pytest.raises(ConfigError, match=message):
        allocate_weeks(**{"gains": np.ones((2, 2, 2)), "costs": np.ones(2), **change})
