"""How far a parameter can move before the data object: profile-likelihood intervals."""

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from retention.errors import ConfigError, ModelError, nearest
from retention.frames.table import FloatColumn
from retention.histories import Histories

if TYPE_CHECKING:
    from retention.value.purchases.model import PurchaseModel

__all__ = ["ProfileInterval", "profile_interval"]

_FAR = 9.0  # of log-parameters: there a side counts as without end; the others have room to follow inside their box


@frozen(kw_only=True)
class ProfileInterval:
    """A parameter's likeliest value and the bounds between which no value is refuted at ``level``.

    A side on which the likelihood never falls far enough is open: 0 or infinity.
    """

    parameter: str
    value: float
    low: float
    high: float
    level: float

    def __repr__(self) -> str:
        return f"<{self.parameter} = {self.value:.4g}, {100 * self.level:.0f} %: {self.low:.4g} to {self.high:.4g}>"


def profile_interval(
    model: "PurchaseModel",
    histories: Histories,
    parameter: str,
    *,
    level: float = 0.90,
    weight: FloatColumn | None = None,
) -> ProfileInterval:
    """The values of one parameter that a likelihood-ratio test would not refuse, the others free to follow.

    Where a likelihood is skewed or ends in a ridge (a and b of BG/NBD, s and beta of Pareto/NBD) a standard error says
    too much; this is honest there, and open where the data set no bound. A ``prior`` that the model asks for counts.
    Times are in the model's time unit. Venzon and Moolgavkar 1988, Applied Statistics 37(1), 87-94.

    Raises ConfigError for an unknown parameter or a level out of range.

    Example:
        >>> from retention.value import BGNBD
        >>> base = Histories.from_arrays(frequency=[0, 2, 5, 0, 1] * 40, recency_days=[0, 60, 80, 0, 20] * 40,
        ...                              age_days=[90, 90, 84, 200, 150] * 40)
        >>> r = profile_interval(BGNBD(), base, "r")
        >>> 0 < r.low < r.value < r.high < 10
        True
    """
    from scipy.optimize import brentq
    from scipy.special import chdtri

    from retention._kernels.newton import maximise

    kernel = model.kernel()
    if parameter not in kernel.names:
        raise ConfigError(
            f"a profile of {parameter!r}", rule=f"{model.name} has {', '.join(kernel.names)}",
            remedy=nearest(parameter, kernel.names),
        )  # fmt: skip
    if not 0 < level < 1:
        raise ConfigError(f"level={level!r}", rule="a level is between 0 and 1", remedy="0.90 means 90 %")
    if model.rate or model.dropout:
        raise ModelError(
            f"a profile of {model.name} with covariates",
            rule="profiles are of the models without covariates",
            remedy="read the standard errors of the fit",
        )
    clock = model.clock(histories, weight)
    cells = model.cells(histories, weight, which=False).scaled(clock)
    center, _, always = model.log_prior(clock)

    def height(theta: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
        value, gradient, hessian = kernel.total(np.exp(theta), cells)
        pull = always * (theta - center)
        return value - float(pull @ (theta - center)) / 2, gradient - pull, hessian - np.diag(always)

    top = maximise(height, center)
    here = kernel.names.index(parameter)
    free = np.arange(len(center)) != here
    drop = float(chdtri(1, 1 - level)) / 2
    known: dict[float, FloatColumn] = {float(top.point[here]): top.point}

    def short(at: float) -> float:
        """How far the best likelihood with the parameter held there stays above what is refused."""

        def held(theta: FloatColumn) -> tuple[float, FloatColumn, FloatColumn]:
            full = np.empty(len(center))
            full[free], full[here] = theta, at
            value, gradient, hessian = height(full)
            return value, gradient[free], hessian[np.ix_(free, free)]

        begin = known[min(known, key=lambda other: abs(other - at))]
        found = maximise(held, begin[free])
        known[at] = np.insert(found.point, here, at)
        return found.value - (top.value - drop)

    bounds = []
    for way in (-1.0, 1.0):
        inside, reach = float(np.clip(top.point[here], -_FAR, _FAR)), 0.1
        while way * inside < _FAR:
            outside, reach = way * min(way * inside + reach, _FAR), 2 * reach
            if short(outside) < 0:
                bounds.append(float(np.exp(brentq(short, inside, outside, xtol=1e-10))))
                break
            inside = outside
        else:
            bounds.append(0.0 if way < 0 else np.inf)
    unit = float((clock / model.time_unit_days) ** kernel.time_power[here])
    return ProfileInterval(
        parameter=parameter,
        value=float(np.exp(top.point[here])) * unit,
        low=bounds[0] * unit,
        high=bounds[1] * unit,
        level=float(level),
    )
