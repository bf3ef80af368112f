"""What all purchase models share: a recipe that is fitted to a base, over a kernel that holds the mathematics.

A model of this library is a subclass of :class:`PurchaseModel` with a name, a kernel and the middle of its weak prior.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import evolve, field, fields, frozen

from retention.errors import ConfigError, ModelError, nearest
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.margins.gammagamma import GammaGamma
from retention.value.margins.protocol import MarginModel, margin_model, weights_of
from retention.value.purchases.estimate import estimate, positive_parameters
from retention.value.purchases.fitted import FittedPurchases

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Kernel, Rows
    from retention.value.purchases.posterior import Posterior

__all__ = ["PurchaseModel", "rows_of"]

_SKETCH = 256  # cells that stand for the base while the climb looks for where to start


def rows_of(histories: Histories) -> "Rows":
    """What a kernel reads of a base, in days."""
    from retention._kernels.purchases import Rows

    x = histories.frequency.astype(np.float64)
    return Rows(x, histories.recency_days, histories.age_days, histories.gap_log_sum)


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    """One name is one name, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


@frozen(kw_only=True)
class PurchaseModel:
    """A recipe: how often customers come back, with ``margin`` for what a purchase day brings.

    ``time_unit_days`` is the unit of parameters that are times (7: weeks, as the literature prints them); forecasts do
    not depend on it. ``prior`` pulls named parameters towards what is known before: ``{"a": (0.8, 3.0)}`` is a
    log-normal prior with median 0.8 and a geometric standard deviation of 3 (an L2 penalty on the log-parameter), times
    in the time unit. Without it a weak prior enters only where the likelihood has no clear maximum.

    ``rate`` and ``dropout`` name attributes of the customers (``histories.with_attributes``) that multiply the purchase
    rate, and the hazard of leaving, by exp(coefficient * attribute) (Fader and Hardie 2007); where the chances to buy
    or to leave are beta distributed they multiply its first parameter instead. ``penalty`` shrinks their
    coefficients: it is the precision of a normal prior, for attributes scaled to a standard deviation of one.
    """

    NAME: ClassVar[str]
    CENTER: ClassVar[Mapping[str, float]]
    FACTOR: ClassVar[float] = 4.5

    RATE: ClassVar[tuple[str, int]] = ("alpha", -1)
    DROPOUT: ClassVar[tuple[str, int] | None] = None

    time_unit_days: float = field(default=7.0)
    margin: MarginModel = field(factory=GammaGamma)
    prior: Mapping[str, tuple[float, float]] = field(factory=dict)
    rate: tuple[str, ...] = field(default=(), converter=_names)
    dropout: tuple[str, ...] = field(default=(), converter=_names)
    penalty: float = field(default=0.0)

    @dropout.validator
    def _check_dropout(self, attribute: Any, value: tuple[str, ...]) -> None:
        if value and self.DROPOUT is None:
            raise ConfigError(
                f"dropout={value!r} of {self.NAME}",
                rule="only a model in which customers leave has a drop-out to explain",
                remedy="leave it out, or choose a model with drop-out such as pareto-nbd",
            )

    @penalty.validator
    def _check_penalty(self, attribute: Any, value: float) -> None:
        if not 0 <= value < math.inf:
            raise ConfigError(
                f"penalty={value!r}", rule="a penalty is zero or more", remedy="1.0 is a standard normal prior"
            )

    @time_unit_days.validator
    def _check_unit(self, attribute: Any, value: float) -> None:
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(
                f"time_unit_days={value!r}", rule="a time unit is positive and finite", remedy="7 means weeks"
            )

    @prior.validator
    def _check_prior(self, attribute: Any, value: Mapping[str, tuple[float, float]]) -> None:
        for name, pair in value.items():
            if name not in self.CENTER:
                raise ConfigError(
                    f"a prior for {name!r}", rule=f"{self.NAME} has {', '.join(self.CENTER)}",
                    remedy=nearest(name, tuple(self.CENTER)),
                )  # fmt: skip
            if not (len(pair) == 2 and 0 < pair[0] < math.inf and 1 < pair[1] < math.inf):
                raise ConfigError(
                    f"prior {name}={pair!r}",
                    rule="a prior is a positive median and a geometric standard deviation above 1",
                    remedy="(0.8, 3.0): probably between 0.8 / 3 and 0.8 * 3",
                )

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return self.NAME

    def kernel(self) -> "Kernel":
        """The mathematics: a record of functions from ``retention._kernels``."""
        raise NotImplementedError

    def at(self, **params: float) -> "FittedPurchases":
        """The model at given parameters (times in the time unit); with those of the margin model it can also ``value``.

        Raises ModelError for a name that is unknown or missing, and for a value that is not positive.
        """
        kernel = self.kernel()
        money = {name: value for name, value in params.items() if name in self.margin.names}
        own = {name: value for name, value in params.items() if name not in money}
        values = positive_parameters(self.name, own, kernel.names)
        return FittedPurchases(
            recipe=self,
            purchase_params=tuple(values[name] for name in kernel.names),
            margin=self.margin.at(**money) if money else None,
        )

    def fit(self, histories: Histories, weight: FloatColumn | None = None) -> "FittedPurchases":
        """Learn the purchases and the margins from a base.

        ``weight`` says how many customers each row stands for (default 1). Never fails for want of data: where the
        likelihood has no clear maximum (a handful of customers, nobody with a repeat purchase, all alike) a weak prior
        chooses, and ``diagnosis`` and the notes say so and along which ridge the parameters could wander.
        """
        if self.rate or self.dropout:
            from retention.value.purchases.explained import fit_explained

            fitted = fit_explained(self, histories, weight)
        else:
            fitted = self._fit_plain(histories, weight)
        return evolve(fitted, margin=self.margin.fit(histories, fitted.log_rate(histories), weight))

    def _fit_plain(self, histories: Histories, weight: FloatColumn | None) -> "FittedPurchases":
        kernel, clock = self.kernel(), self.clock(histories, weight)
        cells = self.cells(histories, weight, which=False).scaled(clock)
        mean, sd, always = self.log_prior(clock)
        point, found = estimate(
            lambda theta: kernel.total(np.exp(theta), cells),
            model=self.name,
            names=kernel.names,
            prior_mean=mean,
            prior_sd=sd,
            always=always,
            customers=float(cells.weight.sum()),
            sketch=_sketch(kernel, cells),
        )
        unit = (clock / self.time_unit_days) ** np.array(kernel.time_power, dtype=np.float64)
        values = np.exp(point) * unit
        errors = {name: error * float(u) for (name, error), u in zip(found.standard_errors.items(), unit, strict=True)}
        events = 0.0 if kernel.discrete else float(np.einsum("n,n->", cells.weight, cells.rows.x))
        found = evolve(
            found,
            log_likelihood=found.log_likelihood - events * math.log(clock / self.time_unit_days),
            standard_errors=errors,
        )
        return FittedPurchases(recipe=self, purchase_params=tuple(values.tolist()), estimate=found)

    def posterior(
        self, histories: Histories, *, draws: int = 1000, seed: int = 0, weight: FloatColumn | None = None
    ) -> "Posterior":
        """Draws of the parameters given a base, under the weak prior: see ``sample_posterior``.

        Example:
            >>> from retention.value import BGNBD
            >>> base = Histories.from_arrays(frequency=[0, 2, 5, 0, 1] * 40, recency_days=[0, 60, 80, 0, 20] * 40,
            ...                              age_days=[90, 90, 84, 200, 150] * 40)
            >>> posterior = BGNBD().posterior(base, draws=500, seed=1)
            >>> len(posterior), posterior.names
            (500, ('r', 'alpha', 'a', 'b'))
        """
        from retention.value.purchases.posterior import sample_posterior

        return sample_posterior(self, histories, draws=draws, seed=seed, weight=weight)

    def clock(self, histories: Histories, weight: FloatColumn | None = None) -> float:
        """The days that count as one time unit while fitting: the median age, so that priors scale with the data."""
        w = weights_of(weight, len(histories))
        old = np.flatnonzero((histories.age_days > 0) & (w > 0))
        if not len(old) or self.kernel().discrete:
            return self.time_unit_days
        order = old[np.argsort(histories.age_days[old], kind="stable")]
        held = np.cumsum(w[order])
        return float(histories.age_days[order[np.searchsorted(held, held[-1] / 2)]])

    def rows(self, histories: Histories) -> "Rows":
        """What the kernel reads of a base, in days; a model may ask more of the base, and raise."""
        return rows_of(histories)

    def cells(self, histories: Histories, weight: FloatColumn | None = None, *, which: bool = True) -> "Cells":
        """The base with identical customers merged, in days."""
        from retention._kernels.purchases import merge

        return merge(self.rows(histories), weight, gaps=self.kernel().uses_gaps, which=which)

    def log_prior(self, clock: float) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        """Means and standard deviations of the log-parameters (times in ``clock`` days), and the precision of those
        that a prior was asked for."""
        kernel = self.kernel()
        unit = np.array(kernel.time_power) * math.log(self.time_unit_days / clock)
        mean = np.log([self.CENTER[name] for name in kernel.names])
        sd, always = np.full(len(mean), math.log(self.FACTOR)), np.zeros(len(mean))
        for i, name in enumerate(kernel.names):
            if name in self.prior:
                median, factor = self.prior[name]
                mean[i], sd[i] = math.log(median) + unit[i], math.log(factor)
                always[i] = sd[i] ** -2
        return mean, sd, always

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {f.name: getattr(self, f.name) for f in fields(type(self))}
        prior = {name: list(pair) for name, pair in self.prior.items()}
        lists = {"rate": list(self.rate), "dropout": list(self.dropout)}
        return {**plain, **lists, "model": self.name, "margin": self.margin.to_dict(), "prior": prior}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "PurchaseModel":
        """The recipe that ``to_dict`` wrote down: of whichever loaded model has that name."""
        known = {found.NAME: found for found in _descendants(PurchaseModel)}
        name = str(data.get("model"))
        if name not in known:
            raise ModelError(
                f"a stored purchase model named {name!r}",
                rule=f"the models at hand are {', '.join(sorted(known))}",
                remedy=f"{nearest(name, tuple(known))}; or import the package that brings it first",
            )
        plain = {key: value for key, value in data.items() if key != "model"}
        unknown = set(plain) - {f.name for f in fields(known[name])}
        if unknown:
            raise ModelError(
                f"a stored {name} with {', '.join(sorted(unknown))}",
                rule="a recipe is read by a release that knows all its parts",
                remedy="read it with the release that wrote it",
            )
        prior = {key: (float(pair[0]), float(pair[1])) for key, pair in plain["prior"].items()}
        return known[name](**{**plain, "margin": margin_model(**plain["margin"]), "prior": prior})


def _descendants(cls: type[PurchaseModel]) -> list[type[PurchaseModel]]:
    import retention.value  # noqa: F401  (so that ours are all there)

    below = [found for child in cls.__subclasses__() for found in (child, *_descendants(child))]
    return [found for found in below if hasattr(found, "NAME")]


def _sketch(kernel: "Kernel", cells: "Cells") -> Callable[[Any], Any] | None:
    """The likelihood of a few hundred of the cells, for finding a start; None if there are no more."""
    if len(cells.weight) <= 2 * _SKETCH:
        return None
    every = len(cells.weight) // _SKETCH
    some = cells._replace(rows=cells.rows.take(slice(None, None, every)), weight=cells.weight[::every])
    return lambda theta: kernel.total(np.exp(theta), some)
