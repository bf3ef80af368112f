"""One row a customer: what is known of her on the as-of date."""

from retention.histories.deliveries import take_in_files
from retention.histories.habits import Habits
from retention.histories.history import Histories, History
from retention.histories.nights import Nights, TakenIn
from retention.histories.pushdown import HistoryScan, summarize_scan
from retention.histories.store import HistoryStore
from retention.histories.summarize import summarize

__all__ = [
    "Histories",
    "History",
    "Habits",
    "HistoryScan",
    "HistoryStore",
    "Nights",
    "TakenIn",
    "summarize",
    "take_in_files",
    "summarize_scan",
]
