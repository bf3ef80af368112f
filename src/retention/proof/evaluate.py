"""What a policy would have earned, from decisions that were drawn by another with known chances."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError, nearest
from retention.frames.table import BoolColumn, FloatColumn
from retention.proof._decisions import (
    actions_of,
    encoded,
    flags,
    people,
    predictions,
    propensities_of,
    rewards_of,
    unsupported,
)
from retention.proof._trial import LEAST_BUYERS, in_range
from retention.proof.estimate import Estimate, Estimator, Gain, Overlap, Verdict

__all__ = ["evaluate_policy"]

_SURE = 0.9999
_MOST_UNSUPPORTED = 0.01  # of the target's probability, on what the log could not have done


def evaluate_policy(
    actions: Any,
    rewards: Any,
    propensities: Any,
    target: Any,
    *,
    estimator: Estimator = "dr",
    interval: float = 0.95,
    context: Any = None,
    predicted: Any = None,
    names: Sequence[Any] | None = None,
    customer_id: Any = None,
    bought: Any = None,
    least_buyers: float = LEAST_BUYERS,
    folds: int = 5,
    seed: int = 0,
) -> Estimate:
    """What a policy would have earned per decision, from a log of decisions that were drawn with known chances.

    - ``actions``: what was done, by name or number, one a row. ``rewards``: what came of it.
    - ``propensities``: the chance with which it was done, in (0, 1], one a row (or one for all); or the chances of all
      actions, shape (rows, actions).
    - ``target``: what the policy would do, one a row; or its probabilities, shape (rows, actions).
    - ``names``: the actions in the order of the columns of those arrays. By default numbers are the columns' numbers,
      and names are all that occur in ``actions`` and ``target``, sorted.

    The policy must not have been learned from these rewards: for one that was, ``personalise`` cross-fits.

    Estimators: ``ips``, the mean of rewards weighted by target chance over logged chance; ``snips``, the same over the
    mean weight; ``dr``, guesses of the reward put right by the weighted rest. The guesses are ridges by action of
    ``context`` (a frame, a mapping of columns or an array; without it means by action), each made without the row's own
    part of ``folds``; or ``predicted``, shape (rows, actions), taken as it is. Predictions must not come from a model
    that has seen these rewards: its errors look smaller than they are, and so does the interval. Where propensities are
    right, ``dr`` has no bias however bad its guesses are.

    Intervals are corrected for skewness (Hall 1992), with Student's quantile for the degrees of freedom that the
    variance itself has. On spend, where few buy, the plain ones and the percentile bootstrap are too short: about 80 %
    for 95 % at a thousand rows. Rows of one ``customer_id`` count as one draw: in the error, and as one buyer.

    **Thin overlap.** If the effective buyers who match are fewer than ``least_buyers`` (50), or over 1 % of the
    policy's decisions could not have been made by the log, no number is given. A *buyer* is a row whose reward is not
    0; where everyone has some, because costs are taken off, say with ``bought`` who is one. Pass ``least_buyers=0`` to
    see the number all the same; not to believe it. Of one customer alone there is never a number.

    **What was logged as the target.** If the target is what was done, in every row, and chance would have agreed so
    well in fewer than 1 of 10,000 logs, that is an error and no estimate: each weight would be one over its propensity,
    and the value too high by as much. Other weights that are all alike but not 1 give no number either, and a note says
    why: the mean weight of the right chances is 1. Where they differ and their mean is off, the note alone warns.

    What it cannot see: wrong propensities, customers who influence each other, a policy that changes who comes into the
    log, anything later than the rewards.

    Raises:
        ConfigError: lengths differ; a reward that is not finite, a propensity outside (0, 1], probabilities that are
            negative or do not sum to 1, a missing id (the first such row is named by its position); a target action
            that was never logged; what was logged as the target; an argument out of its range.

    Source: Horvitz and Thompson 1952; Swaminathan and Joachims, NeurIPS 2015; Dudík, Langford and Li, ICML 2011; Hall,
    JRSS B 54 (1992) 221-228.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> likes_calls = rng.random(2000) < 0.5
        >>> done = rng.choice(["call", "mail"], 2000)
        >>> earned = rng.normal(10 + 2 * (likes_calls == (done == "call")))
        >>> found = evaluate_policy(done, earned, 0.5, np.where(likes_calls, "call", "mail"))
        >>> found.verdict, found.low < 12 < found.high, found.over_logged.low > 0
        ('estimated', True, True)
        >>> evaluate_policy(done[:60], earned[:60], 0.5, np.where(likes_calls, "call", "mail")[:60])
        <Estimate thin overlap: the log does not tell what this policy would have earned (60 rows, 30 buyers match)>
    """
    in_range(interval=interval, folds=folds)
    known_estimator(estimator)
    known_seed(seed)
    if estimator != "dr" and (context is not None or predicted is not None):
        raise ConfigError(
            f"estimator={estimator!r} with context or predictions",
            rule="only 'dr' uses guesses of the reward",
            remedy="leave them out, or pass estimator='dr'",
        )
    if context is not None and predicted is not None:
        raise ConfigError(
            "context and predicted", rule="guesses are made, or given, not both", remedy="leave one of them out"
        )
    reward = rewards_of(rewards)
    n = len(reward)
    codes, wanted, known = actions_of(actions, target, names, n, like=propensities)
    chance, table = propensities_of(propensities, codes, len(known), n)
    logged = np.bincount(codes, minlength=len(known)) > 0
    if table is not None:
        logged = logged | (table > 0).any(axis=0)
    beyond = unsupported(wanted, table, logged, known)
    rows = np.arange(n)
    agrees = np.asarray(wanted == codes if wanted.ndim == 1 else wanted[rows, codes], dtype=np.float64)
    weight = agrees / chance
    person = None if customer_id is None else people(customer_id, n)
    _not_what_was_logged(agrees, chance, person)
    buys = reward != 0 if bought is None else flags(bought, n)
    notes: list[str] = []
    guess = None
    if predicted is not None:
        told = predictions(predicted, n, len(known))
        of_target = told[rows, wanted] if wanted.ndim == 1 else np.einsum("na,na->n", wanted, told)
        guess = told[rows, codes], np.asarray(of_target)
    elif estimator == "dr":
        x = np.empty((0, n)) if context is None else encoded(context, n, notes)
        guess = guessed(x, reward, codes, wanted, len(known), person=person, folds=folds, seed=seed)
    return concluded(
        reward,
        weight,
        guess,
        estimator=estimator,
        level=interval,
        bought=buys,
        person=person,
        unsupported=beyond,
        least_buyers=least_buyers,
        notes=notes,
    )


def known_estimator(name: str) -> None:
    """An error unless there is an estimator of that name."""
    if name not in ("dr", "snips", "ips"):
        raise ConfigError(
            f"estimator={name!r}",
            rule="estimators are 'dr', 'snips' and 'ips'",
            remedy=nearest(str(name), ("dr", "snips", "ips")),
        )


def known_seed(seed: object) -> None:
    """An error unless numpy can be seeded by it."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed={seed!r}", rule="a seed is a whole number, 0 or more", remedy="leave it out: it is 0")


