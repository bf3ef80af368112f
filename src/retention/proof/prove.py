"""Did the contacts pay? Realised margin of the contacted against that of the held-out."""

import datetime as dt
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs
import numpy as np

from retention.domain import Action
from retention.errors import ConfigError
from retention.proof._adherence import adherence_notes, carried_out, touched_anyway
from retention.proof._contrast import Question, by_action, groups_of, hides_nothing, uneven
from retention.proof._rewards import Rewards
from retention.proof.arms import Arms, arms_of, of_the_decided
from retention.proof.estimators import Estimator
from retention.proof.intervals import Permutation
from retention.proof.result import Proof
from retention.proof.tables import history_of
from retention.proof.verdict import LEAST_CUSTOMERS, MISMATCH, NEGLIGIBLE_SHARE, Verdict
from retention.records.scan import TransactionScan
from retention.records.transactions import TransactionLog

if TYPE_CHECKING:
    from retention.journal import Journal

__all__ = ["Proof", "Verdict", "prove", "LEAST_CUSTOMERS", "NEGLIGIBLE_SHARE"]


def prove(
    journal: "Journal",
    log: TransactionLog | TransactionScan,
    *,
    interval: float = 0.95,
    window_days: int | None = None,
    until: dt.date | None = None,
    negligible: float | None = None,
    before_days: int = 365,
    actions: Iterable[Action] = (),
    estimator: Estimator | None = None,
) -> Proof:
    """Compare what the contacted brought in with what the held-out brought in, by intention to treat.

    Each customer belongs to the arm of her *first* decision in the journal, whatever came later, and whether or not
    the contact was carried out. Her margin (exact sums of the log, returns included) counts from the day after that
    decision up to ``until`` (default: the log's last day), less what contacts with her cost in that time. With
    ``window_days`` it counts for just so many days, and customers whose window is not over by ``until`` are left out:
    then every customer is seen equally long. Without it they are not, and a note says by how much.

    Compared are customers with equal chances: groups of one hold-out (share and salt) and one probability in the
    journal, so a change of the share biases nothing. Left out and counted are customers whom exploration drew first,
    whom an action's own control alone held out, and groups that only one arm has. While exploration goes on, groups
    are of few nights too, for it thins the contacted night by night. See :func:`~retention.proof.arms.arms_of` and
    :func:`~retention.proof.intervals.compare` for the interval: where contact changes nothing, the chance of the
    verdict ``works`` is at most ``(1 - interval) / 2`` by construction, however skewed the spend and whatever the sizes
    of the arms; where it changes something the coverage is right for large arms. That promise is for one look, on a day
    set beforehand; who looks every week until it says *works* will see it sooner or later.

    The margin of the ``before_days`` before the decision shortens the interval where it foretells the margin after it
    (CUPED; 0 turns it off). It moves no mean, and is left out where it explains next to nothing.

    What contacts cost is the outlay that the journal has: money and reward, as if everybody took it. With ``actions``
    their reward counts as far as it is taken: the amounts of outcomes of kind ``"reward"`` that name the action, where
    any is on file, else the share ``take_up``. A note says which. A discount that the margins of the log show already
    is not to be recorded as a reward once more. Planned contacts count in full, done or not.

    ``by_action`` compares for each action the customers first chosen for it; against the action's own control where it
    has one, then also customers for whom something else was decided before, otherwise against the hold-out, then only
    those of whom it was the first decision of all.

    ``negligible`` is the difference per customer, in money, that is not worth having; by default 1 % of the
    hold-out's mean margin.

    ``estimator`` compares the arms; None takes :class:`~retention.proof.intervals.Permutation`, which all that is said
    above is about. With another one a note says so.

    Raises:
        ConfigError: ``interval`` outside (0.5, 0.99], ``window_days`` or ``negligible`` not positive, ``before_days``
            negative.
        PluginError: an estimator whose answer is no difference with an interval around it.

    Example:
        >>> from retention.journal import Journal
        >>> with Journal(":memory:") as journal:
        ...     prove(journal, TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-03"], revenue=[5]))
        <Proof cannot tell (0 contacted, 0 held out): needs at least 20 more contacted and 20 more held out>
    """
    _check(interval=interval, window_days=window_days, negligible=negligible, before_days=before_days)
    if estimator is not None and not isinstance(estimator, Estimator):
        raise ConfigError(
            f"estimator of type {type(estimator).__name__}",
            rule="an estimator has a name and estimate(values, contacted, group, *, before, level, cost)",
            remedy="pass Permutation(), or a name to retention.prove(estimator=...)",
        )
    log, latest = of_the_decided(journal, log)
    notes = list(log.provenance.notes)
    end = np.datetime64("NaT" if latest is None else latest, "D")
    if until is not None:
        if latest is not None and np.datetime64(until, "D") > end:
            notes.append(f"the log ends on {end}, before {until.isoformat()}: the days after it count as no purchase")
        end = np.datetime64(until, "D")
    last = None if np.isnat(end) else end.item()

    rewards = Rewards.of(journal, actions)
    every = arms_of(journal, until=last, window_days=window_days, costs=rewards.costs)
    history = history_of(journal)
    notes += every.left_out
    notes += _about_time(every, window_days, end)
    if len(history) > 1:
        said = ", ".join(f"{share:.0%} from {day}" for share, day in zip(history.share, history.since, strict=True))
        notes.append(
            f"the hold-out changed ({said}): customers are compared within each time, and those it moved count in the "
            "arm of their first decision"
        )
    if len(every) and len(log) and not np.isin(every.customer_id, log.customers.labels).any():
        notes.append("no customer of the journal is in the log: is it the same shop's, with the same ids?")
    compares = Permutation() if estimator is None else estimator
    if not isinstance(compares, Permutation):
        notes.append(f"the intervals are those of the estimator {compares.name!r}")
    asked = Question(
        log=log,
        interval=interval,
        negligible=negligible,
        before_days=before_days if len(log) else 0,
        rewards=rewards,
        estimator=compares,
    )

    drawn = int(every.explored.sum())
    if drawn:
        notes.append(f"{drawn:,} customers are left out: exploration drew what was first done for them")
    own = every.own_control & ~every.explored
    if own.any():
        notes.append(
            f"{int(own.sum()):,} customers are left out: only an action's own control held them out, and other "
            "actions may reach them; they count in that action's row"
        )
    arms = every.take(~every.explored & ~own)
    group = groups_of(arms, explored=bool(drawn))
    whole, comparable = asked.answer(arms, group)
    dropped = len(arms) - int(comparable.sum())
    if dropped:
        notes.append(f"{dropped:,} customers are left out: all with their chances are in one arm")
    arms = arms.take(comparable)
    changed = int(arms.changed.sum())
    if changed:
        notes.append(f"{changed:,} customers changed arms later; they count in the arm of their first decision")
    verdict = whole.verdict
    if not drawn and uneven(arms, within_programme=False) < MISMATCH:
        verdict = "cannot tell"
        notes.append(
            "the arms are not of the sizes that were drawn (a chance below 1 in 1,000): customers are missing on one "
            "side, or arms were not drawn as the journal says; no verdict until that is understood"
        )
    done, anyway = carried_out(journal, arms), touched_anyway(journal, arms)
    gap = (1.0 if done is None else done) - (anyway or 0.0)
    if verdict == "no effect" and not hides_nothing(whole, gap):
        verdict = "cannot tell"
        notes.append("an effect may hide behind contacts not carried out, or made with the held-out")
    notes += rewards.notes
    rows = by_action(journal, asked, last, window_days, notes, known=(arms, whole), gap=gap)

    proof = Proof(
        value=whole.value,
        low=whole.low,
        high=whole.high,
        level=interval,
        verdict=verdict,
        negligible=whole.negligible,
        n_contact=whole.n_contact,
        n_holdout=whole.n_holdout,
        margin_contact=whole.margin_contact,
        margin_holdout=whole.margin_holdout,
        cost_contact=whole.cost,
        hours=float(arms.hours[arms.contacted].sum()),
        since=every.first.min().item() if len(every) else None,
        until=last,
        window_days=window_days,
        error=whole.error,
        explained=whole.explained,
        shortened=whole.shortened,
        expected=whole.expected,
        nights=len(np.unique(arms.first)),
        carried_out=done,
        touched_anyway=anyway,
        by_action=rows,
        history=history,
        currency=log.currency,
    )
    return attrs.evolve(proof, notes=tuple(dict.fromkeys([*notes, *adherence_notes(proof)])))


