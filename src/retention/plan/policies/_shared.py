"""What the policies share: which contacts a rule is about, which of those on file count, and reasons told once each."""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, get_args

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain import Kind
from retention.errors import ConfigError, nearest
from retention.frames.table import BoolColumn, IntColumn, TextColumn
from retention.frames.texts import Labels
from retention.plan.proposals import Proposals, Review
from retention.plan.situation import Situation
from retention.records.touches import Touches

KINDS: tuple[str, ...] = get_args(Kind)


def whole(least: int, *, optional: bool = False) -> Callable[[Any, "attrs.Attribute[Any]", Any], None]:
    """A validator: a whole number of at least ``least``."""

    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if optional and value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(
                f"{type(instance).__name__}({attribute.name}={value!r})",
                rule=f"a whole number of {least} or more",
                remedy=f"give {attribute.name} such a number",
            )

    return check


def text(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            f"{type(instance).__name__}({attribute.name}={value!r})",
            rule="a text that is not blank",
            remedy=f"write {attribute.name} = '...'",
        )


def words(value: Any) -> Any:
    """A converter: one word or several as a tuple in small letters; what is neither is left for the validator."""
    if value is None:
        return None
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, Mapping) or not isinstance(listed, Iterable):
        return value
    return tuple(word.strip().casefold() if isinstance(word, str) else word for word in listed)


