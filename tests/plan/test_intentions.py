"""What she opened, saved or asked a quote for, and did not buy: followed up, and not for ever."""

import datetime as dt

import attrs
import numpy as np
import pytest

from retention.domain import Consent, Outcome, Touch
from retention.errors import ConfigError
from retention.journal import Journal
from retention.plan import Budget, Situation, examples, make_plan
from retention.plan.intentions import IntentionLapse, Intentions
from retention.records.permissions import Consents
from retention.records.touches import Touches

TODAY = dt.date(2011, 12, 1)  # anna bought last on 2011-11-05, bea on 2011-11-21


def ago(days, today=TODAY):
    return today - dt.timedelta(days=days)


def saved(who="anna", days=5, **others):
    return Intentions.from_arrays(customer_id=[who], at=[ago(days)], what=["saved"], **others)


@pytest.fixture
def situation():
    """Three customers; anna's last purchase was 26 days ago, bea's 10."""
    histories, valuation, outlook, tiering = examples.small_base()
    idle = histories.age_days - histories.recency_days
    last = np.datetime64(TODAY, "D") - idle.astype("timedelta64[D]")
    return Situation(
        as_of=TODAY,
        histories=attrs.evolve(histories, last_at=last, first_at=last),
        valuation=valuation,
        outlook=outlook,
        tiering=tiering,
    )


def state(situation, signs, **how):
    return IntentionLapse(intentions=signs, **how).queue(situation).state.tolist()


def reminded(*days, kind="remind"):
    return Touches.of([Touch(customer_id="anna", at=ago(d), channel="email", kind=kind) for d in days])


def test_what_was_saved_and_not_bought_is_due(situation):
    queue = IntentionLapse(intentions=saved()).queue(situation)
    assert queue.row(0) | {"at": None} == {
        "customer_id": "anna",
        "what": "saved",
        "at": None,
        "reminders": 0,
        "stake": pytest.approx(situation.valuation.margin_mean[0]),
        "state": "due",
    }


@pytest.mark.parametrize(
    ("days", "said"), [(0, "too soon"), (2, "too soon"), (3, "due"), (25, "due"), (30, "bought"), (26, "bought")]
)
def test_a_purchase_since_or_on_that_day_ends_it(situation, days, said):
    """Anna's last purchase was 26 days ago: an intention of that day or before has been carried out."""
    assert state(situation, saved(days=days)) == [said]


def test_it_is_past_after_its_window(situation):
    assert state(situation, saved(days=9), window_days=8) == ["past"]
    assert state(situation, saved(days=8), window_days=8) == ["due"]


def test_reminders_are_bounded_and_apart(situation):
    later = attrs.evolve(situation, touches=reminded(4))
    assert state(later, saved(days=20)) == ["too soon"]
    assert state(attrs.evolve(situation, touches=reminded(8)), saved(days=20)) == ["due"]
    assert state(attrs.evolve(situation, touches=reminded(8, 15)), saved(days=20)) == ["reminded enough"]
    assert state(attrs.evolve(situation, touches=reminded(8, 15, kind="give")), saved(days=20)) == ["due"]


def test_opting_out_stops_it_by_every_channel(situation):
    out = Consents.of([Consent(customer_id="anna", channel="email", granted=False, at=ago(1))])
    assert state(attrs.evolve(situation, consents=out), saved()) == ["opted out"]
    before = Consents.of([Consent(customer_id="anna", channel="email", granted=False, at=ago(9))])
    assert state(attrs.evolve(situation, consents=before), saved()) == ["due"]
    assert state(attrs.evolve(situation, do_not_contact=frozenset(["anna"])), saved()) == ["opted out"]


def test_who_is_not_in_the_base_is_listed_and_not_proposed(situation):
    lapse = IntentionLapse(intentions=saved(who="a prospect", amount=[80.0]))
    assert lapse.queue(situation).state.tolist() == ["not in the base"]
    assert len(lapse.propose(situation)) == 0
    assert repr(lapse.queue(situation)) == "<IntentionQueue: not in the base 1>"
    assert len(IntentionLapse(intentions=saved()).queue(situation).take([])) == 0


