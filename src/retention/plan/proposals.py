"""What strategies propose and how policies answer."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import attrs
import numpy as np
from attrs import frozen

from retention.domain import Action
from retention.errors import PlanError
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
from retention.frames.texts import Labels, joined
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
    def of(
        cls,
        situation: Situation,
        rows: Any,
        action: Action,
        *,
        strategy: str,
        gain: Any,
        reason: str | Sequence[str],
        gain_sd: Any = None,
        opens: Any = None,
        closes: Any = None,
        evidence: str = "assumption",
        assumptions: Iterable[Assumption] = (),
    ) -> Self:
        """One action for some of the customers.

        Args:
            situation: what is known on the plan's day.
            rows: positions of the customers in its tables, or a mask over all of them.
            action: what would be done.
            strategy: who proposes.
            gain: expected incremental margin before the cost of the contact: one number, or one a customer.
            reason: why, in words: one text, or one a customer.
            gain_sd: its standard deviation; None takes half of the gain.
            opens: first day of the window; None takes the plan's day.
            closes: last day of the window; None takes two weeks from the first.
            evidence: ``"assumption"`` or ``"measured"``.
            assumptions: numbers behind the gain that nobody has measured.

        Raises:
            PlanError: a column is not one value for all or one for each of these customers.

        Example:
            >>> import datetime as dt
            >>> from retention.plan.examples import small_base
            >>> base, worth, when, tiers = small_base()
            >>> known = Situation(as_of=dt.date(2011, 12, 1), histories=base, valuation=worth, outlook=when,
            ...                   tiering=tiers)
            >>> card = Action(name="card", kind="thank", channel="post", money=1.5, customer_benefit="is thanked")
            >>> few = Proposals.of(known, when.overdue, card, strategy="cards", gain=4.0, reason="she is late")
            >>> few["customer_id"].tolist(), few["closes"].astype(str).tolist()
            (['anna'], ['2011-12-14'])
        """
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64).reshape(-1)
        n = len(chosen)

        def full(name: str, given: Any, dtype: Any = None) -> Any:
            values = np.asarray(given, dtype=dtype)
            if values.shape not in ((), (n,)):
                raise PlanError(
                    f"{name} of shape {values.shape} for {n} customers",
                    rule="a column is one value for all, or one for each customer proposed",
                    remedy=f"index {name} with the same rows",
                )
            return np.broadcast_to(values, (n,)).copy()

        def text(name: str, given: Any) -> Any:
            return Labels.constant(given, n) if isinstance(given, str) else full(name, given, np.str_)

        money = full("gain", gain, np.float64)
        first = full("opens", situation.as_of if opens is None else opens, "datetime64[D]")
        last = first + np.timedelta64(13, "D") if closes is None else full("closes", closes, "datetime64[D]")
        return cls(
            customer_id=situation.customer_id[chosen],
            base_row=chosen,
            action=np.zeros(n, dtype=np.int64),
            gain=money,
            gain_sd=np.abs(money) / 2.0 if gain_sd is None else full("gain_sd", gain_sd, np.float64),
            opens=first,
            closes=last,
            strategy=text("strategy", strategy),
            reason=text("reason", reason),
            evidence=text("evidence", evidence),
            actions=(action,),
            assumptions=tuple(assumptions),
        )

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
        columns: dict[str, Any] = {}
        for name, first in listed[0].columns().items():
            values = [part.columns()[name] for part in shifted]
            if name in ("strategy", "evidence"):
                values = [Labels.of(column) for column in values]
            columns[name] = joined(values) if first.dtype.kind == "U" else np.concatenate(values)
        assumptions = dict.fromkeys(a for part in listed for a in part.assumptions)
        return cls(**columns, actions=tuple(actions), assumptions=tuple(assumptions))


def _append(actions: list[Action], action: Action) -> int:
    actions.append(action)
    return len(actions) - 1


def _answered(values: Any) -> Any:
    """An answer that nobody can write to; a masked array says nothing where its mask is, and that is no answer."""
    if np.ma.is_masked(values):
        raise PlanError(
            "a review that leaves some proposals without an answer (a masked array)",
            rule="every proposal is allowed or refused",
            remedy="fill the array, with False where nothing is known",
        )
    return read_only(values)


@frozen(eq=False, kw_only=True)
class Review:
    """A policy's answer: which proposals may go on, and for the others why not (empty text where allowed).

    A policy about the time of day says with ``not_before`` and ``not_after`` (UTC, to the minute, NaT for no matter)
    between which instants an allowed contact may be made. Of several policies the narrowest counts.
    """

    allowed: BoolColumn = attrs.field(converter=_answered)
    reason: TextColumn = attrs.field(converter=_answered)
    not_before: MinuteColumn | None = attrs.field(default=None, converter=attrs.converters.optional(read_only))
    not_after: MinuteColumn | None = attrs.field(default=None, converter=attrs.converters.optional(read_only))

    @classmethod
    def veto(cls, refused: BoolColumn, reason: str | Sequence[str]) -> Self:
        """Refuse where the mask is True, with one reason for all or one for each proposal."""
        if isinstance(reason, str):
            told: Any = Labels.where(refused, reason)
        else:
            told = np.where(refused, np.asarray(reason, dtype=np.str_), "")
        return cls(allowed=~refused, reason=told)


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
