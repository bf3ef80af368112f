"""Leaving points: the stretches of a relationship in which more leave than elsewhere, or that there are none."""

import html
import math
from typing import Any

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Table, column
from retention.records.contracts import Contracts

__all__ = ["LeavingPeak", "LeavingPoints", "leaving_points"]

_YEAR = 365.25
_MOST_PEAKS = 12
_BAND_DRAWS = 2_000


@frozen(kw_only=True)
class LeavingPeak:
    """From when to when more leave, on which day the rate is highest, how many times the rate elsewhere, how sure.

    ``p_value`` is the chance of a peak as high *anywhere* if there were none.
    """

    from_days: float
    to_days: float
    at_days: float
    times: float
    ended: int
    p_value: float

    def __str__(self) -> str:
        return (
            f"day {self.from_days:,.0f} to {self.to_days:,.0f}: {self.times:.1f} times the rate elsewhere "
            f"({self.ended:,} ends, p = {self.p_value:.3g})"
        )


@frozen(eq=False, repr=False, kw_only=True)
class LeavingPoints(Table):
    """One row a stretch of the clock: how many ended, time at risk, the hazard, smoothed, and whether it is a peak.

    ``low`` and ``high`` hold the smoothed hazard in all rows together with probability ``interval``. ``peaks`` lists
    the leaving points, most certain first; without any, none was found, which is an answer.
    """

    key = "from_days"

    from_days: FloatColumn = column("the stretch begins after this day", unit="days")
    to_days: FloatColumn = column("and ends with this one", unit="days")
    ended: IntColumn = column("contracts that ended in it", unit="count")
    years_at_risk: FloatColumn = column("time that all contracts together spent in it", unit="years")
    hazard: FloatColumn = column("ends for each year at risk", unit="1/year")
    smoothed: FloatColumn = column("the hazard with its neighbours'", unit="1/year")
    low: FloatColumn = column("lower simultaneous bound of the smoothed hazard", unit="1/year")
    high: FloatColumn = column("upper simultaneous bound of it", unit="1/year")
    peak: BoolColumn = column("part of a leaving point")

    clock: str
    peaks: tuple[LeavingPeak, ...] = field(default=())
    level: float
    interval: float

    def __repr__(self) -> str:
        told = "".join(f"\n  {peak}" for peak in self.peaks) or " none found"
        return f"<LeavingPoints since {self.clock}, {int(self.ended.sum()):,} ends:{told}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>{Table._repr_html_(self)}"

    def plot(self, ax: Any = None) -> Any:
        """The hazard by stretch, its smoothed course with the band, and the peaks shaded."""
        ax = axes(ax)
        middle = (self.from_days + self.to_days) / 2
        ax.fill_between(middle, self.low, self.high, color="0.85", linewidth=0, label=f"{self.interval:.0%} band")
        ax.step(middle, self.hazard, where="mid", color="0.5", linewidth=0.8, label="hazard")
        ax.plot(middle, self.smoothed, color="C0", label="smoothed")
        for i, peak in enumerate(self.peaks):
            ax.axvspan(peak.from_days, peak.to_days, color="C3", alpha=0.2, label=None if i else "leaving point")
        # Far out few are left and the band goes through the roof: show what can be seen.
        top = max([float(v[np.isfinite(v)].max(initial=0.0)) for v in (self.hazard, self.smoothed)])
        ax.set(xlabel=f"days since {self.clock}", ylabel="ends for each year at risk", ylim=(0, 1.3 * top or 1.0))
        ax.margins(x=0)
        ax.legend(frameon=False)
        return ax


