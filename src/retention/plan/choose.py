"""The chooser: at most one contact a customer, within both budgets, as much net gain as a greedy walk finds.

The share of a contact is ``c = money / money budget + hours / hours budget`` (a budget without limit counts nothing).

1. A proposal is a candidate if no policy refused it, its net gain is above zero, and it fits the budgets by itself.
2. For each customer the candidates that lie on the upper hull of net gain over share make a ladder: the first rung is
   the contact with the most net gain per share, each further rung trades up to a dearer contact with less gain per
   additional share.
3. All rungs of all customers are walked, the most gain per additional share first, ties by a hash of the seed and the
   id. A rung is taken if the customer's new contact, in place of her old one, fits what is left of both budgets.
4. Customers still without a contact are walked once more with all their candidates, the most gain per share first: a
   contact off the ladder may fit where the ladder's did not.

A customer in the hold-out takes her turn like all others and against the same budgets, but uses nothing of them: at
her turn she does not yet know her arm, which is what makes the two arms comparable.

Greedy is not optimal: a large contact may find no room beside small ones. :func:`upper_bound` says how far from the
best it can be at most. Costs are counted in whole millionths, so no sum of roundings exceeds a budget.
"""

from collections.abc import Iterable

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.domain import Action
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, TextColumn
from retention.plan.budget import Budget, micro_cost, micro_limit
from retention.plan.holdout import tie_keys
from retention.plan.proposals import Proposals

__all__ = ["Choice", "choose", "upper_bound"]


@frozen(eq=False, kw_only=True)
class Choice:
    """Positions of the proposals chosen and held out, and the fate of every proposal."""

    chosen: IntColumn
    held_out: IntColumn
    fate: TextColumn
    spent_money: float
    spent_hours: float
    best_possible: float


def choose(proposals: Proposals, allowed: BoolColumn, *, budget: Budget, held_out: BoolColumn, seed: int) -> Choice:
    """Choose among the proposals that the policies allow; ``held_out`` is True for proposals to hold-out customers."""
    net = proposals.net
    purse = _Purse(budget, proposals.actions)
    share = purse.share[proposals.action] if len(proposals) else net
    gainful = allowed & np.isfinite(net) & (net > 0)
    candidates = np.flatnonzero(gainful & np.isfinite(share))
    taken = _walk(proposals, candidates, share, held_out, purse, seed)

    fate = np.full(len(proposals), "passed over")
    has_one = np.isin(proposals.base_row, proposals.base_row[taken])
    fate[gainful & ~has_one] = "budget"
    fate[allowed & ~gainful] = "no gain"
    fate[~allowed] = "vetoed"
    fate[taken] = np.where(held_out[taken], "hold-out", "chosen")
    open_to_contact = candidates[~held_out[candidates]]
    return Choice(
        chosen=taken[~held_out[taken]],
        held_out=taken[held_out[taken]],
        fate=fate,
        spent_money=purse.money_used / 1e6,
        spent_hours=purse.hours_used / 1e6,
        best_possible=upper_bound(proposals.take(open_to_contact), budget),
    )


def _walk(
    proposals: Proposals, candidates: IntColumn, share: FloatColumn, held_out: BoolColumn, purse: "_Purse", seed: int
) -> IntColumn:
    """The proposals taken, by position."""
    net, rows, action = proposals.net.tolist(), proposals.base_row.tolist(), proposals.action.tolist()
    shares, names = share.tolist(), [a.name for a in proposals.actions]
    # What tells two proposals of one customer apart must not depend on the order in which they came.
    label = [(names[a], s) for a, s in zip(action, proposals.strategy.tolist(), strict=True)]
    of_customer: dict[int, list[int]] = {}
    for p in candidates.tolist():
        of_customer.setdefault(rows[p], []).append(p)
    ids = {row: str(proposals.customer_id[ps[0]]) for row, ps in of_customer.items()}
    turn = dict(zip(ids, zip(tie_keys(ids.values(), seed), ids.values(), strict=True), strict=True))

    rungs = [
        (-slope, *turn[row], height, p)
        for row, ps in of_customer.items()
        for height, (slope, p) in enumerate(_ladder(ps, net, shares, label))
    ]
    current: dict[int, int] = {}
    for *_, p in sorted(rungs):
        if purse.take(action[p], _action_of(current.get(rows[p]), action), held=bool(held_out[p])):
            current[rows[p]] = p
    left = [
        (-_per_share(net[p], shares[p]), *turn[row], label[p], p)
        for row, ps in of_customer.items()
        if row not in current
        for p in ps
    ]
    for *_, p in sorted(left):
        if rows[p] not in current and purse.take(action[p], None, held=bool(held_out[p])):
            current[rows[p]] = p
    return np.asarray(sorted(current.values()), dtype=np.int64)


