"""From all that is known to a plan: strategies propose, policies veto, the chooser chooses, the plan says why."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import attrs
import numpy as np

from retention.domain import Action
from retention.errors import ConfigError, PlanError, nearest
from retention.frames.table import DayColumn, FloatColumn, IntColumn, Provenance, TextColumn
from retention.frames.texts import Labels, blank
from retention.histories import Histories
from retention.plan.budget import Budget
from retention.plan.choose import Choice, choose
from retention.plan.holdout import draw_lots
from retention.plan.memory import Learned, Memory
from retention.plan.plan import Considered, Plan, basis
from retention.plan.policies import NO_CONSENT_DATA, built_in_policies
from retention.plan.proposals import ContactPolicy, OutreachStrategy, Proposals
from retention.plan.reasons import reasons
from retention.plan.situation import Situation
from retention.plan.strategies import built_in_strategies
from retention.plan.vetoes import Passed, VetoTable, gate
from retention.records.permissions import Consents
from retention.records.touches import Touches
from retention.tiers.tiering import Tiering
from retention.timing.outlook import Outlook
from retention.value.valuation import Valuation

__all__ = ["make_plan", "plan_for", "situate"]


def make_plan(
    histories: Histories,
    valuation: Valuation,
    outlook: Outlook,
    tiering: Tiering,
    *,
    budget: Budget,
    strategies: Sequence[OutreachStrategy] | None = None,
    policies: Sequence[ContactPolicy] | None = None,
    journal: Memory | None = None,
    touches: Touches | None = None,
    consents: Consents | None = None,
    complaints: Iterable[str] = (),
    do_not_contact: Iterable[str] = (),
    causes: Mapping[str, str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    responses: Learned | None = None,
    holdout: float = 0.1,
    explore: float = 0.0,
    risk: float = 0.0,
    salt: str = "retention",
    seed: int = 0,
    as_of: dt.date | None = None,
) -> Plan:
    """Whom to contact with what, when and why, within budgets of money and hours; and for all others why not.

    ``strategies`` and ``policies`` are objects; None means the built-in ones. ``journal`` and ``touches`` give the
    contacts so far; both together count. ``consents`` None means that no consent data exist: channels that need
    consent stay closed. ``complaints`` and ``do_not_contact`` are customer ids; ``causes`` says by id why customers
    leave. ``holdout`` is the share of customers whom the plan leaves alone, the same ones every night for one ``salt``.
    ``responses`` are what was learned of gains so far (``retention.proof.learn``). ``explore`` is the share of
    customers for whom chance decides tonight, so that something is learned of what the plan would not choose. ``risk``
    counts gains that many standard deviations short. ``seed`` breaks ties. ``as_of`` is the day of the histories unless
    they have none.

    Errors: :class:`PlanError` if the tables are of different customers, there is no day, the journal's hold-out is
    another one, or a strategy fails. A policy that fails is no error: it lets nothing through, and the plan notes it.
    Until an effect is measured every gain rests on assumptions, which ``plan.assumptions`` lists.

    Example:
        >>> from retention.plan import examples
        >>> plan = make_plan(*examples.small_base(), budget=Budget(money=5, hours=1), holdout=0)
        >>> plan.decision.tolist(), plan.spent_money
        (['contact', 'contact', 'none'], 1.5)
    """
    # Read first: what is recorded while the rest is read makes the plan one to be made again.
    last = None if journal is None else journal.last_night()
    before = "none" if last is None else last.isoformat()
    situation = situate(
        histories,
        valuation,
        outlook,
        tiering,
        journal=journal,
        touches=touches,
        consents=consents,
        complaints=complaints,
        do_not_contact=do_not_contact,
        causes=causes,
        attributes=attributes,
        as_of=as_of,
    )
    used = journal.holdout() if journal is not None else None
    if used is not None and (float(used[0]), str(used[1])) != (float(holdout), salt):
        raise PlanError(
            f"holdout={holdout!r} and salt={salt!r}, but the journal uses {used[0]!r} and {used[1]!r}",
            rule="a hold-out is kept from night to night, or nothing can be proved",
            remedy="pass the journal's holdout and salt, or start another journal",
        )
    plan = plan_for(
        situation,
        budget=budget,
        strategies=strategies,
        policies=policies,
        responses=responses,
        holdout=holdout,
        explore=explore,
        risk=risk,
        salt=salt,
        seed=seed,
    )
    return plan if journal is None else attrs.evolve(plan, follows=before)


def situate(
    histories: Histories,
    valuation: Valuation,
    outlook: Outlook,
    tiering: Tiering,
    *,
    journal: Memory | None = None,
    touches: Touches | None = None,
    consents: Consents | None = None,
    complaints: Iterable[str] = (),
    do_not_contact: Iterable[str] = (),
    causes: Mapping[str, str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    as_of: dt.date | None = None,
) -> Situation:
    """What is known on the plan's day: the tables, the contacts before that day, permissions and complaints.

    What the journal holds of contacts, permissions and complaints counts together with what is given.
    Touches on or after the plan's day are left out (the same night gives the same plan when it is run again); touches
    without a date stay, and count against a contact.
    """
    day = as_of if as_of is not None else histories.as_of
    if day is None:
        raise PlanError(
            "histories without an as-of date, and no as_of",
            rule="a plan is made for a day, and the day is given, never read from the clock",
            remedy="pass as_of=datetime.date(...)",
        )
    if histories.as_of not in (None, day):
        raise PlanError(
            f"as_of={day.isoformat()} with histories of {histories.as_of}",
            rule="a plan is made for the day of its histories",
            remedy="leave as_of out, or summarize the log on that day",
        )
    known, waiting = touches if touches is not None else Touches.none(), _ids("complaints", complaints)
    if journal is not None:
        known = known.merged(journal.touches_before(day))
        waiting |= journal.open_complaints(day)
        on_file = journal.consents_before(day)
        if len(on_file):
            consents = on_file if consents is None else consents.joined(on_file)
    return Situation(
        as_of=day,
        histories=histories,
        valuation=valuation,
        outlook=outlook,
        tiering=tiering,
        touches=known.take(~(known.at >= np.datetime64(day, "D"))),
        consents=consents,
        open_complaints=waiting,
        do_not_contact=_ids("do_not_contact", do_not_contact),
        causes={str(who): str(cause) for who, cause in dict(causes or {}).items()},
        attributes=dict(attributes or {}),
    )


def plan_for(
    situation: Situation,
    *,
    budget: Budget,
    strategies: Sequence[OutreachStrategy] | None = None,
    policies: Sequence[ContactPolicy] | None = None,
    responses: Learned | None = None,
    holdout: float = 0.1,
    explore: float = 0.0,
    risk: float = 0.0,
    salt: str = "retention",
    seed: int = 0,
) -> Plan:
    """The plan for a situation; :func:`make_plan` is this after :func:`situate`."""
    for name, share in (("holdout", holdout), ("explore", explore)):
        if not (isinstance(share, int | float) and 0.0 <= share < 1.0):
            raise PlanError(
                f"{name}={share!r}",
                rule=f"{name} is a share of customers of at least 0 and below 1",
                remedy="0.1 is one customer in ten",
            )
    if not (isinstance(risk, int | float) and np.isfinite(risk) and risk >= 0):
        raise PlanError(
            f"risk={risk!r}",
            rule="risk is a number of standard deviations of zero or more",
            remedy="0 goes by what is expected; 1 leaves out gains that are uncertain",
        )
    strangers = sorted({*budget.at_least, *budget.at_most} - {tier.name for tier in situation.tiering.tiers})
    if strangers:
        raise PlanError(
            f"a budget for the tier {strangers[0]!r}",
            rule="floors and ceilings are of tiers that the tiering has",
            remedy=nearest(strangers[0], [tier.name for tier in situation.tiering.tiers]),
        )
    if situation.repeats:
        raise PlanError(
            "a base in which a customer appears twice",
            rule="a plan has one row a customer",
            remedy="summarize the log, or merge the rows of one customer",
        )
    proposers = built_in_strategies() if strategies is None else tuple(strategies)
    reviewers = built_in_policies() if policies is None else tuple(policies)
    proposals = Proposals.joined(_propose(strategy, situation) for strategy in proposers)
    assumed = proposals.gain
    if responses is not None and len(proposals):
        learned = _sound("the learned responses", responses.apply(proposals, situation), situation)
        if not (np.array_equal(learned.base_row, proposals.base_row) and learned.actions == proposals.actions):
            raise PlanError(
                "the learned responses answered with other proposals than they were asked about",
                rule="what is learned changes gains, and neither adds nor drops a proposal",
                remedy="mend it, or plan without it",
            )
        proposals = learned
    whose: Any = Labels(proposals.base_row, situation.customer_id)  # the ids that the base has, not a copy of them
    proposals = attrs.evolve(proposals, customer_id=whose)
    passed, vetoes, notes = gate(reviewers, proposals, situation)
    choice = choose(
        proposals,
        passed.allowed,
        budget=budget,
        lots=draw_lots(proposals, holdout=holdout, salt=salt, explore=explore, day=situation.as_of, seed=seed),
        segment=situation.tiering.tier[proposals.base_row],
        risk=risk,
    )
    return _plan(
        situation,
        proposals,
        passed,
        vetoes,
        choice,
        assumed=assumed,
        budget=budget,
        holdout=float(holdout),
        explore=float(explore),
        risk=float(risk),
        salt=salt,
        seed=seed,
        notes=_notes(situation, reviewers, choice, proposals, budget, risk, notes),
    )


def _propose(strategy: OutreachStrategy, situation: Situation) -> Proposals:
    """A strategy's proposals, once they are whole."""
    name = getattr(strategy, "name", None) or type(strategy).__name__
    try:
        return _sound(f"the strategy {name!r}", strategy.propose(situation), situation)
    except Exception as error:
        ours = type(strategy).__module__.startswith("retention.")
        if isinstance(error, PlanError) or (ours and isinstance(error, ConfigError)):
            raise
        # The text of the exception may hold personal data; the cause is chained for whoever debugs the strategy.
        raise PlanError(
            f"the strategy {name!r} raised {type(error).__name__}",
            rule="a strategy answers with proposals",
            remedy="mend the strategy, or plan without it",
        ) from error


