"""Dates as people write them. Every distinct text is read once; doubt is an answer, not a guess."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.frames.source import RawColumn
from retention.records._names import trimmed

FINE, MISSING, IMPOSSIBLE, AMBIGUOUS = range(4)

_CLOCK = (
    r"(?:(?:T|[\s,]+)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?"
    r"\s*([AP]\.?M\.?)?\s*(Z|UTC|GMT|[+-][0-9]{2}:?(?:[0-9]{2})?)?)?"
)
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})" + _CLOCK, re.I)
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})" + _CLOCK, re.I)
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})" + _CLOCK, re.I)
_DAY_MONTH = re.compile(r"([0-9]{1,2})\.?[\s\-/]*([^\W\d_]{3,10})\.?[\s\-/,]*([0-9]{4}|[0-9]{2})" + _CLOCK, re.I)
_MONTH_DAY = re.compile(r"([^\W\d_]{3,10})\.?\s+([0-9]{1,2}),?\s+([0-9]{4})" + _CLOCK, re.I)
# English, German, French and Spanish; the longest beginning that is listed decides.
_MONTHS = {
    "jan": 1, "ene": 1, "feb": 2, "fev": 2, "fév": 2, "mar": 3, "mär": 3, "mrz": 3, "apr": 4, "avr": 4, "abr": 4,
    "may": 5, "mai": 5, "jun": 6, "juin": 6, "jul": 7, "juil": 7, "aug": 8, "aou": 8, "aoû": 8, "ago": 8, "sep": 9,
    "oct": 10, "okt": 10, "nov": 11, "dec": 12, "dez": 12, "déc": 12, "dic": 12,
}  # fmt: skip


class _Written(NamedTuple):
    """A date as written: ``first`` and ``second`` are month and day, or unknown which when ``open_order``."""

    year: int
    first: int
    second: int
    open_order: bool
    seconds: int
    offset: int | None
    short_year: bool


def _written(text: str) -> _Written | None:
    if len(text) > 60:
        return None
    if found := _YEAR_FIRST.fullmatch(text):
        year, _, first, second, *clock = found.groups()
        return _with_clock(year, int(first), int(second), False, clock)
    if found := _YEAR_LAST.fullmatch(text):
        first, separator, second, year, *clock = found.groups()
        if separator == ".":  # nobody writes the month first with dots
            return _with_clock(year, int(second), int(first), False, clock)
        return _with_clock(year, int(first), int(second), True, clock)
    if found := _COMPACT.fullmatch(text):
        year, first, second, *clock = found.groups()
        return _with_clock(year, int(first), int(second), False, clock)
    if found := _DAY_MONTH.fullmatch(text):
        second, month, year, *clock = found.groups()
        return _with_clock(year, _month(month), int(second), False, clock)
    if found := _MONTH_DAY.fullmatch(text):
        month, second, year, *clock = found.groups()
        return _with_clock(year, _month(month), int(second), False, clock)
    return None


def _month(name: str) -> int:
    folded = name.casefold()
    return next((_MONTHS[folded[:n]] for n in (4, 3) if folded[:n] in _MONTHS), 0)


def _with_clock(year: str, first: int, second: int, open_order: bool, clock: Sequence[str | None]) -> _Written | None:
    hour, minute, second_of, half, zone = clock
    number = int(year)
    if len(year) == 2:  # as POSIX does: 69-99 are the 1900s
        number += 1900 if number >= 69 else 2000
    hours = int(hour or 0)
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if half[0] in "pP" else 0)
    minutes, seconds = int(minute or 0), int(second_of or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    offset = None
    if zone:
        digits = zone[1:].replace(":", "") if zone[0] in "+-" else "0000"
        offset = (int(digits[:2]) * 60 + int(digits[2:] or 0)) * (-60 if zone[0] == "-" else 60)
    return _Written(number, first, second, open_order, hours * 3600 + minutes * 60 + seconds, offset, len(year) == 2)


@frozen(kw_only=True, eq=False)
class Dates:
    """A column of dates: ``at`` where ``state`` is FINE; counts of what was assumed; the order that was used.

    ``day_first`` is None where no date left the order open, or where the column proves both orders.
    ``guessed`` says that nothing in the column proved the order.
    """

    at: NDArray[np.datetime64]
    state: NDArray[np.int8]
    notes: Mapping[str, int] = field(factory=dict)
    day_first: bool | None = None
    guessed: bool = False


def parse_dates(column: RawColumn, *, day_first: bool | None, zone: ZoneInfo | None, may_guess: bool = True) -> Dates:
    """Read a column of dates as local wall-clock seconds; numbers other than 20111231 are IMPOSSIBLE.

    ``03/04/2011`` is read by the order that the column itself proves (a number above 12 cannot be a month). If
    it proves both orders, such dates are AMBIGUOUS unless ``day_first`` is given; if it proves none, the day is
    taken to come first and ``guessed`` says so, or unless it ``may_guess`` they are AMBIGUOUS too.
    """
    if column.kind == "time":
        return _of_times(column, zone)
    if column.kind == "text":
        return _of_texts(column, day_first, zone, may_guess)
    if (compact := _compact(column)) is not None:
        return _of_texts(compact, day_first, zone, may_guess)
    state = np.where(column.missing, np.int8(MISSING), np.int8(IMPOSSIBLE))
    return Dates(at=np.zeros(len(state), dtype="datetime64[s]"), state=state)


def _of_texts(column: RawColumn, day_first: bool | None, zone: ZoneInfo | None, may_guess: bool) -> Dates:
    written = [_written(trimmed(label)) for label in column.labels]
    opened = [w for w in written if w is not None and w.open_order]
    day_proved = any(w.first > 12 >= w.second for w in opened)
    month_proved = any(w.second > 12 >= w.first for w in opened)
    guessed = False
    order = day_first
    if order is None and opened and not (day_proved and month_proved):
        unproved = not day_proved and not month_proved and any(w.first != w.second for w in opened)
        guessed = unproved and may_guess
        order = not month_proved if guessed or not unproved else None
    count = len(written)
    at = np.zeros(count, dtype=np.int64)
    state = np.full(count, IMPOSSIBLE, dtype=np.int8)
    flags = {name: np.zeros(count, dtype=bool) for name in ("short", "offset", "guess", "other")}
    for i, w in enumerate(written):
        if w is None:
            if not trimmed(column.labels[i]):
                state[i] = MISSING
            continue
        month, day = w.first, w.second
        if w.open_order:
            unsettled = w.first <= 12 and w.second <= 12 and w.first != w.second
            if unsettled and order is None:
                state[i] = AMBIGUOUS
                continue
            reads_day_first = order if unsettled else w.first > 12
            if reads_day_first:
                month, day = w.second, w.first
            flags["guess"][i] = unsettled and guessed
            flags["other"][i] = order is not None and w.first != w.second and reads_day_first != order
        seconds = _seconds(w.year, month, day)
        if seconds is None:
            continue
        at[i] = seconds + w.seconds
        flags["short"][i] = w.short_year
        if w.offset is not None:
            if zone is None:
                flags["offset"][i] = True
            else:
                at[i] = _local(int(at[i]) - w.offset, zone)
        state[i] = FINE
    states = np.append(state, np.int8(MISSING))[column.values]
    when = np.append(at, 0)[column.values].astype("datetime64[s]")
    counted = {
        "dates whose order nothing proves, read day first": flags["guess"],
        "dates in the other order than most, read by their own proof": flags["other"],
        "years of two digits": flags["short"],
        "dates with a time offset, kept as the wall clock written": flags["offset"],
    }
    notes = {name: int(np.append(flag, False)[column.values].sum()) for name, flag in counted.items()}
    return Dates(
        at=when,
        state=states,
        notes={name: rows for name, rows in notes.items() if rows},
        day_first=order if opened else None,
        guessed=guessed,
    )


def _seconds(year: int, month: int, day: int) -> int | None:
    if not 1900 <= year <= 2100:
        return None
    try:
        return (dt.date(year, month, day).toordinal() - 719_163) * 86_400
    except ValueError:
        return None


def _local(instant: int, zone: ZoneInfo) -> int:
    """Seconds of UTC as seconds of a zone's wall clock."""
    then = dt.datetime.fromtimestamp(instant, zone)
    return instant + int((then.utcoffset() or dt.timedelta()).total_seconds())


