"""Offers read from TOML, or from what such a file holds: each key is known, and each value of its kind."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import attrs

from retention.domain import Action
from retention.domain.action import Kind, Reward
from retention.errors import ConfigError, RetentionError, nearest
from retention.plan.offers import STAKES, Offer, OfferStrategy
from retention.plan.segments import Criteria

__all__ = ["read_offers"]

_ACTION = {one.name: one for one in attrs.fields(Action)}

_OFFER = {one.name: one for one in attrs.fields(Offer) if one.name != "action"}

_CRITERIA = ("eligible", "applicable", "suitable")

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "reward": get_args(Reward),
    "stake": tuple(STAKES),
}

_FLAGS = ("needs_consent", "conditional", "touchpoint")

_TEXTS = ("name", "channel", "purpose", "customer_benefit")


def read_offers(source: "str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]") -> OfferStrategy:
    """Offers from a TOML file, from what such a file holds, or from a list of offers.

    ``[[offer]]`` has the fields of :class:`~retention.domain.Action` (``name``, ``kind``, ``channel`` and
    ``customer_benefit`` must be there) and of :class:`Offer` (``lift`` must). A ``reward`` comes with its
    ``reward_cost`` and ``perceived_value``, be they 0. ``[segment.NAME]`` holds conditions, see
    :class:`~retention.plan.segments.Criteria`, and optionally ``wants``, a list of reward types; a segment may use
    those above it.

    Raises:
        ConfigError: the file cannot be read, or the first key or value that means nothing, with its offer.

    Example:
        >>> read_offers([{"name": "card", "kind": "thank", "channel": "post", "lift": 0.1}])
        Traceback (most recent call last):
        ...
        retention.errors.ConfigError: offer 'card' without customer_benefit
          rule: an offer has name, kind, channel, customer_benefit, lift
          remedy: say what is in it for her: customer_benefit = '...'
    """
    told = _loaded(source) if isinstance(source, str | Path) else source
    if not isinstance(told, Mapping):
        told = {"offer": list(told)}
    for key in told:
        if key not in ("offer", "segment", "name"):
            raise ConfigError(
                f"offers: {key!r}",
                rule="a file of offers holds [[offer]] and [segment.NAME]",
                remedy=nearest(str(key), ("offer", "segment")),
            )
    segments: dict[str, Criteria] = {}
    wants: dict[str, tuple[str, ...]] = {}
    for name, body in _mapping(told.get("segment", {}), "segment").items():
        rules = dict(_mapping(body, f"segment {name!r}"))
        wishes = rules.pop("wants", None)
        segments[name] = Criteria(rules, named=segments, where=f"segment {name!r}")
        if wishes is not None:
            if isinstance(wishes, str) or not isinstance(wishes, Sequence):
                raise ConfigError(
                    f"segment {name!r}: wants = {wishes!r}",
                    rule="wants is a list of reward types",
                    remedy='write wants = ["accommodation"]',
                )
            wants[name] = tuple(wishes)
    listed = told.get("offer", [])
    if isinstance(listed, str | Mapping) or not isinstance(listed, Iterable):
        raise ConfigError("offer is no list", rule="each offer is a section", remedy="write [[offer]], twice bracketed")
    named = {"name": str(told["name"])} if "name" in told else {}
    return OfferStrategy(
        offers=tuple(_offer(body, i, segments) for i, body in enumerate(listed)),
        segments=segments,
        wants=wants,
        **named,
    )


def _loaded(path: "str | Path") -> dict[str, Any]:
    where = Path(path)
    try:
        return tomllib.loads(where.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"offers {where.name}: {type(error).__name__}: {error}".splitlines()[0],
            rule="offers are a TOML file in UTF-8",
            remedy="begin with [[offer]] and one key = value a line",
        ) from None


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{what} = {value!r}"[:160], rule="a section with keys", remedy=f"write [{what}] and its keys below"
        )
    return value


def _offer(body: Any, position: int, segments: Mapping[str, Criteria]) -> Offer:
    told = dict(_mapping(body, f"offer number {position + 1}"))
    shown = f"offer {told['name']!r}"[:160] if "name" in told else f"offer number {position + 1}"
    known = {**_ACTION, **_OFFER}
    for key in told:
        if key not in known:
            raise ConfigError(f"{shown}: {key!r}", rule="a key is one that an offer knows", remedy=nearest(key, known))
    needed = [name for name, one in known.items() if one.default is attrs.NOTHING]
    for name in needed:
        if name not in told:
            remedy = (
                "say what is in it for her: customer_benefit = '...'"
                if name == "customer_benefit"
                else f"give it a {name}"
            )
            raise ConfigError(f"{shown} without {name}", rule=f"an offer has {', '.join(needed)}", remedy=remedy)
    for key, value in told.items():
        if key not in _CRITERIA:
            _typed(shown, key, value)
    if "reward" in told:
        for name in ("reward_cost", "perceived_value"):
            if name not in told:
                raise ConfigError(
                    f"{shown}: reward without {name}",
                    rule="a reward has a cost to the firm and a value to her",
                    remedy=f"give {name} in money, be it 0",
                )
    rules: dict[str, Any] = {
        key: Criteria(_named(told[key]), named=segments, where=f"{shown}, {key}") for key in _CRITERIA if key in told
    }
    try:
        action = Action(**{key: value for key, value in told.items() if key in _ACTION})
    except RetentionError as error:
        raise ConfigError(f"{shown}: {error.given}", rule=error.rule, remedy=error.remedy) from None
    return Offer(action=action, **{k: v for k, v in told.items() if k in _OFFER and k not in _CRITERIA}, **rules)


def _named(value: Any) -> Any:
    """``eligible = "regulars"`` stands for the segment of that name."""
    return {"segment": value} if isinstance(value, str) else value


def _typed(shown: str, key: str, value: Any) -> None:
    """A value of the type that its key takes."""
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise ConfigError(
                f"{shown}: {key} = {value!r}"[:200],
                rule=f"{key} is one that there is",
                remedy=nearest(str(value), _CHOICES[key]),
            )
        return
    flag, number = isinstance(value, bool), isinstance(value, int | float)
    good = flag if key in _FLAGS else isinstance(value, str) if key in _TEXTS else number and not flag
    if key == "window_days":
        good = good and isinstance(value, int)
    if not good:
        what = "true or false" if key in _FLAGS else "a text in quotes" if key in _TEXTS else "a number"
        raise ConfigError(
            f"{shown}: {key} = {value!r}"[:200],
            rule=f"{key} is {'a whole number' if key == 'window_days' else what}",
            remedy=f"write {key} = ...",
        )
