"""What an allocation is asked for, checked; and what a choice brings and uses, counted without prices."""

import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError

__all__ = ["EXACT_PAIRS", "NODES", "Amounts", "Demand", "checked_indices", "checked_limit", "checked_places"]

EXACT_PAIRS = 2_000  # customers x actions that are finished exactly unless told otherwise
NODES = 2_000
_ROWS = 1 << 16

Amounts = Mapping[str, float]


class Demand:
    """Gains, costs and limits as they were asked for, and the bookkeeping of choices under them."""

    def __init__(self, gains: Any, costs: Any, **given: Any) -> None:
        self.gains = checked_matrix("gains", gains)
        n, k = self.gains.shape
        self.costs = checked_matrix("costs", costs, (n, k), least=0.0)
        self.most = float(self.gains.max(initial=0.0))
        self.worst = float(-self.gains.min(initial=0.0)) + float(self.costs.max(initial=0.0))
        self.risk, self.sd = checked_number("risk", given["risk"]), None
        if given["gains_sd"] is not None:
            self.sd = checked_matrix("gains_sd", given["gains_sd"], (n, k), least=0.0)
            self.worst += self.risk * float(self.sd.max(initial=0.0))
        elif self.risk:
            raise ConfigError(
                f"risk={self.risk:g} without gains_sd",
                rule="risk is counted in standard deviations of the gains",
                remedy="pass gains_sd, in the shape of gains, or leave risk out",
            )
        self.allowed = None
        if given["allowed"] is not None:
            self.allowed = np.asarray(given["allowed"])
            if self.allowed.dtype != np.bool_ or self.allowed.shape != (n, k):
                raise ConfigError(
                    f"allowed of type {self.allowed.dtype} and shape {self.allowed.shape}",
                    rule=f"allowed is True or False for each of {n:,} customers x {k} actions",
                    remedy="pass a boolean array in the shape of gains",
                )
        self.money, self.hours = checked_limit("money", given["money"]), checked_limit("hours", given["hours"])
        self.hours_each = self._hours(given["hours_each"])
        self.channel, self.capacity = self._channels(given["channel"], given["capacity"])
        self.segment, self.ceilings, self.floors = self._segments(given["segment"], given["at_least"], given["at_most"])
        self.limits = self._limits()

    def _hours(self, given: Any) -> Any:
        n, k = self.gains.shape
        if given is None:
            if self.hours < math.inf:
                raise ConfigError(
                    f"hours={self.hours:g} without hours_each",
                    rule="a limit of hours needs to know how many each action takes",
                    remedy="pass hours_each, one figure an action or in the shape of gains",
                )
            return None
        each = np.asarray(given)
        if each.shape == (k,):  # one figure an action: no price need look at the pair
            return checked_matrix("hours_each", each.reshape(1, k), (1, k), least=0.0)[0]
        return checked_matrix("hours_each", each, (n, k), least=0.0)

    def _channels(self, channel: Any, capacity: Any) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        k = self.gains.shape[1]
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

    def _segments(self, segment: Any, at_least: Any, at_most: Any) -> tuple[Any, dict[int, float], dict[int, float]]:
        if segment is None:
            if at_least is not None or at_most is not None:
                raise ConfigError(
                    "at_least or at_most without segment",
                    rule="floors and ceilings are of segments",
                    remedy="pass segment, the index of each customer's segment",
                )
            return None, {}, {}
        of = checked_indices("segment", segment, len(self.gains))
        ceilings, floors = checked_by_segment("at_most", at_most), checked_by_segment("at_least", at_least)
        floors = {s: f for s, f in floors.items() if 0 < f < math.inf}
        for s, floor in floors.items():
            if ceilings.get(s, math.inf) < floor:
                raise ConfigError(
                    f"segment {s}: at least {floor:,.0f} and at most {ceilings[s]:,.0f} contacts",
                    rule="a floor is not above its ceiling",
                    remedy="raise at_most or lower at_least of this segment",
                )
        return of, {s: c for s, c in ceilings.items() if c < math.inf}, floors

    def _limits(self) -> dict[str, float]:
        limits = {"money": self.money, "hours": self.hours}
        limits |= {f"channel {i}": float(c) for i, c in enumerate(self.capacity)}
        limits |= {f"segment {s} at most": c for s, c in self.ceilings.items()}
        return limits | {f"segment {s} at least": f for s, f in self.floors.items()}

    def market(self) -> tuple[Any, list[str]]:
        """The problem for the price search, without limits that cannot matter; and what its resources are called.

        A limit of 0 shuts what would use it, for which no price is needed (nor high enough).
        """
        from retention._kernels.prices import Market

        n, k = self.gains.shape
        shut = self.shut()
        names, limits = [], []
        each = self.hours_each
        by_pair = each is not None and each.ndim == 2
        for name, limit, pair in (("money", self.money, True), ("hours", self.hours, by_pair)):
            if pair and 0 < limit < math.inf:
                names.append(name)
                limits.append(limit)
        table: list[Any] = []
        if each is not None and not by_pair and 0 < self.hours < math.inf:
            names.append("hours")
            limits.append(self.hours)
            table.append(each)
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
        segments = 0
        if self.segment is not None:
            segments = int(max([self.segment.max(initial=-1), *ceilings, *floors])) + 1
        single = (self._single(self.costs, self.money), math.inf)
        if by_pair:
            single = (single[0], self._single(each, self.hours))
        market = Market(
            self.gains,
            self.costs,
            np.array(limits, dtype=np.float64),
            money=0 < self.money < math.inf,
            hours=each if by_pair and 0 < self.hours < math.inf else None,
            closed_hours=each if by_pair and self.hours == 0 else None,
            spread=None if self.sd is None or not self.risk else (self.risk, self.sd),
            allowed=self.allowed,
            shut=shut,
            table=np.array(table, dtype=np.float64).reshape(len(table), k),
            ceilings=np.array(ceilings, dtype=np.intp),
            floors=np.array(floors, dtype=np.intp),
            segment=self.segment if ceilings or floors else None,
            segments=segments if ceilings or floors else 0,
            single=single,
        )
        return market, names

    @staticmethod
    def _single(use: Any, limit: float) -> float:
        """The limit where some pair alone is above it; infinite (no need to look) where none is."""
        return limit if float(use.max(initial=0.0)) > limit else math.inf

    def shut(self) -> NDArray[np.bool_]:
        """Actions that no limit leaves any room for."""
        shut = np.zeros(self.gains.shape[1], dtype=bool)
        if len(self.capacity):
            shut |= self.capacity[self.channel] <= 0
        if self.hours_each is not None and self.hours_each.ndim == 1:
            shut |= self.hours_each > self.hours
        return shut

    def chosen(self, choice: Any) -> tuple[Any, Any]:
        """The rows that get an action, and which."""
        rows = np.flatnonzero(choice >= 0)
        return rows, choice[rows].astype(np.intp)

    def values(self, rows: Any, actions: Any) -> Any:
        """Gain less risk less cost of pairs."""
        out = self.gains[rows, actions].astype(np.float64)
        if self.sd is not None and self.risk:
            out -= self.risk * self.sd[rows, actions].astype(np.float64)
        out -= self.costs[rows, actions]
        return out

    def uses(self, rows: Any, actions: Any) -> dict[str, NDArray[np.float64]]:
        """Money and hours of pairs."""
        out = {"money": self.costs[rows, actions].astype(np.float64)}
        each = self.hours_each
        if each is None:
            out["hours"] = np.zeros(len(rows))
        else:
            out["hours"] = (each[actions] if each.ndim == 1 else each[rows, actions]).astype(np.float64)
        return out

    def worth(self, choice: Any) -> float:
        """What a choice is expected to bring, net of cost."""
        return math.fsum(
            float(self.values(*(x[k : k + _ROWS] for x in self.chosen(choice))).sum())
            for k in range(0, max(int((choice >= 0).sum()), 1), _ROWS)
        )

    def used(self, choice: Any) -> dict[str, float]:
        """What it takes of each limit."""
        rows, actions = self.chosen(choice)
        out = {name: float(use.sum()) for name, use in self.uses(rows, actions).items()}
        if len(self.capacity):
            counts = np.bincount(self.channel[actions], minlength=len(self.capacity))
            out |= {f"channel {c}": float(count) for c, count in enumerate(counts)}
        if self.segment is not None:
            each = self.contacts(rows)
            out |= {f"segment {s} at most": each[s] for s in self.ceilings}
            out |= {f"segment {s} at least": each[s] for s in self.floors}
        return {name: out[name] for name in self.limits}

    def contacts(self, rows: Any) -> dict[int, float]:
        """How many of these rows each segment has."""
        counts = np.bincount(self.segment[rows], minlength=1)
        named = {*self.ceilings, *self.floors}
        return {s: float(counts[s]) if s < len(counts) else 0.0 for s in named}

    def dropped_to_fit(self, choice: Any) -> Any:
        """The choice less the contacts that bring least for what they use, until every limit is kept, exactly."""
        from retention._kernels.rounding import within

        choice = np.array(choice)
        rows, actions = self.chosen(choice)
        uses = self.uses(rows, actions)
        for name, limit in (("money", self.money), ("hours", self.hours)):
            if limit == math.inf or within(uses[name][choice[rows] >= 0], limit):
                continue
            value = self.values(rows, actions)
            open_ = np.flatnonzero((choice[rows] >= 0) & (uses[name] > 0))
            order = open_[np.argsort(value[open_] / uses[name][open_], kind="stable")]
            low, high = 0, len(order)  # the fewest of them that must go
            while low < high:
                some = (low + high) // 2
                keep = choice[rows] >= 0
                keep[order[:some]] = False
                low, high = (low, some) if within(uses[name][keep], limit) else (some + 1, high)
            choice[rows[order[:low]]] = -1
        for c, places in enumerate(self.capacity):
            mine = np.flatnonzero((choice[rows] >= 0) & (self.channel[actions] == c))
            if len(mine) > places:
                value = self.values(rows[mine], actions[mine])
                choice[rows[mine[np.argsort(value, kind="stable")[: len(mine) - int(places)]]]] = -1
        for s, most in self.ceilings.items():
            mine = np.flatnonzero((choice[rows] >= 0) & (self.segment[rows] == s))
            if len(mine) > most:
                value = self.values(rows[mine], actions[mine])
                choice[rows[mine[np.argsort(value, kind="stable")[: len(mine) - int(most)]]]] = -1
        return choice

    def with_floors(self, choice: Any) -> Any:
        """The choice if it meets the floors; else one that does, or the error that says that none does."""
        short = self.short(choice)
        if not short:
            return choice
        # As many contacts as the floors ask for and no others, whatever they bring: how far does that get?
        from retention._kernels import rounding

        n, k = self.gains.shape
        floors = np.zeros(int(self.segment.max(initial=-1)) + 2)
        for s, floor in self.floors.items():
            floors[min(s, len(floors) - 1)] = floor
        asked = object.__new__(Demand)
        asked.__dict__.update(self.__dict__)
        asked.gains = np.ones((n, k)) + np.asarray(self.costs, dtype=np.float64)
        asked.sd, asked.floors = None, {}
        asked.ceilings = {s: floors[s] if s < len(floors) else 0.0 for s in range(len(floors))}
        market, _ = asked.market()
        least = asked.dropped_to_fit(
            rounding.assign(market, prove=self.gains.size <= 10 * EXACT_PAIRS, nodes=NODES).choice
        )
        short = self.short(least)
        if not short:
            return least
        s, got = next(iter(short.items()))
        raise ConfigError(
            f"segment {s}: at least {self.floors[s]:,.0f} contacts",
            rule=f"floors must fit the limits; of this one about {got:,.0f} can be met beside the other floors",
            remedy="lower at_least, raise the limits, or allow more actions",
        )

    def short(self, choice: Any) -> dict[int, float]:
        """Segments whose floors are not met, and how many contacts they have."""
        each = self.contacts(self.chosen(choice)[0])
        return {s: each[s] for s, floor in sorted(self.floors.items()) if each[s] < floor}

    def priced(self, names: list[str], price: Any) -> dict[str, float]:
        """Prices by name; a floor's is what one more costs, below 0."""
        return {
            name: -float(p) if name.endswith("at least") else float(p) for name, p in zip(names, price, strict=True)
        }

    def first_unit(self, market: Any, price: Any) -> dict[str, float]:
        """Limits of 0: what the first unit would earn, by the best pair that nothing but this limit shuts."""
        zeros = [name for name in ("money", "hours") if self.limits[name] == 0]
        zeros += [f"channel {c}" for c, places in enumerate(self.capacity) if places == 0]
        if not zeros or not len(self.gains):
            return {}
        out = dict.fromkeys(zeros, 0.0)
        for block in market.blocks():
            rows = np.arange(block.first, block.first + block.profit.shape[1])
            best = market.best(block, price)[1]
            behind = self._open_nets(market, block, rows, price) - best
            using = {}
            for name in zeros:
                if name == "money":
                    using[name] = np.asarray(self.costs[rows], dtype=np.float64).T
                elif name == "hours":
                    each = self.hours_each
                    by_action = each is None or each.ndim == 1
                    one = np.zeros(len(self.gains[0])) if each is None else each
                    using[name] = np.repeat(one[:, None], len(rows), axis=1) if by_action else one[rows].T
                else:
                    mine = (self.channel == int(name.split()[1])).astype(np.float64)
                    using[name] = np.repeat(mine[:, None], len(rows), axis=1)
            total = sum((use > 0).astype(np.int8) for use in using.values())
            for name, use in using.items():
                alone = (use > 0) & (total == 1) & (behind > 0)
                if alone.any():
                    out[name] = max(out[name], float((behind[alone] / use[alone]).max()))
        return out

    def _open_nets(self, market: Any, block: Any, rows: Any, price: Any) -> Any:
        """Net of prices for all allowed pairs, also those that a limit of 0 shuts."""
        profit = np.asarray(self.gains[rows], dtype=np.float64).T - np.asarray(self.costs[rows], dtype=np.float64).T
        if self.sd is not None:
            profit = profit - self.risk * self.sd[rows].T
        if self.allowed is not None:
            profit = np.where(self.allowed[rows].T, profit, -np.inf)
        return market.nets(block._replace(profit=profit), price)


