"""Contact policies: the day a rule starts, the day it ends, and what happens when one breaks."""

import datetime as dt

import attrs
import numpy as np
import pytest

from retention.domain import Action, Consent, Touch
from retention.errors import ConfigError, PlanError
from retention.plan import (
    Budget,
    ConsentPolicy,
    DoNotContact,
    FrequencyCap,
    MinimumGap,
    OpenComplaint,
    Review,
    built_in_policies,
    gate,
    plan_for,
)
from retention.records import Consents, Touches

CALL = Action(name="call", kind="ask", channel="phone", customer_benefit="x")
CARD = Action(name="card", kind="give", channel="post", customer_benefit="x", needs_consent=False)
SURVEY = Action(name="survey", kind="ask", channel="phone", customer_benefit="x", purpose="survey")


def _allowed(shop, policy, offers, ids=("a", "b"), **known):
    situation = shop.situation(shop.tables(list(ids)), **known)
    review = policy.review(shop.proposals(situation, offers), situation)
    assert all(bool(reason) != ok for ok, reason in zip(review.allowed.tolist(), review.reason.tolist(), strict=True))
    return review.allowed.tolist()


def _touch(shop, days_ago, who="a", **more):
    return Touch(customer_id=who, at=shop.day - dt.timedelta(days=days_ago), channel="post", **more)


def test_without_consent_data_channels_that_need_consent_are_closed_and_the_reason_says_so(shop):
    situation = shop.situation(shop.tables(["a"]))
    review = ConsentPolicy().review(shop.proposals(situation, [(0, CALL, 1.0), (0, CARD, 1.0)]), situation)
    assert review.allowed.tolist() == [False, True]
    assert "no consent data were given" in review.reason[0]


def test_a_consent_counts_for_its_channel_and_its_purpose_only(shop):
    offers = [(0, CALL, 1.0), (0, SURVEY, 1.0), (0, CARD, 1.0), (1, CALL, 1.0)]
    for consent, allowed in (
        (Consent(customer_id="a", channel="phone"), [True, False, True, False]),
        (Consent(customer_id="a", channel="phone", purpose="survey"), [False, True, True, False]),
        (Consent(customer_id="a", channel="email"), [False, False, True, False]),
        (Consent(customer_id="b", channel="phone"), [False, False, True, True]),
        (Consent(customer_id="a", channel="phone", granted=False), [False, False, True, False]),
        (Consent(customer_id="a", channel="phone", at=shop.day + dt.timedelta(days=1)), [False, False, True, False]),
        (Consent(customer_id="a", channel="phone", at=shop.day), [True, False, True, False]),
    ):
        assert _allowed(shop, ConsentPolicy(), offers, consents=Consents.of([consent])) == allowed
    assert _allowed(shop, ConsentPolicy(), offers, consents=Consents.of([])) == [False, False, True, False]


@pytest.mark.parametrize(("ago", "allowed"), [(1, False), (6, False), (7, True), (8, True)])
def test_a_gap_of_seven_days_is_enough_and_six_are_not(shop, ago, allowed):
    assert _allowed(shop, MinimumGap(days=7), [(0, CARD, 1.0)], touches=Touches.of([_touch(shop, ago)])) == [allowed]


@pytest.mark.parametrize(("ago", "allowed"), [((1, 27), False), ((1, 28), True), ((28, 40), True), ((3, 3), False)])
def test_two_contacts_in_four_weeks_are_the_most(shop, ago, allowed):
    touches = Touches.of([_touch(shop, a) for a in ago])
    assert _allowed(shop, FrequencyCap(), [(0, CARD, 1.0), (1, CARD, 1.0)], touches=touches) == [allowed, True]


def test_her_own_calls_do_not_count_against_her(shop):
    touches = Touches.of([_touch(shop, 1, direction="in")] * 5)
    assert _allowed(shop, FrequencyCap(), [(0, CARD, 1.0)], touches=touches) == [True]
    assert _allowed(shop, MinimumGap(), [(0, CARD, 1.0)], touches=touches) == [True]


def test_a_touch_without_a_date_or_a_plain_direction_counts_as_recent(shop):
    no_date = Touches.from_arrays(customer_id=["a"], at=["NaT"], channel=["post"], kind=["give"])
    odd = Touches.from_arrays(
        customer_id=["a"], at=[shop.day - dt.timedelta(days=2)], channel=["post"], kind=["give"], direction=["?"]
    )
    for touches in (no_date, odd):
        assert _allowed(shop, MinimumGap(), [(0, CARD, 1.0), (1, CARD, 1.0)], touches=touches) == [False, True]
        assert _allowed(shop, FrequencyCap(max_contacts=1), [(0, CARD, 1.0)], touches=touches) == [False]


def test_do_not_contact_stops_everything(shop):
    offers = [(0, CALL, 1.0), (0, CARD, 1.0), (1, CARD, 1.0)]
    assert _allowed(shop, DoNotContact(), offers, do_not_contact=frozenset({"a", "x"})) == [False, False, True]


def test_an_open_complaint_stops_what_it_is_told_to_stop(shop):
    offers = [(0, CALL, 1.0), (0, CARD, 1.0), (1, CALL, 1.0)]
    known = {"open_complaints": frozenset({"a"})}
    assert _allowed(shop, OpenComplaint(), offers, **known) == [False, False, True]
    assert _allowed(shop, OpenComplaint(blocks=["ask"]), offers, **known) == [False, True, True]


