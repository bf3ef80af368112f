"""Does the proof keep what it promises, on the whole way from receipts to the verdict?

    python benchmarks/proof.py [--runs 400] [--customers 500] [--only null|planted|harmful]

Each run is a fresh simulated shop: two nights a month apart are planned by the whole programme with its own
strategies, a hold-out of three in ten and a fresh salt; the contacts are made, the days pass with what they caused, and
``rt.prove`` looks once, 60 days after the second night. Told are

- **null**: contacts change nothing. ``works`` may come up in 5 % of the runs at most, ``harms`` as well; so may any
  action by Holm's verdict;
- **planted**: contacts bring purchases. The truth of a run is what the contacted left in the log less what they would
  have left had nobody been contacted, after cost. A 90 % interval is for customers like these: it shall cover the mean
  truth of all such shops in 85 to 95 % of the runs. The truth of the very customers seen it covers more often, where
  effects differ between them;
- **harmful**: contacts drive purchases away;
- **wrong on purpose**: the same null worlds, the contacted compared with everybody else in place of the hold-out;
- **the past**: how much the margin before the decision shortens the interval, and whether it moves the mean.

CPU minutes, on one core.
"""

import argparse
import datetime as dt
import math
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np

import retention as rt
from retention.histories import summarize
from retention.plan import Review
from retention.proof.arms import Arms, arms_of, margins
from retention.proof.intervals import compare
from retention.records import Touches
from retention.worlds import Shop, World

WINDOW = 60


class NoCare:
    """A policy that lets everything through, so that many contacts are made."""

    name = "no-care"

    def review(self, proposals: Any, situation: Any) -> Review:
        return Review.veto(np.zeros(len(proposals), dtype=bool), "")


@attrs.frozen(kw_only=True)
class Run:
    """One shop: proved by default; at 90 %, with the past and without; the truth; the wrong comparison."""

    verdict: Any
    proof: Any
    plain: Any
    truth: float
    wrong: tuple[float, float]


def live(shop: Shop, seed: int) -> Run:
    """Two nights, 60 days each, one look."""
    world = attrs.evolve(shop, seed=10_000 + seed).simulate()
    nights = [world.as_of - dt.timedelta(days=ago) for ago in (2 * WINDOW + 40, 2 * WINDOW + 10)]
    program = rt.Program(
        model="nbd", money=None, hours=None, holdout=0.3, salt=f"s{seed}", policies=(), plugins=(NoCare(),)
    )
    with rt.Journal(":memory:") as journal:
        now: World = world.until(nights[0])
        for night in nights:
            now = now.live(night)
            chosen = program.run(now.log, as_of=night, journal=journal).plan.contacts
            made = Touches.from_arrays(
                customer_id=chosen.customer_id, at=[night] * len(chosen), channel=chosen.channel, kind=chosen.kind
            )
            now = now.live(night, made)
        end = nights[-1] + dt.timedelta(days=WINDOW)
        now = now.live(end)
        verdict = rt.prove(journal, now.log, window_days=WINDOW)
        proof = rt.prove(journal, now.log, interval=0.90, window_days=WINDOW)
        plain = rt.prove(journal, now.log, interval=0.90, window_days=WINDOW, before_days=0)
        arms = arms_of(journal, until=end, window_days=WINDOW)
        alone = attrs.evolve(world.until(nights[0]), as_of=end)
        caused = margins(now.log, arms) - margins(alone.log, arms)
        truth = float(caused[arms.contacted].mean()) - proof.cost_contact
        return Run(
            verdict=verdict, proof=proof, plain=plain, truth=truth, wrong=everybody_else(world, now, arms, nights[0])
        )


