"""Treat her like a queen: the class of service goes by what she is worth, not by what she pays at one visit."""

import datetime as dt

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError, ModelError
from retention.histories import summarize
from retention.records import Referrals, TransactionLog
from retention.value import BGNBD, appraise
from retention.value.referrals.credit import credit_referrals
from retention.value.referrals.service import ServiceRule, TotalValue, service_class, total_value

AS_OF = dt.date(2012, 12, 31)


@pytest.fixture(scope="module")
def world():
    """A café of two years: 300 passers-by and regulars, one who paid 500 once, and two who pay five dollars.

    The advocate comes twice a week and brought nine customers alike. The quiet advocate comes but monthly, so that she
    alone is worth little, and brought the same kind of customers.
    """
    rng = np.random.default_rng(2012)
    lines: list[tuple[str, dt.date, float]] = [("one-off", dt.date(2012, 6, 1), 500.0)]

    def visits(who: str, gap: float, first: int, last: int, amount: float) -> None:
        day = float(first)
        while day < last:
            lines.append((who, dt.date(2011, 1, 1) + dt.timedelta(days=int(day)), amount))
            day += rng.exponential(gap) + 1

    visits("advocate", 2.5, 0, 731, 5.0)
    visits("quiet advocate", 30, 0, 731, 5.0)
    for i in range(9):
        visits(f"brought {i}", 2.5, 60 + 20 * i, 731, 5.0)
        visits(f"quietly brought {i}", 2.5, 60 + 20 * i, 731, 5.0)
    for i in range(300):
        first = int(rng.integers(0, 600))
        visits(f"other {i}", rng.gamma(1.0, 60) + 5, first, first + int(rng.exponential(200)) + 1, rng.gamma(4, 2) + 1)
    who, at, amount = zip(*lines, strict=True)
    log = TransactionLog.from_arrays(
        customer_id=who, at=[str(day) for day in at], revenue=np.round(amount, 2), margin=0.4
    )
    base = summarize(log, as_of=AS_OF)
    valuation = appraise(base, BGNBD(), horizon_days=365, discount_rate=0.10)
    referrals = Referrals.from_arrays(
        referrer_id=["advocate"] * 9 + ["quiet advocate"] * 9,
        referred_id=[f"{how} {i}" for how in ("brought", "quietly brought") for i in range(9)],
        tie=["friend", "family", "co-worker"] * 6,
    )
    return log, valuation, referrals


def test_the_five_dollar_advocate_outranks_the_one_off_500_buyer(world):
    """By ticket the 500 come first; by total value both advocates do, even if only half of theirs would have stayed
    away, and the last place among the queens is not theirs by a hair: the bounds say so."""
    log, valuation, referrals = world
    crv = credit_referrals(valuation, referrals, type_one_share=0.5, acquisition_cost=20)
    total = total_value(valuation, crv)
    classes = service_class(total, ServiceRule(shares={"queen": 0.05, "valued": 0.20}))
    tickets = {who: max(t.revenue for t in log.customer(who).transactions) for who in ("one-off", "advocate")}
    assert tickets["one-off"] == max(log.revenue.to_float())
    assert tickets["advocate"] == 5
    one_off = classes.customer("one-off")
    for who in ("advocate", "quiet advocate"):
        her = classes.customer(who)
        assert her["service_class"] == "queen"
        assert her["rank"] < one_off["rank"]
    assert one_off["service_class"] != "queen"
    low, high = total.customer("advocate")["total_low"], total.customer("one-off")["total_high"]
    assert low > total.customer("one-off")["total"]
    assert total.customer("advocate")["total"] > high


def test_it_is_what_she_brings_that_makes_the_quiet_advocate_a_queen(world):
    """Without her referrals she is one of many; the one whom she brought still counts once in the base."""
    _, valuation, referrals = world
    rule = ServiceRule(shares={"queen": 0.05})
    none = credit_referrals(valuation, Referrals.none(), type_one_share=1.0, acquisition_cost=0)
    assert service_class(total_value(valuation, none), rule).customer("quiet advocate")["service_class"] == "standard"
    crv = credit_referrals(valuation, referrals, type_one_share=1.0, acquisition_cost=0)
    total = total_value(valuation, crv)
    assert service_class(total, rule).customer("quiet advocate")["rank"] <= 2
    assert total.base() == pytest.approx(valuation.total())
    assert total.attributed.sum() == pytest.approx(valuation.total())
    assert total.total.sum() > valuation.total()  # which is why it is not offered as the value of the base


