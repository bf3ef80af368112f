r"""(M)BG/CNBD-k: regular buyers (Platzer 2008; Reutterer, Platzer and Schroeder 2021, IJRM 38(1)).

Her clock ticks at her own rate lambda, gamma(r, alpha) over customers, and every k-th tick is a purchase: gaps are
Erlang-k, the more regular the larger k, with mean k / lambda. After a purchase she leaves with her own probability p,
beta(a, b); for ``m = 0`` (BG) only *repeat* purchases can be the last, for ``m = 1`` (MBG) the first one can be too.
k = 1 is (M)BG/NBD. With R = r + k x, u = T - t_x, w = u / (alpha + T) and

    S = (1 - w)^R Q,   Q = \sum_{j<k} (R)_j / j! w^j            (a gap longer than u; (R)_j a rising factorial)

the likelihood of her gaps is, with odds = a / (b + x - 1 + m), or 0 if she could not have left,

    \prod gaps^{k-1} / (k-1)!^x  G(R)/G(r) alpha^r (alpha + t_x)^{-R}  B(a, b+x+m)/B(a, b)  (S + odds).

Models of different k compare only with the product of the gaps in it: ``rows.log_gaps`` is the sum of their logs. It
holds no parameter and enters *linearly*, so a base is merged without it, and its sum is added back as so much per
purchase (``blended``): sums over the base are exact, and a fit touches no more cells than BG/NBD's.

All sums are of positive terms, in logs where they are large. Digits are lost where log-gammas of huge arguments
cancel: about 1e-11 absolute for x = 10,000, and as much, relative, for parameters of 1e4.
"""

from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, gammaln, polygamma, psi

from retention._kernels import renewal
from retention._kernels.purchases import Ahead, Cells, Derivatives, Forecast, Kernel, Params, Rows, Total, merge

__all__ = ["blended", "kernel"]

Floats = NDArray[np.float64]

_BLOCK = 8192  # rows at a time: temporaries stay in cache


def blended(rows: Rows, weight: Floats | None = None, *, which: bool = True) -> Cells:
    """Merge customers who are alike but for ``log_gaps``, which becomes the same for every purchase of the base.

    Exact for ``total`` and ``values``, whose sums are linear in it, and for forecasts, which do not read it. The
    log-likelihood of a single customer needs her own.
    """
    cells = merge(rows, weight, which=which)
    purchases = float(np.einsum("n,n->", cells.weight, cells.rows.x))
    logs = float(np.sum(rows.log_gaps if weight is None else weight * rows.log_gaps))
    each = logs / purchases if purchases else 0.0
    return cells._replace(rows=cells.rows._replace(log_gaps=cells.rows.x * each))


def _could_leave(x: Floats, m: int) -> Any:
    return np.ones(np.shape(x), dtype=bool) if m else x > 0


def _softplus(D: Floats) -> Floats:
    return np.asarray(np.maximum(D, 0.0) + np.log1p(np.exp(-np.abs(D))))


def _sigmoid(D: Floats) -> Floats:
    small = np.exp(-np.abs(D))
    return np.where(D >= 0, 1.0, small) / (1.0 + small)


def _phases(R: Any, w: Floats, k: int) -> Floats:
    """Q - 1: the sum over 0 < j < k of (R)_j / j! w^j, by Horner."""
    more = np.zeros(np.shape(w))
    for j in range(k - 1, 0, -1):
        more = np.asarray((R + (j - 1)) / j * w * (1.0 + more))
    return more


def _log_silence(R: Any, alpha: Any, t_x: Floats, T: Floats, k: int) -> Floats:
    """ln S = ln P(her next gap is longer than T - t_x)."""
    u = T - t_x
    return np.asarray(np.log1p(_phases(R, u / (alpha + T), k)) - R * np.log1p(u / (alpha + t_x)))


def _log_odds_dead(params: Params, x: Floats, m: int, could: Any) -> Floats:
    """ln(odds): of having left after the last purchase, before the silence since then is looked at."""
    _, _, a, b = params
    return np.asarray(np.log(a) - np.log(np.where(could, b + x - 1 + m, 1.0)))


def _by_x(params: Params, x: Floats, k: int, m: int) -> Floats:
    """The part of the log-likelihood that depends on x alone."""
    r, _, a, b = params
    return np.asarray(gammaln(r + k * x) - gammaln(r) - x * gammaln(k) + betaln(a, b + x + m) - betaln(a, b))


