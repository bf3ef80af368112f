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
from scipy.special import exprel, psi

from retention._kernels.paretonbd_integrals import FINE, WIDTH, gauss, other, panels, passage, remaining
from retention._kernels.paretonbd_likelihood import log_rising
from retention._kernels.purchases import Floats, Forecast, Params

__all__ = [
    "NAMES", "Stretch", "expected", "forecast", "lay_out", "log_likelihoods", "log_rate", "p_alive", "pmf", "total",
]  # fmt: skip

NAMES = ("r", "alpha", "s", "beta")

Positions = NDArray[np.intp]

_CUSTOMERS = 256  # in a block: its temporaries stay in cache
_NEGLIGIBLE = -80.0  # in logs: a piece that begins this far down adds nothing
_STEEPEST = ((4, 0.25), (8, 3.0), (16, 15.0))  # nodes of Gauss, and what they bear: see ``_passages``


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
    """Of the customers of a stretch: A and B up to the last purchase and since, the two terms of the bracket, and the
    expected log of her own rate (with slopes only; 0 without)."""

    c: Floats
    d: Floats
    since_a: Floats
    since_b: Floats
    left: Floats
    still: Floats
    value: Floats
    log_rate: Floats


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
    r"""Nodes of \int_0^span (1 + v/a)^{-p} (1 + v/b)^{-q} dv / b, as of the plain kernel's ``passage``.

    The n-point rule is wrong by about (n!)^4 / ((2n+1) (2n)!^3) times the product of the first 2n factors (p + j)
    span / a, which the bounds keep below 1e-14.
    """
    fall = span * (p / a + q / b)
    bend = span / np.minimum(a, b)
    kind = np.where(fall + 3.5 * bend <= 0.25, 4, np.where(fall + 7.5 * bend <= 3.0, 8, 0))
    for nodes in (4, 8):
        rows = np.flatnonzero(kind == nodes)
        if len(rows):
            u, w = gauss(nodes)
            v = span[rows, None] * u
            y_a, y_b = np.log1p(v / a[rows, None]), np.log1p(v / b[rows, None])
            terms = np.exp(-p[rows, None] * y_a - q * y_b)
            terms *= (span / b)[rows, None] * w
            yield rows, y_a, y_b, terms
    rows = np.flatnonzero(kind == 0)
    if len(rows):
        for some, y_a, y_b, terms in passage(p[rows], q, a[rows], b[rows], span[rows], FINE):
            yield rows[some], y_a, y_b, terms


def _run(widths: Floats) -> Floats:
    """The sum of the pieces before each, and of all: one column more."""
    out = np.zeros((widths.shape[0], widths.shape[1] + 1))
    np.cumsum(widths, axis=1, out=out[:, 1:])
    return out


def _live(
    params: Params,
    a: Floats,
    b: Floats,
    log_a: Floats,
    stretch: Stretch,
    slopes: tuple[Floats, ...] | None = None,
    customers: Any = 1.0,
) -> _Lived:
    """A stretch's likelihoods; the derivatives are added to ``slopes`` (parameters, log_a, log_b) if they are given,
    each customer's times her weight."""
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
    value = log_rising(np.asarray(r, dtype=np.float64), x) - x * np.log(c)
    value += np.log(whole) - r * np.log1p(A / alpha) - s * np.log1p(B / beta)
    value += np.bincount(by, log_a[bought], n)
    lived = _Lived(c, d, run_a[:, -1], run_b[:, -1], left, still, value, np.zeros(n))
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
    w = np.broadcast_to(np.asarray(customers, dtype=np.float64), (n,))
    np.add.at(by_log_a, before.ravel(), (past_a * (w * after_a[:, 0])[:, None]).ravel())
    np.add.at(by_log_b, before.ravel(), (past_b * (w * after_b[:, 0])[:, None]).ravel())
    np.add.at(by_log_a, after.ravel(), (w[:, None] * inside_a).ravel())
    np.add.at(by_log_b, after.ravel(), (w[:, None] * inside_b).ravel())
    np.add.at(by_log_a, bought, w[by])
    on_r = psi(k) - psi(r) - np.log1p(A / alpha) - there * on_a[:, -1]
    on_r -= np.bincount(whose, gone * on_a[:, :-1].ravel()[pieces] + mean_a, n)
    on_s = -np.log1p(B / beta) - there * on_b[:, -1]
    on_s -= np.bincount(whose, gone * on_b[:, :-1].ravel()[pieces] + mean_b, n)
    by_params += [
        r * np.einsum("n,n->", w, on_r),
        np.einsum("n,n->", w, r + alpha * after_a[:, 0]),
        np.einsum("n,n->", w, s * on_s + left / whole),
        np.einsum("n,n->", w, s + beta * after_b[:, 0]),
    ]
    return lived._replace(log_rate=on_r + psi(r) - np.log(alpha))


