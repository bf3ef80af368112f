"""A contact policy on what the journal knows: which decisions chance made, and what a refusal would have changed.

Wrong on purpose, and caught: contacts that no lot decided, hold-outs weighted as if they were all.
"""

import datetime as dt
import math

import attrs
import numpy as np
import pytest

from retention.errors import ConfigError
from retention.plan.holdout import holdout_draws
from retention.proof import Logged, evaluate_contact_policy, logged_decisions, prove
from retention.records.transactions import TransactionLog

DAY = dt.date(2011, 1, 10)


def night(plan_of, day, rows, *, share=0.25, salt="s", money=2.0):
    """A plan by hand; rows are (customer, arm, action, probability, explored), the last three with defaults."""
    full = [(*row, *("call", 1.0 - share, False)[len(row) - 2 :]) for row in rows]
    full.sort(key=lambda row: row[1] != "contact")
    plan = plan_of(
        day,
        contact=[r[0] for r in full if r[1] == "contact"],
        holdout=[r[0] for r in full if r[1] == "hold-out"],
        share=share,
        salt=salt,
        money=money,
    )
    return attrs.evolve(
        plan,
        action=np.asarray([r[2] for r in full], dtype=np.str_),
        probability=np.asarray([r[3] for r in full], dtype=float),
        explored=np.asarray([r[4] for r in full], dtype=bool),
    )


def log_of(lines):
    who, at, money = zip(*lines, strict=True)
    return TransactionLog.from_arrays(
        customer_id=list(who), at=[str(day) for day in at], revenue=list(money), margin=1.0
    )


def after(days):
    return DAY + dt.timedelta(days=days)


def test_the_log_has_first_decisions_with_their_margin_less_what_contacts_cost(journal, plan_of):
    journal.record(night(plan_of, DAY, [("a", "contact"), ("b", "hold-out"), ("c", "contact")]))
    journal.record(night(plan_of, after(7), [("a", "contact", "mail", 0.75), ("d", "contact")]))
    log = log_of(
        [("a", after(-3), 40), ("a", after(0), 9), ("a", after(1), 10), ("b", after(28), 30), ("b", after(29), 50),
         ("c", after(5), 5), ("c", after(6), -5), ("d", after(33), 1)]
    )  # fmt: skip
    told = logged_decisions(journal, log, window_days=28, until=after(30))
    assert told.customer_id.tolist() == ["a", "b", "c"]
    assert told.contacted.tolist() == [True, False, True]
    assert told.probability.tolist() == [0.75] * 3
    assert told.margin.tolist() == [10.0, 30.0, 0.0]
    assert told.reward.tolist() == [6.0, 30.0, -2.0], "two contacts with a, one with c"
    assert told.bought.tolist() == [True, True, False]
    assert told.before.tolist() == [40.0, 0.0, 0.0]
    assert told.as_of.tolist() == [DAY] * 3
    assert told.channel.tolist() == ["phone"] * 3
    assert told.first.all()
    assert repr(told) == "<Logged: 2 contacts made, 1 not, 28 days after each>"
    said = " ".join(told.left_out)
    assert "2 customers are left out: their window is not over yet" in said
    assert logged_decisions(journal, log).close.max() <= log.day.max()


def test_days_that_the_log_has_not_seen_are_no_silence(journal, plan_of):
    """``until`` beyond the log's end moves nothing: a window that it cuts short is left out, not counted as 0."""
    journal.record(night(plan_of, DAY, [("a", "contact"), ("b", "hold-out")]))
    journal.record(night(plan_of, after(7), [("c", "contact")]))
    log = log_of([("a", after(1), 10), ("b", after(30), 1)])
    plain, later = logged_decisions(journal, log), logged_decisions(journal, log, until=after(300))
    assert later.customer_id.tolist() == plain.customer_id.tolist() == ["a", "b"]
    assert later.reward.tolist() == plain.reward.tolist()
    assert later.left_out[0].startswith(f"the log ends on {after(30)}, before {after(300)}")
    assert later.left_out[1:] == plain.left_out
    assert logged_decisions(journal, log, until=after(30)).left_out == plain.left_out
    assert len(logged_decisions(journal, log.take(np.zeros(2, dtype=bool)), until=after(300))) == 0


