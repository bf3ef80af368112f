"""The tree of who brought whom, and how the credit of each referral is shared up it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retention.frames.table import FloatColumn, IntColumn
from retention.records.referrals import ReferralTree

__all__ = ["Sharing"]


class Sharing:
    """How the credit of each referral is shared among those above it.

    ``pass_on`` holds, by referral, the share of what the referred customer's own referrals bring that she passes up.
    """

    def __init__(self, tree: ReferralTree, pass_on: FloatColumn) -> None:
        self.tree = tree
        self.brought = tree.row >= 0
        self.share = self.own(pass_on)
        order = np.argsort(-tree.depth, kind="stable")
        ends = np.flatnonzero(np.diff(tree.depth[order])) + 1
        self.levels = [rows for rows in np.split(order, ends) if len(rows) and tree.depth[rows[0]] > 0]

    def own(self, by_referral: NDArray[Any]) -> NDArray[Any]:
        """By person what the referral that brought her holds, 0 for those whom nobody brought (last axis)."""
        out = np.zeros((*by_referral.shape[:-1], len(self.tree.people)), dtype=by_referral.dtype)
        out[..., self.brought] = by_referral[..., self.tree.row[self.brought]]
        return out

    def inflow(self, own: FloatColumn, share: FloatColumn) -> FloatColumn:
        """What reaches each person from below: ``own`` of each whom she brought, and ``share`` of what reaches those.

        The deepest come first, so that each level is complete before it passes anything on.
        """
        down = np.zeros_like(own.T)
        passed = own.T
        for rows in self.levels:
            weight = share[rows].reshape(-1, *[1] * (passed.ndim - 1))
            np.add.at(down, self.tree.parent[rows], passed[rows] + weight * down[rows])
        return np.asarray(down.T)

    def kept(self, by_referral: FloatColumn, *, power: int = 1) -> FloatColumn:
        """What each person keeps; the sum is that of the referrals. ``power=2`` does it to variances."""
        keep = np.where(self.brought, 1 - self.share, 1.0)
        return np.asarray(self.inflow(self.own(by_referral), self.share**power) * keep**power)

    def reached_by(self, by_referral: FloatColumn) -> FloatColumn:
        """The sum over all referrals that each person keeps something of, each in full."""
        sums = self.inflow(self.own(by_referral), (self.share > 0).astype(np.float64))
        return np.asarray(np.where(self.brought & (self.share >= 1), 0.0, sums))

    def counts(self) -> tuple[IntColumn, IntColumn]:
        """How many each person brought, and how many hang below her in all."""
        direct = np.bincount(self.tree.parent[self.brought], minlength=len(self.brought))
        below = self.inflow(self.brought.astype(np.float64), np.ones(len(self.brought)))
        return direct.astype(np.int64), below.astype(np.int64)
