"""What strategies have in common: their fields, the table of proposals, and how a customer is described."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
from attrs import field

from retention.domain import Action
from retention.errors import ConfigError
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn
from retention.frames.texts import Labels, Told
from retention.plan.proposals import Assumption, Proposals
from retention.plan.situation import Situation

__all__ = [
    "share",
    "number",
    "lift",
    "action",
    "proposals",
    "top",
    "horizon",
    "window",
    "touches_in_a_year",
    "rhythms",
    "worths",
    "paces",
    "monies",
    "money",
]


def share(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A share or a lift."""
    number(instance, attribute, value)
    if value > 1:
        raise ConfigError(
            f"{type(instance).__name__}({attribute.name}={value!r})",
            rule="a share or a lift lies in [0, 1]",
            remedy=f"give {attribute.name} a number from 0 to 1",
        )


def number(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A number of zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not (np.isfinite(value) and value >= 0):
        raise ConfigError(
            f"{type(instance).__name__}({attribute.name}={value!r})",
            rule="a number of zero or more, and finite",
            remedy=f"give {attribute.name} such a number",
        )


def lift(default: float) -> Any:
    """A field for an assumed lift."""
    return field(default=default, validator=share)


def action(default: Action) -> Any:
    """A field for an action."""
    return field(default=default, validator=attrs.validators.instance_of(Action))


def proposals(
    strategy: str,
    situation: Situation,
    rows: IntColumn,
    stake: FloatColumn,
    offers: Sequence[tuple[Action, float]],
    *,
    spread: float,
    meaning: str,
    opens: DayColumn,
    closes: DayColumn,
    reasons: Sequence[str] | Callable[[IntColumn], list[str]],
) -> Proposals:
    """Every offer to every row, gain = lift × stake.

    ``reasons`` are the texts, one a row, or what says them for any rows of the base when somebody reads them.
    """
    k = len(offers)
    lifts = np.asarray([lift for _, lift in offers])
    gain = np.repeat(stake, k) * np.tile(lifts, len(rows))
    whose = np.repeat(rows, k).astype(np.int64)
    reason: Any = (
        Told(reasons, whose)
        if callable(reasons)
        else Labels(np.repeat(np.arange(len(rows)), k), np.asarray(reasons, dtype=np.str_))
    )
    made: dict[str, Any] = {
        "customer_id": Labels(whose, situation.customer_id),
        "strategy": Labels.constant(strategy, len(gain)),
        "reason": reason,
        "evidence": Labels.constant("assumption", len(gain)),
    }
    return Proposals(
        base_row=whose,
        action=np.tile(np.arange(k, dtype=np.int64), len(rows)),
        gain=gain,
        gain_sd=gain * spread,
        opens=np.repeat(opens, k),
        closes=np.repeat(closes, k),
        actions=tuple(action for action, _ in offers),
        assumptions=tuple(
            Assumption(strategy=strategy, name=action.name, value=lift, spread=lift * spread, meaning=meaning)
            for action, lift in offers
        ),
        **made,
    )


def top(values: FloatColumn, share: float) -> BoolColumn:
    """The upper share of the base; a value that ties with the last one in is in."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values), dtype=bool)
    mask: BoolColumn = values >= np.quantile(finite, 1.0 - share)
    return mask


def horizon(situation: Situation) -> float:
    """Days for which what is at stake is counted: those of the valuation, a year if it has no end."""
    days = situation.valuation.horizon_days
    return days if np.isfinite(days) and days > 0 else 365.0


def window(situation: Situation, rows: IntColumn, least_days: int = 7) -> tuple[DayColumn, DayColumn]:
    """Her contact window, from today on, so long at least; a window that is past or unknown opens today."""
    today = np.datetime64(situation.as_of, "D")
    opens, closes = situation.outlook.window_opens_at[rows], situation.outlook.window_closes_at[rows]
    opens = np.where(np.isnat(opens) | (opens < today), today, opens)
    least = opens + np.timedelta64(least_days - 1, "D")
    return opens, np.where(np.isnat(closes) | (closes < least), least, closes)


def touches_in_a_year(situation: Situation) -> IntColumn:
    """Outbound touches of the last 365 days by base row; one without a date counts."""
    touches = situation.touches
    recent = np.isnat(touches.at) | (touches.at >= np.datetime64(situation.as_of, "D") - np.timedelta64(365, "D"))
    rows = situation.rows_in(touches)
    counts: IntColumn = np.bincount(rows[recent & (rows >= 0) & (touches.direction != "in")], minlength=len(situation))
    return counts


def rhythms(situation: Situation, rows: IntColumn) -> list[str]:
    """Each one's rhythm in words."""
    outlook = situation.outlook
    known = (situation.histories.frequency[rows] >= 1) & np.isfinite(outlook.gap_low_days[rows])
    known &= np.isfinite(outlook.gap_high_days[rows])
    columns = (known, outlook.gap_low_days[rows], outlook.gap_high_days[rows], outlook.idle_days[rows])
    return [
        f"usually comes every {_days(low, high)}, silent for {idle:.0f}" if often else f"came once, {idle:.0f} days ago"
        for often, low, high, idle in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _days(low: float, high: float) -> str:
    return f"{low:.0f} to {high:.0f} days" if round(low) != round(high) else f"{high:.0f} days"


def worths(situation: Situation, rows: IntColumn) -> list[str]:
    """What each brings a year at her usual pace, what of it is at risk, and what is expected as things stand.

    Two models speak here, her clock and the value model, and each figure says whose it is: what she brings while she
    comes as usual, and what may be expected now that she is late.
    """
    days = horizon(situation)
    at_risk = monies(situation.outlook.at_risk_per_day[rows] * days, situation)
    expected = monies(situation.valuation.expected_margin[rows], situation)
    end = f" in {days:.0f} days" if np.isfinite(situation.valuation.horizon_days) else ""
    return [
        f"{pace}, {lost} at risk; expected as things stand: {still}{end}"
        for pace, lost, still in zip(paces(situation, rows), at_risk, expected, strict=True)
    ]


def paces(situation: Situation, rows: IntColumn) -> list[str]:
    """What each brings a year while she comes as usual, in words."""
    amounts = situation.outlook.margin_per_day[rows] * 365.0
    return [f"{amount} a year at her usual pace" for amount in monies(amounts, situation)]


def monies(amounts: FloatColumn, situation: Situation) -> list[str]:
    """Amounts in the log's currency, in words."""
    return [money(amount, situation) for amount in amounts.tolist()]


def money(amount: float, situation: Situation) -> str:
    """An amount in the log's currency, in words."""
    unit = f" {situation.histories.currency}" if situation.histories.currency else ""
    return f"{amount:,.2f}{unit}" if abs(amount) < 10 else f"{amount:,.0f}{unit}"
