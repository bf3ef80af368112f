"""What every margin model keeps, whatever it supposes; and which one the data choose."""

import csv
import gzip
import json

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.errors import ModelError
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.value.margins.auto import AutoMargin
from retention.value.margins.credibility import Credibility
from retention.value.margins.days import own_days
from retention.value.margins.dependence import dependence
from retention.value.margins.gammagamma import GammaGamma
from retention.value.margins.named import margin_from_dict, margin_model
from retention.value.margins.protocol import FittedMargin, MarginModel

RECIPES = [
    pytest.param(model(first=first, by_rate=by_rate), id=f"{model.__name__}{'-first' * first}{'-by-rate' * by_rate}")
    for model in (GammaGamma, Credibility)
    for first in (False, True)
    for by_rate in (False, True)
] + [pytest.param(GammaGamma(first=True, by_rate=True, by_days=True), id="GammaGamma-first-by-rate-by-days")]


def shop(n, seed, *, correlation=0.0, returns=0.0):
    """Purchase days as a shop has them: rates and margins log-normal, some customers fond of sending things back.

    Gives histories, each customer's true mean margin, and what the gamma posterior of her log-rate would say.
    """
    from scipy.special import psi

    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    weeks = rng.uniform(20, 100, n)
    x = rng.poisson(0.03 * np.exp(0.9 * common) * weeks)
    own = 2.9 + 0.5 * (correlation * common + np.sqrt(1 - correlation**2) * rng.normal(size=n))
    share = rng.beta(0.6, 0.6 * (1 - returns) / returns, n) if returns else np.zeros(n)
    who = np.repeat(np.arange(n), x + 1)
    sold = np.exp(own[who] + 0.6 * rng.normal(size=len(who)))
    day = np.where(rng.random(len(who)) < share[who], -25.0 * rng.gamma(4, 0.25, len(who)), sold)
    first = day[np.concatenate([[0], np.cumsum(x + 1)[:-1]])]
    total, squares = np.bincount(who, day, n), np.bincount(who, day**2, n)
    base = Histories.from_arrays(
        frequency=x,
        recency_days=np.where(x > 0, weeks * 6, 0.0),
        age_days=weeks * 7,
        margin=total,
        margin_mean=np.where(x > 0, (total - first) / np.maximum(x, 1), 0.0),
        margin_squares=np.where(x > 0, np.maximum(squares - first**2, 0.0), 0.0),
    )
    shape = 1 / np.expm1(0.81)
    log_rate = psi(shape + x) - np.log(shape / (0.03 * np.exp(0.405)) + weeks)
    return base, (1 - share) * np.exp(own + 0.18) - 25.0 * share, log_rate


