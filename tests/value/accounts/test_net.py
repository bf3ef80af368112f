"""From gross to net: what is left of a customer reconciles to the cent."""

import datetime as dt
from decimal import Decimal

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError, ModelError
from retention.histories import Histories, summarize
from retention.records import Referrals, Touches, TransactionLog, read_transactions
from retention.value import BGNBD, appraise
from retention.value.accounts.costs import ServingCosts
from retention.value.accounts.net import net_value
from retention.value.accounts.postings import Postings
from retention.value.accounts.statement import NetStatement, net_statement
from retention.value.referrals.credit import credit_referrals
from retention.value.referrals.service import total_value

D = Decimal
AS_OF = dt.date(2011, 12, 31)
START = np.datetime64("2011-01-01")


def cents(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda c: D(c).scaleb(-2))


rates = st.integers(0, 10**4).map(lambda c: D(c).scaleb(-4))
people = st.integers(0, 4).map(str)
days = st.integers(0, 500)


@st.composite
def cases(draw):
    """A log with returns, late lines, discounts, contacts, postings and points of people in and out of the log."""
    rows = draw(
        st.lists(st.tuples(people, days, cents(-(10**6), 10**7), cents(-(10**5), 10**6), cents(0, 10**4)), max_size=12)
    )
    who, when, revenue, margin, off = (list(part) for part in zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    log = TransactionLog.from_arrays(
        customer_id=np.asarray(who, dtype=np.str_),
        at=[str(START + np.timedelta64(int(d), "D")) for d in when],
        revenue=np.asarray(revenue, dtype=object),
        margin=np.asarray(margin, dtype=object),
    )
    costs = ServingCosts(
        per_order=draw(cents(0, 10**4)),
        per_day=draw(rates),
        contact={"email": draw(rates), "phone": draw(cents(0, 10**4))},
        reward_rate=draw(rates),
        point_value=draw(rates),
        breakage=draw(rates),
    )
    calls = draw(st.lists(st.tuples(people, days, st.sampled_from(["email", "Phone"]), st.booleans()), max_size=6))
    touches = Touches.from_arrays(
        customer_id=[w for w, *_ in calls],
        at=[START + np.timedelta64(int(d), "D") for _, d, *_ in calls],
        channel=[c for *_, c, _ in calls],
        kind=["give"] * len(calls),
        direction=["out" if out else "in" for *_, out in calls],
    )
    posted = draw(st.lists(st.tuples(people, days, cents(0, 10**5)), min_size=1, max_size=5))
    postings = Postings.of(
        customer_id=[w for w, *_ in posted],
        at=[str(START + np.timedelta64(int(d), "D")) for _, d, _ in posted],
        amount=np.asarray([a for *_, a in posted], dtype=object),
    )
    points = draw(st.dictionaries(people, st.integers(0, 10**5), max_size=4))
    options = {
        "touches": touches,
        "discounts": draw(st.sampled_from([None, np.asarray(off, dtype=object)])),
        "rewards": draw(st.sampled_from([None, postings])),
        "service": draw(st.sampled_from([None, postings])),
        "points": points,
    }
    return log, costs, options


def rounded(amount: Decimal, like: Decimal) -> Decimal:
    return amount.quantize(like)


@given(cases())
def test_every_sum_reconciles_to_the_cent_on_any_input(case):
    """Each customer's statement against decimals worked out line by line, and the totals against the log's own."""
    log, costs, options = case
    statement = net_statement(log, costs, as_of=AS_OF, **options)
    known = log.until(AS_OF)
    off = options["discounts"]
    if off is not None:
        off = off[log.day <= np.datetime64(AS_OF)]
    unit = D(1).scaleb(-statement.exact["net"].decimals)
    touches, service, rewards = options["touches"], options["service"], options["rewards"]
    for position, who in enumerate(statement.customer_id.tolist()):
        line = {name: amounts.exact(position) for name, amounts in statement.exact.items()}
        assert line["gross"] - line["discounts"] - line["returns"] == line["revenue"]
        assert line["revenue"] - line["cost_of_goods"] == line["margin"]
        taken = line["rewards"] + line["points"] + line["contacts"] + line["cost_to_serve"]
        assert line["margin"] - taken == line["net"]

        hers = [i for i in range(len(known)) if known.customers.text()[i] == who]
        assert line["revenue"] == sum((known.revenue.exact(i) for i in hers), D(0))
        assert line["margin"] == sum((known.margin.exact(i) for i in hers), D(0))
        assert line["discounts"] == (0 if off is None else sum((off[i] for i in hers), D(0)))
        back = [i for i in hers if known.is_return[i] and not known.is_cancelled[i]]
        assert line["returns"] == -sum((known.revenue.exact(i) for i in back), D(0))
        spoken = D(0)
        for channel in ("email", "phone"):
            sent = (touches.customer_id == who) & (np.char.lower(touches.channel) == channel)
            sent &= (touches.direction == "out") & (touches.at <= np.datetime64(AS_OF))
            spoken += rounded(int(sent.sum()) * costs.contact[channel], unit)
        assert line["contacts"] == spoken

        def of(postings, who=who):
            rows = (postings.customers.text() == who) & (postings.day <= np.datetime64(AS_OF))
            return postings.amounts.total(rows)

        points = D(options["points"].get(who, 0))
        assert line["points"] == rounded(points * costs.point_value * (1 - costs.breakage), unit)
        by_rate = rounded(max(line["revenue"], D(0)) * costs.reward_rate, unit)
        assert line["rewards"] == (by_rate if rewards is None else of(rewards))
        bought = [i for i in hers if not (known.is_return[i] or known.is_cancelled[i])]
        orders = len({known.at[i] for i in bought})
        age = (AS_OF - min((known.day[i].item() for i in bought), default=AS_OF)).days
        served = rounded(orders * costs.per_order, unit) + rounded(age * costs.per_day, unit)
        assert line["cost_to_serve"] == served + (D(0) if service is None else of(service))

    totals = statement.totals()
    assert totals["revenue"] == known.revenue.total()
    assert totals["margin"] == known.margin.total()
    assert totals["net"] == sum((amounts for amounts in map(statement.exact["net"].exact, range(len(statement)))), D(0))
    assert (
        totals["gross"]
        - totals["discounts"]
        - totals["returns"]
        - totals["cost_of_goods"]
        - totals["rewards"]
        - totals["points"]
        - totals["contacts"]
        - totals["cost_to_serve"]
        == totals["net"]
    )


def test_a_statement_that_lost_a_cent_is_refused():
    """Wrong on purpose: one customer's rewards are a cent short of what was taken off."""
    log = TransactionLog.from_arrays(customer_id=["a", "b"], at=["2011-01-01"] * 2, revenue=["9.99", "5.00"])
    good = net_statement(log, ServingCosts(reward_rate="0.01"), as_of=AS_OF)
    minor = {name: amounts.minor for name, amounts in good.exact.items()}
    with pytest.raises(ModelError, match="does not add up"):
        NetStatement.of(good.customer_id, minor | {"rewards": minor["rewards"] - np.array([1, 0])}, 2)


def test_two_for_whom_everything_was_counted_by_hand():
    log = TransactionLog.from_arrays(
        customer_id=["ann", "ann", "ann", "bea"],
        at=["2011-12-01", "2011-12-11", "2011-12-20", "2012-01-05"],
        revenue=["10.00", "20.00", "-5.00", "99.00"],
        margin=["4.00", "8.00", "-2.00", "50.00"],
    )
    touches = Touches.from_arrays(
        customer_id=["ann", "ann", "cleo"],
        at=["2011-12-05", "2012-01-01", "2011-12-31"],
        channel=["email", "email", "phone"],
        kind=["give"] * 3,
    )
    costs = ServingCosts(
        per_order="0.35",
        per_day="0.01",
        contact={"email": "0.02", "phone": "4.5"},
        reward_rate="0.03",
        point_value="0.01",
        breakage="0.25",
    )
    statement = net_statement(
        log, costs, as_of=AS_OF, touches=touches, discounts=["1.00", "0", "0", "7"], points={"ann": 100, "dora": 50}
    )
    assert statement.customer_id.tolist() == ["ann", "cleo", "dora"]
    ann = statement.customer("ann")
    assert ann["gross"] == 31
    assert ann["returns"] == 5
    assert ann["revenue"] == 25
    assert ann["rewards"] == 0.75
    assert ann["points"] == 0.75
    assert ann["contacts"] == 0.02
    assert ann["cost_to_serve"] == 2 * 0.35 + 0.30
    assert ann["net"] == 10 - 0.75 - 0.75 - 0.02 - 1.00
    assert statement.customer("cleo")["net"] == -4.5
    assert statement.exact["points"].exact(2) == D("0.38")  # 0.375, to the even cent
    assert statement[statement.net < 0].totals()["net"] == D("-4.88")
    assert "= net" in statement.told()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"discounts": [1, 2]}, "2 discounts for 1 lines"),
        ({"discounts": [-1]}, "below zero"),
        (
            {"touches": Touches.from_arrays(customer_id=["a"], at=["2011-01-01"], channel=["fax"], kind=["ask"])},
            "'fax'",
        ),
    ],
)
def test_what_cannot_be_stated_is_told(options, told):
    log = TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-01"], revenue=[5])
    with pytest.raises(ConfigError, match=told):
        net_statement(log, ServingCosts(contact={"email": 1}), as_of=AS_OF, **options)


