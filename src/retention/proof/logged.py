"""What a contact policy would have earned, from the decisions that the journal knows."""

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from retention.domain import Action
from retention.errors import ConfigError
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, Provenance, Table, TextColumn, column
from retention.proof._contrast import groups_of
from retention.proof._decisions import people
from retention.proof._features import Encoder, columns_of
from retention.proof._rewards import Rewards
from retention.proof._trial import LEAST_BUYERS, in_range
from retention.proof.arms import Arms, arms_of, comparable, margins, margins_before
from retention.proof.estimate import Estimate, Estimator
from retention.proof.evaluate import concluded, guessed, known_estimator, known_seed
from retention.records.transactions import TransactionLog

if TYPE_CHECKING:
    from retention.journal import Journal

__all__ = ["Logged", "evaluate_contact_policy", "logged_decisions"]

_BEFORE_DAYS = 365
_FOLDS = 5


@frozen(eq=False, repr=False, kw_only=True)
class Logged(Table):
    """One row a decision that chance made: this contact, or nothing; and what came of it.

    ``left_out`` counts, by reason, what of the journal is not in it. A customer may have several rows, one an action.
    """

    customer_id: TextColumn = column("who")
    as_of: DayColumn = column("day of the decision")
    close: DayColumn = column("last day that counts")
    action: TextColumn = column("what was, or would have been, done")
    channel: TextColumn = column("how")
    strategy: TextColumn = column("who proposed it")
    segment: TextColumn = column("her tier on that day")
    contacted: BoolColumn = column("whether the contact was made; otherwise she was left alone")
    probability: FloatColumn = column("that the contact is made")
    first: BoolColumn = column("nothing had been decided for her before")
    reward: FloatColumn = column("margin in the window less what contacts in it cost", unit="money")
    margin: FloatColumn = column("margin in the window", unit="money")
    gain: FloatColumn = column("incremental margin that was expected of the contact", unit="money")
    before: FloatColumn = column("margin in the year before the decision", unit="money")
    bought: BoolColumn = column("whether any margin fell into the window")

    window_days: int = 28
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        made = int(self.contacted.sum())
        return f"<Logged: {made:,} contacts made, {len(self) - made:,} not, {self.window_days} days after each>"


def logged_decisions(
    journal: "Journal",
    log: TransactionLog,
    *,
    window_days: int = 28,
    until: dt.date | None = None,
    actions: Iterable[Action] = (),
) -> Logged:
    """The journal's decisions that can be evaluated: those in which chance alone made a contact or left it out.

    A reward is the margin of the ``window_days`` after the day of the decision, less what all contacts in that time
    cost; of ``actions`` with a reward that the outcomes tell, what was taken. Decisions whose window is not over by
    ``until`` (default, and at most, the log's last day) are left out: of later days nobody knows what was bought.

    **What the journal identifies.** For whom a contact was chosen a lot decided whether it was made, with the
    ``probability`` that the plan wrote down. That holds for

    - her *first* decision of all, contact or hold-out. The hold-out is the same night after night, so at her second
      decision it is known which side she is on, and nothing is drawn any more;
    - later decisions for an action with a control of its own, among customers outside the hold-out. That control is
      drawn by action, so her first decision for each such action counts.

    All others are left out and counted in ``left_out``: later contacts of actions without a control (the log does not
    know how she would have fared without them), decisions that exploration drew (it chose among other actions as well),
    customers who asked to be forgotten. While exploration went on it thinned the contacted, by a share that changes
    with the night; then the probability is the share contacted in fact among decisions with equal chances and few
    nights apart.

    Example:
        >>> from retention.journal import Journal
        >>> with Journal(":memory:") as journal:
        ...     logged_decisions(journal, TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-03"], revenue=[5]))
        <Logged: 0 contacts made, 0 not, 28 days after each>
    """
    if not isinstance(window_days, int) or isinstance(window_days, bool) or window_days < 1:
        raise ConfigError(
            f"window_days={window_days!r}", rule="a window is a number of whole days, 1 or more", remedy="pass 28, say"
        )
    end = log.day.max().item() if len(log) else None
    notes: list[str] = []
    if until is not None and end is None:
        notes.append("the log is empty: no window is over")
    elif until is not None and np.datetime64(str(until), "D") > np.datetime64(str(end), "D"):
        notes.append(f"the log ends on {end}, before {until}: a window has to be over by the log's end")
    elif until is not None:
        end = until
    rewards = Rewards.of(journal, actions)
    every = arms_of(journal, until=end, window_days=window_days, by_action=True, costs=rewards.costs)
    left_out = [*notes, *every.left_out]
    used, chance = comparable(every)
    explored = bool(every.explored.any())
    for count, why in (
        (int(every.explored.sum()), "exploration drew what was done"),
        (
            int((~used & ~every.explored).sum()),
            "they are not their customer's first, and no control of the action's own says what they added",
        ),
    ):
        if count:
            left_out.append(f"{count:,} decisions are left out: {why}")
    arms, chance = every.take(used), chance[used]
    if explored and len(arms):
        chance = _seen_shares(arms)
        both = (chance > 0) & (chance < 1)
        if not both.all():
            left_out.append(f"{int((~both).sum()):,} decisions are left out: all with their chances went one way")
        arms, chance = arms.take(both), chance[both]
    margin = margins(log, arms)
    return Logged(
        customer_id=arms.customer_id,
        as_of=arms.first,
        close=arms.close,
        action=arms.action,
        channel=arms.channel,
        strategy=arms.strategy,
        segment=arms.segment,
        contacted=arms.contacted,
        probability=chance,
        first=arms.fresh,
        reward=margin - rewards.taken(arms) - arms.money,
        margin=margin,
        gain=arms.gain,
        before=margins_before(log, arms, _BEFORE_DAYS),
        bought=margin != 0,
        window_days=window_days,
        left_out=tuple(left_out),
        provenance=Provenance(
            as_of=None if end is None else end.isoformat(),
            data=log.fingerprint(),
            notes=(*log.provenance.notes, *left_out, *rewards.notes),
        ),
    )


