r"""Pareto/NBD integrals that customers on a day grid share: a table over purchases x and times t.

With z = (alpha - beta) / (alpha + t) the integrals from t to infinity obey the two-term recursion
(p + s) Phi_p = 1 + p z Phi_{p+1} over p = r + x (integration by parts), and so do their moments; it is run downwards or
upwards in x, whichever damps errors (Gautschi 1967, SIAM Review 9(1)).
"""

from typing import Any

import numpy as np

from retention._kernels.paretonbd_integrals import passage
from retention._kernels.purchases import Floats, Grid, Params, Rows, levels

__all__ = ["LONGEST", "fading", "shared", "table_of"]

LONGEST = 2000
"""x in a table."""


def shared(params: Params, rows: Rows, grid: Grid | None = None) -> tuple[Grid | None, int]:
    """The grid if sharing pays, and the largest x on it: rows with more purchases are integrated one by one. ``grid``
    is that of the rows, if it is known."""
    n = len(rows.x)
    if n < 16 or any(np.ndim(value) for value in params):
        return None, -1
    x = rows.x.astype(np.intp)
    if not np.array_equal(x, rows.x):
        return None, -1
    if grid is None:
        times, code = levels(np.concatenate([rows.t_x, rows.T]))
        grid = Grid(times, code[:n], code[n:])
    times = grid.times
    # A row's integral costs as much as some 300 entries of a table; a time costs an integral, a step 1,500 entries.
    counts = np.bincount(x if x.max() <= LONGEST else x[x <= LONGEST], minlength=1)
    cost = (np.arange(len(counts)) + 1) * (len(times) + 1500.0) + 300.0 * (n - np.cumsum(counts) + len(times))
    most = int(np.argmin(cost))
    if cost[most] > 300.0 * n:
        return None, -1
    return grid, most


def table_of(r: Any, alpha: Any, s: Any, beta: Any, times: Floats, most: int, moments: int) -> Floats:
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
    for rows, y_a, y_b, terms in passage(p, q, a.ravel(), b.ravel(), np.inf):
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


def fading(params: Params, times: Floats, most: int) -> Floats:
    """log of (1 + t/alpha)^{-(r+x)} (1 + t/beta)^{-s} for x = 0 .. most."""
    r, alpha, s, beta = params
    return np.asarray(-(r + np.arange(most + 1.0))[:, None] * np.log1p(times / alpha) - s * np.log1p(times / beta))
