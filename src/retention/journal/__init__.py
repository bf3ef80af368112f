"""What was decided, sent, answered: append-only, in a real database, and erasable person by person."""

from retention.journal.journal import Adherence, Decisions, Journal, Nights, Outcomes, Recorded, Vetoes

__all__ = ["Journal", "Recorded", "Adherence", "Nights", "Decisions", "Vetoes", "Outcomes"]
