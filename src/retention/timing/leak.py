"""Money that leaves each day: valuable customers, late on their own clock, whom nobody has touched."""

import datetime as dt
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.table import DayColumn, FloatColumn, Table, TextColumn, column
from retention.records.touches import Touches
from retention.timing.outlook import Outlook

__all__ = ["Leak", "leak"]


@frozen(eq=False, repr=False, kw_only=True)
class Leak(Table):
    """The customers through whom margin leaves, most a day first; ``per_day`` is the sum over the names listed."""

    customer_id: TextColumn = column("who")
    at_risk_per_day: FloatColumn = column("margin a day at stake", unit="money/day")
    margin_per_day: FloatColumn = column("what she brings a day while she comes", unit="money/day")
    p_alive: FloatColumn = column("probability that she still comes")
    idle_days: FloatColumn = column("since her last purchase", unit="days")
    usual_gap_days: FloatColumn = column("her usual gap", unit="days")
    window_closes_at: DayColumn = column("last day of the contact window")

    as_of: dt.date
    currency: str | None = None

    @property
    def per_day(self) -> float:
        """Margin a day at stake: the sum over the list."""
        return float(self.at_risk_per_day.sum())

    def __repr__(self) -> str:
        money = f"{self.per_day:,.2f} {self.currency or ''}".strip()
        return f"<Leak: {money} a day through {len(self):,} overdue valuable customers whom nobody touched>"


def leak(
    outlook: Outlook,
    *,
    as_of: dt.date,
    touches: Touches | None = None,
    valuable_share: float = 0.5,
    untouched_days: int = 90,
) -> Leak:
    """Margin at stake each day among valuable, overdue, untouched customers, and their names.

    Args:
        outlook: everyone's clock on the as-of date.
        as_of: the outlook's day.
        touches: contacts so far; without any contact log everyone counts as untouched.
        valuable_share: the share of customers, by what they bring a day while they come, that counts as valuable.
        untouched_days: a contact within so many days before ``as_of`` takes a customer off the list.

    Returns:
        A Leak, most at stake first; ``per_day`` in money a day.

    Raises:
        ConfigError: ``valuable_share`` outside (0, 1].

    Example:
        >>> from retention.histories import Histories
        >>> from retention.timing import anticipate
        >>> base = Histories.from_arrays(frequency=[10, 10], recency_days=[70, 70], age_days=[77, 130],
        ...     margin=[110, 110], gap_log_sum=[19.459, 19.459], gap_log_squares=[37.866, 37.866])
        >>> leak(anticipate(base), as_of=dt.date(2011, 12, 1))["customer_id"].tolist()
        ['c1']
    """
    if not 0.0 < valuable_share <= 1.0:
        raise ConfigError(
            f"valuable_share={valuable_share!r}", rule="a share in (0, 1]", remedy="0.5 counts the better half"
        )
    listed: Any = outlook.at_risk_per_day > 0
    if len(outlook):
        listed = listed & (outlook.margin_per_day >= np.quantile(outlook.margin_per_day, 1.0 - valuable_share))
    if touches is not None:
        day = np.datetime64(as_of, "D")
        recent = (touches.at <= day) & (touches.at > day - np.timedelta64(int(untouched_days), "D"))
        listed = listed & ~np.isin(outlook.customer_id, touches.customer_id[recent])
    rows = np.flatnonzero(listed)
    rows = rows[np.lexsort((outlook.customer_id[rows], -outlook.at_risk_per_day[rows]))]
    names = [f.name for f in attrs.fields(Leak) if f.metadata.get("column")]
    columns: dict[str, Any] = {name: outlook[name][rows] for name in names}
    return Leak(**columns, as_of=as_of, currency=outlook.currency, provenance=outlook.provenance)
