"""Many nights of one shop, one process each that may be killed at any step; then the journal is judged by itself.

``python tests/many_nights.py --customers 20000 --nights 60 --kills 200`` is the whole of it (about a quarter of an hour
on one core); ``tests/test_many_nights.py`` is a small form.

Every night a child process

1. records what came in by day: permissions given and taken back, complaints opened and closed, outcomes, a customer who
   wants to be forgotten;
2. plans, with all built-in policies, quiet hours by time zone, a cap of its own for the phone and two gives before an
   ask, and records the plan;
3. sends: a line in the outbox for each contact that the *journal* has as due on the day and the outbox has not; what
   has come up since it was planned calls it off;
4. records the contacts made.

It is killed by ``kill -9`` before a statement that reaches the database, within one, at a step by name, or at any
moment; and started again, as a scheduler would. What holds afterwards is read from the tables of the file and from the
outbox with nothing of the library but the word list of the events.
"""

import argparse
import datetime as dt
import hashlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from retention.domain import Consent, Outcome
from retention.journal import Complaints, Journal
from retention.plan.policies import FrequencyCap, GivesBeforeAsk, QuietHours
from retention.program import Program
from retention.records import Consents, Touches
from retention.worlds import Shop

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Chatham")
MONEY, HOURS, PHONE_CALLS = 120.0, 12.0, 25
QUIET_FROM, QUIET_UNTIL = dt.time(20), dt.time(8)
STEPS = ("begin", "permissions", "complaints", "outcomes", "planned", "sending", "sent", "touches")


class Town:
    """The shop and what comes in, day by day; a night is the same whenever it is asked for."""

    def __init__(self, customers, nights, seed):
        shop = Shop.corner_shop(
            customers=customers, years=2.0, seed=seed, beyond_days=nights + 1, start=dt.date(2010, 1, 1)
        )
        # A night has no more than it knew: nothing after its day is read.
        self.world = shop.simulate()
        self.days = [self.world.as_of - dt.timedelta(days=nights - 1 - n) for n in range(nights)]
        self.ids = self.world.truth.customer_id.tolist()
        self.zone = {who: ZONES[i % len(ZONES)] for i, who in enumerate(self.ids) if i % 17}  # of some none is known
        self.seed = seed
        scale = customers / 20_000
        self.budget = {"money": MONEY * scale, "hours": HOURS * scale}
        self.calls = max(int(PHONE_CALLS * scale), 1)

    def before(self):
        """Permissions on file before the first night."""
        return self.world.until(self.days[0] - dt.timedelta(days=1)).consents

    def incoming(self, day):
        """What the day brings: consents, complaints opened and closed, outcomes, whom to forget."""
        rng = random.Random(f"{self.seed}-{day}")
        n = max(len(self.ids) // 200, 2)
        consents = [
            Consent(
                customer_id=rng.choice(self.ids), channel=rng.choice(("phone", "email", "post")),
                granted=rng.random() < 0.3, at=day,
            )
            for _ in range(n)
        ]  # fmt: skip
        who = [rng.choice(self.ids) for _ in range(5 * n)]
        opened = [rng.random() < 0.6 for _ in who]
        outcomes = [Outcome(customer_id=rng.choice(self.ids), at=day, kind="reply") for _ in range(3)]
        forgotten = rng.choice(self.ids) if rng.random() < 0.2 else None
        return (
            Consents.of(consents),
            Complaints.from_arrays(customer_id=who, at=[day] * len(who), opened=opened),
            outcomes,
            forgotten,
        )

    def program(self):
        quiet = QuietHours(
            quiet_from=QUIET_FROM.isoformat("minutes"), quiet_until=QUIET_UNTIL.isoformat("minutes"),
            channel=["phone", "in person", "email"], closed=["sunday"], name="quiet-hours",
        )  # fmt: skip
        phone = FrequencyCap(max_contacts=1, days=60, channel=["phone"], name="one-call-in-sixty-days")
        return Program(
            **self.budget, capacity={"phone": self.calls}, holdout=0.1, explore=0.05,
            attributes={"time_zone": self.zone}, do_not_contact=tuple(self.ids[::23]),
            plugins=(quiet, phone, GivesBeforeAsk(gives=2)),
        )  # fmt: skip


def night(town, day, place, outbox, step):
    """One night from wherever the last attempt died; ``step`` is told what comes next."""
    step("begin")
    consents, complaints, outcomes, forgotten = town.incoming(day)
    with Journal(place) as journal:
        if day == town.days[0]:
            journal.record_consents(town.before())
        step("permissions")
        journal.record_consents(consents)
        step("complaints")
        journal.record_complaints(complaints)
        step("outcomes")
        journal.record_outcomes(outcomes)
        # Whom a contact reached is forgotten in another world; before the plan, which is the same then when made again.
        if forgotten is not None and not any(one["who"] == forgotten for one in read(outbox)):
            journal.forget(forgotten)
        log = town.world.until(day).log
        town.program().run(log, as_of=day, journal=journal)
        step("planned")
        sent = {(one["planned"], one["who"]) for one in read(outbox)}
        due = journal.due(day)
        rows = [due.row(i) for i in range(len(due))]
        for row in rows:
            if row["stop"]:
                journal.cancel(row["as_of"], [row["customer_id"]], "no longer", on=day)
        with Path(outbox).open("ab", buffering=0) as file:
            for number, row in enumerate(rows):
                planned = row["as_of"].isoformat()
                if not row["stop"] and (planned, row["customer_id"]) not in sent:
                    line = {"day": day.isoformat(), "planned": planned, "who": row["customer_id"]}
                    line |= {name: row[name] for name in ("action", "channel", "kind", "not_before", "not_after")}
                    file.write(json.dumps(line).encode() + b"\n")
                    os.fsync(file.fileno())
                if number == len(rows) // 2:
                    step("sending")
        step("sent")
        made = [one for one in read(outbox) if one["day"] == day.isoformat()]
        journal.record_touches(
            Touches.from_arrays(
                customer_id=[m["who"] for m in made], at=[day] * len(made),
                channel=[m["channel"] for m in made], kind=[m["kind"] for m in made],
            )
        )  # fmt: skip
        step("touches")


def read(outbox):
    """The lines sent; one that a crash cut off was never sent."""
    path = Path(outbox)
    text = path.read_bytes() if path.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]


