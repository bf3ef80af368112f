"""Each customer's rhythm: what the base's gaps say, corrected by her own."""

from typing import Self

import attrs
import numpy as np
from attrs import frozen

from retention.errors import RetentionError
from retention.frames.table import FloatColumn
from retention.histories import Histories

__all__ = ["Rhythm"]

_MOST_FITTED = 20_000


@frozen(kw_only=True)
class Rhythm:
    """A population of clocks: log gaps of a customer are normal with her own mean and variance.

    ``m0`` is the base's mean log gap (days), ``kappa0`` and ``nu0`` its weight in gaps against a customer's own
    mean and variance, ``s0_squared`` the variance of log gaps, and ``a``, ``b`` the beta distribution of leaving
    after a purchase; ``typical_gap_days`` is the mean over customers of their mean gap. The kernel's page has the
    equations. A customer with few gaps is judged by the base's clock,
    one with many by her own.
    """

    m0: float
    kappa0: float
    nu0: float
    s0_squared: float
    a: float
    b: float
    typical_gap_days: float
    log_likelihood: float | None = attrs.field(default=None, eq=False)

    @classmethod
    def fit(cls, histories: Histories) -> Self:
        """Marginal likelihood of all gaps and of all present silences, under weak unit-free priors.

        The priors (normal, on the logs) keep the maximum finite for bases of any size, one customer or none
        included; with a few hundred gaps they no longer matter. At most 20,000 customers are used, evenly spaced
        in the order of the rows. Times are in days. Raises RetentionError for histories without log gaps.
        """
        from scipy.optimize import minimize

        from retention._kernels import logt

        step = max(1, -(-len(histories) // _MOST_FITTED))
        sample = histories.take(slice(None, None, step))
        x, log_sum, log_squares, idle = _statistics(sample)
        gaps = float(x.sum())
        typical = float(log_sum.sum() / gaps) if gaps else float(np.log(max(np.median(idle), 1.0))) if len(x) else 3.0

        centre = np.array([typical, 0.0, np.log(4.0), np.log(0.5), -2.0, 1.0])
        width = np.array([2.0, 1.5, 1.0, 1.0, 1.5, 1.5])

        def prior_at(theta: FloatColumn) -> logt.Prior:
            leaving, size = 1.0 / (1.0 + np.exp(-theta[4])), np.exp(theta[5])
            kappa0, nu0, s0_squared = (float(v) for v in np.exp(theta[1:4]))
            return logt.Prior(
                float(theta[0]), kappa0, nu0, s0_squared, float(leaving * size), float((1.0 - leaving) * size)
            )

        def loss(theta: FloatColumn) -> float:
            fit = logt.log_likelihood(prior_at(theta), x, log_sum, log_squares, idle).sum() if len(x) else 0.0
            return float(0.5 * np.sum(((theta - centre) / width) ** 2) - fit)

        bounds = list(zip(centre - 6 * width, centre + 6 * width, strict=True))
        best = minimize(loss, centre, method="L-BFGS-B", bounds=bounds)
        prior = prior_at(best.x)
        fit = logt.log_likelihood(prior, x, log_sum, log_squares, idle).sum() if len(x) else 0.0
        return cls(
            m0=prior.m0,
            kappa0=prior.kappa0,
            nu0=prior.nu0,
            s0_squared=prior.s0_squared,
            a=prior.a,
            b=prior.b,
            typical_gap_days=float(np.mean(sample.recency_days[x > 0] / x[x > 0])) if gaps else float(np.exp(prior.m0)),
            log_likelihood=float(fit),
        )

    def silence(self, histories: Histories) -> FloatColumn:
        """The chance that one of her gaps lasts as long as her present silence."""
        from retention._kernels import logt

        x, log_sum, log_squares, idle = _statistics(histories)
        return logt.survival(logt.posterior(self._prior(), x, log_sum, log_squares), idle)

    def gap_exceeded(self, histories: Histories, probability: FloatColumn | float) -> FloatColumn:
        """The gap in days that her next one exceeds with that probability, if she still comes."""
        from retention._kernels import logt

        x, log_sum, log_squares, _ = _statistics(histories)
        return logt.exceeded(logt.posterior(self._prior(), x, log_sum, log_squares), probability)

    def p_alive(self, histories: Histories) -> FloatColumn:
        """Probability that she still comes."""
        from retention._kernels import logt

        return logt.p_alive(self._prior(), histories.frequency.astype(np.float64), self.silence(histories))

    def _prior(self) -> "logt.Prior":  # type: ignore[name-defined] # noqa: F821
        from retention._kernels import logt

        return logt.Prior(self.m0, self.kappa0, self.nu0, self.s0_squared, self.a, self.b)


def _statistics(h: Histories) -> tuple[FloatColumn, FloatColumn, FloatColumn, FloatColumn]:
    # Squares of log gaps add up to 0 only if every gap is one day, and then recency is their number.
    absent = (h.frequency > 0) & (h.gap_log_squares == 0) & (h.recency_days != h.frequency)
    if absent.any():
        raise RetentionError(
            f"{int(absent.sum()):,} histories with repeat purchases and no log gaps",
            rule="a clock is read from gap_log_sum and gap_log_squares",
            remedy="let rt.summarize make the histories, or pass both columns to from_arrays",
        )
    return h.frequency.astype(np.float64), h.gap_log_sum, h.gap_log_squares, h.idle_days
