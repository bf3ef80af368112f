"""Clocks are judged on what happened, from what was known before it."""

import datetime as dt

import numpy as np
import pytest

from retention.errors import ConfigError
from retention.histories import summarize
from retention.records import TransactionLog, read_transactions
from retention.timing import LogT, backtest
from retention.value import BGNBD, NBD
from retention.worlds import Persona, Shop

CUTS = ["2010-12-31", "2011-04-30"]


@pytest.fixture(scope="module")
def log():
    return Shop.corner_shop(customers=250, seed=3).simulate().log


@pytest.fixture(scope="module")
def tried(log):
    return backtest(log, cutoffs=CUTS, models=[LogT(), BGNBD(), NBD()], days=[14, 60])


def test_every_model_is_judged_at_every_horizon_on_the_same_outcomes(tried):
    scores = tried.scores
    assert len(scores) == 2 * 5
    for d in (14.0, 60.0):
        rows = scores.days == d
        assert len(set(scores.actual[rows])) == 1
        assert scores.behind[rows].min() == 0.0
        np.testing.assert_allclose(scores.log_score[rows], scores.log_score[rows].max() - scores.behind[rows])
    assert (scores.actual[scores.days == 60.0] > scores.actual[scores.days == 14.0]).all()
    assert "surprise" in repr(tried)


def test_scores_are_those_of_the_promises_and_outcomes_by_hand(tried, log):
    p, y = tried.promises["bg-nbd", 60.0], tried.outcomes[60.0]
    row = tried.scores.take((tried.scores.model == "bg-nbd") & (tried.scores.days == 60.0))
    assert row.log_score[0] == pytest.approx(np.mean(np.log(np.maximum(np.where(y, p, 1 - p), 1e-6))), rel=1e-6)
    assert row.brier[0] == pytest.approx(np.mean((p - y) ** 2))
    pairs = p[y][:, None] - p[~y][None, :]
    assert row.auc[0] == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    first = summarize(log.until(dt.date(2010, 12, 31)), as_of="2010-12-31", habits=False)
    np.testing.assert_array_equal(p[: len(first)], BGNBD().fit(first).p_purchase(first, 60.0))
    assert sum(n for n, _, _ in tried.calibration("bg-nbd", 60)) == len(p)


def test_what_happened_after_the_last_horizon_changes_no_score(log, tried):
    """No leakage: cut the log off where the last window ends, and every promise and score stays the same."""
    shorter = log.take(log.day <= np.datetime64("2011-06-29"))
    again = backtest(shorter, cutoffs=CUTS, models=[LogT(), BGNBD(), NBD()], days=[14, 60])
    assert again.scores.equals(tried.scores)
    for key, values in tried.promises.items():
        np.testing.assert_array_equal(values, again.promises[key])


class Crystal:
    """Wrong on purpose: a model that looks at the future."""

    name = "crystal"

    def __init__(self, log):
        self.log = log

    def fit(self, histories):
        return self

    def p_purchase(self, histories, days):
        as_of = np.datetime64(histories.provenance.as_of)
        window = (self.log.day > as_of) & (self.log.day <= as_of + np.timedelta64(int(days), "D"))
        seen = self.log.customers.labels[np.unique(self.log.customers.codes[window & ~self.log.is_return])]
        return np.where(np.isin(histories.customer_id, seen), 0.999, 0.001)

    def p_alive(self, histories):
        return self.p_purchase(histories, 3000)


def test_one_who_sees_the_future_wins_and_is_hardly_surprised(log):
    told = backtest(log, cutoffs=CUTS, models=[Crystal(log), LogT()], days=[60], alarms=0.5)
    best = told.scores.model[told.scores.behind == 0]
    assert best.tolist() == ["crystal"]
    surprise = dict(zip(told.surprise.model, told.surprise.surprise, strict=True))
    assert surprise["crystal"] < 0.05 < surprise["log-t"]


def clockwork(seed):
    """Regular buyers at two speeds, who leave after any purchase: recency alone mixes the two speeds up."""
    people = [
        Persona(name="weekly", gap_days=7, rate_shape=50, regularity=(12,), dropout=0.01, margin=10),
        Persona(name="quarterly", gap_days=90, rate_shape=50, regularity=(12,), dropout=0.05, margin=60),
    ]
    return Shop(customers=150, years=3, seed=seed, personas=tuple(people), returns=0.0, cancelled=0.0).simulate().log


