"""What was done of what was decided: contacts never made, and held-out customers who were touched anyway."""

from typing import TYPE_CHECKING

import numpy as np

from retention.proof.arms import Arms
from retention.proof.result import Proof

if TYPE_CHECKING:
    from retention.journal import Journal

__all__ = ["carried_out", "touched_anyway", "adherence_notes"]


def carried_out(journal: "Journal", arms: Arms) -> float | None:
    """The share of the contacted whose first contact was done, each taken to be as likely as any of her night."""
    adherence = journal.adherence()
    contacted = arms.first[arms.contacted]
    if not len(contacted) or not (adherence.done.any() or adherence.cancelled.any()):
        return None
    at = np.searchsorted(adherence.as_of, contacted)
    return float((adherence.done[at] / adherence.planned[at]).mean())


def touched_anyway(journal: "Journal", arms: Arms) -> float | None:
    """The share of the held-out with a touch, by channel and kind one of the programme's, in their window."""
    held = arms.take(~arms.contacted)
    if not len(held):
        return None
    decisions = journal.decisions()
    pairs = {(c.casefold(), k) for c, k in zip(decisions.channel.tolist(), decisions.kind.tolist(), strict=True)}
    touches = journal.touches_before((held.close.max() + np.timedelta64(1, "D")).item())
    touches = touches.take((touches.direction == "out") & np.isin(touches.customer_id, held.customer_id))
    ours = [(c.casefold(), k) in pairs for c, k in zip(touches.channel.tolist(), touches.kind.tolist(), strict=True)]
    touches = touches.take(np.asarray(ours, dtype=bool))
    at = np.searchsorted(held.customer_id, touches.customer_id)
    inside = (touches.at >= held.first[at]) & (touches.at <= held.close[at])
    return len(np.unique(at[inside])) / len(held)


def adherence_notes(proof: Proof) -> list[str]:
    """What a reader must know of what was done of it."""
    done, anyway, notes = proof.carried_out, proof.touched_anyway, []
    if done is None and proof.n_contact:
        notes.append("no touch is on file: whether the contacts were carried out is not known")
    if done is not None and done < 1:
        each = proof.undiluted
        notes.append(
            f"{done:.0%} of the contacts were carried out; the others dilute the effect, and count with their cost"
            + (f"; per contact carried out {each[0]:+,.2f} ({each[1]:+,.2f} to {each[2]:+,.2f})" if each else "")
        )
    if anyway:
        notes.append(
            f"{round(anyway * proof.n_holdout):,} of {proof.n_holdout:,} held-out customers were touched anyway: the "
            "difference is less than what contacts do"
        )
    return notes
