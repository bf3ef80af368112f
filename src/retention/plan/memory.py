"""What a plan asks of whoever remembers the nights before."""

import datetime as dt
from typing import Protocol, runtime_checkable

from retention.records.touches import Touches

__all__ = ["Memory"]


@runtime_checkable
class Memory(Protocol):
    """The part of a journal that a plan reads."""

    def touches_before(self, day: dt.date) -> Touches:
        """All contacts strictly before a day, planned ones included."""

    def holdout(self) -> tuple[float, str] | None:
        """The share and the salt of the hold-out in use; None before the first night."""
