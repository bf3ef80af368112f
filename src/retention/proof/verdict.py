"""From an interval to a word: what may be said, of one comparison and of many, and when nothing may be said."""

import math
from statistics import NormalDist
from typing import Literal

import numpy as np
from attrs import frozen

from retention.errors import ConfigError
from retention.frames.table import FloatColumn, IntColumn

__all__ = [
    "Verdict",
    "Needed",
    "verdict_of",
    "holm",
    "mismatch",
    "needed",
    "LEAST_CUSTOMERS",
    "NEGLIGIBLE_SHARE",
    "MISMATCH",
    "LEAST_GAP",
    "POWER",
]

Verdict = Literal["works", "no effect", "harms", "cannot tell"]

LEAST_CUSTOMERS = 20
"""With fewer customers in either arm there is no verdict."""

NEGLIGIBLE_SHARE = 0.01
"""A difference within this share of the held-out's mean margin is negligible, unless the caller says otherwise."""

MISMATCH = 0.001
"""Arms whose sizes have a smaller chance than this are not what was drawn: the verdict is withheld."""

LEAST_GAP = 0.01
"""Arms whose shares of customers reached differ by no more than this were treated alike."""

POWER = 0.8
"""The chance to tell an effect of which :func:`needed` counts the customers."""


@frozen(kw_only=True)
class Needed:
    """How many more customers in each arm, and nights like those so far, until an effect of a size can be told.

    ``effect`` is money per contacted customer after cost; it is told with a chance of 80 %.
    """

    effect: float
    contacted: int
    held_out: int
    nights: int

    def __str__(self) -> str:
        if not self.nights:
            return f"an effect of {self.effect:,.2f} can be told with what is there"
        return (
            f"to tell an effect of {self.effect:,.2f} takes about {self.contacted:,} more contacted and "
            f"{self.held_out:,} more held out: {self.nights:,} more nights like these"
        )


def verdict_of(low: float, high: float, negligible: float) -> Verdict:
    """``works`` above 0, ``harms`` below, ``no effect`` within what is negligible, else ``cannot tell``.

    Example:
        >>> verdict_of(0.1, 2.0, 0.5), verdict_of(-0.2, 0.3, 0.5), verdict_of(-0.2, 0.9, 0.5)
        ('works', 'no effect', 'cannot tell')
    """
    if low > 0:
        return "works"
    if high < 0:
        return "harms"
    return "no effect" if -negligible <= low and high <= negligible else "cannot tell"


def holm(tails: FloatColumn, level: float) -> list[bool]:
    """Which of several claims stand together: the chance that any of them is wrong is at most ``level``.

    ``tails`` are p-values, one a claim. (Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.)

    Example:
        >>> holm(np.array([0.04, 0.001, 0.03]), 0.05)
        [False, True, False]
    """
    stands = [False] * len(tails)
    for rank, at in enumerate(np.argsort(tails, kind="stable").tolist()):
        if tails[at] > level / (len(tails) - rank):
            break
        stands[at] = True
    return stands


def mismatch(contacted: IntColumn, held_out: IntColumn, chance: FloatColumn) -> float:
    """How likely arms at least as uneven are, if each customer was contacted with her group's ``chance``.

    One entry a group; each is an exact binomial test, and the least of them counts as often as there are groups. Arms
    that fail it have lost customers on one side, or were not drawn as the journal says, and no interval mends that.

    Example:
        >>> chance = np.array([0.9])
        >>> [mismatch(np.array([n]), np.array([100]), chance) < MISMATCH for n in (900, 700, 500)]
        [False, False, True]
    """
    from scipy import special  # heavy; at the top it would be loaded with the package

    known = (chance > 0) & (chance < 1) & (contacted + held_out > 0)
    if not known.any():
        return 1.0
    k, n, p = held_out[known].astype(float), (contacted + held_out)[known].astype(float), 1.0 - chance[known]
    at_most = np.where(k < n, special.betainc(np.maximum(n - k, 1e-300), k + 1.0, 1.0 - p), 1.0)
    at_least = np.where(k > 0, special.betainc(np.maximum(k, 1e-300), n - k + 1.0, p), 1.0)
    return float(min(1.0, len(k) * np.min(2.0 * np.minimum(at_most, at_least))))


def needed(effect: float, *, error: float, reach: float, contacted: int, held_out: int, nights: int) -> Needed:
    """How many more customers tell ``effect``, if more of the same come and the variance stays what it is.

    An interval whose ends lie ``reach`` from the middle excludes 0 with a chance of 80 % where the effect is
    ``reach + 0.84 error`` of then; both shrink with the root of the numbers.

    Example:
        >>> str(needed(2.0, error=2.0, reach=3.3, contacted=900, held_out=100, nights=10))
        'to tell an effect of 2.00 takes about 4,688 more contacted and 521 more held out: 53 more nights like these'
    """
    if not (math.isfinite(effect) and effect != 0):
        raise ConfigError(
            f"effect={effect!r}", rule="an effect to be told differs from zero", remedy="give it in money a customer"
        )
    more = max(0.0, ((reach + NormalDist().inv_cdf(POWER) * error) / abs(effect)) ** 2 - 1.0)
    return Needed(
        effect=float(effect),
        contacted=math.ceil(more * contacted),
        held_out=math.ceil(more * held_out),
        nights=math.ceil(more * nights),
    )
