"""What one purchase day brings where margins may be negative: a normal-normal credibility model."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from attrs import asdict, evolve, frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.estimate import estimate, positive_parameters
from retention.value.margins.days import own_days, sketch
from retention.value.margins.fitted import FittedOnDays
from retention.value.margins.protocol import Moments
from retention.value.margins.slope import rates_seen, split_slope
from retention.value.weights import weights_of

__all__ = ["Credibility", "FittedCredibility"]

# Where the likelihood cannot tell, in units of the root mean square of the data's own means: half of a margin within
# and half between customers, about a factor of 4 around it. The last is the slope by standard deviations of log-rate.
_PRIOR_LOGS = math.log(0.5)
_PRIOR_SD = np.array([1.0, 1.5, 1.5, 0.5])
_SAME = 1e-4  # of a margin: days that differ by less are the same, and a likelihood must not rise for ever on them


@frozen(kw_only=True)
class Credibility:
    """The recipe: every purchase day is normal around its customer's mean, the means are normal around the base's.

    Returns and losses are margins like any others, so sums over a base are not biased, and her expected margin is her
    own mean drawn towards the base's: the more, the fewer her days and the more days differ within a customer.
    ``by_rate`` draws her towards ``mean + slope d`` instead, what customers who come as often as she does bring.
    ``first`` also reads each customer's first purchase day; then everyone is fitted on, and the base's mean is of all
    customers, not of those who came back. It uses ``margin_squares`` where histories have it; means alone tell within
    from between only by how means of few days scatter more than means of many.

    Money is skewed and this model's noise is not: means and their order are what it is for, not the shape of a
    distribution. Source: Bühlmann and Straub 1970; maximum likelihood instead of their estimators of moments.

    Example:
        >>> fitted = Credibility().at(mean=35.0, between=20.0, within=30.0)
        >>> base = Histories.from_arrays(
        ...     frequency=[2, 0, 2], recency_days=[213, 0, 9], age_days=[272, 272, 272], margin_mean=[22.35, 0, -10])
        >>> fitted.margin_mean(base).round(1).tolist()
        [29.0, 35.0, 13.8]
    """

    first: bool = False
    by_rate: bool = False

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return "credibility"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that ``at`` takes; slope and log_rate_mean may be left out."""
        return ("mean", "between", "within", "slope", "log_rate_mean")

    def at(self, **params: float) -> "FittedCredibility":
        """The model at a given mean and standard deviations between and within customers, in the data's currency."""
        given, rates = split_slope(self.name, params)
        mean = given.pop("mean", None)
        if mean is None or not math.isfinite(mean):
            raise ModelError(
                f"credibility at mean={mean!r}", rule="the mean is a finite number", remedy="give the base's mean"
            )
        values = positive_parameters(self.name, given, ("between", "within"))
        return FittedCredibility(
            mean=float(mean), between=values["between"], within=values["within"], first=self.first, rates=rates
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``margin_model(**data)`` is the same recipe."""
        return {"name": self.name, **asdict(self)}

    def fit(
        self, histories: Histories, log_rate: FloatColumn | None = None, weight: FloatColumn | None = None
    ) -> "FittedCredibility":
        """Fit to the customers with a repeat purchase (with ``first`` to all), by maximum likelihood.

        Edge cases, each told in the notes: without any, the mean margin of all purchase days stands in; where the
        data do not tell within from between (every customer known by the mean of equally many days), or show no
        difference at all, a weak prior chooses.
        """
        from retention._kernels import credibility as kernel

        days, w = own_days(histories, first=self.first), weights_of(weight, len(histories))
        seen = (days.number > 0) & (w > 0)
        known, notes = rates_seen(self, log_rate, seen, w)
        rows, mine = kernel.Days(*(values[seen] for values in days)), w[seen]
        customers = float(mine.sum())
        fallback = 0.0
        if not customers and np.any(w > 0):
            fallback = float(np.einsum("n,n->", w, histories.margin) / np.einsum("n,n->", w, histories.frequency + 1.0))
            notes += ("credibility: no repeat buyer; the mean margin of all purchase days stands in",)
        elif not customers:
            notes += ("credibility: no customers, so no margin is known: values are 0",)
        scale = math.sqrt(float(np.average(rows.mean**2, weights=mine))) if customers else abs(fallback)
        scale = scale or 1.0
        rows = rows._replace(mean=rows.mean / scale, squares=rows.squares / scale**2)
        contrasts, apart = float(np.einsum("n,n->", mine, rows.free)), float(np.einsum("n,n->", mine, rows.squares))
        if contrasts and apart < contrasts * _SAME**2:
            rows = rows._replace(squares=rows.free * _SAME**2)
            notes += (f"credibility: a customer's days do not differ; they are taken to by {_SAME:g} of a margin",)
        d, spread = (None, 1.0) if known is None else (known[0].away(log_rate, len(w))[seen] / known[1], known[1])
        names = ("mean", "between", "within", "slope")[: 3 if d is None else 4]
        level = float(np.average(rows.mean, weights=mine)) if customers else fallback / scale

        def objective(some: Any, weight: FloatColumn) -> Any:
            few, away = kernel.Days(*(values[some] for values in rows)), None if d is None else d[some]
            return lambda theta: kernel.total(_params(theta), few, away, weight)

        point, found = estimate(
            objective(slice(None), mine),
            model=self.name,
            names=names,
            prior_mean=np.array([level, _PRIOR_LOGS, _PRIOR_LOGS, 0.0])[: len(names)],
            prior_sd=_PRIOR_SD[: len(names)],
            customers=customers,
            sketch=sketch(objective, rows.n, rows.mean, mine),
        )
        at = _params(point)
        units = {"mean": scale * math.exp(-point[0]), "between": scale, "within": scale}
        rates = None
        if known is not None:
            rates = evolve(known[0], slope=at.slope * scale / spread)
            units["slope"] = scale / spread * math.exp(-point[3])  # it was taken for a log-parameter, like the mean
        errors = {name: error * units[name] for name, error in found.standard_errors.items()}
        if not contrasts and len(np.unique(rows.n)) < 2:
            # Only between^2 + within^2 / n is known: a curved ridge, which locally looks like a maximum.
            errors |= {"between": math.nan, "within": math.nan}
        found = evolve(
            found,
            log_likelihood=found.log_likelihood - (customers + contrasts) * math.log(scale),
            standard_errors=errors,
        )
        return FittedCredibility(
            mean=at.mean * scale,
            between=at.between * scale,
            within=at.within * scale,
            first=self.first,
            rates=rates,
            scale=scale,
            rate_spread=spread,
            estimate=found.with_notes(*notes),
        )


@frozen(kw_only=True)
class FittedCredibility(FittedOnDays):
    """Credibility with parameters. The expected margin of a customer's purchase day is

    ``(k * base + n * hers) / (k + n)`` with ``k = (within / between)^2``, her own mean of n days drawn towards the
    mean of the base (of those who come as often as she does, if margins go with rates). ``scale`` is the unit of money
    in which ``estimate.spread`` is told: its order is mean, log between, log within, slope.
    """

    NAME: ClassVar[str] = "credibility"
    LEADING: ClassVar = ("mean", "between", "within")
    POSITIVE: ClassVar = ("between", "within")

    mean: float
    between: float
    within: float
    scale: float = 1.0

    @property
    def params(self) -> Mapping[str, float]:
        """In the currency of the data; slope and mean log-rate if margins go with rates."""
        return self._with_rates({"mean": self.mean, "between": self.between, "within": self.within})

    @property
    def population_mean(self) -> float:
        """Mean margin per purchase day over customers, at the mean log-rate."""
        return self.mean

    def log_likelihoods(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Log density of each customer's mean margin; 0 where she shows none."""
        from retention._kernels import credibility as kernel

        hers, out = self._customers(histories, log_rate), np.zeros(len(histories))
        seen = hers.n > 0
        out[seen] = kernel.log_densities(self._at(), hers.n[seen], hers.mean[seen], hers.away[seen])
        return out

    def margin_mean(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Expected margin of one of each customer's future purchase days."""
        from retention._kernels import credibility as kernel

        hers = self._customers(histories, log_rate)
        return kernel.posterior(self._at(), hers.n, hers.mean, hers.away)[0]

    def moments(self, histories: Histories, points: int, log_rate: FloatColumn | None = None) -> Moments:
        """First and second moments of future margins, averaged over what is not known about the parameters."""
        from retention._kernels import credibility as kernel

        hers = self._customers(histories, log_rate)
        mean, square, product = np.zeros((3, len(histories)))
        draws = self._draws(points)
        for draw in draws:
            first, variance = kernel.posterior(draw, hers.n, hers.mean, hers.away)
            mean += first / len(draws)
            product += (first**2 + variance) / len(draws)
            square += (first**2 + variance + draw.within**2) / len(draws)
        return Moments(mean, square, product)

    def draw_means(
        self, histories: Histories, size: int, rng: np.random.Generator, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        """Draws of each customer's own mean margin, (size, customers): normal, a row a point of the doubt."""
        from retention._kernels import credibility as kernel

        hers = self._customers(histories, log_rate)
        out = np.empty((size, len(histories)))
        for row in out:
            mean, variance = kernel.posterior(self._drawn(rng), hers.n, hers.mean, hers.away)
            row[:] = mean + np.sqrt(variance) * rng.standard_normal(len(row))
        return out

    def draw_sums(self, own_means: FloatColumn, counts: FloatColumn, rng: np.random.Generator) -> FloatColumn:
        """A draw of the margin of ``counts`` purchase days together: normal.

        The deviation between days is drawn from the doubt about it, once a row.
        """
        within = self._varied(self.within, 2, counts, rng)
        return np.asarray(counts * own_means + within * np.sqrt(counts) * rng.standard_normal(np.shape(counts)))

    def lossless(self, histories: Histories) -> Any:
        """Nobody's: margins are normal."""
        return np.zeros(len(histories), dtype=bool)

    def totals(
        self, histories: Histories, weights: FloatColumn, points: int, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        """The sum of ``weights * margin_mean`` at each of the points that stand for what is not known."""
        from retention._kernels import credibility as kernel

        hers = self._customers(histories, log_rate)
        firsts = (kernel.posterior(draw, hers.n, hers.mean, hers.away)[0] for draw in self._draws(points))
        return np.array([float(np.einsum("n,n->", first, weights)) for first in firsts])

    def _fitted_to(
        self, histories: Histories, log_rate: FloatColumn | None, weight: FloatColumn
    ) -> tuple[Callable[[FloatColumn], float], FloatColumn, FloatColumn]:
        from retention._kernels import credibility as kernel

        hers = self._customers(histories, log_rate)
        days, seen = own_days(histories, first=self.first), (hers.n > 0) & (weight > 0)
        rows = kernel.Days(*(values[seen] for values in days))
        rows = rows._replace(mean=rows.mean / self.scale, squares=rows.squares / self.scale**2)
        away, mine = hers.away[seen] / self.rate_spread, weight[seen]
        slope = [] if self.rates is None else [self.rates.slope * self.rate_spread / self.scale]
        logs = np.log([self.between / self.scale, self.within / self.scale])
        point = np.array([self.mean / self.scale, *logs, *slope])
        return lambda theta: float(kernel.total(_params(theta), rows, away, mine)[0]), point, _PRIOR_SD

    def _at(self) -> Any:
        from retention._kernels import credibility as kernel

        return kernel.Params(self.mean, self.between, self.within, self._slope)

    def _customers(self, histories: Histories, log_rate: FloatColumn | None) -> "_Customers":
        days = own_days(histories, first=self.first)
        return _Customers(days.number, days.mean, self._away(log_rate, len(histories)))

    def _draws(self, points: int) -> list[Any]:
        """The fitted values if they were given, else points spread like the doubt about them."""
        from retention._kernels.points import normal_points

        if self.estimate is None:
            return [self._at()]
        return [self._moved(point) for point in normal_points(points, len(self.estimate.spread))]

    def _drawn(self, rng: np.random.Generator) -> Any:
        """One point drawn from the doubt about the parameters."""
        return self._at() if self.estimate is None else self._moved(rng.standard_normal(len(self.estimate.spread)))

    def _moved(self, normal: FloatColumn) -> Any:
        """The parameters that many standard deviations away from the fitted ones.

        No deviation moves by more than a factor of 4.5: one far out in the tail of an unsure fit must not decide.
        """
        from retention._kernels import credibility as kernel

        assert self.estimate is not None
        moves = np.linalg.cholesky(np.asarray(self.estimate.spread)) @ normal
        between, within = np.exp(np.clip(moves[1:3], -1.5, 1.5)).tolist()
        slope = self._slope if self.rates is None else self._slope + float(moves[3]) * self.scale / self.rate_spread
        mean = self.mean + float(moves[0]) * self.scale
        return kernel.Params(mean, self.between * between, self.within * within, slope)


class _Customers(NamedTuple):
    """Customers as the model sees them: days, their mean, and how far her log-rate lies above the mean one."""

    n: FloatColumn
    mean: FloatColumn
    away: FloatColumn


def _params(theta: FloatColumn) -> Any:
    from retention._kernels import credibility as kernel

    slope = float(theta[3]) if len(theta) > 3 else 0.0
    return kernel.Params(float(theta[0]), math.exp(theta[1]), math.exp(theta[2]), slope)
