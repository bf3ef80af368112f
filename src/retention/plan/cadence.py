"""How often to contact each customer: more where more pays, less where less pays, and no guess where the data are mute.

Reminding works until it wears people out. What one more contact brings falls with every contact, what it costs does
not, and each takes some customers who opt out and are then never reached again. So there is a frequency beyond which
less is more, and the only way to know it is to have tried several.
"""

import datetime as dt
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike

from retention.errors import ConfigError, RetentionWarning, nearest
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog

__all__ = ["Cadence", "CadenceCurves", "FrequencyTrial", "NotRandomised", "cadence", "frequency_trial"]

LESS, MORE, AS_IS, UNKNOWN = "less", "more", "as it is", "cannot tell"
LEAST = 20
"""Customers in an arm, below which its mean says nothing."""

_DRAWS, _WARM = 1500, 300
_ARMS = 40


class NotRandomised(RetentionWarning):
    """Frequencies were not drawn by chance, so what they seem to bring may be what called for them."""


@frozen(eq=False, repr=False, kw_only=True)
class CadenceCurves(Table):
    """One row a segment and frequency that was within what has been tried."""

    key: ClassVar[str] = "segment"

    segment: TextColumn = column("which customers")
    frequency: IntColumn = column("contacts a period", unit="count")
    brought: FloatColumn = column("margin that these contacts bring a period", unit="money")
    brought_low: FloatColumn = column("lower bound", unit="money")
    brought_high: FloatColumn = column("upper bound", unit="money")
    opted_out: FloatColumn = column("chance to opt out within a period")
    worth: FloatColumn = column("until she opts out, net of contacts and of what the opt-out loses", unit="money")
    worth_low: FloatColumn = column("lower bound", unit="money")
    worth_high: FloatColumn = column("upper bound", unit="money")


@frozen(eq=False, repr=False, kw_only=True)
class _Learned:
    """What a trial taught: draws of both parts of worth, (draws, segments, options)."""

    names: TextColumn
    options: IntColumn
    earned: FloatColumn
    taken: FloatColumn
    brought: FloatColumn
    leaving: FloatColumn


@frozen(eq=False, repr=False, kw_only=True)
class FrequencyTrial(Table):
    """One row a customer: how many contacts she was assigned, or got, and what came of it within one period."""

    customer_id: TextColumn = column("who")
    frequency: IntColumn = column("contacts in the period", unit="count")
    margin: FloatColumn = column("what she brought in the period", unit="money")
    opted_out: BoolColumn = column("whether she opted out in it")

    period_days: float
    randomised: bool


def frequency_trial(
    log: TransactionLog,
    *,
    since: dt.date,
    until: dt.date,
    assigned: Mapping[str, int] | None = None,
    touches: Touches | None = None,
    opted_out: Iterable[str] = (),
) -> FrequencyTrial:
    """The columns that :func:`cadence` learns from, for the days after ``since`` up to ``until``.

    ``assigned`` says by customer id how many contacts chance has given her for the period: a trial. Without it the
    outbound ``touches`` of the customers who had bought by ``since`` are counted, and the result is not randomised.
    ``opted_out`` are the ids of those who opted out in the period. Margin is that of the log. What comes back goes on
    as ``cadence(**got.columns(), period_days=got.period_days, randomised=got.randomised, today=...)``.

    Raises:
        ConfigError: a period of no days, or neither ``assigned`` nor ``touches``.

    Example:
        >>> log = TransactionLog.from_arrays(customer_id=["a", "a", "b"], at=["2011-01-03", "2011-02-01", "2011-01-05"],
        ...                                  revenue=[5, 7, 9])
        >>> got = frequency_trial(log, since=dt.date(2011, 1, 10), until=dt.date(2011, 2, 7), assigned={"a": 2, "b": 0})
        >>> got.frequency.tolist(), got.margin.tolist(), got.period_days
        ([2, 0], [7.0, 0.0], 28.0)
    """
    start, end = np.datetime64(since, "D"), np.datetime64(until, "D")
    if not start < end or (assigned is None and touches is None):
        raise ConfigError(
            f"a trial since {since} until {until}" + ("" if start < end else ": no days"),
            rule="a trial has days, and either what was assigned or what was done",
            remedy="pass assigned={id: contacts}, or touches=...",
        )
    labels, codes = log.customers.labels, log.customers.codes
    if assigned is not None:
        who = np.asarray(sorted(map(str, assigned)), dtype=np.str_)
        told = {str(one): count for one, count in assigned.items()}
        frequency = _counts("assigned", [told[one] for one in who.tolist()], len(who))
    else:
        assert touches is not None
        who = np.sort(labels[np.unique(codes[log.day <= start])])
        done = (touches.direction != "in") & (touches.at > start) & (touches.at <= end)
        row = _rows(who, touches.customer_id[done])
        frequency = np.bincount(row[row >= 0], minlength=len(who))
    row = _rows(who, labels)[codes]
    counted = (row >= 0) & (log.day > start) & (log.day <= end)
    sums = log.margin.take(counted).by_group(row[counted], len(who)) if len(who) else np.zeros(0)
    return FrequencyTrial(
        customer_id=who,
        frequency=frequency,
        margin=sums / 10.0**log.margin.decimals,
        opted_out=np.isin(who, np.asarray([str(one) for one in opted_out], dtype=np.str_)),
        period_days=float((end - start).astype(np.int64)),
        randomised=assigned is not None,
    )


