"""Gamma-Gompertz / NBD: how often she comes back, if the hazard of leaving grows with the years."""

from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from retention.value.purchases.model import PurchaseModel

if TYPE_CHECKING:
    from retention._kernels.purchases import Kernel

__all__ = ["GGompertzNBD"]


@frozen(kw_only=True)
class GGompertzNBD(PurchaseModel):
    """The gamma-Gompertz / NBD: Pareto/NBD with a hazard of leaving that grows by e^(b t), or wears off more slowly.

    Parameters r, alpha (her purchase rate is gamma; alpha in the time unit), b (growth of everybody's hazard, a rate
    per time unit), s, beta (the level of her hazard is gamma; beta is a pure number). Where lifetimes are Pareto the
    data give no b: any small one with beta / b held fits as well, and the fit says that it is not identified. Source:
    Bemmaor and Glady 2012, Management Science 58(5), 1012-1021.

    Example:
        >>> from retention.histories import Histories
        >>> model = GGompertzNBD().at(r=0.553, alpha=10.578, b=0.05, s=0.6, beta=0.6)
        >>> base = Histories.from_arrays(frequency=[2], recency_days=[213], age_days=[272])
        >>> model.p_alive(base).round(2).tolist()
        [0.71]
    """

    NAME: ClassVar[str] = "ggompertz-nbd"
    # Pareto/NBD's middle, with beta / b its beta: where the data cannot tell, hardly any growth in the time watched.
    # alpha and 1/b in median ages of a base.
    CENTER: ClassVar = {"r": 0.6, "alpha": 0.25, "b": 0.1, "s": 0.5, "beta": 0.025}
    DROPOUT: ClassVar = ("beta", -1)

    def kernel(self) -> "Kernel":
        """The mathematics."""
        from retention._kernels.ggompertz import KERNEL

        return KERNEL
