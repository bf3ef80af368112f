"""From prices to whole customers: who gets what, so that no limit is broken and the loss to the bound is tiny.

1. :func:`narrow`: prices from a sample, corrected by what everybody uses at them (the sample then only has to tell how
   use *changes* with prices); whoever does the same in a whole box of prices around that is done. The rest is a market
   of its own under what is left, and so on until it is small. Where hardly anybody has something to gain, those who do
   are the market, for a sample would miss them. If prices leave a box in the end, it was too small: once more, wider.
2. Equal rows are merged into classes with a weight, so that a tie is a number to be divided and not a thousand choices.
3. The classes nearest to a change of mind go into a linear programme, exactly; if they were too few to meet the bound
   (nearly equal rows by the ten thousand), everybody on whom the columns of the price search disagree is divided among
   them by a golden-ratio sequence first (Dantzig and Wolfe 1960).
4. What the programme leaves in pieces (at most one class a limit) is dropped. Single changes of mind and pairs of them
   among the nearest classes use what that leaves; if a piece was too large for that, the others are settled once more.
5. Small problems are finished by an integer programme over the pairs that may still be in a better solution.
"""

import math
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array

from retention._kernels.prices import FORBIDDEN, GOLDEN, Cuts, Floats, Ints, Market, Parts, search
from retention._kernels.programme import forked, pairs_of, proved, stack, use_of_pairs, value_of

__all__ = ["Assigned", "Decided", "assign", "linear", "merged", "settle", "within"]

Choice = NDArray[np.int16]

SMALL = 40_000  # rows whose prices are searched without a sample
FIRST, SAMPLE = 8_192, 65_536
WIDER = (10.0, 100.0, 0.0)  # times the usual box, where prices left it; 0: no more
RARE = 0.02  # the share of a sample with something to gain, below which the sample is not asked for prices
NEAR, FAR = 600, 6_000  # classes in the linear programme
AT_ONCE = 3_000  # pairs of which the linear programme is solved without a search
REMEMBERED = 2_000_000  # rows of which every column is kept
POOL = 400  # moves of which pairs are tried
ROUNDS = 60


class Decided(NamedTuple):
    """Everybody's action, told when asked for a piece of the customers: by prices, and for a few by name.

    Of those whom no price in the box ``price ± reach`` moves the action is worked out anew (without ``reach``: of all,
    at the price; without a price nobody has one). The ``rows`` have their ``actions`` whatever the prices say.
    """

    price: Floats | None
    reach: Floats | None
    rows: Ints
    actions: Choice

    def of(self, first: int, piece: Market) -> Choice:
        """The actions of a piece of the customers with ``first`` others before it."""
        at = np.full(len(piece), -1, dtype=np.int16)
        for block in piece.blocks():
            here = slice(block.first, block.first + block.profit.shape[1])
            if self.price is None:
                break
            if self.reach is None:
                at[here] = piece.best(block, self.price)[0]
            else:
                at[here] = piece.screened(block, self.price, self.reach, np.empty_like(block.profit))[0]
        start, end = np.searchsorted(self.rows, [first, first + len(piece)])
        at[self.rows[start:end] - first] = self.actions[start:end]
        return at

    def without(self, rows: Ints) -> "Decided":
        """The same, but nothing for these customers."""
        both = np.concatenate([rows, self.rows])
        actions = np.concatenate([np.full(len(rows), -1, dtype=np.int16), self.actions])
        named, first = np.unique(both, return_index=True)
        return self._replace(rows=named, actions=actions[first])


class Narrowed(NamedTuple):
    """The market that is still open, a price, the highest sensible ones, and ``D(0)``; and how the rest is decided.

    ``choice`` has the actions of all customers, or (of a market in parts) of those who were open after the first box;
    these are ``named``. ``rows`` says who of ``choice`` are in the market. All others bring ``profit``, as long as
    prices stay in the ``boxes``.
    """

    market: Market
    price: Floats
    high: Floats
    size: float
    choice: Choice
    rows: NDArray[np.signedinteger]
    named: Ints | None
    profit: float
    boxes: list[tuple[Floats, Floats]]

    def bound(self, price: Floats) -> float | None:
        """``D(price)`` of all, for which only those in the market need be asked; None out of the boxes."""
        inside = all((np.abs(price - centre) <= reach).all() for centre, reach in self.boxes)
        return self.profit + self.market.bound(price, self.market.see(price)) if inside else None


