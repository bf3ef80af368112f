"""Segments as data: conditions on what is known of a customer, composed with all, any and not.

A segment is a mapping, as TOML writes it. Its keys are columns of the situation's tables, and all of them must hold::

    tier = ["gold", "silver"]                   # one of these
    p_alive = { between = [0.05, 0.5] }
    orders = { at_most = 3 }
    overdue = true
    attribute.diet = "vegan"                    # what else is known of her
    any = [{ cause = "price" }, { rank = { at_least = 2 } }]
    not = { customers = ["4711", "4712"] }

What is not known of a customer (no number, no attribute, no cause) makes a condition neither true nor false, and who is
not known to be in a segment is not in it; nor does ``not`` put her there.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError, nearest
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn, TextColumn, read_only
from retention.histories import Histories
from retention.plan.situation import Situation
from retention.tiers.tiering import Tiering
from retention.timing.outlook import Outlook
from retention.value.valuation import Valuation

__all__ = ["Criteria", "EVERYONE"]

_TABLES: Mapping[str, type] = {"outlook": Outlook, "valuation": Valuation, "tiering": Tiering, "histories": Histories}
_COMPOSED = ("all", "any", "not")
_OPERATORS: Mapping[str, str] = {
    "is": "is",
    "is_not": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "at_least": "is at least",
    "at_most": "is at most",
    "above": "is above",
    "below": "is below",
    "between": "is from",
    "known": "is known",
}
_ORDERED = ("at_least", "at_most", "above", "below", "between")
_KINDS: tuple[tuple[Any, str], ...] = (
    (BoolColumn, "flag"),
    (FloatColumn, "number"),
    (IntColumn, "number"),
    (TextColumn, "text"),
    (DayColumn, "day"),
)


def _columns() -> dict[str, tuple[str, str, str]]:
    """By name, bare and with its table before it: the table, the column, and what kind of values it holds."""
    bare: dict[str, tuple[str, str, str]] = {}
    full: dict[str, tuple[str, str, str]] = {}
    for table, made_of in _TABLES.items():
        for one in attrs.fields(made_of):
            if one.metadata.get("column") and one.name != "customer_id":
                kind = next(kind for type_, kind in _KINDS if one.type in (type_, type_ | None))
                full[f"{table}.{one.name}"] = (table, one.name, kind)
                bare.setdefault(one.name, (table, one.name, kind))
    own = {"orders_per_year": ("", "orders_per_year", "number"), "cause": ("", "cause", "text")}
    return bare | full | own


_KNOWN = _columns()

# For every customer: known to be in, known to be out. Neither where what counts is not known of her.
_Answer = tuple[BoolColumn, BoolColumn]
_Node = Callable[[Situation], _Answer]


def _plain(value: Any) -> Any:
    """The data with mappings as dicts and sequences as lists, so that two ways to write one thing are equal."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Criteria):
        return value.to_dict()
    if isinstance(value, list | tuple | set | frozenset):
        listed = [_plain(inner) for inner in value]
        return sorted(listed, key=str) if isinstance(value, set | frozenset) else listed
    return value.item() if isinstance(value, np.generic) else value


