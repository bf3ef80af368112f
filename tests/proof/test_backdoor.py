"""The back door as a process: every step of every lapse is told, and what contacts brought is measured."""

import datetime as dt
import warnings

import attrs
import matplotlib.pyplot as plt
import numpy as np
import pytest

import retention as rt
from retention.domain import Touch
from retention.errors import ConfigError
from retention.journal import Journal
from retention.plan import Budget, CheckIn, WinBack
from retention.proof.backdoor import backdoor
from retention.records import Touches, TransactionLog
from retention.worlds import Shop

START, NIGHT = dt.date(2010, 1, 4), dt.date(2010, 9, 6)
WINDOW = 60


def _shop(seed, *, customers=240, back_contact=0.5, back_hold_out=0.2, money=1.5, journal=None, plan_of=None):
    """Weekly customers; some fall silent in June and are decided on in September, by the toss of a coin.

    Everyone who comes back spends 20; who does so, and in which arm, is known to the test alone.
    """
    rng = np.random.default_rng(seed)
    ids = [f"c{i:03d}" for i in range(customers)]
    lines = [
        (who, START + dt.timedelta(days=7 * week + int(rng.integers(-1, 2))), 10.0)
        for who in ids
        for week in range(1, 20)
    ]
    still = [f"s{i:02d}" for i in range(30)]
    lines += [(who, START + dt.timedelta(days=7 * week), 10.0) for who in still for week in range(50)]
    arm = rng.random(customers) < 0.5
    back = rng.random(customers) < np.where(arm, back_contact, back_hold_out)
    lines += [
        (who, NIGHT + dt.timedelta(days=int(rng.integers(1, WINDOW))), 20.0)
        for who, there in zip(ids, back, strict=True)
        if there
    ]
    lines.append((still[0], NIGHT + dt.timedelta(days=WINDOW + 5), 10.0))
    who, at, money_in = zip(*lines, strict=True)
    log = TransactionLog.from_arrays(customer_id=who, at=[d.isoformat() for d in at], revenue=money_in)
    contact = [w for w, a in zip(ids, arm, strict=True) if a]
    held = [w for w, a in zip(ids, arm, strict=True) if not a]
    plan = plan_of(NIGHT, contact=contact, holdout=held, money=money, share=0.5)
    journal.record(attrs.evolve(plan, strategy=np.where(plan.strategy != "", "win-back", "")))
    return log, contact, held, dict(zip(ids, back, strict=True)), still


def test_every_step_of_every_lapse_is_told(journal, plan_of):
    log, contact, held, back, still = _shop(1, journal=journal, plan_of=plan_of)
    done = Touches.of([Touch(customer_id=w, at=NIGHT + dt.timedelta(days=3), channel="phone") for w in contact[:50]])
    journal.record_touches(done)
    got = backdoor(journal, log, window_days=WINDOW)
    e = got.episodes
    assert not set(e.customer_id.tolist()) & set(still), "who still comes has not lapsed"
    assert set(e.customer_id.tolist()) == {*contact, *held}
    assert set(e.detected.tolist()) == {NIGHT}
    assert {w for w, arm in zip(e.customer_id, e.arm, strict=True) if arm == "contact"} == set(contact)
    assert {w for w, at in zip(e.customer_id, e.acted, strict=True) if not np.isnat(at)} == set(contact[:50])
    assert set(e.acted[~np.isnat(e.acted)].tolist()) == {NIGHT + dt.timedelta(days=3)}
    assert {w for w, there in zip(e.customer_id, e.back, strict=True) if there} == {w for w in back if back[w]}
    assert e.margin.tolist() == [20.0 * back[w] for w in e.customer_id.tolist()]
    assert e.cost.tolist() == [1.5 * (w in set(contact)) for w in e.customer_id.tolist()]
    assert got.steps == {"detected": 240, "decided": 240, "acted": 50, "verified": 240, "learned from": 240}
    row = got.row(0)
    assert (row["cohort"], row["contacted"], row["held_out"], row["acted"]) == ("2010-09", len(contact), len(held), 50)
    assert row["back_contact"] == pytest.approx(np.mean([back[w] for w in contact]))
    assert row["back_hold_out"] == pytest.approx(np.mean([back[w] for w in held]))
    assert row["lift"] == pytest.approx(row["back_contact"] - row["back_hold_out"])
    assert row["earned"] == pytest.approx(20 * row["lift"] - 1.5)


