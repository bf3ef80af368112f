"""What the laws of several kinds have in common: copies nobody else holds, other orders, comparisons, the subject."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
from attrs import define, field

from retention.frames.table import Table
from retention.frames.texts import Texts
from retention.plan.proposals import Proposals
from retention.plan.situation import Situation
from retention.testing._state import watched
from retention.testing.laws import is_factory

TOLERANCE = 1e-9


@define(eq=False)
class Subject:
    """A thing under the laws: ``thing`` is what they ask, ``fresh()`` another one like it that nobody asked yet."""

    made: Callable[[], Any]
    thing: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.thing = self.made()

    def fresh(self) -> Any:
        """Another one like it."""
        return self.made()


def maker(thing: Any) -> Callable[[], Any]:
    """How to make another one: the class or function itself, or a copy of the object as it was given."""
    if is_factory(thing):
        made: Callable[[], Any] = thing
        return made
    try:
        kept = copy.deepcopy(thing)
    except Exception:  # what cannot be copied is asked itself
        return lambda: thing
    return lambda: copy.deepcopy(kept)


def must(holds: Any, seen: str) -> None:
    """Fail with what was seen unless it holds: an assert statement that Python cannot be told to leave out."""
    if not holds:
        raise AssertionError(seen)


def has_a_name(subject: Any) -> None:
    """It has a name: text that is not blank."""
    name = getattr(subject.thing, "name", None)
    must(isinstance(name, str) and name.strip(), f"name is {name!r}")


@contextmanager
def nothing_shared_changes() -> Iterator[None]:
    """Fail if the block prints or changes state that all code shares."""
    with watched() as found:
        yield
    must(not found, "; ".join(found))


def snapshot(value: Any) -> Any:
    """What a thing holds now, in copies; two of them are compared with :func:`alike`."""
    if isinstance(value, np.ndarray | Texts):
        return np.array(value)
    if isinstance(value, Mapping):
        return {name: snapshot(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(one) for one in value]
    if isinstance(value, set | frozenset):
        return set(value)
    if attrs.has(type(value)):
        return {one.name: snapshot(getattr(value, one.name)) for one in attrs.fields(type(value))}
    return value


def alike(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    """Whether two snapshots (or arrays, or values) hold the same; NaN is NaN."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(alike(a[name], b[name], tolerance) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(alike(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        x, y = np.asarray(a), np.asarray(b)
        if x.shape != y.shape:
            return False
        if tolerance and x.dtype.kind == y.dtype.kind == "f":
            return bool(np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True))
        return bool(np.array_equal(x, y, equal_nan=x.dtype.kind in "fcmM" and y.dtype.kind in "fcmM"))
    if isinstance(a, float) and isinstance(b, float):
        return (
            a == b
            or (a != a and b != b)
            or (bool(tolerance) and bool(np.isclose(a, b, rtol=tolerance, atol=tolerance)))
        )
    return a is b or bool(np.all(a == b))


def first_difference(before: Any, after: Any, name: str = "") -> str:
    """The path to the first thing in which two snapshots differ; empty if there is none."""
    if isinstance(before, Mapping) and isinstance(after, Mapping) and before.keys() == after.keys():
        for key in before:
            found = first_difference(before[key], after[key], f"{name}.{key}" if name else str(key))
            if found:
                return found
        return ""
    return "" if alike(before, after) else (name or "it")


def same(name: str, first: Any, second: Any, what: str, tolerance: float = TOLERANCE) -> None:
    """Fail unless two columns hold the same numbers."""
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or not np.allclose(a, b, rtol=tolerance, atol=min(tolerance, 1e-12), equal_nan=True):
        raise AssertionError(f"{name} differs: {what}")


def copied(table: Any) -> Any:
    """A table with memory of its own."""
    own = {name: values.copy() for name, values in table.columns().items()}
    if hasattr(table, "attributes"):
        own["attributes"] = {name: values.copy() for name, values in table.attributes.items()}
    return attrs.evolve(table, **own)


def copied_situation(situation: Situation) -> Situation:
    """A situation with memory of its own."""
    own = {
        one.name: copied(value) if isinstance(value := getattr(situation, one.name), Table) else value
        for one in attrs.fields(type(situation))
    }
    attributes = {name: copy.copy(value) for name, value in situation.attributes.items()}
    return attrs.evolve(situation, **{**own, "causes": dict(situation.causes), "attributes": attributes})


def shuffled_situation(situation: Situation, order: Any) -> Situation:
    """The same day with the customers in another order, and contacts and consents in another order as well."""
    n = len(situation)
    mixed: dict[str, Any] = {
        name: getattr(situation, name).take(order) for name in ("histories", "valuation", "outlook", "tiering")
    }
    mixed["touches"] = situation.touches.take(np.arange(len(situation.touches))[::-1])
    if situation.consents is not None:
        mixed["consents"] = situation.consents.take(np.arange(len(situation.consents))[::-1])
    mixed["attributes"] = {
        name: value if isinstance(value, Mapping) or np.shape(value) != (n,) else np.asarray(value)[order]
        for name, value in situation.attributes.items()
    }
    return attrs.evolve(situation, **mixed)


def nobody(situation: Situation) -> Situation:
    """The same day without a customer."""
    tables = {name: getattr(situation, name).take([]) for name in ("histories", "valuation", "outlook", "tiering")}
    columns = {name: value for name, value in situation.attributes.items() if isinstance(value, Mapping)}
    return attrs.evolve(situation, **tables, attributes=columns)


def bare(situation: Situation) -> Situation:
    """The same customers, of whom nothing else is known: the optional fields as they are when nobody gives them."""
    names = ("histories", "valuation", "outlook", "tiering")
    tables = {name: getattr(situation, name) for name in names}
    known = attrs.evolve(tables["histories"], attributes={})
    return Situation(as_of=situation.as_of, **{**tables, "histories": known})


def mixed_order(n: int) -> Any:
    """An order that is neither the one that was nor its reverse."""
    return np.random.default_rng(7).permutation(n)


def spread(n: int, most: int = 12) -> list[int]:
    """Some positions of n, the first and the last among them."""
    return sorted({round(at) for at in np.linspace(0, n - 1, min(n, most))}) if n else []


def moved(proposals: Proposals, order: Any) -> Proposals:
    """The same proposals for a base whose customers stand in that order."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return attrs.evolve(proposals, base_row=place[proposals.base_row])
