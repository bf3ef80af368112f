"""A fitter of lifelines says who will come, from the gaps of the log and her silence so far."""

import datetime as dt
import math
import sys

import attrs
import numpy as np
import pytest

import retention as rt
from retention.errors import ConfigError, MissingExtraError
from retention.guests import LifelinesClock
from retention.guests.lifelines import _gaps
from retention.histories import Histories, summarize
from retention.plugins import using
from retention.records import TransactionLog
from retention.testing import check_timing
from retention.timing import backtest
from retention.worlds import Shop

AS_OF = dt.date(2011, 12, 31)


@pytest.fixture(scope="module")
def lifelines():
    return pytest.importorskip("lifelines")


@pytest.fixture(scope="module")
def log():
    return Shop.corner_shop(seed=1).simulate().log


@pytest.fixture(scope="module")
def base(log):
    return summarize(log, as_of=AS_OF)


@pytest.mark.parametrize("fitter", ["KaplanMeierFitter", "LogNormalFitter", "LogNormalAFTFitter"])
def test_fitters_keep_the_laws_of_timings(lifelines, log, base, fitter):
    """A curve of steps, a curve with parameters, and a regression."""
    check_timing(LifelinesClock(fitter=getattr(lifelines, fitter)(), log=log), base[::6])


def test_what_is_promised_is_the_survival_curve_itself(lifelines, log, base):
    """1 - S(idle + days) / S(idle), as the fitter's own curve has it."""
    clock = LifelinesClock(fitter=lifelines.WeibullFitter(), log=log).fit(base)
    scale, shape = clock.fitter.lambda_, clock.fitter.rho_
    idle = np.asarray(base.idle_days)
    hazard = ((idle + 91.0) / scale) ** shape - (idle / scale) ** shape
    assert clock.p_purchase(base, 91.0) == pytest.approx(-np.expm1(-hazard), rel=1e-6)


def test_a_planted_rhythm_is_found(lifelines):
    """Gaps are exponential with a mean of 20 days: whoever is silent comes within 20 days with 1 - 1/e.

    Some 4,000 gaps: the standard error of the log mean is 0.016, and 5 of these are allowed for.
    """
    rng = np.random.default_rng(7)
    days = np.cumsum(np.ceil(rng.exponential(20.0, (100, 60))), axis=1).astype(int)
    start = np.datetime64("2010-01-01")
    log = TransactionLog.from_arrays(
        customer_id=np.repeat([f"k{i:03d}" for i in range(100)], 60), at=start + days.reshape(-1), revenue=np.ones(6000)
    )
    base = summarize(log, as_of=(start + 800).item())
    clock = LifelinesClock(fitter=lifelines.ExponentialFitter(), log=log).fit(base)
    assert math.log(clock.fitter.lambda_ / 20.5) == pytest.approx(0.0, abs=5 * 0.016)
    assert clock.p_purchase(base, 20.5) == pytest.approx(np.full(len(base), 1 - math.exp(-1)), abs=0.03)


def test_every_gap_is_counted_once_and_the_last_is_open():
    log = TransactionLog.from_arrays(
        customer_id=["a", "a", "a", "a", "b", "c"],
        at=["2011-01-01", "2011-01-05", "2011-01-05", "2011-01-25", "2011-01-10", "2011-02-01"],
        revenue=[1, 1, 2, 1, 1, 1],
    )
    days, ended, purchases, log_sum = _gaps(log, dt.date(2011, 2, 1))
    assert days.tolist() == [4, 20, 7, 22]  # hers of today says nothing
    assert ended.tolist() == [True, True, False, False]
    assert purchases.tolist() == [1, 2, 3, 1]
    assert log_sum == pytest.approx([0.0, math.log(4), math.log(80), 0.0])


def test_a_regression_tells_who_comes_often_from_who_comes_seldom(lifelines, log, base):
    """At the same silence the one of short gaps comes sooner; one curve for everybody knows no difference."""
    two = Histories.from_arrays(
        frequency=[10, 10],
        recency_days=[70, 600],
        age_days=[80, 610],
        gap_log_sum=[10 * math.log(7), 10 * math.log(60)],
    )
    own = LifelinesClock(fitter=lifelines.LogNormalAFTFitter(), log=log).fit(base).p_purchase(two, 14.0)
    common = LifelinesClock(log=log).fit(base).p_purchase(two, 14.0)
    assert own[0] > own[1] + 0.2
    assert common[0] == common[1]


def test_it_learns_nothing_from_after_the_as_of_date(lifelines, log):
    early = summarize(log, as_of="2010-12-31")
    whole, known = (LifelinesClock(log=one).fit(early) for one in (log, log.until(dt.date(2010, 12, 31))))
    assert np.array_equal(whole.p_purchase(early, 28.0), known.p_purchase(early, 28.0))


def test_who_outlasted_every_gap_counts_as_gone(lifelines, log, base):
    """Kaplan-Meier says so; a curve that never ends calls her alive after all."""
    old = Histories.from_arrays(frequency=[1], recency_days=[5], age_days=[9000])
    assert LifelinesClock(log=log).fit(base).p_alive(old).tolist() == [0.0]
    assert LifelinesClock(fitter=lifelines.LogNormalFitter(), log=log).fit(base).p_alive(old)[0] > 0


def test_it_takes_part_in_a_backtest_and_in_an_outlook(lifelines, log, base):
    clock = LifelinesClock(log=log)
    tried = backtest(log, cutoffs=["2011-06-30"], models=[clock], days=[28], rules=False)
    assert tried.scores.model.tolist() == ["lifelines"]
    assert tried.scores.expected[0] == pytest.approx(tried.scores.actual[0], abs=0.08)
    outlook = rt.anticipate(base, clock=clock)
    assert (outlook.window_opens_at <= outlook.window_closes_at).all()
    with using(attrs.evolve(clock, name="our-gaps"), installed=False):
        assert np.array_equal(rt.anticipate(base, clock="our-gaps").next_due_at, outlook.next_due_at)
    assert rt.anticipate(base, clock="lifelines", log=log).equals(outlook)


def test_it_says_what_it_needs(lifelines, log, base, monkeypatch):
    with pytest.raises(ConfigError, match="without a log"):
        LifelinesClock().fit(base)
    with pytest.raises(ConfigError, match="fitter of type str"):
        LifelinesClock(fitter="weibull", log=log).fit(base)
    with pytest.raises(ConfigError, match="0 gaps"):
        LifelinesClock(log=log).fit(base[base.frequency == 0])
    monkeypatch.setitem(sys.modules, "lifelines", None)
    with pytest.raises(MissingExtraError, match="'lifelines'"):
        LifelinesClock(log=log).fit(base)


@pytest.mark.parametrize("days", [-5, 0, math.nan, math.inf, True, "ten years"])
def test_the_days_after_which_she_is_gone_are_a_number_above_0(days):
    with pytest.raises(ConfigError, match="gone_days="):
        LifelinesClock(gone_days=days)
