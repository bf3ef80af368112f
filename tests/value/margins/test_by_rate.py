"""Where margins go with rates, a purchase ahead is weighed by the rate of her who makes it, in values and bounds."""

import datetime as dt

import numpy as np
import pytest
from scipy.special import psi, roots_jacobi

from retention.histories import Histories, summarize
from retention.records.transactions import TransactionLog
from retention.value import BGBB, BGCNBD, BGNBD, MBGNBD, NBD, Calendar, DynamicParetoNBD, ParetoGGG, ParetoNBD
from retention.value.choice.scoring import judged
from retention.value.margins.credibility import Credibility
from retention.value.margins.gammagamma import GammaGamma

BY_RATE = Credibility(by_rate=True)
SLOPED = {"mean": 40.0, "between": 10.0, "within": 15.0, "slope": 8.0, "log_rate_mean": -2.0}
SOME = Histories.from_arrays(
    frequency=[0, 0, 1, 4, 30], recency_days=[0, 0, 70, 100, 350], age_days=[7, 364, 364, 210, 364],
    margin_mean=[0, 0, 30, 45, 60],
)  # fmt: skip


def test_where_nobody_leaves_a_purchase_is_one_over_r_plus_x_above_the_customer():
    """Rates are gamma(r + x): weighed by rate, gamma(r + x + 1), whose mean log is 1 / (r + x) higher."""
    model = NBD(margin=BY_RATE).at(r=0.6, alpha=9.0, **SLOPED)
    told = model.margin_log_rate(SOME, 100)
    np.testing.assert_allclose(told, model.log_rate(SOME) + 1 / (0.6 + SOME.frequency), rtol=1e-6)
    endless = model.margin_log_rate(SOME, np.inf, discount_rate=0.1)
    np.testing.assert_allclose(endless, told, rtol=1e-6)


@pytest.mark.parametrize("horizon", [7.0, 365.0])
def test_where_leaving_takes_time_who_buys_again_is_there_and_weighed_by_her_rate(horizon):
    """Pareto/NBD: given that she is there, gamma(r + x, alpha + T), and purchases ahead go with the rate."""
    model = ParetoNBD(margin=BY_RATE).at(r=0.6, alpha=9.0, s=0.7, beta=11.0, **SLOPED)
    truth = psi(0.6 + SOME.frequency + 1) - np.log(9.0 + SOME.age_days / 7)
    np.testing.assert_allclose(model.margin_log_rate(SOME, horizon, discount_rate=0.1), truth, rtol=1e-5)


@pytest.mark.parametrize("m", [0, 1])
@pytest.mark.parametrize("horizon", [7.0, 365.0, 3650.0])
def test_where_leaving_follows_a_purchase_it_is_a_double_integral(m, horizon):
    """(M)BG/NBD: she expects (1 - exp(-rate leave H)) / leave purchases, which is not in proportion to her rate; summed
    over the log of her rate and Gauss-Jacobi nodes of her chance to leave."""
    r, alpha, a, b = 0.6, 9.0, 0.8, 2.5
    model = (MBGNBD if m else BGNBD)(margin=BY_RATE).at(r=r, alpha=alpha, a=a, b=b, **SLOPED)
    told = model.margin_log_rate(SOME, horizon)
    u = np.linspace(-60, 6, 6_001)[:, None]
    node, weight = roots_jacobi(60, b - 1, a - 1)
    leave, rate = (node + 1) / 2, np.exp(u)
    ahead = -np.expm1(-rate * leave * horizon / 7) / leave
    for i in range(len(SOME)):
        x, T = SOME.frequency[i], SOME.age_days[i] / 7
        density = weight * np.exp((r + x) * u - rate * (alpha + T)) * (1 - leave) ** (x + m)
        truth = np.sum(density * ahead * u) / np.sum(density * ahead)
        assert told[i] == pytest.approx(truth, abs=2e-5)


