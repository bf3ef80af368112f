"""Posteriors of the contractual models: right on average over what could be true, and honest about what they know."""

import math

import numpy as np
import pytest
from attrs import evolve
from scipy.stats import chi2

from retention.errors import ConfigError, ModelError
from retention.value.contracts.fitted import FittedContracts
from retention.value.contracts.models import BetaDiscreteWeibull, DiscreteWeibull, ShiftedBetaGeometric
from retention.value.contracts.tenures import Tenures

MODELS = (ShiftedBetaGeometric, BetaDiscreteWeibull, DiscreteWeibull)
HIGH_END = (1000, 869, 743, 653, 593, 551, 517, 491)


def lived(model, theta, n, rng, z=None, longest=400):
    """Renewals that n customers will make in all, drawn from the definition of each customer's own chances."""
    values = {name: np.full(n, math.exp(t)) for name, t in zip(model.CENTER, theta, strict=False)}
    if z is not None:
        scaled = [name for name in model.CENTER if name != "c"]
        for name, effect in zip(scaled, theta[len(model.CENTER) :], strict=True):
            values[name] = values[name] * np.exp(effect * z)
    power = values.get("c", np.ones(n))
    if "hazard" in values:
        log_stay = -values["hazard"]
    else:
        # log(1 - theta) of a beta, from its two gammas in logs, so that chances next to 0 and 1 are no trouble.
        a, b = (np.log(rng.gamma(values[k] + 1)) + np.log(rng.random(n)) / values[k] for k in ("alpha", "beta"))
        log_stay = -np.logaddexp(0.0, a - b)
    powers = np.exp(np.minimum(power[:, None] * np.log(np.arange(1, longest + 1)), 500.0))
    reached = powers * log_stay[:, None]  # log of S(1), S(2), ...
    return np.sum(np.log(rng.random(n))[:, None] < reached, axis=1)


def world(model, theta, n, rng, z=None):
    """Tenures of customers watched for 1 to 8 decisions, and the renewals that are to come."""
    all_, watched = lived(model, theta, n, rng, z), rng.integers(1, 9, n)
    covariates = None if z is None else {"z": z}
    base = Tenures.from_arrays(renewals=np.minimum(all_, watched), ended=all_ < watched, covariates=covariates)
    return base, np.where(base.ended, 0, all_ - base.renewals)


def drawn(model, rng, factor):
    """Log-parameters from the prior around the model's own middle."""
    return np.log(list(model.CENTER.values())) + math.log(factor) * rng.standard_normal(len(model.CENTER))


@pytest.mark.slow
@pytest.mark.parametrize("covariates", [(), ("z",)])
@pytest.mark.parametrize("model", MODELS)
def test_simulation_based_calibration(model, covariates):
    """Parameters from the prior, 500 customers from the parameters, draws from the posterior: the rank of the truth
    among the draws is uniform (Talts et al. 2018). 200 replications, chi-square on ten bins for each parameter, at a
    level of 0.001 each: a right sampler fails once in 50 seeds, over the 19 parameters of all six."""
    factor, penalty = 1.7, 4.0
    recipe = model(covariates=covariates, prior={k: (v, factor) for k, v in model.CENTER.items()}, penalty=penalty)
    ranks = []
    for i in range(200):
        rng = np.random.default_rng((77, i))
        effects = rng.standard_normal(len(recipe.names) - len(model.CENTER)) / math.sqrt(penalty)
        theta = np.concatenate([drawn(model, rng, factor), effects])
        z = (
            np.repeat([-1.0, 1.0], 250) if covariates else None
        )  # of mean 0 and standard deviation 1, as the prior has it
        base, _ = world(model, theta, 500, rng, z)
        draws = recipe.posterior(base, draws=250, seed=i).points(250)
        ranks.append(np.mean(draws < theta, axis=0))
    for j, name in enumerate(recipe.names):
        counts = np.bincount(np.minimum((np.array(ranks)[:, j] * 10).astype(int), 9), minlength=10)
        assert float(np.sum((counts - 20.0) ** 2 / 20.0)) < chi2.ppf(0.999, 9), (name, counts.tolist())


