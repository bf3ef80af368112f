"""What can be done with the data at hand: per feature, what it needs, what is there, and what happens without."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from attrs import frozen

from retention.errors import ConfigError, ReadError, nearest
from retention.frames.reading import open_source
from retention.frames.table import Provenance, Table, TextColumn, column
from retention.records.quality import Quality
from retention.records.reading import read_transactions
from retention.records.roles import SYNONYMS, complete_roles, lacking_roles
from retention.records.transactions import TransactionLog

__all__ = ["Diagnosis", "doctor"]

_OPTIONS = ("day_first", "duplicates", "time_zone", "max_amount")


@frozen(eq=False, repr=False, kw_only=True)
class Diagnosis(Table):
    """One row a feature. ``state`` is "ready", "fallback" (it works, with less) or "missing" (it cannot work).

    ``roles`` says which column plays which role, ``guessed`` which of these were read off the header. ``quality``
    is the account of a trial reading, ``problem`` why there is none. ``print(diagnosis)`` shows it all.
    """

    key: ClassVar[str] = "feature"

    feature: TextColumn = column("what one may want to do")
    needs: TextColumn = column("which data it takes")
    found: TextColumn = column("what of it is there")
    state: TextColumn = column("ready, fallback or missing")
    otherwise: TextColumn = column("what happens instead; empty when ready")

    source: str
    roles: Mapping[str, str]
    guessed: frozenset[str]
    unused: tuple[str, ...]
    quality: Quality | None = None
    problem: str | None = None

    @property
    def can_read(self) -> bool:
        """Whether the trial reading gave a log."""
        return self.quality is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "source": self.source,
            "roles": dict(self.roles),
            "guessed": sorted(self.guessed),
            "unused_columns": list(self.unused),
            "problem": self.problem,
            "quality": None if self.quality is None else self.quality.to_dict(),
            "features": [Table.row(self, i) for i in range(len(self))],
        }

    def __repr__(self) -> str:
        counts = {state: int((self.state == state).sum()) for state in ("ready", "fallback", "missing")}
        return f"<Diagnosis of {self.source}: {', '.join(f'{n} {state}' for state, n in counts.items())}>"

    def __str__(self) -> str:
        lines = [f"{self.source}", "", "columns and their roles"]
        lines += [
            f"  {role:<11} {name}{'   (guessed from the header)' if role in self.guessed else ''}"
            for role, name in self.roles.items()
        ]
        if self.unused:
            lines.append(f"  not used    {', '.join(self.unused)}")
        lines += ["", "features"]
        for i in range(len(self)):
            lines.append(f"  {self.state[i]:<9} {self.feature[i]:<20} needs {self.needs[i]}; found: {self.found[i]}")
            if self.otherwise[i]:
                lines.append(f"  {'':<30} -> {self.otherwise[i]}")
        if self.problem:
            lines += ["", "it cannot be read as it is:", *(f"  {line}" for line in self.problem.splitlines())]
        if self.quality is not None:
            lines += ["", *str(self.quality).splitlines()]
        return "\n".join(lines)


def doctor(source: Any, **roles: Any) -> Diagnosis:
    """Look at a file or frame and say for every feature which data it needs, what is there, and the fallback.

    Roles that are not given are guessed from the headers; the rest of the arguments of ``read_transactions``
    may be given too. The source is read once on trial.

    Raises:
        ReadError: the source is no table at all (a directory, an empty or binary file, ...).
        ColumnError: a column that was named is not there.
        ConfigError: an argument that ``read_transactions`` does not know.

    Example:
        >>> import pandas
        >>> d = doctor(pandas.DataFrame({"Kunde": ["7"], "Datum": ["31.12.2011"], "Umsatz": ["1,50"]}))
        >>> d.roles["customer"], d.can_read, d.customer("margin truth")["state"]
        ('Kunde', True, 'fallback')
    """
    unknown = roles.keys() - SYNONYMS.keys() - set(_OPTIONS)
    if unknown:
        raise ConfigError(
            f"doctor got {', '.join(sorted(unknown))}",
            rule="roles are those of read_transactions",
            remedy=nearest(min(unknown), [*SYNONYMS, *_OPTIONS]),
        )
    raw = open_source(source)
    given = {role: value for role, value in roles.items() if value is not None}
    chosen = complete_roles(raw, given)
    for role, name in given.items():
        if role in SYNONYMS and isinstance(name, str) and not (role == "currency" and len(name) == 3):
            raw.column(name, role=role)
    log, problem = None, None
    if lacking := lacking_roles(chosen):
        problem = "no column was found for " + ", ".join(lacking) + f"\n{raw.nearest('')}"
    else:
        try:
            log = read_transactions(raw, **chosen)
        except ReadError as error:
            problem = str(error)
    named = {role: str(name) for role, name in chosen.items() if role in SYNONYMS}
    rows = _features(chosen, named, log, problem)
    columns = np.asarray(rows, dtype=np.str_).T
    return Diagnosis(
        feature=columns[0],
        needs=columns[1],
        found=columns[2],
        state=columns[3],
        otherwise=columns[4],
        source=raw.name,
        roles=named,
        guessed=frozenset(named.keys() - given.keys()),
        unused=tuple(name for name in raw.columns if name not in named.values()),
        quality=None if log is None else log.quality,
        problem=problem,
        provenance=Provenance() if log is None else log.provenance,
    )


def _features(
    chosen: Mapping[str, Any], named: Mapping[str, str], log: TransactionLog | None, problem: str | None
) -> list[tuple[str, str, str, str, str]]:
    """Feature, needs, found, state, otherwise."""
    rows = []

    def feature(name: str, needs: str, *roles: str, otherwise: str) -> None:
        """A feature that needs one of these roles and has a fallback without them."""
        have = [f"{role}={named[role]!r}" for role in roles if role in named]
        state = "missing" if log is None else "ready" if have else "fallback"
        without = "first mend the reading" if log is None else "" if have else otherwise
        rows.append((name, needs, ", ".join(have) or "nothing", state, without))

    money = ", ".join(named[r] for r in ("revenue", "quantity", "unit_price") if r in named)
    basis = f"customer={named.get('customer', '?')!r}, at={named.get('at', '?')!r}, money={money or '?'!r}"
    wanted = "customer, at, revenue or quantity and unit_price"
    rows.append(
        ("reading", wanted, basis, "ready", "")
        if log is not None
        else ("reading", wanted, basis, "missing", (problem or "").splitlines()[0])
    )
    feature("histories", "customer, at", "customer", otherwise="")
    rows.append(_repeats(log))
    truth = "margin is taken to be revenue, so every margin, value and tier is in revenue"
    feature("margin truth", "margin (a column or a rate) or cost", "margin", "cost", otherwise=truth)
    feature("value", "margin or cost", "margin", "cost", otherwise="values are expected revenue, not margin")
    feature("tiers", "margin or cost", "margin", "cost", otherwise="tiers rank by expected revenue")
    stamp = "all lines of a customer with one time stamp are one order"
    feature("orders", "order", "order", otherwise=stamp)
    rows.append(_returns(log, named))
    counted = "rows repeated in every cell are counted and kept (duplicates='drop' sets them aside)"
    feature("duplicates", "line_id", "line_id", otherwise=counted)
    feature("category habits", "category", "category", otherwise="habits and growth levers leave categories out")
    feature("channel habits", "channel", "channel", otherwise="habits leave channels out")
    feature("currency", "currency (a column or a code)", "currency", otherwise="figures carry no currency")
    for name, needs, otherwise in (
        ("consent gate", "consents", "without consents, every channel that needs consent stays closed"),
        ("contact caps", "touches or a journal", "without either, no earlier contact is known to count"),
        ("coverage", "touches or a journal", "without either, who was kept in touch with is unknown"),
        ("complaints", "open complaints", "without them, no complaint is known to be open"),
        ("referrals", "referral records", "without them, referral value is left out"),
    ):
        rows.append((name, needs, "not part of an invoice file", "fallback", otherwise))
    return rows


def _repeats(log: TransactionLog | None) -> tuple[str, str, str, str, str]:
    needs = "customers who bought on two days or more"
    if log is None:
        return ("timing", needs, "nothing", "missing", "first mend the reading")
    bought = ~log.is_return & ~log.is_cancelled
    days = np.stack([log.customers.codes[bought].astype(np.int64), log.day[bought].astype(np.int64)], axis=1)
    per_customer = np.bincount(np.unique(days, axis=0)[:, 0], minlength=len(log.customers.labels))
    repeaters, buyers = int((per_customer > 1).sum()), int((per_customer > 0).sum())
    found = f"{repeaters:,} of {buyers:,} customers"
    if repeaters:
        return ("timing", needs, found, "ready", "")
    return ("timing", needs, found, "fallback", "nobody came back: no rhythm of her own can be learned for anyone")


def _returns(log: TransactionLog | None, named: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    needs = "negative lines; item to see which line one undoes"
    if log is None:
        return ("returns", needs, "nothing", "missing", "first mend the reading")
    found = f"{int(log.is_return.sum()):,} lines, {int(log.is_cancelled.sum()) // 2:,} pairs that undid themselves"
    if not log.is_return.any():
        return ("returns", needs, found, "fallback", "no return is in the source: every sale counts as final")
    if "item" not in named and "category" not in named:
        otherwise = "a return undoes a line of the same customer and money within two days"
        return ("returns", needs, found, "fallback", otherwise)
    return ("returns", needs, found, "ready", "")
