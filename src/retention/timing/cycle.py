"""Where each customer stands between two purchases: just bought, settled, itching or looking, on her own clock."""

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, Table, TextColumn, column
from retention.histories import Histories
from retention.timing.rhythm import Rhythm
from retention.value.asked import holds

if TYPE_CHECKING:
    from retention.timing.clocks import CyclicClock

__all__ = [
    "BOUNDS",
    "ITCHING",
    "LOOKING",
    "NAMES",
    "NO_CYCLE",
    "STAGES",
    "Cycle",
    "CycleBands",
    "Place",
    "cycle",
    "place_of",
]

STAGES = (JUST_BOUGHT, SETTLED, ITCHING, LOOKING) = ("just bought", "settled", "itching", "looking")
"""The stages in order; each begins where the one before ends."""

NO_CYCLE = "no cycle"
"""The stage of who has no clock to stand on: too few purchases, or none that waiting says anything about."""

BOUNDS = (0.05, 0.25, 0.75)
"""The risks of shopping around at which a stage ends and the next begins."""

_LEAST_GAPS, _SURE = 3, 0.9
_MOST_DAYS = 36_500.0

NAMES = np.array([*STAGES, NO_CYCLE])
"""The stages, and last what stands in for one."""


@frozen(eq=False, repr=False, kw_only=True)
class CycleBands(Table):
    """One row a stage of one customer: from when to when after a purchase it lasts, in days and in her usual gaps."""

    key = "stage"

    stage: TextColumn = column("just bought, settled, itching or looking")
    from_days: FloatColumn = column("begins so many days after a purchase", unit="days")
    to_days: FloatColumn = column("ends so many days after it", unit="days")
    from_gaps: FloatColumn = column("the same in her own usual gaps", unit="gaps")
    to_gaps: FloatColumn = column("the same in her own usual gaps", unit="gaps")


