"""What each customer is worth: purchase models, margin models, discounted value with intervals."""

from retention.value.appraise import appraise
from retention.value.bgnbd import BGNBD, FittedBGNBD
from retention.value.gammagamma import FittedGammaGamma, GammaGamma
from retention.value.valuation import FittedValueModel, Valuation, ValueModel

__all__ = [
    "appraise",
    "BGNBD",
    "FittedBGNBD",
    "GammaGamma",
    "FittedGammaGamma",
    "Valuation",
    "ValueModel",
    "FittedValueModel",
]
