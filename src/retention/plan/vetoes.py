"""The gate: every policy reviews every proposal, every veto is written down, and a broken policy stops everything."""

import contextvars
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from retention.errors import PlanError
from retention.frames.table import BoolColumn, IntColumn, MinuteColumn, Table, TextColumn, column
from retention.frames.texts import Labels, Texts, blank, joined
from retention.plan.proposals import ContactPolicy, Proposals, Review
from retention.plan.situation import Situation

__all__ = ["Passed", "VetoTable", "VetoCounts", "gate"]

FAILED = ", and a policy that fails lets nothing through"
"""How the note ends of a policy that failed: nothing was decided, so the night may be run again once it is mended."""

_EARLIEST = np.datetime64("0001-01-01T00:00", "m")
_LATEST = np.datetime64("9999-12-31T23:59", "m")


@frozen(eq=False, kw_only=True)
class Passed:
    """Which proposals pass all policies, and between which instants (UTC; NaT where any will do).

    ``refused`` says for each row of the vetoes which proposal it is about.
    """

    allowed: BoolColumn
    not_before: MinuteColumn
    not_after: MinuteColumn
    refused: IntColumn = attrs.field(factory=lambda: np.zeros(0, dtype=np.int64))


@frozen(eq=False, repr=False, kw_only=True)
class VetoTable(Table):
    """One row a veto: a proposal that three policies refuse has three rows."""

    customer_id: TextColumn = column("who")
    action: TextColumn = column("what was proposed")
    channel: TextColumn = column("through which channel")
    policy: TextColumn = column("who refused")
    reason: TextColumn = column("why, in words")

    @classmethod
    def none(cls) -> "VetoTable":
        """No vetoes."""
        empty = np.zeros(0, dtype="<U1")
        return cls(customer_id=empty, action=empty, channel=empty, policy=empty, reason=empty)


@frozen(eq=False, repr=False, kw_only=True)
class VetoCounts(Table):
    """One row a policy."""

    key = "policy"

    policy: TextColumn = column("who refused")
    vetoes: IntColumn = column("proposals refused", unit="count")
    customers: IntColumn = column("customers concerned", unit="count")


def gate(
    policies: Sequence[ContactPolicy], proposals: Proposals, situation: Situation
) -> tuple[Passed, VetoTable, tuple[str, ...]]:
    """Which proposals pass all policies and when, all vetoes, and notes on policies that failed.

    Policies run in the order of their names and each sees all proposals. One that raises, or answers with anything
    but a boolean and a text for each proposal, refuses everything it was asked about (it fails closed). Where two
    policies leave no common time of day, both are on file as the reason.

    A policy may state how long it takes at most, ``limit_seconds`` (None or no such attribute: no limit). If it takes
    longer it refuses everything too, however it would have answered: a guard that asks a server may wait for ever, and
    the night goes on. It then runs in a thread of its own, which cannot be stopped from outside: it lives on until it
    comes back or the process ends, and native code that holds the interpreter's lock is only found to be late once it
    lets go. This is the one place where a clock is read: with a limit the same night may come out otherwise on a slower
    machine, but never with a contact more.
    """
    n = len(proposals)
    allowed = np.ones(n, dtype=bool)
    first, last = np.full(n, _EARLIEST), np.full(n, _LATEST)
    timers: list[str] = []
    parts: list[dict[str, Any]] = []
    which: list[IntColumn] = []
    notes: list[str] = []
    names = np.asarray([a.name for a in proposals.actions], dtype=np.str_)
    channels = np.asarray([a.channel for a in proposals.actions], dtype=np.str_)

    def refuse(mask: BoolColumn, policy: str, reason: TextColumn) -> None:
        refused = np.flatnonzero(mask)
        if len(refused):
            which.append(refused)
            action = proposals.action[refused]
            parts.append(
                {
                    "customer_id": proposals.customer_id[refused],
                    "action": Labels(action, names),
                    "channel": Labels(action, channels),
                    "policy": Labels.constant(policy, len(refused)),
                    "reason": Labels.of(reason[refused]),
                }
            )

    views: dict[str, Any] = {
        name: values.view() for name, values in proposals.columns().items() if isinstance(values, np.ndarray)
    }
    asked = attrs.evolve(proposals, **views)
    sealed = attrs.evolve(situation, causes=_sealed(situation.causes), attributes=_sealed(situation.attributes))
    for name, policy in _by_name(policies):
        review, note = _ask(name, policy, asked, sealed)
        notes += [note] if note else []
        allowed &= review.allowed
        refuse(~review.allowed, name, review.reason)
        if review.not_before is not None and review.not_after is not None:
            timers.append(name)
            first = np.where(np.isnat(review.not_before), first, np.maximum(first, review.not_before))
            last = np.where(np.isnat(review.not_after), last, np.minimum(last, review.not_after))
    never = allowed & (first > last)
    if never.any():
        told: Any = Labels.constant("no time of day is left that all of them allow", n)
        refuse(never, " and ".join(timers), told)
    passed = Passed(
        allowed=allowed & ~never,
        not_before=np.where(first > _EARLIEST, first, np.datetime64("NaT", "m")),
        not_after=np.where(last < _LATEST, last, np.datetime64("NaT", "m")),
        refused=np.concatenate([np.zeros(0, dtype=np.int64), *which]),
    )
    if not parts:
        return passed, VetoTable.none(), tuple(notes)
    columns: dict[str, Any] = {name: joined([part[name] for part in parts]) for name in parts[0]}
    return passed, VetoTable(**columns), tuple(notes)


