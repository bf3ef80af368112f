"""The built-in strategies: whom to contact with what, and what it may bring.

Nobody has measured yet what these contacts bring. Each strategy therefore multiplies what is at stake with an assumed
lift: an argument with a visible default, reported as an :class:`Assumption` with every plan that uses it.
"""

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain import Action
from retention.frames.table import FloatColumn, IntColumn
from retention.plan import proposing
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
from retention.plan.proposals import OutreachStrategy, Proposals
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


@frozen(kw_only=True)
class CheckIn:
    """Check in with the overdue valuable: customers late on their own clock whose margin is at stake.

    Gain of a contact = lift × margin at risk per day × days of the valuation's horizon: the lift is the assumed share
    of that margin which would be lost without the contact and stays with it. Proposed for customers who are overdue,
    alive with at least ``min_p_alive``, and in the upper ``value_share`` of the base by value. ``spread`` is one
    standard deviation of belief as a share of the lift.
    """

    call_lift: float = proposing.lift(0.10)
    email_lift: float = proposing.lift(0.03)
    card_lift: float = proposing.lift(0.05)
    spread: float = field(default=0.5, validator=proposing.number)
    min_p_alive: float = field(default=0.05, validator=proposing.share)
    value_share: float = field(default=0.5, validator=proposing.share)
    call: Action = proposing.action(CHECK_IN_CALL)
    email: Action = proposing.action(CHECK_IN_EMAIL)
    card: Action = proposing.action(CHECK_IN_CARD)
    name: str = field(default="check-in-overdue", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """A call, an e-mail and a card for each overdue valuable customer."""
        outlook, worth = situation.outlook, situation.valuation
        stake = outlook.at_risk_per_day * proposing.horizon(situation)
        wanted = outlook.overdue & (outlook.p_alive >= self.min_p_alive) & (stake > 0) & np.isfinite(stake)
        rows = np.flatnonzero(wanted & proposing.top(worth.value, self.value_share))
        offers = ((self.call, self.call_lift), (self.email, self.email_lift), (self.card, self.card_lift))
        opens, closes = proposing.window(situation, rows)

        def tell(whose: IntColumn) -> list[str]:
            told = zip(proposing.rhythms(situation, whose), proposing.worths(situation, whose), strict=True)
            return [f"{rhythm}; {worth}" for rhythm, worth in told]

        return proposing.proposals(
            self.name,
            situation,
            rows,
            stake[rows],
            offers,
            spread=self.spread,
            meaning="share of the margin at risk within the horizon that the contact keeps",
            opens=opens,
            closes=closes,
            reasons=tell,
        )


@frozen(kw_only=True)
class NextConnection:
    """Be there before she looks around: customers whose window opens, on their own clock.

    Gain of a contact = lift × probability that no purchase follows × margin per day × days of the valuation's horizon:
    the lift is the assumed share of such departures that a contact within the window prevents. Proposed for customers
    with a cycle who are neither *looking* nor overdue (that is :class:`CheckIn`'s), whose window is open or opens
    within ``ahead_days``, alive with at least ``min_p_alive``, and in the upper ``value_share`` of the base by value.
    """

    email_lift: float = proposing.lift(0.03)
    card_lift: float = proposing.lift(0.05)
    word_lift: float = proposing.lift(0.05)
    spread: float = field(default=0.5, validator=proposing.number)
    value_share: float = field(default=0.5, validator=proposing.share)
    min_p_alive: float = field(default=0.5, validator=proposing.share)
    ahead_days: float = field(default=6, validator=proposing.number)
    email: Action = proposing.action(KEEP_IN_TOUCH_EMAIL)
    card: Action = proposing.action(KEEP_IN_TOUCH_CARD)
    word: Action = proposing.action(KEEP_IN_TOUCH_WORD)
    name: str = field(default="next-connection", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """An e-mail, a card and a word in person for each customer whose window opens."""
        outlook = situation.outlook
        stake = outlook.p_leaves * outlook.margin_per_day * proposing.horizon(situation)
        ahead = (outlook.window_opens_at - np.datetime64(situation.as_of, "D")).astype(np.float64)
        soon = (outlook.stage == ITCHING) | (ahead <= self.ahead_days)
        early = ~outlook.overdue & ~np.isin(outlook.stage, (LOOKING, NO_CYCLE))
        wanted = early & soon & (outlook.p_alive >= self.min_p_alive) & (stake > 0) & np.isfinite(stake)
        rows = np.flatnonzero(wanted & proposing.top(situation.valuation.value, self.value_share))
        opens, closes = proposing.window(situation, rows, least_days=1)  # not a day beyond where she begins to look

        def tell(whose: IntColumn) -> list[str]:
            worth = proposing.paces(situation, whose)
            told = zip(proposing.rhythms(situation, whose), outlook.p_leaves[whose].tolist(), worth, strict=True)
            return [
                f"{rhythm}: her next purchase comes into reach, and of such customers "
                f"{leave:.0%} never make it; {worth}"
                for rhythm, leave, worth in told
            ]

        return proposing.proposals(
            self.name,
            situation,
            rows,
            stake[rows],
            ((self.email, self.email_lift), (self.card, self.card_lift), (self.word, self.word_lift)),
            spread=self.spread,
            meaning="share of the departures at this turn that a contact within the window prevents",
            opens=opens,
            closes=closes,
            reasons=tell,
        )


@frozen(kw_only=True)
class NextTier:
    """Show the next tier to those within reach of it.

    Gain of a contact = lift × expected margin missing to the next tier: the lift is the assumed chance that the
    contact brings it. Proposed for customers who are not overdue, alive with at least ``min_p_alive``, miss at most
    ``reach`` of the next tier's floor, and whose next purchase window opens within ``ahead_days``.
    """

    email_lift: float = proposing.lift(0.05)
    note_lift: float = proposing.lift(0.05)
    spread: float = field(default=0.5, validator=proposing.number)
    reach: float = field(default=0.2, validator=proposing.share)
    min_p_alive: float = field(default=0.5, validator=proposing.share)
    ahead_days: float = field(default=28, validator=proposing.number)
    email: Action = proposing.action(TIER_EMAIL)
    note: Action = proposing.action(TIER_NOTE)
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
        opens, closes = proposing.window(situation, rows)

        def tell(whose: IntColumn) -> list[str]:
            told = zip(
                proposing.monies(tiering.to_next[whose], situation),
                tiering.next_tier[whose].tolist(),
                proposing.monies(tiering.score[whose] + tiering.to_next[whose], situation),
                proposing.rhythms(situation, whose),
                strict=True,
            )
            return [
                f"{missing} of expected margin short of the tier {tier} ({floor}); {rhythm}"
                for missing, tier, floor, rhythm in told
            ]

        return proposing.proposals(
            self.name,
            situation,
            rows,
            missing[rows],
            ((self.email, self.email_lift), (self.note, self.note_lift)),
            spread=self.spread,
            meaning="chance that the contact brings the margin missing to the next tier",
            opens=opens,
            closes=closes,
            reasons=tell,
        )


@frozen(kw_only=True)
class ThankQuietBest:
    """Thank the quiet best: customers worth the most who come seldom and hear little.

    Gain of a contact = lift × expected margin within the valuation's horizon: the lift is the assumed growth of that
    margin. Proposed for the top ``value_share`` of the base by expected margin, with at most ``max_orders_per_year``
    orders a year (over at least a year), at most ``max_touches`` outbound contacts in the last 365 days, and alive
    with at least ``min_p_alive``. The window is the next ``window_days`` days: thanks need no occasion.
    """

    card_lift: float = proposing.lift(0.03)
    in_person_lift: float = proposing.lift(0.03)
    call_lift: float = proposing.lift(0.05)
    spread: float = field(default=0.5, validator=proposing.number)
    value_share: float = field(default=0.1, validator=proposing.share)
    max_orders_per_year: float = field(default=2.0, validator=proposing.number)
    max_touches: int = field(default=1, validator=proposing.number)
    min_p_alive: float = field(default=0.2, validator=proposing.share)
    window_days: int = field(default=28, validator=proposing.number)
    card: Action = proposing.action(THANK_CARD)
    in_person: Action = proposing.action(THANK_IN_PERSON)
    call: Action = proposing.action(THANK_CALL)
    name: str = field(default="thank-the-quiet-best", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """A card, a word in person and a call for each of the quiet best."""
        worth, per_year = situation.valuation.expected_margin, situation.orders_per_year
        touched = proposing.touches_in_a_year(situation)
        quiet = (per_year <= self.max_orders_per_year) & (touched <= self.max_touches)
        alive = situation.outlook.p_alive >= self.min_p_alive
        rows = np.flatnonzero(quiet & alive & (worth > 0) & np.isfinite(worth) & proposing.top(worth, self.value_share))
        today = np.datetime64(situation.as_of, "D")
        often, heard = per_year[rows], touched[rows]

        def tell(whose: IntColumn) -> list[str]:
            at = np.searchsorted(rows, whose)
            amounts = proposing.monies(worth[whose], situation)
            return [
                f"among the best {self.value_share:.0%} with {amount} of expected margin in "
                f"{proposing.horizon(situation):.0f} days, but quiet: {orders:.1f} orders a year and "
                f"{contacts} contacts in the last 365 days"
                for amount, orders, contacts in zip(amounts, often[at].tolist(), heard[at].tolist(), strict=True)
            ]

        return proposing.proposals(
            self.name,
            situation,
            rows,
            worth[rows],
            ((self.card, self.card_lift), (self.in_person, self.in_person_lift), (self.call, self.call_lift)),
            spread=self.spread,
            meaning="share by which the contact raises the expected margin within the horizon",
            opens=np.full(len(rows), today),
            closes=np.full(len(rows), today + np.timedelta64(max(int(self.window_days) - 1, 0), "D")),
            reasons=tell,
        )


@frozen(kw_only=True)
class Handover:
    """Hand over whom nobody can keep: who moves away may stay a customer elsewhere, or send others.

    Gain of a contact = lift × expected margin within the valuation's horizon: the lift is the assumed share of it that
    comes with the introduction, at another branch or by post. Proposed for customers with a cause among ``causes``
    on file, and never for those among ``deceased``. The window is the next ``window_days`` days.
    """

    call_lift: float = proposing.lift(0.05)
    letter_lift: float = proposing.lift(0.03)
    spread: float = field(default=0.5, validator=proposing.number)
    causes: tuple[str, ...] = field(default=UNCONTROLLABLE, converter=tuple)
    deceased: tuple[str, ...] = field(default=DECEASED, converter=tuple)
    window_days: int = field(default=28, validator=proposing.number)
    call: Action = proposing.action(HANDOVER_CALL)
    letter: Action = proposing.action(HANDOVER_LETTER)
    name: str = field(default="handover", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """A call and a letter for each of them."""
        worth = situation.valuation.expected_margin
        leaving = situation.leaving(self.causes) & ~situation.leaving(self.deceased, anywhere=True)
        rows = np.flatnonzero(leaving & (worth > 0) & np.isfinite(worth))
        today = np.datetime64(situation.as_of, "D")
        causes = dict(zip(situation.rows_of(situation.causes).tolist(), situation.causes.values(), strict=True))

        def tell(whose: IntColumn) -> list[str]:
            amounts = proposing.monies(worth[whose], situation)
            return [
                f"leaves for a cause that nobody here can change ({causes[row]}), with {amount} of expected margin in "
                f"{proposing.horizon(situation):.0f} days"
                for row, amount in zip(whose.tolist(), amounts, strict=True)
            ]

        return proposing.proposals(
            self.name,
            situation,
            rows,
            worth[rows],
            ((self.call, self.call_lift), (self.letter, self.letter_lift)),
            spread=self.spread,
            meaning="share of the expected margin within the horizon that comes with the introduction",
            opens=np.full(len(rows), today),
            closes=np.full(len(rows), today + np.timedelta64(max(int(self.window_days) - 1, 0), "D")),
            reasons=tell,
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

    call_lift: float = proposing.lift(0.03)
    email_lift: float = proposing.lift(0.01)
    card_lift: float = proposing.lift(0.02)
    spread: float = field(default=0.75, validator=proposing.number)
    max_p_alive: float = field(default=0.05, validator=proposing.share)
    max_idle_days: float = field(default=1095, validator=proposing.number)
    value_share: float = field(default=0.5, validator=proposing.share)
    window_days: int = field(default=28, validator=proposing.number)
    call: Action = proposing.action(WIN_BACK_CALL)
    email: Action = proposing.action(WIN_BACK_EMAIL)
    card: Action = proposing.action(WIN_BACK_CARD)
    name: str = field(default="win-back", init=False)

    def propose(self, situation: Situation) -> Proposals:
        """A call, an e-mail and a card for each lapsed customer worth having back."""
        outlook = situation.outlook
        stake = margin_if_she_returns(situation)
        lapsed = (outlook.p_alive < self.max_p_alive) & (outlook.idle_days <= self.max_idle_days)
        wanted = np.flatnonzero(lapsed & (stake > 0) & np.isfinite(stake))
        rows = wanted[proposing.top(stake[wanted], self.value_share)]
        brings = stake[rows]
        today = np.datetime64(situation.as_of, "D")

        def tell(whose: IntColumn) -> list[str]:
            amounts = proposing.monies(brings[np.searchsorted(rows, whose)], situation)
            return [
                f"{rhythm}: most probably gone; {amount} of margin in {proposing.horizon(situation):.0f} days "
                "if she returned"
                for rhythm, amount in zip(proposing.rhythms(situation, whose), amounts, strict=True)
            ]

        return proposing.proposals(
            self.name,
            situation,
            rows,
            brings,
            ((self.call, self.call_lift), (self.email, self.email_lift), (self.card, self.card_lift)),
            spread=self.spread,
            meaning="win-back rate: chance that she returns because of the contact",
            opens=np.full(len(rows), today),
            closes=np.full(len(rows), today + np.timedelta64(max(int(self.window_days) - 1, 0), "D")),
            reasons=tell,
        )


def margin_if_she_returns(situation: Situation) -> FloatColumn:
    """What each customer would bring within the valuation's horizon if she were a customer still.

    The smaller of two readings: the valuation's expected margin over its probability that she is alive, and the margin
    a day that she brought while she came, over the horizon (which knows no further leaving, and stands alone where the
    valuation has her dead for certain). NaN where neither is known.
    """
    worth = situation.valuation
    by_rhythm = situation.outlook.margin_per_day * proposing.horizon(situation)
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
    email_lift: float = proposing.lift(0.05)
    word_lift: float = proposing.lift(0.05)
    spread: float = field(default=0.5, validator=proposing.number)
    email: Action = proposing.action(NEED_EMAIL)
    word: Action = proposing.action(NEED_WORD)
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
        return proposing.proposals(
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
