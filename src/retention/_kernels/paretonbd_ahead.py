"""What is ahead of a Pareto/NBD customer: forecasts, counts and simulated futures."""

from collections.abc import Sequence

import numpy as np
from scipy.special import exprel

from retention._kernels.paretonbd_integrals import FINE, ROUGH, WIDTH, other, panels, remaining
from retention._kernels.paretonbd_likelihood import first_purchase, outcomes, p_alive, seen, spread
from retention._kernels.purchases import Ahead, Cells, Floats, Forecast, Params, Rows, levels

__all__ = ["ahead", "forecast", "pmf", "simulate", "together"]


def forecast(
    params: Params, rows: Rows, horizon: float, delta: float = 0.0, second: bool = False, rough: bool = False
) -> Forecast:
    r"""Purchases in ``(T, T + horizon]``, discounted continuously at ``delta`` per time unit.

    With k = r + x, A = alpha + T, B = beta + T, for a customer who is still there (0 otherwise)

    mean  = k / A \int_0^h e^{-delta v} (1 + v/B)^{-s} dv
    pairs = k (k+1) / A^2 \int_0^h 2 e^{-delta v} \frac{1 - e^{-delta v}}{delta} (1 + v/B)^{-s} dv
    any   = k \int_0^h A^k (A+v)^{-k-1} (1 + v/B)^{-s} dv

    The first two integrals depend on T alone, the third on x and T: customers share them. With an infinite horizon
    ``mean`` is the DERT of Fader, Hardie and Lee (2005, JMR 42(4)).
    """
    n = len(rows.x)
    if horizon <= 0 or n == 0:
        return Forecast(*(np.zeros(n) for _ in range(4)))
    rule = ROUGH if rough else FINE
    whole, still = seen(params, rows, rule)
    there = still / whole
    r, alpha, s, beta = params
    x, T = rows.x, rows.T
    plain = all(np.ndim(value) == 0 for value in params)
    ages, at = levels(T) if plain else (T, np.arange(n))
    B = beta + ages
    k, A = r + x, alpha + T
    rate = k / A
    mean = there * rate * (B * remaining(s, B, delta, horizon, False, rule))[at]
    squares, pairs = np.zeros(n), np.zeros(n)
    if second:
        squares = (
            there * rate * (B * remaining(s, B, 2 * delta, horizon, False, rule))[at] if delta != 0 else mean.copy()
        )
        pairs = there * rate * ((k + 1) / A) * (2 * B**2 * remaining(s, B, delta, horizon, True, rule))[at]
    if plain and n > 64:
        buys, on = levels(x)
        used, pair = levels((on * len(ages) + at).astype(np.float64))
        used = used.astype(np.intp)
        chance = first_purchase(params, horizon, buys[used // len(ages)], ages[used % len(ages)], rule)[pair]
    else:
        chance = first_purchase(params, horizon, x, T, rule)
    return Forecast(mean, squares, pairs, there * np.minimum(chance, 1.0))


def together(params: Params, cells: Cells, asked: Sequence[tuple[float, float]]) -> tuple[Floats, list[Floats]]:
    """P(alive) and the means of some forecasts, all by cell: beyond P(alive) a table over ages."""
    rows, grid = cells.rows, cells.grid
    whole, still = seen(params, rows, FINE, grid)
    there = np.divide(still, whole, out=still)
    if any(np.ndim(value) for value in params):
        return there, [forecast(params, rows, horizon, delta).mean for horizon, delta in asked]
    r, alpha, s, beta = params
    ages, at = (grid.times, grid.at_T) if grid is not None else levels(rows.T)
    some = np.flatnonzero(np.bincount(at, minlength=len(ages)))
    A, B = alpha + ages[some], beta + ages[some]
    likely, means, each = there * (r + rows.x), [], np.zeros(len(ages))
    for horizon, delta in asked:
        each[some] = B / A * remaining(s, B, delta, horizon, False, FINE) if horizon > 0 else 0.0
        mean = each[at]
        mean *= likely
        means.append(mean)
    return there, means


def pmf(params: Params, rows: Rows, horizon: float, most: int) -> Floats:
    r"""P(0 .. ``most`` purchases in (T, T + horizon]), (n, most + 1).

    Of one still there, k = r + x, A = alpha + T, B = beta + T: she stays for the whole horizon h, or leaves at v,

    P(n) = \frac{Gamma(k+n)}{Gamma(k) n!} [ (1+h/A)^{-k} (h/(A+h))^n (1+h/B)^{-s}
                                      + s \int_0^h (1+v/A)^{-k} (v/(A+v))^n (1+v/B)^{-(s+1)} dv / B ]

    (Fader and Hardie 2014, the note on the conditional PMF, before its hypergeometric functions). One set of nodes
    serves all n.
    """
    count = len(rows.x)
    out = np.zeros((count, most + 1))
    if count == 0:
        return out
    if horizon <= 0:
        out[:, 0] = 1.0
        return out
    r, alpha, s, beta = spread(params, rows)
    gone, still = outcomes((r, alpha, s, beta), rows)
    A, B = alpha + rows.T, beta + rows.T
    k = r + rows.x
    n = np.arange(most + 1.0)
    ways = np.cumsum(np.log1p((k[:, None] - 1) / np.maximum(n, 1)) * (n > 0), axis=1)  # log Gamma(k+n)/(Gamma(k) n!)
    low = A <= B
    m, omega = np.minimum(A, B), np.minimum(A / B, B / A)
    p_low, p_high = np.where(low, k, s + 1), np.where(low, s + 1, k)
    top = np.log1p(horizon / m)

    def log_f(y: Floats) -> Floats:  # of the largest n, which reaches furthest
        beyond = other(omega, y)
        log_w = np.log(-np.expm1(-np.where(low, y, beyond)))
        return np.asarray((1 - p_low) * y - p_high * beyond + most * log_w)

    # From about half-way to the peak, and from far out: nearer by steps, as long as nothing is lost.
    half = np.minimum(np.log1p((most + 1) / (k / A + (s + 1) / B) / m), np.minimum(top, 1e3)) / 2
    least = log_f(half) - FINE.drop
    reach = np.minimum(top, 100 - np.log(omega) + 750 / (k + s))
    while np.any(far := log_f(nearer := half + (reach - half) * 0.8) < least):
        reach = np.where(far, nearer, reach)
    for some, y, weight in panels(40 - np.log(omega), reach, WIDTH, FINE.nodes + most // 2):
        beyond = other(omega[some, None], y)
        terms = (1 - p_low)[some, None] * y - p_high[some, None] * beyond
        weight = weight * (s * np.where(low, omega, 1.0))[some, None]
        log_w = np.log(-np.expm1(-np.where(low[some, None], y, beyond)))
        for j in range(most + 1):
            out[some, j] = np.einsum("nj,nj->n", weight, np.exp(terms + ways[some, j, None]))
            terms += log_w
    if np.isfinite(horizon):
        to_A = np.log1p(horizon / A)
        stays = -k * to_A - s * np.log1p(horizon / B)
        out += np.exp(ways + stays[:, None] + np.log(-np.expm1(-to_A))[:, None] * n)
    out *= (still / (gone + still))[:, None]
    out[:, 0] += gone / (gone + still)
    return out


def simulate(params: Params, T: Floats, rng: np.random.Generator) -> Rows:
    """Customers as the model makes them, watched for ``T``."""
    r, alpha, s, beta = params
    shape = np.shape(T)
    rate = rng.gamma(r, size=shape) / alpha
    stay = np.minimum(T, _lifetimes(rng.gamma(s, size=shape) / beta, rng))
    x = rng.poisson(rate * stay).astype(np.float64)
    t_x = np.where(x > 0, stay * rng.random(shape) ** (1 / np.maximum(x, 1.0)), 0.0)
    return Rows(x, t_x, np.array(T, dtype=np.float64), np.zeros(shape))


def _lifetimes(hazard: Floats, rng: np.random.Generator) -> Floats:
    return np.asarray(rng.exponential(size=hazard.shape) / np.maximum(hazard, 1e-290))


def ahead(params: Params, rows: Rows, horizon: float, delta: float, rng: np.random.Generator) -> Ahead:
    """One draw of each customer's future: whether she is there, her rate and hazard, then her purchases."""
    r, alpha, s, beta = params
    shape = rows.x.shape
    there = rng.random(shape) < p_alive(params, rows)
    rate = np.where(there, rng.gamma(r + rows.x, size=shape) / (alpha + rows.T), 0.0)
    hazard = rng.gamma(s, size=shape) / (beta + rows.T)
    stay = np.minimum(horizon, _lifetimes(hazard, rng))
    counts = np.zeros(shape)
    counts = rng.poisson(np.minimum(rate * stay, 1e15)).astype(np.float64)
    fall = np.maximum(hazard + delta, 1e-290) if np.isinf(horizon) else hazard + delta
    expected = rate / fall if np.isinf(horizon) else rate * horizon * exprel(-fall * horizon)
    if delta == 0:
        return Ahead(counts, counts.copy(), expected)
    discounted = np.zeros(shape)
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(counts):  # in blocks of about a million purchases
        end = max(begin + 1, int(np.searchsorted(ends, (ends[begin - 1] if begin else 0.0) + 1e6, side="right")))
        whose = np.repeat(np.arange(begin, end), counts[begin:end].astype(np.int64))
        factors = np.exp(-delta * stay[whose] * rng.random(len(whose)))
        discounted[begin:end] = np.bincount(whose - begin, factors, end - begin)
        begin = end
    return Ahead(counts, discounted, expected)
