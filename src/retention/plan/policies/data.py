"""Contact policies as data: tables of a TOML file in, policies out, and back."""

import datetime as dt
import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import attrs

from retention.errors import ConfigError, RetentionError, nearest
from retention.plan.policies.permission import (
    ConsentPolicy,
    Deceased,
    DoNotContact,
    OpenComplaint,
    UncontrollableCause,
)
from retention.plan.policies.pressure import FrequencyCap, GivesBeforeAsk, MinimumGap, Saturation
from retention.plan.policies.quiet import QuietHours
from retention.plan.proposals import ContactPolicy

__all__ = ["POLICIES", "built_in_policies", "policies_from", "policies_to_data", "read_policies"]

POLICIES: Mapping[str, Callable[..., Any]] = {
    "consent": ConsentPolicy,
    "do-not-contact": DoNotContact,
    "deceased": Deceased,
    "uncontrollable-cause": UncontrollableCause,
    "frequency-cap": FrequencyCap,
    "minimum-gap": MinimumGap,
    "open-complaint": OpenComplaint,
    "quiet-hours": QuietHours,
    "gives-before-ask": GivesBeforeAsk,
    "saturation": Saturation,
}
"""The kinds of policy of this library, by the names that data use."""


def built_in_policies() -> tuple[ContactPolicy, ...]:
    """The policies that a plan uses when none are named: those that need no settings, with their defaults."""
    return (
        ConsentPolicy(),
        DoNotContact(),
        Deceased(),
        UncontrollableCause(),
        FrequencyCap(),
        MinimumGap(),
        OpenComplaint(),
    )


def policies_from(
    data: str | Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *,
    built_in: bool = True,
    more: Mapping[str, Callable[..., ContactPolicy]] | None = None,
) -> tuple[ContactPolicy, ...]:
    """Policies from a list of mappings, or from TOML text with ``[[policy]]`` tables.

    Each entry has a ``kind`` (one of :data:`POLICIES`, or of ``more``: makers by name, such as a plugin's) and the
    settings of that kind. Its ``name`` is made of its kind and filter unless one is given, and each has its own.

    The built-in policies are in force whatever the data say: an entry takes the place of one only under its name (as
    ``kind = "frequency-cap"`` without a filter does), all others come on top. ``built_in=False`` takes the data for all
    there is, which opens what they do not close.

    Raises:
        ConfigError: an entry has a kind, key or value that means nothing, or a name twice; it tells which entry.

    Example:
        >>> policies = policies_from('''
        ... [[policy]]
        ... kind = "frequency-cap"
        ... max_contacts = 1
        ... days = 90
        ... action_kind = "ask"
        ... ''')
        >>> [policy.name for policy in policies if policy not in built_in_policies()]
        ['frequency-cap-ask']
        >>> policies_from([{"kind": "frequency-cap", "max_contact": 1}])
        Traceback (most recent call last):
        ...
        retention.errors.ConfigError: policy 1 (frequency-cap): the key 'max_contact'
          rule: a key is a setting of its kind of policy
          remedy: did you mean 'max_contacts'? There are: action_kind, channel, days, max_contacts, name, purpose
    """
    makers = {**(more or {}), **POLICIES}
    made: dict[str, ContactPolicy] = {}
    for position, entry in enumerate(_entries(data), start=1):
        policy = _made(entry, f"policy {position}", makers)
        defaults = {p.name: type(p) for p in built_in_policies()}
        if policy.name in made or not isinstance(policy, defaults.get(policy.name, object)):
            raise ConfigError(
                f"policy {position} ({entry['kind']}): the name {policy.name!r} is taken",
                rule="each policy has its own name, and that of a built-in one is for its kind",
                remedy="give it a name of its own: name = '...'",
            )
        made[policy.name] = policy
    kept = tuple(p for p in built_in_policies() if p.name not in made) if built_in else ()
    return (*kept, *made.values())


