"""Where the effort went, whom it missed, and what is left net: counted by hand and to the cent."""

import datetime as dt
from decimal import Decimal

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retention as rt
from retention.domain import Action, Outcome, Tier, Touch
from retention.errors import ConfigError
from retention.histories import Histories
from retention.journal import Journal
from retention.plan import Budget, examples, make_plan
from retention.proof import adherence_by_action, coverage, effort_split, programme_statement, untouched
from retention.proof.statement import FORGOTTEN
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog
from retention.tiers.tiering import Tiering
from retention.value import ServingCosts, net_statement

DAY = dt.date(2011, 1, 10)


def day(n):
    return DAY + dt.timedelta(days=n)


def touch(who, n=1, channel="phone", kind="give", direction="out"):
    return Touch(customer_id=who, at=day(n), channel=channel, kind=kind, direction=direction)


@pytest.fixture
def told(journal, plan_of):
    """Two nights: a, b, c then d to be called; a done, b called off, c and d open; x touched without a plan."""
    journal.record(plan_of(DAY, contact=["a", "b", "c"], holdout=["h"], none=["x"]))
    journal.record(attrs.evolve(plan_of(day(7), contact=["d"], money=2.25), action=np.array(["visit"])))
    journal.record_touches(Touches.of([touch("a"), touch("x", channel="email"), touch("x", direction="in")]))
    journal.cancel(DAY, ["b"])
    return journal


@pytest.fixture
def base():
    """a and c are old customers, d came in this month, x is known to the log; gold, silver, silver, silver."""
    first = np.array(["2010-01-01", "2009-05-05", "2011-01-05", "2010-06-01"], dtype="datetime64[D]")
    who = ["a", "c", "d", "x"]
    age = (np.datetime64(day(30), "D") - first).astype(float)
    histories = Histories.from_arrays(
        customer_id=who,
        frequency=[0] * 4,
        recency_days=[0.0] * 4,
        age_days=age,
        first_at=first,
        last_at=first,
        margin=[100.0, 50.0, 30.0, 20.0],
        revenue=[200.0, 100.0, 60.0, 40.0],
        as_of=day(30),
        currency="EUR",
    )
    tiering = Tiering(
        customer_id=np.array(who),
        tier=np.array(["gold", "silver", "silver", "silver"]),
        rank=np.array([1, 0, 0, 0]),
        score=np.array([100.0, 50.0, 30.0, 20.0]),
        next_tier=np.array(["", "gold", "gold", "gold"]),
        to_next=np.array([0.0, 50.0, 70.0, 80.0]),
        tiers=(Tier(name="silver", rank=0, floor=0.0), Tier(name="gold", rank=1, floor=100.0)),
        rule="example",
    )
    return histories, tiering


# Planned and done


def test_every_contact_has_one_status_and_agrees_with_the_nights(told):
    contacts = told.contacts()
    assert [(r["customer_id"], r["status"]) for r in map(contacts.row, range(len(contacts)))] == [
        ("b", "called off"),
        ("c", "open"),
        ("a", "done"),  # a day after its plan
        ("x", "not planned"),
        ("d", "open"),
    ]
    by_night, by_action = told.adherence(), adherence_by_action(told)
    assert by_night.planned.sum() == by_action.planned.sum() == 4
    assert by_night.done.sum() == by_action.done.sum() == 1
    assert by_night.cancelled.sum() == by_action.called_off.sum() == 1
    assert by_action.customer("check-in call") == {
        "action": "check-in call",
        "planned": 3,
        "done": 1,
        "open": 1,
        "called_off": 1,
        "share": pytest.approx(1 / 3),
    }
    assert repr(by_action) == "<AdherenceByAction: 1 of 4 planned contacts done>"
    assert by_action.plot().get_xlabel() == "planned contacts"


def test_a_forgotten_persons_contact_counts_as_nobodys(told):
    told.forget("a")
    contacts = told.contacts()
    assert sorted(contacts.status[contacts.customer_id == ""]) == ["done"]
    assert adherence_by_action(told).done.sum() == 1


# Existing and new, by tier


