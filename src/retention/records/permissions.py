"""Consents on file: who allowed which channel for which purpose, and when she took it back."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from attrs import frozen

from retention.domain import Consent
from retention.frames.table import BoolColumn, DayColumn, Table, TextColumn, column

__all__ = ["Consents"]


@frozen(eq=False, repr=False, kw_only=True)
class Consents(Table):
    """One row a recorded permission or withdrawal; the latest on or before a day counts, a withdrawal wins a tie.

    A record without a date counts as older than any dated one. Channels and purposes are the same in capitals.

    Example:
        >>> c = Consents.of([Consent(customer_id="7", channel="email"),
        ...                  Consent(customer_id="7", channel="email", granted=False, at=dt.date(2011, 5, 1))])
        >>> c.granted_to("email", on=dt.date(2011, 4, 30)), c.granted_to("email", on=dt.date(2011, 5, 1))
        (frozenset({'7'}), frozenset())
    """

    customer_id: TextColumn = column("who")
    channel: TextColumn = column("phone, email, ...")
    purpose: TextColumn = column("what for")
    granted: BoolColumn = column("permission given (True) or taken back (False)")
    at: DayColumn = column("from which day; NaT if unknown")

    @classmethod
    def of(cls, consents: Iterable[Consent]) -> Self:
        """Lift single consents into columns."""
        listed = list(consents)
        return cls.from_arrays(
            **{
                name: [getattr(c, name) for c in listed]
                for name in ("customer_id", "channel", "purpose", "granted", "at")
            }
        )

    @classmethod
    def from_arrays(
        cls, *, customer_id: Any, channel: Any, purpose: Any = None, granted: Any = None, at: Any = None
    ) -> Self:
        """Consents from equal-length arrays; by default granted, for marketing, of unknown date."""
        who = np.asarray(customer_id, dtype=np.str_)
        n = len(who)
        days = [None] * n if at is None else list(at)
        return cls(
            customer_id=who,
            channel=_folded(channel),
            purpose=np.full(n, "marketing") if purpose is None else _folded(purpose),
            granted=np.ones(n, dtype=bool) if granted is None else np.asarray(granted, dtype=bool),
            at=np.asarray([np.datetime64("NaT", "D") if d is None else d for d in days], dtype="datetime64[D]"),
        )

    def joined(self, other: "Consents") -> "Consents":
        """All records of both; of two that say the same one is as good as two."""
        theirs = other.columns()
        both: dict[str, Any] = {n: np.concatenate([mine, theirs[n]]) for n, mine in self.columns().items()}
        return Consents(**both)

    def granted_to(self, channel: str, *, on: dt.date, purpose: str = "marketing") -> frozenset[str]:
        """The customers who may be contacted through a channel for a purpose on a day."""
        day = np.datetime64(on, "D")
        known = np.isnat(self.at) | (self.at <= day)
        here = np.flatnonzero(known & (self.channel == channel.lower()) & (self.purpose == purpose.lower()))
        when = np.where(np.isnat(self.at[here]), np.iinfo(np.int64).min + 1, self.at[here].astype(np.int64))
        order = here[np.lexsort((~self.granted[here], when))]
        latest = {str(self.customer_id[row]): bool(self.granted[row]) for row in order}
        return frozenset(who for who, granted in latest.items() if granted)


def _folded(words: Any) -> TextColumn:
    """A withdrawal for "E-Mail" must end a permission for "e-mail"."""
    return np.char.lower(np.char.strip(np.asarray(words, dtype=np.str_)))
