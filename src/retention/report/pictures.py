"""Pictures of the page: labelled bars as inline SVG, drawn from the very texts and numbers of the tables beside them.

The drawings are narrow, so that their letters can be read on a phone; the page sets the typeface.
"""

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from attrs import frozen

from retention.errors import MissingExtraError
from retention.report._text import clean

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Bar", "bars", "pairs", "waterfall"]

# Blue for what is there, green for what came, red for what left; signs and labels say the same.
THERE, CAME, LEFT, PALE, INK = "#3d5a80", "#1f7a5c", "#b5442a", "#9db4cf", "#1d2733"
_WIDTH, _ROW = 4.2, 0.33
_LONGEST_LABEL = 20
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: one layout on every machine
    "font.size": 11.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "retention",
    "text.parse_math": False,  # a tier named "$x$" is a name
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@frozen
class Bar:
    """One bar: its name, its length, and the text that stands beside it."""

    label: str
    size: float
    text: str
    colour: str = THERE


def bars(name: str, of: Sequence[Bar], *, alt: str) -> "Markup":
    """Lengths side by side, each from zero."""
    return _picture(name, len(of), alt, lambda ax: _single(ax, of, [0.0] * len(of)))


def waterfall(name: str, of: Sequence[Bar], *, alt: str) -> "Markup":
    """The first bar stands, each further one starts where the one before ended, the last one stands again."""
    starts, level = [], 0.0
    for place, bar in enumerate(of):
        stands = place in (0, len(of) - 1)
        starts.append(0.0 if stands else level)
        level = starts[-1] + _finite(bar.size)

    def draw(ax: Any) -> None:
        _single(ax, of, starts)
        for place, (bar, start) in enumerate(zip(of[:-1], starts, strict=False)):
            y, end = len(of) - 1 - place, start + _finite(bar.size)
            ax.plot([end, end], [y - 0.33, y - 0.67], color="#7a8594", linewidth=0.8)

    return _picture(name, len(of), alt, draw)


def pairs(name: str, first: Sequence[Bar], second: Sequence[Bar], *, legend: tuple[str, str], alt: str) -> "Markup":
    """Two bars a row: the first sequence above, the second below."""

    def draw(ax: Any) -> None:
        for row, colour, up in ((first, PALE, 0.2), (second, THERE, -0.2)):
            for place, bar in enumerate(row):
                y = len(row) - 1 - place + up
                ax.barh(y, _finite(bar.size), height=0.36, color=colour)
                _beside(ax, bar, 0.0, y, size=10)
        _frame(ax, [bar.label for bar in first], [_finite(bar.size) for bar in (*first, *second)])
        patches = [ax.barh(0, 0, color=colour) for colour in (PALE, THERE)]
        ax.legend(patches, legend, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=10,
                  handlelength=0.9, handletextpad=0.4, columnspacing=1.0, borderaxespad=0.1)  # fmt: skip

    return _picture(name, 1.7 * len(first) + 1.0, alt, draw)


def _single(ax: Any, of: Sequence[Bar], starts: Sequence[float]) -> None:
    ends = [start + _finite(bar.size) for bar, start in zip(of, starts, strict=True)]
    for place, (bar, start) in enumerate(zip(of, starts, strict=True)):
        y = len(of) - 1 - place
        ax.barh(y, _finite(bar.size), left=start, height=0.66, color=bar.colour)
        _beside(ax, bar, start, y)
    _frame(ax, [bar.label for bar in of], [*starts, *ends])


def _beside(ax: Any, bar: Bar, start: float, y: float, *, size: float = 11) -> None:
    """The bar's text, right of its right end."""
    ax.annotate(clean(bar.text), (max(start, start + _finite(bar.size)), y), xytext=(4, -0.5),
                textcoords="offset points", va="center", fontsize=size, annotation_clip=False)  # fmt: skip


def _frame(ax: Any, labels: Sequence[str], ends: Sequence[float]) -> None:
    """Names of the rows, and limits that hold every bar and zero."""
    plain = [" ".join(clean(label).split()) for label in labels]
    shown = [label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…" for label in plain]
    ax.set_yticks(range(len(shown) - 1, -1, -1), shown)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(shown) - 0.4)
    low, high = min([0.0, *ends]), max([0.0, *ends])
    ax.set_xlim(low, high if high > low else low + 1.0)
    ax.axvline(0, color=INK, linewidth=0.8)


def _finite(size: float) -> float:
    return float(size) if math.isfinite(size) else 0.0


def _picture(name: str, rows: float, alt: str, draw: Callable[[Any], None]) -> "Markup":
    """What ``draw`` puts into an axes, as an SVG element for the inside of a page."""
    try:
        import matplotlib
        from markupsafe import Markup
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as absent:
        raise MissingExtraError("the report", library=str(absent.name).partition(".")[0], extra="report") from None
    buffer = io.StringIO()
    with matplotlib.rc_context():
        # The reader's own settings must not change the page.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(_WIDTH, _ROW * rows + 0.15), layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))
        figure.patch.set_visible(False)
        ax = figure.subplots()
        ax.patch.set_visible(False)
        ax.set_xticks([])
        ax.spines[:].set_visible(False)
        draw(ax)
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Markup(_for_a_page(ElementTree.fromstring(buffer.getvalue()), name, alt))


def _for_a_page(root: ElementTree.Element, name: str, alt: str) -> str:
    """The drawing without addresses and styles of its own, with ids that no other picture has."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    _rename_ids(root, name)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib |= {"role": "img", "aria-label": clean(alt)}
    return ElementTree.tostring(root, encoding="unicode")


def _rename_ids(root: ElementTree.Element, name: str) -> None:
    """Keep only the ids that something refers to, and make them this picture's own."""
    used = {ref for element in root.iter() for value in element.attrib.values() for ref in _REFERENCE.findall(value)}
    used |= {element.attrib["href"].removeprefix("#") for element in root.iter() if "href" in element.attrib}
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id" and value not in used:
                del element.attrib[key]
            elif key == "id":
                element.attrib[key] = f"{name}-{value}"
            elif key == "href":
                element.attrib[key] = value.replace("#", f"#{name}-")
            else:
                element.attrib[key] = _REFERENCE.sub(rf"url(#{name}-\1)", value)


_REFERENCE = re.compile(r"url\(#([\w-]+)\)")
