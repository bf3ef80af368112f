"""What one purchase day brings: what every margin model offers, whatever it supposes."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from attrs import fields, frozen
from numpy.typing import NDArray

from retention.errors import ModelError, nearest
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.value.purchases.estimate import Estimate

__all__ = [
    "FittedMargin",
    "MarginModel",
    "Moments",
    "OwnDays",
    "RateSlope",
    "a_few",
    "laplace_k_hat",
    "margin_from_dict",
    "margin_model",
    "own_days",
    "plain_fields",
    "rates_seen",
    "split_slope",
    "weights_of",
]


class Moments(NamedTuple):
    """Of a customer's margin per purchase day: mean, mean square, mean product of two different days."""

    mean: FloatColumn
    square: FloatColumn
    product: FloatColumn


@runtime_checkable
class MarginModel(Protocol):
    """A recipe for what a purchase day brings.

    ``log_rate`` is, for each customer, what a purchase model expects of the log of her purchase rate (any time unit,
    always the same one): with it a recipe that goes by rates lets those who come often bring more, or less, on each
    visit; the others do not look at it. ``weight`` says how many customers a row stands for.
    """

    @property
    def name(self) -> str:
        """The registry name of the model."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that ``at`` takes; none of them is a name that a purchase model uses."""
        ...

    def at(self, **params: float) -> "FittedMargin":
        """The model at given parameters."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``margin_model(**data)`` is the same recipe."""
        ...

    def fit(
        self, histories: Histories, log_rate: FloatColumn | None = None, weight: FloatColumn | None = None
    ) -> "FittedMargin":
        """Learn the parameters from a base; never fails for want of data, but says so in the notes."""
        ...


