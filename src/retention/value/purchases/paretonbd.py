"""Pareto/NBD: how often she comes back, if she may leave at any moment, whether she buys or not."""

from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from retention.value.purchases.model import PurchaseModel

if TYPE_CHECKING:
    from retention._kernels.purchases import Kernel

__all__ = ["ParetoNBD"]


@frozen(kw_only=True)
class ParetoNBD(PurchaseModel):
    """The Pareto / NBD: leaving is a matter of time, not of purchases.

    Parameters r, alpha (her purchase rate is gamma), s, beta (her rate of leaving is gamma); alpha and beta in the time
    unit. Source: Schmittlein, Morrison and Colombo 1987, Management Science 33(1), 1-24.

    Example:
        >>> from retention.histories import Histories
        >>> model = ParetoNBD().at(r=0.5533, alpha=10.578, s=0.6062, beta=11.669)
        >>> base = Histories.from_arrays(frequency=[26], recency_days=[216], age_days=[217])
        >>> model.p_alive(base).round(3).tolist()
        [0.998]
        >>> model.expected_purchases(base, days=364).round(2).tolist()
        [25.46]
    """

    NAME: ClassVar[str] = "pareto-nbd"
    # The middle of published fits; times in median ages of a base, so that the prior has no time unit of its own.
    CENTER: ClassVar = {"r": 0.6, "alpha": 0.25, "s": 0.5, "beta": 0.25}
    DROPOUT: ClassVar = ("beta", -1)

    def kernel(self) -> "Kernel":
        """The mathematics."""
        from retention._kernels.paretonbd import KERNEL

        return KERNEL
