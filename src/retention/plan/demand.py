"""What an allocation is asked for, checked; and what a choice brings and uses, counted without prices."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.plan.figures import (
    checked_by_segment,
    checked_indices,
    checked_limit,
    checked_matrix,
    checked_number,
    checked_places,
)
from retention.plan.priced import Customers, Rows

__all__ = ["EXACT_PAIRS", "NODES", "Account", "Amounts", "Demand"]

EXACT_PAIRS = 2_000  # customers x actions that are finished exactly unless told otherwise
NODES = 2_000

Amounts = Mapping[str, float]


class Account(NamedTuple):
    """What a choice brings net of cost, what it takes of money and hours, and its contacts by action and segment."""

    worth: float
    money: float
    hours: float
    actions: NDArray[np.int64]
    segments: NDArray[np.int64]

    @property
    def contacts(self) -> int:
        """How many customers get an action."""
        return int(self.actions.sum())


class Told(NamedTuple):
    """The choice of customers who are not in memory: how each is decided, and at which market she looks for that."""

    decided: Any
    market_of: Callable[[Rows], Any]

    def of(self, first: int, rows: Rows) -> NDArray[np.int16]:
        """The actions of some customers with ``first`` others before them."""
        return self.decided.of(first, self.market_of(rows))  # type: ignore[no-any-return]


class Demand:
    """Customers and the limits that were asked for, and the bookkeeping of choices under them.

    A choice is an array, or :class:`Told` of customers who are not in memory.
    """

    def __init__(self, customers: Customers, **given: Any) -> None:
        self.customers, self.facts = customers, customers.facts
        has_segment, _, has_sd, has_hours = self.facts.given[2:]
        self.risk = checked_number("risk", given["risk"])
        if self.risk and not has_sd:
            raise ConfigError(
                f"risk={self.risk:g} without gains_sd",
                rule="risk is counted in standard deviations of the gains",
                remedy="pass gains_sd, in the shape of gains, or leave risk out",
            )
        self.most = self.facts.gain
        self.worst = self.facts.loss + self.facts.cost + self.risk * self.facts.sd
        self.money, self.hours = checked_limit("money", given["money"]), checked_limit("hours", given["hours"])
        self.hours_each = self._hours(given["hours_each"], has_hours)  # by action; those of pairs are of the customers
        self.channel, self.capacity = self._channels(given["channel"], given["capacity"])
        self.ceilings, self.floors = self._segments(has_segment, given["at_least"], given["at_most"])
        self.limits = self._limits()
        self._terms: tuple[dict[str, Any], list[str]] | None = None

    def _hours(self, each: Any, by_pair: bool) -> Any:
        if each is None and not by_pair and self.hours < math.inf:
            raise ConfigError(
                f"hours={self.hours:g} without hours_each",
                rule="a limit of hours needs to know how many each action takes",
                remedy="pass hours_each, one figure an action or in the shape of gains",
            )
        if each is None:
            return None
        k = self.facts.actions
        each = np.asarray(each)
        return checked_matrix("hours_each", each.reshape(1, k) if each.shape == (k,) else each, (1, k), 0.0)[0][0]

    def _channels(self, channel: Any, capacity: Any) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        k = self.facts.actions
        if capacity is None:
            named = () if channel is None else checked_indices("channel", channel, k)
            capacity = [None] * (int(max(named, default=-1)) + 1)
        elif np.ndim(capacity) != 1:
            raise ConfigError(
                "a capacity that is not one figure a channel",
                rule="capacity lists the contacts that each channel can take",
                remedy="pass capacity=[...], even for one channel",
            )
        places = np.array([checked_places(f"capacity[{i}]", c) for i, c in enumerate(capacity)], dtype=np.float64)
        if channel is None:
            if len(places) not in (0, k):
                raise ConfigError(
                    f"{len(places)} capacities for {k} actions, and no channel",
                    rule="without channel every action is a channel of its own",
                    remedy="pass channel, the index of each action's channel",
                )
            return (np.arange(k) if len(places) else np.zeros(0, dtype=np.intp)), places
        at = checked_indices("channel", channel, k)
        if at.max(initial=-1) >= len(places):
            raise ConfigError(
                f"an action of channel {int(at.max())} with {len(places)} capacities",
                rule="every channel has a capacity; None is one without limit",
                remedy="give capacity one entry for each channel",
            )
        return at, places

    def _segments(self, has_segment: bool, at_least: Any, at_most: Any) -> tuple[dict[int, float], dict[int, float]]:
        if not has_segment:
            if at_least is not None or at_most is not None:
                raise ConfigError(
                    "at_least or at_most without segment",
                    rule="floors and ceilings are of segments",
                    remedy="pass segment, the index of each customer's segment",
                )
            return {}, {}
        ceilings, floors = checked_by_segment("at_most", at_most), checked_by_segment("at_least", at_least)
        floors = {s: f for s, f in floors.items() if 0 < f < math.inf}
        for s, floor in floors.items():
            if ceilings.get(s, math.inf) < floor:
                raise ConfigError(
                    f"segment {s}: at least {floor:,.0f} and at most {ceilings[s]:,.0f} contacts",
                    rule="a floor is not above its ceiling",
                    remedy="raise at_most or lower at_least of this segment",
                )
        return {s: c for s, c in ceilings.items() if c < math.inf}, floors

    def _limits(self) -> dict[str, float]:
        limits = {"money": self.money, "hours": self.hours}
        limits |= {f"channel {i}": float(c) for i, c in enumerate(self.capacity)}
        limits |= {f"segment {s} at most": c for s, c in self.ceilings.items()}
        return limits | {f"segment {s} at least": f for s, f in self.floors.items()}

    def market(self) -> Any:
        """The problem for the price search, without limits that cannot matter."""
        from retention._kernels.prices import Parts

        whole = self.customers.whole()
        if whole is not None:
            return self.market_of(whole)
        like = self.market_of(self.customers.none())
        return Parts(like, self.facts.rows, lambda: map(self.market_of, self.customers.pieces()))

    def market_of(self, rows: Rows) -> Any:
        """The market of some of the customers alone, under the limits of all."""
        from retention._kernels.prices import Market

        terms, _ = self.terms()
        return Market(
            rows.gains,
            rows.costs,
            hours=rows.hours if 0 < self.hours < math.inf else None,
            closed_hours=rows.hours if self.hours == 0 else None,
            spread=(self.risk, rows.sd) if self.risk else None,
            allowed=rows.allowed,
            segment=rows.segment if terms["segments"] else None,
            **terms,
        )

    def terms(self) -> tuple[dict[str, Any], list[str]]:
        """What a market knows but its customers, and what its resources are called.

        A limit of 0 shuts what would use it, for which no price is needed (nor high enough).
        """
        if self._terms is not None:
            return self._terms
        n, k = self.facts.rows, self.facts.actions
        by_pair = self.facts.given[5]
        names, limits = [], []
        for name, limit, pair in (("money", self.money, True), ("hours", self.hours, by_pair)):
            if pair and 0 < limit < math.inf:
                names.append(name)
                limits.append(limit)
        table: list[Any] = []
        if self.hours_each is not None and 0 < self.hours < math.inf:
            names.append("hours")
            limits.append(self.hours)
            table.append(self.hours_each)
        for c, places in enumerate(self.capacity):
            if 0 < places < n:
                names.append(f"channel {c}")
                limits.append(float(places))
                table.append((self.channel == c).astype(np.float64))
        ceilings = sorted(s for s, c in self.ceilings.items() if c < n)
        floors = sorted(self.floors)
        for s in ceilings:
            names.append(f"segment {s} at most")
            limits.append(self.ceilings[s])
        for s in floors:
            names.append(f"segment {s} at least")
            limits.append(-self.floors[s])
        terms = {
            "limits": np.array(limits, dtype=np.float64),
            "money": 0 < self.money < math.inf,
            "shut": self.shut(),
            "table": np.array(table, dtype=np.float64).reshape(len(table), k),
            "ceilings": np.array(ceilings, dtype=np.intp),
            "floors": np.array(floors, dtype=np.intp),
            "segments": max([self.facts.segment, *ceilings, *floors]) + 1 if ceilings or floors else 0,
            # The limit where some pair alone is above it; infinite (no need to look) where none is.
            "single": (
                self.money if self.facts.cost > self.money else math.inf,
                self.hours if by_pair and self.facts.hours > self.hours else math.inf,
            ),
        }
        self._terms = terms, names
        return self._terms

    def shut(self) -> NDArray[np.bool_]:
        """Actions that no limit leaves any room for."""
        shut = np.zeros(self.facts.actions, dtype=bool)
        if len(self.capacity):
            shut |= self.capacity[self.channel] <= 0
        if self.hours_each is not None:
            shut |= self.hours_each > self.hours
        return shut

    def actions(self, choice: Any) -> Iterator[tuple[int, Rows, NDArray[np.int16]]]:
        """The customers piece by piece: how many are before, their figures, and their actions."""
        first = 0
        for rows in self.customers.pieces():
            yield first, rows, self.of(choice, first, rows)
            first += len(rows.gains)

    def of(self, choice: Any, first: int, rows: Rows) -> NDArray[np.int16]:
        """What a choice has for some customers with ``first`` others before them."""
        if isinstance(choice, np.ndarray):
            return choice[first : first + len(rows.gains)]
        return choice.of(first, rows)  # type: ignore[no-any-return]

    def assigned(self, **how: Any) -> Any:
        """What the price search finds for these customers under these limits."""
        from retention._kernels import rounding

        market = self.market()
        got = rounding.assign(market, **how)
        return market, got if isinstance(got.choice, np.ndarray) else got._replace(
            choice=Told(got.choice, self.market_of)
        )

    def chosen(self, choice: Any) -> Iterator[tuple[int, Rows, Any, Any]]:
        """Piece by piece: how many are before, the figures, which rows of the piece get an action, and which."""
        for first, rows, at in self.actions(choice):
            some = np.flatnonzero(at >= 0)
            yield first, rows, some, at[some].astype(np.intp)

    def values(self, rows: Rows, some: Any, actions: Any) -> Any:
        """Gain less risk less cost of pairs."""
        out = rows.gains[some, actions].astype(np.float64)
        if self.risk:
            out -= self.risk * rows.sd[some, actions].astype(np.float64)
        out -= rows.costs[some, actions]
        return out

    def use(self, name: str, rows: Rows, some: Any, actions: Any) -> NDArray[np.float64]:
        """Money or hours of pairs."""
        if name == "money":
            return np.asarray(rows.costs[some, actions], dtype=np.float64)
        if rows.hours is not None:
            return np.asarray(rows.hours[some, actions], dtype=np.float64)
        return np.zeros(len(some)) if self.hours_each is None else self.hours_each[actions].astype(np.float64)

    def account(self, choice: Any) -> Account:
        """What a choice brings and takes."""
        sums: list[tuple[float, float, float]] = []
        actions = np.zeros(self.facts.actions, dtype=np.int64)
        segments = np.zeros(self.facts.segment + 1, dtype=np.int64)
        for _, rows, some, a in self.chosen(choice):
            values = self.values(rows, some, a), *(self.use(name, rows, some, a) for name in ("money", "hours"))
            sums.append((float(values[0].sum()), float(values[1].sum()), float(values[2].sum())))
            actions += np.bincount(a, minlength=len(actions))
            if len(segments):
                segments += np.bincount(rows.segment[some], minlength=len(segments))
        worth, money, hours = (math.fsum(one[j] for one in sums) for j in range(3))
        return Account(worth, money, hours, actions, segments)

    def used(self, account: Account) -> dict[str, float]:
        """What a choice takes of each limit."""
        out = {"money": account.money, "hours": account.hours}
        out |= {f"channel {c}": count for c, count in enumerate(self.contacts_by_channel(account))}
        out |= {f"segment {s} at most": self.contacts_of(s, account) for s in self.ceilings}
        out |= {f"segment {s} at least": self.contacts_of(s, account) for s in self.floors}
        return {name: out[name] for name in self.limits}

    def contacts_by_channel(self, account: Account) -> list[float]:
        """How many there are in each channel with a limit."""
        if not len(self.capacity):
            return []
        return np.bincount(self.channel, account.actions, minlength=len(self.capacity)).tolist()  # type: ignore[no-any-return]

    @staticmethod
    def contacts_of(segment: int, account: Account) -> float:
        """How many of a segment get an action."""
        return float(account.segments[segment]) if segment < len(account.segments) else 0.0

    def dropped_to_fit(self, choice: Any) -> tuple[Any, Account]:
        """The choice less the contacts that bring least for what they use, until every limit is kept, exactly."""
        account = self.account(choice)
        for name, limit in (("money", self.money), ("hours", self.hours)):
            if not self._within(choice, name, getattr(account, name), limit):
                choice = without(choice, self._too_much(choice, name, limit))
                account = self.account(choice)
        for c, places in enumerate(self.capacity):
            over = self.contacts_by_channel(account)[c] - places
            if over > 0:
                mine = self.channel == c
                choice = without(choice, self._least(choice, int(over), lambda rows, some, a, mine=mine: mine[a])[0])
                account = self.account(choice)
        for s, most in self.ceilings.items():
            over = self.contacts_of(s, account) - most
            if over > 0:
                who = self._least(choice, int(over), lambda rows, some, a, s=s: rows.segment[some] == s)[0]
                choice = without(choice, who)
                account = self.account(choice)
        return choice, account

    def _within(self, choice: Any, name: str, total: float, limit: float) -> bool:
        """Whether the exact sum of what is used, rounded once (math.fsum), is within a limit."""
        doubt = 1e-12 * total
        if total + doubt <= limit:
            return True
        return total - doubt <= limit and math.fsum(self._exactly(choice, name)) <= limit

    def _exactly(self, choice: Any, name: str) -> list[float]:
        """A few floats whose exact sum is that of what is used."""
        parts: list[float] = []
        for _, rows, some, a in self.chosen(choice):
            use = self.use(name, rows, some, a).tolist()
            part = math.fsum(use)
            while part:
                parts.append(part)
                use.append(-part)
                part = math.fsum(use)
        return parts

    def _too_much(self, choice: Any, name: str, limit: float) -> Any:
        """The fewest, of those who bring least for what they use, that must go."""
        parts, most = self._exactly(choice, name), 1_000
        while True:
            who, use = self._least(choice, most, None, name)
            if len(who) < most or math.fsum([*parts, *(-use).tolist()]) <= limit:
                break
            most *= 30
        low, high = 0, len(who)
        while low < high:
            some = (low + high) // 2
            low, high = (low, some) if math.fsum([*parts, *(-use[:some]).tolist()]) <= limit else (some + 1, high)
        return who[:low]

    def _least(self, choice: Any, most: int, of: Any, name: str | None = None) -> tuple[Any, Any]:
        """Up to so many customers whose contacts bring least, or least for what they use; and that use."""
        kept = np.zeros((3, 0))
        for first, rows, some, a in self.chosen(choice):
            use = np.ones(len(some)) if name is None else self.use(name, rows, some, a)
            mine = np.flatnonzero(use > 0 if of is None else of(rows, some, a))
            some, a, use = some[mine], a[mine], use[mine]
            here = np.stack([self.values(rows, some, a) / use, first + some.astype(np.float64), use])
            kept = np.concatenate([kept, here], axis=1)
            kept = kept[:, np.argsort(kept[0], kind="stable")[:most]]
        return kept[1].astype(np.intp), kept[2]

    def with_floors(self, choice: Any, account: Account) -> tuple[Any, Account]:
        """The choice if it meets the floors; else one that does, or the error that says that none does."""
        short = self.short(account)
        if not short:
            return choice, account
        # As many contacts as the floors ask for and no others, whatever they bring: how far does that get?
        floors = np.zeros(self.facts.segment + 2)
        for s, floor in self.floors.items():
            floors[min(s, len(floors) - 1)] = floor
        asked = copy.copy(self)
        asked._terms, asked.risk, asked.floors = None, 0.0, {}
        asked.ceilings = {s: floors[s] for s in range(len(floors))}
        asked.customers = self.customers.changed(_all_alike)
        pairs = self.facts.rows * self.facts.actions
        _, got = asked.assigned(prove=pairs <= 10 * EXACT_PAIRS, nodes=NODES)
        least = asked.dropped_to_fit(got.choice)[0]
        if isinstance(least, Told):
            least = least._replace(market_of=lambda rows: asked.market_of(_all_alike(rows)))
        account = self.account(least)
        short = self.short(account)
        if not short:
            return least, account
        s, got = next(iter(short.items()))
        raise ConfigError(
            f"segment {s}: at least {self.floors[s]:,.0f} contacts",
            rule=f"floors must fit the limits; of this one about {got:,.0f} can be met beside the other floors",
            remedy="lower at_least, raise the limits, or allow more actions",
        )

    def short(self, account: Account) -> dict[int, float]:
        """Segments whose floors are not met, and how many contacts they have."""
        each = {s: self.contacts_of(s, account) for s in sorted(self.floors)}
        return {s: count for s, count in each.items() if count < self.floors[s]}

    def priced(self, price: Any) -> dict[str, float]:
        """Prices by name; a floor's is what one more costs, below 0."""
        named = zip(self.terms()[1], price, strict=True)
        return {name: -float(p) if name.endswith("at least") else float(p) for name, p in named}

    def first_unit(self, price: Any) -> dict[str, float]:
        """Limits of 0: what the first unit would earn, by the best pair that nothing but this limit shuts."""
        zeros = [name for name in ("money", "hours") if self.limits[name] == 0]
        zeros += [f"channel {c}" for c, places in enumerate(self.capacity) if places == 0]
        if not zeros or not self.facts.rows:
            return {}
        out = dict.fromkeys(zeros, 0.0)
        for rows in self.customers.pieces():
            market = self.market_of(rows)
            block = market.block(slice(0, len(market)))
            behind = self._open_nets(market, block, rows, price) - market.best(block, price)[1]
            shape = behind.shape
            using = {}
            for name in zeros:
                by_action: Any = np.zeros(shape[0]) if self.hours_each is None else self.hours_each
                if name == "money":
                    using[name] = np.asarray(rows.costs, dtype=np.float64).T
                elif name == "hours" and rows.hours is not None:
                    using[name] = rows.hours.T
                else:
                    by_action = by_action if name == "hours" else self.channel == int(name.split()[1])
                    using[name] = np.broadcast_to(np.asarray(by_action, dtype=np.float64)[:, None], shape)
            total = sum((use > 0).astype(np.int8) for use in using.values())
            for name, use in using.items():
                alone = (use > 0) & (total == 1) & (behind > 0)
                if alone.any():
                    out[name] = max(out[name], float((behind[alone] / use[alone]).max()))
        return out

    def _open_nets(self, market: Any, block: Any, rows: Rows, price: Any) -> Any:
        """Net of prices for all allowed pairs, also those that a limit of 0 shuts."""
        profit = np.asarray(rows.gains, dtype=np.float64).T - np.asarray(rows.costs, dtype=np.float64).T
        if self.risk:
            profit = profit - self.risk * rows.sd.T
        if rows.allowed is not None:
            profit = np.where(rows.allowed.T, profit, -np.inf)
        return market.nets(block._replace(profit=profit), price)


def without(choice: Any, rows: Any) -> Any:
    """A choice in which these customers have nothing."""
    if not isinstance(choice, np.ndarray):
        return choice._replace(decided=choice.decided.without(rows))
    choice = np.array(choice)
    choice[rows] = -1
    return choice


def _all_alike(rows: Rows) -> Rows:
    """Every contact brings 1."""
    return rows._replace(gains=1.0 + np.asarray(rows.costs, dtype=np.float64), sd=None)
