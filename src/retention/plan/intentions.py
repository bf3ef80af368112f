"""She saved the mail and forgot: intentions that did not become a purchase, followed up a few times and no more."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain import Action
from retention.errors import ConfigError
from retention.frames.table import DayColumn, FloatColumn, IntColumn, Table, TextColumn, column
from retention.plan import proposing
from retention.plan.proposals import Proposals
from retention.plan.situation import Situation

__all__ = ["INTENTION_EMAIL", "INTENTION_WORD", "WORDS", "IntentionLapse", "IntentionQueue", "Intentions"]

WORDS: Mapping[str, str] = {
    "open": "opened",
    "opened": "opened",
    "save": "saved",
    "saved": "saved",
    "basket": "saved",
    "quote": "quoted",
    "quoted": "quoted",
}
"""What results of touches and kinds of outcomes say of an intention; others say nothing."""

DUE, WAITING, ENOUGH = "due", "too soon", "reminded enough"
BOUGHT, OPTED_OUT, PAST, STRANGER = "bought", "opted out", "past", "not in the base"

INTENTION_EMAIL = Action(
    name="intention e-mail",
    kind="remind",
    channel="email",
    hours=0.01,
    customer_benefit="finds what she was looking at again, and can ask what kept her",
)
INTENTION_WORD = Action(
    name="intention word",
    kind="remind",
    channel="in person",
    hours=0.02,
    customer_benefit="is asked at the counter whether she still wants what she had put aside",
    needs_consent=False,
    touchpoint=True,
)


class _Told(Protocol):
    """What a journal says came back."""

    def results(self) -> Any: ...

    def outcomes(self) -> Any: ...


@frozen(eq=False, repr=False, kw_only=True)
class Intentions(Table):
    """One row a sign that she meant to buy: a mail opened, goods saved, a quote asked for.

    Example:
        >>> signs = Intentions.from_arrays(customer_id=["7"], at=["2011-11-20"], what=["quoted"], amount=[250.0])
        >>> len(signs)
        1
    """

    customer_id: TextColumn = column("who")
    at: DayColumn = column("when")
    what: TextColumn = column("'opened', 'saved', 'quoted' or a word of your own")
    amount: FloatColumn = column("revenue that it was about; 0 if unknown", unit="money")

    @classmethod
    def from_arrays(cls, *, customer_id: Any, at: Any, what: Any, amount: Any = None) -> Self:
        """Signs from equal-length arrays. Raises ConfigError for a day that is none."""
        who, day = np.asarray(customer_id, dtype=np.str_), np.asarray(at, dtype="datetime64[D]")
        if np.isnat(day).any():
            raise ConfigError("an intention without a day", rule="a reminder goes by its day", remedy="give the day")
        return cls(
            customer_id=who,
            at=day,
            what=np.asarray(what, dtype=np.str_),
            amount=np.zeros(len(who)) if amount is None else np.asarray(amount, dtype=np.float64),
        )

    @classmethod
    def of_journal(cls, journal: _Told, words: Mapping[str, str] | None = None) -> Self:
        """What a journal's results and outcomes say (:data:`WORDS`), without what answers a reminder.

        An opened reminder is no new intention: else each would call for the next.
        """
        known = WORDS if words is None else words
        results, outcomes = journal.results(), journal.outcomes()
        answered = _rows(results, ("customer_id", "at", "result", "kind"))
        told = _rows(outcomes, ("customer_id", "at", "kind", "amount"))
        signs = [(who, at, word, 0.0) for who, at, word, kind in answered if kind != "remind"] + told
        signs = [
            (who, at, known[word.lower()], amount) for who, at, word, amount in signs if who and word.lower() in known
        ]
        who, day, what, amount = zip(*signs, strict=True) if signs else ((),) * 4
        return cls.from_arrays(customer_id=who, at=day, what=what, amount=amount)


def _rows(table: Any, names: tuple[str, ...]) -> list[Any]:
    return list(zip(*(table[name].tolist() for name in names), strict=True))


@frozen(eq=False, repr=False, kw_only=True)
class IntentionQueue(Table):
    """One row a customer with an intention on file, the largest stake first: her last one, and what becomes of it."""

    customer_id: TextColumn = column("who")
    what: TextColumn = column("her last intention")
    at: DayColumn = column("when")
    reminders: IntColumn = column("reminders sent since, or within the window before", unit="count")
    stake: FloatColumn = column("margin that it was about", unit="money")
    state: TextColumn = column(
        "'due', 'too soon', 'reminded enough', 'bought', 'opted out', 'past' or 'not in the base'"
    )

    currency: str | None = None

    States: ClassVar[tuple[str, ...]] = (DUE, WAITING, ENOUGH, BOUGHT, OPTED_OUT, PAST, STRANGER)

    def __repr__(self) -> str:
        counts = ((state, int((self.state == state).sum())) for state in self.States)
        return "<IntentionQueue: " + (", ".join(f"{state} {n:,}" for state, n in counts if n) or "empty") + ">"


@frozen(kw_only=True)
class IntentionLapse:
    """Follow up what was opened, saved or quoted and not bought; stop when she buys, opts out, or was reminded enough.

    ``intentions`` come from ``Intentions.of_journal(journal)`` or from the shop's own lists, so this strategy is made
    anew each night and is not among the built-in ones. A customer is reminded ``wait_days`` after her last intention
    at the earliest and ``window_days`` after it at the latest, at most ``most`` times in any ``window_days`` (contacts
    of kind *remind* of any strategy count), ``gap_days`` apart. A purchase on the day of the intention or later
    ends it, and so does a place on the do-not-contact list or the withdrawal of any permission since.

    Gain of a contact = lift × margin that it was about: of the amount, at the base's rate of margin, or else of one of
    her purchase days. The lift is the assumed chance of a purchase that would not have come.

    Example:
        >>> from retention.plan import examples, situate
        >>> situation = situate(*examples.small_base())
        >>> saved = Intentions.from_arrays(customer_id=["anna"], at=["2011-11-20"], what=["saved"])
        >>> IntentionLapse(intentions=saved).queue(situation)
        <IntentionQueue: due 1>
    """

    intentions: Intentions = field(eq=False, repr=False, validator=attrs.validators.instance_of(Intentions))
    email_lift: float = proposing.lift(0.05)
    word_lift: float = proposing.lift(0.05)
    spread: float = field(default=0.5, validator=proposing.number)
    wait_days: int = field(default=3, validator=proposing.number)
    window_days: int = field(default=30, validator=proposing.number)
    most: int = field(default=2, validator=proposing.number)
    gap_days: int = field(default=7, validator=proposing.number)
    email: Action = proposing.action(INTENTION_EMAIL)
    word: Action = proposing.action(INTENTION_WORD)
    name: str = field(default="intention-lapse", init=False)

    def queue(self, situation: Situation) -> IntentionQueue:
        """Everyone with an intention before the plan's day, and why she is or is not reminded today."""
        signs = self.intentions
        signs = signs.take(signs.at <= np.datetime64(situation.as_of, "D"))
        order = np.lexsort((signs.amount, signs.at, signs.customer_id))
        last = np.ones(len(order), dtype=bool)
        last[:-1] = signs.customer_id[order][1:] != signs.customer_id[order][:-1]
        signs = signs.take(order[last])
        rows = situation.rows_of(signs.customer_id)
        known, at = rows >= 0, np.maximum(rows, 0)
        state, reminders = self._states(signs, known, at, situation)
        base = situation.histories
        revenue = float(base.revenue.sum())
        rate = float(base.margin.sum()) / revenue if revenue > 0 else 1.0
        hers = situation.valuation.margin_mean[at] if len(situation) else np.zeros(len(rows))
        stake = np.where(signs.amount > 0, signs.amount * rate, np.where(known, np.nan_to_num(hers), 0.0))
        best = np.lexsort((signs.customer_id, -stake))
        return IntentionQueue(
            customer_id=signs.customer_id[best],
            what=signs.what[best],
            at=signs.at[best],
            reminders=reminders[best],
            stake=stake[best],
            state=state[best],
            currency=base.currency,
        )

    def _states(
        self, signs: Intentions, known: Any, at: IntColumn, situation: Situation
    ) -> tuple[TextColumn, IntColumn]:
        today, n = np.datetime64(situation.as_of, "D"), len(signs)
        age = (today - signs.at).astype(np.int64)
        touches = situation.touches
        sent = touches.take((touches.direction != "in") & (touches.kind == "remind"))
        place = np.minimum(np.searchsorted(signs.customer_id, sent.customer_id), max(n - 1, 0))
        mine = signs.customer_id[place] == sent.customer_id if n else np.zeros(0, dtype=bool)
        ago = np.where(np.isnat(sent.at), 0, (today - sent.at).astype(np.int64))
        recent = mine & (ago <= self.window_days)
        reminders = np.bincount(place[recent], minlength=n).astype(np.int64)
        latest = np.full(n, np.iinfo(np.int64).max)
        np.minimum.at(latest, place[recent], ago[recent])
        bought = np.zeros(n, dtype=bool)
        if len(situation):
            bought = known & (situation.histories.last_at[at] >= signs.at)
        state = np.select(
            [
                ~known,
                self._opted_out(signs, situation),
                bought,
                age > self.window_days,
                reminders >= self.most,
                (age < self.wait_days) | (latest < self.gap_days),
            ],
            [STRANGER, OPTED_OUT, BOUGHT, PAST, ENOUGH, WAITING],
            DUE,
        )
        return state, reminders

    def _opted_out(self, signs: Intentions, situation: Situation) -> Any:
        """Whom the list names, or who took a permission back since her intention."""
        out = np.isin(signs.customer_id, sorted(situation.do_not_contact))
        consents = situation.consents
        if consents is not None and len(signs):
            taken = consents.take(~consents.granted & ~(consents.at > np.datetime64(situation.as_of, "D")))
            place = np.minimum(np.searchsorted(signs.customer_id, taken.customer_id), len(signs) - 1)
            since = (signs.customer_id[place] == taken.customer_id) & ~(taken.at < signs.at[place])
            out[place[since]] = True
        return out

    def propose(self, situation: Situation) -> Proposals:
        """An e-mail and a word in person for each intention that is due."""
        queue = self.queue(situation)
        queue = queue.take((queue.state == DUE) & (queue.stake > 0))
        today = np.datetime64(situation.as_of, "D")
        unit = f" {queue.currency}" if queue.currency else ""
        return proposing.proposals(
            self.name,
            situation,
            situation.rows_of(queue.customer_id),
            queue.stake,
            ((self.email, self.email_lift), (self.word, self.word_lift)),
            spread=self.spread,
            meaning="chance that the reminder brings a purchase which would not have come",
            opens=np.full(len(queue), today),
            closes=queue.at + np.timedelta64(self.window_days, "D"),
            reasons=[
                f"{what} on {at} and not bought since: {stake:,.2f}{unit} of margin; "
                f"reminded {count} times of {self.most}"
                for what, at, stake, count in zip(
                    queue.what.tolist(), queue.at.tolist(), queue.stake.tolist(), queue.reminders.tolist(), strict=True
                )
            ],
        )
