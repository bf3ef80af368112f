"""What an outlook needs of a clock: told outright by one that has gaps, derived from any that says who comes when."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import attrs
import numpy as np

from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.timing.backtest import Clock, FittedClock, LogT
from retention.timing.cycle import Place, place_of
from retention.timing.rhythm import Regularity, Rhythm, statistics
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.model import PurchaseModel
from retention.value.purchases.paretoggg import ParetoGGG

__all__ = ["LONG_DAYS", "CyclicClock", "PurchaseClock", "Reading", "fitted_clock", "read_clock"]

LONG_DAYS = 3650.0
"""Who comes back after more than ten years counts as not coming."""

_DAYS = np.geomspace(0.5, LONG_DAYS, 40)
_BLOCK = 65_536  # customers at a time: the table of days by customers stays in memory
_QUARTERS = (0.25, 0.5, 0.75)
_LEAST, _MOST = 1e-300, 1.0 - 1e-16  # a chance whose logarithm is a number
_SLACK = 1e-6  # a clock's rounding
_FEW = 1e-5


@runtime_checkable
class CyclicClock(FittedClock, Protocol):
    """A clock that knows each customer's gaps and how even they are, as a Rhythm does: it has a cycle."""

    @property
    def typical_gap_days(self) -> float:
        """The base's typical gap."""

    def silence(self, histories: Histories) -> FloatColumn:
        """The chance that one of her gaps lasts as long as her present silence."""

    def gap_exceeded(self, histories: Histories, probability: FloatColumn | float) -> FloatColumn:
        """The gap in days that her next one exceeds with that probability, if she still comes."""

    def p_leaves(self, histories: Histories) -> FloatColumn:
        """Probability that no purchase follows one of hers, before any silence speaks."""

    def usual_gap(self, histories: Histories, interval: float = 0.90) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        """Lower bound, median and upper bound of her usual gap in days."""

    def regularity(self, histories: Histories, interval: float = 0.90) -> Regularity:
        """How even her gaps are."""


@attrs.frozen
class PurchaseClock:
    """A purchase model that tells the time: fitted without margins.

    Example:
        >>> from retention.value import BGNBD
        >>> PurchaseClock(BGNBD()).name
        'bg-nbd'
    """

    model: PurchaseModel

    @property
    def name(self) -> str:
        """That of the model."""
        return self.model.name

    def fit(self, histories: Histories) -> FittedClock:
        """Learn from a base how often customers come back."""
        fitted = self.model.fit_purchases(histories)
        return _Quick(fitted) if isinstance(self.model, ParetoGGG) else fitted


@attrs.frozen
class _Quick:
    """Pareto/GGG asked for the chance of no purchase alone: a tenth of the time that its whole forecast takes."""

    fitted: FittedPurchases

    @property
    def name(self) -> str:
        return self.fitted.name

    @property
    def params(self) -> Mapping[str, float]:
        return self.fitted.params

    def p_alive(self, histories: Histories) -> FloatColumn:
        return self.fitted.p_alive(histories)

    def p_purchase(self, histories: Histories, days: float) -> FloatColumn:
        told = 1.0 - self.fitted.purchase_probabilities(histories, days, 0)[:, 0]
        few = told < _FEW  # there a difference from 1 has lost its digits
        if few.any():
            told[few] = self.fitted.p_purchase(histories.take(few), days)
        return np.asarray(told)


class Reading(NamedTuple):
    """What a clock says of each customer: gaps in days, ``due`` in days after her last purchase (a quarter, half and
    three quarters of her possible next purchases have come by then), and her cycle if there is one."""

    gap: tuple[FloatColumn, FloatColumn, FloatColumn]
    due: tuple[FloatColumn, FloatColumn, FloatColumn]
    silence: FloatColumn
    p_alive: FloatColumn
    p_leaves: FloatColumn
    gap_after_last: FloatColumn | float
    place: Place | None


