"""Backtest: forecast what has happened already, from what was known before it, and see which model to believe."""

import datetime as dt
import html
import math
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle, pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from attrs import evolve, frozen

from retention.domain.days import as_day
from retention.errors import ConfigError, ModelError, nearest
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.value.purchases.fitted import FittedPurchases
from retention.value.valuation import FittedValueModel, ValueModel

if TYPE_CHECKING:
    from retention.value.choice.naive import Naive

__all__ = ["Backtest", "Calibration", "Difference", "Forecast", "Held", "backtest", "backtest_on", "difference"]

MOST = 100
"""Counts of this many purchases and more are one outcome of the log score: P(X >= 100), the same for every model."""

FLOOR = 1e-12
"""The least probability that is scored: one customer costs a model at most 27.6 nats, however impossible she is."""

TOLD = 2.0
"""A difference is told from none if it is more than so many standard errors ..."""

FEW_NATS = 4.0
"""... and, for log scores, more than so many nats: below, the standard error itself is not to be relied on (Sivula,
Magnusson, Matamoros and Vehtari 2025)."""

_BLOCK = 4_000_000  # probabilities held at one time
_GROUPS = (0, 1, 2, 3, 4, 5, 6, 7, 10, 20, 50)  # where groups by frequency begin


@frozen(eq=False, repr=False, kw_only=True)
class Held(Table):
    """The judged customers, one row for each of them and cut: what was known of her, and what she then did."""

    customer_id: TextColumn = column("who")
    cut: DayColumn = column("last day that the forecast knew; NaT without a log")
    frequency: IntColumn = column("repeat purchase days up to the cut", unit="count")
    purchases: IntColumn = column("purchase days after the cut, within the window", unit="count")
    margin: FloatColumn = column("margin of the window, net of returns; NaN if not given", unit="money")


@frozen(kw_only=True, eq=False)
class Forecast:
    """What one model said of each row of :class:`Held`: purchase days, margin (None if it knows none), log score.

    ``log_score`` is log P(what she did), None for a model that gives no probabilities; ``floored`` counts the rows
    whose probability was below the floor.
    """

    purchases: FloatColumn
    margin: FloatColumn | None
    log_score: FloatColumn | None
    floored: int
    seconds: float
    baseline: bool


@frozen(eq=False, repr=False, kw_only=True)
class Calibration(Table):
    """Mean forecast and fact by model and group of customers; ``error`` is the standard error of the fact."""

    key = "model"

    model: TextColumn = column("which model")
    group: TextColumn = column("which customers")
    customers: IntColumn = column("how many", unit="count")
    expected: FloatColumn = column("mean forecast of purchase days", unit="count")
    actual: FloatColumn = column("mean purchase days that came", unit="count")
    error: FloatColumn = column("standard error of that mean", unit="count")


class Difference(NamedTuple):
    """How much better the first of two is, summed over customers, with its standard error; ``told``: beyond error."""

    better_by: float
    error: float
    told: bool


