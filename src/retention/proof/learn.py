"""What contacts bring, learned from the arms that chance drew, and weighed against what was assumed."""

import datetime as dt
import math
from collections.abc import Mapping

import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Provenance, TextColumn
from retention.journal import Journal
from retention.plan.responses import ANY_SEGMENT, Response, Responses
from retention.proof.arms import arms_of, comparable, margins, margins_before, of_the_decided
from retention.records.scan import TransactionScan
from retention.records.transactions import TransactionLog

__all__ = ["learn"]

_BEFORE_DAYS = 365  # of margin before the decision, which explains much of the margin after it
_FEWEST = 2  # customers in each arm of a segment for its own estimate
_BORROWED = 100.0  # customers' worth of the action's usual noise, lent to each arm of each segment
_ROWS_PER_SLOPE = 20

LEAST_IN_ARM = 20
"""With fewer customers of an action in either arm its gain is not called measured, whatever the arithmetic says."""


def learn(
    journal: Journal,
    log: TransactionLog | TransactionScan,
    *,
    window_days: int,
    until: dt.date | None = None,
    spread: float | Mapping[str, float] = 0.5,
    between: float = 0.5,
    alike: float = 0.5,
    share_seen: float = 1.0,
    interval: float = 0.90,
) -> Responses:
    """What each action really brings, as a multiple of what its strategy assumed, by tier.

    Within an action and a tier, margin in the ``window_days`` after the decision is compared between those whom chance
    let be contacted and those it held out, adjusted for their margin in the year before and for what was expected of
    them; the difference over the mean assumed gain is the multiple *seen*. All tiers of an action are then pooled with
    each other and with the assumption: a few contacts move it a little, thousands replace it. What counts as
    assumed is the gain before anything was learned, so plans made with responses are learned from like all others.

    Which decisions count: a customer's first decision for an action, if it was her first at all (whom the hold-out
    keeps from the first contact comes to the second on another way), and later ones only against the action's own
    control. What exploration drew is left out. Who is contacted may be contacted again with something else within the
    window; what that brings counts for the first.

    Args:
        window_days: how long margin counts; decisions whose window is not over are left out.
        until: last day that counts; the log's last day by default.
        spread: doubt about a strategy's assumed lifts as a share of them, as one standard deviation, for all or by the
            strategy's name (others get 0.5).
        between: by how much tiers may differ, in the same unit: the scale of a half-normal standard deviation.
        alike: the chance, before any data, that the tiers do not differ at all in what an action brings them.
        share_seen: share of a gain that shows within the window. A gain is meant for the valuation's horizon; 1 counts
            nothing beyond what was seen, ``window_days / horizon_days`` takes it to go on evenly.
        interval: probability of the intervals.

    Returns:
        One row a strategy, action and tier, and one for any other tier; its ``as_of`` is the last day that counts. With
        nothing to compare it has no rows, and a plan goes by assumptions.

    The estimate of a tier is taken as normal around the truth. Its noise, in units of the stake, borrows from the
    other arm and the other tiers (a hundred customers' worth) and is widened for small samples: own noise of few buyers
    is small just where their mean is. In worlds drawn from the prior, with one buyer in ten and 100 held out a tier,
    90 % intervals hold the truth in about 90 of 100.

    Raises ConfigError for arguments out of their range.

    Source: Lin, Annals of Applied Statistics 7 (2013) 295-318, for the adjustment; Lindley and Smith, J. R. Statist.
    Soc. B 34 (1972) 1-41, for the pooling.

    Example:
        >>> with Journal(":memory:") as journal:
        ...     learn(journal, TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-03"], revenue=[5]),
        ...           window_days=90)
        <Responses: 0 actions, 0 of them measured rather than assumed; ...>
    """
    _check(window_days, spread, between, alike, share_seen, interval)
    log, last = of_the_decided(journal, log)
    end = last if until is None else until
    arms = arms_of(journal, until=end, window_days=window_days, by_action=True)
    notes = [*log.provenance.notes, *arms.left_out]
    drawn, chance = comparable(arms)
    used = drawn & (arms.assumed > 0)
    if not used.all():
        notes.append(
            f"{int((~used).sum()):,} decisions are left out: drawn by exploration, not their customer's first, "
            "or of no gain"
        )
    rows: list[Response] = []
    margin, before = margins(log, arms), margins_before(log, arms, _BEFORE_DAYS)
    pairs = np.char.add(np.char.add(arms.strategy, "\0"), arms.action) if len(arms) else np.zeros(0, dtype="<U1")
    for pair in np.unique(pairs[used]):
        mine = np.flatnonzero(used & (pairs == pair))
        strategy, action = str(arms.strategy[mine[0]]), str(arms.action[mine[0]])
        doubt = spread if isinstance(spread, int | float) else spread.get(strategy, 0.5)
        names, segment = np.unique(arms.segment[mine], return_inverse=True)
        cells = _cells(
            segment.reshape(len(mine)),
            len(names),
            arms.contacted[mine],
            chance[mine],
            arms.assumed[mine],
            margin[mine],
            before[mine],
        )
        rows += _responses(
            strategy, action, names, cells, share_seen=share_seen, spread=float(doubt), between=between, alike=alike,
            interval=interval,
        )  # fmt: skip
    if not rows:
        notes.append("nothing can be compared yet: a plan goes by what is assumed")
    elif share_seen == 1.0:
        notes.append(f"nothing is counted that came later than {window_days} days after a contact")
    return Responses.of(
        rows,
        as_of=end,
        window_days=window_days,
        share_seen=float(share_seen),
        interval=float(interval),
        currency=log.currency,
        provenance=Provenance(
            as_of=None if end is None else end.isoformat(), data=log.fingerprint(), notes=tuple(dict.fromkeys(notes))
        ),
    )


