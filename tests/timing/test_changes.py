"""A change of habit is noticed, at a stated rate of false alarms, and asked about once."""

import csv
import gzip
import io
import itertools
import math
import runpy
from pathlib import Path

import attrs
import numpy as np
import pytest

from retention.errors import ConfigError, RetentionError, UnknownNameError
from retention.histories import summarize
from retention.records import Contracts, TransactionLog
from retention.timing import (
    HABITS,
    ChangeMonitor,
    Rhythm,
    change_alerts,
    detection_delay,
    record_answers,
)

CLOCK = Rhythm(m0=3.0, kappa0=1.5, nu0=5.0, s0_squared=0.5, a=0.5, b=10.0, typical_gap_days=25.0)
START = np.datetime64("2018-01-01")
RATE = 0.01


def shop(seed, *, shape=3.0, customers=40, years=2.5, weekday=False, change=None, at=None, holiday=None):
    """Customers who keep all their habits, each her own; ``change(day, column)`` may plant something after ``at``."""
    rng = np.random.default_rng(seed)
    own = rng.gamma(3.0, 6.0, customers) + 5
    who, days = [], []
    for i, usual in enumerate(own):
        slow = change.get("gap", 1.0) if change else 1.0
        first = np.cumsum(rng.gamma(shape, usual / shape, int(365 * years / usual * 3) + 30)) + rng.uniform(0, 100)
        if at is not None:
            first = np.where(first > at, at + (first - at) * slow, first)
        d = np.floor(first[first < 365 * years]).astype(int)
        if weekday:
            d = d // 7 * 7 + rng.integers(7)
        if holiday is not None:
            d = d[(d < holiday[0]) | (d >= holiday[1])]
        d = np.unique(d)
        who.append(np.full(len(d), i))
        days.append(d)
    row, day = np.concatenate(who), np.concatenate(days)
    many = len(row)
    after = np.zeros(many, bool) if at is None else day > at
    revenue = np.exp(rng.normal(3.0, 0.4, customers)[row] + rng.normal(0.0, 0.4, many))
    share = np.clip(rng.normal(0.3, 0.15, many), -0.5, 0.9)
    category = np.array(list("ABCDE"))[rng.choice(5, many, p=[0.5, 0.3, 0.1, 0.06, 0.04])]
    channel = np.array(["shop", "web"])[(rng.random(many) < 0.25).astype(int)]
    if change:
        revenue = np.where(after, revenue * change.get("basket", 1.0), revenue)
        share = np.where(after, share + change.get("margin", 0.0), share)
        category = np.where(after & ("category" in change), "F", category)
        channel = np.where(after & ("channel" in change), "phone", channel)
    revenue = np.round(revenue, 2)
    return TransactionLog.from_arrays(
        customer_id=[f"c{i:03}" for i in row],
        at=START + day,
        revenue=revenue,
        margin=np.round(revenue * share, 2),
        category=category,
        channel=channel,
    )


def end_of(log):
    return str(log.day.max())


def test_a_change_is_as_loud_before_1970_as_after():
    """Days are counted from no date in particular: half a century earlier the same alarms are raised."""
    log = shop(3, change={"gap": 3.0}, at=500)
    early = attrs.evolve(log, at=log.at - np.timedelta64(60 * 365, "D"))
    now, then = (change_alerts(one, as_of=end_of(one), false_alarms_per_year=0.05) for one in (log, early))
    assert len(now) > 3
    assert len(then) == len(now)
    assert (then.customer_id == now.customer_id).all()


def raised(logs, **options):
    """Alarms and customer-years over many logs."""
    told = [change_alerts(log, as_of=end_of(log), false_alarms_per_year=RATE, **options) for log in logs]
    return sum(len(t) for t in told), sum(float(t.months.watched_years.sum()) for t in told)


# False alarms


