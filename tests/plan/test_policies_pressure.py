"""How often is too often: the day a rule starts, the day it ends, and which contacts it is about."""

import datetime as dt

import numpy as np
import pytest

from retention.domain import Action, Consent, Touch
from retention.errors import ConfigError
from retention.plan import gate
from retention.plan.policies import (
    ConsentPolicy,
    FrequencyCap,
    GivesBeforeAsk,
    MinimumGap,
    OpenComplaint,
    Saturation,
)
from retention.records import Consents, Touches

ASK_MAIL = Action(name="offer", kind="ask", channel="email", customer_benefit="x")
GIVE_MAIL = Action(name="tip", kind="give", channel="E-mail ", customer_benefit="x")
ASK_CALL = Action(name="call", kind="ask", channel="phone", customer_benefit="x")
SURVEY = Action(name="survey", kind="ask", channel="email", customer_benefit="x", purpose="survey")
OFFERS = [(0, ASK_MAIL, 1.0), (0, GIVE_MAIL, 1.0), (0, ASK_CALL, 1.0), (0, SURVEY, 1.0), (1, ASK_MAIL, 1.0)]


def _review(shop, policy, offers=OFFERS, ids=("a", "b"), attributes=None, **known):
    tables = shop.tables(list(ids))
    if attributes is not None:
        tables = (tables[0].with_attributes(attributes), *tables[1:])
    situation = shop.situation(tables, **known)
    review = policy.review(shop.proposals(situation, offers), situation)
    assert all(bool(reason) != ok for ok, reason in zip(review.allowed.tolist(), review.reason.tolist(), strict=True))
    assert not any(who in reason.split() for who in ids for reason in review.reason.tolist() if len(who) > 1)
    return review


def _allowed(shop, policy, *more, **known):
    return _review(shop, policy, *more, **known).allowed.tolist()


def _touches(shop, *told, who="a"):
    """Contacts as (days ago or None, channel, kind[, direction])."""
    return Touches.from_arrays(
        customer_id=[who] * len(told),
        at=[np.datetime64("NaT", "D") if t[0] is None else shop.day - dt.timedelta(days=t[0]) for t in told],
        channel=[t[1] for t in told],
        kind=[t[2] for t in told],
        direction=[t[3] if len(t) > 3 else "out" for t in told],
    )


def test_a_cap_for_a_channel_counts_and_refuses_that_channel_alone(shop):
    cap = FrequencyCap(max_contacts=1, days=7, channel="E-MAIL")
    mail = _touches(shop, (6, "e-mail", "give"))
    assert _allowed(shop, cap, touches=mail) == [True, False, True, True, True]
    assert _allowed(shop, cap, touches=_touches(shop, (7, "e-mail", "give"))) == [True] * 5
    assert _allowed(shop, cap, touches=_touches(shop, (6, "phone", "give"))) == [True] * 5
    both = FrequencyCap(max_contacts=1, days=7, channel=["email", "e-mail"])
    assert _allowed(shop, both, touches=mail) == [False, False, True, False, True]


def test_a_cap_for_asks_counts_asks_alone(shop):
    cap = FrequencyCap(max_contacts=1, days=90, action_kind="ask")
    gifts = [(d, "post", "give") for d in range(1, 9)]
    assert _allowed(shop, cap, touches=_touches(shop, *gifts)) == [True] * 5
    review = _review(shop, cap, touches=_touches(shop, *gifts, (89, "post", "ask")))
    assert review.allowed.tolist() == [False, True, False, False, True]
    assert review.reason[0] == "1 contacts (ask) in the last 90 days, at most 1 are allowed"
    assert _allowed(shop, cap, touches=_touches(shop, *gifts, (90, "post", "ask"))) == [True] * 5


def test_a_cap_for_a_purpose_counts_every_contact_because_contacts_on_file_have_none(shop):
    cap = FrequencyCap(max_contacts=1, days=30, purpose="survey")
    assert _allowed(shop, cap, touches=_touches(shop, (29, "post", "give"))) == [True, True, True, False, True]


@pytest.mark.parametrize("policy", [FrequencyCap(max_contacts=1, channel="email"), MinimumGap(channel="email")])
def test_a_contact_on_file_without_a_channel_may_have_been_any(shop, policy):
    assert _allowed(shop, policy, touches=_touches(shop, (3, " ", "give")))[0] is False
    assert _allowed(shop, policy, touches=_touches(shop, (3, "phone", "give")))[0] is True


@pytest.mark.parametrize("kind", ["newsletter", "", "ASK "])
def test_a_contact_on_file_of_a_kind_that_does_not_exist_may_have_been_an_ask(shop, kind):
    cap = FrequencyCap(max_contacts=1, action_kind="ask")
    assert _allowed(shop, cap, touches=_touches(shop, (3, "post", kind)))[0] is False


