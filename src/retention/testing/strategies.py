"""Hypothesis strategies for customer bases (needs the ``testing`` extra)."""

from typing import Any

from hypothesis import strategies as st

from retention.histories import Histories
from retention.testing.value_models import even_gaps

__all__ = ["histories"]


@st.composite
def _customer(draw: st.DrawFn, max_frequency: int, max_days: int) -> tuple[int, float, float, float]:
    age = draw(st.integers(0, max_days))
    frequency = draw(st.integers(0, min(age, max_frequency)))
    recency = draw(st.integers(frequency, age)) if frequency else 0
    cents = draw(st.integers(-20_000, 500_000)) if frequency else 0
    return frequency, float(recency), float(age), cents / 100


def histories(
    *, min_size: int = 0, max_size: int = 30, max_frequency: int = 400, max_days: int = 4_000
) -> st.SearchStrategy[Histories]:
    """Bases that can exist: whole days, at most one purchase day a day, returns that outweigh sales now and then.

    Use it with ``@given(base=histories())``.
    """

    def lift(rows: list[tuple[int, float, float, float]]) -> Histories:
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
        frequency, recency, age, margin_mean = columns
        margin = [(count + 1) * mean for count, mean in zip(frequency, margin_mean, strict=True)]
        return Histories.from_arrays(
            frequency=frequency,
            recency_days=recency,
            age_days=age,
            margin_mean=margin_mean,
            margin=margin,
            **even_gaps(frequency, recency),
        )

    return st.lists(_customer(max_frequency, max_days), min_size=min_size, max_size=max_size).map(lift)
