"""The proof by action, and what it tells of contacts not made, made with the wrong customers, or not counted."""

import datetime as dt
import json
import math

import attrs
import numpy as np
import pytest

from retention.domain import Action, Outcome, Touch
from retention.errors import ConfigError
from retention.journal import Journal
from retention.plan.holdout import holdout_draws
from retention.proof import prove
from retention.proof.verdict import needed
from retention.records.touches import Touches
from retention.records.transactions import TransactionLog

DAY = dt.date(2011, 1, 10)
SPENT = dt.date(2011, 2, 1)
END = dt.date(2011, 2, 28)


def night(plan_of, day, rows, *, share=0.1, money=0.0, gain=9.0):
    """A plan by hand; rows are (customer, arm, action, probability, explored), the last three with defaults."""
    full = [(*row, *("call", 1.0 - share, False)[len(row) - 2 :]) for row in rows]
    full.sort(key=lambda row: row[1] != "contact")
    contact, held = ([r[0] for r in full if r[1] == arm] for arm in ("contact", "hold-out"))
    plan = plan_of(day, contact=contact, holdout=held, share=share, money=money)
    return attrs.evolve(
        plan,
        action=np.asarray([r[2] for r in full], dtype=np.str_),
        probability=np.asarray([r[3] for r in full], dtype=float),
        explored=np.asarray([r[4] for r in full], dtype=bool),
        gain=np.full(len(full), gain),
    )


def spending(margins, before=None):
    """A log in which each customer of the mapping buys once in the window, and once before if told."""
    lines = [(w, SPENT, m) for w, m in margins.items()] + [("somebody else", END, 1.0)]
    lines += [(w, DAY - dt.timedelta(days=30), m) for w, m in (before or {}).items()]
    who, at, money = zip(*lines, strict=True)
    return TransactionLog.from_arrays(
        customer_id=list(who), at=list(map(str, at)), revenue=np.round(money, 2), margin=1.0, currency="EUR"
    )


def named(prefix, n):
    return [f"{prefix}{i}" for i in range(n)]


def arms_of_action(action, n_contact, n_held, share=0.1):
    return [(w, "contact", action, 1 - share) for w in named(f"{action}-c", n_contact)] + [
        (w, "hold-out", action, 1 - share) for w in named(f"{action}-h", n_held)
    ]


# By action


def test_of_several_actions_the_one_that_works_and_the_one_that_harms_are_named(journal, plan_of):
    rng = np.random.default_rng(1)
    rows = [row for action in ("good", "idle", "bad") for row in arms_of_action(action, 80, 40, share=1 / 3)]
    journal.record(night(plan_of, DAY, rows, share=1 / 3, money=1.0))
    effect = {"good": 15.0, "idle": 1.0, "bad": -15.0}
    margins = {r[0]: rng.gamma(9.0, 4.0) + effect[r[2]] * (r[1] == "contact") for r in rows}
    proof = prove(journal, spending(margins))
    table = proof.by_action
    assert dict(zip(table.action.tolist(), table.verdict.tolist(), strict=True)) == {
        "bad": "harms",
        "good": "works",
        "idle": "cannot tell",
    }
    good = table.row(1)
    mine = [[margins[r[0]] for r in rows if r[2] == "good" and r[1] == arm] for arm in ("contact", "hold-out")]
    assert good["value"] == pytest.approx(np.mean(mine[0]) - np.mean(mine[1]) - 1.0, abs=0.01)
    assert (good["n_contact"], good["n_holdout"], good["cost"], good["expected"]) == (80, 40, 1.0, 8.0)
    assert "good" in proof._repr_html_()


def test_of_many_actions_that_do_nothing_rarely_any_is_said_to_work(plan_of):
    """60 shops with 6 actions each: 'works' of any action in at most 8 (5 % nominal; more has a chance of 0.3 %). Taken
    one by one the rows say it several times as often."""
    rng = np.random.default_rng(2)
    rows = [row for i in range(6) for row in arms_of_action(f"a{i}", 30, 20, share=0.4)]
    together = alone = 0
    with Journal(":memory:") as journal:
        journal.record(night(plan_of, DAY, rows, share=0.4))
        for _ in range(60):
            margins = spending({r[0]: rng.lognormal(3, 1) for r in rows})
            proof = prove(journal, margins, interval=0.90, before_days=0)
            together += "works" in proof.by_action.verdict
            alone += "works" in proof.by_action.alone
    assert together <= 8
    assert alone >= 9
    assert any("6 actions are judged together" in note for note in proof.notes)


