"""How well forecasts agree with what happened: `python benchmarks/calibration.py [--shops 16] [--cdnow FILE]`, and
posteriors with what was true: `python benchmarks/calibration.py --posteriors 200 [--models pareto-ggg]`.

Simulated shops: the corner shop (350 customers, three years) is valued as it stood one year before its end, for 365
days, undiscounted, and compared with what its customers then really brought. Seeds 0, 1, ...: the same figures on every
run. The shop is not made by the model: gaps are regular or not, lifetimes end by the calendar, and who comes rarely
spends the most. With `--cdnow`, the public sample of 2,357 customers (`sample_id`, `date`, `sales`), fitted to
1997-09-30, and its next 39 weeks.
"""

import argparse
import concurrent.futures
import csv
import datetime as dt
import gzip
from collections import defaultdict
from pathlib import Path

import numpy as np

from retention import value
from retention.histories import Histories, summarize
from retention.records import TransactionLog
from retention.worlds import Shop


def line(name: str, n: float, purchases: np.ndarray, margins: np.ndarray, below: float, above: float) -> None:
    """Forecast and fact of one group; each array is (expected, real)."""
    held = 1 - (below + above) / n
    print(
        f"{name:12} {n:7,.0f} {purchases[0]:9,.0f} {purchases[1]:8,.0f} {margins[0]:10,.0f} {margins[1]:9,.0f} "
        f"{held:7.1%} {below / n:6.1%} {above / n:6.1%}"
    )


def heading() -> None:
    print(
        f"{'':12} {'n':>7} {'purchases':>9} {'really':>8} {'margin':>10} {'really':>9} "
        f"{'held':>7} {'below':>6} {'above':>6}   (of 90 % intervals)"
    )


def shops(count: int) -> None:
    sums: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(7))
    misses, held = [], 0
    for seed in range(count):
        world = Shop.corner_shop(seed=seed).simulate()
        then = world.as_of - dt.timedelta(days=365)
        base = summarize(world.until(then).log, as_of=then)
        model = value.BGNBD().fit(base)
        worth = model.value(base, horizon_days=365, discount_rate=0.0)
        low, high = model.total_interval(base, horizon_days=365, discount_rate=0.0)
        future = world.future(then, 365)
        rows = np.searchsorted(future.customer_id, base.customer_id)
        purchases, margin = future.purchases[rows], future.margin[rows]
        segment = world.truth.segment[np.searchsorted(world.truth.customer_id, base.customer_id)]
        facts = np.stack([
            np.ones(len(base)), worth.expected_purchases, purchases, worth.value, margin, margin < worth.value_low,
            margin > worth.value_high,
        ])  # fmt: skip
        for name in ("everyone", *np.unique(segment).tolist()):
            sums[name] += facts[:, (segment == name) | (name == "everyone")].sum(axis=1)
        misses.append(worth.total() / margin.sum() - 1)
        held += low <= margin.sum() <= high
    print(f"{count} corner shops, a year ahead")
    heading()
    for name, total in sums.items():
        line(name, total[0], total[1:3], total[3:5], total[5], total[6])
    print(
        f"the shop's total: typical error {np.median(np.abs(misses)):.0%}, mean {np.mean(misses):+.0%}, "
        f"worst {max(misses, key=abs):+.0%}; its 90 % interval held {held} of {count}"
    )


def cdnow(path: Path) -> None:
    with gzip.open(path, "rt", newline="") as file:
        table = list(csv.DictReader(file))
    log = TransactionLog.from_arrays(
        customer_id=[row["sample_id"] for row in table],
        at=[row["date"] for row in table],
        revenue=[float(row["sales"]) for row in table],
    )
    base = summarize(log, as_of=dt.date(1997, 9, 30))
    end = summarize(log, as_of=dt.date(1998, 6, 30))
    purchases, spent = end.frequency - base.frequency, end.revenue - base.revenue
    model = value.BGNBD().fit(base)
    worth = model.value(base, horizon_days=39 * 7, discount_rate=0.0)
    low, high = model.total_interval(base, horizon_days=39 * 7, discount_rate=0.0)
    print("CDNOW sample, 39 weeks after 1997-09-30, by repeat purchases before")
    heading()
    for name, least, most in (("everyone", 0, 999), ("0", 0, 0), ("1", 1, 1), ("2-3", 2, 3), ("4 and more", 4, 999)):
        s = (base.frequency >= least) & (base.frequency <= most)
        real, expected = spent[s], worth.value[s]
        line(
            name, s.sum(), np.array([worth.expected_purchases[s].sum(), purchases[s].sum()]),
            np.array([expected.sum(), real.sum()]), np.sum(real < worth.value_low[s]),
            np.sum(real > worth.value_high[s]),
        )  # fmt: skip
    print(f"the total's 90 % interval: {low:,.0f} to {high:,.0f}; really {spent.sum():,.0f}")


