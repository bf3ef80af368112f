"""How the lenses show themselves: money as people write it, escaped HTML, axes to draw in."""

import html
from collections.abc import Iterable, Sequence
from decimal import Decimal

# Blue for what is there, green for what came, red for what left: told apart by every eye together with the labels.
THERE, CAME, LEFT = "#4c6a92", "#2a8c6a", "#c4512d"


def money(amount: Decimal | float, currency: str | None = None) -> str:
    """An amount with thousands separators and two decimals, and its currency if known."""
    return f"{amount:,.2f} {currency or ''}".strip()


def percent(share: float | None) -> str:
    """A share as a percentage; an unknown one is said to be unknown."""
    return "unknown" if share is None or share != share else f"{share:.1%}"


def html_table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, notes: Iterable[str] = ()
) -> str:
    """An HTML table in which every cell, the caption and the notes are escaped."""
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    under = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        + (f"<ul>{under}</ul>" if under else "")
    )


def grouped(x: float, _: int) -> str:
    """A tick label with thousands separators, never a power of ten in the corner."""
    return f"{x:,.10g}"
