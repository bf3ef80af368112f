"""What a guest learns from: the log until the as-of date, and what was known of the same customers before."""

import datetime as dt
from typing import NamedTuple

import numpy as np

from retention.errors import ConfigError
from retention.frames.table import FloatColumn
from retention.histories import Histories, summarize
from retention.records import TransactionLog

__all__ = ["Past", "known_log", "past_of"]


class Past(NamedTuple):
    """Customers as they were known on an earlier day, and what they brought from then until today."""

    base: Histories
    purchases: FloatColumn
    margin: FloatColumn


def known_log(who: str, histories: Histories, log: TransactionLog | None) -> tuple[TransactionLog, dt.date]:
    """The lines of the customers of the base up to its as-of date, and that date.

    Raises ConfigError without a log, and for histories without an as-of date.
    """
    if log is None or histories.as_of is None:
        missing = "a log" if log is None else "an as-of date in the histories"
        raise ConfigError(
            f"{who} without {missing}",
            rule="it learns from what customers did after a day what can be said on such a day",
            remedy="histories = rt.summarize(log, as_of=...), and pass the same log to the model: log=log",
        )
    mine = np.isin(log.customers.labels, histories.customer_id)
    return log.take(mine[log.customers.codes]).until(histories.as_of), histories.as_of


def past_of(log: TransactionLog, cut: dt.date, as_of: dt.date) -> Past:
    """Who was known on the evening of ``cut``, from the lines until then alone, and what came after.

    What came after is the difference of two summaries: returns count when they came, and an order that was undone
    later is a purchase on the day of the cut and none today.
    """
    then, now = (summarize(log.until(day), as_of=day, habits=False) for day in (cut, as_of))
    rows = np.searchsorted(now.customer_id, then.customer_id)
    there = np.isin(then.customer_id, now.customer_id)
    rows = np.where(there, np.minimum(rows, max(len(now) - 1, 0)), 0)
    days = np.where(there, now.frequency[rows] + 1, 0) if len(now) else np.zeros(len(then))
    margin = np.where(there, now.margin[rows], 0.0) if len(now) else np.zeros(len(then))
    return Past(then, np.maximum(days - (then.frequency + 1), 0).astype(np.float64), margin - then.margin)
