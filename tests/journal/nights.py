"""Plans made by hand, and a second process that records them.

``python nights.py JOURNAL DAY CUSTOMERS GO`` records one night as soon as the file GO exists and says whether it was
new.
"""

import datetime as dt
import sys
import time
from pathlib import Path

import numpy as np

from retention.frames.table import Provenance
from retention.journal import Journal
from retention.plan.budget import Budget
from retention.plan.plan import Plan
from retention.plan.vetoes import VetoTable


def plan_of(
    as_of,
    *,
    contact=(),
    holdout=(),
    none=(),
    vetoes=(),
    money=1.5,
    hours=0.25,
    reason="long overdue",
    share=0.1,
    salt="s",
    seed=7,
):
    """A plan with these customers in these arms; ``vetoes`` are (customer, action, channel, policy, reason)."""
    who = [*contact, *holdout, *none]
    n, chosen = len(who), len(contact) + len(holdout)
    is_chosen = np.arange(n) < chosen

    def text(value):
        return np.where(is_chosen, value, "").astype(np.str_)

    window = np.full(n, np.datetime64("NaT", "D"), dtype="datetime64[D]")
    window[:chosen] = np.datetime64(as_of, "D")
    gain = np.where(is_chosen, 9.0, 0.0)
    return Plan(
        customer_id=np.asarray(who, dtype=np.str_),
        decision=np.asarray(
            ["contact"] * len(contact) + ["hold-out"] * len(holdout) + ["none"] * len(none), dtype=np.str_
        ),
        action=text("check-in call"),
        kind=text("give"),
        channel=text("phone"),
        strategy=text("overdue"),
        opens=window,
        closes=window + np.timedelta64(7, "D"),
        gain=gain,
        gain_sd=gain / 2,
        money=np.where(is_chosen, money, 0.0),
        hours=np.where(is_chosen, hours, 0.0),
        net=gain - np.where(is_chosen, money, 0.0),
        probability=np.where(is_chosen, 1.0 - share, 0.0),
        evidence=text("assumption"),
        reason=text(reason),
        segment=np.full(n, "silver"),
        explored=np.zeros(n, dtype=bool),
        not_before=np.full(n, np.datetime64("NaT", "m")),
        not_after=np.full(n, np.datetime64("NaT", "m")),
        assumed=gain,
        next_at=window,
        as_of=as_of,
        budget=Budget(money=None, hours=None),
        spent_money=money * len(contact),
        spent_hours=hours * len(contact),
        holdout_share=share,
        salt=salt,
        seed=seed,
        vetoes=VetoTable(
            **{
                name: np.asarray([v[i] for v in vetoes], dtype=np.str_)
                for i, name in enumerate(("customer_id", "action", "channel", "policy", "reason"))
            }
        ),
        assumptions=(),
        notes=(),
        currency="EUR",
        actions=(),
        provenance=Provenance(version="0.0"),
    )


def busy_night(day, customers):
    """A night with contacts, hold-outs and vetoes."""
    ids = [f"c{i}" for i in range(customers)]
    some = customers // 3
    refused = [(who, "mail", "email", "consent", "no consent") for who in ids[2 * some :]]
    return plan_of(day, contact=ids[:some], holdout=ids[some : 2 * some], none=ids[2 * some :], vetoes=refused)


if __name__ == "__main__":
    plan = busy_night(dt.date.fromisoformat(sys.argv[2]), int(sys.argv[3]))
    print("ready", flush=True)
    while not Path(sys.argv[4]).exists():
        time.sleep(0.001)
    with Journal(sys.argv[1]) as journal:
        print("already" if journal.record(plan).already else "new", flush=True)
