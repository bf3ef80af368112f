"""When each customer is due, whether she is late on her own clock, and what is at stake each day."""

import attrs
import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.timing.cycle import LOOKING, cycle
from retention.timing.outlook import Outlook
from retention.timing.rhythm import Rhythm
from retention.value.asked import holds

__all__ = ["anticipate"]

_TEN_YEARS = 3650.0
_DAYS_TO_ACT = 14


def anticipate(
    histories: Histories, *, rhythm: Rhythm | None = None, tail: float = 0.05, least_gaps: int = 2
) -> Outlook:
    """Each customer's usual gap, whether she is overdue *for her*, the window for the next contact, what is at stake.

    A customer is overdue when a silence as long as hers would follow one of her purchases with a probability of at
    most ``tail`` if she still came; customers with fewer than ``least_gaps`` gaps have no clock of their own and
    are never called overdue.

    The window for the next contact is that of her cycle, from where she begins to itch to where she begins to look
    (:func:`retention.timing.cycle`). Who has no cycle has the first to the third quartile of her next purchase given
    her silence so far. Who is looking or overdue has the two weeks from the as-of date: late, and no day is better than
    the next. ``p_leaves`` is what is decided each time she comes into the market again: the probability that a purchase
    of hers is the last, by the base's rate of leaving and the times she came back.

    ``margin_per_day`` is her margin so far over the days from her first purchase to her last (for a one-time buyer,
    to the as-of date) and one typical gap of the base, which stands for the gap that her last purchase opened; 0 if
    returns outweigh what she brought.
    ``at_risk_per_day`` is that times the probability that she still comes, for overdue customers only: what leaves
    if she does. Who has surely left no longer counts, because there is nothing left to lose.

    Args:
        histories: the base on the as-of date.
        rhythm: given clocks; None fits them on this base.
        tail: probability below which a silence is unusual; also the share of false alarms per gap
            that is no pause (of all gaps of who skips turns as the default clock has it, about twice as many).
        least_gaps: gaps of her own that a customer needs before she can be overdue.

    Returns:
        An Outlook in the order of ``histories``; days are whole, dates NaT where ``last_at`` is.

    Raises:
        ConfigError: ``tail`` outside (0, 1).
        RetentionError: histories without ``gap_log_sum`` and ``gap_log_squares``; :func:`summarize` fills them.

    Example:
        >>> base = Histories.from_arrays(frequency=[10, 10], recency_days=[70, 70], age_days=[77, 130],
        ...     margin=[110, 110], gap_log_sum=[19.459, 19.459], gap_log_squares=[37.866, 37.866])
        >>> anticipate(base)["overdue"].tolist()
        [False, True]
    """
    if not holds(lambda: 0.0 < tail < 1.0 and least_gaps >= 0):
        raise ConfigError(
            f"tail={tail!r}, least_gaps={least_gaps!r}",
            rule="tail is a probability strictly between 0 and 1, gaps are counted",
            remedy="tail=0.05 and least_gaps=2 are usual",
        )
    clock = Rhythm.fit(histories) if rhythm is None else rhythm
    h = histories
    silence = clock.silence(h)
    overdue = (silence <= tail) & (h.frequency >= least_gaps)
    alive = clock.p_alive(h)
    place = cycle(h, rhythm=clock)

    def due(share: float) -> FloatColumn:
        """Days after the last purchase by which that share of her possible next purchases has come."""
        later = clock.gap_exceeded(h, silence * (1.0 - share))
        return np.clip(np.maximum(later, h.idle_days), 0.0, h.idle_days + _TEN_YEARS)

    as_of = h.last_at + _whole_days(h.idle_days)
    late = overdue | (place.stage == LOOKING)
    opens = np.where(place.has_cycle, place.window_opens_at, h.last_at + _whole_days(due(0.25)))
    closes = np.where(place.has_cycle, place.window_closes_at, h.last_at + _whole_days(due(0.75)))
    opens, closes = np.where(late, as_of, opens), np.where(late, as_of + np.timedelta64(_DAYS_TO_ACT, "D"), closes)
    seen = np.where(h.frequency > 0, h.recency_days, h.age_days)
    per_day = np.maximum(h.margin, 0.0) / (seen + clock.typical_gap_days)
    return Outlook(
        customer_id=h.customer_id,
        usual_gap_days=clock.gap_exceeded(h, 0.5),
        gap_low_days=clock.gap_exceeded(h, 0.75),
        gap_high_days=clock.gap_exceeded(h, 0.25),
        idle_days=h.idle_days,
        silence_probability=silence,
        overdue=overdue,
        stage=place.stage,
        p_alive=alive,
        p_leaves=clock.p_leaves(h),
        next_due_at=h.last_at + _whole_days(due(0.5)),
        window_opens_at=opens,
        window_closes_at=np.maximum(opens, closes),
        margin_per_day=per_day,
        at_risk_per_day=np.where(overdue, per_day * alive, 0.0),
        tail=tail,
        currency=h.currency,
        provenance=attrs.evolve(h.provenance, model="log-t renewal", parameters=attrs.asdict(clock)),
    )


def _whole_days(days: FloatColumn) -> NDArray[np.timedelta64]:
    return np.rint(days).astype("timedelta64[D]")
