"""Backtests: what was known at the cut and nothing else, counted alike on both sides, and no verdict without error."""

import csv
import datetime as dt
import gzip
import math

import numpy as np
import pytest
from attrs import evolve
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from retention.errors import ConfigError, ModelError
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.value import BGNBD, MBGNBD
from retention.value.choice import naive as _naive
from retention.value.choice.backtest import backtest, backtest_on
from retention.value.choice.naive import Spread, fitted_spread, naive_forecasts, observe
from retention.value.choice.scoring import FLOOR, difference, log_scores
from retention.value.margins.credibility import Credibility
from retention.value.purchases.nbd import NBD
from retention.value.purchases.paretonbd import ParetoNBD


def read(path, who, money=None):
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    spent = np.ones(len(rows)) if money is None else [row[money] for row in rows]
    return TransactionLog.from_arrays(
        customer_id=[row[who] for row in rows], at=[row["date"] for row in rows], revenue=spent
    )


def little_shop(customers=60, days=300, seed=3):
    """Customers who come and go, some with returns and some with an order that is undone later."""
    rng = np.random.default_rng(seed)
    start, who, at, revenue = np.datetime64("2021-01-01"), [], [], []
    for i in range(customers):
        first, rate = rng.integers(0, days // 2), rng.gamma(1.0, 0.03)
        on = [first, *(first + np.cumsum(np.ceil(rng.exponential(1 / max(rate, 1e-3), 40)))).tolist()]
        on = [int(day) for day in on if day < min(days, first + rng.exponential(200))] or [int(first)]
        who += [f"c{i:02d}"] * len(on)
        at += [start + np.timedelta64(day, "D") for day in on]
        revenue += np.round(rng.gamma(4.0, 5.0, len(on)), 2).tolist()
    return TransactionLog.from_arrays(customer_id=who, at=at, revenue=revenue)


def simulated(model, params, n, seed, weeks=52.0):
    """A base that a model made, up to now, and the purchase days of its next weeks."""
    rng = np.random.default_rng(seed)
    rows = model.kernel().simulate(params, rng.integers(20, 80, n).astype(float), rng)
    # Whole days, so that like customers are merged and fits are quick.
    days = np.where(rows.x > 0, np.maximum(np.rint(rows.t_x * 7), 1), 0)
    base = Histories.from_arrays(frequency=rows.x, recency_days=days, age_days=np.rint(rows.T * 7))
    return base, model.kernel().ahead(params, rows, weeks, 0.0, rng).counts


# Published and public data


def test_cdnow_after_39_weeks(shared_data):
    """1,882 purchases came; BG/NBD says 1,653, Pareto/NBD 1,666 as published; no baseline is near."""
    log = read(shared_data("cdnow/cdnow_sample.csv.gz"), "sample_id", "sales")
    tried = backtest(log, [BGNBD(), ParetoNBD()], cut="1997-09-30", until="1998-06-30")
    assert len(tried.customers) == 2357
    assert tried.newcomers == 0
    assert tried.horizon_days == 273.0
    rows = {name: tried.customer(name) for name in tried.model}
    assert {row["actual"] for row in rows.values()} == {1882.0}
    assert round(rows["bg-nbd"]["expected"]) == 1653
    assert round(rows["pareto-nbd"]["expected"]) == 1666
    assert rows["last period"]["expected"] == 2457.0  # all repeats of the first 39 weeks, once more
    day = log.day
    window = (day > np.datetime64("1997-09-30")) & (day <= np.datetime64("1998-06-30"))
    assert rows["bg-nbd"]["margin_actual"] == pytest.approx(log.margin.take(window).minor.sum() / 100, abs=0.01)
    for baseline in ("last period", "rfm cells", "base mean"):
        assert tried.compare("bg-nbd", baseline) > (0, 0, True)
        assert tried.compare("bg-nbd", baseline, by="purchases").told
    assert "cannot tell" in tried.why  # between the two models


def test_grocery_after_a_year(shared_data):
    """3,389 came; Pareto/NBD 3,990.8 with MAE 1.5079 and NBD 6,354.7 as BTYDplus prints; MBG is ahead of BG."""
    log = read(shared_data("grocery_elog/grocery.csv.gz"), "customer_id")
    models = [BGNBD(), MBGNBD(), ParetoNBD(), NBD()]
    tried = backtest(log, models, cut="2006-12-31", until="2007-12-30", baselines=False)
    rows = {name: tried.customer(name) for name in tried.model}
    assert rows["nbd"]["actual"] == 3389.0
    assert rows["pareto-nbd"]["expected"] == pytest.approx(3990.8, abs=0.1)
    assert rows["pareto-nbd"]["mae"] == pytest.approx(1.5079, abs=1e-4)
    assert rows["nbd"]["expected"] == pytest.approx(6354.7, abs=0.1)
    ahead = tried.compare("mbg-nbd", "bg-nbd")
    assert ahead.told
    assert ahead.better_by > 40
    assert not tried.compare("mbg-nbd", "pareto-nbd").told


# Leakage


def rewritten(log, cut, rng):
    """The same log up to the evening of the cut, and another world after it."""
    known = log.day <= np.datetime64(cut)
    past = log.take(known)
    n = 150
    who = rng.choice([*past.customers.labels.tolist(), "new1", "new2"], n)
    at = np.datetime64(cut) + rng.integers(1, 121, n).astype("timedelta64[D]")
    future = TransactionLog.from_arrays(customer_id=who, at=at, revenue=np.round(rng.normal(10, 30, n), 2))
    both = past + future
    # Every third order of before the cut is undone a week after it.
    undone = both.undone_at.copy()
    undone[: len(past) : 3] = np.datetime64(cut) + np.timedelta64(7, "D")
    return evolve(both, undone_at=undone)


def says(log, models, cut):
    tried = backtest(log, models, cut=cut, horizon_days=90)
    return {name: (f.purchases.tolist(), None if f.margin is None else f.margin.tolist())
            for name, f in tried.forecasts.items()}  # fmt: skip


def leaks(log, models, cut="2021-08-31"):
    """Whether anything after the cut changes any forecast."""
    before = says(log, models, cut)
    return any(says(rewritten(log, cut, np.random.default_rng(seed)), models, cut) != before for seed in (1, 2, 3))


def test_nothing_after_the_cut_changes_a_forecast():
    """Purchases, returns, new customers and undone orders after the cut leave models and baselines as they were."""
    assert not leaks(little_shop(), [BGNBD(), NBD()])


CUT = "2021-08-31"
SHOP = little_shop()
PAST, AFTER = SHOP.take(np.datetime64(CUT) >= SHOP.day), SHOP.take(np.datetime64(CUT) < SHOP.day)
WHO = [*PAST.customers.labels.tolist(), "new1", "new2", "new3"]
LATER = st.integers(0, 120 * 24 - 1)  # hours after midnight that ends the cut
CENTS = st.integers(-20_000, 200_000)
REWRITINGS = st.fixed_dictionaries({
    "added": st.lists(st.tuples(st.sampled_from(WHO), LATER, CENTS), max_size=30),
    "changed": st.dictionaries(st.integers(0, len(AFTER) - 1), st.tuples(st.sampled_from(WHO), LATER, CENTS)),
    "deleted": st.one_of(st.just(set(range(len(AFTER)))), st.sets(st.integers(0, len(AFTER) - 1))),
    "undone": st.dictionaries(st.integers(0, len(PAST) - 1), st.integers(1, 120)),
})  # fmt: skip


def other_future(added, changed, deleted, undone):
    """The shop with the same past, but that some of its orders are undone in the days after the cut, and with another
    future: some lines of it deleted, some changed (whose, when, how much), some added."""
    labels, codes = AFTER.customers.labels, AFTER.customers.codes
    lines = [(labels[codes[i]], AFTER.at[i], round(100 * AFTER.revenue.to_float()[i])) for i in range(len(AFTER))]
    midnight = np.datetime64(CUT, "s") + np.timedelta64(24, "h")
    made = {i: (who, midnight + np.timedelta64(h, "h"), cents) for i, (who, h, cents) in changed.items()}
    lines = [made.get(i, line) for i, line in enumerate(lines) if i not in deleted]
    lines += [(who, midnight + np.timedelta64(h, "h"), cents) for who, h, cents in added]
    log = PAST
    if lines:
        who, at, cents = zip(*lines, strict=True)
        log = PAST + TransactionLog.from_arrays(customer_id=who, at=at, revenue=np.array(cents) / 100)
    undone_at = log.undone_at.copy()
    for i, day in undone.items():
        undone_at[i] = np.datetime64(CUT) + np.timedelta64(day, "D")
    return evolve(log, undone_at=undone_at)


def sees_no_future(models):
    """The property, for ``models(log)``: any other future, the same forecasts."""
    told = says(SHOP, models(SHOP), CUT)

    @settings(max_examples=40, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(REWRITINGS)
    def check(rewriting):
        log = other_future(**rewriting)
        assert says(log, models(log), CUT) == told

    check()


def test_whatever_is_added_changed_or_deleted_after_the_cut_no_forecast_changes():
    """Of models without and with leaving, with margins by rate, and of all baselines."""
    by_rate = Credibility(first=True, by_rate=True)
    sees_no_future(lambda log: [NBD(), BGNBD(margin=by_rate)])


def test_an_order_undone_later_is_one_also_where_the_line_that_undoes_it_was_left_out():
    """A log cut by its lines still knows of the credit note; ``until`` forgets it."""
    undone = PAST.undone_at.copy()
    undone[:20] = np.datetime64("2021-09-05")
    told = evolve(PAST, undone_at=undone).until(dt.date(2021, 8, 31))
    assert not told.is_cancelled.any()
    assert evolve(PAST, undone_at=undone).until(dt.date(2021, 9, 5)).is_cancelled.sum() == 20


def test_the_property_catches_a_model_that_peeks():
    """Also one that looks up nothing but how much the shop took in all."""
    with pytest.raises(AssertionError):
        sees_no_future(lambda log: [Peeking(log)])
    with pytest.raises(AssertionError):
        sees_no_future(lambda log: [Peeking(log, seen=lambda log: round(log.revenue.to_float().sum()) % 2)])


def test_the_property_catches_a_split_that_knows_of_later_credit_notes(monkeypatch):
    def careless(self, as_of):
        return self.take(self.day <= np.datetime64(as_of, "D"))

    monkeypatch.setattr(TransactionLog, "until", careless)
    with pytest.raises(AssertionError):
        sees_no_future(lambda log: [NBD()])


class Peeking:
    """Wrong on purpose: fits to the whole log, whatever histories it is given, or to what it has ``seen`` of it."""

    name = "peeking"

    def __init__(self, log, seen=None):
        self.log, self.seen = log, seen

    def fit(self, histories):
        if self.seen is not None:
            return NBD().at(r=1.0 + self.seen(self.log), alpha=10.0, p=6.0, q=4.0, v=15.0)
        return NBD().fit(summarize(self.log, as_of=self.log.day.max().item()))

    def at(self, **params):
        raise NotImplementedError


def test_a_model_that_peeks_is_caught():
    log = little_shop()
    honest = says(log, [NBD()], "2021-08-31")["nbd"]
    assert says(log, [Peeking(log)], "2021-08-31")["peeking"] != honest
    future = rewritten(log, "2021-08-31", np.random.default_rng(1))
    assert says(log, [Peeking(log)], "2021-08-31") != says(future, [Peeking(future)], "2021-08-31")


def test_a_split_that_knows_of_later_credit_notes_is_caught(monkeypatch):
    """Cutting lines by date alone leaks: an order that is undone after the cut was an order on the evening of it."""

    def careless(self, as_of):
        return self.take(self.day <= np.datetime64(as_of, "D"))

    monkeypatch.setattr(TransactionLog, "until", careless)
    assert leaks(little_shop(), [NBD()])


# What happened is counted as histories are


def test_the_window_is_counted_as_histories_are():
    """One purchase day for two orders of one day, none for returns and undone orders; the last day counts."""
    log = TransactionLog.from_arrays(
        customer_id=["a", "a", "a", "a", "b", "b", "c", "c", "d", "a"],
        at=["2021-01-01", "2021-02-01", "2021-02-02T09", "2021-02-02T18", "2021-01-05", "2021-02-10", "2021-01-07",
            "2021-02-28", "2021-02-15", "2021-03-01"],
        revenue=[10, 99, 5, 6, 20, -8, 30, 7, 50, 1000],
    )  # fmt: skip
    undone = log.undone_at.copy()
    undone[1] = np.datetime64("2021-02-20")
    seen = observe(evolve(log, undone_at=undone), np.array(["a", "b", "c"]), after=dt.date(2021, 1, 31),
                   until=dt.date(2021, 2, 28))  # fmt: skip
    assert seen.purchases.tolist() == [1, 0, 1]
    assert seen.margin.tolist() == [110.0, -8.0, 7.0]
    assert (seen.newcomers, seen.newcomer_purchases, seen.newcomer_margin) == (1, 1, 50.0)


def test_counts_before_and_after_add_up():
    """For customers without undone orders: repeats at the cut plus those of the window are the repeats at its end."""
    log = little_shop()
    tried = backtest(log, [NBD()], cut="2021-07-31", until="2021-10-20")
    later = summarize(log, as_of="2021-10-20")
    rows = [later.position(who) for who in tried.customers.customer_id]
    assert (tried.customers.frequency + tried.customers.purchases).tolist() == later.frequency[rows].tolist()
    earlier = summarize(log, as_of="2021-07-31")
    assert (earlier.margin + tried.customers.margin) == pytest.approx(later.margin[rows], abs=1e-9)


def test_customers_who_came_later_are_counted_and_named():
    log = little_shop()
    tried = backtest(log, [NBD()], cut="2021-04-30", until="2021-10-20")
    late = summarize(log, as_of="2021-10-20").first_at > np.datetime64("2021-04-30")
    assert tried.newcomers == late.sum() > 0
    assert len(tried.customers) + tried.newcomers == 60
    assert any(f"{tried.newcomers} customers came after the cut" in note for note in tried.provenance.notes)


def test_a_window_that_outlasts_the_log_is_remarked():
    tried = backtest(little_shop(), [NBD()], cut="2021-07-31", until="2021-12-31", baselines=False)
    assert any("the log's last line is" in note for note in tried.provenance.notes)


# Baselines


def tiny():
    """Ten customers, a to j, who come on day 0; a day is the n-th of 2021."""
    visits = {"a": [0, 15, 25, 35], "b": [0, 35, 36], "c": [0, 5], "d": [0, 38]}
    visits |= {who: [0] for who in "efghij"}
    who = [name for name, days in visits.items() for _ in days]
    at = [np.datetime64("2021-01-01") + np.timedelta64(day, "D") for days in visits.values() for day in days]
    return TransactionLog.from_arrays(customer_id=who, at=at, revenue=[10.0] * len(who))


def test_baselines_by_hand():
    """Ten days before day 40 hold one visit of a, two of b and one of d; the mean is 0.4 visits and 4.00 of money."""
    log, cut = tiny(), dt.date(2021, 2, 10)  # day 40
    base = summarize(log, as_of=cut)
    (last, cells, mean), remark = naive_forecasts(log, base, cut, 10, 100)
    assert remark == ""
    assert last.purchases.tolist() == [1, 2, 0, 1, 0, 0, 0, 0, 0, 0]
    assert last.margin.tolist() == [10, 20, 0, 10, 0, 0, 0, 0, 0, 0]
    assert mean.purchases == pytest.approx([0.4] * 10)
    assert mean.margin == pytest.approx([4.0] * 10)
    # On day 30, the inner split, a had two repeats and c one, the others none, and six in ten are alike: both bounds of
    # the terciles by frequency are 0, so a and c are in the upper cell, which made 1 visit (a's): 1/2. The others made
    # three (b two, d one): 3/8.
    inner = _naive._cells(summarize(log, as_of="2021-01-31"))
    assert inner.tolist() == [6, 0, 6, 0, 0, 0, 0, 0, 0, 0]
    # On day 40 the bounds are 0 and 1 repeats: a and b are above, c and d between. Idle for at most 35 days: a to d.
    assert _naive._cells(base).tolist() == [6, 6, 3, 3, 9, 9, 9, 9, 9, 9]
    # So a and b get the upper cell's 1/2; cells that nobody was in on day 30 get the mean of all, 4 visits in ten.
    assert cells.purchases == pytest.approx([0.5, 0.5, *[0.4] * 8])
    assert cells.margin == pytest.approx([5.0, 5.0, *[4.0] * 8])


def test_baselines_of_a_young_log_say_so():
    log, cut = tiny(), dt.date(2021, 2, 10)
    (_, _, mean), remark = naive_forecasts(log, summarize(log, as_of=cut), cut, 60, 100)
    # Days 21 to 40 hold 5 visits (a 2, b 2, d 1): 0.5 a customer in 20 days, 1.5 in 60.
    assert mean.purchases == pytest.approx([1.5] * 10)
    assert "scaled to 60; last period is all there is" in remark
    assert naive_forecasts(log, summarize(log, as_of="2021-01-01"), dt.date(2021, 1, 1), 60, 100)[0] == ()


def test_a_spread_is_a_distribution():
    """Its probabilities of 0 .. 99 and of 100 and more add up to one, also where the mean is large."""
    for mean, size in ((0.0, 0.5), (2.0, 0.3), (90.0, 4.0), (1000.0, 2.0)):
        spread = Spread(0.1, size)
        scores = spread.log_scores(np.full(101, mean), np.arange(101.0), 100)
        assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-9)


def test_a_spread_is_found_again():
    """Planted extra 0.5 and size 2 come back from 20,000 counts (to about 3 standard errors)."""
    rng = np.random.default_rng(5)
    forecast = rng.gamma(1.0, 3.0, 20_000).round(1)
    mean = forecast + 0.5
    counts = rng.poisson(rng.gamma(2.0, mean / 2.0)).astype(float)
    found = fitted_spread(forecast, counts, 1000)
    assert found.extra == pytest.approx(0.5, abs=0.06)
    assert found.size == pytest.approx(2.0, abs=0.12)


def test_own_rate_and_base_mean_without_a_log():
    base = Histories.from_arrays(frequency=[2, 0, 4], recency_days=[50, 0, 100], age_days=[100, 100, 100],
                                 margin_mean=[10.0, 0.0, 5.0])  # fmt: skip
    own, mean = _naive.naive_from_histories(base, 50, 100)
    assert own.purchases == pytest.approx([1.0, 0.0, 2.0])
    assert own.margin == pytest.approx([10.0, 0.0, 10.0])
    assert mean.purchases == pytest.approx([1.0] * 3)
    assert mean.margin == pytest.approx([20 / 3] * 3)


# Scores


def test_log_scores_pick_the_right_probability():
    """Grouping customers by count changes nothing: the same as log P(actual) one by one, and the tail is the rest."""
    rng = np.random.default_rng(0)
    mean = rng.gamma(1.0, 5.0, 500)
    actual = rng.poisson(mean * rng.gamma(1.0, 1.0, 500))
    actual[:3] = (100, 250, 99)
    spread = Spread(0.0, 1.0)

    def probabilities(rows, most):
        each = np.arange(most + 1.0)
        return np.exp([spread.log_scores(np.full(most + 1, mean[row]), each, 10**6) for row in rows])

    scores, floored = log_scores(probabilities, actual)
    direct = spread.log_scores(mean, actual.astype(float), 100)
    assert floored == np.sum(direct < math.log(FLOOR))
    # What is left of 1 has about 1e-16 of rounding in it, which shows next to the floor only.
    assert scores == pytest.approx(np.maximum(direct, math.log(FLOOR)), abs=1e-3)


def test_the_impossible_costs_the_floor_and_is_counted():
    base = Histories.from_arrays(frequency=[0] * 30, recency_days=[0.0] * 30, age_days=[365.0] * 30)
    sure = NBD().at(r=50.0, alpha=5e6)  # a purchase in two thousand years
    tried = backtest_on(base, [0] * 29 + [40], horizon_days=90, models=[sure], baselines=False)
    assert tried.floored.tolist() == [1]
    assert tried.forecasts["nbd"].log_score.min() == pytest.approx(math.log(FLOOR))


def test_differences_of_independent_customers():
    """The textbook standard error of a paired sum."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(0.1, 1, 400), rng.normal(0, 1, 400)
    gap = difference(one, other)
    assert gap.better_by == pytest.approx((one - other).sum())
    assert gap.error == pytest.approx(math.sqrt(400) * (one - other).std(ddof=1))


def test_rows_of_one_customer_are_one_cluster():
    """Every row twice: the sum doubles, and so does its error. Rows taken as independent would claim less (√2)."""
    rng = np.random.default_rng(2)
    gap = rng.normal(0.1, 1, 300)
    once = difference(gap, np.zeros(300), np.arange(300))
    twice = difference(np.tile(gap, 2), np.zeros(600), np.tile(np.arange(300), 2))
    assert twice.better_by == pytest.approx(2 * once.better_by)
    assert twice.error == pytest.approx(2 * once.error)


def test_equals_are_rarely_told_apart():
    """Differences around zero: 'better' is said in at most 7 % of 400 cases (expected 4.6 %, seed fixed)."""
    rng = np.random.default_rng(3)
    said = sum(difference(rng.normal(0, 1, 200), np.zeros(200)).told for _ in range(400))
    assert said <= 28


# Verdicts


def test_the_model_that_made_the_world_wins():
    base, future = simulated(BGNBD(), (0.9, 6.0, 0.6, 1.2), 1000, seed=1)
    tried = backtest_on(base, future, horizon_days=364, models=[MBGNBD(), BGNBD(), NBD()])
    assert tried.best == "bg-nbd"
    assert tried.alike == ()
    assert tried.why.startswith("bg-nbd: ahead of mbg-nbd by ")
    # 1,000 customers of the right model: its total is right to a few per cent, that without leaving is far off.
    assert abs(tried.customer("bg-nbd")["bias"]) < 0.1 < tried.customer("nbd")["bias"]


def test_150_customers_do_not_tell_models_of_leaving_apart():
    """All three say about the same, and the verdict says that it cannot tell; that the base's mean is worse it can."""
    base, future = simulated(MBGNBD(), (1.2, 6.0, 0.6, 1.2), 150, seed=5)
    tried = backtest_on(base, future, horizon_days=364, models=[MBGNBD(), BGNBD(), ParetoNBD()])
    assert set(tried.alike) | {tried.best} == {"mbg-nbd", "bg-nbd", "pareto-nbd"}
    assert "cannot tell from" in tried.why
    assert "ahead of base mean" in tried.why


def test_calibration_groups_hold_everyone():
    base, future = simulated(BGNBD(), (0.9, 6.0, 0.6, 1.2), 400, seed=4)
    tried = backtest_on(base, future, horizon_days=364, models=[BGNBD()])
    for by in ("frequency", "forecast"):
        groups = tried.calibration(by=by)
        for name in tried.model:
            mine = groups[groups.model == name]
            assert mine.customers.sum() == 400
            assert (mine.customers * mine.actual).sum() == pytest.approx(future.sum())
            assert (mine.customers * mine.expected).sum() == pytest.approx(tried.customer(name)["expected"])
    lone = groups[groups.model == "bg-nbd"]
    assert np.all(np.diff(lone.expected) >= 0)


def test_rolling_origins_are_their_single_backtests_together():
    log, cuts = little_shop(), ["2021-06-30", "2021-07-31"]
    both = backtest(log, [NBD()], cut=cuts, horizon_days=60)
    one, other = (backtest(log, [NBD()], cut=cut, horizon_days=60) for cut in cuts)
    assert len(both.customers) == len(one.customers) + len(other.customers)
    for name in both.model:
        apart = one.customer(name)["expected"] + other.customer(name)["expected"]
        assert both.customer(name)["expected"] == pytest.approx(apart)
    assert both.newcomers == one.newcomers + other.newcomers
    single = difference(both.forecasts["nbd"].log_score, both.forecasts["base mean"].log_score)
    assert both.compare("nbd", "base mean").error != single.error  # clustered by customer
    with pytest.raises(ConfigError, match="without horizon_days"):
        backtest(log, [NBD()], cut=cuts)


def test_arrays_and_log_give_one_answer():
    log = little_shop()
    tried = backtest(log, [NBD()], cut="2021-07-31", horizon_days=60, baselines=False)
    base = summarize(log, as_of="2021-07-31")
    again = backtest_on(base, tried.customers.purchases, tried.customers.margin, horizon_days=60, models=[NBD()],
                        baselines=False)  # fmt: skip
    for name in ("expected", "actual", "mae", "rmse", "log_score", "margin_expected", "margin_actual", "margin_mae"):
        assert again[name].tolist() == tried[name].tolist()


class Outsider:
    """A fitted model of somebody else: it keeps the protocol, and gives no probabilities."""

    name, log_likelihood, standard_errors = "outsider", None, None

    def __init__(self, fitted):
        self._fitted, self.params = fitted, fitted.params

    def value(self, histories, **asked):
        return self._fitted.value(histories, **asked)

    def expected_purchases(self, histories, days):
        return self._fitted.expected_purchases(histories, days)

    log_likelihoods = p_alive = to_dict = from_dict = expected_purchases


def test_a_model_without_probabilities_is_judged_without_a_log_score():
    log = little_shop()
    fitted = NBD().fit(summarize(log, as_of="2021-07-31"))
    tried = backtest(log, {"theirs": Outsider(fitted), "ours": fitted}, cut="2021-07-31", horizon_days=60)
    theirs, ours = tried.customer("theirs"), tried.customer("ours")
    assert math.isnan(theirs["log_score"])
    assert theirs["mae"] == pytest.approx(ours["mae"])
    assert tried.best != "theirs"
    assert tried.model[-1] == "theirs"
    notes = " ".join(tried.provenance.notes)
    assert "theirs: gives no probabilities" in notes
    assert "ours: came with its parameters" in notes
    with pytest.raises(ConfigError, match="by log_score"):
        tried.compare("theirs", "ours")


def test_attributes_known_at_the_cut_can_be_attached():
    log = little_shop()
    seen = []

    def prepare(base):
        seen.append(len(base))
        return base.with_attributes({"odd": np.arange(len(base)) % 2})

    tried = backtest(log, [NBD(rate=("odd",))], cut="2021-07-31", horizon_days=60, prepare=prepare)
    assert seen == [len(tried.customers)]
    with pytest.raises(ConfigError, match="prepare gave back other customers"):
        backtest(log, [NBD()], cut="2021-07-31", horizon_days=60, prepare=lambda base: base[:5])


def test_bad_questions_have_one_clear_error():
    log = little_shop(20)
    with pytest.raises(ConfigError, match="two models named 'nbd'"):
        backtest(log, [NBD(), NBD(time_unit_days=30)], cut="2021-06-30")
    with pytest.raises(ConfigError, match="named 'base mean'"):
        backtest(log, {"base mean": NBD()}, cut="2021-06-30")
    with pytest.raises(ConfigError, match="of type int"):
        backtest(log, {"three": 3}, cut="2021-06-30")
    with pytest.raises(ConfigError, match="a window of"):
        backtest(log, [NBD()], cut="2021-06-30", until="2021-06-30")
    with pytest.raises(ConfigError, match="both until and horizon_days"):
        backtest(log, [NBD()], cut="2021-06-30", until="2021-07-30", horizon_days=30)
    with pytest.raises(ModelError, match="somebody must have bought"):
        backtest(log, [NBD()], cut="2019-06-30")
    with pytest.raises(ConfigError, match="no models"):
        backtest(log, [], cut="2021-06-30", baselines=False)
    base = Histories.from_arrays(frequency=[0, 1], recency_days=[0, 3], age_days=[9, 9])
    for counts in ([1], [1, -1], [0.5, 1]):
        with pytest.raises(ConfigError, match="actual_purchases"):
            backtest_on(base, counts, horizon_days=9, models=[NBD()])
    with pytest.raises(ConfigError, match="actual_margin"):
        backtest_on(base, [1, 1], [math.nan, 1], horizon_days=9, models=[NBD()])
    tried = backtest(log, [NBD()], cut="2021-06-30")
    with pytest.raises(ConfigError, match="no model named"):
        tried.compare("nbd", "nbt")
    with pytest.raises(ConfigError, match="compared by"):
        tried.compare("nbd", "base mean", by="luck")
    with pytest.raises(ConfigError, match="by frequency or by forecast"):
        tried.calibration(by="luck")


def test_it_shows_itself():
    pytest.importorskip("matplotlib").use("Agg")
    tried = backtest(little_shop(), [NBD(), BGNBD()], cut="2021-07-31", horizon_days=60)
    assert "forecasts of 60 days after 2021-07-31" in repr(tried)
    assert tried.why in repr(tried)
    assert "<p>" in tried._repr_html_()
    ax = tried.plot()
    assert {line.get_label() for line in ax.get_lines()} >= set(tried.model.tolist())
