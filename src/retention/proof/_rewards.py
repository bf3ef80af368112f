"""What contacts cost: money, and rewards as far as they are taken."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from retention.domain import Action
from retention.frames.table import DayColumn, FloatColumn, TextColumn
from retention.proof.arms import Arms

if TYPE_CHECKING:
    from retention.journal import Journal

__all__ = ["Rewards"]


@frozen(eq=False, kw_only=True)
class Rewards:
    """What a contact costs by action, and the rewards on file that come on top."""

    costs: dict[str, float]
    customer_id: TextColumn
    at: DayColumn
    amount: FloatColumn
    notes: tuple[str, ...]

    @classmethod
    def of(cls, journal: "Journal", actions: Iterable[Action]) -> "Rewards":
        known = {action.name: action for action in actions}
        paid = journal.outcomes()
        paid = paid.take((paid.kind == "reward") & (paid.customer_id != ""))
        real = {name for name, action in known.items() if action.reward is not None} & set(paid.action.tolist())
        costs = {name: a.money if name in real else a.expected_cost for name, a in known.items()}
        told = paid.take(np.isin(paid.action, sorted(real)))
        notes = []
        if real:
            notes.append(
                f"rewards of {', '.join(map(repr, sorted(real)))} count as they were taken, by the outcomes on file"
            )
        guessed = sorted(name for name, a in known.items() if a.reward_cost > 0 and name not in real)
        if guessed:
            notes.append(f"rewards of {', '.join(map(repr, guessed))} count as far as they were expected to be taken")
        if not known:
            notes += (
                ["rewards on file do not count, for nothing says which cost they are part of; pass actions="]
                if len(paid)
                else []
            )
        return cls(costs=costs, customer_id=told.customer_id, at=told.at, amount=told.amount, notes=tuple(notes))

    def taken(self, arms: Arms) -> FloatColumn:
        """The rewards that each row's customer took from the day of the decision to the end of her window."""
        sums = np.zeros(len(arms))
        if not len(self.amount):
            return sums
        order = np.argsort(arms.customer_id, kind="stable")
        ids = arms.customer_id[order]
        begin, end = (np.searchsorted(ids, self.customer_id, side=side) for side in ("left", "right"))
        for reward, (a, b) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
            rows = order[a:b]
            sums[rows] += np.where(
                (arms.first[rows] <= self.at[reward]) & (self.at[reward] <= arms.close[rows]), self.amount[reward], 0.0
            )
        return sums
