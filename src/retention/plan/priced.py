"""Customers with what each action would bring and cost: kept in memory, or gone through again and again in batches."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from retention.errors import ConfigError
from retention.plan.figures import checked_indices, checked_matrix

__all__ = ["Customers", "Facts", "InBatches", "Kept", "PricedBatch", "Rows", "Source", "checked_rows"]


class PricedBatch(NamedTuple):
    """Some customers in a row: what each action would bring and cost, and if asked who may not and in which segment.

    The fields are those arguments of :func:`retention.plan.allocate` that have a row for each customer.
    """

    gains: Any
    costs: Any
    segment: Any = None
    allowed: Any = None
    gains_sd: Any = None
    hours_each: Any = None


class Rows(NamedTuple):
    """The same, checked: arrays with a row for each customer, or None where nothing was given."""

    gains: Any
    costs: Any
    segment: Any = None
    allowed: Any = None
    sd: Any = None
    hours: Any = None

    def some(self, rows: slice) -> "Rows":
        """A stretch of them."""
        return Rows._make(None if values is None else values[rows] for values in self)


class Facts(NamedTuple):
    """What has to be known of all customers before prices are looked for; figures are the largest there are."""

    rows: int
    actions: int
    gain: float  # at least 0
    loss: float  # of a negative gain, at least 0
    cost: float
    sd: float
    hours: float
    segment: int  # -1 if there is none
    given: tuple[bool, ...]  # which fields of Rows there are

    @property
    def fields(self) -> str:
        """The fields there are, by name."""
        return ", ".join(name for name, had in zip(PricedBatch._fields, self.given, strict=True) if had)

    def and_of(self, other: "Facts") -> "Facts":
        """Of both together."""
        both = zip(self[2:-1], other[2:-1], strict=True)
        return Facts._make((self.rows + other.rows, self.actions, *map(max, both), self.given))


def checked_rows(batch: PricedBatch, *, look: bool = True) -> tuple[Rows, Facts]:
    """The arrays of some customers; ``look=False`` if every figure was looked at before."""
    gains, low, high = checked_matrix("gains", batch.gains, look=look)
    n, k = gains.shape
    costs, _, cost = checked_matrix("costs", batch.costs, (n, k), 0.0, look=look)
    sd = hours = allowed = segment = None
    most_sd = most_hours = 0.0
    if batch.gains_sd is not None:
        sd, _, most_sd = checked_matrix("gains_sd", batch.gains_sd, (n, k), 0.0, look=look)
    if batch.hours_each is not None:
        hours, _, most_hours = checked_matrix("hours_each", batch.hours_each, (n, k), 0.0, look=look)
    if batch.allowed is not None:
        allowed = np.asarray(batch.allowed)
        if allowed.dtype != np.bool_ or allowed.shape != (n, k):
            raise ConfigError(
                f"allowed of type {allowed.dtype} and shape {allowed.shape}",
                rule=f"allowed is True or False for each of {n:,} customers x {k} actions",
                remedy="pass a boolean array in the shape of gains",
            )
    if batch.segment is not None:
        segment = checked_indices("segment", batch.segment, n)
    rows = Rows(gains, costs, segment, allowed, sd, hours)
    last = -1 if segment is None else int(segment.max(initial=-1))
    facts = (max(high, 0.0), max(-low, 0.0), cost, most_sd, most_hours, last)
    return rows, Facts(n, k, *facts, tuple(values is not None for values in rows))


class Customers:
    """All customers of an allocation: what is known of all, and a way through them a piece at a time."""

    facts: Facts

    def pieces(self) -> Iterator[Rows]:
        """All rows in order, :data:`~retention._kernels.prices.BLOCK` at a time."""
        raise NotImplementedError

    def whole(self) -> Rows | None:
        """All rows at once, if they are kept."""
        return None

    def none(self) -> Rows:
        """No row, with the fields that all have."""
        k = self.facts.actions
        pairs, segment, allowed = np.zeros((0, k)), np.zeros(0, dtype=np.intp), np.zeros((0, k), dtype=bool)
        empty = Rows(pairs, pairs, segment, allowed, pairs, pairs)
        return Rows._make(values if had else None for values, had in zip(empty, self.facts.given, strict=True))

    def changed(self, change: Callable[[Rows], Rows]) -> "Customers":
        """The same customers with other figures."""
        raise NotImplementedError


class Kept(Customers):
    """Customers in memory."""

    def __init__(self, rows: Rows, facts: Facts) -> None:
        self.rows, self.facts = rows, facts

    def pieces(self) -> Iterator[Rows]:
        """See :class:`Customers`."""
        from retention._kernels import prices

        for k in range(0, self.facts.rows, prices.BLOCK):
            yield self.rows.some(slice(k, k + prices.BLOCK))

    def whole(self) -> Rows:
        """All rows."""
        return self.rows

    def changed(self, change: Callable[[Rows], Rows]) -> "Kept":
        """See :class:`Customers`."""
        rows = change(self.rows)
        return Kept(rows, self.facts._replace(given=tuple(values is not None for values in rows)))


class InBatches(Customers):
    """Customers who are read anew each time; however they are cut into batches, the pieces are cut in one place."""

    def __init__(self, source: "Source", change: Callable[[Rows], Rows] | None = None) -> None:
        self.source, self.facts, self._change = source, source.facts, change
        if change is not None:
            given = tuple(values is not None for values in change(super().none()))
            self.facts = source.facts._replace(given=given)

    def pieces(self) -> Iterator[Rows]:
        """See :class:`Customers`."""
        return map(self._made, _cut(self.source.read()))

    def _made(self, piece: Rows) -> Rows:
        return piece if self._change is None else self._change(piece)

    def changed(self, change: Callable[[Rows], Rows]) -> "InBatches":
        """See :class:`Customers`."""
        return InBatches(self.source, change)


class Source:
    """Batches that can be read again and again, and what was seen of them the first time.

    That every time brings the same customers in the same order is checked by a sum, modulo 2^64, of the bits of their
    figures, in which each row has a weight of its own.
    """

    def __init__(self, batches: Iterable[Any] | Callable[[], Iterable[Any]], *, keep: int) -> None:
        """Reads the batches for the first time. Up to ``keep`` customers are kept, for :meth:`customers`."""
        self._batches = batches
        self.passes = 0
        self.facts = Facts(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, -1, ())
        self._few: list[Rows] = []
        self._sum = 0
        for j, batch in enumerate(self._opened()):
            before = self.facts.rows
            rows = self._checked(j, batch)
            self._sum += _summed(before, rows)
            if self.facts.rows <= keep:
                self._few.append(rows)
            else:
                self._few.clear()
        if not self.facts.actions:
            raise ConfigError(
                "no batch at all",
                rule="batches tell how many actions there are, so there is one at least, if of no customers",
                remedy="pass one batch of gains and costs with no rows",
            )

    def customers(self) -> Customers:
        """All of them: in memory if they are few enough."""
        few, self._few = self._few, []
        return Kept(_joined(few), self.facts) if few else InBatches(self)

    def has(self, field: str) -> bool:
        """Whether the batches have this field."""
        return self.facts.given[PricedBatch._fields.index(field)]

    def read(self, opened: Iterable[Any] | None = None) -> Iterator[Rows]:
        """The batches once more (or these, which were opened elsewhere), without looking at every figure.

        When all are through they are compared with the first time.
        """
        count = total = 0
        for batch in self._opened() if opened is None else opened:
            rows = checked_rows(_batch(batch), look=False)[0]
            total += _summed(count, rows)
            count += len(rows.gains)
            yield rows
        if count != self.facts.rows:
            what = f"batches of {count:,} customers after {self.facts.rows:,} the first time"
        elif (total - self._sum) % (1 << 64):
            what = "batches with other figures, or in another order, than the first time"
        else:
            return
        raise ConfigError(
            what,
            rule="each time the batches are read they are of the same customers in the same order",
            remedy="write the table to Parquet, or order it by the customer, before it is read in batches",
        )

    def _opened(self) -> Iterator[Any]:
        given: Any = self._batches() if callable(self._batches) else self._batches
        try:
            found: Iterator[Any] = iter(given)
        except TypeError:
            raise ConfigError(
                f"batches of type {type(given).__name__}",
                rule="batches are a list of them, or a function that starts to read them anew",
                remedy="pass a list, or a function of no arguments that returns an iterator",
            ) from None
        if found is self._batches:
            raise ConfigError(
                "batches that can be gone through only once",
                rule="prices are found by going through all customers several times",
                remedy="pass a function of no arguments that starts to read them anew, such as lambda: read(path)",
            )
        self.passes += 1
        return found

    def _checked(self, number: int, batch: Any) -> Rows:
        try:
            rows, facts = checked_rows(_batch(batch))
        except ConfigError as error:
            raise ConfigError(f"batch {number}: {error.given}", rule=error.rule, remedy=error.remedy) from None
        if number and (facts.actions, facts.given) != (self.facts.actions, self.facts.given):
            raise ConfigError(
                f"batch {number}: {facts.actions} actions and {facts.fields}, "
                f"after {self.facts.actions} and {self.facts.fields}",
                rule="all batches are of the same actions and have the same fields",
                remedy="give every batch all fields, also an empty one",
            )
        self.facts = self.facts.and_of(facts) if number else facts
        return rows


def _summed(first: int, rows: Rows) -> int:
    """A number that another order of the rows, or another figure, would change; those of all batches add up."""
    n = len(rows.gains)
    bits = np.zeros(n, dtype=np.uint64)
    odd = 1
    for figures in (rows.gains, rows.costs):
        for line in figures.T:
            bits += np.ascontiguousarray(line, dtype=np.float64).view(np.uint64) * np.uint64(odd)
            odd = odd * 0x9E3779B97F4A7C15 % (1 << 64)
    bits ^= bits >> np.uint64(32)  # round figures end in zeros
    bits *= np.arange(first + 1, first + n + 1, dtype=np.uint64) * np.uint64(odd)
    return int(bits.sum())


def _cut(batches: Iterable[Rows]) -> Iterator[Rows]:
    """The same rows in pieces of :data:`~retention._kernels.prices.BLOCK`; what a batch has whole is not copied."""
    from retention._kernels import prices

    waiting: list[Rows] = []
    room = prices.BLOCK
    for rows in batches:
        start, n = 0, len(rows.gains)
        while start < n:
            some = rows.some(slice(start, start + room))
            start += room
            room -= len(some.gains)
            waiting.append(some)
            if not room:
                yield _joined(waiting)
                waiting, room = [], prices.BLOCK
    if waiting:
        yield _joined(waiting)


def _batch(given: Any) -> PricedBatch:
    fields = len(PricedBatch._fields)
    if isinstance(given, tuple | list) and 2 <= len(given) <= fields:
        return PricedBatch(*given)
    raise ConfigError(
        f"a batch of type {type(given).__name__}" + (f" and length {len(given)}" if isinstance(given, tuple) else ""),
        rule=f"a batch is ({', '.join(PricedBatch._fields)}), of which the first two are needed",
        remedy="make batches of retention.plan.PricedBatch; retention.plan.priced_batches reads them from a table",
    )


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return Rows._make(None if values[0] is None else np.concatenate(values) for values in zip(*parts, strict=True))
