"""Draws of a posterior in a handful of dimensions, from its height alone: importance sampling, or a sampler."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError, nearest
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, read_only

__all__ = ["ParameterDraws", "Sampled", "draw_posterior", "under_prior"]

Objective = Callable[[FloatColumn], tuple[float, FloatColumn, FloatColumn]]
Height = Callable[[FloatColumn], FloatColumn]

UNTRUSTED = 0.7
"""Pareto k-hat above which importance weights are not to be relied on (Vehtari et al. 2024)."""

MIXED = 1.02
"""R-hat from which the walkers of a sampler are sent on."""

_DEGREES = 7.0
_ROUNDS = 4  # of proposals, each learning from the one before, until the sampler takes over
_WALKS = 4  # times at most that walkers are sent on


class Sampled(NamedTuple):
    """Equally likely points (draws, d), and how far they can be trusted: see ``ParameterDraws``."""

    points: FloatColumn
    method: str
    k_hat: float
    ess: float
    r_hat: float


@frozen(kw_only=True, eq=False, repr=False)
class ParameterDraws:
    """Equally likely draws of a model's parameters, and how far they can be trusted.

    ``draws`` is (S, d) in the order of ``names``, in the units of the model ``of``. ``method`` is "psis" (a normal
    approximation corrected by Pareto-smoothed importance sampling) or "ensemble" (a sampler, where ``k_hat`` said that
    the correction does not hold); ``ess`` is the effective number of draws, ``r_hat`` is 1 for "psis".
    """

    of: str
    names: tuple[str, ...]
    draws: FloatColumn = field(converter=read_only)
    method: str
    k_hat: float
    ess: float
    r_hat: float
    seed: int

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, name: str) -> FloatColumn:
        if name not in self.names:
            raise ConfigError(
                f"draws of {name!r}", rule="draws are of a parameter", remedy=nearest(str(name), self.names)
            )
        return read_only(self.draws[:, self.names.index(name)])

    def summary(self) -> dict[str, dict[str, float]]:
        """By parameter: mean, sd, and the 5, 50 and 95 % quantiles."""
        quantiles = np.quantile(self.draws, [0.05, 0.5, 0.95], axis=0)
        return {
            name: {"mean": float(self.draws[:, j].mean()), "sd": float(self.draws[:, j].std(ddof=1)),
                   "q05": float(quantiles[0, j]), "q50": float(quantiles[1, j]), "q95": float(quantiles[2, j])}
            for j, name in enumerate(self.names)
        }  # fmt: skip

    def evidence(self) -> dict[str, Any]:
        """For the provenance of what is said from these draws; plain JSON values."""
        k_hat = self.k_hat if math.isfinite(self.k_hat) else None
        return {"posterior": self.summary(), "method": self.method, "k_hat": k_hat, "ess": self.ess}

    def plot(self, ax: Any = None, *, names: tuple[str, str] | None = None) -> Any:
        """Draw two parameters against each other (default: the last two); log scales, but for what may be below 0."""
        ax = axes(ax)
        first, second = names or self.names[-2:]
        x, y = self[first], self[second]
        ax.scatter(x, y, s=6, alpha=0.35, color="#1f5f8b", linewidths=0)
        scales = ["log" if np.all(values > 0) else "linear" for values in (x, y)]
        ax.set(xscale=scales[0], yscale=scales[1], xlabel=first, ylabel=second)
        ax.set_title(f"{self.of}: {self.ess:,.0f} effective draws", fontsize=10)
        return ax

    def __repr__(self) -> str:
        width = max(6, *map(len, self.names))
        rows = "".join(
            f"\n  {name:>{width}}  {s['mean']:10.4g} ± {s['sd']:.2g}   [{s['q05']:.4g}, {s['q95']:.4g}]"
            for name, s in self.summary().items()
        )
        trust = f"k-hat {self.k_hat:.2f}" if self.method == "psis" else f"R-hat {self.r_hat:.3f}"
        return (
            f"<{type(self).__name__} of {self.of}: {len(self):,} draws, {self.method}, "
            f"{self.ess:,.0f} effective, {trust}>{rows}"
        )


def under_prior(total: Objective, values: Height, center: FloatColumn, sd: FloatColumn) -> tuple[Objective, Height]:
    """A log-likelihood under a normal prior: with its derivatives at one point, and its height at many.

    Beyond e^25 no parameter is told from infinity, and its prior is e^-100 of what it was: there the height ends.
    """

    def lean(theta: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
        value, gradient, hessian = total(theta)
        pull = (theta - center) / sd**2
        return value - float(pull @ (theta - center)) / 2, gradient - pull, hessian - np.diag(sd**-2.0)

    def height(points: FloatColumn) -> FloatColumn:
        found = values(np.clip(points, -25.0, 25.0)) - 0.5 * np.sum(((points - center) / sd) ** 2, axis=1)
        return np.where(np.all(np.abs(points) < 25.0, axis=1) & np.isfinite(found), found, -np.inf)

    return lean, height


def draw_posterior(
    height: Height,
    mode: FloatColumn,
    precision: FloatColumn,
    *,
    widest: FloatColumn,
    draws: int,
    seed: int,
) -> Sampled:
    """Draws of the density whose logarithm, up to a constant, is ``height`` of a matrix of points (a row a point).

    ``precision`` is minus the second derivative at the ``mode``, ``widest`` the standard deviation of the prior. A
    t(7) proposal around the mode is corrected by Pareto-smoothed importance sampling. If its k-hat is above 0.7 (few
    customers, a flat direction) the proposal is fitted to the weighted draws and tried again, up to three times; if
    that does not do, an ensemble sampler takes over.

    Raises ConfigError for fewer than 100 draws.
    """
    if draws < 100:
        raise ConfigError(f"draws={draws!r}", rule="a posterior needs 100 draws or more", remedy="1000 is usual")
    from retention._kernels.psis import smooth

    rng = np.random.default_rng(seed)
    middle, root = mode, _root(precision)
    for _ in range(_ROUNDS):
        proposals, log_q = _student(middle, root, draws, rng)
        smoothed = smooth(height(proposals) - log_q)
        if smoothed.k_hat <= UNTRUSTED:
            # Systematic resampling: each draw as often as its weight says, to within one.
            steps_up = (np.arange(draws) + rng.random()) / draws
            points = proposals[np.searchsorted(np.cumsum(smoothed.weights), steps_up).clip(0, draws - 1)]
            return Sampled(points[rng.permutation(draws)], "psis", smoothed.k_hat, smoothed.ess, 1.0)
        # A slanted or bent posterior: propose from what the weights have learned of it, a little wider. A few draws
        # know little of many dimensions: a shape without width in some would look right there, unseen.
        middle = smoothed.weights @ proposals
        away = (proposals - middle) * np.sqrt(smoothed.weights)[:, None]
        known = smoothed.ess / (smoothed.ess + len(mode))
        cover = 1.3 * known * (away.T @ away) + (1 - known) * (root @ root.T)
        root = np.asarray(np.linalg.cholesky(cover + 1e-9 * np.diag(widest**2)), dtype=np.float64)

    from retention._kernels.ensemble import judged, walk

    walkers = 16 * len(mode)
    begin = proposals[rng.choice(draws, walkers, p=smoothed.weights)]
    begin = begin + 0.1 * rng.standard_normal(begin.shape) @ root.T
    walked = walk(height, begin, rng, warm_up=300, steps=max(600, 12 * draws // walkers))
    for _ in range(_WALKS):
        if walked.r_hat < MIXED:
            break
        more = walk(height, walked.draws[-1], rng, warm_up=0, steps=600)
        walked = judged(np.concatenate([walked.draws, more.draws]))
    flat = walked.draws.reshape(-1, len(mode))
    points = flat[np.linspace(0, len(flat) - 1, draws).round().astype(np.intp)]
    return Sampled(
        points[rng.permutation(draws)], "ensemble", smoothed.k_hat, min(walked.ess, float(draws)), walked.r_hat
    )


def _student(
    middle: FloatColumn, root: FloatColumn, draws: int, rng: np.random.Generator
) -> tuple[FloatColumn, FloatColumn]:
    """Draws of a multivariate t, and the log of their density up to a constant."""
    steps = rng.standard_normal((draws, len(middle))) * np.sqrt(_DEGREES / rng.chisquare(_DEGREES, draws))[:, None]
    return middle + steps @ root.T, -0.5 * (_DEGREES + len(middle)) * np.log1p(np.sum(steps**2, axis=1) / _DEGREES)


def _root(precision: FloatColumn) -> FloatColumn:
    """A square root of the covariance; no direction wider than the prior could make it."""
    curvature, axes_ = np.linalg.eigh(precision)
    return np.asarray(axes_ / np.sqrt(np.maximum(curvature, 1e-2)))
