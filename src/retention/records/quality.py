"""The account of a reading: what came in, what was kept, what was set aside and why, to the cent."""

import html
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError, nearest
from retention.frames.table import IntColumn, Table, TextColumn
from retention.frames.table import column as declare

__all__ = ["Quality", "SetAside", "RowsSetAside"]


class SetAside(NamedTuple):
    """What one reason cost: rows, the money that could be read on them, and on how many it could not."""

    rows: int
    money: Decimal
    unreadable: int = 0


@frozen(eq=False, repr=False, kw_only=True)
class RowsSetAside(Table):
    """One row a source row that was set aside; ``line`` counts from 1 (in a text file the header is line 1)."""

    key: ClassVar[str] = "line"

    line: IntColumn = declare("line of the file, or row of the frame")
    reason: TextColumn = declare("why it was set aside")
    column: TextColumn = declare("the source's column that was at fault; empty when it was the whole row")
    source: TextColumn = declare("which file or frame")

    @classmethod
    def none(cls) -> Self:
        """Nothing set aside."""
        text = np.zeros(0, dtype="<U1")
        return cls(line=np.zeros(0, dtype=np.int64), reason=text, column=text, source=text)

    def joined(self, other: "RowsSetAside") -> "RowsSetAside":
        """These rows, then the other's."""
        theirs = other.columns()
        both: dict[str, Any] = {name: np.concatenate([mine, theirs[name]]) for name, mine in self.columns().items()}
        return RowsSetAside(**both)


@frozen(kw_only=True, repr=False)
class Quality:
    """Rows in = rows kept + rows set aside, by reason; the same for money, to the last decimal.

    ``set_aside`` gives for each reason a :class:`SetAside`. ``notes`` counts what was kept but is worth knowing
    (returns, duplicates, assumptions made on reading). Money that could not be read is in no sum; the rows are
    counted as ``unreadable``. ``print(log.quality)`` shows the whole account.

    Example:
        >>> q = Quality.clean(rows=2, money=Decimal("14.99"))
        >>> q.reconciles, len(q.rows_set_aside())
        (True, 0)
        >>> (q + q).money_kept
        Decimal('29.98')
    """

    rows_in: int = 0
    rows_kept: int = 0
    money_in: Decimal = Decimal(0)
    money_kept: Decimal = Decimal(0)
    set_aside: Mapping[str, SetAside] = field(factory=dict)
    notes: Mapping[str, int] = field(factory=dict)
    listing: RowsSetAside = field(factory=RowsSetAside.none, eq=False)

    @classmethod
    def clean(cls, *, rows: int, money: Decimal) -> Self:
        """Nothing set aside."""
        return cls(rows_in=rows, rows_kept=rows, money_in=money, money_kept=money)

    @property
    def reconciles(self) -> bool:
        """Whether rows and money that came in are exactly those kept plus those set aside."""
        parts = self.set_aside.values()
        rows = self.rows_kept + sum(part.rows for part in parts)
        money = sum((part.money for part in parts), self.money_kept)
        return rows == self.rows_in and money == self.money_in

    def rows_set_aside(self, reason: str | None = None) -> RowsSetAside:
        """The rows set aside, with their line numbers; only those of one reason if it is given."""
        if reason is None:
            return self.listing
        if reason not in self.set_aside:
            raise ConfigError(
                f"no row was set aside for {reason!r}",
                rule="ask for a reason that occurred",
                remedy=nearest(reason, self.set_aside),
            )
        return self.listing.take(self.listing.reason == reason)

    def __add__(self, other: "Quality") -> "Quality":
        """Both accounts as one."""
        reasons = dict.fromkeys([*self.set_aside, *other.set_aside])
        nothing = SetAside(0, Decimal(0))
        pairs = {r: (self.set_aside.get(r, nothing), other.set_aside.get(r, nothing)) for r in reasons}
        return Quality(
            rows_in=self.rows_in + other.rows_in,
            rows_kept=self.rows_kept + other.rows_kept,
            money_in=self.money_in + other.money_in,
            money_kept=self.money_kept + other.money_kept,
            set_aside={
                r: SetAside(a.rows + b.rows, a.money + b.money, a.unreadable + b.unreadable)
                for r, (a, b) in pairs.items()
            },
            notes={n: self.notes.get(n, 0) + other.notes.get(n, 0) for n in dict.fromkeys([*self.notes, *other.notes])},
            listing=self.listing.joined(other.listing),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; money as text, so that no cent is lost."""
        return {
            "rows_in": self.rows_in,
            "rows_kept": self.rows_kept,
            "money_in": str(self.money_in),
            "money_kept": str(self.money_kept),
            "reconciles": self.reconciles,
            "set_aside": {
                reason: {"rows": part.rows, "money": str(part.money), "unreadable": part.unreadable}
                for reason, part in self.set_aside.items()
            },
            "notes": dict(self.notes),
        }

    def _account(self) -> list[tuple[str, int, Decimal]]:
        lines = [("came in", self.rows_in, self.money_in), ("kept", self.rows_kept, self.money_kept)]
        for reason, part in self.set_aside.items():
            unread = f" ({part.unreadable:,} without a readable amount)" if part.unreadable else ""
            lines.append((f"set aside: {reason}{unread}", part.rows, part.money))
        return lines

    def __repr__(self) -> str:
        aside = self.rows_in - self.rows_kept
        return f"<Quality: {self.rows_in:,} rows in, {self.rows_kept:,} kept, {aside:,} set aside, {self._verdict()}>"

    def _verdict(self) -> str:
        return "reconciles to the cent" if self.reconciles else "DOES NOT RECONCILE"

    def __str__(self) -> str:
        account = self._account()
        width = max(map(len, [what for what, _, _ in account] + list(self.notes)))
        lines = [f"{'':{width}}  {'rows':>12}  {'money':>20}"]
        lines += [f"{what:{width}}  {rows:>12,}  {_money(money):>20}" for what, rows, money in account]
        lines.append(f"in = kept + set aside: {self._verdict()}")
        if self.notes:
            lines += ["", "kept, and worth knowing:"]
            lines += [f"{note:{width}}  {count:>12,}" for note, count in self.notes.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        def line(what: str, rows: int, money: str) -> str:
            return f"<tr><td>{html.escape(what)}</td><td>{rows:,}</td><td>{html.escape(money)}</td></tr>"

        account = "".join(line(what, rows, _money(money)) for what, rows, money in self._account())
        notes = "".join(line(note, count, "") for note, count in self.notes.items())
        return (
            f"<table><caption>in = kept + set aside: {self._verdict()}</caption>"
            f"<thead><tr><th></th><th>rows</th><th>money</th></tr></thead><tbody>{account}{notes}</tbody></table>"
        )


def _money(amount: Decimal) -> str:
    """At least two decimals, and further ones as far as they say something."""
    exponent = amount.normalize().as_tuple().exponent
    decimals = max(2, -exponent if isinstance(exponent, int) else 2)
    return f"{amount:,.{decimals}f}"
