"""NBD: how often she buys, if nobody ever leaves."""

from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from retention.value.purchases.model import PurchaseModel

if TYPE_CHECKING:
    from retention._kernels.purchases import Kernel

__all__ = ["NBD"]


@frozen(kw_only=True)
class NBD(PurchaseModel):
    """The negative binomial: rates differ between customers, none of them ever leaves, silence means nothing.

    Right for a stable market of frequent goods over a short time; elsewhere the yardstick that shows how much of the
    silence is leaving. Parameters r, alpha (rates are gamma; alpha in the time unit). Source: Ehrenberg 1959, Applied
    Statistics 8(1), 26-41; Morrison and Schmittlein 1988, Journal of Business and Economic Statistics 6(2), 145-159.

    Example:
        >>> from retention.histories import Histories
        >>> model = NBD().at(r=0.385, alpha=12.07)
        >>> base = Histories.from_arrays(frequency=[2, 2], recency_days=[30, 270], age_days=[272, 272])
        >>> model.expected_purchases(base, days=273).round(3).tolist()
        [1.826, 1.826]
    """

    NAME: ClassVar[str] = "nbd"
    CENTER: ClassVar = {"r": 0.5, "alpha": 0.5}

    def kernel(self) -> "Kernel":
        """The mathematics."""
        from retention._kernels.nbd import KERNEL

        return KERNEL