def _sound(who: str, proposals: Proposals, situation: Situation) -> Proposals:
    fault = _fault(proposals, situation)
    if fault:
        raise PlanError(
            f"{who} answered with {fault}",
            rule="proposals name customers of the base, actions, finite gains and a window from the plan's day on",
            remedy="mend it, or plan without it",
        )
    return proposals


def _fault(proposals: object, situation: Situation) -> str:
    if not isinstance(proposals, Proposals):
        return f"a {type(proposals).__name__}, not Proposals"
    if not len(proposals):
        return ""
    rows, ids = proposals.base_row, situation.customer_id
    if rows.min() < 0 or rows.max() >= len(ids) or not _hers(proposals.customer_id, rows, ids):
        return "a base_row that is not the customer's"
    if proposals.action.min() < 0 or proposals.action.max() >= len(proposals.actions):
        return "an action that is not among its actions"
    if not all(isinstance(action, Action) for action in proposals.actions):
        return "an action that is no Action"
    if not (np.isfinite(proposals.gain).all() and np.isfinite(proposals.gain_sd).all()):
        return "a gain that is not a finite number"
    if (proposals.gain_sd < 0).any():
        return "a standard deviation below zero"
    if not ((proposals.opens >= np.datetime64(situation.as_of, "D")) & (proposals.closes >= proposals.opens)).all():
        return "a window that is unknown, past, or closes before it opens"
    evidence = Labels.of(proposals.evidence)
    if not np.isin(evidence.labels, ("assumption", "measured"))[evidence.codes].all():
        return "evidence that is neither 'assumption' nor 'measured'"
    if blank(proposals.reason).any():
        return "a proposal without a reason"
    return ""


