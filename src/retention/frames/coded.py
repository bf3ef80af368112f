"""Text columns as codes into a sorted list of distinct labels: compact, fast to group by."""

from typing import Any, Self

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.frames.table import TextColumn, read_only

__all__ = ["Coded"]


@frozen(eq=False)
class Coded:
    """A text column: ``labels[codes]``. Labels are sorted and distinct; every label is used.

    Example:
        >>> c = Coded.of(["b", "a", "b"])
        >>> c.labels.tolist(), c.codes.tolist()
        (['a', 'b'], [1, 0, 1])
    """

    codes: NDArray[np.int32] = field(converter=read_only)
    labels: TextColumn = field(converter=read_only)

    @classmethod
    def of(cls, values: Any) -> Self:
        """Code any sequence of text."""
        labels, codes = np.unique(np.asarray(values, dtype=np.str_), return_inverse=True)
        return cls(codes.astype(np.int32).reshape(-1), labels)

    def __len__(self) -> int:
        return len(self.codes)

    def text(self) -> TextColumn:
        """The column written out."""
        return read_only(self.labels[self.codes])

    def take(self, rows: Any) -> "Coded":
        """Only these rows, with only the labels that they use."""
        codes = self.codes[rows]
        used = np.zeros(len(self.labels), dtype=bool)
        used[codes] = True
        renumbered = (np.cumsum(used) - 1).astype(np.int32)
        return Coded(renumbered[codes], self.labels[used])

    def joined(self, other: "Coded") -> "Coded":
        """These rows, then the other's, over one list of labels."""
        labels, where = np.unique(np.concatenate([self.labels, other.labels]), return_inverse=True)
        mine, theirs = where[: len(self.labels)], where[len(self.labels) :]
        return Coded(np.concatenate([mine[self.codes], theirs[other.codes]]).astype(np.int32), labels)
