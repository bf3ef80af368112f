"""Everything that is known of every customer on the plan's day."""

import datetime as dt
import weakref
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from attrs import field, frozen

from retention.errors import PlanError
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, TextColumn
from retention.histories import Histories
from retention.records.permissions import Consents
from retention.records.touches import Touches
from retention.tiers.tiering import Tiering
from retention.timing.causes import is_among
from retention.timing.outlook import Outlook
from retention.value.valuation import Valuation

__all__ = ["Situation"]

_CHUNK = 200_000
_ROWS: "weakref.WeakKeyDictionary[Touches | Consents, tuple[TextColumn, IntColumn]]" = weakref.WeakKeyDictionary()


@frozen(eq=False, kw_only=True)
class Situation:
    """What a strategy may look at and a policy may judge by. It grows by fields; plugins never break on growth.

    All tables have one row a customer in one order: position i is the same customer in each of them. ``consents``
    is None when no consent data were given at all, which a consent policy must treat as no consent.
    ``causes`` says of some customers why they are leaving or have left, by id, as far as anybody knows.
    ``touches`` holds contacts strictly before the plan's day.
    """

    as_of: dt.date
    histories: Histories
    valuation: Valuation
    outlook: Outlook
    tiering: Tiering
    touches: Touches = field(factory=Touches.none)
    consents: Consents | None = None
    open_complaints: frozenset[str] = frozenset()
    do_not_contact: frozenset[str] = frozenset()
    causes: Mapping[str, str] = field(factory=dict)
    attributes: Mapping[str, Any] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        ids = self.histories.customer_id
        for table in (self.valuation, self.outlook, self.tiering):
            if ids is not table.customer_id and not np.array_equal(ids, table.customer_id):
                raise PlanError(
                    f"a {type(table).__name__} of other customers than the histories",
                    rule="all stages of one plan are made from one base",
                    remedy="call appraise, anticipate and assign_tiers on the same histories",
                )

    def __len__(self) -> int:
        return len(self.histories)

    @property
    def customer_id(self) -> TextColumn:
        """The customers, by position."""
        return self.histories.customer_id

    @cached_property
    def _order(self) -> IntColumn | None:
        """The positions by id; None if the base is in that order and no customer appears twice."""
        ids = self.customer_id
        rows = range(0, len(ids) - 1, _CHUNK)
        rising = all(bool((ids[i + 1 : i + _CHUNK + 1] > ids[i : min(i + _CHUNK, len(ids) - 1)]).all()) for i in rows)
        return None if rising else np.argsort(ids, kind="stable")

    @property
    def repeats(self) -> bool:
        """Whether a customer appears twice."""
        return self._order is not None and len(np.unique(self.customer_id)) < len(self)

    def rows_of(self, customer_ids: Iterable[str]) -> IntColumn:
        """Positions of those ids that are in the base; -1 for others."""
        listed = customer_ids if isinstance(customer_ids, np.ndarray) else list(customer_ids)
        wanted, ids, order = np.asarray(listed, dtype=np.str_), self.customer_id, self._order
        found = np.full(len(wanted), -1, dtype=np.int64)
        for start in range(0, len(wanted) if len(ids) else 0, _CHUNK):
            some = wanted[start : start + _CHUNK]
            turn = np.argsort(some)  # looked up in their order, they are found four times as fast
            some = some[turn]
            # What is longer than any id is cut here, and is not the id that it is compared with below.
            at = np.maximum(np.searchsorted(ids, some.astype(ids.dtype), side="right", sorter=order) - 1, 0)
            row = at if order is None else order[at]
            found[start + turn] = np.where(ids[row] == some, row, -1)
        return found

    def rows_in(self, table: Touches | Consents) -> IntColumn:
        """The same for the customers of a table on file; looked up once."""
        known = _ROWS.get(table)
        if known is None or known[0] is not self.customer_id:
            known = _ROWS[table] = self.customer_id, self.rows_of(table.customer_id)
        return known[1]

    def attribute(self, name: str) -> Any:
        """What else is known of each customer, in the order of the base; None if there is no such attribute.

        It is looked up in ``attributes`` and then in ``histories.attributes``: a mapping by customer id (customers
        who are not in it have None, and the answer is a list), or a column in the order of the base.

        Raises:
            PlanError: the attribute is neither.
        """
        for known in (self.attributes, self.histories.attributes):
            given = known.get(name)
            if isinstance(given, Mapping):
                by_id = {str(who): value for who, value in given.items()}
                return [by_id.get(who) for who in self.customer_id.tolist()]
            if given is not None:
                column = given.to_numpy() if hasattr(given, "to_numpy") else given
                if isinstance(column, str) or np.shape(column) != (len(self),):
                    raise PlanError(
                        f"the attribute {name!r} is neither a mapping nor a column as long as the base",
                        rule="an attribute says something of each customer",
                        remedy="give a mapping by customer id, or a value for each row of the base",
                    )
                return column if isinstance(column, np.ndarray) else list(column)
        return None

    def mask_of(self, customer_ids: Iterable[str]) -> BoolColumn:
        """True for the customers named."""
        mask = np.zeros(len(self), dtype=bool)
        rows = self.rows_of(customer_ids)
        mask[rows[rows >= 0]] = True
        return mask

    def leaving(self, causes: Iterable[str], *, anywhere: bool = False) -> BoolColumn:
        """True for the customers of whom one of these causes is on file; ``anywhere``: be it among other words."""
        listed, known = tuple(causes), list(self.causes)
        told = is_among([self.causes[who] for who in known], listed, anywhere=anywhere)
        return self.mask_of(np.asarray(known)[told] if known else ())

    @property
    def orders_per_year(self) -> FloatColumn:
        """How often each customer buys a year, over at least a year of history."""
        years = np.maximum(self.histories.age_days, 365.0) / 365.0
        return self.histories.orders / years
