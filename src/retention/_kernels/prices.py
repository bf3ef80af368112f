r"""One action or none for each customer under shared limits: the prices of the limits, and what they prove.

The problem is to choose :math:`a_i \in \{\text{none}, 0, ..., K-1\}` so that :math:`\sum_i v_{i a_i}` is largest while
for every resource :math:`\sum_i u_{i a_i r} \le b_r`. For any prices :math:`p \ge 0`

.. math:: D(p) = \sum_r p_r b_r + \sum_i \max\bigl(0, \max_a (v_{ia} - \sum_r p_r u_{iar})\bigr)

is at least the best value (Lagrange; Fisher 1981, Management Science 27). ``D`` is convex and piecewise linear; its
slope at ``p`` is what is left of every limit once each customer takes what is best for her at ``p``. :func:`search`
makes it small by cutting planes (Kelley 1960), asked half-way between the cuts' best point and the best so far
(Ben-Ameur and Neto 2007); the cuts are the columns of Dantzig and Wolfe. :meth:`Market.screen` marks the customers
whose best action is the same at all prices in a box.

Resources are, in this order: those used by the pair (money, hours), those used by the action (hours, places in a
channel), a ceiling on the contacts of a segment, and a floor on them (as minus the contacts <= minus the floor).

Everything is computed in float64, a block of rows at a time, whatever the arrays are made of. A best value is wrong by
a few roundings of the largest gain, so the sum over n rows by at most ``n`` times that (:meth:`Market.slack`).

Where the rows come from does not matter: :class:`Market` holds them all, :class:`Parts` asks for them anew, a block at
a time, whenever it goes through them. The blocks are the same, and so is every figure, to the last bit.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp, minimize
from scipy.sparse import csr_array

__all__ = ["BLOCK", "Cuts", "Found", "Market", "Parts", "Screened", "Seen", "sample_rows", "search"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

BLOCK = 1 << 15
GOLDEN = (math.sqrt(5) - 1) / 2
MANY = 8  # prices, beyond which cutting planes need help (those of segments have cuts of their own)
KEPT = 1 << 19  # a market of no more pairs is kept in the form in which it is computed with
LEAST = 5e-324  # the smallest float above 0
FORBIDDEN = 1e300  # what a pair that must not be is short of: finite, since inf * 0 is no number


class Block(NamedTuple):
    """Rows as one contiguous line an action: what a pair brings (-inf where it must not be), and what it uses."""

    first: int
    profit: Floats
    uses: tuple[Floats, ...]
    group: Any
    segment: Any
    weight: Any


class Seen(NamedTuple):
    """What the customers do at a price, by group of customers: net of prices, before prices, and what they use."""

    net: Floats
    profit: Floats
    used: Floats


class Screened(NamedTuple):
    """The rows that are still open in a box of prices, and what all others bring and use; and who the open ones are."""

    rows: Ints
    profit: float
    used: Floats
    open: Any = None


class Priced(Protocol):
    """What :func:`search` needs to know of a problem."""

    limits: Floats

    def __len__(self) -> int: ...

    @property
    def shared(self) -> int:
        """How many prices concern everybody (those of a segment have cuts of their own)."""

    def see(self, price: Floats, into: Any = None) -> Seen:
        """What customers do at a price."""

    def bound(self, price: Floats, seen: Seen) -> float:
        """The bound at a price."""


class Market:
    """Customers, actions and limits. ``limits`` has one entry a resource; see the module for their order."""

    def __init__(
        self,
        gain: Any,
        cost: Any,
        limits: Floats,
        *,
        money: bool = False,
        hours: Any = None,
        spread: Any = None,
        allowed: Any = None,
        shut: Any = None,
        closed_hours: Any = None,
        table: Floats | None = None,
        ceilings: Ints | None = None,
        floors: Ints | None = None,
        segment: Any = None,
        segments: int = 0,
        single: tuple[float, float] = (np.inf, np.inf),
        weight: Any = None,
    ) -> None:
        self.gain, self.cost, self.hours, self.spread, self.allowed = gain, cost, hours, spread, allowed
        self.shut = None if shut is None or not np.any(shut) else np.flatnonzero(shut)
        self.closed_hours = closed_hours  # pairs that take any of them must not be
        self.limits = np.asarray(limits, dtype=np.float64)
        self.money, self.single = money, single
        self.table = np.zeros((0, gain.shape[1])) if table is None else table
        none = np.zeros(0, dtype=np.intp)
        self.ceilings, self.floors = none if ceilings is None else ceilings, none if floors is None else floors
        self.segment, self.segments, self.weight = segment, segments, weight
        self.pairs = int(money) + int(hours is not None)
        # A segment with a limit of its own is a group with its own cuts; all other customers are one.
        named = np.union1d(self.ceilings, self.floors)
        self.group_of = np.zeros(segments, dtype=np.intp)
        self.group_of[named] = 1 + np.arange(len(named))
        self.groups = 1 + len(named)
        self._kept: list[Block] | None = None

    def __len__(self) -> int:
        return len(self.gain)

    @property
    def actions(self) -> int:
        return int(self.gain.shape[1])

    @property
    def shared(self) -> int:
        """How many prices concern everybody."""
        return self.pairs + len(self.table)

    def take(self, rows: Any, limits: Floats, weight: Any = None) -> "Market":
        """Some of the customers under other limits."""

        def some(values: Any) -> Any:
            return None if values is None else values[rows]

        return Market(
            self.gain[rows],
            self.cost[rows],
            limits,
            money=self.money,
            hours=some(self.hours),
            spread=self.spread if self.spread is None else (self.spread[0], self.spread[1][rows]),
            allowed=some(self.allowed),
            shut=None if self.shut is None else np.isin(np.arange(self.actions), self.shut),
            closed_hours=some(self.closed_hours),
            table=self.table,
            ceilings=self.ceilings,
            floors=self.floors,
            segment=some(self.segment),
            segments=self.segments,
            single=self.single,
            weight=some(self.weight) if weight is None else weight,
        )

    def samples(self, *sizes: int) -> list["Market"]:
        """So many customers each, evenly from all, under limits in proportion."""
        n = len(self)
        return [self.take(sample_rows(n, m), self.limits * (m / n)) for m in sizes]

    def opened(self, screened: Screened) -> "Market":
        """The customers who are still open, under what the others leave."""
        return self.take(screened.rows, self.limits - screened.used)

    def under(self, limits: Floats) -> "Market":
        """The same customers under other limits; what was computed for them is shared."""
        other = object.__new__(Market)
        other.__dict__.update(self.__dict__)
        other.limits = limits
        return other

    def blocks(self) -> Iterator[Block]:
        """All rows, :data:`BLOCK` at a time; a large market's blocks share their memory, so use one before the next."""
        if self._kept is None and self.gain.size <= KEPT:
            self._kept = [self.block(slice(k, k + BLOCK)) for k in range(0, len(self), BLOCK)]
        if self._kept is not None:
            yield from self._kept
            return
        desk = [np.empty((self.actions, BLOCK)) for _ in range(2 + (self.hours is not None))]
        for k in range(0, len(self), BLOCK):
            yield self.block(slice(k, k + BLOCK), desk)

    def block(self, rows: Any, desk: list[Floats] | None = None) -> Block:
        """Some rows, in the form in which they are computed with; written to ``desk`` if given."""
        first = rows.start if isinstance(rows, slice) else 0
        n = len(self.gain[rows])
        desk = [np.empty((self.actions, n)) for _ in range(2 + (self.hours is not None))] if desk is None else desk
        if n < desk[0].shape[1]:
            desk = [np.empty((self.actions, n)) for _ in desk]
        profit, cost, *rest = desk
        np.copyto(profit, self.gain[rows].T)
        if self.allowed is not None:
            np.copyto(cost, self.allowed[rows].T)
            cost -= 1.0
            cost *= FORBIDDEN
            profit += cost
        if self.spread is not None:
            np.copyto(cost, self.spread[1][rows].T)
            cost *= self.spread[0]
            profit -= cost
        np.copyto(cost, self.cost[rows].T)
        profit -= cost
        uses = [cost] if self.money else []
        if self.shut is not None:
            profit[self.shut] = -FORBIDDEN
        if self.closed_hours is not None:
            profit[self.closed_hours[rows].T > 0] = -FORBIDDEN
        if self.single[0] < np.inf:
            profit[cost > self.single[0]] = -FORBIDDEN
        if self.hours is not None:
            np.copyto(rest[0], self.hours[rows].T)
            uses.append(rest[0])
            if self.single[1] < np.inf:
                profit[rest[0] > self.single[1]] = -FORBIDDEN
        segment = None if self.segment is None or self.groups == 1 else self.segment[rows]
        return Block(
            first,
            profit,
            tuple(uses),
            None if segment is None else self.group_of[segment],
            segment,
            None if self.weight is None else self.weight[rows],
        )

    def split(self, price: Floats) -> tuple[Floats, Floats, Floats | None]:
        """Prices as what a pair's use, an action and a contact in a segment cost."""
        pairs, rest = price[: self.pairs], price[self.pairs :]
        actions = rest[: len(self.table)] @ self.table
        if self.groups == 1:
            return pairs, actions, None
        rest = rest[len(self.table) :]
        segment = np.zeros(self.segments)
        segment[self.ceilings] += rest[: len(self.ceilings)]
        segment[self.floors] -= rest[len(self.ceilings) :]
        return pairs, actions, segment

    def nets(self, block: Block, price: Floats) -> Floats:
        """Net of prices, (actions, rows)."""
        pairs, actions, segment = self.split(price)
        net = block.profit - actions[:, None]
        for p, use in zip(pairs, block.uses, strict=True):
            net -= p * use
        if segment is not None:
            net -= segment[block.segment]
        return net

    def best(self, block: Block, price: Floats) -> tuple[NDArray[np.int16], Floats]:
        """The best action of each row at these prices (-1: none; the lowest index of equals), and its net."""
        pairs, actions, segment = self.split(price)
        n = block.profit.shape[1]
        at = np.full(n, -1, dtype=np.int16)
        best = np.zeros(n) if segment is None else segment[block.segment]
        one, better = np.empty(n), np.empty(n, dtype=bool)
        scratch, number = np.empty(n), np.empty(n, dtype=np.int16)
        for a in range(self.actions):
            np.subtract(block.profit[a], actions[a], out=one)
            for p, use in zip(pairs, block.uses, strict=True):
                one -= np.multiply(use[a], p, out=scratch)
            np.greater(one, best, out=better)
            np.maximum(one, best, out=best)
            np.multiply(better, np.int16(a + 1), out=number)
            number -= np.int16(1)
            np.maximum(at, number, out=at)
        if segment is not None:
            best -= segment[block.segment]
        return at, best

    def tally(self, block: Block, at: NDArray[np.int16]) -> tuple[Floats, Floats]:
        """What a choice brings before prices and what it uses, by group: (groups,), (groups, resources)."""
        rows = np.flatnonzero(at >= 0)
        a = at[rows].astype(np.intp)
        n = block.profit.shape[1]
        flat = a * n + rows
        w = None if block.weight is None else block.weight[rows]
        group = None if block.group is None else block.group[rows]
        k = self.pairs

        def summed(values: Floats) -> Any:
            values = values if w is None else values * w
            return values.sum() if group is None else np.bincount(group, values, self.groups)

        used = np.zeros((self.groups, len(self.limits)))
        profit = np.zeros(self.groups)
        profit[:] = summed(block.profit.ravel().take(flat))
        for r, use in enumerate(block.uses):
            used[:, r] = summed(use.ravel().take(flat))
        if len(self.table):
            cell = a if group is None else group * self.actions + a
            counts = np.bincount(cell, w, self.groups * self.actions).reshape(self.groups, -1)
            used[:, k : k + len(self.table)] = counts @ self.table.T
        if group is not None:
            each = np.bincount(block.segment[rows], w, self.segments)
            k += len(self.table)
            c = np.arange(len(self.ceilings))
            used[self.group_of[self.ceilings], k + c] = each[self.ceilings]
            f = np.arange(len(self.floors))
            used[self.group_of[self.floors], k + len(self.ceilings) + f] = -each[self.floors]
        return profit, used

    def see(self, price: Floats, into: Any = None) -> Seen:
        """What all rows do at these prices; written to ``into`` if given."""
        nets: list[Floats] = []
        profit, used = np.zeros(self.groups), np.zeros((self.groups, len(self.limits)))
        for block in self.blocks():
            at, best = self.best(block, price)
            if into is not None:
                into[block.first : block.first + len(at)] = at
            weighed = best if block.weight is None else best * block.weight
            nets.append(
                weighed.sum(keepdims=True)
                if block.group is None
                else np.bincount(block.group, weighed, self.groups).astype(np.float64)
            )
            more = self.tally(block, at)
            profit += more[0]
            used += more[1]
        net = np.array([math.fsum(column) for column in zip(*nets, strict=True)]) if nets else np.zeros(self.groups)
        return Seen(net, profit, used)

    def bound(self, price: Floats, seen: Seen) -> float:
        """``D(price)``."""
        return math.fsum([*(price * self.limits), *seen.net])

    def screen(self, price: Floats, radius: Floats, into: NDArray[np.int16] | None) -> Screened:
        """Fix the rows whose best action is one and the same within ``price ± radius``, and tell the others.

        A row is open if, of its actions and none, more than one could be the best somewhere in the box.
        """
        rows: list[Ints] = []
        total, used = 0.0, np.zeros(len(self.limits))
        reach = np.abs(radius)
        wide = np.empty((self.actions, BLOCK))
        for block in self.blocks():
            n = block.profit.shape[1]
            at, is_open = self.screened(block, price, reach, wide[:, :n])
            profit, use = self.tally(block, at)
            total += float(profit.sum())
            used += use.sum(axis=0)
            if into is not None:
                into[block.first : block.first + n] = at
            rows.append(block.first + np.flatnonzero(is_open))
        return Screened(np.concatenate(rows) if rows else np.zeros(0, dtype=np.intp), total, used)

    def screened(self, block: Block, price: Floats, reach: Floats, high: Floats) -> tuple[NDArray[np.int16], Any]:
        """The best action of each row in the box (-1: none, or more than one may be), and which rows are open."""
        pairs, actions, segment = self.split(price)
        # The centre's net and how far it moves inside the box, either way. A floor's price enters with its sign, its
        # reach without, so the box is split as if floors were ceilings.
        widths = self.split(self.apart(reach))
        n = block.profit.shape[1]
        # Nothing at all is better than what brings nothing more than it, so an action must bring a little.
        floor, low, scratch = np.full(n, LEAST), np.empty(n), np.empty(n)
        base = None if segment is None or widths[2] is None else (segment[block.segment], widths[2][block.segment])
        for a in range(self.actions):
            top = high[a]
            np.subtract(block.profit[a], actions[a] - widths[1][a], out=top)
            np.subtract(block.profit[a], actions[a] + widths[1][a], out=low)
            for p, r, use in zip(pairs, widths[0], block.uses, strict=True):
                top -= np.multiply(use[a], p - r, out=scratch)
                low -= np.multiply(use[a], p + r, out=scratch)
            if base is not None:
                top -= base[0] - base[1]
                low -= base[0] + base[1]
            np.maximum(floor, low, out=floor)
        able = (floor <= LEAST).astype(np.int16)
        at = np.full(n, -1, dtype=np.int16)
        alive, number = np.empty(n, dtype=bool), np.empty(n, dtype=np.int16)
        for a in range(self.actions):
            np.greater_equal(high[a], floor, out=alive)
            able += alive
            np.multiply(alive, np.int16(a + 1), out=number)
            number -= np.int16(1)
            np.maximum(at, number, out=at)
        is_open = able > 1
        at[is_open] = -1
        return at, is_open

    def apart(self, amounts: Floats) -> Floats:
        """Amounts with a minus for floors, so that :meth:`split` adds them up instead of setting them off."""
        return np.where(np.arange(len(amounts)) < len(amounts) - len(self.floors), amounts, -amounts)

    def slack(self, price: Floats, largest: float) -> float:
        """More than all roundings in ``D(price)`` together; ``largest`` is the largest gain of a pair.

        At prices that leave a pair worth taking, all that is subtracted from its gain is less than the gain (and what
        a floor adds), so each step rounds by less than eps times that.
        """
        segment = self.split(price)[2]
        most = max(largest, 0.0) + (0.0 if segment is None else 2 * float(np.abs(segment).max(initial=0.0)))
        heads = len(self) if self.weight is None else float(self.weight.sum())
        steps = 8 + len(self.limits)
        return float(np.finfo(np.float64).eps * steps * (heads * most + float(np.abs(price * self.limits).sum())))