def log_likelihoods(params: Params, log_a: Floats, log_b: Floats, stretches: tuple[Stretch, ...]) -> Floats:
    """Each customer's log-likelihood; ``log_a`` and ``log_b`` are the logs of the multipliers that pieces refer to."""
    a, b = np.exp(log_a), np.exp(log_b)
    out = np.zeros(sum(len(stretch.who) for stretch in stretches))
    for stretch in stretches:
        out[stretch.who] = _live(params, a, b, log_a, stretch).value
    return out


def total(
    params: Params, log_a: Floats, log_b: Floats, stretches: tuple[Stretch, ...], weight: Floats | None = None
) -> tuple[float, Floats, Floats, Floats]:
    """The log-likelihood of all, and its derivatives by the log-parameters, by ``log_a`` and by ``log_b``.

    ``weight`` says how many customers each stands for.
    """
    a, b = np.exp(log_a), np.exp(log_b)
    slopes = np.zeros(4), np.zeros(len(a)), np.zeros(len(b))
    value = 0.0
    for stretch in stretches:
        w = np.ones(len(stretch.who)) if weight is None else weight[stretch.who]
        value += float(np.einsum("n,n->", w, _live(params, a, b, log_a, stretch, slopes, w).value))
    return (value, *slopes)


def p_alive(params: Params, log_a: Floats, log_b: Floats, stretches: tuple[Stretch, ...]) -> Floats:
    """Probability of still being a customer at the end of her time."""
    a, b = np.exp(log_a), np.exp(log_b)
    out = np.zeros(sum(len(stretch.who) for stretch in stretches))
    for stretch in stretches:
        lived = _live(params, a, b, log_a, stretch)
        out[stretch.who] = lived.still / (lived.left + lived.still)
    return out


def log_rate(params: Params, log_a: Floats, log_b: Floats, stretches: tuple[Stretch, ...]) -> Floats:
    """E[log rate | data] of each customer's own rate, in weeks in which the multiplier is 1."""
    a, b = np.exp(log_a), np.exp(log_b)
    out = np.zeros(sum(len(stretch.who) for stretch in stretches))
    for stretch in stretches:
        slopes = np.zeros(4), np.zeros(len(a)), np.zeros(len(b))
        out[stretch.who] = _live(params, a, b, log_a, stretch, slopes).log_rate
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
    """The ``mean`` of ``forecast`` alone."""
    return forecast(params, log_a, log_b, stretches, widths, ahead, delta, first=False).mean


def forecast(
    params: Params,
    log_a: Floats,
    log_b: Floats,
    stretches: tuple[Stretch, ...],
    widths: Floats,
    ahead: Positions,
    delta: float = 0.0,
    second: bool = False,
    first: bool = True,
) -> Forecast:
    r"""Purchases in the pieces of time that follow the end, discounted continuously to the end at ``delta``.

    ``widths`` are the pieces' (the same for all, since all end together), ``ahead`` (customers, pieces) names their
    multipliers. Of one still there, A and B at the end, k = r + x, S(v) = ((beta + B) / (beta + B(v)))^s,

    mean  = k / (alpha + A) \int_0^h a e^{-delta v} S dv
    pairs = k (k+1) / (alpha + A)^2 \int_0^h 2 a e^{-delta v} D S dv,      D(v) = \int_0^v a e^{-delta u} du
    any   = k \int_0^h a (alpha + A)^k (alpha + A(v))^{-k-1} S dv

    as in the plain model's ``forecast``, and piece by piece its integrals. ``squares`` and ``pairs`` are zeros unless
    ``second``, ``any`` unless ``first``.
    """
    r, _, s, _ = params
    a, b = np.exp(log_a), np.exp(log_b)
    some = widths > 0
    w = widths[some]
    clock = np.cumsum(w) - w
    weigh = np.exp(-delta * clock)
    out = np.zeros((4, sum(len(stretch.who) for stretch in stretches)))
    for stretch in stretches:
        lived = _live(params, a, b, log_a, stretch)
        k, A, B = r + stretch.x, lived.c + lived.since_a, lived.d + lived.since_b
        rows = ahead[stretch.who][:, some]
        rate, hazard = a[rows], b[rows]
        run_a, run_b = _run(rate * w)[:, :-1], _run(hazard * w)[:, :-1]
        stay, reach = np.exp(-s * np.log1p(run_b / B[:, None])), (B[:, None] + run_b) / hazard
        begun = rate * stay * weigh
        mine = np.zeros((4, len(k)))
        there = k / A
        mine[0] = there * np.einsum("np,np->n", begun, _lasting(s, reach, w, delta))
        if second:
            mine[1] = mine[0]
            if delta != 0:
                mine[1] = there * np.einsum("np,np->n", begun * weigh, _lasting(s, reach, w, 2 * delta))
            gained = rate * weigh * w * exprel(-delta * w)
            before = np.cumsum(gained, axis=1) - gained
            alone, with_it = _lasting(s, reach, w, delta), _lasting(s, reach, w, delta, pairs=True)
            both = 2 * begun * (before * alone + rate * weigh * with_it)
            mine[2] = there * (k + 1) / A * np.einsum("np->n", both)
        if first:
            soon = np.exp(-k[:, None] * np.log1p(run_a / A[:, None])) * stay * rate / (A[:, None] + run_a) * reach
            soon = (soon * k[:, None]).ravel()
            span = np.broadcast_to(w, rate.shape).ravel()
            at_a = ((A[:, None] + run_a) / rate).ravel()
            whose = np.repeat(np.arange(len(k)), len(w))
            for places, _, _, terms in _passages(k[whose] + 1, s, at_a, reach.ravel(), span):
                chance = soon[places] * np.einsum("nj->n", terms)
                mine[3] += np.bincount(whose[places], chance, len(k))
            mine[3] = np.minimum(mine[3], 1.0)
        out[:, stretch.who] = mine * (lived.still / (lived.left + lived.still))
    return Forecast(*out)


