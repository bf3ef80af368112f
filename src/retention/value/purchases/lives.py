"""A log on a day against a calendar: what each customer lived through week by week, and how likely that was."""

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories, summarize
from retention.records.transactions import TransactionLog
from retention.value.purchases.calendar import WEEK, Calendar
from retention.value.weights import weights_of

if TYPE_CHECKING:
    from retention._kernels.paretonbd_dynamic import Stretch
    from retention.value.purchases.dynamic import DynamicParetoNBD

__all__ = ["DynamicLikelihood", "Lives"]

_STEP = 2e-4  # of the differences of the gradient that make the Hessian: wrong by about 1e-8 of it


class Lives(NamedTuple):
    """What a log says on a day, in days: the base, the moments of all repeat purchases (noon, well inside their week)
    with the rows of who made them; the covariates, and where each customer's weeks begin in them."""

    base: Histories
    edges: FloatColumn
    born: FloatColumn
    last: FloatColumn
    end: float
    bought_at: FloatColumn
    bought_by: NDArray[np.intp]
    table: FloatColumn
    offset: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        recipe: "DynamicParetoNBD",
        log: TransactionLog,
        calendar: Calendar,
        as_of: str | dt.date,
        ahead: float = 0.0,
    ) -> Self:
        """Against a calendar that must know all of it, and what is ``ahead`` days after it; ModelError otherwise."""
        day = as_day(as_of)
        base = summarize(log, as_of=day, habits=False)
        today = float(np.datetime64(day, "D").astype(np.int64))
        start = float(np.datetime64(calendar.start, "D").astype(np.int64))
        # The number of a day stands for its evening, so a week begins on the evening before its first day: what may
        # happen on a day, and what does, both count in that day's week.
        edges = start - 1 + WEEK * np.arange(calendar.weeks + 1.0)
        born = today - base.age_days
        if len(base) and born.min() < start:
            raise ModelError(
                f"a calendar from {calendar.start} for purchases from {base.first_at.min()} on",
                rule="it knows every week since the first purchase",
                remedy="let it begin earlier, or leave earlier customers out of the log",
            )
        if today + ahead > edges[-1]:
            raise ModelError(
                f"a calendar up to {calendar.end}, asked about the time up to {day}"
                + (f" and {ahead:g} days after it" if ahead else ""),
                rule="it knows every week up to the as-of date, and up to the horizon of a forecast",
                remedy="add the weeks to come with the values you plan or assume: the last ones are not carried on",
            )
        known = log.until(day)
        bought = ~(known.is_return | known.is_cancelled)
        whose = np.searchsorted(base.customer_id, known.customers.labels)[known.customers.codes[bought]]
        pairs = np.unique(np.stack([whose, known.day[bought].astype(np.int64)], axis=1), axis=0)
        repeats = pairs[1:][pairs[1:, 0] == pairs[:-1, 0]]
        table, offset = calendar.table((*recipe.rate, *recipe.dropout), base.customer_id)
        return cls(
            base, edges, born, born + base.recency_days, today,
            repeats[:, 1] - 0.5, repeats[:, 0].astype(np.intp), table, offset,
        )  # fmt: skip

    def stretches(self, unit: float, every: int = 1) -> "tuple[Stretch, ...]":
        """The customers' lives in pieces; of each ``every``-th of them."""
        from retention._kernels.paretonbd_dynamic import lay_out

        some = self.bought_by % every == 0
        born, last = self.born[::every], self.last[::every]
        end = np.full(len(born), self.end)
        by = self.bought_by[some] // every
        return lay_out(self.edges, born, last, end, self.bought_at[some], by, self.offset[::every], unit)

    def ahead(self, days: float, unit: float) -> tuple[FloatColumn, NDArray[np.intp]]:
        """The pieces of the next ``days``: their widths, and the row of the covariates of each customer in each."""
        later = self.edges[(self.edges > self.end) & (self.edges < self.end + days)]
        cuts = np.concatenate([[self.end], later])
        week = np.searchsorted(self.edges, cuts, side="right") - 1
        return np.diff(np.append(cuts, self.end + days)) / unit, self.offset[:, None] + week


