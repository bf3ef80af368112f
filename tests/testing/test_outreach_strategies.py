"""Each law of outreach strategies catches a strategy made to break it, and the library's own keep them all."""

import locale

import numpy as np
import pytest
from attrs import evolve

from retention.domain import Action
from retention.plan.proposals import Assumption, Proposals
from retention.plugins import open_registry
from retention.testing import check_outreach_strategy, run, sample_shop
from retention.testing.outreach_strategies import KIT, LAWS

CARD = Action(name="card", kind="thank", channel="post", money=1.0, customer_benefit="is thanked")
LIFT = Assumption(strategy="good", name="lift", value=0.1, spread=0.05, meaning="share of the margin that it brings")


class Good:
    """A card for whoever is worth something."""

    name = "good"

    def rows(self, situation):
        return situation.valuation.expected_margin > 30.0

    def propose(self, situation):
        rows = self.rows(situation)
        return Proposals.of(
            situation,
            rows,
            CARD,
            strategy=self.name,
            gain=0.1 * situation.valuation.expected_margin[rows],
            reason="she is worth something",
            assumptions=[LIFT],
        )


class Changed(Good):
    def propose(self, situation):
        found = super().propose(situation)
        return evolve(found, **self.change(found, situation)) if len(found) else found


class Nameless(Good):
    name = ""


class WrongSeats(Changed):
    def change(self, found, situation):
        return {"base_row": found.base_row[::-1]}


class ActionOutOfTheHat(Changed):
    def change(self, found, situation):
        return {"action": found.action + 1}


class NobodyKnows(Changed):
    def change(self, found, situation):
        return {"gain": found.gain * np.nan}


class NegativeSpread(Changed):
    def change(self, found, situation):
        return {"gain_sd": -found.gain_sd}


class Yesterday(Changed):
    def change(self, found, situation):
        return {"opens": found.opens - 1}


class ClosesFirst(Changed):
    def change(self, found, situation):
        return {"closes": found.opens - 1}


class NoReason(Changed):
    def change(self, found, situation):
        return {"reason": np.full(len(found), " ")}


class Guesses(Changed):
    def change(self, found, situation):
        return {"assumptions": ()}


class OtherEvidence(Changed):
    def change(self, found, situation):
        return {"evidence": np.full(len(found), "gut")}


class Twice(Good):
    def propose(self, situation):
        once = super().propose(situation)
        return Proposals.joined([once, once])


class ThrowsDice(Changed):
    def change(self, found, situation):
        return {"gain": np.random.default_rng().random(len(found))}


class Scribbles(Good):
    def propose(self, situation):
        situation.attributes["seen"] = True
        return super().propose(situation)


class FirstTenRows(Good):
    def rows(self, situation):
        return np.arange(len(situation)) < 10


class NeedsSomebody(Good):
    def rows(self, situation):
        return situation.valuation.expected_margin > situation.valuation.expected_margin.max() / 2


class NeedsBirthdays(Good):
    def rows(self, situation):
        return situation.mask_of(situation.attributes["birthday"])


class SpeaksGerman(Good):
    def propose(self, situation):
        locale.setlocale(locale.LC_NUMERIC, "POSIX" if locale.setlocale(locale.LC_NUMERIC) == "C" else "C")
        print("fertig")
        return super().propose(situation)


WRONG = [
    (Nameless, "has_a_name"),
    (WrongSeats, "proposes_customers_of_the_base"),
    (ActionOutOfTheHat, "actions_are_listed"),
    (NobodyKnows, "gains_are_finite"),
    (NegativeSpread, "gains_are_finite"),
    (Yesterday, "windows_are_to_come"),
    (ClosesFirst, "windows_are_to_come"),
    (NoReason, "says_who_and_why"),
    (Nameless, "says_who_and_why"),
    (Guesses, "says_what_it_rests_on"),
    (OtherEvidence, "says_what_it_rests_on"),
    (Twice, "one_proposal_a_customer_and_action"),
    (ThrowsDice, "same_question_same_answer"),
    (Scribbles, "input_untouched"),
    (FirstTenRows, "order_does_not_matter"),
    (NeedsSomebody, "nobody_in_nothing_out"),
    (NeedsBirthdays, "silence_is_no_fault"),
    (SpeaksGerman, "the_world_stays_as_it_was"),
]


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_strategy_breaks_the_law_it_was_made_to_break(kind, law):
    assert law in run([one for one in LAWS if one.name == law], KIT.subject(kind)).broken


def test_every_law_has_a_strategy_that_breaks_it():
    assert {law.name for law in LAWS} == {law for _, law in WRONG}
    assert all(law.ask for law in LAWS)


def test_a_plain_strategy_keeps_all_laws():
    check_outreach_strategy(Good)


REGISTRY = open_registry(installed=False)
OPTIONS = {
    "offers": {
        "offer": [
            {"name": "card", "kind": "thank", "channel": "post", "customer_benefit": "is thanked", "lift": 0.05},
            {
                "name": "note",
                "kind": "remind",
                "channel": "sms",
                "customer_benefit": "runs out of nothing",
                "lift": 0.01,
            },
        ]
    }
}


@pytest.mark.parametrize("name", REGISTRY.names("outreach_strategy"))
def test_our_strategies_have_something_to_say_in_the_sample_shop_and_keep_all_laws(name):
    strategy = REGISTRY.make("outreach_strategy", name, **OPTIONS.get(name, {}))
    assert len(strategy.propose(sample_shop().situation))
    check_outreach_strategy(strategy)
