r"""Log-t renewal with drop-out: each customer's gaps are log-normal with her own mean and variance.

Log gaps of customer i are Normal(mu_i, sigma_i^2) with a Normal-inverse-gamma prior over customers
(m0, kappa0, nu0, s0^2); after each purchase she leaves for good with probability p_i ~ Beta(a, b). With x gaps of
log sum Y and sum of squares Q, and a silence of h days,

    kappa_n = kappa0 + x,  nu_n = nu0 + x,  m_n = (kappa0 m0 + Y) / kappa_n,
    nu_n s_n^2 = nu0 s0^2 + (Q - Y^2/x) + kappa0 x (Y/x - m0)^2 / kappa_n,

the next gap is Student t in the log: S(h) = P(t_{nu_n} > (ln h - m_n) / (s_n sqrt(1 + 1/kappa_n))). Now and then a
customer skips a turn: with a chance e (``pause``) the gap that is open is f times (``stretch``) as long as usual, so it
lasts beyond h with

    S*(h) = (1 - e) S(h) + e S(h / f),        P(alive) = (b + x) S*(h) / ((b + x) S*(h) + a),

and she comes within d days with probability P(alive) (1 - S*(h + d) / S*(h)). Completed gaps are taken as they are:
a mixture in each of them has no sufficient statistics, and a pause among many gaps hardly moves her mean. For that
reason e and f cannot be learned from this likelihood (it would explain every silence by a pause); they are chosen by
forecasts, and given.

The conjugate algebra is textbook (Gelman et al., Bayesian Data Analysis, section 3.3); the drop-out is that of the
beta-geometric models with a chance to leave after every purchase, the first included (Batislam, Denizel and
Filiztekin 2007). Digits are lost in Q - Y^2/x when all gaps are equal; it is floored at zero.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, chdtrc, chdtri, gammaln, stdtr, stdtrit

from retention._kernels.student import Quantiles, alike

__all__ = [
    "Posterior",
    "Prior",
    "coming",
    "density",
    "exceeded",
    "log_likelihood",
    "open_survival",
    "p_alive",
    "posterior",
    "student_quantile",
    "survival",
    "variance_below",
    "variance_quantile",
    "with_pauses",
]

Floats = NDArray[np.float64]


class Prior(NamedTuple):
    """The population: mean log gap, its weight in gaps, the variance's weight in gaps, variance, drop-out, pauses."""

    m0: float
    kappa0: float
    nu0: float
    s0_squared: float
    a: float
    b: float
    pause: float = 0.0
    stretch: float = 1.0


class Posterior(NamedTuple):
    """One customer a row: location, scale and degrees of freedom of her next log gap."""

    location: Floats
    scale: Floats
    degrees: Floats
    weight: Floats
    squares: Floats


def posterior(prior: Prior, x: Floats, log_sum: Floats, log_squares: Floats) -> Posterior:
    """Predictive distribution of the next log gap after x gaps."""
    weight = prior.kappa0 + x
    degrees = prior.nu0 + x
    location = (prior.kappa0 * prior.m0 + log_sum) / weight
    mean = np.divide(log_sum, x, out=np.full_like(log_sum, prior.m0), where=x > 0)
    spread = np.maximum(log_squares - mean * log_sum, 0.0)
    spread = np.where(x > 0, spread, 0.0)
    squares = prior.nu0 * prior.s0_squared + spread + prior.kappa0 * x / weight * (mean - prior.m0) ** 2
    scale = np.sqrt(squares / degrees * (1.0 + 1.0 / weight))
    return Posterior(location, scale, degrees, weight, squares)


def survival(post: Posterior, idle: Floats) -> Floats:
    """S(h): the chance that one of her gaps lasts longer than the silence; 1 at no silence."""
    with np.errstate(divide="ignore"):
        z = (np.log(idle) - post.location) / post.scale
    return np.asarray(stdtr(post.degrees, -z))


def exceeded(post: Posterior, probability: Floats | float) -> Floats:
    """The gap that is exceeded with that probability, however small; no more than e^50 days."""
    # By symmetry from the lower tail: 1 - p would lose a small p.
    reach = student_quantile(post.degrees, probability)
    return np.asarray(np.exp(np.minimum(post.location - post.scale * reach, 50.0)))


