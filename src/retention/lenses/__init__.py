"""The customer-base audit: what the base looks like and how it moves, before any model."""

from retention.lenses.audit import Audit, audit
from retention.lenses.concentration import Concentration
from retention.lenses.coverage import Coverage
from retention.lenses.ledger import Flow, Ledger, LedgerCustomers
from retention.lenses.levers import Levers
from retention.lenses.ranking import Ranking
from retention.lenses.rfm import RFM, RFMCells, rfm_terciles

__all__ = [
    "audit",
    "Audit",
    "Ledger",
    "LedgerCustomers",
    "Flow",
    "Levers",
    "Coverage",
    "Ranking",
    "Concentration",
    "rfm_terciles",
    "RFM",
    "RFMCells",
]