class Assigned(NamedTuple):
    """Everybody's action, prices, a bound of the best (before :meth:`Market.slack`), and if whole numbers made it.

    The actions of a market in parts are :class:`Decided` and not an array.
    """

    choice: Any
    price: Floats
    bound: float
    proved: bool


def _highest(market: Market, size: float, dearest: float) -> Floats:
    """Prices above which no best price lies: a limit times its price is at most ``D`` (for floors and 0: as told)."""
    sensible = market.limits > 0
    return np.where(sensible, 4.0 * size / np.where(sensible, market.limits, 1.0), dearest)


class _Open:
    """The customers who are still open, how those are decided who are not, and what these bring."""

    def __init__(self, market: Market) -> None:
        self.market, self.profit = market, 0.0
        self.boxes: list[tuple[Floats, Floats]] = []
        self.named: Ints | None = None
        n = 0 if isinstance(market, Parts) else len(market)
        self.choice, self.rows = np.full(n, -1, dtype=np.int16), np.arange(n, dtype=np.int32)

    def screen(self, price: Floats, radius: Floats, most: float) -> bool:
        """Fix whom no price in a box would move, unless more than a share of ``most`` would be left."""
        market = self.market
        at = None if isinstance(market, Parts) else np.empty(len(market), dtype=np.int16)
        screened = market.screen(price, radius, at)
        if len(screened.rows) > most * len(market):
            return False
        if at is None:
            self._name(screened.rows)
        else:
            self.choice[self.rows] = at
            self.rows = self.rows[screened.rows]
        self.market = market.opened(screened)
        self.profit += screened.profit
        self.boxes.append((price, radius))
        return True

    def keep(self, *, nobody: bool = False) -> None:
        """Customers who are read anew until now are kept from here on; or nobody is open."""
        if nobody or isinstance(self.market, Parts):
            rows = np.arange(0 if nobody else len(self.market))
            if isinstance(self.market, Parts):
                self._name(rows)
            self.rows = self.rows[rows]
            self.market = self.market.take(rows, self.market.limits)

    def _name(self, rows: Ints) -> None:
        self.named = rows
        self.choice, self.rows = np.full(len(rows), -1, dtype=np.int16), np.arange(len(rows), dtype=np.int32)


def narrow(
    market: Market, *, dearest: float, spread: float, before: Narrowed | None = None, wider: float = 1.0
) -> Narrowed:
    """Fix whom no reasonable price would move; or fewer, if the prices had left the boxes ``before``."""
    price, left = np.zeros(len(market.limits)), _Open(market)
    if before is not None:
        price, radius = before.boxes[0]
        if not left.screen(price, np.minimum(wider * radius, np.maximum(before.high, radius)), 0.7):
            return before
        return _narrowed(left, price, before.high, before.size, [], wider)
    n = len(market)
    first, *ready = market.samples(FIRST, min(SAMPLE, n)) if n > SMALL else [market]
    at = np.empty(len(first), dtype=np.int16)
    share = len(first) / max(n, 1)
    size = max(first.bound(price, first.see(price, at)) / share, spread) if n else 0.0
    high = _highest(market, size, dearest)
    if n > SMALL and np.count_nonzero(at >= 0) < RARE * len(first):
        # A sample may know nothing of the few for whom something would gain: these first, by themselves.
        size = max(market.bound(price, market.see(price)), spread)
        high = _highest(market, size, dearest)
        if size > 0.0 and left.screen(0.5 * high, 0.5 * high, 0.7) and len(left.market) > SMALL:
            first, *ready = left.market.samples(min(FIRST, len(left.market)))
            share = len(first) / len(left.market)
    if len(left.market) > SMALL and size > 0.0:
        price = search(first, price, high, price, close=1e-4 * size * share, cuts=Cuts()).price
    if n > SMALL and size <= 0.0:
        left.keep(nobody=True)
    return _narrowed(left, price, high, size, ready, wider)


def _narrowed(left: _Open, price: Floats, high: Floats, size: float, ready: list[Market], wider: float) -> Narrowed:
    """The same from a price on, box by box; ``ready`` may have the first sample."""
    while len(left.market) > SMALL:
        n = len(left.market)
        some = ready.pop() if ready else left.market.samples(min(SAMPLE, n))[0]
        part = len(some) / n
        cuts, close = Cuts(), 1e-6 * size * part
        guess = search(some, np.zeros(len(price)), high, price, close=close, cuts=cuts).price
        here = some.see(guess).used.sum(axis=0) / part
        everybody = left.market.see(guess).used.sum(axis=0)
        corrected = some.under((left.market.limits - everybody + here) * part)
        price = search(corrected, np.zeros(len(price)), high, guess, close=close, cuts=cuts).price
        scale = np.minimum(size / np.maximum(np.abs(left.market.limits), 1e-300), high)
        if not left.screen(price, wider * (1.5 * np.abs(price - guess) + 3e-3 * price + 1e-5 * scale), 0.7):
            break
    left.keep()
    return Narrowed(left.market, price, high, size, left.choice, left.rows, left.named, left.profit, left.boxes)