@frozen(kw_only=True, eq=False)
class DynamicLikelihood:
    """The likelihood of lives in log-parameters and coefficients, of covariates centred and scaled to a standard
    deviation of one over the time that customers were watched, times in ``clock`` days.

    ``told`` takes a point to the covariates' own units and the model's time unit; ``back`` is the linear part of that.
    """

    table: FloatColumn
    split: int
    stretches: "tuple[Stretch, ...]"
    weight: FloatColumn
    few: "tuple[tuple[Stretch, ...], FloatColumn]"
    back: FloatColumn
    shift: FloatColumn

    @classmethod
    def of(cls, recipe: "DynamicParetoNBD", lives: Lives, clock: float, weight: Any, few: int) -> Self:
        """From lives; about ``few`` of the customers, spread evenly, stand for all in ``few``."""
        w, split, q = weights_of(weight, len(lives.base)), len(recipe.rate), len(recipe.rate) + len(recipe.dropout)
        stretches = lives.stretches(clock)
        center, scale = _spread_of(lives.table, stretches, w)
        back = np.eye(4 + q)
        back[4:, 4:] = np.diag(1 / scale)
        back[1, 4 : 4 + split] = (center / scale)[:split]
        back[3, 4 + split :] = (center / scale)[split:]
        shift = np.zeros(4 + q)
        shift[[1, 3]] = math.log(clock / recipe.time_unit_days)
        every = max(1, len(w) // few)
        return cls(
            table=(lives.table - center) / scale, split=split, stretches=stretches, weight=w,
            few=(lives.stretches(clock, every=every), w[::every]), back=back, shift=shift,
        )  # fmt: skip

    def told(self, theta: FloatColumn) -> FloatColumn:
        """A point (or a row each) in the covariates' own units and the model's time unit."""
        return np.asarray(np.einsum("ij,...j->...i", self.back, theta) + self.shift)

    def from_told(self, told: FloatColumn) -> FloatColumn:
        """The reverse of ``told``, of one point."""
        return np.asarray(np.linalg.solve(self.back, told - self.shift), dtype=np.float64)

    def slope(self, theta: FloatColumn, some: Any = None) -> tuple[float, FloatColumn]:
        """Value and gradient; of ``some`` of the customers (as ``few`` has them), or of all."""
        from retention._kernels.paretonbd_dynamic import total

        stretches, weight = some or (self.stretches, self.weight)
        value, own, by_a, by_b = total(np.exp(theta[:4]), *self._logs(theta), stretches, weight)
        split = self.split
        by_rate = np.einsum("rp,r->p", self.table[:, :split], by_a)
        by_dropout = np.einsum("rp,r->p", self.table[:, split:], by_b)
        return value, np.concatenate([own, by_rate, by_dropout])

    def total(self, theta: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
        """Value, gradient and Hessian, the last from differences of the exact gradient."""
        value, gradient = self.slope(theta)
        steps = _STEP * np.eye(len(theta))
        hessian = np.array([self.slope(theta + h)[1] - self.slope(theta - h)[1] for h in steps]) / (2 * _STEP)
        return value, gradient, (hessian + hessian.T) / 2

    def values(self, points: FloatColumn) -> FloatColumn:
        """The log-likelihood at many points, one a row."""
        from retention._kernels.paretonbd_dynamic import log_likelihoods

        each = (log_likelihoods(np.exp(p[:4]), *self._logs(p), self.stretches) for p in points)
        return np.array([float(np.einsum("n,n->", self.weight, logs)) for logs in each])

    def _logs(self, theta: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
        """The logs of the multipliers of rate and drop-out, by row of the covariates."""
        split = self.split
        rate = np.einsum("rp,p->r", self.table[:, :split], theta[4 : 4 + split])
        dropout = np.einsum("rp,p->r", self.table[:, split:], theta[4 + split :])
        return np.clip(rate, -50.0, 50.0), np.clip(dropout, -50.0, 50.0)


def _spread_of(
    table: FloatColumn, stretches: "tuple[Stretch, ...]", customers: FloatColumn
) -> tuple[FloatColumn, FloatColumn]:
    """Mean and standard deviation of the covariates over the time that customers were watched."""
    weight = np.zeros(len(table))
    for stretch in stretches:
        w = customers[stretch.who][:, None]
        np.add.at(weight, stretch.before, w * stretch.before_width)
        np.add.at(weight, stretch.after, w * stretch.after_width)
    whole = max(float(weight.sum()), 1e-300)
    center = np.einsum("r,rp->p", weight, table) / whole
    scale = np.sqrt(np.einsum("r,rp->p", weight, (table - center) ** 2) / whole)
    return center, np.where(scale > 1e-12 * (1 + np.abs(center)), scale, 1.0)
