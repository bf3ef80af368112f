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
# Beyond these the squares of weighted rewards leave the range of a float; money and chances end long before.
_LARGEST = 1e30
_LEAST_CHANCE = 1e-30


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


def _unmasked(name: str, values: Any) -> None:
    """An error for masked arrays with something masked: what lies under the mask would be read as data."""
    if np.ma.is_masked(values):
        bad = np.ma.getmaskarray(values)
        raise ConfigError(
            f"{name} is masked in {_first(bad.any(axis=1) if bad.ndim == 2 else bad)} (counted from 0)",
            rule="a masked value is missing, and every row has a value",
            remedy="leave those rows out of every argument",
        )


def _absent(cell: Any) -> bool:
    """Whether a cell is None, NaN, or another of the values that equal nothing, themselves included."""
    try:
        return cell is None or bool(cell != cell)
    except (TypeError, ValueError):  # neither equal to itself nor not, as pandas.NA
        return True


def _missing(values: Any, array: NDArray[Any]) -> BoolColumn:
    if array.dtype.kind == "U" and isinstance(values, list | tuple):  # numpy has made text of what is missing
        array = np.fromiter(values, dtype=object, count=len(values))
    if array.dtype.kind == "O":
        return np.fromiter(map(_absent, array.tolist()), dtype=bool, count=len(array))
    if array.dtype.kind == "f":
        return np.asarray(np.isnan(array))
    return np.asarray(np.isnat(array)) if array.dtype.kind in "mM" else np.zeros(len(array), dtype=bool)


def _floats(name: str, values: Any) -> FloatColumn:
    _unmasked(name, values)
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
    _of_a_size("rewards", np.abs(array) > _LARGEST)
    return array


def _of_a_size(name: str, bad: BoolColumn) -> None:
    if bad.any():
        raise ConfigError(
            f"{name} is beyond {_LARGEST:g} in {_first(bad)} (counted from 0)",
            rule=f"{name} is at most {_LARGEST:g} in size: the square of more is no number",
            remedy="correct what is wrong there, or count in a larger unit",
        )


def flags(values: Any, n: int) -> BoolColumn:
    _unmasked("bought", values)
    array = np.asarray(values)
    _one_a_row("bought", array.shape, n)
    if array.dtype.kind != "b":
        raise ConfigError(
            "bought holds other values than true and false", rule="bought says yes or no", remedy="pass a boolean array"
        )
    return array


def people(values: Any, n: int) -> NDArray[np.intp]:
    """A number for each person, 0, 1, ... without gaps; an error where it is not said whose a row is."""
    _unmasked("customer_id", values)
    array = np.asarray(values)
    _one_a_row("customer_id", array.shape, n)
    bad = _missing(values, array)
    if array.dtype.kind == "O":
        array = array.astype(np.str_)
    if array.dtype.kind == "U":
        bad |= np.strings.strip(array) == ""
    if bad.any():
        raise ConfigError(
            f"customer_id is missing in {_first(bad)} (counted from 0)",
            rule="rows of one customer are one draw, so each row says whose it is",
            remedy="leave those rows out, or leave customer_id out where every row is somebody else's",
        )
    return np.unique(array, return_inverse=True)[1].reshape(n)


def _labels(name: str, values: Any, n: int) -> NDArray[Any]:
    _unmasked(name, values)
    array = np.asarray(values)
    _one_a_row(name, array.shape, n)
    bad = _missing(values, array)
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
    if names is not None:
        known = list(names)
        if len({str(name) for name in known}) < len(known):
            raise ConfigError(f"names={known!r}", rule="each action is named once", remedy="leave out the repetition")
    elif columns and done.dtype.kind in "iu":
        known = list(range(columns[0]))
    else:
        try:
            cells = {cell for each in (done, wanted) if each is not None for cell in _distinct(each)}
            known = sorted(cells, key=lambda cell: (isinstance(cell, str), cell))
        except TypeError as problem:
            raise ConfigError(
                "actions of kinds that have no order",
                rule="an action is named by a text or a number",
                remedy="convert them to text first",
            ) from problem
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
    bad = array < _LEAST_CHANCE
    if bad.any():
        raise ConfigError(
            f"propensities is below {_LEAST_CHANCE:g} in {_first(bad)} (counted from 0)",
            rule=f"a chance is at least {_LEAST_CHANCE:g}: what is rarer is never drawn",
            remedy="pass what was logged beside the decision, and not its logarithm or a rounded-off softmax",
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
    _of_a_size("predicted", np.asarray((np.abs(array) > _LARGEST).any(axis=1)))
    return array


def encoded(context: Any, n: int, notes: list[str]) -> FloatColumn:
    columns: Mapping[str, Any] = columns_of(context)
    for raw in columns.values():
        _one_a_row("context", (len(raw.values),), n)
    return Encoder.learned(columns, notes).encode(columns)
