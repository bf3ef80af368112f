"""Whom to contact with what: strategies propose, policies veto, a chooser keeps to the budgets, the plan says why."""

from retention.plan.actions import ACTIONS
from retention.plan.allocate import Allocation, allocate
from retention.plan.allocate_batches import AllocationInBatches, allocate_batches
from retention.plan.budget import Budget
from retention.plan.cadence import Cadence, FrequencyTrial, NotRandomised, cadence, frequency_trial
from retention.plan.check import check
from retention.plan.check_policies import check_policies
from retention.plan.choose import Choice, choose
from retention.plan.holdout import holdout_draws
from retention.plan.intentions import IntentionLapse, Intentions
from retention.plan.make import make_plan, plan_for, situate
from retention.plan.memory import Learned, Memory
from retention.plan.offers import STAKES, Offer, OfferCosts, OfferStrategy, Screening
from retention.plan.offers_data import read_offers
from retention.plan.plan import Considered, Explanation, LeadList, NextContacts, Plan
from retention.plan.policies import (
    ConsentPolicy,
    Deceased,
    DoNotContact,
    FrequencyCap,
    GivesBeforeAsk,
    MinimumGap,
    OpenComplaint,
    QuietHours,
    Saturation,
    UncontrollableCause,
    built_in_policies,
    policies_from,
    policies_to_data,
    read_policies,
)
from retention.plan.priced import PricedBatch
from retention.plan.priced_table import PricedTable, priced_batches
from retention.plan.proposals import Assumption, ContactPolicy, OutreachStrategy, Proposals, Review
from retention.plan.responses import Response, Responses
from retention.plan.segments import Criteria
from retention.plan.situation import Situation
from retention.plan.strategies import (
    CheckIn,
    Handover,
    NeedReminder,
    NextConnection,
    NextTier,
    ThankQuietBest,
    WinBack,
    built_in_strategies,
    margin_if_she_returns,
)
from retention.plan.vetoes import VetoCounts, VetoTable, gate
from retention.plan.weeks import WeeklyAllocation, allocate_weeks

__all__ = [
    "make_plan",
    "situate",
    "plan_for",
    "check",
    "check_policies",
    "Plan",
    "LeadList",
    "NextContacts",
    "Considered",
    "Explanation",
    "Budget",
    "ACTIONS",
    "Situation",
    "Proposals",
    "Assumption",
    "OutreachStrategy",
    "CheckIn",
    "NextConnection",
    "NeedReminder",
    "NextTier",
    "ThankQuietBest",
    "Handover",
    "WinBack",
    "margin_if_she_returns",
    "built_in_strategies",
    "Offer",
    "OfferStrategy",
    "OfferCosts",
    "Screening",
    "read_offers",
    "STAKES",
    "Criteria",
    "cadence",
    "Cadence",
    "frequency_trial",
    "FrequencyTrial",
    "NotRandomised",
    "ContactPolicy",
    "Review",
    "ConsentPolicy",
    "DoNotContact",
    "FrequencyCap",
    "MinimumGap",
    "OpenComplaint",
    "Deceased",
    "UncontrollableCause",
    "QuietHours",
    "GivesBeforeAsk",
    "Saturation",
    "built_in_policies",
    "policies_from",
    "policies_to_data",
    "read_policies",
    "gate",
    "VetoTable",
    "VetoCounts",
    "holdout_draws",
    "allocate",
    "Allocation",
    "allocate_batches",
    "AllocationInBatches",
    "PricedBatch",
    "PricedTable",
    "priced_batches",
    "allocate_weeks",
    "WeeklyAllocation",
    "choose",
    "Choice",
    "Memory",
    "Learned",
    "Response",
    "Responses",
    "IntentionLapse",
    "Intentions",
]
