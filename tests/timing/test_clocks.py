"""Any clock that says who comes when gives an outlook, and one that says nonsense gives an error."""

import datetime as dt
import sys

import attrs
import numpy as np
import pytest
from hypothesis import given, settings

import retention as rt
from retention.errors import ConfigError, ModelError, UnknownNameError
from retention.histories import Histories
from retention.testing import sample_histories
from retention.testing.strategies import histories
from retention.timing import NO_CYCLE, LogT, PurchaseClock, Rhythm, anticipate
from retention.timing.clocks import LONG_DAYS, read_clock
from retention.value import BGNBD, ParetoGGG, ParetoNBD

FITTED = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426)


@attrs.frozen
class Steady:
    """A stranger's clock: everybody comes at random, every ``mean_days`` on average, if she stays."""

    mean_days: float = 20.0
    stays: float = 1.0
    name: str = "steady"

    def p_purchase(self, histories, days):
        return np.full(len(histories), self.stays * -np.expm1(-days / self.mean_days))

    def p_alive(self, histories):
        return np.full(len(histories), self.stays)


@attrs.frozen
class Hidden:
    """A clock of which only the two questions are known that every clock answers."""

    clock: object
    name: str = "hidden"

    def p_purchase(self, histories, days):
        return self.clock.p_purchase(histories, days)

    def p_alive(self, histories):
        return self.clock.p_alive(histories)


def dated(base: Histories) -> Histories:
    """The sample with dates."""
    as_of = np.datetime64("2011-12-01")
    return attrs.evolve(
        base,
        first_at=as_of - base.age_days.astype("timedelta64[D]"),
        last_at=as_of - base.idle_days.astype("timedelta64[D]"),
        as_of=dt.date(2011, 12, 1),
    )


@pytest.mark.parametrize("mean_days", [1.0, 20.0, 400.0])
def test_who_comes_at_random_has_the_gaps_of_chance(mean_days):
    """Quantiles of exponential gaps, of those who come back within ten years, are -mean log(1 - q F(3650))."""
    base = sample_histories(10)
    told = read_clock(Steady(mean_days), base, "steady")
    comes = -np.expm1(-LONG_DAYS / mean_days)
    expected = [-mean_days * np.log1p(-share * comes) for share in (0.25, 0.5, 0.75)]
    assert np.allclose([g[0] for g in told.gap], expected, rtol=1e-9)
    assert np.allclose(told.due[1] - base.idle_days, expected[1], rtol=1e-9)  # chance has no memory
    silence = 1 + np.expm1(-np.minimum(base.idle_days, LONG_DAYS) / mean_days) / comes
    assert np.allclose(told.silence, np.clip(silence, 0, 1), atol=1e-9)
    assert np.allclose(told.p_leaves, 1 - comes, atol=1e-9)


@pytest.mark.parametrize(("shape", "within"), [(1.0, 1e-9), (12.0, 0.01), (50.0, 0.02), (10_000.0, 0.15)])
def test_even_gaps_are_read_too(shape, within):
    """Gamma gaps against scipy's quantiles; at worst, fixed gaps, the error is within a step of the horizons."""
    from scipy import stats

    class Even(Steady):
        def p_purchase(self, histories, days):
            return np.full(len(histories), stats.gamma(shape, scale=self.mean_days / shape).cdf(days))

    for mean_days in (21.0, 47.0, 65.0):
        told = read_clock(Even(mean_days), sample_histories(1), "even")
        for share, gap in zip((0.25, 0.5, 0.75), told.gap, strict=True):
            assert gap[0] == pytest.approx(stats.gamma(shape, scale=mean_days / shape).ppf(share), rel=within)


