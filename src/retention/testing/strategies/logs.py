"""Strategies for what is on file: receipts (clean and messy), contacts, permissions, referrals, contracts."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from attrs import evolve
from hypothesis import strategies as st

from retention.domain import Contract, Referral, Touch
from retention.records.contracts import Contracts
from retention.records.permissions import Consents
from retention.records.referrals import Referrals
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog
from retention.testing.strategies import words

__all__ = [
    "transaction_logs",
    "messy_transactions",
    "touch_tables",
    "consent_tables",
    "referral_tables",
    "contract_tables",
]

_START = dt.date(2011, 1, 3)
_MIDDAY, _LAST_SECOND = 43_200, 86_399


def transaction_logs(
    *,
    min_size: int = 0,
    max_size: int = 30,
    max_customers: int = 6,
    max_days: int = 700,
    currency: str | None = None,
) -> st.SearchStrategy[TransactionLog]:
    """A clean log of so many lines: returns, credit notes that undo an order, lines of no money; columns come and go.

    Every line lies within ``max_days`` of 2011-01-03. Lines stand in no order of time, as in a real source.
    """
    line = st.tuples(
        st.integers(0, max_customers - 1),
        st.integers(0, max_days),
        st.sampled_from([0, _MIDDAY, _LAST_SECOND]),
        st.integers(0, 20_000) | st.integers(-20_000, -1),
        st.booleans(),
        st.integers(0, 2),
    )

    def log(
        who: list[str], lines: list[tuple[Any, ...]], margin: float | None, columns: frozenset[str]
    ) -> TransactionLog:
        rows: list[tuple[Any, ...]] = []
        for customer, day, second, cents, is_undone, label in lines:
            both = is_undone and cents > 0 and len(rows) + 2 <= max_size
            rows += [(customer, day, second, amount, both, label) for amount in ((cents, -cents) if both else (cents,))]
        rows = rows[:max_size]
        listed = list(zip(*rows, strict=True)) or [()] * 6
        day = np.asarray(listed[1], dtype=np.int64).astype("timedelta64[D]")
        at = np.datetime64(_START, "s") + day + np.asarray(listed[2], dtype=np.int64).astype("timedelta64[s]")
        labels = {name: [f"{name} {one}" for one in listed[5]] for name in columns}
        made = TransactionLog.from_arrays(
            customer_id=np.asarray([who[one % len(who)] for one in listed[0]], dtype=np.str_),
            at=at,
            revenue=[str(Decimal(amount).scaleb(-2)) for amount in listed[3]],
            margin=margin,
            currency=currency,
            **labels,
        )
        return evolve(made, undone_at=np.where(np.asarray(listed[4], dtype=bool), at, np.datetime64("NaT", "s")))

    return st.builds(
        log,
        st.lists(words.names(), min_size=1, max_size=max_customers, unique=True),
        st.lists(line, min_size=min_size, max_size=max_size),
        st.sampled_from([None, 0.35, 1.0]),
        st.frozensets(st.sampled_from(["order", "category", "channel"])),
    )


_GOOD_DAYS = ("2011-01-03", "2011-02-28 12:30", "31/12/2011", "3.1.2011", "20111201", "4 Mar 2012")
_BAD_DAYS = (
    None, "", " ", "n/a", "yesterday", "31.02.2011", "2011-13-01", "0000-00-00", "99999999", "12/31", "\ufeff", "-1",
)  # fmt: skip
_GOOD_SUMS = ("9.99", "1.250,00", "1,250.00", "-4.50", "(4.50)", "€ 5", "0", "+7", "12e1", "5-")
_BAD_SUMS = (
    None, "", "free", "NaN", "inf", "-Infinity", "1e400", "1.2.3.4", "9" * 40, "0x10", "--5", "١٢", "=1+1", "\x00",
)  # fmt: skip
_GOOD_IDS = ("17850", "17850.0", "anna", "Zoë", "株式会社")
_BAD_IDS = (None, "", "  ", "nan", "x" * 5000, "a\nb", '"', "=cmd()", "\u202eabc", "\x00")
_PIECES = ("1", "2", "-1", "0", "1.5", None, "", "many")


def messy_transactions(*, min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[dict[str, list[Any]]]:
    """Columns ``who``, ``day``, ``sum`` and ``pieces`` as files have them: text of all sorts, holes, nonsense.

    Give it to a reader as a frame (``pandas.DataFrame(rows, dtype=object)``) or as text: a reader keeps a row or sets
    it aside and says why, or refuses the whole with one clear error; it never crashes.
    """
    anything = st.text(max_size=12)
    row = st.tuples(
        st.sampled_from(_GOOD_IDS) | st.sampled_from(_BAD_IDS) | anything,
        st.sampled_from(_GOOD_DAYS) | st.sampled_from(_BAD_DAYS) | anything,
        st.sampled_from(_GOOD_SUMS) | st.sampled_from(_BAD_SUMS) | anything,
        st.sampled_from(_PIECES),
    )

    def columns(rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
        return {name: [row[i] for row in rows] for i, name in enumerate(("who", "day", "sum", "pieces"))}

    return st.lists(row, min_size=min_size, max_size=max_size).map(columns)


def touch_tables(*, before: dt.date | None = None, max_size: int = 12) -> st.SearchStrategy[Touches]:
    """Contacts, all in the year ``before`` a day if it is given."""
    one = words.touches() if before is None else touch_before(before)
    return st.lists(one, max_size=max_size).map(Touches.of)


def touch_before(day: dt.date) -> st.SearchStrategy[Touch]:
    """A contact in the year before a day."""
    return words.touches(first=day - dt.timedelta(days=365), last=day - dt.timedelta(days=1))


def consent_tables(*, max_size: int = 12) -> st.SearchStrategy[Consents]:
    """Permissions and withdrawals."""
    return st.lists(words.consents(), max_size=max_size).map(Consents.of)


def settled(drawn: list[tuple[Any, int]], customer_ids: Sequence[str]) -> list[Any]:
    """Drawn contacts or permissions, most of them now of these customers; a place beyond the last is a stranger's."""
    return [evolve(row, customer_id=customer_ids[place]) if place < len(customer_ids) else row for row, place in drawn]


