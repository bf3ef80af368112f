r"""The integrals of the Pareto/NBD model, each by quadrature.

With m the smaller of alpha and beta the integrand over the moments at which a customer may have left is log-concave in
y = log((m + tau) / (m + t_x)), and analytic in a strip of width pi on both sides of the real axis: Gauss-Legendre
panels at most 2.5 wide, cut where the integrand has decayed, hold it to nearly all digits.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import exprel

from retention._kernels.purchases import Floats

__all__ = ["FINE", "ROUGH", "WIDTH", "Nodes", "Rule", "gauss", "other", "panels", "passage", "passed", "remaining"]

_BLOCK = 1 << 16  # numbers in a temporary: they stay in cache
WIDTH = 2.5
"""Of a panel; the nearest singularities are pi away."""


class Rule(NamedTuple):
    """Nodes a panel, and how far below its peak (in logs) the integrand is cut."""

    nodes: int
    drop: float


FINE = Rule(32, 42.0)
ROUGH = Rule(12, 18.0)


class Nodes(NamedTuple):
    """Some rows of an integral: their positions, y at each node, and the weights in y."""

    rows: Any
    y: Floats
    weight: Floats


@lru_cache(maxsize=64)
def gauss(nodes: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre on [0, 1]."""
    u, w = np.polynomial.legendre.leggauss(nodes)
    return (u + 1) / 2, w / 2


