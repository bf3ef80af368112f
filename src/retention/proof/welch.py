"""The interval of the textbooks, to compare with: right where everybody spends alike, wrong where few spend most."""

import math

import numpy as np
from attrs import field, frozen

from retention.frames.table import BoolColumn, FloatColumn, IntColumn
from retention.proof.intervals import Difference

__all__ = ["Normal"]


@frozen
class Normal:
    r"""Welch's difference of means within groups, weighted as the contacted fill them, with a normal interval.

    .. math:: D = \sum_g \frac{n_{1g}}{n_1} (\bar y_{1g} - \bar y_{0g}), \qquad
       D \pm z \sqrt{\sum_g \left(\frac{n_{1g}}{n_1}\right)^2 \left(\frac{s_{1g}^2}{n_{1g}} +
       \frac{s_{0g}^2}{n_{0g}}\right)}

    The difference is that of :class:`~retention.proof.intervals.Permutation`, and for thousands of customers who spend
    alike so is the interval. Spend is not alike: where one customer in a hundred brings half of the money, the mean of
    a small hold-out is mostly too low and its own spread with it, so that an interval of 95 % holds much less often and
    mostly fails on one side. It is here to see that, not to judge contacts by. An arm of one customer in a group
    borrows the variance of both arms, and the past is not used.

    Source: Welch, Biometrika 34 (1947) 28-35.

    Example:
        >>> margin = np.array([4.0, 6.0, 1.0, 3.0])
        >>> told = Normal().estimate(margin, np.array([True, True, False, False]), np.zeros(4, dtype=np.int64))
        >>> told.value, round(told.error, 3), round(told.low, 2), round(told.high, 2)
        (3.0, 1.414, 0.23, 5.77)
    """

    name: str = field(default="normal", init=False)

    def estimate(
        self,
        values: FloatColumn,
        contacted: BoolColumn,
        group: IntColumn,
        *,
        before: FloatColumn | None = None,
        level: float = 0.95,
        cost: float = 0.0,
    ) -> Difference:
        """Contacted less held-out, less a known cost; every group holds both arms. ``before`` is not looked at."""
        from scipy.special import ndtr, ndtri

        value, variance = 0.0, 0.0
        for g in np.unique(group):
            here = group == g
            seen, held = values[here & contacted], values[here & ~contacted]
            weight = len(seen) / float(contacted.sum())
            value += weight * float(seen.mean() - held.mean())
            variance += weight**2 * (_spread(seen, values[here]) / len(seen) + _spread(held, values[here]) / len(held))
        error = math.sqrt(variance)
        if not error > 0:
            return Difference(
                value=value - cost, low=-math.inf, high=math.inf, error=math.nan, plain_error=math.nan, explained=0.0,
                tail_above=1.0, tail_below=1.0,
            )  # fmt: skip
        reach, score = float(ndtri((1 + level) / 2)) * error, (value - cost) / error
        return Difference(
            value=value - cost,
            low=value - cost - reach,
            high=value - cost + reach,
            error=error,
            plain_error=error,
            explained=0.0,
            tail_above=float(ndtr(-score)),
            tail_below=float(ndtr(score)),
        )


def _spread(mine: FloatColumn, both: FloatColumn) -> float:
    return float(np.var(mine if len(mine) > 1 else both, ddof=1)) if len(both) > 1 else 0.0