def merged(market: Market) -> tuple[Market, Ints]:
    """Equal rows as one, with a weight; and each row's class."""
    n, step = len(market), 1 << 14
    digest = np.empty(n)
    for block in market.blocks():
        # Equal rows have equal digests; that rows of one digest are equal is looked up below.
        one = np.zeros(block.profit.shape[1]) if block.segment is None else math.pi * block.segment
        for i, line in enumerate(line for part in (block.profit, *block.uses) for line in part):
            one += np.mod((i + 1) * GOLDEN, 1.0) * np.where(line < -FORBIDDEN / 2, -1.0, line)
        digest[block.first : block.first + len(one)] = one
    _, first, which = np.unique(digest, return_index=True, return_inverse=True)
    if len(first) == n:
        return market.take(first, market.limits, np.ones(n)), which
    odd: list[Ints] = []
    for k in range(0, n, step):
        rows = np.arange(k, min(k + step, n))
        mine, like = market.block(rows), market.block(first[which[rows]])
        same = np.ones(len(rows), dtype=bool)
        for here, there in zip((mine.profit, *mine.uses), (like.profit, *like.uses), strict=True):
            same &= (here == there).all(axis=0)
        if mine.segment is not None:
            same &= mine.segment == like.segment
        odd.append(rows[~same])
    alone = np.concatenate(odd)  # two digests collided: those rows stay by themselves
    which[alone] = len(first) + np.arange(len(alone))
    first = np.concatenate([first, alone])
    weight = np.bincount(which, minlength=len(first)).astype(np.float64)
    return market.take(first, market.limits, weight), which


def nearness(market: Market, price: Floats, unit: Floats) -> Floats:
    """By how many ``unit`` prices must move until each row changes her mind (0 at a tie)."""
    block = market.block(slice(0, len(market)))
    at, best = market.best(block, price)
    nets = market.nets(block, price)
    n = np.arange(len(at))
    some = at >= 0
    a = np.maximum(at, 0).astype(np.intp)
    pairs, _, segment = market.split(market.apart(unit))
    step = np.full(len(at), np.inf)
    own_table = np.where(some, market.table[:, a], 0.0) if len(market.table) else np.zeros((0, len(at)))
    weights = unit[market.pairs : market.pairs + len(market.table)]
    contact = np.zeros(len(at)) if segment is None else segment[block.segment]
    for b in range(-1, market.actions):
        behind = best - (nets[b] if b >= 0 else 0.0)
        moved = np.zeros(len(at))
        for u, use in zip(pairs, block.uses, strict=True):
            moved += u * np.abs(np.where(some, use[a, n], 0.0) - (use[b] if b >= 0 else 0.0))
        if len(market.table):
            moved += np.einsum("r,ri->i", weights, np.abs(own_table - (market.table[:, b, None] if b >= 0 else 0.0)))
        moved += contact * (some != (b >= 0))
        other = at != b
        possible = other & (behind < FORBIDDEN / 2) & ((moved > 0) | (behind <= 0))
        with np.errstate(over="ignore"):  # where no price reaches, it is infinitely far
            np.divide(behind, moved, out=behind, where=moved > 0)
        step = np.where(possible, np.minimum(step, np.maximum(behind, 0.0)), step)
    return step


class Linear(NamedTuple):
    """An optimum of the linear programme: contacts by class and action, prices, and the value."""

    contacts: Floats
    price: Floats
    value: float


