"""Did the contacts pay? Realised margin of the contacted against that of the held-out."""

import datetime as dt
import html
import math
from typing import Any, Literal

import attrs
import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, TextColumn
from retention.journal import Journal
from retention.records.transactions import TransactionLog

__all__ = ["Proof", "Verdict", "prove", "LEAST_CUSTOMERS", "NEGLIGIBLE_SHARE"]

Verdict = Literal["works", "no effect", "harms", "cannot tell"]

LEAST_CUSTOMERS = 20
"""With fewer customers in either arm there is no verdict."""

NEGLIGIBLE_SHARE = 0.01
"""A difference within this share of the held-out's mean margin is negligible, unless the caller says otherwise."""

_SHUFFLES = 1999
_SEED = 20111209


@frozen(kw_only=True, repr=False)
class Proof:
    """What the contacts earned per contacted customer beyond the hold-out, after their money cost.

    ``value`` is that difference with its interval ``[low, high]`` at confidence ``level``; infinite ends mean that the
    data bound nothing. ``total``, ``total_low`` and ``total_high`` are the same times ``n_contact``. The verdict:

    - ``works``: low > 0;
    - ``harms``: high < 0;
    - ``no effect``: the interval lies within plus or minus ``negligible``;
    - ``cannot tell``: anything else, and always with fewer than 20 customers in an arm.

    ``notes`` say what a reader must know before believing the number.
    """

    value: float
    low: float
    high: float
    level: float
    verdict: Verdict
    negligible: float
    n_contact: int
    n_holdout: int
    margin_contact: float
    margin_holdout: float
    cost_contact: float
    hours: float
    since: dt.date | None
    until: dt.date | None
    window_days: int | None
    currency: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """What all contacts together earned beyond what would have come anyway."""
        return self.value * self.n_contact

    @property
    def total_low(self) -> float:
        """Its lower end."""
        return self.low * self.n_contact

    @property
    def total_high(self) -> float:
        """Its upper end."""
        return self.high * self.n_contact

    @property
    def missing(self) -> tuple[int, int]:
        """How many more customers the contact arm and the hold-out need before any verdict."""
        return max(0, LEAST_CUSTOMERS - self.n_contact), max(0, LEAST_CUSTOMERS - self.n_holdout)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ends and means that the data do not give are None."""
        plain = attrs.asdict(self) | {
            "total": self.total,
            "total_low": self.total_low,
            "total_high": self.total_high,
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "notes": list(self.notes),
        }
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in plain.items()}

    @property
    def sentence(self) -> str:
        """The proof in one sentence."""
        arms = f"{self.n_contact:,} contacted, {self.n_holdout:,} held out"
        if any(self.missing):
            more = " and ".join(
                f"{n} more {who}" for n, who in zip(self.missing, ("contacted", "held out"), strict=True) if n
            )
            return f"{self.verdict} ({arms}): needs at least {more}"
        if not math.isfinite(self.low):
            return f"{self.verdict} ({arms}): nothing differs between customers, so nothing bounds the effect"
        unit = f" {self.currency}" if self.currency else ""
        return (
            f"{self.verdict}: {self.value:+,.2f}{unit} margin per contacted customer after cost, "
            f"{self.level:.0%} interval {self.low:+,.2f} to {self.high:+,.2f} ({arms})"
        )

    def __repr__(self) -> str:
        return f"<Proof {self.sentence}>"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p><b>{html.escape(self.sentence)}</b></p>" + (f"<ul>{notes}</ul>" if notes else "")


def prove(
    journal: Journal,
    log: TransactionLog,
    *,
    interval: float = 0.90,
    window_days: int | None = None,
    until: dt.date | None = None,
    negligible: float | None = None,
) -> Proof:
    """Compare what the contacted brought in with what the held-out brought in, by intention to treat.

    Each customer belongs to the arm of her *first* decision in the journal, whatever came later. Her margin (exact
    sums of the log) counts from the day after that decision up to ``until`` (default: the log's last day), less the
    money that contacts with her cost in that time. With ``window_days`` it counts for just so many days, and customers
    whose window is not over by ``until`` are left out: then every customer is seen equally long. Without it they are
    not, and a note says by how much.

    The interval is a studentised permutation interval: the quantiles of Welch's t come from reshuffling the margins
    over the two arms (1,999 times, fixed seed), not from a table. Where contact changes nothing, the chance of the
    verdict ``works`` is at most ``(1 - interval) / 2`` by construction, however skewed the spend and whatever the sizes
    of the arms; where it changes something the coverage is right for large arms. What contacts cost is taken as known.

    ``negligible`` is the difference per customer, in money, that is not worth having; by default 1 % of the
    hold-out's mean margin.

    Raises:
        ConfigError: ``interval`` outside (0.5, 0.99], or ``window_days`` or ``negligible`` not positive.

    Source: Janssen, Statistics & Probability Letters 36 (1997) 9-21; Chung and Romano, Annals of Statistics 41 (2013)
    484-507.

    Example:
        >>> with Journal(":memory:") as journal:
        ...     prove(journal, TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-03"], revenue=[5]))
        <Proof cannot tell (0 contacted, 0 held out): needs at least 20 more contacted and 20 more held out>
    """
    _check(interval=interval, window_days=window_days, negligible=negligible)
    notes = list(log.provenance.notes)
    end = np.datetime64("NaT", "D") if not len(log) else log.day.max()
    if until is not None:
        if len(log) and np.datetime64(until, "D") > end:
            notes.append(f"the log ends on {end}, before {until.isoformat()}: the days after it count as no purchase")
        end = np.datetime64(until, "D")

    arms = _arms(journal, end, window_days, notes)
    margin = _margins(log, arms)
    if len(arms.who) and len(log) and not np.isin(arms.who, log.customers.labels).any():
        notes.append("no customer of the journal is in the log: is it the same shop's, with the same ids?")
    treated, control = margin[arms.contacted], margin[~arms.contacted]
    n_contact, n_holdout = len(treated), len(control)
    cost = _mean(arms.money[arms.contacted]) - (_mean(arms.money[~arms.contacted]) if n_holdout else 0.0)
    low, high = -math.inf, math.inf
    if min(n_contact, n_holdout) >= LEAST_CUSTOMERS:
        low, high = (bound - cost for bound in _interval(treated, control, interval))
    if negligible is None:
        negligible = NEGLIGIBLE_SHARE * abs(float(control.mean())) if n_holdout else 0.0
    return Proof(
        value=_mean(treated) - _mean(control) - cost,
        low=low,
        high=high,
        level=interval,
        verdict=_verdict(low, high, negligible),
        negligible=negligible,
        n_contact=n_contact,
        n_holdout=n_holdout,
        margin_contact=_mean(treated),
        margin_holdout=_mean(control),
        cost_contact=cost,
        hours=float(arms.hours[arms.contacted].sum()),
        since=arms.first.min().item() if len(arms.who) else None,
        until=None if np.isnat(end) else end.item(),
        window_days=window_days,
        currency=log.currency,
        notes=tuple(dict.fromkeys(notes)),
    )


def _check(*, interval: float, window_days: int | None, negligible: float | None) -> None:
    if not 0.5 < interval <= 0.99:
        raise ConfigError(
            f"interval={interval!r}", rule="an interval's confidence lies in (0.5, 0.99]", remedy="pass 0.90, say"
        )
    for name, given in (("window_days", window_days), ("negligible", negligible)):
        if given is not None and not (math.isfinite(given) and given > 0):
            raise ConfigError(
                f"{name}={given!r}", rule=f"{name} is more than zero", remedy=f"leave {name} out, or raise it"
            )


@frozen(eq=False, kw_only=True)
class _Arms:
    """One row a customer who was chosen at least once: her first decision and what her contacts cost since."""

    who: TextColumn
    first: DayColumn
    close: DayColumn
    contacted: BoolColumn
    money: FloatColumn
    hours: FloatColumn


def _arms(journal: Journal, end: np.datetime64, window_days: int | None, notes: list[str]) -> _Arms:
    decisions = journal.decisions()  # by night, so the first row of a customer is her first decision
    forgotten = decisions.customer_id == ""
    if forgotten.any():
        notes.append(f"{int(forgotten.sum()):,} decisions are left out: the customers asked to be forgotten")
    decisions = decisions.take(~forgotten)
    who, at, person = np.unique(decisions.customer_id, return_index=True, return_inverse=True)
    first, contact = decisions.as_of[at], decisions.arm == "contact"
    close = np.full(len(who), end) if window_days is None else first + np.timedelta64(window_days, "D")
    contacted = contact[at]

    changed = np.zeros(len(who), dtype=bool)
    changed[person[contact != contacted[person]]] = True
    if changed.any():
        notes.append(
            f"{int(changed.sum()):,} customers changed arms later; they count in the arm of their first decision"
        )
    if len(np.unique(decisions.probability[at])) > 1:
        notes.append(
            "the share held out differs between first decisions: the arms are alike only as far as the nights are"
        )
    paid = contact & (decisions.as_of < close[person])
    money, hours = np.zeros(len(who)), np.zeros(len(who))
    np.add.at(money, person[paid], decisions.money[paid])
    np.add.at(hours, person[paid], decisions.hours[paid])

    # A comparison with NaT is False: without a day to count to, nobody has a window.
    ripe = (first < end) & (close <= end)
    if not ripe.all():
        notes.append(f"{int((~ripe).sum()):,} customers are left out: their window is not over yet")
    if window_days is None and ripe.any() and first[ripe].min() < first[ripe].max():
        shortest, longest = (int((end - day).astype(np.int64)) for day in (first[ripe].max(), first[ripe].min()))
        notes.append(
            f"customers are seen for {shortest} to {longest} days; with window_days= all are seen equally long"
        )
    return _Arms(
        who=who[ripe],
        first=first[ripe],
        close=close[ripe],
        contacted=contacted[ripe],
        money=money[ripe],
        hours=hours[ripe],
    )


def _margins(log: TransactionLog, arms: _Arms) -> FloatColumn:
    """Each customer's margin after the day of her first decision, up to the last day of her window."""
    if not len(arms.who) or not len(log):
        return np.zeros(len(arms.who))
    labels = log.customers.labels
    at = np.minimum(np.searchsorted(arms.who, labels), len(arms.who) - 1)
    row = np.where(arms.who[at] == labels, at, -1)[log.customers.codes]
    counted = (row >= 0) & (log.day > arms.first[row]) & (log.day <= arms.close[row])
    sums = log.margin.take(counted).by_group(row[counted], len(arms.who))
    return sums / 10.0**log.margin.decimals


def _interval(treated: FloatColumn, control: FloatColumn, level: float) -> tuple[float, float]:
    """The studentised permutation interval of the difference of means."""
    pooled = np.concatenate([treated, control])
    # The difference and its error do not feel a shift; most customers then hold 0 and need no shuffling.
    shifted = pooled - np.median(pooled)
    values = shifted[shifted != 0]
    if not len(values):
        return -math.inf, math.inf
    n, n_control = len(pooled), len(control)
    rng = np.random.default_rng(_SEED)
    drawn = rng.hypergeometric(len(values), n - len(values), n_control, size=_SHUFFLES)
    sums, squares = np.empty(_SHUFFLES), np.empty(_SHUFFLES)
    for i, k in enumerate(drawn):
        some = values[rng.choice(len(values), k, replace=False, shuffle=False)]
        sums[i], squares[i] = some.sum(), some @ some
    whole, whole_squares = values.sum(), values @ values
    differences, errors = _welch(whole - sums, whole_squares - squares, n - n_control, sums, squares, n_control)
    t = np.sort(np.divide(differences, errors, out=np.zeros(_SHUFFLES), where=errors > 0))
    # The k-th of B values leaves (B + 1 - k) / (B + 1) above it, the seen arrangement counted: an exact test.
    k = math.ceil(round((1 + level) / 2 * (_SHUFFLES + 1), 6))

    mine = shifted[len(treated) :]
    difference, error = _welch(
        whole - mine.sum(), whole_squares - mine @ mine, n - n_control, mine.sum(), mine @ mine, n_control
    )
    # Where few customers spend, many arrangements tie with the seen one: rounding must not decide a verdict.
    slack = 1e-9 * (abs(difference) + error)
    return float(difference - t[k - 1] * error - slack), float(difference - t[_SHUFFLES - k] * error + slack)


def _welch(sum_a: Any, squares_a: Any, n_a: int, sum_b: Any, squares_b: Any, n_b: int) -> tuple[Any, Any]:
    """Difference of two means and its standard error, from sums and sums of squares."""
    mean_a, mean_b = sum_a / n_a, sum_b / n_b
    variance_a = np.maximum(squares_a - n_a * mean_a**2, 0.0) / (n_a - 1)
    variance_b = np.maximum(squares_b - n_b * mean_b**2, 0.0) / (n_b - 1)
    return mean_a - mean_b, np.sqrt(variance_a / n_a + variance_b / n_b)


def _mean(values: FloatColumn) -> float:
    return float(values.mean()) if len(values) else math.nan


def _verdict(low: float, high: float, negligible: float) -> Verdict:
    if low > 0:
        return "works"
    if high < 0:
        return "harms"
    return "no effect" if -negligible <= low and high <= negligible else "cannot tell"
