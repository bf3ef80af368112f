"""The chooser: who gets which of the proposed contacts, so that the sum of net gains is as large as all limits allow.

What is best for everyone together is :func:`~retention.plan.allocate`'s work. Here it is decided who takes part in it:

- The **hold-out** does not; nor does a customer for an action in whose control she is. What she would have got is read
  off the prices that the others' limits have: her best proposal at these prices, if that is worth what the others'
  chosen ones are worth. So both arms hold the customers whom one rule selects, and the draw alone tells them apart.
  Where the rule is not sharp (equal claims, a last contact that did not fit) the same share of both is selected.
- **Explorers** do not: a stated share of customers, drawn anew every night, for whom one of their proposals, or none,
  is drawn with equal chances. Of the limits they get that share, and no more are drawn than surely fit.

Costs are counted in whole millionths, so no sum of roundings exceeds a budget. Of actions that are worth the same the
one at a touchpoint that exists already comes first, then the cheaper. Customers with equal claims come in the order of
a hash of seed and id.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import field, frozen

from retention.domain import Action
from retention.errors import ConfigError
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, TextColumn
from retention.frames.texts import Labels
from retention.plan.allocate import Allocation, allocate
from retention.plan.budget import Budget, micro_cost, micro_limit
from retention.plan.holdout import Lots
from retention.plan.proposals import Proposals

__all__ = ["Choice", "FATES", "choose"]

FATES = ("passed over", "vetoed", "no gain", "budget", "drawn", "hold-out", "chosen")
"""What may become of a proposal."""

_MICRO = 1e6
_ROUNDS = 12


@frozen(eq=False, kw_only=True)
class Choice:
    """What became of every proposal.

    ``chosen``, ``held_out`` and ``left_alone`` are positions of proposals; ``left_alone`` has one for each customer for
    whom "nothing" was drawn. ``explored`` is True for the proposals of customers who were drawn. ``probability`` is the
    chance that she is contacted so (of ``left_alone``: that she is not contacted). ``priced`` is what a proposal is
    worth net of what it takes of the limits at their prices. ``prices`` and ``bound`` are the allocation's.
    """

    chosen: IntColumn
    held_out: IntColumn
    left_alone: IntColumn
    explored: BoolColumn
    fate: TextColumn
    probability: FloatColumn
    priced: FloatColumn
    spent_money: float
    spent_hours: float
    bound: float
    prices: dict[str, float] = field(factory=dict)
    used: dict[str, float] = field(factory=dict)
    limits: dict[str, float] = field(factory=dict)
    method: str = "exact"
    notes: tuple[str, ...] = ()


def choose(
    proposals: Proposals,
    allowed: BoolColumn,
    *,
    budget: Budget,
    lots: Lots,
    segment: TextColumn | None = None,
    risk: float = 0.0,
) -> Choice:
    """Choose among the proposals that the policies allow.

    ``lots`` are what was drawn, ``segment`` is the tier of each proposal's customer, ``risk`` the number of standard
    deviations that a gain is counted short of what is expected.
    """
    board = _Board(proposals, allowed, budget, lots, segment, risk)
    drawn = board.draw_explorers()
    playing = ~board.held & ~drawn.row
    notes = list(drawn.notes)
    allocation, said = board.allocate(playing, drawn)
    controlled, wanted = np.zeros(len(board), dtype=bool), np.full(len(board), -1, dtype=np.int64)
    for _ in range(_ROUNDS if board.control.any() else 0):
        # Whom a control leaves alone frees room for others, so prices fall; contacted and controlled must be those whom
        # one rule selects, at the prices that hold in the end.
        mine = playing & board.selected(allocation, playing & ~controlled) & board.best_is_control(allocation)
        if np.array_equal(mine, controlled):
            break
        controlled, wanted = mine, board.best(allocation)
        allocation, said = board.allocate(playing & ~controlled, drawn)
    notes += said
    would = board.selected(allocation, playing & ~controlled)
    best = np.where(controlled, wanted, board.best(allocation))

    held = (board.held & would) | controlled
    got = np.full(len(board), -1, dtype=np.int64)
    got[playing & ~controlled] = allocation.choice
    rule = np.where(playing & ~controlled, got, np.where(would | controlled, best, -1))
    got[drawn.row] = drawn.action[drawn.row]
    chosen, held_out = board.positions(got), board.positions(np.where(held, best, -1))
    alone = board.first_positions(drawn.row & (got < 0))

    fate = np.zeros(len(proposals), dtype=np.int8)
    taken = np.concatenate([chosen, held_out])
    has_one = np.isin(proposals.base_row, proposals.base_row[taken])
    fate[board.gainful & ~has_one] = FATES.index("budget")
    fate[board.gainful & np.isin(proposals.base_row, proposals.base_row[alone])] = FATES.index("drawn")
    fate[allowed & ~board.gainful & ~has_one] = FATES.index("no gain")
    fate[~allowed] = FATES.index("vetoed")
    fate[chosen], fate[held_out] = FATES.index("chosen"), FATES.index("hold-out")
    became: Any = Labels(fate, np.asarray(FATES))
    explorers = board.customers[drawn.row]
    uses = board.uses(got)
    return Choice(
        chosen=chosen,
        held_out=held_out,
        left_alone=alone,
        explored=np.isin(proposals.base_row, explorers),
        fate=became,
        probability=board.probabilities(rule, got, drawn, alone),
        priced=board.priced_proposals(allocation),
        spent_money=uses["money"] / _MICRO,
        spent_hours=uses["hours"] / _MICRO,
        bound=allocation.bound / _MICRO + board.worth_of(np.where(drawn.row, got, -1)),
        prices=board.named(allocation.prices),
        used=board.spent(uses, got),
        limits=board.limits(),
        method=allocation.method,
        notes=tuple(notes),
    )


@frozen(eq=False, kw_only=True)
class _Drawn:
    """Explorers: which rows of the board, the action each drew (-1 for none), and the share drawn in the end."""

    row: BoolColumn
    action: IntColumn
    share: float
    notes: tuple[str, ...] = ()


class _Board:
    """The proposals that may be chosen as a table of customers and actions."""

    def __init__(
        self,
        proposals: Proposals,
        allowed: BoolColumn,
        budget: Budget,
        lots: Lots,
        segment: TextColumn | None,
        risk: float,
    ) -> None:
        self.proposals, self.budget, self.lots, self.risk = proposals, budget, lots, risk
        self.order = sorted(range(len(proposals.actions)), key=lambda a: _turn(proposals.actions[a]))
        self.actions = [proposals.actions[a] for a in self.order]
        self.outlay = np.asarray([micro_cost(a.outlay) for a in self.actions], dtype=np.int64)
        self.hours = np.asarray([micro_cost(a.hours) for a in self.actions], dtype=np.int64)
        self.money_limit, self.hours_limit = micro_limit(budget.money), micro_limit(budget.hours)
        self.channels = list(dict.fromkeys(a.channel.casefold() for a in self.actions))
        self.channel = np.asarray([self.channels.index(a.channel.casefold()) for a in self.actions], dtype=np.intp)
        places = {name.casefold(): number for name, number in budget.capacity.items()}
        self.capacity = [places.get(name) for name in self.channels]

        worth = proposals.net - risk * proposals.gain_sd if risk else proposals.net
        place = np.argsort(self.order).astype(np.int64) if self.order else np.zeros(0, dtype=np.int64)
        action = place[proposals.action] if len(proposals) else proposals.action
        self.gainful = allowed & np.isfinite(worth) & (worth > 0)
        usable = np.flatnonzero(allowed & np.isfinite(worth) & ((worth > 0) | bool(budget.at_least)))
        rows, first = np.unique(proposals.base_row[usable], return_index=True)
        lead = usable[first]
        turn = np.argsort(lots.turn[lead])
        drawn = lots.turn[lead[turn]]
        if (drawn[1:] == drawn[:-1]).any():
            turn = np.lexsort((np.asarray(proposals.customer_id[lead]), lots.turn[lead]))
        self.customers, self.lead = rows[turn], lead[turn]
        n, k = len(rows), max(len(self.actions), 1)
        where = np.empty(n, dtype=np.int64)
        where[turn] = np.arange(n)
        at = where[np.searchsorted(rows, proposals.base_row[usable])]
        # Of two proposals of one action for one customer the better stands; of equal ones that of the first strategy.
        worst_first = np.lexsort((-_ranks(proposals.strategy[usable]), worth[usable]))
        self.position = np.full((n, k), -1, dtype=np.int64)
        self.position[at[worst_first], action[usable][worst_first]] = usable[worst_first]
        self.there = self.position >= 0
        self.fits = self.there & (self.fits_alone() if self.actions else False)
        self.worth = np.where(self.there, worth[self.position] if len(proposals) else 0.0, 0.0)
        self.control = self.there & (lots.controlled[self.position] if len(proposals) else False)
        self.held = lots.held[self.lead]
        names = segment[self.lead] if segment is not None else np.full(n, "")
        self.tiers = sorted({*budget.at_least, *budget.at_most})
        self.tier = np.full(n, len(self.tiers), dtype=np.intp)
        for index, name in enumerate(self.tiers):
            self.tier[names == name] = index

    def __len__(self) -> int:
        return len(self.customers)

    def fits_alone(self) -> BoolColumn:
        """Which actions some limit leaves room for."""
        room = np.ones(len(self.actions), dtype=bool)
        for use, limit in ((self.outlay, self.money_limit), (self.hours, self.hours_limit)):
            room &= use <= (limit if limit is not None else np.iinfo(np.int64).max)
        shut = np.asarray([places == 0 for places in self.capacity], dtype=bool)
        return np.asarray(room & ~(shut[self.channel] if len(self.channels) else False))

    # Exploration

    def draw_explorers(self) -> _Drawn:
        """The customers drawn tonight, as long as the dearest that each could draw fits their share of every limit."""
        share, n = self.lots.explore, len(self)
        none = _Drawn(row=np.zeros(n, dtype=bool), action=np.full(n, -1, dtype=np.int64), share=0.0)
        options = self.fits & ~self.control & (self.worth > 0)
        if not share or not n:
            return none
        draw = self.lots.night[self.lead]
        drawn = np.flatnonzero(~self.held & options.any(axis=1) & (draw < share))
        drawn = drawn[np.argsort(draw[drawn], kind="stable")]
        most: list[tuple[Any, float | None]] = [
            (np.where(options, self.outlay, 0).max(axis=1), self.money_limit),
            (np.where(options, self.hours, 0).max(axis=1), self.hours_limit),
        ]
        for c, places in enumerate(self.capacity):
            most.append(((options & (self.channel == c)).any(axis=1).astype(np.int64), places))
        for s, name in enumerate(self.tiers):
            most.append(((self.tier == s).astype(np.int64), self.budget.at_most.get(name)))
        fit = len(drawn)
        for use, limit in most:
            if limit is not None:
                fit = min(fit, int(np.searchsorted(np.cumsum(use[drawn]), share * limit, side="right")))
        notes: tuple[str, ...] = ()
        if fit < len(drawn):
            share, drawn = float(draw[drawn[fit]]), drawn[:fit]
            notes = (
                f"exploration was cut to {share:.2%} of the customers: more would not surely fit their share "
                "of the limits",
            )
        count = options.sum(axis=1)
        pick = np.minimum((self.lots.pick[self.lead] * (count + 1)).astype(np.int64), count)
        rank = np.cumsum(options, axis=1) - 1
        hit = options & (rank == pick[:, None])
        row = np.zeros(n, dtype=bool)
        row[drawn] = True
        action = np.where(row & hit.any(axis=1), hit.argmax(axis=1), -1)
        return _Drawn(row=row, action=action, share=share, notes=notes)

    def probabilities(self, rule: IntColumn, got: IntColumn, drawn: _Drawn, alone: IntColumn) -> FloatColumn:
        """The chance of each proposal to be carried out; for who was drawn to be left alone, of that."""
        out = np.zeros(len(self.proposals))
        if not len(self):
            return out
        options = self.fits & (self.worth > 0)
        control = np.asarray([a.control for a in self.actions] or [0.0])
        at_random, nothing = _drawn_from(options, control) if drawn.share else (0.0 * options, np.zeros(len(self)))
        by_rule = np.arange(self.there.shape[1]) == rule[:, None]
        chance = (1.0 - self.lots.holdout) * (drawn.share * at_random + (1.0 - drawn.share) * (1.0 - control) * by_rule)
        out[self.position[self.there]] = chance[self.there]
        left = drawn.row & (got < 0)
        out[alone] = (1.0 - self.lots.holdout) * (drawn.share * nothing[left] + (1.0 - drawn.share) * (rule[left] < 0))
        return out

    # The allocation, its prices, and what they say of those who took no part

    def allocate(self, playing: BoolColumn, drawn: _Drawn) -> tuple[Allocation, list[str]]:
        """The best for those who take part, with what the explorers left."""
        used = self.uses(np.where(drawn.row, drawn.action, -1))
        n = int(playing.sum())
        open_ = self.fits[playing] & ~self.control[playing]
        channels = np.bincount(self.channel[drawn.action[drawn.action >= 0]], minlength=len(self.channels))
        tiers = np.bincount(self.tier[drawn.action >= 0], minlength=len(self.tiers) + 1)
        at_most = {
            s: max(self.budget.at_most[name] - int(tiers[s]), 0)
            for s, name in enumerate(self.tiers)
            if name in self.budget.at_most
        }
        at_least, notes = {}, []
        for s, name in enumerate(self.tiers):
            floor = self.budget.at_least.get(name, 0) - int(tiers[s])
            reachable = int((open_.any(axis=1) & (self.tier[playing] == s)).sum())
            if floor > reachable:
                notes.append(f"of the tier {name!r} {floor:,} contacts are asked for and {reachable:,} are possible")
            if floor > 0:
                at_least[s] = min(floor, reachable, at_most.get(s, floor))
        # What counts as gain is the worth plus the outlay, because the allocator takes the outlay off again.
        given: dict[str, Any] = {
            "money": _less(self.money_limit, used["money"]),
            "hours": _less(self.hours_limit, used["hours"]),
            "hours_each": self.hours if len(self.actions) else np.zeros(1),
            "channel": self.channel if len(self.actions) else [0],
            "capacity": [
                None if places is None else max(places - int(c), 0)
                for places, c in zip(self.capacity, channels, strict=True)
            ]
            or [None],
            "allowed": open_,
        }
        costs = self.outlay.astype(np.float64) if len(self.actions) else np.zeros(1)
        gains = np.where(open_, self.worth[playing] * _MICRO + costs, 0.0)
        if self.tiers:
            given |= {"segment": self.tier[playing], "at_most": at_most}
        gains = gains if n else gains.reshape(0, self.there.shape[1])

        def with_floors(floors: dict[int, int]) -> Allocation | None:
            floors = {s: floor for s, floor in floors.items() if floor}
            try:
                return allocate(gains, costs, **given | ({"at_least": floors} if floors else {}))
            except ConfigError:
                if not floors:
                    raise
                return None

        got = with_floors(at_least)
        if got is None:
            # All floors by the same share, then each as far as the others leave room.
            most = max(at_least.values())
            share = _most(lambda i: with_floors({s: f * i // most for s, f in at_least.items()}) is not None, most)
            met = {s: f * share // most for s, f in at_least.items()}
            for s, floor in at_least.items():
                met[s] = _most(lambda i, s=s: with_floors(met | {s: i}) is not None, floor, met[s])  # type: ignore[misc]
            told = ", ".join(f"{met[s]:,} of {floor:,} in {self.tiers[s]!r}" for s, floor in at_least.items())
            notes.append(f"the floors by tier do not fit the limits together, and are met as far as they do: {told}")
            got = with_floors(met)
        assert got is not None
        return got, notes

    def reduced(self, allocation: Allocation) -> FloatColumn:
        """What each pair is worth net of what it takes of the limits at their prices; -inf if they leave no room."""
        price = allocation.prices
        cost = price.get("money", 0.0) * self.outlay if self.money_limit else np.zeros(len(self.actions))
        cost = cost + (price.get("hours", 0.0) * self.hours if self.hours_limit else 0.0)
        for c, places in enumerate(self.capacity):
            cost = cost + (price.get(f"channel {c}", 0.0) if places else 0.0) * (self.channel == c)
        out = np.where(self.fits, self.worth * _MICRO - (cost if len(self.actions) else 0.0), -np.inf)
        for s in range(len(self.tiers)):
            by_tier = price.get(f"segment {s} at most", 0.0) + price.get(f"segment {s} at least", 0.0)
            out[self.tier == s] -= by_tier
        return out

    def best(self, allocation: Allocation) -> IntColumn:
        """Each customer's best action at the prices."""
        return self.reduced(allocation).argmax(axis=1) if len(self) else np.zeros(0, dtype=np.int64)

    def best_is_control(self, allocation: Allocation) -> BoolColumn:
        """Whether that is an action in whose control she is."""
        return np.asarray(self.control[np.arange(len(self)), self.best(allocation)])

    def selected(self, allocation: Allocation, playing: BoolColumn) -> BoolColumn:
        """Whom the rule that the allocation comes to selects, whether she took part in it or not."""
        if not len(self):
            return np.zeros(0, dtype=bool)
        reduced = self.reduced(allocation)
        top, mine = reduced.max(axis=1), np.full(len(self), -1, dtype=np.int64)
        mine[playing] = allocation.choice
        taken = mine >= 0
        open_ = np.where(self.control, -np.inf, reduced).max(axis=1)
        passed = playing & ~taken & (open_ > -np.inf)
        if not taken.any():
            return np.asarray((top > 0) & ~passed.any())
        slack = 1e-9 * float(np.abs(self.worth).max(initial=0.0)) * _MICRO
        low = float(reduced[taken, mine[taken]].min()) - slack
        high = float(open_[passed].max()) + slack if passed.any() else -math.inf
        if high < low:
            return np.asarray(top >= ((low + high) / 2 if passed.any() else min(low, 0.0)))
        between = (open_ >= low) & (open_ <= high) & playing
        share = float(taken[between].mean()) if between.any() else 1.0
        return np.asarray((top > high) | ((top >= low) & (self.lots.tie[self.lead] < share)))

    # Accounts

    def positions(self, got: IntColumn) -> IntColumn:
        """The proposals of these actions."""
        rows = np.flatnonzero(got >= 0)
        return np.asarray(np.sort(self.position[rows, got[rows]]))

    def first_positions(self, rows: BoolColumn) -> IntColumn:
        """Each customer's best proposal."""
        mine = np.where(self.fits, self.worth, -np.inf)
        return np.sort(self.position[rows, mine[rows].argmax(axis=1)]) if rows.any() else np.zeros(0, dtype=np.int64)

    def uses(self, got: IntColumn) -> dict[str, int]:
        """Money and hours, in whole millionths."""
        actions = got[got >= 0]
        return {"money": int(self.outlay[actions].sum()), "hours": int(self.hours[actions].sum())}

    def worth_of(self, got: IntColumn) -> float:
        """What these are expected to bring, net."""
        rows = np.flatnonzero(got >= 0)
        return math.fsum(self.worth[rows, got[rows]].tolist())

    def priced_proposals(self, allocation: Allocation) -> FloatColumn:
        """The reduced worth by proposal; NaN for those that cannot be chosen."""
        out = np.full(len(self.proposals), np.nan)
        out[self.position[self.fits]] = self.reduced(allocation)[self.fits] / _MICRO
        return out

    def named(self, prices: Any) -> dict[str, float]:
        """Prices by the names that the budget has for the limits: money for one more unit of each."""
        out = {}
        for name, value in prices.items():
            kind, _, index = name.partition(" ")
            scale = 1.0 if kind in ("money", "hours") else 1 / _MICRO
            if kind == "channel":
                if self.capacity and self.capacity[int(index)] is not None:
                    out[f"{self.channels[int(index)]} contacts"] = value * scale
            elif kind == "segment":
                number, _, what = index.partition(" ")
                out[f"{what} of {self.tiers[int(number)]}"] = value * scale
            elif getattr(self.budget, kind) is not None:
                out[kind] = value
        return out

    def limits(self) -> dict[str, float]:
        """The limits by the same names."""
        out: dict[str, float] = {}
        out |= {"money": self.budget.money} if self.budget.money is not None else {}
        out |= {"hours": self.budget.hours} if self.budget.hours is not None else {}
        out |= {f"{c} contacts": float(p) for c, p in zip(self.channels, self.capacity, strict=True) if p is not None}
        for what, by_tier in (("at least", self.budget.at_least), ("at most", self.budget.at_most)):
            out |= {f"{what} of {tier}": float(number) for tier, number in by_tier.items()}
        return out

    def spent(self, uses: dict[str, int], got: IntColumn) -> dict[str, float]:
        """How much of each limit is used."""
        taken = got >= 0
        out = {"money": uses["money"] / _MICRO, "hours": uses["hours"] / _MICRO}
        for c, name in enumerate(self.channels):
            out[f"{name} contacts"] = float((self.channel[got[taken]] == c).sum())
        for s, tier in enumerate(self.tiers):
            out |= dict.fromkeys((f"at least of {tier}", f"at most of {tier}"), float((self.tier[taken] == s).sum()))
        return {name: out[name] for name in self.limits()}