def linear(market: Market, price: Floats | None) -> Linear | None:
    """The linear programme over a small market (HiGHS): exact, or of the pairs that matter near a price."""
    profit, uses = pairs_of(market)
    if price is None:
        actions, rows = np.nonzero(profit > -FORBIDDEN / 2)
    else:
        nets = np.vstack([np.zeros(len(market)), market.nets(market.block(slice(0, len(market))), price)])
        best, second = np.partition(nets, (-2, -1), axis=0)[[-1, -2]]
        # A pair further behind the best than every row's runner-up hardly matters; the bound tells if it did.
        reach = np.where(second > -FORBIDDEN / 2, best - second, 0.0).max(initial=0.0)
        actions, rows = np.nonzero(nets[1:] >= np.maximum(best - 4.0 * reach, -FORBIDDEN / 2))
    n = len(market)
    weight = np.ones(n) if market.weight is None else market.weight
    if not len(rows):
        return Linear(np.zeros((n, market.actions)), np.zeros(len(market.limits)), 0.0)
    value = profit[actions, rows]
    use = use_of_pairs(market, uses, rows, actions)
    most = np.abs(use).max(axis=0)
    unit = np.where(most > 0, most, 1.0)  # a limit that nobody uses holds in any unit
    size = float(np.abs(value).max()) or 1.0
    one = csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(n, len(rows)))
    both = csr_array(stack(one, csr_array((use / unit).T)))
    done = linprog(
        -value / size,
        A_ub=cast(Any, both),
        b_ub=np.concatenate([weight, market.limits / unit]),
        bounds=(0, None),
        method="highs-ds",
    )
    if done.x is None:
        return None
    contacts = np.zeros((n, market.actions))
    contacts[rows, actions] = done.x
    price = np.maximum(-np.asarray(done.ineqlin.marginals)[n:], 0.0) * size / unit
    return Linear(contacts, price, -float(cast(Any, done.fun)) * size)


def divided(market: Market, cuts: Cuts) -> Floats:
    """Contacts by the columns of a price search: customers on whom they disagree are dealt out by a golden-ratio
    sequence, in the shares of the columns, alike ones one after the other."""
    profit, used = np.array(cuts.profit), np.array(cuts.used)
    k, g, r = used.shape
    unit = np.maximum(np.abs(market.limits), 1e-300)
    counts = np.zeros((len(market), market.actions))
    done = linprog(
        -profit.ravel() / max(float(np.abs(profit).max()), 1e-300),
        A_ub=np.concatenate([used.reshape(k * g, r).T / unit[:, None], np.tile(np.eye(g), (1, k))]),
        b_ub=np.concatenate([market.limits / unit, np.ones(g)]),
        bounds=(0, None),
        method="highs-ds",
    )
    if done.x is None:
        return counts
    theta = np.asarray(done.x).reshape(k, g)
    weight = np.ones(len(market)) if market.weight is None else market.weight
    group = np.zeros(len(market), dtype=np.intp) if market.groups == 1 else market.group_of[market.segment]
    best = pairs_of(market)[0].max(axis=0)
    for one in range(g):
        mine = np.flatnonzero(group == one)
        active = np.flatnonzero(theta[:, one] > 1e-12)
        share = np.append(theta[active, one], max(1.0 - theta[active, one].sum(), 0.0))  # the rest gets nothing
        columns = np.full((len(share), len(mine)), -1, dtype=np.int16)
        columns[:-1] = np.array([cuts.choice[j][mine] for j in active]).reshape(len(active), len(mine))
        if share[-1] <= 1e-9 and len(active):
            share, columns = share[:-1], columns[:-1]
        order = np.lexsort([best[mine], *columns, (columns != columns[0]).any(axis=0)])
        heads = np.repeat(order, weight[mine[order]].astype(np.intp))
        turn = np.mod((np.arange(len(heads)) + 1) * GOLDEN, 1.0)
        pick = np.minimum(np.searchsorted(np.cumsum(share) / share.sum(), turn, side="right"), len(share) - 1)
        action = columns[pick, heads]
        some = action >= 0
        np.add.at(counts, (mine[heads[some]], action[some]), 1.0)
    return counts


def _unit(market: Market, price: Floats, size: float) -> Floats:
    scale = size / np.maximum(np.abs(market.limits), 1e-300)
    return price + 1e-3 * np.minimum(scale, max(float(price.max(initial=0.0)), 1e-12) * 1e3) + 1e-300


