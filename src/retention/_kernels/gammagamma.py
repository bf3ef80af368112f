"""The gamma-gamma model of spend (Fader and Hardie 2013, "The Gamma-Gamma Model of Monetary Value").

Each of a customer's purchases is worth gamma(p, nu), and nu is gamma(q, v) over customers. She is known by the
number ``x`` of her purchases and their mean ``z`` > 0. Money may be in any unit: ``v`` is in it, p and q are free of
it. Where margin goes with frequency, v is larger for those who come often: ``v exp(slope d)`` for a customer whose
log-rate lies ``d`` above the mean.

With ``a = p x``, ``n = a + q`` and ``s = x z / (v + x z)``, which is beta(a, q) distributed, the density of z is
``s^a (1 - s)^q / (B(a, q) z)``. Its textbook form subtracts log-gammas that are far larger than their difference (a
of 1e8 costs nine digits), so it is taken as a distance from its saddle point (Loader 2000, "Fast and accurate
computation of binomial probabilities"): what Stirling's formula leaves over, less two divergences, both free of
cancellation. The same parting keeps the digits of the derivatives.

Her days as shares of their sum are Dirichlet(p, ..., p), whatever nu is, and independent of the sum. Of them she may
be known by ``u = n / (n - 1) * sum((share - 1 / n)^2)``, from 0 (all days alike) to 1 (all on one day). Its mean is
1 / (1 + p n) and its variance ``2 p n^2 (p + 1) / ((n - 1) (p n + 1)^2 (p n + 2) (p n + 3))``, from the moments of the
Dirichlet. The beta law with these, ``beta(a, p n a)`` with ``a = ((n - 1) n p + 4 n - 6) / (2 n (1 + p))``, stands for
its own, which has no closed form. It is exact for two days, beta(1/2, p), and for large p, chi-square with n - 1
degrees of freedom; worst for three days with p far below 1 (at p = 0.3 it finds 0.27).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, polygamma, psi

from retention._kernels.purchases import levels

__all__ = ["Params", "log_likelihoods", "prepared", "shares", "total"]

Floats = NDArray[np.float64]
Total = tuple[float, Floats, Floats]

_BLOCK = 8192  # customers at a time: their temporaries stay in cache
_PLAIN = 1e4  # p x + q up to which the textbook form loses no digit that a fit would miss
_LARGE = 12.0  # from here on, eight terms of the asymptotic series are exact to the last digit
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)


class Params(NamedTuple):
    """The parameters; ``v`` in the unit of the money."""

    p: float
    q: float
    v: float
    slope: float = 0.0


def log_likelihoods(params: Params, x: Floats, z: Floats, d: Floats | None = None) -> Floats:
    """Log density of each customer's mean ``z`` of ``x`` purchases (equation 1a of the note)."""
    return _log_density(params, x, z, _place(params, x, z, d))


def total(
    params: Params, x: Floats, z: Floats, d: Floats | None = None, weight: Floats | None = None
) -> tuple[float, Floats, Floats]:
    """Weighted log-likelihood of a base, with its gradient and Hessian by ``(log p, log q, log v)``.

    With ``d`` there is a fourth variable, the slope itself.
    """
    p, q = params.p, params.q
    w = np.ones(len(x)) if weight is None else weight
    xs, group = np.unique(x, return_inverse=True)
    many = np.bincount(group, w, len(xs))
    a, a_x = p * x, p * xs
    n_x = a_x + q
    here = _place(params, x, z, d)
    s, rest, excess = here.s, here.rest, here.excess

    value = float(np.einsum("n,n->", w, _log_density(params, x, z, here)))
    at_n, at_a, at_q = _left_of_psi(n_x), _left_of_psi(a_x), _left_of_psi(np.array(q))
    g = np.array(
        [
            np.einsum("n,n,n->", w, a, _log1p(excess / a, here.log_s)) + np.einsum("n,n->", many, a_x * (at_n - at_a)),
            q * (np.einsum("n,n->", w, _log1p(-excess / q, here.log_rest)) + np.einsum("n,n->", many, at_n - at_q)),
            np.einsum("n,n->", w, excess),
        ]
    )
    bend_n, bend_a, bend_q = _left_of_trigamma(n_x), _left_of_trigamma(a_x), _left_of_trigamma(np.array(q))
    H = np.empty((3, 3))
    H[0, 0] = g[0] + np.einsum("n,n->", many, a_x**2 * (bend_n - bend_a) - a_x * q / n_x)
    H[1, 1] = g[1] + np.einsum("n,n->", many, q**2 * (bend_n - bend_q) - a_x * q / n_x)
    H[0, 1] = H[1, 0] = np.einsum("n,n->", many, a_x * q * (bend_n + 1 / n_x))
    by_v = np.stack([-a * rest, q * s, -(a + q) * s * rest])
    H[2] = H[:, 2] = np.einsum("n,in->i", w, by_v)
    if d is None:
        return value, g, H
    full = np.empty((4, 4))
    full[:3, :3] = H
    full[3, :3] = full[:3, 3] = np.einsum("n,n,in->i", w, d, by_v)
    full[3, 3] = np.einsum("n,n,n->", w, d**2, by_v[2])
    return value, np.append(g, np.einsum("n,n,n->", w, d, excess)), full


