"""A purchase model with parameters: what it says of every customer, whatever the model."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, field, fields, frozen

from retention.errors import ConfigError, ModelError, RetentionError
from retention.frames.table import FloatColumn, Provenance
from retention.histories import Histories
from retention.value.bounds import bounds_of_each, bounds_of_sum
from retention.value.margins.protocol import FittedMargin, margin_from_dict
from retention.value.purchases.covariates import Design
from retention.value.purchases.estimate import Estimate, positive_parameters, tuples
from retention.value.valuation import Valuation

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Forecast, Params
    from retention.value.purchases.model import PurchaseModel

__all__ = ["FittedPurchases"]

FORMAT = 2
"""Of what ``to_dict`` writes; a file of another format is refused."""

_BLOCK = 65_536  # customers at a time: temporaries stay in cache and memory stays flat


@frozen(kw_only=True)
class FittedPurchases:
    """A purchase model with parameters, and a fitted margin model if there is one.

    ``purchase_params`` are in the order of the kernel's names, times in the recipe's time unit. ``doubt`` may hold
    points of the log-parameters (rows, equally likely) that intervals average over, from a posterior sample; without
    it a normal distribution with the estimate's spread stands for the doubt. ``design`` and ``coefficients`` say how
    attributes of the customers move their rate and their drop-out, in standard deviations from the average; parameters
    are those of a customer whose attributes are the average of the base that the model was fitted to.
    """

    recipe: "PurchaseModel"
    purchase_params: tuple[float, ...]
    margin: FittedMargin | None = None
    estimate: Estimate | None = None
    doubt: tuple[tuple[float, ...], ...] = field(default=(), converter=tuples)
    design: Design | None = None
    coefficients: tuple[float, ...] = ()

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
        """The purchase model's parameters and coefficients, and the margin model's if there is one."""
        own = dict(zip(self.recipe.kernel().names, self.purchase_params, strict=True))
        if self.design is not None:
            own.update(self.design.told(self.coefficients))
        return own if self.margin is None else {**own, **self.margin.params}

    @property
    def log_likelihood(self) -> float | None:
        """Of the purchases (times in the model's unit); None when the parameters were given."""
        return None if self.estimate is None else self.estimate.log_likelihood

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

    def log_likelihoods(self, histories: Histories) -> FloatColumn:
        """Each customer's log-likelihood of her purchases, in the model's time unit."""
        return self._each(histories, self.recipe.kernel().log_likelihoods)

    def p_alive(self, histories: Histories) -> FloatColumn:
        """Probability of still being a customer on the as-of date."""
        return self._each(histories, self.recipe.kernel().p_alive)

    def survival(self, histories: Histories, days: float) -> FloatColumn:
        """Probability of still being a customer ``days`` after the as-of date; 0 days give ``p_alive``."""
        kernel, ahead = self.recipe.kernel(), _checked_days(days) / self.time_unit_days
        cells, params = self._place(histories)
        return kernel.survival(params, cells.rows, ahead)[cells.which]

    def log_rate(self, histories: Histories) -> FloatColumn:
        """What the model expects of the log of each customer's purchase rate (per time unit) while she is one."""
        return self._each(histories, self.recipe.kernel().log_rate)

    def expected_purchases(self, histories: Histories, days: float, *, discount_rate: float = 0.0) -> FloatColumn:
        """Expected purchase days in the next ``days``; 0 days give exactly 0.

        With a ``discount_rate`` (per year) each is counted at its worth today; then ``days`` may be infinite, which
        gives the discounted expected residual transactions, DERT (Fader, Hardie and Lee 2005b).
        """
        _check_rate(discount_rate)
        horizon, (cells, params) = _checked_days(days, rate=discount_rate), self._place(histories)
        return self._forecast(params, cells, horizon, math.log1p(discount_rate) / 365.0).mean[cells.which]

    def p_purchase(self, histories: Histories, days: float) -> FloatColumn:
        """Probability of at least one purchase day in the next ``days``."""
        horizon, (cells, params) = _checked_days(days), self._place(histories)
        return self._forecast(params, cells, horizon, 0.0).any[cells.which]

    def purchase_probabilities(self, histories: Histories, days: float, most: int) -> FloatColumn:
        """P(exactly 0, 1 .. ``most`` purchase days in the next ``days``), one row a customer."""
        kernel, horizon = self.recipe.kernel(), _checked_days(days) / self.time_unit_days
        cells, params = self._place(histories)
        return kernel.pmf(params, cells.rows, horizon, most)[cells.which]

    def expected_new(self, days: float, *, discount_rate: float = 0.0) -> float:
        """Expected repeat purchases of a customer in the ``days`` after her first purchase, E[X(t)].

        With a ``discount_rate`` per year: the discounted expected transactions of a customer just acquired. A model
        with covariates speaks of a customer whose attributes are the average.
        """
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
        margin, horizon, delta = self._question(horizon_days, discount_rate, interval)
        kernel, (cells, params) = self.recipe.kernel(), self._place(histories)
        log_rate = kernel.log_rate(params, cells.rows)[cells.which]
        discounted = self._forecast(params, cells, horizon, delta).mean[cells.which]
        # An endless horizon ends, for what is not discounted, where discounting would leave no digit of it.
        plain = self._forecast(params, cells, min(horizon, 45.0 / delta) if delta > 0 else horizon, 0.0)
        purchases = plain.mean[cells.which]
        money = margin.margin_mean(histories, log_rate)
        low, high = self._interval(histories, margin, log_rate, horizon, delta, interval)
        return Valuation(
            customer_id=histories.customer_id,
            p_alive=kernel.p_alive(params, cells.rows)[cells.which],
            expected_purchases=purchases,
            margin_mean=money,
            expected_margin=purchases * money,
            value=discounted * money,
            value_low=low,
            value_high=high,
            model=self.name,
            horizon_days=horizon,
            discount_rate=float(discount_rate),
            interval=float(interval),
            currency=histories.currency,
            provenance=self._provenance(histories),
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
        margin, horizon, delta = self._question(horizon_days, discount_rate, interval)
        cells, params = self._place(histories)
        which = cells.which
        log_rate = self.recipe.kernel().log_rate(params, cells.rows)[which]
        money = margin.margin_mean(histories, log_rate)
        total = float(np.einsum("n,n->", self._forecast(params, cells, horizon, delta).mean[which], money))
        ahead, which, by_purchases = self._averaged(histories, horizon, delta, money)
        chance, by_margins, points = 0.0, np.zeros(1), len(by_purchases)
        for start in range(0, len(histories), _BLOCK):
            block = slice(start, start + _BLOCK)
            mine, rows = type(ahead)(*(values[which[block]] for values in ahead)), histories[block]
            hers = margin.moments(rows, points, log_rate[block])
            second = mine.squares * hers.square + mine.pairs * hers.product
            chance += float(np.sum(np.maximum(second - (mine.mean * hers.mean) ** 2, 0.0)))
            by_margins = by_margins + margin.totals(rows, mine.mean, points, log_rate[block])
        variance = chance + float(np.var(by_purchases) + np.var(by_margins))
        return bounds_of_sum(total, variance, bool(np.all(money >= 0)), interval)

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
        try:
            read = cls(
                recipe=PurchaseModel.from_dict(data["recipe"]),
                purchase_params=tuple(float(value) for value in data["purchase_params"]),
                margin=None if margin is None else margin_from_dict(margin),
                estimate=None if found is None else Estimate.from_dict(found),
                doubt=data["doubt"],
                design=None if design is None else Design.from_dict(design),
                coefficients=tuple(float(value) for value in data["coefficients"]),
            )
            names = read.recipe.kernel().names
            positive_parameters(read.name, dict(zip(names, read.purchase_params, strict=True)), names)
            if len(read.coefficients) != (0 if read.design is None else len(read.design)):
                raise ValueError("coefficients without their covariates, or the reverse")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, RetentionError):
                raise
            raise ModelError(
                f"a stored model with a part that cannot be read ({type(error).__name__}: {error})",
                rule="a stored model is read as it was written, with nothing more and nothing less",
                remedy="store it again with to_dict()",
            ) from error
        return read

    def _question(self, days: float, rate: float, interval: float) -> tuple[FittedMargin, float, float]:
        """The margin model, the horizon in days and the discount rate a day, or one clear error."""
        if self.margin is None:
            raise ModelError(
                f"value() of a {self.name} model without margins",
                rule="value needs what a purchase day brings",
                remedy=f"fit the model, or give {', '.join(self.recipe.margin.names)} to at(...)",
            )
        _check_rate(rate)
        _check_interval(interval)
        return self.margin, _checked_days(days, "horizon_days", rate), math.log1p(rate) / 365.0

    def _each(self, histories: Histories, rule: Callable[..., FloatColumn]) -> FloatColumn:
        """A cheap answer for every customer as she is: merging those alike would cost more than it saves."""
        rows = self.recipe.rows(histories).scaled(self.time_unit_days)
        matrix = None if self.design is None else self.design.matrix(histories)
        out = np.empty(len(histories))
        for start in range(0, len(out), _BLOCK):
            block = slice(start, start + _BLOCK)
            params: Any = self.purchase_params
            if matrix is not None:
                params = self._moved(np.log(self.purchase_params), self.coefficients, matrix[block])
            out[block] = rule(params, rows.take(block))
        return out

    def _place(self, histories: Histories) -> tuple["Cells", "Params"]:
        """The customers with those alike merged, in the time unit, and the parameters: numbers, or arrays by cell."""
        from retention._kernels.purchases import Cells

        if self.design is None:
            return self.recipe.cells(histories).scaled(self.time_unit_days), self.purchase_params
        rows = self.recipe.rows(histories).scaled(self.time_unit_days)
        cells = Cells(rows, np.ones(len(histories)), np.arange(len(histories)))
        return cells, self._moved(np.log(self.purchase_params), self.coefficients, self.design.matrix(histories))

    def _moved(self, logs: Any, coefficients: Any, matrix: FloatColumn) -> "Params":
        """Parameters customer by customer: two of them moved by their attributes."""
        assert self.design is not None
        names, split = self.recipe.kernel().names, len(self.design.rate)
        moved: list[Any] = [np.full(len(matrix), math.exp(value)) for value in logs]
        for (name, sign), part in (
            (self.recipe.RATE, slice(0, split)),
            (self.recipe.DROPOUT or self.recipe.RATE, slice(split, None)),
        ):
            push = np.einsum("nj,j->n", matrix[:, part], np.asarray(coefficients)[part])
            moved[names.index(name)] = moved[names.index(name)] * np.exp(np.clip(sign * push, -50.0, 50.0))
        return moved

    def _forecast(self, params: "Params", cells: "Cells", days: float, delta: float) -> "Forecast":
        """By cell; ``delta`` is per day."""
        unit = self.time_unit_days
        return self.recipe.kernel().forecast(params, cells.rows, days / unit, delta * unit)

    def _interval(
        self,
        histories: Histories,
        margin: FittedMargin,
        log_rate: FloatColumn,
        horizon: float,
        delta: float,
        interval: float,
    ) -> tuple[FloatColumn, FloatColumn]:
        ahead, which, totals = self._averaged(histories, horizon, delta)
        low, high = np.empty(len(histories)), np.empty(len(histories))
        for start in range(0, len(low), _BLOCK):
            block = slice(start, start + _BLOCK)
            mine = type(ahead)(*(values[which[block]] for values in ahead))
            rows = histories[block]
            lossless = margin.lossless(rows)
            money = margin.moments(rows, len(totals), log_rate[block])
            low[block], high[block] = bounds_of_each(mine, money, lossless, interval)
        return low, high

    def _points(self) -> FloatColumn:
        """Points of (log-parameters, coefficients) that stand for the doubt about them; one if they were given."""
        from retention._kernels.points import normal_points

        if self.doubt:
            return np.array(self.doubt)
        center = np.concatenate([np.log(self.purchase_params), self.coefficients])[None]
        if self.estimate is None:
            return center
        spread = np.array(self.estimate.spread)
        # Where the parameters are known to a few per cent a handful of points has the same first two moments.
        least = 2 * (len(spread) + 1)
        count = max(32, least) if float(np.sqrt(np.diag(spread).max())) > 0.05 else least
        steps = normal_points(count, len(spread)) @ np.linalg.cholesky(spread).T
        return np.asarray(np.clip(center + steps, -14.0, 25.0))

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
        weight = np.zeros(count) if weights is None else np.bincount(cells.which, weights, count)
        sums, totals = [np.zeros(count) for _ in Forecast._fields], np.zeros(len(points))
        for i, theta in enumerate(points):
            params = np.exp(theta) if matrix is None else self._moved(theta[:own], theta[own:], matrix)
            ahead = kernel.forecast(params, cells.rows, horizon / unit, delta * unit, second=True, rough=True)
            totals[i] = np.einsum("n,n->", ahead.mean, weight)
            for sum_, values in zip(sums, ahead, strict=True):
                sum_ += values / len(points)
        return Forecast(*sums), cells.which, totals

    def _provenance(self, histories: Histories) -> Provenance:
        from importlib.metadata import PackageNotFoundError, version

        try:
            release: str | None = version("retention")
        except PackageNotFoundError:
            release = None
        notes = [*histories.provenance.notes, *(self.estimate.notes if self.estimate else ())]
        notes += [] if self.margin is None else self.margin.notes
        if self.estimate is None:
            notes.append(
                f"{self.name}: parameters were given, not fitted: intervals hold chance alone, no parameter doubt"
            )
        known = self.standard_errors or {}
        return Provenance(
            as_of=histories.provenance.as_of,
            data=histories.provenance.data,
            model=self.name,
            parameters={
                **self.params,
                "time_unit_days": self.time_unit_days,
                "log_likelihood": self.log_likelihood,
                "standard_errors": {name: None if math.isnan(error) else error for name, error in known.items()},
            },
            version=release,
            notes=tuple(dict.fromkeys(notes)),
        )


def _checked_days(days: float, name: str = "days", rate: float = 0.0) -> float:
    if not (days >= 0 and (math.isfinite(days) or rate > 0)):
        raise ConfigError(
            f"{name}={days!r}",
            rule="a horizon is zero days or more, and finite unless a discount rate makes the sum finite",
            remedy="give days, or a discount_rate above 0",
        )
    return float(days)


def _check_rate(rate: float) -> None:
    if not 0 <= rate < math.inf:
        raise ConfigError(
            f"discount_rate={rate!r}", rule="a yearly rate is 0 or more and finite", remedy="0.10 means 10 % a year"
        )


def _check_interval(interval: float) -> None:
    if not 0 < interval < 1:
        raise ConfigError(
            f"interval={interval!r}", rule="an interval holds a share between 0 and 1", remedy="0.90 means 90 %"
        )
