"""What each customer is worth, in one call."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import evolve

from retention.errors import ConfigError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.accounts.costs import ServingCosts
from retention.value.accounts.net import net_value
from retention.value.purchases.posterior import Posterior
from retention.value.valuation import FittedValueModel, Valuation, ValueModel

__all__ = ["appraise"]


def appraise(
    histories: Histories,
    model: ValueModel | FittedValueModel | Posterior,
    *,
    horizon_days: float = 365.0,
    discount_rate: float = 0.10,
    interval: float = 0.90,
    chance: bool = True,
    costs: ServingCosts | None = None,
    contacts_a_year: Mapping[str, float] | None = None,
    revenue_per_margin: float | None = None,
    points: Mapping[str, Any] | None = None,
) -> Valuation:
    """Value every customer of a base within a horizon.

    ``model`` is a recipe, which is fitted to this very base, a model that has its parameters already, or a posterior.
    ``horizon_days`` is positive, ``discount_rate`` per year, ``interval`` the probability that the bounds hold.

    *What the bounds hold.* With ``chance`` what she will really bring: what is not known about the parameters, about
    her own rate and lifetime, and what chance does to her future purchases. Without ``chance`` the last is left out:
    what she can be *expected* to bring, for decisions that are made for many like her. They are simulated then (400
    futures, a fixed seed), which takes some ten times as long; ``value`` is the same either way.

    *Net of what she costs.* With ``costs`` the result is a ``NetValue``: rewards, points, contacts and the cost to
    serve come off value and bounds, as ``net_value`` says, with the days that the model expects her to be a customer;
    returns are in the margins already. ``contacts_a_year`` by channel, ``revenue_per_margin`` (needed for a reward
    rate; a ``NetStatement`` knows it) and ``points`` (outstanding, by customer id) go with ``costs``.

    Raises ConfigError for arguments out of range, and for ``chance=False`` where the model cannot simulate.

    Example:
        >>> from retention.value import BGNBD
        >>> base = Histories.from_arrays(
        ...     frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272], margin_mean=[22.35, 0])
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
        >>> worth = appraise(base, model, horizon_days=273)
        >>> worth.expected_purchases.round(2).tolist()
        [1.23, 0.2]
        >>> net = appraise(base, model, horizon_days=273, costs=ServingCosts(per_order="2.50", per_day="0.01"))
        >>> (worth.value - net.value).round(2).tolist()
        [4.65, 3.04]
    """
    rules = (
        ("horizon_days", horizon_days, 0 < horizon_days < math.inf, "a positive number of days", "365 means a year"),
        ("discount_rate", discount_rate, 0 <= discount_rate < math.inf, "a yearly rate >= 0", "0.10 means 10 % a year"),
        ("interval", interval, 0 < interval < 1, "a share between 0 and 1", "0.90 means 90 %"),
    )
    for name, given, good, rule, remedy in rules:
        if not good:
            raise ConfigError(f"{name}={given!r}", rule=rule, remedy=remedy)
    planned = {"contacts_a_year": contacts_a_year, "revenue_per_margin": revenue_per_margin, "points": points}
    idle = [name for name, value in planned.items() if value is not None]
    if costs is None and idle:
        raise ConfigError(
            f"{', '.join(idle)} without costs",
            rule="they say how often costs arise",
            remedy="pass costs=ServingCosts(...)",
        )
    if isinstance(model, ValueModel):
        model = model.fit(histories)
    if not isinstance(model, FittedValueModel | Posterior):
        raise ConfigError(
            f"model of type {type(model).__name__}",
            rule="a value model has fit and at, a fitted one p_alive, expected_purchases and value",
            remedy="pass retention.value.BGNBD() or a fitted model",
        )
    asked = {"horizon_days": horizon_days, "discount_rate": discount_rate, "interval": interval}
    worth = model.value(histories, **asked)
    if not chance:
        worth = _expected(worth, model, histories, asked)
    if costs is None:
        return worth
    days = _alive_days(model, histories, horizon_days, discount_rate) if costs.per_day else None
    return net_value(
        worth,
        costs,
        contacts_a_year=contacts_a_year,
        revenue_per_margin=revenue_per_margin,
        points=points,
        alive_days=days,
    )


def _expected(worth: Valuation, model: Any, histories: Histories, asked: Mapping[str, float]) -> Valuation:
    """The valuation with bounds of what can be expected, in place of what will be seen."""
    rule = getattr(model, "predict", None)
    if rule is None:
        raise ConfigError(
            f"chance=False with {worth.model}",
            rule="bounds without chance are simulated",
            remedy="leave chance out, or take a purchase model that can predict(...)",
        )
    told = rule(histories, **asked, chance=False)
    return evolve(
        worth, value_low=told.value_low, value_high=told.value_high, value_sd=None, total_bounds=None, chance=False
    )


def _alive_days(model: Any, histories: Histories, horizon: float, rate: float) -> FloatColumn | None:
    """Expected discounted days as a customer within the horizon: Gauss-Legendre over her survival, if it is known."""
    survival = getattr(getattr(model, "fitted", model), "survival", None)
    if survival is None:
        return None
    at, weight = np.polynomial.legendre.leggauss(16)
    days, weight = horizon * (1 + at) / 2, horizon * weight / 2
    discounted = weight * np.exp(-math.log1p(rate) / 365.0 * days)
    return np.asarray(sum(w * survival(histories, float(t)) for w, t in zip(discounted, days, strict=True)))
