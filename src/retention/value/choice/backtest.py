"""Backtest: forecast what has happened already, from what was known before it, and see which model to believe."""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve

from retention.domain.days import as_day
from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn, IntColumn, Provenance
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.value.choice.outcome import Backtest, Held, tabled
from retention.value.choice.scoring import MOST, Forecast, judged
from retention.value.valuation import FittedValueModel, ValueModel

if TYPE_CHECKING:
    from retention.value.choice.naive import Naive

__all__ = ["backtest", "backtest_on"]

Recipe = ValueModel | FittedValueModel
Recipes = Mapping[str, Recipe] | Iterable[Recipe]


def backtest(
    log: TransactionLog,
    models: Recipes,
    *,
    cut: str | dt.date | Iterable[str | dt.date],
    until: str | dt.date | None = None,
    horizon_days: int | None = None,
    baselines: bool = True,
    prepare: Callable[[Histories], Histories] | None = None,
) -> Backtest:
    """Fit models to what was known on the evening of ``cut``, and compare their forecasts with what then happened.

    Every model, and every baseline, sees ``log.until(cut)`` and nothing else: an order that is undone after the cut
    still is one. What happened is counted on the same footing: orders of one day are one purchase day, undone orders
    are none, margin is net of returns. Judged are the customers with a purchase up to the cut; who came later is out of
    any such model's scope, and is counted in ``newcomers`` and in the notes.

    Args:
        log: the transaction log.
        models: recipes, which are fitted at the cut; fitted models are taken as they are (what they saw is your affair,
            and the notes say so). A mapping gives them names of your own.
        cut: the last day known; several of them are rolling origins, each with its own fit.
        until: the last day of the window; the log's last day if neither it nor ``horizon_days`` is given.
        horizon_days: the window's length instead; needed with several cuts.
        baselines: whether to judge *last period*, *rfm cells* and *base mean* as well (see ``naive_forecasts``).
        prepare: called with the histories of a cut, to attach attributes that were known then; rows must stay.

    Log scores: P(X = what she did), floored at 1e-12 (``floored`` counts how often), counts of 100 and more taken as
    one outcome. Those of baselines are of a negative binomial whose spread was fitted on a split before the cut.
    ``why`` says "ahead" only beyond two standard errors and four nats.

    Raises ConfigError for a window without days or models of one name; ModelError if nobody was a customer at the cut,
    and what a model's fit raises.

    Example:
        >>> from retention.value import BGNBD, MBGNBD
        >>> from retention.worlds import Shop
        >>> log = Shop.corner_shop(seed=1).simulate().log
        >>> tried = backtest(log, [BGNBD(), MBGNBD()], cut="2010-12-31", horizon_days=180)
        >>> sorted(tried.model.tolist())
        ['base mean', 'bg-nbd', 'last period', 'mbg-nbd', 'rfm cells']
    """
    from retention.value.choice.naive import naive_forecasts, observe

    cuts = [as_day(cut)] if isinstance(cut, str | dt.date) else sorted({as_day(one) for one in cut})
    days = _window(log, cuts, until, horizon_days)
    named = _named(models)
    facts: list[Held] = []
    found: dict[str, list[Forecast]] = {}
    notes: list[str] = list(log.provenance.notes)
    late = np.zeros(3)
    for day in cuts:
        end = day + dt.timedelta(days=days)
        known = log.until(day)
        base = summarize(known, as_of=day, habits=False)
        if not len(base):
            raise ModelError(
                f"a backtest at {day}", rule="somebody must have bought by then", remedy="choose a later cut"
            )
        if prepare is not None:
            prepared = prepare(base)
            if not np.array_equal(prepared.customer_id, base.customer_id):
                raise ConfigError(
                    "prepare gave back other customers",
                    rule="it attaches what is known of them and keeps the rows",
                    remedy="return histories.with_attributes(...)",
                )
            base = prepared
        fact = observe(log, base.customer_id, after=day, until=end)
        late += (fact.newcomers, fact.newcomer_purchases, fact.newcomer_margin)
        facts.append(_held(base, fact.purchases, fact.margin, day))
        naive: tuple[Naive, ...] = ()
        if baselines:
            naive, remark = naive_forecasts(known, base, day, days, MOST)
            notes += [f"{day}: {remark}"] if remark else []
        for name, forecast in judged(base, named, naive, fact.purchases, days, notes):
            found.setdefault(name, []).append(forecast)
    if late[0]:
        notes.append(
            f"out of scope: {late[0]:,.0f} customers came after the cut, with {late[1]:,.0f} purchase days and a "
            f"margin of {late[2]:,.2f} in the window"
        )
    end = cuts[-1] + dt.timedelta(days=days)
    quiet = (end - log.day.max().item()).days
    if quiet > 0:
        notes.append(f"the log's last line is {quiet} days before the window ends on {end}: was it kept up to then?")
    return tabled(
        facts,
        found,
        horizon_days=float(days),
        cuts=tuple(cuts),
        late=late,
        provenance=Provenance(
            as_of=cuts[-1].isoformat(),
            data=log.fingerprint(),
            parameters={"cuts": [str(day) for day in cuts], "horizon_days": days},
            version=log.provenance.version,
            notes=tuple(dict.fromkeys(notes)),
        ),
    )


