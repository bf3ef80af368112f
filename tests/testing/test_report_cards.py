"""The report card finds planted truth: who is harmed by contacts, who answers to them, and who is thrown dice about."""

import datetime as dt
import json
import math
import time
from functools import cache

import attrs
import numpy as np
import pytest

from retention.domain import Action
from retention.errors import ConfigError, RetentionError
from retention.histories import summarize
from retention.journal import Journal
from retention.plan import Budget, Proposals, Review, make_plan
from retention.plan.policies import ConsentPolicy, FrequencyCap, MinimumGap
from retention.records import TransactionLog
from retention.testing import past_nights
from retention.testing import report_cards as module
from retention.testing.card import ReportCard
from retention.testing.past_nights import Known, ask_about
from retention.testing.report_cards import judge, report_card
from retention.testing.simulated_nights import simulate_nights
from retention.tiers import MarginBands
from retention.timing import anticipate
from retention.timing.rhythm import Rhythm
from retention.value import BGNBD, appraise

FIRST, NIGHTS, WINDOW, HOLDOUT = dt.date(2015, 3, 1), 4, 28, 0.3
CARD = Action(name="card", kind="give", channel="post", money=0.5, customer_benefit="a word", needs_consent=False)
CLOCK = Rhythm(m0=4.0, kappa0=1.0, nu0=4.0, s0_squared=0.5, a=1.0, b=5.0, typical_gap_days=60.0)
# The chance that a contact adds a purchase of about 10, or takes one where there is one: worth the same, cost included.
ADDS, TAKES = 0.8 * (1.0 - math.exp(-1.0)) + 0.1, 0.8


@attrs.frozen
class Letters:
    """A card for every fourth customer, others each night."""

    name: str = "letters"
    everyone: bool = False

    def propose(self, situation):
        number = (situation.as_of - FIRST).days
        rows = [
            i
            for i, who in enumerate(situation.customer_id.tolist())
            if self.everyone or int(who[1:]) % NIGHTS == number
        ]
        return Proposals.of(situation, rows, CARD, strategy=self.name, gain=5.0, reason="it is her turn")


@attrs.frozen
class Spares:
    """Leave those alone whose mood is this one."""

    mood: str
    name: str = "spares-some"

    def review(self, proposals, situation):
        known = situation.attributes.get("mood", {})
        mask = np.asarray([known.get(who, "") == self.mood for who in proposals.customer_id.tolist()], dtype=bool)
        return Review.veto(mask, "contact is not for her")


@attrs.frozen
class Dice:
    """Leave every other customer alone, whoever she is."""

    name: str = "dice"

    def review(self, proposals, situation):
        mask = np.asarray([sum(map(ord, who)) % 2 == 1 for who in proposals.customer_id.tolist()], dtype=bool)
        return Review.veto(mask, "tails")


@attrs.frozen
class Says:
    """A policy that answers with whatever a function says."""

    answer: object
    name: str = "says"
    max_contacts: object = None
    days: object = None
    monotone: bool = False

    def review(self, proposals, situation):
        return self.answer(proposals, situation)


def nobody(proposals, situation):
    return Review.veto(np.zeros(len(proposals), dtype=bool), "")


def everybody(proposals, situation):
    return Review.veto(np.ones(len(proposals), dtype=bool), "silence")


@cache
def town(customers, seed=11):
    """Nights with a hold-out, the receipts that follow, and what each customer would have brought otherwise."""
    rng = np.random.default_rng(seed)
    ids = [f"c{i:05d}" for i in range(customers)]
    mood = {who: ("likes", "hates")[int(rng.random() < 0.5)] for who in ids}
    who, at = [], []
    for one in ids:
        for ago in sorted(rng.choice(np.arange(5, 300), size=3, replace=False).tolist()):
            who.append(one)
            at.append(FIRST - dt.timedelta(days=ago))
    journal, alone, reached = Journal(":memory:"), {}, {}
    for number in range(NIGHTS):
        day = FIRST + dt.timedelta(days=number)
        log = receipts(who, at)
        plan = make_plan(*stages(log, day), budget=Budget(money=None, hours=None), strategies=[Letters()], policies=[],
                         journal=journal, holdout=HOLDOUT, salt=str(seed))  # fmt: skip
        journal.record(plan)
        for i in range(len(plan)):
            if plan.decision[i] == "none":
                continue
            one = str(plan.customer_id[i])
            usual, extra = rng.poisson(1.0), rng.random() < (ADDS if mood[one] == "likes" else TAKES)
            with_it = usual + extra if mood[one] == "likes" else max(usual - extra, 0)
            alone[one], reached[one] = price(one) * usual, price(one) * with_it - CARD.money
            bought = with_it if plan.decision[i] == "contact" else usual
            for after in rng.choice(np.arange(1, WINDOW + 1), size=bought, replace=False).tolist():
                who.append(one)
                at.append(day + dt.timedelta(days=after))
    who.append("c00000")
    at.append(FIRST + dt.timedelta(days=60))  # so that all windows are over
    truth = {one: (alone[one], reached[one]) for one in alone}
    return journal, receipts(who, at), Known(attributes={"mood": mood}), truth