def _of_times(column: RawColumn, zone: ZoneInfo | None) -> Dates:
    at = column.values.astype("datetime64[s]")
    if column.time_zone is not None and zone is not None:
        distinct, codes = np.unique(np.where(column.missing, np.datetime64(0, "s"), at), return_inverse=True)
        shifted = [_local(second, zone) for second in distinct.astype(np.int64).tolist()]
        at = np.asarray(shifted, dtype=np.int64).astype("datetime64[s]")[codes.reshape(-1)]
    state = np.full(len(at), FINE, dtype=np.int8)
    year = at.astype("datetime64[Y]").astype(np.int64) + 1970
    state[(year < 1900) | (year > 2100)] = IMPOSSIBLE
    state[column.missing] = MISSING
    return Dates(at=at, state=state)


def _compact(column: RawColumn) -> RawColumn | None:
    """A column of whole numbers like 20111231 as text; None when it holds anything else."""
    values = column.values[~column.missing]
    if not len(values) or not np.all((values >= 19000101) & (values <= 21001231) & (values == np.rint(values))):
        return None
    distinct, codes = np.unique(np.where(column.missing, values[0], column.values), return_inverse=True)
    return RawColumn(
        name=column.name,
        kind="text",
        values=np.where(column.missing, -1, codes.reshape(-1)),
        missing=column.missing,
        labels=[str(int(v)) for v in distinct.tolist()],
    )
