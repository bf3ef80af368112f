"""The BG/NBD model of repeat purchases (Fader, Hardie and Lee 2005, Marketing Science 24(2)).

While she is a customer she buys at her own constant rate, gamma(r, alpha) over customers; after each *repeat*
purchase she leaves with her own probability, beta(a, b) over customers. One customer is known by her repeat
purchases ``x``, the time ``t_x`` of the last one and the time ``T`` she has been watched, all counted from her first
purchase, in one time unit that is also the unit of ``alpha``.

Nothing here uses a hypergeometric function. Forecasts use that, given a customer who is still there, her rate and
her dropout probability are independent, gamma(r + x, alpha + T) and beta(a, b + x); with
``y = log(1 + v / (alpha + T))`` for a time ``v`` ahead, all integrands are analytic in a strip of width pi around
the real axis, so that short Chebyshev series hold them to nearly all digits, at a = 1 as anywhere else.
"""

from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, polygamma, psi

__all__ = ["Cells", "Forecast", "Params", "forecast", "log_likelihoods", "merge", "p_alive", "total"]

Floats = NDArray[np.float64]


class Params(NamedTuple):
    """The four parameters; ``alpha`` in the time unit of the data."""

    r: float
    alpha: float
    a: float
    b: float


class Cells(NamedTuple):
    """Distinct rows (x, t_x, T), sorted, with how many customers share each."""

    x: Floats
    t_x: Floats
    T: Floats
    weight: Floats
    which: NDArray[np.intp]


class Forecast(NamedTuple):
    """What lies ahead, per customer; discounted to today if a rate was given.

    ``mean`` is E[sum of d_i] over her purchases in the horizon, ``squares`` E[sum of d_i^2], ``pairs``
    E[sum over i != j of d_i d_j], where d_i is the discount factor of purchase i; ``any`` the probability of at
    least one purchase. ``squares`` and ``pairs`` give the variance of any sum of money over the purchases.
    """

    mean: Floats
    squares: Floats
    pairs: Floats
    any: Floats


def merge(x: Floats, t_x: Floats, T: Floats) -> Cells:
    """Merge identical customers: exact, and the sum over cells no longer depends on the order of the rows.

    ``which`` gives each row's cell. Bases counted in whole days shrink three- to tenfold.
    """
    codes, spans = [], []
    for values in (x, t_x, T):
        top = int(values.max(initial=0.0))
        if top < 2_000_000 and np.array_equal(values, np.trunc(values)):
            codes.append(values.astype(np.int64))
        else:
            distinct, code = np.unique(values, return_inverse=True)
            top = len(distinct)
            codes.append(code.astype(np.int64))
        spans.append(top + 1)
    if float(spans[0]) * spans[1] * spans[2] < 2.0**62:
        key = (codes[0] * spans[1] + codes[1]) * spans[2] + codes[2]
        order = np.argsort(key, kind="stable")
        fresh = np.diff(key[order], prepend=-1) != 0
    else:
        order = np.lexsort(codes[::-1])
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = np.any([np.diff(code[order]) != 0 for code in codes], axis=0)
    first = order[fresh]
    which = np.empty(len(order), dtype=np.intp)
    which[order] = np.cumsum(fresh) - 1
    weight = np.bincount(which, minlength=len(first)).astype(np.float64)
    return Cells(x[first], t_x[first], T[first], weight, which)


def _dead_odds(params: Params, x: Floats, t_x: Floats, T: Floats) -> tuple[Floats, Floats]:
    """(u, D): u = log((alpha+T)/(alpha+t_x)); D = the log odds of having left after the last purchase, x > 0."""
    r, alpha, a, b = params
    u = np.log1p((T - t_x) / (alpha + t_x))
    return u, (r + x) * u + np.log(a) - np.log(b + x - 1)


def _softplus(D: Floats) -> Floats:
    return np.asarray(np.maximum(D, 0.0) + np.log1p(np.exp(-np.abs(D))))


def _sigmoid(D: Floats) -> Floats:
    small = np.exp(-np.abs(D))
    return np.where(D >= 0, 1.0, small) / (1.0 + small)


