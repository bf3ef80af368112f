"""What a proof shows beside its number: one row an action, one row a time with one hold-out."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from attrs import frozen

from retention.frames.table import DayColumn, FloatColumn, IntColumn, Table, TextColumn, column

if TYPE_CHECKING:
    from retention.journal import Journal

__all__ = ["ActionProofs", "HoldoutHistory", "history_of"]


@frozen(eq=False, repr=False, kw_only=True)
class ActionProofs(Table):
    """One row an action, by name: what being chosen for it first earned per contacted customer, after cost.

    ``low`` and ``high`` are each action's own interval. Of many such intervals some miss; ``verdict`` is therefore
    Holm's: the chance that any action that does nothing is said to work is at most ``(1 - level) / 2`` over all rows
    together, and so for harm. ``alone`` is the verdict of the row by itself.

    ``against`` says who the others are: ``'own control'`` (customers whom the action's own control kept from it and
    nothing else, so the row tells what this action adds to all others) or ``'hold-out'`` (customers whom nothing
    reaches, so the row tells what this action brought with whatever followed).
    """

    key: ClassVar[str] = "action"

    action: TextColumn = column("which")
    verdict: TextColumn = column("works, no effect, harms or cannot tell, over all actions together")
    alone: TextColumn = column("the same, if it were the only action")
    value: FloatColumn = column("margin per contacted customer beyond the others', after cost", unit="money")
    low: FloatColumn = column("lower end of its interval", unit="money")
    high: FloatColumn = column("upper end of its interval", unit="money")
    n_contact: IntColumn = column("customers contacted", unit="count")
    n_holdout: IntColumn = column("customers left alone", unit="count")
    against: TextColumn = column("'own control' or 'hold-out'")
    margin_contact: FloatColumn = column("mean margin of the contacted", unit="money")
    margin_holdout: FloatColumn = column("mean margin of those left alone, weighted as the contacted are", unit="money")
    cost: FloatColumn = column("what contacts cost per contacted customer", unit="money")
    expected: FloatColumn = column("what the plan expected per contacted customer, after cost", unit="money")


@frozen(eq=False, repr=False, kw_only=True)
class HoldoutHistory(Table):
    """One row a time in which share and salt of the hold-out stayed, oldest first."""

    key: ClassVar[str] = "salt"

    since: DayColumn = column("its first night")
    until: DayColumn = column("its last night")
    share: FloatColumn = column("share of chosen customers held out")
    salt: TextColumn = column("of the hold-out's hash")
    nights: IntColumn = column("nights recorded", unit="count")
    contacts: IntColumn = column("contacts decided", unit="count")
    held_out: IntColumn = column("customers held out, each night counted", unit="count")


def history_of(journal: "Journal") -> HoldoutHistory:
    """Which shares were held out when, and by which salt.

    Example:
        >>> from retention.journal import Journal
        >>> with Journal(":memory:") as journal:
        ...     len(history_of(journal))
        0
    """
    nights = journal.nights()
    new = np.ones(len(nights), dtype=bool)
    if len(nights):
        new[1:] = (nights.holdout_share[1:] != nights.holdout_share[:-1]) | (nights.salt[1:] != nights.salt[:-1])
    begin = np.flatnonzero(new)
    end = np.append(begin[1:], len(nights)) if len(begin) else begin

    def total(counts: IntColumn) -> IntColumn:
        return np.asarray(
            [counts[a:b].sum() for a, b in zip(begin.tolist(), end.tolist(), strict=True)], dtype=np.int64
        )

    return HoldoutHistory(
        since=nights.as_of[begin],
        until=nights.as_of[end - 1],
        share=nights.holdout_share[begin],
        salt=nights.salt[begin],
        nights=(end - begin).astype(np.int64),
        contacts=total(nights.contacts),
        held_out=total(nights.held_out),
    )