def _rows(who: TextColumn, others: TextColumn) -> IntColumn:
    """Where in the sorted ids each of the others stands, -1 for nowhere."""
    if not len(who):
        return np.full(len(others), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(who, others), len(who) - 1)
    return np.where(who[at] == others, at, -1).astype(np.int64)


@frozen(eq=False, repr=False, kw_only=True)
class Cadence(Table):
    """One row a customer: how often to contact her a period, and what is said of how often it is done today.

    ``verdict`` is *less* or *more* where that pays with the probability ``level`` at least, *as it is* where every
    other frequency pays less with that probability, and *cannot tell* otherwise. ``frequency`` is the better one for
    the first two and today's otherwise, never above her cap. ``best`` is the frequency of most expected worth, proved
    or not. ``chance`` is the probability that ``best`` pays more than today's frequency.
    """

    customer_id: TextColumn = column("who")
    segment: TextColumn = column("whose response she is taken to have")
    today: IntColumn = column("contacts a period today", unit="count")
    cap: IntColumn = column("most contacts a period that are allowed", unit="count")
    frequency: IntColumn = column("contacts a period from now on", unit="count")
    verdict: TextColumn = column("less, more, as it is, or cannot tell")
    best: IntColumn = column("contacts a period of most expected worth", unit="count")
    gain: FloatColumn = column("what best is expected to be worth more than today's", unit="money")
    gain_sd: FloatColumn = column("its standard deviation", unit="money")
    chance: FloatColumn = column("probability that best is worth more than today's")

    curves: CadenceCurves
    period_days: float
    cost: float
    level: float
    interval: float
    randomised: bool
    notes: tuple[str, ...] = field(default=())
    learned: _Learned = field(repr=False)

    @property
    def limits(self) -> Mapping[str, int]:
        """By customer id, the most contacts in ``period_days`` that pay."""
        return dict(zip(self.customer_id.tolist(), self.frequency.tolist(), strict=True))

    def of_others(
        self,
        *,
        customer_id: ArrayLike,
        today: ArrayLike,
        segment: ArrayLike | None = None,
        lost: ArrayLike = 0.0,
        cap: ArrayLike | None = None,
    ) -> "Cadence":
        """The same for customers who were not in the trial, by what it taught of their segments.

        Raises:
            ConfigError: a segment that was not in the trial, or as in :func:`cadence`.
        """
        who, group, member = _members(customer_id, segment, self.learned.names)
        return _advice(self, who, group, member, today, lost, cap)

    def verdicts(self) -> dict[str, int]:
        """How many customers each verdict is about."""
        return {said: int((self.verdict == said).sum()) for said in (LESS, MORE, AS_IS, UNKNOWN)}

    def plot(self, ax: Any = None) -> Any:
        """Draw what contacting so often is worth, by segment: a dot at the best, a ring at today's mean frequency."""
        ax = axes(ax)
        curves = self.curves
        names = list(dict.fromkeys(curves.segment.tolist()))[:6]
        colours = ("#1f5f8b", "#c8553d", "#588b3f", "#8b6f1f", "#6b4c9a", "#3f8b86")
        for name, colour in zip(names, colours, strict=False):
            here = curves.segment == name
            f, worth = curves.frequency[here], curves.worth[here]
            ax.fill_between(f, curves.worth_low[here], curves.worth_high[here], color=colour, alpha=0.15, linewidth=0)
            ax.plot(f, worth, color=colour, linewidth=2, label=name)
            ax.plot(f[worth.argmax()], worth.max(), "o", color=colour)
            now = self.today[self.segment == name]
            if len(now):
                mean = float(np.clip(now.mean(), f[0], f[-1]))
                ax.plot(mean, np.interp(mean, f, worth), "o", color=colour, markerfacecolor="white", markersize=8)
        ax.axhline(0.0, color="0.6", linewidth=0.8)
        ax.set(xlabel=f"contacts in {self.period_days:g} days", ylabel="worth of a customer until she opts out")
        ax.set_title("most worth (dot) and today (ring)" + ("" if self.randomised else ", not randomised"), fontsize=10)
        if len(names) > 1:
            ax.legend(frameon=False, fontsize=9)
        return ax

    def __repr__(self) -> str:
        told = ", ".join(f"{said} for {n:,}" for said, n in self.verdicts().items() if n)
        proof = "" if self.randomised else " (not randomised: read the notes)"
        return f"<Cadence: {len(self):,} customers in {self.period_days:g} days: {told or 'nobody'}{proof}>"


