"""Pareto/NBD whose purchase rate and drop-out change from week to week: seasons, campaigns, what she was sent."""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from attrs import evolve, field, fields, frozen
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ConfigError, ModelError, nearest
from retention.frames.table import FloatColumn, TextColumn, read_only
from retention.histories import Histories, summarize
from retention.records.transactions import TransactionLog
from retention.value.purchases.estimate import Estimate, estimate, positive_parameters
from retention.value.purchases.paretonbd import ParetoNBD

if TYPE_CHECKING:
    from retention._kernels.paretonbd_dynamic import Stretch

__all__ = ["Calendar", "DynamicParetoNBD", "FittedDynamicParetoNBD"]

FORMAT = 1
"""Of what ``to_dict`` writes; a file of another format is refused."""

_WEEK = 7
_SKETCH = 512  # customers that stand for the base while a climb looks for where to start
_DOUBT = 3.0  # a coefficient of three per standard deviation of its covariate is already beyond belief
_STEP = 2e-4  # of the differences of the gradient that make the Hessian: wrong by about 1e-8 of it


@frozen(kw_only=True, eq=False, repr=False)
class Calendar:
    """Covariates week by week: some the same for all customers, some each customer's own.

    ``start`` is the first day of the first week, any day of the week; weeks follow one another without a gap.
    ``shared`` holds one number a week, ``own`` one row a customer of ``customer_id`` and one number a week. It must
    know every week that is asked about, also those ahead in a forecast: nothing is carried on.

    Example:
        >>> calendar = Calendar.weekly(["2011-01-03", "2011-01-10", "2011-01-17"], {"sale": [0, 1, 0]})
        >>> calendar = calendar.with_own(["ann", "bea"], {"mailed": [[0, 1, 1], [0, 0, 0]]})
        >>> calendar
        <Calendar: 3 weeks from 2011-01-03, shared: sale; own of 2 customers: mailed>
    """

    start: dt.date
    weeks: int
    shared: Mapping[str, FloatColumn] = field(factory=dict)
    customer_id: TextColumn = field(factory=lambda: read_only(np.zeros(0, dtype=np.str_)))
    own: Mapping[str, FloatColumn] = field(factory=dict)

    @classmethod
    def weekly(cls, weeks: Sequence[Any], values: Mapping[str, Any]) -> Self:
        """A calendar from the first day of each week, in order, and one number a week for each covariate.

        Raises ConfigError for a gap or a week out of order, and for values that are not one finite number a week.
        """
        days = [as_day(week, name="week") for week in weeks]
        if not days:
            raise ConfigError("a calendar without weeks", rule="a calendar has a week or more", remedy="name its weeks")
        for before, after in pairwise(days):
            if (after - before).days != _WEEK:
                raise ConfigError(
                    f"a calendar in which {after} follows {before}",
                    rule=f"weeks follow one another without gaps: the next begins {before + dt.timedelta(_WEEK)}",
                    remedy="add what is missing, with the values those weeks had",
                )
        shared = {name: _finite(name, column, (len(days),), "one number a week") for name, column in values.items()}
        return cls(start=days[0], weeks=len(days), shared=shared)

    def with_own(self, customer_id: Sequence[Any] | TextColumn, values: Mapping[str, Any]) -> Self:
        """The same calendar with covariates of single customers: a row a customer, one number a week.

        One number a customer is one that never changes. All such covariates are told together. Raises ConfigError for
        another shape, numbers that are not finite, a customer told twice or a name that is taken.
        """
        ids = np.asarray(customer_id, dtype=np.str_)
        order = np.argsort(ids, kind="stable")
        if np.any(ids[order][1:] == ids[order][:-1]):
            raise ConfigError("a customer told twice", rule="one row a customer", remedy="merge the rows first")
        taken = [name for name in values if name in self.shared]
        if taken or self.own:
            raise ConfigError(
                f"own covariates {', '.join(values)} beside {', '.join((*taken, *self.own))}",
                rule="a name is told once, and all that are customers' own in one call",
                remedy="rename it, or tell them together",
            )
        own = {}
        for name, column in values.items():
            array = np.asarray(column, dtype=np.float64)
            if array.shape == ids.shape:
                array = np.repeat(array[:, None], self.weeks, axis=1)
            rule = f"a row for each of {len(ids):,} customers and one number for each of {self.weeks} weeks"
            own[name] = read_only(_finite(name, array, (len(ids), self.weeks), rule)[order])
        return evolve(self, customer_id=read_only(ids[order]), own=own)

    @property
    def end(self) -> dt.date:
        """The last day that it knows."""
        return self.start + dt.timedelta(_WEEK * self.weeks - 1)

    def __repr__(self) -> str:
        parts = [f"shared: {', '.join(self.shared)}"] if self.shared else []
        parts += [f"own of {len(self.customer_id):,} customers: {', '.join(self.own)}"] if self.own else []
        return f"<Calendar: {self.weeks} weeks from {self.start}, {'; '.join(parts) or 'no covariates'}>"

    def table(self, names: Sequence[str], who: TextColumn) -> tuple[FloatColumn, NDArray[np.intp]]:
        """The named covariates, a row a week (and customer, if one of them is customers' own), and the row at which
        each customer's weeks begin.

        Raises ModelError for a name it does not have and for customers whose own covariates it does not know.
        """
        for name in names:
            if name not in self.shared and name not in self.own:
                raise ModelError(
                    f"covariate {name!r}",
                    rule=f"the calendar has {', '.join((*self.shared, *self.own)) or 'none'}",
                    remedy=nearest(name, (*self.shared, *self.own)),
                )
        if not any(name in self.own for name in names):
            columns = [self.shared[name] for name in names]
            return np.stack(columns, axis=1) if columns else np.zeros((self.weeks, 0)), np.zeros(len(who), np.intp)
        at = np.minimum(np.searchsorted(self.customer_id, who), max(len(self.customer_id) - 1, 0))
        unknown = int(np.sum(self.customer_id[at] != who)) if len(self.customer_id) else len(who)
        if unknown:
            raise ModelError(
                f"a calendar without the own covariates of {unknown:,} of {len(who):,} customers",
                rule="covariates that are customers' own are known for each of them",
                remedy="add their rows; where nothing happened a row of zeros says so",
            )
        shape = (len(who), self.weeks)
        made = [
            np.broadcast_to(self.shared[name], shape) if name in self.shared else self.own[name][at] for name in names
        ]
        return np.stack([column.ravel() for column in made], axis=1), np.arange(len(who)) * self.weeks


