"""Any learner with fit and predict in the place of the built-in one."""

import copy
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from retention.errors import ConfigError, ModelError
from retention.frames.table import FloatColumn

__all__ = ["Learner", "plugged"]


class Learner(Protocol):
    """What a learner must do, in the manner of scikit-learn: ``fit(X, y)``, then ``predict(X)``.

    ``X`` has a row a customer and standardised columns; ``y`` is the score of an effect, far noisier than the effect.
    A learner is copied (``copy.deepcopy``) before each fit, and itself never fitted.
    """

    def fit(self, X: Any, y: Any) -> Any:
        """Learn ``y`` from ``X``."""

    def predict(self, X: Any) -> Any:
        """One number a row."""


def plugged(learner: Any) -> Callable[[FloatColumn, FloatColumn], Callable[[FloatColumn], FloatColumn]]:
    """A learner in the kernel's form: a fresh copy fitted, and its predictions checked."""
    makes = isinstance(learner, type) or (callable(learner) and not hasattr(learner, "predict"))
    if not makes and not (hasattr(learner, "fit") and hasattr(learner, "predict")):
        raise ConfigError(
            f"learner of type {type(learner).__name__}",
            rule="a learner has fit(X, y) and predict(X), or is a function that makes one",
            remedy="pass such an object",
        )

    def fit(x: FloatColumn, z: FloatColumn) -> Callable[[FloatColumn], FloatColumn]:
        model = copy.deepcopy(learner() if makes else learner)
        model.fit(x, z)

        def predict(rows: FloatColumn) -> FloatColumn:
            out = np.asarray(model.predict(rows), dtype=np.float64).reshape(-1)
            if len(out) != len(rows) or not np.isfinite(out).all():
                raise ModelError(
                    f"the learner {type(model).__name__} foretold {len(out):,} values for {len(rows):,} customers"
                    if len(out) != len(rows)
                    else f"the learner {type(model).__name__} foretold values that are not finite",
                    rule="predict(X) gives one finite number a row",
                    remedy="correct the learner",
                )
            return out

        return predict

    return fit
