r"""What a customer buys whose every k-th tick is a purchase that may be her last, whatever is not known of her.

Given her tick rate lambda and her chance p = 1 - q to leave after a purchase, the ticks since her last purchase are a
Markov chain of k states that loses a share p at each wrap. Its transitions over a time t are a polynomial in one
"tick" X modulo X^k = q; expected discounted purchases and pairs of them follow it. All are known for a very short time
by a few terms of positive series, and for twice the time by adding and multiplying positive numbers, so that a horizon
of any length takes some twenty doublings and no difference is ever taken: nothing overflows, nothing cancels, and what
is tiny is tiny with all its digits. Only the probability of not having left would lose a digit with each doubling; it
is known in closed form, exp(-lambda t (1 - q^{1/k})) = c(q^{1/k}), and restored every time.

The averages are trapezoidal sums in ln lambda and logit p. Integrands decay at both ends and are analytic in a strip,
so the sums converge geometrically; the step follows the narrowest density. Where p no longer matters, both tails of the
beta are summed as the geometric series they are, however slow. The grids do not depend on the customers' ages, so
that one table serves a base: customers who share R, a and b share the average over p.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, polygamma

__all__ = ["There", "expected", "moments", "staying"]

Floats = NDArray[np.float64]

_SHORT, _SHORT_ROUGH = 1 / 64, 1 / 4  # of a tick, or of a discount: where the doubling starts
_ORDERS = 7  # of the series for a short time: 1 / 64^7 / 7! is nothing, 1 / 4^7 / 7! is 1e-8
_DROP, _DROP_ROUGH = 38.0, 16.0  # integrands are cut where they are e^-38 of their peak
_KINDS = 2048  # customers of different R, a, b at a time
_CELLS = 60_000  # points of the grids at a time


class There(NamedTuple):
    """Customers who are still there: her rate is gamma(shape + j, rate) if she has ticked j times since her last
    purchase, which has probability ``ticks[j]``; her chance to leave after a purchase is beta(a, b)."""

    shape: Floats
    rate: Floats
    a: Floats
    b: Floats
    ticks: Floats


class _Chain:
    """The chain over a short time, doubled until the time is the horizon. Arrays are (.., rates, chances).

    ``c[d]`` is the weight of d ticks (mod k). ``mean`` and ``squares`` are expected purchases from each state,
    discounted once and twice; ``mixed[i, j]`` is, on the way from state i to j, twice the sum of what was bought at
    the double discount, times what discounts whatever comes after; ``pairs`` is the sum over ordered pairs.
    """

    def __init__(self, k: int, rate: Floats, log_q: Floats, time: Floats, delta: float, second: bool, moments: bool):
        self.k, self.second, self.moments = k, second, moments
        self.tick, self.fade = rate * time, delta * time  # (rates, 1)
        self.q, self.root = np.exp(log_q), np.exp(log_q / k)
        self.loss = -np.expm1(log_q / k)  # per tick, in the direction in which the chain decays most slowly
        wraps = _ORDERS // k + 1
        q_powers = [self.q**n for n in range(2 * wraps + 1)]
        most = 4 * (k + _ORDERS)
        over = np.exp(-gammaln(np.arange(most + 1) + 1.0))  # 1 / N!
        powers = self.tick ** np.arange(most + 1)[:, None, None]
        alone = np.exp(-self.tick)
        self.c = np.stack(
            [sum(q_powers[n] * (powers[d + n * k] * over[d + n * k] * alone) for n in range(wraps)) for d in range(k)]
        )
        if not moments:
            return

        def series(y: Floats) -> Floats:
            """e^-y times the sum over i of y^i / (N + i)!, for N = 0, 1 ..."""
            y_powers = y ** np.arange(_ORDERS)[:, None, None]
            windows = np.lib.stride_tricks.sliding_window_view(over, _ORDERS)
            return np.asarray(np.exp(-y) * np.einsum("Ni,ilp->Nlp", windows, y_powers))

        def single(tail: Floats) -> Floats:
            ends = [[(n, n * k - j) for n in range(1, wraps + 1)] for j in range(k)]
            return np.stack([sum(q_powers[n - 1] * (powers[N] * tail[N]) for n, N in each) for each in ends])

        self.mean = single(series(self.tick + self.fade))
        if not second:
            return
        tail = series(self.tick + 2 * self.fade)
        self.squares = single(tail)
        fades = self.fade ** np.arange(_ORDERS)[:, None, None]
        last = np.exp(-self.tick - 2 * self.fade) * over[:, None, None]

        def both(M: int, slow: int, tail: Floats) -> Floats:
            """M ticks, ``slow`` phases of them at the single discount, the others at the double one."""
            chosen = np.cumprod([1.0, *((slow + i) / (i + 1) for i in range(_ORDERS - 1))])
            return np.asarray(powers[M] * np.einsum("i,ilp,ilp->lp", chosen, fades, tail[M : M + _ORDERS]))

        shape = self.mean.shape[1:]
        self.pairs, self.mixed = np.zeros((k, *shape)), np.zeros((k, k, *shape))
        for j in range(k):
            for n in range(1, wraps + 1):
                for later in range(wraps + 2 - n):
                    M, slow = (n + later) * k - j, later * k
                    if later:
                        self.pairs[j] += 2 * q_powers[n + later - 1] * both(M, slow, tail)
                    for state in range(k):
                        self.mixed[j, state] += 2 * q_powers[n + later] * both(M + state, slow + state + 1, last)

    def double(self, at: slice) -> None:
        """Twice the time, for the rates ``at``."""
        k, q = self.k, self.q[at] if self.q.shape[0] > 1 else self.q
        c = self.c[:, at]
        if self.moments:
            once = np.exp(-self.fade[at])
            self._double_moments(at, c, q * c, once)
        fresh = np.empty_like(c)
        for d in range(k):
            straight = sum(c[i] * c[d - i] for i in range(d + 1))
            wrapped = sum((c[i] * c[k + d - i] for i in range(d + 1, k)), 0.0)
            fresh[d] = straight + q * wrapped
        self.tick[at] *= 2
        self.fade[at] *= 2
        loss = self.loss[at] if self.loss.shape[0] > 1 else self.loss
        root = self.root[at] if self.root.shape[0] > 1 else self.root
        kept = fresh[k - 1]
        for d in range(k - 2, -1, -1):
            kept = fresh[d] + root * kept
        known = np.exp(-self.tick[at] * loss)
        self.c[:, at] = fresh * np.divide(known, kept, out=np.zeros_like(kept), where=kept > 1e-290)

    def _double_moments(self, at: slice, c: Floats, qc: Floats, once: Floats) -> None:
        k = self.k

        def move(i: int, j: int) -> Floats:
            return np.asarray(c[j - i] if j >= i else qc[k + j - i])

        mean = self.mean[:, at]
        if self.second:
            squares, pairs, mixed = self.squares[:, at], self.pairs[:, at], self.mixed[:, :, at]
            twice = once * once
            new_squares, new_pairs = squares.copy(), pairs.copy()
            new_mixed = np.zeros_like(mixed)
            for i in range(k):
                for j in range(k):
                    step = move(i, j)
                    new_squares[i] += twice * step * squares[j]
                    new_pairs[i] += twice * step * pairs[j] + mixed[i, j] * mean[j]
                    new_mixed[i] += twice * step * mixed[j]
                    for state in range(k):
                        new_mixed[i, state] += once * mixed[i, j] * move(j, state)
            self.squares[:, at], self.pairs[:, at], self.mixed[:, :, at] = new_squares, new_pairs, new_mixed
        new_mean = mean.copy()
        for i in range(k):
            for j in range(k):
                new_mean[i] += once * move(i, j) * mean[j]
        self.mean[:, at] = new_mean

    def answers(self) -> Floats:
        """(quantity, state, rates, chances)."""
        if not self.moments:
            k, q = self.k, self.q
            return np.asarray(
                [[sum(self.c[d] if i + d < k else q * self.c[d] for d in range(k)) for i in range(k)]], dtype=np.float64
            )
        return np.stack([self.mean, self.squares, self.pairs] if self.second else [self.mean])


def _chain(
    k: int, rate: Floats, log_q: Floats, horizon: float, delta: float, second: bool, moments: bool,
    short: float = _SHORT,
) -> Floats:  # fmt: skip
    """``_Chain`` at the horizon, for ascending rates (L,) and log(1 - p) of shape (1, P) or (L, 1)."""
    ends = (rate + (2 if second else 1) * delta) * horizon
    steps = np.maximum(np.ceil(np.log2(np.maximum(ends, 1e-300) / short)), 0).astype(int)
    time = (horizon / 2.0**steps)[:, None]
    chain = _Chain(k, rate[:, None], log_q, time, delta, second, moments)
    for left in range(int(steps[-1]), 0, -1):
        chain.double(slice(int(np.searchsorted(steps, left)), None))
    return chain.answers()


def _capped(k: int, horizon: float, delta: float) -> float:
    """A horizon beyond which discounting leaves nothing, not even of somebody's first purchases."""
    return min(horizon, (2 * k + 12 * np.sqrt(2.0 * k) + 45) / delta) if delta > 0 else horizon


