"""Axes to draw in; matplotlib is imported here, when something is drawn and not before."""

from typing import Any

from retention.errors import MissingExtraError

__all__ = ["axes"]


def axes(ax: Any, *, size: tuple[float, float] = (7.0, 4.2)) -> Any:
    """The axes given, or fresh ones that a notebook shows."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtraError("a picture", library="matplotlib", extra="plot") from None
    return plt.subplots(figsize=size, layout="constrained")[1]
