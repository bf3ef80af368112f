"""Likelihoods of the Pareto/NBD model, and what is known of a customer today: see ``paretonbd`` for the equations."""

from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.special import gammaln, polygamma, psi, zeta

from retention._kernels.paretonbd_integrals import FINE, Rule, passage, passed
from retention._kernels.paretonbd_tables import LONGEST, fading, shared, table_of
from retention._kernels.purchases import Cells, Derivatives, Floats, Grid, Params, Rows, Total, levels, value_only

__all__ = [
    "first_purchase", "log_likelihoods", "log_rate", "log_rising", "outcomes", "p_alive", "rowwise", "seen", "spread",
    "survival", "total", "values",
]  # fmt: skip

_BLOCK = 8192  # cells at a time: their temporaries stay in cache


def spread(params: Params, rows: Rows) -> tuple[Floats, ...]:
    """The parameters as arrays of one number a row."""
    return tuple(np.broadcast_to(np.asarray(value, dtype=np.float64), rows.x.shape) for value in params)


def some_of(params: Params, which: Any) -> Params:
    """The parameters of some rows."""
    return [value[which] if np.ndim(value) else value for value in params]


def seen(params: Params, rows: Rows, rule: Rule = FINE, grid: Grid | None = None) -> tuple[Floats, Floats]:
    """(s Phi + E, E) of the model's docstring; ``grid`` is that of the rows, if it is known."""
    r, alpha, s, beta = params
    x = rows.x
    grid, most = shared(params, rows, grid)
    whole, still = np.empty(x.shape), np.empty(x.shape)
    one_by_one = np.ones(x.shape, dtype=bool)
    if grid is not None:
        sharing = x <= most
        every = bool(sharing.all())
        one_by_one = ~sharing
        count = len(grid.times)
        gone = s * table_of(r, alpha, s, beta, grid.times, most, 1)[:, 0].ravel()
        fade = fading(params, grid.times, most).ravel()
        for start in range(0, len(x), _BLOCK):
            pick: Any = slice(start, start + _BLOCK)
            if not every:
                pick = start + np.flatnonzero(sharing[pick])
            offset = x[pick].astype(np.intp) * count
            last = offset + grid.at_T[pick]
            offset += grid.at_t_x[pick]
            E = fade[last]
            E -= fade[offset]
            still[pick] = np.exp(E, out=E)
            E *= 1 - gone[last]
            E += gone[offset]
            whole[pick] = E
        if every:
            return whole, still
    gone, still[one_by_one] = outcomes(some_of(params, one_by_one), rows.take(one_by_one), rule)
    whole[one_by_one] = gone + still[one_by_one]
    return whole, still


def outcomes(params: Params, rows: Rows, rule: Rule = FINE) -> tuple[Floats, Floats]:
    """(s Phi, E), each row by her own integral: what she did if she has left, and if she has not."""
    r, alpha, s, beta = params
    x, t_x, T, _ = rows
    a, b, span = alpha + t_x, beta + t_x, T - t_x
    still = np.exp(-(r + x) * np.log1p(span / a) - s * np.log1p(span / b))
    return np.asarray(s * passed(r + x, s + 1.0, a, b, span, rule)), still


def log_rising(r: Any, x: Any) -> Any:
    """log Gamma(r + x) - log Gamma(r); by Stirling's series where both are large and would cancel."""
    big = np.maximum(r, 64.0)
    total = big + x

    def rest(v: Any) -> Any:
        return (1 / 12 - (1 / 360 - 1 / (1260 * v**2)) / v**2) / v

    stirling = (big - 0.5) * np.log1p(x / big) + x * (np.log(total) - 1) + rest(total) - rest(big)
    return np.where(np.asarray(r) < 64.0, gammaln(r + x) - gammaln(r), stirling)


def log_likelihoods(params: Params, rows: Rows) -> Floats:
    """Log-likelihood of each customer (equations of Fader and Hardie's 2005 note, as one integral)."""
    return _logs(params, rows, seen(params, rows)[0])


def _logs(params: Params, rows: Rows, whole: Floats) -> Floats:
    """The log-likelihoods that go with s Phi + E."""
    r, alpha, s, beta = params
    x, t_x, _, _ = rows
    out = np.log(whole)
    bought = x > 0
    if not bought.all():
        # Without a purchase L = 1 - P(at least one in T): near 0, log L comes from that chance.
        never = ~bought
        some = first_purchase(some_of(params, never), rows.T[never], 0.0, 0.0)
        out[never] = np.where(some < 0.5, np.log1p(-np.minimum(some, 0.5)), out[never])
    known = log_rising(r, x) - r * np.log1p(t_x / alpha) - x * np.log(alpha + t_x) - s * np.log1p(t_x / beta)
    return np.asarray(out + known)


