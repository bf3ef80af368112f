"""The laws of estimators: a difference of two arms that follows the money, and is seldom wrong by chance.

>>> from types import SimpleNamespace
>>> from retention.proof.intervals import compare
>>> from retention.testing import check_estimator
>>> check_estimator(SimpleNamespace(name="permutation", estimate=compare))
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import define

from retention.testing._shared import Subject, has_a_name, maker, must, nothing_shared_changes
from retention.testing.laws import Kit, laws, report

__all__ = ["KIT", "LAWS", "check_estimator"]

_NUMBERS = ("value", "low", "high", "error", "tail_above", "tail_below")
_DRAWS, _LEVEL = 200, 0.90


@define(eq=False)
class _Estimator(Subject):
    """An estimator, and a trial of 400 customers in two groups with skewed spend and an effect."""

    values: Any
    contacted: Any
    group: Any
    before: Any

    def estimate(self, made: Any = None, **changed: Any) -> Any:
        """What it says of the trial, or of the trial with something changed."""
        asked = {name: getattr(self, name).copy() for name in ("values", "contacted", "group")} | changed
        values, contacted, group = asked.pop("values"), asked.pop("contacted"), asked.pop("group")
        return (self.thing if made is None else made).estimate(values, contacted, group, **{"level": _LEVEL, **asked})


def _subject(thing: Any) -> _Estimator:
    rng = np.random.default_rng(20111204)
    n = 400
    group = np.arange(n) % 2
    contacted = rng.random(n) < np.where(group == 0, 0.8, 0.6)
    before = np.round(rng.gamma(1.0, 20.0, n), 2)
    buys = rng.random(n) < 0.5
    values = np.round(np.where(buys, 0.6 * before + rng.gamma(2.0, 6.0, n) + 5.0 * contacted, 0.0), 2)
    return _Estimator(made=maker(thing), values=values, contacted=contacted, group=group, before=before)


def _near(name: str, found: Any, wanted: float, error: float, what: str) -> None:
    must(abs(getattr(found, name) - wanted) <= error, f"{name} is {getattr(found, name):.6g}, not {wanted:.6g}: {what}")


def answers_with_numbers(subject: _Estimator) -> None:
    """The answer has value, low, high, error, tail_above and tail_below, and each is a number."""
    found = subject.estimate()
    for name in _NUMBERS:
        value = getattr(found, name, None)
        must(isinstance(value, int | float | np.number) and not math.isnan(float(value)), f"{name} is {value!r}")
    must(found.error > 0, f"error is {found.error!r} where customers differ")


def bounds_are_in_order(subject: _Estimator) -> None:
    """low <= value <= high, with and without the past, and more certain bounds are further out."""
    for before in (None, subject.before):
        found, wider = subject.estimate(before=before), subject.estimate(before=before, level=0.99)
        must(found.low <= found.value <= found.high, "the value lies outside of its bounds")
        must(wider.low <= found.low and found.high <= wider.high, "bounds of 99 % do not contain those of 90 %")


def tails_are_probabilities(subject: _Estimator) -> None:
    """tail_above and tail_below lie between 0 and 1, and not both are small."""
    found = subject.estimate()
    tails = (found.tail_above, found.tail_below)
    must(all(0.0 <= tail <= 1.0 for tail in tails), f"tails are {tails}")
    must(sum(tails) >= 1.0 - 1e-9, f"tails of {tails} say that it is neither better nor worse")


def order_does_not_matter(subject: _Estimator) -> None:
    """Customers in another order give the same difference; bounds that were drawn may move by half an error."""
    order = np.random.default_rng(7).permutation(len(subject.values))
    shuffled = {name: getattr(subject, name)[order] for name in ("values", "contacted", "group")}
    plain, mixed = subject.estimate(), subject.estimate(**shuffled)
    _near("value", mixed, plain.value, 1e-9 * (1 + abs(plain.value)), "customers in another order")
    for name in ("low", "high"):
        _near(name, mixed, getattr(plain, name), plain.error / 2, "customers in another order")


def names_of_groups_do_not_matter(subject: _Estimator) -> None:
    """Groups are told apart, and what they are called changes nothing."""
    plain, renamed = subject.estimate(), subject.estimate(group=np.where(subject.group == 0, 907, 13))
    _near("value", renamed, plain.value, 1e-9 * (1 + abs(plain.value)), "groups of other names")
    for name in ("low", "high"):
        _near(name, renamed, getattr(plain, name), plain.error / 2, "groups of other names")


def a_gift_to_the_contacted_is_seen(subject: _Estimator) -> None:
    """If every contacted customer had brought c more, the difference were c more; drawn bounds within half an error."""
    plain = subject.estimate()
    c = 2.0 * plain.error
    more = subject.estimate(values=subject.values + c * subject.contacted)
    _near(
        "value", more, plain.value + c, 1e-9 * (1 + abs(plain.value) + c), f"{c:.3g} more for each contacted customer"
    )
    for name in ("low", "high"):
        wanted = getattr(plain, name) + c
        _near(name, more, wanted, plain.error / 2, f"{c:.3g} more for each contacted customer")


def a_gift_to_all_is_none(subject: _Estimator) -> None:
    """If everybody had brought 100 more, nothing were different."""
    plain, more = subject.estimate(), subject.estimate(values=subject.values + 100.0)
    for name in ("value", "low", "high"):
        wanted = getattr(plain, name)
        _near(name, more, wanted, 1e-6 * (100 + abs(wanted)), "100 more for everybody")


def money_in_cents_is_money(subject: _Estimator) -> None:
    """With all money a hundred times as much, as in cents, value, bounds and error are a hundred times as much."""
    for before in (None, subject.before):
        cents = None if before is None else 100.0 * before
        plain, more = subject.estimate(before=before), subject.estimate(values=100.0 * subject.values, before=cents)
        for name in ("value", "low", "high", "error"):
            wanted = 100.0 * getattr(plain, name)
            _near(name, more, wanted, 1e-6 * (1 + abs(wanted)), "money in cents")


def a_cost_comes_off(subject: _Estimator) -> None:
    """A known cost per contact comes off the value and both bounds, and changes no error."""
    plain, less = subject.estimate(), subject.estimate(cost=1.5)
    for name, off in (("value", 1.5), ("low", 1.5), ("high", 1.5), ("error", 0.0)):
        wanted = getattr(plain, name) - off
        _near(name, less, wanted, 1e-9 * (1 + abs(wanted)), "a cost of 1.5 a contact")


def seldom_wrong_by_chance(subject: _Estimator) -> None:
    """Where contact changes nothing, bounds of 90 % leave out zero in at most 20 % of 200 small trials.

    Fixed draws of 60 customers of whom half spend nothing. Right bounds are wrong in 10 %: more than 40 of 200 happens
    to them once in a hundred thousand such sets.
    """
    rng = np.random.default_rng(20111205)
    wrong = 0
    for _ in range(_DRAWS):
        values = np.where(rng.random(60) < 0.5, np.round(rng.gamma(0.7, 30.0, 60), 2), 0.0)
        contacted = rng.permutation(60) < 45
        found = subject.estimate(values=values, contacted=contacted, group=np.zeros(60, dtype=np.int64))
        wrong += not found.low <= 0.0 <= found.high
    must(wrong <= _DRAWS // 5, f"bounds of 90 % leave out the truth in {wrong} of {_DRAWS} trials without an effect")


def same_question_same_answer(subject: _Estimator) -> None:
    """Asked twice it answers the same, and so does another estimator made alike: no clock, no dice."""
    first = [getattr(subject.estimate(), name) for name in _NUMBERS]
    must([getattr(subject.estimate(), name) for name in _NUMBERS] == first, "asked a second time it answers otherwise")
    again = subject.estimate(subject.fresh())
    must([getattr(again, name) for name in _NUMBERS] == first, "another estimator made alike answers otherwise")


def input_untouched(subject: _Estimator) -> None:
    """It changes none of the arrays that it is given."""
    given = {name: getattr(subject, name).copy() for name in ("values", "contacted", "group", "before")}
    subject.estimate(subject.fresh(), **given)
    for name, values in given.items():
        must(np.array_equal(values, getattr(subject, name)), f"{name} was changed")


def the_world_stays_as_it_was(subject: _Estimator) -> None:
    """It prints nothing and changes no state that all code shares: environment, warnings, random states, folder."""
    made = subject.fresh()
    with nothing_shared_changes():
        subject.estimate(made, before=subject.before)


LAWS = laws(
    has_a_name,
    answers_with_numbers,
    bounds_are_in_order,
    tails_are_probabilities,
    order_does_not_matter,
    names_of_groups_do_not_matter,
    a_gift_to_the_contacted_is_seen,
    a_gift_to_all_is_none,
    money_in_cents_is_money,
    a_cost_comes_off,
    seldom_wrong_by_chance,
    same_question_same_answer,
    input_untouched,
    the_world_stays_as_it_was,
)
KIT = Kit("estimator", LAWS, _subject)


def check_estimator(estimator: Any, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Hold an estimator to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    Args:
        estimator: the estimator, or a class or function that makes one without arguments.
        expected_failures: laws that are known to fail, by name, each with the reason.
    """
    report(estimator, "estimator", expected_failures=expected_failures).raise_if_broken()
