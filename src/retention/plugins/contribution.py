"""What a plugin gives: a named thing of one kind, and how to make it."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from retention.errors import PluginError

__all__ = ["KINDS", "Contribution", "Failure", "Kind"]


@frozen
class Kind:
    """One kind of contribution: the hook that collects it and what its objects must be able to do."""

    hook: str
    what: str
    methods: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
    "reader": Kind("retention_readers", "reader", ("read",)),
    "value_model": Kind("retention_value_models", "value model", ("fit",)),
    "timing": Kind("retention_timings", "timing", ("fit",)),
    "tiering_rule": Kind("retention_tiering_rules", "tiering rule", ("assign",)),
    "outreach_strategy": Kind("retention_outreach_strategies", "outreach strategy", ("propose",)),
    "contact_policy": Kind("retention_contact_policies", "contact policy", ("review",)),
    "estimator": Kind("retention_estimators", "estimator", ("estimate",)),
    "report": Kind("retention_reports", "report", ("render",)),
}


def _is_name(instance: object, attribute: object, value: Any) -> None:
    if not (isinstance(value, str) and value and value == value.lower().strip()):
        raise PluginError(
            f"a contribution named {value!r}",
            rule="names are lower-case text without blanks at the ends, unique within a kind",
            remedy="name it like 'margin-bands', or 'vendor:margin-bands' when two vendors want one word",
        )


@frozen(kw_only=True)
class Contribution:
    """One named model, rule, strategy or policy.

    ``make(**options)`` builds the object; it is called only when the name is chosen, so heavy imports belong inside
    it. ``default`` says of this library's own stages whether they are used where nothing is named; one that means
    nothing without settings is not. ``source`` is filled in by the registry: which plugin gave this.

    Example:
        >>> Contribution(name="first-come", summary="contacts in order of arrival", make=dict).name
        'first-come'
    """

    name: str = field(validator=_is_name)
    summary: str
    make: Callable[..., Any]
    default: bool = True
    source: str = ""


@frozen(kw_only=True)
class Failure:
    """A plugin that could not be loaded: it is named, recorded and stepped around."""

    plugin: str
    distribution: str
    error: BaseException = field(eq=False)

    def __str__(self) -> str:
        first = str(self.error).splitlines() or [""]
        return f"{self.plugin} ({self.distribution}): {type(self.error).__name__}: {first[0]}"