def _hers(named: Any, rows: IntColumn, ids: TextColumn) -> bool:
    """Whether these are the customers at those rows."""
    if isinstance(named, Labels) and named.labels is ids and np.array_equal(named.codes, rows):
        return True
    return np.array_equal(ids[rows], named)


def _ids(name: str, customer_ids: Iterable[str]) -> frozenset[str]:
    if isinstance(customer_ids, str):
        raise PlanError(
            f"{name} is one text",
            rule=f"{name} lists customer ids",
            remedy=f"pass {name}=[...], even for one customer",
        )
    return frozenset(str(who) for who in customer_ids)


def _notes(
    situation: Situation,
    policies: Sequence[ContactPolicy],
    choice: Choice,
    proposals: Proposals,
    budget: Budget,
    risk: float,
    failures: tuple[str, ...],
) -> tuple[str, ...]:
    notes = [basis(proposals.evidence[choice.chosen]), *failures]
    for what, named in (
        ("open complaints", situation.open_complaints),
        ("do-not-contact", situation.do_not_contact),
        ("causes of leaving", frozenset(situation.causes)),
    ):
        notes += _strangers(what, int((situation.rows_of(named) < 0).sum()), len(named))
    if situation.consents is not None:
        on_file = situation.rows_in(situation.consents)
        others = len(set(situation.consents.customer_id[on_file < 0].tolist()))
        notes += _strangers("consents", others, others + len(np.unique(on_file[on_file >= 0])))
    if situation.consents is None:
        notes.append(NO_CONSENT_DATA)
    absent = sorted({p.name for p in built_in_policies()} - {p.name for p in policies})
    if absent:
        notes.append(f"this plan was made without the built-in policies: {', '.join(absent)}")
    unused = sorted({c.casefold() for c in budget.capacity} - {a.channel.casefold() for a in proposals.actions})
    if unused:
        notes.append(f"no action goes through {', '.join(map(repr, unused))}, for which the budget has a capacity")
    notes += choice.notes
    net = float(proposals.net[choice.chosen].sum())
    notes.append(
        f"the plan reaches an expected net gain of {net:,.2f}, and for what was drawn and with these limits no choice "
        f"{'of less risk ' if risk else ''}exceeds {max(net, choice.bound):,.2f}"
    )
    return tuple(notes)