@pytest.mark.parametrize("wrong", [{"per_order": -1}, {"per_day": "x"}, {"reward_rate": 2}, {"breakage": "1.1"}])
def test_costs_that_are_none_are_told(wrong):
    with pytest.raises(ConfigError):
        ServingCosts(**wrong)


def test_a_cost_too_fine_for_the_amounts_is_told_and_not_wrapped_around():
    log = TransactionLog.from_arrays(customer_id=["a"], at=["2011-01-01"], revenue=np.array([5 * 10**13]))
    with pytest.raises(ConfigError, match="exact money"):
        net_statement(log, ServingCosts(reward_rate="0.000999"), as_of=AS_OF)


def test_a_real_shop_reconciles_to_the_cent(shared_data):
    log = read_transactions(
        shared_data("cdnow/cdnow_sample.csv.gz"), customer="sample_id", at="date", revenue="sales", margin=0.35
    )
    costs = ServingCosts(per_order="1.15", per_day="0.0027", reward_rate="0.015")
    statement = net_statement(log, costs, as_of="1998-06-30")
    totals = statement.totals()
    assert totals["revenue"] == log.revenue.total()
    assert totals["margin"] == log.margin.total()
    assert totals["margin"] - totals["rewards"] - totals["cost_to_serve"] == totals["net"]
    base = summarize(log, as_of="1998-06-30")
    held = np.isin(statement.customer_id, base.customer_id)
    np.testing.assert_allclose(statement.margin[held], base.margin)


