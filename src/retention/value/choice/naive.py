"""Forecasts that need no model: what a model has to beat. All they learn, they learn before the cut."""

import datetime as dt
import math
from typing import NamedTuple

import numpy as np
from attrs import frozen

from retention.frames.table import FloatColumn, IntColumn
from retention.histories import Histories, summarize
from retention.records import TransactionLog

__all__ = ["Naive", "Observed", "Spread", "naive_forecasts", "naive_from_histories", "observe"]

_FEWEST = 10  # customers that an inner split must have known, or nothing is learned from it
_TOO_LITTLE = 1e-6  # purchases: the least that a forecast may expect when it is scored


class Observed(NamedTuple):
    """What customers did in a window: purchase days and margin of each, and those who were not among them."""

    purchases: IntColumn
    margin: FloatColumn
    newcomers: int
    newcomer_purchases: int
    newcomer_margin: float


def observe(log: TransactionLog, ids: object, *, after: dt.date, until: dt.date) -> Observed:
    """Purchase days and margin of each of ``ids`` (sorted) in (after, until], as known on the evening of ``until``.

    Counted as :func:`retention.histories.summarize` counts: orders of one day are one purchase day, returns and undone
    orders are none, margin is net of returns on the day they came. Newcomers have a purchase day in the window and are
    none of ``ids``.
    """
    known = log.until(until)
    window = known.take(known.day > np.datetime64(after, "D"))
    who = np.asarray(ids)
    n, labels = len(who), window.customers.labels
    place = np.minimum(np.searchsorted(who, labels), max(n - 1, 0))
    # Those that are not among the ids go behind them, so that their sums come along.
    place = np.where(who[place] == labels if n else False, place, n + np.arange(len(labels)))
    size = n + len(labels)
    rows, days = place[window.customers.codes], window.day.astype(np.int64)
    kept = ~(window.is_return | window.is_cancelled)
    low, width = (int(days.min()), int(days.max() - days.min()) + 1) if len(days) else (0, 1)
    distinct = np.unique(rows[kept] * width + (days[kept] - low)) // width
    purchases = np.bincount(distinct, minlength=size).astype(np.int64)
    minor = np.zeros(size, dtype=np.int64)
    np.add.at(minor, rows, window.margin.minor)
    margin = minor / 10.0**window.margin.decimals
    others = purchases[n:] > 0
    return Observed(
        purchases[:n], margin[:n], int(others.sum()), int(purchases[n:].sum()), float(margin[n:][others].sum())
    )


class Spread(NamedTuple):
    """A negative binomial around a forecast: mean = forecast + ``extra``, variance = mean + mean^2 / ``size``.

    ``extra`` keeps a forecast of nothing from meaning never.
    """

    extra: float
    size: float

    def log_scores(self, forecast: FloatColumn, actual: FloatColumn, most: int) -> FloatColumn:
        """log P(actual), where counts of ``most`` and more are one outcome."""
        from scipy.special import betainc, gammaln

        mean, k = np.maximum(forecast + self.extra, _TOO_LITTLE), self.size
        x = np.minimum(actual, most - 1.0)
        inside = gammaln(k + x) - gammaln(k) - gammaln(x + 1) - k * np.log1p(mean / k) + x * np.log(mean / (k + mean))
        beyond = np.maximum(betainc(float(most), k, mean / (k + mean)), 1e-300)
        return np.asarray(np.where(actual >= most, np.log(beyond), inside))


def fitted_spread(forecast: FloatColumn, actual: FloatColumn, most: int) -> Spread:
    """The spread of highest likelihood of what came true of a forecast; customers alike are taken together."""
    from scipy.optimize import minimize

    pairs, count = np.unique(np.stack([forecast, actual]), axis=1, return_counts=True)

    def cost(at: FloatColumn) -> float:
        scores = Spread(math.exp(at[0]), math.exp(at[1])).log_scores(pairs[0], pairs[1], most)
        return -float(np.einsum("n,n->", count, scores))

    center = max(float(actual.mean()), 0.01)
    best = minimize(
        cost,
        [math.log(0.1 * center), 0.0],
        method="Nelder-Mead",
        bounds=[(math.log(1e-6), math.log(10 * center + 1)), (math.log(1e-3), math.log(1e4))],
        options={"xatol": 1e-4, "fatol": 1e-6, "maxiter": 400},
    )
    return Spread(math.exp(best.x[0]), math.exp(best.x[1]))


@frozen(kw_only=True, eq=False)
class Naive:
    """One baseline's forecast of each customer: purchase days, margin, and the spread its log score goes by."""

    name: str
    purchases: FloatColumn
    margin: FloatColumn | None
    spread: Spread | None