def student_quantile(degrees: Floats, probability: Floats | float) -> Floats:
    """Quantiles of Student's t; of one probability, computed once for each number of degrees that occurs."""
    return _once(stdtrit, degrees, probability)


def _once(quantile: Any, degrees: Floats, probability: Floats | float) -> Floats:
    # Degrees are the prior's plus a number of gaps: of a million customers some hundreds are different.
    shared = None if np.ndim(probability) else alike(degrees)
    if shared is None:
        return np.asarray(quantile(degrees, probability))
    values, at = shared
    return np.asarray(quantile(values, probability)[at])


def coming(post: Posterior, silence: Floats, shares: Sequence[float]) -> list[Floats]:
    """For each share the gap by which that share of those has come who stay away for as long as she does, if they
    come; ``silence`` is ``survival`` of hers. No more than e^50 days.

    The quantiles are those of ``exceeded``, within 1e-12, and come several times as fast.
    """
    reach = Quantiles(post.degrees)
    with np.errstate(divide="ignore"):
        logs = np.log(silence)
    found = []
    for share in shares:
        days = reach.at(logs + np.log1p(-share))
        days *= -post.scale
        days += post.location
        found.append(np.exp(np.minimum(days, 50.0, out=days), out=days))
    return found


def open_survival(prior: Prior, post: Posterior, idle: Floats) -> Floats:
    """S*(h): the chance that the gap that is open now lasts beyond the silence, pauses included."""
    return with_pauses(prior, post, idle, survival(post, idle))


def with_pauses(prior: Prior, post: Posterior, idle: Floats, usual: Floats) -> Floats:
    """``open_survival`` of who is known to have this ``survival`` of the silence."""
    if prior.pause == 0:
        return usual
    return np.asarray((1.0 - prior.pause) * usual + prior.pause * survival(post, idle / prior.stretch))


def density(prior: Prior, post: Posterior, gap: Floats) -> Floats:
    """The density of the gap that is open now, a day; minus the slope of S*."""

    def usual(days: Floats) -> Floats:
        z = (np.log(days) - post.location) / post.scale
        nu = post.degrees
        logs = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * nu) - (nu + 1) / 2 * np.log1p(z**2 / nu)
        return np.asarray(np.exp(logs) / (post.scale * days))

    if prior.pause == 0:
        return usual(gap)
    return np.asarray((1.0 - prior.pause) * usual(gap) + prior.pause / prior.stretch * usual(gap / prior.stretch))


def variance_quantile(post: Posterior, probability: float) -> Floats:
    """The quantile of the variance of her log gaps: squares over a chi-squared quantile of ``degrees``."""
    return np.asarray(post.squares / _once(chdtri, post.degrees, probability))


def variance_below(post: Posterior, bound: Floats | float) -> Floats:
    """The chance that the variance of her log gaps lies below the bound."""
    with np.errstate(divide="ignore"):  # every gap is a day: nobody's can be more even than that
        return np.asarray(chdtrc(post.degrees, post.squares / bound))


def p_alive(prior: Prior, x: Floats, silence: Floats) -> Floats:
    """Probability that she has not left, given ``open_survival`` of her present silence."""
    staying = (prior.b + x) * silence
    return staying / (staying + prior.a)


def log_likelihood(prior: Prior, x: Floats, log_sum: Floats, log_squares: Floats, idle: Floats) -> Floats:
    """Each customer's log-likelihood, up to the constant sum of her log gaps."""
    post = posterior(prior, x, log_sum, log_squares)
    gaps = (
        gammaln(post.degrees / 2)
        - gammaln(prior.nu0 / 2)
        + 0.5 * np.log(prior.kappa0 / post.weight)
        + prior.nu0 / 2 * np.log(prior.nu0 * prior.s0_squared)
        - post.degrees / 2 * np.log(post.squares)
        - x / 2 * np.log(np.pi)
    )
    staying = betaln(prior.a, prior.b + x) - betaln(prior.a, prior.b)
    total = prior.a + prior.b + x
    end = np.log((prior.b + x) / total * open_survival(prior, post, idle) + prior.a / total)
    return np.asarray(gaps + staying + end)
