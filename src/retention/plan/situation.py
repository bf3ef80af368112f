"""Everything that is known of every customer on the plan's day."""

import datetime as dt
from collections.abc import Iterable, Mapping
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
            if not np.array_equal(ids, table.customer_id):
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

    def rows_of(self, customer_ids: Iterable[str]) -> IntColumn:
        """Positions of those ids that are in the base; -1 for others."""
        wanted = np.asarray(list(customer_ids), dtype=np.str_)
        ids = self.customer_id
        order = np.argsort(ids, kind="stable")
        if not len(ids) or not len(wanted):
            return np.full(len(wanted), -1, dtype=np.int64)
        at = np.clip(np.searchsorted(ids, wanted, sorter=order), 0, len(ids) - 1)
        found = order[at]
        return np.where(ids[found] == wanted, found, -1).astype(np.int64)

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
