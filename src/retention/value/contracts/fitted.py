"""A contractual model with parameters: survival, renewals still to come, and what they are worth."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ConfigError, ModelError
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Provenance
from retention.value.asked import checked_interval
from retention.value.bounds import bounds_of_sum
from retention.value.contracts.likelihood import spread_out
from retention.value.contracts.tenures import Tenures
from retention.value.contracts.terms import Terms, checked_margin, whole_periods
from retention.value.contracts.valuation import ContractValuation
from retention.value.estimate import Estimate, Fitted, tuples
from retention.value.stored import check_doubt, reading

if TYPE_CHECKING:
    from retention.value.contracts.models import ContractModel

__all__ = ["FittedContracts"]

FORMAT = 2
"""Of what ``to_dict`` writes; a file of another format is refused."""

_BLOCK = 1 << 14  # numbers in a temporary


@frozen(kw_only=True)
class FittedContracts(Fitted):
    """A contractual model with parameters. ``theta`` holds their logarithms, then the effects of the covariates.

    ``doubt`` may hold points of theta (rows, equally likely) that intervals average over, from a posterior; without it
    a normal distribution with the estimate's spread stands for the doubt.

    **When a renewal is counted and paid.** Decision k falls at the end of period k; who comes through it pays for
    period k + 1 at that moment. ``until_renewal`` is how far ahead the next decision lies, in periods: 0 (the default,
    as in the published tables) just before it, so that its payment is due now and not discounted; 1 just after the
    last one, whose payment is in and is not counted again. The period a customer is in is always paid already.
    """

    recipe: "ContractModel"
    theta: tuple[float, ...]
    doubt: tuple[tuple[float, ...], ...] = field(default=(), converter=tuples)

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return self.recipe.name

    @property
    def params(self) -> Mapping[str, float]:
        """Parameters at covariates of 0, and the effects of the covariates (``alpha:z``)."""
        d = len(self.recipe.kernel().names)
        values = [*(math.exp(v) for v in self.theta[:d]), *self.theta[d:]]
        return dict(zip(self.recipe.names, values, strict=True))

    def log_likelihoods(self, tenures: Tenures) -> FloatColumn:
        """Each row's log-likelihood (of one customer, whatever its weight)."""
        from retention._kernels.contracts import log_likelihoods

        params = self._params(self.recipe.columns(tenures))
        return log_likelihoods(self.recipe.kernel(), params, tenures.renewals.astype(np.float64), tenures.ended)

    def survival(self, periods: Any, covariates: Mapping[str, float] | None = None) -> FloatColumn:
        """Chance that a new customer comes through so many renewals; ``periods`` is a number or an array of them.

        A model with covariates is asked for one set of their values.
        """
        return np.exp(-self.recipe.kernel().fade(self._one(covariates), 0.0, whole_periods(periods)))

    def retention_rates(self, periods: Any, covariates: Mapping[str, float] | None = None) -> FloatColumn:
        """Share of those facing decision ``periods`` (1, 2, ...) who come through it: S(t) / S(t - 1)."""
        t = whole_periods(periods)
        if np.any(t < 1):
            raise ConfigError("retention rate of decision 0", rule="the first renewal is 1", remedy="ask for 1, 2, ...")
        return np.exp(-self.recipe.kernel().fade(self._one(covariates), t - 1.0, 1.0))

    def survival_ahead(self, tenures: Tenures, periods: float) -> FloatColumn:
        """Chance that each customer comes through her next ``periods`` decisions; 0 for who has ended."""
        ahead = whole_periods(periods)
        params = self._params(self.recipe.columns(tenures))
        fade = self.recipe.kernel().fade(params, tenures.renewals.astype(np.float64), float(ahead))
        return np.where(tenures.ended, 0.0, np.exp(-fade))

    def expected_residual_lifetime(
        self,
        tenures: Tenures,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        until_renewal: float = 0.0,
    ) -> FloatColumn:
        """Renewals each customer is still expected to make, discounted (DERL); 0 for who has ended.

        ``discount_rate`` is per year: a renewal j decisions ahead weighs (1 + rate) to the power of
        -(until_renewal + j - 1) / periods_per_year. ``horizon_periods`` counts decisions; without end the rate must be
        above 0. At rate 0 it is the expected number of renewals. When each is paid is told in the class's description.

        Source: Fader and Hardie 2010, "Customer-base valuation in a contractual setting", Marketing Science 29(1).

        Example:
            >>> from retention.value import ShiftedBetaGeometric
            >>> model = ShiftedBetaGeometric().at(alpha=3.8, beta=15.2)
            >>> base = Tenures.from_arrays(renewals=[0, 1, 2, 3, 4], ended=[False] * 5)
            >>> model.expected_residual_lifetime(base, discount_rate=0.1, periods_per_year=1).round(2).tolist()
            [3.31, 3.45, 3.59, 3.72, 3.84]
        """
        terms = Terms.of(horizon_periods, discount_rate, periods_per_year, until_renewal)
        return self._residual(tenures, terms.periods, terms.delta)[0] * terms.front

    def expected_lifetime(
        self,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        covariates: Mapping[str, float] | None = None,
    ) -> float:
        """Periods that a customer who signs up now will pay for, discounted: the first at once, then her renewals."""
        from retention._kernels.contracts import residual

        terms = Terms.of(horizon_periods, discount_rate, periods_per_year)
        one = self._one(covariates)
        further = residual(self.recipe.kernel(), one, np.zeros(1), terms.periods, terms.delta).mean
        return 1.0 + math.exp(-terms.delta) * float(further[0])

    def value(
        self,
        tenures: Tenures,
        margin_per_period: Any,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        until_renewal: float = 0.0,
        interval: float = 0.90,
    ) -> ContractValuation:
        """What each customer's further renewals are worth, and bounds for what one customer will really bring.

        ``margin_per_period`` is a number, or one for each row: what a renewal brings when it is made. Horizon, discount
        and moment of payment as in ``expected_residual_lifetime``. The bounds are quantiles of the number of renewals
        she will make, averaged over what is not known about the parameters: what a customer brings is a function of
        that number alone. The margin is taken as known.
        """
        terms = Terms.of(horizon_periods, discount_rate, periods_per_year, until_renewal)
        margin = checked_margin(margin_per_period, len(tenures))
        checked_interval(interval)
        discounted = self._residual(tenures, terms.periods, terms.delta)[0] * terms.front
        ends = [margin * terms.annuity(k) for k in self.renewal_bounds(tenures, terms, interval)]
        return ContractValuation(
            customer_id=tenures.customer_id,
            renewals=tenures.renewals,
            weight=tenures.weight,
            next_renewal=self.survival_ahead(tenures, 1),
            expected_renewals=self._residual(tenures, terms.plain, 0.0)[0],
            discounted_renewals=discounted,
            value=discounted * margin,
            value_low=np.minimum(*ends),
            value_high=np.maximum(*ends),
            model=self.name,
            horizon_periods=terms.periods,
            discount_rate=float(discount_rate),
            periods_per_year=float(periods_per_year),
            until_renewal=terms.wait,
            interval=float(interval),
            provenance=self.provenance(tenures),
        )

    def total_interval(
        self,
        tenures: Tenures,
        margin_per_period: Any,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        until_renewal: float = 0.0,
        interval: float = 0.90,
    ) -> tuple[float, float]:
        """Bounds of what all these customers will bring together; arguments as for ``value``.

        Chance is independent between customers, so their variances add up; doubt about the parameters is common to all,
        so its effect on the total adds up first. The sum is taken to be gamma distributed, which is right for some
        fifty customers and more.
        """
        terms = Terms.of(horizon_periods, discount_rate, periods_per_year, until_renewal)
        margin, front = checked_margin(margin_per_period, len(tenures)), terms.front
        checked_interval(interval)
        mean, _ = self._residual(tenures, terms.periods, terms.delta)
        total = front * float(np.einsum("n,n,n->", mean, margin, tenures.weight))
        points = self.points()
        first, second, totals = np.zeros(len(tenures)), np.zeros(len(tenures)), np.zeros(len(points))
        for i, theta in enumerate(points):
            mean, square = self._residual(tenures, terms.periods, terms.delta, theta, second=True)
            first, second = first + mean / len(points), second + square / len(points)
            totals[i] = front * np.einsum("n,n,n->", mean, margin, tenures.weight)
        own = np.maximum(second - first**2, 0.0) * (front * margin) ** 2
        variance = float(np.einsum("n,n->", own, tenures.weight)) + float(np.var(totals))
        return bounds_of_sum(total, variance, bool(np.all(margin >= 0)), interval)

    def plot(self, tenures: Tenures | None = None, periods: int | None = None, ax: Any = None) -> Any:
        """Draw survival: the model as a line (averaged over the customers), the data's own as dots.

        The grey line marks where the data end, and projection begins.
        """
        ax = axes(ax)
        seen = None if tenures is None else tenures.observed_survival()
        last = periods if periods is not None else (12 if seen is None else max(2 * (len(seen) - 1), 2))
        t = np.arange(last + 1, dtype=np.float64)
        if self.recipe.covariates and tenures is None:
            raise ConfigError(
                f"a picture of {self.name} with covariates and without customers",
                rule="survival is averaged over customers' covariates",
                remedy="pass the tenures",
            )
        if tenures is None or not self.recipe.covariates:
            curve = self.survival(t)
        else:
            z, which = np.unique(self.recipe.columns(tenures), axis=0, return_inverse=True)
            weight = np.bincount(which.reshape(-1), tenures.weight) / tenures.customers
            params = [p[:, None] if np.ndim(p) else p for p in self._params(z)]
            curve = np.einsum("n,nt->t", weight, np.exp(-self.recipe.kernel().fade(params, 0.0, t[None])))
        ax.plot(
            t, 100 * curve, color="#1f5f8b", linewidth=2, label=f"{self.name}, fitted" if self.estimate else self.name
        )
        if seen is not None:
            ax.plot(np.arange(len(seen)), 100 * seen, "o", color="#c4512d", markersize=5, label="data")
            ax.axvline(len(seen) - 1, color="0.7", linewidth=1)
        ax.set(xlim=(0, last), ylim=(0, 102), xlabel="renewals", ylabel="% still customers")
        ax.legend(frameon=False)
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` gives a model with exactly the same numbers."""
        return {
            "format": FORMAT,
            "model": self.name,
            "recipe": self.recipe.to_dict(),
            "theta": list(self.theta),
            "doubt": [list(row) for row in self.doubt],
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down; what it does not know it refuses with a ModelError."""
        with reading("contractual model"):
            return cls._read(data)

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Self:
        from retention.value.contracts.models import ContractModel

        known = {"format", "model", "recipe", "theta", "doubt", "estimate"}
        if data.get("format") != FORMAT or set(data) != known or data["recipe"].get("model") != data["model"]:
            odd = sorted(set(data) ^ known)
            raise ModelError(
                f"a stored contractual model {data.get('model')!r} of format {data.get('format')!r}"
                + (f" with or without {', '.join(odd)}" if odd else ""),
                rule=f"this release reads format {FORMAT}",
                remedy="fit the model again, or read it with the release that wrote it",
            )
        found, recipe = data["estimate"], ContractModel.from_dict(data["recipe"])
        theta = tuple(float(value) for value in data["theta"])
        if len(theta) != len(recipe.names):
            raise ModelError(
                f"a stored {recipe.name} with another number of parameters than it has",
                rule=f"it has {', '.join(recipe.names)}",
                remedy="store it again with to_dict()",
            )
        read = cls(
            recipe=recipe,
            theta=theta,
            doubt=data["doubt"],
            estimate=None if found is None else Estimate.from_dict(found),
        )
        check_doubt(read.estimate, (theta, *read.doubt), recipe.names)
        if max(abs(value) for value in theta[: len(recipe.kernel().names)]) > 700:
            raise ValueError("the logarithm of a parameter that no number holds")
        return read

    def points(self) -> FloatColumn:
        """Points of theta that stand for the doubt about it, one a row; one if the parameters were given."""
        from retention._kernels.points import normal_points

        if self.doubt:
            return np.array(self.doubt)
        center = np.array(self.theta)[None]
        if self.estimate is None:
            return center
        spread = np.array(self.estimate.spread)
        least = 2 * (len(spread) + 1)
        count = max(32, least) if float(np.sqrt(np.diag(spread).max())) > 0.05 else least
        return np.asarray(center + normal_points(count, len(spread)) @ np.linalg.cholesky(spread).T)

    def renewal_probabilities(self, tenures: Tenures, most: int) -> FloatColumn:
        """P(exactly 0, 1 .. ``most`` further renewals), a row a customer, over chance and doubt; who ended makes 0.

        Example:
            >>> from retention.value import ShiftedBetaGeometric
            >>> model = ShiftedBetaGeometric().at(alpha=1.0, beta=2.0)
            >>> model.renewal_probabilities(Tenures.from_arrays(renewals=[1], ended=[False]), 2).round(3).tolist()
            [[0.25, 0.15, 0.1]]
        """
        k, z, which = self._distinct(tenures)
        there = np.stack([self._coming_through(k, z, float(j)) for j in range(int(whole_periods(most)) + 2)], axis=1)
        chances = (there[:, :-1] - there[:, 1:])[which]
        chances[tenures.ended] = np.arange(most + 1) == 0
        return np.asarray(chances)

    def renewal_bounds(self, tenures: Tenures, terms: Terms, interval: float) -> tuple[FloatColumn, FloatColumn]:
        """Two quantiles of the renewals each customer will still make, over chance and doubt, by bisection."""
        from retention._kernels.contracts import longest

        k, z, which = self._distinct(tenures)
        most = float(min(terms.periods, longest(terms.delta)))

        def bound(level: float) -> FloatColumn:
            low, high = np.full(len(k), -1.0), np.full(len(k), most)
            while np.any(high - low > 1):
                middle = np.floor((low + high) / 2)
                enough = self._coming_through(k, z, middle + 1) <= 1 - level
                high, low = np.where(enough, middle, high), np.where(enough, low, middle)
            return np.where(tenures.ended, 0.0, high[which])

        return bound((1 - interval) / 2), bound((1 + interval) / 2)

    def expectations(self, tenures: Tenures, terms: Terms, points: FloatColumn) -> tuple[FloatColumn, IntColumn]:
        """At every point of theta: the next renewal, the renewals and the discounted renewals of those who are still
        there, (points, 3, customers who differ); and each row's place among these."""
        from retention._kernels.contracts import residual

        k, z, which = self._distinct(tenures)
        kernel, made = self.recipe.kernel(), np.empty((len(points), 3, len(k)))
        for block, params in self._blocks(points, z):
            count = len(points[block])
            made[block, 0] = np.exp(-kernel.fade(params, k, 1.0))
            flat = [np.broadcast_to(p, (count, len(k))).ravel() for p in params]
            for part, (periods, delta) in enumerate(((terms.plain, 0.0), (terms.periods, terms.delta)), 1):
                further = residual(kernel, flat, np.tile(k, count), periods, delta).mean
                made[block, part] = further.reshape(count, len(k))
        made[:, 2] *= terms.front
        return made, which

    def provenance(self, tenures: Tenures, seed: int | None = None) -> Provenance:
        """Where numbers of these customers come from."""
        notes = [*tenures.provenance.notes, *self.notes]
        if self.estimate is None:
            notes.append(
                f"{self.name}: parameters were given, not fitted: intervals hold chance alone, no parameter doubt"
            )
        errors = self.standard_errors or {}
        return evolve(
            tenures.provenance,
            model=self.name,
            parameters={
                **self.params,
                "log_likelihood": self.log_likelihood,
                "standard_errors": {name: None if math.isnan(error) else error for name, error in errors.items()},
            },
            seed=seed,
            notes=tuple(dict.fromkeys(notes)),
        )

    def _coming_through(self, k: FloatColumn, z: FloatColumn, ahead: Any) -> FloatColumn:
        """Chance of so many more renewals, averaged over what is not known about the parameters."""
        kernel, points = self.recipe.kernel(), self.points()
        total = np.zeros(len(k))
        for _, params in self._blocks(points, z):
            total += np.exp(-kernel.fade(params, k, ahead)).sum(axis=0)
        return total / len(points)

    def _blocks(self, points: FloatColumn, z: FloatColumn) -> Iterator[tuple[slice, list[Any]]]:
        """Parameters at many points, (points, customers), some points at a time."""
        step = max(1, _BLOCK // max(len(z), 1))
        for start in range(0, len(points), step):
            block = slice(start, start + step)
            yield block, spread_out(self.recipe.kernel(), points[block], z)

    def _params(self, z: FloatColumn, theta: FloatColumn | None = None) -> list[Any]:
        return spread_out(self.recipe.kernel(), np.array(self.theta) if theta is None else theta, z)

    def _one(self, covariates: Mapping[str, float] | None) -> list[Any]:
        """Parameters at one set of covariates."""
        given = covariates or {}
        if set(given) != set(self.recipe.covariates):
            wanted = ", ".join(self.recipe.covariates) or "none"
            raise ConfigError(
                f"covariates {', '.join(given) or 'none'}",
                rule=f"this model reads the covariates: {wanted}",
                remedy="give one value of each, and no others",
            )
        z = np.array([[float(given[name]) for name in self.recipe.covariates]])
        return [float(np.ravel(p)[0]) for p in self._params(z)]

    def _residual(
        self,
        tenures: Tenures,
        count: float,
        delta: float,
        theta: FloatColumn | None = None,
        second: bool = False,
    ) -> tuple[FloatColumn, FloatColumn]:
        """Mean (and mean square) of the discounted renewals of each row, once for customers who are alike."""
        from retention._kernels.contracts import residual

        k, z, which = self._distinct(tenures)
        found = residual(self.recipe.kernel(), self._params(z, theta), k, count, delta, second)
        return (np.where(tenures.ended, 0.0, found.mean[which]), np.where(tenures.ended, 0.0, found.square[which]))

    def _distinct(self, tenures: Tenures) -> tuple[FloatColumn, FloatColumn, IntColumn]:
        keys = np.column_stack([tenures.renewals, self.recipe.columns(tenures)])
        distinct, which = np.unique(keys, axis=0, return_inverse=True)
        return distinct[:, 0], distinct[:, 1:], which.reshape(-1)
