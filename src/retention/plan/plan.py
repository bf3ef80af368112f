"""The plan: for every customer a decision and its reason, within the budgets."""

import datetime as dt
import hashlib
import html
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from retention.domain import Action
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, MinuteColumn, Table, TextColumn, column
from retention.frames.texts import Labels
from retention.plan.budget import Budget
from retention.plan.proposals import Assumption
from retention.plan.vetoes import VetoCounts, VetoTable

__all__ = ["Plan", "LeadList", "NextContacts", "Considered", "Explanation", "basis"]

_CHUNK = 50_000
NOTHING_MEASURED = "no effect has been measured yet; gains are assumptions"


def _fixed(amounts: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType(dict(amounts))


def basis(evidence: TextColumn) -> str:
    """What the gains of these contacts rest on, in words."""
    measured = int((evidence == "measured").sum())
    if not measured:
        return NOTHING_MEASURED
    others = len(evidence) - measured
    return f"the gains of {measured:,} contacts rest on measured effects" + (
        f", those of {others:,} on assumptions" if others else ""
    )


@frozen(eq=False, repr=False, kw_only=True)
class Considered(Table):
    """One row a proposal, with what became of it."""

    customer_id: TextColumn = column("who")
    action: TextColumn = column("what was proposed")
    strategy: TextColumn = column("who proposed it")
    gain: FloatColumn = column("expected incremental margin, before the cost of the contact", unit="money")
    gain_sd: FloatColumn = column("its standard deviation", unit="money")
    money: FloatColumn = column("what the contact costs", unit="money")
    hours: FloatColumn = column("attention it takes", unit="hours")
    net: FloatColumn = column("gain less money", unit="money")
    priced: FloatColumn = column("net less what it takes of the limits at their prices; NaN if out of the question")
    fate: TextColumn = column("'chosen', 'hold-out', 'drawn', 'vetoed', 'no gain', 'passed over' or 'budget'")
    reason: TextColumn = column("why it was proposed, in words")

    @classmethod
    def none(cls) -> "Considered":
        """Nothing was considered."""
        text = ("customer_id", "action", "strategy", "fate", "reason")
        empty: dict[str, Any] = {
            f.name: np.zeros(0, dtype="<U1" if f.name in text else np.float64)
            for f in attrs.fields(cls)
            if f.metadata.get("column")
        }
        return cls(**empty)


@frozen(eq=False, repr=False, kw_only=True)
class LeadList(Table):
    """One row a contact to make, best first; names and addresses stay where they are kept.

    No row is without a reason and a consent status.
    """

    customer_id: TextColumn = column("who")
    why: TextColumn = column("why she, in words")
    action: TextColumn = column("what to do next")
    amount: FloatColumn = column("expected incremental margin, before the cost of the contact", unit="money")
    channel: TextColumn = column("how to reach her")
    consent: TextColumn = column("'granted', 'not needed' or 'none on file'")
    opens: DayColumn = column("first day of the window")
    closes: DayColumn = column("last day of the window")
    strategy: TextColumn = column("who proposed it")
    evidence: TextColumn = column("'assumption' or 'measured'")

    def to_csv(self, path: str | Path) -> None:
        """Write the list for a spreadsheet; cells that look like formulas are made harmless."""
        _write(self, path)


@frozen(eq=False, repr=False, kw_only=True)
class NextContacts(Table):
    """One row a customer: the next best contact, which may be to wait."""

    customer_id: TextColumn = column("who")
    what: TextColumn = column("'connect', 'ask' or 'wait'")
    action: TextColumn = column("what to do; empty while waiting")
    channel: TextColumn = column("how; empty while waiting")
    on: DayColumn = column("first day of the window; while waiting, the day to look again")
    net: FloatColumn = column("expected incremental margin after the cost of the contact", unit="money")
    reason: TextColumn = column("why, or why not, in words")

    def __repr__(self) -> str:
        counts = {what: int((self.what == what).sum()) for what in ("connect", "ask", "wait")}
        return "<NextContacts: " + ", ".join(f"{what} {number:,}" for what, number in counts.items()) + ">"


@frozen(eq=False, repr=False, kw_only=True)
class Plan(Table):
    """One row a customer of the base, in the base's order: what to do, or why nothing.

    ``money`` and ``hours`` of a hold-out row are what the contact would have cost; ``spent_money`` and
    ``spent_hours`` count contacts alone. ``money`` is the most that a contact can cost, reward included; ``net`` goes
    by what it is expected to cost. ``probability`` is the chance of being contacted with this action that the lots left
    her with, and of a customer for whom "nothing" was drawn the chance of being left alone; a later proof needs it.

    ``prices`` tell for each limit (``money``, ``hours``, ``phone contacts``, ``at least of gold``, ...) what one more
    unit of it would earn; ``used`` and ``limits`` have the same names. No choice under these limits, for the customers
    that take part, is expected to bring more than ``bound``. ``follows`` is the last night that the journal had when
    the plan was made ("none" before the first); empty if it was made without a journal.

    Its text is kept as numbers and written out where it is read (:mod:`retention.frames.texts`): a row, ``.tolist()``,
    a frame or a file has the words; ``numpy.asarray`` of a column makes those of all customers at once.
    """

    customer_id: TextColumn = column("who")
    decision: TextColumn = column("'contact', 'hold-out' or 'none'")
    action: TextColumn = column("what to do; empty if nothing")
    kind: TextColumn = column("give, ask, thank, remind, connect or wait; empty if nothing")
    channel: TextColumn = column("how to reach her; empty if nothing")
    strategy: TextColumn = column("who proposed it; empty if nothing")
    opens: DayColumn = column("first day of the window; NaT if nothing")
    closes: DayColumn = column("last day of the window; NaT if nothing")
    gain: FloatColumn = column("expected incremental margin, before the cost of the contact", unit="money")
    gain_sd: FloatColumn = column("its standard deviation", unit="money")
    money: FloatColumn = column("what the contact costs", unit="money")
    hours: FloatColumn = column("attention it takes", unit="hours")
    net: FloatColumn = column("gain less money", unit="money")
    probability: FloatColumn = column(
        "of being contacted so, as it was drawn; of being left alone where that was drawn"
    )
    evidence: TextColumn = column("'assumption' or 'measured'; empty if nothing")
    reason: TextColumn = column("why, or why not, in words")
    consent: TextColumn = column("'granted', 'not needed' or 'none on file'; empty if nothing", optional=True)
    segment: TextColumn = column("her tier")
    explored: BoolColumn = column("whether what to do was drawn by chance, to learn from it")
    not_before: MinuteColumn = column("earliest instant of the contact (UTC); NaT if any will do")
    not_after: MinuteColumn = column("latest instant of the contact (UTC); NaT if any will do")
    assumed: FloatColumn = column("the gain before anything was learned of it", unit="money")
    next_at: DayColumn = column("first day of the window; if nothing, the day to look again")

    as_of: dt.date
    budget: Budget
    spent_money: float
    spent_hours: float
    holdout_share: float
    salt: str
    seed: int
    vetoes: VetoTable
    assumptions: tuple[Assumption, ...]
    notes: tuple[str, ...]
    currency: str | None
    actions: tuple[Action, ...]
    explore: float = 0.0
    risk: float = 0.0
    follows: str = ""
    prices: Mapping[str, float] = attrs.field(factory=dict, converter=_fixed)
    used: Mapping[str, float] = attrs.field(factory=dict, converter=_fixed)
    limits: Mapping[str, float] = attrs.field(factory=dict, converter=_fixed)
    bound: float = float("nan")
    method: str = ""
    considered: Considered = attrs.field(factory=Considered.none)

    @property
    def measured(self) -> bool:
        """Whether the gain of any contact rests on a measured effect."""
        return bool((self.evidence[self.decision == "contact"] == "measured").any())

    def next_contacts(self) -> NextContacts:
        """For every customer what comes next: to connect (give, thank, remind, hand over), to ask, or to wait.

        At most one contact a customer, the one with the highest net gain that policies and limits allow: so a
        connection comes before a sale where it is worth more.
        """
        planned = self.decision == "contact"
        asks = planned & (self.kind == "ask")
        what: Any = Labels(planned.astype(np.int8) + asks, np.asarray(["wait", "connect", "ask"]))
        action: Any = Labels.of(self.action).kept(planned)
        channel: Any = Labels.of(self.channel).kept(planned)
        return NextContacts(
            customer_id=self.customer_id,
            what=what,
            action=action,
            channel=channel,
            on=self.next_at,
            net=np.where(planned, self.net, 0.0),
            reason=self.reason,
            provenance=self.provenance,
        )

    @property
    def contacts(self) -> "Plan":
        """The rows to contact, the largest net gain first (ties by id)."""
        rows = np.flatnonzero(self.decision == "contact")
        return self.take(rows[np.lexsort((self.customer_id[rows], -self.net[rows]))])

    def lead_list(self) -> LeadList:
        """The contacts as a list to work through: who, why, what, how much, how, allowed by what, when."""
        best = self.contacts
        consent: Any = best.consent if best.consent is not None else Labels.constant("none on file", len(best))
        return LeadList(
            customer_id=best.customer_id,
            why=best.reason,
            action=best.action,
            amount=best.gain,
            channel=best.channel,
            consent=consent,
            opens=best.opens,
            closes=best.closes,
            strategy=best.strategy,
            evidence=best.evidence,
            provenance=self.provenance,
        )

    def why(self, customer_id: object) -> "Explanation":
        """Why this customer was, or was not, chosen: every proposal for her and every veto."""
        row = self.row(self.position(customer_id))
        who = row["customer_id"]
        considered = self.considered.take(self.considered.customer_id == who)
        return Explanation(
            customer_id=who,
            as_of=self.as_of,
            decision=row["decision"],
            action=row["action"],
            reason=row["reason"],
            considered=considered,
            vetoes=self.vetoes.take(self.vetoes.customer_id == who),
            stopped_by_budget=row["decision"] == "none" and bool(np.any(considered.fate == "budget")),
            held_out=row["decision"] == "hold-out",
            currency=self.currency,
        )

    def vetoes_by_policy(self) -> VetoCounts:
        """How many proposals, and customers, each policy refused."""
        policies = Labels.of(self.vetoes.policy)
        named = [(name, self.vetoes.customer_id[policies == name]) for name in sorted(set(policies))]
        return VetoCounts(
            policy=np.asarray([name for name, _ in named], dtype=np.str_),
            vetoes=np.asarray([len(who) for _, who in named], dtype=np.int64),
            customers=np.asarray([len(set(who.tolist())) for _, who in named], dtype=np.int64),
        )

    def to_csv(self, path: str | Path) -> None:
        """Write the plan for a spreadsheet; cells that look like formulas are made harmless."""
        _write(self, path)

    def fingerprint(self) -> str:
        """A hash of the day and of all columns, words included: equal on any machine for equal plans."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        digest = hashlib.blake2b(self.as_of.isoformat().encode(), digest_size=16)
        for name, values in self.columns().items():
            digest.update(f"|{name}:{len(values)}|".encode())
            for start in range(0, len(values), _CHUNK):
                digest.update(_bytes(values[start : start + _CHUNK]))
        return digest.hexdigest()

    @property
    def summary(self) -> tuple[str, ...]:
        """What a reader must know, a line each."""
        contacts, held, alone = (self.decision == d for d in ("contact", "hold-out", "none"))
        unit = f" {self.currency}" if self.currency else ""
        return (
            f"plan of {self.as_of.isoformat()} for {len(self):,} customers: {int(contacts.sum()):,} contacts, "
            f"{int(held.sum()):,} held out, {int(alone.sum()):,} left alone",
            f"spent: {self.spent_money:,.2f}{unit} of {_limit(self.budget.money)}, "
            f"{self.spent_hours:,.2f} hours of {_limit(self.budget.hours)}",
            f"expected incremental margin after contact cost: {float(self.net[contacts].sum()):,.2f}{unit}",
            *self.more_would_earn,
            basis(self.evidence[contacts]),
        )

    @property
    def more_would_earn(self) -> tuple[str, ...]:
        """What one more unit of each limit that binds would earn, a line each."""
        unit = f" {self.currency}" if self.currency else ""
        one = {"money": self.currency or "unit of money", "hours": "hour"}
        said = [
            f"one more {one.get(name, name.removesuffix('s'))} would earn {price:,.2f}{unit}"
            for name, price in self.prices.items()
            if price > 0 and not name.startswith("at ")
        ]
        return tuple(said[:3])

    def plot(self, ax: Any = None) -> Any:
        """Draw what the contacts are expected to add up to, best first, and return the axes."""
        ax = axes(ax)
        best = self.contacts
        rank = np.arange(len(best) + 1)
        ax.step(rank, np.concatenate([[0.0], np.cumsum(best.net)]), where="mid", color="#1f5a7a")
        ax.set_xlabel("contacts, best first")
        ax.set_ylabel("expected net gain" + (f" ({self.currency})" if self.currency else ""))
        ax.set_title(f"{len(best):,} contacts of {self.as_of.isoformat()} ({basis(best.evidence)})", fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        return "<Plan: " + "; ".join(self.summary) + ">"

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in self.summary)
        return f"<ul>{lines}</ul>{self.lead_list()._repr_html_()}"


@frozen(eq=False, repr=False, kw_only=True)
class Explanation:
    """One customer's part of a plan, told in full; ``str()`` gives the text."""

    customer_id: str
    as_of: dt.date
    decision: str
    action: str
    reason: str
    considered: Considered
    vetoes: VetoTable
    stopped_by_budget: bool
    held_out: bool
    currency: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "customer_id": self.customer_id,
            "as_of": self.as_of.isoformat(),
            "decision": self.decision,
            "action": self.action,
            "reason": self.reason,
            "considered": [self.considered.row(i) for i in range(len(self.considered))],
            "vetoes": [self.vetoes.row(i) for i in range(len(self.vetoes))],
            "stopped_by_budget": self.stopped_by_budget,
            "held_out": self.held_out,
            "currency": self.currency,
        }

    def __str__(self) -> str:
        unit = f" {self.currency}" if self.currency else ""
        head = f"customer {self.customer_id} on {self.as_of.isoformat()}: {self.decision}"
        lines = [head + (f" ({self.action})" if self.action else ""), f"  {self.reason}"]
        for p in (self.considered.row(i) for i in range(len(self.considered))):
            lines.append(
                f"  proposed by {p['strategy']}: {p['action']}, gain {p['gain']:,.2f} (sd {p['gain_sd']:,.2f}), "
                f"cost {p['money']:,.2f}{unit} and {p['hours']:g} h, net {p['net']:,.2f}"
                + ("" if np.isnan(p["priced"]) else f", {p['priced']:+,.2f} at the prices of the limits")
                + f": {p['fate']}"
            )
        for v in (self.vetoes.row(i) for i in range(len(self.vetoes))):
            lines.append(f"  refused by {v['policy']}: {v['action']} ({v['reason']})")
        lines += ["  the budgets had no room for her"] if self.stopped_by_budget else []
        lines += ["  she is in the hold-out"] if self.held_out else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Explanation: {self.decision}, {len(self.considered)} proposals, {len(self.vetoes)} vetoes>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _limit(limit: float | None) -> str:
    return "no limit" if limit is None else f"{limit:,.2f}"


def _bytes(values: Any) -> bytes:
    """A column's content, whatever the width of its text or the byte order of the machine."""
    if values.dtype.kind == "U":
        if isinstance(values, Labels) and len(values.labels) <= len(values):
            blocks = np.asarray([_blocks([text]) for text in values.labels.tolist()], dtype=object)
            return b"".join(blocks[values.codes])
        return _blocks(values.tolist())
    if values.dtype.kind == "M":
        return bytes(values.astype("datetime64[m]").astype("<i8").tobytes())
    # Adding zero turns -0.0 into 0.0, which a reader cannot tell apart.
    return bytes((values + 0.0).astype("<f8").tobytes())


def _blocks(texts: list[str]) -> bytes:
    """Each text in UTF-8, after its length in four bytes."""
    if "".join(texts).isascii():
        heads = {length: length.to_bytes(4, "little").decode("latin-1") for length in set(map(len, texts))}
        return "".join([heads[len(text)] + text for text in texts]).encode("latin-1")
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join([len(one).to_bytes(4, "little") + one for one in encoded])


def _write(table: Table, path: str | Path) -> None:
    from retention.frames.export import write_csv

    write_csv(table, path)