def _not_what_was_logged(agrees: FloatColumn, chance: FloatColumn, person: NDArray[np.intp] | None) -> None:
    """An error if the target is sure of what was done in every row, and chance hardly ever agrees so well.

    Rows of a person may share one draw, so her least likely row alone counts.
    """
    if agrees.min() < 1 - 1e-9:
        return
    said = np.log(np.minimum(chance, 1.0))
    if person is not None:
        least = np.zeros(int(person.max()) + 1)
        np.minimum.at(least, person, said)
        said = least
    if float(said.sum()) < math.log(1 - _SURE):
        raise ConfigError(
            f"a target that is what was logged, in all {len(agrees):,} rows",
            rule="the target is what the policy would do, found without a look at what was done: drawn with these "
            "propensities both do not agree everywhere",
            remedy="pass the policy's own actions; of what was logged the mean of the rewards is the value, and where "
            "no chance was in it the propensities are 1",
        )


def guessed(
    x: FloatColumn,
    reward: FloatColumn,
    codes: NDArray[np.intp],
    wanted: NDArray[Any],
    actions: int,
    *,
    person: NDArray[np.intp] | None,
    folds: int,
    seed: int,
) -> tuple[FloatColumn, FloatColumn]:
    """Guesses of the reward of what was done and of what the target does, without the row's own fold.

    All rows of a person are in one fold, for they resemble each other.
    """
    from retention._kernels import offpolicy, ridges

    rng = np.random.default_rng(seed)
    if person is None:
        fold = ridges.fold_of(codes, folds, rng)
    else:
        fold = (rng.permutation(int(person.max()) + 1) % folds)[person]
    return offpolicy.cross_fitted(x, reward, codes, wanted, actions, fold)


