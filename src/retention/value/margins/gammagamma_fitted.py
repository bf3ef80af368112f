"""The gamma-gamma model of margins with parameters: what it says of every customer."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from attrs import frozen

from retention.frames.table import BoolColumn, FloatColumn
from retention.histories import Histories
from retention.value.margins.days import OwnDays, own_days
from retention.value.margins.fitted import FittedOnDays
from retention.value.margins.gammagamma_days import apart_of
from retention.value.margins.protocol import Moments

__all__ = ["PRIOR_SD", "FittedGammaGamma", "params_of"]

PRIOR_SD = np.array([1.5, 1.0, 1.5, 0.5])
"""Of log p, log q, log v, about a factor of 4, and of the slope by standard deviations of the log-rate."""

_LEAST = 2.5  # the shape at which second moments are taken where they do not exist
_POINTS = 32


@frozen(kw_only=True)
class FittedGammaGamma(FittedOnDays):
    """Gamma-gamma with parameters. The expected margin of a customer's purchase day is a credibility mean:

    ``(k * base + x * hers) / (k + x)`` with ``k = (q - 1) / p``, her own mean of x repeat days drawn towards the mean
    of the base. ``loss_share`` of the repeat buyers, with mean ``loss_mean``, had a mean of zero or less: the model
    was not fitted on them, but the base's mean counts them, and they get the same credibility mean from their own
    losses (below zero if those weigh enough). ``stand_in`` replaces p v / (q - 1) where that was no usable number;
    ``stand_in_error`` is its standard error, and ``loss_error`` that which the losses add to the mean of the base.
    ``estimate.spread`` is in the order log p, log q, log v, slope. ``by_days``: whether the fit read how a customer's
    own days differ.
    """

    NAME: ClassVar[str] = "gamma-gamma"
    LEADING: ClassVar = ("p", "q", "v")
    POSITIVE: ClassVar = LEADING

    p: float
    q: float
    v: float
    by_days: bool = False
    stand_in: float | None = None
    stand_in_error: float = 0.0
    loss_share: float = 0.0
    loss_mean: float = 0.0
    loss_error: float = 0.0

    @property
    def params(self) -> Mapping[str, float]:
        """p and q have no unit; v is in the currency of the data. Slope and mean log-rate if margins go with rates."""
        return self._with_rates({"p": self.p, "q": self.q, "v": self.v})

    @property
    def buyer_mean(self) -> float:
        """Mean margin per purchase day over customers whose margins are positive, at the mean log-rate."""
        return self.p * self.v / (self.q - 1) if self.stand_in is None else self.stand_in

    @property
    def population_mean(self) -> float:
        """Mean margin per purchase day over all customers: what one without repeat purchases is expected to bring."""
        return (1 - self.loss_share) * self.buyer_mean + self.loss_share * self.loss_mean

    @property
    def _variances(self) -> tuple[float, float]:
        """The population's, within and between customers, where the gamma cannot hold: losses."""
        q = max(self.q, _LEAST)
        return self.buyer_mean**2 * (q - 1) / (self.p * (q - 2)), self.buyer_mean**2 / (q - 2)

    @property
    def _k(self) -> float:
        return (self.q - 1 if self.stand_in is None else 1.0) / self.p

    def log_likelihoods(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Log density of each customer's mean margin; 0 where she says nothing (no repeat, or a mean not positive)."""
        from retention._kernels import gammagamma as kernel

        days = own_days(histories, first=self.first)
        good = (days.number > 0) & (days.mean > 0)
        d = None if self.rates is None else self._away(log_rate, len(histories))[good]
        params = kernel.Params(self.p, self.q, self.v, self._slope)
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
            tail = np.maximum(draw.q + draw.p * x, _LEAST)
            shared = first**2 * (tail - 1) / (tail - 2)
            mean += first / len(draws)
            product += shared / len(draws)
            square += shared * (draw.p + 1) / draw.p / len(draws)
        ratio = self._ratio(hers, center, mean)
        mean, square, product = mean * ratio, square * ratio**2, product * ratio**2
        within, between = self._variances
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

    def draw_means(
        self, histories: Histories, size: int, rng: np.random.Generator, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        """Draws of each customer's own mean margin, (size, customers): inverse gamma, a row a point of the doubt.

        That is what p / nu is, given what she showed; its tail is not thinned by the doubt about the parameters (a
        shape that the doubt would take below the fitted one is held at 2.5, where a variance just exists). Losses, for
        which the gamma has no place, are normal with the variances of the same population; one who has shown nothing
        makes them with probability ``loss_share``.
        """
        hers = self._customers(histories, log_rate)
        x, center = hers.days.number, self._means(hers)
        buyers = self._buyers(hers, center)
        points = self._draws(_POINTS) if self.stand_in is not None else []
        ratio = self._ratio(hers, center, sum(_first(draw, hers, center) for draw in points) / max(len(points), 1))
        floor = np.minimum(self.q + self.p * x, _LEAST)
        unfitted = self.stand_in_error * hers.lift * self._k / (self._k + x)
        off = np.sqrt(np.log1p(np.divide(unfitted, buyers, out=np.zeros(len(x)), where=buyers != 0) ** 2))
        left = np.sqrt(self._variances[1] * self._k / (self._k + x))  # where losses are: of her own mean
        doubt, gap = self._doubt(hers), self.buyer_mean - self.loss_mean
        out = np.empty((size, len(x)))
        for row in out:
            draw = self._drawn(rng)
            shape = np.maximum(draw.q + draw.p * x, floor)
            row[:] = _first(draw, hers, center) * ratio * (shape - 1) / rng.standard_gamma(shape)
            row *= np.exp(off * draw.shift - off**2 / 2)
            if self.loss_share or np.any(hers.losing):
                shift = rng.standard_normal()
                share = min(max(self.loss_share - (shift * self.loss_error / gap if gap else 0.0), 0.0), 1.0)
                normal = np.where(hers.losing, center + shift * doubt, self.loss_mean)
                normal += left * rng.standard_normal(len(x))
                row[:] = np.where(hers.losing | (hers.fresh & (rng.random(len(x)) < share)), normal, row)
        return out

    def draw_sums(self, own_means: FloatColumn, counts: FloatColumn, rng: np.random.Generator) -> FloatColumn:
        """A draw of the margin of ``counts`` purchase days together: gamma of shape p times the count.

        p is drawn from the doubt about it, once a row. Days of a customer whose own mean is not above zero are normal.
        """
        own, counts = np.broadcast_arrays(np.asarray(own_means, dtype=np.float64), counts)
        p = self._varied(self.p, 0, counts, rng)
        sums = rng.standard_gamma(p * np.maximum(counts, 0.0)) * np.maximum(own, 0.0) / p
        losing = (own <= 0) & (counts > 0)
        if np.any(losing):
            n, steps = counts[losing], np.asarray(rng.standard_normal(own.shape))[losing]
            sums[losing] = n * own[losing] + np.sqrt(self._variances[0] * n) * steps
        return np.asarray(sums)

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
        firsts *= self._ratio(hers, center, firsts.mean(axis=0))
        s = self.loss_share
        firsts = np.where(hers.fresh, (1 - s) * firsts + s * self.loss_mean, np.where(hers.losing, center, firsts))
        shifts = np.array([draw.shift for draw in draws])
        return np.asarray(np.einsum("jn,n->j", firsts, weights) + shifts * np.einsum("n,n->", doubt, weights))

    def _fitted_to(
        self, histories: Histories, log_rate: FloatColumn | None, weight: FloatColumn
    ) -> tuple[Callable[[FloatColumn], float], FloatColumn, FloatColumn]:
        from retention._kernels import gammagamma as kernel

        hers = self._customers(histories, log_rate)
        good = ~hers.fresh & ~hers.losing & (weight > 0)
        w, x = weight[good], hers.days.number[good]
        rows = (x, hers.days.mean[good], hers.away[good] / self.rate_spread)
        apart = apart_of(hers.days, good, weight)
        own = (x[apart.known], apart.u[apart.known], w[apart.known])

        def log_likelihood(theta: FloatColumn) -> float:
            value = float(np.einsum("n,n->", w, kernel.log_likelihoods(params_of(theta), *rows)))
            return value + kernel.shares(math.exp(theta[0]), *own)[0] if self.by_days else value

        slope = [] if self.rates is None else [self.rates.slope * self.rate_spread]
        return log_likelihood, np.array([*np.log([self.p, self.q, self.v]), *slope]), PRIOR_SD

    def _customers(self, histories: Histories, log_rate: FloatColumn | None) -> "_Customers":
        days, d = own_days(histories, first=self.first), self._away(log_rate, len(histories))
        fresh = days.number == 0
        return _Customers(days, d, np.exp(d * self._slope), fresh, ~fresh & (days.mean <= 0))

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

    def _ratio(self, hers: "_Customers", center: FloatColumn, mean: Any) -> Any:
        """What brings expected margins with this ``mean`` over the doubt to where one stands in; 1 if none does."""
        if self.stand_in is None:
            return 1.0
        return np.divide(self._buyers(hers, center), mean, out=np.zeros(len(center)), where=mean > 0)

    def _draws(self, points: int) -> list["_Draw"]:
        """The fitted values if they were given, else points spread like the doubt about them."""
        from retention._kernels.points import normal_points

        if self.estimate is None:
            return [self._moved(np.zeros(4))]
        return [self._moved(point) for point in normal_points(points, len(self.estimate.spread) + 1)]

    def _drawn(self, rng: np.random.Generator) -> "_Draw":
        """One point drawn from the doubt about the parameters."""
        return self._moved(rng.standard_normal(1 + (3 if self.estimate is None else len(self.estimate.spread))))

    def _moved(self, normal: FloatColumn) -> "_Draw":
        """The parameters that many standard deviations away from the fitted ones, the shift of means last."""
        if self.estimate is None:
            return _Draw(self.p, self.q, self.v, self._slope, 0.0)
        moves = np.linalg.cholesky(np.asarray(self.estimate.spread)) @ normal[:-1]
        p, q, v = np.exp(np.clip(np.log([self.p, self.q, self.v]) + moves[:3], -200, 200)).tolist()
        slope = self._slope if self.rates is None else self._slope + float(moves[3]) / self.rate_spread
        return _Draw(p, q, v, slope, float(normal[-1]))


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


def _first(draw: _Draw, hers: _Customers, center: FloatColumn) -> FloatColumn:
    """Expected margins at one draw of the parameters; a draw far out in the tail of an unsure fit must not decide."""
    p, q, v, slope, _ = draw
    x, own = hers.days.number, np.maximum(hers.days.mean, 0.0)
    with np.errstate(over="ignore"):
        level = v * np.exp(slope * hers.away) if slope else v
        return np.asarray(np.clip(p * (level + x * own) / np.maximum(q + p * x - 1, 0.5), 0.0, 20 * np.abs(center)))


def params_of(theta: FloatColumn) -> Any:
    """The kernel's parameters from log p, log q, log v and, if there is one, the slope."""
    from retention._kernels import gammagamma as kernel

    p, q, v = np.exp(theta[:3]).tolist()
    return kernel.Params(p, q, v, float(theta[3]) if len(theta) > 3 else 0.0)
