"""The profit ladder: exact to the cent, and not fooled by customers who leave."""

import datetime as dt
import json
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError, RetentionError
from retention.records.transactions import TransactionLog
from retention.value.accounts.ladder import profit_ladder
from retention.value.accounts.ladder_result import ProfitLadder
from retention.value.accounts.ladder_steps import _bounds
from retention.value.accounts.postings import Postings

START = dt.date(2010, 1, 1)
PARTS = (
    "acquisition_cost", "first_purchase", "base_profit", "purchase_growth", "margin_rate", "price_premium",
    "cost_of_goods", "cost_savings", "referrals",
)  # fmt: skip
YEARS = 7
END = START + dt.timedelta(days=365 * YEARS - 1)


def day(n: int) -> dt.date:
    return START + dt.timedelta(days=n)


def log_of(rows: list[tuple], **others) -> TransactionLog:
    """Rows of (who, days since the start, revenue, margin)."""
    who, when, revenue, margin = (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [])
    at = np.asarray([day(n) for n in when], dtype="datetime64[s]")
    return TransactionLog.from_arrays(customer_id=who, at=at, revenue=revenue, margin=margin, **others)


def shop(seed: int, *, customers: int = 150, growth: float = 0.0) -> TransactionLog:
    """Poisson buyers. The weak half buys little and leaves soon (rate 0.9 a year), the strong half stays (0.1).

    ``growth`` is what each year of tenure adds to a customer's rate, as a share of her first year's rate.
    """
    rng = np.random.default_rng(seed)
    top = 1 + growth * YEARS
    who, when, money = [], [], []
    for i in range(customers):
        weak = i % 2 == 0
        rate, size = rng.gamma(4, 0.75 if weak else 1.5), np.exp(rng.normal(2 if weak else 3, 0.4))
        born = int(rng.integers(0, 2 * 365))
        stays = min(rng.exponential(365 / (0.9 if weak else 0.1)), 365 * YEARS - 1 - born)
        since = rng.uniform(0, stays, rng.poisson(rate * top * stays / 365))
        kept = since[rng.random(len(since)) * top < 1 + growth * (since // 365)]
        days = np.r_[born, born + np.ceil(kept).astype(int)]
        who += [f"{i:04d}"] * len(days)
        when += days.tolist()
        money += np.round(size * np.exp(rng.normal(0, 0.5, len(days))), 2).tolist()
    return log_of(list(zip(who, when, money, money, strict=True)))


@pytest.fixture(scope="module")
def trap() -> list[ProfitLadder]:
    """The shop in which nobody grows and weak customers leave, 120 times."""
    return [profit_ladder(shop(seed), as_of=END) for seed in range(120)]


# Exactness -----------------------------------------------------------------------------------------------------------

LINE = st.tuples(
    st.sampled_from("abcde"),
    st.sampled_from([0, 1, 2, 364, 365, 366, 367, 500, 729, 730, 731, 732, 900, 1095, 1096, 1097, 1300, 1460]),
    st.integers(-5_000, 20_000).map(lambda c: Decimal(c).scaleb(-2)),
    st.integers(-5_000_000, 9_000_000).map(lambda c: Decimal(c).scaleb(-5)),
    st.integers(0, 30_000).map(lambda c: Decimal(c).scaleb(-2)),
    st.sampled_from([False, False, False, False, True]),
)
LINES = st.lists(LINE, max_size=5) | st.lists(LINE, min_size=20, max_size=50)
POSTED = st.lists(
    st.tuples(
        st.sampled_from("abcxyz"), st.integers(0, 1500), st.integers(0, 9_999).map(lambda c: Decimal(c).scaleb(-3))
    ),
    min_size=1,
    max_size=8,
)


def recount(rows, served, credited, cost, as_of: int, since: int) -> tuple[dict[int, Decimal], dict[int, set], Decimal]:
    """Profit by year of tenure, who was there, and all that was posted, with nothing but loops and decimals."""
    first: dict[str, int] = {}
    for who, when, revenue, *_, undone in rows:
        if when <= as_of and revenue >= 0 and not undone:
            first[who] = min(when, first.get(who, when))
    kept = {who: when for who, when in first.items() if when >= since}
    year_of = lambda who, when: max(0, -(-(when - first[who]) // 365))  # noqa: E731
    profit: dict[tuple, Decimal] = defaultdict(Decimal)
    bought, everything = set(), Decimal(0)
    for who, when, revenue, margin, _, undone in rows:
        if when <= as_of:
            everything += margin
            if who in kept:
                profit[who, year_of(who, when)] += margin
                if revenue >= 0 and not undone:
                    bought.add((who, year_of(who, when)))
    for sign, postings in ((-1, served), (1, credited)):
        for who, when, amount in postings:
            if when <= as_of:
                everything += sign * amount
                if who in kept:
                    profit[who, year_of(who, when)] += sign * amount
    for who in kept:
        profit[who, 0] -= cost
        everything -= cost
    by_year: dict[int, Decimal] = defaultdict(Decimal)
    there: dict[int, set] = defaultdict(set)
    for who, year in bought:
        if first[who] + 365 * year <= as_of:
            by_year[year] += profit[who, year]
            there[year].add(who)
    return by_year, there, everything


@settings(max_examples=150)
@given(LINES, POSTED, POSTED, st.sampled_from([0, 2, 400]), st.sampled_from([800, 1095, 1460, 1500]), st.booleans())
def test_the_bars_of_every_year_sum_to_its_profit_to_the_cent(rows, served, credited, since, as_of, listed):
    """Recounted with loops and decimals: returns, undone orders, losses, strangers, borders of years and all."""
    log = log_of([row[:4] for row in rows])
    undone = np.asarray([row[5] for row in rows], dtype=bool)
    log = attrs.evolve(log, undone_at=np.where(undone, log.at, np.datetime64("NaT", "s")))

    def postings(given):
        who, when, amount = zip(*given, strict=True)
        return Postings.of(customer_id=list(who), at=[day(n) for n in when], amount=list(amount))

    cost = Decimal("3.35")
    ladder = profit_ladder(
        log, as_of=day(as_of), acquisition_cost=cost, serving_costs=postings(served), referrals=postings(credited),
        list_revenue=[row[4] for row in rows] if listed else None, acquired_from=day(since),
    )  # fmt: skip
    by_year, there, everything = recount(rows, served, credited, cost, as_of, since)
    for k in range(len(ladder)):
        assert ladder.customers[k] == len(there[k])
        assert ladder.exact["profit"].exact(k) == by_year[k]
        assert sum(ladder.exact[name].exact(k) for name in PARTS if name in ladder.exact) == by_year[k]
    assert all(year < len(ladder) for year in there)
    *places, all_ = ladder.account.values()
    assert sum(places) == all_ == everything
    assert ladder.account["in the ladder"] == ladder.exact["profit"].total()
    for i, step in enumerate(ladder.steps.step.tolist()):
        k = int(step.split()[0])
        last = {
            who: max(n for w, n, r, *_, u in rows if w == who and r >= 0 and not u and n <= as_of) for who in there[k]
        }
        first = {who: min(n for w, n, r, *_, u in rows if w == who and r >= 0 and not u) for who in there[k]}
        stay = [who for who in there[k] & there[k + 1] if last[who] > first[who] + 365 * (k + 1)]
        assert ladder.steps.stayers[i] == len(stay)
        exact = ladder.steps.exact
        change = sum(a.exact(i) for name, a in exact.items() if name not in ("opening", "closing"))
        assert exact["opening"].exact(i) + change == exact["closing"].exact(i)
    mix = ladder.steps.not_yet_observed + ladder.steps.left + ladder.steps.others
    np.testing.assert_allclose(mix, ladder.steps.mix, atol=1e-9)
    np.testing.assert_allclose(np.diff(ladder.profit[1:]), ladder.steps.cohort, atol=1e-9)


def test_a_year_ends_on_the_365th_day_after_the_first_purchase():
    """Day 365 belongs to year 1, day 366 to year 2; a year counts when its last day is known, not a day before."""
    rows = [("a", 0, 10, 10), ("a", 365, 7, 7), ("a", 366, 5, 5)]
    ladder = profit_ladder(log_of(rows), as_of=day(730))
    assert ladder.profit.tolist() == [10, 7, 5]
    early = profit_ladder(log_of(rows), as_of=day(729))
    assert early.profit.tolist() == [10, 7]
    assert early.account["in years that are not over"] == 5


def test_sources_of_growth_are_those_that_were_planted():
    """Volume doubles, discounts end, goods get cheaper, serving gets cheaper: each is its own bar, by hand."""
    # year 1: listed 100, paid 80, goods 50, service 10; year 2: listed 200, paid 180, goods 80, service 12
    rows = [("a", 0, 1, 1), ("a", 100, 80, 30), ("a", 500, 180, 100), ("a", 800, 1, 1)]
    ladder = profit_ladder(
        log_of(rows), as_of=day(730), acquisition_cost=5, serving_costs=[0, 10, 12, 0], list_revenue=[1, 100, 200, 1]
    )
    v, price, goods, service = (
        150,
        Fraction(9, 10) - Fraction(8, 10),
        Fraction(4, 10) - Fraction(5, 10),
        Fraction(-4, 100),
    )
    year2 = {name: ladder.exact[name].exact(2) for name in PARTS if name in ladder.exact}
    assert year2["base_profit"] == 20
    assert year2["price_premium"] == v * price
    assert year2["cost_of_goods"] == -v * goods
    assert year2["cost_savings"] == -v * service
    assert year2["purchase_growth"] == 100 * (Fraction(20, 100) + Fraction(88, 200)) / 2
    assert ladder.exact["acquisition_cost"].exact(0) == -5
    assert "margin_rate" not in ladder.columns()


def test_referrals_stand_in_their_year_and_the_cost_of_winning_at_the_start():
    rows = [("a", 0, 10, 4), ("b", 0, 10, 4), ("a", 50, 10, 6), ("b", 60, 10, 8)]
    told = Postings.of(customer_id=["a", "b", "c"], at=[day(70), day(400), day(80)], amount=[2, 3, 9])
    ladder = profit_ladder(log_of(rows), as_of=day(500), acquisition_cost={"a": 1, "b": "2.50"}, referrals=told)
    assert ladder.profit.tolist() == [(8 - 3.5) / 2, (14 + 2) / 2]
    assert ladder.referrals.tolist() == [0, 1]
    assert ladder.account["in years that are not over"] == 3
    assert ladder.account["posted to customers whom the log does not know"] == 9


def test_what_the_data_do_not_hold_is_absent_and_named():
    """Not a bar of zero: no column at all, and a reason."""
    ladder = profit_ladder(log_of([("a", 0, 10, 5), ("a", 10, 10, 4), ("a", 20, 30, 20)]), as_of=day(400))
    assert set(ladder.absent) == {"acquisition_cost", "price_premium", "cost_savings", "referrals"}
    assert not set(ladder.absent) & set(ladder.columns())
    assert "margin_rate" in ladder.columns()
    one_rate = profit_ladder(log_of([("a", 0, 10, 5), ("a", 10, 10, 5), ("a", 20, 30, 15)]), as_of=day(400))
    assert "margin 0.5 of its revenue" in one_rate.absent["margin_rate"]
    bare = TransactionLog.from_arrays(customer_id=["a", "a"], at=["2010-01-01", "2010-05-01"], revenue=[3, 4])
    assert "profit here is revenue" in profit_ladder(bare, as_of="2011-06-01").absent["margin_rate"]
    for name in ladder.absent:
        assert name.replace("_", " ") in repr(ladder)


def test_years_that_are_not_over_are_left_out_and_counted():
    """Three customers, of whom one came so late that her first year is not over."""
    rows = [("a", 0, 5, 5), ("a", 9, 8, 8), ("b", 0, 5, 5), ("b", 9, 6, 6), ("c", 500, 5, 5), ("c", 501, 99, 99)]
    ladder = profit_ladder(log_of(rows), as_of=day(600))
    assert ladder.customers.tolist() == [3, 2]
    assert ladder.observed.tolist() == [3, 2]
    assert ladder.not_over.tolist() == [0, 1]
    assert ladder.profit[1] == 7
    assert any("99.00" in note and "not over" in note for note in ladder.provenance.notes)


def test_the_way_from_year_to_year_is_told_group_by_group():
    """Year 1 of four: one stays, one leaves, one leaves within year 2, and one's year 2 is not over."""
    year1 = [("stays", 5, 10, 10), ("leaves", 5, 2, 2), ("within", 5, 4, 4), ("late", 305, 40, 40)]
    later = [("stays", 400, 11, 11), ("within", 400, 3, 3), ("late", 700, 50, 50), ("stays", 800, 1, 1)]
    first = [("stays", 0, 1, 1), ("leaves", 0, 1, 1), ("within", 0, 1, 1), ("late", 300, 1, 1)]
    steps = profit_ladder(log_of(first + year1 + later), as_of=day(900)).steps
    row = steps.row(0)
    assert (row["step"], row["stayers"]) == ("1 to 2", 1)
    assert row["not_yet_observed"] == pytest.approx(16 / 3 - 56 / 4)
    assert row["left"] == pytest.approx(10 - 16 / 3)
    assert row["same_customer"] == pytest.approx(11 - 10)
    assert row["others"] == pytest.approx(14 / 2 - 11)
    assert row["cohort"] == pytest.approx(14 / 2 - 56 / 4)


def test_old_customers_of_a_young_log_can_be_left_out():
    rows = [("old", 0, 5, 5), ("old", 9, 8, 8), ("new", 200, 5, 5), ("new", 300, 2, 2)]
    ladder = profit_ladder(log_of(rows), as_of=day(600), acquired_from=day(100))
    assert ladder.profit.tolist() == [5, 2]
    assert ladder.account["of customers acquired earlier"] == 13
    assert any("acquired_from" in note for note in profit_ladder(log_of(rows), as_of=day(600)).provenance.notes)


def test_the_order_of_lines_and_the_unit_of_money_make_no_difference():
    log = shop(3)
    shuffled = log.take(np.random.default_rng(0).permutation(len(log)))
    cents = TransactionLog.from_arrays(customer_id=log.customers.text(), at=log.at, revenue=log.revenue.minor)
    ladder = profit_ladder(log, as_of=END)
    assert profit_ladder(shuffled, as_of=END).to_dict() == ladder.to_dict()
    other = profit_ladder(cents, as_of=END)
    np.testing.assert_allclose(other.profit, 100 * ladder.profit, rtol=1e-12)
    np.testing.assert_allclose(other.growth.low, 100 * ladder.growth.low, rtol=1e-9)
    assert other.finding == ladder.finding


# Growth or mix -------------------------------------------------------------------------------------------------------


def test_where_nobody_grows_the_same_customers_interval_covers_zero_as_often_as_it_says(trap):
    """90 % intervals of 120 seeds: expected 90 % (measured 90.0 % of 400); outside 97 to 117 by chance: 0.3 %."""
    covers = sum(ladder.growth.low <= 0 <= ladder.growth.high for ladder in trap)
    assert 97 <= covers <= 117
    # Each step and the chained ladder too, wherever they claim an interval.
    steps = [(low, high) for one in trap for low, high in zip(one.steps.low, one.steps.high, strict=True) if low == low]
    assert 0.85 <= np.mean([low <= 0 <= high for low, high in steps]) <= 0.95
    tops = [(one.same_low[k], one.profit[1], one.same_high[k]) for one in trap for k in (2, 3)]
    assert 0.80 <= np.mean([low <= level <= high for low, level, high in tops if low == low]) <= 0.98


def test_the_naive_ladder_climbs_all_the_same(trap):
    """What the mean over whoever is left would make one believe: "significant" growth, in nearly every seed."""
    assert np.mean([ladder.profit[5] > ladder.profit[1] for ladder in trap]) > 0.95
    assert np.mean([ladder.climb.low > 0 for ladder in trap]) > 0.80
    assert np.mean([ladder.purchase_growth[4] > 0 for ladder in trap]) > 0.95
    # The bounds of the climb and of the mix hold around the mean of all seeds, which is known to a tenth of a width.
    for name in ("climb", "mix"):
        changes = [getattr(ladder, name) for ladder in trap]
        middle = np.mean([change.amount for change in changes])
        assert 0.82 <= np.mean([change.low <= middle <= change.high for change in changes]) <= 0.97


def test_the_result_says_in_words_that_weak_customers_leave(trap):
    """At the 90 % level 5 % of the seeds may say that somebody grows; more than 13 of 120 by chance: 0.5 %."""
    found = [ladder.finding for ladder in trap]
    assert found.count("grows") <= 13
    assert found.count("mix") > 60
    said = next(ladder for ladder in trap if ladder.finding == "mix")
    assert "because weak customers leave, not because anyone grows" in said.verdict()
    assert said.verdict() in repr(said)


def test_growth_that_is_there_is_found():
    """A quarter of the first rate more each year: found in all of 15 shops, and of the right size in the mean.

    Planted: a mean rate of stayers times 0.25 a year; the strong buy 6 a year for 24.6 each, the weak 3 for 9.1.
    """
    ladders = [profit_ladder(shop(seed, growth=0.25), as_of=END) for seed in range(15)]
    assert {ladder.finding for ladder in ladders} == {"grows"}
    assert "Those who stay grow" in ladders[0].verdict()
    size = np.exp([2 + 0.08 + 0.125, 3 + 0.08 + 0.125])  # log-normal means: between and within customers
    planted = 0.25 * np.array([3.0, 6.0]) * size
    assert planted[0] < np.mean([ladder.growth.amount for ladder in ladders]) < 1.1 * planted[1]


def test_without_having_to_be_seen_again_those_who_leave_within_a_year_look_like_shrinking():
    """Wrong on purpose: same customers as those who bought in both years. The trap world then seems to shrink, and the
    interval fails far more often than it says; which is why stayers are seen again after the second year."""
    from retention.value.accounts.ladder_steps import _Step

    honest, naive = [], []
    for seed in range(40):
        log = shop(seed)
        honest.append(profit_ladder(log, as_of=END).growth)
        with pytest.MonkeyPatch.context() as patch:
            real = _Step.of.__func__
            patch.setattr(
                _Step,
                "of",
                classmethod(
                    lambda cls, cells, *rest, real=real: real(cls, cells._replace(last=cells.last + 99), *rest)
                ),
            )
            naive.append(profit_ladder(log, as_of=END).growth)
    # Means over 40 seeds have a standard error of about 0.24.
    assert abs(np.mean([change.amount for change in honest])) < 0.8
    assert np.mean([change.amount for change in naive]) < -1.2
    assert np.mean([change.high < 0 for change in naive]) > 0.2


def test_strong_customers_leaving_makes_it_fall_though_nobody_shrinks():
    """The mirror image: who buys much leaves soon."""
    rng = np.random.default_rng(5)
    rows = []
    for i in range(400):
        strong, born = i % 2 == 0, int(rng.integers(0, 300))
        stays = min(rng.exponential(500) if strong else 9_999, 365 * YEARS - 1 - born)
        since = np.ceil(rng.uniform(0, stays, rng.poisson((8 if strong else 2) * stays / 365))).astype(int)
        rows += [(f"{i:03d}", int(n), 10, 10) for n in [born, *(born + since)]]
    ladder = profit_ladder(log_of(rows), as_of=END)
    assert ladder.finding == "mix"
    assert "falls" in ladder.verdict()
    assert "not because anyone shrinks" in ladder.verdict()


@pytest.mark.parametrize("customers", [1, 8, 24])
def test_a_handful_of_customers_cannot_tell(customers):
    ladder = profit_ladder(shop(1, customers=customers), as_of=END)
    assert ladder.stayers < 20
    assert ladder.finding == "cannot tell"
    assert np.isnan([ladder.growth.low, ladder.growth.high, ladder.mix.low]).all()
    assert np.isnan(ladder.steps.low).all()
    assert ladder.verdict().startswith("Cannot tell")


@pytest.mark.parametrize(
    ("draw", "truth", "least"),
    [
        (lambda rng, n: np.diff(rng.lognormal(0, 1.2, (2, n)), axis=0)[0], 0.0, 0.875),
        (lambda rng, n: np.where(rng.random(n) < 0.15, rng.lognormal(3, 1, n), 0), 0.15 * np.exp(3.5), 0.80),
        (lambda rng, n: np.where(rng.random(n) < 0.15, -rng.lognormal(3, 1, n), 0), -0.15 * np.exp(3.5), 0.80),
    ],
    ids=["symmetric and heavy", "a few grow without bound", "a few shrink without bound"],
)
def test_bounds_hold_as_often_as_they_say_with_twenty_customers(draw, truth, least):
    """2000 samples of 20: a standard error of 0.7 points. Student's t alone holds 72 % of the second kind."""
    rng = np.random.default_rng(0)
    everyone, hits = np.ones(20, dtype=bool), 0
    for _ in range(2000):
        x = draw(rng, 20)
        low, high = _bounds(x.mean(), (x - x.mean()) / 20, everyone, 0.90)
        hits += low <= truth <= high
    assert least <= hits / 2000 <= 0.95


# Edges ---------------------------------------------------------------------------------------------------------------


def test_empty_and_hopeless_logs_have_a_ladder_too():
    empty = profit_ladder(log_of([]), as_of=day(900))
    assert empty.customers.tolist() == [0]
    returned = profit_ladder(log_of([("a", 3, -5, -2)]), as_of=day(900))
    assert returned.account["of customers who never bought"] == -2
    later = profit_ladder(log_of([("a", 950, 5, 2)]), as_of=day(900))
    for ladder in (empty, returned, later):
        assert ladder.verdict() == "Cannot tell: no customer is known to have stayed throughout two years."
        assert "ProfitLadder" in repr(ladder)
        assert ladder.plot() is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": "week"},
        {"interval": 1},
        {"acquisition_cost": {"a": 3}},
        {"acquisition_cost": -3},
        {"acquisition_cost": "much"},
        {"serving_costs": [1, 2, 3]},
        {"list_revenue": [1]},
        {"list_revenue": [1.0, float("nan")]},
        {"referrals": [1, 2]},
        {"as_of": "soon"},
        {"acquired_from": "then"},
    ],
    ids=str,
)
def test_what_is_wrong_is_said(wrong):
    log = log_of([("a", 0, 5, 5), ("b", 0, 5, 5)])
    with pytest.raises(RetentionError) as caught:
        profit_ladder(log, **{"as_of": day(900), **wrong})
    assert caught.value.remedy


@pytest.mark.parametrize("at", [["2010-01-01", "never"], ["2010-01-01", None], ["2010-01-01"]])
def test_postings_are_dated_and_whole(at):
    with pytest.raises(ConfigError):
        Postings.of(customer_id=["a", "b"], at=at, amount=[1, 2])
    with pytest.raises(ConfigError):
        Postings.of(customer_id=["a"], at=["2010-01-01"], amount=["much"])


def test_a_ladder_shows_itself(trap):
    ladder = trap[0]
    ax = ladder.plot()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "base profit" in labels
    assert "same customers, 90% interval" in labels
    assert "acquisition cost" not in labels
    assert ladder._repr_html_().startswith("<table>")
    plain = json.loads(json.dumps(ladder.to_dict()))
    assert plain["finding"] == ladder.finding
    assert ladder.customer("year 2")["customers"] == ladder.customers[2]
    assert profit_ladder(shop(0), as_of=END, by="quarter").tenure[1] == "quarter 1"
