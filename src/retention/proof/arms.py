"""The arms of the experiment that the journal is: who was chosen first for what, when, and what chance made of it."""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import attrs
import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.frames.table import (
    BoolColumn,
    DayColumn,
    FloatColumn,
    IntColumn,
    Provenance,
    Table,
    TextColumn,
    column,
)
from retention.plan.holdout import holdout_draws
from retention.records.scan import TransactionScan
from retention.records.transactions import TransactionLog

if TYPE_CHECKING:
    from retention.journal import Journal
    from retention.journal.tables import Decisions

__all__ = ["Arms", "arms_of", "comparable", "margins", "margins_before"]

_SAME = 1e-9


@frozen(eq=False, repr=False, kw_only=True)
class Arms(Table):
    """One row a customer who was ever chosen: her first decision; or one row a customer and action, the first for it.

    Rows are in the order of customer and action. ``left_out`` counts, by reason, what of the journal is not in it.

    - ``contacted``: the decision was to contact her. Otherwise she was held out, or drawn by exploration to be left
      alone (``explored``, which is True for both things that exploration drew).
    - ``own_control``: she was left alone by this action's own control and not by the shop's hold-out, so other actions
      may reach her.
    - ``fresh``: nothing had been decided for her before that night. Of a customer's first decisions for actions one is
      fresh at most.
    - ``share`` and ``regime``: the hold-out's share in that night, and the number of the unbroken time with one share
      and salt, from 0.

    Which rows may be compared: within one ``regime`` and ``probability``, without ``explored`` rows, chance alone tells
    contacted from held-out *fresh* rows. Rows that are not fresh are comparable only within the programme: contacted
    against ``own_control``. Whom the hold-out keeps from everything comes to her second action on another way than one
    who was contacted.
    """

    key: ClassVar[str] = "customer_id"

    customer_id: TextColumn = column("who")
    first: DayColumn = column("day of the decision")
    close: DayColumn = column("last day that counts")
    contacted: BoolColumn = column("whether she was to be contacted")
    action: TextColumn = column("what was, or would have been, done")
    channel: TextColumn = column("how")
    strategy: TextColumn = column("who proposed it")
    segment: TextColumn = column("her tier on that day; empty in journals of older versions")
    probability: FloatColumn = column("that she is contacted with this action, as the plan drew it")
    gain: FloatColumn = column("incremental margin that was expected of the contact, before cost", unit="money")
    assumed: FloatColumn = column("the same before anything was learned of it", unit="money")
    money: FloatColumn = column("what all contacts with her cost at most, from the first day to before the last")
    hours: FloatColumn = column("attention, in the same way", unit="hours")
    explored: BoolColumn = column("whether exploration drew what was done")
    own_control: BoolColumn = column("left alone by the action's own control, not by the hold-out")
    fresh: BoolColumn = column("nothing was decided for her before")
    share: FloatColumn = column("share held out in that night")
    regime: IntColumn = column("number of the time with this share and salt")

    changed: BoolColumn = column("whether a later decision put her into the other arm")

    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        contacted = int(self.contacted.sum())
        return (
            f"<Arms: {contacted:,} contacted, {len(self) - contacted:,} left alone, {self.explored.sum():,} explored>"
        )


def of_the_decided(journal: "Journal", log: TransactionLog | TransactionScan) -> tuple[TransactionLog, dt.date | None]:
    """The receipts in memory, and their last day; of a scan the receipts of those alone about whom was decided."""
    if not isinstance(log, TransactionScan):
        return log, as_day(log.day.max()) if len(log) else None
    days = log.days()
    decided = np.unique(journal.decisions().customer_id)
    return log.of(decided[decided != ""].tolist()).in_memory(), None if days is None else days[1]


