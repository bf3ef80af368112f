"""Randomised arms as they come in, checked."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError, ModelError, UnknownNameError, nearest
from retention.frames.table import FloatColumn
from retention.proof._features import Encoder, columns_of

__all__ = ["LEAST_BUYERS", "LEAST_IN_ARM", "coded", "in_range", "known_arms", "numbers", "same_length", "trial_of"]

LEAST_BUYERS = 50
"""With fewer buyers on whom a comparison rests, its interval is not to be believed."""

LEAST_IN_ARM = 40
"""An arm with fewer customers is too small to learn from."""


def trial_of(
    features: Any,
    arm: Any,
    outcome: Any,
    *,
    propensities: Any = None,
    costs: Mapping[str, float] | None = None,
    margins: Any = None,
    proxy: Any = None,
    control: str | None = None,
) -> "tuple[Encoder, Any, list[str], list[str]]":
    from retention._kernels import uplift

    notes: list[str] = []
    codes, names = coded("arm", arm)
    n = len(codes)
    if control is not None:
        known_arms("control", [control], names)
        order = [control, *(name for name in names if name != control)]
        codes = np.array([order.index(name) for name in names])[codes]
    else:
        order = names
    if len(order) < 2:
        raise ModelError(
            f"one arm only: {order[0]!r}",
            rule="to learn what an action changes, at least two arms were drawn at random",
            remedy="leave some customers alone, or give some another action",
        )
    size = np.bincount(codes, minlength=len(order))
    if size.min() < LEAST_IN_ARM:
        least = int(np.argmin(size))
        raise ModelError(
            f"arm {order[least]!r} has {size[least]} customers",
            rule=f"an arm has at least {LEAST_IN_ARM} customers",
            remedy="leave the arm and its customers out, or wait for more",
        )
    columns = columns_of(features)
    for raw in columns.values():
        same_length("features", len(raw.values), n)
    y = numbers("outcome", outcome, n)
    dense = None if proxy is None else numbers("proxy", proxy, n)
    for name, values in (("outcome", y), ("proxy", dense)):
        if values is not None and values.min() == values.max():
            raise ModelError(
                f"{name} is {values[0]:g} for everyone",
                rule="what is the same for everyone tells nothing about the arms",
                remedy=f"wait until some customers have a {name}",
            )
    worth = None if margins is None else numbers("margins", margins, n)
    if worth is not None and dense is not None:
        y, worth = y * worth, None
    encoder = Encoder.learned(columns, notes)
    x = encoder.encode(columns)
    trial = uplift.Trial(
        features=x,
        groups=encoder.groups,
        plain=encoder.plain(x),
        codes=codes,
        chance=_chances(propensities, codes, names, order, notes),
        outcome=y,
        cost=_costs(costs, order)[:, None],
        worth=worth,
        proxy=dense,
    )
    return encoder, trial, order, notes


def coded(name: str, values: Any, n: int | None = None) -> tuple[NDArray[np.intp], list[str]]:
    """Text as codes into its sorted distinct values."""
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise ConfigError(
            f"{name} of shape {array.shape}", rule=f"{name} has one value a customer", remedy="pass a column"
        )
    if n is not None:
        same_length(name, len(array), n)
    cells = array.tolist()
    distinct = set(cells)
    if any(cell is None or cell != cell for cell in distinct):
        raise ConfigError(
            f"{name} is missing for some customers",
            rule=f"{name} has one value a customer",
            remedy="leave those customers out, or name what was done: 'nothing' is an arm",
        )
    labels = sorted({str(cell) for cell in distinct})
    at = {cell: labels.index(str(cell)) for cell in distinct}
    return np.fromiter(map(at.__getitem__, cells), dtype=np.intp, count=len(cells)), labels


def numbers(name: str, values: Any, n: int) -> FloatColumn:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise ConfigError(
            f"{name} holds what is no number", rule=f"{name} is one number a customer", remedy="convert it first"
        ) from problem
    if array.ndim != 1:
        raise ConfigError(
            f"{name} of shape {array.shape}", rule=f"{name} is one number a customer", remedy="pass a column"
        )
    same_length(name, len(array), n)
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise ConfigError(
            f"{name} is missing or infinite for {bad:,} customers",
            rule=f"{name} is a finite number for every customer",
            remedy="a customer who brought nothing has 0; leave out those of whom nothing is known",
        )
    return array


def same_length(name: str, length: int, n: int) -> None:
    if length != n:
        raise ConfigError(
            f"{name} for {length:,} customers, arms for {n:,}",
            rule="every argument has one value a customer, in one order",
            remedy="select and sort them in one place",
        )


def known_arms(role: str, names: Any, arms: list[str]) -> None:
    for name in names:
        if name not in arms:
            raise UnknownNameError(
                f"{role} names the arm {name!r}",
                rule="an arm is one that customers were in",
                remedy=nearest(name, arms),
            )


def _costs(costs: Mapping[str, float] | None, arms: list[str]) -> FloatColumn:
    given = {str(name): cost for name, cost in (costs or {}).items()}
    known_arms("costs", given, arms)
    out = np.array([float(given.get(name, 0.0)) for name in arms])
    if not (np.isfinite(out) & (out >= 0)).all():
        raise ConfigError(
            f"costs={given!r}", rule="a contact costs a finite amount of money, 0 or more", remedy="correct the costs"
        )
    return out


def _chances(given: Any, codes: NDArray[np.intp], names: list[str], order: list[str], notes: list[str]) -> FloatColumn:
    """Shape (arms, customers)."""
    n, arms = len(codes), len(order)
    if given is None:
        share = np.bincount(codes, minlength=arms) / n
        notes.append("propensities are the arms' shares: right only if every customer had the same chances")
        return np.repeat(share[:, None], n, axis=1)
    if isinstance(given, Mapping):
        by_name = {str(name): chance for name, chance in given.items()}
        known_arms("propensities", by_name, order)
        lacking = [name for name in order if name not in by_name]
        if lacking:
            raise ConfigError(
                f"propensities without {', '.join(map(repr, lacking))}",
                rule="every arm had a chance",
                remedy="give the chance of each arm",
            )
        out = np.array(
            [
                numbers("propensities", np.full(n, by_name[name]) if np.ndim(by_name[name]) == 0 else by_name[name], n)
                for name in order
            ]
        )
    else:
        array = np.asarray(given, dtype=np.float64)
        if array.shape != (n, arms):
            raise ConfigError(
                f"propensities of shape {array.shape}",
                rule=f"propensities are a chance by arm, or an array of {n:,} customers and {arms} arms",
                remedy=f"order its columns as {', '.join(names)}",
            )
        out = np.ascontiguousarray(array.T[[names.index(name) for name in order]])
    if not (out > 0).all() or float(np.max(np.abs(out.sum(axis=0) - 1))) > 1e-6:
        raise ConfigError(
            "propensities that are not above 0, or do not sum to 1",
            rule="every customer could have been in any arm, and was in exactly one",
            remedy="pass the chances of the draw; leave out customers who could not have been in some arm",
        )
    return out


def in_range(*, repeats: int = 1, folds: int = 2, interval: float = 0.9, least_gain: float = 0.0) -> None:
    if not 0.5 < interval <= 0.99:
        raise ConfigError(
            f"interval={interval!r}", rule="an interval's confidence lies in (0.5, 0.99]", remedy="pass 0.90, say"
        )
    if repeats < 1 or not 2 <= folds <= 10:
        raise ConfigError(
            f"repeats={repeats!r}, folds={folds!r}",
            rule="there is at least 1 repeat, of 2 to 10 folds",
            remedy="leave them out, or correct them",
        )
    if not (math.isfinite(least_gain) and least_gain >= 0):
        raise ConfigError(
            f"least_gain={least_gain!r}",
            rule="the least gain is money per customer, 0 or more",
            remedy="leave it out, or raise it",
        )
