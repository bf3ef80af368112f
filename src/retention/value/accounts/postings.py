"""Dated amounts of customers that are no lines of the log."""

from decimal import Decimal
from typing import Any, Self

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.frames.coded import Coded
from retention.frames.table import read_only
from retention.records.money import Amounts

__all__ = ["Postings"]


@frozen(eq=False)
class Postings:
    """Dated amounts of customers that are no lines of the log: service calls, credited referrals.

    Example:
        >>> Postings.of(customer_id=["a", "a"], at=["2011-03-01", "2011-04-01"], amount=["4.50", "5.50"]).total()
        Decimal('10.00')
    """

    customers: Coded
    day: NDArray[np.datetime64] = field(converter=read_only)
    amounts: Amounts

    @classmethod
    def of(cls, *, customer_id: Any, at: Any, amount: Any) -> Self:
        """Postings from one id, one ISO day and one exact amount each."""
        customers, amounts = Coded.of(customer_id), exact_amounts(amount, "amount")
        try:
            day = np.asarray(at, dtype="datetime64[D]")
        except (ValueError, TypeError):
            day = np.full(1, np.datetime64("NaT", "D"))
        if np.any(np.isnat(day)):
            raise ConfigError("postings with a date that is none", rule="at holds ISO days", remedy="mend the dates")
        if not len(customers) == len(day) == len(amounts):
            raise ConfigError(
                f"postings of lengths {len(customers)}, {len(day)} and {len(amounts)}",
                rule="each posting has a customer, a day and an amount",
                remedy="pass three columns of one length",
            )
        return cls(customers, day, amounts)

    def total(self) -> Decimal:
        """The exact sum."""
        return self.amounts.total()


def exact_amounts(values: Any, name: str) -> Amounts:
    """Amounts, or one clear error that names the argument."""
    try:
        return Amounts.of(values)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{name} holds what is no amount ({type(error).__name__})",
            rule="amounts are ints, floats, decimals or decimal text, all finite",
            remedy=f"mend the values of {name}",
        ) from None
