"""How long customers will renew whose end is seen, and what that is worth."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import attrs
import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ConfigError, ModelError, nearest
from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Provenance, Table, TextColumn, column
from retention.value.bounds import bounds_of_sum
from retention.value.contracts.tenures import Tenures
from retention.value.purchases.estimate import Estimate, estimate, positive_parameters

if TYPE_CHECKING:
    from retention._kernels.contracts import Contractual

__all__ = [
    "BetaDiscreteWeibull",
    "ContractModel",
    "ContractValuation",
    "DiscreteWeibull",
    "FittedContracts",
    "ShiftedBetaGeometric",
]

FORMAT = 1
"""Of what ``to_dict`` writes; a file of another format is refused."""

_SKETCH = 2_000  # rows that stand for all while the climb looks for where to start


@frozen(eq=False, repr=False, kw_only=True)
class ContractValuation(Table):
    """One row as in the tenures: what one customer's further renewals are worth; 0 for who has ended.

    ``value_low`` and ``value_high`` bound what *one* customer will really bring, with probability ``interval`` and as
    far as the model is right. They do not add up; ``FittedContracts.total_interval`` bounds a sum.
    """

    customer_id: TextColumn = column("who")
    renewals: IntColumn = column("renewal decisions come through", unit="count")
    weight: FloatColumn = column("customers that the row stands for", unit="count")
    next_renewal: FloatColumn = column("probability of coming through the next decision")
    expected_renewals: FloatColumn = column("expected renewals within the horizon", unit="count")
    discounted_renewals: FloatColumn = column("expected renewals within the horizon, discounted", unit="count")
    value: FloatColumn = column("expected discounted margin of one customer's renewals", unit="money")
    value_low: FloatColumn = column("lower bound of the realised value", unit="money")
    value_high: FloatColumn = column("upper bound of the realised value", unit="money")

    model: str
    horizon_periods: float
    discount_rate: float
    periods_per_year: float
    until_renewal: float
    interval: float

    def total(self) -> float:
        """Expected discounted margin of all the customers that the rows stand for."""
        return float(np.einsum("n,n->", self.value, self.weight))


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(name) for name in names)


@frozen(kw_only=True)
class ContractModel:
    """A recipe for customers whose end is seen; ``covariates`` names the columns of the tenures that it reads.

    A covariate z multiplies each of the parameters that describe the chance of ending (alpha and beta; the hazard of
    the discrete Weibull) by exp(effect * z), with its own effect on each, as Fader and Hardie (2007, "Incorporating
    time-invariant covariates into the Pareto/NBD and BG/NBD models") do for other beta and gamma mixtures.
    """

    NAME: ClassVar[str]
    CENTER: ClassVar[Mapping[str, float]]

    covariates: tuple[str, ...] = field(default=(), converter=_names)

    @covariates.validator
    def _check_covariates(self, attribute: Any, value: tuple[str, ...]) -> None:
        if len(set(value)) < len(value):
            raise ConfigError(
                f"covariates={value!r}", rule="each covariate is named once", remedy="leave out the repetition"
            )

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return self.NAME

    def kernel(self) -> "Contractual":
        """The mathematics: a record of functions from ``retention._kernels``."""
        raise NotImplementedError

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters; the effect of covariate z on alpha is called ``alpha:z``."""
        kernel = self.kernel()
        effects = tuple(f"{kernel.names[i]}:{z}" for i in kernel.scaled for z in self.covariates)
        return kernel.names + effects

    def at(self, params: Mapping[str, float] | None = None, **more: float) -> "FittedContracts":
        """The model at given parameters, unfitted; effects of covariates go into ``params``: ``{"alpha:z": 0.2}``.

        Raises ModelError for a name that is unknown or missing, and for a value outside its domain.
        """
        given = {**(params or {}), **more}
        own = self.kernel().names
        effects = {name: float(given.pop(name)) for name in self.names[len(own) :] if name in given}
        base = positive_parameters(self.name, given, own)
        missing = [name for name in self.names[len(own) :] if not math.isfinite(effects.get(name, math.nan))]
        if missing:
            raise ModelError(
                f"{self.name} without a finite {missing[0]}",
                rule="every covariate has an effect on every parameter that it acts on",
                remedy=f"give {', '.join(missing)}; 0 is no effect",
            )
        values = [math.log(base[name]) for name in own] + [effects[name] for name in self.names[len(own) :]]
        return FittedContracts(recipe=self, theta=tuple(values))

    def fit(self, tenures: Tenures) -> "FittedContracts":
        """Learn from customers' tenures by maximum likelihood, those who are still there counted as that.

        Where the likelihood has no clear maximum (nobody ended; all ended at once; one decision only; all alike; a
        covariate that does not vary, or repeats another) a weak prior chooses, and ``diagnosis`` says so.

        Raises ModelError if a covariate is not in the tenures.
        """
        from retention._kernels.contracts import rowwise

        kernel, names = self.kernel(), self.names
        z = self._columns(tenures)
        renewals, ended, weight, z = _alike(tenures, z)
        # Covariates in standard deviations from their mean: the prior then has no unit of its own.
        total = float(weight.sum()) or 1.0
        middle = np.einsum("n,nm->m", weight, z) / total
        spread = np.sqrt(np.einsum("n,nm->m", weight, (z - middle) ** 2) / total)
        varies = spread > 1e-9 * (np.abs(middle) + spread)
        scale = np.where(varies, spread, 1.0)
        design = np.where(varies, (z - middle) / scale, 0.0)
        d, m = len(kernel.names), len(self.covariates)

        which = [*range(d), *(i for i in kernel.scaled for _ in range(m))]  # the parameter that each of theta acts on
        columns = np.concatenate([np.ones((len(weight), d)), *[design] * len(kernel.scaled)], axis=1)

        def objective(theta: FloatColumn, rows: Any = slice(None)) -> tuple[float, FloatColumn, FloatColumn]:
            w, x = weight[rows], columns[rows]
            params = _spread_out(kernel, theta, design[rows])
            values, g, h = rowwise(kernel, params, renewals[rows], ended[rows])
            hessian = np.zeros((len(names), len(names)))
            for i in range(d):
                mine = np.array(which) == i
                for k in range(d):
                    theirs = np.array(which) == k
                    block = np.einsum("nj,nk->jk", (w * h[i, k])[:, None] * x[:, mine], x[:, theirs])
                    hessian[np.ix_(mine, theirs)] = block
            gradient = np.einsum("nj,nj->j", (w * g).T[:, which], x)
            return float(np.einsum("n,n->", w, values)), gradient, hessian

        every = len(weight) // _SKETCH
        sketch = (lambda theta: objective(theta, slice(None, None, every))) if every > 1 else None
        mean = np.concatenate([np.log([self.CENTER[name] for name in kernel.names]), np.zeros(len(names) - d)])
        point, found = estimate(
            objective,
            model=self.name,
            names=names,
            prior_mean=mean,
            prior_sd=np.full(len(names), math.log(4.5)),
            customers=float(weight.sum()),
            sketch=sketch,
        )
        # Back to the covariates' own units and origin: a linear map of the log-parameters.
        back = np.eye(len(names))
        for block, i in enumerate(kernel.scaled):
            own = slice(d + block * m, d + (block + 1) * m)
            back[own, own] = np.diag(1 / scale)
            back[i, own] = -middle * varies / scale
        theta = back @ point
        own_errors = np.array([found.standard_errors[name] for name in names])
        known = np.isfinite(own_errors)
        covariance = np.asarray(found.spread)
        if known.all():
            covariance = np.linalg.inv(-objective(point)[2])
        errors = np.sqrt(np.diag(back @ covariance @ back.T))
        errors[(np.abs(back) @ ~known) > 0] = math.nan
        errors[:d] *= np.exp(theta[:d])
        reason = _reason(tenures) if found.diagnosis else ""
        still = [name for name, moves in zip(self.covariates, varies, strict=True) if not moves]
        if still and found.diagnosis:
            reason = "; ".join(text for text in (reason, f"{', '.join(still)} has one value only") if text)
        said = f"{found.diagnosis}; {reason}" if reason else found.diagnosis
        found = evolve(
            found,
            standard_errors={name: float(error) for name, error in zip(names, errors, strict=True)},
            spread=back @ np.asarray(found.spread) @ back.T,
            diagnosis=said,
            notes=tuple(note.replace(found.diagnosis, said) for note in found.notes) if reason else found.notes,
        )
        return FittedContracts(recipe=self, theta=tuple(theta.tolist()), estimate=found)

    def _columns(self, tenures: Tenures) -> FloatColumn:
        """The covariates of each row, (rows, covariates)."""
        for name in self.covariates:
            if name not in tenures.covariates:
                raise ModelError(
                    f"{self.name} on tenures without covariate {name!r}",
                    rule="a model reads the covariates that it names",
                    remedy=nearest(name, tenures.covariates),
                )
        listed = [tenures.covariates[name] for name in self.covariates]
        return np.stack(listed, axis=1) if listed else np.zeros((len(tenures), 0))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"model": self.name, "covariates": list(self.covariates)}