def checked_matrix(name: str, given: Any, shape: tuple[int, int] | None = None, least: float = -math.inf) -> Any:
    array = np.asarray(given)
    if array.dtype.kind not in "iuf":
        raise ConfigError(
            f"{name} of type {array.dtype}",
            rule=f"{name} are numbers",
            remedy="pass an array of floats",
        )
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if shape is None:
        if array.ndim != 2 or array.shape[1] == 0 or array.shape[1] > 32_000:
            raise ConfigError(
                f"{name} of shape {array.shape}",
                rule=f"{name} has a row for each customer and a column for each action, at least one",
                remedy="pass a two-dimensional array, also for one action",
            )
    elif array.shape == shape[1:]:
        array = np.broadcast_to(array, shape)
    elif array.shape != shape:
        raise ConfigError(
            f"{name} of shape {array.shape} beside gains of shape {shape}",
            rule=f"{name} has the shape of gains",
            remedy="line the arrays up, customer by customer and action by action",
        )
    if array.size:
        low, high = float(array.min()), float(array.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            bad = np.argwhere(~np.isfinite(array))
            raise ConfigError(
                f"{name} that are not finite ({len(bad):,} of them, the first in row {bad[0, 0]}, column {bad[0, 1]})",
                rule=f"{name} are finite numbers",
                remedy="forbid pairs by allowed=False, and mend what is missing",
            )
        if low < least:
            row, column = np.unravel_index(int(np.argmin(array)), array.shape)
            raise ConfigError(
                f"{name} below {least:g} (as in row {row}, column {column})",
                rule=f"{name} are {least:g} or more",
                remedy="what an action brings belongs into gains",
            )
        if max(abs(low), abs(high)) > 1e100:
            raise ConfigError(
                f"{name} as large as {max(abs(low), abs(high)):.0e}",
                rule="figures are amounts of money or hours, below 1e100",
                remedy="forbid pairs by allowed=False, not by figures",
            )
    return array


def checked_number(name: str, given: Any) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(given, bool) or not (value >= 0):
        raise ConfigError(
            f"{name}={given!r}",
            rule=f"{name} is a number of 0 or more",
            remedy=f"give {name} a number >= 0",
        )
    return value


def checked_limit(name: str, given: Any) -> float:
    """A limit of 0 or more; None is none."""
    return math.inf if given is None else checked_number(name, given)


def checked_places(name: str, given: Any) -> float:
    """A limit in whole contacts."""
    value = checked_limit(name, given)
    if value < math.inf and value != math.floor(value):
        raise ConfigError(
            f"{name}={given!r}",
            rule="contacts are counted in whole numbers",
            remedy="pass a whole number, or None for no limit",
        )
    return value


def checked_indices(name: str, given: Any, n: int) -> NDArray[np.intp]:
    """One index from 0 for each of n."""
    array = np.asarray(given)
    if array.dtype.kind not in "iu" and array.size:
        raise ConfigError(f"{name} of type {array.dtype}", rule=f"{name} holds indices", remedy="pass whole numbers")
    if array.shape != (n,):
        raise ConfigError(
            f"{name} of shape {array.shape}",
            rule=f"{name} has one index for each of {n:,} {'actions' if name == 'channel' else 'customers'}",
            remedy="line it up with gains",
        )
    if array.size and int(array.min()) < 0:
        raise ConfigError(f"{name} with a negative index", rule="indices count from 0", remedy="use 0, 1, ...")
    return array.astype(np.intp, copy=False)


def checked_by_segment(name: str, given: Any) -> dict[int, float]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif np.ndim(given) == 1:
        pairs = list(enumerate(given))
    else:
        raise ConfigError(
            f"{name}={given!r}",
            rule=f"{name} is one figure a segment",
            remedy=f"pass {name}=[...] or a mapping of segments to numbers",
        )
    out: dict[int, float] = {}
    for s, number in pairs:
        try:
            index = operator.index(s)
        except TypeError:
            index = -1
        if index < 0:
            raise ConfigError(
                f"{name} of a segment that is no index", rule="segments are 0, 1, ...", remedy="use the index"
            )
        value = checked_places(f"{name} of segment {index}", number)
        out[index] = 0.0 if number is None and name == "at_least" else value
    return out
