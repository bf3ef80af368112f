"""The page: what a night found out, told to a shop owner in the order in which she would ask."""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from importlib import resources
from typing import Any

import numpy as np

from retention.errors import MissingExtraError
from retention.frames.table import FloatColumn, Provenance
from retention.plan.plan import Plan
from retention.records.transactions import NO_MARGIN
from retention.report import pictures
from retention.report._text import Grid, cents, clean, count, exact, forecast, percent, plain, sentence, short
from retention.report.reportable import Reportable

__all__ = ["render"]

_LEADS, _QUIET, _LATE = 25, 10, 10
_DAYS_A_YEAR = 365


def render(night: Reportable) -> str:
    """One self-contained HTML page of a night, as text.

    The page loads nothing, runs nothing and may be mailed: styles and pictures are inside it, text from the data is
    escaped, and characters that a page cannot hold are replaced. The same night gives the same page, byte for byte.
    Sums are shown so that they add up as shown: exact money is rounded to the cent within each table.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed (the extra ``report``).
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise MissingExtraError("the report", library="jinja2", extra="report") from None
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup) else clean(value),
    )
    environment.filters["sentence"] = sentence
    source = resources.files("retention.report").joinpath("template.html.j2").read_text("utf-8")
    return environment.from_string(source).render(
        as_of=night.as_of.isoformat(),
        unit=night.log.currency or "",
        stake=_stake(night),
        contacts=_contacts(night.plan),
        margin=_margin(night),
        best=_best(night),
        worth=_worth(night),
        others=_others(night.plan),
        quality=_quality(night),
        basis=_basis(night),
    )


def _of(amount: str, unit: str | None) -> str:
    """An amount with its currency."""
    return f"{amount} {unit}" if unit else amount


def _in(what: str, unit: str | None) -> str:
    """A column's head with the currency."""
    return f"{what} ({unit})" if unit else what


def _stake(night: Reportable) -> dict[str, Any]:
    leak, plan, unit = night.leak, night.plan, night.log.currency
    late = leak.take(slice(0, _LATE))
    planned = plan.decision == "contact"
    return {
        "per_day": _of(forecast(leak.per_day), unit),
        "per_year": _of(forecast(leak.per_day * _DAYS_A_YEAR), unit),
        "days": _DAYS_A_YEAR,
        "customers": len(leak),
        "customers_text": count(len(leak)),
        "no_contact_log": night.audit.coverage.untouched is None,
        "base": count(len(night.base)),
        "contacts": count(planned.sum()),
        "money": f"{plan.spent_money:,.2f}",
        "spent": _of(f"{plan.spent_money:,.2f}", unit),
        "money_limit": _limit(plan.budget.money),
        "hours": f"{plan.spent_hours:,.1f}",
        "hours_limit": _limit(plan.budget.hours),
        "gain": forecast(float(plan.gain[planned].sum())),
        "assumed": "measured" not in plan.evidence[planned].tolist(),
        "more_would_earn": [f"{line[:1].upper()}{line[1:]}." for line in plan.more_would_earn],
        "held_out": count((plan.decision == "hold-out").sum()),
        "holdout_share": percent(plan.holdout_share),
        "no_margin": NO_MARGIN if NO_MARGIN in night.log.provenance.notes else "",
        "late": Grid(
            caption=f"Through whom most margin is at stake ({len(late)} of {len(leak):,})",
            head=("customer", _in("at stake a day", unit), _in("brings a day", unit), "usual gap", "silent for"),
            kinds="tnnnn",
            rows=[
                (
                    short(late.customer_id[i]),
                    f"{late.at_risk_per_day[i]:,.2f}",
                    f"{late.margin_per_day[i]:,.2f}",
                    f"{late.usual_gap_days[i]:,.0f} days",
                    f"{late.idle_days[i]:,.0f} days",
                )
                for i in range(len(late))
            ],
        ),
    }


def _limit(limit: float | None) -> str:
    return "" if limit is None else f"{limit:,g}"


