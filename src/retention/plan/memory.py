"""What a plan asks of whoever remembers the nights before."""

import datetime as dt
from typing import Protocol, runtime_checkable

from retention.records.permissions import Consents
from retention.records.touches import Touches

__all__ = ["Memory"]


@runtime_checkable
class Memory(Protocol):
    """The part of a journal that a plan reads."""

    def touches_before(self, day: dt.date) -> Touches:
        """All contacts strictly before a day, planned ones included."""

    def consents_before(self, day: dt.date) -> Consents:
        """Permissions given before a day, and those taken back until and on it."""

    def open_complaints(self, day: dt.date) -> frozenset[str]:
        """Who waits for an answer on a day."""

    def holdout(self) -> tuple[float, str] | None:
        """The share and the salt of the hold-out in use; None before the first night."""
