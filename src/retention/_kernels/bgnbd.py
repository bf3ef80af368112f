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
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, gammaln, polygamma, psi, zeta

from retention._kernels.bgnbd_ahead import ENDLESS, alike, pairs_of, purchases_ahead, shrunk
from retention._kernels.purchases import Ahead, Cells, Derivatives, Forecast, Kernel, Params, Rows, Total, levels
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


def _by_count(cells: Cells, m: int) -> tuple[Floats, Floats, int]:
    """The distinct x of some cells (which are sorted by x), the customers who have each, and how many of the cells are
    of customers who could not have left."""
    x, w = cells.rows.x, cells.weight
    begins = np.flatnonzero(np.concatenate([np.ones(min(len(x), 1), dtype=bool), x[1:] != x[:-1]]))
    n = np.add.reduceat(w, begins) if len(x) else w
    xs = x[begins]
    safe = 0 if m or not len(x) or xs[0] > 0 else int(begins[1]) if len(begins) > 1 else len(x)
    return xs, n, safe


def total(params: Params, cells: Cells, m: int = 0) -> Total:
    """Log-likelihood of a base, with its gradient and Hessian by ``(log r, log alpha, log a, log b)``.

    What depends on x alone is computed once per distinct x; the rest goes through the cells once, in blocks that stay
    in cache, where a product of two short vectors (too short for more than one thread) is the cheapest sum.
    """
    r, alpha, a, b = (float(value) for value in params)
    x, t_x, T, _ = cells.rows
    w = cells.weight
    xs, n, safe = _by_count(cells, m)
    N, k = float(n.sum()), len(xs)
    points, gammas = np.concatenate([r + xs, a + b + m + xs, b + m + xs, (r, a + b, b)]), np.empty((3, 3 * k + 3))
    gammaln(points, out=gammas[0])
    psi(points, out=gammas[1])
    zeta(2.0, points, out=gammas[2])  # the derivative of psi
    rises = (gammas[:, : 3 * k].reshape(3, 3, k) - gammas[:, 3 * k :, None]) @ n  # over x purchases, for everybody
    by_r, by_ab, by_b = rises.T.tolist()

    value = by_r[0] + by_b[0] - by_ab[0] + N * r * math.log(alpha)
    g = np.array([by_r[1] + N * math.log(alpha), N * r / alpha, -by_ab[1], by_b[1] - by_ab[1]])
    ra, aa = N / alpha, -N * r / alpha**2
    bb, gone, outer = 0.0, 0.0, np.zeros((4, 4))
    room = np.empty((2, 4, min(_BLOCK, max(len(x) - safe, 0))))  # for the blocks' numbers, in the same place every time
    for start in [*range(0, safe, _BLOCK), *range(safe, len(x), _BLOCK)]:
        block = slice(start, min(start + _BLOCK, safe) if start < safe else start + _BLOCK)
        bought, mine, age = x[block], w[block], alpha + T[block]
        inv_T, rx = 1 / age, r + bought
        log_T = np.log(age, out=age)
        weighted = mine * rx
        push = weighted * inv_T
        g[0] -= mine @ log_T
        g[1] -= mine @ (rx * inv_T)
        value -= float(weighted @ log_T)
        ra -= float(mine @ inv_T)
        aa += float(push @ inv_T)
        if start < safe:
            continue
        last = t_x[block]
        slope, weighted_slope = room[:, :, : len(mine)]  # of D, by the parameters
        u, turn, _, off = slope
        inv_t = 1 / (alpha + last)
        gap = (T[block] - last) * inv_t
        np.log1p(gap, out=u)
        gap *= inv_T  # now 1/(alpha + t_x) - 1/(alpha + T)
        np.multiply(rx, gap, out=turn)
        np.divide(-1.0, bought + (b - 1 + m), out=off)
        slope[2] = 1 / a
        D = rx * u
        D += np.log(-a * off)
        small = np.exp(-np.abs(D))
        share = 1 / (1 + small)
        value += float(mine @ (np.maximum(D, 0.0) + np.log1p(small)))
        dead = np.where(D >= 0, share, small * share)
        dead *= mine
        share *= share
        share *= small
        share *= mine  # weight, P(dead), P(not dead)
        np.negative(turn, out=turn)
        left = slope @ dead
        g += left
        gone += float(left[2])
        outer += np.multiply(slope, share, out=weighted_slope) @ slope.T
        inv_T += inv_t
        turn *= dead
        off *= off
        ra -= float(dead @ gap)
        aa -= float(turn @ inv_T)
        bb += float(dead @ off)
    ab = -by_ab[2]
    H = outer + np.array([[by_r[2], ra, 0, 0], [ra, aa, 0, 0], [0, 0, ab, ab], [0, 0, ab, ab + by_b[2] + bb]])
    H[2, 2] -= gone / a
    theta = np.array([r, alpha, a, b])
    g *= theta
    H *= theta * theta[:, None]
    H[range(4), range(4)] += g
    return value, g, H