def _contacts(plan: Plan) -> dict[str, Any]:
    leads, spread = plan.lead_list(), plan.contacts.gain_sd
    shown = [
        {
            "who": short(leads.customer_id[i]),
            "why": str(leads.why[i]),
            "action": str(leads.action[i]),
            "channel": str(leads.channel[i]),
            "gain": _of(f"{forecast(leads.amount[i])} ± {forecast(spread[i])}", plan.currency),
            "assumed": str(leads.evidence[i]) != "measured",
            "opens": str(leads.opens[i]),
            "closes": str(leads.closes[i]),
            "consent": str(leads.consent[i]),
        }
        for i in range(min(len(leads), _LEADS))
    ]
    return {"shown": shown, "all": len(leads), "all_text": count(len(leads)), "rest": count(len(leads) - len(shown))}


_STEPS = (  # term, name, sign, colour; in the order in which the picture is read
    ("opening", "before", 1, pictures.THERE),
    ("lost", "lost", -1, pictures.LEFT),
    ("down", "down", -1, pictures.LEFT),
    ("up", "up", 1, pictures.CAME),
    ("reactivated", "reactivated", 1, pictures.CAME),
    ("new", "new", 1, pictures.CAME),
    ("closing", "now", 1, pictures.THERE),
)


def _margin(night: Reportable) -> dict[str, Any]:
    ledger, levers, unit = night.audit.ledger, night.audit.levers, night.log.currency

    def shown(of: str) -> list[Decimal]:
        """The line of books as signed amounts, to the cent, adding up."""
        flow = ledger.flow(of)
        *parts, closing = (sign * Decimal(getattr(flow, term)) for term, _, sign, _ in _STEPS)
        *parts, back = cents([*parts, -closing])
        return [*parts, -back]

    heads, revenue, margin = shown("customers"), shown("revenue"), shown("margin")
    texts = [_signed(amount, place) for place, amount in enumerate(margin)]
    points = ledger.points
    rows = [
        (
            name,
            "" if term in ("down", "up") else _signed(heads[i], i, decimals=0),
            _signed(revenue[i], i),
            texts[i],
            "" if points is None else f"{sign * points[term]:,.1f}",
        )
        for i, (term, name, sign, _) in enumerate(_STEPS)
    ]
    moved = dict(zip(ledger.movement.tolist(), ledger.count.tolist(), strict=True))
    drawn = [
        pictures.Bar(name, float(margin[i]), texts[i], _colour(colour, margin[i], i))
        for i, (_, name, _, colour) in enumerate(_STEPS)
    ]
    story = ", ".join(f"{name} {text}" for (_, name, _, _), text in zip(_STEPS, texts, strict=True))
    *parts, change = cents([*levers.parts.values(), -levers.change])
    return {
        "days": night.audit.period_days,
        "before": _of(texts[0], unit),
        "now": _of(texts[-1], unit),
        "verdict": ledger.verdict(),
        "picture": pictures.waterfall("ledger", drawn, alt=f"Margin from the period before to now: {story}"),
        "ledger": Grid(
            caption=f"The defection ledger: {night.audit.period_days} days to {night.as_of}, and those before",
            head=("", "customers", _in("revenue", unit), _in("margin", unit), "points"),
            kinds="tnnnn",
            rows=rows,
            total=True,
        ),
        "stayed": {name: count(moved.get(name, 0)) for name in ("down", "stable", "up")}
        | {"all": count(sum(moved.get(name, 0) for name in ("down", "stable", "up")))},
        "stable_within": f"{100 * ledger.stable_within:g}%",
        "points": points is not None,
        "levers": Grid(
            caption="Growth levers: what moved the margin",
            head=("lever", "part", _in("change in margin", unit)),
            kinds="ttn",
            rows=[
                *(
                    (str(lever), str(part), exact(amount, sign=True))
                    for lever, part, amount in zip(levers.lever, levers.part, parts, strict=True)
                ),
                ("all", "", exact(-change, sign=True)),
            ],
            total=True,
        ),
        "notes": [
            note for note in _notes(ledger.provenance, levers.provenance) if note not in night.log.provenance.notes
        ],
    }


def _signed(amount: Decimal, place: int, *, decimals: int = 2) -> str:
    """What stands there plain, what came or left with its sign."""
    sign = "+" if 0 < place < len(_STEPS) - 1 and amount else ""
    return f"{amount:{sign},.{decimals}f}"