def totals(values, *, low=None, high=None):
    value = np.asarray(values, dtype=float)
    return TotalValue(
        customer_id=np.asarray([str(i) for i in range(len(value))], dtype=np.str_),
        clv=value,
        crv=np.zeros(len(value)),
        total=value,
        total_low=value if low is None else np.asarray(low, dtype=float),
        total_high=value if high is None else np.asarray(high, dtype=float),
        attributed=value,
        interval=0.9,
    )


@given(st.lists(st.integers(-3, 12), max_size=30), st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_who_is_worth_more_is_never_served_worse_and_equals_are_served_alike(values, first, second):
    rule = ServiceRule(shares={"a": first, "b": second}, rest="c")
    classes = service_class(totals(values), rule)
    place = [rule.classes.index(name) for name in classes.service_class.tolist()]
    for i, mine in enumerate(values):
        for j, hers in enumerate(values):
            if mine > hers:
                assert place[i] <= place[j]
                assert classes.rank[i] < classes.rank[j]
            if mine == hers:
                assert place[i] == place[j]
                assert classes.rank[i] == classes.rank[j]
    n = len(values)
    assert place.count(0) <= first * n + 1e-6
    assert place.count(0) + place.count(1) <= (first + second) * n + 1e-6
    if len(set(values)) == n:
        assert place.count(0) == int(first * n + 1e-9)
    assert sum(classes.counts().values()) == n


def test_a_class_may_have_a_floor_in_money_and_says_whether_it_is_sure():
    rule = ServiceRule(floors={"queen": 1000.0, "valued": 100.0})
    classes = service_class(totals([1000, 999, 100, 5], low=[900, 500, 100, 0], high=[2000, 999, 100, 99]), rule)
    assert classes.service_class.tolist() == ["queen", "valued", "valued", "standard"]
    assert classes.sure.tolist() == [False, True, True, True]
    assert classes.members("valued").customer_id.tolist() == ["1", "2"]
    assert classes.counts() == {"queen": 1, "valued": 2, "standard": 1}


def test_a_base_of_equals_has_no_queens():
    assert set(service_class(totals([7.0] * 40)).service_class.tolist()) == {"standard"}
    assert len(service_class(totals([]))) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"shares": {"a": 0.1}, "floors": {"b": 3.0}},
        {"shares": {"a": 0.9, "b": 0.3}},
        {"shares": {"a": -0.1}},
        {"shares": {"a": float("nan")}},
        {"floors": {"a": 10.0, "b": 20.0}},
        {"floors": {"a": float("inf")}},
        {"floors": {"a": 10.0}, "rest": "a"},
    ],
)
def test_a_rule_that_is_none_is_told(wrong):
    with pytest.raises(ConfigError):
        ServiceRule(**wrong)


def test_a_referral_value_of_another_base_is_refused(world):
    _, valuation, referrals = world
    crv = credit_referrals(valuation, referrals, type_one_share=1.0, acquisition_cost=0)
    with pytest.raises(ModelError, match="different bases"):
        total_value(valuation[1:], crv)


def test_her_own_doubt_and_that_about_her_friends_add_up_as_variances(world):
    _, valuation, referrals = world
    crv = credit_referrals(valuation, referrals, type_one_share=1.0, acquisition_cost=0)
    total = total_value(valuation, crv)
    alone = crv.crv_sd == 0
    np.testing.assert_array_equal(total.total_low[alone], valuation.value_low[alone])
    np.testing.assert_array_equal(total.total_high[alone], valuation.value_high[alone])
    her = int(np.flatnonzero(total.customer_id == "advocate")[0])
    width = total.total_high[her] - total.total_low[her]
    parts = [valuation.value_high[her] - valuation.value_low[her], crv.crv_high[her] - crv.crv_low[her]]
    assert max(parts) < width < sum(parts)
    together = total_value(valuation, attrs.evolve(crv, together=True))
    assert together.total_high[her] == pytest.approx(valuation.value_high[her] + crv.crv_high[her])
    total.plot()