def _lasting(s: Any, reach: Floats, width: Floats, delta: float, pairs: bool = False) -> Floats:
    r"""\int_0^w e^{-delta u} (1 + u/reach)^{-s} du by (customer, piece); (1 - e^{-delta u}) / delta within for pairs.

    Four or eight nodes where the integrand is nearly a polynomial, as in ``_passages``; the plain kernel's elsewhere.
    """
    fall = width * s / reach + 2 * abs(delta) * width
    bend = width / reach
    kind = np.where(fall + 3.5 * bend <= 0.2, 4, np.where(fall + 7.5 * bend <= 2.5, 8, 0))
    out = np.zeros(reach.shape)
    for nodes in (4, 8):
        rows, columns = np.nonzero(kind == nodes)
        if len(rows):
            u, weight = gauss(nodes)
            v = width[columns, None] * u
            terms = np.exp(-s * np.log1p(v / reach[rows, columns][:, None]) - delta * v)
            if pairs:
                terms *= v * exprel(-delta * v)
            out[rows, columns] = np.einsum("nj,j->n", terms, weight) * width[columns]
    for column in np.flatnonzero((kind == 0).any(axis=0)).tolist():
        (rows,) = np.nonzero(kind[:, column] == 0)
        far = reach[rows, column]
        out[rows, column] = remaining(s, far, delta, float(width[column]), pairs, FINE) * far ** (1 + pairs)
    return out


