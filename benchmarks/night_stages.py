"""What does each stage of a night cost at N customers? `python benchmarks/night_stages.py [--customers N] [--no-plan]`.

The base is made up: one row a customer, two years, some five repeat purchase days each, a quarter of them none. Each
stage is run once, in the order of a night, on what the stages before it made. Told: seconds of the wall clock, by how
much memory rose at its highest above what was there before the stage, and by how much when the stage was over. The
fits are told by themselves as well, on the same base, so that it can be seen what of a stage is learning and what is
scoring. Receipts are not part of it (`scale.py` has them): the page's ledgers are of a thousand other customers.

A million customers take half a minute; with OMP_NUM_THREADS=1 the figures are steadier.
"""

import argparse
import contextlib
import datetime as dt
import gc
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

DAY = dt.date(2011, 12, 31)
WATCHED = 730


def made_up_base(customers: int, seed: int = 7) -> Any:
    """Customers of a BG/NBD world in whole days, with margins of a gamma-gamma one."""
    from retention.histories import Histories

    rng = np.random.default_rng(seed)
    age = rng.integers(1, WATCHED, customers)
    rate, leaves = rng.gamma(0.8, 1 / 45.0, customers), rng.beta(0.6, 4.0, customers)
    x, last = np.zeros(customers, np.int64), np.zeros(customers, np.int64)
    logs, squares = np.zeros(customers), np.zeros(customers)
    going = np.arange(customers)
    while len(going):
        gap = np.ceil(rng.exponential(1 / np.maximum(rate[going], 1e-9))).clip(1, 1e6).astype(np.int64)
        stays = last[going] + gap <= age[going]
        going, gap = going[stays], gap[stays]
        x[going] += 1
        last[going] += gap
        logs[going] += np.log(gap)
        squares[going] += np.log(gap) ** 2
        going = going[rng.random(len(going)) > leaves[going]]
    nu = rng.gamma(3.74, 1 / 15.44, customers)
    mean = np.where(x > 0, rng.gamma(6.25 * np.maximum(x, 1)) / np.maximum(x, 1) / nu, 0.0)
    first = rng.gamma(6.25, 1 / nu)
    day = np.datetime64(DAY, "D")
    width = len(str(customers - 1))
    return Histories.from_arrays(
        customer_id=np.char.zfill(np.arange(customers).astype(f"U{width}"), width),
        frequency=x,
        recency_days=last.astype(np.float64),
        age_days=age.astype(np.float64),
        first_at=day - age.astype("timedelta64[D]"),
        last_at=day - (age - last).astype("timedelta64[D]"),
        revenue=mean * x + first,
        margin=mean * x + first,
        margin_mean=mean,
        gap_log_sum=logs,
        gap_log_squares=squares,
        as_of=DAY,
        currency="GBP",
    )


def few_receipts(customers: int = 1000) -> Any:
    """A small log, for the parts of a page that are made from receipts."""
    from retention.records import TransactionLog

    rng = np.random.default_rng(3)
    lines = 8 * customers
    return TransactionLog.from_arrays(
        customer_id=[f"r{i}" for i in rng.integers(0, customers, lines)],
        at=np.datetime64(DAY, "D") - rng.integers(0, WATCHED, lines).astype("timedelta64[D]"),
        revenue=np.round(rng.gamma(2.0, 20.0, lines) + 0.01, 2),
        currency="GBP",
    )


def memory(name: str) -> float:
    """VmRSS or VmHWM of this process in MB; NaN where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), float("nan"))


def stage(name: str, work: Callable[[], Any]) -> Any:
    """Do it once, and tell what it cost."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak begins anew
    before, begin = memory("VmRSS"), time.perf_counter()
    made = work()
    wall = time.perf_counter() - begin
    print(f"{name:26} {wall:8.2f} {memory('VmHWM') - before:9.0f} {memory('VmRSS') - before:9.0f}", flush=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("?")[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--no-plan", action="store_true", help="leave out the plan, and what is made of it")
    asked = parser.parse_args()

    import retention as rt
    from retention.lenses import audit
    from retention.report import render
    from retention.timing import Rhythm, leak
    from retention.value import BGNBD, GammaGamma

    print(f"{asked.customers:,} customers, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{'stage':26} {'seconds':>8} {'peak MB':>9} {'kept MB':>9}")
    base = stage("(a made-up base)", lambda: made_up_base(asked.customers))
    small = rt.summarize(few_receipts(), as_of=DAY)  # what is loaded at first use is not a stage's cost
    rt.appraise(small, model="bg-nbd")
    rt.anticipate(small)

    worth = stage("appraise", lambda: rt.appraise(base, model="bg-nbd"))
    when = stage("anticipate", lambda: rt.anticipate(base))
    tiers = stage("tiers", lambda: rt.assign_tiers(base, worth))
    late = stage("leak", lambda: leak(when, as_of=DAY))
    stage("  of these: purchase fit", lambda: BGNBD().fit_purchases(base[:]))
    stage("  of these: margin fit", lambda: GammaGamma().fit(base))
    stage("  of these: clock fit", lambda: Rhythm.fit(base))
    if asked.no_plan:
        return
    budget = rt.Budget(money=50_000, hours=800)
    plan = stage("plan", lambda: rt.make_plan(base, worth, when, tiers, budget=budget, as_of=DAY))
    with tempfile.TemporaryDirectory() as folder:
        stage("plan.csv", lambda: plan.to_csv(Path(folder) / "plan.csv"))
    log = few_receipts()
    night = SimpleNamespace(
        as_of=DAY, log=log, base=base, audit=audit(log, as_of=DAY), worth=worth, when=when, tiers=tiers, plan=plan,
        leak=late,
    )  # fmt: skip
    stage("page", lambda: render(night))
    stage("page, once more", lambda: render(night))


if __name__ == "__main__":
    main()
