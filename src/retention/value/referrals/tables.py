"""Referral value as tables: by referral, by tie, by customer."""

from typing import Any, ClassVar

import numpy as np
from attrs import frozen

from retention.frames.drawing import axes
from retention.frames.table import FloatColumn, IntColumn, Table, TextColumn, column
from retention.records.referrals import TIES
from retention.value.referrals.sums import Chances

__all__ = ["ReferralCredits", "ReferralValue", "TieValue"]


@frozen(eq=False, repr=False, kw_only=True)
class ReferralCredits(Table):
    """One row a referral: what the referred customer is worth, and how much of it the referral is credited with."""

    key: ClassVar[str] = "referred_id"

    referrer_id: TextColumn = column("who brought her")
    referred_id: TextColumn = column("who was brought")
    tie: TextColumn = column("friend, family, co-worker or other")
    type_one_share: FloatColumn = column("probability that she would not have come without")
    value: FloatColumn = column("what the referred customer is worth (0 where she has no valuation)", unit="money")
    type_one: FloatColumn = column("credit for her who would not have come", unit="money")
    type_two: FloatColumn = column("credit for her who would have come, but later and at a cost", unit="money")
    credit: FloatColumn = column("both; between zero and her value", unit="money")
    credit_low: FloatColumn = column("the credit at the lower bound of her value", unit="money")
    credit_high: FloatColumn = column("the credit at the upper bound of her value", unit="money")
    credit_sd: FloatColumn = column("standard deviation of the credit", unit="money")
    credit_mean: FloatColumn = column("expectation of the credit for what she will bring", unit="money")
    credit_idle: FloatColumn = column("the credit if she buys nothing", unit="money")
    p_silent: FloatColumn = column("probability of that")


@frozen(eq=False, repr=False, kw_only=True)
class TieValue(Table):
    """One row a kind of tie: how many customers came through it, what they are worth, and the credit for them."""

    key: ClassVar[str] = "tie"

    tie: TextColumn = column("friend, family, co-worker or other")
    referrals: IntColumn = column("customers brought", unit="count")
    value: FloatColumn = column("what they are worth", unit="money")
    type_one: FloatColumn = column("credit for those who would not have come", unit="money")
    type_two: FloatColumn = column("credit for those who would have come later", unit="money")
    crv: FloatColumn = column("both", unit="money")
    crv_low: FloatColumn = column("lower bound", unit="money")
    crv_high: FloatColumn = column("upper bound", unit="money")


@frozen(eq=False, repr=False, kw_only=True)
class ReferralValue(Table):
    """Customer referral value (CRV): one row a customer of the valuation, then those who referred and are not in it.

    The sum of ``crv`` is the sum of ``credits.credit``, which is nowhere more than the referred are worth. The same
    money is in the referred customers' own value: ``given`` says how much of hers others are credited with.
    """

    customer_id: TextColumn = column("who")
    referred: IntColumn = column("customers she brought", unit="count")
    deeper: IntColumn = column("customers whom those brought, and so on down", unit="count")
    type_one: FloatColumn = column("credit for those who would not have come", unit="money")
    type_two: FloatColumn = column("credit for those who would have come later", unit="money")
    crv: FloatColumn = column("referral value: both", unit="money")
    crv_low: FloatColumn = column("lower bound of the referral value", unit="money")
    crv_high: FloatColumn = column("upper bound of the referral value", unit="money")
    crv_sd: FloatColumn = column("standard deviation of the referral value", unit="money")
    crv_mean: FloatColumn = column("expectation of the credit for what they will bring", unit="money")
    crv_idle: FloatColumn = column("the credit if none of them buys anything", unit="money")
    p_silent: FloatColumn = column("probability of that")
    given: FloatColumn = column("how much of her own value is credited to those who brought her", unit="money")

    credits: ReferralCredits
    interval: float
    together: bool
    currency: str | None = None

    def total(self) -> float:
        """The referral value of all: a part of what the referred are worth, no money on top of it."""
        return float(self.crv.sum())

    def by_tie(self) -> TieValue:
        """The credit by kind of tie, with bounds of the sums."""
        rows = self.credits
        where = [rows.tie == tie for tie in TIES]

        def sums(values: FloatColumn) -> FloatColumn:
            return np.asarray([float(values[here].sum()) for here in where])

        told = Chances(
            mean=sums(rows.credit_mean),
            sd=np.sqrt(sums(rows.credit_sd**2)),
            low=sums(rows.credit_low),
            high=sums(rows.credit_high),
            idle=sums(rows.credit_idle),
            silent=np.exp(sums(np.log(np.maximum(rows.p_silent, 1e-300)))),
        )
        alone = sums((rows.credit_sd > 0).astype(np.float64)) <= 1
        low, high = told.bounds(alone | self.together, self.interval)
        return TieValue(
            tie=np.asarray(TIES),
            referrals=np.asarray([int(here.sum()) for here in where], dtype=np.int64),
            value=sums(rows.value),
            type_one=sums(rows.type_one),
            type_two=sums(rows.type_two),
            crv=sums(rows.credit),
            crv_low=low,
            crv_high=high,
            provenance=self.provenance,
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the ten highest referral values, split into the two types, with their bounds."""
        ax = axes(ax)
        best = np.argsort(-self.crv, kind="stable")[:10][::-1]
        best = best[self.crv[best] > 0]
        spots = np.arange(len(best))
        ax.barh(spots, self.type_one[best], color="#1f5f8b", label="would not have come")
        ax.barh(spots, self.type_two[best], left=self.type_one[best], color="#8fb8d0", label="would have, later")
        ax.hlines(spots, self.crv_low[best], self.crv_high[best], color="0.2", linewidth=1.2)
        ax.set_yticks(spots, self.customer_id[best].tolist())
        ax.set_xlabel(f"referral value {self.currency or ''}".strip())
        ax.set_title("Who brings others, and what they are worth", fontsize=10)
        if len(best):
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
        return ax
