"""BG/CNBD-k and MBG/CNBD-k: customers who come back by the clock, as well as by chance."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.model import PurchaseModel

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Kernel

__all__ = ["BGCNBD", "MBGCNBD"]

_SEARCHED = 12
_MOST = 60  # gaps that vary by an eighth of their mean; nobody is more regular than that


@frozen(kw_only=True)
class BGCNBD(PurchaseModel):
    """BG/NBD with gaps that are Erlang-k: the larger ``k``, the more regular, and the sooner silence means leaving.

    Without a ``k``, ``fit`` takes the likeliest of 1 to 12 (climbing until the likelihood has fallen twice); the recipe
    of the fitted model says which. For that, and for comparing log-likelihoods, histories must carry the logs of the
    gaps, as those summarized from a log do. Parameters r, alpha (her clock ticks at a gamma rate, every k-th tick is a
    purchase; alpha in the time unit), a, b (the chance to leave after a repeat purchase is beta). Forecasts are exact,
    where the papers approximate. Source: Platzer 2008; Reutterer, Platzer and Schroeder 2021, International Journal of
    Research in Marketing 38(1), 194-215.

    Example:
        >>> base = Histories.from_arrays(frequency=[5], recency_days=[140], age_days=[224])
        >>> by_chance = BGCNBD(k=1).at(r=0.35, alpha=2.58, a=0.50, b=3.64)
        >>> by_the_clock = BGCNBD(k=2).at(r=0.36, alpha=1.13, a=0.52, b=2.79)
        >>> by_chance.p_alive(base).round(2).tolist(), by_the_clock.p_alive(base).round(2).tolist()
        ([0.61], [0.37])
    """

    NAME: ClassVar[str] = "bg-cnbd-k"
    CENTER: ClassVar = {"r": 0.5, "alpha": 0.25, "a": 0.8, "b": 2.5}
    DROPOUT: ClassVar = ("a", 1)
    FIRST: ClassVar[int] = 0  # 1: the first purchase can be the last

    k: int | None = field(default=None)

    @k.validator
    def _check_k(self, attribute: Any, value: int | None) -> None:
        if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST):
            raise ConfigError(
                f"k={value!r}",
                rule=f"k is a whole number from 1 to {_MOST}, or None",
                remedy="1 buys at random, 12 nearly by the calendar; None lets the likelihood choose",
            )

    def kernel(self) -> "Kernel":
        """The mathematics (as long as k is open, that of k = 1)."""
        from retention._kernels.bgcnbd import kernel

        return kernel(self.k or 1, self.FIRST)

    def at(self, **params: float) -> FittedPurchases:
        """The model at given parameters; needs a ``k``."""
        if self.k is None:
            raise ConfigError(
                f"{self.NAME} at given parameters without a k",
                rule="parameters belong to one k",
                remedy=f"{type(self).__name__}(k=2).at(...)",
            )
        return PurchaseModel.at(self, **params)

    def fit(self, histories: Histories, weight: FloatColumn | None = None) -> FittedPurchases:
        """Learn the purchases and the margins from a base, and ``k`` if it is open.

        Raises ModelError if ``k`` is open and the histories came without the logs of their gaps.
        """
        if self.k is not None:
            return PurchaseModel.fit(self, histories, weight)
        _check_gaps(histories)
        best = evolve(self, k=1).fit_purchases(histories, weight)
        chosen, tried = 1, 1
        came_back = bool(np.any(histories.frequency > 0))  # without a gap nothing is known of their regularity
        while came_back and tried < _SEARCHED and tried < chosen + 2:
            tried += 1
            next_one = evolve(self, k=tried).fit_purchases(histories, weight)
            if (next_one.log_likelihood or 0.0) > (best.log_likelihood or 0.0):
                best, chosen = next_one, tried
        notes = [f"{self.NAME}: k = {chosen} has the highest likelihood of 1 to {tried}"]
        if chosen == _SEARCHED:
            notes.append(f"{self.NAME}: customers may be more regular still: k = {_SEARCHED} is the end of the search")
        found = None if best.estimate is None else best.estimate.with_notes(*notes)
        return evolve(best, estimate=found, margin=self.margin.fit(histories, best.log_rate(histories), weight))

    def cells(self, histories: Histories, weight: FloatColumn | None = None, *, which: bool = True) -> "Cells":
        """The base merged as for BG/NBD: the logs of the gaps only add a constant to its log-likelihood."""
        from retention._kernels.bgcnbd import blended

        return blended(self.rows(histories), weight, which=which)

    def own_cells(self, histories: Histories) -> "Cells":
        """Customers with their own gaps: those add to each one's log-likelihood what they are."""
        from retention._kernels.purchases import merge

        return merge(self.rows(histories), gaps=True)

    def log_prior(self, clock: float) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        """As for every model; a clock that ticks k times a purchase has an alpha k times smaller, unless told."""
        mean, sd, always = PurchaseModel.log_prior(self, clock)
        if "alpha" not in self.prior:
            mean[1] -= math.log(self.k or 1)
        return mean, sd, always


def _check_gaps(histories: Histories) -> None:
    """Gaps of a day each have logs that sum to 0; other gaps with a sum of 0 throughout were never looked at."""
    longer = histories.recency_days > histories.frequency
    if bool(longer.any()) and not bool(histories.gap_log_sum[longer].any()):
        raise ModelError(
            "choosing k for histories without the logs of their gaps",
            rule="likelihoods of different k compare only with the gaps in them",
            remedy="summarize the histories from a log, give gap_log_sum to from_arrays, or choose k yourself",
        )


@frozen(kw_only=True)
class MBGCNBD(BGCNBD):
    """MBG/NBD with gaps that are Erlang-k: as :class:`BGCNBD`, and the first purchase may have been the last too.

    Example:
        >>> base = Histories.from_arrays(frequency=[0, 5], recency_days=[0, 84], age_days=[364, 364])
        >>> MBGCNBD(k=2).at(r=1.33, alpha=2.81, a=0.425, b=0.79).p_alive(base).round(5).tolist()
        [0.07482, 5e-05]
    """

    NAME: ClassVar[str] = "mbg-cnbd-k"
    FIRST: ClassVar[int] = 1
