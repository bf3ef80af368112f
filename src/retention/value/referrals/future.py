"""How many customers each is still expected to bring: a forecast, kept apart from those whom she has brought."""

import math

import numpy as np
from attrs import frozen

from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.histories import Histories
from retention.records.referrals import Referrals
from retention.value.positions import positions
from retention.value.valuation import Valuation

__all__ = ["FutureReferrals", "expected_referrals"]

_YEAR = 365.0


@frozen(eq=False, repr=False, kw_only=True)
class FutureReferrals(Table):
    """One row a customer: the referrals expected within a horizon; none of them is in any referral value.

    ``shape`` and ``days`` are those of the gamma distribution of rates over the base (infinite shape: all alike).
    """

    customer_id: TextColumn = column("who")
    referred: IntColumn = column("customers she has brought so far", unit="count")
    exposure_days: FloatColumn = column("days in which she could bring them", unit="days")
    yearly_rate: FloatColumn = column("referrals a year while she is a customer", unit="count a year")
    expected: FloatColumn = column("referrals expected within the horizon", unit="count")
    expected_low: FloatColumn = column("lower bound of the number within the horizon", unit="count")
    expected_high: FloatColumn = column("upper bound of the number within the horizon", unit="count")

    horizon_days: float
    interval: float
    shape: float
    days: float

    def value(self, credit: float, *, discount_rate: float) -> FloatColumn:
        """What the expected referrals are worth if each is credited with ``credit`` on the day it happens.

        They are spread evenly over the horizon and discounted continuously: the factor is (1 - exp(-dH)) / (dH) with
        d = log1p(rate) / 365 a day. ``credit`` is the credit for a customer just acquired, in money of that day: not
        the mean of those observed, who have been customers for a while.
        """
        if not (math.isfinite(credit) and 0 <= discount_rate < math.inf):
            raise ConfigError(
                f"credit={credit!r}, discount_rate={discount_rate!r}",
                rule="a credit is finite, a yearly rate >= 0",
                remedy="0.10 means 10 % a year",
            )
        passed = math.log1p(discount_rate) * self.horizon_days / _YEAR
        return np.asarray(self.expected * credit * (-math.expm1(-passed) / passed if passed else 1.0))


def expected_referrals(
    histories: Histories, valuation: Valuation, referrals: Referrals, *, horizon_days: float = 365.0
) -> FutureReferrals:
    """Expected referrals of each customer, her own rate drawn towards the base's as far as her record is short.

    Referrals are Poisson at a rate that is gamma distributed over the base, so her rate is
    ``(shape + referred) / (days + exposure_days)``. She could refer from her first purchase to her last, and after it
    with the probability of still being a customer. Shape and days are found by moments: the mean rate (with half a
    referral added, Jeffreys' prior, so that a base without referrals is not held unable to refer), and the variance
    between customers beyond Poisson's; without any, all have the mean rate. ``horizon_days`` is multiplied with
    ``p_alive``, as if she left today or not within the horizon: for long horizons the forecast is too high. Bounds are
    quantiles of the negative binomial, at the valuation's interval.

    It knows nothing of campaigns, of friends running out, or of referrals begetting referrals. Referrals of people
    without a history are left out; a note counts them. Raises ModelError if histories and valuation are of different
    customers.

    Example:
        >>> from retention.value import BGNBD, appraise
        >>> base = Histories.from_arrays(frequency=[4] * 3, recency_days=[270] * 3, age_days=[270] * 3,
        ...                              margin_mean=[5.0] * 3, customer_id=["ann", "bea", "cleo"])
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
        >>> brought = Referrals.from_arrays(referrer_id=["ann"] * 6, referred_id=list("qrstuv"))
        >>> ahead = expected_referrals(base, appraise(base, model), brought)
        >>> bool(ahead.yearly_rate[0] > ahead.yearly_rate[1] == ahead.yearly_rate[2] > 0)
        True
    """
    if not (0 < horizon_days < math.inf):
        raise ConfigError(
            f"horizon_days={horizon_days!r}", rule="a horizon is positive and finite", remedy="365 is a year"
        )
    ids = histories.customer_id
    if not np.array_equal(ids, valuation.customer_id):
        raise ModelError(
            "histories and a valuation of different customers",
            rule="both have the same rows in the same order",
            remedy="pass the histories that were appraised",
        )
    found = positions(referrals.referrer_id, ids)
    counts = np.bincount(found[found >= 0], minlength=len(ids)).astype(np.int64)
    exposure = histories.recency_days + valuation.p_alive * histories.idle_days
    shape, days = _rates(counts, exposure)
    if math.isinf(shape):
        rate = np.full(len(ids), 1 / days if days > 0 else 0.0)
    else:
        rate = (shape + counts) / (days + exposure)
    ahead = horizon_days * valuation.p_alive
    low, high = _quantiles(counts, exposure, shape, days, rate, ahead, valuation.interval)
    away = int(np.count_nonzero(found < 0))
    notes = (f"{away:,} referrals of people without a history are left out",) if away else ()
    return FutureReferrals(
        customer_id=ids,
        referred=counts,
        exposure_days=exposure,
        yearly_rate=rate * _YEAR,
        expected=rate * ahead,
        expected_low=low,
        expected_high=high,
        horizon_days=float(horizon_days),
        interval=valuation.interval,
        shape=shape,
        days=days,
        provenance=valuation.provenance.with_notes(*referrals.provenance.notes, *notes),
    )


def _rates(counts: IntColumn, exposure: FloatColumn) -> tuple[float, float]:
    """Shape and days of the gamma distribution of daily rates; an infinite shape, and the days one referral takes."""
    total = float(exposure.sum())
    if total <= 0:
        return math.inf, 0.0
    mean, plain = (float(counts.sum()) + 0.5) / total, float(counts.sum()) / total
    between = float(np.sum((counts - plain * exposure) ** 2) - np.sum(counts)) / float(np.sum(exposure**2))
    if between <= 1e-9 * mean**2:
        return math.inf, 1 / mean
    return mean**2 / between, mean / between


def _quantiles(
    counts: IntColumn,
    exposure: FloatColumn,
    shape: float,
    days: float,
    rate: FloatColumn,
    ahead: FloatColumn,
    interval: float,
) -> tuple[FloatColumn, FloatColumn]:
    from scipy.stats import nbinom, poisson

    levels = np.array([[1 - interval], [1 + interval]]) / 2
    if math.isinf(shape):
        found = poisson.ppf(levels, rate * ahead)
    else:
        waited = days + exposure
        found = nbinom.ppf(levels, shape + counts, waited / (waited + ahead))
    bounds = np.asarray(found, dtype=np.float64)
    return bounds[0], bounds[1]
