"""What the fitted margin models have in common: whose days they read, and how they are written down."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from attrs import asdict, fields, frozen
from numpy.typing import NDArray

from retention.errors import ModelError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.estimate import Estimate, Fitted, positive_parameters
from retention.value.margins.slope import RateSlope
from retention.value.stored import check_doubt, reading
from retention.value.weights import weights_of

__all__ = ["FittedOnDays"]

_FAR = 1.5  # by which factor, in logs, doubt may move a deviation: one far out in a tail must not decide


@frozen(kw_only=True)
class FittedOnDays(Fitted):
    """The part of a fitted margin model that does not depend on what it supposes.

    ``first``: whether each customer's first purchase day is read as well. ``rates`` says how margins go with rates, if
    they do; ``rate_spread`` is the unit of log-rate in which ``estimate.spread`` is told.
    """

    NAME: ClassVar[str]
    LEADING: ClassVar[tuple[str, ...]]  # parameters, in the order of ``estimate.spread``, which may end with a slope
    POSITIVE: ClassVar[tuple[str, ...]]

    first: bool = False
    rates: RateSlope | None = None
    rate_spread: float = 1.0

    @property
    def name(self) -> str:
        """The registry name of the model."""
        return self.NAME

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "margin": self.name,
            **asdict(self, recurse=False),
            "rates": None if self.rates is None else asdict(self.rates),
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down; ModelError for what is not as it was written, by another model too."""
        with reading("margin model"):
            return cls._read(dict(data))

    @classmethod
    def _read(cls, parts: dict[str, Any]) -> Self:
        if parts.pop("margin", cls.NAME) != cls.NAME:
            raise ModelError(
                "a stored margin model of another name",
                rule=f"this class reads what it wrote: {cls.NAME}",
                remedy="use margin_from_dict, which looks at the name",
            )
        rates, evidence = parts["rates"], parts["estimate"]
        parts["rates"] = None if rates is None else RateSlope(**rates)
        parts["estimate"] = None if evidence is None else Estimate.from_dict(evidence)
        read = cls(**parts)
        told = [*asdict(read, recurse=False).values(), *({} if read.rates is None else asdict(read.rates)).values()]
        numbers = [float(value) for value in told if value is not None and not isinstance(value, RateSlope | Estimate)]
        if set(parts) != {f.name for f in fields(cls)} or not all(map(math.isfinite, numbers)):
            raise ValueError("every part is there, and every number is finite")
        positive_parameters(cls.NAME, {name: parts[name] for name in cls.POSITIVE}, cls.POSITIVE)
        check_doubt(read.estimate, (), [*cls.LEADING, *([] if read.rates is None else ["slope"])])
        return read

    @property
    def _slope(self) -> float:
        return 0.0 if self.rates is None else self.rates.slope

    def _with_rates(self, own: dict[str, float]) -> dict[str, float]:
        """Parameters, and slope and mean log-rate if margins go with rates."""
        return own if self.rates is None else {**own, "slope": self.rates.slope, "log_rate_mean": self.rates.center}

    def _away(self, log_rate: FloatColumn | None, customers: int) -> FloatColumn:
        return np.zeros(customers) if self.rates is None else self.rates.away(log_rate, customers)

    def _varied(
        self, value: float, which: int, counts: FloatColumn, rng: np.random.Generator
    ) -> NDArray[np.float64] | float:
        """A positive parameter (``which`` in the order of the spread) drawn from the doubt about it: a row, a draw."""
        if self.estimate is None:
            return value
        error = math.sqrt(self.estimate.spread[which][which])
        steps = error * rng.standard_normal((*np.shape(counts)[:-1], 1))
        return np.asarray(value * np.exp(np.clip(steps, -_FAR, _FAR)))

    def k_hat(
        self,
        histories: Histories,
        log_rate: FloatColumn | None = None,
        weight: FloatColumn | None = None,
        *,
        draws: int = 1_000,
        seed: int = 0,
    ) -> float:
        """Whether the normal spread of the parameters may stand for the doubt about them, on the data fitted to.

        The Pareto shape of the importance ratios of the posterior (the likelihood times the weak prior that the spread
        contains) to that normal: below 0.5 good, above 0.7 the intervals that rest on it are rough; itself uncertain by
        about 0.15 at a thousand draws. Infinite for given parameters, which have no doubt to be checked.
        """
        from retention._kernels.psis import smooth

        if self.estimate is None or not self.estimate.customers:
            return math.inf
        log_likelihood, point, prior_sd = self._fitted_to(histories, log_rate, weights_of(weight, len(histories)))
        root = np.linalg.cholesky(np.asarray(self.estimate.spread))
        z = np.random.default_rng(seed).standard_normal((draws, len(point)))
        moves = z @ root.T
        precision = prior_sd[: len(point)] ** -2.0
        logs = np.array([log_likelihood(point + move) - float(precision @ move**2) / 2 for move in moves])
        return smooth(logs + np.einsum("ij,ij->i", z, z) / 2).k_hat

    def _fitted_to(
        self, histories: Histories, log_rate: FloatColumn | None, weight: FloatColumn
    ) -> tuple[Callable[[FloatColumn], float], FloatColumn, FloatColumn]:
        """The log-likelihood as the fit saw it, where its maximum is, and the prior's standard deviations."""
        raise NotImplementedError