def test_on_occasions_it_is_the_log_of_the_chance():
    """BG/BB: given that she is there, beta(alpha + x, beta + n - x), weighed by her chance to buy."""
    model = BGBB(margin=BY_RATE).at(alpha=1.2, beta=0.75, gamma=0.66, delta=2.78, **SLOPED)
    unit = model.time_unit_days
    base = Histories.from_arrays(
        frequency=[0, 1, 3], recency_days=[0, 3 * unit, 5 * unit], age_days=[6 * unit] * 3, margin_mean=[0, 9, 9]
    )
    truth = psi(1.2 + base.frequency + 1) - psi(1.2 + 0.75 + 6 + 1)
    np.testing.assert_allclose(model.margin_log_rate(base, 5 * unit), truth, rtol=1e-5)


def test_models_that_are_one_another_in_a_corner_agree():
    """BG/CNBD-1 is BG/NBD; Pareto/GGG whose customers are all random is Pareto/NBD; weeks without covariates are alike;
    Pareto/NBD whose rate is moved by an attribute is that of another alpha."""
    plain = BGNBD(margin=BY_RATE).at(r=0.6, alpha=9.0, a=0.8, b=2.5, **SLOPED)
    same = BGCNBD(k=1, margin=BY_RATE).at(r=0.6, alpha=9.0, a=0.8, b=2.5, **SLOPED)
    np.testing.assert_allclose(same.margin_log_rate(SOME, 90), plain.margin_log_rate(SOME, 90), rtol=1e-6)

    given = {"r": 0.6, "alpha": 9.0, "s": 0.7, "beta": 11.0, **SLOPED}
    plain = ParetoNBD(margin=BY_RATE).at(**given)
    gaps = np.where(SOME.frequency > 0, SOME.frequency * np.log(np.maximum(SOME.recency_days, 1) / 7), 0.0)
    random = Histories.from_arrays(
        frequency=SOME.frequency, recency_days=SOME.recency_days, age_days=SOME.age_days,
        margin_mean=SOME.margin_mean, gap_log_sum=gaps,
    )  # fmt: skip
    near = ParetoGGG(margin=BY_RATE).at(t=1e6, gamma=1e6, **given)
    np.testing.assert_allclose(near.margin_log_rate(random, 90), plain.margin_log_rate(SOME, 90), atol=1e-3)

    days = ["2011-01-03", "2011-01-03", "2011-03-07", "2011-05-02"]
    log = TransactionLog.from_arrays(customer_id=["a", "b", "b", "b"], at=days, revenue=[5, 5, 7, 9])
    weeks = [str(dt.date(2011, 1, 3) + dt.timedelta(7 * k)) for k in range(80)]
    calendar, as_of = Calendar.weekly(weeks, {}), "2011-06-30"
    base = summarize(log, as_of=as_of)
    asked = {"horizon_days": 180, "discount_rate": 0.1}
    dynamic = DynamicParetoNBD(margin=BY_RATE).at(given).value(log, calendar, as_of=as_of, **asked)
    static = plain.value(base, **asked)
    np.testing.assert_allclose(dynamic.margin_mean, static.margin_mean, rtol=1e-9)
    assert np.all(dynamic.margin_mean > plain.margin.margin_mean(base, plain.log_rate(base)))


def test_a_margin_that_does_not_go_by_rates_is_asked_at_the_customers_own():
    model = BGNBD().at(r=0.6, alpha=9.0, a=0.8, b=2.5, p=6.0, q=4.0, v=20.0)
    assert np.array_equal(model.margin_log_rate(SOME, 90), model.log_rate(SOME))


def test_who_has_surely_left_keeps_her_own_log_rate():
    gone = Histories.from_arrays(frequency=[400], recency_days=[10], age_days=[70_000], margin_mean=[5.0])
    model = ParetoNBD(margin=BY_RATE).at(r=0.6, alpha=1e-3, s=0.7, beta=11.0, **SLOPED)
    assert model.expected_purchases(gone, 90)[0] < 1e-300
    assert np.all(np.isfinite(model.margin_log_rate(gone, 90)))
    assert np.array_equal(model.margin_log_rate(gone, 0), model.log_rate(gone))