@pytest.mark.slow
@pytest.mark.parametrize(("n", "bases"), [(50, 250), (500, 100)])
@pytest.mark.parametrize("model", MODELS)
def test_nine_in_ten_expected_renewals_lie_in_their_interval(model, n, bases):
    """Expected renewals in the next twelve decisions, of a customer of two renewals, in worlds from the weak prior,
    250 or 100 of them: the standard error of the coverage is 1.9 or 3.0 %; two and a half of them are allowed, which a
    right posterior misses once in eighty. (Of 500 and 250 worlds all lay between 87 and 93 %.)"""
    held = []
    one = Tenures.from_arrays(renewals=[2], ended=[False])
    for seed in range(bases):
        rng = np.random.default_rng((5, seed))
        theta = drawn(model, rng, 4.5)
        base, _ = world(model, theta, n, rng)
        asked = {"discount_rate": 0.0, "periods_per_year": 1, "horizon_periods": 12}
        ahead = model().posterior(base, draws=200, seed=seed).predict(one, **asked, chance=False, draws=200)
        true = FittedContracts(recipe=model(), theta=tuple(theta)).expected_residual_lifetime(one, **asked)
        held.append(ahead.further_low[0] <= true[0] <= ahead.further_high[0])
    assert abs(np.mean(held) - 0.9) < 2.5 * math.sqrt(0.09 / bases)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "bases"), [(50, 120), (500, 12)])
@pytest.mark.parametrize("model", MODELS)
def test_nine_in_ten_renewal_counts_lie_in_their_interval(model, n, bases):
    """In one world, the middle of the prior. Counts are whole, so the interval is the randomised one: P(X < x) +
    V P(X = x) between 5 and 95 %. Some 2,500 customers who are still there; 87 to 93 % is asked."""
    held = []
    for seed in range(bases):
        rng = np.random.default_rng((6, seed))
        base, further = world(model, np.log(list(model.CENTER.values())), n, rng)
        seen = np.minimum(further, 12)[~base.ended]
        chances = model().posterior(base, draws=400, seed=seed).renewal_probabilities(base[~base.ended], 12)
        chances[:, 12] = 1 - chances[:, :12].sum(axis=1)  # 12 and more
        at = np.arange(len(seen))
        u = np.cumsum(chances, axis=1)[at, seen] - rng.random(len(seen)) * chances[at, seen]
        held.extend((u > 0.05) & (u < 0.95))
    assert len(held) > 1_500
    assert 0.87 < np.mean(held) < 0.93


@pytest.mark.parametrize("model", MODELS)
def test_the_posterior_is_that_of_a_fine_grid(model):
    """Means and standard deviations of the log-parameters against sums over a grid of the definition times the prior;
    4,000 draws, so within 5 Monte Carlo errors of some 1,500 effective ones."""
    base = Tenures.from_survivors((60, 41, 33, 28))
    posterior = model().posterior(base, draws=4_000, seed=3)
    names = list(model.CENTER)
    theta = posterior.points(4_000)
    sides = [np.linspace(m - 6.5, m + 6.5, 121 if len(names) == 2 else 61) for m in np.log(list(model.CENTER.values()))]
    points = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, len(names))
    at = np.exp(points)
    from scipy.special import betaln

    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if model is DiscreteWeibull:
            S = [np.exp(-at[:, 0] * k ** at[:, 1]) for k in range(5)]
        else:
            c = at[:, 2] if len(names) == 3 else np.ones(len(at))
            S = [np.exp(betaln(at[:, 0], at[:, 1] + k**c) - betaln(at[:, 0], at[:, 1])) for k in range(5)]
        S[0] = np.ones(len(at))
        log_p = 19 * np.log(S[0] - S[1]) + 8 * np.log(S[1] - S[2]) + 5 * np.log(S[2] - S[3]) + 28 * np.log(S[3])
    log_p = np.where(np.isfinite(log_p), log_p, -np.inf)
    log_p -= np.sum((points - np.log(list(model.CENTER.values()))) ** 2, axis=1) / (2 * math.log(4.5) ** 2)
    weight = np.exp(log_p - log_p.max())
    weight /= weight.sum()
    mean = weight @ points
    sd = np.sqrt(weight @ (points - mean) ** 2)
    assert np.all(np.abs(theta.mean(axis=0) - mean) < 5 * sd / math.sqrt(1500)), names
    assert theta.std(axis=0) == pytest.approx(sd, rel=0.12)


