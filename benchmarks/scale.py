"""What does a summary cost beside merely reading the columns? `python benchmarks/scale.py [--customers N]`.

Receipts are made up (some eleven rows a customer, two in a hundred returns) and written as Parquet. Then, each in a
process of its own so that its peak of memory is its own:

- **scan**: DuckDB sums the columns that a summary needs: what reading costs, the yardstick;
- **summary**: one row a customer with the gaps' logarithms, in memory; the same without gaps; the same on polars;
- **cells**: customers alike counted in the engine; and BG/NBD fitted to them;
- **in memory**: the log read and summarized with numpy, up to ``--in-memory`` customers.

Told: seconds of the wall clock, as a multiple of the scan in the same run, and the peak of memory. 200,000 customers
take half a minute, a million two minutes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

AS_OF = "2011-12-31"
TASKS = ("scan", "summary", "summary on polars", "cells", "fit to cells", "in memory")


def make(folder: Path, customers: int, parts: int = 8) -> int:
    """Receipts of so many customers over two years, a file for each part of them; the number of rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    for part in range(parts):
        rng = np.random.default_rng((7, part))
        n = customers // parts
        age = rng.integers(1, 731, n)
        rate, leaves = rng.gamma(0.8, 1 / 42.0, n), rng.beta(0.6, 4.0, n)
        clock, going = np.zeros(n), np.arange(n)
        who, day = [going], [731 - age]
        while len(going):
            clock[going] = np.ceil(clock[going] + rng.exponential(1 / np.maximum(rate[going], 1e-9)))
            going = going[clock[going] <= age[going] - 1]
            who.append(going)
            day.append((731 - age[going] + clock[going]).astype(np.int64))
            going = going[rng.random(len(going)) > leaves[going]]
        whose, when = np.concatenate(who), np.concatenate(day)
        line = np.repeat(np.arange(len(whose)), rng.poisson(1.2, len(whose)) + 1)
        mean = rng.gamma(6.25, 1 / rng.gamma(3.74, 1 / 15.44, n)) / 3
        money = np.round(rng.gamma(2.0, 0.5, len(line)) * mean[whose[line]] + 0.01, 2)
        money = np.where(rng.random(len(line)) < 0.02, -money, money)
        order = np.argsort(when[line], kind="stable")
        table = pa.table(
            {
                "customer": (whose[line] + part * n)[order],
                "day": (np.datetime64("2010-01-01") + when[line][order]).astype("datetime64[D]"),
                "amount": money[order],
            }
        )
        pq.write_table(table, folder / f"part-{part:03}.parquet", compression="zstd")
        rows += len(line)
    return rows


def work(task: str, folder: str, threads: int) -> dict[str, Any]:
    """One task, timed after the imports."""
    import duckdb
    import polars

    import retention as rt
    from retention.histories import summarize_scan
    from retention.value import BGNBD

    connection = duckdb.connect(config={"threads": threads})
    pattern = f"{folder}/*.parquet"
    named = {"customer": "customer", "at": "day", "revenue": "amount", "margin": 0.35}
    start = time.perf_counter()
    told: Any = None
    if task == "scan":
        query = "SELECT count(*), sum(customer), min(day), sum(amount) FROM read_parquet(?)"
        told = connection.execute(query, [pattern]).fetchall()[0][0]
    elif task == "in memory":
        import pyarrow.parquet as pq

        log = rt.read_transactions(pq.read_table(folder), **named)
        told = len(rt.summarize(log, as_of=AS_OF, habits=False))
    else:
        source = polars.scan_parquet(pattern) if "polars" in task else connection.read_parquet(pattern)
        scan = rt.scan_transactions(source, **named)
        histories = summarize_scan(scan, as_of=AS_OF)
        if task.startswith("summary"):
            told = len(histories.collect())
        else:
            cells, count = histories.cells()
            told = len(cells)
            if task == "fit to cells":
                told = {name: round(value, 4) for name, value in BGNBD().fit_purchases(cells, count).params.items()}
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak": peak, "told": told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--in-memory", type=int, default=200_000, help="customers up to which the log is read whole")
    parser.add_argument("--folder", help="receipts made before, or where to leave them")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task:
        print(json.dumps(work(asked.task, asked.folder, asked.threads)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(asked.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not list(folder.glob("*.parquet")):
            make(folder, asked.customers)
        print(f"{asked.customers:,} customers, {asked.threads} threads; best of {asked.runs}")
        scanned = 0.0
        for task in TASKS:
            if task == "in memory" and asked.customers > asked.in_memory:
                continue
            command = [sys.executable, __file__, "--task", task, "--folder", str(folder)]
            command += ["--threads", str(asked.threads)]
            limits = dict(os.environ, POLARS_MAX_THREADS=str(asked.threads), OMP_NUM_THREADS="1")
            found = [json.loads(subprocess.run(command, env=limits, check=True, capture_output=True).stdout)
                     for _ in range(asked.runs)]  # fmt: skip
            best = min(found, key=lambda one: one["seconds"])
            scanned = scanned or best["seconds"]
            print(f"{task:22} {best['seconds']:7.2f} s {best['seconds'] / scanned:7.1f} x scan "
                  f"{best['peak']:7,.0f} MB  {best['told']}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
