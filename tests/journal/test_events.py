"""Touches with results, permissions, complaints, corrections, cancellations: each once, and none ever lost."""

import datetime as dt

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.domain import Consent, Outcome, Touch
from retention.errors import JournalError
from retention.journal import Complaints, Journal
from retention.records.permissions import Consents
from retention.records.touches import Touches

DAY = dt.date(2011, 12, 1)
NEXT = dt.date(2011, 12, 2)
LATER = dt.date(2012, 6, 1)
CALL = Touch(customer_id="a", at=DAY, channel="phone")

days = st.dates(dt.date(2011, 1, 1), dt.date(2011, 1, 6))
ids = st.sampled_from(["a", "b", "Zoë", "'); DROP TABLE events; --"])
consents = st.builds(
    Consent,
    customer_id=ids,
    channel=st.sampled_from(["email", "E-Mail", "phone"]),
    purpose=st.sampled_from(["marketing", "service"]),
    granted=st.booleans(),
    at=st.none() | days,
)
touches = st.builds(Touch, customer_id=ids, at=days, channel=st.sampled_from(["phone", "email"]))
outcomes = st.builds(Outcome, customer_id=ids, at=days, kind=st.sampled_from(["reply", "purchase"]))


def rows(table):
    return [table.row(i) for i in range(len(table))]


def contacts(journal, day=LATER):
    return [(t["customer_id"], t["at"], t["channel"]) for t in rows(journal.touches_before(day))]


# Permissions


@settings(max_examples=50)
@given(st.lists(consents, max_size=8), st.integers(0, 8), days)
def test_a_permission_is_what_the_records_say_whatever_the_batches(new_journal, listed, cut, day):
    """Withdrawals count on their day, permissions from the next: never more than the records allow."""
    with new_journal() as journal:
        journal.record_consents(Consents.of(listed[:cut]))
        journal.record_consents(Consents.of(listed))
        again = journal.record_consents(Consents.of(listed))
        assert (again.events, again.already) == (0, bool(listed))
        known = journal.consents_before(day)
        expected = [c for c in listed if c.at is None or c.at < day or (c.at == day and not c.granted)]
        for channel in ("email", "e-mail", "phone"):
            for purpose in ("marketing", "service"):
                allowed = known.granted_to(channel, on=day, purpose=purpose)
                assert allowed == Consents.of(expected).granted_to(channel, on=day, purpose=purpose)
                yesterday = day - dt.timedelta(days=1)
                assert allowed <= Consents.of(listed).granted_to(channel, on=yesterday, purpose=purpose)


def test_a_withdrawal_closes_the_channel_on_its_very_day_and_a_permission_opens_it_the_next(journal):
    given_and_taken = [
        Consent(customer_id="a", channel="email", at=DAY),
        Consent(customer_id="b", channel="email"),
        Consent(customer_id="b", channel="email", granted=False, at=DAY),
    ]
    assert journal.record_consents(Consents.of(given_and_taken)).events == 3
    assert journal.consents_before(DAY).granted_to("email", on=DAY) == frozenset()
    assert journal.consents_before(NEXT).granted_to("email", on=NEXT) == {"a"}


# Complaints


def test_a_complaint_is_open_from_its_day_to_the_day_it_is_settled(journal):
    said = Complaints.from_arrays(customer_id=["a", "b"], at=[DAY, DAY])
    assert journal.record_complaints(said).events == 2
    assert journal.record_complaints(said).already
    settled = Complaints.from_arrays(customer_id=["a"], at=[dt.date(2011, 12, 5)], opened=[False])
    journal.record_complaints(settled)

    assert journal.open_complaints(DAY - dt.timedelta(days=1)) == frozenset()
    assert journal.open_complaints(DAY) == {"a", "b"}
    assert journal.open_complaints(dt.date(2011, 12, 5)) == {"a", "b"}
    assert journal.open_complaints(dt.date(2011, 12, 6)) == {"b"}
    again = Complaints.from_arrays(customer_id=["a"], at=[dt.date(2011, 12, 9)])
    journal.record_complaints(again)
    assert journal.open_complaints(dt.date(2011, 12, 9)) == {"a", "b"}
    assert journal.complaints().opened.tolist() == [True, True, False, True]


