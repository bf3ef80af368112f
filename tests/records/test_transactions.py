"""A log holds what happened, exactly, and lifts to customers and back."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ReadError, RetentionError
from retention.records import Amounts, TransactionLog

cents = st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=30)


@given(cents)
def test_sums_of_money_are_exact(values):
    amounts = Amounts.of([Decimal(v).scaleb(-2) for v in values])
    assert amounts.total() == Decimal(sum(values)).scaleb(-2)
    codes = np.arange(len(values)) % 3
    groups = amounts.by_group(codes, 3)
    for group in range(3):
        exact = sum(v for i, v in enumerate(values) if i % 3 == group)
        assert Decimal(int(groups[group])).scaleb(-amounts.decimals) == Decimal(exact).scaleb(-2)


@given(cents, cents)
def test_joining_and_subtracting_keep_every_cent_at_any_scale(a, b):
    one, other = Amounts.of([Decimal(v).scaleb(-2) for v in a]), Amounts.of([Decimal(v).scaleb(-4) for v in b])
    assert one.joined(other).total() == one.total() + other.total()
    short = min(len(a), len(b))
    difference = one.take(slice(0, short)).minus(other.take(slice(0, short)))
    assert difference.total() == one.take(slice(0, short)).total() - other.take(slice(0, short)).total()


@pytest.mark.parametrize("value", [0.1, 1234.56, 12345678.01, 0.07, 1e-6, 99999999.99])
def test_a_float_is_read_as_the_decimal_that_prints_it(value):
    assert Amounts.of(np.array([value])).total() == Decimal(str(value)).normalize() + 0


def test_a_customer_comes_out_with_all_her_lines_and_goes_in_again():
    log = TransactionLog.from_arrays(
        customer_id=["b", "a", "b"],
        at=["2011-01-03T10:00", "2011-01-04", "2011-02-03"],
        revenue=["9.99", "5", "-1.10"],
        margin=0.5,
        order=["1", "2", "3"],
        category=["tea", "mugs", "tea"],
    )
    her = log.customer("b")
    assert [t.revenue for t in her.transactions] == [Decimal("9.99"), Decimal("-1.10")]
    assert [t.is_return for t in her.transactions] == [False, True]
    again = TransactionLog.from_arrays(
        customer_id=[t.customer_id for t in her.transactions],
        at=[t.at for t in her.transactions],
        revenue=[t.revenue for t in her.transactions],
        margin=[t.margin for t in her.transactions],
        order=[t.order for t in her.transactions],
        category=[t.category for t in her.transactions],
    )
    assert again.customer("b").transactions == her.transactions
    with pytest.raises(RetentionError) as caught:
        log.customer("Ada Lovelace")
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"at": ["not a day"]}, "a date that is none"),
        ({"at": [None]}, "without a date"),
        ({"revenue": ["ten"]}, "revenue holds what is no amount"),
        ({"revenue": [float("nan")]}, "beyond what exact money"),
        ({"customer_id": [None]}, "without a customer"),
        ({"margin": 5}, "margin=5"),
        ({"margin": ["x"]}, "margin holds what is no amount"),
        ({"margin": [1, 2]}, "one length"),
    ],
)
def test_arrays_that_are_no_log_are_refused_in_one_sentence(wrong, told):
    with pytest.raises(ReadError, match=told):
        TransactionLog.from_arrays(**{"customer_id": ["a"], "at": ["2011-01-01"], "revenue": [1]} | wrong)


def test_adding_logs_adds_lines_money_and_accounts():
    def log(who, day, money):
        return TransactionLog.from_arrays(customer_id=who, at=day, revenue=money, margin=1.0)

    both = log(["a"], ["2011-01-01"], ["1.5"]) + log(["a", "b"], ["2011-01-02"] * 2, ["2.25", "3"])
    assert both.revenue.total() == Decimal("6.75")
    assert both.quality.rows_in == 3
    assert both.quality.reconciles
    assert both.until(dt.date(2011, 1, 1)).revenue.total() == Decimal("1.5")


def test_the_fingerprint_sees_what_was_bought_and_how_much():
    def log(**other):
        given = {"category": ["tea", "tea"], "channel": ["web", "web"], "quantity": [1.0, 2.0]} | other
        return TransactionLog.from_arrays(
            customer_id=["a", "b"], at=np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"),
            revenue=[1.0, 2.0], **given,
        )  # fmt: skip

    prints = [
        one.fingerprint()
        for one in (log(), log(category=["tea", "soap"]), log(channel=["web", "shop"]), log(quantity=[1.0, 3.0]))
    ]
    assert len(set(prints)) == 4
    assert log().fingerprint() == prints[0]


def test_the_fingerprint_is_of_the_lines_and_nothing_else():
    def log(money):
        return TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-01"], revenue=[money], margin=1.0)

    assert log("1.5").fingerprint() == log("1.5").fingerprint()
    assert log("1.5").fingerprint() != log("1.6").fingerprint()
