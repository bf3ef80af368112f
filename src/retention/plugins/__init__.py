"""Everything a plugin author needs: the hooks, the marker, the contribution, and who is on board.

A plugin is a module (or any object) with functions marked by :data:`hookimpl`; a distribution announces its module
in the entry-point group ``retention``. Names choose, order never does: installing a plugin changes no result until
its name is chosen.
"""

from retention.plugins.contribution import KINDS, Contribution, Failure
from retention.plugins.hooks import hookimpl
from retention.plugins.registry import Registry, open_registry

__all__ = ["API", "KINDS", "Contribution", "Failure", "Registry", "hookimpl", "open_registry"]

API = 1
"""Grows only when a contract changes; for messages, not for plugins to branch on."""