def test_an_actions_own_control_says_what_it_adds_to_all_others(journal, plan_of):
    """Everybody got something before; then half of those chosen for the voucher are kept from it alone. The hold-out,
    which nothing reached, is no part of that comparison."""
    rng = np.random.default_rng(3)
    who = named("c", 700)
    held = holdout_draws(who, "s") < 0.1
    journal.record(night(plan_of, DAY, [(w, "hold-out" if h else "contact") for w, h in zip(who, held, strict=True)]))
    own = rng.random(700) < 0.5
    rows = [
        (w, "hold-out" if h or o else "contact", "voucher", 0.9 * 0.5) for w, h, o in zip(who, held, own, strict=True)
    ]
    journal.record(night(plan_of, DAY + dt.timedelta(days=1), rows))
    margins = {
        w: rng.gamma(9.0, 4.0) + 20.0 * (not h) + 10.0 * (not h and not o)
        for w, h, o in zip(who, held, own, strict=True)
    }
    proof = prove(journal, spending(margins))
    call, voucher = proof.by_action.row(0), proof.by_action.row(1)
    assert (call["against"], voucher["against"]) == ("hold-out", "own control")
    assert voucher["value"] == pytest.approx(10.0, abs=4.0)  # four standard errors
    assert (voucher["n_contact"], voucher["n_holdout"]) == (int((~held & ~own).sum()), int((~held & own).sum()))
    assert call["value"] == pytest.approx(25.0, abs=6.0)
    assert proof.verdict == "works"


def test_a_second_action_without_a_control_of_its_own_is_not_compared(journal, plan_of):
    """Who was contacted first comes to her second action on another way than the held-out."""
    rows = arms_of_action("first", 60, 30, share=1 / 3)
    journal.record(night(plan_of, DAY, rows, share=1 / 3))
    again = [(w, arm, "second", 2 / 3) for w, arm, *_ in rows]
    journal.record(night(plan_of, DAY + dt.timedelta(days=1), again, share=1 / 3))
    proof = prove(journal, spending({r[0]: 5.0 for r in rows}))
    assert proof.by_action.n_contact.tolist() == [60, 0]
    assert proof.by_action.verdict.tolist()[1] == "cannot tell"
    assert any("90 later choices are left out" in note for note in proof.notes)


def test_whom_exploration_or_an_own_control_drew_first_is_left_out_of_the_programme(journal, plan_of):
    rows = arms_of_action("call", 40, 30, share=0.4)
    explored = [(w, "contact", "call", 0.3, True) for w in named("x", 7)]
    who = [w for w in named("o", 60) if holdout_draws([w], "s")[0] >= 0.4][:9]
    own = [(w, "hold-out", "call", 0.3) for w in who]
    journal.record(night(plan_of, DAY, [*rows, *explored, *own], share=0.4))
    proof = prove(journal, spending({r[0]: 5.0 for r in [*rows, *explored, *own]}))
    assert (proof.n_contact, proof.n_holdout) == (40, 30)
    assert any("7 customers are left out: exploration drew" in note for note in proof.notes)
    assert any("9 customers are left out: only an action's own control" in note for note in proof.notes)


def test_a_hold_out_that_was_made_larger_in_midyear_biases_nothing(journal, plan_of):
    """A tenth of those who came first and spend five times as much, then half; contact changes nothing. All held-out
    together have spent far less than all contacted."""
    rng = np.random.default_rng(10)
    first, then = arms_of_action("jan", 180, 20, share=0.1), arms_of_action("jul", 100, 100, share=0.5)
    journal.record(night(plan_of, DAY, first, share=0.1))
    journal.record(night(plan_of, DAY + dt.timedelta(days=1), then, share=0.5))
    margins = {r[0]: rng.normal(100.0 if r in first else 20.0, 4.0) for r in [*first, *then]}
    proof = prove(journal, spending(margins))
    contacted, held = ([margins[r[0]] for r in [*first, *then] if r[1] == arm] for arm in ("contact", "hold-out"))
    assert np.mean(contacted) - np.mean(held) > 30
    assert abs(proof.value) < 2.5  # three standard errors
    assert proof.verdict != "works"
    assert (proof.n_contact, proof.n_holdout) == (280, 120)
    assert proof.history.share.tolist() == [0.1, 0.5]


# What withholds a verdict


