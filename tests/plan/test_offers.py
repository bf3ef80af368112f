"""Offers as data: what is read, whom it fits, what it costs, and what plans make of it."""

import datetime as dt
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retention as rt
from retention.domain import Action, Consent
from retention.errors import ConfigError
from retention.plan import (
    STAKES,
    Budget,
    Criteria,
    Offer,
    OfferStrategy,
    OutreachStrategy,
    allocate,
    check,
    plan_for,
    read_offers,
)
from retention.plugins import open_registry
from retention.records import Consents

CARD = {
    "name": "card",
    "kind": "thank",
    "channel": "post",
    "money": 1.5,
    "hours": 0.05,
    "needs_consent": False,
    "customer_benefit": "is thanked",
    "lift": 0.05,
}
TOML = """
[[offer]]
name = "birthday card"
kind = "thank"
channel = "post"
money = 1.5
hours = 0.05
reward = "recognition"
reward_cost = 0
perceived_value = 2
needs_consent = false
customer_benefit = "somebody thought of her"
stake = "expected margin"
lift = 0.03
eligible = "regulars"
applicable = { attribute.birthday_in_days = { between = [0, 14] } }

[[offer]]
name = "dinner voucher"
kind = "ask"
channel = "in person"
hours = 0.02
reward = "discount"
reward_cost = 5
perceived_value = 8
conditional = true
take_up = 0.2
touchpoint = true
needs_consent = false
customer_benefit = "five off what she likes anyway"
stake = "margin at risk"
lift = 0.1
suitable = { not = { attribute.diet = "fasting" } }

[segment.regulars]
orders = { at_least = 3 }
"""


@pytest.fixture
def offers(tmp_path):
    path = tmp_path / "offers.toml"
    path.write_text(TOML, "utf-8")
    return read_offers(path)


def _told(proposals):
    names = proposals.of_actions("name").tolist() if len(proposals) else []
    return sorted(zip(proposals.customer_id.tolist(), names, strict=True))


def test_a_file_of_offers_is_a_strategy_like_any_other(shop, offers):
    assert isinstance(offers, OutreachStrategy)
    situation = shop.situation(
        shop.tables(["a", "b", "c"], orders=[3, 2, 9], at_risk_per_day=[0, 1, 1], expected_margin=[100, 50, 20]),
        attributes={"birthday_in_days": {"a": 3, "b": 3, "c": 90}, "diet": {"b": "any", "c": "fasting"}},
    )
    proposals = offers.propose(situation)
    assert _told(proposals) == [("a", "birthday card"), ("b", "dinner voucher")]
    assert proposals.gain == pytest.approx([0.03 * 100, 0.1 * 365])
    assert proposals.gain_sd == pytest.approx(proposals.gain / 2)
    assert proposals.net == pytest.approx([3 - 1.5, 36.5 - 0.2 * 5])
    assert {a.name: a.value for a in proposals.assumptions} == {"birthday card": 0.03, "dinner voucher": 0.1}
    assert "in the segment regulars" in proposals.reason[0]
    assert (proposals.closes - proposals.opens).astype(int).tolist() == [27, 27]


def test_eligible_applicable_and_suitable_exclude_in_words_of_their_own(shop, offers):
    situation = shop.situation(
        shop.tables(["a", "b", "c", "d"], orders=[3, 2, 9, 9], at_risk_per_day=1.0),
        attributes={"birthday_in_days": [3, 3, 90, None], "diet": ["any", "any", "fasting", None]},
    )
    told = offers.screened(situation)
    assert {(o, w): c for o, w, c in zip(told.offer, told.why, told.customer_id, strict=True)} == {
        ("birthday card", "not eligible"): "b",
        ("birthday card", "not applicable"): "d",
        ("dinner voucher", "not suitable"): "d",
    }
    assert told.counts() == {
        "dinner voucher": {"not suitable": 2},
        "birthday card": {"not eligible": 1, "not applicable": 2},
    }
    # Whoever is not screened out is proposed to, and nobody else.
    left_out = set(zip(told.customer_id.tolist(), told.offer.tolist(), strict=True))
    everything = {(who, offer.name) for who in "abcd" for offer in offers.offers}
    assert set(_told(offers.propose(situation))) == everything - left_out


