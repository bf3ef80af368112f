"""Money: exact in the records, float in the models; this module is the border between the two."""

from decimal import Decimal
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.errors import ReadError
from retention.frames.table import FloatColumn, IntColumn, read_only

__all__ = ["Amounts", "MAX_DECIMALS"]

MAX_DECIMALS = 6
_LIMIT = 2**62


@frozen(eq=False)
class Amounts:
    """A column of exact amounts: whole numbers of 10**-decimals of the currency unit.

    Sums and differences are exact; :meth:`to_float` is the one place where money becomes a float.

    Example:
        >>> a = Amounts.of(["9.99", "-0.5"])
        >>> a.total(), a.decimals
        (Decimal('9.49'), 2)
    """

    minor: IntColumn = field(converter=read_only)
    decimals: int

    @classmethod
    def of(cls, values: Any) -> "Amounts":
        """Amounts from ints, floats, decimals or decimal text; at most six decimals are kept (rounded half even).

        Floats are read as the shortest decimal that prints them: 0.1 is one tenth.
        """
        array = np.asarray(values)
        if array.dtype.kind in "iu":
            return cls(array.astype(np.int64), 0)
        if array.dtype.kind == "f":
            return cls._of_floats(array.astype(np.float64))
        exact = [Decimal(str(v)) for v in array.tolist()]
        decimals = min(MAX_DECIMALS, max((max(0, -int(d.as_tuple().exponent)) for d in exact), default=0))
        unit = Decimal(1).scaleb(-decimals)
        return cls(_checked([int((d / unit).to_integral_value()) for d in exact]), decimals)

    @classmethod
    def _of_floats(cls, array: FloatColumn) -> "Amounts":
        if array.size and (not np.all(np.isfinite(array)) or np.max(np.abs(array)) * 10.0**2 > _LIMIT):
            raise _too_large()
        for decimals in range(MAX_DECIMALS + 1):
            scaled = array * 10.0**decimals
            whole = np.rint(scaled)
            if decimals == MAX_DECIMALS or np.all(np.abs(scaled - whole) <= 4e-15 * np.abs(scaled)):
                break
        if array.size and np.max(np.abs(whole)) > _LIMIT:
            raise _too_large()
        return cls(whole.astype(np.int64), decimals)

    def __len__(self) -> int:
        return len(self.minor)

    def take(self, rows: Any) -> "Amounts":
        """Only these rows."""
        return Amounts(self.minor[rows], self.decimals)

    def at_scale(self, decimals: int) -> IntColumn:
        """The amounts in units of 10**-decimals, which must be as fine as these are."""
        factor = 10 ** (decimals - self.decimals)
        if self.minor.size and int(np.max(np.abs(self.minor))) * factor > _LIMIT:
            raise _too_large()
        return read_only(self.minor * factor)

    def joined(self, other: "Amounts") -> "Amounts":
        """These rows, then the other's, at the finer of the two scales."""
        decimals = max(self.decimals, other.decimals)
        return Amounts(np.concatenate([self.at_scale(decimals), other.at_scale(decimals)]), decimals)

    def times(self, rate: float) -> "Amounts":
        """Each amount times a rate, rounded to six decimals: how a margin rate becomes a margin."""
        exact = Decimal(str(rate))
        finer = min(MAX_DECIMALS, self.decimals + max(0, -int(exact.as_tuple().exponent)))
        scaled = np.rint(self.minor * (float(exact) * 10 ** (finer - self.decimals)))
        if scaled.size and np.max(np.abs(scaled)) > _LIMIT:
            raise _too_large()
        return Amounts(scaled.astype(np.int64), finer)

    def minus(self, other: "Amounts") -> "Amounts":
        """Row by row difference, exact."""
        decimals = max(self.decimals, other.decimals)
        return Amounts(self.at_scale(decimals) - other.at_scale(decimals), decimals)

    def refuse_overflow(self) -> None:
        """Raise if some sum of these amounts might not fit into whole numbers of 64 bits."""
        if self.minor.size and float(np.abs(self.minor.astype(np.float64)).sum()) > _LIMIT:
            raise _too_large()

    def total(self, where: NDArray[np.bool_] | None = None) -> Decimal:
        """The exact sum."""
        minor = self.minor if where is None else self.minor[where]
        high, low = minor >> 32, minor & 0xFFFFFFFF
        exact = (int(high.sum()) << 32) + int(low.sum())
        return Decimal(exact).scaleb(-self.decimals)

    def by_group(self, codes: NDArray[np.integer[Any]], groups: int) -> IntColumn:
        """Exact sums per group, in units of 10**-decimals."""
        sums = np.zeros(groups, dtype=np.int64)
        np.add.at(sums, codes, self.minor)
        return sums

    def exact(self, position: int) -> Decimal:
        """One amount."""
        return Decimal(int(self.minor[position])).scaleb(-self.decimals)

    def to_float(self) -> FloatColumn:
        """The border: exact amounts become float64."""
        amounts: FloatColumn = self.minor / 10.0**self.decimals
        amounts.flags.writeable = False  # nobody else has it yet: no need to copy it
        return amounts


def _checked(minor: list[int]) -> IntColumn:
    if minor and max(abs(v) for v in minor) > _LIMIT:
        raise _too_large()
    return np.asarray(minor, dtype=np.int64)


def _too_large() -> ReadError:
    return ReadError(
        "amounts beyond what exact money can hold",
        rule="amounts are finite and all of them together below 4e12 with six decimals (4e18 without)",
        remedy="set absurd amounts aside, or read the file in thousands",
    )
