"""A proof: what the contacts earned, with everything that a reader must know before believing it."""

import datetime as dt
import html
import math
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from retention.frames.drawing import axes
from retention.proof.tables import ActionProofs, HoldoutHistory
from retention.proof.verdict import LEAST_CUSTOMERS, LEAST_GAP, Needed, Verdict, needed

__all__ = ["Proof"]


@frozen(kw_only=True, repr=False)
class Proof:
    """What the contacts earned per contacted customer beyond the hold-out, after their money cost.

    ``value`` is that difference with its interval ``[low, high]`` at confidence ``level``; infinite ends mean that the
    data bound nothing. ``total``, ``total_low`` and ``total_high`` are the same times ``n_contact``. The verdict:

    - ``works``: low > 0;
    - ``harms``: high < 0;
    - ``no effect``: the interval lies within plus or minus ``negligible``, also after allowing for contacts that were
      not carried out and held-out customers who were touched anyway;
    - ``cannot tell``: anything else, and always with fewer than 20 customers in an arm, or where the sizes of the arms
      are not what was drawn.

    ``margin_holdout`` is the hold-out's mean, its groups weighted as the contacted fill them. Where the past is used,
    ``value`` is not quite the difference of the means less cost: what chance put into it before is taken out.
    ``explained`` is the share of the variance of margins that the margin before the decision explains, ``shortened``
    the factor by which that changed the standard error ``error``. ``carried_out`` is the share of planned contacts
    that a touch on file carries out (None if no touch is on file), ``touched_anyway`` the share of the held-out who
    were touched like the contacted. ``expected`` is what the plan expected in place of ``value``.

    ``by_action`` has one row an action, ``history`` the shares and salts of the hold-out over time. ``notes`` say what
    a reader must know before believing the number.
    """

    value: float
    low: float
    high: float
    level: float
    verdict: Verdict
    negligible: float
    n_contact: int
    n_holdout: int
    margin_contact: float
    margin_holdout: float
    cost_contact: float
    hours: float
    since: dt.date | None
    until: dt.date | None
    window_days: int | None
    error: float = math.nan
    explained: float = 0.0
    shortened: float = 1.0
    expected: float = math.nan
    nights: int = 0
    carried_out: float | None = None
    touched_anyway: float | None = None
    by_action: ActionProofs
    history: HoldoutHistory
    currency: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """What all contacts together earned beyond what would have come anyway."""
        return self.value * self.n_contact

    @property
    def total_low(self) -> float:
        """Its lower end."""
        return self.low * self.n_contact

    @property
    def total_high(self) -> float:
        """Its upper end."""
        return self.high * self.n_contact

    @property
    def missing(self) -> tuple[int, int]:
        """How many more customers the contact arm and the hold-out need before any verdict."""
        return max(0, LEAST_CUSTOMERS - self.n_contact), max(0, LEAST_CUSTOMERS - self.n_holdout)

    @property
    def undiluted(self) -> tuple[float, float, float] | None:
        """Value and interval per contact *carried out*; None where that is not known, or the arms were treated alike.

        The difference before cost over the difference in the share of customers reached (Angrist, Imbens and Rubin,
        JASA 91 (1996) 444-455), less the cost of a contact. It holds if being chosen does nothing by itself, and takes
        the shares as known. The verdict does not go by it: what was planned and not done earns nothing.
        """
        if self.carried_out is None:
            return None
        return self._per_reached(self.carried_out - (self.touched_anyway or 0.0))

    def _per_reached(self, gap: float) -> tuple[float, float, float] | None:
        """Value and interval if contact reached a share of the customers that differs by ``gap`` between the arms."""
        if gap <= LEAST_GAP or not math.isfinite(self.low):
            return None
        paid = self.cost_contact
        return (self.value + paid) / gap - paid, (self.low + paid) / gap - paid, (self.high + paid) / gap - paid

    def needed(self, effect: float | None = None) -> Needed | None:
        """How much more of the same it takes to tell an effect of that size per contacted customer, after cost.

        Left out, ``effect`` is what the plan expected, or the negligible difference if that is more. None where the
        data give no variance to go by. The variance is taken to stay as seen: a guide, not a promise.
        """
        if not (math.isfinite(self.error) and self.error > 0 and math.isfinite(self.low)):
            return None
        size = effect if effect is not None else max(self.expected, self.negligible)
        if not (math.isfinite(size) and size != 0):
            return None
        reach = max(self.value - self.low, self.high - self.value)
        return needed(
            size,
            error=self.error,
            reach=reach,
            contacted=self.n_contact,
            held_out=self.n_holdout,
            nights=self.nights,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ends and means that the data do not give are None."""
        plain = {f.name: getattr(self, f.name) for f in attrs.fields(type(self))}
        more = self.needed()
        plain |= {
            "total": self.total,
            "total_low": self.total_low,
            "total_high": self.total_high,
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "undiluted": None if self.undiluted is None else list(self.undiluted),
            "needed": None if more is None else attrs.asdict(more),
            "by_action": _rows(self.by_action),
            "history": _rows(self.history),
            "notes": list(self.notes),
        }
        return {name: _plain(value) for name, value in plain.items()}

    @property
    def sentence(self) -> str:
        """The proof in one sentence."""
        arms = f"{self.n_contact:,} contacted, {self.n_holdout:,} held out"
        if any(self.missing):
            more = " and ".join(
                f"{n} more {who}" for n, who in zip(self.missing, ("contacted", "held out"), strict=True) if n
            )
            return f"{self.verdict} ({arms}): needs at least {more}"
        if not math.isfinite(self.low):
            return f"{self.verdict} ({arms}): nothing differs between customers, so nothing bounds the effect"
        unit = f" {self.currency}" if self.currency else ""
        return (
            f"{self.verdict}: {self.value:+,.2f}{unit} margin per contacted customer after cost, "
            f"{self.level:.0%} interval {self.low:+,.2f} to {self.high:+,.2f} ({arms})"
        )

    @property
    def _lines(self) -> tuple[str, ...]:
        more = self.needed() if self.verdict == "cannot tell" else None
        return (self.sentence, *([str(more)] if more is not None and more.nights else []))

    def plot(self, ax: Any = None) -> Any:
        """Draw the programme's interval and each action's against zero, and return the axes.

        Dashed: what the plan expected. Where the data bound nothing there is a word instead of a line.
        """
        table = self.by_action
        names = ["all contacts", *table.action.tolist()]
        values, lows, highs, expected = (
            np.asarray([mine, *theirs.tolist()], dtype=np.float64)
            for mine, theirs in (
                (self.value, table.value),
                (self.low, table.low),
                (self.high, table.high),
                (self.expected, table.expected),
            )
        )
        verdicts = [self.verdict, *table.verdict.tolist()]
        ax = axes(ax, size=(7.0, 1.6 + 0.45 * len(names)))
        ax.axvline(0.0, color="#888888", linewidth=1)
        for place, verdict in enumerate(verdicts):
            color = _COLORS[verdict]
            if np.isfinite(lows[place]):
                ax.plot([lows[place], highs[place]], [place, place], color=color, linewidth=5 if not place else 3)
                ax.plot([values[place]], [place], marker="o", color=color, markersize=7)
                if math.isfinite(expected[place]):
                    ax.plot([expected[place]] * 2, [place - 0.25, place + 0.25], color="#444444", linestyle="--")
            else:
                ax.text(0.0, place, " too little data", va="center", color=color)
        ax.set_yticks(range(len(names)), [f"{n}\n{v}" for n, v in zip(names, verdicts, strict=True)], parse_math=False)
        ax.invert_yaxis()
        ax.margins(y=0.15)
        unit = f" ({self.currency})" if self.currency else ""
        ax.set_xlabel(f"margin per contacted customer beyond the held-out, after cost{unit}", parse_math=False)
        ax.set_title(f"{self.level:.0%} intervals; dashed: what the plan expected", fontsize="medium")
        ax.spines[["top", "right", "left"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        return f"<Proof {'; '.join(self._lines)}>"

    def _repr_html_(self) -> str:
        first, *more = self._lines
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in (*more, *self.notes))
        table = self.by_action._repr_html_() if len(self.by_action) > 1 else ""
        return f"<p><b>{html.escape(first)}</b></p>" + (f"<ul>{notes}</ul>" if notes else "") + table


_COLORS = {"works": "#1f7a4d", "harms": "#a8322a", "no effect": "#1f5a7a", "cannot tell": "#8a8a8a"}


def _rows(table: Any) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in table.row(i).items()} for i in range(len(table))]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, dt.date) else value