@pytest.mark.slow
def test_half_a_million_invoice_lines_with_returns_and_credit_notes_reconcile(shared_data):
    log = read_transactions(
        shared_data("online_retail_2010_2011/online_retail.parquet"),
        customer="CustomerID",
        at="InvoiceDate",
        quantity="Quantity",
        unit_price="UnitPrice",
        order="InvoiceNo",
        margin=0.3,
        currency="GBP",
    )
    statement = net_statement(log, ServingCosts(per_order="2.35", reward_rate="0.015"), as_of="2011-12-09")
    totals = statement.totals()
    assert totals["revenue"] == log.revenue.total()
    assert totals["margin"] == log.margin.total()
    assert totals["returns"] > 0
    assert totals["gross"] - totals["returns"] == totals["revenue"]
    assert totals["margin"] - totals["rewards"] - totals["cost_to_serve"] == totals["net"]
    base = summarize(log, as_of="2011-12-09", habits=False)
    held = np.isin(statement.customer_id, base.customer_id)
    np.testing.assert_allclose(statement.returns[held], base.returns)
    assert totals["cost_to_serve"] == D("2.35") * int(base.orders.sum())


# ---- ahead


def valuation(margins=(5.0, 50.0, -3.0), horizon=365.0, rate=0.10):
    n = len(margins)
    base = Histories.from_arrays(
        frequency=[4] * n,
        recency_days=[200] * n,
        age_days=[270] * n,
        margin_mean=margins,
        customer_id=[f"c{i}" for i in range(n)],
    )
    model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
    return appraise(base, model, horizon_days=horizon, discount_rate=rate), base, model


money = st.floats(0, 50).map(lambda x: round(x, 3))


@given(
    st.lists(st.floats(-100, 1000), min_size=1, max_size=6),
    money,
    money,
    money,
    st.floats(0, 1).map(lambda x: round(x, 3)),
    st.floats(0, 0.3),
)
def test_expected_net_value_is_gross_less_what_it_costs(margins, order, day, contact, rate, discount):
    worth, _, _ = valuation(margins, rate=discount)
    costs = ServingCosts(per_order=order, per_day=day, contact=contact, reward_rate=rate, point_value=1)
    net = net_value(worth, costs, contacts_a_year={"email": 2}, revenue_per_margin=2.5, points={"c0": 7})
    parts = net.order_cost + net.rewards + net.day_cost + net.contacts + net.points
    np.testing.assert_allclose(net.gross - parts, net.value, rtol=1e-9, atol=1e-9 * np.abs(parts).max() + 1e-12)
    assert np.all(net.value_low <= net.value_high)
    assert net.total() == pytest.approx(net.value.sum())
    for cost in (net.order_cost, net.rewards, net.day_cost, net.contacts, net.points):
        assert np.all(cost >= 0)