def test_arms_that_are_not_of_the_drawn_sizes_prove_nothing(journal, plan_of):
    """A tenth was to be held out; of 300 that is 30 and not 100. The difference itself would be plain."""
    rows = arms_of_action("call", 200, 100)
    journal.record(night(plan_of, DAY, rows))
    rng = np.random.default_rng(4)
    proof = prove(journal, spending({r[0]: rng.gamma(9.0, 4.0) + 50 * (r[1] == "contact") for r in rows}))
    assert proof.low > 0
    assert (proof.verdict, proof.by_action.verdict.tolist()) == ("cannot tell", ["cannot tell"])
    assert any("not of the sizes that were drawn" in note for note in proof.notes)


class Carried:
    """300 called and 200 held out, of whom some were really called; a call wins ``effect``."""

    def __init__(self, plan_of, *, done, anyway, effect, money=0.0):
        rng = np.random.default_rng(5)
        self.rows = arms_of_action("call", 300, 200, share=0.4)
        contact, held = ([r[0] for r in self.rows if r[1] == arm] for arm in ("contact", "hold-out"))
        self.called = {*contact[: round(done * 300)], *held[: round(anyway * 200)]}
        self.journal = Journal(":memory:")
        self.journal.record(night(plan_of, DAY, self.rows, share=0.4, money=money))
        calls = [Touch(customer_id=w, at=DAY + dt.timedelta(days=2), channel="phone") for w in sorted(self.called)]
        self.journal.record_touches(Touches.of(calls))
        # A newsletter that all get is no call.
        mail = [Touch(customer_id=r[0], at=DAY + dt.timedelta(days=2), channel="email") for r in self.rows]
        self.journal.record_touches(Touches.of(mail))
        margins = {r[0]: rng.normal(100.0, 2.0) + effect * (r[0] in self.called) for r in self.rows}
        self.proof = prove(self.journal, spending(margins), negligible=1.0)
        self.journal.close()


def test_contacts_never_made_dilute_the_effect_and_the_proof_says_by_how_much(plan_of):
    proof = Carried(plan_of, done=0.5, anyway=0.0, effect=6.0, money=1.0).proof
    assert proof.carried_out == pytest.approx(0.5)
    assert proof.value == pytest.approx(0.5 * 6 - 1, abs=0.8)
    value, low, high = proof.undiluted
    assert value == pytest.approx(6.0 - 1.0, abs=1.6)
    assert low < 5 < high
    assert any("50% of the contacts were carried out" in note for note in proof.notes)


def test_held_out_customers_who_were_called_anyway_are_counted(plan_of):
    proof = Carried(plan_of, done=1.0, anyway=0.3, effect=6.0).proof
    assert (proof.carried_out, proof.touched_anyway) == (1.0, pytest.approx(0.3))
    assert any("60 of 200 held-out customers were touched anyway" in note for note in proof.notes)
    assert proof.value == pytest.approx(0.7 * 6, abs=0.8)
    assert proof.undiluted[0] == pytest.approx(6.0, abs=1.2)
    assert proof.verdict == "works"


def test_no_effect_is_not_said_where_hardly_anything_was_done(plan_of):
    """The difference lies within the negligible; a tenth of the calls was made, and ten times as much does not."""
    assert Carried(plan_of, done=1.0, anyway=0.0, effect=0.0).proof.verdict == "no effect"
    proof = Carried(plan_of, done=0.1, anyway=0.0, effect=0.0).proof
    assert -1 < proof.low < proof.high < 1
    assert proof.verdict == "cannot tell"
    assert any("may hide" in note for note in proof.notes)
    assert Carried(plan_of, done=1.0, anyway=1.0, effect=9.0).proof.verdict == "cannot tell"


def test_without_touches_the_proof_says_that_nothing_is_known_of_the_carrying_out(journal, plan_of):
    journal.record(night(plan_of, DAY, arms_of_action("call", 30, 30, share=0.5), share=0.5))
    proof = prove(journal, spending({"call-c1": 5.0}))
    assert (proof.carried_out, proof.undiluted) == (None, None)
    assert any("no touch is on file" in note for note in proof.notes)


def test_who_asked_to_be_forgotten_is_told_of_by_arm(journal, plan_of):
    journal.record(night(plan_of, DAY, arms_of_action("call", 30, 30, share=0.5), share=0.5))
    for who in ("call-c1", "call-c2", "call-h1"):
        journal.forget(who)
    proof = prove(journal, spending({"call-c3": 5.0}))
    assert (proof.n_contact, proof.n_holdout) == (28, 29)
    assert any("(2 to contact, 1 to hold out)" in note for note in proof.notes)


# Rewards

VOUCHER = Action(
    name="voucher", kind="ask", channel="email", money=0.5, reward="discount", reward_cost=5.0, take_up=0.2,
    conditional=True, customer_benefit="five off what she buys anyway",
)  # fmt: skip


