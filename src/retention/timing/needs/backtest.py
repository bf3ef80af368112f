"""Were the needs right: next categories against popularity, and reminders against the calendar, on the past."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import (
    BoolColumn,
    FloatColumn,
    IntColumn,
    Provenance,
    Table,
    TextColumn,
    column,
)
from retention.records import TransactionLog
from retention.timing.needs.forecast import next_needs
from retention.timing.needs.tables import MOST_RANKED, Needs
from retention.value.asked import checked_interval

__all__ = ["NeedBacktest", "NextCategoryScores", "ReminderScores", "backtest_needs"]

AHEAD, NOT_HERE, BEHIND, TOO_FEW = "ahead", "not here", "behind", "too few"
_LEAST = 10  # customers whose spread is an error
_LIKELY = 0.5


@frozen(eq=False, repr=False, kw_only=True)
class NextCategoryScores(Table):
    """One row a list length and rule: how often the next purchase held one of the categories named.

    ``ahead`` is the hit rate of the needs less that of the rule, with bounds over customers: one counts once, however
    many cuts saw her. ``verdict`` is "ahead" or "behind" where the bounds exclude zero, "too few" for fewer
    than ten customers, else "not here".
    """

    key: ClassVar[str] = "against"

    top: IntColumn = column("categories named", unit="count")
    against: TextColumn = column("popularity: the same for all; favourite: her most bought")
    forecasts: IntColumn = column("customers times cuts, of those who came", unit="count")
    hit_rate: FloatColumn = column("share of next purchases that held one of the needs named")
    rule_hit_rate: FloatColumn = column("the same for the rule")
    ahead: FloatColumn = column("hit rate less the rule's")
    low: FloatColumn = column("lower bound of it")
    high: FloatColumn = column("upper bound of it")
    verdict: TextColumn = column("ahead, not here, behind or too few")


@frozen(eq=False, repr=False, kw_only=True)
class ReminderScores(Table):
    """One row a rule: the share of its reminders that came when the need was near.

    Near: in the last part (``NeedBacktest.near``) of the time until she did buy it again, or on the day before. What
    she did not buy again counts against every rule alike. All rules remind of the same needs, those with a cycle that
    will likely come again, and differ in the day alone: *fixed calendar* on a day that is the same for all, *one clock*
    a usual gap of the base after her last purchase of it. ``ahead`` is the need-timed share less that of the rule.
    """

    key: ClassVar[str] = "rule"

    rule: TextColumn = column("need-timed, fixed calendar or one clock")
    reminders: IntColumn = column("sent at the cuts", unit="count")
    near: FloatColumn = column("share that came near the need")
    low: FloatColumn = column("lower bound of it")
    high: FloatColumn = column("upper bound of it")
    ahead: FloatColumn = column("need-timed share less the rule's; 0 for itself")
    ahead_low: FloatColumn = column("lower bound of it")
    ahead_high: FloatColumn = column("upper bound of it")
    verdict: TextColumn = column("of need-timed against the rule: ahead, not here, behind or too few")


@frozen(kw_only=True)
class NeedBacktest:
    """What came next and when, as was known at the cuts, against what anyone could have said."""

    next: NextCategoryScores
    reminders: ReminderScores
    cutoffs: tuple[dt.date, ...]
    near: float
    due_expected: float
    """Purchases by customer and category that ``p_due`` promised within the horizon, over all cuts."""
    due_actual: int
    """How many came."""

    @property
    def better(self) -> bool:
        """Whether naming next categories pays here: ahead of popularity at the shortest list, within the bounds."""
        return bool(self.next.verdict[0] == AHEAD)

    def plot(self, ax: Any = None) -> Any:
        """Hit rates by list length: the needs (with the bounds of their gain on popularity) and both rules."""
        ax = axes(ax, size=(6.0, 3.6))
        lengths = np.unique(self.next.top)
        place = np.arange(len(lengths))
        first = self.next.take(self.next.against == "popularity")
        ax.bar(place - 0.27, first.hit_rate, 0.25, label="needs", color="C0")
        for i, rule in enumerate(("popularity", "favourite")):
            ax.bar(place + 0.27 * i, self.next.rule_hit_rate[self.next.against == rule], 0.25, label=rule,
                   color=("0.75", "0.55")[i])  # fmt: skip
        half = [first.ahead - first.low, first.high - first.ahead]
        ax.errorbar(place - 0.27, first.hit_rate, yerr=half, fmt="none", color="black", linewidth=1)
        ax.set_xticks(place, [f"{n} named" for n in lengths.tolist()])
        ax.set(ylabel="next purchase held one of them", ylim=(0, 1))
        ax.legend(frameon=False)
        ax.spines[["right", "top"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        parts = ", ".join(
            f"top {n} {mine:.0%} against {theirs:.0%} by {rule} ({said})"
            for n, mine, theirs, rule, said in zip(
                self.next.top, self.next.hit_rate, self.next.rule_hit_rate, self.next.against, self.next.verdict,
                strict=True,
            )
        )  # fmt: skip
        timed = ", ".join(f"{r} {s:.0%}" for r, s in zip(self.reminders.rule, self.reminders.near, strict=True))
        return f"<NeedBacktest over {len(self.cutoffs)} cuts: {parts}; reminders near the need: {timed}>"


def backtest_needs(
    log: TransactionLog,
    *,
    cutoffs: Iterable[str | dt.date],
    days: float = 14,
    within_days: int = 90,
    top: Iterable[int] = (1, 3),
    near: float = 0.25,
    window: tuple[float, float] = (0.25, 0.75),
    sure: float = 0.9,
    interval: float = 0.95,
) -> NeedBacktest:
    """Name next needs from each cut with what was known then and nothing else, and see what she bought.

    *Which*: of the customers who come within ``within_days`` of a cut, the share whose next purchase day holds at
    least one of the ``top`` categories named, against the most popular categories and her own most bought ones (filled
    up by popularity). *When*: the share of reminders for open windows that came near the need. Both with bounds over
    customers, so that "not here" is an answer: where customers differ in nothing but luck, popularity is the best list
    there is.

    Args:
        log: with categories, going on after the cuts; reminders need as long as the usual gaps to be judged.
        cutoffs: the days to stand on.
        days: horizon of ``p_due``, for ``due_expected`` and ``due_actual``.
        within_days: how long to wait for the next purchase.
        top: list lengths, ten at most.
        near: the last part of the time until she bought again that counts as near the need.
        window: shares of her gaps after which windows open and close.
        sure: as in :func:`next_needs`.
        interval: of the bounds.

    Raises:
        ConfigError: no cuts, cuts without a horizon ahead of them, an argument out of range.

    Example:
        >>> from retention.worlds import Pantry
        >>> log = Pantry(customers=150, seed=1).simulate().log
        >>> tried = backtest_needs(log, cutoffs=["2020-03-31", "2020-06-30"])
        >>> tried.next.verdict[tried.next.against == "popularity"].tolist()
        ['ahead', 'ahead']
    """
    cuts = sorted({as_day(one) for one in ([cutoffs] if isinstance(cutoffs, str | dt.date) else cutoffs)})
    lengths = sorted({int(n) for n in top})
    checked_interval(interval)
    stands = log.take(~(log.is_return | log.is_cancelled))
    last = stands.day.max().item() if len(stands) else dt.date.min
    ahead = max(float(within_days), float(days))
    fine = cuts and lengths and lengths[0] >= 1 and lengths[-1] <= 10 and 0 < near < 1 and within_days >= 1
    if not fine or cuts[-1] + dt.timedelta(days=int(np.ceil(ahead))) > last:
        raise ConfigError(
            f"{len(cuts)} cutoffs, within_days={within_days!r}, days={days!r}, top={lengths}, near={near!r}",
            rule="there is a cut, what is forecast has happened within the log, one to ten categories are named, "
            "and near is a share",
            remedy="cutoffs=['2011-06-30'], within_days=90, top=(1, 3), near=0.25; choose earlier cuts",
        )
    who: list[TextColumn] = []
    hits: dict[tuple[int, str], list[BoolColumn]] = {}
    sent: dict[str, list[tuple[TextColumn, BoolColumn]]] = {rule: [] for rule in _RULES}
    expected, actual = 0.0, 0
    for cut in cuts:
        needs = next_needs(log, as_of=cut, days=days, window=window, sure=sure)
        later = stands.take(stands.day > np.datetime64(cut, "D"))
        came, named = _named(needs, later, cut, within_days, lengths)
        who.append(came)
        for key, values in named.items():
            hits.setdefault(key, []).append(values)
        again = _again(needs, later)
        wait = (again - np.datetime64(cut, "D")).astype(np.float64)
        wait[np.isnat(again)] = np.inf
        expected += float(needs.p_due.sum())
        actual += int((wait <= days).sum())
        close = wait <= np.maximum(near * (needs.idle_days + wait), 1.0)
        close &= np.isfinite(wait)
        for rule, chosen in _sent(needs).items():
            sent[rule].append((needs.customer_id[chosen], close[chosen]))
    provenance = Provenance(
        as_of=cuts[-1].isoformat(), data=log.fingerprint(), parameters={"cutoffs": [str(cut) for cut in cuts]},
        notes=log.provenance.notes,
    )  # fmt: skip
    return NeedBacktest(
        next=_next_scores(np.concatenate(who), hits, lengths, interval, provenance),
        reminders=_reminder_scores(sent, interval, provenance),
        cutoffs=tuple(cuts),
        near=near,
        due_expected=expected,
        due_actual=actual,
    )


_RULES = ("need-timed", "fixed calendar", "one clock")


def _named(
    needs: Needs, later: TransactionLog, cut: dt.date, within: int, lengths: list[int]
) -> tuple[TextColumn, dict[tuple[int, str], BoolColumn]]:
    """Who came, and whether her next basket held one of the categories named: by list length and rule."""
    names = needs.clocks.category
    k = len(names)
    most = min(lengths[-1], k)
    ranked = needs.top(MOST_RANKED)
    per = int(ranked.rank.max())
    ids = ranked.customer_id[::per]
    n = len(ids)

    soon = later.take(later.day <= np.datetime64(cut, "D") + np.timedelta64(within, "D"))
    owner = _place(ids, soon.customers.labels)[soon.customers.codes]
    first = np.full(n, np.iinfo(np.int64).max)
    on = soon.day.astype(np.int64)
    np.minimum.at(first, owner[owner >= 0], on[owner >= 0])
    came = first < np.iinfo(np.int64).max
    coded: Any = soon.categories
    what = _place(names, coded.labels)[coded.codes]
    now = (owner >= 0) & (what >= 0) & (on == first[owner])
    basket = np.unique(owner[now] * k + what[now])

    def held(lists: IntColumn) -> BoolColumn:
        """Customers by place on the list: whether the basket holds it; -1 is nothing."""
        return np.isin(np.arange(n)[:, None] * k + lists, basket) & (lists >= 0)

    pop = np.argsort(-needs.clocks.purchases, kind="stable")
    mine = held(_place(names, ranked.category).reshape(n, per)[:, :most])
    popular = held(np.broadcast_to(pop[:most], (n, most)))
    favourite = held(_favourites(needs, ids, pop, most))
    out: dict[tuple[int, str], BoolColumn] = {}
    for length in lengths:
        out[length, "needs"] = np.asarray(mine[came, :length].any(axis=1))
        out[length, "popularity"] = np.asarray(popular[came, :length].any(axis=1))
        out[length, "favourite"] = np.asarray(favourite[came, :length].any(axis=1))
    return ids[came], out


def _favourites(needs: Needs, ids: TextColumn, pop: IntColumn, most: int) -> IntColumn:
    """Each customer's most bought categories, then the popular ones that she never bought."""
    names = needs.clocks.category
    k, n = len(names), len(ids)
    rank = np.empty(k, dtype=np.int64)
    rank[pop] = np.arange(k)
    owner, what = _place(ids, needs.customer_id), _place(names, needs.category)
    order = np.lexsort((rank[what], -needs.purchases, owner))
    owner, what = owner[order], what[order]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    lists = np.full((n, most), -1, dtype=np.int64)
    lists[owner[place < most], place[place < most]] = what[place < most]
    count = np.bincount(owner, minlength=n)
    fill = pop[: 2 * most]
    new = ~np.isin(np.arange(n)[:, None] * k + fill, owner * k + what)
    slot = count[:, None] + np.cumsum(new, axis=1) - 1
    row, col = np.nonzero(new & (slot < most))
    lists[row, slot[row, col]] = fill[col]
    return lists


