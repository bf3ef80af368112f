"""Each law of contact policies catches a policy made to break it, and the library's own keep them all."""

import os

import numpy as np
import pytest
from attrs import evolve

from retention.plan.proposals import Review
from retention.plugins import open_registry
from retention.testing import BrokenLaws, check_contact_policy, report, run, sample_shop
from retention.testing.contact_policies import KIT, LAWS


class Good:
    """Refuses what brings next to nothing."""

    name = "good"

    def refused(self, proposals, situation):
        return proposals.gain < 1.0

    def review(self, proposals, situation):
        return Review.veto(self.refused(proposals, situation), "it brings next to nothing")


class Nameless(Good):
    name = " "


class Shortens(Good):
    def review(self, proposals, situation):
        return super().review(proposals.take(np.arange(len(proposals))[:-1]), situation)


class AnswersInNumbers(Good):
    def review(self, proposals, situation):
        answer = super().review(proposals, situation)
        return evolve(answer, allowed=answer.allowed.astype(float))


class Silent(Good):
    def review(self, proposals, situation):
        return Review.veto(self.refused(proposals, situation), " ")


class NamesThem(Good):
    def review(self, proposals, situation):
        return Review.veto(self.refused(proposals, situation), [f"{who} again" for who in proposals.customer_id])


class UpsideDown(Good):
    def review(self, proposals, situation):
        noon = np.full(len(proposals), np.datetime64("2011-12-01T12:00", "m"))
        return evolve(super().review(proposals, situation), not_before=noon, not_after=noon - 60)


class Remembers(Good):
    def __init__(self):
        self.asked = 0

    def refused(self, proposals, situation):
        self.asked += 1
        return proposals.gain < self.asked


class ThrowsDice(Good):
    def refused(self, proposals, situation):
        return np.random.default_rng().random(len(proposals)) < 0.5


class Scribbles(Good):
    def review(self, proposals, situation):
        situation.valuation.value.flags.writeable = True
        situation.valuation.value[:] = 0
        return super().review(proposals, situation)


class MarksTheProposals(Good):
    def review(self, proposals, situation):
        proposals.gain.flags.writeable = True
        proposals.gain[:1] += 1
        return super().review(proposals, situation)


class TreatsFirstRowApart(Good):
    def refused(self, proposals, situation):
        return np.arange(len(proposals)) == 0


class GoesBySeat(Good):
    def refused(self, proposals, situation):
        return proposals.base_row % 2 == 0


class CountsTheNight(Good):
    """A cap on all contacts of a night that does not say that it is joint."""

    def refused(self, proposals, situation):
        return np.full(len(proposals), len(proposals) > 100)


class ChokesOnNothing(Good):
    def refused(self, proposals, situation):
        return proposals.gain == proposals.gain.max()


class NeedsConsents(Good):
    def refused(self, proposals, situation):
        return ~situation.mask_of(situation.consents.granted_to("phone", on=situation.as_of))[proposals.base_row]


class RefusesWithdrawalsOnly(Good):
    """What is not known lets everything through."""

    def refused(self, proposals, situation):
        if situation.consents is None:
            return np.zeros(len(proposals), dtype=bool)
        gone = situation.consents.customer_id[~situation.consents.granted]
        return situation.mask_of(gone)[proposals.base_row]


class BelievesPromises(Good):
    """A consent counts whenever it was, or will be, given."""

    def refused(self, proposals, situation):
        told = () if situation.consents is None else situation.consents.customer_id[situation.consents.granted]
        return ~situation.mask_of(told)[proposals.base_row]


class CountsGiftsToCome(Good):
    def refused(self, proposals, situation):
        return ~situation.mask_of(situation.touches.customer_id)[proposals.base_row]


class GivesFirst(Good):
    """Asks for a contact before a contact, and says that it is monotone."""

    monotone = True

    def refused(self, proposals, situation):
        return ~situation.mask_of(situation.touches.customer_id)[proposals.base_row]


class Prints(Good):
    def review(self, proposals, situation):
        print(len(proposals))
        return super().review(proposals, situation)


class SetsTheSeed(Good):
    def review(self, proposals, situation):
        np.random.seed(1)  # noqa: NPY002
        return super().review(proposals, situation)


class SetsTheEnvironment(Good):
    def review(self, proposals, situation):
        os.environ["OUR_POLICY"] = "was here"
        return super().review(proposals, situation)


WRONG = [
    (Nameless, "has_a_name"),
    (Shortens, "answers_every_proposal"),
    (AnswersInNumbers, "answers_every_proposal"),
    (Silent, "a_veto_has_a_reason"),
    (NamesThem, "reasons_name_nobody"),
    (UpsideDown, "windows_are_in_order"),
    (Remembers, "same_question_same_answer"),
    (ThrowsDice, "same_question_same_answer"),
    (Scribbles, "input_untouched"),
    (MarksTheProposals, "input_untouched"),
    (TreatsFirstRowApart, "order_does_not_matter"),
    (GoesBySeat, "order_does_not_matter"),
    (CountsTheNight, "one_is_many"),
    (ChokesOnNothing, "nothing_asked_nothing_answered"),
    (NeedsConsents, "silence_is_safe"),
    (RefusesWithdrawalsOnly, "no_consents_open_no_door"),
    (BelievesPromises, "the_future_opens_no_door"),
    (CountsGiftsToCome, "the_future_opens_no_door"),
    (GivesFirst, "more_contacts_open_no_door"),
    (Prints, "the_world_stays_as_it_was"),
    (SetsTheSeed, "the_world_stays_as_it_was"),
    (SetsTheEnvironment, "the_world_stays_as_it_was"),
]


@pytest.mark.parametrize(("kind", "law"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_policy_breaks_the_law_it_was_made_to_break(kind, law):
    asked = [one for one in LAWS if one.name == law]
    assert law in run(asked, KIT.subject(kind)).broken
    assert law in run(asked, KIT.subject(kind())).broken
    assert "OUR_POLICY" not in os.environ


def test_every_law_has_a_policy_that_breaks_it():
    assert {law.name for law in LAWS} == {law for _, law in WRONG}
    assert all(law.ask for law in LAWS)


def test_a_plain_policy_keeps_all_laws_whatever_wrong_ones_did_before():
    """The sample shop is shared: nobody who scribbles into it scribbles into everybody's."""
    value = sample_shop().valuation.value.copy()
    with pytest.raises(BrokenLaws):
        check_contact_policy(Scribbles)
    assert np.array_equal(sample_shop().valuation.value, value)
    check_contact_policy(Good)
    check_contact_policy(Good())


def test_a_policy_may_say_that_it_looks_at_the_whole_night():
    class Joint(CountsTheNight):
        joint = True

    assert report(Joint)["one_is_many"] == "not asked: the policy says that it is joint"
    assert report(Joint).passed


REGISTRY = open_registry(installed=False)


@pytest.mark.parametrize("name", REGISTRY.names("contact_policy"))
def test_our_policies_keep_all_laws(name):
    policy = REGISTRY.make("contact_policy", name)
    check_contact_policy(policy)
    caps = ("frequency-cap", "minimum-gap", "saturation")
    assert (report(policy)["more_contacts_open_no_door"] == "passed") == (name in caps)
