"""Growth levers: parts that sum to the change on any input, and what each part means."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.lenses import audit
from retention.lenses.levers import largest_remainder
from retention.records.transactions import TransactionLog

AS_OF = dt.date(2021, 12, 31)
BEFORE, NOW = AS_OF - dt.timedelta(days=40), AS_OF - dt.timedelta(days=5)


def shapley_by_walking(old, new):
    """The mean over all orders in which the factors may change, walked one by one."""
    parts = [Fraction(0)] * len(old)
    walks = list(permutations(range(len(old))))
    for walk in walks:
        state = list(old)
        for i in walk:
            before = product(state)
            state[i] = new[i]
            parts[i] += (product(state) - before) / len(walks)
    return parts


def product(factors):
    result = Fraction(1)
    for factor in factors:
        result *= factor
    return result


def by_hand(rows, days, categories):
    """The levers the slow way: one customer and category after another, in fractions."""
    rows = [(row, (AS_OF - row.day).days // days) for row in rows if row.day <= AS_OF]
    rows = [(row, age) for row, age in rows if age in (0, 1)]
    parts = dict.fromkeys(("came", "left", "returns only", "categories entered", "categories left"), Fraction(0))
    shared = {0: [], 1: []}
    bought = {(r.who, age) for r, age in rows if r.bought}
    held = {(r.who, r.category, age) for r, age in rows if r.bought}
    for row, age in rows:
        money = Fraction(row.margin) * (1 if age == 0 else -1)
        was, is_now = (row.who, 1) in bought, (row.who, 0) in bought
        had, has = (row.who, row.category, 1) in held, (row.who, row.category, 0) in held
        if not (was and is_now):
            parts["came" if is_now else "left" if was else "returns only"] += money
        elif categories and had != has:
            parts["categories entered" if has else "categories left"] += money
        else:
            shared[age].append(row)
    if not categories:
        del parts["categories entered"], parts["categories left"]

    def totals(age):
        orders = len({(row.who, row.order) for row in shared[age] if row.bought})
        return orders, Fraction(sum(r.revenue for r in shared[age])), Fraction(sum(r.margin for r in shared[age]))

    (f0, r0, m0), (f1, r1, m1) = totals(1), totals(0)
    if f0 and f1 and r0 > 0 and r1 > 0:
        depth = shapley_by_walking([Fraction(f0), r0 / f0, m0 / r0], [Fraction(f1), r1 / f1, m1 / r1])
    elif f0 and f1:
        depth = [*shapley_by_walking([Fraction(f0), m0 / f0], [Fraction(f1), m1 / f1]), Fraction(0)]
    else:
        depth = [Fraction(0), m1 - m0, Fraction(0)]
    return parts | dict(zip(("frequency", "order value", "margin rate"), depth, strict=True))


@given(data=st.data(), days=st.sampled_from([1, 30, 365]), categories=st.booleans())
def test_the_parts_sum_to_the_change_to_the_last_digit_and_are_what_i_get_by_hand(
    any_rows, log_of, data, days, categories
):
    rows = data.draw(any_rows)
    found = audit(log_of(rows, categories=categories), as_of=AS_OF, period_days=days)
    levers = found.levers
    assert sum(levers.parts.values()) == levers.change
    assert levers.length + levers.depth + (levers.breadth or 0) == levers.change
    assert levers.opening == found.ledger.flow("margin").opening
    assert levers.closing == found.ledger.flow("margin").closing
    expected = by_hand(rows, days, categories)
    assert levers.parts.keys() == expected.keys()
    for name, amount in expected.items():
        # Rounded to a thousandth, the log's own precision, or to a cent: off by less than one unit.
        assert abs(Fraction(levers.parts[name]) - amount) < Fraction(1, 100), name


@given(data=st.data())
def test_length_is_what_the_ledger_says_about_those_who_came_and_left(any_rows, log_of, data):
    found = audit(log_of(data.draw(any_rows)), as_of=AS_OF, period_days=30)
    flow = found.ledger.flow("margin")
    assert found.levers.parts["came"] == flow.new + flow.reactivated
    assert found.levers.parts["left"] == -flow.lost


@given(
    st.lists(st.fractions(min_value=-100, max_value=100, max_denominator=97), min_size=1, max_size=8),
    st.integers(-1000, 1000),
)
def test_rounding_by_largest_remainder_keeps_the_sum_and_moves_no_part_by_a_unit(parts, whole):
    parts = [*parts, whole - sum(parts)]
    rounded = largest_remainder(parts)
    assert sum(rounded) == whole
    assert all(abs(unit - part) < 1 for unit, part in zip(rounded, parts, strict=True))


def test_rounding_each_part_for_itself_would_lose_a_cent():
    parts = [Fraction(1, 3)] * 3
    assert sum(round(part) for part in parts) != sum(parts)
    assert sum(largest_remainder(parts)) == sum(parts)


def firm(row_of, log_of, before, now, *, categories=True):
    """One customer with orders of (revenue, margin, category) before and now."""
    rows = [
        row_of("a", day, f"{day} {i}", category, Decimal(revenue), Decimal(margin), False)
        for day, orders in ((BEFORE, before), (NOW, now))
        for i, (revenue, margin, category) in enumerate(orders)
    ]
    return audit(log_of(rows, categories=categories), as_of=AS_OF, period_days=30).levers


@pytest.mark.parametrize(
    ("now", "lever", "amount"),
    [
        ([(10, 4, "tea")] * 3, "frequency", 8),
        ([(30, 12, "tea")], "order value", 8),
        ([(10, 6, "tea")], "margin rate", 2),
        ([(10, 4, "tea"), (9, 3, "milk")], "categories entered", 3),
    ],
)
def test_a_change_of_one_thing_alone_is_put_down_to_that_thing(row_of, log_of, now, lever, amount):
    levers = firm(row_of, log_of, [(10, 4, "tea")], now)
    assert {name: part for name, part in levers.parts.items() if part} == {lever: amount}


def test_a_category_of_which_she_only_returns_goods_is_one_that_she_left(row_of, log_of):
    levers = firm(row_of, log_of, [(10, 4, "tea"), (9, 3, "milk")], [(10, 4, "tea"), (-9, -3, "milk")])
    assert {name: part for name, part in levers.parts.items() if part} == {"categories left": -6}


def test_what_a_category_brought_is_exact_also_where_her_sums_are_whole_cents(row_of, log_of):
    now = [(10, "0.995", "tea"), (9, "0.005", "milk")]
    levers = firm(row_of, log_of, [(10, "1.00", "tea")], now)
    assert levers.parts["categories entered"] == Decimal("0.005")
    assert levers.change == sum(levers.parts.values()) == 0


def test_without_categories_breadth_is_not_measured_rather_than_zero(row_of, log_of):
    levers = firm(row_of, log_of, [(10, 4, "tea")], [(10, 4, "tea"), (9, 3, "milk")], categories=False)
    assert levers.breadth is None
    assert levers.depth == 3
    assert any("breadth is not measured" in note for note in levers.provenance.notes)
    assert "breadth not measured" in repr(levers)
    assert levers.to_dict()["breadth"] is None


def test_revenue_of_nothing_does_not_divide_by_zero(row_of, log_of):
    """Samples given away: no revenue, no rate; what an order costs stands for order value."""
    levers = firm(row_of, log_of, [(0, -2, "tea")], [(0, -2, "tea"), (0, -2, "tea")])
    assert levers.parts["frequency"] == -2 == levers.change
    assert levers.parts["margin rate"] == 0
    assert any("not positive" in note for note in levers.provenance.notes)


def test_whole_money_is_still_split_to_the_cent():
    """Amounts without decimals: a half that is rounded to whole units would be a wrong number."""
    log = TransactionLog.from_arrays(
        customer_id=["a"] * 3, at=["2020-06-01", "2021-05-01", "2021-06-01"], revenue=[10, 15, 15], margin=[5, 7, 8]
    )
    levers = audit(log, as_of=AS_OF).levers
    # Frequency 1 to 2 at a mean margin an order of (5 + 7.50) / 2.
    assert levers.parts["frequency"] == Decimal("6.25")
    assert levers.parts["order value"] == Decimal("3.75")


@given(data=st.data())
def test_the_order_of_the_lines_does_not_matter(any_rows, log_of, data):
    rows = data.draw(any_rows)
    one, other = (
        audit(log_of(r), as_of=AS_OF, period_days=30).levers for r in (rows, data.draw(st.permutations(rows)))
    )
    assert one.parts == other.parts


def test_no_lines_no_levers():
    levers = audit(TransactionLog.from_arrays(customer_id=[], at=[], revenue=[]), as_of=AS_OF).levers
    assert not any(levers.parts.values())
    assert np.all(levers["amount"] == 0)


def test_the_picture_has_a_bar_for_each_part(row_of, log_of):
    pytest.importorskip("matplotlib")
    levers = firm(row_of, log_of, [(10, 4, "tea")], [(30, 3, "tea"), (9, 3, "milk")])
    widths = [bar.get_width() for bar in levers.plot().patches]
    assert widths == [float(part) for part in levers.parts.values()]
    assert any(a != b for a, b in pairwise(widths))
