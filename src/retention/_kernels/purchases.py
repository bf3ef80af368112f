"""What every purchase model offers: a record of pure functions, and the rows that they read.

A customer is known by her repeat purchases ``x``, the time ``t_x`` of the last one and the time ``T`` she has been
watched, counted from her first purchase in the model's time unit; regular-timing models also read the sum of the logs
of her gaps. Identical customers are merged into weighted cells first, which is exact.

Parameters are a sequence in the order of ``Kernel.names``. Each is a number, or an array that broadcasts against the
rows: that is how static covariates enter (one value of ``alpha`` a customer). Derivatives are by *log*-parameters.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Ahead",
    "Cells",
    "Forecast",
    "Grid",
    "Kernel",
    "Params",
    "Ready",
    "Rows",
    "levels",
    "merge",
    "summed",
    "value_only",
]

Floats = NDArray[np.float64]
Params = Sequence[Any] | Floats
Derivatives = tuple[Floats, Floats, Floats]
Total = tuple[float, Floats, Floats]

_BLOCK = 1 << 16  # rows at a time, where whole columns of temporaries would cost memory


class Rows(NamedTuple):
    """Customers as arrays of one length, in one time unit; ``log_gaps`` is the sum of her log gaps (0 if unused)."""

    x: Floats
    t_x: Floats
    T: Floats
    log_gaps: Floats

    def scaled(self, unit: float) -> "Rows":
        """The same customers with times divided by ``unit``."""
        return Rows(self.x, self.t_x / unit, self.T / unit, self.log_gaps - self.x * np.log(unit))

    def take(self, rows: Any) -> "Rows":
        """Some of them, by mask, slice or positions."""
        return Rows(self.x[rows], self.t_x[rows], self.T[rows], self.log_gaps[rows])


class Grid(NamedTuple):
    """Times on which every ``t_x`` and ``T`` of some rows lie (the days of a base), and the place of each there."""

    times: Floats
    at_t_x: NDArray[np.intp]
    at_T: NDArray[np.intp]


class Cells(NamedTuple):
    """Distinct rows, sorted by (x, t_x, T, log_gaps); how many customers share each; each customer's cell.

    ``grid`` is known if they were merged in whole days: kernels may share what depends on a time alone.
    """

    rows: Rows
    weight: Floats
    which: NDArray[np.intp]
    grid: Grid | None = None

    def scaled(self, unit: float) -> "Cells":
        """The same cells with times divided by ``unit``."""
        grid = None if self.grid is None else self.grid._replace(times=self.grid.times / unit)
        return self._replace(rows=self.rows.scaled(unit), grid=grid)

    def take(self, some: Any) -> "Cells":
        """Some of the cells, by slice or positions in order; customers are not told their cells any more."""
        grid = None if self.grid is None else Grid(self.grid.times, self.grid.at_t_x[some], self.grid.at_T[some])
        return Cells(self.rows.take(some), self.weight[some], np.zeros(0, dtype=np.intp), grid)


class Forecast(NamedTuple):
    """What lies ahead, per customer; discounted to today if a rate was given.

    ``mean`` is E[sum of d_i] over her purchases in the horizon, ``squares`` E[sum of d_i^2], ``pairs``
    E[sum over i != j of d_i d_j], where d_i is the discount factor of purchase i; ``any`` the probability of at
    least one purchase. ``squares`` and ``pairs`` give the variance of any sum of money over the purchases.
    """

    mean: Floats
    squares: Floats
    pairs: Floats
    any: Floats


class Ahead(NamedTuple):
    """One simulated future per customer: her purchases in the horizon, the sum of their discount factors, and what
    that sum was expected to be once her own rate, her own drop-out and whether she is still there were drawn."""

    counts: Floats
    discounted: Floats
    expected: Floats


class Ready(NamedTuple):
    """A kernel's ``total`` and ``values`` on some cells, to be asked at one point after another."""

    total: Callable[[Params], Total]
    values: Callable[[Floats], Floats]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A purchase model as functions; ``rows`` are never changed, answers are new float64 arrays.

    ``time_power`` says how each parameter scales with the time unit: 1 a time, -1 a rate, 0 a pure number.

    - ``log_likelihoods(params, rows) -> (n,)``
    - ``total(params, cells) -> (value, gradient (d,), hessian (d, d))`` of the weighted sum; parameters are numbers.
    - ``rowwise(params, rows) -> (values (n,), gradients (d, n), hessians (d, d, n))``; parameters may be arrays.
    - ``values(matrix (S, d), cells) -> (S,)``: the weighted sum at many parameter points, value only.
    - ``p_alive(params, rows) -> (n,)``
    - ``survival(params, rows, ahead) -> (n,)``: P(still a customer ``ahead`` after T); ``ahead = 0`` is p_alive.
    - ``forecast(params, rows, horizon, delta, second=False, rough=False) -> Forecast``: purchases in
      (T, T + horizon], continuously discounted at ``delta`` a time unit. ``horizon`` may be inf if ``delta`` > 0.
      ``squares`` and ``pairs`` are zeros unless ``second``; ``rough`` trades digits (to about 1e-5) for speed, for
      averages over parameter draws. A new customer is the row x = t_x = T = 0. A horizon of 0 gives exactly 0.
    - ``pmf(params, rows, horizon, most) -> (n, most + 1)``: P(X = 0 .. most) in the horizon.
    - ``log_rate(params, rows) -> (n,)``: posterior mean of the log of her purchase rate.
    - ``simulate(params, T, rng) -> Rows``: customers as the model makes them, watched for T (n,).
    - ``ahead(params, rows, horizon, delta, rng) -> Ahead``: one draw of each customer's future.
    - ``together(params, cells, [(horizon, delta), ..]) -> (p_alive (n,), [mean (n,), ..])``, optional: see ``outlook``.
    - ``averaged(points (S, d), cells, horizon, delta, weight) -> (Forecast, totals (S,))``, optional: the rough
      forecast with second moments, averaged over points, and at each of them the sum of ``weight * mean``.
    - ``prepared(cells) -> Ready``, optional: see ``on``.
    """

    names: tuple[str, ...]
    time_power: tuple[int, ...]
    log_likelihoods: Callable[[Params, Rows], Floats]
    rowwise: Callable[[Params, Rows], Derivatives]
    total: Callable[[Params, Cells], Total]
    values: Callable[[Floats, Cells], Floats]
    p_alive: Callable[[Params, Rows], Floats]
    survival: Callable[[Params, Rows, float], Floats]
    forecast: Callable[..., Forecast]
    pmf: Callable[[Params, Rows, float, int], Floats]
    log_rate: Callable[[Params, Rows], Floats]
    simulate: Callable[[Params, Floats, np.random.Generator], Rows]
    ahead: Callable[[Params, Rows, float, float, np.random.Generator], Ahead]
    uses_gaps: bool = False
    discrete: bool = False
    together: Callable[[Params, Cells, Sequence[tuple[float, float]]], tuple[Floats, list[Floats]]] | None = None
    averaged: Callable[[Floats, Cells, float, float, Floats], tuple[Forecast, Floats]] | None = None
    prepared: Callable[[Cells], Ready] | None = None

    def on(self, cells: Cells) -> Ready:
        """``total`` and ``values`` of the same cells for many points: what these have in common is worked out once if
        the kernel can."""
        if self.prepared is not None:
            return self.prepared(cells)
        return Ready(lambda params: self.total(params, cells), lambda matrix: self.values(matrix, cells))

    def outlook(
        self, params: Params, cells: Cells, asked: Sequence[tuple[float, float]]
    ) -> tuple[Floats, list[Floats]]:
        """P(alive), and the mean of the forecast for each (horizon, delta) that is asked, by cell: in one pass if the
        kernel can, which shares what the answers have in common."""
        if self.together is not None:
            return self.together(params, cells, asked)
        means = [self.forecast(params, cells.rows, horizon, delta).mean for horizon, delta in asked]
        return self.p_alive(params, cells.rows), means


def merge(rows: Rows, weight: Floats | None = None, *, gaps: bool = False, which: bool = True) -> Cells:
    """Merge identical customers: exact, and the sum over cells no longer depends on the order of the rows.

    ``weight`` (default 1 each) says how many customers a row stands for. ``gaps`` keeps customers apart whose sums
    of log gaps differ; otherwise those are set to 0. Bases counted in whole days shrink three- to tenfold. Without
    ``which`` the result does not know each row's cell, and is ready in half the time.

    Each row becomes one whole number, in the order of the cells. The smallest numbers, which are the rows with few
    purchases and so most rows, are counted; the others are sorted.
    """
    n = len(rows.x)
    columns = [rows.x, rows.t_x, rows.T, *([rows.log_gaps] if gaps else [])]
    spans, tables = [], []
    for i, values in enumerate(columns):
        span, table = _span(values), None
        if span == 0:
            table, columns[i] = np.unique(values, return_inverse=True)
            span = len(table) + 1
        spans.append(span)
        tables.append(table)
    count = math.prod(spans)
    if count >= 2**62:
        return _sorted(rows, weight, gaps, columns)
    key: NDArray[Any] = np.empty(n, dtype=np.uint32 if count < 2**32 else np.int64)
    for block in (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)):
        part = key[block]
        part[:] = columns[0][block]
        for values, span in zip(columns[1:], spans[1:], strict=True):
            part *= key.dtype.type(span)
            part += values[block].astype(key.dtype)

    kind, limit = key.dtype.type, min(count, n // 2)
    counted = key < limit
    few, many = key[counted].astype(np.intp), key[~counted]
    del key
    held = np.bincount(few, minlength=limit)
    used = np.flatnonzero(held)
    if which or weight is not None:
        cell, place = np.empty(n, dtype=np.intp), np.zeros(limit, dtype=np.int32)
        del held
        place[used] = np.arange(len(used), dtype=np.int32)
        cell[counted] = place[few]
        del few, place
        distinct, its = _ranked(many)
        its += len(used)
        cell[~counted] = its
        del its, counted
        counts = np.bincount(cell, weight, len(used) + len(distinct)).astype(np.float64)
    else:
        del few, counted
        many.sort()
        begins = np.flatnonzero(_changes(many))
        distinct = many[begins]
        counts = np.concatenate([held[used], np.diff(begins, append=len(many))]).astype(np.float64)
        cell = np.zeros(0, dtype=np.intp)
        del held, begins
    rest, codes = np.concatenate([used.astype(kind), distinct]), []
    del many, used, distinct
    for span in spans[:0:-1]:
        above = rest // kind(span)
        codes.append((rest - above * kind(span)).astype(np.intp))
        rest = above
    codes.append(rest.astype(np.intp))
    decoded = [
        code.astype(np.float64) if table is None else table[code]
        for code, table in zip(codes[::-1], tables, strict=True)
    ]
    x, t_x, T, log_gaps = (*decoded, np.zeros(len(counts)))[:4]
    grid, span = None, max(spans[1:3])
    if tables[1] is None and tables[2] is None and span <= max(4 * len(counts), 1000):
        grid = Grid(np.arange(span, dtype=np.float64), codes[-2], codes[-3])
    return Cells(Rows(x, t_x, T, log_gaps), counts, cell, grid)


def _span(values: Floats) -> int:
    """One more than the largest of whole numbers from 0 to two million; 0 for any other values."""
    most = 0
    for start in range(0, len(values), _BLOCK):
        part = values[start : start + _BLOCK]
        low, high = float(part.min()), float(part.max())
        if not (low >= 0 and high < 2e6) or np.any(part.astype(np.int32) != part):
            return 0
        most = max(most, int(high))
    return most + 1


def _changes(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a value differs from the one before it."""
    fresh = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return fresh


