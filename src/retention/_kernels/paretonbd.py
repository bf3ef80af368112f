r"""The Pareto/NBD model of repeat purchases (Schmittlein, Morrison and Colombo 1987, Management Science 33(1)).

While she is a customer she buys at her own constant rate, gamma(r, alpha) over customers; she leaves at her own
constant hazard, gamma(s, beta) over customers, whether she buys or not.

Put a = alpha + t_x, b = beta + t_x and let tau run over the moments at which she may have left unseen. Everything that
is known about one customer is in one integral of positive terms,

    Phi = \int_{t_x}^{T} ((alpha+tau)/a)^{-(r+x)} ((beta+tau)/b)^{-(s+1)} dtau / b

    L = Gamma(r+x)/Gamma(r) alpha^r beta^s a^{-(r+x)} b^{-s} (s Phi + E),
    E = ((alpha+T)/a)^{-(r+x)} ((beta+T)/b)^{-s},          P(alive) = E / (s Phi + E),

so no hypergeometric function is needed, nothing overflows and nothing cancels. In y = log((m+tau)/(m+t_x)) with m the
smaller of alpha and beta the integrand is log-concave and analytic in a strip of width pi on both sides of the real
axis: Gauss-Legendre panels at most 2.5 wide, cut where the integrand has decayed, hold it to nearly all digits.

On a day grid the integrals from t to infinity are shared between customers. With z = (alpha-beta)/(alpha+t) they obey
the two-term recursion (p+s) Phi_p = 1 + p z Phi_{p+1} over p = r + x (integration by parts), and so do their moments;
it is run downwards or upwards in x, whichever damps errors (Gautschi 1967, SIAM Review 9(1)). Then
s Phi + E = s Phi_inf(t_x) + E (1 - s Phi_inf(T)): that difference is right to rounding relative to E + s Phi.

What is ahead of a customer still there at T follows from gamma(r + x, alpha + T) for her rate and gamma(s, beta + T)
for her hazard, which are independent then; s = 1 is a point like any other.

Digits: a log-likelihood inherits the rounding of its largest part (1e-16 x log Gamma(r + x)); for x = 0 it is formed
from the chance of a purchase, so that values near 0 keep theirs. P(alive) loses log10 of its own logarithm.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.typing import NDArray
from scipy.special import exprel, gammaln, polygamma, psi

from retention._kernels.purchases import (
    Ahead,
    Cells,
    Derivatives,
    Floats,
    Forecast,
    Kernel,
    Params,
    Rows,
    Total,
    value_only,
)

__all__ = ["KERNEL"]

NAMES = ("r", "alpha", "s", "beta")

_BLOCK = 1 << 16  # numbers in a temporary: they stay in cache
_LONGEST = 2000  # x in a table
_WIDTH = 2.5  # of a panel; the nearest singularities are pi away


class _Rule(NamedTuple):
    """Nodes a panel, and how far below its peak (in logs) the integrand is cut."""

    nodes: int
    drop: float


_FINE = _Rule(32, 42.0)
_ROUGH = _Rule(12, 18.0)


class _Nodes(NamedTuple):
    """Some rows of an integral: their positions, y at each node, and the weights in y."""

    rows: Any
    y: Floats
    weight: Floats


@lru_cache(maxsize=64)
def _gauss(nodes: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre on [0, 1]."""
    u, w = np.polynomial.legendre.leggauss(nodes)
    return (u + 1) / 2, w / 2


