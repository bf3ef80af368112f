"""K9: no save money for whom nobody can keep, a handover instead, and the dead are left in peace."""

import datetime as dt

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import retention as rt
from retention.plan import (
    ACTIONS,
    Budget,
    Deceased,
    Handover,
    UncontrollableCause,
    built_in_policies,
    check,
    plan_for,
)
from retention.records import Contracts, read_causes
from retention.timing import DECEASED, UNCONTROLLABLE

CAUSES = ("Deceased", "died ", "deceased 2011", "customer: died", "moved", "Job Transfer", "price", "service", "")


@st.composite
def leaving(draw, shop_situations):
    situation = draw(shop_situations)
    ids = situation.customer_id.tolist()
    causes = {who: draw(st.sampled_from(CAUSES)) for who in ids if draw(st.booleans())}
    return attrs.evolve(situation, causes=causes)


def test_nothing_is_spent_to_save_the_uncontrollable_and_nobody_writes_to_the_dead(shop):
    """A property over situations made by chance, with consent for everything and budgets without end."""
    seen = set()

    @given(situation=leaving(shop.situations()), seed=st.integers(0, 5))
    def holds(situation, seed):
        ids = situation.customer_id.tolist()
        situation = attrs.evolve(
            situation, consents=shop.everyone_consents(ids), touches=situation.touches[:0], open_complaints=frozenset()
        )
        plan = plan_for(situation, budget=Budget(None, None), holdout=0.0, seed=seed)
        assert check(plan, situation) == []
        for row in (plan.row(i) for i in range(len(plan))):
            cause = situation.causes.get(row["customer_id"], "").strip().casefold()
            if any(word in cause for word in DECEASED):
                assert row["decision"] == "none"
            elif cause in UNCONTROLLABLE:
                assert row["decision"] == "none" or row["kind"] == "connect"
            else:
                assert row["kind"] != "connect"
            seen.add((cause, row["kind"]))

    holds()
    assert {("moved", "connect"), ("job transfer", "connect")} <= seen, "otherwise nothing was tested"
    assert any(kind in ("give", "ask", "thank") for cause, kind in seen if cause in ("price", "service", ""))


def test_without_the_two_policies_the_check_finds_what_went_wrong(shop):
    tables = shop.tables(["a", "b", "c"], overdue=True, at_risk_per_day=2.0)
    situation = shop.situation(
        tables, consents=shop.everyone_consents(["a", "b", "c"]), causes={"a": "deceased", "b": "moved"}
    )
    careless = [p for p in built_in_policies() if not isinstance(p, Deceased | UncontrollableCause)]
    plan = plan_for(situation, budget=Budget(None, None), holdout=0.0, policies=careless)
    wrong = check(plan, situation)
    assert any(line.startswith("deceased") for line in wrong)
    assert any("without the built-in policies: deceased, uncontrollable-cause" in note for note in plan.notes)
    careful = plan_for(situation, budget=Budget(None, None), holdout=0.0)
    assert check(careful, situation) == []
    assert careful.decision.tolist() == ["none", "contact", "contact"]
    assert careful.kind.tolist()[1] == "connect"
    assert "moved" in careful.reason[1]
    assert "deceased (she has died)" in careful.reason[0]


def test_a_handover_is_proposed_to_who_leaves_for_such_a_cause_and_to_nobody_else(shop):
    situation = shop.situation(
        shop.tables(["a", "b", "c", "d"]), causes={"a": "MOVED", "b": "price", "c": "died", "stranger": "moved"}
    )
    proposals = Handover().propose(situation)
    assert set(proposals.customer_id.tolist()) == {"a"}
    assert {proposals.actions[i].kind for i in proposals.action} == {"connect"}
    assert len(Handover(causes=("price",)).propose(situation)) == 2


def test_every_action_still_says_what_is_in_it_for_her():
    assert {a.kind for a in ACTIONS} == {"give", "ask", "thank", "remind", "connect"}
    assert all(a.customer_benefit for a in ACTIONS)


def test_causes_come_from_contracts_files_and_mappings(shop, tmp_path):
    contracts = Contracts.from_arrays(
        customer_id=["a", "a", "b", "c"], start=["2010-01-01", "2011-01-01", "2010-01-01", "2010-01-01"],
        end=["2010-12-31", None, "2011-06-01", "2011-06-01"], cause=["price", "", "moved", ""], as_of="2011-12-01",
    )  # fmt: skip
    assert contracts.causes() == {"b": "moved"}, "a is back, and nobody knows why c left"
    path = tmp_path / "why.csv"
    path.write_text("Customer,Reason\nb,moved\nc,\nb,deceased\n")
    assert read_causes(path) == {"b": "deceased"}
    histories, valuation, outlook, tiering = shop.tables(["a", "b", "c"])
    for causes in (contracts, path, {"b": "moved"}):
        plan = rt.make_plan(
            histories, valuation, outlook, tiering, budget=rt.Budget(money=10, hours=1), causes=causes, holdout=0
        )
        assert plan.decision.tolist()[1] == ("none" if causes is path else "contact")


def test_causes_of_strangers_are_counted_in_the_notes(shop):
    histories, valuation, outlook, tiering = shop.tables(["a"])
    plan = rt.make_plan(
        histories, valuation, outlook, tiering, budget=rt.Budget(money=1, hours=1), causes={"zoe": "moved"}
    )
    assert any("causes of leaving are of nobody in the base" in note for note in plan.notes)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_base_without_causes_is_left_as_it_was(shop, rows):
    situation = shop.situation(shop.tables(["a"] * rows))
    assert situation.leaving(UNCONTROLLABLE).tolist() == [False] * rows
    assert len(Handover().propose(situation)) == 0
    assert np.all(UncontrollableCause().review(Handover().propose(situation), situation).allowed)


def test_a_plan_knows_nothing_of_causes_of_later_days(shop):
    histories, valuation, outlook, tiering = shop.tables(["a"], overdue=True, at_risk_per_day=2.0)
    later = shop.day + dt.timedelta(days=20)
    contracts = Contracts.from_arrays(
        customer_id=["a"], start=["2009-01-01"], end=[later], cause=["deceased"], as_of=shop.day + dt.timedelta(days=30)
    )
    plan = rt.make_plan(
        histories, valuation, outlook, tiering, budget=rt.Budget(money=10, hours=1), causes=contracts, holdout=0
    )
    assert plan.decision.tolist() == ["contact"]
