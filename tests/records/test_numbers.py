"""Numbers, written out in many ways and read back."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.frames.source import RawColumn, text_column
from retention.records import Amounts
from retention.records._numbers import parse_numbers, product

CENTS = st.integers(-(10**11), 10**11).map(lambda c: Decimal(c).scaleb(-2))


def numbers(cells):
    return parse_numbers([text_column("x", cells)])[0]


def exactly(read):
    return [read.amounts.exact(i) for i in range(len(read.amounts))]


@pytest.mark.parametrize(
    ("marks", "both"), [((",", "."), False), ((".", ","), False), ((" ", ","), False), (("'", "."), False)]
)
@given(money=st.lists(CENTS, min_size=1, max_size=20))
def test_amounts_with_two_decimals_are_read_whatever_their_marks(marks, both, money):
    thousands, decimal = marks
    cells = [f"{m:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands) for m in money]
    assert exactly(numbers(cells)) == money


@given(money=st.lists(CENTS, min_size=1, max_size=20), thousand=st.integers(1, 999), rest=st.integers(0, 999))
def test_a_lone_mark_before_three_digits_means_what_it_means_in_the_rest_of_the_column(money, thousand, rest):
    dotted = numbers([f"{m:.2f}" for m in money] + [f"{thousand},{rest:03}", f"{thousand}.{rest:03}"])
    comma = numbers([f"{m:.2f}".replace(".", ",") for m in money] + [f"{thousand}.{rest:03}", f"{thousand},{rest:03}"])
    whole, part = Decimal(thousand * 1000 + rest), Decimal(thousand * 1000 + rest).scaleb(-3)
    assert exactly(dotted)[-2:] == exactly(comma)[-2:] == [whole, part]
    assert dotted.fine.all()
    assert comma.fine.all()


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20))
def test_any_float_is_exact_to_six_decimals_or_flagged(values):
    column = RawColumn(name="x", kind="float", values=np.asarray(values), missing=np.isnan(values))
    read = parse_numbers([column])[0]
    for i, value in enumerate(values):
        if np.isnan(value):
            assert read.unreadable[i]
        elif abs(value) > 1e12:
            assert read.absurd[i]
        else:
            # a double carries about 16 digits: beyond those, the last of six decimals cannot be told
            assert abs(read.amounts.exact(i) - Decimal(repr(value))) <= Decimal("0.0000005") + Decimal(
                abs(value)
            ) * Decimal("5e-15")


@given(st.lists(st.integers(-(10**13), 10**13), min_size=1, max_size=20))
def test_cents_survive_in_floats_up_to_a_hundred_thousand_million(cents):
    column = RawColumn(name="x", kind="float", values=np.asarray(cents) / 100, missing=np.zeros(len(cents), dtype=bool))
    assert exactly(parse_numbers([column])[0]) == [Decimal(c).scaleb(-2) for c in cents]


@given(
    st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12)), min_size=1, max_size=10),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_products_are_exact_or_rounded_half_even(pairs, left, right):
    a, b = (
        Amounts(np.asarray(side, dtype=np.int64), d)
        for side, d in zip(zip(*pairs, strict=True), (left, right), strict=True)
    )
    got, too_big, rounded = product(a, b)
    inexact = 0
    with localcontext() as context:
        context.prec = 60
        for i in range(len(pairs)):
            exact = a.exact(i) * b.exact(i)
            if too_big[i]:
                assert abs(exact) > Decimal(10**12) * Decimal("0.999999999")
                continue
            wanted = exact.quantize(Decimal("0.000001"), rounding=ROUND_HALF_EVEN)
            inexact += wanted != exact
            assert got.exact(i) == wanted
    assert rounded == inexact
