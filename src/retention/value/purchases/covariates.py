"""What else is known of a customer, as columns of numbers that move her purchase rate or her drop-out."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from attrs import frozen

from retention.errors import ModelError, nearest
from retention.frames.table import FloatColumn
from retention.histories import Histories

__all__ = ["Column", "Design", "Moves", "names_of", "own_params"]

Moves = tuple[tuple[int, int], ...]
"""For each coefficient of a design: which parameter it moves, and which way (1 or -1)."""


@frozen
class Column:
    """One column: an attribute as a number, or a flag for one ``level`` of a text attribute.

    Models work with it in standard deviations (``scale``) from the average (``center``) of the base they were fitted
    to, so that an attribute far from 0, like a year, loses no digits; coefficients are told per unit of the attribute.
    """

    attribute: str
    level: str | None = None
    center: float = 0.0
    scale: float = 1.0

    @property
    def name(self) -> str:
        """As it is printed: ``channel=web``, or the attribute's own name."""
        return self.attribute if self.level is None else f"{self.attribute}={self.level}"

    def of(self, histories: Histories) -> FloatColumn:
        """Its raw values for a base."""
        values = histories.attributes[self.attribute]
        if self.level is None:
            return np.asarray(values, dtype=np.float64)
        return np.asarray(np.asarray(values, dtype=np.str_) == self.level, dtype=np.float64)


@frozen(kw_only=True)
class Design:
    """Which columns move which process, learned from the base that a model is fitted to.

    A text attribute becomes one flag for each level but the first in alphabetical order. Another base must have the
    same attributes, and no level that was not there: what such a customer does is not known.
    """

    rate: tuple[Column, ...]
    dropout: tuple[Column, ...]
    levels: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.rate) + len(self.dropout)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coefficients: ``rate:channel=web``, ``dropout:age``."""
        return (*(f"rate:{c.name}" for c in self.rate), *(f"dropout:{c.name}" for c in self.dropout))

    @classmethod
    def learn(cls, histories: Histories, rate: tuple[str, ...], dropout: tuple[str, ...], weight: FloatColumn) -> Self:
        """The columns of the named attributes of a base."""
        levels: dict[str, tuple[str, ...]] = {}
        made: dict[str, list[Column]] = {}
        for name in dict.fromkeys((*rate, *dropout)):
            if name not in histories.attributes:
                raise ModelError(
                    f"covariate {name!r}",
                    rule=f"the attributes of this base are {', '.join(histories.attributes) or 'none'}",
                    remedy=f"base.with_attributes({{{name!r}: [...]}})"
                    if not histories.attributes
                    else nearest(name, tuple(histories.attributes)),
                )
            values = histories.attributes[name]
            columns = [Column(name)]
            if values.dtype.kind not in "biuf":
                levels[name] = tuple(np.unique(values).tolist())
                columns = [Column(name, level) for level in levels[name][1:]]
            made[name] = [_scaled(column, histories, weight) for column in columns]
        return cls(
            rate=tuple(column for name in rate for column in made[name]),
            dropout=tuple(column for name in dropout for column in made[name]),
            levels=levels,
        )

    @property
    def scales(self) -> FloatColumn:
        """Of the columns: a coefficient per unit of the attribute, times this, is one by standard deviations."""
        return np.array([column.scale for column in (*self.rate, *self.dropout)])

    def told(self, coefficients: Iterable[float]) -> dict[str, float]:
        """Coefficients by name, per unit of the attribute."""
        return {name: c / float(s) for name, c, s in zip(self.names, coefficients, self.scales, strict=True)}

    def matrix(self, histories: Histories) -> FloatColumn:
        """A row a customer, a column a coefficient, in standard deviations from the average of the base fitted to."""
        for name in {column.attribute for column in (*self.rate, *self.dropout)} | set(self.levels):
            if name not in histories.attributes:
                raise ModelError(
                    f"a base without the attribute {name!r}",
                    rule="a model with covariates answers for customers whose covariates are known",
                    remedy=f"base.with_attributes({{{name!r}: [...]}})",
                )
            if name in self.levels:
                unknown = set(np.unique(histories.attributes[name]).tolist()) - set(self.levels[name])
                if unknown:
                    raise ModelError(
                        f"attribute {name!r} with {len(unknown)} level(s) that the model has not seen",
                        rule=f"it was fitted with {len(self.levels[name])} level(s), and knows nothing of others",
                        remedy="merge rare levels into one before fitting, or fit again",
                    )
        columns = (*self.rate, *self.dropout)
        out = np.empty((len(histories), len(columns)))
        for j, column in enumerate(columns):
            out[:, j] = (_numbers(column, histories) - column.center) / column.scale
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""

        def plain(columns: tuple[Column, ...]) -> list[list[Any]]:
            return [[c.attribute, c.level, c.center, c.scale] for c in columns]

        levels = {name: list(found) for name, found in self.levels.items()}
        return {"rate": plain(self.rate), "dropout": plain(self.dropout), "levels": levels}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The design that ``to_dict`` wrote down."""
        read = cls(
            rate=tuple(Column(*each) for each in data["rate"]),
            dropout=tuple(Column(*each) for each in data["dropout"]),
            levels={name: tuple(found) for name, found in data["levels"].items()},
        )
        columns = (*read.rate, *read.dropout)
        if not all(math.isfinite(each.center) and 0 < each.scale < math.inf for each in columns):
            raise ValueError("a covariate without a finite center and a positive scale")
        return read


def own_params(logs: FloatColumn, coefficients: FloatColumn, matrix: FloatColumn, moves: Moves) -> list[FloatColumn]:
    """The parameters of each customer: their logs for the average one, moved by the rows of a design matrix."""
    own = [np.full(len(matrix), value) for value in logs]
    for j, (moved, sign) in enumerate(moves):
        own[moved] += sign * coefficients[j] * matrix[:, j]
    return [np.exp(np.clip(values, -50.0, 50.0)) for values in own]


def _numbers(column: Column, histories: Histories) -> FloatColumn:
    """A column's raw values, or one clear error if they are no finite numbers."""
    given = histories.attributes[column.attribute]
    numeric = column.level is not None or given.dtype.kind in "biuf"
    values = column.of(histories) if numeric else np.full(len(histories), np.nan)
    if not np.all(np.isfinite(values)):
        raise ModelError(
            f"covariate {column.attribute!r} with values that are not finite numbers",
            rule="a covariate that was numbers when the model was fitted stays finite numbers",
            remedy="mend them, or give the attribute as text with a level 'unknown'",
        )
    return values


def _scaled(column: Column, histories: Histories, weight: FloatColumn) -> Column:
    values = _numbers(column, histories)
    total = max(float(weight.sum()), 1e-300)
    center = float(np.einsum("n,n->", weight, values)) / total
    spread = float(np.sqrt(np.einsum("n,n->", weight, (values - center) ** 2) / total))
    return Column(column.attribute, column.level, center, spread if spread > 1e-12 * (1 + abs(center)) else 1.0)


def names_of(given: str | Iterable[str]) -> tuple[str, ...]:
    """Names of covariates; one name is one name, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)
