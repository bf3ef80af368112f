"""The verbs that choose by name: a name or an object in, the stage's own function does the work.

``rt.appraise(base, model="bg-nbd")`` finds the model among the built-in stages and the installed plugins;
``rt.appraise(base, model=BGNBD(time_unit_days=30))`` takes the object as it is.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, fields_dict, has

from retention.domain.days import as_day
from retention.errors import ConfigError, PlanError, PluginError
from retention.histories import Histories
from retention.plan import Budget, ContactPolicy, Learned, Memory, OutreachStrategy, Plan
from retention.plan import make_plan as _make_plan
from retention.plugins import KINDS, Registry, on_board
from retention.records import (
    Consents,
    Contracts,
    Touches,
    TransactionLog,
    TransactionScan,
    read_attributes,
    read_causes,
    read_consents,
    read_touches,
)
from retention.tiers import Tiering, TieringRule
from retention.timing import Clock, FittedClock, Outlook
from retention.timing import anticipate as _anticipate
from retention.value import FittedValueModel, Posterior, ServingCosts, Valuation, ValueModel
from retention.value import appraise as _appraise
from retention.value.contracts.fitted import FittedContracts
from retention.value.contracts.models import ContractModel
from retention.value.contracts.posterior import ContractPosterior

if TYPE_CHECKING:
    from retention.domain import Action
    from retention.journal import Journal
    from retention.proof import Estimator, Proof

__all__ = ["anticipate", "appraise", "assign_tiers", "make_plan", "prove", "resolve"]


def appraise(
    histories: Histories,
    *,
    model: str | ValueModel | FittedValueModel | Posterior = "bg-nbd",
    horizon_days: float = 365.0,
    discount_rate: float = 0.10,
    interval: float = 0.90,
    chance: bool = True,
    costs: ServingCosts | None = None,
    contacts_a_year: Mapping[str, float] | None = None,
    revenue_per_margin: float | None = None,
    points: Mapping[str, Any] | None = None,
    log: TransactionLog | None = None,
    registry: Registry | None = None,
) -> Valuation:
    """What each customer is worth: P(alive), expected purchases and margin, discounted value with an interval.

    Args:
        histories: the base on the as-of date.
        model: a name among the value models on board, or a model (fitted or to be fitted); "auto" chooses one, and the
            notes of the result say why.
        horizon_days: how far ahead margin is counted.
        discount_rate: per year.
        interval: probability that the realised value of a customer lies within her bounds.
        chance: without it the bounds leave the chance of future purchases out: what can be expected of her, as far as
            the parameters and her own rate and lifetime are not known.
        costs: what serving costs; the result is then net of it, a ``NetValue``.
        contacts_a_year: contacts that are meant for everyone, by channel; with costs.
        revenue_per_margin: revenue for each unit of margin (a ``NetStatement`` has it); for rewards among the costs.
        points: points that customers hold today, by id; with costs.
        log: what the histories were made of: with model="auto" the choice is by forecasts of its last part; others,
            such as "sklearn", learn from it.
        registry: who is on board; None opens the built-in stages and the installed plugins once.

    Example:
        >>> base = Histories.from_arrays(frequency=[2, 0, 5], recency_days=[60, 0, 80], age_days=[90, 70, 84],
        ...                              margin_mean=[10, 0, 12])
        >>> worth = appraise(base, horizon_days=90)
        >>> bool((worth["value_low"] <= worth["value_high"]).all())
        True
    """
    numbers: dict[str, Any] = {"horizon_days": horizon_days, "discount_rate": discount_rate, "interval": interval}
    for name, given in numbers.items():
        if not isinstance(given, Real | Decimal):
            raise ConfigError(
                f"{name}={given!r}",
                rule=f"{name} is a number",
                remedy="appraise(base, horizon_days=365, discount_rate=0.10, interval=0.90)",
            )
    chosen = resolve("value_model", model, registry)
    if isinstance(chosen, ContractModel | FittedContracts | ContractPosterior):
        raise ConfigError(
            f"appraise got a contractual model ({type(chosen).__name__})",
            rule="appraise values customers whose end is not seen; contracts are valued by their own model",
            remedy="model.fit(tenures).value(tenures, margin_per_period, discount_rate=..., periods_per_year=...)",
        )
    if log is not None:
        chosen = _with_log(chosen, log, "model")
    with _at_work("value_model", model, chosen, registry):
        worth = _appraise(
            histories,
            chosen,
            horizon_days=horizon_days,
            discount_rate=discount_rate,
            interval=interval,
            chance=chance,
            costs=costs,
            contacts_a_year=contacts_a_year,
            revenue_per_margin=revenue_per_margin,
            points=points,
        )
        if not type(chosen).__module__.startswith("retention."):
            _check_worth(worth, histories, getattr(chosen, "name", type(chosen).__name__))
        return worth


def _with_log(recipe: Any, log: TransactionLog, role: str) -> Any:
    """The same recipe with a log to learn from; an error for one that learns from the histories alone."""
    if not (has(type(recipe)) and "log" in fields_dict(type(recipe))):
        raise ConfigError(
            f"a log with {role}={getattr(recipe, 'name', type(recipe).__name__)!r}",
            rule="a log is for who learns from one: 'auto', or a recipe with a log of its own",
            remedy="leave the log out; the histories are enough",
        )
    return evolve(recipe, log=log)


def _check_worth(worth: Any, histories: Histories, name: str) -> None:
    """A stranger's valuation is of these customers and has no number missing; one PluginError with its name if not."""
    fault = ""
    if not isinstance(worth, Valuation):
        fault = f"a {type(worth).__name__}"
    elif not np.array_equal(worth.customer_id, histories.customer_id):
        fault = "other customers"
    else:
        for column, values in worth.columns().items():
            missing = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
            if missing and not fault:
                fault = f"{missing:,} values of {column} that are no numbers"
        endless = int(np.isinf(np.stack([worth.value, worth.expected_margin])).any(axis=0).sum())
        if not fault and endless:
            fault = f"{endless:,} values without end"
        if not fault and ((worth.p_alive < 0) | (worth.p_alive > 1)).any():
            fault = "a p_alive that is no probability"
        if not fault and (worth.value_low > worth.value_high).any():
            fault = "lower bounds above the upper ones"
    if fault:
        raise PluginError(
            f"the value model {name!r} answered with {fault}",
            rule="value(histories, ...) gives a Valuation of the same customers in their order, finite, low below high",
            remedy="mend the model: retention.testing.check_value_model says more",
        )