@pytest.mark.parametrize(
    ("shape", "weekday"), [(4.0, False), pytest.param(1.0, False, marks=pytest.mark.slow),
                           pytest.param(12.0, False, marks=pytest.mark.slow),
                           pytest.param(3.0, True, marks=pytest.mark.slow)],
)  # fmt: skip
def test_who_changes_nothing_raises_no_more_alarms_than_stated_in_fifty_shops(shape, weekday):
    """I6, for Poisson buyers, regular ones, clocks and weekday habits: about 4,500 customer-years each."""
    alarms, years = raised(shop(seed, shape=shape, weekday=weekday) for seed in range(50))
    assert years > 4_000
    assert alarms <= RATE * years


def test_a_z_test_every_purchase_and_a_rule_of_ninety_days_break_that_rate():
    """Wrong on purpose: each purchase tested at 1 % on its own, and one silence for all."""
    z_alarms = rule_alarms = years = 0.0
    for seed in range(10):
        log = shop(seed, shape=1.0)
        years += len(np.unique(log.customers.codes)) * 2.3
        for code in range(len(log.customers.labels)):
            days = log.day[log.customers.codes == code].astype(int)
            gaps = np.log(np.maximum(np.diff(np.sort(days)), 1))
            rule_alarms += np.sum(np.exp(gaps) > 90)
            for n in range(8, len(gaps)):
                z_alarms += gaps[n] > gaps[:n].mean() + 2.33 * gaps[:n].std(ddof=1)
    assert z_alarms > 2 * RATE * years
    assert rule_alarms > 2 * RATE * years


def columns_of(path):
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    return {name: [row[name] for row in rows] for name in rows[0]}


def shuffled(log, seed):
    """A real log in which each customer's gaps come in another order, until her last purchase."""
    rng = np.random.default_rng(seed)
    code, day = np.unique(np.stack([log.customers.codes.astype(np.int64), log.day.astype(np.int64)], axis=1), axis=0).T
    edges = np.flatnonzero(np.r_[True, np.diff(code) != 0, True])
    new = day.copy()
    for a, b in itertools.pairwise(edges):
        new[a:b] = day[a] + np.r_[0, np.cumsum(rng.permutation(np.diff(day[a:b])))]
    return TransactionLog.from_arrays(
        customer_id=log.customers.labels[code], at=new.astype("datetime64[D]"), revenue=np.ones(len(new))
    )


def alarms_on_real_gaps(log, clock, seeds):
    """Alarms on gaps that ended (she came back, so they were false), for a year until a last purchase."""
    last = summarize(log, as_of="2007-12-30", habits=False)
    ended = dict(zip(last.customer_id.tolist(), last.last_at, strict=True))
    found = dict.fromkeys(HABITS, 0)
    for seed in seeds:
        told = change_alerts(shuffled(log, seed), as_of="2007-12-30", rhythm=clock, false_alarms_per_year=RATE)
        for who, at, habit in zip(told.customer_id.tolist(), told.at, told.habit.tolist(), strict=True):
            found[habit] += at <= ended[who]
    return found, len(seeds) * float(last.recency_days.sum()) / 365.25


def test_on_real_gaps_in_shuffled_order_the_rate_holds_and_without_pauses_it_does_not(shared_data):
    """1,525 grocery customers, 12 shuffles. A clock without pauses, wrong on purpose, takes holidays for farewells."""
    columns = columns_of(shared_data("grocery_elog/grocery.csv.gz"))
    log = TransactionLog.from_arrays(
        customer_id=columns["customer_id"], at=columns["date"], revenue=np.ones(len(columns["date"]))
    )
    base = summarize(log, as_of="2007-12-30", habits=False)
    good, years = alarms_on_real_gaps(log, Rhythm.fit(base), range(12))
    assert sum(good.values()) <= RATE * years
    assert good["frequency"] <= HABITS["frequency"] * RATE * years
    bad, years = alarms_on_real_gaps(log, Rhythm.fit(base, pause=0.0), range(12))
    assert sum(bad.values()) > 2 * sum(good.values())
    assert bad["silence"] > 2 * HABITS["silence"] * RATE * years


# What is noticed