def arms_of(
    journal: "Journal",
    *,
    until: dt.date | np.datetime64 | None,
    window_days: int | None = None,
    by_action: bool = False,
    costs: Mapping[str, float] | None = None,
) -> Arms:
    """The arms as the journal has them, with a window for each row that is over by ``until``.

    A window begins the day after the decision and ends on ``close``: ``window_days`` later, or on ``until`` if no
    window is given. Rows whose window is not over are left out and counted in ``left_out``, and so are the decisions of
    customers who asked to be forgotten. ``until`` None leaves nothing. ``money`` and ``hours`` sum all contacts that
    were decided for her in her window, with whichever action, exploration included.

    Example:
        >>> from retention.journal import Journal
        >>> with Journal(":memory:") as journal:
        ...     arms_of(journal, until=None)
        <Arms: 0 contacted, 0 left alone, 0 explored>
    """
    said: list[str] = []
    decisions = journal.decisions()  # by night, so the first row of a customer is her first decision
    forgotten = decisions.customer_id == ""
    if forgotten.any():
        arm = decisions.arm[forgotten]
        said.append(
            f"{len(arm):,} decisions are left out ({int((arm == 'contact').sum()):,} to contact, "
            f"{int((arm == 'hold-out').sum()):,} to hold out): the customers asked to be forgotten"
        )
    decisions = decisions.take(~forgotten)
    share, salt, regime = _nights(journal, decisions.as_of)

    _, at, person = np.unique(decisions.customer_id, return_index=True, return_inverse=True)
    person = person.reshape(len(decisions))
    begun = decisions.as_of[at]
    if by_action:
        names = np.unique(decisions.action)
        pair = person * max(len(names), 1) + np.searchsorted(names, decisions.action)
        _, at = np.unique(pair, return_index=True)
    rows, mine = decisions.take(at), person[at]
    end = np.datetime64("NaT", "D") if until is None else np.datetime64(str(until), "D")
    close = np.full(len(at), end) if window_days is None else rows.as_of + np.timedelta64(window_days, "D")
    contact = decisions.arm == "contact"
    paid = np.array(decisions.money)
    for name, amount in (costs or {}).items():
        paid[decisions.action == name] = amount
    money = _within(paid, contact, decisions.as_of, person, mine, rows.as_of, close)
    hours = _within(decisions.hours, contact, decisions.as_of, person, mine, rows.as_of, close)
    arms = Arms(
        customer_id=rows.customer_id,
        first=rows.as_of,
        close=close,
        contacted=contact[at],
        action=rows.action,
        channel=rows.channel,
        strategy=rows.strategy,
        segment=rows.segment,
        probability=rows.probability,
        gain=rows.gain,
        assumed=rows.assumed,
        money=money,
        hours=hours,
        explored=rows.explored,
        own_control=_own_control(rows, share[at], salt[at]),
        fresh=rows.as_of == begun[mine],
        share=share[at],
        regime=regime[at],
        changed=_changed(decisions, person, mine, contact[at]),
        provenance=Provenance(as_of=None if np.isnat(end) else str(end)),
    )
    # A comparison with NaT is False: without a day to count to, nobody has a window.
    ripe = (arms.first < end) & (arms.close <= end)
    if not ripe.all():
        said.append(f"{int((~ripe).sum()):,} customers are left out: their window is not over yet")
    return attrs.evolve(arms.take(ripe), left_out=tuple(said))


def comparable(arms: Arms) -> tuple[BoolColumn, FloatColumn]:
    """Which rows chance alone tells apart, and the chance of each of them to be contacted.

    Of arms by action: a customer's first decision of all, and later ones against the action's own control. What
    exploration drew is none of them.
    """
    later = ~arms.fresh & (arms.contacted | arms.own_control)
    chance = np.where(arms.fresh, arms.probability, arms.probability / (1.0 - np.minimum(arms.share, 0.999)))
    drawn = (chance > _SAME) & (chance < 1.0 - _SAME)
    return ~arms.explored & (arms.fresh | later) & drawn, chance


def margins(log: TransactionLog, arms: Arms) -> FloatColumn:
    """What each row's customer left as margin in her window: after the day of the decision, up to its last day.

    Exact sums of the log, returns included (they are its negative lines); 0 for whom the log does not know.
    """
    return _summed(log, arms, arms.first, arms.close)


def margins_before(log: TransactionLog, arms: Arms, days: int) -> FloatColumn:
    """What she left in the ``days`` days before the day of the decision, that day not counted.

    Nothing that was decided can have moved it, so it may explain, and must not differ between the arms.
    """
    day = np.timedelta64(1, "D")
    return _summed(log, arms, arms.first - day - np.timedelta64(days, "D"), arms.first - day)