def test_few_customers_give_wide_intervals_and_many_narrow_ones():
    base, _ = world(ShiftedBetaGeometric, np.log([1.0, 4.0]), 5_000, np.random.default_rng(1))
    one = Tenures.from_arrays(renewals=[2], ended=[False])
    asked = {"discount_rate": 0.1, "periods_per_year": 12}
    widths = []
    for n in (50, 500, 5_000):
        ahead = ShiftedBetaGeometric().posterior(base[:n], draws=400, seed=1).predict(one, **asked, chance=False)
        assert ahead.next_renewal_low[0] < ahead.next_renewal[0] < ahead.next_renewal_high[0]
        assert ahead.value_low[0] < ahead.value[0] < ahead.value_high[0]
        widths.append(float((ahead.next_renewal_high - ahead.next_renewal_low)[0]))
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_what_she_will_do_is_less_sure_than_what_is_expected_of_her():
    posterior = BetaDiscreteWeibull().posterior(Tenures.from_survivors(HIGH_END), draws=500, seed=1)
    base = Tenures.from_arrays(renewals=[0, 3, 3], ended=[False, False, True])
    asked = {"discount_rate": 0.1, "periods_per_year": 1, "horizon_periods": 10, "until_renewal": 0.5}
    seen, expected = (posterior.predict(base, 7.0, **asked, chance=chance) for chance in (True, False))
    assert np.array_equal(seen.value, expected.value)
    assert np.all((seen.further_high - seen.further_low)[:2] > 3 * (expected.further_high - expected.further_low)[:2])
    assert np.array_equal(seen.further_high, np.rint(seen.further_high))
    d = 1.1**-1.0
    np.testing.assert_allclose(seen.value_high, 7 * math.sqrt(d) * (1 - d**seen.further_high) / (1 - d), rtol=1e-12)
    assert all(seen[name][2] == 0 for name in ("next_renewal", "further", "further_high", "value", "value_high"))


def test_an_unfinished_base_with_everybody_there_still_has_a_posterior():
    """Nobody has ended: the prior and sixty renewals say that most stay, and not how many."""
    base = Tenures.from_arrays(renewals=[3] * 20, ended=[False] * 20)
    posterior = ShiftedBetaGeometric().posterior(base, draws=400, seed=1)
    ahead = posterior.predict(base[[0]], discount_rate=0.1, periods_per_year=12, chance=False)
    assert 0.9 < ahead.next_renewal_low[0] < ahead.next_renewal_high[0] < 1
    assert "nobody has ended yet" in posterior.fitted.diagnosis


def test_a_covariate_s_unit_and_origin_change_its_effect_and_no_forecast():
    rng = np.random.default_rng(3)
    z = rng.normal(3.0, 2.0, 400)
    base, _ = world(ShiftedBetaGeometric, np.array([0.0, 1.4, 0.3, 0.0]), 400, rng, (z - 3) / 2)
    base = evolve(base, covariates={"z": z})
    moved = evolve(base, covariates={"z": 100 * z - 7})
    recipe = ShiftedBetaGeometric(covariates=["z"])
    one, two = (recipe.posterior(b, draws=200, seed=4) for b in (base, moved))
    np.testing.assert_allclose(two["alpha:z"], one["alpha:z"] / 100, rtol=1e-5)
    asked = {"discount_rate": 0.1, "periods_per_year": 12, "draws": 50}
    a, b = one.predict(base[:20], **asked), two.predict(moved[:20], **asked)
    np.testing.assert_allclose(a.value, b.value, rtol=1e-5)


def test_weights_count_as_customers():
    cohort = Tenures.from_survivors((50, 40, 35, 33))
    each = Tenures.from_arrays(renewals=[0] * 10 + [1] * 5 + [2] * 2 + [3] * 33, ended=[True] * 17 + [False] * 33)
    one, two = (DiscreteWeibull().posterior(base, draws=200, seed=2) for base in (cohort, each))
    np.testing.assert_allclose(one.draws, two.draws, rtol=1e-6)


