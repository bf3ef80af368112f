"""Alarms on a change of habit, the why-task that each of them opens, and the answers that come back."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from retention.errors import ConfigError, UnknownNameError
from retention.frames.drawing import axes
from retention.frames.table import DayColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.records.contracts import Contracts

if TYPE_CHECKING:
    from retention.timing._watch import Alarm

__all__ = ["AlarmMonths", "ChangeAlerts", "WhyAnswers", "WhyTask", "record_answers"]


@frozen(kw_only=True)
class WhyTask:
    """One question to one customer: what changed, in words, and who should be asked why. Each alarm opens one."""

    id: str
    customer_id: str
    at: str
    habit: str
    words: str


@frozen(eq=False, repr=False, kw_only=True)
class AlarmMonths(Table):
    """One row a month: alarms raised, and how many chance alone may raise among those watched.

    ``chance`` is the Poisson probability of so many or more by chance. A month far below it is not a crowd of
    customers who each changed something: it is something that they share. ``pace`` is how long a day of that month was
    in the shop's own time: half, if those who were expected made half of their usual purchases. No alarm tells of that.
    """

    key = "month"

    month: TextColumn = column("year and month")
    watched_years: FloatColumn = column("customer-years under watch", unit="years")
    raised: IntColumn = column("alarms raised", unit="count")
    expected_at_most: FloatColumn = column("alarms that chance alone may raise", unit="count")
    chance: FloatColumn = column("probability of so many or more by chance")
    pace: FloatColumn = column("purchases of those expected, in terms of their usual ones")

    def plot(self, ax: Any = None) -> Any:
        """Raised alarms as bars, what chance may raise as a line."""
        ax = axes(ax)
        place = np.arange(len(self))
        ax.bar(place, self.raised, color="C0", alpha=0.7, label="raised")
        ax.step(place, self.expected_at_most, where="mid", color="C3", label="by chance, at most")
        step = max(1, len(self) // 10)
        ax.set_xticks(place[::step], self.month[::step], rotation=45, ha="right")
        ax.set(ylabel="alarms")
        ax.legend(frameon=False)
        return ax


@frozen(eq=False, repr=False, kw_only=True)
class ChangeAlerts(Table):
    """One row an alarm, in order of day: which habit changed, from what, to what, and the same in words.

    ``before_low`` and ``before_high`` are the middle half of what she did before, ``after`` the median since; in days
    for frequency and silence, money a purchase day for the basket, a share of revenue for the margin, and the share of
    purchase days with her former main category or channel for those two. When the change began is estimated after the
    alarm, so before and after make it look a little larger than it is.

    ``months`` says how many alarms chance alone may have raised.
    """

    task_id: TextColumn = column("the why-task that the alarm opened")
    customer_id: TextColumn = column("who")
    at: DayColumn = column("the evening on which it was known")
    habit: TextColumn = column("frequency, silence, basket, margin, category or channel")
    direction: TextColumn = column("slower, faster, silent, lower, higher or other")
    before_low: FloatColumn = column("lower quartile before")
    before_high: FloatColumn = column("upper quartile before")
    after: FloatColumn = column("median since, or the open silence")
    words: TextColumn = column("what changed")

    false_alarms_per_year: float
    months: AlarmMonths

    @property
    def expected_by_chance(self) -> float:
        """At most so many of the alarms are expected if nobody changed anything."""
        return float(self.months.expected_at_most.sum())

    def tasks(self) -> tuple[WhyTask, ...]:
        """One why-task an alarm, in order of the rows."""
        columns = (self.task_id, self.customer_id, self.at, self.habit, self.words)
        return tuple(
            WhyTask(id=str(i), customer_id=str(who), at=str(day), habit=str(habit), words=str(words))
            for i, who, day, habit, words in zip(*columns, strict=True)
        )

    def __repr__(self) -> str:
        return (
            f"<ChangeAlerts: {len(self):,} alarms in {self.months.watched_years.sum():,.0f} customer-years, "
            f"at most {self.expected_by_chance:,.1f} expected by chance>"
        )


@frozen(eq=False, repr=False, kw_only=True)
class WhyAnswers(Table):
    """One row an answered task: who, the day of the alarm, the habit, and the reason code she gave."""

    task_id: TextColumn = column("the task answered")
    customer_id: TextColumn = column("who")
    day: DayColumn = column("day of the alarm")
    habit: TextColumn = column("what had changed")
    cause: TextColumn = column("the reason code")

    def counts(self) -> dict[str, int]:
        """Answers by reason code, the most common first."""
        codes, many = np.unique(self.cause, return_counts=True)
        order = np.lexsort((codes, -many))
        return {str(codes[i]): int(many[i]) for i in order}

    def fill(self, contracts: Contracts) -> Contracts:
        """The contracts, with unstated causes of ends filled from her latest answer between start and end.

        A cause that was stated stays; who never answered keeps none.
        """
        latest: dict[str, list[tuple[Any, str]]] = {}
        for i in np.argsort(self.day, kind="stable"):
            latest.setdefault(str(self.customer_id[i]), []).append((self.day[i], str(self.cause[i])))
        cause = [str(c) for c in contracts.cause]
        for i in np.flatnonzero(contracts.ended & (contracts.cause == "")):
            told = latest.get(str(contracts.customer_id[i]), [])
            inside = [c for day, c in told if contracts.start[i] <= day <= contracts.end[i]]
            cause[i] = inside[-1] if inside else ""
        return Contracts.from_arrays(
            customer_id=contracts.customer_id,
            start=contracts.start,
            end=contracts.end,
            cause=cause,
            as_of=contracts.as_of,
            observed_from=contracts.observed_from,
            line=contracts.line,
        )


def record_answers(alerts: ChangeAlerts, answers: Mapping[str, str]) -> WhyAnswers:
    """The reason codes that came back, by task or by customer.

    A key is a task's id, or a customer's id for all her tasks in ``alerts``. Tasks without an answer have no row.

    Raises:
        UnknownNameError: a key that is neither. ConfigError: an empty reason.

    Example:
        >>> from retention.records import TransactionLog
        >>> from retention.timing import Rhythm, change_alerts
        >>> days = np.datetime64("2020-01-01") + np.arange(0, 300, 10)
        >>> log = TransactionLog.from_arrays(customer_id=["a"] * 30, at=days, revenue=[20.0] * 30)
        >>> clock = Rhythm(m0=2.3, kappa0=1.5, nu0=5.0, s0_squared=0.2, a=0.5, b=4.0, typical_gap_days=10.0)
        >>> alerts = change_alerts(log, as_of="2020-12-31", rhythm=clock)
        >>> alerts["words"].tolist()
        ['used to come every 10 days, it has been 54; baskets are unchanged']
        >>> record_answers(alerts, {"a": "moved"}).counts()
        {'moved': 1}
    """
    tasks, people = set(alerts.task_id.tolist()), set(alerts.customer_id.tolist())
    for key, reason in answers.items():
        if key not in tasks and key not in people:
            raise UnknownNameError(
                "an answer to no task",
                rule="answers are keyed by a task_id of the alerts, or by a customer_id with an alarm",
                remedy="take the keys from alerts['task_id']",
            )
        if not str(reason).strip():
            raise ConfigError(
                "an answer without a reason", rule="an answer is a reason code", remedy="leave the task out"
            )
    said = [
        answers.get(str(t), answers.get(str(c), "")) for t, c in zip(alerts.task_id, alerts.customer_id, strict=True)
    ]
    rows = np.flatnonzero([bool(s) for s in said])
    return WhyAnswers(
        task_id=alerts.task_id[rows],
        customer_id=alerts.customer_id[rows],
        day=alerts.at[rows],
        habit=alerts.habit[rows],
        cause=np.asarray([str(said[i]).strip() for i in rows], dtype=np.str_),
        provenance=alerts.provenance,
    )


def tell(
    alarms: "Sequence[Alarm]",
    customer_id: Sequence[str],
    labels: Mapping[str, Sequence[str]],
    *,
    rate: float,
    months: AlarmMonths,
    provenance: Any,
) -> ChangeAlerts:
    """The engine's alarms with names and words, in order of day, customer and habit."""
    order = sorted(range(len(alarms)), key=lambda i: (alarms[i].day, str(customer_id[alarms[i].row]), alarms[i].habit))
    told = [(alarms[i], str(customer_id[alarms[i].row]), _told(alarms[i], labels)) for i in order]
    days = np.asarray([alarm.day for alarm, _, _ in told], dtype=np.int64).astype("datetime64[D]")

    def text(values: Sequence[str]) -> TextColumn:
        return np.asarray(values, dtype=np.str_)

    def number(place: int) -> FloatColumn:
        return np.asarray([t[place] for _, _, t in told], dtype=np.float64)

    keys = [f"{who}\x1f{alarm.day}\x1f{alarm.habit}" for alarm, who, _ in told]
    return ChangeAlerts(
        task_id=text(
            ["why-" + hashlib.blake2b(k.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for k in keys]
        ),
        customer_id=text([who for _, who, _ in told]),
        at=days,
        habit=text([alarm.habit for alarm, _, _ in told]),
        direction=text([t[0] for _, _, t in told]),
        before_low=number(1),
        before_high=number(2),
        after=number(3),
        words=text([t[4] for _, _, t in told]),
        false_alarms_per_year=rate,
        months=months,
        provenance=provenance,
    )


def _told(alarm: "Alarm", labels: Mapping[str, Sequence[str]]) -> tuple[str, float, float, float, str]:
    if alarm.habit in labels:
        return _told_kind(alarm, labels[alarm.habit])
    from retention._kernels import changes

    values = alarm.values.astype(np.float64)
    up = alarm.worse == (alarm.habit in ("frequency", "silence"))
    many, z = (1, 1.0) if alarm.habit == "silence" else changes.split(values)
    many = many if (z > 0) == up and many < len(values) else 1
    old, new = values[:-many], values[-many:]
    low, high = (float(q) for q in np.quantile(old if len(old) else new, [0.25, 0.75]))
    after = float(np.median(new))
    if alarm.habit in ("frequency", "silence"):
        now = f"it has been {values[-1]:.0f}" if many == 1 and alarm.open_days else f"her last {_span(new, 'gap')} days"
        direction = "silent" if alarm.habit == "silence" else "slower" if alarm.worse else "faster"
        return direction, low, high, after, f"used to come every {_to(low, high)} days, {now}{_baskets(alarm.baskets)}"
    direction = "lower" if alarm.worse else "higher"
    if alarm.habit == "margin":
        verb, unit, scale = "used to leave", " % of revenue as margin", 100.0
    else:
        verb, unit, scale = "used to spend", " a purchase day", 1.0
    last = _span(new * scale, "purchase day")
    return (
        direction,
        low,
        high,
        after,
        f"{verb} {_to(low * scale, high * scale)}{unit}, her last {last}{' %' * (scale > 1)}",
    )


def _told_kind(alarm: "Alarm", labels: Sequence[str]) -> tuple[str, float, float, float, str]:
    from retention._kernels import changes

    codes = alarm.values.astype(np.int64)
    usual = _mode(codes[: max(1, len(codes) // 2)])
    other = (codes != usual).astype(np.float64)
    many, z = changes.split(other)
    many = many if z > 0 and many < len(codes) else 1
    before, after = 1.0 - other[:-many].mean() if many < len(codes) else 1.0, 1.0 - float(other[-many:].mean())
    new = codes[-many:]
    to = _mode(new[new != usual]) if (new != usual).any() else usual
    words = (
        f"used to buy mainly {labels[usual]} ({before:.0%} of her purchase days), "
        f"{labels[to]} on {int((new == to).sum())} of the last {many}"
    )
    if alarm.habit == "channel":
        words = words.replace("buy mainly", "come mainly by")
    return "other", float(before), float(before), after, words


def _mode(codes: Any) -> int:
    kinds, counts = np.unique(codes, return_counts=True)
    return int(kinds[np.argmax(counts)])


def _to(low: float, high: float) -> str:
    a, b = f"{low:,.0f}", f"{high:,.0f}"
    return a if a == b else f"{a} to {b}"


def _span(values: Any, what: str) -> str:
    span = _to(float(values.min()), float(values.max()))
    return f"{what} was {span}" if len(values) == 1 else f"{len(values)} {what}s were {span}"


def _baskets(baskets: Any) -> str:
    """Whether the baskets of her last purchase days differ from those before, by a rank-sum at two sigma."""
    many = min(5, len(baskets) // 2)
    if many < 2:
        return ""
    values = baskets.astype(np.float64)
    rank = np.searchsorted(np.sort(values), values) + np.searchsorted(np.sort(values), values, side="right")
    n, spread = len(values), float(rank.var() / 4)
    z = (rank[-many:].mean() - rank.mean()) / 2 / max(np.sqrt(spread * (n - many) / (n - 1) / many), 1e-9)
    return f"; baskets are {'unchanged' if abs(z) < 2 else 'larger' if z > 0 else 'smaller'}"
