"""Did it pay, what would have paid, and where effort went: with intervals that spend does not fool."""

from retention.proof.backdoor import Backdoor, Episodes, backdoor
from retention.proof.coverage import Coverage, Untouched, coverage, untouched
from retention.proof.effort import AdherenceByAction, EffortSplit, adherence_by_action, effort_split
from retention.proof.estimate import Estimate, Gain, Overlap
from retention.proof.estimators import Estimator
from retention.proof.evaluate import evaluate_policy
from retention.proof.intervals import Difference, Permutation
from retention.proof.learn import learn
from retention.proof.learner import Learner
from retention.proof.logged import Logged, evaluate_contact_policy, logged_decisions
from retention.proof.personalise import Personalisation, Policies, personalise
from retention.proof.prove import Proof, prove
from retention.proof.statement import programme_statement
from retention.proof.uplift import UpliftCurve, uplift_curve, uplift_scores
from retention.proof.welch import Normal

__all__ = [
    "Proof",
    "prove",
    "learn",
    "Difference",
    "Estimator",
    "Normal",
    "Permutation",
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
    "personalise",
    "Personalisation",
    "Policies",
    "Learner",
    "uplift_curve",
    "UpliftCurve",
    "uplift_scores",
    "evaluate_policy",
    "Estimate",
    "Gain",
    "Overlap",
    "logged_decisions",
    "Logged",
    "evaluate_contact_policy",
]
