"""Pareto/GGG: how often she comes back, if she may buy by the clock, by whim or in bursts."""

from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.model import PurchaseModel

if TYPE_CHECKING:
    from retention._kernels.purchases import Kernel

__all__ = ["ParetoGGG"]


@frozen(kw_only=True)
class ParetoGGG(PurchaseModel):
    """The Pareto / GGG: every customer has her own rate, her own regularity and her own lifetime.

    Parameters t, gamma (her regularity k is gamma: 1 is pure chance, large is clockwork), r, alpha (her rate is gamma),
    s, beta (her rate of leaving is gamma); alpha and beta in the time unit. Reads the sum of the logs of her gaps:
    ``Histories`` made from a log have it, ``Histories.from_arrays`` needs ``gap_log_sum``; the cells of a scan do not
    have it. Estimated by maximum likelihood, by quadrature instead of MCMC; a base without any such sum is refused.
    Source: Platzer and Reutterer 2016, Marketing Science 35(5), 779-799.

    Example:
        >>> from retention.histories import Histories
        >>> model = ParetoGGG().at(t=1.665, gamma=0.367, r=0.944, alpha=5.218, s=0.424, beta=4.336)
        >>> pair = dict(frequency=[4, 4], recency_days=[112, 112], age_days=[196, 196])
        >>> base = Histories.from_arrays(gap_log_sum=[13.3, 10.0], **pair)  # one like a clock, one in bursts
        >>> model.p_alive(base).round(2).tolist()
        [0.08, 0.57]
    """

    NAME: ClassVar[str] = "pareto-ggg"
    # The middle of published fits; times in median ages of a base, so that the prior has no time unit of its own.
    CENTER: ClassVar = {"t": 3.0, "gamma": 1.5, "r": 0.8, "alpha": 0.2, "s": 0.5, "beta": 0.25}
    DROPOUT: ClassVar = ("beta", -1)

    def kernel(self) -> "Kernel":
        """The mathematics."""
        from retention._kernels.paretoggg import KERNEL

        return KERNEL

    def fit_purchases(self, histories: Histories, weight: FloatColumn | None = None) -> FittedPurchases:
        """As for every model; raises ModelError if the gaps of the base were never looked at.

        Gaps of a day each have logs that sum to 0; if longer ones sum to 0 throughout, nobody took the logs.
        """
        longer = histories.recency_days > histories.frequency
        if bool(longer.any()) and not bool(histories.gap_log_sum[longer].any()):
            raise ModelError(
                "pareto-ggg for histories without the logs of their gaps",
                rule="how regular customers are is read from gap_log_sum",
                remedy="summarize the histories (of a scan: collect() instead of cells()), give gap_log_sum to "
                "from_arrays, or choose a model that does not ask, such as pareto-nbd",
            )
        return PurchaseModel.fit_purchases(self, histories, weight)
