"""What was decided, sent, answered: append-only, in a real database, and erasable person by person."""

from retention.journal.journal import Decisions, Journal, Nights, Outcomes, Recorded, Vetoes

__all__ = ["Journal", "Recorded", "Nights", "Decisions", "Vetoes", "Outcomes"]
