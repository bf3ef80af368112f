"""What each customer is worth: purchase models, margin models, discounted value with intervals."""

from retention.value.accounts.costs import ServingCosts
from retention.value.accounts.equity import equity_statement
from retention.value.accounts.equity_result import EquityStatement
from retention.value.accounts.habit import Habit, weekly_habit
from retention.value.accounts.ladder import profit_ladder
from retention.value.accounts.ladder_result import ProfitLadder
from retention.value.accounts.net import NetValue, net_value
from retention.value.accounts.postings import Postings
from retention.value.accounts.statement import NetStatement, net_statement
from retention.value.appraise import appraise
from retention.value.choice.auto import AutoModel, Choice
from retention.value.choice.backtest import backtest, backtest_on
from retention.value.choice.outcome import Backtest
from retention.value.choice.tracking import Tracking, track
from retention.value.contracts.fitted import FittedContracts
from retention.value.contracts.models import BetaDiscreteWeibull, ContractModel, DiscreteWeibull, ShiftedBetaGeometric
from retention.value.contracts.posterior import ContractPosterior, ContractPrediction
from retention.value.contracts.tenures import Tenures
from retention.value.contracts.valuation import ContractValuation
from retention.value.margins.auto import AutoMargin
from retention.value.margins.credibility import Credibility, FittedCredibility
from retention.value.margins.dependence import Dependence, dependence
from retention.value.margins.gammagamma import FittedGammaGamma, GammaGamma
from retention.value.margins.named import margin_model
from retention.value.margins.protocol import FittedMargin, MarginModel
from retention.value.purchases.bgbb import BGBB
from retention.value.purchases.bgcnbd import BGCNBD, MBGCNBD
from retention.value.purchases.bgnbd import BGNBD, MBGNBD
from retention.value.purchases.calendar import Calendar
from retention.value.purchases.dynamic import DynamicParetoNBD
from retention.value.purchases.dynamic_fitted import FittedDynamicParetoNBD
from retention.value.purchases.dynamic_posterior import DynamicPosterior
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.ggompertz import GGompertzNBD
from retention.value.purchases.model import PurchaseModel
from retention.value.purchases.nbd import NBD
from retention.value.purchases.paretoggg import ParetoGGG
from retention.value.purchases.paretonbd import ParetoNBD
from retention.value.purchases.pictures import iso_value
from retention.value.purchases.posterior import Posterior, Prediction, PredictiveCheck
from retention.value.purchases.profile import ProfileInterval, profile_interval
from retention.value.referrals.credit import credit_referrals
from retention.value.referrals.future import FutureReferrals, expected_referrals
from retention.value.referrals.service import ServiceClasses, ServiceRule, TotalValue, service_class, total_value
from retention.value.referrals.sums import Valued
from retention.value.referrals.tables import ReferralCredits, ReferralValue, TieValue
from retention.value.valuation import FittedLikelihood, FittedValueModel, Valuation, ValueModel

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
    "DynamicPosterior",
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
    "ContractPosterior",
    "ContractPrediction",
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
    "FittedLikelihood",
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