def cadence(
    *,
    customer_id: ArrayLike,
    frequency: ArrayLike,
    margin: ArrayLike,
    opted_out: ArrayLike,
    today: ArrayLike,
    period_days: float,
    randomised: bool,
    segment: ArrayLike | None = None,
    cost: float = 0.0,
    lost: ArrayLike = 0.0,
    cap: ArrayLike | None = None,
    discount_rate: float = 0.10,
    level: float = 0.95,
    interval: float = 0.90,
    seed: int = 0,
) -> Cadence:
    """How many contacts a period pay for each customer, from a trial of several frequencies.

    One row a customer, for one period of ``period_days``:

    - ``frequency``: how many contacts she was *assigned*. Not how many she got: whoever opts out after the second gets
      no third, and would make two contacts look dangerous and five harmless.
    - ``margin``: what she brought in the period, contacts or not; ``opted_out``: whether she did, within it.
    - ``today``: how many contacts a period she gets now (one number for all will do).
    - ``segment``: whose response is like whose. Segments borrow from each other as far as they are alike.
    - ``cost`` of a contact; ``lost``: margin that an opt-out loses besides all that contacts would still have brought,
      for each customer or for all (0 if she keeps buying).
    - ``cap``: the most contacts a period allowed, for each or for all. Nothing beyond the frequencies tried is ever
      advised, cap or no cap.

    ``discount_rate`` is per year. ``randomised`` says whether ``frequency`` was drawn by chance, and must be said: if
    it was not, the result is an association, a :class:`NotRandomised` warning says so, and so do result and picture.
    Who was not in the trial is advised by :meth:`Cadence.of_others`; :func:`frequency_trial` makes the columns from a
    log.

    The response saturates and opting out grows with every contact, see :mod:`retention._kernels.cadence`; both are
    estimated with their uncertainty, and the verdict is about the worth of being contacted until she opts out. It
    cannot see that a contact brings forward what would have come later, unless the period is long enough to hold both.

    Raises:
        ConfigError: columns of different lengths, numbers outside their domain, fewer than two frequencies with at
            least 20 customers each.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> tried = rng.choice([0, 1, 2, 4, 8], 4000)
        >>> got = cadence(
        ...     customer_id=np.arange(4000), frequency=tried, today=8, period_days=28, randomised=True, cost=0.5,
        ...     margin=20 + 6 * (1 - np.exp(-tried)) + rng.normal(0, 10, 4000),
        ...     opted_out=rng.random(4000) < 0.01 * tried,
        ... )
        >>> got
        <Cadence: 4,000 customers in 28 days: less for 4,000>
        >>> got.limits["17"] <= 2
        True
    """
    who, group, member = _members(customer_id, segment, None)
    n, names = len(who), np.unique(group)
    tried, spent = _numbers("frequency", frequency, n), _numbers("margin", margin, n, least=-math.inf)
    gone = np.asarray(opted_out)
    if gone.shape != (n,) or not np.isin(gone, (0, 1)).all():
        raise ConfigError(
            f"opted_out of shape {gone.shape} and kind {gone.dtype}",
            rule=f"it is True or False for each of the {n:,} customers",
            remedy="False for who did not opt out within the period",
        )
    for name, value, least, most in (
        ("period_days", period_days, 1e-9, math.inf),
        ("cost", cost, 0.0, math.inf),
        ("discount_rate", discount_rate, 0.0, math.inf),
        ("level", level, 0.5, 0.999),
        ("interval", interval, 0.01, 0.999),
    ):
        if not (np.isfinite(value) and least <= value <= most):
            raise ConfigError(
                f"{name}={value!r}",
                rule=f"a finite number from {least:g}" + ("" if most == math.inf else f" to {most:g}"),
                remedy=f"give {name} such a number",
            )
    arms, arm = np.unique(tried, return_inverse=True)
    if len(arms) > _ARMS:
        raise ConfigError(
            f"{len(arms):,} different frequencies",
            rule=f"a trial has at most {_ARMS} of them",
            remedy="frequency is contacts assigned a period, in whole numbers",
        )
    size, mean, variance, left = _by_arm(member * len(arms) + arm, spent, gone.astype(bool), len(names), len(arms))
    enough = arms[size.sum(axis=0) >= LEAST]
    low, high = (math.ceil(enough.min()), math.floor(enough.max())) if len(enough) else (0, 0)
    if len(enough) < 2 or high <= low:
        raise ConfigError(
            f"frequencies tried on at least {LEAST} customers each: {', '.join(f'{f:g}' for f in enough) or 'none'}",
            rule="a response to frequency is learned from two frequencies at least, a contact apart",
            remedy="assign customers to several frequencies by chance, none at all among them",
        )
    notes = []
    if not randomised:
        told = (
            "frequencies were not drawn by chance: customers who were contacted more may differ in what they bring "
            "anyway, so this is an association and no effect"
        )
        warnings.warn(told, NotRandomised, stacklevel=2)
        notes.append(told)
    if low > 0:
        notes.append(f"nobody was left without contacts: nothing is said of fewer than {low} contacts a period")
    options = np.arange(low, high + 1)
    learned = _learn(names, arms, size, mean, variance, left, options, cost, discount_rate, period_days, seed)
    loss = _numbers("lost", lost, n)
    nobody = np.zeros(0, dtype=np.int64)
    empty = Cadence(
        customer_id=who[:0],
        segment=group[:0],
        today=nobody,
        cap=nobody,
        frequency=nobody,
        verdict=who[:0],
        best=nobody,
        gain=np.zeros(0),
        gain_sd=np.zeros(0),
        chance=np.zeros(0),
        curves=_curves(learned, np.bincount(member, loss) / np.bincount(member), interval),
        period_days=float(period_days),
        cost=float(cost),
        level=level,
        interval=interval,
        randomised=bool(randomised),
        notes=tuple(notes),
        learned=learned,
        provenance=Provenance(seed=seed, model="saturating response, hazard of opting out", notes=tuple(notes)),
    )
    return _advice(empty, who, group, member, today, loss, cap)


