r"""Change of habit from order alone: each new value is ranked among her last ones, and ranks are bet on.

While nothing changes, the values of one customer (gaps, baskets, margin rates) come in any order with equal chance,
whatever their distribution. The rank of a new value among the ``n`` in her bag is then uniform and independent of all
earlier ranks (Vovk, Gammerman and Shafer 2005, ch. 8), so that a bet on extreme ranks is fair. With ``a`` values more
extreme than hers and ``t`` equal ones, the bet with exponent k in (0, 1) pays the mean of k u^(k-1) over her ranks,

    L = (hi^k - lo^k) / (hi - lo),   lo = a / (n + 1),  hi = (a + t + 1) / (n + 1),        E0[L] = 1 exactly.

Averaging over ties replaces the usual coin flips: nothing is random. Against a rate that falls to k times itself the
bet is the likelihood ratio of a Poisson buyer whose old rate is known; smaller k bet on sharper changes.

A change may begin with any value. Summing over all beginnings with weight w (Shiryaev 1963, Roberts 1966; as an
e-detector: Shin, Ramdas and Rinaldo 2023) needs one number a bet,

    R_n = (R_{n-1} + w_n) L_n,        E0[R_n] = w_1 + ... + w_n,        alarm when R_n >= 1:

with w the budget of false alarms for the time of one value, the chance of an alarm within N values is at most their
summed weights (Doob), and alarms that restart R come no more often than that in the long run. Several bets share w:
R is their mean.

The bag is bounded. When it is full, one of the n + 1 values, the newcomer included, is dropped by a draw that looks at
none of them: what stays is then again values in any order, so ranks remain uniform. (Dropping the oldest would not do
that.)

Kinds have no order (categories, channels). A bet that she began to draw anew m values ago expects a kind as often as
it came since, beside its old chance p = (c + 1) / (n + 1), c times among the n in the bag:

    L = (c_m / p + 1) / (m + 1).

It pays for kinds that come again and were rare; new kinds that do not come again cost. As E[1 / (c + 1)] is at most
1 / ((n + 1) P) for a kind of true chance P, each factor is fair or worse for who keeps her mix; for products that is
not proved but enumerated (see the tests). R sums over the last ``STARTS`` beginnings.

No digits are lost: ranks are whole numbers, hi^k - lo^k is a difference of numbers 1/(n + 1) apart or more.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention._kernels import logt

__all__ = ["HALF", "STARTS", "dropped", "gap_limit", "insert", "kinds", "pay", "ranks", "silence_limit", "split"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HALF = np.array([0.5])
"""The bet on values: against a Poisson buyer whose old rate is known, the likelihood ratio of a halved one."""

STARTS = 12
"""A change of kinds is looked for among so many last values."""


def pay(above: Ints, ties: Ints, n: Ints, bets: Floats = HALF) -> Floats:
    """What each bet pays on a value with so many more extreme ones, and ties, among n: rows by bets."""
    size = (n + 1.0)[:, None]
    low, high = above[:, None] / size, (above + ties + 1.0)[:, None] / size
    return np.asarray((high**bets - low**bets) / (high - low))


def ranks(bag: NDArray[np.float32], n: Ints, value: NDArray[np.float32]) -> tuple[Ints, Ints]:
    """How many of each row's first n are above the value, and how many equal it."""
    held = np.arange(bag.shape[1]) < n[:, None]
    above = ((bag > value[:, None]) & held).sum(axis=1)
    return above.astype(np.int64), ((bag == value[:, None]) & held).sum(axis=1).astype(np.int64)


def kinds(bag: NDArray[np.float32], n: Ints, value: NDArray[np.float32]) -> Floats:
    """What the bets on kinds pay: rows by how many values have come since the change that each bet supposes."""
    size = bag.shape[1]
    same = (bag == value[:, None]) & (np.arange(size) < n[:, None])
    chance = (same.sum(axis=1) + 1.0) / (n + 1.0)
    since = np.arange(STARTS)
    place = n[:, None] - since[1:]
    last = np.take_along_axis(same, np.maximum(place, 0), axis=1) & (place >= 0)
    repeats = np.concatenate([np.zeros((len(n), 1)), np.cumsum(last, axis=1)], axis=1)
    return np.asarray((repeats / chance[:, None] + 1.0) / (since + 1.0))


