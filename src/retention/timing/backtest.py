"""Who comes within d days, and who is lost without warning: clocks and value models judged on what happened already."""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ConfigError, nearest
from retention.frames.drawing import axes
from retention.frames.table import (
    BoolColumn,
    FloatColumn,
    IntColumn,
    Provenance,
    Table,
    TextColumn,
    column,
    read_only,
)
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.timing.rhythm import Rhythm

__all__ = ["Clock", "FittedClock", "LogT", "NextPurchaseScores", "Surprise", "TimingBacktest", "backtest"]

_FLOOR = 1e-6
RULES = ("recency", "90 days")
"""What anyone could do, judged beside the models: shares by recency learned on an earlier split, and one fixed rule."""


@runtime_checkable
class FittedClock(Protocol):
    """A model that says who will come: every fitted purchase model of this library does, and so does a Rhythm."""

    def p_purchase(self, histories: Histories, days: float) -> FloatColumn:
        """The probability of at least one purchase within so many days."""
        ...

    def p_alive(self, histories: Histories) -> FloatColumn:
        """The probability of still being a customer."""
        ...


@runtime_checkable
class Clock(Protocol):
    """A recipe for one."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        ...

    def fit(self, histories: Histories) -> FittedClock:
        """Learn from a base."""
        ...


@frozen(kw_only=True)
class LogT:
    """The recipe of :class:`Rhythm`: log-t renewal with drop-out and pauses."""

    pause: float = 0.1
    stretch: float = 3.0
    name: str = "log-t"

    def fit(self, histories: Histories) -> Rhythm:
        """The clocks of a base."""
        return Rhythm.fit(histories, pause=self.pause, stretch=self.stretch)


@frozen(eq=False, repr=False, kw_only=True)
class NextPurchaseScores(Table):
    """One row a model and horizon: how well it said who would come within so many days.

    ``log_score`` is the mean log probability of what happened (0 is perfect), ``behind`` how much less than the best at
    that horizon, with the standard error of that difference over customers: one counts once, however many cuts saw her.
    """

    key = "model"

    model: TextColumn = column("which")
    days: FloatColumn = column("horizon", unit="days")
    forecasts: IntColumn = column("customers times cuts", unit="count")
    expected: FloatColumn = column("share that was expected to come")
    actual: FloatColumn = column("share that came")
    log_score: FloatColumn = column("mean log probability of what happened", unit="nats")
    behind: FloatColumn = column("less than the best model's by", unit="nats")
    behind_error: FloatColumn = column("standard error of that, over customers", unit="nats")
    brier: FloatColumn = column("mean squared error of the probability")
    auc: FloatColumn = column("chance that one who came was ranked above one who did not")
    calibration_error: FloatColumn = column("mean gap between promise and share, in tenths by promise")


@frozen(eq=False, repr=False, kw_only=True)
class Surprise(Table):
    """One row a model: of the margin that was lost, what share came without warning.

    ``low`` and ``high`` are bounds over customers. A customer is lost at a cut if she did not come again although the
    log goes on for at least ``lead_days`` and three of her own usual gaps; her margin a year until then is what is
    lost. Each model raises ``alarms`` of the customers as of the cut, by risk times margin, the same number for all.
    """

    key = "model"

    model: TextColumn = column("which")
    lost_margin: FloatColumn = column("margin a year of those who were lost", unit="money/year")
    flagged_margin: FloatColumn = column("of it with those on whom there was an alarm", unit="money/year")
    surprise: FloatColumn = column("share of the lost margin that was not flagged")
    low: FloatColumn = column("lower bound of it")
    high: FloatColumn = column("upper bound of it")

    alarms: float
    lead_days: int
    lost: int
    undecided: int


@frozen(kw_only=True)
class TimingBacktest:
    """Scores of who comes, the standing surprise rate, and the forecasts behind the calibration."""

    scores: NextPurchaseScores
    surprise: Surprise
    cutoffs: tuple[dt.date, ...]
    promises: Mapping[tuple[str, float], FloatColumn]
    outcomes: Mapping[float, BoolColumn]

    def calibration(self, model: str, days: float, tenths: int = 10) -> list[tuple[int, float, float]]:
        """In ``tenths`` groups by promise: how many forecasts, what was promised, what share came."""
        if tenths < 1 or tenths != int(tenths):
            raise ConfigError(f"tenths={tenths!r}", rule="promises are put into one group or more", remedy="10")
        if (model, float(days)) not in self.promises:
            known = [name for name, horizon in self.promises if horizon == days] or [m for m, _ in self.promises]
            raise ConfigError(
                f"the calibration of {model!r} at {days} days",
                rule="a model and horizon of this backtest are asked for",
                remedy=nearest(model, known),
            )
        return _calibration(self.promises[model, float(days)], self.outcomes[float(days)], tenths)

    def plot(self, ax: Any = None) -> Any:
        """Promised against actual shares at the longest horizon; the diagonal is what one can believe."""
        ax = axes(ax, size=(5.0, 5.0))
        days = max(self.outcomes)
        ax.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
        for name in dict.fromkeys(model for model, _ in self.promises):
            rows = self.calibration(name, days)
            ax.plot([r[1] for r in rows], [r[2] for r in rows], "o-", markersize=4, label=name)
        ax.set(xlabel=f"promised to come within {days:,.0f} days", ylabel="came", aspect="equal")
        ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        best = [
            f"{d:,.0f} days: {self.scores.model[(self.scores.days == d) & (self.scores.behind == 0)][0]}"
            for d in sorted(self.outcomes)
        ]
        rates = ", ".join(f"{m} {s:.0%}" for m, s in zip(self.surprise.model, self.surprise.surprise, strict=True))
        return f"<TimingBacktest over {len(self.cutoffs)} cuts; best at {', '.join(best)}; surprise: {rates}>"


def backtest(
    log: TransactionLog,
    *,
    cutoffs: Iterable[str | dt.date],
    models: Clock | Sequence[Clock] | Mapping[str, Clock] = (),
    days: float | Sequence[float] = (28, 91),
    alarms: float = 0.1,
    lead_days: int = 91,
    rules: bool = True,
    interval: float = 0.90,
) -> TimingBacktest:
    """Forecast the past from each cut, with what was known then and nothing else, and see who was right.

    ``models`` are recipes with a name and a ``fit`` whose result has ``p_purchase`` and ``p_alive``: clocks
    (:class:`LogT`), every purchase model of ``retention.value``, and plugins'. With ``rules`` two that anyone could do
    stand beside them: *recency*, the share who came among those with a like recency in an earlier window of the same
    length, and *90 days*, the same with two groups, silent for less or more than 90 days.

    The surprise rate asks what such scores are for: of the margin that was lost, how much was lost without an alarm at
    least ``lead_days`` before the loss could be seen, if every model may raise alarms on the same share of customers.

    Raises:
        ConfigError: no cuts or models, a horizon that runs past the end of the log, models of one name.

    Example:
        >>> from retention.worlds import Shop
        >>> log = Shop.corner_shop(seed=1).simulate().log
        >>> tried = backtest(log, cutoffs=["2010-12-31", "2011-06-30"], models=[LogT()], days=[28])
        >>> tried.scores["model"].tolist()
        ['log-t', 'recency', '90 days']
    """
    days_seen = log.day[~log.is_cancelled] if len(log) else log.day
    cuts = sorted({as_day(one) for one in ([cutoffs] if isinstance(cutoffs, str | dt.date) else cutoffs)})
    named = _named(models, rules)
    horizons = sorted({float(d) for d in np.atleast_1d(np.asarray(days, dtype=np.float64))})
    _check(cuts, named, rules, horizons, alarms, lead_days, interval, days_seen)
    promises: dict[tuple[str, float], list[FloatColumn]] = {}
    outcomes: dict[float, list[BoolColumn]] = {d: [] for d in horizons}
    who: list[TextColumn] = []
    lost = _Losses(end=days_seen.max(), lead_days=lead_days)
    for cut in cuts:
        base = summarize(log.until(cut), as_of=cut, habits=False)
        who.append(base.customer_id)
        for d in horizons:
            outcomes[d].append(_came(log, base, cut, d))
        fitted: dict[str, Any] = {name: recipe.fit(base) for name, recipe in named.items()}
        for name in fitted:
            for d in horizons:
                promises.setdefault((name, d), []).append(np.asarray(fitted[name].p_purchase(base, d)))
        lost.at(log, base, cut)
        for name, model in fitted.items():
            lost.alarm(name, np.asarray(1.0 - model.p_alive(base)), alarms)
        if rules:
            for d in horizons:
                for rule, shares in _rules(log, base, cut, d).items():
                    promises.setdefault((rule, d), []).append(shares)
            lost.alarm("recency", base.idle_days, alarms)
            lost.alarm("90 days", (base.idle_days >= 90).astype(np.float64), alarms)
    pooled = {key: np.concatenate(parts) for key, parts in promises.items()}
    happened = {d: np.concatenate(parts) for d, parts in outcomes.items()}
    names = [*named, *(RULES if rules else ())]
    provenance = Provenance(
        as_of=cuts[-1].isoformat(), data=log.fingerprint(), parameters={"cutoffs": [str(cut) for cut in cuts]},
        notes=log.provenance.notes,
    )  # fmt: skip
    return TimingBacktest(
        scores=_scores(names, horizons, pooled, happened, np.concatenate(who), provenance),
        surprise=lost.table(names, alarms, interval, provenance),
        cutoffs=tuple(cuts),
        promises=MappingProxyType({key: read_only(v) for key, v in pooled.items()}),
        outcomes=MappingProxyType({key: read_only(v) for key, v in happened.items()}),
    )


def _named(models: Clock | Sequence[Clock] | Mapping[str, Clock], rules: bool) -> dict[str, Clock]:
    if isinstance(models, Mapping):
        pairs = list(models.items())
    else:
        given: Any = models
        listed = [given] if hasattr(given, "fit") or isinstance(given, str) else given
        pairs = [(getattr(model, "name", str(model)), model) for model in listed]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names) or (rules and set(names) & set(RULES)):
        raise ConfigError(
            f"models named {', '.join(names)}",
            rule=f"each model has a name of its own, and {' and '.join(RULES)} are taken" if rules else "names differ",
            remedy='pass a mapping: models={"short pauses": LogT(stretch=2.0), ...}',
        )
    return dict(pairs)


def _check(
    cuts: list[dt.date],
    named: Mapping[str, Clock],
    rules: bool,
    horizons: list[float],
    alarms: float,
    lead_days: int,
    interval: float,
    seen: Any,
) -> None:
    if not cuts or not (named or rules) or not horizons or not len(seen):
        raise ConfigError(
            "a backtest without cutoffs, models, horizons or purchases",
            rule="something is forecast, by something, from some day on",
            remedy="backtest(log, cutoffs=['2011-06-30'], models=[LogT()], days=[28, 91])",
        )
    for name, recipe in named.items():
        if not callable(getattr(recipe, "fit", None)):
            raise ConfigError(
                f"model {name!r} without fit",
                rule="a model is a recipe: fit(histories) gives something with p_purchase and p_alive",
                remedy="pass LogT(), or a purchase model such as BGNBD()",
            )
    last = seen.max().item()
    if not all(d == round(d) and 0 < d < 1e6 for d in horizons):
        raise ConfigError(
            f"horizons of {', '.join(f'{d:g}' for d in horizons)} days",
            rule="what comes is counted by whole days, one or more",
            remedy="days=[28, 91]",
        )
    if cuts[0] < seen.min().item():
        raise ConfigError(
            f"a cutoff at {cuts[0]}, before the log begins on {seen.min().item()}",
            rule="somebody must have bought by then",
            remedy="choose later cutoffs",
        )
    if not all(0 < d < math.inf for d in horizons) or cuts[-1] + dt.timedelta(days=math.ceil(max(horizons))) > last:
        raise ConfigError(
            f"horizons of {', '.join(f'{d:g}' for d in horizons)} days after {cuts[-1]}, with a log up to {last}",
            rule="what is forecast must have happened: the longest horizon ends within the log",
            remedy="choose earlier cutoffs or shorter horizons",
        )
    if not (0 < alarms <= 1 and 0 < interval < 1 and lead_days >= 1 and lead_days == int(lead_days)):
        raise ConfigError(
            f"alarms={alarms!r}, lead_days={lead_days!r}, interval={interval!r}",
            rule="alarms are a share of the customers, the lead is in whole days, the interval lies between 0 and 1",
            remedy="alarms=0.1, lead_days=91, interval=0.90",
        )


def _came(log: TransactionLog, base: Histories, cut: dt.date, days: float) -> BoolColumn:
    from retention.value.choice.naive import observe

    fact = observe(log, base.customer_id, after=cut, until=cut + dt.timedelta(days=math.floor(days)))
    return np.asarray(fact.purchases > 0)


def _rules(log: TransactionLog, base: Histories, cut: dt.date, days: float) -> dict[str, FloatColumn]:
    """Shares who came by recency, learned on the window of the same length before the cut."""
    earlier = cut - dt.timedelta(days=math.ceil(days))
    before = summarize(log.until(earlier), as_of=earlier, habits=False)
    known = log.until(cut)
    edges = {"recency": np.quantile(base.idle_days, np.linspace(0.1, 0.9, 9)), "90 days": np.array([90.0])}
    if not len(before):
        return {rule: np.full(len(base), 0.5) for rule in edges}
    came = _came(known, before, earlier, days)
    answer = {}
    for rule, cuts in edges.items():
        cell, here = np.searchsorted(cuts, before.idle_days, "right"), np.searchsorted(cuts, base.idle_days, "right")
        n, k = np.bincount(cell, minlength=len(cuts) + 1), np.bincount(cell, came, len(cuts) + 1)
        overall = (k.sum() + 1.0) / (n.sum() + 2.0)
        answer[rule] = ((k + 2.0 * overall) / (n + 2.0))[here]
    return answer


def _scores(
    names: Sequence[str],
    horizons: Sequence[float],
    promises: Mapping[tuple[str, float], FloatColumn],
    outcomes: Mapping[float, BoolColumn],
    who: TextColumn,
    provenance: Provenance,
) -> NextPurchaseScores:
    rows: list[dict[str, Any]] = []
    _, owner = np.unique(who, return_inverse=True)
    for d in horizons:
        y = outcomes[d]
        logs = {}
        for name in names:
            p = np.clip(promises[name, d], _FLOOR, 1 - _FLOOR)
            logs[name] = np.where(y, np.log(p), np.log1p(-p))
        best = max(names, key=lambda name: float(logs[name].mean()))
        for name in names:
            p, gap = promises[name, d], logs[best] - logs[name]
            rows.append({
                "model": name, "days": d, "forecasts": len(y), "expected": float(p.mean()), "actual": float(y.mean()),
                "log_score": float(logs[name].mean()), "behind": float(gap.mean()),
                "behind_error": _clustered(gap, owner), "brier": float(np.mean((p - y) ** 2)), "auc": _auc(p, y),
                "calibration_error": sum(n * abs(a - b) for n, a, b in _calibration(p, y, 10)) / len(y),
            })  # fmt: skip
    columns: dict[str, Any] = {name: np.asarray([row[name] for row in rows]) for name in rows[0]}
    columns["forecasts"] = columns["forecasts"].astype(np.int64)
    return NextPurchaseScores(**columns, provenance=provenance)


def _clustered(values: FloatColumn, owner: Any) -> float:
    """The standard error of a mean when rows of one owner go together."""
    sums = np.bincount(owner, values - values.mean())
    return float(np.sqrt(np.sum(sums**2)) / len(values))


def _auc(p: FloatColumn, y: BoolColumn) -> float:
    from scipy.stats import rankdata

    ones = int(y.sum())
    if not 0 < ones < len(y):
        return math.nan
    return float((rankdata(p)[y].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones)))


def _calibration(p: FloatColumn, y: BoolColumn, tenths: int) -> list[tuple[int, float, float]]:
    order = np.argsort(p, kind="stable")
    return [
        (len(part), float(p[part].mean()), float(y[part].mean())) for part in np.array_split(order, tenths) if len(part)
    ]


class _Losses:
    """Who was lost at each cut, and who of them had been flagged."""

    def __init__(self, *, end: Any, lead_days: int) -> None:
        self.end, self.lead_days = end, lead_days
        self.owners: list[TextColumn] = []
        self.margins: list[FloatColumn] = []
        self.flagged: dict[str, list[BoolColumn]] = {}
        self.undecided = 0

    def at(self, log: TransactionLog, base: Histories, cut: dt.date) -> None:
        left = float((self.end - np.datetime64(cut, "D")).astype(int))
        gap = np.where(base.frequency > 0, base.recency_days / np.maximum(base.frequency, 1), np.nan)
        typical = float(np.nanmedian(gap)) if np.any(base.frequency > 0) else left
        gap = np.where(np.isnan(gap), typical, gap)
        # Who had been silent for three of her gaps before the cut was lost before it: no news, and no surprise.
        current = base.idle_days <= np.maximum(3.0 * gap, self.lead_days)
        came = _came(log, base, cut, left)
        decided = left >= np.maximum(3.0 * gap, self.lead_days)
        self.rows = np.flatnonzero(current)
        self.lost_rows = np.flatnonzero(current & ~came & decided)
        self.undecided += int(np.sum(current & ~came & ~decided))
        self.per_year = np.maximum(base.margin, 0.0) * 365.25 / np.maximum(base.age_days, 30.0)
        self.owners.append(base.customer_id[self.lost_rows])
        self.margins.append(self.per_year[self.lost_rows])

    def alarm(self, name: str, risk: FloatColumn, share: float) -> None:
        budget = math.floor(share * len(self.rows))
        worth = risk[self.rows] * self.per_year[self.rows]
        order = np.lexsort((self.rows, -self.per_year[self.rows], -worth))
        raised = np.zeros(len(risk), dtype=np.bool_)
        raised[self.rows[order[:budget]]] = True
        self.flagged.setdefault(name, []).append(raised[self.lost_rows])

    def table(self, names: Sequence[str], alarms: float, interval: float, provenance: Provenance) -> Surprise:
        from scipy.special import ndtri

        owners, margin = np.concatenate(self.owners), np.concatenate(self.margins)
        _, owner = np.unique(owners, return_inverse=True)
        z, total = float(ndtri(0.5 + interval / 2)), float(margin.sum())
        rows = []
        for name in names:
            warned = np.concatenate(self.flagged[name])
            caught = float(margin[warned].sum())
            rate = 1.0 - caught / total if total > 0 else math.nan
            error = math.nan
            if total > 0:
                sums = np.bincount(owner, margin * (np.where(warned, 0.0, 1.0) - rate))
                error = float(np.sqrt(np.sum(sums**2))) / total
            rows.append((total, caught, rate, max(rate - z * error, 0.0), min(rate + z * error, 1.0)))
        lost, caught_, rates, low, high = (np.array(values) for values in zip(*rows, strict=True))
        return Surprise(
            model=np.asarray(names), lost_margin=lost, flagged_margin=caught_, surprise=rates, low=low, high=high,
            alarms=float(alarms), lead_days=int(self.lead_days), lost=len(owners), undecided=self.undecided,
            provenance=provenance,
        )  # fmt: skip
