"""A plan that goes by what was measured, and says so."""

import attrs
import numpy as np
import pytest

from retention.domain import Action
from retention.errors import ConfigError
from retention.plan import Assumption, Budget, Proposals, Situation, examples, make_plan
from retention.plan.responses import Response, Responses

GIVE = Action(name="gift", kind="give", channel="post", money=1.0, customer_benefit="a gift", needs_consent=False)
ASK = Action(name="offer", kind="ask", channel="post", money=1.0, customer_benefit="five off", needs_consent=False)


@attrs.frozen
class Both:
    """Proposes a gift and an offer to everyone; assumed, the offer brings more."""

    name: str = "both"

    def propose(self, situation):
        n = len(situation)
        today = np.full(2 * n, np.datetime64(situation.as_of, "D"))
        gain = np.tile([10.0, 15.0], n)
        return Proposals(
            customer_id=np.repeat(situation.customer_id, 2),
            base_row=np.repeat(np.arange(n), 2),
            action=np.tile([0, 1], n),
            gain=gain,
            gain_sd=gain / 2,
            opens=today,
            closes=today,
            strategy=np.full(2 * n, self.name),
            reason=np.full(2 * n, "long overdue"),
            evidence=np.full(2 * n, "assumption"),
            actions=(GIVE, ASK),
            assumptions=tuple(
                Assumption(strategy=self.name, name=a.name, value=0.1, spread=0.05, meaning="share kept")
                for a in (GIVE, ASK)
            ),
        )


def response(action, multiplier, segment="", **others):
    told = {
        "strategy": "both",
        "action": action,
        "segment": segment,
        "contacts": 1240,
        "held_out": 140,
        "expected": 10.0,
        "seen": multiplier,
        "seen_error": 0.1,
        "multiplier": multiplier,
        "sd": 0.1,
        "low": multiplier - 0.2,
        "high": multiplier + 0.2,
        "share": 0.9,
        "pooled": False,
        "alike": 0.1,
        "evidence": "measured",
    }
    return Response(**told | others)


@pytest.fixture
def situation():
    histories, valuation, outlook, tiering = examples.small_base()
    return Situation(as_of=histories.as_of, histories=histories, valuation=valuation, outlook=outlook, tiering=tiering)


def test_gains_doubts_and_words_are_what_was_measured(situation):
    proposals = Both().propose(situation)
    after = Responses.of([response("gift", 0.5)]).apply(proposals, situation)
    gifts = proposals.action == 0
    assert after.gain[gifts].tolist() == [5.0] * 3
    assert after.gain_sd[gifts] == pytest.approx([1.0] * 3)
    assert set(after.evidence[gifts]) == {"measured"}
    assert after.reason[0] == "long overdue; measured over 1,240 contacts and 140 held out: 0.50 times what was assumed"
    assert after.gain[~gifts].tolist() == proposals.gain[~gifts].tolist()
    assert set(after.evidence[~gifts]) == {"assumption"}
    assert set(after.reason[~gifts]) == {"long overdue"}
    assert [a.name for a in after.assumptions] == ["offer"]


def test_her_tier_counts_and_any_other_tier_has_what_is_common(situation):
    learned = Responses.of([response("gift", 2.0, "gold"), response("gift", 0.7)])
    after = learned.apply(Both().propose(situation), situation)
    tiers = situation.tiering.tier[after.base_row]
    gifts = after.action == 0
    assert after.gain[gifts & (tiers == "gold")].tolist() == [20.0]
    assert after.gain[gifts & (tiers != "gold")].tolist() == pytest.approx([7.0, 7.0])


def test_few_contacts_are_told_as_an_assumption_yet(situation):
    weak = response("gift", 0.9, contacts=43, held_out=5, evidence="assumption", share=0.2)
    after = Responses.of([weak]).apply(Both().propose(situation), situation)
    assert "an assumption yet, drawn to 0.90 times by 43 contacts and 5 held out" in after.reason[0]
    assert len(after.assumptions) == 2
    none = response("gift", 1.0, contacts=0, held_out=0, evidence="assumption", share=0.0)
    assert "no contact measured yet" in Responses.of([none]).apply(Both().propose(situation), situation).reason[0]


