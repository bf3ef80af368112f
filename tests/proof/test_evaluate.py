"""What a policy would have earned, from a log with known chances: figures of a peer, planted truths, refusals.

Wrong on purpose, and caught: swapped weights, predictions that saw the rewards, propensities that are not those drawn.
"""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.proof import evaluate_policy

HERE = Path(__file__).parent / "obp"


@pytest.fixture(scope="module")
def peer():
    """The problems, and what Open Bandit Pipeline 0.5.7 said of them (benchmarks/peers/obp_peer.py --write)."""
    spec = importlib.util.spec_from_file_location("problems", HERE / "problems.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, json.loads((HERE / "reference.json").read_text(encoding="utf-8"))["values"]


def ours(one, estimator, **more):
    if estimator == "dr":
        more = {"predicted": one["guess"]} | more
    return evaluate_policy(
        one["action"], one["reward"], one["pscore"], one["target"], estimator=estimator, least_buyers=0, **more
    )


def agrees(one, known):
    for estimator, value in known.items():
        assert ours(one, estimator).value == pytest.approx(value, rel=1e-8), estimator


def test_estimates_are_those_of_open_bandit_pipeline(peer):
    problems, reference = peer
    one = problems.made_up()
    agrees(one, reference["made up"])
    everyone = one | {"pscore": np.full(5000, 0.25), "target": np.full((5000, 4), 0.25)}
    assert ours(everyone, "ips").value == pytest.approx(one["reward"].mean())
    swapped = one | {
        "pscore": one["target"][np.arange(5000), one["action"]],
        "target": np.repeat(one["pscore"][:, None], 4, axis=1) / 4 + (1 - one["pscore"][:, None]) / 4,
    }
    with pytest.raises(AssertionError):
        agrees(swapped, reference["made up"])


@pytest.mark.parametrize("logger", ["random", "bts"])
@pytest.mark.parametrize("campaign", ["men", "women"])
def test_estimates_are_those_of_open_bandit_pipeline_on_its_own_data(peer, shared_data, campaign, logger):
    pytest.importorskip("pyarrow")
    problems, reference = peer
    folder = shared_data("open_bandit_small/README.md").parent
    agrees(problems.open_bandit(folder, campaign, logger), reference[f"open bandit: {campaign}, {logger}"])


def test_a_log_with_46_clicks_is_refused(peer, shared_data):
    pytest.importorskip("pyarrow")
    problems, _ = peer
    one = problems.open_bandit(shared_data("open_bandit_small/README.md").parent, "men", "random")
    got = evaluate_policy(one["action"], one["reward"], one["pscore"], one["target"], estimator="snips")
    assert got.verdict == "thin overlap"
    assert math.isnan(got.value)


def a_log(rng, n, *, effect=1.0, buy=1.0):
    """Two actions; the second brings ``effect * x`` more, x known; the logger leans on x."""
    x = rng.normal(size=n)
    p = 1 / (1 + np.exp(-x))
    done = (rng.random(n) < p).astype(int)
    chance = np.where(done == 1, p, 1 - p)
    reward = np.where(rng.random(n) < buy, 5 + 2 * x + effect * done * x + rng.normal(size=n), 0.0)
    return x, p, done, chance, reward


@given(st.integers(0, 10**6), st.sampled_from(["ips", "snips", "dr"]))
@settings(max_examples=25)
def test_names_numbers_and_probabilities_say_the_same(seed, estimator):
    rng = np.random.default_rng(seed)
    _, p, done, chance, reward = a_log(rng, 150)
    want = rng.integers(0, 2, 150)
    names = np.array(["wait", "act"])
    by_number = evaluate_policy(done, reward, chance, want, estimator=estimator, names=[0, 1], least_buyers=0)
    for actions, propensities, target, known in (
        (names[done], chance, names[want], ["wait", "act"]),
        (names[done].astype(object), chance.tolist(), names[want].tolist(), ["wait", "act"]),
        (done, np.stack([1 - p, p], axis=1), np.eye(2)[want], None),
        (done == 1, chance, want == 1, [False, True]),
    ):
        got = evaluate_policy(actions, reward, propensities, target, estimator=estimator, names=known, least_buyers=0)
        assert (got.value, got.low, got.high) == pytest.approx((by_number.value, by_number.low, by_number.high))
        assert got.over_logged.value == pytest.approx(got.value - reward.mean())
    turn = rng.permutation(150)
    if estimator != "dr":  # its folds are drawn by row
        again = evaluate_policy(done[turn], reward[turn], chance[turn], want[turn], estimator=estimator, least_buyers=0)
        assert (again.value, again.high) == pytest.approx((by_number.value, by_number.high))


def test_a_policy_that_draws_as_the_log_did_earns_what_was_earned():
    _, p, done, _, reward = a_log(np.random.default_rng(1), 300)
    odds = np.stack([1 - p, p], axis=1)
    for estimator in ("ips", "snips"):
        got = evaluate_policy(done, reward, odds, odds, estimator=estimator)
        assert got.value == pytest.approx(got.earned, rel=1e-14)
        assert got.over_logged.value == pytest.approx(0.0, abs=1e-13)
        assert (got.over_logged.low, got.over_logged.high) == pytest.approx((0.0, 0.0), abs=1e-12)
        assert got.over_logged.verdict == "estimated"
        assert got.overlap.effective == pytest.approx(300)


def test_a_planted_truth_is_found_by_each_estimator_and_shortest_with_context():
    """The policy acts where x > 0: true value 5 + E[x; x > 0] = 5 + 1 / sqrt(2 pi). Logs of 500 rows, 400 of them: a
    coverage of 0.95 has an error of 0.011, and 0.91 to 0.985 is over three of them. The gain over the log is
    E[x 1{x > 0}] - E[p x], by quadrature."""
    node, w = np.polynomial.hermite_e.hermegauss(80)
    gain = 1 / math.sqrt(2 * math.pi) - float((w * node / (1 + np.exp(-node))).sum() / w.sum())
    true = 5 + 1 / math.sqrt(2 * math.pi)
    held, wide = {}, {}
    for run in range(400):
        rng = np.random.default_rng([2, run])
        x, _, done, chance, reward = a_log(rng, 500)
        want = (x > 0).astype(int)
        for how in ("ips", "snips", "dr"):
            got = evaluate_policy(
                done, reward, chance, want, estimator=how, context={"x": x} if how == "dr" else None, seed=run
            )
            held.setdefault(how, []).append(
                (got.low <= true <= got.high, got.over_logged.low <= gain <= got.over_logged.high)
            )
            wide.setdefault(how, []).append(got.high - got.low)
    for how, some in held.items():
        for share in np.mean(some, axis=0):
            assert 0.91 <= share <= 0.985, (how, share)
    assert np.mean(wide["dr"]) < 0.95 * np.mean(wide["snips"]) < 0.8 * np.mean(wide["ips"])


def test_guesses_that_are_wrong_bias_nothing():
    """300 logs of 200 rows: the mean of the estimates has an error of 0.03; the bound is four of them."""
    true, found = 5 + 1 / math.sqrt(2 * math.pi), []
    for run in range(300):
        x, _, done, chance, reward = a_log(np.random.default_rng([3, run]), 200)
        silly = np.stack([x**2, 9 - 3 * x], axis=1)
        found.append(evaluate_policy(done, reward, chance, (x > 0).astype(int), predicted=silly).value)
    assert abs(np.mean(found) - true) < 4 * np.std(found) / math.sqrt(300)


def test_predictions_that_saw_the_rewards_look_surer_than_they_are():
    """Least squares of 60 columns on the 100 rows of each action, in sample. 250 logs tell a spread to 5 %; here it is
    a third more than the error says, and an interval for 95 % holds 85 % (error 2 %)."""
    true, found = 5 + 1 / math.sqrt(2 * math.pi), []
    for run in range(250):
        rng = np.random.default_rng([3, run])
        x, done = rng.normal(size=(200, 60)), rng.integers(0, 2, 200)
        reward = 5 + done * x[:, 0] + rng.normal(size=200)
        z = np.column_stack([np.ones(200), x])
        fits = [np.linalg.lstsq(z[done == a], reward[done == a], rcond=None)[0] for a in (0, 1)]
        got = evaluate_policy(
            done, reward, 0.5, (x[:, 0] > 0).astype(int), predicted=np.stack([z @ f for f in fits], 1)
        )
        found.append((got.value, got.error, got.low <= true <= got.high))
    value, error, held = np.array(found).T
    assert error.mean() < 0.88 * value.std()
    assert held.mean() < 0.91


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_spend_intervals_hold_where_fifty_buyers_match_and_refuse_below(estimator):
    """3,000 rows of which 4 % spend, log-normally: 60 buyers match. 300 logs, an error of 0.014: 0.90 is over three of
    them. What is not refused is what is measured; of 500 rows all are refused, for ten buyers match."""
    held = []
    for run in range(300):
        rng = np.random.default_rng([4, run])
        done, want = rng.choice(["a", "b"], 3000), rng.choice(["a", "b"], 3000)
        reward = np.where(rng.random(3000) < 0.04, rng.lognormal(3.0, 0.8, 3000), 0.0)
        got = evaluate_policy(done, reward, 0.5, want, estimator=estimator)
        if got.verdict == "estimated":
            held.append(got.low <= 0.04 * math.exp(3 + 0.32) <= got.high)
        few = evaluate_policy(done[:500], reward[:500], 0.5, want[:500], estimator=estimator)
        assert few.verdict == few.over_logged.verdict == "thin overlap"
        assert all(math.isnan(each) for each in (few.value, few.low, few.high, few.error, few.over_logged.value))
        assert few.to_dict()["value"] is None
        json.dumps(few.to_dict(), allow_nan=False)
    assert len(held) > 240
    assert np.mean(held) > 0.90


def test_buyers_count_by_the_weight_they_carry():
    """A hundred buyers of whom one stands for nearly all of the policy's customers are about one."""
    reward = np.ones(1000)
    done = np.zeros(1000, dtype=int)
    want = np.zeros((1000, 2))
    want[:, 0], want[:, 1] = 0.01, 0.99
    want[0] = 1.0, 0.0
    done[500:] = 1
    propensities = np.where(done == 0, 0.9, 0.9)
    propensities[0] = 1e-4
    got = evaluate_policy(done, reward * (done == 0), propensities, want, estimator="ips", least_buyers=50)
    assert got.overlap.buyers == 500
    assert got.overlap.effective_buyers == pytest.approx(1.0, abs=0.01)
    assert got.overlap.largest_weight == 1e4
    assert got.verdict == "thin overlap"
    assert "500 buyers" in got.notes[0]
    assert "worth 1.0" in got.notes[0]


def test_the_value_may_be_known_where_the_difference_is_not():
    """A policy that departs from the log in ten rows of a thousand: its value is known, not what the ten changed."""
    rng = np.random.default_rng(5)
    odds = np.full((1000, 2), 0.5)
    want = odds.copy()
    want[:10] = 0.0, 1.0
    got = evaluate_policy(rng.integers(0, 2, 1000), rng.gamma(2.0, size=1000), odds, want, estimator="snips")
    assert (got.verdict, got.over_logged.verdict) == ("estimated", "thin overlap")
    assert math.isnan(got.over_logged.value)
    assert got.over_logged.buyers <= 10


def test_those_who_buy_are_counted_and_not_those_whom_costs_make_differ_from_nothing():
    rng = np.random.default_rng(6)
    done = rng.integers(0, 2, 2000)
    margin = np.where(rng.random(2000) < 0.01, 30.0, 0.0)
    reward = margin - 0.5 * done
    assert evaluate_policy(done, reward, 0.5, np.ones(2000, dtype=int)).verdict == "estimated"
    assert evaluate_policy(done, reward, 0.5, np.ones(2000, dtype=int), bought=margin > 0).verdict == "thin overlap"


def test_decisions_that_the_log_could_not_make_are_told_and_refused():
    rng = np.random.default_rng(7)
    odds = np.tile([0.5, 0.5, 0.0], (600, 1))
    odds[:300] = 0.2, 0.3, 0.5
    done = np.array([rng.choice(3, p=p) for p in odds])
    want = np.full(600, 2)
    got = evaluate_policy(done, np.ones(600), odds, want)
    assert got.overlap.unsupported == 0.5
    assert got.verdict == "thin overlap"
    assert "50.0% of the policy's decisions could not have been made" in " ".join(got.notes)
    half = evaluate_policy(done, np.ones(600), odds, np.tile([0.5, 0.498, 0.002], (600, 1)))
    assert half.overlap.unsupported == pytest.approx(0.001)
    assert half.verdict == "estimated"


def test_chances_that_were_not_those_of_the_draw_are_noticed():
    """With the right ones the mean weight is within its bounds in all but 1 of 10,000 logs."""
    rng = np.random.default_rng(8)
    done = (rng.random(4000) < 0.3).astype(int)
    reward, want = rng.random(4000), np.ones(4000, dtype=int)
    right = evaluate_policy(done, reward, np.where(done == 1, 0.3, 0.7), want)
    wrong = evaluate_policy(done, reward, np.full(4000, 0.5), want)
    assert not any("mean weight" in note for note in right.notes)
    assert any("the mean weight is" in note for note in wrong.notes)


def test_one_customers_rows_are_one_draw():
    _, _, done, chance, reward = a_log(np.random.default_rng(9), 400)
    want, who = np.ones(400, dtype=int), [f"c{i}" for i in range(400)]
    once = evaluate_policy(done, reward, chance, want, estimator="snips")
    again = [np.repeat(each, 3) for each in (done, reward, chance, want, who)]
    told = evaluate_policy(*again[:4], estimator="snips", customer_id=again[4])
    assert (told.low, told.high) == pytest.approx((once.low, once.high))
    assert evaluate_policy(*again[:4], estimator="snips").error < 0.6 * once.error
    by_fold = evaluate_policy(*again[:4], customer_id=again[4], context={"x": again[1] * 0 + np.arange(1200) % 7})
    assert by_fold.low < once.high


def test_a_thousand_rows_of_eight_customers_are_eight():
    """Skewed spend, the same customers again and again: with 8 nothing is told; of 120 the interval holds. 100 logs,
    an error of 0.022 at 0.95: 0.88 is three of them."""
    truth, held = math.exp(0.5), []
    for run in range(100):
        for people, rows in ((8, 150), (120, 10)):
            rng = np.random.default_rng([12, run])
            who = np.repeat(np.arange(people), rows)
            done = rng.integers(0, 2, len(who))
            reward = rng.lognormal(0.0, 1.0, people)[who] * rng.exponential(1.0, len(who))
            got = evaluate_policy(done, reward, 0.5, np.ones(len(who), dtype=int), estimator="snips", customer_id=who)
            assert got.overlap.buyers <= people
            if people == 8:
                assert got.verdict == got.over_logged.verdict == "thin overlap"
                assert got.overlap.effective_buyers <= 8
            else:
                held.append(got.low <= truth <= got.high)
    assert np.mean(held) > 0.88


def test_of_one_customer_alone_nothing_is_told():
    rng = np.random.default_rng(13)
    done, reward = rng.integers(0, 2, 500), rng.random(500)
    for want in (np.ones(500, dtype=int), np.full((500, 2), 0.5)):
        got = evaluate_policy(done, reward, 0.5, want, customer_id=["anna"] * 500, least_buyers=0)
        assert got.verdict == got.over_logged.verdict == "thin overlap"
        assert math.isnan(got.value)
        assert any("all rows are one customer's" in note for note in got.notes)


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_what_was_logged_is_no_target(estimator):
    """Each weight would be one over its propensity: twice what was earned, by ips with an error of nothing."""
    _, p, done, chance, reward = a_log(np.random.default_rng(14), 300)
    for propensities, target in ((0.5, done), (chance, done), (np.stack([1 - p, p], 1), np.eye(2)[done])):
        with pytest.raises(ConfigError, match="a target that is what was logged"):
            evaluate_policy(done, reward, propensities, target, estimator=estimator)
    with pytest.raises(ConfigError, match="a target that is what was logged"):
        evaluate_policy(done, reward, 0.5, done, estimator=estimator, customer_id=np.arange(300) // 10)
    sure = evaluate_policy(done, reward, 1.0, done, estimator=estimator)
    assert sure.value == reward.mean(), "where no chance was in it that is the value"
    few = evaluate_policy(done[:3], reward[:3], 0.5, done[:3], estimator=estimator, least_buyers=0)
    assert few.verdict == "thin overlap", "three rows agree by chance one time in eight"
    assert any("every weight is 2.000" in note for note in few.notes)


def test_weights_that_are_all_alike_and_not_1_give_no_number():
    rng = np.random.default_rng(15)
    got = evaluate_policy(rng.integers(0, 2, 500), rng.random(500), 0.25, np.full((500, 2), 0.5))
    assert got.verdict == got.over_logged.verdict == "thin overlap"
    assert any("every weight is 2.000, and their mean should be 1" in note for note in got.notes)


GOOD = {
    "actions": ["a", "b", "a", "b"],
    "rewards": [1.0, 0.0, 2.0, 3.0],
    "propensities": [0.5, 0.5, 0.5, 0.5],
    "target": ["a", "a", "b", "b"],
}
BAD = [
    ({"rewards": [1.0, math.nan, 2.0, math.inf]}, "rewards is missing or infinite in row 1 and 1 more"),
    ({"rewards": ["x", 1, 2, 3]}, "rewards holds what is no number"),
    ({"rewards": [1.0]}, "1 rows"),
    ({"rewards": [[1.0, 2.0]]}, r"rewards of shape \(1, 2\)"),
    ({"actions": ["a", "b", "a"]}, "actions for 3 rows, rewards for 4"),
    ({"actions": ["a", None, "a", "b"]}, "actions is missing in row 1"),
    ({"target": ["a", "a", "b"]}, "target for 3 rows"),
    ({"target": ["a", "a", "b", "c"]}, "the target takes 'c', which was never logged"),
    ({"target": ["a", "a", "b", "c"], "names": ["a", "b"]}, "target holds 'c' in row 3"),
    ({"names": ["a", "a"]}, "names="),
    ({"propensities": [0.5, 0.0, 0.5, 1.5]}, r"propensities is outside \(0, 1\] in row 1 and 1 more"),
    ({"propensities": [0.5, math.nan, 0.5, 0.5]}, r"propensities is outside \(0, 1\] in row 1 "),
    ({"propensities": [0.5, 0.5]}, "propensities for 2 rows"),
    ({"propensities": np.full((4, 3), 1 / 3)}, r"propensities of shape \(4, 3\) for 4 rows and 2 actions"),
    ({"propensities": np.full((4, 2), 0.4)}, "propensities are negative, or do not sum to 1, in row 0 and 3 more"),
    ({"propensities": np.array([[0, 1], [0, 1], [1, 0], [0, 1]])}, r"outside \(0, 1\] in row 0 \(counted"),
    ({"target": np.array([[0.5, 0.5], [0.5, 0.4], [1, 0], [0, 1]])}, "does not sum to 1, in row 1 "),
    ({"target": np.array([[0.5, 0.5], [1.5, -0.5], [1, 0], [0, 1]])}, "does not sum to 1, in row 1"),
    ({"target": np.full((4, 3), 1 / 3)}, r"target of shape \(4, 3\) for 4 rows and 2 actions"),
    ({"target": np.full((4, 3), 1 / 3), "names": ["a", "b", "c"]}, "the target takes 'c', which was never logged"),
    ({"estimator": "dm"}, "estimator='dm'"),
    ({"estimator": "ips", "context": {"x": [1, 2, 3, 4]}}, "estimator='ips' with context"),
    ({"context": {"x": [1, 2, 3, 4]}, "predicted": np.zeros((4, 2))}, "context and predicted"),
    ({"context": {"x": [1, 2, 3]}}, "context for 3 rows"),
    ({"predicted": np.zeros((4, 3))}, r"predicted of shape \(4, 3\)"),
    ({"predicted": [[0, 0], [0, 0], [0, math.nan], [0, 0]]}, "predicted is missing or infinite in row 2"),
    ({"bought": [1, 0, 1, 1]}, "bought holds other values"),
    ({"customer_id": ["anna", "berta"]}, "customer_id for 2 rows"),
    ({"customer_id": ["anna", None, "anna", None]}, "customer_id is missing in row 1 and 1 more"),
    ({"customer_id": ["anna", "anna", math.nan, "b"]}, "customer_id is missing in row 2"),
    ({"customer_id": np.array(["anna", math.nan, "b", "c"], dtype=object)}, "customer_id is missing in row 1"),
    ({"customer_id": [1.0, math.nan, 2.0, 3.0]}, "customer_id is missing in row 1"),
    ({"customer_id": ["anna", "b", "c", " "]}, "customer_id is missing in row 3"),
    ({"rewards": [1.0, 1e300, 2.0, 3.0]}, r"rewards is beyond 1e\+30 in row 1"),
    ({"predicted": [[0, 0], [0, 0], [0, 1e200], [0, 0]]}, r"predicted is beyond 1e\+30 in row 2"),
    ({"propensities": [0.5, 1e-300, 0.5, 0.5]}, "propensities is below 1e-30 in row 1"),
    ({"rewards": np.ma.array([1.0, 9.0, 2.0, 3.0], mask=[0, 1, 0, 1])}, "rewards is masked in row 1 and 1 more"),
    ({"propensities": np.ma.array([0.5] * 4, mask=[0, 0, 1, 0])}, "propensities is masked in row 2"),
    ({"actions": np.ma.array(["a", "b", "a", "b"], mask=[0, 0, 1, 0])}, "actions is masked in row 2"),
    ({"target": np.ma.array(np.full((4, 2), 0.5), mask=[[0, 0], [0, 1], [0, 0], [0, 0]])}, "target is masked in row 1"),
    ({"customer_id": np.ma.array([1, 2, 3, 4], mask=[0, 0, 0, 1])}, "customer_id is masked in row 3"),
    ({"actions": np.array([None, (1,), 5, (1,), 5], dtype=object)[1:]}, "actions of kinds that have no order"),
    ({"seed": -1}, "seed=-1"),
    ({"seed": "x"}, "seed='x'"),
    ({"least_buyers": "x"}, "least_buyers='x'"),
    ({"interval": 95}, "interval=95"),
    ({"folds": 1}, "folds=1"),
    ({"least_buyers": math.nan}, "least_buyers=nan"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "said"), BAD)
def test_what_is_wrong_is_named_by_its_row(wrong, said):
    assert evaluate_policy(**GOOD, least_buyers=0).verdict == "estimated"
    with pytest.raises(ConfigError, match=said) as caught:
        evaluate_policy(**(GOOD | wrong))
    assert "anna" not in str(caught.value)


def test_a_cell_that_pandas_calls_missing_is_missing():
    pd = pytest.importorskip("pandas")
    for name in ("actions", "target", "customer_id"):
        for kind in ("string", "object"):
            with pytest.raises(ConfigError, match=f"{name} is missing in row 1"):
                evaluate_policy(**(GOOD | {name: pd.array(["a", pd.NA, "b", "a"], dtype=kind)}))
    with pytest.raises(ConfigError, match="rewards"):
        evaluate_policy(**(GOOD | {"rewards": pd.array([1.0, pd.NA, 2.0, 3.0], dtype="Float64")}))


def test_nobody_matches_is_a_refusal_and_no_crash():
    for estimator in ("ips", "snips", "dr"):
        got = evaluate_policy(["a", "a", "b"], [1.0, 2.0, 3.0], 0.5, ["b", "b", "a"], estimator=estimator)
        assert got.verdict == "thin overlap"
        assert got.overlap.matched == 0


def test_an_estimate_shows_itself():
    rng = np.random.default_rng(10)
    done = rng.choice(["a", "<b>"], 500)
    got = evaluate_policy(done, rng.random(500), 0.5, done[::-1])
    assert repr(got).startswith("<Estimate 0.")
    assert len(repr(got)) < 160
    assert "95% interval" in got.sentence
    refused = evaluate_policy(done[:50], rng.random(50), 0.5, done[:50][::-1])
    for each in (got, refused):
        assert each._repr_html_().startswith("<p><b>")
        assert "<b>'" not in each._repr_html_()
        assert each.plot().get_xlabel() == "reward per row"
    assert json.loads(json.dumps(got.to_dict()))["overlap"]["matched"] == got.overlap.matched


def test_the_same_seed_says_the_same_and_another_hardly_else():
    x, _, done, chance, reward = a_log(np.random.default_rng(11), 500)
    want = (x > 0).astype(int)
    one, two, other = (evaluate_policy(done, reward, chance, want, context={"x": x}, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one.value != other.value
    assert one.value == pytest.approx(other.value, abs=0.1 * one.error)


def test_a_policys_value_is_what_it_brings_when_it_is_really_played():
    """The logger prefers mail for the loyal; the policy does the reverse. 20,000 rows; intervals of four errors."""
    rng = np.random.default_rng(15)
    n = 20_000
    loyal = rng.integers(0, 2, n)
    chance = np.where(loyal == 1, 0.8, 0.3)
    mailed = rng.random(n) < chance
    spend = rng.normal(1 + loyal + mailed * (1 - 2 * loyal))
    target = np.where(loyal == 1, "nothing", "mail")
    log = np.where(mailed, "mail", "nothing"), spend, np.where(mailed, chance, 1 - chance), target
    found = [evaluate_policy(*log, estimator=name) for name in ("ips", "snips")]
    found.append(evaluate_policy(*log, context={"loyal": loyal}))
    for each in found:
        assert abs(each.value - 2.0) < 4 * each.error
        assert each.low < each.value < each.high
    assert found[0].error > found[1].error > 0.9 * found[2].error
    everyone = evaluate_policy(log[0], spend, 0.5, ["mail"] * n, estimator="snips", least_buyers=0)
    assert everyone.value == pytest.approx(spend[mailed].mean())