def referral_tables(*, max_size: int = 10) -> st.SearchStrategy[Referrals]:
    """Who brought whom: a forest, since each is brought by one who stands before her."""
    by = st.tuples(st.integers(-1, max_size), st.none() | words.days(), st.none() | st.sampled_from(words.TIES))
    person = st.tuples(words.names(), by)

    def forest(people: list[tuple[str, Any]]) -> Referrals:
        return Referrals.of(
            Referral(referrer_id=people[place][0], referred_id=who, at=at, tie=tie)
            for position, (who, (place, at, tie)) in enumerate(people)
            if 0 <= place < position
        )

    return st.lists(person, max_size=max_size, unique_by=lambda one: one[0]).map(forest)


def contract_tables(*, max_size: int = 10, as_of: dt.date = dt.date(2012, 12, 31)) -> st.SearchStrategy[Contracts]:
    """Contracts known on ``as_of``; those of one customer follow each other and never overlap."""
    causes = st.none() | st.sampled_from(["price", "moved", "service"])
    spells = st.lists(st.tuples(st.integers(0, 700), st.integers(1, 90), causes), max_size=2)
    customer = st.tuples(words.names(), st.integers(0, 1500), spells, st.booleans())

    def table(customers: list[tuple[Any, ...]]) -> Contracts:
        listed: list[Contract] = []
        for who, ago, spells, runs in customers:
            begins = as_of - dt.timedelta(days=ago)
            for length, pause, cause in spells:
                if (ends := begins + dt.timedelta(days=length)) < as_of:
                    listed.append(Contract(customer_id=who, started=begins, ended=ends, reason=cause))
                    begins = ends + dt.timedelta(days=pause)
            if runs and begins <= as_of:
                listed.append(Contract(customer_id=who, started=begins))
        return Contracts.of(listed[:max_size], as_of=as_of)

    return st.lists(customer, max_size=max_size, unique_by=lambda one: one[0]).map(table)
