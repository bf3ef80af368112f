r"""BG/NBD (Fader, Hardie and Lee 2005, Marketing Science 24(2)) and MBG/NBD (Batislam, Denizel, Filiztekin 2007).

While she is a customer she buys at her own constant rate, gamma(r, alpha) over customers; after a purchase she
leaves with her own probability, beta(a, b) over customers. In BG/NBD (``m = 0``) only *repeat* purchases can be the
last; in MBG/NBD (``m = 1``) the first one can be too. With u = ln((alpha + T) / (alpha + t_x)) and

    D = (r + x) u + ln a - ln(b + x - 1 + m)        (the log odds of having left after the last purchase)

the log-likelihood is ln G(r+x)/G(r) + r ln alpha - (r+x) ln(alpha+T) + ln B(a, b+x+m)/B(a, b) + softplus(D), the last
term only if she could have left (x > 0 or m = 1). Sums in logs throughout: x in the thousands neither overflows nor
cancels. Digits are lost only where a, b or r are above 1e4 (differences of log-gammas, about 1e-12 there).

Nothing here uses a hypergeometric function. Given a customer who is still there, her rate and her drop-out
probability are independent, gamma(r + x, alpha + T) and beta(a, b + x + m), and what she buys is Poisson until she
leaves. With k = r + x, A = alpha + T, c = horizon / A every forecast is an average over p of a smooth function of p c.
Two roads lead to it. The quick one makes, for each distinct x, one Chebyshev series in y = ln(1 + c) and reads its own
accuracy off the last coefficients; where that does not suffice (a sharp step: x in the thousands, parameters at the
edge of the possible) the slow one integrates customer by customer.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import betainc, betaln, gammaln, polygamma, psi

from retention._kernels.purchases import Ahead, Cells, Derivatives, Forecast, Kernel, Params, Rows, Total
from retention._kernels.quadrature import beta_rule, decaying_rule, legendre

__all__ = ["BG", "MBG"]

Floats = NDArray[np.float64]

_ENDLESS = 45.0  # discounted by e^-45, what lies beyond is below the last digit of a float
_TIGHT, _LOOSE = 1e-11, 1e-4  # relative size that the last Chebyshev coefficients may have


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
    out = gammaln(r + x) - gammaln(r) - r * np.log1p(T / alpha) - x * np.log(alpha + T)
    out = out + betaln(a, b + x + m) - betaln(a, b)
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


def _dot(a: Floats, b: Floats) -> float:
    """A dot product without BLAS, whose threads cost more than they bring on vectors of this size."""
    return float(np.einsum("i,i->", a, b))


def total(params: Params, cells: Cells, m: int = 0) -> Total:
    """Log-likelihood of a base, with its gradient and Hessian by ``(log r, log alpha, log a, log b)``.

    Everything that depends on x alone is computed once per distinct x; only the softplus term needs every cell.
    """
    r, alpha, a, b = params
    x, t_x, T, _ = cells.rows
    w = cells.weight
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))  # cells are sorted by x
    xs, n = x[begins], np.add.reduceat(w, begins) if len(x) else w
    xm = xs + m
    log_T = np.log(alpha + T)
    inv_T = 1 / (alpha + T)
    N = float(n.sum())
    rx = r + x

    value = _dot(n, gammaln(r + xs) - gammaln(r) + betaln(a, b + xm) - betaln(a, b))
    value += _dot(w, r * np.log(alpha) - rx * log_T)
    ab = _dot(n, psi(a + b) - psi(a + b + xm))
    g = np.array(
        [
            _dot(n, psi(r + xs) - psi(r)) + N * np.log(alpha) - _dot(w, log_T),
            N * r / alpha - _dot(w, rx * inv_T),
            ab,
            ab + _dot(n, psi(b + xm) - psi(b)),
        ]
    )
    H = np.zeros((4, 4))
    H[0, 0] = _dot(n, polygamma(1, r + xs) - polygamma(1, r))
    H[0, 1] = N / alpha - _dot(w, inv_T)
    H[1, 1] = -N * r / alpha**2 + _dot(w, rx * inv_T**2)
    H[2, 2] = H[2, 3] = _dot(n, polygamma(1, a + b) - polygamma(1, a + b + xm))
    H[3, 3] = H[2, 3] + _dot(n, polygamma(1, b + xm) - polygamma(1, b))

    could = _could_leave(x, m)
    if np.any(could):
        if not np.all(could):
            x, t_x, T, w, rx, inv_T = x[could], t_x[could], T[could], w[could], rx[could], inv_T[could]
        u, D = _dead_odds(params, x, t_x, T, m)
        dead = _sigmoid(D)
        inv_t = 1 / (alpha + t_x)
        slope = inv_T - inv_t
        inv_b = 1 / (b + x - 1 + m)
        value += _dot(w, _softplus(D))
        D1 = [u, rx * slope, np.full_like(u, 1 / a), -inv_b]
        wp = w * dead
        both_ways = wp * (1 - dead)
        for i in range(4):
            g[i] += _dot(wp, D1[i])
            weighted = both_ways * D1[i]
            for j in range(i, 4):
                H[i, j] += _dot(weighted, D1[j])
        H[0, 1] += _dot(wp, slope)
        H[1, 1] += _dot(wp, rx * (inv_t**2 - inv_T**2))
        H[2, 2] -= wp.sum() / a**2
        H[3, 3] += _dot(wp, inv_b**2)
    H = np.triu(H) + np.triu(H, 1).T
    theta = np.array([r, alpha, a, b])
    return value, g * theta, H * np.outer(theta, theta) + np.diag(g * theta)


def values(matrix: Floats, cells: Cells, m: int = 0) -> Floats:
    """Log-likelihood of a base at many parameter points at once, in blocks that stay in cache."""
    x, t_x, T, _ = cells.rows
    w = cells.weight
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))
    xs, n = x[begins], np.add.reduceat(w, begins) if len(x) else w
    could = _could_leave(x, m)
    step = max(1, 200_000 // max(len(x), 1))
    out = np.empty(len(matrix))
    for start in range(0, len(matrix), step):
        r, alpha, a, b = (column[:, None] for column in matrix[start : start + step].T)
        by_x = gammaln(r + xs) - gammaln(r) + betaln(a, b + xs + m) - betaln(a, b)
        log_T = np.log(alpha + T)
        sums = np.einsum("sx,x->s", by_x, n) + np.einsum("sn,n->s", r * np.log(alpha) - (r + x) * log_T, w)
        log_t = np.log(alpha + t_x[could])
        D = (r + x[could]) * (log_T[:, could] - log_t) + np.log(a) - np.log(b + x[could] - 1 + m)
        out[start : start + step] = sums + np.einsum("sn,n->s", _softplus(D), w[could])
    return out


def p_alive(params: Params, rows: Rows, m: int = 0) -> Floats:
    """Probability of still being a customer at T; for m = 0 exactly 1 without a repeat purchase."""
    x, t_x, T, _ = rows
    could = _could_leave(x, m)
    with np.errstate(divide="ignore", invalid="ignore"):
        _, D = _dead_odds(params, x, t_x, T, m)
    return np.where(could, _sigmoid(-np.where(could, D, 0.0)), 1.0)


def _nodes(n: int) -> Floats:
    return np.cos(np.pi * (np.arange(n) + 0.5) / n)


def _series(values: Floats) -> Floats:
    """From values at Chebyshev nodes to the coefficients: a linear map, applied to ``values``."""
    n = len(values)
    k = np.arange(n)
    table = 2.0 / n * np.cos(np.outer(k, np.pi * (k + 0.5) / n))
    table[0] /= 2
    return np.asarray(table @ values)


def _alike(k: Any, a: Any, b: Any) -> list[NDArray[np.intp]]:
    """Positions of customers who share all three, group by group."""
    keys = [key for key in (k, a, b) if np.ndim(key)]
    if len(keys) == 2 and np.ndim(a) == 0:
        spread = np.ptp(keys[0] - keys[1]) if len(keys[0]) else 0.0
        keys = keys[:1] if spread < 1e-9 else keys  # k and b both are x and a constant: one of them tells
    order = np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys)
    fresh = np.zeros(len(order), dtype=bool)
    fresh[:1] = True
    for key in keys:
        fresh[1:] |= np.diff(key[order]) != 0
    return np.split(order, np.flatnonzero(fresh)[1:])


def _shrunk(z: Floats) -> Floats:
    """(1 - e^-z) / z."""
    safe = np.where(np.abs(z) > 1e-12, z, 1.0)
    return np.where(np.abs(z) > 1e-12, -np.expm1(-safe) / safe, 1.0)


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
    r, alpha, a, b = params
    x, _, T, _ = rows
    alive = p_alive(params, rows, m)
    mean, squares, pairs = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    if horizon <= 0 or len(x) == 0:
        return Forecast(mean, squares, pairs, np.zeros(len(x)))
    h = min(horizon, _ENDLESS / delta) if delta > 0 else horizon
    A = alpha + T
    quick = _Quick(float(np.min(alpha)), h, delta, second, rough)
    for at in _alike(r + x, a, b + x + m):
        each = at[0]
        k, left, stay = (float(np.broadcast_to(value, x.shape)[each]) for value in (r + x, a, b + x + m))
        mean[at], squares[at], pairs[at], good = quick(k, left, stay, np.log1p(h / A[at]))
        if not good:
            some = [value[at] if np.ndim(value) else value for value in params]
            mean[at], squares[at], pairs[at] = _direct(some, rows.take(at), h, delta, second, rough, m)
    none = 1.0 if np.isinf(horizon) else -np.expm1(-(r + x) * np.log1p(horizon / A))
    return Forecast(alive * mean, alive * squares, alive * pairs, np.asarray(alive * none))


class _Quick:
    """The quick road: linear maps, the same for all x, from E_p at the nodes of y to series in Y = ln(1 + c)."""

    def __init__(self, alpha: float, h: float, delta: float, second: bool, rough: bool) -> None:
        nodes, self.step, self.limit = (32, 0.5, _LOOSE) if rough else (72, 0.25, _TIGHT)
        self.Y_max = float(np.log1p(h / alpha))
        grid = (_nodes(nodes) + 1) * (self.Y_max / 2)
        gauss, weight = legendre(32 if rough else 64)
        inner = np.outer(grid, (gauss + 1) / 2)
        basis = chebyshev.chebvander(2 * inner / self.Y_max - 1, nodes - 1)
        self.to_series = to_series = _series(np.eye(nodes))
        c_inner = np.expm1(inner)
        z = delta * h * c_inner / np.expm1(grid)[:, None]
        lift = np.exp(inner) * weight / 2

        def operator(kernel: Floats) -> Floats:
            return _series(np.einsum("jg,jgn->jn", lift * kernel, basis) @ to_series)

        self.first = operator(np.exp(-z))
        self.second = second
        if second:
            self.square = operator(np.exp(-2 * z))
            self.pair = operator(c_inner * np.exp(-z) * _shrunk(z))
        self.c = np.expm1(grid)

    def __call__(self, k: float, a: float, b: float, Y: Floats) -> tuple[Floats, Floats, Floats, bool]:
        p, q, weight = beta_rule(a, b, (k + 2) * max(float(self.c[0]), 1.0), self.step)
        growth = np.log1p(np.outer(self.c, p))
        at = np.clip(2 * Y / self.Y_max - 1, -1.0, 1.0)
        once = np.exp(-(k + 1) * growth) @ weight
        mean, good = self._read(self.first, once, at)
        if not self.second:
            zero = np.zeros(len(Y))
            return k * Y * mean, zero, zero, good
        square, good_square = self._read(self.square, once, at)
        pair, good_pair = self._read(self.pair, np.exp(-(k + 2) * growth) @ (weight * q), at)
        good = good and good_square and good_pair
        return k * Y * mean, k * Y * square, 2 * k * (k + 1) * Y * pair, good

    def _read(self, operator: Floats, inside: Floats, at: Floats) -> tuple[Floats, bool]:
        """The series' values, and whether both it and what was integrated end in coefficients that do not matter."""
        series = operator @ inside
        # The recurrence is lean on long columns; for a few customers one small matrix is quicker.
        matrix = np.cos(np.outer(np.arccos(at), np.arange(len(series)))) if len(at) <= 256 else None
        values = np.asarray(chebyshev.chebval(at, series) if matrix is None else matrix @ series, dtype=np.float64)
        end = max(np.abs(series[-4:]).max(), np.abs((self.to_series @ inside)[-4:]).max())
        return values, bool(end <= self.limit * np.abs(values).min(initial=np.inf))