def test_opened_and_settled_on_one_day_is_settled_the_next_in_whatever_order_it_came(journal):
    for opened in (False, True):
        journal.record_complaints(Complaints.from_arrays(customer_id=["a"], at=[DAY], opened=[opened]))
    assert journal.open_complaints(DAY) == {"a"}
    assert journal.open_complaints(NEXT) == frozenset()


def test_a_complaint_that_comes_as_an_outcome_is_open_too_unless_it_was_a_mistake(journal):
    wrong = Outcome(customer_id="b", at=DAY, kind="complaint")
    reply = Outcome(customer_id="c", at=DAY, kind="reply")
    journal.record_outcomes([Outcome(customer_id="a", at=DAY, kind="complaint"), wrong, reply])
    assert journal.open_complaints(NEXT) == {"a", "b"}
    journal.correct(wrong)
    assert journal.open_complaints(NEXT) == {"a"}


def test_a_complaint_without_a_day_is_refused(journal):
    with pytest.raises(JournalError, match="without a day"):
        journal.record_complaints(Complaints.from_arrays(customer_id=["a"], at=["NaT"]))
    assert journal.events == 0


# Results


def test_opens_and_replies_come_back_with_the_touch_they_answer(journal):
    sent = Touches.of([CALL, Touch(customer_id="b", at=DAY, channel="email", kind="ask")])
    assert journal.record_touches(sent, results=["reply", ""], result_at=[NEXT, None]).events == 3
    assert journal.record_touches(sent, results=["reply", None], result_at=[NEXT, None]).already
    assert journal.record_touches(sent, results=[None, "open"]).events == 1
    assert rows(journal.results()) == [
        {"customer_id": "a", "touched": DAY, "channel": "phone", "kind": "give", "result": "reply", "at": NEXT},
        {"customer_id": "b", "touched": DAY, "channel": "email", "kind": "ask", "result": "open", "at": DAY},
    ]
    assert len(contacts(journal)) == 2


def test_results_of_another_length_are_refused(journal):
    with pytest.raises(JournalError, match="1 touches, 2 results"):
        journal.record_touches(Touches.of([CALL]), results=["open", "reply"])
    assert journal.events == 0


# Corrections


def test_a_touch_that_went_elsewhere_is_replaced_and_stays_on_file(journal):
    really = Touch(customer_id="b", at=NEXT, channel="email")
    journal.record_touches(Touches.of([CALL]), results=["reply"])
    done = journal.correct(CALL, really, reason="her sister answered")
    assert (done.events, done.already) == (2, False)
    assert contacts(journal) == [("b", NEXT, "email")]
    assert len(journal.results()) == 0
    assert journal._rows("SELECT count(*) FROM events WHERE kind = 'touch'") == [(2,)]
    assert rows(journal.corrections()) == [
        {"customer_id": "a", "at": DAY, "of": "touch", "replaced": True, "reason": "her sister answered"}
    ]


def test_the_same_correction_again_changes_nothing_and_another_is_refused(journal):
    right = Touch(customer_id="a", at=NEXT, channel="phone")
    journal.record_touches(Touches.of([CALL]))
    journal.correct(CALL, right)
    assert journal.correct(CALL, right).already
    events = journal.events
    with pytest.raises(JournalError, match="corrected otherwise"):
        journal.correct(CALL)
    assert journal.events == events


def test_a_list_that_still_holds_the_wrong_touch_does_not_bring_it_back(journal):
    journal.record_touches(Touches.of([CALL]))
    journal.correct(CALL)
    assert journal.record_touches(Touches.of([CALL])).already
    assert contacts(journal) == []


