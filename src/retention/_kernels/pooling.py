r"""Estimates of several groups, pooled: each borrows from the others as much as they are alike.

.. math:: y_k \sim N(m_k, s_k^2), \quad m_k \sim N(\mu, \tau^2), \quad \mu \sim N(centre, spread^2),

and :math:`\tau = 0` with probability ``alike``, else half-normal with scale ``between`` (Gelman 2006, Bayesian
Analysis 1, 515-533: with few groups a prior on the standard deviation itself, for estimates of it by maximum likelihood
or by moments are 0 far too often). Given :math:`\tau` all is normal (Lindley and Smith 1972, J. R. Statist. Soc. B 34,
1-41): with :math:`v_k = s_k^2 + \tau^2` and :math:`P = spread^{-2} + \sum_k v_k^{-1}`,

.. math:: \mu \mid \tau \sim N(centre + \sum_k (y_k - centre) v_k^{-1} / P,\; 1 / P), \quad
   m_k \mid \mu, \tau \sim N(w_k y_k + (1 - w_k) \mu,\; w_k s_k^2), \quad w_k = \tau^2 / v_k,

and :math:`\tau` is integrated out by Gauss-Legendre rules on panels that double from the smallest error upwards, so
that posteriors are mixtures of normals: :func:`moments`, :func:`quantile`.

Digits: squares are taken about the posterior mean of mu, not by subtracting two large sums; the integral is good to
1e-10 for up to a thousand groups (their likelihood of log tau is about :math:`1 / \sqrt{2 groups}` wide, and panels are
cut finer with it).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from retention._kernels.quadrature import legendre

__all__ = ["Mixture", "Pooled", "below", "moments", "pool", "quantile"]

Floats = NDArray[np.float64]

_NODES = 40  # a panel
_REACH = 9.0  # standard deviations after which nothing is left in a double
_MOST = 400  # panels beyond twice the scale


class Mixture(NamedTuple):
    """Mixtures of normals, one a column: means and variances are (nodes, columns), ``weight`` is (nodes,)."""

    weight: Floats
    mean: Floats
    var: Floats


class Pooled(NamedTuple):
    """What is believed after the estimates: of the groups, of what they have in common, of one not seen yet."""

    groups: Mixture
    common: Mixture
    unseen: Mixture
    share: Floats
    """(groups,) of each group's mean: what the estimates bring to it; the prior's centre brings the rest."""
    common_share: float
    """The same of the mean of what they have in common."""
    alike: float
    """Probability that the groups do not differ at all."""
    between: float
    """Posterior mean of tau."""


def pool(
    estimate: Floats, error: Floats, *, centre: float, spread: float, between: float, alike: float = 0.0
) -> Pooled:
    """The posterior of the groups' means.

    Args:
        estimate: (groups,) what each group's data say; none is fine, then the answer is the prior.
        error: (groups,) their standard errors, positive.
        centre: prior mean of what the groups have in common.
        spread: its prior standard deviation, positive.
        between: scale of the half-normal prior of the standard deviation between groups; 0 where none is believed in.
        alike: prior probability that they do not differ at all.
    """
    away, square = np.asarray(estimate, dtype=np.float64) - centre, np.asarray(error, dtype=np.float64) ** 2
    tau, prior = _prior(away, np.asarray(error, dtype=np.float64), between, alike)
    tau2 = (tau * tau)[:, None]
    v = square + tau2
    precision = spread**-2 + np.sum(1.0 / v, axis=1)
    shift = np.sum(away / v, axis=1) / precision
    spare = np.sum((away - shift[:, None]) ** 2 / v, axis=1) + (shift / spread) ** 2
    log = prior - 0.5 * (np.sum(np.log(v), axis=1) + np.log(precision) + spare)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    w = tau2 / v
    common = (centre + shift)[:, None], (1.0 / precision)[:, None]
    rest = (1.0 - w) * shift[:, None]
    return Pooled(
        groups=Mixture(weight, centre + w * away + rest, w * square + (1.0 - w) ** 2 * common[1]),
        common=Mixture(weight, *common),
        unseen=Mixture(weight, common[0], common[1] + tau2),
        share=1.0 - np.einsum("i,ik,i->k", weight, 1.0 - w, 1.0 / (precision * spread**2)),
        common_share=1.0 - float(np.einsum("i,i->", weight, 1.0 / (precision * spread**2))),
        alike=float(weight[tau == 0].sum()),
        between=float(np.einsum("i,i->", weight, tau)),
    )


def _prior(away: Floats, error: Floats, between: float, alike: float) -> tuple[Floats, Floats]:
    """Nodes of tau and the logs of their prior weights, the node 0 first."""
    zero = np.zeros(1)
    if between == 0 or alike == 1:
        return zero, zero
    # The groups may lie farther apart than the prior would have it: its fall against tau^-n has its mode below there.
    end = _REACH * between + math.sqrt(between * math.sqrt(float(np.sum(away**2))))
    first = min(float(error.min(initial=between)), between) / 4.0
    octaves = math.log2(2.0 * between / first)
    doubling = np.geomspace(first, 2.0 * between, 1 + math.ceil(octaves * math.ceil(math.sqrt(len(away) / 32.0 + 1.0))))
    even = np.linspace(2.0 * between, end, 1 + min(_MOST, math.ceil((end / between - 2.0) / 2.0)))
    edges = np.concatenate([zero, doubling[:-1], even])
    x, w = legendre(_NODES)
    half = 0.5 * np.diff(edges)[:, None]
    tau = (edges[:-1, None] + half * (1.0 + x)).ravel()
    density = np.log((half * w).ravel() * math.sqrt(2.0 / math.pi) / between) - 0.5 * (tau / between) ** 2
    spike = math.log(alike) if alike > 0 else -math.inf
    return np.concatenate([zero, tau]), np.concatenate([[spike], math.log1p(-alike) + density])


def moments(mixture: Mixture) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column."""
    weight, means, variances = mixture
    mean = np.einsum("i,ik->k", weight, means)
    return mean, np.sqrt(np.einsum("i,ik->k", weight, variances + (means - mean) ** 2))


def below(mixture: Mixture, x: Floats) -> Floats:
    """Probability of a value below ``x``, one a column."""
    weight, mean, var = mixture
    chance: Floats = np.einsum("i,ik->k", weight, ndtr((x - mean) / np.sqrt(var)))
    return chance


def quantile(mixture: Mixture, q: float) -> Floats:
    """The value below which each column lies with probability ``q``, by bisection to the last digits."""
    seen = mixture.weight > 1e-18
    weight, mean, sd = mixture.weight[seen], mixture.mean[seen], np.sqrt(mixture.var[seen])
    each = mean + ndtri(q) * sd
    low, high = each.min(axis=0), each.max(axis=0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        short = np.einsum("i,ik->k", weight, ndtr((middle - mean) / sd)) < q
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    found: Floats = 0.5 * (low + high)
    return found