def test_a_pooled_answer_names_the_contacts_of_all_tiers(situation):
    learned = Responses.of(
        [response("gift", 0.8, "gold", contacts=10, pooled=True), response("gift", 0.8, contacts=900, pooled=True)]
    )
    assert all("over 900 contacts" in why for why in learned.apply(Both().propose(situation), situation).reason[::2])


def test_a_plan_gives_where_giving_was_measured_to_bring_more():
    """Assumed, the ask wins; measured, the gift: the plan changes and says that its gains are measured."""
    base, how = examples.small_base(), {"budget": Budget(money=None, hours=None), "strategies": [Both()], "holdout": 0}
    assert set(make_plan(*base, **how).action) == {"offer"}
    learned = Responses.of([response("gift", 1.2), response("offer", 0.1)])
    plan = make_plan(*base, responses=learned, **how)
    assert set(plan.action) == {"gift"}
    assert set(plan.evidence) == {"measured"}


def test_what_harms_or_does_nothing_is_not_done_and_the_plan_says_why():
    base, how = examples.small_base(), {"budget": Budget(money=None, hours=None), "strategies": [Both()], "holdout": 0}
    learned = Responses.of([response("gift", 0.0), response("offer", -0.5)])
    plan = make_plan(*base, responses=learned, **how)
    assert set(plan.decision) == {"none"}
    assert all("not worth its cost" in why for why in plan.reason)
    assert "measured" in plan.reason[0]


def test_nothing_learned_changes_nothing(situation):
    proposals = Both().propose(situation)
    assert Responses.of([]).apply(proposals, situation) is proposals
    assert len(Responses.of([response("gift", 1.0)]).apply(Proposals.none(), situation)) == 0
    stranger = Responses.of([response("gift", 0.1, strategy="another")])
    assert stranger.apply(proposals, situation).equals(proposals)


def test_offers_by_tier_stand_beside_the_one_for_all():
    """Gold likes gifts, bronze offers, and nobody in silver is worth a contact; for all together it is the gift."""
    learned = Responses.of(
        [
            response("gift", 2.0, "gold"),
            response("offer", 0.1, "gold"),
            response("gift", 0.2, "bronze"),
            response("offer", 0.5, "bronze"),
            response("gift", 0.0, "silver"),
            response("offer", -0.3, "silver"),
            response("gift", 0.7),
            response("unknown", 9.0, "gold"),
        ]
    )
    offers = learned.offers([GIVE, ASK])
    assert [(r["segment"], r["action"], r["one_for_all"]) for r in map(offers.row, range(3))] == [
        ("gold", "gift", "gift"),
        ("bronze", "offer", "gift"),
        ("silver", "", "gift"),
    ]
    assert offers.net.tolist() == pytest.approx([19.0, 4.0, 0.0])
    assert offers.one_net.tolist() == pytest.approx([19.0, 1.0, -1.0])
    assert offers.chance.tolist() == pytest.approx([0.0, 0.9831, 0.8413], abs=1e-4)  # 3 and 1 over sd 1.414 and 1
    assert len(Responses.of([]).offers([GIVE])) == 0


def test_it_shows_itself():
    learned = Responses.of([response("<b>gift</b>", 0.5, "gold"), response("<b>gift</b>", 0.5)], window_days=60)
    assert repr(learned).startswith("<Responses: 1 actions, 1 of them measured")
    assert "<b>gift" not in learned._repr_html_()
    assert learned.plot().get_xlabel() == "gain as a multiple of what was assumed"
    assert learned.row(0).segment == "gold"
    assert Responses.from_dict(learned.to_dict()).equals(learned)
    with pytest.raises(ConfigError, match="version 7"):
        Responses.from_dict(learned.to_dict() | {"version": 7})