def fitted_clock(clock: Clock | FittedClock | None, histories: Histories) -> tuple[FittedClock, str]:
    """The clock with what it learned, and its name; a recipe is fitted to this base, None is the recipe ``LogT``."""
    given: Any = LogT() if clock is None else clock
    fitted: Any = given
    if not isinstance(given, FittedClock):
        if not callable(getattr(given, "fit", None)) or isinstance(given, type):
            raise ConfigError(
                f"clock of type {type(given).__name__}",
                rule="a clock has fit(histories), or p_purchase(histories, days) and p_alive(histories)",
                remedy="pass retention.timing.LogT(), retention.value.BGNBD() or a fitted one",
            )
        fitted = given.fit(histories)
    name = str(getattr(given, "name", None) or getattr(fitted, "name", None) or type(fitted).__name__)
    if not isinstance(fitted, FittedClock):
        raise ConfigError(
            f"the clock {name!r} fitted a {type(fitted).__name__}",
            rule="a fitted clock has p_purchase(histories, days) and p_alive(histories)",
            remedy="mend it, or take another clock",
        )
    return fitted, "log-t renewal" if isinstance(fitted, Rhythm) else name


def read_clock(clock: FittedClock, histories: Histories, name: str) -> Reading:
    r"""What an outlook needs, of every customer.

    A :class:`CyclicClock` is asked for it. Of any other only the chance :math:`F(d)` of a purchase within d days is
    known, so that everything is derived from it, evaluated at 40 horizons up to ten years:

    - *Her gap* is what the clock says of her history as it was on the day of her last purchase (the age set back to the
      recency): :math:`F_0(d)`. That is right for a clock that goes by the history alone, as every purchase model of
      this library does. Quantiles are those of the gap *if she comes back within ten years*,
      :math:`F_0(d) / F_0(3650)`.
    - *Her silence* so far lasts that long, or longer, with probability :math:`1 - F_0(idle) / F_0(3650)` if she still
      comes.
    - *The next purchase* has the quantiles of :math:`F(d) / F(3650)`, by her history as it is now.
    - *She leaves* after a purchase with the probability :math:`1 - F_0(3650)`.
    - The gap that her last purchase opened is taken to be her own usual one.

    Between horizons :math:`\log(-\log(1 - F))` is linear in :math:`\log d`. That is exact for exponential and Weibull
    gaps, wrong by half a hundredth of the gap for the models of this library, by one or two for gaps as even as a
    gamma of shape 50, and by a seventh at most where all her gaps are one. How even they are cannot be read from F, so
    there is no cycle.

    The chances are asked for 80 times: some two seconds for 100,000 customers with BG/NBD or Pareto/NBD, and a quarter
    of a second *a customer* with Pareto/GGG.

    Raises ModelError for answers that are not one probability a customer, or that fall as days go by.
    """
    if isinstance(clock, CyclicClock):
        return _told(clock, histories)
    parts = []
    for start in range(0, max(len(histories), 1), _BLOCK):
        block = histories[start : start + _BLOCK]
        then = _chances(clock, attrs.evolve(block, age_days=block.recency_days), name)
        now = _chances(clock, block, name)
        alive = _answer(clock.p_alive(block), len(block), name, "p_alive")
        gaps = [_within(then, share) for share in _QUARTERS]
        due = [block.idle_days + _within(now, share) for share in _QUARTERS]
        long = then[:, -1]
        quiet = 1.0 - np.divide(_chance_at(then, block.idle_days), long, out=np.zeros(len(block)), where=long > _LEAST)
        parts.append((*gaps, *due, np.clip(quiet, 0.0, 1.0), alive, 1.0 - long))
    low, usual, high, early, middle, late, silence, alive, leaves = map(np.concatenate, zip(*parts, strict=True))
    return Reading((low, usual, high), (early, middle, late), silence, alive, leaves, usual, None)


def _told(clock: CyclicClock, h: Histories) -> Reading:
    if isinstance(clock, Rhythm):
        return _of_rhythm(clock, h)
    silence = clock.silence(h)
    low, usual, high = (clock.gap_exceeded(h, share) for share in (0.75, 0.5, 0.25))
    early, middle, late = (_still(clock.gap_exceeded(h, silence * (1.0 - share)), h.idle_days) for share in _QUARTERS)
    return Reading(
        gap=(low, usual, high),
        due=(early, middle, late),
        silence=silence,
        p_alive=clock.p_alive(h),
        p_leaves=clock.p_leaves(h),
        gap_after_last=clock.typical_gap_days,
        place=place_of(clock, h, silence),
    )


