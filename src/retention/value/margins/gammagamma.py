"""What one purchase day brings: the gamma-gamma model of margins, and what to do where it cannot speak."""

import math
from typing import Any, NamedTuple

import numpy as np
from attrs import asdict, evolve, frozen

from retention.errors import ModelError
from retention.frames.table import BoolColumn, FloatColumn
from retention.histories import Histories
from retention.value.estimate import Estimate, estimate, positive_parameters
from retention.value.margins.days import OwnDays, own_days, sketch
from retention.value.margins.gammagamma_days import apart_of, shape_of_days, with_days
from retention.value.margins.gammagamma_fitted import PRIOR_SD, FittedGammaGamma, params_of
from retention.value.margins.slope import rates_seen, split_slope
from retention.value.weights import weights_of

__all__ = ["FittedGammaGamma", "GammaGamma"]

# Where the likelihood cannot tell: a base in which single purchases vary by half and customers by as much, with a mean
# of exactly 1 in units of the data's own mean: p v / (q - 1) = 4 * 0.5 / 2. The last is the slope.
_PRIOR_MEAN = np.array([*np.log([4.0, 3.0, 0.5]), 0.0])


@frozen(kw_only=True)
class GammaGamma:
    """The recipe: fit p, q, v to the mean margins of repeat buyers by maximum likelihood.

    ``first`` also reads the margin of each customer's first purchase day, so that everyone is fitted on; the
    literature does not, because first purchases may differ from later ones (a trial, a welcome price).
    Source: Fader and Hardie 2013, "The Gamma-Gamma Model of Monetary Value". It supposes that what a customer spends
    does not depend on how often she comes; ``by_rate`` takes that back: v is v exp(slope d) for a customer whose
    log-rate lies d above the mean one, and her expected margin moves by the same factor.

    The classic likelihood sees means alone, and finds p by how much less the means of many days scatter than those of
    few. ``by_days`` also reads how each customer's own days differ, where histories know it (``margin_squares``).

    Example:
        >>> fitted = GammaGamma().at(p=6.25, q=3.74, v=15.44)
        >>> base = Histories.from_arrays(
        ...     frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272], margin_mean=[22.35, 0])
        >>> fitted.margin_mean(base).round(1).tolist()
        [24.7, 35.2]
    """

    first: bool = False
    by_rate: bool = False
    by_days: bool = False

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

        apart = apart_of(days, good, w)
        if self.by_days:
            notes += apart.notes

        def objective(some: Any, weight: FloatColumn) -> Any:
            rows = (x[some], z[some] / scale, None if d is None else d[some], weight)
            own = (apart.known[some], x[some], apart.u[some], weight)
            total = kernel.prepared(*rows)
            means: Any = lambda theta: total(params_of(theta))  # noqa: E731
            return with_days(means, *own) if self.by_days else means

        point, found = estimate(
            objective(slice(None), w_good),
            model=self.name,
            names=("p", "q", "v", "slope")[:many],
            prior_mean=_PRIOR_MEAN[:many],
            prior_sd=PRIOR_SD[:many],
            customers=float(w_good.sum()),
            sketch=sketch(objective, x, z, w_good),
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
        if w_good.sum() > 1 and (q <= 2 or p * v / (q - 1) * scale > float(level.max())):
            credible = w_good * x / (1 / p + x)
            stand_in = float(np.average(level, weights=credible))
            error = _error_of_mean(level, credible, w_good)
            notes += (
                f"gamma-gamma: the fitted mean is not finite, above all data or rests on an extrapolated tail "
                f"(q = {q:.3g}); the mean margin of the data stands in for it",
            )
        inner = None if self.by_days else shape_of_days(x, apart, w_good)
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
            by_days=self.by_days,
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
            spread=np.diag(PRIOR_SD[:3] ** 2),
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


def _error_of_mean(values: FloatColumn, weights: FloatColumn, copies: FloatColumn) -> float:
    """Standard error of a weighted mean, whatever the distribution; ``copies`` customers share a row."""
    mean = float(np.average(values, weights=weights))
    each = weights / copies  # the weight of one customer
    many = float(copies.sum())
    spread = float(np.einsum("n,n->", copies, (each * (values - mean)) ** 2))
    return math.sqrt(spread * many / max(many - 1, 1)) / float(weights.sum())
