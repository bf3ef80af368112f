"""Is choosing by customer worth it, does the gate know? `python benchmarks/personalise.py [--data hillstrom.csv.gz]`.

Three parts (`--parts worlds,nulls,hillstrom`), half an hour in all with the defaults:

- **worlds**: 100,000 customers in three arms, with effects that differ between customers and are known. The customers
  and what they do without contact are those of Hillstrom's control group, drawn with replacement (`--data`), or made up
  like them. A contact adds a visit with a known chance by customer and arm, and a visit its spend, drawn from those of
  visitors. Told: what the gated policy earns on 100,000 fresh customers beyond the best arm for all, as a share of what
  one who knows the chances would earn. Aimed at: 0.90 or more.
- **nulls**: many smaller experiments in which nothing beats the best arm for all. Told: how often the gate stays shut.
  Aimed at: 0.95 or more.
- **hillstrom**: the experiment itself, spend with visits as proxy, ten repeats of two folds. Aimed at: a policy worth
  1.40 or more and at most 0.02 below the best mail for all; Qini of the Womens mail on visits 0.0074 or more.

Seconds are CPU seconds on one thread.
"""

import argparse
import csv
import gzip
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from retention.proof import personalise, uplift_curve, uplift_scores

ARMS = np.array(["none", "first", "second"])
NUMBERS = ("recency", "history", "mens", "womens", "newbie", "visit", "spend")


class Base(NamedTuple):
    """Customers, what they do without contact, and the spends of visitors."""

    features: dict[str, Any]
    visit: Any
    spend: Any
    pool: Any


