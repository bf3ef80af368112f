"""What a day of watching every customer's habits costs, and what the watch promises.

    python benchmarks/monitor.py [--customers 20000] [--purchases 20]
    python benchmarks/monitor.py --delays [FOLDER]

Cost: a base with ``--purchases`` of each customer is replayed, then one more day of it is watched: about one customer
in thirty comes. The yardstick is the memory-bandwidth floor of numpy in the same process: a triad a = b + c d over four
numbers a customer. Times are the least of a few runs; the ratios can be compared between machines, the seconds cannot.

``--delays``: false alarms where nobody changes anything, by the calendar alone and relative to the base, without and
with a season; then how long real changes stay unseen. With FOLDER, that holds grocery_elog/grocery.csv.gz, real gaps
in shuffled order too. Takes some minutes.
"""

import argparse
import itertools
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from retention.histories import summarize
from retention.records import TransactionLog
from retention.timing import ChangeMonitor, Rhythm, change_alerts, detection_delay

CLOCK = Rhythm(m0=3.2, kappa0=1.5, nu0=5.0, s0_squared=0.5, a=0.5, b=10.0, typical_gap_days=30.0)
HABITS = ("silence", "frequency", "basket", "margin", "category", "channel")
START = np.datetime64("2020-01-01")


def least(run: Callable[[], Any], times: int) -> float:
    """The shortest of a few runs, in seconds."""
    best = np.inf
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return float(best)


def lines(row: Any, day: Any, rng: np.random.Generator) -> TransactionLog:
    """One line a purchase day."""
    many = len(row)
    revenue = np.round(rng.lognormal(3.0, 0.4, many), 2)
    return TransactionLog.from_arrays(
        customer_id=np.char.mod("%07d", row),
        at=START + np.asarray(day, dtype=np.int64),
        revenue=revenue,
        margin=np.round(revenue * rng.uniform(0.2, 0.4, many), 2),
        category=np.array(list("ABCDE"))[rng.integers(0, 5, many)],
        channel=np.array(["shop", "web"])[rng.integers(0, 2, many)],
    )


