"""The laws of value models, each a small function that raises AssertionError when it is broken.

>>> from retention.testing import check_value_model
>>> from retention.value import BGNBD
>>> check_value_model(BGNBD())
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from retention.errors import RetentionError
from retention.histories import Histories
from retention.value.valuation import FittedLikelihood, FittedValueModel, Valuation, ValueModel

__all__ = ["LAWS", "BrokenLaws", "Law", "check_value_model", "sample_histories"]

Law = Callable[[FittedValueModel, Histories], None]

HORIZON = {"horizon_days": 180.0, "discount_rate": 0.10, "interval": 0.80}
TOLERANCE = 1e-9


class BrokenLaws(RetentionError, AssertionError):
    """Laws that an implementation breaks; ``broken`` maps each law's name to what was seen."""

    def __init__(self, who: str, broken: Mapping[str, str]) -> None:
        listing = "".join(f"\n  - {name}: {seen}" for name, seen in broken.items())
        super().__init__(
            f"{who} breaks {len(broken)} law(s):{listing}",
            rule="a value model keeps all laws of retention.testing.value_models.LAWS",
            remedy="each law is a function whose docstring says what it asks",
        )
        self.broken = dict(broken)


def sample_histories(n: int = 40) -> Histories:
    """A small base with the awkward customers in it: new today, bought yesterday, buys daily, silent for years.

    ``n`` simulated customers (fixed seed, whole days, at most one purchase day a day) and six awkward ones.

    Example:
        >>> base = sample_histories(10)
        >>> len(base), bool((base.frequency <= base.recency_days).all())
        (16, True)
    """
    rng = np.random.default_rng(20111201)
    age = rng.integers(30, 700, n).astype(float)
    frequency = np.minimum(rng.geometric(0.35, n) - 1, 12)
    recency = np.where(frequency > 0, np.maximum(np.ceil(rng.uniform(0.1, 1.0, n) * age), frequency), 0.0)
    margin_mean = np.where(frequency > 0, np.round(rng.gamma(4.0, 5.0, n), 2), 0.0)
    awkward = (
        (0, 0.0, 0.0, 0.0), (1, 1.0, 1.0, 3.0), (1, 700.0, 700.0, 25.0),
        (90, 99.0, 100.0, 12.5), (30, 40.0, 900.0, 60.0), (2, 50.0, 400.0, -5.0),
    )  # fmt: skip
    columns = np.array(awkward).T
    frequency, recency = np.concatenate([frequency, columns[0]]), np.concatenate([recency, columns[1]])
    return Histories.from_arrays(
        frequency=frequency,
        recency_days=recency,
        age_days=np.concatenate([age, columns[2]]),
        margin_mean=np.concatenate([margin_mean, columns[3]]),
        **even_gaps(frequency, recency),
    )


def even_gaps(frequency: Any, recency: Any) -> dict[str, Any]:
    """The log gaps of customers who come as evenly as whole days allow, as columns of histories."""
    x, days = np.asarray(frequency, dtype=np.int64), np.asarray(recency, dtype=np.int64)
    gap, longer = np.divmod(days, np.maximum(x, 1))
    short, long = np.log(np.maximum(gap, 1)), np.log(gap + 1)
    return {
        "gap_log_sum": (x - longer) * short + longer * long,
        "gap_log_squares": (x - longer) * short**2 + longer * long**2,
    }


def _answers(model: FittedValueModel, histories: Histories) -> dict[str, Any]:
    """Everything that a model says of a base, by name."""
    worth = model.value(histories, **HORIZON)
    return {
        **({"log_likelihoods": model.log_likelihoods(histories)} if isinstance(model, FittedLikelihood) else {}),
        "p_alive": model.p_alive(histories),
        "expected_purchases": model.expected_purchases(histories, 90.0),
        **{f"value.{name}": values for name, values in worth.columns().items() if name != "customer_id"},
    }


def _same(name: str, first: Any, second: Any, what: str) -> None:
    if first.shape != second.shape or not np.allclose(first, second, rtol=TOLERANCE, atol=1e-12, equal_nan=True):
        raise AssertionError(f"{name} differs: {what}")


def one_is_many(model: FittedValueModel, histories: Histories) -> None:
    """A customer gets the same answers alone as in company."""
    together = _answers(model, histories)
    for position in range(len(histories)):
        for name, alone in _answers(model, histories[[position]]).items():
            _same(name, alone, together[name][[position]], "one customer alone against the same one in her base")


def parts_make_the_whole(model: FittedValueModel, histories: Histories) -> None:
    """The answers for two bases, joined, are the answers for the joined base."""
    cut = len(histories) // 3
    whole = _answers(model, histories)
    left, right = _answers(model, histories[:cut]), _answers(model, histories[cut:])
    for name, values in whole.items():
        _same(name, np.concatenate([left[name], right[name]]), values, "two parts against the whole base")


def order_does_not_matter(model: FittedValueModel, histories: Histories) -> None:
    """Shuffled customers get shuffled answers."""
    order = np.random.default_rng(7).permutation(len(histories))
    plain, shuffled = _answers(model, histories), _answers(model, histories[order])
    for name, values in plain.items():
        _same(name, shuffled[name], values[order], "rows in another order")


def round_trip(model: FittedValueModel, histories: Histories) -> None:
    """to_dict is plain JSON, and from_dict gives exactly the same numbers back."""
    text = json.dumps(model.to_dict(), allow_nan=False)
    again = type(model).from_dict(json.loads(text))
    told, kept = getattr(model, "params", {}), getattr(again, "params", {})
    if dict(kept) != dict(told):
        raise AssertionError("params differ after from_dict(to_dict())")
    before, after = _answers(model, histories), _answers(again, histories)
    for name, values in before.items():
        if not np.array_equal(values, after[name], equal_nan=True):
            raise AssertionError(f"{name} differs after from_dict(to_dict())")


