"""All parameters of a contractual model that the data leave open, and what they say of each customer."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.value.asked import checked_count, checked_interval
from retention.value.contracts.tenures import Tenures
from retention.value.contracts.terms import Terms, checked_margin
from retention.value.contracts.valuation import ContractValuation
from retention.value.sampling import ParameterDraws, draw_posterior, under_prior

if TYPE_CHECKING:
    from retention.value.contracts.fitted import FittedContracts
    from retention.value.contracts.models import ContractModel

__all__ = ["ContractPosterior", "ContractPrediction", "sample_contracts"]


@frozen(eq=False, repr=False, kw_only=True)
class ContractPrediction(Table):
    """One row as in the tenures: means over the posterior and an interval of probability ``interval`` each.

    With ``chance`` the bounds of ``further`` and ``value`` hold what one customer will *do*; without it what is
    *expected* of her, so that they hold what is not known about the parameters and nothing else. ``next_renewal`` is of
    the latter kind always. Who has ended has 0 everywhere.
    """

    customer_id: TextColumn = column("who")
    renewals: IntColumn = column("renewal decisions come through", unit="count")
    weight: FloatColumn = column("customers that the row stands for", unit="count")
    next_renewal: FloatColumn = column("probability of coming through the next decision")
    next_renewal_low: FloatColumn = column("lower bound of it, from what is not known about the parameters")
    next_renewal_high: FloatColumn = column("upper bound of it")
    further: FloatColumn = column("expected renewals within the horizon", unit="count")
    further_low: FloatColumn = column("lower bound of the renewals", unit="count")
    further_high: FloatColumn = column("upper bound of the renewals", unit="count")
    value: FloatColumn = column("expected discounted margin of one customer's renewals", unit="money")
    value_low: FloatColumn = column("lower bound of the discounted margin", unit="money")
    value_high: FloatColumn = column("upper bound of the discounted margin", unit="money")

    model: str
    horizon_periods: float
    discount_rate: float
    periods_per_year: float
    until_renewal: float
    interval: float
    chance: bool
    draws: int


@frozen(kw_only=True, eq=False, repr=False)
class ContractPosterior(ParameterDraws):
    """Draws of a contractual model's parameters given a base; ``fitted`` is the model at the maximum.

    Effects of covariates are per unit of the covariate, parameters those at covariates of 0, as in a fit.
    """

    fitted: "FittedContracts"

    def points(self, count: int = 64) -> FloatColumn:
        """The first ``count`` of the draws (they are in no order) as log-parameters and effects."""
        theta = np.array(self.draws[: checked_count(count, "count", 1)])
        own = len(self.fitted.recipe.kernel().names)
        theta[:, :own] = np.log(theta[:, :own])
        return theta

    def model(self, count: int = 64) -> "FittedContracts":
        """The fitted model whose intervals average over these draws, in place of the normal approximation."""
        return evolve(self.fitted, doubt=self.points(count))

    def value(self, tenures: Tenures, margin_per_period: Any, **asked: float) -> ContractValuation:
        """The fitted model's ``value``, arguments and all, with bounds from these draws."""
        return self.model().value(tenures, margin_per_period, **asked)

    def total_interval(self, tenures: Tenures, margin_per_period: Any, **asked: float) -> tuple[float, float]:
        """The fitted model's ``total_interval``, arguments and all, from these draws."""
        return self.model().total_interval(tenures, margin_per_period, **asked)

    def survival(self, periods: Any, interval: float = 0.90) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        """Chance that a new customer comes through so many renewals: mean, lower and upper bound from the draws.

        For a model without covariates. Raises ConfigError for periods that are not whole.
        """
        checked_interval(interval)
        curves = np.stack([evolve(self.fitted, theta=theta).survival(periods) for theta in self.points(len(self))])
        low, high = _ends(curves, interval)
        return curves.mean(axis=0), low, high

    def renewal_probabilities(self, tenures: Tenures, most: int, *, points: int = 64) -> FloatColumn:
        """P(exactly 0, 1 .. ``most`` further renewals), a row a customer, over chance and doubt; who ended makes 0."""
        return self.model(points).renewal_probabilities(tenures, most)

    def predict(
        self,
        tenures: Tenures,
        margin_per_period: Any = 1.0,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        until_renewal: float = 0.0,
        interval: float = 0.90,
        chance: bool = True,
        draws: int = 400,
    ) -> ContractPrediction:
        """Renewing, further renewals and their worth, each with its interval; arguments as for ``value``.

        Means are over the first ``draws`` of the draws; nothing is simulated, so there is no seed. With the margin of 1
        the value is the discounted expected residual lifetime. An endless horizon counts, where nothing is discounted,
        the renewals up to where discounting would leave no digit.

        Raises ConfigError for arguments out of range.

        Example:
            >>> from retention.value import ShiftedBetaGeometric
            >>> cohort = Tenures.from_survivors([1000, 869, 743, 653, 593])
            >>> posterior = ShiftedBetaGeometric().posterior(cohort, seed=1)
            >>> four = Tenures.from_arrays(renewals=[4], ended=[False])
            >>> ahead = posterior.predict(four, discount_rate=0.1, periods_per_year=1, chance=False)
            >>> [float(column[0].round(2)) for column in (ahead.next_renewal_low, ahead.next_renewal_high)]
            [0.89, 0.92]
        """
        terms = Terms.of(horizon_periods, discount_rate, periods_per_year, until_renewal)
        margin = checked_margin(margin_per_period, len(tenures))
        checked_interval(interval)
        draws = checked_count(draws, "draws", 20)
        made, which = self.fitted.expectations(tenures, terms, self.points(draws))
        there = ~tenures.ended
        means, lows, highs = (part[:, which] * there for part in (made.mean(axis=0), *_ends(made, interval)))
        low, high = lows[2] * margin, highs[2] * margin
        further = (lows[1], highs[1])
        if chance:
            further = self.model(draws).renewal_bounds(tenures, terms, interval)
            low, high = (margin * terms.annuity(count) for count in further)
        return ContractPrediction(
            customer_id=tenures.customer_id, renewals=tenures.renewals, weight=tenures.weight,
            next_renewal=means[0], next_renewal_low=lows[0], next_renewal_high=highs[0],
            further=means[1], further_low=further[0], further_high=further[1],
            value=means[2] * margin, value_low=np.minimum(low, high), value_high=np.maximum(low, high),
            model=self.fitted.name, horizon_periods=terms.periods, discount_rate=float(discount_rate),
            periods_per_year=float(periods_per_year), until_renewal=terms.wait, interval=float(interval),
            chance=chance, draws=len(made),
            provenance=evolve(self.fitted.provenance(tenures, self.seed), parameters=self.evidence()),
        )  # fmt: skip


