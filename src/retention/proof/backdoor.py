"""The back door: who was seen leaving, what was decided and done, who came back, and what of that the contacts did."""

import datetime as dt
import html
import math
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError, nearest
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.histories import summarize
from retention.plan import WinBack
from retention.proof.intervals import compare
from retention.proof.verdict import LEAST_CUSTOMERS
from retention.records.transactions import TransactionLog
from retention.timing import anticipate

if TYPE_CHECKING:
    from retention.journal import Journal

__all__ = ["Backdoor", "Episodes", "backdoor"]

_BY = ("cohort", "stage", "strategy", "action")
_FAR = np.iinfo(np.int64).max // 4


@frozen(eq=False, repr=False, kw_only=True)
class Episodes(Table):
    """One row a lapse: a customer and the purchase after which she fell silent, with every step taken since.

    Dates are NaT for steps that did not happen. ``comparable`` episodes are those whose arm is chance's doing alone:
    the first decision ever on her, not drawn by exploration, with a window that is over.
    """

    customer_id: TextColumn = column("who")
    last_at: DayColumn = column("the purchase after which she fell silent")
    detected: DayColumn = column("detect: the first night on which she was overdue or lapsed")
    stage: TextColumn = column("what she was that night: 'overdue' or 'lapsed'")
    cohort: TextColumn = column("the month of detection")
    decided: DayColumn = column("decide: the night of the first decision on her since")
    arm: TextColumn = column("'contact', 'hold-out', 'explored', or 'none' where nothing was decided")
    strategy: TextColumn = column("who proposed it; empty for nobody")
    action: TextColumn = column("what was, or would have been, done")
    acted: DayColumn = column("act: the touch on file that carries it out")
    back_at: DayColumn = column("verify: her next purchase")
    back: BoolColumn = column("whether that came within the window from the decision, or from detection")
    over: BoolColumn = column("whether that window is over")
    margin: FloatColumn = column("what she brought within it", unit="money")
    cost: FloatColumn = column("what all contacts with her in it cost at most", unit="money")
    probability: FloatColumn = column("that she is contacted with this action, as the plan drew it")
    comparable: BoolColumn = column("whether the arms of such episodes may be compared")


