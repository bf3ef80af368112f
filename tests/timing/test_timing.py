"""Each customer is judged on her own clock."""

import datetime as dt

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from retention._kernels import logt
from retention.errors import ConfigError, RetentionError
from retention.histories import Histories, summarize
from retention.records import Touches, TransactionLog
from retention.testing.strategies import histories
from retention.timing import Rhythm, anticipate, leak

PRIOR = logt.Prior(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.6, a=0.5, b=4.0)


def base_of(gaps_by_customer: list[list[float]], idle: list[float], margin: float = 100.0) -> Histories:
    logs = [np.log(gaps) for gaps in gaps_by_customer]
    return Histories.from_arrays(
        frequency=[len(g) for g in gaps_by_customer],
        recency_days=[float(np.sum(g)) for g in gaps_by_customer],
        age_days=[float(np.sum(g)) + h for g, h in zip(gaps_by_customer, idle, strict=True)],
        margin=[margin] * len(idle),
        gap_log_sum=[float(g.sum()) for g in logs],
        gap_log_squares=[float((g**2).sum()) for g in logs],
    )


def test_the_likelihood_is_the_integral_it_claims_to_be():
    """Integrate the normal-inverse-gamma and beta priors out numerically, for a customer with three gaps."""
    gaps = np.array([10.0, 25.0, 18.0])
    y, idle = np.log(gaps), 40.0

    def given_clock(log_s2: float, mu: float) -> tuple[float, float]:
        s2 = np.exp(log_s2)
        weight = stats.invgamma.pdf(s2, PRIOR.nu0 / 2, scale=PRIOR.nu0 * PRIOR.s0_squared / 2) * s2
        weight *= stats.norm.pdf(mu, PRIOR.m0, np.sqrt(s2 / PRIOR.kappa0))
        density = np.prod(stats.norm.pdf(y, mu, np.sqrt(s2)))
        return weight * density, stats.norm.sf((np.log(idle) - mu) / np.sqrt(s2))

    alive, _ = integrate.dblquad(lambda s, m: np.prod(given_clock(s, m)), -2, 8, -5, 4, epsabs=1e-12, epsrel=1e-8)
    either, _ = integrate.dblquad(lambda s, m: given_clock(s, m)[0], -2, 8, -5, 4, epsabs=1e-12, epsrel=1e-8)

    def leaving(p: float, end: float) -> float:
        return stats.beta.pdf(p, PRIOR.a, PRIOR.b) * (1 - p) ** 3 * end

    stay, _ = integrate.quad(lambda p: leaving(p, 1 - p), 0, 1)
    go, _ = integrate.quad(lambda p: leaving(p, p), 0, 1)
    expected = np.log(alive * stay + either * go)
    one = logt.log_likelihood(PRIOR, np.array([3.0]), np.array([y.sum()]), np.array([(y**2).sum()]), np.array([idle]))
    assert one[0] == pytest.approx(expected, rel=1e-6)


@given(st.floats(0.01, 0.99), st.lists(st.floats(1, 300), min_size=0, max_size=8))
def test_a_gap_is_exceeded_as_often_as_it_says(p, gaps):
    y = np.log(np.array(gaps)) if gaps else np.zeros(0)
    post = logt.posterior(PRIOR, np.array([float(len(y))]), np.array([y.sum()]), np.array([(y**2).sum()]))
    assert logt.survival(post, logt.exceeded(post, p))[0] == pytest.approx(p, rel=1e-9)