def answers(fitted, base, log_rate):
    weights = np.linspace(0.5, 2.0, len(base))
    moments = fitted.moments(base, 16, log_rate)
    return {
        "margin_mean": fitted.margin_mean(base, log_rate),
        "mean": moments.mean,
        "root square": np.sqrt(moments.square),
        "root product": np.sqrt(moments.product),
        "totals": fitted.totals(base, weights, 16, log_rate),
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_dollars_and_cents_give_the_same_answers(recipe):
    base, _, log_rate = shop(600, seed=1, correlation=0.3, returns=0.03)
    cents = evolve(
        base,
        margin=base.margin * 100,
        margin_mean=base.margin_mean * 100,
        margin_squares=base.margin_squares * 1e4,
    )
    one, hundred = recipe.fit(base, log_rate), recipe.fit(cents, log_rate)
    for name, values in answers(one, base, log_rate).items():
        assert answers(hundred, cents, log_rate)[name] == pytest.approx(values * 100, rel=1e-8), name
    free = {"p", "q", "log_rate_mean"} | ({"slope"} if recipe.name == "gamma-gamma" else set())
    for name, value in one.params.items():
        assert hundred.params[name] == pytest.approx(value * (1 if name in free else 100), rel=1e-8), name
        if name in one.standard_errors:
            expected = one.standard_errors[name] * (1 if name in free else 100)
            assert hundred.standard_errors[name] == pytest.approx(expected, rel=1e-6), name


@pytest.mark.parametrize("recipe", RECIPES)
def test_log_rates_a_week_and_a_day_give_the_same_answers(recipe):
    base, _, log_rate = shop(600, seed=2, correlation=0.3)
    week, day = recipe.fit(base, log_rate), recipe.fit(base, log_rate - np.log(7))
    for name, values in answers(week, base, log_rate).items():
        assert answers(day, base, log_rate - np.log(7))[name] == pytest.approx(values, rel=1e-8), name


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_row_of_weight_two_is_two_customers(recipe):
    base, _, log_rate = shop(300, seed=3, correlation=0.3, returns=0.03)
    weight = np.where(np.arange(len(base)) % 3 == 0, 2.0, 1.0)
    weight[5] = 0.0
    rows = np.repeat(np.arange(len(base)), weight.astype(int))
    twice = evolve(base[rows], customer_id=np.array([f"r{i:04d}" for i in range(len(rows))]))
    weighed, repeated = recipe.fit(base, log_rate, weight), recipe.fit(twice, log_rate[rows])
    assert dict(weighed.params) == pytest.approx(dict(repeated.params), rel=1e-7)
    assert weighed.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-10)
    assert dict(weighed.standard_errors) == pytest.approx(dict(repeated.standard_errors), rel=1e-6)
    assert weighed.margin_mean(base, log_rate) == pytest.approx(repeated.margin_mean(base, log_rate), rel=1e-7)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([3.0, 8.0, 8.5, 20.0, 45.0])), min_size=1, max_size=9),
    st.lists(st.integers(1, 4), min_size=9, max_size=9),
    st.booleans(),
)
@settings(max_examples=8)
def test_a_row_of_weight_k_is_k_customers_in_any_small_base(shown, weights, loss):
    """The choice, its reason, the numbers and the bands of dependence, with ties among the rows."""
    x, mean = (np.array(part) for part in zip(*shown, strict=True))
    weight = np.array(weights[: len(x)], dtype=np.float64)
    rates = np.log(x + 0.5)
    mean = np.where(x > 0, mean, 0.0)
    if loss:
        mean[0] = -mean[0]
    rows = np.repeat(np.arange(len(x)), weight.astype(int))

    def base(of):
        return Histories.from_arrays(
            frequency=x[of], recency_days=5.0 * x[of], age_days=np.full(len(of), 60.0), margin=(mean * (x + 1))[of],
            margin_mean=mean[of],
        )  # fmt: skip

    few, all_of_them = base(np.arange(len(x))), base(rows)
    for recipe in (GammaGamma(by_rate=True), Credibility(), AutoMargin(first=True)):
        one, other = recipe.fit(few, rates, weight), recipe.fit(all_of_them, rates[rows])
        assert one.name == other.name
        assert one.margin_mean(few, rates) == pytest.approx(other.margin_mean(few, rates), rel=1e-5)
        assert len(one.notes) == len(other.notes)
        assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-7, abs=1e-7)
    one, other = dependence(few, rates, weight=weight), dependence(all_of_them, rates[rows])
    for name in ("slope", "standard_error", "p_value", "effect", "effect_low", "effect_high"):
        expected = getattr(other, name)
        assert getattr(one, name) == pytest.approx(expected, rel=1e-5, abs=1e-9, nan_ok=True), name
    for name in ("customers", "log_rate", "margin_mean", "margin_error"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, abs=1e-9), name
    assert one.customers.tolist() == np.round(one.customers).tolist()


