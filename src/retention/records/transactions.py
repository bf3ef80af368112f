"""The transaction log: every money line that was kept, as columns, with the account of those that were not."""

import datetime as dt
import hashlib
from typing import Any, ClassVar, Self

import attrs
import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.domain import Customer, Transaction
from retention.errors import ReadError, RetentionError
from retention.frames.coded import Coded
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Table, read_only
from retention.records.money import Amounts
from retention.records.quality import Quality

__all__ = ["TransactionLog"]


@frozen(eq=False, repr=False, kw_only=True)
class TransactionLog(Table):
    """Dated money lines of customers, as columns, in the order of the source.

    ``at`` is local wall-clock time (datetime64[s]); ``revenue`` and ``margin`` are exact; ``line`` is the line
    number in the source. ``orders`` is None when the source names no orders: then all lines of a customer with
    one time stamp are one order. ``is_return`` marks lines that take goods or money back; ``undone_at`` is set on
    both halves of an order/credit-note pair that undid itself, which therefore is no purchase.

    Example:
        >>> log = TransactionLog.from_arrays(customer_id=["a", "a"], at=["2011-01-03", "2011-02-01"], revenue=[9.99, 5])
        >>> log.revenue.total()
        Decimal('14.99')
    """

    key: ClassVar[str] = "line"

    customers: Coded
    at: NDArray[np.datetime64] = field(converter=read_only)
    revenue: Amounts
    margin: Amounts
    is_return: BoolColumn = field(converter=read_only)
    line: IntColumn = field(converter=read_only)
    undone_at: NDArray[np.datetime64] = field(converter=read_only)
    orders: Coded | None = None
    categories: Coded | None = None
    channels: Coded | None = None
    quantity: FloatColumn | None = field(default=None, converter=attrs.converters.optional(read_only))
    currency: str | None = None
    quality: Quality = field(factory=Quality)

    @classmethod
    def from_arrays(
        cls,
        *,
        customer_id: Any,
        at: Any,
        revenue: Any,
        margin: Any = None,
        order: Any = None,
        category: Any = None,
        channel: Any = None,
        quantity: Any = None,
        currency: str | None = None,
    ) -> Self:
        """A log from clean arrays (for messy sources use ``rt.read_transactions``).

        ``margin`` is an array, a rate of revenue, or None (then margin is revenue, and a note says so).
        """
        amounts = _amounts(revenue, "revenue")
        notes: tuple[str, ...] = ()
        if margin is None:
            kept = amounts
            notes = (NO_MARGIN,)
        elif np.ndim(margin) == 0:
            rate = float(margin)
            if not 0.0 < rate <= 1.0:
                raise ReadError(
                    f"margin={margin!r}",
                    rule="a margin rate is a share of revenue above 0 and at most 1",
                    remedy="write 0.35 for 35 percent, or pass one margin a line",
                )
            kept = amounts.times(rate)
        else:
            kept = _amounts(margin, "margin")
        n = len(amounts)
        is_return = amounts.minor < 0
        if quantity is not None:
            quantity = np.asarray(quantity, dtype=np.float64)
            is_return = is_return | (quantity < 0)
        try:
            when = np.asarray(at, dtype="datetime64[s]")
        except (ValueError, TypeError) as error:
            raise ReadError(
                f"TransactionLog.from_arrays: a date that is none ({type(error).__name__})",
                rule="at holds ISO dates or datetimes",
                remedy="use rt.read_transactions, which reads dates as people write them",
            ) from None
        if any(one is None for one in np.asarray(customer_id, dtype=object).ravel().tolist()):
            raise ReadError(
                "TransactionLog.from_arrays: a line without a customer",
                rule="every line of a log has a customer",
                remedy="use rt.read_transactions, which sets such lines aside and counts them",
            )
        if np.any(np.isnat(when)):
            raise ReadError(
                "TransactionLog.from_arrays got a line without a date",
                rule="every line of a log has a date",
                remedy="use rt.read_transactions, which sets such lines aside and counts them",
            )
        log = cls(
            customers=Coded.of(customer_id),
            at=when,
            revenue=amounts,
            margin=kept,
            is_return=is_return,
            undone_at=never(n),
            line=np.arange(1, n + 1, dtype=np.int64),
            orders=None if order is None else Coded.of(order),
            categories=None if category is None else Coded.of(category),
            channels=None if channel is None else Coded.of(channel),
            quantity=quantity,
            currency=currency,
            quality=Quality.clean(rows=n, money=amounts.total()),
        )
        return attrs.evolve(log, provenance=log.provenance.with_notes(*notes))

    def __attrs_post_init__(self) -> None:
        """One length for all columns, and totals that exact sums can hold."""
        lengths = {len(self.line), len(self.customers), len(self.at), len(self.revenue), len(self.margin)}
        lengths |= {len(self.is_return), len(self.undone_at)}
        lengths |= {len(c) for c in (self.orders, self.categories, self.channels, self.quantity) if c is not None}
        if len(lengths) > 1:
            raise ReadError(
                f"a log with columns of lengths {sorted(lengths)}",
                rule="all columns of a log have one length",
                remedy="pass one value per line in every column",
            )
        self.revenue.refuse_overflow()
        self.margin.refuse_overflow()

    def columns(self) -> dict[str, Any]:
        """The lines as columns: text written out, money as float."""
        table: dict[str, Any] = {
            "line": self.line,
            "customer_id": self.customers.text(),
            "at": self.at,
            "revenue": self.revenue.to_float(),
            "margin": self.margin.to_float(),
        }
        for name, coded in (
            ("order", self.orders),
            ("category", self.categories),
            ("channel", self.channels),
        ):
            if coded is not None:
                table[name] = coded.text()
        if self.quantity is not None:
            table["quantity"] = self.quantity
        return table | {"is_return": self.is_return, "is_cancelled": self.is_cancelled}

    def __len__(self) -> int:
        return len(self.line)

    def take(self, rows: Any) -> Self:
        """Only these lines; the quality account stays that of the whole source."""
        return attrs.evolve(
            self,
            customers=self.customers.take(rows),
            at=self.at[rows],
            revenue=self.revenue.take(rows),
            margin=self.margin.take(rows),
            is_return=self.is_return[rows],
            undone_at=self.undone_at[rows],
            line=self.line[rows],
            orders=None if self.orders is None else self.orders.take(rows),
            categories=None if self.categories is None else self.categories.take(rows),
            channels=None if self.channels is None else self.channels.take(rows),
            quantity=None if self.quantity is None else self.quantity[rows],
        )

    @property
    def day(self) -> NDArray[np.datetime64]:
        """The calendar day of each line."""
        return self.at.astype("datetime64[D]")

    @property
    def is_cancelled(self) -> BoolColumn:
        """Both halves of the pairs that undid themselves."""
        return read_only(~np.isnat(self.undone_at))

    def until(self, as_of: dt.date) -> Self:
        """The lines up to and including the as-of date: all that was known when that day closed."""
        day = np.datetime64(as_of, "D")
        # A credit note that is still to come has undone nothing yet, also where its line has been left out already.
        known, not_yet = self.day <= day, self.undone_at.astype("datetime64[D]") > day
        if known.all() and not not_yet.any():
            return self
        log = self.take(known)
        return attrs.evolve(log, undone_at=np.where(not_yet[known], np.datetime64("NaT", "s"), log.undone_at))

    def occasions(self) -> NDArray[np.int64]:
        """The order that each line belongs to, numbered from 0: customer and order (or customer and time stamp)."""
        second = self.at.astype(np.int64) if self.orders is None else self.orders.codes.astype(np.int64)
        key = np.stack([self.customers.codes.astype(np.int64), second], axis=1)
        if not len(key):
            return np.zeros(0, dtype=np.int64)
        order = np.lexsort((key[:, 1], key[:, 0]))
        ranked = key[order]
        fresh = np.r_[False, np.any(ranked[1:] != ranked[:-1], axis=1)]
        numbers = np.empty(len(key), dtype=np.int64)
        numbers[order] = np.cumsum(fresh)
        return numbers

    def __add__(self, other: "TransactionLog") -> "TransactionLog":
        """These lines, then the other's, with both quality accounts added."""
        if self.currency != other.currency:
            raise RetentionError(
                f"adding a log in {self.currency} and one in {other.currency}",
                rule="a log has one currency",
                remedy="convert one of them before reading",
            )

        def both(a: Coded | None, b: Coded | None) -> Coded | None:
            return a.joined(b) if a is not None and b is not None else None

        quantity = None
        if self.quantity is not None and other.quantity is not None:
            quantity = np.concatenate([self.quantity, other.quantity])
        return TransactionLog(
            customers=self.customers.joined(other.customers),
            at=np.concatenate([self.at, other.at]),
            revenue=self.revenue.joined(other.revenue),
            margin=self.margin.joined(other.margin),
            is_return=np.concatenate([self.is_return, other.is_return]),
            undone_at=np.concatenate([self.undone_at, other.undone_at]),
            line=np.concatenate([self.line, other.line]),
            orders=both(self.orders, other.orders),
            categories=both(self.categories, other.categories),
            channels=both(self.channels, other.channels),
            quantity=quantity,
            currency=self.currency,
            quality=self.quality + other.quality,
            provenance=self.provenance.with_notes(*other.provenance.notes),
        )

    def fingerprint(self) -> str:
        """A short hash of the lines: the same lines give the same hash on every machine."""
        digest = hashlib.blake2b(digest_size=8)
        for values in (self.customers.codes, self.at.astype(np.int64), self.revenue.minor, self.margin.minor):
            digest.update(np.ascontiguousarray(values).astype("<i8").tobytes())
        digest.update("\x1f".join(self.customers.labels.tolist()).encode("utf-8", "surrogatepass"))
        if self.orders is not None:
            digest.update(self.orders.codes.astype("<i8").tobytes())
        for coded in (self.categories, self.channels):
            if coded is not None:
                digest.update(coded.codes.astype("<i8").tobytes())
                digest.update("\x1f".join(coded.labels.tolist()).encode("utf-8", "surrogatepass"))
        if self.quantity is not None:
            digest.update(np.ascontiguousarray(self.quantity, dtype="<f8").tobytes())
        digest.update(np.packbits(self.is_return).tobytes() + np.packbits(self.is_cancelled).tobytes())
        digest.update(f"{self.revenue.decimals},{self.margin.decimals},{self.currency}".encode())
        return digest.hexdigest()

    def row(self, position: int) -> Transaction:
        """One line as a domain object, money exact."""
        return Transaction(
            customer_id=str(self.customers.labels[self.customers.codes[position]]),
            at=self.at[position].item(),
            revenue=self.revenue.exact(position),
            margin=self.margin.exact(position),
            order=_label(self.orders, position),
            category=_label(self.categories, position),
        )

    def customer(self, customer_id: object) -> Customer:
        """One customer with all her lines, money exact."""
        found = np.flatnonzero(self.customers.labels == str(customer_id))
        if not len(found):
            raise RetentionError(
                "the log has no lines of the customer asked for",
                rule="ask for a customer that the log knows",
                remedy="ids are text as written in the data; log.customers.labels lists them",
            )
        lines = np.flatnonzero(self.customers.codes == found[0])
        return Customer(id=str(customer_id), transactions=tuple(self.row(int(i)) for i in lines))

    def __repr__(self) -> str:
        span = f"{self.day.min()} to {self.day.max()}" if len(self) else "no lines"
        money = f"{self.revenue.total():,.2f} {self.currency or ''}".strip()
        who = f"{len(self.customers.labels):,} customers"
        return f"<TransactionLog: {len(self):,} lines of {who}, {span}, revenue {money}>"


def _amounts(values: Any, name: str) -> Amounts:
    try:
        return Amounts.of(values)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ReadError(
            f"TransactionLog.from_arrays: {name} holds what is no amount ({type(error).__name__})",
            rule=f"{name} holds ints, floats, decimals or decimal text, all finite",
            remedy="use rt.read_transactions, which sets such lines aside and counts them",
        ) from None


def never(n: int) -> NDArray[np.datetime64]:
    """``undone_at`` of n lines that nothing has undone."""
    return np.full(n, np.datetime64("NaT", "s"), dtype="datetime64[s]")


NO_MARGIN = "no margin was given: margin is taken to be revenue, so every margin below is revenue"


def _label(coded: Coded | None, position: int) -> str | None:
    return None if coded is None else str(coded.labels[coded.codes[position]])
