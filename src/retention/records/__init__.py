"""Logs as they come in, as columns, and what was wrong with them."""

from retention.records.money import Amounts
from retention.records.permissions import Consents
from retention.records.quality import Quality
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog

__all__ = ["TransactionLog", "Quality", "Amounts", "Touches", "Consents"]
