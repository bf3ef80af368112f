"""The drawings: lengths are the numbers, texts are text."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.report.pictures import CAME, LEFT, Bar, bars, pairs, waterfall


def spans(svg, colours):
    """Left and right end of every bar, by the order of drawing."""
    found = []
    for path in ElementTree.fromstring(svg).iter("path"):
        if any(colour in path.attrib.get("style", "") for colour in colours) and "clip-path" in path.attrib:
            x = [float(n) for n in re.findall(r"[ML] (\S+) \S+", path.attrib["d"])]
            found.append((min(x), max(x)))
    return found


sizes = st.lists(st.floats(1.0, 1e7), min_size=1, max_size=8)


@settings(max_examples=15)
@given(sizes)
def test_bars_are_as_long_as_their_numbers(values):
    drawn = spans(bars("b", [Bar(str(i), v, "x") for i, v in enumerate(values)], alt="a"), ["#3d5a80"])
    widths = np.array([right - left for left, right in drawn])
    # SVG coordinates carry six decimals; the widest bar is some 200 units wide.
    np.testing.assert_allclose(widths / widths.max(), np.array(values) / max(values), atol=1e-5)


@settings(max_examples=15)
@given(st.lists(st.integers(-1000, 1000).filter(bool), min_size=1, max_size=6))
def test_a_waterfall_lands_on_what_is_left(changes):
    opening = 10_000
    steps = [Bar("before", opening, ""), *(Bar("c", c, "", CAME if c > 0 else LEFT) for c in changes)]
    svg = waterfall("w", [*steps, Bar("now", opening + sum(changes), "")], alt="a")
    drawn = spans(svg, ["#3d5a80", CAME, LEFT])
    zero, end = drawn[0]
    unit = (end - zero) / opening
    level = opening
    for (left, right), change in zip(drawn[1:-1], changes, strict=True):
        ends = sorted((level, level + change))
        np.testing.assert_allclose([(left - zero) / unit, (right - zero) / unit], ends, atol=0.1)
        level += change
    np.testing.assert_allclose((drawn[-1][1] - zero) / unit, level, atol=0.1)


def test_labels_are_text_even_if_they_look_like_formulas_or_markup():
    hostile = ["$\\frac{$", "<script>", "]]>&amp;", "url(#p1)", "a\x00b", "a\nb"]
    svg = bars("b", [Bar(label, 1.0, label) for label in hostile], alt='"><script>')
    texts = [text.text for text in ElementTree.fromstring(svg).iter("text")]
    shown = [label.replace("\x00", "�") for label in hostile]
    assert texts[: len(shown)] == [label.replace("\n", " ") for label in shown]
    assert "<script" not in svg


@pytest.mark.parametrize("values", [[], [0.0], [float("nan"), 1.0], [-1.0, -2.0], [float("inf")]])
def test_nothing_to_draw_is_no_error(values):
    drawn = [Bar("a", value, "t") for value in values]
    for svg in (
        bars("b", drawn, alt="a"),
        waterfall("w", drawn, alt="a"),
        pairs("p", drawn, drawn, legend=("x", "y"), alt="a"),
    ):
        assert ElementTree.fromstring(svg).attrib["role"] == "img"


def test_two_pictures_on_one_page_share_no_id():
    drawn = [Bar("a", 1.0, "t")]
    ids = [re.findall(r'\bid="([^"]+)"', bars(name, drawn, alt="a")) for name in ("one", "two")]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