def _direct(
    params: Params, rows: Rows, h: float, delta: float, second: bool, rough: bool, m: int
) -> tuple[Floats, Floats, Floats]:
    """The slow road, customer by customer, for one who is still there: an integral over p of one over time."""
    r, alpha, a, b = (np.broadcast_to(np.asarray(p, dtype=np.float64), np.shape(rows.x)) for p in params)
    k, c = r + rows.x, h / (alpha + rows.T)
    out = np.zeros((3, len(k)))
    step, gauss = (0.5, 10) if rough else (0.25, 48)
    for i in range(len(k)):
        tilt = float((k[i] + 2) * max(c[i], 1.0))
        p, q, weight = beta_rule(float(a[i]), float(b[i] + rows.x[i] + m), tilt, step)
        pc = np.maximum(p * c[i], 1e-290)
        out[0, i] = c[i] * (weight @ _over_time(k[i], pc, h * delta, gauss))
        if second:
            out[1, i] = c[i] * (weight @ _over_time(k[i], pc, 2 * h * delta, gauss))
            out[2, i] = c[i] ** 2 * ((weight * q) @ _pairs_over_time(k[i], pc, h * delta, gauss))
    return out[0], out[1], out[2]


def _over_time(k: float, q: Floats, z: float, gauss: int) -> Floats:
    r"""k \int_0^1 e^{-z s} (1 + q s)^{-(k+1)} ds, in w = ln(1 + q s)."""
    if z == 0:
        return np.asarray(-np.expm1(-k * np.log1p(q)) / q)
    w, weight, s = decaying_rule(k, q, z, gauss)
    return np.asarray(k / q * np.einsum("ng,ng->n", weight, np.exp(-k * w - z * s)))


