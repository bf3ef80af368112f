"""A process that records, acknowledges each call, and is killed where it is told to be.

``python crashes.py`` reads requests, one JSON object a line: ``place`` of the journal, ``start`` (number of the first
call), ``how`` and ``at``. It forks for each, for a new interpreter would take longer than all that is tested, and the
child makes the calls of one day and dies by kill -9

- ``statement``: before the at-th statement that reaches the database,
- ``instruction``: after that many instructions of SQLite's machine, so within a statement,
- ``moment``: after that many seconds, from outside, wherever it is.

With ``careless`` each statement is a transaction of its own, to show that this is found out.
The answer is a line with the numbers of the calls that were acknowledged, and whether it was killed.
"""

import contextlib
import datetime as dt
import importlib.util
import json
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path

from retention.domain import Consent, Outcome, Touch
from retention.journal import Complaints, Journal
from retention.journal.sqlite import SQLite
from retention.records.permissions import Consents
from retention.records.touches import Touches

CALLS = 8  # a day


def _plan_of():
    spec = importlib.util.spec_from_file_location("nights", Path(__file__).parent / "nights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plan_of


plan_of = _plan_of()


def _day(number):
    return dt.date(2012, 1, 1) + dt.timedelta(days=number // CALLS)


def _who(number):
    """Six customers, three to contact, one to hold out, and the last to forget."""
    return [f"c{number // CALLS}-{i}" for i in range(6)]


def call(journal, number):
    """The call of that number; the same number is the same call."""
    day, who = _day(number), _who(number)
    call_1, mail_1 = (Touch(customer_id=who[1], at=day, channel=channel) for channel in ("phone", "email"))
    match number % CALLS:
        case 0:
            refused = [(who[4], "mail", "email", "consent", "none"), (who[5], "mail", "email", "cap", f"{who[5]} says")]
            journal.record(plan_of(day, contact=who[:3], holdout=[who[3]], none=who[4:], vetoes=refused))
        case 1:
            journal.record_touches(
                Touches.of([Touch(customer_id=who[0], at=day, channel="phone"), call_1]), results=["open", ""]
            )
        case 2:
            journal.record_outcomes([Outcome(customer_id=who[0], at=day, kind="purchase", amount=float(number))])
        case 3:
            journal.record_consents(
                Consents.of([Consent(customer_id=one, channel="email", granted=one == who[0]) for one in who[:2]])
            )
        case 4:
            journal.record_complaints(Complaints.from_arrays(customer_id=[who[2]], at=[day]))
        case 5:
            journal.correct(call_1, mail_1, reason="it was a letter")
        case 6:
            journal.cancel(day, [who[2]], "out of order")
        case 7:
            journal.forget(who[5])


def is_there(journal, number):
    """Whether all that the call of that number records is in the journal."""
    day, who, later = _day(number), _who(number), dt.date(2013, 1, 1)
    match number % CALLS:
        case 0:
            decided, refused = journal.decisions(day), journal.vetoes(day)
            arms = dict(zip(decided.customer_id.tolist(), decided.arm.tolist(), strict=True))
            return arms == dict.fromkeys(who[:3], "contact") | {who[3]: "hold-out"} and len(refused) == 2
        case 1:
            results = journal.results()
            row = dict(zip(results.customer_id.tolist(), results.result.tolist(), strict=True))
            return row.get(who[0]) == "open" and who[1] in journal.touches_before(later).customer_id
        case 2:
            return float(number) in journal.outcomes().amount
        case 3:
            return journal.consents_before(later).granted_to("email", on=later) & set(who[:2]) == {who[0]}
        case 4:
            return who[2] in journal.open_complaints(day)
        case 5:
            mine = journal.touches_before(later)
            return mine.channel[mine.customer_id == who[1]].tolist() == ["phone", "email"]  # planned still, and sent
        case 6:
            return who[2] not in journal.touches_before(later).customer_id
        case 7:
            return who[5] not in journal.vetoes().customer_id and not any(who[5] in r for r in journal.vetoes().reason)


def _die_at(how, at):
    """Arm the child."""
    left = [at]

    def step(*_, **__):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    connect = sqlite3.connect

    def armed(*arguments, **options):
        db = connect(*arguments, **options)
        if how == "statement":
            db.set_trace_callback(step)
        elif how == "instruction":
            db.set_progress_handler(step, 1)
        return db

    sqlite3.connect = armed
    with contextlib.suppress(ModuleNotFoundError):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        if how == "statement":
            event.listen(Engine, "before_cursor_execute", step)
            event.listen(Engine, "commit", step)


def _child(request, pipe):
    _die_at(request["how"], request["at"])
    if request["careless"]:
        SQLite.writing = contextlib.nullcontext
    with Journal(request["place"]) as journal:
        for number in range(request["start"], request["start"] + CALLS):
            call(journal, number)
            os.write(pipe, f"{number}\n".encode())


def main():
    for line in sys.stdin:
        request = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                _child(request, writing)
                os._exit(0)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
        os.close(writing)
        if request["how"] == "moment":
            time.sleep(request["at"])
            os.kill(child, signal.SIGKILL)
        with os.fdopen(reading) as said:
            acknowledged = [int(number) for number in said.read().split()]
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"acknowledged": acknowledged, "killed": code == -signal.SIGKILL, "code": code}), flush=True)


if __name__ == "__main__":
    main()