def _of_rhythm(clock: Rhythm, h: Histories) -> Reading:
    """The same of a Rhythm, whose answers have most of their mathematics in common."""
    from retention._kernels import logt

    x, log_sum, log_squares, idle = statistics(h)
    prior = clock._prior()
    post = logt.posterior(prior, x, log_sum, log_squares)
    silence = logt.survival(post, idle)
    low, usual, high = (logt.exceeded(post, share) for share in (0.75, 0.5, 0.25))
    early, middle, late = (_still(days, idle) for days in logt.coming(post, silence, _QUARTERS))
    return Reading(
        gap=(low, usual, high),
        due=(early, middle, late),
        silence=silence,
        p_alive=logt.p_alive(prior, x, logt.with_pauses(prior, post, idle, silence)),
        p_leaves=clock.p_leaves(h),
        gap_after_last=clock.typical_gap_days,
        place=place_of(clock, h, silence),
    )


def _still(days: FloatColumn, idle: FloatColumn) -> FloatColumn:
    """No day that is over, and none that is too far to be one."""
    return np.clip(np.maximum(days, idle), 0.0, idle + LONG_DAYS)


def _chances(clock: FittedClock, histories: Histories, name: str) -> FloatColumn:
    """The chance of a purchase within each of the days: customers by days, rising."""
    told = np.empty((len(histories), len(_DAYS)))
    for k, days in enumerate(_DAYS.tolist()):
        told[:, k] = _answer(clock.p_purchase(histories, days), len(histories), name, "p_purchase")
    if np.any(np.diff(told, axis=1) < -_SLACK):
        raise ModelError(
            f"the clock {name!r} has chances of a purchase that fall as days go by",
            rule="who comes within 30 days comes within 60",
            remedy="mend the clock, or take another one",
        )
    return np.maximum.accumulate(np.clip(told, _LEAST, _MOST), axis=1)


def _answer(given: Any, n: int, name: str, what: str) -> FloatColumn:
    values = np.asarray(given, dtype=np.float64)
    good = values.shape == (n,) and bool(np.all((values >= -_SLACK) & (values <= 1.0 + _SLACK)))
    if not good:
        raise ModelError(
            f"the clock {name!r} answered {what} with "
            + (f"shape {values.shape} for {n:,} customers" if values.shape != (n,) else "what is no probability"),
            rule=f"{what} is one probability a customer",
            remedy="mend the clock, or take another one",
        )
    return np.clip(values, 0.0, 1.0)


def _hazard(chance: FloatColumn) -> FloatColumn:
    """The log of the cumulative hazard behind a chance."""
    return np.asarray(np.log(-np.log1p(-chance)))


def _within(chances: FloatColumn, share: float) -> FloatColumn:
    """Days within which that share of what comes at all has come; ten years where nothing does."""
    drawn, wanted = _hazard(chances), _hazard(np.clip(share * chances[:, -1], _LEAST, _MOST))
    after = np.sum(drawn <= wanted[:, None], axis=1)
    k = np.clip(after, 1, len(_DAYS) - 1)
    rows, logs = np.arange(len(k)), np.log(_DAYS)
    rise = drawn[rows, k] - drawn[rows, k - 1]
    part = np.divide(wanted - drawn[rows, k - 1], rise, out=np.zeros(len(k)), where=rise > 0)
    days = np.exp(logs[k - 1] + part * (logs[k] - logs[k - 1]))
    days = np.where(after == 0, _DAYS[0] * np.exp(np.minimum(wanted - drawn[:, 0], 0.0)), days)
    return np.where(after == len(_DAYS), LONG_DAYS, days)


def _chance_at(chances: FloatColumn, days: FloatColumn) -> FloatColumn:
    """The chance of a purchase within each customer's own days."""
    drawn, logs = _hazard(chances), np.log(_DAYS)
    at = np.log(np.clip(days, 1e-12, LONG_DAYS))
    k = np.clip(np.searchsorted(logs, at), 1, len(logs) - 1)
    rows = np.arange(len(k))
    slope = (drawn[rows, k] - drawn[rows, k - 1]) / (logs[k] - logs[k - 1])
    inside = drawn[rows, k - 1] + slope * (at - logs[k - 1])
    found = np.where(at < logs[0], drawn[:, 0] + at - logs[0], inside)
    return np.where(days > 0, -np.expm1(-np.exp(found)), 0.0)