def test_the_planted_return_is_covered_and_the_verdict_follows_it(plan_of):
    """90 % intervals over 20 shops: fewer than 14 covering has a chance below 0.3 %."""
    covered = earned = works = 0
    for seed in range(20):
        with Journal(":memory:") as journal:
            log, *_ = _shop(seed, journal=journal, plan_of=plan_of)
            row = backdoor(journal, log, window_days=WINDOW).total.row(0)
        covered += row["lift_low"] <= 0.3 <= row["lift_high"]
        earned += row["earned_low"] <= 20 * 0.3 - 1.5 <= row["earned_high"]
        works += row["verdict"] == "works"
    assert covered >= 14
    assert earned >= 14
    assert works >= 16


def test_where_contacts_do_nothing_it_does_not_say_that_they_work(plan_of):
    """Null shops: at most 5 % say works; of 20 more than 5 would have a chance below 0.1 %. A dear contact harms."""
    told = []
    for seed in range(100, 120):
        with Journal(":memory:") as journal:
            log, *_ = _shop(seed, journal=journal, plan_of=plan_of, back_contact=0.3, back_hold_out=0.3, money=0.0)
            told.append(backdoor(journal, log, window_days=WINDOW).total.verdict[0])
    assert told.count("works") <= 5
    with Journal(":memory:") as journal:
        log, *_ = _shop(7, journal=journal, plan_of=plan_of, back_contact=0.3, back_hold_out=0.3, money=15.0)
        assert backdoor(journal, log, window_days=WINDOW).verdict.tolist() == ["harms"]


def test_a_purchase_ends_an_episode_and_a_later_silence_begins_another(journal, plan_of):
    days = [*range(0, 100, 5), 200, *range(205, 260, 5)]
    others = [(f"s{k}", d) for k in range(20) for d in range(k % 5, 420, 5)]
    who, at = zip(*[("a", d) for d in days], *others, strict=True)
    log = TransactionLog.from_arrays(
        customer_id=who, at=[(START + dt.timedelta(days=d)).isoformat() for d in at], revenue=np.ones(len(who))
    )
    for day in (150, 190, 230, 330, 400):
        journal.record(plan_of(START + dt.timedelta(days=day), none=["a"]))
    e = backdoor(journal, log, window_days=WINDOW).episodes
    mine = e.take(e.customer_id == "a")
    day = (mine.last_at - np.datetime64(START)).astype(int).tolist()
    assert day == [95, 255]
    assert (mine.detected - np.datetime64(START)).astype(int).tolist() == [150, 330]
    assert mine.arm.tolist() == ["none", "none"]
    assert mine.back.tolist() == [True, False]
    assert np.isnat(mine.back_at).tolist() == [False, True]


def test_whoever_had_been_decided_on_before_is_not_compared(journal, plan_of):
    log, contact, held, *_ = _shop(2, customers=60, journal=Journal(":memory:"), plan_of=plan_of)
    journal.record(plan_of(NIGHT - dt.timedelta(days=150), contact=contact[:5], holdout=held[:5], share=0.5))
    plan = plan_of(NIGHT, contact=contact, holdout=held, share=0.5)
    journal.record(attrs.evolve(plan, strategy=np.where(plan.strategy != "", "win-back", "")))
    got = backdoor(journal, log, window_days=WINDOW)
    row = got.total.row(0)
    assert (row["contacted"], row["compared_contact"]) == (len(contact), len(contact) - 5)
    assert row["compared_hold_out"] == len(held) - 5
    assert any("had been decided before" in note for note in got.notes)


def test_whoever_is_decided_on_between_two_looks_is_not_missed(journal, plan_of):
    """Nights are nightly and looks are weekly: a decision on the second night counts from the second night."""
    log, contact, held, *_ = _shop(6, customers=60, journal=Journal(":memory:"), plan_of=plan_of)
    early = START + dt.timedelta(days=7 * 19 + 3)
    for step in range(9):
        chosen = {"contact": contact[:3], "holdout": held[:3]} if step == 1 else {"none": contact[:3]}
        plan = plan_of(early + dt.timedelta(days=step), share=0.5, **chosen)
        journal.record(attrs.evolve(plan, strategy=np.where(plan.strategy != "", "check-in-overdue", "")))
    e = backdoor(journal, log, window_days=WINDOW).episodes
    mine = e.take(np.isin(e.customer_id, [*contact[:3], *held[:3]]) & (e.arm != "none"))
    assert len(mine) == 6
    assert set(mine.decided.tolist()) == set(mine.detected.tolist()) == {early + dt.timedelta(days=1)}