def test_every_touch_is_in_one_group_and_shares_sum_to_one(told, base):
    told.record_touches(Touches.of([touch("stranger", 3)]))
    split = effort_split(told, *base, new_days=90)
    rows = {(r["division"], r["group"]): r for r in map(split.row, range(len(split)))}
    assert {k: r["touches"] for k, r in rows.items()} == {
        ("customers", "existing"): 3,  # a, c and x
        ("customers", "new"): 1,  # d, five days after her first purchase
        ("customers", "unknown"): 1,
        ("tier", "gold"): 1,
        ("tier", "silver"): 3,
        ("tier", "unknown"): 1,
    }
    assert rows["customers", "existing"]["money"] == 3.0
    assert rows["tier", "silver"]["money"] == 3.75
    assert rows["tier", "silver"]["base"] == 3
    for division in ("customers", "tier"):
        mine = split.division == division
        assert split.touches_share[mine].sum() == pytest.approx(1.0, abs=1e-12)
        assert split.money_share[mine].sum() == pytest.approx(1.0, abs=1e-12)
    assert any("2 touches without a plan count as free" in note for note in split.provenance.notes)
    assert any("2 planned contacts count of which nothing is on file" in note for note in split.provenance.notes)
    assert split.plot().get_xlabel() == "share of the effort"


def test_touches_without_a_plan_have_the_price_of_their_channel(told, base):
    split = effort_split(told, *base, costs=ServingCosts(contact={"email": "0.10"}))
    assert split.money[:3].sum() == pytest.approx(3 * 1.5 - 1.5 + 2.25 + 0.10)
    with pytest.raises(ConfigError, match="email"):
        effort_split(told, *base, costs=ServingCosts(contact={"post": 1}))


def test_a_period_counts_its_own_touches(told, base):
    assert effort_split(told, *base, since=day(5)).touches[:3].sum() == 1
    assert effort_split(told, *base, until=str(day(5))).touches[:3].sum() == 3
    nothing = effort_split(told, *base, since=day(100))
    assert nothing.touches.sum() == 0
    assert nothing.touches_share.sum() == 0


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from("acdxyz"), st.integers(0, 400), st.sampled_from(["phone", "email"])), max_size=30
    )
)
def test_whatever_the_touches_nothing_is_lost(sent):
    """Every touch is classified, in both divisions; K different customers are not counted twice in a group."""
    histories = Histories.from_arrays(
        customer_id=["a", "c", "d", "x"], frequency=[0] * 4, recency_days=[0.0] * 4, age_days=[500, 90, 80, 10.0],
        first_at=np.datetime64("2011-12-01") - np.array([500, 90, 80, 10]).astype("timedelta64[D]"),
        as_of=dt.date(2011, 12, 1),
    )  # fmt: skip
    tiering = Tiering(
        customer_id=np.array(["a", "c"]), tier=np.array(["one", "one"]), rank=np.zeros(2, int), score=np.ones(2),
        next_tier=np.array(["", ""]), to_next=np.zeros(2), tiers=(Tier(name="one", rank=0, floor=0.0),), rule="t",
    )  # fmt: skip
    with Journal(":memory:") as journal:
        journal.record_touches(Touches.of([touch(who, n, channel) for who, n, channel in sent]))
        split = effort_split(journal, histories, tiering)
        different = len({(who, n, channel) for who, n, channel in sent})
        assert split.touches[:3].sum() == split.touches[3:].sum() == different
        assert split.customers[3:].sum() == len({who for who, _, _ in sent})


# Who was left alone


def test_coverage_counts_exactly_whom_nobody_touched(told, base):
    """On day 30: a and x were touched on day 1, c planned on day 0 and d on day 7; within 25 days only d was."""
    histories, tiering = base
    all_of_them = coverage(told, histories, tiering, days=90)
    assert all_of_them.untouched.tolist() == [0, 0, 0]
    month = coverage(told, histories, tiering, days=25)
    assert month.group.tolist() == ["all", "gold", "silver"]
    assert month.untouched.tolist() == [3, 1, 2]
    assert month.untouched_margin.tolist() == [170.0, 100.0, 70.0]
    assert month.untouched_margin_share.tolist() == pytest.approx([0.85, 1.0, 0.7])
    assert repr(month) == "<Coverage: 3 of 4 customers without a touch in 25 days, with 85% of the margin>"
    assert coverage(told, histories, tiering, as_of=day(25), days=25).untouched[0] == 1  # c, whose touch was planned
    assert "25 days" in month.plot().get_xlabel()
    with pytest.raises(ConfigError, match="no as_of"):
        coverage(told, attrs.evolve(histories, as_of=None), tiering)