def receipts(who, at):
    return TransactionLog.from_arrays(customer_id=who, at=at, revenue=[price(one) for one in who], margin=1.0)


def price(who):
    return 8.0 + 2.0 * (int(who[1:]) % 3)


def stages(log, day):
    base = summarize(log, as_of=day)
    worth = appraise(base, BGNBD().at(r=0.6, alpha=6.0, a=0.8, b=2.5, p=6.0, q=4.0, v=15.0))
    return base, worth, anticipate(base, clock=CLOCK), MarginBands().assign(base, worth)


@cache
def graded(policy, customers=1_000, **more):
    journal, log, known, _ = town(customers)
    return report_card(
        policy, journal=journal, log=log, known=attrs.evolve(known, actions=[CARD]), **{"nights": 3} | more
    )


# What it would have earned


def test_who_spares_those_whom_contact_harms_is_ready():
    """Planted: 0.7 * 0.5 * (0.6 purchases of 10) a decision, error 0.35: it goes wrong once in 1e7 worlds."""
    card = graded(Spares("hates"))
    assert card.verdict == "ready", str(card)
    assert card.earnings.estimates["dr"].over_logged.low > 0


def test_who_spares_those_who_answer_is_rejected():
    card = graded(Spares("likes"))
    assert card.verdict == "reject", str(card)
    assert not card.faults


def test_dice_are_for_a_trial_at_most():
    """It changes nothing on average; 95 % intervals miss that in 5 worlds of 100, and this is none of them."""
    assert graded(Dice()).verdict == "trial only"


@pytest.mark.parametrize("policy", [Spares("hates"), Spares("likes"), Dice()], ids=["hates", "likes", "dice"])
def test_the_estimates_are_near_what_would_have_been_earned(policy):
    """The truth is known in a world: each row's margin had she been left alone. 3.5 errors miss it once in 2,000."""
    journal, log, known, truth = town(1_000)
    card = graded(policy)
    logged = module.logged_decisions(journal, log, window_days=WINDOW)
    answers = ask_about(policy, logged, journal, log, known=known)
    earned, would = logged.reward, []
    for who, kept, got in zip(logged.customer_id.tolist(), answers.allowed.tolist(), earned.tolist(), strict=True):
        would.append(got if kept else truth[who][0])
    for estimate in card.earnings.estimates.values():
        assert abs(estimate.value - np.mean(would)) < 3.5 * estimate.error
        assert math.isclose(estimate.earned, np.mean(earned))


def test_a_grade_that_forgets_the_chances_is_caught(monkeypatch):
    """Wrong on purpose: rows count as if nothing had been drawn. The good policy is not found then."""
    right = module.logged_decisions
    monkeypatch.setattr(
        module, "logged_decisions", lambda *a, **k: attrs.evolve(one := right(*a, **k), probability=np.zeros(len(one)))
    )
    assert graded.__wrapped__(Spares("hates")).verdict != "ready"


def test_a_thin_journal_is_refused_and_says_what_is_needed():
    card = graded(Spares("hates"), customers=120)
    assert card.verdict == "trial only"
    assert card.earnings.refusal.startswith("overlap is thin")
    assert "more decisions like these" in card.reason
    assert math.isnan(card.earnings.estimates["dr"].over_logged.value)


def test_who_refuses_nothing_changes_nothing():
    card = graded(Says(nobody))
    assert card.earnings.estimates["dr"].over_logged.value == 0.0
    assert card.verdict == "ready"
    assert "nothing changes" in card.reason
    assert "it refuses nothing in the simulated shop" in str(card)


def test_who_refuses_nothing_of_a_handful_is_not_ready():
    """Of so few nothing is known of the nights to come, though not one of them would have been another."""
    _, log, known, _ = town(120)
    few = log.take(np.isin(log.customers.text(), [f"c{i:05d}" for i in range(8)]))
    card = report_card(Says(nobody), journal=handful(few), log=few, known=known, nights=2)
    assert 2 <= card.earnings.decisions < 50
    assert card.earnings.refused == 0
    assert card.verdict == "trial only"
    assert card.reason.startswith("overlap is thin: all in all there are buyers worth")
    assert "more decisions like these" in card.reason


