"""One comparison of arms, and the same for every action."""

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from attrs import frozen

from retention.frames.table import BoolColumn, FloatColumn, IntColumn
from retention.proof._rewards import Rewards
from retention.proof.arms import Arms, arms_of, margins, margins_before
from retention.proof.estimators import Estimator, estimated
from retention.proof.intervals import Difference, Permutation
from retention.proof.tables import ActionProofs
from retention.proof.verdict import (
    LEAST_CUSTOMERS,
    LEAST_GAP,
    MISMATCH,
    NEGLIGIBLE_SHARE,
    Verdict,
    holm,
    mismatch,
    verdict_of,
)
from retention.records.transactions import TransactionLog

if TYPE_CHECKING:
    from retention.journal import Journal

__all__ = ["Answer", "Question", "groups_of", "uneven", "hides_nothing", "by_action"]

_BLOCK = 200  # customers that nights are taken together for, where exploration thins the contacted night by night


@frozen(kw_only=True)
class Answer:
    """One comparison, as a row of any table."""

    value: float
    low: float
    high: float
    verdict: Verdict
    negligible: float
    n_contact: int
    n_holdout: int
    margin_contact: float
    margin_holdout: float
    cost: float
    expected: float
    error: float = math.nan
    explained: float = 0.0
    shortened: float = 1.0
    tail_above: float = 1.0
    tail_below: float = 1.0


@frozen(eq=False, kw_only=True)
class Question:
    """What is asked of every comparison alike."""

    log: TransactionLog
    interval: float
    negligible: float | None
    before_days: int
    rewards: "Rewards"
    estimator: Estimator = Permutation()

    def answer(self, arms: Arms, group: IntColumn) -> tuple[Answer, BoolColumn]:
        """The comparison of these arms within groups, and which rows are in it: groups that have both arms.

        If no group has both, all rows are counted and nothing is compared.
        """
        held, seen = (np.bincount(group[some], minlength=1) for some in (~arms.contacted, arms.contacted))
        size = max(len(held), len(seen))
        both = (np.pad(held, (0, size - len(held))) > 0) & (np.pad(seen, (0, size - len(seen))) > 0)
        comparable = both[group] if both.any() else np.ones(len(arms), dtype=bool)
        arms, group = arms.take(comparable), group[comparable]

        contacted = arms.contacted
        margin = margins(self.log, arms) - self.rewards.taken(arms)
        weight = _weights(contacted, group) if both.any() else np.zeros(len(arms))
        n_contact, n_holdout = int(contacted.sum()), int((~contacted).sum())

        def means(values: FloatColumn) -> tuple[float, float]:
            return (
                float(values[contacted].mean()) if n_contact else math.nan,
                float(np.einsum("i,i", weight, values))
                if both.any()
                else (float(values[~contacted].mean()) if n_holdout else math.nan),
            )

        of_contact, of_holdout = means(margin)
        paid, also = means(arms.money)
        cost = paid - (also if n_holdout else 0.0)
        negligible = self.negligible
        if negligible is None:
            negligible = NEGLIGIBLE_SHARE * abs(of_holdout) if n_holdout else 0.0
        told: dict[str, Any] = {"value": of_contact - of_holdout - cost, "low": -math.inf, "high": math.inf}
        if min(n_contact, n_holdout) >= LEAST_CUSTOMERS and both.any():
            past = margins_before(self.log, arms, self.before_days) if self.before_days else None
            seen_now: Difference = estimated(
                self.estimator, margin, contacted, group, before=past, level=self.interval, cost=cost
            )
            told = {
                name: getattr(seen_now, name)
                for name in ("value", "low", "high", "error", "explained", "tail_above", "tail_below")
            }
            if seen_now.error > 0:
                told["shortened"] = seen_now.error / seen_now.plain_error
        answer = Answer(
            **told,
            verdict=verdict_of(told["low"], told["high"], negligible),
            negligible=negligible,
            n_contact=n_contact,
            n_holdout=n_holdout,
            margin_contact=of_contact,
            margin_holdout=of_holdout,
            cost=cost,
            expected=(float(arms.gain[contacted].mean()) - cost) if n_contact and n_holdout else math.nan,
        )
        return answer, comparable


def _weights(contacted: BoolColumn, group: IntColumn) -> FloatColumn:
    """What each held-out customer counts, so that their groups weigh as those of the contacted; 0 for these."""
    held, seen = (np.bincount(group, weights=some) for some in (~contacted, contacted))
    share = np.divide(seen, held * seen.sum(), out=np.zeros(len(held)), where=held > 0)
    return np.where(contacted, 0.0, share[group])