# ---- a planted world


@pytest.fixture(scope="module")
def planted():
    """20,000 customers of a BG/NBD, seen for 15 to 45 weeks, whose mean margin rises by 15 a unit of log-rate; and what
    each of them is expected to buy in a year, and its margin, given her own rate, her chance to leave and whether she
    has left. Frequent buyers do not stand for the rest: half of all came once."""
    rng = np.random.default_rng(4)
    n, horizon = 20_000, 52.0
    rate, leave = rng.gamma(0.8, 1 / 10.0, n), rng.beta(0.8, 3.0, n)
    weeks = rng.uniform(15, 45, n)
    frequency, last, alive = np.zeros(n, dtype=int), np.zeros(n), np.ones(n, dtype=bool)
    clock, going = np.zeros(n), np.arange(n)
    while len(going):
        clock[going] += rng.exponential(size=len(going)) / rate[going]
        going = going[clock[going] <= weeks[going]]
        frequency[going] += 1
        last[going] = clock[going]
        alive[going] = rng.random(len(going)) >= leave[going]
        going = going[alive[going]]
    own = 80 + 15 * (np.log(rate) + 3) + 8 * rng.standard_normal(n)
    mean = own + 12 * rng.standard_normal(n) / np.sqrt(np.maximum(frequency, 1))
    base = Histories.from_arrays(
        frequency=frequency, recency_days=7 * last, age_days=7 * weeks, margin_mean=np.where(frequency > 0, mean, 0.0)
    )
    purchases = np.where(alive, -np.expm1(-rate * leave * horizon) / leave, 0.0)
    return base, purchases, own


def test_planted_dependence_between_rate_and_margin_leaves_no_bias_in_values(planted):
    """The mean margin of a purchase ahead, of all and of those who came once, within 1 and 1.5 % of what it truly is
    (0.3 and 0.5 %: one standard error). Asked at the customers' own log-rates the same fit is more than 2 and 5 % low;
    with 1 / (r + x) on top, as if leaving had nothing to do with rates, it is more than 1 % high."""
    base, purchases, own = planted
    model = BGNBD(margin=BY_RATE).fit(base)
    worth, now = model.value(base, horizon_days=364, discount_rate=0.0), model.log_rate(base)
    for some, allowed, missed in ((base.frequency >= 0, 0.01, 0.02), (base.frequency == 0, 0.015, 0.05)):
        bought, ahead = purchases[some], worth.expected_purchases[some]
        truth = np.sum(bought * own[some]) / bought.sum()
        at_own, too_much = (
            np.sum(ahead * model.margin.margin_mean(base, rates)[some]) / ahead.sum()
            for rates in (now, now + 1 / (model.params["r"] + base.frequency))
        )
        assert worth.value[some].sum() / ahead.sum() == pytest.approx(truth, rel=allowed)
        assert at_own < (1 - missed) * truth
        assert too_much > 1.01 * truth


def test_all_who_value_weigh_alike(planted):
    """``value``, ``expected_value``, a backtest and simulated futures ask at the same log-rate; 100 draws of 4,000."""
    base = planted[0][:4_000]
    asked = {"horizon_days": 364, "discount_rate": 0.0}
    for margin in (Credibility(by_rate=True), GammaGamma(by_rate=True)):
        model = BGNBD(margin=margin).fit(base)
        worth = model.value(base, **asked)
        np.testing.assert_allclose(model.expected_value(base, **asked), worth.value, rtol=1e-12)
        told = dict(judged(base, {"mine": model}, (), np.zeros(len(base), dtype=int), 364.0, []))["mine"]
        np.testing.assert_allclose(told.margin, worth.value, rtol=1e-12)
        drawn = model.predict(base, draws=100, seed=1, **asked)
        assert drawn.value.sum() == pytest.approx(worth.total(), rel=0.03)
