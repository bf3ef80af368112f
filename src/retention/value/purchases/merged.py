"""The customers of a base merged into cells, once for every question that is asked about the same base."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from retention.histories import Histories

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Rows

__all__ = ["merged"]

_known: "WeakKeyDictionary[Histories, dict[bool, Cells]]" = WeakKeyDictionary()


def merged(histories: Histories, rows: "Callable[[Histories], Rows]", *, gaps: bool, which: bool) -> "Cells":
    """The cells of ``rows(histories)``, which every model asks alike; remembered as long as the histories live.

    Histories never change, so neither do their cells; nobody writes to them.
    """
    from retention._kernels.purchases import merge

    known = _known.setdefault(histories, {})
    cells = known.get(gaps)
    if cells is None or (which and len(cells.which) < len(histories)):
        cells = known[gaps] = merge(rows(histories), gaps=gaps, which=which)
    return cells
