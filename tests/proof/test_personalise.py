"""One for all or to each her own: planted worlds, the gate, learners of strangers, and what is refused."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest

from retention.errors import ColumnError, ConfigError, ModelError, RetentionError, UnknownNameError
from retention.proof import personalise, uplift_curve, uplift_scores


def shop(seed, n=3000, *, lift=1.0, cost=0.0):
    """Two mails and nothing; the wool mail works with those who like wool, the silk mail with the others."""
    rng = np.random.default_rng(seed)
    likes = rng.choice(["wool", "silk", "both"], n)
    age = rng.integers(18, 80, n)
    arm = rng.choice(["nothing", "silk mail", "wool mail"], n)
    works = ((arm == "wool mail") & (likes != "silk")) | ((arm == "silk mail") & (likes != "wool"))
    spend = rng.normal(5.0 + 0.01 * age + lift * works, 1.0)
    return {"likes": likes, "age": age}, arm, spend


def right(likes, arm):
    fits = np.isin(arm, ["wool mail", "silk mail"])
    return fits & ((likes == "both") | (np.char.partition(arm, " ")[:, 0] == likes))


class Means:
    """A stranger's learner: the mean of her group, told apart by the sign of one column."""

    def __init__(self):
        self.fitted = False

    def fit(self, X, y):
        assert not self.fitted
        self.fitted = True
        self.column = np.argmax([abs(np.sum(np.sign(X[:, k]) * y)) for k in range(X.shape[1])])
        high = X[:, self.column] > 0
        self.means = y[high].mean(), y[~high].mean()

    def predict(self, X):
        return np.where(X[:, self.column] > 0, *self.means)


def test_where_tastes_differ_each_gets_what_suits_her():
    features, arm, spend = shop(1)
    found = personalise(features, arm, spend, control="nothing", repeats=2)
    assert found.decision == "personal"
    # Two thirds like either mail; the right one for each brings a third more.
    assert found.low < 1 / 3 < found.high
    fresh, _, _ = shop(2)
    assert np.mean(right(fresh["likes"], found.recommend(fresh))) > 0.99
    assert found.sentence.startswith("personal: choosing by customer beats")


def test_where_nobody_differs_one_mail_goes_to_all():
    """No mail works: 40 experiments, of which the gate opens in at most 5 %; 6 or more happen to 1 in 70 seeds."""
    opened = 0
    for seed in range(40):
        features, arm, spend = shop(seed, 400, lift=0.0)
        found = personalise(features, arm, spend, repeats=2, seed=seed)
        opened += found.decision == "personal"
        assert (found.recommend(features) == found.best).all() or found.decision == "personal"
    assert opened < 6


def test_the_gate_stays_shut_until_the_gain_is_worth_the_trouble():
    features, arm, spend = shop(1)
    found = personalise(features, arm, spend, repeats=2, least_gain=0.4)
    assert found.decision == "one for all"
    assert found.low < 0.4
    assert set(found.recommend(features)) == {found.best}
    assert len(set(found.learned(features))) > 1
    assert "by 0.40 or more" in found.sentence


def test_a_contact_that_costs_more_than_it_brings_is_not_made():
    features, arm, spend = shop(3)
    dear = personalise(features, arm, spend, costs={"wool mail": 2.0, "silk mail": 2.0}, control="nothing", repeats=2)
    assert dear.best == "nothing"
    assert set(dear.recommend(features)) == {"nothing"}
    costs = {"wool mail": 2.0, "silk mail": 0.3}
    silk = personalise(features, arm, spend, costs=costs, control="nothing", repeats=2)
    likes = features["likes"]
    assert np.mean((silk.recommend(features) == "silk mail") == (likes != "wool")) > 0.99


def test_a_margin_by_customer_decides_whom_to_contact():
    """Everyone buys half a piece more; a piece is worth 1 to 5 and a contact costs 1.5: worth it from 3 on."""
    rng = np.random.default_rng(4)
    n = 12_000
    margins, arm = rng.uniform(1, 5, n), rng.choice(["mail", "nothing"], n)
    pieces = rng.poisson(1 + 0.5 * (arm == "mail"))
    found = personalise(
        {"x": rng.random(n)}, arm, pieces, margins=margins, costs={"mail": 1.5}, control="nothing", repeats=2
    )
    assert found.decision == "personal"
    # E max(m / 2 - 1.5, 0) over m uniform on [1, 5] is 0.25, of all for one nothing.
    assert found.low < 0.25 < found.high
    asked = found.recommend({"x": [0.5, 0.5]}, margins=[2.0, 4.0])
    assert asked.tolist() == ["nothing", "mail"]
    with pytest.raises(ConfigError, match="margins left out"):
        found.recommend({"x": [0.5]})


