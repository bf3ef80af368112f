"""The shop's own time: a day is as long as the base is busy on it, so that nobody is late while the shop is closed.

If seasons, holidays and sales speed everybody up or slow everybody down alike, each customer's purchases are a steady
process in *operational time*, whose days are as long as the intensity that all share on them (Cox 1955; Daley and
Vere-Jones 2003, section 7.4). It is read from the base: with N customers who came and E who were to be expected,

    length of the day = (N + c) / (E + c),

c being the weight of the guess that a day is a day; while fewer than five are to be expected, it is one. What is to be
expected of a customer is what customers like her did so far, a day: as many gaps, as long ones, as long a silence, all
in operational time. So neither those who left nor a young base make time drift much. In a closed cohort, whose
survivors are ever more faithful, it does, by a third in two years of a real one; and before a year is over, nobody
can tell a season from the usual. Therefore the watch never rests on this time alone. Only whole numbers are added up,
so that the order of the customers makes no difference.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEVER", "TICKS", "UNSEEN", "Pace", "Wall"]

TICKS = 256
"""Time is counted in this part of a day."""

NEVER = np.int32(2**31 - 1)
UNSEEN = np.int32(-(2**31))
_GUESS = 0.5
_ENOUGH = 5.0
_KNOWN = 5.0  # mean gaps that those of a kind must have lived through, together
_GAPS = np.array([3])
"""Kinds of customers: below 3 gaps, or more;"""
_LENGTHS = TICKS * 2 ** np.arange(1, 10)
"""a mean gap below 2, 4, ..., 512 days, or more;"""
_SILENCE = np.array([0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0])
"""silent for less than so many of her mean gaps; beyond the last nobody expects her."""

Ints = NDArray[np.int64]


class Wall:
    """Time by the calendar: every day is one day long."""

    def at(self, day: Any) -> Any:
        """Ticks on the evening of a day."""
        return np.asarray(day, dtype=np.int64) * TICKS

    def day_of(self, tick: Any) -> Any:
        """The first evening on which the clock shows so many ticks."""
        return -(-np.asarray(tick, dtype=np.int64) // TICKS)


class Pace:
    """Operational time, day by day; ``state`` holds all that is remembered.

    ``ticks`` is the time on each evening since ``origin``. By kind of customer, ``many`` are of it now, ``lived`` is
    their time so far, and ``came`` their purchases.
    """

    def __init__(self, rows: int = 0) -> None:
        kinds = len(_TYPICAL)
        self.origin = 0
        self.ticks: Ints = np.zeros(0, np.int64)
        self.many, self.came, self.lived = (np.zeros(kinds, np.int64) for _ in range(3))
        self.arrays: dict[str, NDArray[np.int32]] = {}
        self.grow(rows)

    def grow(self, rows: int) -> None:
        """Make room for so many customers."""
        many = len(self.arrays["first"]) if self.arrays else 0
        if rows <= many and self.arrays:
            return
        room = max(rows, many + many // 2)
        for name, empty in (("first", -1), ("gaps", 0), ("mean", 0), ("kind", -1), ("moves_on", NEVER)):
            fresh = np.full(room, empty, np.int32)
            fresh[:many] = self.arrays.get(name, fresh[:0])
            self.arrays[name] = fresh

    def state(self, rows: int) -> dict[str, NDArray[Any]]:
        """All that is remembered of so many customers."""
        sums = {"origin": np.array(self.origin)} | {name: getattr(self, name) for name in _SUMS}
        return sums | {name: values[:rows] for name, values in self.arrays.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up from a ``state``."""
        self.origin = int(state["origin"])
        for name in _SUMS:
            setattr(self, name, np.array(state[name], dtype=np.int64))
        self.grow(len(state["first"]))
        for name, values in self.arrays.items():
            values[: len(state[name])] = state[name]

    def at(self, day: Any) -> Any:
        """Ticks on the evening of a day; before the first, those of its morning."""
        return self.ticks[np.maximum(np.asarray(day, dtype=np.int64) - self.origin, 0)]

    def day_of(self, tick: Any) -> Any:
        """The first evening on which the clock shows so many ticks."""
        return np.searchsorted(self.ticks, tick) + self.origin

    def advance(self, row: Ints, day: Ints, until: int) -> None:
        """Live through the days up to ``until``: purchase days of customers, in any order, each at most once."""
        if not len(self.ticks):
            self.origin = (int(day.min()) if len(day) else until) - 1
            self.ticks = np.zeros(1, np.int64)
        order = np.argsort(day, kind="stable")
        row, day = row[order], day[order]
        lived = len(self.ticks)
        days = np.arange(self.origin + lived, until + 1)
        edges = np.searchsorted(day, np.append(days, until + 1))
        self.ticks = np.concatenate([self.ticks, np.zeros(len(days), np.int64)])
        for i in range(len(days)):
            self._day(row[edges[i] : edges[i + 1]], lived + i)

    def _day(self, row: Ints, today: int) -> None:
        """How long one day was, from who was expected in its morning; then what its purchases change."""
        a, before = self.arrays, int(self.ticks[today - 1])
        while len(silent := np.flatnonzero(a["moves_on"] <= before)):
            self._longer_silent(silent)
        kinds = a["kind"][row]
        came = np.bincount(kinds[kinds >= 0], minlength=len(self.many))
        known = self.lived >= _KNOWN * _TYPICAL
        rates = self.came[known] / np.maximum(self.lived[known], 1)
        expected = TICKS * float(np.sum(self.many[known] * rates))
        length = TICKS
        if expected >= _ENOUGH:
            length = max(1, round((int(came[known].sum()) + _GUESS) / (expected + _GUESS) * TICKS))
        now = before + length
        self.ticks[today] = now
        self.lived += self.many * length
        self.came += came
        fresh = a["first"][row] < 0
        a["first"][row[fresh]] = today
        row = row[~fresh]
        self._count(row, -1)
        a["gaps"][row] += 1
        a["mean"][row] = np.maximum((now - self.ticks[a["first"][row]]) // a["gaps"][row], TICKS)
        kind = np.searchsorted(_GAPS, a["gaps"][row], "right") * (len(_LENGTHS) + 1)
        a["kind"][row] = (kind + np.searchsorted(_LENGTHS, a["mean"][row], "right")) * len(_SILENCE)
        a["moves_on"][row] = _later(now, a["mean"][row], _SILENCE[0])
        self._count(row, 1)

    def _longer_silent(self, row: Ints) -> None:
        """Customers become of the next kind; of none, after the last."""
        a = self.arrays
        self._count(row, -1)
        stage = (a["kind"][row] + 1) % len(_SILENCE)
        over = stage == 0
        wait = np.diff(_SILENCE, prepend=0.0)[stage]
        a["moves_on"][row] = np.where(over, NEVER, _later(a["moves_on"][row], a["mean"][row], wait))
        a["kind"][row] = np.where(over, -1, a["kind"][row] + 1)
        self._count(row, 1)

    def _count(self, row: Ints, sign: int) -> None:
        kind = self.arrays["kind"][row]
        self.many += sign * np.bincount(kind[kind >= 0], minlength=len(self.many))


def _later(tick: Any, mean: Any, gaps: Any) -> Any:
    return np.minimum(tick + (mean * gaps).astype(np.int64), NEVER - 1)


_SUMS = ("ticks", "many", "came", "lived")
_TYPICAL = np.repeat(np.tile(np.append(_LENGTHS, 2 * _LENGTHS[-1]), len(_GAPS) + 1), len(_SILENCE))
"""A mean gap of each kind, in ticks."""
