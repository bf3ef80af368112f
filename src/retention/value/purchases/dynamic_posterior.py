"""All parameters of a Pareto/NBD with time-varying covariates that the data leave open, weighed."""

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
from attrs import evolve, frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.records.transactions import TransactionLog
from retention.value.asked import checked_count, checked_days
from retention.value.purchases.calendar import Calendar
from retention.value.purchases.lives import DynamicLikelihood, Lives
from retention.value.sampling import ParameterDraws, draw_posterior, under_prior
from retention.value.valuation import Valuation

if TYPE_CHECKING:
    from retention.value.purchases.dynamic import DynamicParetoNBD
    from retention.value.purchases.dynamic_fitted import FittedDynamicParetoNBD

__all__ = ["DynamicPosterior", "sample_dynamic"]


@frozen(kw_only=True, eq=False, repr=False)
class DynamicPosterior(ParameterDraws):
    """Draws of the parameters and coefficients given a log; ``fitted`` is the model at the maximum."""

    fitted: "FittedDynamicParetoNBD"

    def model(self, count: int = 32) -> "FittedDynamicParetoNBD":
        """The fitted model whose intervals average over the first ``count`` of these draws (they are in no order)."""
        return evolve(self.fitted, doubt=self.points(count))

    def points(self, count: int = 32) -> FloatColumn:
        """The first ``count`` of these draws (they are in no order) as log-parameters and coefficients."""
        theta = np.array(self.draws[:count])
        theta[:, :4] = np.log(theta[:, :4])
        return theta

    def value(
        self,
        log: TransactionLog,
        calendar: Calendar,
        *,
        as_of: str | dt.date,
        horizon_days: float,
        discount_rate: float,
        interval: float = 0.90,
    ) -> Valuation:
        """The fitted model's ``value`` with intervals from these draws."""
        asked = {"horizon_days": horizon_days, "discount_rate": discount_rate, "interval": interval}
        worth = self.model().value(log, calendar, as_of=as_of, **asked)
        return evolve(worth, provenance=evolve(worth.provenance, seed=self.seed, parameters=self.evidence()))

    def purchase_probabilities(
        self,
        log: TransactionLog,
        calendar: Calendar,
        days: float,
        most: int,
        *,
        as_of: str | dt.date,
        points: int = 32,
    ) -> FloatColumn:
        """P(exactly 0, 1 .. ``most`` purchase days in the next ``days``), a row a customer, averaged over draws."""
        most, horizon = checked_count(most, "most"), checked_days(days)
        chosen = self.points(checked_count(points, "points", 1))
        lives = Lives.of(self.fitted.recipe, log, calendar, as_of, ahead=horizon)
        total = np.zeros((len(lives.base), most + 1))
        for theta in chosen:
            total += self.fitted._counts(lives, horizon, most, theta)
        return total / len(chosen)


def sample_dynamic(
    model: "DynamicParetoNBD",
    log: TransactionLog,
    calendar: Calendar,
    as_of: str | dt.date,
    draws: int,
    seed: int,
    weight: FloatColumn | None,
) -> DynamicPosterior:
    """Draws of the parameters: see ``DynamicParetoNBD.posterior``."""
    from retention._kernels.newton import maximise

    lives = Lives.of(model, log, calendar, as_of)
    if not len(lives.base):
        raise ModelError(
            f"the posterior of {model.name} from no customers",
            rule="a posterior needs data",
            remedy="fit() gives the prior",
        )
    fitted = model.fit(log, calendar, as_of=as_of, weight=weight)
    clock = model.static().clock(lives.base, weight)
    likelihood = DynamicLikelihood.of(model, lives, clock, weight, len(lives.base))
    center, sd, _ = model.log_prior(clock)
    lean, height = under_prior(likelihood.total, likelihood.values, center, sd)
    start = likelihood.from_told(np.concatenate([np.log(fitted.purchase_params), fitted.coefficients]))
    top = maximise(lean, np.clip(start, -14.0, 14.0))
    found = draw_posterior(height, top.point, -top.hessian, widest=sd, draws=draws, seed=seed)
    told = likelihood.told(found.points)
    return DynamicPosterior(
        of=model.name,
        names=model.names,
        draws=np.concatenate([np.exp(told[:, :4]), told[:, 4:]], axis=1),
        method=found.method,
        k_hat=found.k_hat,
        ess=found.ess,
        r_hat=found.r_hat,
        fitted=fitted,
        seed=seed,
    )
