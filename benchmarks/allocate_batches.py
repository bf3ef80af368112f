"""Allocation of customers in a Parquet folder, batch by batch: `python benchmarks/allocate_batches.py [--quick]`.

Customers have four actions, each with a gain and a cost (float32), money at 35 % of what would be spent without limits,
each action with places for half of those who would like it. Eight Parquet files. Each line is a process of its own:

- *read*: every column through the reader that makes the batches, once; nothing else is done.
- *in memory*: all columns are read into arrays, and `allocate` is called.
- *in batches*: `allocate_batches(priced_batches(folder, ...))`, and its last pass over the choices.

Seconds are CPU seconds of everything after the import, of all threads; `peak` is the most memory that the process had,
less what it had when everything was imported. That both have the same choice, prices and bound is checked.
Aimed at: no more than six passes, and memory that does not grow with the customers but for those at the margin.
"""

import argparse
import hashlib
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ACTIONS = 4
FILES = 8
GAINS = [f"gain_{a}" for a in range(ACTIONS)]
COSTS = [f"cost_{a}" for a in range(ACTIONS)]


def made(folder: Path, n: int, seed: int = 0) -> dict[str, Any]:
    """The files, and the limits."""
    import pyarrow
    import pyarrow.parquet

    rng = np.random.default_rng(seed)
    spent, liked = 0.0, np.zeros(ACTIONS)
    folder.mkdir()
    for j in range(FILES):
        m = n * (j + 1) // FILES - n * j // FILES
        base, dear = rng.lognormal(1.0, 0.8, (m, 1)), rng.lognormal(0.0, 0.4, (m, 1))
        gains: Any = (base * rng.gamma(1.5, 1 / 1.5, (m, ACTIONS)) * [0.5, 0.8, 1.2, 2.0]).astype(np.float32)
        costs: Any = (dear * rng.uniform(0.8, 1.2, (m, ACTIONS)) * [0.3, 0.6, 1.2, 3.0]).astype(np.float32)
        columns = {name: gains[:, a] for a, name in enumerate(GAINS)}
        columns |= {name: costs[:, a] for a, name in enumerate(COSTS)}
        columns["customer"] = np.arange(n * j // FILES, n * (j + 1) // FILES)
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / f"{j}.parquet")
        net = gains - costs
        action = net.argmax(axis=1)
        some = np.flatnonzero(net.max(axis=1) > 0)
        spent += float(costs[some, action[some]].sum(dtype=np.float64))
        liked = liked + np.bincount(action[some], minlength=ACTIONS)
    return {"money": 0.35 * spent, "capacity": np.floor(0.5 * liked).astype(int).tolist()}


def resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def told(got: Any, digest: str) -> dict[str, Any]:
    return {
        "digest": digest,
        "prices": dict(got.prices),
        "bound": got.bound,
        "objective": got.objective,
        "gap": got.gap,
        "contacts": got.contacts,
    }


def part(how: str, folder: str, limits: dict[str, Any]) -> None:
    """One line, in a process of its own."""
    from retention.plan import allocate, allocate_batches, priced_batches

    table = priced_batches(folder, gains=GAINS, costs=COSTS)
    few = np.random.default_rng(0).random((100, ACTIONS))
    allocate(few, few / 2, money=5)  # loads what is loaded late
    for _ in zip(table, range(1), strict=False):
        pass
    before, start, wall = resident(), time.process_time(), time.perf_counter()
    out: dict[str, Any] = {}
    if how == "read":
        out["customers"] = sum(len(batch.gains) for batch in table)
    elif how == "in memory":
        gains, costs = [], []
        for batch in table:
            gains.append(batch.gains)
            costs.append(batch.costs)
        both = np.concatenate(gains), np.concatenate(costs)
        del gains, costs
        out["reading"] = time.process_time() - start
        found = allocate(*both, **limits)
        out |= told(found, hashlib.sha256(found.choice.tobytes()).hexdigest())
    else:
        got = allocate_batches(table, **limits)
        out["passes"], out["settled"] = got.passes, time.process_time() - start
        digest = hashlib.sha256()
        for at in got.choices():
            digest.update(at.tobytes())
        out |= told(got, digest.hexdigest())
    out |= {"cpu": time.process_time() - start, "wall": time.perf_counter() - wall, "peak": resident() - before}
    print(json.dumps(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, nargs="+", default=[500_000, 2_000_000, 8_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="500,000 customers, once")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        part(arguments.part[0], arguments.part[1], json.loads(arguments.part[2]))
        return
    if arguments.quick:
        arguments.customers, arguments.repeats = [500_000], 1
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    print(f"{'customers':>10} {'how':11} {'CPU':>9} {'wall':>9} {'x read':>7} {'peak':>9}")
    for n in arguments.customers:
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where) / "priced"
            limits = made(folder, n)
            found: dict[str, dict[str, Any]] = {}
            for how in ("read", "in memory", "in batches"):
                command = [sys.executable, __file__, "--part", how, str(folder), json.dumps(limits)]
                runs = [
                    json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                    for _ in range(arguments.repeats)
                ]
                got = found[how] = sorted(runs, key=lambda run: run["cpu"])[len(runs) // 2]
                more = ""
                if how == "in memory":
                    more = f"of which reading {got['reading']:.2f} s; gap {got['gap']:.1e}"
                elif how == "in batches":
                    same = all(got[name] == found["in memory"][name] for name in ("digest", "prices", "bound"))
                    more = f"{got['passes']} passes in {got['settled']:.2f} s and one for the choices; "
                    more += "the same choice, prices and bound" if same else "ANOTHER ALLOCATION"
                ratio = got["cpu"] / found["read"]["cpu"]
                seconds = f"{got['cpu']:7.2f} s {got['wall']:7.2f} s"
                print(
                    f"{n:>10,} {how:11} {seconds} {ratio:7.1f} {got['peak']:6.0f} MB  {more}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