def _again(needs: Needs, later: TransactionLog) -> Any:
    """The first purchase of each need after the cut; NaT if none."""
    names, ids = needs.clocks.category, np.unique(needs.customer_id)
    k = len(names)
    mine = _place(ids, needs.customer_id) * k + _place(names, needs.category)
    coded: Any = later.categories
    owner, what = _place(ids, later.customers.labels)[later.customers.codes], _place(names, coded.labels)[coded.codes]
    fine = (owner >= 0) & (what >= 0)
    key = owner[fine] * k + what[fine]
    at = np.searchsorted(mine, key)  # needs stand in order of customer and category
    known = (at < len(mine)) & (mine[np.minimum(at, len(mine) - 1)] == key)
    none = np.iinfo(np.int64).max
    first = np.full(len(mine), none)
    np.minimum.at(first, at[known], later.day[fine][known].astype(np.int64))
    return np.where(first < none, first, np.iinfo(np.int64).min).astype("datetime64[D]")


def _sent(needs: Needs) -> dict[str, BoolColumn]:
    """Whom each rule reminds on the day of the cut: the same needs, another day."""
    likely = needs.has_cycle & (needs.again >= _LIKELY)
    usual = float(np.median(needs.usual_gap_days[likely])) if likely.any() else np.inf
    return {
        "need-timed": needs.is_open & likely,
        "fixed calendar": likely,
        "one clock": likely & (np.abs(needs.idle_days - usual) <= 0.25 * usual),
    }