def leaving_points(
    contracts: Contracts,
    *,
    since: Any = "start",
    clock: str | None = None,
    every_days: float | None = None,
    within_days: float | None = None,
    against: str = "flat",
    widest: int = 3,
    level: float = 0.05,
    interval: float = 0.90,
    draws: int = 999,
    seed: int = 0,
) -> LeavingPoints:
    """At which points of a relationship more leave than elsewhere: named only if chance alone would not do it.

    ``since`` says which clock runs: ``"start"`` (tenure), ``"anniversary"`` (days since the last anniversary of the
    start), or events of the customers, as any table with ``customer_id`` and ``at`` (purchases, price rises, service
    failures, new contact persons; a dict of the two will do): then the clock is the days since her last such event,
    up to ``within_days`` (default 365), compared with all other time at risk. ``clock`` names it in words.

    Stretches are ``every_days`` long (default: 30 days; for contracts that end by the month or year give its length, so
    that each renewal falls into one: a day on a border counts to the stretch that ends there). A peak is a run of up
    to ``widest`` stretches; its p-value is exact and for all runs together, so with ``against="flat"`` a hazard without
    peaks is given one in at most ``level`` of all cases. After one is named the rest is searched again; runs that
    touch become one. ``against="falling"`` compares with the best hazard that only falls, since new customers
    leave faster almost everywhere and a fall from the first day is nothing to act upon (its p-value is a bootstrap's).

    Contracts that run are censored on the as-of date, and those from before ``observed_from`` enter late.

    Source: Kulldorff (1997), Communications in Statistics 26(6), for the scan; see ``_kernels/scan.py``.

    Raises:
        ConfigError: an argument out of range, a clock that is not known.

    Example:
        >>> days = [*range(10, 700, 7), *[365] * 30, *[700] * 400]
        >>> c = Contracts.from_tenures(days=days, ended=[d < 700 for d in days], as_of="2020-01-01")
        >>> points = leaving_points(c)
        >>> [(peak.from_days, peak.to_days) for peak in points.peaks]
        [(360.0, 390.0)]
    """
    from retention._kernels.scan import scan, smooth_rates

    step = 30.0 if every_days is None else float(every_days)
    contracts = contracts.watched()
    _check(step, within_days, against, widest, level, interval, draws)
    name, risk, ends, elsewhere = _clocked(contracts, since, clock, within_days)
    bins = np.maximum(np.ceil((np.arange(len(risk)) - 0.5) / step).astype(np.int64) - 1, 0)
    count = int(bins[-1]) + 1 if len(bins) else 0
    exposure, counts = _sums(bins, risk, count), _sums(bins, ends, count)
    rng = np.random.default_rng(seed)
    rate, low, high = smooth_rates(
        counts, exposure, bandwidth=1.0, interval=interval, draws=_BAND_DRAWS, rng=np.random.default_rng(seed)
    )
    peak = np.zeros(count, dtype=np.bool_)
    found: list[tuple[int, int, float]] = []
    for _ in range(_MOST_PEAKS):
        open_ = ~peak
        window = scan(
            np.where(open_, counts, 0.0), np.where(open_, exposure, 0.0), widest=widest, draws=draws, rng=rng,
            elsewhere=elsewhere, trend=None if against == "flat" else _falling,
        )  # fmt: skip
        if window is None or window.p_value > level:
            break
        inside = np.arange(window.first, window.last + 1)
        inside = inside[open_[inside] & (exposure[inside] > 0)]
        peak[inside] = True
        found.append((int(inside[0]), int(inside[-1]), window.p_value))
    per_year = np.divide(counts * _YEAR, exposure, out=np.full(count, np.nan), where=exposure > 0)
    return LeavingPoints(
        from_days=np.arange(0.0, count) * step,
        to_days=np.arange(1.0, count + 1) * step,
        ended=counts.astype(np.int64),
        years_at_risk=exposure / _YEAR,
        hazard=per_year,
        smoothed=rate * _YEAR,
        low=low * _YEAR,
        high=high * _YEAR,
        peak=peak,
        clock=name,
        peaks=_told(found, peak, counts, exposure, elsewhere, step),
        level=float(level),
        interval=float(interval),
        provenance=contracts.provenance,
    )


def _clocked(
    contracts: Contracts, since: Any, clock: str | None, within_days: float | None
) -> tuple[str, FloatColumn, FloatColumn, tuple[float, float]]:
    """By day of the clock: how many are at risk and how many end; and ends and days at risk on no such day."""
    entry, exit, ended = contracts.entry_days, contracts.days, contracts.ended
    if isinstance(since, str):
        if since not in ("start", "anniversary"):
            raise ConfigError(
                f"since={since!r}",
                rule='a clock runs since the "start", the last "anniversary", or events of the customers',
                remedy="pass a table of events with customer_id and at for anything else",
            )
        risk, ends = _by_day(entry, exit, ended)
        if since == "start":
            return clock or "the start", risk, ends, (0.0, 0.0)
        day = np.arange(len(risk))
        phase = np.floor(np.mod(day, _YEAR)).astype(np.int64)
        length = int(_YEAR) + 1 if len(risk) > _YEAR else len(risk)
        return clock or "the last anniversary", _sums(phase, risk, length), _sums(phase, ends, length), (0.0, 0.0)
    limit = _YEAR if within_days is None else float(within_days)
    row, day = _events(contracts, since)
    # Her clock runs from each event to the next one, to the limit, or to the end of the contract.
    last = exit[row] - day
    begins, ends_at = np.maximum(entry[row] - day, 0), np.append(day[1:], 0)
    same = np.append(row[1:] == row[:-1], False) if len(row) else np.zeros(0, bool)
    until = np.where(same, np.minimum(ends_at - day - 1, last), last)
    over = ended[row] & (until == last) & (last <= limit) & (last >= begins)
    until = np.minimum(until, math.floor(limit))
    seen = until >= begins
    risk, ends = _by_day(begins[seen], until[seen], over[seen])
    days_at_risk = float(np.sum(np.maximum(exit - entry + 1, 0)))
    rest = (float(ended.sum() - ends.sum()), max(days_at_risk - float(risk.sum()), 0.0))
    return clock or "the event", risk, ends, rest