def test_what_was_taken_back_by_mistake_can_be_put_back_and_taken_back_again(journal):
    other = Touch(customer_id="a", at=NEXT, channel="phone")
    journal.record_touches(Touches.of([CALL]))
    for wrong, right in [(CALL, other), (other, CALL), (CALL, other), (other, CALL)]:
        assert journal.correct(wrong, right).events == 2
        assert contacts(journal) == [(right.customer_id, right.at, right.channel)]


def test_a_double_is_corrected_to_the_one_that_is_on_file(journal):
    other = Touch(customer_id="a", at=NEXT, channel="phone")
    journal.record_touches(Touches.of([CALL, other]))
    assert journal.correct(CALL, other).events == 1
    assert contacts(journal) == [("a", NEXT, "phone")]


def test_a_corrected_touch_no_longer_carries_out_the_plan(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a"]))
    journal.record_touches(Touches.of([CALL]))
    assert journal.adherence().done.tolist() == [1]
    journal.correct(CALL)
    assert journal.adherence().done.tolist() == [0]
    assert contacts(journal) == [("a", DAY, "phone")]  # the planned one counts again


def test_an_amount_that_was_mistyped_is_replaced(journal):
    wrong, right = (Outcome(customer_id="a", at=DAY, kind="purchase", amount=x) for x in (1250.0, 12.5))
    journal.record_outcomes([wrong])
    journal.correct(wrong, right)
    assert journal.outcomes().amount.tolist() == [12.5]


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        (CALL, None, "no such touch"),
        (Outcome(customer_id="a", at=DAY, kind="reply"), None, "no such outcome"),
        (CALL, CALL, "changes nothing"),
        (CALL, Outcome(customer_id="a", at=DAY, kind="reply"), "makes an outcome"),
    ],
)
def test_a_correction_of_nothing_is_refused(journal, wrong, right, message):
    journal.record_outcomes([Outcome(customer_id="a", at=DAY, kind="purchase")])
    with pytest.raises(JournalError, match=message) as error:
        journal.correct(wrong, right)
    assert "'a'" not in str(error.value)
    assert journal.events == 1


@settings(max_examples=50)
@given(st.data())
def test_the_journal_shows_what_a_list_would_after_the_same_edits(new_journal, data):
    """Touches and outcomes recorded, taken back and replaced in any order: as in a set edited by hand."""
    kind, record = data.draw(
        st.sampled_from([(touches, lambda j, one: j.record_touches(Touches.of([one])))])
        | st.just((outcomes, lambda j, one: j.record_outcomes([one])))
    )
    ever, standing = set(), set()
    with new_journal() as journal:
        for _ in range(data.draw(st.integers(1, 8))):
            one = data.draw(kind)
            if standing and data.draw(st.booleans()):
                wrong = data.draw(st.sampled_from(sorted(standing, key=repr)))
                right = data.draw(st.none() | st.just(one))
                if right != wrong:
                    journal.correct(wrong, right)
                    standing = standing - {wrong} | ({right} if right else set())
                    ever |= {right} if right else set()
            else:
                record(journal, one)
                standing |= {one} if one not in ever else set()
                ever |= {one}
        if kind is touches:
            assert sorted(contacts(journal)) == sorted((t.customer_id, t.at, t.channel) for t in standing)
        else:
            got = {(o["customer_id"], o["at"], o["kind"]) for o in rows(journal.outcomes())}
            assert got == {(o.customer_id, o.at, o.kind) for o in standing}
            assert len(journal.outcomes()) == len(standing)


# Cancellations