def test_a_dense_proxy_finds_what_sparse_money_hides():
    """One visitor in ten buys, for about 60. On money alone the effects drown; on visits they do not."""
    rng = np.random.default_rng(5)
    n = 20_000
    x, arm = rng.integers(0, 2, n), rng.choice(["a", "b"], n)
    visit = (rng.random(n) < 0.1 + 0.2 * ((arm == "a") == (x == 1))).astype(float)
    spend = visit * (rng.random(n) < 0.1) * rng.lognormal(4.0, 0.5, n)
    noise = {f"n{k}": rng.normal(size=n) for k in range(10)}
    features = {"x": x} | noise
    proxied = personalise(features, arm, spend, proxy=visit, repeats=2)
    alone = personalise(features, arm, spend, repeats=2)
    hit = [np.mean((each.learned(features) == "a") == (x == 1)) for each in (proxied, alone)]
    assert hit[0] > 0.95
    assert hit[0] >= hit[1]
    assert proxied.decision == "personal"
    ahead = alone.policy_table.policy[np.argmax(alone.policy_table.value[:2])]
    assert any("came out higher" in note for note in alone.notes) == (ahead != f"{alone.best} to all")


def test_a_proxy_that_lies_does_not_open_the_gate():
    """Mail "a" brings visits and no money, mail "b" money and no visits, both with everyone. 20 experiments."""
    opened = 0
    for seed in range(20):
        rng = np.random.default_rng([21, seed])
        arm, x = rng.choice(["a", "b"], 1500), rng.random(1500)
        visit = rng.normal(0.5 * (arm == "a") * x)
        found = personalise({"x": x}, arm, rng.normal(1 + 0.1 * (arm == "b")), proxy=visit, repeats=1, seed=seed)
        opened += found.decision == "personal"
    assert opened <= 2


def test_chances_that_differ_between_customers_are_weighed_out():
    """The mail went mostly to those who buy anyway. By the arms' shares it seems to work; it does nothing."""
    rng = np.random.default_rng(6)
    n = 8000
    loyal = rng.integers(0, 2, n)
    chance = np.where(loyal == 1, 0.9, 0.2)
    arm = np.where(rng.random(n) < chance, "mail", "nothing")
    spend = rng.normal(3.0 * loyal)
    told = {"mail": chance, "nothing": 1 - chance}
    blind = {"x": rng.normal(size=n)}
    right_ = personalise(blind, arm, spend, propensities=told, control="nothing", repeats=1)
    wrong = personalise(blind, arm, spend, control="nothing", repeats=1)
    by_name = dict(zip(right_.policy_table.policy, right_.policy_table.value, strict=True))
    assert by_name["mail to all"] == pytest.approx(1.5, abs=0.25)
    assert dict(zip(wrong.policy_table.policy, wrong.policy_table.value, strict=True))["mail to all"] > 2.0
    by_column = np.stack([chance, 1 - chance], axis=1)
    array = personalise(blind, arm, spend, propensities=by_column, control="nothing", repeats=1)
    assert array.policy_table.equals(right_.policy_table)


def test_any_frame_and_any_order_of_columns_give_one_answer():
    features, arm, spend = shop(7, 600)
    found = personalise(features, arm, spend, repeats=1)
    for frame in (pd.DataFrame(features), pl.DataFrame(features), pd.DataFrame(features)[["age", "likes"]]):
        again = personalise(frame[["likes", "age"]], pd.Series(arm), pl.Series(spend), repeats=1)
        assert again.policy_table.equals(found.policy_table)
        assert np.array_equal(again.learned(frame), found.learned(features))
    likes = (features["likes"] == "wool").astype(float)
    matrix = np.stack([likes, features["age"]], axis=1)
    assert personalise(matrix, arm, spend, repeats=1).n == 600
    assert personalise(pd.DataFrame(features).astype({"likes": "category"}), arm, spend, repeats=1).low == found.low


def test_same_seed_same_answer_and_the_result_tells_itself():
    features, arm, spend = shop(8, 500)
    found, again = (personalise(features, arm, spend, control="nothing", repeats=2, seed=3) for _ in range(2))
    assert found.to_dict() == again.to_dict()
    assert repr(found) == f"<Personalisation {found.sentence}>"
    assert "silk mail" in found._repr_html_()
    table = found.policy_table
    assert table.policy.tolist() == ["nothing to all", "silk mail to all", "wool mail to all", "personal"]
    assert table.personal_share[:3].sum() == pytest.approx(1.0)
    assert table.customer(f"{found.best} to all")["difference"] == 0.0
    assert table.customer("personal")["difference"] == found.difference
    assert found.by_repeat.mean() == pytest.approx(found.difference)
    assert len(table.to_frame(like="polars")) == 4
    assert [t.get_text() for t in found.plot().get_yticklabels()] == table.policy.tolist()


