r"""Quantiles of gamma distributions of many shapes, each at a rank of its own.

ln q is a smooth function of ln k and of t = ln(-ln p), for shapes k of 0.25 to 50 and ranks p of 1e-8 to 0.997. A table
of cubics in both says it within about 1e-6, and one step of Halley's method, which leaves the third power of that,
makes it as exact as the incomplete gamma function is. That takes one of these where its inverse takes several. All else
is asked of the inverse.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincinv, gammaln

__all__ = ["gamma_quantiles"]

Floats = NDArray[np.float64]

_SHAPES, _RANKS = (-1.4, 4.0), (-6.0, 3.0)  # of ln k, of ln(-ln p)
_STEP = 0.2
_MANY = tuple(round((high - low) / _STEP) for low, high in (_SHAPES, _RANKS))
_NODES = np.cos(np.pi * (np.arange(4) + 0.5) / 4)


def gamma_quantiles(shape: Floats, rank: Floats) -> Floats:
    """What a gamma variable of that shape and scale 1 stays below with the probability ``rank``."""
    with np.errstate(divide="ignore"):  # ranks of 0 and 1 are outside
        k, t = (np.log(shape) - _SHAPES[0]) / _STEP, (np.log(-np.log(rank)) - _RANKS[0]) / _STEP
    inside = (k >= 0) & (k < _MANY[0]) & (t >= 0) & (t < _MANY[1])
    if not inside.all():
        out = np.empty(inside.shape)
        out[~inside] = gammaincinv(shape[~inside], rank[~inside])
        if inside.any():
            out[inside] = gamma_quantiles(shape[inside], rank[inside])
        return out
    piece, at_t = k.astype(np.intp), t.astype(np.intp)
    for place, its in ((k, piece), (t, at_t)):
        place -= its
        place *= 2.0
        place -= 1.0
    piece *= _MANY[1]
    piece += at_t
    y = np.zeros_like(k)
    for row in _table()[::-1]:
        inner = row[3].take(piece)
        for coefficients in row[2::-1]:
            inner *= t
            inner += coefficients.take(piece)
        y *= k
        y += inner
    q: Floats = np.exp(y)
    bend = shape - q  # the second derivative by ln q over the first, which is exp(k y - q) / Gamma(k)
    y *= shape
    y -= q
    y -= gammaln(shape)
    step = (rank - gammainc(shape, q)) / np.exp(y, out=y)
    step /= 1.0 + 0.5 * step * bend
    q *= np.exp(step, out=step)
    return q


@cache
def _table() -> Floats:
    """Coefficients by powers of the places in a piece, from -1 to 1: of ln k, of ln(-ln p), by piece."""
    (k0, _), (t0, _) = _SHAPES, _RANKS
    within = (_NODES + 1) / 2
    k = np.exp(k0 + _STEP * (np.arange(_MANY[0])[:, None] + within))
    p = np.exp(-np.exp(t0 + _STEP * (np.arange(_MANY[1])[:, None] + within)))
    values = np.log(gammaincinv(k[:, :, None, None], p[None, None, :, :]))  # piece, node, piece, node
    fitted = np.linalg.inv(np.vander(_NODES, increasing=True))
    made = np.einsum("ai,bj,kitj->abkt", fitted, fitted, values)
    return np.asarray(made.reshape(4, 4, -1))
