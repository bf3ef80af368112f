"""Every model on bases that hardly are any: finite answers, an honest diagnosis, and no long walk along a ridge."""

import json

import numpy as np
import pytest

from retention._kernels import newton
from retention.histories import Histories
from retention.value import BGBB, BGCNBD, BGNBD, MBGCNBD, MBGNBD, NBD, GGompertzNBD, ParetoGGG, ParetoNBD


def base_of(frequency, recency_days, age_days, price=None):
    """Gaps are uneven by a third or so; the margins of a purchase day vary, unless there is one price for all."""
    x, last, age = (np.asarray(each, dtype=float) for each in (frequency, recency_days, age_days))
    gaps = np.where(x > 1, x * (np.log(np.maximum(last, 1e-9) / np.maximum(x, 1)) - 0.1), 0.0)
    gaps = np.where(x == 1, np.log(np.maximum(last, 1e-9)), gaps)
    mean = np.where(x > 0, 20.0 + 3 * np.sin(np.arange(len(x))) if price is None else price, 0.0)
    return Histories.from_arrays(frequency=x, recency_days=last, age_days=age, gap_log_sum=gaps, margin_mean=mean)


def bought_at_random(customers, shape, seed=5):
    """Nobody leaves: Poisson purchases at a gamma rate, to the end."""
    rng = np.random.default_rng(seed)
    age = rng.integers(200, 600, customers)
    x = np.minimum(rng.poisson(rng.gamma(shape, 0.05 / shape, customers) * age), age - 1)
    last = np.where(x > 0, np.maximum(np.floor(age * rng.beta(np.maximum(x, 1), 1)), x), 0)
    return base_of(x, last, age)


