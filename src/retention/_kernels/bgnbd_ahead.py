r"""What is ahead of a customer of BG/NBD or MBG/NBD who is still there, as averages over her drop-out probability.

Her rate and her drop-out probability are independent then, gamma(r + x, alpha + T) and beta(a, b + x + m), and what she
buys is Poisson until she leaves. With k = r + x, A = alpha + T, c = horizon / A every forecast is an average over p of
a smooth function of p c. Two roads lead to it. The quick one makes, for each distinct x, one Chebyshev series in
y = ln(1 + c) and reads its own accuracy off the last coefficients; where that does not suffice (a sharp step: x in the
thousands, parameters at the edge of the possible) the slow one integrates customer by customer. Customers of one age
and one x share their answer, so that a base in whole days needs a small table.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from retention._kernels.purchases import Grid, Params, Rows, levels
from retention._kernels.quadrature import beta_grid, beta_rule, decaying_rule, legendre

__all__ = ["ENDLESS", "Pairs", "alike", "pairs_of", "purchases_ahead", "shrunk"]

Floats = NDArray[np.float64]

ENDLESS = 45.0
"""Discounted by e^-45, what lies beyond is below the last digit of a float."""

_ALONE = 1 << 17  # products of numbers
_TIGHT, _LOOSE = 1e-11, 1e-4  # relative size that the last Chebyshev coefficients may have


def alike(k: Any, a: Any, b: Any) -> list[NDArray[np.intp]]:
    """Positions of customers who share all three, group by group."""
    keys = [key for key in (k, a, b) if np.ndim(key)]
    if len(keys) == 2 and np.ndim(a) == 0:
        spread = np.ptp(keys[0] - keys[1]) if len(keys[0]) else 0.0
        keys = keys[:1] if spread < 1e-9 else keys  # k and b both are x and a constant: one of them tells
    order = np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys)
    fresh = np.zeros(len(order), dtype=bool)
    fresh[:1] = True
    for key in keys:
        fresh[1:] |= np.diff(key[order]) != 0
    return np.split(order, np.flatnonzero(fresh)[1:])


def shrunk(z: Floats) -> Floats:
    """(1 - e^-z) / z."""
    safe = np.where(np.abs(z) > 1e-12, z, 1.0)
    return np.where(np.abs(z) > 1e-12, -np.expm1(-safe) / safe, 1.0)


class Pairs(NamedTuple):
    """The distinct x and T of some rows, and the place of each row in a table of all pairs."""

    xs: Floats
    ages: Floats
    entry: NDArray[np.intp]


def pairs_of(params: Params, rows: Rows, grid: Grid | None = None) -> Pairs | None:
    """The pairs, if parameters are numbers and the table has no more than two entries a row; ``grid`` as in Cells."""
    n = len(rows.x)
    if n <= 64 or any(np.ndim(value) for value in params):
        return None
    xs, at_x = levels(rows.x)
    if len(xs) > n // 8:
        return None
    ages, at_T = (grid.times, grid.at_T) if grid is not None else levels(rows.T)
    if len(xs) * len(ages) > 2 * n:
        return None
    at_x = at_x * len(ages)
    at_x += at_T
    return Pairs(xs, ages, at_x)


def purchases_ahead(
    params: Params,
    rows: Rows,
    horizon: float,
    delta: float,
    second: bool = False,
    rough: bool = False,
    m: int = 0,
    pairs: Pairs | None = None,
) -> tuple[Floats, Floats, Floats]:
    """``mean``, ``squares`` and ``pairs`` of a forecast for customers who are still there; zeros for what is not asked.

    ``pairs`` are those of the rows (``pairs_of``), whose customers then share their answers.
    """
    r, alpha, a, b = params
    x, _, T, _ = rows
    h = min(horizon, ENDLESS / delta) if delta > 0 else horizon
    quick = _Quick(float(np.min(alpha)), h, delta, second, rough)
    if pairs is not None:
        tables, good = quick.table(float(r), float(a), float(b) + m, pairs.xs, np.log1p(h / (alpha + pairs.ages)))
        out = [table.take(pairs.entry) if np.ndim(table) else np.zeros(len(x)) for table in tables]
        if not good.all():
            poor = np.flatnonzero(~good.ravel()[pairs.entry])
            _, first, its = np.unique(pairs.entry[poor], return_index=True, return_inverse=True)
            slow = _direct(params, rows.take(poor[first]), h, delta, second, rough, m)
            for answer, values in zip(out, slow, strict=True):
                answer[poor] = values[its]
        return out[0], out[1], out[2]
    mean, squares, both = np.zeros((3, len(x)))
    A = alpha + T
    for at in alike(r + x, a, b + x + m):
        each = at[0]
        k, left, stay = (float(np.broadcast_to(value, x.shape)[each]) for value in (r + x, a, b + x + m))
        mean[at], squares[at], both[at], sound = quick(k, left, stay, np.log1p(h / A[at]))
        if not sound:
            some = [value[at] if np.ndim(value) else value for value in params]
            mean[at], squares[at], both[at] = _direct(some, rows.take(at), h, delta, second, rough, m)
    return mean, squares, both


def _nodes(n: int) -> Floats:
    return np.cos(np.pi * (np.arange(n) + 0.5) / n)


def _series(values: Floats) -> Floats:
    """From values at Chebyshev nodes to the coefficients: a linear map, applied to ``values``."""
    n = len(values)
    k = np.arange(n)
    table = 2.0 / n * np.cos(np.outer(k, np.pi * (k + 0.5) / n))
    table[0] /= 2
    return np.asarray(table @ values)


def _product(left: Floats, right: Floats) -> Floats:
    """Their matrix product, in parts so small that no library starts threads for them: these cost more than they do,
    ten times as much where other work has the cores."""
    out = np.empty((len(left), right.shape[1]))
    many = max(1, _ALONE // max(left.size, 1))
    for start in range(0, right.shape[1], many):
        part = slice(start, start + many)
        out[:, part] = left @ right[:, part]
    return out


class _Quick:
    """The quick road: linear maps, the same for all x, from E_p at the nodes of y to series in Y = ln(1 + c)."""

    def __init__(self, alpha: float, h: float, delta: float, second: bool, rough: bool) -> None:
        self.nodes, self.step, self.limit = (32, 0.5, _LOOSE) if rough else (72, 0.25, _TIGHT)
        self.Y_max = float(np.log1p(h / alpha))
        grid = (_nodes(self.nodes) + 1) * (self.Y_max / 2)
        gauss, weight = legendre(32 if rough else 64)
        inner = np.outer(grid, (gauss + 1) / 2)
        basis = chebyshev.chebvander(2 * inner / self.Y_max - 1, self.nodes - 1)
        self.to_series = to_series = _series(np.eye(self.nodes))
        c_inner = np.expm1(inner)
        z = delta * h * c_inner / np.expm1(grid)[:, None]
        lift = np.exp(inner) * weight / 2

        def operator(kernel: Floats) -> Floats:
            return _series(((lift * kernel)[:, None, :] @ basis)[:, 0]) @ to_series

        self.first = operator(np.exp(-z))
        self.second = second
        if second:
            self.square = operator(np.exp(-2 * z))
            self.pair = operator(c_inner * np.exp(-z) * shrunk(z))
        self.c = np.expm1(grid)

    def __call__(self, k: float, a: float, b: float, Y: Floats) -> tuple[Floats, Floats, Floats, bool]:
        """For customers who share k = r + x and the beta(a, b) of their drop-out; the last: whether to trust it."""
        p, q, weight = beta_rule(a, b, (k + 2) * max(float(self.c[0]), 1.0), self.step)
        growth = np.log1p(np.outer(self.c, p))
        at = np.clip(2 * Y / self.Y_max - 1, -1.0, 1.0)
        once = np.exp(-(k + 1) * growth) @ weight
        mean, good = self._read(self.first, once, at)
        if not self.second:
            zero = np.zeros(len(Y))
            return k * Y * mean, zero, zero, good
        square, good_square = self._read(self.square, once, at)
        pair, good_pair = self._read(self.pair, np.exp(-(k + 2) * growth) @ (weight * q), at)
        good = good and good_square and good_pair
        return k * Y * mean, k * Y * square, 2 * k * (k + 1) * Y * pair, good

    def _read(self, operator: Floats, inside: Floats, at: Floats) -> tuple[Floats, bool]:
        """The series' values, and whether both it and what was integrated end in coefficients that do not matter."""
        series = operator @ inside
        # The recurrence is lean on long columns; for a few customers one small matrix is quicker.
        matrix = np.cos(np.outer(np.arccos(at), np.arange(len(series)))) if len(at) <= 256 else None
        values = np.asarray(chebyshev.chebval(at, series) if matrix is None else matrix @ series, dtype=np.float64)
        end = max(np.abs(series[-4:]).max(), np.abs((self.to_series @ inside)[-4:]).max())
        return values, bool(end <= self.limit * np.abs(values).min(initial=np.inf))

    def table(self, r: Any, a: float, b: Any, xs: Floats, Y: Floats) -> tuple[tuple[Any, Any, Any], NDArray[np.bool_]]:
        """Mean, squares and pairs (0 if not asked) for every distinct x and every Y, and which entries to trust."""
        once, twice = self._averages(float(r), a, float(b), xs)
        basis: Any = chebyshev.chebvander(np.clip(2 * Y / self.Y_max - 1, -1.0, 1.0), self.nodes - 1).T
        good = np.ones((len(xs), len(Y)), dtype=bool)

        def read(operator: Floats, inside: Floats) -> Floats:
            series = _product(inside, operator.T)
            values = _product(series, basis)
            ends = np.maximum(np.abs(series[:, -4:]), np.abs(inside @ self.to_series[-4:].T)).max(axis=1)
            np.logical_and(good, ends[:, None] <= self.limit * np.abs(values), out=good)
            return values

        k = (r + xs)[:, None]
        mean = k * Y * read(self.first, once)
        if not self.second:
            return (mean, 0.0, 0.0), good
        return (mean, k * Y * read(self.square, once), 2 * k * (k + 1) * Y * read(self.pair, twice)), good

    def _averages(self, r: float, a: float, b: float, xs: Floats) -> tuple[Floats, Floats]:
        """E_p (1 + p c)^-(k+1) and E_p (1-p) (1 + p c)^-(k+2) at the nodes, a row for each x.

        Every purchase more multiplies the density and what is averaged by (1 - p) / (1 + p c): those with up to twice
        the purchases share the points p, which are the same whoever else is there.
        """
        once, twice = np.empty((2, len(xs), self.nodes))
        most = max(float(self.c[0]), 1.0)
        octave = np.floor(np.log2(xs + 1))
        for each in np.unique(octave).tolist():
            low = 2.0**each - 1
            grid = beta_grid(a, b + low, low + 1, (r + 2 * low + 2 + 2) * most, self.step)
            growth = np.log1p(np.outer(self.c, grid.p))
            begin = grid.log_density - (r + low + 1) * growth
            more = grid.log_q - growth
            step, terms, before, since = np.exp(more), begin, -2.0, 0
            these = np.flatnonzero(octave == each)
            further = xs[these] - low
            weights = grid.tails(further)
            scales = np.einsum("np,np->n", np.exp(grid.log_density + np.outer(further, grid.log_q)), weights)
            for i, n, weight, scale in zip(these.tolist(), further.tolist(), weights, scales.tolist(), strict=True):
                since = since + 1 if n == before + 1 and since < 16 else 0
                if since:
                    terms *= step
                else:
                    terms = np.exp(begin + n * more)
                before = n
                once[i] = terms @ weight / scale
                if self.second:
                    twice[i] = (terms * step) @ weight / scale
        return once, twice


