"""Do the intervals of what was learned hold the truth, and is pooling worth it? On the whole way through the journal.

    python benchmarks/learning.py [--runs 400]

One recorded night with three tiers; in each run multipliers are drawn from the prior (half of the time all tiers are
alike), a future is drawn with them, and ``learn`` looks once. Told are the share of 90 % intervals that hold the truth
(87 to 93 % is asked for), the mean squared error of the multipliers against that of each tier's own comparison, and how
often all tiers were given one multiplier. Margins are gamma, or of few buyers with lognormal baskets.
"""

import argparse
import datetime as dt
import importlib.util
from pathlib import Path

import attrs
import numpy as np

from retention.journal import Journal
from retention.proof.learn import learn
from retention.records.transactions import TransactionLog

DAY, BUY, END = dt.date(2011, 1, 10), "2011-02-01", "2011-03-31"
TIERS = {"bronze": 5.0, "silver": 10.0, "gold": 20.0}
# contacts and held out a tier; share of buyers, or None for gamma margins; spread of a margin
CASES = [
    (300, 100, None, 0.7),
    (90, 30, None, 0.7),
    (90, 10, None, 2.0),
    (900, 100, 0.10, 1.0),
    (270, 30, 0.10, 1.0),
    (900, 100, 0.03, 1.5),
]


def night_of(contacts, held, gain):
    spec = importlib.util.spec_from_file_location(
        "nights", Path(__file__).parents[1] / "tests" / "journal" / "nights.py"
    )
    nights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nights)
    tier = np.concatenate([np.repeat(list(TIERS), contacts), np.repeat(list(TIERS), held)])
    n, k = len(tier), contacts * len(TIERS)
    who = np.array([f"c{i:05d}" for i in range(n)])
    plan = nights.plan_of(DAY, contact=who[:k].tolist(), holdout=who[k:].tolist(), share=held / (contacts + held))
    journal = Journal(":memory:")
    assumed = gain(tier)
    journal.record(attrs.evolve(plan, segment=tier, gain=assumed, assumed=assumed))
    return journal, who, tier, np.arange(n) < k


def case(runs, contacts, held, buyers, spread):
    rng = np.random.default_rng(5)
    drawn = {}

    def gain(tier):
        level = np.array([TIERS[t] for t in tier]) * rng.lognormal(-0.125, 0.5, len(tier))
        drawn["gain"] = level if buyers is None else np.full(len(tier), 2.0)
        return drawn["gain"]

    journal, who, tier, contact = night_of(contacts, held, gain)
    gains, basket = drawn["gain"], np.exp(3.0 + spread**2 / 2)
    inside, pooled, alone, one = [], [], [], []
    for _ in range(runs):
        common, apart = rng.normal(1, 0.5), 0.0 if rng.random() < 0.5 else abs(rng.normal(0, 0.5))
        truth = {t: rng.normal(common, apart) for t in TIERS}
        if buyers is not None:  # no fewer than no buyers
            truth = {t: max(m, -buyers * basket / 4) for t, m in truth.items()}
        effect = np.array([truth[t] for t in tier]) * gains * contact
        if buyers is None:
            margin = 4.0 * gains * rng.gamma(spread**-2, spread**2, len(who)) + effect
        else:
            margin = (rng.random(len(who)) < buyers + effect / basket) * rng.lognormal(3.0, spread, len(who))
        margin = np.round(margin, 2)
        some = margin != 0
        log = TransactionLog.from_arrays(
            customer_id=[*who[some], "somebody else"],
            at=[BUY] * int(some.sum()) + [END],
            revenue=[*np.abs(margin[some]), 1.0],
            margin=[*margin[some], 1.0],
        )
        learned = learn(journal, log, window_days=60)
        for t in TIERS:
            found = learned.response("overdue", "check-in call", t)
            inside.append(found.low <= truth[t] <= found.high)
            pooled.append((found.multiplier - truth[t]) ** 2)
            alone.append((found.seen - truth[t]) ** 2)
            one.append(found.pooled)
    kind = "gamma" if buyers is None else f"{buyers:.0%} buy"
    print(
        f"{contacts:5} contacts {held:4} held out a tier, {kind:8} spread {spread:3.1f}: cover {np.mean(inside):.3f}  "
        f"squared error {np.mean(pooled):.3f}, each tier alone {np.mean(alone):.3f}  one for all {np.mean(one):.2f}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    for each in CASES:
        case(runs, *each)
