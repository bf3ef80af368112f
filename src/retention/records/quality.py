"""The account of a reading: what came in, what was kept, what was set aside and why, to the cent."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Self

from attrs import field, frozen

__all__ = ["Quality"]


@frozen(kw_only=True)
class Quality:
    """STUB to be replaced by the reading stage."""

    rows_in: int = 0
    rows_kept: int = 0
    money_in: Decimal = Decimal(0)
    money_kept: Decimal = Decimal(0)
    notes: Mapping[str, int] = field(factory=dict)

    @classmethod
    def clean(cls, *, rows: int, money: Decimal) -> Self:
        """Nothing set aside."""
        return cls(rows_in=rows, rows_kept=rows, money_in=money, money_kept=money)

    def __add__(self, other: "Quality") -> "Quality":
        return self