def naive_forecasts(
    log: TransactionLog, histories: Histories, cut: dt.date, days: int, most: int
) -> tuple[tuple[Naive, ...], str]:
    """The three baselines of a log at a cut, ``days`` ahead, and what must be known of them; or none, and why.

    *last period*: her repeat purchase days of the last ``days`` before the cut, once more. *rfm cells* and *base mean*
    learn on an inner split: customers known a window before the cut, and what they did up to the cut. The window is
    ``days``, or half of the time since the log's first day if that is shorter; then forecasts are scaled up.
    Cells are terciles by days since the last purchase, repeat purchase days and mean margin, made anew on each day, so
    that a cell is a place in the base. Spreads are learned on the inner split alone.
    """
    known = log.until(cut)
    opened = known.day.min().item() if len(known) else cut
    window = min(days, (cut - opened).days // 2)
    inner_cut = cut - dt.timedelta(days=window)
    inner = summarize(known, as_of=inner_cut, habits=False) if window > 0 else histories[:0]
    if len(inner) < _FEWEST:
        return (), f"no baselines: only {len(inner)} customers were known {window} days before the cut"
    truth = observe(known, inner.customer_id, after=inner_cut, until=cut)
    actual, scale = truth.purchases.astype(np.float64), days / window
    reach = (cut - opened).days
    shortened = "" if window == days else (
        f"the log reaches back {reach} days: rfm cells and base mean learn on the last {window}, scaled to {days}"
        + ("; last period is all there is" if reach < days else "")
    )  # fmt: skip

    def spread(forecast: FloatColumn) -> Spread:
        found = fitted_spread(forecast, actual, most)
        return Spread(found.extra * scale, found.size)

    before = _repeats(known, inner, window, inner_cut)
    again = _repeats(known, histories, days, cut)
    cells, mine = _cells(inner), _cells(histories)
    size = np.bincount(cells, minlength=27)

    def by_cell(values: FloatColumn) -> FloatColumn:
        means = np.bincount(cells, values, 27) / np.maximum(size, 1)
        return np.where(size > 0, means, values.mean())

    counts, money, ones = by_cell(actual), by_cell(truth.margin), np.ones(len(histories))
    return (
        Naive(name="last period", purchases=again[0], margin=again[1], spread=spread(before[0])),
        Naive(
            name="rfm cells",
            purchases=counts[mine] * scale,
            margin=money[mine] * scale,
            spread=spread(counts[cells]),
        ),
        Naive(
            name="base mean",
            purchases=ones * (actual.mean() * scale),
            margin=ones * (truth.margin.mean() * scale),
            spread=spread(np.full(len(inner), actual.mean())),
        ),
    ), shortened


def naive_from_histories(histories: Histories, days: float, most: int) -> tuple[Naive, ...]:
    """What can be said without a log: her own rate so far, and that of the whole base, ``days`` long.

    The spread of the base's rate is that of the counts so far; that of her own rate cannot be learned without a split,
    so it has no log score.
    """
    x, age = histories.frequency.astype(np.float64), histories.age_days
    if not float(age.sum()):
        return ()
    rate = float(x.sum() / age.sum())
    each = histories.margin_mean
    mean = float(np.einsum("n,n->", x, each) / max(float(x.sum()), 1.0))
    own = np.divide(x, age, out=np.zeros(len(x)), where=age > 0) * days
    spread = Spread(0.0, fitted_spread(rate * age, x, most).size)
    base = np.full(len(x), rate * days)
    return (
        Naive(name="own rate", purchases=own, margin=own * each, spread=None),
        Naive(name="base mean", purchases=base, margin=base * mean, spread=spread),
    )


def _repeats(log: TransactionLog, base: Histories, days: int, cut: dt.date) -> tuple[FloatColumn, FloatColumn]:
    """Repeat purchase days, and the margin after the first purchase day, in the ``days`` up to the cut."""
    after = cut - dt.timedelta(days=days)
    known = log.until(cut)
    place = np.searchsorted(base.customer_id, known.customers.labels)
    place = np.minimum(place, len(base) - 1)
    mine = base.customer_id[place] == known.customers.labels
    first = np.where(mine, base.first_at[place], np.datetime64("9999-01-01", "D"))
    later = known.take(known.day > first[known.customers.codes])
    seen = observe(later, base.customer_id, after=after, until=cut)
    return seen.purchases.astype(np.float64), seen.margin


def _cells(base: Histories) -> IntColumn:
    """The cell of each customer, 0 to 26: terciles by recency, frequency and mean margin; equals share a tercile."""
    paid = base.margin_mean if not np.any(base.margin) else base.margin / (base.frequency + 1)
    return np.asarray(9 * _tercile(base.idle_days) + 3 * _tercile(base.frequency) + _tercile(paid))


def _tercile(values: FloatColumn | IntColumn) -> IntColumn:
    bounds = np.quantile(values, [1 / 3, 2 / 3], method="inverted_cdf")
    return np.asarray(np.searchsorted(bounds, values, side="left"))