@frozen(eq=False, repr=False, kw_only=True)
class Backtest(Table):
    """One row a model, the best log score first: how its forecasts compare with what happened.

    ``customers`` and ``forecasts`` hold what the figures are made of. ``seconds``, the time to fit, is the one column
    that differs between two runs. Errors treat customers as independent, each with all of her rows; a season that moves
    all of them is not in it, and no single window can show it: use several cuts.
    """

    key = "model"

    model: TextColumn = column("which model")
    baseline: BoolColumn = column("no model: what one has to beat")
    expected: FloatColumn = column("purchase days forecast, in total", unit="count")
    actual: FloatColumn = column("purchase days that came", unit="count")
    bias: FloatColumn = column("expected / actual - 1")
    mae: FloatColumn = column("mean absolute error of a customer", unit="count")
    rmse: FloatColumn = column("root mean squared error of a customer", unit="count")
    log_score: FloatColumn = column("mean log P(what she did); NaN without probabilities", unit="nats")
    behind: FloatColumn = column("total log score behind the best", unit="nats")
    behind_error: FloatColumn = column("standard error of that", unit="nats")
    floored: IntColumn = column("customers whose probability was below the floor", unit="count")
    margin_expected: FloatColumn = column("margin forecast, in total; NaN if not known", unit="money")
    margin_actual: FloatColumn = column("margin that came", unit="money")
    margin_bias: FloatColumn = column("margin expected / actual - 1")
    margin_mae: FloatColumn = column("mean absolute error of a customer's margin", unit="money")
    seconds: FloatColumn = column("to fit", unit="seconds")

    customers: Held
    forecasts: Mapping[str, Forecast]
    cuts: tuple[dt.date, ...] = ()
    horizon_days: float
    newcomers: int = 0
    newcomer_purchases: int = 0
    newcomer_margin: float = 0.0

    @property
    def best(self) -> str:
        """The model with the highest log score, baselines included; "" if none gives probabilities."""
        return str(self.model[0]) if len(self) and np.isfinite(self.log_score[0]) else ""

    @property
    def alike(self) -> tuple[str, ...]:
        """The models that cannot be told from the best, without it."""
        best = self.best
        scored = (str(name) for name in self.model if self.forecasts[str(name)].log_score is not None)
        return tuple(name for name in scored if name != best and not self.compare(best, name).told)

    @property
    def why(self) -> str:
        """In words: who is best, by how much, and from whom the best cannot be told."""
        scored = [str(name) for name in self.model if self.forecasts[str(name)].log_score is not None]
        if not scored:
            return "no model gives probabilities, so none has a log score: compare mae and bias"
        return verdict(scored[0], [(name, self.compare(scored[0], name)) for name in scored[1:]], "hold-back log score")

    def compare(self, first: str, second: str, *, by: str = "log_score") -> Difference:
        """How much better ``first`` is than ``second``: paired customer by customer, summed, with its standard error.

        ``by`` is "log_score" (nats), "purchases" or "margin" (absolute errors saved). Rows of one customer at several
        cuts are one cluster.
        """
        if by not in ("log_score", "purchases", "margin"):
            raise ConfigError(
                f"by={by!r}", rule="models are compared by log_score, purchases or margin", remedy="mend it"
            )
        if by == "log_score":
            one, other = (self._of(name).log_score for name in (first, second))
        else:
            one, other = (self._misses(name, by) for name in (first, second))
        if one is None or other is None:
            raise ConfigError(
                f"comparing {first} and {second} by {by}",
                rule="both must have it: probabilities for log_score, a margin for margin",
                remedy="compare by purchases",
            )
        cluster = self.customers.customer_id if len(self.cuts) > 1 else None
        return difference(one, other, cluster, few=FEW_NATS if by == "log_score" else 0.0)

    def calibration(self, *, by: str = "frequency") -> Calibration:
        """Mean forecast against mean fact: of customers by repeat purchases before the cut (0, 1, .. 6, 7-9, 10-19,
        20-49, 50+), or, with ``by="forecast"``, of ten equal groups by each model's own forecast."""
        if by not in ("frequency", "forecast"):
            raise ConfigError(f"by={by!r}", rule="groups are by frequency or by forecast", remedy="choose one of them")
        rows: list[tuple[str, str, int, float, float, float]] = []
        for name in map(str, self.model):
            forecast = self.forecasts[name].purchases
            if by == "frequency":
                group = np.searchsorted(_GROUPS, self.customers.frequency, side="right") - 1
                spans = pairwise(_GROUPS)
                labels = [*(str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in spans), f"{_GROUPS[-1]}+"]
            else:
                rank = np.argsort(np.argsort(forecast, kind="stable"), kind="stable")
                group, labels = rank * 10 // max(len(rank), 1), [f"tenth {i}" for i in range(1, 11)]
            for i, label in enumerate(labels):
                mine = group == i
                if np.any(mine):
                    fact = self.customers.purchases[mine]
                    error = float(fact.std(ddof=1)) / math.sqrt(len(fact)) if len(fact) > 1 else math.nan
                    rows.append((name, label, len(fact), float(forecast[mine].mean()), float(fact.mean()), error))
        columns = [np.array([row[i] for row in rows]) for i in range(6)]
        return Calibration(
            model=columns[0].astype(np.str_), group=columns[1].astype(np.str_), customers=columns[2].astype(np.int64),
            expected=columns[3].astype(np.float64), actual=columns[4].astype(np.float64),
            error=columns[5].astype(np.float64), provenance=self.provenance,
        )  # fmt: skip

    def plot(self, ax: Any = None) -> Any:
        """Draw mean forecast and mean fact by repeat purchases before the cut, a line a model, baselines dashed."""
        ax = axes(ax)
        table = self.calibration()
        first = table[table.model == self.model[0]]
        at = np.arange(len(first))
        colours = cycle(["#1f5f8b", "#c4572b", "#4a8c4a", "#8a5aa8", "#b8860b", "#3f8f8f", "#a03060"])
        markers = cycle("sv^x")
        for name in map(str, self.model):
            mine, baseline = table[table.model == name], self.forecasts[name].baseline
            style = (
                {"color": "0.6", "linestyle": "--", "marker": next(markers), "markersize": 3}
                if baseline
                else {"color": next(colours), "marker": "o", "markersize": 4}
            )
            ax.plot(at, mine.expected, linewidth=1.4, label=name, **style)
        ax.errorbar(at, first.actual, 2 * first.error, color="black", fmt="o-", capsize=3, label="what came (± 2 se)")
        ax.set_xticks(at, [f"{group}\n({n:,})" for group, n in zip(first.group, first.customers, strict=True)])
        ax.set(
            xlabel="repeat purchases before the cut (customers)", ylabel="mean purchase days after it", ylim=(0, None)
        )
        ax.set_title(f"{len(self.customers):,} forecasts of {self.horizon_days:,.0f} days", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
        return ax

    def __repr__(self) -> str:
        when = f" after {', '.join(map(str, self.cuts))}" if self.cuts else ""
        return f"<Backtest: {len(self.customers):,} forecasts of {self.horizon_days:,.0f} days{when}; {self.why}>"

    def _repr_html_(self) -> str:
        return f"{Table._repr_html_(self)}<p>{html.escape(self.why)}</p>"

    def _of(self, name: str) -> Forecast:
        if name not in self.forecasts:
            raise ConfigError(
                f"no model named {name!r} in this backtest",
                rule="models are asked for by name",
                remedy=nearest(name, tuple(self.forecasts)),
            )
        return self.forecasts[name]

    def _misses(self, name: str, by: str) -> FloatColumn | None:
        forecast, fact = self._of(name), self.customers
        if by == "purchases":
            return -np.abs(forecast.purchases - fact.purchases)
        if forecast.margin is None or np.any(np.isnan(fact.margin)):
            return None
        return -np.abs(forecast.margin - fact.margin)


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
        for name, forecast in _judged(base, named, naive, fact.purchases, days, notes):
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
    return _table(
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
    judged = _judged(histories, _named(models), naive, purchases, horizon_days, notes)
    return _table(
        [_held(histories, purchases, money, histories.as_of)],
        {name: [forecast] for name, forecast in judged},
        horizon_days=float(horizon_days),
        cuts=() if histories.as_of is None else (histories.as_of,),
        late=np.zeros(3),
        provenance=evolve(histories.provenance, notes=tuple(dict.fromkeys(notes))),
    )


def difference(first: FloatColumn, second: FloatColumn, cluster: Any = None, *, few: float = FEW_NATS) -> Difference:
    """How much higher the sum of the first scores is; the standard error takes rows of one cluster as one.

    Told from none: beyond ``TOLD`` standard errors and ``few``.

    Example:
        >>> better_by, error, told = difference(np.array([2.0, 0.0, 2.0, 0.0] * 25), np.zeros(100))
        >>> print(f"{better_by:.0f} ± {error:.2f}, told: {told}")
        100 ± 10.05, told: True
    """
    gap = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    total = float(np.einsum("n->", gap))
    sums: FloatColumn = gap - total / max(len(gap), 1)
    if cluster is not None:
        sums = np.asarray(np.bincount(np.unique(cluster, return_inverse=True)[1], sums), dtype=np.float64)
    squares, groups = float(np.einsum("n,n->", sums, sums)), len(sums)
    error = math.sqrt(squares * groups / (groups - 1)) if groups > 1 else math.inf
    return Difference(total, error, bool(abs(total) > max(TOLD * error, few)))


def verdict(best: str, others: Iterable[tuple[str, Difference]], score: str) -> str:
    """In words: ahead of whom and by how much, and from whom it cannot be told."""
    ahead: list[str] = []
    alike: list[str] = []
    for name, gap in others:
        by = f"{gap.better_by:,.1f} ± {gap.error:,.1f}"
        if gap.told:
            ahead.append(f"ahead of {name} by {by}" + ("" if ahead else f" nats of {score}"))
        else:
            alike.append(f"{name} ({by})")
    parts = [", ".join(ahead)] if ahead else []
    parts += [f"cannot tell from {', '.join(alike)}" + ("" if ahead else f" by nats of {score}")] if alike else []
    return f"{best}: {'; '.join(parts)}" if parts else f"{best}: the only one with a {score}"


def log_scores(
    probabilities: Callable[[Any, int], FloatColumn], actual: IntColumn, most: int = MOST
) -> tuple[FloatColumn, int]:
    """log P(X = actual) by row, counts of ``most`` and more as one outcome, floored; and how many were.

    ``probabilities(rows, n)`` gives P(X = 0 .. n) of some rows. Rows of like counts are asked for together.
    """
    scores, floored = np.empty(len(actual)), 0
    capped = np.minimum(actual, most)
    for low, high in pairwise((0, 2, 8, 32, most, most + 1)):
        mine = np.flatnonzero((capped >= low) & (capped < high))
        size = max(1, _BLOCK // high)
        for start in range(0, len(mine), size):
            rows = mine[start : start + size]
            p = probabilities(rows, high - 1 if low < most else most - 1)
            chance = 1 - p.sum(axis=1) if low == most else p[np.arange(len(rows)), capped[rows]]
            floored += int(np.sum(~(chance >= FLOOR)))
            scores[rows] = np.log(np.maximum(np.nan_to_num(chance), FLOOR))
    return scores, floored


def _judged(
    base: Histories,
    models: Mapping[str, Recipe],
    naive: "tuple[Naive, ...]",
    actual: IntColumn,
    days: float,
    notes: list[str],
) -> list[tuple[str, Forecast]]:
    """Each model's and each baseline's forecast, scored; what must be known of it goes to the notes."""
    found: list[tuple[str, Forecast]] = []
    for name, model in models.items():
        began = perf_counter()
        fitted: FittedValueModel
        if isinstance(model, ValueModel):
            fitted = model.fit(base)
        else:
            fitted = model
            notes.append(f"{name}: came with its parameters; whether they know of the window is not known here")
        seconds = perf_counter() - began
        scores, floored = None, 0
        ask = getattr(fitted, "purchase_probabilities", None)
        if ask is None:
            notes.append(f"{name}: gives no probabilities, so no log score")
        else:
            scores, floored = log_scores(lambda rows, most, ask=ask: ask(base[rows], days, most), actual)  # type: ignore[misc]
        if isinstance(fitted, FittedPurchases):
            told = fitted.estimate.notes if fitted.estimate else ()
            notes += [note if note.startswith(f"{name}: ") else f"{name}: {note}" for note in told]
        purchases, margin = _expected(fitted, base, days)
        found.append((name, Forecast(
            purchases=purchases, margin=margin, log_score=scores, floored=floored, seconds=seconds, baseline=False,
        )))  # fmt: skip
    for one in naive:
        scores, floored = None, 0
        if one.spread is not None:
            raw = one.spread.log_scores(one.purchases, actual.astype(np.float64), MOST)
            scores, floored = np.maximum(raw, math.log(FLOOR)), int(np.sum(raw < math.log(FLOOR)))
        if one.name in models:
            raise ConfigError(
                f"a model named {one.name!r}", rule="that is a baseline's name", remedy="name yours otherwise"
            )
        found.append((one.name, Forecast(
            purchases=one.purchases, margin=one.margin, log_score=scores, floored=floored, seconds=0.0, baseline=True,
        )))  # fmt: skip
    return found


def _expected(fitted: FittedValueModel, base: Histories, days: float) -> tuple[FloatColumn, FloatColumn | None]:
    if isinstance(fitted, FittedPurchases):
        purchases = fitted.expected_purchases(base, days)
        money = None if fitted.margin is None else fitted.margin.margin_mean(base, fitted.log_rate(base))
        return purchases, None if money is None else purchases * money
    worth = fitted.value(base, horizon_days=days, discount_rate=0.0)
    return worth.expected_purchases, worth.expected_margin


def _held(base: Histories, purchases: IntColumn, margin: FloatColumn, cut: dt.date | None) -> Held:
    day = np.datetime64("NaT" if cut is None else cut.isoformat(), "D")
    return Held(
        customer_id=base.customer_id, cut=np.full(len(base), day), frequency=base.frequency, purchases=purchases,
        margin=margin,
    )  # fmt: skip


def _table(
    facts: list[Held],
    found: Mapping[str, list[Forecast]],
    *,
    horizon_days: float,
    cuts: tuple[dt.date, ...],
    late: FloatColumn,
    provenance: Provenance,
) -> Backtest:
    parts = [fact.columns() for fact in facts]
    held = Held(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, provenance=provenance)
    forecasts = {name: _joined(each) for name, each in found.items() if len(each) == len(facts)}
    dropped = [name for name in found if name not in forecasts]
    if dropped:
        provenance = provenance.with_notes(f"left out: {', '.join(dropped)}, not at hand at every cut")

    def order(name: str) -> tuple[float, float]:
        score = forecasts[name].log_score
        return (math.inf if score is None else -float(score.sum()), _off(forecasts[name].purchases, held.purchases)[0])

    names = sorted(forecasts, key=order)
    top = forecasts[names[0]].log_score if names else None
    rows: dict[str, list[Any]] = {}
    for name in names:
        one = forecasts[name]
        mae, rmse = _off(one.purchases, held.purchases)
        total, actual = float(one.purchases.sum()), float(held.purchases.sum())
        gap = None
        if one.log_score is not None and top is not None:
            gap = difference(top, one.log_score, held.customer_id if len(facts) > 1 else None)
        money = (math.nan,) * 3
        if one.margin is not None:
            brought = float(held.margin.sum())
            money = (float(one.margin.sum()), float(one.margin.sum()) / brought - 1 if brought else math.nan,
                     _off(one.margin, held.margin)[0])  # fmt: skip
        row = {
            "model": name, "baseline": one.baseline, "expected": total, "actual": actual,
            "bias": total / actual - 1 if actual else math.nan, "mae": mae, "rmse": rmse,
            "log_score": math.nan if one.log_score is None else float(one.log_score.mean()),
            "behind": math.nan if gap is None else gap.better_by,
            "behind_error": math.nan if gap is None else gap.error, "floored": one.floored,
            "margin_expected": money[0], "margin_actual": float(held.margin.sum()), "margin_bias": money[1],
            "margin_mae": money[2], "seconds": one.seconds,
        }  # fmt: skip
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
    if not names:
        raise ConfigError("a backtest of no models", rule="something must be judged", remedy="pass models=[BGNBD()]")
    return Backtest(
        **{key: np.array(values) for key, values in rows.items()},
        customers=held,
        forecasts=forecasts,
        cuts=cuts,
        horizon_days=horizon_days,
        newcomers=int(late[0]),
        newcomer_purchases=int(late[1]),
        newcomer_margin=float(late[2]),
        provenance=provenance,
    )


def _joined(parts: list[Forecast]) -> Forecast:
    scores = [part.log_score for part in parts if part.log_score is not None]
    margins = [part.margin for part in parts if part.margin is not None]
    return Forecast(
        purchases=np.concatenate([part.purchases for part in parts]),
        margin=np.concatenate(margins) if len(margins) == len(parts) else None,
        log_score=np.concatenate(scores) if len(scores) == len(parts) else None,
        floored=sum(part.floored for part in parts),
        seconds=sum(part.seconds for part in parts),
        baseline=parts[0].baseline,
    )


def _off(forecast: FloatColumn, fact: Any) -> tuple[float, float]:
    """Mean absolute and root mean squared error."""
    miss = forecast - fact
    return float(np.abs(miss).mean()), float(np.sqrt(np.mean(miss**2)))


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