@frozen(eq=False, repr=False, kw_only=True)
class Cycle(Table):
    """One row a customer: how long her usual gap is and how even, how far into it she is, and the window.

    ``p_looking`` is the risk that she is shopping around by now: the share of her own gaps that would have ended by
    today. She is *just bought* while it is below the first bound, then *settled*, then *itching*, and *looking* beyond
    the third. The window for the next contact opens where *itching* begins and closes where *looking* begins: before
    that a contact is early, after it somebody else may have answered her need. Who has no cycle has stage "no cycle",
    and a window in time only because the base's clock has one.
    """

    customer_id: TextColumn = column("who")
    stage: TextColumn = column("just bought, settled, itching, looking; or no cycle")
    has_cycle: BoolColumn = column("whether her purchases come due at all")
    usual_gap_days: FloatColumn = column("her usual gap", unit="days")
    usual_low_days: FloatColumn = column("lower bound of it", unit="days")
    usual_high_days: FloatColumn = column("upper bound of it", unit="days")
    regularity: FloatColumn = column("how even her gaps are: 1 is Poisson, 12 a clock")
    regularity_low: FloatColumn = column("lower bound of it")
    regularity_high: FloatColumn = column("upper bound of it")
    idle_days: FloatColumn = column("since her last purchase", unit="days")
    idle_gaps: FloatColumn = column("the same in her own usual gaps", unit="gaps")
    p_looking: FloatColumn = column("risk that she is shopping around by now")
    p_alive: FloatColumn = column("probability that she still comes")
    settles_days: FloatColumn = column("just bought ends so many days after a purchase", unit="days")
    opens_days: FloatColumn = column("the window opens so many days after a purchase", unit="days")
    closes_days: FloatColumn = column("the window closes so many days after it", unit="days")
    window_opens_at: DayColumn = column("first day of the window")
    window_closes_at: DayColumn = column("last day of the window")

    bounds: tuple[float, float, float]
    interval: float

    def bands(self, customer_id: object) -> CycleBands:
        """One customer's stages: the table behind the picture; *looking* is shown up to twice where it begins."""
        i = self.position(customer_id)
        edges = [0.0, *(float(v[i]) for v in (self.settles_days, self.opens_days, self.closes_days))]
        edges.append(max(2.0 * edges[-1], 1.1 * float(self.idle_days[i])))
        unit = float(self.usual_gap_days[i])
        start, end = np.array(edges[:-1]), np.array(edges[1:])
        return CycleBands(
            stage=np.asarray(STAGES), from_days=start, to_days=end, from_gaps=start / unit, to_gaps=end / unit,
            provenance=self.provenance,
        )  # fmt: skip

    def picture(self, customer_id: object, ax: Any = None) -> Any:
        """You are here: time since her last purchase in her own gaps, the bands, the window, a dot for today."""
        bands, i = self.bands(customer_id), self.position(customer_id)
        ax = axes(ax, size=(8.0, 1.9))
        for k, stage in enumerate(STAGES):
            a, b = float(bands.from_gaps[k]), float(bands.to_gaps[k])
            ax.barh(0.0, b - a, left=a, height=0.5, color=f"C{(2, 0, 1, 3)[k]}", alpha=0.35 + 0.12 * k, label=stage)
            ax.text((a + b) / 2, 0.0, stage, ha="center", va="center", fontsize=9)
        ax.barh(
            -0.36,
            float(bands.to_gaps[2] - bands.from_gaps[2]),
            left=float(bands.from_gaps[2]),
            height=0.08,
            color="0.2",
        )
        ax.text(float(bands.from_gaps[2]), -0.5, "window", ha="left", va="top", fontsize=8, color="0.2")
        ax.plot([float(self.idle_gaps[i])], [0.36], "v", color="black", markersize=9, label="today")
        ax.text(float(self.idle_gaps[i]), 0.47, "today", ha="center", va="bottom", fontsize=8)
        ax.set(xlabel=f"time since her last purchase, in her own usual gaps ({self.usual_gap_days[i]:,.0f} days)")
        ax.set(yticks=[], ylim=(-0.75, 0.75), xlim=(0.0, float(bands.to_gaps[-1])))
        ax.spines[["left", "right", "top"]].set_visible(False)
        if not self.has_cycle[i]:
            ax.set_title("no cycle of her own: the base's clock", fontsize=9, loc="left")
        return ax

    def __repr__(self) -> str:
        counts = ", ".join(f"{int((self.stage == s).sum()):,} {s}" for s in (*STAGES, NO_CYCLE))
        return f"<Cycle: {len(self):,} customers: {counts}>"


class Place(NamedTuple):
    """Where each customer stands by her cycle: her stage, a place in ``NAMES``; whether she has a cycle; and from when
    to when after a purchase the window lasts, in days, of those who have one."""

    stage: NDArray[np.int8]
    has_cycle: BoolColumn
    opens_days: FloatColumn
    closes_days: FloatColumn


def place_of(clock: "Rhythm | CyclicClock", h: Histories, silence: FloatColumn) -> Place:
    """What an outlook needs of ``cycle``, and no more: a Rhythm is asked for windows only of those who have them.

    ``silence`` is the clock's own.
    """
    if not isinstance(clock, Rhythm):
        told = cycle(h, rhythm=clock)
        return Place(_stage(told.p_looking, told.has_cycle), told.has_cycle, told.opens_days, told.closes_days)
    some = np.flatnonzero(h.frequency >= _LEAST_GAPS)
    some = some[clock._surely_regular(h, some, _SURE)]
    has, opens, closes = np.zeros(len(h), dtype=bool), np.zeros(len(h)), np.zeros(len(h))
    has[some] = True
    hers = h.take(some)
    for days, bound in ((opens, BOUNDS[1]), (closes, BOUNDS[2])):
        days[some] = np.minimum(clock.gap_exceeded(hers, 1.0 - bound), _MOST_DAYS)
    return Place(_stage(1.0 - silence, has), has, opens, closes)