def values(matrix: Floats, cells: Cells, m: int = 0) -> Floats:
    """Log-likelihood of a base at many parameter points at once, in blocks that stay in cache."""
    x, t_x, T, _ = cells.rows
    w = cells.weight
    xs, n, safe = _by_count(cells, m)
    N = float(n.sum())
    r, alpha, a, b = (column[:, None] for column in np.asarray(matrix, dtype=np.float64).T)
    out = (gammaln(r + xs) - gammaln(r) + betaln(a, b + xs + m) - betaln(a, b)) @ n + (N * r * np.log(alpha))[:, 0]
    many = max(1, _BLOCK // max(min(len(x), _BLOCK), 1))
    for point in range(0, len(out), many):
        some = slice(point, point + many)
        r, alpha, a, b = (column[some, None] for column in np.asarray(matrix, dtype=np.float64).T)
        log_odds = np.log(a)
        for start in range(0, safe, _BLOCK):
            block = slice(start, min(start + _BLOCK, safe))
            log_T = np.log(alpha + T[block])
            log_T *= r + x[block]
            out[some] -= log_T @ w[block]
        for start in range(safe, len(x), _BLOCK):
            block = slice(start, start + _BLOCK)
            rx = r + x[block]
            log_T = np.log(alpha + T[block])
            D = log_T - np.log(alpha + t_x[block])
            D *= rx
            D += log_odds - np.log(x[block] + (b - 1 + m))
            log_T *= rx
            out[some] -= log_T @ w[block]
            log_T = np.maximum(D, 0.0)
            np.abs(D, out=D)
            np.negative(D, out=D)
            log_T += np.log1p(np.exp(D, out=D), out=D)
            out[some] += log_T @ w[block]
    return np.asarray(out)


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
        D += np.log(a / (b + (np.maximum(x, 1.0) - 1 if m == 0 else x)))
        small = np.exp(-np.abs(D))
        alive = np.where(D >= 0, small, 1.0)
        alive /= 1 + small
        out[block] = alive if m else np.where(x > 0, alive, 1.0)
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
) -> Forecast:
    r"""Purchases in ``(T, T + horizon]``, discounted continuously at ``delta`` per time unit.

    With k = r + x, A = alpha + T, c = horizon / A, p ~ beta(a, b + x + m), for a customer who is still there

    mean  = k c \int_0^1 e^{-delta h s} E_p[(1 + p c s)^{-(k+1)}] ds
    pairs = 2 k (k+1) c^2 \int_0^1 s e^{-z} \frac{1 - e^{-z}}{z} E_p[(1-p) (1 + p c s)^{-(k+2)}] ds,  z = delta h s

    and ``squares`` is the mean at twice the rate. A customer gets the same digits alone and among a million, as long as
    the horizon is the same. Relative error below 1e-10, ``rough`` 1e-5.
    """
    alive = p_alive(params, rows, m)
    if horizon <= 0 or len(alive) == 0:
        return Forecast(*np.zeros((4, len(alive))))
    mean, squares, pairs = purchases_ahead(params, rows, horizon, delta, second, rough, m, pairs_of(params, rows))
    log_none = -(params[0] + rows.x) * np.log1p(horizon / (params[1] + rows.T))
    return Forecast(alive * mean, alive * squares, alive * pairs, np.asarray(-alive * np.expm1(log_none)))


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
        )
    }
    return Kernel(names=("r", "alpha", "a", "b"), time_power=(0, 1, 0, 0), **bound)


BG = _kernel(0)
MBG = _kernel(1)
