"""Nights to make pages of: real stages on small made-up receipts, with a plain stand-in for the value model."""

import datetime as dt
from types import SimpleNamespace

import numpy as np

from retention.histories import summarize
from retention.lenses import audit
from retention.plan.budget import Budget
from retention.plan.make import make_plan
from retention.records.transactions import TransactionLog
from retention.tiers import MarginBands
from retention.timing import anticipate, leak
from retention.value.valuation import Valuation

DAY = dt.date(2011, 12, 31)


def receipts(customers=60, *, seed=5, names=str, category=None, currency="GBP", margin=0.35):
    """Three years of a small shop: each customer with her own gap, some of them gone."""
    rng = np.random.default_rng(seed)
    who, at, revenue, categories = [], [], [], []
    start = np.datetime64("2009-01-01")
    for i in range(customers):
        gap, size = rng.uniform(10, 120), rng.lognormal(3.0, 0.8)
        end = rng.uniform(200, 1095) if i % 3 else 1095
        when = rng.uniform(0, 300)
        while when < end:
            who.append(names(i))
            at.append(start + np.timedelta64(int(when), "D"))
            revenue.append(round(float(size * rng.uniform(0.6, 1.4)) * (-0.3 if rng.random() < 0.03 else 1.0), 2))
            categories.append(None if category is None else category(i))
            when += gap * rng.gamma(6, 1 / 6)
    return TransactionLog.from_arrays(
        customer_id=who,
        at=at,
        revenue=revenue,
        margin=margin,
        category=None if category is None else categories,
        currency=currency,
    )


def worth_of(base, when):
    """What she brings a day times the chance that she comes: no model, but a valuation."""
    expected = when.margin_per_day * when.p_alive * 365.0
    return Valuation(
        customer_id=base.customer_id,
        p_alive=when.p_alive,
        expected_purchases=when.p_alive * 3.0,
        margin_mean=base.margin_mean,
        expected_margin=expected,
        value=expected * 0.95,
        value_low=expected * 0.3,
        value_high=expected * 2.0,
        model="stand-in",
        horizon_days=365.0,
        discount_rate=0.10,
        interval=0.90,
        currency=base.currency,
        provenance=base.provenance,
    )


def night(log=None, *, as_of=DAY, rule=None, touches=None, money=20.0, hours=3.0, **plan):
    """One night of a log, as a program would make it."""
    log = receipts() if log is None else log
    base = summarize(log, as_of=as_of)
    when = anticipate(base)
    worth = worth_of(base, when)
    tiers = (rule or MarginBands()).assign(base, worth)
    budget = Budget(money=money, hours=hours)
    return SimpleNamespace(
        as_of=as_of,
        log=log,
        base=base,
        audit=audit(log, as_of=as_of, touches=touches),
        worth=worth,
        when=when,
        tiers=tiers,
        plan=make_plan(base, worth, when, tiers, budget=budget, touches=touches, **plan),
        leak=leak(when, as_of=as_of, touches=touches),
    )
