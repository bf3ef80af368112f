"""The words of the shop, as frozen values on the standard library alone."""

from retention.domain.action import Action, Contact, Kind, Outcome, Reward, Touch, Veto
from retention.domain.customer import Consent, Contract, Customer, Referral
from retention.domain.segment import Segment, Tier
from retention.domain.transaction import Transaction

__all__ = [
    "Customer",
    "Transaction",
    "Segment",
    "Tier",
    "Action",
    "Kind",
    "Reward",
    "Consent",
    "Touch",
    "Contact",
    "Veto",
    "Outcome",
    "Referral",
    "Contract",
]
