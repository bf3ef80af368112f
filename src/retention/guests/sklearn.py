"""Any regressor of scikit-learn as a value model: supervised by what the same customers brought before.

Models of purchases suppose how customers buy and leave, and then need no past but the histories. A regressor supposes
nothing and learns from examples: what was known of each customer ``horizon_days`` before the as-of date, and what she
brought since. It needs a log that goes back further than that, and it says nothing of other horizons than the one it
learned.
"""

import datetime as dt
import hashlib
import importlib
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from attrs import field, frozen

from retention.errors import ConfigError, MissingExtraError, ModelError
from retention.frames.table import FloatColumn, Provenance, read_only
from retention.guests._past import known_log, past_of
from retention.histories import Histories
from retention.records import TransactionLog
from retention.value.valuation import Valuation

__all__ = ["FEATURES", "FittedSklearn", "SklearnModel", "features"]

_FEWEST = 40
_FEWEST_A_SIDE = 5
_LEAST = 1e-6
_FURTHEST = 2.0
_LONGEST = 36_500
_TIMES = 2.0

FEATURES = (
    "purchase days",
    "days from first to last",
    "days since last",
    "days since first",
    "purchase days a day",
    "margin a day",
    "margin of a repeat purchase day",
    "share returned",
    "mean log gap",
    "spread of log gaps",
)
"""What a regressor is told of a customer, all of it from her history."""


def features(histories: Histories) -> FloatColumn:
    """The columns of ``FEATURES``, one row a customer.

    Attributes are not among them: they are as of today, and what they were on an earlier day is not known.
    """
    h = histories
    days, gaps = np.maximum(h.age_days, 1.0), np.maximum(h.frequency, 1)
    mean = h.gap_log_sum / gaps
    gross = h.revenue + h.returns
    columns = (
        h.frequency + 1.0,
        h.recency_days,
        h.idle_days,
        h.age_days,
        h.frequency / days,
        h.margin / days,
        h.margin_mean,
        np.divide(h.returns, gross, out=np.zeros(len(h)), where=gross > 0),
        mean,
        np.sqrt(np.maximum(h.gap_log_squares / gaps - mean**2, 0.0)),
    )
    return np.stack(columns, axis=1).astype(np.float64)