def anticipate(
    histories: Histories,
    *,
    clock: str | Clock | FittedClock = "log-t",
    tail: float = 0.05,
    least_gaps: int = 2,
    log: TransactionLog | None = None,
    registry: Registry | None = None,
) -> Outlook:
    """When each customer is due, whether she is late on her own clock, and what is at stake each day.

    Args:
        histories: the base on the as-of date.
        clock: a name among the timings on board ("log-t", or a purchase model such as "bg-nbd"), a recipe, or a fitted
            clock. :func:`retention.timing.anticipate` says what each kind of clock tells.
        tail: probability below which a silence is unusual.
        least_gaps: gaps of her own that a customer needs before she can be overdue.
        log: what the histories were made of, for clocks that learn from one, such as "lifelines".
        registry: who is on board; None opens the built-in stages and the installed plugins once.

    Example:
        >>> base = Histories.from_arrays(frequency=[10, 10], recency_days=[70, 70], age_days=[77, 240],
        ...     margin=[110, 110], gap_log_sum=[19.459, 19.459], gap_log_squares=[37.866, 37.866])
        >>> [anticipate(base, clock=name)["overdue"].tolist() for name in ("log-t", "pareto-nbd")]
        [[False, True], [False, True]]
    """
    chosen = resolve("timing", clock, registry)
    chosen = chosen if log is None else _with_log(chosen, log, "clock")
    with _at_work("timing", clock, chosen, registry):
        return _anticipate(histories, clock=chosen, tail=tail, least_gaps=least_gaps)


