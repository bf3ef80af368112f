"""Logs as they come in, as columns, and what was wrong with them."""

from retention.records.contracts import Contracts
from retention.records.doctor import Diagnosis, doctor
from retention.records.lists import (
    read_attributes,
    read_causes,
    read_consents,
    read_contracts,
    read_customer_list,
    read_referrals,
    read_touches,
)
from retention.records.money import Amounts
from retention.records.permissions import Consents
from retention.records.quality import Quality, RowsSetAside, SetAside
from retention.records.reading import Reader, read_transactions
from retention.records.referrals import TIES, Referrals, ReferralTree
from retention.records.roles import complete_roles, guess_roles, lacking_roles
from retention.records.scan import TransactionScan, scan_transactions
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog

__all__ = [
    "read_transactions",
    "Reader",
    "TransactionLog",
    "scan_transactions",
    "TransactionScan",
    "Quality",
    "SetAside",
    "RowsSetAside",
    "Amounts",
    "Touches",
    "Consents",
    "Referrals",
    "ReferralTree",
    "TIES",
    "read_touches",
    "read_consents",
    "read_referrals",
    "read_contracts",
    "read_causes",
    "Contracts",
    "read_attributes",
    "read_customer_list",
    "doctor",
    "Diagnosis",
    "guess_roles",
    "complete_roles",
    "lacking_roles",
]
