"""A base of three customers, for examples and first trials."""

import datetime as dt

import numpy as np

from retention.domain import Tier
from retention.histories import Histories
from retention.tiers.tiering import Tiering
from retention.timing.outlook import Outlook
from retention.value.valuation import Valuation

__all__ = ["small_base"]


def small_base() -> tuple[Histories, Valuation, Outlook, Tiering]:
    """One overdue and valuable customer of the next tier's worth, one regular at the top, one long gone.

    Example:
        >>> histories, valuation, outlook, tiering = small_base()
        >>> outlook.overdue.tolist()
        [True, False, False]
    """
    day = np.datetime64("2011-12-01")
    histories = Histories.from_arrays(
        customer_id=["anna", "bea", "cleo"],
        frequency=[30, 24, 1],
        recency_days=[324.0, 340.0, 20.0],
        age_days=[350.0, 350.0, 350.0],
        margin_mean=[12.0, 20.0, 5.0],
        as_of=dt.date(2011, 12, 1),
        currency="EUR",
    )
    who = histories.customer_id
    margin = np.asarray([300.0, 480.0, 1.0])
    valuation = Valuation(
        customer_id=who,
        p_alive=np.asarray([0.7, 0.98, 0.01]),
        expected_purchases=margin / 15.0,
        margin_mean=histories.margin_mean,
        expected_margin=margin,
        value=0.95 * margin,
        value_low=0.2 * margin,
        value_high=1.8 * margin,
        model="example",
        horizon_days=365.0,
        discount_rate=0.1,
        interval=0.9,
        currency="EUR",
    )
    outlook = Outlook(
        customer_id=who,
        usual_gap_days=np.asarray([10.5, 14.0, 20.0]),
        gap_low_days=np.asarray([9.0, 10.0, 10.0]),
        gap_high_days=np.asarray([12.0, 18.0, 40.0]),
        idle_days=np.asarray(histories.idle_days),
        silence_probability=np.asarray([0.01, 0.6, 0.0]),
        overdue=np.asarray([True, False, False]),
        stage=np.asarray(["looking", "itching", "no cycle"]),
        p_alive=np.asarray([0.7, 0.98, 0.01]),
        p_leaves=np.asarray([0.03, 0.03, 0.3]),
        next_due_at=day + np.asarray([0, 4, 0], dtype="timedelta64[D]"),
        window_opens_at=day + np.asarray([-14, 2, -300], dtype="timedelta64[D]"),
        window_closes_at=day + np.asarray([7, 9, -290], dtype="timedelta64[D]"),
        margin_per_day=np.asarray([1.13, 1.37, 0.01]),
        at_risk_per_day=np.asarray([0.79, 0.0, 0.0]),
        tail=0.05,
        currency="EUR",
    )
    tiering = Tiering(
        customer_id=who,
        tier=np.asarray(["silver", "gold", "bronze"]),
        rank=np.asarray([1, 2, 0]),
        score=margin,
        next_tier=np.asarray(["gold", "", "silver"]),
        to_next=np.asarray([100.0, 0.0, 199.0]),
        tiers=(
            Tier(name="bronze", rank=0, floor=0.0),
            Tier(name="silver", rank=1, floor=200.0),
            Tier(name="gold", rank=2, floor=400.0),
        ),
        rule="example",
    )
    return histories, valuation, outlook, tiering
