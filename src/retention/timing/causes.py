"""Why customers leave: each cause's share over time, what of it the firm can influence, and what that caps."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from retention.errors import ConfigError, RetentionError
from retention.frames.drawing import axes
from retention.frames.table import BoolColumn, FloatColumn, Provenance, Table, TextColumn, column
from retention.records.contracts import Contracts
from retention.value.asked import checked_interval

if TYPE_CHECKING:
    from retention._kernels.competing import Risks

__all__ = [
    "DECEASED",
    "NOT_STATED",
    "UNCONTROLLABLE",
    "CauseHazards",
    "ControllableShare",
    "CumulativeIncidence",
    "Damper",
    "cause_hazards",
    "controllable_share",
    "cumulative_incidence",
    "damper",
]

NOT_STATED = "not stated"
"""What the tables call an end without a stated cause."""

DECEASED = ("deceased", "died", "death")
"""Causes after which nobody is contacted, matched like those below."""

UNCONTROLLABLE = (*DECEASED, "moved", "relocation", "job transfer", "illness", "bankruptcy", "closed")
"""Causes that no programme can change, if nothing else is said: matched whole, whatever their case."""

_DAYS_A_YEAR = 365.25


@frozen(eq=False, repr=False, kw_only=True)
class CumulativeIncidence(Table):
    """One row a cause and day: the probability of having ended by then, of that cause, with an interval.

    On every day the incidences of all causes and ``survival`` add up to 1. ``at_most`` is the incidence if every end
    without a stated cause had been of this one: the truth lies between ``incidence`` and it. Days are those on which
    something ended, counted from the start of the contract.
    """

    key = "cause"

    time_days: FloatColumn = column("days since the contract began", unit="days")
    cause: TextColumn = column("why it ended, as stated")
    incidence: FloatColumn = column("probability of having ended by then, of this cause")
    low: FloatColumn = column("lower bound of it")
    high: FloatColumn = column("upper bound of it")
    at_most: FloatColumn = column("the incidence if all unstated causes were this one")
    survival: FloatColumn = column("probability that nothing has ended it by then")

    interval: float

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes in the order of the rows, the most common first."""
        return tuple(dict.fromkeys(self.cause.tolist()))

    def by(self, days: float) -> dict[str, float]:
        """Every cause's incidence by a day, and the ``survival``; 0 and 1 before anything has ended.

        Example:
            >>> c = Contracts.from_tenures(days=[10, 20, 30, 30], ended=[True, True, False, False],
            ...                            cause=["moved", "price", "", ""], as_of="2020-01-01")
            >>> cumulative_incidence(c).by(20)
            {'moved': 0.25, 'price': 0.25, 'survival': 0.5}
        """
        answer: dict[str, float] = {}
        alive = 1.0
        for cause in self.causes:
            mine = self.cause == cause
            before = np.flatnonzero(self.time_days[mine] <= days)
            answer[cause] = float(self.incidence[mine][before[-1]]) if len(before) else 0.0
            alive = float(self.survival[mine][before[-1]]) if len(before) else 1.0
        return {**answer, "survival": alive}

    def plot(self, ax: Any = None) -> Any:
        """The curves one above the other: their heights add up to all who have left."""
        ax = axes(ax)
        base: Any = 0.0
        for cause in self.causes:
            mine = self.cause == cause
            times = np.concatenate([[0.0], self.time_days[mine]])
            top = np.concatenate([[0.0], self.incidence[mine]]) + base
            ax.fill_between(times, base, top, step="post", label=cause, alpha=0.75, linewidth=0)
            base = top
        ax.set(xlabel="days since the contract began", ylabel="share that has ended", ylim=(0, None))
        ax.margins(x=0)
        if len(self):
            ax.legend(loc="upper left", frameon=False)
        return ax


@frozen(eq=False, repr=False, kw_only=True)
class CauseHazards(Table):
    """One row a cause and stretch of tenure: ends for each year at risk, with an exact Poisson interval."""

    key = "cause"

    from_days: FloatColumn = column("the stretch begins at this tenure", unit="days")
    to_days: FloatColumn = column("and ends before this one", unit="days")
    cause: TextColumn = column("why it ended, as stated")
    ended: FloatColumn = column("ends of this cause in the stretch", unit="count")
    years_at_risk: FloatColumn = column("time that all contracts together spent in it", unit="years")
    hazard: FloatColumn = column("ends for each year at risk", unit="1/year")
    low: FloatColumn = column("lower bound of it", unit="1/year")
    high: FloatColumn = column("upper bound of it", unit="1/year")

    interval: float


