"""Purchases by customer, category and day, and all that is learned and forecast from them."""

import datetime as dt
import math
from typing import Any, NamedTuple, Self

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.domain.days import as_day
from retention.errors import ConfigError
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Provenance, TextColumn
from retention.histories import Histories
from retention.records import TransactionLog
from retention.timing.needs.tables import MOST_RANKED, CategoryClocks, Needs, NextCategories
from retention.timing.rhythm import Rhythm

__all__ = ["WEIGHTS", "Purchases"]

WEIGHTS = ("base", "popularity", "her share", "her clock", "bought before", "what else she buys")
"""The terms of the odds that her next purchase holds a category, as ``Needs.weights`` names them."""

_CELLS = 2_000_000
_LEARNT = 1_000_000
_FITTED = 20_000
_MOST_CROSSED = 5_000
_MOST_DAYS = 36_500.0


class _Visits(NamedTuple):
    """One row a customer: her purchase days, and how long she usually stays away."""

    times: IntColumn
    last: IntColumn
    gap: FloatColumn
    expected: FloatColumn


@frozen(eq=False, kw_only=True)
class Purchases:
    """The purchases up to a day: distinct customer, category, day, and the visits they were made on."""

    today: int
    ids: TextColumn
    categories: TextColumn
    customer: IntColumn
    category: IntColumn
    day: IntColumn
    visitor: IntColumn
    visited: IntColumn
    quantity: FloatColumn | None
    margin: FloatColumn
    blank: int
    fingerprint: str
    notes: tuple[str, ...]

    @classmethod
    def read(cls, log: TransactionLog, as_of: str | dt.date) -> Self:
        """What was bought by a day and stood; lines without a category are visits all the same."""
        from retention._kernels import needs as kernel

        day = as_day(as_of)
        seen = log.until(day)
        known = seen.take(~(seen.is_return | seen.is_cancelled))
        if log.categories is None:
            raise ConfigError(
                "a log without categories",
                rule="needs are told by category: lines say what was bought",
                remedy="name the column: rt.read_transactions(..., category='Category')",
            )
        if known.categories is None or not (known.categories.labels[known.categories.codes] != "").any():
            raise ConfigError(
                f"a log without purchases of a named category up to {day}",
                rule="needs are told from purchases that stood by the as-of day",
                remedy="give a later day, or name the column that says what was bought",
            )
        on = known.day.astype(np.int64)
        who = known.customers.codes.astype(np.int64)
        visitor, _, visited, _ = kernel.distinct(who, np.zeros_like(who), on)
        told = known.categories.labels[known.categories.codes] != ""
        blank = int((~told).sum())
        lines = known if told.all() else known.take(told)
        names = lines.categories.labels  # type: ignore[union-attr]
        mine = np.searchsorted(known.customers.labels, lines.customers.labels)[lines.customers.codes].astype(np.int64)
        customer, category, bought, of = kernel.distinct(
            mine,
            lines.categories.codes.astype(np.int64),  # type: ignore[union-attr]
            lines.day.astype(np.int64),
        )
        quantity, notes = None, log.provenance.notes
        if lines.quantity is not None:
            counted = np.isfinite(lines.quantity) & (lines.quantity > 0)
            if counted.all():
                quantity = np.bincount(of, lines.quantity, len(bought)).astype(np.float64)
            else:
                without = f"{int((~counted).sum()):,} lines without a quantity above zero: amounts are not used"
                notes = (*notes, without)
        return cls(
            today=int(np.datetime64(day, "D").astype(np.int64)), ids=known.customers.labels, categories=names,
            customer=customer, category=category, day=bought, visitor=visitor, visited=visited, quantity=quantity,
            margin=np.bincount(of, lines.margin.to_float(), len(bought)).astype(np.float64), blank=blank,
            fingerprint=seen.fingerprint(), notes=notes,
        )  # fmt: skip

    def amounts(self) -> tuple[float, float, FloatColumn | None]:
        """Elasticity of gaps to amounts, its error, and the log amount of each purchase against her usual one."""
        from retention._kernels import needs as kernel

        if self.quantity is None:
            return 0.0, math.inf, None
        slope, error, amount = kernel.elasticity(self.customer, self.category, self.day, self.quantity)
        return (min(slope, 1.0), error, amount) if slope > 3.0 * error else (0.0, error, None)

    def visits(self, rhythm: Rhythm, on: IntColumn) -> _Visits:
        """Each customer's visits as they stood on the evening of a day, hers."""
        from retention._kernels import needs as kernel

        keep = self.visited <= on[self.visitor]
        v = kernel.spells(self.visitor[keep], np.zeros(int(keep.sum()), dtype=np.int64), self.visited[keep])
        base = Histories.from_arrays(
            frequency=v.purchases - 1, recency_days=v.last - v.first, age_days=on[v.customer] - v.first,
            gap_log_sum=v.log_sum, gap_log_squares=v.log_squares,
        )  # fmt: skip
        silence = rhythm.silence(base)
        usual = np.minimum(rhythm.gap_exceeded(base, 0.5), _MOST_DAYS)
        expected = np.minimum(rhythm.gap_exceeded(base, 0.5 * silence), base.idle_days + _MOST_DAYS)
        full = [np.zeros(len(self.ids), dtype=np.int64) for _ in range(2)]
        days = [np.ones(len(self.ids)) for _ in range(2)]
        for out, values in zip((*full, *days), (v.purchases, v.last, usual, expected), strict=True):
            out[v.customer] = values
        return _Visits(full[0], full[1], np.maximum(days[0], 1.0), np.maximum(days[1], 1.0))

    def rhythm(self) -> Rhythm:
        """The rhythm of visits, whatever was bought."""
        from retention._kernels import needs as kernel

        v = kernel.spells(self.visitor, np.zeros_like(self.visitor), self.visited)
        return Rhythm.fit(
            Histories.from_arrays(
                frequency=v.purchases - 1, recency_days=v.last - v.first, age_days=self.today - v.first,
                gap_log_sum=v.log_sum, gap_log_squares=v.log_squares,
            )
        )  # fmt: skip

    def clocks(self, sure: float, rhythm: Rhythm | None = None) -> CategoryClocks:
        """Each category's clock: its own gaps and silences, pooled with those of all."""
        from scipy.special import betaincc

        from retention._kernels import logt
        from retention._kernels import needs as kernel

        if not 0 < sure < 1:
            raise ConfigError(f"sure={sure!r}", rule="a probability between 0 and 1", remedy="0.9")
        slope, error, amount = self.amounts()
        pairs = kernel.spells(self.customer, self.category, self.day, None if amount is None else slope * amount)
        x = (pairs.purchases - 1).astype(np.float64)
        idle = (self.today - pairs.last) / np.exp(slope * _latest(self.customer, self.category, amount))
        # The base's clock is learned from pairs of all categories alike. Those of a customer stand together, always in
        # one order: evenly spaced rows could all be of one category, so they are drawn, always the same ones.
        rows = np.arange(len(x))
        if len(x) > _FITTED:
            rows = np.sort(np.random.default_rng(0).permutation(len(x))[:_FITTED])
        base = Rhythm.fit(
            Histories.from_arrays(
                frequency=pairs.purchases[rows] - 1, recency_days=(pairs.last - pairs.first)[rows],
                age_days=self.today - pairs.first[rows], gap_log_sum=pairs.log_sum[rows],
                gap_log_squares=pairs.log_squares[rows],
            ),
            pause=0.0,
        )  # fmt: skip
        k = len(self.categories)
        first = logt.Prior(base.m0, base.kappa0, base.nu0, base.s0_squared, base.a, base.b)
        prior = kernel.clock_priors(first, pairs.category, k, x, pairs.log_sum, pairs.log_squares, idle)
        visits = self.visits(self.rhythm() if rhythm is None else rhythm, np.full(len(self.ids), self.today))
        buyers = np.bincount(pairs.category, minlength=k).astype(np.int64)
        often = np.flatnonzero(pairs.purchases > 3)
        of = pairs.category[often]
        post = logt.posterior(prior.of(of), x[often], pairs.log_sum[often], pairs.log_squares[often])
        apart = np.exp(np.minimum(post.location, 50.0)) / visits.gap[pairs.customer[often]]
        cyclic, tried = np.bincount(of, _cycle(post, apart, np.ones(len(often)), 0.5), k), np.bincount(of, minlength=k)
        most = betaincc(cyclic + 0.5, tried - cyclic + 0.5, 0.5) >= sure
        purchases = np.bincount(self.category, minlength=k).astype(np.int64)
        return CategoryClocks(
            category=self.categories,
            buyers=buyers,
            purchases=purchases,
            visit_share=purchases / max(len(self.visited), 1),
            usual_gap_days=np.exp(np.minimum(prior.m0, 50.0)),
            log_variance=prior.s0_squared,
            again=1.0 - prior.leaving,
            cycle_share=np.divide(cyclic, tried, out=np.full(k, np.nan), where=tried > 0),
            has_cycle=most & (prior.leaving < 0.5),
            kappa0=prior.kappa0,
            nu0=prior.nu0,
            size=prior.size,
            elasticity=slope,
            elasticity_error=error,
            provenance=self.provenance(),
        )

    def needs(
        self,
        rhythm: Rhythm,
        clocks: CategoryClocks,
        days: float,
        window: tuple[float, float],
        sure: float,
        interval: float,
    ) -> Needs:
        """Every customer's needs, from her clocks and what competes at her next visit."""
        from scipy.special import stdtrit

        from retention._kernels import logt
        from retention._kernels import needs as kernel

        prior_rows = _rows_for(clocks, self.categories, self.today)
        prior = _priors(clocks, prior_rows)
        slope = clocks.elasticity
        amount = None
        if slope and self.quantity is not None:
            amount = kernel.elasticity(self.customer, self.category, self.day, self.quantity)[2]
        pairs = kernel.spells(self.customer, self.category, self.day, None if amount is None else slope * amount)
        last_amount = np.exp(slope * _latest(self.customer, self.category, amount))
        x = (pairs.purchases - 1).astype(np.float64)
        rows = prior.of(pairs.category)
        post = logt.posterior(rows, x, pairs.log_sum, pairs.log_squares)
        idle = (self.today - pairs.last).astype(np.float64)
        silence = logt.open_survival(rows, post, idle / last_amount)
        again = logt.p_alive(rows, x, silence)
        ahead = logt.open_survival(rows, post, (idle + days) / last_amount)
        comes = 1.0 - np.divide(ahead, silence, out=np.ones_like(ahead), where=silence > 0)
        reach = stdtrit(post.degrees, 0.5 + interval / 2) * post.scale / np.sqrt(post.weight + 1.0)
        low, usual, high = (np.exp(np.minimum(post.location + k * reach, 50.0)) * last_amount for k in (-1.0, 0.0, 1.0))

        visits = self.visits(rhythm, np.full(len(self.ids), self.today))
        staying = 1.0 - np.asarray(rows.a) / (np.asarray(rows.a) + rows.b + x)
        # What nobody bought twice has no cycle, whatever the base's clock says.
        seen = (x > 0) | clocks.has_cycle[prior_rows][pairs.category]
        has = seen & _cycle(post, usual / visits.gap[pairs.customer], staying, sure)
        edges = [
            pairs.last.astype("datetime64[D]")
            + np.rint(np.minimum(logt.exceeded(post, 1.0 - share) * last_amount, _MOST_DAYS)).astype("timedelta64[D]")
            for share in window
        ]
        never = np.datetime64("NaT", "D")
        b = self.weights(prior, rhythm, slope)
        p_next, rank, ranked = self.ranks(prior, pairs, last_amount, visits, b)
        names = self.categories
        return Needs(
            customer_id=self.ids[pairs.customer],
            category=names[pairs.category],
            purchases=pairs.purchases,
            last_at=pairs.last.astype("datetime64[D]"),
            idle_days=idle,
            usual_gap_days=usual,
            usual_low_days=low,
            usual_high_days=high,
            has_cycle=has,
            again=again,
            p_due=again * comes,
            opens_at=np.where(has, edges[0], never),
            closes_at=np.where(has, edges[1], never),
            p_next=p_next,
            rank=rank,
            margin=np.bincount(self.groups(), self.margin, len(x)) / pairs.purchases,
            as_of=np.datetime64(self.today, "D").item(),
            days=float(days),
            interval=interval,
            clocks=clocks,
            weights=dict(zip(WEIGHTS, b.tolist(), strict=True)),
            ranked=ranked,
            provenance=self.provenance(),
        )

    def groups(self) -> IntColumn:
        """Which pair each purchase belongs to."""
        fresh = (self.customer[1:] != self.customer[:-1]) | (self.category[1:] != self.category[:-1])
        return np.asarray(np.r_[0, np.cumsum(fresh)], dtype=np.int64)

    def provenance(self) -> Provenance:
        """What the tables are made of."""
        missing = f"{self.blank:,} lines without a category count as visits only"
        notes = (*self.notes, missing) if self.blank else self.notes
        return Provenance(
            as_of=str(np.datetime64(self.today, "D")), data=self.fingerprint, model="log-t needs", notes=notes
        )

    def weights(self, prior: Any, rhythm: Rhythm, slope: float) -> FloatColumn:
        """The weights of the terms of the odds, learned in the past as they are used today.

        From the middle of her last gap between visits each customer's latest visit is predicted by what was known.
        """
        from retention._kernels import needs as kernel

        n, k = len(self.ids), len(self.categories)
        latest = np.r_[self.visitor[1:] != self.visitor[:-1], True]
        last, length = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        last[self.visitor[latest]] = self.visited[latest]
        again = np.flatnonzero(latest[1:] & (self.visitor[1:] == self.visitor[:-1]))
        length[self.visitor[again + 1]] = self.visited[again + 1] - self.visited[again]
        # Who looks on any day meets long gaps more often: each counts by its length against her usual one.
        then = last - (length + 1) // 2
        past = self.day <= then[self.customer]
        before = self.visits(rhythm, then)
        c, g, on = self.customer[past], self.category[past], self.day[past]
        # Amounts against the mean of the past alone: what came later must not show through it.
        amount = None
        if slope and self.quantity is not None:
            amount = kernel.elasticity(c, g, on, self.quantity[past])[2]
        pairs = kernel.spells(c, g, on, None if amount is None else slope * amount)
        stretch = np.exp(slope * _latest(c, g, amount))
        # Of those who came again, so many, evenly spaced, that their cells fit.
        able = np.flatnonzero(length > 0)
        chosen = able[:: max(1, -(-len(able) * k // _LEARNT))]
        if not len(chosen):
            return kernel.FIRST
        clock = _at_visit(prior, pairs, stretch, before)
        terms = _terms(pairs, clock, before, chosen, self.shares(pairs, before), self.crossed(pairs))
        place = np.full(n, -1)
        place[chosen] = np.arange(len(chosen))
        now = (self.day == last[self.customer]) & (place[self.customer] >= 0)
        bought = np.zeros((len(chosen), k), dtype=np.bool_)
        bought[place[self.customer[now]], self.category[now]] = True
        often = np.clip(length[chosen] / before.gap[chosen], 0.1, 5.0)
        return kernel.fit_weights(terms, bought, often / often.mean())

    def shares(self, pairs: Any, visits: _Visits) -> tuple[FloatColumn, FloatColumn]:
        """The beta distribution, by category, of the share of a customer's visits that hold it."""
        from retention._kernels import needs as kernel

        known = visits.times[visits.times > 0]
        return kernel.beta_binomial(
            pairs.category, len(self.categories), pairs.purchases, visits.times[pairs.customer], known
        )

    def crossed(self, pairs: Any) -> tuple[FloatColumn, FloatColumn] | None:
        """What those buy who buy what she buys; None where there are too many categories to cross."""
        from retention._kernels import needs as kernel

        n, k = len(self.ids), len(self.categories)
        return kernel.cross_matrix(pairs.customer, pairs.category, n, k) if k <= _MOST_CROSSED else None

    def ranks(
        self, prior: Any, pairs: Any, stretch: FloatColumn, visits: _Visits, b: FloatColumn
    ) -> tuple[FloatColumn, IntColumn, NextCategories]:
        """Probability and rank of each pair, and everybody's likeliest categories; customers in bunches."""
        from scipy.special import expit

        n, k = len(self.ids), len(self.categories)
        shares, cross = self.shares(pairs, visits), self.crossed(pairs)
        clock = _at_visit(prior, pairs, stretch, visits)
        kept = min(k, MOST_RANKED)
        p_pair, rank_pair = np.zeros(len(pairs.purchases)), np.zeros(len(pairs.purchases), dtype=np.int64)
        best, p_best = np.zeros((n, kept), dtype=np.int64), np.zeros((n, kept))
        is_new = np.ones((n, kept), dtype=np.bool_)
        bunch = max(1, _CELLS // (6 * k))
        for start in range(0, n, bunch):
            chosen = np.arange(start, min(start + bunch, n))
            terms = _terms(pairs, clock, visits, chosen, shares, cross)
            p = expit(np.einsum("t,tic->ic", b, terms))
            order = np.argsort(-p, axis=1, kind="stable")
            place = np.empty_like(order)
            np.put_along_axis(place, order, np.arange(k)[None, :], axis=1)
            low, high = np.searchsorted(pairs.customer, [start, start + len(chosen)])
            row, cat = pairs.customer[low:high] - start, pairs.category[low:high]
            p_pair[low:high], rank_pair[low:high] = p[row, cat], place[row, cat] + 1
            top = order[:, :kept]
            best[chosen], p_best[chosen] = top, np.take_along_axis(p, top, axis=1)
            owned = np.zeros((len(chosen), k), dtype=np.bool_)
            owned[row, cat] = True
            is_new[chosen] = ~np.take_along_axis(owned, top, axis=1)
        ranked = NextCategories(
            customer_id=np.repeat(self.ids, kept),
            rank=np.tile(np.arange(1, kept + 1), n),
            category=self.categories[best.ravel()],
            p_next=p_best.ravel(),
            is_new=is_new.ravel(),
            provenance=self.provenance(),
        )
        return p_pair, rank_pair, ranked


def _terms(pairs: Any, clock: FloatColumn, visits: _Visits, chosen: IntColumn, shares: Any, cross: Any) -> FloatColumn:
    """The terms of the odds of the customers chosen (in order), for all categories."""
    from retention._kernels import needs as kernel

    place = np.full(len(visits.times), -1)
    place[chosen] = np.arange(len(chosen))
    low, high = np.searchsorted(pairs.customer, [chosen[0], chosen[-1] + 1])
    row = place[pairs.customer[low:high]]
    mine = row >= 0
    return kernel.features(
        row[mine], pairs.category[low:high][mine], pairs.purchases[low:high][mine], clock[low:high][mine],
        visits.times[chosen], shares[0], shares[1], cross,
    )  # fmt: skip


def _at_visit(prior: Any, pairs: Any, stretch: FloatColumn, visits: _Visits) -> FloatColumn:
    """The chance that the gap which was open at her last visit ends by the next one.

    Time without a visit is no evidence against a category: she has not passed its shelf.
    """
    from retention._kernels import logt

    rows, x = prior.of(pairs.category), (pairs.purchases - 1).astype(np.float64)
    post = logt.posterior(rows, x, pairs.log_sum, pairs.log_squares)
    open_days = np.maximum(visits.last[pairs.customer] - pairs.last, 0).astype(np.float64)
    now = logt.open_survival(rows, post, open_days / stretch)
    then = logt.open_survival(rows, post, (open_days + visits.expected[pairs.customer]) / stretch)
    ends = 1.0 - np.divide(then, now, out=np.ones_like(now), where=now > 0)
    return np.asarray(logt.p_alive(rows, x, now) * ends)


def _latest(customer: IntColumn, category: IntColumn, amount: FloatColumn | None) -> FloatColumn:
    """The log amount of each pair's last purchase, against her usual; 0 where amounts do not count."""
    last = np.r_[(customer[1:] != customer[:-1]) | (category[1:] != category[:-1]), len(customer) > 0]
    return np.zeros(int(last.sum())) if amount is None else amount[last[: len(customer)]]


def _cycle(post: Any, visits_apart: FloatColumn, again: FloatColumn, sure: float) -> BoolColumn:
    """Whether needs come due: they come again, and more evenly than chance would have it on her visits."""
    from retention._kernels import logt, wholedays

    chance = wholedays.log_variance(Rhythm.CYCLE, np.maximum(visits_apart, 1.0))
    return np.asarray((again >= 0.5) & (logt.variance_below(post, chance) >= sure))


def _rows_for(clocks: CategoryClocks, categories: NDArray[np.str_], today: int) -> IntColumn:
    """The clock of each category, learned from what was known by then."""
    if not len(clocks) or (clocks.provenance.as_of or "") > str(np.datetime64(today, "D")):
        raise ConfigError(
            f"clocks of {clocks.provenance.as_of or 'no day'} for needs as of {np.datetime64(today, 'D')}",
            rule="clocks are learned on the day of the needs or before",
            remedy="clocks=None learns them on that day",
        )
    order = np.argsort(clocks.category)
    place = order[np.clip(np.searchsorted(clocks.category, categories, sorter=order), 0, len(clocks) - 1)]
    if not np.array_equal(clocks.category[place], categories):
        raise ConfigError(
            "clocks of other categories than the log's",
            rule="each category bought by the as-of day has a clock",
            remedy="clocks=None learns them, or category_clocks of a log with all categories",
        )
    return np.asarray(place)


def _priors(clocks: CategoryClocks, place: IntColumn) -> Any:
    from retention._kernels import needs as kernel

    return kernel.ClockPriors(
        np.log(clocks.usual_gap_days[place]), clocks.log_variance[place], 1.0 - clocks.again[place],
        clocks.kappa0, clocks.nu0, clocks.size,
    )  # fmt: skip