def _finite(name: str, values: Any, shape: tuple[int, ...], rule: str) -> FloatColumn:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not np.all(np.isfinite(array)):
        holes = "" if array.shape != shape else f" with {int(np.sum(~np.isfinite(array)))} holes"
        raise ConfigError(
            f"covariate {name!r} of shape {array.shape}{holes}",
            rule=f"a covariate is {rule}, all finite",
            remedy="line it up with the weeks, and fill holes with what was true",
        )
    return read_only(array)


class _Known(NamedTuple):
    """What a log says on a day, in days: the base, the moments of all repeat purchases (noon, well inside their week)
    with the rows of who made them; the covariates, and where each customer's weeks begin in them."""

    base: Histories
    edges: FloatColumn
    born: FloatColumn
    last: FloatColumn
    end: float
    bought_at: FloatColumn
    bought_by: NDArray[np.intp]
    table: FloatColumn
    offset: NDArray[np.intp]

    def stretches(self, unit: float, every: int = 1) -> "tuple[Stretch, ...]":
        """The customers' lives in pieces; of each ``every``-th of them."""
        from retention._kernels.paretonbd_dynamic import lay_out

        some = self.bought_by % every == 0
        born, last = self.born[::every], self.last[::every]
        end = np.full(len(born), self.end)
        by = self.bought_by[some] // every
        return lay_out(self.edges, born, last, end, self.bought_at[some], by, self.offset[::every], unit)