@pytest.mark.parametrize("stake", list(STAKES))
def test_the_gain_is_the_lift_times_what_is_at_stake(shop, stake):
    tables = shop.tables(
        ["a"],
        at_risk_per_day=0.5,
        expected_margin=40.0,
        p_alive=0.5,
        to_next=7.0,
        p_leaves=0.2,
        margin_per_day=0.1,
        horizon_days=100.0,
    )
    expected = {
        "margin at risk": 0.5 * 100,
        "expected margin": 40.0,
        "missing to next tier": 7.0,
        "leaving": 0.2 * 0.1 * 100,
        "a purchase": 1.0,
        "if she returns": 0.1 * 100,
    }
    offer = read_offers([CARD | {"stake": stake, "lift": 0.25}])
    assert offer.propose(shop.situation(tables)).gain == pytest.approx([0.25 * expected[stake]])


def test_every_reward_type_is_costed_and_whoever_wants_accommodation_is_not_handed_goods(shop):
    rewards = ("goods", "discount", "points", "accommodation", "access", "recognition")
    offers = read_offers(
        {
            "offer": [
                CARD
                | {"name": r, "kind": "give", "reward": r, "reward_cost": i + 1.0, "perceived_value": 2.0 * (i + 1)}
                for i, r in enumerate(rewards)
            ]
            + [CARD],
            "segment": {
                "families": {"attribute.household": "family", "wants": ["accommodation", "access"]},
                "savers": {"attribute.saves": True, "wants": ["discount"]},
            },
        }
    )
    costs = offers.costs()
    assert dict(zip(costs.reward.tolist(), costs.expected_cost.tolist(), strict=True)) == {
        r: 1.5 + i + 1 for i, r in enumerate(rewards)
    } | {"": 1.5}
    assert (costs.perceived_value[:6] == 2 * costs.reward_cost[:6]).all()
    situation = shop.situation(
        shop.tables(["family", "single", "both", "unknown"], expected_margin=1000.0),
        attributes={
            "household": {"family": "family", "single": "single", "both": "family"},
            "saves": {"both": True, "family": False},
        },
    )
    got = {}
    for who, name in _told(offers.propose(situation)):
        got.setdefault(who, set()).add(name)
    assert got == {
        "family": {"accommodation", "access", "card"},
        "both": {"accommodation", "access", "discount", "card"},
        "single": {*rewards, "card"},
        "unknown": {*rewards, "card"},
    }
    assert "she wants something else than goods" in offers.screened(situation).reason.tolist()


def test_a_thank_you_and_an_incentive_are_arms_of_their_own(offers):
    assert [o.name for o in offers.thanks] == ["birthday card"]
    assert [o.name for o in offers.incentives] == ["dinner voucher"]
    with pytest.raises(ConfigError, match=r"offer 'card'.*a thank-you with a condition"):
        read_offers([CARD | {"conditional": True}])
    with pytest.raises(ConfigError, match="two offers named 'card'"):
        read_offers([CARD, CARD | {"kind": "give", "conditional": True}])


def test_of_two_offers_worth_the_same_the_one_where_she_is_met_anyway_goes_first(shop):
    """Already in the tent: both cost the same and bring the same, so only the touchpoint tells them apart."""
    plain = CARD | {"name": "a letter", "kind": "give"}
    parcel = CARD | {"name": "note in the parcel", "kind": "give", "channel": "in person", "touchpoint": True}
    offers = read_offers([plain, parcel])
    assert [a.name for a in offers.actions] == ["note in the parcel", "a letter"]
    situation = shop.situation(shop.tables(["x", "y"]))
    proposals = offers.propose(situation)
    table = np.zeros((2, 2))
    table[proposals.base_row, proposals.action] = proposals.gain
    assert allocate(table, [1.5, 1.5], money=3.0).choice.tolist() == [0, 0]
    plan = plan_for(situation, budget=Budget(None, None), strategies=[offers], holdout=0.0)
    assert set(plan.action.tolist()) == {"note in the parcel"}


