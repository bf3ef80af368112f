"""BG/NBD on bases made here: planted truth, small and odd bases, units, storage, intervals."""

import json

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError, ModelError
from retention.histories import Histories
from retention.testing.strategies import histories
from retention.value import BGNBD, FittedPurchases

TRUTH = {"r": 0.5, "alpha": 5.0, "a": 0.8, "b": 2.5, "p": 6.0, "q": 4.0, "v": 15.0}


def simulated(n, seed, horizon_days=364.0, rate=0.10, truth=TRUTH):
    """A base that follows the model, and what each customer really brought in the horizon, discounted."""
    rng = np.random.default_rng(seed)
    age = np.rint(rng.uniform(180, 540, n))
    lam = rng.gamma(truth["r"], 1 / truth["alpha"], n) / 7
    leaves = rng.beta(truth["a"], truth["b"], n)
    nu = rng.gamma(truth["q"], 1 / truth["v"], n)
    delta = np.log1p(rate) / 365
    x, last, spent, realised, clock = (np.zeros(n) for _ in range(5))
    going = np.arange(n)
    while len(going):
        clock[going] += rng.exponential(1 / lam[going])
        going = going[clock[going] <= age[going] + horizon_days]
        money = rng.gamma(truth["p"], 1 / nu[going])
        seen = clock[going] <= age[going]
        past, future = going[seen], going[~seen]
        x[past] += 1
        last[past] = clock[past]
        spent[past] += money[seen]
        realised[future] += money[~seen] * np.exp(-delta * (clock[future] - age[future]))
        going = going[rng.random(len(going)) > leaves[going]]
    base = Histories.from_arrays(
        frequency=x.astype(int),
        recency_days=last,
        age_days=age,
        margin_mean=np.divide(spent, x, out=x * 0, where=x > 0),
    )
    return base, realised


def test_planted_parameters_are_found_within_their_standard_errors():
    """Seven parameters, 20,000 customers, one seed: each within 4 errors, so chance fails this once in 2,000 seeds."""
    base, _ = simulated(20_000, seed=3)
    fitted = BGNBD().fit(base)
    assert fitted.diagnosis == ""
    for name, true in TRUTH.items():
        assert abs(fitted.params[name] - true) < 4 * fitted.standard_errors[name], name


@pytest.mark.parametrize(("n", "seeds"), [(2_000, range(4)), (200, range(10)), (50, range(30))])
def test_nine_in_ten_intervals_hold_what_is_realised(n, seeds):
    """Nominal 90 %. Most customers have 0 as lower bound, which nobody misses, so 95 % is the aim; the standard error
    of the mean coverage over these seeds is below 1 %."""
    held = []
    for seed in seeds:
        base, realised = simulated(n, seed)
        worth = BGNBD().fit(base).value(base, horizon_days=364, discount_rate=0.10, interval=0.90)
        held.append(np.mean((worth.value_low <= realised) & (realised <= worth.value_high)))
    assert 0.85 <= np.mean(held) <= 0.975


@pytest.mark.parametrize(("n", "seeds"), [(50, 40), (200, 40), (2_000, 20)])
def test_nine_in_ten_totals_lie_in_their_interval(n, seeds):
    """Nominal 90 %, of bases that follow the model, one interval a seed: three binomial standard errors and a little
    for fifty customers, where the normal shape of the doubt is a poor one."""
    held = []
    for seed in range(seeds):
        base, realised = simulated(n, 500 + seed)
        low, high = BGNBD().fit(base).total_interval(base, horizon_days=364, discount_rate=0.10)
        held.append(low <= realised.sum() <= high)
    slack = 3 * np.sqrt(0.09 / seeds)
    assert 0.90 - slack - (0.05 if n < 100 else 0.0) < np.mean(held) <= 1


def test_the_total_of_many_is_surer_than_its_parts_and_knows_common_doubt():
    base, _ = simulated(400, seed=21)
    fitted = BGNBD().fit(base)
    given = evolve(fitted, estimate=None, margin=evolve(fitted.margin, estimate=None))
    question = {"horizon_days": 364, "discount_rate": 0.10}
    worth = fitted.value(base, **question)
    low, high = fitted.total_interval(base, **question)
    sure_low, sure_high = given.total_interval(base, **question)
    assert low < worth.total() < high
    assert high - low < 0.5 * (worth.value_high - worth.value_low).sum()
    assert 1.02 * (sure_high - sure_low) < high - low
    again = fitted.total_interval(base[::-1], **question)
    assert again == pytest.approx((low, high), rel=1e-9)
    assert BGNBD(time_unit_days=1.0).fit(base).total_interval(base, **question) == pytest.approx((low, high), rel=1e-6)