def everybody_else(world: World, now: World, arms: Arms, night: dt.date) -> tuple[float, float]:
    """The interval of the contacted against all customers who were not contacted, seen from the first night on."""
    ids = summarize(world.until(night).log, as_of=night).customer_id
    contacted = np.isin(ids, arms.customer_id[arms.contacted])
    n = len(ids)
    everyone = attrs.evolve(
        arms.take(np.zeros(n, dtype=np.int64)),
        customer_id=ids,
        first=np.full(n, np.datetime64(night, "D")),
        close=np.full(n, np.datetime64(night + dt.timedelta(days=WINDOW), "D")),
    )
    told = compare(margins(now.log, everyone), contacted, np.zeros(n, dtype=np.int64))
    return told.low, told.high


def lives(shop: Shop, runs: int) -> Iterator[Run]:
    start = time.process_time()
    for seed in range(runs):
        yield live(shop, seed)
        if seed + 1 == runs:
            print(f"  ({(time.process_time() - start) / 60:.1f} CPU minutes)", flush=True)


def share(count: int, runs: int) -> str:
    return f"{count} of {runs} ({count / runs:.1%}, +- {math.sqrt(count / runs * (1 - count / runs) / runs):.1%})"


def tell(name: str, shop: Shop, runs: int) -> None:
    print(f"{name}: {shop.response}")
    done = list(lives(shop, runs))
    proofs = [run.proof for run in done]
    verdicts = [run.verdict for run in done]
    said = Counter(p.verdict for p in verdicts)
    arms = [(p.n_contact, p.n_holdout) for p in proofs]
    print(
        f"  arms: {np.mean(arms, axis=0).round(0)} customers on average; customers' margins explained by the past: "
        f"{np.mean([p.explained for p in proofs]):.1%}"
    )
    print("  verdicts:", ", ".join(f"{verdict} {share(count, runs)}" for verdict, count in said.most_common()))
    for verdict in ("works", "harms"):
        print(f"  any action {verdict}: {share(sum(verdict in p.by_action.verdict for p in verdicts), runs)}")
    for label, some in (("with the past", proofs), ("without", [run.plain for run in done])):
        bounded = [(p, run.truth) for p, run in zip(some, done, strict=True) if math.isfinite(p.low)]
        inside = sum(p.low <= truth <= p.high for p, truth in bounded)
        of_shops = float(np.mean([truth for _, truth in bounded]))
        of_all = sum(p.low <= of_shops <= p.high for p, _ in bounded)
        errors = np.asarray([p.value - truth for p, truth in bounded])
        lengths = np.asarray([p.high - p.low for p, _ in bounded])
        print(
            f"  {label}: covers its truth {share(inside, len(bounded))}, the mean truth of such shops "
            f"{share(of_all, len(bounded))}; mean error {errors.mean():+.3f} +- "
            f"{errors.std() / math.sqrt(len(errors)):.3f}; length {np.median(lengths):.2f}"
        )
    ratio = np.asarray(
        [(r.proof.high - r.proof.low) / (r.plain.high - r.plain.low) for r in done if math.isfinite(r.plain.low)]
    )
    moved = np.asarray([r.proof.value - r.plain.value for r in done])
    print(
        f"  the past: length x {np.median(ratio):.3f} (0.95 quantile {np.quantile(ratio, 0.95):.3f}); it moves the "
        f"mean by {moved.mean():+.3f} +- {moved.std() / math.sqrt(runs):.3f}"
    )
    low = sum(run.wrong[0] > 0 for run in done)
    print(f"  wrong on purpose, contacted against everybody else: 'works' {share(low, runs)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--customers", type=int, default=500)
    parser.add_argument("--only", choices=("null", "planted", "harmful"))
    given = parser.parse_args()
    kinds = ("give", "ask", "thank")
    shops = {
        "null": Shop.null(customers=given.customers),
        "planted": Shop.corner_shop(customers=given.customers, response=dict.fromkeys(kinds, 0.3)),
        "harmful": Shop.corner_shop(customers=given.customers, response=dict.fromkeys(kinds, -0.8)),
    }
    for name, shop in shops.items():
        if given.only in (None, name):
            tell(name, shop, given.runs)


if __name__ == "__main__":
    main()