def dropped(count: Ints, size: int) -> Ints:
    """Which of size + 1 values goes when the ``count``-th comes: a draw by a hash (splitmix64), the last is the new."""
    z = count.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) % np.uint64(size + 1)).astype(np.int64)


def insert(bag: NDArray[Any], n: Ints, value: NDArray[Any], count: Ints | None) -> tuple[NDArray[Any], Ints]:
    """The bags with the value added at their end, in order of time, and their sizes.

    Of a full bag ``dropped`` goes; without ``count``, the oldest.
    """
    size = bag.shape[1]
    bag = bag.copy()
    room = n < size
    bag[room, n[room]] = value[room]
    full = np.flatnonzero(~room)
    if len(full):
        out = dropped(count[full], size)[:, None] if count is not None else np.zeros((len(full), 1), dtype=np.int64)
        places = np.arange(size)[None, :]
        longer = np.concatenate([bag[full], value[full, None]], axis=1)
        bag[full] = np.take_along_axis(longer, places + (places >= out), axis=1)
    return bag, np.minimum(n + 1, size)


def gap_limit(bag: NDArray[np.float32], n: Ints, evidence: Floats, weight: Floats) -> Floats:
    """The gap beyond which the open one would raise the alarm, whatever it comes to; inf if none would.

    ``evidence`` is R, rows by bets, before this gap (below 1, or the alarm had been raised). A gap longer than all but
    c of the bag pays the bet of rank c at least, so the limit is the (c + 1)-th longest for the largest c that is
    enough.
    """
    rows, size = bag.shape
    longest = -np.sort(np.where(np.arange(size) < n[:, None], -bag, np.inf), axis=1)
    limit = np.full(rows, np.inf)
    stake = evidence + weight[:, None]
    open_ = np.ones(rows, dtype=bool)
    for c in range(size):
        # Evidence falls with c: once too little, always too little.
        open_ = open_ & (c < n)
        if not open_.any():
            break
        zero = np.zeros(int(open_.sum()), dtype=np.int64)
        enough = np.zeros(rows, dtype=bool)
        enough[open_] = (stake[open_] * pay(zero + c, zero, n[open_])).mean(axis=1) >= 1.0
        limit = np.where(enough, longest[:, c], limit)
        open_ = enough
    return limit


def silence_limit(prior: logt.Prior, post: logt.Posterior, chance: Floats, most: int) -> Ints:
    """The first whole day h with S*(h) <= chance; ``most`` if none is earlier."""
    low, high = np.zeros(len(chance), dtype=np.int64), np.full(len(chance), most, dtype=np.int64)
    while np.any(high - low > 1):
        middle = (low + high) // 2
        late = logt.open_survival(prior, post, np.maximum(middle, 0.5).astype(np.float64)) <= chance
        high, low = np.where(late, middle, high), np.where(late, low, middle)
    return high


def split(values: Floats) -> tuple[int, float]:
    """Where a series changed most: how many of its last values are the new ones, and their rank-sum z (up: above 0).

    Chosen after an alarm, to tell what changed; z is not corrected for the choice.
    """
    n = len(values)
    if n < 2:
        return n, 0.0
    order = np.sort(values)
    middle = (np.searchsorted(order, values) + np.searchsorted(order, values, side="right") + 1) / 2
    last = np.arange(1, n)
    sums = np.cumsum(middle[::-1])[:-1]
    spread = middle.var() * n / (n - 1) * last * (n - last) / n
    z = (sums - last * (n + 1) / 2) / np.sqrt(np.maximum(spread, 1e-12))
    best = int(np.argmax(np.abs(z)))
    return int(last[best]), float(z[best])