def test_a_later_contact_counts_only_if_the_actions_own_control_could_have_stopped_it(journal, plan_of):
    who = [f"c{i}" for i in range(400)]
    held = holdout_draws(who, "s") < 0.25
    mail = np.random.default_rng(1).random(400) < 0.6
    journal.record(
        night(plan_of, DAY, [(w, "hold-out" if h else "contact", "call", 0.75) for w, h in zip(who, held, strict=True)])
    )
    journal.record(
        night(
            plan_of,
            after(2),
            [(w, "contact" if m and not h else "hold-out", "mail", 0.75 * 0.6)
             for w, h, m in zip(who, held, mail, strict=True)],
        )
    )  # fmt: skip
    journal.record(night(plan_of, after(4), [(w, "contact", "gift", 0.75) for w in np.asarray(who)[~held]]))
    told = logged_decisions(journal, log_of([("c1", after(3), 5), ("c1", after(40), 5)]), window_days=10)
    call, letter = told.take(told.action == "call"), told.take(told.action == "mail")
    assert set(told.action.tolist()) == {"call", "mail"}, "nobody knows how they would have fared without the gift"
    assert len(call) == 400
    assert (call.probability == 0.75).all()
    assert set(letter.customer_id.tolist()) == set(np.asarray(who)[~held].tolist())
    assert letter.probability == pytest.approx(np.full(len(letter), 0.6))
    assert not letter.first.any()
    assert any("no control of the action's own" in note for note in told.left_out)


def test_what_exploration_drew_is_left_out_and_what_it_thinned_is_counted(journal, plan_of):
    """With a tenth exploring, 400 chosen are 100 held out, 270 contacted and 30 explorers: 270 of 370."""
    rows = [(f"h{i}", "hold-out", "call", 0.7) for i in range(100)]
    rows += [(f"k{i}", "contact", "call", 0.7) for i in range(270)]
    rows += [(f"x{i}", "contact", "mail", 0.05, True) for i in range(30)]
    journal.record(night(plan_of, DAY, rows))
    told = logged_decisions(journal, log_of([("k1", after(3), 5), ("k1", after(40), 5)]), window_days=10)
    assert len(told) == 370
    assert told.probability == pytest.approx(np.full(370, 270 / 370))
    assert "30 decisions are left out: exploration drew what was done" in told.left_out


def test_the_log_and_the_proof_tell_of_the_same_customers_and_the_same_money(journal, plan_of):
    """Contacted less held-out rewards of the log are the proof's value, and refusing everything loses their share."""
    rng = np.random.default_rng(12)
    who = [f"c{i}" for i in range(300)]
    held = holdout_draws(who, "s") < 0.25
    journal.record(night(plan_of, DAY, [(w, "hold-out" if h else "contact") for w, h in zip(who, held, strict=True)]))
    log = log_of([(w, after(int(rng.integers(1, 40))), round(float(rng.gamma(2.0, 9.0)), 2)) for w in who * 2])
    proof = prove(journal, log, window_days=20, before_days=0)
    told = logged_decisions(journal, log, window_days=20)
    apart = told.reward[told.contacted].mean() - told.reward[~told.contacted].mean()
    assert apart == pytest.approx(proof.value, rel=1e-12)
    nothing = evaluate_contact_policy(np.zeros(300, dtype=bool), told, estimator="snips")
    assert nothing.over_logged.value == pytest.approx(-apart * told.contacted.mean(), rel=1e-9)


def made(rng, n, *, p=0.8, harm=0.0, gain=0.0, noise=1.0, buy=1.0):
    """A log in which contact brings ``gain``, and ``harm`` less to the customers who are tired of it, half of them."""
    tired = rng.random(n) < 0.5
    contacted = rng.random(n) < p
    before = rng.gamma(2.0, 10.0, n)
    bought = rng.random(n) < buy
    margin = np.where(bought, before / 10 + noise * rng.normal(size=n) + contacted * (gain - harm * tired), 0.0)
    day = np.full(n, np.datetime64("2011-01-10"))
    text = np.full(n, "x")
    return tired, Logged(
        customer_id=np.array([f"c{i}" for i in range(n)]),
        as_of=day,
        close=day + 28,
        action=text,
        channel=text,
        strategy=text,
        segment=np.where(tired, "tired", "fresh"),
        contacted=contacted,
        probability=np.full(n, p),
        first=np.ones(n, dtype=bool),
        reward=margin,
        margin=margin,
        gain=np.full(n, 1.0),
        before=before,
        bought=bought,
    )


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_a_policy_that_refuses_nothing_changes_nothing(estimator):
    _, logged = made(np.random.default_rng(1), 500)
    got = evaluate_contact_policy(np.ones(500, dtype=bool), logged, estimator=estimator)
    assert got.value == got.earned == logged.reward.mean()
    told = got.over_logged
    assert (told.value, told.low, told.high, told.verdict) == (0.0, 0.0, 0.0, "estimated")


