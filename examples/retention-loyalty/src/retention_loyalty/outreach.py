"""Whom to offer double points, and when to leave members in peace."""

import numpy as np
from attrs import frozen

from retention.domain import Action
from retention.plan import Assumption, Proposals, Review

EMAIL = Action(
    name="double points weekend",
    kind="ask",
    channel="email",
    money=0.02,
    reward="points",
    reward_cost=1.50,
    take_up=0.3,
    conditional=True,
    perceived_value=3.0,
    customer_benefit="twice the points on what she buys anyway, and the next tier sooner",
)


@frozen(kw_only=True)
class DoublePoints:
    """Double points for members (attribute ``member``) who lack less than ``reach`` of the next tier's floor."""

    lift: float = 0.04
    reach: float = 0.25
    name: str = "double-points"

    def propose(self, situation):
        """One e-mail for each of them; the gain is an assumed share of her expected margin."""
        member = situation.attribute("member")
        if member is None:
            return Proposals.none()
        tiers = situation.tiering
        near = (tiers.to_next > 0) & (tiers.to_next <= self.reach * (tiers.score + tiers.to_next))
        mine = near & np.asarray([m is True for m in member]) & (situation.valuation.expected_margin > 0)
        gain = self.lift * situation.valuation.expected_margin[mine]
        believed = Assumption(
            strategy=self.name,
            name=EMAIL.name,
            value=self.lift,
            spread=self.lift / 2,
            meaning="share by which double points raise her expected margin",
        )
        told = {"gain": gain, "reason": "within reach of the next tier", "assumptions": [believed]}
        return Proposals.of(situation, mine, EMAIL, strategy=self.name, **told)


@frozen(kw_only=True)
class RestAfterRedemption:
    """No ask within ``days`` after she redeemed points (attribute ``redeemed_at``); not known at all means no ask."""

    days: int = 14
    name: str = "rest-after-redemption"

    def review(self, proposals, situation):
        """Refuse asks that come too soon."""
        asks = proposals.of_actions("kind") == "ask"
        known = situation.attribute("redeemed_at")
        if known is None:
            return Review.veto(asks, "nobody told when points were redeemed (attribute redeemed_at)")
        redeemed = np.asarray([np.datetime64(day, "D") if day else np.datetime64("NaT") for day in known])
        ago = (np.datetime64(situation.as_of, "D") - redeemed[proposals.base_row]).astype(np.float64)
        return Review.veto(asks & (ago >= 0) & (ago < self.days), f"she redeemed points within {self.days} days")
