"""What one purchase day brings: the gamma-gamma model of margins, and what to do where it cannot speak."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from attrs import asdict, evolve, frozen

from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.estimate import Estimate, estimate, positive_parameters

__all__ = ["GammaGamma", "FittedGammaGamma"]

# Where the likelihood cannot tell: about a factor of 4 around a base in which single purchases vary by half and
# customers by as much, with a mean of exactly 1 in units of the data's own mean: p v / (q - 1) = 4 * 0.5 / 2.
_PRIOR_MEAN = np.log([4.0, 3.0, 0.5])
_PRIOR_SD = np.array([1.5, 1.0, 1.5])


class Moments(NamedTuple):
    """Of a customer's margin per purchase day: mean, mean square, mean product of two different days."""

    mean: FloatColumn
    square: FloatColumn
    product: FloatColumn


@frozen(kw_only=True)
class GammaGamma:
    """The recipe: fit p, q, v to the mean margins of repeat buyers by maximum likelihood.

    Source: Fader and Hardie 2013, "The Gamma-Gamma Model of Monetary Value". It supposes that what a customer spends
    does not depend on how often she comes.

    Example:
        >>> fitted = GammaGamma().at(p=6.25, q=3.74, v=15.44)
        >>> base = Histories.from_arrays(
        ...     frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272], margin_mean=[22.35, 0])
        >>> fitted.margin_mean(base).round(1).tolist()
        [24.7, 35.2]
    """

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return "gamma-gamma"

    def at(self, **params: float) -> "FittedGammaGamma":
        """The model at given p, q, v (v in the currency of the data; q > 1, or there is no mean)."""
        from retention.errors import ModelError

        values = positive_parameters(self.name, params, ("p", "q", "v"))
        if values["q"] <= 1:
            raise ModelError(
                f"gamma-gamma at q={values['q']!r}", rule="the mean exists only for q > 1", remedy="give q > 1"
            )
        return FittedGammaGamma(p=values["p"], q=values["q"], v=values["v"])

    def fit(self, histories: Histories) -> "FittedGammaGamma":
        """Fit to the customers with a repeat purchase and a positive mean margin.

        Edge cases, each told in the notes: repeat buyers with a mean of zero or less are left out (the model has no
        place for them) but keep their weight in the mean of the base; without any positive one, the scale comes
        from all purchases and the rest from a weak prior; where the fitted mean is infinite, above every mean seen
        or extrapolated from a tail without a variance (q of 2 or less), the mean of the repeat buyers' means stands
        in for it, each weighted by her credibility x / (k + x), k = 1 / p (Bühlmann and Straub 1970). Weights by
        purchases alone would let the frequent decide what the rare, who resemble the one-time buyers, bring.
        """
        from retention._kernels import gammagamma as kernel

        repeat = histories.frequency > 0
        good = repeat & (histories.margin_mean > 0)
        x = histories.frequency[good].astype(np.float64)
        z = histories.margin_mean[good]
        left_out = int(np.sum(repeat & ~good))
        scale, notes = _scale(histories, z, left_out)
        if scale <= 0:
            v = 0.5 * abs(scale) or 0.5  # in the currency of the data, which the intervals must not feel
            return FittedGammaGamma(p=4.0, q=3.0, v=v, stand_in=scale, estimate=_nothing(notes))

        point, found = estimate(
            lambda theta: kernel.total(kernel.Params(*np.exp(theta)), x, z / scale),
            model=self.name,
            names=("p", "q", "v"),
            prior_mean=_PRIOR_MEAN,
            prior_sd=_PRIOR_SD,
            customers=len(z),
        )
        p, q, v = (float(value) for value in np.exp(point))
        errors = dict(found.standard_errors)
        errors["v"] *= scale
        log_likelihood = found.log_likelihood - len(z) * math.log(scale)
        found = evolve(found, log_likelihood=log_likelihood, standard_errors=errors)
        losses = histories.margin_mean[repeat & ~good]
        stand_in = None
        if len(z) > 1 and (q <= 2 or p * v / (q - 1) * scale > float(z.max())):
            stand_in = float(np.average(z, weights=x / (1 / p + x)))
            notes = (
                *notes,
                f"gamma-gamma: the fitted mean is not finite, above all data or rests on an extrapolated tail "
                f"(q = {q:.3g}); the mean margin of the data stands in for it",
            )
        return FittedGammaGamma(
            p=p,
            q=q,
            v=v * scale,
            stand_in=stand_in,
            loss_share=left_out / int(repeat.sum()) if left_out and len(z) else 0.0,
            loss_mean=float(losses.mean()) if left_out and len(z) else 0.0,
            estimate=found.with_notes(*notes),
        )


