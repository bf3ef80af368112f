r"""Needs: a log-t clock for every customer and category, and the odds that her next basket holds the category.

**Clocks.** The purchases of one category by one customer are a renewal of their own (:mod:`~retention._kernels.logt`).
The categories differ in three numbers: mean log gap m_c, variance of log gaps s_c^2, chance p_c to buy it never again;
theta_c = (m_c, ln s_c^2, logit p_c) ~ Normal(theta, diag tau^2), and theta, tau^2 come from the data (parametric
empirical Bayes: Morris 1983). What a customer's own gaps weigh against her category's (kappa_0, nu_0, a + b) is the
same for all categories. With the other parameters given, the likelihood falls apart by category, so one pass over all
rows moves all categories: Newton steps by coordinate on the penalised log-likelihood, each kept only where it gains.
Rare categories stay near theta. Gaps have no pauses here: on most logs tried that forecast best.

**Odds.** Given that she comes, category c is in her basket with

    logit P = b_0 + b_1 L(pop_c) + b_2 [L(share_ic) - L(pop_c)] + b_3 [L(clock_ic) - L(share_ic)] + b_4 known_ic
              + b_5 cross_ic,

L the log odds: discrete-time competing hazards (Prentice and Gloeckler 1978; Allison 1982), one trial a visit. ``pop``
is the share of all visits that hold c; ``share`` her own share of visits, beta-binomial, shrunk to pop (alpha_c and
beta_c by moments: Kleinman 1973); ``clock`` the chance that the gap of c that was open at her last visit ends by the
next; ``known`` is 1 for what she has bought; ``cross``, for what she has not, the log of how much more often those who
bought what she buys have bought c. With b_1 = b_2 = b_3 = 1 and the others 0 it is the clock taken at its word, with
b_1 = 1 and all others 0 popularity alone; b is the ridge-penalised maximum likelihood on one past visit of each
customer, predicted from those before.

Digits: probabilities are kept within [1e-9, 1 - 1e-9] before log odds are taken.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit, logit

from retention._kernels import logt

__all__ = [
    "FIRST",
    "ClockPriors",
    "Spells",
    "beta_binomial",
    "clock_priors",
    "cross_matrix",
    "distinct",
    "elasticity",
    "features",
    "fit_weights",
    "spells",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FIRST = np.array([0.0, 1.0, 1.0, 0.5, 0.0, 0.0])
"""The weights b before anything is learned."""

_TINY = 1e-9
_LEAST = 20  # customers whose spread is an error
_MOST_ROWS = 30_000


class Spells(NamedTuple):
    """One row a group (customer and category), sorted: its purchase days as the statistics of a renewal."""

    customer: Ints
    category: Ints
    purchases: Ints
    first: Ints
    last: Ints
    log_sum: Floats
    log_squares: Floats


def distinct(customer: Ints, category: Ints, day: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """The distinct (customer, category, day) triples in that order, and of which one each line is."""
    if not len(day):
        return customer, category, day, np.zeros(0, dtype=np.int64)
    low, many = int(day.min()), int(category.max()) + 1
    width = int(day.max()) - low + 1
    keys, of = np.unique((customer * many + category) * width + (day - low), return_inverse=True)
    pair = keys // width
    return pair // many, pair % many, keys % width + low, of.astype(np.int64)


def spells(customer: Ints, category: Ints, day: Ints, log_stretch: Floats | None = None) -> Spells:
    """Sorted distinct triples as one row a group; ``log_stretch`` of a purchase is taken off the log gap after it."""
    if not len(day):
        none, zero = np.zeros(0, dtype=np.int64), np.zeros(0)
        return Spells(none, none, none, none, none, zero, zero)
    fresh = np.r_[True, (customer[1:] != customer[:-1]) | (category[1:] != category[:-1])]
    starts = np.flatnonzero(fresh)
    ends = np.append(starts[1:], len(day)) - 1
    logs = np.zeros(len(day))
    inner = ~fresh[1:]
    gap = np.log(np.maximum(np.diff(day)[inner], 1).astype(np.float64))
    logs[1:][inner] = gap if log_stretch is None else gap - log_stretch[:-1][inner]
    return Spells(
        customer[starts], category[starts], ends - starts + 1, day[starts], day[ends],
        np.add.reduceat(logs, starts), np.add.reduceat(logs**2, starts),
    )  # fmt: skip


def elasticity(customer: Ints, category: Ints, day: Ints, quantity: Floats) -> tuple[float, float, Floats]:
    """By how many per cent a gap is longer after one per cent more was bought, its error, and log quantities.

    Within groups of two gaps or more, so that who always buys much tells nothing; the error counts customers, not
    lines, and is infinite for fewer than twenty of them. Log quantities are against the group's own mean, of all its
    purchases.
    """
    n = len(day)
    if not n:
        return 0.0, np.inf, np.zeros(0)
    fresh = np.r_[True, (customer[1:] != customer[:-1]) | (category[1:] != category[:-1])]
    group = np.cumsum(fresh) - 1
    amount = np.log(np.maximum(quantity, _TINY))
    amount -= (np.bincount(group, amount) / np.bincount(group))[group]
    rows = np.flatnonzero(~fresh[1:])
    gap = np.log(np.maximum(day[rows + 1] - day[rows], 1).astype(np.float64))
    of, many = group[rows], np.bincount(group[rows], minlength=group[-1] + 1)
    keep = many[of] >= 2
    rows, gap, of = rows[keep], gap[keep], of[keep]
    size = np.maximum(many, 1)
    x = amount[rows] - (np.bincount(of, amount[rows], len(many)) / size)[of]
    y = gap - (np.bincount(of, gap, len(many)) / size)[of]
    spread = float(np.sum(x * x))
    if spread <= 1e-6:
        return 0.0, np.inf, amount
    slope = float(np.sum(x * y)) / spread
    scores = np.bincount(customer[rows], x * (y - slope * x))
    clusters = len(np.unique(customer[rows]))
    if clusters < _LEAST:
        return 0.0, np.inf, amount
    return slope, float(np.sqrt(np.sum(scores**2) * clusters / (clusters - 1))) / spread, amount


class ClockPriors(NamedTuple):
    """Clocks of the categories: mean, variance and leaving differ, the weights of a customer's own gaps are shared."""

    m0: Floats
    s0_squared: Floats
    leaving: Floats
    kappa0: float
    nu0: float
    size: float

    def of(self, category: Ints) -> logt.Prior:
        """One prior a row; an array where a :class:`logt.Prior` has a number, which its equations take as well."""
        left = self.leaving[category] * self.size
        rows = (self.m0[category], self.kappa0, self.nu0, self.s0_squared[category], left, self.size - left)
        return logt.Prior(*rows)  # type: ignore[arg-type]


