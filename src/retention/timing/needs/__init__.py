"""What she needs next and when: a clock for every customer and category, reminders, and whether it beats a rule."""

from retention.timing.needs.backtest import NeedBacktest, NextCategoryScores, ReminderScores, backtest_needs
from retention.timing.needs.forecast import category_clocks, next_needs
from retention.timing.needs.tables import CategoryClocks, Needs, NextCategories, Reminders

__all__ = [
    "next_needs",
    "Needs",
    "NextCategories",
    "Reminders",
    "category_clocks",
    "CategoryClocks",
    "backtest_needs",
    "NeedBacktest",
    "NextCategoryScores",
    "ReminderScores",
]
