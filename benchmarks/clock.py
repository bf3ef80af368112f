"""Is each customer's clock right on real shops, and what does it cost?

    python benchmarks/clock.py FOLDER [--all]
    python benchmarks/clock.py --customers 1000000

With a folder: promised and actual purchases by how unusual her silence is; then log scores, ranking and surprise rate
beside other renewal models and two simple rules, and what became of those whom a model had given up. FOLDER holds
cdnow/cdnow_master.csv.gz, grocery_elog/grocery.csv.gz and online_retail_2010_2011/online_retail.parquet (public data;
see the tests on real data). Models are fitted on the days before a cut and never after. ``--all`` adds Pareto/GGG,
whose fits take seconds to minutes each (on CDNOW, where regularity tells nothing, so long that it is left out).

With ``--customers``: time and peak memory of the fit and of everything that is said of each customer. The yardstick is
the memory-bandwidth floor of numpy in the same process: a triad a = b + c d over arrays as large as the inputs, four
numbers a customer. Times are the least of a few runs; the ratios can be compared between machines, the seconds cannot.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import retention as rt
from retention.histories import Histories
from retention.records import TransactionLog
from retention.timing import LogT, Rhythm, TimingBacktest, anticipate, backtest, cycle
from retention.value import BGNBD, MBGCNBD, MBGNBD, ParetoGGG

BANDS = ((0.0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1.0))
CDNOW, GROCERY, GIFTS = (
    "cdnow/cdnow_master.csv.gz", "grocery_elog/grocery.csv.gz", "online_retail_2010_2011/online_retail.parquet",
)  # fmt: skip
SHOPS = (
    (CDNOW, "1997-09-30", 273),
    (GROCERY, "2006-06-30", 364),
    (GROCERY, "2006-12-31", 364),
    (GIFTS, "2011-06-30", 162),
)
COLUMNS: dict[str, dict[str, Any]] = {
    CDNOW: {"customer": "customer_id", "at": "date", "revenue": "sales", "margin": 1.0},
    GIFTS: {
        "customer": "CustomerID", "at": "InvoiceDate", "quantity": "Quantity", "unit_price": "UnitPrice",
        "order": "InvoiceNo", "item": "StockCode", "margin": 1.0,
    },
}  # fmt: skip
ORIGINS = {
    CDNOW: (["1997-06-30", "1997-08-29", "1997-10-28", "1997-12-27", "1998-02-25"], [28, 91]),
    GROCERY: (["2006-07-01", "2006-09-29", "2006-12-28", "2007-03-28", "2007-06-26"], [7, 28, 91]),
    GIFTS: (["2011-03-31", "2011-05-31", "2011-07-31", "2011-09-08"], [7, 28, 91]),
}
GIVEN_UP = 0.05


def promised_and_actual(path: Path, as_of: str, days: int) -> list[dict[str, Any]]:
    """One row a band of silence: customers, P(alive), promised share who buy within ``days``, actual share."""
    log = read(path)
    everybody = rt.summarize(log, as_of=as_of, habits=False)
    base = everybody[everybody.frequency >= 2]
    day = np.datetime64(as_of)
    later = (log.day > day) & (log.day <= day + np.timedelta64(days, "D")) & ~log.is_return
    bought = np.isin(base.customer_id, log.customers.labels[np.unique(log.customers.codes[later])])
    clock = Rhythm.fit(everybody)
    silence, alive, buys = clock.silence(base), clock.p_alive(base), clock.p_purchase(base, float(days))
    rows = []
    for low, high in BANDS:
        some = (silence > low) & (silence <= high)
        rows.append(
            {
                "silence": f"{low:g} to {high:g}",
                "customers": int(some.sum()),
                "p_alive": float(alive[some].mean()),
                "promised": float(buys[some].mean()),
                "actual": float(bought[some].mean()),
            }
        )
    return rows


def read(path: Path) -> TransactionLog:
    """A shop by its place in the folder."""
    columns = COLUMNS.get(f"{path.parent.name}/{path.name}")
    if columns:
        return rt.read_transactions(path, **columns)
    from retention.frames.reading import open_source

    table = open_source(path)
    who, at = (table.columns[name] for name in ("customer_id", "date"))

    def text(column: Any) -> list[str]:
        return [column.labels[code] for code in column.values.tolist()]

    return TransactionLog.from_arrays(customer_id=text(who), at=text(at), revenue=np.ones(len(table)), margin=1.0)


def given_up(tried: TimingBacktest, model: str, days: float) -> tuple[int, float, float]:
    """Of forecasts below ``GIVEN_UP``: how many, what was promised, what share came all the same."""
    promise, came = tried.promises[model, days], tried.outcomes[days]
    some = promise < GIVEN_UP
    if not some.any():
        return 0, float("nan"), float("nan")
    return int(some.sum()), float(promise[some].mean()), float(came[some].mean())


def tell(folder: Path, everything: bool) -> None:
    """The tables of the page on timing."""
    for name, as_of, days in SHOPS:
        print(f"{name} on {as_of}, {days} days ahead")
        for row in promised_and_actual(folder / name, as_of, days):
            print(
                f"  silence {row['silence']:11} {row['customers']:6,} customers: alive {row['p_alive']:.2f}, "
                f"promised to buy {row['promised']:.2f}, bought {row['actual']:.2f}"
            )
    for name, (cuts, days_ahead) in ORIGINS.items():
        models: list[Any] = [LogT(), BGNBD(), MBGNBD(), MBGCNBD()]
        if everything and name != CDNOW:
            models.append(ParetoGGG())
        tried = backtest(read(folder / name), cutoffs=cuts, models=models, days=days_ahead)
        print(f"\n{name}: who comes within d days, from {len(cuts)} cuts\n")
        print("| days | model | log score | behind the best | AUC | calibration error | given up: n, said, came |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for row in map(tried.scores.row, range(len(tried.scores))):
            many, said, came = given_up(tried, row["model"], row["days"])
            print(
                f"| {row['days']:.0f} | {row['model']} | {row['log_score']:.4f} | {row['behind']:.4f} ± "
                f"{row['behind_error']:.4f} | {row['auc']:.3f} | {row['calibration_error']:.4f} | "
                f"{many:,}, {said:.3f}, {came:.3f} |"
            )
        print()
        for row in map(tried.surprise.row, range(len(tried.surprise))):
            print(f"surprise {row['model']:10} {row['surprise']:.2f} [{row['low']:.2f}, {row['high']:.2f}]")


def made_up(customers: int, seed: int = 0) -> Histories:
    """Log-normal gaps around a month, from none to thirty each; a fifth has left."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 31, customers)
    mean, spread = rng.normal(3.2, 0.7, customers), 0.5 / np.sqrt(rng.gamma(3.0, 1 / 3, customers))
    # Sums of x log gaps and of their squares around their mean, drawn from their own distributions.
    sums = x * mean + np.sqrt(x) * spread * rng.standard_normal(customers)
    around = spread**2 * 2 * rng.gamma(np.maximum(x - 1, 0) / 2)
    level = np.divide(sums, x, out=np.zeros(customers), where=x > 0)
    idle = np.ceil(np.exp(mean) * rng.exponential(np.where(rng.random(customers) < 0.2, 8.0, 0.6)))
    bought = np.maximum(np.rint(x * np.exp(np.minimum(level, 7.0))), x)
    return Histories.from_arrays(
        frequency=x, recency_days=bought, age_days=bought + np.minimum(idle, 3000.0), margin=20.0 * (x + 1),
        gap_log_sum=sums, gap_log_squares=around + level * sums,
    )  # fmt: skip


