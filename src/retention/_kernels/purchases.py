"""What every purchase model offers: a record of pure functions, and the rows that they read.

A customer is known by her repeat purchases ``x``, the time ``t_x`` of the last one and the time ``T`` she has been
watched, counted from her first purchase in the model's time unit; regular-timing models also read the sum of the logs
of her gaps. Identical customers are merged into weighted cells first, which is exact.

Parameters are a sequence in the order of ``Kernel.names``. Each is a number, or an array that broadcasts against the
rows: that is how static covariates enter (one value of ``alpha`` a customer). Derivatives are by *log*-parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ahead", "Cells", "Forecast", "Kernel", "Params", "Rows", "merge", "summed", "value_only"]

Floats = NDArray[np.float64]
Params = Sequence[Any] | Floats
Derivatives = tuple[Floats, Floats, Floats]
Total = tuple[float, Floats, Floats]


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


class Cells(NamedTuple):
    """Distinct rows, sorted by (x, t_x, T, log_gaps); how many customers share each; each customer's cell."""

    rows: Rows
    weight: Floats
    which: NDArray[np.intp]

    def scaled(self, unit: float) -> "Cells":
        """The same cells with times divided by ``unit``."""
        return self._replace(rows=self.rows.scaled(unit))


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


def merge(rows: Rows, weight: Floats | None = None, *, gaps: bool = False, which: bool = True) -> Cells:
    """Merge identical customers: exact, and the sum over cells no longer depends on the order of the rows.

    ``weight`` (default 1 each) says how many customers a row stands for. ``gaps`` keeps customers apart whose sums
    of log gaps differ; otherwise those are set to 0. Bases counted in whole days shrink three- to tenfold. Without
    ``which`` the result does not know each row's cell, and is ready in a third of the time.
    """
    codes, spans = [], []
    decode: list[Floats | None] = []
    for values in [rows.x, rows.t_x, rows.T, *([rows.log_gaps] if gaps else [])]:
        whole = values.astype(np.int64) if float(np.abs(values).max(initial=0.0)) < 2e6 else None
        if whole is not None and whole.min(initial=0) >= 0 and np.array_equal(whole, values):
            codes.append(whole)
            spans.append(int(whole.max(initial=0)) + 1)
            decode.append(None)
        else:
            distinct, code = np.unique(values, return_inverse=True)
            codes.append(code.astype(np.int64))
            spans.append(len(distinct) + 1)
            decode.append(distinct)
    if float(np.prod(np.array(spans, dtype=np.float64))) >= 2.0**62:
        order = np.lexsort(codes[::-1])
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = np.any([np.diff(code[order]) != 0 for code in codes], axis=0)
        return _gathered(rows, weight, gaps, order, fresh)
    key = codes[0]
    for code, span in zip(codes[1:], spans[1:], strict=True):
        key = key * span + code
    if which or weight is not None:
        order = np.argsort(key, kind="stable")
        return _gathered(rows, weight, gaps, order, np.diff(key[order], prepend=-1) != 0)
    key.sort()
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    counts = np.diff(begins, append=len(key)).astype(np.float64)
    rest, columns = key[begins], []
    for span, table in zip(spans[::-1], decode[::-1], strict=True):
        rest, code = np.divmod(rest, span)
        columns.append(code.astype(np.float64) if table is None else table[code])
    columns = columns[::-1]
    x, t_x, T, log_gaps = (*columns, np.zeros(len(counts)))[:4]
    return Cells(Rows(x, t_x, T, log_gaps), counts, np.zeros(0, dtype=np.intp))


def _gathered(
    rows: Rows, weight: Floats | None, gaps: bool, order: NDArray[np.intp], fresh: NDArray[np.bool_]
) -> Cells:
    """Cells from the order of the rows and a mask of those that begin a new cell."""
    first = order[fresh]
    which = np.empty(len(order), dtype=np.intp)
    which[order] = np.cumsum(fresh) - 1
    counts = np.bincount(which, weight, len(first)).astype(np.float64)
    distinct = rows.take(first)
    return Cells(distinct if gaps else distinct._replace(log_gaps=np.zeros(len(first))), counts, which)


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