def _drawn_from(options: BoolColumn, control: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
    """The chance to draw each option, and to draw nothing, before it is known in whose controls she is.

    With N options that no control takes, each and nothing have the chance 1 / (N + 1), and nothing is drawn if N = 0.
    N is a sum of independent lots, and E[1 / (N + 1)] the integral over 0 < t < 1 of E[t^N], a polynomial in t.
    """
    node, weight = np.polynomial.legendre.leggauss(options.shape[1] // 2 + 1)
    each, nothing = np.zeros(options.shape), np.zeros(len(options))
    for t, w in zip((node + 1) / 2, weight / 2, strict=True):
        factor = control + (1.0 - control) * t
        product = np.where(options, factor, 1.0).prod(axis=1)
        each += w * t * product[:, None] / factor
        nothing += w * product
    return np.where(options, (1.0 - control) * each, 0.0), nothing - np.where(options, control, 1.0).prod(axis=1)


def _most(fits: Callable[[int], bool], most: int, least: int = 0) -> int:
    """The largest number up to ``most`` that fits; ``least`` does."""
    low, high = least, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _turn(action: Action) -> tuple[Any, ...]:
    """The order of actions among equals: a touchpoint that exists already, then what costs less, then by name."""
    return (
        not action.touchpoint,
        action.outlay,
        action.hours,
        action.name,
        action.channel,
        action.purpose,
        repr(action),
    )


def _ranks(words: TextColumn) -> IntColumn:
    return Labels.of(words).ranks()


def _less(limit: int | None, used: int) -> float | None:
    return None if limit is None else float(max(limit - used, 0))
