"""Margin models by name, and from what they wrote down."""

from collections.abc import Mapping
from typing import Any

from attrs import fields

from retention.errors import ModelError, nearest
from retention.value.margins.auto import AutoMargin
from retention.value.margins.credibility import Credibility, FittedCredibility
from retention.value.margins.gammagamma import FittedGammaGamma, GammaGamma
from retention.value.margins.protocol import FittedMargin, MarginModel

__all__ = ["margin_from_dict", "margin_model"]


def margin_model(name: str, **options: bool) -> MarginModel:
    """The recipe of a name: "gamma-gamma", "credibility" or "auto"; ModelError with the nearest name for others.

    ``options`` are the recipe's own: ``first``, ``by_rate``.

    Example:
        >>> margin_model("credibility", by_rate=True).names
        ('mean', 'between', 'within', 'slope', 'log_rate_mean')
    """
    known = {recipe().name: recipe for recipe in (GammaGamma, Credibility, AutoMargin)}
    if name not in known:
        raise ModelError(
            f"a margin model named {name!r}", rule=f"they are {', '.join(known)}", remedy=nearest(name, tuple(known))
        )
    options_of = [f.name for f in fields(known[name])]
    for option in options:
        if option not in options_of:
            raise ModelError(
                f"margin model {name} with {option}",
                rule=f"its options are {', '.join(options_of)}",
                remedy=nearest(option, options_of),
            )
    return known[name](**options)


def margin_from_dict(data: Mapping[str, Any]) -> FittedMargin:
    """The fitted margin model that its ``to_dict`` wrote down; ModelError for one that is not known here."""
    known: dict[Any, type[FittedMargin]] = {"gamma-gamma": FittedGammaGamma, "credibility": FittedCredibility}
    if not isinstance(data, Mapping) or str(data.get("margin")) not in known:
        raise ModelError(
            f"a stored margin model named {data.get('margin')!r}"
            if isinstance(data, Mapping)
            else "no stored margin model",
            rule=f"they are {', '.join(known)}",
            remedy="read it with the release that wrote it",
        )
    return known[data["margin"]].from_dict(data)
