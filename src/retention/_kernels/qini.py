"""How well a score ranks customers by what a contact changes: Radcliffe's Qini curve."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "qini"]

Floats = NDArray[np.float64]


class Curve(NamedTuple):
    """Share contacted, incremental outcome per treated customer at that share, area above the diagonal, its error."""

    share: Floats
    gain: Floats
    area: float
    error: float


def qini(score: Floats, treated: NDArray[np.bool_], outcome: Floats) -> Curve:
    r"""Radcliffe's Qini curve and the area between it and the diagonal, per treated customer.

    Customers go from the highest score down; after the first k of them

    .. math:: Q(k) = \Bigl(Y_1(k) - Y_0(k) \frac{N_1(k)}{N_0(k)}\Bigr) \Big/ N_1

    with N the customers and Y the outcomes of treated (1) and control (0) among them (Radcliffe 2007, Direct Marketing
    Analytics Journal 1, 14-21). Equal scores come in together, along a straight line.

    The error is that of the U-statistic ``mean(psi_i (F(s_i) - 1/2))`` to which the area is equal in large samples:
    ``psi`` the score of the effect about the arms' means, ``F`` the rank from below. It holds for scores made without
    the outcomes that they rank.
    """
    n = len(score)
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order]) != 0), n - 1)
    t, y = treated[order], outcome[order]
    n1, n0 = np.cumsum(t)[ends].astype(np.float64), np.cumsum(~t)[ends].astype(np.float64)
    y1, y0 = np.cumsum(np.where(t, y, 0.0))[ends], np.cumsum(np.where(t, 0.0, y))[ends]
    whole1, whole0 = n1[-1], n0[-1]
    # While nobody of the control has come yet there is nothing to subtract.
    ratio = np.divide(n1, n0, out=np.zeros_like(n1), where=n0 > 0)
    share = np.concatenate([[0.0], (ends + 1.0) / n])
    gain = np.concatenate([[0.0], (y1 - y0 * ratio) / whole1])
    area = float(np.einsum("k,k->", np.diff(share), (gain[1:] + gain[:-1]) / 2)) - float(gain[-1]) / 2

    chance = whole1 / n
    mean1, mean0 = y1[-1] / whole1, y0[-1] / whole0
    psi = mean1 - mean0 + np.where(t, (y - mean1) / chance, -(y - mean0) / (1 - chance))
    group = np.repeat(np.arange(len(ends)), np.diff(np.append(-1, ends)))
    below = 1 - (share[:-1] + share[1:])[group] / 2
    sums = np.concatenate([[0.0], np.cumsum(psi)[ends]]) / n
    above = (sums[:-1] + sums[1:])[group] / 2
    influence = psi * (below - 0.5) + above
    return Curve(share, gain, area, float(influence.std() / math.sqrt(n)))