@frozen(kw_only=True)
class FittedGammaGamma:
    """Gamma-gamma with parameters. The expected margin of a customer's purchase day is a credibility mean:

    ``(k * base + x * hers) / (k + x)`` with ``k = (q - 1) / p``, her own mean of x repeat days drawn towards the mean
    of the base. ``loss_share`` of the repeat buyers, with mean ``loss_mean``, had a mean of zero or less: the model
    was not fitted on them, but the base's mean counts them, and they get the same credibility mean from their own
    losses (below zero if those weigh enough). ``stand_in`` replaces p v / (q - 1) where that was no usable number.
    """

    p: float
    q: float
    v: float
    stand_in: float | None = None
    loss_share: float = 0.0
    loss_mean: float = 0.0
    estimate: Estimate | None = None

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return "gamma-gamma"

    @property
    def params(self) -> Mapping[str, float]:
        """p and q have no unit; v is in the currency of the data."""
        return {"p": self.p, "q": self.q, "v": self.v}

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
    def buyer_mean(self) -> float:
        """Mean margin per purchase day over customers whose margins are positive."""
        return self.p * self.v / (self.q - 1) if self.stand_in is None else self.stand_in

    @property
    def population_mean(self) -> float:
        """Mean margin per purchase day over all customers: what one without repeat purchases is expected to bring."""
        return (1 - self.loss_share) * self.buyer_mean + self.loss_share * self.loss_mean

    @property
    def _k(self) -> float:
        return (self.q - 1 if self.stand_in is None else 1.0) / self.p

    def log_likelihoods(self, histories: Histories) -> FloatColumn:
        """Each customer's log-likelihood; 0 where she says nothing (no repeat, or a mean that is not positive)."""
        from retention._kernels import gammagamma as kernel

        out = np.zeros(len(histories))
        good = (histories.frequency > 0) & (histories.margin_mean > 0)
        params = kernel.Params(self.p, self.q, self.v)
        out[good] = kernel.log_likelihoods(
            params, histories.frequency[good].astype(np.float64), histories.margin_mean[good]
        )
        return out

    def margin_mean(self, histories: Histories) -> FloatColumn:
        """Expected margin of one of each customer's future purchase days."""
        x, own = histories.frequency, histories.margin_mean
        base = np.where((x > 0) & (own > 0), self.buyer_mean, self.population_mean)
        return np.asarray(np.where(x > 0, (self._k * base + x * own) / (self._k + x), base))

    def moments(self, histories: Histories, points: int) -> Moments:
        """First and second moments of future margins, averaged over what is not known about the parameters.

        Moments that do not exist (a posterior shape of 2 or less) are taken at a shape of 2.5.
        """
        x, positive = histories.frequency, histories.margin_mean > 0
        center = self.margin_mean(histories)
        q_floor = max(self.q, 2.5)
        mean, square, product = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
        draws = self._draws(points)
        for p, q, v in draws:
            first = _first(p, q, v, histories, center)
            tail = np.maximum(q + p * x, 2.5)
            shared = first**2 * (tail - 1) / (tail - 2)
            mean += first / len(draws)
            product += shared / len(draws)
            square += shared * (p + 1) / p / len(draws)
        if self.stand_in is not None:
            ratio = np.divide(center, mean, out=np.zeros(len(x)), where=mean > 0)
            mean, square, product = mean * ratio, square * ratio**2, product * ratio**2
        # The same population's variances, within and between customers, where the gamma cannot hold: losses.
        within = abs(self.buyer_mean) ** 2 * (q_floor - 1) / (self.p * (q_floor - 2))
        between = abs(self.buyer_mean) ** 2 / (q_floor - 2)
        loss = self.loss_mean**2 + between
        fresh = x == 0
        s = self.loss_share
        mean = np.where(fresh, (1 - s) * mean + s * self.loss_mean, mean)
        product = np.where(fresh, (1 - s) * product + s * loss, product)
        square = np.where(fresh, (1 - s) * square + s * (loss + within), square)
        losing = ~fresh & ~positive
        left = between * self._k / (self._k + x)
        mean = np.where(losing, center, mean)
        product = np.where(losing, center**2 + left, product)
        square = np.where(losing, center**2 + left + within, square)
        return Moments(mean, square, product)

    def totals(self, histories: Histories, weights: FloatColumn, points: int) -> FloatColumn:
        """The sum of ``weights * margin_mean`` at each of the points that stand for what is not known about p, q, v.

        The error of a mean that stands in for the fitted one is not in it, nor that of the losses.
        """
        center, draws = self.margin_mean(histories), self._draws(points)
        firsts = np.stack([_first(p, q, v, histories, center) for p, q, v in draws])
        if self.stand_in is not None:
            mean = firsts.mean(axis=0)
            firsts *= np.divide(center, mean, out=np.zeros_like(mean), where=mean > 0)
        firsts[:, (histories.frequency > 0) & (histories.margin_mean <= 0)] = 0.0
        return np.asarray(firsts @ weights)

    def _draws(self, points: int) -> list[list[float]]:
        """p, q, v at the fitted values if they were given, else at points spread like the doubt about them."""
        from retention._kernels.points import normal_points

        draws = np.log([[self.p, self.q, self.v]])
        if self.estimate is not None:
            root = np.linalg.cholesky(np.asarray(self.estimate.spread))
            draws = draws + normal_points(points, 3) @ root.T
        rows: list[list[float]] = np.exp(np.clip(draws, -200, 200)).tolist()
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = asdict(self, recurse=False)
        return {**plain, "estimate": None if self.estimate is None else self.estimate.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down."""
        known = data["estimate"]
        return cls(**{**data, "estimate": None if known is None else Estimate.from_dict(known)})


def _first(p: float, q: float, v: float, histories: Histories, center: FloatColumn) -> FloatColumn:
    """Expected margins at one draw of the parameters; a draw far out in the tail of an unsure fit must not decide."""
    x, own = histories.frequency, np.maximum(histories.margin_mean, 0.0)
    with np.errstate(over="ignore"):
        return np.asarray(np.clip(p * (v + x * own) / np.maximum(q + p * x - 1, 0.5), 0.0, 20 * np.abs(center)))


def _scale(histories: Histories, z: FloatColumn, left_out: int) -> tuple[float, tuple[str, ...]]:
    """The mean margin that counts as 1 inside, and what to say about it."""
    notes: tuple[str, ...] = ()
    if left_out:
        notes = (
            f"gamma-gamma: {left_out:,} repeat buyers with a mean margin of zero or less were not fitted on; they get "
            "their own mean drawn towards the base's, and the base's mean counts them",
        )
    if len(z):
        return float(z.mean()), notes
    if not len(histories):
        return 0.0, ("gamma-gamma: no customers, so no margin is known: values are 0",)
    days = float(np.sum(histories.frequency + 1))
    seen = float(histories.margin.sum()) / days
    if seen == 0.0 and left_out:
        seen = float(histories.margin_mean[histories.frequency > 0].mean())
    where = "gamma-gamma: no repeat buyer has a positive mean margin; the mean margin of all purchase days stands in"
    return seen, (*notes, where)


def _nothing(notes: tuple[str, ...]) -> Estimate:
    return Estimate(
        customers=0,
        log_likelihood=0.0,
        standard_errors=dict.fromkeys(("p", "q", "v"), math.nan),
        spread=np.diag(_PRIOR_SD**2),
        gradient_norm=0.0,
        converged=False,
        diagnosis="gamma-gamma: no positive mean margins to fit on",
        notes=notes,
    )
