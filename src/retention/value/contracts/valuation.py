"""What each customer's further renewals are worth, as a table."""

import numpy as np
from attrs import frozen

from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column

__all__ = ["ContractValuation"]


@frozen(eq=False, repr=False, kw_only=True)
class ContractValuation(Table):
    """One row as in the tenures: what one customer's further renewals are worth; 0 for who has ended.

    ``value_low`` and ``value_high`` bound what *one* customer will really bring, with probability ``interval`` and as
    far as the model is right. They do not add up; ``FittedContracts.total_interval`` bounds a sum.
    """

    customer_id: TextColumn = column("who")
    renewals: IntColumn = column("renewal decisions come through", unit="count")
    weight: FloatColumn = column("customers that the row stands for", unit="count")
    next_renewal: FloatColumn = column("probability of coming through the next decision")
    expected_renewals: FloatColumn = column("expected renewals within the horizon", unit="count")
    discounted_renewals: FloatColumn = column("expected renewals within the horizon, discounted", unit="count")
    value: FloatColumn = column("expected discounted margin of one customer's renewals", unit="money")
    value_low: FloatColumn = column("lower bound of the realised value", unit="money")
    value_high: FloatColumn = column("upper bound of the realised value", unit="money")

    model: str
    horizon_periods: float
    discount_rate: float
    periods_per_year: float
    until_renewal: float
    interval: float

    def total(self) -> float:
        """Expected discounted margin of all the customers that the rows stand for."""
        return float(np.einsum("n,n->", self.value, self.weight))