def _summed(log: TransactionLog, arms: Arms, after: DayColumn, until: DayColumn) -> FloatColumn:
    if not len(arms) or not len(log):
        return np.zeros(len(arms))
    labels = log.customers.labels
    place = np.minimum(np.searchsorted(labels, arms.customer_id), len(labels) - 1)
    known = labels[place] == arms.customer_id
    day = log.day.astype(np.int64)
    low, span = int(day.min()) - 1, int(day.max() - day.min()) + 2
    line = log.customers.codes * span + (day - low)
    order = np.argsort(line, kind="stable")
    line, so_far = line[order], np.concatenate([[0], np.cumsum(log.margin.minor[order])])

    def to(limit: DayColumn) -> IntColumn:
        within = np.clip(limit.astype("datetime64[D]").astype(np.int64) - low, 0, span - 1)
        return so_far[np.searchsorted(line, place * span + within, side="right")]

    return np.where(known, to(until) - to(after), 0) / 10.0**log.margin.decimals


def _nights(journal: "Journal", days: DayColumn) -> tuple[FloatColumn, TextColumn, IntColumn]:
    """Share, salt and regime of the night of each decision."""
    nights = journal.nights()
    if not len(days):
        return np.zeros(0), np.zeros(0, dtype="<U1"), np.zeros(0, dtype=np.int64)
    new = (nights.holdout_share[1:] != nights.holdout_share[:-1]) | (nights.salt[1:] != nights.salt[:-1])
    regime = np.concatenate([[0], np.cumsum(new)])
    at = np.searchsorted(nights.as_of, days)
    return nights.holdout_share[at], nights.salt[at], regime[at]


def _own_control(rows: "Decisions", share: FloatColumn, salt: TextColumn) -> BoolColumn:
    """Who of the held-out is in her action's control alone: the plan drew more than the hold-out, and its hash says no.

    A chance of 1 - share leaves no room for a control; then she is in the hold-out whatever the hash says.
    """
    own: BoolColumn = (rows.arm == "hold-out") & (rows.probability < 1.0 - share - _SAME)
    for one in np.unique(salt[own]):
        some = np.flatnonzero(own & (salt == one))
        own[some] = holdout_draws(rows.customer_id[some].tolist(), str(one)) >= share[some]
    return own


def _within(
    amount: FloatColumn,
    counts: BoolColumn,
    day: DayColumn,
    person: IntColumn,
    mine: IntColumn,
    first: DayColumn,
    close: DayColumn,
) -> FloatColumn:
    """The sum of amounts by row: of her counted decisions from the first day on and before the last.

    Decisions are ordered by day; a close that is not known takes nothing.
    """
    if not len(amount):
        return np.zeros(len(mine))
    low = day.min()
    span = int((day.max() - low).astype(np.int64)) + 2
    key = person * span + (day - low).astype(np.int64)
    order = np.argsort(key, kind="stable")
    key, so_far = key[order], np.concatenate([[0.0], np.cumsum(np.where(counts, amount, 0.0)[order])])
    known = ~np.isnat(close)
    last = np.clip(np.where(known, (close - low).astype(np.int64), 0), 0, span - 1)
    begin = np.searchsorted(key, mine * span + (first - low).astype(np.int64), side="left")
    end = np.searchsorted(key, mine * span + last, side="left")
    sums = so_far[np.maximum(end, begin)] - so_far[begin]
    return np.where(known, sums, 0.0)


def _changed(decisions: "Decisions", person: IntColumn, mine: IntColumn, contacted: BoolColumn) -> BoolColumn:
    """Whether she was in the other arm later: contacted although held out first, or held out although contacted."""
    people = int(person.max()) + 1 if len(person) else 0
    ever = np.zeros((2, people), dtype=bool)
    ever[0, person[decisions.arm == "hold-out"]] = True
    ever[1, person[decisions.arm == "contact"]] = True
    other: BoolColumn = np.asarray(ever[np.where(contacted, 0, 1), mine], dtype=bool)
    return other
