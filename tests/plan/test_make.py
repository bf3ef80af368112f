"""Making a plan: what it needs, what it refuses, what it remembers."""

import datetime as dt

import attrs
import numpy as np
import pytest

from retention.domain import Action, Consent, Touch
from retention.errors import PlanError
from retention.plan import (
    Budget,
    CheckIn,
    Memory,
    Proposals,
    built_in_policies,
    built_in_strategies,
    make_plan,
    situate,
)
from retention.records import Consents, Touches

RICH = Budget(money=None, hours=None)


@attrs.frozen
class Notebook:
    """A memory for tests."""

    touches: Touches = attrs.field(factory=Touches.none)
    kept: tuple[float, str] | None = None
    consents: Consents = attrs.field(factory=lambda: Consents.of([]))
    waiting: frozenset[str] = frozenset()

    def consents_before(self, day: dt.date) -> Consents:
        return self.consents

    def open_complaints(self, day: dt.date) -> frozenset[str]:
        return self.waiting

    def touches_before(self, day: dt.date) -> Touches:
        return self.touches.before(day)

    def holdout(self) -> tuple[float, str] | None:
        return self.kept

    def last_night(self) -> dt.date | None:
        return None


def _late(shop, ids=("a", "b"), **more):
    return shop.tables(list(ids), overdue=True, at_risk_per_day=1.0, **more)


def test_a_plan_of_an_empty_base_is_empty(shop):
    plan = make_plan(*shop.tables([]), budget=RICH)
    assert len(plan) == 0
    assert (plan.spent_money, plan.spent_hours) == (0.0, 0.0)
    assert len(plan.lead_list()) == 0
    assert plan.fingerprint() == make_plan(*shop.tables([]), budget=RICH).fingerprint()


def test_a_plan_without_strategies_says_so_for_everyone(shop):
    plan = make_plan(*_late(shop), budget=RICH, strategies=())
    assert all("no strategy proposes a contact: silent for 10 days" in reason for reason in plan.reason.tolist())


def test_what_the_journal_knows_of_permissions_and_complaints_counts(shop):
    """A withdrawal in the journal ends a permission on file; a complaint in it is one to answer first."""

    def noted(granted):
        given = Consent(customer_id="a", channel="phone", granted=granted, at=shop.day - dt.timedelta(days=1))
        return Consents.of([given])

    tables, rich = _late(shop, ids=("a",), p_alive=0.9), Budget(0, None)
    on_file = Consents.from_arrays(customer_id=["a"], channel=["phone"])
    for memory, decided in (
        (Notebook(consents=noted(True)), "contact"),
        (Notebook(consents=noted(False)), "none"),
        (Notebook(consents=noted(True), waiting=frozenset({"a"})), "none"),
    ):
        plan = make_plan(*tables, budget=rich, journal=memory, holdout=0, strategies=[CheckIn()])
        assert plan.decision.tolist() == [decided]
    withdrawn = make_plan(
        *tables, budget=rich, journal=Notebook(consents=noted(False)), consents=on_file, holdout=0,
        strategies=[CheckIn()],
    )  # fmt: skip
    assert withdrawn.decision.tolist() == ["none"]


def test_the_journals_contacts_and_the_given_ones_both_count(shop):
    def touched(who):
        return Touches.of([Touch(customer_id=who, at=shop.day - dt.timedelta(days=1), channel="post")])

    plan = make_plan(*_late(shop), budget=RICH, journal=Notebook(touched("a")), touches=touched("b"), holdout=0)
    assert plan.decision.tolist() == ["none", "none"]
    assert set(plan.vetoes.policy.tolist()) >= {"minimum-gap"}
    assert isinstance(Notebook(), Memory)


def test_what_happens_on_the_plans_day_is_not_known_yet(shop):
    today = Touches.of([Touch(customer_id="a", at=shop.day, channel="post")])
    assert make_plan(*_late(shop), budget=RICH, touches=today, holdout=0).decision.tolist() == ["contact", "contact"]
    undated = Touches.from_arrays(customer_id=["a"], at=["NaT"], channel=["post"], kind=["give"])
    assert make_plan(*_late(shop), budget=RICH, touches=undated, holdout=0).decision.tolist() == ["none", "contact"]


def test_a_hold_out_other_than_the_journals_is_refused(shop):
    assert len(make_plan(*_late(shop), budget=RICH, journal=Notebook(kept=(0.1, "retention")))) == 2
    for share, salt in ((0.2, "retention"), (0.1, "shop")):
        with pytest.raises(PlanError, match="the journal uses"):
            make_plan(*_late(shop), budget=RICH, journal=Notebook(kept=(share, salt)))


def test_the_plans_day_is_given_and_is_the_day_of_the_histories(shop):
    base = _late(shop)
    undated = (attrs.evolve(base[0], as_of=None), *base[1:])
    with pytest.raises(PlanError, match="never read from the clock"):
        make_plan(*undated, budget=RICH)
    assert make_plan(*undated, budget=RICH, as_of=shop.day).as_of == shop.day
    with pytest.raises(PlanError, match="the day of its histories"):
        make_plan(*base, budget=RICH, as_of=shop.day + dt.timedelta(days=1))


