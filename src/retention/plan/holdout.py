"""Who is left alone so that an effect can be measured: the same customers every night, on every machine."""

import datetime as dt
import hashlib
from collections.abc import Iterable

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.frames.table import BoolColumn, FloatColumn
from retention.plan.proposals import Proposals

__all__ = ["Lots", "draw_lots", "holdout_draws"]


@frozen(eq=False, kw_only=True)
class Lots:
    """What was drawn for the customer of each proposal; nothing of it depends on order, batch or machine.

    ``held``: she is in the hold-out, whose share is ``holdout``. ``controlled``: she is in the control of this action.
    Both stay as long as the salt does. ``night`` (she explores where it is below the share ``explore``), ``pick``
    (what she gets then) and ``tie`` are drawn anew every night, ``turn`` (who comes first among equals) by the seed.
    """

    held: BoolColumn
    controlled: BoolColumn
    night: FloatColumn
    pick: FloatColumn
    tie: FloatColumn
    turn: NDArray[np.uint64]
    holdout: float
    explore: float = 0.0


def draw_lots(
    proposals: Proposals, *, holdout: float, salt: str, explore: float = 0.0, day: dt.date, seed: int = 0
) -> Lots:
    """All lots of a night.

    The hold-out is a hash of salt and id, an action's control one of salt, the action's name and id, exploration one
    of salt, day and id. So the same customers are left alone every night, and others explore.
    """
    _, first, who = np.unique(proposals.base_row, return_index=True, return_inverse=True)
    who = who.reshape(len(proposals))
    listed = proposals.customer_id[first].tolist()

    def draws(text: str) -> FloatColumn:
        return holdout_draws(listed, text)[who]

    controlled = np.zeros(len(proposals), dtype=bool)
    for index, action in enumerate(proposals.actions):
        if action.control:
            mine = proposals.action == index
            controlled[mine] = draws(control_salt(salt, action.name))[mine] < action.control
    unused = np.zeros(len(proposals))
    night = f"{salt}|{day.isoformat()}"
    return Lots(
        held=draws(salt) < holdout,
        controlled=controlled,
        night=draws(f"{night}|explore") if explore else unused,
        pick=draws(f"{night}|pick") if explore else unused,
        tie=draws(f"{night}|tie"),
        turn=_hashes(listed, f"tie:{seed}")[who],
        holdout=float(holdout),
        explore=float(explore),
    )


def control_salt(salt: str, action: str) -> str:
    """The salt of an action's own control."""
    return f"{salt}|control|{action}"


def holdout_draws(customer_ids: Iterable[str], salt: str) -> FloatColumn:
    """A number in [0, 1) for each customer; she is held out where it is below the share.

    It is the first 53 bits of ``blake2b(salt + "|" + customer_id)``, so it depends on nothing else: not on the order,
    the batch, the day or the machine. A larger share keeps the customers of a smaller one; another salt draws anew.

    Example:
        >>> a = holdout_draws(["7", "8"], "shop")
        >>> bool((a == holdout_draws(["8", "7"], "shop")[::-1]).all())
        True
    """
    # All of the 53 bits fit, so nothing is rounded.
    return (_hashes(customer_ids, salt) >> np.uint64(11)) / 2.0**53


def _hashes(customer_ids: Iterable[str], salt: str) -> NDArray[np.uint64]:
    begun = hashlib.blake2b(f"{salt}|".encode("utf-8", "surrogatepass"), digest_size=8).copy
    digests = []
    for customer_id in customer_ids:
        one = begun()
        one.update(str(customer_id).encode("utf-8", "surrogatepass"))
        digests.append(one.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