@pytest.mark.parametrize(
    ("habit", "change", "direction"),
    [
        ("frequency", {"gap": 2.0}, "slower"),
        ("frequency", {"gap": 0.4}, "faster"),
        ("basket", {"basket": 0.4}, "lower"),
        ("basket", {"basket": 3.0}, "higher"),
        ("margin", {"margin": -0.4}, "lower"),
        ("category", {"category": True}, "other"),
        ("channel", {"channel": True}, "other"),
    ],
)
def test_a_planted_change_is_noticed_as_what_it_is(habit, change, direction):
    at = 450
    log = shop(1, shape=8.0, change=change, at=at, customers=40, years=3.0)
    told = change_alerts(log, as_of=end_of(log), since=START + at, rhythm=CLOCK)
    mine = told[(told.habit == habit) & (told.direction == direction)]
    others = told[~np.isin(told.habit, [habit, "silence"])]
    assert len(np.unique(mine.customer_id)) >= 20
    assert len(others) <= 4
    lower = direction in ("faster", "lower", "other")
    assert np.mean((mine.after < mine.before_low) if lower else (mine.after > mine.before_high)) > 0.9


def test_the_words_say_what_changed_and_what_did_not():
    rng = np.random.default_rng(2)
    gaps = np.r_[rng.choice([9, 10, 11, 12], 40), 90]
    day = np.r_[0, np.cumsum(gaps)]
    log = TransactionLog.from_arrays(
        customer_id=["Ada"] * len(day), at=START + day, revenue=np.round(rng.normal(30, 4, len(day)), 2)
    )
    told = change_alerts(log, as_of=str(START + int(day[-1])), rhythm=CLOCK)
    row = told.customer("Ada")
    assert (row["habit"], row["direction"]) == ("silence", "silent")
    assert row["words"].startswith("used to come every 9 to 11 days, it has been") or row["words"].startswith(
        "used to come every 10 to 11 days, it has been"
    )
    assert row["words"].endswith("baskets are unchanged")
    assert row["after"] < 90


def test_silence_is_told_on_the_evening_it_becomes_rare_and_once():
    day = np.arange(0, 400, 10)
    log = TransactionLog.from_arrays(customer_id=["a"] * len(day), at=START + day, revenue=[5.0] * len(day))
    told = change_alerts(log, as_of="2021-12-31", rhythm=CLOCK)
    assert told["habit"].tolist() == ["silence"]
    before = str(told.at[0] - np.timedelta64(1, "D"))
    assert len(change_alerts(log, as_of=before, rhythm=CLOCK)) == 0
    assert len(change_alerts(log, as_of=str(told.at[0]), rhythm=CLOCK)) == 1
    assert len(change_alerts(log, as_of="2021-12-31", since="2021-01-01", rhythm=CLOCK)) == 0


def test_regular_customers_are_noticed_soon_and_poisson_buyers_hardly_ever():
    """Their rates halve after 60 gaps on record: in old gaps, half of the clocks by 20, of Poisson buyers not in 60.

    Nobody beats the bound in the median, and a full stop is seen sooner than a halved rate.
    """
    table = detection_delay((1.0, 4.0, 8.0), gaps_before=60, customers=200)
    assert np.isinf(table.median_gaps[0])
    assert table.median_gaps[2] < table.median_gaps[1] < 40
    assert table.median_gaps[2] < 20
    assert np.all(table.median_gaps > table.bound_gaps)
    assert np.all(np.diff(table.found) >= 0)
    stopped = detection_delay((4.0, 8.0), slowdown=math.inf, gaps_before=60)
    assert np.all(stopped.median_gaps < table.median_gaps[1:])
    assert np.all(stopped.found > 0.95)


def test_a_slowdown_by_forty_percent_is_found_and_takes_longer_than_a_halved_rate():
    """I6: gaps 1 / 0.6 times as long, clocks with 60 gaps on record."""
    halved = detection_delay((8.0,), gaps_before=60)
    slower = detection_delay((8.0,), slowdown=1 / 0.6, gaps_before=60)
    assert halved.median_gaps[0] < slower.median_gaps[0] < 35
    assert slower.found[0] > 0.8


