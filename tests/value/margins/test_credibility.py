"""Margins of either sign: planted truth, an independent way to the maximum, honest doubt."""

import numpy as np
import pytest
from attrs import evolve

from retention.histories import Histories
from retention.value.margins.credibility import Credibility
from retention.value.margins.days import own_days


def losses_and_gains(n, seed, *, mean=8.0, between=20.0, within=35.0, slope=0.0, days=None):
    """Customers with normal days around normal means; about a third of the means lie below zero."""
    rng = np.random.default_rng(seed)
    x = rng.geometric(0.3, n) if days is None else np.full(n, days)
    rate = rng.normal(-2.0, 0.8, n)
    own = mean + slope * (rate + 2.0) + between * rng.normal(size=n)
    who = np.repeat(np.arange(n), x + 1)
    day = own[who] + within * rng.normal(size=len(who))
    first = day[np.concatenate([[0], np.cumsum(x + 1)[:-1]])]
    total, squares = np.bincount(who, day, n), np.bincount(who, day**2, n)
    base = Histories.from_arrays(
        frequency=x, recency_days=x * 5.0, age_days=x * 5.0 + 30, margin=total, margin_mean=(total - first) / x,
        margin_squares=squares - first**2,
    )  # fmt: skip
    return base, own, rate


@pytest.mark.parametrize("first", [False, True])
def test_planted_parameters_are_found_within_their_standard_errors(first):
    """Four parameters within 4 errors, twice: chance fails this once in 2,000 seeds."""
    base, _, rate = losses_and_gains(20_000, seed=1, slope=5.0)
    fitted = Credibility(first=first, by_rate=True).fit(base, rate)
    true = {"mean": 8.0 + 5.0 * (fitted.params["log_rate_mean"] + 2.0), "between": 20.0, "within": 35.0, "slope": 5.0}
    for name, value in true.items():
        assert abs(fitted.params[name] - value) < 4 * fitted.standard_errors[name], name
        assert fitted.standard_errors[name] < 0.6
    assert fitted.diagnosis == ""


def test_means_alone_tell_within_from_between_less_surely():
    """Without squares only the scatter of means of few and many days is left: unbiased, several times less sure."""
    base, _, _ = losses_and_gains(20_000, seed=2)
    blind = evolve(base, margin_squares=np.zeros(len(base)))
    full, means = Credibility().fit(base), Credibility().fit(blind)
    for name, value in {"mean": 8.0, "between": 20.0, "within": 35.0}.items():
        assert abs(means.params[name] - value) < 4 * means.standard_errors[name], name
    assert means.standard_errors["within"] > 2 * full.standard_errors["within"]


def em(n, mean, squares, rounds=3_000):
    """Expectation maximisation for the normal-normal model, as it stands in the textbooks."""
    c, t2, s2 = mean.mean(), mean.var(), squares.sum() / (n - 1).sum()
    for _ in range(rounds):
        v = t2 + s2 / n
        c = np.sum(mean / v) / np.sum(1 / v)
        left = 1 / (n / s2 + 1 / t2)
        own = left * (n * mean / s2 + c / t2)
        t2 = np.mean((own - c) ** 2 + left)
        s2 = np.sum(squares + n * ((mean - own) ** 2 + left)) / n.sum()
    return c, np.sqrt(t2), np.sqrt(s2), own


def test_the_maximum_is_the_one_that_expectation_maximisation_finds():
    base, _, _ = losses_and_gains(400, seed=3)
    fitted, days = Credibility(first=True).fit(base), own_days(base, first=True)
    c, between, within, own = em(days.number, days.mean, days.squares)
    assert fitted.params == pytest.approx({"mean": c, "between": between, "within": within}, rel=1e-6)
    assert fitted.margin_mean(base) == pytest.approx(own, rel=1e-5, abs=1e-5)


def test_her_expected_margin_is_right_on_average_whatever_it_is():
    """Among customers told the same, the true means average what was told: slope 1, intercept 0 (4 errors)."""
    base, own, rate = losses_and_gains(20_000, seed=4, slope=5.0)
    told = Credibility(by_rate=True).fit(base, rate).margin_mean(base, rate)
    design = np.column_stack([np.ones(len(own)), told])
    (intercept, slope), *_ = np.linalg.lstsq(design, own, rcond=None)
    noise = np.sqrt(np.mean((own - told) ** 2) * np.diag(np.linalg.inv(design.T @ design)))
    assert abs(slope - 1) < 4 * noise[1]
    assert abs(intercept) < 4 * noise[0]


