"""Who tells the difference of two arms: any estimator by name, and whether its answer can be one."""

import math
from typing import Any, Protocol, runtime_checkable

import attrs
import numpy as np

from retention.errors import PluginError
from retention.frames.table import BoolColumn, FloatColumn, IntColumn
from retention.proof.intervals import Difference

__all__ = ["Estimator", "estimated"]


@runtime_checkable
class Estimator(Protocol):
    """The difference of two arms with its interval. Deterministic: the same arms, the same answer."""

    @property
    def name(self) -> str:
        """The registry name of the estimator."""

    def estimate(
        self,
        values: FloatColumn,
        contacted: BoolColumn,
        group: IntColumn,
        *,
        before: FloatColumn | None = None,
        level: float = 0.95,
        cost: float = 0.0,
    ) -> Difference:
        """Contacted less held-out within groups, less a known ``cost`` a contacted customer.

        ``values`` is a margin a customer, ``contacted`` her arm, ``group`` whom she may be compared with: within one
        group chances were equal, and each holds both arms. ``before`` is a number known before the decision, or None.
        ``level`` is the interval's confidence.
        """


def estimated(
    estimator: Estimator,
    values: FloatColumn,
    contacted: BoolColumn,
    group: IntColumn,
    *,
    before: FloatColumn | None,
    level: float,
    cost: float,
) -> Difference:
    """What an estimator says, if it can be: a Difference of plain numbers, the interval around its value.

    Raises PluginError with the estimator's name otherwise; what it raises itself gets a note with it.
    """
    name = getattr(estimator, "name", type(estimator).__name__)
    columns: list[Any] = []
    for column in (values, contacted, group, before):  # what is compared stays what it was, whatever an estimator does
        view = None if column is None else np.asarray(column).view()
        if view is not None:
            view.flags.writeable = False
        columns.append(view)
    try:
        told = estimator.estimate(*columns[:3], before=columns[3], level=level, cost=cost)
    except Exception as error:
        if not type(estimator).__module__.startswith("retention."):
            error.add_note(f"while the estimator {name!r} compared {len(values):,} customers")
        raise
    fault = _fault(told)
    if fault:
        raise PluginError(
            f"the estimator {name!r} answered with {fault}",
            rule="an estimator answers with a Difference: low <= value <= high, an error above 0 or NaN where nothing "
            "can be said, tails between 0 and 1",
            remedy="mend the estimator, or take estimator='permutation'",
        )
    return told


def _fault(told: Any) -> str:
    if not isinstance(told, Difference):
        return f"a {type(told).__name__}"
    numbers = attrs.asdict(told)
    strange = [field for field, number in numbers.items() if not isinstance(number, float | int | np.floating)]
    if strange:
        return f"{strange[0]} of type {type(numbers[strange[0]]).__name__}"
    if not (math.isfinite(told.value) and told.low <= told.value <= told.high):
        return f"the value {told.value:.6g} and the interval from {told.low:.6g} to {told.high:.6g}"
    known = told.error > 0
    if not (known or math.isnan(told.error)) or (known and not (told.plain_error > 0 and math.isfinite(told.error))):
        return f"an error of {told.error:.6g} and a plain error of {told.plain_error:.6g}"
    if not (0 <= told.tail_above <= 1 and 0 <= told.tail_below <= 1 and told.explained <= 1):
        return f"tails of {told.tail_above:.6g} and {told.tail_below:.6g}"
    return ""