def backtest_on(
    histories: Histories,
    actual_purchases: Any,
    actual_margin: Any = None,
    *,
    horizon_days: float,
    models: Recipes,
    baselines: bool = True,
) -> Backtest:
    """The same judgement for data that come without a log: histories at the cut, and what each customer then did.

    ``actual_purchases`` are purchase days of each customer in the ``horizon_days`` after the as-of date, in the order
    of the histories; ``actual_margin`` what they brought, None if it is not known. Baselines are her *own rate* so far
    and the *base mean*; the others need a log. Raises ConfigError for arrays of another length or impossible counts.

    Example:
        >>> from retention.value import BGNBD
        >>> base = Histories.from_arrays(frequency=[0, 2, 5, 0, 1] * 40, recency_days=[0, 60, 80, 0, 20] * 40,
        ...                              age_days=[90, 90, 84, 200, 150] * 40)
        >>> tried = backtest_on(base, [0, 1, 3, 0, 0] * 40, horizon_days=60, models=[BGNBD()])
        >>> tried.best, float(tried.actual[0])
        ('bg-nbd', 160.0)
    """
    from retention.value.choice.naive import naive_from_histories

    counts = np.asarray(actual_purchases, dtype=np.float64)
    if counts.shape != (len(histories),) or not np.all((counts >= 0) & (counts == np.rint(counts))):
        raise ConfigError(
            f"actual_purchases of shape {counts.shape} for {len(histories):,} customers",
            rule="there is one whole number of purchase days, zero or more, for each customer",
            remedy="line the counts up with histories.customer_id; who did not buy has 0",
        )
    money = np.full(len(counts), np.nan) if actual_margin is None else np.asarray(actual_margin, dtype=np.float64)
    if money.shape != counts.shape or (actual_margin is not None and not np.all(np.isfinite(money))):
        raise ConfigError(
            f"actual_margin of shape {money.shape} for {len(histories):,} customers",
            rule="there is one finite amount for each customer",
            remedy="line the amounts up with histories.customer_id; who brought nothing has 0",
        )
    if not (0 < horizon_days < math.inf):
        raise ConfigError(f"horizon_days={horizon_days!r}", rule="a window is longer than no days", remedy="mend it")
    if not len(counts):
        raise ModelError("a backtest of no customers", rule="somebody must be judged", remedy="pass some histories")
    purchases, notes = counts.astype(np.int64), list(histories.provenance.notes)
    naive = naive_from_histories(histories, horizon_days, MOST) if baselines else ()
    forecasts = judged(histories, _named(models), naive, purchases, horizon_days, notes)
    return tabled(
        [_held(histories, purchases, money, histories.as_of)],
        {name: [forecast] for name, forecast in forecasts},
        horizon_days=float(horizon_days),
        cuts=() if histories.as_of is None else (histories.as_of,),
        late=np.zeros(3),
        provenance=evolve(histories.provenance, notes=tuple(dict.fromkeys(notes))),
    )


def _held(base: Histories, purchases: IntColumn, margin: FloatColumn, cut: dt.date | None) -> Held:
    day = np.datetime64("NaT" if cut is None else cut.isoformat(), "D")
    return Held(
        customer_id=base.customer_id, cut=np.full(len(base), day), frequency=base.frequency, purchases=purchases,
        margin=margin,
    )  # fmt: skip


def _named(models: Recipes) -> dict[str, Recipe]:
    listed = list(models.items()) if isinstance(models, Mapping) else [(model.name, model) for model in models]
    names = [name for name, _ in listed]
    for name, model in listed:
        if names.count(name) > 1:
            raise ConfigError(
                f"two models named {name!r}",
                rule="each row of a backtest has a name of its own",
                remedy="pass a mapping: {'weak prior': BGNBD(), 'strong prior': BGNBD(prior=...)}",
            )
        if not isinstance(model, ValueModel | FittedValueModel):
            raise ConfigError(
                f"model {name!r} of type {type(model).__name__}",
                rule="a value model has fit and at, a fitted one expected_purchases and value",
                remedy="pass retention.value.BGNBD() or another model",
            )
    return dict(listed)


def _window(log: TransactionLog, cuts: list[dt.date], until: str | dt.date | None, horizon_days: int | None) -> int:
    """How many days are forecast, or one clear error."""
    if not cuts or not len(log):
        raise ConfigError(
            "a backtest without a cut or without a line", rule="there is a day to forecast from", remedy="give a cut"
        )
    if horizon_days is not None and until is not None:
        raise ConfigError("both until and horizon_days", rule="one of them ends the window", remedy="leave one out")
    if horizon_days is None:
        if len(cuts) > 1:
            raise ConfigError(
                f"{len(cuts)} cuts without horizon_days",
                rule="several cuts have windows of one length",
                remedy="give horizon_days",
            )
        end = log.day.max().item() if until is None else as_day(until)
        days = (end - cuts[0]).days
    else:
        days = horizon_days
    if days != int(days) or days < 1:
        raise ConfigError(
            f"a window of {days} days after {cuts[0]}",
            rule="a window is one whole day or more",
            remedy="choose an earlier cut, or a later end",
        )
    return int(days)
