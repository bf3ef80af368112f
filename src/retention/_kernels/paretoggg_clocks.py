r"""Purchases to come of a Pareto/GGG's customers who are nearly clocks: k in the hundreds and more.

Expected numbers of theirs rise by a step at each purchase due, too sharp for the nodes of ``paretoggg_renewals``; but
there are only so many purchases in a horizon, and each arrival is one integral (``paretoggg_ahead``). So

    E[sum of d_i] = \sum_n \int a_n(v) e^(-delta v) dv,   a_n the density of the n-th arrival that she is there for

and of pairs of purchases the n-th, at v, is the second of n - 1. Where the first n - 1 fall is then a matter of shares
of H + v alone: the first gap's is phi ~ beta(k, (n-1) k), more than c = H / (H + v), and of the rest the (i-1) gaps up
to the i-th take B ~ beta((i-1) k, (n-i) k). Discounts of theirs, e^(-delta v_i), are told by three cumulants of v_i,
all of order 1 / k and less; those of the truncated phi follow from its density at c by parts, without an integral.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from retention._kernels.paretoggg_ahead import Outlook, Precision, among, arrivals

__all__ = ["counts", "sharp"]

Floats = NDArray[np.float64]
Where = NDArray[np.intp]

_MOST, _WORK = 4000.0, 4e5  # purchases that are counted one by one, and that number times the root of k
_REST = 1e-12
_AMONG = 20  # nodes over the first n - 1 purchases


def _most(o: Outlook, horizon: float) -> Floats:
    """More purchases than she can make in the horizon, as good as certainly: at the fastest that her rate may be."""
    fastest = (o.p.a + 7 * np.sqrt(o.p.a) + 28) / o.p.A
    return np.asarray(fastest * horizon * (1 + 7 / np.sqrt(o.p.k)) + 2)


def _due(o: Outlook, horizon: float) -> Floats:
    """How many will have to be counted, about: where little is known of her rate, her silence says that it is low."""
    with np.errstate(divide="ignore"):
        waited = np.maximum((o.p.H + horizon) / o.p.H, 1 + horizon * o.p.a / o.p.A)
    return np.asarray(np.minimum(_most(o, horizon), waited * (1 + 7 / np.sqrt(o.p.k)) + 2))


def sharp(o: Outlook, horizon: float, delta: float, allowed: float) -> NDArray[np.bool_]:
    """The pairs whose steps would leave errors above ``allowed``, and whose purchases can be counted.

    Relative errors seen: by ``paretoggg_renewals`` 1e-5 at k = 100 (7e-5 of newcomers), 1e-12 at 30 (1e-6 where the
    horizon is a thousand gaps); here, of discounted pairs, 1e-2 times the square of what a gap's discount strays by.
    """
    p, due = o.p, _due(o, horizon)
    steps, strays = 1e-5 * (p.k / 100) ** 4, (delta * np.maximum(p.A / p.a, p.H)) ** 2 / p.k
    countable = (due < _MOST) & (due * np.sqrt(p.k) < _WORK)
    return np.asarray((steps * o.matters > allowed) & (1e-2 * strays**2 < steps) & countable)


def counts(
    o: Outlook, horizon: float, delta: float, precision: Precision, second: bool
) -> tuple[Floats, Floats, Floats, Floats]:
    """As ``paretoggg_renewals.means`` tells them: (mean, squares, pairs, P(any))."""
    size = len(o.T)
    mean, squares, both, first = (np.zeros(size) for _ in range(4))
    most = _most(o, horizon)
    going, n = np.arange(size), 0
    while len(going):
        n += 1
        of, last = o.take(going), np.zeros(size)
        for some, v, mass, longer in arrivals(of, float(n), horizon, precision):
            at = going[some]
            faded = mass * np.exp(-delta * v)
            last[at] = faded.sum(axis=1)
            mean[at] += last[at]
            if n == 1:
                first[at] = mass.sum(axis=1)
            if second:
                squares[at] += (faded * np.exp(-delta * v)).sum(axis=1)
            if second and n > 1:
                k, H = of.p.k[some][:, None], of.p.H[some][:, None]
                before = n - 1.0 if delta == 0 else _before(float(n), k, H, v, delta, longer)
                both[at] += 2 * (faded * before).sum(axis=1)
        going = going[(n < most[going]) & (n**2 * last[going] > _REST * mean[going])]
    return mean, squares, both, first


def _before(n: float, k: Floats, H: Floats, v: Floats, delta: float, longer: Floats) -> Floats:
    """The sum of the discounts of the n - 1 purchases before the n-th, at ``v``; ``longer`` is ln P(phi > c)."""
    m, span = (n - 1) * k, H + v
    mu, c = 1 / n, H / span
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = np.exp(np.minimum(k * np.log(c) + m * np.log1p(-c) - betaln(k, m) - longer, 300.0))
    # c (1 - c) times the density of phi at c, given that phi is more; no mean of phi is above 1.
    edge = np.where(c > 0, np.minimum(edge, (k + m) * (1 - mu)), 0.0)
    spread = mu * (1 - mu)
    e1 = edge / (k + m)
    e2 = (spread + (1 - 2 * mu) * e1 + (c - mu) * edge) / (k + m + 1)
    e3 = (2 * spread * e1 + 2 * (1 - 2 * mu) * e2 + (c - mu) ** 2 * edge) / (k + m + 2)
    mean, variance = mu + e1, np.maximum(e2 - e1**2, 0.0)
    skew = e3 - 3 * e1 * e2 + 2 * e1**3
    out = np.zeros_like(v)
    for share, weight in zip(*among(n - 1, _AMONG), strict=True):
        b = share * (1 - share) / (m + 1)
        b3 = 2 * b * (1 - 2 * share) / (m + 2)
        left, rest = 1 - share, 1 - mean
        first = span * (mean * left + share) - H
        second = span**2 * (left**2 * variance + rest**2 * b + variance * b)
        third = span**3 * (left**3 * skew + rest**3 * b3 - 6 * left * rest * variance * b)
        out += weight * np.exp(np.minimum(-delta * first + delta**2 / 2 * second - delta**3 / 6 * third, 0.0))
    return out
