"""The built-in strategies: whom to contact with what, and what it may bring.

Nobody has measured yet what these contacts bring. Each strategy therefore multiplies what is at stake with an assumed
lift: an argument with a visible default, reported as an :class:`Assumption` with every plan that uses it.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain import Action
from retention.errors import ConfigError
from retention.frames.table import BoolColumn, DayColumn, FloatColumn, IntColumn
from retention.plan.actions import (
    CHECK_IN_CALL,
    CHECK_IN_CARD,
    CHECK_IN_EMAIL,
    HANDOVER_CALL,
    HANDOVER_LETTER,
    KEEP_IN_TOUCH_CARD,
    KEEP_IN_TOUCH_EMAIL,
    KEEP_IN_TOUCH_WORD,
    NEED_EMAIL,
    NEED_WORD,
    THANK_CALL,
    THANK_CARD,
    THANK_IN_PERSON,
    TIER_EMAIL,
    TIER_NOTE,
    WIN_BACK_CALL,
    WIN_BACK_CARD,
    WIN_BACK_EMAIL,
)
from retention.plan.proposals import Assumption, OutreachStrategy, Proposals
from retention.plan.situation import Situation
from retention.timing.causes import DECEASED, UNCONTROLLABLE
from retention.timing.cycle import ITCHING, LOOKING, NO_CYCLE
from retention.timing.needs import Reminders

__all__ = [
    "CheckIn",
    "Handover",
    "NeedReminder",
    "NextConnection",
    "NextTier",
    "ThankQuietBest",
    "WinBack",
    "built_in_strategies",
    "margin_if_she_returns",
]


def _share(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    _number(instance, attribute, value)
    if value > 1:
        raise ConfigError(
            f"{type(instance).__name__}({attribute.name}={value!r})",
            rule="a share or a lift lies in [0, 1]",
            remedy=f"give {attribute.name} a number from 0 to 1",
        )


def _number(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (np.isfinite(value) and value >= 0):
        raise ConfigError(
            f"{type(instance).__name__}({attribute.name}={value!r})",
            rule="a number of zero or more, and finite",
            remedy=f"give {attribute.name} such a number",
        )


def _lift(default: float) -> Any:
    return field(default=default, validator=_share)


def _action(default: Action) -> Any:
    return field(default=default, validator=attrs.validators.instance_of(Action))


@frozen(kw_only=True)
class CheckIn:
    """Check in with the overdue valuable: customers late on their own clock whose margin is at stake.

    Gain of a contact = lift × margin at risk per day × days of the valuation's horizon: the lift is the assumed share
    of that margin which would be lost without the contact and stays with it. Proposed for customers who are overdue,
    alive with at least ``min_p_alive``, and in the upper ``value_share`` of the base by value. ``spread`` is one
    standard deviation of belief as a share of the lift.
    """

    call_lift: float = _lift(0.10)
    email_lift: float = _lift(0.03)
    card_lift: float = _lift(0.05)
    spread: float = field(default=0.5, validator=_number)
    min_p_alive: float = field(default=0.05, validator=_share)
    value_share: float = field(default=0.5, validator=_share)
    call: Action = _action(CHECK_IN_CALL)
    email: Action = _action(CHECK_IN_EMAIL)
    card: Action = _action(CHECK_IN_CARD)
    name: str = field(default="check-in-overdue", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """A call, an e-mail and a card for each overdue valuable customer."""
        outlook, worth = situation.outlook, situation.valuation
        stake = outlook.at_risk_per_day * _horizon(situation)
        wanted = outlook.overdue & (outlook.p_alive >= self.min_p_alive) & (stake > 0) & np.isfinite(stake)
        rows = np.flatnonzero(wanted & _top(worth.value, self.value_share))
        offers = ((self.call, self.call_lift), (self.email, self.email_lift), (self.card, self.card_lift))
        opens, closes = _window(situation, rows)
        return _proposals(
            self.name,
            situation,
            rows,
            stake[rows],
            offers,
            spread=self.spread,
            meaning="share of the margin at risk within the horizon that the contact keeps",
            opens=opens,
            closes=closes,
            reasons=[f"{_rhythm(situation, i)}; {_worth(situation, i)}" for i in rows.tolist()],
        )


@frozen(kw_only=True)
class NextConnection:
    """Be there before she looks around: customers whose window opens, on their own clock.

    Gain of a contact = lift × probability that no purchase follows × margin per day × days of the valuation's horizon:
    the lift is the assumed share of such departures that a contact within the window prevents. Proposed for customers
    with a cycle who are neither *looking* nor overdue (that is :class:`CheckIn`'s), whose window is open or opens
    within ``ahead_days``, alive with at least ``min_p_alive``, and in the upper ``value_share`` of the base by value.
    """

    email_lift: float = _lift(0.03)
    card_lift: float = _lift(0.05)
    word_lift: float = _lift(0.05)
    spread: float = field(default=0.5, validator=_number)
    value_share: float = field(default=0.5, validator=_share)
    min_p_alive: float = field(default=0.5, validator=_share)
    ahead_days: float = field(default=6, validator=_number)
    email: Action = _action(KEEP_IN_TOUCH_EMAIL)
    card: Action = _action(KEEP_IN_TOUCH_CARD)
    word: Action = _action(KEEP_IN_TOUCH_WORD)
    name: str = field(default="next-connection", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """An e-mail, a card and a word in person for each customer whose window opens."""
        outlook = situation.outlook
        stake = outlook.p_leaves * outlook.margin_per_day * _horizon(situation)
        ahead = (outlook.window_opens_at - np.datetime64(situation.as_of, "D")).astype(np.float64)
        soon = (outlook.stage == ITCHING) | (ahead <= self.ahead_days)
        early = ~outlook.overdue & ~np.isin(outlook.stage, (LOOKING, NO_CYCLE))
        wanted = early & soon & (outlook.p_alive >= self.min_p_alive) & (stake > 0) & np.isfinite(stake)
        rows = np.flatnonzero(wanted & _top(situation.valuation.value, self.value_share))
        opens, closes = _window(situation, rows, least_days=1)  # not a day beyond where she begins to look
        return _proposals(
            self.name,
            situation,
            rows,
            stake[rows],
            ((self.email, self.email_lift), (self.card, self.card_lift), (self.word, self.word_lift)),
            spread=self.spread,
            meaning="share of the departures at this turn that a contact within the window prevents",
            opens=opens,
            closes=closes,
            reasons=[
                f"{_rhythm(situation, i)}: her next purchase comes into reach, and of such customers "
                f"{outlook.p_leaves[i]:.0%} never make it; {_worth_a_year(situation, i)}"
                for i in rows.tolist()
            ],
        )


@frozen(kw_only=True)
class NextTier:
    """Show the next tier to those within reach of it.

    Gain of a contact = lift × expected margin missing to the next tier: the lift is the assumed chance that the
    contact brings it. Proposed for customers who are not overdue, alive with at least ``min_p_alive``, miss at most
    ``reach`` of the next tier's floor, and whose next purchase window opens within ``ahead_days``.
    """

    email_lift: float = _lift(0.05)
    note_lift: float = _lift(0.05)
    spread: float = field(default=0.5, validator=_number)
    reach: float = field(default=0.2, validator=_share)
    min_p_alive: float = field(default=0.5, validator=_share)
    ahead_days: float = field(default=28, validator=_number)
    email: Action = _action(TIER_EMAIL)
    note: Action = _action(TIER_NOTE)
    name: str = field(default="next-tier-within-reach", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """An e-mail and a note for each customer within reach."""
        outlook, tiering = situation.outlook, situation.tiering
        missing, floor = tiering.to_next, tiering.score + tiering.to_next
        near = (missing > 0) & np.isfinite(missing) & (missing <= self.reach * floor)
        alive = ~outlook.overdue & (outlook.p_alive >= self.min_p_alive)
        ahead = (outlook.window_opens_at - np.datetime64(situation.as_of, "D")).astype(np.float64)
        soon = np.isnat(outlook.window_opens_at) | (ahead <= self.ahead_days)
        rows = np.flatnonzero(near & alive & soon)
        opens, closes = _window(situation, rows)
        reasons = [
            f"{_money(missing[i], situation)} of expected margin short of the tier {tiering.next_tier[i]} "
            f"({_money(floor[i], situation)}); {_rhythm(situation, i)}"
            for i in rows.tolist()
        ]
        return _proposals(
            self.name,
            situation,
            rows,
            missing[rows],
            ((self.email, self.email_lift), (self.note, self.note_lift)),
            spread=self.spread,
            meaning="chance that the contact brings the margin missing to the next tier",
            opens=opens,
            closes=closes,
            reasons=reasons,
        )


@frozen(kw_only=True)
class ThankQuietBest:
    """Thank the quiet best: customers worth the most who come seldom and hear little.

    Gain of a contact = lift × expected margin within the valuation's horizon: the lift is the assumed growth of that
    margin. Proposed for the top ``value_share`` of the base by expected margin, with at most ``max_orders_per_year``
    orders a year (over at least a year), at most ``max_touches`` outbound contacts in the last 365 days, and alive
    with at least ``min_p_alive``. The window is the next ``window_days`` days: thanks need no occasion.
    """

    card_lift: float = _lift(0.03)
    in_person_lift: float = _lift(0.03)
    call_lift: float = _lift(0.05)
    spread: float = field(default=0.5, validator=_number)
    value_share: float = field(default=0.1, validator=_share)
    max_orders_per_year: float = field(default=2.0, validator=_number)
    max_touches: int = field(default=1, validator=_number)
    min_p_alive: float = field(default=0.2, validator=_share)
    window_days: int = field(default=28, validator=_number)
    card: Action = _action(THANK_CARD)
    in_person: Action = _action(THANK_IN_PERSON)
    call: Action = _action(THANK_CALL)
    name: str = field(default="thank-the-quiet-best", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """A card, a word in person and a call for each of the quiet best."""
        worth, per_year = situation.valuation.expected_margin, situation.orders_per_year
        touched = _touches_in_a_year(situation)
        quiet = (per_year <= self.max_orders_per_year) & (touched <= self.max_touches)
        alive = situation.outlook.p_alive >= self.min_p_alive
        rows = np.flatnonzero(quiet & alive & (worth > 0) & np.isfinite(worth) & _top(worth, self.value_share))
        today = np.datetime64(situation.as_of, "D")
        reasons = [
            f"among the best {self.value_share:.0%} with {_money(worth[i], situation)} of expected margin in "
            f"{_horizon(situation):.0f} days, but quiet: {per_year[i]:.1f} orders a year and "
            f"{touched[i]} contacts in the last 365 days"
            for i in rows.tolist()
        ]
        return _proposals(
            self.name,
            situation,
            rows,
            worth[rows],
            ((self.card, self.card_lift), (self.in_person, self.in_person_lift), (self.call, self.call_lift)),
            spread=self.spread,
            meaning="share by which the contact raises the expected margin within the horizon",
            opens=np.full(len(rows), today),
            closes=np.full(len(rows), today + np.timedelta64(max(int(self.window_days) - 1, 0), "D")),
            reasons=reasons,
        )


@frozen(kw_only=True)
class Handover:
    """Hand over whom nobody can keep: who moves away may stay a customer elsewhere, or send others.

    Gain of a contact = lift × expected margin within the valuation's horizon: the lift is the assumed share of it that
    comes with the introduction, at another branch or by post. Proposed for customers with a cause among ``causes``
    on file, and never for those among ``deceased``. The window is the next ``window_days`` days.
    """

    call_lift: float = _lift(0.05)
    letter_lift: float = _lift(0.03)
    spread: float = field(default=0.5, validator=_number)
    causes: tuple[str, ...] = field(default=UNCONTROLLABLE, converter=tuple)
    deceased: tuple[str, ...] = field(default=DECEASED, converter=tuple)
    window_days: int = field(default=28, validator=_number)
    call: Action = _action(HANDOVER_CALL)
    letter: Action = _action(HANDOVER_LETTER)
    name: str = field(default="handover", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """A call and a letter for each of them."""
        worth = situation.valuation.expected_margin
        leaving = situation.leaving(self.causes) & ~situation.leaving(self.deceased, anywhere=True)
        rows = np.flatnonzero(leaving & (worth > 0) & np.isfinite(worth))
        today = np.datetime64(situation.as_of, "D")
        causes = {int(row): cause for row, cause in zip(
            situation.rows_of(situation.causes).tolist(), situation.causes.values(), strict=True
        )}  # fmt: skip
        return _proposals(
            self.name,
            situation,
            rows,
            worth[rows],
            ((self.call, self.call_lift), (self.letter, self.letter_lift)),
            spread=self.spread,
            meaning="share of the expected margin within the horizon that comes with the introduction",
            opens=np.full(len(rows), today),
            closes=np.full(len(rows), today + np.timedelta64(max(int(self.window_days) - 1, 0), "D")),
            reasons=[
                f"leaves for a cause that nobody here can change ({causes[i]}), with "
                f"{_money(worth[i], situation)} of expected margin in {_horizon(situation):.0f} days"
                for i in rows.tolist()
            ],
        )


@frozen(kw_only=True)
class WinBack:
    """Win back whom the base has lost: customers who are most probably gone, ranked by what they would bring.

    Gain of a contact = lift × margin if she returns (:func:`margin_if_she_returns`): the lift is the assumed win-back
    rate, the chance that she comes back and would not have come by herself. It is small and not zero, in the same
    money as every other strategy's gain, and its actions are its own, so that what they bring is measured apart from
    what check-ins bring with customers who are merely late. Proposed for customers who are alive with less than
    ``max_p_alive`` (where :class:`CheckIn` by default leaves off), were last seen within ``max_idle_days``, and are in
    the upper ``value_share`` of such customers by that margin. The window is the next ``window_days`` days.

    Not among the built-in ones: a base has more lost customers than others, and nobody's figures say yet that a
    win-back repays the hours which the customers who stay would have had. Name it to let it compete.

    Example:
        >>> from retention.plan import examples, situate
        >>> got = WinBack().propose(situate(*examples.small_base()))
        >>> got.customer_id.tolist(), got.gain.round(2).tolist()
        (['cleo', 'cleo', 'cleo'], [0.11, 0.04, 0.07])
    """

    call_lift: float = _lift(0.03)
    email_lift: float = _lift(0.01)
    card_lift: float = _lift(0.02)
    spread: float = field(default=0.75, validator=_number)
    max_p_alive: float = field(default=0.05, validator=_share)
    max_idle_days: float = field(default=1095, validator=_number)
    value_share: float = field(default=0.5, validator=_share)
    window_days: int = field(default=28, validator=_number)
    call: Action = _action(WIN_BACK_CALL)
    email: Action = _action(WIN_BACK_EMAIL)
    card: Action = _action(WIN_BACK_CARD)
    name: str = field(default="win-back", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """A call, an e-mail and a card for each lapsed customer worth having back."""
        outlook = situation.outlook
        stake = margin_if_she_returns(situation)
        lapsed = (outlook.p_alive < self.max_p_alive) & (outlook.idle_days <= self.max_idle_days)
        wanted = np.flatnonzero(lapsed & (stake > 0) & np.isfinite(stake))
        rows = wanted[_top(stake[wanted], self.value_share)]
        today = np.datetime64(situation.as_of, "D")
        return _proposals(
            self.name,
            situation,
            rows,
            stake[rows],
            ((self.call, self.call_lift), (self.email, self.email_lift), (self.card, self.card_lift)),
            spread=self.spread,
            meaning="win-back rate: chance that she returns because of the contact",
            opens=np.full(len(rows), today),
            closes=np.full(len(rows), today + np.timedelta64(max(int(self.window_days) - 1, 0), "D")),
            reasons=[
                f"{_rhythm(situation, i)}: most probably gone; {_money(stake[i], situation)} of margin in "
                f"{_horizon(situation):.0f} days if she returned"
                for i in rows.tolist()
            ],
        )


def margin_if_she_returns(situation: Situation) -> FloatColumn:
    """What each customer would bring within the valuation's horizon if she were a customer still.

    The smaller of two readings: the valuation's expected margin over its probability that she is alive, and the margin
    a day that she brought while she came, over the horizon (which knows no further leaving, and stands alone where the
    valuation has her dead for certain). NaN where neither is known.
    """
    worth = situation.valuation
    by_rhythm = situation.outlook.margin_per_day * _horizon(situation)
    there = (worth.p_alive > 0) & (worth.expected_margin > 0)
    by_model = np.divide(worth.expected_margin, worth.p_alive, out=np.full(len(situation), np.nan), where=there)
    smaller: FloatColumn = np.fmin(by_rhythm, by_model)
    return smaller


@frozen(kw_only=True)
class NeedReminder:
    """Remind of what is about to run out: needs whose window is open on the plan's day.

    ``reminders`` come from ``timing.next_needs(log, as_of=day).reminders()``, so that this strategy is made anew each
    night and is not among the built-in ones. Gain of a contact = lift × margin of a purchase day of hers in that
    category: the lift is the assumed chance of a purchase that would have been made elsewhere, or never.

    Example:
        >>> from retention.timing import next_needs
        >>> from retention.worlds import Pantry
        >>> world = Pantry(customers=150, seed=1).simulate()
        >>> NeedReminder(reminders=next_needs(world.log, as_of=world.as_of).reminders()).name
        'need-reminder'
    """

    reminders: Reminders = field(eq=False, repr=False, validator=attrs.validators.instance_of(Reminders))
    email_lift: float = _lift(0.05)
    word_lift: float = _lift(0.05)
    spread: float = field(default=0.5, validator=_number)
    email: Action = _action(NEED_EMAIL)
    word: Action = _action(NEED_WORD)
    name: str = field(default="need-reminder", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """An e-mail and a word in person for each reminder that is due."""
        told, today = self.reminders, np.datetime64(situation.as_of, "D")
        rows = situation.rows_of(told.customer_id)
        open_ = (rows >= 0) & (told.margin > 0) & (told.opens_at <= today) & (told.closes_at >= today)
        due = np.flatnonzero(open_)
        # Who bought since they were told may have what she needs.
        since = situation.histories.last_at[rows[due]] > np.datetime64(told.provenance.as_of or situation.as_of, "D")
        due = due[~since]
        return _proposals(
            self.name,
            situation,
            rows[due],
            told.margin[due],
            ((self.email, self.email_lift), (self.word, self.word_lift)),
            spread=self.spread,
            meaning="chance that the reminder brings a purchase which would not have come",
            opens=np.full(len(due), today),
            closes=told.closes_at[due],
            reasons=told.reason[due].tolist(),
        )


def built_in_strategies() -> tuple[OutreachStrategy, ...]:
    """All built-in strategies with their defaults: what a plan uses when none are named."""
    return (CheckIn(), NextConnection(), NextTier(), ThankQuietBest(), Handover())


def _proposals(
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
    reasons: list[str],
) -> Proposals:
    """Every offer to every row, gain = lift × stake."""
    k = len(offers)
    lifts = np.asarray([lift for _, lift in offers])
    gain = np.repeat(stake, k) * np.tile(lifts, len(rows))
    return Proposals(
        customer_id=np.repeat(situation.customer_id[rows], k),
        base_row=np.repeat(rows, k).astype(np.int64),
        action=np.tile(np.arange(k, dtype=np.int64), len(rows)),
        gain=gain,
        gain_sd=gain * spread,
        opens=np.repeat(opens, k),
        closes=np.repeat(closes, k),
        strategy=np.full(len(gain), strategy),
        reason=np.repeat(np.asarray(reasons, dtype=np.str_), k),
        evidence=np.full(len(gain), "assumption"),
        actions=tuple(action for action, _ in offers),
        assumptions=tuple(
            Assumption(strategy=strategy, name=action.name, value=lift, spread=lift * spread, meaning=meaning)
            for action, lift in offers
        ),
    )


def _top(values: FloatColumn, share: float) -> BoolColumn:
    """The upper share of the base; a value that ties with the last one in is in."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values), dtype=bool)
    mask: BoolColumn = values >= np.quantile(finite, 1.0 - share)
    return mask


def _horizon(situation: Situation) -> float:
    days = situation.valuation.horizon_days
    return days if np.isfinite(days) and days > 0 else 365.0


def _window(situation: Situation, rows: IntColumn, least_days: int = 7) -> tuple[DayColumn, DayColumn]:
    """Her contact window, from today on, so long at least; a window that is past or unknown opens today."""
    today = np.datetime64(situation.as_of, "D")
    opens, closes = situation.outlook.window_opens_at[rows], situation.outlook.window_closes_at[rows]
    opens = np.where(np.isnat(opens) | (opens < today), today, opens)
    least = opens + np.timedelta64(least_days - 1, "D")
    return opens, np.where(np.isnat(closes) | (closes < least), least, closes)


def _touches_in_a_year(situation: Situation) -> IntColumn:
    touches = situation.touches
    recent = np.isnat(touches.at) | (touches.at >= np.datetime64(situation.as_of, "D") - np.timedelta64(365, "D"))
    rows = situation.rows_of(touches.customer_id)
    counts: IntColumn = np.bincount(rows[recent & (rows >= 0) & (touches.direction != "in")], minlength=len(situation))
    return counts


def _rhythm(situation: Situation, row: int) -> str:
    """Her rhythm in words."""
    outlook = situation.outlook
    low, high, idle = outlook.gap_low_days[row], outlook.gap_high_days[row], outlook.idle_days[row]
    if situation.histories.frequency[row] < 1 or not (np.isfinite(low) and np.isfinite(high)):
        return f"came once, {idle:.0f} days ago"
    usual = f"{low:.0f} to {high:.0f} days" if round(low) != round(high) else f"{high:.0f} days"
    return f"usually comes every {usual}, silent for {idle:.0f}"


def _worth(situation: Situation, row: int) -> str:
    at_risk = situation.outlook.at_risk_per_day[row] * _horizon(situation)
    return f"{_worth_a_year(situation, row)}, {_money(at_risk, situation)} at risk"


def _worth_a_year(situation: Situation, row: int) -> str:
    return f"worth {_money(situation.outlook.margin_per_day[row] * 365.0, situation)} a year"


def _money(amount: Any, situation: Situation) -> str:
    unit = f" {situation.histories.currency}" if situation.histories.currency else ""
    return f"{amount:,.2f}{unit}" if abs(amount) < 10 else f"{amount:,.0f}{unit}"
