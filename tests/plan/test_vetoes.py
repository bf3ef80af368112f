"""A guard that is late, or that meddles, lets nothing through; the night goes on."""

import datetime as dt
import sys
import threading
import time

import attrs
import numpy as np
import pytest

from retention.domain import Action
from retention.errors import PlanError
from retention.plan import Budget, Review, plan_for
from retention.plan.vetoes import gate

CALL = Action(name="call", kind="give", channel="phone", customer_benefit="x", needs_consent=False)


def yes(n: int) -> Review:
    return Review(allowed=np.ones(n, dtype=bool), reason=np.full(n, ""))


@attrs.frozen
class Slow:
    """A policy that takes its time and then says yes."""

    wait: object
    limit_seconds: object = 0.1
    name: str = "slow"

    def review(self, proposals, situation):
        self.wait()
        return yes(len(proposals))


@pytest.fixture
def asked(shop):
    situation = shop.situation(shop.tables(["a", "b"]), causes={"a": "moved"}, attributes={"town": {"a": "Bath"}})
    return shop.proposals(situation, [(0, CALL, 1.0), (1, CALL, 2.0)]), situation


def test_a_policy_within_its_limit_is_asked_as_any_other(asked):
    passed, vetoes, notes = gate([Slow(lambda: None, limit_seconds=60.0)], *asked)
    assert (passed.allowed.tolist(), len(vetoes), notes) == ([True, True], 0, ())


def test_a_policy_that_never_answers_lets_nothing_through_and_the_night_goes_on(asked):
    """It waits for ever in a thread of its own; the test lets it go at the end."""
    done = threading.Event()
    passed, vetoes, notes = gate([Slow(done.wait)], *asked)
    done.set()
    assert passed.allowed.tolist() == [False, False]
    assert vetoes.policy.tolist() == ["slow", "slow"]
    assert "'slow' took longer than its limit of 0.1 seconds" in vetoes.reason[0]
    assert len(notes) == 1


def test_an_answer_that_comes_late_is_no_answer(asked, monkeypatch):
    """Native code may hold the lock until it is done: the answer is there, and the time is over."""
    ticks = iter([0.0, 5.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(threading.Thread, "join", lambda self, timeout=None: None)
    monkeypatch.setattr(threading.Thread, "start", lambda self: self.run())
    passed, vetoes, _ = gate([Slow(lambda: None)], *asked)
    assert passed.allowed.tolist() == [False, False]
    assert "took longer" in vetoes.reason[0]


def test_without_a_limit_nobody_looks_at_a_clock(asked, monkeypatch):
    monkeypatch.setattr(time, "monotonic", None)
    monkeypatch.setattr(threading, "Thread", None)
    passed, _, _ = gate([Slow(lambda: None, limit_seconds=None)], *asked)
    assert passed.allowed.all()


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf"), "soon", True])
def test_a_limit_that_is_none_lets_nothing_through(asked, limit):
    passed, vetoes, _ = gate([Slow(lambda: None, limit_seconds=limit)], *asked)
    assert not passed.allowed.any()
    assert "no number of seconds above 0" in vetoes.reason[0]


@pytest.mark.parametrize("error", [ValueError("customer 12347"), SystemExit(3)])
def test_what_a_policy_raises_in_its_thread_is_told_by_its_kind(asked, error):
    def wait():
        raise error

    passed, vetoes, _ = gate([Slow(wait, limit_seconds=30.0)], *asked)
    assert not passed.allowed.any()
    assert f"raised {type(error).__name__}" in vetoes.reason[0]
    assert "12347" not in vetoes.reason[0]


def _write(proposals, situation):
    proposals.gain[:] = 99.0


def _write_tables(proposals, situation):
    situation.valuation.value[:] = 0.0


def _forget_causes(proposals, situation):
    situation.causes.clear()


def _forget_attributes(proposals, situation):
    situation.attributes["town"].clear()


def _replace(proposals, situation):
    situation.attributes = {}


@pytest.mark.parametrize("meddle", [_write, _write_tables, _forget_causes, _forget_attributes, _replace])
def test_a_policy_that_writes_into_what_it_was_given_lets_nothing_through_and_changes_nothing(asked, meddle):
    @attrs.frozen
    class Meddler:
        name: str = "meddler"

        def review(self, proposals, situation):
            meddle(proposals, situation)
            return yes(len(proposals))

    proposals, situation = asked
    passed, vetoes, _ = gate([Meddler()], proposals, situation)
    assert passed.allowed.tolist() == [False, False]
    assert set(vetoes.policy.tolist()) == {"meddler"}
    assert proposals.gain.tolist() == [1.0, 2.0]
    assert (dict(situation.causes), situation.attributes["town"]) == ({"a": "moved"}, {"a": "Bath"})


def test_a_plan_with_a_guard_that_hangs_contacts_nobody_and_says_why(shop):
    done = threading.Event()
    situation = shop.situation(shop.tables(["a", "b", "c"], overdue=True, at_risk_per_day=1.0))
    plan = plan_for(situation, budget=Budget(None, None), holdout=0.0, policies=[Slow(done.wait)])
    done.set()
    assert len(plan.contacts) == 0
    assert all("slow" in reason for reason in plan.reason.tolist())
    assert sum("'slow' took longer" in note for note in plan.notes) == 1


def _at(value, dtype):
    return lambda n: np.full(n, value, dtype=dtype)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (_at(dt.datetime(2011, 12, 1, 9), object), _at(dt.datetime(2011, 12, 1, 17), object)),
        (_at("2011-12-01T09:00", np.str_), _at("2011-12-01T17:00", np.str_)),
        (_at("2011-12-01T09:00", "datetime64[m]"), lambda n: None),
        (_at("2011-12-01T09:00", "datetime64[m]"), lambda n: _at("2011-12-01T17:00", "datetime64[m]")(n + 1)),
    ],
    ids=["objects", "text", "half", "another number"],
)
def test_a_time_of_day_that_cannot_be_read_is_no_leave_to_call_at_any(asked, first, last):
    class Timed:
        name = "timed"

        def review(self, proposals, situation):
            return attrs.evolve(yes(len(proposals)), not_before=first(len(proposals)), not_after=last(len(proposals)))

    passed, _, notes = gate([Timed()], *asked)
    assert not passed.allowed.any()
    assert "'timed' gave a time of day" in notes[0]


