"""Ridges with an unpenalised mean, from sums over rows, and what those that did not see a row foretell for it.

The penalty is found by the marginal likelihood, so nothing is searched for on held-out rows; sums of parts add up, so a
fit without some rows costs no more than their sums.

Digits: moments are sums over rows of columns that the caller has centred and scaled; ridges solve in their
eigenvectors.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "added", "fold_of", "grouped_ridge", "guesses", "moments", "ridge"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

# The penalties of a ridge, as multiples of the number of rows: what is finer or coarser changes no guess.
_PENALTIES = np.logspace(-5.0, 1.0, 31)
# The least and the largest penalty of a group of features: a ranking wants the little that a useless one may tell.
_WEAK, _STRONG = 1e-5, 10.0
_STEPS = 20


class Moments(NamedTuple):
    """Sums over rows that a ridge needs: of x x', x y', y^2, x, y, and 1; several targets y at once."""

    gram: Floats
    cross: Floats
    squares: Floats
    x: Floats
    y: Floats
    n: float

    def plus(self, other: "Moments") -> "Moments":
        """Of both sets of rows."""
        return self._with(other, 1.0)

    def minus(self, other: "Moments") -> "Moments":
        """Of the rows that the other lacks."""
        return self._with(other, -1.0)

    def _with(self, other: "Moments", sign: float) -> "Moments":
        return Moments(
            self.gram + sign * other.gram,
            self.cross + sign * other.cross,
            self.squares + sign * other.squares,
            self.x + sign * other.x,
            self.y + sign * other.y,
            self.n + sign * other.n,
        )


def moments(x: Floats, y: Floats) -> Moments:
    """Of features ``x`` (p, n) and targets ``y`` (targets, n)."""
    return Moments(
        np.einsum("in,jn->ij", x, x),
        np.einsum("in,tn->it", x, y),
        np.einsum("tn,tn->t", y, y),
        x.sum(axis=1),
        y.sum(axis=1),
        float(x.shape[1]),
    )


def ridge(sums: Moments) -> Floats:
    """Mean and coefficients, shape (1 + p, targets), at the penalty that the marginal likelihood likes best.

    With ``C = X'X`` about the means, ``l_j, v_j`` its eigenpairs, ``u = V'X'y``: up to a constant

        log p(y | alpha) = -((n - 1) ln(y'y - sum u_j^2 / (l_j + alpha)) + sum ln(1 + l_j / alpha)) / 2,

    sigma^2 profiled out (Tipping and Bishop's evidence; MacKay 1992). A target that does not vary has its mean alone.
    """
    n = sums.n
    mean_x, mean_y, centred, cross, squares = _centred(sums)
    length, axes = np.linalg.eigh(centred)
    length = np.maximum(length, 0.0)
    u = np.einsum("ij,it->jt", axes, cross)
    alpha = n * _PENALTIES
    fitted = np.einsum("jt,ja->ta", u**2, 1 / (length[:, None] + alpha))
    left = np.maximum(squares[:, None] - fitted, 1e-12 * squares[:, None])
    spread = np.log1p(length[:, None] / alpha).sum(axis=0)
    best = alpha[np.argmin((n - 1) * np.log(left / squares[:, None]) + spread, axis=1)]
    slopes = np.einsum("ij,jt->it", axes, u / (length[:, None] + best))
    return np.concatenate([(mean_y - np.einsum("i,it->t", mean_x, slopes))[None], slopes])


def grouped_ridge(sums: Moments, groups: Ints) -> Floats:
    """Mean and coefficients, shape (1 + p, targets), with a penalty for each group of features.

    Coefficients of group g are N(0, sigma^2 / alpha_g), and the alphas a stationary point of the marginal likelihood:
    with ``S = (C + diag(alpha))^-1``, ``b = S X'y`` and the group's share of directions that the data decide,
    ``gamma_g = sum (1 - alpha_g S_ii)``, MacKay's (1992, Neural Computation 4, 415-447) step is

        alpha_g = sigma^2 gamma_g / sum b_i^2,        sigma^2 = (y'y - b'X'y) / (n - 1),

    from the number of rows for all, at most twenty times, kept within [1e-5, 10] times the number of rows. What the
    target does not depend on goes to the upper end: automatic relevance determination.
    """
    n = sums.n
    mean_x, mean_y, centred, cross, squares = _centred(sums)
    slopes = np.empty_like(cross)
    for t in range(len(squares)):
        c = cross[:, t]
        alpha = np.full(int(groups.max()) + 1, n)
        for _ in range(_STEPS):
            inverse = np.linalg.inv(centred + np.diag(alpha[groups]))
            b = np.einsum("ij,j->i", inverse, c)
            noise = max(float(squares[t] - np.einsum("i,i->", b, c)), 1e-12 * squares[t]) / max(n - 1, 1.0)
            decided = np.bincount(groups, 1 - alpha[groups] * np.diag(inverse))
            energy = np.bincount(groups, b * b)
            fresh = np.where(energy > 0, noise * decided / np.where(energy > 0, energy, 1.0), np.inf)
            fresh = np.clip(fresh, _WEAK * n, _STRONG * n)
            settled = bool(np.all(np.abs(np.log(fresh / alpha)) < 0.01))
            alpha = fresh
            if settled:
                break
        slopes[:, t] = np.linalg.solve(centred + np.diag(alpha[groups]), c)
    return np.concatenate([(mean_y - np.einsum("i,it->t", mean_x, slopes))[None], slopes])


def _centred(sums: Moments) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Means, and sums about them; of a target that does not vary nothing is left but its mean."""
    n = max(sums.n, 1.0)
    mean_x, mean_y = sums.x / n, sums.y / n
    squares = sums.squares - n * mean_y**2
    varies = squares > 1e-12 * sums.squares
    return (
        mean_x,
        mean_y,
        sums.gram - n * np.einsum("i,j->ij", mean_x, mean_x),
        np.where(varies, sums.cross - n * np.einsum("i,t->it", mean_x, mean_y), 0.0),
        np.where(varies, squares, 1.0),
    )


def guesses(coefficients: Floats, features: Floats) -> Floats:
    """What linear rules foretell, shape (targets, n)."""
    return np.asarray(coefficients[0][:, None] + np.einsum("it,in->tn", coefficients[1:], features))


def added(parts: list[Moments]) -> Moments:
    """Of all these rows together."""
    out = parts[0]
    for part in parts[1:]:
        out = out.plus(part)
    return out


def fold_of(codes: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """A fold for every row, the folds of every arm as equal in size as can be."""
    out = np.empty(len(codes), dtype=np.intp)
    start = 0
    for code in range(int(codes.max(initial=-1)) + 1):
        rows = rng.permutation(np.flatnonzero(codes == code))
        # The arms go on where the one before ended, so that the folds as wholes are of equal size as well.
        out[rows] = (start + np.arange(len(rows))) % folds
        start += len(rows)
    return out
