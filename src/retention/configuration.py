"""What a program may be told: the sections and keys of its configuration, their values, and TOML read into them."""

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retention.errors import ConfigError, nearest

if TYPE_CHECKING:
    import attrs

__all__ = [
    "SECTIONS",
    "arguments_of",
    "a_number",
    "a_whole_number",
    "a_text",
    "a_path",
    "a_section",
    "a_file_or",
    "as_iso",
    "as_names",
    "some_names",
    "some_texts",
]

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "value": ("model", "horizon_days", "discount_rate", "interval"),
    "timing": ("clock", "tail"),
    "tiers": ("rule",),
    "audit": ("period_days",),
    "plan": (
        "strategies",
        "policies",
        "money",
        "hours",
        "capacity",
        "at_least",
        "at_most",
        "risk",
        "holdout",
        "explore",
        "learn_days",
        "salt",
        "seed",
    ),
    "files": ("consents", "touches", "complaints", "do_not_contact", "causes", "attributes", "offers"),
    "output": ("folder", "journal", "as_of", "reports"),
    "plugins": ("blocked",),
}


def a_number(least: float, most: float = float("inf")) -> Any:
    """A validator: a number within these bounds; money and hours may be None, for no limit."""

    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None and attribute.name in ("money", "hours"):
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ConfigError(
                f"{attribute.name} = {value!r}",
                rule=f"a number from {least:g}" + ("" if most == float("inf") else f" to {most:g}"),
                remedy=f"give {attribute.name} such a number",
            )

    return check


def a_whole_number(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: a whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(
            f"{attribute.name} = {value!r}",
            rule="a whole number from 0",
            remedy=f"give {attribute.name} such a number",
        )


def a_text(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            f"{attribute.name} = {value!r}",
            rule="a text that is not blank",
            remedy=f"write {attribute.name} = '...' in quotes",
        )


def a_path(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: a text that is not blank, or None."""
    if value is not None:
        a_text(instance, attribute, value)


def a_section(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: keys and values; of ``options`` by name."""
    inner = value.values() if isinstance(value, Mapping) and attribute.name == "options" else ()
    if not isinstance(value, Mapping) or not all(isinstance(one, Mapping) for one in inner):
        raise ConfigError(
            f"{attribute.name} of type {type(value).__name__}",
            rule=f"{attribute.name} holds keys and values" + (", by name" if attribute.name == "options" else ""),
            remedy="write [options.'frequency-cap'] and its keys below, or [plan.capacity] and phone = 30",
        )


def a_file_or(*kinds: type) -> Any:
    """A validator: the name of a file, one of these kinds, or None."""

    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None and not isinstance(value, (str, *kinds)):
            raise ConfigError(
                f"{attribute.name} of type {type(value).__name__}",
                rule=f"the name of a file, or {' or '.join(kind.__name__ for kind in kinds)}",
                remedy=f"write {attribute.name} = 'file.csv' in quotes",
            )

    return check


def as_iso(value: Any) -> Any:
    """TOML has dates of its own; as_of = 2011-12-01 without quotes is one."""
    return value.isoformat() if isinstance(value, dt.date) else value


def as_names(value: Any) -> Any:
    """A converter: several names as a tuple; what is none is left for the validator."""
    if value is None or isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return tuple(value)


def some_names(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: a list of names, or None."""
    if value is not None and not isinstance(value, tuple):
        raise ConfigError(
            f"{attribute.name} = {value!r}",
            rule="a list of names",
            remedy=f"write {attribute.name} = ['name', ...], or leave it out for the built-in ones",
        )


def some_texts(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: a list of names, which may be empty."""
    if not isinstance(value, tuple) or not all(isinstance(one, str) and one.strip() for one in value):
        raise ConfigError(
            f"{attribute.name} = {value!r}",
            rule="a list of names, which may be empty",
            remedy=f"write {attribute.name} = ['name', ...]",
        )


def arguments_of(raw: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """The keyword arguments of a program, from the sections of a TOML file."""
    settings: dict[str, Any] = {}
    known = {*SECTIONS, "read", "options", "policy", "offer", "segment"}
    if "offer" in raw or "segment" in raw:
        settings["offers"] = {name: raw[name] for name in ("offer", "segment") if name in raw}
        if "offers" in raw.get("files", {}):
            raise ConfigError(
                f"configuration {where.name}: [[offer]] and [files] offers",
                rule="offers stand in one place",
                remedy="move the [[offer]] tables into that file, or leave the file out",
            )
    for section, body in raw.items():
        if section not in known:
            raise ConfigError(
                f"configuration {where.name}: section [{section}]",
                rule="a section is one that a program knows",
                remedy=nearest(section, known),
            )
        if section in ("offer", "segment"):
            continue
        if section == "policy":
            settings["policy"] = body
            continue
        if not isinstance(body, dict):
            raise ConfigError(
                f"configuration {where.name}: {section} = {body!r}",
                rule=f"[{section}] is a section with keys",
                remedy=f"write [{section}] on a line of its own and its keys below",
            )
        if section == "options":
            settings["options"] = body
            continue
        if section == "read":
            settings["read"] = {key: value for key, value in body.items() if key not in ("source", "reader", "store")}
            if "store" in body:
                settings["store"] = (
                    str(where.parent / body["store"]) if isinstance(body["store"], str) else body["store"]
                )
            if "reader" in body:
                settings["reader"] = body["reader"]
            if "source" in body:
                if not isinstance(body["source"], str):
                    raise ConfigError(
                        f"configuration {where.name}: source = {body['source']!r}",
                        rule="source is the name of a file",
                        remedy="write source = 'invoices.csv' in quotes",
                    )
                place = body["source"]
                settings["source"] = place if "://" in place else str(where.parent / place)
            continue
        for key, value in body.items():
            if key not in SECTIONS[section]:
                raise ConfigError(
                    f"configuration {where.name}: {key} in section [{section}]",
                    rule=f"a key of [{section}] is one that a program knows",
                    remedy=nearest(key, SECTIONS[section]),
                )
            is_place = (section == "files" or key in ("folder", "journal")) and isinstance(value, str)
            settings[key] = str(where.parent / value) if is_place and "://" not in value else value
    return settings