def _place(labels: TextColumn, values: TextColumn) -> IntColumn:
    """Where each value stands among sorted labels; -1 if it does not."""
    at = np.minimum(np.searchsorted(labels, values), max(len(labels) - 1, 0))
    return np.where(labels[at] == values, at, -1).astype(np.int64)


def _next_scores(
    who: TextColumn,
    hits: dict[tuple[int, str], list[BoolColumn]],
    lengths: list[int],
    interval: float,
    made: Provenance,
) -> NextCategoryScores:
    rows: list[tuple[Any, ...]] = []
    for length in lengths:
        mine = np.concatenate(hits[length, "needs"]).astype(np.float64)
        for rule in ("popularity", "favourite"):
            theirs = np.concatenate(hits[length, rule]).astype(np.float64)
            gap, low, high = _difference((who, mine), (who, theirs), interval)
            rates = (_mean(mine), _mean(theirs))
            rows.append((length, rule, len(mine), *rates, gap, low, high, _verdict(low, high)))
    names = ("top", "against", "forecasts", "hit_rate", "rule_hit_rate", "ahead", "low", "high", "verdict")
    columns: dict[str, Any] = {name: np.asarray(v) for name, v in zip(names, zip(*rows, strict=True), strict=True)}
    return NextCategoryScores(**columns, provenance=made)


