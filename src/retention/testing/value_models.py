"""The laws of value models: the same numbers alone and in company, stored and read, finite for whoever can exist.

A recipe that knows no sum of money by heart may say ``scale_free = True``: in cents all is a hundred times as much.

>>> from retention.testing import check_value_model
>>> from retention.value import BGNBD
>>> check_value_model(BGNBD())
"""

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

import attrs
import numpy as np
from attrs import define

from retention.errors import RetentionError
from retention.histories import Histories
from retention.testing._shared import TOLERANCE, alike, maker, must, same, snapshot
from retention.testing.fitting import (
    Fitting,
    empty_in_empty_out,
    fitting_twice_gives_the_same,
    input_untouched,
    one_is_many,
    order_does_not_matter,
    the_world_stays_as_it_was,
)
from retention.testing.laws import BrokenLaws, Kit, Law, NotAsked, laws, report
from retention.testing.samples import even_gaps, sample_histories
from retention.value.valuation import FittedLikelihood, Valuation

__all__ = ["KIT", "LAWS", "BrokenLaws", "Law", "check_value_model", "even_gaps", "sample_histories"]

HORIZON = {"horizon_days": 180.0, "discount_rate": 0.10, "interval": 0.80}


@define(eq=False)
class _Model(Fitting):
    """A recipe and the model that it became on a base, or a fitted model alone."""

    def answers(self, fitted: Any, histories: Histories) -> dict[str, Any]:
        """Everything that a model says of a base."""
        worth = fitted.value(histories, **HORIZON)
        return {
            **({"log_likelihoods": fitted.log_likelihoods(histories)} if isinstance(fitted, FittedLikelihood) else {}),
            "p_alive": fitted.p_alive(histories),
            "expected_purchases": fitted.expected_purchases(histories, 90.0),
            **{f"value.{name}": values for name, values in worth.columns().items() if name != "customer_id"},
        }

    def nearness(self, name: str) -> float:
        """Bounds and spreads are searched for, to six digits, all else is computed."""
        return 1e-6 if name in ("value.value_low", "value.value_high", "value.value_sd") else TOLERANCE


def _subject(thing: Any, histories: Histories | None = None) -> _Model:
    return _Model(made=maker(thing), given=sample_histories() if histories is None else histories)


def has_a_name(subject: _Model) -> None:
    """It has a name, recipe and fitted model alike: text that is not blank."""
    for what, one in (("the recipe", subject.thing), ("the fitted model", subject.fitted)):
        name = getattr(one, "name", None)
        must(isinstance(name, str) and name.strip(), f"the name of {what} is {name!r}")


def parts_make_the_whole(subject: _Model) -> None:
    """The answers for two bases, joined, are the answers for the joined base."""
    cut = np.arange(len(subject.histories)) < len(subject.histories) // 3
    left, right = subject.told(cut), subject.told(~cut)
    joined = {name: np.concatenate([left[name], right[name]]) for name in left}
    subject.agree(joined, subject.told(), "two parts against the whole base")


def round_trip(subject: _Model) -> None:
    """to_dict is plain JSON, and from_dict gives exactly the same numbers back."""
    model, histories = subject.fitted, subject.histories
    text = json.dumps(model.to_dict(), allow_nan=False)
    again = type(model).from_dict(json.loads(text))
    told, kept = getattr(model, "params", {}), getattr(again, "params", {})
    if dict(kept) != dict(told):
        raise AssertionError("params differ after from_dict(to_dict())")
    before, after = subject.told(), subject.answers(again, histories)
    for name, values in before.items():
        if not np.array_equal(values, after[name], equal_nan=True):
            raise AssertionError(f"{name} differs after from_dict(to_dict())")


def shape_and_dtype(subject: _Model) -> None:
    """Every answer is one float64 per customer, the valuation keeps her ids in her order and repeats the question."""
    model, histories = subject.fitted, subject.histories
    for name, values in subject.told().items():
        array = np.asarray(values)
        if array.shape != (len(histories),) or array.dtype != np.float64:
            raise AssertionError(f"{name} is {array.dtype} of shape {array.shape}, not float64 of ({len(histories)},)")
    worth = model.value(histories, **HORIZON)
    if not isinstance(worth, Valuation) or not np.array_equal(worth.customer_id, histories.customer_id):
        raise AssertionError("value() is not a Valuation with the customers in their order")
    asked = (worth.horizon_days, worth.discount_rate, worth.interval)
    if asked != tuple(HORIZON.values()):
        raise AssertionError(f"the valuation says it was asked for {asked}, not {tuple(HORIZON.values())}")