@frozen(eq=False, repr=False, kw_only=True)
class Backdoor(Table):
    """One row a cohort of lapses: detected, decided, acted, verified, learned.

    ``lift`` is the share that came back because of the contact, ``earned`` the margin that it brought after cost, both
    for each contacted customer, with intervals; they compare ``compared_contact`` with ``compared_hold_out`` episodes.
    Bounds are infinite below 20 of either. ``verdict`` is about ``earned``: *works*, *harms* or *cannot tell*.
    """

    key: ClassVar[str] = "cohort"

    cohort: TextColumn = column("which lapses")
    detected: IntColumn = column("lapses seen", unit="count")
    contacted: IntColumn = column("decided: to contact", unit="count")
    held_out: IntColumn = column("decided: held out", unit="count")
    undecided: IntColumn = column("nothing decided, or drawn by exploration", unit="count")
    acted: IntColumn = column("contacts with a touch on file", unit="count")
    back_contact: FloatColumn = column("verified: share back within the window, of the contacted whose window is over")
    back_hold_out: FloatColumn = column("of the held-out")
    back_undecided: FloatColumn = column("of the others, from detection")
    compared_contact: IntColumn = column("contacted episodes that may be compared", unit="count")
    compared_hold_out: IntColumn = column("held-out episodes that may be compared", unit="count")
    lift: FloatColumn = column("learned: share back because of the contact")
    lift_low: FloatColumn = column("lower bound")
    lift_high: FloatColumn = column("upper bound")
    earned: FloatColumn = column("learned: margin that a contact brought after its cost", unit="money")
    earned_low: FloatColumn = column("lower bound", unit="money")
    earned_high: FloatColumn = column("upper bound", unit="money")
    verdict: TextColumn = column("works, harms or cannot tell")

    episodes: Episodes
    window_days: int
    level: float
    currency: str | None = None
    notes: tuple[str, ...] = field(default=())

    def by(self, what: str) -> "Backdoor":
        """The same account by ``cohort``, ``stage``, ``strategy`` or ``action``."""
        if what not in _BY:
            raise ConfigError(f"by({what!r})", rule="an account is by one of its labels", remedy=nearest(what, _BY))
        return _account(self.episodes, self.episodes[what], self)

    @property
    def total(self) -> "Backdoor":
        """All cohorts together, in one row."""
        return _account(self.episodes, np.full(len(self.episodes), "all"), self)

    @property
    def steps(self) -> dict[str, int]:
        """How many lapses reached each step."""
        e = self.episodes
        return {
            "detected": len(e),
            "decided": int(np.isin(e.arm, ("contact", "hold-out", "explored")).sum()),
            "acted": int((~np.isnat(e.acted)).sum()),
            "verified": int((e.over & (e.arm != "none")).sum()),
            "learned from": int(e.comparable.sum()),
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the share that came back by cohort, contacted against held-out."""
        ax = axes(ax)
        at = np.arange(len(self))
        for shift, shares, colour, label in (
            (-0.2, self.back_contact, "#1f5f8b", "contacted"),
            (0.2, self.back_hold_out, "0.65", "held out"),
        ):
            ax.bar(at + shift, np.nan_to_num(100 * shares), 0.38, color=colour, label=label)
        ax.set_xticks(at, self.cohort, rotation=45 if len(self) > 6 else 0, fontsize=9)
        ax.set(ylabel=f"% back within {self.window_days} days", xlabel="cohort of lapses")
        ax.legend(frameon=False, fontsize=9)
        ax.set_title("lapsed customers who came back", fontsize=10)
        return ax

    def __repr__(self) -> str:
        steps = ", ".join(f"{name} {count:,}" for name, count in self.steps.items())
        if not len(self):
            return "<Backdoor: no lapse was detected>"
        all_ = self.total
        unit = f" {self.currency}" if self.currency else ""
        bounds = f"{all_.earned_low[0]:+,.2f} to {all_.earned_high[0]:+,.2f}"
        told = f"{all_.verdict[0]}: {all_.earned[0]:+,.2f}{unit} a contact after cost ({self.level:.0%} {bounds})"
        return (
            f"<Backdoor: {steps}; {told if math.isfinite(all_.earned_low[0]) else 'cannot tell what a contact brings'}>"
        )

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return Table._repr_html_(self) + (f"<ul>{notes}</ul>" if notes else "")


def backdoor(
    journal: "Journal",
    log: TransactionLog,
    *,
    window_days: int = 91,
    until: dt.date | None = None,
    strategies: tuple[str, ...] | None = ("win-back", "check-in-overdue"),
    tail: float = 0.05,
    lapsed_below: float = 0.05,
    every_days: int = 7,
    interval: float = 0.90,
) -> Backdoor:
    """What became of customers who were about to leave or had left, step by step, from the journal and the log.

    - *Detect*: on nights of the journal, ``every_days`` apart, the log is read as it stood; a customer is detected on
      the first of them on which she is overdue on her own clock, or alive with a probability below ``lapsed_below``;
      or on an earlier night on which one of ``strategies`` chose her. A purchase ends the episode, and a later silence
      begins another.
    - *Decide*: the first decision on her by one of ``strategies`` (None: by any; then let ``every_days`` be 1) since
      then and before she bought.
    - *Act*: the touch on file that carries it out, as ``journal.contacts()`` has it.
    - *Verify*: whether she bought within ``window_days`` of the decision, in either arm.
    - *Learn*: contacted against held-out, by intention to treat: the share back because of the contact, and the margin
      after cost, with the intervals of :func:`~retention.proof.intervals.compare`. Compared are episodes whose decision
      was the first on her in the whole journal: whom earlier contacts did not keep is another customer than whom
      nobody had contacted. Exploration's draws are left out.

    Returns one row a month of detection; :meth:`Backdoor.by` has it by stage, strategy or action, and ``episodes``
    every step of every lapse. ``until`` is the last day that counts (default: the log's last).

    Errors: :class:`ConfigError` for a window, step, share or interval outside its domain.

    Example:
        >>> from retention.journal import Journal
        >>> log = TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-03"], revenue=[5])
        >>> with Journal(":memory:") as journal:
        ...     backdoor(journal, log)
        <Backdoor: no lapse was detected>
    """
    for name, value, least, most in (
        ("window_days", window_days, 1, math.inf),
        ("every_days", every_days, 1, math.inf),
        ("lapsed_below", lapsed_below, 0.0, 1.0),
        ("interval", interval, 0.5, 0.99),
    ):
        if not (np.isfinite(value) and least <= value <= most):
            raise ConfigError(
                f"{name}={value!r}",
                rule=f"{name} is a number from {least:g}" + ("" if most == math.inf else f" to {most:g}"),
                remedy=f"give {name} such a number",
            )
    end = log.day.max() if len(log) else np.datetime64("NaT", "D")
    if until is not None:
        end = np.datetime64(until, "D")
    notes: list[str] = []
    bought = _Purchases(log)
    seen = _detected(journal, log, bought, end, strategies, tail, lapsed_below, every_days)
    episodes = _episodes(journal, log, bought, seen, end, window_days, strategies, notes)
    empty = _blank(episodes, window_days, interval, log.currency, tuple(notes))
    return _account(episodes, episodes.cohort, empty)


class _Purchases:
    """All purchase days, by customer, as one sorted column of keys."""

    def __init__(self, log: TransactionLog) -> None:
        stands = ~(log.is_return | log.is_cancelled) if len(log) else np.zeros(0, dtype=bool)
        self.labels: TextColumn = log.customers.labels
        self.first = int(log.day.min().astype(np.int64)) if len(log) else 0
        self.width = 2 * (int(log.day.max().astype(np.int64)) - self.first + 2) if len(log) else 2
        days = log.day[stands].astype(np.int64) if len(log) else np.zeros(0, dtype=np.int64)
        self.keys: IntColumn = np.unique(log.customers.codes.astype(np.int64)[stands] * self.width + days - self.first)

    def code(self, customer_id: TextColumn) -> IntColumn:
        """Position of each id among the log's; -1 for strangers."""
        return _among(self.labels, customer_id)

    def key(self, code: IntColumn, day: DayColumn) -> IntColumn:
        within = np.clip(day.astype(np.int64) - self.first, -1, self.width // 2)
        return code * self.width + within

    def last(self, code: IntColumn, day: DayColumn) -> DayColumn:
        """Each customer's last purchase on the day or before; NaT if there is none."""
        return self._at(code, np.searchsorted(self.keys, self.key(code, day), side="right") - 1)

    def next(self, code: IntColumn, day: DayColumn) -> DayColumn:
        """Each customer's first purchase after the day; NaT if there is none."""
        return self._at(code, np.searchsorted(self.keys, self.key(code, day), side="right"))

    def _at(self, code: IntColumn, at: IntColumn) -> DayColumn:
        there = (at >= 0) & (at < len(self.keys))
        found = self.keys[np.clip(at, 0, max(len(self.keys) - 1, 0))] if len(self.keys) else np.zeros_like(code)
        there &= (found // self.width == code) & (code >= 0)
        days = (found % self.width + self.first).astype("datetime64[D]")
        return np.where(there, days, np.datetime64("NaT", "D"))


@frozen(eq=False, kw_only=True)
class _Seen:
    code: IntColumn
    last_at: DayColumn
    night: DayColumn
    lapsed: BoolColumn


def _detected(
    journal: "Journal",
    log: TransactionLog,
    bought: _Purchases,
    end: np.datetime64,
    strategies: tuple[str, ...] | None,
    tail: float,
    lapsed_below: float,
    every_days: int,
) -> _Seen:
    """The lapses, each with the first night on which it showed, in order of customer and purchase."""
    parts: list[tuple[IntColumn, DayColumn, DayColumn, BoolColumn]] = []
    looked = np.datetime64("NaT", "D")
    for night in journal.nights().as_of if len(log) else ():
        if night > end or night < log.day.min() or night < looked + np.timedelta64(every_days, "D"):
            continue
        looked = night
        base = summarize(log, as_of=night.item(), habits=False)
        outlook = anticipate(base, tail=tail)
        lapsed = outlook.p_alive < lapsed_below
        silent = outlook.overdue | lapsed
        code = bought.code(base.customer_id[silent])
        parts.append((code, base.last_at[silent], np.full(len(code), night), lapsed[silent]))
    if strategies is not None:
        # Nights lie between those looked at: whom one of these strategies chose was seen on that night.
        told = journal.decisions()
        told = told.take(np.isin(told.strategy, strategies) & (told.as_of <= end))
        code = bought.code(told.customer_id)
        last_at = bought.last(code, told.as_of)
        here = ~np.isnat(last_at)
        parts.append((code[here], last_at[here], told.as_of[here], told.strategy[here] == WinBack().name))
    if not sum(len(code) for code, *_ in parts):
        none = np.zeros(0, dtype=np.int64)
        days = none.astype("datetime64[D]")
        return _Seen(code=none, last_at=days, night=days, lapsed=none.astype(bool))
    code, last_at, night, lapsed = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(night, kind="stable")
    code, last_at, night, lapsed = code[order], last_at[order], night[order], lapsed[order]
    _, first = np.unique(bought.key(code, last_at), return_index=True)  # the first night of each
    return _Seen(code=code[first], last_at=last_at[first], night=night[first], lapsed=lapsed[first])


def _among(labels: TextColumn, wanted: TextColumn) -> IntColumn:
    if not len(labels):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(labels, kind="stable")
    at = order[np.minimum(np.searchsorted(labels, wanted, sorter=order), len(labels) - 1)]
    return np.where(labels[at] == wanted, at, -1).astype(np.int64)


def _episodes(
    journal: "Journal",
    log: TransactionLog,
    bought: _Purchases,
    seen: _Seen,
    end: np.datetime64,
    window_days: int,
    strategies: tuple[str, ...] | None,
    notes: list[str],
) -> Episodes:
    decisions = journal.decisions()
    known = bought.code(decisions.customer_id)
    if (known < 0).any():
        notes.append(f"{int((known < 0).sum()):,} decisions are on customers who are forgotten or not in the log")
    decisions, known = decisions.take(known >= 0), known[known >= 0]
    ours = np.ones(len(decisions), dtype=bool) if strategies is None else np.isin(decisions.strategy, strategies)
    never, code, night = np.datetime64("NaT", "D"), seen.code, seen.night
    back_at = bought.next(code, night)

    # Her first decision since that night, by one of the strategies, on a night on which she had not bought.
    at = _first_since(bought, known[ours], decisions.as_of[ours], code, night)
    row = np.flatnonzero(ours)[at] if ours.any() else np.zeros(len(at), dtype=np.int64)
    there = (at >= 0) & ~((decisions.as_of[row] >= back_at) if len(decisions) else np.ones(len(at), dtype=bool))
    row = np.where(there, row, 0)

    def of(name: str, empty: Any) -> Any:
        values = decisions[name]
        return np.where(there, values[row], empty) if len(values) else np.full(len(row), empty)

    decided = of("as_of", never)
    explored = of("explored", False).astype(bool)
    arm = np.where(explored, "explored", of("arm", "none")).astype("<U8")
    begin = np.where(np.isnat(decided), night, decided)
    close: DayColumn = (begin + np.timedelta64(window_days, "D")).astype("datetime64[D]")
    over: BoolColumn = np.asarray(close <= end)
    fresh = np.zeros(len(row), dtype=bool)
    if len(decisions):
        first_ever = np.full(len(bought.labels), _FAR)
        np.minimum.at(first_ever, known, decisions.as_of.astype(np.int64))
        fresh = first_ever[code] == begin.astype(np.int64)
    paid = decisions.arm == "contact"
    tried = there & np.isin(arm, ("contact", "hold-out")) & over
    if (tried & ~fresh).any():
        notes.append(
            f"{int((tried & ~fresh).sum()):,} lapses of customers on whom something had been decided before are not "
            "compared: who stays away in spite of a contact is not like who was never contacted"
        )
    return Episodes(
        customer_id=bought.labels[code],
        last_at=seen.last_at,
        detected=night,
        stage=np.where(seen.lapsed, "lapsed", "overdue"),
        cohort=night.astype("datetime64[M]").astype(np.str_),
        decided=decided,
        arm=arm,
        strategy=of("strategy", ""),
        action=of("action", ""),
        acted=_acted(journal, bought, code, decided, arm == "contact", end, notes),
        back_at=back_at,
        back=~np.isnat(back_at) & (back_at <= close),
        over=over,
        margin=_summed(log, code, begin, close),
        cost=_within(bought, known[paid], decisions.as_of[paid], decisions.money[paid], code, begin, close),
        probability=of("probability", 0.0).astype(np.float64),
        comparable=tried & fresh,
    )


def _first_since(bought: _Purchases, known: IntColumn, on: DayColumn, code: IntColumn, since: DayColumn) -> IntColumn:
    """Position of each customer's first event on the day or after it; -1 for none."""
    if not len(known):
        return np.full(len(code), -1, dtype=np.int64)
    order = np.lexsort((on, known))
    keys = _wide(known[order], on[order])
    at = np.searchsorted(keys, _wide(code, since), side="left")
    found = order[np.minimum(at, len(order) - 1)]
    return np.where((at < len(order)) & (known[found] == code), found, -1).astype(np.int64)


def _wide(code: IntColumn, day: DayColumn) -> IntColumn:
    """One number that orders by customer and then by day (of the years 1 to 9999)."""
    return code * 8_000_000 + day.astype("datetime64[D]").astype(np.int64) + 1_000_000


def _acted(
    journal: "Journal",
    bought: _Purchases,
    code: IntColumn,
    decided: DayColumn,
    contact: BoolColumn,
    end: np.datetime64,
    notes: list[str],
) -> DayColumn:
    """The day of the touch that carries out each contact decided, as far as it is on file by the end."""
    acted: DayColumn = np.full(len(code), np.datetime64("NaT", "D"))
    if not contact.any():
        return acted
    made = journal.contacts()
    made = made.take((made.status == "done") & (made.at <= end))
    if not len(made):
        notes.append("no contact is on file as made: record touches, or the step 'acted' tells nothing")
        return acted
    at = _first_since(bought, bought.code(made.customer_id), made.planned_at, code[contact], decided[contact])
    # One plan a customer and night; of a later plan's contact it is another step.
    acted[contact] = np.where((at >= 0) & (made.planned_at[at] == decided[contact]), made.at[at], acted[contact])
    return acted


def _summed(log: TransactionLog, code: IntColumn, begin: DayColumn, close: DayColumn) -> FloatColumn:
    """Margin of each customer after the first day, up to the last."""
    if not len(code):
        return np.zeros(0)
    owner, day = log.customers.codes.astype(np.int64), log.day
    order = np.lexsort((day, owner))
    keys = _wide(owner[order], day[order])
    heap = np.concatenate([[0], np.cumsum(log.margin.minor[order].astype(np.int64))])
    low, high = (np.searchsorted(keys, _wide(code, at), side="right") for at in (begin, close))
    sums: FloatColumn = (heap[high] - heap[low]) / 10.0**log.margin.decimals
    return sums


def _within(
    bought: _Purchases,
    known: IntColumn,
    on: DayColumn,
    money: FloatColumn,
    code: IntColumn,
    begin: DayColumn,
    close: DayColumn,
) -> FloatColumn:
    """What contacts cost from the first day on and before the last."""
    order = np.lexsort((on, known))
    keys = _wide(known[order], on[order])
    heap = np.concatenate([[0.0], np.cumsum(money[order])])
    low, high = (np.searchsorted(keys, _wide(code, at), side="left") for at in (begin, close))
    spent: FloatColumn = heap[high] - heap[low]
    return np.where(np.abs(spent) < 1e-9, 0.0, spent)


def _blank(
    episodes: Episodes, window_days: int, level: float, currency: str | None, notes: tuple[str, ...]
) -> Backdoor:
    columns: dict[str, Any] = {one.name: [] for one in attrs.fields(Backdoor) if one.metadata.get("column")}
    return Backdoor(
        **columns,
        episodes=episodes,
        window_days=window_days,
        level=level,
        currency=currency,
        notes=notes,
        provenance=Provenance(notes=notes),
    )


def _account(episodes: Episodes, labels: TextColumn, like: Backdoor) -> Backdoor:
    """One row a label, in the labels' order; episodes without one (nothing decided) are left to cohorts and stages."""
    rows = [_row(name, episodes.take(labels == name), like) for name in np.unique(labels).tolist() if name]
    columns: dict[str, Any] = {name: np.asarray([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    return attrs.evolve(like, **columns)


def _row(name: str, episodes: Episodes, like: Backdoor) -> dict[str, Any]:
    contact, held = episodes.arm == "contact", episodes.arm == "hold-out"
    other = ~(contact | held)

    def share(mask: BoolColumn) -> float:
        mask = mask & episodes.over
        return float(episodes.back[mask].mean()) if mask.any() else math.nan

    told, group = _alike(episodes.take(episodes.comparable))
    treated = told.arm == "contact"
    least = min(int(treated.sum()), int((~treated).sum()))
    row: dict[str, Any] = {
        "cohort": name,
        "detected": len(episodes),
        "contacted": int(contact.sum()),
        "held_out": int(held.sum()),
        "undecided": int(other.sum()),
        "acted": int((~np.isnat(episodes.acted)).sum()),
        "back_contact": share(contact),
        "back_hold_out": share(held),
        "back_undecided": share(other),
        "compared_contact": int(treated.sum()),
        "compared_hold_out": int((~treated).sum()),
    }
    for what, values in (("lift", told.back.astype(np.float64)), ("earned", told.margin - told.cost)):
        if least < LEAST_CUSTOMERS:
            row |= {what: math.nan, f"{what}_low": -math.inf, f"{what}_high": math.inf}
            continue
        found = compare(values, treated, group, level=like.level)
        row |= {what: found.value, f"{what}_low": found.low, f"{what}_high": found.high}
    row["verdict"] = "works" if row["earned_low"] > 0 else "harms" if row["earned_high"] < 0 else "cannot tell"
    return row


def _alike(episodes: Episodes) -> tuple[Episodes, IntColumn]:
    """Episodes in groups of one probability that have both arms, and their groups."""
    _, group = np.unique(np.round(episodes.probability, 9), return_inverse=True)
    group = group.reshape(len(episodes))
    treated = episodes.arm == "contact"
    both = np.isin(group, group[treated]) & np.isin(group, group[~treated])
    return episodes.take(both), group[both].astype(np.int64)
