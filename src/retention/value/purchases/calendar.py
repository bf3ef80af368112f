"""What changes from week to week and is known: seasons and campaigns, for all customers or for single ones."""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ConfigError, ModelError, nearest
from retention.frames.table import FloatColumn, TextColumn, read_only

__all__ = ["WEEK", "Calendar"]

WEEK = 7
"""Days in one."""


@frozen(kw_only=True, eq=False, repr=False)
class Calendar:
    """Covariates week by week: some the same for all customers, some each customer's own.

    ``start`` is the first day of the first week, any day of the week; weeks follow one another without a gap.
    ``shared`` holds one number a week, ``own`` one row a customer of ``customer_id`` and one number a week. It must
    know every week that is asked about, also those ahead in a forecast: nothing is carried on.

    Example:
        >>> calendar = Calendar.weekly(["2011-01-03", "2011-01-10", "2011-01-17"], {"sale": [0, 1, 0]})
        >>> calendar = calendar.with_own(["ann", "bea"], {"mailed": [[0, 1, 1], [0, 0, 0]]})
        >>> calendar
        <Calendar: 3 weeks from 2011-01-03, shared: sale; own of 2 customers: mailed>
    """

    start: dt.date
    weeks: int
    shared: Mapping[str, FloatColumn] = field(factory=dict)
    customer_id: TextColumn = field(factory=lambda: read_only(np.zeros(0, dtype=np.str_)))
    own: Mapping[str, FloatColumn] = field(factory=dict)

    @classmethod
    def weekly(cls, weeks: Sequence[Any], values: Mapping[str, Any]) -> Self:
        """A calendar from the first day of each week, in order, and one number a week for each covariate.

        Raises ConfigError for a gap or a week out of order, and for values that are not one finite number a week.
        """
        days = [as_day(week, name="week") for week in weeks]
        if not days:
            raise ConfigError("a calendar without weeks", rule="a calendar has a week or more", remedy="name its weeks")
        for before, after in pairwise(days):
            if (after - before).days != WEEK:
                raise ConfigError(
                    f"a calendar in which {after} follows {before}",
                    rule=f"weeks follow one another without gaps: the next begins {before + dt.timedelta(WEEK)}",
                    remedy="add what is missing, with the values those weeks had",
                )
        shared = {name: _finite(name, column, (len(days),), "one number a week") for name, column in values.items()}
        return cls(start=days[0], weeks=len(days), shared=shared)

    def with_own(self, customer_id: Sequence[Any] | TextColumn, values: Mapping[str, Any]) -> Self:
        """The same calendar with covariates of single customers: a row a customer, one number a week.

        One number a customer is one that never changes. All such covariates are told together. Raises ConfigError for
        another shape, numbers that are not finite, a customer told twice or a name that is taken.
        """
        ids = np.asarray(customer_id, dtype=np.str_)
        order = np.argsort(ids, kind="stable")
        if np.any(ids[order][1:] == ids[order][:-1]):
            raise ConfigError("a customer told twice", rule="one row a customer", remedy="merge the rows first")
        taken = [name for name in values if name in self.shared]
        if taken or self.own:
            raise ConfigError(
                f"own covariates {', '.join(values)} beside {', '.join((*taken, *self.own))}",
                rule="a name is told once, and all that are customers' own in one call",
                remedy="rename it, or tell them together",
            )
        own = {}
        for name, column in values.items():
            array = np.asarray(column, dtype=np.float64)
            if array.shape == ids.shape:
                array = np.repeat(array[:, None], self.weeks, axis=1)
            rule = f"a row for each of {len(ids):,} customers and one number for each of {self.weeks} weeks"
            own[name] = read_only(_finite(name, array, (len(ids), self.weeks), rule)[order])
        return evolve(self, customer_id=read_only(ids[order]), own=own)

    @property
    def end(self) -> dt.date:
        """The last day that it knows."""
        return self.start + dt.timedelta(WEEK * self.weeks - 1)

    def __repr__(self) -> str:
        parts = [f"shared: {', '.join(self.shared)}"] if self.shared else []
        parts += [f"own of {len(self.customer_id):,} customers: {', '.join(self.own)}"] if self.own else []
        return f"<Calendar: {self.weeks} weeks from {self.start}, {'; '.join(parts) or 'no covariates'}>"

    def table(self, names: Sequence[str], who: TextColumn) -> tuple[FloatColumn, NDArray[np.intp]]:
        """The named covariates, a row a week (and customer, if one of them is customers' own), and the row at which
        each customer's weeks begin.

        Raises ModelError for a name it does not have and for customers whose own covariates it does not know.
        """
        for name in names:
            if name not in self.shared and name not in self.own:
                raise ModelError(
                    f"covariate {name!r}",
                    rule=f"the calendar has {', '.join((*self.shared, *self.own)) or 'none'}",
                    remedy=nearest(name, (*self.shared, *self.own)),
                )
        if not any(name in self.own for name in names):
            columns = [self.shared[name] for name in names]
            return np.stack(columns, axis=1) if columns else np.zeros((self.weeks, 0)), np.zeros(len(who), np.intp)
        at = np.minimum(np.searchsorted(self.customer_id, who), max(len(self.customer_id) - 1, 0))
        unknown = int(np.sum(self.customer_id[at] != who)) if len(self.customer_id) else len(who)
        if unknown:
            raise ModelError(
                f"a calendar without the own covariates of {unknown:,} of {len(who):,} customers",
                rule="covariates that are customers' own are known for each of them",
                remedy="add their rows; where nothing happened a row of zeros says so",
            )
        shape = (len(who), self.weeks)
        made = [
            np.broadcast_to(self.shared[name], shape) if name in self.shared else self.own[name][at] for name in names
        ]
        return np.stack([column.ravel() for column in made], axis=1), np.arange(len(who)) * self.weeks


def _finite(name: str, values: Any, shape: tuple[int, ...], rule: str) -> FloatColumn:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not np.all(np.isfinite(array)):
        holes = "" if array.shape != shape else f" with {int(np.sum(~np.isfinite(array)))} holes"
        raise ConfigError(
            f"covariate {name!r} of shape {array.shape}{holes}",
            rule=f"a covariate is {rule}, all finite",
            remedy="line it up with the weeks, and fill holes with what was true",
        )
    return read_only(array)
