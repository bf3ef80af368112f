"""What contacts were found to bring, against what was assumed: read by a plan in place of the bare assumptions."""

import datetime as dt
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import attrs
import numpy as np
from attrs import evolve, frozen

from retention.domain import Action
from retention.errors import ConfigError
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.frames.texts import Labels, Told
from retention.plan.proposals import Proposals
from retention.plan.situation import Situation

__all__ = ["Response", "Responses", "Offers", "ANY_SEGMENT"]

ANY_SEGMENT = ""
"""The segment of the row that stands for every segment without a row of its own."""

_VERSION = 1


@frozen(kw_only=True)
class Response:
    """What is believed of one action, proposed by one strategy, in one segment.

    ``multiplier`` times the assumed gain is the gain to expect, with standard deviation ``sd`` and the interval
    ``[low, high]``; ``seen`` with its standard error is what the segment's own data say, NaN where they say nothing.
    ``share`` is how much of the multiplier comes from data, the rest from the assumption.
    """

    strategy: str
    action: str
    segment: str
    contacts: int
    held_out: int
    expected: float
    seen: float
    seen_error: float
    multiplier: float
    sd: float
    low: float
    high: float
    share: float
    pooled: bool
    alike: float
    evidence: Literal["assumption", "measured"]


@frozen(eq=False, repr=False, kw_only=True)
class Offers(Table):
    """One row a strategy and segment: the action worth the most there, beside the one that is best for all of them."""

    key: ClassVar[str] = "segment"

    strategy: TextColumn = column("who proposes")
    segment: TextColumn = column("her tier")
    action: TextColumn = column("the best there; empty if none is worth its cost")
    net: FloatColumn = column("what a contact is expected to bring, after its expected cost", unit="money")
    one_for_all: TextColumn = column("the best if all segments of the strategy get the same; empty if none is")
    one_net: FloatColumn = column("what that brings in this segment", unit="money")
    chance: FloatColumn = column("probability that it is better here than the one for all; 0 if it is that one")