def test_a_policy_that_refuses_everything_earns_what_the_held_out_earned():
    _, logged = made(np.random.default_rng(2), 1000)
    got = evaluate_contact_policy(np.zeros(1000, dtype=bool), logged, estimator="snips")
    assert got.value == pytest.approx(logged.reward[~logged.contacted].mean(), rel=1e-12)
    assert got.overlap.matched == (~logged.contacted).sum()


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_sparing_whom_contact_harms_is_worth_what_it_is(estimator):
    """Refusing the tired half saves 0.5 x 0.8 x (harm - gain) = 0.4 per decision. 300 logs of 800: 0.95 has an error of
    0.013, the bounds are three of them. And none of the logs calls refusing the others, whom contact helps, a gain."""
    held, others, wide = [], [], []
    for run in range(300):
        tired, logged = made(np.random.default_rng([3, run]), 800, harm=2.0, gain=1.0)
        got = evaluate_contact_policy(~tired, logged, estimator=estimator, seed=run).over_logged
        held.append(got.low <= 0.4 <= got.high)
        wide.append(got.high - got.low)
        others.append(evaluate_contact_policy(tired, logged, estimator=estimator).over_logged.low > 0)
    assert 0.91 < np.mean(held) < 0.985
    assert np.mean(others) == 0.0
    if estimator == "dr":
        assert np.mean(wide) < 0.6, "what was known of her shortens it"


def test_hold_outs_not_weighted_by_their_chance_would_mislead():
    """The held-out of the refused, taken as they are, count for a fifth of them: far from the truth in every log."""
    for run in range(20):
        tired, logged = made(np.random.default_rng([4, run]), 2000, harm=2.0, gain=1.0)
        right = evaluate_contact_policy(~tired, logged).over_logged.value
        unweighted = np.where(tired, np.where(logged.contacted, 0.0, logged.reward), logged.reward).mean()
        assert abs(right - 0.4) < 0.25
        assert abs(unweighted - logged.reward.mean() - 0.4) > 0.25


def test_few_buyers_among_the_refused_are_no_verdict():
    tired, logged = made(np.random.default_rng(5), 4000, p=0.9, harm=2.0, buy=0.1)
    got = evaluate_contact_policy(~tired, logged)
    assert got.verdict == "estimated", "what it earns is known: half of it stays as it was"
    assert got.over_logged.verdict == "thin overlap", "what it adds rests on some twenty held-out buyers"
    assert math.isnan(got.over_logged.value)
    assert 10 < got.over_logged.buyers < 35
    assert any("departs from the log" in note for note in got.notes)


def test_customers_and_not_their_rows_are_the_buyers():
    tired, logged = made(np.random.default_rng(8), 40)
    rows = np.repeat(np.arange(40), 30)
    got = evaluate_contact_policy(~tired[rows], logged.take(rows))
    assert got.verdict == got.over_logged.verdict == "thin overlap"
    assert got.overlap.buyers <= 40


def test_customers_with_several_rows_are_one_draw():
    tired, logged = made(np.random.default_rng(6), 600, harm=1.0)
    twice = np.repeat(np.arange(600), 2)
    once = evaluate_contact_policy(~tired, logged, estimator="snips")
    again = evaluate_contact_policy(~tired[twice], logged.take(twice), estimator="snips")
    assert again.over_logged.error == pytest.approx(once.over_logged.error, rel=1e-9)


@pytest.mark.parametrize(
    ("allowed", "more", "said"),
    [
        ([True] * 9, {}, "allowed of shape"),
        ([1] * 10, {}, "type int64 for 10 decisions"),
        ([True] * 10, {"estimator": "dm"}, "estimator='dm'"),
        ([True] * 10, {"interval": 1.0}, "interval=1.0"),
        ([True] * 10, {"seed": -1}, "seed=-1"),
    ],
)
def test_what_is_wrong_is_said(allowed, more, said):
    _, logged = made(np.random.default_rng(7), 10)
    with pytest.raises(ConfigError, match=said):
        evaluate_contact_policy(allowed, logged, **more)


def test_windows_are_whole_days(journal):
    with pytest.raises(ConfigError, match="window_days=0"):
        logged_decisions(journal, log_of([("a", DAY, 1)]), window_days=0)