def first_purchase(params: Params, span: Any, x: Any, T: Any, rule: Rule = FINE) -> Floats:
    """P(a purchase within ``span`` of T) of one still there at T."""
    r, alpha, s, beta = params
    a, b = alpha + T, beta + T
    return np.asarray((r + x) * (b / a) * passed(r + x + 1, s, a, b, span, rule))


def rowwise(params: Params, rows: Rows) -> Derivatives:
    """Log-likelihoods with gradients and Hessians by the log-parameters, each customer by her own integral.

    With psi(tau) the log of the complete likelihood had she left at tau (or is alive at T), the gradient is E[psi'],
    the Hessian E[psi''] + Cov[psi'], over the posterior of what happened.
    """
    n = len(rows.x)
    r, alpha, s, beta = theta = spread(params, rows)
    x, t_x, T, _ = rows
    a, b, span = alpha + t_x, beta + t_x, T - t_x
    log_a, log_b = np.log1p(t_x / alpha), np.log1p(t_x / beta)
    to_a, to_b = np.log1p(span / a), np.log1p(span / b)
    E = np.exp(-(r + x) * to_a - s * to_b)
    whole, gradients, hessians = np.ones(n), np.zeros((4, n)), np.zeros((4, 4, n))
    for rows_, y_a, y_b, terms in passage(r + x, s + 1.0, a, b, span):
        part = (np.hstack([y_a, to_a[rows_, None]]), np.hstack([y_b, to_b[rows_, None]]))
        weight = np.hstack([s[rows_, None] * terms, E[rows_, None]])
        whole[rows_] = np.einsum("nj->n", weight)
        weight /= whole[rows_, None]
        dead = np.ones(weight.shape[1])
        dead[-1] = 0.0
        known = [value[rows_, None] for value in (*theta, x)]
        first, second = complete(known, log_a[rows_, None] + part[0], log_b[rows_, None] + part[1], dead)
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


def complete(known: Any, log_a: Any, log_b: Any, dead: Any) -> tuple[list[Any], dict[tuple[int, int], Any]]:
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
    grid, most = shared(theta, rows, cells.grid)
    value, gradient, hessian = 0.0, np.zeros(4), np.zeros((4, 4))
    alone = np.arange(len(w)) if grid is None else np.flatnonzero(rows.x > most)
    if grid is not None:
        # Sorted by x as cells are, those that share come first; otherwise they are picked.
        first = len(w) - len(alone)
        pick: Any = slice(0, first) if len(alone) == 0 or alone[0] == first else np.flatnonzero(rows.x <= most)
        its_grid = Grid(grid.times, grid.at_t_x[pick], grid.at_T[pick])
        value, gradient, hessian = _gridded(theta, rows.take(pick), w[pick], its_grid, most)
    for start in range(0, len(alone), 1 << 15):
        block = alone[start : start + (1 << 15)]
        values, gradients, hessians = rowwise(theta, rows.take(block))
        value += float(np.einsum("n,n->", w[block], values))
        gradient = gradient + np.einsum("n,in->i", w[block], gradients)
        hessian = hessian + np.einsum("n,ijn->ij", w[block], hessians)
    return value, gradient, hessian


