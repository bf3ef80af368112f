"""How many customers each row stands for."""

from typing import Any

import numpy as np

from retention.errors import ModelError
from retention.frames.table import FloatColumn

__all__ = ["weights_of"]


def weights_of(weight: Any, customers: int) -> FloatColumn:
    """How many customers each row stands for: 1 unless said; or one clear error."""
    if weight is None:
        return np.ones(customers)
    try:
        w = np.asarray(weight, dtype=np.float64)
    except (TypeError, ValueError):
        w = np.full(customers, np.nan)
    if w.shape != (customers,) or not np.all(np.isfinite(w) & (w >= 0)):
        raise ModelError(
            f"weight of shape {w.shape} for {customers:,} rows",
            rule="there is one weight a row, finite and not negative",
            remedy="say how many customers each row stands for",
        )
    return w