def sample_contracts(model: "ContractModel", tenures: Tenures, *, draws: int, seed: int) -> ContractPosterior:
    """Draws of a contractual model's parameters: see ``ContractModel.posterior`` and ``draw_posterior``."""
    from retention._kernels.newton import maximise

    if not tenures.customers > 0:
        raise ModelError(
            f"the posterior of {model.name} from no customers",
            rule="a posterior needs data",
            remedy="fit() gives the prior",
        )
    base, fitted = model.likelihood(tenures), model.fit(tenures)
    center, sd, _ = model.log_prior()
    lean, height = under_prior(base.total, base.values, center, sd)
    top = maximise(lean, np.clip(np.linalg.solve(base.back, np.array(fitted.theta)), -14.0, 14.0))
    found = draw_posterior(height, top.point, -top.hessian, widest=sd, draws=draws, seed=seed)
    theta, own = found.points @ base.back.T, len(base.kernel.names)
    return ContractPosterior(
        of=model.name,
        names=model.names,
        draws=np.concatenate([np.exp(theta[:, :own]), theta[:, own:]], axis=1),
        fitted=fitted,
        seed=seed,
        method=found.method,
        k_hat=found.k_hat,
        ess=found.ess,
        r_hat=found.r_hat,
    )


def _ends(draws: FloatColumn, interval: float) -> FloatColumn:
    """Both ends of an interval over the first axis."""
    return np.asarray(np.quantile(draws, [(1 - interval) / 2, (1 + interval) / 2], axis=0))
