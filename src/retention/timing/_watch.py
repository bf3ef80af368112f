"""The state of a watch over habits: flat arrays, one row a customer, moved on by her purchase days and by the calendar.

One engine serves both the replay of a whole log and a day's update, so that both raise the same alarms.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retention._kernels import changes, logt
from retention.timing._pace import NEVER, TICKS, UNSEEN, Pace, Wall
from retention.timing.rhythm import Rhythm

__all__ = ["KINDS", "STREAMS", "Alarm", "Watch"]

STREAMS = ("frequency", "basket", "margin", "category", "channel")
"""The habits that are ranked; gaps are the values of the first."""

KINDS = ("category", "channel")
"""Those whose values have no order."""

_MOST_DAYS = 36_500
_HABIT = {"silent_on": "silence", "slower_on": "frequency"}
_TOLD = {"silent_on": "told_silent", "slower_on": "told_slower"}
_YEAR = 365.25
_LEAST_GAPS = 3
_HARM = 0.8
_BLOCK = 50_000

Ints = NDArray[np.int64]


class Alarm(NamedTuple):
    """One alarm as the engine knows it: numbers, no names."""

    row: int
    day: int
    habit: str
    worse: bool
    values: NDArray[np.float32]
    """What she did so far, in order of time; the open silence, if one raised it, comes last."""
    open_days: int
    baskets: NDArray[np.float32]


class Watch:
    """Arrays a customer, and the two ways in which they move: a purchase day, and the end of a day without one.

    ``budget`` gives each habit its false alarms a year. ``arrays`` holds everything that is remembered of customers.
    With a ``pace``, which must have lived through every day that is fed, gaps are measured twice, by the calendar and
    in the shop's time ("pace." in the names of arrays), and she is late only if she is late by both: so false alarms
    are no more than by the one of the two that is right.
    """

    def __init__(
        self, rhythm: Rhythm, budget: Mapping[str, float], memory: int, rows: int = 0, pace: Pace | None = None
    ) -> None:
        self.prior = rhythm._prior()
        self.clocks: dict[str, Pace | Wall] = {"": Wall()} | ({} if pace is None else {"pace.": pace})
        self.budget = dict(budget)
        self.memory = memory
        self.streams = tuple(name for name in STREAMS if budget.get(name, 0.0) > 0)
        self.rows = 0
        self.arrays: dict[str, NDArray[Any]] = {}
        self.grow(rows)

    def grow(self, rows: int) -> None:
        """Make room for so many customers."""
        many = 0 if not self.arrays else len(self.arrays["last"])
        self.rows = max(self.rows, rows)
        if rows <= many and self.arrays:
            return
        room = max(rows, many + many // 2)
        fresh: dict[str, NDArray[Any]] = {
            "last": np.full(room, UNSEEN, np.int32),
            "first": np.full(room, UNSEEN, np.int32),
            "gaps": np.zeros(room, np.int32),
            "run": np.zeros(room, np.int32),
            "told_silent": np.zeros(room, bool),
            "told_slower": np.zeros(room, bool),
        }
        # The basket is always kept: alarms of other habits say whether it changed.
        for name in dict.fromkeys((*self.streams, "frequency", "basket")):
            sides, bets = (1, changes.STARTS) if name in KINDS else (2, len(changes.HALF))
            fresh[f"{name}.bag"] = np.zeros((room, self.memory), np.float32)
            fresh[f"{name}.n"] = np.zeros(room, np.int32)
            fresh[f"{name}.evidence"] = np.zeros((room, sides, bets))
        for clock in self.clocks:
            fresh[f"{clock}log_sum"], fresh[f"{clock}log_squares"] = np.zeros(room), np.zeros(room)
            fresh[f"{clock}silent_on"] = np.full(room, NEVER, np.int32)
            fresh[f"{clock}slower_on"] = np.full(room, NEVER, np.int32)
            for part in ("bag", "evidence"):
                fresh[f"{clock}frequency.{part}"] = fresh[f"frequency.{part}"].copy()
        for name, values in self.arrays.items():
            fresh[name][:many] = values
        self.arrays = fresh

    def feed(self, row: Ints, day: Ints, values: Mapping[str, NDArray[np.float32]], until: int) -> list[Alarm]:
        """Purchase days, sorted by row and day, then every deadline up to the evening of ``until``."""
        alarms: list[Alarm] = []
        if len(row):
            starts = np.r_[True, row[1:] != row[:-1]]
            begin = np.flatnonzero(starts)
            turn = np.arange(len(row)) - np.repeat(begin, np.diff(np.r_[begin, len(row)]))
            order = np.argsort(turn, kind="stable")
            edges = np.r_[0, np.cumsum(np.bincount(turn))]
            for a, b in pairwise(edges):
                for low in range(a, b, _BLOCK):
                    some = order[low : min(low + _BLOCK, b)]
                    alarms += self._buy(row[some], day[some].astype(np.int64), {k: v[some] for k, v in values.items()})
            for low in range(0, len(begin), _BLOCK):
                self._set_deadlines(row[begin[low : low + _BLOCK]])
        return alarms + self._evening(until)

    def _buy(self, row: Ints, day: Ints, values: Mapping[str, NDArray[np.float32]]) -> list[Alarm]:
        a = self.arrays
        again = a["last"][row] > UNSEEN
        new = row[~again]
        a["first"][new] = day[~again]
        known, today = row[again], day[again]
        alarms: list[Alarm] = []
        weight = np.zeros(len(row))
        count = np.zeros(len(row), dtype=np.int64)
        if len(known):
            years = self._mean_gap(known) / _YEAR
            weight[again] = years
            count[again] = a["gaps"][known] + 1
            alarms += self._gap_ends(known, today, years)
        for name in dict.fromkeys((*self.streams, "basket")):
            if name != "frequency":
                alarms += self._value(name, row, day, values[name], weight, count)
        a["last"][row] = day
        return alarms

    def _gap_ends(self, row: Ints, day: Ints, years: NDArray[np.float64]) -> list[Alarm]:
        a = self.arrays
        last = a["last"][row].astype(np.int64)
        began = {clock: time.at(last) for clock, time in self.clocks.items()}
        gap = {clock: (time.at(day) - began[clock]) / TICKS for clock, time in self.clocks.items()}
        alarms: list[Alarm] = []
        if self.budget.get("silence", 0.0) > 0:
            able = np.flatnonzero((a["run"][row] >= _LEAST_GAPS) & ~a["told_silent"][row] & (day - last > 1))
            for clock, time in self.clocks.items():
                silent = (time.at(day[able] - 1) - began[clock][able]) / TICKS
                still = logt.open_survival(self.prior, self._posterior(clock, row[able]), silent)
                able = able[still <= self.budget["silence"] * years[able]]
            when = self._evening_of(row[able], "silent_on", self._silence_limit)
            alarms += [
                self._alarm("silence", row[i], evening, open_days=evening - last[i])
                for i, evening in zip(able, when, strict=True)
                if evening < day[i]
            ]
        changed = a["told_slower"][row].copy()
        if "frequency" in self.streams:
            bets = {clock: self._bet("frequency", row, gap[clock].astype(np.float32), years, clock) for clock in gap}
            over = np.all([paid.mean(axis=2) >= 1.0 for _, paid in bets.values()], axis=0)
            slower, faster = over[:, 0] & ~changed, over[:, 1] & ~changed & ~over[:, 0]
            where = np.flatnonzero(slower)
            when = np.minimum(self._evening_of(row[where], "slower_on", self._gap_limit), day[where])
            alarms += [
                self._alarm("frequency", row[i], evening, open_days=evening - last[i])
                for i, evening in zip(where, when, strict=True)
            ]
            alarms += [
                self._alarm("frequency", row[i], day[i], worse=False, last=day[i] - last[i])
                for i in np.flatnonzero(faster)
            ]
            changed |= slower | faster
            self._keep(
                "frequency", row, {clock: (gap[clock].astype(np.float32), bets[clock][1]) for clock in gap}, changed,
                a["gaps"][row] + 1,
            )  # fmt: skip
        for clock in gap:
            logs = np.log(np.maximum(gap[clock], 1.0))  # in the shop's time too, a day is the least
            for name, one in (("log_sum", logs), ("log_squares", logs**2)):
                a[clock + name][row] = np.where(changed, 0, a[clock + name][row] + one)
        a["run"][row] = np.where(changed, 0, a["run"][row] + 1)
        a["gaps"][row] += 1
        a["told_silent"][row] = a["told_slower"][row] = False
        return alarms

    def _value(
        self, name: str, row: Ints, day: Ints, value: NDArray[np.float32], weight: NDArray[np.float64], count: Ints
    ) -> list[Alarm]:
        there = np.flatnonzero(~np.isnan(value))
        row, day, value, weight, count = row[there], day[there], value[there], weight[there], count[there]
        if not len(row):
            return []
        _, paid = self._bet(name, row, value, weight)
        over = paid.mean(axis=2) >= 1.0
        changed = over.any(axis=1)
        alarms = [
            self._alarm(name, row[i], day[i], worse=bool(over[i, 0]), last=value[i]) for i in np.flatnonzero(changed)
        ]
        self._keep(name, row, {"": (value, paid)}, changed, count)
        return alarms

    def _bet(
        self, name: str, row: Ints, value: NDArray[np.float32], years: NDArray[np.float64], clock: str = ""
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Evidence before and after the value, rows by sides by bets; the side that costs money comes first."""
        bag, n = self.arrays[f"{clock}{name}.bag"][row], self.arrays[f"{name}.n"][row].astype(np.int64)
        before = self.arrays[f"{clock}{name}.evidence"][row]
        if name in KINDS:
            # A new beginning each time; the mean over beginnings is compared with 1, so the stake counts for all.
            stake = changes.STARTS * self._stake(name)[0] * years[:, None, None]
            begun = np.concatenate([stake, before[:, :, :-1]], axis=2)
            return before, begun * changes.kinds(bag, n, value)[:, None, :]
        above, ties = changes.ranks(bag, n, value)
        high, low = changes.pay(above, ties, n), changes.pay(n - above - ties, ties, n)
        pays = np.stack([high, low] if name == "frequency" else [low, high], axis=1)
        return before, (before + self._stake(name)[None, :, None] * years[:, None, None]) * pays

    def _keep(
        self, name: str, row: Ints, values: Mapping[str, tuple[Any, Any]], changed: NDArray[np.bool_], count: Ints
    ) -> None:
        """What is remembered by each clock: after an alarm nothing, for the new habit has to be learned."""
        a = self.arrays
        draw = None if name in KINDS else count
        before = n = a[f"{name}.n"][row].astype(np.int64)
        for clock, (value, paid) in values.items():
            bag, n = changes.insert(a[f"{clock}{name}.bag"][row], before, value, draw)
            a[f"{clock}{name}.bag"][row] = bag
            a[f"{clock}{name}.evidence"][row] = np.where(changed[:, None, None], 0.0, paid)
        a[f"{name}.n"][row] = np.where(changed, 0, n)

    def _stake(self, name: str) -> NDArray[np.float64]:
        total = self.budget.get(name, 0.0)
        return np.array([total] if name in KINDS else [_HARM * total, (1.0 - _HARM) * total])

    def _mean_gap(self, row: Ints) -> NDArray[np.float64]:
        a = self.arrays
        return np.asarray((a["last"][row] - a["first"][row]) / np.maximum(a["gaps"][row], 1), dtype=np.float64)

    def _posterior(self, clock: str, row: Ints) -> logt.Posterior:
        a = self.arrays
        sums, squares = a[f"{clock}log_sum"][row], a[f"{clock}log_squares"][row]
        return logt.posterior(self.prior, a["run"][row].astype(float), sums, squares)

    def _silence_limit(self, clock: str, row: Ints) -> NDArray[np.float64]:
        chance = self.budget["silence"] * self._mean_gap(row) / _YEAR
        limit = changes.silence_limit(self.prior, self._posterior(clock, row), chance, _MOST_DAYS)
        return np.where(limit < _MOST_DAYS, limit, np.inf)

    def _gap_limit(self, clock: str, row: Ints) -> NDArray[np.float64]:
        a = self.arrays
        bag, n = a[f"{clock}frequency.bag"][row], a["frequency.n"][row].astype(np.int64)
        weight = self._stake("frequency")[0] * self._mean_gap(row) / _YEAR
        return changes.gap_limit(bag, n, a[f"{clock}frequency.evidence"][row, 0], weight)

    def _set_deadlines(self, row: Ints) -> None:
        """The evenings on which the silence that begins now would raise an alarm."""
        a = self.arrays
        able = {"silent_on": (row[a["run"][row] >= _LEAST_GAPS], self._silence_limit)}
        able["slower_on"] = (row[a["gaps"][row] > 0], self._gap_limit)
        for clock, time in self.clocks.items():
            for name, (some, limit) in able.items():
                a[clock + name][row] = NEVER
                if self.budget.get(_HABIT[name], 0.0) > 0:
                    days = limit(clock, some)
                    ends = time.at(a["last"][some]) + np.minimum(days, _MOST_DAYS) * TICKS
                    a[clock + name][some] = np.where(np.isfinite(days), ends, NEVER)

    def _evening_of(self, row: Ints, name: str, limit: Any = None) -> Ints:
        """The first evening on which the deadline has come by every clock; far away if by one it never does."""
        when = np.full(len(row), np.iinfo(np.int64).min)
        for clock, time in self.clocks.items():
            if limit is None:
                ends = self.arrays[clock + name][row].astype(np.int64)
            else:
                ends = time.at(self.arrays["last"][row]) + np.minimum(limit(clock, row), 4 * _MOST_DAYS) * TICKS
            when = np.maximum(when, time.day_of(ends))
        return when

    def _evening(self, day: int) -> list[Alarm]:
        """The one pass over everybody: whose deadline has come?"""
        a, alarms = self.arrays, []
        for name, habit in _HABIT.items():
            come = np.ones(self.rows, bool)
            for clock, time in self.clocks.items():
                if self.rows:
                    come &= a[clock + name][: self.rows] <= time.at(day)
            late = np.flatnonzero(come)
            for r, when in zip(late, self._evening_of(late, name).tolist(), strict=True):
                alarms.append(self._alarm(habit, r, when, open_days=when - int(a["last"][r])))
            for clock in self.clocks:
                a[clock + name][late] = NEVER
            a[_TOLD[name]][late] = True
        return alarms

    def _alarm(
        self, habit: str, row: Any, day: Any, *, worse: bool = True, open_days: Any = 0, last: Any = None
    ) -> Alarm:
        def held(name: str) -> NDArray[np.float32]:
            return np.asarray(self.arrays[f"{name}.bag"][row, : self.arrays[f"{name}.n"][row]]).copy()

        values = held("frequency" if habit == "silence" else habit)
        final = last if last is not None else open_days
        return Alarm(
            int(row), int(day), habit, worse, np.append(values, np.float32(final)), int(open_days), held("basket")
        )
