"""What the journal gives back: frozen tables of nights, decisions, vetoes, what came of them, what was corrected."""

from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

import attrs
import numpy as np
from attrs import frozen

from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, Table, TextColumn, column

__all__ = [
    "Recorded",
    "Nights",
    "Adherence",
    "Contacts",
    "Decisions",
    "Due",
    "Vetoes",
    "Outcomes",
    "Results",
    "Corrections",
    "rows_of",
    "table_of",
]

_T = TypeVar("_T", bound=Table)


@frozen(kw_only=True)
class Recorded:
    """What a recording did: how many events are new, and whether all of it was on file already."""

    events: int
    already: bool
    message: str


@frozen(eq=False, repr=False, kw_only=True)
class Nights(Table):
    """One row a recorded night, oldest first."""

    key: ClassVar[str] = "fingerprint"

    as_of: DayColumn = column("the plan's day")
    fingerprint: TextColumn = column("hash of the plan")
    version: TextColumn = column("of the package that made the plan; empty if unknown")
    seed: IntColumn = column("of the plan")
    holdout_share: FloatColumn = column("share of chosen customers held out")
    salt: TextColumn = column("of the hold-out's hash")
    customers: IntColumn = column("rows of the plan", unit="count")
    contacts: IntColumn = column("customers contacted", unit="count")
    held_out: IntColumn = column("customers chosen, then held out", unit="count")
    vetoes: IntColumn = column("proposals refused", unit="count")
    money: FloatColumn = column("spent on contacts", unit="money")
    hours: FloatColumn = column("spent on contacts", unit="hours")


@frozen(eq=False, repr=False, kw_only=True)
class Adherence(Table):
    """One row a night with contacts: how many were planned, and how many of them were done."""

    key: ClassVar[str] = "as_of"

    as_of: DayColumn = column("the plan's day")
    planned: IntColumn = column("contacts decided", unit="count")
    done: IntColumn = column("of them, those that a touch on file carries out", unit="count")
    cancelled: IntColumn = column("of the others, those that were called off", unit="count")

    def __repr__(self) -> str:
        return f"<Adherence: {self.done.sum():,} of {self.planned.sum():,} planned contacts done>"


@frozen(eq=False, repr=False, kw_only=True)
class Decisions(Table):
    """One row a customer and night for whom something was decided; the id is empty once she was forgotten."""

    as_of: DayColumn = column("the plan's day")
    customer_id: TextColumn = column("who; empty if forgotten")
    arm: TextColumn = column("'contact' or 'hold-out'; empty if nothing was drawn for one who explores")
    action: TextColumn = column("what was, or would have been, done")
    channel: TextColumn = column("how")
    kind: TextColumn = column("give, ask, thank, remind, connect or wait")
    strategy: TextColumn = column("who proposed it")
    segment: TextColumn = column("her tier on that day; empty in journals of older versions")
    probability: FloatColumn = column(
        "of being contacted so, as it was drawn; of being left alone where that was drawn"
    )
    explored: BoolColumn = column("whether the action was drawn by chance to learn from it")
    evidence: TextColumn = column("'assumption' or 'measured': where the expected gain came from")
    gain: FloatColumn = column("incremental margin that was expected, before cost", unit="money")
    assumed: FloatColumn = column("the same before anything was learned of it", unit="money")
    not_before: TextColumn = column("earliest instant of the contact (UTC); empty if any will do")
    not_after: TextColumn = column("latest instant of the contact (UTC); empty if any will do")
    money: FloatColumn = column("what the contact costs; in the hold-out: would have cost", unit="money")
    hours: FloatColumn = column("attention, in the same way", unit="hours")
    reason: TextColumn = column("why, in words; empty if forgotten")


