"""What one purchase day brings: the gamma-gamma model of margins, and what to do where it cannot speak."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from attrs import asdict, evolve, frozen

from retention.errors import ModelError
from retention.frames.table import BoolColumn, FloatColumn
from retention.histories import Histories
from retention.value.margins.protocol import (
    Moments,
    OwnDays,
    RateSlope,
    a_few,
    laplace_k_hat,
    own_days,
    plain_fields,
    rates_seen,
    split_slope,
    weights_of,
)
from retention.value.purchases.estimate import Estimate, estimate, positive_parameters

__all__ = ["GammaGamma", "FittedGammaGamma"]

# Where the likelihood cannot tell: about a factor of 4 around a base in which single purchases vary by half and
# customers by as much, with a mean of exactly 1 in units of the data's own mean: p v / (q - 1) = 4 * 0.5 / 2. The
# last is the slope by standard deviations of the log-rate.
_PRIOR_MEAN = np.array([*np.log([4.0, 3.0, 0.5]), 0.0])
_PRIOR_SD = np.array([1.5, 1.0, 1.5, 0.5])


@frozen(kw_only=True)
class GammaGamma:
    """The recipe: fit p, q, v to the mean margins of repeat buyers by maximum likelihood.

    ``first`` also reads the margin of each customer's first purchase day, so that everyone is fitted on; the
    literature does not, because first purchases may differ from later ones (a trial, a welcome price).
    Source: Fader and Hardie 2013, "The Gamma-Gamma Model of Monetary Value". It supposes that what a customer spends
    does not depend on how often she comes; ``by_rate`` takes that back: v is v exp(slope d) for a customer whose
    log-rate lies d above the mean one, and her expected margin moves by the same factor.

    Example:
        >>> fitted = GammaGamma().at(p=6.25, q=3.74, v=15.44)
        >>> base = Histories.from_arrays(
        ...     frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272], margin_mean=[22.35, 0])
        >>> fitted.margin_mean(base).round(1).tolist()
        [24.7, 35.2]
    """

    first: bool = False
    by_rate: bool = False

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return "gamma-gamma"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that ``at`` takes; slope and log_rate_mean may be left out."""
        return ("p", "q", "v", "slope", "log_rate_mean")

    def at(self, **params: float) -> "FittedGammaGamma":
        """The model at given p, q, v (v in the currency of the data; q > 1, or there is no mean)."""
        given, rates = split_slope(self.name, params)
        values = positive_parameters(self.name, given, ("p", "q", "v"))
        if values["q"] <= 1:
            raise ModelError(
                f"gamma-gamma at q={values['q']!r}", rule="the mean exists only for q > 1", remedy="give q > 1"
            )
        return FittedGammaGamma(p=values["p"], q=values["q"], v=values["v"], first=self.first, rates=rates)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``margin_model(**data)`` is the same recipe."""
        return {"name": self.name, **asdict(self)}

    def fit(
        self, histories: Histories, log_rate: FloatColumn | None = None, weight: FloatColumn | None = None
    ) -> "FittedGammaGamma":
        """Fit to the customers with a repeat purchase and a positive mean margin.

        Edge cases, each told in the notes: repeat buyers with a mean of zero or less are left out (the model has no
        place for them) but keep their weight in the mean of the base; without any positive one, the scale comes
        from all purchases and the rest from a weak prior; where the fitted mean is infinite, above every mean seen
        or extrapolated from a tail without a variance (q of 2 or less), the mean of the repeat buyers' means stands
        in for it, each weighted by her credibility x / (k + x), k = 1 / p (Bühlmann and Straub 1970). Weights by
        purchases alone would let the frequent decide what the rare, who resemble the one-time buyers, bring.

        The means of many and of few days are all that the likelihood sees; where histories tell how a customer's own
        days differ and that gives another p, by a factor of 2, the notes say so.
        """
        from retention._kernels import gammagamma as kernel

        days, w = own_days(histories, first=self.first), weights_of(weight, len(histories))
        seen = (days.number > 0) & (w > 0)
        good = seen & (days.mean > 0)
        x, z, w_good = days.number[good], days.mean[good], w[good]
        losses = _losses(days, seen & ~good, w, float(w_good.sum()))
        if not len(z):
            return self._without_a_fit(histories, w, losses)

        scale = float(np.average(z, weights=w_good))
        known, notes = rates_seen(self, log_rate, good, w)
        notes = losses.notes + notes
        d, spread = (None, 1.0) if known is None else (known[0].away(log_rate, len(w))[good] / known[1], known[1])
        many = 3 if d is None else 4
        rows = (x, z / scale, d, w_good)
        point, found = estimate(
            lambda theta: kernel.total(_params(theta), *rows),
            model=self.name,
            names=("p", "q", "v", "slope")[:many],
            prior_mean=_PRIOR_MEAN[:many],
            prior_sd=_PRIOR_SD[:many],
            customers=float(w_good.sum()),
            sketch=_sketch(kernel.total, *rows),
        )
        p, q, v = (float(value) for value in np.exp(point[:3]))
        errors = dict(found.standard_errors)
        errors["v"] *= scale
        rates = None
        if known is not None:
            rates = evolve(known[0], slope=float(point[3]) / spread)
            errors["slope"] *= math.exp(-point[3]) / spread  # the estimate took it for a log-parameter
        log_likelihood = found.log_likelihood - float(w_good.sum()) * math.log(scale)
        found = evolve(found, log_likelihood=log_likelihood, standard_errors=errors)

        stand_in, error = None, 0.0
        level = z if d is None else z * np.exp(-point[3] * d)  # as if all came equally often
        if len(z) > 1 and (q <= 2 or p * v / (q - 1) * scale > float(level.max())):
            credible = w_good * x / (1 / p + x)
            stand_in = float(np.average(level, weights=credible))
            error = _error_of_mean(level, credible, w_good)
            notes += (
                f"gamma-gamma: the fitted mean is not finite, above all data or rests on an extrapolated tail "
                f"(q = {q:.3g}); the mean margin of the data stands in for it",
            )
        inner = _shape_of_days(days, good, w)
        if inner is not None and not 0.5 < inner / p < 2:
            notes += (
                f"gamma-gamma: a customer's days differ among themselves as with p = {inner:.3g}, not the fitted "
                f"{p:.3g}: how much her own mean counts rests on a shape that the days contradict",
            )
        return FittedGammaGamma(
            p=p,
            q=q,
            v=v * scale,
            first=self.first,
            rates=rates,
            rate_spread=spread,
            stand_in=stand_in,
            stand_in_error=error,
            loss_share=losses.share,
            loss_mean=losses.mean,
            loss_error=losses.error(p * v * scale / (q - 1) if stand_in is None else stand_in),
            estimate=found.with_notes(*notes),
        )

    def _without_a_fit(self, histories: Histories, w: FloatColumn, losses: "_Losses") -> "FittedGammaGamma":
        """Nobody has a positive mean: all purchase days together say what one brings, the prior says the rest."""
        if not np.any(w > 0):
            notes: tuple[str, ...] = ("gamma-gamma: no customers, so no margin is known: values are 0",)
            mean = error = 0.0
        else:
            days = histories.frequency + 1.0
            mean = float(np.einsum("n,n->", w, histories.margin) / np.einsum("n,n->", w, days))
            apart = histories.margin - mean * days
            error = math.sqrt(float(np.einsum("n,n->", w, apart**2))) / float(np.einsum("n,n->", w, days))
            if mean == 0.0 and losses.customers:
                mean, error = losses.mean, losses.spread / math.sqrt(losses.customers)
            where = "no repeat buyer has a positive mean margin; the mean margin of all purchase days stands in"
            notes = (*losses.notes, f"gamma-gamma: {where}")
        # Prior values at a mean of 1, in the currency of the data: the intervals must not feel the unit.
        p, q, v = np.exp(_PRIOR_MEAN[:3])
        nothing = Estimate(
            customers=0,
            log_likelihood=0.0,
            standard_errors=dict.fromkeys(("p", "q", "v"), math.nan),
            spread=np.diag(_PRIOR_SD[:3] ** 2),
            gradient_norm=0.0,
            converged=False,
            diagnosis="gamma-gamma: no positive mean margins to fit on",
            notes=notes,
        )
        return FittedGammaGamma(
            p=float(p),
            q=float(q),
            v=float(v) * (abs(mean) or 1.0),
            first=self.first,
            stand_in=mean,
            stand_in_error=error,
            estimate=nothing,
        )


@frozen(kw_only=True)
class FittedGammaGamma:
    """Gamma-gamma with parameters. The expected margin of a customer's purchase day is a credibility mean:

    ``(k * base + x * hers) / (k + x)`` with ``k = (q - 1) / p``, her own mean of x repeat days drawn towards the mean
    of the base. ``loss_share`` of the repeat buyers, with mean ``loss_mean``, had a mean of zero or less: the model
    was not fitted on them, but the base's mean counts them, and they get the same credibility mean from their own
    losses (below zero if those weigh enough). ``stand_in`` replaces p v / (q - 1) where that was no usable number;
    ``stand_in_error`` is its standard error, and ``loss_error`` that which the losses add to the mean of the base.
    ``rate_spread`` is the unit of log-rate in which ``estimate.spread`` is told (order: log p, log q, log v, slope).
    """

    p: float
    q: float
    v: float
    first: bool = False
    rates: RateSlope | None = None
    rate_spread: float = 1.0
    stand_in: float | None = None
    stand_in_error: float = 0.0
    loss_share: float = 0.0
    loss_mean: float = 0.0
    loss_error: float = 0.0
    estimate: Estimate | None = None

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return "gamma-gamma"

    @property
    def params(self) -> Mapping[str, float]:
        """p and q have no unit; v is in the currency of the data. Slope and mean log-rate if margins go with rates."""
        own = {"p": self.p, "q": self.q, "v": self.v}
        return own if self.rates is None else {**own, "slope": self.rates.slope, "log_rate_mean": self.rates.center}

    @property
    def log_likelihood(self) -> float | None:
        """Of the customers fitted on (density of their mean margins); None when the parameters were given."""
        return None if self.estimate is None else self.estimate.log_likelihood

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given, NaN where not identified."""
        return None if self.estimate is None else self.estimate.standard_errors

    @property
    def diagnosis(self) -> str:
        """What was wrong with the fit; empty if nothing."""
        return "" if self.estimate is None else self.estimate.diagnosis

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the values should know: who was not fitted on, and what stands in for what."""
        return () if self.estimate is None else self.estimate.notes

    @property
    def buyer_mean(self) -> float:
        """Mean margin per purchase day over customers whose margins are positive, at the mean log-rate."""
        return self.p * self.v / (self.q - 1) if self.stand_in is None else self.stand_in

    @property
    def population_mean(self) -> float:
        """Mean margin per purchase day over all customers: what one without repeat purchases is expected to bring."""
        return (1 - self.loss_share) * self.buyer_mean + self.loss_share * self.loss_mean

    @property
    def _k(self) -> float:
        return (self.q - 1 if self.stand_in is None else 1.0) / self.p

    def log_likelihoods(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Log density of each customer's mean margin; 0 where she says nothing (no repeat, or a mean not positive)."""
        from retention._kernels import gammagamma as kernel

        days = own_days(histories, first=self.first)
        good = (days.number > 0) & (days.mean > 0)
        d = None if self.rates is None else self._away(log_rate, histories)[good]
        params = kernel.Params(self.p, self.q, self.v, 0.0 if self.rates is None else self.rates.slope)
        out = np.zeros(len(histories))
        out[good] = kernel.log_likelihoods(params, days.number[good], days.mean[good], d)
        return out

    def margin_mean(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Expected margin of one of each customer's future purchase days."""
        return self._means(self._customers(histories, log_rate))

    def moments(self, histories: Histories, points: int, log_rate: FloatColumn | None = None) -> Moments:
        """First and second moments of future margins, averaged over what is not known about the parameters.

        Moments that do not exist (a posterior shape of 2 or less) are taken at a shape of 2.5.
        """
        hers = self._customers(histories, log_rate)
        x = hers.days.number
        center = self._means(hers)
        mean, square, product = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
        draws = self._draws(points)
        for draw in draws:
            first = _first(draw, hers, center)
            tail = np.maximum(draw.q + draw.p * x, 2.5)
            shared = first**2 * (tail - 1) / (tail - 2)
            mean += first / len(draws)
            product += shared / len(draws)
            square += shared * (draw.p + 1) / draw.p / len(draws)
        if self.stand_in is not None:
            buyers = self._buyers(hers, center)
            ratio = np.divide(buyers, mean, out=np.zeros(len(x)), where=mean > 0)
            mean, square, product = mean * ratio, square * ratio**2, product * ratio**2
        # The same population's variances, within and between customers, where the gamma cannot hold: losses.
        q_floor = max(self.q, 2.5)
        within = self.buyer_mean**2 * (q_floor - 1) / (self.p * (q_floor - 2))
        between = self.buyer_mean**2 / (q_floor - 2)
        s, loss = self.loss_share, self.loss_mean**2 + between
        mean = np.where(hers.fresh, (1 - s) * mean + s * self.loss_mean, mean)
        product = np.where(hers.fresh, (1 - s) * product + s * loss, product)
        square = np.where(hers.fresh, (1 - s) * square + s * (loss + within), square)
        left = between * self._k / (self._k + x)
        mean = np.where(hers.losing, center, mean)
        product = np.where(hers.losing, center**2 + left, product)
        square = np.where(hers.losing, center**2 + left + within, square)
        doubt = self._doubt(hers) ** 2
        return Moments(mean, square + doubt, product + doubt)

    def lossless(self, histories: Histories) -> Any:
        """Whose margins are gamma: repeat buyers who earned something, and the others if nobody made a loss."""
        return np.where(histories.frequency > 0, histories.margin_mean > 0, self.loss_share == 0)

    def totals(
        self, histories: Histories, weights: FloatColumn, points: int, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        """The sum of ``weights * margin_mean`` at each of the points that stand for what is not known.

        Beside p, q, v and the slope that is the error of a mean that stands in, and of the losses.
        """
        hers = self._customers(histories, log_rate)
        center, doubt, draws = self._means(hers), self._doubt(hers), self._draws(points)
        firsts = np.stack([_first(draw, hers, center) for draw in draws])
        if self.stand_in is not None:
            mean = firsts.mean(axis=0)
            firsts *= np.divide(self._buyers(hers, center), mean, out=np.zeros_like(mean), where=mean > 0)
        s = self.loss_share
        firsts = np.where(hers.fresh, (1 - s) * firsts + s * self.loss_mean, np.where(hers.losing, center, firsts))
        shifts = np.array([draw.shift for draw in draws])
        return np.asarray(np.einsum("jn,n->j", firsts, weights) + shifts * np.einsum("n,n->", doubt, weights))

    def k_hat(
        self,
        histories: Histories,
        log_rate: FloatColumn | None = None,
        weight: FloatColumn | None = None,
        *,
        draws: int = 1_000,
        seed: int = 0,
    ) -> float:
        """Whether the normal spread of the log-parameters may stand for the doubt about them, on the data fitted to.

        The Pareto shape of the importance ratios of posterior to normal: below 0.5 good, above 0.7 the intervals that
        rest on it are rough; itself uncertain by about 0.15 at a thousand draws. Infinite for given parameters, which
        have no doubt to be checked.
        """
        from retention._kernels import gammagamma as kernel

        if self.estimate is None or not self.estimate.customers:
            return math.inf
        hers, w = self._customers(histories, log_rate), weights_of(weight, len(histories))
        good = ~hers.fresh & ~hers.losing & (w > 0)
        rows = (hers.days.number[good], hers.days.mean[good], hers.away[good] / self.rate_spread)
        slope = [] if self.rates is None else [self.rates.slope * self.rate_spread]
        return laplace_k_hat(
            lambda theta: float(np.einsum("n,n->", w[good], kernel.log_likelihoods(_params(theta), *rows))),
            np.array([*np.log([self.p, self.q, self.v]), *slope]),
            self.estimate,
            _PRIOR_SD,
            draws=draws,
            seed=seed,
        )

    def _away(self, log_rate: FloatColumn | None, histories: Histories) -> FloatColumn:
        return np.zeros(len(histories)) if self.rates is None else self.rates.away(log_rate, len(histories))

    def _customers(self, histories: Histories, log_rate: FloatColumn | None) -> "_Customers":
        days, d = own_days(histories, first=self.first), self._away(log_rate, histories)
        fresh = days.number == 0
        lift = np.exp(d * (0.0 if self.rates is None else self.rates.slope))
        return _Customers(days, d, lift, fresh, ~fresh & (days.mean <= 0))

    def _means(self, hers: "_Customers") -> FloatColumn:
        x, s = hers.days.number, self.loss_share
        buyers = self.buyer_mean * hers.lift
        base = np.where(hers.fresh | hers.losing, (1 - s) * buyers + s * self.loss_mean, buyers)
        return np.asarray(np.where(hers.fresh, base, (self._k * base + x * hers.days.mean) / (self._k + x)))

    def _buyers(self, hers: "_Customers", center: FloatColumn) -> FloatColumn:
        """Expected margins, of the fresh as if they were no losers."""
        return np.where(hers.fresh, self.buyer_mean * hers.lift, center)

    def _doubt(self, hers: "_Customers") -> FloatColumn:
        """Standard error of each customer's expected margin, from means that were not fitted but counted."""
        x, s = hers.days.number, self.loss_share
        unfitted = self.stand_in_error * hers.lift
        base = np.where(hers.fresh | hers.losing, np.hypot((1 - s) * unfitted, self.loss_error), unfitted)
        return np.asarray(base * self._k / (self._k + x))

    def _draws(self, points: int) -> list["_Draw"]:
        """The fitted values if they were given, else points spread like the doubt about them."""
        from retention._kernels.points import normal_points

        slope = 0.0 if self.rates is None else self.rates.slope
        if self.estimate is None:
            return [_Draw(self.p, self.q, self.v, slope, 0.0)]
        root = np.linalg.cholesky(np.asarray(self.estimate.spread))
        normal = normal_points(points, len(root) + 1)
        moves = normal[:, :-1] @ root.T
        logs = np.clip(np.log([self.p, self.q, self.v]) + moves[:, :3], -200, 200)
        slopes = np.full(points, slope)
        if self.rates is not None:
            slopes = slope + moves[:, 3] / self.rate_spread
        table = np.column_stack([np.exp(logs), slopes, normal[:, -1]])
        return [_Draw(*row) for row in table.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = asdict(self, recurse=False)
        return {
            "margin": self.name,
            **plain,
            "rates": None if self.rates is None else asdict(self.rates),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down."""
        return cls(**plain_fields(data, "gamma-gamma"))


class _Customers(NamedTuple):
    """Customers as the model sees them: ``fresh`` ones have shown nothing, ``losing`` ones no gain."""

    days: OwnDays
    away: FloatColumn
    lift: FloatColumn
    fresh: BoolColumn
    losing: BoolColumn


class _Draw(NamedTuple):
    """One point of what is not known; ``shift`` is by how many errors the means that were counted are off."""

    p: float
    q: float
    v: float
    slope: float
    shift: float


class _Losses(NamedTuple):
    """The customers with a mean of zero or less: how many, which share, their mean and standard deviation."""

    customers: float
    share: float
    mean: float
    spread: float
    notes: tuple[str, ...]

    def error(self, buyer_mean: float) -> float:
        """Standard error of the base's mean from not knowing the share and the mean of the losses."""
        if not self.share:
            return 0.0
        all_of_them = self.customers / self.share
        by_share = math.sqrt(self.share * (1 - self.share) / all_of_them) * (buyer_mean - self.mean)
        return math.hypot(by_share, self.share * self.spread / math.sqrt(self.customers))


def _losses(days: OwnDays, losing: BoolColumn, w: FloatColumn, buyers: float) -> _Losses:
    count = float(w[losing].sum())
    if not count:
        return _Losses(0.0, 0.0, 0.0, 0.0, ())
    mean = float(np.average(days.mean[losing], weights=w[losing]))
    spread = math.sqrt(float(np.average((days.mean[losing] - mean) ** 2, weights=w[losing])))
    note = (
        f"gamma-gamma: {count:,.0f} repeat buyers with a mean margin of zero or less were not fitted on; they get "
        "their own mean drawn towards the base's, and the base's mean counts them"
    )
    return _Losses(count, count / (count + buyers) if buyers else 0.0, mean, spread, (note,))


def _shape_of_days(days: OwnDays, good: BoolColumn, w: FloatColumn) -> float | None:
    """p by how a customer's own days differ; None for fewer than 30 customers whose days are known.

    Days of gamma(p, nu) as shares of their sum are Dirichlet(p, ..., p), whatever nu is: the squares of n of them about
    1 / n sum to (n - 1) / (n (1 + p n)) in the mean.
    """
    known = good & (days.number > 1) & (days.free == days.number - 1)
    n, many = days.number[known], w[known]
    if float(many.sum()) < 30:
        return None
    seen = float(np.einsum("n,n->", many, days.squares[known] / (n * days.mean[known]) ** 2))
    low, high = -10.0, 14.0
    for _ in range(60):
        middle = (low + high) / 2
        expected = float(np.einsum("n,n->", many, (n - 1) / (n * (1 + math.exp(middle) * n))))
        low, high = (middle, high) if expected > seen else (low, middle)
    return math.exp(low)


def _error_of_mean(values: FloatColumn, weights: FloatColumn, copies: FloatColumn) -> float:
    """Standard error of a weighted mean, whatever the distribution; ``copies`` customers share a row."""
    mean = float(np.average(values, weights=weights))
    each = weights / copies  # the weight of one customer
    many = float(copies.sum())
    spread = float(np.einsum("n,n->", copies, (each * (values - mean)) ** 2))
    return math.sqrt(spread * many / max(many - 1, 1)) / float(weights.sum())


def _params(theta: FloatColumn) -> Any:
    from retention._kernels import gammagamma as kernel

    p, q, v = np.exp(theta[:3]).tolist()
    return kernel.Params(p, q, v, float(theta[3]) if len(theta) > 3 else 0.0)


def _sketch(total: Callable[..., Any], x: Any, z: Any, d: Any, w: Any) -> Callable[[FloatColumn], Any] | None:
    """The likelihood of a few customers: to find a start."""
    some = a_few(x, z)
    if some is None:
        return None
    few = (x[some], z[some], None if d is None else d[some], w[some] * (w.sum() / w[some].sum()))
    return lambda theta: total(_params(theta), *few)


def _first(draw: _Draw, hers: _Customers, center: FloatColumn) -> FloatColumn:
    """Expected margins at one draw of the parameters; a draw far out in the tail of an unsure fit must not decide."""
    p, q, v, slope, _ = draw
    x, own = hers.days.number, np.maximum(hers.days.mean, 0.0)
    with np.errstate(over="ignore"):
        level = v * np.exp(slope * hers.away) if slope else v
        return np.asarray(np.clip(p * (level + x * own) / np.maximum(q + p * x - 1, 0.5), 0.0, 20 * np.abs(center)))