def concluded(
    reward: FloatColumn,
    weight: FloatColumn,
    guess: tuple[FloatColumn, FloatColumn] | None,
    *,
    estimator: Estimator,
    level: float,
    bought: BoolColumn,
    person: NDArray[np.intp] | None,
    unsupported: float,
    least_buyers: float,
    notes: list[str],
) -> Estimate:
    """The estimate from weights, and guesses for *dr*, with its verdicts."""
    from retention._kernels import means, offpolicy

    if not isinstance(least_buyers, int | float | np.number) or not least_buyers >= 0:
        raise ConfigError(
            f"least_buyers={least_buyers!r}", rule="it is a number, 0 or more", remedy="leave it out: it is 50 then"
        )
    earned = float(reward.mean())
    as_it_was = offpolicy.Valued(earned, reward - earned)
    # Two sides are compared: rows that count for more than the log let them, and rows that count for less.
    sides = weight - 1, 1 - weight
    moved = bool((np.abs(sides[0]) > 1e-12).any())
    if not weight.any():
        valued = offpolicy.Valued(math.nan, np.zeros(len(reward)))
    elif not moved and (guess is None or np.array_equal(*guess)):
        valued = as_it_was  # to the last digit
    elif guess is not None:
        valued = offpolicy.dr(weight, reward, *guess)
    else:
        valued = offpolicy.ips(weight, reward) if estimator == "ips" else offpolicy.snips(weight, reward)
    value = offpolicy.estimate(valued, level, person)
    gap = offpolicy.estimate(offpolicy.difference(valued, as_it_was), level, person)

    seen = offpolicy.support(weight, bought, person)
    behind = min(offpolicy.support(np.maximum(side, 0.0), bought, person).effective_buyers for side in sides)
    lacking = unsupported > _MOST_UNSUPPORTED
    alone = person is not None and int(person.max()) == 0
    mean_weight = means.mean_interval(weight, _SURE)
    off = abs(mean_weight.value - 1) > 1e-9 and not mean_weight.low <= 1 <= mean_weight.high
    # Weights that are all alike and not 1 have no chance in them that could tell: nothing else was ever drawn.
    alike = off and float(np.ptp(weight)) <= 1e-9 * mean_weight.value
    few = seen.effective_buyers < least_buyers
    # Where the policy does what the log did nothing is left to be told apart.
    none = alone or alike
    verdict: Verdict = "thin overlap" if none or lacking or few else "estimated"
    apart: Verdict = "thin overlap" if none or (moved and (lacking or behind < least_buyers)) else "estimated"
    if alone:
        notes.append("all rows are one customer's: one draw has no error that could be told")
    if lacking:
        notes.append(
            f"{unsupported:.1%} of the policy's decisions could not have been made by the log: what they bring is not "
            "in it"
        )
    if few:
        notes.append(
            f"{seen.buyers:,} buyers were treated as the policy would treat them, worth {seen.effective_buyers:,.1f} "
            f"of equal weight: under {least_buyers:g} no interval is right"
        )
    elif apart != verdict:
        notes.append(
            f"where the policy departs from the log there are buyers worth {behind:,.1f} of equal weight: under "
            f"{least_buyers:g} the difference to what was earned is not told"
        )
    if alike and weight.any():
        notes.append(
            f"every weight is {mean_weight.value:.3f}, and their mean should be 1: either these are not the chances "
            "with which the actions were drawn, or the target knows what was done, or nothing else was drawn yet. No "
            "number is given"
        )
    elif off and not alike:
        notes.append(
            f"the mean weight is {mean_weight.value:.3f} and not 1, by more than chance allows: are these the chances "
            "with which the actions were drawn?"
        )
    nothing = means.Estimate(*(math.nan,) * 4)
    value = value if verdict == "estimated" else nothing
    gap = gap if apart == "estimated" else nothing
    return Estimate(
        **value._asdict(),
        level=level,
        estimator=estimator,
        verdict=verdict,
        overlap=Overlap(**seen._asdict(), unsupported=unsupported),
        earned=earned,
        over_logged=Gain(**gap._asdict(), buyers=behind, verdict=apart),
        n=len(reward),
        notes=tuple(notes),
    )
