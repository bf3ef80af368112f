"""The state of a watch over habits: flat arrays, one row a customer, moved on by her purchase days and by the calendar.

One engine serves both the replay of a whole log and a day's update, so that both raise the same alarms.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retention._kernels import changes, logt
from retention.timing.rhythm import Rhythm

__all__ = ["KINDS", "NEVER", "STREAMS", "Alarm", "Watch"]

STREAMS = ("frequency", "basket", "margin", "category", "channel")
"""The habits that are ranked; gaps are the values of the first."""

KINDS = ("category", "channel")
"""Those whose values have no order."""

NEVER = np.int32(2**31 - 1)
_MOST_DAYS = 36_500
_YEAR = 365.25
_LEAST_GAPS = 3
_HARM = 0.8

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
    """

    def __init__(self, rhythm: Rhythm, budget: Mapping[str, float], memory: int, rows: int = 0) -> None:
        self.prior = rhythm._prior()
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
            "last": np.full(room, -1, np.int32),
            "first": np.full(room, -1, np.int32),
            "gaps": np.zeros(room, np.int32),
            "run": np.zeros(room, np.int32),
            "log_sum": np.zeros(room),
            "log_squares": np.zeros(room),
            "silent_on": np.full(room, NEVER, np.int32),
            "slower_on": np.full(room, NEVER, np.int32),
            "told_silent": np.zeros(room, bool),
            "told_slower": np.zeros(room, bool),
        }
        # The basket is always kept: alarms of other habits say whether it changed.
        for name in dict.fromkeys((*self.streams, "frequency", "basket")):
            sides, bets = (1, changes.STARTS) if name in KINDS else (2, len(changes.HALF))
            fresh[f"{name}.bag"] = np.zeros((room, self.memory), np.float32)
            fresh[f"{name}.n"] = np.zeros(room, np.int32)
            fresh[f"{name}.evidence"] = np.zeros((room, sides, bets))
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
                some = order[a:b]
                alarms += self._buy(row[some], day[some].astype(np.int64), {k: v[some] for k, v in values.items()})
            self._set_deadlines(row[begin])
        return alarms + self._evening(until)

    def _buy(self, row: Ints, day: Ints, values: Mapping[str, NDArray[np.float32]]) -> list[Alarm]:
        a = self.arrays
        again = a["last"][row] >= 0
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
        gap = day - last
        alarms: list[Alarm] = []
        if self.budget.get("silence", 0.0) > 0:
            able = np.flatnonzero((a["run"][row] >= _LEAST_GAPS) & ~a["told_silent"][row] & (gap > 1))
            who = row[able]
            still = logt.open_survival(self.prior, self._posterior(who), (gap[able] - 1).astype(np.float64))
            late = able[still <= self.budget["silence"] * years[able]]
            if len(late):
                limit = self._silence_limit(row[late])
                alarms += [
                    self._alarm("silence", r, when, open_days=h)
                    for r, when, h in zip(row[late], last[late] + limit, limit, strict=True)
                ]
        changed = a["told_slower"][row].copy()
        if "frequency" in self.streams:
            evidence, paid = self._bet("frequency", row, gap.astype(np.float32), years)
            slower, faster = (paid[:, side].mean(axis=1) >= 1.0 for side in (0, 1))
            slower &= ~changed
            faster &= ~changed & ~slower
            if slower.any():
                where = np.flatnonzero(slower)
                longest = self._gap_limit(row[where], evidence[where, 0], years[where])
                for i, h in zip(where, np.minimum(longest, gap[where]).astype(np.int64), strict=True):
                    alarms.append(self._alarm("frequency", row[i], last[i] + h, open_days=int(h)))
            alarms += [
                self._alarm("frequency", row[i], day[i], worse=False, last=gap[i]) for i in np.flatnonzero(faster)
            ]
            changed |= slower | faster
            self._keep("frequency", row, gap.astype(np.float32), paid, changed, a["gaps"][row] + 1)
        logs = np.log(gap)
        for name, one in (("run", 1), ("log_sum", logs), ("log_squares", logs**2)):
            a[name][row] = np.where(changed, 0, a[name][row] + one)
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
        self._keep(name, row, value, paid, changed, count)
        return alarms

    def _bet(
        self, name: str, row: Ints, value: NDArray[np.float32], years: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Evidence before and after the value, rows by sides by bets; the side that costs money comes first."""
        bag, n = self.arrays[f"{name}.bag"][row], self.arrays[f"{name}.n"][row].astype(np.int64)
        before = self.arrays[f"{name}.evidence"][row]
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
        self, name: str, row: Ints, value: Any, paid: NDArray[np.float64], changed: NDArray[np.bool_], count: Ints
    ) -> None:
        """What is remembered: after an alarm nothing, for the new habit has to be learned."""
        a = self.arrays
        draw = None if name in KINDS else count
        bag, n = changes.insert(a[f"{name}.bag"][row], a[f"{name}.n"][row].astype(np.int64), value, draw)
        a[f"{name}.bag"][row] = bag
        a[f"{name}.n"][row] = np.where(changed, 0, n)
        a[f"{name}.evidence"][row] = np.where(changed[:, None, None], 0.0, paid)

    def _stake(self, name: str) -> NDArray[np.float64]:
        total = self.budget.get(name, 0.0)
        return np.array([total] if name in KINDS else [_HARM * total, (1.0 - _HARM) * total])

    def _mean_gap(self, row: Ints) -> NDArray[np.float64]:
        a = self.arrays
        return np.asarray((a["last"][row] - a["first"][row]) / np.maximum(a["gaps"][row], 1), dtype=np.float64)

    def _posterior(self, row: Ints) -> logt.Posterior:
        a = self.arrays
        return logt.posterior(self.prior, a["run"][row].astype(float), a["log_sum"][row], a["log_squares"][row])

    def _silence_limit(self, row: Ints) -> Ints:
        chance = self.budget["silence"] * self._mean_gap(row) / _YEAR
        return changes.silence_limit(self.prior, self._posterior(row), chance, _MOST_DAYS)

    def _gap_limit(self, row: Ints, evidence: NDArray[np.float64], years: NDArray[np.float64]) -> NDArray[np.float64]:
        bag, n = self.arrays["frequency.bag"][row], self.arrays["frequency.n"][row].astype(np.int64)
        return changes.gap_limit(bag, n, evidence, self._stake("frequency")[0] * years)

    def _set_deadlines(self, row: Ints) -> None:
        """The evenings on which the silence that begins now would raise an alarm."""
        a = self.arrays
        a["silent_on"][row] = a["slower_on"][row] = NEVER
        if self.budget.get("silence", 0.0) > 0:
            able = row[a["run"][row] >= _LEAST_GAPS]
            limit = self._silence_limit(able)
            a["silent_on"][able] = np.where(limit < _MOST_DAYS, a["last"][able] + limit, NEVER)
        if "frequency" in self.streams:
            able = row[a["gaps"][row] > 0]
            longest = self._gap_limit(able, a["frequency.evidence"][able, 0], self._mean_gap(able) / _YEAR)
            a["slower_on"][able] = np.where(np.isfinite(longest), a["last"][able] + np.minimum(longest, 1e6), NEVER)

    def _evening(self, day: int) -> list[Alarm]:
        """The one pass over everybody: whose deadline has come?"""
        a, alarms = self.arrays, []
        for habit, due, told in (("silence", "silent_on", "told_silent"), ("frequency", "slower_on", "told_slower")):
            for r in np.flatnonzero(a[due][: self.rows] <= day):
                when = int(a[due][r])
                alarms.append(self._alarm(habit, r, when, open_days=when - int(a["last"][r])))
                a[due][r], a[told][r] = NEVER, True
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