@frozen(repr=False)
class Criteria:
    """Who is in a segment, as data.

    ``told`` is the mapping described above; an empty one is everyone. A bare column name is looked up in the outlook,
    the valuation, the tiering and the histories in that order (``p_alive`` is the outlook's); ``valuation.p_alive``
    says which. Beside these: ``orders_per_year``, ``cause`` (why she leaves, if on file), ``customers`` (ids),
    ``attribute.NAME``, and ``segment = "name"`` for one of ``named`` (of which only those used are kept). A value means
    equal, a list one of these, and a mapping any of: is, is_not, in, not_in, at_least, at_most, above, below, between
    (ends included), known. Dates are dates or ISO text. ``where`` is put before every error message: whose segment
    this is.

    ``a & b``, ``a | b`` and ``~a`` compose. :meth:`among` gives a mask.

    Raises:
        ConfigError: a column, an operator or a value that means nothing; an attribute only when asked about a
            situation that has none of that name.

    Example:
        >>> from retention.plan import examples, situate
        >>> situation = situate(*examples.small_base())
        >>> Criteria({"tier": ["gold", "silver"], "p_alive": {"below": 0.9}}).among(situation).tolist()
        [True, False, False]
        >>> print(~Criteria({"tier": "gold"}))
        not (tier is gold)
        >>> Criteria({"teir": "gold"}, where="offer 'card', eligible")
        Traceback (most recent call last):
        ...
        retention.errors.ConfigError: offer 'card', eligible: 'teir'
          rule: a condition is on a column that a plan's tables have
          remedy: did you mean 'tier'? A column of the tables, or attribute.NAME, customers, segment, all, any, not
    """

    told: Mapping[str, Any] = field(factory=dict, converter=_plain)
    named: "Mapping[str, Criteria]" = field(factory=dict, kw_only=True)
    where: str = field(default="a segment", kw_only=True, eq=False)
    _used: set[str] = field(init=False, eq=False, factory=set)
    _test: _Node = field(init=False, eq=False)
    _words: str = field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        test, words = _all(self.told, self)
        object.__setattr__(self, "told", MappingProxyType(self.told) if isinstance(self.told, dict) else self.told)
        object.__setattr__(self, "named", MappingProxyType({name: self.named[name] for name in sorted(self._used)}))
        object.__setattr__(self, "_test", test)
        object.__setattr__(self, "_words", words)

    def among(self, situation: Situation) -> BoolColumn:
        """True for each customer of the base who is known to be in the segment."""
        return read_only(self._test(situation)[0])

    def to_dict(self) -> dict[str, Any]:
        """The mapping that it was made from."""
        return {key: _copied(value) for key, value in self.told.items()}

    def __and__(self, other: "Criteria") -> "Criteria":
        return self._with({"all": [self.to_dict(), other.to_dict()]}, other)

    def __or__(self, other: "Criteria") -> "Criteria":
        return self._with({"any": [self.to_dict(), other.to_dict()]}, other)

    def __invert__(self) -> "Criteria":
        return attrs.evolve(self, told={"not": self.to_dict()})

    def __bool__(self) -> bool:
        """Whether it says anything at all."""
        return bool(self.told)

    def __hash__(self) -> int:
        return hash(repr(self.told))

    def __str__(self) -> str:
        return self._words or "everyone"

    def __repr__(self) -> str:
        return f"<Criteria: {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.to_dict(), dict(self.named), self.where)

    def _with(self, told: Mapping[str, Any], other: "Criteria") -> "Criteria":
        clash = sorted(name for name in {*self.named} & {*other.named} if self.named[name] != other.named[name])
        if clash:
            raise ConfigError(
                f"{self.where}: two segments named {clash[0]!r}",
                rule="a name stands for one segment",
                remedy="rename one of them",
            )
        return Criteria(told, named={**self.named, **other.named}, where=self.where)


def _again(told: Mapping[str, Any], named: Mapping[str, Criteria], where: str) -> Criteria:
    return Criteria(told, named=named, where=where)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _fault(mine: Criteria, given: str, rule: str, remedy: str) -> ConfigError:
    return ConfigError(f"{mine.where}: {given}", rule=rule, remedy=remedy)


