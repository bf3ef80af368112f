"""What a policy would have said of the contacts that a journal has: each night as it was known on that night.

Nothing of a later day is looked at: receipts end with the night, contacts and permissions are those that were on file
before it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from retention.domain import Action
from retention.frames.table import BoolColumn, DayColumn
from retention.histories import summarize
from retention.journal import Decisions, Journal
from retention.plan import ContactPolicy, Proposals, Situation, actions, situate
from retention.plan.vetoes import gate
from retention.proof.logged import Logged
from retention.records import Consents, TransactionLog
from retention.tiers import MarginBands
from retention.timing import LogT, anticipate
from retention.timing.backtest import FittedClock
from retention.value import BGNBD, FittedValueModel, appraise
from retention.value.margins.gammagamma_fitted import FittedGammaGamma

__all__ = ["Answers", "Known", "actions_of", "ask_about"]


@frozen(eq=False, kw_only=True)
class Known:
    """What is known beside journal and receipts: of customers, as a plan is told it, all nights alike; of ``actions``.

    Actions of strategies of one's own tell whether they need consent, and for which purpose.
    """

    consents: Consents | None = None
    do_not_contact: Iterable[str] = ()
    causes: Mapping[str, str] = field(factory=dict)
    attributes: Mapping[str, Any] = field(factory=dict)
    actions: tuple[Action, ...] = field(default=(), converter=tuple)


@frozen(eq=False, kw_only=True)
class Answers:
    """What the policy says of the nights of a journal.

    ``asked`` and ``allowed`` have one value for each row of ``logged``: whether it could be asked about, and what it
    allows; ``failures`` what it did instead of answering. Of all that was decided on these ``nights`` it refuses some
    for ``refused_people`` customers; for ``told_people`` of them a refused row is among ``logged``.
    """

    asked: BoolColumn
    allowed: BoolColumn
    nights: int
    decisions: int
    refused_people: int
    told_people: int
    failures: tuple[str, ...]
    notes: tuple[str, ...]


def ask_about(
    policy: ContactPolicy,
    logged: Logged,
    journal: Journal,
    log: TransactionLog,
    *,
    known: Known | None = None,
    nights: int = 60,
) -> Answers:
    """Ask the policy about all that was decided on the nights of a journal.

    At most so many ``nights`` count: the most recent with rows in ``logged``, then others whose window is over too; and
    only customers who have a history by then. How many rows that leaves out, the notes say. Values, clocks and tiers
    are those of a BG/NBD model and a log-t clock fitted to what was known on the first of these nights, with margin
    bands, whatever the plans were made with.
    """
    known = Known() if known is None else known
    days = _nights(logged, journal, log, nights)
    of_night, counts = np.searchsorted(days, logged.as_of), np.isin(logged.as_of, days)
    asked, allowed = np.zeros(len(logged), dtype=bool), np.zeros(len(logged), dtype=bool)
    failures: dict[str, None] = {}
    refused: set[str] = set()
    done = _by_key(known.actions)
    model: FittedValueModel | None = None
    clock: FittedClock | None = None
    decided = 0
    for number, day in enumerate(days.tolist()):
        base = summarize(log, as_of=day)
        if not len(base):
            continue
        if model is None:
            model, clock = _point(base), LogT().fit(base)
        worth = appraise(base, model)
        situation = situate(
            base,
            worth,
            anticipate(base, clock=clock),
            MarginBands().assign(base, worth),
            journal=journal,
            consents=known.consents,
            do_not_contact=known.do_not_contact,
            causes=known.causes,
            attributes=known.attributes,
            as_of=day,
        )
        night = journal.decisions(day)
        night = night.take((night.arm != "") & (situation.rows_of(night.customer_id) >= 0))
        passed, _, notes = gate([policy], _as_proposed(situation, night, done), situation)
        failures |= dict.fromkeys(notes)
        decided += len(night)
        refused |= set(night.customer_id[~passed.allowed].tolist())
        answer = dict(zip(night.customer_id.tolist(), passed.allowed.tolist(), strict=True))
        for row in np.flatnonzero(counts & (of_night == number)).tolist():
            who = str(logged.customer_id[row])
            asked[row], allowed[row] = who in answer, answer.get(who, False)
    notes_: list[str] = []
    if older := int((~counts).sum()):
        notes_.append(f"{nights:,} nights count, the most recent: {older:,} older decisions are left out")
    if strangers := int((~asked & counts).sum()):
        notes_.append(f"{strangers:,} decisions are left out: their customers have no receipts by that night")
    return Answers(
        asked=asked,
        allowed=allowed,
        nights=len(days),
        decisions=decided,
        refused_people=len(refused),
        told_people=len(refused & set(logged.customer_id[asked & ~allowed].tolist())),
        failures=tuple(failures),
        notes=tuple(notes_),
    )


def _nights(logged: Logged, journal: Journal, log: TransactionLog, most: int) -> DayColumn:
    """The nights to be looked at, oldest first."""
    own = np.unique(logged.as_of)[-most:]
    if not len(own):
        return own
    over = journal.nights().as_of
    others = np.setdiff1d(over[over + np.timedelta64(logged.window_days, "D") <= log.day.max()], own)
    return np.union1d(own, others[max(len(others) - (most - len(own)), 0) :])


def _point(base: Any) -> FittedValueModel:
    """Parameters without their doubt, which would cost thirty times the time."""
    fitted = BGNBD().fit(base)
    margin = fitted.margin
    return evolve(
        fitted,
        estimate=None,
        margin=evolve(margin, estimate=None) if isinstance(margin, FittedGammaGamma) else margin,
    )


def _as_proposed(situation: Situation, told: Decisions, actions: Mapping[tuple[str, str, str], Action]) -> Proposals:
    """The contacts of a night as they were proposed, as far as the journal says, whoever was held out."""
    place: dict[tuple[Any, ...], int] = {}
    which = []
    columns = (told.action, told.kind, told.channel, told.money, told.hours)
    for key in zip(*(c.tolist() for c in columns), strict=True):
        which.append(place.setdefault(key, len(place)))
    day = np.datetime64(situation.as_of, "D")
    n = len(told)
    return Proposals(
        customer_id=told.customer_id,
        base_row=situation.rows_of(told.customer_id),
        action=np.asarray(which, dtype=np.int64),
        gain=told.gain,
        gain_sd=np.abs(told.gain) / 2.0,
        opens=np.full(n, day),
        closes=np.full(n, day + np.timedelta64(13, "D")),
        strategy=told.strategy,
        reason=np.full(n, "as it was proposed then"),  # the journal's reason tells who was held out
        evidence=told.evidence,
        actions=tuple(_action(*key, known=actions) for key in place),
    )


def actions_of(journal: Journal, known: Iterable[Action] = ()) -> tuple[Action, ...]:
    """What was done on the nights of a journal: as the journal says, and as far as it does not, as is ``known``.

    A journal tells an action's name, kind, channel and cost. Whether it needs consent, and for which purpose, is taken
    from the known or the built-in action of that name; of others it is not said, so consent is needed.
    """
    told = journal.decisions()
    columns = (told.action, told.kind, told.channel, told.money, told.hours)
    keys = dict.fromkeys(zip(*(c.tolist() for c in columns), strict=True))
    return tuple(_action(*key, known=_by_key(known)) for key in keys if key[0])


def _by_key(known: Iterable[Action]) -> dict[tuple[str, str, str], Action]:
    listed = [*(one for one in vars(actions).values() if isinstance(one, Action)), *known]
    return {(one.name, one.kind, one.channel): one for one in listed}


def _action(
    name: str, kind: Any, channel: str, money: float, hours: float, *, known: Mapping[tuple[str, str, str], Action]
) -> Action:
    found = known.get((name, kind, channel))
    if found is None:
        return Action(
            name=name, kind=kind, channel=channel, money=money, hours=hours, customer_benefit="as when it was decided"
        )
    same = abs(found.outlay - money) < 1e-9 and abs(found.hours - hours) < 1e-9
    return found if same else evolve(found, money=max(money - found.reward_cost, 0.0), hours=hours)
