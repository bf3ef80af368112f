"""Drawing a purchase model's parameters: the height of its posterior, cheap enough to be asked a thousand times."""

import math
from typing import TYPE_CHECKING

import numpy as np

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.purchases.covariates import own_params
from retention.value.purchases.explained import DOUBT, Explained
from retention.value.purchases.posterior import Posterior
from retention.value.sampling import draw_posterior, under_prior

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells
    from retention.value.purchases.model import PurchaseModel

__all__ = ["sample_posterior"]

_COMPRESS = 20_000  # cells above which the likelihood is put on nodes first


def sample_posterior(
    model: "PurchaseModel",
    histories: Histories,
    *,
    draws: int = 1000,
    seed: int = 0,
    weight: FloatColumn | None = None,
    margins: bool = True,
) -> Posterior:
    """Draws of a model's parameters given a base, under its weak prior (see ``PurchaseModel.log_prior``).

    Coefficients of attributes are among them, under a normal prior of a standard deviation of three (or that of the
    ``penalty`` asked for), for attributes scaled to a standard deviation of one. How draws are made, and what k-hat and
    the effective number say of them: ``draw_posterior``. More than 20,000 distinct customers are put on Chebyshev nodes
    first, which is checked against the exact likelihood; with attributes, where few combinations of them exist.
    Without ``margins`` none are fitted: the draws are the same, and say nothing of money.

    Raises ConfigError for fewer than 100 draws, ModelError for a base without customers.
    """
    from retention._kernels.newton import maximise

    if not len(histories):
        raise ModelError(
            f"the posterior of {model.name} from no customers",
            rule="a posterior needs data",
            remedy="fit() gives the prior",
        )
    fitted = model.fit(histories, weight) if margins else model.fit_purchases(histories, weight)
    model, kernel = fitted.recipe, fitted.recipe.kernel()
    clock, d = model.clock(histories, weight), len(kernel.names)
    if fitted.design is None:
        cells, scales = model.cells(histories, weight, which=False).scaled(clock), np.ones(0)
        exact = Explained(kernel, (), ((cells, np.zeros((1, 0))),))
    else:
        exact, scales = model.explained(histories, fitted.design, clock, weight), fitted.design.scales
    center, sd, _ = model.log_prior(clock)
    center = np.concatenate([center, np.zeros(len(scales))])
    sd = np.concatenate([sd, np.full(len(scales), min(DOUBT, 1 / math.sqrt(max(model.penalty, 1e-9))))])
    unit = (clock / model.time_unit_days) ** np.array(kernel.time_power, dtype=np.float64)

    lean, _ = under_prior(exact.total, exact.values, center, sd)
    start = np.concatenate([np.log(fitted.purchase_params) - np.log(unit), fitted.coefficients])
    top = maximise(lean, np.clip(start, -14.0, 14.0))
    likelihood, compressed = _compressed(exact, top.point, top.hessian)
    _, height = under_prior(exact.total, likelihood.values, center, sd)
    drawn = draw_posterior(height, top.point, -top.hessian, widest=sd, draws=draws, seed=seed)
    told = np.concatenate([np.exp(drawn.points[:, :d]) * unit, drawn.points[:, d:] / scales], axis=1)
    return Posterior(
        of=fitted.name,
        fitted=fitted,
        names=kernel.names if fitted.design is None else (*kernel.names, *fitted.design.names),
        draws=told,
        method=drawn.method,
        k_hat=drawn.k_hat,
        ess=drawn.ess,
        r_hat=drawn.r_hat,
        seed=seed,
        compressed=compressed,
    )


def _own_gaps(cells: "Cells") -> bool:
    """Whether customers differ in their gaps by more than so much a purchase, which would add a constant."""
    x, gaps = cells.rows.x, cells.rows.log_gaps
    each = float(gaps.sum()) / max(float(x.sum()), 1.0)
    return not np.allclose(gaps, each * x, rtol=1e-9, atol=1e-9)


def _compressed(exact: Explained, point: FloatColumn, hessian: FloatColumn) -> tuple[Explained, bool]:
    """The cells on nodes if there are many, and if the nodes give the same differences of the likelihood."""
    from retention._kernels.nodes import compress

    kernel, d = exact.kernel, len(exact.kernel.names)
    many = sum(len(cells.weight) for cells, _ in exact.groups) > _COMPRESS
    if not many or kernel.discrete or any(len(Z) > 1 or _own_gaps(cells) for cells, Z in exact.groups):
        return exact, False
    time = kernel.time_power.index(1)
    scales = [own_params(point[:d], point[d:], Z, exact.moves)[time] for _, Z in exact.groups]
    short = [(compress(cells, float(c[0])), Z) for (cells, Z), c in zip(exact.groups, scales, strict=True)]
    nodes = exact._replace(groups=tuple(short))
    curvature, directions = np.linalg.eigh(-hessian)
    far = point + 2 * (directions / np.sqrt(np.maximum(curvature, 1e-2))).T
    both = np.concatenate([point[None], far])
    apart = nodes.values(both) - exact.values(both)
    good = bool(np.abs(apart - apart[0]).max() < 0.05)
    return (nodes, True) if good else (exact, False)
