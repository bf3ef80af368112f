"""One call from a base to what each customer is worth."""

import datetime as dt
import math

import numpy as np
import pytest
from attrs import evolve

import retention
from retention.errors import ConfigError
from retention.histories import Histories
from retention.testing import sample_histories
from retention.value import (
    BGBB,
    BGNBD,
    FittedValueModel,
    GGompertzNBD,
    NetValue,
    ParetoNBD,
    ServingCosts,
    ShiftedBetaGeometric,
    Tenures,
    Valuation,
    ValueModel,
    appraise,
    net_value,
)

MODEL = BGNBD().at(r=0.8, alpha=5.0, a=0.8, b=2.5, p=3.0, q=6.0, v=30.0)


def test_contracts_are_not_appraised_and_the_error_says_what_to_do():
    base = sample_histories()
    recipe = ShiftedBetaGeometric()
    cohort = Tenures.from_survivors([50, 40, 33, 29])
    for model in (recipe, recipe.fit(cohort), recipe.posterior(cohort, draws=100)):
        with pytest.raises(ConfigError, match=r"tenures"):
            retention.appraise(base, model=model)


ODD = [
    *({name: odd} for name in ("horizon_days", "discount_rate", "interval")
      for odd in ("x", "365", None, [0.1, 0.2], {"a": 1}, np.array([0.1, 0.2]), b"365", math.nan)),
    *({"chance": odd} for odd in ("maybe", None, 1, [True], math.nan)),
    *({"costs": odd} for odd in ("x", 3, {"per_order": 1}, ServingCosts)),
    *({"costs": ServingCosts(), "points": odd} for odd in ([1, 2], "x", 3, {"a": None}, {"a": [1]}, {"a": -1})),
    *({"costs": ServingCosts(), "contacts_a_year": odd}
      for odd in ([1], "post", 3, {"post": None}, {"post": "2"}, {"post": -1}, {"post": math.nan}, {3: 2})),
    *({"costs": ServingCosts(), "revenue_per_margin": odd} for odd in ("x", [2.5], -1, 0, math.nan, {})),
]  # fmt: skip


@pytest.mark.parametrize("wrong", ODD, ids=str)
def test_an_odd_argument_is_one_clear_error_that_names_it(wrong):
    name = list(wrong)[-1]
    with pytest.raises(
        ConfigError, match="cost or rate" if name == "points" and isinstance(wrong[name], dict) else name
    ):
        appraise(sample_histories(), MODEL, **wrong)
    if set(wrong) & {"horizon_days", "discount_rate", "interval"}:
        with pytest.raises(ConfigError, match=name):
            retention.appraise(sample_histories(), model=MODEL, **wrong)


def test_an_odd_base_is_one_clear_error():
    for odd in (None, "x", [1, 2], 3, {"a": 1}):
        with pytest.raises(ConfigError, match="histories"):
            appraise(odd, MODEL)


def test_no_customer_is_named_where_points_are_odd():
    with pytest.raises(ConfigError) as caught:
        appraise(sample_histories(), MODEL, costs=ServingCosts(), points=["ann.miller@example.org"])
    assert "ann" not in str(caught.value)


def test_a_recipe_is_fitted_and_a_fitted_model_is_used_as_it_is():
    base = sample_histories()
    recipe = BGNBD()
    by_recipe, by_model = appraise(base, recipe), appraise(base, recipe.fit(base))
    assert by_recipe.equals(by_model)
    assert recipe == BGNBD()
    assert isinstance(recipe, ValueModel)
    assert isinstance(recipe.fit(base), FittedValueModel)


def test_the_valuation_says_where_it_comes_from():
    base = Histories.from_arrays(
        frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272], margin_mean=[22.35, 0], as_of=dt.date(1997, 9, 30)
    )
    worth = appraise(base, BGNBD())
    source = worth.provenance
    assert (source.as_of, source.model) == ("1997-09-30", "bg-nbd")
    assert source.version
    assert {"r", "alpha", "a", "b", "p", "q", "v", "standard_errors"} <= source.parameters.keys()
    assert source.notes


