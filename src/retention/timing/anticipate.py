"""When each customer is due, whether she is late on her own clock, and what is at stake each day."""

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.frames.table import FloatColumn
from retention.frames.texts import Labels
from retention.histories import Histories
from retention.timing.backtest import Clock, FittedClock
from retention.timing.clocks import fitted_clock, read_clock
from retention.timing.cycle import LOOKING, NAMES, NO_CYCLE
from retention.timing.outlook import Outlook
from retention.timing.rhythm import Rhythm
from retention.value.asked import holds

__all__ = ["anticipate"]

_DAYS_TO_ACT = 14
_BLOCK = 65_536  # customers at a time: temporaries stay in cache and memory stays flat


def anticipate(
    histories: Histories, *, clock: Clock | FittedClock | None = None, tail: float = 0.05, least_gaps: int = 2
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
    to the as-of date) and one typical gap of the base, which stands for the gap that her last purchase opened (her own
    usual gap where the clock has no typical one); 0 if returns outweigh what she brought.
    ``at_risk_per_day`` is that times the probability that she still comes, for overdue customers only: what leaves
    if she does. Who has surely left no longer counts, because there is nothing left to lose.

    Args:
        histories: the base on the as-of date.
        clock: what tells her time: None fits the log-t clock (:class:`LogT`) to this base; any other recipe (every
            purchase model is one) is fitted to it too; a fitted clock is taken as it is. One that has no gaps of its
            own is read as :func:`retention.timing.clocks.read_clock` says, and nobody has a cycle by it.
        tail: probability below which a silence is unusual; also the share of false alarms per gap
            that is no pause (of all gaps of who skips turns as the default clock has it, about twice as many).
        least_gaps: gaps of her own that a customer needs before she can be overdue.

    Returns:
        An Outlook in the order of ``histories``; days are whole, dates NaT where ``last_at`` is.

    Raises:
        ConfigError: ``tail`` outside (0, 1), or a clock that is none.
        ModelError: a clock whose answers are not one probability a customer.
        RetentionError: with the log-t clock, histories without ``gap_log_sum`` and ``gap_log_squares``;
            :func:`summarize` fills them.

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
    fitted, name = fitted_clock(clock, histories)
    told = _Columns(len(histories))
    for start in range(0, max(len(histories), 1), _BLOCK):
        rows = slice(start, start + _BLOCK)
        told.put(rows, _part(histories[rows], fitted, name, tail, least_gaps))
    learned = attrs.asdict(fitted) if isinstance(fitted, Rhythm) else dict(getattr(fitted, "params", {}))
    return Outlook(
        customer_id=histories.customer_id,
        **told.settled(),
        tail=tail,
        currency=histories.currency,
        provenance=attrs.evolve(histories.provenance, model=name, parameters=learned),
    )


def _part(h: Histories, clock: FittedClock, name: str, tail: float, least_gaps: int) -> dict[str, Any]:
    """The columns of some customers; ``stage`` as a place in ``NAMES``."""
    told, idle = read_clock(clock, h, name), h.idle_days
    overdue = (told.silence <= tail) & (h.frequency >= least_gaps)
    as_of = h.last_at + _whole_days(idle)
    opens, next_due, closes = (h.last_at + _whole_days(days) for days in told.due)
    late, stage = overdue, np.full(len(h), NAMES.tolist().index(NO_CYCLE), np.int8)
    if (place := told.place) is not None:
        stage, late = place.stage, overdue | (NAMES[place.stage] == LOOKING)
        has = np.flatnonzero(place.has_cycle)
        opens[has] = h.last_at[has] + _whole_days(place.opens_days[has])
        closes[has] = h.last_at[has] + _whole_days(place.closes_days[has])
    opens, closes = np.where(late, as_of, opens), np.where(late, as_of + np.timedelta64(_DAYS_TO_ACT, "D"), closes)
    seen = np.where(h.frequency > 0, h.recency_days, h.age_days)
    per_day = np.maximum(h.margin, 0.0) / (seen + told.gap_after_last)
    low, usual, high = told.gap
    return {
        "usual_gap_days": usual,
        "gap_low_days": low,
        "gap_high_days": high,
        "idle_days": idle,
        "silence_probability": told.silence,
        "overdue": overdue,
        "stage": stage,
        "p_alive": told.p_alive,
        "p_leaves": told.p_leaves,
        "next_due_at": next_due,
        "window_opens_at": opens,
        "window_closes_at": np.maximum(opens, closes),
        "margin_per_day": per_day,
        "at_risk_per_day": np.where(overdue, per_day * told.p_alive, 0.0),
    }


class _Columns:
    """Columns that are filled part by part and then never change: so they need no copy, and no second memory."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.known: dict[str, NDArray[Any]] = {}

    def put(self, rows: slice, part: Mapping[str, NDArray[Any]]) -> None:
        for name, values in part.items():
            if name not in self.known:
                self.known[name] = np.empty(self.rows, values.dtype)
            self.known[name][rows] = values

    def settled(self) -> dict[str, Any]:
        """The columns, that nobody can write to; the stage by its name."""
        for values in self.known.values():
            values.flags.writeable = False
        return self.known | {"stage": Labels(self.known["stage"], NAMES)}


def _whole_days(days: FloatColumn) -> NDArray[np.timedelta64]:
    return np.rint(days).astype("timedelta64[D]")
