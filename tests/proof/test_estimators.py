"""An estimator is chosen by name, and what a stranger's says is looked at before it is believed."""

import datetime as dt

import attrs
import numpy as np
import pytest

import retention as rt
from retention.errors import ConfigError, PluginError, UnknownNameError
from retention.plugins import Contribution, hookimpl, open_registry
from retention.proof import Difference, Estimator, Normal, Permutation, prove
from retention.proof.estimators import estimated
from retention.proof.intervals import compare
from retention.records import TransactionLog


def arms(n=200, seed=3):
    rng = np.random.default_rng(seed)
    contacted = np.arange(n) % 4 > 0
    return rng.gamma(0.3, 60.0, n) + 5.0 * contacted, contacted, np.arange(n) % 3


def test_both_built_in_estimators_are_estimators_and_agree_on_the_difference():
    values, contacted, group = arms()
    both = Permutation(), Normal()
    assert all(isinstance(one, Estimator) for one in both)
    shuffled, normal = (one.estimate(values, contacted, group, level=0.9, cost=1.5) for one in both)
    assert shuffled == compare(values, contacted, group, level=0.9, cost=1.5)
    assert normal.value == pytest.approx(shuffled.value, rel=1e-12)
    assert normal.error == pytest.approx(shuffled.error, rel=1e-12)


def test_the_normal_interval_is_welchs():
    """Against scipy's own, one group; for large arms its t and the normal are one."""
    from scipy import stats

    values, contacted, _ = arms(4000)
    told = Normal().estimate(values, contacted, np.zeros(4000, dtype=np.int64), level=0.95)
    theirs = stats.ttest_ind(values[contacted], values[~contacted], equal_var=False)
    low, high = theirs.confidence_interval(0.95)
    assert (told.low, told.high) == pytest.approx((low, high), rel=2e-3)
    assert 2 * min(told.tail_above, told.tail_below) == pytest.approx(theirs.pvalue, rel=0.05)


def test_where_few_customers_spend_most_the_normal_interval_fails_far_too_often_and_the_other_does_not():
    """1,000 shops without any effect, 15 of 150 held out, log-normal spend (sigma 2), 90 % intervals: each end may
    fail 5 % of the time. Standard error of a rate is 0.7 %, so 8 % is beyond four of them (one run in 30,000)."""
    rng = np.random.default_rng(11)
    contacted, group = np.arange(150) >= 15, np.zeros(150, dtype=np.int64)
    fails = {"normal": 0, "permutation": 0}
    few = Permutation()
    for shop in range(1000):
        values = rng.lognormal(0.0, 2.0, 150)
        fails["normal"] += Normal().estimate(values, contacted, group, level=0.9).low > 0
        if shop < 250:
            fails["permutation"] += few.estimate(values, contacted, group, level=0.9).low > 0
    assert fails["normal"] / 1000 > 0.12
    assert fails["permutation"] / 250 < 0.05 + 4 * 0.0138


def test_arms_that_are_all_alike_bound_nothing():
    told = Normal().estimate(np.ones(40), np.arange(40) < 20, np.zeros(40, dtype=np.int64), cost=0.5)
    assert (told.value, told.low, told.high, told.tail_above) == (-0.5, -np.inf, np.inf, 1.0)
    assert np.isnan(told.error)


GOOD = Difference(
    value=1.0, low=0.0, high=2.0, error=0.5, plain_error=0.5, explained=0.0, tail_above=0.02, tail_below=0.98
)


@attrs.frozen
class Says:
    """An estimator whose answer is whatever the test says."""

    answer: object
    name: str = "says"

    def estimate(self, values, contacted, group, *, before=None, level=0.95, cost=0.0):
        return self.answer(values) if callable(self.answer) else self.answer


WRONG = {
    "nothing": None,
    "a number": 1.0,
    "NaN": attrs.evolve(GOOD, value=float("nan")),
    "NaN below": attrs.evolve(GOOD, low=float("nan")),
    "an end beyond the value": attrs.evolve(GOOD, low=1.5),
    "ends exchanged": attrs.evolve(GOOD, low=2.0, high=0.0),
    "an infinite value": attrs.evolve(GOOD, value=float("inf"), high=float("inf")),
    "a negative error": attrs.evolve(GOOD, error=-1.0),
    "no plain error": attrs.evolve(GOOD, plain_error=0.0),
    "a tail above one": attrs.evolve(GOOD, tail_above=1.5),
    "text": attrs.evolve(GOOD, value="much"),
    "a column": attrs.evolve(GOOD, value=np.ones(3)),
}


def ask(estimator):
    values, contacted, group = arms()
    return estimated(estimator, values, contacted, group, before=None, level=0.9, cost=0.0)


def test_a_whole_answer_is_taken_as_it_is():
    assert ask(Says(GOOD)) is GOOD
    assert ask(Says(attrs.evolve(GOOD, low=-np.inf, high=np.inf, error=np.nan, plain_error=np.nan))).value == 1.0


@pytest.mark.parametrize("how", WRONG)
def test_an_answer_that_can_be_no_difference_is_an_error_with_the_estimators_name(how):
    with pytest.raises(PluginError, match="the estimator 'says' answered with"):
        ask(Says(WRONG[how]))


def test_what_an_estimator_raises_is_told_with_its_name():
    def fail(values):
        raise ZeroDivisionError("by nothing")

    with pytest.raises(ZeroDivisionError) as caught:
        ask(Says(fail))
    assert any("'says'" in note for note in caught.value.__notes__)


def test_an_estimator_cannot_write_into_the_margins():
    def write(values):
        values[:] = 0.0

    with pytest.raises(ValueError, match="read-only"):
        ask(Says(write))


class Plugin:
    @hookimpl
    def retention_estimators(self):
        yield Contribution(name="broken", summary="fails", make=lambda: Says(None, name="broken"))


@pytest.fixture
def two_arms(plan_of, journal):
    """90 contacted and 30 held out, and what they bought afterwards."""
    who = [f"c{i}" for i in range(90)] + [f"h{i}" for i in range(30)]
    journal.record(plan_of(dt.date(2011, 1, 10), contact=who[:90], holdout=who[90:], share=0.25))
    spent = np.random.default_rng(5).gamma(0.5, 40.0, 120).round(2) + 0.01
    log = TransactionLog.from_arrays(customer_id=who, at=["2011-02-01"] * 120, revenue=spent, margin=1.0)
    return journal, log


def test_an_estimator_is_chosen_by_name(two_arms):
    journal, log = two_arms
    plain = rt.prove(journal, log)
    for same in (prove(journal, log), rt.prove(journal, log, estimator=Permutation())):
        assert (same.value, same.low, same.high, same.verdict, same.notes) == (
            plain.value, plain.low, plain.high, plain.verdict, plain.notes,
        )  # fmt: skip
    normal = rt.prove(journal, log, estimator="normal", before_days=0)
    assert (normal.low, normal.high) != (plain.low, plain.high)
    assert normal.notes == ("the intervals are those of the estimator 'normal'", *plain.notes)
    registry = open_registry([Plugin()], installed=False)
    with pytest.raises(PluginError, match="'broken'") as caught:
        rt.prove(journal, log, estimator="broken", registry=registry)
    assert any("Plugin (given in code)" in note for note in caught.value.__notes__)
    with pytest.raises(UnknownNameError, match="did you mean 'normal'"):
        rt.prove(journal, log, estimator="normall")
    with pytest.raises(ConfigError, match="estimator of type int"):
        rt.prove(journal, log, estimator=3)