def log_likelihoods(params: Params, rows: Rows, k: int, m: int) -> Floats:
    """Log-likelihood of each customer's gaps."""
    r, alpha, a, b = params
    x, t_x, T, log_gaps = rows
    could = _could_leave(x, m)
    log_S = _log_silence(r + k * x, alpha, t_x, T, k)
    log_odds = _log_odds_dead(params, x, m, could)
    ends = np.where(could, log_odds + _softplus(log_S - log_odds), log_S)
    out = _by_x(params, x, k, m) - r * np.log1p(t_x / alpha) - k * x * np.log(alpha + t_x) + (k - 1) * log_gaps + ends
    if not np.any(x == 0):
        return np.asarray(out)
    # Without a repeat purchase all but 1 - S cancels, and that, or the share of it, may be tiny.
    short = np.where(alpha > T, betainc(float(k), r, np.minimum(T / (alpha + T), 0.5)), -np.expm1(log_S))
    short = np.where(short > 0.5, -np.expm1(np.minimum(log_S, 0.0)), short) * (b / (a + b) if m else 1.0)
    return np.where((x == 0) & (short < 0.5), np.log1p(-np.minimum(short, 0.5)), out)


def _moving(params: Params, rows: Rows, k: int, m: int) -> Derivatives:
    """Value, gradient and Hessian, by log-parameters, of the part that depends on more than x; without ``log_gaps``."""
    r, alpha, _, b = params
    x, t_x, T, _ = rows
    n = len(x)
    R, u = r + k * x, T - t_x
    at_T, at_t = alpha / (alpha + T), alpha / (alpha + t_x)
    w = u / (alpha + T)
    # Sums over j of t_j = (R)_j / j! w^j times 1, j, j^2, h, h^2 - g, j h, where h and h^2 - g are (R)_j'/(R)_j and
    # (R)_j''/(R)_j.
    t, h, g = np.ones(n), np.zeros(n), np.zeros(n)
    Q, J, JJ, H1, HH, JH = np.ones(n), *(np.zeros(n) for _ in range(5))
    for j in range(1, k):
        step = R + (j - 1)
        t = t * step / j * w
        h = h + 1 / step
        g = g + 1 / step**2
        Q += t
        J += j * t
        JJ += j * j * t
        H1 += h * t
        HH += (h * h - g) * t
        JH += j * h * t
    J, JJ, H1, HH, JH = J / Q, JJ / Q, H1 / Q, HH / Q, JH / Q
    long = np.log1p(u / (alpha + t_x))
    log_S = np.log(Q) - R * long
    by_R = H1 - long
    by_alpha = -at_T * J - R * (at_T - at_t)
    both = -at_T * (JH - J * H1) - (at_T - at_t)
    bend = at_T**2 * (JJ - J**2) - at_T * (1 - at_T) * J - R * (at_T * (1 - at_T) - at_t * (1 - at_t))

    could = _could_leave(x, m)
    log_odds = _log_odds_dead(params, x, m, could)
    E = log_S - log_odds
    there = np.where(could, _sigmoid(E), 1.0)
    gone = np.where(could, 1 - there, 0.0)
    slant = b / np.where(could, b + x - 1 + m, 1.0)
    value = np.where(could, log_odds + _softplus(E), log_S)
    value += -r * np.log1p(t_x / alpha) - k * x * np.log(alpha + t_x)
    E1 = (r * by_R, by_alpha, np.full(n, -1.0), slant)
    gradient = np.empty((4, n))
    gradient[0] = there * E1[0] - r * np.log1p(t_x / alpha)
    gradient[1] = there * E1[1] + r - R * at_t
    gradient[2] = gone
    gradient[3] = -gone * slant
    hessian = np.empty((4, 4, n))
    doubt = there * gone
    for i in range(4):
        for j in range(i, 4):
            hessian[i, j] = hessian[j, i] = doubt * E1[i] * E1[j]
    hessian[0, 0] += there * (r * r * (HH - H1**2) + r * by_R) - r * np.log1p(t_x / alpha)
    cross = there * r * both + r * (1 - at_t)
    hessian[0, 1] += cross
    hessian[1, 0] += cross
    hessian[1, 1] += there * bend - R * at_t * (1 - at_t)
    hessian[3, 3] += -gone * slant * (1 - slant)
    return value, gradient, hessian


