"""A value model that fits on a page: a gamma-Poisson rate, and even odds that each purchase was the last."""

import math

import numpy as np
from attrs import asdict, frozen

from retention.value import Valuation


@frozen(kw_only=True)
class SteadyRate:
    """The recipe: the base's mean rate counts as much as ``weight`` average customers' histories."""

    weight: float = 1.0
    name: str = "steady-rate"

    def fit(self, histories):
        """Learn the base's mean rate of repeat purchases and mean margin."""
        days, bought = histories.age_days.sum(), histories.frequency.sum()
        rate = (bought + 0.5) / (days + 1.0)
        margin = (histories.margin_mean * histories.frequency).sum() / max(bought, 1)
        return FittedSteadyRate(shape=self.weight, days=self.weight / rate, margin=float(margin))


@frozen(kw_only=True)
class FittedSteadyRate:
    """A gamma prior on her purchases a day (``shape``, ``days``), and the base's mean margin of a purchase day."""

    shape: float
    days: float
    margin: float
    name: str = "steady-rate"

    def p_alive(self, histories):
        """Even odds that her last purchase was her last one, turned by how unusual her silence would be otherwise."""
        h = histories
        silence = np.exp(-(self.shape + h.frequency) * np.log1p(h.idle_days / (self.days + h.recency_days)))
        return silence / (1.0 + silence)

    def expected_purchases(self, histories, days):
        """Her rate times the days, if she is still there."""
        rate = (self.shape + histories.frequency) / (self.days + histories.age_days)
        return self.p_alive(histories) * rate * days

    def value(self, histories, *, horizon_days, discount_rate, interval=0.90):
        """Value and bounds: either she is gone, or her purchases are negative binomial."""
        from scipy.stats import nbinom

        x, alive = histories.frequency, self.p_alive(histories)
        force = math.log1p(discount_rate) / 365.0 * horizon_days
        shrink = -math.expm1(-force) / force if force > 0 else 1.0
        margin = (self.shape * self.margin + x * histories.margin_mean) / (self.shape + x)
        still = (self.days + histories.age_days) / (self.days + histories.age_days + horizon_days)

        def purchases(rank):
            gone = 1.0 - alive
            within = np.divide(rank - gone, alive, out=np.zeros(len(alive)), where=rank > gone)
            return np.maximum(nbinom.ppf(np.minimum(within, 1.0), self.shape + x, still), 0.0)

        ends = margin * shrink * np.stack([purchases((1 - interval) / 2), purchases((1 + interval) / 2)])
        expected = self.expected_purchases(histories, horizon_days)
        return Valuation(
            customer_id=histories.customer_id,
            p_alive=alive,
            expected_purchases=expected,
            margin_mean=margin,
            expected_margin=expected * margin,
            value=expected * margin * shrink,
            value_low=ends.min(axis=0),
            value_high=ends.max(axis=0),
            model=self.name,
            horizon_days=horizon_days,
            discount_rate=discount_rate,
            interval=interval,
            currency=histories.currency,
            provenance=histories.provenance,
        )

    def to_dict(self):
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data):
        """What ``to_dict`` wrote down."""
        return cls(**data)