def log_likelihoods(params: Params, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """Log-likelihood of each customer.

    Equation 6 of the paper, in logs throughout: the two ways to have seen nothing since ``t_x`` (still there, or
    gone after the last purchase) are added as a softplus, so x in the thousands neither overflows nor cancels.
    """
    r, alpha, a, b = params
    out = gammaln(r + x) - gammaln(r) - r * np.log1p(T / alpha) - x * np.log(alpha + T)
    out = np.asarray(out + betaln(a, b + x) - betaln(a, b))
    bought = x > 0
    if np.any(bought):
        _, D = _dead_odds(params, x[bought], t_x[bought], T[bought])
        out[bought] += _softplus(D)
    return out


def _dot(a: Floats, b: Floats) -> float:
    """A dot product without BLAS, whose threads cost more than they bring on vectors of this size."""
    return float(np.einsum("i,i->", a, b))


def total(params: Params, cells: Cells) -> tuple[float, Floats, Floats]:
    """Log-likelihood of a base, with its gradient and Hessian by ``(log r, log alpha, log a, log b)``.

    Everything that depends on x alone is computed once per distinct x; only the softplus term needs every cell.
    """
    r, alpha, a, b = params
    x, t_x, T, w, _ = cells
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))  # cells are sorted by x
    xs, n = x[begins], np.add.reduceat(w, begins) if len(x) else w
    log_T = np.log(alpha + T)
    inv_T = 1 / (alpha + T)
    N, nx = float(n.sum()), float(n @ xs)
    rx = r + x

    value = float(n @ (gammaln(r + xs) - gammaln(r) + betaln(a, b + xs) - betaln(a, b)))
    value += _dot(w, r * np.log(alpha) - rx * log_T)
    ab = n @ (psi(a + b) - psi(a + b + xs))
    g = np.array(
        [
            n @ (psi(r + xs) - psi(r)) + N * np.log(alpha) - _dot(w, log_T),
            N * r / alpha - _dot(w, rx * inv_T),
            ab,
            ab + n @ (psi(b + xs) - psi(b)),
        ]
    )
    H = np.zeros((4, 4))
    H[0, 0] = n @ (polygamma(1, r + xs) - polygamma(1, r))
    H[0, 1] = N / alpha - _dot(w, inv_T)
    H[1, 1] = -N * r / alpha**2 + _dot(w, rx * inv_T**2)
    H[2, 2] = H[2, 3] = n @ (polygamma(1, a + b) - polygamma(1, a + b + xs))
    H[3, 3] = H[2, 3] + n @ (polygamma(1, b + xs) - polygamma(1, b))

    if nx > 0:
        bought = x > 0
        x, t_x, T, w, rx, inv_T = x[bought], t_x[bought], T[bought], w[bought], rx[bought], inv_T[bought]
        u, D = _dead_odds(params, x, t_x, T)
        dead = _sigmoid(D)
        inv_t = 1 / (alpha + t_x)
        slope = inv_T - inv_t
        inv_b = 1 / (b + x - 1)
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
    theta = np.array(params)
    return value, g * theta, H * np.outer(theta, theta) + np.diag(g * theta)


