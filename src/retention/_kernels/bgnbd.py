r"""BG/NBD (Fader, Hardie and Lee 2005, Marketing Science 24(2)) and MBG/NBD (Batislam, Denizel, Filiztekin 2007).

While she is a customer she buys at her own constant rate, gamma(r, alpha) over customers; after a purchase she
leaves with her own probability, beta(a, b) over customers. In BG/NBD (``m = 0``) only *repeat* purchases can be the
last; in MBG/NBD (``m = 1``) the first one can be too. With u = ln((alpha + T) / (alpha + t_x)) and

    D = (r + x) u + ln a - ln(b + x - 1 + m)        (the log odds of having left after the last purchase)

the log-likelihood is ln G(r+x)/G(r) + r ln alpha - (r+x) ln(alpha+T) + ln B(a, b+x+m)/B(a, b) + softplus(D), the last
term only if she could have left (x > 0 or m = 1). Sums in logs throughout: x in the thousands neither overflows nor
cancels. Digits are lost only where a, b or r are above 1e4 (differences of log-gammas, about 1e-12 there).

Nothing here uses a hypergeometric function; forecasts are those of ``bgnbd_ahead``.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, gammaln, polygamma, psi, zeta

from retention._kernels.bgnbd_ahead import ENDLESS, Pairs, alike, pairs_of, purchases_ahead, shrunk
from retention._kernels.purchases import Ahead, Cells, Derivatives, Forecast, Kernel, Params, Ready, Rows, Total, levels
from retention._kernels.quadrature import beta_rule

__all__ = ["BG", "MBG"]

Floats = NDArray[np.float64]

_BLOCK = 8192  # cells at a time: their temporaries stay in cache


def _softplus(D: Floats) -> Floats:
    return np.asarray(np.maximum(D, 0.0) + np.log1p(np.exp(-np.abs(D))))


def _sigmoid(D: Floats) -> Floats:
    small = np.exp(-np.abs(D))
    return np.where(D >= 0, 1.0, small) / (1.0 + small)


def _could_leave(x: Floats, m: int) -> Any:
    return np.ones(np.shape(x), dtype=bool) if m else x > 0


def _dead_odds(params: Params, x: Floats, t_x: Floats, T: Floats, m: int) -> tuple[Floats, Floats]:
    """(u, D) for customers who could have left."""
    r, alpha, a, b = params
    u = np.log1p((T - t_x) / (alpha + t_x))
    return u, np.asarray((r + x) * u + np.log(a) - np.log(b + x - 1 + m))


def log_likelihoods(params: Params, rows: Rows, m: int = 0) -> Floats:
    """Log-likelihood of each customer: equation 6 of Fader, Hardie and Lee, or its MBG counterpart."""
    r, alpha, a, b = params
    x, t_x, T, _ = rows
    out = (gammaln(r + x) - gammaln(r)) - r * np.log1p(T / alpha) - x * np.log(alpha + T)
    out = out + (betaln(a, b + x + m) - betaln(a, b))  # exactly 0 for m = 0 without a repeat
    could = _could_leave(x, m)
    with np.errstate(divide="ignore", invalid="ignore"):  # rows that could not have left are masked out
        _, D = _dead_odds(params, x, t_x, T, m)
    out = out + np.where(could, _softplus(np.where(could, D, 0.0)), 0.0)
    if m == 0:
        return np.asarray(out)
    # Without a repeat the two ways add up to nearly 1 where T is short: what is missing from it is all there is.
    return np.asarray(np.where(x > 0, out, np.log1p(b / (a + b) * np.expm1(-r * np.log1p(T / alpha)))))


def rowwise(params: Params, rows: Rows, m: int = 0) -> Derivatives:
    """Each customer's log-likelihood, gradient and Hessian by (log r, log alpha, log a, log b)."""
    r, alpha, a, b = (np.broadcast_to(np.asarray(p, dtype=np.float64), np.shape(rows.x)) for p in params)
    x, t_x, T, _ = rows
    n = len(x)
    could = _could_leave(x, m)
    inv_T, inv_t = 1 / (alpha + T), 1 / (alpha + t_x)
    rx, xm = r + x, x + m
    shift = np.where(could, b + x - 1 + m, 1.0)
    u = np.log1p((T - t_x) * inv_t)
    D = rx * u + np.log(a) - np.log(shift)
    dead = np.where(could, _sigmoid(D), 0.0)
    slope = inv_T - inv_t
    g = np.empty((4, n))
    g[0] = psi(rx) - psi(r) - np.log1p(T / alpha) + dead * u
    g[1] = r / alpha - rx * inv_T + dead * rx * slope
    g[2] = psi(a + b) - psi(a + b + xm) + dead / a
    g[3] = psi(a + b) - psi(a + b + xm) + psi(b + xm) - psi(b) - dead / shift
    D1 = (u, rx * slope, 1 / a, -1 / shift)
    both = dead * (1 - dead)
    H = np.empty((4, 4, n))
    for i in range(4):
        for j in range(4):
            H[i, j] = both * D1[i] * D1[j]
    H[0, 0] += polygamma(1, rx) - polygamma(1, r)
    cross = 1 / alpha - inv_T + dead * slope
    H[0, 1] += cross
    H[1, 0] += cross
    H[1, 1] += -r / alpha**2 + rx * inv_T**2 + dead * rx * (inv_t**2 - inv_T**2)
    bend = polygamma(1, a + b) - polygamma(1, a + b + xm)
    H[2, 2] += bend - dead / a**2
    H[2, 3] += bend
    H[3, 2] += bend
    H[3, 3] += bend + polygamma(1, b + xm) - polygamma(1, b) + dead / shift**2
    theta = np.stack([r, alpha, a, b])
    H = H * theta[:, None] * theta[None, :]
    g = g * theta
    H[np.arange(4), np.arange(4)] += g
    return log_likelihoods((r, alpha, a, b), rows, m), g, H


