"""How often is too often: what contacts bring a period, what they cost in people who opt out, and draws of both.

Of ``f`` contacts a period a customer brings on average::

    m(f) = m0 + a (1 - exp(-b f))         a saturates: the next contact brings less than the one before
    p(f) = 1 - exp(-(h0 + h1 f))          she opts out within the period, and contacts bring nothing more from her

With ``keep`` the worth of one period later, and ``lost`` what an opt-out loses besides, a customer who is contacted
``f`` times a period until she opts out is worth (a renewal equation, solved)::

    J(f) = A(f) - lost B(f),   A = (a (1 - exp(-b f)) - cost f) / D,   B = p(f) / D,   D = 1 - keep exp(-(h0 + h1 f))

The draws are a Gibbs sampler over groups of customers that borrow from each other: ``a`` is normal around a common
mean and ``log b``, ``log h0``, ``log h1`` likewise, means and variances drawn too (Gelman et al., Bayesian Data
Analysis, 3rd ed., section 11.6). Given ``b`` the margins are linear in (m0, a), so both are integrated in closed form
and ``b`` is drawn from a grid; ``h0`` and ``h1`` are drawn from a grid fitted to each group's likelihood.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["brought", "opted_out", "optout_draws", "response_draws", "worth"]

Floats = NDArray[np.float64]

_POINTS = 81  # of log b, over 8 units
_COARSE, _FINE = 41, 45


def brought(frequency: Any, a: Any, b: Any) -> Floats:
    """``a (1 - exp(-b f))``: margin that ``f`` contacts add; by expm1, so small ``b f`` keep all digits."""
    return np.asarray(a * -np.expm1(-np.asarray(b) * frequency), dtype=np.float64)


def opted_out(frequency: Any, h0: Any, h1: Any) -> Floats:
    """``1 - exp(-(h0 + h1 f))``: the chance to opt out within a period."""
    return np.asarray(-np.expm1(-(np.asarray(h0) + np.asarray(h1) * frequency)), dtype=np.float64)


def worth(frequency: Any, a: Any, b: Any, h0: Any, h1: Any, *, cost: float, keep: float) -> tuple[Floats, Floats]:
    """``A`` and ``B`` above: what contacts earn until she opts out, and how much of ``lost`` that takes.

    ``D`` is taken as ``-expm1(log(keep) - h)``, exact where ``keep`` is near 1 and the hazard near 0; with both at
    their limits the programme never ends and its worth is infinite, so ``keep`` must be below 1 or the hazard above 0.
    """
    hazard = np.asarray(h0) + np.asarray(h1) * frequency
    ends = -np.expm1((math.log(keep) if keep > 0 else -math.inf) - hazard)
    return (brought(frequency, a, b) - cost * np.asarray(frequency)) / ends, -np.expm1(-hazard) / ends


def response_draws(
    frequency: Floats, n: Floats, mean: Floats, variance: Floats, *, draws: int, warm: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draws of ``a`` and ``b``, each of shape (draws, groups).

    ``frequency``, ``n``, ``mean`` and ``variance`` (of one customer's margin) are (groups, arms); an arm with ``n`` = 0
    is absent. The means are taken as normal. ``a`` may come out negative: then contacts drive margin away, and do so
    less and less. Where ``a`` is near 0, ``b`` is not identified and follows its prior, one e-fold either way around
    one over the mean frequency tried.
    """
    weight = np.divide(n, variance, out=np.zeros_like(mean), where=(n > 0) & (variance > 0))
    tried = float(frequency[(n > 0) & (frequency > 0)].mean())
    middle = -math.log(tried)
    unit = _unit(frequency, weight, mean)
    groups = len(mean)
    step = 8.0 / (_POINTS - 1)
    log_b = middle + step * (np.arange(_POINTS) - (_POINTS - 1) / 2)

    def moments(at: Floats) -> tuple[Floats, Floats]:
        """Of 1 - exp(-b f), centred by weight: its square, and its product with the means; ``at`` is (groups, k)."""
        x = -np.expm1(-np.exp(at)[:, :, None] * frequency[:, None, :])
        total = weight.sum(axis=1)[:, None]
        x = x - (np.einsum("gka,ga->gk", x, weight) / total)[:, :, None]
        return np.einsum("gka,gka,ga->gk", x, x, weight), np.einsum("gka,ga,ga->gk", x, weight, mean)

    squares, products = moments(np.broadcast_to(log_b, (groups, _POINTS)))
    mean_a, var_a, mean_b, var_b = 0.0, unit**2, middle, 1.0
    kept_a, kept_b = np.empty((draws, groups)), np.empty((draws, groups))
    for i in range(-warm, draws):
        precision = squares + 1.0 / var_a
        pull = products + mean_a / var_a
        log_density = 0.5 * pull**2 / precision - 0.5 * np.log(precision) - 0.5 * (log_b - mean_b) ** 2 / var_b
        drawn = log_b[_pick(log_density, rng)] + step * (rng.random(groups) - 0.5)
        square, product = (part[:, 0] for part in moments(drawn[:, None]))
        precision_a = square + 1.0 / var_a
        a = (product + mean_a / var_a) / precision_a + rng.standard_normal(groups) / np.sqrt(precision_a)
        mean_a, var_a = _above(a, 0.0, (3.0 * unit) ** 2, (0.5 * unit) ** 2, var_a, rng)
        mean_b, var_b = _above(drawn, middle, 1.0, 0.4**2, var_b, rng)
        if i >= 0:
            kept_a[i], kept_b[i] = a, np.exp(drawn)
    return kept_a, kept_b


