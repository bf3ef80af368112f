"""Where the effort went: what was done of what was planned, and on whom it was spent.

A planned contact counts as a touch, on its plan's day, until it is called off or its touch is on file; then on the day
of that.
"""

import datetime as dt
from typing import Any, ClassVar

import numpy as np
from attrs import frozen

from retention.domain.days import as_day
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.histories import Histories
from retention.journal import Journal
from retention.proof._shared import UNKNOWN, finished, rows_of, shares
from retention.tiers.tiering import Tiering
from retention.value.accounts.costs import ServingCosts

__all__ = ["AdherenceByAction", "EffortSplit", "adherence_by_action", "effort_split"]


@frozen(eq=False, repr=False, kw_only=True)
class AdherenceByAction(Table):
    """One row an action that was planned, the most planned first; ``planned = done + open + called_off``."""

    key: ClassVar[str] = "action"

    action: TextColumn = column("what was planned")
    planned: IntColumn = column("contacts decided", unit="count")
    done: IntColumn = column("of them, those that a touch on file carries out", unit="count")
    open: IntColumn = column("of them, those of which nothing is on file", unit="count")
    called_off: IntColumn = column("of them, those that were called off", unit="count")
    share: FloatColumn = column("done of planned")

    def plot(self, ax: Any = None) -> Any:
        """Draw done, open and called off for each action, and return the axes."""
        ax = axes(ax)
        left = np.zeros(len(self))
        parts = (("done", "#1f5a7a"), ("open", "#b08a3c"), ("called_off", "#bbbbbb"))
        for name, color in parts:
            ax.barh(self.action, self[name], left=left, color=color, label=name.replace("_", " "))
            left = left + self[name]
        return finished(ax, "planned contacts")

    def __repr__(self) -> str:
        return f"<AdherenceByAction: {self.done.sum():,} of {self.planned.sum():,} planned contacts done>"


@frozen(eq=False, repr=False, kw_only=True)
class EffortSplit(Table):
    """One row a group of customers: what of the effort went to them. Each division has all of it; its shares sum to 1.

    ``division`` is ``"customers"`` (existing, new, unknown) or ``"tier"``. *New* is who had made her first purchase
    less than ``new_days`` before the touch, or had not made it yet; *unknown* is who is not in the base, or forgotten.
    """

    key: ClassVar[str] = "group"

    division: TextColumn = column("'customers' or 'tier'")
    group: TextColumn = column("which of them")
    customers: IntColumn = column("different customers touched", unit="count")
    touches: IntColumn = column("contacts that went out", unit="count")
    touches_share: FloatColumn = column("of all touches")
    money: FloatColumn = column("the most that they cost", unit="money")
    money_share: FloatColumn = column("of all that money; 0 if none was spent")
    hours: FloatColumn = column("attention", unit="hours")
    base: IntColumn = column("customers of the base in that group", unit="count")

    since: dt.date | None = None
    until: dt.date | None = None
    new_days: int = 90
    currency: str | None = None

    def plot(self, ax: Any = None) -> Any:
        """Draw the shares of touches and money by group, and return the axes."""
        ax = axes(ax)
        y = np.arange(len(self))[::-1]
        ax.barh(y + 0.2, self.touches_share, 0.38, color="#1f5a7a", label="touches")
        ax.barh(y - 0.2, self.money_share, 0.38, color="#b08a3c", label="money")
        ax.set_yticks(y, [f"{d}: {g}" for d, g in zip(self.division, self.group, strict=True)])
        return finished(ax, "share of the effort")


def adherence_by_action(journal: Journal) -> AdherenceByAction:
    """Planned, done, open and called off by action; ``journal.adherence()`` has them by night.

    Example:
        >>> with Journal(":memory:") as journal:
        ...     adherence_by_action(journal)
        <AdherenceByAction: 0 of 0 planned contacts done>
    """
    contacts = journal.contacts()
    contacts = contacts.take(contacts.status != "not planned")
    names, of = np.unique(contacts.action, return_inverse=True)
    of = of.reshape(len(contacts))
    count = {
        status: np.bincount(of[contacts.status == status], minlength=len(names)).astype(np.int64)
        for status in ("done", "open", "called off")
    }
    planned = np.bincount(of, minlength=len(names)).astype(np.int64)
    return AdherenceByAction(
        action=names,
        planned=planned,
        done=count["done"],
        open=count["open"],
        called_off=count["called off"],
        share=shares(count["done"], planned),
    ).take(np.lexsort((names, -planned)))


