"""One dated money event."""

import datetime as dt
from decimal import Decimal

from attrs import field, frozen

from retention.domain._checks import not_blank

__all__ = ["Transaction"]


@frozen(kw_only=True)
class Transaction:
    """One line of a receipt: who, when, how much, and what was left after the cost of goods.

    Money is exact here (``Decimal``); returns and credit notes are negative lines.

    Example:
        >>> t = Transaction(customer_id="7", at=dt.datetime(2011, 12, 1), revenue=Decimal("-4.50"))
        >>> t.is_return
        True
    """

    customer_id: str = field(validator=not_blank)
    at: dt.datetime
    revenue: Decimal
    margin: Decimal | None = None
    order: str | None = None
    category: str | None = None
    quantity: Decimal | None = None

    @property
    def is_return(self) -> bool:
        """Whether the line takes goods or money back."""
        return self.revenue < 0 or (self.quantity is not None and self.quantity < 0)