def test_moments_are_those_of_days_to_come():
    """Simulated future days of customers told the same: mean, mean square and mean product of two (4 errors)."""
    base, own, _ = losses_and_gains(40_000, seed=5, days=3)
    rng = np.random.default_rng(6)
    one, two = own + 35 * rng.normal(size=len(own)), own + 35 * rng.normal(size=len(own))
    moments = Credibility().fit(base).moments(base, 32)
    for seen, told in ((one, moments.mean), (one**2, moments.square), (one * two, moments.product)):
        assert abs(np.mean(seen - told)) < 4 * np.std(seen - told) / 200


def test_ninety_percent_intervals_of_the_sum_cover_the_sum_at_fifty_customers():
    """What the doubt about parameters says of the mean of the base. 300 bases of 50: a true 90 % gives 251 to 285 at
    one in 1,000; the normal with the same spread."""
    inside = 0
    for seed in range(300):
        base, _, _ = losses_and_gains(50, seed=1_000 + seed)
        fitted = Credibility().fit(base)
        new = Histories.from_arrays(frequency=[0], recency_days=[0], age_days=[0])
        totals = fitted.totals(new, np.ones(1), 64)
        inside += abs(8.0 - fitted.margin_mean(new)[0]) < 1.645 * totals.std()
    assert 251 <= inside <= 285


def test_losses_stay_losses():
    model = Credibility().at(mean=10.0, between=20.0, within=20.0)
    base = Histories.from_arrays(
        frequency=[1, 30, 0], recency_days=[5, 90, 0], age_days=[100] * 3, margin_mean=[-50.0, -50.0, 0.0]
    )
    once, often, new = model.margin_mean(base)
    assert often < once < 0 < new == 10.0
    assert once == pytest.approx((10 - 50) / 2)
    assert often == pytest.approx((10 - 50 * 30) / 31)


def test_means_of_equally_many_days_do_not_tell_within_from_between_and_that_is_said():
    base, _, _ = losses_and_gains(500, seed=7, days=2)
    blind = Credibility().fit(evolve(base, margin_squares=np.zeros(500)))
    assert "not identified" in blind.diagnosis
    assert np.isnan(blind.standard_errors["between"])
    assert np.isnan(blind.standard_errors["within"])
    assert np.isfinite(blind.standard_errors["mean"])
    assert Credibility().fit(base).diagnosis == ""


def test_customers_who_do_not_differ_are_all_told_the_mean():
    rng = np.random.default_rng(8)
    x = rng.integers(2, 9, 2_000)
    day = [rng.normal(30, 10, size) for size in x]
    base = Histories.from_arrays(
        frequency=x, recency_days=x * 3.0, age_days=[60] * 2_000, margin_mean=[d.mean() for d in day],
        margin_squares=[float(np.sum(d**2)) for d in day],
    )  # fmt: skip
    fitted = Credibility().fit(base)
    told = fitted.margin_mean(base)
    assert fitted.between < 1.5
    assert np.std(told) < 0.3
    assert told.mean() == pytest.approx(30, abs=0.4)


def test_one_time_buyers_count_when_the_first_day_does():
    """Who came once brings 5 on her only day, who came back 50: the base's mean is of both or of the second kind."""
    rng = np.random.default_rng(9)
    n, x = 400, np.repeat([0, 6], 200)
    own = np.repeat([5.0, 50.0], 200) + rng.normal(0, 3, n)
    base = Histories.from_arrays(
        frequency=x, recency_days=x * 5.0, age_days=[90] * n, margin=own * (x + 1), margin_mean=np.where(x > 0, own, 0)
    )
    assert Credibility().fit(base).population_mean == pytest.approx(50, abs=1)
    assert Credibility(first=True).fit(base).population_mean == pytest.approx(27.5, abs=3)


def test_fixed_prices_are_believed():
    """Each customer always brings the same: her next day will too, and that is said."""
    own = np.linspace(5.0, 60.0, 200)
    x = np.tile([1, 2, 5, 9], 50)
    base = Histories.from_arrays(
        frequency=x, recency_days=x * 5.0, age_days=[90] * 200, margin_mean=own, margin_squares=x * own**2
    )
    fitted = Credibility().fit(base)
    assert fitted.margin_mean(base) == pytest.approx(own, rel=1e-5)
    assert fitted.population_mean == pytest.approx(own.mean(), rel=1e-4)
    assert any("do not differ" in note for note in fitted.notes)
