"""Does the cadence find the planted optimum, and is it silent where there is nothing to find?

    python benchmarks/cadence.py [--runs 60] [--customers 6000]

Each run is a fresh simulated trial of 0, 1, 2, 4 and 8 contacts in 28 days on three segments, skewed margins with a
standard deviation of 30, everybody's frequency of today drawn from 0 to 8. Told are

- **planted**: how far the frequency found is from the best, and what share of the best worth it misses;
- **null**: contacts bring nothing, cost nothing and drive nobody away: how many customers are told to change;
- **harmful**: contacts drive margin and customers away: how many are told *less*, how many *more*.

Wrong is who is told to change to a frequency that is worth less in truth than today's (null: told to change at all).
"""

import argparse

import numpy as np

from retention._kernels import cadence as kernel
from retention.plan import cadence

ARMS, SEGMENTS, KEEP = np.asarray([0, 1, 2, 4, 8]), 3, 1.1 ** (-28 / 365)


def run(kind: str, seed: int, customers: int) -> dict[str, float]:
    """One trial, what is said of it, and what is true."""
    rng = np.random.default_rng(seed)
    a, h1, cost = rng.lognormal(np.log(8), 0.3, SEGMENTS), rng.lognormal(np.log(0.003), 0.5, SEGMENTS), 0.5
    if kind == "null":
        a, h1, cost = np.zeros(SEGMENTS), np.zeros(SEGMENTS), 0.0
    if kind == "harmful":
        a, h1, cost = np.full(SEGMENTS, -2.0), np.full(SEGMENTS, 0.01), 0.1
    b, h0 = rng.lognormal(np.log(0.5), 0.3, SEGMENTS), 0.004
    who = np.repeat(np.arange(SEGMENTS), customers // SEGMENTS)
    f, today = rng.choice(ARMS, len(who)), rng.integers(0, 9, len(who))
    got = cadence(
        customer_id=np.arange(len(who)),
        segment=who.astype(str),
        frequency=f,
        margin=20 + kernel.brought(f, a[who], b[who]) + 30 * np.sqrt(2) * (rng.gamma(0.5, size=len(who)) - 0.5),
        opted_out=rng.random(len(who)) < kernel.opted_out(f, h0, h1[who]),
        today=today,
        period_days=28,
        randomised=True,
        cost=cost,
        seed=seed,
    )
    truth = kernel.worth(np.arange(9.0), a[:, None], b[:, None], h0, h1[:, None], cost=cost, keep=KEEP)[0]
    best = np.asarray([got.best[who == g][0] for g in range(SEGMENTS)])
    top = truth.max(axis=1)
    told = np.isin(got.verdict, ("less", "more"))
    return {
        "within one": float(np.mean(np.abs(best - truth.argmax(axis=1)) <= 1)),
        "missed": float(np.mean((top - truth[np.arange(SEGMENTS), best]) / np.maximum(top, 1e-9))),
        "less": float((got.verdict == "less").mean()),
        "more": float((got.verdict == "more").mean()),
        "wrong": float((told & ((kind == "null") | (truth[who, got.frequency] < truth[who, today]))).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--customers", type=int, default=6000)
    asked = parser.parse_args()
    for kind in ("planted", "null", "harmful"):
        rows = [run(kind, seed, asked.customers) for seed in range(asked.runs)]
        mean = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
        shown = [name for name in mean if kind == "planted" or name not in ("within one", "missed")]
        print(f"{kind:8}", ", ".join(f"{name} {mean[name]:.1%}" for name in shown), flush=True)


if __name__ == "__main__":
    main()