@runtime_checkable
class FittedMargin(Protocol):
    """A margin model with parameters; money in and out is in the currency of the histories.

    One that goes by rates wants a ``log_rate`` to answer as well; without it every customer is taken to have the mean
    log-rate of those it was fitted on. The others do not look at it.
    """

    @property
    def name(self) -> str:
        """The registry name of the model."""
        ...

    @property
    def params(self) -> Mapping[str, float]:
        """By name; ``at(**params)`` gives the same model without its evidence."""
        ...

    @property
    def estimate(self) -> Estimate | None:
        """What the fit learned; None when the parameters were given."""
        ...

    @property
    def log_likelihood(self) -> float | None:
        """Of what the model was fitted to; None when the parameters were given."""
        ...

    @property
    def standard_errors(self) -> Mapping[str, float] | None:
        """By parameter; None when the parameters were given, NaN where not identified."""
        ...

    @property
    def diagnosis(self) -> str:
        """What was wrong with the fit; empty if nothing."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything that a reader of the values should know."""
        ...

    def log_likelihoods(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Log density of each customer's own mean margin; 0 where she says nothing."""
        ...

    def margin_mean(self, histories: Histories, log_rate: FloatColumn | None = None) -> FloatColumn:
        """Expected margin of one of each customer's future purchase days, at the fitted parameters."""
        ...

    def moments(self, histories: Histories, points: int, log_rate: FloatColumn | None = None) -> Moments:
        """First and second moments of future margins, averaged over ``points`` for the doubt about the parameters."""
        ...

    def lossless(self, histories: Histories) -> Any:
        """For each customer, whether none of her purchase days can bring less than nothing, if the model is right."""
        ...

    def totals(
        self, histories: Histories, weights: FloatColumn, points: int, log_rate: FloatColumn | None = None
    ) -> FloatColumn:
        """The sum of ``weights * margin_mean`` at each of ``points`` that stand for doubt about the parameters.

        One number if the parameters were given.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the model's name under ``"margin"``."""
        ...

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down, with exactly the same numbers."""
        ...


def margin_model(name: str, **options: bool) -> MarginModel:
    """The recipe of a name: "gamma-gamma", "credibility" or "auto"; ModelError with the nearest name for others.

    ``options`` are the recipe's own: ``first``, ``by_rate``.

    Example:
        >>> margin_model("credibility", by_rate=True).names
        ('mean', 'between', 'within', 'slope', 'log_rate_mean')
    """
    from retention.value.margins.auto import AutoMargin
    from retention.value.margins.credibility import Credibility
    from retention.value.margins.gammagamma import GammaGamma

    known = {recipe().name: recipe for recipe in (GammaGamma, Credibility, AutoMargin)}
    if name not in known:
        raise ModelError(
            f"a margin model named {name!r}", rule=f"they are {', '.join(known)}", remedy=nearest(name, tuple(known))
        )
    options_of = [f.name for f in fields(known[name])]
    for option in options:
        if option not in options_of:
            raise ModelError(
                f"margin model {name} with {option}",
                rule=f"its options are {', '.join(options_of)}",
                remedy=nearest(option, options_of),
            )
    return known[name](**options)


def margin_from_dict(data: Mapping[str, Any]) -> FittedMargin:
    """The fitted margin model that its ``to_dict`` wrote down; ModelError for one that is not known here."""
    from retention.value.margins.credibility import FittedCredibility
    from retention.value.margins.gammagamma import FittedGammaGamma

    known: dict[Any, type[FittedMargin]] = {"gamma-gamma": FittedGammaGamma, "credibility": FittedCredibility}
    if data.get("margin") not in known:
        raise ModelError(
            f"a stored margin model named {data.get('margin')!r}",
            rule=f"they are {', '.join(known)}",
            remedy="read it with the release that wrote it",
        )
    return known[data["margin"]].from_dict(data)


class OwnDays(NamedTuple):
    """What each customer's purchase days showed: how many, their mean margin, and how they differ among themselves.

    ``squares`` is the sum of squares of ``free`` independent contrasts between her days, as far as they are known.
    """

    number: FloatColumn
    mean: FloatColumn
    squares: FloatColumn
    free: FloatColumn


def own_days(histories: Histories, *, first: bool) -> OwnDays:
    """The repeat purchase days of each customer; with ``first`` the day of her first purchase as well.

    Raises ModelError for ``first`` on a base that holds mean margins but no total ones, and for squares that do not go
    with the means.
    """
    x, mean = histories.frequency.astype(np.float64), histories.margin_mean
    least = x * mean**2
    known = (histories.margin_squares > 0) | (mean == 0)
    if np.any(known & (histories.margin_squares < least * (1 - 1e-9))):
        raise ModelError(
            "histories whose margin_squares are less than their mean margins allow",
            rule="margin_squares is at least frequency * margin_mean ** 2, or 0 if not known",
            remedy="change both columns when you change one, or set margin_squares to 0",
        )
    about = np.maximum(histories.margin_squares - least, 0.0)
    free = np.where(known, np.maximum(x - 1, 0.0), 0.0)
    squares = np.where(free > 0, about, 0.0)
    if not first:
        return OwnDays(x, np.where(x > 0, mean, 0.0), squares, free)
    if len(x) and not np.any(histories.margin) and np.any(mean):
        raise ModelError(
            "first=True with histories whose margin is 0 everywhere",
            rule="the first purchase's margin is margin - frequency * margin_mean",
            remedy="fill the column margin, or leave first=False",
        )
    opening = histories.margin - x * mean
    return OwnDays(
        x + 1,
        histories.margin / (x + 1),
        squares + np.where(x > 0, (opening - mean) ** 2 * x / (x + 1), 0.0),
        free + (x > 0),
    )


def a_few(number: FloatColumn, mean: FloatColumn, count: int = 500) -> NDArray[np.intp] | None:
    """Where a few customers stand, spread evenly over those who show much and little; None if there are no more.

    What a likelihood says of them is enough to find a start from.
    """
    if len(number) <= 2 * count:
        return None
    order = np.lexsort([mean, number])
    return order[np.linspace(0, len(order) - 1, count).astype(np.intp)]


def laplace_k_hat(
    log_likelihood: Callable[[FloatColumn], float],
    point: FloatColumn,
    estimate: Estimate,
    prior_sd: FloatColumn,
    *,
    draws: int,
    seed: int,
) -> float:
    """The Pareto shape of the ratios of a posterior to the normal that ``estimate.spread`` describes.

    The posterior is the likelihood times the weak prior that the spread contains, around ``point``.
    """
    from retention._kernels.psis import smooth

    root = np.linalg.cholesky(np.asarray(estimate.spread))
    z = np.random.default_rng(seed).standard_normal((draws, len(point)))
    moves = z @ root.T
    precision = np.asarray(prior_sd)[: len(point)] ** -2.0
    logs = np.array([log_likelihood(point + move) - float(precision @ move**2) / 2 for move in moves])
    return smooth(logs + np.einsum("ij,ij->i", z, z) / 2).k_hat


@frozen(kw_only=True)
class RateSlope:
    """How margin goes with frequency: ``slope`` per unit of log-rate away from ``center``, the mean one fitted on.

    A log-rate outside of ``low`` to ``high``, those that it was learned on, counts as that bound: who never came back
    has an expected log-rate far below everyone seen, where a line drawn through the others says nothing.
    """

    slope: float
    center: float = 0.0
    low: float | None = None
    high: float | None = None

    def away(self, log_rate: FloatColumn | None, customers: int) -> FloatColumn:
        """How far each customer's log-rate lies above the mean one; 0 where it is not told."""
        if log_rate is None:
            return np.zeros(customers)
        return np.clip(checked_rates(log_rate, customers), self.low, self.high) - self.center


class ByRate(Protocol):
    """What ``rates_seen`` asks of a recipe."""

    @property
    def name(self) -> str: ...

    @property
    def by_rate(self) -> bool: ...


def rates_seen(
    model: ByRate, log_rate: FloatColumn | None, seen: Any, weight: FloatColumn
) -> tuple[tuple[RateSlope, float] | None, tuple[str, ...]]:
    """A slope of 0 around the mean log-rate of the customers ``seen`` with their standard deviation, and notes.

    None if the recipe does not go by rates, or if they are not told or all alike, which the notes say.
    """
    if not model.by_rate:
        return None, ()
    if log_rate is None:
        return None, (f"{model.name}: no log-rates were given, so margins do not go with them",)
    rates, w = checked_rates(log_rate, len(seen))[seen], weight[seen]
    if len(rates):
        low, high, center = float(rates.min()), float(rates.max()), float(np.average(rates, weights=w))
        spread = float(np.sqrt(np.average((rates - center) ** 2, weights=w)))
        if spread > 1e-9 * max(1.0, abs(center)):
            return (RateSlope(slope=0.0, center=center, low=low, high=high), spread), ()
    return None, (f"{model.name}: all log-rates are alike, so margins cannot go with them",)


def checked_rates(log_rate: Any, customers: int) -> FloatColumn:
    """Log-rates as floats, one a customer and finite, or one clear error."""
    rates = np.asarray(log_rate, dtype=np.float64)
    if rates.shape != (customers,) or not np.all(np.isfinite(rates)):
        raise ModelError(
            f"log_rate of shape {rates.shape} for {customers:,} customers",
            rule="there is one finite log-rate a customer",
            remedy="pass the purchase model's log_rate(histories)",
        )
    return rates


def weights_of(weight: Any, customers: int) -> FloatColumn:
    """How many customers each row stands for: 1 unless said; or one clear error."""
    if weight is None:
        return np.ones(customers)
    w = np.asarray(weight, dtype=np.float64)
    if w.shape != (customers,) or not np.all(np.isfinite(w) & (w >= 0)):
        raise ModelError(
            f"weight of shape {w.shape} for {customers:,} rows",
            rule="there is one weight a row, finite and not negative",
            remedy="say how many customers each row stands for",
        )
    return w


def split_slope(model: str, params: Mapping[str, float]) -> tuple[dict[str, float], RateSlope | None]:
    """The parameters without slope and log_rate_mean, and those two if a slope was given."""
    given = dict(params)
    slope, center = given.pop("slope", None), given.pop("log_rate_mean", 0.0)
    if slope is None:
        return given, None
    if not (math.isfinite(slope) and math.isfinite(center)):
        raise ModelError(
            f"{model} at slope={slope!r}, log_rate_mean={center!r}",
            rule="slope and log_rate_mean are finite",
            remedy="leave slope out for margins that do not go with frequency",
        )
    return given, RateSlope(slope=float(slope), center=float(center))


def plain_fields(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The fields of a fitted margin model from its JSON; ModelError if another model wrote it."""
    fields = dict(data)
    if fields.pop("margin", name) != name:
        raise ModelError(
            f"a stored margin model named {data['margin']!r}",
            rule=f"this class reads what it wrote: {name}",
            remedy="use margin_from_dict, which looks at the name",
        )
    rates, evidence = fields["rates"], fields["estimate"]
    fields["rates"] = None if rates is None else RateSlope(**rates)
    fields["estimate"] = None if evidence is None else Estimate.from_dict(evidence)
    return fields
