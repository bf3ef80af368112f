r"""What an action changes, learned from randomised arms, and what choosing it by customer would have brought.

**Scores.** With known chances :math:`e_a(x)` of each arm and any guesses :math:`\mu_a(x)` made without her own outcome,

.. math:: \Gamma_a = \mu_a(x) + \frac{1\{A = a\}}{e_a(x)} (Y - \mu_a(x))

has the mean of what arm ``a`` would bring, whatever the guesses are worth (Robins, Rotnitzky and Zhao 1994; with
cross-fitting Chernozhukov et al. 2018). A policy's value is the mean of the score of the arm that it picks, the effect
of ``a`` against ``b`` on the customers like her the regression of :math:`\Gamma_a - \Gamma_b` on what is known of her.

**Learner.** Ridges with an unpenalised mean. Guesses: one penalty, coefficients N(0, sigma^2 / alpha). Effects: a
penalty for each feature, so that the many on which the effect does not depend cost little (``grouped_ridge``). Both
by the marginal likelihood, so nothing is searched for on held-out rows.

**Shrinkage.** :func:`calibration` regresses scores on effects foretold by models that did not see them (the best linear
predictor of Chernozhukov, Demirer, Duflo and Fernandez-Val 2018): the slope says which share of the foretold
differences between customers is real.

Digits: all but the learner is sums and means of columns that the caller has centred and scaled.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from retention._kernels.ridges import Moments, added, fold_of, grouped_ridge, guesses, moments, ridge

__all__ = [
    "Calibration",
    "CrossFitted",
    "Rule",
    "Trial",
    "calibration",
    "cross_fit",
    "cross_fit_effects",
    "learn",
    "on_money",
    "out_of_fold_scores",
    "price_within",
    "scores",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Effect = Callable[[Floats, Floats], Floats]
Learner = Callable[[Floats, Floats], Callable[[Floats], Floats]]

# How far what a caused unit of a proxy is worth may lie from what a seen one goes with: one sd, as a share.
_INDEX_SPREAD = 0.5


def scores(outcome: Floats, codes: Ints, chance: Floats, guess: Floats) -> Floats:
    """The AIPW score of every arm for every row, shape (arms, n), from chances and guesses of that shape.

    Unbiased where the chances are right and the guess of a row does not use its outcome.
    """
    out = guess.copy()
    rows = np.arange(len(outcome))
    seen = guess[codes, rows]
    out[codes, rows] = seen + (outcome - seen) / chance[codes, rows]
    return out


class Calibration(NamedTuple):
    """The slope of scores on foretold effects, its heteroscedasticity-consistent error, and the share to keep."""

    slope: float
    error: float
    share: float


def calibration(score: Floats, foretold: Floats) -> Calibration:
    """Which share of the foretold differences between customers to believe: 0 none, 1 all.

    ``share = slope (1 - 1 / t^2)`` with ``t = slope / error``, kept in [0, 1]: a positive-part shrinkage in the manner
    of James and Stein (1961), so that a slope within one error of 0 leaves everyone the same.
    """
    x, y = foretold - foretold.mean(), score - score.mean()
    spread = float(np.einsum("n,n->", x, x))
    if spread <= 1e-24 * max(1.0, float(np.einsum("n,n->", foretold, foretold))):
        return Calibration(0.0, math.inf, 0.0)
    slope = float(np.einsum("n,n->", x, y)) / spread
    rest = x * (y - slope * x)
    error = math.sqrt(float(np.einsum("n,n->", rest, rest))) / spread
    if slope <= error:
        return Calibration(slope, error, 0.0)
    return Calibration(slope, error, min(1.0, slope * (1 - (error / slope) ** 2)))


class Trial(NamedTuple):
    """Randomised arms, one column a customer.

    ``features`` (p, n), centred and scaled, are what the ridges see, those with one number in ``groups`` (p,) under one
    penalty; ``plain`` (n, q) is what a foreign learner sees.
    ``chance`` (arms, n) is known. ``outcome`` times ``worth`` (1 where absent) is money, and ``cost`` (arms, n or 1)
    is in money too. ``proxy`` is a denser outcome.
    """

    features: Floats
    groups: Ints
    plain: Floats
    codes: Ints
    chance: Floats
    outcome: Floats
    cost: Floats
    worth: Floats | None = None
    proxy: Floats | None = None

    def take(self, rows: Ints) -> "Trial":
        """These customers only."""
        return Trial(
            np.ascontiguousarray(self.features[:, rows]),
            self.groups,
            self.plain[rows],
            self.codes[rows],
            self.chance[:, rows],
            self.outcome[rows],
            self.cost[:, rows] if self.cost.shape[1] > 1 else self.cost,
            None if self.worth is None else self.worth[rows],
            None if self.proxy is None else self.proxy[rows],
        )


class Rule(NamedTuple):
    """A learned choice: the arm ``base`` unless another's foretold effect beats it.

    Against the base, arm ``a`` brings ``worth (mean_a + scale share_a (effect_a(x) - centre_a)) - cost_a + cost_base``.
    ``effects`` are functions of (features, plain), None for the base; ``guess`` (1 + p, arms) foretells the outcome.
    """

    base: int
    mean: Floats
    scale: float
    share: Floats
    centre: Floats
    effects: tuple[Effect | None, ...]
    guess: Floats

    def gain(self, features: Floats, plain: Floats, cost: Floats, worth: Floats | None) -> Floats:
        """Foretold money over the base, shape (arms, n)."""
        out = np.empty((len(self.mean), features.shape[1]))
        for a, effect in enumerate(self.effects):
            out[a] = self.mean[a]
            if effect is not None and self.share[a] > 0:
                out[a] += self.scale * self.share[a] * (effect(features, plain) - self.centre[a])
        if worth is not None:
            out *= worth
        out -= cost - cost[self.base]
        out[self.base] = 0.0
        return out

    def choose(self, gain: Floats) -> Ints:
        """The arm with the most; the base where none is better."""
        best = np.argmax(gain, axis=0)
        return np.where(gain[best, np.arange(gain.shape[1])] > 0, best, self.base)


def _linear(coefficients: Floats) -> Effect:
    def effect(features: Floats, plain: Floats) -> Floats:
        return np.asarray(coefficients[0] + np.einsum("i,in->n", coefficients[1:], features))

    return effect


def _foreign(predict: Callable[[Floats], Floats]) -> Effect:
    def effect(features: Floats, plain: Floats) -> Floats:
        return predict(plain)

    return effect


def out_of_fold_scores(trial: Trial, fold: Ints, targets: Floats) -> tuple[Floats, Floats, list[Moments]]:
    """Scores of every arm for every target (targets, arms, n), each guess made without the row's own fold.

    With them the coefficients of the guesses made of all rows, (1 + p, targets, arms), and the moments by fold.
    """
    arms, folds = len(trial.chance), int(fold.max()) + 1
    cells = [
        [
            moments(trial.features[:, at], targets[:, at])
            for a in range(arms)
            for at in [(fold == f) & (trial.codes == a)]
        ]
        for f in range(folds)
    ]
    whole = [added([cells[f][a] for f in range(folds)]) for a in range(arms)]
    out = np.empty((len(targets), arms, len(trial.codes)))
    for f in range(folds):
        at = np.flatnonzero(fold == f)
        known = [ridge(whole[a].minus(cells[f][a])) for a in range(arms)]
        for t, target in enumerate(targets):
            guess = guesses(np.stack([each[:, t] for each in known], axis=1), trial.features[:, at])
            out[t][:, at] = scores(target[at], trial.codes[at], trial.chance[:, at], guess)
    return out, np.stack([ridge(each) for each in whole], axis=2), [added(row) for row in cells]


def on_money(
    mean: Floats, proxy: Floats, variance: Floats, proxy_variance: Floats, index: float
) -> tuple[float, Floats]:
    r"""Money per unit of a proxy, and each arm's mean money with what the proxy knows of it.

    ``index`` is the money that goes with a unit of the proxy within an arm (:func:`price_within`; the surrogate index
    of Athey, Chetty, Imbens and Kang 2019). What a caused unit is worth may differ, so it is only where one starts,
    with a standard deviation of half its size; the arms' means of money ``m`` and proxy ``q``, about their average,
    move it:

    .. math:: b = \frac{b_0 / s_0^2 + \sum q_a m_a / v_a}{1 / s_0^2 + \sum q_a^2 / v_a}, \qquad
        v_a = \operatorname{var} m_a + b_0^2 \operatorname{var} q_a

    which is the ratio of the mean effects where those are sharp. The arms' means are then taken from the proxy,
    ``b q_a``, plus what the money says against it beyond chance,

    .. math:: \omega (m_a - b q_a), \qquad
        \omega = \Bigl(1 - \frac{\chi^2_{0.95, K - 2}}{\sum (m_a - b q_a)^2 / v_a}\Bigr)_+

    With two arms the ratio can explain every difference, and the money is taken as it is.
    """
    arms = len(mean)
    q, m = proxy - proxy.mean(), mean - mean.mean()
    v = variance + index**2 * proxy_variance
    if not np.all(v > 0) or index == 0.0:
        scale = float((q * m).sum() / (q**2).sum()) if np.any(q) else 0.0
        return scale, mean.copy()
    prior = 1 / (_INDEX_SPREAD * index) ** 2
    scale = (prior * index + float((q * m / v).sum())) / (prior + float((q**2 / v).sum()))
    left = m - scale * q
    if arms == 2:
        return scale, mean.copy()
    off = float((left**2 / v).sum())
    bound = float(chdtri(arms - 2, 0.05))
    trust = 1 - bound / off if off > bound else 0.0
    return scale, mean.mean() + scale * q + trust * left


def price_within(outcome: Floats, proxy: Floats, codes: Ints) -> float:
    """The slope of the outcome on the proxy within arms: what a unit of it goes with, not what it causes."""
    size = np.bincount(codes)
    q = proxy - (np.bincount(codes, proxy) / size)[codes]
    bottom = float(np.einsum("n,n->", q, q))
    return float(np.einsum("n,n->", q, outcome)) / bottom if bottom > 0 else 0.0


def learn(trial: Trial, learner: Learner | None, rng: np.random.Generator, *, inner: int = 4) -> Rule:
    """A rule from these customers alone.

    The scores come from ridges by arm, cross-fitted over ``inner`` folds. The base is the arm with the highest mean
    net of cost. For each other arm the learner (the grouped ridge, if None) regresses the score of its effect against
    the base. Fits on all folds but one are held against that one by :func:`calibration`, which says what share to keep.
    """
    arms, n = len(trial.chance), len(trial.codes)
    fold = fold_of(trial.codes, inner, rng)
    targets = trial.outcome[None] if trial.proxy is None else np.stack([trial.outcome, trial.proxy])
    score, known, by_fold = out_of_fold_scores(trial, fold, targets)
    worth = 1.0 if trial.worth is None else trial.worth
    average, scale = score[0].mean(axis=1), 1.0
    net = (worth * score[0] - trial.cost).mean(axis=1)
    if trial.proxy is not None:
        variance, proxy_variance = (each.var(axis=1) / n for each in score)
        index = price_within(trial.outcome, targets[1], trial.codes)
        scale, blended = on_money(average, score[1].mean(axis=1), variance, proxy_variance, index)
        net += (blended - average) * np.mean(worth)
        average = blended
    base = int(np.argmax(net))

    others = [a for a in range(arms) if a != base]
    contrasts = score[-1][others] - score[-1][base]
    final, foretold = _fitted(trial, contrasts, fold, by_fold, learner)
    effects: list[Effect | None] = [None] * arms
    share, centre = np.zeros(arms), np.zeros(arms)
    for k, a in enumerate(others):
        effects[a] = final[k]
        share[a] = _calibrated(contrasts[k], foretold[k], fold).share
        if share[a] > 0:
            centre[a] = float(final[k](trial.features, trial.plain).mean())
    return Rule(base, average - average[base], scale, share, centre, tuple(effects), known[:, 0])


def _fitted(
    trial: Trial, contrasts: Floats, fold: Ints, by_fold: list[Moments], learner: Learner | None
) -> tuple[list[Effect], Floats]:
    """Effects fitted on all rows, and what those fitted without each row's fold foretell for it."""
    foretold = np.empty_like(contrasts)
    if learner is not None:
        final = [_foreign(learner(trial.plain, each)) for each in contrasts]
        for f in range(len(by_fold)):
            inside = fold == f
            for k, each in enumerate(contrasts):
                foretold[k, inside] = learner(trial.plain[~inside], each[~inside])(trial.plain[inside])
        return final, foretold
    parts = []
    for f, part in enumerate(by_fold):
        at = fold == f
        x, z = trial.features[:, at], contrasts[:, at]
        cross, squares = np.einsum("in,tn->it", x, z), np.einsum("tn,tn->t", z, z)
        parts.append(part._replace(cross=cross, squares=squares, y=z.sum(axis=1)))
    whole = added(parts)
    for f, part in enumerate(parts):
        at = fold == f
        foretold[:, at] = guesses(grouped_ridge(whole.minus(part), trial.groups), trial.features[:, at])
    known = grouped_ridge(whole, trial.groups)
    return [_linear(known[:, k]) for k in range(len(contrasts))], foretold


