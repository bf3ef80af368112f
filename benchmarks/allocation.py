"""What the best allocation costs and how good it is: `python benchmarks/allocation.py [--quick] [--customers 1000000]`.

Six actions in three channels, consent missing for 25, 45 and 60 % of customers, each customer her own costs (float32),
money at 35 % of what would be spent without limits, channels at 60, 50 and 30 % of their free use. Three bases: plain
(log-normal sigma 0.8), heavy tails (sigma 1.8 in gains and costs) and 500 segments of customers who are exactly equal.

Beside it, up to `--beside` customers, HiGHS through scipy: the linear programme (its optimum is the least bound there
is; interior point, and dual simplex for 10,000) and the integer programme, each stopped after `--limit` seconds.

Seconds are CPU seconds, the median of `--repeats` runs; `passes` is the ratio to reading both arrays once (their sums)
in the same process; memory is the peak of what Python and numpy allocate while it runs, in a run of its own, beside
what the input takes. The gap is the printed one: bound less objective, by the bound. Every choice is checked by
counting it anew.
Aimed at: 10,000 gap 1e-4; a million 1 s and 1e-5; ten million 6 s, 1e-5 and no more memory than the input.

Then plans of eight weeks (two contacts in any four weeks, none in weeks next to each other, three channels with places
by the week, and money: 25 prices). Aimed at: 100,000 gap 1e-4 in 1.5 s; a million in 8 s.
"""

import argparse
import math
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, vstack

from retention.plan import allocate, allocate_weeks

KINDS = ("plain", "heavy tails", "500 segments")
PART = 1_000_000
CHANNEL = np.repeat([0, 1, 2], 2)
# customers: seconds, gap, memory as a share of the input
AIMS = {10_000: (math.inf, 1e-4, math.inf), 1_000_000: (1.0, 1e-5, math.inf), 10_000_000: (6.0, 1e-5, 1.0)}


class Base(NamedTuple):
    gains: Any
    costs: Any
    allowed: Any
    money: float
    capacity: list[int]

    @property
    def size(self) -> int:
        return int(self.gains.nbytes + self.costs.nbytes)

    def limits(self) -> dict[str, Any]:
        return {"money": self.money, "capacity": self.capacity, "channel": CHANNEL, "allowed": self.allowed}