def _action_of(position: int | None, action: list[int]) -> int | None:
    return None if position is None else action[position]


def _per_share(net: float, share: float) -> float:
    return net / max(share, 1e-12)


def _ladder(
    positions: Iterable[int], net: list[float], share: list[float], label: list[tuple[str, str]]
) -> list[tuple[float, int]]:
    """The upper hull of net gain over share, as (gain per additional share, position), cheapest first."""
    hull: list[tuple[float, int]] = []
    for p in sorted(positions, key=lambda p: (share[p], -net[p], label[p])):
        if hull and net[p] <= net[hull[-1][1]]:
            continue
        while hull:
            slope, last = hull[-1]
            step = _per_share(net[p] - net[last], share[p] - share[last])
            if step <= slope:
                break
            hull.pop()
        slope = _per_share(net[p], share[p]) if not hull else step
        hull.append((slope, p))
    return hull


class _Purse:
    """What is left of both budgets, in whole millionths."""

    def __init__(self, budget: Budget, actions: tuple[Action, ...]) -> None:
        self.money_limit, self.hours_limit = micro_limit(budget.money), micro_limit(budget.hours)
        self.costs = [(micro_cost(a.outlay), micro_cost(a.hours)) for a in actions]
        self.money_used = self.hours_used = 0
        self.share: FloatColumn = np.asarray(
            [_portion(m, self.money_limit) + _portion(h, self.hours_limit) for m, h in self.costs], dtype=np.float64
        )

    def take(self, new: int, old: int | None, *, held: bool) -> bool:
        """Put one action in the place of another (or of none) if both budgets allow it."""
        money, hours = self.costs[new]
        freed_money, freed_hours = self.costs[old] if old is not None and not held else (0, 0)
        money_used = self.money_used - freed_money + money
        hours_used = self.hours_used - freed_hours + hours
        if _over(money_used, self.money_limit) or _over(hours_used, self.hours_limit):
            return False
        if not held:
            self.money_used, self.hours_used = money_used, hours_used
        return True


def _over(used: int, limit: int | None) -> bool:
    return limit is not None and used > limit


def _portion(cost: int, limit: int | None) -> float:
    """The share of a budget that one contact takes; infinite where it does not fit even alone."""
    if limit is None or cost == 0:
        return 0.0
    return cost / limit if cost <= limit else np.inf


def upper_bound(proposals: Proposals, budget: Budget) -> float:
    """The most net gain that any choice of one proposal a customer within the budgets could have.

    By Lagrangian relaxation: for any prices of the two budgets, the budgets at those prices plus each customer's best
    net gain after prices is a bound. The prices run along three directions (money, hours, both alike), and on each
    the convex bound is made small by golden section. Every value on the way is a bound, so an unfinished search is
    loose and never wrong. (Fisher 1981, Management Science 27.)
    """
    if not len(proposals):
        return 0.0
    order = np.argsort(proposals.base_row, kind="stable")
    net, rows = proposals.net[order], proposals.base_row[order]
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    shares, limited = [], []
    for attribute, limit in (("outlay", budget.money), ("hours", budget.hours)):
        cost = np.asarray(proposals.of_actions(attribute)[order], dtype=np.float64)
        shares.append(cost / limit if limit else np.zeros(len(cost)))
        limited.append(float(bool(limit)))
    both = shares[0] + shares[1], limited[0] + limited[1]
    directions = [(shares[0], limited[0]), (shares[1], limited[1]), both]
    return min(_cheapest_price(net, share, capacity, starts) for share, capacity in directions)


def _cheapest_price(net: FloatColumn, share: FloatColumn, capacity: float, starts: NDArray[np.intp]) -> float:
    def bound(price: float) -> float:
        return price * capacity + float(np.maximum(np.maximum.reduceat(net - price * share, starts), 0.0).sum())

    costly = share > 0
    if not costly.any():
        return bound(0.0)
    low, high, golden = 0.0, max(float(np.max(net[costly] / share[costly])), 0.0), (5**0.5 - 1) / 2
    best = bound(low)
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        at_left, at_right = bound(left), bound(right)
        best = min(best, at_left, at_right)
        low, high = (low, right) if at_left <= at_right else (left, high)
    return best
