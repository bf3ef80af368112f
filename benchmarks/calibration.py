"""How well forecasts agree with what happened: `python benchmarks/calibration.py [--shops 16] [--cdnow FILE]`, and
posteriors with what was true: `python benchmarks/calibration.py --posteriors 200 [--models pareto-ggg]`.

Simulated shops: the corner shop (350 customers, three years) is valued as it stood one year before its end, for 365
days, undiscounted, and compared with what its customers then really brought. Seeds 0, 1, ...: the same figures on every
run. The shop is not made by the model: gaps are regular or not, lifetimes end by the calendar, and who comes rarely
spends the most. With `--cdnow`, the public sample of 2,357 customers (`sample_id`, `date`, `sales`), fitted to
1997-09-30, and its next 39 weeks.

Posteriors: parameters from a prior, customers from the parameters, draws given the customers; the rank of the truth
among the draws is uniform (Talts et al. 2018). With time-varying covariates also whether 90 % intervals of what each
customer buys, and brings, in the next half a year hold 90 %.
"""

import argparse
import concurrent.futures
import csv
import datetime as dt
import gzip
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

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


DYNAMIC = value.DynamicParetoNBD.NAME
NAMES = [*RECIPES, DYNAMIC]


class Replicated(NamedTuple):
    """Of each parameter the share of draws below the truth; how they were drawn and their effective number; the shares
    of customers whose purchases and whose money lay within their 90 % (NaN if it was not asked for)."""

    names: tuple[str, ...]
    below: np.ndarray
    method: str
    ess: float
    counts: float = float("nan")
    money: float = float("nan")


def replication(name: str, seed: int, customers: int = 500) -> Replicated:
    return varying(seed, customers) if name == DYNAMIC else steady(name, seed, customers)


def steady(name: str, seed: int, customers: int, factor: float = 1.7) -> Replicated:
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
    return Replicated(posterior.names, np.mean(posterior.draws < truth, axis=0), posterior.method, posterior.ess)


# ---- weeks that differ

PAST, WEEKS = 52, 78  # those that customers are watched in, and with those ahead
MONDAY = np.datetime64("2010-01-04")
MIDDLE = {"r": 0.8, "alpha": 20.0, "s": 0.6, "beta": 15.0}  # of the prior; weeks
PRECISION = 9.0  # of the coefficients' normal prior, for covariates scaled to a standard deviation of one
MONEY = {"p": 6.25, "q": 3.74, "v": 15.44}