def handful(log):
    journal = Journal(":memory:")
    journal.record(make_plan(*stages(log.until(FIRST), FIRST), budget=Budget(money=None, hours=None),
                             strategies=[Letters(everyone=True)], policies=[], journal=journal,
                             holdout=HOLDOUT))  # fmt: skip
    return journal


def test_of_refusals_that_no_lot_decided_nothing_is_told():
    """Who is contacted a second time was contacted the first time: nobody is held out from that."""
    _, log, known, _ = town(120)
    again = journal_of_second_letters(log)

    def once(proposals, situation):
        return Review.veto(np.isin(proposals.customer_id, sorted(situation.touches.customer_id.tolist())), "once")

    card = report_card(Says(once), journal=again, log=log, known=known, nights=2)
    assert card.earnings.refused == 0
    assert card.earnings.refused_people > 50
    assert card.verdict == "trial only"
    assert "nobody knows what the contact added" in card.reason


def journal_of_second_letters(log):
    journal = Journal(":memory:")
    for number in (0, 7):
        day = FIRST + dt.timedelta(days=number)
        plan = make_plan(*stages(log, day), budget=Budget(money=None, hours=None), strategies=[Letters(everyone=True)],
                         policies=[], journal=journal, holdout=HOLDOUT)  # fmt: skip
        journal.record(plan)
    return journal


def test_a_failure_on_a_night_of_the_journal_rejects():
    def odd(proposals, situation):
        if situation.as_of.year == 2015:
            raise ValueError("not in 2015")
        return nobody(proposals, situation)

    card = graded(Says(odd), customers=120)
    assert card.verdict == "reject"
    assert any("on a night of the journal" in fault for fault in card.faults)


# The nights of a journal, as they were known then


def test_nothing_of_a_later_day_is_looked_at():
    """The answers are the same when the receipts end with the night, and the situation holds nothing later."""
    journal, log, known, _ = town(120)
    seen = []

    def spy(proposals, situation):
        seen.append(situation)
        late = situation.histories.age_days - situation.histories.recency_days > 40
        return Review.veto(late[proposals.base_row], "late")

    logged = module.logged_decisions(journal, log, window_days=WINDOW)
    whole = ask_about(Says(spy), logged, journal, log, known=known)
    assert [s.as_of for s in seen] == [FIRST + dt.timedelta(days=n) for n in range(NIGHTS)]
    assert all((s.touches.at < np.datetime64(s.as_of)).all() and s.histories.as_of == s.as_of for s in seen)
    for number in range(NIGHTS):
        day = FIRST + dt.timedelta(days=number)
        tonight = logged.take(logged.as_of == np.datetime64(day))
        alone = ask_about(Says(spy), tonight, journal, log.until(day), known=known)
        assert np.array_equal(alone.allowed, whole.allowed[logged.as_of == np.datetime64(day)])
    assert 0 < whole.allowed.sum() < len(logged)


def test_a_policy_is_not_told_who_was_held_out():
    journal, log, known, _ = town(120)
    asked = []

    def spy(proposals, situation):
        asked.append(proposals)
        return nobody(proposals, situation)

    logged = module.logged_decisions(journal, log, window_days=WINDOW)
    ask_about(Says(spy), logged, journal, log, known=known)
    held = set(logged.customer_id[~logged.contacted].tolist())
    for proposals in asked:
        rows = [(str(v["action"]), v["gain"], v["reason"]) for v in (proposals.row(i) for i in range(len(proposals)))]
        mine = {row for row, who in zip(rows, proposals.customer_id.tolist(), strict=True) if who in held}
        others = {row for row, who in zip(rows, proposals.customer_id.tolist(), strict=True) if who not in held}
        assert mine <= others


def test_what_a_journal_does_not_say_of_an_action_is_known_or_counts_against_it():
    """The card needs no consent, which only its strategy knows; a built-in action of that name would be known."""
    journal, log, known, _ = town(120)
    logged = module.logged_decisions(journal, log, window_days=WINDOW)
    assert not ask_about(ConsentPolicy(), logged, journal, log, known=known).allowed.any()
    told = attrs.evolve(known, actions=[CARD])
    assert ask_about(ConsentPolicy(), logged, journal, log, known=told).allowed.all()
    assert past_nights.actions_of(journal, [CARD]) == (CARD,)
    assert past_nights.actions_of(journal)[0].needs_consent


