"""How fast customers are valued, as ratios within one process: `python benchmarks/bench_models.py [--largest 7]`.

The yardstick is one plain log-likelihood: the textbook formula, vectorised with numpy and scipy over raw rows, its
value alone, evaluated once. It moves with the machine, so ratios to it can be compared between machines and years; the
seconds cannot. Seconds are the least CPU time of a few runs. What is aimed at stands beside what was measured; targets
are for a million customers and, with `--largest 7`, for ten million. Where lifetimes can be imported, fits are compared
with its fits too, for as many customers as CDNOW has, a hundred thousand and a million.

A base remembers its merged cells, so that every question after the first is answered faster. Whole fits and posteriors
are therefore timed on a base that nobody has asked anything yet; "after merging" means one that remembers. A posterior
is aimed at after merging and without margins: the fit, the compression, a thousand draws.
"""

import argparse
import importlib.util
import math
import platform
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import attrs
import numpy as np
from customers import shoppers
from scipy.special import gammaln, hyp2f1, hyperu

from retention import value
from retention._kernels.purchases import merge
from retention.histories import Histories

POINTS = {"BGNBD": (0.25, 4.4, 0.8, 2.4), "MBGNBD": (0.52, 6.2, 0.89, 1.6), "ParetoNBD": (0.55, 10.6, 0.61, 11.7)}
HORIZON = 52.0
RATE = 0.10
DELTA = math.log1p(RATE) * 7 / 365
FORECASTS = "P(alive), 52 weeks, for ever; against"
FROM_CELLS = "all three forecasts from cells"
POSTERIOR = "posterior after merging"
CDNOW = 2_357
PEERS = {"BGNBD": "BetaGeoFitter", "MBGNBD": "ModifiedBetaGeoFitter", "ParetoNBD": "ParetoNBDFitter"}


class Target(NamedTuple):
    """What is aimed at: ``of`` says of what, ``limit`` how much, ``measured`` what it was."""

    of: str
    measured: float
    limit: float
    least: bool  # the limit is a floor, not a ceiling
    unit: str

    def __str__(self) -> str:
        holds = self.measured >= self.limit if self.least else self.measured <= self.limit
        sign = ">=" if self.least else "<="
        verdict = "holds" if holds else "MISSED"
        return f"  {self.of:<68} {self.measured:8.3g} {sign} {self.limit:<5g} {self.unit:<9} {verdict}"


def plain_bgnbd(params: tuple[float, ...], x: Any, t_x: Any, T: Any, m: int = 0) -> float:
    """The log-likelihood as the paper prints it; ``m = 1`` for the modified model."""
    r, alpha, a, b = params
    first = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    second = gammaln(a + b) + gammaln(b + x + m) - gammaln(b) - gammaln(a + b + x + m)
    alive = -(r + x) * np.log(alpha + T)
    gone = np.log(a) - np.log(b + np.maximum(x + m, 1) - 1) - (r + x) * np.log(alpha + t_x)
    return float(np.sum(first + second + np.logaddexp(alive, gone if m else np.where(x > 0, gone, -np.inf))))


def plain_pareto(params: tuple[float, ...], x: Any, t_x: Any, T: Any) -> float:
    """The log-likelihood with two Gauss hypergeometric functions a row (Fader and Hardie's derivations, alpha < beta
    and alpha >= beta)."""
    r, alpha, s, beta = params
    low, high = min(alpha, beta), max(alpha, beta)
    second = r + x if alpha < beta else s + 1
    total = r + s + x

    def piece(t: Any) -> Any:
        return hyp2f1(total, second, total + 1, (high - low) / (high + t)) / (high + t) ** total

    gone = s / total * (piece(t_x) - piece(T))
    constant = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    return float(np.sum(constant + np.log((alpha + T) ** -(r + x) * (beta + T) ** -s + gone)))


def plain_ahead_bgnbd(params: tuple[float, ...], x: Any, t_x: Any, T: Any) -> Any:
    """Expected purchases alone (equation 10 of the paper)."""
    r, alpha, a, b = params
    z = HORIZON / (alpha + T + HORIZON)
    chance = 1 - hyp2f1(r + x, b + x, a + b + x - 1, z) * ((alpha + T) / (alpha + T + HORIZON)) ** (r + x)
    odds = np.where(x > 0, a / (b + np.maximum(x, 1) - 1), 0.0) * ((alpha + T) / (alpha + t_x)) ** (r + x)
    return (a + b + x - 1) / (a - 1) * chance / (1 + odds)