@pytest.mark.parametrize(
    "wrong",
    [{"horizon_days": 0}, {"horizon_days": -1}, {"horizon_days": float("inf")}, {"discount_rate": -0.1},
     {"discount_rate": float("nan")}, {"interval": 0}, {"interval": 1}, {"interval": 90}],
)  # fmt: skip
def test_arguments_out_of_range_are_one_clear_error(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        appraise(sample_histories(), BGNBD(), **wrong)


def test_something_that_is_no_model_is_refused():
    with pytest.raises(ConfigError, match="model of type str"):
        appraise(sample_histories(), "bg-nbd")


def test_the_picture_shows_how_value_is_spread():
    pytest.importorskip("matplotlib").use("Agg")
    worth = appraise(sample_histories(), BGNBD())
    axes = worth.plot()
    drawn = axes.lines[0].get_ydata()
    assert drawn[0] == 0
    assert drawn[-1] == pytest.approx(100)
    assert np.all(np.diff(drawn) >= 0)
    assert worth.total() == pytest.approx(worth.value.sum())


# ---- net of costs


def three(**others):
    return Histories.from_arrays(
        frequency=[9, 2, 0], recency_days=[180, 100, 0], age_days=[190, 250, 60], margin_mean=[20, 30, 0],
        customer_id=["a", "b", "c"], **others,
    )  # fmt: skip


def test_with_costs_the_value_is_what_is_left_to_the_last_digit():
    costs = ServingCosts(
        per_order="0.50", per_day="0.01", contact={"post": "1.10"}, reward_rate="0.02", point_value="0.01"
    )
    net = appraise(three(), MODEL, costs=costs, contacts_a_year={"post": 2}, revenue_per_margin=2.5, points={"b": 300})
    gross = appraise(three(), MODEL)
    assert isinstance(net, NetValue)
    assert isinstance(net, Valuation)
    np.testing.assert_array_equal(net.gross, gross.value)
    off = net.order_cost + net.rewards + net.day_cost + net.contacts + net.points
    np.testing.assert_allclose(net.value, gross.value - off, rtol=1e-15)
    np.testing.assert_allclose(net.rewards, 0.02 * 2.5 * gross.value)
    np.testing.assert_allclose(net.points, [0, 3, 0])
    assert np.all(net.value_low < gross.value_low)
    assert np.all(net.value_high < gross.value_high)
    np.testing.assert_allclose(net.value_idle, -(net.day_cost + net.contacts + net.points))
    low, high = net.total_bounds
    assert low < net.total() < high
    assert high - low < np.diff(gross.total_bounds)
    assert net["expected_margin"].tolist() == gross.expected_margin.tolist()
    with pytest.raises(ConfigError, match="net already"):
        net_value(net, costs)


def test_an_account_is_paid_for_on_the_days_that_the_model_expects_her_to_be_there():
    """Against a sum over days; p_alive times the horizon, which is all that a valuation knows, is more."""
    costs = ServingCosts(per_day=1)
    net = appraise(three(), MODEL, costs=costs)
    days = np.arange(365) + 0.5
    there = sum(1.1 ** (-day / 365) * MODEL.survival(three(), day) for day in days)
    np.testing.assert_allclose(net.day_cost, there, rtol=1e-5)
    assert np.all(net.day_cost < net_value(appraise(three(), MODEL), costs).day_cost)


def test_how_often_costs_arise_without_costs_is_a_mistake():
    with pytest.raises(ConfigError, match="contacts_a_year, points without costs"):
        appraise(three(), MODEL, contacts_a_year={"post": 2}, points={"a": 1})


# ---- what the bounds hold


def test_without_chance_nine_in_ten_bounds_hold_what_is_expected_of_her_given_her_own_rate_and_lifetime():
    """Customers a month old, drawn from the story of the model: what is expected of one whose rate, drop-out and margin
    are known is (1 - exp(-rate p H)) / p purchases. 30 bounds of 400 futures each, against 20,000 customers: a standard
    error of 0.3 points in the mean of the 30; three points allowed."""
    rng, n, p = np.random.default_rng(5), 20_000, MODEL.params
    rate = rng.gamma(p["r"], 1 / (p["alpha"] + 30 / 7), n) / 7
    leave, mean = rng.beta(p["a"], p["b"], n), p["p"] / rng.gamma(p["q"], 1 / p["v"], n)
    truth = -np.expm1(-rate * leave * 365) / leave * mean
    young = Histories.from_arrays(
        frequency=[0] * 30, recency_days=[0] * 30, age_days=[30] * 30, margin_mean=[0] * 30, as_of=dt.date(2011, 1, 1)
    )
    worth = appraise(young, MODEL, discount_rate=0.0, chance=False)
    held = [
        np.mean((truth >= low) & (truth <= high)) for low, high in zip(worth.value_low, worth.value_high, strict=True)
    ]
    assert 0.87 < np.mean(held) < 0.93
    assert worth.value[0] == pytest.approx(truth.mean(), rel=0.03)
    assert not worth.chance
    seen = appraise(young, MODEL, discount_rate=0.0)
    np.testing.assert_array_equal(worth.value, seen.value)
    assert np.all(worth.value_low > seen.value_low)


def test_a_posterior_is_appraised_like_a_model():
    base = sample_histories()
    posterior = BGNBD().posterior(base, draws=200, seed=1)
    worth = appraise(base, posterior)
    np.testing.assert_array_equal(worth.value, appraise(base, posterior.fitted).value)
    expected = appraise(base, posterior, chance=False, costs=ServingCosts(per_day="0.01"))
    assert np.all(expected.value_low <= expected.value_high)
    assert not expected.chance

    class Stranger:
        """The protocol and no more."""

        name, params, log_likelihood, standard_errors = "stranger", MODEL.params, None, None
        log_likelihoods, p_alive, expected_purchases = MODEL.log_likelihoods, MODEL.p_alive, MODEL.expected_purchases
        value, to_dict, from_dict = MODEL.value, MODEL.to_dict, MODEL.from_dict

    assert appraise(base, Stranger()).equals(MODEL.value(base, horizon_days=365, discount_rate=0.10))
    with pytest.raises(ConfigError, match="chance=False with bg-nbd"):
        appraise(base, Stranger(), chance=False)


def test_spread_and_chance_of_a_purchase_are_those_of_what_she_brings():
    """Mean, standard deviation and share of nothing in 40,000 simulated years of each: four standard errors, and 4 %
    for the tail of the standard deviation."""
    base, n = three(), 40_000
    worth = appraise(base, MODEL)
    np.testing.assert_allclose(worth.p_purchase, MODEL.p_purchase(base, 365), rtol=1e-4)
    rng, p, kernel = np.random.default_rng(9), MODEL.params, MODEL.recipe.kernel()
    rows = MODEL.recipe.rows(base).scaled(7.0)
    for i in range(3):
        ahead = kernel.ahead(MODEL.purchase_params, rows.take(np.full(n, i)), 365 / 7, np.log(1.1) / 365 * 7, rng)
        x, mean = base.frequency[i], base.margin_mean[i]
        size = rng.gamma(p["p"] * x + p["q"], 1 / (p["v"] + x * mean), n)
        count = np.maximum(ahead.counts, 1)
        really = np.where(ahead.counts > 0, rng.gamma(p["p"] * count) / size * ahead.discounted / count, 0.0)
        assert worth.value[i] == pytest.approx(really.mean(), abs=4 * really.std() / np.sqrt(n))
        assert worth.value_sd[i] == pytest.approx(really.std(), rel=0.04)
        assert worth.p_purchase[i] == pytest.approx(np.mean(ahead.counts > 0), abs=0.01)


def test_who_has_shown_no_margin_is_valued_once_for_all_like_her_and_counts_as_often_as_there_are():
    """A margin model that is not known to see them alike is asked about each: the same bounds, hers and of the total.

    The stranger differs in nothing but its class; counted once, those who came once would be missing from the variance.
    """

    class Stranger:
        def __init__(self, margin):
            self.margin = margin

        def __getattr__(self, name):
            return getattr(self.margin, name)

    base = sample_histories()
    base = base[np.resize(np.r_[np.flatnonzero(base.frequency == 0)[:9], 0:40], 300)]
    asked = {"horizon_days": 365.0, "discount_rate": 0.1}
    ours = MODEL.value(base, **asked)
    theirs = evolve(MODEL, margin=Stranger(MODEL.margin)).value(base, **asked)
    assert (base.frequency == 0).sum() > 50
    for name in ("value", "value_low", "value_high", "value_sd", "p_purchase"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-13)
    assert ours.total_bounds == pytest.approx(theirs.total_bounds, rel=1e-12)


def test_a_part_of_a_valuation_has_no_bounds_of_the_total():
    worth = appraise(three(), MODEL)
    low, high = worth.total_bounds
    assert (low, high) == MODEL.total_interval(three(), horizon_days=365, discount_rate=0.10)
    assert low < worth.total() < high
    assert worth[:2].total_bounds is None


@pytest.mark.parametrize("rate", [1e-3, 1e-6, 1e-9, 1e-12])
def test_money_without_a_horizon_is_not_bounded_by_nothing(rate):
    """Almost undiscounted the mean is carried by the few who never leave; what most bring is finite all the same."""
    worth = MODEL.value(three(), horizon_days=np.inf, discount_rate=rate)
    near = MODEL.value(three(), horizon_days=3650, discount_rate=rate)
    assert np.all(worth.value_high > near.value)
    assert np.all(np.isfinite(worth.value_high))


# ---- near break-even


@pytest.mark.parametrize("reward_rate", ["0", "0.10"])
def test_bounds_hold_however_much_of_the_margin_an_order_costs(reward_rate):
    """100 customers alike, 300 futures of them by the model's own simulation: one customer is known to less than a
    point, the total to 1.7 points (standard error), and 85 to 96 % are allowed for the nominal 90. The share of the
    gross bounds, which is what an order's cost is not, held 60 % at 84 % of the margin and 14 % at all of it."""
    n, share = 100, 1 - 2.5 * float(reward_rate)
    base = Histories.from_arrays(frequency=[5] * n, recency_days=[200] * n, age_days=[210] * n, margin_mean=[15.0] * n)
    kernel, rows, params = MODEL.recipe.kernel(), MODEL.recipe.rows(base).scaled(7.0), MODEL.purchase_params
    futures = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        own = MODEL.margin.draw_means(base, 1, rng, MODEL.log_rate(base))[0]
        counts = kernel.ahead(params, rows, 365 / 7, 0.0, rng).counts
        futures.append((share * MODEL.margin.draw_sums(own, counts, rng), counts))
    money, counts = map(np.stack, zip(*futures, strict=True))
    mean = share * MODEL.margin.margin_mean(base, MODEL.log_rate(base))[0]
    for level in (0.0, 0.5, 0.85, 1.0):
        cost = round(level * mean, 6)
        costs = ServingCosts(per_order=f"{cost:.6f}", reward_rate=reward_rate)
        net = appraise(base, MODEL, discount_rate=0.0, costs=costs, revenue_per_margin=2.5)
        left = money - cost * counts
        assert 0.85 < np.mean((left >= net.value_low - 1e-9) & (left <= net.value_high + 1e-9)) < 0.96
        low, high = net.total_bounds
        assert 0.85 < np.mean((left.sum(axis=1) >= low) & (left.sum(axis=1) <= high)) < 0.96
        np.testing.assert_allclose(net.value_sd, left.std(), rtol=0.03)


def test_what_is_expected_after_orders_has_bounds_below_zero_where_orders_may_cost_more_than_they_bring():
    """Given her own mean margin m, rate and lifetime, she is worth (m - cost) times her purchases."""
    mean = float(appraise(three(), MODEL).margin_mean[0])
    net = appraise(three(), MODEL, chance=False, costs=ServingCosts(per_order=f"{mean:.6f}"))
    assert net.value[0] == pytest.approx(0, abs=1e-3)
    assert net.value_low[0] < -1 < 1 < net.value_high[0]


# ---- one is as many


def test_without_chance_those_alike_have_the_same_bounds_whoever_else_is_there():
    rng = np.random.default_rng(2)
    x, age = rng.integers(0, 6, 60), rng.integers(100, 300, 60)
    base = Histories.from_arrays(
        frequency=x,
        recency_days=np.where(x > 0, age - rng.integers(0, 90, 60), 0),
        age_days=age,
        margin_mean=np.where(x > 0, rng.gamma(3, 8, 60), 0.0),
    )
    base = base[np.concatenate([np.arange(60), np.zeros(40, dtype=int)])]
    told = appraise(base, MODEL, chance=False)
    for column in ("value_low", "value_high"):
        assert len(set(told[column][60:].tolist()) | {told[column][0]}) == 1
        order = rng.permutation(100)
        np.testing.assert_allclose(appraise(base[order], MODEL, chance=False)[column], told[column][order], rtol=1e-9)
        np.testing.assert_allclose(appraise(base[7:8], MODEL, chance=False)[column], told[column][7:8], rtol=1e-9)
        np.testing.assert_allclose(appraise(base[5:50], MODEL, chance=False)[column], told[column][5:50], rtol=1e-9)


# ---- days as a customer


@pytest.mark.parametrize("rate", [0.0, 0.10])
@pytest.mark.parametrize("horizon", [365.0, 3_650.0, 36_500.0])
@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        ParetoNBD().at(r=0.55, alpha=10.58, s=0.61, beta=11.67, p=6.25, q=3.74, v=15.44),
        ParetoNBD().at(r=0.55, alpha=10.58, s=5.0, beta=0.01, p=6.25, q=3.74, v=15.44),
        GGompertzNBD().at(r=0.55, alpha=10.0, b=0.1, s=0.6, beta=2.0, p=6.25, q=3.74, v=15.44),
    ],
    ids=lambda model: model.name,
)
def test_an_account_of_many_years_costs_what_a_sum_over_tiny_steps_says(model, horizon, rate):
    """Trapezoids, in the log of the time from a ten-thousandth of a day on, with a correction of the end of each."""
    days = np.geomspace(1e-4, horizon, 1_501)

    def trapezoid(days):
        there = np.stack([model.survival(three(), float(day)) for day in days])
        return np.trapezoid(there * (days * (1 + rate) ** (-days / 365))[:, None], np.log(days), axis=0)

    truth = (4 * trapezoid(days) - trapezoid(days[::2])) / 3 + 1e-4 * model.p_alive(three())
    net = appraise(three(), model, horizon_days=horizon, discount_rate=rate, costs=ServingCosts(per_day=1))
    np.testing.assert_allclose(net.day_cost, truth, rtol=1e-6)