def test_a_larger_budget_of_false_alarms_finds_changes_sooner():
    small, large = (
        detection_delay((4.0,), gaps_before=60, false_alarms_per_year=rate).median_gaps[0] for rate in (0.01, 0.2)
    )
    assert large < small


# One engine, two ways


@pytest.mark.parametrize("seed", range(4))
def test_updates_day_by_day_raise_the_alarms_of_the_replay(seed):
    """Whatever the days between updates, and through a saved state, a planted change included."""
    log = shop(seed, shape=6.0, customers=25, at=400, change={"gap": 2.0, "basket": 0.5, "category": True})
    rng = np.random.default_rng(seed)
    options = {"false_alarms_per_year": 0.05, "memory": 16}
    whole = change_alerts(log, as_of=end_of(log), rhythm=CLOCK, habits=HABITS, **options)
    assert len(whole) > 10
    monitor = ChangeMonitor(CLOCK, habits=HABITS, **options)
    told, day, last = [], log.day.min(), log.day.max()
    while day <= last:
        ahead = np.timedelta64(int(rng.choice([1, 1, 1, 2, 9])), "D")
        until = min(day + ahead - np.timedelta64(1, "D"), last)
        lines = log.take((log.day >= day) & (log.day <= until))
        told.append(monitor.update(lines if len(lines) else None, day=str(until)))
        if rng.random() < 0.05:
            file = io.BytesIO()
            np.savez(file, **monitor.state())
            file.seek(0)
            monitor = ChangeMonitor.from_state(np.load(file, allow_pickle=False))
        day = until + np.timedelta64(1, "D")

    def rows(tables):
        return sorted(
            row
            for t in tables
            for row in zip(
                t.task_id.tolist(), t.customer_id.tolist(), t.at.astype(str).tolist(), t.habit.tolist(),
                t.direction.tolist(), t.words.tolist(), t.after.tolist(), strict=True,
            )
        )  # fmt: skip

    assert rows(told) == rows([whole])
    assert sum(t.months.watched_years.sum() for t in told) == pytest.approx(whole.months.watched_years.sum())
    assert monitor.state()["day"] == end_of(log)


def test_nothing_is_used_before_it_is_known():
    log = shop(5, shape=8.0, customers=30, years=3.0, at=450, change={"gap": 0.5, "basket": 0.3})
    later = change_alerts(log, as_of=end_of(log), rhythm=CLOCK)
    cut = str(START + 650)
    early = change_alerts(log, as_of=cut, rhythm=CLOCK)
    assert early.task_id.tolist() == later[later.at <= np.datetime64(cut)].task_id.tolist()
    assert len(later) > len(early) > 0


# Tasks and answers


def test_each_alarm_opens_exactly_one_task_and_answers_become_causes():
    log = shop(3, shape=6.0, customers=30, at=400, change={"gap": 2.5})
    told = change_alerts(log, as_of=end_of(log), rhythm=CLOCK)
    tasks = told.tasks()
    assert len(tasks) == len(told) == len({task.id for task in tasks}) > 5
    assert tasks[0].words == told.words[0]
    first, second = tasks[0], next(t for t in tasks if t.customer_id != tasks[0].customer_id)
    answers = record_answers(told, {first.id: "price", second.customer_id: " moved "})
    assert set(answers.cause) == {"price", "moved"}
    assert answers.counts()["price"] == 1
    ends = str(log.day.max())
    contracts = Contracts.from_arrays(
        customer_id=[first.customer_id, second.customer_id, "x", second.customer_id],
        start=["2018-01-01", "2018-01-01", "2018-01-01", "2017-01-01"],
        end=[ends, ends, ends, "2017-12-31"],
        cause=["illness", None, None, None],
        as_of=ends,
    )
    filled = answers.fill(contracts)
    cause = {(str(w), str(s)): str(c) for w, s, c in zip(filled.customer_id, filled.start, filled.cause, strict=True)}
    assert cause[(first.customer_id, "2018-01-01")] == "illness"  # what was stated stays
    assert cause[(second.customer_id, "2018-01-01")] == "moved"
    assert cause[("x", "2018-01-01")] == "" == cause[(second.customer_id, "2017-01-01")]


