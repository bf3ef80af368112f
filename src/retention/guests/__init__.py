"""Well-kept libraries as stages of this one: what is trusted already, behind the same protocols as our own.

Each is an optional extra, a file of few lines, and held to the same laws as everything else: any regressor of
scikit-learn as a value model, a fitter of lifelines as a timing, the models of pymc-marketing as value models. The
libraries are imported when a stage is fitted, never before.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retention.guests.lifelines import LifelinesClock
    from retention.guests.pymc_marketing import PyMCModel
    from retention.guests.sklearn import SklearnModel

__all__ = ["SklearnModel", "LifelinesClock", "PyMCModel"]

_HOME = {"SklearnModel": "sklearn", "LifelinesClock": "lifelines", "PyMCModel": "pymc_marketing"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'retention.guests' has no attribute {name!r}")
    return getattr(importlib.import_module(f"retention.guests.{_HOME[name]}"), name)
