"""Policies cannot be got around: not by another policy, not by the order, not from night to night."""

import datetime as dt
from collections import defaultdict
from itertools import pairwise
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.domain import Action, Consent
from retention.plan import Budget, Proposals, Review, built_in_policies, gate, plan_for
from retention.plan.check_policies import check_policies
from retention.plan.policies import (
    ConsentPolicy,
    Deceased,
    DoNotContact,
    FrequencyCap,
    GivesBeforeAsk,
    MinimumGap,
    OpenComplaint,
    QuietHours,
    Saturation,
    UncontrollableCause,
    policies_from,
)
from retention.records import Consents, Touches

ACTIONS = [
    Action(
        name=f"{kind} {channel} {purpose}",
        kind=kind,
        channel=channel,
        purpose=purpose,
        needs_consent=channel != "post",
        customer_benefit="x",
    )
    for kind in ("give", "ask", "thank", "remind", "connect")
    for channel in ("phone", "email", "post")
    for purpose in ("marketing", "survey")
]
ZONES = ["Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu", "nowhere", "", None]

filters = {
    "channel": st.none() | st.sampled_from(["email", ("phone", "post")]),
    "action_kind": st.none() | st.sampled_from(["ask", ("give", "thank")]),
    "purpose": st.none() | st.just("survey"),
}
policies = st.lists(
    st.one_of(
        st.builds(FrequencyCap, max_contacts=st.integers(0, 3), days=st.integers(1, 40), **filters),
        st.builds(MinimumGap, days=st.integers(0, 20), **filters),
        st.builds(GivesBeforeAsk, gives=st.integers(1, 3)),
        st.builds(Saturation, days=st.integers(1, 40), default=st.none() | st.integers(0, 3), **filters),
        st.builds(
            QuietHours,
            quiet_from=st.builds(dt.time, st.integers(13, 23), st.sampled_from([0, 30])),
            quiet_until=st.builds(dt.time, st.integers(0, 12), st.sampled_from([0, 30])),
            closed=st.sets(st.sampled_from(["thursday", "friday", "saturday", "sunday"])).map(tuple),
            holidays=st.lists(st.sampled_from(["2011-12-01", "2011-12-02", "2011-12-05"]), max_size=2),
            time_zone=st.sampled_from([None, "Europe/Berlin", "Pacific/Auckland"]),
            **filters,
        ),
        st.builds(OpenComplaint, **filters),
        st.builds(ConsentPolicy, valid_days=st.none() | st.integers(1, 60)),
        st.sampled_from([DoNotContact(), Deceased(), UncontrollableCause()]),
    ),
    unique_by=lambda policy: policy.name,
    max_size=6,
)


@attrs.frozen
class Fixed:
    """A strategy that proposes what it was given."""

    proposals: Proposals
    name: str = "fixed"

    def propose(self, situation):
        return self.proposals


