"""What each customer needs next, and when: a clock for every customer and category."""

import datetime as dt
import math

from retention.errors import ConfigError
from retention.records import TransactionLog
from retention.timing.needs.purchases import Purchases
from retention.timing.needs.tables import CategoryClocks, Needs
from retention.value.asked import checked_interval, holds

__all__ = ["category_clocks", "next_needs"]


def category_clocks(log: TransactionLog, *, as_of: str | dt.date, sure: float = 0.9) -> CategoryClocks:
    """How long each category lasts, learned from all gaps and present silences up to ``as_of``.

    A category has a replenishment cycle if who buys it for the first time buys it again more likely than not, and if
    with probability ``sure`` more than half of those with three gaps or more have a cycle in it: gaps more even than
    those of somebody who takes it on any visit at random (gamma shape ``Rhythm.CYCLE`` or more, in whole visits).

    If the log says how much was bought, gaps after larger purchases may be longer. That is tested within customers, and
    used where it shows at three standard errors.

    Raises:
        ConfigError: a log without categories or purchases by then, ``sure`` out of range.

    Example:
        >>> from retention.worlds import Pantry
        >>> world = Pantry(customers=150, seed=1).simulate()
        >>> clocks = category_clocks(world.log, as_of=world.as_of)
        >>> dict(zip(clocks.category.tolist(), clocks.has_cycle.tolist()))["Teapot"]
        False
    """
    return Purchases.read(log, as_of).clocks(sure)


def next_needs(
    log: TransactionLog,
    *,
    as_of: str | dt.date,
    days: float = 14,
    window: tuple[float, float] = (0.25, 0.75),
    sure: float = 0.9,
    interval: float = 0.90,
    clocks: CategoryClocks | None = None,
) -> Needs:
    """What each customer needs next and when, from her own gaps in each category and everybody's.

    Every customer and category is a clock (log-t renewal with drop-out, as :class:`Rhythm`): her gaps in it, pooled
    with those of the category, pooled with those of all. *Which* category comes next is decided at her next visit,
    where they compete: the odds that it holds one are made of its popularity, her own share of it, her clock, and, for
    what she never bought, what those buy who buy what she buys. How much each counts is learned from the
    base itself: each one's latest visit is predicted from the middle of the gap before it (``Needs.weights``).

    Args:
        log: with categories; lines without one count as visits only.
        as_of: the last day that is known.
        days: horizon of ``p_due``.
        window: shares of her gaps after which a window opens and closes.
        sure: how sure one must be that a need comes due before a window is named.
        interval: of the bounds on her usual gap.
        clocks: given ones (of all the log's categories); None learns them.

    Raises:
        ConfigError: a log without categories or purchases by then, an argument out of range.

    Example:
        >>> from retention.worlds import Pantry
        >>> world = Pantry(customers=150, seed=1).simulate()
        >>> needs = next_needs(world.log, as_of=world.as_of)
        >>> str(needs.reminders().reason[0])
        'Soap: what she bought usually lasts her 65 days; that was 64 days ago'
        >>> len(needs.top(3)) == 3 * len(set(needs.customer_id.tolist()))
        True
    """
    if not holds(lambda: 0 < window[0] < window[1] < 1 and len(window) == 2 and 0 < sure < 1 and 0 < days < math.inf):
        raise ConfigError(
            f"window={window!r}, sure={sure!r}, days={days!r}",
            rule="a window runs between two shares of her gaps, and a horizon is some days",
            remedy="window=(0.25, 0.75), sure=0.9, days=14",
        )
    checked_interval(interval)
    if not (clocks is None or isinstance(clocks, CategoryClocks)):
        raise ConfigError(
            f"clocks={type(clocks).__name__}",
            rule="clocks are those of category_clocks",
            remedy="clocks=None learns them",
        )
    records = Purchases.read(log, as_of)
    rhythm = records.rhythm()
    learned = records.clocks(sure, rhythm) if clocks is None else clocks
    return records.needs(rhythm, learned, days, window, sure, interval)
