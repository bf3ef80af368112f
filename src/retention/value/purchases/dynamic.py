"""Pareto/NBD whose purchase rate and drop-out change from week to week: seasons, campaigns, what she was sent."""

import datetime as dt
import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from attrs import evolve, field, fields, frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.records.transactions import TransactionLog
from retention.value.estimate import carried_over, estimate, positive_parameters
from retention.value.margins.gammagamma import GammaGamma
from retention.value.margins.named import margin_model
from retention.value.margins.protocol import MarginModel
from retention.value.purchases.calendar import Calendar
from retention.value.purchases.covariates import names_of
from retention.value.purchases.dynamic_fitted import FittedDynamicParetoNBD
from retention.value.purchases.lives import DynamicLikelihood, Lives
from retention.value.purchases.paretonbd import ParetoNBD
from retention.value.stored import reading
from retention.value.weights import weights_of

if TYPE_CHECKING:
    from retention.value.purchases.dynamic_posterior import DynamicPosterior

__all__ = ["DynamicParetoNBD"]

_SKETCH = 512  # customers that stand for the base while a climb looks for where to start
_DOUBT = 3.0  # a coefficient of three per standard deviation of its covariate is already beyond belief


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

    rate: tuple[str, ...] = field(default=(), converter=names_of)
    dropout: tuple[str, ...] = field(default=(), converter=names_of)
    time_unit_days: float = 7.0
    prior: Mapping[str, tuple[float, float]] = field(factory=dict)
    penalty: float = 0.0
    margin: MarginModel = field(factory=GammaGamma)

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
        return ParetoNBD(time_unit_days=self.time_unit_days, prior=self.prior, penalty=self.penalty, margin=self.margin)

    def at(self, params: Mapping[str, float]) -> FittedDynamicParetoNBD:
        """The model at given parameters and coefficients, by name; times in the time unit.

        With those of the margin model it can also ``value``.
        """
        known = self.names
        money = {name: value for name, value in params.items() if name in self.margin.names}
        own = positive_parameters(
            self.name, {k: v for k, v in params.items() if k not in known[4:] and k not in money}, known[:4]
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
            margin=self.margin.at(**money) if money else None,
        )

    def fit(
        self,
        log: TransactionLog,
        calendar: Calendar,
        *,
        as_of: str | dt.date,
        weight: FloatColumn | None = None,
    ) -> FittedDynamicParetoNBD:
        """Learn parameters, coefficients and margins from a log as it was known on ``as_of``, by maximum likelihood.

        ``weight`` says how many customers each customer of the log stands for, in the order of their ids (default 1).
        Climbs by the exact gradient start at the plain fit and beside it; Newton steps finish. Standard errors come
        from differences of the exact gradient, right to about eight digits. Where the likelihood has no clear maximum
        (a covariate that never varies, two that say the same) a weak prior chooses, and ``diagnosis`` says so.

        Raises ModelError where the calendar does not know a week between the first purchase and ``as_of``.
        """
        from retention._kernels import paretonbd

        lives = Lives.of(self, log, calendar, as_of)
        static, q, w = self.static(), len(self.names) - 4, weights_of(weight, len(lives.base))
        clock = static.clock(lives.base, w)
        likelihood = DynamicLikelihood.of(self, lives, clock, w, _SKETCH)
        mean, sd, always = static.log_prior(clock)
        cells = static.cells(lives.base, w, which=False).scaled(clock)
        plain, _ = estimate(
            lambda theta: paretonbd.KERNEL.total(np.exp(theta), cells),
            model=self.name, names=self.names[:4], prior_mean=mean, prior_sd=sd, always=always,
            customers=float(w.sum()),
        )  # fmt: skip
        mean, sd, always = self.log_prior(clock)
        start = np.concatenate([plain, np.zeros(q)])
        aside = np.minimum(sd, [*sd[:4], *[1.0] * q]) / 2 * np.where(np.arange(4 + q) % 2 == 0, 1.0, -1.0)
        ends = []
        if w.sum() > 0:
            climb = partial(_climb, likelihood, center=mean, precision=always)
            places = [start, *(climb(begin, likelihood.few) for begin in (start + aside, start - aside))]
            ends = [climb(place) for place in places]
        apart: list[FloatColumn] = []
        for end in ends:
            if all(float(np.abs(end - other).max()) > 0.1 for other in apart):
                apart.append(end)
        point, found = estimate(
            likelihood.total,
            model=self.name,
            names=self.names,
            prior_mean=mean,
            prior_sd=sd,
            always=always,
            customers=float(w.sum()),
            start=start,
            begins=apart,
        )
        told = likelihood.told(point)
        slope = np.concatenate([np.exp(told[:4]), np.ones(q)])
        curvature = np.diag(always) - likelihood.total(point)[2]
        found = carried_over(found, likelihood.back, curvature=curvature, slope=slope)
        events = float(np.einsum("n,n->", w, lives.base.frequency.astype(np.float64)))
        found = evolve(
            found,
            log_likelihood=found.log_likelihood - events * math.log(clock / self.time_unit_days),
            starts=sum(float(np.abs(end - point).max()) < 0.1 for end in ends),
        )
        fitted = FittedDynamicParetoNBD(
            recipe=self,
            purchase_params=tuple(np.exp(told[:4]).tolist()),
            coefficients=tuple(told[4:].tolist()),
            estimate=found,
        )
        log_rate = fitted.log_rate(log, calendar, as_of=as_of)
        return evolve(fitted, margin=self.margin.fit(lives.base, log_rate, weight))

    def posterior(
        self,
        log: TransactionLog,
        calendar: Calendar,
        *,
        as_of: str | dt.date,
        draws: int = 1000,
        seed: int = 0,
        weight: FloatColumn | None = None,
    ) -> "DynamicPosterior":
        """Draws of parameters and coefficients, under the weak prior or the one asked for.

        As for the other models (``draw_posterior``), but each draw costs one likelihood: a thousand draws of 500
        customers take some ten seconds. Where importance sampling does not do (a handful of customers, a coefficient
        that nobody can tell) the sampler that takes over asks for some 70,000, which is minutes.

        Raises ConfigError for fewer than 100 draws, ModelError for a base without customers.
        """
        from retention.value.purchases.dynamic_posterior import sample_dynamic

        return sample_dynamic(self, log, calendar, as_of, draws, seed, weight)

    def log_prior(self, clock: float) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        """As of ``PurchaseModel.log_prior``, and of the coefficients, for covariates scaled to a deviation of one."""
        mean, sd, always = self.static().log_prior(clock)
        each = np.ones(len(self.names) - 4)
        doubt = min(_DOUBT, 1 / math.sqrt(max(self.penalty, 1e-9)))
        return (
            np.concatenate([mean, 0 * each]),
            np.concatenate([sd, doubt * each]),
            np.concatenate([always, self.penalty * each]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {f.name: getattr(self, f.name) for f in fields(type(self))}
        prior = {name: list(pair) for name, pair in self.prior.items()}
        lists = {"rate": list(self.rate), "dropout": list(self.dropout)}
        return {**plain, **lists, "prior": prior, "margin": self.margin.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The recipe that ``to_dict`` wrote down; what it does not know it refuses with a ModelError."""
        with reading("purchase model"):
            odd = sorted(set(data) ^ {f.name for f in fields(cls)})
            if odd:
                raise ModelError(
                    f"a stored {cls.NAME} with or without {', '.join(odd)}",
                    rule="a recipe is read by a release that knows all its parts",
                    remedy="read it with the release that wrote it",
                )
            prior = {name: (float(median), float(factor)) for name, (median, factor) in data["prior"].items()}
            if not all(isinstance(name, str) for name in (*data["rate"], *data["dropout"])):
                raise TypeError("names of covariates are text")
            return cls(**{**data, "prior": prior, "margin": margin_model(**data["margin"])})


def _climb(
    likelihood: DynamicLikelihood, start: FloatColumn, some: Any = None, *, center: FloatColumn, precision: FloatColumn
) -> FloatColumn:
    """Where a quasi-Newton climb by the gradient ends, in the box that the Newton steps keep to."""
    from scipy.optimize import minimize

    count = float((some or (None, likelihood.weight))[1].sum()) or 1.0

    def downhill(theta: FloatColumn) -> tuple[float, FloatColumn]:
        value, gradient = likelihood.slope(theta, some)
        pull = precision * (theta - center)
        return -(value - float(pull @ (theta - center)) / 2) / count, -(gradient - pull) / count

    bounds = [(-13.9, 13.9)] * len(start)
    found = minimize(downhill, np.clip(start, -13.9, 13.9), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64)