def test_a_gap_for_calls_leaves_letters_alone(shop):
    gap = MinimumGap(days=14, channel="phone")
    touches = _touches(shop, (1, "email", "give"), (13, "phone", "give"))
    review = _review(shop, gap, touches=touches)
    assert review.allowed.tolist() == [True, True, False, True, True]
    assert review.reason[2] == "last contact (phone) 13 days ago, at least 14 days must lie between"


def test_an_ask_comes_after_two_gives(shop):
    story = [(40, "post", "ask"), (30, "post", "give"), (20, "post", "thank")]
    rule = GivesBeforeAsk()
    assert _allowed(shop, rule, touches=_touches(shop, *story)) == [True, True, True, True, False]
    review = _review(shop, rule, touches=_touches(shop, *story[:2]))
    assert review.allowed.tolist() == [False, True, False, False, False]
    assert review.reason[0] == "1 gives since the last ask, 2 come before an ask"
    assert review.reason[4] == "0 gives so far, 2 come before an ask"


@pytest.mark.parametrize(
    ("more", "allowed"),
    [
        ([], True),
        ([(10, "post", "ask")], False),
        ([(20, "post", "ask")], False),  # the same day: which came first nobody knows
        ([(None, "post", "ask")], False),
        ([(10, "post", "catalogue")], False),
        ([(10, "post", "ask", "?")], False),
        ([(10, "post", "ask", "in")], True),
        ([(10, "post", "remind")], True),
    ],
)
def test_an_ask_of_any_date_or_an_unknown_contact_starts_the_count_again(shop, more, allowed):
    touches = _touches(shop, (30, "post", "give"), (20, "post", "connect"), *more)
    assert _allowed(shop, GivesBeforeAsk(), [(0, ASK_MAIL, 1.0)], touches=touches) == [allowed]


def test_a_give_on_the_day_of_an_ask_may_have_come_before_it(shop):
    for ago, allowed in ((20, False), (19, True)):
        touches = _touches(shop, (ago, "post", "give"), (20, "post", "ask"))
        assert _allowed(shop, GivesBeforeAsk(gives=1), OFFERS[:1], touches=touches) == [allowed]


def test_a_contact_dated_ahead_counts_as_one_of_today(shop):
    for touches in (_touches(shop, (-3, "post", "give")), _touches(shop, (0, "post", "give"))):
        review = _review(shop, MinimumGap(), OFFERS[:1], touches=touches)
        assert review.reason[0] == "a contact without a known date, at least 7 days must lie between"
        assert _allowed(shop, GivesBeforeAsk(gives=1), OFFERS[:1], touches=touches) == [False]


@pytest.mark.parametrize("odd", [(None, "post", "give"), (5, "post", "give", "?"), (5, "post", "remind")])
def test_what_is_not_plainly_a_give_of_some_day_is_none(shop, odd):
    touches = _touches(shop, (30, "post", "give"), odd)
    assert _allowed(shop, GivesBeforeAsk(), [(0, ASK_MAIL, 1.0)], touches=touches) == [False]
    assert _allowed(shop, GivesBeforeAsk(gives=1), [(0, ASK_MAIL, 1.0)], touches=touches) == [True]


def test_reminders_may_be_declared_gives_or_asks(shop):
    touches = _touches(shop, (30, "post", "give"), (20, "post", "remind"))
    assert _allowed(shop, GivesBeforeAsk(counts=["give", "remind"]), OFFERS[:1], touches=touches) == [True]
    assert _allowed(shop, GivesBeforeAsk(gives=1, asks=["ask", "remind"]), OFFERS[:1], touches=touches) == [False]
    with pytest.raises(ConfigError, match="none does both"):
        GivesBeforeAsk(counts=["give", "ask"])


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        (3, True), (3.9, True), (2.99, False), (2, False), (0, False), (-1, False), (None, False), (np.nan, False),
        ("many", False), (np.inf, False), (True, False), (np.float32(3), True), (np.int8(3), True), (10**30, True),
        ("3", True), ("unknown", False),
    ],
)  # fmt: skip
def test_she_is_contacted_as_often_as_she_answers_to_and_what_is_no_number_allows_nothing(shop, limit, allowed):
    touches = _touches(shop, (1, "post", "give"), (27, "post", "give"), (28, "post", "give"))
    for known in ({"attributes_": {"contact_limit": {"a": limit, "b": 1}}}, {"limits": {"a": limit}}):
        rule = Saturation(limits=known.get("limits"))
        situation = shop.situation(shop.tables(["a"]), touches=touches, attributes=known.get("attributes_", {}))
        review = rule.review(shop.proposals(situation, OFFERS[:1]), situation)
        assert review.allowed.tolist() == [allowed]
        assert bool(review.reason[0]) != allowed