def test_the_choice_weighs_rows_as_customers():
    """A base of few rows with much weight gets its trial; dealt by row, a fold would hold every copy of a row."""
    base, _, log_rate = shop(400, seed=16, correlation=0.2)
    weight = np.random.default_rng(1).integers(1, 4, len(base)).astype(float)
    rows = np.repeat(np.arange(len(base)), weight.astype(int))
    one, other = AutoMargin().fit(base, log_rate, weight), AutoMargin().fit(base[rows], log_rate[rows])
    assert one.name == other.name
    assert one.notes == other.notes
    assert dict(one.params) == pytest.approx(dict(other.params), rel=1e-7)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_fitted_model_goes_through_json_and_gives_the_same_numbers(recipe):
    base, _, log_rate = shop(200, seed=4, correlation=0.3, returns=0.03)
    fitted = recipe.fit(base, log_rate)
    again = margin_from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    for name, values in answers(fitted, base, log_rate).items():
        assert np.array_equal(answers(again, base, log_rate)[name], values), name
    assert again.params == fitted.params
    assert margin_model(**json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert isinstance(recipe, MarginModel)
    stored = fitted.to_dict()
    for part in stored:
        with pytest.raises(ModelError):
            margin_from_dict({name: value for name, value in stored.items() if name != part})
        if part not in ("first", "by_days"):
            for odd in ("x", np.nan, {"mood": "good"}):
                with pytest.raises(ModelError):
                    margin_from_dict({**stored, part: odd})
    for odd in ({"mood": "good"}, {"estimate": {**stored["estimate"], "spread": [[1.0]]}}):
        with pytest.raises(ModelError):
            margin_from_dict({**stored, **odd})
    assert isinstance(fitted, FittedMargin)


@pytest.mark.parametrize("recipe", RECIPES)
def test_given_parameters_leave_no_doubt(recipe):
    base, _, log_rate = shop(200, seed=5, correlation=0.3)
    fitted = recipe.fit(base, log_rate)
    given = recipe.at(**fitted.params)
    weights = np.ones(len(base))
    only = given.totals(base, weights, 16, log_rate)
    assert only.shape == (1,)
    assert only[0] == pytest.approx(given.margin_mean(base, log_rate).sum(), rel=1e-12)
    moments = given.moments(base, 16, log_rate)
    assert np.all(moments.square > moments.product)
    assert np.all(moments.product >= moments.mean**2 * (1 - 1e-12))
    assert (given.estimate, given.log_likelihood, given.standard_errors, given.diagnosis) == (None, None, None, "")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_customer_gets_the_same_answer_alone_as_in_company(recipe):
    base, _, log_rate = shop(150, seed=6, correlation=0.3, returns=0.05)
    fitted = recipe.fit(base, log_rate)
    whole = answers(fitted, base, log_rate)
    for i in (0, 7, 149):
        alone = fitted.moments(base[[i]], 16, log_rate[[i]])
        assert alone.mean[0] == pytest.approx(whole["mean"][i], rel=1e-12)
        assert fitted.margin_mean(base[[i]], log_rate[[i]])[0] == pytest.approx(whole["margin_mean"][i], rel=1e-12)
    totals = [fitted.totals(part, np.ones(len(part)), 16, rates) for part, rates in
              ((base[:70], log_rate[:70]), (base[70:], log_rate[70:]))]  # fmt: skip
    assert totals[0] + totals[1] == pytest.approx(fitted.totals(base, np.ones(150), 16, log_rate), rel=1e-12)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    "kind", ["nobody", "one-time buyers", "one repeat buyer", "all alike", "all losses", "all zero"]
)
def test_a_base_that_cannot_tell_gives_finite_numbers_and_says_so(recipe, kind):
    n = {"nobody": 0, "one repeat buyer": 1}.get(kind, 40)
    repeat = kind != "one-time buyers"
    mean = {"all losses": -3.0, "all zero": 0.0}.get(kind, 12.0) * np.ones(n) * repeat
    x = np.full(n, 2 if repeat else 0)
    base = Histories.from_arrays(
        frequency=x,
        recency_days=x * 20.0,
        age_days=[100.0] * n,
        margin_mean=mean,
        margin=mean * x + 12.0 * (not repeat),
    )
    rates = np.linspace(-3, -2, n)
    if recipe.first and kind in ("all zero",):
        base = evolve(base, margin=base.margin + 1.0)
    fitted = recipe.fit(base, rates)
    assert fitted.diagnosis
    assert fitted.notes
    for values in answers(fitted, base, rates).values():
        assert np.all(np.isfinite(values))
    if kind in ("one repeat buyer", "all alike", "one-time buyers") and not recipe.first:
        assert fitted.margin_mean(base, rates) == pytest.approx(np.full(n, 12.0), rel=0.35)


