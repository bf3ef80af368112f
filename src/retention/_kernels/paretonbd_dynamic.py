r"""Pareto/NBD with covariates that change from week to week (Bachmann, Meierer and Naef 2021, Marketing Science 40(4)).

While she is a customer she buys at the rate lambda a(t) and leaves at the hazard mu b(t); lambda is gamma(r, alpha) and
mu gamma(s, beta) over customers. The multipliers a = exp(gamma' z) and b are constant within a period of the calendar,
so that A(t) = \int_0^t a and B(t) = \int_0^t b, counted from her first purchase, are piecewise linear, and

    L = \prod_j a(t_j) Gamma(r+x)/Gamma(r) alpha^r beta^s [ (alpha+A_T)^{-(r+x)} (beta+B_T)^{-s}
          + s \int_{t_x}^T b (alpha+A)^{-(r+x)} (beta+B)^{-(s+1)} dtau ].

With c = alpha + A(t_x), d = beta + B(t_x) and everything in the bracket divided by c^{-(r+x)} d^{-s}, as in
:mod:`retention._kernels.paretonbd`, both terms are between 0 and 1 and positive: L = ... (s Phi + E), and
P(alive) = E / (s Phi + E). Within one period the integral is that of the plain model, with alpha replaced by
(alpha+A)/a and beta by (beta+B)/b: four or eight Gauss-Legendre nodes where it is nearly a polynomial (a week out of
many months), the panels of the plain kernel elsewhere.

The gradient runs backwards (adjoint): what a nudge to A at a node is worth is summed from the end of her time to its
beginning, times the widths of the pieces, which gives the derivative by every log multiplier in one pass. It costs the
same for one covariate as for fifty: the caller multiplies by his covariates once.

Digits: A and B are summed customer by customer from t_x on, so nothing cancels. The value inherits the rounding of its
largest part (1e-16 x log Gamma(r + x)); near 0, for a customer without a repeat purchase, its error is absolute.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import psi

from retention._kernels.paretonbd import _FINE, _gauss, _log_rising, _passage, _remaining
from retention._kernels.purchases import Floats, Params

__all__ = ["NAMES", "Stretch", "expected", "lay_out", "log_likelihoods", "p_alive", "total"]

NAMES = ("r", "alpha", "s", "beta")

Positions = NDArray[np.intp]

_CUSTOMERS = 256  # in a block: its temporaries stay in cache
_NEGLIGIBLE = -80.0  # in logs: a piece that begins this far down adds nothing


class Stretch(NamedTuple):
    """What some customers lived through: pieces of time, each within one period, before and after the last purchase.

    ``who`` are their positions among all customers. ``before`` and ``after`` name the multiplier of each piece (a row
    a customer, padded with pieces of width 0); ``bought`` that of each repeat purchase, by the customer at position
    ``by`` of this stretch.
    """

    who: Positions
    x: Floats
    before: Positions
    before_width: Floats
    after: Positions
    after_width: Floats
    bought: Positions
    by: Positions


class _Lived(NamedTuple):
    """Of the customers of a stretch: A and B up to the last purchase and since, and the two terms of the bracket."""

    c: Floats
    d: Floats
    since_a: Floats
    since_b: Floats
    left: Floats
    still: Floats
    value: Floats


def lay_out(
    edges: Floats,
    born: Floats,
    last: Floats,
    end: Floats,
    bought_at: Floats,
    bought_by: Positions,
    offset: Positions | None = None,
    unit: float = 1.0,
) -> tuple[Stretch, ...]:
    """Cut each customer's time, from ``born`` over her ``last`` purchase to ``end``, at the edges of the periods.

    Period k reaches from ``edges[k]`` up to, and without, ``edges[k + 1]``; a purchase counts in the period it is in,
    also at its first moment. Her multiplier in period k is number ``offset + k`` (offset 0 when all share them).
    ``bought_at`` and ``bought_by`` are the times of all repeat purchases and the customers who made them. All times
    are on one axis and must lie within the edges; widths come out divided by ``unit``.
    """
    n = len(born)
    at = np.zeros(n, dtype=np.intp) if offset is None else np.asarray(offset, dtype=np.intp)

    def period(t: Floats) -> Positions:
        return np.minimum(np.searchsorted(edges, t, side="right") - 1, len(edges) - 2)

    def cut(lo: Floats, hi: Floats, who: Positions) -> tuple[Positions, Floats]:
        first = period(lo)
        count = int((period(hi) - first).max(initial=0)) + 1
        k = np.minimum(first[:, None] + np.arange(count), len(edges) - 2)
        width = np.minimum(edges[k + 1], hi[:, None]) - np.maximum(edges[k], lo[:, None])
        width[np.arange(count) > (period(hi) - first)[:, None]] = 0.0  # past the last period there is only padding
        return at[who][:, None] + k, np.maximum(width, 0.0) / unit

    x = np.bincount(bought_by, minlength=n).astype(np.float64)
    order = np.lexsort((period(last) - period(born), period(end) - period(last)))
    place = np.empty(n, dtype=np.intp)
    place[order] = np.arange(n)
    sorted_buys = np.argsort(place[bought_by], kind="stable")
    buyer = place[bought_by][sorted_buys]
    multiplier = (at[bought_by] + period(bought_at))[sorted_buys]
    out = []
    for begin in range(0, n, _CUSTOMERS):
        who = order[begin : begin + _CUSTOMERS]
        mine = slice(*np.searchsorted(buyer, [begin, begin + len(who)]))
        before, after = cut(born[who], last[who], who), cut(last[who], end[who], who)
        out.append(Stretch(who, x[who], *before, *after, multiplier[mine], buyer[mine] - begin))
    return tuple(out)


def _passages(p: Floats, q: float, a: Floats, b: Floats, span: Floats) -> Iterator[tuple[Any, Floats, Floats, Floats]]:
    r"""Nodes of \int_0^span (1 + v/a)^{-p} (1 + v/b)^{-q} dv / b, as of the plain kernel's ``_passage``.

    The n-point rule is wrong by about (n!)^4 / ((2n+1) (2n)!^3) times the product of the first 2n factors (p + j)
    span / a, which the bounds keep below 1e-14.
    """
    fall = span * (p / a + q / b)
    bend = span / np.minimum(a, b)
    kind = np.where(fall + 3.5 * bend <= 0.25, 4, np.where(fall + 7.5 * bend <= 3.0, 8, 0))
    for nodes in (4, 8):
        rows = np.flatnonzero(kind == nodes)
        if len(rows):
            u, w = _gauss(nodes)
            v = span[rows, None] * u
            y_a, y_b = np.log1p(v / a[rows, None]), np.log1p(v / b[rows, None])
            terms = np.exp(-p[rows, None] * y_a - q * y_b)
            terms *= (span / b)[rows, None] * w
            yield rows, y_a, y_b, terms
    rows = np.flatnonzero(kind == 0)
    if len(rows):
        for some, y_a, y_b, terms in _passage(p[rows], q, a[rows], b[rows], span[rows], _FINE):
            yield rows[some], y_a, y_b, terms


def _run(widths: Floats) -> Floats:
    """The sum of the pieces before each, and of all: one column more."""
    out = np.zeros((widths.shape[0], widths.shape[1] + 1))
    np.cumsum(widths, axis=1, out=out[:, 1:])
    return out


def _live(
    params: Params, a: Floats, b: Floats, log_a: Floats, stretch: Stretch, slopes: tuple[Floats, ...] | None = None
) -> _Lived:
    """A stretch's likelihoods; the derivatives are added to ``slopes`` (parameters, log_a, log_b) if they are given."""
    r, alpha, s, beta = params
    _, x, before, before_width, after, width, bought, by = stretch
    n, count = width.shape
    past_a = a[before] * before_width
    past_b = b[before] * before_width
    A, B = np.einsum("nk->n", past_a), np.einsum("nk->n", past_b)
    c, d = alpha + A, beta + B
    here_a, here_b = a[after], b[after]
    grow_a, grow_b = here_a * width, here_b * width
    run_a, run_b = _run(grow_a), _run(grow_b)
    on_a, on_b = np.log1p(run_a / c[:, None]), np.log1p(run_b / d[:, None])
    k = r + x
    fade = -k[:, None] * on_a - s * on_b
    still = np.exp(fade[:, -1])

    pieces = np.flatnonzero((width > 0) & (fade[:, :-1] > _NEGLIGIBLE))
    whose = pieces // count
    p = k[whose]
    at_a = (c[:, None] + run_a[:, :-1]).ravel()[pieces]
    at_b = (d[:, None] + run_b[:, :-1]).ravel()[pieces]
    weight = s * np.exp(fade[:, :-1].ravel()[pieces])
    sums = np.zeros((5 if slopes else 1, len(pieces)))
    nodes = _passages(p, s + 1.0, at_a / here_a.ravel()[pieces], at_b / here_b.ravel()[pieces], width.ravel()[pieces])
    for rows, y_a, y_b, terms in nodes:
        sums[0, rows] = np.einsum("nj->n", terms)
        if slopes:
            sums[1, rows] = np.einsum("nj,nj->n", terms, -np.expm1(-y_a))
            sums[2, rows] = np.einsum("nj,nj->n", terms, -np.expm1(-y_b))
            sums[3, rows] = np.einsum("nj,nj->n", terms, y_a)
            sums[4, rows] = np.einsum("nj,nj->n", terms, y_b)
    sums *= weight
    left = np.asarray(np.bincount(whose, sums[0], n), dtype=np.float64)
    whole = left + still
    value = _log_rising(np.asarray(r, dtype=np.float64), x) - x * np.log(c)
    value += np.log(whole) - r * np.log1p(A / alpha) - s * np.log1p(B / beta)
    value += np.bincount(by, log_a[bought], n)
    lived = _Lived(c, d, run_a[:, -1], run_b[:, -1], left, still, value)
    if not slopes:
        return lived

    by_params, by_log_a, by_log_b = slopes
    share = sums / whole[whose]  # the probability that she left in this piece, and four means over it
    gone, bend_a, bend_b, mean_a, mean_b = share
    there = still / whole
    # By A and by B at the nodes of each piece, and at the end.
    tug_a, tug_b = np.zeros((n, count + 1)), np.zeros((n, count + 1))
    flat = np.zeros(n * count)
    flat[pieces] = -p * (gone - bend_a) / at_a
    tug_a[:, :-1] = flat.reshape(n, count)
    tug_a[:, -1] = -k * there / (c + run_a[:, -1])
    flat[pieces] = -(s + 1) * (gone - bend_b) / at_b
    tug_b[:, :-1] = flat.reshape(n, count)
    tug_b[:, -1] = -s * there / (d + run_b[:, -1])
    after_a = np.cumsum(tug_a[:, ::-1], axis=1)[:, ::-1]
    after_b = np.cumsum(tug_b[:, ::-1], axis=1)[:, ::-1]
    inside_a, inside_b = grow_a * after_a[:, 1:], grow_b * after_b[:, 1:]
    flat[pieces] = -p * bend_a
    inside_a += flat.reshape(n, count)
    flat[pieces] = gone - (s + 1) * bend_b
    inside_b += flat.reshape(n, count)
    np.add.at(by_log_a, before.ravel(), (past_a * after_a[:, :1]).ravel())
    np.add.at(by_log_b, before.ravel(), (past_b * after_b[:, :1]).ravel())
    np.add.at(by_log_a, after.ravel(), inside_a.ravel())
    np.add.at(by_log_b, after.ravel(), inside_b.ravel())
    np.add.at(by_log_a, bought, 1.0)
    on_r = psi(k) - psi(r) - np.log1p(A / alpha) - there * on_a[:, -1]
    on_r -= np.bincount(whose, gone * on_a[:, :-1].ravel()[pieces] + mean_a, n)
    on_s = -np.log1p(B / beta) - there * on_b[:, -1]
    on_s -= np.bincount(whose, gone * on_b[:, :-1].ravel()[pieces] + mean_b, n)
    by_params += [
        r * on_r.sum(),
        n * r + alpha * after_a[:, 0].sum(),
        s * on_s.sum() + (left / whole).sum(),
        n * s + beta * after_b[:, 0].sum(),
    ]
    return lived


