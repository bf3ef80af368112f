"""What does scoring in the engine cost beside the bare function? `python benchmarks/score.py [--customers N]`.

Histories are made up and written as Parquet, a BG/NBD is fitted to 20,000 of them. Two things are asked of every
customer: ``p_alive`` alone, and her whole ``value`` with its bounds. Each is worked out, in a process of its own so
that its peak of memory is its own,

- **function**: on the base in memory, which is read before the clock starts: the yardstick;
- **in memory**: Parquet read, function called, Parquet written, all customers at once;
- **duckdb**, **polars**, **spark**: ``score(...).to_parquet(...)`` in batches (Spark where it is installed; two
  cores);
- **polars frame**: ``score(...).frame`` written by polars.

Told: seconds of the wall clock for a million customers, as a multiple of the function in the same run, and the peak of
memory. A million customers take two minutes.
"""

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ASKED = ("p_alive", "value")
TASKS = ("function", "in memory", "duckdb", "polars", "polars frame", "spark")
QUESTION = {"horizon_days": 365.0, "discount_rate": 0.10}


def make(folder: Path, customers: int, parts: int = 8) -> None:
    """Histories of so many customers, a file for each part of them, and a model fitted to some."""
    import numpy as np

    from retention.histories import Histories
    from retention.value import BGNBD

    for part in range(parts):
        rng = np.random.default_rng((7, part))
        n = customers // parts
        age = rng.integers(1, 731, n).astype(float)
        x = rng.poisson(rng.gamma(0.8, 1 / 42.0, n) * age * rng.beta(2, 2, n)).clip(max=age - 1).astype(int)
        recency = np.where(x > 0, np.maximum(x, np.rint(age * rng.beta(2.0 + x, 2.0, n))), 0.0).clip(max=age - 1)
        base = Histories.from_arrays(
            customer_id=np.arange(n) + part * n, frequency=x, recency_days=recency, age_days=age,
            margin_mean=np.where(x > 0, rng.gamma(6.25, 1 / rng.gamma(3.74, 1 / 15.44, n)), 0.0),
        )  # fmt: skip
        base.to_parquet(folder / f"part-{part:03d}.parquet")
        if not part:
            (folder / "model.json").write_text(json.dumps(BGNBD().fit(base[:20_000]).to_dict()))


def work(task: str, what: str, folder: str, threads: int) -> dict[str, Any]:
    """One task in this process."""
    import polars as pl
    from attrs import frozen

    from retention.frames.table import FloatColumn, Table, TextColumn, column
    from retention.histories import Histories
    from retention.scoring import score
    from retention.value import FittedPurchases

    @frozen(eq=False, repr=False, kw_only=True)
    class Alive(Table):
        customer_id: TextColumn = column("who")
        p_alive: FloatColumn = column("probability of still being a customer")

    pattern, out = f"{folder}/part-*.parquet", Path(folder, "scored")
    model = FittedPurchases.from_dict(json.loads(Path(folder, "model.json").read_text()))

    def answer(base: Histories) -> Table:
        if what == "p_alive":
            return Alive(customer_id=base.customer_id, p_alive=model.p_alive(base))
        return model.value(base, **QUESTION)

    def read() -> Histories:
        frame = pl.read_parquet(pattern)
        return Histories.from_arrays(**{name: frame[name].to_numpy() for name in frame.columns})

    few = pl.scan_parquet(pattern).head(100)
    score(few, model if what == "value" else answer, **QUESTION).to_parquet(out)  # everything is imported by now
    base = read() if task == "function" else None
    session = _spark(threads) if task == "spark" else None
    start = time.perf_counter()
    if task == "function":
        assert base is not None
        answer(base)
    elif task == "in memory":
        answer(read()).to_parquet(folder + "/scored.parquet")
    else:
        source: Any = pl.scan_parquet(pattern)
        if task == "duckdb":
            import duckdb

            source = duckdb.connect(config={"threads": threads}).read_parquet(pattern)
        elif session is not None:
            source = session.read.parquet(*map(str, sorted(Path(folder).glob("part-*.parquet"))))
        scored = score(source, model if what == "value" else answer, **QUESTION)
        if task == "polars frame":
            scored.frame.to_native().sink_parquet(folder + "/scored.parquet")
        else:
            scored.to_parquet(out)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _spark(threads: int) -> Any:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{threads}]").config("spark.ui.enabled", "false")
    session = builder.config("spark.log.level", "ERROR").getOrCreate()
    session.range(9).mapInArrow(lambda batches: batches, "id long").count()  # workers are there before the clock starts
    return session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", help="histories made before, or where to leave them")
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task:
        print(json.dumps(work(*asked.task, asked.folder, asked.threads)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(asked.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not list(folder.glob("part-*.parquet")):
            make(folder, asked.customers)
        print(f"{asked.customers:,} customers, {asked.threads} threads; best of {asked.runs}; s for a million")
        for what in ASKED:
            bare = 0.0
            for task in TASKS:
                if task == "spark" and importlib.util.find_spec("pyspark") is None:
                    continue
                command = [sys.executable, __file__, "--task", task, what, "--folder", str(folder)]
                command += ["--threads", str(asked.threads)]
                limits = dict(os.environ, POLARS_MAX_THREADS=str(asked.threads), OMP_NUM_THREADS="1")
                found = [json.loads(subprocess.run(command, env=limits, check=True, capture_output=True).stdout)
                         for _ in range(asked.runs)]  # fmt: skip
                best = min(found, key=lambda one: one["seconds"])
                seconds = best["seconds"] * 1e6 / asked.customers
                bare = bare or seconds
                print(f"{what:8} {task:14} {seconds:7.2f} s {seconds / bare:6.1f} x function "
                      f"{best['peak']:7,.0f} MB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