def _fixed(params: Params, x: Floats, k: int, m: int) -> Derivatives:
    """Value, gradient and Hessian, by log-parameters, of the part that depends on x alone."""
    r, _, a, b = params
    R, n = r + k * x, len(x)
    gradient, hessian = np.zeros((4, n)), np.zeros((4, 4, n))
    gradient[0] = r * (psi(R) - psi(r))
    ab = psi(a + b) - psi(a + b + x + m)
    gradient[2] = a * ab
    gradient[3] = b * (ab + psi(b + x + m) - psi(b))
    bend = polygamma(1, a + b) - polygamma(1, a + b + x + m)
    hessian[0, 0] = r * r * (polygamma(1, R) - polygamma(1, r)) + gradient[0]
    hessian[2, 2] = a * a * bend + gradient[2]
    hessian[2, 3] = hessian[3, 2] = a * b * bend
    hessian[3, 3] = b * b * (bend + polygamma(1, b + x + m) - polygamma(1, b)) + gradient[3]
    return _by_x(params, x, k, m), gradient, hessian


def rowwise(params: Params, rows: Rows, k: int, m: int) -> Derivatives:
    """Each customer's log-likelihood, gradient and Hessian by (log r, log alpha, log a, log b)."""
    wide = tuple(np.broadcast_to(np.asarray(p, dtype=np.float64), np.shape(rows.x)) for p in params)
    _, gradient, hessian = _moving(wide, rows, k, m)
    _, g, H = _fixed(wide, rows.x, k, m)
    return log_likelihoods(wide, rows, k, m), gradient + g, hessian + H


def _distinct(cells: Cells) -> tuple[Floats, Floats]:
    """The distinct x with their weights; cells are sorted by x."""
    x, w = cells.rows.x, cells.weight
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))
    return x[begins], np.add.reduceat(w, begins) if len(x) else w


def total(params: Params, cells: Cells, k: int, m: int) -> Total:
    """Log-likelihood of a base, with its gradient and Hessian by ``(log r, log alpha, log a, log b)``.

    Gamma functions once per distinct x, the rest cell by cell.
    """
    params = tuple(float(p) for p in params)
    xs, n = _distinct(cells)
    w = cells.weight
    pieces = [(n, _fixed(params, xs, k, m))]
    pieces += [
        (w[at], _moving(params, cells.rows.take(at), k, m))
        for at in (slice(start, start + _BLOCK) for start in range(0, len(w), _BLOCK))
    ]
    value = (k - 1) * float(np.einsum("n,n->", w, cells.rows.log_gaps))
    gradient, hessian = np.zeros(4), np.zeros((4, 4))
    for weight, (v, g, H) in pieces:
        value += float(np.einsum("n,n->", weight, v))
        gradient += np.einsum("n,in->i", weight, g)
        hessian += np.einsum("n,ijn->ij", weight, H)
    return value, gradient, hessian


def values(matrix: Floats, cells: Cells, k: int, m: int) -> Floats:
    """Log-likelihood of a base at many parameter points."""
    xs, n = _distinct(cells)
    x, t_x, T, log_gaps = cells.rows
    w, could = cells.weight, _could_leave(cells.rows.x, m)
    gaps = (k - 1) * float(np.einsum("n,n->", w, log_gaps))
    out = np.empty(len(matrix))
    for i, (r, alpha, a, b) in enumerate(matrix.tolist()):
        params = (r, alpha, a, b)
        log_S = _log_silence(r + k * x, alpha, t_x, T, k)
        log_odds = _log_odds_dead(params, x, m, could)
        ends = np.where(could, log_odds + _softplus(log_S - log_odds), log_S)
        ends -= r * np.log1p(t_x / alpha) + k * x * np.log(alpha + t_x)
        out[i] = gaps + float(np.einsum("n,n->", n, _by_x(params, xs, k, m)) + np.einsum("n,n->", w, ends))
    return out


def p_alive(params: Params, rows: Rows, k: int, m: int) -> Floats:
    """Probability of still being a customer at T, S / (S + odds); for m = 0 exactly 1 without a repeat purchase."""
    r, alpha, _, _ = params
    could = _could_leave(rows.x, m)
    log_S = _log_silence(r + k * rows.x, alpha, rows.t_x, rows.T, k)
    return np.where(could, _sigmoid(log_S - _log_odds_dead(params, rows.x, m, could)), 1.0)


def _p_gone(params: Params, rows: Rows, k: int, m: int) -> Floats:
    """1 - ``p_alive``, with all its digits when it is small."""
    could = _could_leave(rows.x, m)
    log_S = _log_silence(params[0] + k * rows.x, params[1], rows.t_x, rows.T, k)
    return np.where(could, _sigmoid(_log_odds_dead(params, rows.x, m, could) - log_S), 0.0)