def log_likelihoods(params: Params, log_a: Floats, log_b: Floats, stretches: tuple[Stretch, ...]) -> Floats:
    """Each customer's log-likelihood; ``log_a`` and ``log_b`` are the logs of the multipliers that pieces refer to."""
    a, b = np.exp(log_a), np.exp(log_b)
    out = np.zeros(sum(len(stretch.who) for stretch in stretches))
    for stretch in stretches:
        out[stretch.who] = _live(params, a, b, log_a, stretch).value
    return out


def total(
    params: Params, log_a: Floats, log_b: Floats, stretches: tuple[Stretch, ...]
) -> tuple[float, Floats, Floats, Floats]:
    """The log-likelihood of all, and its derivatives by the log-parameters, by ``log_a`` and by ``log_b``."""
    a, b = np.exp(log_a), np.exp(log_b)
    slopes = np.zeros(4), np.zeros(len(a)), np.zeros(len(b))
    value = 0.0
    for stretch in stretches:
        value += float(_live(params, a, b, log_a, stretch, slopes).value.sum())
    return (value, *slopes)


def p_alive(params: Params, log_a: Floats, log_b: Floats, stretches: tuple[Stretch, ...]) -> Floats:
    """Probability of still being a customer at the end of her time."""
    a, b = np.exp(log_a), np.exp(log_b)
    out = np.zeros(sum(len(stretch.who) for stretch in stretches))
    for stretch in stretches:
        lived = _live(params, a, b, log_a, stretch)
        out[stretch.who] = lived.still / (lived.left + lived.still)
    return out


