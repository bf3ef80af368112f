"""A night told in a terminal: what a shop owner wants to see, and nothing else."""

import textwrap
from math import isfinite

from retention.report.reportable import Told
from retention.value.valuation import Valuation

__all__ = ["tell"]

_WIDTH = 100


def tell(night: Told, *, top: int = 5) -> str:
    """The night in about thirty lines: at stake, where margin went, who is best, whom to contact, what is assumed."""
    unit = f" {night.log.currency}" if night.log.currency else ""
    quality, plan, worth = night.log.quality, night.plan, night.worth
    share = dict(
        zip(night.audit.concentration["top_percent"].tolist(), night.audit.concentration["share"].tolist(), strict=True)
    )
    aside = quality.rows_in - quality.rows_kept
    paragraphs = [
        f"The evening of {night.as_of}: {len(night.base):,} customers",
        "",
        _line(
            "receipts",
            f"{quality.rows_in:,} lines in, {quality.rows_kept:,} kept with {quality.money_kept:,.2f}{unit}, "
            f"{aside:,} set aside, each with a reason",
        ),
        _line(
            "at stake",
            f"{night.leak.per_day:,.2f}{unit} of margin a day, through {len(night.leak):,} valuable customers who are "
            "late on their own clock and whom nobody has touched in 90 days",
        ),
        *(
            f"{'':11}{late['customer_id']}: usually every {late['usual_gap_days']:,.0f} days, silent for "
            f"{late['idle_days']:,.0f}, {late['at_risk_per_day']:,.2f}{unit} a day"
            for late in (night.leak.row(i) for i in range(min(3, len(night.leak))))
        ),
        _line("the year", night.audit.ledger.verdict()),
        _line(
            "the best",
            f"the top 10 % bring {_share(share[10])} of the margin; {len(night.audit.ranking.quiet_best):,} of the "
            f"best {_seldom(night)} and are easily forgotten",
        ),
        _line(
            "the base",
            f"expected to bring {worth.expected_margin.sum():,.0f}{unit} of margin in the next "
            f"{worth.horizon_days:.0f} days ({worth.model}), worth {worth.total():,.0f} today{_sure(worth)}",
        ),
        _line("the plan", "; ".join(plan.summary[1:])),
        "",
    ]
    leads = plan.lead_list()
    for i in range(min(top, len(leads))):
        lead = leads.row(i)
        paragraphs.append(
            _wrapped(
                f"{i + 1:3}. {lead['customer_id']}: {lead['action']}, {lead['opens']} to {lead['closes']}, "
                f"gain {lead['amount']:,.0f}{unit} ({lead['evidence']})",
                "     ",
            )
        )
        paragraphs.append(_wrapped(f"     {lead['why']}", "     "))
    if len(leads) > top:
        paragraphs.append(f"     and {len(leads) - top:,} more")
    notes = dict.fromkeys((*night.audit.notes, *plan.notes))
    paragraphs += ["", *(_line("note", note) for note in notes if note not in plan.summary)]
    if night.recorded is not None:
        paragraphs.append(_line("journal", night.recorded.message))
    if night.adherence is not None and night.adherence.done.sum():
        done, planned = int(night.adherence.done.sum()), int(night.adherence.planned.sum())
        paragraphs.append(_line("done", f"{done:,} of the {planned:,} contacts planned so far"))
    return "\n".join(paragraphs)


def _sure(worth: Valuation) -> str:
    if worth.total_bounds is None:
        return ""
    low, high = worth.total_bounds
    return f" ({worth.interval:.0%} interval: {low:,.0f} to {high:,.0f})"


def _seldom(night: Told) -> str:
    """How often the quiet best order; of less than a year nobody knows what a year will bring."""
    often, days = night.audit.ranking.quiet_orders_per_year, night.base.age_days.max(initial=0)
    if days >= 365:
        return "order at most twice a year" if often == 2 else f"order at most {often:g} times a year"
    return f"have ordered at most {often:g} times in all {days:.0f} days"


def _share(value: float) -> str:
    return f"{value:.0%}" if isfinite(value) else "an unknown part"


def _line(label: str, text: str) -> str:
    return _wrapped(f"{label + ':':<10} {text}", " " * 11)


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
