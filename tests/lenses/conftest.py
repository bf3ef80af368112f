"""Random logs, as rows that a test can recount by hand and as the log that is audited."""

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

import attrs
import numpy as np
import pytest
from hypothesis import strategies as st

from retention.records.transactions import TransactionLog

AS_OF = dt.date(2021, 12, 31)


class Row(NamedTuple):
    who: str
    day: dt.date
    order: str
    category: str
    revenue: Decimal
    margin: Decimal
    cancelled: bool

    @property
    def bought(self) -> bool:
        return self.revenue >= 0 and not self.cancelled


def _row(draw: st.DrawFn) -> Row:
    # Days crowd around the borders of two periods of 30 days, which is where off-by-one errors live.
    back = draw(st.sampled_from([-2, -1, 0, 1, 15, 29, 30, 31, 45, 59, 60, 61, 90]))
    cents = st.integers(-20_000, 20_000)
    return Row(
        who=draw(st.sampled_from("abcdef")),
        day=AS_OF - dt.timedelta(days=back),
        order=draw(st.sampled_from("1234")),
        category=draw(st.sampled_from(["tea", "coffee", "milk"])),
        revenue=Decimal(draw(cents)).scaleb(-2),
        margin=Decimal(draw(cents)).scaleb(-3),
        cancelled=draw(st.integers(0, 9)) == 0,
    )


@pytest.fixture(scope="session")
def any_rows() -> st.SearchStrategy[list[Row]]:
    """Anything: no rows, one customer, returns, negative margins, margins finer than cents, undone orders."""
    return st.lists(st.composite(_row)(), max_size=25)


@pytest.fixture(scope="session")
def log_of() -> Callable[..., TransactionLog]:
    def make(rows: Sequence[Row], *, categories: bool = True) -> TransactionLog:
        log = TransactionLog.from_arrays(
            customer_id=[row.who for row in rows],
            at=np.asarray([row.day for row in rows], dtype="datetime64[s]"),
            revenue=[row.revenue for row in rows],
            margin=[row.margin for row in rows],
            order=[row.order for row in rows],
            category=[row.category for row in rows] if categories else None,
        )
        cancelled = np.asarray([row.cancelled for row in rows], dtype=bool)
        return attrs.evolve(log, undone_at=np.where(cancelled, log.at, np.datetime64("NaT", "s")))

    return make


@pytest.fixture(scope="session")
def row_of() -> type[Row]:
    return Row