def expected(
    params: Params,
    log_a: Floats,
    log_b: Floats,
    stretches: tuple[Stretch, ...],
    widths: Floats,
    ahead: Positions,
    delta: float = 0.0,
) -> Floats:
    r"""Purchases expected in the pieces of time that follow the end, discounted continuously to the end at ``delta``.

    ``widths`` are the pieces' (the same for all, since all end together), ``ahead`` (customers, pieces) names their
    multipliers. Of one still there, A and B at the end,

        (r + x) / (alpha + A) \int_0^h a e^{-delta v} ((beta + B) / (beta + B(v)))^s dv.
    """
    r, _, s, _ = params
    a, b = np.exp(log_a), np.exp(log_b)
    out = np.zeros(sum(len(stretch.who) for stretch in stretches))
    for stretch in stretches:
        lived = _live(params, a, b, log_a, stretch)
        A, B = lived.c + lived.since_a, lived.d + lived.since_b
        mean, run, clock = np.zeros(len(A)), np.zeros(len(A)), 0.0
        for width, rows in zip(widths.tolist(), ahead[stretch.who].T, strict=True):
            if width > 0:
                reach = (B + run) / b[rows]
                stay = np.exp(-s * np.log1p(run / B) - delta * clock)
                mean += a[rows] * stay * reach * _remaining(s, reach, delta, width, False, _FINE)
                run += b[rows] * width
                clock += width
        out[stretch.who] = lived.still / (lived.left + lived.still) * (r + stretch.x) / A * mean
    return out