class _Counted(NamedTuple):
    """A base by number of purchases: the distinct ``xs`` and the customers ``n`` who have each; how many of its cells
    (which are sorted by x) are of customers who could not have left; and how many customers ``take`` each of the
    ``steps`` from j to j + 1 purchases, unless that would be many more numbers than there are distinct ``xs``."""

    xs: Floats
    n: Floats
    safe: int
    steps: Floats | None
    take: Floats

    def rise(self, p: Floats) -> Floats:
        """For some p (q, 1): the sum of ln G(p + x) - ln G(p) over all customers, (q,).

        A step adds ln(p + j) for those who take it: a sum without a difference, and quicker than gamma functions.
        """
        if self.steps is None:
            return np.asarray((gammaln(p + self.xs) - gammaln(p)) @ self.n)
        return np.asarray(np.log(p + self.steps) @ self.take)

    def rises(self, p: Floats) -> Floats:
        """``rise`` and its first and second derivative by p: (3, q)."""
        if self.steps is None:
            points = np.concatenate([p + self.xs, p], axis=1)
            ends = np.array([gammaln(points), psi(points), zeta(2.0, points)])  # the last is the derivative of psi
            return np.asarray((ends[:, :, :-1] - ends[:, :, -1:]) @ self.n)
        inverse = 1 / (p + self.steps)
        return np.asarray(np.array([-np.log(inverse), inverse, -inverse * inverse]) @ self.take)


def _by_count(cells: Cells, m: int) -> _Counted:
    x, w = cells.rows.x, cells.weight
    if not len(x):
        return _Counted(x, w, 0, x, w)
    begins = np.flatnonzero(np.concatenate([[True], x[1:] != x[:-1]]))
    n, xs = np.add.reduceat(w, begins), x[begins]
    safe = 0 if m or xs[0] > 0 else int(begins[1]) if len(begins) > 1 else len(x)
    if xs[-1] > 64 * len(xs):
        return _Counted(xs, n, safe, None, n)
    steps = np.arange(int(xs[-1]), dtype=np.float64)
    return _Counted(xs, n, safe, steps, np.cumsum(n[::-1])[::-1][np.searchsorted(xs, steps, side="right")])


