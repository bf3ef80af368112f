"""What a plugin gives: a named thing of one kind, and how to make it."""

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from retention.errors import PluginError

__all__ = ["KINDS", "Contribution", "Kind"]

_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@frozen
class Kind:
    """One kind of contribution: the hook that collects it, what its objects must be able to do, and the usual name.

    The usual one is used where nothing is named. It is this library's own, and no installed plugin can take its name.
    """

    hook: str
    what: str
    methods: tuple[str, ...]
    usual: str = ""

    @property
    def plural(self) -> str:
        """Several of the kind, for messages."""
        return f"{self.what[:-1]}ies" if self.what.endswith("y") else f"{self.what}s"


BUILTIN = "builtin"
"""The plugin of this library's own stages."""

KINDS: Mapping[str, Kind] = {
    "reader": Kind("retention_readers", "reader", ("read",), "receipts"),
    "value_model": Kind("retention_value_models", "value model", ("fit",), "bg-nbd"),
    "timing": Kind("retention_timings", "timing", ("fit",), "log-t"),
    "tiering_rule": Kind("retention_tiering_rules", "tiering rule", ("assign",), "margin-bands"),
    "outreach_strategy": Kind("retention_outreach_strategies", "outreach strategy", ("propose",)),
    "contact_policy": Kind("retention_contact_policies", "contact policy", ("review",)),
    "estimator": Kind("retention_estimators", "estimator", ("estimate",), "permutation"),
    "report": Kind("retention_reports", "report", ("render",), "html"),
}


def _is_name(instance: object, attribute: object, value: Any) -> None:
    if not (isinstance(value, str) and value.isprintable() and value and value == value.lower().strip()):
        raise PluginError(
            f"a contribution named {value!r}",
            rule="names are lower-case text without blanks at the ends, unique within a kind",
            remedy="name it like 'margin-bands', or 'vendor:margin-bands' when two vendors want one word",
        )


@frozen
class Imported:
    """A maker that is told by where it is, ``"module:name"``, and imported when it is first called."""

    where: str

    def __call__(self, **options: Any) -> Any:
        """Import it and build the object."""
        module, _, name = self.where.partition(":")
        return getattr(importlib.import_module(module), name)(**options)


def _maker(make: Any) -> Any:
    return Imported(make) if isinstance(make, str) and _PLACE.fullmatch(make) else make


def _is_callable(instance: object, attribute: object, value: Any) -> None:
    if not callable(value):
        raise PluginError(
            f"a contribution whose make is a {type(value).__name__}",
            rule="make builds the object when its name is chosen, with the options of the configuration",
            remedy="give the class, a function, or where it is: make=MyModel or make='my_package.models:MyModel'",
        )


@frozen(kw_only=True)
class Contribution:
    """One named stage of any kind: a model, a rule, a policy, a report.

    ``make(**options)`` builds the object; it is called only when the name is chosen, so heavy imports belong inside
    it, or in a module that is named by where it is: ``make="my_package.models:MyModel"``. ``default`` says of this
    library's own stages whether they are used where nothing is named; one that means nothing without settings is not.
    ``source``, ``distribution`` and ``version`` are filled in when the plugin is loaded: which plugin gave this, and
    what was installed to bring it (blank for a plugin given in code).

    Example:
        >>> Contribution(name="first-come", summary="contacts in order of arrival", make=dict).name
        'first-come'
        >>> Contribution(name="half", summary="a fraction", make="fractions:Fraction").make(numerator=1, denominator=2)
        Fraction(1, 2)
    """

    name: str = field(validator=_is_name)
    summary: str
    make: Callable[..., Any] = field(converter=_maker, validator=_is_callable)
    default: bool = True
    source: str = ""
    distribution: str = ""
    version: str = ""

    @property
    def origin(self) -> str:
        """Who gave it, for messages."""
        return origin(self.source, self.distribution, self.version)


def origin(plugin: str, distribution: str, version: str) -> str:
    """A plugin and what was installed to bring it, for messages.

    Example:
        >>> origin("loyalty", "retention-loyalty", "1.2"), origin("ClosedOn", "", "")
        ('loyalty (retention-loyalty 1.2)', 'ClosedOn (given in code)')
    """
    return f"{plugin} ({f'{distribution} {version}'.strip() or 'given in code'})"


def folded(name: str) -> str:
    """A name as it is compared where people write it: case and the kind of dash do not matter.

    Example:
        >>> folded(" Retention_Loyalty")
        'retention-loyalty'
    """
    return re.sub(r"[-_.]+", "-", name.strip().casefold())
