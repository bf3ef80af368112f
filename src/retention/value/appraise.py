"""What each customer is worth, in one call."""

import math

from retention.errors import ConfigError
from retention.histories import Histories
from retention.value.valuation import FittedValueModel, Valuation, ValueModel

__all__ = ["appraise"]


def appraise(
    histories: Histories,
    model: ValueModel | FittedValueModel,
    *,
    horizon_days: float = 365.0,
    discount_rate: float = 0.10,
    interval: float = 0.90,
) -> Valuation:
    """Value every customer of a base within a horizon.

    ``model`` is a recipe, which is fitted to this very base, or a model that has its parameters already.
    ``horizon_days`` is positive, ``discount_rate`` per year, ``interval`` the probability that the bounds hold.
    Raises ConfigError for arguments out of range.

    Example:
        >>> from retention.value import BGNBD
        >>> base = Histories.from_arrays(
        ...     frequency=[2, 0], recency_days=[213, 0], age_days=[272, 272], margin_mean=[22.35, 0])
        >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
        >>> worth = appraise(base, model, horizon_days=273)
        >>> worth.expected_purchases.round(2).tolist()
        [1.23, 0.2]
    """
    rules = (
        ("horizon_days", horizon_days, 0 < horizon_days < math.inf, "a positive number of days", "365 means a year"),
        ("discount_rate", discount_rate, 0 <= discount_rate < math.inf, "a yearly rate >= 0", "0.10 means 10 % a year"),
        ("interval", interval, 0 < interval < 1, "a share between 0 and 1", "0.90 means 90 %"),
    )
    for name, given, good, rule, remedy in rules:
        if not good:
            raise ConfigError(f"{name}={given!r}", rule=rule, remedy=remedy)
    if isinstance(model, ValueModel):
        model = model.fit(histories)
    if not isinstance(model, FittedValueModel):
        raise ConfigError(
            f"model of type {type(model).__name__}",
            rule="a value model has fit and at, a fitted one p_alive, expected_purchases and value",
            remedy="pass retention.value.BGNBD() or a fitted model",
        )
    return model.value(histories, horizon_days=horizon_days, discount_rate=discount_rate, interval=interval)
