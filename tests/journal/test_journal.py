"""What was decided stays decided, and can be read back."""

import datetime as dt

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.domain import Outcome, Touch
from retention.errors import JournalError
from retention.journal import Journal
from retention.plan import examples
from retention.plan.budget import Budget
from retention.plan.make import make_plan
from retention.plan.memory import Memory
from retention.records.touches import Touches

DAY = dt.date(2011, 12, 1)
NEXT = dt.date(2011, 12, 2)

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda text: text.strip()
)
days = st.dates(dt.date(2011, 1, 1), dt.date(2011, 1, 9))
words = st.sampled_from(["phone", "email", "a:b", 'a","b'])
touches = st.builds(
    Touch, customer_id=ids, at=days, channel=words, kind=words, direction=st.sampled_from(["in", "out"])
)
outcomes = st.builds(
    Outcome,
    customer_id=ids,
    at=days,
    kind=words,
    amount=st.sampled_from([0.0, 1.25, -3.0]),
    action=st.none() | words,
)


def test_a_journal_is_what_a_plan_asks_for(journal):
    assert isinstance(journal, Memory)
    assert journal.holdout() is None
    assert len(journal.touches_before(DAY)) == 0
    assert len(journal.nights()) == len(journal.decisions()) == len(journal.vetoes()) == len(journal.outcomes()) == 0


def test_a_night_is_read_back_as_it_was_decided(journal, plan_of):
    refused = [("d", "mail", "email", "consent", "no consent on file"), ("a", "mail", "email", "cap", "two a month")]
    plan = plan_of(DAY, contact=["a", "b"], holdout=["c"], none=["d"], vetoes=refused, share=0.2, salt="shop")
    recorded = journal.record(plan)
    # one night, three decisions, two vetoes
    assert (recorded.events, recorded.already, journal.events) == (6, False, 6)

    night = journal.nights().row(0)
    assert night["as_of"] == DAY
    assert (night["customers"], night["contacts"], night["held_out"], night["vetoes"]) == (4, 2, 1, 2)
    assert (night["fingerprint"], night["seed"], night["version"]) == (plan.fingerprint(), 7, "0.0")
    assert (night["money"], night["hours"]) == (plan.spent_money, plan.spent_hours)
    assert journal.holdout() == (0.2, "shop")

    decided = journal.decisions(DAY)
    assert decided.customer_id.tolist() == ["a", "b", "c"]
    assert decided.arm.tolist() == ["contact", "contact", "hold-out"]
    for name in ("action", "channel", "kind", "strategy", "probability", "gain", "money", "hours", "reason"):
        assert decided[name].tolist() == plan[name][:3].tolist()

    vetoes = journal.vetoes(DAY)
    assert vetoes.customer_id.tolist() == ["a", "d"]
    assert vetoes.policy.tolist() == ["cap", "consent"]
    assert vetoes.reason.tolist() == ["two a month", "no consent on file"]
    assert len(journal.decisions(NEXT)) == len(journal.vetoes(NEXT)) == 0