def test_the_population_is_recovered_from_simulated_clocks():
    """4,000 customers, seed 3: m0 and s0 within 5 %, the leaving rate within 20 % (each about 3 standard errors)."""
    rng = np.random.default_rng(3)
    gaps, idle = [], []
    for _ in range(4000):
        s2 = 1 / rng.gamma(PRIOR.nu0 / 2, 2 / (PRIOR.nu0 * PRIOR.s0_squared))
        mu = rng.normal(PRIOR.m0, np.sqrt(s2 / PRIOR.kappa0))
        leave = rng.beta(PRIOR.a, PRIOR.b)
        hers, clock, horizon = [], 0.0, rng.uniform(200, 700)
        while True:
            if rng.random() < leave:
                break
            gap = float(np.exp(rng.normal(mu, np.sqrt(s2))))
            if clock + gap > horizon:
                break
            hers.append(max(gap, 1e-3))
            clock += gap
        gaps.append(hers)
        idle.append(horizon - clock)
    fit = Rhythm.fit(base_of(gaps, idle), pause=0.0)  # nobody here skips a turn
    assert fit.m0 == pytest.approx(PRIOR.m0, rel=0.05)
    assert np.sqrt(fit.s0_squared) == pytest.approx(np.sqrt(PRIOR.s0_squared), rel=0.05)
    assert fit.a / (fit.a + fit.b) == pytest.approx(PRIOR.a / (PRIOR.a + PRIOR.b), rel=0.20)


def test_the_regular_buyer_is_overdue_before_the_irregular_one():
    regular, irregular = [10.0, 11.0, 9.0] * 4, [2.0, 30.0, 3.0, 8.0, 25.0, 1.0, 12.0, 4.0, 20.0, 6.0, 5.0, 4.0]
    days = np.arange(1.0, 200.0)
    crowd = [regular, irregular, *[[14.0, 20.0, 9.0]] * 20]
    rhythm = Rhythm.fit(base_of(crowd, [10.0] * len(crowd)))

    def first_overdue(gaps: list[float]) -> float:
        base = base_of([gaps] * len(days), days.tolist())
        return float(days[anticipate(base, clock=rhythm)["overdue"]][0])

    assert first_overdue(regular) < first_overdue(irregular)


def test_a_weekly_customer_is_late_where_a_christmas_customer_is_not():
    base = base_of([[7.0, 7.0, 8.0, 6.0, 7.0, 7.0], [360.0, 365.0, 370.0]], [60.0, 60.0])
    assert anticipate(base)["overdue"].tolist() == [True, False]


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_the_smallest_bases_have_clocks_too(rows):
    base = base_of([[]] * rows, [30.0] * rows)
    when = anticipate(base)
    assert len(when) == rows
    assert not when["overdue"].any()
    assert np.isfinite(when["usual_gap_days"]).all()
    assert leak(when, as_of=dt.date(2011, 1, 1)).per_day == 0.0


@given(st.lists(st.tuples(st.lists(st.integers(1, 400), max_size=6), st.integers(0, 900)), min_size=1, max_size=12))
def test_an_outlook_is_in_order_for_any_base(rows):
    start = dt.date(2009, 1, 1)
    who, at = [], []
    for i, (gaps, _) in enumerate(rows):
        for offset in np.cumsum([0, *gaps]):
            who.append(f"c{i}")
            at.append(start + dt.timedelta(days=int(offset)))
    log = TransactionLog.from_arrays(customer_id=who, at=at, revenue=np.ones(len(who)))
    as_of = max(at) + dt.timedelta(days=rows[0][1])
    when = anticipate(summarize(log, as_of=as_of))
    assert (when["window_opens_at"] <= when["window_closes_at"]).all()
    assert (when["window_closes_at"] >= np.datetime64(as_of)).all()
    assert (when["next_due_at"] >= np.datetime64(as_of)).all()
    assert ((when["silence_probability"] >= 0) & (when["silence_probability"] <= 1)).all()
    assert (when["gap_low_days"] <= when["usual_gap_days"]).all()
    assert (when["usual_gap_days"] <= when["gap_high_days"]).all()
    assert (when["at_risk_per_day"][~when["overdue"]] == 0).all()


def test_one_customer_alone_and_in_a_crowd_gets_the_same_clock():
    base = base_of([[7.0, 9.0], [30.0, 31.0, 29.0], []], [20.0, 15.0, 100.0])
    rhythm = Rhythm.fit(base)
    together = anticipate(base, clock=rhythm)
    for i in range(len(base)):
        assert anticipate(base[i : i + 1], clock=rhythm).equals(together[i : i + 1])


