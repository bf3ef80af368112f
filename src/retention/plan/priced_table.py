"""Gains and costs of actions that stand in a table, read in batches: Parquet files, or a lazy frame of an engine."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from attrs import field, frozen

from retention.errors import ColumnError, ConfigError, nearest
from retention.frames.batches import Columns
from retention.frames.lazy import open_lazy
from retention.frames.ordered import ordered_batches
from retention.plan.priced import PricedBatch

__all__ = ["PricedTable", "priced_batches"]

ROWS = 131_072


@frozen(eq=False, repr=False)
class PricedTable:
    """Batches of a table, read anew by every iteration; made by :func:`priced_batches`."""

    source: Any
    fields: dict[str, Any] = field(kw_only=True)
    customer: str | None = field(kw_only=True)
    rows: int = field(kw_only=True)

    def __repr__(self) -> str:
        return f"PricedTable of {len(self.fields['gains'])} actions, {self.rows:,} customers a batch"

    def __iter__(self) -> Iterator[PricedBatch]:
        return (self._priced(columns) for columns in self._read(None))

    def named(self, tell: Callable[[Any], object]) -> Iterator[PricedBatch]:
        """The batches; the customers' ids are told before each."""
        for columns in self._read(self.customer):
            tell(columns[str(self.customer)])
            yield self._priced(columns)

    def _read(self, customer: str | None) -> Iterator[Columns]:
        frame = open_lazy(self.source)
        found = frame.collect_schema().names()
        wanted = [] if customer is None else [customer]
        for given in self.fields.values():
            wanted += [given] if isinstance(given, str) else [name for name in given or () if isinstance(name, str)]
        wanted = list(dict.fromkeys(wanted))
        for name in wanted:
            if name not in found:
                raise ColumnError(
                    f"no column {name!r}", rule="columns are named as in the table", remedy=nearest(name, found)
                )
        some = False
        for columns in ordered_batches(frame.select(wanted), self.rows):
            some = True
            yield columns
        if not some:  # a table of no rows tells how many actions there are as well
            yield {name: np.zeros(0, dtype=bool if name in (self.fields["allowed"] or ()) else int) for name in wanted}

    def _priced(self, columns: Columns) -> PricedBatch:
        def matrix(given: Any) -> Any:
            if given is None or not any(isinstance(name, str) for name in given):
                return given
            # A line an action: so they are computed with, and the columns are copied once.
            return np.stack([columns[name] for name in given]).T

        segment = self.fields["segment"]
        matrices = {name: matrix(given) for name, given in self.fields.items() if name != "segment"}
        return PricedBatch(segment=None if segment is None else columns[segment], **matrices)


def priced_batches(
    source: Any,
    *,
    gains: Sequence[str],
    costs: Sequence[str] | Sequence[float],
    segment: str | None = None,
    allowed: Sequence[str] | None = None,
    gains_sd: Sequence[str] | None = None,
    hours_each: Sequence[str] | None = None,
    customer: str | None = None,
    rows: int = ROWS,
) -> PricedTable:
    """A table with a row for each customer as batches for :func:`retention.plan.allocate_batches`.

    ``source`` is a path to Parquet or CSV (a file, a folder, a pattern) or a lazy frame of DuckDB, polars, Ibis, Dask
    or Spark, which hands over ``rows`` customers at a time, the columns that are named and no others. ``gains``,
    ``costs``, ``allowed``, ``gains_sd`` and ``hours_each`` name a column for each action, in one order; ``costs`` may
    be figures instead, one an action. ``customer`` names the ids, which are read only when the allocation is written.

    The engine must give the rows in one order each time. Of files they do, though Spark in an order of its own; of a
    query with joins or groups they may not, so write that to Parquet first. An allocation notices.

    Errors: :class:`ConfigError` for lists of different lengths, :class:`ColumnError` for a column that is missing.

    Example:
        >>> import polars, retention.plan as rp
        >>> table = polars.DataFrame({"who": ["ann", "bea", "cyd"], "mail": [3.0, 2.0, 4.0], "call": [5.0, 9.0, 6.0]})
        >>> priced = rp.priced_batches(table.lazy(), gains=["mail", "call"], costs=[1.0, 4.0], customer="who")
        >>> rp.allocate_batches(priced, money=6).choice.tolist()
        [0, 1, 0]
    """
    named = {"costs": costs, "allowed": allowed, "gains_sd": gains_sd, "hours_each": hours_each}
    for name, given in named.items():
        if isinstance(given, str) or isinstance(gains, str) or (given is not None and len(given) != len(gains)):
            raise ConfigError(
                f"gains={gains!r} and {name}={given!r}",
                rule=f"gains and {name} list a column for each action, in one order",
                remedy="give both lists, of one length, also for one action",
            )
    if len({isinstance(one, str) for one in costs}) > 1:
        raise ConfigError(
            f"costs={costs!r}", rule="costs are all columns or all figures", remedy="make columns of the figures"
        )
    return PricedTable(source, fields={"gains": gains, "segment": segment, **named}, customer=customer, rows=rows)