def _members(
    customer_id: ArrayLike, segment: ArrayLike | None, names: TextColumn | None
) -> tuple[TextColumn, TextColumn, IntColumn]:
    """Ids, segments, and the position of each customer's segment among the names (None: among her own base's)."""
    who = np.asarray(customer_id).astype(np.str_)
    group = np.full(len(who), "all") if segment is None else np.asarray(segment).astype(np.str_)
    if group.shape != who.shape or who.ndim != 1:
        raise ConfigError(
            f"customer_id of shape {who.shape} and segment of shape {group.shape}",
            rule="one id and one segment a customer",
            remedy="line them up",
        )
    if len(np.unique(who)) != len(who):
        raise ConfigError("a customer twice", rule="one row a customer", remedy="sum up her periods, or take one")
    known = np.unique(group) if names is None else names
    at = _rows(known, group)
    if (at < 0).any():
        raise ConfigError(
            f"segment {str(group[at < 0][0])!r}",
            rule="advice is for segments that were in the trial",
            remedy=nearest(str(group[at < 0][0]), known.tolist()),
        )
    return who, group, at


def _advice(
    told: Cadence,
    who: TextColumn,
    group: TextColumn,
    member: IntColumn,
    today: ArrayLike,
    lost: ArrayLike,
    cap: ArrayLike | None,
) -> Cadence:
    """What the draws say to each of these customers."""
    n, learned = len(who), told.learned
    now, loss = _counts("today", today, n), _numbers("lost", lost, n)
    low, high = int(learned.options[0]), int(learned.options[-1])
    most = np.full(n, high) if cap is None else _counts("cap", cap, n)
    at_now = np.clip(now, low, high)
    value = learned.earned.mean(axis=0)[member] - loss[:, None] * learned.taken.mean(axis=0)[member]
    allowed = learned.options[None, :] <= np.maximum(most, low)[:, None]
    best = np.where(allowed, value, -np.inf).argmax(axis=1)
    gain, sd, chance, as_is = _judge(learned, member, best, at_now - low, loss, told.level, allowed)
    verdict = np.full(n, UNKNOWN, dtype="<U11")
    sure = (best != at_now - low) & (chance >= told.level)
    verdict[sure & (learned.options[best] < now)] = LESS
    verdict[sure & (learned.options[best] > now)] = MORE
    verdict[(best == at_now - low) & as_is & (now == at_now)] = AS_IS
    advised = np.where(np.isin(verdict, (LESS, MORE)), learned.options[best], now)
    notes = list(told.notes)
    beyond = int((now != at_now).sum())
    if beyond:
        notes.append(
            f"{beyond:,} customers get more or fewer contacts today than was tried: they are judged as if they got the "
            "nearest frequency that was"
        )
    if n and not loss.any():
        notes.append("an opt-out is taken to lose what contacts would have brought, and nothing besides")
    return attrs.evolve(
        told,
        customer_id=who,
        segment=group,
        today=now,
        cap=most,
        frequency=np.minimum(advised, most),
        verdict=verdict,
        best=learned.options[best],
        gain=gain,
        gain_sd=sd,
        chance=chance,
        notes=tuple(dict.fromkeys(notes)),
        provenance=told.provenance.with_notes(*notes),
    )


