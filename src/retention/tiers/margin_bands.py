"""Tiers by expected margin."""

from itertools import pairwise
from typing import Any

import attrs
import numpy as np
from attrs import field, frozen

from retention.domain import Tier
from retention.errors import ConfigError
from retention.frames.texts import Labels
from retention.histories import Histories
from retention.tiers.tiering import Tiering
from retention.value.valuation import Valuation

__all__ = ["MarginBands"]


@frozen(kw_only=True)
class MarginBands:
    """Bands on the expected margin of the valuation's horizon: what is to come, not what was spent.

    Either ``floors`` (the least expected margin of each tier above the lowest, in money, rising) or ``shares``
    (where to cut the base, as rising shares of customers). Shares that fall on one amount make one tier fewer,
    never two tiers with one floor.

    Example:
        >>> MarginBands(names=("standard", "gold"), floors=(100.0,)).name
        'margin-bands'
    """

    names: tuple[str, ...] = field(default=("bronze", "silver", "gold", "platinum"), converter=tuple)
    shares: tuple[float, ...] = field(default=(0.5, 0.8, 0.95), converter=tuple)
    floors: tuple[float, ...] | None = field(default=None, converter=attrs.converters.optional(tuple))
    name: str = field(default="margin-bands", init=False)

    def __attrs_post_init__(self) -> None:
        cuts = self.shares if self.floors is None else self.floors
        rising = all(low < high for low, high in pairwise(cuts))
        within = self.floors is not None or all(0.0 < share < 1.0 for share in cuts)
        if len(cuts) != len(self.names) - 1 or not rising or not within:
            raise ConfigError(
                f"margin-bands with names {self.names} and {'shares' if self.floors is None else 'floors'} {cuts}",
                rule="one rising cut between each two tiers; shares lie strictly between 0 and 1",
                remedy="give one cut fewer than names, for example names=('standard', 'gold'), shares=(0.8,)",
            )

    def assign(self, histories: Histories, valuation: Valuation, previous: Tiering | None = None) -> Tiering:
        """A tier for every customer; ``previous`` is not needed by this rule."""
        score = valuation.expected_margin
        if self.floors is not None:
            cuts = np.asarray(self.floors, dtype=np.float64)
        elif len(score):
            cuts = np.quantile(score, self.shares, method="higher")
        else:
            cuts = np.zeros(0)
        kept = [i for i, cut in enumerate(cuts) if i == 0 or cut > cuts[i - 1]]
        names = [self.names[0], *(self.names[i + 1] for i in kept)]
        floors = np.array([-np.inf, *(cuts[i] for i in kept)])
        rank = (np.searchsorted(floors, score, side="right") - 1).astype(np.int64)
        to_next = np.append(floors[1:], np.inf)[rank]
        to_next -= score
        to_next[rank == len(names) - 1] = 0.0
        labels = np.asarray([*names, ""], dtype=np.str_)
        place = rank.astype(np.min_scalar_type(len(names)))
        tier: Any = Labels(place, labels)
        next_tier: Any = Labels(place + place.dtype.type(1), labels)
        for values in (rank, to_next):
            values.flags.writeable = False  # a table takes what never changes as it is
        return Tiering(
            customer_id=histories.customer_id,
            tier=tier,
            rank=rank,
            score=score,
            next_tier=next_tier,
            to_next=to_next,
            tiers=tuple(
                Tier(name=name, rank=i, floor=float(floor))
                for i, (name, floor) in enumerate(zip(names, floors, strict=True))
            ),
            rule=self.name,
            provenance=attrs.evolve(valuation.provenance, model=self.name, parameters={"floors": floors[1:].tolist()}),
        )