@frozen(kw_only=True)
class SklearnModel:
    """A recipe: fit a regressor to what customers brought in the last ``horizon_days``, given what was known before.

    Three copies of the regressor learn, for those known on the day of the cut: their purchase days since, whether there
    was one, and their margin since. Nothing after the cut is among what they are told. A quarter of the customers
    (``held_out``; always the same, by a hash of the id) is kept out of the fit; how wrong the forecasts of their
    margins are makes the bounds (split conformal prediction; Lei et al. 2018, JASA 113, 1094-1111): as many of the
    held-out fall inside as were asked for, at least, and so will all others as far as the next period is like the last
    one and customers like these. That is so on average over customers, not for each kind of customer; to help, the
    errors are measured in units that grow with the forecast.

    ``regressor`` is any of scikit-learn, a pipeline too; None takes histogram gradient boosting. A ``random_state`` of
    None is set to 0, so that the same data give the same numbers.

    *What it cannot say.* ``p_alive`` is the probability of a purchase within the horizon it learned: silence of a year
    and death look the same to it. Other horizons than that are in proportion, up to twice it: customers leave, so this
    is too much further out, and less is too little nearer by; beyond that it refuses. Discounting takes purchases to be
    spread evenly.

    Count and margin are two forecasts that know nothing of each other. ``margin_mean`` is expected margin over expected
    purchases, and where the one says next to no purchase and the other says money, that would be no price at all.
    Margin is what was asked for, so the count gives way: expected purchases are at least what the margin takes at twice
    her usual margin of a purchase day (or at twice that of the customer in the middle, if that is more). Value and
    bounds are left as they are.

    Bounds include the forecast. Where errors all lie on one side of 0 the conformal ones would not; to widen them loses
    nothing of what they promise.

    Example:
        >>> SklearnModel(horizon_days=182).name
        'sklearn'
    """

    needs_log: ClassVar[bool] = True

    regressor: Any = None
    log: TransactionLog | None = field(default=None, repr=False)
    horizon_days: float = field(default=365)
    held_out: float = 0.25
    name: str = "sklearn"
    kind: str = field(default="value_model", init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        days, share = self.horizon_days, self.held_out
        whole = isinstance(days, int) and not isinstance(days, bool) and 1 <= days <= _LONGEST
        if not (whole and isinstance(share, float) and 0 < share < 1):
            raise ConfigError(
                f"sklearn with horizon_days={days!r} and held_out={share!r}",
                rule=f"the horizon is a whole number of days from 1 to {_LONGEST:,}, held_out a share strictly between "
                "0 and 1",
                remedy="SklearnModel(horizon_days=365, held_out=0.25)",
            )
        if self.regressor is not None and not all(
            callable(getattr(self.regressor, method, None)) for method in ("fit", "predict", "get_params")
        ):
            raise ConfigError(
                f"a regressor of type {type(self.regressor).__name__}",
                rule="a regressor of scikit-learn has fit, predict and get_params",
                remedy="pass an object: regressor=RandomForestRegressor()",
            )

    def fit(self, histories: Histories) -> "FittedSklearn":
        """Learn from the log what these customers brought.

        Raises:
            ConfigError: no log, histories without an as-of date, fewer than 40 customers known on that day or 5 of
                them on either side of ``held_out``, a classifier.
            MissingExtraError: scikit-learn is not installed.
        """
        _sklearn()
        regressor = self._regressor()
        log, as_of = known_log("sklearn", histories, self.log)
        if (as_of - dt.date.min).days < self.horizon_days:
            raise ConfigError(
                f"{self.horizon_days:,} days before {as_of}",
                rule="there is such a day",
                remedy="a shorter horizon_days",
            )
        cut = as_of - dt.timedelta(days=int(self.horizon_days))
        past = past_of(log, cut, as_of)
        if len(past.base) < _FEWEST:
            raise ConfigError(
                f"{len(past.base)} customers known {self.horizon_days} days before {as_of}",
                rule=f"a regressor learns from {_FEWEST} customers or more whose next days are known",
                remedy="a shorter horizon_days, a longer log, or a model of purchases such as 'bg-nbd'",
            )
        kept = np.asarray([_lot(str(who)) >= self.held_out for who in past.base.customer_id])
        fewest = min(int(kept.sum()), int((~kept).sum()))
        if fewest < _FEWEST_A_SIDE:
            raise ConfigError(
                f"held_out={self.held_out:g} of {len(kept):,} customers, which leaves {fewest} on one side",
                rule=f"{_FEWEST_A_SIDE} customers or more are learned from, and as many set the bounds",
                remedy="SklearnModel(held_out=0.25), or more customers",
            )
        targets = np.stack([past.purchases, (past.purchases > 0).astype(np.float64), past.margin], axis=1)
        told = features(past.base)
        return FittedSklearn.of(
            regressor,
            learned=np.column_stack([told, targets])[kept],
            judged=np.column_stack([told, targets])[~kept],
            horizon_days=float(self.horizon_days),
            name=self.name,
            notes=(
                f"{int(kept.sum()):,} customers and what they brought from {cut} to {as_of} are what it learned from, "
                f"{int((~kept).sum()):,} others what its bounds were set by",
            ),
        )

    def _regressor(self) -> Any:
        if self.regressor is None:
            from sklearn.ensemble import HistGradientBoostingRegressor

            return HistGradientBoostingRegressor(random_state=0)
        from sklearn.base import ClassifierMixin, clone

        made = clone(self.regressor)
        last = made.steps[-1][1] if hasattr(made, "steps") else made
        if isinstance(last, ClassifierMixin):
            raise ConfigError(
                f"a classifier, {type(last).__name__}",
                rule="counts and money are forecast by a regressor",
                remedy="take the regressor beside it, such as LinearRegression or RandomForestRegressor",
            )
        states = [name for name in made.get_params() if name.split("__")[-1] == "random_state"]
        return made.set_params(**{name: 0 for name in states if made.get_params()[name] is None})


@frozen(kw_only=True, eq=False, repr=False)
class FittedSklearn:
    """Three fitted regressors, what they learned from, and how wrong they were on those held out.

    Stored as the table they learned from and the regressor's class and parameters, and fitted again when read: no
    pickle. The table has no ids. Reading checks that the forecasts for those held out are the same as before.
    """

    regressor: Any
    learned: FloatColumn = field(converter=read_only)
    judged: FloatColumn = field(converter=read_only)
    horizon_days: float
    notes: tuple[str, ...] = ()
    name: str = "sklearn"
    _fitted: tuple[Any, ...]
    _errors: FloatColumn = field(converter=read_only)
    _unit: float

    @classmethod
    def of(
        cls,
        regressor: Any,
        *,
        learned: Any,
        judged: Any,
        horizon_days: float,
        name: str = "sklearn",
        notes: tuple[str, ...] = (),
    ) -> Self:
        """Fit a regressor to rows of features and three targets (purchase days, any, margin)."""
        from sklearn.base import clone

        told, targets = learned[:, :-3], learned[:, -3:]
        fitted = tuple(clone(regressor).fit(told, targets[:, i]) for i in range(3))
        expected = np.asarray(fitted[2].predict(judged[:, :-3]), dtype=np.float64)
        unit = float(np.mean(np.abs(targets[:, 2]))) or 1.0
        return cls(
            regressor=regressor,
            learned=learned,
            judged=judged,
            horizon_days=horizon_days,
            name=name,
            notes=notes,
            fitted=fitted,
            errors=np.sort((judged[:, -1] - expected) / (unit + np.abs(expected))),
            unit=unit,
        )

    def __repr__(self) -> str:
        kind = type(self.regressor).__name__
        return f"<FittedSklearn: {kind} on {len(self.learned):,} customers, {self.horizon_days:,.0f} days ahead>"

    def p_alive(self, histories: Histories) -> FloatColumn:
        """The probability of a purchase day within the horizon that was learned."""
        return read_only(np.clip(self._said(1, histories), 0.0, 1.0))

    def expected_purchases(self, histories: Histories, days: float) -> FloatColumn:
        """Expected purchase days, in proportion to the horizon that was learned; ConfigError beyond twice that."""
        share = self._share(days)
        return read_only(self._purchases(histories, self._said(2, histories)) * share)

    def _purchases(self, histories: Histories, margin: FloatColumn) -> FloatColumn:
        """Purchase days in the horizon that was learned, and at least what the margin takes at twice a usual price."""
        own = np.abs(histories.margin) / (histories.frequency + 1.0)
        price = _TIMES * np.maximum(own, self._middle())
        return np.asarray(np.maximum(np.maximum(self._said(0, histories), _LEAST), np.abs(margin) / price))

    def _middle(self) -> float:
        """What a purchase day of the customer in the middle brought, of those learned from who came."""
        days, margin = self.learned[:, -3], self.learned[:, -1]
        bought = days > 0
        if not bought.any():
            return self._unit
        return float(np.median(np.abs(margin[bought]) / days[bought])) or self._unit

    def value(
        self, histories: Histories, *, horizon_days: float, discount_rate: float, interval: float = 0.90
    ) -> Valuation:
        """Value within a horizon of at most twice the one that was learned, with conformal bounds."""
        if not 0 < interval < 1:
            raise ConfigError(
                f"interval={interval!r}", rule="an interval has a probability between 0 and 1", remedy="pass 0.9, say"
            )
        share = self._share(horizon_days)
        delta = math.log1p(discount_rate) / 365.0 * horizon_days
        discount = -math.expm1(-delta) / delta if delta > 0 else 1.0
        margin = self._said(2, histories)
        purchases = read_only(self._purchases(histories, margin) * share)
        # Errors do not shrink as fast as days do, nor grow slower than they: the wider of the two.
        wide = (self._unit + np.abs(margin)) * max(share, math.sqrt(share)) * discount
        low, high = (self._error(q) for q in ((1 - interval) / 2, (1 + interval) / 2))
        least = min(0.0, float(self.learned[:, -1].min()), float(self.judged[:, -1].min(initial=0.0))) * share
        value = margin * share * discount
        return Valuation(
            customer_id=histories.customer_id,
            p_alive=self.p_alive(histories),
            expected_purchases=purchases,
            margin_mean=margin * share / purchases if share > 0 else np.zeros(len(histories)),
            expected_margin=margin * share,
            value=value,
            value_low=np.minimum(np.maximum(value + low * wide, least), value),
            value_high=np.maximum(value + high * wide, value),
            model=self.name,
            horizon_days=horizon_days,
            discount_rate=discount_rate,
            interval=interval,
            currency=histories.currency,
            provenance=Provenance(
                as_of=histories.provenance.as_of,
                data=histories.provenance.data,
                model=f"sklearn: {type(self.regressor).__name__}",
                version=histories.provenance.version,
                notes=(*histories.provenance.notes, *self.notes, *self._doubts(horizon_days, interval)),
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what was learned from, and what regressor. ModelError if that is none of scikit-learn."""
        return {
            "model": self.name,
            "regressor": _described(self.regressor),
            "horizon_days": self.horizon_days,
            "learned": self.learned.tolist(),
            "judged": self.judged.tolist(),
            "errors": self._errors.tolist(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down, fitted again; ModelError if it does not say the same."""
        _sklearn()
        width = len(FEATURES) + 3
        made = cls.of(
            _made(data["regressor"]),
            learned=np.asarray(data["learned"], dtype=np.float64).reshape(-1, width),
            judged=np.asarray(data["judged"], dtype=np.float64).reshape(-1, width),
            horizon_days=float(data["horizon_days"]),
            name=str(data["model"]),
            notes=tuple(data["notes"]),
        )
        if not np.array_equal(made._errors, np.asarray(data["errors"], dtype=np.float64)):
            raise ModelError(
                f"a stored {type(made.regressor).__name__} that forecasts otherwise when fitted again",
                rule="what is read says what was stored",
                remedy="read it with the version of scikit-learn that it was stored with, or fit it anew",
            )
        return made

    def _said(self, which: int, histories: Histories) -> FloatColumn:
        if not len(histories):
            return np.zeros(0)
        return np.asarray(self._fitted[which].predict(features(histories)), dtype=np.float64)

    def _share(self, days: float) -> float:
        if not 0 <= days <= _FURTHEST * self.horizon_days:
            raise ConfigError(
                f"{days:,.0f} days ahead of a regressor that learned {self.horizon_days:,.0f}",
                rule="what comes is in proportion up to twice the horizon that was learned, and unknown beyond",
                remedy="learn what is asked for, SklearnModel(horizon_days=...), or take a model of purchases",
            )
        return days / self.horizon_days

    def _error(self, level: float) -> float:
        """The error that the next one stays below (above, under one half) with this probability, at least."""
        n = len(self._errors)
        rank = math.floor((n + 1) * level) if level < 0.5 else math.ceil((n + 1) * level)
        return float(self._errors[min(max(rank, 1), n) - 1])

    def _doubts(self, horizon_days: float, interval: float) -> list[str]:
        doubts = ["bounds hold on average over customers, as far as the next period is like the last"]
        if len(self._errors) + 1 < 2 / (1 - interval):
            doubts.append(
                f"{len(self._errors)} customers held out are too few for bounds of {interval:.0%}: they are narrow"
            )
        if horizon_days != self.horizon_days:
            doubts.append(f"learned {self.horizon_days:,.0f} days ahead: {horizon_days:,.0f} days are in proportion")
        return doubts


def _sklearn() -> None:
    try:
        importlib.import_module("sklearn")
    except ImportError:
        raise MissingExtraError("the value model 'sklearn'", library="scikit-learn", extra="sklearn") from None


def _lot(who: str) -> float:
    """A number in [0, 1) that an id always draws."""
    digest = hashlib.blake2b(f"sklearn|{who}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def _described(thing: Any) -> Any:
    """An estimator as its class and parameters, its parts too; plain values as they are."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, np.generic):
        return thing.item()
    if isinstance(thing, list | tuple):
        return [_described(one) for one in thing]
    kind = type(thing)
    if kind.__module__.startswith("sklearn.") and callable(getattr(thing, "get_params", None)):
        params = {name: _described(value) for name, value in thing.get_params(deep=False).items()}
        return {"class": f"{kind.__module__}.{kind.__qualname__}", "params": params}
    raise ModelError(
        f"a regressor with a {kind.__module__}.{kind.__qualname__} in it",
        rule="what is stored are classes of scikit-learn with parameters that are numbers, text or such classes",
        remedy="keep the recipe and fit it again, or take a regressor of scikit-learn itself",
    )


def _made(told: Any) -> Any:
    """The estimator that was described: a class of scikit-learn and nothing else."""
    if isinstance(told, list):
        return [tuple(_made(one)) if isinstance(one, list) else _made(one) for one in told]
    if not isinstance(told, Mapping):
        return told
    from sklearn.base import BaseEstimator

    home, _, name = str(told["class"]).rpartition(".")
    kind = getattr(importlib.import_module(home), name, None) if home.startswith("sklearn.") else None
    if not (isinstance(kind, type) and issubclass(kind, BaseEstimator)):
        raise ModelError(
            f"a stored regressor of the class {told['class']!r}",
            rule="only estimators of scikit-learn are made from what was stored",
            remedy="store the model again with FittedSklearn.to_dict",
        )
    return kind(**{name: _made(value) for name, value in told["params"].items()})