def _direct(
    params: Params, rows: Rows, h: float, delta: float, second: bool, rough: bool, m: int
) -> tuple[Floats, Floats, Floats]:
    """The slow road, customer by customer, for one who is still there: an integral over p of one over time."""
    r, alpha, a, b = (np.broadcast_to(np.asarray(p, dtype=np.float64), np.shape(rows.x)) for p in params)
    k, c = r + rows.x, h / (alpha + rows.T)
    out = np.zeros((3, len(k)))
    step, gauss = (0.5, 10) if rough else (0.25, 48)
    for i in range(len(k)):
        tilt = float((k[i] + 2) * max(c[i], 1.0))
        p, q, weight = beta_rule(float(a[i]), float(b[i] + rows.x[i] + m), tilt, step)
        pc = np.maximum(p * c[i], 1e-290)
        out[0, i] = c[i] * (weight @ _over_time(k[i], pc, h * delta, gauss))
        if second:
            out[1, i] = c[i] * (weight @ _over_time(k[i], pc, 2 * h * delta, gauss))
            out[2, i] = c[i] ** 2 * ((weight * q) @ _pairs_over_time(k[i], pc, h * delta, gauss))
    return out[0], out[1], out[2]


def _over_time(k: float, q: Floats, z: float, gauss: int) -> Floats:
    r"""k \int_0^1 e^{-z s} (1 + q s)^{-(k+1)} ds, in w = ln(1 + q s)."""
    if z == 0:
        return np.asarray(-np.expm1(-k * np.log1p(q)) / q)
    w, weight, s = decaying_rule(k, q, z, gauss)
    return np.asarray(k / q * np.einsum("ng,ng->n", weight, np.exp(-k * w - z * s)))


def _pairs_over_time(k: float, q: Floats, z: float, gauss: int) -> Floats:
    r"""2 k (k+1) \int_0^1 s e^{-z s} (1 - e^{-z s}) / (z s) (1 + q s)^{-(k+2)} ds."""
    w, weight, s = decaying_rule(k + 1, q, z, gauss)
    inside = s * np.exp(-(k + 1) * w - z * s) * shrunk(z * s)
    return np.asarray(2 * k * (k + 1) / q * np.einsum("ng,ng->n", weight, inside))