def _colour(colour: str, amount: Decimal, place: int) -> str:
    if place in (0, len(_STEPS) - 1):
        return colour
    return pictures.CAME if amount >= 0 else pictures.LEFT


def _best(night: Reportable) -> dict[str, Any]:
    ranking, concentration, unit = night.audit.ranking, night.audit.concentration, night.log.currency
    quiet = ranking.quiet_best
    contacts = quiet.contacts_last_year
    drawn = [
        pictures.Bar(f"top {p}%", float(share), percent(share))
        for p, share in zip(concentration.top_percent.tolist(), concentration.share.tolist(), strict=True)
        if math.isfinite(share)
    ]
    return {
        "verdict": ranking.verdict(),
        "quiet": Grid(
            caption=f"The quiet best ({min(len(quiet), _QUIET)} of {len(quiet):,})",
            head=("customer", _in("margin a year", unit), "orders a year", "contacts a year", "revenue rank"),
            kinds="tnnnn",
            rows=[
                (
                    short(quiet.customer_id[i]),
                    exact(float(quiet.margin_per_year[i])),
                    f"{quiet.orders_per_year[i]:,.1f}",
                    "unknown" if contacts is None else count(contacts[i]),
                    count(quiet.revenue_rank[i]),
                )
                for i in range(min(len(quiet), _QUIET))
            ],
        ),
        "top": f"{100 * ranking.top_share:g}%",
        "overlap": Grid(
            caption="Of the best by margin, so many are also among the best by",
            head=("ranked by", "share of the best"),
            kinds="tn",
            rows=[(name, percent(share)) for name, share in ranking.overlap.items()],
        ),
        "concentration_verdict": concentration.verdict(),
        "gini": "" if concentration.gini is None else f"{concentration.gini:.2f}",
        "picture": pictures.bars("concentration", drawn, alt=concentration.verdict()) if drawn else "",
        "concentration": Grid(
            caption="What the best customers bring",
            head=("the best", "customers", _in("margin", unit), "share of all margin"),
            kinds="tnnn",
            rows=[
                (f"top {p}%", count(n), exact(float(m)), percent(s))
                for p, n, m, s in zip(
                    concentration.top_percent.tolist(),
                    concentration.customers.tolist(),
                    concentration.margin.tolist(),
                    concentration.share.tolist(),
                    strict=True,
                )
            ],
        ),
        "notes": [
            note
            for note in _notes(ranking.provenance, concentration.provenance, night.audit.coverage.provenance)
            if note not in _notes(night.audit.ledger.provenance, night.audit.levers.provenance)
        ],
    }


def _worth(night: Reportable) -> dict[str, Any]:
    worth, unit = night.worth, night.log.currency
    expected = worth.expected_margin
    days = f"{worth.horizon_days:,g}"
    head = ("customers", "share of customers", _in("expected margin", unit), "share of it")
    tiers = [(short(tier.name), night.tiers.rank == tier.rank) for tier in reversed(night.tiers.tiers)]
    bands = _bands(expected)
    alive = [
        (f"{low}–{low + 20}%", _between(worth.p_alive, low / 100, (low + 20) / 100, last=low == 80))
        for low in range(80, -1, -20)
    ]
    return {
        "days": days,
        "model": worth.model,
        "expected": _of(forecast(float(np.nansum(expected))), unit),
        "value": _of(forecast(float(np.nansum(worth.value))), unit),
        "rate": percent(worth.discount_rate),
        "still": count(float(np.nansum(worth.p_alive))),
        "customers": len(worth),
        "customers_text": count(len(worth)),
        "interval": f"{100 * worth.interval:g}%",
        "bounds": "" if worth.total_bounds is None else _of(" to ".join(map(forecast, worth.total_bounds)), unit),
        "tiers": _split("tiers", tiers, expected, ("tier", *head), f"Tiers by expected margin in {days} days"),
        "bands": _split(
            "bands",
            bands,
            expected,
            (_in("expected margin", unit), *head),
            f"Customers by expected margin in {days} days",
        ),
        "alive": _split("alive", alive, expected, ("chance", *head), "Customers by the chance that they still come"),
        "notes": [note for note in worth.provenance.notes if note not in night.log.provenance.notes],
    }