def test_explorations_draws_are_told_and_not_compared(journal, plan_of):
    log, contact, held, *_ = _shop(3, customers=60, journal=Journal(":memory:"), plan_of=plan_of)
    plan = plan_of(NIGHT, contact=contact, holdout=held, share=0.5)
    drawn = np.isin(plan.customer_id, contact[:4])
    plan = attrs.evolve(plan, strategy=np.where(plan.strategy != "", "win-back", ""), explored=drawn)
    journal.record(plan)
    got = backdoor(journal, log, window_days=WINDOW)
    assert (got.episodes.arm == "explored").sum() == 4
    assert got.total.row(0)["compared_contact"] == len(contact) - 4
    assert got.total.row(0)["undecided"] == 4


def test_a_window_that_is_not_over_proves_nothing(journal, plan_of):
    log, *_ = _shop(4, journal=journal, plan_of=plan_of)
    got = backdoor(journal, log, window_days=WINDOW, until=NIGHT + dt.timedelta(days=30))
    assert got.steps["learned from"] == 0
    assert got.total.verdict.tolist() == ["cannot tell"]
    assert not np.isfinite(got.total.lift_low).any()
    assert "cannot tell" in repr(got)


def test_other_labels_and_other_strategies(journal, plan_of):
    log, contact, *_ = _shop(5, journal=journal, plan_of=plan_of)
    got = backdoor(journal, log, window_days=WINDOW)
    assert any("no contact is on file as made" in note for note in got.notes), "nothing told is not nothing done"
    assert got.by("strategy").cohort.tolist() == ["win-back"]
    assert set(got.by("stage").cohort.tolist()) <= {"lapsed", "overdue"}
    assert got.by("action").contacted.tolist() == [len(contact)]
    with pytest.raises(ConfigError, match="did you mean 'action'"):
        got.by("actions")
    with pytest.raises(ConfigError, match="window_days=0"):
        backdoor(journal, log, window_days=0)
    assert backdoor(journal, log, strategies=("nobody",)).steps["decided"] == 0
    assert backdoor(journal, log, strategies=None).steps["decided"] == 240


def test_in_a_whole_shop_the_steps_add_up():
    """Six nights of a simulated shop with check-ins and win-backs on one scale; the account loses nobody."""
    world = Shop.corner_shop(customers=260, years=2, seed=4).simulate()
    with Journal(":memory:") as journal, warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(5):
            night = world.as_of
            base = rt.summarize(world.log, as_of=night)
            worth = rt.appraise(base, chance=False)
            plan = rt.make_plan(
                base,
                worth,
                rt.anticipate(base),
                rt.assign_tiers(base, worth),
                budget=Budget(money=60, hours=6),
                strategies=[CheckIn(), WinBack()],
                consents=world.consents,
                journal=journal,
                holdout=0.3,
            )
            journal.record(plan)
            chosen = plan.decision == "contact"
            after = night + dt.timedelta(days=1)
            touched = Touches.from_arrays(
                customer_id=plan.customer_id[chosen],
                at=np.full(int(chosen.sum()), np.datetime64(after)),
                channel=plan.channel[chosen],
                kind=plan.kind[chosen],
            )
            journal.record_touches(touched)
            world = world.live(night + dt.timedelta(days=28), touched)
            assert step or {"check-in-overdue", "win-back"} <= set(plan.strategy[chosen].tolist()), "one scale for both"
        got = backdoor(journal, world.log, window_days=28)
        decided = journal.decisions()
    assert (got.detected == got.contacted + got.held_out + got.undecided).all()
    assert got.detected.sum() == len(got.episodes) == got.total.detected[0]
    assert got.by("strategy").contacted.sum() == got.total.contacted[0]
    assert got.total.contacted[0] == got.total.acted[0] > 10, "every contact of these was made"
    # Nobody is decided on by these strategies whom the account does not know to have lapsed.
    assert set(decided.customer_id.tolist()) <= set(got.episodes.customer_id.tolist())
    e = got.episodes
    assert (e.detected >= e.last_at).all()
    there = ~np.isnat(e.decided)
    assert (e.decided[there] >= e.detected[there]).all()
    figure, ax = plt.subplots()
    assert got.plot(ax) is ax
    plt.close(figure)
    assert "<table>" in got._repr_html_()