def _numbers(name: str, given: ArrayLike, n: int, *, least: float = 0.0) -> FloatColumn:
    values = np.asarray(given, dtype=np.float64)
    values = np.full(n, values) if values.ndim == 0 else values
    if values.shape != (n,) or not (np.isfinite(values) & (values >= least)).all():
        raise ConfigError(
            f"{name} of shape {values.shape}" + ("" if values.shape != (n,) else " with values outside their domain"),
            rule=f"a finite number{' of zero or more' if least == 0 else ''} for each of the {n:,} customers",
            remedy=f"line {name} up with customer_id, and leave out who is not known",
        )
    return values


def _counts(name: str, given: ArrayLike, n: int) -> IntColumn:
    values = _numbers(name, given, n)
    if not np.array_equal(values, np.rint(values)):
        raise ConfigError(
            f"{name} with fractions", rule=f"{name} is whole contacts a period", remedy="take a longer period, or round"
        )
    return values.astype(np.int64)


def _by_arm(
    cell: IntColumn, margin: FloatColumn, gone: Any, groups: int, arms: int
) -> tuple[FloatColumn, FloatColumn, FloatColumn, FloatColumn]:
    """Customers, mean margin, variance of one customer's margin, and opt-outs, each (groups, arms).

    An arm's variance is drawn to its group's by as much as twenty customers weigh.
    """
    k = groups * arms
    size = np.bincount(cell, minlength=k).astype(np.float64)
    there = size > 0
    mean = np.divide(np.bincount(cell, margin, minlength=k), size, out=np.zeros(k), where=there)
    squares = np.bincount(cell, (margin - mean[cell]) ** 2, minlength=k).reshape(groups, arms)
    size, mean = size.reshape(groups, arms), mean.reshape(groups, arms)
    free = np.maximum((size - (size > 0)).sum(axis=1, keepdims=True), 1.0)
    pooled = squares.sum(axis=1, keepdims=True) / free
    everywhere = max(float(squares.sum() / free.sum()), 1e-12 * (1.0 + float(np.abs(mean).max())) ** 2)
    pooled = np.where(pooled > 0, pooled, everywhere)
    variance = (squares + LEAST * pooled) / (np.maximum(size - 1, 0.0) + LEAST)
    left = np.bincount(cell, gone, minlength=k).reshape(groups, arms).astype(np.float64)
    return size, mean, variance, left