def assign_tiers(
    histories: Histories,
    valuation: Valuation,
    *,
    rule: str | TieringRule = "margin-bands",
    previous: Tiering | None = None,
    registry: Registry | None = None,
) -> Tiering:
    """A tier for every customer, and how far the next one is.

    Args:
        histories: the base on the as-of date.
        valuation: what its customers are worth.
        rule: a name among the tiering rules on board, or a rule.
        previous: the tiers before, for rules that go by them.
        registry: who is on board; None opens the built-in stages and the installed plugins once.
    """
    chosen: TieringRule = resolve("tiering_rule", rule, registry)
    with _at_work("tiering_rule", rule, chosen, registry):
        tiering = chosen.assign(histories, valuation, previous)
        if not isinstance(tiering, Tiering) or not np.array_equal(tiering.customer_id, histories.customer_id):
            raise PluginError(
                f"the tiering rule {getattr(chosen, 'name', type(chosen).__name__)!r} answered with "
                + ("other customers" if isinstance(tiering, Tiering) else f"a {type(tiering).__name__}"),
                rule="assign(histories, valuation, previous) gives a Tiering of the same customers in their order",
                remedy="mend the rule, or take another one",
            )
        return tiering


def make_plan(
    histories: Histories,
    valuation: Valuation,
    outlook: Outlook,
    tiering: Tiering,
    *,
    budget: Budget,
    strategies: Iterable[str | OutreachStrategy] | None = None,
    policies: Iterable[str | ContactPolicy] | None = None,
    journal: Memory | None = None,
    touches: Any = None,
    consents: Any = None,
    complaints: Iterable[str] = (),
    do_not_contact: Iterable[str] = (),
    causes: Any = None,
    attributes: Any = None,
    responses: Learned | None = None,
    holdout: float = 0.1,
    explore: float = 0.0,
    risk: float = 0.0,
    salt: str = "retention",
    seed: int = 0,
    as_of: str | dt.date | None = None,
    registry: Registry | None = None,
) -> Plan:
    """Whom to contact, with what, when and why, within both budgets; and for everyone else why not.

    Args:
        histories: the base on the plan's day.
        valuation: from :func:`appraise`.
        outlook: from ``rt.anticipate``.
        tiering: from :func:`assign_tiers`.
        budget: money, hours and contacts that may be spent.
        strategies: names or objects; None takes the built-in ones.
        policies: names or objects; None takes all built-in ones. An empty list means no guard at all.
        journal: what was done before: caps, gaps and hold-outs persist through it.
        touches: contacts known from elsewhere (``Touches``, or a file or frame for ``read_touches``).
        consents: permissions on file (``Consents``, or a file or frame for ``read_consents``); None means none, and
            channels that need consent stay closed.
        complaints: customers with an open complaint.
        do_not_contact: customers who asked not to be contacted.
        causes: why customers leave, as far as known: by id, or ``Contracts``, or a file or frame for ``read_causes``.
        attributes: what else is known of customers, by name and then by id, or a file or frame for
            ``read_attributes``; for offers and policies that ask for it.
        responses: what was learned of gains so far, see ``retention.proof.learn``; None goes by assumptions.
        holdout: share of customers kept out at random, for the proof.
        explore: share of customers for whom chance decides tonight, so that something is learned of other actions.
        risk: number of standard deviations that a gain is counted short of what is expected.
        salt: names the hold-out lottery; another salt draws other customers.
        seed: breaks ties.
        as_of: the plan's day; None takes that of the histories.
        registry: who is on board; None opens the built-in stages and the installed plugins once.

    Raises:
        PlanError: an argument is of another stage than it should be, or the tables are of different customers.
    """
    for name, given, kind in (
        ("histories", histories, Histories),
        ("valuation", valuation, Valuation),
        ("outlook", outlook, Outlook),
        ("tiering", tiering, Tiering),
        ("budget", budget, Budget),
    ):
        if not isinstance(given, kind):
            raise PlanError(
                f"make_plan got a {type(given).__name__} as {name}",
                rule=f"{name} is a {kind.__name__}",
                remedy="make_plan(base, worth, when, tiers, budget=rt.Budget(money=..., hours=...))",
            )

    def chosen(kind: str, choices: Iterable[Any] | None) -> list[Any] | None:
        return None if choices is None else [resolve(kind, choice, registry) for choice in choices]

    proposing = chosen("outreach_strategy", strategies)
    try:
        return _make_plan(
            histories,
            valuation,
            outlook,
            tiering,
            budget=budget,
            strategies=proposing,
            policies=chosen("contact_policy", policies),
            journal=journal,
            touches=touches if touches is None or isinstance(touches, Touches) else read_touches(touches),
            consents=consents if consents is None or isinstance(consents, Consents) else read_consents(consents),
            complaints=complaints,
            do_not_contact=do_not_contact,
            causes=_causes(causes, histories.as_of if as_of is None else as_day(as_of)),
            attributes=attributes
            if attributes is None or isinstance(attributes, Mapping)
            else read_attributes(attributes),
            responses=responses,
            holdout=holdout,
            explore=explore,
            risk=risk,
            salt=salt,
            seed=seed,
            as_of=None if as_of is None else as_day(as_of),
        )
    except PlanError as error:  # it names the strategy; only who is on board knows where that one comes from
        for strategy in proposing or ():
            called = getattr(strategy, "name", None)
            if f"the strategy {called!r} " in error.given and (note := _note("outreach_strategy", called, registry)):
                error.add_note(note)
        raise


