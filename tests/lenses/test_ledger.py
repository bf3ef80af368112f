"""The defection ledger against books kept by hand, and against firms whose truth was planted."""

import datetime as dt
import functools
import operator
from collections import Counter
from decimal import Decimal

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.errors import ConfigError, RetentionError
from retention.lenses import Flow, audit
from retention.records.transactions import TransactionLog

AS_OF = dt.date(2021, 12, 31)
MONEY = ("revenue", "margin")


def by_hand(rows, days, band=Decimal("0.10"), active_by=lambda row: row.bought):
    """Books kept the slow way: one customer after another, in plain decimals."""
    flows = {what: Counter() for what in (*MONEY, "customers")}
    classes = {}
    for who in sorted({row.who for row in rows if row.day <= AS_OF}):
        hers = [(row, (AS_OF - row.day).days // days) for row in rows if row.who == who and row.day <= AS_OF]
        ages = {age for row, age in hers if active_by(row)}
        was, is_now = 1 in ages, 0 in ages
        opening = {what: sum((getattr(r, what) for r, age in hers if age == 1), Decimal(0)) for what in MONEY}
        closing = {what: sum((getattr(r, what) for r, age in hers if age == 0), Decimal(0)) for what in MONEY}
        change = {what: closing[what] - opening[what] for what in MONEY}
        if was and not is_now:
            movement = "lost"
        elif is_now and not was:
            movement = "reactivated" if any(age > 1 for age in ages) else "new"
        elif was:
            steady = abs(change["margin"]) <= band * abs(opening["margin"])
            movement = "stable" if steady else "up" if change["margin"] > 0 else "down"
        else:
            movement = "returns only"
        if movement != "returns only" or any(opening.values()) or any(closing.values()):
            classes[who] = movement
        flows["customers"]["opening"] += was
        flows["customers"]["closing"] += is_now
        if movement in ("lost", "new", "reactivated"):
            flows["customers"][movement] += 1
        for what in MONEY:
            flows[what]["opening"] += opening[what]
            flows[what]["closing"] += closing[what]
            if movement in ("new", "reactivated"):
                flows[what][movement] += change[what]
            elif movement == "lost":
                flows[what]["lost"] -= change[what]
            else:
                flows[what]["up" if change[what] > 0 else "down"] += abs(change[what])
    return classes, flows


def terms(flow):
    return {term: amount for term, amount in attrs.asdict(flow).items() if amount}


@given(data=st.data(), days=st.sampled_from([1, 15, 30, 365]))
def test_the_ledger_is_what_i_get_when_i_keep_the_books_by_hand(any_rows, log_of, data, days):
    rows = data.draw(any_rows)
    ledger = audit(log_of(rows), as_of=AS_OF, period_days=days).ledger
    classes, flows = by_hand(rows, days)
    assert dict(zip(ledger.customers["customer_id"], ledger.customers["movement"], strict=True)) == classes
    for what, expected in flows.items():
        assert terms(ledger.flow(what)) == {term: amount for term, amount in expected.items() if amount}


@given(data=st.data())
def test_opening_and_what_came_less_what_left_is_closing_to_the_last_digit(any_rows, log_of, data):
    rows = data.draw(any_rows)
    log = log_of(rows)
    ledger = audit(log, as_of=AS_OF, period_days=30).ledger
    for what in ("customers", *MONEY):
        f = ledger.flow(what)
        assert f.opening + f.new + f.reactivated + f.up - f.down - f.lost == f.closing
        assert f.up >= 0
        assert f.down >= 0
    # Both ends are the books' own totals.
    for what in MONEY:
        assert ledger.flow(what).closing == sum((getattr(r, what) for r in rows if 0 <= (AS_OF - r.day).days < 30), 0)
    # Every customer is counted once, and the rows add up to the flow.
    assert ledger["count"].sum() == len(ledger.customers) == len(set(ledger.customers["customer_id"]))
    assert Counter(ledger.customers["movement"].tolist()) == {
        name: n for name, n in zip(ledger["movement"].tolist(), ledger["count"].tolist(), strict=True) if n
    }
    assert ledger["opening_margin"].sum() == pytest.approx(float(ledger.flow("margin").opening), abs=1e-9)
    assert ledger["closing_revenue"].sum() == pytest.approx(float(ledger.flow("revenue").closing), abs=1e-9)


@given(data=st.data())
def test_the_order_of_the_lines_does_not_matter(any_rows, log_of, data):
    rows = data.draw(any_rows)
    shuffled = data.draw(st.permutations(rows))
    one, other = (audit(log_of(r), as_of=AS_OF, period_days=30).ledger for r in (rows, shuffled))
    assert one.equals(other)
    assert one.customers.equals(other.customers)
    assert one.flows == other.flows


def test_a_ledger_that_forgets_the_reactivated_cannot_be_written_down():
    good = {
        "opening": Decimal(10),
        "new": Decimal(1),
        "reactivated": Decimal(2),
        "up": Decimal(0),
        "down": Decimal(0),
        "lost": Decimal(4),
        "closing": Decimal(9),
    }
    Flow(**good)
    with pytest.raises(RetentionError, match="does not balance"):
        Flow(**good | {"reactivated": Decimal(0)})


def test_float_sums_would_not_have_balanced(log_of, row_of):
    """Ten new customers of ten cents each: floats make 0.9999999999999999 of them, the ledger makes 1."""
    day = AS_OF - dt.timedelta(days=3)
    rows = [row_of(who, day, "1", "tea", Decimal("0.1"), Decimal("0.1"), False) for who in "abcdefghij"]
    in_floats = functools.reduce(operator.add, [float(row.margin) for row in rows])  # sum() compensates since 3.12
    assert Decimal(in_floats) != 1
    zero = dict.fromkeys(("opening", "reactivated", "up", "down", "lost"), Decimal(0))
    with pytest.raises(RetentionError, match="does not balance"):
        Flow(**zero, new=Decimal(in_floats), closing=Decimal(1))
    assert audit(log_of(rows), as_of=AS_OF).ledger.flow("margin").new == 1


def test_a_return_or_an_undone_order_keeps_nobody_a_customer(log_of, row_of):
    """Bookkeeping that takes any line for activity would call both customers retained; they are lost."""
    before, now = AS_OF - dt.timedelta(days=40), AS_OF - dt.timedelta(days=5)
    rows = [
        row_of("returns", before, "1", "tea", Decimal(50), Decimal(20), False),
        row_of("returns", now, "2", "tea", Decimal(-10), Decimal(-4), False),
        row_of("undone", before, "3", "tea", Decimal(30), Decimal(10), False),
        row_of("undone", now, "4", "tea", Decimal(99), Decimal(33), True),
        row_of("undone", now, "4", "tea", Decimal(-99), Decimal(-33), True),
    ]
    ledger = audit(log_of(rows), as_of=AS_OF, period_days=30).ledger
    assert ledger.customers["movement"].tolist() == ["lost", "lost"]
    # What came back after she left is part of the loss: 20 + 4 and 10.
    assert ledger.flow("margin").lost == 34
    wrong, _ = by_hand(rows, 30, active_by=lambda row: True)
    assert set(wrong.values()) != {"lost"}


def test_the_as_of_day_belongs_to_the_current_period_and_a_later_day_to_none(log_of, row_of):
    def at(back, revenue):
        return row_of("a", AS_OF - dt.timedelta(days=back), str(back), "tea", Decimal(revenue), Decimal(revenue), False)

    rows = [at(back, 10**place) for place, back in enumerate((60, 59, 30, 29, 0, -1))]
    flow = audit(log_of(rows), as_of=AS_OF, period_days=30).ledger.flow("revenue")
    assert (flow.opening, flow.closing) == (110, 11_000)


def test_she_on_the_very_edge_of_the_band_is_stable(log_of, row_of):
    before, now = AS_OF - dt.timedelta(days=40), AS_OF - dt.timedelta(days=5)
    rows = []
    for who, opening, closing in (("edge", "0.30", "0.33"), ("over", "0.30", "0.331"), ("neg", "-10", "-11")):
        rows.append(row_of(who, before, "1", "tea", Decimal(5), Decimal(opening), False))
        rows.append(row_of(who, now, "2", "tea", Decimal(5), Decimal(closing), False))
    ledger = audit(log_of(rows), as_of=AS_OF, period_days=30).ledger
    assert dict(zip(ledger.customers["customer_id"], ledger.customers["movement"], strict=True)) == {
        "edge": "stable",
        "neg": "stable",
        "over": "up",
    }
    # The drift of the stable is posted all the same.
    assert ledger.flow("margin").down == 1
    assert ledger.flow("margin").up == Decimal("0.061")


@pytest.mark.parametrize("band", [5e-324, 1e-19, 0.1234567890123, 1e300])
def test_a_band_of_many_digits_is_as_exact_as_one_of_ten_percent(log_of, row_of, band):
    """Products that 64 bits cannot hold: she on the edge is stable, who passes it by the last digit is not."""
    before, now = AS_OF - dt.timedelta(days=40), AS_OF - dt.timedelta(days=5)
    opening, rows = Decimal(10) ** 7, []
    edge = opening + opening * min(Decimal(str(band)), Decimal(1))
    edge = edge.quantize(Decimal("0.000001"), rounding="ROUND_FLOOR")
    for who, closing in (("same", opening), ("edge", edge), ("over", edge + Decimal("0.000001"))):
        rows.append(row_of(who, before, "1", "tea", Decimal(5), opening, False))
        rows.append(row_of(who, now, "2", "tea", Decimal(5), closing, False))
    ledger = audit(log_of(rows), as_of=AS_OF, period_days=30, stable_within=band).ledger
    moved = dict(zip(ledger.customers["customer_id"], ledger.customers["movement"], strict=True))
    assert moved == {"same": "stable", "edge": "stable", "over": "up" if band < 1 else "stable"}


def planted(leave, shrink, *, customers=200, opening=100):
    """A firm of equal customers: the first ``leave`` stop buying, the others spend ``shrink`` less."""
    who, at, revenue = [], [], []
    for i in range(customers):
        who.append(f"c{i:03d}")
        at.append("2020-06-15")
        revenue.append(opening)
        if i >= leave:
            who.append(f"c{i:03d}")
            at.append("2021-06-15")
            revenue.append(opening * (100 - shrink) // 100)
    return TransactionLog.from_arrays(customer_id=who, at=at, revenue=revenue)


def test_a_firm_that_loses_customers_is_told_that_defection_dominates():
    ledger = audit(planted(leave=60, shrink=5), as_of=AS_OF).ledger
    # 60 of 200 equal customers are 30 points; the other 140 lose 5 % each, which is 3.5 points.
    assert (ledger.points["lost"], ledger.points["down"]) == (30.0, 3.5)
    assert ledger.verdict() == (
        "30.0 points of opening margin left by defection (60 of 200 customers), "
        "3.5 points by migration down: defection dominates here."
    )


def test_a_firm_whose_customers_stay_and_spend_less_is_told_that_migration_dominates():
    ledger = audit(planted(leave=4, shrink=25), as_of=AS_OF).ledger
    assert (ledger.points["lost"], ledger.points["down"]) == (2.0, 24.5)
    assert ledger.verdict().endswith("24.5 points by migration down: migration dominates here.")
    assert "defection dominates" not in ledger.verdict()


@given(leave=st.integers(0, 20), shrink=st.integers(0, 90))
def test_the_verdict_follows_the_planted_loss_whatever_it_is(leave, shrink):
    verdict = audit(planted(leave, shrink, customers=20), as_of=AS_OF).ledger.verdict()
    lost, down = leave * 100, (20 - leave) * shrink
    said = "defection dominates" if lost > down else "migration dominates" if down > lost else "same"
    assert (said if lost or down else "no margin left") in verdict


def test_losing_customers_who_cost_money_is_not_called_a_loss(log_of, row_of):
    day = AS_OF - dt.timedelta(days=40)
    rows = [
        row_of("good", day, "1", "tea", Decimal(50), Decimal(20), False),
        row_of("good", AS_OF, "2", "tea", Decimal(50), Decimal(15), False),
        row_of("dear", day, "3", "tea", Decimal(50), Decimal(-8), False),
    ]
    ledger = audit(log_of(rows), as_of=AS_OF, period_days=30).ledger
    assert ledger.flow("margin").lost == -8
    assert "migration dominates" in ledger.verdict()
    assert any("negative opening margin" in note for note in ledger.provenance.notes)


def test_an_opening_that_is_not_positive_has_no_points(log_of, row_of):
    rows = [row_of("a", AS_OF - dt.timedelta(days=40), "1", "tea", Decimal(5), Decimal(-8), False)]
    ledger = audit(log_of(rows), as_of=AS_OF, period_days=30).ledger
    assert ledger.points is None
    assert "not positive" in ledger.verdict()


def test_no_customers_and_one_customer_are_fine_too():
    none = audit(TransactionLog.from_arrays(customer_id=[], at=[], revenue=[]), as_of=AS_OF).ledger
    assert none["count"].sum() == 0
    assert not terms(none.flow("customers"))
    assert "Nobody bought" in none.verdict()
    one = audit(TransactionLog.from_arrays(customer_id=["7"], at=["2021-05-01"], revenue=[5]), as_of=AS_OF).ledger
    assert one.customers.customer("7")["movement"] == "new"


def test_the_ledger_closes_on_the_cdnow_customers(shared_data):
    """Real purchases, 1997-01 to 1998-06, against books kept by hand."""
    lines = np.genfromtxt(
        shared_data("cdnow/cdnow_sample.csv.gz"), delimiter=",", names=True, dtype=None, encoding="utf8"
    )
    as_of, days = dt.date(1998, 6, 30), 180
    log = TransactionLog.from_arrays(customer_id=lines["master_id"], at=lines["date"], revenue=lines["sales"])
    ledger = audit(log, as_of=as_of, period_days=days).ledger
    spent = {0: Counter(), 1: Counter(), 2: Counter()}
    for who, day, sales in zip(lines["master_id"], lines["date"], lines["sales"], strict=True):
        spent[min((as_of - dt.date.fromisoformat(str(day))).days // days, 2)][who] += Decimal(str(sales))
    before, now, old = set(spent[1]), set(spent[0]), set(spent[2])
    heads, revenue = ledger.flow("customers"), ledger.flow("revenue")
    assert heads.opening == len(before)
    assert heads.lost == len(before - now)
    assert heads.reactivated == len((now - before) & old)
    assert heads.new == len(now - before - old)
    assert revenue.opening == sum(spent[1].values())
    assert revenue.lost == sum(spent[1][who] for who in before - now)
    assert revenue.up == sum(max(spent[0][who] - spent[1][who], 0) for who in before & now)
    assert revenue.closing == sum(spent[0].values())


def test_the_picture_is_a_waterfall_that_ends_at_closing(log_of):
    figure = pytest.importorskip("matplotlib.figure")
    ledger = audit(planted(leave=60, shrink=5), as_of=AS_OF).ledger
    axes = figure.Figure().subplots()
    assert ledger.plot(axes) is axes
    tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
    assert tops[0] == float(ledger.flow("margin").opening)
    assert tops[-2] == pytest.approx(float(ledger.flow("margin").closing)) == tops[-1]
    assert max(tops) < axes.get_ylim()[1]
    heads = ledger.plot(of="customers")
    assert [label.get_text() for label in heads.get_xticklabels()] == [
        "opening",
        "new",
        "reactivated",
        "lost",
        "closing",
    ]


def test_its_short_form_names_every_term_and_keeps_those_who_stayed_in_brackets():
    shown = repr(audit(planted(leave=60, shrink=25), as_of=AS_OF).ledger).splitlines()
    assert [line.split()[-1].rstrip(">") for line in shown[2:]] == [
        "20,000.00",
        "0.00",
        "0.00",
        "0.00",
        "3,500.00",
        "6,000.00",
        "10,500.00",
    ]
    assert "(140 stayed)" in shown[6]


@pytest.mark.parametrize("band", [-0.1, float("nan"), float("inf")])
def test_a_band_that_is_no_band_is_refused(band):
    with pytest.raises(ConfigError, match="stable_within"):
        audit(planted(1, 1), as_of=AS_OF, stable_within=band)


def test_a_flow_is_kept_in_three_things_only():
    with pytest.raises(ConfigError, match="customers, revenue, margin"):
        audit(planted(1, 1), as_of=AS_OF).ledger.flow("profit")
