"""When: each customer's own clock on the as-of date."""

from attrs import frozen

from retention.frames.table import BoolColumn, DayColumn, FloatColumn, Table, TextColumn, column

__all__ = ["Outlook"]


@frozen(eq=False, repr=False, kw_only=True)
class Outlook(Table):
    """One row a customer, in the order of the histories it was made from.

    ``overdue`` is judged on her own clock: a silence as long as hers would follow one of her purchases with a
    probability below ``tail`` if she were still coming. One-time buyers have only the base's clock. The window is that
    of her cycle (:func:`retention.timing.cycle`) where she has one, and of her next purchase where she has not.
    """

    customer_id: TextColumn = column("who")
    usual_gap_days: FloatColumn = column("her usual gap between purchases (median of the next)", unit="days")
    gap_low_days: FloatColumn = column("most of her gaps are longer than this", unit="days")
    gap_high_days: FloatColumn = column("most of her gaps are shorter than this", unit="days")
    idle_days: FloatColumn = column("since her last purchase", unit="days")
    silence_probability: FloatColumn = column("chance of a silence this long if she still comes")
    overdue: BoolColumn = column("late on her own clock")
    stage: TextColumn = column("just bought, settled, itching, looking; or no cycle")
    p_alive: FloatColumn = column("probability that she still comes, from her rhythm")
    p_leaves: FloatColumn = column("probability that no purchase follows one of hers, before any silence speaks")
    next_due_at: DayColumn = column("median date of the next purchase, if she still comes")
    window_opens_at: DayColumn = column("first day of the contact window")
    window_closes_at: DayColumn = column("last day of the contact window")
    margin_per_day: FloatColumn = column("what she brings a day while she comes", unit="money/day")
    at_risk_per_day: FloatColumn = column(
        "margin a day that is at stake: what an overdue customer still brings, times the probability that she does",
        unit="money/day",
    )

    tail: float
    currency: str | None = None