@frozen(kw_only=True)
class DynamicParetoNBD:
    """Pareto/NBD with covariates that change from week to week (Bachmann, Meierer and Naef 2021).

    ``rate`` and ``dropout`` name covariates of a :class:`Calendar`. While she is a customer she buys at her own rate
    times exp(coefficient * covariate of the week), and leaves at her own hazard times the same of its coefficients. The
    days on which she may come back are those after her first purchase up to the as-of date; each counts in its week, so
    that her first and last weeks count in part. Parameters are those of weeks in which all covariates are 0, alpha and
    beta in ``time_unit_days``; nothing that is forecast depends on that unit.

    ``prior`` is for the four parameters, as in :class:`PurchaseModel`; ``penalty`` is the precision of a normal prior
    on the coefficients, for covariates scaled to a standard deviation of one.

    Example:
        >>> calendar = Calendar.weekly(["2011-01-03", "2011-01-10", "2011-01-17"], {"sale": [0, 1, 0]})
        >>> model = DynamicParetoNBD(rate=("sale",)).at(
        ...     {"r": 0.6, "alpha": 5.0, "s": 0.6, "beta": 10.0, "rate:sale": math.log(2)})
        >>> log = TransactionLog.from_arrays(customer_id=["ann"], at=["2011-01-03"], revenue=[10])
        >>> model.expected_purchases(log, calendar, 7, as_of="2011-01-09").round(3).tolist()
        [0.189]
        >>> model.expected_purchases(log, calendar, 7, as_of="2011-01-16").round(3).tolist()
        [0.066]
    """

    NAME: ClassVar[str] = "pareto-nbd-dynamic"

    rate: tuple[str, ...] = field(default=(), converter=tuple)
    dropout: tuple[str, ...] = field(default=(), converter=tuple)
    time_unit_days: float = 7.0
    prior: Mapping[str, tuple[float, float]] = field(factory=dict)
    penalty: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.static()  # it knows what is wrong with a unit, a prior or a penalty

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return self.NAME

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters and the coefficients: ``rate:season``, ``dropout:mailed``."""
        moved = (*(f"rate:{name}" for name in self.rate), *(f"dropout:{name}" for name in self.dropout))
        return ("r", "alpha", "s", "beta", *moved)

    def static(self) -> ParetoNBD:
        """The same model without its covariates."""
        return ParetoNBD(time_unit_days=self.time_unit_days, prior=self.prior, penalty=self.penalty)

    def at(self, params: Mapping[str, float]) -> "FittedDynamicParetoNBD":
        """The model at given parameters and coefficients, by name; times in the time unit."""
        known = self.names
        own = positive_parameters(
            self.name, {k: v for k, v in params.items() if k in known[:4] or k not in known}, known[:4]
        )
        missing = [name for name in known[4:] if not math.isfinite(params.get(name, math.nan))]
        if missing:
            raise ModelError(
                f"{self.name} without a finite {', '.join(missing)}",
                rule=f"it has {', '.join(known)}",
                remedy="0 is a covariate without effect",
            )
        return FittedDynamicParetoNBD(
            recipe=self,
            purchase_params=tuple(own[name] for name in known[:4]),
            coefficients=tuple(float(params[name]) for name in known[4:]),
        )

    def fit(self, log: TransactionLog, calendar: Calendar, *, as_of: str | dt.date) -> "FittedDynamicParetoNBD":
        """Learn parameters and coefficients by maximum likelihood, from a log as it was known on ``as_of``.

        Climbs by the exact gradient start at the plain fit and beside it; Newton steps finish. Standard errors come
        from differences of the exact gradient, right to about eight digits. Where the likelihood has no clear maximum
        (a covariate that never varies, two that say the same) a weak prior chooses, and ``diagnosis`` says so.

        Raises ModelError where the calendar does not know a week between the first purchase and ``as_of``.
        """
        from retention._kernels import paretonbd, paretonbd_dynamic

        known = _known(self, log, calendar, as_of)
        static, n, q = self.static(), len(known.base), len(self.rate) + len(self.dropout)
        clock = static.clock(known.base)
        mean, sd, always = static.log_prior(clock)
        stretches = known.stretches(clock)
        center, scale = _spread_of(known.table, stretches)
        table = (known.table - center) / scale
        split = len(self.rate)

        def slope(theta: FloatColumn, lived: "tuple[Stretch, ...]") -> tuple[float, FloatColumn]:
            log_a = np.clip(table[:, :split] @ theta[4 : 4 + split], -50.0, 50.0)
            log_b = np.clip(table[:, split:] @ theta[4 + split :], -50.0, 50.0)
            value, own, by_a, by_b = paretonbd_dynamic.total(np.exp(theta[:4]), log_a, log_b, lived)
            return value, np.concatenate([own, table[:, :split].T @ by_a, table[:, split:].T @ by_b])

        def objective(theta: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
            value, gradient = slope(theta, stretches)
            steps = _STEP * np.eye(4 + q)
            rows = [slope(theta + h, stretches)[1] - slope(theta - h, stretches)[1] for h in steps]
            hessian = np.array(rows) / (2 * _STEP)
            return value, gradient, (hessian + hessian.T) / 2

        cells = static.cells(known.base, which=False).scaled(clock)
        plain, _ = estimate(
            lambda theta: paretonbd.KERNEL.total(np.exp(theta), cells),
            model=self.name, names=self.names[:4], prior_mean=mean, prior_sd=sd, always=always, customers=float(n),
        )  # fmt: skip
        start, center_0 = np.concatenate([plain, np.zeros(q)]), np.concatenate([mean, np.zeros(q)])
        always = np.concatenate([always, np.full(q, self.penalty)])
        aside = np.concatenate([sd, np.ones(q)]) / 2 * np.where(np.arange(4 + q) % 2 == 0, 1.0, -1.0)
        ends = []
        if n:
            few = known.stretches(clock, every=max(1, n // _SKETCH))
            places = [start, *(_climb(slope, few, begin, center_0, always) for begin in (start + aside, start - aside))]
            ends = [_climb(slope, stretches, place, center_0, always) for place in places]
        apart: list[FloatColumn] = []
        for end in ends:
            if all(float(np.abs(end - other).max()) > 0.1 for other in apart):
                apart.append(end)
        point, found = estimate(
            objective,
            model=self.name,
            names=self.names,
            prior_mean=center_0,
            prior_sd=np.concatenate([sd, np.full(q, _DOUBT)]),
            always=always,
            customers=float(n),
            start=start,
            begins=apart,
        )
        # From centred and scaled covariates and the clock back to theirs and the model's time unit: a linear map.
        back = np.eye(4 + q)
        back[4:, 4:] = np.diag(1 / scale)
        back[1, 4 : 4 + split] = (center / scale)[:split]
        back[3, 4 + split :] = (center / scale)[split:]
        told = back @ point
        told[[1, 3]] += math.log(clock / self.time_unit_days)
        spread = back @ np.array(found.spread) @ back.T
        sure = np.isfinite([found.standard_errors[name] for name in self.names])
        size = np.sqrt(np.diag(spread)) * np.concatenate([np.exp(told[:4]), np.ones(q)])
        events = float(known.base.frequency.sum())
        found = evolve(
            found,
            log_likelihood=found.log_likelihood - events * math.log(clock / self.time_unit_days),
            standard_errors={k: float(e) if s else math.nan for k, e, s in zip(self.names, size, sure, strict=True)},
            spread=spread,
            starts=sum(float(np.abs(end - point).max()) < 0.1 for end in ends),
        )
        return FittedDynamicParetoNBD(
            recipe=self,
            purchase_params=tuple(np.exp(told[:4]).tolist()),
            coefficients=tuple(told[4:].tolist()),
            estimate=found,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {f.name: getattr(self, f.name) for f in fields(type(self))}
        prior = {name: list(pair) for name, pair in self.prior.items()}
        return {**plain, "rate": list(self.rate), "dropout": list(self.dropout), "prior": prior}


@frozen(kw_only=True)
class FittedDynamicParetoNBD:
    """Pareto/NBD with time-varying covariates, with parameters. Answers are arrays in the order of the customers of
    ``summarize(log, as_of=as_of)``, which is that of their ids."""

    recipe: DynamicParetoNBD
    purchase_params: tuple[float, ...]
    coefficients: tuple[float, ...] = ()
    estimate: Estimate | None = None

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return self.recipe.name

    @property
    def params(self) -> Mapping[str, float]:
        """Parameters (times in the recipe's unit) and coefficients (per unit of the covariate), by name."""
        return dict(zip(self.recipe.names, (*self.purchase_params, *self.coefficients), strict=True))

    @property
    def log_likelihood(self) -> float | None:
        """Of the purchases (times in the model's unit); None when the parameters were given."""
        return None if self.estimate is None else self.estimate.log_likelihood

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given, NaN where the data do not identify one."""
        return None if self.estimate is None else self.estimate.standard_errors

    @property
    def diagnosis(self) -> str:
        """What was wrong with the fit; empty if nothing."""
        return "" if self.estimate is None else self.estimate.diagnosis

    def log_likelihoods(self, log: TransactionLog, calendar: Calendar, *, as_of: str | dt.date) -> FloatColumn:
        """Each customer's log-likelihood of her purchases, in the model's time unit."""
        from retention._kernels.paretonbd_dynamic import log_likelihoods

        known = _known(self.recipe, log, calendar, as_of)
        return log_likelihoods(*self._at(known), known.stretches(self.recipe.time_unit_days))

    def p_alive(self, log: TransactionLog, calendar: Calendar, *, as_of: str | dt.date) -> FloatColumn:
        """Probability of still being a customer on the as-of date."""
        from retention._kernels.paretonbd_dynamic import p_alive

        known = _known(self.recipe, log, calendar, as_of)
        return p_alive(*self._at(known), known.stretches(self.recipe.time_unit_days))

    def expected_purchases(
        self,
        log: TransactionLog,
        calendar: Calendar,
        days: float,
        *,
        as_of: str | dt.date,
        discount_rate: float = 0.0,
    ) -> FloatColumn:
        """Expected purchase days in the next ``days``, given the covariates that the calendar has for them.

        With a ``discount_rate`` (per year) each is counted at its worth on the as-of date. Raises ModelError where the
        calendar ends before the horizon does: what is to come is said, or assumed in so many words, by the caller.
        """
        from retention._kernels.paretonbd_dynamic import expected

        if not (days >= 0 and math.isfinite(days)):
            raise ConfigError(f"days={days!r}", rule="a horizon is zero days or more, and finite", remedy="give days")
        if not (math.isfinite(discount_rate) and discount_rate > -1):
            raise ConfigError(
                f"discount_rate={discount_rate!r}",
                rule="a yearly rate is above -1 and finite",
                remedy="0.10 means 10 % a year",
            )
        known, unit = _known(self.recipe, log, calendar, as_of, ahead=days), self.recipe.time_unit_days
        cuts = np.unique([known.end, *known.edges[(known.edges > known.end) & (known.edges < known.end + days)]])
        widths = np.diff(np.append(cuts, known.end + days)) / unit
        week = np.searchsorted(known.edges, cuts, side="right") - 1
        ahead = known.offset[:, None] + week
        delta = math.log1p(discount_rate) / 365.0 * unit
        return expected(*self._at(known), known.stretches(unit), widths, ahead, delta)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` gives a model with exactly the same numbers."""
        return {
            "format": FORMAT,
            "model": self.name,
            "recipe": self.recipe.to_dict(),
            "purchase_params": list(self.purchase_params),
            "coefficients": list(self.coefficients),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down; what it does not know it refuses with a ModelError."""
        known = {f.name for f in fields(cls)} | {"format", "model"}
        parts = {f.name for f in fields(DynamicParetoNBD)}
        odd = sorted((set(data) ^ known) | (set(data.get("recipe", parts)) ^ parts))
        if odd or (data["format"], data["model"]) != (FORMAT, DynamicParetoNBD.NAME):
            raise ModelError(
                f"a stored model {data.get('model')!r} of format {data.get('format')!r}"
                + (f" with or without {', '.join(odd)}" if odd else ""),
                rule=f"here {DynamicParetoNBD.NAME} of format {FORMAT} is read",
                remedy="fit the model again, or read it with the release that wrote it",
            )
        prior = {name: (float(pair[0]), float(pair[1])) for name, pair in data["recipe"]["prior"].items()}
        found = data["estimate"]
        return cls(
            recipe=DynamicParetoNBD(**{**data["recipe"], "prior": prior}),
            purchase_params=tuple(float(value) for value in data["purchase_params"]),
            coefficients=tuple(float(value) for value in data["coefficients"]),
            estimate=None if found is None else Estimate.from_dict(found),
        )

    def _at(self, known: _Known) -> tuple[tuple[float, ...], FloatColumn, FloatColumn]:
        """The parameters, and the logs of the multipliers of rate and drop-out by row of the covariates."""
        split, gamma = len(self.recipe.rate), np.array(self.coefficients, dtype=np.float64)
        log_a, log_b = known.table[:, :split] @ gamma[:split], known.table[:, split:] @ gamma[split:]
        highest = float(np.abs(np.concatenate([log_a, log_b])).max(initial=0.0))
        if highest > 50:
            raise ModelError(
                f"covariates that multiply a rate by exp({highest:.0f})",
                rule="a multiplier is between exp(-50) and exp(50)",
                remedy="the calendar holds values far from those that the model was fitted to: check their unit",
            )
        return self.purchase_params, log_a, log_b


def _known(
    recipe: DynamicParetoNBD, log: TransactionLog, calendar: Calendar, as_of: str | dt.date, ahead: float = 0.0
) -> _Known:
    """A log on a day, against a calendar that must know all of it, and what is ``ahead`` days after it."""
    day = as_day(as_of)
    base = summarize(log, as_of=day, habits=False)
    today = float(np.datetime64(day, "D").astype(np.int64))
    start = float(np.datetime64(calendar.start, "D").astype(np.int64))
    # The number of a day stands for its evening, so a week begins on the evening before its first day: what may
    # happen on a day, and what does, both count in that day's week.
    edges = start - 1 + _WEEK * np.arange(calendar.weeks + 1.0)
    born = today - base.age_days
    if len(base) and born.min() < start:
        raise ModelError(
            f"a calendar from {calendar.start} for purchases from {base.first_at.min()} on",
            rule="it knows every week since the first purchase",
            remedy="let it begin earlier, or leave earlier customers out of the log",
        )
    if today + ahead > edges[-1]:
        raise ModelError(
            f"a calendar up to {calendar.end}, asked about the time up to {day}"
            + (f" and {ahead:g} days after it" if ahead else ""),
            rule="it knows every week up to the as-of date, and up to the horizon of a forecast",
            remedy="add the weeks to come with the values you plan or assume: the last ones are not carried on",
        )
    known = log.until(day)
    bought = ~(known.is_return | known.is_cancelled)
    whose = np.searchsorted(base.customer_id, known.customers.labels)[known.customers.codes[bought]]
    pairs = np.unique(np.stack([whose, known.day[bought].astype(np.int64)], axis=1), axis=0)
    repeats = pairs[1:][pairs[1:, 0] == pairs[:-1, 0]]
    table, offset = calendar.table((*recipe.rate, *recipe.dropout), base.customer_id)
    return _Known(
        base, edges, born, born + base.recency_days, today,
        repeats[:, 1] - 0.5, repeats[:, 0].astype(np.intp), table, offset,
    )  # fmt: skip


def _spread_of(table: FloatColumn, stretches: "tuple[Stretch, ...]") -> tuple[FloatColumn, FloatColumn]:
    """Mean and standard deviation of the covariates over the time that customers were watched."""
    weight = np.zeros(len(table))
    for stretch in stretches:
        np.add.at(weight, stretch.before, stretch.before_width)
        np.add.at(weight, stretch.after, stretch.after_width)
    whole = max(float(weight.sum()), 1e-300)
    center = np.einsum("r,rp->p", weight, table) / whole
    scale = np.sqrt(np.einsum("r,rp->p", weight, (table - center) ** 2) / whole)
    return center, np.where(scale > 1e-12 * (1 + np.abs(center)), scale, 1.0)


def _climb(
    slope: Any, stretches: "tuple[Stretch, ...]", start: FloatColumn, center: FloatColumn, precision: FloatColumn
) -> FloatColumn:
    """Where a quasi-Newton climb by the gradient ends, in the box that the Newton steps keep to."""
    from scipy.optimize import minimize

    count = float(sum(len(stretch.who) for stretch in stretches))

    def downhill(theta: FloatColumn) -> tuple[float, FloatColumn]:
        value, gradient = slope(theta, stretches)
        pull = precision * (theta - center)
        return -(value - float(pull @ (theta - center)) / 2) / count, -(gradient - pull) / count

    bounds = [(-13.9, 13.9)] * len(start)
    found = minimize(downhill, np.clip(start, -13.9, 13.9), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64)