def numbers_are_finite(subject: _Model) -> None:
    """No NaN and no infinity, for new customers, daily buyers and the long silent alike."""
    for name, values in subject.told().items():
        if not np.all(np.isfinite(values)):
            raise AssertionError(f"{name} holds {int(np.sum(~np.isfinite(values)))} values that are not finite")


def p_alive_is_a_probability(subject: _Model) -> None:
    """P(alive) lies between 0 and 1."""
    model, histories = subject.fitted, subject.histories
    alive = model.p_alive(histories)
    if np.any((alive < 0) | (alive > 1)):
        raise AssertionError(f"p_alive ranges from {alive.min():.6g} to {alive.max():.6g}")


def purchases_grow_with_the_horizon(subject: _Model) -> None:
    """Expected purchases are 0 for 0 days and never fall as the days grow."""
    model, histories = subject.fitted, subject.histories
    before = model.expected_purchases(histories, 0.0)
    if np.any(before != 0):
        raise AssertionError("expected_purchases in 0 days is not 0")
    for days in (1.0, 30.0, 365.0, 3650.0):
        after = model.expected_purchases(histories, days)
        if np.any(after < before - TOLERANCE * np.abs(before)):
            raise AssertionError(f"expected_purchases fall as the horizon grows to {days:.0f} days")
        before = after


def bounds_are_in_order(subject: _Model) -> None:
    """The lower bound is not above the upper one, and a wider interval has bounds further out.

    The value itself may lie outside: who most likely buys nothing has a positive expectation and the interval [0, 0].
    """
    model, histories = subject.fitted, subject.histories
    narrow = model.value(histories, **{**HORIZON, "interval": 0.5})
    wide = model.value(histories, **{**HORIZON, "interval": 0.95})
    slack = TOLERANCE * (1 + np.abs(wide.value_high) + np.abs(wide.value_low))
    if np.any(narrow.value_low > narrow.value_high) or np.any(wide.value_low > wide.value_high):
        raise AssertionError("value_low is above value_high")
    if np.any(wide.value_low > narrow.value_low + slack) or np.any(wide.value_high < narrow.value_high - slack):
        raise AssertionError("a 95 % interval does not contain the 50 % one")


def money_adds_up(subject: _Model) -> None:
    """Expected margin is purchases times margin, and discounting never adds to what is expected."""
    model, histories = subject.fitted, subject.histories
    worth = model.value(histories, **HORIZON)
    same("expected_margin", worth.expected_margin, worth.expected_purchases * worth.margin_mean, "not the product")
    if np.any(np.abs(worth.value) > np.abs(worth.expected_margin) * (1 + TOLERANCE) + 1e-12):
        raise AssertionError("discounted value exceeds the undiscounted margin")


def finite_for_everyone_who_can_exist(subject: _Model) -> None:
    """No NaN, no infinity and no negative count over a grid of histories that can exist, up to eleven years and back.

    From one bought today to 400 purchase days, margins from losses to a million a day, horizons of a day to ten years.
    A model that refuses such histories with one of this library's errors is not asked.
    """
    base = _everyone()
    try:
        alive = subject.fitted.p_alive(base)
    except RetentionError as refused:
        raise NotAsked(f"the model refuses such histories: {refused.rule}") from None
    must(np.all((alive >= 0) & (alive <= 1)), "p_alive is not between 0 and 1 for somebody who can exist")
    for days in (1.0, 365.0, 3650.0):
        count = subject.fitted.expected_purchases(base, days)
        must(
            np.all(np.isfinite(count) & (count >= 0)),
            f"expected_purchases in {days:.0f} days are no count for somebody",
        )
    worth = subject.fitted.value(base, horizon_days=365.0, discount_rate=0.10, interval=0.90)
    for name in ("value", "value_low", "value_high", "expected_margin"):
        bad = int(np.sum(~np.isfinite(getattr(worth, name))))
        must(not bad, f"{name} is not finite for {bad} of {len(base)} who can exist")


