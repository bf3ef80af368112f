"""What can be told: a ``Night``, or anything that looks like one."""

import datetime as dt
from typing import Protocol

from retention.histories import Histories
from retention.journal import Adherence, Recorded
from retention.lenses import Audit
from retention.plan.plan import Plan
from retention.records.scan import TransactionScan
from retention.records.transactions import TransactionLog
from retention.tiers.tiering import Tiering
from retention.timing.leak import Leak
from retention.timing.outlook import Outlook
from retention.value.valuation import Valuation

__all__ = ["Reportable", "Told"]


class Reportable(Protocol):
    """What a page is made from; a ``Night`` is one."""

    @property
    def as_of(self) -> dt.date:
        """The plan's day."""

    @property
    def log(self) -> TransactionLog | TransactionScan:
        """The receipts, with the account of their reading."""

    @property
    def base(self) -> Histories:
        """One row a customer."""

    @property
    def audit(self) -> Audit:
        """The five lenses."""

    @property
    def worth(self) -> Valuation:
        """What customers are worth."""

    @property
    def when(self) -> Outlook:
        """Their clocks."""

    @property
    def tiers(self) -> Tiering:
        """Their ranks."""

    @property
    def plan(self) -> Plan:
        """What to do."""

    @property
    def leak(self) -> Leak:
        """What is at stake a day."""


class Told(Reportable, Protocol):
    """What a terminal tells besides: how the journal took the night, and what was done of the plans so far."""

    @property
    def recorded(self) -> Recorded | None:
        """What the journal said, or None."""

    @property
    def adherence(self) -> Adherence | None:
        """Planned and done, or None without a journal."""