class Parts(Market):
    """Customers who are not kept: ``pieces`` goes through them, :data:`BLOCK` at a time, as often as it is asked.

    Each piece is a market of its own, with the limits and tables of ``like``, which has no rows.
    """

    def __init__(self, like: Market, rows: int, pieces: Callable[[], Iterator[Market]]) -> None:
        self.__dict__.update(like.__dict__)
        self._rows, self._pieces = rows, pieces

    def __len__(self) -> int:
        return self._rows

    def pieces(self) -> Iterator[tuple[int, Market]]:
        """Each piece and how many rows are before it."""
        first = 0
        for piece in self._pieces():
            yield first, piece
            first += len(piece)

    def blocks(self) -> Iterator[Block]:
        desk = [np.empty((self.actions, BLOCK)) for _ in range(2 + (self.hours is not None))]
        for first, piece in self.pieces():
            yield piece.block(slice(0, len(piece)), desk)._replace(first=first)

    def take(self, rows: Any, limits: Floats, weight: Any = None) -> Market:
        """Some of the customers, in order, kept in memory."""
        return self._taken([(rows, limits)])[0]

    def samples(self, *sizes: int) -> list[Market]:
        n = self._rows
        return self._taken([(sample_rows(n, m), self.limits * (m / n)) for m in sizes])

    def _taken(self, asked: Sequence[tuple[Any, Floats]]) -> list[Market]:
        kept: list[list[Market]] = [[] for _ in asked]
        for first, piece in self.pieces():
            for some, (rows, _) in zip(kept, asked, strict=True):
                start, end = np.searchsorted(rows, [first, first + len(piece)])
                if start < end:
                    some.append(piece.take(rows[start:end] - first, self.limits))
        return [self._joined(some, limits) for some, (_, limits) in zip(kept, asked, strict=True)]

    def screen(self, price: Floats, radius: Floats, into: NDArray[np.int16] | None) -> Screened:
        rows: list[Ints] = []
        kept: list[Market] = []
        total, used = 0.0, np.zeros(len(self.limits))
        for first, piece in self.pieces():
            one = piece.screen(price, radius, None if into is None else into[first : first + len(piece)])
            total += one.profit
            used += one.used
            if len(one.rows):
                rows.append(first + one.rows)
                kept.append(piece.take(one.rows, self.limits))
        return Screened(np.concatenate(rows) if rows else np.zeros(0, dtype=np.intp), total, used, kept)

    def opened(self, screened: Screened) -> Market:
        return self._joined(screened.open, self.limits - screened.used)

    def _joined(self, parts: list[Market], limits: Floats) -> Market:
        def all_of(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            return None if not values or values[0] is None else np.concatenate(values)

        if not parts:
            return Market.take(self, np.zeros(0, dtype=np.intp), limits)
        out = parts[0].take(np.zeros(0, dtype=np.intp), limits)
        for name in ("gain", "cost", "hours", "allowed", "closed_hours", "segment", "weight"):
            setattr(out, name, all_of(name))
        if out.spread is not None:
            out.spread = (out.spread[0], np.concatenate([part.spread[1] for part in parts]))
        return out


def sample_rows(n: int, m: int) -> Ints:
    """``m`` of ``n`` rows, one in each of ``m`` equal stretches, its place there by a golden-ratio sequence."""
    j = np.arange(m)
    rows: Ints = np.minimum(((j + np.mod(j * GOLDEN, 1.0)) * (n / m)).astype(np.intp), n - 1)
    return rows


class Cuts:
    """What was seen at each price: lower bounds of ``D`` everywhere, and columns of the primal problem.

    They do not depend on the limits, so they serve for other limits of the same customers as well.
    """

    def __init__(self) -> None:
        self.profit: list[Floats] = []
        self.used: list[Floats] = []
        self.price: list[Floats] = []
        self.choice: list[NDArray[np.int16]] = []

    def add(self, price: Floats, seen: Seen) -> None:
        self.profit.append(seen.profit)
        self.used.append(seen.used)
        self.price.append(price)

    def lowest(
        self, limits: Floats, low: Floats, high: Floats, centre: Floats, reach: Floats, size: float
    ) -> tuple[Floats, float] | None:
        """Where in the box the cuts are lowest, and how low; in coordinates in which the solver sees ones."""
        profit, used = np.array(self.profit), np.array(self.used)  # (cuts, groups), (cuts, groups, resources)
        k, g, r = used.shape
        level = (profit - used @ centre).max(axis=0)
        rows = np.concatenate([-(used * reach).reshape(k * g, r) / size, -np.tile(np.eye(g), (k, 1))], axis=1)
        right = -((profit - used @ centre - level) / size).ravel()
        bounds = Bounds(
            np.concatenate([(low - centre) / reach, np.full(g, -np.inf)]),
            np.concatenate([(high - centre) / reach, np.full(g, np.inf)]),
        )
        aim = np.concatenate([limits * reach / size, np.ones(g)])
        matrix = rows if g == 1 else csr_array(rows)
        done = milp(aim, constraints=LinearConstraint(matrix, ub=right), bounds=bounds)
        if done.x is None:
            return None
        price = np.clip(centre + reach * done.x[:r], low, high)
        lowest = float(limits @ price) + float((profit - used @ price).max(axis=0).sum())
        return price, lowest


class Found(NamedTuple):
    """The best prices that were seen, ``D`` there, and how low ``D`` may be in the box."""

    price: Floats
    bound: float
    lowest: float


def search(
    market: Priced,
    low: Floats,
    high: Floats,
    start: Floats,
    *,
    close: float,
    cuts: Cuts,
    most: int = 200,
    choices: bool = False,
    smooth: bool = True,
) -> Found:
    """Make ``D`` small in a box until it is within ``close`` of its least; deterministic.

    With many prices the cuts alone zigzag. There a quasi-Newton search goes first (``D`` is nearly smooth where
    customers are many) unless not ``smooth``, and steps are kept to a region that grows when it helped.
    """
    best = np.clip(start, low, high)
    limits = market.limits
    wide = np.where(high > low, high - low, 1.0)

    def ask(price: Floats) -> tuple[float, Seen]:
        into = np.empty(len(market), dtype=np.int16) if choices else None
        seen = market.see(price, into)
        cuts.add(price, seen)
        if into is not None:
            cuts.choice.append(into)
        return market.bound(price, seen), seen

    least = ask(best)[0]
    size = max(abs(least), 1e-300)
    many = market.shared > MANY
    region = np.full(len(best), np.inf)
    if many:
        usual = np.minimum(wide, abs(least) / np.maximum(np.abs(limits), 1e-300))
        scale = np.where(best > 0, np.maximum(best, 1e-3 * wide), usual)

        first = best
        if smooth:

            def slope(at: Floats) -> tuple[float, Floats]:
                value, seen = ask(at * scale)
                return value / size, (limits - seen.used.sum(axis=0)) * scale / size

            done = minimize(
                slope,
                best / scale,
                jac=True,
                method="L-BFGS-B",
                bounds=list(zip(low / scale, high / scale, strict=True)),
                options={"maxfun": 60, "ftol": 1e-9, "gtol": 0.0},
            )
            tried = np.clip(done.x * scale, low, high)
            value = ask(tried)[0]
            if value < least:
                best, least = tried, value
        region = np.maximum(0.05 * best, 0.1 * np.abs(best - first)) + 1e-3 * scale
    floor = -math.inf
    reach = np.where(high > low, np.minimum(wide, 1e3 * np.maximum(best, 1e-3 * wide)), 1.0)
    weight = 0.5
    for _ in range(most):
        left, right = np.maximum(low, best - region), np.minimum(high, best + region)
        got = cuts.lowest(limits, left, right, best, reach, size)
        if got is None:
            break
        there, lowest = got
        held = ((there <= left) & (left > low)) | ((there >= right) & (right < high))
        if not held.any():
            floor = max(floor, lowest)
        if least - max(floor, lowest) <= close:
            if not held.any() or not many:
                break
            region *= 4.0
            continue
        size = max(least - lowest, 1e-13 * abs(least), 1e-300)
        step = np.abs(there - best)
        reach = np.where(high > low, np.maximum(step, 1e-6 * step.max(initial=0.0) + 1e-12 * wide), 1.0)
        price = best + (1.0 - weight) * (there - best)
        value = ask(price)[0]
        if value < least:
            if many and least - value > 0.3 * (least - lowest):
                region *= 2.0
            best, least = price, value
            weight = 0.5
        else:
            weight = max(weight - 0.15, 0.0)
            if many and value - least > 0.3 * (least - lowest):
                region *= 0.7
    return Found(best, least, min(floor, least))
