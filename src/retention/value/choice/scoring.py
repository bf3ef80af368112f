"""How good a forecast was: log scores, differences between models with their errors, and the verdict in words."""

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.table import FloatColumn, IntColumn
from retention.histories import Histories
from retention.value.purchases.fitted import FittedPurchases
from retention.value.valuation import FittedValueModel, ValueModel

if TYPE_CHECKING:
    from retention.value.choice.naive import Naive

__all__ = ["Difference", "Forecast", "difference", "judged", "log_scores", "misses", "verdict"]

MOST = 100
"""Counts of this many purchases and more are one outcome of the log score: P(X >= 100), the same for every model."""

FLOOR = 1e-12
"""The least probability that is scored: one customer costs a model at most 27.6 nats, however impossible she is."""

TOLD = 2.0
"""A difference is told from none if it is more than so many standard errors ..."""

FEW_NATS = 4.0
"""... and, for log scores, more than so many nats: below, the standard error itself is not to be relied on (Sivula,
Magnusson, Matamoros and Vehtari 2025)."""

_BLOCK = 4_000_000  # probabilities held at one time


@frozen(kw_only=True, eq=False)
class Forecast:
    """What one model said of each judged customer and cut: purchase days, margin (None if it knows none), log score.

    ``log_score`` is log P(what she did), None for a model that gives no probabilities; ``floored`` counts the rows
    whose probability was below the floor.
    """

    purchases: FloatColumn
    margin: FloatColumn | None
    log_score: FloatColumn | None
    floored: int
    seconds: float
    baseline: bool


class Difference(NamedTuple):
    """How much better the first of two is, summed over customers, with its standard error; ``told``: beyond error."""

    better_by: float
    error: float
    told: bool


def difference(first: FloatColumn, second: FloatColumn, cluster: Any = None, *, few: float = FEW_NATS) -> Difference:
    """How much higher the sum of the first scores is; the standard error takes rows of one cluster as one.

    Told from none: beyond ``TOLD`` standard errors and ``few``.

    Example:
        >>> better_by, error, told = difference(np.array([2.0, 0.0, 2.0, 0.0] * 25), np.zeros(100))
        >>> print(f"{better_by:.0f} ± {error:.2f}, told: {told}")
        100 ± 10.05, told: True
    """
    gap = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    total = float(np.einsum("n->", gap))
    sums: FloatColumn = gap - total / max(len(gap), 1)
    if cluster is not None:
        sums = np.asarray(np.bincount(np.unique(cluster, return_inverse=True)[1], sums), dtype=np.float64)
    squares, groups = float(np.einsum("n,n->", sums, sums)), len(sums)
    error = math.sqrt(squares * groups / (groups - 1)) if groups > 1 else math.inf
    return Difference(total, error, bool(abs(total) > max(TOLD * error, few)))


def verdict(best: str, others: Iterable[tuple[str, Difference]], score: str) -> str:
    """In words: ahead of whom and by how much, and from whom it cannot be told."""
    ahead: list[str] = []
    alike: list[str] = []
    for name, gap in others:
        by = f"{gap.better_by:,.1f} ± {gap.error:,.1f}"
        if gap.told:
            ahead.append(f"ahead of {name} by {by}" + ("" if ahead else f" nats of {score}"))
        else:
            alike.append(f"{name} ({by})")
    parts = [", ".join(ahead)] if ahead else []
    parts += [f"cannot tell from {', '.join(alike)}" + ("" if ahead else f" by nats of {score}")] if alike else []
    return f"{best}: {'; '.join(parts)}" if parts else f"{best}: the only one with a {score}"


def log_scores(
    probabilities: Callable[[Any, int], FloatColumn], actual: IntColumn, most: int = MOST
) -> tuple[FloatColumn, int]:
    """log P(X = actual) by row, counts of ``most`` and more as one outcome, floored; and how many were.

    ``probabilities(rows, n)`` gives P(X = 0 .. n) of some rows. Rows of like counts are asked for together.
    """
    scores, floored = np.empty(len(actual)), 0
    capped = np.minimum(actual, most)
    for low, high in pairwise((0, 2, 8, 32, most, most + 1)):
        mine = np.flatnonzero((capped >= low) & (capped < high))
        size = max(1, _BLOCK // high)
        for start in range(0, len(mine), size):
            rows = mine[start : start + size]
            p = probabilities(rows, high - 1 if low < most else most - 1)
            chance = 1 - p.sum(axis=1) if low == most else p[np.arange(len(rows)), capped[rows]]
            floored += int(np.sum(~(chance >= FLOOR)))
            scores[rows] = np.log(np.maximum(np.nan_to_num(chance), FLOOR))
    return scores, floored


def judged(
    base: Histories,
    models: Mapping[str, ValueModel | FittedValueModel],
    naive: "tuple[Naive, ...]",
    actual: IntColumn,
    days: float,
    notes: list[str],
) -> list[tuple[str, Forecast]]:
    """Each model's and each baseline's forecast, scored; what must be known of it goes to the notes."""
    found: list[tuple[str, Forecast]] = []
    for name, model in models.items():
        began = perf_counter()
        fitted: FittedValueModel
        if isinstance(model, ValueModel):
            fitted = model.fit(base)
        else:
            fitted = model
            notes.append(f"{name}: came with its parameters; whether they know of the window is not known here")
        seconds = perf_counter() - began
        scores, floored = None, 0
        ask = getattr(fitted, "purchase_probabilities", None)
        if ask is None:
            notes.append(f"{name}: gives no probabilities, so no log score")
        else:
            scores, floored = log_scores(lambda rows, most, ask=ask: ask(base[rows], days, most), actual)  # type: ignore[misc]
        if isinstance(fitted, FittedPurchases):
            told = fitted.estimate.notes if fitted.estimate else ()
            notes += [note if note.startswith(f"{name}: ") else f"{name}: {note}" for note in told]
        purchases, margin = _expected(fitted, base, days)
        found.append((name, Forecast(
            purchases=purchases, margin=margin, log_score=scores, floored=floored, seconds=seconds, baseline=False,
        )))  # fmt: skip
    for one in naive:
        scores, floored = None, 0
        if one.spread is not None:
            raw = one.spread.log_scores(one.purchases, actual.astype(np.float64), MOST)
            scores, floored = np.maximum(raw, math.log(FLOOR)), int(np.sum(raw < math.log(FLOOR)))
        if one.name in models:
            raise ConfigError(
                f"a model named {one.name!r}", rule="that is a baseline's name", remedy="name yours otherwise"
            )
        found.append((one.name, Forecast(
            purchases=one.purchases, margin=one.margin, log_score=scores, floored=floored, seconds=0.0, baseline=True,
        )))  # fmt: skip
    return found


def _expected(fitted: FittedValueModel, base: Histories, days: float) -> tuple[FloatColumn, FloatColumn | None]:
    if isinstance(fitted, FittedPurchases):
        purchases = fitted.expected_purchases(base, days)
        money = None if fitted.margin is None else fitted.margin.margin_mean(base, fitted.margin_log_rate(base, days))
        return purchases, None if money is None else purchases * money
    worth = fitted.value(base, horizon_days=days, discount_rate=0.0)
    return worth.expected_purchases, worth.expected_margin


def misses(forecast: FloatColumn, fact: Any) -> tuple[float, float]:
    """Mean absolute and root mean squared error."""
    miss = forecast - fact
    return float(np.abs(miss).mean()), float(np.sqrt(np.mean(miss**2)))