def some_words(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: a tuple of words."""
    if not isinstance(value, tuple) or not all(isinstance(word, str) and word for word in value):
        raise ConfigError(
            f"{type(instance).__name__}({attribute.name}={value!r})",
            rule="a word or a list of words",
            remedy=f"write {attribute.name} = 'word', or {attribute.name} = ['one', 'two']",
        )


def some_kinds(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A validator: a tuple of kinds of action."""
    some_words(instance, attribute, value)
    for word in value:
        if word not in KINDS:
            raise ConfigError(
                f"{type(instance).__name__}({attribute.name}={word!r})",
                rule="a kind of action is one of those that exist",
                remedy=nearest(word, KINDS),
            )


def a_few(check: Callable[[Any, "attrs.Attribute[Any]", Any], None]) -> Any:
    """A validator: None for all, or at least one word that ``check`` lets pass."""

    def checked(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is None:
            return
        check(instance, attribute, value)
        if not value:
            raise ConfigError(
                f"{type(instance).__name__}({attribute.name}=[])",
                rule="a rule is about at least something",
                remedy=f"leave {attribute.name} out for all, or name one",
            )

    return checked


@frozen(kw_only=True)
class Filtered:
    """A rule about some contacts: of some channels, kinds or purposes; None is all of them.

    Contacts on file have a channel and a kind but no purpose: a rule about a purpose counts those for any. A channel
    that is blank and a kind that does not exist may have been any, and count for every rule.
    """

    channel: tuple[str, ...] | None = field(default=None, converter=words, validator=a_few(some_words))
    action_kind: tuple[str, ...] | None = field(default=None, converter=words, validator=a_few(some_kinds))
    purpose: tuple[str, ...] | None = field(default=None, converter=words, validator=a_few(some_words))

    def concerns(self, proposals: Proposals) -> BoolColumn:
        """Which proposals the rule is about."""
        mine = [
            all(
                chosen is None or str(given).strip().casefold() in chosen
                for chosen, given in ((self.channel, a.channel), (self.action_kind, a.kind), (self.purpose, a.purpose))
            )
            for a in proposals.actions
        ]
        return np.asarray(mine, dtype=bool)[proposals.action]

    def counted(self, touches: Touches) -> BoolColumn:
        """Which contacts on file count: all but those that are plainly of another channel or kind."""
        mask = np.ones(len(touches), dtype=bool)
        if self.channel is not None:
            mask &= among(touches.channel, (*self.channel, ""))
        if self.action_kind is not None:
            mask &= among(touches.kind, self.action_kind) | ~among(touches.kind, KINDS)
        return mask

    @property
    def about(self) -> str:
        """The filter in brackets, for reasons; empty if there is none."""
        parts = [" or ".join(part) for part in (self.channel, self.action_kind) if part is not None]
        return f" ({', '.join(parts)})" if parts else ""


def rule_name(kind: str) -> Any:
    """The field ``name``: that of the kind, and after it the filter if there is one.

    So a rule about some contacts stands beside the rule about all of them, unless it is given its name.
    """

    def default(policy: Filtered) -> str:
        parts = (policy.channel, policy.action_kind, policy.purpose)
        return "-".join([kind, *("-".join(map(str, part)) for part in parts if isinstance(part, tuple))])

    return field(default=attrs.Factory(default, takes_self=True), validator=text, kw_only=True)


def own_name(kind: str) -> Any:
    """The field ``name`` of a rule without a filter."""
    return field(default=kind, validator=text, kw_only=True)


@frozen(eq=False)
class Outbound:
    """The contacts on file that went out to customers of the base; what is not plainly inbound went out."""

    row: IntColumn
    ago: IntColumn  # days before the plan's day; an unknown date counts as today
    plainly: BoolColumn  # whether it says "out" in so many letters
    touches: Touches

    @classmethod
    def of(cls, situation: Situation) -> Self:
        """Those of a situation."""
        found: Self = _on_file(situation)[0]
        return found


def consent_rows(situation: Situation) -> IntColumn:
    """The position in the base of whom each consent on file is of; -1 for strangers."""
    rows: IntColumn = _on_file(situation)[1]
    return rows


_ON_FILE: "weakref.WeakKeyDictionary[Situation, tuple[Any, Any]]" = weakref.WeakKeyDictionary()


def _on_file(situation: Situation) -> tuple[Any, Any]:
    """Whose the contacts and consents of a situation are: looked up once for all policies."""
    if situation not in _ON_FILE:
        touches, consents = situation.touches, situation.consents
        rows = situation.rows_in(touches)
        kept = np.flatnonzero((rows >= 0) & (touches.direction != "in"))
        touches = touches.take(kept)
        today = np.datetime64(situation.as_of, "D")
        ago = (today - np.where(np.isnat(touches.at), today, touches.at)).astype(np.int64)
        out = Outbound(rows[kept], np.maximum(ago, 0), among(touches.direction, ("out",)), touches)
        _ON_FILE[situation] = out, None if consents is None else situation.rows_in(consents)
    return _ON_FILE[situation]


def among(column: TextColumn, choices: Iterable[str]) -> BoolColumn:
    """Whether each is one of a few words, whatever its case and the blanks around it."""
    wanted, mask = set(choices), np.zeros(len(column), dtype=bool)
    for written in np.unique(column).tolist():  # each way to write a word is looked at once
        if written.strip().casefold() in wanted:
            mask |= column == written
    return mask


def coded(column: TextColumn) -> tuple[IntColumn, dict[str, int]]:
    """Words as numbers: each way to write a word is folded once."""
    codes: dict[str, int] = {}
    written = column.tolist()
    number = {form: codes.setdefault(form.strip().casefold(), len(codes)) for form in set(written)}
    return np.fromiter(map(number.__getitem__, written), np.int64, len(written)), codes


def unknown(value: Any) -> bool:
    """Whether nothing is known: None, NaN, a blank, or the word that columns without holes use for it."""
    return value is None or value != value or (isinstance(value, str) and value.strip().casefold() in ("", "unknown"))


def answer(refused: BoolColumn, values: IntColumn, say: Callable[[int], str], **times: Any) -> Review:
    """Refuse where the mask is True, with a reason that a whole number tells: each number's text is made once."""
    numbers, which = np.unique(values[refused], return_inverse=True)
    texts = np.asarray(["", *(say(int(number)) for number in numbers)], dtype=np.str_)
    code = np.zeros(len(refused), dtype=np.int32)
    code[refused] = which + 1
    allowed = ~refused
    allowed.flags.writeable = False  # or the table would copy it
    told: Any = Labels(code, texts)
    return Review(allowed=allowed, reason=told, **times)
