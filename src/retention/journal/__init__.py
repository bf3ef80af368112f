"""What was decided, sent, answered: append-only, in a real database, and erasable person by person."""

from retention.journal.complaints import Complaints
from retention.journal.journal import Journal
from retention.journal.tables import (
    Adherence,
    Contacts,
    Corrections,
    Decisions,
    Due,
    Nights,
    Outcomes,
    Recorded,
    Results,
    Vetoes,
)

__all__ = [
    "Journal",
    "Complaints",
    "Recorded",
    "Nights",
    "Adherence",
    "Decisions",
    "Contacts",
    "Due",
    "Vetoes",
    "Outcomes",
    "Results",
    "Corrections",
]
