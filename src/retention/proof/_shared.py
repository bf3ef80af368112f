"""What the accounts of effort have in common."""

from typing import Any

import numpy as np

from retention.frames.table import FloatColumn, IntColumn, TextColumn
from retention.value.positions import positions

__all__ = ["UNKNOWN", "rows_of", "shares", "finished"]

UNKNOWN = "unknown"


def rows_of(wanted: TextColumn, ids: TextColumn) -> IntColumn:
    """Position of each id among unsorted ones; -1 for strangers."""
    return positions(wanted, ids) if len(ids) else np.full(len(wanted), -1, dtype=np.int64)


def shares(part: Any, whole: Any) -> FloatColumn:
    """A part of the whole; 0 of nothing."""
    part = np.asarray(part, dtype=np.float64)
    whole = np.broadcast_to(np.asarray(whole, dtype=np.float64), part.shape)
    share: FloatColumn = np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)
    return share


def finished(ax: Any, what: str) -> Any:
    """The axes with their label and legend."""
    ax.set_xlabel(what)
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