def _split(
    name: str, groups: Sequence[tuple[str, Any]], expected: FloatColumn, head: tuple[str, ...], caption: str
) -> dict[str, Any]:
    """A base cut into groups: a table, and a picture of its two columns of shares."""
    n, total = max(len(expected), 1), float(np.nansum(expected))
    heads = [int(mask.sum()) for _, mask in groups]
    sums = [float(np.nansum(expected[mask])) for _, mask in groups]
    of_all = [100 * h / n for h in heads]
    of_margin = [100 * s / total if total > 0 else math.nan for s in sums]
    first = [pictures.Bar(label, x, f"{x:.1f}%") for (label, _), x in zip(groups, of_all, strict=True)]
    second = [pictures.Bar(label, x, percent(x / 100)) for (label, _), x in zip(groups, of_margin, strict=True)]
    story = "; ".join(f"{a.label}: {a.text} and {b.text}" for a, b in zip(first, second, strict=True))
    grid = Grid(
        caption=caption,
        head=head,
        kinds="tnnnn",
        rows=[
            *(
                (a.label, count(h), a.text, forecast(s), b.text)
                for a, b, h, s in zip(first, second, heads, sums, strict=True)
            ),
            (
                "all",
                count(sum(heads)),
                percent(sum(heads) / n),
                forecast(total),
                percent(1.0 if total > 0 else math.nan),
            ),
        ],
        total=True,
    )
    legend = ("share of customers", "share of expected margin")
    alt = f"{caption}, {legend[0]} and {legend[1]}: {story}"
    return {"grid": grid, "picture": pictures.pairs(name, first, second, legend=legend, alt=alt) if groups else ""}


def _bands(values: FloatColumn) -> list[tuple[str, Any]]:
    """Bands of 1, 3, 10, 30, … that hold all values, the highest first; at most eight."""
    top = float(np.nanmax(values, initial=0.0))
    steps = [base * 10.0**power for power in range(-2, 13) for base in (1, 3)]
    edges = [step for step in steps if step < top][-7:] if top > 0 else []
    if not edges:
        return [("all", np.ones(len(values), dtype=bool))]
    masks = [(f"under {edges[0]:,g}", ~(values >= edges[0]))]
    for low, high in zip(edges, [*edges[1:], math.inf], strict=True):
        label = f"{low:,g}–{high:,g}" if high < math.inf else f"{low:,g} and more"
        masks.append((label, (values >= low) & (values < high)))
    return masks[::-1]


def _between(values: FloatColumn, low: float, high: float, *, last: bool) -> Any:
    return (values >= low) & ((values <= high) if last else (values < high))


def _others(plan: Plan) -> dict[str, Any]:
    """Everyone of the base once: contacted, or why not."""
    considered = plan.considered
    with_fate = {
        fate: _among(plan.customer_id, considered.customer_id[considered.fate == fate])
        for fate in ("budget", "no gain", "vetoed")
    }
    left = plan.decision == "none"
    groups = [
        ("to be contacted", plan.decision == "contact"),
        ("held out at random, so that the effect can be measured", plan.decision == "hold-out"),
        # In the order in which the plan tells a customer's story.
        ("a contact would pay, but the budgets had no room", left & with_fate["budget"]),
        ("a contact would not earn what it costs", left & ~with_fate["budget"] & with_fate["no gain"]),
        (
            "every contact proposed was refused by a policy",
            left & ~with_fate["budget"] & ~with_fate["no gain"] & with_fate["vetoed"],
        ),
        ("nothing to gain: no strategy proposed a contact", left & ~np.any(list(with_fate.values()), axis=0)),
    ]
    vetoes = plan.vetoes_by_policy()
    return {
        "decisions": Grid(
            caption="Every customer once",
            head=("what becomes of them", "customers"),
            kinds="tn",
            rows=[
                *((name, count(mask.sum())) for name, mask in groups),
                ("all customers of the base", count(len(plan))),
            ],
            total=True,
        ),
        "vetoes": Grid(
            caption="Refusals by policy (a customer may be refused by several)",
            head=("policy", "proposals", "customers"),
            kinds="tnn",
            rows=[
                (str(p), count(v), count(c))
                for p, v, c in zip(vetoes.policy, vetoes.vetoes, vetoes.customers, strict=True)
            ],
        ),
    }