def _ranked(keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The distinct keys, and the place of each key among them; key and position sorted as one number if it holds both,
    which is quicker than sorting positions by their keys."""
    shift = max(len(keys) - 1, 1).bit_length()
    if len(keys) and int(keys.max()).bit_length() + shift <= 64:
        packed = (keys.astype(np.uint64) << np.uint64(shift)) | np.arange(len(keys), dtype=np.uint64)
        packed.sort()
        order = (packed & np.uint64(2**shift - 1)).astype(np.intp)
        packed >>= np.uint64(shift)
        ordered = packed.astype(keys.dtype)
    else:
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
    fresh = _changes(ordered)
    place = np.empty(len(keys), dtype=np.intp)
    place[order] = np.cumsum(fresh) - 1
    return ordered[fresh], place


def _sorted(rows: Rows, weight: Floats | None, gaps: bool, codes: list[Any]) -> Cells:
    """``merge`` where the columns together do not fit into one number."""
    order = np.lexsort(codes[::-1])
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = np.any([np.diff(code[order]) != 0 for code in codes], axis=0)
    first = order[fresh]
    which = np.empty(len(order), dtype=np.intp)
    which[order] = np.cumsum(fresh) - 1
    counts = np.bincount(which, weight, len(first)).astype(np.float64)
    distinct = rows.take(first)
    return Cells(distinct if gaps else distinct._replace(log_gaps=np.zeros(len(first))), counts, which)


def levels(values: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Distinct values and each row's place among them; multiples of one step (counts, days) need no sorting."""
    few = np.unique(values[:: max(1, len(values) // 1024)])
    if len(few) > 1:
        step = float(np.diff(few).min())
        if values.max() < step * max(4 * len(values), 1000) and values.min() >= 0:
            code = np.rint(values * (1 / step)).astype(np.intp)
            held = np.full(int(code.max()) + 1, np.nan)
            held[code] = values
            if np.array_equal(held[code], values):
                used = ~np.isnan(held)
                return held[used], (code if used.all() else (np.cumsum(used) - 1)[code])
    distinct, code = np.unique(values, return_inverse=True)
    return distinct, code


def summed(rowwise: Callable[[Params, Rows], Derivatives]) -> Callable[[Params, Cells], Total]:
    """A kernel's ``total`` from its ``rowwise``: right, and slower than one that shares work between cells."""

    def total(params: Params, cells: Cells) -> Total:
        values, gradients, hessians = rowwise(params, cells.rows)
        w = cells.weight
        value = float(np.einsum("n,n->", w, values))
        return value, np.einsum("n,in->i", w, gradients), np.einsum("n,ijn->ij", w, hessians)

    return total


def value_only(log_likelihoods: Callable[[Params, Rows], Floats]) -> Callable[[Floats, Cells], Floats]:
    """A kernel's ``values`` from its ``log_likelihoods``, point by point."""

    def values(matrix: Floats, cells: Cells) -> Floats:
        return np.array([float(np.einsum("n,n->", cells.weight, log_likelihoods(p, cells.rows))) for p in matrix])

    return values
