"""The allocator over customers who are not in memory: the same allocation, batch by batch.

The prices of the limits are all that customers have to know of each other. So they are read a few times: prices are
made from samples, told to everybody, and each pass hands back sums alone. Those whose action no reasonable price would
change are decided by the prices; the few others are kept and settled among themselves, as in
:func:`retention.plan.allocate`. It is the same code, and the same choice, prices and bound to the last bit, however the
customers are cut into batches.

What is in memory: one batch, a sample of 75,000 customers, and those at the margin (one to seven in a hundred). Where
most customers tie at the prices (equal figures by the million), most are at the margin and all are kept.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import field, frozen
from numpy.typing import ArrayLike, NDArray

from retention.errors import ConfigError
from retention.frames.export import write_parts
from retention.plan.allocate import Settled, settled
from retention.plan.demand import Demand
from retention.plan.priced import Source
from retention.plan.priced_table import PricedTable

__all__ = ["AllocationInBatches", "allocate_batches"]


@frozen(eq=False, repr=False, kw_only=True)
class AllocationInBatches(Settled):
    """An :class:`~retention.plan.Allocation` of customers who are read in batches; see there for what is told.

    ``customers`` is how many there are, ``contacts`` how many of them get an action, ``passes`` how often all of them
    were read to settle that. Who gets what is told by :meth:`choices` and :meth:`write`, for which they are read once
    more.
    """

    customers: int
    contacts: int
    passes: int
    _each: Callable[[Any], Iterator[NDArray[np.int16]]] = field(alias="each")
    _batches: Any = field(alias="batches")

    def choices(self) -> Iterator[NDArray[np.int16]]:
        """For each batch, in order, the index of each customer's action, -1 for none.

        Example:
            >>> import numpy as np
            >>> batches = [(np.array([[5.0], [3.0]]), [1.0]), (np.array([[4.0]]), [1.0])]
            >>> got = allocate_batches(batches, money=2)
            >>> [actions.tolist() for actions in got.choices()]
            [[0, -1], [0]]
        """
        return self._each(None)

    @property
    def choice(self) -> NDArray[np.int16]:
        """All of them in one array, two bytes a customer."""
        return np.concatenate([np.zeros(0, dtype=np.int16), *self.choices()])

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Who gets which action as Parquet files in a folder, a part a batch: the customer's id and ``action``.

        Customers who get nothing are left out. Needs batches of :func:`priced_batches` with ``customer``.
        """
        table = self._batches
        if not isinstance(table, PricedTable) or table.customer is None:
            raise ConfigError(
                "batches without ids of customers",
                rule="an allocation can be written if its batches tell who is in them",
                remedy="read them by priced_batches(..., customer='customer'), or write what choices() gives yourself",
            )

        def parts() -> Iterator[dict[str, Any]]:
            ids: list[Any] = []
            for at in self._each(table.named(ids.append)):
                some = np.flatnonzero(at >= 0)
                yield {str(table.customer): ids.pop()[some], "action": at[some]}

        return write_parts(parts(), folder)

    def _who(self) -> str:
        return f"{self.contacts:,} of {self.customers:,} customers get an action"


def allocate_batches(
    batches: Iterable[Any] | Callable[[], Iterable[Any]],
    *,
    money: float | None = None,
    hours: float | None = None,
    hours_each: ArrayLike | None = None,
    channel: ArrayLike | None = None,
    capacity: Sequence[float | None] | ArrayLike | None = None,
    at_least: Sequence[float | None] | Mapping[int, float] | None = None,
    at_most: Sequence[float | None] | Mapping[int, float] | None = None,
    risk: float = 0.0,
    exact: bool | None = None,
) -> AllocationInBatches:
    """The allocation that :func:`~retention.plan.allocate` makes, of customers who are read in batches.

    ``batches`` is a list of batches, anything else that can be gone through again and again, or a function that starts
    to read them anew. A batch is ``(gains, costs)`` or :class:`PricedBatch`: the arguments of ``allocate`` that have a
    row for each customer, for some customers in a row. ``costs`` may be one figure an action. Batches may be of any
    size, and empty; each time they are read they must be of the same customers in the same order, and what was handed
    over must not be written over.
    :func:`priced_batches` reads them from a table.

    All else is as told at ``allocate``. ``hours_each`` is by action here; hours of pairs are in the batches. Up to
    40,000 customers are read once and settled in memory. More are read five times, and a few times more where a limit
    is 0, where a sum is over a limit by a rounding, where prices turn out to lie beside those of the sample, or where a
    floor cannot be met by prices.

    Returns an :class:`AllocationInBatches`.

    Errors: :class:`ConfigError` as of ``allocate``, with the number of the batch; for batches that can be gone through
    only once, that differ in their actions or fields, or that are not the same the second time.

    Example:
        >>> import numpy as np
        >>> def read():
        ...     yield np.array([[5.0, 9.0], [4.0, 6.0]]), np.array([1.0, 4.0])
        ...     yield np.array([[1.0, 0.5]]), np.array([1.0, 4.0])
        >>> got = allocate_batches(read, money=5)
        >>> [actions.tolist() for actions in got.choices()], got.objective
        ([[1, 0], [-1]], 8.0)
    """
    from retention._kernels import rounding

    source = Source(batches, keep=rounding.SMALL)
    if hours_each is not None and np.ndim(hours_each) != 1:
        raise ConfigError(
            f"hours_each of shape {np.shape(hours_each)}",
            rule="beside the batches hours_each is one figure an action",
            remedy="hours that differ by customer go into the batches, as their hours_each",
        )
    if hours_each is not None and source.has("hours_each"):
        raise ConfigError(
            "hours_each in the batches and beside them",
            rule="hours are by action or by pair",
            remedy="leave one of them out",
        )
    asked = Demand(
        source.customers(),
        money=money,
        hours=hours,
        hours_each=hours_each,
        channel=channel,
        capacity=capacity,
        at_least=at_least,
        at_most=at_most,
        risk=risk,
    )
    choice, account, figures = settled(asked, exact)

    def each(opened: Iterable[Any] | None) -> Iterator[NDArray[np.int16]]:
        first = 0
        for rows in source.read(opened):
            yield asked.of(choice, first, rows)
            first += len(rows.gains)

    return AllocationInBatches(
        customers=asked.facts.rows,
        contacts=account.contacts,
        passes=source.passes,
        each=each,
        batches=batches,
        **figures,
    )