@pytest.mark.parametrize("recipe", RECIPES)
def test_rates_beyond_those_seen_count_as_the_last_one_seen(recipe):
    """A line through repeat buyers says nothing of who never came back."""
    base, _, log_rate = shop(500, seed=7, correlation=0.5)
    fitted = recipe.fit(base, log_rate)
    seen = log_rate if recipe.first else log_rate[base.frequency > 0]
    new = Histories.from_arrays(
        frequency=[0, 0], recency_days=[0, 0], age_days=[1, 1], margin=[20.0, 20.0] if recipe.first else [0.0, 0.0]
    )
    far, edge = fitted.margin_mean(new, np.array([seen.min() - 30, seen.min()]))
    assert far == edge


def test_a_recipe_that_does_not_go_by_rates_does_not_look_at_them():
    base, _, log_rate = shop(200, seed=8, correlation=0.5)
    for recipe in (GammaGamma(), Credibility()):
        assert recipe.fit(base, log_rate).params == recipe.fit(base).params
    for recipe in (GammaGamma(by_rate=True), Credibility(by_rate=True)):
        without = recipe.fit(base)
        assert "slope" not in without.params
        assert any("no log-rates" in note for note in without.notes)
        assert any("are alike" in note for note in recipe.fit(base, np.zeros(200)).notes)


def test_what_a_customer_showed_is_what_her_days_say():
    """Three days of 10 | 20, 30: the first one is told by the total alone."""
    base = Histories.from_arrays(
        frequency=[2, 2, 1, 0],
        recency_days=[9, 9, 9, 0],
        age_days=[20, 20, 20, 20],
        margin=[60.0, 60.0, 30.0, 10.0],
        margin_mean=[25.0, 25.0, 20.0, 0.0],
        margin_squares=[1300.0, 0.0, 0.0, 0.0],
    )
    repeat, everything = own_days(base, first=False), own_days(base, first=True)
    assert repeat.number.tolist() == [2, 2, 1, 0]
    assert repeat.mean.tolist() == [25, 25, 20, 0]
    assert repeat.free.tolist() == [1, 0, 0, 0]  # the second customer's squares are not known
    assert repeat.squares[0] == pytest.approx(np.sum((np.array([20, 30]) - 25.0) ** 2))
    assert everything.mean.tolist() == [20, 20, 15, 10]
    assert everything.free.tolist() == [2, 1, 1, 0]
    assert everything.squares[0] == pytest.approx(np.sum((np.array([10, 20, 30]) - 20.0) ** 2))
    assert everything.squares[1] == pytest.approx((10 - 25) ** 2 * 2 / 3)  # first against the mean of the others
    assert everything.squares[2] == pytest.approx(np.sum((np.array([10, 20]) - 15.0) ** 2))