def test_answers_to_no_task_and_without_a_reason_are_refused():
    log = shop(3, shape=6.0, customers=10, at=400, change={"gap": 2.5})
    told = change_alerts(log, as_of=end_of(log), rhythm=CLOCK)
    with pytest.raises(UnknownNameError, match="no task"):
        record_answers(told, {"why-0": "price"})
    with pytest.raises(ConfigError, match="without a reason"):
        record_answers(told, {str(told.task_id[0]): "  "})
    assert len(record_answers(told, {})) == 0


# Seasons


def lived(years, *, season=0.6, closed=35, sundays=True):
    """How much of a day each day is to everybody: a yearly wave, a closure a year, and the shop closed on Sundays."""
    day = np.arange(int(365 * years))
    rate = 1 + season * np.sin(2 * np.pi * day / 365.25)
    rate[(day % 365 >= 200) & (day % 365 < 200 + closed)] = 0
    if sundays:
        rate[day % 7 == 6] = 0
    return np.append(0.0, np.cumsum(rate))


def seasonal(seed, *, customers=40, shape=8.0, usual=9.0, years=2.0, slow=0, at=None, **shared):
    """Customers who keep their habits in a year that is the same for all; the first ``slow`` change theirs."""
    rng = np.random.default_rng(seed)
    clock = lived(years, **shared)
    own = rng.gamma(3.0, (usual - 5) / 3, customers) + 5
    who, days = [], []
    for i, mean in enumerate(own):
        times = rng.uniform(0, 60) + np.cumsum(rng.gamma(shape, mean / shape, int(3 * clock[-1] / mean) + 30))
        if i < slow:
            times = np.where(times > clock[at], clock[at] + 3.0 * (times - clock[at]), times)
        days.append(np.unique(np.searchsorted(clock, times[times < clock[-1]], side="right") - 1))
        who.append(np.full(len(days[-1]), i))
    row, day = np.concatenate(who), np.concatenate(days)
    return TransactionLog.from_arrays(
        customer_id=[f"c{i:04}" for i in row], at=START + day, revenue=np.round(rng.lognormal(3.0, 0.4, len(row)), 2)
    )


FAST = Rhythm(m0=2.1, kappa0=1.5, nu0=5.0, s0_squared=0.3, a=0.5, b=10.0, typical_gap_days=9.0)


def alarms_and_years(seeds, relative, **world):
    told = [
        change_alerts(
            log, as_of=end_of(log), rhythm=FAST, habits=["silence", "frequency"], relative_to_base=relative,
            false_alarms_per_year=RATE,
        )
        for log in (seasonal(seed, **world) for seed in seeds)
    ]  # fmt: skip
    return sum(len(t) for t in told), sum(float(t.months.watched_years.sum()) for t in told)


def test_in_fifty_shops_with_seasons_closures_and_sundays_the_rate_holds_and_by_the_calendar_alone_it_does_not():
    """About 3,700 customer-years of customers who change nothing; the calendar, wrong on purpose, blames them."""
    alarms, years = alarms_and_years(range(50), True)
    assert years > 3_500
    assert alarms <= RATE * years
    wrong, years = alarms_and_years(range(8), False)
    assert wrong > 2 * RATE * years


@pytest.mark.slow
@pytest.mark.parametrize("world", [{"customers": 150, "usual": 18.0, "shape": 4.0}, {"customers": 150, "shape": 12.0},
                                   {"season": 0.0, "closed": 0, "sundays": False, "customers": 150}])  # fmt: skip
def test_the_rate_holds_in_larger_bases_and_without_a_season_too(world):
    alarms, years = alarms_and_years(range(12), True, **world)
    assert years > 2_500
    assert alarms <= RATE * years