def panels(knee: Floats, reach: Floats, width: Any, nodes: int) -> Iterator[Nodes]:
    """Gauss-Legendre nodes on [0, reach]: panels of at most ``width`` up to ``knee``, one panel from there on."""
    u, w = gauss(nodes)
    knee = np.minimum(knee, reach)
    power = np.ceil(np.log2(np.maximum(knee / width, 1.0))).astype(np.int64)
    for k in np.flatnonzero(np.bincount(power)).tolist():
        group = np.flatnonzero(power == k)
        count = 1 << k
        unit_nodes = ((np.arange(count)[:, None] + u) / count).ravel()
        unit_weights = np.tile(w / count, count)
        step = max(1, _BLOCK // len(unit_nodes))
        for start in range(0, len(group), step):
            rows: Any = group[start : start + step]
            near, far = knee[rows, None], (reach - knee)[rows, None]
            y, weight = near * unit_nodes, near * unit_weights
            if np.any(far > 0):
                y, weight = np.hstack([y, near + far * u]), np.hstack([weight, far * w])
            if len(group) == len(power) and step >= len(group):
                rows = slice(None)
            yield Nodes(rows, y, weight)


def other(omega: Any, y: Any) -> Any:
    """log(1 + omega (e^y - 1)): the logarithm that belongs to the larger of alpha and beta."""
    near = np.minimum(y, 300.0)
    return np.log1p(omega * np.expm1(near)) + (y - near)


def passage(
    p: Any, q: Any, a: Any, b: Any, span: Any, rule: Rule = FINE
) -> Iterator[tuple[Any, Floats, Floats, Floats]]:
    r"""Nodes of \int_0^span (1 + v/a)^{-p} (1 + v/b)^{-q} dv / b: (rows, log(1 + v/a), log(1 + v/b), terms).

    The sum of the terms is the integral. ``span`` may be inf where p + q > 1.
    """
    p, q, a, b, span = (np.atleast_1d(v) for v in np.broadcast_arrays(p, q, a, b, span))
    low = a <= b
    p_low, p_high = np.where(low, p, q), np.where(low, q, p)
    m, omega = np.minimum(a, b), np.minimum(a / b, b / a)
    top = np.log1p(span / m)
    falls = p_low - 1 + p_high * omega  # at y = 0; the slope steepens to p + q - 1
    log_omega = np.log(omega)
    # The peak, where the slope vanishes: inside only if p_low < 1.
    share = np.clip((1 - p_low) / p_high, 1e-300, 1 - 1e-16)
    peak = np.where(
        falls < 0, np.log(share) - np.log1p(-share) + np.log1p(-np.minimum(omega, 1 - 1e-16)) - log_omega, 0.0
    )
    peak = np.clip(peak, 0.0, np.minimum(top, 1e6))
    height = (1 - p_low) * peak - p_high * other(omega, peak)
    # Where to cut: three upper bounds from convexity, then Newton's method, which stays to the right of the root.
    end = np.maximum(p + q - 1, 1e-300)
    reach = np.minimum(top, np.minimum((rule.drop - height - p_high * log_omega) / end, 1e15))
    reach = np.where(falls > 0, np.minimum(reach, rule.drop / np.maximum(falls, 1e-300)), reach)
    early = np.log1p((rule.drop + 25) / (np.log(2) * p_high * omega))
    reach = np.where(p_high > 100, np.minimum(reach, early), reach)
    for _ in range(3):
        log_f = (1 - p_low) * reach - p_high * other(omega, reach) - height + rule.drop
        tilt = 1 - p_low - p_high / (1 + (1 / omega - 1) * np.exp(-reach))
        reach = np.where((log_f < 0) & (tilt < 0), reach - log_f / np.minimum(tilt, -1e-300), reach)
    for rows, y, weight in panels(40 - log_omega, reach, WIDTH, rule.nodes):
        far = other(omega[rows, None], y)
        terms = (1 - p_low)[rows, None] * y
        terms -= p_high[rows, None] * far
        np.exp(terms, out=terms)
        terms *= weight
        terms *= np.where(low, omega, 1.0)[rows, None]
        if low[rows].all():
            yield rows, y, far, terms
        elif not low[rows].any():
            yield rows, far, y, terms
        else:
            yield rows, np.where(low[rows, None], y, far), np.where(low[rows, None], far, y), terms


def passed(p: Any, q: Any, a: Any, b: Any, span: Any, rule: Rule = FINE) -> Floats:
    """The integral of ``passage``."""
    out = np.zeros(np.broadcast_shapes(*(np.shape(v) for v in (p, q, a, b, span))))
    for rows, _, _, terms in passage(p, q, a, b, span, rule):
        out[rows] = np.einsum("nj->n", terms)
    return out


def remaining(s: Any, b: Any, delta: float, horizon: float, pairs: bool, rule: Rule) -> Floats:
    r"""\int_0^h e^{-delta v} (1 + v/b)^{-s} dv / b, or with (1 - e^{-delta v}) / (delta b) in the integrand."""
    s, b = (np.atleast_1d(value) for value in np.broadcast_arrays(s, b))
    top = np.log1p(horizon / b)
    if delta == 0 and not pairs:
        return np.asarray(top * exprel((1 - s) * top))
    rise = (2 if pairs else 1) - s
    zeta = delta * b
    reach, width = top, np.full(b.shape, WIDTH)
    if delta < 0:
        width = np.full(b.shape, min(WIDTH, 40 / (-delta * horizon)))
    else:
        with np.errstate(divide="ignore"):  # zeta = 0: no cut, the horizon ends it
            peak = (
                np.clip(np.log(np.maximum(rise, 1e-300) / zeta), 0.0, top)
                if delta > 0
                else np.where(rise > 0, top, 0.0)
            )
            height = rise * peak - zeta * np.expm1(peak)
            slow = zeta - rise
            reach = np.where(slow > 0, np.minimum(reach, rule.drop / np.maximum(slow, 1e-300)), reach)
            if delta > 0:
                bound = np.log1p((rule.drop + np.maximum(rise, 0.0) * 60) / zeta)
                reach = np.minimum(reach, bound)
                for _ in range(3):
                    log_f = rise * reach - zeta * np.expm1(reach) - height + rule.drop
                    tilt = rise - zeta * np.exp(reach)
                    reach = np.where((log_f < 0) & (tilt < 0), reach - log_f / np.minimum(tilt, -1e-300), reach)
    out = np.zeros(b.shape)
    for rows, y, weight in panels(reach, reach, width, rule.nodes):
        grown = np.expm1(y)
        lapse = zeta[rows, None] * grown
        terms = weight * np.exp(rise[rows, None] * y - lapse)
        if pairs:
            terms *= -np.expm1(-y) * exprel(-lapse)
        out[rows] = np.einsum("nj->n", terms)
    return out
