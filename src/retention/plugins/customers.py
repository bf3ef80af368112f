"""One customer with what the stages know of her: the columns, row by row, as people talk about customers."""

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from retention.domain import Customer
from retention.frames.table import Table
from retention.histories import Histories, History

if TYPE_CHECKING:
    from retention.plan import Situation
    from retention.value import Valuation

__all__ = ["KnownCustomer", "known_customers"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@frozen(kw_only=True)
class KnownCustomer(Customer):
    """One customer with what the stages know of her on the day.

    ``history`` is her :class:`~retention.histories.History`, ``worth`` her row of the valuation and ``when`` her row of
    the outlook, by the names of their columns; a stage that runs before those has them empty. ``tier`` is blank where
    nobody was ranked yet. ``attributes`` is what else is known of her, by name. Stages go by sums, not by receipts:
    ``transactions`` is empty.

    Example:
        >>> KnownCustomer(id="7", worth={"expected_margin": 120.0}).worth["expected_margin"]
        120.0
    """

    as_of: dt.date | None = None
    history: History | None = None
    worth: Mapping[str, Any] = field(default=_EMPTY, hash=False)
    when: Mapping[str, Any] = field(default=_EMPTY, hash=False)
    tier: str = ""


def known_customers(
    rows: Any,
    histories: Histories,
    situation: "Situation | None",
    *,
    valuation: "Valuation | None" = None,
    tier: Mapping[str, str] = _EMPTY,
) -> list[KnownCustomer]:
    """Those of these positions, one after the other, each with her own rows."""
    base = histories.take(rows)
    ids, n = base.customer_id.tolist(), len(base)
    if situation is None:
        as_of, outlook, tiers = histories.as_of, None, [tier.get(who, "") for who in ids]
        columns = {name: values.tolist() for name, values in base.attributes.items()}
    else:
        as_of, valuation, outlook = situation.as_of, situation.valuation, situation.outlook
        tiers = situation.tiering.tier[rows].tolist()
        names = dict.fromkeys([*histories.attributes, *situation.attributes])
        columns = {name: _picked(situation.attribute(name), rows) for name in names}
    each = zip(
        ids,
        tiers,
        _rows_of({name: values.tolist() for name, values in base.columns().items()}, n),
        _rows_of(columns, n),
        _rows(valuation, rows, n),
        _rows(outlook, rows, n),
        strict=True,
    )
    return [
        KnownCustomer(
            id=who, tier=ranked, as_of=as_of, history=History(**own), attributes=known, worth=worth, when=when
        )
        for who, ranked, own, known, worth, when in each
    ]


def _picked(values: Any, rows: Any) -> list[Any]:
    """A column's values at these positions, as plain Python values."""
    if isinstance(values, np.ndarray):
        return values[rows].tolist()  # type: ignore[no-any-return]
    return [values[i] for i in rows.tolist()]


def _rows(table: Table | None, rows: Any, n: int) -> list[Mapping[str, Any]]:
    if table is None:
        return [_EMPTY] * n
    return _rows_of({name: values[rows].tolist() for name, values in table.columns().items()}, n)


def _rows_of(columns: Mapping[str, list[Any]], n: int) -> list[Mapping[str, Any]]:
    if not columns:
        return [_EMPTY] * n
    names = list(columns)
    return [MappingProxyType(dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]
