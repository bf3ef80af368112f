"""The allocator over several weeks: rolling caps, gaps between contacts, weekly capacities and one sum of money.

Which weeks to contact a customer in is decided for all weeks at once: a contact now is one less later, so a good week
ahead may be worth waiting for. As in :mod:`retention.plan.allocate` every limit gets a price, and the prices prove a
bound that no plan exceeds. Among actions that are worth the same the first is taken.
"""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from retention.errors import ConfigError
from retention.plan.allocate import Allocation
from retention.plan.figures import checked_indices, checked_limit, checked_places

__all__ = ["WeeklyAllocation", "allocate_weeks"]

MEMORY = 12  # weeks that a rule may look back on


@frozen(eq=False, repr=False, kw_only=True)
class WeeklyAllocation(Allocation):
    """An :class:`Allocation` whose ``choice`` is (customers, weeks): the action's index, or -1 for no contact.

    Channels have a limit and a price a week: ``channel 0 week 3``.
    """

    def _who(self) -> str:
        customers = int((self.choice >= 0).any(axis=1).sum())
        weeks = self.choice.shape[1]
        return f"{self.contacts:,} contacts of {customers:,} of {len(self.choice):,} customers in {weeks} weeks"


def allocate_weeks(
    gains: ArrayLike,
    costs: ArrayLike,
    *,
    window: int = 4,
    most: int = 1,
    apart: int = 1,
    past: ArrayLike | None = None,
    money: float | None = None,
    channel: ArrayLike | None = None,
    capacity: Sequence[Any] | ArrayLike | None = None,
    allowed: ArrayLike | None = None,
) -> WeeklyAllocation:
    """Whom to contact in which week with what, so that the sum of gain minus cost is as large as limits allow.

    ``gains`` is (customers, weeks, actions): the expected incremental margin of each action in each week before cost,
    as if it were the only one. ``costs`` is by action, (customers, actions) or of the shape of gains.

    - At most one contact a customer and week, at most ``most`` in any ``window`` weeks in a row, and any two at least
      ``apart`` weeks apart (1: in weeks next to each other; 2: with a week between them).
    - ``past`` is True where a customer had a contact in the weeks before the first, (customers, weeks before), the last
      column being the last week. Weeks that the rules no longer ask about are ignored.
    - ``money`` is for all weeks together. ``channel`` is the index of each action's channel, ``capacity`` the contacts
      that each channel can take, by channel (the same in every week) or by (week, channel). Without ``channel`` every
      action is a channel of its own.
    - ``allowed`` is False where a contact must not be: by (customer, action) or in the shape of gains.

    The plan keeps to all rules and limits; how far it is from the best is in ``gap``. With few customers the gap is
    mostly that of whole contacts, of which the bound knows nothing.

    Errors: :class:`ConfigError` as of :func:`retention.plan.allocate`.

    Source: Bellman 1957 (the calendar of a customer), Fisher 1981, Management Science 27 (the bound).

    Example:
        >>> gains = [[[5.0], [12.0], [6.0]], [[5.0], [4.0], [3.0]]]
        >>> got = allocate_weeks(gains, [1.0], window=2, most=1)
        >>> got.choice.tolist(), got.objective
        ([[-1, 0, -1], [0, -1, 0]], 17.0)
    """
    from retention._kernels import weeks as kernel
    from retention._kernels.rounding import within

    gain = _box("gains", gains, None)
    n, w, k = gain.shape
    cost = _box("costs", costs, gain.shape)
    if cost.size and float(cost.min()) < 0:
        raise ConfigError(
            "costs below 0", rule="costs are 0 or more", remedy="what an action brings belongs into gains"
        )
    rules = kernel.Rules(
        _whole("window", window, 1, MEMORY + 1), _whole("most", most, 0, None), _whole("apart", apart, 1, MEMORY + 1)
    )
    start = _start(past, n, rules.memory)
    spend = checked_limit("money", money)
    of, places = _channels(channel, capacity, w, k)
    open_ = _allowed(allowed, gain.shape)
    if (places <= 0).any():
        shut = ~(places <= 0)[:, of]
        open_ = np.broadcast_to(shut, gain.shape) if open_ is None else open_ & shut
    if spend == 0:
        free = cost <= 0
        open_ = free if open_ is None else open_ & free
    counted = 0 < spend < math.inf
    # A cell cannot take more contacts than there are customers, nor is a shut one asked for any.
    cells = np.clip(places, 1.0, max(n, 1)).ravel()
    calendar = kernel.Calendar(
        gain,
        cost,
        np.concatenate([[spend], cells]) if counted else cells,
        money=counted,
        channel=of,
        channels=places.shape[1],
        allowed=open_,
        start=start,
        rules=rules,
    )
    planned = kernel.plan(calendar)
    choice = planned.choice
    rows, week = np.nonzero(choice >= 0)
    action = choice[rows, week].astype(np.intp)
    paid = cost[rows, week, action].astype(np.float64)
    value = gain[rows, week, action].astype(np.float64) - paid
    if counted and not within(paid, spend):  # a rounding too much: the least contact that frees enough goes
        for j in np.argsort(value, kind="stable"):
            if paid[j] > 0:
                choice[rows[j], week[j]] = -1
                paid[j] = value[j] = 0.0
                if within(paid, spend):
                    break
        kept = choice[rows, week] >= 0
        rows, week, action, paid, value = rows[kept], week[kept], action[kept], paid[kept], value[kept]
    objective = math.fsum(value.tolist())
    price = planned.price
    most_gained = max(float(gain.max(initial=0.0)), 0.0)
    steps = 8 + w + len(price)
    slack = np.finfo(np.float64).eps * steps * (n * w * most_gained + float(np.abs(price * calendar.limits).sum()))
    bound = max(planned.bound + float(slack) if planned.bound else 0.0, objective)
    names = [f"channel {c} week {t}" for t in range(w) for c in range(places.shape[1])]
    counts = np.bincount(week * places.shape[1] + of[action], minlength=len(names)) if names else np.zeros(0)
    by_cell = price[int(counted) :].tolist()
    return WeeklyAllocation(
        choice=choice,
        objective=objective,
        bound=bound,
        prices={"money": float(price[0]) if counted else 0.0} | dict(zip(names, by_cell, strict=True)),
        used={"money": float(paid.sum())} | {name: float(c) for name, c in zip(names, counts, strict=True)},
        limits={"money": spend} | dict(zip(names, places.ravel().tolist(), strict=True)),
        method="exact" if bound - objective <= 1e-8 * abs(bound) else "prices",
    )