def test_without_costs_net_is_gross_bounds_and_all():
    worth, _, _ = valuation()
    net = net_value(worth, ServingCosts())
    for mine, theirs in (
        (net.value, worth.value),
        (net.value_low, worth.value_low),
        (net.value_high, worth.value_high),
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_what_an_order_costs_comes_off_each_expected_order_and_off_no_other():
    """Undiscounted, the cost is that of the expected purchase days; and a customer who buys nothing costs nothing."""
    worth, _, _ = valuation(rate=0.0)
    net = net_value(worth, ServingCosts(per_order=2))
    np.testing.assert_allclose(net.order_cost, 2 * worth.expected_purchases)
    assert net.value_idle.tolist() == [0, 0, 0]


def test_bounds_from_a_valuation_alone_are_wider_than_those_of_a_model_of_what_orders_leave():
    """Margins of 5 to 50 a purchase, orders that cost from little of it to more than all."""
    worth, base, model = valuation((5.0, 20.0, 50.0))
    for cost in ("0.50", "4", "20", "60"):
        costs = ServingCosts(per_order=cost)
        rough, fine = net_value(worth, costs), appraise(base, model, costs=costs)
        np.testing.assert_allclose(rough.value, fine.value, rtol=1e-12, atol=1e-9)
        assert np.all(rough.value_sd >= fine.value_sd)
        assert np.all(rough.value_low <= fine.value_low + 1e-9)
        assert np.all(rough.value_high >= fine.value_high - 1e-9)
        assert rough.total_bounds[0] <= fine.total_bounds[0]
        assert rough.total_bounds[1] >= fine.total_bounds[1]


def test_two_dollars_on_each_order_are_two_dollars_less_margin():
    """The same future, seen twice: a margin smaller by the cost of an order, or the cost taken off afterwards."""
    worth, _base, _model = valuation((50.0, 80.0))
    net = net_value(worth, ServingCosts(per_order=2))
    margin = worth.margin_mean - 2
    discounted = worth.value / worth.margin_mean
    np.testing.assert_allclose(net.value, margin * discounted)


def test_letters_go_to_the_departed_too_and_days_are_paid_while_she_may_be_there():
    worth, _, _ = valuation(rate=0.0)
    gone = attrs.evolve(worth, p_alive=np.zeros(len(worth)))
    costs = ServingCosts(per_day="0.10", contact={"post": 2})
    net = net_value(gone, costs, contacts_a_year={"post": 6})
    assert net.contacts.tolist() == [12, 12, 12]
    assert net.day_cost.tolist() == [0, 0, 0]
    np.testing.assert_allclose(net_value(worth, costs).day_cost, 36.5 * worth.p_alive)
    given_days = net_value(worth, costs, alive_days=np.array([10.0, 0.0, 5.0]))
    assert given_days.day_cost == pytest.approx([1.0, 0.0, 0.5])


def test_costs_of_a_year_are_discounted_as_they_come():
    """Against a sum over many small steps."""
    worth, _, _ = valuation(rate=0.10, horizon=730.0)
    net = net_value(worth, ServingCosts(contact=1), contacts_a_year={"post": 12})
    steps = (np.arange(100_000) + 0.5) / 100_000 * 2
    assert net.contacts[0] == pytest.approx(24 * np.mean(1.1**-steps), rel=1e-8)


@pytest.mark.parametrize(
    ("costs", "options", "told"),
    [
        ({"reward_rate": 0.1}, {}, "revenue_per_margin"),
        ({"contact": {"email": 1}}, {"contacts_a_year": {"fax": 1}}, "'fax'"),
        ({}, {"contacts_a_year": {"fax": -1}}, "below zero"),
        ({"point_value": 1}, {"points": {"nobody": 1}}, "1 customers without a valuation"),
        ({"per_day": 1}, {"alive_days": np.ones(2)}, "alive_days"),
    ],
)
def test_costs_that_cannot_be_taken_off_are_told(costs, options, told):
    worth, _, _ = valuation()
    with pytest.raises(ConfigError, match=told):
        net_value(worth, ServingCosts(**costs), **options)


def test_net_value_is_what_referrals_are_credited_with():
    """Bea is worth less once her rewards and contacts are paid, and so is having brought her."""
    worth, _, _ = valuation()
    costs = ServingCosts(reward_rate="0.10", contact=1)
    net = net_value(worth, costs, contacts_a_year={"email": 4}, revenue_per_margin=2.0)
    referrals = Referrals.from_arrays(referrer_id=["c0"], referred_id=["c1"])
    gross_credit = credit_referrals(worth, referrals, type_one_share=1.0, acquisition_cost=0)
    net_credit = credit_referrals(net, referrals, type_one_share=1.0, acquisition_cost=0)
    assert net_credit.crv[0] == net.value[1] < gross_credit.crv[0]
    assert total_value(net, net_credit).total[0] == net.value[0] + net.value[1]