def policies_to_data(policies: Iterable[ContactPolicy]) -> list[dict[str, Any]]:
    """Policies of this library as plain mappings (text, numbers, lists), settings that are the default left out.

    ``policies_from(policies_to_data(p), built_in=False)`` gives equal policies in the same order.

    Raises:
        ConfigError: a policy is not of this library, so that nobody knows its settings.

    Example:
        >>> policies_to_data([FrequencyCap(max_contacts=1, channel="email")])
        [{'kind': 'frequency-cap', 'channel': ['email'], 'max_contacts': 1}]
    """
    kinds = {maker: kind for kind, maker in POLICIES.items()}
    listed = []
    for policy in policies:
        kind = kinds.get(type(policy))
        if kind is None:
            raise ConfigError(
                f"a policy of type {type(policy).__name__}",
                rule="only policies of this library know how to be data",
                remedy="keep it in code, beside the data",
            )
        settings = {
            f.name: _plain(getattr(policy, f.name))
            for f in _fields(policy)
            if f.init and getattr(policy, f.name) != _default(f, policy)
        }
        listed.append({"kind": kind, **settings})
    return listed


def read_policies(
    path: "str | PathLike[str]",
    *,
    built_in: bool = True,
    more: Mapping[str, Callable[..., ContactPolicy]] | None = None,
) -> tuple[ContactPolicy, ...]:
    """The policies of a TOML file with ``[[policy]]`` tables and nothing else; see :func:`policies_from`.

    Raises:
        ConfigError: the file is missing or not TOML in UTF-8, or an entry means nothing; it names file and entry.
    """
    where = Path(path)
    try:
        text = where.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{where.name}: {type(error).__name__}",
            rule="contact policies are a TOML file in UTF-8",
            remedy="check the path, and that the file is text",
        ) from None
    try:
        return policies_from(text, built_in=built_in, more=more)
    except ConfigError as error:
        raise ConfigError(f"{where.name}: {error.given}", rule=error.rule, remedy=error.remedy) from None


def _entries(data: Any) -> list[Mapping[str, Any]]:
    if isinstance(data, str):
        try:
            data = tomllib.loads(data)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(
                f"contact policies: {error}".splitlines()[0],
                rule="contact policies as text are TOML",
                remedy="write [[policy]] on a line of its own, and kind = '...' and its settings below",
            ) from None
    if isinstance(data, Mapping):
        for key in data:
            if key != "policy":
                raise ConfigError(
                    f"contact policies: the key {key!r}",
                    rule="contact policies are [[policy]] tables and nothing else",
                    remedy=nearest(str(key), ["policy"]) + "; settings stand below a [[policy]]",
                )
        data = data.get("policy", [])
    if isinstance(data, Mapping | bytes) or not isinstance(data, Iterable):
        raise ConfigError(
            f"contact policies as a {type(data).__name__}",
            rule="contact policies are a list of entries",
            remedy="write [[policy]] with two brackets, once for each",
        )
    return list(data)


def _made(entry: Any, where: str, makers: Mapping[str, Callable[..., Any]]) -> ContactPolicy:
    """The policy of one entry."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("kind"), str):
        raise ConfigError(
            f"{where}: " + ("no kind" if isinstance(entry, Mapping) else f"a {type(entry).__name__}"),
            rule="an entry is a table with a kind",
            remedy=f"write kind = '...'; {nearest('', makers)}",
        )
    kind, settings = entry["kind"], {key: value for key, value in entry.items() if key != "kind"}
    if kind not in makers:
        raise ConfigError(
            f"{where}: the kind {kind!r}", rule="a kind of policy is one that exists", remedy=nearest(kind, makers)
        )
    where = f"{where} ({kind})"
    known = _settings(makers[kind])
    for key in settings:
        if not isinstance(key, str) or (known is not None and key not in known):
            raise ConfigError(
                f"{where}: the key {key!r}",
                rule="a key is a setting of its kind of policy",
                remedy=nearest(str(key), known or ()),
            )
    try:
        policy: ContactPolicy = makers[kind](**settings)
    except RetentionError as error:
        raise ConfigError(f"{where}: {error.given}", rule=error.rule, remedy=error.remedy) from None
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{where}: {type(error).__name__}: {error}".splitlines()[0],
            rule="settings are those that the maker of the policy takes",
            remedy=f"look them up in the documentation of {kind!r}",
        ) from None
    return policy


def _settings(maker: Callable[..., Any]) -> set[str] | None:
    """The names of a maker's settings; None where it takes any, or cannot say."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _fields(policy: Any) -> "tuple[attrs.Attribute[Any], ...]":
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(type(policy))
    return fields


def _default(of: "attrs.Attribute[Any]", policy: Any) -> Any:
    default: Any = of.default
    return default.factory(policy) if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dt.time):
        return f"{value:%H:%M}"
    if isinstance(value, dt.date):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value
