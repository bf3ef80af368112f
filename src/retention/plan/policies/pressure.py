"""How often is too often: caps, gaps, gives before asks, and her own limit."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError
from retention.frames.table import IntColumn
from retention.plan.policies._shared import (
    KINDS,
    Filtered,
    Outbound,
    among,
    answer,
    own_name,
    rule_name,
    some_kinds,
    text,
    unknown,
    whole,
    words,
)
from retention.plan.proposals import Proposals, Review
from retention.plan.situation import Situation

__all__ = ["FrequencyCap", "MinimumGap", "GivesBeforeAsk", "Saturation"]

_NEVER = np.iinfo(np.int64).max


@frozen
class FrequencyCap(Filtered):
    """At most ``max_contacts`` outbound contacts in any ``days`` days in a row, the plan's day included.

    With ``channel``, ``action_kind`` or ``purpose`` it is about such contacts only: it counts them and refuses them.
    Contacts on file have no purpose, so a cap for a purpose counts all of its channels and kinds.

    Example:
        >>> FrequencyCap().name, FrequencyCap(max_contacts=1, days=90, action_kind="ask").name
        ('frequency-cap', 'frequency-cap-ask')
    """

    monotone: ClassVar[bool] = True

    max_contacts: int = field(default=2, validator=whole(0))
    days: int = field(default=28, validator=whole(1))
    name: str = rule_name("frequency-cap")

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse the contact that would be one too many."""
        out = Outbound.of(situation)
        recent = (out.ago < self.days) & self.counted(out.touches)
        count = np.bincount(out.row[recent], minlength=len(situation))[proposals.base_row]
        refused = self.concerns(proposals) & (count >= self.max_contacts)
        return answer(
            refused,
            count,
            lambda c: f"{c} contacts{self.about} in the last {self.days} days, at most {self.max_contacts} are allowed",
        )


@frozen
class MinimumGap(Filtered):
    """At least ``days`` days from one outbound contact to the next; with a filter, from one such contact to the next.

    Example:
        >>> MinimumGap(days=3, channel="phone").name
        'minimum-gap-phone'
    """

    monotone: ClassVar[bool] = True

    days: int = field(default=7, validator=whole(0))
    name: str = rule_name("minimum-gap")

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse the contact that would come too soon after the last."""
        out = Outbound.of(situation)
        counts = self.counted(out.touches)
        last = np.full(len(situation), _NEVER)
        np.minimum.at(last, out.row[counts], out.ago[counts])
        since = last[proposals.base_row]

        def say(d: int) -> str:
            told = f"last contact{self.about} {d} days ago" if d else "a contact without a known date"
            return f"{told}, at least {self.days} days must lie between"

        return answer(self.concerns(proposals) & (since < self.days), since, say)


@frozen
class GivesBeforeAsk:
    """An ask only after ``gives`` gives since the last one.

    ``counts`` are the kinds of contact that give: something, thanks, or somebody to turn to. ``asks`` are those that
    request. A reminder is neither: it serves her and sells at once. Counted are outbound contacts on days after the
    day of the last ask; before the first ask, all of them. What is unknown counts against the ask: a contact of no
    known kind may have been an ask, an ask without a date was today, and a give has a date and plainly went out.

    Example:
        >>> GivesBeforeAsk().gives
        2
    """

    gives: int = field(default=2, validator=whole(1))
    counts: tuple[str, ...] = field(default=("give", "thank", "connect"), converter=words, validator=some_kinds)
    asks: tuple[str, ...] = field(default=("ask",), converter=words, validator=some_kinds)
    name: str = own_name("gives-before-ask")

    def __attrs_post_init__(self) -> None:
        both = sorted({*self.counts} & {*self.asks})
        if both or not self.counts or not self.asks:
            raise ConfigError(
                f"GivesBeforeAsk(counts={list(self.counts)}, asks={list(self.asks)})",
                rule="there are kinds that give and kinds that ask, and none does both",
                remedy=f"take {both[0]!r} out of one of them" if both else "name at least one kind in each",
            )

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse the ask that comes too early."""
        out = Outbound.of(situation)
        kinds = out.touches.kind
        asked = among(kinds, self.asks) | ~among(kinds, KINDS)
        last = np.full(len(situation), _NEVER)  # days since the last ask
        np.minimum.at(last, out.row[asked], out.ago[asked])
        # Days 0 is a contact without a date: an ask of today, and no give.
        gave = among(kinds, self.counts) & out.plainly & (out.ago > 0) & (out.ago < last[out.row])
        given = np.bincount(out.row[gave], minlength=len(situation))
        ever = last < _NEVER
        count = given[proposals.base_row]
        ask = np.asarray([a.kind in self.asks for a in proposals.actions], dtype=bool)[proposals.action]
        told = 2 * count + ever[proposals.base_row]

        def say(number: int) -> str:
            c, since = number // 2, " since the last ask" if number % 2 else " so far"
            return f"{c} gives{since}, {self.gives} come before an ask"

        return answer(ask & (count < self.gives), told, say)


