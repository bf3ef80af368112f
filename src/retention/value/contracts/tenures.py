"""Customers whose end is seen: how many renewals each has come through, and whether she then ended."""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain.customer import Contract
from retention.domain.days import as_day
from retention.errors import ConfigError, RetentionError, nearest
from retention.frames.table import (
    BoolColumn,
    DayColumn,
    FloatColumn,
    IntColumn,
    Table,
    TextColumn,
    column,
    read_only_columns,
)
from retention.records.contracts import Contracts

__all__ = ["Tenures"]

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def _covariates(values: Mapping[str, Any] | None) -> Mapping[str, FloatColumn]:
    given = {} if values is None else values
    return read_only_columns({name: np.asarray(column, dtype=np.float64) for name, column in given.items()})


@frozen(eq=False, repr=False, kw_only=True)
class Tenures(Table):
    """One row a customer (or ``weight`` customers who are alike): renewals so far, and whether she ended.

    ``renewals`` counts the renewal decisions that she came through. ``ended`` says that she did not come through the
    next one; who has not ended is still a customer and may renew for ever (right-censored). The first period, for
    which she signed up, is no renewal: whoever signs up and never renews has 0 renewals and has ended. ``covariates``
    are numbers known at the start, one column each.

    Example:
        >>> base = Tenures.from_arrays(renewals=[0, 3, 7], ended=[True, True, False])
        >>> len(base), int(base.ended.sum())
        (3, 2)
    """

    customer_id: TextColumn = column("who")
    renewals: IntColumn = column("renewal decisions come through", unit="count")
    ended: BoolColumn = column("whether she ended at the next one")
    weight: FloatColumn = column("customers that the row stands for", unit="count")

    covariates: Mapping[str, FloatColumn] = field(default=None, converter=_covariates)

    def __attrs_post_init__(self) -> None:
        Table.__attrs_post_init__(self)
        _check(self)

    def columns(self) -> dict[str, Any]:
        """The columns by name, covariates last."""
        return {**Table.columns(self), **self.covariates}

    def take(self, rows: Any) -> Self:
        """The same table with only these rows."""
        own = {name: values[rows] for name, values in Table.columns(self).items()}
        return attrs.evolve(self, **own, covariates={name: values[rows] for name, values in self.covariates.items()})

    @property
    def customers(self) -> float:
        """How many customers the rows stand for."""
        return float(self.weight.sum())

    @classmethod
    def from_arrays(
        cls,
        *,
        renewals: Any,
        ended: Any,
        weight: Any = None,
        customer_id: Any = None,
        covariates: Mapping[str, Any] | None = None,
    ) -> Self:
        """Build a table from arrays; weights default to 1 and ids to ``c0, c1, ...``."""
        counts = np.asarray(renewals, dtype=np.float64)
        if counts.ndim != 1 or not np.all((counts == np.rint(counts)) & (counts >= 0) & (counts < 2**53)):
            raise RetentionError(
                "renewals with fractions, below zero or not in one dimension",
                rule="renewals are counted: 0, 1, 2, ... for each customer",
                remedy="count the renewal decisions she came through; Tenures.from_contracts counts them from dates",
            )
        flags = np.asarray(ended)
        if flags.dtype != np.bool_ and not np.all(np.isin(flags, (0, 1))):
            raise RetentionError(
                "`ended` with other values than yes and no",
                rule="she ended or she did not",
                remedy="pass True or False",
            )
        n = len(counts)
        ids = customer_id
        if ids is None:
            width = len(str(max(n - 1, 0)))
            ids = [f"c{i:0{width}d}" for i in range(n)]
        return cls(
            customer_id=np.asarray(ids, dtype=np.str_).reshape(-1),
            renewals=counts.astype(np.int64),
            ended=flags.astype(np.bool_),
            weight=np.ones(n) if weight is None else np.array(weight, dtype=np.float64),
            covariates=covariates,
        )

    @classmethod
    def from_survivors(
        cls, survivors: Sequence[float], *, name: str = "cohort", covariates: Mapping[str, float] | None = None
    ) -> Self:
        """A published cohort table: how many signed up, came through the first renewal, the second, ...

        Who came through the last column is still a customer there. Each row stands for those who ended at one renewal;
        ``covariates`` give every one of them the same values (``|`` adds another cohort).

        Example:
            >>> cohort = Tenures.from_survivors([1000, 869, 743, 653, 593])
            >>> cohort.renewals.tolist(), cohort.weight.tolist()
            ([0, 1, 2, 3, 4], [131.0, 126.0, 90.0, 60.0, 593.0])
        """
        left = np.asarray(survivors, dtype=np.float64)
        if (
            left.ndim != 1
            or not len(left)
            or not np.all(np.isfinite(left))
            or left[-1] < 0
            or np.any(np.diff(left) > 0)
        ):
            raise RetentionError(
                "a survivor table that is empty, rises, or holds what is not a number of zero or more",
                rule="the survivors of a cohort never become more",
                remedy="pass counts of one cohort: [1000, 869, 743, ...]; add cohorts with |",
            )
        renewals = np.arange(len(left))
        weight = np.append(left[:-1] - left[1:], left[-1])
        some = weight > 0
        table = cls.from_arrays(
            renewals=renewals[some],
            ended=(renewals < len(left) - 1)[some],
            weight=weight[some],
            customer_id=[f"{name}-{k}" for k in renewals[some]],
        )
        values = {key: np.full(len(table), float(value)) for key, value in (covariates or {}).items()}
        return attrs.evolve(table, covariates=values)

    @classmethod
    def from_contracts(
        cls,
        contracts: Contracts | Iterable[Contract],
        *,
        as_of: str | dt.date | None = None,
        period: str | float,
        covariates: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Self:
        """Count renewals between dates: ``period`` is "month", "quarter", "year" (by the calendar) or days.

        ``contracts`` is a table (``rt.read_contracts``), whose own day is taken where ``as_of`` is left out, or single
        contracts. A renewal falls due at the end of every period after the start. Whoever has not ended by ``as_of``
        (an end after it is not known yet) has come through all that were due until then, that day included. Whoever
        has ended came through those before her last day: an end on the very day of a renewal, or in the period after
        the one before, is the decision not to make it. Contracts that start after ``as_of`` are left out and counted in
        the provenance's notes. ``covariates`` maps each customer to her values.

        Raises:
            ConfigError: no such period, single contracts without ``as_of``.
            RetentionError: what a table of contracts refuses, several contracts of one customer, contracts that were
                watched only from a later age (no survivor of a cohort stands for those who had left by then).

        Example:
            >>> signed = dt.date(2024, 1, 31)
            >>> base = Tenures.from_contracts(
            ...     [Contract(customer_id="a", started=signed), Contract(customer_id="b", started=signed,
            ...      ended=dt.date(2024, 3, 31))], as_of=dt.date(2024, 6, 30), period="month")
            >>> base.renewals.tolist(), base.ended.tolist()
            ([5, 1], [False, True])
        """
        if not (period in _MONTHS or (isinstance(period, int | float) and 0 < period < math.inf)):
            raise ConfigError(
                f"period={period!r}",
                rule="a contract renews by the month, quarter or year, or after a number of days",
                remedy=f"days above 0, or a word: {nearest(str(period), _MONTHS)}",
            )
        known = _as_table(contracts, as_of)
        if len(np.unique(known.customer_id)) < len(known):
            raise RetentionError(
                "several contracts of one customer",
                rule="a tenure is one unbroken relationship",
                remedy="join those that follow each other with contracts.relationships(), or give each its own id",
            )
        if (known.entry_days > 0).any():
            raise RetentionError(
                f"{int((known.entry_days > 0).sum()):,} contracts that began before ends were on file",
                rule="of those who began then the ones that left early are unknown, and renewals would look better",
                remedy="keep the contracts that began on observed_from or later",
            )
        known = known.take(np.argsort(known.customer_id, kind="stable"))
        over = known.ended
        last = np.where(over, known.end, np.datetime64(known.as_of, "D"))
        whole, exact = _periods(known.start, last, period)
        ids = known.customer_id.tolist()
        table = cls.from_arrays(renewals=np.maximum(whole - (over & exact), 0), ended=over, customer_id=ids)
        names = dict.fromkeys(key for who in (covariates or {}).values() for key in who)
        lacking = [who for who in ids if set(names) - set((covariates or {}).get(who, {}))] if names else []
        if lacking:
            raise RetentionError(
                f"{len(lacking):,} customers without all of the covariates {', '.join(names)}",
                rule="every customer has a value for every covariate",
                remedy="fill them in, or leave those customers or covariates out",
            )
        return attrs.evolve(
            table,
            covariates={key: np.array([(covariates or {})[who][key] for who in ids]) for key in names},
            provenance=known.provenance,
        )

    def observed_survival(self) -> FloatColumn:
        """Shares of the customers that came through 0, 1, 2, ... decisions, as the data alone say.

        The Kaplan-Meier estimate: at every decision the share of those who renewed among all who are known to have
        faced it. It ends at the last decision that anybody faced.

        Example:
            >>> base = Tenures.from_arrays(renewals=[0, 1, 1, 2], ended=[True, True, False, False])
            >>> base.observed_survival().tolist()
            [1.0, 0.75, 0.375]
        """
        faced = self.renewals + self.ended
        last = int(faced.max(initial=0))
        at_risk = np.bincount(faced, self.weight, last + 1)[::-1].cumsum()[::-1][1:]
        ends = np.bincount(faced[self.ended], self.weight[self.ended], last + 1)[1:]
        left = np.divide(ends, at_risk, out=np.zeros(last), where=at_risk > 0)
        return np.concatenate([[1.0], np.cumprod(1 - left)])

    def __or__(self, other: "Tenures") -> "Tenures":
        """Two tables of different customers as one."""
        if set(self.covariates) != set(other.covariates):
            raise RetentionError(
                "joining tenures with different covariates",
                rule="every customer has a value for every covariate",
                remedy="give both tables the same covariates",
            )
        ids = np.concatenate([self.customer_id, other.customer_id])
        if len(np.unique(ids)) < len(ids):
            raise RetentionError(
                "joining tenures that share customers",
                rule="one row a customer",
                remedy="name cohorts apart: Tenures.from_survivors(..., name='2024')",
            )
        theirs = Table.columns(other)
        both: dict[str, Any] = {
            name: np.concatenate([mine, theirs[name]]) for name, mine in Table.columns(self).items()
        }
        values = {name: np.concatenate([mine, other.covariates[name]]) for name, mine in self.covariates.items()}
        return attrs.evolve(self, **both, covariates=values)


def _as_table(contracts: Contracts | Iterable[Contract], as_of: str | dt.date | None) -> Contracts:
    day = None if as_of is None else as_day(as_of)
    if isinstance(contracts, Contracts):
        return (contracts if day is None else contracts.until(day)).watched()
    if day is None:
        raise ConfigError(
            "single contracts without as_of",
            rule="who still renews is known up to a day, and the day is given, never read from the clock",
            remedy="pass as_of=datetime.date(...)",
        )
    return Contracts.of(contracts, as_of=day)


def _periods(start: DayColumn, end: DayColumn, period: str | float) -> tuple[IntColumn, BoolColumn]:
    """Whole periods between the days of each row, and whether the last of them ends on the very day."""
    if isinstance(period, str):
        step = _MONTHS[period]
        months = (end.astype("datetime64[M]") - start.astype("datetime64[M]")).astype(np.int64)
        whole = months // step
        whole = whole - (_later(start, whole * step) > end)
        return whole, _later(start, whole * step) == end
    length = (end - start).astype(np.int64) / period
    near = np.rint(length)
    exact = np.abs(length - near) < 1e-9 * np.maximum(1.0, near)
    return np.where(exact, near, np.floor(length)).astype(np.int64), exact


def _later(start: DayColumn, months: IntColumn) -> DayColumn:
    """The same day so many months on, or the last day of that month if it has none."""
    first = start.astype("datetime64[M]")
    month = first + months.astype("timedelta64[M]")
    of_month = start - first.astype("datetime64[D]")
    last = (month + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
    return np.asarray(np.minimum(month.astype("datetime64[D]") + of_month, last))


def _check(t: Tenures) -> None:
    if len(np.unique(t.customer_id)) < len(t):
        raise RetentionError(
            "tenures with a customer in two rows", rule="one row a customer", remedy="keep one row of hers"
        )
    if not np.all(np.isfinite(t.weight) & (t.weight >= 0)):
        raise RetentionError(
            "tenures with a weight below zero or not finite",
            rule="a weight says how many customers a row stands for",
            remedy="mend it, or leave the row out",
        )
    for name, values in t.covariates.items():
        if name in Table.columns(t):
            raise RetentionError(
                f"a covariate named {name!r}", rule="that is a column of its own", remedy="give it another name"
            )
        if values.shape != (len(t),) or not np.all(np.isfinite(values)):
            raise RetentionError(
                f"covariate {name!r} is not one finite number a row",
                rule="every customer has a value for every covariate",
                remedy="fill in what is missing, and turn words into 0 and 1",
            )