def test_the_leak_is_the_sum_over_the_names_it_lists_and_a_touch_takes_a_name_off():
    base = base_of([[7.0, 7.0, 8.0, 6.0]] * 3 + [[7.0, 7.0, 8.0]], [60.0, 70.0, 5.0, 50.0])
    when = anticipate(base, tail=0.2)
    day = dt.date(2011, 12, 1)
    before = leak(when, as_of=day, valuable_share=1.0)
    assert before.per_day == pytest.approx(before["at_risk_per_day"].sum())
    assert set(before["customer_id"]) == {"c0", "c1", "c3"}
    touch = Touches.from_arrays(customer_id=["c1"], at=[day - dt.timedelta(days=89)], channel=["post"], kind=["give"])
    after = leak(when, as_of=day, touches=touch, valuable_share=1.0)
    assert set(after["customer_id"]) == {"c0", "c3"}
    old = Touches.from_arrays(customer_id=["c1"], at=[day - dt.timedelta(days=90)], channel=["post"], kind=["give"])
    assert len(leak(when, as_of=day, touches=old, valuable_share=1.0)) == 3


def test_the_due_date_of_who_is_long_overdue_is_the_median_given_her_silence():
    """Half of what the silence leaves is left at the due date; here it leaves less than 1e-17, where 1 - p is 1."""
    rhythm = Rhythm(m0=2.0, kappa0=1.0, nu0=4.0, s0_squared=0.05, a=0.5, b=4.0, typical_gap_days=7.0)
    gaps = [7.0] * 60
    silence, day = 400.0, dt.date(2011, 12, 1)
    base = base_of([gaps], [silence])
    base = attrs.evolve(base, last_at=np.array([day - dt.timedelta(days=int(silence))], dtype="datetime64[D]"))
    when = anticipate(base, clock=rhythm)
    assert 0 < when["silence_probability"][0] < 1e-17
    due = float((when["next_due_at"] - base.last_at)[0].astype(int))
    assert silence < due < 500
    left = [rhythm.silence(base_of([gaps], [due + step]))[0] / when["silence_probability"][0] for step in (-0.5, 0.5)]
    assert left[0] >= 0.5 >= left[1]


def test_what_she_brings_a_day_is_her_margin_over_her_days_and_one_gap():
    base = base_of([[10.0, 10.0], []], [5.0, 40.0], margin=90.0)
    rhythm = Rhythm(m0=2.0, kappa0=1.0, nu0=4.0, s0_squared=0.05, a=0.5, b=4.0, typical_gap_days=10.0)
    assert anticipate(base, clock=rhythm)["margin_per_day"] == pytest.approx([90 / 30, 90 / 50])
    losing = base_of([[10.0, 10.0]], [5.0], margin=-90.0)
    assert anticipate(losing, clock=rhythm)["margin_per_day"].tolist() == [0.0]


def test_histories_without_gaps_have_no_clock_and_are_refused():
    """From counts alone every gap would look like one day, and everyone overdue."""
    bare = Histories.from_arrays(frequency=[10, 0], recency_days=[70, 0], age_days=[77, 30])
    with pytest.raises(RetentionError, match="1 histories with repeat purchases and no log gaps"):
        anticipate(bare)
    daily = Histories.from_arrays(frequency=[10], recency_days=[10], age_days=[11])
    assert len(anticipate(daily)) == 1


@settings(max_examples=25, deadline=None)
@given(base=histories(max_size=8))
def test_any_base_has_an_outlook(base):
    when = anticipate(base)
    for name, values in when.columns().items():
        assert values.dtype.kind != "f" or np.isfinite(values).all(), name
    assert (when["at_risk_per_day"] <= when["margin_per_day"]).all()


def test_a_tail_is_a_probability():
    with pytest.raises(ConfigError, match="tail"):
        anticipate(base_of([[3.0]], [1.0]), tail=1.5)