def prepared(x: Floats, z: Floats, d: Floats | None, weight: Floats) -> Callable[[Params], Total]:
    """``total`` of the same customers at one point after another: several times as fast, for a climb.

    What depends on x alone is worked out once per distinct x, and the rest goes through the customers once, in the
    textbook form: ln B and its like lose digits in proportion to p x + q. Where those would be missed (1e4, which is
    1e-12 of a customer's log-likelihood) the answer is that of ``total``.
    """
    xs, group = levels(x) if len(x) else (x, np.zeros(0, dtype=np.intp))
    many = np.bincount(group, weight, len(xs))
    logs = np.log(x) + np.log(z)
    log_z = float(np.einsum("n,n->", weight, logs) - many @ np.log(xs)) if len(x) else 0.0
    del group

    def at(params: Params) -> Total:
        p, q, v, slope = params
        if not len(x) or p * xs[-1] + q > _PLAIN:
            return total(params, x, z, d, weight)
        sums, by_slope = np.zeros(6), np.zeros(5)
        for start in range(0, len(x), _BLOCK):
            block = slice(start, start + _BLOCK)
            w, bought = weight[block], x[block]
            odds = logs[block] - np.log(v)
            if d is not None:
                odds -= slope * d[block]
            small = np.exp(-np.abs(odds))
            larger = 1 / (1 + small)
            small *= larger  # the smaller of s and 1 - s
            up = odds > 0
            s, rest = np.where(up, larger, small), np.where(up, small, larger)
            log_s = np.minimum(odds, 0.0) + np.log(larger)
            both = s * rest
            bought = bought * w
            rows = np.stack([log_s, odds, s, rest, both])
            on_w, on_x = rows @ w, rows @ bought
            # a log s, log (1 - s), q s, a (1 - s), (a + q) s (1 - s)
            sums += [on_x[0], on_w[0] - on_w[1], on_w[2], on_x[3], on_x[4], on_w[4]]
            if d is not None:
                far = d[block]
                by_slope += [*(rows[2:] @ (w * far))[[0, 2]], *(rows[3:] @ (bought * far)), 0.0]
                by_slope[4] += (p * bought + q * w) @ (far * far * both)
        x_log_s, log_rest, s_, x_rest, x_both, both_ = sums.tolist()

        a, n, N = p * xs, p * xs + q, float(many.sum())
        value = p * x_log_s + q * log_rest - float(many @ betaln(a, q)) - log_z
        psi_n, bend_n = psi(n), polygamma(1, n)
        on_p, on_q = many @ (a * (psi_n - psi(a))), q * float(many @ (psi_n - psi(q)))
        bend = p * x_both + q * both_
        g = np.array([p * x_log_s + on_p, q * log_rest + on_q, q * s_ - p * x_rest])
        H = np.empty((3, 3))
        H[0, 0] = g[0] + many @ (a**2 * (bend_n - polygamma(1, a)))
        H[1, 1] = g[1] + q**2 * float(many @ bend_n - N * polygamma(1, q))
        H[0, 1] = H[1, 0] = q * float(many @ (a * bend_n))
        H[2] = H[:, 2] = [-p * x_rest, q * s_, -bend]
        if d is None:
            return value, g, H
        far_s, far_both, x_far_rest, x_far_both, far2 = by_slope.tolist()
        full = np.empty((4, 4))
        full[:3, :3] = H
        full[3, :3] = full[:3, 3] = [-p * x_far_rest, q * far_s, -(p * x_far_both + q * far_both)]
        full[3, 3] = -far2
        return value, np.append(g, q * far_s - p * x_far_rest), full

    return at


def shares(p: float, n: Floats, u: Floats, weight: Floats | None = None) -> tuple[float, float, float]:
    """Weighted log-likelihood of how the days of customers with n > 1 of them differ, 0 < u < 1, and its first and
    second derivative by log p."""
    w = np.ones(len(n)) if weight is None else weight
    low, turn = (2 * n - 3) / n, 1 / (1 + p)  # a goes from low to (n - 1) / 2 as p grows
    wide = (n - 1) / 2 - low
    a, a1 = low + wide * p * turn, wide * p * turn**2
    a2 = a1 * (1 - p) * turn
    b, b1, b2 = p * n * a, p * n * (a + a1), p * n * (a + 2 * a1 + a2)
    both = a + b
    grown, psi_both, bend_both = np.log1p(a / b), _left_of_psi(both), _left_of_trigamma(both)
    by_a = np.log(u) - psi(a) + np.log(both) + psi_both
    by_b = np.log1p(-u) + grown + psi_both - _left_of_psi(b)
    value = (a - 1) * np.log(u) + (b - 1) * np.log1p(-u) - gammaln(a) + (b - 0.5) * grown + a * (np.log(both) - 1)
    value += _left_of_gammaln(both) - _left_of_gammaln(b)
    bend = a2 * by_a + b2 * by_b + a1**2 * (bend_both + 1 / both - polygamma(1, a))
    bend += b1**2 * (bend_both - _left_of_trigamma(b) - a / (b * both)) + 2 * a1 * b1 * (bend_both + 1 / both)
    sums = [float(np.einsum("n,n->", w, each)) for each in (value, a1 * by_a + b1 * by_b, bend)]
    return sums[0], sums[1], sums[2]