def jobs(base: Histories) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The fit, then everything that is said of each customer."""
    clock = Rhythm.fit(base)
    yield "fit of the clocks", lambda: Rhythm.fit(base)
    yield "silence", lambda: clock.silence(base)
    yield "P(alive)", lambda: clock.p_alive(base)
    yield "P(purchase within 28 days)", lambda: clock.p_purchase(base, 28.0)
    yield "density of the next purchase, one day", lambda: clock.next_purchase(base, np.array([7.0]))
    yield "usual gaps with bounds", lambda: clock.usual_gap(base)
    yield "regularity with bounds", lambda: clock.regularity(base)
    yield "cycle: stages and windows", lambda: cycle(base, rhythm=clock)
    yield "anticipate: everything for a plan", lambda: anticipate(base, clock=clock)


def cost(customers: int, times: int = 2) -> list[tuple[str, float, float, float]]:
    """Rows of (job, seconds, ratio of time to the triad's, ratio of peak memory to the inputs')."""
    base = made_up(customers)
    b, c, d = (np.random.default_rng(k).random(4 * customers) for k in range(3))
    a = np.empty_like(b)

    def triad() -> None:
        np.multiply(c, d, out=a)
        np.add(a, b, out=a)

    floor = least(triad, 10)
    rows = [("triad over the inputs' bytes", floor, 1.0, 1.0)]
    for name, job in jobs(base):
        seconds = least(job, times)
        tracemalloc.start()
        job()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rows.append((name, seconds, seconds / floor, peak / a.nbytes))
    return rows


def least(run: Callable[[], Any], times: int) -> float:
    """The shortest of a few runs, in seconds."""
    best = np.inf
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return float(best)


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--all", action="store_true", help="Pareto/GGG too")
    options.add_argument("--customers", type=int)
    given = options.parse_args()
    if given.folder is None and given.customers is None:
        options.error("a folder with public data, or --customers")
    if given.customers is not None:
        print(f"{given.customers:,} customers; inputs of {32 * given.customers / 1e6:,.1f} MB")
        for name, seconds, ratio, memory in cost(given.customers):
            print(f"  {name:40} {seconds:8.3f} s {ratio:9.1f} x floor   peak memory {memory:6.1f} x inputs")
    if given.folder is not None:
        tell(given.folder, given.all)


if __name__ == "__main__":
    main()