def test_a_clock_read_from_outside_says_what_it_says_of_itself():
    """The log-t clock without pauses knows its gaps outright; hidden behind its chances they come out the same, once
    those beyond ten years are left out: from outside nobody comes back after them."""
    base = sample_histories(60)
    rhythm = attrs.evolve(Rhythm.fit(base), pause=0.0)
    derived = read_clock(Hidden(rhythm), base, "x")
    beyond = rhythm.silence(attrs.evolve(base, age_days=base.recency_days + LONG_DAYS))
    silence = (rhythm.silence(base) - beyond) / (1 - beyond)
    assert np.allclose(derived.silence, silence, atol=0.01)
    assert np.array_equal(derived.p_alive, rhythm.p_alive(base))
    for share, gaps in zip((0.25, 0.5, 0.75), derived.gap, strict=True):
        assert np.allclose(gaps, rhythm.gap_exceeded(base, 1 - share * (1 - beyond)), rtol=0.03)
    for share, days in zip((0.25, 0.5, 0.75), derived.due, strict=True):
        left = rhythm.silence(attrs.evolve(base, age_days=base.age_days + LONG_DAYS))
        due = rhythm.gap_exceeded(base, rhythm.silence(base) * (1 - share) + left * share)
        assert np.allclose(days, due, rtol=0.03)


@pytest.mark.parametrize("model", [FITTED, ParetoNBD().at(r=0.55, alpha=10.6, s=0.6, beta=11.7)], ids=["bg", "pareto"])
def test_gaps_of_a_purchase_model_are_those_of_its_own_equation(model):
    """Bisection on the model's own probability, customer by customer, against the table of 40 horizons: within 2 %."""
    base = sample_histories(20)
    told, fresh = read_clock(model, base, "x"), attrs.evolve(base, age_days=base.recency_days)
    for rows, gaps, idle in ((fresh, told.gap, 0.0), (base, told.due, base.idle_days)):
        for share, days in zip((0.25, 0.5, 0.75), gaps, strict=True):
            for i in (0, 7, 21, 23):
                one = rows[[i]]
                wanted, low, high = share * model.p_purchase(one, LONG_DAYS)[0], 0.0, LONG_DAYS
                for _ in range(30):
                    middle = (low + high) / 2
                    low, high = (middle, high) if model.p_purchase(one, middle)[0] < wanted else (low, middle)
                assert (days - idle)[i] == pytest.approx(low, rel=0.02)


def test_pareto_ggg_is_asked_the_short_way_and_says_the_same():
    base = sample_histories(2)
    clock = PurchaseClock(ParetoGGG()).fit(base)
    for days in (3.0, 300.0):
        assert np.allclose(clock.p_purchase(base, days), clock.fitted.p_purchase(base, days), rtol=1e-4, atol=1e-9)
    assert np.array_equal(clock.p_alive(base), clock.fitted.p_alive(base))


def test_a_clock_of_the_wrong_horizon_is_seen_in_the_gaps():
    """Read at twice the days the usual gap would be half: the comparison above can fail."""

    class Twice(Hidden):
        def p_purchase(self, histories, days):
            return self.clock.p_purchase(histories, 2.0 * days)

    base = sample_histories(20)
    right, wrong = read_clock(FITTED, base, "x"), read_clock(Twice(FITTED), base, "x")
    assert np.all(wrong.gap[1] < 0.7 * right.gap[1])


def test_an_outlook_by_a_purchase_model_has_no_cycle_and_windows_in_order():
    base = dated(sample_histories())
    when = anticipate(base, clock=FITTED)
    assert set(when.stage.tolist()) == {NO_CYCLE}
    late = when.overdue
    assert late.any()
    assert not late[base.frequency < 2].any()
    assert np.all(when.window_opens_at[late] == np.datetime64("2011-12-01"))
    assert np.all(when.window_opens_at <= when.window_closes_at)
    assert np.all(when.next_due_at >= np.datetime64("2011-12-01"))
    assert np.all((when.gap_low_days <= when.usual_gap_days) & (when.usual_gap_days <= when.gap_high_days))
    assert when.provenance.model == "bg-nbd"
    assert dict(when.provenance.parameters) == dict(FITTED.params)