def test_the_same_seed_is_the_same_posterior_and_its_model_is_stored_with_its_doubt():
    base = Tenures.from_survivors(HIGH_END)
    one, same, other = (ShiftedBetaGeometric().posterior(base, draws=200, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.draws, same.draws)
    assert not np.array_equal(one.draws, other.draws)
    again = FittedContracts.from_dict(one.model().to_dict())
    asked = {"discount_rate": 0.1, "periods_per_year": 1, "horizon_periods": 10.0}
    worth = one.value(base, 3.0, **asked)
    assert again.value(base, 3.0, **asked).equals(worth)
    assert np.array_equal(worth.value, one.fitted.value(base, 3.0, **asked).value)
    low, high = one.total_interval(base, 3.0, **asked)
    assert low < worth.total() < high


def test_chances_of_all_counts_make_one_and_their_mean_is_the_expectation():
    posterior = ShiftedBetaGeometric().posterior(Tenures.from_survivors(HIGH_END), draws=200, seed=1)
    base = Tenures.from_arrays(renewals=[0, 4, 4], ended=[False, False, True])
    chances = posterior.renewal_probabilities(base, 30, points=200)
    assert chances[2, 0] == 1
    beyond = 1 - chances.sum(axis=1)
    ahead = posterior.predict(base, discount_rate=0.0, periods_per_year=1, horizon_periods=31, draws=200)
    np.testing.assert_allclose(chances @ np.arange(31) + 31 * beyond, ahead.further, rtol=1e-9)


def test_a_posterior_shows_itself():
    posterior = ShiftedBetaGeometric().posterior(Tenures.from_survivors(HIGH_END), draws=200, seed=1)
    assert "ContractPosterior of sbg: 200 draws" in repr(posterior)
    assert posterior.plot().get_xscale() == "log"
    mean, low, high = posterior.survival([0, 4, 12])
    assert mean[0] == low[0] == high[0] == 1
    assert np.all((low < mean) & (mean < high) | (mean == 1))
    worth = posterior.predict(Tenures.from_survivors(HIGH_END), discount_rate=0.1, periods_per_year=1)
    assert worth.provenance.seed == 1
    assert worth.provenance.parameters["method"] == "psis"


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda m, b: m.posterior(b, draws=50), ConfigError),
        (lambda m, b: m.posterior(b[:0]), ModelError),
        (
            lambda m, b: m.posterior(b, draws=100).predict(b, discount_rate=0.1, periods_per_year=1, draws=5),
            ConfigError,
        ),
        (lambda m, b: m.posterior(b, draws=100).predict(b, discount_rate=0.0, periods_per_year=1), ConfigError),
        (lambda m, b: m.posterior(b, draws=100).survival(3, interval=1.5), ConfigError),
        (lambda m, b: m.posterior(b, draws=100).points(0), ConfigError),
        (lambda m, b: m.posterior(b, draws=100)["gamma"], ConfigError),
        (lambda m, b: evolve(m, prior={"gamma": (1.0, 2.0)}), ConfigError),
        (lambda m, b: evolve(m, prior={"alpha": (1.0, 0.5)}), ConfigError),
        (lambda m, b: evolve(m, penalty=-1.0), ConfigError),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(ask, error):
    with pytest.raises(error) as caught:
        ask(ShiftedBetaGeometric(), Tenures.from_survivors([10, 6, 5]))
    assert caught.value.remedy


def test_a_prior_that_was_asked_for_moves_the_fit_and_a_penalty_the_effects():
    base, _ = world(
        ShiftedBetaGeometric, np.array([0.0, 1.4, 0.5, 0.0]), 300, np.random.default_rng(1), np.repeat([0.0, 1.0], 150)
    )
    free, held = (ShiftedBetaGeometric(prior=p).fit(base) for p in ({}, {"beta": (20.0, 1.2)}))
    assert free.params["beta"] < held.params["beta"] < 20
    assert held.standard_errors["beta"] / held.params["beta"] < 0.7 * free.standard_errors["beta"] / free.params["beta"]
    sizes = [ShiftedBetaGeometric(covariates=["z"], penalty=p).fit(base).params["alpha:z"] for p in (0.0, 100.0, 1e6)]
    assert abs(sizes[0]) > abs(sizes[1]) > abs(sizes[2])
    assert abs(sizes[2]) < 0.01