def test_every_customer_above_a_value_has_a_touch_in_time_or_a_reason():
    """With tonight's plan nobody valuable is without an explanation, whatever the value and the time."""
    histories, valuation, outlook, tiering = examples.small_base()
    plan = make_plan(histories, valuation, outlook, tiering, budget=Budget(money=5, hours=1), holdout=0)
    with Journal(":memory:") as journal:
        sent = [Touch(customer_id="anna", at=dt.date(2011, 11, 1), channel="phone")]
        journal.record_touches(Touches.of(sent))
        for above in (-1.0, 0.5, 100.0, 400.0):
            for days in (10, 90):
                missed = untouched(journal, valuation, tiering, as_of="2011-12-01", days=days, above=above, plan=plan)
                valuable = set(valuation.customer_id[valuation.value > above].tolist())
                touched = {"anna"} if days == 90 else set()
                assert set(missed.customer_id.tolist()) == valuable - touched
                assert all(missed.reason)
        missed = untouched(journal, valuation, tiering, as_of="2011-12-01", days=10, above=2.0, plan=plan)
        assert missed.customer_id.tolist() == ["bea", "anna"]  # the most valuable first
        assert missed.days.tolist()[1] == 30.0
        assert np.isnan(missed.days[0])
        assert missed.next.tolist() == [plan.customer("bea")["action"], plan.customer("anna")["action"]]
        assert repr(missed) == "<Untouched: 2 customers worth more than 2.00, 10 days without a touch>"
        assert len(untouched(journal, valuation, tiering, as_of="2011-12-01")) == 1


# From gross to net


def money(rng, n, low=-500, high=5000):
    return [f"{c / 100:.2f}" for c in rng.integers(low, high, n)]


@pytest.mark.parametrize("seed", range(8))
def test_the_programme_reconciles_from_gross_to_net_to_the_cent(plan_of, seed):
    """Random logs, nights, rewards and touches: each line for each customer and in sum, in decimals."""
    rng = np.random.default_rng(seed)
    ids = [f"c{i}" for i in range(12)]
    n = 60
    revenue = money(rng, n)
    log = TransactionLog.from_arrays(
        customer_id=rng.choice(ids, n).tolist(),
        at=[str(day(int(d))) for d in rng.integers(-100, 90, n)],
        revenue=revenue,
        margin=[f"{float(r) * 0.4:.4f}" for r in revenue],
    )
    gift = Action(
        name="gift",
        kind="give",
        channel="post",
        money=0.85,
        reward="goods",
        reward_cost=3.15,
        customer_benefit="a gift",
    )
    voucher = Action(
        name="voucher", kind="ask", channel="email", money=0.01, reward="discount", reward_cost=5, take_up=0.2,
        conditional=True, customer_benefit="five off",
    )  # fmt: skip
    cost = {"gift": Decimal("0.85"), "voucher": Decimal("0.01"), "check-in call": Decimal("1.10")}
    spent = rewards = Decimal(0)
    with Journal(":memory:") as journal:
        for night in range(4):
            some = rng.choice(ids, 6, replace=False).tolist()
            plan = plan_of(day(7 * night), contact=some[:4], holdout=some[4:])
            names = rng.choice(list(cost), 6)
            journal.record(
                attrs.evolve(
                    plan, action=names, money=np.array([{"gift": 4.0, "voucher": 5.01}.get(a, 1.1) for a in names])
                )
            )
            journal.cancel(day(7 * night), some[:1])
            spent += sum(cost[a] for a in names[1:4])
            rewards += sum(Decimal("3.15") for a in names[1:4] if a == "gift")
        redeemed = [
            Outcome(customer_id=ids[i], at=day(9 + i), kind="reward", amount=5.0, action="voucher") for i in (1, 2)
        ]
        journal.record_outcomes(
            [*redeemed, Outcome(customer_id=ids[3], at=day(200), kind="reward", amount=5.0, action="voucher")]
        )
        journal.record_touches(Touches.of([touch(ids[4], 150, "phone"), touch("a stranger", 3, "post")]))
        costs = ServingCosts(per_order="0.35", contact={"phone": "4.50", "post": "1.20"}, reward_rate="0.01")
        statement = programme_statement(
            journal,
            log,
            costs,
            as_of=day(95),
            actions=[gift, voucher],
            points={ids[0]: 120},
        )
        journal.forget(ids[5])
        after = programme_statement(
            journal,
            log,
            ServingCosts(contact={"phone": "4.50", "post": "1.20"}),
            as_of=day(95),
            actions=[gift, voucher],
        )
    t = statement.totals()
    assert t["revenue"] == t["gross"] - t["discounts"] - t["returns"] == sum(map(Decimal, revenue))
    assert t["net"] == t["margin"] - t["rewards"] - t["points"] - t["contacts"] - t["cost_to_serve"]
    assert t["contacts"] == spent + Decimal("1.20")  # the touch of day 150 is later
    # What contacts and rewards cost passes through the cost of serving, and nothing of it stays there.
    without = net_statement(log, costs, as_of=day(95), points={ids[0]: 120})
    assert t["cost_to_serve"] == without.totals()["cost_to_serve"]
    assert t["net"] == without.totals()["net"] - t["contacts"] - rewards - Decimal("10.00")
    for name, amounts in statement.exact.items():
        assert sum(amounts.exact(i) for i in range(len(statement))) == t[name]
    assert after.totals()["contacts"] == t["contacts"]
    assert ids[5] not in after.customer_id or after.customer(ids[5])["contacts"] == 0
    assert (
        FORGOTTEN in after.customer_id
        or not (statement.customer_id == ids[5]).any()
        or statement.customer(ids[5])["contacts"] == 0
    )


