"""What drawn margins look like: the law of the model, not a stand-in with its first two moments."""

import numpy as np
import pytest
from attrs import evolve
from scipy import stats

from retention.histories import Histories
from retention.value.margins.auto import AutoMargin
from retention.value.margins.credibility import Credibility
from retention.value.margins.gammagamma import GammaGamma

P, Q, V = 6.25, 3.74, 15.44
SIZE = 4_000


def customer(x, mean):
    """Somebody with x repeat days of that mean."""
    return Histories.from_arrays(
        frequency=[x], recency_days=[200.0 * (x > 0)], age_days=[270], margin=[mean * (x + 1)], margin_mean=[mean]
    )


def shop(n, seed, loss=0.0):
    """Gamma-gamma customers; a share of them returns more than they buy."""
    rng = np.random.default_rng(seed)
    x = rng.negative_binomial(1, 0.25, n)
    own = rng.gamma(P * np.maximum(x, 1)) / rng.gamma(Q, 1 / V, n) / np.maximum(x, 1)
    own = np.where(rng.random(n) < loss, -0.5 * own, own)
    return Histories.from_arrays(
        frequency=x,
        recency_days=np.where(x > 0, 100.0, 0.0),
        age_days=np.full(n, 200.0),
        margin=own * (x + 1),
        margin_mean=np.where(x > 0, own, 0.0),
    )


@pytest.mark.parametrize(("x", "mean"), [(0, 0.0), (1, 90.0), (4, 22.35), (40, 12.0)])
def test_her_own_mean_is_inverse_gamma(x, mean):
    """Kolmogorov-Smirnov at 0.1 %, one seed; a gamma of the same moments, as wide but with a thin tail, fails."""
    fitted = GammaGamma().at(p=P, q=Q, v=V)
    own = fitted.draw_means(customer(x, mean), SIZE, np.random.default_rng(x))[:, 0]
    law = stats.invgamma(Q + P * x, scale=P * (V + x * mean))
    assert stats.kstest(own, law.cdf).pvalue > 0.001
    if x < 2:
        thin = law.mean() ** 2 / law.var()
        wrong = np.random.default_rng(x).gamma(thin, law.mean() / thin, SIZE)
        assert stats.kstest(wrong, law.cdf).pvalue < 1e-6


@pytest.mark.parametrize(("x", "mean", "k"), [(0, 0.0, 1), (0, 0.0, 8), (3, 50.0, 1), (3, 50.0, 20)])
def test_what_her_next_days_bring_together_is_beta_prime(x, mean, k):
    """S / (S + v + x z) is beta(p k, q + p x): the days are gamma, and share one unknown scale. Level 0.1 %."""
    fitted, rng = GammaGamma().at(p=P, q=Q, v=V), np.random.default_rng(10 * x + k)
    own = fitted.draw_means(customer(x, mean), SIZE, rng)
    sums = fitted.draw_sums(own, np.full(own.shape, float(k)), rng)[:, 0]
    share = sums / (sums + V + x * mean)
    assert stats.kstest(share, stats.beta(P * k, Q + P * x).cdf).pvalue > 0.001
    if k == 1:  # her own mean is not yet what a day brings
        wrong = own[:, 0] / (own[:, 0] + V + x * mean)
        assert stats.kstest(wrong, stats.beta(P * k, Q + P * x).cdf).pvalue < 1e-4