def _events(contracts: Contracts, since: Any) -> tuple[IntColumn, IntColumn]:
    """For each event under a contract, that contract's row and the contract's age then: by contract, then by day."""
    try:
        who, at = np.asarray(since["customer_id"]), np.asarray(since["at"]).astype("datetime64[D]")
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ConfigError(
            f"since={type(since).__name__}",
            rule="events have a customer_id and an at each",
            remedy='pass a table with these two columns, or {"customer_id": [...], "at": [...]}',
        ) from error
    order = np.lexsort([contracts.start, contracts.customer_id])
    names = contracts.customer_id[order]
    first = np.searchsorted(names, who.astype(np.str_), side="left")
    past = np.searchsorted(names, who.astype(np.str_), side="right")
    rows, days = [], []
    for k in range(int(np.max(past - first, initial=0))):  # her contracts one by one: few have more than one
        has = first + k < past
        row = order[(first + k)[has]]
        age = (at[has] - contracts.start[row]).astype(np.int64)
        inside = (age >= 0) & (age <= contracts.days[row])
        rows.append(row[inside])
        days.append(age[inside])
    row, day = (np.concatenate(v) if v else np.zeros(0, dtype=np.int64) for v in (rows, days))
    pairs = np.unique(np.stack([row, day]), axis=1) if len(row) else np.zeros((2, 0), dtype=np.int64)
    return pairs[0], pairs[1]


def _by_day(entry: IntColumn, exit: IntColumn, ended: BoolColumn) -> tuple[FloatColumn, FloatColumn]:
    """Who is at risk on each day of age, from entry to exit, and who ends on it."""
    seen = exit >= entry
    entry, exit, ended = entry[seen], exit[seen], ended[seen]
    length = int(np.max(exit, initial=-1)) + 1
    came, gone = np.bincount(entry, minlength=length + 1), np.bincount(exit + 1, minlength=length + 1)
    risk = np.cumsum(came - gone)[:length].astype(np.float64)
    return risk, np.bincount(exit[ended], minlength=length).astype(np.float64)


def _sums(cell: Any, values: FloatColumn, cells: int) -> FloatColumn:
    return np.asarray(np.bincount(cell, values, cells), dtype=np.float64)


def _falling(counts: FloatColumn, exposure: FloatColumn) -> FloatColumn:
    """The best rates that never rise."""
    from scipy.optimize import isotonic_regression

    held = exposure > 0
    rates = np.zeros(len(counts))
    if held.any():
        fit = isotonic_regression(counts[held] / exposure[held], weights=exposure[held], increasing=False)
        rates[held] = np.maximum(fit.x, 1e-12)
    return rates


def _told(
    found: list[tuple[int, int, float]],
    peak: BoolColumn,
    counts: FloatColumn,
    exposure: FloatColumn,
    elsewhere: tuple[float, float],
    step: float,
) -> tuple[LeavingPeak, ...]:
    """Runs of peak stretches, those that touch as one, most certain first."""
    out_d = float(counts[~peak].sum()) + elsewhere[0]
    out_e = float(exposure[~peak].sum()) + elsewhere[1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], peak.view(np.int8), [0]])))
    peaks = []
    for first, last in zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True):
        inside = slice(first, last + 1)
        d, e = float(counts[inside].sum()), float(exposure[inside].sum())
        top = first + int(
            np.argmax(np.where(exposure[inside] > 0, counts[inside] / np.maximum(exposure[inside], 1), 0))
        )
        elsewhere_rate = out_d / out_e if out_e > 0 else 0.0
        peaks.append(
            LeavingPeak(
                from_days=first * step, to_days=(last + 1) * step, at_days=(top + 0.5) * step,
                times=d / e / elsewhere_rate if elsewhere_rate > 0 else math.inf, ended=int(d),
                p_value=min(p for a, b, p in found if a <= last and b >= first),
            )
        )  # fmt: skip
    return tuple(sorted(peaks, key=lambda p: (p.p_value, -p.times)))


def _check(
    step: float, within_days: float | None, against: str, widest: int, level: float, interval: float, draws: int
) -> None:
    if not 0 < step < math.inf or (within_days is not None and not 0 < within_days < math.inf):
        raise ConfigError(
            f"every_days={step!r}, within_days={within_days!r}",
            rule="days are positive and finite",
            remedy="30 and 365",
        )
    if against not in ("flat", "falling"):
        raise ConfigError(
            f"against={against!r}",
            rule="a peak is held against a flat or a falling hazard",
            remedy='"flat" or "falling"',
        )
    if not (0 < level < 1 and 0 < interval < 1 and widest >= 1 and draws * level >= 1):
        raise ConfigError(
            f"level={level!r}, interval={interval!r}, widest={widest!r}, draws={draws!r}",
            rule="level and interval lie in (0, 1), widest is 1 or more, and draws are enough for the level",
            remedy="level=0.05, interval=0.90, widest=3, draws=999",
        )
