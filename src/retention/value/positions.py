"""Where customers stand in a table that has one row for each."""

import numpy as np

from retention.errors import ModelError
from retention.frames.table import IntColumn, TextColumn

__all__ = ["positions"]


def positions(wanted: TextColumn, ids: TextColumn) -> IntColumn:
    """Where each wanted id stands among ``ids``; -1 where it does not."""
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    if np.any(ranked[1:] == ranked[:-1]):
        raise ModelError(
            "a table in which a customer has two rows",
            rule="value is added up by customer, who has one row",
            remedy="appraise one base in which each customer stands once",
        )
    if not len(ids):
        return np.full(len(wanted), -1, dtype=np.int64)
    spot = np.minimum(np.searchsorted(ranked, wanted), len(ids) - 1)
    return np.where(ranked[spot] == wanted, order[spot], -1)