def _seen_shares(arms: Arms) -> FloatColumn:
    """The share contacted among decisions with equal chances and few nights apart."""
    group = 2 * groups_of(arms, explored=True) + arms.fresh
    return np.asarray((np.bincount(group, arms.contacted) / np.maximum(np.bincount(group), 1))[group])


def evaluate_contact_policy(
    allowed: Any,
    logged: Logged,
    *,
    estimator: Estimator = "dr",
    interval: float = 0.95,
    least_buyers: float = LEAST_BUYERS,
    seed: int = 0,
) -> Estimate:
    r"""What the programme would have earned per decision, had this contact policy been in force.

    ``allowed`` says for each row of ``logged`` whether the policy would have let that contact through, judged by what
    was known on its day. It must be said of every row, made or not: a policy that looks at whether she was contacted
    is not a policy.

    A policy only ever takes away. Where it allows the contact everything stays as it was, the lot included, so the row
    earns what it earned. Where it refuses, she would have been left alone; how those like her fare who are left alone
    is known from the held-out. With p the probability of the contact and q0 a cross-fitted guess of what she earns
    when left alone (from the expected gain, the margin of the year before, action and tier), a row counts

    .. math:: R \ \text{ if allowed}, \qquad
        q_0(x) + \frac{1\{\text{left alone}\}}{1 - p} \bigl(R - q_0(x)\bigr) \ \text{ if refused}

    for *dr*; without the guesses for *ips*, over the mean weight for *snips*. ``over_logged`` is what the policy would
    have added to (or taken from) what was earned: it rests on the refused rows alone, and so does its verdict, which is
    the one to read. A policy that refuses nothing adds exactly 0. Buyers are customers, however many rows they have.

    What it cannot see. *Left alone* is what the log did: who is in the hold-out was left alone for the whole window, so
    a refusal counts as silence for that long, though a policy that refuses tonight may allow next week. Contacts that
    are refused free room in the budget for others: they are not in it. Nor is what a contact does after the window, as
    the complaint or the withdrawn consent that a policy is there to prevent. And refusals of contacts that no lot
    decided are not in ``logged`` at all: of a cap on the third contact in a month it knows little.

    Raises:
        ConfigError: ``allowed`` is not a boolean for each row, there are fewer than two rows, an argument out of its
            range.

    Example:
        >>> from retention.journal import Journal
        >>> with Journal(":memory:") as journal:
        ...     logged = logged_decisions(
        ...         journal, TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-03"], revenue=[5])
        ...     )
        >>> evaluate_contact_policy([], logged)
        Traceback (most recent call last):
        ...
        retention.errors.ConfigError: a log of 0 decisions
          rule: a policy is valued on two decisions or more that chance made
          remedy: record nights with a hold-out, and wait until their windows are over
    """
    in_range(interval=interval)
    known_estimator(estimator)
    known_seed(seed)
    if len(logged) < 2:
        raise ConfigError(
            f"a log of {len(logged)} decisions",
            rule="a policy is valued on two decisions or more that chance made",
            remedy="record nights with a hold-out, and wait until their windows are over",
        )
    lets = np.asarray(allowed)
    if lets.shape != (len(logged),) or lets.dtype.kind != "b":
        raise ConfigError(
            f"allowed of shape {lets.shape} and type {lets.dtype} for {len(logged):,} decisions",
            rule="allowed says true or false for every logged decision",
            remedy="ask the policy about each row of the log",
        )
    weight = np.where(lets, 1.0, ~logged.contacted / (1.0 - logged.probability))
    person = people(logged.customer_id, len(logged))
    guess = None
    if estimator == "dr":
        done = logged.contacted.astype(np.intp)
        wanted = np.where(lets, done, 0)
        guess = guessed(_known(logged), logged.reward, done, wanted, 2, person=person, folds=_FOLDS, seed=seed)
    return concluded(
        logged.reward,
        weight,
        guess,
        estimator=estimator,
        level=interval,
        bought=logged.bought,
        person=person,
        unsupported=0.0,
        least_buyers=least_buyers,
        notes=list(logged.left_out),
    )


def _known(logged: Logged) -> FloatColumn:
    """What was known of each row on its day, as the ridges see it; nothing where all are alike."""
    known: dict[str, Any] = {
        "before": logged.before,
        "gain": np.where(np.isfinite(logged.gain), logged.gain, 0.0),
        "action": logged.action,
        "segment": logged.segment,
    }
    known = {name: values for name, values in known.items() if len(np.unique(values)) > 1}
    if not known:
        return np.empty((0, len(logged)))
    columns = columns_of(known)
    return Encoder.learned(columns, []).encode(columns)