def expected(k: int, rate: Floats, leaves: Floats, ticks: Any, horizon: float, delta: float) -> Floats:
    """Discounted purchases expected of customers whose rate, chance to leave and ticks so far are known."""
    order = np.argsort(rate, kind="stable")
    h = _capped(k, horizon, delta)
    out = np.zeros(len(rate))
    with np.errstate(divide="ignore"):
        log_q = np.log1p(-np.minimum(leaves, 1.0))
    for at in np.array_split(order, max(1, len(order) // 20_000)):
        if len(at):
            found = _chain(k, rate[at], np.maximum(log_q[at], -700.0)[:, None], h, delta, False, True)
            out[at] = found[0, ticks[at], np.arange(len(at)), 0]
    return out


def moments(
    there: There, k: int, horizon: float, delta: float, *, second: bool, rough: bool
) -> tuple[Floats, Floats, Floats]:
    """E[sum of d_i], E[sum of d_i^2], E[sum over i != j of d_i d_j] of who is still there; zeros unless ``second``."""
    found = _averaged(there, k, _capped(k, horizon, delta), delta, second, True, rough)
    zero = np.zeros(len(there.shape))
    return found[0], found[1] if second else zero, found[2] if second else zero


def staying(there: There, k: int, horizon: float) -> Floats:
    """P(she does not leave within the horizon)."""
    out = _averaged(there, k, horizon, 0.0, False, False, False)[0]
    # What hardly anybody survives is survived by those far out in the tails: look there for the customers concerned.
    rare, drop = np.flatnonzero(out < 1e-6), _DROP
    for _ in range(4):
        if not len(rare):
            break
        wider = float(min(_DROP - np.log(max(out[rare].min(), 1e-300)), 740.0))
        if wider < drop + 2:
            break
        drop = wider
        some = There(*(values[..., rare] for values in there))
        out[rare] = _averaged(some, k, horizon, 0.0, False, False, False, drop)[0]
    return np.asarray(np.minimum(out, 1.0))


def _averaged(
    there: There, k: int, horizon: float, delta: float, second: bool, moments: bool, rough: bool, drop: float = 0.0
) -> list[Floats]:
    drop = drop or (_DROP_ROUGH if rough else _DROP)
    count = 3 if second else 1
    out = np.zeros((count, len(there.shape)))
    keys = np.stack([there.b, there.a, there.shape])
    order = np.lexsort(keys)
    fresh = np.any(np.diff(keys[:, order], axis=1, prepend=-1.0) != 0, axis=0)
    kind = np.empty(len(order), dtype=np.intp)
    kind[order] = np.cumsum(fresh) - 1
    shape, a, b = (values[order[fresh]] for values in (there.shape, there.a, there.b))
    fine_rate, fine_chance = _fineness(shape, a, b, k, rough)
    bands = np.stack([fine_rate, fine_chance])
    oldest = np.zeros(len(shape))
    np.maximum.at(oldest, kind, there.rate)
    youngest = np.full(len(shape), np.inf)
    np.minimum.at(youngest, kind, there.rate)
    for band in np.unique(bands, axis=1).T:
        mine = np.flatnonzero(np.all(bands == band[:, None], axis=0))
        for some in np.array_split(mine, -(-len(mine) // _KINDS)):
            fine, finer = _steps(band, rough)
            soon = min(horizon, 1 / delta) if delta > 0 else horizon
            rise = k if moments else 1  # the power of the rate by which answers leave what they are at 0
            grid = _rates(shape[some], youngest[some], oldest[some], k, soon, rise, fine, drop)
            logit, weight = _chances(a[some], b[some], float(np.exp(grid[-1])) * horizon / k, finer, drop)
            short = _SHORT_ROUGH if rough else _SHORT
            table = _table(k, grid, logit, weight, horizon, delta, second, moments, short)
            position = np.full(len(shape), -1, dtype=np.intp)
            position[some] = np.arange(len(some))
            rows = np.flatnonzero(position[kind] >= 0)
            out[:, rows] = _over_rates(there, rows, position[kind[rows]], grid, table, k)
    return list(out)


# How fine: ``band`` counts halvings of the coarsest step.


def _coarsest(rough: bool) -> tuple[float, float]:
    return (0.38, 0.42) if rough else (0.2, 0.25)


def _fineness(shape: Floats, a: Floats, b: Floats, k: int, rough: bool) -> tuple[Floats, Floats]:
    """Halvings that a density of log(rate) and one of logit(p) need: steps of 0.62 standard deviations, whose error is
    e^-51 for a normal density, and less than a k-th of the period of the chain."""
    wide = 1.8 if rough else 1.0
    widest = np.minimum(0.62 * wide / np.sqrt(shape + 2 * k), 0.78 * wide / k)
    spread = 0.62 * wide * np.sqrt(polygamma(1, a) + polygamma(1, b))
    first, second = _coarsest(rough)
    return (
        np.maximum(np.ceil(np.log2(first / widest)), 0.0),
        np.maximum(np.ceil(np.log2(second / spread)), 0.0),
    )


def _steps(band: Floats, rough: bool) -> tuple[float, float]:
    first, second = _coarsest(rough)
    return first / 2.0 ** band[0], second / 2.0 ** band[1]


def _rates(
    shape: Floats, youngest: Floats, oldest: Floats, k: int, horizon: float, rise: int, step: float, drop: float
) -> Floats:
    """Log rates, multiples of ``step``, outside of which no integrand is above e^-drop of its peak.

    A gamma's log density in log(rate) falls by shape (e^d - 1 - d); the answers rise with the rate by its 2k-th power
    at most, and with its (k-j)-th at least where less than one tick is expected.
    """
    c = drop / shape
    left = np.log(shape / oldest) - np.sqrt(2 * c) - c
    idle = -np.log(np.maximum(oldest, horizon)) - drop / (shape + rise)
    more = shape + 2 * k
    c = drop / more
    right = np.log(more / youngest) + np.minimum(np.sqrt(2 * c), np.log1p(c + np.sqrt(2 * c)))
    first, last = float(np.maximum(left, idle).min()), float(right.max())
    return np.asarray(step * np.arange(np.floor(first / step), np.ceil(last / step) + 1))


def _chances(a: Floats, b: Floats, purchases: float, step: float, drop: float) -> tuple[Floats, Floats]:
    """logit(p), multiples of ``step``, and weights (kinds, points) of the beta densities, tails included."""
    peak = np.log(a / b)
    still = -(np.log1p(purchases) + drop)  # below, p makes no difference to so many purchases; above ``drop``, q = 0

    def edge(outer: Floats, rise: float) -> Floats:
        inner = np.zeros(len(a))
        for _ in range(50):
            middle = (inner + outer) / 2
            far = _fall(a, b, middle) - rise * np.abs(middle) > drop
            outer, inner = np.where(far, middle, outer), np.where(far, inner, middle)
        return outer

    left = edge(np.minimum(still - peak, 0.0), 2.0)  # answers rise by 1 / p^2 at most
    right = edge(np.maximum(drop - peak, 0.0), 0.0)
    logit = step * np.arange(np.floor((peak + left).min() / step), np.ceil((peak + right).max() / step) + 1)
    weight = np.exp(-_fall(a[:, None], b[:, None], logit - peak[:, None]))
    weight[:, 0] /= -np.expm1(-a * step)
    weight[:, -1] /= -np.expm1(-b * step)
    return logit, weight / weight.sum(axis=1, keepdims=True)


def _fall(a: Floats, b: Floats, d: Floats) -> Floats:
    """How far the log density of logit(p) lies below its peak, at a distance ``d`` from there."""
    near = (a + b) * np.log1p(a / (a + b) * np.expm1(np.minimum(d, 50.0))) - a * np.minimum(d, 50.0)
    far = b * d + (a + b) * np.log1p(b / a * np.exp(-np.maximum(d, 50.0))) - (a + b) * np.log1p(b / a)
    return np.where(d < 50.0, near, far)


def _table(
    k: int, grid: Floats, logit: Floats, weight: Floats, horizon: float, delta: float, second: bool, moments: bool,
    short: float,
) -> Floats:  # fmt: skip
    """Answers averaged over p, (kinds, rates, quantity, state)."""
    log_q = -np.logaddexp(0.0, logit)[None, :]
    rate = np.exp(grid)
    count = 3 if second else 1
    out = np.empty((len(weight), len(rate), count, k))
    rows = max(1, _CELLS // (len(logit) * (k if second else 1)))
    for start in range(0, len(rate), rows):
        at = slice(start, start + rows)
        found = _chain(k, rate[at], log_q, horizon, delta, second, moments, short)
        out[:, at] = np.moveaxis(found @ weight.T, (0, 1, 2, 3), (2, 3, 1, 0))
    return out


def _excess(shape: Floats) -> Floats:
    """shape ln(shape) - shape - ln Gamma(shape), by Stirling's series where the terms would cancel."""
    large = np.maximum(shape, 10.0)
    s = 1 / large**2
    series = 1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s * (1 / 1188 - s * 691 / 360360))))
    small = np.minimum(shape, 10.0)
    return np.where(
        shape < 10.0, small * np.log(small) - small - gammaln(small), 0.5 * np.log(large / (2 * np.pi)) - series / large
    )


def _over_rates(there: There, rows: Any, kind: Any, grid: Floats, table: Floats, k: int) -> Floats:
    """The average over the rate and the ticks so far; once for customers of one kind and one age."""
    ages, which = np.unique(np.stack([kind.astype(np.float64), there.rate[rows]]), axis=1, return_inverse=True)
    which = which.reshape(-1)
    kinds, rate = ages[0].astype(np.intp), ages[1]
    shape = np.empty(len(rate))
    shape[which] = there.shape[rows]
    step = float(grid[1] - grid[0])
    lift = np.log(step) + _excess(shape)
    by_state = np.empty((table.shape[2], k, len(rate)))
    block = max(1, 200_000 // len(grid))
    for start in range(0, len(rate), block):
        at = slice(start, start + block)
        d = grid - np.log(shape[at] / rate[at])[:, None]
        with np.errstate(over="ignore", under="ignore"):
            weight = np.exp(lift[at, None] - shape[at, None] * (np.expm1(d) - d))
        each = np.exp(grid) * rate[at, None]
        for j in range(k):
            first = weight[:, 0]  # stands for the whole tail, where answers no longer change
            first = first / -np.expm1(-(shape[at] + j) * step) - first
            answers = table[kinds[at], :, :, j]
            by_state[:, j, at] = np.einsum("ng,ngq->qn", weight, answers) + first * answers[:, 0].T
            weight = weight * (each / (shape[at, None] + j))
    return np.asarray(np.einsum("qjn,jn->qn", by_state[:, :, which], there.ticks[:, rows]))
