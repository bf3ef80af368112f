"""This library beside its peers, on the same data, in one run.

    python benchmarks/peers/run.py --quick                      (what CI runs: agreement with lifetimes, a minute)
    python benchmarks/peers/run.py --cdnow cdnow_sample.csv.gz --out peers.md

Every peer gets an environment of its own in a cache folder; every task runs in a fresh process on one thread and is
stopped after ``--timeout`` seconds. The report (Markdown) tells log-likelihoods, fits, scores and posteriors with wall
and CPU medians and peak memory, and what went wrong on hard questions. The exit code is 1 if a peer's log-likelihood
and ours differ by more than 1e-6 of its size. A peer that cannot be had is named with the reason and left out.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bench import OURS, Bench  # noqa: E402
from customers import donors, shoppers, subscribers, write  # noqa: E402
from environments import PEERS, Peer, Unavailable, worker_command  # noqa: E402
from parts import agreement, extremes, fits, posteriors, scores, targets, traps  # noqa: E402


def read_cdnow(path: Path) -> np.ndarray:
    """The public sample of 2,357 customers on 1997-09-30, by our own reading and summary."""
    import csv
    import datetime as dt
    import gzip

    from retention.histories import summarize
    from retention.records import TransactionLog

    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    log = TransactionLog.from_arrays(
        customer_id=[row["sample_id"] for row in rows],
        at=[row["date"] for row in rows],
        revenue=[float(row["sales"]) for row in rows],
    )
    base = summarize(log, as_of=dt.date(1997, 9, 30))
    return np.array([base.frequency, base.recency_days, base.age_days, base.margin_mean], dtype=float)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="agreement with lifetimes on 2,000 made-up customers only")
    parser.add_argument("--peers", default=",".join(p for p in PEERS if p != OURS), help="which, with commas")
    parser.add_argument("--customers", default="100000,1000000", help="sizes of the made-up bases, with commas")
    parser.add_argument("--cdnow", type=Path, help="cdnow_sample.csv.gz: sample_id, date, sales")
    parser.add_argument("--parts", default="agreement,fit,score,posterior,traps,hard", help="which parts, with commas")
    parser.add_argument("--repeats", type=int, default=3, help="runs of a task, while they take less than a minute")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds after which a task is stopped")
    parser.add_argument("--posterior-timeout", type=float, default=900.0, help="the same for a posterior")
    parser.add_argument("--draws", type=int, default=4000, help="posterior draws")
    parser.add_argument("--posterior-models", default="bg-nbd,pareto-nbd", help="which have their posterior drawn")
    parser.add_argument("--short-draws", type=int, default=100, help="of a sampler on a large base")
    parser.add_argument("--cache", type=Path, help="folder for the environments (default: a temporary one)")
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="interpreter for a peer")
    parser.add_argument("--r-library", type=Path, help="folder of installed R packages")
    parser.add_argument("--out", type=Path, help="write the report here as well")
    return parser.parse_args()


def report(asked: argparse.Namespace, folder: Path, failures: list[str]) -> Iterator[list[str]]:
    """The report, part by part."""
    names = ["lifetimes"] if asked.quick else [name for name in asked.peers.split(",") if name]
    pythons = dict(pair.split("=", 1) for pair in asked.python)
    parts = ["agreement"] if asked.quick else asked.parts.split(",")
    cache = (asked.cache or folder / "environments").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    yield [
        "# Beside the peers",
        "",
        f"Python {platform.python_version()} on {platform.system()}, {platform.machine()},",
    ]
    yield [f"{os.cpu_count()} cores (each task on one).", ""]
    commands: dict[str, list[str]] = {}
    for peer in [OURS, *names]:
        made, told = prepared(PEERS[peer], cache, pythons.get(peer), asked.r_library)
        yield [f"- {told}"]
        if made:
            commands[peer] = made
    yield [""]
    bench = Bench(commands, 1 if asked.quick else asked.repeats, asked.timeout, asked.posterior_timeout, failures)
    data: dict[str, Path] = {}
    if asked.cdnow is not None:
        data["cdnow"] = write(folder / "cdnow.f8", read_cdnow(asked.cdnow))
    for size in [2000] if asked.quick else [int(size) for size in asked.customers.split(",") if size]:
        data[f"{size:,} made up"] = write(folder / f"made-{size}.f8", shoppers(size))
    if "agreement" in parts:
        special = {
            "donors": write(folder / "donors.f8", donors(10_000)),
            "subscribers": write(folder / "subscribers.f8", subscribers()),
        }
        yield agreement(bench, {**dict(list(data.items())[:2]), **special})
    if "fit" in parts:
        yield fits(bench, data)
    if "score" in parts:
        yield scores(bench, data)
    if "posterior" in parts:
        yield posteriors(bench, data, asked.posterior_models.split(","), asked.draws, asked.short_draws)
    if bench.spent:
        yield targets(bench)
    if "traps" in parts:
        yield traps(bench, folder, *next(iter(data.items())))
    if "hard" in parts:
        yield extremes(bench, folder, HERE.parent.parent / "tests" / "_kernels" / "truth")
    yield [f"**{line}**" for line in failures]


def main() -> int:
    asked, failures, lines = arguments(), list[str](), list[str]()
    with tempfile.TemporaryDirectory() as temporary:
        for part in report(asked, Path(temporary), failures):
            print(*part, sep="\n", flush=True)
            lines += part
            if asked.out is not None:  # after each part: an hour's work is not lost with the last minute's
                asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if failures else 0


def prepared(peer: Peer, cache: Path, python: str | None, library: Path | None) -> tuple[list[str], str]:
    try:
        return worker_command(peer, cache, python, library)
    except Unavailable as reason:
        return [], f"{peer.name}: left out, {reason}"


if __name__ == "__main__":
    sys.exit(main())