def _box(name: str, given: Any, shape: tuple[int, int, int] | None) -> Any:
    array = np.asarray(given)
    if array.dtype.kind not in "iuf":
        raise ConfigError(f"{name} of type {array.dtype}", rule=f"{name} are numbers", remedy="pass an array of floats")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.size and not (math.isfinite(float(array.min())) and math.isfinite(float(array.max()))):
        raise ConfigError(
            f"{name} that are not finite",
            rule=f"{name} are finite numbers",
            remedy="forbid contacts by allowed=False, and mend what is missing",
        )
    if array.size and float(np.abs(array).max()) > 1e100:
        raise ConfigError(f"{name} above 1e100", rule="figures are amounts of money", remedy="use allowed=False")
    if shape is None:
        if array.ndim != 3 or 0 in array.shape[1:]:
            raise ConfigError(
                f"{name} of shape {array.shape}",
                rule=f"{name} are by customer, week and action, with at least one week and action",
                remedy="pass a three-dimensional array, also for one action",
            )
        return array
    n, _, k = shape
    if array.shape == (k,):
        return np.broadcast_to(array, shape)
    if array.shape == (n, k):
        return np.broadcast_to(array[:, None], shape)
    if array.shape != shape:
        raise ConfigError(
            f"{name} of shape {array.shape} beside gains of shape {shape}",
            rule=f"{name} are by action, by customer and action, or in the shape of gains",
            remedy="line the arrays up",
        )
    return array


def _whole(name: str, given: Any, least: int, top: int | None) -> int:
    try:
        value = operator.index(given)
    except TypeError:
        value = least - 1
    if value < least or isinstance(given, bool) or (top is not None and value > top):
        raise ConfigError(
            f"{name}={given!r}",
            rule=f"{name} is a whole number from {least}" + (f" to {top}" if top is not None else " on"),
            remedy="count in weeks",
        )
    return value


def _start(past: Any, n: int, memory: int) -> NDArray[np.intp]:
    if past is None:
        return np.zeros(n, dtype=np.intp)
    had = np.asarray(past)
    if had.dtype != np.bool_ or had.ndim != 2 or len(had) != n:
        raise ConfigError(
            f"past of type {had.dtype} and shape {had.shape}",
            rule=f"past is True or False for each of {n:,} customers and each week before the first",
            remedy="pass a boolean array, the last week in the last column",
        )
    recent = had[:, max(had.shape[1] - memory, 0) :] if memory else had[:, :0]
    bits = 1 << np.arange(recent.shape[1] - 1, -1, -1, dtype=np.intp)
    return np.asarray(recent @ bits if recent.shape[1] else np.zeros(n), dtype=np.intp)


def _channels(channel: Any, capacity: Any, w: int, k: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Each action's channel, and the places by week and channel."""
    if capacity is None:
        return np.zeros(k, dtype=np.intp), np.zeros((w, 0))
    listed = list(capacity) if np.ndim(capacity) else [capacity]
    rows = listed if all(np.ndim(row) == 1 for row in listed) else [listed] * w
    if len(rows) != w or len({len(row) for row in rows}) != 1 or not np.ndim(capacity):
        raise ConfigError(
            "a capacity of the wrong shape",
            rule=f"capacity is by channel, or by each of {w} weeks and channel",
            remedy="pass one row a week, each with one figure a channel",
        )
    places = np.array([[checked_places("capacity", c) for c in row] for row in rows], dtype=np.float64)
    of = np.arange(k) if channel is None else checked_indices("channel", channel, k)
    if of.max(initial=-1) >= places.shape[1] or (channel is None and places.shape[1] != k):
        raise ConfigError(
            f"{places.shape[1]} capacities for channels up to {int(of.max(initial=-1))}",
            rule="every channel has a capacity; None is one without limit",
            remedy="give capacity one entry for each channel",
        )
    return of, places


def _allowed(given: Any, shape: tuple[int, int, int]) -> Any:
    if given is None:
        return None
    array = np.asarray(given)
    if array.dtype != np.bool_ or array.shape not in (shape, (shape[0], shape[2])):
        raise ConfigError(
            f"allowed of type {array.dtype} and shape {array.shape}",
            rule="allowed is True or False by customer and action, or in the shape of gains",
            remedy="pass a boolean array",
        )
    return array if array.ndim == 3 else np.broadcast_to(array[:, None], shape)