def _check(*, interval: float, window_days: int | None, negligible: float | None, before_days: int) -> None:
    if not (_is_number(interval) and 0.5 < interval <= 0.99):
        raise ConfigError(
            f"interval={interval!r}", rule="an interval's confidence lies in (0.5, 0.99]", remedy="pass 0.95, say"
        )
    for name, given in (("window_days", window_days), ("negligible", negligible)):
        if given is not None and not (_is_number(given) and math.isfinite(given) and given > 0):
            raise ConfigError(
                f"{name}={given!r}", rule=f"{name} is more than zero", remedy=f"leave {name} out, or raise it"
            )
    for name, days in (("window_days", window_days), ("before_days", before_days)):
        if days is not None and not (isinstance(days, int | np.integer) and 0 <= days <= 36_500):
            raise ConfigError(
                f"{name}={days!r}",
                rule=f"{name} is a whole number of days from 0 to 36,500",
                remedy="before_days=0 leaves the past out; window_days=None sees everybody as long as possible",
            )


def _is_number(given: object) -> bool:
    return isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)


def _about_time(arms: Arms, window_days: int | None, end: np.datetime64) -> list[str]:
    if window_days is not None or not len(arms) or arms.first.min() == arms.first.max():
        return []
    shortest, longest = (int((end - day).astype(np.int64)) for day in (arms.first.max(), arms.first.min()))
    return [f"customers are seen for {shortest} to {longest} days; with window_days= all are seen equally long"]