@settings(max_examples=25)
@given(data=st.data())
def test_without_money_the_plan_spends_hours_only_and_is_not_empty(data, shop):
    """K3: it need not cost a dime."""
    ids = data.draw(st.lists(st.sampled_from(string.ascii_lowercase), min_size=1, max_size=8, unique=True))
    seed, hours = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.floats(0.05, 2.0))
    tables = shop.tables_by_chance(ids, seed)
    consents = data.draw(st.sampled_from([None, shop.everyone_consents(ids)]))
    offers = read_offers(
        [
            CARD,
            CARD | {"name": "voucher", "kind": "ask", "money": 0, "reward": "discount", "reward_cost": 5,
                    "perceived_value": 5, "conditional": True, "take_up": 0.01},
            CARD | {"name": "a word", "channel": "in person", "money": 0, "touchpoint": True},
        ]
    )  # fmt: skip
    plan = rt.make_plan(
        *tables, budget=Budget(money=0.0, hours=hours), strategies=[offers], consents=consents, holdout=0.0
    )
    assert (plan.decision == "contact").any()
    assert set(plan.action[plan.decision == "contact"].tolist()) == {"a word"}
    assert plan.spent_money == 0
    assert 0 < plan.spent_hours <= hours
    assert check(plan, shop.situation(tables, consents=consents)) == []


@settings(max_examples=25)
@given(data=st.data())
def test_nobody_is_invited_without_a_recorded_opt_in_for_it(data, shop):
    """P10: permission is for a channel and a purpose; a permission for marketing is none for a survey."""
    ids = ["a", "b", "c"]
    granted = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(ids),
                st.sampled_from(["email", "phone"]),
                st.sampled_from(["survey", "marketing"]),
                st.booleans(),
            ),
            max_size=12,
        )
    )
    consents = Consents.of(
        [
            Consent(customer_id=w, channel=c, purpose=p, granted=g, at=shop.day - dt.timedelta(days=90 - i))
            for i, (w, c, p, g) in enumerate(granted)
        ]
    )
    offers = read_offers(
        [
            CARD
            | {"name": f"survey by {c}", "kind": "ask", "channel": c, "purpose": "survey", "needs_consent": True}
            | {"money": 0.1 if c == "email" else 2.0}
            for c in ("email", "phone")
        ]
    )
    situation = shop.situation(shop.tables(ids), consents=data.draw(st.sampled_from([None, consents])))
    plan = plan_for(situation, budget=Budget(None, None), strategies=[offers], holdout=0.0)
    last = {(w, c): g for w, c, p, g in granted if p == "survey"} if situation.consents is not None else {}
    for who, decision, channel in zip(plan.customer_id, plan.decision, plan.channel, strict=True):
        if decision == "contact":
            assert last.get((str(who), str(channel))) is True
        else:
            assert not any(last.get((str(who), c)) for c in ("email", "phone"))