def test_her_limit_is_found_in_the_base_too_and_a_default_is_for_whom_none_is_known(shop):
    touches = _touches(shop, (1, "post", "give"))
    offers = [(0, ASK_MAIL, 1.0), (1, ASK_MAIL, 1.0)]
    assert _allowed(shop, Saturation(), offers, touches=touches, attributes={"contact_limit": [1, 2]}) == [False, True]
    review = _review(shop, Saturation(), offers, touches=touches, attributes={"contact_limit": [1, "unknown"]})
    assert review.reason.tolist() == [
        "1 contacts in the last 28 days, and she answers to 1",
        "how many contacts she takes is not known",
    ]
    assert _allowed(shop, Saturation(), offers, touches=touches) == [False, False]
    assert _allowed(shop, Saturation(default=1), offers, touches=touches) == [False, True]
    assert _allowed(shop, Saturation(default=1, limits={"a": 5}), offers, touches=touches) == [True, True]


def test_a_column_of_limits_of_another_length_lets_nothing_through(shop):
    situation = shop.situation(shop.tables(["a", "b"]), attributes={"contact_limit": [3]})
    passed, vetoes, notes = gate([Saturation(default=9)], shop.proposals(situation, OFFERS), situation)
    assert not passed.allowed.any()
    assert len(vetoes) == len(OFFERS)
    assert "PlanError" in notes[0]


def test_a_complaint_may_hold_up_marketing_and_not_the_survey(shop):
    waiting = {"open_complaints": frozenset("a")}
    assert _allowed(shop, OpenComplaint(), **waiting) == [False, False, False, False, True]
    assert _allowed(shop, OpenComplaint(purpose="marketing"), **waiting) == [False, False, False, True, True]
    assert _allowed(shop, OpenComplaint(channel="phone"), **waiting) == [True, True, False, True, True]


@pytest.mark.parametrize(("ago", "allowed"), [(0, True), (364, True), (365, False), (4000, False), (None, False)])
def test_a_consent_with_a_term_lapses_and_one_without_a_date_has_lapsed(shop, ago, allowed):
    at = None if ago is None else shop.day - dt.timedelta(days=ago)
    consents = Consents.of([Consent(customer_id="a", channel="email", at=at)])
    review = _review(shop, ConsentPolicy(valid_days=365), OFFERS[:1], consents=consents)
    assert review.allowed.tolist() == [allowed]
    assert allowed or review.reason[0] == "her consent for email (marketing) is more than 365 days old"
    assert _allowed(shop, ConsentPolicy(), OFFERS[:1], consents=consents) == [True]


def test_a_consent_that_is_given_again_lives_again_and_one_withdrawn_does_not(shop):
    def at(ago, granted=True):
        return Consent(customer_id="a", channel="email", granted=granted, at=shop.day - dt.timedelta(days=ago))

    for told, allowed in (
        ([at(400), at(10)], True),
        ([at(10), at(400)], True),
        ([at(400, False), at(10)], True),
        ([at(20), at(10, False)], False),
        ([at(10), at(10, False)], False),
        ([at(10, False), at(-1)], False),
    ):
        assert _allowed(shop, ConsentPolicy(valid_days=365), OFFERS[:1], consents=Consents.of(told)) == [allowed]


def test_one_million_reasons_are_a_few_texts(shop):
    """Reasons are told by number, so that two customers with one count get the same sentence."""
    ids = [f"c{i}" for i in range(50)]
    touches = Touches.of(
        Touch(customer_id=who, at=shop.day - dt.timedelta(days=1), channel="post") for who in ids for _ in range(3)
    )
    review = _review(shop, FrequencyCap(), [(i, ASK_MAIL, 1.0) for i in range(50)], ids=ids, touches=touches)
    assert set(review.reason.tolist()) == {"3 contacts in the last 28 days, at most 2 are allowed"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: FrequencyCap(channel=5),
        lambda: FrequencyCap(channel=[]),
        lambda: FrequencyCap(channel=[""]),
        lambda: FrequencyCap(channel={"email": 1}),
        lambda: MinimumGap(action_kind="gift"),
        lambda: FrequencyCap(max_contacts=True),
        lambda: FrequencyCap(name=" "),
        lambda: GivesBeforeAsk(gives=0),
        lambda: GivesBeforeAsk(counts=[]),
        lambda: Saturation(default=-1),
        lambda: Saturation(limits=[1]),
        lambda: ConsentPolicy(valid_days=0),
        lambda: OpenComplaint(blocks="everything"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_when_the_policy_is_made(make):
    with pytest.raises(ConfigError):
        make()


def test_an_unknown_kind_of_action_gets_the_nearest(shop):
    with pytest.raises(ConfigError, match="did you mean 'remind'"):
        FrequencyCap(action_kind="reminder")
