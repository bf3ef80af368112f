"""When she is left in peace: hours of her own day, days of her week, holidays."""

import datetime as dt
import functools
from collections.abc import Iterable
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain.days import as_day
from retention.errors import ConfigError, RetentionError, nearest
from retention.frames.table import IntColumn
from retention.plan.policies._shared import Filtered, answer, rule_name, text, unknown, words
from retention.plan.proposals import Proposals, Review
from retention.plan.situation import Situation

__all__ = ["QuietHours"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_DAY = 86_400
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NAT = np.datetime64("NaT", "m")


def _clock(value: Any) -> Any:
    """A time of day from a text such as "20:00"; what is none is left for the validator."""
    if isinstance(value, str):
        try:
            return dt.time.fromisoformat(value.strip())
        except ValueError:
            return value
    return value


def _is_clock(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not isinstance(value, dt.time) or value.tzinfo is not None or value.second or value.microsecond:
        raise ConfigError(
            f"QuietHours({attribute.name}={value!r})",
            rule="a time of day in hours and minutes, by her clock",
            remedy=f"write {attribute.name} = '20:00'",
        )


def _is_closed(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    unknown = [day for day in value if day not in WEEKDAYS] if isinstance(value, tuple) else [value]
    if unknown or len({*value}) == len(WEEKDAYS):
        raise ConfigError(
            f"QuietHours(closed={unknown[0] if unknown else list(value)!r})",
            rule="a list of weekdays, and at least one of the week is left open",
            remedy=nearest(str(unknown[0]), WEEKDAYS) if unknown else "leave one out, or veto the channel as a whole",
        )


def _days(value: Any) -> Any:
    listed = [value] if isinstance(value, str | dt.date) else value
    if not isinstance(listed, Iterable):
        return value
    try:
        return tuple(sorted({as_day(day, name="holidays") for day in listed}))
    except RetentionError:
        return value


def _is_days(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not isinstance(value, tuple) or not all(isinstance(day, dt.date) for day in value):
        raise ConfigError(
            f"QuietHours(holidays={value!r})"[:200],
            rule="a list of days",
            remedy="write holidays = ['2011-12-25', '2011-12-26']",
        )


def _is_zone(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and _zone(value) is None:
        raise ConfigError(
            f"QuietHours(time_zone={value!r})",
            rule="a zone of the IANA list that this machine knows",
            remedy="write it like 'Europe/Berlin' (on a machine without a list of its own, install tzdata)",
        )


@frozen
class QuietHours(Filtered):
    """No contact between ``quiet_from`` and ``quiet_until`` by her own clock, on ``closed`` weekdays, on ``holidays``.

    The contact is put on the first day of its window that is not closed, between the first and the last minute that
    are not quiet; the plan tells both in UTC. If every day of the window is closed it is refused. A day is a day of
    *her* calendar. Quiet hours from 20:00 until 08:00 go over midnight; those from 12:00 until 14:00 leave the longer
    of the two other parts. Where clocks are changed, a minute that is quiet by her clock stays quiet, hours that do not
    exist are nobody's, and of two stretches of a day the longer is used.

    Her zone is the attribute ``time_zone`` (another name with ``attribute``) of the situation or of its histories: a
    mapping by customer id, or a column; else the field ``time_zone``, the zone of those of whom none is on file. Who
    has neither, and who has one that is not on the IANA list of this machine, is not contacted. ``channel``,
    ``action_kind`` and ``purpose`` say which contacts it is about: letters have no hour.

    Several such policies for one contact leave it what all of them leave, on one day; where each picks another day,
    nothing is left. So write what is closed for one channel into one policy.

    Example:
        >>> quiet = QuietHours(quiet_from="20:00", quiet_until="08:00", channel=["phone"], time_zone="Europe/Berlin")
        >>> quiet.name, quiet.quiet_from
        ('quiet-hours-phone', datetime.time(20, 0))
    """

    quiet_from: dt.time = field(default=dt.time(20), converter=_clock, validator=_is_clock)
    quiet_until: dt.time = field(default=dt.time(8), converter=_clock, validator=_is_clock)
    closed: tuple[str, ...] = field(default=("sunday",), converter=words, validator=_is_closed)
    holidays: tuple[dt.date, ...] = field(default=(), converter=_days, validator=_is_days)
    time_zone: str | None = field(default=None, validator=_is_zone)
    attribute: str = field(default="time_zone", validator=text)
    name: str = rule_name("quiet-hours")

    def __attrs_post_init__(self) -> None:
        if self.quiet_from == self.quiet_until:
            raise ConfigError(
                f"QuietHours(quiet_from and quiet_until both {self.quiet_from:%H:%M})",
                rule="quiet hours begin at one time and end at another",
                remedy="change one of them; to close whole days use closed and holidays",
            )

    def review(self, proposals: Proposals, situation: Situation) -> Review:
        """Put each contact into hours that are not quiet, and refuse those for which there are none."""
        n = len(proposals)
        zones, hers = self._zones(situation)
        concerned = self.concerns(proposals)
        zone = np.where(concerned, hers[proposals.base_row], 0)
        opens, closes = proposals.opens.astype(np.int64), proposals.closes.astype(np.int64)
        windowed = ~(np.isnat(proposals.opens) | np.isnat(proposals.closes))
        first, last = np.full(n, _NAT), np.full(n, _NAT)
        open_to = np.flatnonzero(concerned & (zone >= 0) & windowed)
        day = self._open_day(opens[open_to])
        while len(open_to):
            within = day <= closes[open_to]
            open_to, day = open_to[within], day[within]
            # Few pairs of a zone and a day: each is worked out once.
            least = int(day.min()) if len(day) else 0
            pairs, which = np.unique((day - least) * len(zones) + zone[open_to], return_inverse=True)
            hours = [self._hours(zones[int(p) % len(zones)], int(p) // len(zones) + least) for p in pairs]
            bounds = np.asarray(hours, dtype=np.int64).reshape(-1, 2)[which]
            some = bounds[:, 0] <= bounds[:, 1]
            first[open_to[some]] = bounds[some, 0].astype("datetime64[m]")
            last[open_to[some]] = bounds[some, 1].astype("datetime64[m]")
            open_to, day = open_to[~some], self._open_day(day[~some] + 1)
        refused = concerned & np.isnat(first)
        length = np.where(windowed, np.maximum(closes - opens, -1) + 1, 0)
        told = np.where(zone < 0, zone, length)
        for made_here in (first, last):
            made_here.flags.writeable = False
        return answer(refused, told, self._say, not_before=first, not_after=last)

    def _say(self, number: int) -> str:
        if number == _NO_ZONE:
            return "her time zone is not known, so neither is when she sleeps"
        if number == _NO_SUCH_ZONE:
            return "the time zone on file for her is none that exists"
        if not number:
            return "a contact without a window has no hours"
        closed = [f"{day.capitalize()}s" for day in WEEKDAYS if day in self.closed] + ["holidays"] * bool(self.holidays)
        days = "the only day of its window is" if number == 1 else f"all {number} days of its window are"
        return f"{days} closed" + (f" ({', '.join(closed)})" if closed else "")

    def _open_day(self, days: IntColumn) -> IntColumn:
        """Each day, or the next that is no holiday and not closed."""
        moved: IntColumn = np.busday_offset(
            days.astype("datetime64[D]"),
            0,
            roll="forward",
            weekmask=[day not in self.closed for day in WEEKDAYS],
            holidays=np.asarray(self.holidays, dtype="datetime64[D]"),
        ).astype(np.int64)
        return moved

    def _hours(self, zone: str, day: int) -> tuple[int, int]:
        start, end = (60 * (60 * at.hour + at.minute) for at in (self.quiet_until, self.quiet_from))
        parts = ((start, end),) if start < end else ((0, end), (start, _DAY))
        return _stretch(zone, day, parts)

    def _zones(self, situation: Situation) -> tuple[list[str], IntColumn]:
        """The zones in use, and which of them is each customer's; below zero where that is not known."""
        index: dict[str, int] = {}

        def code(value: Any) -> int:
            value = self.time_zone if unknown(value) else value
            if value is None:
                return _NO_ZONE
            if not isinstance(value, str) or _zone(value) is None:
                return _NO_SUCH_ZONE
            return index.setdefault(value, len(index))

        found = situation.attribute(self.attribute)
        if found is None:
            codes = np.full(len(situation), code(None), dtype=np.int64)
        else:
            seen: dict[Any, int] = {}
            found = found.tolist() if isinstance(found, np.ndarray) else found
            for value in found:
                if value.__hash__ is not None and value not in seen:
                    seen[value] = code(value)
            codes = np.fromiter(
                (seen[v] if v.__hash__ is not None else _NO_SUCH_ZONE for v in found), np.int64, len(situation)
            )
        return list(index) or [""], codes


_NO_ZONE, _NO_SUCH_ZONE = -1, -2


@functools.lru_cache(maxsize=2048)
def _zone(name: object) -> ZoneInfo | None:
    """The zone of that name, if there is one."""
    try:
        return ZoneInfo(name) if isinstance(name, str) else None
    except (KeyError, ValueError, OSError):
        return None


def _stretch(name: str, day: int, parts: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The longest stretch of a day of that zone's calendar within the given seconds of its clock, in minutes of UTC.

    First and last whole minute since 1970; the last is below the first where there is none (a day that the zone
    skipped). Offsets are looked up by the hour and, where they change, to the second.
    """
    zone = _zone(name)
    assert zone is not None

    @functools.cache
    def offset(second: int) -> int:
        there = (_EPOCH + dt.timedelta(seconds=second)).astimezone(zone).utcoffset()
        assert there is not None
        return round(there.total_seconds())

    edges = range((day - 1) * _DAY, (day + 2) * _DAY + 1, 3600)
    cuts = [edges[0]]
    for low, high in pairwise(edges):
        if offset(low) != offset(high):
            before, after = low, high
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (middle, after) if offset(middle) == offset(low) else (before, middle)
            cuts.append(after)
    cuts.append(edges[-1])
    pieces: list[list[int]] = []
    for start, end in pairwise(cuts):
        for low, high in parts:
            shift = day * _DAY - offset(start)
            begin, finish = max(start, low + shift), min(end, high + shift)
            if begin < finish:
                pieces.append([begin, finish])
    joined: list[list[int]] = []
    for begin, finish in sorted(pieces):
        if joined and joined[-1][1] == begin:
            joined[-1][1] = finish
        else:
            joined.append([begin, finish])
    begin, finish = max(joined, key=lambda piece: (piece[1] - piece[0], -piece[0]), default=[60, 0])
    return -(-begin // 60), finish // 60 - 1