# Killing


def attempt(town, day, place, outbox, how, at):
    """A child process for the night, killed so; whether it came to the end."""
    child = os.fork()
    if child == 0:
        try:
            arm(how, at)

            def step(name):
                if how == "step" and name == at:
                    os.kill(os.getpid(), signal.SIGKILL)

            night(town, day, place, outbox, step)
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    if how == "moment":
        time.sleep(at)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise AssertionError(f"the night of {day} failed with {code} after {how} {at}")
    return code == 0


def arm(how, at):
    """Die before the at-th statement, or after so many instructions of SQLite's machine."""
    if how not in ("statement", "instruction"):
        return
    left, connect = [at], sqlite3.connect

    def tick(*_):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def armed(*arguments, **options):
        db = connect(*arguments, **options)
        if how == "statement":
            db.set_trace_callback(tick)
        else:
            db.set_progress_handler(tick, 100)
        return db

    sqlite3.connect = armed


def live(town, folder, kills, seed, tell=lambda text: None):
    """All nights, killed so often in all; the number of kills by kind."""
    rng, done = random.Random(seed), defaultdict(int)
    place, outbox = folder / "shop.db", folder / "outbox.jsonl"
    took = 1.0
    for number, day in enumerate(town.days):
        quota = kills * (number + 1) // len(town.days)
        while True:
            how, at = "none", 0
            if sum(done.values()) < quota:
                how = rng.choice(("step", "step", "statement", "statement", "instruction", "moment"))
                at = {
                    "step": rng.choice(STEPS),
                    "statement": int(10 ** rng.uniform(0.5, 3.0)),
                    "instruction": int(10 ** rng.uniform(0.0, 4.0)),
                    "moment": rng.uniform(0.0, took),
                }[how]
            start = time.monotonic()
            if attempt(town, day, place, outbox, how, at):
                took = time.monotonic() - start
                if how == "none":
                    break
            else:
                done[f"{how} {at}" if how == "step" else how] += 1
        tell(f"{day}: {sum(done.values())} kills, {took:.1f} s")
    return dict(done)


# The judge: raw tables and the outbox


