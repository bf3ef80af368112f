"""A watch over all customers' habits, day by day, with a stated rate of false alarms."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ConfigError, RetentionError
from retention.frames.coded import Coded
from retention.frames.table import Provenance
from retention.histories import summarize
from retention.records import TransactionLog
from retention.timing.changes import AlarmMonths, ChangeAlerts, tell
from retention.timing.rhythm import Rhythm

if TYPE_CHECKING:
    from retention.timing._pace import Pace
    from retention.timing._watch import Alarm

__all__ = ["HABITS", "ChangeMonitor", "change_alerts"]

HABITS = {"silence": 0.3, "frequency": 0.4, "basket": 0.075, "margin": 0.075, "category": 0.075, "channel": 0.075}
"""The habits watched, and each one's part of the false alarms; habits that the data lack leave theirs to the others."""

_BLOCK = 50_000


class _Purchases(NamedTuple):
    """One row a customer and purchase day, sorted by both; codes of customers and kinds are those of the log."""

    row: NDArray[np.int64]
    day: NDArray[np.int64]
    values: dict[str, NDArray[np.float32]]

    def where(self, some: Any) -> "_Purchases":
        return _Purchases(self.row[some], self.day[some], {k: v[some] for k, v in self.values.items()})


class ChangeMonitor:
    """Remembers of each customer what a change would have to differ from; a day costs what its events cost.

    ``update`` takes the lines of the days since the last update and says which alarms they and the calendar raise. It
    costs in proportion to the purchase days among them, and one comparison a customer. Updates and a replay of the
    whole log (:func:`change_alerts`) raise the same alarms.

    An order counts as it was known on the evening of its day: what is undone later has counted.

    ``memory`` is how many of her last values each habit is judged by, and ``relative_to_base`` whether gaps are
    measured in the shop's time too (see :func:`change_alerts`). ``state`` and ``from_state`` carry the monitor
    over to the next day: plain numbers, text and arrays.

    Example:
        >>> clock = Rhythm(m0=2.3, kappa0=1.5, nu0=5.0, s0_squared=0.2, a=0.5, b=4.0, typical_gap_days=10.0)
        >>> monitor = ChangeMonitor(clock, habits=["silence", "frequency", "basket"])
        >>> days = np.datetime64("2020-01-01") + np.arange(0, 300, 10)
        >>> log = TransactionLog.from_arrays(customer_id=["a"] * 30, at=days, revenue=[20.0] * 30)
        >>> len(monitor.update(log, day="2020-12-09"))
        0
        >>> monitor.update(None, day="2020-12-10")["words"].tolist()
        ['used to come every 10 days, it has been 54; baskets are unchanged']
    """

    def __init__(
        self,
        rhythm: Rhythm,
        *,
        false_alarms_per_year: float = 0.01,
        habits: Sequence[str] | Mapping[str, float] = tuple(HABITS),
        memory: int = 64,
        relative_to_base: bool = True,
    ) -> None:
        self.rhythm = rhythm
        self.false_alarms_per_year = float(false_alarms_per_year)
        self.habits = _shares(habits)
        self.memory = memory
        if not (0 < false_alarms_per_year < 1 and 4 <= memory <= 1000 and memory == int(memory)):
            raise ConfigError(
                f"false_alarms_per_year={false_alarms_per_year!r}, memory={memory!r}",
                rule="false alarms a customer and year lie between 0 and 1; 4 to 1,000 values are remembered",
                remedy="false_alarms_per_year=0.01, memory=64",
            )
        from retention.timing._pace import Pace
        from retention.timing._watch import Watch

        self.day: dt.date | None = None
        self.relative_to_base = bool(relative_to_base)
        self._pace = Pace() if relative_to_base else None
        budget = {k: v * false_alarms_per_year for k, v in self.habits.items()}
        self._watch = Watch(rhythm, budget, int(memory), pace=self._pace)
        self._rows: dict[str, int] = {}
        self._names: list[str] = []
        self._kinds: dict[str, dict[str, int]] = {"category": {}, "channel": {}}

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<ChangeMonitor: {len(self):,} customers, until {self.day}, {', '.join(self.habits)}>"

    def update(self, lines: TransactionLog | None, *, day: str | dt.date) -> ChangeAlerts:
        """The alarms of the days after the last update up to the evening of ``day``; None for a day without lines.

        Raises RetentionError for lines outside those days.
        """
        today = as_day(day)
        until = int(np.datetime64(today, "D").astype(np.int64))
        before = None if self.day is None else int(np.datetime64(self.day, "D").astype(np.int64))
        found = None if lines is None or not len(lines) else _purchase_days(lines)
        days = np.zeros(0, np.int64) if found is None else found.day
        if (before is not None and until <= before) or (
            len(days) and (days.max() > until or (before is not None and days.min() <= before))
        ):
            raise RetentionError(
                f"an update to {today} of a monitor that stands at {self.day}",
                rule="days come in order, and lines belong to the days after the last update, up to day",
                remedy="pass the lines of the new days only, once",
            )
        alarms: list[Alarm] = []
        if found is not None and lines is not None:
            self._need(lines)
            rows = np.zeros(len(lines.customers.labels), np.int64)
            for code in np.unique(found.row):
                name = str(lines.customers.labels[code])
                if name not in self._rows:
                    self._rows[name] = len(self._names)
                    self._names.append(name)
                rows[code] = self._rows[name]
            self._watch.grow(len(self._rows))
            if self._pace is not None:
                self._pace.grow(len(self._rows))
            values = dict(found.values)
            for name, coded in (("category", lines.categories), ("channel", lines.channels)):
                if coded is not None and name in values:
                    known = self._kinds[name]
                    code_of = np.asarray([known.setdefault(str(k), len(known)) for k in coded.labels], np.float32)
                    values[name] = code_of[values[name].astype(np.int64)]
            order = np.lexsort((found.day, rows[found.row]))
            mine = _Purchases(rows[found.row], found.day, values).where(order)
            if self._pace is not None:
                self._pace.advance(mine.row, mine.day, until)
            alarms = self._watch.feed(mine.row, mine.day, mine.values, until)
        else:
            if self._pace is not None:
                self._pace.advance(days, days, until)
            alarms = self._watch.feed(days, days, {}, until)
        self.day = today
        start = before + 1 if before is not None else int(days.min()) if len(days) else until
        return tell(
            alarms,
            self._names,
            {name: list(kinds) for name, kinds in self._kinds.items()},
            rate=self.false_alarms_per_year,
            months=_months(
                alarms, self._watch.arrays["first"][: len(self)], start, until, self.false_alarms_per_year, self._pace
            ),
            provenance=Provenance(
                as_of=today.isoformat(), model="change monitor", parameters=attrs.asdict(self.rhythm)
            ),
        )

    def _need(self, lines: TransactionLog) -> None:
        for name, coded in (("category", lines.categories), ("channel", lines.channels)):
            if name in self.habits and coded is None:
                raise RetentionError(
                    f"a monitor of {name} given lines without one",
                    rule="lines have the columns whose habits are watched",
                    remedy=f"name the {name} column when reading, or leave {name!r} out of habits",
                )

    def state(self) -> dict[str, Any]:
        """All that is remembered, as plain numbers, text and arrays: ``numpy.savez`` can hold it, without pickle."""
        arrays = {f"array.{name}": values[: len(self)].copy() for name, values in self._watch.arrays.items()}
        if self._pace is not None:
            arrays |= {f"pace.{name}": values.copy() for name, values in self._pace.state(len(self)).items()}
        return {
            "rhythm": np.array([getattr(self.rhythm, name) for name in _CLOCK], dtype=np.float64),
            "false_alarms_per_year": self.false_alarms_per_year,
            "habits": np.asarray(list(self.habits), dtype=np.str_),
            "shares": np.asarray(list(self.habits.values())),
            "memory": self.memory,
            "day": "" if self.day is None else self.day.isoformat(),
            "customers": np.asarray(self._names, dtype=np.str_),
            **{f"kinds.{name}": np.asarray(list(kinds), dtype=np.str_) for name, kinds in self._kinds.items()},
            **arrays,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The monitor that ``state`` describes."""
        clock = Rhythm(**dict(zip(_CLOCK, np.asarray(state["rhythm"]).tolist(), strict=True)))
        shares = dict(zip(np.asarray(state["habits"]).tolist(), np.asarray(state["shares"]).tolist(), strict=True))
        monitor = cls(
            clock,
            false_alarms_per_year=float(state["false_alarms_per_year"]),
            habits=shares,
            memory=int(state["memory"]),
            relative_to_base="pace.ticks" in state,
        )
        monitor._names = [str(name) for name in np.asarray(state["customers"]).tolist()]
        monitor._rows = {name: i for i, name in enumerate(monitor._names)}
        monitor._kinds = {
            name: {str(k): i for i, k in enumerate(np.asarray(state[f"kinds.{name}"]).tolist())}
            for name in ("category", "channel")
        }
        monitor._watch.grow(len(monitor))
        for name, values in monitor._watch.arrays.items():
            values[: len(monitor)] = state[f"array.{name}"]
        if monitor._pace is not None:
            monitor._pace.restore(
                {name.removeprefix("pace."): state[name] for name in state if name.startswith("pace.")}
            )
        day = str(state["day"])
        monitor.day = dt.date.fromisoformat(day) if day else None
        return monitor


_CLOCK = ("m0", "kappa0", "nu0", "s0_squared", "a", "b", "typical_gap_days", "pause", "stretch")


def change_alerts(
    log: TransactionLog,
    *,
    as_of: str | dt.date,
    false_alarms_per_year: float = 0.01,
    since: str | dt.date | None = None,
    habits: Sequence[str] | Mapping[str, float] | None = None,
    rhythm: Rhythm | None = None,
    memory: int = 64,
    relative_to_base: bool = True,
) -> ChangeAlerts:
    """Who changed a habit, when it was known, and how: one row an alarm, up to the evening of ``as_of``.

    For a customer who changes nothing, all habits together raise at most ``false_alarms_per_year`` alarms a year. For
    frequency, basket and margin that rests on one thing: that her values might as well have come in another order; for
    category and channel, that her mix stays. Silence rests on the clock: that her gaps are no more erratic than it
    says, pauses included. The log is replayed day by day: nothing is used before it was known, but for the clock.

    Nobody is late because the shop is closed. Gaps and silences are measured by the calendar and once more in the
    shop's own time, whose days are as long as the base is busy on them, and an alarm needs both. Without a season the
    calendar is right and the bound is as exact as it is there; with one that everybody shares it is the shop's time,
    which is estimated (to one over the square root of the purchases expected on a day), and the bound is as good as
    that. A base of which fewer than five purchases a day can be expected goes by the calendar. What the whole base
    does is told by ``pace`` in ``months`` and by no alarm.

    Args:
        log: the transaction log.
        as_of: the last day that is known.
        false_alarms_per_year: the budget of one customer and year, all habits together.
        since: the first day whose alarms are told; all if None. Learning always starts with her first purchase.
        habits: which habits to watch, or the part of the budget of each; None for all that the log can show (a margin
            that is a fixed rate of revenue shows nothing).
        rhythm: the base's clock; None fits it on what was known before ``since``, or on the whole log.
        memory: how many of her last values each habit is judged by.
        relative_to_base: whether she must also be late in the shop's time; False goes by the calendar alone.

    Raises:
        ConfigError: an argument out of range, or an unknown habit.
        RetentionError: a habit asked for that the log has no column for.
    """
    today = as_day(as_of)
    start = None if since is None else as_day(since)
    if start is not None and start > today:
        raise ConfigError(f"since={start} with as_of={today}", rule="since is not after as_of", remedy="swap them")
    known = log.until(today)
    found = _purchase_days(known)
    asked = _able(known, found) if habits is None else habits
    if rhythm is None:
        early = today if start is None else start - dt.timedelta(days=1)
        if not (known.day <= np.datetime64(early)).any():
            early = today
        rhythm = Rhythm.fit(summarize(known, as_of=early, habits=False))
    monitor = ChangeMonitor(
        rhythm, false_alarms_per_year=false_alarms_per_year, habits=asked, memory=memory,
        relative_to_base=relative_to_base,
    )  # fmt: skip
    monitor._need(known)

    until = int(np.datetime64(today, "D").astype(np.int64))
    begin = until if not len(found.day) else int(found.day.min())
    begin = begin if start is None else int(np.datetime64(start, "D").astype(np.int64))
    from retention.timing._pace import UNSEEN
    from retention.timing._watch import Watch

    alarms: list[Alarm] = []
    people = len(known.customers.labels)
    first = np.full(people, UNSEEN, np.int64)
    pace = monitor._pace
    if pace is not None:
        pace.grow(people)
        pace.advance(found.row, found.day, until)
    for low in range(0, people, _BLOCK):
        a, b = np.searchsorted(found.row, [low, low + _BLOCK])
        mine = found.where(slice(a, b))
        watch = Watch(rhythm, monitor._watch.budget, memory, min(_BLOCK, people - low), pace)
        told = watch.feed(mine.row - low, mine.day, mine.values, until)
        alarms += [alarm._replace(row=alarm.row + low) for alarm in told if alarm.day >= begin]
        first[low : low + watch.rows] = watch.arrays["first"]
    kinds = {"category": known.categories, "channel": known.channels}
    return tell(
        alarms,
        known.customers.labels.tolist(),
        {name: [] if coded is None else coded.labels.tolist() for name, coded in kinds.items()},
        rate=float(false_alarms_per_year),
        months=_months(alarms, first[first > UNSEEN], begin, until, float(false_alarms_per_year), pace),
        provenance=Provenance(
            as_of=today.isoformat(),
            data=log.fingerprint(),
            model="change alerts",
            parameters={
                **attrs.asdict(rhythm),
                "memory": memory,
                "habits": monitor.habits,
                "relative_to_base": monitor.relative_to_base,
            },
            version=log.provenance.version,
            notes=log.provenance.notes,
        ),
    )


def _shares(habits: Sequence[str] | Mapping[str, float]) -> dict[str, float]:
    """Each habit's part of the budget, adding up to 1."""
    asked = dict(habits) if isinstance(habits, Mapping) else {h: HABITS.get(h, 0.0) for h in habits}
    unknown = [h for h in asked if h not in HABITS]
    if isinstance(habits, str) or unknown or not asked or not all(np.isfinite(v) and v > 0 for v in asked.values()):
        raise ConfigError(
            f"habits={habits!r}",
            rule=f"some of {', '.join(HABITS)}; parts of the budget are above 0",
            remedy="habits=['silence', 'frequency'], or {'silence': 0.5, 'frequency': 0.5}",
        )
    return {h: asked[h] / sum(asked.values()) for h in HABITS if h in asked}


def _able(log: TransactionLog, found: _Purchases) -> list[str]:
    """The habits that this log can show."""
    margin = found.values["margin"]
    shown = {
        "category": log.categories is not None,
        "channel": log.channels is not None,
        "margin": bool(np.ptp(margin[~np.isnan(margin)]) > 0) if (~np.isnan(margin)).any() else False,
    }
    return [h for h in HABITS if shown.get(h, True)]


def _purchase_days(log: TransactionLog) -> _Purchases:
    """What each purchase day brought, as it was known on its evening; returns are no purchase and are not netted."""
    undone = log.undone_at.astype("datetime64[D]") <= log.day  # NaT is never
    bought = np.flatnonzero(~(log.is_return | undone))
    code, day = log.customers.codes[bought].astype(np.int64), log.day[bought].astype(np.int64)
    low = int(day.min()) if len(day) else 0
    width = int(day.max()) - low + 1 if len(day) else 1
    keys, place = np.unique(code * width + (day - low), return_inverse=True)

    def total(minor: NDArray[np.int64], decimals: int) -> NDArray[np.float64]:
        sums = np.zeros(len(keys), dtype=np.int64)
        np.add.at(sums, place, minor[bought])
        return np.asarray(sums / 10.0**decimals)

    revenue = total(log.revenue.minor, log.revenue.decimals)
    margin = total(log.margin.minor, log.margin.decimals)
    # Rates to a thousandth: a fixed rate of revenue, rounded to cents, is no news.
    rate = np.divide(margin, revenue, out=np.full(len(keys), np.nan), where=revenue > 0)
    values = {"basket": revenue.astype(np.float32), "margin": np.round(rate, 3).astype(np.float32)}
    for name, coded in (("category", log.categories), ("channel", log.channels)):
        if coded is not None:
            values[name] = _main(place, coded, log.revenue.minor, bought, len(keys))
    return _Purchases(keys // width, keys % width + low, values)


def _main(
    place: NDArray[np.int64], coded: Coded, minor: NDArray[np.int64], bought: NDArray[np.int64], many: int
) -> NDArray[np.float32]:
    """The label that took most money on each day; the first in order of the alphabet among equals."""
    kinds = len(coded.labels)
    pair, where = np.unique(place * kinds + coded.codes[bought], return_inverse=True)
    sums = np.zeros(len(pair), dtype=np.int64)
    np.add.at(sums, where, minor[bought])
    owner, kind = pair // kinds, pair % kinds
    order = np.lexsort((kind, -sums, owner))
    best = np.zeros(many, dtype=np.float32)
    best[owner[order][::-1]] = kind[order][::-1]
    return best


def _months(
    alarms: "Sequence[Alarm]",
    first: NDArray[np.integer[Any]],
    begin: int,
    until: int,
    rate: float,
    pace: "Pace | None",
) -> AlarmMonths:
    from scipy.special import gammainc

    from retention.timing._pace import TICKS

    days = np.arange(begin, until + 1)
    label, month = np.unique(days.astype("datetime64[D]").astype("datetime64[M]"), return_inverse=True)
    # A day or two are counted, many days ranked.
    watched = (
        np.array([np.count_nonzero(first < d) for d in days])
        if len(days) < 10
        else np.searchsorted(np.sort(first), days, side="left")
    )
    years = np.bincount(month, watched, minlength=len(label)) / 365.25
    raised = (
        np.bincount(month[[a.day - begin for a in alarms]], minlength=len(label)) if alarms else np.zeros(len(label))
    )
    chance = np.where(raised > 0, gammainc(np.maximum(raised, 1), rate * years), 1.0)
    lived = np.ones(len(days))
    if pace is not None and len(pace.ticks):
        share = (len(pace.ticks) - 1) * TICKS / max(int(pace.ticks[-1]), 1)
        lived = np.diff(pace.at(np.append(begin - 1, days))) / TICKS * share
        lived[days <= pace.origin] = np.nan  # before anybody bought there was no pace
    return AlarmMonths(
        month=label.astype(np.str_),
        pace=np.bincount(month, lived) / np.bincount(month),
        watched_years=years,
        raised=raised.astype(np.int64),
        expected_at_most=rate * years,
        chance=chance,
    )
