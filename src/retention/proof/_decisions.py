"""Logged decisions as they come in, checked: what was done, with which chance, what came of it, and the target."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.errors import ConfigError
from retention.frames.table import BoolColumn, FloatColumn
from retention.proof._features import Encoder, columns_of

__all__ = ["actions_of", "encoded", "flags", "people", "predictions", "propensities_of", "rewards_of", "unsupported"]

_SUM = 1e-6


def _first(bad: Any) -> str:
    """Where the first bad row is, and how many there are."""
    count = int(np.count_nonzero(bad))
    return f"row {int(np.argmax(bad)):,}" + (f" and {count - 1:,} more" if count > 1 else "")


def _one_a_row(name: str, shape: tuple[int, ...], n: int) -> None:
    if len(shape) != 1:
        raise ConfigError(
            f"{name} of shape {shape}", rule=f"{name} has one value a row", remedy="pass a one-dimensional array"
        )
    if shape[0] != n:
        raise ConfigError(
            f"{name} for {shape[0]:,} rows, rewards for {n:,}",
            rule="every argument has one value a row, in one order",
            remedy="select and sort them in one place",
        )


def _floats(name: str, values: Any) -> FloatColumn:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise ConfigError(
            f"{name} holds what is no number", rule=f"{name} is numbers", remedy="convert it first"
        ) from problem


def rewards_of(values: Any) -> FloatColumn:
    array = _floats("rewards", values)
    _one_a_row("rewards", array.shape, len(array) if array.ndim else 0)
    if len(array) < 2:
        raise ConfigError(f"{len(array)} rows", rule="a policy is valued on two rows or more", remedy="wait for more")
    bad = ~np.isfinite(array)
    if bad.any():
        raise ConfigError(
            f"rewards is missing or infinite in {_first(bad)} (counted from 0)",
            rule="every row has a finite reward",
            remedy="a decision that brought nothing has 0; leave out those whose reward is not known yet",
        )
    return array


def flags(values: Any, n: int) -> BoolColumn:
    array = np.asarray(values)
    _one_a_row("bought", array.shape, n)
    if array.dtype.kind != "b":
        raise ConfigError(
            "bought holds other values than true and false", rule="bought says yes or no", remedy="pass a boolean array"
        )
    return array


def people(values: Any, n: int) -> NDArray[np.intp]:
    array = np.asarray(values)
    _one_a_row("customer_id", array.shape, n)
    if array.dtype.kind == "O":
        array = array.astype(np.str_)
    return np.unique(array, return_inverse=True)[1].reshape(n)


def _labels(name: str, values: Any, n: int) -> NDArray[Any]:
    array = np.asarray(values)
    _one_a_row(name, array.shape, n)
    if array.dtype.kind == "O":
        bad = np.fromiter((cell is None or cell != cell for cell in array.tolist()), dtype=bool, count=n)
    else:
        bad = np.isnan(array) if array.dtype.kind == "f" else np.zeros(n, dtype=bool)
    if bad.any():
        raise ConfigError(
            f"{name} is missing in {_first(bad)} (counted from 0)",
            rule=f"{name} names what was done in every row",
            remedy="leave those rows out, or name what was done: 'nothing' is an action",
        )
    return array


def actions_of(
    actions: Any, target: Any, names: Sequence[Any] | None, n: int, *, like: Any = None
) -> tuple[NDArray[np.intp], NDArray[Any], list[str]]:
    """Codes of what was done, the target as codes or probabilities, and the names of the actions.

    Without names, numbers are the columns of a target or of another array ``like`` it, where there is one.
    """
    done = _labels("actions", actions, n)
    odds = target if np.ndim(target) == 2 else None
    wanted = _labels("target", target, n) if odds is None else None
    columns = [np.shape(each)[1] for each in (target, like) if np.ndim(each) == 2]
    cells = [_distinct(each) for each in (done, wanted) if each is not None]
    if names is not None:
        known = list(names)
        if len({str(name) for name in known}) < len(known):
            raise ConfigError(f"names={known!r}", rule="each action is named once", remedy="leave out the repetition")
    elif columns and done.dtype.kind in "iu":
        known = list(range(columns[0]))
    else:
        known = sorted({cell for some in cells for cell in some}, key=lambda cell: (isinstance(cell, str), cell))
    codes = _codes("actions", done, known)
    if wanted is not None:
        return codes, _codes("target", wanted, known), [str(name) for name in known]
    array = _floats("target", odds)
    if array.shape != (n, len(known)):
        raise ConfigError(
            f"target of shape {array.shape} for {n:,} rows and {len(known)} actions",
            rule="probabilities have a row a decision and a column an action",
            remedy="name the columns by names=",
        )
    bad = ~((array >= -1e-12).all(axis=1) & (np.abs(array.sum(axis=1) - 1) <= _SUM))
    if bad.any():
        raise ConfigError(
            f"target is negative, or does not sum to 1, in {_first(bad)} (counted from 0)",
            rule="the policy's probabilities are 0 or more and sum to 1",
            remedy="divide each row by its sum, or count 'nothing' as an action",
        )
    return codes, np.maximum(array, 0.0), [str(name) for name in known]


def _distinct(array: NDArray[Any]) -> list[Any]:
    if array.dtype.kind in "iub":
        return [each.item() for each in np.unique(array)]
    return list(set(array.tolist()))


def _codes(role: str, array: NDArray[Any], known: list[Any]) -> NDArray[np.intp]:
    place = {name: code for code, name in enumerate(known)}
    if array.dtype.kind in "iu" and known == list(range(len(known))):
        out = array.astype(np.intp)
        out = np.where((out >= 0) & (out < len(known)), out, -1)
    elif array.dtype.kind in "iub":
        distinct, inverse = np.unique(array, return_inverse=True)
        out = np.array([place.get(each.item(), -1) for each in distinct], dtype=np.intp)[inverse.reshape(len(array))]
    else:
        cells = array.tolist()
        at = {cell: place.get(cell, -1) for cell in set(cells)}
        out = np.fromiter(map(at.__getitem__, cells), dtype=np.intp, count=len(cells))
    strange = out < 0
    if strange.any():
        raise ConfigError(
            f"{role} holds {array[strange].tolist()[0]!r} in {_first(strange)} (counted from 0)",
            rule="an action is one of the names",
            remedy=f"the names are {', '.join(map(repr, known[:20]))}",
        )
    return out


def propensities_of(
    given: Any, codes: NDArray[np.intp], actions: int, n: int
) -> tuple[FloatColumn, FloatColumn | None]:
    """The chance of what was done, and of all actions where that is given."""
    array = _floats("propensities", given)
    table = None
    if array.ndim == 2:
        if array.shape != (n, actions):
            raise ConfigError(
                f"propensities of shape {array.shape} for {n:,} rows and {actions} actions",
                rule="propensities are one a row, or have a row a decision and a column an action",
                remedy="name the columns by names=",
            )
        bad = ~((array >= 0).all(axis=1) & (np.abs(array.sum(axis=1) - 1) <= _SUM))
        if bad.any():
            raise ConfigError(
                f"propensities are negative, or do not sum to 1, in {_first(bad)} (counted from 0)",
                rule="the chances of all actions are 0 or more and sum to 1",
                remedy="count 'nothing' as an action, or pass the chance of what was done alone",
            )
        table, array = array, array[np.arange(n), codes]
    elif array.ndim == 0:
        array = np.full(n, float(array))
    _one_a_row("propensities", array.shape, n)
    bad = ~((array > 0) & (array <= 1 + 1e-12))
    if bad.any():
        raise ConfigError(
            f"propensities is outside (0, 1] in {_first(bad)} (counted from 0)",
            rule="a propensity is the chance with which that was drawn that was done, so it is above 0",
            remedy="pass what was logged beside the decision; leave out decisions that were not drawn",
        )
    return array, table


def unsupported(wanted: NDArray[Any], table: FloatColumn | None, logged: BoolColumn, names: list[str]) -> float:
    """The share of the policy's decisions that the log could not have made; an error for actions that nobody logged."""
    asked: BoolColumn = np.asarray(
        np.bincount(wanted, minlength=len(names)) > 0 if wanted.ndim == 1 else (wanted > 0).any(axis=0)
    )
    never = [names[k] for k in np.flatnonzero(asked & ~logged)]
    if never:
        raise ConfigError(
            f"the target takes {', '.join(map(repr, never[:10]))}, which was never logged",
            rule="a policy is valued on actions that were tried",
            remedy="log a share of decisions drawn at random, or let the policy do without",
        )
    if table is None:
        return 0.0
    if wanted.ndim == 1:
        return float(np.mean(table[np.arange(len(wanted)), wanted] == 0))
    return float(np.where(table == 0, wanted, 0.0).sum() / len(wanted))


def predictions(given: Any, n: int, actions: int) -> FloatColumn:
    array = _floats("predicted", given)
    if array.shape != (n, actions):
        raise ConfigError(
            f"predicted of shape {array.shape} for {n:,} rows and {actions} actions",
            rule="predictions have a row a decision and a column an action",
            remedy="name the columns by names=",
        )
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise ConfigError(
            f"predicted is missing or infinite in {_first(bad)} (counted from 0)",
            rule="every action has a finite prediction in every row",
            remedy="correct the model, or leave predicted= out",
        )
    return array


def encoded(context: Any, n: int, notes: list[str]) -> FloatColumn:
    columns: Mapping[str, Any] = columns_of(context)
    for raw in columns.values():
        _one_a_row("context", (len(raw.values),), n)
    return Encoder.learned(columns, notes).encode(columns)
