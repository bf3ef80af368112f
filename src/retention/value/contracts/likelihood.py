"""The likelihood of a base of contracts: those alike merged, covariates in units of their own spread."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, frozen

from retention.frames.table import BoolColumn, FloatColumn
from retention.value.contracts.tenures import Tenures

if TYPE_CHECKING:
    from retention._kernels.contracts import Contractual

__all__ = ["ContractLikelihood", "spread_out"]

_SKETCH = 2_000  # rows that stand for all while the climb looks for where to start
_BLOCK = 1 << 16  # numbers in a temporary


def spread_out(kernel: "Contractual", theta: FloatColumn, z: FloatColumn) -> list[Any]:
    """Each parameter as a number, or one value a row where covariates act on it.

    ``theta`` holds the log-parameters, then the effects of the covariates on one parameter after another. It may be a
    matrix, one point a row: then every parameter has one row a point.
    """
    d, m = len(kernel.names), z.shape[1]
    logs: list[Any] = [theta[i] if theta.ndim == 1 else theta[:, i, None] for i in range(d)]
    if m:
        for block, i in enumerate(kernel.scaled):
            effects = theta[..., d + block * m : d + (block + 1) * m]
            logs[i] = logs[i] + np.einsum("nm,...m->...n", z, effects)
    return [np.exp(np.clip(values, -60, 60)) for values in logs]


@frozen(kw_only=True, eq=False)
class ContractLikelihood:
    """Distinct customers and how many share each, for a model with covariates ``design`` (rows, covariates).

    Covariates are in standard deviations from their mean, so that a prior on their effects has no unit of its own;
    ``back @ theta`` are the log-parameters and effects in the covariates' own units, from their own zero.
    """

    kernel: "Contractual"
    renewals: FloatColumn
    ended: BoolColumn
    weight: FloatColumn
    design: FloatColumn
    back: FloatColumn
    varies: BoolColumn

    @classmethod
    def of(cls, kernel: "Contractual", tenures: Tenures, z: FloatColumn) -> Self:
        """From customers and their covariates, a row each; merging is exact."""
        keys = np.column_stack([tenures.renewals, tenures.ended, z])[tenures.weight > 0]
        distinct, which = np.unique(keys, axis=0, return_inverse=True)
        weight = np.bincount(which.reshape(-1), tenures.weight[tenures.weight > 0], len(distinct)).astype(np.float64)
        z = distinct[:, 2:]
        total = float(weight.sum()) or 1.0
        middle = np.einsum("n,nm->m", weight, z) / total
        spread = np.sqrt(np.einsum("n,nm->m", weight, (z - middle) ** 2) / total)
        varies = spread > 1e-9 * (np.abs(middle) + spread)
        scale = np.where(varies, spread, 1.0)
        d, m = len(kernel.names), z.shape[1]
        back = np.eye(d + m * len(kernel.scaled))
        for block, i in enumerate(kernel.scaled):
            own = slice(d + block * m, d + (block + 1) * m)
            back[own, own] = np.diag(1 / scale)
            back[i, own] = -middle * varies / scale
        return cls(
            kernel=kernel,
            renewals=distinct[:, 0],
            ended=distinct[:, 1] > 0,
            weight=weight,
            design=np.where(varies, (z - middle) / scale, 0.0),
            back=back,
            varies=varies,
        )

    def total(self, theta: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
        """Log-likelihood, gradient and Hessian at one point."""
        from retention._kernels.contracts import rowwise

        d, m = len(self.kernel.names), self.design.shape[1]
        # The parameter that each of theta acts on, and by how much in each row.
        acts = np.array([*range(d), *(i for i in self.kernel.scaled for _ in range(m))])
        columns = np.concatenate([np.ones((len(self.weight), d)), *[self.design] * len(self.kernel.scaled)], axis=1)
        values, g, h = rowwise(self.kernel, spread_out(self.kernel, theta, self.design), self.renewals, self.ended)
        hessian = np.zeros((len(theta), len(theta)))
        for i in range(d):
            for k in range(d):
                block = np.ix_(acts == i, acts == k)
                mine, theirs = columns[:, acts == i], columns[:, acts == k]
                hessian[block] = np.einsum("n,nj,nk->jk", self.weight * h[i, k], mine, theirs)
        gradient = np.einsum("nj,nj->j", (self.weight * g).T[:, acts], columns)
        return float(np.einsum("n,n->", self.weight, values)), gradient, hessian

    def values(self, points: FloatColumn) -> FloatColumn:
        """The log-likelihood at many points, one a row."""
        from retention._kernels.contracts import log_likelihoods

        out = np.empty(len(points))
        step = max(1, _BLOCK // max(len(self.weight), 1))
        for start in range(0, len(points), step):
            params = spread_out(self.kernel, points[start : start + step], self.design)
            each = log_likelihoods(self.kernel, params, self.renewals, self.ended)
            out[start : start + step] = np.einsum("n,...n->...", self.weight, each)
        return out

    def sketch(self) -> "ContractLikelihood | None":
        """A few thousand of the rows, if there are many more."""
        every = len(self.weight) // _SKETCH
        if every <= 1:
            return None
        some = slice(None, None, every)
        return evolve(
            self,
            renewals=self.renewals[some],
            ended=self.ended[some],
            weight=self.weight[some],
            design=self.design[some],
        )

    def reason(self) -> str:
        """What about the customers keeps the likelihood from having a maximum, where that is plain to see."""
        if not len(self.weight):
            return "there are no customers"
        if not self.ended.any():
            return "nobody has ended yet"
        if np.all(self.ended) and np.all(self.renewals == self.renewals[0]):
            return f"all ended at decision {int(self.renewals[0]) + 1}"
        if int((self.renewals + self.ended).max()) <= 1:
            return "only one renewal decision was seen, which tells the mean chance and not how customers differ"
        return ""
