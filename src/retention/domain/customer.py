"""Who buys, what she allowed, whom she brought, and what binds her."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from attrs import field, frozen

from retention.domain._checks import not_blank
from retention.domain.transaction import Transaction

__all__ = ["Customer", "Consent", "Referral", "Contract"]


@frozen(kw_only=True)
class Customer:
    """One customer (member, donor, account) as people and plugins talk about her.

    Example:
        >>> Customer(id="12347").id
        '12347'
    """

    id: str = field(validator=not_blank)
    transactions: tuple[Transaction, ...] = ()
    attributes: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class Consent:
    """A recorded permission (or its withdrawal) by channel and purpose.

    No record means no: channels that need consent are closed until a ``granted=True`` is on file.
    """

    customer_id: str = field(validator=not_blank)
    channel: str = field(validator=not_blank)
    purpose: str = "marketing"
    granted: bool = True
    at: dt.date | None = None


@frozen(kw_only=True)
class Referral:
    """Who brought whom, and how they are tied (friend, family, co-worker)."""

    referrer_id: str = field(validator=not_blank)
    referred_id: str = field(validator=not_blank)
    at: dt.date | None = None
    tie: str | None = None


@frozen(kw_only=True)
class Contract:
    """A relationship whose end is seen: start, end and the stated reason, as far as known."""

    customer_id: str = field(validator=not_blank)
    started: dt.date
    ended: dt.date | None = None
    reason: str | None = None
    margin_per_period: Decimal | None = None
