"""How ``st.from_type`` learns of our types without ``import hypothesis`` importing them.

Hypothesis calls :func:`register` (entry point of the group ``hypothesis``) when it is imported, which happens in every
test session of every environment that has this library. Importing numpy and our tables there would cost half a second
in projects that never use them; so types that are imported already are registered at once, and the others when their
module has run. Strategies themselves are made when one is first asked for.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

__all__ = ["STRATEGIES", "register"]

STRATEGIES: Mapping[str, Mapping[str, str]] = {
    "retention.domain.action": {
        "Action": "actions",
        "Touch": "touches",
        "Contact": "contacts",
        "Veto": "vetoes",
        "Outcome": "outcomes",
    },
    "retention.domain.customer": {
        "Customer": "customers",
        "Consent": "consents",
        "Referral": "referrals",
        "Contract": "contracts",
    },
    "retention.domain.segment": {"Segment": "segments", "Tier": "tiers"},
    "retention.domain.transaction": {"Transaction": "transactions"},
    "retention.records.transactions": {"TransactionLog": "transaction_logs"},
    "retention.records.touches": {"Touches": "touch_tables"},
    "retention.records.permissions": {"Consents": "consent_tables"},
    "retention.records.referrals": {"Referrals": "referral_tables"},
    "retention.records.contracts": {"Contracts": "contract_tables"},
    "retention.histories.history": {"Histories": "histories"},
    "retention.histories.habits": {"Habits": "habits"},
    "retention.value.valuation": {"Valuation": "valuations"},
    "retention.timing.outlook": {"Outlook": "outlooks"},
    "retention.tiers.tiering": {"Tiering": "tierings"},
    "retention.plan.situation": {"Situation": "situations"},
    "retention.plan.proposals": {"Assumption": "assumptions", "Proposals": "proposals", "Review": "reviews"},
    "retention.plan.budget": {"Budget": "budgets"},
    "retention.plan.plan": {"Plan": "plans"},
}
"""By module: its types, and the strategy of ``retention.testing.strategies`` that makes each."""


def register() -> None:
    """Register the types that are there, and wait for the others."""
    for module in (sys.modules[name] for name in STRATEGIES if name in sys.modules):
        _register(module)
    if not any(isinstance(finder, _Waits) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waits())


def _register(module: ModuleType) -> None:
    from hypothesis import strategies as st

    for name in STRATEGIES[module.__name__]:
        if (kind := getattr(module, name, None)) is not None:  # else it has not run that far
            st.register_type_strategy(kind, _strategy)


def _strategy(kind: type) -> Any:
    from retention.testing.strategies import for_type

    return for_type(kind)


class _Waits(importlib.abc.MetaPathFinder):
    """Lets the other finders find our modules, and registers their types once they have run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec that the next finder has for one of our modules, with a loader that tells us; None for all else."""
        if fullname not in STRATEGIES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((found for finder in others if (found := finder.find_spec(fullname, path, target))), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Tells(spec.loader)
        return spec


class _Tells(importlib.abc.Loader):
    """A loader that gives its place back to the one it stands for, and registers the types of what that one ran."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """What the real loader makes."""
        made: ModuleType | None = self.real.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the module as the real loader does, then register its types."""
        module.__loader__ = self.real
        if module.__spec__ is not None:
            module.__spec__.loader = self.real
        self.real.exec_module(module)
        _register(module)