@pytest.mark.slow
def test_where_customers_have_clocks_the_clock_wins_and_surprises_less_than_a_fixed_rule():
    """T1: 12 worlds; the clock is ahead of BG/NBD and both rules in all, and is surprised by less on average."""
    rates = {"log-t": [], "90 days": []}
    for seed in range(12):
        told = backtest(clockwork(seed), cutoffs=["2010-12-31"], models=[LogT(), BGNBD()], days=[28], lead_days=60)
        assert told.scores.model[told.scores.behind == 0].tolist() == ["log-t"]
        surprise = dict(zip(told.surprise.model, told.surprise.surprise, strict=True))
        for name, found in rates.items():
            found.append(surprise[name])
    gap = np.array(rates["90 days"]) - np.array(rates["log-t"])
    assert gap.mean() > 2 * gap.std(ddof=1) / np.sqrt(len(gap)), "more than two standard errors"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns", "cuts", "days"),
    [
        ("cdnow/cdnow_sample.csv.gz", {"customer": "sample_id", "at": "date", "revenue": "sales"},
         ["1997-06-30", "1997-09-30", "1997-12-31"], [28, 91]),
        ("grocery_elog/grocery.csv.gz", None, ["2006-07-01", "2006-12-31", "2007-06-30"], [7, 28, 91]),
    ],
)  # fmt: skip
def test_on_two_real_shops_the_clock_is_ahead_of_bg_nbd_and_of_recency(name, columns, cuts, days, shared_data):
    """Log scores, with errors over customers: ahead at every horizon, at the longest by more than two errors."""
    path = shared_data(name)
    if columns is None:
        import gzip

        with gzip.open(path, "rt") as file:
            rows = [line.strip().replace('"', "").split(",") for line in file][1:]
        log = TransactionLog.from_arrays(
            customer_id=[row[0] for row in rows], at=[row[1] for row in rows], revenue=np.ones(len(rows)), margin=1.0
        )
    else:
        log = read_transactions(path, margin=1.0, **columns)
    scores = backtest(log, cutoffs=cuts, models=[LogT(), BGNBD()], days=days).scores
    assert set(scores.model[scores.behind == 0]) == {"log-t"}
    far = scores.take((scores.days == max(days)) & (scores.model != "log-t"))
    assert (far.behind > 2 * far.behind_error).all()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"cutoffs": []}, "without cutoffs"),
        ({"cutoffs": ["2011-12-20"]}, "must have happened"),
        ({"models": [LogT(), LogT()]}, "name of its own"),
        ({"models": {"recency": LogT()}}, "taken"),
        ({"models": {"x": 3}}, "without fit"),
        ({"days": []}, "without cutoffs"),
        ({"alarms": 0}, "alarms"),
        ({"days": [0.5]}, "whole days"),
        ({"cutoffs": ["1990-01-01"]}, "before the log begins"),
        ({"models": ["log-t"]}, "without fit"),
        ({"models": "log-t"}, "without fit"),
        ({"lead_days": 91.5}, "whole days"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(log, more, told):
    with pytest.raises(ConfigError, match=told):
        backtest(log, **({"cutoffs": CUTS, "models": [LogT()]} | more))


def test_the_picture_shows_the_calibration(tried):
    ax = tried.plot()
    lines = {line.get_label(): line for line in ax.lines}
    rows = tried.calibration("log-t", 60)
    np.testing.assert_allclose(lines["log-t"].get_xdata(), [r[1] for r in rows])
    np.testing.assert_allclose(lines["log-t"].get_ydata(), [r[2] for r in rows])
    with pytest.raises(ConfigError, match="calibration of"):
        tried.calibration("log-q", 60)


def test_one_model_and_one_horizon_need_no_list(log, tried):
    told = backtest(log, cutoffs="2010-12-31", models=LogT(), days=14)
    assert told.scores.model.tolist() == ["log-t", "recency", "90 days"]
    with pytest.raises(ConfigError, match="tenths"):
        told.calibration("log-t", 14, 0)