@frozen(eq=False, repr=False, kw_only=True)
class Responses(Table):
    """One row an action of a strategy and a segment, and one for all other segments (its segment is empty).

    A multiplier of 1 is the assumption itself; 0 means that the contact changes nothing, less than 0 that it harms.
    ``evidence`` is ``"measured"`` where the data weigh more in it than the assumption (``share`` above one half).
    Where the segments are more likely alike than not, all of them have the multiplier that they have in common
    (``pooled``); the intervals still allow for differences. ``share_seen`` is the share of a gain that was taken to
    show within ``window_days``.
    """

    key: ClassVar[str] = "action"

    strategy: TextColumn = column("who proposes")
    action: TextColumn = column("what is done")
    segment: TextColumn = column("her tier; empty for all without a row")
    contacts: IntColumn = column("contacts measured", unit="count")
    held_out: IntColumn = column("those left alone that they were compared with", unit="count")
    expected: FloatColumn = column("mean gain that was assumed of them", unit="money")
    seen: FloatColumn = column("what came, as a multiple of it; NaN if nothing can be compared")
    seen_error: FloatColumn = column("its standard error")
    multiplier: FloatColumn = column("what to multiply an assumed gain with")
    sd: FloatColumn = column("standard deviation of belief in it")
    low: FloatColumn = column("lower end of its interval")
    high: FloatColumn = column("upper end")
    share: FloatColumn = column("share of the multiplier that comes from data")
    pooled: BoolColumn = column("whether all segments of this action have one multiplier")
    alike: FloatColumn = column("probability that the segments of this action do not differ")
    evidence: TextColumn = column("'assumption' or 'measured'")

    as_of: dt.date | None = None
    window_days: int = 0
    share_seen: float = 1.0
    interval: float = 0.9
    currency: str | None = None

    @classmethod
    def of(cls, rows: Iterable[Response], **others: Any) -> Self:
        """Lift single responses into columns.

        Example:
            >>> card = Response(strategy="check-in-overdue", action="check-in card", segment="gold", contacts=1240,
            ...     held_out=140, expected=12.0, seen=0.55, seen_error=0.1, multiplier=0.62, sd=0.09, low=0.47,
            ...     high=0.77, share=0.96, pooled=False, alike=0.1, evidence="measured")
            >>> Responses.of([card]).response("check-in-overdue", "check-in card", "gold").multiplier
            0.62
        """
        listed = list(rows)
        kinds = {"contacts": np.int64, "held_out": np.int64, "pooled": np.bool_}
        text = ("strategy", "action", "segment", "evidence")
        columns: dict[str, Any] = {
            f.name: np.asarray(
                [getattr(row, f.name) for row in listed],
                dtype=np.str_ if f.name in text else kinds.get(f.name, np.float64),
            )
            for f in attrs.fields(Response)
        }
        return cls(**columns, **others)

    def row(self, position: int) -> Response:
        """One response."""
        return Response(**Table.row(self, position))

    def response(self, strategy: str, action: str, segment: str) -> Response | None:
        """What is believed of an action in a segment, with or without a row of its own; None if nothing was learned."""
        known = {(s, a, g): i for i, (s, a, g) in enumerate(self._names())}
        at = known.get((strategy, action, segment), known.get((strategy, action, ANY_SEGMENT)))
        return None if at is None else self.row(at)

    def rows_for(self, strategy: TextColumn, action: TextColumn, segment: TextColumn) -> IntColumn:
        """The row for each strategy, action and segment; -1 where nothing was learned of the action."""
        known = {names: i for i, names in enumerate(self._names())}
        coded = [Labels.of(names) for names in (strategy, action, segment)]
        code = np.zeros(len(strategy), dtype=np.int64)
        for names in coded:
            code = code * len(names.labels) + names.codes
        _, first, which = np.unique(code, return_index=True, return_inverse=True)
        named = zip(*(names[first].tolist() for names in coded), strict=True)
        rows = [known.get(one, known.get((one[0], one[1], ANY_SEGMENT), -1)) for one in named]
        return np.asarray(rows, dtype=np.int64)[which.reshape(-1)]

    def apply(self, proposals: Proposals, situation: Situation) -> Proposals:
        """The proposals with gains as far as they were measured, each saying in its reason what its gain rests on.

        ``gain`` is multiplied by what was learned of the action in the customer's tier and ``gain_sd`` becomes the
        doubt that is left; ``evidence`` becomes ``"measured"`` where that is so. A gain may become zero or negative:
        then the contact is not worth its cost, and the plan says so. Proposals of actions of which nothing was learned
        stay as they are; so do assumptions that some proposal still rests on.
        """
        if not len(proposals) or not len(self):
            return proposals
        names = proposals.of_actions("name")
        at = self.rows_for(proposals.strategy, names, situation.tiering.tier[proposals.base_row])
        known = at >= 0
        factor, doubt = np.where(known, self.multiplier[at], 1.0), self.sd[at]
        evidence: Any = Labels.of(np.where(known, self.evidence[at], proposals.evidence))
        told = np.asarray(["", *(f"; {self._told(i)}" for i in range(len(self)))], dtype=np.str_)

        def tell(rows: IntColumn) -> list[str]:
            return [
                why + more
                for why, more in zip(proposals.reason[rows].tolist(), told[at[rows] + 1].tolist(), strict=True)
            ]

        reason: Any = Told(tell, np.arange(len(proposals)))
        rests = evidence != "measured"
        assumed = dict.fromkeys(zip(proposals.strategy[rests].tolist(), names[rests].tolist(), strict=True))
        return evolve(
            proposals,
            gain=proposals.gain * factor,
            gain_sd=np.where(known, np.abs(proposals.gain) * doubt, proposals.gain_sd),
            evidence=evidence,
            reason=reason,
            assumptions=tuple(a for a in proposals.assumptions if (a.strategy, a.name) in assumed),
        )

    def offers(self, actions: Iterable[Action]) -> Offers:
        """The best of these actions in each segment that something was learned of, and the best one for all.

        An action is worth its multiplier times the mean gain that was assumed of those it was chosen for in the
        segment, less its expected cost; to do nothing is worth 0. A plan chooses by customer instead, each with her own
        stake; this is what to print. Actions of which nothing was learned are left out.
        """
        costs = {action.name: action.expected_cost for action in actions}
        known = [i for i in range(len(self)) if self.segment[i] != ANY_SEGMENT and self.action[i] in costs]
        rows: list[tuple[str, str, str, float, str, float, float]] = []
        for strategy in dict.fromkeys(self.strategy[known].tolist()):
            mine = [i for i in known if self.strategy[i] == strategy]
            net = {i: float(self.multiplier[i] * self.expected[i]) - costs[str(self.action[i])] for i in mine}
            people = {i: int(self.contacts[i] + self.held_out[i]) for i in mine}
            together: dict[str, float] = {}
            for i in mine:
                name = str(self.action[i])
                together[name] = together.get(name, 0.0) + net[i] * people[i]
            common = max(sorted(together), key=lambda name: together[name])
            common = common if together[common] > 0 else ""
            for segment in dict.fromkeys(self.segment[mine].tolist()):
                here = [i for i in mine if self.segment[i] == segment]
                best = max(here, key=lambda i: (net[i], str(self.action[i])))
                other = next((i for i in here if self.action[i] == common), None)
                worth, doubt = (net[best], self.sd[best] * self.expected[best]) if net[best] > 0 else (0.0, 0.0)
                name = str(self.action[best]) if net[best] > 0 else ""
                one, its = (0.0, 0.0) if other is None else (net[other], self.sd[other] * self.expected[other])
                apart = math.hypot(doubt, its)
                chance = 0.0 if name == common else 0.5 * math.erfc(-(worth - one) / (apart * math.sqrt(2.0)))
                rows.append((strategy, segment, name, worth, common, one, chance))
        columns = zip(*rows, strict=True) if rows else ((),) * 7
        names = ("strategy", "segment", "action", "net", "one_for_all", "one_net", "chance")
        text = ("strategy", "segment", "action", "one_for_all")
        made: dict[str, Any] = {
            name: np.asarray(values, dtype=np.str_ if name in text else np.float64)
            for name, values in zip(names, columns, strict=True)
        }
        return Offers(**made, provenance=self.provenance)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` reads them back to the last digit."""
        rows = [
            {k: None if isinstance(v, float) and v != v else v for k, v in attrs.asdict(self.row(i)).items()}
            for i in range(len(self))
        ]
        return {
            "version": _VERSION,
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
            "window_days": self.window_days,
            "share_seen": self.share_seen,
            "interval": self.interval,
            "currency": self.currency,
            "rows": rows,
            "notes": list(self.provenance.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Responses as :meth:`to_dict` wrote them.

        Raises ConfigError for another version, or parts that are missing or of another kind.
        """
        version = data.get("version") if isinstance(data, Mapping) else None
        if version != _VERSION:
            raise ConfigError(
                f"stored responses of version {version!r}",
                rule=f"this version of the package reads version {_VERSION}",
                remedy="learn them again from the journal",
            )
        try:
            stored: list[dict[str, Any]] = [
                {k: np.nan if v is None else v for k, v in row.items()} for row in data["rows"]
            ]
            rows = [Response(**row) for row in stored]
            return cls.of(
                rows,
                as_of=None if data["as_of"] is None else dt.date.fromisoformat(data["as_of"]),
                window_days=int(data["window_days"]),
                share_seen=float(data["share_seen"]),
                interval=float(data["interval"]),
                currency=data["currency"],
                provenance=Provenance(as_of=data["as_of"], notes=tuple(map(str, data["notes"]))),
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"stored responses with a part that cannot be read ({type(error).__name__})",
                rule="stored responses are read as they were written, with nothing more and nothing less",
                remedy="learn them again from the journal",
            ) from error

    @property
    def summary(self) -> tuple[str, ...]:
        """What a reader must know, a line each."""
        own = self.segment == ANY_SEGMENT
        measured = own & (self.evidence == "measured")
        lines = [
            f"{int(own.sum())} actions, {int(measured.sum())} of them measured rather than assumed; "
            f"{int(self.contacts[own].sum()):,} contacts against {int(self.held_out[own].sum()):,} held out",
            f"margin of {self.window_days} days after the decision, in which {self.share_seen:.0%} of a gain is taken "
            "to show",
        ]
        return (*lines, *self.provenance.notes)

    def plot(self, ax: Any = None) -> Any:
        """Draw each multiplier with its interval, and what the data alone say, and return the axes."""
        ax = axes(ax)
        order = np.lexsort((self.segment, self.action, self.strategy))[::-1]
        y = np.arange(len(order))
        some = {
            name: (self.evidence[order] == name, color)
            for name, color in (("measured", "#1f5a7a"), ("assumption", "#b08a3c"))
        }
        for name, (mask, color) in some.items():
            if mask.any():
                ax.hlines(y[mask], self.low[order][mask], self.high[order][mask], color=color, lw=2)
                ax.plot(self.multiplier[order][mask], y[mask], "o", color=color, label=name)
        ax.plot(self.seen[order], y, "|", color="#555555", ms=11, label="the segment's data alone")
        ax.axvline(1.0, color="#999999", lw=0.8, ls="--")
        ax.axvline(0.0, color="#999999", lw=0.8)
        ax.set_yticks(
            y, [f"{a}, {g or 'any other'}" for a, g in zip(self.action[order], self.segment[order], strict=True)]
        )
        ax.set_xlabel("gain as a multiple of what was assumed")
        ax.legend(frameon=False, fontsize="small")
        ax.spines[["top", "right"]].set_visible(False)
        return ax

    def __repr__(self) -> str:
        return "<Responses: " + "; ".join(self.summary[:2]) + ">"

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in self.summary)
        return f"<ul>{lines}</ul>{Table._repr_html_(self)}"

    def _names(self) -> Sequence[tuple[str, str, str]]:
        return list(zip(self.strategy.tolist(), self.action.tolist(), self.segment.tolist(), strict=True))

    def _told(self, i: int) -> str:
        """What a gain rests on, in words; a pooled one rests on the contacts of all segments."""
        own = (self.strategy == self.strategy[i]) & (self.action == self.action[i])
        at = int(np.flatnonzero(own & (self.segment == ANY_SEGMENT))[0]) if self.pooled[i] else i
        contacts, held = int(self.contacts[at]), int(self.held_out[at])
        if self.evidence[i] == "measured":
            times = f"{self.multiplier[i]:.2f} times what was assumed"
            return f"measured over {contacts:,} contacts and {held:,} held out: {times}"
        if not contacts:
            return "an assumption, with no contact measured yet"
        return (
            f"an assumption yet, drawn to {self.multiplier[i]:.2f} times by {contacts:,} contacts and {held:,} held out"
        )
