"""What a day of watching every customer's habits costs: `python benchmarks/monitor.py [--customers 20000]`.

A base with ``--purchases`` of each customer is replayed, then one more day of it is watched: about one customer in
thirty comes. The yardstick is the memory-bandwidth floor of numpy in the same process: the time to read one number a
customer once (a comparison of int32 values, as the pass over deadlines does). Times are the least of a few runs; the
ratios can be compared between machines, the seconds cannot.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from retention.records import TransactionLog
from retention.timing import ChangeMonitor, Rhythm

CLOCK = Rhythm(m0=3.2, kappa0=1.5, nu0=5.0, s0_squared=0.5, a=0.5, b=10.0, typical_gap_days=30.0)
HABITS = ("silence", "frequency", "basket", "margin", "category", "channel")


def least(run: Callable[[], Any], times: int) -> float:
    """The shortest of a few runs, in seconds."""
    best = np.inf
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return float(best)


def base(customers: int, purchases: int, seed: int = 0) -> TransactionLog:
    """Purchase days of customers with gaps around thirty days."""
    rng = np.random.default_rng(seed)
    gaps = np.maximum(rng.gamma(3.0, 10.0, (customers, purchases)), 1.0)
    gaps[:, 0] = rng.uniform(0, 30, customers)
    day = np.minimum(np.cumsum(gaps, axis=1), 40 * purchases).astype(np.int64).ravel()
    return lines(np.repeat(np.arange(customers), purchases), day, rng)


def lines(row: Any, day: Any, rng: np.random.Generator) -> TransactionLog:
    """One line a purchase day."""
    many = len(row)
    revenue = np.round(rng.lognormal(3.0, 0.4, many), 2)
    return TransactionLog.from_arrays(
        customer_id=np.char.mod("%07d", row),
        at=np.datetime64("2020-01-01") + np.asarray(day, dtype=np.int64),
        revenue=revenue,
        margin=np.round(revenue * rng.uniform(0.2, 0.4, many), 2),
        category=np.array(list("ABCDE"))[rng.integers(0, 5, many)],
        channel=np.array(["shop", "web"])[rng.integers(0, 2, many)],
    )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=20_000)
    options.add_argument("--purchases", type=int, default=20)
    options.add_argument("--memory", type=int, default=32)
    options.add_argument("--days", type=int, default=5)
    given = options.parse_args()
    n = given.customers

    monitor = ChangeMonitor(CLOCK, habits=HABITS, memory=given.memory)
    start = time.perf_counter()
    block = 50_000
    end = np.datetime64("2020-01-01") + 40 * given.purchases
    for low in range(0, n, block):
        # Blocks of customers, so that the log of the whole base need not be there at once.
        log = base(min(block, n - low), given.purchases, seed=low)
        part = ChangeMonitor(CLOCK, habits=HABITS, memory=given.memory) if low else monitor
        part.update(log, day=str(end))
        if low:
            room = len(monitor) + len(part)
            monitor._watch.grow(room)
            for name, values in part._watch.arrays.items():
                monitor._watch.arrays[name][len(monitor) : room] = values[: len(part)]
            for who in part._names:
                monitor._rows[f"{low + int(who):07d}"] = len(monitor._names)
                monitor._names.append(f"{low + int(who):07d}")
    replay = time.perf_counter() - start
    held = sum(values.nbytes for values in monitor._watch.arrays.values()) / n

    floor_values = np.random.default_rng(0).integers(0, 2**31 - 1, n).astype(np.int32)
    floor = least(lambda: np.flatnonzero(floor_values <= 0), 20)

    rng = np.random.default_rng(1)
    today = np.datetime64(str(monitor.day)).astype(int) - np.datetime64("2020-01-01").astype(int)
    busy, quiet, per = [], [], []
    for k in range(given.days):
        come = np.sort(rng.choice(n, max(n // 30, 1), replace=False))
        log = lines(come, np.full(len(come), today + 2 * k + 1), rng)
        busy.append(least(lambda log=log: monitor.update(log, day=str(log.day.max())), 1))
        per.append(busy[-1] / len(come))
        quiet.append(least(lambda log=log: monitor.update(None, day=str(log.day.max() + 1)), 1))
    print(f"{n:,} customers, {given.purchases} purchases each, memory of {given.memory} values a habit, all six habits")
    print(f"  floor: one int32 a customer compared                  {floor * 1e3:10.3f} ms")

    def row(what: str, seconds: float) -> None:
        print(f"  {what:<53} {seconds * 1e3:10.3f} ms {seconds / floor:12,.1f} x floor")

    row("a day without purchases, alarms told", min(quiet))
    row("a day, one customer in thirty comes", min(busy))
    print(f"  of it for each purchase day                           {min(per) * 1e6:10.1f} us")
    print(f"  replay of all purchases, for each                     {replay / n / given.purchases * 1e6:10.1f} us")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  held {held:,.0f} bytes a customer; the whole process at its peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
