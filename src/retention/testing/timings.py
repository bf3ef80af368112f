"""The laws of timings: clocks that say who will come within so many days, and who still comes at all.

>>> from retention.testing import check_timing
>>> from retention.timing import LogT
>>> check_timing(LogT)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import define, field

from retention.histories import Histories
from retention.testing._shared import (
    Subject,
    copied,
    first_difference,
    maker,
    mixed_order,
    must,
    nothing_shared_changes,
    same,
    snapshot,
    spread,
)
from retention.testing.laws import Kit, NotAsked, laws, report
from retention.testing.samples import sample_histories

__all__ = ["KIT", "LAWS", "check_timing"]

_DAYS = (1.0, 7.0, 28.0, 91.0, 365.0, 3650.0)


@define(eq=False)
class _Timing(Subject):
    """A recipe and the clock that it became on a base, or a fitted clock alone."""

    given: Histories
    histories: Histories = field(init=False)
    _fitted: Any = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.histories = copied(self.given)

    @property
    def recipe(self) -> Any:
        """The recipe; a law about fitting has nothing to ask without one."""
        if not callable(getattr(self.thing, "fit", None)) or callable(getattr(self.thing, "p_purchase", None)):
            raise NotAsked("a fitted clock was given, and not a recipe")
        return self.thing

    def fresh_recipe(self) -> Any:
        """Another recipe like it."""
        return self.fresh() if self.recipe is not None else None

    @property
    def clock(self) -> Any:
        """The fitted clock."""
        if self._fitted is None:
            self._fitted = _fit(self.thing, self.histories)
        return self._fitted


def _fit(thing: Any, histories: Histories) -> Any:
    return thing if callable(getattr(thing, "p_purchase", None)) else thing.fit(histories)


def _subject(thing: Any, histories: Histories | None = None) -> _Timing:
    return _Timing(made=maker(thing), given=sample_histories() if histories is None else histories)


def _answers(clock: Any, histories: Histories) -> dict[str, Any]:
    answers = {"p_alive": np.asarray(clock.p_alive(histories))}
    return answers | {f"p_purchase in {d:.0f} days": np.asarray(clock.p_purchase(histories, d)) for d in (28.0, 365.0)}


def has_a_name(subject: _Timing) -> None:
    """The recipe has a name: text that is not blank."""
    name = getattr(subject.recipe, "name", None)
    must(isinstance(name, str) and name.strip(), f"name is {name!r}")


def shape_and_dtype(subject: _Timing) -> None:
    """Every answer is one float64 per customer."""
    n = len(subject.histories)
    for name, values in _answers(subject.clock, subject.histories).items():
        right = values.shape == (n,) and values.dtype == np.float64
        must(right, f"{name} is {values.dtype} of shape {values.shape}, not float64 of ({n},)")


def answers_are_probabilities(subject: _Timing) -> None:
    """Every answer lies between 0 and 1, for new customers, daily buyers and the long silent alike."""
    for days in (0.0, *_DAYS):
        come = np.asarray(subject.clock.p_purchase(subject.histories, days))
        must(np.all((come >= 0) & (come <= 1)), f"p_purchase in {days:.0f} days is not between 0 and 1")
    alive = np.asarray(subject.clock.p_alive(subject.histories))
    must(np.all((alive >= 0) & (alive <= 1)), "p_alive is not between 0 and 1")


def nobody_comes_in_no_time(subject: _Timing) -> None:
    """The probability of a purchase within 0 days is 0."""
    must(not np.any(subject.clock.p_purchase(subject.histories, 0.0)), "p_purchase in 0 days is not 0")


def more_days_more_purchases(subject: _Timing) -> None:
    """The probability of a purchase does not fall as the days grow."""
    before = np.zeros(len(subject.histories))
    for days in _DAYS:
        after = np.asarray(subject.clock.p_purchase(subject.histories, days))
        must(np.all(after >= before - 1e-9), f"p_purchase falls as the days grow to {days:.0f}")
        before = after


def who_comes_is_alive(subject: _Timing) -> None:
    """Within however many days, nobody comes more probably than she still is a customer."""
    alive = np.asarray(subject.clock.p_alive(subject.histories))
    for days in _DAYS:
        come = np.asarray(subject.clock.p_purchase(subject.histories, days))
        must(np.all(come <= alive + 1e-9), f"p_purchase in {days:.0f} days is more than p_alive for somebody")


def one_is_many(subject: _Timing) -> None:
    """A customer gets the same answers alone as in company."""
    together = _answers(subject.clock, subject.histories)
    for position in spread(len(subject.histories)):
        for name, alone in _answers(subject.clock, subject.histories.take([position])).items():
            same(name, alone, together[name][[position]], "one customer alone against the same one in her base")


def order_does_not_matter(subject: _Timing) -> None:
    """Shuffled customers get shuffled answers."""
    order = mixed_order(len(subject.histories))
    plain, shuffled = (_answers(subject.clock, base) for base in (subject.histories, subject.histories.take(order)))
    for name, values in plain.items():
        same(name, shuffled[name], values[order], "rows in another order")


def empty_in_empty_out(subject: _Timing) -> None:
    """A base without customers has answers without rows."""
    for name, values in _answers(subject.clock, subject.histories.take([])).items():
        must(len(values) == 0, f"{name} has {len(values)} rows for an empty base")


def fitting_twice_gives_the_same(subject: _Timing) -> None:
    """Fitted to the same base again, also by a recipe made alike, it gives the same numbers: no dice, no clock."""
    first = _answers(subject.recipe.fit(subject.histories), subject.histories)
    for what, recipe in (("a second fit", subject.recipe), ("a recipe made alike", subject.fresh())):
        again = _answers(recipe.fit(subject.histories), subject.histories)
        for name, values in first.items():
            same(name, again[name], values, f"{what} learns otherwise")


def a_recipe_stays_a_recipe(subject: _Timing) -> None:
    """Fitting to another base changes nothing of a clock that the recipe fitted before."""
    recipe = subject.fresh_recipe()
    first = _fit(recipe, subject.histories)
    told = _answers(first, subject.histories)
    recipe.fit(subject.histories.take(np.arange(len(subject.histories)) % 3 > 0))
    for name, values in _answers(first, subject.histories).items():
        same(name, values, told[name], "the recipe was fitted to another base meanwhile")


def input_untouched(subject: _Timing) -> None:
    """Neither fitting nor any answer changes the histories."""
    histories = copied(subject.given)
    before = snapshot(histories)
    _answers(_fit(subject.fresh(), histories), histories)
    changed = first_difference(before, snapshot(histories))
    must(not changed, f"histories.{changed} was changed")


def the_world_stays_as_it_was(subject: _Timing) -> None:
    """It prints nothing and changes no state that all code shares: environment, warnings, random states, folder."""
    fresh = subject.fresh()
    with nothing_shared_changes():
        _answers(_fit(fresh, subject.histories), subject.histories)


LAWS = laws(
    has_a_name,
    shape_and_dtype,
    answers_are_probabilities,
    nobody_comes_in_no_time,
    more_days_more_purchases,
    who_comes_is_alive,
    one_is_many,
    order_does_not_matter,
    empty_in_empty_out,
    fitting_twice_gives_the_same,
    a_recipe_stays_a_recipe,
    input_untouched,
    the_world_stays_as_it_was,
)
KIT = Kit("timing", LAWS, _subject)


def check_timing(
    timing: Any, histories: Histories | None = None, *, expected_failures: Mapping[str, str] | None = None
) -> None:
    """Hold a timing to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    Args:
        timing: a recipe, which is fitted first, or a fitted clock; or a class or function that makes one.
        histories: the base to fit to and to ask about; None takes ``sample_histories()``.
        expected_failures: laws that are known to fail, by name, each with the reason.
    """
    data = {} if histories is None else {"histories": histories}
    report(timing, "timing", expected_failures=expected_failures, **data).raise_if_broken()