def _all(told: Any, mine: Criteria) -> tuple[_Node, str]:
    """Every key must hold."""
    if not isinstance(told, dict):
        raise _fault(
            mine,
            f"{told!r}"[:120],
            "a segment is a mapping of conditions",
            'write it like { tier = "gold", orders = { at_most = 3 } }',
        )
    nodes, words = [], []
    for key, value in told.items():
        if key in _COMPOSED:
            pairs = [_composed(key, value, mine)]
        elif key == "customers":
            pairs = [_listed(value, mine)]
        elif key == "segment":
            pairs = [_by_name(value, mine)]
        elif key == "attribute" or key in _TABLES:
            pairs = _under(key, value, mine)
        elif key.startswith("attribute."):
            pairs = [_condition(key, key.removeprefix("attribute."), "", value, mine)]
        elif key in _KNOWN:
            pairs = [_condition(key, key, _KNOWN[key][2], value, mine)]
        else:
            close = nearest(key, {*_KNOWN, *_TABLES, *_COMPOSED, "customers", "segment", "attribute"})
            hint = close.split("? ")[0] + "? A" if close.startswith("did") else "a"
            raise _fault(
                mine,
                repr(key),
                "a condition is on a column that a plan's tables have",
                f"{hint} column of the tables, or attribute.NAME, customers, segment, all, any, not",
            )
        nodes += [node for node, _ in pairs]
        words += [text for _, text in pairs]
    return _together(nodes), "; ".join(words)


def _together(nodes: list[_Node]) -> _Node:
    def test(situation: Situation) -> _Answer:
        yes, no = np.ones(len(situation), dtype=bool), np.zeros(len(situation), dtype=bool)
        for node in nodes:
            is_in, is_out = node(situation)
            yes, no = yes & is_in, no | is_out
        return yes, no

    return test


def _opposite(node: _Node) -> _Node:
    def test(situation: Situation) -> _Answer:
        is_in, is_out = node(situation)
        return is_out, is_in

    return test


def _composed(key: str, value: Any, mine: Criteria) -> tuple[_Node, str]:
    if key == "not":
        node, words = _all(value, mine)
        return _opposite(node), f"not ({words or 'everyone'})"
    if not isinstance(value, list):
        raise _fault(mine, f"{key} = {value!r}"[:120], f"{key} holds a list of segments", f"write {key} = [{{...}}]")
    pairs = [_all(part, mine) for part in value]
    texts = [words or "everyone" for _, words in pairs]
    if key == "all":
        return _together([node for node, _ in pairs]), "; ".join(texts) or "everyone"
    nothing_holds = _together([_opposite(node) for node, _ in pairs])
    return _opposite(nothing_holds), "any of (" + " | ".join(texts) + ")"


def _listed(value: Any, mine: Criteria) -> tuple[_Node, str]:
    if not isinstance(value, list) or not all(isinstance(who, str) for who in value):
        raise _fault(
            mine, "customers", "customers is a list of ids, which are text", 'write customers = ["4711", "4712"]'
        )

    def test(situation: Situation) -> _Answer:
        mask = situation.mask_of(value)
        return mask, ~mask

    return test, f"one of {len(value):,} customers named"  # ids do not go into messages


def _by_name(value: Any, mine: Criteria) -> tuple[_Node, str]:
    if not isinstance(value, str) or value not in mine.named:
        raise _fault(
            mine,
            f"segment = {value!r}"[:120],
            "a segment that is named has been told before, under [segment.NAME]",
            nearest(str(value), mine.named),
        )
    mine._used.add(value)
    return mine.named[value]._test, f"in the segment {value}"


def _under(key: str, value: Any, mine: Criteria) -> list[tuple[_Node, str]]:
    """Conditions on columns of one table, or on attributes, by name."""
    if not isinstance(value, dict):
        raise _fault(mine, f"{key} = {value!r}"[:120], f"{key} stands before a name", f"write {key}.NAME = ...")
    pairs = []
    for name, inner in value.items():
        full = f"{key}.{name}"
        if key == "attribute":
            pairs.append(_condition(full, name, "", inner, mine))
        elif full in _KNOWN:
            pairs.append(_condition(full, full, _KNOWN[full][2], inner, mine))
        else:
            columns = [column for column in _KNOWN if column.startswith(f"{key}.")]
            raise _fault(mine, repr(full), f"a condition is on a column that the {key} has", nearest(full, columns))
    return pairs