def test_a_quote_is_worth_its_amount_at_the_bases_rate_of_margin(situation):
    base = attrs.evolve(situation.histories, revenue=np.full(3, 100.0), margin=np.full(3, 40.0))
    situation = attrs.evolve(situation, histories=base)
    proposals = IntentionLapse(intentions=saved(amount=[250.0]), email_lift=0.1, word_lift=0.2).propose(situation)
    assert proposals.gain.tolist() == pytest.approx([10.0, 20.0])
    assert proposals.reason[0].startswith("saved on 2011-11-26 and not bought since: 100.00 EUR of margin")
    assert set(proposals.of_actions("kind")) == {"remind"}


def test_of_several_intentions_the_last_counts(situation):
    signs = Intentions.from_arrays(
        customer_id=["anna", "anna", "bea"], at=[ago(20), ago(5), ago(4)], what=["quoted", "opened", "saved"]
    )
    queue = IntentionLapse(intentions=signs).queue(situation)
    assert dict(zip(queue.customer_id.tolist(), queue.what.tolist(), strict=True)) == {"anna": "opened", "bea": "saved"}


def test_a_journal_tells_intentions_and_an_opened_reminder_is_none():
    with Journal(":memory:") as journal:
        mails = [Touch(customer_id=w, at=ago(9), channel="email", kind=k) for w, k in (("a", "give"), ("b", "remind"))]
        journal.record_touches(Touches.of(mails), results=["Open", "open"], result_at=[ago(8), ago(8)])
        journal.record_outcomes(
            [
                Outcome(customer_id="c", at=ago(3), kind="quote", amount=70.0),
                Outcome(customer_id="d", at=ago(3), kind="reply"),
            ]
        )
        signs = Intentions.of_journal(journal)
    assert [(r["customer_id"], r["at"], r["what"], r["amount"]) for r in map(signs.row, range(len(signs)))] == [
        ("a", ago(8), "opened", 0.0),
        ("c", ago(3), "quoted", 70.0),
    ]
    with Journal(":memory:") as empty:
        assert len(Intentions.of_journal(empty)) == 0


def test_an_intention_needs_its_day():
    with pytest.raises(ConfigError, match="without a day"):
        Intentions.from_arrays(customer_id=["a"], at=[None], what=["saved"])


def test_forty_nights_after_one_saved_basket_bring_two_reminders_and_then_silence(situation):
    """The planted sequence, through plan and journal: saved, reminded twice a week apart, left in peace."""
    base = (situation.histories, situation.valuation, situation.outlook, situation.tiering)
    signs, nights = saved(days=1), []
    with Journal(":memory:") as journal:
        for night in range(40):
            day = TODAY + dt.timedelta(days=night)
            histories = attrs.evolve(base[0], as_of=day)
            plan = make_plan(
                histories, *base[1:], budget=Budget(money=None, hours=None), journal=journal, holdout=0,
                strategies=[IntentionLapse(intentions=signs)], policies=[],
            )  # fmt: skip
            journal.record(plan)
            nights += [night] * int((plan.decision == "contact").sum())
    assert nights == [2, 9]


@pytest.mark.parametrize("stop", ["purchase", "opt-out"])
def test_after_the_first_reminder_a_purchase_or_an_opt_out_ends_it(situation, stop):
    nights = []
    with Journal(":memory:") as journal:
        for night in range(20):
            day = TODAY + dt.timedelta(days=night)
            bought = np.array(situation.histories.last_at)
            if stop == "purchase" and night >= 5:
                bought[0] = np.datetime64(TODAY + dt.timedelta(days=4), "D")
            histories = attrs.evolve(situation.histories, as_of=day, last_at=bought)
            if stop == "opt-out" and night == 5:
                taken_back = Consent(customer_id="anna", channel="email", granted=False, at=day)
                journal.record_consents(Consents.of([taken_back]))
            plan = make_plan(
                histories, situation.valuation, situation.outlook, situation.tiering, journal=journal, holdout=0,
                budget=Budget(money=None, hours=None), policies=[],
                strategies=[IntentionLapse(intentions=saved(days=1))],
            )  # fmt: skip
            journal.record(plan)
            nights += [night] * int((plan.decision == "contact").sum())
    assert nights == [2]
