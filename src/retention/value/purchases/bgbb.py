"""BG/BB: how often she takes part, where there are set occasions to do so."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import Factory, field, frozen

from retention.errors import ModelError
from retention.histories import Histories
from retention.value.purchases.model import PurchaseModel, rows_of

if TYPE_CHECKING:
    from retention._kernels.purchases import Kernel, Rows

__all__ = ["BGBB"]

_SLACK = 0.1  # of a period: calendar months and years are of unequal length


@frozen(kw_only=True)
class BGBB(PurchaseModel):
    """The beta-geometric / beta-Bernoulli: at each occasion (a yearly appeal, a monthly box) she buys or does not.

    Parameters alpha, beta (the chance to buy at an occasion is beta) and gamma, delta (so is the chance to leave before
    one); none has a unit. ``period_days`` is the time between occasions. A base counts in it: ages and recencies are
    whole periods (up to a tenth of one, since months and years are unequal) and nobody bought more than once in a
    period; anything else is a ModelError. Horizons count the occasions in them. ``p_alive`` is about the last
    occasion; the paper prints it for the next one, which is ``survival`` one period ahead.

    Source: Fader, Hardie and Shang 2010, Marketing Science 29(6), 1086-1108.

    Example:
        >>> model = BGBB(period_days=365).at(alpha=1.204, beta=0.750, gamma=0.657, delta=2.783)
        >>> donors = Histories.from_arrays(frequency=[4, 0], recency_days=[5 * 365, 0], age_days=[6 * 365, 6 * 365])
        >>> model.survival(donors, days=365).round(2).tolist()
        [0.7, 0.11]
        >>> model.expected_purchases(donors, days=10 * 365).round(1).tolist()
        [3.6, 0.1]
    """

    NAME: ClassVar[str] = "bg-bb"
    CENTER: ClassVar = {"alpha": 1.0, "beta": 1.0, "gamma": 0.7, "delta": 3.0}
    RATE: ClassVar = ("alpha", 1)
    SHAPE: ClassVar = "alpha"
    DROPOUT: ClassVar = ("gamma", 1)

    period_days: float = field(default=365.25)
    time_unit_days: float = field(default=Factory(lambda self: self.period_days, takes_self=True), init=False)

    @period_days.validator
    def _check_period(self, attribute: Any, value: float) -> None:
        PurchaseModel._check_unit(self, attribute, value)

    def kernel(self) -> "Kernel":
        """The mathematics."""
        from retention._kernels.bgbb import KERNEL

        return KERNEL

    def rows(self, histories: Histories) -> "Rows":
        """The base in days, with ages and recencies as whole periods.

        Raises ModelError where they are not, or where somebody bought twice in a period.
        """
        rows = rows_of(histories)
        age, last = rows.T / self.period_days, rows.t_x / self.period_days
        broken = (np.abs(age - np.rint(age)) > _SLACK) | (np.abs(last - np.rint(last)) > _SLACK)
        crowded = rows.x > np.rint(last)
        if np.any(broken | crowded):
            how = "between periods" if np.any(broken) else "with more purchase days than periods"
            raise ModelError(
                f"{int(np.sum(broken | crowded)):,} of {len(rows.x):,} customers {how} of {self.period_days:g} days",
                rule="bg-bb counts occasions: days are whole periods, with at most one purchase in each",
                remedy="put every purchase on the first day of its period (one a period) and as_of on that of the "
                "last, before summarizing; or choose a model of continuous time, such as bg-nbd",
            )
        return rows._replace(t_x=np.rint(last) * self.period_days, T=np.rint(age) * self.period_days)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain: Mapping[str, Any] = PurchaseModel.to_dict(self)
        return {name: value for name, value in plain.items() if name != "time_unit_days"}