def test_names_that_are_markup_stay_text():
    features, arm, spend = shop(8, 400)
    arm = np.where(arm == "nothing", "<script>", arm)
    assert "<script>" not in personalise(features, arm, spend, repeats=1)._repr_html_()


@pytest.mark.parametrize("learner", [Means(), Means, lambda: Means()], ids=["object", "class", "function"])
def test_a_learner_of_ones_own_is_copied_for_each_fit_and_never_fitted_itself(learner):
    rng = np.random.default_rng(9)
    x, arm = rng.integers(0, 2, 1000), rng.choice(["a", "b"], 1000)
    spend = rng.normal(1.0 * ((arm == "a") == (x == 1)))
    found = personalise({"x": x, "y": rng.random(1000)}, arm, spend, learner=learner, repeats=2)
    assert found.decision == "personal"
    assert found.recommend({"x": [0, 1], "y": [0.5, 0.5]}).tolist() == ["b", "a"]
    assert not getattr(learner, "fitted", False)


def test_a_factory_that_hands_out_one_learner_again_and_again_does_no_harm():
    one = Means()
    rng = np.random.default_rng(9)
    arm = rng.choice(["a", "b"], 400)
    personalise({"x": rng.random(400)}, arm, rng.normal(size=400), learner=lambda: one, repeats=1)
    assert not one.fitted


def test_scikit_learn_plugs_in():
    linear = pytest.importorskip("sklearn.linear_model")
    pipeline = pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    features, arm, spend = shop(1)
    for learner in (
        linear.Ridge(alpha=10.0),
        pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LinearRegression()),
    ):
        before = copy.deepcopy(learner)
        found = personalise(features, arm, spend, learner=learner, repeats=1)
        assert found.decision == "personal"
        assert learner.get_params().keys() == before.get_params().keys()
        assert np.mean(right(features["likes"], found.learned(features))) > 0.99


class Wrong(Means):
    def __init__(self, answer):
        self.answer = answer

    def fit(self, X, y):
        pass

    def predict(self, X):
        return self.answer(X)


@pytest.mark.parametrize("answer", [lambda X: [1.0], lambda X: np.full(len(X), np.nan)], ids=["length", "nan"])
def test_a_learner_that_answers_nonsense_is_named(answer):
    features, arm, spend = shop(8, 400)
    with pytest.raises(ModelError, match="the learner Wrong foretold"):
        personalise(features, arm, spend, learner=Wrong(answer), repeats=1)


def test_few_buyers_are_said_to_be_few_and_open_nothing():
    rng = np.random.default_rng(10)
    n = 2000
    x, arm = rng.integers(0, 2, n), rng.choice(["a", "b"], n)
    bought = ((arm == "a") == (x == 1)) & (rng.random(n) < 0.04)
    found = personalise({"x": x}, arm, bought * 100.0, repeats=2)
    assert found.low > 0
    assert found.buyers < 50
    assert found.decision == "one for all"
    assert "too few buyers" in found.sentence
    assert any("under 50" in note for note in found.notes)