def test_tables_of_different_customers_are_refused(shop):
    base, other = _late(shop), _late(shop, ids=("a", "c"))
    with pytest.raises(PlanError, match="one base"):
        make_plan(base[0], base[1], other[2], base[3], budget=RICH)


def test_a_customer_who_appears_twice_is_refused(shop):
    with pytest.raises(PlanError, match="appears twice"):
        make_plan(*_late(shop, ids=("a", "a")), budget=RICH)


@pytest.mark.parametrize("name", ["complaints", "do_not_contact"])
def test_one_id_is_not_mistaken_for_a_list_of_letters(shop, name):
    with pytest.raises(PlanError, match=f"{name} lists customer ids"):
        make_plan(*_late(shop), budget=RICH, **{name: "ab"})


def test_ids_may_be_numbers(shop):
    base = _late(shop, ids=("12347", "12348"))
    plan = make_plan(*base, budget=RICH, do_not_contact=[12347], holdout=0)
    assert plan.decision.tolist() == ["none", "contact"]


@attrs.frozen
class Strange:
    """A strategy whose answer is whatever the test says."""

    change: object
    name: str = "strange"

    def propose(self, situation):
        return self.change(CheckIn().propose(situation))


def _raise(proposals):
    raise KeyError("customer 12347")


STRANGE = {
    "raises": _raise,
    "nothing": lambda p: None,
    "a list": lambda p: [p],
    "NaN gain": lambda p: attrs.evolve(p, gain=np.full(len(p), np.nan)),
    "infinite gain": lambda p: attrs.evolve(p, gain=np.full(len(p), np.inf)),
    "negative doubt": lambda p: attrs.evolve(p, gain_sd=-p.gain_sd - 1.0),
    "rows that are no numbers": lambda p: attrs.evolve(p, base_row=np.full(len(p), np.nan)),
    "reasons that are no text": lambda p: attrs.evolve(p, reason=np.zeros(len(p))),
    "gains that are text": lambda p: attrs.evolve(p, gain=np.full(len(p), "much")),
    "other rows": lambda p: attrs.evolve(p, base_row=p.base_row[::-1].copy()),
    "rows outside": lambda p: attrs.evolve(p, base_row=p.base_row + 99),
    "rows before": lambda p: attrs.evolve(p, base_row=p.base_row - 99),
    "unknown action": lambda p: attrs.evolve(p, action=p.action + 9),
    "no action": lambda p: attrs.evolve(p, actions=("call", "mail", "card")),
    "past window": lambda p: attrs.evolve(p, opens=p.opens - np.timedelta64(999, "D")),
    "no window": lambda p: attrs.evolve(p, closes=np.full(len(p), np.datetime64("NaT", "D"))),
    "big words": lambda p: attrs.evolve(p, evidence=np.full(len(p), "proven")),
    "no reason": lambda p: attrs.evolve(p, reason=np.full(len(p), " ")),
}


@pytest.mark.parametrize("how", STRANGE)
def test_a_strategy_that_fails_is_one_error_with_its_name_and_without_personal_data(shop, how):
    with pytest.raises(PlanError, match="the strategy 'strange'") as caught:
        make_plan(*_late(shop), budget=RICH, strategies=[CheckIn(), Strange(STRANGE[how])])
    assert "12347" not in str(caught.value)


def test_strangers_strategies_and_their_actions_are_planned_like_our_own(shop):
    visit = Action(name="visit", kind="give", channel="in person", customer_benefit="x", needs_consent=False, hours=1.0)

    class Visits:
        name = "visits"

        def propose(self, situation) -> Proposals:
            return shop.proposals(situation, [(0, visit, 500.0)])

    plan = make_plan(*_late(shop), budget=Budget(hours=1.0), strategies=[CheckIn(), Visits()], holdout=0)
    assert plan.action.tolist() == ["visit", ""]
    assert visit in plan.actions


def test_the_situation_leaves_out_what_the_plans_day_does_not_know(shop):
    touches = Touches.from_arrays(
        customer_id=["a", "a", "b"],
        at=[shop.day - dt.timedelta(days=1), shop.day, None],
        channel=["post"] * 3,
        kind=["give"] * 3,
    )
    assert situate(*_late(shop), touches=touches).touches.customer_id.tolist() == ["a", "b"]


def test_the_order_of_strategies_and_policies_changes_nothing(shop):
    ids = [f"c{i}" for i in range(60)]
    base = shop.tables_by_chance(ids, 11)
    one, two = (
        make_plan(
            *base,
            budget=Budget(money=9.0, hours=1.0),
            consents=shop.everyone_consents(ids),
            strategies=built_in_strategies()[::step],
            policies=built_in_policies()[::step],
        )
        for step in (1, -1)
    )
    assert len(one.contacts) > 5
    assert one.equals(two)
