"""The verbs that choose by name: a name or an object in, the stage's own function does the work.

``rt.appraise(base, model="bg-nbd")`` finds the model among the built-in stages and the installed plugins;
``rt.appraise(base, model=BGNBD(time_unit_days=30))`` takes the object as it is.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from numbers import Real
from typing import Any

from attrs import evolve

from retention.domain.days import as_day
from retention.errors import ConfigError, PlanError
from retention.histories import Histories
from retention.plan import Budget, ContactPolicy, Learned, Memory, OutreachStrategy, Plan
from retention.plan import make_plan as _make_plan
from retention.plugins import Registry, open_registry
from retention.records import (
    Consents,
    Contracts,
    Touches,
    TransactionLog,
    read_attributes,
    read_causes,
    read_consents,
    read_touches,
)
from retention.tiers import Tiering, TieringRule
from retention.timing import Outlook
from retention.value import FittedValueModel, Posterior, ServingCosts, Valuation, ValueModel
from retention.value import appraise as _appraise
from retention.value.choice.auto import AutoModel
from retention.value.contracts.fitted import FittedContracts
from retention.value.contracts.models import ContractModel
from retention.value.contracts.posterior import ContractPosterior

__all__ = ["appraise", "assign_tiers", "make_plan", "resolve"]


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
        log: with model="auto", what the histories were made of, so that the choice is by forecasts of its last part.
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
        if not isinstance(chosen, AutoModel):
            raise ConfigError(
                f"a log with model={getattr(chosen, 'name', chosen)!r}",
                rule="a log is for choosing among models; one that was chosen learns from the histories",
                remedy="leave the log out, or take model='auto'",
            )
        chosen = evolve(chosen, log=log)
    return _appraise(
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
    return chosen.assign(histories, valuation, previous)


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

    return _make_plan(
        histories,
        valuation,
        outlook,
        tiering,
        budget=budget,
        strategies=chosen("outreach_strategy", strategies),
        policies=chosen("contact_policy", policies),
        journal=journal,
        touches=touches if touches is None or isinstance(touches, Touches) else read_touches(touches),
        consents=consents if consents is None or isinstance(consents, Consents) else read_consents(consents),
        complaints=complaints,
        do_not_contact=do_not_contact,
        causes=_causes(causes, histories.as_of if as_of is None else as_day(as_of)),
        attributes=attributes if attributes is None or isinstance(attributes, Mapping) else read_attributes(attributes),
        responses=responses,
        holdout=holdout,
        explore=explore,
        risk=risk,
        salt=salt,
        seed=seed,
        as_of=None if as_of is None else as_day(as_of),
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
    return (_everyone() if registry is None else registry).make(kind, choice)


@cache
def _everyone() -> Registry:
    return open_registry()