def _condition(shown: str, name: str, kind: str, value: Any, mine: Criteria) -> tuple[_Node, str]:
    """All tests on one column."""
    tests = value if isinstance(value, dict) else {"in" if isinstance(value, list) else "is": value}
    if not tests:
        raise _fault(mine, f"{shown} = {{}}", "a condition says what must hold", f"write {shown} = ...")
    nodes, words = [], []
    for operator, against in tests.items():
        if operator not in _OPERATORS:
            raise _fault(
                mine,
                f"{shown}: {operator!r}",
                "a condition uses an operator that there is",
                nearest(operator, _OPERATORS),
            )
        nodes.append(_compare(shown, name, kind, operator, _checked(shown, kind, operator, against, mine), mine))
        words.append(_said(shown, operator, against))
    return _together(nodes), " and ".join(words)


def _said(shown: str, operator: str, against: Any) -> str:
    if operator == "known":
        return f"{shown} {'is' if against else 'is not'} known"
    if operator == "between":
        return f"{shown} is from {against[0]} to {against[1]}"
    if operator == "is" and isinstance(against, bool):
        return shown if against else f"not {shown}"
    listed = [str(one) for one in against] if isinstance(against, list) else [str(against)]
    if operator == "in" and len(listed) <= 4:
        return f"{shown} is {' or '.join(listed)}"
    more = f", ... ({len(listed)} in all)" if len(listed) > 4 else ""
    return f"{shown} {_OPERATORS[operator]} {', '.join(listed[:4])}{more}"


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number" if math.isfinite(value) else "no finite number"
    if isinstance(value, dt.datetime):
        return "time"
    if isinstance(value, dt.date):
        return "day"
    return "text" if isinstance(value, str) else type(value).__name__


def _checked(shown: str, kind: str, operator: str, against: Any, mine: Criteria) -> list[Any]:
    """What a column is held against, as a list of values of the column's kind."""
    if operator == "known":
        if not isinstance(against, bool):
            raise _fault(mine, f"{shown}: known = {against!r}", "known is true or false", "write known = true")
        return [against]
    wants_list = operator in ("in", "not_in", "between")
    if isinstance(against, list) != wants_list or (operator == "between" and len(against) != 2):
        needs = "two values, low and high" if operator == "between" else "a list" if wants_list else "one value"
        raise _fault(
            mine, f"{shown}: {operator} = {against!r}"[:160], f"{operator} takes {needs}", f"give {operator} {needs}"
        )
    values = [against] if not wants_list else list(against)
    if kind == "day":
        values = [_day(value) for value in values]
    kinds = {_kind_of(value) for value in values}
    if operator in _ORDERED and not kinds <= {"number", "day"}:
        raise _fault(
            mine,
            f"{shown}: {operator} = {against!r}"[:160],
            f"{operator} compares numbers or dates",
            f"give {operator} a number, or use is or in",
        )
    allowed = {kind} if kind else {"flag", "number", "day", "text"}
    if not kinds <= allowed or len(kinds) > 1:
        raise _fault(
            mine,
            f"{shown}: {operator} = {against!r}"[:160],
            f"{shown} holds {kind} values" if kind else "an attribute is held against values of one kind",
            f"give {operator} such values",
        )
    if operator == "between" and values[0] > values[1]:
        raise _fault(mine, f"{shown}: between = {against!r}", "low comes before high", "swap the two")
    return values


def _day(value: Any) -> Any:
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _compare(shown: str, name: str, kind: str, operator: str, values: list[Any], mine: Criteria) -> _Node:
    def test(situation: Situation) -> _Answer:
        if kind:
            column, known = _column(situation, name)
        else:
            column, known = _attribute(situation, name, mine)
        if operator == "known":
            mask = known if values[0] else ~known
            return mask, ~mask
        holds = np.zeros(len(situation), dtype=bool)
        holds[known] = _holds(shown, column[known], operator, values, mine)
        return known & holds, known & ~holds

    return test


