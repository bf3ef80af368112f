"""What value models and timings have in common under the laws: a recipe is fitted to histories and asked about them."""

from typing import Any

from attrs import define, field

from retention.histories import Histories
from retention.testing._shared import (
    TOLERANCE,
    Subject,
    copied,
    first_difference,
    mixed_order,
    must,
    nothing_shared_changes,
    same,
    snapshot,
    spread,
)
from retention.testing.laws import NotAsked

__all__ = [
    "Fitting",
    "empty_in_empty_out",
    "fitting_twice_gives_the_same",
    "input_untouched",
    "one_is_many",
    "order_does_not_matter",
    "the_world_stays_as_it_was",
]


@define(eq=False)
class Fitting(Subject):
    """A recipe and what it became on a base, or a fitted thing alone.

    A kind says which of its things are recipes, what is asked of a fitted one, and how nearly answers agree.
    """

    given: Histories
    histories: Histories = field(init=False)
    _fitted: Any = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.histories = copied(self.given)

    def is_recipe(self, thing: Any) -> bool:
        """Whether it is to be fitted first."""
        return callable(getattr(thing, "fit", None))

    def answers(self, fitted: Any, histories: Histories) -> dict[str, Any]:
        """What a fitted thing says of a base, by name."""
        raise NotImplementedError

    def nearness(self, name: str) -> float:
        """How nearly an answer must be the same."""
        return TOLERANCE

    def fit(self, thing: Any, histories: Histories) -> Any:
        """The thing fitted to a base, if it is not fitted already."""
        return thing.fit(histories) if self.is_recipe(thing) else thing

    @property
    def recipe(self) -> Any:
        """The recipe; a law about fitting has nothing to ask without one."""
        if not self.is_recipe(self.thing):
            raise NotAsked("a fitted thing was given, and not a recipe")
        return self.thing

    def fresh_recipe(self) -> Any:
        """Another recipe like it."""
        return self.fresh() if self.recipe is not None else None

    @property
    def fitted(self) -> Any:
        """The fitted thing."""
        if self._fitted is None:
            self._fitted = self.fit(self.thing, self.histories)
        return self._fitted

    def told(self, rows: Any = None) -> dict[str, Any]:
        """What the fitted thing says of the base, or of some of its rows."""
        return self.answers(self.fitted, self.histories if rows is None else self.histories.take(rows))

    def agree(self, found: dict[str, Any], expected: dict[str, Any], what: str) -> None:
        """Fail unless all answers are the same."""
        for name, values in expected.items():
            same(name, found[name], values, what, self.nearness(name))


def one_is_many(subject: Fitting) -> None:
    """A customer gets the same answers alone as in company."""
    together = subject.told()
    for position in spread(len(subject.histories)):
        hers = {name: values[[position]] for name, values in together.items()}
        subject.agree(subject.told([position]), hers, "one customer alone against the same one in her base")


def order_does_not_matter(subject: Fitting) -> None:
    """Shuffled customers get shuffled answers."""
    order = mixed_order(len(subject.histories))
    shuffled = {name: values[order] for name, values in subject.told().items()}
    subject.agree(subject.told(order), shuffled, "rows in another order")


def empty_in_empty_out(subject: Fitting) -> None:
    """A base without customers has answers without rows."""
    for name, values in subject.told([]).items():
        must(len(values) == 0, f"{name} has {len(values)} rows for an empty base")


def fitting_twice_gives_the_same(subject: Fitting) -> None:
    """Fitted to the same base again, also by a recipe made alike, it gives the same numbers: no dice, no clock."""
    recipes = (("a second fit", subject.recipe), ("a recipe made alike", subject.fresh()))
    for what, recipe in recipes:
        again = subject.answers(recipe.fit(subject.histories), subject.histories)
        subject.agree(again, subject.told(), f"{what} learns otherwise")


def input_untouched(subject: Fitting) -> None:
    """Neither fitting nor any answer changes the histories."""
    histories = copied(subject.given)
    before = snapshot(histories)
    fitted = subject.fit(subject.fresh(), histories)
    changed = first_difference(before, snapshot(histories))
    must(not changed, f"histories.{changed} was changed by fit")
    subject.answers(fitted, histories)
    changed = first_difference(before, snapshot(histories))
    must(not changed, f"histories.{changed} was changed")


def the_world_stays_as_it_was(subject: Fitting) -> None:
    """It prints nothing and changes no state that all code shares: environment, warnings, random states, folder."""
    fresh = subject.fresh()
    with nothing_shared_changes():
        subject.answers(subject.fit(fresh, subject.histories), subject.histories)
