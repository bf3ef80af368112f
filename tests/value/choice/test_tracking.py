"""Tracking: what a model expects of a base over calendar time, beside what the base did."""

import csv
import gzip
import math

import numpy as np
import pytest
from scipy.special import hyp2f1

from retention.errors import ConfigError, ModelError
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.value import BGNBD
from retention.value.choice import tracking as module
from retention.value.choice.tracking import track
from retention.value.purchases.nbd import NBD
from retention.value.purchases.paretonbd import ParetoNBD


def cdnow(path):
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    return TransactionLog.from_arrays(
        customer_id=[row["sample_id"] for row in rows], at=[row["date"] for row in rows],
        revenue=[row["sales"] for row in rows],
    )  # fmt: skip


def bg_mean(t, r, alpha, a, b):
    """E[X(t)] of BG/NBD, equation 9 of Fader, Hardie and Lee 2005."""
    z = t / (alpha + t)
    return (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + t)) ** r * hyp2f1(r, b, a + b - 1, z))


def test_cdnow_week_by_week(shared_data):
    """The actual curve is the published one, exactly; BG/NBD ends about 4 % under it, as in the paper's figure."""
    log = cdnow(shared_data("cdnow/cdnow_sample.csv.gz"))
    with open(shared_data("cdnow/cumulative_repeat_by_week.csv"), newline="") as file:
        published = [float(row["cumulative_repeat"]) for row in csv.DictReader(file)]
    params = {"r": 0.2425957, "alpha": 4.4136291, "a": 0.7929207, "b": 2.4259043}
    weeks = track(BGNBD().at(**params), log, cut="1997-09-30")
    assert weeks.actual.tolist() == published
    assert len(weeks) == 78
    assert weeks.known.sum() == 39
    assert weeks.customers == 2357
    first = np.array(
        [(day - np.datetime64("1997-01-01")).astype(int) for day in summarize(log, as_of="1998-06-30").first_at]
    )
    for week in (1, 12, 39, 78):
        ages = np.maximum(7 * week - 1 - first, 0) / 7
        direct = math.fsum(bg_mean(t, **params) for t in ages)
        assert weeks.expected[week - 1] == pytest.approx(direct, rel=1e-6)
    assert weeks.off[38] == pytest.approx(0.015, abs=0.005)
    assert weeks.off[77] == pytest.approx(-0.04, abs=0.005)


def test_a_shop_by_hand():
    """Two customers, four weeks; the NBD expects r t / alpha, and a day counts for its week until its evening."""
    log = TransactionLog.from_arrays(
        customer_id=["a", "a", "a", "a", "b", "b"],
        at=["2021-01-04", "2021-01-04T20", "2021-01-10", "2021-01-11", "2021-01-06", "2021-02-03"],
        revenue=[1, 2, 3, 4, 5, 6],
    )
    weeks = track(NBD().at(r=0.7, alpha=2.0), log)
    assert weeks.day.astype(str).tolist() == ["2021-01-10", "2021-01-17", "2021-01-24", "2021-01-31"]
    assert weeks.actual.tolist() == [1, 2, 2, 2]  # the fifth week is not over: the visit of 3 February is not shown
    assert weeks.actual_new.tolist() == [1, 1, 0, 0]
    ages = np.array([6 + 4, 13 + 11, 20 + 18, 27 + 25])
    assert weeks.expected == pytest.approx(0.35 * ages / 7)
    assert weeks.expected_new.sum() == pytest.approx(weeks.expected[-1])
    days = track(NBD().at(r=0.7, alpha=2.0), log, step_days=1)
    assert days.actual[-1] == 3
    assert days.actual[6] == 1
    assert days.actual[7] == 2
    assert days.expected[27] == pytest.approx(weeks.expected[3])


def test_customers_of_after_the_cut_are_not_tracked():
    log = TransactionLog.from_arrays(
        customer_id=["a", "a", "b", "b"], at=["2021-01-01", "2021-02-20", "2021-02-01", "2021-02-10"], revenue=[1] * 4
    )
    model = NBD().at(r=0.7, alpha=2.0)
    assert track(model, log, cut="2021-01-15", until="2021-02-28").actual[-1] == 1
    assert track(model, log, until="2021-02-28").actual[-1] == 2
    assert track(model, log, cut="2021-01-15", until="2021-02-28").known.sum() == 2


def test_histories_give_the_same_expectation_without_a_course():
    log = TransactionLog.from_arrays(
        customer_id=["a", "a", "b"], at=["2021-01-01", "2021-02-20", "2021-02-01"], revenue=[1] * 3
    )
    model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426)
    ours = track(model, summarize(log, as_of="2021-03-31"))
    theirs = track(model, log, until="2021-03-31")
    assert ours.expected.tolist() == theirs.expected.tolist()
    assert ours.actual is None
    assert np.isnan(ours.off).all()
    assert "actual" not in ours.columns()


def test_returns_and_undone_orders_are_no_purchases():
    log = TransactionLog.from_arrays(
        customer_id=["a"] * 4, at=["2021-01-01", "2021-01-05", "2021-01-06", "2021-01-13"], revenue=[9, -3, 4, 5]
    )
    assert track(NBD().at(r=0.7, alpha=2.0), log, until="2021-01-14").actual.tolist() == [1, 2]


