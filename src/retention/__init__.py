"""From a pile of receipts to the next contact worth making, and the proof that it paid.

The verbs and words most people need live here; everything else is one level down (``retention.value.BGNBD``).
Importing this module loads no plugin, no data-frame library, no plotting and no scipy: names are fetched when used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retention.domain import (
        Action,
        Consent,
        Contact,
        Contract,
        Customer,
        Outcome,
        Referral,
        Segment,
        Tier,
        Touch,
        Transaction,
        Veto,
    )
    from retention.errors import RetentionError
    from retention.histories import Histories, summarize
    from retention.journal import Journal
    from retention.lenses import audit
    from retention.plan import Budget
    from retention.plugins import hookimpl
    from retention.program import Program
    from retention.records import doctor, read_contracts, read_transactions, scan_transactions
    from retention.scoring import score
    from retention.verbs import anticipate, appraise, assign_tiers, make_plan, prove

__all__ = [
    "read_transactions",
    "scan_transactions",
    "read_contracts",
    "summarize",
    "audit",
    "appraise",
    "anticipate",
    "assign_tiers",
    "make_plan",
    "prove",
    "score",
    "doctor",
    "Budget",
    "Journal",
    "Program",
    "hookimpl",
    "Histories",
    "RetentionError",
    "Customer",
    "Transaction",
    "Segment",
    "Tier",
    "Action",
    "Consent",
    "Touch",
    "Contact",
    "Veto",
    "Outcome",
    "Referral",
    "Contract",
]

_HOME = {
    "read_transactions": "records",
    "scan_transactions": "records",
    "read_contracts": "records",
    "doctor": "records",
    "summarize": "histories",
    "Histories": "histories",
    "audit": "lenses",
    "appraise": "verbs",
    "assign_tiers": "verbs",
    "make_plan": "verbs",
    "anticipate": "verbs",
    "prove": "verbs",
    "score": "scoring",
    "Budget": "plan",
    "Journal": "journal",
    "Program": "program",
    "hookimpl": "plugins",
    "RetentionError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'retention' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"retention.{_HOME.get(name, 'domain')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