def judge(town, folder):
    """What is wrong, a line each, and counts of what was looked at."""
    db = sqlite3.connect(folder / "shop.db")
    names = dict(db.execute("SELECT person, customer_id FROM people"))
    columns = "key, refers, kind, at, person, action, channel, arm, direction, money, hours, detail"
    rows = db.execute(f"SELECT {columns} FROM events ORDER BY seq")
    events = [dict(zip(columns.split(", "), row, strict=True)) for row in rows]
    for event in events:
        event["detail"] = json.loads(event["detail"])
        event["day"] = dt.date.fromisoformat(event["at"]) if event["at"] else dt.date.min
    wrong = defaultdict(int)
    decided = [e for e in events if e["kind"] == "decision"]
    contacts = [e for e in decided if e["arm"] == "contact"]
    nights = [e for e in events if e["kind"] == "night"]
    sent = read(folder / "outbox.jsonl")

    wrong["a night is missing or twice"] += [e["day"] for e in nights] != town.days
    wrong["the database is not whole"] += db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
    seen = [(e["day"], e["person"]) for e in decided]
    wrong["two decisions for one customer and night"] += len(seen) - len(set(seen))
    out = [(one["planned"], one["who"]) for one in sent]
    wrong["a contact was made twice"] += len(out) - len(set(out))
    known = {(e["at"], names[e["person"]]): e for e in contacts if e["person"] in names}
    wrong["a contact was made that was not decided"] += len(set(out) - set(known))
    planned = {e["key"]: (e["at"], names.get(e["person"])) for e in decided}
    off = {planned[e["refers"]] for e in events if e["kind"] == "cancellation"}
    owed = {one for one, e in known.items() if max(e["detail"]["due"], e["at"]) <= town.days[-1].isoformat()}
    wrong["a contact was decided and not made"] += len(owed - set(out) - off)
    wrong["a contact was called off and made"] += len(off & set(out))
    made = {(e["at"], names.get(e["person"])) for e in events if e["kind"] == "touch"}
    wrong["a contact was made and is not on file"] += len({(one["day"], one["who"]) for one in sent} - made)

    by_person = defaultdict(list)
    for one in sent:
        by_person[one["who"]].append(one | {"day": dt.date.fromisoformat(one["day"])})
    person = {who: number for number, who in names.items()}
    asked, barred = defaultdict(list), set(town.ids[::23])
    for event in events:
        if event["kind"] in ("consent", "complaint"):
            asked[event["person"], event["kind"]].append(event)
    for who, mine in by_person.items():
        days = [one["day"] for one in mine]
        wrong["gap"] += sum((b - a).days < 7 for a, b in pairwise(days))
        wrong["cap"] += sum((c - a).days < 28 for a, c in zip(days, days[2:], strict=False))
        calls = [one["day"] for one in mine if one["channel"] == "phone"]
        wrong["cap of the phone"] += sum((b - a).days < 60 for a, b in pairwise(calls))
        gives = 0
        for one in mine:
            wrong["an ask before two gives"] += one["kind"] == "ask" and gives < 2
            gives = 0 if one["kind"] == "ask" else gives + (one["kind"] in ("give", "thank", "connect"))
            waits = open_on(asked[person[who], "complaint"], one["day"])
            wrong["complaint"] += waits and one["kind"] != "connect"
            if one["channel"] in ("phone", "email"):
                wrong["consent"] += not granted(asked[person[who], "consent"], one["channel"], one["day"])
            wrong["quiet hours"] += not by_day(one, town.zone.get(who, ""))
        wrong["do-not-contact"] += who in barred
    wrong["contact of one in the hold-out"] += sum(1 for who in by_person if held_out(who))
    for event in nights:
        tonight = [e for e in contacts if e["day"] == event["day"]]
        for name in ("money", "hours"):
            spent = sum(Decimal(str(e[name])) for e in tonight)
            wrong[f"budget of {name}"] += spent > Decimal(str(town.budget[name]))
        wrong["capacity of the phone"] += sum(e["channel"] == "phone" for e in tonight) > town.calls
    counts = {
        "nights": len(nights), "decisions": len(decided), "contacts": len(contacts),
        "held out": sum(e["arm"] == "hold-out" for e in decided),
        "drawn": sum(e["detail"]["explored"] for e in decided),
        "vetoes": sum(e["kind"] == "veto" for e in events), "events": len(events), "forgotten": len(
            {e["person"] for e in events if e["person"]} - set(names)),
        "made": len(sent),
        "called off": len(off),
        "contacted twice or more": sum(len(mine) > 1 for mine in by_person.values()),
    }  # fmt: skip
    db.close()
    return {rule: int(count) for rule, count in wrong.items()}, counts


def held_out(who):
    """The first 53 bits of the hash, as a share, below a tenth."""
    digest = hashlib.blake2b(f"retention|{who}".encode(), digest_size=8).digest()
    return who is not None and (int.from_bytes(digest, "big") >> 11) / 2**53 < 0.1


def open_on(complaints, day):
    """An opening counts on its day, a closing from the next on; of two on one day the closing does."""
    known = [e for e in complaints if e["day"] < day or (e["day"] == day and e["detail"]["opened"])]
    if not known:
        return False
    last = max(e["day"] for e in known)
    return all(e["detail"]["opened"] for e in known if e["day"] == last)


def granted(consents, channel, day):
    """A permission from before the day with no later withdrawal until and on it; of one day, a withdrawal counts."""
    mine = [e for e in consents if e["channel"] == channel and e["detail"]["purpose"] == "marketing"]
    mine = [e for e in mine if e["day"] < day or (e["day"] == day and not e["detail"]["granted"])]
    if not mine:
        return False
    last = max(e["day"] for e in mine)
    return all(e["detail"]["granted"] for e in mine if e["day"] == last)


def by_day(one, zone):
    """Whether both ends of the time given lie on one open day of hers between 8 and 20 o'clock."""
    if one["channel"] not in ("phone", "in person", "email"):
        return True
    said = [one[name] for name in ("not_before", "not_after")]
    if not zone or not all(said):
        return False
    first, last = (dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone)) for text in said)
    same = first.date() == last.date() and first.weekday() != 6
    return same and first.time() >= QUIET_UNTIL and last.time() <= QUIET_FROM and first <= last


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("customers", 20_000), ("nights", 60), ("kills", 200), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    town = Town(given.customers, given.nights, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        kills = live(town, Path(folder), given.kills, given.seed, tell=lambda text: print(text, flush=True))
        wrong, counts = judge(town, Path(folder))
    print("kills:", sum(kills.values()), json.dumps(kills, sort_keys=True))
    print("looked at:", json.dumps(counts))
    print("violations:", json.dumps(wrong))
    sys.exit(any(wrong.values()))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
