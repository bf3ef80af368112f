r"""Log-t renewal with drop-out: each customer's gaps are log-normal with her own mean and variance.

Log gaps of customer i are Normal(mu_i, sigma_i^2) with a Normal-inverse-gamma prior over customers
(m0, kappa0, nu0, s0^2); after each purchase she leaves for good with probability p_i ~ Beta(a, b). With x gaps of
log sum Y and sum of squares Q, and a silence of h days,

    kappa_n = kappa0 + x,  nu_n = nu0 + x,  m_n = (kappa0 m0 + Y) / kappa_n,
    nu_n s_n^2 = nu0 s0^2 + (Q - Y^2/x) + kappa0 x (Y/x - m0)^2 / kappa_n,

the next gap is Student t in the log: S(h) = P(t_{nu_n} > (ln h - m_n) / (s_n sqrt(1 + 1/kappa_n))), and

    P(alive) = (b + x) S(h) / ((b + x) S(h) + a).

The conjugate algebra is textbook (Gelman et al., Bayesian Data Analysis, section 3.3); the drop-out is that of the
beta-geometric models with a chance to leave after every purchase, the first included (Batislam, Denizel and
Filiztekin 2007). Digits are lost in Q - Y^2/x when all gaps are equal; it is floored at zero.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, stdtr, stdtrit

__all__ = ["Prior", "exceeded", "log_likelihood", "p_alive", "posterior", "survival"]

Floats = NDArray[np.float64]


class Prior(NamedTuple):
    """The population: mean log gap, its weight in gaps, the variance's weight in gaps, variance, drop-out."""

    m0: float
    kappa0: float
    nu0: float
    s0_squared: float
    a: float
    b: float


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
    return np.asarray(np.exp(np.minimum(post.location - post.scale * stdtrit(post.degrees, probability), 50.0)))


def p_alive(prior: Prior, x: Floats, silence: Floats) -> Floats:
    """Probability that she has not left, given the survival of her present silence."""
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
    end = np.log((prior.b + x) / total * survival(post, idle) + prior.a / total)
    return np.asarray(gaps + staying + end)