@frozen(kw_only=True)
class ControllableShare:
    """Of all who leave within ``horizon_days``, the share whose cause the firm can influence.

    ``share`` counts only ends whose cause was stated. ``least`` and ``most`` are the shares if every unstated cause
    was uncontrollable, or controllable; ``low`` and ``high`` go around both with the interval: the truth is between
    them whatever the unstated causes were. All NaN if nobody has left.
    """

    share: float
    low: float
    high: float
    least: float
    most: float
    horizon_days: float
    ended: int
    unstated: int
    controllable: tuple[str, ...]
    uncontrollable: tuple[str, ...]
    interval: float

    def __repr__(self) -> str:
        told = f"{self.share:.1%} controllable [{self.low:.1%}, {self.high:.1%}]" if self.ended else "nobody has left"
        return (
            f"<ControllableShare: {told} of {self.ended:,} ends, {self.unstated:,} without a stated cause, "
            f"within {self.horizon_days:,.0f} days>"
        )


@frozen(kw_only=True)
class Damper:
    """What any save programme can reach, given that part of those who leave would leave anyway.

    A programme that takes ``reduction`` off the hazard of every controllable cause takes ``hazard_removed`` =
    ``controllable`` times ``reduction`` off the whole hazard. ``prevented`` is the share of those who would leave
    within the horizon that it still has at its end: less than the hazard's share, because who is saved can leave
    later. ``ceiling`` is that share for a perfect programme, and ``single_cause`` what one would promise who takes
    every end for controllable: it is never less than ``prevented``.
    """

    reduction: float
    controllable: float
    hazard_removed: float
    prevented: float
    ceiling: float
    single_cause: float
    horizon_days: float

    def __repr__(self) -> str:
        return (
            f"<Damper: {self.reduction:.0%} off the {self.controllable:.1%} that are controllable is "
            f"{self.hazard_removed:.1%} off all leaving; {self.prevented:.1%} of leavers still there after "
            f"{self.horizon_days:,.0f} days (at best {self.ceiling:.1%}; promised if all were controllable: "
            f"{self.single_cause:.1%})>"
        )


def cumulative_incidence(contracts: Contracts, *, interval: float = 0.90) -> CumulativeIncidence:
    """By cause, the probability of having left by each tenure: the Aalen-Johansen estimator.

    Contracts that run are right-censored at their age on the as-of date; with ``observed_from`` older ones enter late.
    Causes compete: one minus a Kaplan-Meier curve of one cause, with the others as censored, would say too much, since
    who has moved away cannot leave for the price any more. Intervals come from the delta method on the scale of
    log(-log(1 - incidence)); where a cause has not yet occurred the upper bound is the exact binomial one for the
    fewest who were at risk until then. Causes are told apart by their words, whatever their case. Ends without a stated
    cause are a cause of their own, "not stated": never shared out.

    An empty table, if nothing has ended.

    Source: Aalen and Johansen (1978), Scandinavian Journal of Statistics 5; Marubini and Valsecchi (1995), ch. 10.

    Raises:
        ConfigError: ``interval`` outside (0, 1).

    Example:
        >>> c = Contracts.from_tenures(days=[10, 20, 30, 30], ended=[True, True, False, False],
        ...                            cause=["moved", "price", "", ""], as_of="2020-01-01")
        >>> table = cumulative_incidence(c)
        >>> table["incidence"].tolist(), table["survival"].tolist()
        ([0.25, 0.25, 0.0, 0.25], [0.75, 0.5, 0.75, 0.5])
    """
    from scipy.special import ndtri

    from retention._kernels.competing import incidence, incidence_variance, survival

    checked_interval(interval)
    contracts = contracts.watched()
    causes, risks = _risks(contracts)
    F, S = incidence(risks), survival(risks)
    z = float(ndtri(0.5 + interval / 2))
    unstated = F[causes.index(NOT_STATED)] if NOT_STATED in causes else 0.0
    tail = 0.5 - interval / 2
    # Until a cause has occurred, all that is known is that none of those at risk had it: the fewest there ever were.
    none_yet = 1.0 - tail ** (1.0 / np.minimum.accumulate(np.maximum(risks.number, 1.0)))
    low, high, most = np.zeros_like(F), np.tile(none_yet, (len(causes), 1)), np.empty_like(F)
    for k, cause in enumerate(causes):
        sd = np.sqrt(incidence_variance(risks, np.eye(len(causes))[k]))
        some = (F[k] > 0) & (F[k] < 1)
        hazard = -np.log1p(-F[k][some])
        reach = z * sd[some] / ((1 - F[k][some]) * hazard)
        low[k][some], high[k][some] = -np.expm1(-hazard * np.exp(-reach)), -np.expm1(-hazard * np.exp(reach))
        low[k][F[k] >= 1], high[k][F[k] >= 1] = tail ** (1.0 / max(float(risks.ends.sum()), 1.0)), 1.0
        most[k] = F[k] if cause == NOT_STATED else F[k] + unstated
    return CumulativeIncidence(
        time_days=np.tile(risks.time, len(causes)),
        cause=np.repeat(np.asarray(causes, dtype=np.str_), len(risks.time)),
        incidence=F.reshape(-1), low=low.reshape(-1), high=high.reshape(-1),
        at_most=np.minimum(most, 1.0).reshape(-1), survival=np.tile(S, len(causes)),
        interval=float(interval), provenance=_provenance(contracts),
    )  # fmt: skip


