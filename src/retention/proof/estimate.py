"""What a policy would have earned: the value, how much of the log speaks of it, and whether it may be told at all."""

import html
import math
from typing import Any, Literal

import attrs
from attrs import frozen

from retention.frames.drawing import axes

__all__ = ["Estimate", "Gain", "Overlap"]

Verdict = Literal["estimated", "thin overlap"]
Estimator = Literal["dr", "snips", "ips"]


@frozen(kw_only=True)
class Overlap:
    """How much of the log speaks of the policy.

    ``matched`` rows were treated as the policy might treat them, and ``buyers`` of them bought. ``effective_buyers`` is
    the number of equally weighted buyers that would tell as much: all of them where weights are equal, fewer where a
    few rows stand for many. ``effective`` is the same for all rows, ``largest_weight`` the largest weight of a row and
    ``largest_share`` the largest share of all weights. With a ``customer_id`` buyers, effective numbers and that share
    are of customers and not of rows: a thousand rows of eight customers are eight.
    ``unsupported`` is the share of the policy's decisions that the log could not have made.
    """

    matched: int
    buyers: int
    effective: float
    effective_buyers: float
    largest_weight: float
    largest_share: float
    unsupported: float


@frozen(kw_only=True, repr=False)
class Gain:
    """What the policy would have earned beyond what was earned, per row, with its interval.

    ``buyers`` are the effective buyers among the rows that tell the two apart: those whose weight is not 1.
    """

    value: float
    error: float
    low: float
    high: float
    buyers: float
    verdict: Verdict

    @property
    def sentence(self) -> str:
        """The difference in a few words."""
        if self.verdict != "estimated":
            return f"thin overlap: not told ({self.buyers:,.0f} buyers tell the two apart)"
        value, low, high = (_told(each, self.error, "+") for each in (self.value, self.low, self.high))
        return f"{value} per row, {low} to {high}"

    def __repr__(self) -> str:
        return f"<Gain {self.sentence}>"


@frozen(kw_only=True, repr=False)
class Estimate:
    """What a policy would have earned per row, with its interval, or the refusal to say so.

    ``verdict`` is *estimated*, or *thin overlap*: then ``value``, ``error``, ``low`` and ``high`` are NaN, since any
    number would be a few rows' luck. ``earned`` is the mean reward of the log, ``over_logged`` the policy's value less
    that, of the same rows, with a verdict of its own: where policy and log mostly agree, the value may be well known
    and the difference not, and the other way round.
    """

    value: float
    error: float
    low: float
    high: float
    level: float
    estimator: Estimator
    verdict: Verdict
    overlap: Overlap
    earned: float
    over_logged: Gain
    n: int
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        rows = f"{self.n:,} rows, {self.overlap.buyers:,} buyers match"
        if self.verdict != "estimated":
            return f"thin overlap: the log does not tell what this policy would have earned ({rows})"
        return (
            f"{_told(self.value, self.error)} per row, {self.level:.0%} interval {_told(self.low, self.error)} to "
            f"{_told(self.high, self.error)}; earned were {_told(self.earned, self.error)} ({self.estimator}; {rows})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what was refused is None."""
        plain = attrs.asdict(self) | {"sentence": self.sentence, "notes": list(self.notes)}
        return {name: _plain(value) for name, value in plain.items()}

    def plot(self, ax: Any = None) -> Any:
        """The policy's value and what was earned, with the interval; of a refused one what was earned alone."""
        ax = axes(ax, size=(7.0, 1.8))
        ax.axvline(self.earned, color="0.6", lw=1, label="earned")
        if self.verdict == "estimated":
            ax.hlines([0], self.low, self.high, color="C0")
            ax.plot([self.value], [0], "o", color="C0", label=f"the policy ({self.level:.0%} interval)")
        else:
            ax.text(self.earned, 0, "  " + self.verdict, va="center")
        ax.set_yticks([])
        ax.set_ylim(-1, 1)
        ax.set_xlabel("reward per row")
        ax.legend(frameon=False, fontsize="small")
        return ax

    def __repr__(self) -> str:
        return f"<Estimate {self.sentence}>"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p><b>{html.escape(self.sentence)}</b></p>" + (f"<ul>{notes}</ul>" if notes else "")


def _told(value: float, error: float, sign: str = "") -> str:
    # As many decimals as show two digits of the error: rewards may be visits as well as money.
    digits = 2 if not error or not math.isfinite(error) else max(2, 1 - math.floor(math.log10(error)))
    return f"{value:{sign},.{digits}f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
