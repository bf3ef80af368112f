"""How long customers will renew whose end is seen: the models, and how they learn."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ConfigError, ModelError, nearest
from retention.frames.table import FloatColumn
from retention.value.contracts.fitted import FittedContracts
from retention.value.contracts.likelihood import ContractLikelihood
from retention.value.contracts.tenures import Tenures
from retention.value.estimate import Estimate, carried_over, estimate, positive_parameters
from retention.value.prior import check_penalty, check_prior, log_normal
from retention.value.stored import reading

if TYPE_CHECKING:
    from retention._kernels.contracts import Contractual
    from retention.value.contracts.posterior import ContractPosterior

__all__ = ["BetaDiscreteWeibull", "ContractModel", "DiscreteWeibull", "ShiftedBetaGeometric"]

_FACTOR = 4.5  # the geometric standard deviation of the weak prior of each parameter
_DOUBT = math.log(4.5)  # the standard deviation of that of an effect, for a covariate scaled to one of 1


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(name) for name in names)


@frozen(kw_only=True)
class ContractModel:
    """A recipe for customers whose end is seen; ``covariates`` names the columns of the tenures that it reads.

    A covariate z multiplies each of the parameters that describe the chance of ending (alpha and beta; the hazard of
    the discrete Weibull) by exp(effect * z), with its own effect on each, as Fader and Hardie (2007, "Incorporating
    time-invariant covariates into the Pareto/NBD and BG/NBD models") do for other beta and gamma mixtures.

    ``prior`` pulls named parameters towards what is known before: ``{"alpha": (0.8, 3.0)}`` is a log-normal prior with
    median 0.8 and a geometric standard deviation of 3, for a customer whose covariates are the average of the base.
    Without it a weak prior (geometric standard deviation 4.5 around ``CENTER``) enters only where the likelihood has no
    clear maximum, and in the posterior. ``penalty`` is the precision of a normal prior on the effects, for covariates
    scaled to a standard deviation of one.
    """

    NAME: ClassVar[str]
    CENTER: ClassVar[Mapping[str, float]]

    covariates: tuple[str, ...] = field(default=(), converter=_names)
    prior: Mapping[str, tuple[float, float]] = field(factory=dict)
    penalty: float = 0.0

    def __attrs_post_init__(self) -> None:
        if len(set(self.covariates)) < len(self.covariates):
            raise ConfigError(
                f"covariates={self.covariates!r}",
                rule="each covariate is named once",
                remedy="leave out the repetition",
            )
        check_prior(self.NAME, self.prior, tuple(self.CENTER))
        check_penalty(self.penalty)

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

    def at(self, params: Mapping[str, float] | None = None, **more: float) -> FittedContracts:
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

    def fit(self, tenures: Tenures) -> FittedContracts:
        """Learn from customers' tenures by maximum likelihood, those who are still there counted as that.

        Where the likelihood has no clear maximum (nobody ended; all ended at once; one decision only; all alike; a
        covariate that does not vary, or repeats another) a weak prior chooses, and ``diagnosis`` says so.

        Raises ModelError if a covariate is not in the tenures.
        """
        base = self.likelihood(tenures)
        sketch = base.sketch()
        mean, sd, always = self.log_prior()
        point, found = estimate(
            base.total,
            model=self.name,
            names=self.names,
            prior_mean=mean,
            prior_sd=sd,
            always=always,
            customers=float(base.weight.sum()),
            sketch=None if sketch is None else sketch.total,
        )
        theta = base.back @ point
        own = len(base.kernel.names)
        slope = np.concatenate([np.exp(theta[:own]), np.ones(len(theta) - own)])
        found = carried_over(found, base.back, curvature=np.diag(always) - base.total(point)[2], slope=slope)
        found = self._explained(found, base)
        return FittedContracts(recipe=self, theta=tuple(theta.tolist()), estimate=found)

    def posterior(self, tenures: Tenures, *, draws: int = 1000, seed: int = 0) -> "ContractPosterior":
        """Draws of the parameters given a base, under the weak prior or the one asked for: see ``ContractPosterior``.

        Raises ConfigError for fewer than 100 draws, ModelError for a base without customers.

        Example:
            >>> base = Tenures.from_survivors([50, 40, 33, 29])
            >>> posterior = ShiftedBetaGeometric().posterior(base, draws=500, seed=1)
            >>> len(posterior), posterior.names
            (500, ('alpha', 'beta'))
        """
        from retention.value.contracts.posterior import sample_contracts

        return sample_contracts(self, tenures, draws=draws, seed=seed)

    def likelihood(self, tenures: Tenures) -> ContractLikelihood:
        """Of a base, for this model's covariates."""
        return ContractLikelihood.of(self.kernel(), tenures, self.columns(tenures))

    def log_prior(self) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
        """Means and standard deviations of the log-parameters and effects (covariates in standard deviations from
        their mean), and the precision of those that a prior was asked for."""
        mean, sd, always = log_normal(self.CENTER, _FACTOR, self.prior)
        effects = np.zeros(len(self.names) - len(mean))
        doubt = self.penalty**-0.5 if self.penalty else _DOUBT
        return (
            np.concatenate([mean, effects]),
            np.concatenate([sd, effects + doubt]),
            np.concatenate([always, effects + self.penalty]),
        )

    def columns(self, tenures: Tenures) -> FloatColumn:
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
        prior = {name: list(pair) for name, pair in self.prior.items()}
        return {"model": self.name, "covariates": list(self.covariates), "prior": prior, "penalty": self.penalty}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "ContractModel":
        """The recipe that ``to_dict`` wrote down; ModelError for a model or a part that is not known here."""
        with reading("contractual model"):
            return ContractModel._read(data)

    @staticmethod
    def _read(data: Mapping[str, Any]) -> "ContractModel":
        plain = {key: value for key, value in data.items() if key != "model"}
        if data.get("model") not in MODELS or set(plain) != {"covariates", "prior", "penalty"}:
            raise ModelError(
                f"a stored contractual model {data.get('model')!r} with {', '.join(plain)}",
                rule=f"this release reads {', '.join(MODELS)} with covariates, prior and penalty",
                remedy="fit the model again, or read it with the release that wrote it",
            )
        prior = {name: (float(median), float(factor)) for name, (median, factor) in plain["prior"].items()}
        return MODELS[data["model"]](**{**plain, "prior": prior})

    def _explained(self, found: Estimate, base: ContractLikelihood) -> Estimate:
        """A diagnosis with its reason, where that is plain to see."""
        still = [name for name, moves in zip(self.covariates, base.varies, strict=True) if not moves]
        flat = f"{', '.join(still)} has one value only" if still else ""
        reason = "; ".join(text for text in (base.reason(), flat) if text)
        if not (found.diagnosis and reason):
            return found
        said = f"{found.diagnosis}; {reason}"
        return evolve(found, diagnosis=said, notes=tuple(note.replace(found.diagnosis, said) for note in found.notes))


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