@pytest.mark.parametrize("model", [BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426),
                                   ParetoNBD().at(r=0.55, alpha=10.6, s=0.61, beta=11.7)])  # fmt: skip
def test_the_curve_between_the_knots_is_the_model(model):
    """The spline through 120 ages is within 1e-5 of E[X(t)] at every one of 500 days."""
    ages = np.arange(0.0, 500.0)
    curve = module._by_age(lambda at: np.array([model.expected_new(float(age)) for age in at]), ages)
    some = np.arange(0, 500, 23)
    assert curve[some] == pytest.approx([model.expected_new(float(age)) for age in ages[some]], rel=2e-5, abs=1e-9)


@pytest.mark.parametrize("kind", [BGNBD, NBD])
def test_with_covariates_every_customer_is_expected_to_do_what_her_attributes_say(kind):
    """Against the sum over customers, one by one; in one channel they come five times as often."""
    rng, n = np.random.default_rng(4), 60
    often = np.where(np.arange(n) % 2, 5.0, 1.0)
    who = [*range(n), *rng.choice(n, 4 * n, p=often / often.sum())]
    log = TransactionLog.from_arrays(
        customer_id=[f"c{i:02d}" for i in who], revenue=[1.0] * (5 * n),
        at=np.datetime64("2021-01-01") + np.concatenate([np.arange(n) % 40, rng.integers(40, 200, 4 * n)]),
    )  # fmt: skip

    def known(base):
        own = np.array([int(who[1:]) for who in base.customer_id])
        return base.with_attributes({"channel": np.where(own % 2, "web", "shop"), "born": 1950.0 + own % 7})

    base = known(summarize(log, as_of="2021-07-31"))
    model = kind(rate=("channel", "born"), penalty=1.0).fit(base)
    weeks = track(model, log, until="2021-07-31", prepare=known)
    assert track(model, base).expected == pytest.approx(weeks.expected)
    for week in (1, 10, 30):
        day, one_by_one = weeks.day[week - 1], 0.0
        for i in range(n):
            age = (day - base.first_at[i]).astype(int)
            one_by_one += model.expected_new(float(age), among=base[[i]]) if age > 0 else 0.0
        assert weeks.expected[week - 1] == pytest.approx(one_by_one, rel=1e-5)
    everyone = model.expected_new(90.0, among=base)
    assert everyone == pytest.approx(np.mean([model.expected_new(90.0, among=base[[i]]) for i in range(n)]))
    assert everyone != pytest.approx(model.expected_new(90.0), rel=1e-3)


def test_it_tracks_the_world_that_the_model_made():
    """1,500 customers of one BG/NBD world: the last week's total within 4 standard deviations of the expectation."""
    rng, model, n = np.random.default_rng(8), BGNBD().at(r=0.6, alpha=6.0, a=0.8, b=2.5), 1500
    arrived = rng.integers(0, 90, n)
    rows = model.recipe.kernel().simulate(model.purchase_params, (364 - arrived) / 7, rng)
    first = np.datetime64("2021-01-01") + arrived
    base = Histories.from_arrays(
        frequency=rows.x, recency_days=rows.t_x * 7, age_days=364.0 - arrived, first_at=first, last_at=first,
        as_of=np.datetime64("2021-12-31").item(),
    )  # fmt: skip
    weeks = track(model, base)
    assert len(weeks) == 52
    assert abs(weeks.expected[-1] - rows.x.sum()) < 4 * math.sqrt(n) * rows.x.std()


def test_bad_questions_have_one_clear_error():
    model = NBD().at(r=0.7, alpha=2.0)
    log = TransactionLog.from_arrays(customer_id=["a"], at=["2021-01-01"], revenue=[1])
    with pytest.raises(ConfigError, match="step_days"):
        track(model, log, step_days=0)
    with pytest.raises(ConfigError, match="a whole period is over"):
        track(model, log, until="2021-01-03")
    with pytest.raises(ConfigError, match="a whole period is over"):
        track(model, log, cut="2020-01-03", until="2021-03-03")
    with pytest.raises(ConfigError, match="without dates"):
        track(model, Histories.from_arrays(frequency=[0], recency_days=[0], age_days=[9]))
    odd = Histories.from_arrays(frequency=[0, 3] * 30, recency_days=[0, 50] * 30, age_days=[90, 90] * 30)
    explained = NBD(rate=("odd",)).fit(odd.with_attributes({"odd": [0, 1] * 30}))
    with pytest.raises(ModelError, match="without the attribute 'odd'"):
        track(explained, log, until="2021-03-03")


def test_it_draws_both_pictures():
    pytest.importorskip("matplotlib").use("Agg")
    log = TransactionLog.from_arrays(
        customer_id=["a", "a", "b"], at=["2021-01-01", "2021-02-20", "2021-02-01"], revenue=[1] * 3
    )
    weeks = track(NBD().at(r=0.7, alpha=2.0), log, cut="2021-02-10", until="2021-03-31")
    assert len(weeks.plot().get_lines()) == 3
    assert weeks.plot(cumulative=False).get_ylabel() == "repeat purchases a week"
