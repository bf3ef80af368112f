"""Which rows are set aside and why: the first reason counts, and every row and cent is accounted for."""

from decimal import Decimal

import numpy as np

from retention.errors import ReadError
from retention.frames.source import Source
from retention.frames.table import BoolColumn
from retention.records.money import Amounts
from retention.records.quality import Quality, RowsSetAside, SetAside


class Sieve:
    """Remembers for each row the first reason to set it aside, and counts what is worth a note."""

    def __init__(self, raw: Source) -> None:
        self._raw = raw
        self._why = np.zeros(len(raw), dtype=np.int16)
        self._reasons: list[tuple[str, str]] = [("", "")]
        self.notes: dict[str, int] = dict(raw.notes)
        self.assumed: list[str] = list(raw.notes)

    @property
    def kept(self) -> BoolColumn:
        """The rows with no reason against them."""
        return np.equal(self._why, 0)

    def set_aside(self, rows: BoolColumn, reason: str, column: str) -> None:
        """Set these rows aside, those that are not yet."""
        fresh = rows & (self._why == 0)
        if fresh.any():
            self._why[fresh] = len(self._reasons)
            self._reasons.append((reason, column))

    def note(self, name: str, rows: int, *, assumed: bool = False) -> None:
        """Count something worth knowing, and whether it is an assumption; nothing is not."""
        if rows:
            if assumed and name not in self.assumed:
                self.assumed.append(name)
            self.notes[name] = self.notes.get(name, 0) + rows

    def account(self, money: Amounts, readable: BoolColumn) -> Quality:
        """Rows and money, by reason."""
        parts: dict[str, SetAside] = {}
        shapeless = len(self._raw.misshapen)
        if shapeless:
            parts["wrong number of cells"] = SetAside(shapeless, Decimal(0), shapeless)
        for number, (reason, _) in enumerate(self._reasons[1:], start=1):
            here = self._why == number
            before = parts.get(reason, SetAside(0, Decimal(0)))
            parts[reason] = SetAside(
                before.rows + int(here.sum()),
                before.money + money.total(here & readable),
                before.unreadable + int((here & ~readable).sum()),
            )
        return Quality(
            rows_in=len(self._raw) + shapeless,
            rows_kept=int(self.kept.sum()),
            money_in=money.total(readable),
            money_kept=money.total(self.kept),
            set_aside=parts,
            notes=self.notes,
            listing=self._listing(),
        )

    def _listing(self) -> RowsSetAside:
        aside = np.flatnonzero(self._why)
        shapeless = self._raw.misshapen
        reasons, columns = (np.asarray(part, dtype=np.str_) for part in zip(*self._reasons, strict=True))
        line = np.concatenate([self._raw.line[aside], shapeless])
        order = np.argsort(line, kind="stable")
        why = self._why[aside]
        return RowsSetAside(
            line=line[order],
            reason=np.concatenate([reasons[why], np.full(len(shapeless), "wrong number of cells")])[order],
            column=np.concatenate([columns[why], np.full(len(shapeless), "")])[order],
            source=np.full(len(line), self._raw.name),
        )


def nothing_left(sieve: Sieve, raw: Source) -> ReadError:
    """What is said when no row is left to keep."""
    account = sieve.account(Amounts(np.zeros(len(raw), dtype=np.int64), 0), np.zeros(len(raw), dtype=bool))
    counts = ", ".join(f"{reason} ({part.rows:,})" for reason, part in account.set_aside.items())
    return ReadError(
        f"{raw.name}: none of its {account.rows_in:,} rows can be kept: {counts}",
        rule="a row is kept when it has a customer, a date and an amount",
        remedy="check that the right columns were named for customer, date and money",
    )