def prove(
    journal: "Journal",
    log: TransactionLog | TransactionScan,
    *,
    interval: float = 0.95,
    window_days: int | None = None,
    until: dt.date | None = None,
    negligible: float | None = None,
    before_days: int = 365,
    actions: "Iterable[Action]" = (),
    estimator: "str | Estimator" = "permutation",
    registry: Registry | None = None,
) -> "Proof":
    """Compare what the contacted brought in with what the held-out brought in, by intention to treat.

    :func:`retention.proof.prove` says what is compared, and what each argument does.

    Args:
        journal: what was decided, and with which chances.
        log: the receipts since then, or a scan of them.
        interval: confidence of the intervals.
        window_days: count everybody for so many days after her first decision; None counts as long as the log goes.
        until: the last day that counts; None takes the log's last.
        negligible: the difference per customer, in money, that is not worth having; None takes 1 % of the hold-out's.
        before_days: days before the decision whose margin may shorten the interval; 0 leaves the past out.
        actions: what was done, for rewards that count as far as they are taken.
        estimator: a name among the estimators on board, or an estimator. "permutation" is the only built-in one whose
            promise holds for skewed spend; "normal" is there to compare it with.
        registry: who is on board; None opens the built-in stages and the installed plugins once.

    Example:
        >>> from retention.journal import Journal
        >>> with Journal(":memory:") as journal:
        ...     prove(journal, TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-03"], revenue=[5]))
        <Proof cannot tell (0 contacted, 0 held out): needs at least 20 more contacted and 20 more held out>
    """
    from retention.proof import prove as _prove

    chosen = resolve("estimator", estimator, registry)
    with _at_work("estimator", estimator, chosen, registry):
        return _prove(
            journal,
            log,
            interval=interval,
            window_days=window_days,
            until=until,
            negligible=negligible,
            before_days=before_days,
            actions=actions,
            estimator=chosen,
        )


def _causes(causes: Any, day: dt.date | None) -> Mapping[str, str] | None:
    if causes is None or isinstance(causes, Mapping):
        return causes
    if not isinstance(causes, Contracts):
        return read_causes(causes)
    known = causes if day is None or day >= causes.as_of else causes.until(day)  # a plan knows nothing of later days
    return known.causes()


def resolve(kind: str, choice: Any, registry: Registry | None = None) -> Any:
    """The object behind a name; an object is taken as it is."""
    if not isinstance(choice, str):
        return choice
    return (on_board() if registry is None else registry).make(kind, choice)


@contextmanager
def _at_work(kind: str, choice: Any, stage: Any, registry: Registry | None) -> Iterator[None]:
    """An error inside says which plugin's stage was at work; a number is never missing without that."""
    try:
        yield
    except Exception as error:
        if registry is not None or isinstance(choice, str):
            name: Any = choice if isinstance(choice, str) else getattr(stage, "name", None)
            if note := _note(kind, name, registry):
                error.add_note(note)
        raise


def _note(kind: str, name: Any, registry: Registry | None) -> str:
    """Where a stage of that name comes from; blank for our own, and where nobody or more than one gives it."""
    found = (on_board() if registry is None else registry).providers[kind].get(str(name), ())
    if len(found) != 1 or found[0].source == "builtin":
        return ""
    return f"while the {KINDS[kind].what} {name!r} from {found[0].origin} was at work"