@st.composite
def cases(draw, shop):
    """A situation full of odd entries, and proposals of every kind."""
    ids = draw(shop.ids(most=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, who, day = int(rng.integers(0, 25)), np.asarray([*ids, "a stranger"]), np.datetime64(shop.day)
    touches = Touches.from_arrays(
        customer_id=rng.choice(who, n),
        at=np.where(rng.random(n) < 0.1, np.datetime64("NaT"), day - rng.integers(1, 45, n)),
        channel=rng.choice(["phone", "email", "EMAIL", "post", ""], n),
        kind=rng.choice(["give", "ask", "thank", "remind", "connect", "newsletter", ""], n),
        direction=rng.choice(["out", "out", "out", "in", "?"], n),
    )
    consents = Consents.from_arrays(
        customer_id=rng.choice(who, 30),
        channel=rng.choice(["phone", "email"], 30),
        purpose=rng.choice(["marketing", "survey"], 30),
        granted=rng.random(30) < 0.8,
        at=np.where(rng.random(30) < 0.2, np.datetime64("NaT"), day - rng.integers(-5, 80, 30)),
    )
    situation = shop.situation(
        shop.tables(ids),
        touches=touches,
        consents=None if rng.random() < 0.1 else consents,
        open_complaints=frozenset(rng.choice(who, 2).tolist()),
        do_not_contact=frozenset(rng.choice(who, 1).tolist()),
        causes=dict(zip(rng.choice(who, 3).tolist(), ["moved", "died in 2010", "price"], strict=True)),
        attributes={
            "time_zone": {one: ZONES[int(rng.integers(len(ZONES)))] for one in ids},
            "contact_limit": [[0, 1, 2.5, 9, None, -1, "x"][int(rng.integers(7))] for _ in ids],
        },
    )
    offers = [(int(row), ACTIONS[int(rng.integers(len(ACTIONS)))], 1.0 + rng.random()) for row in range(len(ids))] * 2
    proposals = shop.proposals(situation, offers)
    opens = proposals.opens + rng.integers(0, 4, len(offers))
    return situation, attrs.evolve(proposals, opens=opens, closes=opens + rng.integers(0, 4, len(offers)))


def _same(one, two):
    return all(
        np.array_equal(getattr(one, f.name), getattr(two, f.name), equal_nan=f.name != "allowed")
        for f in attrs.fields(type(one))
    )


@given(data=st.data(), some=policies, another=policies)
@settings(max_examples=150)
def test_another_policy_never_allows_more_nor_longer(shop, data, some, another):
    situation, proposals = data.draw(cases(shop))
    both = {policy.name: policy for policy in [*another, *some]}
    few, _, _ = gate(some, proposals, situation)
    more, vetoes, notes = gate(list(both.values()), proposals, situation)
    assert not (more.allowed & ~few.allowed).any()
    kept = more.allowed & ~np.isnat(few.not_before)
    assert (more.not_before[kept] >= few.not_before[kept]).all()
    assert (more.not_after[kept] <= few.not_after[kept]).all()
    assert notes == ()
    refused = {(w, a) for w, a in zip(vetoes.customer_id.tolist(), vetoes.action.tolist(), strict=True)}
    names = proposals.of_actions("name")
    for at in np.flatnonzero(~more.allowed):
        assert (proposals.customer_id[at], names[at]) in refused
    assert all(reason.strip() for reason in vetoes.reason.tolist())


@given(data=st.data(), some=policies, shuffle=st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_the_order_of_the_policies_and_asking_twice_change_nothing(shop, data, some, shuffle):
    situation, proposals = data.draw(cases(shop))
    mixed = list(some)
    shuffle.shuffle(mixed)
    one, vetoes, _ = gate(some, proposals, situation)
    for again in (some, mixed):
        two, same, _ = gate(again, proposals, situation)
        assert _same(one, two)
        assert vetoes.equals(same)


@given(data=st.data(), some=policies)
@settings(max_examples=150)
def test_a_judge_who_reads_the_rules_alone_finds_nothing_against_a_plan(shop, data, some):
    situation, proposals = data.draw(cases(shop))
    plan = plan_for(situation, budget=Budget(None, None), strategies=[Fixed(proposals)], policies=some, holdout=0.0)
    assert check_policies(plan, situation, some) == []


@given(data=st.data(), some=policies)
@settings(max_examples=100)
def test_whoever_the_judge_would_let_pass_is_not_refused(shop, data, some):
    """The other way round: planned without guards, the judge's count of breaches is the policy's count of vetoes."""
    situation, proposals = data.draw(cases(shop))
    timeless = [policy for policy in some if not isinstance(policy, QuietHours)]
    plan = plan_for(situation, budget=Budget(None, None), strategies=[Fixed(proposals)], policies=[], holdout=0.0)
    sent = {(w, a) for w, a in zip(plan.contacts.customer_id.tolist(), plan.contacts.action.tolist(), strict=True)}
    for policy in timeless:
        review = policy.review(proposals, situation)
        names = proposals.of_actions("name")
        pairs = {(w, a) for w, a in zip(proposals.customer_id[~review.allowed], names[~review.allowed], strict=True)}
        broken = len(pairs & sent)
        said = [f"{policy.name}: {broken} contacts break it"] if broken else []
        assert check_policies(plan, situation, [policy]) == said


def _leaky(right, **wrong):
    """A policy that says it is the right one and is not."""
    return attrs.evolve(right, name=right.name, **wrong)


@attrs.frozen
class FixedOffset(QuietHours):
    """Wrong on purpose: her zone's offset of January, all year."""

    def review(self, proposals, situation):
        january = dt.datetime(2011, 1, 1, tzinfo=dt.UTC).astimezone(ZoneInfo(self.time_zone)).utcoffset()
        start = proposals.opens.astype("M8[m]") + np.timedelta64(8, "h") - np.timedelta64(january)
        return Review(
            allowed=np.ones(len(proposals), dtype=bool),
            reason=np.full(len(proposals), ""),
            not_before=start.astype("M8[m]"),
            not_after=(start + np.timedelta64(12 * 60 - 1, "m")).astype("M8[m]"),
        )


SUMMER = dt.date(2011, 7, 1)
BERLIN = QuietHours(time_zone="Europe/Berlin", closed=[])
GIFT, ASK = ACTIONS[4], ACTIONS[10]  # by post: no consent is needed
LEAKS = {
    "one too many": (FrequencyCap(max_contacts=2), {"max_contacts": 3}, GIFT, [3, 9]),
    "a day too short": (FrequencyCap(max_contacts=2, days=10), {"days": 9}, GIFT, [3, 9]),
    "a gap a day too short": (MinimumGap(days=7), {"days": 6}, GIFT, [6]),
    "looks at another channel": (FrequencyCap(max_contacts=1, channel="post"), {"channel": "email"}, GIFT, [6]),
    "looks at another kind": (MinimumGap(action_kind="give"), {"action_kind": "ask"}, GIFT, [6]),
    "forgets a purpose": (FrequencyCap(max_contacts=0, purpose="marketing"), {"purpose": "survey"}, GIFT, []),
    "one give is enough": (GivesBeforeAsk(), {"gives": 1}, ASK, [6]),
    "another's limit": (Saturation(limits={"a": 1}), {"limits": {"a": 2}}, GIFT, [6]),
    "a lenient default": (Saturation(), {"default": 9}, GIFT, []),
    "another's clock": (BERLIN, {"time_zone": "Asia/Tokyo"}, GIFT, []),
    "an hour later": (BERLIN, {"quiet_from": "21:00"}, GIFT, []),
    "an hour earlier": (BERLIN, {"quiet_until": "07:00"}, GIFT, []),
    "no holidays": (QuietHours(time_zone="UTC", holidays=[SUMMER]), {"holidays": []}, GIFT, []),
    "no weekdays": (QuietHours(time_zone="UTC", closed=["friday"]), {"closed": []}, GIFT, []),
    "blocks nothing": (OpenComplaint(), {"blocks": []}, GIFT, []),
    "old permissions": (ConsentPolicy(valid_days=30), {"valid_days": 60}, ACTIONS[0], []),
    "knows no death": (Deceased(), {"causes": ["moved"]}, GIFT, []),
}


def _plan_of(shop, action, ago, policies):
    situation = shop.situation(
        shop.tables(["a"], as_of=SUMMER),
        touches=Touches.from_arrays(
            customer_id=["a"] * len(ago),
            at=[SUMMER - dt.timedelta(days=d) for d in ago],
            channel=["post"] * len(ago),
            kind=["give"] * len(ago),
        ),
        consents=Consents.of([Consent(customer_id="a", channel="phone", at=SUMMER - dt.timedelta(days=40))]),
        open_complaints=frozenset("a"),
        causes={"a": "deceased"},
    )
    offers = shop.proposals(situation, [(0, action, 1.0)])
    return (
        plan_for(situation, budget=Budget(None, None), strategies=[Fixed(offers)], policies=policies, holdout=0.0),
        situation,
    )


@pytest.mark.parametrize("leak", LEAKS)
def test_the_judge_finds_every_leak(shop, leak):
    right, wrong, action, ago = LEAKS[leak]
    plan, situation = _plan_of(shop, action, ago, [_leaky(right, **wrong)])
    assert len(plan.contacts) == 1, "a leak that lets nothing through would prove nothing"
    assert check_policies(plan, situation, [right]) == [f"{right.name}: 1 contacts break it"]
    kept, situation = _plan_of(shop, action, ago, [right])
    assert check_policies(kept, situation, [right]) == []


def test_the_judge_finds_a_clock_without_summer_time(shop):
    plan, situation = _plan_of(shop, GIFT, [], [FixedOffset(time_zone="Europe/Berlin", closed=[])])
    assert len(plan.contacts) == 1
    assert check_policies(plan, situation, [BERLIN]) == ["quiet-hours: 1 contacts break it"]
    plan, situation = _plan_of(shop, GIFT, [], [])
    assert check_policies(plan, situation, [BERLIN]) == ["quiet-hours: 1 contacts break it"], "no hours at all"


def test_the_judge_says_which_policy_it_cannot_judge(shop):
    plan, situation = _plan_of(shop, GIFT, [], [])
    stranger = FixedOffset(time_zone="UTC", name="stranger's")
    assert check_policies(plan, situation, [stranger]) == [
        "stranger's: not a policy of this library, so nobody has judged it"
    ]


RULES = """
[[policy]]
kind = "frequency-cap"
max_contacts = 3
days = 20

[[policy]]
kind = "frequency-cap"
channel = "email"
max_contacts = 1
days = 6

[[policy]]
kind = "frequency-cap"
action_kind = ["ask", "remind"]
max_contacts = 2
days = 30

[[policy]]
kind = "minimum-gap"
days = 2

[[policy]]
kind = "minimum-gap"
channel = "phone"
days = 9

[[policy]]
kind = "gives-before-ask"

[[policy]]
kind = "saturation"
days = 20
default = 2

[[policy]]
kind = "quiet-hours"
channel = ["phone", "email"]
time_zone = "Europe/Berlin"
closed = ["saturday", "sunday"]
"""


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_over_fifty_nights_no_rule_is_broken_on_the_days_on_which_she_was_contacted(shop, seed):
    """Contacts are carried out on a day of their window; one that is planned and not yet done has no date on file."""
    _fifty_nights(shop, seed)


def _fifty_nights(shop, seed, rules=None, nights=50):
    rng, ids = np.random.default_rng(seed), [f"c{i}" for i in range(8)]
    rules = policies_from(RULES) if rules is None else rules
    limits = {who: int(rng.integers(1, 5)) for who in ids[:-2]}
    done: list[tuple[str, dt.date, Action]] = []
    consents = Consents.of(
        [
            Consent(customer_id=who, channel=c, purpose=p)
            for who in ids
            for c in ("phone", "email")
            for p in ("marketing", "survey")
        ]
    )
    for night in range(nights):
        day = shop.day + dt.timedelta(days=night)
        touches = Touches.from_arrays(
            customer_id=[who for who, _, _ in done],
            at=[np.datetime64(at if at < day else "NaT", "D") for _, at, _ in done],
            channel=[action.channel for _, _, action in done],
            kind=[action.kind for _, _, action in done],
        )
        situation = shop.situation(
            shop.tables(ids, as_of=day), touches=touches, consents=consents, attributes={"contact_limit": limits}
        )
        wishes = [(row, ACTIONS[int(rng.integers(len(ACTIONS)))], float(rng.random() + 1)) for row in range(8)] * 2
        offers = shop.proposals(situation, wishes)
        opens = offers.opens + rng.integers(0, 3, len(offers))
        offers = attrs.evolve(offers, opens=opens, closes=opens + rng.integers(0, 4, len(offers)))
        plan = plan_for(situation, budget=Budget(None, None), strategies=[Fixed(offers)], policies=rules, holdout=0.0)
        if night % 10 == 0:
            assert check_policies(plan, situation, rules) == []
        for row in (plan.contacts.row(i) for i in range(len(plan.contacts))):
            action = next(a for a in ACTIONS if a.name == row["action"])
            start = row["not_before"]
            on = (
                row["opens"]
                if start is None
                else start.replace(tzinfo=dt.UTC).astimezone(ZoneInfo("Europe/Berlin")).date()
            )
            assert row["opens"] <= on <= row["closes"]
            done.append((row["customer_id"], on, action))
    hers = defaultdict(list)
    for who, at, action in sorted(done, key=lambda one: one[1]):
        hers[who].append((at, action))
    for who, story in hers.items():
        limit = limits.get(who, 2)
        _no_more_than(3, 20, [at for at, _ in story])
        _no_more_than(limit, 20, [at for at, _ in story])
        _no_more_than(1, 6, [at for at, a in story if a.channel == "email"])
        _no_more_than(2, 30, [at for at, a in story if a.kind in ("ask", "remind")])
        assert all((two - one).days >= 2 for (one, _), (two, _) in pairwise(story))
        calls = [at for at, a in story if a.channel == "phone"]
        assert all((two - one).days >= 9 for one, two in pairwise(calls))
        gives = 0
        for at, action in story:
            assert action.channel == "post" or at.weekday() < 5
            if action.kind == "ask":
                assert gives >= 2
                gives = 0
            gives += action.kind in ("give", "thank", "connect")
    return done


def _no_more_than(most, days, dates):
    for start in dates:
        assert sum(1 for at in dates if 0 <= (at - start).days < days) <= most


def test_fifty_nights_reach_every_limit(shop):
    """The test above would prove nothing if nobody were contacted, and must fail where a rule is missing."""
    done = _fifty_nights(shop, 7)
    assert len(done) > 40
    assert {action.kind for _, _, action in done} == {"give", "ask", "thank", "remind", "connect"}
    rules = policies_from(RULES)
    for name in ("minimum-gap", "gives-before-ask", "saturation", "frequency-cap-email", "quiet-hours-phone-email"):
        assert name in {policy.name for policy in rules}
        fewer = [policy for policy in rules if policy.name != name]
        assert any(_breaks(shop, seed, fewer) for seed in range(5)), name


def _breaks(shop, seed, rules):
    try:
        _fifty_nights(shop, seed, rules)
    except AssertionError:
        return True
    return False


def test_a_policy_that_raises_beside_policies_as_data_lets_nothing_through(shop):
    @attrs.frozen
    class Broken:
        name: str = "broken"

        def review(self, proposals, situation):
            raise KeyError("12347")

    situation = shop.situation(shop.tables(["a"]))
    offers = shop.proposals(situation, [(0, GIFT, 1.0)])
    allowed, _, _ = gate(policies_from([]), offers, situation)
    assert allowed.allowed.all()
    refused, vetoes, notes = gate([*policies_from([]), Broken()], offers, situation)
    assert not refused.allowed.any()
    assert "12347" not in "".join([*vetoes.reason.tolist(), *notes])


def test_every_veto_of_the_built_in_policies_is_counted(shop):
    ids = [f"c{i}" for i in range(5)]
    situation = shop.situation(shop.tables(ids), do_not_contact=frozenset(ids[:2]))
    offers = shop.proposals(situation, [(row, GIFT, 1.0) for row in range(5)])
    plan = plan_for(situation, budget=Budget(None, None), strategies=[Fixed(offers)], policies=built_in_policies())
    assert plan.vetoes_by_policy().customer("do-not-contact")["vetoes"] == 2
