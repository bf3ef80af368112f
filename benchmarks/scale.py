"""What does a night cost beside merely reading the columns? `python benchmarks/scale.py [--customers N]`.

Receipts are made up (some eleven rows a customer, two in a hundred returns) and written as Parquet, a file a month, as
tills write them. Then, each in a process of its own so that its peak of memory is its own, on ``--threads`` threads:

- **scan**: DuckDB sums the columns that a summary needs: what reading costs, the yardstick;
- **grouped**: DuckDB adds the rows of each customer and day together, and no more: what grouping alone costs;
- **summary**: one row a customer in memory, gaps' logarithms and squares of margins included; the same on polars;
- **cells**: customers alike counted in the engine; and BG/NBD fitted to them;
- **night**: `retention run` on the folder, from the start of Python to the last file written: account of the rows,
  histories, audit, value with intervals, clocks, tiers, plan, plan.csv of every customer, report;
- **in memory**: the log read and summarized with numpy, up to ``--in-memory`` customers.

Told: seconds of the wall clock, as a multiple of the scan in the same run, and the peak of memory. ``--peers FOLDER``
adds the summaries of lifetimes and pymc-marketing on a million rows that are in memory as a pandas frame, each in an
environment of its own, made in that folder. 200,000 customers take half a minute, a million three, ten million half an
hour and 10 GB of disk.
"""

import argparse
import datetime as dt
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
TASKS = ("scan", "grouped", "summary", "summary on polars", "cells", "fit to cells", "night", "in memory")
MONTHS = 24


def make(folder: Path, customers: int) -> int:
    """Receipts of so many customers over two years, a file a month; the number of rows."""
    import duckdb
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, parts = 0, max(8, customers // 200_000)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
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
            days = (np.datetime64("2010-01-01") + when[line]).astype("datetime64[D]")
            table = pa.table({"customer": whose[line] + part * n, "day": days, "amount": money})
            pq.write_table(table, Path(temporary, f"part-{part:03}.parquet"), compression="zstd")
            rows += len(line)
        connection = duckdb.connect(config={"memory_limit": "4GB", "temp_directory": temporary})
        start = dt.date(2010, 1, 1)
        for month in range(MONTHS):
            first, last = (start + dt.timedelta(days=732 * (month + more) // MONTHS) for more in (0, 1))
            connection.execute(
                f"COPY (SELECT * FROM '{temporary}/*.parquet' WHERE day >= DATE '{first}' AND day < DATE '{last}' "
                f"ORDER BY day, hash(customer)) TO '{folder}/{first}.parquet' (FORMAT parquet, COMPRESSION zstd)"
            )
        connection.close()
    return rows


def work(task: str, folder: str, threads: int) -> dict[str, Any]:
    """One task, timed after the imports; a night with them."""
    if task == "night":
        return night(folder, threads)
    import duckdb
    import polars

    import retention as rt
    from retention.histories import summarize_scan
    from retention.value import BGNBD

    connection = duckdb.connect(config={"threads": threads})
    pattern = f"{folder}/*.parquet"
    named = {"customer": "customer", "at": "day", "revenue": "amount"}
    start = time.perf_counter()
    told: Any = None
    if task == "scan":
        query = "SELECT count(*), sum(customer), min(day), sum(amount) FROM read_parquet(?)"
        told = connection.execute(query, [pattern]).fetchall()[0][0]
    elif task == "grouped":
        each = "SELECT customer, day, sum(amount) AS amount FROM read_parquet(?) GROUP BY customer, day"
        told = connection.execute(f"SELECT count(*), sum(amount) FROM ({each})", [pattern]).fetchall()[0][0]
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


def night(folder: str, threads: int) -> dict[str, Any]:
    """The whole program as a user starts it, Python's own start included."""
    with tempfile.TemporaryDirectory() as temporary:
        program = Path(temporary, "retention.toml")
        program.write_text(
            f"[read]\nreader = 'scan'\nsource = '{Path(folder).resolve()}'\ncustomer = 'customer'\nat = 'day'\n"
            f"revenue = 'amount'\nthreads = {threads}\nmemory = '2GB'\n"
            f"[plan]\nmoney = 50000.0\nhours = 800.0\n[output]\nas_of = '{AS_OF}'\nfolder = 'out'\n"
        )
        start = time.perf_counter()
        command = [sys.executable, "-m", "retention.cli", "run", "--json", str(program)]
        said = subprocess.run(command, check=True, capture_output=True, cwd=temporary).stdout
        seconds = time.perf_counter() - start
    summary = json.loads(said)
    told = {name: summary[name] for name in ("customers", "contacts", "expected_gain")}
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, "told": told}


def beside_peers(folder: Path, cache: Path, threads: int) -> None:
    """Our summary and the peers' own on a million rows of a pandas frame."""
    sys.path.insert(0, str(Path(__file__).parent / "peers"))
    import duckdb
    import numpy as np
    import pandas as pd
    from environments import PEERS, Unavailable, worker_command

    import retention as rt

    source = f"SELECT customer, day, amount FROM '{folder}/*.parquet' WHERE amount > 0 ORDER BY day LIMIT 1000000"
    held = duckdb.connect().execute(source).fetchnumpy()
    with tempfile.TemporaryDirectory() as temporary:
        receipts = Path(temporary, "receipts.npz")
        np.savez(receipts, **{name: values.astype("datetime64[D]") if name == "day" else values
                              for name, values in held.items()})  # fmt: skip
        frame = pd.DataFrame(dict(np.load(receipts)))
        duckdb.execute(f"SET threads = {threads}")
        start = time.perf_counter()
        scan = rt.scan_transactions(frame, customer="customer", at="day", revenue="amount")
        base = rt.summarize(scan, as_of=scan.days()[1]).collect()  # type: ignore[index]
        ours = time.perf_counter() - start
        print(
            f"{'a million rows in pandas':22} {ours:9.2f} s  {len(base):,} customers, {base.frequency.sum():,} repeats"
        )
        for name in ("lifetimes", "pymc-marketing"):
            try:
                command, version = worker_command(PEERS[name], cache, None, None)
            except Unavailable as why:
                print(f"{name:22} not here: {why}")
                continue
            worker = [command[0], str(Path(__file__).parent / "peers" / "summary_peer.py"), name, str(receipts)]
            found = json.loads(subprocess.run(worker, check=True, capture_output=True).stdout.splitlines()[-1])
            customers, repeats = found["told"]
            line = f"{found['seconds']:9.2f} s  {customers:,} customers, {repeats:,.0f} repeats"
            print(f"{name + ' ' + version:22} {line}, {found['seconds'] / ours:.1f} x ours, {found['peak']:,.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tasks", default=",".join(TASKS), help="which, with commas")
    parser.add_argument("--in-memory", type=int, default=200_000, help="customers up to which the log is read whole")
    parser.add_argument("--folder", help="receipts made before, or where to leave them")
    parser.add_argument("--peers", type=Path, help="folder for the environments of lifetimes and pymc-marketing")
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
        for task in ["scan", *(one for one in asked.tasks.split(",") if one != "scan")]:
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
        if asked.peers is not None:
            beside_peers(folder, asked.peers, asked.threads)


if __name__ == "__main__":
    main()