def lived(params: Any, born: np.ndarray, rate: Any, hazard: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """All purchases of customers of the model as (owner, day): a first one on the evening that a customer is ``born``,
    in days, and a Poisson number in each week until she leaves, by the multipliers of that week.

    The model is of moments and a log is of days: who would come twice on a day comes on the next free one.
    """
    r, alpha, s, beta = params
    n = len(born)
    lam, mu = rng.gamma(r, 1 / alpha, n), np.maximum(rng.gamma(s, 1 / beta, n), 1e-300)
    start = np.maximum(np.arange(WEEKS), born[:, None] / 7)
    width = np.maximum(np.arange(1, WEEKS + 1) - start, 0.0)
    spent = np.cumsum(hazard * width, axis=1) - hazard * width
    width = np.clip((rng.exponential(size=n)[:, None] / mu[:, None] - spent) / hazard, 0.0, width)
    count = rng.poisson(lam[:, None] * rate * width)
    who, week = np.nonzero(count)
    many = count[who, week]
    again = np.repeat(who, many)
    at = np.repeat(start[who, week], many) + rng.random(len(again)) * np.repeat(width[who, week], many)
    owner, day = np.concatenate([np.arange(n), again]), np.concatenate([born - 1, np.ceil(7 * at) - 1])
    order = np.lexsort((day, owner))
    owner, day = owner[order], day[order]
    nth = np.arange(len(owner)) - np.searchsorted(owner, owner)
    apart = 100_000 * owner
    return owner, (np.maximum.accumulate(day - nth + apart) + nth - apart).astype(int)


def varying(seed: int, customers: int, factor: float = 1.7) -> Replicated:
    """A season that all see and mailings of their own that move the rate, mailings that move the drop-out as well."""
    rng = np.random.default_rng((78, seed))
    model = value.DynamicParetoNBD(
        rate=("season", "mailed"), dropout=("mailed",), penalty=PRECISION,
        prior={name: (middle, factor) for name, middle in MIDDLE.items()},
    )  # fmt: skip
    born = rng.integers(1, 7 * 13, customers)
    season = np.cos(2 * np.pi * np.arange(WEEKS) / 26)
    mailed = np.repeat(rng.random((customers, WEEKS // 3)) < 0.3, 3, axis=1).astype(float)
    # The prior is of covariates centred and scaled over the time that customers were watched.
    watched = np.clip(np.arange(1, PAST + 1) - born[:, None] / 7, 0, 1)
    seen = np.stack([np.broadcast_to(season, mailed.shape), mailed, mailed])[:, :, :PAST]
    center = np.array([np.average(each, weights=watched) for each in seen])
    scale = np.sqrt([np.average((each - c) ** 2, weights=watched) for each, c in zip(seen, center, strict=True)])
    logs = np.log(list(MIDDLE.values())) + np.log(factor) * rng.standard_normal(4)
    effects = rng.standard_normal(3) / np.sqrt(PRECISION) / scale
    logs[[1, 3]] += effects[:2] @ center[:2], effects[2] * center[2]  # as of weeks in which all covariates are 0
    truth = np.array([*np.exp(logs), *effects])

    moved = np.exp(effects[0] * season + effects[1] * mailed), np.exp(effects[2] * mailed)
    owner, day = lived(truth[:4], born, *moved, rng)
    own = MONEY["v"] / rng.gamma(MONEY["q"], size=customers)
    revenue = own[owner] * rng.gamma(MONEY["p"], size=len(owner))
    ids = np.array([f"c{i:05d}" for i in range(customers)])
    log = TransactionLog.from_arrays(
        customer_id=ids[owner], at=(MONDAY + day.astype("timedelta64[D]")).astype("datetime64[s]"), revenue=revenue
    )
    calendar = value.Calendar.weekly([str(MONDAY + 7 * k) for k in range(WEEKS)], {"season": season})
    calendar, as_of = calendar.with_own(ids, {"mailed": mailed}), str(MONDAY + 7 * PAST - 1)
    posterior = model.posterior(log, calendar, as_of=as_of, draws=250, seed=seed)

    # Money has a density but for a mass at 0, "buys nothing", which is spread evenly over the ranks that it takes.
    worth = posterior.value(log, calendar, as_of=as_of, horizon_days=7 * (WEEKS - PAST), discount_rate=0.0)
    came = np.bincount(owner[day >= 7 * PAST], revenue[day >= 7 * PAST], customers)
    silent = 1 - worth.p_purchase
    rank = silent * rng.random(customers)
    some = (came < worth.value_high) & ((silent > 0.05) | (came > worth.value_low))
    held = np.where(came > 0, some, (rank > 0.05) & (rank < 0.95))
    # Counts are whole: the randomised interval, P(N < n) + V P(N = n) between 5 and 95 %.
    bought = np.bincount(owner[day >= 7 * PAST], minlength=customers)
    chance = posterior.purchase_probabilities(log, calendar, 7 * (WEEKS - PAST), int(bought.max()), as_of=as_of)
    everyone = np.arange(customers)
    place = np.cumsum(chance, axis=1)[everyone, bought] - rng.random(customers) * chance[everyone, bought]
    counts = np.mean((place > 0.05) & (place < 0.95))
    below = np.mean(posterior.draws < truth, axis=0)
    return Replicated(posterior.names, below, posterior.method, posterior.ess, float(counts), float(held.mean()))


def posteriors(names: list[str], replications: int, customers: int, workers: int, first: int = 0) -> None:
    from scipy.stats import chi2

    print(
        f"{replications} bases of {customers} customers from the prior, seeds from {first} on; p-values of uniform "
        "ranks, by parameter"
    )
    seeds = range(first, first + replications)
    for name in names:
        with concurrent.futures.ProcessPoolExecutor(workers) as pool:
            found = list(pool.map(replication, [name] * replications, seeds, [customers] * replications))
        ranks = np.stack([each.below for each in found])
        counts = np.stack([np.bincount(np.minimum((r * 10).astype(int), 9), minlength=10) for r in ranks.T])
        expected = replications / 10
        p_values = chi2.sf(np.sum((counts - expected) ** 2 / expected, axis=1), 9)
        walked = sum(each.method == "ensemble" for each in found)
        told = "  ".join(f"{n} {p:.3f}" for n, p in zip(found[0].names, p_values, strict=True))
        within = np.mean((ranks > 0.05) & (ranks < 0.95), axis=0)
        counts, money = (np.mean([getattr(each, what) for each in found]) for what in ("counts", "money"))
        print(
            f"{name:14} {told}   in their 90 %: {', '.join(f'{w:.1%}' for w in within)}; "
            f"ESS {np.median([each.ess for each in found]):.0f} of 250, {walked} by the sampler"
            + ("" if np.isnan(money) else f"; intervals of 90 % held {counts:.1%} of counts, {money:.1%} of money"),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=16, help="simulated shops to look at")
    parser.add_argument("--cdnow", type=Path, help="cdnow_sample.csv.gz")
    parser.add_argument("--posteriors", type=int, default=0, help="replications of each model's posterior, instead")
    parser.add_argument("--models", nargs="+", default=NAMES, choices=NAMES, help="which of them")
    parser.add_argument("--customers", type=int, default=500, help="in each base of the replications")
    parser.add_argument("--seed", type=int, default=0, help="of the first replication; others for other bases")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    if arguments.posteriors:
        asked = arguments.posteriors, arguments.customers, arguments.workers, arguments.seed
        posteriors(arguments.models, *asked)
        return
    shops(arguments.shops)
    if arguments.cdnow is not None:
        cdnow(arguments.cdnow)


if __name__ == "__main__":
    main()
