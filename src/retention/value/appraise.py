"""What each customer is worth, in one call."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import evolve

from retention.errors import ConfigError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.accounts.costs import ServingCosts
from retention.value.accounts.net import net_of_orders, net_value
from retention.value.asked import holds
from retention.value.purchases.posterior import Posterior
from retention.value.valuation import FittedValueModel, Valuation, ValueModel

__all__ = ["appraise"]

_NEAR = 30.0  # days: times are told apart by their difference below it, by their ratio above


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
    futures, a fixed seed), which takes some ten times as long; ``value`` is the same either way. Customers alike have
    the same bounds, and whoever else is valued does not change them.

    *Net of what she costs.* With ``costs`` the result is a ``NetValue``: rewards, points, contacts and the cost to
    serve come off value and bounds, as ``net_value`` says, with the days that the model expects her to be a customer;
    returns are in the margins already. Bounds are those of the model with margins less by ``per_order``: near
    break-even what is left may be a loss, and varies nearly as the margin does. ``contacts_a_year`` by channel,
    ``revenue_per_margin`` (needed for a reward rate; a ``NetStatement`` knows it) and ``points`` (outstanding, by
    customer id) go with ``costs``.

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
    _check(
        "histories",
        histories,
        lambda: isinstance(histories, Histories),
        "a base",
        "summarize a log first; of a scan, histories.collect()",
    )
    _check("horizon_days", horizon_days, lambda: 0 < horizon_days < math.inf, "a positive number of days", "365")
    _check("discount_rate", discount_rate, lambda: 0 <= discount_rate < math.inf, "a yearly rate >= 0", "0.10 is 10 %")
    _check("interval", interval, lambda: 0 < interval < 1, "a share between 0 and 1", "0.90 is 90 %")
    _check("chance", chance, lambda: isinstance(chance, bool | np.bool_), "True or False", "leave it out for True")
    if costs is not None:
        _check("costs", costs, lambda: isinstance(costs, ServingCosts), "ServingCosts", "ServingCosts(per_order=...)")
    if contacts_a_year is not None:
        _check(
            "contacts_a_year", contacts_a_year, lambda: _counted(contacts_a_year), "numbers by channel", '{"post": 2}'
        )
    if (ratio := revenue_per_margin) is not None:
        _check("revenue_per_margin", ratio, lambda: 0 < ratio < math.inf, "a positive number", "see net_statement")
    if points is not None:
        _check("points", points, lambda: isinstance(points, Mapping), "numbers by customer id", "pass a dict")
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
            rule="a value model has fit, a fitted one p_alive, expected_purchases, value, to_dict and from_dict",
            remedy="pass retention.value.BGNBD() or a fitted model",
        )
    asked = {"horizon_days": horizon_days, "discount_rate": discount_rate, "interval": interval}
    worth = model.value(histories, **asked)
    if not chance:
        worth = _expected(worth, model, histories, asked)
    if costs is None:
        return worth
    less, rest = net_of_orders(model, costs, revenue_per_margin), None
    if less is not None:
        rest = less.value(histories, **asked)
        rest = rest if chance else _expected(rest, less, histories, asked)
    days = _alive_days(model, histories, horizon_days, discount_rate) if costs.per_day else None
    return net_value(
        worth,
        costs,
        contacts_a_year=contacts_a_year,
        revenue_per_margin=revenue_per_margin,
        points=points,
        alive_days=days,
        after_orders=rest,
    )


def _check(name: str, given: Any, rule: Callable[[], bool], is_a: str, remedy: str) -> None:
    """One clear error unless the rule holds; of what may hold customers it shows the type alone."""
    if not holds(rule):
        plain = given is None or isinstance(given, str | int | float)
        raise ConfigError(
            f"{name}={given!r}" if plain else f"{name} of type {type(given).__name__}",
            rule=f"{name} is {is_a}",
            remedy=remedy,
        )


def _counted(year: Any) -> bool:
    if not isinstance(year, Mapping):
        return False
    return all(isinstance(channel, str) and 0 <= number < math.inf for channel, number in year.items())


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
    """Expected discounted days as a customer within the horizon, if the model knows her survival.

    The integral of survival times discount, in the log of the time, which shows the first days and the last years
    alike, on panels that are halved until they are right for everybody. A model of whole periods has steps for a
    survival, and is summed over the periods.
    """
    from scipy.integrate import quad_vec

    fitted = getattr(model, "fitted", model)
    survival = getattr(fitted, "survival", None)
    if survival is None or not len(histories):
        return None if survival is None else np.zeros(0)
    delta = math.log1p(rate) / 365.0
    end = min(horizon, 45.0 / delta) if delta > 0 else horizon  # what comes later has no digit today
    now = survival(histories, 0.0)
    if hasattr(fitted, "recipe") and fitted.recipe.kernel().discrete:
        return _days_of_periods(fitted, histories, end, delta)
    if not np.any(now > 0):
        return np.zeros(len(histories))
    scale = np.where(now > 0, now, 1.0)

    def lived(u: float) -> FloatColumn:
        days = _NEAR * math.expm1(u)
        there = np.asarray(survival(histories, min(days, end))) / scale
        return there * (math.exp(-delta * days) * (days + _NEAR))

    found, _ = quad_vec(lived, 0.0, math.log1p(end / _NEAR), epsabs=0.0, epsrel=1e-9, norm="max", quadrature="gk15")
    return np.asarray(found * now)


def _days_of_periods(fitted: Any, histories: Histories, end: float, delta: float) -> FloatColumn:
    """The days of each period that is begun, by who is there when it begins; until next to nobody is."""
    unit = fitted.time_unit_days
    total, k = np.zeros(len(histories)), 0
    while k * unit < end:
        start, stop = k * unit, min((k + 1) * unit, end)
        days = math.exp(-delta * start) * -math.expm1(-delta * (stop - start)) / delta if delta > 0 else stop - start
        there = fitted.survival(histories, start)
        total += days * there
        if float(np.max(there * (end - stop) - 1e-9 * total)) <= 0:
            break
        k += 1
    return total