def test_only_the_last_nights_count_and_the_card_says_so():
    journal, log, known, _ = town(120)
    logged = module.logged_decisions(journal, log, window_days=WINDOW)
    answers = ask_about(Dice(), logged, journal, log, known=known, nights=2)
    assert answers.nights == 2
    assert int(answers.asked.sum()) == int((logged.as_of >= np.datetime64(FIRST) + 2).sum())
    assert answers.notes == (
        f"2 nights count, the most recent: {int((~answers.asked).sum())} older decisions are left out",
    )


def test_customers_without_receipts_by_then_are_counted():
    journal, log, known, _ = town(120)
    logged = module.logged_decisions(journal, log, window_days=WINDOW)
    gone = log.take(~np.isin(log.customers.text(), logged.customer_id[:5]))
    answers = ask_about(Dice(), logged, journal, gone, known=known)
    assert int((~answers.asked).sum()) == 5
    assert answers.notes == ("5 decisions are left out: their customers have no receipts by that night",)


# The simulated nights


def test_built_in_rules_hold_whatever_a_policy_does():
    seen = simulate_nights(MinimumGap(days=20), nights=15)
    assert not seen.faults
    assert seen.contacts > 30
    assert 0 < seen.refused_beyond < seen.refused < seen.reviewed


def test_a_promise_is_held_against_it():
    """A cap of one in 60 days that lets everything through; and one that keeps its word."""
    seen = simulate_nights(Says(nobody, max_contacts=1, days=60), nights=6)
    assert seen.promise == "at most 1 contact in any 60 days"
    assert any("its promise of at most 1 contact in any 60 days" in fault for fault in seen.faults)

    def once(proposals, situation):
        reached = set(situation.touches.customer_id.tolist())
        return Review.veto(np.isin(proposals.customer_id, sorted(reached)), "once is enough")

    assert not simulate_nights(Says(once, max_contacts=1, days=60), nights=6).faults


def test_the_judge_of_the_nights_sees_a_rule_that_steps_down():
    """A stranger under the name of the hold on contacts takes its place, and its rule is looked at all the same."""
    seen = simulate_nights(Says(nobody, name="minimum-gap"), nights=12)
    assert any(fault.startswith("the rule of minimum-gap: broken") for fault in seen.faults)


def test_dice_thrown_anew_are_restless():
    rng = np.random.default_rng(0)
    seen = simulate_nights(Says(lambda p, s: Review.veto(rng.random(len(p)) < 0.5, "tails")), nights=3)
    assert seen.restless == 3
    assert "asked the same again, it answered otherwise on 3 of 3 nights" in seen.faults


@pytest.mark.parametrize("monotone", [True, False])
def test_a_refusal_that_more_contacts_undo_counts_against_who_says_that_it_is_monotone(monotone):
    def fewest(proposals, situation):
        quiet = not (situation.touches.at == np.datetime64(situation.as_of) - 1).any()
        return Review.veto(np.full(len(proposals), quiet), "nobody was contacted yesterday")

    seen = simulate_nights(Says(fewest, monotone=monotone), nights=2)
    assert seen.gave_way > 0
    assert any("monotone" in fault for fault in seen.faults) == monotone


def test_one_that_refuses_all_or_nothing_is_told_so():
    assert simulate_nights(Says(everybody), nights=2).remarks[0].startswith("it refuses everything")
    assert simulate_nights(Says(nobody), nights=2).remarks[0].startswith("it refuses nothing")


def test_attributes_of_the_real_shop_are_dealt_to_the_simulated_one():
    seen = simulate_nights(Spares("hates"), nights=2, attributes={"mood": {"a": "hates", "b": "likes"}})
    assert 0 < seen.refused < seen.reviewed


def test_actions_of_the_journal_are_proposed_too():
    """A policy about a card of one's own is asked about that card."""

    def no_cards(proposals, situation):
        return Review.veto(np.asarray([proposals.actions[a] == CARD for a in proposals.action], dtype=bool), "no cards")

    assert simulate_nights(Says(no_cards), nights=2).refused == 0
    assert simulate_nights(Says(no_cards), nights=2, actions=[CARD]).refused_beyond > 0
    assert graded(Dice(), customers=120).nights.reviewed > simulate_nights(Dice(), nights=3).reviewed