def drawn(n: int, kind: str, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    sigma = 1.8 if kind == "heavy tails" else 0.8
    base = rng.lognormal(1.0, sigma, (n, 1))
    gains = base * rng.gamma(1.5, 1 / 1.5, (n, 6)) * [0.5, 0.8, 1.0, 1.2, 1.4, 2.0]
    dear = rng.lognormal(0.0, 1.8 if kind == "heavy tails" else 0.4, (n, 1)) * rng.uniform(0.8, 1.2, (n, 6))
    allowed = np.repeat(rng.random((n, 3)) >= [0.25, 0.45, 0.6], 2, axis=1)
    return gains.astype(np.float32), (dear * [0.3, 0.6, 0.8, 1.2, 2.0, 3.0]).astype(np.float32), allowed


def made(n: int, kind: str, seed: int = 0) -> Base:
    rng = np.random.default_rng(seed)
    gains, costs = np.empty((n, 6), np.float32), np.empty((n, 6), np.float32)
    allowed = np.empty((n, 6), dtype=bool)
    spent, used = 0.0, np.zeros(3)
    few = drawn(500, "plain", rng)
    for k in range(0, n, PART):
        rows = slice(k, min(k + PART, n))
        m = rows.stop - k
        if kind == "500 segments":
            who = rng.integers(0, 500, m)
            parts = (few[0][who], few[1][who], few[2][who])
        else:
            parts = drawn(m, kind, rng)
        gains[rows], costs[rows], allowed[rows] = parts
        net = np.where(parts[2], parts[0] - parts[1], -np.inf)
        action = net.argmax(axis=1)
        some = net.max(axis=1) > 0
        spent += float(parts[1][np.arange(m), action][some].sum(dtype=np.float64))
        used += np.bincount(CHANNEL[action[some]], minlength=3)
    return Base(gains, costs, allowed, 0.35 * spent, np.floor(used * [0.6, 0.5, 0.3]).astype(int).tolist())


def cpu(task: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median CPU seconds, and the last answer."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        answer = task()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), answer


def kept(base: Base, choice: Any) -> bool:
    """The choice counted anew: everything allowed, and no limit exceeded."""
    rows = np.flatnonzero(choice >= 0)
    action = choice[rows].astype(np.intp)
    spent = math.fsum(base.costs[rows, action].tolist())
    counts = np.bincount(CHANNEL[action], minlength=3)
    return bool(base.allowed[rows, action].all() and spent <= base.money and (counts <= base.capacity).all())


def ours(base: Base, kind: str, repeats: int, warm: bool) -> float:
    n = len(base.gains)
    one_pass, _ = cpu(lambda: float(base.gains.sum() + base.costs.sum()), 5)
    if warm:
        allocate(base.gains[:2_000], base.costs[:2_000], money=base.money, exact=False)  # loads scipy
    seconds, got = cpu(lambda: allocate(base.gains, base.costs, **base.limits()), repeats)
    tracemalloc.start()
    allocate(base.gains, base.costs, **base.limits())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    verdict = "kept" if kept(base, got.choice) else "BROKEN"
    if n in AIMS:
        aim = AIMS[n]
        good = seconds <= aim[0] and got.gap <= aim[1] and peak <= aim[2] * base.size
        verdict += ", as aimed at" if good else ", MISSED"
    print(
        f"{n:>10,} {kind:13} prices               {got.gap:8.1e} {seconds:8.2f} s {seconds / one_pass:8.0f} "
        f"{peak / 1e6:7.0f} MB beside {base.size / 1e6:5.0f} MB  limits {verdict}",
        flush=True,
    )
    return got.bound


def beside(base: Base, kind: str, limit: float, whole: bool) -> None:
    n = len(base.gains)
    rows, actions = np.nonzero(base.allowed)
    value = (base.gains[rows, actions] - base.costs[rows, actions]).astype(np.float64)
    at = np.arange(len(rows))
    one = csr_array((np.ones(len(rows)), (rows, at)), shape=(n, len(rows)))
    rest = np.stack([base.costs[rows, actions].astype(np.float64), *(CHANNEL[actions] == c for c in range(3))])
    matrix = vstack([one, csr_array(rest)], format="csr")
    upper = np.concatenate([np.ones(n), [base.money], base.capacity])
    best = math.inf
    for method in ("highs-ipm", "highs-ds") if n <= 10_000 else ("highs-ipm",):
        seconds, got = cpu(
            lambda how=method: linprog(
                -value, A_ub=matrix, b_ub=upper, method=how, options={"time_limit": limit, "presolve": True}
            ),
            1,
        )
        told = f"optimum {-got.fun:,.4f}" if got.status == 0 else "stopped at the time limit"
        best = min(best, -got.fun) if got.status == 0 else best
        print(f"{n:>10,} {kind:13} HiGHS LP {method:11} {'-':>8} {seconds:8.2f} s {'':8} {told}", flush=True)
    if not whole:
        return
    options = {"time_limit": limit, "mip_rel_gap": 1e-6}
    seconds, found = cpu(
        lambda: milp(
            -value,
            integrality=np.ones(len(value)),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, ub=upper),
            options=options,
        ),
        1,
    )
    gap = f"{found.mip_gap:8.1e}" if found.x is not None else f"{'none':>8}"
    print(f"{n:>10,} {kind:13} HiGHS MILP           {gap} {seconds:8.2f} s", flush=True)


def weeks(n: int, repeats: int) -> None:
    """One plan of eight weeks, counted anew."""
    rng = np.random.default_rng(0)
    gains = np.empty((n, 8, 6), np.float32)
    base = rng.lognormal(0.0, 0.8, (n, 1)).astype(np.float32)
    for w in range(8):
        gains[:, w] = base * rng.gamma(2, 0.5, (n, 6)).astype(np.float32) * [0.5, 0.8, 1.0, 1.2, 1.4, 2.0]
    costs = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 1.0])
    allowed = np.repeat(rng.random((n, 3)) >= [0.25, 0.45, 0.6], 2, axis=1)
    rules: dict[str, Any] = {"window": 4, "most": 2, "apart": 2, "allowed": allowed}
    places, money = [int(share * n) for share in (0.06, 0.08, 0.05)], 0.6 * n
    limits: dict[str, Any] = {"money": money, "channel": CHANNEL, "capacity": places}
    one_pass, _ = cpu(lambda: float(gains.sum()), 5)
    seconds, got = cpu(lambda: allocate_weeks(gains, costs, **rules, **limits), repeats)
    rows, week = np.nonzero(got.choice >= 0)
    action = got.choice[rows, week]
    had = got.choice >= 0
    counts = np.bincount(week * 3 + CHANNEL[action], minlength=24).reshape(8, 3)
    good = allowed[rows, action].all() and math.fsum(costs[action].tolist()) <= money and (counts <= places).all()
    good &= not (had[:, 1:] & had[:, :-1]).any() and all((had[:, k : k + 4].sum(axis=1) <= 2).all() for k in range(5))
    print(
        f"{n:>10,} {'eight weeks':13} prices               {got.gap:8.1e} {seconds:8.2f} s {seconds / one_pass:8.0f} "
        f"{got.contacts / n:.2f} contacts a customer  limits {'kept' if good else 'BROKEN'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--beside", type=int, default=100_000, help="HiGHS for bases up to this size")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds after which HiGHS is stopped")
    parser.add_argument("--weeks", type=int, nargs="*", default=[100_000, 1_000_000], help="sizes of the weekly plans")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="10,000 and 100,000 customers, HiGHS for the smaller base")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.customers, arguments.beside, arguments.limit = [10_000, 100_000], 10_000, 5.0
        arguments.weeks = [10_000]
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    print(f"{'customers':>10} {'base':13} {'how':20} {'gap':>8} {'CPU':>10} {'passes':>8} {'memory':>10}")
    warm = True
    for n in arguments.customers:
        for kind in arguments.kinds:
            base = made(n, kind)
            bound = ours(base, kind, arguments.repeats, warm)
            warm = False
            if n <= arguments.beside and kind == "plain":
                print(f"{'':10} {'':13} bound {bound:,.4f}")
                beside(base, kind, arguments.limit, whole=not arguments.quick)
    for n in arguments.weeks:
        weeks(n, arguments.repeats)


if __name__ == "__main__":
    main()
