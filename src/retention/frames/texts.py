"""Columns of text that are kept as numbers and written out only where somebody reads them.

A table of a million customers has a reason for each of them, and a person reads a dozen. Such a column stands in a
table like any array of text and answers like one: rows of it are a column again, one row is a ``str``, ``==`` compares
row by row, ``np.asarray`` writes all of it out, and so does whatever else an array is asked for.
"""

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

__all__ = ["Texts", "Labels", "Told", "blank", "joined"]

_CHUNK = 50_000


class Texts(Sequence[str]):
    """A column of text that is not written out yet."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # like an array

    @abc.abstractmethod
    def tolist(self) -> list[str]:
        """All texts."""

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype[np.str_]:
        """What kind of array it would be."""

    @abc.abstractmethod
    def __getitem__(self, what: Any) -> Any:
        """One text, or such a column of some of the rows (a mask, a slice or positions)."""

    @property
    def shape(self) -> tuple[int]:
        """How many rows, as of an array."""
        return (len(self),)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return _given(np.asarray(self.tolist(), dtype=np.str_), dtype, copy)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK].tolist()

    def __eq__(self, other: object) -> Any:
        return np.asarray(self) == (np.asarray(other) if isinstance(other, Texts) else other)

    def __ne__(self, other: object) -> Any:
        return ~(self == other)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"a column of text has no {name!r}")
        return getattr(np.asarray(self), name)

    def __reduce__(self) -> tuple[Any, ...]:
        """What leaves the process is written out."""
        return np.asarray, (np.array(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Texts":
        """Itself: nothing in it changes."""
        return self

    def __repr__(self) -> str:
        return repr(np.asarray(self))


@frozen(eq=False, repr=False)
class Labels(Texts):
    """Text of few different values: ``labels[codes]``; both arrays are taken over, and nobody writes to them again.

    Labels need not be sorted, different, or used (:class:`~retention.frames.coded.Coded` is for grouping).

    Example:
        >>> column = Labels.of(["b", "a", "b"])
        >>> (column == "b").tolist(), column[1:].tolist(), column[0]
        ([True, False, True], ['a', 'b'], 'b')
    """

    codes: NDArray[np.integer[Any]] = field()
    labels: NDArray[np.str_] = field()

    def __attrs_post_init__(self) -> None:
        for array in (self.codes, self.labels):
            array.flags.writeable = False

    @classmethod
    def of(cls, values: Any) -> "Labels":
        """Any column of text in this form."""
        if isinstance(values, Labels):
            return values
        array = np.asarray(values, dtype=np.str_)
        if len(array) and (array == array[0]).all():
            return cls.constant(str(array[0]), len(array))
        labels, codes = np.unique(array, return_inverse=True)
        return cls(codes.reshape(-1).astype(_width(len(labels))), labels)

    @classmethod
    def constant(cls, text: str, n: int) -> "Labels":
        """One text for all."""
        return cls(np.zeros(n, dtype=np.int8), np.asarray([text], dtype=np.str_))

    @classmethod
    def where(cls, mask: NDArray[np.bool_], text: str) -> "Labels":
        """A text where the mask is True, nothing elsewhere."""
        return cls(mask.astype(np.int8), np.asarray(["", text], dtype=np.str_))

    @property
    def dtype(self) -> np.dtype[np.str_]:
        """That of the labels."""
        return self.labels.dtype

    def kept(self, mask: NDArray[np.bool_]) -> "Labels":
        """The same where the mask is True, nothing elsewhere."""
        codes = np.where(mask, self.codes, len(self.labels)).astype(_width(len(self.labels) + 1))
        return Labels(codes, np.concatenate([self.labels, np.asarray([""], dtype=np.str_)]))

    def ranks(self) -> NDArray[np.int64]:
        """A number for each row that sorts and groups as its text does."""
        order: NDArray[np.int64] = np.unique(self.labels, return_inverse=True)[1].reshape(-1)[self.codes]
        return order

    def tolist(self) -> list[str]:
        """All texts."""
        if len(self.labels) > len(self):
            return list(self.labels[self.codes].tolist())
        names = self.labels.tolist()
        return [names[code] for code in self.codes.tolist()]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, what: Any) -> Any:
        if isinstance(what, int | np.integer):
            return str(self.labels[self.codes[what]])
        return Labels(self.codes[what], self.labels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return _given(self.labels[self.codes], dtype, copy)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, str) and len(self.labels) <= len(self):
            return (self.labels == other)[self.codes]
        return Texts.__eq__(self, other)


@frozen(eq=False, repr=False)
class Told(Texts):
    """Text that follows from numbers: ``tell(rows)`` says it for any of the rows, never blank, each time the same.

    Example:
        >>> column = Told(lambda rows: [f"customer number {i}" for i in rows.tolist()], np.arange(1_000_000))
        >>> column[7], column[[2, 3]].tolist()
        ('customer number 7', ['customer number 2', 'customer number 3'])
    """

    tell: Callable[[NDArray[np.int64]], list[str]] = field()
    rows: NDArray[np.int64] = field()

    def __attrs_post_init__(self) -> None:
        self.rows.flags.writeable = False

    @property
    def dtype(self) -> np.dtype[np.str_]:
        """Text of any width."""
        return np.dtype(np.str_)

    def tolist(self) -> list[str]:
        """All texts."""
        return self.tell(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, what: Any) -> Any:
        if isinstance(what, int | np.integer):
            return self.tell(self.rows[np.asarray([what])])[0]
        return Told(self.tell, self.rows[what])


def blank(column: Any) -> NDArray[np.bool_]:
    """Where a column says nothing; text that is told never does."""
    if isinstance(column, Told):
        return np.zeros(len(column), dtype=bool)
    if isinstance(column, Labels) and len(column.labels) <= len(column):
        return np.asarray(blank(column.labels)[column.codes])
    return np.asarray(np.strings.str_len(np.strings.strip(np.asarray(column))) == 0)


def joined(parts: Sequence[Any]) -> Any:
    """Several columns of text, one below the other; nothing is written out that is not."""
    if all(isinstance(part, Labels) for part in parts):
        first = parts[0].labels
        if all(part.labels is first for part in parts):
            return Labels(np.concatenate([part.codes for part in parts]), first)
        counts = np.cumsum([0, *(len(part.labels) for part in parts)])
        if counts[-1] <= sum(map(len, parts)):
            shifted = [part.codes.astype(np.int64) + start for part, start in zip(parts, counts[:-1], strict=True)]
            codes = np.concatenate(shifted).astype(_width(int(counts[-1])))
            return Labels(codes, np.concatenate([part.labels for part in parts]))
    if not any(isinstance(part, Told) for part in parts):
        return np.concatenate([np.asarray(part) for part in parts])
    starts = np.cumsum([0, *map(len, parts)])

    def tell(rows: NDArray[np.int64]) -> list[str]:
        which = np.searchsorted(starts, rows, side="right") - 1
        said = np.empty(len(rows), dtype=object)
        for i in np.unique(which).tolist():
            said[which == i] = parts[i][rows[which == i] - starts[i]].tolist()
        return list(said.tolist())

    return Told(tell, np.arange(starts[-1]))


def _given(written: NDArray[Any], dtype: Any, copy: bool | None) -> NDArray[Any]:
    """A column written out, as ``__array__`` was asked for it."""
    written.flags.writeable = False
    return written if dtype is None and not copy else written.astype(dtype or written.dtype)


def _width(count: int) -> type[np.integer[Any]]:
    """The narrowest whole numbers for so many labels."""
    return np.int8 if count < 128 else np.int16 if count < 32768 else np.int32
