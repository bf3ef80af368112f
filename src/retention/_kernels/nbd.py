r"""NBD: everybody stays (Ehrenberg 1959, Applied Statistics 8(1); Morrison and Schmittlein 1988, JBES 6(2)).

She buys at random moments at her own constant rate, gamma(r, alpha) over customers, for ever. The likelihood of her
purchase times (a density of times as for every model here, not the probability of the count x, which is T^x / x! times
as large) is

    G(r+x)/G(r) alpha^r / (alpha + T)^{r+x}.

When she last bought makes no difference. Given her history her rate is gamma(r + x, alpha + T), and all answers are
closed forms. Digits are lost where log-gammas of huge arguments cancel: relative 1e-12 for r = 1e4.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, polygamma, psi

from retention._kernels.purchases import Ahead, Cells, Derivatives, Forecast, Kernel, Params, Rows, Total

__all__ = ["KERNEL"]

Floats = NDArray[np.float64]

_ENDLESS = 45.0  # discounted by e^-45, what lies beyond is below the last digit of a float
_MANY = 100_000  # simulated purchases of one customer, from which on their discounted sum is taken to be normal


def log_likelihoods(params: Params, rows: Rows) -> Floats:
    """Log-likelihood of each customer's purchase times."""
    r, alpha = params
    x, _, T, _ = rows
    return np.asarray(gammaln(r + x) - gammaln(r) - r * np.log1p(T / alpha) - x * np.log(alpha + T))


def rowwise(params: Params, rows: Rows) -> Derivatives:
    """Each customer's log-likelihood, gradient and Hessian by (log r, log alpha)."""
    r, alpha = (np.broadcast_to(np.asarray(p, dtype=np.float64), np.shape(rows.x)) for p in params)
    x, _, T, _ = rows
    k, share = r + x, alpha / (alpha + T)
    away = T / (alpha + T)
    g = np.stack([r * (psi(k) - psi(r) - np.log1p(T / alpha)), r * away - x * share])
    H = np.empty((2, 2, len(x)))
    H[0, 0] = g[0] + r**2 * (polygamma(1, k) - polygamma(1, r))
    H[0, 1] = H[1, 0] = r * away
    H[1, 1] = -k * share * away
    return log_likelihoods((r, alpha), rows), g, H


def total(params: Params, cells: Cells) -> Total:
    """Log-likelihood of a base, with its gradient and Hessian by ``(log r, log alpha)``; gamma functions once per x."""
    r, alpha = (float(p) for p in params)
    x, _, T, _ = cells.rows
    w = cells.weight
    xs, n = _distinct(cells)
    share = alpha / (alpha + T)
    log_age = np.log1p(T / alpha)

    def dot(a: Floats, b: Floats) -> float:
        return float(np.einsum("n,n->", a, b))

    N, events, ages = float(n.sum()), dot(n, xs), dot(w, log_age)
    away, bought = dot(w, 1 - share), dot(w, x * share)
    value = dot(n, gammaln(r + xs) - gammaln(r)) - r * ages - dot(w, x * log_age) - events * np.log(alpha)
    g = np.array([r * (dot(n, psi(r + xs) - psi(r)) - ages), r * away - bought])
    H = np.empty((2, 2))
    H[0, 0] = g[0] + r**2 * (dot(n, polygamma(1, r + xs)) - N * polygamma(1, r))
    H[0, 1] = H[1, 0] = r * away
    H[1, 1] = -dot(w, (r + x) * share * (1 - share))
    return float(value), g, H


def _distinct(cells: Cells) -> tuple[Floats, Floats]:
    """The distinct x with their weights; cells are sorted by x."""
    x, w = cells.rows.x, cells.weight
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))
    return x[begins], np.add.reduceat(w, begins) if len(x) else w


