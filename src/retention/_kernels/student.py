r"""Quantiles of Student's t for many customers at ranks of their own: a table for each number of degrees.

As a function of v = sqrt(-2 ln p) the quantile is nearly a straight line where there are many degrees, and smooth for
any; its nearest singularity is v = 0. On pieces of width 1/20 from v = 3/4 on a polynomial of degree 6 through its
Chebyshev nodes is within 1e-12 of it for 2 degrees and more: a few products instead of the search that an inverse of
the incomplete beta function takes. What is more likely than that (p > 0.754) or rarer (p < 1e-15), and what few
customers share, is asked outright.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = ["Quantiles", "alike"]

Floats = NDArray[np.float64]

_FIRST, _PIECES, _STEP, _POWER = 0.75, 152, 0.05, 6
_LEAST = 2.0  # degrees, below which the quantile grows too steeply for such pieces
_SHARED = 128  # customers of one number of degrees from whom on a table pays
_NODES = np.cos(np.pi * (np.arange(_POWER + 1) + 0.5) / (_POWER + 1))
_FITTED = np.linalg.inv(np.vander(_NODES, increasing=True))


def alike(degrees: Floats) -> tuple[Floats, NDArray[np.intp]] | None:
    """The distinct degrees (a prior's plus a number of gaps) and each customer's place; None if they are not alike."""
    if degrees.ndim != 1 or degrees.size < 1000:
        return None
    least = degrees.min()
    gaps = np.rint(degrees - least).astype(np.intp)
    many = int(gaps.max()) + 1
    if many > degrees.size or not np.array_equal(least + gaps, degrees):
        return None
    return least + np.arange(many), gaps


class Quantiles:
    """Of customers with these degrees; the tables are shared by all who are asked about."""

    def __init__(self, degrees: Floats) -> None:
        self.degrees = degrees
        self.table: Floats | None = None
        shared = alike(degrees)
        if shared is None:
            return
        values, at = shared
        tabled = (np.bincount(at, minlength=len(values)) >= _SHARED) & (values >= _LEAST)
        if tabled.any():
            self.table = np.concatenate([_table(nu) for nu in values[tabled].tolist()], axis=1)
            self.start = ((np.cumsum(tabled) - 1) * _PIECES)[at]
            self.alone = ~tabled[at]

    def at(self, log_p: Floats) -> Floats:
        """What she stays below with the probability of that logarithm."""
        if self.table is None:
            return np.asarray(stdtrit(self.degrees, np.exp(log_p)))
        place = np.sqrt(-2.0 * log_p)
        place -= _FIRST
        place *= 1 / _STEP
        outright = ~((place >= 0) & (place < _PIECES)) | self.alone
        place[outright] = 0.0
        piece = place.astype(np.intp)
        place -= piece
        place *= 2.0
        place -= 1.0
        piece += self.start
        piece[outright] = 0
        out: Floats = self.table[_POWER].take(piece)
        for coefficients in self.table[_POWER - 1 :: -1]:
            out *= place
            out += coefficients.take(piece)
        out[outright] = stdtrit(self.degrees[outright], np.exp(log_p[outright]))
        return out


@lru_cache(maxsize=2048)
def _table(nu: float) -> Floats:
    """Coefficients of each piece, by rising powers of the place in it from -1 to 1."""
    v = _FIRST + _STEP * (np.arange(_PIECES) + (_NODES[:, None] + 1) / 2)
    return np.asarray(_FITTED @ stdtrit(nu, np.exp(-(v**2) / 2)))
