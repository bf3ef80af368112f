"""A value model made of a plain function: the function's margins on the purchases of a model of this library."""

import hashlib
import inspect
import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import evolve, field, frozen

from retention.errors import ModelError, PluginError
from retention.frames.table import FloatColumn
from retention.histories import Histories
from retention.plugins.customers import known_customers
from retention.plugins.lifted import FunctionStage, is_number

if TYPE_CHECKING:
    from retention.value import FittedPurchases, PurchaseModel, Valuation

__all__ = ["FittedFunctionModel", "FunctionModel"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_YEAR = 365.0
_TOLD = "margin that was told"


@frozen(kw_only=True, eq=False, repr=False)
class FunctionModel(FunctionStage):
    """A value model made of a function, by :func:`value_model`."""

    kind = "value_model"
    ROW = ("customer",)
    COLUMNS = ("histories",)

    base: "str | PurchaseModel" = "bg-nbd"

    def __attrs_post_init__(self) -> None:
        FunctionStage.__attrs_post_init__(self)
        _known[self._key()] = self

    def fit(self, histories: Histories) -> "FittedFunctionModel":
        """Fit the base model's purchases; the function has nothing to learn."""
        from retention.plugins.session import on_board
        from retention.value import PurchaseModel

        recipe = on_board().make("value_model", self.base) if isinstance(self.base, str) else self.base
        if not isinstance(recipe, PurchaseModel):
            raise PluginError(
                f"the value model {self.name!r} with the base {getattr(recipe, 'name', type(recipe).__name__)!r}",
                rule="who comes, and how often, is told by a purchase model of this library",
                remedy="base='bg-nbd', base='pareto-nbd' or a recipe such as BGNBD()",
            )
        spread = _spread(histories)
        return FittedFunctionModel(
            model=self, purchases=recipe.fit_purchases(histories), spread=1.0 if spread is None else spread,
            known=spread is not None,
        )  # fmt: skip

    def margins(self, histories: Histories) -> FloatColumn:
        """What the function says of each customer; PluginError for what is no finite number."""
        rule = "a value model answers with the margin of a year of hers, a finite number"
        if self.of_one:
            customers = known_customers(np.arange(len(histories)), histories, None)
            told = list(self._each({"customer": c} for c in customers))
            for one in told:
                if not is_number(one):
                    raise self._wrong(one, rule)
            return np.asarray(told, dtype=np.float64)
        answer = self._ask(histories=histories)
        values = np.asarray(answer)
        if values.shape != (len(histories),) or values.dtype.kind not in "iuf" or not np.all(np.isfinite(values)):
            raise self._wrong(answer, f"{rule}, for each customer")
        return np.asarray(values, dtype=np.float64)

    def _key(self) -> str:
        return f"{self.function.__module__}:{self.function.__qualname__}"


_known: "weakref.WeakValueDictionary[str, FunctionModel]" = weakref.WeakValueDictionary()


@frozen(kw_only=True, eq=False)
class FittedFunctionModel:
    r"""The function's margins on the purchases of a fitted base model.

    P(alive) and expected purchases are the base model's. With w the function's margin of a year of hers, given that she
    is a customer today, a purchase day brings :math:`m = w \, P(alive) / E[X(365)]`, at any horizon: her expected
    margin of 365 days is :math:`w \, P(alive)`, and shorter or longer horizons follow the purchases. (A margin that has
    her leaving in it already would have to be divided by purchases of next to nothing, where the base model has her
    gone for certain.) Bounds are those of the base model, for purchase days that bring m with the coefficient of
    variation ``spread``: that of the margins of one customer in the base (1 where the base does not show it). They
    hold chance and doubt about the purchases; they do not hold what the function may be wrong about.
    """

    model: FunctionModel
    purchases: "FittedPurchases"
    spread: float
    known: bool = True

    @property
    def name(self) -> str:
        """The name of the function's model."""
        return self.model.name

    def p_alive(self, histories: Histories) -> FloatColumn:
        """Probability of still being a customer, by the base model."""
        return self.purchases.p_alive(histories)

    def expected_purchases(self, histories: Histories, days: float) -> FloatColumn:
        """Expected purchase days in the next ``days``, by the base model."""
        return self.purchases.expected_purchases(histories, days)

    def p_purchase(self, histories: Histories, days: float) -> FloatColumn:
        """Probability of at least one purchase day in the next ``days``, by the base model."""
        return self.purchases.p_purchase(histories, days)

    def value(
        self, histories: Histories, *, horizon_days: float, discount_rate: float, interval: float = 0.90
    ) -> "Valuation":
        """Expected discounted margin within a horizon, with an interval as the class says."""
        year = self.purchases.expected_purchases(histories, _YEAR)
        worth = self.model.margins(histories)
        alive = self.purchases.p_alive(histories)
        means = worth * np.divide(alive, year, out=np.zeros(len(worth)), where=year > 0)
        with_margin: Any = evolve(self.purchases, margin=_told(self.spread))
        told: Valuation = with_margin.value(
            histories.with_attributes({_TOLD: means}),
            horizon_days=horizon_days,
            discount_rate=discount_rate,
            interval=interval,
        )
        notes = [
            f"{self.name}: margins are those of a function, purchases those of {self.purchases.name}; intervals do not "
            "hold what the function may be wrong about"
        ]
        if not self.known:
            notes.append(f"{self.name}: the base does not show how margins of one customer vary; 100 % is assumed")
        parameters = {**told.provenance.parameters, **self.model.options, "spread": self.spread}
        source = evolve(told.provenance, model=self.name, parameters=parameters).with_notes(*notes)
        return evolve(told, model=self.name, provenance=source)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the base model, and which function."""
        return {
            "format": 1,
            "model": self.name,
            "function": self.model._key(),
            "written": _written(self.model.function),
            "options": dict(self.model.options),
            "spread": self.spread,
            "known": self.known,
            "purchases": self.purchases.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The model that ``to_dict`` wrote down.

        Nothing is imported and no code is read from the data: the function has been defined, or its module imported,
        and reads as it did (its own text and what it closes over; not what it calls). Raises ModelError otherwise.
        """
        from retention.value import FittedPurchases

        try:
            key, model = str(data["function"]), _known.get(str(data["function"]))
            if data["format"] != 1:
                raise KeyError("format")
            if model is not None and _written(model.function) == data["written"]:
                return cls(
                    model=model.with_options(**data["options"]) if data["options"] != dict(model.options) else model,
                    purchases=FittedPurchases.from_dict(data["purchases"]),
                    spread=float(data["spread"]),
                    known=bool(data["known"]),
                )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"a stored value model of a function: {type(error).__name__}",
                rule="what is read is what to_dict wrote",
                remedy="fit the model again",
            ) from error
        raise ModelError(
            f"a stored value model of the function {key}, which " + ("is not here" if model is None else "has changed"),
            rule="a model made of a function is read where that function is defined, as it was",
            remedy="import its module first" if model is None else "fit the model again",
        )