def _everyone() -> Histories:
    """A grid of customers who can exist: whole days, at most one purchase day a day."""
    rows = [
        (x, recency, age, money)
        for x, age, share, money in product(
            (0, 1, 2, 12, 400), (0, 1, 30, 365, 4000), (0.0, 0.5, 1.0), (-50.0, 0.0, 0.01, 25.0, 1e6)
        )
        for recency in [max(x, round(share * age)) if x else 0]
        if recency <= age and (x or (share == 0 and money == 0))
    ]
    x, recency, age, money = (np.asarray(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Histories.from_arrays(
        frequency=x,
        recency_days=recency,
        age_days=age,
        margin_mean=money,
        margin=(x + 1) * money,
        margin_squares=x * money**2,
        **even_gaps(x, recency),
    )


def a_recipe_stays_a_recipe(subject: _Model) -> None:
    """Fitting changes nothing of the recipe: not its settings, and not what it fitted before to another base."""
    recipe = subject.fresh_recipe()
    before = _settings(recipe)
    first = recipe.fit(subject.histories)
    must(alike(before, _settings(recipe)), "a setting of the recipe was changed by fit")
    told = subject.answers(first, subject.histories)
    other = subject.histories.take(np.arange(len(subject.histories)) % 3 > 0)
    recipe.fit(other)
    subject.agree(subject.answers(first, subject.histories), told, "the recipe was fitted to another base meanwhile")


def _settings(recipe: Any) -> Any:
    return snapshot(recipe if attrs.has(type(recipe)) else dict(getattr(recipe, "__dict__", {})))


def money_in_cents_is_money(subject: _Model) -> None:
    """Where it says ``scale_free = True``: with all money times a hundred, as in cents, so are value and bounds."""
    if not getattr(subject.recipe, "scale_free", False):
        raise NotAsked("the recipe does not say that it is scale_free: it may know sums of money by heart")
    base, cents = subject.histories, {}
    for name in ("revenue", "margin", "margin_mean", "returns"):
        cents[name] = 100.0 * base.columns()[name]
    in_cents = attrs.evolve(base, **cents, margin_squares=1e4 * base.margin_squares)
    recipe = subject.fresh_recipe()
    plain = subject.fitted.value(base, **HORIZON)
    worth = recipe.fit(in_cents).value(in_cents, **HORIZON)
    for name in ("value", "value_low", "value_high", "expected_margin"):
        now, then = getattr(worth, name), 100.0 * getattr(plain, name)
        scale = float(np.max(np.abs(then), initial=1e-9))
        must(
            np.allclose(now, then, rtol=1e-5, atol=1e-6 * scale),
            f"{name} in cents is not 100 times that in whole money",
        )
    same("expected_purchases", worth.expected_purchases, plain.expected_purchases, "money in cents", 1e-6)


LAWS = laws(
    has_a_name,
    one_is_many,
    parts_make_the_whole,
    order_does_not_matter,
    round_trip,
    shape_and_dtype,
    input_untouched,
    empty_in_empty_out,
    numbers_are_finite,
    finite_for_everyone_who_can_exist,
    p_alive_is_a_probability,
    purchases_grow_with_the_horizon,
    bounds_are_in_order,
    money_adds_up,
    money_in_cents_is_money,
    fitting_twice_gives_the_same,
    a_recipe_stays_a_recipe,
    the_world_stays_as_it_was,
)
KIT = Kit("value_model", LAWS, _subject)


def check_value_model(
    model: Any, histories: Histories | None = None, *, expected_failures: Mapping[str, str] | None = None
) -> None:
    """Hold a model to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    A law that cannot be checked because the model raises counts as broken.

    Args:
        model: a recipe, which is fitted first, or a fitted model; or a class or function that makes one.
        histories: the base to fit to and to ask about; None takes ``sample_histories()``.
        expected_failures: laws that are known to fail, by name, each with the reason.
    """
    data = {} if histories is None else {"histories": histories}
    report(model, "value_model", expected_failures=expected_failures, **data).raise_if_broken()
