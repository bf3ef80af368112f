r"""Contacts over several weeks: for each customer the best legal calendar at given prices, and prices for the limits.

A customer gets at most one action a week, at most ``most`` in any ``window`` weeks, and any two of her contacts are at
least ``apart`` weeks apart. Which of the last weeks had a contact is all that the rules need to know, so the best
calendar at prices is a shortest path over few states (Bellman 1957): 5 of them for 2 in any 4 weeks and 2 apart.
Contacts before the first week count.

Limits are the money over all weeks and the contacts of each channel in each week. Their prices bound what any plan can
earn exactly as in :mod:`retention._kernels.prices`, whose search is used here. A plan at the prices is a little over
some limits and a little under others: contacts that earn least at the prices are dropped (which breaks no rule), and
the room that is left is filled with those that lose least.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retention._kernels.prices import FORBIDDEN, Cuts, Floats, Ints, Seen, sample_rows, search

__all__ = ["Calendar", "Planned", "Rules", "plan"]

ROWS = 1 << 11
SAMPLE = 1 << 12


class Rules(NamedTuple):
    """At most ``most`` contacts in any ``window`` weeks, any two at least ``apart`` weeks apart."""

    window: int
    most: int
    apart: int

    @property
    def memory(self) -> int:
        """Of how many weeks back the rules ask."""
        return max(self.window, self.apart) - 1

    def allow(self, state: int) -> bool:
        """Whether a contact is allowed where bit j of ``state`` says if there was one j + 1 weeks ago."""
        recent = state & ((1 << (self.window - 1)) - 1)
        return not state & ((1 << (self.apart - 1)) - 1) and recent.bit_count() < self.most

    def states(self, starts: Any) -> tuple[list[int], list[list[tuple[int, int]]]]:
        """All states that can come up, and for each those it follows: (predecessor's place, contact or not)."""
        full = (1 << self.memory) - 1
        known = sorted({int(s) for s in np.unique(starts)} | {0})
        arcs: dict[int, list[tuple[int, int]]] = {}
        todo = list(known)
        while todo:
            state = todo.pop()
            for contact in (0, 1) if self.allow(state) else (0,):
                after = ((state << 1) | contact) & full
                arcs.setdefault(after, []).append((state, contact))
                if after not in known:
                    known.append(after)
                    todo.append(after)
        known.sort()
        place = {state: i for i, state in enumerate(known)}
        return known, [sorted((place[s], c) for s, c in arcs.get(state, [])) for state in known]


class Calendar:
    """Customers, weeks and actions; ``limits`` are the money (if ``money``) and then week by week every channel."""

    def __init__(
        self, gain: Any, cost: Any, limits: Floats, *, money: bool, channel: Ints, channels: int, allowed: Any,
        start: Any, rules: Rules,
    ) -> None:  # fmt: skip
        self.gain, self.cost, self.allowed, self.limits = gain, cost, allowed, np.asarray(limits, dtype=np.float64)
        self.money, self.channel, self.channels, self.start, self.rules = money, channel, channels, start, rules
        self.weeks, self.actions = int(gain.shape[1]), int(gain.shape[2])
        self.states, self.arcs = rules.states(start)
        constant = gain.size > 0 and cost.strides[0] == 0 and cost.strides[1] == 0
        self.flat = np.asarray(cost[0, 0], dtype=np.float64) if constant else None  # one cost an action
        self._kept: list[tuple[slice, Floats, Floats | None]] | None = None

    def __len__(self) -> int:
        return len(self.gain)

    @property
    def shared(self) -> int:
        """How many prices concern everybody: all."""
        return len(self.limits)

    def take(self, rows: Any, limits: Floats) -> "Calendar":
        """Some of the customers under other limits."""
        return Calendar(
            self.gain[rows], self._costs(rows), limits, money=self.money, channel=self.channel, channels=self.channels,
            allowed=None if self.allowed is None else self.allowed[rows], start=self.start[rows], rules=self.rules,
        )  # fmt: skip

    def _costs(self, rows: Any) -> Any:
        if self.flat is None:
            return self.cost[rows]
        return np.broadcast_to(self.cost[0, 0], (len(self.gain[rows]), self.weeks, self.actions))

    def under(self, limits: Floats) -> "Calendar":
        """The same customers under other limits."""
        other = object.__new__(Calendar)
        other.__dict__.update(self.__dict__)
        other.limits = limits
        return other

    def blocks(self) -> Iterator[tuple[slice, Floats, Floats | None]]:
        """Rows, what a contact brings (actions, weeks, rows), and what it costs (None if that is up to the action)."""
        if self._kept is None and len(self) <= 2 * SAMPLE:
            self._kept = [self.block(k) for k in range(0, len(self), ROWS)]
        if self._kept is not None:
            yield from self._kept
            return
        desk = [np.empty((self.actions, self.weeks, ROWS)) for _ in range(2)]
        for k in range(0, len(self), ROWS):
            yield self.block(k, desk)

    def block(self, first: int, desk: list[Floats] | None = None) -> tuple[slice, Floats, Floats | None]:
        """Some rows in the form in which they are computed with; written to ``desk`` if given."""
        rows = slice(first, min(first + ROWS, len(self)))
        n = rows.stop - first
        desk = [np.empty((self.actions, self.weeks, n)) for _ in range(2)] if desk is None else desk
        profit, cost = desk[0][..., :n], desk[1][..., :n]
        np.copyto(profit, self.gain[rows].transpose(2, 1, 0))
        if self.allowed is not None:
            np.copyto(cost, self.allowed[rows].transpose(2, 1, 0))
            cost -= 1.0
            cost *= FORBIDDEN
            profit += cost
        if self.flat is not None:
            profit -= self.flat[:, None, None]
            return rows, profit, None
        np.copyto(cost, self.cost[rows].transpose(2, 1, 0))
        profit -= cost
        return rows, profit, cost

    def split(self, price: Floats) -> tuple[float, Floats]:
        """What a unit of money and what each action in each week costs: (weeks, actions)."""
        money = float(price[0]) if self.money else 0.0
        places = price[int(self.money) :].reshape(self.weeks, self.channels)
        return money, places[:, self.channel] if self.channels else np.zeros((self.weeks, self.actions))

    def best(self, profit: Floats, cost: Floats | None, price: Floats) -> tuple[Floats, NDArray[np.int16]]:
        """The best action of each week at these prices and its net, (weeks, rows)."""
        money, places = self.split(price)
        shape = profit.shape[1:]
        net, at = np.full(shape, -4 * FORBIDDEN), np.zeros(shape, dtype=np.int16)
        one, scratch, better = np.empty(shape), np.empty(shape), np.empty(shape, dtype=bool)
        number = np.empty(shape, dtype=np.int16)
        for a in range(self.actions):
            fixed = places[:, a] + (money * self.flat[a] if self.flat is not None else 0.0)
            np.subtract(profit[a], fixed[:, None], out=one)
            if money and cost is not None:
                one -= np.multiply(cost[a], money, out=scratch)
            np.greater(one, net, out=better)
            np.maximum(one, net, out=net)
            np.multiply(better, np.int16(a), out=number)
            np.maximum(at, number, out=at)
        return net, at

    def path(self, net: Floats, start: Any) -> tuple[NDArray[np.bool_], Floats]:
        """The best legal calendar: weeks with a contact (weeks, rows), and its net."""
        n = net.shape[1]
        value = np.full((len(self.states), n), -math.inf)
        value[np.searchsorted(self.states, start), np.arange(n)] = 0.0
        came = np.zeros((self.weeks, len(self.states), n), dtype=np.int8)
        for w in range(self.weeks):
            after = np.empty_like(value)
            for s, arcs in enumerate(self.arcs):
                for j, (before, contact) in enumerate(arcs):
                    one = value[before] + net[w] if contact else value[before]
                    if j == 0:
                        after[s] = one
                    else:
                        came[w, s] += one > after[s]
                        np.maximum(after[s], one, out=after[s])
                if not arcs:
                    after[s] = -math.inf
            value = after
        at, rows = value.argmax(axis=0), np.arange(n)
        total = value[at, rows]
        width = max(map(len, self.arcs))
        came_from = np.array([[b for b, _ in arcs] + [0] * (width - len(arcs)) for arcs in self.arcs])
        made = np.array([bool(arcs and arcs[0][1]) for arcs in self.arcs])  # all arcs into a state agree on it
        contacts = np.empty((self.weeks, n), dtype=bool)
        for w in range(self.weeks - 1, -1, -1):
            contacts[w] = made[at] if self.rules.memory else net[w] > 0
            at = came_from[at, came[w, at, rows]]
        return contacts, total

    def see(self, price: Floats, into: Any = None) -> Seen:
        """What all customers do at these prices; each week's action (-1: none) is written to ``into`` if given."""
        nets: list[float] = []
        profit, used = 0.0, np.zeros(len(self.limits))
        for rows, brings, costs in self.blocks():
            net, at = self.best(brings, costs, price)
            contacts, total = self.path(net, self.start[rows])
            nets.append(float(total.sum()))
            week, row = np.nonzero(contacts)
            action = at[week, row].astype(np.intp)
            profit += float(brings[action, week, row].sum())
            if self.money:
                used[0] += (costs[action, week, row] if costs is not None else self.cost[0, 0][action]).sum()
            if self.channels:
                cell = week * self.channels + self.channel[action]
                used[int(self.money) :] += np.bincount(cell, minlength=self.weeks * self.channels)
            if into is not None:
                into[rows] = np.where(contacts, at, -1).T
        return Seen(np.array([math.fsum(nets)]), np.array([profit]), used[None])

    def bound(self, price: Floats, seen: Seen) -> float:
        """What no plan exceeds."""
        return math.fsum([*(price * self.limits), *seen.net])

    def legal(self, contacts: NDArray[np.bool_], week: int, start: Any) -> NDArray[np.bool_]:
        """Who may have one more contact in a week beside those there are, (rows, weeks), before and after."""
        window, most, apart = self.rules
        m = self.rules.memory
        past = (start[:, None] >> np.arange(m - 1, -1, -1)) & 1  # the oldest week first
        line = np.concatenate([past.astype(bool), contacts], axis=1)
        at = m + week
        fine = ~line[:, at]
        near = line[:, max(at - apart + 1, 0) : at + apart]
        fine &= ~near.any(axis=1)
        for first in range(max(at - window + 1, 0), at + 1):
            fine &= line[:, first : first + window].sum(axis=1) < most
        return fine


class Planned(NamedTuple):
    """The action of each customer and week (-1: none), prices, and a bound of the best plan before roundings."""

    choice: NDArray[np.int16]
    price: Floats
    bound: float


def plan(calendar: Calendar) -> Planned:
    """A plan within all limits and rules, and the prices that bound the best one."""
    n = len(calendar)
    choice = np.full((n, calendar.weeks), -1, dtype=np.int16)
    limits, zero = calendar.limits, np.zeros(len(calendar.limits))
    m = min(n, max(SAMPLE, min(n // 10, 2 * SAMPLE)))
    if not n:
        return Planned(choice, zero, 0.0)
    some = calendar.take(sample_rows(n, m), limits * (m / n)) if m < n else calendar
    size = some.bound(zero, some.see(zero)) if len(zero) else 0.0
    if size <= 0.0:
        return Planned(choice, zero, calendar.bound(zero, calendar.see(zero, choice)))
    high = 4.0 * size / some.limits
    cuts = Cuts()
    price = search(some, zero, high, zero, close=1e-6 * size, cuts=cuts, most=80).price
    least, best = math.inf, price
    for last in (False, False, True):
        seen = calendar.see(price, choice if last else None)
        bound = calendar.bound(price, seen)
        if bound < least:
            least, best = bound, price
        if last or m == n:
            if not last:
                calendar.see(price, choice)
            break
        here = some.see(price).used[0] * (n / m)
        corrected = some.under((limits - seen.used[0] + here) * (m / n))
        price = search(corrected, zero, high, price, close=1e-6 * size, cuts=cuts, most=25, smooth=False).price
    _fit(calendar, choice, price)
    return Planned(choice, best, least)


def _fit(calendar: Calendar, choice: NDArray[np.int16], price: Floats) -> None:
    """Drop what is over a limit, fill what is left; in place."""
    money, places = calendar.split(price)
    rows, weeks = np.nonzero(choice >= 0)
    actions = choice[rows, weeks].astype(np.intp)
    cost = calendar.cost[rows, weeks, actions].astype(np.float64)
    worth = calendar.gain[rows, weeks, actions] - (1.0 + money) * cost - places[weeks, actions]
    keep = np.ones(len(rows), dtype=bool)
    cell = weeks * max(calendar.channels, 1) + (calendar.channel[actions] if calendar.channels else 0)
    room = calendar.limits[int(calendar.money) :].copy()
    order = np.lexsort([-worth, cell])  # the worthiest of each cell first
    if calendar.channels:
        starts = np.searchsorted(cell[order], np.arange(len(room)))
        keep[order] = np.arange(len(order)) - starts[cell[order]] < room[cell[order]]
    left = math.inf
    if calendar.money:
        left = float(calendar.limits[0])
        order = np.argsort(-worth / np.maximum(cost, 1e-300), kind="stable")
        order = order[keep[order]]
        spent = np.cumsum(cost[order])
        keep[order[spent > left * (1 - 1e-12)]] = False
        left -= math.fsum(cost[keep].tolist())
    choice[rows[~keep], weeks[~keep]] = -1
    if calendar.channels:
        room -= np.bincount(cell[keep], minlength=len(room))
    for patience in (0.05, math.inf):
        left = _fill(calendar, choice, price, room, left, patience)


def _fill(
    calendar: Calendar, choice: NDArray[np.int16], price: Floats, room: Floats, left: float, patience: float
) -> float:
    """More contacts for those who lose least by one at the prices, whatever the week, while there is room and money.

    Nobody who would lose more than ``patience`` of the gain. Returns the money that is left; the rest is in place.
    """
    money, places = calendar.split(price)
    channels = max(calendar.channels, 1)
    found: list[tuple[Floats, Ints, Ints, Ints]] = []
    for week in range(calendar.weeks):
        here = room[week * channels : (week + 1) * channels] if calendar.channels else np.full(1, math.inf)
        if left <= 0 or not (here > 0).any():
            continue
        able = np.flatnonzero(calendar.legal(choice >= 0, week, calendar.start))
        gain, cost = calendar.gain[able, week].astype(np.float64), calendar.cost[able, week].astype(np.float64)
        net = gain - (1.0 + money) * cost - places[week]
        barred = (gain <= cost) | (cost > left)
        if patience < math.inf:
            barred |= net < -patience * gain
        if calendar.allowed is not None:
            barred |= ~calendar.allowed[able, week]
        for c in range(channels):
            mine = np.flatnonzero(calendar.channel == c) if calendar.channels else np.arange(calendar.actions)
            if not len(mine) or here[c] < 1:
                continue
            line = np.where(barred[:, mine], -math.inf, net[:, mine])
            action = line.argmax(axis=1)
            value = line[np.arange(len(able)), action]
            some = np.flatnonzero(value > -math.inf)
            few = int(min(4 * here[c] + 64, len(some)))
            if few < len(some):
                some = some[np.argpartition(-value[some], few)[:few]]
            found.append((value[some], able[some], np.full(few, week), mine[action[some]]))
    if not found:
        return left
    value, rows, weeks, actions = (np.concatenate(part) for part in zip(*found, strict=True))
    for j in np.lexsort([rows, weeks, -value]).tolist():
        row, week, action = int(rows[j]), int(weeks[j]), int(actions[j])
        cost_here = float(calendar.cost[row, week, action])
        cell = week * channels + (int(calendar.channel[action]) if calendar.channels else 0)
        if cost_here > left or (calendar.channels and room[cell] < 1) or choice[row, week] >= 0:
            continue
        if not calendar.legal(choice[row : row + 1] >= 0, week, calendar.start[row : row + 1])[0]:
            continue
        choice[row, week] = action
        left -= cost_here * (1 + 1e-12)
        if calendar.channels:
            room[cell] -= 1
    return left
