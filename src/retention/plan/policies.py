"""The built-in contact policies: who may not be contacted, how often is too often.

A policy may refuse and never adds. What is unknown counts against the contact: no consent on file, a touch without a
date, a direction that is not plainly inbound.
"""

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError
from retention.frames.table import BoolColumn, DayColumn, IntColumn
from retention.plan.proposals import ContactPolicy, Proposals, Review
from retention.plan.situation import Situation
from retention.timing.causes import DECEASED, UNCONTROLLABLE

__all__ = [
    "ConsentPolicy",
    "FrequencyCap",
    "MinimumGap",
    "DoNotContact",
    "OpenComplaint",
    "Deceased",
    "UncontrollableCause",
    "NO_CONSENT_DATA",
    "built_in_policies",
]

NO_CONSENT_DATA = "no consent data were given, so every channel that needs consent is closed"


def _whole(least: int) -> Callable[[Any, "attrs.Attribute[int]", int], None]:
    def check(instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(
                f"{type(instance).__name__}({attribute.name}={value!r})",
                rule=f"a whole number of {least} or more",
                remedy=f"give {attribute.name} such a number",
            )

    return check


@frozen
class ConsentPolicy:
    """No contact through a channel that needs consent without a recorded one, by channel and purpose.

    No record means no. When no consent data were given at all, every such proposal is refused and the reason says so.
    """

    name: str = field(default="consent", init=False)

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse what needs a consent that is not on file on the plan's day."""
        needed = proposals.of_actions("needs_consent").astype(bool)
        if situation.consents is None:
            return Review.veto(needed, NO_CONSENT_DATA)
        refused = np.zeros(len(proposals), dtype=bool)
        reason = np.full(len(proposals), "", dtype=object)
        for index, action in enumerate(proposals.actions):
            here = np.flatnonzero(needed & (proposals.action == index))
            granted = situation.consents.granted_to(action.channel, on=situation.as_of, purpose=action.purpose)
            missing = here[~np.isin(proposals.customer_id[here], np.asarray(sorted(granted), dtype=np.str_))]
            refused[missing] = True
            reason[missing] = f"no consent on file for {action.channel} ({action.purpose})"
        return Review.veto(refused, reason.tolist())


@frozen
class FrequencyCap:
    """At most ``max_contacts`` outbound contacts in any ``days`` days in a row, the plan's day included."""

    max_contacts: int = field(default=2, validator=_whole(0))
    days: int = field(default=28, validator=_whole(1))
    name: str = field(default="frequency-cap", init=False)

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse the contact that would be one too many."""
        rows, ago = _outbound(situation)
        count = np.bincount(rows[ago < self.days], minlength=len(situation))[proposals.base_row]
        refused = count >= self.max_contacts
        reason = [
            f"{int(c)} contacts in the last {self.days} days, at most {self.max_contacts} are allowed" if r else ""
            for c, r in zip(count, refused, strict=True)
        ]
        return Review.veto(refused, reason)


@frozen
class MinimumGap:
    """At least ``days`` days from one outbound contact to the next."""

    days: int = field(default=7, validator=_whole(0))
    name: str = field(default="minimum-gap", init=False)

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse the contact that would come too soon after the last."""
        rows, ago = _outbound(situation)
        last = np.full(len(situation), np.iinfo(np.int64).max)
        np.minimum.at(last, rows, ago)
        since = last[proposals.base_row]
        refused = since < self.days
        reason = [
            (f"last contact {int(d)} days ago" if d else "a contact without a known date")
            + f", at least {self.days} days must lie between"
            if r
            else ""
            for d, r in zip(since, refused, strict=True)
        ]
        return Review.veto(refused, reason)


@frozen
class DoNotContact:
    """No contact at all with those who asked to be left alone."""

    name: str = field(default="do-not-contact", init=False)

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse everything for them."""
        return Review.veto(_named(situation.do_not_contact, proposals, situation), "she is on the do-not-contact list")


@frozen
class OpenComplaint:
    """While a complaint is open it is answered first: no gifts, no requests, no thanks, no reminders."""

    blocks: tuple[str, ...] = field(default=("give", "ask", "thank", "remind"), converter=tuple)
    name: str = field(default="open-complaint", init=False)

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse the blocked kinds of action for those who wait for an answer."""
        waiting = _named(situation.open_complaints, proposals, situation)
        blocked = np.isin(proposals.of_actions("kind"), self.blocks)
        return Review.veto(waiting & blocked, "a complaint of hers is open and comes first")


@frozen
class Deceased:
    """No contact of any kind with those of whom it is on file that they died: not even a farewell, by a machine."""

    causes: tuple[str, ...] = field(default=DECEASED, converter=tuple)
    name: str = field(default="deceased", init=False)

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse everything for them."""
        dead = situation.leaving(self.causes, anywhere=True)  # "deceased 2011" is not read as something else
        return Review.veto(dead[proposals.base_row], "she has died")


@frozen
class UncontrollableCause:
    """Nothing is spent on keeping whom nobody can keep: who moves away is handed over (``"connect"``), not saved."""

    causes: tuple[str, ...] = field(default=UNCONTROLLABLE, converter=tuple)
    allows: tuple[str, ...] = field(default=("connect",), converter=tuple)
    name: str = field(default="uncontrollable-cause", init=False)

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse all other kinds of action for those who leave for such a cause."""
        theirs = situation.leaving(self.causes)[proposals.base_row]
        other = ~np.isin(proposals.of_actions("kind"), self.allows)
        return Review.veto(theirs & other, "she leaves for a cause that no contact can change: hand her over instead")


def built_in_policies() -> tuple[ContactPolicy, ...]:
    """All built-in policies with their defaults: what a plan uses when none are named."""
    return (
        ConsentPolicy(),
        DoNotContact(),
        Deceased(),
        UncontrollableCause(),
        FrequencyCap(),
        MinimumGap(),
        OpenComplaint(),
    )


def _named(customer_ids: frozenset[str], proposals: Proposals, situation: Situation) -> BoolColumn:
    mask: BoolColumn = situation.mask_of(customer_ids)[proposals.base_row]
    return mask


def _outbound(situation: Situation) -> tuple[IntColumn, IntColumn]:
    """Base row and days before the plan's day of each outbound touch; an unknown date counts as today."""
    touches = situation.touches
    rows = situation.rows_of(touches.customer_id)
    counted = (rows >= 0) & (touches.direction != "in")
    return rows[counted], _days_ago(touches.at[counted], situation)


def _days_ago(at: DayColumn, situation: Situation) -> IntColumn:
    today = np.datetime64(situation.as_of, "D")
    days = (today - np.where(np.isnat(at), today, at)).astype(np.int64)
    return np.maximum(days, 0)
