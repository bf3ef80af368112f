"""Days: the one way in which a date given by a caller becomes a ``datetime.date``."""

import datetime as dt
from typing import Any

from retention.errors import ConfigError

__all__ = ["as_day"]


def as_day(value: Any, *, name: str = "as_of") -> dt.date:
    """A calendar day from an ISO text, a date, a datetime or anything with an ``item()`` that is one of these.

    The clock is never read: a day that matters is always given.

    Example:
        >>> as_day("2011-12-01")
        datetime.date(2011, 12, 1)
    """
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, dt.datetime):
        return plain.date()
    if isinstance(plain, dt.date):
        return plain
    if isinstance(plain, str):
        try:
            return dt.datetime.fromisoformat(plain.strip()).date()
        except ValueError:
            pass
    raise ConfigError(
        f"{name}={value!r}",
        rule="a day is an ISO date such as '2011-12-01', a date or a datetime",
        remedy=f"pass {name} as year-month-day; it is never read from the clock",
    )
