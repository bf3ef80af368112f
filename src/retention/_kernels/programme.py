"""The pairs of customers and actions of a market, and the integer programme over those that may be in the best choice.

HiGHS keeps threads for integer programmes. Threads do not survive a fork, so a child would wait for them for ever:
:func:`forked` says where none can be run.
"""

import contextlib
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, vstack

from retention._kernels.prices import FORBIDDEN, Floats, Ints, Market

__all__ = ["forked", "pairs_of", "proved", "stack", "use_of_pairs", "value_of"]


def pairs_of(market: Market) -> tuple[Floats, list[Floats]]:
    block = market.block(slice(0, len(market)))
    return block.profit, list(block.uses)


def use_of_pairs(market: Market, uses: list[Floats], rows: Ints, actions: Ints) -> Floats:
    """What one contact uses, (pairs, resources)."""
    t = len(market.table)
    out = np.zeros((len(rows), len(market.limits)))
    for r, use in enumerate(uses):
        out[:, r] = use[actions, rows]
    out[:, market.pairs : market.pairs + t] = market.table[:, actions].T
    if market.groups > 1:
        segment, c = market.segment[rows], len(market.ceilings)
        for j, s in enumerate(market.ceilings):
            out[:, market.pairs + t + j] = segment == s
        for j, s in enumerate(market.floors):
            out[:, market.pairs + t + c + j] = -1.0 * (segment == s)
    return out


def value_of(market: Market, counts: Floats) -> tuple[float, Floats]:
    """What contacts by class and action bring and use."""
    profit, uses = pairs_of(market)
    rows, actions = np.nonzero(counts)
    amount = counts[rows, actions]
    used = np.zeros(len(market.limits))
    if len(rows):
        used = np.einsum("i,ij->j", amount, use_of_pairs(market, uses, rows, actions))
    return float(np.einsum("i,i->", amount, profit[actions, rows])), used


def stack(*parts: Any) -> Any:
    return vstack(parts, format="csr")


def proved(market: Market, counts: Floats, price: Floats, bound: float, *, nodes: int | None) -> tuple[Floats, float]:
    """The best whole contacts, or a better bound, by an integer programme (HiGHS) over what may still be better.

    A pair that is further behind the best at the prices than the bound is above the value in hand is in no better
    solution, so most pairs need not be looked at. Stops after ``nodes`` nodes if given.
    """
    profit, _ = pairs_of(market)
    weight = np.ones(len(market)) if market.weight is None else market.weight
    value, used = value_of(market, counts)
    if (used > market.limits).any():
        counts, value = np.zeros_like(counts), (0.0 if not len(market.floors) else -math.inf)
    spare = bound - value
    if spare <= 1e-12 * abs(bound):
        return counts, bound
    nets = market.nets(market.block(slice(0, len(market))), price)
    best = np.maximum(nets.max(axis=0), 0.0)
    spare += 1e-9 * abs(bound)
    keep = (best - nets <= spare) & (profit > -FORBIDDEN / 2)
    needed = best > spare  # none is no choice for her
    tried, limit = None, market.limits
    for _ in range(2):
        tried = _programme(market, keep, needed, weight, limit, nodes)
        if tried is None or tried[0] is None:
            break
        found, used = value_of(market, tried[0])
        if (used <= market.limits).all():
            break
        # The solver forgives a millionth of the largest use: ask again with that much less.
        limit = market.limits - 2e-6 * _largest_use(market)
    if tried is None:  # nothing better exists
        return counts, min(bound, value + 1e-9 * abs(value)) if value > -math.inf else -math.inf
    if tried[0] is not None and (used <= market.limits).all() and found > value:
        counts, value = tried[0], found
    above = tried[1] + 1e-9 * max(abs(tried[1]), abs(bound))
    return counts, max(min(bound, above), value) if limit is market.limits else bound


def _largest_use(market: Market) -> Floats:
    _, uses = pairs_of(market)
    most = np.zeros(len(market.limits))
    for r, use in enumerate(uses):
        most[r] = use.max(initial=0.0)
    return most


def _programme(
    market: Market, keep: Any, needed: Any, weight: Floats, limits: Floats, nodes: int | None
) -> tuple[Floats | None, float] | None:
    """Contacts (None if the solver ran out of nodes) and the solver's bound; None if there is no solution."""
    profit, uses = pairs_of(market)
    actions, rows = np.nonzero(keep)
    counts = np.zeros((len(market), market.actions))
    if not len(rows):
        return None if needed.any() or (limits < 0).any() else (counts, 0.0)
    value = profit[actions, rows]
    use = use_of_pairs(market, uses, rows, actions)
    most = np.abs(use).max(axis=0)
    unit = np.where(most > 0, most, 1.0)  # a limit that nobody uses holds in any unit
    size = float(np.abs(value).max()) or 1.0
    one = csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(len(market), len(rows)))
    lower = np.concatenate([np.where(needed, weight, 0.0), np.full(len(limits), -np.inf)])
    options: dict[str, Any] = {"mip_rel_gap": 0.0}
    if nodes is not None:
        options["node_limit"] = nodes
    _programmed_in.add(os.getpid())
    with _apart():
        done = milp(
            -value / size,
            integrality=np.ones(len(rows), dtype=np.intp),
            bounds=Bounds(0, weight[rows]),
            constraints=LinearConstraint(
                stack(one, csr_array((use / unit).T)), lower, np.concatenate([weight, limits / unit])
            ),
            options=cast(Any, options),
        )
    if done.x is None and done.status == 2:
        return None
    best = done.mip_dual_bound if done.mip_dual_bound is not None else -math.inf
    above = -best * size
    if done.x is None:
        return None, above
    counts[rows, actions] = np.rint(done.x)
    return counts, above


_LOCK = threading.Lock()
_programmed_in: set[int] = set()  # processes that have run an integer programme


def forked() -> bool:
    """Whether an ancestor of this process ran an integer programme before the fork.

    HiGHS keeps threads for them, threads do not survive a fork, and the child would wait for them for ever. Its linear
    programmes need none.
    """
    return bool(_programmed_in) and os.getpid() not in _programmed_in


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """HiGHS 1.11 and later print a line of theirs to standard output now and then, asked or not: it is taken out.

    The line comes from below Python, so the file behind standard output is exchanged for the moment; whatever else was
    written meanwhile is passed on.
    """
    with _LOCK, tempfile.TemporaryFile() as aside:
        try:
            sys.stdout.flush()
            saved = os.dup(1)
        except (OSError, ValueError, AttributeError):  # no standard output: nothing to keep clean
            yield
            return
        try:
            os.dup2(aside.fileno(), 1)
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)
            aside.seek(0)
            others = b"".join(line for line in aside if not line.startswith(b"HighsMipSolverData::"))
            if others:
                os.write(1, others)
