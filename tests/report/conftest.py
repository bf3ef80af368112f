"""What the report's tests share: nights to show, and a reader of pages."""

import runpy
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

NIGHTS = Path(__file__).parent / "nights.py"
VOID = {"meta", "br", "hr", "img", "link", "input", "base"}


class Page(HTMLParser):
    """Elements, attributes, tables by caption and texts of pictures; refuses what is not nested."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts, self.tables, self.pictures = [], [], [], {}, {}
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert len(given) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append((tag, given))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows = self.tables.setdefault(given["aria-label"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "svg":
            self.drawn = self.pictures.setdefault(given["aria-label"], [])

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        self.texts.append(data)
        if "svg" in self.open:
            if self.open[-1] == "text":
                self.drawn.append(data)
        elif "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def table(self, start):
        return next(rows for caption, rows in self.tables.items() if caption.startswith(start))

    def column(self, start, head):
        rows = self.table(start)
        place = next(i for i, name in enumerate(rows[0]) if name.startswith(head))
        return [row[place] for row in rows[1:]]

    def picture(self, start):
        return next(texts for alt, texts in self.pictures.items() if alt.startswith(start))


@pytest.fixture(scope="session")
def nights():
    return SimpleNamespace(**runpy.run_path(str(NIGHTS)), path=NIGHTS)


@pytest.fixture
def read_page():
    return Page
