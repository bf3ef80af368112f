"""Dates and numbers, written out in many ways and read back."""

import datetime as dt
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from retention.frames.reading import RawColumn
from retention.records import Amounts
from retention.records._parsing import AMBIGUOUS, FINE, IMPOSSIBLE, parse_dates, parse_numbers, product

DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31))
CENTS = st.integers(-(10**11), 10**11).map(lambda c: Decimal(c).scaleb(-2))


def texts(cells):
    labels = list(dict.fromkeys(cells))
    codes = np.asarray([labels.index(cell) for cell in cells], dtype=np.int64)
    return RawColumn(name="x", kind="text", values=codes, missing=codes < 0, labels=labels)


def numbers(cells):
    return parse_numbers([texts(cells)])[0]


def exactly(read):
    return [read.amounts.exact(i) for i in range(len(read.amounts))]


@pytest.mark.parametrize("pattern", ["%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y %H:%M", "%m-%d-%Y %I:%M:%S %p"])
@given(days=st.lists(DAYS, min_size=1, max_size=20))
def test_a_column_with_one_proof_is_read_as_it_was_written(pattern, days):
    assume(any(day.day > 12 for day in days))
    read = parse_dates(texts([day.strftime(pattern) for day in days]), day_first=None, zone=None)
    assert (read.state == FINE).all()
    assert read.at.astype("datetime64[D]").tolist() == days
    assert not read.guessed


@pytest.mark.parametrize(
    "pattern", ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d %b %Y", "%b %d, %Y", "%Y-%m-%dT%H:%M:%SZ"]
)
@given(days=st.lists(DAYS, min_size=1, max_size=20), day_first=st.sampled_from([None, True, False]))
def test_dates_that_can_only_be_read_one_way_are(pattern, days, day_first):
    read = parse_dates(texts([day.strftime(pattern) for day in days]), day_first=day_first, zone=None)
    assert (read.state == FINE).all()
    assert read.at.astype("datetime64[D]").tolist() == days


@given(days=st.lists(DAYS, min_size=1), patterns=st.data())
def test_a_mixed_column_is_never_read_wrongly_only_set_aside(days, patterns):
    """Whatever the mix of orders, once both are proved, each date is right or ambiguous."""
    styles = st.sampled_from(["%d/%m/%Y", "%m/%d/%Y"])
    cells = [day.strftime(patterns.draw(styles)) for day in days]
    cells += ["13/01/2000", "01/13/2000"]
    read = parse_dates(texts(cells), day_first=None, zone=None)
    for i, day in enumerate(days):
        assert read.state[i] in (FINE, AMBIGUOUS)
        if read.state[i] == FINE:
            assert read.at[i].astype("datetime64[D]").item() == day


@given(st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)))
def test_years_beyond_1900_and_2100_are_impossible(day):
    read = parse_dates(texts([day.isoformat()]), day_first=None, zone=None)
    assert (read.state[0] == FINE) == (1900 <= day.year <= 2100)
    assert (read.state[0] == IMPOSSIBLE) == (not 1900 <= day.year <= 2100)


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
