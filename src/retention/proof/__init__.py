"""Did it pay: the contacted against the held-out, with an interval that spend does not fool."""

from retention.proof.prove import Proof, prove

__all__ = ["Proof", "prove"]
