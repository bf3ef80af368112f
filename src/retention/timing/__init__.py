"""When: each customer's rhythm, whether she is overdue on it, and what is at stake each day."""

from retention.timing.anticipate import anticipate
from retention.timing.leak import Leak, leak
from retention.timing.outlook import Outlook
from retention.timing.rhythm import Rhythm

__all__ = ["anticipate", "leak", "Leak", "Outlook", "Rhythm"]
