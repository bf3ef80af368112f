"""Five dollars, twice a week: the sum on the back of an envelope, with what it assumes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError
from retention.value.accounts.habit import weekly_habit

LADY = {"times_a_week": 2, "years": 10, "margin": 0.40, "discount_rate": 0.10}


def test_five_dollars_twice_a_week_are_520_a_year_5200_in_ten_and_with_nine_alike_52000():
    lady = weekly_habit(5, **LADY)
    assert lady.a_year == 520
    assert lady.revenue == 5_200
    assert lady.others_for_revenue(52_000) == 9
    assert "with 9 referred customers alike 52,000 of revenue" in str(lady)


def test_her_present_value_is_1278_and_about_38_more_make_50000():
    """Margins of 208, each at the end of its year: the table factor for ten years at 10 % is 6.1446."""
    lady = weekly_habit(5, **LADY)
    assert lady.present_value == pytest.approx(sum(208 / 1.1**year for year in range(1, 11)), rel=1e-14)
    assert lady.present_value == pytest.approx(208 * 6.1446, rel=1e-5)
    assert round(lady.present_value) == 1_278
    assert round(lady.others_for_present_value(50_000)) == 38
    assert "her own present value: 1,278" in str(lady)
    assert "for a present value of 50,000: 38.1 more" in str(lady)
    assert "at the end of each year" in str(lady)


def test_money_that_comes_every_week_is_worth_more_than_at_the_end_of_the_year():
    weekly = weekly_habit(5, **LADY, margin_comes="weekly")
    assert weekly.present_value == pytest.approx(sum(4 / 1.1 ** (week / 52) for week in range(1, 521)), rel=1e-12)
    assert weekly.present_value / weekly_habit(5, **LADY).present_value == pytest.approx(1.048, abs=0.001)


@given(
    st.floats(0.01, 1e4),
    st.floats(0.1, 20),
    st.integers(1, 60),
    st.floats(0.01, 1),
    st.sampled_from([0, 1e-9, 0.05, 2]),
)
def test_the_present_value_is_the_sum_of_its_discounted_years(amount, often, years, margin, rate):
    habit = weekly_habit(amount, times_a_week=often, years=years, margin=margin, discount_rate=rate)
    paid = amount * often * 52 * margin * (1 + rate) ** -np.arange(1.0, years + 1)
    assert habit.present_value == pytest.approx(paid.sum(), rel=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [{"times_a_week": 0}, {"years": 1.5}, {"margin": 0}, {"discount_rate": -0.1}, {"margin_comes": "daily"}],
)
def test_what_makes_no_sense_is_told(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        weekly_habit(5, **LADY | wrong)
