"""Fitting a purchase model whose rate and drop-out are explained, in part, by what else is known of the customers."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve

from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.margins.protocol import weights_of
from retention.value.purchases.covariates import Design
from retention.value.purchases.estimate import estimate

if TYPE_CHECKING:
    from retention._kernels.purchases import Kernel, Rows
    from retention.value.purchases.fitted import FittedPurchases
    from retention.value.purchases.model import PurchaseModel

__all__ = ["fit_explained"]

_BLOCK = 16_384
_DOUBT = 3.0  # a coefficient of three per standard deviation of its attribute is already beyond belief


def fit_explained(model: "PurchaseModel", histories: Histories, weight: FloatColumn | None) -> "FittedPurchases":
    """Parameters and coefficients together by maximum likelihood, exact first and second derivatives throughout.

    Attributes are centred and scaled: parameters are those of a customer with average attributes, and so is a
    ``prior`` on them; coefficients are told per unit of the attribute. A coefficient that the data do not identify (two
    attributes that say the same, a level nobody has) gets no standard error, and the diagnosis names it; a weak prior
    then holds it.
    """
    from retention.value.purchases.fitted import FittedPurchases

    kernel, clock = model.kernel(), model.clock(histories, weight)
    ones = weights_of(weight, len(histories))
    design = Design.learn(histories, model.rate, model.dropout, ones)
    rows, Z, w = _alike(model.rows(histories).scaled(clock), design.matrix(histories), ones)
    mean, sd, always = model.log_prior(clock)
    d, q = len(kernel.names), len(design)
    moved = [kernel.names.index(model.RATE[0])] * len(design.rate)
    signs = [model.RATE[1]] * len(design.rate)
    if model.DROPOUT is not None:
        moved += [kernel.names.index(model.DROPOUT[0])] * len(design.dropout)
        signs += [model.DROPOUT[1]] * len(design.dropout)

    def objective(theta: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
        return _total(kernel, theta, rows, Z, w, moved, signs)

    start, _ = estimate(
        lambda theta: _corner(objective(np.concatenate([theta, np.zeros(q)])), d),
        model=model.name, names=kernel.names, prior_mean=mean, prior_sd=sd, always=always,
        customers=float(ones.sum()), sketch=None,
    )  # fmt: skip
    names = (*kernel.names, *design.names)
    point, found = estimate(
        objective,
        model=model.name,
        names=names,
        prior_mean=np.concatenate([mean, np.zeros(q)]),
        prior_sd=np.concatenate([sd, np.full(q, _DOUBT)]),
        always=np.concatenate([always, np.full(q, model.penalty)]),
        customers=float(ones.sum()),
        start=np.concatenate([start, np.zeros(q)]),
    )
    unit = (clock / model.time_unit_days) ** np.array(kernel.time_power, dtype=np.float64)
    told = np.concatenate([point[:d] + np.log(unit), point[d:]])
    # estimate() speaks of positive parameters; a coefficient's own error is without the factor exp(coefficient).
    factor = np.concatenate([unit, np.exp(-point[d:]) / [c.scale for c in (*design.rate, *design.dropout)]])
    events = 0.0 if kernel.discrete else float(np.einsum("n,n->", w, rows.x))
    found = evolve(
        found,
        log_likelihood=found.log_likelihood - events * math.log(clock / model.time_unit_days),
        standard_errors={name: found.standard_errors[name] * float(f) for name, f in zip(names, factor, strict=True)},
    )
    return FittedPurchases(
        recipe=model,
        purchase_params=tuple(np.exp(told[:d]).tolist()),
        estimate=found,
        design=design,
        coefficients=tuple(told[d:].tolist()),
    )


def _corner(total: tuple[float, FloatColumn, FloatColumn], d: int) -> tuple[float, FloatColumn, FloatColumn]:
    return total[0], total[1][:d], total[2][:d, :d]


def _alike(rows: "Rows", Z: FloatColumn, w: FloatColumn) -> tuple["Rows", FloatColumn, FloatColumn]:
    """Customers with the same history and the same attributes as one, where few combinations of attributes exist."""
    from retention._kernels.purchases import Rows, merge

    combinations, code = np.unique(Z, axis=0, return_inverse=True)
    if len(combinations) > 64 or not len(Z):
        return rows, Z, w
    parts = []
    for k in range(len(combinations)):
        mine = np.flatnonzero(code.ravel() == k)
        cells = merge(rows.take(mine), w[mine], gaps=True)
        parts.append((cells.rows, np.repeat(combinations[[k]], len(cells.weight), axis=0), cells.weight))
    joined = Rows(*(np.concatenate(columns) for columns in zip(*(part[0] for part in parts), strict=True)))
    return joined, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])


def _total(
    kernel: "Kernel",
    theta: FloatColumn,
    rows: "Rows",
    Z: FloatColumn,
    w: FloatColumn,
    moved: list[int],
    signs: list[int],
) -> tuple[float, FloatColumn, FloatColumn]:
    """Value, gradient and Hessian by (log-parameters, coefficients): the chain rule over a kernel's rowwise."""
    d, q = len(kernel.names), Z.shape[1]
    value, g, H = 0.0, np.zeros(d + q), np.zeros((d + q, d + q))
    for begin in range(0, len(w), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        z, weight = Z[block], w[block]
        logs: list[Any] = [np.full(len(weight), theta[i]) for i in range(d)]
        for j in range(q):
            logs[moved[j]] = logs[moved[j]] + signs[j] * theta[d + j] * z[:, j]
        values, G, B = kernel.rowwise([np.exp(np.clip(v, -50.0, 50.0)) for v in logs], rows.take(block))
        value += float(np.einsum("n,n->", weight, values))
        G, B = G * weight, B * weight
        pushes = z * np.array(signs)
        g[:d] += G.sum(axis=1)
        H[:d, :d] += B.sum(axis=2)
        for j in range(q):
            g[d + j] += np.einsum("n,n->", G[moved[j]], pushes[:, j])
            H[:d, d + j] += np.einsum("in,n->i", B[:, moved[j]], pushes[:, j])
            for k in range(j, q):
                H[d + j, d + k] += np.einsum("n,n,n->", B[moved[j], moved[k]], pushes[:, j], pushes[:, k])
    return value, g, np.triu(H) + np.triu(H, 1).T
