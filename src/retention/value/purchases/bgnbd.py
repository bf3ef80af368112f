"""BG/NBD and MBG/NBD: how often she comes back, if each purchase may have been the last."""

from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from retention.value.purchases.model import PurchaseModel

if TYPE_CHECKING:
    from retention._kernels.purchases import Kernel

__all__ = ["BGNBD", "MBGNBD"]

# The middle of published fits; alpha in median ages of a base, so that the prior has no time unit of its own.
_CENTER = {"r": 0.5, "alpha": 0.25, "a": 0.8, "b": 2.5}


@frozen(kw_only=True)
class BGNBD(PurchaseModel):
    """The beta-geometric / NBD: a repeat purchase may be her last; nobody leaves before one.

    Parameters r, alpha (rates are gamma; alpha in the time unit), a, b (the chance to leave after a repeat purchase is
    beta). Source: Fader, Hardie and Lee 2005, Marketing Science 24(2), 275-284.

    Example:
        >>> from retention.histories import Histories
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> base = Histories.from_arrays(frequency=[2], recency_days=[213], age_days=[272])
        >>> model.expected_purchases(base, days=273).round(3).tolist()
        [1.226]
    """

    NAME: ClassVar[str] = "bg-nbd"
    CENTER: ClassVar = _CENTER
    DROPOUT: ClassVar = ("a", 1)

    def kernel(self) -> "Kernel":
        """The mathematics."""
        from retention._kernels.bgnbd import BG

        return BG


@frozen(kw_only=True)
class MBGNBD(PurchaseModel):
    """The modified BG/NBD: the first purchase may have been the last too, so that passers-by are not alive for ever.

    Parameters as for :class:`BGNBD`. Source: Batislam, Denizel and Filiztekin 2007, International Journal of Research
    in Marketing 24(3), 201-209.

    Example:
        >>> from retention.histories import Histories
        >>> model = MBGNBD().at(r=0.525, alpha=6.183, a=0.891, b=1.614)
        >>> base = Histories.from_arrays(frequency=[0, 2], recency_days=[0, 213], age_days=[272, 272])
        >>> model.p_alive(base).round(2).tolist()
        [0.39, 0.71]
    """

    NAME: ClassVar[str] = "mbg-nbd"
    CENTER: ClassVar = _CENTER
    DROPOUT: ClassVar = ("a", 1)

    def kernel(self) -> "Kernel":
        """The mathematics."""
        from retention._kernels.bgnbd import MBG

        return MBG