def _strangers(what: str, others: int, named: int) -> list[str]:
    return [f"{others:,} of {named:,} ids in the list of {what} are of nobody in the base"] if others else []


def _plan(
    situation: Situation,
    proposals: Proposals,
    passed: Passed,
    vetoes: VetoTable,
    choice: Choice,
    *,
    assumed: FloatColumn,
    budget: Budget,
    holdout: float,
    explore: float,
    risk: float,
    salt: str,
    seed: int,
    notes: tuple[str, ...],
) -> Plan:
    n = len(situation)
    picked = np.concatenate([choice.chosen, choice.held_out])
    rows, alone = proposals.base_row[picked], proposals.base_row[choice.left_alone]

    def spread(values: Any, empty: Any) -> Any:
        """Values of the picked proposals, in the base's order."""
        values = np.asarray(values)
        filled = np.full(n, empty, dtype=values.dtype if len(values) else np.asarray(empty).dtype)
        filled[rows] = values
        return _sealed(filled)

    def label(column: TextColumn) -> Any:
        """The same of text: nothing where nothing is planned."""
        told = Labels.of(column)
        width: Any = np.int16 if len(told.labels) < 2**15 - 1 else np.int32
        codes = np.zeros(n, dtype=width)
        codes[rows] = told.codes
        codes[rows] += 1
        return Labels(codes, np.concatenate([np.asarray([""], dtype=np.str_), told.labels]))

    def of_actions(attribute: str) -> Any:
        names = np.asarray([getattr(action, attribute) for action in proposals.actions], dtype=np.str_)
        return Labels(proposals.action, names)

    decision = np.zeros(n, dtype=np.int8)
    decision[proposals.base_row[choice.chosen]] = 1
    decision[proposals.base_row[choice.held_out]] = 2
    decided: Any = Labels(decision, np.asarray(["none", "contact", "hold-out"]))
    probability, explored = np.zeros(n), np.zeros(n, dtype=bool)
    probability[rows], probability[alone] = choice.probability[picked], choice.probability[choice.left_alone]
    explored[rows], explored[alone] = choice.explored[picked], True
    money, hours = (np.asarray(proposals.of_actions(a), dtype=np.float64) for a in ("outlay", "hours"))
    never = np.datetime64("NaT", "D")
    return Plan(
        customer_id=situation.customer_id,
        decision=decided,
        action=label(of_actions("name")[picked]),
        kind=label(of_actions("kind")[picked]),
        channel=label(of_actions("channel")[picked]),
        strategy=label(proposals.strategy[picked]),
        opens=spread(proposals.opens[picked], never),
        closes=spread(proposals.closes[picked], never),
        gain=spread(proposals.gain[picked], 0.0),
        gain_sd=spread(proposals.gain_sd[picked], 0.0),
        money=spread(money[picked], 0.0),
        hours=spread(hours[picked], 0.0),
        net=spread(proposals.net[picked], 0.0),
        probability=_sealed(probability),
        evidence=label(proposals.evidence[picked]),
        reason=reasons(situation, proposals, vetoes, passed.refused, choice, budget=budget, holdout=holdout),
        consent=label(_consent(proposals, picked, situation)),
        segment=situation.tiering.tier,
        explored=_sealed(explored),
        not_before=spread(passed.not_before[picked], np.datetime64("NaT", "m")),
        not_after=spread(passed.not_after[picked], np.datetime64("NaT", "m")),
        assumed=spread(assumed[picked], 0.0),
        next_at=_sealed(_next_at(situation, proposals, choice.chosen)),
        as_of=situation.as_of,
        budget=budget,
        spent_money=choice.spent_money,
        spent_hours=choice.spent_hours,
        holdout_share=holdout,
        explore=explore,
        risk=risk,
        salt=salt,
        seed=seed,
        prices=choice.prices,
        used=choice.used,
        limits=choice.limits,
        bound=choice.bound,
        method=choice.method,
        vetoes=vetoes,
        assumptions=proposals.assumptions,
        notes=notes,
        currency=situation.histories.currency,
        actions=proposals.actions,
        considered=Considered(
            customer_id=proposals.customer_id,
            action=of_actions("name"),
            strategy=proposals.strategy,
            gain=proposals.gain,
            gain_sd=proposals.gain_sd,
            money=_sealed(money),
            hours=_sealed(hours),
            net=proposals.net,
            priced=_sealed(choice.priced),
            fate=choice.fate,
            reason=proposals.reason,
        ),
        provenance=Provenance(
            as_of=situation.as_of.isoformat(),
            data=situation.histories.provenance.data,
            seed=seed,
            version=situation.histories.provenance.version,
            parameters={
                "budget": repr(budget),
                "holdout": holdout,
                "explore": explore,
                "risk": risk,
                "salt": salt,
            },
            notes=notes,
        ),
    )