@settings(max_examples=5, deadline=None)
@given(base=histories(max_size=6))
def test_any_base_has_an_outlook_by_any_clock(base):
    when = anticipate(base, clock=FITTED)
    for name, values in when.columns().items():
        assert values.dtype.kind != "f" or np.isfinite(values).all(), name
    assert (when["at_risk_per_day"] <= when["margin_per_day"]).all()
    assert anticipate(base[:1], clock=FITTED).equals(when[:1])


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (lambda n, days: np.full(n, np.nan), "no probability"),
        (lambda n, days: np.full(n, 1.5), "no probability"),
        (lambda n, days: np.full(n + 1, 0.5), "shape"),
        (lambda n, days: 0.5, "shape"),
        (lambda n, days: np.full(n, np.exp(-days / 100)), "fall as days go by"),
    ],
    ids=["NaN", "above 1", "too many", "one for all", "falling"],
)
def test_a_clock_that_says_nonsense_is_an_error_with_its_name(answer, seen):
    class Odd(Steady):
        def p_purchase(self, histories, days):
            return answer(len(histories), days)

    with pytest.raises(ModelError, match=seen) as caught:
        anticipate(sample_histories(5), clock=Odd(name="odd"))
    assert "'odd'" in str(caught.value)


def test_who_never_comes_is_not_overdue_and_due_in_ten_years():
    told = read_clock(Steady(stays=0.0), sample_histories(5), "steady")
    assert np.all(told.silence == 1.0)
    assert np.all(told.gap[1] == LONG_DAYS)
    assert np.all(told.p_leaves > 1 - 1e-9)


def test_a_clock_is_a_name_a_recipe_or_a_fitted_clock():
    base = dated(sample_histories())
    by_name = rt.anticipate(base, clock="bg-nbd")
    assert by_name.equals(anticipate(base, clock=PurchaseClock(BGNBD())))
    assert by_name.equals(rt.anticipate(base, clock=PurchaseClock(BGNBD()).fit(base)))
    plain = rt.anticipate(base)
    for same in (anticipate(base), rt.anticipate(base, clock=LogT()), rt.anticipate(base, clock=Rhythm.fit(base))):
        assert same.equals(plain)
        assert same.provenance == plain.provenance


@pytest.mark.parametrize("customers", [400, 3000])
def test_a_strangers_clock_with_gaps_of_its_own_has_a_cycle(customers):
    """All that a cycle needs is asked of the clock; whose it is does not matter, nor how many are asked about."""

    class Theirs(Hidden):
        def __getattr__(self, name):
            if name in ("typical_gap_days", "silence", "gap_exceeded", "p_leaves", "usual_gap", "regularity"):
                return getattr(self.clock, name)
            raise AttributeError(name)

    base = dated(sample_histories())
    rhythm = Rhythm.fit(base)
    base = base[np.resize(np.arange(len(base)), customers)]
    theirs = anticipate(base, clock=Theirs(rhythm, name="theirs"))
    assert theirs.equals(anticipate(base, clock=rhythm))
    assert set(theirs.stage.tolist()) > {NO_CYCLE}
    assert theirs.provenance.model == "theirs"


@pytest.mark.parametrize("clock", [FITTED, Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.3, a=0.5, b=4.0,
                                                  typical_gap_days=20.0)])  # fmt: skip
def test_an_outlook_made_part_by_part_is_the_one_made_at_once(clock, monkeypatch):
    base = dated(sample_histories())
    whole = anticipate(base, clock=clock)
    monkeypatch.setattr(sys.modules["retention.timing.anticipate"], "_BLOCK", 7)  # its package has the verb there
    assert anticipate(base, clock=clock).equals(whole)


def test_what_is_no_clock_is_told():
    with pytest.raises(UnknownNameError, match="did you mean 'log-t'"):
        rt.anticipate(sample_histories(5), clock="log-tt")
    with pytest.raises(ConfigError, match="clock of type float"):
        anticipate(sample_histories(5), clock=3.0)
    with pytest.raises(ConfigError, match="clock of type type"):
        anticipate(sample_histories(5), clock=BGNBD)

    class Fits:
        name = "fits"

        def fit(self, histories):
            return object()

    with pytest.raises(ConfigError, match="'fits' fitted a object"):
        anticipate(sample_histories(5), clock=Fits())