def test_parameters_that_are_given_leave_chance_alone():
    """Independent customers: the variance of two equal bases together is twice that of one."""
    model = BGNBD().at(**TRUTH)
    one = Histories.from_arrays(
        frequency=[8] * 2_000, recency_days=[200] * 2_000, age_days=[250] * 2_000, margin_mean=[20.0] * 2_000
    )
    two = Histories.from_arrays(
        frequency=[8] * 4_000, recency_days=[200] * 4_000, age_days=[250] * 4_000, margin_mean=[20.0] * 4_000
    )
    widths = [
        np.diff(model.total_interval(base, horizon_days=364, discount_rate=0.10))[0] for base in (one, two)
    ]  # fmt: skip
    assert widths[1] == pytest.approx(widths[0] * np.sqrt(2), rel=1e-3)


def test_two_sided_coverage_of_good_customers():
    """Who is sure to buy has both bounds above zero: then both tails count, and 90 % means 90 %."""
    truth = {**TRUTH, "r": 6.0, "alpha": 8.0, "a": 0.6, "b": 12.0}
    base, realised = simulated(4_000, seed=8, truth=truth)
    worth = BGNBD().fit(base).value(base, horizon_days=364, discount_rate=0.10, interval=0.90)
    sure = worth.value_low > 0
    assert sure.sum() > 1_000
    assert 0.86 < np.mean((worth.value_low <= realised)[sure] & (realised <= worth.value_high)[sure]) < 0.94


def test_values_add_up_to_what_is_realised():
    """5 standard errors of the realised total, of 20,000 customers."""
    base, realised = simulated(20_000, seed=11)
    worth = BGNBD().fit(base).value(base, horizon_days=364, discount_rate=0.10)
    assert abs(worth.total() - realised.sum()) < 5 * realised.std() * np.sqrt(len(realised))


def test_fewer_customers_of_the_same_kind_give_wider_intervals():
    """The same 50 customers a hundred times over: the same parameters, a tenth of the doubt about them."""
    base, _ = simulated(50, seed=4, truth={**TRUTH, "r": 3.0, "alpha": 15.0})
    many = Histories.from_arrays(**{
        name: np.tile(base[name], 100) for name in ("frequency", "recency_days", "age_days", "margin_mean")
    })  # fmt: skip
    few_fit, many_fit = BGNBD().fit(base), BGNBD().fit(many)
    # Where the few leave a direction open the prior leans in; then the many's parameters with the few's doubt.
    few_fit = evolve(
        many_fit,
        estimate=few_fit.estimate,
        margin=evolve(many_fit.margin, estimate=few_fit.margin.estimate),
    )
    wide, narrow = (
        model.value(base, horizon_days=364, discount_rate=0.10) for model in (few_fit, many_fit)
    )  # fmt: skip
    assert np.array_equal(wide.value, narrow.value)
    assert np.mean(wide.value_high - wide.value_low) > 1.02 * np.mean(narrow.value_high - narrow.value_low)