def optout_draws(
    frequency: Floats, n: Floats, left: Floats, *, draws: int, warm: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draws of ``h0`` and ``h1``, each of shape (draws, groups), from ``left`` of ``n`` who opted out in each arm.

    Both are positive; what the data cannot tell from zero comes out as small as they allow, by a prior of two e-folds
    around a third of the overall rate.
    """
    groups = len(n)
    tried = float(frequency[(n > 0) & (frequency > 0)].mean())
    rate = -math.log1p(-(float(left.sum()) + 0.5) / (float(n.sum()) + 1.0))
    centre = np.asarray([math.log(rate) - 1.1, math.log(rate / tried) - 1.1])

    def density(at0: Floats, at1: Floats) -> Floats:
        """Log-likelihood on each group's grid, (groups, points, points)."""
        total = np.zeros((groups, at0.shape[1], at1.shape[1]))
        for arm in range(n.shape[1]):
            hazard = np.exp(at0)[:, :, None] + (np.exp(at1) * frequency[:, arm, None])[:, None, :]
            gone, there = left[:, arm, None, None], n[:, arm, None, None]
            total += gone * np.log(-np.expm1(-hazard)) - (there - gone) * hazard
        return total

    coarse = [np.broadcast_to(c + np.linspace(-7.0, 5.0, _COARSE), (groups, _COARSE)) for c in centre]
    first = density(coarse[0], coarse[1])
    first = first - 0.125 * ((coarse[0] - centre[0]) ** 2)[:, :, None] - 0.125 * ((coarse[1] - centre[1]) ** 2)[:, None]
    chance = np.exp(first - first.max(axis=(1, 2), keepdims=True))
    fine, width = [], []
    for axis, other in ((0, 2), (1, 1)):
        heap = np.cumsum(chance.sum(axis=other), axis=1)
        heap /= heap[:, -1:]
        cell = coarse[axis][:, 1] - coarse[axis][:, 0]
        low = np.take_along_axis(coarse[axis], (heap > 1e-4).argmax(axis=1)[:, None], axis=1)[:, 0] - cell
        high = np.take_along_axis(coarse[axis], (heap >= 1 - 1e-4).argmax(axis=1)[:, None], axis=1)[:, 0] + cell
        width.append((high - low) / (_FINE - 1))
        fine.append(low[:, None] + width[-1][:, None] * np.arange(_FINE))
    table = density(fine[0], fine[1])
    mean, var = centre.copy(), np.ones(2)
    kept = np.empty((2, draws, groups))
    for i in range(-warm, draws):
        prior = [-0.5 * (fine[k] - mean[k]) ** 2 / var[k] for k in (0, 1)]
        log_density = table + prior[0][:, :, None] + prior[1][:, None, :]
        cell = _pick(log_density.reshape(groups, -1), rng)
        for k, at in enumerate(np.divmod(cell, _FINE)):
            drawn = fine[k][np.arange(groups), at] + width[k] * (rng.random(groups) - 0.5)
            mean[k], var[k] = _above(drawn, centre[k], 4.0, 0.5**2, var[k], rng)
            if i >= 0:
                kept[k, i] = np.exp(drawn)
    return kept[0], kept[1]


def _unit(frequency: Floats, weight: Floats, mean: Floats) -> float:
    """What size an effect has here: the largest difference between arms of all groups together, and its error."""
    arms = np.unique(frequency[weight > 0])
    totals = np.asarray([weight[frequency == f].sum() for f in arms])
    means = np.asarray([(weight * mean)[frequency == f].sum() for f in arms]) / totals
    errors = 1.0 / np.sqrt(totals)
    far = int(np.argmax(np.abs(means - means[0])))
    return float(abs(means[far] - means[0]) + math.hypot(errors[far], errors[0]))


def _pick(log_density: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """One position in each row, by its density."""
    heap = np.cumsum(np.exp(log_density - log_density.max(axis=1, keepdims=True)), axis=1)
    aim = rng.random(len(heap)) * heap[:, -1]
    at: NDArray[np.intp] = np.minimum((heap < aim[:, None]).sum(axis=1), heap.shape[1] - 1)
    return at


def _above(
    values: Floats, centre: float, wide: float, spread: float, var: float, rng: np.random.Generator
) -> tuple[float, float]:
    """The mean and the variance that the groups' values come from, drawn: normal and inverse-gamma (3 degrees)."""
    n = len(values)
    precision = n / var + 1.0 / wide
    mean = (float(values.sum()) / var + centre / wide) / precision + rng.standard_normal() / math.sqrt(precision)
    squares = float(((values - mean) ** 2).sum())
    return mean, (squares + 3.0 * spread) / rng.chisquare(n + 3.0)