def _shares(R: Floats, w: Floats, k: int) -> Floats:
    """P(j ticks since the last purchase | still there), j = 0 .. k - 1, one row each."""
    t = np.ones((k, len(w)))
    for j in range(1, k):
        t[j] = t[j - 1] * ((R + (j - 1)) / j * w)
    return np.asarray(t / t.sum(axis=0))


def _given_there(params: Params, rows: Rows, k: int, m: int) -> renewal.There:
    """What is known of a customer who is still there."""
    r, alpha, a, b = (np.broadcast_to(np.asarray(p, dtype=np.float64), np.shape(rows.x)) for p in params)
    R = r + k * rows.x
    return renewal.There(R, alpha + rows.T, a, b + rows.x + m, _shares(R, (rows.T - rows.t_x) / (alpha + rows.T), k))


def _any(there: renewal.There, rows: Rows, alpha: Any, horizon: float, k: int) -> Floats:
    """P(a purchase in the horizon | still there) = 1 - S(u + h) / S(u), by its positive terms where it is small."""
    if np.isinf(horizon):
        return np.ones(len(rows.x))
    R, A = there.shape, there.rate
    u, c = rows.T - rows.t_x, horizon / A
    log_none = np.log1p(_phases(R, (u + horizon) / (A + horizon), k)) - np.log1p(_phases(R, u / A, k)) - R * np.log1p(c)
    out = np.asarray(-np.expm1(np.minimum(log_none, 0.0)))
    small = np.flatnonzero(out < 0.01)
    if len(small):
        share = horizon / (A[small] + horizon)
        out[small] = sum(there.ticks[j, small] * betainc(float(k - j), R[small] + j, share) for j in range(k))
    return out


def forecast(
    params: Params,
    rows: Rows,
    horizon: float,
    delta: float = 0.0,
    *,
    second: bool = False,
    rough: bool = False,
    k: int,
    m: int,
) -> Forecast:
    r"""Purchases in ``(T, T + horizon]``, discounted continuously at ``delta`` per time unit: exact, for any k.

    The papers use an approximation. But given a customer who is still there after j ticks since her last purchase (a
    truncated Poisson law), her rate is gamma(R + j, alpha + T), her p is beta(a, b + x + m) and the ticks go on: what
    she buys is a Markov chain of k states, and :mod:`retention._kernels.renewal` averages it over both. Relative error
    below 1e-9, ``rough`` 1e-5.
    """
    n = len(rows.x)
    if horizon <= 0 or n == 0:
        return Forecast(*(np.zeros(n) for _ in range(4)))
    alive, there = p_alive(params, rows, k, m), _given_there(params, rows, k, m)
    mean, squares, pairs = renewal.moments(there, k, horizon, delta, second=second, rough=rough)
    some = _any(there, rows, params[1], horizon, k)
    return Forecast(alive * mean, alive * squares, alive * pairs, np.asarray(alive * some))


def survival(params: Params, rows: Rows, ahead: float, k: int, m: int) -> Floats:
    """P(still a customer ``ahead`` after T)."""
    alive = p_alive(params, rows, k, m)
    return alive if ahead <= 0 else np.asarray(alive * renewal.staying(_given_there(params, rows, k, m), k, ahead))


