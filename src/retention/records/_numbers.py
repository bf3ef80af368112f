"""Numbers as people write them. Every distinct text is read once; doubt is an answer, not a guess."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from retention.frames.source import RawColumn
from retention.frames.table import BoolColumn, IntColumn
from retention.records._names import EDGES, trimmed
from retention.records.money import MAX_DECIMALS, Amounts

BIGGEST = 10**12

_CODES = (
    "USD|EUR|GBP|CHF|CAD|AUD|NZD|JPY|CNY|SEK|NOK|DKK|PLN|CZK|HUF|INR|BRL|MXN|ZAR|SGD|HKD|TRY|KRW|ILS|AED|kr|zł|Kč|Fr"
)
_SYMBOLS = "$€£¥₹₽₩₺₫₴₪฿₦₱"
# The signs that mean one currency; a dollar, a yen or a crown may be of several countries.
_CODE_OF = {
    "€": "EUR", "£": "GBP", "₽": "RUB", "₹": "INR", "₩": "KRW", "₺": "TRY", "₫": "VND", "₴": "UAH", "₪": "ILS",
    "฿": "THB", "₦": "NGN", "₱": "PHP", "zł": "PLN", "Kč": "CZK",
}  # fmt: skip
_CURRENCY = re.compile(rf"(?:US|A|C|CA|AU|NZ|HK|R)?[{_SYMBOLS}]|(?<![A-Za-z])(?:{_CODES})(?![A-Za-z])\.?")
_GAPS = re.compile(r"(?<=[0-9])[\s\u00a0\u2007\u2009\u202f'’](?=[0-9]{3}(?![0-9]))")
_BODY = re.compile(r"([0-9.,]*[0-9][0-9.,]*)(?:[eE]([+-]?[0-9]{1,4}))?")
_GROUPED = re.compile(r"[0-9]{1,3}(?:[.,][0-9]{3})+")


class _Number(NamedTuple):
    """A number as written: ``either`` when its one mark may part thousands or decimals; else ``mark`` is decimal."""

    sign: str
    digits: str
    exponent: str
    mark: str
    either: bool
    proves: str
    currency: str


def _number(text: str) -> _Number | None:
    """Take a written number apart without deciding what a lone mark before three digits means."""
    if not text or len(text) > 60:
        return None
    currency = ""
    if found := _CURRENCY.search(text):
        sign = found.group().rstrip(".")
        currency = _CODE_OF.get(sign, sign)
        text = text[: found.start()] + text[found.end() :]
    text = text.strip(EDGES).replace("\u2212", "-")
    sign = ""
    if text.startswith("(") and text.endswith(")"):
        sign, text = "-", text[1:-1].strip(EDGES)
    elif text[-1:] == "-":
        sign, text = "-", text[:-1].strip(EDGES)
    elif text[:1] in ("-", "+"):
        sign, text = text[0].replace("+", ""), text[1:].strip(EDGES)
    found = _BODY.fullmatch(_GAPS.sub("", text))
    if not found:
        return None
    digits, exponent = found[1], found[2] or "0"
    dots, commas = digits.count("."), digits.count(",")
    if dots and commas:
        mark = max(".,", key=digits.rfind)
        whole, _, _ = digits.partition(mark)
        if digits.count(mark) > 1 or not _GROUPED.fullmatch(whole):
            return None
        return _Number(sign, digits, exponent, mark, False, mark, currency)
    if dots + commas > 1:
        if not _GROUPED.fullmatch(digits):
            return None
        mark = "," if dots else "."
        return _Number(sign, digits, exponent, mark, False, mark, currency)
    if dots + commas == 1:
        mark = "." if dots else ","
        whole, _, rest = digits.partition(mark)
        either = len(rest) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0") and exponent == "0"
        return _Number(sign, digits, exponent, mark, either, "" if either else mark, currency)
    return _Number(sign, digits, exponent, ".", False, "", currency)


def _value(number: _Number, mark: str) -> Decimal | None:
    """The number with ``mark`` as decimal mark; None when it is beyond what money can be."""
    digits = number.digits.replace("," if mark == "." else ".", "").replace(mark, ".")
    value = Decimal(f"{number.sign}{digits}e{number.exponent}")
    if not value:
        return Decimal(0)
    if value.adjusted() < -12:
        return Decimal("0.0000000000001")  # to be rounded away, and counted
    return value if value.adjusted() < 13 and abs(value) <= BIGGEST else None


@frozen(kw_only=True, eq=False)
class Numbers:
    """A column of numbers: exact where readable; masks for what is blank or no number, and for what is too big."""

    name: str
    amounts: Amounts
    unreadable: BoolColumn
    absurd: BoolColumn
    rounded: int = 0
    notes: Mapping[str, int] = field(factory=dict)
    currencies: Mapping[str, int] = field(factory=dict)

    @property
    def fine(self) -> BoolColumn:
        """Where there is an exact amount."""
        return ~(self.unreadable | self.absurd)


def parse_numbers(columns: Sequence[RawColumn]) -> list[Numbers]:
    """Read the number columns of one source.

    Whether ``1.234`` is a thousand or one and a bit is decided for each column by its other values, then by the
    other columns; when nothing tells, a dot is decimal and a comma parts thousands. Where a column proves both
    ways, such values are unreadable.
    """
    split = [[_number(trimmed(label)) for label in c.labels] if c.kind == "text" else [] for c in columns]
    proofs = [{n.proves for n in numbers if n and n.proves} for numbers in split]
    everywhere = set().union(*proofs)
    return [
        _of_text(column, numbers, own or everywhere) if column.kind == "text" else _of_values(column)
        for column, numbers, own in zip(columns, split, proofs, strict=True)
    ]


def _of_text(column: RawColumn, numbers: list[_Number | None], proved: set[str]) -> Numbers:
    values: list[Decimal | None] = []
    absurd = np.zeros(len(numbers) + 1, dtype=bool)
    assumed = np.zeros(len(numbers) + 1, dtype=bool)
    comma = np.zeros(len(numbers) + 1, dtype=bool)
    usual = next(iter(proved)) if len(proved) == 1 else "."
    for i, n in enumerate(numbers):
        if n is None or (n.either and len(proved) > 1):
            values.append(None)
            continue
        mark = usual if n.either else n.mark
        value = _value(n, mark)
        absurd[i] = value is None
        assumed[i] = n.either and not proved
        comma[i] = mark == "," and "," in n.digits
        values.append(value)
    unreadable = np.asarray([*(v is None for v in values), True]) & ~absurd
    minor, decimals, rounded = _scaled(values)
    codes = column.values
    counted = {
        "amounts with a decimal comma": comma,
        "amounts like 1,234 or 1.234, read with comma for thousands and dot for decimals": assumed,
    }
    notes = {name: int(flag[codes].sum()) for name, flag in counted.items()}
    rows = np.bincount(codes[codes >= 0], minlength=len(numbers))
    currencies: dict[str, int] = {}
    for n, count in zip(numbers, rows.tolist(), strict=True):
        if n and n.currency:
            currencies[n.currency] = currencies.get(n.currency, 0) + count
    return Numbers(
        name=column.name,
        amounts=Amounts(np.append(minor, 0)[codes], decimals),
        unreadable=unreadable[codes],
        absurd=absurd[codes],
        rounded=int(np.append(rounded, False)[codes].sum()),
        notes={name: count for name, count in notes.items() if count},
        currencies=currencies,
    )


def _scaled(values: Iterable[Decimal | None]) -> tuple[IntColumn, int, BoolColumn]:
    """Whole numbers of one scale, the scale, and which of them had to be rounded to it."""
    exact = [Decimal(0) if v is None else v.normalize() for v in values]
    places = [max(0, -int(v.as_tuple().exponent)) for v in exact]
    decimals = min(MAX_DECIMALS, max(places, default=0))
    minor = [int(v.scaleb(decimals).to_integral_value()) for v in exact]
    return np.asarray(minor, dtype=np.int64), decimals, np.asarray(places, dtype=np.int64) > decimals


def _of_values(column: RawColumn) -> Numbers:
    none = np.zeros(len(column.values), dtype=bool)
    if column.kind == "time":
        return Numbers(name=column.name, amounts=Amounts(none.astype(np.int64), 0), unreadable=~none, absurd=none)
    with np.errstate(invalid="ignore"):
        absurd = ~column.missing & ~((column.values >= -BIGGEST) & (column.values <= BIGGEST))
    values = np.where(column.missing | absurd, 0, column.values)
    if column.kind == "int":
        amounts, rounded = Amounts(values.astype(np.int64), 0), 0
    else:
        distinct, codes = np.unique(values, return_inverse=True)
        minor, decimals, off = _float_decimals(distinct)
        codes = codes.reshape(-1)
        amounts, rounded = Amounts(minor[codes], decimals), int(off[codes].sum())
    return Numbers(name=column.name, amounts=amounts, unreadable=column.missing.copy(), absurd=absurd, rounded=rounded)


def _float_decimals(values: NDArray[np.float64]) -> tuple[IntColumn, int, BoolColumn]:
    """Floats as the short decimals that they stand for: 0.1 is one tenth, and so is 0.1 + 1e-17.

    The tolerance is a few units in the last place of a double, so that cents survive in large amounts.
    """
    places = np.full(len(values), MAX_DECIMALS + 1)
    for decimals in range(MAX_DECIMALS, -1, -1):
        scaled = values * 10.0**decimals
        places[np.abs(scaled - np.rint(scaled)) <= 4e-15 * np.abs(scaled)] = decimals
    off = places > MAX_DECIMALS
    decimals = min(MAX_DECIMALS, int(places.max(initial=0)))
    return np.rint(values * 10.0**decimals).astype(np.int64), decimals, off


def product(a: Amounts, b: Amounts) -> tuple[Amounts, BoolColumn, int]:
    """Row by row product, exact up to six decimals and rounded half even beyond; what is too big; how many rounded."""
    drop = max(0, a.decimals + b.decimals - MAX_DECIMALS)
    decimals = a.decimals + b.decimals - drop
    size = np.abs(a.minor.astype(np.float64)) * np.abs(b.minor.astype(np.float64))
    too_big = size > BIGGEST * 10.0 ** (decimals + drop)
    left, right = np.where(too_big, 0, a.minor), np.where(too_big, 0, b.minor)
    unit = 10**drop
    # What overflows a machine word before the rounding is multiplied in Python's integers; there are few such rows.
    wide = (size > 2.0**62) & ~too_big
    exact = np.where(wide, 0, left) * np.where(wide, 0, right)
    whole, rest = np.divmod(exact, unit)
    whole += (2 * rest > unit) | ((2 * rest == unit) & (whole % 2 == 1))
    rounded = int((rest != 0).sum())
    for row in np.flatnonzero(wide).tolist():
        high, low = divmod(int(left[row]) * int(right[row]), unit)
        whole[row] = high + (2 * low > unit or (2 * low == unit and high % 2 == 1))
        rounded += low != 0
    while decimals > 0 and not np.any(whole % 10):
        whole, decimals = whole // 10, decimals - 1
    return Amounts(whole, decimals), too_big, rounded