def _pairs_over_time(k: float, q: Floats, z: float, gauss: int) -> Floats:
    r"""2 k (k+1) \int_0^1 s e^{-z s} (1 - e^{-z s}) / (z s) (1 + q s)^{-(k+2)} ds."""
    w, weight, s = decaying_rule(k + 1, q, z, gauss)
    inside = s * np.exp(-(k + 1) * w - z * s) * _shrunk(z * s)
    return np.asarray(2 * k * (k + 1) / q * np.einsum("ng,ng->n", weight, inside))


def survival(params: Params, rows: Rows, ahead: float, m: int = 0) -> Floats:
    """P(still a customer ``ahead`` after T) = P(alive at T) E_p[(1 + p c)^{-(r+x)}], c = ahead / (alpha + T)."""
    alive = p_alive(params, rows, m)
    if ahead <= 0:
        return alive
    r, alpha, a, b = (np.broadcast_to(np.asarray(p, dtype=np.float64), np.shape(rows.x)) for p in params)
    k, c = r + rows.x, ahead / (alpha + rows.T)
    left = b + rows.x + m
    out = np.empty(len(k))
    for at in _alike(k, a, left) if len(k) else []:
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
    alive = p_alive(params, rows, m)
    out = np.empty((len(x), most + 1))
    k, A, left = r + x, alpha + T, b + x + m
    share, log_none = horizon / (A + horizon), -k * np.log1p(horizon / A)
    with np.errstate(divide="ignore"):
        log_share = np.log(share)
    base = betaln(a, left)
    for n in range(most + 1):
        if n == 0:
            out[:, 0] = 1 - alive + alive * np.exp(log_none)
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
    return np.asarray(psi(r + rows.x) - alive * np.log(alpha + rows.T) - (1 - alive) * np.log(alpha + rows.t_x))


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
    h = min(horizon, _ENDLESS / delta) if delta > 0 else horizon
    there = rng.random(n) < p_alive(params, rows, m)
    rate = rng.gamma(r + rows.x, 1.0, n) / (alpha + rows.T)
    leaves = rng.beta(a, b + rows.x + m, n)
    fade = rate * leaves + delta
    expected = np.where(there, rate * h * _shrunk(fade * h), 0.0)
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
        for f in (log_likelihoods, rowwise, total, values, p_alive, survival, forecast, pmf, log_rate, simulate, ahead)
    }
    return Kernel(names=("r", "alpha", "a", "b"), time_power=(0, 1, 0, 0), **bound)


BG = _kernel(0)
MBG = _kernel(1)
