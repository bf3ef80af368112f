"""Did it pay: the contacted against the held-out, with an interval that spend does not fool; and where effort went."""

from retention.proof.backdoor import Backdoor, Episodes, backdoor
from retention.proof.coverage import Coverage, Untouched, coverage, untouched
from retention.proof.effort import AdherenceByAction, EffortSplit, adherence_by_action, effort_split
from retention.proof.learn import learn
from retention.proof.prove import Proof, prove
from retention.proof.statement import programme_statement

__all__ = [
    "Proof",
    "prove",
    "learn",
    "Backdoor",
    "Episodes",
    "backdoor",
    "AdherenceByAction",
    "adherence_by_action",
    "EffortSplit",
    "effort_split",
    "Coverage",
    "coverage",
    "Untouched",
    "untouched",
    "programme_statement",
]
