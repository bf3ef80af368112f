"""How the page writes text and numbers: inert, with thousands separators, and adding up as shown."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from attrs import field, frozen

from retention.lenses.levers import largest_remainder

_LONGEST, _LONGEST_NAME = 2000, 80
_TURNS_DIRECTION = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
UNKNOWN = "unknown"


def clean(text: object) -> str:
    """Text that a page can hold: no control, surrogate or direction-changing characters, and not without end.

    Example:
        >>> clean("a\\x00b\\u202ec")
        'a�b�c'
    """
    plain = str(text)
    if len(plain) > _LONGEST:
        plain = plain[: _LONGEST - 1] + "…"
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join("�" if _unfit(character) else character for character in plain)


def short(text: object) -> str:
    """A customer's id or a tier's name, cut where it is longer than any real one."""
    whole = clean(text)
    return whole if len(whole) <= _LONGEST_NAME else whole[: _LONGEST_NAME - 1] + "…"


def _unfit(character: str) -> bool:
    code = ord(character)
    control = unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"
    return control or code & 0xFFFE == 0xFFFE or character in _TURNS_DIRECTION


def exact(amount: Decimal | float, *, sign: bool = False) -> str:
    """Money that is known: two decimals."""
    if not math.isfinite(amount):
        return UNKNOWN
    rounded = round(amount, 2) or 0  # never "-0.00"
    return f"{rounded:+,.2f}" if sign and rounded else f"{rounded:,.2f}"


def forecast(amount: float) -> str:
    """Money that is expected: whole units; below ten with two decimals, because 0 would be wrong.

    Example:
        >>> forecast(1234.5), forecast(0.4), forecast(float("nan"))
        ('1,234', '0.40', 'unknown')
    """
    if not math.isfinite(amount):
        return UNKNOWN
    return exact(amount) if 0.005 <= abs(amount) < 9.995 else f"{round(amount) or 0:,.0f}"


def count(number: float) -> str:
    """A whole number."""
    return f"{number:,.0f}"


def percent(share: float | None) -> str:
    """A share; an unknown one is said to be unknown."""
    return UNKNOWN if share is None or not math.isfinite(share) else f"{round(100 * share, 1) or 0:,.1f}%"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", ":")) else ".") if text else ""


def plain(value: Any) -> str:
    """A parameter's value as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool | int | str):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Iterable):
        return ", ".join(plain(one) for one in value)
    return str(value)


def cents(parts: Sequence[Decimal]) -> list[Decimal]:
    """Exact amounts that sum to zero, each shown to the cent so that what is shown sums to zero too.

    Example:
        >>> cents([Decimal("0.005"), Decimal("0.005"), Decimal("-0.01")])
        [Decimal('0.01'), Decimal('0.00'), Decimal('-0.01')]
    """
    return [Decimal(n).scaleb(-2) for n in largest_remainder([Fraction(part) * 100 for part in parts])]


def _rows(rows: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(row) for row in rows)


@frozen(kw_only=True)
class Grid:
    """A table as text: ``kinds`` has one letter a column, ``t`` for text and ``n`` for numbers."""

    caption: str
    head: tuple[str, ...]
    kinds: str
    rows: tuple[tuple[str, ...], ...] = field(converter=_rows)
    total: bool = False
