"""What a small habit is worth: five dollars, twice a week, and those she tells of it."""

import math
from typing import Literal

from attrs import frozen

from retention.errors import ConfigError

__all__ = ["Habit", "weekly_habit"]

_WEEKS = 52


@frozen(kw_only=True)
class Habit:
    """The arithmetic of a habit, with what it assumes; print it to read it."""

    amount: float
    times_a_week: float
    years: int
    margin: float
    discount_rate: float
    margin_comes: Literal["yearly", "weekly"]

    @property
    def a_year(self) -> float:
        """Revenue of a year of 52 weeks."""
        return self.amount * self.times_a_week * _WEEKS

    @property
    def revenue(self) -> float:
        """Revenue of all years, undiscounted."""
        return self.a_year * self.years

    @property
    def present_value(self) -> float:
        """Margin of all years, discounted to today."""
        log_rate = math.log1p(self.discount_rate)
        many, each = (self.years, 1.0) if self.margin_comes == "yearly" else (self.years * _WEEKS, 1 / _WEEKS)
        rate = math.expm1(log_rate * each)
        annuity = many if rate == 0 else -math.expm1(-log_rate * self.years) / rate
        return self.a_year * self.margin * each * annuity

    def others_for_revenue(self, goal: float) -> float:
        """How many referred customers just like her it takes beside her for this much revenue."""
        return goal / self.revenue - 1

    def others_for_present_value(self, goal: float) -> float:
        """How many referred customers just like her, from today on, it takes beside her for this present value."""
        return goal / self.present_value - 1

    def told(self, goal: float) -> str:
        """All of it as text: revenue, present value, and the others it takes for a goal."""
        alike = math.ceil(self.others_for_revenue(goal) - 1e-9)
        when = {"yearly": "at the end of each year", "weekly": "at the end of each week"}[self.margin_comes]
        return "\n".join(
            (
                f"{self.amount:,.2f} x {self.times_a_week:g} a week x {_WEEKS} weeks = {self.a_year:,.0f} a year",
                f"in {self.years} years {self.revenue:,.0f} of revenue",
                f"with {alike} referred customers alike {self.revenue * (1 + alike):,.0f} of revenue",
                f"her own present value: {self.present_value:,.0f}",
                f"referred customers alike for a present value of {goal:,.0f}: "
                f"{self.others_for_present_value(goal):,.1f} more",
                f"assumed: margin {self.margin:.0%} of revenue, received {when}; "
                f"discount {self.discount_rate:.0%} a year;",
                f"nobody stops in {self.years} years; the referred would not have come without her, and start today",
            )
        )

    def __str__(self) -> str:
        return self.told(50_000)


def weekly_habit(
    amount: float,
    *,
    times_a_week: float,
    years: int,
    margin: float,
    discount_rate: float,
    margin_comes: Literal["yearly", "weekly"] = "yearly",
) -> Habit:
    """What a customer with a small steady habit is worth, as one works it out on paper.

    A year has 52 weeks. The present value is that of an ordinary annuity: each year's margin counts at the *end* of
    that year, ``a_year * margin * (1 - (1 + r)**-years) / r``. ``margin_comes="weekly"`` counts it at the end of each
    week instead (at the weekly rate ``(1 + r)**(1/52) - 1``), which is some five percent more at ten percent a year.
    It is an illustration: she is certain to stay. What a real customer is worth, with her chance of leaving, is
    ``appraise``. Raises ConfigError for arguments out of range.

    Example:
        >>> print(weekly_habit(5, times_a_week=2, years=10, margin=0.40, discount_rate=0.10).told(50_000))
        5.00 x 2 a week x 52 weeks = 520 a year
        in 10 years 5,200 of revenue
        with 9 referred customers alike 52,000 of revenue
        her own present value: 1,278
        referred customers alike for a present value of 50,000: 38.1 more
        assumed: margin 40% of revenue, received at the end of each year; discount 10% a year;
        nobody stops in 10 years; the referred would not have come without her, and start today
    """
    rules = (
        ("amount", amount, 0 < amount < math.inf, "a positive amount", "5 means five a visit"),
        ("times_a_week", times_a_week, 0 < times_a_week < math.inf, "a positive number", "0.5 is every other week"),
        ("years", years, years == int(years) and years >= 1, "whole years, at least one", "pass 10"),
        ("margin", margin, 0 < margin <= 1, "a share of revenue above 0 and at most 1", "0.40 means 40 %"),
        ("discount_rate", discount_rate, 0 <= discount_rate < math.inf, "a yearly rate >= 0", "0.10 means 10 %"),
        ("margin_comes", margin_comes, margin_comes in ("yearly", "weekly"), "'yearly' or 'weekly'", "pass 'yearly'"),
    )
    for name, given, good, rule, remedy in rules:
        if not good:
            raise ConfigError(f"{name}={given!r}", rule=rule, remedy=remedy)
    return Habit(
        amount=float(amount),
        times_a_week=float(times_a_week),
        years=int(years),
        margin=float(margin),
        discount_rate=float(discount_rate),
        margin_comes=margin_comes,
    )
