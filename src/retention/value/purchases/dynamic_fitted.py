"""Pareto/NBD with time-varying covariates, with parameters: what it says of each customer of a log on a day."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import fields, frozen
from numpy.typing import NDArray

from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn
from retention.records.transactions import TransactionLog
from retention.value.asked import checked_count, checked_days, holds
from retention.value.estimate import Estimate, positive_parameters
from retention.value.margins.named import margin_from_dict
from retention.value.purchases.calendar import Calendar
from retention.value.purchases.lives import Lives
from retention.value.purchases.with_margin import FittedWithMargin
from retention.value.stored import check_doubt, reading
from retention.value.valuation import Valuation

if TYPE_CHECKING:
    from retention._kernels.purchases import Forecast
    from retention.value.purchases.dynamic import DynamicParetoNBD

__all__ = ["FittedDynamicParetoNBD"]

FORMAT = 2
"""Of what ``to_dict`` writes; a file of another format is refused."""


@frozen(kw_only=True)
class FittedDynamicParetoNBD(FittedWithMargin):
    """Pareto/NBD with time-varying covariates, with parameters, and a fitted margin model if there is one.

    Answers are in the order of the customers of ``summarize(log, as_of=as_of)``, which is that of their ids.
    """

    recipe: "DynamicParetoNBD"

    @property
    def params(self) -> Mapping[str, float]:
        """Parameters (times in the recipe's unit), coefficients (per unit of the covariate), and the margin model's."""
        own = dict(zip(self.recipe.names, (*self.purchase_params, *self.coefficients), strict=True))
        return own if self.margin is None else {**own, **self.margin.params}

    def log_likelihoods(self, log: TransactionLog, calendar: Calendar, *, as_of: str | dt.date) -> FloatColumn:
        """Each customer's log-likelihood of her purchases, in the model's time unit."""
        from retention._kernels.paretonbd_dynamic import log_likelihoods

        lives = Lives.of(self.recipe, log, calendar, as_of)
        return log_likelihoods(*self._at(lives), lives.stretches(self.recipe.time_unit_days))

    def p_alive(self, log: TransactionLog, calendar: Calendar, *, as_of: str | dt.date) -> FloatColumn:
        """Probability of still being a customer on the as-of date."""
        return self._p_alive(Lives.of(self.recipe, log, calendar, as_of))

    def log_rate(self, log: TransactionLog, calendar: Calendar, *, as_of: str | dt.date) -> FloatColumn:
        """What the model expects of the log of each customer's purchase rate (per time unit) while she is one, in weeks
        in which all covariates are 0."""
        return self._log_rate(Lives.of(self.recipe, log, calendar, as_of))

    def expected_purchases(
        self,
        log: TransactionLog,
        calendar: Calendar,
        days: float,
        *,
        as_of: str | dt.date,
        discount_rate: float = 0.0,
    ) -> FloatColumn:
        """Expected purchase days in the next ``days``, given the covariates that the calendar has for them.

        With a ``discount_rate`` (per year) each is counted at its worth on the as-of date. Raises ModelError where the
        calendar ends before the horizon does: what is to come is said, or assumed in so many words, by the caller.
        """
        horizon, delta = checked_days(days), _per_day(discount_rate)
        lives = Lives.of(self.recipe, log, calendar, as_of, ahead=horizon)
        return self._forecast(lives, horizon, delta).mean

    def p_purchase(self, log: TransactionLog, calendar: Calendar, days: float, *, as_of: str | dt.date) -> FloatColumn:
        """Probability of at least one purchase day in the next ``days``, which the calendar must know."""
        horizon = checked_days(days)
        return self._forecast(Lives.of(self.recipe, log, calendar, as_of, ahead=horizon), horizon, 0.0).any

    def purchase_probabilities(
        self, log: TransactionLog, calendar: Calendar, days: float, most: int, *, as_of: str | dt.date
    ) -> FloatColumn:
        """P(exactly 0, 1 .. ``most`` purchase days in the next ``days``), which the calendar must know; a row a
        customer."""
        most, horizon = checked_count(most, "most"), checked_days(days)
        return self._counts(Lives.of(self.recipe, log, calendar, as_of, ahead=horizon), horizon, most)

    def value(
        self,
        log: TransactionLog,
        calendar: Calendar,
        *,
        as_of: str | dt.date,
        horizon_days: float,
        discount_rate: float,
        interval: float = 0.90,
    ) -> Valuation:
        """Expected discounted margin within a horizon that the calendar knows, and an interval for what is realised.

        Everything is as in ``FittedPurchases.value``, but that the horizon has an end. Covariates to come are taken as
        known: the interval holds as far as the plan does.

        Raises ModelError for a model without margins and where the calendar ends before the horizon does, ConfigError
        for arguments out of range.
        """
        _, horizon, delta = self._question(checked_days(horizon_days, "horizon_days"), discount_rate, interval)
        lives = Lives.of(self.recipe, log, calendar, as_of, ahead=horizon)
        return self._valued(
            lives.base,
            self._margin_log_rate(lives, horizon, delta),
            self._p_alive(lives),
            self._forecast(lives, horizon, 0.0).mean,
            self._forecast(lives, horizon, delta).mean,
            lambda money: self._averaged(lives, horizon, delta, money),
            horizon_days=horizon,
            discount_rate=discount_rate,
            interval=interval,
        )

    def total_interval(
        self,
        log: TransactionLog,
        calendar: Calendar,
        *,
        as_of: str | dt.date,
        horizon_days: float,
        discount_rate: float,
        interval: float = 0.90,
    ) -> tuple[float, float]:
        """Bounds of what these customers will bring *together*; see ``FittedPurchases.total_interval``."""
        asked = {"horizon_days": horizon_days, "discount_rate": discount_rate, "interval": interval}
        told = self.value(log, calendar, as_of=as_of, **asked)
        assert told.total_bounds is not None  # it is of all of them
        return told.total_bounds

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` gives a model with exactly the same numbers."""
        return {
            "format": FORMAT,
            "model": self.name,
            "recipe": self.recipe.to_dict(),
            "purchase_params": list(self.purchase_params),
            "coefficients": list(self.coefficients),
            "margin": None if self.margin is None else self.margin.to_dict(),
            "doubt": [list(row) for row in self.doubt],
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down; what it does not know it refuses with a ModelError."""
        with reading("purchase model"):
            return cls._read(data)

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Self:
        from retention.value.purchases.dynamic import DynamicParetoNBD

        known = {f.name for f in fields(cls)} | {"format", "model"}
        if (data.get("format"), data.get("model")) != (FORMAT, DynamicParetoNBD.NAME) or set(data) != known:
            odd = sorted(set(data) ^ known)
            raise ModelError(
                f"a stored model {data.get('model')!r} of format {data.get('format')!r}"
                + (f" with or without {', '.join(odd)}" if odd else ""),
                rule=f"here {DynamicParetoNBD.NAME} of format {FORMAT} is read",
                remedy="fit the model again, or read it with the release that wrote it",
            )
        margin, found = data["margin"], data["estimate"]
        read = cls(
            recipe=DynamicParetoNBD.from_dict(data["recipe"]),
            purchase_params=tuple(float(value) for value in data["purchase_params"]),
            coefficients=tuple(float(value) for value in data["coefficients"]),
            margin=None if margin is None else margin_from_dict(margin),
            doubt=data["doubt"],
            estimate=None if found is None else Estimate.from_dict(found),
        )
        names = read.recipe.names
        positive_parameters(read.name, dict(zip(names[:4], read.purchase_params, strict=True)), names[:4])
        if len(read.coefficients) != len(names) - 4 or not np.all(np.isfinite(read.coefficients)):
            raise ValueError("coefficients that are not one finite number for each covariate")
        check_doubt(read.estimate, read.doubt, names)
        return read

    def _at(self, lives: Lives, theta: FloatColumn | None = None) -> tuple[tuple[float, ...], FloatColumn, FloatColumn]:
        """The parameters, and the logs of the multipliers of rate and drop-out by row of the covariates."""
        split = len(self.recipe.rate)
        gamma = np.array(self.coefficients, dtype=np.float64) if theta is None else theta[4:]
        log_a = np.einsum("rp,p->r", lives.table[:, :split], gamma[:split])
        log_b = np.einsum("rp,p->r", lives.table[:, split:], gamma[split:])
        if theta is not None:
            return tuple(np.exp(theta[:4]).tolist()), np.clip(log_a, -50.0, 50.0), np.clip(log_b, -50.0, 50.0)
        highest = float(np.abs(np.concatenate([log_a, log_b])).max(initial=0.0))
        if highest > 50:
            raise ModelError(
                f"covariates that multiply a rate by exp({highest:.0f})",
                rule="a multiplier is between exp(-50) and exp(50)",
                remedy="the calendar holds values far from those that the model was fitted to: check their unit",
            )
        return self.purchase_params, log_a, log_b

    def _p_alive(self, lives: Lives) -> FloatColumn:
        from retention._kernels.paretonbd_dynamic import p_alive

        return p_alive(*self._at(lives), lives.stretches(self.recipe.time_unit_days))

    def _log_rate(self, lives: Lives) -> FloatColumn:
        from retention._kernels.paretonbd_dynamic import log_rate

        return log_rate(*self._at(lives), lives.stretches(self.recipe.time_unit_days))

    def _margin_log_rate(self, lives: Lives, days: float, delta: float) -> FloatColumn:
        """As ``FittedPurchases.margin_log_rate``; ``delta`` is per day."""
        log_rate = self._log_rate(lives)
        if not self._by_rate:
            return log_rate
        shape = self.purchase_params[0]
        return self._of_purchases(log_rate, shape, 0, lambda moved: moved._forecast(lives, days, delta).mean)

    def _forecast(
        self, lives: Lives, days: float, delta: float, theta: FloatColumn | None = None, second: bool = False
    ) -> "Forecast":
        """Each customer's next ``days``; ``delta`` is per day."""
        from retention._kernels.paretonbd_dynamic import forecast

        unit = self.recipe.time_unit_days
        params = self._at(lives, theta)
        return forecast(*params, lives.stretches(unit), *lives.ahead(days, unit), delta * unit, second=second)

    def _counts(self, lives: Lives, days: float, most: int, theta: FloatColumn | None = None) -> FloatColumn:
        """The probabilities of each customer's purchases in the next ``days``."""
        from retention._kernels.paretonbd_dynamic import pmf

        unit = self.recipe.time_unit_days
        return pmf(*self._at(lives, theta), lives.stretches(unit), *lives.ahead(days, unit), most)

    def _averaged(
        self, lives: Lives, horizon: float, delta: float, money: FloatColumn
    ) -> tuple["Forecast", NDArray[np.intp], FloatColumn]:
        """The forecast averaged over the doubt about the parameters, whose row is each customer's (her own), and the
        sum of ``money * mean`` at each point."""
        from retention._kernels.purchases import Forecast

        points = self._points()
        total, sums = np.zeros((4, len(lives.base))), np.zeros(len(points))
        for i, theta in enumerate(points):
            ahead = self._forecast(lives, horizon, delta, theta, second=True)
            total += np.stack(ahead)
            sums[i] = np.einsum("n,n->", ahead.mean, money)
        return Forecast(*(total / len(points))), np.arange(len(lives.base)), sums


def _per_day(rate: float) -> float:
    """A yearly rate as a continuous one a day; growth is allowed, since every horizon here ends."""
    if not holds(lambda: math.isfinite(rate) and rate > -1):
        raise ConfigError(
            f"discount_rate={rate!r}", rule="a yearly rate is above -1 and finite", remedy="0.10 means 10 % a year"
        )
    return math.log1p(rate) / 365.0