def test_on_no_day_of_a_closed_shop_or_after_a_sale_the_base_is_blamed_at_once():
    """400 customers of every week or so; nine weeks closed. By the calendar hundreds of alarms come in that time."""
    log = seasonal(1, customers=400, usual=8.0, season=0.0, closed=63, sundays=False, years=1.6)
    counts = []
    for relative in (True, False):
        told = change_alerts(log, as_of=end_of(log), rhythm=FAST, habits=["silence"], relative_to_base=relative)
        counts.append(len(told))
    assert counts[0] <= 10 < 100 < counts[1]
    sale = seasonal(2, customers=400, usual=8.0, season=0.0, closed=0, sundays=False, years=1.6)
    day = sale.day.min() + np.timedelta64(300, "D")
    names = sale.customers.labels
    crowd = TransactionLog.from_arrays(
        customer_id=np.append(sale.customers.labels[sale.customers.codes], names[::2]),
        at=np.append(sale.day, np.full(len(names[::2]), day)),
        revenue=np.ones(len(sale) + len(names[::2])),
    )
    told = change_alerts(crowd, as_of=end_of(crowd), rhythm=FAST, habits=["silence", "frequency"])
    assert np.sum((told.at >= day) & (told.at < day + np.timedelta64(60, "D"))) <= 10


def test_who_slows_down_in_a_season_is_found_and_the_others_are_not():
    """30 of 150 come a third as often from one day on."""
    log = seasonal(3, customers=150, slow=30, at=380)
    mine = [f"c{i:04}" for i in range(30)]
    others = {}
    for relative in (True, False):
        told = change_alerts(
            log, as_of=end_of(log), rhythm=FAST, habits=["silence", "frequency"], relative_to_base=relative
        )
        theirs = np.isin(told.customer_id, mine) & np.isin(told.direction, ["slower", "silent"])
        assert len(np.unique(told.customer_id[theirs])) >= 20
        others[relative] = int(np.sum(~theirs))
    assert others[True] <= 3 < 10 <= others[False]


def test_the_shops_time_is_the_planted_one_up_to_its_unit():
    """1,000 customers, a year with a wave, a closure and Sundays: after five months each month's length is within 12 %
    of what was planted, in units of the whole; without a season every month's is within 12 % of one."""
    for shared in ({}, {"season": 0.0, "closed": 0, "sundays": False}):
        log = seasonal(5, customers=1000, usual=20.0, shape=6.0, **shared)
        months = change_alerts(log, as_of=end_of(log), rhythm=CLOCK, habits=["frequency"]).months
        day = np.diff(lived(2.0, **shared))
        month = (START + np.arange(len(day))).astype("datetime64[M]").astype(str)
        truth = np.array([day[month == m].mean() for m in months.month])
        ratio = (months.pace / truth)[5:]
        assert np.all(np.abs(ratio / ratio.mean() - 1) < 0.12)


def test_in_the_shops_time_too_updates_raise_the_alarms_of_the_replay():
    """Whoever is named first, whatever the days between updates, and through a saved state."""
    log = seasonal(6, customers=100, slow=30, at=300, years=1.6)
    options = {"false_alarms_per_year": 0.05, "memory": 16, "habits": ["silence", "frequency"]}
    whole = change_alerts(log, as_of=end_of(log), rhythm=FAST, **options)
    assert len(whole) > 10
    assert whole.months.pace.min() < 0.5, "time is not the calendar's"
    monitor, told, day, last = ChangeMonitor(FAST, **options), [], log.day.min(), log.day.max()
    rng = np.random.default_rng(0)
    while day <= last:
        until = min(day + np.timedelta64(int(rng.choice([1, 1, 2, 9, 40])), "D"), last)
        lines = log.take(np.flatnonzero((log.day >= day) & (log.day <= until))[::-1])
        told.append(monitor.update(lines if len(lines) else None, day=str(until)))
        monitor = ChangeMonitor.from_state(monitor.state())
        day = until + np.timedelta64(1, "D")
    assert sorted(t for table in told for t in table.task_id.tolist()) == sorted(whole.task_id.tolist())
    assert sorted(w for table in told for w in table.words.tolist()) == sorted(whole.words.tolist())


