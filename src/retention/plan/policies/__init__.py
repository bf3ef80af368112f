"""The contact policies: who may not be contacted, how often is too often, when she is left in peace.

A policy may refuse and never adds. What is unknown counts against the contact: no consent on file, a touch without a
date, a direction that is not plainly inbound, a time zone that does not exist.
"""

from retention.plan.policies.data import POLICIES, built_in_policies, policies_from, policies_to_data, read_policies
from retention.plan.policies.permission import (
    NO_CONSENT_DATA,
    ConsentPolicy,
    Deceased,
    DoNotContact,
    OpenComplaint,
    UncontrollableCause,
)
from retention.plan.policies.pressure import FrequencyCap, GivesBeforeAsk, MinimumGap, Saturation
from retention.plan.policies.quiet import QuietHours

__all__ = [
    "ConsentPolicy",
    "FrequencyCap",
    "MinimumGap",
    "DoNotContact",
    "OpenComplaint",
    "Deceased",
    "UncontrollableCause",
    "QuietHours",
    "GivesBeforeAsk",
    "Saturation",
    "NO_CONSENT_DATA",
    "POLICIES",
    "built_in_policies",
    "policies_from",
    "policies_to_data",
    "read_policies",
]