def pmf(params: Params, rows: Rows, horizon: float, most: int, k: int, m: int) -> Floats:
    r"""P(X = 0 .. most) in the horizon, given her history.

    K ticks between t_x and T + h are negative binomial; the first u of that time held fewer than k of them, a binomial
    tail; n purchases would follow if n k <= K < (n+1) k. Either she stayed after all n, B(a, b'+n)/B(a, b'), or left
    with the n-th, B(a+1, b'+n-1)/B(a, b') times P(n or more). All terms are positive.
    """
    alive, there = p_alive(params, rows, k, m), _given_there(params, rows, k, m)
    out = np.zeros((len(rows.x), most + 1))
    out[:, 0] = 1.0
    if horizon <= 0 or len(out) == 0:
        return out
    R, A, a, b = there.shape, there.rate, there.a, there.b
    u = rows.T - rows.t_x
    log_W = np.log((u + horizon) / (A + horizon))
    later = horizon / (u + horizon)
    log_ticks = -R * np.log1p(horizon / A) - np.log1p(_phases(R, u / A, k))
    would = np.zeros((most + 1, len(out)))
    for K in range((most + 1) * k):
        if K:
            log_ticks = log_ticks + np.log((R + (K - 1)) / K) + log_W
        first = 1.0 if k > K else betainc(float(K - k + 1), float(k), later)
        would[K // k] += np.exp(log_ticks) * first
    share = horizon / (A + horizon)
    beyond = sum(there.ticks[j] * betainc(float((most + 1) * k - j), R + j, share) for j in range(k))
    at_least = np.cumsum(np.concatenate([np.atleast_2d(beyond), would[::-1]]), axis=0)[:0:-1]  # P(n or more)
    out[:, 0] = _p_gone(params, rows, k, m) + alive * would[0]
    stayed = np.ones(len(out))
    for n in range(1, most + 1):
        whole = a + b + (n - 1)
        out[:, n] = alive * stayed * (a / whole * at_least[n] + (b + (n - 1)) / whole * would[n])
        stayed = stayed * (b + (n - 1)) / whole
    return out


def log_rate(params: Params, rows: Rows, k: int, m: int) -> Floats:
    """E[ln(lambda / k) | her history]: the log of purchases a time unit while she is a customer."""
    alive, there = p_alive(params, rows, k, m), _given_there(params, rows, k, m)
    R, more, ticks = there.shape, np.zeros(len(rows.x)), np.zeros(len(rows.x))
    for j in range(1, k):
        ticks = ticks + 1 / (R + (j - 1))
        more += there.ticks[j] * ticks
    mine = alive * (more - np.log(there.rate)) - (1 - alive) * np.log(params[1] + rows.t_x)
    return np.asarray(psi(R) + mine - np.log(k))


def simulate(params: Params, T: Floats, rng: np.random.Generator, k: int, m: int) -> Rows:
    """Customers as the model makes them, watched for ``T`` from their first purchase."""
    r, alpha, a, b = params
    n = len(T)
    rate, leaves = rng.gamma(r, 1.0, n) / alpha, rng.beta(a, b, n)
    stays = rng.random(n) >= leaves if m else np.ones(n, dtype=bool)
    x, last, log_gaps, clock = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    going = np.flatnonzero(stays & (rate > 0))
    while len(going):
        gap = rng.gamma(k, 1.0, len(going)) / rate[going]
        clock[going] += gap
        inside = clock[going] <= T[going]
        going, gap = going[inside], gap[inside]
        x[going] += 1
        last[going] = clock[going]
        log_gaps[going] += np.log(gap)
        going = going[rng.random(len(going)) >= leaves[going]]
    return Rows(x, last, np.asarray(T, dtype=np.float64), log_gaps)


def ahead(params: Params, rows: Rows, horizon: float, delta: float, rng: np.random.Generator, k: int, m: int) -> Ahead:
    """One future per customer: draw whether she is there, her ticks so far, rate and drop-out, then let her buy.

    ``expected`` knows all of these, the ticks since her last purchase too.
    """
    n = len(rows.x)
    alive, there = p_alive(params, rows, k, m), _given_there(params, rows, k, m)
    h = min(horizon, 45.0 / delta) if delta > 0 else horizon
    present = rng.random(n) < alive
    ticks = np.minimum((rng.random(n) > np.cumsum(there.ticks, axis=0)).sum(axis=0), k - 1)
    rate = rng.gamma(there.shape + ticks, 1.0, n) / there.rate
    leaves = rng.beta(there.a, there.b, n)
    expected = np.where(present, renewal.expected(k, rate, leaves, ticks, h, delta), 0.0)
    counts, discounted, clock = np.zeros(n), np.zeros(n), np.zeros(n)
    going, needed = np.flatnonzero(present & (rate > 0)), k - ticks
    while len(going):
        clock[going] += rng.gamma(needed[going], 1.0) / rate[going]
        needed[going] = k
        going = going[clock[going] <= h]
        counts[going] += 1
        discounted[going] += np.exp(-delta * clock[going])
        going = going[rng.random(len(going)) >= leaves[going]]
    return Ahead(counts, discounted, expected)


@cache
def kernel(k: int, m: int) -> Kernel:
    """The kernel of BG/CNBD-k (m = 0) or MBG/CNBD-k (m = 1)."""
    functions = (log_likelihoods, rowwise, total, values, p_alive, survival, forecast, pmf, log_rate, simulate, ahead)
    bound: dict[str, Any] = {f.__name__: partial(f, k=k, m=m) for f in functions}
    return Kernel(names=("r", "alpha", "a", "b"), time_power=(0, 1, 0, 0), uses_gaps=True, **bound)