def test_running_the_same_night_twice_changes_nothing_and_says_so(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a"], holdout=["b"]))
    before = journal.events, journal.decisions(), journal.nights()
    again = journal.record(plan_of(DAY, contact=["a"], holdout=["b"]))
    assert again.already
    assert again.events == 0
    assert "already" in again.message
    assert journal.events == before[0]
    assert journal.decisions().equals(before[1])
    assert journal.nights().equals(before[2])


def test_another_plan_for_a_night_that_is_decided_is_refused_whole(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a"]))
    with pytest.raises(JournalError, match="another plan"):
        journal.record(plan_of(DAY, contact=["a", "b"]))
    assert journal.events == 2


def test_a_night_before_the_last_one_is_refused(journal, plan_of):
    journal.record(plan_of(NEXT, contact=["a"]))
    with pytest.raises(JournalError, match="2011-12-02"):
        journal.record(plan_of(DAY, contact=["b"]))
    assert journal.events == 2


def test_a_night_that_fails_halfway_leaves_nothing(journal, plan_of):
    with pytest.raises(JournalError, match=r"CHECK|check"):
        journal.record(plan_of(DAY, contact=["a", "b"], holdout=["c"], share=-1.0))
    assert journal.events == 0
    assert not journal.record(plan_of(DAY, contact=["a"])).already


def test_a_planned_contact_counts_as_a_touch_from_the_next_day_on(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a"], holdout=["b"], none=["c"]))
    assert len(journal.touches_before(DAY)) == 0
    touches = journal.touches_before(NEXT)
    assert [touches.row(i) for i in range(len(touches))] == [
        {"customer_id": "a", "at": DAY, "channel": "phone", "kind": "give", "direction": "out"}
    ]


def test_what_was_sent_as_planned_is_one_touch(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a"]))
    sent = Touches.of([Touch(customer_id="a", at=DAY, channel="phone")])
    assert not journal.record_touches(sent).already
    assert journal.record_touches(sent).already
    assert len(journal.touches_before(NEXT)) == 1


def test_a_planned_contact_stands_in_for_the_real_one_until_that_is_known(journal, plan_of):
    """Done four days later by the planned channel: that day counts, once it has come; another channel is another."""
    journal.record(plan_of(DAY, contact=["a", "b"]))
    later = DAY + dt.timedelta(days=4)
    done = [Touch(customer_id="a", at=later, channel="phone"), Touch(customer_id="b", at=later, channel="email")]
    done += [Touch(customer_id="b", at=later, channel="phone", direction="in")]
    journal.record_touches(Touches.of(done))

    def known(day):
        touches = journal.touches_before(day)
        return [(t["customer_id"], t["at"], t["channel"]) for t in map(touches.row, range(len(touches)))]

    assert known(NEXT) == [("a", DAY, "phone"), ("b", DAY, "phone")]
    assert ("a", DAY, "phone") not in known(later + dt.timedelta(days=1))
    assert {("a", later, "phone"), ("b", DAY, "phone")} <= set(known(later + dt.timedelta(days=1)))
    adherence = journal.adherence()
    assert (adherence["planned"].tolist(), adherence["done"].tolist()) == ([2], [1])
    assert "1 of 2" in repr(adherence)


def test_a_real_plan_made_from_the_journal_is_the_same_plan_when_the_night_is_run_again(journal):
    def night():
        return make_plan(*examples.small_base(), budget=Budget(money=0, hours=1), journal=journal, holdout=0.1)

    first = journal.record(night())
    assert not first.already
    assert journal.record(night()).already


@settings(max_examples=50)
@given(st.lists(touches, max_size=8), days, st.integers(0, 8))
def test_touches_come_back_as_they_went_in_whatever_the_batches(new_journal, listed, day, cut):
    """Any split, any repetition: the journal holds the set of touches, and gives those before a day."""
    with new_journal() as journal:
        journal.record_touches(Touches.of(listed[:cut]))
        journal.record_touches(Touches.of(listed))
        back = journal.touches_before(day)
        got = [Touch(**back.row(i)) for i in range(len(back))]
        assert journal.events == len(set(listed))
    assert len(got) == len(set(got))
    assert set(got) == {touch for touch in listed if touch.at < day}
    assert [touch.at for touch in got] == sorted(touch.at for touch in got)


def test_no_text_can_pretend_to_be_two_fields(journal):
    two = [Touch(customer_id="a", at=DAY, channel=c, kind=k) for c, k in (("x:y", "z"), ("x", "y:z"))]
    two += [Touch(customer_id="a", at=DAY, channel=c, kind=k) for c, k in (('x", "y', "z"), ("x", 'y", "z'))]
    assert journal.record_touches(Touches.of(two)).events == 4


@settings(max_examples=50)
@given(st.lists(outcomes, max_size=8), st.integers(0, 8))
def test_an_outcome_recorded_twice_is_one_outcome(new_journal, listed, cut):
    with new_journal() as journal:
        first = journal.record_outcomes(listed[:cut])
        second = journal.record_outcomes(iter(listed))
        assert first.events + second.events == journal.events == len(set(listed))
        assert journal.record_outcomes(listed).already == bool(listed)
        back = journal.outcomes()
        got = {Outcome(**(row | {"action": row["action"] or None})) for row in (back.row(i) for i in range(len(back)))}
    assert got == set(listed)


@settings(max_examples=50)
@given(st.lists(ids, min_size=1, max_size=6, unique=True))
def test_any_text_is_an_id_and_nothing_more(new_journal, plan_of, listed):
    hostile = ["'); DROP TABLE events; --", '" OR 1=1 --', "?", ":id", "%", "=1+1", "Zoë", "Zoe\u0308"]
    who = list(dict.fromkeys([*hostile, *listed]))
    with new_journal() as journal:
        journal.record(plan_of(DAY, contact=who[::2], holdout=who[1::2], vetoes=[(who[0], *[who[-1]] * 4)]))
        back = journal.decisions()
        assert dict(zip(back.customer_id.tolist(), back.arm.tolist(), strict=True)) == {
            one: "hold-out" if i % 2 else "contact" for i, one in enumerate(who)
        }
        assert journal.vetoes().row(0)["reason"] == who[-1]
        assert journal.forget(who[0]) == 2
        assert set(journal.decisions().customer_id.tolist()) == {*who[1:], ""}


def test_messages_hold_no_ids(journal, plan_of):
    said = [journal.record(plan_of(DAY, contact=["secret-7"])).message]
    said += [journal.record(plan_of(DAY, contact=["secret-7"])).message, repr(journal), journal._repr_html_()]
    said += [journal.record_outcomes([Outcome(customer_id="secret-7", at=DAY, kind="reply")]).message]
    for plan in (plan_of(DAY, none=["secret-7"]), plan_of(dt.date(2011, 1, 1), contact=["secret-7"])):
        with pytest.raises(JournalError) as error:
            journal.record(plan)
        said.append(str(error.value))
    with pytest.raises(JournalError) as error:
        journal.record_touches(Touches.of([Touch(customer_id="secret-7\ud800", at=DAY, channel="phone")]))
    said.append(str(error.value))
    assert not any("secret" in line for line in said)


def test_a_touch_without_a_day_is_refused(journal):
    unknown = Touches.from_arrays(customer_id=["a"], at=["NaT"], channel=["phone"], kind=["give"])
    with pytest.raises(JournalError, match="without a day"):
        journal.record_touches(unknown)
    assert journal.events == 0


def test_a_closed_journal_says_so(place):
    journal = Journal(place)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.nights()
    assert repr(journal) == "<Journal: closed>"


def test_what_was_recorded_is_there_after_opening_again(place, plan_of):
    with Journal(str(place)) as journal:
        journal.record(plan_of(DAY, contact=["a"], holdout=["b"]))
        before = journal.decisions()
    with Journal(place) as journal:
        assert journal.decisions().equals(before)
        assert repr(journal) == "<Journal: nights 1, the last 2011-12-01, events 3>"


def test_the_decisions_leave_as_csv(journal, plan_of, tmp_path):
    pytest.importorskip("retention.frames.export")
    journal.record(plan_of(DAY, contact=["=1+1"], holdout=["b"]))
    journal.export_csv(tmp_path / "decisions.csv")
    lines = (tmp_path / "decisions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 3
    assert not any(cell.startswith("=") for line in lines for cell in line.replace('"', "").split(","))


def test_the_result_tables_are_read_only_and_typed(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a"]))
    decided = journal.decisions()
    assert decided.as_of.dtype == np.dtype("datetime64[D]")
    with pytest.raises(ValueError, match="read-only"):
        decided.money[0] = 0.0


def test_a_plan_that_does_not_know_the_last_night_is_not_recorded(journal):
    """A late run of one day and the run of the next at the same time: the second was made without knowing the first."""
    tables = examples.small_base()
    rich = Budget(money=None, hours=None)
    monday = make_plan(*tables, budget=rich, journal=journal, holdout=0)
    assert monday.follows == "none"
    other = make_plan(*tables, budget=rich, holdout=0)
    journal.record(other)
    again = make_plan(*tables, budget=rich, journal=journal, holdout=0)
    assert (again.follows, journal.record(again).already) == ("2011-12-01", True)
    tuesday = attrs.evolve(monday, as_of=NEXT)
    with pytest.raises(JournalError, match="run the night again"):
        journal.record(tuesday)
    assert journal.record(attrs.evolve(tuesday, follows="2011-12-01")).events
