"""The margin model that the data themselves choose, with the reason."""

import math
from typing import Any, NamedTuple

import numpy as np
from attrs import asdict, evolve, frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.margins.credibility import Credibility, FittedCredibility
from retention.value.margins.days import own_days
from retention.value.margins.dependence import dependence
from retention.value.margins.gammagamma import FittedGammaGamma, GammaGamma
from retention.value.weights import weights_of

__all__ = ["AutoMargin"]

_FOLDS = 5
_LOSSY = 0.01  # share of customers with a loss above which gamma-gamma is no candidate
_TRIAL = 20_000  # customers in the trial, at most: its standard error is then far below any difference that matters


@frozen(kw_only=True)
class AutoMargin:
    """The recipe that tries gamma-gamma and credibility and keeps the one that foretells better.

    Customers with a margin are dealt to five folds; each model says how likely the mean margins of a fold are, having
    learned from the other four. The higher sum of log densities wins. Gamma-gamma gives a mean of zero or less no
    chance at all: where more than one customer in a hundred has one, credibility is chosen without a trial; below
    that they are left out of it.

    Both models read how each customer's own days differ, where histories know it.

    If margins depend on frequency (:func:`~retention.value.dependence`) both models go by rates; if they
    are independent enough, or the data cannot tell, neither does. The notes of the fitted model say what was found.
    ``first`` reads each customer's first purchase day as well.

    A log score asks for the whole distribution, which intervals need; money is skewed, so gamma-gamma often wins it,
    also where credibility's means are as good or better. Who is after means alone can choose credibility by name.
    """

    first: bool = False

    @property
    def name(self) -> str:
        """The registry name of the recipe; what it fits keeps its own name."""
        return "auto"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that ``at`` takes: those of either model."""
        return tuple(dict.fromkeys(GammaGamma().names + Credibility().names))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``margin_model(**data)`` is the same recipe."""
        return {"name": self.name, **asdict(self)}

    def at(self, **params: float) -> FittedGammaGamma | FittedCredibility:
        """The model that has these parameters: gamma-gamma for p, q, v, credibility for mean, between, within."""
        gamma = [name for name in ("p", "q", "v") if name in params]
        if gamma and any(name in params for name in ("mean", "between", "within")):
            raise ModelError(
                f"margins at {', '.join(params)}",
                rule="p, q, v are gamma-gamma's, and mean, between, within credibility's",
                remedy="give the parameters of one of them",
            )
        return GammaGamma(first=self.first).at(**params) if gamma else Credibility(first=self.first).at(**params)

    def fit(
        self, histories: Histories, log_rate: FloatColumn | None = None, weight: FloatColumn | None = None
    ) -> FittedGammaGamma | FittedCredibility:
        """Choose and fit; never fails for want of data (fewer than ten customers with a margin: gamma-gamma, unless
        one of them shows a loss)."""
        w, days = weights_of(weight, len(histories)), own_days(histories, first=self.first)
        by_rate = False
        said: tuple[str, ...] = ()
        if log_rate is not None:
            found = dependence(histories, log_rate, weight=weight, first=self.first)
            by_rate, said = found.verdict == "dependent", (f"margin: {found.sentence}",)
        gamma = GammaGamma(first=self.first, by_rate=by_rate, by_days=True)
        normal = Credibility(first=self.first, by_rate=by_rate)

        seen = (days.number > 0) & (w > 0)
        lossy = float(w[seen & (days.mean <= 0)].sum()) / (float(w[seen].sum()) or 1.0)
        rows = np.flatnonzero(seen & (days.mean > 0))
        many = round(float(w[rows].sum()))
        chosen: GammaGamma | Credibility = gamma
        if lossy > _LOSSY:
            chosen = normal
            why = f"{lossy:.1%} of the customers with a margin show a loss, which gamma-gamma cannot foretell"
        elif many < 2 * _FOLDS:
            why = f"only {many} customers show a margin, too few for a trial, and none of them a loss"
        else:
            # Dealt by what they show, not by where they stand: the order of the rows must not matter.
            rates = np.zeros(len(w)) if log_rate is None else np.asarray(log_rate)
            shown = [days.free[rows], days.squares[rows], rates[rows], days.mean[rows], days.number[rows]]
            order = rows[np.lexsort(shown)]
            ahead = _compare(gamma, normal, histories, log_rate, _deal(order, w[order], min(many, _TRIAL)))
            chosen = gamma if ahead.mean > 0 else normal
            other = normal if chosen is gamma else gamma
            why = (
                f"its held-out log score is higher than that of {other.name} by {abs(ahead.mean):.3g} a customer "
                f"(standard error {ahead.error:.2g})"
            )
        fitted: FittedGammaGamma | FittedCredibility = chosen.fit(histories, log_rate if by_rate else None, weight)
        assert fitted.estimate is not None
        notes = (f"margin: {chosen.name} was chosen: {why}", *said)
        return evolve(fitted, estimate=fitted.estimate.with_notes(*notes))


class _Ahead(NamedTuple):
    """By how much gamma-gamma's log score lies above credibility's, per customer, and the standard error of that."""

    mean: float
    error: float


def _deal(order: Any, weight: FloatColumn, many: int) -> tuple[Any, Any]:
    """Some of the rows in that order, and how many of their customers go to each fold, (folds, rows).

    ``many`` of the customers, evenly spread, are dealt one by one, so that a row of weight two is two customers.
    """
    reached = np.cumsum(weight)
    places = (np.arange(many) + 0.5) * (reached[-1] / many)
    held = np.minimum(np.searchsorted(reached, places, side="right"), len(order) - 1)
    which, row = np.unique(held, return_inverse=True)
    dealt = np.bincount(np.arange(many) % _FOLDS * len(which) + row, minlength=_FOLDS * len(which))
    return order[which], dealt.reshape(_FOLDS, len(which)).astype(np.float64)


def _compare(
    gamma: GammaGamma,
    normal: Credibility,
    histories: Histories,
    log_rate: FloatColumn | None,
    deal: tuple[Any, Any],
) -> _Ahead:
    rows, folds = deal
    theirs, rates = histories[rows], None if log_rate is None else np.asarray(log_rate)[rows]
    everyone = folds.sum(axis=0)
    ahead = np.empty_like(folds)
    for held, score in zip(folds, ahead, strict=True):
        first, second = gamma.fit(theirs, rates, everyone - held), normal.fit(theirs, rates, everyone - held)
        score[:] = first.log_likelihoods(theirs, rates) - second.log_likelihoods(theirs, rates)
    many = float(folds.sum())
    mean = float(np.einsum("fn,fn->", folds, ahead)) / many
    return _Ahead(mean, math.sqrt(float(np.einsum("fn,fn->", folds, (ahead - mean) ** 2))) / many)