def test_errors_say_what_to_do():
    base, _, log_rate = shop(50, seed=9)
    blind = evolve(base, margin=np.zeros(50))
    with pytest.raises(ModelError, match="first=True"):
        Credibility(first=True).fit(blind)
    with pytest.raises(ModelError, match="margin_squares"):
        Credibility().fit(evolve(base, margin_mean=base.margin_mean * 100))
    with pytest.raises(ModelError, match="log_rate"):
        Credibility(by_rate=True).fit(base, log_rate[:3])
    with pytest.raises(ModelError, match="log_rate"):
        GammaGamma(by_rate=True).fit(base, np.full(50, np.nan))
    with pytest.raises(ModelError, match="weight"):
        GammaGamma().fit(base, None, -np.ones(50))
    with pytest.raises(ModelError, match="credibility"):
        margin_model("credibilty")
    with pytest.raises(ModelError, match="by_rate"):
        margin_model("auto", by_rate=True)
    with pytest.raises(ModelError, match="stored margin model"):
        margin_from_dict({"margin": "of error"})
    with pytest.raises(ModelError, match="mean"):
        Credibility().at(between=1.0, within=1.0)
    with pytest.raises(ModelError, match="slope"):
        Credibility().at(mean=1.0, between=1.0, within=1.0, slope=np.inf)
    with pytest.raises(ModelError, match="one of them"):
        AutoMargin().at(p=1.0, mean=3.0)
    with pytest.raises(ModelError, match="gamma-gamma"):
        GammaGamma().fit(base).from_dict(Credibility().fit(base).to_dict())


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_normal_doubt_is_checked_against_the_likelihood(recipe):
    """A spread that the likelihood confirms has a small k-hat, one three times too narrow a large one."""
    base, _, log_rate = shop(1_500, seed=15, correlation=0.3)
    fitted = recipe.fit(base, log_rate)
    assert fitted.k_hat(base, log_rate) < 0.7
    narrow = evolve(fitted.estimate, spread=np.asarray(fitted.estimate.spread) / 9)
    assert evolve(fitted, estimate=narrow).k_hat(base, log_rate) > 0.7
    assert recipe.at(**fitted.params).k_hat(base, log_rate) == np.inf


# The choice


def test_skewed_margins_without_losses_choose_gamma_gamma_and_say_why():
    base, _, log_rate = shop(3_000, seed=10)
    fitted = AutoMargin().fit(base, log_rate)
    assert fitted.name == "gamma-gamma"
    assert any("held-out log score" in note for note in fitted.notes)
    assert "slope" not in fitted.params


def test_normal_margins_choose_credibility():
    rng = np.random.default_rng(11)
    x = rng.integers(1, 12, 2_000)
    base = Histories.from_arrays(
        frequency=x, recency_days=x * 5.0, age_days=[100] * 2_000,
        margin_mean=100 + 15 * rng.normal(size=2_000) + 20 * rng.normal(size=2_000) / np.sqrt(x),
    )  # fmt: skip
    fitted = AutoMargin().fit(base)
    assert fitted.name == "credibility"
    assert any("held-out log score" in note for note in fitted.notes)


def test_losses_choose_credibility_and_dependence_is_modelled():
    base, _, log_rate = shop(3_000, seed=12, correlation=0.5, returns=0.06)
    fitted = AutoMargin().fit(base, log_rate)
    assert fitted.name == "credibility"
    assert fitted.params["slope"] > 0
    assert any("show a loss" in note for note in fitted.notes)
    assert any("margins go with frequency" in note for note in fitted.notes)


def test_the_choice_does_not_depend_on_the_order_of_the_rows():
    base, _, log_rate = shop(500, seed=13, correlation=0.2)
    order = np.random.default_rng(1).permutation(500)
    one, other = AutoMargin().fit(base, log_rate), AutoMargin().fit(base[order], log_rate[order])
    assert one.name == other.name
    assert dict(one.params) == pytest.approx(dict(other.params), rel=1e-7)
    assert one.notes == other.notes


def test_a_handful_gets_gamma_gamma_unless_one_of_them_shows_a_loss():
    x = [3] * 6
    gains = Histories.from_arrays(
        frequency=x, recency_days=[9] * 6, age_days=[20] * 6, margin_mean=[1, 2, 3, 4, 5, 6.0]
    )
    assert AutoMargin().fit(gains).name == "gamma-gamma"
    loss = evolve(gains, margin_mean=np.array([1, 2, -3, 4, 5, 6.0]))
    assert AutoMargin().fit(loss).name == "credibility"
    assert AutoMargin().at(p=2.0, q=3.0, v=1.0).name == "gamma-gamma"
    assert AutoMargin().at(mean=-2.0, between=3.0, within=1.0).name == "credibility"


