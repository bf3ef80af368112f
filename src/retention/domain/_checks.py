"""Validators that the domain's words share."""

import math
from typing import Any

import attrs

from retention.errors import RetentionError


def not_blank(instance: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    """A name must be there and be text."""
    if not isinstance(value, str) or not value.strip():
        raise RetentionError(
            f"{type(instance).__name__}.{attribute.name}={value!r}",
            rule="a name is text and not blank",
            remedy=f"give {attribute.name} a name",
        )


def not_negative(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A cost, a duration or an amount of work is zero or more, and finite."""
    if not (math.isfinite(value) and value >= 0):
        raise RetentionError(
            f"{type(instance).__name__}.{attribute.name}={value!r}",
            rule="must be zero or more, and finite",
            remedy=f"give {attribute.name} a number >= 0",
        )


def probability(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    """A probability lies between 0 and 1."""
    if not 0.0 <= value <= 1.0:
        raise RetentionError(
            f"{type(instance).__name__}.{attribute.name}={value!r}",
            rule="a probability lies in [0, 1]",
            remedy=f"give {attribute.name} a number from 0 to 1",
        )
