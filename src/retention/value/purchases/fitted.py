"""A purchase model with parameters: what it says of every customer, whatever the model."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, fields, frozen

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.asked import checked_count, checked_days, checked_rate
from retention.value.estimate import Estimate, positive_parameters
from retention.value.margins.named import margin_from_dict
from retention.value.purchases.covariates import Design, own_params
from retention.value.purchases.with_margin import FittedWithMargin
from retention.value.stored import check_doubt, reading
from retention.value.valuation import Valuation

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Forecast, Params
    from retention.value.purchases.model import PurchaseModel
    from retention.value.purchases.posterior import Prediction

__all__ = ["FittedPurchases"]

FORMAT = 2
"""Of what ``to_dict`` writes; a file of another format is refused."""

_BLOCK = 65_536  # customers at a time: temporaries stay in cache and memory stays flat


@frozen(kw_only=True)
class FittedPurchases(FittedWithMargin):
    """A purchase model with parameters, and a fitted margin model if there is one.

    ``purchase_params`` are in the order of the kernel's names, times in the recipe's time unit. ``doubt`` may hold
    points of the log-parameters (rows, equally likely) that intervals average over, from a posterior sample; without
    it a normal distribution with the estimate's spread stands for the doubt. ``design`` and ``coefficients`` say how
    attributes of the customers move their rate and their drop-out, in standard deviations from the average; parameters
    are those of a customer whose attributes are the average of the base that the model was fitted to.
    """

    recipe: "PurchaseModel"
    design: Design | None = None

    @property
    def params(self) -> Mapping[str, float]:
        """The purchase model's parameters and coefficients, and the margin model's if there is one."""
        own = dict(zip(self.recipe.kernel().names, self.purchase_params, strict=True))
        if self.design is not None:
            own.update(self.design.told(self.coefficients))
        return own if self.margin is None else {**own, **self.margin.params}

    def log_likelihoods(self, histories: Histories) -> FloatColumn:
        """Each customer's log-likelihood of her purchases, in the model's time unit."""
        return self._each(histories, self.recipe.kernel().log_likelihoods, own=True)

    def p_alive(self, histories: Histories) -> FloatColumn:
        """Probability of still being a customer on the as-of date."""
        return self._outlook(histories)[0]

    def survival(self, histories: Histories, days: float) -> FloatColumn:
        """Probability of still being a customer ``days`` after the as-of date; 0 days give ``p_alive``."""
        kernel, ahead = self.recipe.kernel(), checked_days(days) / self.time_unit_days
        cells, params = self._place(histories)
        return kernel.survival(params, cells.rows, ahead)[cells.which]

    def log_rate(self, histories: Histories) -> FloatColumn:
        """What the model expects of the log of each customer's purchase rate (per time unit) while she is one."""
        return self._each(histories, self.recipe.kernel().log_rate)

    def margin_log_rate(self, histories: Histories, days: float, *, discount_rate: float = 0.0) -> FloatColumn:
        """The log-rate at which a margin model that goes by rates is asked what the purchases of the next ``days``
        bring.

        It is what the model expects of the log of the rate behind a *purchase*, more than ``log_rate``: of those who
        came once, who will come again are the more frequent among them (by 1 / (r + x) where nobody leaves). A margin
        model that does not go by rates is not asked for any of it: then this is ``log_rate``.
        """
        horizon = checked_days(days, rate=checked_rate(discount_rate))
        log_rate, kernel = self.log_rate(histories), self.recipe.kernel()
        if not self._by_rate or self.recipe.SHAPE not in kernel.names:
            return log_rate
        asked, at = (horizon, math.log1p(discount_rate) / 365.0), kernel.names.index(self.recipe.SHAPE)
        cells, params = self._place(histories)
        shape = np.broadcast_to(np.asarray(params[at]), (len(cells.weight),)).take(cells.which)
        return self._of_purchases(log_rate, shape, at, lambda moved: moved._outlook(histories, asked)[1])

    def expected_purchases(self, histories: Histories, days: float, *, discount_rate: float = 0.0) -> FloatColumn:
        """Expected purchase days in the next ``days``; 0 days give exactly 0.

        With a ``discount_rate`` (per year) each is counted at its worth today; then ``days`` may be infinite, which
        gives the discounted expected residual transactions, DERT (Fader, Hardie and Lee 2005b).
        """
        checked_rate(discount_rate)
        horizon = checked_days(days, rate=discount_rate)
        return self._outlook(histories, (horizon, math.log1p(discount_rate) / 365.0))[1]

    def p_purchase(self, histories: Histories, days: float) -> FloatColumn:
        """Probability of at least one purchase day in the next ``days``."""
        horizon, (cells, params) = checked_days(days), self._place(histories)
        return self._forecast(params, cells, horizon, 0.0).any[cells.which]

    def purchase_probabilities(self, histories: Histories, days: float, most: int) -> FloatColumn:
        """P(exactly 0, 1 .. ``most`` purchase days in the next ``days``), one row a customer."""
        kernel, horizon = self.recipe.kernel(), checked_days(days) / self.time_unit_days
        most = checked_count(most, "most")
        cells, params = self._place(histories)
        return kernel.pmf(params, cells.rows, horizon, most)[cells.which]

    def expected_new(self, days: float, *, discount_rate: float = 0.0, among: Histories | None = None) -> float:
        """Expected repeat purchases of a customer in the ``days`` after her first purchase, E[X(t)].

        With a ``discount_rate`` per year: the discounted expected transactions of a customer just acquired. A model
        with covariates speaks of a customer whose attributes are the average; or, with ``among``, of the average over
        newcomers with the attributes of those customers, which is not the same.
        """
        if among is not None and self.design is not None and len(among):
            none = np.zeros(len(among))
            fresh = Histories.from_arrays(frequency=none, recency_days=none, age_days=none)
            fresh = fresh.with_attributes(dict(among.attributes))
            return float(self.expected_purchases(fresh, days, discount_rate=discount_rate).mean())
        if self.design is not None:
            return evolve(self, design=None, coefficients=(), estimate=None, doubt=()).expected_new(
                days, discount_rate=discount_rate
            )
        fresh = Histories.from_arrays(frequency=[0], recency_days=[0.0], age_days=[0.0])
        return float(self.expected_purchases(fresh, days, discount_rate=discount_rate)[0])

    def value(
        self, histories: Histories, *, horizon_days: float, discount_rate: float, interval: float = 0.90
    ) -> Valuation:
        """Expected discounted margin within a horizon, and an interval for what will be realised.

        ``discount_rate`` is per year, continuous: delta = log1p(rate) / 365 a day; ``horizon_days`` may be infinite
        if it is above 0. ``value`` is at the fitted parameters. The interval is a moment match, row by row: a mass at 0
        for "buys nothing", and a gamma distribution (normal for a customer whose margins were not positive) with the
        exact mean and variance of the discounted sum given that she buys, both averaged over fixed points that stand
        for what is not known about the parameters. A customer who most likely buys nothing has the interval [0, 0]
        around a positive value: that is what her future looks like. Money is in the currency of the histories.

        Raises ModelError for a model without margins, ConfigError for arguments out of range.
        """
        _, horizon, delta = self._question(horizon_days, discount_rate, interval)
        # An endless horizon ends, for what is not discounted, where discounting would leave no digit of it.
        plain = min(horizon, 45.0 / delta) if delta > 0 else horizon
        p_alive, discounted, purchases = self._outlook(histories, (horizon, delta), (plain, 0.0))
        return self._valued(
            histories,
            self.margin_log_rate(histories, horizon, discount_rate=discount_rate) if self._by_rate else None,
            p_alive,
            purchases,
            discounted,
            lambda money: self._averaged(histories, horizon, delta, money),
            horizon_days=horizon,
            discount_rate=discount_rate,
            interval=interval,
        )

    def total_interval(
        self, histories: Histories, *, horizon_days: float, discount_rate: float, interval: float = 0.90
    ) -> tuple[float, float]:
        """Bounds of what these customers will bring *together*: discounted margin within the horizon.

        Chance is independent between customers, so their variances add up; doubt about the parameters is common to
        all, so its effect on the total adds up first and is squared then. The sum is taken to be gamma distributed
        (normal where losses are among it), which is right for some fifty customers and more; for a few, read
        ``value_low`` and ``value_high``. Like those, it holds if the model does: a good season is not in it.

        Raises ModelError for a model without margins, ConfigError for arguments out of range.

        Example:
            >>> from retention.value import BGNBD
            >>> model = BGNBD().at(r=0.243, alpha=4.414, a=0.793, b=2.426, p=6.25, q=3.74, v=15.44)
            >>> base = Histories.from_arrays(
            ...     frequency=[4] * 500, recency_days=[200] * 500, age_days=[270] * 500, margin_mean=[30.0] * 500)
            >>> low, high = model.total_interval(base, horizon_days=365, discount_rate=0.10)
            >>> worth = model.value(base, horizon_days=365, discount_rate=0.10)
            >>> low < worth.total() < high, high - low < 0.1 * float((worth.value_high - worth.value_low).sum())
            (True, True)
        """
        told = self.value(histories, horizon_days=horizon_days, discount_rate=discount_rate, interval=interval)
        assert told.total_bounds is not None  # it is of all of them
        return told.total_bounds

    def expected_value(self, histories: Histories, *, horizon_days: float, discount_rate: float) -> FloatColumn:
        """The column ``value`` of ``value()`` alone, without bounds: several times as fast."""
        margin, horizon, delta = self._question(horizon_days, discount_rate, 0.5)
        _, discounted = self._outlook(histories, (horizon, delta))
        log_rate = self.margin_log_rate(histories, horizon, discount_rate=discount_rate)
        return np.asarray(discounted * margin.margin_mean(histories, log_rate))

    def predict(self, histories: Histories, **question: Any) -> "Prediction":
        """``Posterior.predict`` with the points that stand for the doubt in place of draws of the posterior."""
        from retention.value.purchases.posterior import Posterior

        d, names = len(self.purchase_params), self.recipe.kernel().names
        points = np.repeat(self._points(), 2, axis=0)  # a spread needs two, be it of none
        draws = np.exp(points[:, :d])
        if self.design is not None:
            names = (*names, *self.design.names)
            draws = np.concatenate([draws, points[:, d:] / self.design.scales], axis=1)
        return Posterior(
            of=self.name,
            fitted=self,
            names=names,
            draws=draws,
            method="normal",
            k_hat=math.nan,
            ess=float(len(points)),
            r_hat=1.0,
            seed=0,
            compressed=False,
        ).predict(histories, **question)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` gives a model with exactly the same numbers."""
        return {
            "format": FORMAT,
            "model": self.name,
            "recipe": self.recipe.to_dict(),
            "purchase_params": list(self.purchase_params),
            "margin": None if self.margin is None else self.margin.to_dict(),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
            "doubt": [list(row) for row in self.doubt],
            "design": None if self.design is None else self.design.to_dict(),
            "coefficients": list(self.coefficients),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down; what it does not know it refuses with a ModelError."""
        with reading("purchase model"):
            return cls._read(data)

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Self:
        from retention.value.purchases.model import PurchaseModel

        known = {f.name for f in fields(cls)} | {"format", "model"}
        if data.get("format") != FORMAT or set(data) != known:
            odd = sorted(set(data) ^ known)
            raise ModelError(
                f"a stored model of format {data.get('format')!r}"
                + (f" with or without {', '.join(odd)}" if odd else ""),
                rule=f"this release reads format {FORMAT}",
                remedy="fit the model again, or read it with the release that wrote it",
            )
        margin, found, design = data["margin"], data["estimate"], data["design"]
        read = cls(
            recipe=PurchaseModel.from_dict(data["recipe"]),
            purchase_params=tuple(float(value) for value in data["purchase_params"]),
            margin=None if margin is None else margin_from_dict(margin),
            estimate=None if found is None else Estimate.from_dict(found),
            doubt=data["doubt"],
            design=None if design is None else Design.from_dict(design),
            coefficients=tuple(float(value) for value in data["coefficients"]),
        )
        if read.name != data["model"]:
            raise ValueError(f"a recipe for {read.name} in a stored {data['model']!r}")
        own = read.recipe.kernel().names
        positive_parameters(read.name, dict(zip(own, read.purchase_params, strict=True)), own)
        effects = () if read.design is None else read.design.names
        if len(read.coefficients) != len(effects) or not np.all(np.isfinite(read.coefficients)):
            raise ValueError("coefficients that are not one finite number for each covariate")
        check_doubt(read.estimate, read.doubt, (*own, *effects))
        return read

    def _each(self, histories: Histories, rule: Callable[..., FloatColumn], *, own: bool = False) -> FloatColumn:
        """An answer for every customer, worked out once for those alike (``own``: in all that is known of them)."""
        cells, params = self._place(histories, own=own)
        out = np.empty(len(cells.weight))
        for start in range(0, len(out), _BLOCK):
            block = slice(start, start + _BLOCK)
            mine: Any = [value[block] if np.ndim(value) else value for value in params]
            out[block] = rule(mine, cells.rows.take(block))
        return out.take(cells.which)

    def _outlook(self, histories: Histories, *asked: tuple[float, float]) -> list[FloatColumn]:
        """P(alive), and expected purchases for each (horizon in days, discount rate a day) that is asked."""
        unit, (cells, params) = self.time_unit_days, self._place(histories)
        alive, means = self.recipe.kernel().outlook(
            params, cells, [(days / unit, delta * unit) for days, delta in asked]
        )
        return [values.take(cells.which) for values in (alive, *means)]

    def _place(self, histories: Histories, *, own: bool = False) -> tuple["Cells", "Params"]:
        """The customers with those alike merged, in the time unit, and the parameters: numbers, or arrays by cell."""
        from retention._kernels.purchases import Cells

        if self.design is None:
            cells = self.recipe.own_cells(histories) if own else self.recipe.cells(histories)
            return cells.scaled(self.time_unit_days), self.purchase_params
        rows = self.recipe.rows(histories).scaled(self.time_unit_days)
        cells = Cells(rows, np.ones(len(histories)), np.arange(len(histories)))
        return cells, self._moved(np.log(self.purchase_params), self.coefficients, self.design.matrix(histories))

    def _moved(self, logs: Any, coefficients: Any, matrix: FloatColumn) -> "Params":
        """Parameters customer by customer: two of them moved by their attributes."""
        assert self.design is not None
        return own_params(logs, coefficients, matrix, self.recipe.moves(self.design))

    def _forecast(self, params: "Params", cells: "Cells", days: float, delta: float) -> "Forecast":
        """By cell; ``delta`` is per day."""
        unit = self.time_unit_days
        return self.recipe.kernel().forecast(params, cells.rows, days / unit, delta * unit)

    def _averaged(
        self, histories: Histories, horizon: float, delta: float, weights: FloatColumn | None = None
    ) -> tuple["Forecast", Any, FloatColumn]:
        """The forecast averaged over the doubt about the parameters, by cell; each customer's cell; and at each point
        that stands for the doubt the sum over customers of ``weights * mean`` (zeros without weights)."""
        from retention._kernels.purchases import Forecast

        unit, kernel, points = self.time_unit_days, self.recipe.kernel(), self._points()
        cells, _ = self._place(histories)
        matrix = None if self.design is None else self.design.matrix(histories)
        count, own = len(cells.weight), len(self.purchase_params)
        weight: Any = np.zeros(count) if weights is None else np.bincount(cells.which, weights, count)
        if matrix is None and kernel.averaged is not None:
            average, totals = kernel.averaged(np.exp(points), cells, horizon / unit, delta * unit, weight)
            return average, cells.which, totals
        sums, totals = [np.zeros(count) for _ in Forecast._fields], np.zeros(len(points))
        for i, theta in enumerate(points):
            params = np.exp(theta) if matrix is None else self._moved(theta[:own], theta[own:], matrix)
            ahead = kernel.forecast(params, cells.rows, horizon / unit, delta * unit, second=True, rough=True)
            totals[i] = np.einsum("n,n->", ahead.mean, weight)
            for sum_, values in zip(sums, ahead, strict=True):
                sum_ += values / len(points)
        return Forecast(*sums), cells.which, totals