def _by_id(given: Any) -> Any:
    return {str(who): limit for who, limit in given.items()} if isinstance(given, Mapping) else given


def _is_by_id(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not isinstance(value, dict):
        raise ConfigError(
            f"Saturation(limits=a {type(value).__name__})",
            rule="limits says by customer id how many contacts she takes",
            remedy="pass a mapping, or put the numbers into an attribute",
        )


@frozen
class Saturation(Filtered):
    """At most as many contacts in ``days`` days as *she* answers to: a number of her own.

    Her number is looked up in ``limits`` (by customer id: what a measured cadence says), else in the attribute named
    ``attribute`` of the situation or of its histories (a mapping by id, or a column). Who has none gets ``default``;
    without a default she is not contacted. A fraction allows its whole part. A number that is none (negative, endless,
    text) allows nothing.

    Example:
        >>> Saturation(days=28, limits={"12347": 3}, default=1).limits
        {'12347': 3}
    """

    monotone: ClassVar[bool] = True

    days: int = field(default=28, validator=whole(1))
    default: int | None = field(default=None, validator=whole(0, optional=True))
    limits: Mapping[str, float] | None = field(
        default=None, converter=_by_id, validator=_is_by_id, hash=False, repr=False
    )
    attribute: str = field(default="contact_limit", validator=text)
    name: str = rule_name("saturation")

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Refuse the contact after which she would answer less."""
        out = Outbound.of(situation)
        recent = (out.ago < self.days) & self.counted(out.touches)
        count = np.bincount(out.row[recent], minlength=len(situation))
        limit = self._limit(situation)
        refused = (self.concerns(proposals) & (count >= limit)[proposals.base_row]).astype(bool)
        told = np.where(limit < 0, limit, count * (_MOST + 1) + limit)[proposals.base_row]

        def say(number: int) -> str:
            if number == _UNKNOWN:
                return "how many contacts she takes is not known"
            if number == _ABSURD:
                return "how many contacts she takes is on file as something that is not a number of 0 or more"
            c, most = divmod(number, _MOST + 1)
            return f"{c} contacts{self.about} in the last {self.days} days, and she answers to {most}"

        return answer(refused, told, say)

    def _limit(self, situation: Situation) -> IntColumn:
        """Everybody's number; below zero where there is none to go by."""
        found = situation.attribute(self.attribute)
        fallback = _UNKNOWN if self.default is None else self.default
        if self.limits:
            ids, others = situation.customer_id.tolist(), [None] * len(situation) if found is None else list(found)
            found = [self.limits.get(who, other) for who, other in zip(ids, others, strict=True)]
        if found is None:
            return np.full(len(situation), fallback, dtype=np.int64)
        if isinstance(found, np.ndarray) and found.dtype.kind in "iuf":
            number = found.astype(np.float64)
            whole = np.where(np.isfinite(number) & (number >= 0), np.clip(number, 0, _MOST), _ABSURD)
            return np.where(np.isnan(number), fallback, whole).astype(np.int64)
        return np.fromiter((_read(value, fallback) for value in found), np.int64, len(situation))


_UNKNOWN, _ABSURD, _MOST = -1, -2, 1_000_000


def _read(value: Any, fallback: int) -> int:
    """Her whole number, the fallback where none is on file, or that it is absurd."""
    if unknown(value):
        return fallback
    if isinstance(value, bool) or not isinstance(value, str | int | float | np.number):
        return _ABSURD
    try:
        number = float(value)
    except ValueError:
        return _ABSURD
    if math.isnan(number):
        return fallback
    return min(int(number), _MOST) if math.isfinite(number) and number >= 0 else _ABSURD