def _stage(looking: FloatColumn, has: BoolColumn, bounds: tuple[float, float, float] = BOUNDS) -> NDArray[np.int8]:
    stage = np.zeros(len(looking), np.int8)
    for bound in bounds:
        stage += looking >= bound
    stage[~has] = len(STAGES)
    return stage


def cycle(
    histories: Histories,
    *,
    rhythm: "Rhythm | CyclicClock | None" = None,
    bounds: tuple[float, float, float] = BOUNDS,
    least_gaps: int = _LEAST_GAPS,
    sure: float = _SURE,
    interval: float = 0.90,
) -> Cycle:
    """Each customer's stage between two purchases, judged on her own clock.

    A customer has a cycle if she has ``least_gaps`` gaps and is, with probability ``sure``, more regular than
    ``Rhythm.CYCLE``: for a Poisson buyer the next purchase is as likely tomorrow as it was the day after the last, and
    no date is better than another. ``bounds`` are the risks of shopping around at which *just bought*, *settled* and
    *itching* end.

    ``rhythm`` is a population of clocks, None fits them on this base; any clock that has their methods will do.

    Raises:
        ConfigError: an argument out of range.
        RetentionError: histories without log gaps.

    Example:
        >>> even = np.log([20.0, 21, 19, 20, 22, 18, 20, 20])
        >>> base = Histories.from_arrays(frequency=[8] * 4, recency_days=[160] * 4, age_days=[163, 174, 180, 195],
        ...     gap_log_sum=[even.sum()] * 4, gap_log_squares=[(even**2).sum()] * 4)
        >>> clock = Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.6, a=0.5, b=4.0, typical_gap_days=20.0)
        >>> cycle(base, rhythm=clock)["stage"].tolist()
        ['just bought', 'settled', 'itching', 'looking']
    """
    if not holds(
        lambda: (
            len(bounds) == 3
            and 0 < bounds[0] < bounds[1] < bounds[2] < 1
            and 0 < sure < 1
            and 0 < interval < 1
            and least_gaps >= 0
        )
    ):
        raise ConfigError(
            f"bounds={bounds!r}, sure={sure!r}, interval={interval!r}, least_gaps={least_gaps!r}",
            rule="bounds rise between 0 and 1, the others are probabilities, gaps are counted",
            remedy="bounds=(0.05, 0.25, 0.75), sure=0.9, interval=0.90, least_gaps=3",
        )
    clock: Any = Rhythm.fit(histories) if rhythm is None else rhythm
    h = histories
    looking = 1.0 - clock.silence(h)
    low, usual, high = clock.usual_gap(h, interval)
    even = clock.regularity(h, interval)
    has = (h.frequency >= least_gaps) & (even.above >= sure)
    settles, opens, closes = (np.minimum(clock.gap_exceeded(h, 1.0 - b), _MOST_DAYS) for b in bounds)
    ours = isinstance(clock, Rhythm)
    name = "log-t renewal" if ours else str(getattr(clock, "name", type(clock).__name__))
    learned = attrs.asdict(clock) if ours else dict(getattr(clock, "params", {}))
    whole = [np.rint(days).astype("timedelta64[D]") for days in (opens, closes)]
    return Cycle(
        customer_id=h.customer_id,
        stage=NAMES[_stage(looking, has, bounds)],
        has_cycle=has,
        usual_gap_days=usual,
        usual_low_days=low,
        usual_high_days=high,
        regularity=even.value,
        regularity_low=even.low,
        regularity_high=even.high,
        idle_days=h.idle_days,
        idle_gaps=h.idle_days / usual,
        p_looking=looking,
        p_alive=clock.p_alive(h),
        settles_days=settles,
        opens_days=opens,
        closes_days=closes,
        window_opens_at=h.last_at + whole[0],
        window_closes_at=h.last_at + whole[1],
        bounds=(float(bounds[0]), float(bounds[1]), float(bounds[2])),
        interval=float(interval),
        provenance=attrs.evolve(h.provenance, model=name, parameters=learned),
    )