def test_seconds_are_rounded_to_the_minutes_within():
    """From 9:00:59 to 9:00:10 there is no minute; from 9:00:01 to 9:02:59 there are 9:01 and 9:02."""
    from retention.plan.vetoes import _read

    def window(first, last):
        both = (np.array([f"2011-12-01T{one}"], dtype="datetime64[s]") for one in (first, last))
        return _read(attrs.evolve(yes(1), **dict(zip(("not_before", "not_after"), both, strict=True))), 1)[1]

    told = window("09:00:59", "09:00:10")
    assert told.not_before[0] > told.not_after[0]
    told = window("09:00:01", "09:02:59")
    assert (str(told.not_before[0])[-5:], str(told.not_after[0])[-5:]) == ("09:01", "09:02")


def test_a_masked_answer_is_none(asked):
    """Numpy forgets a mask where an array is made of it; what is behind the mask must not count as yes."""
    masked = np.ma.array([True, True], mask=[True, False])
    with pytest.raises(PlanError, match="without an answer"):
        Review(allowed=masked, reason=np.full(2, ""))

    class Masked:
        name = "masked"

        def review(self, proposals, situation):
            return Review(allowed=masked, reason=np.full(2, ""))

    from retention.plugins import contact_policy

    @contact_policy(name="lifted")
    def lifted(proposals, situation):
        """Nobody."""
        return masked

    for policy in (Masked(), lifted):
        passed, _, notes = gate([policy], *asked)
        assert not passed.allowed.any()
        assert len(notes) == 1


def test_a_policy_that_leaves_the_interpreter_lets_nothing_through(asked):
    class Leaves:
        name = "leaves"

        def review(self, proposals, situation):
            sys.exit(0)

    passed, _, notes = gate([Leaves()], *asked)
    assert not passed.allowed.any()
    assert "SystemExit" in notes[0]


def test_what_a_policy_was_given_cannot_be_made_writeable(asked):
    class Opens:
        name = "opens"

        def review(self, proposals, situation):
            proposals.base_row.setflags(write=True)
            return yes(len(proposals))

    passed, _, notes = gate([Opens()], *asked)
    assert not passed.allowed.any()
    assert "ValueError" in notes[0]