ages = 360 + np.arange(80) * 37 % 60
odd_bases = {
    "nobody": base_of([], [], []),
    "one customer": base_of([2], [60], [90]),
    "one who came once": base_of([0], [0], [90]),
    "one newcomer": base_of([0], [0], [0]),
    "two": base_of([0, 4], [0, 80], [90, 84]),
    "five": base_of([0, 2, 5, 0, 1], [0, 60, 80, 0, 20], [90, 90, 84, 200, 150]),
    "fifty": base_of([0, 2, 5, 0, 1] * 10, [0, 60, 80, 0, 20] * 10, np.arange(50) * 3 + 100),
    "one-time buyers": base_of([0] * 60, [0] * 60, 1 + np.arange(60) * 7),
    "all alike": base_of([3] * 60, [200] * 60, [300] * 60, price=20.0),
    "all alike, once": base_of([0] * 60, [0] * 60, [300] * 60),
    "everybody left after one": base_of([1] * 60, [200] * 60, [1000] * 60),
    "all by the clock to the end": base_of(ages // 30, ages // 30 * 30, ages, price=9.99),
    "nobody leaves": bought_at_random(120, 3.0),
    "thousands of purchases": base_of(2000 + np.arange(40) * 41 % 1600, 3600 - np.arange(40) % 30, [3650] * 40),
    "one with five thousand": base_of([0] * 50 + [1] * 20 + [5000], [0] * 50 + [100] * 20 + [5990], [6000] * 71),
    "heavy ties": base_of([0] * 70 + [1] * 20 + [2] * 10, [0] * 70 + [30] * 20 + [60] * 10, [365] * 100),
    "ages of a day": base_of([0] * 60 + [1] * 40, [0] * 60 + [1] * 40, [1] * 100),
    "most came today": base_of([0] * 60 + [1] * 40, [0] * 60 + [1] * 40, [0] * 60 + [1] * 40),
}

models = [BGNBD(), MBGNBD(), ParetoNBD(), NBD(), GGompertzNBD(), BGCNBD(k=3), MBGCNBD(k=2)]

# A base that tells a model's parameters all the same, to a factor of twenty.
TELLS = {
    "two": {"nbd"},
    "five": {"nbd", "mbg-cnbd-k"},  # the latter with the k that suits them best: a summit, however low
    "fifty": {"nbd"},
    "nobody leaves": {"nbd"},
    "thousands of purchases": {"nbd"},
    "one with five thousand": {"nbd", "mbg-nbd", "pareto-nbd", "bg-cnbd-k", "mbg-cnbd-k"},
    "heavy ties": {"nbd"},
}


@pytest.fixture
def steps(monkeypatch):
    """How often a fit looked at a likelihood."""
    looked, climb = [], newton.maximise

    def counted(objective, start, **options):
        def seen(theta):
            looked.append(1)
            return objective(theta)

        return climb(seen, start, **options)

    monkeypatch.setattr(newton, "maximise", counted)
    return looked


def check(model, base, told, steps, most):
    fitted = model.fit(base)
    evidence = fitted.estimate
    assert len(steps) < most
    params = np.array(fitted.purchase_params)
    assert np.all((params > 1e-9) & (params < 1e9))
    assert np.isfinite(evidence.log_likelihood)
    assert np.isfinite(np.linalg.cholesky(np.array(evidence.spread))).all()
    errors = np.array(list(evidence.standard_errors.values()))
    if not told:
        assert "no clear maximum" in evidence.diagnosis
        assert np.isnan(errors).any()
        assert "weak prior" in " ".join(evidence.notes)
    elif not evidence.diagnosis:
        assert evidence.converged
        assert evidence.gradient_norm < 1e-3
        assert np.all(np.isfinite(errors))
    some = base[:3]
    worth = fitted.value(some, horizon_days=365.0, discount_rate=0.10)
    for name, values in worth.columns().items():
        assert name == "customer_id" or np.all(np.isfinite(values)), name
    assert np.all((worth.p_alive >= 0) & (worth.p_alive <= 1))
    assert np.all(worth.value_low <= worth.value_high)
    low, high = fitted.total_interval(some, horizon_days=365.0, discount_rate=0.10)
    assert -np.inf < low <= high < np.inf
    json.dumps(fitted.to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", odd_bases)
@pytest.mark.parametrize("model", models, ids=lambda model: f"{model.name}{getattr(model, 'k', None) or ''}")
def test_a_fit_is_one_or_says_that_it_is_none(model, name, steps):
    """No parameters at infinity, no flat fit without a word, and every customer has a value with ordered bounds."""
    check(model, odd_bases[name], model.name in TELLS.get(name, set()), steps, most=3_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "name"),
    [((BGCNBD(), MBGCNBD())[place % 2], name) for place, name in enumerate(odd_bases)],
    ids=lambda one: getattr(one, "name", one),
)
def test_so_does_the_search_for_how_regular_they_are(model, name, steps):
    """Forecasts of k = 12 are dear: each of the two models takes every other base."""
    check(model, odd_bases[name], model.name in TELLS.get(name, set()), steps, most=24_000)


def test_without_a_second_purchase_nobody_is_regular():
    fitted = BGCNBD().fit(odd_bases["one-time buyers"])
    assert fitted.recipe.k == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nobody", "one customer", "five", "all alike", "one-time buyers"])
def test_so_does_the_model_of_whim_and_clockwork(name, steps):
    check(ParetoGGG(), odd_bases[name], False, steps, most=2_000)


@pytest.mark.parametrize(
    ("frequency", "last", "age"),
    [([0] * 30, [0] * 30, [6] * 30), ([3] * 30, [5] * 30, [6] * 30), ([6] * 30, [6] * 30, [6] * 30), ([1], [1], [1])],
    ids=["never again", "all alike", "at every occasion", "one"],
)
def test_so_does_the_model_of_occasions(frequency, last, age, steps):
    base = Histories.from_arrays(
        frequency=frequency, recency_days=np.array(last) * 30.0, age_days=np.array(age) * 30.0,
        margin_mean=10.0 * (np.array(frequency) > 0),
    )  # fmt: skip
    check(BGBB(period_days=30), base, False, steps, most=2_000)


def test_what_the_prior_gave_up_is_told():
    """Where the likelihood still rises at the edge by more than a few nats it is not 'about equally well'."""
    many = NBD().fit(odd_bases["all by the clock to the end"]).estimate
    few = NBD().fit(odd_bases["one customer"]).estimate
    assert "about equally well" in few.notes[0]
    assert "nats of likelihood" in many.notes[0]


@pytest.mark.parametrize("kind", [BGNBD, MBGNBD, ParetoNBD, NBD, BGCNBD])
def test_a_covariate_that_says_nothing_new_is_named(kind):
    """Twice the same column, and a flag that is the same for all: neither has a coefficient of its own."""
    base = odd_bases["nobody leaves"]
    some = np.arange(len(base)) % 3 / 1.0
    base = base.with_attributes({"visits": some, "again": 2 * some + 1, "always": np.ones(len(base))})
    model = kind(rate=("visits", "again", "always"), **({"k": 2} if kind is BGCNBD else {}))
    fitted = model.fit(base)
    for name in ("rate:visits", "rate:again", "rate:always"):
        assert np.isnan(fitted.standard_errors[name])
        assert name in fitted.diagnosis
    assert abs(fitted.params["rate:always"]) < 1e-6
    assert np.all(np.isfinite(fitted.value(base[:3], horizon_days=365.0, discount_rate=0.1).value_high))
