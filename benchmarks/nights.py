"""What does a night cost that reads only what is new? `python benchmarks/nights.py [--customers N]`.

Receipts as in `scale.py` are cut into nights: a store takes in all but the last thirty days at once, and then a night
at a time. Three rows in a hundred come up to twenty days late, or with the last night. Each in a process of its own, so
that its peak of memory is its own:

- **scan**: DuckDB sums the columns that a summary needs: what reading costs, the yardstick;
- **full**: all histories from all rows, written to a file: what a night costs without a store;
- **first**: a store takes in everything up to the first of the nights;
- **nights**: it takes in the others, one by one (the middle one, the slowest, which puts the files of all nights into
  one, and all of them together);
- **collect**: the histories of the last evening from the store into memory.

In the end the store and the full run are compared, customer by customer.
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

import numpy as np
from scale import make

NIGHTS = 30
TASKS = ("cut", "scan", "full", "first", "nights", "collect", "compare")
NAMED: Any = {"customer": "customer", "at": "day", "revenue": "amount", "margin": 0.35}


def cut(source: Path, target: Path, threads: int) -> None:
    """A folder of rows for each night; that of the first night has all that is older."""
    import duckdb

    connection = duckdb.connect(config={"threads": threads})
    connection.execute(
        f"""COPY (
            SELECT *, greatest(0, least({NIGHTS - 1}, {NIGHTS - 1} - (last - (day + late)))) AS night
            FROM (SELECT *, max(day) OVER () AS last, CASE WHEN hash(customer, day, amount) % 100 < 3
                  THEN 1 + hash(amount, customer, day) % 20 ELSE 0 END::INTEGER AS late
                  FROM read_parquet('{source}/*.parquet'))
        ) TO '{target}' (FORMAT parquet, PARTITION_BY (night), OVERWRITE_OR_IGNORE)"""
    )


def work(task: str, folder: str, threads: int, memory: str | None) -> dict[str, Any]:
    """One task, timed after the imports."""
    import duckdb

    import retention as rt
    from retention.histories import HistoryStore

    nights, where = Path(folder, "nights"), Path(folder, "store")
    limit = {"memory_limit": memory, "temp_directory": f"{folder}/spill"} if memory else {}
    connection = duckdb.connect(config={"threads": threads, **limit})
    arrivals = sorted(nights.iterdir(), key=lambda one: int(one.name.split("=")[1]))
    first = len(arrivals) - NIGHTS
    last_day = connection.execute(f"SELECT max(day) FROM read_parquet('{nights}/*/*.parquet')").fetchall()[0][0]

    def rows(night: str) -> Any:
        return rt.scan_transactions(connection.read_parquet(f"{nights}/{night}/*.parquet"), **NAMED)

    def evening(number: int) -> Any:
        return np.datetime64(last_day) - (NIGHTS - 1 - number)

    start, told, each = time.perf_counter(), None, []
    if task == "scan":
        query = f"SELECT count(*), sum(customer), min(day), sum(amount) FROM read_parquet('{nights}/*/*.parquet')"
        told = connection.execute(query).fetchall()[0][0]
    elif task == "full":
        summed = rt.summarize(rows("*"), as_of=last_day)
        summed.frame.to_native().write_parquet(f"{folder}/full.parquet")
        told = f"and {len(summed.local or ())} apart"
    elif task == "first":
        store = HistoryStore.create(where, threads=threads, memory=memory)
        told = store.take_in(rows(arrivals[0].name), as_of=evening(first)).rows_read
    elif task == "nights":
        store = HistoryStore.open(where, threads=threads, memory=memory)
        for number, night in enumerate(arrivals[1:], 1):
            began = time.perf_counter()
            taken = store.take_in(rows(night.name), as_of=evening(number), delivery=night.name)
            each.append(time.perf_counter() - began)
        told = f"last night: {taken.rows_read:,} rows, {taken.late:,} late, {taken.computed:,} customers anew"
    else:
        ours = HistoryStore.open(where, threads=threads, memory=memory).histories().collect()
        told = f"{len(ours):,} customers"
        if task == "compare":
            truth = rt.summarize(rows("*"), as_of=last_day).collect()
            worst = 0.0
            for name, values in truth.columns().items():
                if values.dtype.kind == "f":
                    difference = np.abs(ours[name] - values) / np.maximum(np.abs(values), 1e-9)
                    worst = max(worst, float(difference.max()))
                else:
                    assert np.array_equal(ours[name], values), name
            told = f"{len(ours):,} customers; counts, days and ids equal; sums differ by {worst:.1e} at most"
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak": peak, "told": told, "each": each}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", help="the most that the engine may use, such as 3GB")
    parser.add_argument("--receipts", help="a folder with the receipts of scale.py, made before")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task == "cut":
        receipts = Path(asked.receipts or Path(asked.folder, "receipts"))
        if not asked.receipts:
            receipts.mkdir()
            make(receipts, asked.customers)
        cut(receipts, Path(asked.folder, "nights"), asked.threads)
        return
    if asked.task:
        print(json.dumps(work(asked.task, asked.folder, asked.threads, asked.memory)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        scanned = 0.0
        for task in TASKS:
            command = [sys.executable, __file__, "--task", task, "--folder", temporary, "--threads", str(asked.threads)]
            command += ["--memory", asked.memory] if asked.memory else []
            if task == "cut":
                command += ["--customers", str(asked.customers)]
                command += ["--receipts", asked.receipts] if asked.receipts else []
            limits = dict(os.environ, OMP_NUM_THREADS="1")
            done = subprocess.run(command, env=limits, check=True, stdout=subprocess.PIPE)
            if task == "cut":
                continue
            found = json.loads(done.stdout)
            scanned = scanned or found["seconds"]
            for name, seconds in [
                *([("a night", float(np.median(found["each"]))), ("slowest night", max(found["each"]))]
                  if found["each"] else []),
                (task, found["seconds"]),
            ]:  # fmt: skip
                print(f"{name:14} {seconds:7.2f} s {seconds / scanned:7.1f} x scan {found['peak']:7,.0f} MB  "
                      f"{found['told']}", flush=True)  # fmt: skip
        size = sum(file.stat().st_size for file in Path(temporary, "store").glob("*.parquet"))
        print(f"store on disk: {size / 2**20:,.0f} MB")


if __name__ == "__main__":
    main()