@frozen(eq=False, repr=False, kw_only=True)
class Contacts(Table):
    """One row a contact that went out or was to go out, by day: planned ones, and touches that nobody planned."""

    at: DayColumn = column("the day it was made; of those still open or called off, the day of the plan")
    planned_at: DayColumn = column("the day of the plan; NaT if it was not planned")
    customer_id: TextColumn = column("who; empty if forgotten")
    action: TextColumn = column("what was decided; empty if it was not planned")
    channel: TextColumn = column("how")
    kind: TextColumn = column("give, ask, thank, remind, connect or wait")
    money: FloatColumn = column("the most it costs; 0 if it was not planned", unit="money")
    hours: FloatColumn = column("attention, in the same way", unit="hours")
    status: TextColumn = column("'done', 'open', 'called off' or 'not planned'")

    @property
    def counted(self) -> "Contacts":
        """Those that count as touches: all but the called off."""
        return self.take(self.status != "called off")


@frozen(eq=False, repr=False, kw_only=True)
class Due(Table):
    """One row a planned contact that may be made now; where ``stop`` says something it must not be."""

    customer_id: TextColumn = column("who")
    as_of: DayColumn = column("the day of the plan")
    action: TextColumn = column("what to do")
    channel: TextColumn = column("how")
    kind: TextColumn = column("give, ask, thank, remind or connect")
    not_before: TextColumn = column("earliest instant (UTC); empty if any will do")
    not_after: TextColumn = column("latest instant (UTC); empty if any will do")
    stop: TextColumn = column("what has come up since the plan was made; empty if nothing")


@frozen(eq=False, repr=False, kw_only=True)
class Vetoes(Table):
    """One row a proposal that a policy refused."""

    as_of: DayColumn = column("the plan's day")
    customer_id: TextColumn = column("who; empty if forgotten")
    action: TextColumn = column("what was proposed")
    channel: TextColumn = column("through which channel")
    policy: TextColumn = column("who refused")
    reason: TextColumn = column("why, in words; empty if forgotten")


@frozen(eq=False, repr=False, kw_only=True)
class Outcomes(Table):
    """One row an outcome, in the order of recording."""

    customer_id: TextColumn = column("who; empty if forgotten")
    at: DayColumn = column("when it came")
    kind: TextColumn = column("reply, purchase, complaint, ...")
    amount: FloatColumn = column("money that came with it", unit="money")
    action: TextColumn = column("what it answers; empty if unknown")


@frozen(eq=False, repr=False, kw_only=True)
class Results(Table):
    """One row a result of a touch, in the order of recording."""

    customer_id: TextColumn = column("who; empty if forgotten")
    touched: DayColumn = column("day of the touch")
    channel: TextColumn = column("of the touch")
    kind: TextColumn = column("of the touch: give, ask, thank, ...")
    result: TextColumn = column("open, reply, ...")
    at: DayColumn = column("when it came; the day of the touch if unknown")


@frozen(eq=False, repr=False, kw_only=True)
class Corrections(Table):
    """One row a correction or a cancellation, in the order of recording."""

    customer_id: TextColumn = column("who; empty if forgotten")
    at: DayColumn = column("day of what was corrected, or of the plan")
    of: TextColumn = column("'touch', 'outcome' or, for a planned one that was called off, 'contact'")
    replaced: BoolColumn = column("whether another took its place")
    reason: TextColumn = column("why, in words; empty if none was given, or if forgotten")


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """A table's rows as plain Python values, made as they are asked for."""
    for start in range(0, len(table), _ROWS):
        columns = {name: values[start : start + _ROWS].tolist() for name, values in table.columns().items()}
        yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


_ROWS = 20_000  # rows made at a time

_DTYPES = {
    BoolColumn: "bool",
    DayColumn: "datetime64[D]",
    FloatColumn: "float64",
    IntColumn: "int64",
    TextColumn: "str",
}


def table_of(kind: type[_T], rows: list[dict[str, Any]]) -> _T:
    """A table of that kind from rows as the database gives them."""
    fields = [f for f in attrs.fields(kind) if f.metadata.get("column")]
    columns: dict[str, Any] = {f.name: np.asarray([r[f.name] for r in rows], dtype=_DTYPES[f.type]) for f in fields}
    return kind(**columns)
