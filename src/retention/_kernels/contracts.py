"""What every contractual model offers: the chance of renewing, and what follows from it for all of them alike.

A customer's end is seen. She is known by ``renewals``, the renewal decisions that she came through (k), and by whether
she then ``ended`` at the next one. If S(k) is the chance of coming through k decisions,

    P(still there after k) = S(k),        P(ended at decision k + 1) = S(k) - S(k + 1).

A model says what ``fade(k, j) = log S(k) - log S(k + j)`` is, and its derivatives. All the rest is here, in logs, and
no two numbers of like size are subtracted: S(k) - S(k + 1) is S(k) (1 - exp(-fade(k, 1))).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retention._kernels.periods import run_sum

__all__ = ["Contractual", "Residual", "log_likelihoods", "longest", "residual", "rowwise"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Params = Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Contractual:
    """A contractual model as functions; parameters are positive numbers, or arrays with one value a row.

    - ``fade(params, k, j)``: see above; all three broadcast, and j need not be whole.
    - ``slopes(params, k, j) -> (gradient (d, n), hessian (d, d, n))`` of the fade by log-parameters.
    - ``fades(params, k, i)``: fade(k, i + 1) for params and k as (rows, 1) and many i, as ``periods.declines`` has it.
    - ``smooth(params) -> (exact, width)``: how many periods must be summed one by one, and panels for the rest.
    - ``scaled``: positions of the parameters that covariates act on.
    """

    names: tuple[str, ...]
    scaled: tuple[int, ...]
    fade: Callable[[Params, Any, Any], Floats]
    slopes: Callable[[Params, Floats, Any], tuple[Floats, Floats]]
    fades: Callable[[Params, Any, Floats], Floats]
    smooth: Callable[[Params], tuple[int, float]]


class Residual(NamedTuple):
    """Renewals still to come, renewal j weighing d_j = exp(-delta (j - 1)): their expected sum, and its square."""

    mean: Floats
    square: Floats


def log_likelihoods(model: Contractual, params: Params, renewals: Floats, ended: Bools) -> Floats:
    """Log-chance of each customer's renewals and, if she ended, of that.

    Parameters may have axes before that of the customers: then so has the answer.
    """
    out = np.asarray(-model.fade(params, 0.0, renewals))
    fade = model.fade(_of(params, ended), renewals[ended], 1.0)
    likely = fade > 0.7  # to end: then its distance from certainty is what counts
    out[..., ended] += np.where(
        likely, np.log1p(-np.exp(-np.where(likely, fade, 1.0))), np.log(-np.expm1(-np.where(likely, 1.0, fade)))
    )
    return out


def _of(params: Params, rows: Bools) -> Params:
    """The parameters of some customers."""
    return [p[..., rows] if np.ndim(p) and np.shape(p)[-1] == len(rows) else p for p in params]


def rowwise(model: Contractual, params: Params, renewals: Floats, ended: Bools) -> tuple[Floats, Floats, Floats]:
    """Values, gradients (d, n) and Hessians (d, d, n) by log-parameters."""
    values = log_likelihoods(model, params, renewals, ended)
    gradient, hessian = (-slope for slope in model.slopes(params, np.zeros(len(renewals)), renewals))
    if np.any(ended):
        rows, k = _of(params, ended), renewals[ended]
        fade = model.fade(rows, k, 1.0)
        first, second = model.slopes(rows, k, np.ones(len(k)))
        odds = np.exp(-fade) / -np.expm1(-fade)  # of renewing against ending
        gradient[:, ended] += odds * first
        hessian[:, :, ended] += odds * second - odds * (first[:, None] * (1 + odds)) * first[None]
    return values, gradient, hessian


def longest(delta: float) -> float:
    """Periods after which a discount rate leaves no digit."""
    return float(np.ceil(80 + 60 / delta)) if delta > 0 else np.inf


def residual(
    model: Contractual, params: Params, renewals: Floats, horizon: float, delta: float = 0.0, second: bool = False
) -> Residual:
    r"""Of a customer with these renewals, ``sum over j = 1 .. horizon of exp(-delta (j - 1)) S(k + j) / S(k)``.

    That is the discounted expected residual lifetime *just before* her next renewal decision, whose payment is then
    due at once (Fader and Hardie 2010, Marketing Science 29(1), equation 6); times exp(-delta) it is the one just
    after her last. ``horizon`` may be inf if ``delta`` > 0. ``square`` is 0 unless ``second``: with A_j the sum of the
    first j weights, it is the expectation of A_K^2, K being the renewals she will make.
    """
    count = np.full(len(renewals), min(horizon, longest(delta)))
    columns = [np.broadcast_to(np.asarray(p, dtype=np.float64), renewals.shape)[:, None] for p in params]
    k = renewals[:, None]
    exact, width = model.smooth(params)
    if delta < 0:  # growth: the end is the largest part, and not smooth
        exact = int(count.max(initial=0.0))

    def term(rows: Any, i: Floats) -> Floats:
        there = np.exp(-model.fades([p[rows] for p in columns], k[rows], i) - delta * i)
        if not second:
            return there[None]
        before = i if delta == 0 else np.expm1(-delta * i) / np.expm1(-delta)
        return np.stack([there, there * (2 * before + np.exp(-delta * i))])

    sums = run_sum(term, count, exact=exact, width=width, parts=1 + second)
    return Residual(sums[0], sums[1] if second else np.zeros(len(renewals)))
