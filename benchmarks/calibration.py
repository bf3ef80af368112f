"""How well forecasts agree with what happened: `python benchmarks/calibration.py [--shops 16] [--cdnow FILE]`.

Simulated shops: the corner shop (350 customers, three years) is valued as it stood one year before its end, for 365
days, undiscounted, and compared with what its customers then really brought. Seeds 0, 1, ...: the same figures on every
run. The shop is not made by the model: gaps are regular or not, lifetimes end by the calendar, and who comes rarely
spends the most. With `--cdnow`, the public sample of 2,357 customers (`sample_id`, `date`, `sales`), fitted to
1997-09-30, and its next 39 weeks.
"""

import argparse
import csv
import datetime as dt
import gzip
from collections import defaultdict
from pathlib import Path

import numpy as np

from retention.histories import summarize
from retention.records import TransactionLog
from retention.value import BGNBD
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
        model = BGNBD().fit(base)
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
    model = BGNBD().fit(base)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=16, help="simulated shops to look at")
    parser.add_argument("--cdnow", type=Path, help="cdnow_sample.csv.gz")
    arguments = parser.parse_args()
    shops(arguments.shops)
    if arguments.cdnow is not None:
        cdnow(arguments.cdnow)


if __name__ == "__main__":
    main()