@pytest.mark.parametrize(("x", "mean", "k"), [(0, 0.0, 1), (2, -10.0, 5), (30, 60.0, 2)])
def test_under_credibility_everything_is_normal(x, mean, k):
    fitted, rng = Credibility().at(mean=35.0, between=20.0, within=30.0), np.random.default_rng(k)
    own = fitted.draw_means(customer(x, mean), SIZE, rng)
    left = 1 / (1 / 20**2 + x / 30**2)
    center = left * (35.0 / 20**2 + x * mean / 30**2)
    assert stats.kstest(own[:, 0], stats.norm(center, np.sqrt(left)).cdf).pvalue > 0.001
    sums = fitted.draw_sums(own, np.full(own.shape, k), rng)[:, 0]
    law = stats.norm(k * center, np.sqrt(k**2 * left + k * 30**2))
    assert stats.kstest(sums, law.cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("recipe", "loss"),
    [
        (GammaGamma(), 0.0),
        (GammaGamma(), 0.1),
        (GammaGamma(first=True), 0.0),
        (Credibility(), 0.1),
        (AutoMargin(), 0.0),
    ],
)
def test_draws_have_the_moments_that_the_model_gives(recipe, loss):
    """Doubt about the parameters and losses included. Mean and root mean squares over 400 customers, 2,000 draws: the
    chance in them is below 0.7 %; tails without a fourth moment make the squares rougher."""
    base = shop(400, seed=3, loss=loss)
    fitted, rng = recipe.fit(base), np.random.default_rng(5)
    moments = fitted.moments(base, 64)
    own = fitted.draw_means(base, 2_000, rng)
    day = fitted.draw_sums(own, np.ones(own.shape), rng)
    assert own.mean() == pytest.approx(moments.mean.mean(), rel=0.02)
    assert day.mean() == pytest.approx(moments.mean.mean(), rel=0.02)
    # (0.95 quantile over customers: of the squares the few largest would decide)
    each = np.quantile(np.abs(own.mean(axis=0) / moments.mean - 1), 0.95)
    assert each < (0.5 if loss else 0.05)
    assert np.mean(own**2) == pytest.approx(moments.product.mean(), rel=0.1)
    assert np.mean(day**2) == pytest.approx(moments.square.mean(), rel=0.1)


def test_no_days_bring_nothing_and_draws_follow_their_seed():
    base = shop(50, seed=4, loss=0.2)
    for recipe in (GammaGamma(), Credibility()):
        fitted = recipe.fit(base)
        one, other = (fitted.draw_means(base, 3, np.random.default_rng(1)) for _ in range(2))
        assert np.array_equal(one, other)
        assert one.shape == (3, 50)
        counts = np.random.default_rng(2).integers(0, 3, (3, 50))
        sums = fitted.draw_sums(one, counts, np.random.default_rng(3))
        assert sums.shape == (3, 50)
        assert np.all(sums[counts == 0] == 0)
        assert np.all(sums[counts > 0] != 0)
        assert fitted.draw_sums(one[0], counts[0], np.random.default_rng(3)).shape == (50,)


def test_sums_of_positive_days_are_positive_and_of_any_day_finite():
    base = shop(200, seed=5)
    fitted = GammaGamma().fit(base)
    rng = np.random.default_rng(1)
    sums = fitted.draw_sums(fitted.draw_means(base, 200, rng), np.ones((200, 200)), rng)
    assert np.all(sums > 0)
    assert np.all(np.isfinite(sums))


def test_doubt_is_shared_by_the_customers_of_a_draw():
    """Of thirty customers' total the doubt is most; drawn afresh for each it would average out."""
    few, many = (
        shop(30, seed=6),
        Histories.from_arrays(
            frequency=np.zeros(2_000, int), recency_days=np.zeros(2_000), age_days=np.ones(2_000), margin=np.ones(2_000)
        ),
    )
    fitted, rng = Credibility().fit(few), np.random.default_rng(7)
    spread = fitted.draw_means(many, 300, rng).mean(axis=1).std()
    assert spread == pytest.approx(fitted.standard_errors["mean"], rel=0.25)  # 300 draws: 4 %, and the prior's share
    assert evolve(fitted, estimate=None).draw_means(many, 300, rng).mean(axis=1).std() < spread / 5


def test_who_goes_by_rates_draws_by_rates():
    base = shop(50, seed=8)
    rates = np.linspace(-1, 1, 50)
    fitted = GammaGamma(by_rate=True).at(p=P, q=Q, v=V, slope=0.5, log_rate_mean=0.0)
    fresh = base[np.flatnonzero(base.frequency == 0)[:2]]
    low, high = fitted.draw_means(fresh, 20_000, np.random.default_rng(1), np.array([-1.0, 1.0])).mean(axis=0)
    assert high / low == pytest.approx(np.e, rel=0.1)
    assert fitted.draw_means(base, 2, np.random.default_rng(1), rates).shape == (2, 50)