def _check(
    window_days: int,
    spread: float | Mapping[str, float],
    between: float,
    alike: float,
    share_seen: float,
    interval: float,
) -> None:
    spreads = list(spread.values()) if isinstance(spread, Mapping) else [spread]
    faults = (
        (
            "window_days",
            window_days,
            isinstance(window_days, int) and window_days > 0,
            "a number of whole days, 1 or more",
        ),
        ("spread", spread, all(math.isfinite(s) and s > 0 for s in spreads), "more than zero"),
        ("between", between, math.isfinite(between) and between >= 0, "zero or more"),
        ("alike", alike, 0 <= alike <= 1, "a probability"),
        ("share_seen", share_seen, 0 < share_seen <= 1, "a share in (0, 1]"),
        ("interval", interval, 0.5 < interval <= 0.99, "a probability in (0.5, 0.99]"),
    )
    for name, given, good, rule in faults:
        if not good:
            raise ConfigError(f"{name}={given!r}", rule=f"{name} is {rule}", remedy=f"leave {name} out, or mend it")


@frozen(eq=False, kw_only=True)
class _Cells:
    """By segment: how many, what was assumed of them on average, what contact changed, and the error of that."""

    contacts: IntColumn
    held: IntColumn
    expected: FloatColumn
    effect: FloatColumn
    error: FloatColumn