def _learn(
    names: TextColumn,
    arms: FloatColumn,
    size: FloatColumn,
    mean: FloatColumn,
    variance: FloatColumn,
    left: FloatColumn,
    options: IntColumn,
    cost: float,
    discount_rate: float,
    period_days: float,
    seed: int,
) -> _Learned:
    from retention._kernels import cadence as kernel

    rng = np.random.default_rng(seed)
    tried = np.broadcast_to(arms, size.shape).astype(np.float64)
    drawn = kernel.response_draws(tried, size, mean, variance, draws=_DRAWS, warm=_WARM, rng=rng)
    a, b = (values[:, :, None] for values in drawn)
    drawn = kernel.optout_draws(tried, size, left, draws=_DRAWS, warm=_WARM, rng=rng)
    h0, h1 = (values[:, :, None] for values in drawn)
    keep = math.exp(-math.log1p(discount_rate) * period_days / 365.0)
    at = options.astype(np.float64)
    earned, taken = kernel.worth(at, a, b, h0, h1, cost=cost, keep=keep)
    return _Learned(
        names=names,
        options=options,
        earned=earned,
        taken=taken,
        brought=kernel.brought(at, a, b),
        leaving=kernel.opted_out(at, h0, h1),
    )


def _curves(learned: _Learned, loss: FloatColumn, interval: float) -> CadenceCurves:
    worth = learned.earned - loss[None, :, None] * learned.taken
    ends = ((1 - interval) / 2, (1 + interval) / 2)
    brought_low, brought_high = np.quantile(learned.brought, ends, axis=0)
    worth_low, worth_high = np.quantile(worth, ends, axis=0)
    return CadenceCurves(
        segment=np.repeat(learned.names, len(learned.options)),
        frequency=np.tile(learned.options, len(learned.names)),
        brought=learned.brought.mean(axis=0).ravel(),
        brought_low=brought_low.ravel(),
        brought_high=brought_high.ravel(),
        opted_out=learned.leaving.mean(axis=0).ravel(),
        worth=worth.mean(axis=0).ravel(),
        worth_low=worth_low.ravel(),
        worth_high=worth_high.ravel(),
    )


def _judge(
    learned: _Learned,
    member: IntColumn,
    best: IntColumn,
    now: IntColumn,
    loss: FloatColumn,
    level: float,
    allowed: Any,
) -> tuple[FloatColumn, FloatColumn, FloatColumn, Any]:
    """Gain of best over today's with its spread, the chance that it is one, and whether today's beats all others.

    A customer's gain is linear in what her opt-out loses, so mean and variance for all customers of one segment, best
    and today's frequency come from five moments of the draws; the chance is that of a normal with these.
    """
    from scipy import special

    earned, taken = learned.earned, learned.taken
    n, k = len(member), len(learned.options)
    gain, sd, chance, as_is = np.zeros(n), np.zeros(n), np.full(n, 0.5), np.zeros(n, dtype=bool)
    if not n:
        return gain, sd, chance, as_is

    def moments(g: int, other: int, today: int, lost: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
        x, y = earned[:, g, other] - earned[:, g, today], taken[:, g, other] - taken[:, g, today]
        spread = x.var() - 2 * lost * ((x - x.mean()) * (y - y.mean())).mean() + lost**2 * y.var()
        return x.mean() - lost * y.mean(), np.sqrt(np.maximum(spread, 0.0))

    cells, cell = np.unique(np.stack([member, best, now], axis=1), axis=0, return_inverse=True)
    order = np.argsort(cell.ravel(), kind="stable")
    for (g, top, today), rows in zip(
        cells.tolist(), np.split(order, np.cumsum(np.bincount(cell.ravel()))[:-1]), strict=True
    ):
        if top != today:
            gain[rows], sd[rows] = moments(g, top, today, loss[rows])
            chance[rows] = special.ndtr(gain[rows] / np.maximum(sd[rows], 1e-300))
            continue
        sure = np.ones(len(rows), dtype=bool)
        for other in range(k):
            if other != today:
                mean, spread = moments(g, other, today, loss[rows])
                worse = special.ndtr(-mean / np.maximum(spread, 1e-300)) >= level
                sure &= worse | ~allowed[rows, other]
        as_is[rows] = sure
    return gain, sd, chance, as_is