def test_an_account_without_end_is_one_of_a_thousand_years():
    from retention.value.appraise import _alive_days

    endless, long = (_alive_days(MODEL, three(), horizon, 0.10) for horizon in (np.inf, 365_000.0))
    np.testing.assert_allclose(endless, long, rtol=1e-9)
    assert np.all(_alive_days(MODEL, three(), 36_500.0, 0.10) < endless)


def test_an_account_in_periods_is_paid_for_in_those_that_she_begins():
    model = BGBB(period_days=7.0).at(alpha=1.2, beta=0.75, gamma=0.66, delta=2.78, p=3.0, q=6.0, v=30.0)
    base = Histories.from_arrays(frequency=[3, 0], recency_days=[35, 0], age_days=[42, 42], margin_mean=[20, 0])
    for horizon in (365.0, 3_640.0):
        net = appraise(base, model, horizon_days=horizon, costs=ServingCosts(per_day=1))
        steps = (np.arange(round(horizon * 50)) + 0.5) / 50
        there = np.stack([model.survival(base, 7.0 * k) for k in range(int(horizon // 7) + 1)])
        truth = np.einsum("t,tn->n", 1.1 ** (-steps / 365) / 50, there[(steps // 7).astype(int)])
        np.testing.assert_allclose(net.day_cost, truth, rtol=1e-6)