def p_alive(params: Params, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """Probability of still being a customer at T: exactly 1 without a repeat purchase, for nobody leaves before one."""
    out = np.ones(np.shape(x))
    bought = x > 0
    _, D = _dead_odds(params, x[bought], t_x[bought], T[bought])
    out[bought] = _sigmoid(-D)
    return out


def _beta_rule(a: float, b: float, nodes: int) -> tuple[Floats, Floats, Floats]:
    """(p, 1 - p, weights) for expectations over beta(a, b): the trapezoidal rule, double-exponential in logit(p).

    Spacing follows the density's own width around its middle, and the tails, however slow at a or b near 0, are
    reached in a few steps because sinh stretches them.
    """
    middle = np.log(a / b)
    width = min(1.0, float(np.sqrt(1 / a + 1 / b)))
    left, right = (float(np.arcsinh(max(45.0 / side, 9.0 * width) / width)) for side in (a, b))
    s = np.linspace(-left, right, nodes)
    w = middle + width * np.sinh(s)
    log_p, log_q = -np.logaddexp(0.0, -w), -np.logaddexp(0.0, w)
    log_density = a * log_p + b * log_q
    weight = np.exp(log_density - log_density.max()) * np.cosh(s)
    return np.exp(log_p), np.exp(log_q), weight / weight.sum()


def _series(values: Floats) -> Floats:
    """The linear map from values at Chebyshev nodes (of ``_nodes``) to the coefficients, applied to ``values``."""
    n = len(values)
    k = np.arange(n)
    angles = np.pi * (k + 0.5) / n
    table = 2.0 / n * np.cos(np.outer(k, angles))
    table[0] /= 2
    return np.asarray(table @ values)


def _nodes(n: int) -> Floats:
    return np.cos(np.pi * (np.arange(n) + 0.5) / n)


def forecast(
    params: Params,
    x: Floats,
    t_x: Floats,
    T: Floats,
    horizon: float,
    delta: float = 0.0,
    *,
    second: bool = False,
    nodes: int = 72,
    beta_nodes: int = 320,
) -> Forecast:
    r"""Purchases in ``(T, T + horizon]``, discounted continuously at ``delta`` per time unit.

    With k = r + x and p ~ beta(a, b + x), for a customer who is still there (0 otherwise)

    mean  = k \int_0^Y e^{y - delta v} E_p[(1 + p c)^{-(k+1)}] dy,   c = e^y - 1, v = (alpha + T) c
    pairs = 2 k (k+1) \int_0^Y c e^{y - delta v} \frac{1 - e^{-delta v}}{delta v} E_p[(1-p)(1 + p c)^{-(k+2)}] dy

    with Y = log(1 + horizon / (alpha + T)). For a given horizon these are functions of (x, Y) with Y between 0 and
    log(1 + horizon / alpha): one Chebyshev series in Y for each distinct x, whoever else is in the base, so one
    customer gets the same digits alone and among a million. ``squares`` and ``pairs`` are 0 unless ``second``.
    With the default nodes the relative error of ``mean`` stays below 1e-10; fewer nodes are for averages over
    parameter draws. A horizon of 0 gives exactly 0.
    """
    count = len(x)
    alive = p_alive(params, x, t_x, T)
    mean, squares, pairs = np.zeros(count), np.zeros(count), np.zeros(count)
    if horizon <= 0 or count == 0:
        return Forecast(mean, squares, pairs, np.zeros(count))
    r, alpha, a, b = params
    Y_max = float(np.log1p(horizon / alpha))
    Y = np.log1p(horizon / (alpha + T))
    z = np.clip(2 * Y / Y_max - 1, -1.0, 1.0)

    # Linear maps from the values of E_p at the nodes of y to the series in Y of (integral / Y): the same for all x.
    grid = (_nodes(nodes) + 1) * (Y_max / 2)
    gauss, gauss_weight = np.polynomial.legendre.leggauss(32)
    inner = np.outer(grid, (gauss + 1) / 2)
    basis = chebyshev.chebvander(2 * inner / Y_max - 1, nodes - 1)
    c_inner = np.expm1(inner)
    v = horizon * c_inner / np.expm1(grid)[:, None]
    lift = np.exp(inner) * gauss_weight / 2

    def operator(kernel: Floats) -> Floats:
        return _series(np.einsum("jg,jgn->jn", lift * kernel, basis) @ _series(np.eye(nodes)))

    first_map = operator(np.exp(-delta * v))
    if second:
        gap = delta * v
        average = np.where(gap > 1e-12, -np.expm1(-gap) / np.where(gap > 1e-12, gap, 1.0), 1.0)
        square_map = operator(np.exp(-2 * gap))
        pair_map = operator(c_inner * np.exp(-gap) * average)

    c = np.expm1(grid)
    order = np.argsort(x, kind="stable")
    xs, begins = np.unique(x[order], return_index=True)
    for each, rows in zip(xs.tolist(), np.split(order, begins[1:]), strict=True):
        k = r + each
        p, q, weight = _beta_rule(a, b + each, beta_nodes)
        growth = np.log1p(np.outer(c, p))
        at, far, there = z[rows], Y[rows], alive[rows]
        once = np.exp(-(k + 1) * growth) @ weight
        mean[rows] = there * k * far * chebyshev.chebval(at, first_map @ once)
        if second:
            twice = np.exp(-(k + 2) * growth) @ (weight * q)
            squares[rows] = there * k * far * chebyshev.chebval(at, square_map @ once)
            pairs[rows] = there * 2 * k * (k + 1) * far * chebyshev.chebval(at, pair_map @ twice)
    return Forecast(mean, squares, pairs, alive * -np.expm1(-(r + x) * Y))
