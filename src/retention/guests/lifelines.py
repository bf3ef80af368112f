"""A fitter of lifelines as a timing: survival of the silence between two purchases.

A gap between two purchase days is a duration that has ended, the silence since the last purchase one that has not.
Whoever knows survival analysis has a fitter for that; here it is put to the question that a plan asks.
"""

import copy
import datetime as dt
import math
from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError, MissingExtraError
from retention.frames.table import FloatColumn, read_only
from retention.guests._past import known_log
from retention.histories import Histories
from retention.records import TransactionLog

__all__ = ["FittedLifelines", "LifelinesClock"]

_FEWEST = 10
_BLOCK = 10_000


@frozen(kw_only=True)
class LifelinesClock:
    """A recipe: fit a fitter to every gap in the log of the base's customers, the last one of each still open.

    ``fitter`` is one of lifelines, not yet fitted. A *univariate* one (KaplanMeierFitter, WeibullFitter,
    LogNormalFitter, MixtureCureFitter, ...) is one curve for everybody: customers differ by how long they have been
    silent, and by nothing else. A *regression* (LogNormalAFTFitter, WeibullAFTFitter, LogLogisticAFTFitter,
    CoxPHFitter) is told, of each gap, what was known when it began: ``purchases``, the log of the purchase days so far,
    and ``pace``, her mean log gap so far, with one more gap of the base's mean among hers. None takes
    ``KaplanMeierFitter()``, which supposes least.

    *What is supposed.* A gap is independent of the others given those two. ``p_alive`` is the probability that she
    comes within ``gone_days`` (ten years), given her silence: whoever would come later counts as gone. A fitter that
    says that every gap ends (Weibull, log-normal) so calls nearly everybody alive; Kaplan-Meier and the cure model have
    gaps that never end. Of a silence longer than every gap that was seen Kaplan-Meier knows nothing, and she counts as
    gone. Customers who buy often have many gaps and weigh accordingly.

    Example:
        >>> LifelinesClock().name
        'lifelines'
    """

    needs_log: ClassVar[bool] = True

    fitter: Any = None
    log: TransactionLog | None = field(default=None, repr=False)
    gone_days: float = 3650.0
    name: str = "lifelines"
    kind: str = field(default="timing", init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        days = self.gone_days
        if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days < math.inf:
            raise ConfigError(
                f"lifelines with gone_days={days!r}",
                rule="gone_days is a number of days above 0",
                remedy="LifelinesClock(gone_days=3650)",
            )

    def fit(self, histories: Histories) -> "FittedLifelines":
        """Learn from the gaps of these customers until their as-of date.

        Raises:
            ConfigError: no log, histories without an as-of date, fewer than 10 gaps, or what is no fitter.
            MissingExtraError: lifelines is not installed.
        """
        fitters = _lifelines()
        fitter = fitters.KaplanMeierFitter() if self.fitter is None else copy.deepcopy(self.fitter)
        regression = isinstance(fitter, fitters.fitters.RegressionFitter)
        if not (regression or isinstance(fitter, fitters.fitters.UnivariateFitter)):
            raise ConfigError(
                f"a fitter of type {type(fitter).__name__}",
                rule="a fitter is an object of lifelines, univariate or a regression",
                remedy="fitter=lifelines.WeibullFitter(), say",
            )
        log, as_of = known_log("lifelines", histories, self.log)
        days, ended, purchases, log_sum = _gaps(log, as_of)
        if int(ended.sum()) < _FEWEST:
            raise ConfigError(
                f"{int(ended.sum())} gaps between purchase days until {as_of}",
                rule=f"a clock is fitted to {_FEWEST} gaps or more",
                remedy="a longer log, or the timing 'log-t', which borrows strength",
            )
        usual = float(np.log(days[ended]).mean())
        if regression:
            import pandas as pd

            told = _told(purchases, log_sum, usual)
            fitter.fit(pd.DataFrame({**told, "days": days, "ended": ended}), duration_col="days", event_col="ended")
        else:
            fitter.fit(days, event_observed=ended)
        return FittedLifelines(
            fitter=fitter, usual=usual, regression=regression, gone_days=self.gone_days, name=self.name
        )


@frozen(kw_only=True, eq=False, repr=False)
class FittedLifelines:
    """A clock of lifelines, fitted."""

    fitter: Any
    usual: float
    regression: bool
    gone_days: float
    name: str = "lifelines"

    def __repr__(self) -> str:
        return f"<FittedLifelines: {type(self.fitter).__name__}>"

    def p_purchase(self, histories: Histories, days: float) -> FloatColumn:
        """The probability of a purchase within so many days, given her silence so far: 1 - S(idle + days) / S(idle)."""
        n = len(histories)
        if not n or not days > 0:
            return np.zeros(n)
        idle = np.asarray(histories.idle_days, dtype=np.float64)
        if not self.regression:
            before, after = self._log_survival(idle), self._log_survival(idle + days)
            with np.errstate(invalid="ignore"):  # both are minus infinity where nothing is known
                fall = np.where(np.isneginf(before), 0.0, after - before)
            return read_only(np.clip(-np.expm1(fall), 0.0, 1.0))
        import pandas as pd

        table = pd.DataFrame(_told(histories.frequency + 1.0, histories.gap_log_sum, self.usual))
        hazards = []
        for start in range(0, n, _BLOCK):
            rows = slice(start, start + _BLOCK)
            ahead = self.fitter.predict_cumulative_hazard(
                table.iloc[rows].reset_index(drop=True),
                times=[float(days)],
                conditional_after=np.maximum(idle[rows], 1e-3),
            )
            hazards.append(ahead.to_numpy(dtype=np.float64)[0])
        return read_only(np.clip(-np.expm1(-np.maximum(np.concatenate(hazards), 0.0)), 0.0, 1.0))

    def p_alive(self, histories: Histories) -> FloatColumn:
        """The probability that she comes within ``gone_days``: whoever would come later counts as gone."""
        return self.p_purchase(histories, self.gone_days)

    def _log_survival(self, days: FloatColumn) -> FloatColumn:
        """In the log, through the cumulative hazard where the fitter has one: it has digits where survival has none."""
        distinct, back = np.unique(days, return_inverse=True)
        if hasattr(self.fitter, "cumulative_hazard_at_times") and hasattr(self.fitter, "_fitted_parameter_names"):
            told = -np.asarray(self.fitter.cumulative_hazard_at_times(np.maximum(distinct, 1e-9)), dtype=np.float64)
        else:
            survival = np.asarray(self.fitter.survival_function_at_times(distinct), dtype=np.float64)
            with np.errstate(divide="ignore"):
                told = np.log(np.clip(survival, 0.0, 1.0))
        return np.asarray(told.reshape(-1)[back.reshape(-1)])


def _lifelines() -> Any:
    try:
        import lifelines
        import lifelines.fitters
    except ImportError:
        raise MissingExtraError("the timing 'lifelines'", library="lifelines", extra="lifelines") from None
    return lifelines


def _told(purchases: Any, log_sum: Any, usual: float) -> dict[str, FloatColumn]:
    """What a regression is told of a gap: purchase days until it began, and the mean of her log gaps until then."""
    so_far = np.asarray(purchases, dtype=np.float64)
    return {"purchases": np.log(so_far), "pace": (np.asarray(log_sum, dtype=np.float64) + usual) / so_far}


def _gaps(log: TransactionLog, as_of: dt.date) -> tuple[FloatColumn, Any, FloatColumn, FloatColumn]:
    """Of every gap: its days, whether it ended, and the purchase days and the sum of log gaps when it began.

    A silence of no day at all says nothing and is left out.
    """
    bought = ~(log.is_return | log.is_cancelled)
    pairs = np.unique(np.stack([log.customers.codes[bought], log.day[bought].astype(np.int64)]), axis=1)
    who, day = pairs[0], pairs[1]
    last = np.append(who[1:] != who[:-1], np.ones(min(len(who), 1), dtype=bool))
    today = int(np.datetime64(as_of, "D").astype(np.int64))
    days = np.where(last, today, np.append(day[1:], 0)) - day
    starts = np.flatnonzero(np.append(np.ones(min(len(who), 1), dtype=bool), last[:-1]))
    first = np.repeat(starts, np.diff(np.append(starts, len(who))))
    before = np.concatenate([[0.0], np.cumsum(np.log(np.maximum(days, 1)))])
    log_sum = before[np.arange(len(who))] - before[first]
    purchases = np.arange(len(who)) - first + 1.0
    kept = ~last | (days > 0)
    return days[kept].astype(np.float64), ~last[kept], purchases[kept], log_sum[kept]
