"""Tracking: how many repeat purchases a model says a base has made by each week, beside how many it has made."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import field, frozen

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, Provenance, Table, column
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.value.purchases.fitted import FittedPurchases

__all__ = ["Tracking", "track"]

_KNOTS = 120  # ages at which E[X(t)] is worked out, when there are more; between them a cubic spline
_CLOSE = 1e-5  # relative, of the spline to E[X(t)] where it is checked; otherwise all ages are worked out


@frozen(eq=False, repr=False, kw_only=True)
class Tracking(Table):
    """One row a period of ``step_days``, which ends on the evening of ``day``; repeat purchase days of all customers.

    ``actual`` columns are absent without a log. ``known`` says whether the model had seen the whole period.
    """

    key = "day"

    day: DayColumn = column("last day of the period")
    known: BoolColumn = column("the period ends on or before the cut")
    expected: FloatColumn = column("repeat purchases up to that day, as the model has it", unit="count")
    expected_new: FloatColumn = column("those of the period", unit="count")
    actual: FloatColumn | None = column("repeat purchases up to that day", unit="count", optional=True)
    actual_new: FloatColumn | None = column("those of the period", unit="count", optional=True)

    model: str
    customers: int
    cut: dt.date | None = None
    step_days: int = field(default=7)

    @property
    def off(self) -> FloatColumn:
        """Expected / actual - 1 up to each day; NaN while nothing has been bought, and without a log."""
        if self.actual is None:
            return np.full(len(self), np.nan)
        ratio = np.divide(self.expected, self.actual, out=np.full(len(self), np.nan), where=self.actual > 0)
        return np.asarray(ratio - 1)

    def plot(self, ax: Any = None, *, cumulative: bool = True) -> Any:
        """Draw expected beside actual over calendar time, up to each day or by period; the cut is a vertical line."""
        ax = axes(ax)
        expected, actual = (self.expected, self.actual) if cumulative else (self.expected_new, self.actual_new)
        if actual is not None:
            ax.plot(self.day, actual, color="black", linewidth=1.6, label="what came")
        ax.plot(self.day, expected, color="#1f5f8b", linewidth=2, linestyle="--", label=self.model)
        if self.cut is not None and len(self) and self.cut < self.day[-1].item():
            ax.axvline(np.datetime64(self.cut, "D"), color="0.6", linewidth=1, linestyle=":")
            ax.annotate(
                "fitted | ahead", (np.datetime64(self.cut, "D"), 0.02), xycoords=("data", "axes fraction"), ha="center",
                fontsize=8, color="0.4",
            )  # fmt: skip
        every = {1: "a day", 7: "a week"}.get(self.step_days, f"in {self.step_days} days")
        ax.set(ylim=(0, None), ylabel="repeat purchases so far" if cumulative else f"repeat purchases {every}")
        ax.set_title(f"{self.customers:,} customers", fontsize=10)
        ax.legend(frameon=False, loc="upper left" if cumulative else "upper right", fontsize=8)
        ax.tick_params(axis="x", labelrotation=30, labelsize=8)
        return ax


def track(
    fitted: FittedPurchases,
    base: TransactionLog | Histories,
    *,
    cut: str | dt.date | None = None,
    until: str | dt.date | None = None,
    step_days: int = 7,
    prepare: Callable[[Histories], Histories] | None = None,
) -> Tracking:
    """Expected repeat purchases of a base over calendar time, beside the actual ones: does the model keep up?

    Every customer is expected to make E[X(t - her first day)] repeat purchases by day t: what was known of *a* customer
    when she came, nothing of what *she* did since. Periods run from the day of the first purchase of all.

    Args:
        fitted: a model with its parameters; one with covariates expects of every customer what her attributes say.
        base: the log, or histories with their ``first_at`` and as-of date; those know no actual course.
        cut: the last day that the fit knew. Who came later is not tracked, as the model has not seen her. None tracks
            all up to the as-of date of the histories or the end of the log.
        until: the last day; the end of the log, or the as-of date, if None. A period that is not over by then is left
            out.
        step_days: the length of a period; 7 are weeks, 1 days.
        prepare: called with the histories made from a log, to attach the attributes of a model with covariates.

    Source: Fader and Hardie 2005, "Implementing the BG/NBD model for customer base analysis in Excel"; the tracking
    plots of Fader, Hardie and Lee 2005.

    Raises ConfigError for histories without dates and spans without a whole period, ModelError for histories without
    the attributes that a model with covariates asks for.

    Example:
        >>> from retention.value import BGNBD
        >>> log = TransactionLog.from_arrays(
        ...     customer_id=["a", "a", "b"], at=["2011-01-03", "2011-01-12", "2011-01-05"], revenue=[10, 5, 7])
        >>> weeks = track(BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426), log, until="2011-01-23")
        >>> weeks.actual.tolist(), weeks.expected.round(3).tolist()
        ([0.0, 1.0, 1.0], [0.077, 0.179, 0.275])
    """
    if step_days != int(step_days) or step_days < 1:
        raise ConfigError(f"step_days={step_days!r}", rule="a period is one whole day or more", remedy="7 are weeks")
    known_to = None if cut is None else as_day(cut)
    log = base if isinstance(base, TransactionLog) else None
    last: dt.date | None
    if isinstance(base, TransactionLog):
        if not len(base):
            raise ConfigError("tracking a log without a line", rule="somebody has come", remedy="give another log")
        last = base.day.max().item() if until is None else as_day(until)
        histories = summarize(base, as_of=last, habits=False)
        histories = histories if prepare is None else prepare(histories)
    else:
        histories = base
        last = base.as_of if until is None else as_day(until)
    if last is None or np.any(np.isnat(histories.first_at)):
        raise ConfigError(
            "tracking histories without dates",
            rule="calendar time needs first_at and an as-of date",
            remedy="rt.summarize(log, as_of=...) makes them",
        )
    if known_to is not None:
        histories = histories[histories.first_at <= np.datetime64(known_to, "D")]
    opened = histories.first_at.min() if len(histories) else np.datetime64(last, "D")
    # The evening of the first day closes a day: a week ends six days later.
    periods = int((np.datetime64(last, "D") - opened) // np.timedelta64(1, "D") + 1) // int(step_days)
    if not len(histories) or periods < 1:
        raise ConfigError(
            f"tracking {len(histories)} customers up to {last}",
            rule="somebody has come, and a whole period is over",
            remedy="choose a later end or shorter steps",
        )
    ends = opened + np.timedelta64(1, "D") * (np.arange(1, periods + 1) * int(step_days) - 1)
    expected = _expected(fitted, histories, ends)
    actual = None if log is None else _actual(log.until(last), histories, ends)
    return Tracking(
        day=ends,
        known=np.ones(periods, dtype=bool) if known_to is None else ends <= np.datetime64(known_to, "D"),
        expected=expected,
        expected_new=np.diff(expected, prepend=0.0),
        actual=actual,
        actual_new=None if actual is None else np.diff(actual, prepend=0.0),
        model=fitted.name,
        customers=len(histories),
        cut=known_to,
        step_days=int(step_days),
        provenance=Provenance(
            as_of=last.isoformat(), data=histories.provenance.data, model=fitted.name, parameters=dict(fitted.params),
            version=histories.provenance.version, notes=histories.provenance.notes,
        ),
    )  # fmt: skip


def _expected(fitted: FittedPurchases, histories: Histories, ends: DayColumn) -> FloatColumn:
    """The sum over customers of E[X(age)] at each end, where nobody has a negative age."""
    days, day = np.unique(histories.first_at, return_inverse=True)
    ages = ((ends[:, None] - days[None, :]) // np.timedelta64(1, "D")).clip(0)
    distinct, which = np.unique(ages, return_inverse=True)
    fresh, kind = _newcomers(fitted, histories)

    def exact(at: FloatColumn) -> FloatColumn:
        """A row an age, a column a first day: what is expected of all who came then."""
        each = (fitted.expected_purchases(fresh, float(age))[kind] for age in at)
        return np.stack([np.bincount(day, values, len(days)) for values in each])

    by_age = _by_age(exact, distinct.astype(np.float64))
    return np.asarray(by_age[which.reshape(ages.shape), np.arange(len(days))].sum(axis=1))


def _newcomers(fitted: FittedPurchases, histories: Histories) -> tuple[Histories, IntColumn]:
    """One newcomer of every kind that the model tells apart, and each customer's kind."""
    first, kind = np.zeros(1, dtype=np.intp), np.zeros(len(histories), dtype=np.intp)
    if fitted.design is not None:
        _, first, kind = np.unique(fitted.design.matrix(histories), axis=0, return_index=True, return_inverse=True)
    none = np.zeros(len(first))
    fresh = Histories.from_arrays(frequency=none, recency_days=none, age_days=none)
    known = {name: values[first] for name, values in histories.attributes.items()}
    return fresh.with_attributes(known) if known else fresh, kind.reshape(-1)