def test_what_takes_longer_is_told_in_tenfolds():
    def slow(proposals, situation):
        for i in range(20 * len(proposals)):
            proposals.row(i // 20)
        return nobody(proposals, situation)

    assert "times as long" in simulate_nights(Says(slow), nights=1).pace


def test_what_waits_takes_time_too():
    """A policy that sleeps uses no processor, and the night is late all the same."""

    def asleep(proposals, situation):
        if len(proposals) >= 1_000:  # the crowd by which it is timed
            time.sleep(0.6)
        return nobody(proposals, situation)

    assert "times as long" in simulate_nights(Says(asleep), nights=1).pace


# The verdict


@pytest.mark.parametrize(
    ("faults", "refusal", "difference", "verdict"),
    [
        (1, "", (1.0, 2.0), "reject"),
        (1, "no journal", None, "reject"),
        (0, "no journal", None, "trial only"),
        (0, "", None, "trial only"),
        (0, "thin", (1.0, 2.0), "trial only"),
        (0, "", (-3.0, -1.0), "reject"),
        (0, "", (-0.05, -0.01), "reject"),
        (0, "", (-3.0, 1.0), "trial only"),
        (0, "", (-0.1, 1.0), "ready"),
        (0, "", (-0.11, 1.0), "trial only"),
        (0, "", (0.0, 0.0), "ready"),
        (0, "", (0.5, 1.0), "ready"),
        (0, "", (-3.0, 0.0), "trial only"),
    ],
)
def test_the_verdict_by_a_table(faults, refusal, difference, verdict):
    found, reason = judge(faults=faults, refusal=refusal, difference=difference, harm=0.1)
    assert found == verdict
    assert reason


@pytest.mark.parametrize(
    "answer",
    [lambda p, s: None, lambda p, s: 1 / 0, lambda p, s: Review.veto(np.zeros(len(p) + 1, dtype=bool), "")],
    ids=["None", "raises", "one too many"],
)
def test_a_broken_policy_is_rejected(answer):
    card = report_card(Says(answer), nights=2)
    assert card.verdict == "reject"
    assert card.laws.broken
    assert any("lets nothing through" in fault for fault in card.faults)


def test_a_policy_without_a_name_is_rejected_before_it_is_on_duty():
    card = report_card(Says(nobody, name=""), nights=2)
    assert (card.verdict, card.nights) == ("reject", None)
    assert "has_a_name" in card.laws.broken


def test_without_a_journal_it_is_for_a_trial():
    card = report_card(MinimumGap(), nights=2)
    assert card.verdict == "trial only"
    assert card.reason == module.NO_JOURNAL


def test_other_kinds_have_their_laws():
    card = report_card(MarginBands())
    assert (card.kind, card.verdict, card.nights) == ("tiering rule", "laws hold", None)

    class Half(MarginBands):
        def assign(self, histories, valuation, previous=None):
            return super().assign(histories, valuation, previous).take(slice(0, 1))

    assert report_card(Half()).verdict == "reject"


# How it shows itself


def test_it_shows_itself():
    card = graded(Spares("hates"), customers=120)
    text, page, plain = str(card), card._repr_html_(), card.to_dict()
    assert repr(card) == "<ReportCard of spares-some: trial only>"
    assert text.splitlines()[0] == "spares-some (contact policy): TRIAL ONLY"
    for part in card.sections:
        assert part.title in text
        assert part.title in page
    assert max(map(len, text.splitlines())) <= 160
    assert plain["verdict"] == card.verdict
    assert set(plain["earnings"]["estimates"]) == {"dr", "snips", "ips"}
    assert json.loads(json.dumps(plain)) == plain
    assert not any(who in text + page + json.dumps(plain) for who in town(120)[3])


def test_it_draws_what_it_would_have_earned():
    ax = graded(Spares("hates")).plot()
    assert ax.get_xlabel() == "earned per decision with spares-some, less what was earned"
    assert len(ax.collections) >= 3
    with pytest.raises(RetentionError, match="has no picture"):
        report_card(MinimumGap(), nights=1).plot()


def test_a_hostile_name_stays_text():
    page = report_card(Says(nobody, name="<script>alert(1)</script>"), nights=1)._repr_html_()
    assert "<script>" not in page


def test_the_same_card_again():
    def told(card: ReportCard):
        plain = card.to_dict()
        plain["nights"].pop("pace")  # clocks differ
        return plain

    assert told(graded(Dice(), customers=120)) == told(graded.__wrapped__(Dice(), customers=120))


@pytest.mark.parametrize(
    "more",
    [{"journal": Journal(":memory:")}, {"nights": 0}, {"harm": -1}, {"harm": 2.0}, {"interval": 95}],
    ids=["no log", "nights", "harm", "more harm", "interval"],
)
def test_what_means_nothing_is_one_clear_error(more):
    with pytest.raises(ConfigError):
        report_card(FrequencyCap(), **more)
