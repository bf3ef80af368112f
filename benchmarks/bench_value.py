"""How long valuing takes, as ratios within one run: `python benchmarks/bench_value.py [largest power of ten]`.

The yardstick is one plain log-likelihood: the textbook formula, vectorised over raw rows, evaluated once. It moves
with the machine, so the ratios to it can be compared between machines and years; the seconds cannot.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from retention._kernels import bgnbd
from retention.histories import Histories
from retention.value import BGNBD


def base_of(n: int) -> Histories:
    """Simulated customers of two years, in whole days."""
    rng = np.random.default_rng(1)
    age = rng.integers(1, 731, n).astype(float)
    rate, leaves = rng.gamma(0.25, 1 / 4.4, n) / 7, rng.beta(0.8, 2.4, n)
    x, last, clock, going = np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(n), np.arange(n)
    while len(going):
        clock[going] = np.ceil(clock[going] + rng.exponential(1 / rate[going]))
        going = going[clock[going] <= age[going]]
        x[going] += 1
        last[going] = clock[going]
        going = going[rng.random(len(going)) > leaves[going]]
    spend = np.where(x > 0, rng.gamma(6.25 * np.maximum(x, 1), 1 / rng.gamma(3.74, 1 / 15.44, n)) / np.maximum(x, 1), 0)
    return Histories.from_arrays(frequency=x, recency_days=last, age_days=age, margin_mean=spend)


def plain(x: np.ndarray, t_x: np.ndarray, T: np.ndarray, r: float, alpha: float, a: float, b: float) -> float:
    """The log-likelihood as the paper prints it."""
    first = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    second = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    alive = -(r + x) * np.log(alpha + T)
    gone = np.where(x > 0, np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + t_x), -np.inf)
    return float(np.sum(first + second + np.logaddexp(alive, gone)))


def best(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of CPU of the quickest of a few runs."""
    spans = []
    for _ in range(times):
        start = time.process_time()
        work()
        spans.append(time.process_time() - start)
    return min(spans)


def main() -> None:
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    print(
        f"{'customers':>10} {'plain ll':>10} {'merge':>7} {'value+grad':>10} {'fit':>7} {'forecast':>9} {'value()':>8}"
    )
    for power in range(3, largest + 1):
        base = base_of(10**power)
        x = base.frequency.astype(float)
        t_x, T = base.recency_days / 7, base.age_days / 7
        params = bgnbd.Params(0.25, 4.4, 0.8, 2.4)
        cells = bgnbd.merge(x, base.recency_days, base.age_days)
        weeks = cells._replace(t_x=cells.t_x / 7, T=cells.T / 7)
        yard = best(lambda: plain(x, t_x, T, *params))  # noqa: B023
        fitted = BGNBD().fit(base)
        spans = [
            best(lambda: bgnbd.merge(x, base.recency_days, base.age_days)),  # noqa: B023
            best(lambda: bgnbd.total(params, weeks)),  # noqa: B023
            best(lambda: BGNBD().fit(base)),  # noqa: B023
            best(lambda: fitted.expected_purchases(base, 365)),  # noqa: B023
            best(lambda: fitted.value(base, horizon_days=365, discount_rate=0.1), 1),  # noqa: B023
        ]
        ratios = "".join(f"{span / yard:>{width}.2f}" for span, width in zip(spans, (8, 11, 8, 10, 9), strict=True))
        print(f"{10**power:>10,} {yard * 1e3:>8.2f}ms{ratios}", flush=True)
        try:
            from lifetimes import BetaGeoFitter
        except ImportError:
            continue
        peer = best(lambda: BetaGeoFitter().fit(x, t_x, T), 1)  # noqa: B023
        print(f"{'':>10} lifetimes fit {peer / yard:.1f}, {peer / spans[2]:.1f} times our fit of both models")


if __name__ == "__main__":
    main()
