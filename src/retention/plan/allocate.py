"""The allocator: at most one action a customer, as much margin as all limits together allow, and a proof of how much.

Each customer and action has an expected incremental margin before cost (``gains``) and a cost. What is maximised is the
sum of gain minus cost, of gain minus ``risk`` standard deviations minus cost if asked; costs count against the money as
well. Nobody is given an action at a loss, unless a floor cannot be met otherwise.

Every limit gets a price, and each customer takes what is best for her at these prices. The prices also prove a bound
that no allocation whatever exceeds (Lagrange; see :mod:`retention._kernels.prices`), and what is handed back is that
bound beside whole customers who keep to every limit. Small problems are finished by an integer programme.

Nothing is drawn by chance. Of two actions that are worth the same to a customer at the prices she gets the one that
comes first. Where the same figures stand for several customers and not all of them can have a contact, those go first
whose row, counted from 1 and times the golden ratio, has the smallest fraction: no stretch of rows is preferred.
"""

import html
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike, NDArray

from retention.errors import ConfigError
from retention.frames.table import read_only
from retention.plan.demand import EXACT_PAIRS, NODES, Account, Amounts, Demand
from retention.plan.priced import Kept, PricedBatch, checked_rows

__all__ = ["Allocation", "allocate"]


def _sealed(choice: Any) -> NDArray[np.int16]:
    return read_only(choice)


def _fixed(amounts: Amounts) -> Amounts:
    return MappingProxyType(dict(amounts))


@frozen(eq=False, repr=False, kw_only=True)
class Settled:
    """What is told of an allocation beside the customers themselves; see :class:`Allocation`."""

    objective: float
    bound: float
    prices: Amounts = field(converter=_fixed)
    used: Amounts = field(converter=_fixed)
    limits: Amounts = field(converter=_fixed)
    method: str

    @property
    def gap(self) -> float:
        """By what share of the bound a better allocation could exceed this one, at most."""
        return max(self.bound - self.objective, 0.0) / abs(self.bound) if self.bound else 0.0

    def __repr__(self) -> str:
        lines = [
            f"Allocation: {self._who()}",
            f"  net gain   {self.objective:,.2f}, and no allocation exceeds {self.bound:,.2f} (gap {self.gap:.1e})",
            f"  method     {self.method}",
        ]
        names = list(self.prices)
        shown = names if len(names) <= 12 else sorted(names, key=lambda name: -abs(self.prices[name]))[:12]
        for name in shown:
            limit = self.limits[name]
            of = "" if math.isinf(limit) else f" of {limit:,.6g}"
            lines.append(f"  {name:<10} {self.used[name]:,.6g}{of} used; one more would earn {self.prices[name]:,.4g}")
        if len(shown) < len(names):
            lines.append(f"  and {len(names) - len(shown)} more limits in .prices, .used and .limits")
        return "\n".join(lines)

    def _who(self) -> str:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


@frozen(eq=False, repr=False, kw_only=True)
class Allocation(Settled):
    """Who gets which action, what that brings, and how far from the best it can be at most.

    ``choice`` is the action's index for each customer, -1 for none. ``objective`` is what is expected of it net of
    cost, and ``bound`` is proved to be at least what the best allocation brings. ``prices`` tell for each limit what
    one more unit of it would earn (a little less once whole customers and not shares of them are meant); a limit that
    is not reached has the price 0, and a floor a negative one: what asking for one more contact would cost. ``used``
    and ``limits`` have the same names: ``money``, ``hours``, ``channel 0``, ..., and ``segment 3 at least`` or
    ``segment 3 at most`` where asked. ``method`` is *exact* if nothing better exists, and *prices* if the gap says how
    much better something might be.
    """

    choice: NDArray[np.int16] = field(converter=_sealed)

    @property
    def contacts(self) -> int:
        """How many customers get an action."""
        return int(np.count_nonzero(self.choice >= 0))

    def _who(self) -> str:
        return f"{self.contacts:,} of {len(self.choice):,} customers get an action"