def shape_and_dtype(model: FittedValueModel, histories: Histories) -> None:
    """Every answer is one float64 per customer, the valuation keeps her ids in her order and repeats the question."""
    for name, values in _answers(model, histories).items():
        array = np.asarray(values)
        if array.shape != (len(histories),) or array.dtype != np.float64:
            raise AssertionError(f"{name} is {array.dtype} of shape {array.shape}, not float64 of ({len(histories)},)")
    worth = model.value(histories, **HORIZON)
    if not isinstance(worth, Valuation) or not np.array_equal(worth.customer_id, histories.customer_id):
        raise AssertionError("value() is not a Valuation with the customers in their order")
    asked = (worth.horizon_days, worth.discount_rate, worth.interval)
    if asked != tuple(HORIZON.values()):
        raise AssertionError(f"the valuation says it was asked for {asked}, not {tuple(HORIZON.values())}")


def input_untouched(model: FittedValueModel, histories: Histories) -> None:
    """No answer changes the histories that it was made from."""
    before = {name: values.copy() for name, values in histories.columns().items()}
    _answers(model, histories)
    for name, values in histories.columns().items():
        if not np.array_equal(values, before[name], equal_nan=values.dtype.kind in "fM"):
            raise AssertionError(f"histories.{name} was changed")


def empty_in_empty_out(model: FittedValueModel, histories: Histories) -> None:
    """A base without customers has answers without rows."""
    for name, values in _answers(model, histories[:0]).items():
        if len(values):
            raise AssertionError(f"{name} has {len(values)} rows for an empty base")


def numbers_are_finite(model: FittedValueModel, histories: Histories) -> None:
    """No NaN and no infinity, for new customers, daily buyers and the long silent alike."""
    for name, values in _answers(model, histories).items():
        if not np.all(np.isfinite(values)):
            raise AssertionError(f"{name} holds {int(np.sum(~np.isfinite(values)))} values that are not finite")


def p_alive_is_a_probability(model: FittedValueModel, histories: Histories) -> None:
    """P(alive) lies between 0 and 1."""
    alive = model.p_alive(histories)
    if np.any((alive < 0) | (alive > 1)):
        raise AssertionError(f"p_alive ranges from {alive.min():.6g} to {alive.max():.6g}")


def purchases_grow_with_the_horizon(model: FittedValueModel, histories: Histories) -> None:
    """Expected purchases are 0 for 0 days and never fall as the days grow."""
    before = model.expected_purchases(histories, 0.0)
    if np.any(before != 0):
        raise AssertionError("expected_purchases in 0 days is not 0")
    for days in (1.0, 30.0, 365.0, 3650.0):
        after = model.expected_purchases(histories, days)
        if np.any(after < before - TOLERANCE * np.abs(before)):
            raise AssertionError(f"expected_purchases fall as the horizon grows to {days:.0f} days")
        before = after


def bounds_are_in_order(model: FittedValueModel, histories: Histories) -> None:
    """The lower bound is not above the upper one, and a wider interval has bounds further out.

    The value itself may lie outside: who most likely buys nothing has a positive expectation and the interval [0, 0].
    """
    narrow = model.value(histories, **{**HORIZON, "interval": 0.5})
    wide = model.value(histories, **{**HORIZON, "interval": 0.95})
    slack = TOLERANCE * (1 + np.abs(wide.value_high) + np.abs(wide.value_low))
    if np.any(narrow.value_low > narrow.value_high) or np.any(wide.value_low > wide.value_high):
        raise AssertionError("value_low is above value_high")
    if np.any(wide.value_low > narrow.value_low + slack) or np.any(wide.value_high < narrow.value_high - slack):
        raise AssertionError("a 95 % interval does not contain the 50 % one")


def money_adds_up(model: FittedValueModel, histories: Histories) -> None:
    """Expected margin is purchases times margin, and discounting never adds to what is expected."""
    worth = model.value(histories, **HORIZON)
    _same("expected_margin", worth.expected_margin, worth.expected_purchases * worth.margin_mean, "not the product")
    if np.any(np.abs(worth.value) > np.abs(worth.expected_margin) * (1 + TOLERANCE) + 1e-12):
        raise AssertionError("discounted value exceeds the undiscounted margin")


LAWS: tuple[Law, ...] = (
    one_is_many,
    parts_make_the_whole,
    order_does_not_matter,
    round_trip,
    shape_and_dtype,
    input_untouched,
    empty_in_empty_out,
    numbers_are_finite,
    p_alive_is_a_probability,
    purchases_grow_with_the_horizon,
    bounds_are_in_order,
    money_adds_up,
)


def check_value_model(model: ValueModel | FittedValueModel, histories: Histories | None = None) -> None:
    """Hold a model to every law of ``LAWS``; one BrokenLaws names all that it breaks.

    A recipe is fitted first, to ``histories`` (default: ``sample_histories()``). A law that cannot be
    checked because the model raises counts as broken.
    """
    base = sample_histories() if histories is None else histories
    fitted = model.fit(base) if isinstance(model, ValueModel) else model
    broken: dict[str, str] = {}
    for law in LAWS:
        try:
            law(fitted, base)
        except Exception as error:  # whatever a stranger's model raises is a finding, not a crash of the check
            broken[law.__name__] = str(error) if isinstance(error, AssertionError) else f"raised {error!r}"
    if broken:
        raise BrokenLaws(type(model).__name__, broken)
