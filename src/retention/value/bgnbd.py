"""How often she will come back, and what it is worth: BG/NBD purchases times gamma-gamma margins."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from attrs import asdict, evolve, field, frozen

from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn, Provenance
from retention.histories import Histories
from retention.value.estimate import Estimate, estimate, positive_parameters
from retention.value.gammagamma import FittedGammaGamma, GammaGamma, Moments
from retention.value.valuation import Valuation

__all__ = ["BGNBD", "FittedBGNBD"]

PURCHASES = ("r", "alpha", "a", "b")
MARGINS = ("p", "q", "v")

# Where the likelihood cannot tell: the middle of published fits, a factor of 4.5 around it; alpha in units of the
# median age of the base, so that the prior has no time unit of its own.
_PRIOR_MEAN = np.log([0.5, 0.25, 0.8, 2.5])
_PRIOR_SD = np.full(4, 1.5)

_POINTS = 32  # parameter points that intervals average over
_BLOCK = 65_536  # customers at a time: temporaries stay in cache and memory stays flat


@frozen(kw_only=True)
class BGNBD:
    """The recipe: BG/NBD for purchases, ``margin`` for what a purchase day brings, both by maximum likelihood.

    ``time_unit_days`` is the unit of ``alpha`` (7: weeks, as the literature prints it). Forecasts do not depend on it.
    Source: Fader, Hardie and Lee 2005, Marketing Science 24(2), 275-284.

    Example:
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> base = Histories.from_arrays(frequency=[2], recency_days=[213], age_days=[272])
        >>> model.expected_purchases(base, days=273).round(3).tolist()
        [1.226]
    """

    time_unit_days: float = field(default=7.0)
    margin: GammaGamma = field(factory=GammaGamma)

    @time_unit_days.validator
    def _check_unit(self, attribute: Any, value: float) -> None:
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(
                f"time_unit_days={value!r}", rule="a time unit is positive and finite", remedy="7 means weeks"
            )

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return "bg-nbd"

    def at(self, **params: float) -> "FittedBGNBD":
        """The model at given r, alpha, a, b; with p, q, v as well it can also ``value``.

        ``alpha`` is in the model's time unit, ``v`` in the currency of the data.
        """
        money = [name for name in MARGINS if name in params]
        values = positive_parameters(self.name, params, (*PURCHASES, *(MARGINS if money else ())))
        margin = self.margin.at(**{name: values[name] for name in MARGINS}) if money else None
        r, alpha, a, b = (values[name] for name in PURCHASES)
        return FittedBGNBD(r=r, alpha=alpha, a=a, b=b, time_unit_days=self.time_unit_days, margin=margin)

    def fit(self, histories: Histories) -> "FittedBGNBD":
        """Learn both models from a base.

        Never fails for want of data: where the likelihood has no clear maximum (a handful of customers, nobody with
        a repeat purchase, all alike) a weak prior chooses, and ``diagnosis`` and the notes say so.
        """
        from retention._kernels import bgnbd as kernel

        x = histories.frequency.astype(np.float64)
        cells = kernel.merge(x, histories.recency_days, histories.age_days)
        ages = histories.age_days[histories.age_days > 0]
        clock = float(np.median(ages)) if len(ages) else 365.0
        scaled = cells._replace(t_x=cells.t_x / clock, T=cells.T / clock)
        point, found = estimate(
            lambda theta: kernel.total(kernel.Params(*np.exp(theta)), scaled),
            model=self.name,
            names=PURCHASES,
            prior_mean=_PRIOR_MEAN,
            prior_sd=_PRIOR_SD,
            customers=len(histories),
        )
        unit = clock / self.time_unit_days
        r, alpha, a, b = (float(value) for value in np.exp(point))
        errors = dict(found.standard_errors)
        errors["alpha"] *= unit
        found = evolve(
            found,
            log_likelihood=found.log_likelihood - float(cells.weight @ cells.x) * math.log(unit),
            standard_errors=errors,
        )
        return FittedBGNBD(
            r=r,
            alpha=alpha * unit,
            a=a,
            b=b,
            time_unit_days=self.time_unit_days,
            margin=self.margin.fit(histories),
            estimate=found,
        )


@frozen(kw_only=True)
class FittedBGNBD:
    """BG/NBD with parameters (``alpha`` in units of ``time_unit_days``), and a fitted margin model if there is one."""

    r: float
    alpha: float
    a: float
    b: float
    time_unit_days: float = 7.0
    margin: FittedGammaGamma | None = None
    estimate: Estimate | None = None

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return "bg-nbd"

    @property
    def params(self) -> Mapping[str, float]:
        """r, alpha, a, b, and the margin model's p, q, v if there is one."""
        own = {name: getattr(self, name) for name in PURCHASES}
        return own if self.margin is None else {**own, **self.margin.params}

    @property
    def log_likelihood(self) -> float | None:
        """Of the purchases (times in the model's unit); None when the parameters were given."""
        return None if self.estimate is None else self.estimate.log_likelihood

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given, NaN where the data do not identify one."""
        if self.estimate is None:
            return None
        money = None if self.margin is None else self.margin.standard_errors
        return {**self.estimate.standard_errors, **(money or {})}

    @property
    def diagnosis(self) -> str:
        """What was wrong with the fits; empty if nothing."""
        own = "" if self.estimate is None else self.estimate.diagnosis
        return "; ".join(text for text in (own, "" if self.margin is None else self.margin.diagnosis) if text)

    def log_likelihoods(self, histories: Histories) -> FloatColumn:
        """Each customer's log-likelihood of her purchase times, in the model's time unit."""
        from retention._kernels import bgnbd as kernel

        return self._blocks(histories, kernel.log_likelihoods)

    def p_alive(self, histories: Histories) -> FloatColumn:
        """Probability of still being a customer; exactly 1 for frequency 0, since this model lets nobody leave before
        a repeat purchase."""
        from retention._kernels import bgnbd as kernel

        return self._blocks(histories, kernel.p_alive)

    def expected_purchases(self, histories: Histories, days: float) -> FloatColumn:
        """Expected purchase days in the next ``days``; 0 days give exactly 0."""
        return self._discounted(histories, _checked_days(days), 0.0)

    def expected_new(self, days: float) -> float:
        """Expected repeat purchases of a customer in the ``days`` after her first purchase, E[X(t)]."""
        fresh = Histories.from_arrays(frequency=[0], recency_days=[0.0], age_days=[0.0])
        return float(self.expected_purchases(fresh, days)[0])

    def value(
        self, histories: Histories, *, horizon_days: float, discount_rate: float, interval: float = 0.90
    ) -> Valuation:
        """Expected discounted margin within a horizon, and an interval for what will be realised.

        ``discount_rate`` is per year, continuous: delta = log1p(rate) / 365 a day. ``value`` is at the fitted
        parameters. The interval is a moment match, row by row: a mass at 0 for "buys nothing", and a gamma
        distribution (normal for a customer whose margins were not positive) with the exact mean and variance of
        the discounted sum given that she buys, both averaged over 32 fixed points that stand for what is not known
        about the parameters. A customer who most likely buys nothing has the interval [0, 0] around a positive
        value: that is what her future looks like. Money is in the currency of the histories.

        Raises ModelError for a model without margins, ConfigError for arguments out of range.
        """
        margin, horizon, delta = self._question(horizon_days, discount_rate, interval)
        purchases = self._discounted(histories, horizon, 0.0)
        money = margin.margin_mean(histories)
        low, high = self._interval(histories, margin, horizon, delta, interval)
        return Valuation(
            customer_id=histories.customer_id,
            p_alive=self.p_alive(histories),
            expected_purchases=purchases,
            margin_mean=money,
            expected_margin=purchases * money,
            value=self._discounted(histories, horizon, delta) * money,
            value_low=low,
            value_high=high,
            model=self.name,
            horizon_days=horizon,
            discount_rate=float(discount_rate),
            interval=float(interval),
            currency=histories.currency,
            provenance=self._provenance(histories),
        )

    def total_interval(
        self, histories: Histories, *, horizon_days: float, discount_rate: float, interval: float = 0.90
    ) -> tuple[float, float]:
        """Bounds of what these customers will bring *together*: discounted margin within the horizon.

        Chance is independent between customers, so their variances add up; doubt about the parameters is common to
        all, so its effect on the total adds up first and is squared then. The sum is taken to be gamma distributed
        (normal where losses are among it), which is right for some fifty customers and more; for a few, read
        ``value_low`` and ``value_high``. Like those, it holds if the model does: a good season is not in it.

        Raises ModelError for a model without margins, ConfigError for arguments out of range.

        Example:
            >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
            >>> base = Histories.from_arrays(
            ...     frequency=[4] * 500, recency_days=[200] * 500, age_days=[270] * 500, margin_mean=[30.0] * 500)
            >>> low, high = model.total_interval(base, horizon_days=365, discount_rate=0.10)
            >>> worth = model.value(base, horizon_days=365, discount_rate=0.10)
            >>> low < worth.total() < high, high - low < 0.1 * float((worth.value_high - worth.value_low).sum())
            (True, True)
        """
        from scipy.special import gammaincinv, ndtri

        margin, horizon, delta = self._question(horizon_days, discount_rate, interval)
        money = margin.margin_mean(histories)
        total = float(self._discounted(histories, horizon, delta) @ money)
        ahead, which, by_purchases = self._averaged(histories, horizon, delta, money)
        chance, by_margins = 0.0, np.zeros(1)
        for start in range(0, len(histories), _BLOCK):
            block = slice(start, start + _BLOCK)
            mine, rows = ahead._make(values[which[block]] for values in ahead), histories[block]
            hers = margin.moments(rows, _POINTS)
            second = mine.squares * hers.square + mine.pairs * hers.product
            chance += float(np.sum(np.maximum(second - (mine.mean * hers.mean) ** 2, 0.0)))
            by_margins = by_margins + margin.totals(rows, mine.mean, _POINTS)
        variance = chance + float(np.var(by_purchases) + np.var(by_margins))
        levels = np.array([1 - interval, 1 + interval]) / 2
        if variance <= 0:
            bounds = np.full(2, total)
        elif total > 0 and bool(np.all(money >= 0)):
            bounds = gammaincinv(total**2 / variance, levels) * variance / total
        else:
            bounds = total + math.sqrt(variance) * ndtri(levels)
        return float(bounds[0]), float(bounds[1])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` gives a model with exactly the same numbers."""
        plain = asdict(self, recurse=False)
        return {
            "model": self.name,
            **plain,
            "margin": None if self.margin is None else self.margin.to_dict(),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down."""
        if data.get("model") != "bg-nbd":
            raise ModelError(
                f"a stored model named {data.get('model')!r}",
                rule="FittedBGNBD reads what FittedBGNBD wrote",
                remedy="choose the class that wrote it",
            )
        plain = {name: value for name, value in data.items() if name != "model"}
        margin, known = plain["margin"], plain["estimate"]
        plain["margin"] = None if margin is None else FittedGammaGamma.from_dict(margin)
        plain["estimate"] = None if known is None else Estimate.from_dict(known)
        return cls(**plain)

    def _question(self, days: float, rate: float, interval: float) -> tuple[FittedGammaGamma, float, float]:
        """The margin model, the horizon in days and the discount rate a day, or one clear error."""
        if self.margin is None:
            raise ModelError(
                "value() of a bg-nbd model without margins",
                rule="value needs what a purchase day brings",
                remedy="fit the model, or give p, q and v to at(...)",
            )
        horizon = _checked_days(days, "horizon_days")
        _check_rate(rate)
        _check_interval(interval)
        return self.margin, horizon, math.log1p(rate) / 365.0

    def _blocks(self, histories: Histories, rule: Callable[..., FloatColumn]) -> FloatColumn:
        from retention._kernels import bgnbd as kernel

        params, unit = kernel.Params(self.r, self.alpha, self.a, self.b), self.time_unit_days
        out = np.empty(len(histories))
        for start in range(0, len(out), _BLOCK):
            rows = slice(start, start + _BLOCK)
            times = (histories.recency_days[rows] / unit, histories.age_days[rows] / unit)
            out[rows] = rule(params, histories.frequency[rows].astype(np.float64), *times)
        return out

    def _discounted(self, histories: Histories, days: float, delta: float) -> FloatColumn:
        from retention._kernels import bgnbd as kernel

        params, unit = kernel.Params(self.r, self.alpha, self.a, self.b), self.time_unit_days
        cells = kernel.merge(histories.frequency.astype(np.float64), histories.recency_days, histories.age_days)
        ahead = kernel.forecast(params, cells.x, cells.t_x / unit, cells.T / unit, days / unit, delta * unit)
        return ahead.mean[cells.which]

    def _interval(
        self, histories: Histories, margin: FittedGammaGamma, horizon: float, delta: float, interval: float
    ) -> tuple[FloatColumn, FloatColumn]:
        ahead, which, _ = self._averaged(histories, horizon, delta)
        low, high = np.empty(len(histories)), np.empty(len(histories))
        for start in range(0, len(low), _BLOCK):
            block = slice(start, start + _BLOCK)
            mine = ahead._make(values[which[block]] for values in ahead)
            rows = histories[block]
            lossless = (rows.margin_mean > 0) | (rows.frequency == 0)
            low[block], high[block] = _quantiles(mine, margin.moments(rows, _POINTS), lossless, interval)
        return low, high

    def _averaged(
        self, histories: Histories, horizon: float, delta: float, weights: FloatColumn | None = None
    ) -> tuple[Any, Any, FloatColumn]:
        """The forecast averaged over points that stand for the doubt about the parameters, by cell; each customer's
        cell; and at each point the sum of ``weights * mean`` (zeros without weights)."""
        from retention._kernels import bgnbd as kernel
        from retention._kernels.points import normal_points

        unit = self.time_unit_days
        draws = np.log([[self.r, self.alpha, self.a, self.b]])
        if self.estimate is not None:
            root = np.linalg.cholesky(np.asarray(self.estimate.spread))
            draws = draws + normal_points(_POINTS, 4) @ root.T
        cells = kernel.merge(histories.frequency.astype(np.float64), histories.recency_days, histories.age_days)
        weight = np.zeros(len(cells.x)) if weights is None else np.bincount(cells.which, weights, len(cells.x))
        sums, totals = [np.zeros(len(cells.x)) for _ in kernel.Forecast._fields], np.zeros(len(draws))
        for i, theta in enumerate(np.exp(np.clip(draws, -14.0, 25.0)).tolist()):
            ahead = kernel.forecast(
                kernel.Params(*theta), cells.x, cells.t_x / unit, cells.T / unit, horizon / unit, delta * unit,
                second=True, nodes=24, beta_nodes=96,
            )  # fmt: skip
            totals[i] = ahead.mean @ weight
            for sum_, values in zip(sums, ahead, strict=True):
                sum_ += values / len(draws)
        return kernel.Forecast(*sums), cells.which, totals

    def _provenance(self, histories: Histories) -> Provenance:
        from importlib.metadata import PackageNotFoundError, version

        try:
            release: str | None = version("retention")
        except PackageNotFoundError:
            release = None
        margin = self.margin
        notes = [*histories.provenance.notes, *(self.estimate.notes if self.estimate else ())]
        notes += margin.estimate.notes if margin is not None and margin.estimate is not None else ()
        if self.estimate is None:
            notes.append("bg-nbd: parameters were given, not fitted: intervals hold chance alone, no parameter doubt")
        known = self.standard_errors or {}
        return Provenance(
            as_of=histories.provenance.as_of,
            data=histories.provenance.data,
            model=self.name,
            parameters={
                **self.params,
                "time_unit_days": self.time_unit_days,
                "log_likelihood": self.log_likelihood,
                "standard_errors": {name: None if math.isnan(error) else error for name, error in known.items()},
            },
            version=release,
            notes=tuple(dict.fromkeys(notes)),
        )


def _quantiles(ahead: Any, money: Moments, lossless: Any, interval: float) -> tuple[FloatColumn, FloatColumn]:
    """The two bounds of a mixture: 0 if she buys nothing, else gamma or normal with matched moments."""
    from scipy.special import gammaincinv, ndtr, ndtri

    buys = np.maximum(ahead.any, 1e-100)
    none = 1 - buys
    mean = ahead.mean * money.mean
    second = ahead.squares * money.square + ahead.pairs * money.product
    m = mean / buys
    variance = np.maximum(second / buys - m**2, 1e-12 * m**2)
    s = np.sqrt(variance)
    gamma = lossless & (m > 0) & (variance > 0)
    shape = np.divide(m**2, variance, out=np.ones_like(m), where=gamma)
    below = np.where(m < 0, 1.0, 0.0)  # of the money, given that she buys: the share below zero
    below[gamma] = 0.0
    spread = ~gamma & (s > 0)
    below[spread] = ndtr(-m[spread] / s[spread])
    bounds = []
    for level in ((1 - interval) / 2, (1 + interval) / 2):
        loss = buys * below
        rank = np.where(level < loss, level / buys, (level - none) / buys)
        silent = (level >= loss) & (level <= loss + none)
        rank = np.clip(rank, 1e-300, 1 - 1e-16)
        bound = m.copy()
        draw = gamma & ~silent
        bound[draw] = gammaincinv(shape[draw], rank[draw]) * m[draw] / shape[draw]
        draw = spread & ~silent
        bound[draw] = m[draw] + s[draw] * ndtri(rank[draw])
        bounds.append(np.where(silent, 0.0, bound))
    return bounds[0], bounds[1]


def _checked_days(days: float, name: str = "days") -> float:
    if not (math.isfinite(days) and days >= 0):
        raise ConfigError(f"{name}={days!r}", rule="a horizon is zero days or more, and finite", remedy="give days")
    return float(days)


def _check_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > -1):
        raise ConfigError(
            f"discount_rate={rate!r}", rule="a yearly rate is above -1 and finite", remedy="0.10 means 10 % a year"
        )


def _check_interval(interval: float) -> None:
    if not 0 < interval < 1:
        raise ConfigError(
            f"interval={interval!r}", rule="an interval holds a share between 0 and 1", remedy="0.90 means 90 %"
        )