def cause_hazards(contracts: Contracts, *, every_days: float = 365.25, interval: float = 0.90) -> CauseHazards:
    """By cause and stretch of tenure: how many end for each year that contracts spend at risk.

    Raises ConfigError for a stretch of no length.

    Example:
        >>> c = Contracts.from_tenures(days=[100, 200], ended=[True, False], cause=["price", ""], as_of="2020-01-01")
        >>> hazards = cause_hazards(c, every_days=100)
        >>> hazards["ended"].tolist(), (hazards["years_at_risk"] * 365.25).round(6).tolist()
        ([0.0, 1.0, 0.0], [200.0, 100.0, 0.0])
    """
    from scipy.special import gammaincinv

    checked_interval(interval)
    if not 0 < every_days < math.inf:
        raise ConfigError(
            f"every_days={every_days!r}", rule="a stretch of tenure has a length", remedy="365.25 is a year"
        )
    contracts = contracts.watched()
    causes, codes = _coded(contracts)
    entry, days = contracts.entry_days, contracts.days
    count = int(np.max(days, initial=0) // every_days) + 1 if len(days) else 0
    edges = np.arange(count + 1) * float(every_days)
    spent = (
        np.array([np.sum(np.maximum(np.minimum(days, b) - np.maximum(entry, a), 0)) for a, b in pairwise(edges)])
        / _DAYS_A_YEAR
    )
    bins = np.minimum((days // every_days).astype(np.int64), count - 1)
    ends = np.array([np.bincount(bins[codes == k], minlength=count) for k in range(len(causes))], dtype=np.float64)
    ends, years = ends.reshape(-1), np.tile(spent, len(causes))
    tail = 0.5 - interval / 2
    lower = np.where(ends > 0, gammaincinv(np.maximum(ends, 1), tail), 0.0)
    upper = gammaincinv(ends + 1, 1 - tail)
    some = years > 0

    def rate(of: Any) -> FloatColumn:
        return np.asarray(np.divide(of, years, out=np.full(len(years), np.nan), where=some))

    return CauseHazards(
        from_days=np.tile(edges[:-1], len(causes)), to_days=np.tile(edges[1:], len(causes)),
        cause=np.repeat(np.asarray(causes, dtype=np.str_), count), ended=ends, years_at_risk=years,
        hazard=rate(ends), low=rate(lower), high=rate(upper), interval=float(interval),
        provenance=_provenance(contracts),
    )  # fmt: skip


def controllable_share(
    contracts: Contracts,
    *,
    uncontrollable: Sequence[str] = UNCONTROLLABLE,
    horizon_days: float | None = None,
    interval: float = 0.90,
) -> ControllableShare:
    """Of all who leave within a horizon, the share whose cause the firm can influence.

    The share is one of cumulative incidences, so that neither the age of the base nor censoring tilts it. Causes listed
    in ``uncontrollable`` (matched whole, whatever their case) are nobody's to change; all other stated ones count as
    controllable. ``horizon_days`` is by default the longest tenure at which somebody left.

    Raises:
        ConfigError: ``horizon_days`` or ``interval`` out of range; one word given where a list is meant.

    Example:
        >>> c = Contracts.from_tenures(days=[10, 20, 30, 40], ended=[True] * 4,
        ...                            cause=["Moved", "price", "service", "moved"], as_of="2020-01-01")
        >>> controllable_share(c).share
        0.5
    """
    from scipy.special import ndtri

    from retention._kernels.competing import incidence, incidence_variance

    checked_interval(interval)
    horizon, causes, risks = _within(contracts, horizon_days)
    mine, theirs, unsaid = _kinds(causes, uncontrollable)
    told: dict[str, Any] = {
        "horizon_days": horizon, "ended": int(risks.ends.sum()), "unstated": int(risks.ends[unsaid].sum()),
        "controllable": tuple(c for c, ours in zip(causes, mine, strict=True) if ours),
        "uncontrollable": tuple(c for c, ours in zip(causes, theirs, strict=True) if ours),
        "interval": float(interval),
    }  # fmt: skip
    if not told["ended"]:
        return ControllableShare(share=math.nan, low=math.nan, high=math.nan, least=math.nan, most=math.nan, **told)
    F = incidence(risks)[:, -1]
    z = float(ndtri(0.5 + interval / 2))

    def bounds(ours: BoolColumn) -> tuple[float, float, float]:
        total = float(F.sum())
        share = float(F[ours].sum()) / total
        sd = math.sqrt(float(incidence_variance(risks, np.asarray(ours - share))[-1])) / total
        if not 0 < share < 1:  # all alike: the exact binomial bound
            edge = (0.5 - interval / 2) ** (1.0 / told["ended"])
            return share, (0.0 if share == 0 else edge), (1 - edge if share == 0 else 1.0)
        reach = z * sd / (share * (1 - share))
        logit = math.log(share / (1 - share))
        return share, 1 / (1 + math.exp(reach - logit)), 1 / (1 + math.exp(-reach - logit))

    least, low, _ = bounds(mine)
    most, _, high = bounds(mine | unsaid)
    stated = float(F[mine | theirs].sum())
    share = float(F[mine].sum()) / stated if stated > 0 else math.nan
    return ControllableShare(share=share, low=low, high=high, least=least, most=most, **told)


def damper(
    contracts: Contracts,
    *,
    reduction: float = 0.5,
    uncontrollable: Sequence[str] = UNCONTROLLABLE,
    horizon_days: float | None = None,
) -> Damper:
    """The ceiling that uncontrollable causes put on a programme that takes ``reduction`` off the controllable hazards.

    Ends without a stated cause are taken as uncontrollable, so that nothing is promised on a guess. What is kept of a
    customer who is saved is time, until another cause takes her: see the fields of :class:`Damper`.

    Source: Braun and Schweidel (2011), Marketing Science 30(5).

    Raises:
        ConfigError: ``reduction`` outside [0, 1], ``horizon_days`` out of range.
        RetentionError: nobody has left.

    Example:
        >>> c = Contracts.from_tenures(days=[10] * 100, ended=[True] * 100,
        ...                            cause=["moved"] * 55 + ["price"] * 45, as_of="2020-01-01")
        >>> d = damper(c, reduction=0.5)
        >>> round(d.controllable, 6), round(d.hazard_removed, 6)
        (0.45, 0.225)
    """
    from retention._kernels.competing import incidence, survival

    if not 0 <= reduction <= 1:
        raise ConfigError(f"reduction={reduction!r}", rule="a share of a hazard lies in [0, 1]", remedy="0.5 halves it")
    horizon, causes, risks = _within(contracts, horizon_days)
    if not risks.ends.sum():
        raise RetentionError(
            "no contract that has ended within the horizon",
            rule="what a programme can save is read off those who left",
            remedy="give contracts with ends, or a longer horizon_days",
        )
    mine, _, _ = _kinds(causes, uncontrollable)
    F = incidence(risks)[:, -1]
    share, leave = float(F[mine].sum() / F.sum()), float(F.sum())

    def kept(scale: FloatColumn) -> float:
        return float(survival(risks, scale)[-1] - (1.0 - leave)) / leave

    return Damper(
        reduction=float(reduction),
        controllable=share,
        hazard_removed=share * reduction,
        prevented=kept(np.where(mine, 1.0 - reduction, 1.0)),
        ceiling=kept(np.where(mine, 0.0, 1.0)),
        single_cause=kept(np.full(len(causes), 1.0 - reduction)),
        horizon_days=horizon,
    )


def _coded(contracts: Contracts) -> tuple[list[str], Any]:
    """The causes, most common first and "not stated" last, and each contract's (-1: it runs)."""
    said = contracts.cause[contracts.ended]
    spellings, which, often = np.unique(said, return_inverse=True, return_counts=True)
    folded = np.array([" ".join(str(text).split()).casefold() or NOT_STATED for text in spellings], dtype=np.str_)
    words, codes_of = np.unique(folded, return_inverse=True)
    # Each cause is called what it is called most often.
    common = [spellings[codes_of == k][np.argmax(often[codes_of == k])] for k in range(len(words))]
    names = np.array(
        [w if w == NOT_STATED else str(c).strip() for w, c in zip(words, common, strict=True)], dtype=np.str_
    )
    codes = codes_of[which] if len(said) else np.zeros(0, dtype=np.int64)
    counts = np.bincount(codes, minlength=len(names))
    order = np.lexsort([names, -counts, names == NOT_STATED])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    cause = np.full(len(contracts), -1, dtype=np.int64)
    cause[contracts.ended] = place[codes.reshape(-1)]
    return names[order].tolist(), cause


def _risks(contracts: Contracts) -> "tuple[list[str], Risks]":
    from retention._kernels.competing import at_risk

    contracts = contracts.watched()
    causes, codes = _coded(contracts)
    entry, days = contracts.entry_days.astype(np.float64), contracts.days.astype(np.float64)
    return causes, at_risk(entry, days, codes, len(causes))


def _within(contracts: Contracts, horizon_days: float | None) -> "tuple[float, list[str], Risks]":
    causes, risks = _risks(contracts)
    if horizon_days is None:
        return float(risks.time[-1]) if len(risks.time) else 0.0, causes, risks
    if not 0 < horizon_days < math.inf:
        raise ConfigError(
            f"horizon_days={horizon_days!r}", rule="a horizon is positive and finite", remedy="365 is a year"
        )
    early = risks.time <= horizon_days
    return float(horizon_days), causes, type(risks)(risks.time[early], risks.number[early], risks.ends[:, early])


def is_among(causes: Sequence[str], listed: Sequence[str], *, anywhere: bool = False) -> BoolColumn:
    """Which of the causes are among those listed, whatever their case and blanks; ``anywhere``: or hold one of them."""
    words = {" ".join(word.split()).casefold() for word in listed}
    told = [" ".join(str(cause).split()).casefold() for cause in causes]
    if not anywhere:
        return np.array([text in words for text in told], dtype=np.bool_)
    bare = [" " + "".join(c if c.isalnum() else " " for c in text) + " " for text in told]
    return np.array(
        [any(f" {word} " in " ".join(("", *text.split(), "")) for word in words) for text in bare], dtype=np.bool_
    )


def _kinds(causes: Sequence[str], uncontrollable: Sequence[str]) -> tuple[BoolColumn, BoolColumn, BoolColumn]:
    """Which causes are ours to change, which are not, and which nobody stated."""
    texts = isinstance(uncontrollable, Iterable) and all(isinstance(word, str) for word in uncontrollable)
    if isinstance(uncontrollable, str) or not texts:
        raise ConfigError(
            f"uncontrollable={uncontrollable!r}",
            rule="causes are given as a list of words",
            remedy='["moved", "price"]',
        )
    unsaid = np.array([cause == NOT_STATED for cause in causes], dtype=np.bool_)
    theirs = is_among(causes, uncontrollable) & ~unsaid
    return ~theirs & ~unsaid, theirs, unsaid


def _provenance(contracts: Contracts) -> Provenance:
    again = len(contracts) - len(np.unique(contracts.customer_id))
    if not again:
        return contracts.provenance
    return contracts.provenance.with_notes(
        f"{again:,} contracts are not their customer's first; where one follows another at once, relationships() joins "
        "them so that a renewal does not count as an end"
    )
