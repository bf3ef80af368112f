"""What came in: raw columns, and where each cell stood; nothing interpreted yet."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.errors import ColumnError, ReadError, nearest
from retention.frames.table import BoolColumn, IntColumn

__all__ = ["RawColumn", "Source"]

_NO_HEADER = "the first line looks like data, and a header line is needed: put one that names each column above it"
_WORD = r"[^\W\d_]{3,10}\.?"
_DATA = re.compile(
    r".*@.*"  # an address
    r"|[\W_]*[0-9][\W\d_]*(?:e[-+]?[0-9]+)?"  # digits and marks: a number, an amount, a date
    r"|[0-9]{1,4}([-/.]?)[0-9]{1,2}\1[0-9]{1,4}[T\s,].*"  # a date and a time
    r"|[\W_]*[0-9][0-9.,'\s]*[^\W\d_]{2,3}[\W_]*"  # 12 EUR
    r"|[\W_]*[^\W\d_]{1,3}[\W_]*[0-9]+[.,][\W\d_]*"  # EUR 12.50
    rf"|[0-9]{{1,2}}[\s\-/.]*{_WORD}[\s\-/,]*[0-9]{{2,4}}(?:[T\s,].*)?"  # 31 Dec 2011
    rf"|{_WORD}\s+[0-9]{{1,2}},?\s+[0-9]{{4}}(?:[T\s,].*)?",  # Dec 31, 2011
    re.IGNORECASE | re.DOTALL,
)


@frozen(eq=False, kw_only=True)
class RawColumn:
    """One column as it came: text as codes into ``labels`` (-1 where there is none), the rest as numbers.

    ``kind`` is text, int (int64), float (float64) or time (datetime64[us]). ``time_zone`` is set for instants,
    whose ``values`` then are UTC.
    """

    name: str
    kind: Literal["text", "int", "float", "time"]
    values: NDArray[Any]
    missing: BoolColumn
    labels: list[str] = field(factory=list)
    time_zone: str | None = None

    def identity(self) -> IntColumn:
        """A whole number per row: equal numbers, equal cells."""
        if self.kind == "text":
            return self.values.astype(np.int64)
        _, codes = np.unique(self.values, return_inverse=True)
        return np.where(self.missing, -1, codes.reshape(-1))


@frozen(eq=False, kw_only=True)
class Source:
    """A table as it came: columns, the line on which each row stood, and the rows that had no shape.

    ``line`` counts from 1: lines of the file, header included, for delimited text (``unit`` "line"), rows
    otherwise ("row"). ``misshapen`` lists lines with too few or too many cells.
    """

    name: str
    unit: Literal["line", "row"]
    columns: Mapping[str, RawColumn]
    line: IntColumn
    misshapen: IntColumn = field(factory=lambda: np.zeros(0, dtype=np.int64))
    notes: Mapping[str, int] = field(factory=dict)

    def __len__(self) -> int:
        return len(self.line)

    def column(self, name: str, *, role: str) -> RawColumn:
        """The column of that name, or one error with the nearest name."""
        found = self.columns.get(name) or self.columns.get(name.strip())
        if found is None:
            raise ColumnError(
                f"{role}={name!r}: {self.name} has no such column",
                rule=f"{role} names a column of the source",
                remedy=self.nearest(name),
            )
        return found

    def nearest(self, name: str) -> str:
        """What to do when there is no column of that name: the nearest, or that the source needs a header.

        Where the header looks like data, it is not repeated: it may hold what must not reach a message.
        """
        return _NO_HEADER if looks_like_data(self.columns) else nearest(name, self.columns)

    def repeats(self) -> BoolColumn:
        """True for each row that repeats an earlier one in every cell."""
        key = np.zeros(len(self), dtype=np.int64)
        for column in self.columns.values():
            cells = column.identity() + 1
            _, key = np.unique(key * (int(cells.max(initial=0)) + 1) + cells, return_inverse=True)
            key = key.reshape(-1)
        _, first = np.unique(key, return_index=True)
        again = np.ones(len(self), dtype=bool)
        again[first] = False
        return again


def refuse_repeated(names: Iterable[str], source: str) -> None:
    """Each column has a name of its own."""
    listed = list(names)
    twice = [name for name, count in Counter(listed).items() if count > 1]
    if twice:
        known = not looks_like_data(listed)
        raise ColumnError(
            f"{source} has more than one column called {', '.join(map(repr, twice))}"
            if known
            else f"{source} has one title over more than one column",
            rule="each column has a name of its own",
            remedy="rename one of them in the header" if known else _NO_HEADER,
        )


def no_rows(name: str) -> ReadError:
    """What is said of a source that ends after its header."""
    return ReadError(
        f"{name} has a header and no rows", rule="a source has at least one row", remedy="check the export's filter"
    )


def text_column(name: str, cells: Iterable[str | None]) -> RawColumn:
    """A column of texts, each distinct one held once."""
    listed = cells if isinstance(cells, list | tuple) else list(cells)
    index: dict[str | None, int] = {
        label: i for i, label in enumerate(dict.fromkeys(c for c in listed if c is not None))
    }
    labels = [label for label in index if label is not None]
    index[None] = -1
    codes = np.fromiter(map(index.__getitem__, listed), dtype=np.int32, count=len(listed))
    return RawColumn(name=name, kind="text", values=codes, missing=codes < 0, labels=labels)


def looks_like_data(titles: Iterable[str]) -> bool:
    """Whether some title is a number, a date or an address: common in a first row of data, rare in a header."""
    return any(_DATA.fullmatch(title.strip()) for title in titles)
