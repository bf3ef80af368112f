"""Everything a plugin author needs: the hooks, the marker, the contribution, and who is on board.

A plugin is a module (or any object) with functions marked by :data:`hookimpl`; a distribution announces its module
in the entry-point group ``retention``. Names choose, order never does: installing a plugin changes no result until
its name is chosen.
"""

from retention.plugins.contribution import KINDS, Contribution
from retention.plugins.functions import (
    KnownCustomer,
    Proposal,
    contact_policy,
    gives,
    outreach_strategy,
    tiering_rule,
    value_model,
)
from retention.plugins.hooks import hookimpl
from retention.plugins.listing import PluginInfo, PluginList
from retention.plugins.registry import Registry
from retention.plugins.session import info, on_board, open_registry, show, using

__all__ = [
    "API",
    "KINDS",
    "Contribution",
    "KnownCustomer",
    "PluginInfo",
    "PluginList",
    "Proposal",
    "Registry",
    "contact_policy",
    "gives",
    "hookimpl",
    "info",
    "on_board",
    "open_registry",
    "outreach_strategy",
    "show",
    "tiering_rule",
    "using",
    "value_model",
]

API = 1
"""Grows only when a contract changes; for messages, not for plugins to branch on."""
