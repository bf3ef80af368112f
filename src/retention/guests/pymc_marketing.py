"""The CLV models of pymc-marketing as value models: their priors and their fit, our answers.

Both libraries have the same models with the same parameters. What pymc-marketing adds is the fit: any prior, a
hierarchy, a sampler. So the parameters are theirs, and everything that is asked of them afterwards goes the way of all
models here: bounds that hold, infinite horizons, JSON that needs no sampler to be read.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ConfigError, MissingExtraError, nearest
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.margins.gammagamma import GammaGamma
from retention.value.margins.protocol import MarginModel
from retention.value.purchases.bgnbd import BGNBD, MBGNBD
from retention.value.purchases.fitted import FittedPurchases
from retention.value.purchases.model import PurchaseModel
from retention.value.purchases.paretonbd import ParetoNBD

__all__ = ["MODELS", "PyMCModel"]

MODELS: Mapping[str, tuple[str, type[PurchaseModel]]] = {
    "bg-nbd": ("BetaGeoModel", BGNBD),
    "mbg-nbd": ("ModifiedBetaGeoModel", MBGNBD),
    "pareto-nbd": ("ParetoNBDModel", ParetoNBD),
}
"""By our name: the class of ``pymc_marketing.clv``, and the same model here."""

_POINTS = 64


@frozen(kw_only=True)
class PyMCModel:
    """A recipe: ``model`` fitted by pymc-marketing, ``method`` "map" (a point) or "mcmc" (draws of the posterior).

    ``priors`` are its ``model_config`` (None: its defaults), ``options`` go to its ``fit`` (``chains``, ``draws``,
    ``tune``, ...), ``seed`` is its ``random_seed``. Its times are in units of ``time_unit_days``, where its default
    priors were made for weeks; repeat purchases are purchase days, as everywhere here. ``margin`` is our model of what
    a purchase day brings; None fits pymc-marketing's gamma-gamma model (of those who came again and brought
    something), whose parameters have the same names and meaning.

    What is fitted is a :class:`~retention.value.FittedPurchases`. Bounds average over the draws, 64 of them; with "map"
    there are none, and bounds hold chance and the doubt about margins alone, not that about the parameters of the
    purchases.

    Example:
        >>> PyMCModel(model="pareto-nbd").name
        'pymc-marketing'
    """

    model: str = "bg-nbd"
    method: str = "map"
    margin: MarginModel | None = field(factory=GammaGamma)
    priors: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(factory=dict)
    time_unit_days: float = 7.0
    seed: int = 0
    name: str = "pymc-marketing"

    def __attrs_post_init__(self) -> None:
        if self.model not in MODELS:
            raise ConfigError(
                f"pymc-marketing with model={self.model!r}",
                rule="it fits a model that both libraries have",
                remedy=nearest(self.model, MODELS),
            )
        if self.method not in ("map", "mcmc"):
            raise ConfigError(
                f"pymc-marketing with method={self.method!r}",
                rule="a fit is a point or draws",
                remedy="method='map' or method='mcmc'",
            )

    def fit(self, histories: Histories) -> FittedPurchases:
        """Let pymc-marketing fit the base.

        Raises:
            ConfigError: a base without customers.
            MissingExtraError: pymc-marketing is not installed.
        """
        if not len(histories):
            raise ConfigError("a base without customers", rule="a fit is of somebody", remedy="take a larger base")
        theirs, ours = MODELS[self.model]
        h, unit = histories, self.time_unit_days
        recipe = ours(time_unit_days=unit, margin=GammaGamma() if self.margin is None else self.margin)
        names = recipe.kernel().names
        told = {"frequency": h.frequency.astype(float), "recency": h.recency_days / unit, "T": h.age_days / unit}
        draws = self._draws(theirs, self.priors, names, told)
        fitted = recipe.at(**dict(zip(names, np.exp(np.log(draws).mean(axis=0)), strict=True)))
        fitted = evolve(fitted, doubt=_thinned(np.log(draws)))
        if self.margin is not None:
            return evolve(fitted, margin=self.margin.fit(h, fitted.log_rate(h)))
        again = (h.frequency > 0) & (h.margin_mean > 0)
        told = {"frequency": told["frequency"][again], "monetary_value": h.margin_mean[again]}
        money = self._draws("GammaGammaModel", None, ("p", "q", "v"), told).mean(axis=0)
        return evolve(fitted, margin=GammaGamma().at(**dict(zip(("p", "q", "v"), money.tolist(), strict=True))))

    def _draws(
        self, kind: str, priors: Mapping[str, Any] | None, names: tuple[str, ...], told: Mapping[str, FloatColumn]
    ) -> FloatColumn:
        """The parameters, a row a draw; one row for a point."""
        try:
            import pandas as pd
            from pymc_marketing import clv
        except ImportError:
            raise MissingExtraError(
                "the value model 'pymc-marketing'", library="pymc-marketing", extra="pymc"
            ) from None
        table = pd.DataFrame({"customer_id": np.arange(len(told["frequency"])), **told})
        model = getattr(clv, kind)(model_config=None if priors is None else dict(priors))
        seeded = {"random_seed": self.seed} if self.method == "mcmc" else {}
        model.fit(table, method=self.method, **{"progressbar": False, **seeded, **self.options})
        found = [np.ravel(np.asarray(model.fit_result[name], dtype=np.float64)) for name in names]
        return np.stack(found, axis=1)


def _thinned(logs: FloatColumn) -> FloatColumn:
    """64 of the draws, evenly through them in order of the first parameter; of a point 64 times the same."""
    order = np.argsort(logs[:, 0], kind="stable")
    pick = np.linspace(0, len(logs) - 1, _POINTS).round().astype(np.intp)
    return logs[order[pick]]