def _calibrated(score: Floats, foretold: Floats, fold: Ints) -> Calibration:
    """The calibration within folds: their fits differ in level."""
    size = np.bincount(fold)
    return calibration(
        score - (np.bincount(fold, score) / size)[fold], foretold - (np.bincount(fold, foretold) / size)[fold]
    )


class CrossFitted(NamedTuple):
    """What rules learned on the other folds bring, money net of cost, averaged over repeats row by row.

    ``constants`` (arms, n) are the scores of each arm for everyone, ``policy`` (n,) that of the arm chosen, ``chosen``
    (arms, n) the share of repeats in which it was that arm. ``by_repeat`` (repeats, arms + 1) are the means of each
    repeat, the policy's last.
    """

    constants: Floats
    policy: Floats
    chosen: Floats
    by_repeat: Floats


def cross_fit(trial: Trial, learner: Learner | None, *, repeats: int, folds: int, seed: int) -> CrossFitted:
    """Split, learn on all folds but one, choose and score on that one; again for every fold and repeat."""
    arms, n = len(trial.chance), len(trial.codes)
    constants, chosen = np.zeros((arms, n)), np.zeros((arms, n))
    policy, by_repeat = np.zeros(n), np.empty((repeats, arms + 1))
    worth = np.ones(n) if trial.worth is None else trial.worth
    for r in range(repeats):
        rng = np.random.default_rng([seed, r])
        fold = fold_of(trial.codes, folds, rng)
        mine, picked = np.empty((arms, n)), np.empty(n, dtype=np.intp)
        for f in range(folds):
            held = np.flatnonzero(fold == f)
            rule = learn(trial.take(np.flatnonzero(fold != f)), learner, rng)
            test = trial.take(held)
            guess = guesses(rule.guess, test.features)
            mine[:, held] = worth[held] * scores(test.outcome, test.codes, test.chance, guess) - test.cost
            picked[held] = rule.choose(rule.gain(test.features, test.plain, test.cost, test.worth))
        rows = np.arange(n)
        got = mine[picked, rows]
        constants += mine / repeats
        policy += got / repeats
        chosen[picked, rows] += 1 / repeats
        by_repeat[r] = np.append(mine.mean(axis=1), got.mean())
    return CrossFitted(constants, policy, chosen, by_repeat)


def cross_fit_effects(
    trial: Trial, treatment: int, control: int, learner: Learner | None, *, repeats: int, folds: int, seed: int
) -> Floats:
    """The effect of one arm against another for every row, foretold without her fold: (repeats, n), unshrunk.

    Folds are alike but for chance, so each is given the same mean: the error of its own would only blur the ranking.
    """
    n = len(trial.codes)
    out, level = np.empty((repeats, n)), 0.0
    for r in range(repeats):
        rng = np.random.default_rng([seed, r])
        fold = fold_of(trial.codes, folds, rng)
        for f in range(folds):
            held = np.flatnonzero(fold == f)
            train = trial.take(np.flatnonzero(fold != f))
            inner = fold_of(train.codes, 4, rng)
            score, _, by_fold = out_of_fold_scores(train, inner, train.outcome[None])
            contrast = score[0][[treatment]] - score[0][[control]]
            final, _ = _fitted(train, contrast, inner, by_fold, learner)
            out[r, held] = final[0](trial.features[:, held], trial.plain[held])
            level += contrast.mean() / (repeats * folds)
            out[r, held] -= out[r, held].mean()
    return out + level