def test_what_cannot_be_learned_from_is_one_clear_error():
    features, arm, spend = shop(11, 400)
    n = len(arm)
    holes = features | {"age": np.where(np.arange(n) == 3, np.nan, features["age"])}
    gaps = features | {"likes": np.where(np.arange(n) == 3, None, features["likes"])}
    half = {"nothing": 0.5, "silk mail": 0.5, "wool mail": 0.5}
    for error, words, args, how in (
        (ModelError, "one arm only", (features, ["mail"] * n, spend), {}),
        (ModelError, "has 1 customers", (features, np.where(np.arange(n) == 0, "call", arm), spend), {}),
        (ModelError, "outcome is 2 for everyone", (features, arm, np.full(n, 2.0)), {}),
        (ModelError, "proxy is 0 for everyone", (features, arm, spend), {"proxy": np.zeros(n)}),
        (ConfigError, "outcome for 399", (features, arm, spend[1:]), {}),
        (ConfigError, "features for 400 customers, arms for 399", (features, arm[1:], spend[1:]), {}),
        (ConfigError, "features of lengths", (features | {"age": [1]}, arm, spend), {}),
        (ConfigError, "outcome is missing or infinite for 1", (features, arm, np.append(spend[1:], np.nan)), {}),
        (ConfigError, "outcome holds what is no number", (features, arm, ["much"] * n), {}),
        (ConfigError, "arm is missing", (features, [None, *arm[1:]], spend), {}),
        (ConfigError, "arm of shape", (features, [], spend), {}),
        (ConfigError, "do not sum to 1", (features, arm, spend), {"propensities": half}),
        (ConfigError, "above 0", (features, arm, spend), {"propensities": half | {"nothing": 0.0}}),
        (ConfigError, "without 'nothing'", (features, arm, spend), {"propensities": {"silk mail": 1, "wool mail": 1}}),
        (ConfigError, "propensities of shape", (features, arm, spend), {"propensities": np.full(n, 0.3)}),
        (UnknownNameError, "'silk'", (features, arm, spend), {"costs": {"silk": 1.0}}),
        (UnknownNameError, "'none'", (features, arm, spend), {"control": "none"}),
        (UnknownNameError, "'x'", (features, arm, spend), {"propensities": {"x": 1.0}}),
        (ConfigError, "finite amount", (features, arm, spend), {"costs": {"nothing": -1.0}}),
        (ColumnError, "'age' is missing or not finite in 1 rows", (holes, arm, spend), {}),
        (ColumnError, "'likes' is missing", (gaps, arm, spend), {}),
        (ColumnError, "holds dates", ({"d": np.full(n, "2011-12-09", "M8[D]")}, arm, spend), {}),
        (ColumnError, "no feature varies", ({"x": np.ones(n)}, arm, spend), {}),
        (ConfigError, "3 dimensions", (np.ones((n, 1, 1)), arm, spend), {}),
        (ConfigError, "interval=0.2", (features, arm, spend), {"interval": 0.2}),
        (ConfigError, "folds=1", (features, arm, spend), {"folds": 1}),
        (ConfigError, "least_gain=-1", (features, arm, spend), {"least_gain": -1}),
        (ConfigError, "learner of type str", (features, arm, spend), {"learner": "ridge"}),
    ):
        with pytest.raises(RetentionError, match=words) as told:
            personalise(*args, **how)
        assert type(told.value) is error, words


def test_a_policy_is_asked_about_customers_it_can_know():
    features, arm, spend = shop(12, 400)
    found = personalise(features, arm, spend, repeats=1)
    two = {"likes": ["wool", "silk"], "age": [30, 95]}
    assert len(found.recommend(two)) == 2  # older than anyone seen: as the oldest
    for words, asked in (
        ("there is no feature 'age'", {"likes": ["wool"]}),
        ("1 levels that were not there", two | {"likes": ["wool", "linen"]}),
        ("'age' was a number and is now", two | {"age": ["30", "95"]}),
        ("'age' is missing", two | {"age": [30, np.nan]}),
    ):
        with pytest.raises(ColumnError, match=words):
            found.recommend(asked)


def test_rare_levels_count_as_one_and_new_ones_with_them():
    features, arm, spend = shop(13, 600)
    towns = np.array([f"town {k % 300}" if k % 2 else "city" for k in range(600)])
    found = personalise(features | {"town": towns}, arm, spend, repeats=1)
    assert any("rare levels count as one" in note for note in found.notes)
    one = {"likes": ["wool"], "age": [30]}
    assert found.learned(one | {"town": ["nowhere"]}) == found.learned(one | {"town": ["town 1"]})


def test_ranking_by_what_a_mail_changes_beats_chance_and_ranking_by_habit_need_not():
    rng = np.random.default_rng(14)
    n = 6000
    x, habit = rng.random(n), rng.random(n)
    arm = rng.choice(["mail", "nothing"], n)
    visit = (rng.random(n) < 0.1 + 0.3 * habit + 0.3 * x * (arm == "mail")).astype(float)
    lift = uplift_scores({"x": x, "habit": habit}, arm, visit, treatment="mail", control="nothing", repeats=2)
    curve = uplift_curve(lift, arm == "mail", visit)
    assert curve.low > 0
    # Effects of 0.3 x with x uniform: an area of 0.3 / 12 for a perfect ranking.
    assert curve.qini < 0.025 + 3 * curve.error
    assert uplift_curve(habit, arm == "mail", visit).low < 0
    assert curve.share[0] == curve.gain[0] == 0
    assert curve.gain[-1] == pytest.approx(visit[arm == "mail"].mean() - visit[arm != "mail"].mean())
    assert len(curve.plot().lines) == 2
    with pytest.raises(ConfigError, match="of 6,000 treated"):
        uplift_curve(x, np.ones(n, dtype=bool), visit)
    with pytest.raises(ConfigError, match="other values than"):
        uplift_curve(x, arm, visit)
    with pytest.raises(UnknownNameError, match="'sms'"):
        uplift_scores({"x": x}, arm, visit, treatment="sms", control="nothing")
