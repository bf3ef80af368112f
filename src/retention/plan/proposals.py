"""What strategies propose and how policies answer."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import attrs
import numpy as np
from attrs import frozen

from retention.domain import Action
from retention.frames.table import (
    BoolColumn,
    DayColumn,
    FloatColumn,
    IntColumn,
    MinuteColumn,
    Table,
    TextColumn,
    column,
    read_only,
)
from retention.plan.situation import Situation

__all__ = ["Assumption", "Proposals", "Review", "OutreachStrategy", "ContactPolicy"]


@frozen(kw_only=True)
class Assumption:
    """A number that nobody has measured yet: it is an input, it is shown, and it can be changed.

    ``value`` and ``spread`` (one standard deviation of belief) in the unit that ``meaning`` says.
    """

    strategy: str
    name: str
    value: float
    spread: float
    meaning: str


@frozen(eq=False, repr=False, kw_only=True)
class Proposals(Table):
    """One row a proposed contact; a customer may appear with several actions.

    ``gain`` is the expected *incremental* margin before the contact's own money cost, ``gain_sd`` its spread.
    ``evidence`` says where the response rate behind it comes from: ``"assumption"`` or ``"measured"``.
    """

    customer_id: TextColumn = column("who")
    base_row: IntColumn = column("her position in the situation's tables")
    action: IntColumn = column("position in .actions")
    gain: FloatColumn = column("expected incremental margin, before the cost of the contact", unit="money")
    gain_sd: FloatColumn = column("its standard deviation", unit="money")
    opens: DayColumn = column("first day of the window")
    closes: DayColumn = column("last day of the window")
    strategy: TextColumn = column("who proposes")
    reason: TextColumn = column("why, in words")
    evidence: TextColumn = column("'assumption' or 'measured'")

    actions: tuple[Action, ...]
    assumptions: tuple[Assumption, ...] = ()

    def of_actions(self, attribute: str) -> np.ndarray:
        """An attribute of each proposal's action, as a column."""
        values = np.asarray([getattr(a, attribute) for a in self.actions])
        return values[self.action] if len(self.actions) else values

    @property
    def net(self) -> FloatColumn:
        """Gain less the money that the contact is expected to cost, reward included."""
        return read_only(self.gain - self.of_actions("expected_cost")) if len(self) else self.gain

    @classmethod
    def none(cls) -> Self:
        """No proposals."""
        empty = np.zeros(0)
        return cls(
            customer_id=np.zeros(0, dtype="<U1"),
            base_row=np.zeros(0, dtype=np.int64),
            action=np.zeros(0, dtype=np.int64),
            gain=empty,
            gain_sd=empty,
            opens=np.zeros(0, dtype="datetime64[D]"),
            closes=np.zeros(0, dtype="datetime64[D]"),
            strategy=np.zeros(0, dtype="<U1"),
            reason=np.zeros(0, dtype="<U1"),
            evidence=np.zeros(0, dtype="<U1"),
            actions=(),
        )

    @classmethod
    def joined(cls, parts: Iterable["Proposals"]) -> "Proposals":
        """Several strategies' proposals as one table."""
        listed = [part for part in parts if len(part)]
        if not listed:
            return cls.none()
        actions: list[Action] = []
        shifted = []
        for part in listed:
            where = [actions.index(a) if a in actions else _append(actions, a) for a in part.actions]
            shifted.append(attrs.evolve(part, action=np.asarray(where, dtype=np.int64)[part.action]))
        names = list(listed[0].columns())
        columns: dict[str, Any] = {name: np.concatenate([part.columns()[name] for part in shifted]) for name in names}
        assumptions = dict.fromkeys(a for part in listed for a in part.assumptions)
        return cls(**columns, actions=tuple(actions), assumptions=tuple(assumptions))


def _append(actions: list[Action], action: Action) -> int:
    actions.append(action)
    return len(actions) - 1


@frozen(eq=False, kw_only=True)
class Review:
    """A policy's answer: which proposals may go on, and for the others why not (empty text where allowed).

    A policy about the time of day says with ``not_before`` and ``not_after`` (UTC, to the minute, NaT for no matter)
    between which instants an allowed contact may be made. Of several policies the narrowest counts.
    """

    allowed: BoolColumn = attrs.field(converter=read_only)
    reason: TextColumn = attrs.field(converter=read_only)
    not_before: MinuteColumn | None = attrs.field(default=None, converter=attrs.converters.optional(read_only))
    not_after: MinuteColumn | None = attrs.field(default=None, converter=attrs.converters.optional(read_only))

    @classmethod
    def veto(cls, refused: BoolColumn, reason: str | Sequence[str]) -> Self:
        """Refuse where the mask is True, with one reason for all or one for each proposal."""
        return cls(allowed=~refused, reason=np.where(refused, np.asarray(reason, dtype=np.str_), ""))


@runtime_checkable
class OutreachStrategy(Protocol):
    """Looks at the situation and proposes contacts, each with its expected incremental margin."""

    @property
    def name(self) -> str:
        """The registry name of the strategy."""

    def propose(self, situation: Situation) -> Proposals:
        """Proposals for any of the customers; none is fine."""


@runtime_checkable
class ContactPolicy(Protocol):
    """May refuse proposals, never adds one. If it fails, everything it was asked about is refused."""

    @property
    def name(self) -> str:
        """The registry name of the policy."""

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Which proposals may go on."""
