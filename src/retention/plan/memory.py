"""What a plan asks of whoever remembers the nights before, and of whoever learned from them."""

import datetime as dt
from typing import Protocol, runtime_checkable

from retention.plan.proposals import Proposals
from retention.plan.situation import Situation
from retention.records.permissions import Consents
from retention.records.touches import Touches

__all__ = ["Learned", "Memory"]


@runtime_checkable
class Learned(Protocol):
    """What earlier nights taught about gains."""

    def apply(self, proposals: Proposals, situation: Situation) -> Proposals:
        """The same proposals with what is known now of their gains, and where that comes from."""


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

    def last_night(self) -> dt.date | None:
        """The last night on file; None before any."""
