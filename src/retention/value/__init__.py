"""What each customer is worth: purchase models, margin models, discounted value with intervals."""

from retention.value.accounts.equity import EquityStatement, equity_statement
from retention.value.accounts.habit import Habit, weekly_habit
from retention.value.accounts.ladder import ProfitLadder, profit_ladder
from retention.value.accounts.net import NetStatement, NetValue, ServingCosts, net_statement, net_value
from retention.value.accounts.postings import Postings
from retention.value.appraise import appraise
from retention.value.choice.auto import AutoModel, Choice
from retention.value.choice.backtest import Backtest, backtest, backtest_on
from retention.value.choice.tracking import Tracking, track
from retention.value.contracts.models import (
    BetaDiscreteWeibull,
    ContractModel,
    ContractValuation,
    DiscreteWeibull,
    FittedContracts,
    ShiftedBetaGeometric,
)
from retention.value.contracts.tenures import Tenures
from retention.value.margins.auto import AutoMargin
from retention.value.margins.credibility import Credibility, FittedCredibility
from retention.value.margins.dependence import Dependence, dependence
from retention.value.margins.gammagamma import FittedGammaGamma, GammaGamma
from retention.value.margins.protocol import FittedMargin, MarginModel, margin_model
from retention.value.purchases.bgbb import BGBB
from retention.value.purchases.bgcnbd import BGCNBD, MBGCNBD
from retention.value.purchases.bgnbd import BGNBD, MBGNBD
from retention.value.purchases.dynamic import Calendar, DynamicParetoNBD, FittedDynamicParetoNBD
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.ggompertz import GGompertzNBD
from retention.value.purchases.model import PurchaseModel
from retention.value.purchases.nbd import NBD
from retention.value.purchases.paretoggg import ParetoGGG
from retention.value.purchases.paretonbd import ParetoNBD
from retention.value.purchases.pictures import iso_value
from retention.value.purchases.posterior import Posterior, Prediction, PredictiveCheck
from retention.value.purchases.profile import ProfileInterval, profile_interval
from retention.value.referrals.credit import ReferralCredits, ReferralValue, TieValue, Valued, credit_referrals
from retention.value.referrals.future import FutureReferrals, expected_referrals
from retention.value.referrals.service import ServiceClasses, ServiceRule, TotalValue, service_class, total_value
from retention.value.valuation import FittedValueModel, Valuation, ValueModel

__all__ = [
    "appraise",
    "PurchaseModel",
    "FittedPurchases",
    "BGNBD",
    "MBGNBD",
    "ParetoNBD",
    "BGCNBD",
    "MBGCNBD",
    "GGompertzNBD",
    "ParetoGGG",
    "NBD",
    "BGBB",
    "DynamicParetoNBD",
    "FittedDynamicParetoNBD",
    "Calendar",
    "AutoModel",
    "Choice",
    "backtest",
    "backtest_on",
    "Backtest",
    "track",
    "Tracking",
    "iso_value",
    "profile_interval",
    "ProfileInterval",
    "Posterior",
    "Prediction",
    "PredictiveCheck",
    "Tenures",
    "ContractModel",
    "ContractValuation",
    "FittedContracts",
    "ShiftedBetaGeometric",
    "BetaDiscreteWeibull",
    "DiscreteWeibull",
    "MarginModel",
    "FittedMargin",
    "GammaGamma",
    "FittedGammaGamma",
    "Credibility",
    "FittedCredibility",
    "AutoMargin",
    "margin_model",
    "Dependence",
    "dependence",
    "Valuation",
    "ValueModel",
    "FittedValueModel",
    "credit_referrals",
    "ReferralValue",
    "ReferralCredits",
    "TieValue",
    "Valued",
    "total_value",
    "TotalValue",
    "service_class",
    "ServiceRule",
    "ServiceClasses",
    "expected_referrals",
    "FutureReferrals",
    "Postings",
    "ServingCosts",
    "net_statement",
    "NetStatement",
    "net_value",
    "NetValue",
    "equity_statement",
    "EquityStatement",
    "profit_ladder",
    "ProfitLadder",
    "weekly_habit",
    "Habit",
]