def cost(n: int, purchases: int, memory: int, days: int) -> None:
    """Replay a base with gaps around thirty days, in months, then watch some days more; print what it took."""
    rng = np.random.default_rng(0)
    at = rng.uniform(0, 30, n).astype(np.float32)
    monitor = ChangeMonitor(CLOCK, habits=HABITS, memory=memory)
    replay, seen = 0.0, 0
    for month in range(1, purchases + 1):
        rows, when = [], []
        while len(come := np.flatnonzero(at < 30 * month)):
            rows.append(come)
            when.append(at[come].astype(np.int64))
            at[come] += np.maximum(rng.gamma(3.0, 10.0, len(come)), 1.0).astype(np.float32)
        log = lines(np.concatenate(rows), np.concatenate(when), rng)
        start = time.perf_counter()
        monitor.update(log, day=str(START + 30 * month - 1))
        replay += time.perf_counter() - start
        seen += len(log)
        del log, rows, when
    arrays = [*monitor._watch.arrays.values(), *(monitor._pace.arrays.values() if monitor._pace else ())]
    held = sum(values.nbytes for values in arrays) / max(len(monitor), 1)

    b, c, d = (np.random.default_rng(k).random(4 * n) for k in range(3))
    a = np.empty_like(b)
    floor = least(lambda: np.add(np.multiply(c, d, out=a), b, out=a), 10)
    today = 30 * purchases
    busy, quiet, per = [], [], []
    for k in range(days):
        come = np.sort(rng.choice(n, max(n // 30, 1), replace=False))
        log = lines(come, np.full(len(come), today + 2 * k), rng)
        busy.append(least(lambda log=log: monitor.update(log, day=str(log.day.max())), 1))
        per.append(busy[-1] / len(come))
        quiet.append(least(lambda log=log: monitor.update(None, day=str(log.day.max() + 1)), 1))
    print(f"{n:,} customers, {purchases} purchases each, memory of {memory} values a habit, all six habits")
    print(f"  floor: triad over four numbers a customer             {floor * 1e3:10.3f} ms")

    def row(what: str, seconds: float) -> None:
        print(f"  {what:<53} {seconds * 1e3:10.3f} ms {seconds / floor:12,.1f} x floor")

    row("a day without purchases, alarms told", min(quiet))
    row("a day, one customer in thirty comes", min(busy))
    print(f"  of it for each purchase day                           {min(per) * 1e6:10.1f} us")
    print(f"  replay of all purchases, for each                     {replay / seen * 1e6:10.1f} us")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"  held {held:,.0f} bytes a customer ({held / 32:.0f} x four numbers); the whole process at its peak "
        f"{peak / 2**30:.2f} GB ({peak / a.nbytes:.0f} x)"
    )


def null_shop(seed: int, *, shape: float, weekday: bool = False, shared: bool = False, usual: float = 10.0) -> Any:
    """A hundred customers who keep their habits for 2.5 years; ``shared``: with a yearly wave, closure and Sundays."""
    rng = np.random.default_rng(seed)
    day = np.arange(912)
    rate = np.ones(len(day))
    if shared:
        rate = 1 + 0.6 * np.sin(2 * np.pi * day / 365.25)
        rate[((day % 365 >= 200) & (day % 365 < 235)) | (day % 7 == 6)] = 0
    clock = np.append(0.0, np.cumsum(rate))
    rows, days = [], []
    for i, mean in enumerate(rng.gamma(3.0, usual / 3, 100) + 5):
        times = rng.uniform(0, 100) + np.cumsum(rng.gamma(shape, mean / shape, int(3 * clock[-1] / mean) + 30))
        mine = np.searchsorted(clock, times[times < clock[-1]], side="right") - 1
        days.append(np.unique(np.minimum(mine // 7 * 7 + rng.integers(7), 911) if weekday else mine))
        rows.append(np.full(len(days[-1]), i))
    return lines(np.concatenate(rows), np.concatenate(days), rng)


def rate(logs: Iterable[TransactionLog], **options: Any) -> tuple[float, float]:
    """Alarms in 100 customer-years, and customer-years."""
    alarms = years = 0.0
    for log in logs:
        told = change_alerts(log, as_of=str(log.day.max()), **options)
        alarms, years = alarms + len(told), years + float(told.months.watched_years.sum())
    return 100 * alarms / years, years


def shuffled(log: TransactionLog, seed: int) -> TransactionLog:
    """The log with each customer's gaps in another order, until her last purchase."""
    rng = np.random.default_rng(seed)
    code, day = np.unique(np.stack([log.customers.codes.astype(np.int64), log.day.astype(np.int64)], axis=1), axis=0).T
    new = day.copy()
    for a, b in itertools.pairwise(np.flatnonzero(np.r_[True, np.diff(code) != 0, True])):
        new[a:b] = day[a] + np.r_[0, np.cumsum(rng.permutation(np.diff(day[a:b])))]
    return TransactionLog.from_arrays(
        customer_id=log.customers.labels[code], at=new.astype("datetime64[D]"), revenue=np.ones(len(new))
    )


def real_gaps(path: Path, shuffles: int = 12) -> None:
    """Alarms on gaps that ended, and so were false, for 100 years until a last purchase; then the log as it is."""
    import csv
    import gzip

    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    log = TransactionLog.from_arrays(
        customer_id=[r["customer_id"] for r in rows], at=[r["date"] for r in rows], revenue=np.ones(len(rows))
    )
    as_of = str(log.day.max())
    base = summarize(log, as_of=as_of, habits=False)
    ended = dict(zip(base.customer_id.tolist(), base.last_at, strict=True))
    years = shuffles * float(base.recency_days.sum()) / 365.25
    print(f"\n{len(base):,} grocery customers, gaps in shuffled order, {years:,.0f} years: alarms in 100 of them")
    for clock, (pause, relative) in {
        "pauses, relative to the base": (0.1, True),
        "pauses, calendar": (0.1, False),
        "no pauses": (0.0, True),
    }.items():
        rhythm = Rhythm.fit(base, pause=pause)
        found = dict.fromkeys(("silence", "frequency"), 0)
        for seed in range(shuffles):
            told = change_alerts(
                shuffled(log, seed), as_of=as_of, rhythm=rhythm, habits=HABITS[:2], relative_to_base=relative
            )
            for who, at, habit in zip(told.customer_id.tolist(), told.at, told.habit.tolist(), strict=True):
                found[habit] += int(at <= ended[who])
        print(f"  {clock:30}", ", ".join(f"{h} {100 * k / years:.2f}" for h, k in found.items()))
        told = change_alerts(log, as_of=as_of, rhythm=rhythm, habits=HABITS[:2], relative_to_base=relative)
        print(f"  {'':30} in true order {told}, {np.sum(told.habit == 'frequency')} on frequency")


def delays(folder: Path | None) -> None:
    """The figures of the page on changes."""
    print("| customers | relative to the base | calendar alone |\n| --- | --- | --- |")
    worlds: dict[str, dict[str, Any]] = {
        "Poisson buyers": {"shape": 1.0}, "regular (4)": {"shape": 4.0}, "clocks (12)": {"shape": 12.0},
        "favourite weekday": {"shape": 3.0, "weekday": True},
        "a year of its own, regular (4)": {"shape": 4.0, "shared": True},
        "a year of its own, weekly clocks (8)": {"shape": 8.0, "shared": True, "usual": 4.0},
    }  # fmt: skip
    for name, world in worlds.items():
        both = [
            rate((null_shop(s, **world) for s in range(20)), relative_to_base=relative) for relative in (True, False)
        ]
        print(f"| {name} | {both[0][0]:.2f} | {both[1][0]:.2f} |")
    print(f"\nalarms in 100 customer-years; {both[0][1]:,.0f} customer-years each; stated: at most 1.00")
    if folder is not None:
        real_gaps(folder / "grocery_elog/grocery.csv.gz")
    for what, options in (
        ("a halved rate, 24 gaps on record", {}),
        ("a halved rate, 60 gaps on record", {"gaps_before": 60}),
        ("a full stop, 24 gaps on record", {"slowdown": float("inf")}),
    ):
        table = detection_delay(**options)  # type: ignore[arg-type]
        print(f"\n{what}\n\n| regularity | a quarter by | half by | found | bound |\n| --- | --- | --- | --- | --- |")
        for r in map(table.row, range(len(table))):
            print(
                f"| {r['regularity']:g} | {r['quarter_gaps']:.1f} | {r['median_gaps']:.1f} | {r['found']:.2f} "
                f"| {r['bound_gaps']:.1f} |"
            )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--customers", type=int, default=20_000)
    options.add_argument("--purchases", type=int, default=20)
    options.add_argument("--memory", type=int, default=32)
    options.add_argument("--days", type=int, default=5)
    options.add_argument("--delays", action="store_true")
    given = options.parse_args()
    if given.delays:
        delays(given.folder)
    else:
        cost(given.customers, given.purchases, given.memory, given.days)


if __name__ == "__main__":
    main()
