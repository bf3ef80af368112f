"""Whole-program benchmarks: ratios in one run, so that the machine's speed cancels out.

    python benchmarks/run.py [--quick] [--retail PATH]

- import: `import retention` against `import numpy`, each in a fresh process;
- night: every stage of one night on simulated shops of growing size, as seconds and as a multiple of merely parsing the
  same CSV file with the standard library;
- retail: with ``--retail``, one `retention run` on that file of invoices as a whole process, wall time and peak memory.
"""

import argparse
import csv
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def fresh_process(code: str, runs: int) -> float:
    """Median wall seconds of a fresh interpreter that runs this code."""
    walls = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        walls.append(time.perf_counter() - start)
    return statistics.median(walls)


def bench_import(runs: int) -> None:
    bare = fresh_process("pass", runs)
    numpy = fresh_process("import numpy", runs) - bare
    ours = fresh_process("import retention", runs) - bare
    both = fresh_process("import numpy, retention", runs) - bare
    print(f"import   numpy {numpy:.3f} s, retention {ours:.3f} s, retention on top of numpy {both - numpy:+.3f} s")


def bench_night(customers: int) -> None:
    from retention.program import Program
    from retention.records import read_transactions
    from retention.worlds import Shop

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "invoices.csv"
        Shop.corner_shop(customers=customers).simulate().write_invoices(path)
        start = time.perf_counter()
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = sum(1 for _ in csv.reader(file, delimiter=";"))
        parse = time.perf_counter() - start
        stages: list[tuple[str, float]] = []
        start = time.perf_counter()
        log = read_transactions(
            path,
            customer="Customer",
            at="Date",
            quantity="Qty",
            unit_price="Unit price",
            cost="Cost",
            order="Invoice",
            category="Category",
        )
        read = time.perf_counter() - start
        Program(money=100.0, hours=40.0).run(log, progress=lambda name: stages.append((name, time.perf_counter())))
        end = time.perf_counter()
    marks = [*(mark for _, mark in stages), end]
    print(f"night    {customers:,} customers, {rows:,} rows; parsing alone {parse:.2f} s")
    print(f"         {'reading receipts':34} {read:7.2f} s {read / parse:6.1f} x parsing")
    for (name, mark), after in zip(stages, marks[1:], strict=True):
        print(f"         {name:34} {after - mark:7.2f} s {(after - mark) / parse:6.1f} x parsing")


def bench_retail(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "retention.cli", "run", str(path), "--margin", "0.35", "--currency", "GBP"]
        command += ["--out", folder, "--journal", os.path.join(folder, "shop.db"), "--quiet", "--json"]
        start = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        wall = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"retail   {path.name}: {wall:.1f} s, peak {peak:,.0f} MB")
    print(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--retail", type=Path, help="a file of invoices to run the whole program on")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    bench_import(3 if arguments.quick else 9)
    if arguments.retail is not None:
        bench_retail(arguments.retail)  # first: a child's peak memory counts that of the process it is forked from
    for customers in (300,) if arguments.quick else (300, 3_000, 30_000):
        bench_night(customers)


if __name__ == "__main__":
    main()