@frozen(kw_only=True)
class ShiftedBetaGeometric(ContractModel):
    """sBG: each customer ends at every renewal with her own constant chance, beta(alpha, beta) over customers.

    Source: Fader and Hardie 2007, "How to project customer retention", Journal of Interactive Marketing 21(1), 76-90.

    Example:
        >>> cohort = Tenures.from_survivors([1000, 869, 743, 653, 593, 551, 517, 491])
        >>> fitted = ShiftedBetaGeometric().fit(cohort)
        >>> round(fitted.params["alpha"], 3), round(fitted.params["beta"], 3), round(float(fitted.survival(12)), 2)
        (0.668, 3.806, 0.38)
    """

    NAME: ClassVar[str] = "sbg"
    CENTER: ClassVar = {"alpha": 0.7, "beta": 2.0}

    def kernel(self) -> "Contractual":
        """The mathematics."""
        from retention._kernels.sbg import KERNEL

        return KERNEL


@frozen(kw_only=True)
class BetaDiscreteWeibull(ContractModel):
    """BdW: as the sBG, but her chance of ending itself changes with tenure, rising for c > 1 and falling for c < 1.

    Source: Fader, Hardie, Liu, Davin and Steenburgh 2018, "How to project customer retention revisited: the role of
    duration dependence", Journal of Interactive Marketing 43, 1-16.

    Example:
        >>> fitted = BetaDiscreteWeibull().fit(Tenures.from_survivors([1000, 869, 743, 653, 593]))
        >>> {name: round(value, 2) for name, value in fitted.params.items()}
        {'alpha': 0.26, 'beta': 1.72, 'c': 1.58}
    """

    NAME: ClassVar[str] = "bdw"
    CENTER: ClassVar = {"alpha": 0.7, "beta": 2.0, "c": 1.0}

    def kernel(self) -> "Contractual":
        """The mathematics."""
        from retention._kernels.bdw import KERNEL

        return KERNEL