def test_all_policies_see_no_proposals_without_harm(shop):
    situation = shop.situation(shop.tables([]), consents=Consents.of([]))
    for policy in built_in_policies():
        assert policy.review(shop.proposals(situation, []), situation).allowed.shape == (0,)


@pytest.mark.parametrize(
    "make", [lambda: FrequencyCap(max_contacts=-1), lambda: FrequencyCap(days=0), lambda: MinimumGap(days=1.5)]
)
def test_a_policy_with_an_absurd_number_is_refused(make):
    with pytest.raises(ConfigError, match="whole number"):
        make()


@attrs.frozen
class Broken:
    """A policy whose answer is whatever the test says."""

    answer: object
    name: str = "broken"

    def review(self, proposals, situation):
        return self.answer(len(proposals))


def _raise(n):
    raise ValueError("customer 12347 has no phone")


BROKEN = {
    "raises": _raise,
    "says nothing": lambda n: None,
    "says yes": lambda n: True,
    "a bare mask": lambda n: np.ones(n, dtype=bool),
    "too short": lambda n: Review(allowed=np.ones(n - 1, dtype=bool), reason=np.full(n - 1, "")),
    "too few reasons": lambda n: Review(allowed=np.ones(n, dtype=bool), reason=np.full(n - 1, "")),
    "too many": lambda n: Review(allowed=np.ones(n + 1, dtype=bool), reason=np.full(n + 1, "")),
    "one for all": lambda n: Review(allowed=np.asarray(True), reason=np.full(n, "")),
    "a table": lambda n: Review(allowed=np.ones((n, 1), dtype=bool), reason=np.full(n, "")),
    "numbers": lambda n: Review(allowed=np.ones(n), reason=np.full(n, "")),
    "NaN": lambda n: Review(allowed=np.full(n, np.nan), reason=np.full(n, "")),
    "objects": lambda n: Review(allowed=np.full(n, True, dtype=object), reason=np.full(n, "")),
    "text": lambda n: Review(allowed=np.full(n, "yes"), reason=np.full(n, "")),
    "no text": lambda n: Review(allowed=np.ones(n, dtype=bool), reason=np.zeros(n)),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_policy_lets_nothing_through_and_is_named(shop, how):
    situation = shop.situation(shop.tables(["a", "b", "c"], overdue=True, at_risk_per_day=1.0))
    whole = plan_for(situation, budget=Budget(None, None), holdout=0.0)
    assert len(whole.contacts) == 3
    plan = plan_for(
        situation, budget=Budget(None, None), holdout=0.0, policies=[*built_in_policies(), Broken(BROKEN[how])]
    )
    assert len(plan.contacts) == 0
    assert set(plan.decision.tolist()) == {"none"}
    assert all("broken" in reason for reason in plan.reason.tolist())
    assert sum("'broken'" in note for note in plan.notes) == 1
    assert "12347" not in "".join([*plan.notes, *plan.reason.tolist(), *plan.vetoes.reason.tolist()])
    counts = plan.vetoes_by_policy()
    assert counts.customer("broken")["vetoes"] == len(plan.considered)


def test_a_policy_that_gives_no_reason_still_vetoes(shop):
    situation = shop.situation(shop.tables(["a"]))
    silent = Broken(lambda n: Review(allowed=np.zeros(n, dtype=bool), reason=np.full(n, " ")))
    passed, vetoes, notes = gate([silent], shop.proposals(situation, [(0, CARD, 1.0)]), situation)
    assert (passed.allowed.tolist(), notes) == ([False], ())
    assert "gave no reason" in vetoes.reason[0]


def test_every_veto_is_written_down_in_the_order_of_the_policies_names(shop):
    situation = shop.situation(
        shop.tables(["a"]),
        do_not_contact=frozenset("a"),
        open_complaints=frozenset("a"),
        touches=Touches.of([_touch(shop, 1)]),
    )
    _, vetoes, _ = gate(built_in_policies()[::-1], shop.proposals(situation, [(0, CALL, 1.0)]), situation)
    assert vetoes.policy.tolist() == ["consent", "do-not-contact", "minimum-gap", "open-complaint"]
    assert set(vetoes.action.tolist()) == {"call"}
    assert set(vetoes.channel.tolist()) == {"phone"}


def test_a_policy_cannot_bring_back_what_another_refused(shop):
    situation = shop.situation(shop.tables(["a"]), do_not_contact=frozenset("a"))
    yes = Broken(lambda n: Review(allowed=np.ones(n, dtype=bool), reason=np.full(n, "")), name="zzz")
    passed, _, _ = gate([yes, DoNotContact()], shop.proposals(situation, [(0, CARD, 1.0)]), situation)
    assert passed.allowed.tolist() == [False]


@pytest.mark.parametrize("policies", [[MinimumGap(), MinimumGap(days=3)], [object()], [Broken(_raise, name=" ")]])
def test_policies_that_cannot_be_told_apart_or_named_are_an_error(shop, policies):
    with pytest.raises(PlanError):
        plan_for(shop.situation(shop.tables(["a"])), budget=Budget(), policies=policies)


def test_a_plan_without_the_consent_policy_says_so(shop):
    plan = plan_for(shop.situation(shop.tables(["a"])), budget=Budget(), policies=[MinimumGap()])
    assert any("without the built-in policies: consent, deceased, do-not-contact" in note for note in plan.notes)