def test_a_reward_costs_what_was_taken_where_that_is_on_file(journal, plan_of):
    """Outlay (5.50) without the action; money and expected take-up (1.50) with it; money and what was taken with
    outcomes: 4 of 40 took 5.00, one of them after the window, and one of the held-out brought the voucher too."""
    rows = arms_of_action("voucher", 40, 20, share=1 / 3)
    journal.record(night(plan_of, DAY, rows, share=1 / 3, money=5.5))
    rng = np.random.default_rng(6)
    log = spending({r[0]: rng.gamma(9.0, 4.0) for r in rows})
    full = prove(journal, log)
    expected = prove(journal, log, actions=[VOUCHER])
    assert expected.value - full.value == pytest.approx(5.5 - 1.5)
    assert any("as they were expected to be taken" in note for note in expected.notes)

    late = END + dt.timedelta(days=1)
    takers = [("voucher-c0", SPENT), ("voucher-c1", SPENT), ("voucher-c2", SPENT), ("voucher-c3", late)]
    journal.record_outcomes(
        Outcome(customer_id=w, at=at, kind="reward", amount=5.0, action="voucher")
        for w, at in [*takers, ("voucher-h0", SPENT), ("nobody", SPENT)]
    )
    real = prove(journal, log, actions=[VOUCHER])
    assert real.value == pytest.approx(full.value + 5.5 - 0.5 - 3 * 5 / 40 + 1 * 5 / 20)
    assert any("count as they were taken" in note for note in real.notes)
    assert any("pass actions=" in note for note in prove(journal, log).notes)


# How much more


def test_what_is_said_to_be_needed_is_enough_four_times_in_five(journal, plan_of):
    """The normal theory, replayed: with that many customers the interval of a planted effect of 1 excludes 0 in 80 % of
    20,000 drawings of the estimate (within 1 %)."""
    told = needed(1.0, error=1.5, reach=1.645 * 1.5, contacted=300, held_out=100, nights=4)
    error = 1.5 / math.sqrt((300 + told.contacted) / 300)
    draws = np.random.default_rng(7).normal(1.0, error, 20_000)
    assert np.mean(draws - 1.645 * error > 0) == pytest.approx(0.8, abs=0.01)
    assert told.nights == math.ceil(4 * told.contacted / 300)
    assert needed(9.0, error=1.5, reach=2.5, contacted=300, held_out=100, nights=4).contacted == 0
    with pytest.raises(ConfigError):
        needed(0.0, error=1.5, reach=2.5, contacted=300, held_out=100, nights=4)

    rows = arms_of_action("call", 40, 40, share=0.5)
    journal.record(night(plan_of, DAY, rows, share=0.5, gain=1.0))
    rng = np.random.default_rng(8)
    proof = prove(journal, spending({r[0]: rng.gamma(9.0, 4.0) for r in rows}))
    assert proof.verdict == "cannot tell"
    assert "more nights like these" in repr(proof)
    assert proof.needed(100.0).contacted == 0
    assert proof.needed(0.5).contacted > proof.needed(1.0).contacted


# How it shows itself


def test_the_proof_is_plain_json_and_a_picture_with_all_actions(journal, plan_of):
    plt = pytest.importorskip("matplotlib.pyplot")
    rng = np.random.default_rng(9)
    rows = [*arms_of_action("$call$", 40, 40, share=0.5), *arms_of_action("<card>", 40, 40, share=0.5)]
    rows += arms_of_action("rare", 3, 3, share=0.5)
    journal.record(night(plan_of, DAY, rows, share=0.5))
    proof = prove(journal, spending({r[0]: rng.gamma(9.0, 4.0) for r in rows}, {r[0]: 5.0 for r in rows}))
    plain = json.loads(json.dumps(proof.to_dict(), allow_nan=False))
    assert [row["action"] for row in plain["by_action"]] == ["$call$", "<card>", "rare"]
    assert plain["by_action"][2]["low"] is None
    assert plain["history"][0]["share"] == 0.5
    assert "<card>" not in proof._repr_html_()
    ax = proof.plot()
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert [label.split("\n")[0] for label in labels] == ["all contacts", "$call$", "<card>", "rare"]
    assert proof.plot(ax) is ax
    ax.figure.canvas.draw()
    plt.close(ax.figure)


@pytest.mark.parametrize("wrong", [{"before_days": -1}, {"before_days": 10**9}])
def test_a_past_without_sense_is_one_clear_error(journal, wrong):
    with pytest.raises(ConfigError):
        prove(journal, spending({}), **wrong)