def _sealed(column: Any) -> Any:
    """A column that was made here, and is not written to again: a table need not copy it."""
    column.flags.writeable = False
    return column


def _next_at(situation: Situation, proposals: Proposals, chosen: IntColumn) -> DayColumn:
    """The opening of each contact's window; of the others their own next window if it is to come, else tomorrow."""
    tomorrow = np.datetime64(situation.as_of, "D") + np.timedelta64(1, "D")
    coming = situation.outlook.window_opens_at
    out = np.where(np.isnat(coming) | (coming < tomorrow), tomorrow, coming)
    out[proposals.base_row[chosen]] = proposals.opens[chosen]
    return out


def _consent(proposals: Proposals, picked: IntColumn, situation: Situation) -> TextColumn:
    """What allows each contact."""
    status, consents = np.zeros(len(picked), dtype=np.int8), situation.consents
    if consents is not None:
        hers = np.zeros(len(situation) + 1, dtype=bool)  # the last is for strangers, whose row is -1
        hers[proposals.base_row[picked]] = True
        consents = consents.take(hers[situation.rows_in(consents)])
    for index, action in enumerate(proposals.actions):
        here = np.flatnonzero(proposals.action[picked] == index)
        if not action.needs_consent:
            status[here] = 1
        elif consents is not None and len(here):
            granted = consents.granted_to(action.channel, on=situation.as_of, purpose=action.purpose)
            status[here] = [2 * (who in granted) for who in proposals.customer_id[picked[here]].tolist()]
    told: Any = Labels(status, np.asarray(["none on file", "not needed", "granted"]))
    return cast(TextColumn, told)