def clock_priors(
    base: logt.Prior, category: Ints, categories: int, x: Floats, log_sum: Floats, log_squares: Floats, idle: Floats
) -> ClockPriors:
    """Each category's clock, shrunk to the base's; about 30,000 rows are used or 50 a category, evenly spaced in it."""
    rows = _sample(category, categories)
    category = category[rows]
    x, log_sum, log_squares, idle = (v[rows] for v in (x, log_sum, log_squares, idle))
    centre = np.array([base.m0, np.log(base.s0_squared), logit(base.a / (base.a + base.b))])
    first = np.array([1.0, 0.6, 1.5])
    shared = np.log([base.kappa0, base.nu0, base.a + base.b])
    theta = np.repeat(centre[:, None], categories, axis=1)
    tau = first.copy()

    def priors(theta: Floats, shared: Floats) -> ClockPriors:
        kappa0, nu0, size = (float(v) for v in np.exp(shared))
        return ClockPriors(theta[0], np.exp(theta[1]), expit(theta[2]), kappa0, nu0, size)

    def likelihood(theta: Floats, shared: Floats) -> Floats:
        prior = priors(theta, shared).of(category)
        return logt.log_likelihood(prior, x, log_sum, log_squares, idle)

    def gain(theta: Floats) -> Floats:
        fit = np.bincount(category, likelihood(theta, shared), categories)
        return np.asarray(fit - 0.5 * np.sum(((theta - centre[:, None]) / tau[:, None]) ** 2, axis=0))

    def loss(moved: Floats) -> float:
        # The chance to leave and its weight pull at each other: all categories' chances move with the weight.
        off = np.append((moved[:3] - np.array([0.0, np.log(4.0), 1.0])) / np.array([1.5, 1.0, 1.5]), moved[3] / 2.0)
        shifted = theta + moved[3] * np.array([[0.0], [0.0], [1.0]])
        return float(0.5 * np.sum(off**2) - likelihood(shifted, moved[:3]).sum())

    for _ in range(3):
        curvature = np.ones_like(theta)
        now = gain(theta)
        for _ in range(4):
            for j in range(3):
                h = 0.05 * tau[j]
                step = np.zeros_like(theta)
                step[j] = h
                up, down = gain(theta + step), gain(theta - step)
                slope, bend = (up - down) / (2 * h), (2 * now - up - down) / h**2
                curvature[j] = np.maximum(bend, 1.0 / tau[j] ** 2)
                step[j] = np.clip(slope / curvature[j], -tau[j], tau[j])
                tried = gain(theta + step)
                better = tried > now
                theta[j] += np.where(better, step[j], 0.0)
                now = np.where(better, tried, now)
        # Categories say how different categories are; four imagined ones keep the answer sane when there are few.
        centre = (centre + theta.sum(axis=1)) / (categories + 1)
        spread = np.sum((theta - centre[:, None]) ** 2 + 1.0 / curvature, axis=1)
        tau = np.maximum(np.sqrt((4 * first**2 + spread) / (categories + 4)), 0.05)
        if len(x):
            start = np.append(shared, 0.0)
            bounds = list(zip(start - 4.0, start + 4.0, strict=True))
            moved = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
            shared = moved[:3]
            theta[2] += moved[3]
            centre[2] += moved[3]
    return priors(theta, shared)