def _by_name(policies: Sequence[ContactPolicy]) -> list[tuple[str, ContactPolicy]]:
    named: dict[str, ContactPolicy] = {}
    for policy in policies:
        name = getattr(policy, "name", None)
        if not isinstance(name, str) or not name.strip() or not callable(getattr(policy, "review", None)):
            raise PlanError(
                f"a policy of type {type(policy).__name__} without a name or without review()",
                rule="a contact policy has a name and review(proposals, situation)",
                remedy="see retention.plan.ContactPolicy",
            )
        if name in named:
            raise PlanError(
                f"two policies named {name!r}",
                rule="each policy has its own name",
                remedy="leave one of them out, or rename it",
            )
        named[name] = policy
    return sorted(named.items())


def _sealed(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same, which nobody can write to: what one policy sees no other has changed. Tables are read-only already."""
    return MappingProxyType({
        name: MappingProxyType(dict(value)) if isinstance(value, Mapping) else value for name, value in given.items()
    })  # fmt: skip


def _ask(name: str, policy: ContactPolicy, proposals: Proposals, situation: Situation) -> tuple[Review, str]:
    try:
        fault, answer = _within_limit(policy, lambda: policy.review(proposals, situation))
        fault, review = (fault, None) if fault else _read(answer, len(proposals))
    except BaseException as error:  # one that leaves the interpreter, too, lets nothing through
        if isinstance(error, KeyboardInterrupt):
            raise
        # The text of a stranger's exception may hold personal data: only its kind and place are told.
        fault, review = f"raised {type(error).__name__}{_place(error)}", None
    if review is None:
        reason = f"the policy {name!r} {fault}{FAILED}"
        return Review.veto(np.ones(len(proposals), dtype=bool), reason), reason
    silent = ~review.allowed & blank(review.reason)
    if silent.any():
        unexplained = f"the policy {name!r} refused and gave no reason"
        review = attrs.evolve(review, reason=np.where(silent, unexplained, review.reason))
    return review, ""


def _within_limit(policy: ContactPolicy, ask: Callable[[], Any]) -> tuple[str, Any]:
    """What is wrong with the time it took (blank for nothing), and the answer; raises what the policy raises."""
    limit = getattr(policy, "limit_seconds", None)
    if limit is None:
        return "", ask()
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= threading.TIMEOUT_MAX:
        return f"states a limit of time of {limit!r}, which is no number of seconds above 0", None
    given: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            given.append(context.run(ask))
        except BaseException as error:  # leaving the interpreter too: here it would only end this thread
            failed.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=work, name=f"policy {getattr(policy, 'name', '')}", daemon=True)
    begin = time.monotonic()
    thread.start()
    thread.join(limit)
    if time.monotonic() - begin > limit or thread.is_alive():
        return f"took longer than its limit of {limit:g} seconds", None
    if failed:
        if isinstance(failed[0], Exception):
            raise failed[0]
        return f"raised {type(failed[0]).__name__}{_place(failed[0])}", None
    return "", given[0]


def _place(error: BaseException) -> str:
    """The file and line where it was raised, without the folders."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""


def _read(answer: object, n: int) -> tuple[str, Review | None]:
    """The answer if it is a whole one, else what is wrong with it."""
    if not isinstance(answer, Review):
        return f"answered with a {type(answer).__name__}, not a Review", None
    allowed = np.asarray(answer.allowed)
    reason: Any = answer.reason
    reason = reason if isinstance(reason, Texts) else np.asarray(reason)
    if allowed.shape != (n,) or reason.shape != (n,):
        return "answered for another number of proposals than it was asked about", None
    if allowed.dtype != np.bool_:
        return f"answered with {allowed.dtype} where True or False is asked for", None
    if n and reason.dtype.kind != "U":
        return f"gave reasons of {reason.dtype} where text is asked for", None
    if answer.not_before is None and answer.not_after is None:
        return "", Review(allowed=allowed, reason=reason if isinstance(reason, Texts) else reason.astype(np.str_))
    times = [np.asarray(given) for given in (answer.not_before, answer.not_after)]
    if any(given.dtype.kind != "M" or given.shape != (n,) for given in times):
        return "gave a time of day that is not two instants (datetime64) for each proposal", None
    first, last = times
    begun = first.astype("datetime64[m]")
    begun = np.where(begun < first, begun + np.timedelta64(1, "m"), begun)  # the first whole minute within
    told = reason if isinstance(reason, Texts) else reason.astype(np.str_)
    return "", Review(allowed=allowed, reason=told, not_before=begun, not_after=last.astype("datetime64[m]"))