def _among(ids: Any, some: Any) -> Any:
    """Which of the ids are among some of them; those of a base are in order, and need no sorting."""
    if not len(some) or not np.all(ids[1:] > ids[:-1]):
        return np.isin(ids, some)
    mask = np.zeros(len(ids), dtype=bool)
    spot = np.minimum(np.searchsorted(ids, some), len(ids) - 1)
    mask[spot[ids[spot] == some]] = True
    return mask


def _quality(night: Reportable) -> dict[str, Any]:
    quality, unit = night.log.quality, night.log.currency
    aside = quality.set_aside
    rows = [
        ("came in", count(quality.rows_in), _to_the_cent(quality.money_in)),
        ("kept", count(quality.rows_kept), _to_the_cent(quality.money_kept)),
        *(
            (
                f"set aside: {reason}"
                + (f" ({part.unreadable:,} without a readable amount)" if part.unreadable else ""),
                count(part.rows),
                _to_the_cent(part.money),
            )
            for reason, part in aside.items()
        ),
    ]
    return {
        "reconciles": quality.reconciles,
        "account": Grid(
            caption="Lines and money of the source",
            head=("", "lines", _in("money", unit)),
            kinds="tnn",
            rows=rows,
        ),
        "worth_knowing": Grid(
            caption="Kept, and worth knowing",
            head=("", "lines"),
            kinds="tn",
            rows=[(note, count(number)) for note, number in quality.notes.items()],
        ),
        # What the account above has counted already is not said twice.
        "notes": [
            note
            for note in night.log.provenance.notes
            if note != NO_MARGIN and not any(note.startswith(counted) for counted in quality.notes)
        ],
        "left_out": Grid(
            caption="Customers without a history",
            head=("why", "customers"),
            kinds="tn",
            rows=[(why, count(number)) for why, number in night.base.left_out.items()],
        ),
    }


def _to_the_cent(amount: Decimal) -> str:
    """At least two decimals, and every further one that is there, so that the account adds up as shown."""
    exponent = amount.normalize().as_tuple().exponent
    return f"{amount:,.{max(2, -exponent if isinstance(exponent, int) else 2)}f}"


def _basis(night: Reportable) -> dict[str, Any]:
    plan, worth = night.plan, night.worth
    made = [
        ("value", worth.model, worth.provenance),
        ("timing", night.when.provenance.model or "", night.when.provenance),
        ("tiers", night.tiers.rule, night.tiers.provenance),
        ("plan", "", plan.provenance),
    ]
    return {
        "assumptions": [
            {
                "strategy": a.strategy,
                "action": a.name,
                "value": f"{a.value:g} ± {a.spread:g}",
                "meaning": a.meaning,
            }
            for a in plan.assumptions
        ],
        "nothing_measured": not plan.measured,
        "notes": plan.notes,
        "models": [(stage, model, _parameters(made_by.parameters)) for stage, model, made_by in made],
        "facts": [
            ("as of", night.as_of.isoformat()),
            ("horizon", f"{worth.horizon_days:,g} days, discounted at {percent(worth.discount_rate)} a year"),
            ("package", f"retention {_version(plan.provenance, worth.provenance, night.base.provenance)}"),
            ("seed", str(plan.seed)),
            ("hold-out", f"{percent(plan.holdout_share)}, drawn with the salt {plan.salt!r}"),
            ("data fingerprint", night.log.fingerprint()),
            ("plan fingerprint", plan.fingerprint()),
        ],
    }


def _parameters(parameters: Mapping[str, Any]) -> str:
    flat: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {inner}": one for inner, one in value.items()}
        else:
            flat[str(name)] = value
    return "; ".join(f"{name} = {plain(value)}" for name, value in flat.items())


def _version(*made: Provenance) -> str:
    known: Iterable[str] = (one.version for one in made if one.version)
    from importlib.metadata import version

    return next(iter(known), None) or version("retention")


def _notes(*made: Provenance) -> list[str]:
    """All notes, each once."""
    return list(dict.fromkeys(note for one in made for note in one.notes))
