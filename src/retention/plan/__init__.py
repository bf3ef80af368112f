"""Whom to contact with what: strategies propose, policies veto, a chooser keeps to the budgets, the plan says why."""

from retention.plan.actions import ACTIONS
from retention.plan.allocate import Allocation, allocate
from retention.plan.budget import Budget
from retention.plan.check import check
from retention.plan.choose import Choice, choose, upper_bound
from retention.plan.holdout import holdout_draws
from retention.plan.make import make_plan, plan_for, situate
from retention.plan.memory import Memory
from retention.plan.plan import Considered, Explanation, LeadList, Plan
from retention.plan.policies import (
    ConsentPolicy,
    Deceased,
    DoNotContact,
    FrequencyCap,
    MinimumGap,
    OpenComplaint,
    UncontrollableCause,
    built_in_policies,
)
from retention.plan.proposals import Assumption, ContactPolicy, OutreachStrategy, Proposals, Review
from retention.plan.situation import Situation
from retention.plan.strategies import (
    CheckIn,
    Handover,
    NeedReminder,
    NextConnection,
    NextTier,
    ThankQuietBest,
    built_in_strategies,
)
from retention.plan.vetoes import VetoCounts, VetoTable, gate
from retention.plan.weeks import WeeklyAllocation, allocate_weeks

__all__ = [
    "make_plan",
    "situate",
    "plan_for",
    "check",
    "Plan",
    "LeadList",
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
    "built_in_strategies",
    "ContactPolicy",
    "Review",
    "ConsentPolicy",
    "DoNotContact",
    "FrequencyCap",
    "MinimumGap",
    "OpenComplaint",
    "Deceased",
    "UncontrollableCause",
    "built_in_policies",
    "gate",
    "VetoTable",
    "VetoCounts",
    "holdout_draws",
    "allocate",
    "Allocation",
    "allocate_weeks",
    "WeeklyAllocation",
    "choose",
    "Choice",
    "upper_bound",
    "Memory",
]