def _sample(category: Ints, categories: int) -> Ints:
    if len(category) <= _MOST_ROWS:
        return np.arange(len(category))
    order = np.argsort(category, kind="stable")
    counts = np.bincount(category, minlength=categories)
    most = 50
    while np.minimum(counts, most + most // 2).sum() <= _MOST_ROWS:
        most += most // 2
    place = np.arange(len(category)) - np.repeat(np.cumsum(counts) - counts, counts)
    step = np.maximum(counts / most, 1.0)[category[order]]
    chosen = np.floor(place / step) != np.floor((place - 1) / step)
    return np.sort(order[chosen | (place == 0)])


def beta_binomial(category: Ints, categories: int, count: Ints, visits: Ints, everyone: Ints) -> tuple[Floats, Floats]:
    """Each category's share of visits, and how many visits of her own weigh as much as it (alpha + beta).

    ``count`` of ``visits`` a row of somebody who bought it; ``everyone`` is the visits of all customers.
    """
    total, n = float(everyone.sum()), float(len(everyone))
    share = (np.bincount(category, count, categories) + 0.5) / (total + 1.0)
    squares = np.bincount(category, count.astype(np.float64) ** 2 / np.maximum(visits, 1), categories)
    scatter = (squares - share**2 * total) / (share * (1.0 - share))
    # Between nothing and all alike; where everybody came once, nothing can be told and a tenth is taken.
    alike = np.clip((scatter - n) / max(total - n, 1.0), 1e-3, 0.9) if total > n else np.full(categories, 0.1)
    weight = np.bincount(category, minlength=categories) + 1.0
    pooled = float(np.sum(alike * weight) / np.sum(weight))
    alike = (alike * weight + 20.0 * pooled) / (weight + 20.0)
    return np.asarray(share), np.asarray(1.0 / alike - 1.0)


def cross_matrix(
    customer: Ints, category: Ints, customers: int, categories: int, prior: float = 20.0
) -> tuple[Floats, Floats]:
    """P(has bought c | has bought d), a row a d, shrunk by ``prior`` buyers to P(has bought c); and the latter."""
    owns = csr_matrix((np.ones(len(customer)), (customer, category)), shape=(customers, categories))
    both = (owns.T @ owns).toarray()
    owners = np.diag(both)
    share = (owners + 0.5) / (customers + 1.0)
    return (both + prior * share[None, :]) / (owners[:, None] + prior), share


def features(
    row: Ints,
    category: Ints,
    count: Ints,
    clock: Floats,
    visits: Ints,
    pop: Floats,
    weight: Floats,
    cross: tuple[Floats, Floats] | None,
) -> Floats:
    """The six terms of the log odds: terms, customers (one each of ``visits``), categories.

    ``row`` and ``category`` name what each has bought, ``count`` on how many visits, ``clock`` the chance that her
    clock gives it; ``pop`` and ``weight`` are those of :func:`beta_binomial`, ``cross`` those of :func:`cross_matrix`.
    """
    out = np.zeros((6, len(visits), len(pop)))
    counts = np.zeros((len(visits), len(pop)))
    counts[row, category] = count
    odds = logit(np.clip(pop, _TINY, 1 - _TINY))
    hers = logit(np.clip((pop * weight + counts) / (weight + visits[:, None]), _TINY, 1 - _TINY))
    out[0], out[1], out[2] = 1.0, odds, hers - odds
    out[3, row, category] = logit(np.clip(clock, _TINY, 1 - _TINY)) - hers[row, category]
    out[4, row, category] = 1.0
    if cross is not None:
        matrix, owners = cross
        near = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)) @ matrix
        out[5] = np.where((counts > 0) | (near <= 0), 0.0, np.log(np.maximum(near, _TINY) / owners))
    return out


def fit_weights(
    terms: NDArray[np.float64], bought: NDArray[np.bool_], counts: Floats | None = None, *, ridge: float = 4.0
) -> Floats:
    """The weights b by penalised maximum likelihood (Newton); the penalty pulls to ``FIRST``.

    ``counts`` says how many times each customer counts; once, without it.
    """
    b = FIRST.copy()
    flat, y = terms.reshape(len(terms), -1), bought.ravel().astype(np.float64)
    times = np.ones(len(y)) if counts is None else np.repeat(counts, bought.shape[1])

    def value(b: Floats) -> float:
        eta = np.einsum("k,kn->n", b, flat)
        fit = np.einsum("n,n->", times, y * eta - np.logaddexp(0.0, eta))
        return float(fit - 0.5 * ridge * np.sum((b - FIRST) ** 2))

    now = value(b)
    for _ in range(30):
        p = expit(np.einsum("k,kn->n", b, flat))
        slope = np.einsum("kn,n->k", flat, times * (y - p)) - ridge * (b - FIRST)
        spread = times * p * (1.0 - p)
        bend = np.array([np.einsum("kn,n->k", flat, one * spread) for one in flat]) + ridge * np.eye(len(b))
        step = np.linalg.solve(bend, slope)
        for _ in range(30):
            tried = value(b + step)
            if tried >= now:
                break
            step *= 0.5
        else:
            break
        b, gained, now = b + step, tried - now, tried
        if gained < 1e-9 * (1.0 + abs(now)):
            break
    return b
