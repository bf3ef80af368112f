"""Priors of positive parameters: log-normal, told by a median and a geometric standard deviation."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from retention.errors import ConfigError, nearest
from retention.frames.table import FloatColumn

__all__ = ["check_penalty", "check_prior", "log_normal"]


def check_prior(model: str, prior: Mapping[str, tuple[float, float]], names: Sequence[str]) -> None:
    """One clear error for a prior of a parameter that the model does not have, or with numbers that make none."""
    for name, pair in prior.items():
        if name not in names:
            raise ConfigError(
                f"a prior for {name!r}", rule=f"{model} has {', '.join(names)}", remedy=nearest(name, tuple(names))
            )
        if not (len(pair) == 2 and 0 < pair[0] < math.inf and 1 < pair[1] < math.inf):
            raise ConfigError(
                f"prior {name}={pair!r}",
                rule="a prior is a positive median and a geometric standard deviation above 1",
                remedy="(0.8, 3.0): probably between 0.8 / 3 and 0.8 * 3",
            )


def check_penalty(penalty: float) -> None:
    """One clear error for a precision below zero or without end."""
    if not 0 <= penalty < math.inf:
        raise ConfigError(
            f"penalty={penalty!r}", rule="a penalty is zero or more", remedy="1.0 is a standard normal prior"
        )


def log_normal(
    center: Mapping[str, float], factor: float, prior: Mapping[str, tuple[float, float]]
) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
    """Means and standard deviations of the log-parameters in the order of ``center``, and the precision of those that a
    prior was asked for; ``factor`` is the geometric standard deviation of the others.

    Example:
        >>> mean, sd, asked = log_normal({"a": 1.0, "b": 2.0}, 4.5, {"b": (1.0, 3.0)})
        >>> mean.tolist(), (asked > 0).tolist()
        ([0.0, 0.0], [False, True])
    """
    told = [prior.get(name, (middle, factor)) for name, middle in center.items()]
    mean, sd = np.log([pair[0] for pair in told]), np.log([pair[1] for pair in told])
    return mean, sd, np.where([name in prior for name in center], sd**-2.0, 0.0)
