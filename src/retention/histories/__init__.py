"""One row a customer: what is known of her on the as-of date."""

from retention.histories.habits import Habits
from retention.histories.history import Histories, History
from retention.histories.pushdown import HistoryScan, summarize_scan
from retention.histories.summarize import summarize

__all__ = ["Histories", "History", "Habits", "HistoryScan", "summarize", "summarize_scan"]
