"""Customers whose rate and drop-out are explained, in part, by what else is known of them: likelihood and fit."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retention.frames.table import FloatColumn
from retention.value.estimate import Estimate, estimate
from retention.value.purchases.covariates import Moves, own_params

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Kernel, Rows

__all__ = ["DOUBT", "Explained", "explained", "fit_explained"]

DOUBT = 3.0
"""Standard deviation of a coefficient's weak prior, by standard deviations of its attribute: three is beyond belief."""

_BLOCK = 16_384
_FEW = 64  # combinations of attributes, up to which each is a base of its own

Derivatives = tuple[float, FloatColumn, FloatColumn]


class Explained(NamedTuple):
    """The log-likelihood of a base by (log-parameters, coefficients), first and second derivatives exact.

    ``groups`` hold cells and a design matrix: of one row where all of them have the same attributes, so that identical
    customers are merged and a kernel may share its work between them; or of a row a cell.
    """

    kernel: "Kernel"
    moves: Moves
    groups: tuple[tuple["Cells", FloatColumn], ...]

    def total(self, theta: FloatColumn) -> Derivatives:
        """Value, gradient and Hessian: the chain rule over what the kernel gives."""
        d = len(self.kernel.names)
        value, g, H = 0.0, np.zeros(len(theta)), np.zeros((len(theta), len(theta)))
        for cells, Z in self.groups:
            for z, rows, weight in _blocks(cells, Z):
                params = own_params(theta[:d], theta[d:], z, self.moves)
                if len(z) == 1:
                    part, G, B = self.kernel.total([float(p[0]) for p in params], cells)
                    way = np.concatenate([np.eye(d), self._ways(z)[:, 0]], axis=1)
                    value, g, H = value + part, g + way.T @ G, H + way.T @ B @ way
                    continue
                values, slopes, bends = self.kernel.rowwise(params, rows)
                slopes, bends, ways = slopes * weight, bends * weight, self._ways(z)
                value += float(np.einsum("n,n->", weight, values))
                g[:d] += slopes.sum(axis=1)
                H[:d, :d] += bends.sum(axis=2)
                for j, (moved, _) in enumerate(self.moves):
                    push = ways[moved, :, j]
                    g[d + j] += np.einsum("n,n->", slopes[moved], push)
                    H[:d, d + j] += np.einsum("in,n->i", bends[:, moved], push)
                    for k, (other, _) in enumerate(self.moves[: j + 1]):
                        H[d + k, d + j] += np.einsum("n,n,n->", bends[other, moved], push, ways[other, :, k])
        return value, g, np.triu(H) + np.triu(H, 1).T

    def values(self, points: FloatColumn) -> FloatColumn:
        """The value alone, at a matrix of points, a row a point."""
        d, out = len(self.kernel.names), np.zeros(len(points))
        for cells, Z in self.groups:
            for z, rows, weight in _blocks(cells, Z):
                if len(z) == 1:
                    logs = points[:, :d] + points[:, d:] @ self._ways(z)[:, 0].T
                    out += self.kernel.values(np.exp(np.clip(logs, -50.0, 50.0)), cells)
                    continue
                for i, point in enumerate(points):
                    params = own_params(point[:d], point[d:], z, self.moves)
                    out[i] += np.einsum("n,n->", weight, self.kernel.log_likelihoods(params, rows))
        return out

    def _ways(self, z: FloatColumn) -> FloatColumn:
        """By how much each log-parameter of each row goes with each coefficient: (d, n, q)."""
        ways = np.zeros((len(self.kernel.names), *z.shape))
        for j, (moved, sign) in enumerate(self.moves):
            ways[moved, :, j] = sign * z[:, j]
        return ways


def _blocks(cells: "Cells", Z: FloatColumn) -> list[tuple[FloatColumn, "Rows", FloatColumn]]:
    """All at once for those alike; a block of rows at a time for others: memory stays flat."""
    if len(Z) == 1:
        return [(Z, cells.rows, cells.weight)]
    cuts = [slice(begin, begin + _BLOCK) for begin in range(0, len(Z), _BLOCK)]
    return [(Z[cut], cells.rows.take(cut), cells.weight[cut]) for cut in cuts]


def explained(kernel: "Kernel", moves: Moves, rows: "Rows", Z: FloatColumn, weight: FloatColumn) -> Explained:
    """The likelihood of customers with a row of the design matrix each.

    Where few combinations of attributes exist, those with the same history and the same attributes count as one.
    """
    from retention._kernels.purchases import Cells, merge

    few, some = min(_FEW, len(Z) // 8), np.unique(Z[: 16 * _FEW], axis=0)
    combinations, code = (some, None) if len(some) > few else np.unique(Z, axis=0, return_inverse=True)
    if code is None or len(combinations) > few:
        return Explained(kernel, moves, ((Cells(rows, weight, np.zeros(0, dtype=np.intp)), Z),))
    members = [np.flatnonzero(code.ravel() == k) for k in range(len(combinations))]
    groups = [
        (merge(rows.take(mine), weight[mine], gaps=kernel.uses_gaps), combinations[[k]])
        for k, mine in enumerate(members)
    ]
    return Explained(kernel, moves, tuple(groups))


def fit_explained(
    base: Explained,
    *,
    model: str,
    names: tuple[str, ...],
    prior: tuple[FloatColumn, FloatColumn, FloatColumn],
    penalty: float,
    customers: float,
) -> tuple[FloatColumn, Estimate]:
    """Log-parameters and coefficients together by maximum likelihood; the evidence takes all of them for logs.

    ``names`` are those of the coefficients, ``prior`` mean, standard deviation and precision asked for of the
    log-parameters. A coefficient that the data do not identify (two attributes that say the same, a level nobody has)
    gets no standard error, and the diagnosis names it; a weak prior then holds it.
    """
    mean, sd, always = prior
    d, q = len(mean), len(names)

    def corner(theta: FloatColumn) -> Derivatives:
        value, gradient, hessian = base.total(np.concatenate([theta, np.zeros(q)]))
        return value, gradient[:d], hessian[:d, :d]

    start, _ = estimate(
        corner, model=model, names=base.kernel.names, prior_mean=mean, prior_sd=sd, always=always, customers=customers
    )
    return estimate(
        base.total,
        model=model,
        names=(*base.kernel.names, *names),
        prior_mean=np.concatenate([mean, np.zeros(q)]),
        prior_sd=np.concatenate([sd, np.full(q, DOUBT)]),
        always=np.concatenate([always, np.full(q, penalty)]),
        customers=customers,
        start=np.concatenate([start, np.zeros(q)]),
    )