@frozen(kw_only=True)
class DiscreteWeibull(ContractModel):
    """The baseline that knows no differences between customers: S(t) = (1 - theta)^(t^c), hazard = -log(1 - theta).

    Source: Nakagawa and Osaki 1975, IEEE Transactions on Reliability 24(5). With covariates on the hazard it is the
    proportional-hazards model of survival in whole periods.

    Example:
        >>> fitted = DiscreteWeibull().fit(Tenures.from_survivors([1000, 869, 743, 653, 593]))
        >>> round(1 - math.exp(-fitted.params["hazard"]), 4), round(fitted.params["c"], 4)
        (0.1384, 0.9101)
    """

    NAME: ClassVar[str] = "discrete-weibull"
    CENTER: ClassVar = {"hazard": 0.2, "c": 1.0}

    def kernel(self) -> "Contractual":
        """The mathematics."""
        from retention._kernels.bdw import DISCRETE_WEIBULL

        return DISCRETE_WEIBULL


MODELS: Mapping[str, type[ContractModel]] = {
    model.NAME: model for model in (ShiftedBetaGeometric, BetaDiscreteWeibull, DiscreteWeibull)
}


@frozen(kw_only=True)
class FittedContracts:
    """A contractual model with parameters. ``theta`` holds their logarithms, then the effects of the covariates.

    **When a renewal is counted and paid.** Decision k falls at the end of period k; who comes through it pays for
    period k + 1 at that moment. ``until_renewal`` is how far ahead the next decision lies, in periods: 0 (the default,
    as in the published tables) just before it, so that its payment is due now and not discounted; 1 just after the
    last one, whose payment is in and is not counted again. The period a customer is in is always paid already.
    """

    recipe: ContractModel
    theta: tuple[float, ...]
    estimate: Estimate | None = None

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return self.recipe.name

    @property
    def params(self) -> Mapping[str, float]:
        """Parameters at covariates of 0, and the effects of the covariates (``alpha:z``)."""
        d = len(self.recipe.kernel().names)
        values = [*(math.exp(v) for v in self.theta[:d]), *self.theta[d:]]
        return dict(zip(self.recipe.names, values, strict=True))

    @property
    def log_likelihood(self) -> float | None:
        """At the fitted data; None when the parameters were given."""
        return None if self.estimate is None else self.estimate.log_likelihood

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given, NaN where the data do not identify one."""
        return None if self.estimate is None else self.estimate.standard_errors

    @property
    def diagnosis(self) -> str:
        """What was wrong with the fit; empty if nothing."""
        return "" if self.estimate is None else self.estimate.diagnosis

    def log_likelihoods(self, tenures: Tenures) -> FloatColumn:
        """Each row's log-likelihood (of one customer, whatever its weight)."""
        from retention._kernels.contracts import log_likelihoods

        params = self._params(self.recipe._columns(tenures))
        return log_likelihoods(self.recipe.kernel(), params, tenures.renewals.astype(np.float64), tenures.ended)

    def survival(self, periods: Any, covariates: Mapping[str, float] | None = None) -> FloatColumn:
        """Chance that a new customer comes through so many renewals; ``periods`` is a number or an array of them.

        A model with covariates is asked for one set of their values.
        """
        t = _counts(periods)
        return np.exp(-self.recipe.kernel().fade(self._one(covariates), 0.0, t))

    def retention_rates(self, periods: Any, covariates: Mapping[str, float] | None = None) -> FloatColumn:
        """Share of those facing decision ``periods`` (1, 2, ...) who come through it: S(t) / S(t - 1)."""
        t = _counts(periods)
        if np.any(t < 1):
            raise ConfigError("retention rate of decision 0", rule="the first renewal is 1", remedy="ask for 1, 2, ...")
        return np.exp(-self.recipe.kernel().fade(self._one(covariates), t - 1.0, 1.0))

    def survival_ahead(self, tenures: Tenures, periods: float) -> FloatColumn:
        """Chance that each customer comes through her next ``periods`` decisions; 0 for who has ended."""
        ahead = _counts(periods)
        params = self._params(self.recipe._columns(tenures))
        fade = self.recipe.kernel().fade(params, tenures.renewals.astype(np.float64), float(ahead))
        return np.where(tenures.ended, 0.0, np.exp(-fade))

    def expected_residual_lifetime(
        self,
        tenures: Tenures,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        until_renewal: float = 0.0,
    ) -> FloatColumn:
        """Renewals each customer is still expected to make, discounted (DERL); 0 for who has ended.

        ``discount_rate`` is per year: a renewal j decisions ahead weighs (1 + rate) to the power of
        -(until_renewal + j - 1) / periods_per_year. ``horizon_periods`` counts decisions; without end the rate must be
        above 0. At rate 0 it is the expected number of renewals. When each is paid is told in the class's description.

        Source: Fader and Hardie 2010, "Customer-base valuation in a contractual setting", Marketing Science 29(1).

        Example:
            >>> model = ShiftedBetaGeometric().at(alpha=3.8, beta=15.2)
            >>> base = Tenures.from_arrays(renewals=[0, 1, 2, 3, 4], ended=[False] * 5)
            >>> model.expected_residual_lifetime(base, discount_rate=0.1, periods_per_year=1).round(2).tolist()
            [3.31, 3.45, 3.59, 3.72, 3.84]
        """
        count, delta, wait = _question(horizon_periods, discount_rate, periods_per_year, until_renewal)
        mean, _ = self._residual(tenures, count, delta, self._theta)
        return mean * math.exp(-delta * wait)

    def expected_lifetime(
        self,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        covariates: Mapping[str, float] | None = None,
    ) -> float:
        """Periods that a customer who signs up now will pay for, discounted: the first at once, then her renewals."""
        from retention._kernels.contracts import residual

        count, delta, _ = _question(horizon_periods, discount_rate, periods_per_year, 0.0)
        further = residual(self.recipe.kernel(), self._one(covariates), np.zeros(1), count, delta).mean
        return 1.0 + math.exp(-delta) * float(further[0])

    def value(
        self,
        tenures: Tenures,
        margin_per_period: Any,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        until_renewal: float = 0.0,
        interval: float = 0.90,
    ) -> ContractValuation:
        """What each customer's further renewals are worth, and bounds for what one customer will really bring.

        ``margin_per_period`` is a number, or one for each row: what a renewal brings when it is made. Horizon, discount
        and moment of payment as in ``expected_residual_lifetime``. The bounds are quantiles of the number of renewals
        she will make, averaged over what is not known about the parameters: what a customer brings is a function of
        that number alone. The margin is taken as known.
        """
        count, delta, wait = _question(horizon_periods, discount_rate, periods_per_year, until_renewal)
        margin = _margin(margin_per_period, len(tenures))
        if not 0 < interval < 1:
            raise ConfigError(
                f"interval={interval!r}", rule="an interval holds a share between 0 and 1", remedy="0.90 means 90 %"
            )
        front = math.exp(-delta * wait)
        discounted = self._residual(tenures, count, delta, self._theta)[0] * front
        # An endless horizon ends, for what is not discounted, where discounting would leave no digit of it.
        plain = self._residual(tenures, min(count, 45.0 / delta) if delta > 0 else count, 0.0, self._theta)[0]
        ends = [front * margin * _annuity(k, delta) for k in self._quantiles(tenures, count, delta, interval)]
        return ContractValuation(
            customer_id=tenures.customer_id,
            renewals=tenures.renewals,
            weight=tenures.weight,
            next_renewal=self.survival_ahead(tenures, 1),
            expected_renewals=plain,
            discounted_renewals=discounted,
            value=discounted * margin,
            value_low=np.minimum(*ends),
            value_high=np.maximum(*ends),
            model=self.name,
            horizon_periods=count,
            discount_rate=float(discount_rate),
            periods_per_year=float(periods_per_year),
            until_renewal=wait,
            interval=float(interval),
            provenance=self._provenance(tenures),
        )

    def total_interval(
        self,
        tenures: Tenures,
        margin_per_period: Any,
        *,
        discount_rate: float,
        periods_per_year: float,
        horizon_periods: float = math.inf,
        until_renewal: float = 0.0,
        interval: float = 0.90,
    ) -> tuple[float, float]:
        """Bounds of what all these customers will bring together; arguments as for ``value``.

        Chance is independent between customers, so their variances add up; doubt about the parameters is common to all,
        so its effect on the total adds up first. The sum is taken to be gamma distributed, which is right for some
        fifty customers and more.
        """
        count, delta, wait = _question(horizon_periods, discount_rate, periods_per_year, until_renewal)
        margin, front = _margin(margin_per_period, len(tenures)), math.exp(-delta * wait)
        mean, _ = self._residual(tenures, count, delta, self._theta)
        total = front * float(np.einsum("n,n,n->", mean, margin, tenures.weight))
        points = self._points()
        first, second, totals = np.zeros(len(tenures)), np.zeros(len(tenures)), np.zeros(len(points))
        for i, theta in enumerate(points):
            mean, square = self._residual(tenures, count, delta, theta, second=True)
            first, second = first + mean / len(points), second + square / len(points)
            totals[i] = front * np.einsum("n,n,n->", mean, margin, tenures.weight)
        own = np.maximum(second - first**2, 0.0) * (front * margin) ** 2
        variance = float(np.einsum("n,n->", own, tenures.weight)) + float(np.var(totals))
        return bounds_of_sum(total, variance, bool(np.all(margin >= 0)), interval)

    def plot(self, tenures: Tenures | None = None, periods: int | None = None, ax: Any = None) -> Any:
        """Draw survival: the model as a line (averaged over the customers), the data's own as dots.

        The grey line marks where the data end, and projection begins.
        """
        ax = axes(ax)
        seen = None if tenures is None else tenures.observed_survival()
        last = periods if periods is not None else (12 if seen is None else max(2 * (len(seen) - 1), 2))
        t = np.arange(last + 1, dtype=np.float64)
        if self.recipe.covariates and tenures is None:
            raise ConfigError(
                f"a picture of {self.name} with covariates and without customers",
                rule="survival is averaged over customers' covariates",
                remedy="pass the tenures",
            )
        if tenures is None or not self.recipe.covariates:
            curve = np.exp(-self.recipe.kernel().fade(self._one(None), 0.0, t))
        else:
            z, which = np.unique(self.recipe._columns(tenures), axis=0, return_inverse=True)
            weight = np.bincount(which.reshape(-1), tenures.weight) / tenures.customers
            params = [p[:, None] if np.ndim(p) else p for p in self._params(z)]
            curve = np.einsum("n,nt->t", weight, np.exp(-self.recipe.kernel().fade(params, 0.0, t[None])))
        ax.plot(
            t, 100 * curve, color="#1f5f8b", linewidth=2, label=f"{self.name}, fitted" if self.estimate else self.name
        )
        if seen is not None:
            ax.plot(np.arange(len(seen)), 100 * seen, "o", color="#c4512d", markersize=5, label="data")
            ax.axvline(len(seen) - 1, color="0.7", linewidth=1)
        ax.set(xlim=(0, last), ylim=(0, 102), xlabel="renewals", ylabel="% still customers")
        ax.legend(frameon=False)
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` gives a model with exactly the same numbers."""
        return {
            "format": FORMAT,
            **self.recipe.to_dict(),
            "theta": list(self.theta),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down; what it does not know it refuses with a ModelError."""
        known = {"format", "model", "covariates", "theta", "estimate"}
        if data.get("format") != FORMAT or set(data) != known or data["model"] not in MODELS:
            odd = sorted(set(data) ^ known)
            raise ModelError(
                f"a stored contractual model {data.get('model')!r} of format {data.get('format')!r}"
                + (f" with or without {', '.join(odd)}" if odd else ""),
                rule=f"this release reads format {FORMAT} of {', '.join(MODELS)}",
                remedy="fit the model again, or read it with the release that wrote it",
            )
        found = data["estimate"]
        return cls(
            recipe=MODELS[data["model"]](covariates=data["covariates"]),
            theta=tuple(float(value) for value in data["theta"]),
            estimate=None if found is None else Estimate.from_dict(found),
        )

    @property
    def _theta(self) -> FloatColumn:
        return np.array(self.theta)

    def _params(self, z: FloatColumn, theta: FloatColumn | None = None) -> list[Any]:
        return _spread_out(self.recipe.kernel(), self._theta if theta is None else theta, z)

    def _one(self, covariates: Mapping[str, float] | None) -> list[Any]:
        """Parameters at one set of covariates."""
        given = covariates or {}
        if set(given) != set(self.recipe.covariates):
            wanted = ", ".join(self.recipe.covariates) or "none"
            raise ConfigError(
                f"covariates {', '.join(given) or 'none'}",
                rule=f"this model reads the covariates: {wanted}",
                remedy="give one value of each, and no others",
            )
        z = np.array([[float(given[name]) for name in self.recipe.covariates]])
        return [float(np.ravel(p)[0]) for p in self._params(z)]

    def _residual(
        self, tenures: Tenures, count: float, delta: float, theta: FloatColumn, second: bool = False
    ) -> tuple[FloatColumn, FloatColumn]:
        """Mean (and mean square) of the discounted renewals of each row, once for customers who are alike."""
        from retention._kernels.contracts import residual

        k, z, which = self._distinct(tenures)
        found = residual(self.recipe.kernel(), self._params(z, theta), k, count, delta, second)
        return (np.where(tenures.ended, 0.0, found.mean[which]), np.where(tenures.ended, 0.0, found.square[which]))

    def _distinct(self, tenures: Tenures) -> tuple[FloatColumn, FloatColumn, IntColumn]:
        keys = np.column_stack([tenures.renewals, self.recipe._columns(tenures)])
        distinct, which = np.unique(keys, axis=0, return_inverse=True)
        return distinct[:, 0], distinct[:, 1:], which.reshape(-1)

    def _points(self) -> FloatColumn:
        """Points of theta that stand for the doubt about it, one a row; one if the parameters were given."""
        from retention._kernels.points import normal_points

        center = self._theta[None]
        if self.estimate is None:
            return center
        spread = np.array(self.estimate.spread)
        count = 32 if float(np.sqrt(np.diag(spread).max())) > 0.05 else 2 * (len(spread) + 1)
        return np.asarray(center + normal_points(count, len(spread)) @ np.linalg.cholesky(spread).T)

    def _quantiles(self, tenures: Tenures, count: float, delta: float, interval: float) -> list[FloatColumn]:
        """Two quantiles of the renewals each customer will still make, by bisection."""
        from retention._kernels.contracts import longest

        k, z, which = self._distinct(tenures)
        kernel, points = self.recipe.kernel(), [self._params(z, theta) for theta in self._points()]
        most = float(min(count, longest(delta)))
        bounds = []
        for level in ((1 - interval) / 2, (1 + interval) / 2):
            low, high = np.full(len(k), -1.0), np.full(len(k), most)
            while np.any(high - low > 1):
                middle = np.floor((low + high) / 2)
                beyond = sum(np.exp(-kernel.fade(params, k, middle + 1)) for params in points) / len(points)
                enough = beyond <= 1 - level
                high, low = np.where(enough, middle, high), np.where(enough, low, middle)
            bounds.append(np.where(tenures.ended, 0.0, high[which]))
        return bounds

    def _provenance(self, tenures: Tenures) -> Provenance:
        notes = [*tenures.provenance.notes, *(self.estimate.notes if self.estimate else ())]
        if self.estimate is None:
            notes.append(
                f"{self.name}: parameters were given, not fitted: intervals hold chance alone, no parameter doubt"
            )
        errors = self.standard_errors or {}
        return attrs.evolve(
            tenures.provenance,
            model=self.name,
            parameters={
                **self.params,
                "log_likelihood": self.log_likelihood,
                "standard_errors": {name: None if math.isnan(error) else error for name, error in errors.items()},
            },
            notes=tuple(dict.fromkeys(notes)),
        )


def _spread_out(kernel: "Contractual", theta: FloatColumn, z: FloatColumn) -> list[Any]:
    """Each parameter as a number, or one value a row where covariates act on it."""
    d, m = len(kernel.names), z.shape[1]
    params: list[Any] = [float(value) for value in np.exp(np.clip(theta[:d], -60, 60))]
    if m:
        for block, i in enumerate(kernel.scaled):
            effects = theta[d + block * m : d + (block + 1) * m]
            params[i] = np.exp(np.clip(theta[i] + np.einsum("nm,m->n", z, effects), -60, 60))
    return params


def _alike(tenures: Tenures, z: FloatColumn) -> tuple[FloatColumn, Any, FloatColumn, FloatColumn]:
    """Renewals, ended, weight and covariates with identical customers merged, which is exact."""
    keys = np.column_stack([tenures.renewals, tenures.ended, z])[tenures.weight > 0]
    distinct, which = np.unique(keys, axis=0, return_inverse=True)
    weight = np.bincount(which.reshape(-1), tenures.weight[tenures.weight > 0], len(distinct)).astype(np.float64)
    return distinct[:, 0], distinct[:, 1] > 0, weight, distinct[:, 2:]


def _reason(tenures: Tenures) -> str:
    """What about the customers keeps the likelihood from having a maximum, where that is plain to see."""
    some = tenures.take(tenures.weight > 0)
    if not len(some):
        return "there are no customers"
    if not some.ended.any():
        return "nobody has ended yet"
    if np.all(some.ended) and np.all(some.renewals == some.renewals[0]):
        return f"all ended at decision {int(some.renewals[0]) + 1}"
    if int((some.renewals + some.ended).max()) <= 1:
        return "only one renewal decision was seen, which tells the mean chance and not how customers differ"
    return ""


def _counts(periods: Any) -> FloatColumn:
    values = np.asarray(periods, dtype=np.float64)
    if not np.all(np.isfinite(values) & (values >= 0) & (values == np.rint(values))):
        raise ConfigError(
            "periods that are not whole numbers of zero or more",
            rule="renewals are counted in whole periods",
            remedy="pass 0, 1, 2, ...",
        )
    return values


def _question(periods: float, rate: float, per_year: float, wait: float) -> tuple[float, float, float]:
    """Decisions counted, discount rate a period and the wait for the first, or one clear error."""
    if not (math.isfinite(rate) and rate > -1):
        raise ConfigError(
            f"discount_rate={rate!r}", rule="a yearly rate is above -1 and finite", remedy="0.10 means 10 % a year"
        )
    if not (math.isfinite(per_year) and per_year > 0):
        raise ConfigError(
            f"periods_per_year={per_year!r}",
            rule="a contract renews a positive number of times a year",
            remedy="12 for monthly contracts, 1 for yearly ones",
        )
    if not (periods >= 0 and (math.isfinite(periods) or rate > 0)):
        raise ConfigError(
            f"horizon_periods={periods!r}",
            rule="a horizon is zero periods or more, and finite unless a discount rate makes the sum finite",
            remedy="give a number of renewals, or a discount_rate above 0",
        )
    if not 0 <= wait <= 1:
        raise ConfigError(
            f"until_renewal={wait!r}",
            rule="the next renewal lies between 0 periods (now) and 1 (the last was just made) ahead",
            remedy="0 just before the decision, 1 just after the last one, 0.5 in the middle of a period",
        )
    return float(np.floor(periods)), math.log1p(rate) / per_year, float(wait)


def _margin(margin: Any, rows: int) -> FloatColumn:
    values = np.asarray(margin, dtype=np.float64)
    if values.shape not in ((), (rows,)) or not np.all(np.isfinite(values)):
        raise ConfigError(
            f"margin_per_period of shape {values.shape}, or not finite",
            rule="a renewal brings one finite amount, or one for each row",
            remedy=f"pass a number, or {rows:,} numbers",
        )
    return np.broadcast_to(values, (rows,)).copy()


def _annuity(k: FloatColumn, delta: float) -> FloatColumn:
    """The sum of exp(-delta j) for j = 0 .. k - 1."""
    return np.asarray(k if delta == 0 else np.expm1(-delta * k) / math.expm1(-delta))
