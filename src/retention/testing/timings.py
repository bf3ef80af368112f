"""The laws of timings: clocks that say who will come within so many days, and who still comes at all.

>>> from retention.testing import check_timing
>>> from retention.timing import LogT
>>> check_timing(LogT)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import define

from retention.histories import Histories
from retention.testing._shared import maker, must
from retention.testing.fitting import (
    Fitting,
    empty_in_empty_out,
    fitting_twice_gives_the_same,
    input_untouched,
    one_is_many,
    order_does_not_matter,
    the_world_stays_as_it_was,
)
from retention.testing.laws import Kit, laws, report
from retention.testing.samples import sample_histories

__all__ = ["KIT", "LAWS", "check_timing"]

_DAYS = (1.0, 7.0, 28.0, 91.0, 365.0, 3650.0)


@define(eq=False)
class _Timing(Fitting):
    """A recipe and the clock that it became on a base, or a fitted clock alone."""

    def is_recipe(self, thing: Any) -> bool:
        """What answers already is a clock, be it one that could be fitted anew."""
        return super().is_recipe(thing) and not callable(getattr(thing, "p_purchase", None))

    def answers(self, fitted: Any, histories: Histories) -> dict[str, Any]:
        """P(alive), and the probability of a purchase soon and within a year."""
        answers = {"p_alive": np.asarray(fitted.p_alive(histories))}
        return answers | {
            f"p_purchase in {d:.0f} days": np.asarray(fitted.p_purchase(histories, d)) for d in (28.0, 365.0)
        }


def _subject(thing: Any, histories: Histories | None = None) -> _Timing:
    return _Timing(made=maker(thing), given=sample_histories() if histories is None else histories)


def has_a_name(subject: _Timing) -> None:
    """The recipe has a name: text that is not blank."""
    name = getattr(subject.recipe, "name", None)
    must(isinstance(name, str) and name.strip(), f"name is {name!r}")


def shape_and_dtype(subject: _Timing) -> None:
    """Every answer is one float64 per customer."""
    n = len(subject.histories)
    for name, values in subject.told().items():
        right = values.shape == (n,) and values.dtype == np.float64
        must(right, f"{name} is {values.dtype} of shape {values.shape}, not float64 of ({n},)")


def answers_are_probabilities(subject: _Timing) -> None:
    """Every answer lies between 0 and 1, for new customers, daily buyers and the long silent alike."""
    for days in (0.0, *_DAYS):
        come = np.asarray(subject.fitted.p_purchase(subject.histories, days))
        must(np.all((come >= 0) & (come <= 1)), f"p_purchase in {days:.0f} days is not between 0 and 1")
    alive = np.asarray(subject.fitted.p_alive(subject.histories))
    must(np.all((alive >= 0) & (alive <= 1)), "p_alive is not between 0 and 1")


def nobody_comes_in_no_time(subject: _Timing) -> None:
    """The probability of a purchase within 0 days is 0."""
    must(not np.any(subject.fitted.p_purchase(subject.histories, 0.0)), "p_purchase in 0 days is not 0")


def more_days_more_purchases(subject: _Timing) -> None:
    """The probability of a purchase does not fall as the days grow."""
    before = np.zeros(len(subject.histories))
    for days in _DAYS:
        after = np.asarray(subject.fitted.p_purchase(subject.histories, days))
        must(np.all(after >= before - 1e-9), f"p_purchase falls as the days grow to {days:.0f}")
        before = after


def who_comes_is_alive(subject: _Timing) -> None:
    """Within however many days, nobody comes more probably than she still is a customer."""
    alive = np.asarray(subject.fitted.p_alive(subject.histories))
    for days in _DAYS:
        come = np.asarray(subject.fitted.p_purchase(subject.histories, days))
        must(np.all(come <= alive + 1e-9), f"p_purchase in {days:.0f} days is more than p_alive for somebody")


def a_recipe_stays_a_recipe(subject: _Timing) -> None:
    """Fitting to another base changes nothing of a clock that the recipe fitted before."""
    recipe = subject.fresh_recipe()
    first = recipe.fit(subject.histories)
    told = subject.answers(first, subject.histories)
    recipe.fit(subject.histories.take(np.arange(len(subject.histories)) % 3 > 0))
    subject.agree(subject.answers(first, subject.histories), told, "the recipe was fitted to another base meanwhile")


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