def _gridded(theta: Params, rows: Rows, w: Floats, grid: Grid, most: int) -> Total:
    """``total`` of cells whose integrals are in a table.

    With D = psi' and the tables G = int D, H = int (D D' + psi'') from t to infinity, K = D(alive at T) - s G, the
    gradient of a cell is e = (s/M) G(x, t_x) + P(alive) K(x, T) with M = s Phi + E; sums of everything but e e' are
    taken over the table, after the cells' weights have been added up in its entries.
    """
    r, alpha, s, beta = theta
    times = grid.times
    count = len(times)
    table = table_of(r, alpha, s, beta, times, most + 2, 10)
    now, nxt, last_one = table[:-2], table[1:-1], table[2:, 0]
    phi, phi_1, phi_2 = now[:, 0], now[:, 1], now[:, 2]
    xs = np.arange(most + 1.0)[:, None]
    rx = r + xs
    A, B = np.log1p(times / alpha), np.log1p(times / beta)
    u, v = alpha / (alpha + times), beta / (beta + times)
    on_a, on_b = A * phi + now[:, 3], B * phi + now[:, 5]  # int log(1 + tau/alpha), int log(1 + tau/beta)
    u_phi, v_phi = rx * (u * nxt[:, 0]), (s + 1) * (v * phi_1)
    G = [-r * on_a, r * phi - u_phi, phi - s * on_b, s * phi - v_phi]
    alive, alive_2 = complete((*theta, xs), A, B, 0.0)
    K = [D - s * g for D, g in zip(alive, G, strict=True)]

    fade = fading(theta, times, most).ravel()
    gone = (s * phi).ravel()
    size = fade.size
    flat_G = [np.ascontiguousarray(g).ravel() for g in G]
    flat_K = [np.ascontiguousarray(np.broadcast_to(k, phi.shape)).ravel() for k in K]
    value, outer = 0.0, np.zeros((4, 4))
    W, V = np.zeros(size), np.zeros(size)
    room = np.empty((12, min(_BLOCK, len(w))))  # the blocks' numbers, in the same place every time
    for start in range(0, len(w), _BLOCK):
        block = slice(start, start + _BLOCK)
        mine = w[block]
        e, weighted, (E, M, begun, part) = (own[:, : len(mine)] for own in (room[:4], room[4:8], room[8:]))
        offset = rows.x[block].astype(np.intp)
        offset *= count
        first, last = offset + grid.at_t_x[block], offset + grid.at_T[block]
        fade.take(first, out=begun, mode="clip")
        fade.take(last, out=E, mode="clip")
        E -= begun
        np.exp(E, out=E)
        gone.take(last, out=M, mode="clip")
        np.subtract(1.0, M, out=M)
        M *= E
        M += gone.take(first, out=part, mode="clip")
        begun += np.log(M, out=part)
        value += float(mine @ begun)
        there = np.divide(E, M, out=E)
        lost = np.divide(s, M, out=M)
        for row, g, k in zip(e, flat_G, flat_K, strict=True):
            g.take(first, out=row, mode="clip")
            row *= lost
            k.take(last, out=part, mode="clip")
            part *= there
            row += part
        outer += np.multiply(e, mine, out=weighted) @ e.T  # too short for more than one thread
        there *= mine
        lost *= mine
        # Cells are sorted by x, so that each block touches a short stretch of the table, and then by t_x: one entry of
        # it after the other, whose cells are added up first.
        low, high = int(offset.min()), int(offset.max()) + count
        last -= low
        V[low:high] += np.bincount(last, there, high - low)
        begins = np.flatnonzero(np.concatenate([[True], first[1:] != first[:-1]]))
        W[low:high] += np.bincount(first[begins] - low, np.add.reduceat(lost, begins), high - low)
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
    begins = np.flatnonzero(np.concatenate([[True], rows.x[1:] != rows.x[:-1]]))
    x1, n = rows.x[begins], np.add.reduceat(w, begins)
    rise = r * (psi(r + x1) - psi(r))
    value += float(n @ (log_rising(r, x1) - x1 * np.log(alpha)))
    gradient[0] += n @ rise
    hessian[0, 0] += n @ (rise + r**2 * (zeta(2.0, r + x1) - zeta(2.0, r)))
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
    common = (rows.x <= LONGEST) & (rows.x == np.trunc(rows.x))
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
    table = table_of(*columns, c * np.expm1(half * (1 + np.cos(angles))), most, 1)[:, 0]
    n = len(w)
    times, code = levels(np.concatenate([rows.t_x, rows.T]))
    basis = chebvander(np.clip(np.log1p(times / c) / half - 1, -1.0, 1.0), nodes - 1)
    on_a, on_b = np.log1p(times[:, None] / alpha), s * np.log1p(times[:, None] / beta)
    order = np.argsort(rows.x, kind="stable")
    distinct, begins = np.unique(rows.x[order], return_index=True)
    counts = np.add.reduceat(w[order], begins)
    out = (log_rising(columns[0], distinct) - distinct * np.log(columns[1])) @ counts
    step = max(1, 16 * _BLOCK // len(points))
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


def p_alive(params: Params, rows: Rows) -> Floats:
    """Probability of still being a customer at T."""
    whole, still = seen(params, rows)
    return still / whole


def survival(params: Params, rows: Rows, ahead: float) -> Floats:
    """Probability of still being a customer ``ahead`` after T."""
    _, _, s, beta = params
    return np.asarray(p_alive(params, rows) * np.exp(-s * np.log1p(ahead / (beta + rows.T))))


def log_rate(params: Params, rows: Rows) -> Floats:
    """E[log rate | data]: her rate is gamma(r + x, alpha + tau), tau when she left, or T if she is there."""
    r, alpha, s, beta = spread(params, rows)
    x, t_x, T, _ = rows
    a, b, span = alpha + t_x, beta + t_x, T - t_x
    to_a = np.log1p(span / a)
    E = np.exp(-(r + x) * to_a - s * np.log1p(span / b))
    out = psi(r + x) - np.log(a)
    for some, y_a, _, terms in passage(r + x, s + 1.0, a, b, span):
        over, on_y = np.einsum("nj->n", terms), np.einsum("nj,nj->n", terms, y_a)
        out[some] -= (s[some] * on_y + E[some] * to_a[some]) / (s[some] * over + E[some])
    return np.asarray(out)