def pmf(
    params: Params,
    log_a: Floats,
    log_b: Floats,
    stretches: tuple[Stretch, ...],
    widths: Floats,
    ahead: Positions,
    most: int,
) -> Floats:
    r"""P(0 .. ``most`` purchases in the pieces of time that follow the end), (customers, most + 1).

    The pieces are those of ``forecast``.

    Given that she is there and her rate, the number up to v is Poisson with mean lambda R, R(v) = \int_0^v a; with
    k = r + x, A and B at the end and W = R / (A + R) its mixture is

    P(n | v) = Gamma(k+n) / (Gamma(k) n!) (1 - W)^k W^n,

    and she stays for all of the horizon h, or leaves at v:

    P(n) = P(n | h) S(h) + s \int_0^h b P(n | v) S(v) / (B + B(v)) dv,      S(v) = (B / (B + B(v)))^s.

    All terms are positive, so also what is next to impossible keeps its digits; W = 1 - exp(-ln(1 + R / A)) has no
    cancellation. One set of nodes serves all n.
    """
    r, _, s, _ = params
    a, b = np.exp(log_a), np.exp(log_b)
    w = widths[widths > 0]
    n = np.arange(most + 1.0)
    out = np.zeros((sum(len(stretch.who) for stretch in stretches), most + 1))
    for stretch in stretches:
        lived = _live(params, a, b, log_a, stretch)
        k, A, B = r + stretch.x, lived.c + lived.since_a, lived.d + lived.since_b
        rows = ahead[stretch.who][:, widths > 0]
        rate, hazard = a[rows], b[rows]
        run_a, run_b = _run(rate * w), _run(hazard * w)
        used_a, used_b = np.log1p(run_a / A[:, None]), np.log1p(run_b / B[:, None])
        ways = np.zeros((len(k), most + 1))  # log Gamma(k + n) / (Gamma(k) n!)
        np.cumsum(np.log((k[:, None] + n[1:] - 1) / n[1:]), axis=1, out=ways[:, 1:])
        mine = np.zeros((len(k), most + 1))
        if len(w) == 0:
            mine[:, 0] = 1.0
        else:
            bought = -np.expm1(-used_a[:, -1:])
            mine += np.exp(ways + n * np.log(bought) - k[:, None] * used_a[:, -1:] - s * used_b[:, -1:])
            whose = np.repeat(np.arange(len(k)), len(w))
            before, gone = used_a[:, :-1].ravel(), used_b[:, :-1].ravel()
            at_a = ((A[:, None] + run_a[:, :-1]) / rate).ravel()
            at_b = ((B[:, None] + run_b[:, :-1]) / hazard).ravel()
            span = np.broadcast_to(w, rate.shape).ravel()
            for some, y_a, y_b, weight in _departures(k[whose], s, at_a, at_b, span, before, most):
                hers = whose[some]
                passed = before[some, None] + y_a
                terms = np.log(s * weight) - k[hers, None] * passed - s * (gone[some, None] + y_b) - y_b
                more = np.log(-np.expm1(-passed))
                for j in range(most + 1):
                    chance = np.einsum("nj->n", np.exp(terms + ways[hers, j, None]))
                    mine[:, j] += np.bincount(hers, chance, len(k))
                    terms += more
        whole = lived.left + lived.still
        mine *= (lived.still / whole)[:, None]
        mine[:, 0] += lived.left / whole
        out[stretch.who] = mine
    return out


def _departures(
    k: Floats, s: float, a: Floats, b: Floats, span: Floats, before: Floats, most: int
) -> Iterator[tuple[Positions, Floats, Floats, Floats]]:
    r"""Nodes of \int_0^span (1 + v/a)^{-k} (1 + v/b)^{-(s+1)} W^n dv / b for all n up to ``most``, where W is
    1 - e^{-before} / (1 + v/a): (rows, log(1 + v/a), log(1 + v/b), weights).

    As in ``_passages``, with a factor that is a polynomial of degree n, which may rise as fast as v^n.
    """
    first = -np.expm1(-before)
    rise = most * span / (a * first + span)
    fall = span * ((k + most) / a + (s + 1) / b)
    bend = span / np.minimum(a, b)
    kind = np.select([fall + rise + (n - 0.5) * bend <= c for n, c in _STEEPEST], [n for n, _ in _STEEPEST], 0)
    for nodes, _ in _STEEPEST:
        some = np.flatnonzero(kind == nodes)
        if len(some):
            u, w = gauss(nodes)
            v = span[some, None] * u
            yield some, np.log1p(v / a[some, None]), np.log1p(v / b[some, None]), (span / b)[some, None] * w
    rows = np.flatnonzero(kind == 0)
    if len(rows) == 0:
        return
    k, a, b, span, before = k[rows], a[rows], b[rows], span[rows], before[rows]
    low = a <= b
    m, omega = np.minimum(a, b), np.minimum(a / b, b / a)
    p_low, p_high = np.where(low, k, s + 1), np.where(low, s + 1, k)
    top = np.log1p(span / m)

    def log_f(y: Floats) -> Floats:  # of the largest n, which reaches furthest
        beyond = other(omega, y)
        log_w = np.log(-np.expm1(-before - np.where(low, y, beyond)))
        return np.asarray((1 - p_low) * y - p_high * beyond + most * log_w)

    # From about half-way to the peak, and from far out: nearer by steps, as long as nothing is lost.
    half = np.minimum(np.log1p((most + 1) / (k / a + (s + 1) / b) / m), top) / 2
    least = log_f(half) - FINE.drop
    reach = np.minimum(top, 100 - np.log(omega) + 750 / (k + s))
    while np.any(far := log_f(nearer := half + (reach - half) * 0.8) < least):
        reach = np.where(far, nearer, reach)
    for some, y, w in panels(40 - np.log(omega), reach, WIDTH, FINE.nodes + most // 2):
        beyond = other(omega[some, None], y)
        y_a, y_b = np.where(low[some, None], y, beyond), np.where(low[some, None], beyond, y)
        yield rows[some], y_a, y_b, w * np.exp(y) * (m / b)[some, None]
