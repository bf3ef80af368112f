"""A plan as its reader meets it: the lead list, the explanation, the summary, the picture, the file."""

import csv

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.domain import Consent
from retention.errors import RetentionError
from retention.plan import Budget, CheckIn, make_plan
from retention.records import Consents

RICH = Budget(money=None, hours=None)


@pytest.fixture
def plan(shop):
    ids = ["low", "high", "stop", "dead"]
    base = shop.tables(
        ids,
        overdue=[True, True, True, False],
        at_risk_per_day=[0.5, 5.0, 0.5, 0.0],
        currency="EUR",
        p_alive=[1, 1, 1, 0.0],
    )
    consents = Consents.of([Consent(customer_id="high", channel="phone")])
    return make_plan(
        *base, budget=RICH, strategies=[CheckIn()], consents=consents, do_not_contact=["stop"], holdout=0.0, seed=1
    )


def test_the_lead_list_has_the_best_first_each_with_why_what_how_much_and_the_consent(plan):
    leads = plan.lead_list()
    assert leads.customer_id.tolist() == ["high", "low"]
    assert leads.action.tolist() == ["check-in call", "check-in card"]
    assert leads.consent.tolist() == ["granted", "not needed"]
    # Lift times margin at risk a day times a year: 10 % of 5 and 5 % of 0.5.
    assert leads.amount.tolist() == pytest.approx([0.10 * 5 * 365, 0.05 * 0.5 * 365])
    assert leads.evidence.tolist() == ["assumption", "assumption"]
    assert all("silent for 10" in why for why in leads.why.tolist())


@given(data=st.data())
def test_no_lead_is_without_reason_and_consent(data, shop):
    ids = data.draw(shop.ids())
    consents = data.draw(st.sampled_from([None, shop.everyone_consents(ids)]))
    leads = make_plan(
        *shop.tables_by_chance(ids, data.draw(st.integers(0, 999))), budget=RICH, consents=consents
    ).lead_list()
    assert all(why.strip() for why in leads.why.tolist())
    assert set(leads.consent.tolist()) <= {"granted", "not needed"}


def test_why_tells_the_whole_story(plan):
    chosen, stopped, nobody = plan.why("high"), plan.why("stop"), plan.why("dead")
    assert (chosen.decision, chosen.action) == ("contact", "check-in call")
    assert {f"{p['action']}: {p['fate']}" for p in (chosen.considered[i] for i in range(3))} == {
        "check-in call: chosen",
        "check-in e-mail: vetoed",
        "check-in card: passed over",
    }
    assert "refused by consent: check-in e-mail" in str(chosen)
    assert set(stopped.vetoes.policy.tolist()) == {"consent", "do-not-contact"}
    assert "refused by consent" in stopped.reason
    assert "do-not-contact list" in stopped.reason
    assert len(nobody.considered) == 0
    assert "no strategy proposes a contact" in str(nobody)
    with pytest.raises(RetentionError, match="no row for the customer_id"):
        plan.why("stranger")


def test_why_says_that_the_budget_stopped_it_and_what_was_left(shop):
    base = shop.tables(["a", "b"], overdue=True, at_risk_per_day=[1.0, 2.0])
    plan = make_plan(*base, budget=Budget(money=2.0, hours=1.0), strategies=[CheckIn()], holdout=0.0)
    assert plan.decision.tolist() == ["none", "contact"]
    assert plan.why("a").stopped_by_budget
    assert "no room in the budgets" in plan.why("a").reason
    assert "0.50 money and 0.95 hours left" in plan.why("a").reason
    assert not plan.why("b").stopped_by_budget


def test_a_contact_that_costs_more_than_it_brings_is_not_made_and_the_reason_says_so(shop):
    base = shop.tables(["a"], overdue=True, at_risk_per_day=0.01)
    plan = make_plan(*base, budget=RICH, strategies=[CheckIn()], holdout=0.0)
    assert plan.decision.tolist() == ["none"]
    assert plan.reason[0].startswith(
        "not worth its cost: a check-in card is expected to bring 0.18 for 1.50 and 0.05 hours"
    )


def test_vetoes_are_counted_by_policy(plan):
    counts = plan.vetoes_by_policy()
    assert counts.policy.tolist() == ["consent", "do-not-contact"]
    # Call and e-mail of "low" and "stop", e-mail of "high"; all three of "stop".
    assert counts.vetoes.tolist() == [5, 3]
    assert counts.customers.tolist() == [3, 1]


def test_the_summary_adds_up(plan):
    text = "\n".join(plan.summary)
    assert "2 contacts, 0 held out, 2 left alone" in text
    assert f"{plan.spent_money:,.2f} EUR of no limit" in text
    assert f"{plan.contacts.net.sum():,.2f} EUR" in text


def test_the_fingerprint_changes_with_any_cell_and_with_nothing_else(plan):
    assert plan.fingerprint() == attrs.evolve(plan, reason=plan.reason.astype("<U999")).fingerprint()
    for name, values in plan.columns().items():
        other = values.copy()
        other[0] = "other" if values.dtype.kind == "U" else values[1] + 1 if values.dtype.kind == "f" else "2000-01-01"
        assert attrs.evolve(plan, **{name: other}).fingerprint() != plan.fingerprint()


def test_ids_that_are_markup_are_escaped(shop):
    ids = list(shop.nasty)
    plan = make_plan(*shop.tables(ids, overdue=True, at_risk_per_day=1.0), budget=RICH, holdout=0.0)
    assert len(plan.contacts) == len(ids)
    for shown in (
        plan._repr_html_(),
        plan.lead_list()._repr_html_(),
        plan.why("<script>alert(1)</script>")._repr_html_(),
    ):
        assert "<script>" not in shown
    assert "&lt;script&gt;" in plan.why("<script>alert(1)</script>")._repr_html_()


def test_the_picture_ends_at_the_sum_of_the_net_gains(plan):
    pytest.importorskip("matplotlib")
    (line,) = plan.plot().lines
    assert line.get_ydata()[-1] == pytest.approx(plan.contacts.net.sum())


def test_the_csv_is_the_same_bytes_each_time_and_holds_no_formula(shop, tmp_path):
    pytest.importorskip("retention.frames.export")
    ids = list(shop.nasty)
    made = [make_plan(*shop.tables_by_chance(ids, 1), budget=RICH, seed=2) for _ in range(2)]
    for number, one in enumerate(made):
        one.to_csv(tmp_path / f"plan{number}.csv")
        one.lead_list().to_csv(tmp_path / f"leads{number}.csv")
    assert (tmp_path / "plan0.csv").read_bytes() == (tmp_path / "plan1.csv").read_bytes()
    assert (tmp_path / "leads0.csv").read_bytes() == (tmp_path / "leads1.csv").read_bytes()
    with open(tmp_path / "plan0.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert len(rows) == len(ids) + 1
    assert not any(cell.startswith(("=", "@", "\t", "\r")) for row in rows for cell in row)


def test_a_plan_is_a_table_like_any_other(plan):
    assert plan.customer("high")["decision"] == "contact"
    assert len(plan[plan.decision == "none"]) == 2
    assert np.array_equal(plan["customer_id"], plan.customer_id)