def _cells(
    segment: IntColumn,
    segments: int,
    contacted: BoolColumn,
    chance: FloatColumn,
    gain: FloatColumn,
    margin: FloatColumn,
    before: FloatColumn,
) -> _Cells:
    """The difference between the arms in each segment, adjusted for what was known before; NaN where there is none."""
    # Weights undo that some nights held out more than others; an arm's slope is shared by all its segments.
    weight = 1.0 / np.where(contacted, chance, 1.0 - chance)
    count = np.bincount(segment, minlength=segments)
    known = np.stack([gain, before], axis=1)
    centre = np.stack([np.bincount(segment, column, segments) / count for column in known.T], axis=1)
    expected = centre[:, 0]
    scale = known.std(axis=0)
    known, centre = known / np.where(scale > 0, scale, 1.0), centre / np.where(scale > 0, scale, 1.0)
    number, mean, squares = np.zeros((2, segments)), np.zeros((2, segments)), np.zeros((2, segments))
    shared = np.zeros((segments, segments))  # covariance between segments that a common slope brings
    for arm in (0, 1):
        rows = np.flatnonzero(contacted == bool(arm))
        k, w, x, y = segment[rows], weight[rows], known[rows], margin[rows]
        n, total = np.bincount(k, minlength=segments), np.bincount(k, w, segments)
        some = np.where(n > 0, total, 1.0)
        y_mean = np.bincount(k, w * y, segments) / some
        x_mean = np.stack([np.bincount(k, w * column, segments) / some for column in x.T], axis=1)
        y, x = y - y_mean[k], x - x_mean[k]
        slope, away = np.zeros(x.shape[1]), centre - x_mean
        inverse = np.zeros((x.shape[1], x.shape[1]))
        if len(rows) - np.count_nonzero(n) >= _ROWS_PER_SLOPE * x.shape[1]:
            inverse = np.linalg.pinv(np.einsum("i,ij,ik->jk", w, x, x), rcond=1e-9, hermitian=True)
            slope = np.einsum("jk,i,ik,i->j", inverse, w, x, y, optimize=True)
        rest = y - np.einsum("ij,j->i", x, slope)
        number[arm], mean[arm] = n, y_mean + np.einsum("kj,j->k", away, slope)
        reach = np.einsum("kj,jl,il->ki", away, inverse, x, optimize=True) * (w * rest)
        shared += np.einsum("ki,li->kl", reach, reach)
        squares[arm] = np.bincount(k, (w * rest) ** 2, segments) * (np.maximum(n, 1) / some) ** 2
    # Noise in units of what is at stake in a segment, which is what segments and arms can lend to each other.
    free = np.maximum(number - 1, 0)
    usual = (squares / expected**2).sum() / max(float(free.sum()), 1.0)
    freedom = free + _BORROWED
    # A mean over an estimated noise follows Student's t; its variance is that of a normal, so much wider.
    noise = (squares + _BORROWED * usual * expected**2) / (freedom - 2.0) / np.maximum(number, 1)
    # Sums of rows are a diagonal that is at least as large as the matrix: errors may then be taken as independent.
    error = np.sqrt(noise.sum(axis=0) + np.abs(shared).sum(axis=1))
    good = (number >= _FEWEST).all(axis=0) & (error > 0)
    return _Cells(
        contacts=number[1].astype(np.int64),
        held=number[0].astype(np.int64),
        expected=expected,
        effect=np.where(good, mean[1] - mean[0], np.nan),
        error=np.where(good, error, np.nan),
    )


def _responses(
    strategy: str,
    action: str,
    names: TextColumn,
    cells: _Cells,
    *,
    share_seen: float,
    spread: float,
    between: float,
    alike: float,
    interval: float,
) -> list[Response]:
    """A row a segment, and one for any other."""
    from retention._kernels import pooling

    seen, error = cells.effect / cells.expected / share_seen, cells.error / cells.expected / share_seen
    own = np.flatnonzero(np.isfinite(seen))
    found = pooling.pool(seen[own], error[own], centre=1.0, spread=spread, between=between, alike=alike)
    middle = float(pooling.moments(found.common)[0][0])
    pooled = found.alike > 0.5
    enough = min(int(cells.contacts.sum()), int(cells.held.sum())) >= LEAST_IN_ARM
    tails = (1.0 - interval) / 2.0, (1.0 + interval) / 2.0

    def row(segment: str, at: int | None, mixture: pooling.Mixture, share: float) -> Response:
        mean, sd = (float(values[0]) for values in pooling.moments(mixture))
        low, high = (float(pooling.quantile(mixture, q)[0]) for q in tails)
        share = found.common_share if pooled else share
        counts = slice(None) if at is None else slice(at, at + 1)
        people = cells.contacts + cells.held
        return Response(
            strategy=strategy,
            action=action,
            segment=segment,
            contacts=int(cells.contacts[counts].sum()),
            held_out=int(cells.held[counts].sum()),
            expected=float(np.average(cells.expected[counts], weights=people[counts])),
            seen=math.nan if at is None else float(seen[at]),
            seen_error=math.nan if at is None else float(error[at]),
            multiplier=middle if pooled else mean,
            sd=math.hypot(sd, mean - middle) if pooled else sd,
            low=low,
            high=high,
            share=share,
            pooled=pooled,
            alike=found.alike,
            evidence="measured" if enough and share > 0.5 else "assumption",
        )

    rows = []
    for at, name in enumerate(names.tolist()):
        j = int(np.searchsorted(own, at))
        if j < len(own) and own[j] == at:
            one = pooling.Mixture(found.groups.weight, found.groups.mean[:, j : j + 1], found.groups.var[:, j : j + 1])
            rows.append(row(name or "unknown", at, one, float(found.share[j])))
        else:
            rows.append(row(name or "unknown", at, found.unseen, found.common_share))
    return [*rows, row(ANY_SEGMENT, None, found.unseen, found.common_share)]