def effort_split(
    journal: Journal,
    histories: Histories,
    tiering: Tiering,
    *,
    since: str | dt.date | None = None,
    until: str | dt.date | None = None,
    new_days: int = 90,
    costs: ServingCosts | None = None,
) -> EffortSplit:
    """Touches, money and hours by existing and new customers and by tier, from ``since`` to ``until``.

    Every touch is in one group of each division; who cannot be told is *unknown*. Money is what the plan said the
    contact costs at most; touches without a plan cost what ``costs`` says of their channel, else nothing, and a note
    counts them. Tiers are those of ``tiering``, today's, not those of the day of the touch.
    """
    contacts = journal.contacts().counted
    if since is not None:
        contacts = contacts.take(contacts.at >= np.datetime64(as_day(since), "D"))
    if until is not None:
        contacts = contacts.take(contacts.at <= np.datetime64(as_day(until), "D"))
    money, notes = contacts.money.copy(), []
    unplanned = contacts.status == "not planned"
    if costs is not None:
        each = {
            channel: float(costs.of_contact(channel)) for channel in np.unique(contacts.channel[unplanned]).tolist()
        }
        money[unplanned] = [each[channel] for channel in contacts.channel[unplanned].tolist()]
    elif unplanned.any():
        notes.append(f"{int(unplanned.sum()):,} touches without a plan count as free; pass costs= to price them")
    if (contacts.status == "open").any():
        notes.append(
            f"{int((contacts.status == 'open').sum()):,} planned contacts count of which nothing is on file yet"
        )

    row = rows_of(contacts.customer_id, histories.customer_id)
    first = np.where(
        row >= 0, histories.first_at[row] if len(histories) else np.datetime64("NaT", "D"), np.datetime64("NaT", "D")
    )
    age = contacts.at - first
    kind = np.where(age >= np.timedelta64(new_days, "D"), "existing", "new")
    kind = np.where(np.isnat(first), UNKNOWN, kind)
    place = rows_of(contacts.customer_id, tiering.customer_id)
    tier = np.where(place >= 0, tiering.tier[place] if len(tiering) else UNKNOWN, UNKNOWN)
    today = None if histories.as_of is None else np.datetime64(histories.as_of, "D")
    grown = histories.age_days >= new_days if today is not None else np.zeros(len(histories), dtype=bool)
    divisions = (
        ("customers", kind, {"existing": int(grown.sum()), "new": int((~grown).sum()), UNKNOWN: 0}),
        (
            "tier",
            tier,
            {t.name: int((tiering.tier == t.name).sum()) for t in sorted(tiering.tiers, key=lambda t: -t.rank)}
            | {UNKNOWN: 0},
        ),
    )
    rows = [
        (
            division,
            group,
            len(np.unique(contacts.customer_id[mine])),
            int(mine.sum()),
            float(money[mine].sum()),
            float(contacts.hours[mine].sum()),
            base,
        )
        for division, label, groups in divisions
        for group, base in (groups | dict.fromkeys(sorted(set(label.tolist()) - set(groups)), 0)).items()
        for mine in [label == group]
    ]
    division, group, customers, touches, spent, hours, base = zip(*rows, strict=True)
    return EffortSplit(
        division=np.asarray(division),
        group=np.asarray(group),
        customers=np.asarray(customers, dtype=np.int64),
        touches=np.asarray(touches, dtype=np.int64),
        touches_share=shares(np.asarray(touches), len(contacts)),
        money=np.asarray(spent),
        money_share=shares(np.asarray(spent), float(money.sum())),
        hours=np.asarray(hours),
        base=np.asarray(base, dtype=np.int64),
        since=None if since is None else as_day(since),
        until=None if until is None else as_day(until),
        new_days=new_days,
        currency=histories.currency,
        provenance=Provenance(data=histories.provenance.data, notes=tuple(notes)),
    )