def settle(market: Market, price: Floats, high: Floats, size: float, *, again: int = 3) -> tuple[Floats, Floats]:
    """Whole contacts by class and action, and prices."""
    n, zero = len(market), np.zeros(len(market.limits))
    if not n or size <= 0.0:
        return np.zeros((n, market.actions)), zero
    weight = np.ones(n) if market.weight is None else market.weight
    cuts = Cuts()
    at_once = linear(market, None) if n * market.actions <= AT_ONCE else None
    if at_once is not None:
        price = at_once.price
    else:
        price = search(market, zero, high, price, close=1e-9 * size, cuts=cuts, choices=NEAR < n <= REMEMBERED).price
    at = np.empty(n, dtype=np.int16)
    bound = market.bound(price, market.see(price, at))
    base = np.zeros((n, market.actions))
    some = np.flatnonzero(at >= 0)
    base[some, at[some]] = weight[some]
    counts, near = base, np.arange(n)
    for most in (NEAR, FAR, 0):
        if most == 0:
            if not cuts.choice:
                break
            base, most = divided(market, cuts), NEAR
        near = np.arange(n)
        if n > most and at_once is None:
            step = nearness(market, price, _unit(market, price, size))
            near = np.sort(np.argpartition(step, most)[:most])
        counts = base.copy()
        counts[near] = 0.0
        profit, used = value_of(market, counts)
        got = at_once or linear(market.take(near, market.limits - used, weight[near]), price)
        if got is None:
            counts = base
            continue
        counts[near] = got.contacts
        there = market.bound(got.price, market.see(got.price))
        if there < bound:
            bound, price = there, got.price
        if bound - profit - got.value <= 1e-7 * size or len(near) == n:
            break
    rounded = whole(market, counts, near, price, bound, size)
    value, used = value_of(market, rounded)
    broken = np.abs(counts - np.rint(counts)).max(axis=1) > 1e-7
    if again and broken.any() and bound - value > 1e-5 * size:
        # A piece of a very large contact leaves more than changes of mind of a few can use: without it, once more.
        rest = np.flatnonzero(~broken)
        other = np.where(broken[:, None], np.floor(counts + 1e-7), 0.0)
        left = market.limits - value_of(market, other)[1]
        other[rest] = settle(market.take(rest, left, weight[rest]), price, high, size, again=again - 1)[0]
        found, needs = value_of(market, other)
        if (found > value and (needs <= market.limits).all()) or not (used <= market.limits).all():
            rounded = other
    return rounded, price


def whole(market: Market, counts: Floats, near: Ints, price: Floats, bound: float, size: float) -> Floats:
    """Whole contacts: pieces are dropped, then single changes and pairs of changes use what is left of the limits."""
    rounded = np.floor(counts + 1e-7)
    profit, used = value_of(market, rounded)
    left = market.limits - used
    for _ in range(ROUNDS):
        if bound - profit <= 1e-7 * size and (left >= 0).all():
            break
        moves = _moves(market, rounded, near, price)
        if not len(moves.gain):
            break
        picked = _best_pair(moves, left, len(market.floors))
        if not len(picked):
            break
        for j in picked:
            if moves.source[j] >= 0:
                rounded[moves.row[j], moves.source[j]] -= 1
            if moves.target[j] >= 0:
                rounded[moves.row[j], moves.target[j]] += 1
        profit, used = value_of(market, rounded)
        left = market.limits - used
    return rounded


class _Moves(NamedTuple):
    """One customer of a class from one action to another (-1: none): what it brings and uses."""

    row: Ints
    source: Ints
    target: Ints
    gain: Floats
    use: Floats


def _moves(market: Market, counts: Floats, near: Ints, price: Floats) -> _Moves:
    """The :data:`POOL` moves among near classes that lose least at the prices."""
    there = market.take(near, market.limits, None if market.weight is None else market.weight[near])
    weight = np.ones(len(near)) if there.weight is None else there.weight
    profit, uses = pairs_of(there)
    nets = np.vstack([np.zeros(len(near)), there.nets(there.block(slice(0, len(near))), price)])
    has = np.vstack([weight - counts[near].sum(axis=1), counts[near].T]) >= 1.0
    best = np.where(has, nets, np.inf)
    loss = best[:, None, :] - nets[None, :, :]  # (source, target, row)
    steps = np.arange(len(nets))
    loss[steps, steps] = np.inf
    loss[:, nets < -FORBIDDEN / 2] = np.inf
    flat = loss.ravel()
    few = np.argpartition(flat, POOL)[:POOL] if flat.size > POOL else np.arange(flat.size)
    few = np.sort(few[np.isfinite(flat[few])])
    source, target, row = np.unravel_index(few, loss.shape)
    padded = np.vstack([np.zeros(len(near)), profit])
    use = np.zeros((len(few), len(market.limits)))
    for sign, actions in ((1.0, target), (-1.0, source)):
        some = np.flatnonzero(actions > 0)
        use[some] += sign * use_of_pairs(there, uses, row[some], actions[some] - 1)
    return _Moves(near[row], source - 1, target - 1, padded[target, row] - padded[source, row], use)


