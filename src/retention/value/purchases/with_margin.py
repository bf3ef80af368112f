"""What purchase models with parameters have in common, wherever they read their customers: margins, doubt, evidence."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn, Provenance
from retention.histories import Histories
from retention.value.asked import checked_days, checked_interval, checked_rate
from retention.value.bounds import bounds_of_base
from retention.value.estimate import Fitted, tuples
from retention.value.margins.protocol import FittedMargin
from retention.value.valuation import Valuation

if TYPE_CHECKING:
    from retention._kernels.purchases import Forecast
    from retention.value.purchases.dynamic import DynamicParetoNBD
    from retention.value.purchases.model import PurchaseModel

__all__ = ["FittedWithMargin"]

_STEP = 1e-3  # of the log of a shape, for a slope of logs: wrong by about 1e-6 of it


@frozen(kw_only=True)
class FittedWithMargin(Fitted):
    """Parameters in the order of the recipe's kernel, times in its time unit; coefficients; a margin model or none.

    ``doubt`` may hold points of the log-parameters and coefficients (rows, equally likely) that intervals average over,
    from a posterior sample; without it a normal distribution with the estimate's spread stands for the doubt.
    """

    recipe: "PurchaseModel | DynamicParetoNBD"
    purchase_params: tuple[float, ...]
    coefficients: tuple[float, ...] = ()
    margin: FittedMargin | None = None
    doubt: tuple[tuple[float, ...], ...] = field(default=(), converter=tuples)

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return self.recipe.name

    @property
    def time_unit_days(self) -> float:
        """The unit of the parameters that are times."""
        return self.recipe.time_unit_days

    @property
    def params(self) -> Mapping[str, float]:
        """Parameters and coefficients by name, and the margin model's if there is one."""
        raise NotImplementedError

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given, NaN where the data do not identify one."""
        if self.estimate is None:
            return None
        money = None if self.margin is None else self.margin.standard_errors
        return {**self.estimate.standard_errors, **(money or {})}

    @property
    def diagnosis(self) -> str:
        """What was wrong with the fits; empty if nothing."""
        own = "" if self.estimate is None else self.estimate.diagnosis
        return "; ".join(text for text in (own, "" if self.margin is None else self.margin.diagnosis) if text)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the values should know: what was not identified, and what stands in for what."""
        own = () if self.estimate is None else self.estimate.notes
        return own if self.margin is None else (*own, *self.margin.notes)

    def _question(self, days: float, rate: float, interval: float) -> tuple[FittedMargin, float, float]:
        """The margin model, the horizon in days and the discount rate a day, or one clear error."""
        if self.margin is None:
            raise ModelError(
                f"value() of a {self.name} model without margins",
                rule="value needs what a purchase day brings",
                remedy="fit(base) fits margins too (cells hold none: collect() a scan's histories), or give "
                f"{', '.join(self.recipe.margin.names)} to at(...)",
            )
        checked_interval(interval)
        return self.margin, checked_days(days, "horizon_days", checked_rate(rate)), math.log1p(rate) / 365.0

    def _valued(
        self,
        base: Histories,
        log_rate: FloatColumn | None,
        p_alive: FloatColumn,
        purchases: FloatColumn,
        discounted: FloatColumn,
        averaged: Callable[[FloatColumn], tuple["Forecast", Any, FloatColumn]],
        *,
        horizon_days: float,
        discount_rate: float,
        interval: float,
    ) -> Valuation:
        """The valuation of a base whose purchases are told: plain and discounted; and, given what each of hers brings,
        averaged over the doubt: their forecast by cell, each customer's cell, and the sums of what they bring."""
        assert self.margin is not None  # it has been asked
        money = self.margin.margin_mean(base, log_rate)
        value, (ahead, which, totals) = discounted * money, averaged(money)
        may, together = bounds_of_base(ahead, which, base, self.margin, log_rate, totals, value, interval)
        columns: dict[str, Any] = {
            "p_alive": p_alive,
            "expected_purchases": purchases,
            "margin_mean": money,
            "expected_margin": purchases * money,
            "value": value,
            "value_low": may.low,
            "value_high": may.high,
            "value_sd": may.sd,
            "p_purchase": may.any,
        }
        for values in columns.values():
            values.flags.writeable = False  # a table takes what never changes as it is
        return Valuation(
            customer_id=base.customer_id,
            **columns,
            total_bounds=together,
            model=self.name,
            horizon_days=horizon_days,
            discount_rate=float(discount_rate),
            interval=float(interval),
            currency=base.currency,
            provenance=self._evidence(base.provenance),
        )

    @property
    def _by_rate(self) -> bool:
        """Whether the margin model may look at log-rates; ours say so."""
        return getattr(self.margin, "rates", self.margin) is not None

    def _of_purchases(
        self, log_rate: FloatColumn, shape: Any, at: int, expected: Callable[[Self], FloatColumn]
    ) -> FloatColumn:
        """The expected log-rate behind a purchase of those ``expected``, from that of the customer.

        Rates are gamma(r, alpha), so that the density of what she did and will buy holds rate^(r - 1): its slope by r
        is the mean of the log, weighed by what she will buy, and E[N log rate] / E[N] = E[log rate] + d log E[N] / dr.
        The same holds of log p and the first parameter of a beta. ``shape`` is that parameter, number ``at``; who is
        expected to buy nothing keeps her own.
        """
        params, logs = self.purchase_params, []
        for step in (_STEP, -_STEP):
            moved = (*params[:at], params[at] * math.exp(step), *params[at + 1 :])
            means = expected(evolve(self, purchase_params=moved))
            logs.append(np.log(np.where(means > 0, means, 1.0)))
        return np.asarray(log_rate + (logs[0] - logs[1]) / (2 * _STEP * shape))

    def _points(self) -> FloatColumn:
        """Points of (log-parameters, coefficients) that stand for the doubt about them; one if they were given."""
        from retention._kernels.points import normal_points

        if self.doubt:
            return np.array(self.doubt)
        center = np.concatenate([np.log(self.purchase_params), self.coefficients])[None]
        if self.estimate is None:
            return center
        spread = np.array(self.estimate.spread)
        # Where the parameters are known to a few per cent a handful of points has the same first two moments; as many
        # stand for the doubt about margins, which may have more dimensions than a model of two parameters.
        least = max(2 * (len(spread) + 1), 10)
        count = max(32, least) if float(np.sqrt(np.diag(spread).max())) > 0.05 else least
        steps = normal_points(count, len(spread)) @ np.linalg.cholesky(spread).T
        return np.asarray(np.clip(center + steps, -14.0, 25.0))

    def _evidence(self, base: Provenance) -> Provenance:
        """Where numbers about the customers of a base come from."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            release: str | None = version("retention")
        except PackageNotFoundError:
            release = None
        notes = [*base.notes, *self.notes]
        if self.estimate is None:
            notes.append(
                f"{self.name}: parameters were given, not fitted: intervals hold chance alone, no parameter doubt"
            )
        errors: Mapping[str, Any] = self.standard_errors or {}
        return Provenance(
            as_of=base.as_of,
            data=base.data,
            model=self.name,
            parameters={
                **self.params,
                "time_unit_days": self.time_unit_days,
                "log_likelihood": self.log_likelihood,
                "standard_errors": {name: None if math.isnan(error) else error for name, error in errors.items()},
            },
            version=release,
            notes=tuple(dict.fromkeys(notes)),
        )