def test_a_contact_that_was_called_off_stops_counting_and_stays_decided(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a", "b", "c"], holdout=["d"]))
    done = journal.cancel(DAY, ["a", "b"], "the phone was out of order")
    assert (done.events, done.already) == (2, False)
    assert contacts(journal) == [("c", DAY, "phone")]
    assert journal.decisions().arm.tolist() == ["contact"] * 3 + ["hold-out"]
    assert journal.cancel(DAY, ["b", "a"], "again").already
    both = journal.cancel(DAY, ["a", "c"])
    assert (both.events, both.already) == (1, False)
    assert journal.corrections().reason.tolist() == ["the phone was out of order"] * 2 + [""]
    assert journal.adherence().cancelled.tolist() == [3]


def test_a_contact_that_happened_though_it_was_called_off_counts(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a"]))
    journal.cancel(DAY, ["a"])
    journal.record_touches(Touches.of([CALL]))
    assert contacts(journal) == [("a", DAY, "phone")]
    kept = journal.adherence().row(0)
    assert (kept["planned"], kept["done"], kept["cancelled"]) == (1, 1, 0)


@pytest.mark.parametrize("who", ["d", "nobody"])
def test_what_was_not_planned_cannot_be_called_off(journal, plan_of, who):
    journal.record(plan_of(DAY, contact=["a"], holdout=["d"]))
    events = journal.events
    with pytest.raises(JournalError, match="1 of 2 customers") as error:
        journal.cancel(DAY, ["a", who])
    assert who not in str(error.value).split()
    with pytest.raises(JournalError, match="1 of 1"):
        journal.cancel(NEXT, ["a"])
    assert journal.events == events


# Exports and forgetting


def test_a_table_leaves_for_a_spreadsheet_without_formulas(journal, tmp_path):
    journal.record_touches(Touches.of([Touch(customer_id="=cmd|'/c calc'!A0", at=DAY, channel="@phone")]))
    journal.correct(Touch(customer_id="=cmd|'/c calc'!A0", at=DAY, channel="@phone"), reason="<script>+1</script>")
    journal.export_csv(tmp_path / "corrections.csv", "corrections")
    assert (tmp_path / "corrections.csv").read_text().splitlines()[1].startswith("'=cmd")
    assert "<script>" not in journal.corrections()._repr_html_()
    with pytest.raises(JournalError, match="decisions"):
        journal.export_csv(tmp_path / "x.csv", "people")
    assert not (tmp_path / "x.csv").exists()


def test_who_is_forgotten_is_gone_from_every_kind_of_event(place, plan_of, everything_on_disk):
    her, other = "Zoë-Quartz-77", "b"
    with Journal(place) as journal:
        journal.record(plan_of(DAY, contact=[her, other]))
        call = Touch(customer_id=her, at=NEXT, channel="phone")
        journal.record_touches(Touches.of([call]), results=["reply"])
        journal.correct(call, Touch(customer_id=her, at=NEXT, channel="email"), reason="Quartz-77 wrote instead")
        journal.cancel(DAY, [her, other], "Quartz-77 moved away")
        journal.record_consents(Consents.of([Consent(customer_id=her, channel="email")]))
        journal.record_complaints(Complaints.from_arrays(customer_id=[her, other], at=[DAY, DAY]))
        journal.record_outcomes([Outcome(customer_id=her, at=DAY, kind="complaint", amount=2.5)])
        assert b"Quartz-77" in everything_on_disk()
        before = journal.events, journal.adherence(), journal.results().result, journal.outcomes().amount.sum()

        # decision, two touches, result, correction, cancellation, consent, complaint, outcome
        assert journal.forget(her) == 9

        assert journal.events == before[0]
        assert journal.adherence().equals(before[1])
        assert np.array_equal(journal.results().result, before[2])
        assert journal.outcomes().amount.sum() == before[3]
        assert len(journal.consents_before(LATER)) == 0
        assert journal.open_complaints(LATER) == {other}
        assert contacts(journal) == []
        gone = journal.corrections()
        assert gone.customer_id.tolist() == ["", "", other]
        assert gone.reason.tolist() == ["", "", "Quartz-77 moved away"]  # this one is about the other
        assert journal.forget(other) == 3
        assert b"Quartz-77" not in everything_on_disk()


def _later(plan, days, not_before=None):
    """The plan with its windows opening so many days on."""
    opens = plan.opens + np.timedelta64(days, "D")
    first = plan.not_before if not_before is None else np.full(len(plan), np.datetime64(not_before, "m"))
    return attrs.evolve(plan, opens=opens, closes=opens + np.timedelta64(7, "D"), not_before=first)


def test_a_contact_still_to_come_has_no_date_and_then_the_first_day_of_its_window(journal, plan_of):
    """So no gap is measured from the night of the plan when the contact itself comes days later."""
    journal.record(_later(plan_of(DAY, contact=["a"]), 5))
    for days, at in ((1, None), (5, None), (6, DAY + dt.timedelta(days=5))):
        assert journal.touches_before(DAY + dt.timedelta(days=days)).row(0)["at"] == at
    done = Touch(customer_id="a", at=DAY + dt.timedelta(days=7), channel="phone")
    journal.record_touches(Touches.of([done]))
    assert journal.touches_before(DAY + dt.timedelta(days=8)).row(0)["at"] == DAY + dt.timedelta(days=7)
    contacts = journal.contacts()
    assert (contacts.status.tolist(), contacts.at.tolist()) == (["done"], [DAY + dt.timedelta(days=7)])


def test_a_quiet_day_moves_the_contact_to_the_day_on_which_it_may_be_made(journal, plan_of):
    journal.record(_later(plan_of(DAY, contact=["a"]), 0, not_before=f"{DAY + dt.timedelta(days=3)}T08:00"))
    assert len(journal.due(DAY)) == len(journal.due(DAY + dt.timedelta(days=2))) == 0
    due = journal.due(DAY + dt.timedelta(days=3))
    assert (due.customer_id.tolist(), due.not_before[0]) == (["a"], "2011-12-04T08:00")


def test_what_is_due_says_what_has_come_up_since(journal, plan_of):
    plan = _later(plan_of(DAY, contact=["a", "b", "c", "d", "e"], holdout=["f"]), 2)
    journal.record(attrs.evolve(plan, consent=np.asarray(["granted"] * 3 + ["not needed"] * 2 + ["granted"])))
    soon = DAY + dt.timedelta(days=2)
    journal.record_consents(
        Consents.of([Consent(customer_id=who, channel="phone", granted=False, at=soon) for who in ("a", "d")])
    )
    journal.record_complaints(Complaints.from_arrays(customer_id=["b"], at=[soon]))
    journal.cancel(DAY, ["e"])
    assert len(journal.due(DAY)) == 0
    due = journal.due(soon)
    assert dict(zip(due.customer_id.tolist(), due.stop.tolist(), strict=True)) == {
        "a": "her permission for phone was taken back",
        "b": "a complaint of hers is open and comes first",
        "c": "",
        "d": "",
    }
    journal.record_touches(Touches.of([Touch(customer_id="c", at=soon, channel="phone")]))
    assert journal.due(soon).customer_id.tolist() == ["a", "b", "d"]
    assert len(journal.due(DAY + dt.timedelta(days=31))) == 0
    journal.forget("d")
    assert journal.due(soon).customer_id.tolist() == ["a", "b"]


def test_a_channel_is_the_same_in_capitals(journal, plan_of):
    journal.record(plan_of(DAY, contact=["a"]))
    journal.record_touches(Touches.of([Touch(customer_id="a", at=NEXT, channel="Phone")]))
    assert journal.adherence().done.tolist() == [1]
    assert len(journal.due(NEXT)) == 0
    assert len(journal.touches_before(LATER)) == 1


def test_what_is_called_off_on_a_day_was_not_known_before_it(journal, plan_of):
    """So a night that is planned once more after a crash goes by what it went by."""
    journal.record(plan_of(DAY, contact=["a"]))
    journal.cancel(DAY, ["a"], on=NEXT)
    assert len(journal.touches_before(NEXT)) == 1
    assert len(journal.touches_before(NEXT + dt.timedelta(days=1))) == 0
    assert len(journal.due(DAY)) == 0
    assert journal.adherence().cancelled.tolist() == [1]


def test_a_contact_far_ahead_is_due_when_its_day_comes(journal, plan_of):
    journal.record(_later(plan_of(DAY, contact=["a"]), 60))
    assert len(journal.due(DAY + dt.timedelta(days=59))) == 0
    assert len(journal.due(DAY + dt.timedelta(days=61))) == 1
