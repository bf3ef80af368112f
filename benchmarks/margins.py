"""Which margin model foretells best, on two real shops and in two made ones with returns? Fitted on a first part,
judged on what each customer's later purchase days brought.

    python benchmarks/margins.py FOLDER

FOLDER holds cdnow/cdnow_master.csv.gz and online_retail_2010_2011/online_retail.parquet (public data).
Bias is of the sum over all who came again, and over those of them who had come once; CRPS of the mean of each one's
later days, drawn from the model's own law.
"""

import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import psi

import retention as rt
from retention.histories import Histories
from retention.value import BGNBD, AutoMargin, Credibility, GammaGamma, MarginModel

RECIPES: dict[str, MarginModel] = {
    "gamma-gamma": GammaGamma(),
    "... by days": GammaGamma(by_days=True),
    "... with the first day": GammaGamma(first=True),
    "... with it, by days": GammaGamma(first=True, by_days=True),
    "credibility": Credibility(),
    "... first day too": Credibility(first=True),
    "... first, by rate": Credibility(first=True, by_rate=True),
    "auto": AutoMargin(),
    "auto, first day too": AutoMargin(first=True),
}


class Shop(NamedTuple):
    """A base, what a purchase model says of log-rates, and the number and the sum of later purchase days."""

    base: Histories
    log_rate: Any
    days: Any
    money: Any


def real(log: Any, then: str, later: str) -> Shop:
    base, after = (rt.summarize(log, as_of=day, habits=False) for day in (then, later))
    known = np.isin(after.customer_id, base.customer_id)
    return Shop(
        base,
        BGNBD().fit(base).log_rate(base),
        after.frequency[known] - base.frequency,
        after.margin[known] - base.margin,
    )


def made(n: int, seed: int, *, skewed: bool) -> Shop:
    """Log-normal baskets with returns on 6 % of days that some customers make more of than others, and margins that go
    with rates; or gamma-gamma baskets with refunds of half a basket on 3 % of days."""
    rng = np.random.default_rng(seed)
    common, weeks = rng.normal(size=n), rng.uniform(20, 100, n)
    x, later = rng.poisson(0.03 * np.exp(0.9 * common) * weeks), rng.poisson(0.03 * np.exp(0.9 * common) * 52)
    who = np.repeat(np.arange(n), x + 1 + later)
    place = np.arange(len(who)) - np.repeat(np.cumsum(x + 1 + later) - (x + 1 + later), x + 1 + later)
    if skewed:
        own = np.exp(2.9 + 0.5 * (0.3 * common + np.sqrt(0.91) * rng.normal(size=n)))
        sold, loss = own[who] * np.exp(0.6 * rng.normal(size=len(who))), -25 * rng.gamma(4, 0.25, len(who))
        share = rng.beta(0.6, 9.4, n)
    else:
        scale = 1 / rng.gamma(3.74, 1 / 15.44, n)[who]
        sold, loss = rng.gamma(6.25, 1, len(who)) * scale, -0.5 * rng.gamma(6.25, 1, len(who)) * scale
        share = np.full(n, 0.03)
    day = np.where(rng.random(len(who)) < share[who], loss, sold)
    past, repeat = place <= x[who], (place > 0) & (place <= x[who])
    base = Histories.from_arrays(
        frequency=x,
        recency_days=np.where(x > 0, weeks * 6, 0),
        age_days=weeks * 7,
        margin=np.bincount(who, day * past, n),
        margin_mean=np.bincount(who, day * repeat, n) / np.maximum(x, 1),
        margin_squares=np.bincount(who, day**2 * repeat, n),
    )
    shape = 1 / np.expm1(0.81)
    log_rate = psi(shape + x) - np.log(shape / (0.03 * np.exp(0.405)) + weeks)
    return Shop(base, log_rate, later, np.bincount(who, day * ~past, n))


def judged(recipe: MarginModel, shop: Shop, draws: int = 200) -> dict[str, Any]:
    began = time.perf_counter()
    fitted = recipe.fit(shop.base, shop.log_rate)
    seconds = time.perf_counter() - began
    held = shop.days > 0
    base, rates, days = shop.base[held], shop.log_rate[held], shop.days[held]
    truth, once = shop.money[held] / days, base.frequency == 0
    rng = np.random.default_rng(1)
    own = fitted.draw_means(base, draws, rng, rates)
    drawn = np.sort(fitted.draw_sums(own, np.broadcast_to(days, own.shape), rng) / days, axis=0)
    apart = np.einsum("m,mn->n", 2 * np.arange(1, draws + 1) - draws - 1, drawn) / draws**2
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    told = fitted.margin_mean(base, rates)
    return {
        "model": fitted.name,
        "bias": float(np.sum(days * told) / np.sum(days * truth) - 1),
        "once": float(np.sum((days * told)[once]) / np.sum((days * truth)[once]) - 1),
        "rms": float(np.sqrt(np.mean((told - truth) ** 2))),
        "crps": float(np.mean(np.abs(drawn - truth).mean(axis=0) - apart)),
        "held": float(np.mean((truth >= low) & (truth <= high))),
        "seconds": seconds,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    music = rt.read_transactions(
        folder / "cdnow/cdnow_master.csv.gz", customer="customer_id", at="date", revenue="sales", margin=1.0
    )
    gifts = rt.read_transactions(
        folder / "online_retail_2010_2011/online_retail.parquet", customer="CustomerID", at="InvoiceDate",
        quantity="Quantity", unit_price="UnitPrice", order="InvoiceNo", item="StockCode", currency="GBP", margin=1.0,
    )  # fmt: skip
    shops = {
        "CDNOW": real(music, "1997-09-30", "1998-06-30"),
        "a wholesaler of gifts": real(gifts, "2011-06-30", "2011-12-09"),
    }
    for seed in (1, 2):
        shops[f"returns, log-normal baskets, world {seed}"] = made(4_000, seed, skewed=True)
        shops[f"refunds, gamma baskets, world {seed}"] = made(4_000, seed, skewed=False)
    for name, shop in shops.items():
        print(f"{name}: {len(shop.base):,} customers, {np.sum(shop.days > 0):,} came again")
        for label, recipe in RECIPES.items():
            row = judged(recipe, shop)
            print(
                f"  {label:22} {row['model']:12} bias {row['bias']:+6.1%}  of once {row['once']:+6.1%}  "
                f"error {row['rms']:7.2f}  CRPS {row['crps']:7.2f}  90 % hold {row['held']:.0%}  "
                f"{row['seconds'] * 1e3:5.0f} ms"
            )


if __name__ == "__main__":
    main()