def allocate(
    gains: ArrayLike,
    costs: ArrayLike,
    *,
    money: float | None = None,
    hours: float | None = None,
    hours_each: ArrayLike | None = None,
    channel: ArrayLike | None = None,
    capacity: Sequence[float | None] | ArrayLike | None = None,
    allowed: ArrayLike | None = None,
    segment: ArrayLike | None = None,
    at_least: Sequence[float | None] | Mapping[int, float] | None = None,
    at_most: Sequence[float | None] | Mapping[int, float] | None = None,
    gains_sd: ArrayLike | None = None,
    risk: float = 0.0,
    exact: bool | None = None,
) -> Allocation:
    """At most one action for each customer, so that the sum of gain minus cost is as large as all limits allow.

    ``gains`` is (customers, actions): the expected incremental margin of each action before its cost. ``costs`` is of
    the same shape, or one figure an action, none below 0. Both are read as they are and not copied; float32 is fine.

    - ``money``: the sum of the costs of what is chosen is never above it. ``hours`` likewise, for ``hours_each`` by
      action or by pair. Sums of floats are compared exactly (math.fsum), so 0.1 + 0.1 + 0.1 does not fit into 0.3:
      count in cents and minutes where that matters. None or infinity is no limit.
    - ``channel`` is the index of each action's channel, ``capacity`` how many contacts each channel can take. Without
      ``channel`` every action is a channel of its own.
    - ``allowed`` is False where a pair must not be.
    - ``segment`` is each customer's segment (0, 1, ...); ``at_least`` and ``at_most`` say by segment (a sequence, or a
      mapping of some) how many of its customers get an action.
    - ``gains_sd`` and ``risk``: gains count as gain - ``risk`` x sd.
    - ``exact``: None finishes problems of up to 2,000 pairs by an integer programme; True asks for it whatever the
      size, however long it takes (for up to 40,000 customers); False leaves it out. It is left out, too, in a forked
      child of a process that ran one (the solver's threads do not survive a fork): the bound says what that costs.

    Returns an :class:`Allocation`. The same input gives the same output on every run.

    Errors: :class:`ConfigError` for shapes that do not go together, figures that are not finite, negative costs, an
    action of a channel without a capacity, floors that cannot be met (with the segment and what is possible).

    Source: Fisher 1981, Management Science 27 (the bound); Dantzig and Wolfe 1960, Operations Research 8.

    Example:
        >>> got = allocate([[5.0, 9.0], [4.0, 6.0], [1.0, 0.5]], [[1.0, 4.0], [1.0, 4.0], [1.0, 1.0]], money=5)
        >>> got.choice.tolist(), got.objective, got.used["money"]
        ([1, 0, -1], 8.0, 5.0)
        >>> got.gap < 1e-9, got.method
        (True, 'exact')
    """
    by_action = hours_each is not None and np.ndim(hours_each) == 1
    by_pair = None if by_action else hours_each
    rows, facts = checked_rows(PricedBatch(gains, costs, segment, allowed, gains_sd, by_pair))
    asked = Demand(
        Kept(rows, facts),
        money=money,
        hours=hours,
        hours_each=hours_each if by_action else None,
        channel=channel,
        capacity=capacity,
        at_least=at_least,
        at_most=at_most,
        risk=risk,
    )
    choice, _, figures = settled(asked, exact)
    return Allocation(choice=choice, **figures)


def settled(asked: Demand, exact: bool | None) -> tuple[Any, Account, dict[str, Any]]:
    """The choice, what it brings and takes, and whatever else an :class:`Allocation` tells."""
    from retention._kernels import rounding

    n = asked.facts.rows
    if exact not in (None, True, False):
        raise ConfigError(f"exact={exact!r}", rule="exact is True, False or None", remedy="leave it out")
    if exact and n > rounding.SMALL:
        raise ConfigError(
            f"exact=True with {n:,} customers",
            rule=f"the integer programme takes up to {rounding.SMALL:,} customers",
            remedy="leave exact out: the bound tells how little is lost",
        )
    spread = asked.most + asked.worst
    market, got = asked.assigned(
        dearest=1e2 * spread,
        spread=float(sum(asked.floors.values())) * spread,
        prove=bool(exact) or (exact is None and n * asked.facts.actions <= EXACT_PAIRS),
        nodes=None if exact else NODES,
    )
    choice, account = asked.dropped_to_fit(got.choice)
    choice, account = asked.with_floors(choice, account)
    objective = account.worth
    # A difference of floats has the sign of the true difference, so a bound of 0 needs no room for roundings.
    bound = max(got.bound + market.slack(got.price, asked.most) if got.bound else 0.0, objective)
    prices = dict.fromkeys(asked.limits, 0.0)
    prices |= asked.priced(got.price)
    prices |= asked.first_unit(got.price)
    done = bound - objective <= 1e-8 * max(abs(bound), asked.most)
    figures = {
        "objective": objective,
        "bound": bound,
        "prices": prices,
        "used": asked.used(account),
        "limits": asked.limits,
        "method": "exact" if done else "prices",
    }
    return choice, account, figures