# A world with returns


def test_with_returns_each_step_comes_nearer_to_the_truth():
    """6 % of purchase days lose money, more of them with some customers, and who comes often brings more: own mean >
    gamma-gamma on clipped means > credibility > with the first day as well > with rates, in that order of error.

    20,000 customers; the smallest step is 0.1 of 9.0, and its standard error over seeds is 0.02.
    """
    base, truth, log_rate = shop(20_000, seed=14, correlation=0.3, returns=0.06)

    def error(means):
        return float(np.sqrt(np.mean((means - truth) ** 2)))

    clipped = evolve(base, margin_mean=np.where(base.frequency > 0, np.maximum(base.margin_mean, 0.01), 0.0))
    steps = [
        error(base.margin / (base.frequency + 1)),
        error(GammaGamma().fit(clipped).margin_mean(clipped)),
        error(Credibility().fit(base).margin_mean(base)),
        error(Credibility(first=True).fit(base).margin_mean(base)),
        error(Credibility(first=True, by_rate=True).fit(base, log_rate).margin_mean(base, log_rate)),
    ]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < 0.75 * steps[1]
    everything = Credibility(first=True, by_rate=True).fit(base, log_rate).margin_mean(base, log_rate)
    assert everything.mean() == pytest.approx(truth.mean(), rel=0.02)  # gamma-gamma on clipped means is 15 % above
    assert GammaGamma().fit(clipped).margin_mean(clipped).mean() > 1.1 * truth.mean()
    assert dependence(base, log_rate, first=True).verdict == "dependent"


# CDNOW, fitted on 39 weeks, judged on the mean order of the following 39


@pytest.mark.parametrize(
    ("file", "who", "buyers", "table"),
    [
        (
            "cdnow_sample",
            "sample_id",
            684,
            {"own": (30.87, 17.27), "gamma": (29.07, 17.65), "gamma-first": (29.47, 16.62), "normal": (28.25, 16.78)},
        ),
        pytest.param(
            "cdnow_master",
            "customer_id",
            7_056,
            {"own": (32.04, 18.16), "gamma": (31.36, 18.14), "gamma-first": (30.92, 17.48), "normal": (29.44, 16.75)},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_errors_on_the_music_shop_are_those_of_an_independent_prototype(shared_data, file, who, buyers, table):
    """Root mean square and mean absolute error; the prototype fitted by simplex search and by a short EM."""
    with gzip.open(shared_data(f"cdnow/{file}.csv.gz"), "rt") as handle:
        rows = list(csv.DictReader(handle))
    columns = {"customer_id": [r[who] for r in rows], "at": [r["date"] for r in rows]}
    log = TransactionLog.from_arrays(**columns, revenue=[r["sales"] for r in rows])
    then = summarize(log, as_of="1997-09-30", habits=False)
    later = summarize(log, as_of="1998-06-30", habits=False)
    again = later.frequency[np.isin(later.customer_id, then.customer_id)] - then.frequency
    spent = later.margin[np.isin(later.customer_id, then.customer_id)] - then.margin
    held = (spent > 0) & (then.margin > 0)  # two of the whole cohort had paid nothing so far
    assert held.sum() == buyers
    truth = spent[held] / again[held]
    means = {
        "own": then.margin / (then.frequency + 1),
        "gamma": GammaGamma().fit(then).margin_mean(then),
        "gamma-first": GammaGamma(first=True).fit(then).margin_mean(then),
        "normal": Credibility(first=True).fit(then).margin_mean(then),
    }
    for name, (rmse, mae) in table.items():
        apart = means[name][held] - truth
        assert np.sqrt(np.mean(apart**2)) == pytest.approx(rmse, abs=0.015), name
        assert np.mean(np.abs(apart)) == pytest.approx(mae, abs=0.015), name
