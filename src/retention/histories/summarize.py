"""From the log to one row a customer."""

import datetime as dt
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.coded import Coded
from retention.frames.table import Provenance
from retention.histories.habits import Habits
from retention.histories.history import Histories
from retention.histories.pushdown import HistoryScan, summarize_scan
from retention.records.scan import TransactionScan
from retention.records.transactions import TransactionLog

__all__ = ["summarize"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ONLY_RETURNS = "no purchase: only returns or cancelled orders"
_LATER = "first line after the as-of date"


@overload
def summarize(
    log: TransactionLog, *, as_of: str | dt.date, by: Literal["day"] = "day", habits: bool = True
) -> Histories: ...
@overload
def summarize(
    log: TransactionScan, *, as_of: str | dt.date, by: Literal["day"] = "day", habits: bool = True
) -> HistoryScan: ...
def summarize(
    log: TransactionLog | TransactionScan, *, as_of: str | dt.date, by: Literal["day"] = "day", habits: bool = True
) -> Histories | HistoryScan:
    """Every customer's history and habits on the evening of ``as_of``.

    A purchase day is a day with at least one line that is neither a return nor half of a cancelled order; two
    orders on one day are one purchase day (``by="day"``, the convention of Fader, Hardie and Lee 2005). Money is
    net of returns, whenever they came; ``margin_mean`` is the margin after the first purchase day divided by the
    repeat purchase days, and ``margin_squares`` the sum of the squares of what each of those brought, where a return
    counts against the last purchase day before it (the first repeat one at the earliest, so that the days add up to
    that margin). Lines after ``as_of`` are not looked at. Customers without a purchase have no history;
    they are counted in ``left_out``.

    Of a scan the engine that holds the transactions makes the same summary, without habits; it begins when the result
    is asked for (``.collect()``, ``.cells()``).

    Args:
        log: the transaction log, or a scan of transactions that stay where they are.
        as_of: the last day that is known; never read from the clock.
        by: what makes one purchase; only ``"day"``.
        habits: whether to work out each customer's habits as well.

    Returns:
        Histories, one row a customer in order of her id; of a scan a HistoryScan.

    Example:
        >>> log = TransactionLog.from_arrays(
        ...     customer_id=["a", "a", "b"], at=["2011-01-03", "2011-02-02", "2011-02-01"], revenue=[10, 5, 7])
        >>> base = summarize(log, as_of="2011-02-10")
        >>> base["frequency"].tolist(), base["recency_days"].tolist(), base["age_days"].tolist()
        ([1, 0], [30.0, 0.0], [38.0, 9.0])
    """
    day = as_day(as_of)
    if by != "day":
        raise ConfigError(
            f"by={by!r}",
            rule="purchases are counted by calendar day",
            remedy="pass by='day'",
        )
    if isinstance(log, TransactionScan):
        return summarize_scan(log, as_of=day)
    known = log.until(day)
    left_out = {_LATER: len(log.customers.labels) - len(known.customers.labels)}
    today = int(np.datetime64(day, "D").astype(np.int64))

    codes = known.customers.codes.astype(np.int64)
    days = known.day.astype(np.int64)
    bought = ~(known.is_return | known.is_cancelled)
    customer, on = _distinct(codes[bought], days[bought])
    owner, starts, counts = np.unique(customer, return_index=True, return_counts=True)
    left_out[_ONLY_RETURNS] = len(known.customers.labels) - len(owner)

    first = on[starts]
    last = on[starts + counts - 1] if len(on) else first
    frequency = counts - 1
    place = np.full(len(known.customers.labels), -1, dtype=np.int64)
    place[owner] = np.arange(len(owner))

    # Lines of customers with a history, by their row in the base.
    rows = place[codes]
    has_history = rows >= 0
    inside = known if bool(has_history.all()) else known.take(has_history)
    rows = rows[has_history]
    n = len(owner)

    def total(minor: Ints, where: NDArray[np.bool_], decimals: int) -> Floats:
        sums = np.zeros(n, dtype=np.int64)
        np.add.at(sums, rows[where], minor[where])
        return sums / 10.0**decimals

    everywhere = np.ones(len(inside), dtype=bool)
    margin = total(inside.margin.minor, everywhere, inside.margin.decimals)
    later = inside.day.astype(np.int64) > first[rows] if n else everywhere
    margin_later = total(inside.margin.minor, later, inside.margin.decimals)
    squares = _day_squares(rows[later], inside.day.astype(np.int64)[later], inside.margin.minor[later], on, starts)
    gone_back = inside.is_return & ~inside.is_cancelled & (inside.revenue.minor < 0)

    gaps, gap_owner = _gaps(customer, on, place)
    log_gaps = np.log(gaps)
    kept_purchase = ~(inside.is_return | inside.is_cancelled)
    _, order_first = np.unique(inside.occasions()[kept_purchase], return_index=True)
    orders = np.bincount(rows[kept_purchase][order_first], minlength=n).astype(np.int64)

    ids = known.customers.labels[owner]
    return Histories(
        customer_id=ids,
        first_at=first.astype("datetime64[D]"),
        last_at=last.astype("datetime64[D]"),
        frequency=frequency.astype(np.int64),
        recency_days=(last - first).astype(np.float64),
        age_days=(today - first).astype(np.float64),
        orders=orders,
        revenue=total(inside.revenue.minor, everywhere, inside.revenue.decimals),
        margin=margin,
        margin_mean=np.divide(margin_later, frequency, out=np.zeros(n), where=frequency > 0),
        margin_squares=squares / 100.0**inside.margin.decimals,
        returns=total(-inside.revenue.minor, gone_back, inside.revenue.decimals),
        gap_log_sum=np.bincount(gap_owner, log_gaps, minlength=n).astype(np.float64),
        gap_log_squares=np.bincount(gap_owner, log_gaps**2, minlength=n).astype(np.float64),
        as_of=day,
        currency=log.currency,
        left_out={reason: count for reason, count in left_out.items() if count},
        habits=_habits(inside, rows, ids, gaps, gap_owner, customer, on, place) if habits else None,
        provenance=Provenance(
            as_of=day.isoformat(),
            data=log.fingerprint(),
            version=log.provenance.version,
            notes=log.provenance.notes,
        ),
    )


def _distinct(codes: Ints, days: Ints) -> tuple[Ints, Ints]:
    """The distinct (customer, day) pairs, sorted by customer and day."""
    if not len(codes):
        return codes, days
    low = days.min()
    width = int(days.max() - low) + 1
    keys = np.unique(codes * width + (days - low))
    return keys // width, keys % width + low


def _day_squares(rows: Ints, days: Ints, minor: Ints, on: Ints, starts: Ints) -> Floats:
    """Each customer's sum of squared margins of repeat purchase days; hers start at ``starts[row]`` of ``on``."""
    n, ends = len(starts), np.append(starts[1:], len(on))
    repeats = (ends - starts)[rows] > 1
    rows, days, minor = rows[repeats], days[repeats], minor[repeats]
    if not len(rows):
        return np.zeros(n)
    low = int(on.min())
    width = max(int(on.max()), int(days.max())) - low + 1
    owner = np.repeat(np.arange(n), ends - starts)
    last = np.searchsorted(owner * width + (on - low), rows * width + (days - low), side="right") - 1
    sums = np.zeros(len(on), dtype=np.int64)
    np.add.at(sums, np.maximum(last, starts[rows] + 1), minor)
    return np.bincount(owner, sums.astype(np.float64) ** 2, minlength=n).astype(np.float64)


def _gaps(customer: Ints, on: Ints, place: Ints) -> tuple[Floats, Ints]:
    """Days between successive purchase days, and the base row that each gap belongs to."""
    same = customer[1:] == customer[:-1]
    return np.diff(on)[same].astype(np.float64), place[customer[1:][same]]


def _habits(
    log: TransactionLog,
    rows: Ints,
    ids: NDArray[np.str_],
    gaps: Floats,
    gap_owner: Ints,
    customer: Ints,
    on: Ints,
    place: Ints,
) -> Habits:
    n = len(ids)
    bought = ~(log.is_return | log.is_cancelled)

    day_rows = place[customer]
    low, width = (int(on.min()), int(on.max() - on.min()) + 1) if len(on) else (0, 1)
    keys = day_rows * width + (on - low)
    # Net revenue of each purchase day; returns on days without a purchase are no basket.
    line_keys = rows * width + (log.day.astype(np.int64) - low)
    at = np.clip(np.searchsorted(keys, line_keys), 0, max(len(keys) - 1, 0))
    on_purchase_day = keys[at] == line_keys if len(keys) else np.zeros(len(rows), dtype=bool)
    baskets = np.zeros(len(keys), dtype=np.int64)
    np.add.at(baskets, at[on_purchase_day], log.revenue.minor[on_purchase_day])

    # 1970-01-01 was a Thursday: with Monday = 0 that is day 3.
    weekday, weekday_share = _favourite(day_rows, (on + 3) % 7, 7, n)

    def favourite_label(coded: Coded | None) -> tuple[Any, Any]:
        if coded is None:
            return None, None
        best, share = _favourite(rows[bought], coded.codes[bought].astype(np.int64), len(coded.labels), n)
        return np.where(best >= 0, coded.labels[np.maximum(best, 0)], ""), share

    category, category_share = favourite_label(log.categories)
    channel, channel_share = favourite_label(log.channels)
    return Habits(
        customer_id=ids,
        usual_gap_days=_quantile(gaps, gap_owner, n, 0.5),
        gap_spread_days=_quantile(gaps, gap_owner, n, 0.75) - _quantile(gaps, gap_owner, n, 0.25),
        basket=_quantile(baskets / 10.0**log.revenue.decimals, day_rows, n, 0.5),
        weekday=weekday,
        weekday_share=weekday_share,
        category=category,
        category_share=category_share,
        channel=channel,
        channel_share=channel_share,
    )


def _quantile(values: Floats, owner: Ints, n: int, q: float) -> Floats:
    """Each owner's quantile of her values (linear between order statistics); NaN without values."""
    result = np.full(n, np.nan)
    if not len(values):
        return result
    order = np.lexsort((values, owner))
    ranked, who = values[order], owner[order]
    present, starts, counts = np.unique(who, return_index=True, return_counts=True)
    spot = q * (counts - 1)
    below = np.floor(spot).astype(np.int64)
    above = np.minimum(below + 1, counts - 1)
    low, high = ranked[starts + below], ranked[starts + above]
    result[present] = low + (high - low) * (spot - below)
    return result


def _favourite(owner: Ints, kinds: Ints, many: int, n: int) -> tuple[Ints, Floats]:
    """Each owner's most frequent kind (the first in code order on a tie) and its share; -1 and NaN without any."""
    best = np.full(n, -1, dtype=np.int64)
    share = np.full(n, np.nan)
    if not len(owner):
        return best, share
    pairs, counts = np.unique(owner * many + kinds, return_counts=True)
    who, kind = pairs // many, pairs % many
    order = np.lexsort((kind, -counts, who))
    present, starts = np.unique(who[order], return_index=True)
    top = order[starts]
    best[present] = kind[top]
    share[present] = counts[top] / np.bincount(owner, minlength=n)[present]
    return best, share