def _holds(shown: str, column: Any, operator: str, values: list[Any], mine: Criteria) -> BoolColumn:
    want = _kind_of(values[0]) if values else ""
    if want == "day":
        values = [np.datetime64(value, "D") for value in values]
    have = {"b": "flag", "i": "number", "u": "number", "f": "number", "U": "text", "M": "day"}.get(column.dtype.kind)
    if len(column) and want and have != want:
        raise _fault(
            mine,
            f"{shown}: {operator} with a {want}, and the column holds {have or 'mixed'} values",
            "a column is held against values of its kind",
            f"give {operator} {have or 'other'} values",
        )
    first, last = (values[0], values[-1]) if values else (None, None)
    masks: dict[str, Callable[[], Any]] = {
        "at_least": lambda: column >= first,
        "at_most": lambda: column <= first,
        "above": lambda: column > first,
        "below": lambda: column < first,
        "between": lambda: (column >= first) & (column <= last),
    }
    if operator in masks:
        mask: BoolColumn = masks[operator]()
        return mask
    found = np.zeros(len(column), dtype=bool)
    for value in values:
        found |= column == value
    return ~found if operator in ("is_not", "not_in") else found


def _column(situation: Situation, name: str) -> tuple[Any, BoolColumn]:
    """A column, and of whom it is known."""
    table, column, _ = _KNOWN[name]
    if name == "cause":
        return _of_some(situation, situation.causes)
    values = getattr(getattr(situation, table) if table else situation, column)
    if values is None:
        return np.zeros(len(situation)), np.zeros(len(situation), dtype=bool)
    return values, _is_known(values)


def _is_known(values: Any) -> BoolColumn:
    known: BoolColumn = np.ones(len(values), dtype=bool)
    if values.dtype.kind in "fM":
        known = ~np.isnan(values) if values.dtype.kind == "f" else ~np.isnat(values)
    return known


def _attribute(situation: Situation, name: str, mine: Criteria) -> tuple[Any, BoolColumn]:
    """What else is known: one value a customer in the base's order, or a mapping by id of those who are known."""
    given = situation.attributes.get(name, situation.histories.attributes.get(name))
    if given is None:
        raise _fault(
            mine,
            f"attribute {name!r}",
            "a condition is on an attribute that the base has",
            nearest(name, {*situation.attributes, *situation.histories.attributes}),
        )
    if isinstance(given, Mapping):
        return _of_some(situation, given)
    listed = np.asarray(given)
    if listed.shape != (len(situation),):
        raise _fault(
            mine,
            f"attribute {name!r} of shape {listed.shape}",
            f"an attribute has one value for each of the {len(situation):,} customers, in their order",
            "or is a mapping from id to value",
        )
    return _settled(listed.tolist()) if listed.dtype.kind == "O" else (listed, _is_known(listed))


def _of_some(situation: Situation, given: Mapping[str, Any]) -> tuple[Any, BoolColumn]:
    rows = situation.rows_of(str(who) for who in given)
    values: list[Any] = [None] * len(situation)
    for row, value in zip(rows.tolist(), given.values(), strict=True):
        if row >= 0:
            values[row] = value
    return _settled(values)


def _settled(values: Iterable[Any]) -> tuple[Any, BoolColumn]:
    """Values of one kind as an array with a mask of those that are known."""
    listed = list(values)
    known: BoolColumn = np.asarray([v is not None and v == v for v in listed], dtype=bool)
    there = [v for v, is_there in zip(listed, known, strict=True) if is_there]
    filler = there[0] if there else 0.0
    filled = np.asarray([v if is_there else filler for v, is_there in zip(listed, known, strict=True)])
    kinds = {_kind_of(v.item() if isinstance(v, np.generic) else v) for v in there}
    if len(kinds) > 1:  # numpy would make text of them all
        filled = np.asarray(listed, dtype=object)
    elif filled.dtype.kind == "O" and kinds == {"day"}:
        filled = filled.astype("datetime64[D]")
    return filled, known


EVERYONE = Criteria()
"""The segment without a condition."""