def hillstrom(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns |= {name: columns[name].astype(float) for name in NUMBERS}
    known = ("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel")
    return {name: columns[name] for name in known}, columns


def base_of(path: Path | None, seed: int = 0) -> Base:
    if path is not None:
        features, columns = hillstrom(path)
        mine = columns["segment"] == "No E-Mail"
        visit, spend = columns["visit"][mine], columns["spend"][mine]
        return Base({name: values[mine] for name, values in features.items()}, visit, spend, spend[visit == 1])
    rng = np.random.default_rng(seed)
    n = 20_000
    mens = rng.random(n) < 0.55
    features = {
        "recency": rng.integers(1, 13, n),
        "history": rng.lognormal(5.0, 0.9, n),
        "mens": mens.astype(int),
        "womens": np.where(mens, rng.random(n) < 0.2, True).astype(int),
        "newbie": rng.integers(0, 2, n),
        "zip_code": rng.choice(["Rural", "Suburban", "Urban"], n, p=[0.15, 0.45, 0.4]),
        "channel": rng.choice(["Web", "Phone", "Multichannel"], n, p=[0.44, 0.44, 0.12]),
    }
    visit = (rng.random(n) < 0.16 - 0.008 * features["recency"]).astype(float)
    spend = visit * (rng.random(n) < 0.055) * rng.lognormal(4.4, 0.8, n)
    return Base(features, visit, spend, spend[visit == 1])


def chances(kind: str, x: dict[str, Any]) -> tuple[Any, float]:
    """The chance of one visit more by arm, and the cost of a contact."""
    recency, history = x["recency"], x["history"]
    mens, womens, n = x["mens"] > 0, x["womens"] > 0, len(x["mens"])
    some = np.zeros(n)
    added, cost = {
        "each her own range": ([some, 0.02 + 0.12 * (womens & ~mens), 0.02 + 0.10 * mens], 0.10),
        "by recency and spend": ([some, 0.40 * np.exp(-recency / 5), 0.40 * (1 - np.exp(-history / 300))], 0.10),
        "leave some alone": ([0.12 * (recency <= 3), 0.02 + 0.14 * (recency > 6), some + 0.08], 0.10),
        "steps and corners": (
            [some, 0.03 + 0.2 * ((recency <= 4) & (history > 150)), 0.10 - 0.08 * (recency > 8)],
            0.10,
        ),
        "weak": ([some, 0.03 + 0.05 * womens, 0.05 + 0.03 * mens], 0.0),
        "nothing works": ([some, some, some], 0.0),
        "one mail is best": ([some, some + 0.045, some + 0.076], 0.0),
        "two mails alike": ([some, some + 0.05, some + 0.05], 0.0),
        "half feel nothing": ([some, 0.10 * womens, 0.10 * womens], 0.0),
    }[kind]
    return np.array(added), cost


def drawn(base: Base, kind: str, n: int, rng: np.random.Generator, arms: int = 3) -> dict[str, Any]:
    rows = rng.integers(0, len(base.visit), n)
    x = {name: values[rows] for name, values in base.features.items()}
    added, cost = chances(kind, x)
    added = added[:arms]
    arm = rng.integers(0, arms, n)
    more = rng.random(n) < added[arm, np.arange(n)]
    worth = added * base.pool.mean() - cost * (np.arange(arms) > 0)[:, None]
    return {
        "features": x,
        "arm": ARMS[arm],
        "visit": base.visit[rows] + more,
        "spend": base.spend[rows] + more * base.pool[rng.integers(0, len(base.pool), n)],
        "costs": dict.fromkeys(ARMS[1:arms].tolist(), cost),
        "worth": worth,
    }


def asked(world: dict[str, Any], **how: Any) -> Any:
    proxy = world["visit"] if how.pop("proxied", True) else None
    return personalise(
        world["features"], world["arm"], world["spend"], costs=world["costs"], proxy=proxy, control="none", **how
    )


def known_truth(base: Base, n: int, runs: int, repeats: int) -> None:
    print(f"\n## Worlds: {n:,} customers, {runs} runs each, {repeats} repeats; spend of a visit {base.pool.mean():.2f}")
    print(f"{'world':22} {'oracle':>8} {'gated':>8} {'share':>7} {'ungated':>8}", end=" ")
    print(f"{'open':>6} {'found':>8} {'SE':>7} {'CPU s':>6}")
    for kind in ("each her own range", "by recency and spend", "leave some alone", "steps and corners", "weak"):
        told = []
        for run in range(runs):
            rng = np.random.default_rng([run, 1])
            world, fresh = drawn(base, kind, n, rng), drawn(base, kind, n, rng)
            since = time.process_time()
            found = asked(world, seed=run, repeats=repeats)
            took = time.process_time() - since
            best = fresh["worth"].mean(axis=1).max()
            here = np.arange(n)
            got = [
                fresh["worth"][np.argmax(chosen[:, None] == ARMS, axis=1), here].mean() - best
                for chosen in (found.recommend(fresh["features"]), found.learned(fresh["features"]))
            ]
            oracle = fresh["worth"].max(axis=0).mean() - best
            told.append((oracle, *got, found.decision == "personal", found.difference, found.error, took))
        oracle, gated, plain, opened, value, error, took = np.mean(told, axis=0)
        print(
            f"{kind:22} {oracle:8.3f} {gated:8.3f} {gated / oracle:7.1%} {plain / oracle:8.1%} {opened:6.0%} "
            f"{value:8.3f} {error:7.3f} {took:6.1f}"
        )


def null_worlds(base: Base, runs: int, repeats: int) -> None:
    print(f"\n## Nulls: {repeats} repeats; shares of experiments in which the best arm for all is returned, with SE,")
    print("and in which the interval alone would have said so")
    print(f"{'world':20} {'arms':>4} {'outcome':>8} {'customers':>10} {'runs':>5}", end=" ")
    print(f"{'returned':>9} {'SE':>6} {'interval':>9}")
    nulls = (("nothing works", 3), ("one mail is best", 3), ("two mails alike", 3), ("half feel nothing", 3))
    for outcome, n, share in (("visit", 5_000, 1.0), ("spend", 20_000, 0.5)):
        for kind, arms in (*nulls, ("half feel nothing", 2)):
            kept = []
            for run in range(round(share * runs)):
                world = drawn(base, kind, n, np.random.default_rng([run, n, 2]), arms)
                if outcome == "visit":
                    world["spend"] = world["visit"]
                found = asked(world, seed=run, repeats=repeats, proxied=outcome == "spend")
                kept.append((found.decision == "one for all", found.low <= 0))
            got, plain = np.mean(kept, axis=0)
            error = np.sqrt(max(got * (1 - got), 1 / len(kept)) / len(kept))
            print(f"{kind:20} {arms:4} {outcome:>8} {n:10,} {len(kept):5} {got:9.1%} {error:6.1%} {plain:9.1%}")


def real(path: Path) -> None:
    features, columns = hillstrom(path)
    arm = columns["segment"]
    chance = dict.fromkeys(("No E-Mail", "Womens E-Mail", "Mens E-Mail"), 1 / 3)
    print("\n## Hillstrom, 64,000 customers, 10 repeats of 2 folds")
    for name, how in (
        ("spend, visits as proxy", {"proxy": columns["visit"]}),
        (
            "the same, a contact costs 0.50",
            {"proxy": columns["visit"], "costs": {"Mens E-Mail": 0.5, "Womens E-Mail": 0.5}},
        ),
        ("spend alone", {}),
    ):
        since = time.process_time()
        found = personalise(features, arm, columns["spend"], propensities=chance, control="No E-Mail", **how)
        took = time.process_time() - since
        print(f"\n{name} ({took:.1f} CPU s)\n  {found.sentence}")
        table = found.policy_table
        for k in range(len(table)):
            row = table.row(k)
            told = [row[name] for name in ("value", "error", "difference", "difference_error", "personal_share")]
            print(
                "  {:22} {:7.3f} (SE {:.3f})  difference {:+.3f} (SE {:.3f}), share {:.2f}".format(row["policy"], *told)
            )
        print(f"  split SD of the difference {found.by_repeat.std(ddof=1):.3f}; buyers {found.buyers:.0f}")
    for mail in ("Womens E-Mail", "Mens E-Mail"):
        rows = np.isin(arm, (mail, "No E-Mail"))
        mine = {name: values[rows] for name, values in features.items()}
        visit, treated = columns["visit"][rows], arm[rows] == mail
        since = time.process_time()
        lift = uplift_scores(mine, arm[rows], visit, treatment=mail, control="No E-Mail", repeats=40)
        took = time.process_time() - since
        curve = uplift_curve(lift, treated, visit)
        each = [uplift_curve(row, treated, visit).qini for row in lift]
        print(f"\nQini of visits, {mail}, 40 repeats ({took:.1f} CPU s)\n  {curve.sentence}")
        print(f"  SE {curve.error:.4f}, split SD {np.std(each, ddof=1):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="hillstrom.csv.gz; without it customers are made up")
    parser.add_argument("--parts", default="worlds,nulls,hillstrom")
    parser.add_argument("--runs", type=int, default=10, help="of each world")
    parser.add_argument("--nulls", type=int, default=400, help="of each null world")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--customers", type=int, default=100_000)
    args = parser.parse_args()
    parts, base = args.parts.split(","), base_of(args.data)
    if "worlds" in parts:
        known_truth(base, args.customers, args.runs, args.repeats)
    if "nulls" in parts:
        null_worlds(base, args.nulls, min(args.repeats, 3))
    if "hillstrom" in parts and args.data is not None:
        real(args.data)


if __name__ == "__main__":
    main()