def groups_of(arms: Arms, *, explored: bool) -> IntColumn:
    """Customers with equal chances: one hold-out, one probability, and few nights where exploration goes on."""
    chance = np.rint(arms.probability * 1e4).astype(np.int64)
    key = arms.regime * 20_000 + chance
    if explored and len(arms):
        order = np.argsort(arms.first, kind="stable")
        block = np.empty(len(arms), dtype=np.int64)
        block[order] = np.arange(len(arms)) // _BLOCK
        _, first, night = np.unique(arms.first, return_index=True, return_inverse=True)
        # A night is in one block: that of its first customer.
        starts = np.minimum.reduceat(block[order], np.searchsorted(arms.first[order], arms.first[first]))
        key = key * (len(arms) + 1) + starts[night.reshape(len(arms))]
    return np.asarray(np.unique(key, return_inverse=True)[1].reshape(len(arms)), dtype=np.int64)


def uneven(arms: Arms, *, within_programme: bool) -> float:
    """How likely the sizes of the arms are."""
    if within_programme:
        chance = arms.probability / np.maximum(1.0 - arms.share, 1e-12)
    else:
        chance = arms.probability / np.maximum(arms.probability + arms.share, 1e-12)
    values, group = np.unique(np.rint(np.minimum(chance, 1.0) * 1e6), return_inverse=True)
    counts = [
        np.bincount(group.reshape(len(arms))[some], minlength=len(values)) for some in (arms.contacted, ~arms.contacted)
    ]
    return mismatch(counts[0], counts[1], values / 1e6)


def hides_nothing(answer: Answer, gap: float) -> bool:
    """Whether an interval is negligible per contact carried out as well, if these reached ``gap`` of the customers."""
    if gap <= LEAST_GAP:
        return False
    low, high = ((end + answer.cost) / gap - answer.cost for end in (answer.low, answer.high))
    return verdict_of(low, high, answer.negligible) == "no effect"


def by_action(
    journal: "Journal",
    asked: Question,
    until: dt.date | None,
    window_days: int | None,
    notes: list[str],
    known: tuple[Arms, Answer],
    gap: float,
) -> ActionProofs:
    """One row an action; ``known`` are the programme's arms and answer, which one action alone shares.

    ``gap`` is by how much the share of customers reached differs between the arms: of an action, too, 'no effect' is
    said only if it holds of contacts carried out.
    """
    arms = arms_of(journal, until=until, window_days=window_days, by_action=True, costs=asked.rewards.costs)
    explored = bool(arms.explored.any())
    names = np.unique(arms.action[~arms.explored])
    answers, against, passed, doubted = [], [], 0, []
    for name in names.tolist():
        mine = arms.take((arms.action == name) & ~arms.explored)
        own = bool(mine.own_control.any())
        # Customers of the hold-out come to a second action on another way than the contacted; within the programme
        # the action's own control is drawn afresh for everyone who gets to it.
        kept = mine.contacted | mine.own_control if own else mine.fresh
        passed += 0 if own else int((~kept).sum())
        mine = mine.take(kept)
        group = groups_of(mine, explored=explored)
        if own:
            group = 2 * group + mine.fresh
        if len(names) == 1 and not own and mine.customer_id.tolist() == known[0].customer_id.tolist():
            answer, comparable = known[1], np.ones(len(mine), dtype=bool)
        else:
            answer, comparable = asked.answer(mine, group)
        if not explored and uneven(mine.take(comparable), within_programme=own) < MISMATCH:
            doubted.append(name)
            answer = attrs.evolve(answer, verdict="cannot tell", tail_above=1.0, tail_below=1.0)
        if answer.verdict == "no effect" and not hides_nothing(answer, gap):
            answer = attrs.evolve(answer, verdict="cannot tell")
        answers.append(answer)
        against.append("own control" if own else "hold-out")
    if passed:
        notes.append(
            f"by action, {passed:,} later choices are left out: they came after another contact, and no control of "
            "their own says what they added"
        )
    if doubted:
        notes.append(f"the arms of {', '.join(map(repr, doubted))} are not of the sizes that were drawn: no verdict")
    side = (1 - asked.interval) / 2
    compared = np.asarray([math.isfinite(answer.low) for answer in answers], dtype=bool)
    if compared.sum() > 1:
        notes.append(
            f"{int(compared.sum())} actions are judged together (Holm): the chance that any that does nothing is said "
            f"to work is at most {side:.1%}; each interval stands alone"
        )

    def column(field: str, dtype: type = float) -> Any:
        return np.asarray([getattr(answer, field) for answer in answers], dtype=dtype)

    def stand(tails: FloatColumn) -> BoolColumn:
        claims = np.zeros(len(answers), dtype=bool)
        claims[compared] = holm(tails[compared], side + 1e-12)
        return claims

    together = np.where(column("verdict", np.str_) == "no effect", "no effect", "cannot tell")
    together = np.where(stand(column("tail_below")), "harms", together)
    together = np.where(stand(column("tail_above")), "works", together)
    return ActionProofs(
        action=names,
        verdict=together,
        alone=column("verdict", np.str_),
        value=column("value"),
        low=column("low"),
        high=column("high"),
        n_contact=column("n_contact", np.int64),
        n_holdout=column("n_holdout", np.int64),
        against=np.asarray(against, dtype=np.str_),
        margin_contact=column("margin_contact"),
        margin_holdout=column("margin_holdout"),
        cost=column("cost"),
        expected=column("expected"),
    )
