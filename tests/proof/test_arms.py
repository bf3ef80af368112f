"""Who is in which arm, since when, and what she left in that time."""

import datetime as dt
from decimal import Decimal

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.journal import Journal
from retention.plan.holdout import holdout_draws
from retention.proof.arms import arms_of, margins, margins_before
from retention.records.transactions import TransactionLog

DAY = dt.date(2011, 1, 10)
END = dt.date(2011, 2, 28)
WHO = ["a", "b", "c", "d"]


def log_of(lines):
    who, at, money = zip(*lines, strict=True) if lines else ((), (), ())
    return TransactionLog.from_arrays(
        customer_id=list(who), at=[str(day) for day in at], revenue=[str(m) for m in money], margin=1.0
    )


def night(plan_of, day, rows, *, share=0.1, salt="s", money=1.5):
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


lines = st.lists(
    st.tuples(
        st.sampled_from([*WHO, "z"]),
        st.dates(dt.date(2010, 12, 20), dt.date(2011, 1, 25)),
        st.decimals(-99, 99, places=2),
    ),
    max_size=25,
)
nights = st.lists(
    st.lists(st.tuples(st.sampled_from(["contact", "hold-out", ""]), st.sampled_from("AB")), min_size=4, max_size=4),
    min_size=1,
    max_size=3,
)


@given(lines, nights, st.none() | st.integers(1, 6), st.integers(1, 20))
@settings(max_examples=60)
def test_each_action_has_its_own_first_decision_and_window(plan_of, lines, nights, window, before):
    """Counted once more, with dictionaries and exact decimals."""
    until = dt.date(2011, 1, 20)
    first, events = {}, []
    with Journal(":memory:") as journal:
        for i, arms in enumerate(nights):
            day = DAY + dt.timedelta(days=2 * i)
            rows = [(who, arm, action) for who, (arm, action) in zip(WHO, arms, strict=True) if arm]
            journal.record(night(plan_of, day, rows))
            for who, arm, action in rows:
                first.setdefault((who, action), (day, arm))
                events.append((who, day, arm))
        told = arms_of(journal, until=until, window_days=window, by_action=True)
    log = log_of(lines)
    after, past = margins(log, told), margins_before(log, told, before)

    expected = {}
    for (who, action), (day, arm) in first.items():
        close = until if window is None else day + dt.timedelta(days=window)
        if close <= until:
            expected[who, action] = (
                day,
                arm,
                float(sum((m for w, at, m in lines if w == who and day < at <= close), Decimal(0))),
                float(sum((m for w, at, m in lines if w == who and 0 < (day - at).days <= before), Decimal(0))),
                sum(1.5 for w, at, a in events if w == who and a == "contact" and day <= at < close),
                any(w == who and a != arm for w, _, a in events),
                all(at >= day for w, at, _ in events if w == who),
            )
    assert list(zip(told.customer_id.tolist(), told.action.tolist(), strict=True)) == sorted(expected)
    for i, key in enumerate(sorted(expected)):
        day, arm, margin, margin_before, money, changed, fresh = expected[key]
        assert (told.first[i].item(), told.contacted[i]) == (day, arm == "contact")
        assert (after[i], past[i], told.money[i]) == pytest.approx((margin, margin_before, money), abs=1e-9)
        assert (told.changed[i], told.fresh[i]) == (changed, fresh)


def test_a_hold_out_by_the_actions_own_control_is_told_from_the_shops(journal, plan_of):
    """A chance below 1 - share leaves room for a control; then the hold-out's hash says who is in which."""
    who = [f"c{i}" for i in range(200)]
    held = holdout_draws(who, "s") < 0.1
    journal.record(night(plan_of, DAY, [(w, "hold-out", "A", 0.9 * 0.8) for w in who]))
    told = arms_of(journal, until=END)
    assert 0 < held.sum() < 200
    assert dict(zip(told.customer_id.tolist(), told.own_control.tolist(), strict=True)) == dict(
        zip(who, (~held).tolist(), strict=True)
    )


def test_a_change_of_share_or_salt_begins_a_new_time(journal, plan_of):
    for i, (share, salt) in enumerate([(0.1, "s"), (0.1, "s"), (0.2, "s"), (0.2, "t")]):
        journal.record(night(plan_of, DAY + dt.timedelta(days=i), [(WHO[i], "contact")], share=share, salt=salt))
    told = arms_of(journal, until=END)
    assert told.regime.tolist() == [0, 0, 1, 2]
    assert told.share.tolist() == [0.1, 0.1, 0.2, 0.2]


def test_what_a_contact_costs_may_be_said_by_action(journal, plan_of):
    journal.record(night(plan_of, DAY, [("a", "contact", "A"), ("b", "contact", "B")]))
    assert arms_of(journal, until=END, costs={"A": 0.25, "C": 9.0}).money.tolist() == [0.25, 1.5]


def test_without_a_day_nobody_has_a_window(journal, plan_of):
    journal.record(night(plan_of, DAY, [("a", "contact")]))
    told = arms_of(journal, until=None)
    assert (len(told), told.left_out) == (0, ("1 customers are left out: their window is not over yet",))
