r"""Millions of cells as a few thousand weighted nodes: the same log-likelihood, whatever the parameters.

For each number of purchases x the log-likelihood is a smooth function of (t_x, T), so that

    sum_i l(x_i, t_i, T_i) = sum_i sum_j L_j(t_i, T_i) l(x_i, node_j) + error = sum_j W_j l(x_i, node_j) + error

with L a tensor product of Chebyshev-Lagrange polynomials: one linear map of the data, made once, to weights W, some of
them negative. The idea is that of polynomial approximate sufficient statistics (Huggins, Adams and Broderick 2017),
without their approximation of the likelihood itself. Coordinates that make it smooth: ln(c + T), and the share
ln((c + T) / (c + t_x)) / ln((c + T) / c) in [0, 1]; ``c`` is near the models' alpha. The log odds of having left run
through x times that log ratio, so the share is cut into panels along it.
"""

import numpy as np
from numpy.typing import NDArray

from retention._kernels.purchases import Cells, Rows

__all__ = ["compress"]

Floats = NDArray[np.float64]

_PANELS = np.array([0.0, 2.0, 4.0, 7.0, 11.0, 17.0, 28.0, np.inf])
_ACROSS, _ALONG, _SINGLE = 12, 9, 24


def compress(cells: Cells, c: float) -> Cells:
    """Fewer, weighted rows with the same sum of any smooth function; groups smaller than their grid stay as they are.

    ``which`` of the result is empty: nodes are not customers. Only for models whose rows are (x, t_x, T).
    """
    x, t_x, T, _ = cells.rows
    w = cells.weight
    pieces: list[tuple[Floats, Floats, Floats, Floats]] = []
    begins = np.flatnonzero(np.diff(x, prepend=-1.0))
    for group in np.split(np.arange(len(x)), begins[1:]):
        each = float(x[group[0]]) if len(group) else 0.0
        eta = np.log(c + T[group])
        if each == 0:
            pieces.append(_line(t_x[group], T[group], w[group], eta, c))
            continue
        longest = float(eta.max()) - np.log(c)
        share = (eta - np.log(c + t_x[group])) / np.maximum(eta - np.log(c), 1e-300)
        edges = np.minimum(_PANELS / (each * max(longest, 1e-300)), 1.0)
        panel = np.clip(np.searchsorted(edges, share, side="right") - 1, 0, len(edges) - 2)
        for k in np.unique(panel):
            mine = group[panel == k]
            here = panel == k
            ends = (float(edges[k]), float(min(edges[k + 1], 1.0)))
            pieces.append(_sheet(each, t_x[mine], T[mine], w[mine], share[here], eta[here], ends, c))
    xs, ts, ages, weights = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    return Cells(Rows(xs, ts, ages, np.zeros(len(xs))), weights, np.zeros(0, dtype=np.intp))


def _line(t_x: Floats, T: Floats, w: Floats, eta: Floats, c: float) -> tuple[Floats, Floats, Floats, Floats]:
    low, high = float(eta.min()), float(eta.max())
    if len(T) <= _SINGLE or high - low < 1e-9:
        return np.zeros(len(T)), t_x, T, w
    ages = np.maximum(np.exp(_nodes(low, high, _SINGLE)) - c, 0.0)
    sums = np.einsum("kn,n->k", _polynomials(eta, low, high, _SINGLE), w)
    return np.zeros(_SINGLE), np.zeros(_SINGLE), ages, sums @ _series(_SINGLE)


def _sheet(
    x: float, t_x: Floats, T: Floats, w: Floats, share: Floats, eta: Floats, ends: tuple[float, float], c: float
) -> tuple[Floats, Floats, Floats, Floats]:
    low, high = float(eta.min()), float(eta.max())
    if len(T) <= _ACROSS * _ALONG or high - low < 1e-9 or ends[1] - ends[0] < 1e-12:
        return np.full(len(T), x), t_x, T, w
    at_share, at_eta = _nodes(*ends, _ACROSS), _nodes(low, high, _ALONG)
    across, along = _polynomials(share, *ends, _ACROSS), _polynomials(eta, low, high, _ALONG)
    across *= w
    weights = _series(_ACROSS).T @ (across @ along.T) @ _series(_ALONG)
    eta_grid = np.broadcast_to(at_eta, weights.shape)
    ages = np.exp(eta_grid) - c
    last = np.exp(eta_grid - at_share[:, None] * (eta_grid - np.log(c))) - c
    ages = np.maximum(ages, 0.0)
    return np.full(weights.size, x), np.clip(last, 0.0, ages).ravel(), ages.ravel(), weights.ravel()


def _nodes(low: float, high: float, n: int) -> Floats:
    """Chebyshev nodes between ``low`` and ``high``."""
    return (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(n) + 0.5) / n)


def _series(n: int) -> Floats:
    """The Lagrange polynomial of each of ``n`` nodes as a sum of Chebyshev polynomials: (polynomials, nodes)."""
    k = np.arange(n)
    series = 2.0 / n * np.cos(np.outer(k, np.pi * (k + 0.5) / n))
    series[0] /= 2
    return np.asarray(series)


def _polynomials(points: Floats, low: float, high: float, n: int) -> Floats:
    """The first ``n`` Chebyshev polynomials between ``low`` and ``high`` at each point: (n, points)."""
    z = np.clip((2 * points - low - high) / (high - low), -1.0, 1.0)
    found = np.empty((n, len(points)))
    found[0], found[1] = 1.0, z
    z = 2 * z
    for k in range(2, n):
        np.multiply(z, found[k - 1], out=found[k])
        found[k] -= found[k - 2]
    return found
