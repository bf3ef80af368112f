"""Who may be contacted at all, through which channel and for what."""

import numpy as np
from attrs import field, frozen

from retention.frames.table import BoolColumn, IntColumn
from retention.plan.policies._shared import (
    KINDS,
    Filtered,
    answer,
    coded,
    consent_rows,
    own_name,
    rule_name,
    some_kinds,
    some_words,
    whole,
    words,
)
from retention.plan.proposals import Proposals, Review
from retention.plan.situation import Situation
from retention.timing.causes import DECEASED, UNCONTROLLABLE

__all__ = ["ConsentPolicy", "DoNotContact", "OpenComplaint", "Deceased", "UncontrollableCause", "NO_CONSENT_DATA"]

NO_CONSENT_DATA = "no consent data were given, so every channel that needs consent is closed"


@frozen
class ConsentPolicy:
    """No contact through a channel that needs consent without a recorded one, by channel and purpose.

    No record means no. When no consent data were given at all, every such proposal is refused and the reason says so.
    With ``valid_days`` a permission lapses that many days after it was given; one without a date has lapsed.
    """

    valid_days: int | None = field(default=None, validator=whole(1, optional=True))
    name: str = own_name("consent")

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse what needs a consent that is not on file on the plan's day."""
        n = len(proposals)
        needed = np.asarray([a.needs_consent for a in proposals.actions], dtype=bool)[proposals.action]
        if situation.consents is None:
            return answer(needed, np.zeros(n, dtype=np.int64), lambda _: NO_CONSENT_DATA)
        on_file = _OnFile(situation)
        lacking, why, texts = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64), []
        for index, action in enumerate(proposals.actions):
            if not action.needs_consent:
                continue
            here = np.flatnonzero(proposals.action == index)
            granted, given = on_file.latest(action.channel.strip().casefold(), action.purpose.strip().casefold())
            row = proposals.base_row[here]
            lapsed = granted & (on_file.today - given >= self.valid_days) if self.valid_days is not None else ~granted
            texts += [
                f"no consent on file for {action.channel} ({action.purpose})",
                f"her consent for {action.channel} ({action.purpose}) is more than {self.valid_days} days old",
            ]
            old = granted[row] & lapsed[row]
            lacking[here] = ~granted[row] | old
            why[here] = len(texts) - 2 + old
        return answer(lacking, why, lambda number: texts[number])


class _OnFile:
    """The consents of a situation, by customer."""

    def __init__(self, situation: Situation) -> None:
        consents = situation.consents
        assert consents is not None
        self.size, self.today = len(situation), int(np.datetime64(situation.as_of, "D").astype(np.int64))
        rows = consent_rows(situation)
        dated = ~np.isnat(consents.at)
        day = np.where(dated, consents.at.astype(np.int64), np.iinfo(np.int64).min // 2)
        known = np.flatnonzero((rows >= 0) & (day <= self.today))
        # A later record comes later, and of one day's records a withdrawal comes last.
        known = known[np.lexsort((~consents.granted[known], day[known]))]
        self.row, self.day, self.granted = rows[known], day[known], consents.granted[known]
        self.channel, self.channels = coded(consents.channel[known])
        self.purpose, self.purposes = coded(consents.purpose[known])

    def latest(self, channel: str, purpose: str) -> tuple[BoolColumn, IntColumn]:
        """Whether each customer's latest record allows it, and its day (long ago if unknown)."""
        same = (self.channel == self.channels.get(channel, -1)) & (self.purpose == self.purposes.get(purpose, -1))
        asked = np.flatnonzero(same)
        last = np.full(self.size, -1, dtype=np.int64)
        np.maximum.at(last, self.row[asked], asked)
        granted, day = np.zeros(self.size, dtype=bool), np.full(self.size, np.iinfo(np.int64).min // 2)
        some = last >= 0
        granted[some], day[some] = self.granted[last[some]], self.day[last[some]]
        return granted, day


@frozen
class DoNotContact:
    """No contact at all with those who asked to be left alone."""

    name: str = own_name("do-not-contact")

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse everything for them."""
        named = situation.mask_of(situation.do_not_contact)[proposals.base_row]
        return answer(named, np.zeros(len(proposals), dtype=np.int64), lambda _: "she is on the do-not-contact list")


@frozen
class OpenComplaint(Filtered):
    """While a complaint is open it is answered first: no gifts, no requests, no thanks, no reminders.

    ``blocks`` are the kinds of action that wait. With a filter only such contacts wait: ``purpose="marketing"`` lets
    through what she needs for an order under way.
    """

    blocks: tuple[str, ...] = field(
        default=tuple(kind for kind in KINDS if kind not in ("connect", "wait")),
        converter=words,
        validator=some_kinds,
    )
    name: str = rule_name("open-complaint")

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse the blocked kinds of action for those who wait for an answer."""
        waiting = situation.mask_of(situation.open_complaints)[proposals.base_row]
        blocked = np.asarray([a.kind in self.blocks for a in proposals.actions], dtype=bool)[proposals.action]
        refused = waiting & blocked & self.concerns(proposals)
        return answer(
            refused, np.zeros(len(proposals), dtype=np.int64), lambda _: "a complaint of hers is open and comes first"
        )


@frozen
class Deceased:
    """No contact of any kind with those of whom it is on file that they died: not even a farewell, by a machine."""

    causes: tuple[str, ...] = field(default=DECEASED, converter=words, validator=some_words)
    name: str = own_name("deceased")

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse everything for them."""
        dead = situation.leaving(self.causes, anywhere=True)  # "deceased 2011" is not read as something else
        return answer(dead[proposals.base_row], np.zeros(len(proposals), dtype=np.int64), lambda _: "she has died")


@frozen
class UncontrollableCause:
    """Nothing is spent on keeping whom nobody can keep: who moves away is handed over (``"connect"``), not saved."""

    causes: tuple[str, ...] = field(default=UNCONTROLLABLE, converter=words, validator=some_words)
    allows: tuple[str, ...] = field(default=("connect",), converter=words, validator=some_kinds)
    name: str = own_name("uncontrollable-cause")

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse all other kinds of action for those who leave for such a cause."""
        theirs = situation.leaving(self.causes)[proposals.base_row]
        other = np.asarray([a.kind not in self.allows for a in proposals.actions], dtype=bool)[proposals.action]
        return answer(
            theirs & other,
            np.zeros(len(proposals), dtype=np.int64),
            lambda _: "she leaves for a cause that no contact can change: hand her over instead",
        )