def _reminder_scores(
    sent: dict[str, list[tuple[TextColumn, BoolColumn]]], interval: float, made: Provenance
) -> ReminderScores:
    joined = {
        rule: (np.concatenate([ids for ids, _ in parts]), np.concatenate([hit for _, hit in parts]).astype(np.float64))
        for rule, parts in sent.items()
    }
    rows: list[tuple[Any, ...]] = []
    for rule, (ids, hit) in joined.items():
        share, low, high = _difference((ids, hit), None, interval)
        gap, below, above = _difference(joined["need-timed"], (ids, hit), interval)
        said = "" if rule == "need-timed" else _verdict(below, above)
        rows.append((rule, len(hit), share, max(low, 0.0), min(high, 1.0), gap, below, above, said))
    names = ("rule", "reminders", "near", "low", "high", "ahead", "ahead_low", "ahead_high", "verdict")
    columns: dict[str, Any] = {name: np.asarray(v) for name, v in zip(names, zip(*rows, strict=True), strict=True)}
    return ReminderScores(**columns, provenance=made)


def _mean(values: FloatColumn) -> float:
    return float(values.mean()) if len(values) else np.nan


def _difference(
    mine: tuple[TextColumn, FloatColumn], theirs: tuple[TextColumn, FloatColumn] | None, interval: float
) -> tuple[float, float, float]:
    """A difference of two shares (or one share), with bounds over customers: each counts once in the error."""
    from scipy.special import ndtri

    sides = [mine] if theirs is None else [mine, theirs]
    if not all(len(values) for _, values in sides):
        return np.nan, np.nan, np.nan
    ids = np.unique(np.concatenate([who for who, _ in sides]))
    if len(ids) < _LEAST:
        return sum(s * float(v.mean()) for s, (_, v) in zip((1.0, -1.0), sides, strict=False)), np.nan, np.nan
    gap, pull = 0.0, np.zeros(len(ids))
    for sign, (who, values) in zip((1.0, -1.0), sides, strict=False):
        share = float(values.mean())
        gap += sign * share
        pull += sign * np.bincount(np.searchsorted(ids, who), values - share, len(ids)) / len(values)
    reach = float(ndtri(0.5 + interval / 2)) * float(np.sqrt(np.sum(pull**2)))
    return gap, gap - reach, gap + reach


def _verdict(low: float, high: float) -> str:
    if not low <= high:
        return TOO_FEW
    return AHEAD if low > 0 else BEHIND if high < 0 else NOT_HERE