def test_what_the_whole_base_does_is_told_by_the_months_and_by_no_alarm():
    """Three closed months."""
    log = shop(4, shape=8.0, customers=150, years=2.5, holiday=(600, 690))
    told = change_alerts(log, as_of=end_of(log), habits=["silence", "frequency"], rhythm=CLOCK)
    months = told.months
    assert set(months.month[np.argsort(months.pace)[:2]]) == {"2019-09", "2019-10"}
    assert months.pace.min() < 0.2
    assert np.all(months.pace[(months.month > "2018-06") & (months.month < "2019-08")] > 0.7)
    assert len(told) <= 5
    assert "expected by chance" in repr(told)
    assert len(months.plot().patches) == len(months)
    calendar = change_alerts(
        log, as_of=end_of(log), habits=["silence", "frequency"], rhythm=CLOCK, relative_to_base=False
    )
    worst = int(np.argmin(calendar.months.chance))
    assert calendar.months.month[worst] in ("2019-09", "2019-10", "2019-11")
    assert calendar.months.chance[worst] < 1e-4
    assert (calendar.months.pace == 1.0).all()


# Odd and bad input


def test_bad_input_is_one_clear_error():
    log = shop(0, customers=3)
    for wrong in (
        {"false_alarms_per_year": 0.0},
        {"habits": ["mood"]},
        {"habits": []},
        {"habits": {"silence": -1.0}},
        {"memory": 1},
        {"since": "2031-01-01"},
    ):
        with pytest.raises(ConfigError):
            change_alerts(log, as_of="2020-12-31", rhythm=CLOCK, **wrong)
    bare = TransactionLog.from_arrays(customer_id=["a"], at=["2020-01-01"], revenue=[1.0])
    with pytest.raises(RetentionError, match="category"):
        change_alerts(bare, as_of="2020-12-31", rhythm=CLOCK, habits=["category"])
    monitor = ChangeMonitor(CLOCK, habits=["silence"])
    monitor.update(bare, day="2020-01-05")
    with pytest.raises(RetentionError, match="an update to"):
        monitor.update(bare, day="2020-01-06")
    with pytest.raises(RetentionError, match="an update to"):
        monitor.update(None, day="2020-01-05")
    with pytest.raises(ConfigError):
        detection_delay((0.0,))


def test_nobody_one_purchase_and_all_on_one_day_raise_nothing():
    for who in ([], ["a"], ["a", "b", "c"]):
        log = TransactionLog.from_arrays(customer_id=who, at=["2020-01-01"] * len(who), revenue=[1.0] * len(who))
        told = change_alerts(log, as_of="2022-01-01")
        assert len(told) == 0
        assert len(told.tasks()) == 0


def test_free_goods_losses_and_returns_are_no_trouble():
    rng = np.random.default_rng(0)
    day = np.cumsum(rng.integers(5, 15, 60))
    revenue = np.where(rng.random(60) < 0.1, 0.0, np.round(rng.normal(20, 3, 60), 2))
    margin = np.round(revenue * rng.normal(0.0, 0.3, 60), 2)
    at = START + np.r_[day, day[:5] + 2]
    log = TransactionLog.from_arrays(
        customer_id=["a"] * 65, at=at, revenue=np.r_[revenue, np.full(5, -3.0)], margin=np.r_[margin, np.full(5, -1.0)]
    )
    assert len(change_alerts(log, as_of=str(at.max()), rhythm=CLOCK)) == 0


def test_the_benchmark_of_a_day_runs_on_a_small_base(capsys):
    monitor = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "monitor.py"))
    monitor["cost"](300, 4, 8, 1)
    told = capsys.readouterr().out
    assert told.startswith("300 customers, 4 purchases each")
    assert "x floor" in told
    assert "at its peak" in told
