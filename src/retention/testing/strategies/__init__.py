"""Hypothesis strategies for every word of the domain and every table that plugins are given (``testing`` extra).

All that is drawn is valid by construction and shrinks to little: few customers, short names, whole cents. Joint
strategies keep together what belongs together::

    @given(situations_with_proposals())
    def test_my_policy_answers_for_each_proposal(drawn):
        situation, proposals = drawn
        assert len(MyPolicy().review(proposals, situation).allowed) == len(proposals)

Where hypothesis is installed beside the library, ``st.from_type(Situation)`` and ``st.builds(f)`` find them too.
"""

from functools import cache

from hypothesis import strategies as st

from retention.testing._hypothesis import STRATEGIES
from retention.testing.strategies.bases import (
    attribute_columns,
    habits,
    histories,
    outlooks,
    tierings,
    valuations,
)
from retention.testing.strategies.logs import (
    consent_tables,
    contract_tables,
    messy_transactions,
    referral_tables,
    touch_tables,
    transaction_logs,
)
from retention.testing.strategies.nights import (
    assumptions,
    budgets,
    plans,
    proposals,
    reviews,
    situations,
    situations_with_proposals,
)
from retention.testing.strategies.words import (
    actions,
    consents,
    contacts,
    contracts,
    customers,
    days,
    money,
    names,
    outcomes,
    referrals,
    segments,
    tiers,
    touches,
    transactions,
    vetoes,
)

__all__ = [
    "names",
    "days",
    "money",
    "customers",
    "transactions",
    "segments",
    "tiers",
    "actions",
    "consents",
    "touches",
    "contacts",
    "vetoes",
    "outcomes",
    "referrals",
    "contracts",
    "transaction_logs",
    "messy_transactions",
    "touch_tables",
    "consent_tables",
    "referral_tables",
    "contract_tables",
    "histories",
    "habits",
    "valuations",
    "outlooks",
    "tierings",
    "attribute_columns",
    "situations",
    "assumptions",
    "proposals",
    "situations_with_proposals",
    "reviews",
    "budgets",
    "plans",
    "for_type",
]


@cache
def for_type(kind: type) -> st.SearchStrategy[object]:
    """The strategy that ``st.from_type`` uses for one of our types."""
    made: st.SearchStrategy[object] = globals()[STRATEGIES[kind.__module__][kind.__qualname__]]()
    return made
