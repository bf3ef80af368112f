r"""Competing causes of one end: the Aalen-Johansen estimator, with delayed entry and ties.

With :math:`n(s)` at risk and :math:`d_j(s)` ends of cause j on day s, :math:`d = \sum_j d_j`,

.. math:: S(t) = \prod_{s \le t} \bigl(1 - d(s)/n(s)\bigr), \qquad F_j(t) = \sum_{s \le t} S(s-)\, d_j(s)/n(s),

so that :math:`\sum_j F_j + S = 1` at every t, exactly (Aalen and Johansen 1978). The variance of any
:math:`A = \sum_j w_j F_j` is the delta method's (Marubini and Valsecchi 1995, eq. 10.12, for one cause):

.. math:: \sum_{s \le t} \frac{(A(t)-A(s))^2 d}{n (n-d)}
          + \frac{S(s-)^2}{n^2}\Bigl(\sum_j w_j^2 d_j - \frac{(\sum_j w_j d_j)^2}{n}\Bigr)
          - \frac{2 (A(t)-A(s))\, S(s-) \sum_j w_j d_j}{n^2}.

An end on the day on which others are censored comes first; who enters at age e is at risk from age e on, that day
included.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Risks", "at_risk", "incidence", "incidence_variance", "survival"]

Array = NDArray[np.float64]


class Risks(NamedTuple):
    """What happened on each day on which something ended: the day, how many were at risk, ends by cause (K, m)."""

    time: Array
    number: Array
    ends: Array

    @property
    def all_ends(self) -> Array:
        """Ends of any cause by day."""
        return np.asarray(self.ends.sum(axis=0))


def at_risk(entry: Array, exit: Array, cause: NDArray[np.int64], causes: int) -> Risks:
    """Counts by day. ``cause`` is -1 for who has not ended; who leaves before she enters is nobody's risk."""
    seen = exit >= entry
    entry, exit, cause = entry[seen], exit[seen], cause[seen]
    time, day = np.unique(exit[cause >= 0], return_inverse=True)
    ends = np.zeros((causes, len(time)))
    np.add.at(ends, (cause[cause >= 0], day.reshape(-1)), 1.0)
    entered = np.searchsorted(np.sort(entry), time, side="right")
    gone = np.searchsorted(np.sort(exit), time, side="left")
    return Risks(time.astype(np.float64), (entered - gone).astype(np.float64), ends)


def survival(risks: Risks, kept: "Array | None" = None) -> Array:
    """S at each day; ``kept`` scales the hazards of the causes (K,), 1 each by default."""
    ends = risks.all_ends if kept is None else np.einsum("k,km->m", kept, risks.ends)
    return np.asarray(np.cumprod(1.0 - ends / risks.number))


def incidence(risks: Risks, kept: "Array | None" = None) -> Array:
    """F by cause and day, (K, m), with the causes' hazards scaled by ``kept``."""
    S = survival(risks, kept)
    before = np.concatenate([[1.0], S[:-1]]) if len(S) else S
    ends = risks.ends if kept is None else risks.ends * np.asarray(kept)[:, None]
    return np.asarray(np.cumsum(before * ends / risks.number, axis=1))


def incidence_variance(risks: Risks, weights: Array) -> Array:
    """The variance of ``weights @ F`` at each day."""
    n, d, S = risks.number, risks.all_ends, survival(risks)
    before = np.concatenate([[1.0], S[:-1]]) if len(S) else S
    w = np.asarray(weights, dtype=np.float64)
    own, squares = np.einsum("k,km->m", w, risks.ends), np.einsum("k,km->m", w**2, risks.ends)
    A = np.cumsum(before * own / n)
    # Where all who are left end at once nothing can follow, so that day's Greenwood term meets A(t) - A(s) = 0.
    g = np.divide(d, n * (n - d), out=np.zeros_like(d), where=n > d)
    h = before * own / n**2
    G0, G1, G2 = np.cumsum(g), np.cumsum(A * g), np.cumsum(A**2 * g)
    H0, H1 = np.cumsum(h), np.cumsum(A * h)
    spread = A**2 * G0 - 2 * A * G1 + G2 + np.cumsum(before**2 / n**2 * (squares - own**2 / n))
    return np.asarray(np.maximum(spread - 2 * (A * H0 - H1), 0.0))