RECIPES = {
    "bg-nbd": (value.BGNBD, {}), "mbg-nbd": (value.MBGNBD, {}), "pareto-nbd": (value.ParetoNBD, {}),
    "nbd": (value.NBD, {}), "bg-bb": (value.BGBB, {}), "bg-cnbd-k": (value.BGCNBD, {"k": 2}),
    "mbg-cnbd-k": (value.MBGCNBD, {"k": 3}), "ggompertz-nbd": (value.GGompertzNBD, {}),
    "pareto-ggg": (value.ParetoGGG, {}),
}  # fmt: skip


def replication(name: str, seed: int, customers: int = 500, factor: float = 1.7) -> tuple[np.ndarray, str, float]:
    """The share of draws below the truth, a parameter each; how they were drawn; their effective number."""
    kind, options = RECIPES[name]
    plain: value.PurchaseModel = kind(**options)
    kernel, unit = plain.kernel(), plain.time_unit_days
    powers = zip(kernel.names, kernel.time_power, strict=True)
    middle = np.array([plain.CENTER[parameter] * 26.0**power for parameter, power in powers])
    prior = {parameter: (float(m), factor) for parameter, m in zip(kernel.names, middle, strict=True)}
    rng = np.random.default_rng((77, seed))
    truth = middle * np.exp(np.log(factor) * rng.standard_normal(len(middle)))
    ages = rng.integers(*((5, 13) if kernel.discrete else (20, 60)), customers).astype(float)
    rows = kernel.simulate(truth, ages, rng)
    # Of 100,000 Pareto/GGG customers one comes in such bursts that her recency is below the smallest float.
    recency = np.where(rows.x > 0, np.maximum(rows.t_x, 1e-300), 0.0)
    base = Histories.from_arrays(
        frequency=rows.x.astype(int), recency_days=recency * unit, age_days=rows.T * unit,
        gap_log_sum=rows.log_gaps + rows.x * np.log(unit),
    )  # fmt: skip
    posterior = kind(**options, prior=prior).posterior(base, draws=250, seed=seed)
    return np.mean(posterior.draws < truth, axis=0), posterior.method, posterior.ess


def posteriors(names: list[str], replications: int, workers: int) -> None:
    from scipy.stats import chi2

    print(f"{replications} bases of 500 customers from the prior; p-values of uniform ranks, by parameter")
    for name in names:
        with concurrent.futures.ProcessPoolExecutor(workers) as pool:
            found = list(pool.map(replication, [name] * replications, range(replications)))
        ranks = np.stack([each[0] for each in found])
        counts = np.stack([np.bincount(np.minimum((r * 10).astype(int), 9), minlength=10) for r in ranks.T])
        expected = replications / 10
        p_values = chi2.sf(np.sum((counts - expected) ** 2 / expected, axis=1), 9)
        walked = sum(each[1] == "ensemble" for each in found)
        told = "  ".join(f"{n} {p:.3f}" for n, p in zip(RECIPES[name][0].CENTER, p_values, strict=True))
        within = np.mean((ranks > 0.05) & (ranks < 0.95), axis=0)
        print(
            f"{name:14} {told}   in their 90 %: {', '.join(f'{w:.1%}' for w in within)}; "
            f"ESS {np.median([each[2] for each in found]):.0f} of 250, {walked} by the sampler",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=16, help="simulated shops to look at")
    parser.add_argument("--cdnow", type=Path, help="cdnow_sample.csv.gz")
    parser.add_argument("--posteriors", type=int, default=0, help="replications of each model's posterior, instead")
    parser.add_argument("--models", nargs="+", default=list(RECIPES), choices=list(RECIPES), help="which of them")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    if arguments.posteriors:
        posteriors(arguments.models, arguments.posteriors, arguments.workers)
        return
    shops(arguments.shops)
    if arguments.cdnow is not None:
        cdnow(arguments.cdnow)


if __name__ == "__main__":
    main()
