"""What each customer is worth: purchase models, margin models, discounted value with intervals."""

from retention.value.appraise import appraise
from retention.value.auto import AutoModel, Choice
from retention.value.auto_margin import AutoMargin
from retention.value.backtest import Backtest, backtest, backtest_on
from retention.value.bgbb import BGBB
from retention.value.bgcnbd import BGCNBD, MBGCNBD
from retention.value.bgnbd import BGNBD, MBGNBD
from retention.value.contracts import Tenures
from retention.value.contractual import (
    BetaDiscreteWeibull,
    ContractModel,
    ContractValuation,
    DiscreteWeibull,
    FittedContracts,
    ShiftedBetaGeometric,
)
from retention.value.credibility import Credibility, FittedCredibility
from retention.value.dependence import Dependence, dependence
from retention.value.dynamic import Calendar, DynamicParetoNBD, FittedDynamicParetoNBD
from retention.value.equity import EquityStatement, equity_statement
from retention.value.future_referrals import FutureReferrals, expected_referrals
from retention.value.gammagamma import FittedGammaGamma, GammaGamma
from retention.value.ggompertz import GGompertzNBD
from retention.value.habit import Habit, weekly_habit
from retention.value.ladder import ProfitLadder, profit_ladder
from retention.value.margins import FittedMargin, MarginModel, margin_model
from retention.value.nbd import NBD
from retention.value.net import NetStatement, NetValue, ServingCosts, net_statement, net_value
from retention.value.paretoggg import ParetoGGG
from retention.value.paretonbd import ParetoNBD
from retention.value.pictures import iso_value
from retention.value.posterior import Posterior, Prediction, PredictiveCheck
from retention.value.postings import Postings
from retention.value.profile import ProfileInterval, profile_interval
from retention.value.purchases import FittedPurchases, PurchaseModel
from retention.value.referrals import ReferralCredits, ReferralValue, TieValue, Valued, credit_referrals
from retention.value.service import ServiceClasses, ServiceRule, TotalValue, service_class, total_value
from retention.value.tracking import Tracking, track
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