def values(matrix: Floats, cells: Cells) -> Floats:
    """Log-likelihood of a base at many parameter points, in blocks that stay in cache."""
    x, _, T, _ = cells.rows
    w = cells.weight
    xs, n = _distinct(cells)
    out = np.empty(len(matrix))
    step = max(1, 200_000 // max(len(x), 1))
    for start in range(0, len(matrix), step):
        r, alpha = (column[:, None] for column in matrix[start : start + step].T)
        by_x = gammaln(r + xs) - gammaln(r)
        by_row = -(r + x) * np.log1p(T / alpha) - x * np.log(alpha)
        out[start : start + step] = np.einsum("sx,x->s", by_x, n) + np.einsum("sn,n->s", by_row, w)
    return out


def p_alive(params: Params, rows: Rows) -> Floats:
    """1: nobody ever leaves."""
    return np.ones(len(rows.x))


def survival(params: Params, rows: Rows, ahead: float) -> Floats:
    """1: nobody ever leaves."""
    return np.ones(len(rows.x))


def _present_value(delta: float, horizon: float) -> float:
    """The integral of e^{-delta t} over the horizon."""
    if delta == 0 or delta * horizon < 1e-17:
        return horizon
    return float(-np.expm1(-delta * horizon) / delta)


def forecast(
    params: Params, rows: Rows, horizon: float, delta: float = 0.0, *, second: bool = False, rough: bool = False
) -> Forecast:
    r"""Purchases in ``(T, T + horizon]``: with k = r + x, A = alpha + T and V = \int_0^h e^{-delta t} dt

    mean = k V / A, squares the same at twice the rate, pairs = k (k+1) V^2 / A^2, any = 1 - (1 + h / A)^{-k}.
    """
    r, alpha = params
    n = len(rows.x)
    if horizon <= 0 or n == 0:
        return Forecast(*(np.zeros(n) for _ in range(4)))
    k, A = r + rows.x, alpha + rows.T
    once, twice = _present_value(delta, horizon), _present_value(2 * delta, horizon)
    some = -np.expm1(-k * np.log1p(horizon / A))
    zero = np.zeros(n)
    squares, pairs = (k * twice / A, k / A * once * (k + 1) / A * once) if second else (zero, zero)
    return Forecast(*(np.asarray(value, dtype=np.float64) for value in (k * once / A, squares, pairs, some)))


def pmf(params: Params, rows: Rows, horizon: float, most: int) -> Floats:
    """P(X = 0 .. most) in the horizon: negative binomial."""
    r, alpha = params
    k, A = r + rows.x, alpha + rows.T
    out = np.zeros((len(rows.x), most + 1))
    out[:, 0] = 1.0
    if horizon <= 0:
        return out
    log_p = -k * np.log1p(horizon / A)
    log_share = np.log(horizon / (A + horizon))
    for n in range(most + 1):
        if n:
            log_p = log_p + np.log((k + (n - 1)) / n) + log_share
        out[:, n] = np.exp(log_p)
    return out


def log_rate(params: Params, rows: Rows) -> Floats:
    """E[ln rate | her history]."""
    r, alpha = params
    return np.asarray(psi(r + rows.x) - np.log(alpha + rows.T))


def simulate(params: Params, T: Floats, rng: np.random.Generator) -> Rows:
    """Customers as the model makes them, watched for ``T``: the last of x uniform times is T times a beta(x, 1)."""
    r, alpha = params
    T = np.asarray(T, dtype=np.float64)
    x = rng.poisson(rng.gamma(r, 1.0, len(T)) / alpha * T).astype(np.float64)
    last = np.where(x > 0, T * rng.beta(np.maximum(x, 1.0), 1.0), 0.0)
    return Rows(x, last, T, np.zeros(len(T)))


def ahead(params: Params, rows: Rows, horizon: float, delta: float, rng: np.random.Generator) -> Ahead:
    """One future per customer: her rate, then a Poisson number of purchases at uniform times."""
    r, alpha = params
    n = len(rows.x)
    h = min(horizon, _ENDLESS / delta) if delta > 0 else horizon
    rate = rng.gamma(r + rows.x, 1.0, n) / (alpha + rows.T)
    once, twice = _present_value(delta, h), _present_value(2 * delta, h)
    counts = rng.poisson(rate * h).astype(np.float64)
    if delta == 0:
        return Ahead(counts, counts.copy(), rate * once)
    discounted = np.zeros(n)
    few = np.flatnonzero((counts > 0) & (counts <= _MANY))
    for some in np.array_split(few, max(1, int(counts[few].sum() // 5e6))):
        owner = np.repeat(some, counts[some].astype(np.int64))
        discounted += np.bincount(owner, np.exp(-delta * h * rng.random(len(owner))), n)
    many = counts > _MANY
    mean = once / h
    spread = np.sqrt(counts[many] * (twice / h - mean**2))
    discounted[many] = counts[many] * mean + spread * rng.standard_normal(int(many.sum()))
    return Ahead(counts, discounted, rate * once)


KERNEL = Kernel(
    names=("r", "alpha"),
    time_power=(0, 1),
    log_likelihoods=log_likelihoods,
    rowwise=rowwise,
    total=total,
    values=values,
    p_alive=p_alive,
    survival=survival,
    forecast=forecast,
    pmf=pmf,
    log_rate=log_rate,
    simulate=simulate,
    ahead=ahead,
)