class _Place(NamedTuple):
    """Where customers stand: s and 1 - s, the logs of n s / a and of n (1 - s) / q, and the excess n s - a."""

    s: Floats
    rest: Floats
    log_s: Floats
    log_rest: Floats
    excess: Floats


def _place(params: Params, x: Floats, z: Floats, d: Floats | None) -> _Place:
    p, q, v, slope = params
    a = p * x
    odds = np.log(x) + np.log(z) - (np.log(v) if d is None else np.log(v) + slope * d)
    ratio = np.exp(-np.abs(odds))  # of the smaller of s and 1 - s to the larger
    larger = 1 / (1 + ratio)
    smaller, log_larger = ratio * larger, -np.log1p(ratio)
    s, rest = np.where(odds > 0, larger, smaller), np.where(odds > 0, smaller, larger)
    log_s, log_rest = log_larger + np.minimum(odds, 0.0), log_larger - np.maximum(odds, 0.0)
    return _Place(s, rest, log_s + np.log1p(q / a), log_rest + np.log1p(a / q), q * s - a * rest)


def _log_density(params: Params, x: Floats, z: Floats, here: _Place) -> Floats:
    p, q = params.p, params.q
    xs, group = np.unique(x, return_inverse=True)
    a_x, a = p * xs, p * x
    at_x = (np.log(a_x) + np.log(q) - np.log(a_x + q) - np.log(2 * np.pi)) / 2
    at_x += _left_of_gammaln(a_x + q) - _left_of_gammaln(a_x) - _left_of_gammaln(np.array(q))
    apart = a * _apart(here.excess / a, here.log_s) + q * _apart(-here.excess / q, here.log_rest)
    return np.asarray(at_x[group] - apart - np.log(z))


def _log1p(t: Floats, log: Floats) -> Floats:
    """log(1 + t), which is also ``log``: that one is exact away from 0, this one near it."""
    near = np.abs(t) < 0.3
    return np.where(near, np.log1p(np.where(near, t, 0.0)), log)


def _apart(t: Floats, log: Floats) -> Floats:
    """t - log(1 + t) >= 0, by the series of the inverse hyperbolic tangent where the two are close."""
    near = np.abs(t) < 0.3
    safe = np.where(near, t, 0.0)
    r = safe / (2 + safe)
    series = np.zeros_like(r)
    for k in range(23, 1, -2):
        series = series * r**2 + 1 / k
    return np.where(near, r * safe - 2 * r**3 * series, t - log)


def _asymptotic(y: Floats, terms: list[float]) -> Floats:
    """Sum of ``terms[k] / y^(2 k)``."""
    out = np.zeros_like(y)
    for term in reversed(terms):
        out = out / y**2 + term
    return out


def _left_of_gammaln(y: Floats) -> Floats:
    """What Stirling's formula leaves over: log Gamma(y) - ((y - 1/2) log y - y + log(2 pi) / 2)."""
    big = np.maximum(y, _LARGE)
    small = np.minimum(y, _LARGE)
    exact = gammaln(small) - ((small - 0.5) * np.log(small) - small + np.log(2 * np.pi) / 2)
    return np.asarray(np.where(y >= _LARGE, _asymptotic(big, list(_STIRLING)) / big, exact))


def _left_of_psi(y: Floats) -> Floats:
    """psi(y) - log y."""
    big = np.maximum(y, _LARGE)
    tail = _asymptotic(big, [-(2 * k + 1) * c for k, c in enumerate(_STIRLING)])
    small = np.minimum(y, _LARGE)
    return np.asarray(np.where(y >= _LARGE, tail / big**2 - 0.5 / big, psi(small) - np.log(small)))


def _left_of_trigamma(y: Floats) -> Floats:
    """psi'(y) - 1 / y."""
    big = np.maximum(y, _LARGE)
    tail = _asymptotic(big, [(2 * k + 1) * (2 * k + 2) * c for k, c in enumerate(_STIRLING)])
    small = np.minimum(y, _LARGE)
    return np.asarray(np.where(y >= _LARGE, tail / big**3 + 0.5 / big**2, polygamma(1, small) - 1 / small))