def test_rewards_that_nobody_reported_count_as_expected_and_are_told(journal, plan_of):
    voucher = Action(
        name="check-in call", kind="ask", channel="phone", money=0.5, reward="discount", reward_cost=5, take_up=0.2,
        conditional=True, customer_benefit="five off",
    )  # fmt: skip
    journal.record(plan_of(DAY, contact=["a", "b"], money=5.5))
    log = TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-03"], revenue=["9.99"], margin=["4.00"])
    statement = programme_statement(journal, log, ServingCosts(), as_of=day(1), actions=[voucher])
    assert statement.totals()["contacts"] == Decimal("1.00")
    assert statement.totals()["rewards"] == Decimal("2.00")
    assert any("as far as they were expected to be taken" in note for note in statement.provenance.notes)
    whole = programme_statement(journal, log, ServingCosts(), as_of=day(1))
    assert whole.totals()["contacts"] == Decimal("11.00")
    assert whole.totals()["net"] == Decimal("-7.00")
    assert programme_statement(journal, log, ServingCosts(), as_of=day(-1)).totals()["contacts"] == 0


def test_real_shop_reconciles_with_a_programme(shared_data, plan_of, journal):
    """Online Retail, a night of 200 calls: net moves by exactly what they cost."""
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = parquet.read_table(shared_data("online_retail_2010_2011/online_retail.parquet")).slice(0, 60_000)
    log = rt.read_transactions(
        lines, customer="CustomerID", at="InvoiceDate", quantity="Quantity", unit_price="UnitPrice", order="InvoiceNo",
        item="StockCode", currency="GBP", margin=0.35,
    )  # fmt: skip
    who = log.customers.labels[:200].tolist()
    journal.record(plan_of(dt.date(2011, 6, 1), contact=who, money=1.37))
    costs = ServingCosts(per_order="0.35")
    with_calls = programme_statement(journal, log, costs, as_of="2011-12-09").totals()
    without = net_statement(log, costs, as_of="2011-12-09").totals()
    assert without["net"] - with_calls["net"] == Decimal("1.37") * 200 == with_calls["contacts"]
    assert {k: v for k, v in with_calls.items() if k not in ("contacts", "net")} == {
        k: v for k, v in without.items() if k not in ("contacts", "net")
    }
