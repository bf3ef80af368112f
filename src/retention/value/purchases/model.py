"""What all purchase models share: a recipe that is fitted to a base, over a kernel that holds the mathematics.

A model of this library is a subclass of :class:`PurchaseModel` with a name, a kernel and the middle of its weak prior.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import evolve, field, fields, frozen

from retention.errors import ConfigError, ModelError, nearest
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.estimate import estimate, positive_parameters
from retention.value.margins.gammagamma import GammaGamma
from retention.value.margins.named import margin_model
from retention.value.margins.protocol import MarginModel
from retention.value.prior import check_penalty, check_prior
from retention.value.purchases.covariates import Design, Moves, names_of
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.merged import merged
from retention.value.purchases.starts import finer, hills, sketch
from retention.value.stored import reading
from retention.value.weights import weights_of

if TYPE_CHECKING:
    from retention._kernels.purchases import Cells, Kernel, Rows
    from retention.value.purchases.explained import Explained
    from retention.value.purchases.posterior import Posterior

__all__ = ["PurchaseModel", "rows_of"]


def rows_of(histories: Histories) -> "Rows":
    """What a kernel reads of a base, in days."""
    from retention._kernels.purchases import Rows

    x = histories.frequency.astype(np.float64)
    return Rows(x, histories.recency_days, histories.age_days, histories.gap_log_sum)


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
    scale_free: ClassVar[bool] = True  # no sum of money is known by heart: cents are as good as whole money
    CENTER: ClassVar[Mapping[str, float]]
    FACTOR: ClassVar[float] = 4.5

    RATE: ClassVar[tuple[str, int]] = ("alpha", -1)
    SHAPE: ClassVar[str] = "r"  # of the gamma, or the first of the beta, that rates follow
    DROPOUT: ClassVar[tuple[str, int] | None] = None

    time_unit_days: float = field(default=7.0)
    margin: MarginModel = field(factory=GammaGamma)
    prior: Mapping[str, tuple[float, float]] = field(factory=dict)
    rate: tuple[str, ...] = field(default=(), converter=names_of)
    dropout: tuple[str, ...] = field(default=(), converter=names_of)
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
        check_penalty(value)

    @time_unit_days.validator
    def _check_unit(self, attribute: Any, value: float) -> None:
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(
                f"time_unit_days={value!r}", rule="a time unit is positive and finite", remedy="7 means weeks"
            )

    @prior.validator
    def _check_prior(self, attribute: Any, value: Mapping[str, tuple[float, float]]) -> None:
        check_prior(self.NAME, value, tuple(self.CENTER))

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
        weight = None if weight is None else weights_of(weight, len(histories))
        if weight is None and self._as_others_see:
            self.cells(histories)  # who is alike is asked below: merged once
        fitted = self.fit_purchases(histories, weight)
        log_rate = fitted.log_rate(histories) if getattr(self.margin, "by_rate", True) else None
        return evolve(fitted, margin=self.margin.fit(histories, log_rate, weight))

    def fit_purchases(self, histories: Histories, weight: FloatColumn | None = None) -> "FittedPurchases":
        """``fit`` without the margins."""
        weight = None if weight is None else weights_of(weight, len(histories))
        explained = bool(self.rate or self.dropout)
        return self._fit_explained(histories, weight) if explained else self._fit_plain(histories, weight)

    def _fit_plain(self, histories: Histories, weight: FloatColumn | None) -> "FittedPurchases":
        kernel, clock = self.kernel(), self.clock(histories, weight)
        cells = self.cells(histories, weight, which=False).scaled(clock)
        mean, sd, always = self.log_prior(clock)
        few, some, whole = sketch(cells), finer(cells), kernel.on(cells)
        drawn = whole if few is cells else kernel.on(few)
        nearer = None if some is None else kernel.on(some)
        begins = hills(drawn, mean, sd, always, nearer) if len(cells.weight) else []
        point, found = estimate(
            lambda theta: whole.total(np.exp(theta)),
            model=self.name,
            names=kernel.names,
            prior_mean=mean,
            prior_sd=sd,
            always=always,
            customers=float(cells.weight.sum()),
            sketch=None if few is cells else lambda theta: drawn.total(np.exp(theta)),
            begins=[hill.summit for hill in begins],
        )
        if begins and not found.diagnosis:
            nearest_hill = min(begins, key=lambda hill: float(np.abs(hill.summit - point).max()))
            found = evolve(found, starts=nearest_hill.starts)
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

    def _fit_explained(self, histories: Histories, weight: FloatColumn | None) -> FittedPurchases:
        """Attributes are centred and scaled: parameters are those of a customer with average attributes, and so is a
        ``prior`` on them; coefficients are told per unit of the attribute."""
        from retention.value.purchases.explained import fit_explained

        kernel, clock, ones = self.kernel(), self.clock(histories, weight), weights_of(weight, len(histories))
        design = Design.learn(histories, self.rate, self.dropout, ones)
        point, found = fit_explained(
            self.explained(histories, design, clock, ones),
            model=self.name,
            names=design.names,
            prior=self.log_prior(clock),
            penalty=self.penalty,
            customers=float(ones.sum()),
        )
        d, unit = len(kernel.names), (clock / self.time_unit_days) ** np.array(kernel.time_power, dtype=np.float64)
        # estimate() speaks of positive parameters; a coefficient's own error is without the factor exp(coefficient).
        factor = np.concatenate([unit, np.exp(-point[d:]) / design.scales])
        events = 0.0 if kernel.discrete else float(np.einsum("n,n->", ones, histories.frequency))
        told = zip(found.standard_errors.items(), factor.tolist(), strict=True)
        errors = {name: error * by for (name, error), by in told}
        found = evolve(
            found,
            log_likelihood=found.log_likelihood - events * math.log(clock / self.time_unit_days),
            standard_errors=errors,
        )
        params = tuple((np.exp(point[:d]) * unit).tolist())
        coefficients = tuple(point[d:].tolist())
        return FittedPurchases(
            recipe=self, purchase_params=params, estimate=found, design=design, coefficients=coefficients
        )

    def moves(self, design: Design) -> Moves:
        """Which parameter each coefficient of a design moves, and which way."""
        names = self.kernel().names
        processes = [(self.RATE, design.rate), (self.DROPOUT or self.RATE, design.dropout)]
        return tuple((names.index(name), sign) for (name, sign), columns in processes for _ in columns)

    def explained(
        self, histories: Histories, design: Design, clock: float, weight: FloatColumn | None = None
    ) -> "Explained":
        """The likelihood of a base whose attributes move rate and drop-out, times in ``clock`` days."""
        from retention.value.purchases.explained import explained

        rows, ones = self.rows(histories).scaled(clock), weights_of(weight, len(histories))
        return explained(self.kernel(), self.moves(design), rows, design.matrix(histories), ones)

    def posterior(
        self,
        histories: Histories,
        *,
        draws: int = 1000,
        seed: int = 0,
        weight: FloatColumn | None = None,
        margins: bool = True,
    ) -> "Posterior":
        """Draws of the parameters given a base, under the weak prior: see ``sample_posterior``.

        Without ``margins`` it is the posterior of ``fit_purchases``: sooner there, with nothing to say of money.

        Example:
            >>> from retention.value import BGNBD
            >>> base = Histories.from_arrays(frequency=[0, 2, 5, 0, 1] * 40, recency_days=[0, 60, 80, 0, 20] * 40,
            ...                              age_days=[90, 90, 84, 200, 150] * 40)
            >>> posterior = BGNBD().posterior(base, draws=500, seed=1)
            >>> len(posterior), posterior.names
            (500, ('r', 'alpha', 'a', 'b'))
        """
        from retention.value.purchases.draws import sample_posterior

        return sample_posterior(self, histories, draws=draws, seed=seed, weight=weight, margins=margins)

    def clock(self, histories: Histories, weight: FloatColumn | None = None) -> float:
        """The days that count as one time unit while fitting: the median age, so that priors scale with the data."""
        from retention._kernels.purchases import levels

        if self.kernel().discrete:
            return self.time_unit_days
        if weight is None:
            cells = merged(histories, rows_of, gaps=False, which=False)
            T, w, grid = cells.rows.T, cells.weight, cells.grid
        else:
            T, w, grid = histories.age_days, weights_of(weight, len(histories)), None
        if grid is None:
            ages, at = levels(T) if len(T) else (T, np.zeros(0, dtype=np.intp))
        else:
            ages, at = grid.times, grid.at_T
        held = np.cumsum(np.where(ages > 0, np.bincount(at, w, len(ages)), 0.0))
        if not len(held) or held[-1] == 0:
            return self.time_unit_days
        return float(ages[np.searchsorted(held, held[-1] / 2)])

    def rows(self, histories: Histories) -> "Rows":
        """What the kernel reads of a base, in days; a model may ask more of the base, and raise."""
        return rows_of(histories)

    def cells(self, histories: Histories, weight: FloatColumn | None = None, *, which: bool = True) -> "Cells":
        """The base with identical customers merged, in days."""
        from retention._kernels.purchases import merge

        gaps = self.kernel().uses_gaps
        if weight is None and self._as_others_see:
            return merged(histories, self.rows, gaps=gaps, which=which)
        return merge(self.rows(histories), weight, gaps=gaps, which=which)

    @property
    def _as_others_see(self) -> bool:
        """Whether the model merges customers as most do, so that a base remembers its cells."""
        return type(self).rows is PurchaseModel.rows and type(self).cells is PurchaseModel.cells

    def own_cells(self, histories: Histories) -> "Cells":
        """As ``cells``, with those apart who differ in anything that a single customer's likelihood reads."""
        return self.cells(histories)

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
        with reading("purchase model"):
            return PurchaseModel._read(data)

    @staticmethod
    def _read(data: Mapping[str, Any]) -> "PurchaseModel":
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
        prior = {key: (float(median), float(factor)) for key, (median, factor) in plain["prior"].items()}
        return known[name](**{**plain, "margin": margin_model(**plain["margin"]), "prior": prior})


def _descendants(cls: type[PurchaseModel]) -> list[type[PurchaseModel]]:
    import retention.value  # noqa: F401  (so that ours are all there)

    below = [found for child in cls.__subclasses__() for found in (child, *_descendants(child))]
    return [found for found in below if hasattr(found, "NAME")]
