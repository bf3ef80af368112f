"""Features of customers, of whatever kind they come, as the columns that a ridge sees."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from retention.errors import ColumnError, ConfigError, nearest
from retention.frames.reading import RawColumn, open_source
from retention.frames.table import FloatColumn

__all__ = ["Encoder", "columns_of"]

_LEVELS = 30  # of a text column, each held by so many customers at least
_LEAST_OF_LEVEL = 20
_KNOTS = (0.2, 0.4, 0.6, 0.8)


@frozen(eq=False)
class Feature:
    """One column as it is encoded: a number clipped to [low, high] with bends at knots, or a flag for each level."""

    name: str
    low: float = 0.0
    high: float = 0.0
    knots: tuple[float, ...] = ()
    levels: tuple[str, ...] | None = None
    pooled: bool = False

    def of(self, raw: RawColumn) -> list[FloatColumn]:
        if bool(raw.missing.any()) or (raw.kind == "float" and not bool(np.isfinite(raw.values).all())):
            gaps = raw.missing | (~np.isfinite(raw.values) if raw.kind == "float" else False)
            raise ColumnError(
                f"feature {self.name!r} is missing or not finite in {int(np.sum(gaps)):,} rows",
                rule="a policy must know what to do with every customer",
                remedy="fill the gaps: a level of its own such as 'unknown', or a number and a flag",
            )
        if (raw.kind == "text") != (self.levels is not None):
            raise ColumnError(
                f"feature {self.name!r} was {'a number' if self.levels is None else 'text'} and is now of another kind",
                rule="a policy is asked about features of the kind that it has learned from",
                remedy="prepare the columns as before",
            )
        if self.levels is None:
            values = np.clip(raw.values.astype(np.float64), self.low, self.high)
            return [values, *(np.maximum(values - knot, 0.0) for knot in self.knots)]
        strange = sorted(set(raw.labels) - set(self.levels))
        if strange and not self.pooled:
            raise ColumnError(
                f"feature {self.name!r} has {len(strange)} levels that were not there",
                rule="what suits customers of an unknown level is not known",
                remedy="learn again from an experiment that has them, or set them to a known level",
            )
        return [
            (raw.values == code).astype(np.float64)
            for level in self.levels
            for code in [raw.labels.index(level) if level in raw.labels else -1]
        ]


@frozen(eq=False)
class Encoder:
    """Features as centred and scaled columns, remembered from the customers that were learned from."""

    features: tuple[Feature, ...]
    centre: FloatColumn
    scale: FloatColumn
    kept: NDArray[np.intp]
    straight: NDArray[np.intp]
    groups: NDArray[np.intp]

    @classmethod
    def learned(cls, columns: Mapping[str, RawColumn], notes: list[str]) -> "Encoder":
        features = []
        for name, raw in columns.items():
            if raw.kind == "time":
                raise ColumnError(
                    f"feature {name!r} holds dates", rule="features are numbers or text", remedy="pass days since then"
                )
            if raw.kind == "text":
                count = np.bincount(raw.values[raw.values >= 0], minlength=len(raw.labels))
                often = sorted(range(len(count)), key=lambda k: (-count[k], raw.labels[k]))[:_LEVELS]
                levels = tuple(sorted(raw.labels[k] for k in often if count[k] >= _LEAST_OF_LEVEL))
                pooled = len(levels) < len(count)
                if pooled:
                    notes.append(f"feature {name!r}: {len(count) - len(levels):,} rare levels count as one")
                features.append(Feature(name, levels=levels, pooled=pooled))
                continue
            values = raw.values.astype(np.float64)
            values = values[np.isfinite(values)]
            if not len(values):
                features.append(Feature(name))
                continue
            low, high = (float(each) for each in np.quantile(values, (0.01, 0.99)))
            low, high = (low, high) if low < high else (float(values.min()), float(values.max()))
            inner = np.unique(np.quantile(values, _KNOTS)) if len(np.unique(values)) > 2 else np.empty(0)
            features.append(Feature(name, low, high, tuple(float(k) for k in inner if low < k < high)))
        raw_rows = [feature.of(columns[feature.name]) for feature in features]
        # A number is one group of columns, its bends another, a text column with all its levels a third.
        groups = np.array(
            [
                2 * k + (at > 0 and feature.levels is None)
                for k, (feature, rows) in enumerate(zip(features, raw_rows, strict=True))
                for at in range(len(rows))
            ]
        )
        x = np.array([row for rows in raw_rows for row in rows])
        centre, scale = x.mean(axis=1), x.std(axis=1)
        kept = np.flatnonzero(scale > 1e-12 * np.maximum(np.abs(centre), 1e-300))
        if not len(kept):
            raise ColumnError(
                "no feature varies",
                rule="to choose by customer, customers must differ",
                remedy="pass a feature that does",
            )
        straight = np.flatnonzero(groups[kept] % 2 == 0)
        _, numbered = np.unique(groups[kept], return_inverse=True)
        return cls(tuple(features), centre[kept], scale[kept], kept, straight, numbered)

    def encode(self, columns: Mapping[str, RawColumn]) -> FloatColumn:
        """Shape (columns, customers)."""
        for feature in self.features:
            if feature.name not in columns:
                raise ColumnError(
                    f"there is no feature {feature.name!r}",
                    rule="a policy is asked about the features that it has learned from",
                    remedy=nearest(feature.name, columns),
                )
        rows = [row for feature in self.features for row in feature.of(columns[feature.name])]
        x = np.array([rows[k] for k in self.kept])
        x -= self.centre[:, None]
        x /= self.scale[:, None]
        return x

    def plain(self, x: FloatColumn) -> FloatColumn:
        """Without the bends, a row a customer."""
        return np.ascontiguousarray(x[self.straight].T)


def columns_of(features: Any) -> Mapping[str, RawColumn]:
    """The door for features: frames and files as everywhere, and arrays."""
    if isinstance(features, Mapping):
        lengths = {str(name): len(values) for name, values in features.items()}
        if len(set(lengths.values())) > 1:
            raise ConfigError(
                f"features of lengths {lengths}", rule="every feature has one value a customer", remedy="align them"
            )
        return {str(name): raw_column(str(name), np.asarray(values)) for name, values in features.items()}
    if isinstance(features, np.ndarray):
        if features.ndim != 2:
            raise ConfigError(
                f"features of {features.ndim} dimensions",
                rule="an array of features has a row a customer and a column a feature",
                remedy="pass a two-dimensional array, a frame, or a mapping of columns",
            )
        return {f"x{k}": raw_column(f"x{k}", values) for k, values in enumerate(features.T)}
    return open_source(features).columns


def raw_column(name: str, values: NDArray[Any]) -> RawColumn:
    from retention.frames.source import text_column

    if values.dtype.kind in "biu":
        return RawColumn(
            name=name, kind="int", values=values.astype(np.int64), missing=np.zeros(len(values), dtype=bool)
        )
    if values.dtype.kind == "f":
        return RawColumn(name=name, kind="float", values=values.astype(np.float64), missing=np.isnan(values))
    if values.dtype.kind == "M":
        return RawColumn(name=name, kind="time", values=values, missing=np.isnat(values))
    return text_column(name, [None if cell is None or cell != cell else str(cell) for cell in values.tolist()])