@frozen
class _Told:
    """A margin model of means that were told, in an attribute of the histories: it goes where they go."""

    spread: float
    rates: None = field(default=None, init=False)
    params: Mapping[str, float] = field(default=_EMPTY, init=False)
    notes: tuple[str, ...] = field(default=(), init=False)
    diagnosis: str = field(default="", init=False)
    standard_errors: Mapping[str, float] = field(default=_EMPTY, init=False)

    def margin_mean(self, histories: Histories, log_rate: Any = None) -> FloatColumn:
        return np.asarray(histories.attributes[_TOLD])

    def moments(self, histories: Histories, points: int, log_rate: Any = None) -> Any:
        from retention.value.margins.protocol import Moments

        mean = self.margin_mean(histories)
        return Moments(mean, mean**2 * (1.0 + self.spread**2), mean**2)

    def lossless(self, histories: Histories) -> Any:
        return self.margin_mean(histories) >= 0

    def totals(self, histories: Histories, weights: FloatColumn, points: int, log_rate: Any = None) -> FloatColumn:
        return np.array([np.einsum("i,i", weights, self.margin_mean(histories))])


def _told(spread: float) -> Any:
    """It has what a valuation asks of a margin model, and no more."""
    return _Told(spread)


def _spread(histories: Histories) -> float | None:
    """The coefficient of variation of one customer's margins, over the base; None where it does not show."""
    h = histories
    x = h.frequency.astype(np.float64)
    known = (x >= 2) & (h.margin_squares > 0) & (h.margin_mean != 0)
    means = float(np.sum((x[known] - 1) * h.margin_mean[known] ** 2))
    if not means > 0:
        return None
    within = float(np.sum(np.maximum(h.margin_squares[known] - x[known] * h.margin_mean[known] ** 2, 0.0)))
    return float(np.clip(np.sqrt(within / means), 0.01, 10.0))


def _written(function: Callable[..., Any]) -> str:
    """A fingerprint of what a function says, and of what it closes over."""
    code = getattr(function, "__code__", None)
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = f"{code.co_code.hex()} {code.co_consts!r} {code.co_names!r}" if code is not None else repr(function)
    held = [repr(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ()]
    told = "\n".join([text, repr(getattr(function, "__defaults__", None)), *held])
    return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:16]
