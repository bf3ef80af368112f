"""Several processes at one journal, and kill -9 at any moment."""

import datetime as dt
import importlib.util
import itertools
import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from retention.journal import Journal

DAY = dt.date(2011, 12, 1)

needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")


def start(script, *arguments):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, str(script), *map(str, arguments)], **pipes, text=True)


def test_of_several_processes_that_record_one_night_exactly_one_wins(place, tmp_path, nights_script):
    go = tmp_path / "go"
    workers = [start(nights_script, place, DAY, 300, go) for _ in range(3)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    go.touch()
    said = [worker.communicate(timeout=120) for worker in workers]
    assert sorted(out for out, _ in said) == ["already\n", "already\n", "new\n"], said
    with Journal(place) as journal:
        assert len(journal.nights()) == 1
        assert len(journal.decisions()) == 200
        assert len(journal.vetoes()) == 100


def test_of_two_processes_with_two_plans_for_one_night_one_is_told_and_nobody_is_contacted_twice(
    place, tmp_path, nights_script
):
    go = tmp_path / "go"
    workers = [start(nights_script, place, DAY, customers, go) for customers in (300, 330)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    go.touch()
    said = [worker.communicate(timeout=120) for worker in workers]
    assert sorted(out for out, _ in said) == ["", "new\n"], said
    assert sum("another plan for 2011-12-01" in error for _, error in said) == 1
    with Journal(place) as journal:
        known = journal.touches_before(DAY + dt.timedelta(days=1)).customer_id.tolist()
        assert len(known) == len(set(known)) == int(journal.nights().contacts.sum())


@pytest.fixture(scope="module")
def calls():
    """The calls by number, as in the process that is killed."""
    path = Path(__file__).parent / "crashes.py"
    spec = importlib.util.spec_from_file_location("crashes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def die(calls):
    """Run a day's calls at a place in a process that is killed; the acknowledged ones, and whether it was."""
    worker = start(calls.__file__)

    def die(place, how, at, first=0, careless=False):
        request = {"place": str(place), "how": how, "at": at, "start": first, "careless": careless}
        worker.stdin.write(json.dumps(request) + "\n")
        worker.stdin.flush()
        said = json.loads(worker.stdout.readline())
        assert said["code"] in (0, -signal.SIGKILL), "the process failed by itself"
        return said["acknowledged"], said["killed"]

    yield die
    _, errors = worker.communicate(timeout=60)
    assert errors == ""


def survives(calls, place, acknowledged, first=0):
    """What was acknowledged is there, the journal is sound, and the day can be finished by calling all again."""
    assert acknowledged == list(range(first, first + len(acknowledged)))
    with Journal(place) as journal:
        if isinstance(place, Path):
            assert journal._rows("PRAGMA integrity_check") == [("ok",)]
            assert journal._rows("PRAGMA foreign_key_check") == []
        for number in acknowledged:
            assert calls.is_there(journal, number), f"call {number} was acknowledged and is lost"
        # Whole or not at all: the call that was cut off has left no half of itself.
        before = journal.events
        for number in acknowledged:
            calls.call(journal, number)
        assert journal.events == before
        for number in range(first + len(acknowledged), first + calls.CALLS):
            calls.call(journal, number)
            assert calls.is_there(journal, number)
        # night, 4 decisions, 2 vetoes; 2 touches, result; outcome; 2 consents; complaint; 2 for a correction; 1 off
        assert journal.events == (first // calls.CALLS + 1) * 17
        known = journal.touches_before(dt.date(2013, 1, 1))
        assert len(known) == len({tuple(known.row(i).values()) for i in range(len(known))})


@needs_kill
def test_kill_minus_nine_loses_nothing_acknowledged(tmp_path, calls, die):
    """A few of the kills of the tests below."""
    kills = 0
    for how, at in [("statement", n) for n in range(3, 130, 11)] + [("instruction", 40 * 3**n) for n in range(6)]:
        path = tmp_path / f"{how}-{at}.db"
        acknowledged, killed = die(path, how, at)
        survives(calls, path, acknowledged)
        kills += killed
    assert kills >= 15


@needs_kill
def test_a_journal_that_did_not_write_in_transactions_would_be_found_out(tmp_path, calls, die):
    """After the making of the file come about ten statements of the night; death within them leaves half of it."""
    path = tmp_path / "shop.db"
    Journal(path).close()
    found_out = 0
    for at in range(20, 50, 3):
        acknowledged, killed = die(path, "statement", at, careless=True)
        assert killed
        try:
            survives(calls, path, acknowledged)
        except AssertionError:
            found_out += 1
        path.unlink()
        for side in tmp_path.glob("shop.db-*"):
            side.unlink()
        Journal(path).close()
    assert found_out >= 2


@pytest.mark.slow
@needs_kill
def test_kill_minus_nine_before_every_single_statement(tmp_path, calls, die):
    """From the making of the file to the last call of a day, forgetting included."""
    path = tmp_path / "shop.db"
    for at in itertools.count():
        acknowledged, killed = die(path, "statement", at)
        survives(calls, path, acknowledged)
        for one in tmp_path.iterdir():
            one.unlink()
        if not killed:
            break
    assert at > 100


@pytest.mark.slow
@needs_kill
def test_kill_minus_nine_within_statements_and_at_random_moments(tmp_path, calls, die):
    """On a journal that grows from crash to crash."""
    rng, path, kills = random.Random(5), tmp_path / "shop.db", 0
    for trial in range(80):
        how, at = ("instruction", rng.randrange(1, 12_000)) if trial % 2 else ("moment", rng.uniform(0.0, 0.15))
        acknowledged, killed = die(path, how, at, trial * calls.CALLS)
        survives(calls, path, acknowledged, trial * calls.CALLS)
        kills += killed
    assert kills >= 40


@pytest.mark.slow
@needs_kill
def test_kill_minus_nine_while_an_older_journal_is_brought_up_to_date(tmp_path, first_version, calls, die):
    path = tmp_path / "crashed.db"
    for at in range(40):
        shutil.copy(first_version, path)
        _, killed = die(path, "statement", at)
        assert killed
        with Journal(path) as journal:
            assert journal._rows("PRAGMA integrity_check") == [("ok",)]
            assert journal._rows("SELECT count(*) FROM events WHERE at < '2012-01-01'") == [(8,)]
            assert journal.decisions(DAY).customer_id.tolist() == ["", "a", "b"]
            assert journal._rows("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == [(3,)]
        for one in tmp_path.glob("crashed.db*"):
            one.unlink()


@pytest.mark.slow
@needs_kill
def test_kill_minus_nine_of_a_client_of_a_server(new_database, calls, die):
    for at in itertools.count(0, 3):
        url = new_database()
        acknowledged, killed = die(url, "statement", at)
        survives(calls, url, acknowledged)
        if not killed:
            break
    assert at > 60