def _by_age(exact: Callable[[FloatColumn], FloatColumn], ages: FloatColumn) -> FloatColumn:
    """E[X(t)] at sorted distinct ages; a spline through some of them where it is as good."""
    if len(ages) <= 2 * _KNOTS:
        return exact(ages)
    from scipy.interpolate import CubicSpline

    # Ages closer together where the customer is young: there E[X(t)] bends most.
    root = np.sqrt(ages)
    pick = np.unique(np.searchsorted(root, np.linspace(root[0], root[-1], _KNOTS)).clip(0, len(ages) - 1))
    curve = CubicSpline(ages[pick], exact(ages[pick]))
    between = ((pick[:-1] + pick[1:]) // 2)[:: max(1, len(pick) // 12)]
    sure = exact(ages[between])
    if np.all(np.abs(curve(ages[between]) - sure) <= _CLOSE * np.abs(sure)):
        return np.asarray(curve(ages))
    return exact(ages)


def _actual(log: TransactionLog, base: Histories, ends: DayColumn) -> FloatColumn:
    """Repeat purchase days of these customers up to each end, with what was known at the end of all."""
    kept = ~(log.is_return | log.is_cancelled)
    place = np.searchsorted(base.customer_id, log.customers.labels).clip(0, len(base) - 1)
    mine = base.customer_id[place] == log.customers.labels
    rows, days = place[log.customers.codes], log.day
    kept &= mine[log.customers.codes] & (days > base.first_at[rows])
    low = base.first_at.min()
    passed = (days[kept] - low) // np.timedelta64(1, "D")
    width = int((log.day.max() - low) // np.timedelta64(1, "D")) + 1
    on = np.unique(rows[kept] * width + passed) % width
    upto = (ends - low) // np.timedelta64(1, "D")
    return np.asarray(np.searchsorted(np.sort(on), upto, side="right").astype(np.float64))