def test_a_give_wins_over_an_ask_that_brings_less(shop):
    offers = read_offers([CARD | {"name": "ask", "kind": "ask"}, CARD | {"name": "give", "kind": "give", "lift": 0.06}])
    plan = plan_for(shop.situation(shop.tables(["x"])), budget=Budget(None, None), strategies=[offers], holdout=0.0)
    assert plan.kind.tolist() == ["give"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
RULES = st.sampled_from(
    [
        {"tier": ["gold"]},
        {"orders": {"between": [1, 3]}, "not": {"overdue": True}},
        {"any": [{"attribute.diet": "vegan"}, {"customers": ["=x", 'q"u"ote', "new\nline"]}]},
        {"next_due_at": {"below": dt.date(2011, 1, 1)}},
        {"attribute": {"odd name": {"is_not": "\x7f\t"}}},
        {},
    ]
)
OFFERS = st.fixed_dictionaries(
    {
        "name": TEXTS,
        "kind": st.sampled_from(["give", "ask", "remind", "connect", "wait"]),
        "channel": TEXTS,
        "customer_benefit": TEXTS,
        "lift": st.floats(0, 1),
    },
    optional={
        "stake": st.sampled_from(list(STAKES)),
        "money": st.floats(0, 1e6) | st.integers(0, 10),
        "hours": st.floats(0, 10),
        "spread": st.floats(0, 3),
        "window_days": st.integers(1, 400),
        "touchpoint": st.booleans(),
        "control": st.floats(0, 0.99),
        "purpose": TEXTS,
        "eligible": RULES,
        "applicable": RULES,
        "suitable": RULES | st.just("families"),
    },
)


@settings(max_examples=60)
@given(
    told=st.lists(OFFERS, max_size=4, unique_by=lambda offer: offer["name"]),
    reward=st.sampled_from([None, "goods", "access"]),
    families=RULES,
)
def test_offers_go_to_data_and_back(told, reward, families, tmp_path_factory):
    gift = {"reward": reward, "reward_cost": 0, "perceived_value": 1.5, "conditional": True, "take_up": 0.5}
    offers = read_offers(
        {
            "offer": [one | gift if reward else one for one in told],
            "segment": {"families": families | {"wants": ["access"]}, "others": {"not": {"segment": "families"}}},
        }
    )
    assert read_offers(offers.to_dict()) == offers
    path = tmp_path_factory.mktemp("offers") / "offers.toml"
    path.write_text(offers.to_toml(), "utf-8", newline="\n")
    assert read_offers(path) == offers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lift": 1.5}, "offer 'card': lift"),
        ({"lift": float("nan")}, "offer 'card': lift"),
        ({"lift": "much"}, "lift is a number"),
        ({"money": -1}, "money=-1"),
        ({"money": True}, "money is a number"),
        ({"hours": "1"}, "hours is a number"),
        ({"window_days": 7.5}, "whole number"),
        ({"window_days": 0}, "window_days = 0"),
        ({"kind": "sell"}, "kind is one that there is"),
        ({"reward": "cash"}, "reward is one that there is"),
        ({"reward": "goods"}, "reward without reward_cost"),
        ({"reward": "goods", "reward_cost": 1}, "reward without perceived_value"),
        ({"reward_cost": 1}, "a reward_cost without a reward"),
        ({"stake": "glory"}, "stake is one that there is"),
        ({"touchpoint": "yes"}, "true or false"),
        ({"customer_benefit": " "}, "a name is text and not blank"),
        ({"chanel": "post"}, "did you mean 'channel'"),
        ({"eligible": {"teir": "gold"}}, "offer 'card', eligible: 'teir'"),
        ({"suitable": "nobody"}, "offer 'card', suitable: segment = 'nobody'"),
        ({"take_up": 2}, "take_up=2"),
    ],
)
def test_what_means_nothing_is_one_clear_error_that_names_the_offer(change, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_offers([CARD | change])
    assert "'card'" in raised.value.given


@pytest.mark.parametrize("missing", ["name", "kind", "channel", "customer_benefit", "lift"])
def test_an_offer_without_what_it_must_have_is_refused(missing):
    """An action that is good for the firm alone cannot be written down."""
    with pytest.raises(ConfigError, match=f"without {missing}"):
        read_offers([{key: value for key, value in CARD.items() if key != missing}])


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"offers": []}, "did you mean 'offer'"),
        ({"offer": {"name": "card"}}, "write \\[\\[offer\\]\\]"),
        ({"offer": ["card"]}, "offer number 1"),
        ({"segment": {"x": 3}}, "segment 'x'"),
        ({"segment": {"x": {"wants": ["cash"]}}}, "'cash' is no reward"),
        ({"segment": {"x": {"wants": "goods"}}}, "list of reward types"),
    ],
)
def test_a_file_of_another_kind_is_one_clear_error(told, message):
    with pytest.raises(ConfigError, match=message):
        read_offers(told)


def test_files_that_cannot_be_read_say_so(tmp_path):
    (tmp_path / "bad.toml").write_text("[[offer]\n", "utf-8")
    for name in ("bad.toml", "none.toml"):
        with pytest.raises(ConfigError, match=f"offers {name}"):
            read_offers(tmp_path / name)


def test_an_offer_in_code_is_the_same_thing():
    action = Action(name="card", kind="thank", channel="post", customer_benefit="is thanked", needs_consent=False)
    offers = OfferStrategy(offers=[Offer(action=action, lift=0.1, eligible=Criteria({"tier": "gold"}))])
    assert read_offers(offers.to_dict()) == offers
    with pytest.raises(ConfigError, match="lift"):
        Offer(action=action, lift=-1)
    assert OfferStrategy().propose.__self__.offers == ()


def test_offers_come_in_through_the_registry_like_any_strategy():
    """What stands under [options.offers] of a program; without anything there, no offers."""
    board = open_registry(installed=False)
    assert board.make("outreach_strategy", "offers", offer=[CARD]) == read_offers([CARD])
    assert board.make("outreach_strategy", "offers").offers == ()
    with pytest.raises(ConfigError, match="did you mean 'offer'"):
        board.make("outreach_strategy", "offers", ofer=[CARD])


def test_no_offers_propose_nothing(shop):
    situation = shop.situation(shop.tables(["a"]))
    assert len(OfferStrategy().propose(situation)) == 0 == len(OfferStrategy().screened(situation))
    assert len(read_offers([CARD | {"lift": 0}]).propose(situation)) == 0
