"""What a plan costs beside merely reading its columns: `python benchmarks/plan_scale.py [--customers 1000000]`.

A made-up base of four tables as `summarize`, `appraise`, `anticipate` and `assign_tiers` hand them on: ids of text, a
tenth overdue, a tenth near the next tier, a tenth with an open window. No consent is on file, so e-mails and calls are
refused and each refusal is kept. Money and hours are for two customers in a hundred.

Then what is done with a plan: its list of leads, the next contact of everyone, why one customer was chosen, its
fingerprint (of all words, so all are made), the CSV with a reason in words for each customer, and a night in a journal.

Seconds are CPU seconds of one thread, `passes` the ratio to one pass of numpy over the same columns (a sum of each that
is a number, one comparison of each that is text) in the same process. Memory is the peak of what Python and numpy
allocate while it runs, in a run of its own, beside what the base takes.

Aimed at: a million 1.5 s and 400 MB for the plan; ten million less than 20 s and 3 GB.
"""

import argparse
import datetime as dt
import gc
import platform
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retention.domain import Tier
from retention.histories import Histories
from retention.journal import Journal
from retention.plan import Budget, make_plan
from retention.tiers.tiering import Tiering
from retention.timing.outlook import Outlook
from retention.value.valuation import Valuation

DAY = dt.date(2011, 12, 31)


def drawn(n: int, seed: int = 1) -> tuple[Histories, Valuation, Outlook, Tiering]:
    rng, today = np.random.default_rng(seed), np.datetime64(DAY, "D")
    ids = np.strings.zfill(np.arange(n).astype(np.str_), 8)
    margin = np.round(rng.lognormal(4.0, 1.0, n), 2)
    alive, share = rng.beta(2.0, 1.0, n), rng.random(n)
    overdue = share < 0.1
    idle = rng.integers(1, 400, n).astype(np.float64)
    histories = Histories.from_arrays(
        customer_id=ids,
        frequency=1 + rng.poisson(2.0, n),
        recency_days=np.maximum(700.0 - idle, 1.0),
        age_days=np.full(n, 700.0),
        orders=1 + rng.poisson(4.0, n),
        as_of=DAY,
    )
    ids = histories.customer_id
    valuation = Valuation(
        customer_id=ids,
        p_alive=alive,
        expected_purchases=margin / 20.0,
        margin_mean=np.full(n, 20.0),
        expected_margin=margin,
        value=margin,
        value_low=0.5 * margin,
        value_high=1.5 * margin,
        model="drawn",
        horizon_days=365.0,
        discount_rate=0.1,
        interval=0.9,
    )
    opens = today + rng.integers(40, 200, n).astype("timedelta64[D]")
    opens[(share > 0.1) & (share < 0.2)] = today
    gap = rng.gamma(4.0, 20.0, n)
    outlook = Outlook(
        customer_id=ids,
        usual_gap_days=gap,
        gap_low_days=0.8 * gap,
        gap_high_days=1.3 * gap,
        idle_days=idle,
        silence_probability=rng.random(n),
        overdue=overdue,
        stage=np.where(overdue, "looking", "settled"),
        p_leaves=0.2 * rng.random(n),
        p_alive=alive,
        next_due_at=opens,
        window_opens_at=opens,
        window_closes_at=opens + np.timedelta64(14, "D"),
        margin_per_day=margin / 365.0,
        at_risk_per_day=np.where(overdue, margin / 730.0, 0.0),
        tail=0.05,
    )
    gold = margin > 100.0
    tiering = Tiering(
        customer_id=ids,
        tier=np.where(gold, "gold", "silver"),
        rank=gold.astype(np.int64),
        score=margin,
        next_tier=np.where(gold, "", "gold"),
        to_next=np.where(gold, 0.0, 100.0 - margin),
        tiers=(Tier(name="silver", rank=0, floor=0.0), Tier(name="gold", rank=1, floor=100.0)),
        rule="drawn",
    )
    return histories, valuation, outlook, tiering


def bare(base: tuple[Any, ...]) -> float:
    """One look at each value."""
    columns = {id(values): values for table in base for values in table.columns().values()}
    seen = 0.0
    for values in columns.values():
        kind = values.dtype.kind
        seen += float(np.sum(values != "" if kind == "U" else values.view(np.int64) if kind == "M" else values))
    return seen


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--no-memory", action="store_true", help="leave out the run that measures memory")
    given = parser.parse_args()
    n = given.customers
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}; {n:,} customers")
    base = drawn(n)
    budget = Budget(money=0.02 * n, hours=0.001 * n)

    def plan_it() -> Any:
        return make_plan(*base, budget=budget)

    make_plan(*drawn(2_000), budget=budget)  # what is imported on the way is not the plan's
    look = min(timed(lambda: bare(base))[0] for _ in range(3))
    print(f"{'bare pass':14} {look:8.3f} s")
    took, plan = timed(plan_it)

    def told(name: str, seconds: float) -> None:
        print(f"{name:14} {seconds:8.3f} s  {seconds / look:8.1f} passes", flush=True)

    told("make_plan", took)
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder, "journal.db")) as journal:
        steps: dict[str, Callable[[], Any]] = {
            "lead_list": plan.lead_list,
            "next_contacts": plan.next_contacts,
            "why": lambda: str(plan.why(plan.customer_id[n // 2])),
            "fingerprint": plan.fingerprint,
            "to_csv": lambda: plan.to_csv(Path(folder, "plan.csv")),
            "record": lambda: journal.record(plan),
        }
        for name, step in steps.items():
            seconds, result = timed(step)
            told(name, seconds)
        print(f"{'':14} {result.message}; {Path(folder, 'plan.csv').stat().st_size / 1e6:,.0f} MB of CSV")
    print(plan)
    if not given.no_memory:
        del plan
        gc.collect()
        tracemalloc.start()
        plan = plan_it()
        kept, peak = tracemalloc.get_traced_memory()
        print(f"memory of make_plan: peak {peak / 1e6:,.0f} MB, kept {kept / 1e6:,.0f} MB ({peak / n:,.0f} bytes each)")


if __name__ == "__main__":
    main()