def prepared(cells: Cells, m: int = 0) -> Ready:
    """The log-likelihood of a base at one point after another: what does not depend on the parameters is worked out
    once. ``total`` has its gradient and Hessian by ``(log r, log alpha, log a, log b)``.

    What depends on x alone is computed once per distinct x, what depends on T alone once per age of a base in whole
    days. The odds of having left go through the cells once, in blocks that stay in cache, where a product of short
    matrices (too short for more than one thread) is the cheapest sum.
    """
    x, t_x, T, _ = cells.rows
    w = cells.weight
    counted = _by_count(cells, m)
    N, safe = float(counted.n.sum()), counted.safe
    watched = None if cells.grid is None else _watched(cells)
    room = np.empty((11, min(_BLOCK, len(x) - safe)))  # for the blocks' numbers, in the same place every time

    def total(params: Params) -> Total:
        r, alpha, a, b = np.asarray(params, dtype=np.float64).tolist()
        by_r, by_ab, by_b = counted.rises(np.array([[r], [a + b + m], [b + m]])).T.tolist()
        if m:  # her first purchase is a step for everybody
            by_ab = [by_ab[0] + N * math.log(a + b), by_ab[1] + N / (a + b), by_ab[2] - N / (a + b) ** 2]
            by_b = [by_b[0] + N * math.log(b), by_b[1] + N / b, by_b[2] - N / b**2]

        aged = np.zeros((3, 2))  # sums of log, 1/age and 1/age^2 over customers, and over their purchases
        for ages, held in _by_block(cells) if watched is None else [watched]:
            inverse = 1 / (alpha + ages)
            aged += np.array([np.log(inverse), inverse, inverse * inverse]) @ held.T
        (log_T, x_log_T), (inv_T, x_inv_T), (inv_T2, x_inv_T2) = aged.tolist()

        log_a, soft, sums, outer = math.log(a), 0.0, np.zeros(7), np.zeros((4, 4))
        for start in range(safe, len(x), _BLOCK):
            block = slice(start, start + _BLOCK)
            bought, mine = x[block], w[block]
            by_dead, weighted = room[:7, : len(mine)], room[7:, : len(mine)]
            u, turn, each_a, each_b, gap, b_twice, alpha_twice = by_dead  # of D by r, alpha, a, b; second derivatives
            now, then = 1 / (alpha + T[block]), 1 / (alpha + t_x[block])
            np.multiply(T[block] - t_x[block], then, out=gap)
            np.log1p(gap, out=u)
            gap *= now  # 1/(alpha + t_x) - 1/(alpha + T)
            rx = bought + r
            np.multiply(rx, gap, out=turn)
            then += now
            np.multiply(turn, then, out=alpha_twice)
            np.negative(turn, out=turn)
            each_a[:] = 1 / a
            left = bought + (b - 1 + m)
            np.divide(-1.0, left, out=each_b)
            np.multiply(each_b, each_b, out=b_twice)
            D = rx * u
            D += log_a
            D -= np.log(left)
            low = np.minimum(D, 700.0)  # odds that are a number
            odds = np.exp(low)
            D -= low
            D += np.log1p(odds)
            soft += float(mine @ D)
            alive = 1 / (1 + odds)
            dead = np.multiply(odds, alive, out=odds)
            dead *= mine
            alive *= dead  # weight, P(dead), P(not dead)
            sums += by_dead @ dead
            outer += np.multiply(by_dead[:4], alive, out=weighted) @ by_dead[:4].T

        on_r, on_alpha, on_a, on_b, ra, bb, aa = sums.tolist()
        log_alpha, cross, ab = math.log(alpha), N / alpha - inv_T - ra, -by_ab[2]
        value = by_r[0] + by_b[0] - by_ab[0] + N * r * log_alpha + (r * log_T + x_log_T) + soft
        g_r = by_r[1] + N * log_alpha + log_T + on_r
        g_alpha = N * r / alpha - (r * inv_T + x_inv_T) + on_alpha
        g = np.array([g_r, g_alpha, on_a - by_ab[1], by_b[1] - by_ab[1] + on_b])
        H = outer
        H[0, 0] += by_r[2]
        H[0, 1] += cross
        H[1, 0] += cross
        H[1, 1] += r * inv_T2 + x_inv_T2 - N * r / alpha**2 + aa
        H[2, 2] += ab - on_a / a
        H[2, 3] += ab
        H[3, 2] += ab
        H[3, 3] += ab + by_b[2] + bb
        theta = np.array([r, alpha, a, b])
        g *= theta
        H *= theta * theta[:, None]
        H.flat[::5] += g
        return value, g, H

    def values(matrix: Floats) -> Floats:
        points = np.asarray(matrix, dtype=np.float64).T[:, :, None]
        r, alpha, a, b = points
        out = counted.rise(r) + counted.rise(b + m) - counted.rise(a + b + m) + (N * r * np.log(alpha))[:, 0]
        if m:  # her first purchase is a step for everybody
            out -= N * np.log1p(a / b)[:, 0]
        many = max(1, _BLOCK // max(min(len(x), _BLOCK), 1))
        for point in range(0, len(out), many):
            some = slice(point, point + many)
            r, alpha, a, b = points[:, some]
            for ages, held in _by_block(cells) if watched is None else [watched]:
                logs = np.log(alpha + ages) @ held.T
                out[some] -= r[:, 0] * logs[:, 0] + logs[:, 1]
            log_a = np.log(a)
            for start in range(safe, len(x), _BLOCK):
                block = slice(start, start + _BLOCK)
                bought, last = x[block], t_x[block]
                D = (T[block] - last) / (alpha + last)
                np.log1p(D, out=D)
                D *= r + bought
                D += log_a
                left = bought + (b - 1 + m)
                D -= np.log(left, out=left)
                if len(D) and D.max() > 700.0:  # odds that are too large for a number
                    low = np.minimum(D, 700.0, out=left)
                    D -= low
                    D += np.log1p(np.exp(low, out=low), out=low)
                else:
                    np.log1p(np.exp(D, out=D), out=D)
                out[some] += D @ w[block]
        return np.asarray(out)

    return Ready(total, values)


def _watched(cells: Cells) -> tuple[Floats, Floats]:
    """The ages of a base in whole days, and how many customers, and how many purchases, are of each."""
    grid, many = cells.grid, cells.weight * cells.rows.x
    assert grid is not None
    held = np.array([np.bincount(grid.at_T, counted, len(grid.times)) for counted in (cells.weight, many)])
    used = np.flatnonzero(held[0])
    return grid.times[used], held[:, used]


def _by_block(cells: Cells) -> Iterator[tuple[Floats, Floats]]:
    """The same for ages that may all be different: blocks of them."""
    for start in range(0, len(cells.weight), _BLOCK):
        block = slice(start, start + _BLOCK)
        w = cells.weight[block]
        yield cells.rows.T[block], np.array([w, w * cells.rows.x[block]])


def total(params: Params, cells: Cells, m: int = 0) -> Total:
    """Log-likelihood of a base, with its gradient and Hessian by ``(log r, log alpha, log a, log b)``."""
    return prepared(cells, m).total(params)


def values(matrix: Floats, cells: Cells, m: int = 0) -> Floats:
    """Log-likelihood of a base at many parameter points at once."""
    return prepared(cells, m).values(matrix)


def p_alive(params: Params, rows: Rows, m: int = 0) -> Floats:
    """Probability of still being a customer at T; for m = 0 exactly 1 without a repeat purchase."""
    out = np.empty(len(rows.x))
    for start in range(0, len(out), _BLOCK):
        block = slice(start, start + _BLOCK)
        r, alpha, a, b = (value[block] if np.ndim(value) else value for value in params)
        x, t_x = rows.x[block], rows.t_x[block]
        D = rows.T[block] - t_x
        D /= alpha + t_x
        np.log1p(D, out=D)
        D *= r + x
        left = x + b if m else b + (np.maximum(x, 1.0) - 1)
        D += np.log(np.divide(a, left, out=left), out=left)
        gone = D >= 0
        small = np.abs(D, out=D)
        np.exp(np.negative(small, out=small), out=small)
        alive = np.divide(np.where(gone, small, 1.0), 1 + small, out=out[block])
        if m == 0:
            alive[x == 0] = 1.0
    return out


def _p_gone(params: Params, rows: Rows, m: int) -> Floats:
    """1 - ``p_alive``, with all its digits when it is small."""
    x, t_x, T, _ = rows
    could = _could_leave(x, m)
    with np.errstate(divide="ignore", invalid="ignore"):
        _, D = _dead_odds(params, x, t_x, T, m)
    return np.where(could, _sigmoid(np.where(could, D, 0.0)), 0.0)


def forecast(
    params: Params,
    rows: Rows,
    horizon: float,
    delta: float = 0.0,
    *,
    second: bool = False,
    rough: bool = False,
    m: int = 0,
    pairs: Pairs | None = None,
) -> Forecast:
    r"""Purchases in ``(T, T + horizon]``, discounted continuously at ``delta`` per time unit.

    With k = r + x, A = alpha + T, c = horizon / A, p ~ beta(a, b + x + m), for a customer who is still there

    mean  = k c \int_0^1 e^{-delta h s} E_p[(1 + p c s)^{-(k+1)}] ds
    pairs = 2 k (k+1) c^2 \int_0^1 s e^{-z} \frac{1 - e^{-z}}{z} E_p[(1-p) (1 + p c s)^{-(k+2)}] ds,  z = delta h s

    and ``squares`` is the mean at twice the rate. A customer gets the same digits alone and among a million, as long as
    the horizon is the same. Relative error below 1e-10, ``rough`` 1e-5. ``pairs`` are those of the rows, if known.
    """
    alive = p_alive(params, rows, m)
    if horizon <= 0 or len(alive) == 0:
        return Forecast(*np.zeros((4, len(alive))))
    pairs = pairs_of(params, rows) if pairs is None else pairs
    mean, squares, both = purchases_ahead(params, rows, horizon, delta, second, rough, m, pairs)
    r, alpha = params[0], params[1]
    if pairs is None:
        some = -np.expm1(-(r + rows.x) * np.log1p(horizon / (alpha + rows.T)))
    else:
        some = -np.expm1(-(r + pairs.xs)[:, None] * np.log1p(horizon / (alpha + pairs.ages))).ravel()[pairs.entry]
    for answer in (mean, squares, both, some):
        answer *= alive
    return Forecast(mean, squares, both, some)


def averaged(
    points: Floats, cells: Cells, horizon: float, delta: float, weight: Floats, m: int = 0
) -> tuple[Forecast, Floats]:
    """Rough forecasts by cell, averaged over points of the parameters; and at each the sum of ``weight * mean``."""
    pairs = pairs_of(points[0], cells.rows, cells.grid)
    sums, totals = [np.zeros(len(cells.weight)) for _ in Forecast._fields], np.zeros(len(points))
    for i, params in enumerate(points):
        ahead = forecast(params, cells.rows, horizon, delta, second=True, rough=True, m=m, pairs=pairs)
        totals[i] = np.einsum("n,n->", ahead.mean, weight)
        for sum_, values in zip(sums, ahead, strict=True):
            values /= len(points)
            sum_ += values
    return Forecast(*sums), totals


def together(
    params: Params, cells: Cells, asked: Sequence[tuple[float, float]], m: int = 0
) -> tuple[Floats, list[Floats]]:
    """P(alive) and the means of some forecasts, all by cell."""
    alive, means, pairs = p_alive(params, cells.rows, m), [], pairs_of(params, cells.rows, cells.grid)
    for horizon, delta in asked:
        if horizon <= 0 or len(alive) == 0:
            means.append(np.zeros(len(alive)))
        else:
            mean = purchases_ahead(params, cells.rows, horizon, delta, m=m, pairs=pairs)[0]
            mean *= alive
            means.append(mean)
    return alive, means


def survival(params: Params, rows: Rows, ahead: float, m: int = 0) -> Floats:
    """P(still a customer ``ahead`` after T) = P(alive at T) E_p[(1 + p c)^{-(r+x)}], c = ahead / (alpha + T)."""
    alive = p_alive(params, rows, m)
    if ahead <= 0:
        return alive
    r, alpha, a, b = (np.broadcast_to(np.asarray(p, dtype=np.float64), np.shape(rows.x)) for p in params)
    k, c = r + rows.x, ahead / (alpha + rows.T)
    left = b + rows.x + m
    out = np.empty(len(k))
    for at in alike(k, a, left) if len(k) else []:
        tilt = float(k[at[0]] * max(c[at].max(), 1.0))
        p, _, weight = beta_rule(float(a[at[0]]), float(left[at[0]]), tilt)
        for block in np.array_split(at, max(1, len(at) // 4096)):
            out[block] = np.exp(-k[block, None] * np.log1p(np.outer(c[block], p))) @ weight
    return alive * out


def pmf(params: Params, rows: Rows, horizon: float, most: int, m: int = 0) -> Floats:
    """P(X = 0 .. most) in the horizon, given her history.

    Still there after n purchases, all in time: a negative binomial times B(a, b'+n)/B(a, b'); or gone with the n-th:
    its tail, times B(a+1, b'+n-1)/B(a, b'), with b' = b + x + m. All terms are positive.
    """
    r, alpha, a, b = params
    x, _, T, _ = rows
    alive, gone = p_alive(params, rows, m), _p_gone(params, rows, m)
    out = np.empty((len(x), most + 1))
    k, A, left = r + x, alpha + T, b + x + m
    share, log_none = horizon / (A + horizon), -k * np.log1p(horizon / A)
    with np.errstate(divide="ignore"):
        log_share = np.log(share)
    base = betaln(a, left)
    for n in range(most + 1):
        if n == 0:
            out[:, 0] = gone + alive * np.exp(log_none)
            continue
        exactly = gammaln(k + n) - gammaln(k) - gammaln(n + 1) + log_none + n * log_share
        stayed = np.exp(exactly + betaln(a, left + n) - base)
        went = np.exp(betaln(a + 1, left + n - 1) - base) * betainc(n, k, share)
        out[:, n] = alive * (stayed + went)
    return out


def log_rate(params: Params, rows: Rows, m: int = 0) -> Floats:
    """E[ln rate | her history]: her clock stopped at T if she is still there, at her last purchase if not."""
    r, alpha, _, _ = params
    alive = p_alive(params, rows, m)
    if np.ndim(r) == 0:
        xs, at = levels(rows.x)
        out = psi(r + xs)[at]
    else:
        out = psi(r + rows.x)
    now = np.log(alpha + rows.T)
    now *= alive
    out -= now
    last = np.log(alpha + rows.t_x)
    last *= 1 - alive
    out -= last
    return np.asarray(out)


def simulate(params: Params, T: Floats, rng: np.random.Generator, m: int = 0) -> Rows:
    """Customers as the model makes them, watched for ``T`` from their first purchase."""
    r, alpha, a, b = params
    n = len(T)
    rate, leaves = rng.gamma(r, 1.0, n) / alpha, rng.beta(a, b, n)
    stays = rng.random(n) >= leaves if m else np.ones(n, dtype=bool)
    x, last, clock, going = np.zeros(n), np.zeros(n), np.zeros(n), np.flatnonzero(stays & (rate > 0))
    while len(going):
        clock[going] += rng.exponential(1.0, len(going)) / rate[going]
        going = going[clock[going] <= T[going]]
        x[going] += 1
        last[going] = clock[going]
        going = going[rng.random(len(going)) >= leaves[going]]
    return Rows(x, last, np.asarray(T, dtype=np.float64), np.zeros(n))


def ahead(params: Params, rows: Rows, horizon: float, delta: float, rng: np.random.Generator, m: int = 0) -> Ahead:
    """One future per customer: draw whether she is there, her rate and her drop-out, then let her buy."""
    r, alpha, a, b = params
    n = len(rows.x)
    h = min(horizon, ENDLESS / delta) if delta > 0 else horizon
    there = rng.random(n) < p_alive(params, rows, m)
    rate = rng.gamma(r + rows.x, 1.0, n) / (alpha + rows.T)
    leaves = rng.beta(a, b + rows.x + m, n)
    fade = rate * leaves + delta
    expected = np.where(there, rate * h * shrunk(fade * h), 0.0)
    counts, discounted, clock = np.zeros(n), np.zeros(n), np.zeros(n)
    going = np.flatnonzero(there & (rate > 0))
    while len(going):
        clock[going] += rng.exponential(1.0, len(going)) / rate[going]
        going = going[clock[going] <= h]
        counts[going] += 1
        discounted[going] += np.exp(-delta * clock[going])
        going = going[rng.random(len(going)) >= leaves[going]]
    return Ahead(counts, discounted, expected)


def _kernel(m: int) -> Kernel:
    bound: dict[str, Any] = {
        f.__name__: partial(f, m=m)
        for f in (
            log_likelihoods,
            rowwise,
            total,
            values,
            p_alive,
            survival,
            forecast,
            pmf,
            log_rate,
            simulate,
            ahead,
            together,
            averaged,
            prepared,
        )
    }
    return Kernel(names=("r", "alpha", "a", "b"), time_power=(0, 1, 0, 0), **bound)


BG = _kernel(0)
MBG = _kernel(1)