def _panels(knee: Floats, reach: Floats, width: Any, nodes: int) -> Iterator[_Nodes]:
    """Gauss-Legendre nodes on [0, reach]: panels of at most ``width`` up to ``knee``, one panel from there on."""
    u, w = _gauss(nodes)
    knee = np.minimum(knee, reach)
    power = np.ceil(np.log2(np.maximum(knee / width, 1.0))).astype(np.int64)
    for k in np.flatnonzero(np.bincount(power)).tolist():
        group = np.flatnonzero(power == k)
        count = 1 << k
        unit_nodes = ((np.arange(count)[:, None] + u) / count).ravel()
        unit_weights = np.tile(w / count, count)
        step = max(1, _BLOCK // len(unit_nodes))
        for start in range(0, len(group), step):
            rows: Any = group[start : start + step]
            near, far = knee[rows, None], (reach - knee)[rows, None]
            y, weight = near * unit_nodes, near * unit_weights
            if np.any(far > 0):
                y, weight = np.hstack([y, near + far * u]), np.hstack([weight, far * w])
            if len(group) == len(power) and step >= len(group):
                rows = slice(None)
            yield _Nodes(rows, y, weight)


def _other(omega: Any, y: Any) -> Any:
    """log(1 + omega (e^y - 1)): the logarithm that belongs to the larger of alpha and beta."""
    near = np.minimum(y, 300.0)
    return np.log1p(omega * np.expm1(near)) + (y - near)


def _passage(
    p: Any, q: Any, a: Any, b: Any, span: Any, rule: _Rule = _FINE
) -> Iterator[tuple[Any, Floats, Floats, Floats]]:
    r"""Nodes of \int_0^span (1 + v/a)^{-p} (1 + v/b)^{-q} dv / b: (rows, log(1 + v/a), log(1 + v/b), terms).

    The sum of the terms is the integral. ``span`` may be inf where p + q > 1.
    """
    p, q, a, b, span = (np.atleast_1d(v) for v in np.broadcast_arrays(p, q, a, b, span))
    low = a <= b
    p_low, p_high = np.where(low, p, q), np.where(low, q, p)
    m, omega = np.minimum(a, b), np.minimum(a / b, b / a)
    top = np.log1p(span / m)
    falls = p_low - 1 + p_high * omega  # at y = 0; the slope steepens to p + q - 1
    log_omega = np.log(omega)
    # The peak, where the slope vanishes: inside only if p_low < 1.
    share = np.clip((1 - p_low) / p_high, 1e-300, 1 - 1e-16)
    peak = np.where(
        falls < 0, np.log(share) - np.log1p(-share) + np.log1p(-np.minimum(omega, 1 - 1e-16)) - log_omega, 0.0
    )
    peak = np.clip(peak, 0.0, np.minimum(top, 1e6))
    height = (1 - p_low) * peak - p_high * _other(omega, peak)
    # Where to cut: three upper bounds from convexity, then Newton's method, which stays to the right of the root.
    end = np.maximum(p + q - 1, 1e-300)
    reach = np.minimum(top, np.minimum((rule.drop - height - p_high * log_omega) / end, 1e15))
    reach = np.where(falls > 0, np.minimum(reach, rule.drop / np.maximum(falls, 1e-300)), reach)
    early = np.log1p((rule.drop + 25) / (np.log(2) * p_high * omega))
    reach = np.where(p_high > 100, np.minimum(reach, early), reach)
    for _ in range(3):
        log_f = (1 - p_low) * reach - p_high * _other(omega, reach) - height + rule.drop
        tilt = 1 - p_low - p_high / (1 + (1 / omega - 1) * np.exp(-reach))
        reach = np.where((log_f < 0) & (tilt < 0), reach - log_f / np.minimum(tilt, -1e-300), reach)
    for rows, y, weight in _panels(40 - log_omega, reach, _WIDTH, rule.nodes):
        far = _other(omega[rows, None], y)
        terms = (1 - p_low)[rows, None] * y
        terms -= p_high[rows, None] * far
        np.exp(terms, out=terms)
        terms *= weight
        terms *= np.where(low, omega, 1.0)[rows, None]
        if low[rows].all():
            yield rows, y, far, terms
        elif not low[rows].any():
            yield rows, far, y, terms
        else:
            yield rows, np.where(low[rows, None], y, far), np.where(low[rows, None], far, y), terms


def _passed(p: Any, q: Any, a: Any, b: Any, span: Any, rule: _Rule = _FINE) -> Floats:
    """The integral of ``_passage``."""
    out = np.zeros(np.broadcast_shapes(*(np.shape(v) for v in (p, q, a, b, span))))
    for rows, _, _, terms in _passage(p, q, a, b, span, rule):
        out[rows] = np.einsum("nj->n", terms)
    return out


def _spread(params: Params, rows: Rows) -> tuple[Floats, ...]:
    """The parameters as arrays of one number a row."""
    return tuple(np.broadcast_to(np.asarray(value, dtype=np.float64), rows.x.shape) for value in params)


def _some(params: Params, which: Any) -> Params:
    """The parameters of some rows."""
    return [value[which] if np.ndim(value) else value for value in params]


# The grid of x and t on which customers share integrals


class _Grid(NamedTuple):
    """Distinct times, and where each row's t_x and T are among them."""

    times: Floats
    at_t_x: NDArray[np.intp]
    at_T: NDArray[np.intp]


def _levels(values: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Distinct values and each row's place among them; multiples of one step (days) need no sorting."""
    few = np.unique(values[:: max(1, len(values) // 4096)])
    if len(few) > 1:
        step = float(np.diff(few).min())
        if values.max() < step * max(4 * len(values), 1000):
            steps = values * (1 / step)
            code = np.rint(steps, out=steps).astype(np.intp)
            held = np.full(int(code.max()) + 1, np.nan)
            held[code] = values
            if np.array_equal(held[code], values):
                missing = np.flatnonzero(np.isnan(held))
                if len(missing) < len(held) // 4:
                    held[missing] = missing * step
                    return held, code
                return held[used := ~np.isnan(held)], (np.cumsum(used) - 1)[code]
    levels, code = np.unique(values, return_inverse=True)
    return levels, code


def _shared(params: Params, rows: Rows) -> tuple[_Grid | None, int]:
    """The grid if sharing pays, and the largest x on it: rows with more purchases are integrated one by one."""
    n = len(rows.x)
    if n < 16 or any(np.ndim(value) for value in params) or not np.array_equal(rows.x, np.trunc(rows.x)):
        return None, -1
    times, code = _levels(np.concatenate([rows.t_x, rows.T]))
    # A row's integral costs as much as some 300 entries of a table; a time costs an integral, a step 1,500 entries.
    counts = np.bincount(rows.x[rows.x <= _LONGEST].astype(np.intp), minlength=1)
    cost = (np.arange(len(counts)) + 1) * (len(times) + 1500.0) + 300.0 * (n - np.cumsum(counts) + len(times))
    most = int(np.argmin(cost))
    if cost[most] > 300.0 * n:
        return None, -1
    return _Grid(times, code[:n], code[n:]), most


def _table(r: Any, alpha: Any, s: Any, beta: Any, times: Floats, most: int, moments: int) -> Floats:
    r"""Integrals from t to infinity for x = 0 .. most: (most + 1, moments, \*shape) with the shape of alpha + times.

    (p + s + l) m_ij(p) = [i = j = 0] + p z m_ij(p+1) + i (m_{i-1,j}(p) - z m_{i-1,j}(p+1)) + j m_{i,j-1}(p)

    with p = r + x, for the moments of y_a^i y_b^j e^{-l y_b}; ``moments`` is 1, the integral itself, or 10: (i, j, l) =
    000 001 002 100 101 010 011 200 110 020. Downwards it is stable where p (|z| - 1) < s or z > 0,
    upwards elsewhere; the start, at the turning point or at the end, is an integral.
    """
    a, b = alpha + times, beta + times
    z = (alpha - beta) / a
    shape = a.shape
    out = np.empty((most + 1, moments, *shape))
    largest = float(np.abs(z).max())
    if largest < 0.6:
        # The series in z by Horner's rule: the same recursion from far above, where its error has not begun.
        extra = int(np.ceil(45 / -np.log(max(largest, 1e-20))))
        after, here = np.zeros((2, moments, *shape))
        for x in range(most + extra, most, -1):
            _step_down(here, after, r + x, s, z)
            after, here = here, after
        for x in range(most, -1, -1):
            _step_down(out[x], after if x == most else out[x + 1], r + x, s, z)
        return out
    turn = np.full(shape, most)
    steep = -z - 1
    if np.any(steep > 0):
        bend = np.ceil(s / np.where(steep > 0, steep, 1e-300) - r)
        turn = np.where(steep > 0, np.clip(bend, 0, most), most).astype(np.int64)
    p, q = np.broadcast_to(r + turn, shape).ravel(), np.broadcast_to(s + 1.0, shape).ravel()
    start = np.empty((moments, p.size))
    for rows, y_a, y_b, terms in _passage(p, q, a.ravel(), b.ravel(), np.inf):
        if moments == 1:
            start[0, rows] = np.einsum("nj->n", terms)
            continue
        fade = np.exp(-y_b)
        later, on_a, on_b = terms * fade, terms * y_a, terms * y_b
        start[0, rows], start[1, rows] = np.einsum("nj->n", terms), np.einsum("nj->n", later)
        pairs = (
            (later, fade),
            (terms, y_a),
            (later, y_a),
            (terms, y_b),
            (later, y_b),
            (on_a, y_a),
            (on_a, y_b),
            (on_b, y_b),
        )
        for i, (one, other) in enumerate(pairs, 2):
            start[i, rows] = np.einsum("nj,nj->n", one, other)
    start = start.reshape(moments, *shape)
    out[most] = start
    divided = bool(np.any(turn < most))
    for x in range(most - 1, -1, -1):
        here, after = out[x], out[x + 1]
        _step_down(here, after, r + x, s, z)
        if divided:
            np.copyto(here, start, where=turn <= x)
    if divided:
        for x in range(int(turn.min()), most):
            here, after = out[x], out[x + 1]
            up = np.empty_like(after)
            _step_up(here, up, r + x, s, np.where(z < 0, z, -1.0))
            np.copyto(after, up, where=turn <= x)
    return out


def _step_down(here: Floats, after: Floats, p: Any, s: Any, z: Any) -> None:
    pz = p * z
    np.multiply(after, pz, out=here)
    if len(here) == 1:
        here += 1.0
        here /= p + s
        return
    i0, i1, i2 = 1 / (p + s), 1 / (p + s + 1), 1 / (p + s + 2)
    here[:3] += 1.0
    here[0] *= i0
    here[1] *= i1
    here[2] *= i2
    here[3:5] += here[:2] - z * after[:2]
    here[5:7] += here[:2]
    here[3:7:2] *= i0
    here[4:7:2] *= i1
    here[7] += 2 * (here[3] - z * after[3])
    here[8] += here[5] - z * after[5] + here[3]
    here[9] += 2 * here[5]
    here[7:] *= i0


def _step_up(here: Floats, after: Floats, p: Any, s: Any, z: Any) -> None:
    down = 1 / (p * z)
    if len(here) == 1:
        after[0] = ((p + s) * here[0] - 1) * down
        return
    after[0] = ((p + s) * here[0] - 1) * down
    after[1] = ((p + s + 1) * here[1] - 1) * down
    after[2] = ((p + s + 2) * here[2] - 1) * down
    for k, shift in ((3, 0), (4, 1)):
        after[k] = ((p + s + shift) * here[k] - here[shift] + z * after[shift]) * down
        after[k + 2] = ((p + s + shift) * here[k + 2] - here[shift]) * down
    after[7] = ((p + s) * here[7] - 2 * (here[3] - z * after[3])) * down
    after[8] = ((p + s) * here[8] - (here[5] - z * after[5]) - here[3]) * down
    after[9] = ((p + s) * here[9] - 2 * here[5]) * down


# Likelihood


def _seen(params: Params, rows: Rows, rule: _Rule = _FINE) -> tuple[Floats, Floats]:
    """(s Phi + E, E) of the module's docstring."""
    r, alpha, s, beta = params
    x = rows.x
    grid, most = _shared(params, rows)
    whole, still = np.empty(x.shape), np.empty(x.shape)
    one_by_one = np.ones(x.shape, dtype=bool)
    if grid is not None:
        sharing = x <= most
        every = bool(sharing.all())
        one_by_one = ~sharing
        pick: Any = slice(None) if every else sharing
        count = len(grid.times)
        gone = s * _table(r, alpha, s, beta, grid.times, most, 1)[:, 0].ravel()
        fade = _fading(params, grid.times, most).ravel()
        offset = x[pick].astype(np.intp) * count
        first, last = offset + grid.at_t_x[pick], offset + grid.at_T[pick]
        E = np.exp(fade[last] - fade[first])
        whole[pick], still[pick] = gone[first] + E * (1 - gone[last]), E
        if every:
            return whole, still
    gone, still[one_by_one] = _outcomes(_some(params, one_by_one), rows.take(one_by_one), rule)
    whole[one_by_one] = gone + still[one_by_one]
    return whole, still


def _outcomes(params: Params, rows: Rows, rule: _Rule = _FINE) -> tuple[Floats, Floats]:
    """(s Phi, E), each row by her own integral: what she did if she has left, and if she has not."""
    r, alpha, s, beta = params
    x, t_x, T, _ = rows
    a, b, span = alpha + t_x, beta + t_x, T - t_x
    still = np.exp(-(r + x) * np.log1p(span / a) - s * np.log1p(span / b))
    return np.asarray(s * _passed(r + x, s + 1.0, a, b, span, rule)), still


def _fading(params: Params, times: Floats, most: int) -> Floats:
    """log of (1 + t/alpha)^{-(r+x)} (1 + t/beta)^{-s} for x = 0 .. most."""
    r, alpha, s, beta = params
    return np.asarray(-(r + np.arange(most + 1.0))[:, None] * np.log1p(times / alpha) - s * np.log1p(times / beta))


def _log_rising(r: Any, x: Any) -> Any:
    """log Gamma(r + x) - log Gamma(r); by Stirling's series where both are large and would cancel."""
    big = np.maximum(r, 64.0)
    total = big + x

    def rest(v: Any) -> Any:
        return (1 / 12 - (1 / 360 - 1 / (1260 * v**2)) / v**2) / v

    stirling = (big - 0.5) * np.log1p(x / big) + x * (np.log(total) - 1) + rest(total) - rest(big)
    return np.where(np.asarray(r) < 64.0, gammaln(r + x) - gammaln(r), stirling)


def log_likelihoods(params: Params, rows: Rows) -> Floats:
    """Log-likelihood of each customer (equations of Fader and Hardie's 2005 note, as one integral)."""
    return _logs(params, rows, _seen(params, rows)[0])


def _logs(params: Params, rows: Rows, whole: Floats) -> Floats:
    """The log-likelihoods that go with s Phi + E."""
    r, alpha, s, beta = params
    x, t_x, _, _ = rows
    out = np.log(whole)
    bought = x > 0
    if not bought.all():
        # Without a purchase L = 1 - P(at least one in T): near 0, log L comes from that chance.
        never = ~bought
        some = _first(_some(params, never), rows.T[never], 0.0, 0.0)
        out[never] = np.where(some < 0.5, np.log1p(-np.minimum(some, 0.5)), out[never])
    known = _log_rising(r, x) - r * np.log1p(t_x / alpha) - x * np.log(alpha + t_x) - s * np.log1p(t_x / beta)
    return np.asarray(out + known)


def _first(params: Params, span: Any, x: Any, T: Any, rule: _Rule = _FINE) -> Floats:
    """P(a purchase within ``span`` of T) of one still there at T."""
    r, alpha, s, beta = params
    a, b = alpha + T, beta + T
    return np.asarray((r + x) * (b / a) * _passed(r + x + 1, s, a, b, span, rule))


def rowwise(params: Params, rows: Rows) -> Derivatives:
    """Log-likelihoods with gradients and Hessians by the log-parameters, each customer by her own integral.

    With psi(tau) the log of the complete likelihood had she left at tau (or is alive at T), the gradient is E[psi'],
    the Hessian E[psi''] + Cov[psi'], over the posterior of what happened.
    """
    n = len(rows.x)
    r, alpha, s, beta = theta = _spread(params, rows)
    x, t_x, T, _ = rows
    a, b, span = alpha + t_x, beta + t_x, T - t_x
    log_a, log_b = np.log1p(t_x / alpha), np.log1p(t_x / beta)
    to_a, to_b = np.log1p(span / a), np.log1p(span / b)
    E = np.exp(-(r + x) * to_a - s * to_b)
    whole, gradients, hessians = np.ones(n), np.zeros((4, n)), np.zeros((4, 4, n))
    for rows_, y_a, y_b, terms in _passage(r + x, s + 1.0, a, b, span):
        part = (np.hstack([y_a, to_a[rows_, None]]), np.hstack([y_b, to_b[rows_, None]]))
        weight = np.hstack([s[rows_, None] * terms, E[rows_, None]])
        whole[rows_] = np.einsum("nj->n", weight)
        weight /= whole[rows_, None]
        dead = np.ones(weight.shape[1])
        dead[-1] = 0.0
        known = [value[rows_, None] for value in (*theta, x)]
        first, second = _complete(known, log_a[rows_, None] + part[0], log_b[rows_, None] + part[1], dead)
        means = [np.einsum("nj,nj->n", weight, D) for D in first]
        away = [D - mean[:, None] for D, mean in zip(first, means, strict=True)]
        for i in range(4):
            gradients[i, rows_] = means[i]
            swayed = weight * away[i]
            for j in range(i, 4):
                hessians[i, j, rows_] = np.einsum("nj,nj->n", swayed, away[j])
        for (i, j), D in second.items():
            hessians[i, j, rows_] += np.einsum("nj,nj->n", weight, D)
    rise = r * (psi(r + x) - psi(r))
    gradients[0] += rise
    hessians[0, 0] += rise + r**2 * (polygamma(1, r + x) - polygamma(1, r))
    for i in range(4):
        for j in range(i):
            hessians[i, j] = hessians[j, i]
    return _logs(params, rows, whole), gradients, hessians


def _complete(known: Any, log_a: Any, log_b: Any, dead: Any) -> tuple[list[Any], dict[tuple[int, int], Any]]:
    """First and second derivatives by the log-parameters of log[alpha^r (alpha+tau)^{-(r+x)} beta^s
    (beta+tau)^{-(s+dead)} s^dead], given log(1 + tau/alpha) and log(1 + tau/beta)."""
    r, _, s, _, x = known
    u, v = np.exp(-log_a), np.exp(-log_b)
    not_u, not_v = -np.expm1(-log_a), -np.expm1(-log_b)
    first = [-r * log_a, r * not_u - x * u, dead - s * log_b, s * not_v - dead * v]
    second = {
        (0, 0): -r * log_a, (0, 1): r * not_u, (1, 1): -(r + x) * u * not_u,
        (2, 2): -s * log_b, (2, 3): s * not_v, (3, 3): -(s + dead) * v * not_v,
    }  # fmt: skip
    return first, second


def total(params: Params, cells: Cells) -> Total:
    """Log-likelihood of a base with gradient and Hessian; cells on a day grid share their integrals."""
    rows, w = cells.rows, cells.weight
    theta = tuple(float(value) for value in params)
    grid, most = _shared(theta, rows)
    value, gradient, hessian = 0.0, np.zeros(4), np.zeros((4, 4))
    alone = np.arange(len(w)) if grid is None else np.flatnonzero(rows.x > most)
    if grid is not None:
        # Sorted by x as cells are, those that share come first; otherwise they are picked.
        first = len(w) - len(alone)
        pick: Any = slice(0, first) if len(alone) == 0 or alone[0] == first else np.flatnonzero(rows.x <= most)
        its_grid = _Grid(grid.times, grid.at_t_x[pick], grid.at_T[pick])
        value, gradient, hessian = _gridded(theta, rows.take(pick), w[pick], its_grid, most)
    for start in range(0, len(alone), 1 << 15):
        block = alone[start : start + (1 << 15)]
        values, gradients, hessians = rowwise(theta, rows.take(block))
        value += float(np.einsum("n,n->", w[block], values))
        gradient = gradient + np.einsum("n,in->i", w[block], gradients)
        hessian = hessian + np.einsum("n,ijn->ij", w[block], hessians)
    return value, gradient, hessian


def _gridded(theta: Params, rows: Rows, w: Floats, grid: _Grid, most: int) -> Total:
    """``total`` of cells whose integrals are in a table.

    With D = psi' and the tables G = int D, H = int (D D' + psi'') from t to infinity, K = D(alive at T) - s G, the
    gradient of a cell is e = (s/M) G(x, t_x) + P(alive) K(x, T) with M = s Phi + E; sums of everything but e e' are
    taken over the table, after the cells' weights have been added up in its entries.
    """
    r, alpha, s, beta = theta
    times = grid.times
    count = len(times)
    table = _table(r, alpha, s, beta, times, most + 2, 10)
    now, nxt, last_one = table[:-2], table[1:-1], table[2:, 0]
    phi, phi_1, phi_2 = now[:, 0], now[:, 1], now[:, 2]
    xs = np.arange(most + 1.0)[:, None]
    rx = r + xs
    A, B = np.log1p(times / alpha), np.log1p(times / beta)
    u, v = alpha / (alpha + times), beta / (beta + times)
    on_a, on_b = A * phi + now[:, 3], B * phi + now[:, 5]  # int log(1 + tau/alpha), int log(1 + tau/beta)
    u_phi, v_phi = rx * (u * nxt[:, 0]), (s + 1) * (v * phi_1)
    G = [-r * on_a, r * phi - u_phi, phi - s * on_b, s * phi - v_phi]
    alive, alive_2 = _complete((*theta, xs), A, B, 0.0)
    K = [D - s * g for D, g in zip(alive, G, strict=True)]

    fade = _fading(theta, times, most).ravel()
    gone = (s * phi).ravel()
    size = fade.size
    flat_G = [np.ascontiguousarray(g).ravel() for g in G]
    flat_K = [np.ascontiguousarray(np.broadcast_to(k, phi.shape)).ravel() for k in K]
    value, outer = 0.0, np.zeros((4, 4))
    W, V = np.zeros(size), np.zeros(size)
    for start in range(0, len(w), _BLOCK // 4):
        block = slice(start, start + _BLOCK // 4)
        mine, offset = w[block], rows.x[block].astype(np.intp) * count
        first, last = offset + grid.at_t_x[block], offset + grid.at_T[block]
        fade_first = fade[first]
        E = np.exp(fade[last] - fade_first)
        M = gone[first] + E * (1 - gone[last])
        value += float(np.einsum("n,n->", mine, np.log(M) + fade_first))
        lost = s / M
        there = E / M
        e = [lost * g[first] + there * k[last] for g, k in zip(flat_G, flat_K, strict=True)]
        for i in range(4):
            swayed = mine * e[i]
            for j in range(i, 4):
                outer[i, j] += np.einsum("n,n->", swayed, e[j])
        there *= mine
        lost *= mine
        # The blocks are sorted by x, so that each touches a short stretch of the table.
        low, high = int(offset.min()), int(offset.max()) + count
        V[low:high] += np.bincount(last - low, there, high - low)
        W[low:high] += np.bincount(first - low, lost, high - low)
    W -= s * V

    def add(weights: Floats, term: Any) -> float:
        return float(np.einsum("xt,xt->", weights.reshape(phi.shape), np.broadcast_to(term, phi.shape)))

    gradient = np.array([add(W, g) + add(V, D) for g, D in zip(G, alive, strict=True)])
    # Integrals of products of the logs with each other, with u = alpha/(alpha+tau) and with v = beta/(beta+tau).
    aa = A * (A * phi + 2 * now[:, 3]) + now[:, 7]
    ab = A * on_b + B * now[:, 3] + now[:, 8]
    bb = B * (B * phi + 2 * now[:, 5]) + now[:, 9]
    a_u, b_u = rx * u * (A * nxt[:, 0] + nxt[:, 3]), rx * u * (B * nxt[:, 0] + nxt[:, 5])
    a_v, b_v = (s + 1) * v * (A * phi_1 + now[:, 4]), (s + 1) * v * (B * phi_1 + now[:, 6])
    uu, vv = rx * u**2 * last_one, (s + 1) * v**2 * phi_2
    uv = rx * (s + 1) * u * v * nxt[:, 1]
    H = {
        (0, 0): r * (r * aa - on_a),
        (0, 1): r * (a_u - r * on_a + phi) - r * u * nxt[:, 0],
        (0, 2): r * (s * ab - on_a),
        (0, 3): r * (a_v - s * on_a),
        (1, 1): r**2 * phi - (2 * r + 1) * u_phi + (rx + 1) * uu,
        (1, 2): r * (phi - s * on_b) - u_phi + s * b_u,
        (1, 3): r * s * phi - r * v_phi - s * u_phi + uv,
        (2, 2): phi - 3 * s * on_b + s**2 * bb,
        (2, 3): 2 * s * phi - v_phi - s**2 * on_b + s * b_v - s * v * phi_1,
        (3, 3): s**2 * phi - (2 * s + 1) * v_phi + (s + 2) * vv,
    }
    hessian = np.zeros((4, 4))
    for (i, j), term in H.items():
        hessian[i, j] = add(W, term) + add(V, alive[i] * alive[j] + alive_2.get((i, j), 0.0)) - outer[i, j]
    hessian += np.triu(hessian, 1).T

    # What depends on x alone.
    n = np.bincount(rows.x.astype(np.intp), w, most + 1)
    x1 = xs[:, 0]
    rise = r * (psi(r + x1) - psi(r))
    value += float(n @ (_log_rising(r, x1) - x1 * np.log(alpha)))
    gradient[0] += n @ rise
    hessian[0, 0] += n @ (rise + r**2 * (polygamma(1, r + x1) - polygamma(1, r)))
    return value, gradient, hessian


def values(matrix: Floats, cells: Cells) -> Floats:
    """The log-likelihood of a base at many parameter points.

    As functions of log(c + t) with c no larger than any alpha or beta the integrals from t to infinity are analytic in
    a strip of width pi on both sides: some thirty Chebyshev nodes in t, tabulated for many points together, hold them
    for every time there is, on a day grid or not. Rows with thousands of purchases are integrated one by one.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    out = np.zeros(len(matrix))
    rows, w = cells.rows, cells.weight
    if len(w) == 0:
        return out
    if len(matrix) < 16:
        return value_only(log_likelihoods)(matrix, cells)
    common = (rows.x <= _LONGEST) & (rows.x == np.trunc(rows.x))
    for start in range(0, len(matrix), 64):
        points = matrix[start : start + 64]
        c = float(points[:, [1, 3]].min())
        half = max(float(np.log1p(rows.T.max() / c)), 1e-6) / 2
        nodes = 6 + int(np.ceil(33 / np.arcsinh(np.pi / half)))
        smooth = common if nodes < 100 else np.zeros(len(w), dtype=bool)
        if smooth.any():
            out[start : start + 64] += _smooth(points, rows.take(smooth), w[smooth], c, half, nodes)
        for i in range(len(points) if not smooth.all() else 0):
            each = log_likelihoods(list(points[i]), rows.take(~smooth))
            out[start + i] += float(np.einsum("n,n->", w[~smooth], each))
    return out


def _smooth(points: Floats, rows: Rows, w: Floats, c: float, half: float, nodes: int) -> Floats:
    """The weighted sum at some points, by interpolation in log(c + t) between 0 and 2 ``half``."""
    r, alpha, s, beta = points.T
    angles = np.pi * (np.arange(nodes) + 0.5) / nodes
    to_series = 2.0 / nodes * np.cos(np.outer(np.arange(nodes), angles))
    to_series[0] /= 2
    most = int(rows.x.max())
    columns = (r[:, None], alpha[:, None], s[:, None], beta[:, None])
    table = _table(*columns, c * np.expm1(half * (1 + np.cos(angles))), most, 1)[:, 0]
    n = len(w)
    times, code = _levels(np.concatenate([rows.t_x, rows.T]))
    basis = chebvander(np.clip(np.log1p(times / c) / half - 1, -1.0, 1.0), nodes - 1)
    on_a, on_b = np.log1p(times[:, None] / alpha), s * np.log1p(times[:, None] / beta)
    order = np.argsort(rows.x, kind="stable")
    distinct, begins = np.unique(rows.x[order], return_index=True)
    counts = np.add.reduceat(w[order], begins)
    out = (_log_rising(columns[0], distinct) - distinct * np.log(columns[1])) @ counts
    step = max(1, 2 * _BLOCK // len(points))
    for x, group in zip(distinct.tolist(), np.split(order, begins[1:]), strict=True):
        series = to_series @ (s[:, None] * table[int(x)]).T  # (nodes, points)
        for first in range(0, len(group), step):
            mine = group[first : first + step]
            at_t_x, at_T = code[mine], code[n + mine]
            fade = -(r + x) * on_a[at_t_x] - on_b[at_t_x]
            E = np.exp(-(r + x) * on_a[at_T] - on_b[at_T] - fade)
            M = basis[at_t_x] @ series
            M += E * (1 - basis[at_T] @ series)
            fade += np.log(M, out=M)
            out += np.einsum("ns,n->s", fade, w[mine])
    return np.asarray(out)


# What is known today


def p_alive(params: Params, rows: Rows) -> Floats:
    """Probability of still being a customer at T."""
    whole, still = _seen(params, rows)
    return still / whole


def survival(params: Params, rows: Rows, ahead: float) -> Floats:
    """Probability of still being a customer ``ahead`` after T."""
    _, _, s, beta = params
    return np.asarray(p_alive(params, rows) * np.exp(-s * np.log1p(ahead / (beta + rows.T))))


def log_rate(params: Params, rows: Rows) -> Floats:
    """E[log rate | data]: her rate is gamma(r + x, alpha + tau), tau when she left, or T if she is there."""
    r, alpha, s, beta = _spread(params, rows)
    x, t_x, T, _ = rows
    a, b, span = alpha + t_x, beta + t_x, T - t_x
    to_a = np.log1p(span / a)
    E = np.exp(-(r + x) * to_a - s * np.log1p(span / b))
    out = psi(r + x) - np.log(a)
    for some, y_a, _, terms in _passage(r + x, s + 1.0, a, b, span):
        over, on_y = np.einsum("nj->n", terms), np.einsum("nj,nj->n", terms, y_a)
        out[some] -= (s[some] * on_y + E[some] * to_a[some]) / (s[some] * over + E[some])
    return np.asarray(out)


# What is ahead


def _remaining(s: Any, b: Any, delta: float, horizon: float, pairs: bool, rule: _Rule) -> Floats:
    r"""\int_0^h e^{-delta v} (1 + v/b)^{-s} dv / b, or with (1 - e^{-delta v}) / (delta b) in the integrand."""
    s, b = (np.atleast_1d(value) for value in np.broadcast_arrays(s, b))
    top = np.log1p(horizon / b)
    if delta == 0 and not pairs:
        return np.asarray(top * exprel((1 - s) * top))
    rise = (2 if pairs else 1) - s
    zeta = delta * b
    reach, width = top, np.full(b.shape, _WIDTH)
    if delta < 0:
        width = np.full(b.shape, min(_WIDTH, 40 / (-delta * horizon)))
    else:
        with np.errstate(divide="ignore"):  # zeta = 0: no cut, the horizon ends it
            peak = (
                np.clip(np.log(np.maximum(rise, 1e-300) / zeta), 0.0, top)
                if delta > 0
                else np.where(rise > 0, top, 0.0)
            )
            height = rise * peak - zeta * np.expm1(peak)
            slow = zeta - rise
            reach = np.where(slow > 0, np.minimum(reach, rule.drop / np.maximum(slow, 1e-300)), reach)
            if delta > 0:
                bound = np.log1p((rule.drop + np.maximum(rise, 0.0) * 60) / zeta)
                reach = np.minimum(reach, bound)
                for _ in range(3):
                    log_f = rise * reach - zeta * np.expm1(reach) - height + rule.drop
                    tilt = rise - zeta * np.exp(reach)
                    reach = np.where((log_f < 0) & (tilt < 0), reach - log_f / np.minimum(tilt, -1e-300), reach)
    out = np.zeros(b.shape)
    for rows, y, weight in _panels(reach, reach, width, rule.nodes):
        grown = np.expm1(y)
        lapse = zeta[rows, None] * grown
        terms = weight * np.exp(rise[rows, None] * y - lapse)
        if pairs:
            terms *= -np.expm1(-y) * exprel(-lapse)
        out[rows] = np.einsum("nj->n", terms)
    return out


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
    rule = _ROUGH if rough else _FINE
    whole, still = _seen(params, rows, rule)
    there = still / whole
    r, alpha, s, beta = params
    x, T = rows.x, rows.T
    plain = all(np.ndim(value) == 0 for value in params)
    ages, at = _levels(T) if plain else (T, np.arange(n))
    B = beta + ages
    k, A = r + x, alpha + T
    rate = k / A
    mean = there * rate * (B * _remaining(s, B, delta, horizon, False, rule))[at]
    squares, pairs = np.zeros(n), np.zeros(n)
    if second:
        squares = (
            there * rate * (B * _remaining(s, B, 2 * delta, horizon, False, rule))[at] if delta != 0 else mean.copy()
        )
        pairs = there * rate * ((k + 1) / A) * (2 * B**2 * _remaining(s, B, delta, horizon, True, rule))[at]
    if plain and n > 64:
        buys, on = _levels(x)
        used, pair = _levels((on * len(ages) + at).astype(np.float64))
        used = used.astype(np.intp)
        chance = _first(params, horizon, buys[used // len(ages)], ages[used % len(ages)], rule)[pair]
    else:
        chance = _first(params, horizon, x, T, rule)
    return Forecast(mean, squares, pairs, there * np.minimum(chance, 1.0))


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
    r, alpha, s, beta = _spread(params, rows)
    gone, still = _outcomes((r, alpha, s, beta), rows)
    A, B = alpha + rows.T, beta + rows.T
    k = r + rows.x
    n = np.arange(most + 1.0)
    ways = np.cumsum(np.log1p((k[:, None] - 1) / np.maximum(n, 1)) * (n > 0), axis=1)  # log Gamma(k+n)/(Gamma(k) n!)
    low = A <= B
    m, omega = np.minimum(A, B), np.minimum(A / B, B / A)
    p_low, p_high = np.where(low, k, s + 1), np.where(low, s + 1, k)
    top = np.log1p(horizon / m)

    def log_f(y: Floats) -> Floats:  # of the largest n, which reaches furthest
        other = _other(omega, y)
        log_w = np.log(-np.expm1(-np.where(low, y, other)))
        return np.asarray((1 - p_low) * y - p_high * other + most * log_w)

    # From about half-way to the peak, and from far out: nearer by steps, as long as nothing is lost.
    half = np.minimum(np.log1p((most + 1) / (k / A + (s + 1) / B) / m), np.minimum(top, 1e3)) / 2
    least = log_f(half) - _FINE.drop
    reach = np.minimum(top, 100 - np.log(omega) + 750 / (k + s))
    while np.any(far := log_f(nearer := half + (reach - half) * 0.8) < least):
        reach = np.where(far, nearer, reach)
    for some, y, weight in _panels(40 - np.log(omega), reach, _WIDTH, _FINE.nodes + most // 2):
        other = _other(omega[some, None], y)
        terms = (1 - p_low)[some, None] * y - p_high[some, None] * other
        weight = weight * (s * np.where(low, omega, 1.0))[some, None]
        log_w = np.log(-np.expm1(-np.where(low[some, None], y, other)))
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


# Chance


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


KERNEL = Kernel(
    names=NAMES,
    time_power=(0, 1, 0, 1),
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