odd_bases = {
    "nobody": {"frequency": [], "recency_days": [], "age_days": []},
    "one customer": {"frequency": [3], "recency_days": [100], "age_days": [200], "margin_mean": [20.0]},
    "one newcomer": {"frequency": [0], "recency_days": [0], "age_days": [0]},
    "one-time buyers only": {
        "frequency": [0] * 50, "recency_days": [0] * 50, "age_days": [200] * 50, "margin": [20.0] * 50,
    },
    "all the same": {
        "frequency": [3] * 50, "recency_days": [100] * 50, "age_days": [200] * 50, "margin_mean": [20.0] * 50,
    },
    "all at a loss": {
        "frequency": [3] * 9, "recency_days": [100] * 9, "age_days": [200] * 9, "margin_mean": [-20.0] * 9,
        "margin": [-80.0] * 9,
    },
    "a loss on whoever comes, and newcomers": {
        "frequency": [3, 5, 1, 0, 0], "recency_days": [100, 150, 9, 0, 0], "age_days": [200] * 5,
        "margin_mean": [-20.0, -3.0, -11.0, 0, 0], "margin": [-80.0, -18.0, -22.0, -4.0, -2.0],
    },
    "nobody ever leaves": {
        "frequency": [50] * 30, "recency_days": [200] * 30, "age_days": [200] * 30, "margin_mean": np.arange(1.0, 31),
    },
    "ten thousand purchases": {
        "frequency": [10_000, 1, 0], "recency_days": [12_000, 5, 0], "age_days": [12_000, 500, 90],
        "margin_mean": [0.001, 1e6, 0],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", odd_bases)
def test_odd_bases_get_finite_answers_and_a_diagnosis(name):
    base = Histories.from_arrays(**odd_bases[name])
    fitted = BGNBD().fit(base)
    worth = fitted.value(base, horizon_days=365, discount_rate=0.10)
    for column, values in worth.columns().items():
        assert column == "customer_id" or np.all(np.isfinite(values))
    assert np.all(worth.value_low <= worth.value_high)
    low, high = fitted.total_interval(base, horizon_days=365, discount_rate=0.10)
    assert -np.inf < low <= high < np.inf
    assert "no clear maximum" in fitted.diagnosis
    assert any("weak prior" in note for note in worth.provenance.notes)
    assert np.isnan(list(fitted.standard_errors.values())).any()
    json.dumps(worth.provenance.to_dict(), allow_nan=False)


@settings(max_examples=40)
@given(base=histories(max_size=12))
def test_any_base_can_be_fitted_and_valued(base):
    worth = BGNBD().fit(base).value(base, horizon_days=365, discount_rate=0.10)
    for column, values in worth.columns().items():
        assert column == "customer_id" or np.all(np.isfinite(values))
    assert np.all((worth.p_alive >= 0) & (worth.p_alive <= 1))
    assert np.all(worth.value_low <= worth.value_high)


@settings(max_examples=10)
@given(unit=st.sampled_from([1.0, 30.4375, 365.25, 1 / 24]))
def test_forecasts_do_not_depend_on_the_time_unit(unit):
    base, _ = simulated(300, seed=2)
    weeks, other = BGNBD().fit(base), BGNBD(time_unit_days=unit).fit(base)
    assert other.params["alpha"] * unit == pytest.approx(weeks.params["alpha"] * 7, rel=1e-9)
    repeats = base.frequency.sum()
    assert other.log_likelihood == pytest.approx(weeks.log_likelihood + repeats * np.log(unit / 7), rel=1e-10)
    assert other.log_likelihoods(base).sum() == pytest.approx(other.log_likelihood, rel=1e-10)
    a, b = (model.value(base, horizon_days=100, discount_rate=0.1) for model in (weeks, other))
    for column in ("p_alive", "expected_purchases", "value", "value_low", "value_high"):
        assert b[column] == pytest.approx(a[column], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", odd_bases)
def test_cents_are_a_hundred_times_dollars_on_odd_bases_too(name):
    columns = {"margin": [], "margin_mean": [], **odd_bases[name]}
    money = {column: np.asarray(columns[column], dtype=float) for column in ("margin", "margin_mean")}
    plain = {key: values for key, values in columns.items() if key not in money}
    worth = []
    for rate in (1.0, 100.0):
        base = Histories.from_arrays(**plain, **{key: values * rate for key, values in money.items() if len(values)})
        worth.append(BGNBD().fit(base).value(base, horizon_days=365, discount_rate=0.10))
    for column in ("value", "value_low", "value_high"):
        assert worth[1][column] == pytest.approx(worth[0][column] * 100, rel=1e-7, abs=1e-9)


def test_one_customer_gets_the_same_digits_alone_and_among_thousands():
    base, _ = simulated(3_000, seed=6)
    fitted = BGNBD().fit(base)
    together = fitted.value(base, horizon_days=365, discount_rate=0.10)
    for position in (0, 1, 1_234, 2_999):
        alone = fitted.value(base[[position]], horizon_days=365, discount_rate=0.10)
        for column, values in alone.columns().items():
            if column == "customer_id":
                assert values[0] == together[column][position]
            else:
                assert values[0] == pytest.approx(together[column][position], rel=1e-12)


def test_a_stored_model_gives_exactly_the_same_numbers():
    base, _ = simulated(400, seed=9)
    fitted = BGNBD().fit(base)
    again = FittedPurchases.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again == fitted
    a, b = (model.value(base, horizon_days=90, discount_rate=0.1) for model in (fitted, again))
    assert a.equals(b)


def _mangled(stored):
    yield {**stored, "format": 1}
    yield {**stored, "extra": 1}
    yield {name: part for name, part in stored.items() if name != "doubt"}
    yield {**stored, "purchase_params": stored["purchase_params"][:3]}
    yield {**stored, "purchase_params": [-1.0, *stored["purchase_params"][1:]]}
    yield {**stored, "coefficients": [0.5]}
    yield {**stored, "recipe": {**stored["recipe"], "model": "bg-nbt"}}
    yield {**stored, "recipe": {**stored["recipe"], "colour": "blue"}}
    yield {**stored, "recipe": {name: part for name, part in stored["recipe"].items() if name != "prior"}}
    yield {**stored, "estimate": {**stored["estimate"], "mood": "good"}}
    yield {**stored, "margin": {**stored["margin"], "mood": "good"}}
    yield {**stored, "margin": {**stored["margin"], "margin": "beta-beta"}}


def test_a_stored_model_that_is_not_as_it_was_written_is_refused():
    base, _ = simulated(200, seed=9)
    stored = json.loads(json.dumps(BGNBD().fit(base).to_dict()))
    for broken in _mangled(stored):
        with pytest.raises(ModelError):
            FittedPurchases.from_dict(broken)


def test_fitting_ends_on_a_flat_top():
    base, _ = simulated(2_000, seed=1)
    fitted = BGNBD().fit(base)
    assert fitted.estimate.converged
    assert fitted.estimate.gradient_norm < 1e-4
    for name in BGNBD.CENTER:
        for factor in (0.99, 1.01):
            near = BGNBD().at(**{**fitted.params, name: fitted.params[name] * factor})
            assert near.log_likelihoods(base).sum() < fitted.log_likelihood


def test_value_is_the_sum_of_discounted_steps():
    """Independent route: expected purchases of 4,000 thin slices of the year, each discounted at its middle."""
    base = Histories.from_arrays(frequency=[5, 0], recency_days=[200, 0], age_days=[250, 30], margin_mean=[10, 0])
    model = BGNBD().at(**TRUTH)
    edges = np.linspace(0, 365, 401)
    counts = np.array([model.expected_purchases(base, float(t)) for t in edges])
    factors = np.exp(-np.log(1.2) / 365 * (edges[1:] + edges[:-1]) / 2)
    worth = model.value(base, horizon_days=365, discount_rate=0.20)
    assert worth.value == pytest.approx(factors @ np.diff(counts, axis=0) * worth.margin_mean, rel=1e-6)


def test_a_model_without_margins_refuses_to_value():
    base = Histories.from_arrays(frequency=[2], recency_days=[213], age_days=[272])
    with pytest.raises(ModelError, match="without margins"):
        BGNBD().at(r=1, alpha=1, a=1, b=1).value(base, horizon_days=365, discount_rate=0.1)


@pytest.mark.parametrize(
    "params",
    [{}, {"r": 1}, {"r": 1, "alpha": 1, "a": 1, "b": -1}, {"r": 1, "alpha": 1, "a": 1, "beta": 1},
     {"r": 1, "alpha": 1, "a": 1, "b": 1, "c": 1}, {"r": 1, "alpha": 1, "a": 1, "b": float("nan")}],
)  # fmt: skip
def test_wrong_parameters_are_one_clear_error(params):
    with pytest.raises(ModelError, match="bg-nbd at"):
        BGNBD().at(**params)


@pytest.mark.parametrize("unit", [0, -7, float("nan")])
def test_a_time_unit_is_positive(unit):
    with pytest.raises(ConfigError, match="time_unit_days"):
        BGNBD(time_unit_days=unit)


def test_a_weight_is_as_many_customers_also_where_the_weak_prior_speaks():
    """Six rows of unlike ages: the prior's own clock is the median age of the customers, not of the rows."""
    rows = Histories.from_arrays(
        frequency=[0, 1, 3, 0, 2, 0], recency_days=[0, 40, 150, 0, 300, 0], age_days=[30, 60, 200, 400, 500, 700]
    )
    weight = np.array([5.0, 4.0, 3.0, 1.0, 1.0, 2.0])
    heavy, repeated = BGNBD().fit(rows, weight), BGNBD().fit(rows[np.repeat(np.arange(6), weight.astype(int))])
    assert "weak prior" in " ".join(repeated.estimate.notes)
    assert heavy.purchase_params == pytest.approx(repeated.purchase_params, rel=1e-6)


def test_where_some_bring_losses_a_newcomer_may_bring_one():
    """Normal margins of mean 5 and spread 10 between customers: whoever came once can cost money, and says so."""
    from retention.value import Credibility

    base, _ = simulated(2_000, seed=4)
    rng = np.random.default_rng(4)
    own = rng.normal(5.0, 10.0, 2_000)
    losing = evolve(base, margin_mean=np.where(base.frequency > 0, own + rng.normal(0, 5.0, 2_000), 0.0))
    asked = {"horizon_days": 3650.0, "discount_rate": 0.1}
    worth = BGNBD(margin=Credibility()).fit(losing).value(losing, **asked)
    once = losing.frequency == 0
    assert worth.value_low[once].min() < 0 < worth.value_high[once].max()
    classic = BGNBD().fit(losing)
    assert classic.margin.loss_share > 0.1
    assert not classic.margin.lossless(losing)[once].any()
    assert classic.margin.lossless(base)[base.margin_mean > 0].all()
