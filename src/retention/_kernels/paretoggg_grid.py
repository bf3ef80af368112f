r"""Customers of a Pareto/GGG times the values of her regularity k that matter: the trapezoidal rule in ln k.

The posterior of ln k is smooth, with tails that fall at least exponentially, so equal steps are exact to the last
digits once they are short against its width, about 1 / sqrt(t + x). Steps are 0.3 over powers of the root of 2, so that
customers with like x share their values of k. What weighs less than e^-depth of the heaviest is left out.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from retention._kernels import gammagaps
from retention._kernels.purchases import Params, Rows

__all__ = ["Pairs", "pairs", "spread", "weighed"]

Floats = NDArray[np.float64]
Where = NDArray[np.intp]

_LONGEST = 0.3  # step in ln k


class Pairs(NamedTuple):
    """Customers times the values of k that matter for them, flat: ``row`` is the customer, ascending."""

    row: Where
    begins: Where
    log_weight: Floats  # prior of k, density of the gaps, spacing of the grid
    k: Floats
    x: Floats
    t_x: Floats
    H: Floats
    r: Floats
    alpha: Floats
    s: Floats
    beta: Floats
    a: Floats
    A: Floats

    def take(self, some: Any) -> "Pairs":
        """Some of the pairs; ``begins`` stays that of all."""
        taken: list[Any] = [each if name == "begins" else each[some] for name, each in self._asdict().items()]
        return Pairs(*taken)

    def v(self, h: Floats) -> Floats:
        """ln(k h / A), -inf for a wait of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(h) + np.log(self.k) - np.log(self.A))

    def sums(self, values: Floats) -> Floats:
        """Sums over each customer's values of k."""
        return np.asarray(np.add.reduceat(values, self.begins, axis=-1))


def spread(params: Params, n: int) -> list[Floats]:
    """Each parameter as one value a customer."""
    return [np.broadcast_to(np.asarray(p, dtype=np.float64), (n,)) for p in params]


def _reach(t: Floats, gamma: Floats, x: Floats) -> float:
    """ln of a k that all posteriors have left behind."""
    return float(np.log((t + x + 60 + 10 * np.sqrt(t + x)) / gamma).max())


def pairs(params: Params, rows: Rows, *, wide: float = 1.0, depth: float | Floats = 30.0) -> Pairs:
    """The values of k that weigh more than e^-``depth`` of her heaviest, ``wide`` times the usual step apart."""
    n = len(rows.x)
    t, gamma, r, alpha, s, beta = spread(params, n)
    step = wide * _LONGEST * 0.5 ** (np.ceil(np.log2(np.maximum((_LONGEST / 0.76) ** 2 * (t + rows.x), 1.0))) / 2)
    # Silence may weigh values of k against each other by as much as the chance to have left since.
    left = s * np.log1p((rows.T - rows.t_x) / (beta + rows.t_x))
    deep = depth - np.log(np.maximum(-np.expm1(-np.maximum(left, 1e-12)), 1e-12))
    found: list[tuple[Where, Floats, Floats]] = []

    def weights(some: Where, grid: Floats, k: Floats) -> Floats:
        at = [each[some][:, None] for each in (rows.x, rows.t_x, rows.log_gaps, r, alpha)]
        prior = t[some][:, None] * grid - gamma[some][:, None] * k
        # As k falls to 0 the chance of a silence falls like k; it is not in the density of the gaps.
        return np.asarray(prior + gammagaps.likelihood(k, *at))

    for h in np.unique(step):
        same = np.flatnonzero(step == h)
        for start in range(0, len(same), 256):
            some = same[start : start + 256]
            coarse = np.arange(-60.0, max(_reach(t[some], gamma[some], rows.x[some]), 1.0), min(2 * h, 0.5))
            seen = weights(some, coarse, np.exp(coarse)) + np.minimum(coarse, 0.0)
            inside = np.flatnonzero(np.any(seen > (seen.max(axis=1) - deep[some] - 3)[:, None], axis=0))
            low, high = coarse[max(inside[0] - 1, 0)], coarse[min(inside[-1] + 1, len(coarse) - 1)]
            fine = np.arange(np.floor(low / h), np.ceil(high / h) + 1) * h
            k = np.exp(fine)
            heavy = weights(some, fine, k)
            proxy = heavy + np.minimum(fine, 0.0)
            i, j = np.nonzero(proxy > (proxy.max(axis=1) - deep[some])[:, None])
            found.append((some[i], k[j], heavy[i, j] + np.log(h)))
    row, k, weight = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(row, kind="stable")
    row, k, weight = row[order], k[order], weight[order]
    begins = np.searchsorted(row, np.arange(n))
    weight = weight + (t * np.log(gamma) - gammaln(t))[row]
    x, t_x, H = rows.x[row], rows.t_x[row], (rows.T - rows.t_x)[row]
    a, A = r[row] + k * x, alpha[row] + k * t_x
    return Pairs(row, begins, weight, k, x, t_x, H, r[row], alpha[row], s[row], beta[row], a, A)


def weighed(p: Pairs, logs: Floats) -> tuple[Floats, Floats]:
    """(ln of the sum over k, each pair's share of it)."""
    top = np.maximum.reduceat(logs, p.begins)
    e = np.exp(logs - top[p.row])
    sums = p.sums(e)
    return np.asarray(top + np.log(sums)), np.asarray(e / sums[p.row])