def plain_ahead_pareto(params: tuple[float, ...], x: Any, t_x: Any, T: Any) -> Any:
    """The special functions of P(alive) and of the discounted residual transactions: hyp2f1 twice, hyperu once."""
    r, alpha, s, beta = params
    total, low, high = r + s + x, min(alpha, beta), max(alpha, beta)
    second = r + x if alpha < beta else s + 1
    both = hyp2f1(total, second, total + 1, (high - low) / (high + t_x))
    return both - hyp2f1(total, second, total + 1, (high - low) / (high + T)), hyperu(s, s, DELTA * (beta + T))


def least(work: Callable[..., object], times: int = 3, patience: float = 60.0, on: Histories | None = None) -> float:
    """Seconds of CPU of the quickest of a few runs; on a copy of a base that remembers nothing, if one is given."""
    spans: list[float] = []
    while len(spans) < times and sum(spans) < patience:
        given = () if on is None else (attrs.evolve(on),)
        start = time.process_time()
        work(*given)
        spans.append(time.process_time() - start)
    return min(spans)


def added_megabytes(work: Callable[[], object]) -> float:
    """Peak of what a piece of work allocates (numpy tells tracemalloc), in MB."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def base_of(n: int) -> tuple[Histories, Histories]:
    """Made-up customers with their spend, and without."""
    x, t_x, T, spend = shoppers(n)
    times: dict[str, Any] = {"frequency": x, "recency_days": t_x, "age_days": T}
    times["customer_id"] = np.arange(n).astype("U8")
    return Histories.from_arrays(**times, margin_mean=spend), Histories.from_arrays(**times)


def steps(name: str, base: Histories, spending: Histories, yard: float) -> dict[str, float]:
    """CPU seconds of each step of one model; printed as multiples of the yardstick."""
    recipe = getattr(value, name)()
    kernel, rows = recipe.kernel(), recipe.rows(base)
    cells = recipe.cells(base)
    weeks = cells.scaled(7.0)
    fitted, full = recipe.fit_purchases(base), recipe.fit(spending)

    def one_pass() -> Any:
        alive, (soon, ever) = kernel.outlook(POINTS[name], weeks, [(HORIZON, 0.0), (math.inf, DELTA)])
        return alive.take(cells.which), soon.take(cells.which), ever.take(cells.which)

    spent = {
        "merge": least(lambda: merge(rows, which=False)),
        "merge, and who is where": least(lambda: merge(rows)),
        "value, gradient, Hessian": least(lambda: kernel.total(POINTS[name], weeks), 10),
        "value": least(lambda: kernel.values(np.array([POINTS[name]] * 4), weeks)) / 4,
        "log rates": least(lambda: fitted.log_rate(base)),
        "fit": least(recipe.fit_purchases, on=base),
        "fit after merging": least(lambda: recipe.fit_purchases(base)),
        "p_alive()": least(lambda: fitted.p_alive(base)),
        "expected_purchases()": least(lambda: fitted.expected_purchases(base, 7 * HORIZON)),
        FROM_CELLS: least(one_pass, 10),
        "fit with margins": least(lambda: recipe.fit(spending), 1),
        "value()": least(lambda: full.value(spending, horizon_days=365, discount_rate=RATE), 1),
        "posterior with merging and margins": least(lambda fresh: recipe.posterior(fresh, draws=1000, seed=1), on=base),
        POSTERIOR: least(lambda: recipe.posterior(base, draws=1000, seed=1, margins=False)),
    }
    told = ", ".join(f"{step} {span / yard:.2f}" for step, span in spent.items())
    print(f"{name} ({len(cells.weight):,} cells): {told}")
    return spent


def targets(spending: Histories, base: Histories) -> Iterator[Target]:
    """Measure and print every step; what is aimed at comes back, for bases of a million and more."""
    n = len(base)
    ten = n >= 10_000_000
    raw = base.frequency.astype(float), base.recency_days / 7, base.age_days / 7
    plain = {
        "BGNBD": least(lambda: plain_bgnbd(POINTS["BGNBD"], *raw)),
        "MBGNBD": least(lambda: plain_bgnbd(POINTS["MBGNBD"], *raw, m=1)),
    }
    print(f"\n{n:,} customers; one plain log-likelihood: {1e3 * plain['BGNBD']:,.1f} ms; steps as multiples of it")
    for name, yard in plain.items():
        spent = steps(name, base, spending, yard)
        fit = spent["fit after merging"] / yard
        yield Target(f"{name}: fit, after merging and without margins", fit, 0.5 if ten else 1.3, False, "plain")
        draws = f"{name}: posterior of 1,000 draws, after merging and without margins"
        yield Target(draws, spent[POSTERIOR] / yard, 1.5 if ten else 10.0, False, "plain")
        if not ten:
            yield Target(draws, spent[POSTERIOR], 2.0, False, "s")
        if name == "BGNBD":
            slow = least(lambda: plain_ahead_bgnbd(POINTS["BGNBD"], *raw))
            yield Target(f"{name}: {FORECASTS} 52 weeks by hyp2f1", slow / spent[FROM_CELLS], 10.0, True, "times")
    slow = least(lambda: plain_pareto(POINTS["ParetoNBD"], *raw))
    spent = steps("ParetoNBD", base, spending, plain["BGNBD"])
    ratio = slow / spent["value, gradient, Hessian"]
    yield Target("ParetoNBD: value, gradient, Hessian; against a value by hyp2f1", ratio, 12.0, True, "times")
    draws = spent[POSTERIOR] / slow
    yield Target(
        "ParetoNBD: the same posterior, against a value by hyp2f1", draws, 1.5 if ten else 10.0, False, "plain"
    )
    slow = least(lambda: plain_ahead_pareto(POINTS["ParetoNBD"], *raw), 1)
    yield Target(f"ParetoNBD: {FORECASTS} hyp2f1, hyperu", slow / spent[FROM_CELLS], 10.0, True, "times")
    recipe = value.BGNBD()
    fresh = attrs.evolve(base)
    merging = added_megabytes(lambda: recipe.cells(fresh, which=False)) * 1e7 / n
    yield Target("memory added by merging, per ten million customers", merging, 400.0, False, "MB")
    fresh = attrs.evolve(base)
    fitting = added_megabytes(lambda: recipe.fit_purchases(fresh)) * 1e7 / n
    yield Target("memory added by a fit and kept cells, per ten million customers", fitting, 400.0, False, "MB")


def against_lifetimes(n: int, base: Histories) -> Iterator[Target]:
    """Whole fits (merging included, no margins) of both packages in turn; Pareto/NBD at 100,000 only, which takes
    lifetimes a minute."""
    import lifetimes

    raw = base.frequency.astype(float), base.recency_days / 7, base.age_days / 7
    for name in [*list(PEERS)[:2], *(["ParetoNBD"] if n == 100_000 else [])]:
        recipe, peer = getattr(value, name)(), getattr(lifetimes, PEERS[name])
        ours, theirs = [], []
        for _ in range(3 if n < 1_000_000 else 1):
            theirs.append(least(lambda peer=peer: peer().fit(*raw), 1))
            ours.append(least(recipe.fit_purchases, 20 if n < 10_000 else 3, on=base))
            if theirs[-1] > 20:
                break
        limit = 60.0 if name == "ParetoNBD" else 25.0 if n == CDNOW else 50.0
        yield Target(f"{name}: whole fit of {n:,}, against lifetimes", min(theirs) / min(ours), limit, True, "times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=6, help="the largest power of ten of customers")
    parser.add_argument("--smallest", type=int, default=5, help="the smallest")
    asked = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    peer = importlib.util.find_spec("lifetimes") is not None
    for n in [*([CDNOW] if peer else []), *(10**power for power in range(asked.smallest, asked.largest + 1))]:
        spending, base = base_of(n)
        found = list(targets(spending, base)) if n > CDNOW else []
        for target in [*(found if n >= 1_000_000 else []), *(against_lifetimes(n, base) if peer and n < 10**7 else [])]:
            print(target)


if __name__ == "__main__":
    main()
