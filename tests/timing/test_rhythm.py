"""What a clock says of the next purchase adds up, and regularity is told from Poisson."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import polygamma, stdtrit

from retention._kernels import wholedays
from retention._kernels.logt import log_likelihood, student_quantile
from retention.errors import ConfigError
from retention.histories import Histories
from retention.timing import Rhythm
from retention.timing.rhythm import statistics

CLOCK = Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.6, a=0.5, b=4.0, typical_gap_days=20.0)


def base_of(gaps_by_customer, idle):
    logs = [np.log(gaps) for gaps in gaps_by_customer]
    return Histories.from_arrays(
        frequency=[len(g) for g in gaps_by_customer],
        recency_days=[float(np.sum(g)) for g in gaps_by_customer],
        age_days=[float(np.sum(g)) + h for g, h in zip(gaps_by_customer, idle, strict=True)],
        margin=[100.0] * len(idle),
        gap_log_sum=[float(g.sum()) for g in logs],
        gap_log_squares=[float((g**2).sum()) for g in logs],
    )


gap_lists = st.lists(st.floats(1.0, 200.0), min_size=0, max_size=8)


@given(gaps=gap_lists, idle=st.floats(0.5, 400.0), days=st.floats(0.0, 500.0))
def test_the_density_of_the_next_purchase_adds_up_to_its_probability(gaps, idle, days):
    base = base_of([gaps], [idle])
    total, _ = quad(lambda d: float(CLOCK.next_purchase(base, [d])[0, 0]), 0.0, days, limit=200)
    assert total == pytest.approx(CLOCK.p_purchase(base, days)[0], rel=1e-5, abs=1e-9)


@given(gaps=gap_lists, idle=st.floats(0.0, 400.0))
def test_who_ever_comes_is_who_still_comes(gaps, idle):
    base = base_of([gaps], [idle])
    soon, later, ever = (CLOCK.p_purchase(base, d)[0] for d in (0.0, 30.0, 1e300))
    assert soon == pytest.approx(0.0, abs=1e-12)
    assert soon <= later <= ever <= CLOCK.p_alive(base)[0] + 1e-12
    assert ever == pytest.approx(CLOCK.p_alive(base)[0], abs=1e-6)


def test_a_number_of_days_can_be_given_for_each_customer():
    base = base_of([[20.0, 22.0], [7.0, 8.0, 6.0]], [10.0, 3.0])
    both = CLOCK.p_purchase(base, np.array([5.0, 9.0]))
    assert both[0] == CLOCK.p_purchase(base[0:1], 5.0)[0]
    assert both[1] == CLOCK.p_purchase(base[1:2], 9.0)[0]
    with pytest.raises(ConfigError, match="zero days or more"):
        CLOCK.p_purchase(base, -1.0)


def test_a_pause_keeps_alive_who_is_long_silent_and_hardly_touches_who_has_just_been():
    gaps = [20.0, 21.0, 19.0, 20.0, 22.0, 18.0]
    never = Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.6, a=0.5, b=4.0, typical_gap_days=20.0, pause=0.0)
    base = base_of([gaps, gaps], [2.0, 70.0])
    with_pauses, without = CLOCK.p_alive(base), never.p_alive(base)
    assert with_pauses[0] == pytest.approx(without[0], rel=1e-3)
    assert with_pauses[1] > 1.5 * without[1]
    assert (CLOCK.silence(base) == never.silence(base)).all(), "how unusual a silence is does not depend on pauses"


@pytest.mark.parametrize(
    "ask",
    [lambda c, b: c.usual_gap(b, 1.5), lambda c, b: c.gap_exceeded(b, 1.5), lambda c, b: c.regularity(b, -1),
     lambda c, b: c.p_purchase(b, np.array([1.0, 2.0, 3.0])), lambda c, b: Rhythm(m0=np.nan, kappa0=1.5, nu0=5.0,
     s0_squared=0.6, a=0.5, b=4.0, typical_gap_days=20.0)],
)  # fmt: skip
def test_what_no_clock_can_answer_is_one_clear_error(ask):
    with pytest.raises(ConfigError):
        ask(CLOCK, base_of([[20.0, 22.0]], [10.0]))


@pytest.mark.parametrize("wrong", [{"pause": 1.0}, {"pause": -0.1}, {"stretch": 0.5}])
def test_pauses_out_of_range_are_one_clear_error(wrong):
    with pytest.raises(ConfigError, match="a pause has a probability"):
        Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.6, a=0.5, b=4.0, typical_gap_days=20.0, **wrong)


def test_the_usual_gap_holds_the_planted_one_as_often_as_it_says():
    """Customers drawn from the clock itself: 2,000, standard error of a share 0.7 points, tolerance 3."""
    rng = np.random.default_rng(8)
    n = 2000
    s2 = 1 / rng.gamma(CLOCK.nu0 / 2, 2 / (CLOCK.nu0 * CLOCK.s0_squared), n)
    mu = rng.normal(CLOCK.m0, np.sqrt(s2 / CLOCK.kappa0))
    counts = rng.integers(0, 10, n)
    gaps = [np.exp(rng.normal(m, np.sqrt(v), k)) for m, v, k in zip(mu, s2, counts, strict=True)]
    base = base_of(gaps, [5.0] * n)
    low, middle, high = CLOCK.usual_gap(base, 0.9)
    assert np.mean((low <= np.exp(mu)) & (np.exp(mu) <= high)) == pytest.approx(0.9, abs=0.03)
    assert np.mean(np.exp(mu) <= middle) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("shape", "mean"), [(1.0, 12.0), (1.0, 30.0), (2.0, 12.0), (6.0, 8.0)])
def test_regularity_holds_the_planted_one_though_days_are_whole(shape, mean):
    """600 customers with 5 to 14 gaps rounded up to days, half of them of another regularity; the clock takes gaps for
    log-normal and the planted ones are gamma, so 83 to 97 % are taken for nine in ten. Taking the days for moments,
    wrong on purpose, makes Poisson buyers of every twelve days look regular: almost none of those bounds hold 1."""
    rng = np.random.default_rng(5)
    counts = rng.integers(5, 15, 600)
    shapes = np.where(np.arange(600) % 2, shape, 3.0)
    gaps = [np.ceil(rng.gamma(k, mean / k, n)) for k, n in zip(shapes, counts, strict=True)]
    base = base_of(gaps, [3.0] * 600)
    clock = Rhythm.fit(base)
    even = clock.regularity(base, 0.9)
    mine = shapes == shape
    held = (even.low <= shape) & (shape <= even.high)
    assert 0.80 < held[mine].mean() <= 0.99
    assert np.all((even.low <= even.value) & (even.value <= even.high))


def test_taking_whole_days_for_moments_makes_poisson_buyers_look_regular():
    rng = np.random.default_rng(6)
    gaps = [np.ceil(rng.exponential(5.0, 40)) for _ in range(200)]
    logs = np.array([np.log(g).var(ddof=1) for g in gaps])
    assert np.median(wholedays.continuous_shape(logs)) > 1.4, "the wrong way"
    assert np.median(wholedays.shape_of(logs, np.array([g.mean() for g in gaps]))) == pytest.approx(1.0, abs=0.1)


@given(variance=st.floats(1e-5, 1e3))
def test_regularity_is_the_gamma_shape_whose_logs_vary_so(variance):
    k = wholedays.continuous_shape(np.array([variance]))
    assert polygamma(1, k)[0] == pytest.approx(variance, rel=1e-9)


def test_poisson_seen_in_whole_days_varies_as_a_simulation_says():
    """A million gaps each; standard error of a variance of logs below 0.2 %."""
    rng = np.random.default_rng(1)
    for mean in (3.0, 20.0):
        days = np.ceil(rng.exponential(mean, 1_000_000))
        assert wholedays.log_variance(1.0, days.mean()) == pytest.approx(np.log(days).var(), rel=0.01)
    burst = np.ceil(rng.gamma(0.2, 300 / 0.2, 1_000_000))
    assert wholedays.log_variance(0.2, burst.mean()) == pytest.approx(np.log(burst).var(), rel=0.01), "a heavy tail"
    near = wholedays.shape_of(np.array([3.0, 3.0]), np.array([99.9, 100.1]))
    assert near[1] == pytest.approx(near[0], rel=1e-2), "no step at any mean"
    assert wholedays.log_variance(1.0, np.inf) == pytest.approx(np.pi**2 / 6)
    assert wholedays.log_variance(1.0, 1.0) == 0.0


@given(shape=st.floats(0.5, 300.0), mean=st.floats(5.0, 400.0))
def test_regularity_in_whole_days_turns_its_variance_round(shape, mean):
    """The shape whose gaps vary so is the one that they were drawn from, within 2 %, where rounding to days does not
    hide it: gaps of bursts are mostly one day, and so are those of clocks a little above a day."""
    variance = wholedays.log_variance(shape, np.array([mean]))
    if variance[0] > 20 * wholedays.log_variance(400.0, np.array([mean]))[0]:
        assert wholedays.shape_of(variance, np.array([mean]))[0] == pytest.approx(shape, rel=0.02)


def test_quantiles_shared_by_customers_of_as_many_gaps_are_each_ones_own():
    """A million customers need some hundred quantiles; who has no whole number of gaps gets her own."""
    rng = np.random.default_rng(0)
    for degrees in (5.3 + rng.integers(0, 40, 3000), rng.uniform(2, 40, 3000), np.array([4.5, 9.5])):
        np.testing.assert_array_equal(student_quantile(degrees, 0.95), stdtrit(degrees, 0.95))
    each = rng.random(3000)
    np.testing.assert_array_equal(student_quantile(degrees := np.full(3000, 7.0), each), stdtrit(degrees, each))


def test_a_large_base_gives_the_clock_of_its_first_customers():
    """A search that begins at a sample's answer ends where one from scratch does: 6,000 customers, against 4,900."""
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 8, 6000)
    means, spread = rng.normal(3.0, 0.6, 6000), np.sqrt(0.4 / rng.gamma(3.0, 1 / 3, 6000))
    base = base_of([np.exp(rng.normal(m, s, n)) for m, s, n in zip(means, spread, counts, strict=True)], [9.0] * 6000)
    large, small = Rhythm.fit(base), Rhythm.fit(base[:4900])
    assert large.m0 == pytest.approx(small.m0, abs=0.05)
    assert np.log(large.s0_squared / small.s0_squared) == pytest.approx(0.0, abs=0.15)
    theirs = Rhythm(**{**{f: getattr(small, f) for f in ("m0", "kappa0", "nu0", "s0_squared", "a", "b")},
                       "typical_gap_days": 20.0})  # fmt: skip
    assert large.log_likelihood > log_likelihood(theirs._prior(), *statistics(base)).sum()
