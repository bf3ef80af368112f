"""What was decided, sent, answered: append-only, in a real database, and erasable person by person."""

from retention.journal.journal import Journal
from retention.journal.tables import Adherence, Decisions, Nights, Outcomes, Recorded, Vetoes

__all__ = ["Journal", "Recorded", "Nights", "Adherence", "Decisions", "Vetoes", "Outcomes"]