def _best_pair(moves: _Moves, left: Floats, floors: int) -> Ints:
    """The move, or the two moves of different classes, that fit what is left and bring most; empty if none gains.

    A floor that is not reached yet comes before any gain.
    """
    m, first_floor = len(moves.gain), len(left) - floors
    worth = moves.gain.copy()
    dear = 4.0 * float(np.abs(worth).max()) + 1.0
    gain = worth[:, None] + worth[None, :]
    bad = moves.row[:, None] == moves.row[None, :]
    alone = np.ones(m, dtype=bool)
    for r in np.flatnonzero(np.isfinite(left)):
        one = moves.use[:, r]
        both = one[:, None] + one[None, :]
        alone &= one <= max(left[r], 0.0)
        bad |= both > max(left[r], 0.0)
        if r >= first_floor and left[r] < 0:
            worth += dear * np.minimum(-one, -left[r])
            gain += dear * np.minimum(-both, -left[r])
    gain[bad] = -np.inf
    worth[~alone] = -np.inf
    i, j = np.unravel_index(int(np.argmax(gain)), gain.shape)
    k = int(np.argmax(worth))
    if max(gain[i, j], worth[k]) <= 0.0:
        return np.zeros(0, dtype=np.intp)
    return np.array([k] if worth[k] >= gain[i, j] else [i, j])


def assign(
    market: Market, *, dearest: float = 0.0, spread: float = 0.0, prove: bool = False, nodes: int | None = None
) -> Assigned:
    """Everybody's action by prices; see the module.

    With ``prove`` an integer programme finishes what is left, except in a forked child of a process that ran one: the
    solver would wait for ever for threads that did not come along. Where there are floors, ``dearest`` is the highest
    price of one that is tried, and ``spread`` how much all of them may cost.
    """
    if not len(market.limits):
        zero, none = np.zeros(0), np.zeros(0, dtype=np.int16)
        at = None if isinstance(market, Parts) else np.full(len(market), -1, dtype=np.int16)
        bound = market.bound(zero, market.see(zero, at))
        return Assigned(Decided(zero, None, np.zeros(0, dtype=np.intp), none) if at is None else at, zero, bound, True)
    prove = prove and not forked()
    narrowed = narrow(market, dearest=dearest, spread=spread)
    for wider in WIDER:
        classes, which = merged(narrowed.market)
        counts, price = settle(classes, narrowed.price, narrowed.high, narrowed.size, again=0 if prove else 3)
        found = narrowed._replace(market=classes).bound(price)
        bound = market.bound(price, market.see(price)) if found is None else found
        value = narrowed.profit + value_of(classes, counts)[0]
        if found is not None or not wider or bound - value <= 1e-5 * abs(bound):
            break
        # Prices left a box, so some were fixed who should not have been.
        last, narrowed = narrowed, narrow(market, dearest=dearest, spread=spread, before=narrowed, wider=wider)
        if narrowed is last:
            break
    done = False
    if prove and len(narrowed.market) == len(market):
        counts, bound = proved(classes, counts, price, bound, nodes=nodes)
        done = True
    rows, named = narrowed.rows, narrowed.named
    narrowed.choice[rows] = _shared_out(counts, which, rows if named is None else named[rows])
    choice: Any = narrowed.choice
    if named is not None:
        centre, reach = narrowed.boxes[0] if narrowed.boxes else (None, None)
        choice = Decided(centre, reach, named, narrowed.choice)
    return Assigned(choice, price, bound, done)


def _shared_out(counts: Floats, which: Ints, rows: NDArray[np.signedinteger]) -> Choice:
    """The members of each class in the order of ``row x golden ratio`` (its fraction): lowest actions first."""
    turn = np.mod((rows + 1.0) * GOLDEN, 1.0)
    order = np.lexsort([turn, which])
    starts = np.searchsorted(which[order], np.arange(len(counts)))
    rank = np.arange(len(order)) - starts[which[order]]
    ends = np.cumsum(counts, axis=1)
    place = np.zeros(len(rows), dtype=np.int16)
    for a in range(counts.shape[1]):
        place += rank >= ends[which[order], a]
    out = np.empty(len(rows), dtype=np.int16)
    out[order] = np.where(place < counts.shape[1], place, -1)
    return out


def within(values: Floats, limit: float) -> bool:
    """Whether the exact sum of floats, rounded once (math.fsum), is within a limit."""
    total, doubt = float(values.sum()), 1e-12 * float(np.abs(values).sum())
    return total + doubt <= limit or (total - doubt <= limit and math.fsum(values.tolist()) <= limit)
